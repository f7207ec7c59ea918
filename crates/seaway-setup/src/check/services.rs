//! Services: whether they lead to pods, and to ports that the pods have.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    Found, meant,
    object::{Object, World, all, selects, texts},
    or_meant,
};

pub(super) fn check(found: &mut Found<'_>, world: &World) {
    match found.object.kind() {
        "Service" => service(found, world),
        "ServiceMonitor" => monitor(found, world),
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" => own_pods(found),
        _ => {}
    }
    domain(found);
}

/// Whatever makes pods that the selector matches; in whatever namespace.
fn targets<'a>(world: &'a World, selector: &'a Value) -> impl Iterator<Item = (&'a Object, &'a Value)> {
    world
        .objects
        .iter()
        .filter_map(|object| Some((object, object.pod()?)))
        .filter(|(_, pod)| selects(selector, &pod["metadata"]["labels"]))
}

fn words(selector: &Value) -> String {
    let labels = selector.as_object().into_iter().flatten();
    let words: Vec<String> = labels
        .map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default()))
        .collect();
    words.join(",")
}

fn service(found: &mut Found<'_>, world: &World) {
    let object = found.object;
    let spec = &object.value["spec"];
    exposure(found, spec);
    if object.value["metadata"]["annotations"]["service.alpha.kubernetes.io/tolerate-unready-endpoints"]
        .is_string()
    {
        found.add(
            "deprecated",
            "it has the annotation `service.alpha.kubernetes.io/tolerate-unready-endpoints`",
            "current clusters do not look at it",
            "say `publishNotReadyAddresses: true` in its spec",
        );
    }
    let selector = &spec["selector"];
    if selector.as_object().is_none_or(serde_json::Map::is_empty) {
        return;
    }
    let all_targets: Vec<_> = targets(world, selector).collect();
    if all_targets.is_empty() {
        let makers = world.objects.iter().any(|one| one.pod().is_some());
        if !world.unknown.is_empty()
            || words(selector).contains(['$', '{'])
            || (!makers && object.line.is_some())
        {
            // The pods are described elsewhere.
            return;
        }
        let labels: Vec<String> = world
            .objects
            .iter()
            .filter_map(|one| Some(words(&one.pod()?["metadata"]["labels"])))
            .collect();
        let near = meant(&words(selector), labels.iter().map(String::as_str));
        found.add(
            "no-target",
            format!("its selector {} matches no pod", words(selector)),
            "its name resolves, and connections are refused",
            or_meant(near, "use labels that the pods have"),
        );
        return;
    }
    let here = world.namespace_of(object);
    let reachable: Vec<_> = all_targets
        .iter()
        .filter(|(target, _)| world.namespace_of(target) == here)
        .copied()
        .collect();
    if reachable.is_empty() {
        let (target, _) = all_targets[0];
        let say = |namespace: Option<&str>| {
            namespace.map_or("names no namespace".to_owned(), |name| format!("is in `{name}`"))
        };
        found.add(
            "namespace",
            format!(
                "the Service {}, and {}, which it selects, {}",
                say(here),
                target.title(),
                say(world.namespace_of(target))
            ),
            "applied in another namespace, the Service has no pods behind it",
            "name the same namespace in both, or in neither",
        );
    }
    ports(found, spec, &all_targets);
}

fn exposure(found: &mut Found<'_>, spec: &Value) {
    let fixed: Vec<String> = all(&spec["ports"])
        .filter_map(|port| port["nodePort"].as_u64())
        .map(|port| port.to_string())
        .collect();
    // What a cluster chose is no mistake of who wrote the Service.
    if !fixed.is_empty() && found.object.line.is_some() {
        found.add(
            "node-port",
            format!("it fixes the node port {}", fixed.join(", ")),
            "a second instance cannot have it, and the port is open on every node",
            "leave `nodePort` out; use ClusterIP and a port-forward, or an HTTPRoute",
        );
    } else if spec["type"] == "NodePort" {
        found.add(
            "node-port",
            "it is of type NodePort",
            "the port is open on every node, for everybody who reaches one",
            "use ClusterIP and a port-forward, or an HTTPRoute with a login",
        );
    }
}

fn ports(found: &mut Found<'_>, spec: &Value, targets: &[(&Object, &Value)]) {
    let mut names = BTreeSet::new();
    for port in all(&spec["ports"]) {
        let name = port["name"].as_str().unwrap_or_default();
        if !names.insert(name) {
            found.add(
                "port",
                format!("two of its ports are called `{name}`"),
                "the API server refuses it",
                "give each port a name of its own",
            );
        }
        let target = if port["targetPort"].is_null() {
            &port["port"]
        } else {
            &port["targetPort"]
        };
        for (object, pod) in targets {
            let declared: Vec<&Value> = all(&pod["spec"]["containers"])
                .flat_map(|container| all(&container["ports"]))
                .collect();
            let (fits, shown) = match target {
                Value::String(name) => (
                    declared.iter().any(|one| one["name"] == name.as_str()),
                    format!("`{name}`"),
                ),
                // Numbers need not be declared; where none is, nothing can be said.
                number => (
                    declared.is_empty() || declared.iter().any(|one| one["containerPort"] == *number),
                    number.to_string(),
                ),
            };
            if !fits {
                let near = target
                    .as_str()
                    .and_then(|name| meant(name, declared.iter().filter_map(|one| one["name"].as_str())));
                found.add(
                    "port",
                    format!(
                        "its targetPort {shown} is none of the ports of {}",
                        object.title()
                    ),
                    "connections to it are refused",
                    or_meant(near, "name a port that a container has"),
                );
            }
        }
    }
}

/// A workload that does not select its own pods is refused.
fn own_pods(found: &mut Found<'_>) {
    let spec = &found.object.value["spec"];
    let selector = &spec["selector"]["matchLabels"];
    if selector.is_object() && !selects(selector, &spec["template"]["metadata"]["labels"]) {
        found.add(
            "no-target",
            format!(
                "its selector {} does not match the labels of its own pods",
                words(selector)
            ),
            "the API server refuses it",
            "give the pods of its template these labels",
        );
    }
}

/// Prometheus finds Services by labels, and ports by name.
fn monitor(found: &mut Found<'_>, world: &World) {
    let spec = &found.object.value["spec"];
    let selector = &spec["selector"]["matchLabels"];
    let services: Vec<_> = world
        .of_kind("Service")
        .filter(|service| selects(selector, &service.value["metadata"]["labels"]))
        .collect();
    if services.is_empty() {
        if world.of_kind("Service").next().is_some() {
            found.add(
                "no-target",
                format!("its selector {} matches no Service", words(selector)),
                "nothing is measured, and nobody says so",
                "give the Service these labels; a ServiceMonitor looks at those of the Service, not of the pods",
            );
        }
        return;
    }
    for endpoint in all(&spec["endpoints"]) {
        let Some(port) = endpoint["port"].as_str() else {
            continue;
        };
        let named = |service: &&&Object| all(&service.value["spec"]["ports"]).any(|one| one["name"] == port);
        if !services.iter().any(|service| named(&service)) {
            found.add(
                "port",
                format!("no port of the Services that it selects is called `{port}`"),
                "nothing is measured, and nobody says so",
                "give the port of the Service this name",
            );
        }
    }
}

/// Names that hold only in one cluster, or only in one namespace.
fn domain(found: &mut Found<'_>) {
    let object = found.object;
    let mut all_texts = Vec::new();
    texts(&object.value, &mut all_texts);
    for text in all_texts {
        for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || ".-${}".contains(c))) {
            if word.ends_with(".svc.cluster.local") || word.contains(".svc.cluster.local.") {
                found.add(
                    "domain",
                    format!("`{word}` has the cluster's domain in it"),
                    "clusters have other domains too; there the name is unknown",
                    "write NAME.NAMESPACE.svc, or only NAME within the namespace",
                );
            } else if word.ends_with(".default.svc")
                && object.namespace().is_none_or(|namespace| namespace != "default")
            {
                found.add(
                    "domain",
                    format!("`{word}` has the namespace `default` in it"),
                    "in another namespace it leads to nobody, or to somebody else",
                    "write only the name of the Service within its namespace",
                );
            }
        }
    }
}
