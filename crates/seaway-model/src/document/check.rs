//! What types cannot say: values that do not go together, names that are taken, texts with a form.

mod kubernetes;

use std::{
    collections::{BTreeMap, HashMap},
    net::IpAddr,
};

use super::{
    DaskSpec, Metadata, PythonSpec,
    common::{DataSpec, EndpointSpec},
    error::{MOST, Problem, shorten},
    node::{At, Node, Path, Segment, Value},
    suggest,
};
use crate::Name;

/// Looks at a typed document beside the tree it was read from, which knows the places.
pub(super) struct Checker<'n> {
    root: &'n Node,
    pub(super) problems: Vec<Problem>,
}

impl<'n> Checker<'n> {
    pub(super) const fn new(root: &'n Node) -> Self {
        Self {
            root,
            problems: Vec::new(),
        }
    }

    /// Whether enough is wrong; looking up the place of each of ten thousand problems would take long.
    const fn is_full(&self) -> bool {
        self.problems.len() > MOST
    }

    /// Notes what is wrong with the value, or the key, at a path; the message begins with the path.
    fn refuse(&mut self, at: At, path: &Path, message: &str, hint: &str) {
        if self.is_full() {
            return;
        }
        let place = self.root.locate(path, at);
        let problem = Problem::new(place, path.clone(), format!("`{path}`: {message}"));
        self.problems.push(if hint.is_empty() {
            problem
        } else {
            problem.hint(hint)
        });
    }

    pub(super) fn metadata(&mut self, metadata: &Metadata) {
        let path = Path::of(&["metadata"]);
        let labels = path.key("labels");
        for (key, value) in &metadata.labels {
            self.label_key(&labels.key(key), key);
            if !is_label_value(value) {
                let message = format!("`{}` is not the value of a label", shorten(value));
                let hint = "at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit first and last; \
                            an annotation can have any text";
                self.refuse(At::Value, &labels.key(key), &message, hint);
            }
        }
        let annotations = path.key("annotations");
        for key in metadata.annotations.keys() {
            self.label_key(&annotations.key(key), key);
        }
    }

    fn label_key(&mut self, path: &Path, key: &str) {
        let (prefix, name) = key.rsplit_once('/').unwrap_or(("x", key));
        if name.is_empty() || !is_label_value(name) || !is_domain(prefix) {
            let hint = "like `team` or `example.com/team`: at most 63 letters, digits, `-`, `_` and `.`, with a \
                        letter or digit first and last";
            self.refuse(
                At::Key,
                path,
                "this is not the key of a label or an annotation",
                hint,
            );
        }
    }

    pub(super) fn dask(&mut self, spec: &DaskSpec) {
        let path = Path::of(&["spec"]);
        self.python(&path.key("python"), &spec.python);
        for (role, variables) in [
            ("scheduler", &spec.scheduler.env),
            ("workers", &spec.workers.env),
            ("notebook", &spec.notebook.env),
        ] {
            self.variables(&path.key(role).key("env"), variables);
        }
        self.variables(&path.key("env"), &spec.env);
        self.tags(&path.key("workers").key("tags"), &spec.workers.tags);
        let cores = spec.workers.resources.cpu.map_or(1, crate::Cpu::cores_rounded_up);
        if spec.workers.threads.is_none() && cores > 1024 {
            let cpu = path.key("workers").key("resources").key("cpu");
            let message = "a worker has a thread for each of its cores, and at most 1024 of them";
            self.refuse(
                At::Value,
                &cpu,
                message,
                "give `spec.workers.threads`, or use more workers",
            );
        }
        for (key, given) in [
            ("directory", &spec.notebook.directory),
            ("tokenFile", &spec.notebook.token_file),
        ] {
            if given.as_ref().is_some_and(|path| path.as_os_str().is_empty()) {
                self.refuse(
                    At::Value,
                    &path.key("notebook").key(key),
                    "a path cannot be empty",
                    "",
                );
            }
        }
        self.data(&path.key("data"), &spec.data);
        self.data_volumes(&path.key("data"), &spec.data);
        self.kubernetes(&path.key("kubernetes"), &spec.kubernetes, &DaskSpec::ROLES);
        self.endpoints(
            &path.key("endpoints"),
            &spec.endpoints,
            "Dask",
            &DaskSpec::ENDPOINTS,
        );
    }

    fn python(&mut self, path: &Path, python: &PythonSpec) {
        if let Some(environment) = &python.environment {
            let used = [
                ("packages", !python.packages.is_empty()),
                ("version", python.version.is_some()),
            ];
            for (key, _) in used.into_iter().filter(|(_, given)| *given) {
                let message = format!("cannot be given together with `{}`", path.key("environment"));
                let hint = format!(
                    "remove one of them: an existing environment is used as it is, with its own {key}"
                );
                self.refuse(At::Key, &path.key(key), &message, &hint);
            }
            if environment.as_os_str().is_empty() {
                self.refuse(At::Value, &path.key("environment"), "a path cannot be empty", "");
            }
        }
        for (index, package) in python.packages.iter().enumerate() {
            // Above all nothing that begins with `-`: the installer would take it for one of its options.
            if !package.starts_with(|c: char| c.is_ascii_alphanumeric()) || package.contains(char::is_control)
            {
                let message = format!("`{}` is not a requirement", shorten(package));
                let hint = "write it like `pandas`, `pandas>=2,<3` or `name @ https://…` (PEP 508)";
                self.refuse(At::Value, &path.key("packages").index(index), &message, hint);
            }
        }
        if let Some(version) = &python.version
            && !is_python_version(version)
        {
            let message = format!("`{}` is not a version of Python 3", shorten(version));
            self.refuse(At::Value, &path.key("version"), &message, "write it like `3.12`");
        }
    }

    fn variables(&mut self, path: &Path, variables: &BTreeMap<String, String>) {
        for key in variables.keys() {
            let begins = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
            if !begins || key.contains(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
                let message = format!("`{}` is not the name of an environment variable", shorten(key));
                let hint = "letters, digits and `_`, not beginning with a digit";
                self.refuse_key(path, key, &message, hint);
            }
        }
    }

    /// Like `refuse`, for a key too odd to be a part of the path that is shown.
    fn refuse_key(&mut self, map: &Path, key: &str, message: &str, hint: &str) {
        if self.is_full() {
            return;
        }
        let place = self.root.locate(&map.key(key), At::Key);
        self.problems
            .push(Problem::new(place, map.key(key), format!("`{map}`: {message}")).hint(hint));
    }

    fn tags(&mut self, path: &Path, tags: &BTreeMap<String, f64>) {
        for (key, amount) in tags {
            // Dask takes them as words of the form `NAME=AMOUNT`.
            if key.is_empty() || key.contains(|c: char| !c.is_ascii_alphanumeric() && !"_-.".contains(c)) {
                let message = format!("`{}` is not the name of a resource", shorten(key));
                self.refuse_key(
                    path,
                    key,
                    &message,
                    "letters, digits, `-`, `_` and `.`, for example `GPU`",
                );
            }
            if !amount.is_finite() || *amount < 0.0 {
                self.refuse(
                    At::Value,
                    &path.key(key),
                    "an amount is a number that is not below 0",
                    "",
                );
            }
        }
    }

    fn data(&mut self, path: &Path, data: &[DataSpec]) {
        let mut names = HashMap::new();
        for (index, item) in data.iter().enumerate() {
            let here = path.index(index);
            if item.path.as_os_str().is_empty() {
                self.refuse(At::Value, &here.key("path"), "a path cannot be empty", "");
            }
            let first = *names.entry(&item.name).or_insert(index);
            if first != index {
                let message = format!("`{}` is already the name of `{}`", item.name, path.index(first));
                self.refuse(At::Value, &here.key("name"), &message, "give each its own name");
            }
        }
    }

    fn endpoints(
        &mut self,
        path: &Path,
        endpoints: &BTreeMap<Name, EndpointSpec>,
        kind: &str,
        known: &[&str],
    ) {
        let mut taken: Vec<(&Name, u16, Option<&str>)> = Vec::new();
        // In the order of the input, so that the second one is the one that is wrong.
        for (name, endpoint) in self.in_order(path, endpoints) {
            let here = path.key(name.as_str());
            if !known.contains(&name.as_str()) {
                let hint = suggest::hint(name.as_str(), "endpoints", known);
                self.refuse_key(
                    path,
                    name.as_str(),
                    &format!("{kind} has no endpoint `{name}`"),
                    &hint,
                );
                continue;
            }
            let host = endpoint.host.as_deref();
            if host.is_some_and(|host| !is_host(host)) {
                let message = format!(
                    "`{}` is not an address or a host name",
                    shorten(host.unwrap_or_default())
                );
                let hint = "write it like `0.0.0.0`, `::1` or `localhost`; the port has its own key";
                self.refuse(At::Value, &here.key("host"), &message, hint);
            }
            let Some(port) = endpoint.port else { continue };
            if let Some((other, ..)) = taken
                .iter()
                .find(|(_, used, address)| *used == port && hosts_overlap(*address, host))
            {
                let message = format!("port {port} is already that of `{}`", path.key(other.as_str()));
                self.refuse(
                    At::Value,
                    &here.key("port"),
                    &message,
                    "give each its own port, or leave it out for a free one",
                );
            }
            taken.push((name, port, host));
        }
    }

    fn in_order<'m, T>(&self, path: &Path, map: &'m BTreeMap<Name, T>) -> Vec<(&'m Name, &'m T)> {
        match self.root.get(path).map(|node| &node.value) {
            Some(Value::Map(entries)) => entries
                .iter()
                .filter_map(|entry| map.get_key_value(entry.key.as_str()))
                .collect(),
            _ => map.iter().collect(),
        }
    }
}

/// How many segments two paths have in common.
pub(super) fn common_length(path: &Path, other: &[Segment]) -> usize {
    path.0
        .iter()
        .zip(other)
        .take_while(|(one, other)| one == other)
        .count()
}

fn is_label_value(text: &str) -> bool {
    let edge = |c: Option<char>| c.is_none_or(|c| c.is_ascii_alphanumeric());
    text.len() <= 63
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
        && edge(text.chars().next())
        && edge(text.chars().last())
}

fn is_domain(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|part| {
            !part.is_empty()
                && !part.starts_with('-')
                && !part.ends_with('-')
                && part
                    .chars()
                    .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
        })
}

fn is_host(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
        || (is_domain(&text.to_lowercase()) && text.contains(|c: char| c.is_ascii_alphabetic()))
}

/// Whether the same port cannot be bound on both; names that are not addresses are compared as texts.
fn hosts_overlap(one: Option<&str>, other: Option<&str>) -> bool {
    let plain = |host: Option<&str>| match host {
        None => "127.0.0.1".to_owned(),
        Some(host) if host.eq_ignore_ascii_case("localhost") => "127.0.0.1".to_owned(),
        Some(host) => host.to_lowercase(),
    };
    let (one, other) = (plain(one), plain(other));
    match (one.parse::<IpAddr>(), other.parse::<IpAddr>()) {
        // `::` takes the port of IPv4 too.
        (Ok(IpAddr::V6(address)), Ok(_)) | (Ok(_), Ok(IpAddr::V6(address))) if address.is_unspecified() => {
            true
        }
        (Ok(one), Ok(other)) if one.is_ipv4() == other.is_ipv4() => {
            one == other || one.is_unspecified() || other.is_unspecified()
        }
        _ => one == other,
    }
}

fn is_python_version(text: &str) -> bool {
    let parts: Vec<_> = text.split('.').collect();
    parts[0] == "3"
        && parts.len() <= 3
        && parts
            .iter()
            .all(|part| (1..=3).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_port_on_the_same_host() {
        assert!(hosts_overlap(None, None));
        assert!(hosts_overlap(None, Some("localhost")));
        assert!(hosts_overlap(Some("0.0.0.0"), Some("10.0.0.1")));
        assert!(hosts_overlap(Some("10.0.0.1"), Some("::")));
        assert!(hosts_overlap(Some("Node-1"), Some("node-1")));
        assert!(!hosts_overlap(Some("10.0.0.1"), Some("10.0.0.2")));
        assert!(!hosts_overlap(Some("::1"), Some("0.0.0.0")));
        assert!(!hosts_overlap(Some("node-1"), Some("node-2")));
    }

    #[test]
    fn forms_of_texts() {
        assert!(["3", "3.12", "3.12.1"].iter().all(|text| is_python_version(text)));
        assert!(
            ["", "2.7", "3.", "3.12.1.1", "python3", "3.1234"]
                .iter()
                .all(|text| !is_python_version(text))
        );
        assert!(
            ["0.0.0.0", "::1", "node-1.example.com", "LOCALHOST"]
                .iter()
                .all(|text| is_host(text))
        );
        assert!(
            ["", "a b", "http://x", "host:80", "-a", "[::1]", "300.1.1.1"]
                .iter()
                .all(|text| !is_host(text))
        );
    }
}
