//! Dask: a scheduler, workers, and JupyterLab whose kernels find the cluster without being told.
//!
//! The commands are those of distributed since 2026.6 (`dask scheduler`, `dask worker`; facts/field.md 1.7). Workers
//! run without Dask's nanny: the platform starts them again, keeps their memory and sets what the nanny would set.

pub mod arl;

use std::collections::BTreeMap;

use seaway_model::{
    Name, Period,
    document::{DaskSpec, Metadata, NotebookSpec, WorkersSpec},
    plan::{
        BusySignal, Check, Condition, DataDirectory, Dependency, Drain, EndpointPlan, Expectation, HttpCheck,
        NamedExpectation, Plan, PlanFile, PortPlan, PortReference, Probe, PythonEnvironment, PythonPackages,
        Restart, Role, SecretPlan, StopLadder, Template, TemplateError,
    },
};

const SCHEDULER: Name = Name::literal("scheduler");
const WORKER: Name = Name::literal("worker");
const NOTEBOOK: Name = Name::literal("notebook");
const CLIENT: Name = Name::literal("client");
const COMM: Name = Name::literal("comm");
const DASHBOARD: Name = Name::literal("dashboard");
const PYTHON: Name = Name::literal("python");
const ROUTES: Name = Name::literal("routes");
const WAIT: Name = Name::literal("wait");
const TOKEN: Name = Name::literal("notebook-token");

/// What a Dask instance needs; everything below it is pinned by [`CONSTRAINTS`].
const REQUIREMENTS: [&str; 3] = ["dask[complete]==2026.8.0", "jupyterlab==4.6.6", "ipykernel"];

/// Exact versions of all that the requirements pull in.
const CONSTRAINTS: &str = include_str!("dask/constraints.txt");

/// Two HTTP routes for the scheduler (see the file).
const ROUTES_MODULE: &str = include_str!("dask/seaway_dask.py");

/// What a worker does before it looks for its scheduler (see the file).
const WAIT_MODULE: &str = include_str!("dask/seaway_wait.py");

/// The scheduler's HTTP routes: Dask's defaults, its management API, ours. The setting replaces the whole list, so
/// the defaults are repeated.
const HTTP_ROUTES: &str = r#"["distributed.http.scheduler.prometheus","distributed.http.scheduler.info","distributed.http.scheduler.json","distributed.http.health","distributed.http.proxy","distributed.http.statics","distributed.http.scheduler.api","seaway_dask"]"#;

/// What Dask's nanny sets before it starts a worker (`distributed.nanny.pre-spawn-environ`): one thread for each
/// task inside numeric libraries, and memory given back to the system.
const NANNY_ENVIRONMENT: [(&str, &str); 4] = [
    ("MALLOC_TRIM_THRESHOLD_", "65536"),
    ("OMP_NUM_THREADS", "1"),
    ("MKL_NUM_THREADS", "1"),
    ("OPENBLAS_NUM_THREADS", "1"),
];

/// What makes `Client()` without arguments find the cluster.
const SCHEDULER_ADDRESS: &str = "DASK_SCHEDULER_ADDRESS";

/// Percent of a task's memory limit that the worker is told, so that it spills and pauses before it is killed
/// (the headroom that the ARL's scripts meant to leave; facts/field.md 1.5).
const WORKER_MEMORY_PERCENT: u64 = 80;

/// The plan of a Dask instance.
pub fn plan(metadata: &Metadata, spec: &DaskSpec) -> Result<Plan, TemplateError> {
    let mut roles = vec![scheduler(spec)?, worker(spec)?];
    let mut endpoints = vec![
        endpoint("client", &SCHEDULER, &CLIENT, "tcp", "", None),
        endpoint("dashboard", &SCHEDULER, &DASHBOARD, "http", "/status", None),
    ];
    let mut secrets = Vec::new();
    if spec.notebook.enabled {
        roles.push(notebook(spec, &spec.notebook)?);
        endpoints.push(endpoint(
            "notebook",
            &NOTEBOOK,
            &NOTEBOOK,
            "http",
            "/lab",
            Some(TOKEN),
        ));
        secrets.push(SecretPlan {
            name: TOKEN,
            purpose: "opens the notebook".into(),
            from: spec.notebook.token_file.clone(),
        });
    }
    Ok(Plan {
        instance: metadata.name.clone(),
        kind: "Dask".into(),
        labels: metadata.labels.clone(),
        roles,
        endpoints,
        secrets,
        environments: BTreeMap::from([(PYTHON, environment(spec))]),
        files: vec![
            file(&ROUTES, "seaway_dask.py", ROUTES_MODULE),
            file(&WAIT, "seaway_wait.py", WAIT_MODULE),
        ],
        data: spec
            .data
            .iter()
            .map(|data| DataDirectory {
                name: data.name.clone(),
                path: data.path.clone(),
                read_only: data.read_only,
                volume: data.volume.clone(),
            })
            .collect(),
        busy: Some(busy()),
        discovery: spec.discovery.clone(),
        kubernetes: spec.kubernetes.clone(),
    })
}

fn environment(spec: &DaskSpec) -> PythonEnvironment {
    if let Some(existing) = &spec.python.environment {
        return PythonEnvironment::Existing(existing.clone());
    }
    let own = REQUIREMENTS.iter().map(|&requirement| requirement.to_owned());
    PythonEnvironment::Packages(PythonPackages {
        python: spec.python.version.clone(),
        requirements: own.chain(spec.python.packages.iter().cloned()).collect(),
        constraints: CONSTRAINTS.into(),
        modules: ["distributed", "bokeh", "jupyterlab", "ipykernel"]
            .map(str::to_owned)
            .to_vec(),
    })
}

/// The image of all roles: the user's, else that of this release.
fn image(spec: &DaskSpec) -> String {
    let own = || concat!("seaway-dask:", env!("CARGO_PKG_VERSION")).to_owned();
    spec.kubernetes.image.clone().unwrap_or_else(own)
}

fn scheduler(spec: &DaskSpec) -> Result<Role, TemplateError> {
    let mut command = words(&[
        "dask",
        "scheduler",
        "--host",
        "${self.client.listen}",
        "--port",
        "${self.client.port}",
        "--dashboard-address",
        "${self.dashboard.listen}:${self.dashboard.port}",
        // The file by which ARL's workflows and Dask's own tools find a cluster (facts/field.md 1.6).
        "--scheduler-file",
        "${work}/scheduler.json",
    ])?;
    command.extend(spec.scheduler.args.iter().map(Template::literal));
    let mut env = arl::environment(arl::Of::Scheduler(&spec.scheduler.resources))?;
    env.extend(base_environment(spec, &spec.scheduler.env));
    env.insert(
        "DASK_DISTRIBUTED__SCHEDULER__HTTP__ROUTES".into(),
        Template::literal(HTTP_ROUTES),
    );
    env.insert("PYTHONPATH".into(), "${file.routes}".parse()?);
    // The scheduler makes a scratch folder too, and has no option for where.
    env.insert("DASK_TEMPORARY_DIRECTORY".into(), "${scratch}".parse()?);
    Ok(Role {
        name: SCHEDULER,
        replicas: 1,
        scalable: false,
        after: Vec::new(),
        image: Some(image(spec)),
        environment: Some(PYTHON),
        command,
        env,
        ports: vec![
            port(spec, "client", &CLIENT, 8786),
            port(spec, "dashboard", &DASHBOARD, 8787),
        ],
        resources: spec.scheduler.resources,
        keeps_memory_limit: false,
        working_directory: None,
        ready: probe(HttpCheck {
            at: here(&DASHBOARD),
            path: "/health".into(),
            expect: None,
        }),
        restart: Restart::default(),
        stop: StopLadder::default(),
        drain: None,
    })
}

fn worker(spec: &DaskSpec) -> Result<Role, TemplateError> {
    let workers = &spec.workers;
    let mut command = words(&[
        "dask",
        "worker",
        "tcp://${scheduler.client.address}",
        "--no-nanny",
        "--name",
        "${task}",
        "--host",
        "${self.comm.listen}",
        "--worker-port",
        "${self.comm.port}",
        "--dashboard-address",
        "${self.dashboard.listen}:${self.dashboard.port}",
        // Its HTTP routes stay. The pages of a worker's own dashboard cost every worker half a second of start and
        // 20 MB; `args: [--dashboard]` brings them back. The scheduler's dashboard shows all workers.
        "--no-dashboard",
        "--local-directory",
        "${scratch}",
        "--preload",
        "${file.wait}/seaway_wait.py",
    ])?;
    command.extend([
        Template::literal("--nthreads"),
        Template::literal(workers.effective_threads().to_string()),
    ]);
    if let Some(memory) = workers.resources.memory {
        let bytes = memory.percent(WORKER_MEMORY_PERCENT).to_string();
        command.extend([Template::literal("--memory-limit"), Template::literal(bytes)]);
    }
    if !workers.tags.is_empty() {
        command.extend([
            Template::literal("--resources"),
            Template::literal(arl::tags(workers)),
        ]);
    }
    command.extend(workers.args.iter().map(Template::literal));
    let mut env: BTreeMap<String, Template> = NANNY_ENVIRONMENT
        .iter()
        .map(|(name, value)| ((*name).to_owned(), Template::literal(*value)))
        .collect();
    env.extend(arl::environment(arl::Of::Worker(workers))?);
    env.extend(base_environment(spec, &workers.env));
    env.insert(SCHEDULER_ADDRESS.into(), cluster_address()?);
    Ok(Role {
        name: WORKER,
        replicas: workers.replicas,
        scalable: true,
        // A worker waits for its scheduler by itself, so both start at the same time.
        after: vec![Dependency::Assigned(SCHEDULER)],
        image: Some(image(spec)),
        environment: Some(PYTHON),
        command,
        env,
        ports: vec![worker_port(&COMM, 8788), worker_port(&DASHBOARD, 8789)],
        resources: workers.resources,
        keeps_memory_limit: keeps_memory_limit(workers),
        working_directory: None,
        ready: probe(HttpCheck {
            at: at_scheduler(),
            path: "/api/v1/get_workers".into(),
            expect: Some(Expectation {
                select: ["workers", "*", "name"].map(Template::literal).to_vec(),
                condition: Condition::Is("${task}".parse()?),
            }),
        }),
        restart: Restart::default(),
        stop: StopLadder::default(),
        drain: Some(drain()?),
    })
}

fn keeps_memory_limit(workers: &WorkersSpec) -> bool {
    workers.resources.memory.is_some()
}

fn notebook(spec: &DaskSpec, notebook: &NotebookSpec) -> Result<Role, TemplateError> {
    let mut command = words(&[
        "jupyter",
        "lab",
        "--no-browser",
        // Jupyter refuses to run as root, who is who runs in many containers, unless it is told to.
        "--allow-root",
        "--ServerApp.ip=${self.notebook.listen}",
        "--ServerApp.port=${self.notebook.port}",
        "--ServerApp.port_retries=0",
    ])?;
    if let Some(directory) = &notebook.directory {
        command.push(Template::literal(format!(
            "--ServerApp.root_dir={}",
            directory.display()
        )));
    }
    command.extend(notebook.args.iter().map(Template::literal));
    let mut env = arl::environment(arl::Of::Notebook)?;
    env.extend(base_environment(spec, &notebook.env));
    env.insert(SCHEDULER_ADDRESS.into(), cluster_address()?);
    env.insert(
        "JUPYTER_TOKEN_FILE".into(),
        "${secret.notebook-token.file}".parse()?,
    );
    // What the server writes about itself goes when the instance goes, even when the server is killed.
    env.insert("JUPYTER_RUNTIME_DIR".into(), "${scratch}/runtime".parse()?);
    env.insert(
        "JUPYTERLAB_WORKSPACES_DIR".into(),
        "${scratch}/workspaces".parse()?,
    );
    Ok(Role {
        name: NOTEBOOK,
        replicas: 1,
        scalable: false,
        after: vec![Dependency::Assigned(SCHEDULER)],
        image: Some(image(spec)),
        environment: Some(PYTHON),
        command,
        env,
        ports: vec![port(spec, "notebook", &NOTEBOOK, 8888)],
        resources: notebook.resources,
        keeps_memory_limit: false,
        working_directory: notebook.directory.clone(),
        // The one route that needs no token.
        ready: probe(HttpCheck {
            at: here(&NOTEBOOK),
            path: "/api".into(),
            expect: None,
        }),
        restart: Restart::default(),
        // On SIGINT Jupyter asks whether it is meant; on SIGTERM it ends its kernels and goes.
        stop: StopLadder {
            interrupt: None,
            terminate: Period::from_secs(10),
        },
        drain: None,
    })
}

/// Variables of all tasks and then those of the role.
fn base_environment(spec: &DaskSpec, own: &BTreeMap<String, String>) -> BTreeMap<String, Template> {
    let literal = |(name, value): (&String, &String)| (name.clone(), Template::literal(value.clone()));
    let mut env = BTreeMap::from([
        // What a task prints before it crashes is in its log.
        ("PYTHONUNBUFFERED".to_owned(), Template::literal("1")),
    ]);
    env.extend(spec.env.iter().map(literal));
    env.extend(own.iter().map(literal));
    env
}

fn cluster_address() -> Result<Template, TemplateError> {
    "tcp://${scheduler.client.address}".parse()
}

fn drain() -> Result<Drain, TemplateError> {
    let of_worker = |key: &'static str| -> Result<Vec<Template>, TemplateError> {
        Ok(vec![
            Template::literal("workers"),
            "tcp://${self.comm.address}".parse()?,
            Template::literal(key),
        ])
    };
    Ok(Drain {
        at: at_scheduler(),
        load_path: "/seaway/load".into(),
        work: of_worker("work")?,
        sole: of_worker("sole")?,
        weight: of_worker("bytes")?,
        release_path: "/seaway/release".into(),
        release_body: r#"{"workers": ["tcp://${self.comm.address}"]}"#.parse()?,
    })
}

fn busy() -> BusySignal {
    let above = |what: &str, key: &'static str, limit| NamedExpectation {
        what: what.into(),
        expect: Expectation {
            select: vec![Template::literal(key)],
            condition: Condition::Above(limit),
        },
    };
    BusySignal {
        at: at_scheduler(),
        path: "/json/counts.json".into(),
        busy: vec![
            above("tasks are processing", "processing", 0),
            above("tasks wait for others", "waiting", 0),
            above("tasks wait for a worker that can run them", "unrunnable", 0),
        ],
        // One "client" is the scheduler's own, for tasks that nobody waits for.
        attached: vec![above("a client is connected", "clients", 1)],
    }
}

fn words(words: &[&str]) -> Result<Vec<Template>, TemplateError> {
    words.iter().map(|word| word.parse()).collect()
}

fn file(name: &Name, file_name: &str, content: &str) -> PlanFile {
    PlanFile {
        name: name.clone(),
        file_name: file_name.into(),
        content: content.into(),
    }
}

fn here(port: &Name) -> PortReference {
    PortReference {
        role: None,
        port: port.clone(),
    }
}

fn at_scheduler() -> PortReference {
    PortReference {
        role: Some(SCHEDULER),
        port: DASHBOARD,
    }
}

/// A question over HTTP. Importing Dask from a cold disk can take a minute, and a scheduler that works on a large
/// graph answers late; neither is a failure.
fn probe(check: HttpCheck) -> Probe {
    Probe {
        check: Check::Http(check),
        interval: Period::from_secs(5),
        timeout: Period::from_secs(5),
        failures: 3,
        start_within: Period::from_secs(180),
    }
}

fn port(spec: &DaskSpec, endpoint: &str, name: &Name, usual: u16) -> PortPlan {
    let asked = spec.endpoints.get(endpoint);
    PortPlan {
        name: name.clone(),
        usual,
        fixed: asked.and_then(|asked| asked.port),
        host: asked.and_then(|asked| asked.host.clone()),
    }
}

fn worker_port(name: &Name, usual: u16) -> PortPlan {
    PortPlan {
        name: name.clone(),
        usual,
        fixed: None,
        host: None,
    }
}

fn endpoint(
    name: &'static str,
    role: &Name,
    port: &Name,
    scheme: &str,
    path: &str,
    token: Option<Name>,
) -> EndpointPlan {
    EndpointPlan {
        name: Name::literal(name),
        role: role.clone(),
        port: port.clone(),
        scheme: scheme.into(),
        path: path.into(),
        token,
    }
}

#[cfg(test)]
mod tests;
