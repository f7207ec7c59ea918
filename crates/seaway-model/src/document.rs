//! Instance documents: YAML in the manner of Kubernetes that says what an instance is.
//!
//! ```yaml
//! apiVersion: seaway.dev/v1alpha1
//! kind: Dask
//! metadata:
//!   name: dask
//! spec:
//!   workers:
//!     replicas: 4
//! ```
//!
//! [`parse`] promises that a document it returns is valid, and that whatever it refuses is told with the file, the
//! line, the column, and the line itself. It never panics and never takes long, whatever it is given.

mod aliases;
mod check;
mod common;
mod dask;
mod error;
mod kubernetes;
mod node;
mod overrides;
mod paths;
mod preset;
mod reader;
mod schema;
mod source;
mod suggest;
mod yaml;

use std::{collections::HashMap, fmt, str::FromStr};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser::SerializeStruct};

pub use aliases::{Alias, Effect, aliases};
pub use common::{DataSpec, EndpointSpec, Metadata, Resources};
pub use dask::{DaskSpec, NotebookSpec, PythonSpec, SchedulerSpec, WorkersSpec};
pub use error::{DocumentError, DocumentErrors};
pub use kubernetes::{
    AccessMode, ClaimVolume, EmptyDirVolume, HostPathVolume, KubernetesSpec, MountSpec, NamedVolume,
    NfsVolume, PodSpec, PullPolicy, ServiceType, VolumeSpec,
};
pub use overrides::Override;
pub use preset::{PRESETS, preset};
pub use schema::schema;
pub use suggest::nearest;

use check::Checker;
use error::{MOST, Problem, shorten};
use node::{At, Entry, Node, Path, Place, Value};
use source::Source;

/// The only value of `apiVersion` there is yet.
pub const API_VERSION: &str = "seaway.dev/v1alpha1";

const KEYS: [&str; 4] = ["apiVersion", "kind", "metadata", "spec"];

/// One instance: what it is called and what it is made of.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Its name and labels.
    pub metadata: Metadata,
    /// What it is made of, by kind.
    pub spec: Spec,
}

/// What an instance is made of.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Spec {
    /// A Dask cluster.
    Dask(DaskSpec),
}

/// The kinds of instances.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Kind {
    /// A Dask cluster.
    Dask,
}

impl Kind {
    /// All kinds.
    pub const ALL: &'static [Self] = &[Self::Dask];

    /// The word in a document.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dask => "Dask",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that is not one of the kinds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown kind `{given}`; {hint}")]
pub struct KindError {
    given: String,
    hint: String,
}

impl FromStr for Kind {
    type Err = KindError;

    fn from_str(text: &str) -> Result<Self, KindError> {
        let known: Vec<_> = Self::ALL.iter().map(|kind| kind.as_str()).collect();
        Self::ALL
            .iter()
            .copied()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| KindError {
                given: shorten(text),
                hint: suggest::hint(text, "kinds", &known),
            })
    }
}

/// Reads the documents of an input; `source_name` is what errors call it.
pub fn parse(source_name: &str, text: &[u8]) -> Result<Vec<Document>, DocumentErrors> {
    let source = Source::read(source_name, text)?;
    let mut documents = Vec::new();
    let mut problems = Vec::new();
    // Where each name was first seen.
    let mut names: HashMap<String, Place> = HashMap::new();
    for chunk in source.documents()? {
        if problems.len() > MOST {
            break;
        }
        let start = Place {
            source: 0,
            line: chunk.lines_before + 1,
            column: 1,
        };
        let origin = yaml::Origin {
            lines_before: chunk.lines_before,
            ..yaml::Origin::default()
        };
        let root = match yaml::read(chunk.text, origin) {
            Ok(root) => root,
            Err(problem) => {
                problems.push((start, *problem));
                continue;
            }
        };
        match Document::from_node(&root) {
            Ok(document) => {
                let path = Path::of(&["metadata", "name"]);
                let place = root.locate(&path, At::Value).unwrap_or(start);
                let name = document.name().to_string();
                if let Some(first) = names.get(&name) {
                    let message = format!(
                        "the name `{name}` is already that of the instance at {source_name}:{}:{}",
                        first.line, first.column
                    );
                    problems.push((
                        start,
                        Problem::new(Some(place), path, message).hint("give each instance its own name"),
                    ));
                } else {
                    names.insert(name, place);
                }
                documents.push(document);
            }
            Err(more) => problems.extend(more.into_iter().map(|problem| (start, problem))),
        }
    }
    if problems.is_empty() {
        return Ok(documents);
    }
    let sources = [source];
    let tie = |(start, mut problem): (Place, Problem)| {
        let place = problem.place.unwrap_or(start);
        let (line, column) = sources[0].clamp(place.line, place.column);
        problem.place = Some(Place {
            line,
            column,
            ..place
        });
        problem.tie(&sources, start)
    };
    let mut errors: Vec<_> = problems.into_iter().map(tie).collect();
    errors.sort_by_key(|error| (error.line, error.column));
    Err(DocumentErrors::of(errors))
}

impl Document {
    /// The kind of instance.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self.spec {
            Spec::Dask(_) => Kind::Dask,
        }
    }

    /// The name of the instance.
    #[must_use]
    pub const fn name(&self) -> &crate::Name {
        &self.metadata.name
    }

    /// The namespace of a cluster that the document names.
    #[must_use]
    pub const fn namespace(&self) -> Option<&crate::Name> {
        match &self.spec {
            Spec::Dask(spec) => spec.kubernetes.namespace.as_ref(),
        }
    }

    /// The document of a built-in [`preset`].
    #[must_use]
    pub fn preset(name: &str) -> Option<Self> {
        parse(name, preset(name)?.as_bytes()).ok()?.into_iter().next()
    }

    /// Reads a document that was stored as JSON. The errors name the path; their line is that of the JSON text
    /// only where it is not JSON.
    pub fn from_json(source_name: &str, text: &str) -> Result<Self, DocumentErrors> {
        let source = Source::new(source_name, text);
        let json: serde_json::Value = serde_json::from_str(text).map_err(|error| {
            let (line, column) = source.clamp(error.line(), error.column());
            let message = error.to_string();
            // It names the place once more.
            let message = message
                .rsplit_once(" at line ")
                .map_or(message.as_str(), |(message, _)| message);
            DocumentErrors::one(DocumentError::new(
                &source,
                line,
                column,
                &format!("not valid JSON: {message}"),
                None,
            ))
        })?;
        Self::from_node(&Node::from_json(&json)).map_err(|problems| {
            let sources = [source];
            let start = Place {
                source: 0,
                line: 1,
                column: 1,
            };
            DocumentErrors::of(
                problems
                    .iter()
                    .map(|problem| problem.tie(&sources, start))
                    .collect(),
            )
        })
    }

    /// The document as YAML. Fails only for what no parsed document has: a path that is not UTF-8.
    pub fn to_yaml(&self) -> Result<String, serde_saphyr::SerializeError> {
        serde_saphyr::to_string(self)
    }

    fn from_node(root: &Node) -> Result<Self, Vec<Problem>> {
        let mut checker = Checker::new(root);
        let Value::Map(entries) = &root.value else {
            let message = format!("expected an instance document, found {}", reader::describe(root));
            let hint = format!("it begins with `apiVersion: {API_VERSION}`");
            return Err(vec![
                Problem::new(root.place, Path::default(), message).hint(hint),
            ]);
        };
        if let Some((path, place)) = root.find_nul(&Path::default()) {
            let message = format!(
                "`{path}`: a NUL character cannot be a part of a name, an argument, a path or a variable"
            );
            return Err(vec![Problem::new(place, path, message)]);
        }
        let mut problems = Vec::new();
        for entry in entries
            .iter()
            .filter(|entry| !KEYS.contains(&entry.key.as_str()))
            .take(MOST)
        {
            let problem = Problem::new(
                entry.place,
                Path::default(),
                format!("unknown key `{}`", shorten(&entry.key)),
            );
            problems.push(problem.hint(unknown_root(&entry.key)));
        }
        problems.extend(check_api_version(root));
        let kind = read_kind(root).map_err(|problem| problems.push(problem)).ok();
        let metadata = read_metadata(root).map_err(|problem| problems.push(problem)).ok();
        let spec = kind.and_then(|kind| {
            read_spec(kind, root)
                .map_err(|problem| problems.push(problem))
                .ok()
        });
        // A misspelt key is not missing too.
        let misspelt = |key: &str| {
            let near = |entry: &Entry| suggest::nearest(&entry.key, KEYS) == Some(key);
            root.entry(key).is_none() && entries.iter().any(near)
        };
        problems.retain(|problem| {
            !KEYS
                .iter()
                .any(|key| problem.path == Path::of(&[*key]) && misspelt(key))
        });
        if let Some(metadata) = &metadata {
            checker.metadata(metadata);
        }
        if let Some(spec) = &spec {
            let Spec::Dask(spec) = spec;
            checker.dask(spec);
        }
        problems.append(&mut checker.problems);
        match (metadata, spec) {
            (Some(metadata), Some(spec)) if problems.is_empty() => Ok(Self { metadata, spec }),
            _ => Err(problems),
        }
    }
}

fn unknown_root(key: &str) -> String {
    // The commonest slip of all: a part of the spec that is not indented.
    let spec = dask::DaskSpec::KEYS
        .contains(&key)
        .then(|| format!("`{key}` belongs under `spec`"));
    spec.unwrap_or_else(|| suggest::hint(key, "keys", &KEYS))
}

fn missing(root: &Node, key: &str, hint: impl Into<String>) -> Problem {
    let place = match root.entry(key) {
        Some(entry) => entry.place,
        None => root.place,
    };
    Problem::new(place, Path::of(&[key]), format!("missing `{key}`")).hint(hint)
}

/// The text of a key that every document has.
fn header<'n>(root: &'n Node, key: &str, hint: String) -> Result<(&'n str, Option<Place>), Problem> {
    let Some(node) = root
        .entry(key)
        .map(|entry| &entry.value)
        .filter(|node| !node.is_null())
    else {
        return Err(missing(root, key, hint));
    };
    if let Value::Scalar(scalar) = &node.value {
        return Ok((&scalar.written, node.place));
    }
    let message = format!("`{key}`: expected a text, found {}", reader::describe(node));
    Err(Problem::new(node.place, Path::of(&[key]), message).hint(hint))
}

fn check_api_version(root: &Node) -> Option<Problem> {
    let hint = format!("write `apiVersion: {API_VERSION}`");
    match header(root, "apiVersion", hint.clone()) {
        Ok((API_VERSION, _)) => None,
        Ok((other, place)) => {
            let message = format!(
                "`apiVersion`: `{}` is not known to this version of Seaway",
                shorten(other)
            );
            Some(Problem::new(place, Path::of(&["apiVersion"]), message).hint(hint))
        }
        Err(problem) => Some(problem),
    }
}

fn read_kind(root: &Node) -> Result<Kind, Problem> {
    let known = Kind::ALL
        .iter()
        .map(|kind| kind.as_str())
        .collect::<Vec<_>>()
        .join(", ");
    let (text, place) = header(root, "kind", format!("known kinds: {known}"))?;
    text.parse().map_err(|KindError { given, hint }| {
        Problem::new(place, Path::of(&["kind"]), format!("unknown kind `{given}`")).hint(hint)
    })
}

fn read_metadata(root: &Node) -> Result<Metadata, Problem> {
    const HINT: &str = "an instance needs a name, for example `metadata: {name: my-dask}`";
    let Some(entry) = root.entry("metadata") else {
        return Err(missing(root, "metadata", HINT));
    };
    reader::read(&entry.value, &Path::of(&["metadata"])).map_err(|problem| {
        let name = entry.value.entry("name").map(|name| name.value.is_null());
        match (name, &problem.hint) {
            (Some(true), _) | (None, None) => problem.hint(HINT),
            _ => *problem,
        }
    })
}

fn read_spec(kind: Kind, root: &Node) -> Result<Spec, Problem> {
    let path = Path::of(&["spec"]);
    match (kind, root.entry("spec")) {
        (Kind::Dask, None) => Ok(Spec::Dask(DaskSpec::default())),
        (Kind::Dask, Some(entry)) => reader::read(&entry.value, &path)
            .map(Spec::Dask)
            .map_err(|problem| *problem),
    }
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut document = serializer.serialize_struct("Document", 4)?;
        document.serialize_field("apiVersion", API_VERSION)?;
        document.serialize_field("kind", self.kind().as_str())?;
        document.serialize_field("metadata", &self.metadata)?;
        document.serialize_field("spec", &self.spec)?;
        document.end()
    }
}

impl<'de> Deserialize<'de> for Document {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let json = serde_json::Value::deserialize(deserializer)?;
        Self::from_node(&Node::from_json(&json)).map_err(|problems| {
            let messages: Vec<_> = problems.into_iter().map(|problem| problem.message).collect();
            de::Error::custom(messages.join("; "))
        })
    }
}
