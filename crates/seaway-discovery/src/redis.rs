//! Redis: one key for each entry, which the server itself lets end with its lease.
//!
//! | key | what |
//! | --- | --- |
//! | `seaway:{NAMESPACE}:entry:NAME` | the entry as JSON; ends with its lease (`PX`) |
//! | `seaway:{NAMESPACE}:index` | sorted set of the names; the score is the end of the lease, in milliseconds since 1970 |
//! | `seaway:{NAMESPACE}:events` | channel: `{"type":"up","name":…,"owner":…}`, or `down` |
//!
//! The braces are part of the keys: what stands in them decides where in a cluster a key is, so all of one namespace
//! is in one place. Each change is one script, which the server runs as a whole, and all times are the server's: the
//! clocks of those who announce and of those who read do not matter. `up` is said when an entry appears or announces
//! something else, not at each renewal; that a lease ended is said nowhere.
//!
//! An entry whose lease ended is gone: it is never shown as expired, and [`Directory::remove_expired`] has nothing to
//! return. What it removes is what the ended entries left in the index, which every registration does as well.
//!
//! Redis 5 or later is needed, 6 for users. A user needs the keys `~seaway:{NAMESPACE}:*`, the channel
//! `&seaway:{NAMESPACE}:events`, and the commands [`COMMANDS`].

mod address;
mod connection;
mod failure;
mod record;

use std::{net::IpAddr, sync::Mutex, time::Duration};

use async_trait::async_trait;
use futures_util::{FutureExt, StreamExt};
use jiff::Timestamp;
use redis::{Value, aio::PubSub};
use seaway_model::{Name, Period, discovery};

pub(crate) use self::failure::hint;
#[doc(hidden)]
pub use self::record::read_back;
use self::{
    address::Address,
    connection::{Link, Program},
};
use crate::{Defaults, Directory, Entry, Error, LOOK_AGAIN, Result, file, route, variables::REDIS_URL};

/// The ACL rules for the commands that are used.
pub const COMMANDS: &str = "+evalsha +eval +get +set +del +pttl +time +zadd +zrem +zrangebyscore +zremrangebyscore \
                            +publish +subscribe +ping";

const DEFAULT_URL: &str = "redis://127.0.0.1:6379";
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// A lease beyond this is as good as endless, and a server would not take it.
const LONGEST_LEASE: Duration = Duration::from_secs(100 * 366 * 24 * 3600);

static ANNOUNCE: Program = Program::new(include_str!("redis/announce.lua"));
static WITHDRAW: Program = Program::new(include_str!("redis/withdraw.lua"));
static GET: Program = Program::new(include_str!("redis/get.lua"));
static LIST: Program = Program::new(include_str!("redis/list.lua"));
static CLEAN: Program = Program::new(include_str!("redis/clean.lua"));

/// A Redis server, a group of them under Sentinel, or a cluster.
pub struct RedisDirectory {
    link: Link,
    lease: Duration,
    index: String,
    /// What hears the channel, between one call of `changed` and the next.
    ears: tokio::sync::Mutex<Option<PubSub>>,
}

impl std::fmt::Debug for RedisDirectory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisDirectory")
            .field("link", &self.link)
            .finish_non_exhaustive()
    }
}

impl RedisDirectory {
    /// The directory a document asks for. Nothing is contacted yet.
    pub fn open(spec: &discovery::RedisDirectory, defaults: &Defaults) -> Result<Self> {
        let (field, text) = match (&spec.url, defaults.variables.get(REDIS_URL)) {
            (Some(url), _) => ("url", url.as_str()),
            (None, Some(url)) => (REDIS_URL, url),
            (None, None) => ("url", DEFAULT_URL),
        };
        let address = Address::parse(text).map_err(|reason| configuration(field, reason))?;
        if field == "url" && address.password.is_some() {
            let reason = "a password does not belong in a document; put it into a file and name that as `passwordFile`";
            return Err(configuration(field, reason));
        }
        if spec.key_file.is_some() && spec.certificate_file.is_none() {
            return Err(configuration("keyFile", "it needs `certificateFile` beside it"));
        }
        if !address.encrypted && (spec.ca_file.is_some() || spec.certificate_file.is_some()) {
            return Err(configuration(
                field,
                "certificates are for TLS, but it does not begin with `rediss`",
            ));
        }
        let lease = spec.lease.map_or(file::DEFAULT_LEASE, Period::duration);
        file::check_lease("redis", lease)?;
        let namespace = spec.namespace.as_ref().map_or("default", Name::as_str);
        let keys = format!("seaway:{{{namespace}}}:");
        let link = Link {
            directory: format!(
                "Redis at {address}, namespace `{namespace}`{}",
                if address.encrypted { "" } else { " (not encrypted)" }
            ),
            username: spec.username.clone(),
            password_file: file::absolute(spec.password_file.as_deref())?,
            certificate_file: file::absolute(spec.certificate_file.as_deref())?,
            key_file: file::absolute(spec.key_file.as_deref())?,
            ca_file: file::absolute(spec.ca_file.as_deref())?,
            timeout: spec.timeout.map_or(DEFAULT_TIMEOUT, Period::duration),
            channel: format!("{keys}events"),
            keys: keys.clone(),
            kept: Mutex::default(),
            moved: Mutex::default(),
            address,
        };
        if link.has_password() && !link.address.encrypted && !link.address.is_loopback() {
            let reason = format!(
                "the password would travel in the clear to {}; use `rediss`, or a server on this machine",
                link.address
            );
            return Err(configuration(field, reason));
        }
        Ok(Self {
            link,
            lease: lease.min(LONGEST_LEASE),
            index: format!("{keys}index"),
            ears: tokio::sync::Mutex::default(),
        })
    }

    fn key(&self, name: &Name) -> String {
        format!("{}entry:{name}", self.link.keys)
    }

    async fn announce(&self, entry: &Entry) -> Result<()> {
        let key = self.key(&entry.name);
        let json = entry
            .with_lease(Some(self.lease))
            .to_json()
            .map_err(|reason| wrong_entry(&key, reason))?;
        let lease = self.lease.as_millis().to_string();
        let arguments = [
            &json,
            lease.as_bytes(),
            entry.name.as_str().as_bytes(),
            self.link.channel.as_bytes(),
        ];
        let answer = self.link.run(&ANNOUNCE, &[&key, &self.index], &arguments).await?;
        let Some((json, left)) = record::refusal(&answer).map_err(|reason| self.refused(&reason))? else {
            return Ok(());
        };
        let present = record::entry(&entry.name, json, left, Timestamp::now())
            .map_err(|reason| wrong_entry(&key, reason))?;
        Err(Error::Held {
            until: present.believed_until(),
            name: present.name,
            owner: present.owner,
            directory: self.describe(),
        })
    }

    fn refused(&self, reason: &str) -> Error {
        Error::Refused {
            directory: self.describe(),
            command: "EVALSHA",
            reason: reason.to_owned(),
        }
    }
}

#[async_trait]
impl Directory for RedisDirectory {
    fn kind(&self) -> &'static str {
        "redis"
    }

    fn describe(&self) -> String {
        self.link.directory.clone()
    }

    fn lease(&self) -> Option<Duration> {
        Some(self.lease)
    }

    async fn register(&self, entry: &Entry) -> Result<()> {
        self.announce(entry).await
    }

    async fn renew(&self, entry: &Entry) -> Result<()> {
        self.announce(entry).await
    }

    async fn withdraw(&self, entry: &Entry) -> Result<()> {
        let key = self.key(&entry.name);
        let arguments = [
            entry.owner.as_str().as_bytes(),
            entry.name.as_str().as_bytes(),
            self.link.channel.as_bytes(),
        ];
        self.link
            .run(&WITHDRAW, &[&key, &self.index], &arguments)
            .await
            .map(drop)
    }

    async fn list(&self) -> Result<Vec<Entry>> {
        let prefix = format!("{}entry:", self.link.keys);
        let answer = self.link.run(&LIST, &[&self.index], &[prefix.as_bytes()]).await?;
        let found = record::all(&answer, Timestamp::now()).map_err(|reason| self.refused(&reason))?;
        let mut entries = Vec::with_capacity(found.len());
        for (name, entry) in found {
            match entry {
                Ok(entry) => entries.push(entry),
                Err(error) => tracing::warn!(%name, "{error}; it is left out"),
            }
        }
        Ok(entries)
    }

    async fn get(&self, name: &Name) -> Result<Option<Entry>> {
        let key = self.key(name);
        let answer: Value = self.link.run(&GET, &[&key], &[]).await?;
        let Some((json, left)) = record::one(&answer).map_err(|reason| self.refused(&reason))? else {
            return Ok(None);
        };
        record::entry(name, json, left, Timestamp::now())
            .map(Some)
            .map_err(|reason| wrong_entry(&key, reason))
    }

    async fn own_address(&self) -> Result<IpAddr> {
        let host = self.link.seen_from();
        route::own_address_towards(&self.link.address.to_string(), &host.name, host.port).await
    }

    /// Returns at once the first time: what happened before anybody listened was not heard.
    async fn changed(&self) -> Result<()> {
        let mut ears = self.ears.lock().await;
        let Some(open) = ears.as_mut() else {
            *ears = Some(self.link.listen().await?);
            return Ok(());
        };
        let first = tokio::time::timeout(LOOK_AGAIN, async { open.on_message().next().await }).await;
        let alive = match first {
            Ok(Some(_)) => {
                // However much was said, one look will do.
                let mut messages = open.on_message();
                while messages.next().now_or_never().flatten().is_some() {}
                true
            }
            Ok(None) => false,
            Err(_) => {
                let answer = tokio::time::timeout(self.link.timeout, open.ping::<Value>()).await;
                matches!(answer, Ok(Ok(_)))
            }
        };
        if !alive {
            *ears = None;
        }
        Ok(())
    }

    /// Cleans the index up; the entries themselves are gone already, and only their names can be told.
    async fn remove_expired(&self) -> Result<Vec<Entry>> {
        let answer = self.link.run(&CLEAN, &[&self.index], &[]).await?;
        for name in record::names(&answer).map_err(|reason| self.refused(&reason))? {
            tracing::info!(%name, directory = self.describe(), "ended by itself; its name is out of the index");
        }
        Ok(Vec::new())
    }
}

fn wrong_entry(key: &str, reason: crate::EntryError) -> Error {
    Error::Entry {
        place: format!("the Redis key {key}"),
        reason,
    }
}

fn configuration(field: &'static str, reason: impl Into<String>) -> Error {
    Error::Configuration {
        directory: "redis",
        field,
        reason: reason.into(),
    }
}
