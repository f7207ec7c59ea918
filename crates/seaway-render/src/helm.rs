//! A plan as a Helm chart.
//!
//! The templates are made from [`kubernetes::objects`](crate::kubernetes::objects) themselves: the objects are rendered with a name, a namespace and
//! values that nobody has, and where these turn up in an object is where its template takes the release's. So a release
//! is what `seaway up` makes of the same document, and a release with changed values is what `seaway up` makes of the
//! document with these changed. The inventory is part of it: `seaway status` and `seaway down` find a release by it.

mod chart;
mod follow;
mod node;
mod probe;
mod schema;
mod sentinels;
mod settings;
mod templates;
mod values;
mod workload;

use seaway_model::{Document, Name, QuantityError, plan::Plan};
use thiserror::Error;

use self::{probe::Probe, sentinels::Sentinels};
use crate::kubernetes::RenderError;

/// Annotation with the digest of all that the processes of a pod are started with.
const REVISION: &str = "seaway.dev/revision";

/// Why a document cannot be had as a chart.
#[derive(Debug, Error)]
pub enum HelmError {
    /// It has no objects.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// The engine has no plan for it.
    #[error("{0}")]
    Plan(String),
    /// It cannot be written as JSON.
    #[error("the document cannot be written for a chart: {0}")]
    Json(#[from] serde_json::Error),
    /// A value of ours is wrong.
    #[error(transparent)]
    Quantity(#[from] QuantityError),
    /// Something follows a value in a way that is not known.
    #[error(
        "`{path}` follows `{value}` in a way that a chart cannot express; write plain manifests instead (--as manifests)"
    )]
    Unknown {
        /// The value of the chart.
        value: String,
        /// Where it ends up.
        path: String,
    },
    /// A value that stands for another one is still there.
    #[error("`{0}` has a part that a chart cannot express; write plain manifests instead (--as manifests)")]
    Left(String),
    /// Every name that could stand for the release's is in the document.
    #[error("the document has every text that a chart could use for the name of a release")]
    NoSentinel,
}

/// What a chart is made from.
pub struct Source<'a> {
    /// The document.
    pub document: &'a Document,
    /// The engine: from a document to a plan.
    pub plan: &'a dyn Fn(&Document) -> Result<Plan, String>,
    /// The image with `seaway` in it that this release has.
    pub agent_image: &'a str,
    /// The version of Seaway, which the chart gets.
    pub version: &'a str,
}

/// A file of a chart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChartFile {
    /// Its path in the chart's folder.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// The files of the chart.
pub fn chart(source: &Source<'_>) -> Result<Vec<ChartFile>, HelmError> {
    let probe = Probe::new(source)?;
    chart::files(source, &probe)
}

/// A text as a template's expression.
fn go_string(text: &str) -> String {
    sentinels::quoted(text)
}

/// Texts as arguments of a template's function, each with a space before it.
fn go_arguments(texts: &[&str]) -> String {
    let mut arguments = String::new();
    for text in texts {
        arguments.push_str(&format!(" {}", go_string(text)));
    }
    arguments
}

/// A list of texts as a template's expression.
fn go_list(texts: &[&str]) -> String {
    format!("(list{})", go_arguments(texts))
}

/// The expression for values of a role.
fn role_values(role: &Name, keys: &[&str]) -> String {
    values_at(&[&["roles", role.as_str()], keys].concat())
}

/// The expression for the volume of data.
fn data_values(data: &Name) -> String {
    values_at(&["data", data.as_str(), "volume"])
}

/// The expression for a value. A name with `-` in it cannot stand behind a point.
fn values_at(keys: &[&str]) -> String {
    let plain = |key: &str| {
        key.starts_with(|c: char| c.is_ascii_alphabetic()) && key.chars().all(|c| c.is_ascii_alphanumeric())
    };
    keys.iter().fold(".Values".to_owned(), |path, key| {
        if plain(key) {
            format!("{path}.{key}")
        } else {
            format!("(index {path} {})", go_string(key))
        }
    })
}
