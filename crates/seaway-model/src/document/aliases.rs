//! Other names for `--set`: the ARL's `make` variables and the values of its Helm chart (facts/field.md 1.3 and 1.4), so
//! that the commands of those who come from there work.

mod changes;

use super::Kind;

/// The entry of `spec.data` that the names for the ARL's data stand for, and where tasks see it.
const DATA: (&str, &str) = ("arl", "/arl/data");

/// A name that can be set, and what that does.
#[derive(Debug, Clone, Copy)]
pub struct Alias {
    /// The name: `WORKER_MEM` is a `make` variable, `worker.replicaCount` a value of the chart.
    pub name: &'static str,
    /// What setting it does.
    pub effect: Effect,
    /// What it is for.
    pub meaning: &'static str,
}

/// What setting a name does to a document.
#[derive(Debug, Clone, Copy)]
pub enum Effect {
    /// The value is put at a path; keys after the name are keys after the path.
    At(&'static str),
    /// The value is the number of cores of a worker, which has as many threads, as the ARL's have.
    Cores,
    /// The value becomes the only item of a list.
    OnlyItem(&'static str),
    /// The value becomes the part before the tag of an image.
    ImageRepository(&'static str),
    /// The value becomes the tag of an image.
    ImageTag(&'static str),
    /// The ARL's data come from the NFS server of that name.
    DataServer,
    /// Tasks see the ARL's data there.
    DataPath,
    /// Nothing but an empty value is taken.
    Refused {
        /// Why.
        why: &'static str,
        /// What to do.
        instead: &'static str,
    },
}

const fn at(name: &'static str, path: &'static str, meaning: &'static str) -> Alias {
    with(name, Effect::At(path), meaning)
}

const fn with(name: &'static str, effect: Effect, meaning: &'static str) -> Alias {
    Alias {
        name,
        effect,
        meaning,
    }
}

const REPLICAS: &str = "spec.workers.replicas";
const MEMORY: &str = "spec.workers.resources.memory";
const CPU: &str = "spec.workers.resources.cpu";
const THREADS: &str = "spec.workers.threads";
const IMAGE: &str = "spec.kubernetes.image";
const PULL_SECRETS: &str = "spec.kubernetes.imagePullSecrets";
const SERVICE_TYPE: &str = "spec.kubernetes.serviceType";
const CLIENT_PORT: &str = "spec.endpoints.client.port";
const DASHBOARD_PORT: &str = "spec.endpoints.dashboard.port";
const NOTEBOOK_PORT: &str = "spec.endpoints.notebook.port";

const REGISTRY: Effect = Effect::Refused {
    why: "images are not pushed by this command",
    instead: "write the registry into `DOCKER_IMAGE`, like `registry.example.com/arl_img:1`",
};
const PASSWORD: Effect = Effect::Refused {
    why: "whoever lists the processes of this machine sees what is given on a command line",
    instead: "write it into a file that only you can read, and name that one: `--set notebook.tokenFile=FILE`; else Seaway \
              makes a token, and `seaway status NAME` says which file has it",
};

/// The names of a Dask instance.
const DASK: &[Alias] = &[
    at("WORKER_REPLICAS", REPLICAS, "how many workers"),
    at("WORKER_MEM", MEMORY, "memory of each worker, for example `512Mi`"),
    with(
        "WORKER_CPU",
        Effect::Cores,
        "cores and threads of each worker, for example `500m`",
    ),
    at("DOCKER_IMAGE", IMAGE, "the image of all roles"),
    with(
        "DOCKER_REPO",
        REGISTRY,
        "the registry to push to; only an empty one is taken",
    ),
    with(
        "NFS_SERVER",
        Effect::DataServer,
        "the NFS server with the data; it exports `/data`",
    ),
    with("WORKER_ARL_DATA", Effect::DataPath, "where tasks see the data"),
    with("JUPYTER_PASSWORD", PASSWORD, "what opens the notebook"),
    at("NOTEBOOK_PORT", NOTEBOOK_PORT, "the port of the notebook server"),
    at("DASK_PORT_SCHEDULER", CLIENT_PORT, "the port of the scheduler"),
    at(
        "DASK_PORT_BOKEH",
        DASHBOARD_PORT,
        "the port of the scheduler's dashboard",
    ),
    at("KUBE_NAMESPACE", "spec.kubernetes.namespace", "the namespace"),
    at("HELM_RELEASE", "metadata.name", "the name of the instance"),
    at("worker.replicaCount", REPLICAS, "how many workers"),
    at("resources.limits.memory", MEMORY, "memory of each worker"),
    with(
        "resources.limits.cpu",
        Effect::Cores,
        "cores and threads of each worker",
    ),
    // As the ARL's instructions write them; its chart passed them over without a word.
    at(
        "resource.limits.memory",
        MEMORY,
        "the same, as the ARL's instructions write it",
    ),
    with(
        "resource.limits.cpu",
        Effect::Cores,
        "the same, as the ARL's instructions write it",
    ),
    with(
        "image.repository",
        Effect::ImageRepository(IMAGE),
        "the image of all roles, without its tag",
    ),
    with(
        "image.tag",
        Effect::ImageTag(IMAGE),
        "the tag of that image; after `image.repository`",
    ),
    at(
        "image.pullPolicy",
        "spec.kubernetes.imagePullPolicy",
        "when images are pulled",
    ),
    with(
        "image.pullSecret",
        Effect::OnlyItem(PULL_SECRETS),
        "the Secret with the registry's credentials",
    ),
    with(
        "image.secrets[0].name",
        Effect::OnlyItem(PULL_SECRETS),
        "the same, as the ARL's instructions write it",
    ),
    with(
        "nfs.server",
        Effect::DataServer,
        "the NFS server with the data; it exports `/data`",
    ),
    with("jupyter.password", PASSWORD, "what opens the notebook"),
    at(
        "notebook.service.type",
        SERVICE_TYPE,
        "the type of the Services that clients use; one for all",
    ),
    at(
        "daskscheduler.service.type",
        SERVICE_TYPE,
        "the type of the Services that clients use; one for all",
    ),
    at(
        "notebook.service.jupyter.port",
        NOTEBOOK_PORT,
        "the port of the notebook server",
    ),
    at(
        "daskscheduler.service.scheduler.port",
        CLIENT_PORT,
        "the port of the scheduler",
    ),
    at(
        "daskscheduler.service.bokeh.port",
        DASHBOARD_PORT,
        "the port of the scheduler's dashboard",
    ),
    at(
        "nodeSelector",
        "spec.kubernetes.pods.nodeSelector",
        "labels of nodes that pods may run on",
    ),
    at(
        "tolerations",
        "spec.kubernetes.pods.tolerations",
        "taints of nodes that pods tolerate",
    ),
    at(
        "affinity",
        "spec.kubernetes.pods.affinity",
        "affinity of all pods",
    ),
];

/// The names that can be set for a kind beside the paths of its documents.
#[must_use]
pub const fn aliases(kind: Kind) -> &'static [Alias] {
    match kind {
        Kind::Dask => DASK,
    }
}

/// The alias that a key is, or begins with.
pub(super) fn find(kind: Kind, key: &str) -> Option<&'static Alias> {
    aliases(kind).iter().find(|alias| alias.is(key))
}

/// The alias of any kind.
pub(super) fn any(key: &str) -> Option<&'static Alias> {
    Kind::ALL.iter().find_map(|kind| find(*kind, key))
}

/// Whether what a key is set to is to be kept from messages; misspelt ones too.
pub(super) fn is_secret(key: &str) -> bool {
    let key = key.to_uppercase();
    key.contains("PAS") || key.contains("TOKEN")
}

/// The `make` variables of all kinds.
pub(super) fn variables() -> Vec<&'static str> {
    names().filter(|name| is_variable(name)).collect()
}

/// The values of charts of all kinds.
pub(super) fn chart_values() -> impl Iterator<Item = &'static str> {
    names().filter(|name| !is_variable(name))
}

fn names() -> impl Iterator<Item = &'static str> {
    Kind::ALL
        .iter()
        .flat_map(|kind| aliases(*kind))
        .map(|alias| alias.name)
}

fn is_variable(name: &str) -> bool {
    !name.contains(|c: char| c.is_ascii_lowercase())
}

impl Alias {
    /// Whether it is a variable of `make`, and not a value of a chart.
    #[must_use]
    pub fn is_variable(&self) -> bool {
        is_variable(self.name)
    }

    /// What it changes in a document, in words.
    #[must_use]
    pub fn target(&self) -> String {
        let (name, path) = DATA;
        match self.effect {
            Effect::At(path) => format!("`{path}`"),
            Effect::Cores => format!("`{CPU}`; `{THREADS}` is taken out, so that it follows"),
            Effect::OnlyItem(path) => format!("`{path}`, as its only item"),
            Effect::ImageRepository(path) => format!("`{path}`, up to the tag"),
            Effect::ImageTag(path) => format!("`{path}`, its tag"),
            Effect::DataServer => format!(
                "`volume.nfs.server` of the item `{name}` of `spec.data`, which is made (with `path: {path}`) when it is not \
                 there"
            ),
            Effect::DataPath => {
                format!("`path` of the item `{name}` of `spec.data`, which is made when it is not there")
            }
            Effect::Refused { why, instead } => format!("refused: {why}; {instead}"),
        }
    }

    fn is(&self, key: &str) -> bool {
        key.strip_prefix(self.name).is_some_and(|rest| {
            rest.is_empty() || matches!(self.effect, Effect::At(_)) && rest.starts_with(['.', '['])
        })
    }
}
