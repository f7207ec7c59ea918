//! What was done.

use serde::Serialize;
use serde_json::Value;

/// What was done, step by step.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// URL of the API server.
    pub server: String,
    /// The namespace.
    pub namespace: String,
    /// Whether nothing was written.
    pub dry_run: bool,
    /// The steps, in order.
    pub steps: Vec<StepReport>,
    /// What somebody has to do, or to know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
    /// With a dry run: the objects, with everything secret blotted out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub objects: Vec<Value>,
}

/// One object or file, and what was done about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StepReport {
    /// The step.
    pub step: &'static str,
    /// What it is about: `Secret arkouda-ssh`, a file.
    pub object: String,
    /// What was done.
    pub did: Did,
    /// Why it exists.
    pub why: String,
}

/// What was done about an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Did {
    /// It was not there.
    Created,
    /// It was there, but not so.
    Changed,
    /// It was so already.
    Unchanged,
    /// It is there and somebody else's; it serves, and was left alone.
    Kept,
    /// It is asked for, and somebody else has to do something.
    Waiting,
    /// It is gone.
    Removed,
    /// It is not there.
    WouldCreate,
    /// It is there, but not so.
    WouldChange,
    /// It is there.
    WouldRemove,
}

impl Did {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::Kept => "kept",
            Self::Waiting => "waiting",
            Self::Removed => "removed",
            Self::WouldCreate => "would create",
            Self::WouldChange => "would change",
            Self::WouldRemove => "would remove",
        }
    }

    /// Whether something was written.
    #[must_use]
    pub const fn wrote(self) -> bool {
        matches!(self, Self::Created | Self::Changed | Self::Removed)
    }
}

/// What a blotted text shows.
const BLOT: &str = "[redacted]";

/// The object without what is secret: the values of a Secret, and what kubectl remembers of them.
pub(crate) fn blotted(object: &Value) -> Value {
    let mut object = object.clone();
    if object["kind"] == "Secret" {
        for field in ["data", "stringData"] {
            if let Some(values) = object.get_mut(field).and_then(Value::as_object_mut) {
                for value in values.values_mut() {
                    *value = Value::from(BLOT);
                }
            }
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_the_values_of_secrets_are_blotted() {
        let secret = json!({ "kind": "Secret", "metadata": { "name": "a" }, "data": { "k": "c2VzYW1l" },
            "stringData": { "l": "sesame" } });
        let shown = blotted(&secret);
        assert_eq!(shown["data"]["k"], BLOT);
        assert_eq!(shown["stringData"]["l"], BLOT);
        assert_eq!(shown["metadata"], secret["metadata"]);
        let other = json!({ "kind": "ConfigMap", "data": { "k": "v" } });
        assert_eq!(blotted(&other), other);
    }
}
