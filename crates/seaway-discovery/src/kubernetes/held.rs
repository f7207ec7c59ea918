//! What this process holds, and whether it still stands there as it was put.
//!
//! A renewal moves the end of the Lease and nothing else. Once in a lease what stands beside the Lease is looked at as
//! well, in case somebody has removed or changed a part of it: one look is for many entries, and compares versions. So
//! a thousand entries cost little more than their renewals.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures_util::future::try_join_all;
use seaway_model::Name;
use serde::Deserialize;
use tokio::time::Instant;

use super::{KubernetesDirectory, api::Resource, sweep::List};
use crate::{Entry, Result};

/// How many entries are looked at in one request: their names stand in its URL.
const TOGETHER: usize = 50;

/// An object in the version in which we know it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    pub(super) resource: Resource,
    pub(super) name: String,
    pub(super) version: String,
}

/// An entry that we hold.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) entry: Entry,
    /// Version of its Lease.
    pub(super) version: String,
    /// What stands beside the Lease; absent where versions do not tell whether it is as it should be.
    pub(super) marks: Option<BTreeSet<Mark>>,
    /// When it was last seen to be as it should be.
    pub(super) confirmed: Instant,
}

/// An object that is looked at: of the many only what makes the mark is read.
#[derive(Debug, Deserialize)]
struct Seen {
    metadata: SeenMetadata,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SeenMetadata {
    name: String,
    resource_version: String,
    labels: SeenLabels,
}

#[derive(Debug, Deserialize)]
struct SeenLabels {
    // As `ENTRY` has it.
    #[serde(rename = "seaway.dev/entry")]
    entry: Name,
}

/// All that we hold.
#[derive(Debug, Default)]
pub(super) struct Held(Mutex<BTreeMap<Name, Kept>>);

impl Held {
    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<Name, Kept>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn keep(&self, kept: Kept) {
        self.with(|all| all.insert(kept.entry.name.clone(), kept));
    }

    pub(super) fn forget(&self, name: &Name) {
        self.with(|all| all.remove(name));
    }

    /// Version of the Lease of an entry, when moving its end is all there is to do.
    pub(super) fn version(&self, entry: &Entry, lease: Duration) -> Option<String> {
        self.with(|all| {
            let kept = all.get(&entry.name)?;
            let looked_at = kept.marks.is_some() || kept.confirmed.elapsed() < lease;
            (looked_at && kept.entry.announces_the_same(entry)).then(|| kept.version.clone())
        })
    }

    pub(super) fn extended(&self, name: &Name, version: String) {
        self.with(|all| {
            if let Some(kept) = all.get_mut(name) {
                kept.version = version;
            }
        });
    }

    /// The entries to look at when this one has not been looked at for as long as a lease: it, and others whose turn
    /// comes soon.
    fn due(&self, name: &Name, lease: Duration) -> Vec<Name> {
        self.with(|all| {
            let age = |kept: &Kept| kept.confirmed.elapsed();
            if all.get(name).is_none_or(|kept| age(kept) < lease) {
                return Vec::new();
            }
            let mut due: Vec<(&Name, &Kept)> = all
                .iter()
                .filter(|(_, kept)| kept.marks.is_some() && age(kept) >= lease / 2)
                .collect();
            // The one it is about first, then those that have waited longest.
            due.sort_by_key(|(other, kept)| (*other != name, kept.confirmed));
            due.into_iter()
                .take(TOGETHER)
                .map(|(name, _)| name.clone())
                .collect()
        })
    }

    /// Compares what was found in a look that began then with what we know. What is not as it was is forgotten, so that
    /// its next renewal puts it.
    fn compare(&self, names: &[Name], mut found: BTreeMap<Name, BTreeSet<Mark>>, begun: Instant) {
        self.with(|all| {
            for name in names {
                let found = found.remove(name).unwrap_or_default();
                match all.get_mut(name) {
                    // Put in the meantime: the look is older than what we know.
                    Some(kept) if kept.confirmed >= begun => {}
                    Some(kept) if kept.marks.as_ref() == Some(&found) => kept.confirmed = begun,
                    _ => drop(all.remove(name)),
                }
            }
        });
    }

    fn has(&self, name: &Name) -> bool {
        self.with(|all| all.contains_key(name))
    }
}

impl KubernetesDirectory {
    /// Whether everything of an entry that we hold is as we put it, as far as it was or is looked at.
    pub(super) async fn stands(&self, name: &Name) -> Result<bool> {
        let names = self.held.due(name, self.lease);
        if names.is_empty() {
            return Ok(self.held.has(name));
        }
        let (begun, selected) = (Instant::now(), &names);
        let looks = self.kinds().map(|resource| async move {
            let list: List<Seen> = self.select(resource, selected).await?;
            Ok((resource, list))
        });
        let mut found: BTreeMap<Name, BTreeSet<Mark>> = BTreeMap::new();
        for (resource, list) in try_join_all(looks).await? {
            for Seen { metadata } in list.items {
                found.entry(metadata.labels.entry).or_default().insert(Mark {
                    resource,
                    name: metadata.name,
                    version: metadata.resource_version,
                });
            }
        }
        self.held.compare(&names, found, begun);
        Ok(self.held.has(name))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::kubernetes::objects;

    const LEASE: Duration = Duration::from_secs(30);

    fn name(number: usize) -> Name {
        format!("engine-{number}").parse().unwrap()
    }

    fn mark(number: usize, version: &str) -> Mark {
        Mark {
            resource: Resource::Service,
            name: name(number).to_string(),
            version: version.to_owned(),
        }
    }

    fn entry(number: usize) -> Entry {
        Entry::new(name(number), "Command", "one".parse().unwrap(), Vec::new())
    }

    fn keep(held: &Held, number: usize, marks: Option<BTreeSet<Mark>>) {
        held.keep(Kept {
            entry: entry(number),
            version: "1".into(),
            marks,
            confirmed: Instant::now(),
        });
    }

    #[test]
    fn what_is_looked_at_is_found_by_the_label_of_the_entry() {
        let seen = json!({ "metadata": {
            "name": "eng",
            "resourceVersion": "7",
            "labels": { "team": "a", objects::ENTRY: "eng" },
            "managedFields": [{ "manager": "seaway", "fieldsV1": { "f:spec": {} } }],
        } });
        let seen: Seen = serde_json::from_value(seen).unwrap();
        assert_eq!(seen.metadata.labels.entry.as_str(), "eng");
        assert_eq!(seen.metadata.resource_version, "7");
    }

    #[tokio::test(start_paused = true)]
    async fn many_are_looked_at_together_and_each_once_in_a_lease() {
        let held = Held::default();
        for number in 0..120 {
            keep(&held, number, Some(BTreeSet::from([mark(number, "1")])));
        }
        tokio::time::advance(Duration::from_secs(29)).await;
        assert!(held.due(&name(7), LEASE).is_empty());
        tokio::time::advance(Duration::from_secs(1)).await;
        let mut looks = 0;
        for number in 0..120 {
            let names = held.due(&name(number), LEASE);
            if names.is_empty() {
                continue;
            }
            assert_eq!(names[0], name(number));
            looks += 1;
            let found = names.iter().map(|name| {
                let number = name.as_str()[7..].parse().unwrap();
                (name.clone(), BTreeSet::from([mark(number, "1")]))
            });
            held.compare(&names, found.collect(), Instant::now());
        }
        assert_eq!(looks, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_as_it_was_is_put_again() {
        let held = Held::default();
        for number in 0..3 {
            keep(&held, number, Some(BTreeSet::from([mark(number, "1")])));
        }
        tokio::time::advance(LEASE).await;
        let names = held.due(&name(0), LEASE);
        assert_eq!(names.len(), 3);
        let begun = Instant::now();
        tokio::time::advance(Duration::from_secs(1)).await;
        // One is as it was, one has changed, and one is gone; the look was before that one was put again.
        keep(&held, 2, Some(BTreeSet::from([mark(2, "2")])));
        let found = [(0, "1"), (1, "9")];
        let found = found.map(|(number, version)| (name(number), BTreeSet::from([mark(number, version)])));
        held.compare(&names, found.into(), begun);
        assert!(held.has(&name(0)) && !held.has(&name(1)) && held.has(&name(2)));
        assert_eq!(held.version(&entry(0), LEASE).as_deref(), Some("1"));
        assert_eq!(held.version(&entry(1), LEASE), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_versions_do_not_tell_is_put_once_in_a_lease() {
        let held = Held::default();
        keep(&held, 0, None);
        assert!(held.version(&entry(0), LEASE).is_some());
        tokio::time::advance(LEASE).await;
        assert_eq!(held.version(&entry(0), LEASE), None);
    }
}
