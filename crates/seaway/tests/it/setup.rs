//! `seaway setup`: a namespace is made ready, twice, and taken out; mistakes are found; nothing secret is told.

use std::{fs, os::unix::fs::PermissionsExt};

use serde_json::Value;

use crate::harness::{
    Heavy, Home, Invocation, Output,
    services::{self, Cluster},
};

/// Words that are found nowhere by chance.
const PASSWORD: &str = "correct-horse-battery";
const OTHER_PASSWORD: &str = "staple-correct-horse";

struct Place {
    home: Home,
    cluster: Cluster,
    kubectl: String,
}

impl Place {
    fn new() -> Self {
        Self {
            home: Home::new(),
            cluster: Cluster::control_plane(),
            kubectl: services::program("kubectl"),
        }
    }

    fn setup(&self, words: &[&str]) -> Invocation {
        self.home
            .seaway(["setup"])
            .arguments(words)
            .env("KUBECONFIG", &self.cluster.kubeconfig)
            .env("SEAWAY_LOG", "trace")
    }

    fn kubectl(&self, words: &[&str]) -> Output {
        Invocation::new(&self.kubectl, words)
            .env("KUBECONFIG", &self.cluster.kubeconfig)
            .run()
    }

    /// A value of a Secret, as it is there: in base64.
    fn secret(&self, name: &str, key: &str) -> String {
        let path = format!("jsonpath={{.data.{}}}", key.replace('.', "\\."));
        let get = [
            "get",
            "secret",
            name,
            "--namespace",
            "analytics",
            "--output",
            &path,
        ];
        self.kubectl(&get).succeeded().stdout
    }
}

/// What was done about each object.
fn done(output: &Output) -> Vec<(String, String)> {
    let report: Value = output.json();
    let steps = report["steps"].as_array().unwrap();
    let text = |step: &Value, field: &str| step[field].as_str().unwrap().to_owned();
    steps
        .iter()
        .map(|step| (text(step, "object"), text(step, "did")))
        .collect()
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story, told in order")]
fn a_namespace_is_made_ready_once_and_nothing_secret_is_told() {
    let _heavy = Heavy::wait();
    let place = Place::new();
    let file = |name: &str| place.home.path(name).display().to_string();
    let (token, authority, tls, registry) = (file("token"), file("ca.crt"), file("tls"), file("registry"));
    let words = [
        "kubernetes",
        "--namespace",
        "analytics",
        "--ssh",
        "--certificate",
        "arkouda",
        "--certificate-secret",
        "arkouda-tls",
        "--certificate-files",
        &tls,
        "--token",
        &token,
        "--token-secret",
        "arkouda-token",
        "--authority",
        &authority,
        "--pull-secret",
        "arlregcred",
        "--registry",
        "registry.test",
        "--registry-user",
        "me",
        "--own-registry",
        "--registry-files",
        &registry,
        "--no-automount",
    ];
    let words = |more: &[&'static str]| [words.as_slice(), more].concat();
    let with_password = |invocation: Invocation| invocation.env("SEAWAY_REGISTRY_PASSWORD", PASSWORD);
    let mut told = Vec::new();

    // Shown first: all objects fit together, and nothing is written.
    let shown = with_password(place.setup(&words(&["--dry-run"])))
        .run()
        .succeeded();
    assert!(place.kubectl(&["get", "namespace", "analytics"]).code != Some(0));
    assert!(!place.home.path("token").exists());
    let checked = place
        .setup(&["check", "-f", "-"])
        .input(shown.stdout.clone())
        .run()
        .succeeded();
    assert!(checked.stdout.contains("0 findings in 1"), "{checked}");
    told.push(shown);

    // Made. Nothing runs pods here, so that the registry is not waited for.
    let made = with_password(place.setup(&words(&["--timeout", "20s", "--output", "json"]))).run();
    assert!(
        made.stderr.contains("Deployment registry is not available"),
        "{made}"
    );
    assert!(made.stderr.contains("TRACE"), "the log is on");
    for (object, did) in done(&made) {
        assert_eq!(did, "created", "{object}");
    }
    for secret in [
        &token,
        &format!("{tls}/tls.key"),
        &format!("{registry}/config.json"),
    ] {
        let mode = fs::metadata(secret).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }
    // The token and the certificate are somebody, for a real client.
    let view = [
        "config",
        "view",
        "--raw",
        "--output",
        "jsonpath={.clusters[0].cluster.server}",
    ];
    let server = place.kubectl(&view).succeeded().stdout;
    let who = |more: &[&str]| {
        let words = [
            "auth",
            "whoami",
            "--output",
            "jsonpath={.status.userInfo.username}",
            "--server",
            &server,
        ];
        let words = [words.as_slice(), &["--certificate-authority", &authority], more].concat();
        Invocation::new(&place.kubectl, words)
            .env("KUBECONFIG", "/dev/null")
            .run()
            .succeeded()
            .stdout
    };
    let kept_token = fs::read_to_string(&token).unwrap();
    assert_eq!(
        who(&["--token", kept_token.trim()]),
        "system:serviceaccount:analytics:seaway"
    );
    let (certificate, key) = (format!("{tls}/tls.crt"), format!("{tls}/tls.key"));
    let by_certificate = ["--client-certificate", certificate.as_str(), "--client-key", &key];
    assert_eq!(who(&by_certificate), "arkouda");
    told.push(made);

    // Again: nothing is written, neither there nor here.
    let versions = || {
        let kinds = "all,secrets,configmaps,serviceaccounts,roles,rolebindings,csr";
        let columns = "custom-columns=:kind,:metadata.name,:metadata.resourceVersion";
        let get = [
            "get",
            kinds,
            "--namespace",
            "analytics",
            "--no-headers",
            "--output",
            columns,
        ];
        place.kubectl(&get).succeeded().stdout
    };
    let before = versions();
    let again = with_password(place.setup(&words(&["--no-wait", "--output", "json"])))
        .run()
        .succeeded();
    for (object, did) in done(&again) {
        assert_eq!(did, "unchanged", "{object}");
    }
    assert_eq!(versions(), before);
    assert_eq!(fs::read_to_string(&token).unwrap(), kept_token);
    told.push(again);

    // Another password, from standard input.
    let changed = place
        .setup(&words(&[
            "--no-wait",
            "--output",
            "json",
            "--registry-password-file",
            "-",
        ]))
        .input(format!("{OTHER_PASSWORD}\n"))
        .run()
        .succeeded();
    let changes: Vec<(String, String)> = done(&changed)
        .into_iter()
        .filter(|(_, did)| did != "unchanged")
        .collect();
    assert_eq!(changes, [("Secret arlregcred".to_owned(), "changed".to_owned())]);
    told.push(changed);
    let none = place.setup(&words(&["--no-wait"])).run().with_code(2);
    assert!(none.stderr.contains("SEAWAY_REGISTRY_PASSWORD"), "{none}");

    // What is there fits together.
    let checked = place
        .setup(&["check", "--namespace", "analytics"])
        .run()
        .succeeded();
    assert!(checked.stdout.contains("0 findings"), "{checked}");
    told.push(checked);

    let encoded = |name: &str, key: &str| place.secret(name, key);
    let mut secrets = vec![
        encoded("arkouda-ssh", "id_ed25519"),
        encoded("arkouda-tls", "tls.key"),
        encoded("arkouda-token", "token"),
        encoded("arlregcred", ".dockerconfigjson"),
        encoded("registry-auth", "password"),
        encoded("registry-auth", "ca.key"),
        encoded("registry-auth", "seal"),
        encoded("registry-tls", "tls.key"),
    ];
    assert!(secrets.iter().all(|secret| secret.len() > 16), "{secrets:?}");
    for secret in secrets.clone() {
        let plain = Invocation::new("base64", ["-d"])
            .input(secret)
            .run()
            .succeeded()
            .stdout;
        // Of keys, a line from the middle.
        secrets.push(plain.lines().nth(1).unwrap_or(&plain).trim().to_owned());
    }
    secrets.extend([
        PASSWORD.to_owned(),
        OTHER_PASSWORD.to_owned(),
        kept_token.trim().to_owned(),
    ]);

    let removed = place.setup(&words(&["--remove"])).run().succeeded();
    assert_ne!(
        place.kubectl(&["get", "namespace", "analytics"]).code,
        Some(0),
        "{removed}"
    );
    told.push(removed);
    for output in &told {
        for secret in &secrets {
            assert!(
                !output.stdout.contains(secret) && !output.stderr.contains(secret),
                "{secret} is told"
            );
        }
    }
    place.home.nothing_is_left();
}

#[test]
fn mistakes_are_found_in_files_and_in_a_cluster() {
    let _heavy = Heavy::wait();
    let place = Place::new();
    let binding = "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata:\n  name: reader\n  namespace: default\n\
                   roleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: Role\n  name: pod-reader\nsubjects:\n- kind: \
                   ServiceAccount\n  name: default\n  namespace: default\n";
    let role = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata:\n  name: pod-reader\n  namespace: \
                default\nrules:\n- apiGroups: [\"\"]\n  resources: [pods]\n  verbs: [get]\n";
    let file = place.home.file("binding.yaml", binding);
    let found = place
        .setup(&["check", "-f", &file])
        .without_env("KUBECONFIG")
        .run()
        .with_code(1);
    for part in [
        "binding.yaml:1: RoleBinding reader (dangling-role)",
        "`pod-reader`",
        "why:",
        "do:",
    ] {
        assert!(found.stdout.contains(part), "{found}");
    }
    let apply = |text: &str| {
        Invocation::new(&place.kubectl, ["apply", "-f", "-"])
            .env("KUBECONFIG", &place.cluster.kubeconfig)
            .input(text)
            .run()
            .succeeded()
    };
    // The API server takes it.
    apply(binding);
    let found = place
        .setup(&["check", "--namespace", "default", "--output", "json"])
        .run()
        .with_code(1);
    assert_eq!(found.json()["findings"][0]["rule"], "dangling-role", "{found}");
    // With the role there, both are right; the file too, where the cluster is asked.
    apply(role);
    place
        .setup(&["check", "--namespace", "default"])
        .run()
        .succeeded();
    place
        .setup(&["check", "-f", &file, "--namespace", "default"])
        .run()
        .succeeded();
    place
        .setup(&["check", "-f", &file])
        .without_env("KUBECONFIG")
        .run()
        .with_code(1);
    place.home.nothing_is_left();
}
