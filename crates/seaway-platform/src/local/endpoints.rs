//! Where the endpoints of an instance are reached.

use std::net::IpAddr;

use seaway_model::{Endpoint, Name, plan::Plan};

use super::{paths::InstancePaths, store::PortRecord};

/// An endpoint of a plan whose port is known.
pub(super) struct Bound {
    /// The role that listens.
    pub(super) role: Name,
    /// The endpoint, with the address that is bound.
    endpoint: Endpoint,
}

/// The endpoints of a plan whose ports are known.
pub(super) fn bound(plan: &Plan, ports: &[PortRecord], files: &InstancePaths) -> Vec<Bound> {
    plan.endpoints
        .iter()
        .filter_map(|endpoint| {
            let port = ports
                .iter()
                .find(|port| port.role == endpoint.role && port.name == endpoint.port)?;
            let token_file = endpoint
                .token
                .as_ref()
                .map(|secret| files.secret(secret.as_str()));
            Some(Bound {
                role: endpoint.role.clone(),
                endpoint: Endpoint {
                    name: endpoint.name.clone(),
                    scheme: endpoint.scheme.clone(),
                    host: port.host.clone(),
                    port: port.port,
                    path: endpoint.path.clone(),
                    token_file,
                },
            })
        })
        .collect()
}

impl Bound {
    /// As the user of this machine reaches it.
    pub(super) fn for_this_machine(self) -> Endpoint {
        Endpoint {
            host: reachable(&self.endpoint.host).to_owned(),
            ..self.endpoint
        }
    }

    /// As it is announced. What listens on all addresses has no host: each directory gets this machine's address as
    /// seen from there. Any other address is announced as it is.
    pub(super) fn for_directories(self) -> Endpoint {
        let host = match unspecified(&self.endpoint.host) {
            Some(_) => String::new(),
            None => self.endpoint.host,
        };
        Endpoint {
            host,
            ..self.endpoint
        }
    }

    /// Whether only programs of this machine reach it.
    pub(super) fn is_loopback(&self) -> bool {
        let host = &self.endpoint.host;
        host.eq_ignore_ascii_case("localhost")
            || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// Its name.
    pub(super) const fn name(&self) -> &Name {
        &self.endpoint.name
    }
}

/// The address under which a bound address is reached from this machine.
pub(super) fn reachable(host: &str) -> &str {
    match unspecified(host) {
        Some(IpAddr::V4(_)) => "127.0.0.1",
        Some(IpAddr::V6(_)) => "::1",
        None => host,
    }
}

/// The address, when it means all addresses of the machine.
fn unspecified(host: &str) -> Option<IpAddr> {
    host.parse().ok().filter(IpAddr::is_unspecified)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bound_at(host: &str) -> Bound {
        Bound {
            role: "scheduler".parse().unwrap(),
            endpoint: Endpoint {
                name: "client".parse().unwrap(),
                scheme: "tcp".into(),
                host: host.into(),
                port: 8786,
                path: String::new(),
                token_file: None,
            },
        }
    }

    #[test]
    fn what_listens_on_all_addresses_is_announced_without_one() {
        for (bound, here) in [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("0:0::0", "::1")] {
            assert_eq!(bound_at(bound).for_this_machine().host, here, "{bound}");
            assert_eq!(bound_at(bound).for_directories().host, "", "{bound}");
            assert!(!bound_at(bound).is_loopback(), "{bound}");
        }
    }

    #[test]
    fn any_other_address_is_announced_as_it_is() {
        for (host, loopback) in [
            ("127.0.0.1", true),
            ("127.1.2.3", true),
            ("::1", true),
            ("LocalHost", true),
            ("10.0.0.7", false),
            ("node-7", false),
        ] {
            assert_eq!(bound_at(host).for_this_machine().host, host);
            assert_eq!(bound_at(host).for_directories().host, host);
            assert_eq!(bound_at(host).is_loopback(), loopback, "{host}");
        }
    }
}
