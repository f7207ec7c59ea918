//! Which platform a command is about.

use std::path::{Path, PathBuf};

use seaway_discovery::{Variables, variables};
use seaway_model::{Document, Name, discovery::KubernetesDirectory};
use seaway_platform::{
    Platform,
    kubernetes::{ForwarderCommand, KubernetesOptions, KubernetesPlatform},
    local::{LocalPlatform, Paths, SupervisorCommand},
};

use crate::{
    cli::{PlatformArguments, PlatformKind},
    failure::{Failure, USAGE},
};

/// The image of the sidecars that belongs to this release.
pub(crate) const AGENT_IMAGE: &str = concat!("seaway:", env!("CARGO_PKG_VERSION"));

/// The folders of this user.
pub(crate) fn paths() -> Result<Paths, Failure> {
    Ok(Paths::of_user(|name| std::env::var_os(name))?)
}

/// The platform that was asked for. Nothing is read or contacted yet.
pub(crate) fn open(arguments: &PlatformArguments) -> Result<Box<dyn Platform>, Failure> {
    open_in(arguments, None)
}

/// The same for documents, which may name the namespace themselves.
pub(crate) fn open_for(
    arguments: &PlatformArguments,
    documents: &[Document],
) -> Result<Box<dyn Platform>, Failure> {
    let mut namespaces: Vec<&Name> = documents.iter().filter_map(Document::namespace).collect();
    namespaces.dedup();
    match namespaces.as_slice() {
        _ if arguments.on == PlatformKind::Local || arguments.namespace.is_some() => open(arguments),
        [] => open(arguments),
        [one] => open_in(arguments, Some(one)),
        [one, other, ..] => Err(Failure::new(
            USAGE,
            format!("documents that come up together name two namespaces, `{one}` and `{other}`"),
        )
        .hint("bring them up one by one, or choose one namespace for all (`--namespace`)")),
    }
}

fn open_in(arguments: &PlatformArguments, namespace: Option<&Name>) -> Result<Box<dyn Platform>, Failure> {
    Ok(match arguments.on {
        PlatformKind::Local => Box::new(local()?),
        PlatformKind::Kubernetes => Box::new(kubernetes_in(arguments, namespace)?),
    })
}

fn local() -> Result<LocalPlatform, Failure> {
    let supervisor = SupervisorCommand {
        program: std::env::current_exe()?,
        arguments: vec!["supervise".to_owned()],
    };
    Ok(LocalPlatform::new(paths()?, supervisor))
}

/// The cluster that was asked for, for what only a cluster can do.
pub(crate) fn kubernetes(arguments: &PlatformArguments) -> Result<KubernetesPlatform, Failure> {
    kubernetes_in(arguments, None)
}

fn kubernetes_in(
    arguments: &PlatformArguments,
    namespace: Option<&Name>,
) -> Result<KubernetesPlatform, Failure> {
    let namespace = arguments.namespace.as_ref().or(namespace);
    // The process that forwards is in another folder.
    let kubeconfig = arguments
        .kubeconfig
        .as_deref()
        .map(std::path::absolute)
        .transpose()?;
    let environment = Variables::of_process();
    let forwarder = ForwarderCommand {
        program: std::env::current_exe()?,
        arguments: forwarder_arguments(arguments, namespace, kubeconfig.as_deref()),
        environment: absolute_kubeconfig(&environment)?,
    };
    Ok(KubernetesPlatform::new(KubernetesOptions {
        cluster: KubernetesDirectory {
            kubeconfig,
            context: arguments.context.clone(),
            namespace: namespace.cloned(),
            ..KubernetesDirectory::default()
        },
        variables: environment,
        agent_image: AGENT_IMAGE.to_owned(),
        state: paths()?.state,
        forwarder,
    })?)
}

fn forwarder_arguments(
    arguments: &PlatformArguments,
    namespace: Option<&Name>,
    kubeconfig: Option<&Path>,
) -> Vec<String> {
    let mut all: Vec<String> = ["port-forward", "--detached", "--on", "kubernetes"]
        .map(str::to_owned)
        .to_vec();
    let mut add = |option: &str, value: Option<String>| {
        if let Some(value) = value {
            all.extend([option.to_owned(), value]);
        }
    };
    add("--namespace", namespace.map(ToString::to_string));
    add("--context", arguments.context.clone());
    add("--kubeconfig", kubeconfig.map(|file| file.display().to_string()));
    all
}

/// `KUBECONFIG` with paths that are the same from every folder.
fn absolute_kubeconfig(environment: &Variables) -> Result<Vec<(String, String)>, Failure> {
    let Some(files) = environment.get(variables::KUBECONFIG) else {
        return Ok(Vec::new());
    };
    let files: Vec<PathBuf> = std::env::split_paths(files)
        .filter(|file| !file.as_os_str().is_empty())
        .map(std::path::absolute)
        .collect::<Result<_, _>>()?;
    let joined =
        std::env::join_paths(files).map_err(|error| Failure::new(USAGE, format!("KUBECONFIG: {error}")))?;
    let joined = joined.to_string_lossy().into_owned();
    Ok(vec![(variables::KUBECONFIG.to_owned(), joined)])
}
