//! `values.schema.json`: what Helm checks before it renders anything.

use serde_json::{Map, Value, json};

use super::{
    probe::{Probe, RoleValues, SETTINGS},
    values::{Defaults, description},
};

/// Types of documents that values have as well.
const SHARED: [&str; 9] = [
    "Cpu",
    "Memory",
    "Name",
    "AccessMode",
    "EmptyDirVolume",
    "ClaimVolume",
    "HostPathVolume",
    "NfsVolume",
    "NamedVolume",
];

const VOLUMES: [(&str, &str, &str); 6] = [
    (
        "emptyDir",
        "EmptyDirVolume",
        "An empty directory that goes with the pod.",
    ),
    ("claim", "ClaimVolume", "A PersistentVolumeClaim."),
    ("hostPath", "HostPathVolume", "A directory of the node."),
    ("nfs", "NfsVolume", "A directory of an NFS server."),
    ("configMap", "NamedVolume", "The files of a ConfigMap."),
    ("secret", "NamedVolume", "The files of a Secret."),
];

/// A mapping of which every key is known.
fn closed(description: &str, properties: &Map<String, Value>) -> Value {
    json!({
        "description": description,
        "type": "object",
        "properties": properties,
        "additionalProperties": false,
    })
}

/// Keys that a user may not take out by giving `null`.
fn need(schema: &mut Value, keys: &[&str]) {
    schema["required"] = json!(keys);
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> Map<String, Value> {
    entries
        .map(|(key, value)| (key.to_owned(), value))
        .into_iter()
        .collect()
}

/// An amount that need not be given.
fn amount(definitions: &Value, name: &str, description: &str) -> Value {
    let pattern = definitions[name]["pattern"].as_str().unwrap_or("^.*$");
    let pattern = pattern.trim_start_matches('^').trim_end_matches('$');
    json!({
        "description": format!("{description} ({})", definitions[name]["description"].as_str().unwrap_or_default()),
        "type": ["string", "number", "null"],
        "pattern": format!("^({pattern})?$"),
    })
}

fn settings() -> Map<String, Value> {
    let texts = || json!({"type": "object", "additionalProperties": {"type": "string"}});
    SETTINGS
        .iter()
        .map(|key| {
            let mut schema = match *key {
                "tolerations" => json!({"type": "array", "items": {"type": "object"}}),
                "affinity" => json!({"type": "object"}),
                "serviceAccount" => json!({"type": "string", "pattern": "^([a-z0-9]([a-z0-9-]*[a-z0-9])?)?$", "maxLength": 53}),
                "priorityClass" => json!({"type": "string"}),
                _ => texts(),
            };
            schema["description"] = description(key).into();
            ((*key).to_owned(), schema)
        })
        .collect()
}

fn role(role: &RoleValues, definitions: &Value) -> Value {
    let mut properties = settings();
    if role.scalable {
        let replicas = json!({"description": "How many.", "type": "integer", "minimum": 0, "maximum": 1000});
        properties.insert("replicas".into(), replicas);
    }
    if role.section.is_some() {
        let resources = map([
            (
                "cpu",
                amount(definitions, "Cpu", "Cores, both asked for and kept to."),
            ),
            (
                "memory",
                amount(definitions, "Memory", "Memory, both asked for and kept to."),
            ),
        ]);
        properties.insert("resources".into(), closed("What one task gets.", &resources));
        let env = json!({
            "description": "Environment variables beside those of the document, and over them.",
            "type": "object",
            "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$"},
            "additionalProperties": {"type": ["string", "number", "boolean"]},
        });
        properties.insert("env".into(), env);
    }
    let needed: Vec<&str> = ["replicas", "resources"]
        .into_iter()
        .filter(|key| properties.contains_key(*key))
        .collect();
    let mut schema = closed(&format!("The role `{}`.", role.name), &properties);
    need(&mut schema, &needed);
    schema
}

/// The types that several values have.
fn shared(definitions: &Value) -> Map<String, Value> {
    let mut shared: Map<String, Value> = SHARED
        .iter()
        .map(|name| ((*name).to_owned(), definitions[*name].clone()))
        .collect();
    // Of the two only one can be given; a document is checked for that elsewhere.
    shared["ClaimVolume"]["oneOf"] = json!([{"required": ["name"]}, {"required": ["size"]}]);
    let volumes = VOLUMES
        .iter()
        .map(|(key, kind, description)| {
            let schema = json!({"description": description, "$ref": format!("#/$defs/{kind}")});
            ((*key).to_owned(), schema)
        })
        .collect();
    let mut volume = closed(
        "Where the data is: one of these. Set the default's to null to give another.",
        &volumes,
    );
    volume["minProperties"] = 1.into();
    volume["maxProperties"] = 1.into();
    shared.insert("Volume".into(), volume);
    shared
}

/// A mapping in which every key is there.
fn whole(description: &str, properties: &Map<String, Value>) -> Value {
    let mut schema = closed(description, properties);
    need(
        &mut schema,
        &properties.keys().map(String::as_str).collect::<Vec<_>>(),
    );
    schema
}

fn data(probe: &Probe<'_>) -> Map<String, Value> {
    let one = |path: &std::path::Path| {
        let volume = map([("volume", json!({"$ref": "#/$defs/Volume"}))]);
        whole(&format!("What is seen in {}.", path.display()), &volume)
    };
    let data = probe.plan.data.iter();
    data.map(|data| (data.name.to_string(), one(&data.path)))
        .collect()
}

fn secrets(probe: &Probe<'_>) -> Map<String, Value> {
    let secrets = probe.plan.secrets.iter().map(|secret| {
        // The template says what is wrong with one: Helm's words would show it.
        let schema = json!({
            "description": format!("It {}. Made at random once and then kept when empty.", secret.purpose),
            "type": ["string", "null"],
        });
        (secret.name.to_string(), schema)
    });
    secrets.collect()
}

/// Values that are one text, or a list of names.
fn simple(defaults: &Defaults) -> Map<String, Value> {
    let word = |description: &str, words: &[&str]| json!({"description": description, "type": "string", "enum": words});
    let text = |description: &str, shortest: usize| json!({"description": description, "type": "string", "minLength": shortest});
    let scratch = "The most temporary data of a pod; it is evicted when it writes more.";
    map([
        // Helm puts it here when the chart is part of another one.
        (
            "global",
            json!({"description": "Values of the chart that has this one in it.", "type": "object"}),
        ),
        (
            "fullnameOverride",
            text("The name of the instance; that of the release when empty.", 0),
        ),
        (
            "image",
            text(
                "The image with the engine; each role's own when empty.",
                usize::from(!defaults.image.is_empty()),
            ),
        ),
        (
            "agentImage",
            text("The image with `seaway`, for the sidecars.", 1),
        ),
        (
            "imagePullPolicy",
            word("When images are pulled.", &["IfNotPresent", "Always", "Never"]),
        ),
        (
            "imagePullSecrets",
            json!({
                "description": "Names of Secrets with the credentials of registries.",
                "type": "array",
                "items": {"$ref": "#/$defs/Name"},
            }),
        ),
        (
            "serviceType",
            word(
                "How clients reach the endpoints.",
                &["ClusterIP", "NodePort", "LoadBalancer"],
            ),
        ),
        (
            "scratchSize",
            json!({"description": scratch, "$ref": "#/$defs/Memory"}),
        ),
    ])
}

pub(super) fn schema(probe: &Probe<'_>, defaults: &Defaults) -> Value {
    let document = seaway_model::document::schema();
    let definitions = &document["$defs"];
    let roles = probe.roles.iter();
    let roles = roles
        .map(|one| (one.name.to_string(), role(one, definitions)))
        .collect();
    let enabled = map([(
        "enabled",
        json!({"description": "Whether there is one.", "type": "boolean"}),
    )]);
    let policy = "A NetworkPolicy that keeps all but the endpoints to the instance itself.";
    let secrets = secrets(probe);
    let mut properties = simple(defaults);
    properties.extend(map([
        ("networkPolicy", whole(policy, &enabled)),
        ("pods", closed("Settings of all pods.", &settings())),
        ("roles", whole("Each role.", &roles)),
        (
            "data",
            whole("Where the data is, by its name in the document.", &data(probe)),
        ),
        ("secrets", closed("Secrets of the instance.", &secrets)),
    ]));
    let mut schema = closed(&format!("Values of a {} instance.", probe.plan.kind), &properties);
    let can_go = ["global", "fullnameOverride", "imagePullSecrets"];
    let keys = properties.keys().map(String::as_str);
    let needed = keys.filter(|key| !can_go.contains(key) && (*key != "secrets" || !secrets.is_empty()));
    need(&mut schema, &needed.collect::<Vec<_>>());
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["$defs"] = Value::Object(shared(definitions));
    schema
}
