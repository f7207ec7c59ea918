//! Which cluster is meant, and who we are there.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use kube::{
    Config,
    config::{KubeConfigOptions, Kubeconfig},
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use seaway_model::discovery::{self, KubernetesPlacement};

use crate::{Error, Result, Variables, variables};

/// Where Kubernetes puts the identity of a pod.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// Longest time for one request, where the document says nothing.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest time for a connection to come about.
const LONGEST_CONNECT: Duration = Duration::from_secs(5);

/// The settings of a document, with the environment's behind them.
#[derive(Debug)]
pub struct Settings {
    source: Source,
    pub(crate) namespace: Option<String>,
    token_file: Option<PathBuf>,
    token: Option<Token>,
    certificate_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    ca_file: Option<PathBuf>,
    pub(crate) timeout: Duration,
    /// Where the engine runs.
    pub(crate) placement: KubernetesPlacement,
    /// Name of the pod this runs in.
    pub(crate) pod: Option<String>,
}

/// A token of the environment; not shown.
#[derive(Clone)]
struct Token(String);

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[redacted]")
    }
}

/// What says which cluster is meant.
#[derive(Debug, PartialEq, Eq)]
enum Source {
    /// The URL of its API server.
    Server(String),
    /// The service account of the pod this runs in, at this address.
    Pod(String),
    /// Files, the first of which wins where they differ, and a context in them.
    Kubeconfig(Vec<PathBuf>, Option<String>),
}

/// What cannot be right in what was asked for.
pub fn configuration(field: &'static str, reason: impl Into<String>) -> Error {
    Error::Configuration {
        directory: "kubernetes",
        field,
        reason: reason.into(),
    }
}

impl Settings {
    /// What the document says, and behind it the environment. Nothing is read.
    pub fn new(spec: &discovery::KubernetesDirectory, variables: &Variables) -> Result<Self> {
        let source = source(spec, variables)?;
        if let Source::Server(url) = &source {
            check_url(url)?;
        }
        let file = |given: &Option<PathBuf>, name: &str| {
            given.clone().or_else(|| variables.get(name).map(PathBuf::from))
        };
        // What the environment says about identity belongs to the server that it names.
        let from_environment = spec.kubeconfig.is_none() && spec.context.is_none();
        let token = variables
            .get(variables::SSL_TOKEN)
            .filter(|_| from_environment && spec.token_file.is_none() && matches!(source, Source::Server(_)))
            .map(|token| Token(token.to_owned()));
        let given = |given: &Option<PathBuf>, name: &str| {
            if matches!(source, Source::Server(_)) {
                file(given, name)
            } else {
                given.clone()
            }
        };
        let certificate_file = given(&spec.certificate_file, variables::CERT_FILE);
        let key_file = given(&spec.key_file, variables::KEY_FILE);
        if certificate_file.is_some() != key_file.is_some() {
            return Err(configuration(
                "certificateFile",
                "a client certificate and its key go together; only one of the two is given",
            ));
        }
        let ca_file = given(&spec.ca_file, variables::CACERT_FILE);
        let in_pod = variables.get(variables::KUBERNETES_SERVICE_HOST).is_some();
        let placement = spec.placement.unwrap_or(if matches!(source, Source::Pod(_)) {
            KubernetesPlacement::Inside
        } else {
            KubernetesPlacement::Outside
        });
        let pod = variables
            .get(variables::POD_NAME)
            .map(str::to_owned)
            .or_else(|| in_pod.then(host_name).flatten());
        Ok(Self {
            source,
            namespace: spec
                .namespace
                .as_ref()
                .map(ToString::to_string)
                .or_else(|| variables.get(variables::NAMESPACE).map(str::to_owned)),
            token_file: spec.token_file.clone(),
            token,
            certificate_file,
            key_file,
            ca_file,
            timeout: spec
                .timeout
                .map_or(DEFAULT_TIMEOUT, seaway_model::Period::duration),
            placement,
            pod,
        })
    }

    /// The cluster in words, before anything has been read.
    pub fn describe(&self) -> String {
        match &self.source {
            Source::Server(url) | Source::Pod(url) => url.clone(),
            Source::Kubeconfig(_, Some(context)) => format!("context `{context}`"),
            Source::Kubeconfig(files, None) => files
                .first()
                .map_or_else(String::new, |file| file.display().to_string()),
        }
    }

    /// Reads files, and says how the cluster is reached. With the secrets that may not be told.
    pub(super) async fn read(&self) -> Result<(Config, Vec<String>)> {
        let mut config = match &self.source {
            Source::Server(url) => Config::new(
                url.parse()
                    .map_err(|error| configuration("server", format!("it is not a URL: {error}")))?,
            ),
            Source::Pod(url) => Self::of_pod(url)?,
            Source::Kubeconfig(files, context) => of_files(files, context.as_deref()).await?,
        };
        if let Some(path) = &self.ca_file {
            config.root_cert = Some(authorities(path)?);
        }
        if let Some(path) = &self.token_file {
            read_token(path)?;
            config.auth_info.token = None;
            config.auth_info.token_file = Some(path.display().to_string());
        } else if let Some(Token(token)) = &self.token {
            config.auth_info.token = Some(token.clone().into());
        }
        if let (Some(certificate), Some(key)) = (&self.certificate_file, &self.key_file) {
            read("client certificate", certificate)?;
            read("client key", key)?;
            config.auth_info.client_certificate = Some(certificate.display().to_string());
            config.auth_info.client_key = Some(key.display().to_string());
        }
        config.connect_timeout = Some(self.timeout.min(LONGEST_CONNECT));
        // Each request has its time; a connection that is idle between two renewals is to stay.
        config.read_timeout = None;
        config.write_timeout = Some(self.timeout);
        // Tried again here, within the time that an operation has.
        config.default_retry = false;
        if config.accept_invalid_certs {
            tracing::warn!("the kubeconfig switches off the verification of the API server's certificate");
        }
        let secrets = [self.token.clone().map(|token| token.0)]
            .into_iter()
            .flatten()
            .collect();
        Ok((config, secrets))
    }

    fn of_pod(url: &str) -> Result<Config> {
        let folder = Path::new(SERVICE_ACCOUNT);
        let mut config = Config::new(
            url.parse()
                .map_err(|error| configuration("server", format!("`{url}` is not a URL: {error}")))?,
        );
        config.root_cert = Some(authorities(&folder.join("ca.crt"))?);
        // The projected token is rotated.
        config.auth_info.token_file = Some(folder.join("token").display().to_string());
        let namespace = read("namespace", &folder.join("namespace"))?;
        String::from_utf8_lossy(&namespace)
            .trim()
            .clone_into(&mut config.default_namespace);
        Ok(config)
    }
}

/// What says which cluster is meant: the document before the environment before what is lying about.
fn source(spec: &discovery::KubernetesDirectory, variables: &Variables) -> Result<Source> {
    let context = || spec.context.clone();
    if let Some(url) = &spec.server {
        if spec.kubeconfig.is_some() || spec.context.is_some() {
            return Err(configuration("server", "give either a server or a kubeconfig"));
        }
        return Ok(Source::Server(url.clone()));
    }
    if let Some(file) = &spec.kubeconfig {
        return Ok(Source::Kubeconfig(vec![file.clone()], context()));
    }
    if spec.context.is_none()
        && let Some(url) = variables.get(variables::K8S_HOST)
    {
        return Ok(Source::Server(url.to_owned()));
    }
    if let Some(files) = variables.get(variables::KUBECONFIG) {
        return Ok(Source::Kubeconfig(
            std::env::split_paths(files)
                .filter(|path| !path.as_os_str().is_empty())
                .collect(),
            context(),
        ));
    }
    if spec.context.is_none()
        && let Some(host) = variables.get(variables::KUBERNETES_SERVICE_HOST)
    {
        let port = variables.get(variables::KUBERNETES_SERVICE_PORT).unwrap_or("443");
        let host = if host.contains(':') {
            format!("[{host}]")
        } else {
            host.to_owned()
        };
        return Ok(Source::Pod(format!("https://{host}:{port}")));
    }
    let home = variables.get(variables::HOME).unwrap_or("/");
    Ok(Source::Kubeconfig(
        vec![Path::new(home).join(".kube/config")],
        context(),
    ))
}

fn check_url(url: &str) -> Result<()> {
    let parsed = reqwest::Url::parse(url)
        // Neither the text nor the parser's words are shown: it may hold a password.
        .map_err(|_| configuration("server", "it is not a URL such as https://host:6443"))?;
    if !matches!(parsed.scheme(), "https" | "http") || parsed.host_str().is_none() {
        return Err(configuration(
            "server",
            "it is not a URL such as https://host:6443",
        ));
    }
    if !parsed.username().is_empty() || parsed.password().is_some() || parsed.query().is_some() {
        return Err(configuration(
            "server",
            "a user, a password or a query cannot stand in it; use `tokenFile` or a client certificate",
        ));
    }
    Ok(())
}

async fn of_files(files: &[PathBuf], context: Option<&str>) -> Result<Config> {
    let wrong = |path: &Path, reason: String| Error::Credential {
        what: "kubeconfig",
        path: path.to_owned(),
        reason,
    };
    let shown = files.first().cloned().unwrap_or_default();
    let mut merged: Option<Kubeconfig> = None;
    for path in files {
        // As kubectl does: of several files some may be missing.
        if files.len() > 1 && !path.exists() {
            continue;
        }
        let one =
            Kubeconfig::read_from(path).map_err(|error| wrong(path, crate::http::answer::chain(&error)))?;
        merged = Some(match merged {
            None => one,
            Some(before) => before
                .merge(one)
                .map_err(|error| wrong(path, crate::http::answer::chain(&error)))?,
        });
    }
    let merged = merged.ok_or_else(|| wrong(&shown, "there is no such file".to_owned()))?;
    let options = KubeConfigOptions {
        context: context.map(str::to_owned),
        ..KubeConfigOptions::default()
    };
    Config::from_custom_kubeconfig(merged, &options)
        .await
        .map_err(|error| wrong(&shown, crate::http::answer::chain(&error)))
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| Error::Credential {
        what,
        path: path.to_owned(),
        reason: error.to_string(),
    })
}

/// Only looked at, to say early and well what is wrong; the client reads it again whenever it may have been rotated.
fn read_token(path: &Path) -> Result<()> {
    let what = "token";
    let bytes = read(what, path)?;
    let text = String::from_utf8_lossy(&bytes);
    let wrong = |reason: &str| Error::Credential {
        what,
        path: path.to_owned(),
        reason: reason.to_owned(),
    };
    match text.trim() {
        "" => Err(wrong("the file is empty")),
        token if token.chars().any(|c| !c.is_ascii_graphic()) => Err(wrong(
            "it has characters that no token has, such as a line break in the middle",
        )),
        _ => Ok(()),
    }
}

/// The certificates in a PEM file, as DER.
fn authorities(path: &Path) -> Result<Vec<Vec<u8>>> {
    let what = "CA certificates";
    let pem = read(what, path)?;
    let wrong = |reason: String| Error::Credential {
        what,
        path: path.to_owned(),
        reason,
    };
    let found: Vec<Vec<u8>> = CertificateDer::pem_slice_iter(&pem)
        .map(|certificate| certificate.map(|der| der.to_vec()))
        .collect::<Result<_, _>>()
        .map_err(|error| wrong(error.to_string()))?;
    if found.is_empty() {
        return Err(wrong("there is no certificate in it".to_owned()));
    }
    Ok(found)
}

fn host_name() -> Option<String> {
    fs::read_to_string("/proc/sys/kernel/hostname")
        .ok()
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(all: &[(&str, &str)]) -> Variables {
        all.iter().copied().collect()
    }

    fn source_of(spec: &discovery::KubernetesDirectory, all: &[(&str, &str)]) -> Source {
        source(spec, &variables(all)).unwrap()
    }

    #[test]
    fn the_document_comes_before_the_environment_before_what_is_lying_about() {
        let none = discovery::KubernetesDirectory::default();
        let everything = [
            ("K8S_HOST", "https://h:1"),
            ("KUBECONFIG", "/a:/b"),
            ("KUBERNETES_SERVICE_HOST", "10.0.0.1"),
            ("HOME", "/home"),
        ];
        let server = |url: &str| Source::Server(url.to_owned());
        assert_eq!(source_of(&none, &everything), server("https://h:1"));
        let files = Source::Kubeconfig(vec!["/a".into(), "/b".into()], None);
        assert_eq!(source_of(&none, &everything[1..]), files);
        assert_eq!(
            source_of(&none, &everything[2..]),
            Source::Pod("https://10.0.0.1:443".into())
        );
        let home = Source::Kubeconfig(vec!["/home/.kube/config".into()], None);
        assert_eq!(source_of(&none, &everything[3..]), home);
        let spec = discovery::KubernetesDirectory {
            server: Some("https://other:2".into()),
            ..none.clone()
        };
        assert_eq!(source_of(&spec, &everything), server("https://other:2"));
        let spec = discovery::KubernetesDirectory {
            context: Some("c".into()),
            ..none.clone()
        };
        let files = Source::Kubeconfig(vec!["/a".into(), "/b".into()], Some("c".into()));
        assert_eq!(source_of(&spec, &everything), files);
    }

    #[test]
    fn in_a_pod_the_engine_is_inside_unless_another_cluster_is_named() {
        let spec = discovery::KubernetesDirectory::default();
        let pod = [("KUBERNETES_SERVICE_HOST", "fd00::1"), ("POD_NAME", "engine-0")];
        let settings = Settings::new(&spec, &variables(&pod)).unwrap();
        assert_eq!(settings.placement, KubernetesPlacement::Inside);
        assert_eq!(settings.pod.as_deref(), Some("engine-0"));
        assert_eq!(settings.describe(), "https://[fd00::1]:443");
        let elsewhere = [pod[0], pod[1], ("K8S_HOST", "https://h:6443")];
        let settings = Settings::new(&spec, &variables(&elsewhere)).unwrap();
        assert_eq!(settings.placement, KubernetesPlacement::Outside);
    }

    #[test]
    fn what_cannot_be_right_is_refused() {
        let error = |server: &str, all: &[(&str, &str)]| {
            let spec = discovery::KubernetesDirectory {
                server: Some(server.into()),
                ..discovery::KubernetesDirectory::default()
            };
            Settings::new(&spec, &variables(all)).unwrap_err().to_string()
        };
        assert!(error("host:6443", &[]).contains("https://host:6443"));
        let secret = error("https://me:sesame@h", &[]);
        assert!(
            secret.contains("tokenFile") && !secret.contains("sesame"),
            "{secret}"
        );
        assert!(error("https://h", &[("CERT_FILE", "/c")]).contains("go together"));
    }

    #[test]
    fn the_token_of_the_environment_is_not_shown() {
        let all = [("K8S_HOST", "https://h"), ("SSL_TOKEN", "sesame")];
        let settings = Settings::new(&discovery::KubernetesDirectory::default(), &variables(&all)).unwrap();
        assert!(settings.token.is_some());
        assert!(!format!("{settings:?}").contains("sesame"));
    }
}
