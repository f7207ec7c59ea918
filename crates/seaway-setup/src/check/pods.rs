//! What pods carry with them: passwords in the clear, names given twice, parts of the node.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    Found,
    object::{all, texts},
};

/// Parts of names of variables that hold a secret.
const SECRET: [&str; 6] = ["PASSWORD", "PASSWD", "TOKEN", "SECRET", "API_KEY", "PRIVATE_KEY"];
/// Ends of names that are about one, and hold none.
const ABOUT: [&str; 7] = ["_FILE", "_PATH", "_DIR", "_NAME", "_SECRET", "_URL", "_ENABLED"];

pub(super) fn check(found: &mut Found<'_>) {
    let object = found.object;
    let containers: Vec<_> = object.containers().collect();
    for container in containers {
        variables(found, container);
        arguments(found, container);
        if container["securityContext"]["privileged"] == true {
            host(found, "a container is privileged");
        }
    }
    if let Some(spec) = object.pod().map(|pod| &pod["spec"]) {
        for volume in all(&spec["volumes"]) {
            if let Some(path) = volume["hostPath"]["path"].as_str() {
                host(found, &format!("it mounts {path} of the node"));
            }
        }
        for field in ["hostNetwork", "hostPID", "hostIPC"] {
            if spec[field] == true {
                host(found, &format!("it says `{field}: true`"));
            }
        }
    }
    if object.line.is_some() {
        private_key(found);
    }
}

fn host(found: &mut Found<'_>, what: &str) {
    found.add(
        "host",
        what,
        "the restricted Pod Security profile refuses it, and pods get at what belongs to the node and to each other",
        "use an emptyDir or a claim, and run without privileges",
    );
}

fn variables(found: &mut Found<'_>, container: &Value) {
    let mut names = BTreeSet::new();
    for variable in all(&container["env"]) {
        let name = variable["name"].as_str().unwrap_or_default();
        if !names.insert(name) {
            found.add(
                "twice",
                format!("the variable {name} is given twice"),
                "server-side apply refuses it; elsewhere the last one counts, whichever that is meant to be",
                "leave one out",
            );
        }
        let upper = name.to_uppercase();
        let is_secret =
            SECRET.iter().any(|part| upper.contains(part)) && !ABOUT.iter().any(|end| upper.ends_with(end));
        let ends_so = upper.ends_with("_SECRET") && !upper.contains("NAME");
        let value = variable["value"].as_str().unwrap_or_default();
        if (is_secret || ends_so) && !value.is_empty() && !value.starts_with("$(") {
            found.add(
                "plain-secret",
                format!("the variable {name} has its value in the clear"),
                "everybody who may look at pods reads it, and so does everybody who reads this file",
                "put it into a Secret, and name that with `valueFrom.secretKeyRef`",
            );
        }
    }
}

fn arguments(found: &mut Found<'_>, container: &Value) {
    let mut words = Vec::new();
    texts(&container["command"], &mut words);
    texts(&container["args"], &mut words);
    for word in words {
        let option = word.split_once('=').map_or("", |(option, _)| option);
        let upper = option.trim_start_matches('-').replace('-', "_").to_uppercase();
        let about = ABOUT.iter().any(|end| upper.ends_with(end));
        let value = word.split_once('=').map_or("", |(_, value)| value);
        if option.starts_with('-')
            && SECRET.iter().any(|part| upper.contains(part))
            && !about
            && !value.is_empty()
            && !value.starts_with('$')
        {
            found.add(
                "plain-secret",
                format!("the argument {option} has its value in the clear"),
                "everybody who may look at pods or at the node's processes reads it",
                "put it into a Secret, and pass it as a file",
            );
        }
    }
}

/// A key in a file that is passed around is no secret any more.
fn private_key(found: &mut Found<'_>) {
    use base64::{Engine, prelude::BASE64_STANDARD};
    let object = found.object;
    if !["Secret", "ConfigMap"].contains(&object.kind()) {
        return;
    }
    for field in ["data", "stringData"] {
        for (key, value) in object.value[field].as_object().into_iter().flatten() {
            let text = value.as_str().unwrap_or_default();
            let decoded = BASE64_STANDARD.decode(text.trim()).unwrap_or_default();
            if text.contains("PRIVATE KEY-----")
                || String::from_utf8_lossy(&decoded).contains("PRIVATE KEY-----")
            {
                found.add(
                    "plain-secret",
                    format!("a private key stands in `{key}`"),
                    "whoever has this file has the key",
                    "have it made in the cluster, as `seaway setup kubernetes` does, and take it out of the file and its history",
                );
            }
        }
    }
}
