//! What Consul answers, read back.

use base64::{Engine, engine::general_purpose::STANDARD};
use seaway_model::Name;
use serde::{Deserialize, de::Error as _};

use crate::{Entry, EntryError};

/// What the keys of entries begin with.
pub(super) const PREFIX: &str = "seaway/entries/";

/// What is stored under the key of an entry.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) name: Name,
    /// When it was last changed, as Consul counts; what a change must name.
    pub(super) index: u64,
    pub(super) entry: Result<Entry, EntryError>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Pair {
    key: String,
    #[serde(default)]
    value: Option<String>,
    modify_index: u64,
}

/// The answer to a question for one key or for all. What stands elsewhere is not ours.
pub(super) fn records(bytes: &[u8]) -> Result<Vec<Record>, serde_json::Error> {
    let pairs: Vec<Pair> = serde_json::from_slice(bytes)?;
    let mut records: Vec<Record> = pairs.into_iter().filter_map(record).collect();
    records.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(records)
}

fn record(pair: Pair) -> Option<Record> {
    let name: Name = pair.key.strip_prefix(PREFIX)?.parse().ok()?;
    let entry = STANDARD
        .decode(pair.value.unwrap_or_default())
        .map_err(|error| EntryError::Malformed(serde_json::Error::custom(error)))
        .and_then(|json| Entry::from_json(&json))
        .and_then(|entry| {
            if entry.name == name {
                Ok(entry)
            } else {
                Err(EntryError::Name {
                    found: entry.name,
                    expected: name.clone(),
                })
            }
        });
    Some(Record {
        name,
        index: pair.modify_index,
        entry,
    })
}

/// The answer to several changes that are made together or not at all.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// They are made. Of the first key: when it was last changed, as Consul counts; 0 where that was not told.
    Done(u64),
    /// Somebody else has changed the key meanwhile.
    Stale,
    /// They are not allowed, in Consul's words.
    Denied(String),
    /// Something else stood in the way, in Consul's words.
    Failed(String),
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Transaction {
    #[serde(default)]
    results: Option<Vec<Changed>>,
    #[serde(default)]
    errors: Option<Vec<Problem>>,
}

#[derive(Deserialize)]
struct Changed {
    #[serde(rename = "KV", default)]
    pair: Option<Index>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Index {
    #[serde(default)]
    modify_index: u64,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Problem {
    #[serde(default)]
    what: String,
}

pub(super) fn outcome(bytes: &[u8]) -> Result<Outcome, serde_json::Error> {
    let Transaction { results, errors } = serde_json::from_slice(bytes)?;
    let errors = errors.unwrap_or_default();
    let says = |sign: &str| errors.iter().find(|problem| problem.what.contains(sign));
    if let Some(problem) = says("ermission denied").or_else(|| says("ACL not found")) {
        return Ok(Outcome::Denied(problem.what.clone()));
    }
    if says("stale").is_some() || says("doesn't exist").is_some() {
        return Ok(Outcome::Stale);
    }
    if let Some(problem) = errors.into_iter().next() {
        return Ok(Outcome::Failed(problem.what));
    }
    let first = results.unwrap_or_default().into_iter().next();
    let index = first
        .and_then(|changed| changed.pair)
        .map_or(0, |pair| pair.modify_index);
    Ok(Outcome::Done(index))
}

/// Reads an answer in every way that answers are read; for fuzzing.
#[doc(hidden)]
pub fn read_back(bytes: &[u8]) {
    for record in records(bytes).unwrap_or_default() {
        if let Ok(entry) = record.entry {
            assert_eq!(entry.name, record.name);
            let _ = entry.believed_until();
        }
    }
    let _ = outcome(bytes);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn json_of(name: &str) -> String {
        let entry = Entry::new(name.parse().unwrap(), "Dask", "one".parse().unwrap(), Vec::new());
        STANDARD.encode(entry.to_json().unwrap())
    }

    #[test]
    fn what_is_no_entry_does_not_hide_the_others() {
        let answer = json!([
            { "Key": "seaway/entries/two", "Value": json_of("two"), "ModifyIndex": 7, "Flags": 0 },
            { "Key": "seaway/entries/one", "Value": json_of("two"), "ModifyIndex": 8 },
            { "Key": "seaway/entries/three", "Value": "?", "ModifyIndex": 9 },
            { "Key": "seaway/entries/four", "Value": null, "ModifyIndex": 10 },
            { "Key": "seaway/entries/Not A Name", "Value": json_of("two"), "ModifyIndex": 11 },
            { "Key": "other", "Value": null, "ModifyIndex": 12 },
        ]);
        let found = records(answer.to_string().as_bytes()).unwrap();
        let seen: Vec<_> = found
            .iter()
            .map(|record| (record.name.as_str(), record.index, record.entry.is_ok()))
            .collect();
        assert_eq!(
            seen,
            [
                ("four", 10, false),
                ("one", 8, false),
                ("three", 9, false),
                ("two", 7, true)
            ]
        );
    }

    #[test]
    fn outcomes_of_changes() {
        let of = |text: &str| outcome(text.as_bytes()).unwrap();
        assert_eq!(
            of(
                r#"{"Results":[{"KV":{"ModifyIndex":8,"Value":null}},{"KV":{"ModifyIndex":8}}],"Errors":null}"#
            ),
            Outcome::Done(8)
        );
        assert_eq!(of(r#"{"Results":[],"Errors":null}"#), Outcome::Done(0));
        assert_eq!(
            of(
                r#"{"Results":null,"Errors":[{"OpIndex":0,"What":"failed to set key \"a\", index is stale"}]}"#
            ),
            Outcome::Stale
        );
        assert_eq!(
            of(r#"{"Results":null,"Errors":[{"OpIndex":0,"What":"Permission denied"}]}"#),
            Outcome::Denied("Permission denied".into())
        );
        assert!(matches!(of(r#"{"Errors":[{"What":"no"}]}"#), Outcome::Failed(_)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            read_back(&bytes);
        }

        #[test]
        fn no_value_panics(key in "(seaway/entries/)?[a-z]{0,3}", value in prop_oneof![
            Just(json!(json_of("a"))), "[A-Za-z0-9+/=]{0,40}".prop_map(|text| json!(text)), Just(json!(null)), Just(json!(1)),
        ], index in prop_oneof![any::<u64>().prop_map(|n| json!(n)), Just(json!(-1))]) {
            read_back(json!([{ "Key": key, "Value": value, "ModifyIndex": index }]).to_string().as_bytes());
        }
    }
}
