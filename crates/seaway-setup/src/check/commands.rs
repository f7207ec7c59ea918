//! Commands in scripts and instructions that do not do what they are there for any more, or tell a secret.

use super::{Finding, Source};

/// A part of a command, the name of the rule, what is wrong, why, and what to do.
const PARTS: &[(&str, &str, &str, &str, &str)] = &[
    (
        "--docker-password=",
        "plain-secret",
        "the password is an argument of the command",
        "it stands in the list of processes and in the shell's history",
        "use `seaway setup kubernetes --pull-secret NAME --registry-password-file FILE`",
    ),
    (
        "helm init",
        "version",
        "`helm init` is gone with Helm 2",
        "the command fails; and Helm 2 had all rights in the cluster",
        "use Helm 3 or later, which needs no preparation",
    ),
    (
        "helm install --name",
        "version",
        "`helm install --name` is gone with Helm 2",
        "the command fails",
        "use `helm install NAME CHART`",
    ),
    (
        "--insecure-registry",
        "insecure",
        "nodes are told to trust the registry without a certificate",
        "whoever is on the way can give the nodes another image",
        "give the nodes the registry's authority; `seaway setup kubernetes --own-registry` says how",
    ),
    (
        "--privileged",
        "host",
        "a container is started with all rights",
        "whoever gets into it owns the machine",
        "use a claim of the cluster for shared data",
    ),
];

pub(super) fn check(source: &Source) -> Vec<Finding> {
    if !source.has_commands() {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut add = |line: usize, rule, what: String, why, hint: String| {
        found.push(Finding {
            place: source.name.clone(),
            line: Some(line),
            object: "command".to_owned(),
            rule,
            what,
            why,
            hint,
        });
    };
    let mut certified: Option<(usize, String)> = None;
    for (number, line) in source.text.lines().enumerate() {
        for (part, rule, what, why, hint) in PARTS {
            if line.contains(part) {
                add(number + 1, rule, (*what).to_owned(), why, (*hint).to_owned());
            }
        }
        if let Some(host) = after(line, "subjectAltName")
            .and_then(|rest| after(rest, "DNS:"))
            .map(host)
        {
            certified = Some((number + 1, host.to_owned()));
        }
        if let Some(connected) = after(line, "s_client")
            .and_then(|rest| after(rest, "-connect "))
            .map(host)
            && let Some((made, name)) = &certified
            && name != connected
        {
            add(
                number + 1,
                "host-name",
                format!("it is reached as `{connected}`, and its certificate (line {made}) is for `{name}`"),
                "clients that check the name refuse the connection",
                "put every name and address that it is reached by into the certificate; `seaway setup kubernetes \
                 --own-registry` does"
                    .to_owned(),
            );
        }
    }
    found
}

fn after<'a>(text: &'a str, mark: &str) -> Option<&'a str> {
    text.split_once(mark).map(|(_, rest)| rest)
}

fn host(text: &str) -> &str {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || "-.".contains(c)))
        .next()
        .unwrap_or_default()
}
