//! How one knows that a task is ready, busy, or safe to stop: questions asked over the engine's own protocol,
//! as data, so that any platform (and a rendered manifest) can ask them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Template;
use crate::{Name, Period};

/// When a task is ready, and how often to look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Probe {
    /// The question.
    pub check: Check,
    /// Time between two looks at a task that is ready. A starting task is looked at more often.
    pub interval: Period,
    /// Longest time for one answer.
    pub timeout: Period,
    /// Looks in a row that must fail before a ready task counts as not ready.
    pub failures: u32,
    /// Longest time from start to ready; a task that takes longer is started again.
    pub start_within: Period,
}

/// A question whose answer tells whether a task is ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Check {
    /// The process exists; for commands that have no protocol.
    Running,
    /// A TCP connection is accepted.
    Tcp(PortReference),
    /// An HTTP GET is answered with a status below 400, and with the expected JSON if one is given.
    Http(HttpCheck),
    /// A command ends with code 0. It runs where the task runs, with the task's environment.
    Command(Vec<Template>),
}

/// A port of a role; of the task itself when `role` is absent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PortReference {
    /// The role; absent for the task's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Name>,
    /// The port's name.
    pub port: Name,
}

/// An HTTP GET and what its answer must hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpCheck {
    /// Where to ask.
    #[serde(flatten)]
    pub at: PortReference,
    /// Path and query.
    pub path: String,
    /// What the JSON in the answer must say; any body is right when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expectation>,
}

/// A condition on a JSON document: some value at `select` satisfies `condition`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Expectation {
    /// Keys from the document's root downwards; `*` stands for every element.
    pub select: Vec<Template>,
    /// What one of the values found must satisfy.
    pub condition: Condition,
}

/// What a JSON value must satisfy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Condition {
    /// It is this text (numbers and booleans are compared as they are written).
    Is(Template),
    /// It is a number greater than this.
    Above(i64),
}

/// How one tells that an instance is in use. Any of the conditions makes it busy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BusySignal {
    /// Where to ask.
    pub at: PortReference,
    /// Path of an HTTP GET that answers with JSON.
    pub path: String,
    /// Conditions under which the instance works, each with a name that is shown.
    pub busy: Vec<NamedExpectation>,
    /// Conditions under which somebody is attached to it, although it may not work at the moment.
    pub attached: Vec<NamedExpectation>,
}

/// A condition with the words to show when it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamedExpectation {
    /// Words for people: `tasks are processing`.
    pub what: String,
    /// The condition.
    #[serde(flatten)]
    pub expect: Expectation,
}

/// How tasks of a role are emptied before they are stopped, so that no work and no data is lost.
///
/// The platform posts `release` until `work` and `sole` of a task are both zero, and stops the task then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Drain {
    /// Where to ask and post.
    pub at: PortReference,
    /// Path of an HTTP GET that answers with the load of all tasks of the role as JSON.
    pub load_path: String,
    /// Where the task's number of pieces of work is in that JSON. A task that is not there has none.
    pub work: Vec<Template>,
    /// Where the task's number of results is of which no other task has a copy.
    pub sole: Vec<Template>,
    /// Where a number is that orders tasks with equal work: the lowest goes first.
    pub weight: Vec<Template>,
    /// Path of an HTTP POST that makes a task take no more work and hand its data to others. It may be
    /// repeated.
    pub release_path: String,
    /// Body of that POST: JSON.
    pub release_body: Template,
}

/// The values at a path of keys; `*` stands for every element of an array or object.
///
/// ```
/// # use seaway_model::plan::select;
/// let document = serde_json::json!({"workers": [{"name": "a"}, {"name": "b"}]});
/// assert_eq!(select(&document, &["workers", "*", "name"]), [&serde_json::json!("a"), &serde_json::json!("b")]);
/// ```
#[must_use]
pub fn select<'a>(document: &'a Value, path: &[impl AsRef<str>]) -> Vec<&'a Value> {
    let mut found = vec![document];
    for key in path {
        let key = key.as_ref();
        found = found
            .into_iter()
            .flat_map(|value| -> Vec<&'a Value> {
                match value {
                    Value::Object(map) if key == "*" => map.values().collect(),
                    Value::Array(list) if key == "*" => list.iter().collect(),
                    Value::Object(map) => map.get(key).into_iter().collect(),
                    Value::Array(list) => key
                        .parse::<usize>()
                        .ok()
                        .and_then(|index| list.get(index))
                        .into_iter()
                        .collect(),
                    _ => Vec::new(),
                }
            })
            .collect();
    }
    found
}

impl Expectation {
    /// Whether the document satisfies the condition; `resolve` gives the texts of the templates.
    pub fn holds<E>(
        &self,
        document: &Value,
        mut resolve: impl FnMut(&Template) -> Result<String, E>,
    ) -> Result<bool, E> {
        let path = self
            .select
            .iter()
            .map(&mut resolve)
            .collect::<Result<Vec<_>, E>>()?;
        let found = select(document, &path);
        Ok(match &self.condition {
            Condition::Is(template) => {
                let wanted = resolve(template)?;
                found.iter().any(|value| match value {
                    Value::String(text) => *text == wanted,
                    other => other.to_string() == wanted,
                })
            }
            #[allow(
                clippy::cast_precision_loss,
                reason = "counts are far below the 2^52 from which on a double is no longer exact"
            )]
            Condition::Above(limit) => found
                .iter()
                .any(|value| value.as_f64().is_some_and(|number| number > *limit as f64)),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn expect(select: &[&str], condition: Condition) -> Expectation {
        Expectation {
            select: select.iter().copied().map(Template::literal).collect(),
            condition,
        }
    }

    #[test]
    fn expectations_on_json() {
        let document = json!({"workers": {"a": {"n": 0}, "b": {"n": 2}}, "idle": null});
        let holds = |e: Expectation| e.holds(&document, |t| t.resolve(|_| Err(()))).unwrap();
        assert!(holds(expect(&["workers", "*", "n"], Condition::Above(1))));
        assert!(!holds(expect(&["workers", "a", "n"], Condition::Above(0))));
        assert!(holds(expect(&["idle"], Condition::Is(Template::literal("null")))));
        assert!(!holds(expect(
            &["nothing"],
            Condition::Is(Template::literal("null"))
        )));
    }
}
