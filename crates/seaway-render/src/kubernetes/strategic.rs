//! Strategic merge patches of pod templates, as the API server applies them to pods: mappings are merged, `null`
//! takes a key out, lists of things with names are merged by name, other lists are replaced.
//!
//! The API server does this for whole objects only; a template within a Deployment is patched here. Rules and merge
//! keys are those of the Kubernetes API (`x-kubernetes-patch-merge-key` in its OpenAPI document).

use serde_json::{Map, Value};

/// The keys by which lists are merged, by the name of the field that holds the list.
const MERGE_KEYS: [(&str, &str); 12] = [
    ("containers", "name"),
    ("env", "name"),
    ("ephemeralContainers", "name"),
    ("hostAliases", "ip"),
    ("imagePullSecrets", "name"),
    ("initContainers", "name"),
    ("ports", "containerPort"),
    ("resourceClaims", "name"),
    ("schedulingGates", "name"),
    ("topologySpreadConstraints", "topologyKey"),
    ("volumeDevices", "devicePath"),
    ("volumeMounts", "mountPath"),
];

/// `volumes` is merged and an element's source is replaced whole: two sources in one volume are refused.
const VOLUMES: &str = "volumes";

/// The directive that says how an element or a mapping is patched.
const DIRECTIVE: &str = "$patch";

/// Why a patch does not fit.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Misfit {
    /// The path within the patch.
    pub(super) path: String,
    pub(super) why: String,
}

/// Merges `patch` into `target`.
pub(super) fn merge(target: &mut Value, patch: &Value) -> Result<(), Misfit> {
    merge_value(target, patch, "")
}

fn merge_value(target: &mut Value, patch: &Value, path: &str) -> Result<(), Misfit> {
    match (target, patch) {
        (Value::Object(target), Value::Object(patch)) => merge_map(target, patch, path),
        (target, patch) => {
            *target = patch.clone();
            Ok(())
        }
    }
}

fn merge_map(target: &mut Map<String, Value>, patch: &Map<String, Value>, path: &str) -> Result<(), Misfit> {
    match patch.get(DIRECTIVE).and_then(Value::as_str) {
        Some("replace") => {
            *target = without_directive(patch);
            return Ok(());
        }
        None | Some("merge") => {}
        Some(other) => {
            return Err(Misfit {
                path: path.to_owned(),
                why: format!("`{DIRECTIVE}: {other}` cannot stand here"),
            });
        }
    }
    for (key, value) in patch.iter().filter(|(key, _)| *key != DIRECTIVE) {
        let here = join(path, key);
        if value.is_null() {
            target.remove(key);
            continue;
        }
        match (target.get_mut(key), value) {
            (Some(Value::Array(list)), Value::Array(elements)) if merge_key(key).is_some() => {
                merge_list(list, elements, key, &here)?;
            }
            (Some(old), value) if old.is_object() && value.is_object() => merge_value(old, value, &here)?,
            _ => {
                target.insert(key.clone(), value.clone());
            }
        }
    }
    Ok(())
}

fn merge_list(list: &mut Vec<Value>, patch: &[Value], field: &str, path: &str) -> Result<(), Misfit> {
    let key = merge_key(field).unwrap_or_default();
    for (index, element) in patch.iter().enumerate() {
        let here = format!("{path}[{index}]");
        let directive = element.get(DIRECTIVE).and_then(Value::as_str);
        if directive == Some("replace") {
            *list = patch
                .iter()
                .filter(|element| element.get(DIRECTIVE).is_none())
                .cloned()
                .collect();
            return Ok(());
        }
        let id = element.get(key).ok_or_else(|| Misfit {
            path: here.clone(),
            why: format!("an element needs its `{key}`"),
        })?;
        let position = list.iter().position(|old| old.get(key) == Some(id));
        match (position, directive) {
            (position, Some("delete")) => {
                if let Some(position) = position {
                    list.remove(position);
                }
            }
            (Some(position), _) if field == VOLUMES => list[position] = element.clone(),
            (Some(position), _) => merge_value(&mut list[position], element, &here)?,
            (None, _) => list.push(element.clone()),
        }
    }
    Ok(())
}

fn merge_key(field: &str) -> Option<&'static str> {
    if field == VOLUMES {
        return Some("name");
    }
    MERGE_KEYS
        .iter()
        .find_map(|(name, key)| (*name == field).then_some(*key))
}

fn without_directive(patch: &Map<String, Value>) -> Map<String, Value> {
    let mut map = patch.clone();
    map.remove(DIRECTIVE);
    map
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        key.to_owned()
    } else {
        format!("{path}.{key}")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn merged(mut target: Value, patch: &Value) -> Value {
        merge(&mut target, patch).unwrap();
        target
    }

    #[test]
    fn mappings_merge_and_null_takes_out() {
        assert_eq!(
            merged(
                json!({"a": {"b": 1, "c": 2}, "d": 3}),
                &json!({"a": {"b": null, "e": 4}, "d": 5})
            ),
            json!({"a": {"c": 2, "e": 4}, "d": 5})
        );
    }

    #[test]
    fn containers_merge_by_name_and_commands_are_replaced() {
        let target = json!({"containers": [{"name": "main", "command": ["a", "b"], "env": [{"name": "A", "value": "1"}]}]});
        let patch = json!({"containers": [
            {"name": "main", "command": ["c"], "env": [{"name": "B", "value": "2"}, {"name": "A", "$patch": "delete"}]},
            {"name": "more", "image": "i"},
        ]});
        assert_eq!(
            merged(target, &patch),
            json!({"containers": [
                {"name": "main", "command": ["c"], "env": [{"name": "B", "value": "2"}]},
                {"name": "more", "image": "i"},
            ]})
        );
    }

    #[test]
    fn a_volume_has_one_source() {
        assert_eq!(
            merged(
                json!({"volumes": [{"name": "scratch", "emptyDir": {}}]}),
                &json!({"volumes": [{"name": "scratch", "hostPath": {"path": "/x"}}]})
            ),
            json!({"volumes": [{"name": "scratch", "hostPath": {"path": "/x"}}]})
        );
    }

    #[test]
    fn directives() {
        assert_eq!(
            merged(
                json!({"containers": [{"name": "a"}], "securityContext": {"x": 1}}),
                &json!({"containers": [{"$patch": "replace"}, {"name": "b"}], "securityContext": {"$patch": "replace", "y": 2}})
            ),
            json!({"containers": [{"name": "b"}], "securityContext": {"y": 2}})
        );
        let mut target = json!({"containers": [{"name": "a"}]});
        let misfit = merge(&mut target, &json!({"containers": [{"image": "b"}]})).unwrap_err();
        assert_eq!(misfit.path, "containers[0]");
    }

    /// Objects as people may write them: keys that are merged, names, directives.
    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            let key = prop_oneof![
                Just("name"),
                Just("containers"),
                Just("env"),
                Just("volumes"),
                Just("$patch"),
                Just("x")
            ];
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(key.prop_map(str::to_owned), inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_merged_or_refused(mut target in any_value(), patch in any_value()) {
            let before = target.clone();
            if merge(&mut target, &patch).is_ok() && patch == json!({}) && before.is_object() {
                prop_assert_eq!(target, before);
            }
        }

        #[test]
        fn an_object_merged_into_itself_stays(value in any_value()) {
            // What says that something goes, and lists that need names.
            let text = value.to_string();
            let apart = ["$patch", "null", "containers", "env", "volumes"];
            prop_assume!(!apart.iter().any(|word| text.contains(word)));
            let mut target = value.clone();
            prop_assert_eq!(merge(&mut target, &value), Ok(()));
            prop_assert_eq!(target, value);
        }
    }
}
