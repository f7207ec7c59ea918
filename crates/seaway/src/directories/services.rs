//! Kubernetes Services of endpoints, on the command line and in the variables of Arkouda's integration.

use std::collections::BTreeMap;

use seaway_model::{Endpoint, Name, discovery::KubernetesService};

use super::usage;
use crate::{
    arkouda::TakenOver,
    environment::{self, Variable},
    failure::Failure,
};

/// Ports of Arkouda where nothing says otherwise.
const CLIENT_PORT: u16 = 5555;
const METRICS_PORT: u16 = 5556;

/// A Service of all endpoints, or of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServiceArgument {
    endpoint: Option<Name>,
    service: KubernetesService,
}

/// Reads `NAME`, `ENDPOINT=NAME`, `ENDPOINT=NAME:PORT` or `ENDPOINT=:PORT`.
pub(super) fn service(text: &str) -> Result<ServiceArgument, String> {
    let name = |text: &str| text.parse::<Name>().map_err(|error| error.to_string());
    let Some((endpoint, rest)) = text.split_once('=') else {
        let service = KubernetesService {
            name: Some(name(text)?),
            port: None,
        };
        return Ok(ServiceArgument {
            endpoint: None,
            service,
        });
    };
    let (service, port) = match rest.split_once(':') {
        Some((service, port)) => (service, Some(self::port(port)?)),
        None => (rest, None),
    };
    let service = match (service, port) {
        ("", Some(_)) => None,
        (service, _) => Some(name(service)?),
    };
    Ok(ServiceArgument {
        endpoint: Some(name(endpoint)?),
        service: KubernetesService { name: service, port },
    })
}

fn port(text: &str) -> Result<u16, String> {
    let port = text.parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| {
        format!(
            "`{}` is not a port: ports are numbers from 1 to 65535",
            text.escape_debug()
        )
    })
}

/// Puts the Services of the command line into a document.
pub(super) fn add_services(
    services: &mut BTreeMap<Name, KubernetesService>,
    given: &[ServiceArgument],
    endpoints: &[Endpoint],
) -> Result<(), Failure> {
    // Those of all endpoints first, so that those of one win whatever the order.
    let (all, each): (Vec<_>, Vec<_>) = given.iter().partition(|one| one.endpoint.is_none());
    for argument in all {
        for endpoint in endpoints {
            let service = services.entry(endpoint.name.clone()).or_default();
            service.name.clone_from(&argument.service.name);
        }
    }
    for argument in each {
        let Some(name) = &argument.endpoint else { continue };
        if !endpoints.is_empty() && !endpoints.iter().any(|endpoint| &endpoint.name == name) {
            return Err(usage(format!(
                "--service names the endpoint `{name}`, which there is not"
            ))
            .hint(format!("give it with --endpoint {name}=PORT")));
        }
        let service = services.entry(name.clone()).or_default();
        if argument.service.name.is_some() {
            service.name.clone_from(&argument.service.name);
        }
        service.port = argument.service.port.or(service.port);
    }
    Ok(())
}

/// What the variables of Arkouda's integration say.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Integration {
    /// Endpoints to announce, with the ports the engine listens on.
    pub(crate) endpoints: Vec<Endpoint>,
    /// Their Services.
    pub(crate) services: BTreeMap<Name, KubernetesService>,
    /// What to tell about variables that have no effect.
    pub(crate) said: Option<String>,
}

/// Reads the variables. They count where Kubernetes is a directory; `taken` is what the command line of an Arkouda
/// server asked for, which has the same endpoints anywhere.
pub(crate) fn integration(
    kubernetes: bool,
    taken: Option<&TakenOver>,
    variable: Variable<'_>,
) -> Result<Integration, Failure> {
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let port = |name: &str| -> Result<Option<u16>, Failure> {
        set(name)
            .map(|text| self::port(text.trim()).map_err(|error| usage(format!("{name}: {error}"))))
            .transpose()
    };
    let name = |name: &str| -> Result<Option<Name>, Failure> {
        set(name)
            .map(|text| {
                text.trim()
                    .parse()
                    .map_err(|error| usage(format!("{name}: {error}")))
            })
            .transpose()
    };
    let mut found = Integration::default();
    let any = |names: [&str; 3]| kubernetes && names.into_iter().any(|name| set(name).is_some());
    if taken.is_some() || any(environment::EXTERNAL_SERVICE) {
        let [service, outer, target] = environment::EXTERNAL_SERVICE;
        let target = port(target)?.or(taken.and_then(|taken| taken.port));
        let own = KubernetesService {
            name: name(service)?,
            port: Some(port(outer)?.unwrap_or(CLIENT_PORT)),
        };
        found.add("client", target.unwrap_or(CLIENT_PORT), kubernetes.then_some(own));
    }
    // A server that is told which daemons it has does not listen for metrics unless they are among them.
    let has_metrics = taken.is_none_or(|taken| taken.metrics);
    if has_metrics && (taken.is_some() || any(environment::METRICS_SERVICE)) {
        let [service, outer, target] = environment::METRICS_SERVICE;
        let target = match port(target)? {
            Some(target) => Some(target),
            None => port(environment::METRICS_SERVER_PORT)?,
        };
        let own = KubernetesService {
            name: name(service)?,
            port: Some(port(outer)?.unwrap_or(METRICS_PORT)),
        };
        found.add(
            "metrics",
            target.unwrap_or(METRICS_PORT),
            kubernetes.then_some(own),
        );
    }
    if kubernetes && set(environment::ENDPOINT_NAME).is_some() {
        let name = environment::ENDPOINT_NAME;
        found.said = Some(format!(
            "{name} is not used: an EndpointSlice is named after its Service"
        ));
    }
    Ok(found)
}

impl Integration {
    fn add(&mut self, name: &'static str, port: u16, service: Option<KubernetesService>) {
        let name = Name::literal(name);
        if let Some(service) = service {
            self.services.insert(name.clone(), service);
        }
        self.endpoints.push(Endpoint {
            name,
            scheme: "tcp".to_owned(),
            host: String::new(),
            port,
            path: String::new(),
            token_file: None,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(
        kubernetes: bool,
        line: Option<&str>,
        variables: &[(&str, &str)],
    ) -> Result<Integration, Failure> {
        let words: Vec<_> = line.unwrap_or_default().split(' ').map(Into::into).collect();
        let taken = crate::arkouda::take_over(&words).unwrap();
        let variable = |name: &str| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        integration(kubernetes, taken.as_ref(), &variable)
    }

    /// Endpoint, port it listens on, Service, port of the Service.
    fn shown(found: &Integration) -> Vec<(String, u16, Option<String>, Option<u16>)> {
        let service = |name: &Name| found.services.get(name).cloned().unwrap_or_default();
        let endpoints = found.endpoints.iter();
        endpoints
            .map(|one| {
                let KubernetesService { name, port } = service(&one.name);
                (
                    one.name.to_string(),
                    one.port,
                    name.map(|name| name.to_string()),
                    port,
                )
            })
            .collect()
    }

    const SCRIPT: &str =
        "./arkouda_server --ExternalIntegration.systemType=KUBERNETES --ServerDaemon.daemonTypes=INTEGRATION";

    #[test]
    fn outer_and_target_ports_are_two_things() {
        let variables = [
            ("EXTERNAL_SERVICE_NAME", "arkouda-external"),
            ("EXTERNAL_SERVICE_PORT", "80"),
            ("EXTERNAL_SERVICE_TARGET_PORT", "7000"),
            ("METRICS_SERVICE_NAME", "arkouda-metrics"),
            ("METRICS_SERVICE_PORT", "81"),
            ("METRICS_SERVER_PORT", "7001"),
        ];
        let all = [
            ("client".into(), 7000, Some("arkouda-external".into()), Some(80)),
            ("metrics".into(), 7001, Some("arkouda-metrics".into()), Some(81)),
        ];
        assert_eq!(shown(&found(true, None, &variables).unwrap()), all);
        let with_metrics = format!("{SCRIPT},METRICS");
        assert_eq!(shown(&found(true, Some(&with_metrics), &variables).unwrap()), all);
        // The server is told not to have one.
        assert_eq!(shown(&found(true, Some(SCRIPT), &variables).unwrap()), all[..1]);
        assert_eq!(found(false, None, &variables).unwrap(), Integration::default());
        let target = [&variables[..], &[("METRICS_SERVICE_TARGET_PORT", "7002")]].concat();
        assert_eq!(shown(&found(true, None, &target).unwrap())[1].1, 7002);
    }

    #[test]
    fn the_defaults_of_arkouda() {
        let client = |line: &str, kubernetes| shown(&found(kubernetes, Some(line), &[]).unwrap())[0].clone();
        assert_eq!(client(SCRIPT, true), ("client".into(), 5555, None, Some(5555)));
        let port = format!("{SCRIPT} --ServerPort=6000");
        assert_eq!(client(&port, true), ("client".into(), 6000, None, Some(5555)));
        assert_eq!(client(&port, false), ("client".into(), 6000, None, None));
        let target = [("EXTERNAL_SERVICE_TARGET_PORT", "7000")];
        assert_eq!(shown(&found(true, Some(&port), &target).unwrap())[0].1, 7000);
    }

    #[test]
    fn what_is_wrong_names_the_variable() {
        let wrong =
            |name: &str, value: &str| found(true, None, &[(name, value)]).unwrap_err().error.to_string();
        assert!(
            wrong("EXTERNAL_SERVICE_PORT", "http").starts_with("EXTERNAL_SERVICE_PORT: `http` is not a port")
        );
        assert!(wrong("METRICS_SERVICE_NAME", "Bad_Name").starts_with("METRICS_SERVICE_NAME: "));
        let said = found(true, None, &[("ENDPOINT_NAME", "x")])
            .unwrap()
            .said
            .unwrap();
        assert!(said.starts_with("ENDPOINT_NAME is not used"), "{said}");
    }

    #[test]
    fn services_of_the_command_line() {
        let read = |text: &str| service(text).unwrap();
        let endpoints =
            ["client=1", "metrics=2"].map(|text| seaway_agent::run::options::endpoint(text).unwrap());
        let mut services = BTreeMap::new();
        let given = [read("metrics=other:80"), read("all"), read("client=:81")];
        add_services(&mut services, &given, &endpoints).unwrap();
        let of = |name: &'static str| services[&Name::literal(name)].clone();
        assert_eq!(
            (of("client").name.unwrap().as_str(), of("client").port),
            ("all", Some(81))
        );
        assert_eq!(
            (of("metrics").name.unwrap().as_str(), of("metrics").port),
            ("other", Some(80))
        );
        let unknown = add_services(&mut services, &[read("ui=x")], &endpoints).unwrap_err();
        assert!(unknown.error.to_string().contains("`ui`, which there is not"));
        for wrong in ["", "client=", "client=:", "client=a:0", "Client=a", "client=a:b"] {
            service(wrong).unwrap_err();
        }
    }
}
