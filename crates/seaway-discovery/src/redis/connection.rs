//! The way to Redis: one connection that is kept, and made again when it broke.

use std::{
    fmt,
    path::PathBuf,
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};

use futures_util::{FutureExt, future::BoxFuture};
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, IntoConnectionInfo,
    RedisConnectionInfo, RedisError, Script, TlsCertificates, Value,
    aio::{MultiplexedConnection, PubSub},
};
use tokio::time::{Instant, timeout_at};

use super::{
    address::{Address, Form, Host},
    failure::{Failure, Speaker},
};
use crate::{Error, Result, http::tls};

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How often a command is tried again before its error is told.
const RETRIES: u32 = 4;
/// How often one command is sent on by servers of a cluster.
const HOPS: u32 = 5;

/// A script, known to the server by its hash after it was sent once.
pub(super) struct Program {
    code: &'static str,
    script: OnceLock<Script>,
}

impl Program {
    pub(super) const fn new(code: &'static str) -> Self {
        Self {
            code,
            script: OnceLock::new(),
        }
    }

    fn call(&self, whole: bool, keys: &[&str], arguments: &[&[u8]]) -> Cmd {
        let mut command = if whole {
            redis::cmd("EVAL").arg(self.code).to_owned()
        } else {
            let hash = self.script.get_or_init(|| Script::new(self.code)).get_hash();
            redis::cmd("EVALSHA").arg(hash).to_owned()
        };
        command.arg(keys.len()).arg(keys).arg(arguments);
        command
    }
}

/// How Redis is reached.
pub(super) struct Link {
    pub(super) address: Address,
    pub(super) username: Option<String>,
    pub(super) password_file: Option<PathBuf>,
    pub(super) certificate_file: Option<PathBuf>,
    pub(super) key_file: Option<PathBuf>,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) timeout: Duration,
    /// The directory, in words.
    pub(super) directory: String,
    pub(super) keys: String,
    pub(super) channel: String,
    pub(super) kept: Mutex<Option<Kept>>,
    /// Where in a cluster our keys are.
    pub(super) moved: Mutex<Option<Host>>,
}

/// A connection that worked.
#[derive(Clone)]
pub(super) struct Kept {
    host: Host,
    connection: MultiplexedConnection,
    /// To tell it from the next one.
    number: u64,
}

/// Who we are, as the files have it now.
#[derive(Clone, Default)]
struct Credentials {
    username: Option<String>,
    password: Option<String>,
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

impl Link {
    /// Whether there is a password to send.
    pub(super) const fn has_password(&self) -> bool {
        self.password_file.is_some() || self.address.password.is_some()
    }

    /// Runs a script, again if need be, and answers within the time given.
    pub(super) async fn run(&self, program: &Program, keys: &[&str], arguments: &[&[u8]]) -> Result<Value> {
        let deadline = Instant::now() + self.timeout;
        let (mut pause, mut retries, mut hops) = (FIRST_PAUSE, 0, 0);
        loop {
            let before = self.kept();
            let failure =
                match timeout_at(deadline, self.attempt(before.clone(), program, keys, arguments)).await {
                    Ok(Ok(value)) => return Ok(value),
                    Ok(Err(failure)) => failure,
                    Err(_) => {
                        // Whatever is kept now may be what hangs.
                        let kept = self.kept();
                        self.forget(kept.as_ref());
                        let connected = kept.is_some();
                        return Err(self.late(if connected { "EVALSHA" } else { self.connecting() }));
                    }
                };
            if let Some(place) = &failure.moved
                && self.address.form == Form::Cluster
                && hops < HOPS
                && self.follow(place)
            {
                hops += 1;
                continue;
            }
            if failure.broken && before.is_some() {
                // What was kept had broken meanwhile; that is no reason to wait.
                self.forget(before.as_ref());
                if failure.transient {
                    continue;
                }
            }
            let wait = pause.mul_f64(rand::random_range(0.5..1.0));
            if !failure.transient || retries == RETRIES || Instant::now() + wait >= deadline {
                return Err(failure.error);
            }
            tracing::debug!("{}; trying again in {} ms", failure.error, wait.as_millis());
            tokio::time::sleep(wait).await;
            retries += 1;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn attempt(
        &self,
        kept: Option<Kept>,
        program: &Program,
        keys: &[&str],
        arguments: &[&[u8]],
    ) -> Result<Value, Failure> {
        let mut kept = match kept {
            Some(kept) => kept,
            None => self.connect().await?,
        };
        let failed = |error: &RedisError, host: &Host| self.failure("EVALSHA", host, error);
        let answer = program
            .call(false, keys, arguments)
            .query_async(&mut kept.connection)
            .await;
        let answer = match answer {
            // It is the first time, or the server has been started anew.
            Err(error) if error.code() == Some("NOSCRIPT") => {
                program
                    .call(true, keys, arguments)
                    .query_async(&mut kept.connection)
                    .await
            }
            answer => answer,
        };
        answer.map_err(|error| {
            let failure = failed(&error, &kept.host);
            if failure.broken {
                self.forget(Some(&kept));
            }
            failure
        })
    }

    fn kept(&self) -> Option<Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives the connection up, unless it has been replaced already.
    fn forget(&self, which: Option<&Kept>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.as_ref().map(|kept| kept.number) == which.map(|kept| kept.number) {
            *kept = None;
        }
    }

    /// Goes where a server of the cluster says that our keys are; whether that is a place.
    fn follow(&self, place: &str) -> bool {
        let kept = self.kept();
        let from = kept.as_ref().map_or(&self.address.hosts[0], |kept| &kept.host);
        let Some(host) = from.moved(place) else {
            return false;
        };
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = Some(host);
        self.forget(kept.as_ref());
        true
    }

    /// A connection to the server that our keys are on, kept for the next time.
    async fn connect(&self) -> Result<Kept, Failure> {
        let credentials = self.credentials().map_err(Failure::lasting)?;
        let (host, connection) = match &self.address.form {
            Form::Single => {
                let host = &self.address.hosts[0];
                (host.clone(), self.open(host, &credentials).await?)
            }
            Form::Sentinel { master } => self.ask_sentinels(master, &credentials).await?,
            Form::Cluster => {
                // Where the keys were is asked first; where nobody answers they are no more.
                let moved = self.moved.lock().unwrap_or_else(PoisonError::into_inner).take();
                let hosts = moved.iter().chain(&self.address.hosts);
                let asked = hosts.map(|host| {
                    let opened = self.open(host, &credentials);
                    async move { Ok((host.clone(), opened.await?)) }.boxed()
                });
                let found = self.first_of(asked.collect()).await?;
                if moved.as_ref() == Some(&found.0) {
                    *self.moved.lock().unwrap_or_else(PoisonError::into_inner) = moved;
                }
                found
            }
        };
        let kept = Kept {
            host,
            connection,
            number: rand::random(),
        };
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept.clone());
        Ok(kept)
    }

    /// Asks one host after the other, so that one that hangs does not use up the time of all; the first answer, or
    /// the last failure.
    async fn first_of<T>(&self, asked: Vec<BoxFuture<'_, Result<T, Failure>>>) -> Result<T, Failure> {
        let share = self.timeout / u32::try_from(asked.len() + 1).unwrap_or(u32::MAX);
        let mut last = None;
        for answer in asked {
            match tokio::time::timeout(share, answer).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(failure)) => last = Some(failure),
                Err(_) => last = Some(Failure::transient(self.late(self.connecting()))),
            }
        }
        Err(last.unwrap_or_else(|| Failure::lasting(self.late(self.connecting()))))
    }

    /// A connection to the master that Sentinels name.
    async fn ask_sentinels(
        &self,
        master: &str,
        credentials: &Credentials,
    ) -> Result<(Host, MultiplexedConnection), Failure> {
        let sentinels = self.address.hosts.iter();
        let asked = sentinels.map(|sentinel| self.ask_sentinel(sentinel, master, credentials).boxed());
        let host = self.first_of(asked.collect()).await?;
        let connection = self.open(&host, credentials).await?;
        Ok((host, connection))
    }

    async fn ask_sentinel(
        &self,
        sentinel: &Host,
        master: &str,
        credentials: &Credentials,
    ) -> Result<Host, Failure> {
        let mut question = redis::cmd("SENTINEL");
        question.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
        // Most Sentinels know no password, and refuse one; it is for those that ask for it.
        let mut connection = self.open_database(sentinel, &Credentials::default(), 0).await?;
        let mut answer = question
            .query_async::<Option<(String, u16)>>(&mut connection)
            .await;
        if matches!(&answer, Err(error) if error.code() == Some("NOAUTH")) && credentials.password.is_some() {
            connection = self.open_database(sentinel, credentials, 0).await?;
            answer = question.query_async(&mut connection).await;
        }
        match answer {
            Ok(Some((name, port))) => Ok(Host { name, port }),
            Ok(None) => {
                let reason = format!("the Sentinel at {sentinel} knows no master `{master}`");
                let speaker = self.speaker("SENTINEL", &self.directory, &[]);
                Err(Failure::transient(speaker.refused(&reason)))
            }
            Err(error) => Err(self.failure("SENTINEL", sentinel, &error)),
        }
    }

    async fn open(&self, host: &Host, credentials: &Credentials) -> Result<MultiplexedConnection, Failure> {
        self.open_database(host, credentials, self.address.database).await
    }

    async fn open_database(
        &self,
        host: &Host,
        credentials: &Credentials,
        database: i64,
    ) -> Result<MultiplexedConnection, Failure> {
        // Time is kept by who calls.
        let unlimited = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        self.client(host, credentials, database)
            .map_err(Failure::lasting)?
            .get_multiplexed_async_connection_with_config(&unlimited)
            .await
            .map_err(|error| self.failure("the connection", host, &error))
    }

    /// A connection that hears what is said on our channel.
    pub(super) async fn listen(&self) -> Result<PubSub> {
        let deadline = Instant::now() + self.timeout;
        let opened = async {
            let host = match self.kept() {
                Some(kept) => kept.host,
                None => self.connect().await?.host,
            };
            let credentials = self.credentials().map_err(Failure::lasting)?;
            // In a cluster every server hears what is said on any.
            let client = self
                .client(&host, &credentials, self.address.database)
                .map_err(Failure::lasting)?;
            let failed = |error: RedisError| self.failure("SUBSCRIBE", &host, &error);
            let mut ears = client.get_async_pubsub().await.map_err(failed)?;
            ears.subscribe(&self.channel).await.map_err(failed)?;
            Ok::<_, Failure>(ears)
        };
        match timeout_at(deadline, opened).await {
            Ok(Ok(ears)) => Ok(ears),
            Ok(Err(failure)) => Err(failure.error),
            Err(_) => Err(self.late("SUBSCRIBE")),
        }
    }

    fn client(&self, host: &Host, credentials: &Credentials, database: i64) -> Result<Client> {
        let mut settings = RedisConnectionInfo::default()
            .set_db(database)
            .set_lib_name("seaway", env!("CARGO_PKG_VERSION"));
        if let Some(username) = &credentials.username {
            settings = settings.set_username(username);
        }
        if let Some(password) = &credentials.password {
            settings = settings.set_password(password);
        }
        let address = if self.address.encrypted {
            ConnectionAddr::TcpTls {
                host: host.name.clone(),
                port: host.port,
                insecure: false,
                tls_params: None,
            }
        } else {
            ConnectionAddr::Tcp(host.name.clone(), host.port)
        };
        let wrong = |error: &RedisError| Error::Credential {
            what: "certificates",
            path: self
                .certificate_file
                .clone()
                .or_else(|| self.ca_file.clone())
                .unwrap_or_default(),
            reason: crate::http::answer::chain(error),
        };
        let target = address
            .into_connection_info()
            .map_err(|error| wrong(&error))?
            .set_redis_settings(settings);
        if self.address.encrypted {
            tls::set_up();
            Client::build_with_tls(target, self.certificates()?).map_err(|error| wrong(&error))
        } else {
            Client::open(target).map_err(|error| wrong(&error))
        }
    }

    fn certificates(&self) -> Result<TlsCertificates> {
        let root_cert = match &self.ca_file {
            None => None,
            Some(path) => {
                let what = "CA certificates";
                let pem = tls::read(what, path)?;
                // Without one, nothing would be trusted and the reason would look like the server's.
                if !String::from_utf8_lossy(&pem).contains("-----BEGIN CERTIFICATE-----") {
                    return Err(Error::Credential {
                        what,
                        path: path.clone(),
                        reason: "there is no certificate in it".to_owned(),
                    });
                }
                Some(pem)
            }
        };
        let client_tls = match &self.certificate_file {
            None => None,
            Some(path) => {
                let client_cert = tls::read("client certificate", path)?;
                let client_key = match &self.key_file {
                    Some(path) => tls::read("client key", path)?,
                    // Both may stand in one file.
                    None => client_cert.clone(),
                };
                Some(ClientTlsConfig {
                    client_cert,
                    client_key,
                })
            }
        };
        Ok(TlsCertificates {
            client_tls,
            root_cert,
        })
    }

    fn credentials(&self) -> Result<Credentials> {
        let username = self.username.clone().or_else(|| self.address.username.clone());
        let Some(path) = &self.password_file else {
            return Ok(Credentials {
                username,
                password: self.address.password.clone(),
            });
        };
        let wrong = |reason: &str| Error::Credential {
            what: "password",
            path: path.clone(),
            reason: reason.to_owned(),
        };
        let text = std::fs::read_to_string(path).map_err(|error| wrong(&error.to_string()))?;
        let password = text.trim_end_matches(['\n', '\r']);
        if password.is_empty() {
            return Err(wrong("the file is empty"));
        }
        Ok(Credentials {
            username,
            password: Some(password.to_owned()),
        })
    }

    fn url(&self) -> String {
        self.address.to_string()
    }

    /// A server that does not know TLS says nothing to it.
    const fn connecting(&self) -> &'static str {
        if self.address.encrypted {
            "connecting with TLS to"
        } else {
            "connecting to"
        }
    }

    fn late(&self, what: &'static str) -> Error {
        Error::Timeout {
            method: what,
            url: self.url(),
            after: self.timeout,
        }
    }

    fn speaker<'a>(&'a self, command: &'static str, url: &'a str, secrets: &'a [String]) -> Speaker<'a> {
        Speaker {
            directory: &self.directory,
            url,
            command,
            keys: &self.keys,
            channel: &self.channel,
            secrets,
        }
    }

    fn failure(&self, command: &'static str, host: &Host, error: &RedisError) -> Failure {
        let url = match self.address.form {
            Form::Single => self.url(),
            // Which of them it was.
            _ => format!("{} ({host})", self.url()),
        };
        let secrets: Vec<String> = self
            .credentials()
            .ok()
            .and_then(|who| who.password)
            .into_iter()
            .collect();
        self.speaker(command, &url, &secrets).failure(error)
    }

    /// What this machine's address is to be seen from.
    pub(super) fn seen_from(&self) -> Host {
        self.kept()
            .map_or_else(|| self.address.hosts[0].clone(), |kept| kept.host)
    }
}
