//! The services and checks of an entry, as the agent wants them.

use std::time::Duration;

use futures_util::future::try_join_all;
use reqwest::Method;
use seaway_model::{Endpoint, Name};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    ConsulDirectory,
    agent::{Reply, Request},
    settings::configuration,
};
use crate::{Entry, Error, Owner, Result};

/// Consul takes no longer values for what is said about a service.
const LONGEST_META: usize = 512;

/// How the agent knows the service of an endpoint. Names have no `:` in them, so that no two are the same.
fn service_id(instance: &Name, endpoint: &Name) -> String {
    format!("seaway:{instance}:{endpoint}")
}

/// How the agent knows the check of an endpoint.
fn check_id(instance: &Name, endpoint: &Name) -> String {
    format!("service:{}", service_id(instance, endpoint))
}

/// What is the same for all services of a directory.
pub(super) struct Form {
    /// Name of the service; the instance's when not given.
    pub(super) service: Option<String>,
    pub(super) tags: Vec<String>,
    pub(super) lease: Duration,
    pub(super) deregister_after: Duration,
}

impl Form {
    fn service_name<'a>(&'a self, instance: &'a Name) -> &'a str {
        self.service.as_deref().unwrap_or(instance.as_str())
    }

    /// The registration of an endpoint.
    fn service(&self, entry: &Entry, endpoint: &Endpoint) -> String {
        let mut tags = vec![endpoint.name.as_str()];
        tags.extend(self.tags.iter().map(String::as_str));
        let meta: serde_json::Map<String, Value> = [
            ("endpoint", endpoint.name.as_str()),
            ("instance", entry.name.as_str()),
            ("owner", entry.owner.as_str()),
            ("kind", &entry.kind),
            ("scheme", &endpoint.scheme),
            ("path", &endpoint.path),
        ]
        .into_iter()
        // The entry has it whole.
        .filter(|(_, value)| value.len() <= LONGEST_META)
        .map(|(key, value)| (key.to_owned(), value.into()))
        .collect();
        json!({
            "ID": service_id(&entry.name, &endpoint.name),
            "Name": self.service_name(&entry.name),
            "Tags": tags,
            "Address": endpoint.host,
            "Port": endpoint.port,
            "Meta": meta,
            "Check": {
                "CheckID": check_id(&entry.name, &endpoint.name),
                "Name": format!("Lease of {} ({})", entry.name, endpoint.name),
                "TTL": duration(self.lease),
                "Status": "passing",
                "DeregisterCriticalServiceAfter": duration(self.deregister_after),
            },
        })
        .to_string()
    }
}

/// What is said with each renewal: always the same, so that it is news to nobody and costs nothing.
fn passing() -> String {
    json!({ "Status": "passing", "Output": "renewed by Seaway" }).to_string()
}

/// Whether the agent's service is this owner's.
fn is_owned(service: &[u8], owner: &Owner) -> bool {
    serde_json::from_slice::<Value>(service).is_ok_and(|service| service["Meta"]["owner"] == owner.as_str())
}

/// A time as Go reads it.
fn duration(duration: Duration) -> String {
    // Beyond a century Go's own do not reach.
    const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);
    format!("{}ms", duration.min(LONGEST).as_millis())
}

impl ConsulDirectory {
    async fn ask_agent(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
        service: &str,
        deadline: Instant,
    ) -> Result<Reply> {
        let permission = format!(
            "service:{} {service}",
            if method == Method::GET { "read" } else { "write" }
        );
        self.agent
            .send(&Request {
                method,
                path,
                query: &[],
                body,
                permission: &permission,
                waits: false,
                deadline,
            })
            .await
    }

    /// Registers the endpoints that are asked for, with passing checks.
    pub(super) async fn register_services(
        &self,
        entry: &Entry,
        wanted: &[bool],
        deadline: Instant,
    ) -> Result<()> {
        let chosen = entry.endpoints.iter().zip(wanted).filter(|(_, wanted)| **wanted);
        try_join_all(chosen.map(|(endpoint, _)| async move {
            let body = self.form.service(entry, endpoint);
            let path = "/v1/agent/service/register";
            let service = self.form.service_name(&entry.name);
            self.ask_agent(Method::PUT, path, Some(body), service, deadline)
                .await
        }))
        .await
        .map(drop)
    }

    /// Says that the checks pass; of which endpoints the agent knows none.
    pub(super) async fn pass_checks(&self, entry: &Entry, deadline: Instant) -> Result<Vec<bool>> {
        try_join_all(entry.endpoints.iter().map(|endpoint| async move {
            let path = format!("/v1/agent/check/update/{}", check_id(&entry.name, &endpoint.name));
            let service = self.form.service_name(&entry.name);
            let reply = self
                .ask_agent(Method::PUT, &path, Some(passing()), service, deadline)
                .await?;
            Ok(reply.is_unknown())
        }))
        .await
    }

    pub(super) async fn deregister(&self, instance: &Name, endpoint: &Name, deadline: Instant) -> Result<()> {
        let path = format!("/v1/agent/service/deregister/{}", service_id(instance, endpoint));
        let service = self.form.service_name(instance);
        // What it does not know needs no deregistering.
        self.ask_agent(Method::PUT, &path, None, service, deadline)
            .await
            .map(drop)
    }

    /// Deregisters a service of this agent if it is this owner's.
    pub(super) async fn deregister_of(
        &self,
        owner: &Owner,
        instance: &Name,
        endpoint: &Name,
        deadline: Instant,
    ) -> Result<()> {
        let path = format!("/v1/agent/service/{}", service_id(instance, endpoint));
        let service = self.form.service_name(instance);
        let reply = self
            .ask_agent(Method::GET, &path, None, service, deadline)
            .await?;
        if reply.is_unknown() || !is_owned(&reply.bytes, owner) {
            return Ok(());
        }
        self.deregister(instance, endpoint, deadline).await
    }

    /// An agent registers services in its own datacenter only.
    pub(super) async fn check_datacenter(&self, deadline: Instant) -> Result<()> {
        let Some(wanted) = &self.agent.datacenter else {
            return Ok(());
        };
        if self.right_datacenter.get().is_some() {
            return Ok(());
        }
        let asked = self
            .ask_agent(Method::GET, "/v1/agent/self", None, "", deadline)
            .await;
        let reply = match asked {
            Ok(reply) => reply,
            // Most tokens may not ask; the registration itself shows.
            Err(Error::Forbidden { .. }) => return Ok(()),
            Err(error) => return Err(error),
        };
        let about: Value = serde_json::from_slice(&reply.bytes).unwrap_or_default();
        match about["Config"]["Datacenter"].as_str() {
            Some(own) if own != wanted => {
                let reason = format!(
                    "the agent belongs to `{own}`, and registers nothing in `{wanted}`; name an agent of `{wanted}` as `url`"
                );
                Err(configuration("datacenter", reason))
            }
            _ => {
                let _ = self.right_datacenter.set(());
                Ok(())
            }
        }
    }
}
