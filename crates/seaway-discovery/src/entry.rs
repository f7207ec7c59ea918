//! Entries: what a directory says about one instance, and how it is read back.

use std::{collections::BTreeMap, fmt, net::IpAddr, str::FromStr, time::Duration};

use jiff::Timestamp;
use seaway_model::{Endpoint, Name};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// Version of the form in which entries are written.
const VERSION: u64 = 1;

/// Longest identity of an owner.
const LONGEST_OWNER: usize = 128;

/// Why a text is not the identity of an owner.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum OwnerError {
    /// Nothing at all.
    #[error("the identity of an owner cannot be empty")]
    Empty,
    /// Longer than 128 characters.
    #[error("the identity of an owner has at most {LONGEST_OWNER} characters, not {0}")]
    TooLong(usize),
    /// Something other than a visible ASCII character; spaces are none.
    #[error("the identity of an owner has only visible ASCII characters, not `{0}`")]
    Character(String),
}

/// Who holds an entry: an identity that is unique among all holders and outlives the holder's own restart, so that
/// what it left behind is known as its own. Visible ASCII characters only; it is no secret.
///
/// ```
/// # use seaway_discovery::Owner;
/// assert_eq!("laptop/3f1c".parse::<Owner>().unwrap().as_str(), "laptop/3f1c");
/// assert!("two words".parse::<Owner>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Owner(String);

impl Owner {
    /// The identity as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Owner {
    type Err = OwnerError;

    fn from_str(text: &str) -> Result<Self, OwnerError> {
        if text.is_empty() {
            return Err(OwnerError::Empty);
        }
        // Visible ASCII because an owner stands in HTTP headers and on terminals.
        if let Some(character) = text.chars().find(|c| !c.is_ascii_graphic()) {
            return Err(OwnerError::Character(character.escape_debug().to_string()));
        }
        if text.len() > LONGEST_OWNER {
            return Err(OwnerError::TooLong(text.len()));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl<'de> Deserialize<'de> for Owner {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

/// Why what was read back is not an entry.
#[derive(Debug, Error)]
pub enum EntryError {
    /// Not JSON, or JSON with a key missing or of a wrong type.
    #[error("it is not an entry: {0}")]
    Malformed(#[from] serde_json::Error),
    /// Written in a form this version does not know; it may well be live.
    #[error("it is an entry of form {0}; this version of Seaway knows form {VERSION}")]
    Version(u64),
    /// The name inside is not the name it was found under.
    #[error("it is the entry of `{found}`, not of `{expected}`")]
    Name {
        /// The name inside.
        found: Name,
        /// The name it was found under.
        expected: Name,
    },
}

/// What a directory says about one instance.
///
/// As JSON the keys are in camel case and every endpoint also has its `url` and `address`, so that a script need not
/// build them. There is never a token in it, only the path of the file that holds one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Form of the entry: 1.
    version: u64,
    /// Name of the instance.
    pub name: Name,
    /// What it is: `Dask` and so on, or `Command`.
    pub kind: String,
    /// Who holds the entry.
    pub owner: Owner,
    /// Where clients reach it.
    #[serde(serialize_with = "with_urls")]
    pub endpoints: Vec<Endpoint>,
    /// Free words about it, for people and scripts.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// When its holder first announced it.
    pub registered_at: Timestamp,
    /// When its holder last said that it is alive.
    pub renewed_at: Timestamp,
    /// How long it is believed without being renewed, in seconds (rounded up); absent when it does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease_seconds: Option<u64>,
    /// Until when it is believed; absent when it does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}

/// An endpoint as it stands in an entry.
#[derive(Serialize)]
struct Reachable<'a> {
    #[serde(flatten)]
    endpoint: &'a Endpoint,
    url: String,
    address: String,
}

fn with_urls<S: Serializer>(endpoints: &[Endpoint], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(endpoints.iter().map(|endpoint| Reachable {
        endpoint,
        url: endpoint.url(),
        address: endpoint.address(),
    }))
}

/// The time, to the millisecond: what is written is then exactly what is read back, and short.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

impl Entry {
    /// A new entry without labels, registered now and without a lease; the directory adds its own.
    #[must_use]
    pub fn new(name: Name, kind: impl Into<String>, owner: Owner, endpoints: Vec<Endpoint>) -> Self {
        let now = now();
        Self {
            version: VERSION,
            name,
            kind: kind.into(),
            owner,
            endpoints,
            labels: BTreeMap::new(),
            registered_at: now,
            renewed_at: now,
            lease_seconds: None,
            expires_at: None,
        }
    }

    /// The same entry as a directory with this lease writes it now.
    #[must_use]
    pub fn with_lease(&self, lease: Option<Duration>) -> Self {
        let renewed_at = now();
        Self {
            renewed_at,
            lease_seconds: lease.map(|lease| {
                lease
                    .as_secs()
                    .saturating_add(u64::from(lease.subsec_nanos() > 0))
            }),
            // Beyond the end of the calendar is as good as never.
            expires_at: lease.map(|lease| renewed_at.checked_add(lease).unwrap_or(Timestamp::MAX)),
            ..self.clone()
        }
    }

    /// Whether an endpoint is only known to be on this machine, without an address.
    #[must_use]
    pub fn lacks_address(&self) -> bool {
        self.endpoints.iter().any(|endpoint| endpoint.host.is_empty())
    }

    /// The same entry with this machine's address where there is none yet.
    #[must_use]
    pub fn at(&self, address: IpAddr) -> Self {
        let mut entry = self.clone();
        for endpoint in &mut entry.endpoints {
            if endpoint.host.is_empty() {
                endpoint.host = address.to_string();
            }
        }
        entry
    }

    /// Until when the entry is believed; `None` when it does not expire.
    #[must_use]
    pub fn believed_until(&self) -> Option<Timestamp> {
        self.expires_at.or_else(|| {
            let lease = Duration::from_secs(self.lease_seconds?);
            Some(self.renewed_at.checked_add(lease).unwrap_or(Timestamp::MAX))
        })
    }

    /// Whether the lease has run out at this time.
    #[must_use]
    pub fn is_expired(&self, at: Timestamp) -> bool {
        self.believed_until().is_some_and(|until| until <= at)
    }

    /// Reads an entry back: strict about the types of the keys it knows, blind to those it does not know.
    pub fn from_json(bytes: &[u8]) -> Result<Self, EntryError> {
        #[derive(Deserialize)]
        struct Form {
            version: u64,
        }
        // The form first: of another form nothing else need be right.
        let Form { version } = serde_json::from_slice(bytes)?;
        if version != VERSION {
            return Err(EntryError::Version(version));
        }
        Ok(serde_json::from_slice(bytes)?)
    }

    /// The entry as one line of JSON, without a line break.
    pub fn to_json(&self) -> Result<Vec<u8>, EntryError> {
        Ok(serde_json::to_vec(self)?)
    }

    /// Whether the other entry announces the same thing; when it was renewed does not matter.
    #[must_use]
    pub fn announces_the_same(&self, other: &Self) -> bool {
        self.name == other.name
            && self.kind == other.kind
            && self.owner == other.owner
            && self.endpoints == other.endpoints
            && self.labels == other.labels
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn entry() -> Entry {
        let endpoint = Endpoint {
            name: Name::literal("dashboard"),
            scheme: "http".into(),
            host: "::1".into(),
            port: 8787,
            path: "/status".into(),
            token_file: Some("/run/token".into()),
        };
        Entry::new(
            Name::literal("dask"),
            "Dask",
            "here/1".parse().unwrap(),
            vec![endpoint],
        )
    }

    #[test]
    fn json_is_for_scripts_too() {
        let mut entry = entry().with_lease(Some(Duration::from_millis(29_500)));
        entry.labels.insert("team".into(), "a".into());
        let value: Value = serde_json::from_slice(&entry.to_json().unwrap()).unwrap();
        assert_eq!(value["version"], 1);
        assert_eq!(value["leaseSeconds"], 30);
        assert_eq!(value["endpoints"][0]["url"], "http://[::1]:8787/status");
        assert_eq!(value["endpoints"][0]["address"], "[::1]:8787");
        assert_eq!(value["endpoints"][0]["tokenFile"], "/run/token");
        assert!(value["expiresAt"].as_str().unwrap().ends_with('Z'));
        assert_eq!(Entry::from_json(&entry.to_json().unwrap()).unwrap(), entry);
    }

    #[test]
    fn strict_about_types_and_blind_to_what_it_does_not_know() {
        let mut value: Value = serde_json::from_slice(&entry().to_json().unwrap()).unwrap();
        value["future"] = json!({ "deep": [1, 2] });
        let read = |value: &Value| Entry::from_json(value.to_string().as_bytes());
        assert!(read(&value).is_ok());
        for (key, wrong) in [
            ("name", json!("Not A Name")),
            ("owner", json!("two words")),
            ("owner", json!("")),
            ("kind", json!(1)),
            ("endpoints", json!({})),
            (
                "endpoints",
                json!([{ "name": "a", "scheme": "tcp", "host": "h", "port": 65536 }]),
            ),
            ("labels", json!({ "a": 1 })),
            ("registeredAt", json!(1_700_000_000)),
            ("renewedAt", json!("yesterday")),
            ("leaseSeconds", json!("30")),
            ("leaseSeconds", json!(-1)),
            ("expiresAt", json!("2024-13-01T00:00:00Z")),
        ] {
            let mut value = value.clone();
            value[key] = wrong;
            assert!(
                matches!(read(&value), Err(EntryError::Malformed(_))),
                "{key}: {}",
                value[key]
            );
        }
        value["version"] = json!(2);
        assert!(matches!(read(&value), Err(EntryError::Version(2))));
    }

    #[test]
    fn leases_end_on_time() {
        let entry = entry();
        let now = Timestamp::now();
        assert!(!entry.is_expired(Timestamp::MAX), "no lease, no end");
        let leased = entry.with_lease(Some(Duration::from_secs(30)));
        assert!(!leased.is_expired(now));
        assert!(leased.is_expired(leased.expires_at.unwrap()));
        let mut endless = entry.with_lease(Some(Duration::MAX));
        assert!(!endless.is_expired(now));
        endless.expires_at = None;
        endless.lease_seconds = Some(u64::MAX);
        assert!(!endless.is_expired(now));
    }

    /// JSON of any shape that looks like an entry at first sight.
    fn near_entries() -> impl Strategy<Value = Value> {
        const KEYS: [&str; 10] = [
            "version",
            "name",
            "kind",
            "owner",
            "endpoints",
            "labels",
            "registeredAt",
            "renewedAt",
            "leaseSeconds",
            "expiresAt",
        ];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "\\PC{0,20}".prop_map(Value::from),
            Just(json!("2024-06-01T12:00:00Z")),
            Just(json!("-009999-01-02T01:59:59Z")),
            Just(json!("9999-12-30T22:00:00Z")),
            Just(json!("dask")),
            Just(json!(1)),
            Just(json!([])),
            Just(json!({})),
        ];
        let value = leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-zA-Z]{1,8}", inner, 0..4)
                    .prop_map(|map| Value::from(map.into_iter().collect::<serde_json::Map<_, _>>())),
            ]
        });
        prop::collection::vec((prop::sample::select(&KEYS[..]), value), 0..6).prop_map(|changes| {
            let mut value: Value = serde_json::from_slice(&entry().to_json().unwrap()).unwrap();
            for (key, change) in changes {
                value[key] = change;
            }
            value
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = Entry::from_json(&bytes);
        }

        #[test]
        fn near_entries_never_panic_and_survive_being_written(value in near_entries()) {
            if let Ok(entry) = Entry::from_json(value.to_string().as_bytes()) {
                let _ = entry.is_expired(Timestamp::now());
                let _ = entry.with_lease(entry.lease_seconds.map(Duration::from_secs));
                prop_assert_eq!(Entry::from_json(&entry.to_json().unwrap()).unwrap(), entry);
            }
        }

        #[test]
        fn cut_anywhere_it_is_no_entry(cut in 0.0f64..1.0) {
            let json = entry().to_json().unwrap();
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
            let cut = (json.len() as f64 * cut) as usize;
            prop_assert!(Entry::from_json(&json[..cut]).is_err());
        }
    }
}
