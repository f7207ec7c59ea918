//! A toy engine: a hub and workers that join it, small programs that run wherever there is Python.

use std::{
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};

use seaway_model::{
    Name, Period,
    document::{KubernetesSpec, Resources},
    plan::{
        Check, Condition, Dependency, Drain, EndpointPlan, Expectation, HttpCheck, Plan, PlanFile, PortPlan,
        PortReference, Probe, Restart, Role, SecretPlan, StopLadder, Template,
    },
};
use serde_json::{Value, json};

const PROGRAM: &str = include_str!("toy.py");

/// What a plan's file says, for the tasks to read.
pub(crate) const NOTE: &str = "a note with $HOME, $(HOME) and ${work} in it\n";

/// The image that has Python, on platforms that run containers.
const IMAGE: &str = concat!("seaway-dask:", env!("CARGO_PKG_VERSION"));

/// A text with references.
pub(crate) fn template(text: &str) -> Template {
    text.parse().unwrap()
}

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// What an instance is made from: the plan, and a document that says so much that two of them differ when the plans do.
#[derive(Debug, Clone)]
pub(crate) struct Toy {
    pub(crate) plan: Plan,
}

impl Toy {
    /// Without any role.
    pub(crate) fn new(instance: &str) -> Self {
        let file = |file: &str, file_name: &str, content: &str| PlanFile {
            name: name(file),
            file_name: file_name.into(),
            content: content.into(),
        };
        Self {
            plan: Plan {
                instance: name(instance),
                kind: "Toy".into(),
                labels: [("team".to_owned(), "conformance".to_owned())].into(),
                roles: Vec::new(),
                endpoints: Vec::new(),
                secrets: Vec::new(),
                environments: [].into(),
                files: vec![file("toy", "toy.py", PROGRAM), file("note", "note.txt", NOTE)],
                data: Vec::new(),
                busy: None,
                discovery: Vec::new(),
                kubernetes: small(),
            },
        }
    }

    /// The hub alone, which answers at an endpoint of its name.
    pub(crate) fn with_hub(instance: &str) -> Self {
        Self::new(instance).and_served("hub")
    }

    /// A hub and workers.
    pub(crate) fn with_workers(instance: &str, number: u32) -> Self {
        Self::with_hub(instance).and(worker(number))
    }

    /// The same with a role.
    pub(crate) fn and(mut self, role: Role) -> Self {
        self.plan.roles.push(role);
        self
    }

    /// The same with a role of one task that answers at an endpoint of the role's name.
    pub(crate) fn and_served(mut self, role: &str) -> Self {
        self.plan.endpoints.push(EndpointPlan {
            name: name(role),
            role: name(role),
            port: name("web"),
            scheme: "http".into(),
            path: String::new(),
            token: None,
        });
        self.and(served(role))
    }

    /// The same with a secret, and with everything that a plan can refer to in the environment of a role.
    pub(crate) fn and_told_everything(mut self, role: &str) -> Self {
        self.plan.secrets.push(SecretPlan {
            name: name("sesame"),
            purpose: "opens the toy".into(),
            from: None,
        });
        for (variable, value) in [
            ("TOY_INSTANCE", "${instance}"),
            ("TOY_INDEX", "${task.index}"),
            ("TOY_SECRET", "${secret.sesame}"),
            ("TOY_SECRET_FILE", "${secret.sesame.file}"),
            ("TOY_NOTE_FILE", "${file.note}/note.txt"),
            ("TOY_WORK", "${work}"),
            ("TOY_SCRATCH", "${scratch}"),
            ("TOY_SELF", "${self.web.address}"),
            ("TOY_PLAIN", "$HOME and $(HOME) and $${work}"),
        ] {
            self.set(role, variable, value);
        }
        let words = ["--of", "${instance}", "$HOME", "$(HOME)", "two words"];
        self.role(role).command.extend(words.into_iter().map(template));
        self
    }

    pub(crate) fn role(&mut self, role: &str) -> &mut Role {
        let roles = &mut self.plan.roles;
        roles.iter_mut().find(|one| one.name.as_str() == role).unwrap()
    }

    /// Sets a variable of a role's tasks.
    pub(crate) fn set(&mut self, role: &str, variable: &str, value: &str) {
        self.role(role).env.insert(variable.into(), template(value));
    }

    /// The same with a variable of a role's tasks.
    pub(crate) fn with(mut self, role: &str, variable: &str, value: &str) -> Self {
        self.set(role, variable, value);
        self
    }

    pub(crate) fn instance(&self) -> &str {
        self.plan.instance.as_str()
    }

    /// The document that such a plan would be made from.
    pub(crate) fn document(&self) -> Value {
        let roles: serde_json::Map<String, Value> = self
            .plan
            .roles
            .iter()
            .map(|role| {
                let spec = json!({"replicas": role.replicas, "env": role.env, "command": role.command});
                (role.name.to_string(), spec)
            })
            .collect();
        json!({"kind": "Toy", "metadata": {"name": self.plan.instance}, "spec": roles})
    }
}

/// Many instances on a small cluster: tasks ask for little, and may take what is there.
fn small() -> KubernetesSpec {
    let resources = json!({"requests": {"cpu": "50m", "memory": "32Mi"}});
    let template = json!({"spec": {"containers": [{"name": "main", "resources": resources}]}});
    let mut kubernetes = KubernetesSpec::default();
    kubernetes.pods.template = serde_json::from_value(template).unwrap();
    kubernetes
}

/// A port that no other role has: where tasks share an address, cases that run side by side would take it from each
/// other.
fn port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    17_000 + NEXT.fetch_add(1, Ordering::Relaxed) % 1_000
}

fn own_port() -> PortReference {
    PortReference {
        role: None,
        port: name("web"),
    }
}

fn hub_port() -> PortReference {
    PortReference {
        role: Some(name("hub")),
        port: name("web"),
    }
}

/// A question that is asked as often as the platform can.
fn probe(check: Check) -> Probe {
    Probe {
        check,
        interval: Period::from_secs(1),
        timeout: Period::from_secs(5),
        failures: 1,
        start_within: Period::from_secs(120),
    }
}

/// One task that runs a command, and is ready because it runs.
pub(crate) fn mute(role: &str, command: &[&str]) -> Role {
    Role {
        name: name(role),
        replicas: 1,
        scalable: false,
        after: Vec::new(),
        image: Some(IMAGE.into()),
        environment: None,
        command: command.iter().copied().map(template).collect(),
        env: [].into(),
        ports: Vec::new(),
        resources: Resources::default(),
        keeps_memory_limit: false,
        working_directory: None,
        ready: probe(Check::Running),
        restart: Restart {
            limit: 3,
            delay: Period::from_millis(50),
            longest_delay: Period::from_millis(200),
            stable_after: Period::from_secs(600),
        },
        stop: StopLadder {
            interrupt: None,
            terminate: Period::from_secs(20),
        },
        drain: None,
    }
}

/// One task that would be ready if it answered, and runs a command that does not.
pub(crate) fn silent(role: &str, command: &[&str]) -> Role {
    Role {
        command: command.iter().copied().map(template).collect(),
        ..served(role)
    }
}

/// One task that answers, and is ready when it says so.
pub(crate) fn served(role: &str) -> Role {
    let env = [
        ("TOY_TASK", "${task}"),
        ("TOY_LISTEN", "${self.web.listen}"),
        ("TOY_PORT", "${self.web.port}"),
    ];
    Role {
        env: env
            .into_iter()
            .map(|(variable, value)| (variable.to_owned(), template(value)))
            .collect(),
        ports: vec![PortPlan {
            name: name("web"),
            usual: port(),
            fixed: None,
            host: None,
        }],
        ready: probe(Check::Http(HttpCheck {
            at: own_port(),
            path: "/healthy".into(),
            expect: None,
        })),
        ..mute(role, &["python3", "${file.toy}/toy.py"])
    }
}

/// Workers that wait for the hub and join it; they hold what the hub says.
pub(crate) fn worker(number: u32) -> Role {
    let mut role = served("worker");
    role.replicas = number;
    role.scalable = true;
    role.after = vec![Dependency::Ready(name("hub"))];
    role.env.insert("TOY_HUB".into(), template("${hub.web.address}"));
    let of_task = |key: &str| vec![template("${task}"), Template::literal(key)];
    role.drain = Some(Drain {
        at: hub_port(),
        load_path: "/load".into(),
        work: of_task("work"),
        sole: of_task("sole"),
        weight: of_task("weight"),
        release_path: "/release".into(),
        release_body: template(r#"{"task": "${task}"}"#),
    });
    role
}

/// Makes tasks ready when the hub lists them, as those of Dask are.
pub(crate) fn ready_when_listed(role: &mut Role) {
    role.ready = probe(Check::Http(HttpCheck {
        at: hub_port(),
        path: "/joined".into(),
        expect: Some(Expectation {
            select: ["${task}", "environment", "TOY_TASK"].map(template).into(),
            condition: Condition::Is(template("${task}")),
        }),
    }));
}

/// Asks a task for something.
pub(crate) async fn ask(address: &str, path: &str) -> Result<Value, String> {
    request(address, path, None).await
}

/// Tells a task something.
pub(crate) async fn tell(address: &str, path: &str, what: Value) -> Result<(), String> {
    request(address, path, Some(what.to_string())).await.map(drop)
}

async fn request(address: &str, path: &str, body: Option<String>) -> Result<Value, String> {
    let answer = seaway_agent::http::request(address, path, body, Duration::from_secs(10)).await;
    let answer = answer.map_err(|error| error.to_string())?;
    serde_json::from_slice(&answer).map_err(|error| format!("{address}{path}: {error}"))
}
