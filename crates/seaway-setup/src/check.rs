//! A look for mistakes in manifests that an API server takes without a word, and that show hours later as something else:
//! a binding to a role that is not there grants nothing, a Secret that nobody made leaves a pod waiting.

mod access;
mod certificates;
mod cluster;
mod commands;
mod names;
mod object;
mod pods;
mod read;
mod services;
mod versions;

use serde::Serialize;

pub use cluster::namespace;
pub use read::Source;

use object::{Object, World};

/// A mistake.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// Where it stands: a file with a line, or the cluster.
    pub place: String,
    /// Line in the file; absent in a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The object: `ClusterRoleBinding arkouda`.
    pub object: String,
    /// Short name of the rule.
    pub rule: &'static str,
    /// What is wrong.
    pub what: String,
    /// What comes of it.
    pub why: &'static str,
    /// What to do.
    pub hint: String,
}

/// What was looked at, and what was found.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Checked {
    /// How many objects there were.
    pub objects: usize,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// What could not be looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// What else there is, for what the files name and do not hold.
#[derive(Debug, Default)]
pub struct Surroundings {
    pub(crate) world: World,
    pub(crate) notes: Vec<String>,
}

/// Looks at files. What they name may also be in the surroundings.
#[must_use]
pub fn files(sources: &[Source], surroundings: Surroundings) -> Checked {
    let mut findings = Vec::new();
    let mut world = surroundings.world;
    let mut count = 0;
    for source in sources {
        let read = read::read(source);
        count += read.objects.len();
        findings.extend(read.findings);
        findings.extend(commands::check(source));
        world.objects.extend(read.objects);
        world.mentioned.extend(read.mentioned);
    }
    judge(&world, findings, count, surroundings.notes)
}

/// Looks at what is in a namespace.
#[must_use]
pub fn surroundings(surroundings: Surroundings) -> Checked {
    let mut world = surroundings.world;
    for object in &mut world.objects {
        // Those of the whole cluster are there to be named; who wrote them is somebody else.
        object.judged = object.kind() != "ClusterRole";
    }
    let count = world.objects.len();
    judge(&world, Vec::new(), count, surroundings.notes)
}

fn judge(world: &World, mut findings: Vec<Finding>, objects: usize, notes: Vec<String>) -> Checked {
    for object in world.objects.iter().filter(|object| object.judged) {
        let mut found = Found {
            object,
            findings: &mut findings,
        };
        versions::check(&mut found);
        access::check(&mut found, world);
        names::check(&mut found, world);
        services::check(&mut found, world);
        pods::check(&mut found);
        certificates::check(&mut found);
    }
    findings.sort();
    findings.dedup();
    Checked {
        objects,
        findings,
        notes,
    }
}

/// Takes the findings about one object.
struct Found<'a> {
    object: &'a Object,
    findings: &'a mut Vec<Finding>,
}

impl Found<'_> {
    fn add(
        &mut self,
        rule: &'static str,
        what: impl Into<String>,
        why: &'static str,
        hint: impl Into<String>,
    ) {
        self.findings.push(Finding {
            place: self.object.place.clone(),
            line: self.object.line,
            object: self.object.title(),
            rule,
            what: what.into(),
            why,
            hint: hint.into(),
        });
    }
}

/// The name among these that was probably meant.
fn meant<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    known
        .filter(|other| *other != name)
        .map(|other| {
            // `pod-reader` and `arkouda-pod-reader` are closer than they look.
            let within = other.contains(name) || name.contains(other);
            (
                if within {
                    0.95
                } else {
                    strsim::jaro_winkler(name, other)
                },
                other,
            )
        })
        .filter(|(closeness, _)| *closeness > 0.8)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, other)| other.to_owned())
}

/// Words for a name that was probably meant.
fn or_meant(meant: Option<String>, otherwise: &str) -> String {
    meant.map_or_else(
        || otherwise.to_owned(),
        |name| format!("`{name}` is probably meant; {otherwise}"),
    )
}
