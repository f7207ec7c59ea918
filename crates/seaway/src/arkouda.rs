//! Flags of Arkouda's own integration in the command line of a server: `seaway run` does what they ask for, and takes
//! them out, so that the server does not do it too.
//!
//! `systemType` says where to register. In `daemonTypes`, `INTEGRATION` is a server for clients that registers itself;
//! it becomes `DEFAULT`, which is the same server without that. `METRICS` stays, and is announced. Everything else
//! in the command line stays as it is, byte for byte.

use std::ffi::{OsStr, OsString};

use thiserror::Error;

/// Where Arkouda is told to register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SystemType {
    Kubernetes,
    Consul,
    Redis,
    None,
}

impl SystemType {
    /// As `--register` has it.
    pub(crate) const fn directory(self) -> &'static str {
        match self {
            Self::Kubernetes => "kubernetes",
            Self::Consul => "consul",
            Self::Redis => "redis",
            Self::None => "none",
        }
    }
}

/// What a command line asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TakenOver {
    /// The command line without it.
    pub(crate) command: Vec<OsString>,
    /// Where to register.
    pub(crate) system: Option<SystemType>,
    /// Whether the server has a port for metrics.
    pub(crate) metrics: bool,
    /// Whether the server runs in a pod, as far as it says so.
    pub(crate) inside: bool,
    /// The port for clients, when it is given.
    pub(crate) port: Option<u16>,
    /// What was taken over, for people.
    pub(crate) said: String,
}

/// A value that Arkouda does not know either.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{flag}` cannot be `{value}`: valid are {valid}")]
pub(crate) struct ArkoudaError {
    flag: String,
    value: String,
    valid: &'static str,
}

const SYSTEM_TYPES: &str = "SystemType.KUBERNETES, SystemType.CONSUL, SystemType.REDIS and SystemType.NONE";
const DAEMON_TYPES: &str = "ServerDaemonType.DEFAULT, ServerDaemonType.INTEGRATION, ServerDaemonType.METRICS and \
                            ServerDaemonType.STATUS, separated by commas";

/// The flags that mean something here.
#[derive(Clone, Copy)]
enum Flag {
    System,
    Daemons,
    Deployment,
    Port,
}

impl Flag {
    /// Knows a flag by its name. The short names are common words, so they count for Arkouda alone.
    fn of(name: &str, of_arkouda: bool) -> Option<Self> {
        Some(match name {
            "ExternalIntegration.systemType" | "ExternalIntegration.externalSystem" => Self::System,
            "systemType" | "externalSystem" if of_arkouda => Self::System,
            "ServerDaemon.daemonTypes" => Self::Daemons,
            "daemonTypes" if of_arkouda => Self::Daemons,
            "ServerConfig.deployment" => Self::Deployment,
            "deployment" if of_arkouda => Self::Deployment,
            "ServerConfig.ServerPort" | "ServerPort" => Self::Port,
            _ => return None,
        })
    }
}

/// Looks for the flags in a command line; `None` when it does not ask to be registered.
pub(crate) fn take_over(words: &[OsString]) -> Result<Option<TakenOver>, ArkoudaError> {
    let of_arkouda = words.iter().any(|word| is_server(word));
    let mut taken = TakenOver {
        command: Vec::with_capacity(words.len()),
        system: None,
        metrics: false,
        inside: false,
        port: None,
        said: String::new(),
    };
    let mut said = Vec::new();
    let mut integrates = false;
    let mut rest = words.iter();
    while let Some(word) = rest.next() {
        let text = word.to_str().and_then(|text| text.strip_prefix("--"));
        let (name, inline) = match text.and_then(|text| text.split_once('=')) {
            Some((name, value)) => (name, Some(value)),
            None => (text.unwrap_or_default(), None),
        };
        let Some(flag) = Flag::of(name, of_arkouda) else {
            taken.command.push(word.clone());
            continue;
        };
        // `--flag value`; the value may be anything, such as one that is not UTF-8.
        let next = if inline.is_none() { rest.next() } else { None };
        let value = inline.map_or_else(
            || next.map_or_else(String::new, |next| next.to_string_lossy().into_owned()),
            str::to_owned,
        );
        let wrong = |valid| ArkoudaError {
            flag: format!("--{name}"),
            value: value.escape_debug().to_string(),
            valid,
        };
        let shown = || format!("--{name}={value}");
        let keep = |command: &mut Vec<OsString>| {
            command.push(word.clone());
            command.extend(next.cloned());
        };
        match flag {
            Flag::System => {
                let system = system_type(&value).ok_or_else(|| wrong(SYSTEM_TYPES))?;
                said.push(format!("{} is now --register {}", shown(), system.directory()));
                taken.system = Some(system);
            }
            Flag::Daemons => {
                let daemons = daemons(&value).ok_or_else(|| wrong(DAEMON_TYPES))?;
                taken.metrics = daemons.metrics;
                integrates = daemons.without_integration.is_some();
                match daemons.without_integration {
                    Some(list) => {
                        let new = format!("--{name}={list}");
                        said.push(format!("{} is now {new}", shown()));
                        taken.command.push(new.into());
                    }
                    None => keep(&mut taken.command),
                }
            }
            Flag::Deployment => {
                taken.inside = value.trim_start_matches("Deployment.") == "KUBERNETES";
                keep(&mut taken.command);
            }
            Flag::Port => {
                taken.port = value.parse().ok().filter(|port| *port > 0);
                keep(&mut taken.command);
            }
        }
    }
    taken.said = said.join("; ");
    Ok((taken.system.is_some() || integrates).then_some(taken))
}

/// Whether a word is the program of an Arkouda server, which others (`srun`, `sudo`) may start.
fn is_server(word: &OsStr) -> bool {
    let text = word.to_string_lossy();
    let file = text.rsplit('/').next().unwrap_or_default();
    file.starts_with("arkouda_server") || file.starts_with("arkouda-server")
}

fn system_type(value: &str) -> Option<SystemType> {
    Some(match value.strip_prefix("SystemType.").unwrap_or(value) {
        "KUBERNETES" => SystemType::Kubernetes,
        "CONSUL" => SystemType::Consul,
        "REDIS" => SystemType::Redis,
        "NONE" => SystemType::None,
        _ => return None,
    })
}

struct Daemons {
    metrics: bool,
    /// The list with `INTEGRATION` replaced; absent when that is not in it.
    without_integration: Option<String>,
}

fn daemons(value: &str) -> Option<Daemons> {
    let plain = |word: &'_ str| -> String {
        let word = word.trim();
        word.strip_prefix("ServerDaemonType.").unwrap_or(word).to_owned()
    };
    let words: Vec<&str> = value.split(',').collect();
    let kinds: Vec<String> = words.iter().map(|word| plain(word)).collect();
    let known = ["DEFAULT", "INTEGRATION", "METRICS", "STATUS"];
    if kinds.iter().any(|kind| !known.contains(&kind.as_str())) {
        return None;
    }
    let has = |wanted: &str| kinds.iter().any(|kind| kind == wanted);
    let mut serves = has("DEFAULT");
    let mut kept = Vec::new();
    for (word, kind) in words.iter().zip(&kinds) {
        if kind != "INTEGRATION" {
            kept.push((*word).to_owned());
        } else if !serves {
            // Without either of the two nobody would serve clients.
            kept.push(word.replace("INTEGRATION", "DEFAULT"));
            serves = true;
        }
    }
    Some(Daemons {
        metrics: has("METRICS"),
        without_integration: has("INTEGRATION").then(|| kept.join(",")),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use proptest::prelude::*;

    use super::*;

    fn words(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    fn take(line: &str) -> TakenOver {
        take_over(&words(line)).unwrap().unwrap()
    }

    fn left(taken: &TakenOver) -> String {
        let words: Vec<_> = taken.command.iter().map(|word| word.to_str().unwrap()).collect();
        words.join(" ")
    }

    #[test]
    fn the_script_of_the_documentation() {
        let line = "./arkouda_server -nl 3 --ExternalIntegration.systemType=SystemType.KUBERNETES \
                    --ServerDaemon.daemonTypes=ServerDaemonType.INTEGRATION,ServerDaemonType.METRICS";
        let taken = take(line);
        assert_eq!(
            left(&taken),
            "./arkouda_server -nl 3 --ServerDaemon.daemonTypes=ServerDaemonType.DEFAULT,ServerDaemonType.METRICS"
        );
        assert_eq!(taken.system, Some(SystemType::Kubernetes));
        assert!(taken.metrics && !taken.inside && taken.port.is_none());
        assert!(
            taken.said.contains("is now --register kubernetes"),
            "{}",
            taken.said
        );
        assert!(!taken.said.contains('\n'));
    }

    #[test]
    fn every_form_of_a_flag() {
        for line in [
            "./arkouda_server --ExternalIntegration.systemType CONSUL",
            "./arkouda_server --systemType=SystemType.CONSUL",
            "srun -n 3 /opt/bin/arkouda_server --externalSystem=CONSUL",
            "./arkouda_server --ExternalIntegration.externalSystem SystemType.CONSUL",
        ] {
            let taken = take(line);
            assert_eq!(taken.system, Some(SystemType::Consul), "{line}");
            assert!(line.starts_with(&left(&taken)), "{line}");
        }
        let taken = take("a --ExternalIntegration.systemType=NONE --x");
        assert_eq!(
            (taken.system, left(&taken).as_str()),
            (Some(SystemType::None), "a --x")
        );
        let daemons = |list: &str| {
            let taken = take(&format!("./arkouda_server --daemonTypes={list}"));
            left(&taken).rsplit_once('=').unwrap().1.to_owned()
        };
        assert_eq!(daemons("INTEGRATION"), "DEFAULT");
        assert_eq!(daemons("INTEGRATION,STATUS,DEFAULT"), "STATUS,DEFAULT");
        assert_eq!(
            daemons("METRICS,ServerDaemonType.INTEGRATION"),
            "METRICS,ServerDaemonType.DEFAULT"
        );
        assert_eq!(daemons("INTEGRATION,INTEGRATION"), "DEFAULT");
        let both = take(
            "./arkouda_server --daemonTypes INTEGRATION --deployment=Deployment.KUBERNETES --ServerPort 7000",
        );
        assert!(both.inside);
        assert_eq!(both.port, Some(7000));
        assert!(left(&both).ends_with("--deployment=Deployment.KUBERNETES --ServerPort 7000"));
    }

    #[test]
    fn what_does_not_ask_to_be_registered_is_left_alone() {
        for line in [
            "./arkouda_server -nl 3 --ServerPort=5555 --deployment=Deployment.KUBERNETES",
            "./arkouda_server --ServerDaemon.daemonTypes=ServerDaemonType.METRICS,ServerDaemonType.DEFAULT",
            "python3 -m http.server --systemType=KUBERNETES --daemonTypes=INTEGRATION",
            "./arkouda_server --",
        ] {
            assert_eq!(take_over(&words(line)).unwrap(), None, "{line}");
        }
    }

    #[test]
    fn unknown_values_name_the_valid_ones() {
        let error = |line: &str| take_over(&words(line)).unwrap_err().to_string();
        assert_eq!(
            error("./arkouda_server --systemType=ZOOKEEPER"),
            "`--systemType` cannot be `ZOOKEEPER`: valid are SystemType.KUBERNETES, SystemType.CONSUL, SystemType.REDIS \
             and SystemType.NONE"
        );
        assert!(error("a --ExternalIntegration.systemType").contains("cannot be ``"));
        assert!(error("a --ServerDaemon.daemonTypes=METRIC").contains("ServerDaemonType.METRICS"));
    }

    fn any_words() -> impl Strategy<Value = Vec<OsString>> {
        let known = prop::sample::select(vec![
            "./arkouda_server",
            "--",
            "--systemType",
            "--ExternalIntegration.systemType=SystemType.REDIS",
            "--ExternalIntegration.systemType",
            "SystemType.REDIS",
            "--ServerDaemon.daemonTypes=INTEGRATION,METRICS",
            "--daemonTypes=INTEGRATION",
            "--ServerPort=1",
            "--deployment",
        ])
        .prop_map(OsString::from);
        let bytes = prop::collection::vec(1_u8.., 0..12).prop_map(OsString::from_vec);
        prop::collection::vec(prop_oneof![known, bytes], 0..12)
    }

    proptest! {
        #[test]
        fn nothing_panics_and_what_is_taken_over_is_gone(words in any_words()) {
            if let Ok(Some(taken)) = take_over(&words) {
                prop_assert!(!taken.said.is_empty());
                prop_assert!(taken.command.len() <= words.len());
                prop_assert_eq!(take_over(&taken.command), Ok(None));
            }
        }

        #[test]
        fn other_words_stay_as_they_are(
            before in prop::collection::vec(prop::collection::vec(1_u8.., 0..12), 0..6),
            after in prop::collection::vec(prop::collection::vec(1_u8.., 0..12), 0..6),
        ) {
            let other = |all: Vec<Vec<u8>>| -> Vec<OsString> { all.into_iter().map(OsString::from_vec).collect() };
            let (before, after) = (other(before), other(after));
            let flag = OsString::from("--ExternalIntegration.systemType=REDIS");
            let words = [before.clone(), vec![flag], after.clone()].concat();
            let taken = take_over(&words).unwrap().unwrap();
            prop_assert_eq!(taken.command, [before, after].concat());
        }
    }
}
