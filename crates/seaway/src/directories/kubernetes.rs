//! Options of the directory `kubernetes`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};
use seaway_agent::run::options;
use seaway_discovery::{Defaults, Variables};
use seaway_model::{
    Endpoint, Name, Period,
    discovery::{KubernetesDirectory, KubernetesPlacement},
};

use super::{
    first_given, put,
    services::{ServiceArgument, add_services, service},
};
use crate::failure::{Failure, USAGE};

/// How a Kubernetes cluster is reached, and what is put there.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Directory `kubernetes`")]
pub(crate) struct KubernetesOptions {
    /// File that says how to reach the cluster [default: KUBECONFIG, then the pod's own account, then ~/.kube/config].
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    kubeconfig: Option<PathBuf>,
    /// Context in that file [default: its current one].
    #[arg(long, value_name = "CONTEXT")]
    context: Option<String>,
    /// URL of the API server, instead of a kubeconfig [default: K8S_HOST].
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    k8s_server: Option<String>,
    /// Kubernetes namespace [default: NAMESPACE, then that of the context or the pod].
    #[arg(long, value_name = "NAMESPACE")]
    namespace: Option<Name>,
    /// File with a bearer token; read again when it has been rotated [default: SSL_TOKEN, which is the token itself].
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    k8s_token_file: Option<PathBuf>,
    /// PEM file with the authorities to trust [default: CACERT_FILE].
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    k8s_ca: Option<PathBuf>,
    /// PEM file with a client certificate [default: CERT_FILE].
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    k8s_certificate: Option<PathBuf>,
    /// PEM file with the client certificate's key [default: KEY_FILE].
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    k8s_key: Option<PathBuf>,
    /// Longest time for one request [default: 10s].
    #[arg(long, value_name = "TIME")]
    k8s_timeout: Option<Period>,
    /// Service of all endpoints (NAME), or Service and port of one (ENDPOINT=NAME, ENDPOINT=NAME:PORT, ENDPOINT=:PORT).
    ///
    /// Without it the Service has the name it is announced under, and the ports that the endpoints listen on. May be
    /// given several times.
    #[arg(long = "service", value_name = "SERVICE", value_parser = service)]
    services: Vec<ServiceArgument>,
    /// Where the engine runs, as seen from the cluster [default: found out].
    #[arg(long, value_enum, value_name = "WHERE")]
    placement: Option<PlacementArgument>,
    /// Label of the engine's pod, for the Service of an engine inside [default: the pod this runs in]. May be given
    /// several times.
    #[arg(long = "selector", value_name = "KEY=VALUE", value_parser = options::label)]
    selector: Vec<(String, String)>,
    /// Write the old `Endpoints` instead of an EndpointSlice, for clients that read nothing else.
    #[arg(long)]
    legacy_endpoints: bool,
}

/// Where an engine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PlacementArgument {
    /// In a pod of the cluster.
    Inside,
    /// Elsewhere.
    Outside,
}

impl From<PlacementArgument> for KubernetesPlacement {
    fn from(placement: PlacementArgument) -> Self {
        match placement {
            PlacementArgument::Inside => Self::Inside,
            PlacementArgument::Outside => Self::Outside,
        }
    }
}

impl KubernetesOptions {
    /// The directory itself, for commands that are about nothing else.
    pub(crate) fn directory(&self) -> Result<seaway_discovery::KubernetesDirectory, Failure> {
        let mut spec = KubernetesDirectory::default();
        self.apply(&mut spec, &[])?;
        let defaults = Defaults {
            variables: Variables::of_process(),
            ..Defaults::default()
        };
        seaway_discovery::KubernetesDirectory::open(&spec, &defaults).map_err(|error| Failure {
            code: USAGE,
            hint: error.hint(),
            error: error.into(),
        })
    }

    pub(super) fn given(&self) -> Option<&'static str> {
        first_given([
            ("--kubeconfig", self.kubeconfig.is_some()),
            ("--context", self.context.is_some()),
            ("--k8s-server", self.k8s_server.is_some()),
            ("--namespace", self.namespace.is_some()),
            ("--k8s-token-file", self.k8s_token_file.is_some()),
            ("--k8s-ca", self.k8s_ca.is_some()),
            ("--k8s-certificate", self.k8s_certificate.is_some()),
            ("--k8s-key", self.k8s_key.is_some()),
            ("--k8s-timeout", self.k8s_timeout.is_some()),
            ("--service", !self.services.is_empty()),
            ("--placement", self.placement.is_some()),
            ("--selector", !self.selector.is_empty()),
            ("--legacy-endpoints", self.legacy_endpoints),
        ])
    }

    pub(super) fn apply(
        &self,
        spec: &mut KubernetesDirectory,
        endpoints: &[Endpoint],
    ) -> Result<(), Failure> {
        put(&mut spec.kubeconfig, self.kubeconfig.as_ref());
        put(&mut spec.context, self.context.as_ref());
        put(&mut spec.server, self.k8s_server.as_ref());
        put(&mut spec.namespace, self.namespace.as_ref());
        put(&mut spec.token_file, self.k8s_token_file.as_ref());
        put(&mut spec.ca_file, self.k8s_ca.as_ref());
        put(&mut spec.certificate_file, self.k8s_certificate.as_ref());
        put(&mut spec.key_file, self.k8s_key.as_ref());
        put(&mut spec.timeout, self.k8s_timeout.as_ref());
        let placement = self.placement.map(KubernetesPlacement::from);
        put(&mut spec.placement, placement.as_ref());
        if !self.selector.is_empty() {
            spec.selector = self.selector.iter().cloned().collect();
        }
        spec.legacy_endpoints |= self.legacy_endpoints;
        add_services(&mut spec.services, &self.services, endpoints)
    }
}
