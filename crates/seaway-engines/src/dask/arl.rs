//! The environment variables of the ARL, with today's values (facts/field.md 1.2).
//!
//! Dask takes every variable that begins with `DASK_` for a setting of its own, so each of these was tried with the
//! release that is pinned. What would change how Dask works is in [`NOT_SET`].

use std::collections::BTreeMap;

use seaway_model::{
    document::{Resources, WorkersSpec},
    plan::{Template, TemplateError},
};

/// A variable that tasks get.
#[derive(Debug, Clone, Copy)]
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// Its value in the scheduler.
    pub scheduler: Option<Value>,
    /// Its value in each worker.
    pub worker: Option<Value>,
    /// Its value in the notebook server and in its kernels.
    pub notebook: Option<Value>,
    /// What it is.
    pub meaning: &'static str,
}

/// Where a value comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// What the platform knows: a template.
    Known(&'static str),
    /// The cores of the role, rounded up to whole ones; no variable when the document gives none.
    Cores,
    /// The memory of the role in bytes; no variable when the document gives none.
    Bytes,
    /// Dask's abstract resources: `GPU=2`; empty when there are none.
    Tags,
}

/// A variable of the scheduler and the workers.
const fn of_cluster(
    name: &'static str,
    scheduler: Option<Value>,
    worker: Option<Value>,
    meaning: &'static str,
) -> Variable {
    Variable {
        name,
        scheduler,
        worker,
        notebook: None,
        meaning,
    }
}

/// The variables that tasks get.
pub const VARIABLES: &[Variable] = &[
    Variable {
        name: "ARL_DASK_SCHEDULER",
        scheduler: None,
        worker: Some(Value::Known("${scheduler.client.address}")),
        notebook: Some(Value::Known("${scheduler.client.address}")),
        meaning: "where the ARL's `get_dask_Client()` finds the scheduler",
    },
    of_cluster(
        "DASK_HOST_NAME",
        Some(Value::Known("${self.client.host}")),
        Some(Value::Known("${self.comm.host}")),
        "the address of the task",
    ),
    of_cluster(
        "DASK_PORT_SCHEDULER",
        Some(Value::Known("${self.client.port}")),
        Some(Value::Known("${scheduler.client.port}")),
        "the port of the scheduler",
    ),
    of_cluster(
        "DASK_PORT_BOKEH",
        Some(Value::Known("${self.dashboard.port}")),
        Some(Value::Known("${self.dashboard.port}")),
        "the port of the task's own dashboard",
    ),
    of_cluster(
        "DASK_PORT_WORKER",
        None,
        Some(Value::Known("${self.comm.port}")),
        "the port of the worker",
    ),
    of_cluster(
        "DASK_PORT_NANNY",
        None,
        Some(Value::Known("0")),
        "workers have no nanny: the platform starts them again. `0` is Dask's word for any free port",
    ),
    of_cluster(
        "DASK_LOCAL_DIRECTORY",
        Some(Value::Known("${scratch}")),
        Some(Value::Known("${scratch}")),
        "where temporary data goes; the task's own folder, which goes with the instance",
    ),
    of_cluster(
        "DASK_RESOURCES",
        None,
        Some(Value::Tags),
        "Dask's abstract resources of the worker (`spec.workers.tags`)",
    ),
    of_cluster(
        "DASK_NAME",
        Some(Value::Known("${instance}-${task}")),
        Some(Value::Known("${instance}-${task}")),
        "the name of the task with that of the instance; of a worker on Kubernetes, its pod's name",
    ),
    of_cluster(
        "K8S_APP_NAME",
        Some(Value::Known("${instance}-${task}")),
        Some(Value::Known("${instance}-${task}")),
        "the same",
    ),
    of_cluster(
        "DASK_UID",
        Some(Value::Known("${task}")),
        Some(Value::Known("${task}")),
        "the name that Dask knows the worker by; it stays when the worker starts again",
    ),
    of_cluster(
        "DASK_CPU_LIMIT",
        Some(Value::Cores),
        Some(Value::Cores),
        "whole cores, rounded up; not set without `resources.cpu`",
    ),
    of_cluster(
        "DASK_MEM_LIMIT",
        Some(Value::Bytes),
        Some(Value::Bytes),
        "bytes; not set without `resources.memory`. Dask itself is told four fifths of it",
    ),
    Variable {
        name: "NOTEBOOK_PORT",
        scheduler: None,
        worker: None,
        notebook: Some(Value::Known("${self.notebook.port}")),
        meaning: "the port of the notebook server",
    },
];

/// Variables of the ARL that no task gets: name, why, what there is instead.
pub const NOT_SET: &[(&str, &str, &str)] = &[
    (
        "DASK_SCHEDULER",
        "Dask reads it as its setting `scheduler`, which is not an address: with a host in it `compute()` fails without a \
         client (\"Expected one of [distributed, multiprocessing, …]\")",
        "`DASK_SCHEDULER_ADDRESS` (`tcp://host:port`), which `Client()` reads, and `ARL_DASK_SCHEDULER` (`host:port`)",
    ),
    (
        "DASK_BOKEH_WHITELIST",
        "it named those from whose pages the dashboard may be opened, and today all are let in",
        "`spec.scheduler.env`: `DASK_DISTRIBUTED__SCHEDULER__DASHBOARD__BOKEH_APPLICATION__ALLOW_WEBSOCKET_ORIGIN`",
    ),
    (
        "DASK_BOKEH_APP_PREFIX",
        "the dashboard is at the root of its port",
        "`scheduler.args: [--dashboard-prefix, PREFIX]`",
    ),
    (
        "JUPYTER_PASSWORD",
        "whatever a cell prints is saved in its notebook, so no variable that a kernel can see holds what opens the \
         server (the ARL took it out of its kernels' environment too)",
        "`JUPYTER_TOKEN_FILE`: the path of a file that only its user can read, with the token",
    ),
];

/// The roles that have variables of their own.
#[derive(Debug, Clone, Copy)]
pub(super) enum Of<'a> {
    Scheduler(&'a Resources),
    Worker(&'a WorkersSpec),
    Notebook,
}

/// The variables of a role.
pub(super) fn environment(of: Of<'_>) -> Result<BTreeMap<String, Template>, TemplateError> {
    let mut environment = BTreeMap::new();
    for variable in VARIABLES {
        let (value, resources) = match of {
            Of::Scheduler(resources) => (variable.scheduler, Some(resources)),
            Of::Worker(workers) => (variable.worker, Some(&workers.resources)),
            Of::Notebook => (variable.notebook, None),
        };
        let cores = || Some(resources?.cpu?.cores_rounded_up().to_string());
        let bytes = || Some(resources?.memory?.bytes().to_string());
        let value = match value {
            Some(Value::Known(template)) => Some(template.parse()?),
            Some(Value::Cores) => cores().map(Template::literal),
            Some(Value::Bytes) => bytes().map(Template::literal),
            Some(Value::Tags) => match of {
                Of::Worker(workers) => Some(Template::literal(tags(workers))),
                _ => None,
            },
            None => None,
        };
        if let Some(value) = value {
            environment.insert(variable.name.to_owned(), value);
        }
    }
    Ok(environment)
}

/// Abstract resources as Dask's command line has them.
pub(super) fn tags(workers: &WorkersSpec) -> String {
    let tags: Vec<String> = workers
        .tags
        .iter()
        .map(|(name, amount)| format!("{name}={amount}"))
        .collect();
    tags.join(" ")
}
