//! Leases read back as entries.
//!
//! The Lease itself says who holds an entry and until when; the annotation has the rest. Times in a Lease are the
//! server's; those of an entry are this machine's.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use seaway_model::Name;

use super::api::lease_name;
use crate::{Entry, EntryError, Error, Owner, Result, clock::ServerClock};

/// Annotation of a Lease with the entry as JSON.
pub(super) const ANNOTATION: &str = "seaway.dev/entry";

/// The entry as it stands in a Lease, which knows better when it was renewed.
pub(super) fn write(entry: &Entry) -> Result<String> {
    let json = entry.with_lease(None).to_json().map_err(|reason| Error::Entry {
        place: format!("the entry of `{}`", entry.name),
        reason,
    })?;
    Ok(String::from_utf8_lossy(&json).into_owned())
}

/// Who holds a Lease, as far as it has an end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Holder {
    /// Nobody, or nobody any more.
    None,
    /// This one, until then by the server's clock.
    Until(Owner, Timestamp),
}

/// Who holds a Lease at this time of the server.
pub(super) fn holder(lease: &Lease, now: Timestamp) -> Holder {
    let Some(spec) = &lease.spec else {
        return Holder::None;
    };
    let owner = spec.holder_identity.as_deref().unwrap_or_default();
    match (owner.parse::<Owner>(), end(spec)) {
        (Ok(owner), Some(end)) if end > now => Holder::Until(owner, end),
        _ => Holder::None,
    }
}

/// Until when a Lease holds, by the server's clock.
fn end(spec: &LeaseSpec) -> Option<Timestamp> {
    let renewed = spec.renew_time.as_ref()?.0;
    Some(add(renewed, duration(spec)))
}

fn duration(spec: &LeaseSpec) -> Duration {
    let seconds = spec.lease_duration_seconds.unwrap_or_default();
    Duration::from_secs(u64::try_from(seconds).unwrap_or_default())
}

fn add(time: Timestamp, duration: Duration) -> Timestamp {
    time.checked_add(duration).unwrap_or(Timestamp::MAX)
}

/// The entry in a Lease.
///
/// # Errors
///
/// When the Lease is none of Seaway's, or of a form that this version does not know.
pub(super) fn read(lease: &Lease, clock: &ServerClock) -> Result<Entry> {
    let place = format!(
        "the Lease `{}`",
        lease.metadata.name.as_deref().unwrap_or_default()
    );
    let wrong = |reason| Error::Entry {
        place: place.clone(),
        reason,
    };
    let text = lease
        .metadata
        .annotations
        .as_ref()
        .and_then(|all| all.get(ANNOTATION))
        .map_or("", String::as_str);
    let mut entry = Entry::from_json(text.as_bytes()).map_err(wrong)?;
    let expected = lease.metadata.name.as_deref().unwrap_or_default();
    if lease_name(&entry.name) != expected {
        return Err(wrong(EntryError::Name {
            expected: expected
                .strip_prefix("seaway-")
                .and_then(|name| name.parse().ok())
                .unwrap_or_else(|| Name::literal("unknown")),
            found: entry.name,
        }));
    }
    let empty = LeaseSpec::default();
    let spec = lease.spec.as_ref().unwrap_or(&empty);
    if let Some(Ok(owner)) = spec.holder_identity.as_deref().map(str::parse) {
        entry.owner = owner;
    }
    let renewed = spec
        .renew_time
        .as_ref()
        .map_or(Timestamp::UNIX_EPOCH, |time| time.0);
    let millis = |time: Timestamp| Timestamp::from_millisecond(time.as_millisecond()).unwrap_or(time);
    entry.renewed_at = millis(clock.to_local(renewed));
    entry.lease_seconds = Some(duration(spec).as_secs());
    entry.expires_at = Some(millis(clock.to_local(add(renewed, duration(spec)))));
    Ok(entry)
}

/// Reads what an API server answered as a Lease, and the Lease as an entry; for tests with arbitrary bytes.
#[doc(hidden)]
#[must_use]
pub fn from_answer(bytes: &[u8]) -> Option<Entry> {
    let lease: Lease = serde_json::from_slice(bytes).ok()?;
    let _ = holder(&lease, Timestamp::now());
    read(&lease, &ServerClock::default()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use seaway_model::Endpoint;
    use serde_json::{Value, json};

    use super::*;
    use crate::kubernetes::objects;

    fn entry() -> Entry {
        let endpoint = Endpoint {
            name: Name::literal("client"),
            scheme: "tcp".into(),
            host: "10.0.0.1".into(),
            port: 5555,
            path: String::new(),
            token_file: None,
        };
        Entry::new(
            Name::literal("eng"),
            "Command",
            "here/1".parse().unwrap(),
            vec![endpoint],
        )
    }

    fn lease(duration: u32, renewed: Timestamp) -> Value {
        objects::lease(&entry(), duration, renewed, None).unwrap()
    }

    fn parse(value: Value) -> Lease {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn what_is_written_is_read_back_with_the_times_of_the_lease() {
        let renewed = Timestamp::from_millisecond(1_700_000_000_123).unwrap();
        let read = read(&parse(lease(30, renewed)), &ServerClock::default()).unwrap();
        assert!(read.announces_the_same(&entry()));
        assert_eq!(read.renewed_at, renewed);
        assert_eq!(read.expires_at, Some(renewed + Duration::from_secs(30)));
        assert_eq!(read.lease_seconds, Some(30));
    }

    #[test]
    fn held_until_the_end_of_the_lease() {
        let renewed = Timestamp::from_second(1_700_000_000).unwrap();
        let held = parse(lease(30, renewed));
        let end = renewed + Duration::from_secs(30);
        let before = end - Duration::from_millis(1);
        assert_eq!(
            holder(&held, before),
            Holder::Until("here/1".parse().unwrap(), end)
        );
        assert_eq!(holder(&held, end), Holder::None);
        let mut nobody = lease(30, renewed);
        nobody["spec"]["holderIdentity"] = json!("");
        assert_eq!(holder(&parse(nobody), before), Holder::None);
    }

    #[test]
    fn leases_of_others_are_no_entries() {
        let mut other = lease(30, Timestamp::now());
        other["metadata"]["name"] = json!("seaway-other");
        let error = read(&parse(other), &ServerClock::default())
            .unwrap_err()
            .to_string();
        assert!(error.contains("`eng`, not of `other`"), "{error}");
        let mut bare = lease(30, Timestamp::now());
        bare["metadata"]["annotations"] = json!({});
        assert!(read(&parse(bare), &ServerClock::default()).is_err());
    }

    proptest! {
        #[test]
        fn bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = from_answer(&bytes);
        }

        #[test]
        fn odd_leases_never_panic(seconds in any::<i32>(), renewed in -377_705_023_201i64..=253_402_207_200, owner in "\\PC{0,10}") {
            let mut odd = lease(30, Timestamp::from_second(renewed).unwrap());
            odd["spec"]["leaseDurationSeconds"] = json!(seconds);
            odd["spec"]["holderIdentity"] = json!(owner);
            let _ = from_answer(odd.to_string().as_bytes());
        }
    }
}
