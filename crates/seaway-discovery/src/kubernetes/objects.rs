//! From an entry to the objects that make it reachable in a cluster. Nothing here asks anything.

use std::{collections::BTreeMap, net::IpAddr};

use jiff::Timestamp;
use seaway_model::{
    Endpoint,
    discovery::{self, KubernetesPlacement},
};
use serde_json::{Map, Value, json};

use super::{
    api::configuration,
    api::{Resource, lease_name},
    record,
};
use crate::{Entry, Result};

/// Who made it, as the usual tools show it.
pub(super) const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// Our name there.
pub(super) const MANAGER: &str = "seaway";
/// Label with the name of the entry, on all its objects, and on the pod of an engine inside.
pub(super) const ENTRY: &str = "seaway.dev/entry";
/// Annotation with the identity of the Lease that an object belongs to.
pub(super) const LEASE_UID: &str = "seaway.dev/lease-uid";

/// What the objects belong to, and go with.
#[derive(Debug, Clone)]
pub(super) struct Owner {
    pub(super) resource: Resource,
    pub(super) name: String,
    pub(super) uid: String,
}

impl Owner {
    fn reference(&self) -> Value {
        json!({
            "apiVersion": self.resource.api_version(),
            "kind": self.resource.kind(),
            "name": self.name,
            "uid": self.uid,
        })
    }
}

/// An object to apply.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) resource: Resource,
    pub(super) name: String,
    body: Value,
}

impl Object {
    /// The object with its owner and the Lease it belongs to.
    pub(super) fn owned(&self, owner: &Owner, lease_uid: &str) -> Value {
        let mut body = self.body.clone();
        if let Some(Value::Object(metadata)) = body.get_mut("metadata") {
            metadata.insert("ownerReferences".to_owned(), json!([owner.reference()]));
            metadata.insert("annotations".to_owned(), json!({ LEASE_UID: lease_uid }));
        }
        body
    }
}

/// The labels of every object of an entry.
pub(super) fn labels(entry: &Entry) -> Map<String, Value> {
    [
        (MANAGED_BY, MANAGER),
        ("app.kubernetes.io/instance", entry.name.as_str()),
        (ENTRY, entry.name.as_str()),
    ]
    .into_iter()
    .map(|(key, value)| (key.to_owned(), value.into()))
    .collect()
}

fn object(resource: Resource, name: &str, labels: &Map<String, Value>, rest: Value) -> Object {
    let mut body = json!({
        "apiVersion": resource.api_version(),
        "kind": resource.kind(),
        "metadata": { "name": name, "labels": labels },
    });
    if let (Some(body), Value::Object(rest)) = (body.as_object_mut(), rest) {
        body.extend(rest);
    }
    Object {
        resource,
        name: name.to_owned(),
        body,
    }
}

/// The Lease: who holds the entry, since when, and until when it is believed. Times are the server's.
pub(super) fn lease(entry: &Entry, duration: u32, now: Timestamp, owner: Option<&Owner>) -> Result<Value> {
    let mut metadata = json!({
        "name": lease_name(&entry.name),
        "labels": labels(entry),
        "annotations": { record::ANNOTATION: record::write(entry)? },
    });
    if let Some(owner) = owner {
        metadata["ownerReferences"] = json!([owner.reference()]);
    }
    Ok(json!({
        "apiVersion": Resource::Lease.api_version(),
        "kind": Resource::Lease.kind(),
        "metadata": metadata,
        "spec": {
            "holderIdentity": entry.owner,
            "leaseDurationSeconds": duration,
            "acquireTime": micro(now),
            "renewTime": micro(now),
        },
    }))
}

/// A time as Kubernetes writes those of leases.
pub(super) fn micro(time: Timestamp) -> String {
    format!("{time:.6}")
}

/// An endpoint with its Service and the port there.
struct Port<'a> {
    endpoint: &'a Endpoint,
    number: u16,
}

impl Port<'_> {
    /// In a Service, clients' port; the name is what the slice's port is found by.
    fn of_service(&self) -> Value {
        let mut port = json!({
            "name": self.endpoint.name,
            "protocol": "TCP",
            "port": self.number,
            "targetPort": self.endpoint.port,
        });
        if let scheme @ ("http" | "https") = self.endpoint.scheme.as_str() {
            port["appProtocol"] = scheme.into();
        }
        port
    }

    /// Behind a Service, the engine's own port.
    fn of_slice(&self) -> Value {
        json!({ "name": self.endpoint.name, "protocol": "TCP", "port": self.endpoint.port })
    }
}

/// The Services of an entry and what stands behind them. For an engine outside every host must be an IP address.
pub(super) fn reachable(
    entry: &Entry,
    spec: &discovery::KubernetesDirectory,
    placement: KubernetesPlacement,
) -> Result<Vec<Object>> {
    let mut objects = Vec::new();
    for (service, ports) in services(entry, spec)? {
        let mut body = json!({ "ports": ports.iter().map(Port::of_service).collect::<Vec<_>>() });
        if placement == KubernetesPlacement::Inside {
            body["selector"] = if spec.selector.is_empty() {
                json!({ ENTRY: entry.name })
            } else {
                json!(spec.selector)
            };
        }
        objects.push(object(
            Resource::Service,
            &service,
            &labels(entry),
            json!({ "spec": body }),
        ));
        if placement == KubernetesPlacement::Outside {
            objects.extend(behind(entry, &service, &ports, spec.legacy_endpoints)?);
        }
    }
    Ok(objects)
}

/// The endpoints by the Service they belong to.
fn services<'a>(
    entry: &'a Entry,
    spec: &discovery::KubernetesDirectory,
) -> Result<BTreeMap<String, Vec<Port<'a>>>> {
    let mut services: BTreeMap<String, Vec<Port<'a>>> = BTreeMap::new();
    for endpoint in &entry.endpoints {
        let given = spec.services.get(&endpoint.name);
        let service = given
            .and_then(|given| given.name.as_ref())
            .unwrap_or(&entry.name)
            .to_string();
        // A Service is a DNS label that begins with a letter; names may begin with a digit.
        if !service.starts_with(|c: char| c.is_ascii_lowercase()) {
            return Err(configuration(
                "services",
                format!("the name of a Service begins with a letter, and `{service}` does not"),
            ));
        }
        let number = given.and_then(|given| given.port).unwrap_or(endpoint.port);
        let ports = services.entry(service.clone()).or_default();
        if let Some(other) = ports.iter().find(|port| port.number == number) {
            return Err(configuration(
                "services",
                format!(
                    "endpoints `{}` and `{}` would both be port {number} of the Service `{service}`; give one of \
                     them another port or another Service",
                    other.endpoint.name, endpoint.name
                ),
            ));
        }
        ports.push(Port { endpoint, number });
    }
    Ok(services)
}

/// The addresses behind a Service without selector. All endpoints of a slice have the same ports, so there is one for
/// each address.
fn behind(entry: &Entry, service: &str, ports: &[Port<'_>], legacy: bool) -> Result<Vec<Object>> {
    let mut hosts: BTreeMap<IpAddr, Vec<&Port<'_>>> = BTreeMap::new();
    for port in ports {
        hosts.entry(address(&port.endpoint.host)?).or_default().push(port);
    }
    let slice_ports =
        |ports: &[&Port<'_>]| -> Vec<Value> { ports.iter().map(|port| port.of_slice()).collect() };
    if legacy {
        let subsets: Vec<Value> = hosts
            .iter()
            .map(|(host, ports)| json!({ "addresses": [{ "ip": host }], "ports": slice_ports(ports) }))
            .collect();
        let rest = json!({ "subsets": subsets });
        return Ok(vec![object(Resource::Endpoints, service, &labels(entry), rest)]);
    }
    let mut numbers: BTreeMap<&str, u32> = BTreeMap::new();
    Ok(hosts
        .iter()
        .map(|(host, ports)| {
            let family = if host.is_ipv4() { "IPv4" } else { "IPv6" };
            // Numbered, so that each address of a family has one.
            let number = numbers
                .entry(family)
                .and_modify(|number| *number += 1)
                .or_insert(1);
            let base = format!("{service}-{}", family.to_ascii_lowercase());
            let name = match number {
                1 => base,
                number => format!("{base}-{number}"),
            };
            let mut labels = labels(entry);
            labels.insert("kubernetes.io/service-name".to_owned(), service.into());
            // So that the control plane's own controllers leave it alone.
            labels.insert(
                "endpointslice.kubernetes.io/managed-by".to_owned(),
                "seaway.dev".into(),
            );
            let rest = json!({
                "addressType": family,
                "ports": slice_ports(ports),
                "endpoints": [{ "addresses": [host], "conditions": { "ready": true } }],
            });
            object(Resource::EndpointSlice, &name, &labels, rest)
        })
        .collect())
}

/// An address that Kubernetes takes.
fn address(host: &str) -> Result<IpAddr> {
    let refused = |why: &str| {
        Err(configuration(
            "endpoints",
            format!(
                "Kubernetes takes no {why} address such as {host}; let the engine listen on an address that the \
                 cluster reaches, and announce that one (`--address`)"
            ),
        ))
    };
    let Ok(address) = host.parse::<IpAddr>() else {
        return Err(configuration(
            "endpoints",
            format!("`{host}` is not an IP address"),
        ));
    };
    match address {
        address if address.is_loopback() => refused("loopback"),
        address if address.is_unspecified() => refused("unspecified"),
        address if address.is_multicast() => refused("multicast"),
        IpAddr::V4(v4) if v4.is_link_local() => refused("link-local"),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => refused("link-local"),
        address => Ok(address),
    }
}

#[cfg(test)]
mod tests {
    use seaway_model::{
        Name,
        discovery::{KubernetesDirectory, KubernetesService},
    };

    use super::*;

    fn endpoint(name: &'static str, host: &str, port: u16) -> Endpoint {
        Endpoint {
            name: Name::literal(name),
            scheme: if name == "client" { "tcp" } else { "http" }.into(),
            host: host.into(),
            port,
            path: String::new(),
            token_file: None,
        }
    }

    fn entry(endpoints: Vec<Endpoint>) -> Entry {
        Entry::new(Name::literal("eng"), "Command", "one".parse().unwrap(), endpoints)
    }

    fn outside(entry: &Entry, spec: &KubernetesDirectory) -> Result<Vec<Object>> {
        reachable(entry, spec, KubernetesPlacement::Outside)
    }

    #[test]
    fn outside_the_slice_has_the_ports_that_the_engine_listens_on() {
        let mut spec = KubernetesDirectory::default();
        spec.services.insert(
            Name::literal("client"),
            KubernetesService {
                name: None,
                port: Some(80),
            },
        );
        let entry = entry(vec![
            endpoint("client", "10.0.0.1", 5555),
            endpoint("metrics", "10.0.0.1", 5556),
        ]);
        let objects = outside(&entry, &spec).unwrap();
        let [service, slice] = objects.as_slice() else {
            panic!("{objects:?}")
        };
        assert_eq!(
            service.body["spec"],
            json!({ "ports": [
                { "name": "client", "protocol": "TCP", "port": 80, "targetPort": 5555 },
                { "name": "metrics", "protocol": "TCP", "port": 5556, "targetPort": 5556, "appProtocol": "http" },
            ] })
        );
        assert_eq!(slice.name, "eng-ipv4");
        assert_eq!(
            slice.body["metadata"]["labels"]["kubernetes.io/service-name"],
            "eng"
        );
        assert_eq!(slice.body["endpoints"][0]["addresses"], json!(["10.0.0.1"]));
        assert_eq!(
            slice.body["ports"],
            json!([
                { "name": "client", "protocol": "TCP", "port": 5555 },
                { "name": "metrics", "protocol": "TCP", "port": 5556 },
            ])
        );
    }

    #[test]
    fn each_address_and_each_service_has_its_own_slice() {
        let mut spec = KubernetesDirectory::default();
        let own = KubernetesService {
            name: Some(Name::literal("eng-metrics")),
            port: None,
        };
        spec.services.insert(Name::literal("metrics"), own);
        let entry = entry(vec![
            endpoint("client", "10.0.0.1", 1),
            endpoint("dashboard", "10.0.0.2", 2),
            endpoint("http", "fd00::1", 3),
            endpoint("metrics", "10.0.0.1", 4),
        ]);
        let names: Vec<_> = outside(&entry, &spec)
            .unwrap()
            .into_iter()
            .map(|object| (object.resource, object.name))
            .collect();
        let slice = |name: &str| (Resource::EndpointSlice, name.to_owned());
        assert_eq!(
            names,
            [
                (Resource::Service, "eng".to_owned()),
                slice("eng-ipv4"),
                slice("eng-ipv4-2"),
                slice("eng-ipv6"),
                (Resource::Service, "eng-metrics".to_owned()),
                slice("eng-metrics-ipv4"),
            ]
        );
    }

    #[test]
    fn inside_the_service_selects_the_pod_and_has_no_addresses() {
        let entry = entry(vec![endpoint("client", "", 5555)]);
        let spec = KubernetesDirectory::default();
        let objects = reachable(&entry, &spec, KubernetesPlacement::Inside).unwrap();
        assert_eq!(objects.len(), 1);
        assert_eq!(objects[0].body["spec"]["selector"], json!({ ENTRY: "eng" }));
        let owner = Owner {
            resource: Resource::Pod,
            name: "p".into(),
            uid: "u".into(),
        };
        let owned = objects[0].owned(&owner, "l");
        assert_eq!(owned["metadata"]["ownerReferences"][0]["kind"], "Pod");
        assert_eq!(owned["metadata"]["annotations"][LEASE_UID], "l");
    }

    #[test]
    fn what_kubernetes_does_not_take_is_refused_before_it_is_asked() {
        let spec = KubernetesDirectory::default();
        for (host, word) in [
            ("127.0.0.1", "loopback"),
            ("::1", "loopback"),
            ("169.254.0.1", "link-local"),
            ("fe80::1", "link-local"),
            ("0.0.0.0", "unspecified"),
        ] {
            let error = outside(&entry(vec![endpoint("client", host, 1)]), &spec).unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        }
        let twice = entry(vec![
            endpoint("client", "10.0.0.1", 1),
            endpoint("http", "10.0.0.2", 1),
        ]);
        let error = outside(&twice, &spec).unwrap_err().to_string();
        assert!(
            error.contains("`client` and `http` would both be port 1"),
            "{error}"
        );
    }

    #[test]
    fn the_old_kind_of_endpoints_on_request() {
        let spec = KubernetesDirectory {
            legacy_endpoints: true,
            ..KubernetesDirectory::default()
        };
        let objects = outside(&entry(vec![endpoint("client", "10.0.0.1", 5555)]), &spec).unwrap();
        assert_eq!(objects[1].resource, Resource::Endpoints);
        assert_eq!(
            objects[1].body["subsets"],
            json!([{ "addresses": [{ "ip": "10.0.0.1" }], "ports": [{ "name": "client", "protocol": "TCP", "port": 5555 }] }])
        );
    }
}
