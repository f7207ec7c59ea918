//! Options of the directory `consul`.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use seaway_model::{Period, discovery::ConsulDirectory};

use super::{first_given, put};

/// How a Consul agent is reached, and what is put there.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Directory `consul`")]
#[expect(clippy::struct_field_names, reason = "the options are called like that")]
pub(crate) struct ConsulOptions {
    /// URL of the agent [default: CONSUL_HTTP_ADDR, then http://127.0.0.1:8500].
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    consul_url: Option<String>,
    /// Name of the Consul service [default: the name it is announced under].
    #[arg(long, value_name = "NAME")]
    consul_service: Option<String>,
    /// Tag beside the endpoint's own name. May be given several times.
    #[arg(long = "consul-tag", value_name = "TAG")]
    consul_tags: Vec<String>,
    /// Datacenter [default: the agent's own].
    #[arg(long, value_name = "DATACENTER")]
    consul_datacenter: Option<String>,
    /// Namespace, in the enterprise edition [default: CONSUL_NAMESPACE].
    #[arg(long, value_name = "NAMESPACE")]
    consul_namespace: Option<String>,
    /// File with an ACL token; read for every request [default: CONSUL_HTTP_TOKEN_FILE, or the token in
    /// CONSUL_HTTP_TOKEN].
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    consul_token_file: Option<PathBuf>,
    /// PEM file with the authorities to trust [default: CONSUL_CACERT].
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    consul_ca: Option<PathBuf>,
    /// PEM file with a client certificate [default: CONSUL_CLIENT_CERT].
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    consul_certificate: Option<PathBuf>,
    /// PEM file with the client certificate's key [default: CONSUL_CLIENT_KEY].
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    consul_key: Option<PathBuf>,
    /// After how long without renewal Consul itself removes the service, at least 1m [default: 1m].
    #[arg(long, value_name = "TIME")]
    consul_deregister_after: Option<Period>,
    /// Longest time for one request [default: 10s].
    #[arg(long, value_name = "TIME")]
    consul_timeout: Option<Period>,
}

impl ConsulOptions {
    pub(super) fn given(&self) -> Option<&'static str> {
        first_given([
            ("--consul-url", self.consul_url.is_some()),
            ("--consul-service", self.consul_service.is_some()),
            ("--consul-tag", !self.consul_tags.is_empty()),
            ("--consul-datacenter", self.consul_datacenter.is_some()),
            ("--consul-namespace", self.consul_namespace.is_some()),
            ("--consul-token-file", self.consul_token_file.is_some()),
            ("--consul-ca", self.consul_ca.is_some()),
            ("--consul-certificate", self.consul_certificate.is_some()),
            ("--consul-key", self.consul_key.is_some()),
            (
                "--consul-deregister-after",
                self.consul_deregister_after.is_some(),
            ),
            ("--consul-timeout", self.consul_timeout.is_some()),
        ])
    }

    pub(super) fn apply(&self, spec: &mut ConsulDirectory) {
        put(&mut spec.url, self.consul_url.as_ref());
        put(&mut spec.service, self.consul_service.as_ref());
        if !self.consul_tags.is_empty() {
            spec.tags.clone_from(&self.consul_tags);
        }
        put(&mut spec.datacenter, self.consul_datacenter.as_ref());
        put(&mut spec.namespace, self.consul_namespace.as_ref());
        put(&mut spec.token_file, self.consul_token_file.as_ref());
        put(&mut spec.ca_file, self.consul_ca.as_ref());
        put(&mut spec.certificate_file, self.consul_certificate.as_ref());
        put(&mut spec.key_file, self.consul_key.as_ref());
        put(&mut spec.deregister_after, self.consul_deregister_after.as_ref());
        put(&mut spec.timeout, self.consul_timeout.as_ref());
    }
}
