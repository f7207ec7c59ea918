//! `seaway setup`: makes a cluster ready, and looks for mistakes in what is there.

mod check;
mod kubernetes;

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueHint};
use seaway_discovery::{
    Variables,
    kubernetes::api::{Connection, Settings},
};
use seaway_model::{Name, Period, discovery::KubernetesDirectory};

use crate::failure::{FAILED, Failure, Outcome, USAGE};

/// `seaway setup`.
#[derive(Debug, Args)]
pub(crate) struct SetupCommand {
    #[command(subcommand)]
    of: SetupOf,
}

/// What is set up.
#[derive(Debug, Subcommand)]
enum SetupOf {
    /// Make a namespace ready: service account, permissions, keys, certificates, registry.
    Kubernetes(Box<kubernetes::KubernetesSetupArguments>),
    /// Find mistakes in manifests, or in what is in a namespace.
    Check(check::CheckArguments),
}

/// Which cluster.
#[derive(Debug, Args)]
#[command(next_help_heading = "Cluster")]
struct ClusterArguments {
    /// File that says how to reach the cluster [default: KUBECONFIG, then the pod's own account, then ~/.kube/config].
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    kubeconfig: Option<PathBuf>,
    /// Context in that file [default: its current one].
    #[arg(long, value_name = "CONTEXT")]
    context: Option<String>,
    /// Kubernetes namespace [default: NAMESPACE, then that of the context or the pod].
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<Name>,
    /// Longest time for one request [default: 10s].
    #[arg(long, value_name = "TIME")]
    k8s_timeout: Option<Period>,
}

impl ClusterArguments {
    /// Whether a cluster is named on the command line.
    const fn is_named(&self) -> bool {
        self.kubeconfig.is_some() || self.context.is_some() || self.namespace.is_some()
    }

    fn connection(&self) -> Result<Connection, Failure> {
        let spec = KubernetesDirectory {
            kubeconfig: self.kubeconfig.clone(),
            context: self.context.clone(),
            namespace: self.namespace.clone(),
            timeout: self.k8s_timeout,
            ..KubernetesDirectory::default()
        };
        let settings = Settings::new(&spec, &Variables::of_process()).map_err(|error| Failure {
            code: USAGE,
            hint: error.hint(),
            error: error.into(),
        })?;
        Ok(Connection::new(settings))
    }
}

/// How a step that failed is told.
fn failure(error: seaway_setup::Error) -> Failure {
    Failure {
        code: if error.is_usage() { USAGE } else { FAILED },
        hint: error.hint(),
        error: error.into(),
    }
}

/// Does it.
pub(crate) async fn run(command: SetupCommand) -> Outcome {
    match command.of {
        SetupOf::Kubernetes(arguments) => kubernetes::run(*arguments).await,
        SetupOf::Check(arguments) => check::run(&arguments).await,
    }
}
