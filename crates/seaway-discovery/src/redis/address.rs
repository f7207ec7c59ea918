//! Where Redis is: the URL of a server, of a group under Sentinel, or of a cluster.

use std::{fmt, net::IpAddr};

use reqwest::Url;

/// Port of a server where the URL names none.
const SERVER_PORT: u16 = 6379;
/// Port of a Sentinel where the URL names none.
const SENTINEL_PORT: u16 = 26379;

/// A host and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    /// Name or address, an IPv6 address without brackets.
    pub(super) name: String,
    pub(super) port: u16,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

impl Host {
    /// Reads `name`, `name:port`, `1.2.3.4:port` or `[::1]:port`.
    fn parse(text: &str, default_port: u16) -> Option<Self> {
        let url = Url::parse(&format!("redis://{text}")).ok()?;
        let plain = url.username().is_empty() && url.password().is_none() && url.path().is_empty();
        let name = url
            .host_str()
            .filter(|_| plain && url.query().is_none() && url.fragment().is_none())?
            .trim_matches(['[', ']']);
        Some(Self {
            name: name.to_owned(),
            port: url.port().unwrap_or(default_port),
        })
    }

    /// Where a server of a cluster says that a key is: `host:port`, or `:port` for the host that said so.
    pub(super) fn moved(&self, text: &str) -> Option<Self> {
        let (name, port) = text.rsplit_once(':')?;
        let name = name.trim_matches(['[', ']']);
        Some(Self {
            // `?` is what a server says that does not know its own name.
            name: if name.is_empty() || name == "?" {
                self.name.clone()
            } else {
                name.to_owned()
            },
            port: port.parse().ok()?,
        })
    }

    fn is_loopback(&self) -> bool {
        self.name.parse::<IpAddr>().map_or_else(
            |_| self.name == "localhost" || self.name.ends_with(".localhost"),
            |address| address.is_loopback(),
        )
    }
}

/// What is found at the hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Form {
    /// One server.
    Single,
    /// Sentinels, which know where the server is that is called so.
    Sentinel {
        /// What the Sentinels call the group.
        master: String,
    },
    /// Servers that share the keys.
    Cluster,
}

/// Where Redis is, as a URL says it.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) form: Form,
    pub(super) encrypted: bool,
    /// At least one.
    pub(super) hosts: Vec<Host>,
    pub(super) database: i64,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

impl fmt::Display for Address {
    /// The URL without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.encrypted { "rediss" } else { "redis" })?;
        f.write_str(match self.form {
            Form::Single => "://",
            Form::Sentinel { .. } => "-sentinel://",
            Form::Cluster => "-cluster://",
        })?;
        let hosts: Vec<String> = self.hosts.iter().map(Host::to_string).collect();
        f.write_str(&hosts.join(","))?;
        if let Form::Sentinel { master } = &self.form {
            write!(f, "/{master}")?;
        }
        if self.database != 0 {
            write!(f, "/{}", self.database)?;
        }
        Ok(())
    }
}

impl Address {
    /// Reads a URL. What is wrong is said without showing it: it may hold a password.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").ok_or("it is not a URL")?;
        let (encrypted, sentinel, cluster) = match scheme {
            "redis" => (false, false, false),
            "rediss" => (true, false, false),
            "redis-sentinel" => (false, true, false),
            "rediss-sentinel" => (true, true, false),
            "redis-cluster" => (false, false, true),
            "rediss-cluster" => (true, false, true),
            "unix" | "redis+unix" => {
                return Err("sockets of the file system cannot be used; give the server a port".into());
            }
            _ => {
                return Err(
                    "it begins with none of `redis://`, `rediss://` (TLS), `redis-sentinel://`, \
                            `rediss-sentinel://`, `redis-cluster://`, `rediss-cluster://`"
                        .into(),
                );
            }
        };
        // From the right: a password may have anything in it that is not encoded.
        let (user, rest) = rest
            .rsplit_once('@')
            .map_or((None, rest), |(user, rest)| (Some(user), rest));
        if rest.contains(['?', '#']) {
            return Err("it cannot have a query or a fragment".into());
        }
        let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
        let default_port = if sentinel { SENTINEL_PORT } else { SERVER_PORT };
        let hosts = hosts
            .split(',')
            .map(|host| Host::parse(host, default_port))
            .collect::<Option<Vec<_>>>()
            .ok_or("it has no host, or one that is none")?;
        if hosts.len() > 1 && !sentinel && !cluster {
            return Err("only Sentinels and clusters have several hosts; see `redis-sentinel://` and `redis-cluster://`".into());
        }
        let path = path.trim_end_matches('/');
        let (form, database) = if sentinel {
            let (master, database) = path.split_once('/').unwrap_or((path, ""));
            let master = decoded(master).filter(|master| !master.is_empty()).ok_or(
                "the name that the Sentinels know the master by is missing: `redis-sentinel://HOST,HOST/MASTER`",
            )?;
            (Form::Sentinel { master }, database)
        } else if cluster {
            (Form::Cluster, path)
        } else {
            (Form::Single, path)
        };
        let database = if database.is_empty() { 0 } else { number(database)? };
        if cluster && database != 0 {
            return Err("a cluster has no numbered databases".into());
        }
        let (username, password) = match user {
            None => (None, None),
            Some(user) => {
                let (name, password) = user.split_once(':').unwrap_or((user, ""));
                let wrong = "user or password have something in them that must be written as %XX";
                (
                    Some(decoded(name).ok_or(wrong)?),
                    Some(decoded(password).ok_or(wrong)?),
                )
            }
        };
        Ok(Self {
            form,
            encrypted,
            hosts,
            database,
            username: username.filter(|name| !name.is_empty()),
            password: password.filter(|password| !password.is_empty()),
        })
    }

    /// Whether everything the URL names is on this machine.
    pub(super) fn is_loopback(&self) -> bool {
        self.hosts.iter().all(Host::is_loopback)
    }
}

fn number(text: &str) -> Result<i64, String> {
    text.parse::<u16>()
        .map(i64::from)
        .map_err(|_| "after the host belongs the number of a database".into())
}

/// A part of a URL, `%XX` taken for what it means.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let value = digit()? * 16 + digit()?;
            bytes.push(u8::try_from(value).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_is_read_and_shown_without_secrets() {
        for (text, shown) in [
            ("redis://127.0.0.1", "redis://127.0.0.1:6379"),
            ("redis://h:1/3", "redis://h:1/3"),
            ("rediss://me:pass%40word@h", "rediss://h:6379"),
            ("redis://:p@s/s@[::1]:7", "redis://[::1]:7"),
            ("redis-sentinel://a,b:2/main", "redis-sentinel://a:26379,b:2/main"),
            (
                "rediss-sentinel://u:p@a/main/4",
                "rediss-sentinel://a:26379/main/4",
            ),
            ("redis-cluster://a:1,b:2,c:3", "redis-cluster://a:1,b:2,c:3"),
        ] {
            let address = Address::parse(text).unwrap();
            assert_eq!(address.to_string(), shown);
            assert_eq!(format!("{address:?}"), format!("Address({shown})"));
            assert_eq!(Address::parse(shown).unwrap().to_string(), shown);
        }
        let address = Address::parse("rediss://me:pass%40word@h").unwrap();
        assert_eq!(address.username.as_deref(), Some("me"));
        assert_eq!(address.password.as_deref(), Some("pass@word"));
        assert!(!address.is_loopback() && Address::parse("redis://localhost").unwrap().is_loopback());
    }

    #[test]
    fn what_is_wrong_is_said_without_the_secret() {
        for (text, reason) in [
            ("127.0.0.1:6379", "not a URL"),
            ("http://h", "redis://"),
            ("unix:///run/redis", "a port"),
            ("redis://", "no host"),
            ("redis://h:99999", "no host"),
            ("redis://a,b", "several hosts"),
            ("redis://h/x", "number"),
            ("redis://h/-1", "number"),
            ("redis://h?db=1", "query"),
            ("redis-sentinel://h", "MASTER"),
            ("redis-cluster://h/1", "numbered"),
            ("redis://u:sesame%zz@h", "%XX"),
        ] {
            let error = Address::parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
            assert!(!error.contains("sesame"));
        }
    }

    #[test]
    fn a_cluster_says_where_a_key_is() {
        let host = Host {
            name: "a".into(),
            port: 1,
        };
        assert_eq!(host.moved("10.0.0.1:7000").unwrap().to_string(), "10.0.0.1:7000");
        assert_eq!(host.moved(":7000").unwrap().to_string(), "a:7000");
        assert_eq!(host.moved("?:7000").unwrap().to_string(), "a:7000");
        assert_eq!(host.moved("::1:7000").unwrap().to_string(), "[::1]:7000");
        assert_eq!(host.moved("nothing"), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "(redis|rediss|redis-sentinel|redis-cluster)?(://)?\\PC{0,40}") {
            if let Ok(address) = Address::parse(&text) {
                let _ = (address.to_string(), address.is_loopback());
            }
        }
    }
}
