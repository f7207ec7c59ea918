//! What applying a plan would change.

use seaway_discovery::kubernetes::api::essence;
use serde::Serialize;
use serde_json::{Map, Value};

/// What happens to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// It is made.
    Create,
    /// It is changed.
    Change,
    /// It is deleted.
    Delete,
    /// It stays as it is.
    Keep,
}

/// What happens to one object.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// `Deployment/lab-scheduler`, or the instance as a whole.
    pub object: String,
    /// What happens to it.
    pub action: Action,
    /// Its fields that change, when it is changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldDifference>,
}

/// What happens to one field.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FieldDifference {
    /// `spec.template.spec.containers[main].image`.
    pub path: String,
    /// What it was; absent when it is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What it will be; absent when it is taken out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// What is shown in place of a secret.
const BLOT: &str = "(secret)";

/// The fields in which two states of an object differ, those that the API server keeps for itself aside.
pub(crate) fn fields(before: &Value, after: &Value) -> Vec<FieldDifference> {
    let mut found = Vec::new();
    let secret = after.get("kind").and_then(Value::as_str) == Some("Secret");
    compare(
        &mut found,
        String::new(),
        Some(&essence(before)),
        Some(&essence(after)),
    );
    if secret {
        for field in found
            .iter_mut()
            .filter(|field| field.path.starts_with("data") || field.path.contains("last-applied"))
        {
            field.before = field.before.take().map(|_| BLOT.into());
            field.after = field.after.take().map(|_| BLOT.into());
        }
    }
    found
}

fn compare(found: &mut Vec<FieldDifference>, path: String, before: Option<&Value>, after: Option<&Value>) {
    match (before, after) {
        (before, after) if before == after => {}
        (Some(Value::Object(before)), Some(Value::Object(after))) => {
            compare_maps(found, &path, before, after);
        }
        (Some(Value::Array(before)), Some(Value::Array(after)))
            if named(before).is_some() && named(after).is_some() =>
        {
            let (before, after) = (
                named(before).unwrap_or_default(),
                named(after).unwrap_or_default(),
            );
            let mut names: Vec<&str> = before.iter().chain(&after).map(|(name, _)| *name).collect();
            names.sort_unstable();
            names.dedup();
            for name in names {
                let of = |all: &[(&str, &'_ Value)]| {
                    all.iter()
                        .find(|(key, _)| *key == name)
                        .map(|(_, value)| (*value).clone())
                };
                let path = format!("{path}[{name}]");
                compare(found, path, of(&before).as_ref(), of(&after).as_ref());
            }
        }
        (before, after) => found.push(FieldDifference {
            path,
            before: before.cloned(),
            after: after.cloned(),
        }),
    }
}

fn compare_maps(
    found: &mut Vec<FieldDifference>,
    path: &str,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
) {
    let mut keys: Vec<&String> = before.keys().chain(after.keys()).collect();
    keys.sort();
    keys.dedup();
    for key in keys {
        let path = if path.is_empty() {
            key.clone()
        } else {
            format!("{path}.{key}")
        };
        compare(found, path, before.get(key), after.get(key));
    }
}

/// The elements of a list by their names, when each has one of its own.
fn named(list: &[Value]) -> Option<Vec<(&str, &Value)>> {
    let mut all = Vec::new();
    for element in list {
        let name = element.get("name")?.as_str()?;
        if all.iter().any(|(known, _)| *known == name) {
            return None;
        }
        all.push((name, element));
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn paths(before: &Value, after: &Value) -> Vec<String> {
        fields(before, after)
            .into_iter()
            .map(|field| field.path)
            .collect()
    }

    #[test]
    fn only_what_somebody_asked_for_counts() {
        let before = json!({"metadata": {"name": "a", "resourceVersion": "1", "managedFields": []}, "status": {"x": 1}});
        let after = json!({"metadata": {"name": "a", "resourceVersion": "2"}});
        assert_eq!(paths(&before, &after), Vec::<String>::new());
    }

    #[test]
    fn elements_are_compared_by_name() {
        let with = |image: &str, more: Value| json!({"spec": {"containers": [{"name": "agent"}, {"name": "main", "image": image, "args": more}]}});
        assert_eq!(
            paths(&with("a", json!([1])), &with("b", json!([1, 2]))),
            ["spec.containers[main].args", "spec.containers[main].image"]
        );
        let one = json!({"spec": {"containers": [{"name": "main"}]}});
        assert_eq!(
            paths(&with("a", json!([])), &one),
            [
                "spec.containers[agent]",
                "spec.containers[main].args",
                "spec.containers[main].image"
            ]
        );
    }

    #[test]
    fn secrets_are_not_told() {
        let secret = |value: &str| json!({"kind": "Secret", "data": {"token": value}});
        let told = fields(&secret("c2VzYW1l"), &secret("b3Blbg=="));
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].after, Some(BLOT.into()));
        assert_eq!(told[0].before, Some(BLOT.into()));
        let new = fields(&json!({"kind": "Secret"}), &secret("c2VzYW1l"));
        assert!(!format!("{new:?}").contains("c2VzYW1l"), "{new:?}");
    }

    #[test]
    fn a_list_whose_elements_have_no_names_of_their_own_is_compared_whole() {
        let with = |ports: Value| json!({"spec": {"ports": ports}});
        let twice = json!([{"name": "a", "port": 1}, {"name": "a", "port": 2}]);
        let before = with(json!([{"name": "a", "port": 1}]));
        assert_eq!(paths(&before, &with(twice)), ["spec.ports"]);
    }

    proptest::proptest! {
        #[test]
        fn nothing_differs_from_itself_and_every_difference_is_told(one in ".{0,8}", other in ".{0,8}") {
            let object = |value: &str| json!({"a": [{"name": "n", "value": value}], "b": value});
            let expected = if one == other { 0 } else { 2 };
            proptest::prop_assert_eq!(fields(&object(&one), &object(&other)).len(), expected);
        }
    }
}
