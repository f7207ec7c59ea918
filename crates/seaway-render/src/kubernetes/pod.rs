//! The pods of a role: the engine's container, and the agent beside it where one is needed.
//!
//! All of them keep to the restricted Pod Security profile, unless the user's own volumes or patches do not.

use std::collections::BTreeMap;

use seaway_model::{
    Cpu, Memory,
    document::PodSpec,
    plan::{Check, Condition, Dependency, HttpCheck, Probe, Resources, Role, Template},
};
use serde_json::{Value, json};

use super::{
    AGENT, AGENT_PORT, MAIN, RenderError, Scope, labels,
    resolve::{Resolver, WORK},
    services::number,
    strategic,
    volumes::text,
};

/// The user and the group of a pod whose image does not matter to it; any but root.
const USER: u32 = 1000;

/// What a container gets that asks for nothing, so that it can be scheduled and cannot take the node down.
const USUAL: Resources = Resources {
    cpu: Some(Cpu::from_millis(100)),
    memory: Some(Memory::from_mebibytes(256)),
};
/// The most memory of a container that asks for nothing.
const USUAL_LIMIT: Memory = Memory::from_mebibytes(2 << 10);

/// Seconds between two looks of the kubelet at a starting task.
const LOOK: u64 = 1;

/// Characters of a port's name in a container (RFC 6335).
const PORT_NAME: usize = 15;

impl Scope<'_> {
    /// The template of a role's pods.
    pub(super) fn pod_template(&self, role: &Role) -> Result<Value, RenderError> {
        let settings = self.settings(role);
        let mut labels = settings.labels.clone();
        labels.extend(labels::of(self.plan, Some(role)));
        let mut metadata = json!({"labels": labels});
        // A changed file is a changed template, so that the pods are replaced.
        let mut annotations = settings.annotations.clone();
        annotations.insert("seaway.dev/revision".into(), role.revision(self.plan));
        metadata["annotations"] = json!(annotations);
        let mut template = json!({"metadata": metadata, "spec": self.pod(role, &settings)?});
        for (field, patch) in self.patches(role) {
            strategic::merge(&mut template, &json!(patch)).map_err(|misfit| RenderError::Patch {
                field: format!("{field}.{}", misfit.path),
                why: misfit.why,
            })?;
        }
        Ok(template)
    }

    fn patches<'s>(&'s self, role: &'s Role) -> impl Iterator<Item = (String, &'s BTreeMap<String, Value>)> {
        let kubernetes = &self.plan.kubernetes;
        let of_role = kubernetes.roles.get(&role.name);
        std::iter::once((
            "spec.kubernetes.pods.template".to_owned(),
            &kubernetes.pods.template,
        ))
        .chain(of_role.map(|pods| {
            (
                format!("spec.kubernetes.roles.{}.template", role.name),
                &pods.template,
            )
        }))
    }

    /// The settings of a role's pods: those of all pods, then its own.
    fn settings(&self, role: &Role) -> PodSpec {
        let kubernetes = &self.plan.kubernetes;
        let mut settings = kubernetes.pods.clone();
        let Some(own) = kubernetes.roles.get(&role.name).cloned() else {
            return settings;
        };
        settings.node_selector.extend(own.node_selector);
        settings.tolerations.extend(own.tolerations);
        settings.affinity.extend(own.affinity);
        settings.annotations.extend(own.annotations);
        settings.labels.extend(own.labels);
        settings.service_account = own.service_account.or(settings.service_account);
        settings.priority_class = own.priority_class.or(settings.priority_class);
        settings
    }

    fn pod(&self, role: &Role, settings: &PodSpec) -> Result<Value, RenderError> {
        let kubernetes = &self.plan.kubernetes;
        let mut volumes = self.volumes(role)?;
        let announcer = self.announcer(role, &mut volumes)?;
        let mut initial = Vec::new();
        for dependency in &role.after {
            if let Dependency::Ready(on) = dependency
                && let Some(on) = self.plan.role(on.as_str())
            {
                initial.push(self.waiter(on)?);
            }
        }
        if let Some(agent) = self.sidecar(role)? {
            initial.push(agent);
        }
        initial.extend(announcer);
        let stop = role
            .stop
            .interrupt
            .map_or(0, |period| period.duration().as_secs())
            + role.stop.terminate.duration().as_secs();
        let mut pod = json!({
            "automountServiceAccountToken": settings.service_account.is_some(),
            "enableServiceLinks": false,
            "terminationGracePeriodSeconds": stop.max(1),
            "securityContext": {
                "runAsNonRoot": true,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [self.engine(role, &volumes.mounts)?],
            "volumes": volumes.volumes,
        });
        if !initial.is_empty() {
            pod["initContainers"] = initial.into();
        }
        let optional = [
            ("nodeSelector", json!(settings.node_selector)),
            ("tolerations", json!(settings.tolerations)),
            ("affinity", json!(settings.affinity)),
        ];
        for (key, value) in optional {
            if value.as_object().is_some_and(|map| !map.is_empty())
                || value.as_array().is_some_and(|list| !list.is_empty())
            {
                pod[key] = value;
            }
        }
        if let Some(account) = &settings.service_account {
            pod["serviceAccountName"] = json!(account);
        }
        if let Some(class) = &settings.priority_class {
            pod["priorityClassName"] = json!(class);
        }
        if !kubernetes.image_pull_secrets.is_empty() {
            let secrets = kubernetes
                .image_pull_secrets
                .iter()
                .map(|name| json!({"name": name}));
            pod["imagePullSecrets"] = secrets.collect();
        }
        Ok(pod)
    }

    fn engine(&self, role: &Role, mounts: &[Value]) -> Result<Value, RenderError> {
        let kubernetes = &self.plan.kubernetes;
        let image = kubernetes.image.as_ref().or(role.image.as_ref());
        let image = image.ok_or_else(|| RenderError::NoImage(role.name.clone()))?;
        let mut resolver = Resolver::new(*self, role);
        let command = texts(&mut resolver, &role.command)?;
        let mut env = Vec::new();
        if !role.env.contains_key("HOME") {
            // The image may have none that this user can write to.
            env.push(json!({"name": "HOME", "value": WORK}));
        }
        for (name, value) in &role.env {
            env.push(json!({"name": name, "value": resolver.text(value)?}));
        }
        let mut container = json!({
            "name": MAIN,
            "image": image,
            "imagePullPolicy": kubernetes.image_pull_policy.as_str(),
            "command": command,
            "ports": ports(role),
            "resources": resources(role.resources),
            "workingDir": match &role.working_directory {
                Some(directory) => text(directory)?,
                None => WORK.to_owned(),
            },
            "volumeMounts": mounts,
            "securityContext": confined(),
            // The last lines of a container that failed are in its status.
            "terminationMessagePolicy": "FallbackToLogsOnError",
        });
        if let Some(question) = own_question(role, &mut resolver)? {
            let (startup, readiness) = probes(&role.ready, &question);
            container["startupProbe"] = startup;
            container["readinessProbe"] = readiness;
        }
        let mut all = resolver.variables();
        all.extend(env);
        container["env"] = all.into();
        Ok(container)
    }

    /// The agent beside an engine, when the kubelet cannot ask the engine itself whether it is ready. It is a sidecar:
    /// it starts first, and the pod is ready when it says so.
    fn sidecar(&self, role: &Role) -> Result<Option<Value>, RenderError> {
        let Check::Http(http) = &role.ready.check else {
            return Ok(None);
        };
        if http.expect.is_none() && http.at.role.is_none() {
            return Ok(None);
        }
        let mut resolver = Resolver::new(*self, role);
        let question = self.question(role, http, &mut resolver)?;
        let args = vec![
            "agent".to_owned(),
            "--name".to_owned(),
            self.plan.instance.to_string(),
            "--probe".to_owned(),
            question,
            "--probe-interval".to_owned(),
            role.ready.interval.to_string(),
            "--start-timeout".to_owned(),
            role.ready.start_within.to_string(),
            "--listen".to_owned(),
            format!("0.0.0.0:{AGENT_PORT}"),
            // It only asks.
            "--register".to_owned(),
            "none".to_owned(),
        ];
        let mut container = self.helper(AGENT, &args, resolver.variables());
        container["restartPolicy"] = "Always".into();
        container["ports"] = json!([{"name": "agent", "containerPort": AGENT_PORT, "protocol": "TCP"}]);
        container["readinessProbe"] = json!({
            "httpGet": {"path": "/readyz", "port": AGENT_PORT},
            "periodSeconds": LOOK,
            "failureThreshold": 1,
        });
        Ok(Some(container))
    }

    /// Waits, before anything of a pod starts, until every task of a role is ready.
    fn waiter(&self, on: &Role) -> Result<Value, RenderError> {
        let mut args = vec!["wait".to_owned()];
        for index in 0..on.replicas {
            let host = self.host(on, index)?;
            let probe = match &on.ready.check {
                Check::Tcp(at) if at.role.is_none() => on
                    .port(at.port.as_str())
                    .map(|port| format!("tcp:{host}:{}", number(port))),
                Check::Http(http) if http.at.role.is_none() && http.expect.is_none() => on
                    .port(http.at.port.as_str())
                    .map(|port| format!("http://{host}:{}{}", number(port), http.path)),
                // What cannot be asked from elsewhere is ready when it can be reached.
                _ => on
                    .ports
                    .first()
                    .map(|port| format!("tcp:{host}:{}", number(port))),
            };
            let probe = probe.ok_or_else(|| RenderError::Unsupported {
                field: format!("role `{}`", on.name),
                why: "it has no port, so that nothing can wait for it in a cluster".into(),
            })?;
            args.extend(["--probe".to_owned(), probe]);
        }
        Ok(self.helper(&format!("wait-{}", on.name), &args, Vec::new()))
    }

    /// A container with `seaway` in it.
    pub(super) fn helper(&self, name: &str, args: &[String], env: Vec<Value>) -> Value {
        let kubernetes = &self.plan.kubernetes;
        let image = kubernetes
            .agent_image
            .as_deref()
            .unwrap_or(self.setting.agent_image);
        let mut container = json!({
            "name": name,
            "image": image,
            "imagePullPolicy": kubernetes.image_pull_policy.as_str(),
            "command": ["seaway"],
            "args": args,
            "resources": {
                "requests": {"cpu": "10m", "memory": "16Mi"},
                "limits": {"memory": "64Mi"},
            },
            "securityContext": confined(),
            "terminationMessagePolicy": "FallbackToLogsOnError",
        });
        if !env.is_empty() {
            container["env"] = env.into();
        }
        container
    }

    /// An HTTP question as `seaway agent --probe` reads it.
    fn question(
        &self,
        role: &Role,
        http: &HttpCheck,
        resolver: &mut Resolver<'_>,
    ) -> Result<String, RenderError> {
        let (host, of) = match &http.at.role {
            None => ("127.0.0.1".to_owned(), role),
            Some(name) => {
                let other = self.plan.role(name.as_str()).unwrap_or(role);
                (self.host(other, 0)?, other)
            }
        };
        let port = of.port(http.at.port.as_str()).map_or(0, number);
        let mut question = format!("http://{host}:{port}{}", http.path);
        if let Some(expect) = &http.expect {
            let keys = texts(resolver, &expect.select)?;
            let condition = match &expect.condition {
                Condition::Is(value) => format!("={}", resolver.text(value)?),
                Condition::Above(limit) => format!(">{limit}"),
            };
            question.push_str(&format!("#{}{condition}", keys.join(".")));
        }
        Ok(question)
    }
}

fn texts(resolver: &mut Resolver<'_>, templates: &[Template]) -> Result<Vec<String>, RenderError> {
    templates.iter().map(|template| resolver.text(template)).collect()
}

/// The ports of a container. Names that are too long for one are left out; nothing refers to them.
fn ports(role: &Role) -> Vec<Value> {
    role.ports
        .iter()
        .map(|port| {
            let mut value = json!({"containerPort": number(port), "protocol": "TCP"});
            if port.name.as_str().len() <= PORT_NAME {
                value["name"] = json!(port.name);
            }
            value
        })
        .collect()
}

/// Who asks for an amount gets it: no more, and no less.
fn resources(asked: Resources) -> Value {
    let mut requests = BTreeMap::new();
    let mut limits = BTreeMap::new();
    if let Some(cpu) = asked.cpu {
        limits.insert("cpu", cpu.to_string());
    }
    if let Some(cpu) = asked.cpu.or(USUAL.cpu) {
        requests.insert("cpu", cpu.to_string());
    }
    if let Some(memory) = asked.memory.or(USUAL.memory) {
        requests.insert("memory", memory.to_string());
    }
    limits.insert("memory", asked.memory.unwrap_or(USUAL_LIMIT).to_string());
    json!({"requests": requests, "limits": limits})
}

fn confined() -> Value {
    json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}})
}

/// What the kubelet can ask by itself.
fn own_question(role: &Role, resolver: &mut Resolver<'_>) -> Result<Option<Value>, RenderError> {
    let port = |name: &seaway_model::Name| role.port(name.as_str()).map_or(0, number);
    Ok(match &role.ready.check {
        Check::Tcp(at) if at.role.is_none() => Some(json!({"tcpSocket": {"port": port(&at.port)}})),
        Check::Http(http) if http.at.role.is_none() && http.expect.is_none() => {
            Some(json!({"httpGet": {"path": http.path, "port": port(&http.at.port)}}))
        }
        Check::Command(command) => Some(json!({"exec": {"command": texts(resolver, command)?}})),
        Check::Running | Check::Tcp(_) | Check::Http(_) => None,
    })
}

/// The startup probe, which looks often and gives up late, and the readiness probe, which looks as the plan says.
fn probes(probe: &Probe, question: &Value) -> (Value, Value) {
    let with = |rest: Value| {
        let mut whole = question.clone();
        if let (Value::Object(whole), Value::Object(rest)) = (&mut whole, rest) {
            whole.extend(rest);
        }
        whole
    };
    let seconds = |period: seaway_model::Period| period.duration().as_secs().max(1);
    let startup = with(json!({
        "periodSeconds": LOOK,
        "timeoutSeconds": seconds(probe.timeout),
        "failureThreshold": seconds(probe.start_within),
    }));
    let readiness = with(json!({
        "periodSeconds": seconds(probe.interval),
        "timeoutSeconds": seconds(probe.timeout),
        "failureThreshold": probe.failures,
    }));
    (startup, readiness)
}
