//! `seaway rbac`: the least that must be allowed in a Kubernetes namespace.

use clap::{Args, ValueEnum};
use seaway_discovery::kubernetes::access::{self, Work};
use seaway_model::{Name, discovery::KubernetesPlacement};
use serde::Serialize;
use serde_json::{Value, json};

use crate::{
    directories::PlacementArgument,
    failure::{FAILED, Failure, Outcome},
    output,
};

const EXAMPLES: &str = "\
Examples:
  An agent outside of the cluster, which announces and nothing else:
    seaway rbac --namespace analytics | kubectl apply -f -
    kubectl create token seaway --namespace analytics > token

  An agent beside an engine in a pod, whose labels are known:
    seaway rbac --namespace analytics --placement inside --selector

  Somebody who runs instances in a namespace of a cluster:
    seaway rbac --namespace analytics --for run --name engine-runners

  Somebody who looks for engines, and somebody who clears away what has expired:
    seaway rbac --namespace analytics --for discover --name engine-readers
    seaway rbac --namespace analytics --for gc --name engine-gc

`seaway doctor kubernetes` shows which of these permissions the account in use has.";

/// `seaway rbac`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct RbacArguments {
    /// What is to be allowed, separated by commas.
    #[arg(
        long = "for",
        value_enum,
        value_delimiter = ',',
        value_name = "WORK",
        default_value = "announce"
    )]
    pub(crate) work: Vec<WorkArgument>,
    /// Namespace that it is allowed in, and in which the service account is.
    #[arg(long, value_name = "NAMESPACE", default_value = "default")]
    pub(crate) namespace: Name,
    /// Name of the Role and of the RoleBinding.
    #[arg(long, value_name = "NAME", default_value = "seaway")]
    pub(crate) name: Name,
    /// Service account that it is allowed to.
    #[arg(long, value_name = "NAME", default_value = "seaway")]
    pub(crate) service_account: Name,
    /// Leave the service account out, because it is there already.
    #[arg(long)]
    pub(crate) no_service_account: bool,
    /// Where announced engines run, as seen from the cluster.
    #[arg(long, value_enum, value_name = "WHERE", default_value = "outside")]
    pub(crate) placement: PlacementArgument,
    /// The labels of pods are given with --selector or in the document; the agent need not label its pod.
    #[arg(long)]
    pub(crate) selector: bool,
    /// The old `Endpoints` are written instead of EndpointSlices.
    #[arg(long)]
    pub(crate) legacy_endpoints: bool,
    /// Form of the output; YAML is for `kubectl apply -f -`, and so is JSON.
    #[arg(short, long, value_enum, value_name = "FORM", default_value = "yaml")]
    pub(crate) output: FormArgument,
}

/// What is to be done in a namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum WorkArgument {
    /// Announcing engines (`run`, `agent`, `register`, `up`).
    Announce,
    /// Finding engines (`discovery ls`, `discovery get`).
    Discover,
    /// Removing entries whose lease has run out (`discovery gc`).
    Gc,
    /// Running instances as pods (`up --on kubernetes` and all that follows).
    Run,
}

/// Forms of output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormArgument {
    /// YAML documents.
    Yaml,
    /// One JSON object of kind `List`.
    Json,
}

impl WorkArgument {
    pub(crate) const fn with(self, announcing: Work) -> Work {
        match self {
            Self::Announce => announcing,
            Self::Discover => Work::Discover,
            Self::Gc => Work::Collect,
            Self::Run => Work::Run,
        }
    }
}

impl RbacArguments {
    fn objects(&self) -> Vec<Value> {
        let announcing = Work::Announce {
            placement: KubernetesPlacement::from(self.placement),
            legacy_endpoints: self.legacy_endpoints,
            selector: self.selector,
        };
        let work: Vec<Work> = self.work.iter().map(|work| work.with(announcing)).collect();
        let account = json!({
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": { "name": self.service_account, "namespace": self.namespace },
        });
        let account = (!self.no_service_account).then_some(account);
        let role = access::role(
            self.name.as_str(),
            self.namespace.as_str(),
            self.service_account.as_str(),
            &work,
        );
        account.into_iter().chain(role).collect()
    }
}

/// Prints it. Asks no cluster.
pub(crate) fn run(arguments: &RbacArguments) -> Outcome {
    let objects = arguments.objects();
    let text = match arguments.output {
        FormArgument::Json => {
            let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
            serde_json::to_string_pretty(&list)?
        }
        FormArgument::Yaml => {
            let documents: Vec<String> = objects.iter().map(yaml).collect::<Result<_, _>>()?;
            documents.join("---\n")
        }
    };
    output::print(text.trim_end())?;
    Ok(0)
}

fn yaml(object: &impl Serialize) -> Result<String, Failure> {
    serde_saphyr::to_string(object).map_err(|error| Failure::new(FAILED, error))
}
