//! What Redis answers, read back.

use jiff::{SignedDuration, Timestamp};
use redis::Value;
use seaway_model::Name;

use crate::{Entry, EntryError};

/// How far the times in an entry may be from what the server says before they are put right. Within it they stay as
/// they were written, so that an entry looks the same each time it is read.
const TOLERANCE: SignedDuration = SignedDuration::from_secs(1);

/// An entry as it was found under a name, or why it is none.
pub(super) type Found = (Name, Result<Entry, EntryError>);

/// An entry that the server keeps for these many milliseconds; for ever when they are negative. Whether it is live is
/// for the server to say: its times are put right when the writer's clock was not.
pub(super) fn entry(name: &Name, json: &[u8], left: i64, now: Timestamp) -> Result<Entry, EntryError> {
    let mut entry = Entry::from_json(json)?;
    if entry.name != *name {
        return Err(EntryError::Name {
            found: entry.name,
            expected: name.clone(),
        });
    }
    if left < 0 {
        (entry.lease_seconds, entry.expires_at) = (None, None);
        return Ok(entry);
    }
    let until = now
        .checked_add(SignedDuration::from_millis(left))
        .unwrap_or(Timestamp::MAX);
    let agrees = entry
        .expires_at
        .is_some_and(|written| written > now && written.duration_since(until).abs() <= TOLERANCE);
    if !agrees {
        if let Some(written) = entry.expires_at {
            let off = until.duration_since(written);
            entry.renewed_at = entry.renewed_at.checked_add(off).unwrap_or(now);
        }
        entry.expires_at = Some(until);
    }
    Ok(entry)
}

/// The answer to `get.lua`: `None` when there is no entry, an error when the answer has another form.
pub(super) fn one(value: &Value) -> Result<Option<(&[u8], i64)>, String> {
    match value {
        Value::Array(parts) => match parts.as_slice() {
            [] => Ok(None),
            [Value::BulkString(json), Value::Int(left)] => Ok(Some((json, *left))),
            _ => Err(unexpected(value)),
        },
        _ => Err(unexpected(value)),
    }
}

/// The answer to `list.lua`.
pub(super) fn all(value: &Value, now: Timestamp) -> Result<Vec<Found>, String> {
    let Value::Array(parts) = value else {
        return Err(unexpected(value));
    };
    let mut found = Vec::with_capacity(parts.len() / 3);
    for part in parts.chunks(3) {
        let [Value::BulkString(name), Value::BulkString(json), Value::Int(left)] = part else {
            return Err(unexpected(value));
        };
        // Something else in the index is not ours to judge.
        let Some(name) = std::str::from_utf8(name)
            .ok()
            .and_then(|name| name.parse::<Name>().ok())
        else {
            continue;
        };
        let entry = entry(&name, json, *left, now);
        found.push((name, entry));
    }
    found.sort_by(|one, other| one.0.cmp(&other.0));
    Ok(found)
}

/// The answer to `clean.lua`. What is no name was not ours.
pub(super) fn names(value: &Value) -> Result<Vec<Name>, String> {
    let Value::Array(parts) = value else {
        return Err(unexpected(value));
    };
    let text = |part: &Value| match part {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok()?.parse().ok(),
        _ => None,
    };
    Ok(parts.iter().filter_map(text).collect())
}

/// The answer to `announce.lua`: nothing, or the entry that stays and the milliseconds it has left.
pub(super) fn refusal(value: &Value) -> Result<Option<(&[u8], i64)>, String> {
    match value {
        Value::Array(parts) => match parts.as_slice() {
            [Value::Int(1)] => Ok(None),
            [Value::Int(0), Value::BulkString(json), Value::Int(left)] => Ok(Some((json, *left))),
            _ => Err(unexpected(value)),
        },
        _ => Err(unexpected(value)),
    }
}

fn unexpected(value: &Value) -> String {
    let what = match value {
        Value::Nil => "nothing",
        Value::Int(_) => "a number",
        Value::BulkString(_) | Value::SimpleString(_) | Value::Okay => "a text",
        Value::Array(_) => "a list of another form",
        _ => "something else",
    };
    format!("the answer is {what}; is there something between us and Redis that changes answers?")
}

/// Reads an answer, as bytes, in every way that answers are read; for fuzzing.
#[doc(hidden)]
pub fn read_back(bytes: &[u8]) {
    let Ok(value) = redis::parse_redis_value(bytes) else {
        return;
    };
    let now = Timestamp::UNIX_EPOCH;
    for (name, found) in all(&value, now).unwrap_or_default() {
        if let Ok(found) = found {
            assert_eq!(found.name, name);
            let _ = found.is_expired(now);
        }
    }
    let _ = names(&value);
    let name = Name::literal("dask");
    for (json, left) in [one(&value), refusal(&value)].into_iter().flatten().flatten() {
        if let Ok(found) = entry(&name, json, left, now) {
            assert_eq!(found.is_expired(now), left == 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn written() -> Entry {
        Entry::new(Name::literal("dask"), "Dask", "one".parse().unwrap(), Vec::new())
            .with_lease(Some(Duration::from_secs(30)))
    }

    #[test]
    fn times_are_the_servers() {
        let written = written();
        let json = written.to_json().unwrap();
        let read = |left, now| entry(&written.name, &json, left, now).unwrap();
        let now = written.renewed_at;
        assert_eq!(read(29_900, now), written, "clocks agree: as it was written");
        // The writer's clock was an hour behind, and an hour before.
        for hours in [1, -1] {
            let now = now + SignedDuration::from_hours(hours);
            let read = read(20_000, now);
            assert_eq!(read.expires_at, Some(now + SignedDuration::from_secs(20)));
            assert_eq!(read.renewed_at, now - SignedDuration::from_secs(10));
            assert!(!read.is_expired(now));
        }
        assert_eq!(read(-1, now).expires_at, None);
    }

    #[test]
    fn of_another_name_it_is_none() {
        let json = written().to_json().unwrap();
        let error = entry(&Name::literal("other"), &json, 1, Timestamp::now()).unwrap_err();
        assert!(matches!(error, EntryError::Name { .. }), "{error}");
    }

    #[test]
    fn what_is_no_entry_does_not_hide_the_others() {
        let text = |text: &[u8]| Value::BulkString(text.to_vec());
        let json = written().to_json().unwrap();
        let value = Value::Array(vec![
            text(b"dask"),
            text(&json),
            Value::Int(9),
            text(b"broken"),
            text(b"{"),
            Value::Int(9),
            text(b"\xff"),
            text(b"{}"),
            Value::Int(9),
        ]);
        let found = all(&value, Timestamp::now()).unwrap();
        assert_eq!(found.len(), 2);
        assert!(found[0].1.is_err() && found[1].1.is_ok());
        assert!(all(&Value::Array(vec![Value::Nil]), Timestamp::now()).is_err());
        assert!(all(&Value::Nil, Timestamp::now()).is_err());
    }

    /// Values like those that are expected, but not quite.
    fn values() -> impl Strategy<Value = Value> {
        let json = String::from_utf8(written().to_json().unwrap()).unwrap();
        let leaf = prop_oneof![
            any::<i64>().prop_map(Value::Int),
            Just(Value::Int(0)),
            Just(Value::Int(1)),
            Just(Value::Nil),
            Just(Value::Okay),
            Just(Value::BulkString(b"dask".to_vec())),
            Just(Value::BulkString(json.into_bytes())),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(Value::BulkString),
        ];
        prop_oneof![
            leaf.clone(),
            prop::collection::vec(leaf, 0..7).prop_map(Value::Array)
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn no_answer_panics(value in values(), now in any::<i32>()) {
            let now = Timestamp::from_second(i64::from(now)).unwrap();
            let _ = (all(&value, now), one(&value), refusal(&value));
        }

        #[test]
        fn live_is_what_the_server_keeps(left in any::<i64>(), now in any::<i32>()) {
            let now = Timestamp::from_second(i64::from(now)).unwrap();
            let written = written();
            let read = entry(&written.name, &written.to_json().unwrap(), left, now).unwrap();
            prop_assert_eq!(read.is_expired(now), left == 0);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            read_back(&bytes);
        }
    }
}
