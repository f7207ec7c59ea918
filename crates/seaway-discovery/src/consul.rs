//! Consul: a service for each endpoint, with a check that fails when the lease runs out, and an entry for all.
//!
//! | where | what |
//! | --- | --- |
//! | key `seaway/entries/NAME` | the entry as JSON; every change names the state it replaces, so that of two one wins |
//! | key `seaway/changed` | written with every change that is no mere renewal, for those who wait for one |
//! | service `seaway:NAME:ENDPOINT` of the agent | address, port, tags, and who holds it; what other clients of Consul read |
//! | check `service:seaway:NAME:ENDPOINT` | passes for the time of the lease; the agent removes the service a while after it failed |
//!
//! The key is what decides who holds a name: it is the same in the whole datacenter, while each agent has services of its
//! own. Registering writes the key, then the services; withdrawing removes the services, then the key. What is
//! interrupted is put right by the next of them, by a renewal, or by [`Directory::remove_expired`].
//!
//! A renewal is one change of the key and one call for each check. An agent that has forgotten a service gets it again.
//!
//! When a lease has run out is judged by the agent's clock, as far as its answers tell it. Where each machine has an agent of
//! its own these are the machines' clocks, which must then agree.
//!
//! An ACL token needs `key_prefix "seaway/" { policy = "write" }` and `service "NAME" { policy = "write" }`.

mod agent;
mod key;
mod record;
mod services;
mod settings;

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures_util::future::{join_all, try_join_all};
use reqwest::Method;
use seaway_model::{Name, Period, discovery};
use tokio::time::Instant;

#[doc(hidden)]
pub use self::record::read_back;
use self::{
    agent::{Agent, Request},
    record::{PREFIX, Record},
    services::Form,
    settings::configuration,
};
use crate::{Defaults, Directory, Entry, EntryError, Error, LOOK_AGAIN, Result, file, route};

/// The key that changes with every change that is no mere renewal.
const CHANGED: &str = "seaway/changed";

/// The agent looks for failed services about twice a minute; Consul takes no shorter time.
const SHORTEST_DEREGISTER_AFTER: Duration = Duration::from_secs(60);

/// A Consul agent.
#[derive(Debug)]
pub struct ConsulDirectory {
    agent: Agent,
    form: Form,
    lease: Duration,
    /// What was written last, so that a renewal need not read it.
    written: Mutex<HashMap<Name, Written>>,
    /// What `changed` saw last, as Consul counts.
    seen: Mutex<Option<u64>>,
    /// Whether the agent is known to be of the right datacenter.
    right_datacenter: OnceLock<()>,
}

impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Form")
            .field("service", &self.service)
            .finish_non_exhaustive()
    }
}

#[derive(Debug, Clone)]
struct Written {
    entry: Entry,
    index: u64,
}

impl ConsulDirectory {
    /// The directory a document asks for. Nothing is contacted yet.
    pub fn open(spec: &discovery::ConsulDirectory, defaults: &Defaults) -> Result<Self> {
        let lease = spec.lease.map_or(file::DEFAULT_LEASE, Period::duration);
        file::check_lease("consul", lease)?;
        let deregister_after = spec
            .deregister_after
            .map_or(SHORTEST_DEREGISTER_AFTER, Period::duration);
        if deregister_after < SHORTEST_DEREGISTER_AFTER {
            return Err(configuration(
                "deregisterAfter",
                "Consul takes no less than 1 min",
            ));
        }
        Ok(Self {
            agent: settings::agent(spec, defaults)?,
            form: Form {
                service: spec.service.clone(),
                tags: spec.tags.clone(),
                lease,
                deregister_after,
            },
            lease,
            written: Mutex::default(),
            seen: Mutex::default(),
            right_datacenter: OnceLock::new(),
        })
    }

    fn written(&self) -> std::sync::MutexGuard<'_, HashMap<Name, Written>> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, entry: &Entry, index: u64) {
        let written = Written {
            entry: entry.clone(),
            index,
        };
        self.written().insert(entry.name.clone(), written);
    }

    /// Looks what is there, and writes the entry unless a live one of another owner is.
    async fn announce(&self, entry: &Entry, deadline: Instant) -> Result<()> {
        self.written().remove(&entry.name);
        self.check_datacenter(deadline).await?;
        let (before, index) = loop {
            let (before, index) = match self.read_one(&entry.name, "write", deadline).await? {
                None => (None, 0),
                Some(Record {
                    index,
                    entry: Ok(present),
                    ..
                }) => {
                    if present.owner != entry.owner && !present.is_expired(self.agent.clock.now()) {
                        let present = self.local(present);
                        return Err(Error::Held {
                            until: present.believed_until(),
                            name: present.name,
                            owner: present.owner,
                            directory: self.describe(),
                        });
                    }
                    (Some(present), index)
                }
                // Of a later form: it may be live.
                Some(Record {
                    entry: Err(reason @ EntryError::Version(_)),
                    ..
                }) => {
                    return Err(wrong_entry(&format!("{PREFIX}{}", entry.name), reason));
                }
                Some(Record {
                    index,
                    entry: Err(error),
                    ..
                }) => {
                    tracing::warn!(name = %entry.name, "{error}; it is treated as expired");
                    (None, index)
                }
            };
            let news = !before
                .as_ref()
                .is_some_and(|before| before.announces_the_same(entry));
            if let Some(index) = self.write(entry, index, news, deadline).await? {
                break (before, index);
            }
        };
        let everything = vec![true; entry.endpoints.len()];
        self.register_services(entry, &everything, deadline).await?;
        // What the one before had and this one has not.
        if let Some(before) = before {
            let same = |name: &Name| entry.endpoints.iter().any(|endpoint| endpoint.name == *name);
            let gone = before.endpoints.iter().filter(|endpoint| !same(&endpoint.name));
            try_join_all(
                gone.map(|endpoint| self.deregister_of(&before.owner, &entry.name, &endpoint.name, deadline)),
            )
            .await?;
        }
        // Only now: what was interrupted is done with care the next time.
        self.remember(entry, index);
        Ok(())
    }
}

#[async_trait]
impl Directory for ConsulDirectory {
    fn kind(&self) -> &'static str {
        "consul"
    }

    fn describe(&self) -> String {
        self.agent.directory.clone()
    }

    fn lease(&self) -> Option<Duration> {
        Some(self.lease)
    }

    async fn register(&self, entry: &Entry) -> Result<()> {
        self.announce(entry, self.agent.deadline()).await
    }

    async fn renew(&self, entry: &Entry) -> Result<()> {
        let deadline = self.agent.deadline();
        let written = self.written().remove(&entry.name);
        let Some(written) = written.filter(|written| written.entry.announces_the_same(entry)) else {
            return self.announce(entry, deadline).await;
        };
        let Some(index) = self.write(entry, written.index, false, deadline).await? else {
            return self.announce(entry, deadline).await;
        };
        let forgotten = self.pass_checks(entry, deadline).await?;
        if forgotten.contains(&true) {
            self.register_services(entry, &forgotten, deadline).await?;
        }
        self.remember(entry, index);
        Ok(())
    }

    async fn withdraw(&self, entry: &Entry) -> Result<()> {
        let deadline = self.agent.deadline();
        self.written().remove(&entry.name);
        let mut services_gone = false;
        loop {
            let (present, index) = match self.read_one(&entry.name, "write", deadline).await? {
                None => {
                    let left = entry.endpoints.iter();
                    try_join_all(left.map(|endpoint| {
                        self.deregister_of(&entry.owner, &entry.name, &endpoint.name, deadline)
                    }))
                    .await?;
                    return Ok(());
                }
                Some(Record {
                    index,
                    entry: Ok(present),
                    ..
                }) if present.owner == entry.owner => (present, index),
                Some(_) => return Ok(()),
            };
            if !services_gone {
                let mut names: Vec<&Name> = present
                    .endpoints
                    .iter()
                    .chain(&entry.endpoints)
                    .map(|it| &it.name)
                    .collect();
                names.sort();
                names.dedup();
                try_join_all(
                    names
                        .into_iter()
                        .map(|endpoint| self.deregister(&entry.name, endpoint, deadline)),
                )
                .await?;
                services_gone = true;
            }
            if self.delete(&entry.name, index, deadline).await? {
                return Ok(());
            }
        }
    }

    async fn list(&self) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        for record in self.read("", "recurse", "read", self.agent.deadline()).await? {
            match record.entry {
                Ok(entry) => entries.push(self.local(entry)),
                Err(error) => tracing::warn!(name = %record.name, "{error}; it is left out"),
            }
        }
        Ok(entries)
    }

    async fn get(&self, name: &Name) -> Result<Option<Entry>> {
        let Some(record) = self.read_one(name, "read", self.agent.deadline()).await? else {
            return Ok(None);
        };
        let entry = record
            .entry
            .map_err(|reason| wrong_entry(&format!("{PREFIX}{name}"), reason))?;
        Ok(Some(self.local(entry)))
    }

    async fn own_address(&self) -> Result<IpAddr> {
        let url = &self.agent.url;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let port = url.port_or_known_default().unwrap_or(8500);
        route::own_address_towards(url.as_str().trim_end_matches('/'), host, port).await
    }

    /// Returns at once the first time: what happened before anybody looked was not seen.
    async fn changed(&self) -> Result<()> {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut query = self.in_datacenter();
        if let Some(seen) = seen {
            query.push(("index", seen.to_string()));
            // Consul waits up to a sixteenth longer.
            query.push(("wait", format!("{}ms", (LOOK_AGAIN * 9 / 10).as_millis())));
        }
        let reply = self
            .agent
            .send(&Request {
                method: Method::GET,
                path: &format!("/v1/kv/{CHANGED}"),
                query: &query,
                body: None,
                permission: &format!("key:read {CHANGED}"),
                waits: seen.is_some(),
                deadline: self.agent.deadline() + LOOK_AGAIN,
            })
            .await?;
        // A count that went back belongs to a Consul that was set up anew: it begins anew, and never with 0.
        let index = reply.index.unwrap_or(1).max(1);
        let next = if seen.is_some_and(|seen| index < seen) {
            None
        } else {
            Some(index)
        };
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    /// Removes the keys of entries whose lease has run out, and their services on this agent; other agents remove theirs
    /// by themselves when the time to do so has come.
    async fn remove_expired(&self) -> Result<Vec<Entry>> {
        let mut removed = Vec::new();
        for record in self.read("", "recurse", "write", self.agent.deadline()).await? {
            let Ok(entry) = record.entry else { continue };
            // There may be many.
            let deadline = self.agent.deadline();
            if !entry.is_expired(self.agent.clock.now())
                || !self.delete(&entry.name, record.index, deadline).await?
            {
                continue;
            }
            let services = entry.endpoints.iter();
            let done = join_all(
                services
                    .map(|endpoint| self.deregister_of(&entry.owner, &entry.name, &endpoint.name, deadline)),
            )
            .await;
            for error in done.into_iter().filter_map(Result::err) {
                tracing::debug!(name = %entry.name, "{error}; Consul removes the service itself");
            }
            removed.push(self.local(entry));
        }
        Ok(removed)
    }
}

fn wrong_entry(key: &str, reason: EntryError) -> Error {
    Error::Entry {
        place: format!("the Consul key {key}"),
        reason,
    }
}
