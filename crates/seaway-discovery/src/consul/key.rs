//! The key of an entry, which decides who holds a name.

use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{Method, StatusCode};
use seaway_model::Name;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    CHANGED, ConsulDirectory,
    agent::Request,
    record::{self, Outcome, PREFIX, Record},
    wrong_entry,
};
use crate::{Directory, Entry, Error, Result};

impl ConsulDirectory {
    pub(super) fn in_datacenter(&self) -> Vec<(&'static str, String)> {
        self.agent
            .datacenter
            .iter()
            .map(|name| ("dc", name.clone()))
            .collect()
    }

    /// Reads the key of an entry, or all; `rule` is the ACL rule that what is done with it needs.
    pub(super) async fn read(
        &self,
        what: &str,
        mode: &'static str,
        rule: &str,
        deadline: Instant,
    ) -> Result<Vec<Record>> {
        let path = format!("/v1/kv/{PREFIX}{what}");
        let mut query = self.in_datacenter();
        query.push((mode, String::new()));
        let permission = format!("key:{rule} {PREFIX}{what}");
        let reply = self
            .agent
            .send(&Request {
                method: Method::GET,
                path: &path,
                query: &query,
                body: None,
                permission: &permission,
                waits: false,
                deadline,
            })
            .await?;
        if reply.status == StatusCode::NOT_FOUND {
            return Ok(Vec::new());
        }
        record::records(&reply.bytes).map_err(|error| self.wrong_answer(&path, &error))
    }

    pub(super) async fn read_one(
        &self,
        name: &Name,
        rule: &str,
        deadline: Instant,
    ) -> Result<Option<Record>> {
        // From the leader, who has made sure that it still is one: a decision follows.
        let all = self.read(name.as_str(), "consistent", rule, deadline).await?;
        Ok(all.into_iter().find(|record| record.name == *name))
    }

    /// Makes a change of the key of an entry, together with `seaway/changed` if it is news. `None` when somebody else
    /// has changed it since.
    async fn change(
        &self,
        name: &Name,
        change: Value,
        news: Option<&str>,
        deadline: Instant,
    ) -> Result<Option<u64>> {
        let key = format!("{PREFIX}{name}");
        let mut changes = vec![json!({ "KV": change })];
        if let Some(news) = news {
            let news = STANDARD.encode(json!({ "type": news, "name": name }).to_string());
            changes.push(json!({ "KV": { "Verb": "set", "Key": CHANGED, "Value": news } }));
        }
        let permission = format!("key:write {key}");
        let reply = self
            .agent
            .send(&Request {
                method: Method::PUT,
                path: "/v1/txn",
                query: &self.in_datacenter(),
                body: Some(Value::from(changes).to_string()),
                permission: &permission,
                waits: false,
                deadline,
            })
            .await?;
        match record::outcome(&reply.bytes).map_err(|error| self.wrong_answer("/v1/txn", &error))? {
            Outcome::Done(index) => Ok(Some(index)),
            Outcome::Stale => Ok(None),
            Outcome::Denied(said) => Err(self.agent.forbidden(&permission, &said)),
            Outcome::Failed(said) => Err(Error::Refused {
                directory: self.describe(),
                command: "the change",
                reason: said,
            }),
        }
    }

    /// Writes the entry over what was there at this index.
    pub(super) async fn write(
        &self,
        entry: &Entry,
        index: u64,
        news: bool,
        deadline: Instant,
    ) -> Result<Option<u64>> {
        let key = format!("{PREFIX}{}", entry.name);
        let mut leased = entry.with_lease(Some(self.lease));
        leased.renewed_at = self.agent.clock.to_server(leased.renewed_at);
        leased.expires_at = leased.expires_at.map(|at| self.agent.clock.to_server(at));
        let json = leased.to_json().map_err(|reason| wrong_entry(&key, reason))?;
        let change = json!({ "Verb": "cas", "Key": key, "Index": index, "Value": STANDARD.encode(json) });
        self.change(&entry.name, change, news.then_some("up"), deadline)
            .await
    }

    /// Removes what was there at this index; whether it was still that.
    pub(super) async fn delete(&self, name: &Name, index: u64, deadline: Instant) -> Result<bool> {
        let change = json!({ "Verb": "delete-cas", "Key": format!("{PREFIX}{name}"), "Index": index });
        Ok(self.change(name, change, Some("down"), deadline).await?.is_some())
    }

    /// An entry as this machine's clock has it.
    pub(super) fn local(&self, mut entry: Entry) -> Entry {
        entry.renewed_at = self.agent.clock.to_local(entry.renewed_at);
        entry.expires_at = entry.expires_at.map(|at| self.agent.clock.to_local(at));
        entry
    }

    fn wrong_answer(&self, path: &str, error: &serde_json::Error) -> Error {
        Error::Connect {
            url: format!("{}{path}", self.agent.url.as_str().trim_end_matches('/')),
            reason: format!("what answers there is not Consul: {error}"),
        }
    }
}
