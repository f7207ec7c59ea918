//! Who may what: permissions, tokens, certificates.

use seaway_discovery::kubernetes::access;

use super::*;

#[tokio::test]
async fn the_permission_that_is_missing_is_named() {
    let space = Space::new().await;
    // Whoever may only read.
    let spec = space.least(&[Work::Discover]).await;
    let directory = open(&spec);
    assert!(directory.list().await.unwrap().is_empty());
    let error = directory.register(&entry("one")).await.unwrap_err();
    assert_eq!(error.kind(), "forbidden");
    let text = error.to_string();
    assert!(
        text.starts_with("not allowed to ") && text.contains(" in namespace "),
        "{text}"
    );
    assert!(
        text.contains("create leases.coordination.k8s.io") || text.contains("get services"),
        "{text}"
    );
    let access = directory.access(&[ANNOUNCE]).await.unwrap();
    let missing: Vec<_> = access
        .iter()
        .filter(|one| !one.allowed)
        .map(|one| format!("{} {}", one.verb, one.resource))
        .collect();
    assert!(missing.contains(&"create leases".to_owned()), "{missing:?}");
    assert!(!missing.contains(&"get leases".to_owned()), "{missing:?}");
    let cluster = directory.cluster().await.unwrap();
    assert_eq!(cluster.namespace, space.name);
    assert_eq!(
        cluster.user.unwrap(),
        format!("system:serviceaccount:{}:engine", space.name)
    );
}

#[tokio::test]
async fn the_permissions_that_are_asked_for_are_enough() {
    let space = Space::new().await;
    let spec = space.least(&OUTSIDE).await;
    let directory = open(&spec);
    assert!(
        directory
            .access(&OUTSIDE)
            .await
            .unwrap()
            .iter()
            .all(|one| one.allowed)
    );
    directory.register(&entry("one")).await.unwrap();
    directory.register(&entry("one")).await.unwrap();
    directory.renew(&entry("one")).await.unwrap();
    directory.list().await.unwrap();
    directory.remove_expired().await.unwrap();
    directory.withdraw(&entry("one")).await.unwrap();
    // Nothing beyond: neither other resources nor other namespaces.
    let rules = access::needed(&OUTSIDE);
    assert!(rules.iter().all(|rule| !rule.verbs.contains(&"*")));
    let elsewhere = discovery::KubernetesDirectory {
        namespace: Some(name("default")),
        ..spec
    };
    assert_eq!(open(&elsewhere).list().await.unwrap_err().kind(), "forbidden");
}

#[tokio::test]
async fn a_token_that_is_rotated_is_read_again_at_once() {
    let space = Space::new().await;
    let spec = space.least(&[ANNOUNCE]).await;
    let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "bound" } });
    space.create(secret).await;
    let file = spec.token_file.clone().unwrap();
    std::fs::write(&file, space.token("engine", Some("bound")).await).unwrap();
    let directory = open(&spec);
    directory.register(&entry("one")).await.unwrap();
    // The token that has been read is worth nothing any more.
    let secrets = space.api::<k8s_openapi::api::core::v1::Secret>();
    secrets.delete("bound", &DeleteParams::default()).await.unwrap();
    until("the old token is refused", async || {
        matches!(
            directory.renew(&entry("one")).await,
            Err(Error::Http { status: 401, .. })
        )
    })
    .await;
    std::fs::write(&file, space.token("engine", None).await).unwrap();
    directory.renew(&entry("one")).await.unwrap();
}

#[tokio::test]
async fn certificates_that_are_right_wrong_and_expired() {
    let space = Space::new().await;
    if std::env::var_os("KUBECONFIG").is_some() {
        eprintln!("skipped: the cluster is the user's own, and its authority does not sign for tests");
        return;
    }
    let cluster = format!("tests-{}", std::process::id());
    let user = |more: &[&str]| {
        let arguments = [
            &["user", "tester", "--group", "system:masters", "--name", &cluster],
            more,
        ]
        .concat();
        let printed = cluster_tool(&arguments);
        let file = |key: &str| {
            let line = printed.lines().find_map(|line| line.strip_prefix(key));
            Some(std::path::PathBuf::from(line.unwrap()))
        };
        discovery::KubernetesDirectory {
            server: Some(server()),
            namespace: Some(name(&space.name)),
            certificate_file: file("certificate="),
            key_file: file("key="),
            ca_file: file("authority="),
            ..discovery::KubernetesDirectory::default()
        }
    };
    let good = user(&[]);
    open(&good).register(&entry("one")).await.unwrap();
    let error = open(&user(&["--days", "-1"]))
        .register(&entry("one"))
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Http { status: 401, .. } | Error::Tls { .. }),
        "{error}"
    );
    assert!(
        error.hint().unwrap().contains("certificate"),
        "{:?}",
        error.hint()
    );
    // Another authority than the one that signed for the API server.
    let other = pki::Authority::new("other");
    let wrong = discovery::KubernetesDirectory {
        ca_file: Some(other.file_of_authority()),
        ..good.clone()
    };
    match open(&wrong).register(&entry("one")).await {
        Err(Error::Tls {
            problem: TlsProblem::UnknownAuthority,
            ..
        }) => {}
        other => panic!("{other:?}"),
    }
    // Nobody in particular.
    let nobody = discovery::KubernetesDirectory {
        certificate_file: None,
        key_file: None,
        ..good.clone()
    };
    let kind = open(&nobody).register(&entry("one")).await.unwrap_err().kind();
    assert!(matches!(kind, "forbidden" | "unauthorized"), "{kind}");
    // The variables of Arkouda's integration say the same as the document.
    let text = |path: Option<std::path::PathBuf>| path.unwrap().display().to_string();
    let variables = [
        ("K8S_HOST", good.server.clone().unwrap()),
        ("NAMESPACE", space.name.clone()),
        ("CERT_FILE", text(good.certificate_file)),
        ("KEY_FILE", text(good.key_file)),
        ("CACERT_FILE", text(good.ca_file)),
    ];
    let variables: Vec<(&str, &str)> = variables
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let directory = open_with(&discovery::KubernetesDirectory::default(), &variables);
    directory.withdraw(&entry("one")).await.unwrap();
    assert!(objects(&space).await.is_empty());
}

fn server() -> String {
    kube::config::Kubeconfig::read_from(kubeconfig())
        .unwrap()
        .clusters[0]
        .cluster
        .clone()
        .unwrap()
        .server
        .unwrap()
}
