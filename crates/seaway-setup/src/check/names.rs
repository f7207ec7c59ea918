//! What pods name, and what is there: Secrets, ConfigMaps, claims, service accounts, volumes.

use std::collections::BTreeSet;

use super::{
    Found, meant,
    object::{Object, World, all},
    or_meant,
};

pub(super) fn check(found: &mut Found<'_>, world: &World) {
    if found.object.pod().is_some() {
        account(found, world);
        volumes(found, world);
        mounts(found);
        variables(found, world);
        pull_secrets(found, world);
    }
    if found.object.kind() == "Ingress" {
        let names: Vec<&str> = all(&found.object.value["spec"]["tls"])
            .filter_map(|tls| tls["secretName"].as_str())
            .collect();
        for name in names {
            missing(found, world, "Secret", name, "its TLS");
        }
    }
}

/// Tells when there is nothing of that name.
pub(super) fn missing(
    found: &mut Found<'_>,
    world: &World,
    kind: &'static str,
    name: &str,
    by: &str,
) -> bool {
    if world.has(kind, name) || is_everywhere(kind, name) {
        return false;
    }
    let why = match kind {
        "ServiceAccount" => "no pod is made, and only the events of its controller say so",
        "Secret" if by == "imagePullSecrets" => {
            "the image is pulled without a login, which a private registry refuses"
        }
        _ => "the pod waits in ContainerCreating or CreateContainerConfigError for ever",
    };
    let make = if kind == "Secret" {
        "make it; `seaway setup kubernetes` makes those for SSH, TLS and images"
    } else {
        "add it"
    };
    let hint = or_meant(meant(name, world.names(kind)), make);
    found.add(
        "missing-name",
        format!("{by} names the {kind} `{name}`, and there is none of that name"),
        why,
        hint,
    );
    true
}

fn is_everywhere(kind: &str, name: &str) -> bool {
    matches!(
        (kind, name),
        ("ServiceAccount", "default") | ("ConfigMap", "kube-root-ca.crt")
    )
}

fn account(found: &mut Found<'_>, world: &World) {
    let object = found.object;
    let Some(spec) = object.pod().map(|pod| &pod["spec"]) else {
        return;
    };
    if let Some(name) = spec["serviceAccountName"]
        .as_str()
        .or(spec["serviceAccount"].as_str())
    {
        missing(found, world, "ServiceAccount", name, "serviceAccountName");
    }
}

fn pull_secrets(found: &mut Found<'_>, world: &World) {
    let object = found.object;
    let Some(spec) = object.pod().map(|pod| &pod["spec"]) else {
        return;
    };
    for one in all(&spec["imagePullSecrets"]) {
        if let Some(name) = one["name"].as_str() {
            missing(found, world, "Secret", name, "imagePullSecrets");
        }
    }
}

/// Kind and name of what a volume or a variable is from.
fn source<'a>(
    value: &'a serde_json::Value,
    fields: &[(&'static str, &'static str, &'static str)],
) -> Option<(&'static str, &'a str, &'a serde_json::Value)> {
    fields.iter().find_map(|(field, key, kind)| {
        let source = &value[*field];
        let name = source[*key].as_str()?;
        (source["optional"] != true).then_some((*kind, name, source))
    })
}

const VOLUMES: [(&str, &str, &str); 3] = [
    ("secret", "secretName", "Secret"),
    ("configMap", "name", "ConfigMap"),
    ("persistentVolumeClaim", "claimName", "PersistentVolumeClaim"),
];
const PARTS: [(&str, &str, &str); 2] = [("secret", "name", "Secret"), ("configMap", "name", "ConfigMap")];
const ONE: [(&str, &str, &str); 2] = [
    ("secretKeyRef", "name", "Secret"),
    ("configMapKeyRef", "name", "ConfigMap"),
];
const MANY: [(&str, &str, &str); 2] = [
    ("secretRef", "name", "Secret"),
    ("configMapRef", "name", "ConfigMap"),
];

fn volumes(found: &mut Found<'_>, world: &World) {
    let object = found.object;
    let Some(spec) = object.pod().map(|pod| &pod["spec"]) else {
        return;
    };
    for volume in all(&spec["volumes"]) {
        let title = format!("volume `{}`", volume["name"].as_str().unwrap_or_default());
        let parts = all(&volume["projected"]["sources"]).filter_map(|part| source(part, &PARTS));
        let sources: Vec<_> = source(volume, &VOLUMES).into_iter().chain(parts).collect();
        for (kind, name, from) in sources {
            if missing(found, world, kind, name, &title) {
                continue;
            }
            let keys: Vec<&str> = all(&from["items"])
                .filter_map(|item| item["key"].as_str())
                .collect();
            for key in keys {
                missing_key(found, world, kind, name, key, &title);
            }
        }
    }
}

fn mounts(found: &mut Found<'_>) {
    let object = found.object;
    let Some(spec) = object.pod().map(|pod| &pod["spec"]) else {
        return;
    };
    let names = |list: &serde_json::Value| -> BTreeSet<String> {
        all(list)
            .filter_map(|one| one["name"].as_str().map(str::to_owned))
            .collect()
    };
    let mut volumes = names(&spec["volumes"]);
    // A StatefulSet makes volumes for each pod.
    volumes.extend(
        all(&object.value["spec"]["volumeClaimTemplates"])
            .filter_map(|one| one["metadata"]["name"].as_str().map(str::to_owned)),
    );
    let containers: Vec<_> = object.containers().collect();
    for container in containers {
        for mounted in names(&container["volumeMounts"]) {
            if !volumes.contains(&mounted) {
                let near = meant(&mounted, volumes.iter().map(String::as_str));
                found.add(
                    "missing-name",
                    format!("a container mounts the volume `{mounted}`, and the pod has none of that name"),
                    "the API server refuses the pod",
                    or_meant(near, "name one of the pod's volumes, or add it"),
                );
            }
        }
    }
}

fn variables(found: &mut Found<'_>, world: &World) {
    let containers: Vec<_> = found.object.containers().collect();
    for container in containers {
        for variable in all(&container["env"]) {
            let title = format!("variable {}", variable["name"].as_str().unwrap_or_default());
            if let Some((kind, name, from)) = source(&variable["valueFrom"], &ONE)
                && !missing(found, world, kind, name, &title)
                && let Some(key) = from["key"].as_str()
            {
                missing_key(found, world, kind, name, key, &title);
            }
        }
        for from in all(&container["envFrom"]) {
            if let Some((kind, name, _)) = source(from, &MANY) {
                missing(found, world, kind, name, "envFrom");
            }
        }
    }
}

/// Tells when what is named is there, without the key that is wanted.
fn missing_key(found: &mut Found<'_>, world: &World, kind: &'static str, name: &str, key: &str, by: &str) {
    let Some(object) = world.find(kind, name) else {
        return;
    };
    let keys = keys(object);
    // One that others fill has no keys yet.
    if keys.is_empty() || keys.contains(&key) {
        return;
    }
    let hint = or_meant(
        meant(key, keys.iter().copied()),
        &format!("it has {}", keys.join(", ")),
    );
    found.add(
        "missing-name",
        format!("{by} wants the key `{key}` of the {kind} `{name}`, which has none of that name"),
        "the pod waits in CreateContainerConfigError or ContainerCreating for ever",
        hint,
    );
}

fn keys(object: &Object) -> Vec<&str> {
    ["data", "stringData", "binaryData"]
        .iter()
        .filter_map(|field| object.value[*field].as_object())
        .flat_map(|values| values.keys().map(String::as_str))
        .collect()
}
