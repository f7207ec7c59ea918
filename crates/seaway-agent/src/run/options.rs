//! Endpoints, probes and labels as they are written on a command line.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use seaway_model::{
    Endpoint, Name, NameError,
    plan::{Condition, Expectation, Template},
};
use thiserror::Error;

use crate::probe::{Probe, Question};

/// Where a probe asks when only a port is given.
const DEFAULT_HOST: &str = "127.0.0.1";

/// Why an option cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OptionError {
    /// No `=` in it.
    #[error(
        "`{0}` is not an endpoint: write NAME=PORT, NAME=HOST:PORT or NAME=SCHEME://HOST:PORT/PATH, for example `client=8786`"
    )]
    Endpoint(String),
    /// What stands before the `=` is no name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// No port where one is needed.
    #[error("`{0}` has no port: write HOST:PORT")]
    NoPort(String),
    /// Not a port number.
    #[error("`{0}` is not a port: ports are numbers from 1 to 65535")]
    Port(String),
    /// Not a host name or an address.
    #[error("`{0}` is not a host name or IP address; an IPv6 address needs brackets, as in `[::1]:8000`")]
    Host(String),
    /// An address to listen at, which nobody can connect to.
    #[error("`{0}` is an address to listen at, not one to connect to: give the address clients use")]
    Unspecified(String),
    /// Not the scheme of a URL.
    #[error("`{0}` is not the scheme of a URL, such as `http` or `tcp`")]
    Scheme(String),
    /// A user or password, a query or a fragment in a URL that everybody can read.
    #[error(
        "a URL in a directory has no user, password, query or fragment: everybody who looks there could read it"
    )]
    NotPublic,
    /// A character that no URL has.
    #[error("the path `{0}` has a space or a control character in it")]
    Path(String),
    /// Not a probe.
    #[error(
        "`{0}` is not a probe: write tcp:PORT, tcp:HOST:PORT, http://HOST:PORT/PATH, \
         http://HOST:PORT/PATH#KEY.KEY=VALUE, command:'WORDS' or none"
    )]
    Probe(String),
    /// What an answer must say is not said.
    #[error(
        "`#{0}` does not say what the answer must say: write #KEY.KEY=VALUE or #KEY.KEY>NUMBER, with `*` for any key"
    )]
    Expectation(String),
    /// A probe over TLS.
    #[error("probes speak plain HTTP; for `{0}` write command:'curl --fail --silent URL'")]
    SecureProbe(String),
    /// Nothing to run.
    #[error("`command:` needs a command, for example command:'redis-cli ping'")]
    EmptyCommand,
    /// Not a label.
    #[error("`{0}` is not a label: write KEY=VALUE")]
    Label(String),
    /// Not a host to announce.
    #[error("`{0}` is not an address to announce: write a host name, an IP address, or `auto`")]
    Address(String),
    /// Not an address to listen at.
    #[error("`{0}` is not an address to listen at: write PORT or IP:PORT, for example `127.0.0.1:9464`")]
    Listen(String),
}

/// Reads `NAME=PORT`, `NAME=HOST:PORT` or `NAME=SCHEME://HOST:PORT/PATH`.
///
/// With a port alone the host stays empty: this machine, at the address that is seen from each directory.
///
/// ```
/// # use seaway_agent::run::options::endpoint;
/// assert_eq!(endpoint("client=8786").unwrap().host, "");
/// assert_eq!(endpoint("ui=http://node1/lab").unwrap().url(), "http://node1:80/lab");
/// assert!(endpoint("client").unwrap_err().to_string().contains("NAME=PORT"));
/// ```
pub fn endpoint(text: &str) -> Result<Endpoint, OptionError> {
    let (name, place) = text
        .split_once('=')
        .ok_or_else(|| OptionError::Endpoint(text.to_owned()))?;
    let name: Name = name.parse()?;
    let (scheme, rest) = place.split_once("://").unwrap_or(("tcp", place));
    if !scheme.starts_with(|c: char| c.is_ascii_lowercase())
        || !scheme
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c))
    {
        return Err(OptionError::Scheme(scheme.to_owned()));
    }
    let (authority, path) = split_path(rest)?;
    let default_port = if place.contains("://") {
        default_port(scheme)
    } else {
        None
    };
    let (host, port) = if is_port(authority) {
        (String::new(), port(authority)?)
    } else {
        host_and_port(authority, default_port)?
    };
    if host
        .parse::<IpAddr>()
        .is_ok_and(|address| address.is_unspecified())
    {
        return Err(OptionError::Unspecified(host));
    }
    // A path of its own only where there is one: `tcp://host:1` and `tcp://host:1/` are the same place.
    let path = if path == "/" {
        String::new()
    } else {
        path.to_owned()
    };
    Ok(Endpoint {
        name,
        scheme: scheme.to_owned(),
        host,
        port,
        path,
        token_file: None,
    })
}

/// Reads `tcp:PORT`, `tcp:HOST:PORT`, `http://HOST:PORT/PATH`, `command:WORDS` (for a shell) or `none` (a command that
/// runs is ready). After an HTTP path, `#KEY.KEY=VALUE` or `#KEY.KEY>NUMBER` says what the JSON in the answer must say;
/// `*` stands for every key and every element.
///
/// ```
/// # use seaway_agent::{probe::Question, run::options::probe};
/// assert_eq!(probe("tcp:80").unwrap().question, Question::Tcp { address: "127.0.0.1:80".into() });
/// assert!(probe("http://80/workers#workers.*.name=worker-0").unwrap().expect.is_some());
/// assert!(probe("udp:80").is_err());
/// ```
pub fn probe(text: &str) -> Result<Probe, OptionError> {
    if text == "none" {
        return Ok(Question::Running.into());
    }
    if let Some(words) = text.strip_prefix("command:") {
        if words.trim().is_empty() {
            return Err(OptionError::EmptyCommand);
        }
        let command = ["sh", "-c", words].map(str::to_owned).to_vec();
        return Ok(Question::Command { command }.into());
    }
    if let Some(rest) = text.strip_prefix("http://") {
        let (rest, expect) = match rest.split_once('#') {
            Some((rest, wanted)) => (rest, Some(expectation(wanted)?)),
            None => (rest, None),
        };
        // Nobody but the server sees the query of a probe.
        let (place, query) = rest
            .split_once('?')
            .map_or((rest, None), |(place, query)| (place, Some(query)));
        let (authority, path) = split_path(place)?;
        let (host, port) = host_and_port(authority, Some(80))?;
        let path = if path.is_empty() { "/" } else { path };
        let path = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
        let address = address(&host, port);
        return Ok(Probe {
            question: Question::Http { address, path },
            expect,
        });
    }
    if text.starts_with("https://") {
        return Err(OptionError::SecureProbe(text.to_owned()));
    }
    let place = text
        .strip_prefix("tcp:")
        .ok_or_else(|| OptionError::Probe(text.to_owned()))?;
    let (host, port) = host_and_port(place.strip_prefix("//").unwrap_or(place), None)?;
    let address = address(&host, port);
    Ok(Question::Tcp { address }.into())
}

/// Reads `KEY.KEY=VALUE` or `KEY.KEY>NUMBER`.
fn expectation(text: &str) -> Result<Expectation, OptionError> {
    let wrong = || OptionError::Expectation(text.escape_debug().to_string());
    let at = text.find(['=', '>']).filter(|at| *at > 0).ok_or_else(wrong)?;
    let (keys, value) = (&text[..at], &text[at + 1..]);
    let condition = if text[at..].starts_with('=') {
        Condition::Is(Template::literal(value))
    } else {
        Condition::Above(value.parse().map_err(|_| wrong())?)
    };
    Ok(Expectation {
        select: keys.split('.').map(Template::literal).collect(),
        condition,
    })
}

/// Reads `KEY=VALUE`.
pub fn label(text: &str) -> Result<(String, String), OptionError> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err(OptionError::Label(text.to_owned())),
    }
}

/// Reads the host to announce for endpoints that are given with a port only; `auto` and so `None` is the address that
/// is seen from each directory.
///
/// ```
/// # use seaway_agent::run::options::address_to_announce;
/// assert_eq!(address_to_announce("auto").unwrap(), None);
/// assert_eq!(address_to_announce("node-1").unwrap().as_deref(), Some("node-1"));
/// assert!(address_to_announce("0.0.0.0").is_err());
/// ```
pub fn address_to_announce(text: &str) -> Result<Option<String>, OptionError> {
    if text == "auto" {
        return Ok(None);
    }
    let bare = text
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .unwrap_or(text);
    match bare.parse::<IpAddr>() {
        Ok(address) if address.is_unspecified() => Err(OptionError::Unspecified(text.to_owned())),
        Ok(address) => Ok(Some(address.to_string())),
        Err(_) if is_host(text) && !is_port(text) => Ok(Some(text.to_owned())),
        Err(_) => Err(OptionError::Address(text.escape_debug().to_string())),
    }
}

/// Reads `PORT` (on the loopback interface), `IP:PORT` or `localhost:PORT`. Port 0 is any free one.
///
/// ```
/// # use seaway_agent::run::options::listen;
/// assert_eq!(listen("9464").unwrap().to_string(), "127.0.0.1:9464");
/// assert!(listen("node-1:9464").is_err());
/// ```
pub fn listen(text: &str) -> Result<SocketAddr, OptionError> {
    let wrong = || OptionError::Listen(text.escape_debug().to_string());
    let local = text.strip_prefix("localhost:").unwrap_or(text);
    if is_port(local) {
        let port = local.parse().map_err(|_| wrong())?;
        return Ok((Ipv4Addr::LOCALHOST, port).into());
    }
    text.parse().map_err(|_| wrong())
}

/// The connection that shows whether an endpoint answers, asked from this machine.
#[must_use]
pub fn default_probe(endpoint: &Endpoint) -> Probe {
    let address = if endpoint.host.is_empty() {
        address(DEFAULT_HOST, endpoint.port)
    } else {
        endpoint.address()
    };
    Question::Tcp { address }.into()
}

/// The questions to ask when none are given: a connection to each endpoint; with no endpoint either, a command that
/// runs is ready.
#[must_use]
pub fn default_probes(endpoints: &[Endpoint]) -> Vec<Probe> {
    endpoints.iter().map(default_probe).collect()
}

/// The name of a command: its program's file name, made a valid name; `None` when nothing of it is left.
///
/// ```
/// # use seaway_agent::run::options::default_name;
/// assert_eq!(default_name("./bin/Arkouda_Server").unwrap().as_str(), "arkouda-server");
/// assert_eq!(default_name("..."), None);
/// ```
#[must_use]
pub fn default_name(program: &str) -> Option<Name> {
    let file = program.trim_end_matches('/').rsplit('/').next()?;
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    let text: String = file.chars().map(plain).collect();
    let text: String = text
        .trim_matches('-')
        .chars()
        .take(seaway_model::name::MAX_LENGTH)
        .collect();
    text.trim_matches('-').parse().ok()
}

fn split_path(text: &str) -> Result<(&str, &str), OptionError> {
    let (authority, path) = text.split_at(text.find('/').unwrap_or(text.len()));
    if text.contains(['?', '#']) || authority.contains('@') {
        return Err(OptionError::NotPublic);
    }
    if path.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(OptionError::Path(path.escape_debug().to_string()));
    }
    Ok((authority, path))
}

fn default_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        _ => None,
    }
}

/// Reads `PORT`, `HOST:PORT`, or `HOST` where there is a default port.
fn host_and_port(text: &str, default_port: Option<u16>) -> Result<(String, u16), OptionError> {
    if is_port(text) {
        return Ok((DEFAULT_HOST.to_owned(), port(text)?));
    }
    let bracketed = text.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (host, given) = match bracketed {
        Some((host, "")) => (host, None),
        Some((host, rest)) => (host, Some(rest.strip_prefix(':').unwrap_or(rest))),
        None => text
            .rsplit_once(':')
            .map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let good = if bracketed.is_some() {
        host.parse::<Ipv6Addr>().is_ok()
    } else {
        is_host(host)
    };
    if !good {
        return Err(OptionError::Host(host.escape_debug().to_string()));
    }
    let port = match given {
        Some(given) => port(given)?,
        None => default_port.ok_or_else(|| OptionError::NoPort(text.to_owned()))?,
    };
    Ok((host.to_owned(), port))
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_digit())
}

fn is_host(text: &str) -> bool {
    let fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    !text.is_empty() && text.chars().all(fit)
}

fn port(text: &str) -> Result<u16, OptionError> {
    let wrong = || OptionError::Port(text.escape_debug().to_string());
    text.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)
}

fn address(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("[{host}]:{port}")
    } else {
        format!("{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoints_in_all_their_forms() {
        let url = |text: &str| endpoint(text).unwrap().url();
        assert_eq!(url("client=127.0.0.1:8000"), "tcp://127.0.0.1:8000");
        let bare = endpoint("ui=http://8000/lab").unwrap();
        assert_eq!(
            (bare.host.as_str(), bare.port, bare.path.as_str()),
            ("", 8000, "/lab")
        );
        let asked = Question::Tcp {
            address: "127.0.0.1:8000".into(),
        };
        assert_eq!(default_probes(&[bare]), [Probe::from(asked)]);
        assert_eq!(url("client=node-1.example:8000"), "tcp://node-1.example:8000");
        assert_eq!(url("client=[::1]:8000"), "tcp://[::1]:8000");
        assert_eq!(url("http=https://[fe80::1]/a/b"), "https://[fe80::1]:443/a/b");
        assert_eq!(url("ui=http://10.0.0.1:8888/"), "http://10.0.0.1:8888");
        let error = |text: &str| endpoint(text).unwrap_err();
        assert!(matches!(error("8000"), OptionError::Endpoint(_)));
        assert!(matches!(error("Client=8000"), OptionError::Name(_)));
        assert!(matches!(error("client=0"), OptionError::Port(_)));
        assert!(matches!(error("client=70000"), OptionError::Port(_)));
        assert!(matches!(error("client=host"), OptionError::NoPort(_)));
        assert!(matches!(error("client=tcp://host"), OptionError::NoPort(_)));
        assert!(matches!(error("client=::1:8000"), OptionError::Host(_)));
        assert!(matches!(error("client=a b:8000"), OptionError::Host(_)));
        assert!(matches!(
            error("client=0.0.0.0:8000"),
            OptionError::Unspecified(_)
        ));
        assert!(matches!(error("client=[::]:8000"), OptionError::Unspecified(_)));
        assert!(matches!(error("client=HTTP://h:1"), OptionError::Scheme(_)));
        assert!(matches!(
            error("client=http://user:word@h:1"),
            OptionError::NotPublic
        ));
        assert!(matches!(
            error("client=http://h:1/?token=x"),
            OptionError::NotPublic
        ));
        assert!(matches!(error("client=http://h:1/a\nb"), OptionError::Path(_)));
    }

    #[test]
    fn probes_in_all_their_forms() {
        let tcp = |address: &str| {
            let address = address.into();
            Probe::from(Question::Tcp { address })
        };
        assert_eq!(probe("tcp:80").unwrap(), tcp("127.0.0.1:80"));
        assert_eq!(probe("tcp:host:80").unwrap(), tcp("host:80"));
        assert_eq!(probe("tcp:[::1]:80").unwrap(), tcp("[::1]:80"));
        assert_eq!(probe("none").unwrap(), Question::Running.into());
        let http = |address: &str, path: &str| {
            let (address, path) = (address.into(), path.into());
            Probe::from(Question::Http { address, path })
        };
        assert_eq!(
            probe("http://h:80/health?full=1").unwrap(),
            http("h:80", "/health?full=1")
        );
        assert_eq!(probe("http://8080").unwrap(), http("127.0.0.1:8080", "/"));
        let words = Question::Command {
            command: vec!["sh".into(), "-c".into(), "a | b".into()],
        };
        assert_eq!(probe("command:a | b").unwrap(), words.into());
        let expecting = probe("http://h:80/w?x=1#workers.*.name=a=b").unwrap();
        assert_eq!(expecting.question, http("h:80", "/w?x=1").question);
        let expect = expecting.expect.unwrap();
        assert_eq!(expect.select, ["workers", "*", "name"].map(Template::literal));
        assert_eq!(expect.condition, Condition::Is(Template::literal("a=b")));
        let expect = probe("http://h:80/#n>3").unwrap().expect.unwrap();
        assert_eq!(expect.condition, Condition::Above(3));
        for wrong in [
            "http://h:80/#",
            "http://h:80/#a",
            "http://h:80/#=a",
            "http://h:80/#a>b",
        ] {
            assert!(
                matches!(probe(wrong), Err(OptionError::Expectation(_))),
                "{wrong}"
            );
        }
        assert_eq!(probe("command: ").unwrap_err(), OptionError::EmptyCommand);
        assert!(matches!(
            probe("https://h/").unwrap_err(),
            OptionError::SecureProbe(_)
        ));
        assert!(matches!(probe("80").unwrap_err(), OptionError::Probe(_)));
        assert!(matches!(probe("tcp:x").unwrap_err(), OptionError::NoPort(_)));
    }

    #[test]
    fn addresses_to_announce_and_to_listen_at() {
        let announced = |text: &str| address_to_announce(text).unwrap().unwrap();
        assert_eq!(announced("10.0.0.1"), "10.0.0.1");
        assert_eq!(announced("[fe80::1]"), "fe80::1");
        for wrong in ["", "8000", "a b", "[::]", "user@host"] {
            address_to_announce(wrong).unwrap_err();
        }
        assert_eq!(listen("[::1]:0").unwrap().to_string(), "[::1]:0");
        assert_eq!(listen("localhost:1").unwrap().to_string(), "127.0.0.1:1");
        assert_eq!(listen("0.0.0.0:9464").unwrap().port(), 9464);
        for wrong in ["", "70000", "1.2.3.4", "host:1"] {
            assert!(matches!(listen(wrong), Err(OptionError::Listen(_))), "{wrong}");
        }
    }

    #[test]
    fn names_from_programs() {
        let name = |program: &str| default_name(program).map(|name| name.to_string());
        assert_eq!(name("/usr/bin/python3.11").as_deref(), Some("python3-11"));
        assert_eq!(
            name(&format!("{}-{}", "a".repeat(52), "b")).unwrap(),
            "a".repeat(52)
        );
        assert_eq!(name("/"), None);
    }
}
