//! The steps, on a real API server with its controllers.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "Clippy takes the helpers of integration tests for production code"
)]

mod certificate;
mod others;
#[path = "../support/mod.rs"]
mod support;

use std::{os::unix::fs::PermissionsExt, time::Duration};

use k8s_openapi::api::{core::v1::Namespace, rbac::v1::Role};
use kube::{
    Api, Client,
    api::{Patch, PatchParams},
};
use seaway_discovery::kubernetes::access::{self, Work};
use seaway_model::discovery::KubernetesPlacement;
use seaway_setup::{
    Accounts, Certificate, Did, KeyPair, Login, PodSecurity, PullSecret, Request, Roles, Secret, Token,
};
use serde_json::json;
use support::{Space, config_of, did, kubeconfig, may, until, who};

const ANNOUNCE: Work = Work::Announce {
    placement: KubernetesPlacement::Outside,
    legacy_endpoints: false,
    selector: false,
};

/// A word that is found nowhere by chance.
const PASSWORD: &str = "correct-horse-battery";

/// What `seaway setup kubernetes` does without options.
fn least() -> Request {
    Request {
        namespace: Some(PodSecurity::Restricted),
        accounts: Accounts {
            name: Some("seaway".into()),
            ..Accounts::default()
        },
        roles: Some(Roles {
            name: "seaway".into(),
            work: vec![ANNOUNCE],
            cluster_wide: false,
        }),
        patience: Some(Duration::from_secs(30)),
        ..Request::default()
    }
}

fn certificate(space: &Space) -> Certificate {
    Certificate {
        user: format!("arkouda@{}", space.name),
        groups: vec!["engines".into()],
        secret: Some("arkouda-tls".into()),
        folder: Some(space.files.path().join("tls")),
        duration: Duration::from_secs(86_400),
        approve: true,
    }
}

/// Everything but a registry.
fn all(space: &Space) -> Request {
    Request {
        accounts: Accounts {
            token: Some(Token {
                file: space.files.path().join("token"),
                duration: Duration::from_secs(3600),
            }),
            token_secret: Some("arkouda-token".into()),
            authority: Some(space.files.path().join("ca.crt")),
            ..least().accounts
        },
        ssh: Some(KeyPair {
            secret: "arkouda-ssh".into(),
        }),
        certificate: Some(certificate(space)),
        pull: Some(PullSecret {
            secret: "arlregcred".into(),
            login: Login {
                server: "registry.test:5000".into(),
                user: "me".into(),
                password: Secret::new(PASSWORD.into()),
            },
            attach: true,
        }),
        ..least()
    }
}

/// Whether somebody is allowed what announcing needs in the namespace, and nothing else.
async fn is_least(client: &Client, namespace: &str) {
    for permission in access::needed(&[ANNOUNCE]) {
        for verb in permission.verbs {
            until("the API server knows the role", async || {
                may(client, verb, permission.group, permission.resource, namespace).await
            })
            .await;
            assert!(!may(client, verb, permission.group, permission.resource, "default").await);
        }
    }
    for (verb, group, resource) in [
        ("get", "", "secrets"),
        ("list", "", "pods"),
        ("create", "", "pods"),
        ("update", "", "services"),
        ("watch", "coordination.k8s.io", "leases"),
        ("create", "rbac.authorization.k8s.io", "rolebindings"),
        ("create", "", "serviceaccounts/token"),
    ] {
        assert!(
            !may(client, verb, group, resource, namespace).await,
            "{verb} {resource}"
        );
    }
}

#[tokio::test]
async fn everything_is_made_proves_who_one_is_and_allows_the_least() {
    let space = Space::new().await;
    let request = all(&space);
    let report = space.made(&request).await;
    for step in &report.steps {
        assert_eq!(step.did, Did::Created, "{step:?}");
    }

    let namespaces: Api<Namespace> = Api::all(space.client.clone());
    let labels = namespaces
        .get(&space.name)
        .await
        .unwrap()
        .metadata
        .labels
        .unwrap();
    assert_eq!(labels["pod-security.kubernetes.io/enforce"], "restricted");

    let files = space.files.path();
    for secret in ["token", "tls/tls.key"] {
        let mode = files.join(secret).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{secret}");
    }
    let authority = std::fs::read_to_string(files.join("ca.crt")).unwrap();
    assert!(authority.starts_with("-----BEGIN CERTIFICATE-----"));

    // The certificate, from the files; it is the one in the Secret.
    let key = space.secret("arkouda-tls", "tls.key").await.unwrap();
    assert_eq!(std::fs::read(files.join("tls/tls.key")).unwrap(), key);
    let mut config = config_of(kubeconfig()).await;
    config.auth_info = kube::config::AuthInfo {
        client_certificate: Some(files.join("tls/tls.crt").display().to_string()),
        client_key: Some(files.join("tls/tls.key").display().to_string()),
        ..kube::config::AuthInfo::default()
    };
    let client = Client::try_from(config.clone()).unwrap();
    assert_eq!(who(&client).await, format!("arkouda@{}", space.name));
    is_least(&client, &space.name).await;

    // The bound token, and the lasting one.
    let bound = std::fs::read_to_string(files.join("token")).unwrap();
    let lasting = space.secret("arkouda-token", "token").await.unwrap();
    for token in [bound.trim().to_owned(), String::from_utf8(lasting).unwrap()] {
        config.auth_info = kube::config::AuthInfo {
            token: Some(token.into()),
            ..kube::config::AuthInfo::default()
        };
        let client = Client::try_from(config.clone()).unwrap();
        assert_eq!(
            who(&client).await,
            format!("system:serviceaccount:{}:seaway", space.name)
        );
        is_least(&client, &space.name).await;
    }

    // The key pair is one that SSH takes, under the names that Arkouda's charts copy.
    let private = files.join("key");
    std::fs::write(&private, space.secret("arkouda-ssh", "id_rsa").await.unwrap()).unwrap();
    std::fs::set_permissions(&private, PermissionsExt::from_mode(0o600)).unwrap();
    let public = space.secret("arkouda-ssh", "authorized_keys").await.unwrap();
    match std::process::Command::new("ssh-keygen")
        .arg("-yf")
        .arg(&private)
        .output()
    {
        Ok(output) => {
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            assert!(
                public.starts_with(output.stdout.trim_ascii_end()),
                "both halves belong together"
            );
        }
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}"),
    }

    // The login, and who uses it.
    let login = space.secret("arlregcred", ".dockerconfigjson").await.unwrap();
    let login: serde_json::Value = serde_json::from_slice(&login).unwrap();
    assert_eq!(login["auths"]["registry.test:5000"]["password"], PASSWORD);
    let account = space
        .api::<k8s_openapi::api::core::v1::ServiceAccount>()
        .get("seaway")
        .await
        .unwrap();
    assert_eq!(account.image_pull_secrets.unwrap()[0].name, "arlregcred");

    // Nothing of it stands in what is told.
    let told = format!(
        "{report:?} {} {request:?}",
        serde_json::to_string(&report).unwrap()
    );
    for secret in [PASSWORD, bound.trim(), std::str::from_utf8(&key).unwrap()] {
        assert!(!told.contains(secret));
    }
    space.remove(&request).await;
}

#[tokio::test]
async fn a_second_run_writes_nothing_and_removal_leaves_nothing() {
    let space = Space::new().await;
    let mut request = all(&space);
    request.roles.as_mut().unwrap().cluster_wide = true;
    space.made(&request).await;
    let versions = space.versions().await;
    let before = std::fs::read(space.files.path().join("token")).unwrap();
    let report = space.made(&request).await;
    for step in &report.steps {
        assert_eq!(step.did, Did::Unchanged, "{step:?}");
    }
    assert_eq!(space.versions().await, versions);
    assert_eq!(std::fs::read(space.files.path().join("token")).unwrap(), before);

    // What would be removed is all that was made.
    request.dry_run = true;
    let shown = space.remove(&request).await;
    request.dry_run = false;
    assert_eq!(space.versions().await, versions);
    let removed = space.remove(&request).await;
    let objects = |report: &seaway_setup::Report| -> Vec<String> {
        report.steps.iter().map(|step| step.object.clone()).collect()
    };
    assert_eq!(objects(&shown), objects(&removed));
    assert!(
        removed.steps.iter().all(|step| step.did == Did::Removed),
        "{removed:#?}"
    );
    assert!(!space.has_namespace().await, "{removed:#?}");
    let left = space.versions().await;
    assert!(left.iter().all(|one| !one.contains(&space.name)), "{left:?}");
    assert_eq!(space.remove(&request).await.steps, []);
}

#[tokio::test]
async fn a_dry_run_shows_all_and_writes_nothing() {
    let space = Space::new().await;
    let mut request = all(&space);
    request.dry_run = true;
    let report = space.made(&request).await;
    assert!(!space.has_namespace().await);
    assert_eq!(std::fs::read_dir(space.files.path()).unwrap().count(), 0);
    assert!(
        report.steps.iter().all(|step| step.did == Did::WouldCreate),
        "{report:#?}"
    );
    let kinds: Vec<&str> = report
        .objects
        .iter()
        .map(|one| one["kind"].as_str().unwrap())
        .collect();
    assert_eq!(
        kinds,
        [
            "Namespace",
            "ServiceAccount",
            "Role",
            "RoleBinding",
            "Secret",
            "Secret",
            "CertificateSigningRequest",
            "Secret"
        ]
    );
    for secret in report.objects.iter().filter(|one| one["kind"] == "Secret") {
        for value in secret["data"].as_object().into_iter().flatten() {
            assert_eq!(value.1, "[redacted]");
        }
    }

    // Where the namespace is there, the API server has its say.
    space.make_namespace().await;
    request.pull.as_mut().unwrap().secret = "Not_A_Name".into();
    let (_, outcome) = space.setup(&request).await;
    let error = outcome.unwrap_err().to_string();
    assert!(error.contains("Not_A_Name") && error.contains("422"), "{error}");
    request.pull = None;
    let versions = space.versions().await;
    let report = space.made(&request).await;
    assert_eq!(did(&report, "Role seaway"), Did::WouldCreate);
    assert_eq!(space.versions().await, versions);
}

#[tokio::test]
async fn what_somebody_changed_is_made_right_again() {
    let space = Space::new().await;
    let mut request = least();
    space.made(&request).await;
    let roles: Api<Role> = space.api();
    let rules = roles.get("seaway").await.unwrap().rules;
    let more = json!({ "rules": [{ "apiGroups": ["*"], "resources": ["*"], "verbs": ["*"] }] });
    roles
        .patch("seaway", &PatchParams::default(), &Patch::Merge(&more))
        .await
        .unwrap();
    request.dry_run = true;
    assert_eq!(did(&space.made(&request).await, "Role seaway"), Did::WouldChange);
    request.dry_run = false;
    let report = space.made(&request).await;
    assert_eq!(did(&report, "Role seaway"), Did::Changed);
    assert_eq!(did(&report, "RoleBinding seaway"), Did::Unchanged);
    assert_eq!(roles.get("seaway").await.unwrap().rules, rules);
    // Asked for something else, it allows that.
    request.roles.as_mut().unwrap().work = vec![Work::Discover];
    assert_eq!(did(&space.made(&request).await, "Role seaway"), Did::Changed);
    assert_eq!(roles.get("seaway").await.unwrap().rules.unwrap().len(), 1);
    space.remove(&request).await;
}
