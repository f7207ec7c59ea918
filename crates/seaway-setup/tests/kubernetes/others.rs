//! What others made, and what we may not do.

use k8s_openapi::api::{
    core::v1::{Secret, ServiceAccount},
    rbac::v1::Role,
};
use kube::{Api, api::PostParams};
use seaway_setup::{Did, Error, KeyPair, Request};
use serde_json::json;

use crate::support::{Space, did, from, until, user};
use crate::{all, certificate, least};

#[tokio::test]
async fn what_others_made_is_neither_changed_nor_removed() {
    let space = Space::new().await;
    space.make_namespace().await;
    let accounts: Api<ServiceAccount> = space.api();
    until("the namespace has its service account", async || {
        accounts.get_opt("default").await.unwrap().is_some()
    })
    .await;
    let secrets: Api<Secret> = space.api();
    let key =
        from(json!({ "metadata": { "name": "arkouda-ssh" }, "stringData": { "id_rsa": "somebody's" } }));
    secrets.create(&PostParams::default(), &key).await.unwrap();

    let mut request = Request {
        ssh: Some(KeyPair {
            secret: "arkouda-ssh".into(),
        }),
        pull: all(&space).pull,
        ..least()
    };
    request.accounts.name = Some("default".into());
    let report = space.made(&request).await;
    assert_eq!(did(&report, &format!("Namespace {}", space.name)), Did::Kept);
    assert!(report.notes[0].contains("does not enforce"), "{report:#?}");
    assert_eq!(did(&report, "Secret arkouda-ssh"), Did::Kept);
    assert_eq!(did(&report, "ServiceAccount default"), Did::Kept);
    assert_eq!(
        did(&report, "imagePullSecrets of ServiceAccount default"),
        Did::Changed
    );
    let versions = space.versions().await;
    let report = space.made(&request).await;
    assert_eq!(
        did(&report, "imagePullSecrets of ServiceAccount default"),
        Did::Unchanged
    );
    assert_eq!(space.versions().await, versions);

    let report = space.remove(&request).await;
    assert_eq!(
        did(&report, "imagePullSecrets of ServiceAccount default"),
        Did::Removed
    );
    assert!(space.has_namespace().await);
    let account = accounts.get("default").await.unwrap();
    assert_eq!(account.image_pull_secrets.unwrap_or_default(), []);
    assert_eq!(
        space.secret("arkouda-ssh", "id_rsa").await.unwrap(),
        b"somebody's"
    );

    // A role of somebody else is not ours to change, nor to bind.
    let roles: Api<Role> = space.api();
    let role: Role = from(json!({ "metadata": { "name": "seaway" }, "rules": [] }));
    roles.create(&PostParams::default(), &role).await.unwrap();
    let (_, outcome) = space.setup(&request).await;
    let error = outcome.unwrap_err();
    assert!(matches!(error, Error::Occupied { .. }), "{error}");
    assert!(error.to_string().contains("Role seaway"), "{error}");
    // Nor is a Secret without a key an SSH key.
    let other = from(json!({ "metadata": { "name": "other" }, "stringData": { "a": "b" } }));
    secrets.create(&PostParams::default(), &other).await.unwrap();
    request.roles = None;
    request.ssh = Some(KeyPair {
        secret: "other".into(),
    });
    let error = space.setup(&request).await.1.unwrap_err();
    assert!(error.to_string().contains("id_ed25519"), "{error}");
}

#[tokio::test]
async fn a_namespace_with_something_of_others_in_it_stays() {
    let space = Space::new().await;
    let request = least();
    space.made(&request).await;
    let secrets: Api<Secret> = space.api();
    let theirs = from(json!({ "metadata": { "name": "theirs" } }));
    secrets.create(&PostParams::default(), &theirs).await.unwrap();
    let report = space.remove(&request).await;
    assert!(report.notes[0].contains("Secret theirs"), "{report:#?}");
    assert!(space.has_namespace().await && space.secret("theirs", "none").await.is_none());
    secrets
        .delete("theirs", &kube::api::DeleteParams::default())
        .await
        .unwrap();
    space.remove(&request).await;
    assert!(!space.has_namespace().await);
}

#[tokio::test]
async fn a_permission_that_is_missing_is_named_with_the_step() {
    let space = Space::new().await;
    let nobody = space.connection_of(&user("nobody", &space.name));
    let told = |outcome: seaway_setup::Result<()>| {
        let error = outcome.unwrap_err();
        format!("{error}\n{}", error.hint().unwrap())
    };
    let (report, outcome) = seaway_setup::kubernetes(&nobody, &least()).await;
    let text = told(outcome);
    assert!(
        text.contains("namespace: Namespace") && text.contains("get namespaces"),
        "{text}"
    );
    assert_eq!(report.steps, []);

    // In a namespace that is there, the next step is the first that fails.
    space.made(&least()).await;
    let request = Request {
        namespace: None,
        ..least()
    };
    let (_, outcome) = seaway_setup::kubernetes(&nobody, &request).await;
    let text = told(outcome);
    assert!(
        text.contains("account: ServiceAccount seaway") && text.contains("get serviceaccounts"),
        "{text}"
    );
    // Who may make requests, but not approve them, is told of both permissions and of the way without.
    let role = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": { "name": format!("requester-{}", space.name) },
        "rules": [
            { "apiGroups": ["certificates.k8s.io"], "resources": ["certificatesigningrequests"],
              "verbs": ["get", "create", "watch", "delete"] },
            { "apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "create", "patch"] },
        ],
    });
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": { "name": format!("requester-{}", space.name) },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
            "name": format!("requester-{}", space.name) },
        "subjects": [{ "kind": "User", "name": "requester", "apiGroup": "rbac.authorization.k8s.io" }],
    });
    let post = PostParams::default();
    let roles: Api<k8s_openapi::api::rbac::v1::ClusterRole> = Api::all(space.client.clone());
    roles.create(&post, &from(role)).await.unwrap();
    let bindings: Api<k8s_openapi::api::rbac::v1::ClusterRoleBinding> = Api::all(space.client.clone());
    bindings.create(&post, &from(binding)).await.unwrap();
    let requester = space.connection_of(&user("requester", &space.name));
    let request = Request {
        namespace: None,
        roles: None,
        accounts: seaway_setup::Accounts::default(),
        certificate: Some(certificate(&space)),
        ..least()
    };
    let text = std::cell::RefCell::new(String::new());
    until("the API server knows the role", async || {
        let (_, outcome) = seaway_setup::kubernetes(&requester, &request).await;
        let told = told(outcome);
        let knows = told.contains("approve");
        text.replace(told);
        knows
    })
    .await;
    let text = text.into_inner();
    for part in [
        "certificatesigningrequests/approval",
        "kubernetes.io/kube-apiserver-client",
        "--no-approve",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn who_only_has_the_namespace_can_work_there_and_grants_no_more_than_they_have() {
    let space = Space::new().await;
    space.make_namespace().await;
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": { "name": "admins" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "admin" },
        "subjects": [{ "kind": "User", "name": "local-admin", "apiGroup": "rbac.authorization.k8s.io" }],
    });
    let bindings: Api<k8s_openapi::api::rbac::v1::RoleBinding> = space.api();
    bindings
        .create(&PostParams::default(), &from(binding))
        .await
        .unwrap();
    let local = space.connection_of(&user("local-admin", &space.name));
    let mut request = Request {
        namespace: None,
        roles: None,
        certificate: None,
        ..all(&space)
    };
    until("the API server knows the binding", async || {
        seaway_setup::kubernetes(&local, &request).await.1.is_ok()
    })
    .await;
    // Who writes addresses of Services may do more than an administrator of a namespace.
    request.roles = least().roles;
    let (_, outcome) = seaway_setup::kubernetes(&local, &request).await;
    let error = outcome.unwrap_err();
    let text = format!("{error}\n{}", error.hint().unwrap());
    for part in ["access: Role seaway", "endpointslices", "`escalate`"] {
        assert!(text.contains(part), "{text}");
    }
    let (report, outcome) = seaway_setup::remove(&local, &request).await;
    outcome.unwrap();
    assert_eq!(did(&report, "ServiceAccount seaway"), Did::Removed);
    assert!(
        report.notes.iter().any(|note| note.contains("ClusterRole")),
        "{report:#?}"
    );
    assert_eq!(space.remove(&request).await.steps, []);
}
