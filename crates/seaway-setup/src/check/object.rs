//! Objects as the rules see them.

use serde_json::Value;

/// An object, and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(super) place: String,
    pub(super) line: Option<usize>,
    pub(super) value: Value,
    /// Whether it is looked at; others are only there to be named.
    pub(super) judged: bool,
}

/// All objects that are known.
#[derive(Debug, Default)]
pub(crate) struct World {
    pub(super) objects: Vec<Object>,
    /// Kind and name of what commands in the text make.
    pub(super) mentioned: Vec<(String, String)>,
    /// Kinds that could not be listed: nothing is said about what is not there.
    pub(super) unknown: Vec<&'static str>,
    /// Where objects without a namespace are.
    pub(super) namespace: Option<String>,
}

impl Object {
    pub(super) fn kind(&self) -> &str {
        self.value["kind"].as_str().unwrap_or_default()
    }

    pub(super) fn name(&self) -> &str {
        let metadata = &self.value["metadata"];
        metadata["name"]
            .as_str()
            .or(metadata["generateName"].as_str())
            .unwrap_or_default()
    }

    pub(super) fn namespace(&self) -> Option<&str> {
        self.value["metadata"]["namespace"].as_str()
    }

    pub(super) fn title(&self) -> String {
        format!("{} {}", self.kind(), self.name())
    }

    /// The template of the pods that it makes, or itself: labels and spec.
    pub(super) fn pod(&self) -> Option<&Value> {
        let spec = &self.value["spec"];
        match self.kind() {
            "Pod" => Some(&self.value),
            "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" | "ReplicationController" | "Job" => {
                Some(&spec["template"])
            }
            "CronJob" => Some(&spec["jobTemplate"]["spec"]["template"]),
            _ => None,
        }
    }

    /// Containers of its pods, those that run before the others too.
    pub(super) fn containers(&self) -> impl Iterator<Item = &Value> {
        let spec = self.pod().map(|pod| &pod["spec"]);
        spec.into_iter()
            .flat_map(|spec| [&spec["initContainers"], &spec["containers"]])
            .flat_map(all)
    }
}

impl World {
    /// The namespace of an object, where that is known.
    pub(super) fn namespace_of<'a>(&'a self, object: &'a Object) -> Option<&'a str> {
        object.namespace().or(self.namespace.as_deref())
    }

    pub(super) fn of_kind<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a Object> {
        self.objects.iter().filter(move |object| object.kind() == kind)
    }

    pub(super) fn names<'a>(&'a self, kind: &'a str) -> impl Iterator<Item = &'a str> {
        let mentioned = self.mentioned.iter().filter(move |(of, _)| of == kind);
        self.of_kind(kind)
            .map(Object::name)
            .chain(mentioned.map(|(_, name)| name.as_str()))
    }

    /// Whether there is one of that name, or whether that cannot be told.
    pub(super) fn has(&self, kind: &str, name: &str) -> bool {
        // Names that templates make are known when they are filled in.
        self.unknown.contains(&kind)
            || name.contains(['$', '{'])
            || self.names(kind).any(|known| known == name)
    }

    pub(super) fn find<'a>(&'a self, kind: &'a str, name: &str) -> Option<&'a Object> {
        self.of_kind(kind).find(|object| object.name() == name)
    }
}

/// The items of a list; none when it is no list.
pub(super) fn all(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// Whether all labels of a selector stand in these labels.
pub(super) fn selects(selector: &Value, labels: &Value) -> bool {
    selector.as_object().is_some_and(|selector| {
        !selector.is_empty() && selector.iter().all(|(key, value)| labels[key] == *value)
    })
}

/// A text of an object, wherever it is; numbers count as the text they are.
pub(super) fn texts<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => found.push(text),
        Value::Array(items) => items.iter().for_each(|item| texts(item, found)),
        Value::Object(fields) => fields.values().for_each(|field| texts(field, found)),
        _ => {}
    }
}
