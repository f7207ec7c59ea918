//! The checks, on what the requirements say word for word, and on what is generated: right manifests pass, and each
//! mistake is found.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "Clippy takes the helpers of integration tests for production code"
)]

use proptest::prelude::*;
use seaway_setup::check::{Checked, Source, Surroundings, files};
use serde_json::{Value, json};

fn check(name: &str, text: &str) -> Checked {
    let source = Source {
        name: name.to_owned(),
        text: text.to_owned(),
    };
    files(&[source], Surroundings::default())
}

/// Object and rule of each finding, in the order of the file.
fn found(checked: &Checked) -> Vec<(usize, String, &'static str)> {
    let mut all: Vec<_> = checked
        .findings
        .iter()
        .map(|one| (one.line.unwrap(), one.object.clone(), one.rule))
        .collect();
    all.sort();
    all
}

/// The same, without lines.
fn rules(checked: &Checked) -> Vec<String> {
    found(checked)
        .into_iter()
        .map(|(_, object, rule)| format!("{object}: {rule}"))
        .collect()
}

fn hint(checked: &Checked, object: &str, rule: &str) -> String {
    let mut all = checked.findings.iter();
    let one = all.find(|one| one.object == object && one.rule == rule);
    let one = one.unwrap_or_else(|| panic!("no {rule} of {object}: {checked:#?}"));
    format!("{} {}", one.what, one.hint)
}

#[test]
fn external_integration_binds_a_role_that_nobody_made() {
    let checked = check("a.md", include_str!("check/external-integration.md"));
    assert_eq!(
        rules(&checked),
        [
            "ClusterRoleBinding arkouda: dangling-role",
            "ClusterRoleBinding arkouda: dangling-subject"
        ]
    );
    assert!(hint(&checked, "ClusterRoleBinding arkouda", "dangling-role").contains("`arkouda-service-pod`"));
    assert!(hint(&checked, "ClusterRoleBinding arkouda", "dangling-subject").contains("`default`"));
}

#[test]
fn pachykouda_binds_a_role_by_half_of_its_name() {
    let checked = check("a.md", include_str!("check/pachykouda.md"));
    assert_eq!(
        rules(&checked),
        [
            "CertificateSigningRequest arkouda: signer",
            "ClusterRoleBinding arkouda-pod-reader-binding: dangling-role",
            "ClusterRoleBinding arkouda-service-endpoints-crud: cluster-wide",
            "command: host-name"
        ]
    );
    let hint = hint(
        &checked,
        "ClusterRoleBinding arkouda-pod-reader-binding",
        "dangling-role",
    );
    assert!(hint.contains("`arkouda-pod-reader` is probably meant"), "{hint}");
}

#[test]
fn arl_gives_passwords_away_and_uses_a_helm_that_is_gone() {
    let checked = check("a.md", include_str!("check/arl-kubernetes.md"));
    let rules: Vec<&str> = found(&checked).iter().map(|one| one.2).collect();
    assert_eq!(rules, ["plain-secret", "host", "insecure", "version", "version"]);
}

#[test]
fn enterprise_gateway_and_the_workflows_use_what_is_gone_or_not_there() {
    let checked = check("a.md", include_str!("check/enterprise-gateway.md"));
    assert_eq!(
        rules(&checked),
        [
            "Service enterprise-gateway: node-port",
            "Deployment enterprise-gateway: version"
        ]
    );
    // Whether a Service fits a ServiceMonitor can only be said where there are Services.
    let checked = check("a.md", include_str!("check/arkouda-workflows.md"));
    assert_eq!((rules(&checked), checked.objects), (vec![], 2));
}

#[test]
fn the_charts_have_selectors_that_match_nothing_and_passwords_in_the_clear() {
    let checked = check("chart.yaml", include_str!("check/chart.yaml"));
    assert_eq!(
        rules(&checked),
        [
            "Service arkouda-server-headless-service: no-target",
            "Pod arkouda-server: missing-name",
            "Pod arkouda-server: missing-name",
            "ServiceMonitor exporter: no-target",
            "Service dask-scheduler: deprecated",
            "Service dask-scheduler: namespace",
            "Service dask-scheduler: node-port",
            "Service dask-scheduler: port",
            "Deployment dask-scheduler: domain",
            "Deployment dask-scheduler: host",
            "Deployment dask-scheduler: missing-name",
            "Deployment dask-scheduler: plain-secret",
            "Deployment dask-scheduler: twice",
            "Ingress notebook: missing-name",
            "Ingress notebook: version",
            "CertificateSigningRequest arkouda: signer",
            "CertificateSigningRequest arkouda: signer",
            "CertificateSigningRequest arkouda: version",
            "Role everything: wildcard",
            "Role everything: wildcard",
        ]
    );
    let near = hint(&checked, "Service arkouda-server-headless-service", "no-target");
    assert!(near.contains("`app=arkouda-server` is probably meant"), "{near}");
    // A password is named, not shown.
    assert!(!format!("{checked:?}").contains("changeme"));
}

#[test]
fn what_is_no_manifest_is_told_as_such() {
    let only = |name: &str, text: &str| {
        let checked = check(name, text);
        assert_eq!(checked.findings.len(), 1, "{checked:#?}");
        checked.findings[0].rule
    };
    assert_eq!(only("values.yaml", "server:\n  port: 1\n"), "no-object");
    assert_eq!(
        only("t.yaml", "kind: A\napiVersion: {{ .Values.x }}: {{ y }}\n"),
        "unreadable"
    );
}

/// Manifests in which everything fits, with these names.
fn fitting(name: &str, other: &str, namespace: &str, port: u16) -> Vec<Value> {
    let meta = |name: &str| json!({ "name": name, "namespace": namespace, "labels": { "app": name } });
    vec![
        json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta(name),
            "imagePullSecrets": [{ "name": other }] }),
        json!({ "apiVersion": "v1", "kind": "Secret", "metadata": meta(other), "stringData": { "password": "x" } }),
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": meta(other), "data": { "key": "x" } }),
        json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": meta(other),
            "rules": [{ "apiGroups": [""], "resources": ["pods"], "verbs": ["get"] }] }),
        json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": meta(name),
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": other },
            "subjects": [{ "kind": "ServiceAccount", "name": name, "namespace": namespace }] }),
        json!({ "apiVersion": "v1", "kind": "Service", "metadata": meta(name),
            "spec": { "selector": { "app": name }, "ports": [{ "port": 80, "targetPort": port }] } }),
        json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta(name), "spec": {
            "selector": { "matchLabels": { "app": name } },
            "template": { "metadata": { "labels": { "app": name } }, "spec": {
                "serviceAccountName": name,
                "imagePullSecrets": [{ "name": other }],
                "volumes": [{ "name": "v", "secret": { "secretName": other } }],
                "containers": [{ "name": "c", "image": "i",
                    "ports": [{ "containerPort": port }],
                    "env": [
                        { "name": "PASSWORD", "valueFrom": { "secretKeyRef": { "name": other, "key": "password" } } },
                        { "name": "KEY", "valueFrom": { "configMapKeyRef": { "name": other, "key": "key" } } },
                    ],
                    "volumeMounts": [{ "name": "v", "mountPath": "/v" }],
                }],
            } },
        } }),
    ]
}

/// Which object, where in it, what is there instead, and the rule that finds it.
const MISTAKES: [(usize, &str, &str, &str); 14] = [
    (0, "/imagePullSecrets/0/name", "wrong", "missing-name"),
    (3, "/rules/0/verbs/0", "*", "wildcard"),
    (4, "/roleRef/name", "wrong", "dangling-role"),
    (4, "/subjects/0/name", "wrong", "dangling-subject"),
    (4, "/subjects/0/namespace", "wrong", "dangling-subject"),
    (5, "/spec/selector/app", "wrong", "no-target"),
    (5, "/spec/ports/0/targetPort", "wrong", "port"),
    (5, "/metadata/namespace", "wrong", "namespace"),
    (6, "/apiVersion", "apps/v1beta1", "version"),
    (
        6,
        "/spec/template/spec/serviceAccountName",
        "wrong",
        "missing-name",
    ),
    (
        6,
        "/spec/template/spec/volumes/0/secret/secretName",
        "wrong",
        "missing-name",
    ),
    (
        6,
        "/spec/template/spec/containers/0/env/0/valueFrom/secretKeyRef/key",
        "wrong",
        "missing-name",
    ),
    (
        6,
        "/spec/template/spec/containers/0/env/1/valueFrom/configMapKeyRef/name",
        "wrong",
        "missing-name",
    ),
    (
        6,
        "/spec/template/spec/containers/0/volumeMounts/0/name",
        "wrong",
        "missing-name",
    ),
];

fn yaml(objects: &[Value]) -> String {
    let documents: Vec<String> = objects
        .iter()
        .map(|one| serde_saphyr::to_string(one).unwrap())
        .collect();
    documents.join("---\n")
}

proptest! {
    #[test]
    fn what_fits_passes_and_each_mistake_is_found(
        name in "[a-z][a-z0-9]{2,12}",
        other in "[a-z][a-z0-9]{2,12}-x",
        namespace in "[a-z][a-z0-9]{2,12}",
        port in 1024u16..,
        mistake in 0..MISTAKES.len(),
    ) {
        prop_assume!(![&name, &other, &namespace].iter().any(|one| one.as_str() == "wrong"));
        let mut objects = fitting(&name, &other, &namespace, port);
        let checked = check("x.yaml", &yaml(&objects));
        prop_assert_eq!(checked.findings, []);
        prop_assert_eq!(checked.objects, objects.len());

        let (at, pointer, instead, rule) = MISTAKES[mistake];
        let title = format!("{} {}", objects[at]["kind"].as_str().unwrap(), objects[at]["metadata"]["name"].as_str().unwrap());
        *objects[at].pointer_mut(pointer).unwrap() = instead.into();
        let checked = check("x.yaml", &yaml(&objects));
        let all: Vec<(&str, &str)> = checked.findings.iter().map(|one| (one.object.as_str(), one.rule)).collect();
        prop_assert_eq!(all, [(title.as_str(), rule)], "{:#?}", checked.findings);
    }

    #[test]
    fn no_text_is_too_strange(text in "(apiVersion|kind|metadata|spec|: |\\n|---\\n|- |\\{|\\}|a|\\$|```|<<EOF\\n|\\PC){0,60}") {
        for name in ["x.yaml", "x.md", "x.sh"] {
            let checked = check(name, &text);
            for finding in checked.findings {
                prop_assert!(!finding.hint.is_empty() && !finding.why.is_empty() && !finding.what.is_empty());
            }
        }
    }
}
