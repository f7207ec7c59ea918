//! Directories on the command line: which, and how each is reached. Used by every command that announces or looks.
//!
//! What an option says wins over what the document of `--document` says, and both win over environment variables.

mod consul;
mod http;
mod kubernetes;
mod redis;
pub(crate) mod services;

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use clap::{Arg, Args, ValueEnum, ValueHint};
use seaway_discovery::{Defaults, Directory, Variables, variables};
use seaway_model::{
    Document, Endpoint, Name, Period,
    discovery::{
        ConsulDirectory, DirectorySpec, FileDirectory, KubernetesDirectory, KubernetesPlacement,
        KubernetesService, RedisDirectory, StdoutDirectory,
    },
    document::Spec,
};

pub(crate) use self::kubernetes::{KubernetesOptions, PlacementArgument};
use self::{consul::ConsulOptions, http::HttpOptions, redis::RedisOptions};
use crate::{
    cli::SourceArguments,
    environment::Variable,
    failure::{Failure, USAGE},
    source,
};

/// Kinds of directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DirectoryKind {
    /// A folder with one JSON file for each name.
    File,
    /// One JSON line on standard output for each change, between the command's own lines.
    Stdout,
    /// A request to an HTTP server.
    Http,
    /// A Service in a Kubernetes namespace.
    Kubernetes,
    /// A service of a Consul agent.
    Consul,
    /// Keys in a Redis server.
    Redis,
    /// Nowhere.
    None,
}

impl DirectoryKind {
    const fn word(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Stdout => "stdout",
            Self::Http => "http",
            Self::Kubernetes => "kubernetes",
            Self::Consul => "consul",
            Self::Redis => "redis",
            Self::None => "none",
        }
    }
}

/// Where to announce.
#[derive(Debug, Args)]
#[command(next_help_heading = "Directories")]
pub(crate) struct RegisterArguments {
    /// Directories to announce it in, separated by commas; `none` for none [default: file].
    #[arg(long, value_enum, value_delimiter = ',', value_name = "DIRECTORY")]
    pub(crate) register: Vec<DirectoryKind>,
    #[command(flatten)]
    pub(crate) options: DirectoryOptions,
}

/// What only matters for who announces: taken by commands that look too, so that one set of options does for both, but
/// not shown there.
const FOR_ANNOUNCING: [&str; 11] = [
    "lease",
    "http_method",
    "http_withdraw_url",
    "http_withdraw_method",
    "http_lease",
    "services",
    "placement",
    "selector",
    "legacy_endpoints",
    "consul_tags",
    "consul_deregister_after",
];

fn hide_for_reading(argument: Arg) -> Arg {
    let hidden = FOR_ANNOUNCING.contains(&argument.get_id().as_str());
    if hidden { argument.hide(true) } else { argument }
}

/// Where to look.
#[derive(Debug, Args)]
#[command(next_help_heading = "Directories", mut_args(hide_for_reading))]
pub(crate) struct FromArguments {
    /// Directories to look into, separated by commas [default: file].
    #[arg(long, value_enum, value_delimiter = ',', value_name = "DIRECTORY")]
    pub(crate) from: Vec<DirectoryKind>,
    #[command(flatten)]
    pub(crate) options: DirectoryOptions,
}

/// How each directory is reached.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Directories")]
pub(crate) struct DirectoryOptions {
    /// An instance document: its `discovery` says which directories there are and how they are reached.
    ///
    /// Options win over it. When the file has several documents, --name says which one.
    #[arg(short = 'f', long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) document: Option<PathBuf>,
    /// How long an entry is believed when the agent dies; it is renewed at a third of this [default: 30s; http: told
    /// once].
    #[arg(long, value_name = "TIME")]
    pub(crate) lease: Option<Period>,
    /// file: the folder with one JSON file for each name [default: `directory` in Seaway's state folder].
    #[arg(long = "file", value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) http: HttpOptions,
    #[command(flatten)]
    pub(crate) kubernetes: KubernetesOptions,
    #[command(flatten)]
    pub(crate) consul: ConsulOptions,
    #[command(flatten)]
    pub(crate) redis: RedisOptions,
}

/// A failure of who typed the command line.
pub(crate) fn usage(message: impl fmt::Display) -> Failure {
    Failure::new(USAGE, message)
}

/// Puts what an option gives into its place in a document, when it is given.
fn put<T: Clone>(place: &mut Option<T>, given: Option<&T>) {
    if let Some(given) = given {
        *place = Some(given.clone());
    }
}

/// The name of the first option that is given.
fn first_given<const N: usize>(options: [(&'static str, bool); N]) -> Option<&'static str> {
    options
        .into_iter()
        .find_map(|(name, given)| given.then_some(name))
}

/// What the directories are for, as far as they need to know.
#[derive(Debug, Default)]
pub(crate) struct Purpose<'a> {
    /// The option that names directories.
    pub(crate) option: &'static str,
    /// What is announced; empty for who only looks.
    pub(crate) endpoints: &'a [Endpoint],
    /// Kubernetes Services that the environment asks for, where neither document nor options do.
    pub(crate) services: BTreeMap<Name, KubernetesService>,
    /// Whether the engine is known to run in a pod.
    pub(crate) inside: bool,
}

impl DirectoryOptions {
    /// The document that is given. Its name is checked when one is wanted.
    pub(crate) fn read_document(&self, name: Option<&Name>) -> Result<Option<Document>, Failure> {
        let Some(file) = &self.document else {
            return Ok(None);
        };
        let source = SourceArguments {
            preset: None,
            file: Some(file.clone()),
            name: None,
            overrides: Vec::new(),
        };
        let mut documents = source::documents(&source)?;
        let of_name = |document: &Document| Some(&document.metadata.name) == name;
        let index = match documents.len() {
            1 => 0,
            count => documents.iter().position(of_name).ok_or_else(|| {
                let message = format!("`{}` has {count} documents", file.display());
                usage(message).hint("say with --name which one is meant")
            })?,
        };
        Ok(Some(documents.swap_remove(index)))
    }

    /// The directories that are asked for, in the words of documents: those named, else those of the document, else
    /// `file`.
    pub(crate) fn specs(
        &self,
        kinds: &[DirectoryKind],
        document: Option<&Document>,
        purpose: &Purpose<'_>,
    ) -> Result<Vec<DirectorySpec>, Failure> {
        let present: &[DirectorySpec] = document.map_or(&[], |document| match &document.spec {
            Spec::Dask(spec) => &spec.discovery,
        });
        let mut specs: Vec<DirectorySpec> = Vec::new();
        if kinds.is_empty() && document.is_some() {
            specs.extend_from_slice(present);
        } else {
            let kinds = if kinds.is_empty() {
                &[DirectoryKind::File]
            } else {
                kinds
            };
            if kinds.contains(&DirectoryKind::None) && kinds.len() > 1 {
                return Err(usage(format!(
                    "`none` cannot stand beside other directories in {}",
                    purpose.option
                )));
            }
            for (index, kind) in kinds.iter().enumerate() {
                if kinds[..index].contains(kind) || *kind == DirectoryKind::None {
                    continue;
                }
                let before = specs.len();
                specs.extend(present.iter().filter(|spec| spec.kind() == kind.word()).cloned());
                if specs.len() == before {
                    specs.push(self.bare(*kind, purpose)?);
                }
            }
        }
        self.check_used(&specs, purpose)?;
        for spec in &mut specs {
            self.apply(spec, purpose)?;
        }
        Ok(specs)
    }

    /// A directory of which a document says nothing.
    fn bare(&self, kind: DirectoryKind, purpose: &Purpose<'_>) -> Result<DirectorySpec, Failure> {
        Ok(match kind {
            DirectoryKind::File | DirectoryKind::None => DirectorySpec::File(FileDirectory::default()),
            DirectoryKind::Stdout => DirectorySpec::Stdout(StdoutDirectory {}),
            DirectoryKind::Http => DirectorySpec::Http(self.http.bare(purpose.option)?),
            DirectoryKind::Kubernetes => DirectorySpec::Kubernetes(KubernetesDirectory::default()),
            DirectoryKind::Consul => DirectorySpec::Consul(ConsulDirectory::default()),
            DirectoryKind::Redis => DirectorySpec::Redis(RedisDirectory::default()),
        })
    }

    /// Refuses options of directories that are not asked for: somebody meant something by them.
    fn check_used(&self, specs: &[DirectorySpec], purpose: &Purpose<'_>) -> Result<(), Failure> {
        let given = [
            (DirectoryKind::File, self.file.is_some().then_some("--file")),
            (DirectoryKind::Http, self.http.given()),
            (DirectoryKind::Kubernetes, self.kubernetes.given()),
            (DirectoryKind::Consul, self.consul.given()),
            (DirectoryKind::Redis, self.redis.given()),
        ];
        for (kind, option) in given {
            if let Some(option) = option
                && !specs.iter().any(|spec| spec.kind() == kind.word())
            {
                let (word, named) = (kind.word(), purpose.option);
                let message = format!("{option} is for the directory `{word}`, which is not in {named}");
                return Err(usage(message).hint(format!(
                    "add `{word}` to {named}, for example {named} file,{word}"
                )));
            }
        }
        Ok(())
    }

    /// Puts what the options say into a directory's document.
    fn apply(&self, spec: &mut DirectorySpec, purpose: &Purpose<'_>) -> Result<(), Failure> {
        let lease = self.lease.as_ref();
        match spec {
            DirectorySpec::File(spec) => {
                put(&mut spec.path, self.file.as_ref());
                put(&mut spec.lease, lease);
            }
            DirectorySpec::Stdout(_) => {}
            DirectorySpec::Http(spec) => {
                put(&mut spec.lease, lease);
                self.http.apply(spec);
            }
            DirectorySpec::Kubernetes(spec) => {
                put(&mut spec.lease, lease);
                for (endpoint, service) in &purpose.services {
                    let present = spec.services.entry(endpoint.clone()).or_default();
                    present.name = present.name.take().or_else(|| service.name.clone());
                    present.port = present.port.or(service.port);
                }
                if purpose.inside && spec.placement.is_none() {
                    spec.placement = Some(KubernetesPlacement::Inside);
                }
                self.kubernetes.apply(spec, purpose.endpoints)?;
            }
            DirectorySpec::Consul(spec) => {
                put(&mut spec.lease, lease);
                self.consul.apply(spec);
            }
            DirectorySpec::Redis(spec) => {
                put(&mut spec.lease, lease);
                self.redis.apply(spec)?;
            }
        }
        Ok(())
    }
}

impl FromArguments {
    /// Where else to look, when nothing was found in the directory that is looked into by default.
    pub(crate) fn hint(&self, variable: Variable<'_>) -> Option<String> {
        if !self.from.is_empty() || self.options.document.is_some() {
            return None;
        }
        let known = [
            (variables::CONSUL_HTTP_ADDR, "consul"),
            (variables::REDIS_URL, "redis"),
            (variables::K8S_HOST, "kubernetes"),
            (variables::KUBECONFIG, "kubernetes"),
        ];
        let set = |name: &str| variable(name).is_some_and(|value| !value.is_empty());
        let (name, kind) = known.into_iter().find(|(name, _)| set(name))?;
        Some(format!("{name} is set: look there with --from {kind}"))
    }

    /// The directories to look into. Nothing is contacted yet.
    pub(crate) fn open(&self, name: Option<&Name>, state: &Path) -> Result<Vec<Box<dyn Directory>>, Failure> {
        for kind in [DirectoryKind::Stdout, DirectoryKind::None] {
            if self.from.contains(&kind) {
                return Err(usage(format!("nothing can be found in `{}`", kind.word())));
            }
        }
        let document = self.options.read_document(name)?;
        let purpose = Purpose {
            option: "--from",
            ..Purpose::default()
        };
        let mut specs = self.options.specs(&self.from, document.as_ref(), &purpose)?;
        specs.retain(|spec| !matches!(spec, DirectorySpec::Stdout(_)));
        if specs.is_empty() {
            return Err(
                usage("the document names no directory that can be looked into").hint("name one with --from")
            );
        }
        open(&specs, state)
    }
}

/// Gives a lease to the directories that have none yet.
pub(crate) fn lease_unless_given(specs: &mut [DirectorySpec], lease: Period) {
    for spec in specs {
        let place = match spec {
            DirectorySpec::File(spec) => &mut spec.lease,
            DirectorySpec::Http(spec) => &mut spec.lease,
            DirectorySpec::Kubernetes(spec) => &mut spec.lease,
            DirectorySpec::Consul(spec) => &mut spec.lease,
            DirectorySpec::Redis(spec) => &mut spec.lease,
            DirectorySpec::Stdout(_) => continue,
        };
        place.get_or_insert(lease);
    }
}

/// Makes the directories. Nothing is contacted yet.
pub(crate) fn open(specs: &[DirectorySpec], state: &Path) -> Result<Vec<Box<dyn Directory>>, Failure> {
    let defaults = Defaults {
        state_directory: state.to_owned(),
        variables: Variables::of_process(),
    };
    let open = |spec| {
        seaway_discovery::open(spec, &defaults).map_err(|error| Failure {
            code: USAGE,
            hint: error.hint(),
            error: error.into(),
        })
    };
    specs.iter().map(open).collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: RegisterArguments,
    }

    fn specs(
        words: &str,
        document: Option<&str>,
        purpose: &Purpose<'_>,
    ) -> Result<Vec<DirectorySpec>, Failure> {
        let words = words.split(' ').filter(|word| !word.is_empty());
        let RegisterArguments { register, options } =
            Line::try_parse_from(["seaway"].into_iter().chain(words))
                .unwrap()
                .arguments;
        let document = document.map(|discovery| {
            let text = format!(
                "{{apiVersion: seaway.dev/v1alpha1, kind: Dask, metadata: {{name: a}}, spec: {{discovery: {discovery}}}}}"
            );
            seaway_model::document::parse("test", text.as_bytes()).unwrap().remove(0)
        });
        options.specs(&register, document.as_ref(), purpose)
    }

    fn purpose() -> Purpose<'static> {
        Purpose {
            option: "--register",
            ..Purpose::default()
        }
    }

    fn kinds(words: &str, document: Option<&str>) -> Vec<&'static str> {
        let specs = specs(words, document, &purpose()).unwrap();
        specs.iter().map(DirectorySpec::kind).collect()
    }

    #[test]
    fn which_directories() {
        let document = Some("[{redis: {}}, {http: {url: 'http://h/{name}'}}]");
        assert_eq!(kinds("", None), ["file"]);
        assert_eq!(kinds("--register none", document), [""; 0]);
        assert_eq!(kinds("", document), ["redis", "http"]);
        assert_eq!(
            kinds("", Some("[]")),
            [""; 0],
            "a document that names none means none"
        );
        assert_eq!(kinds("--register http,consul,http", document), ["http", "consul"]);
    }

    #[test]
    fn options_win_over_the_document_and_both_over_the_environment() {
        let client = Name::literal("client");
        let of_environment = KubernetesService {
            name: Some(Name::literal("env")),
            port: Some(1),
        };
        let purpose = Purpose {
            services: [(client.clone(), of_environment)].into(),
            inside: true,
            ..purpose()
        };
        let kubernetes =
            |words: &str, document: &str| match &specs(words, Some(document), &purpose).unwrap()[0] {
                DirectorySpec::Kubernetes(spec) => spec.clone(),
                other => panic!("{other:?}"),
            };
        let shown = |spec: &KubernetesDirectory| {
            let service = &spec.services[&client];
            (service.name.clone().unwrap().to_string(), service.port.unwrap())
        };
        let spec = kubernetes("", "[{kubernetes: {}}]");
        assert_eq!(shown(&spec), ("env".into(), 1));
        assert_eq!(spec.placement, Some(KubernetesPlacement::Inside));
        let document = "[{kubernetes: {namespace: doc, placement: outside, lease: 1m, services: {client: {name: doc}}}}]";
        let spec = kubernetes("", document);
        assert_eq!(shown(&spec), ("doc".into(), 1));
        assert_eq!(spec.placement, Some(KubernetesPlacement::Outside));
        let spec = kubernetes(
            "--service client=flag:2 --namespace flag --lease 2m --placement inside",
            document,
        );
        assert_eq!(shown(&spec), ("flag".into(), 2));
        assert_eq!(spec.namespace, Some(Name::literal("flag")));
        assert_eq!(spec.lease, Some("2m".parse().unwrap()));
        assert_eq!(spec.placement, Some(KubernetesPlacement::Inside));
    }

    #[test]
    fn one_lease_for_all_unless_http_has_its_own() {
        let words = "--register file,http,redis --http-url http://h/{name} --lease 1m --http-lease 5m";
        let leases: Vec<_> = specs(words, None, &purpose())
            .unwrap()
            .into_iter()
            .map(|spec| match spec {
                DirectorySpec::File(spec) => spec.lease,
                DirectorySpec::Http(spec) => spec.lease,
                DirectorySpec::Redis(spec) => spec.lease,
                other => panic!("{other:?}"),
            })
            .map(|lease| lease.unwrap().duration().as_secs())
            .collect();
        assert_eq!(leases, [60, 300, 60]);
    }
}
