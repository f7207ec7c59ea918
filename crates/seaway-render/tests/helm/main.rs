//! Charts, rendered by the real Helm and held against the objects that Seaway itself makes.

// Clippy takes the helpers of integration tests for production code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod support;

use std::collections::BTreeSet;

use seaway_render::{helm::HelmError, kubernetes::Inventory};
use serde_json::{Value, json};

use support::{Chart, document, files, plan, same, with_variables_by_name};

const EVERYTHING: &str = "
  scheduler: {resources: {cpu: 500m, memory: 1Gi}, args: ['{{ .Values }}']}
  workers: {replicas: 3, resources: {cpu: 1, memory: 512Mi}, tags: {GPU: 2}, env: {COST: '$(HOME) ${task} {{ x }} }}', OMP_NUM_THREADS: 3}}
  env: {TZ: '<UTC> & \"more\"'}
  data:
    - {name: arl, path: /arl/data, volume: {nfs: {server: 10.0.0.1}}}
    - {name: my-results, path: /results, volume: {claim: {size: 1Gi, storageClass: fast}}}
    - {name: old, path: /old, readOnly: true, volume: {claim: {name: there}}}
  kubernetes:
    namespace: elsewhere
    image: registry.example.com/arl:1
    imagePullSecrets: [arlregcred]
    serviceType: NodePort
    scratchSize: 2Gi
    pods:
      nodeSelector: {disk: ssd}
      tolerations: [{key: gpu, operator: Exists, effect: NoExecute, tolerationSeconds: 300}]
      affinity: {podAntiAffinity: {}}
      annotations: {example.com/team: '{{ a }}'}
      serviceAccount: reader
      volumes:
        - {name: cfg, path: /etc/cfg, readOnly: true, volume: {configMap: {name: cfg}}}
        - {name: cache, path: /cache, volume: {claim: {size: 2Gi}}}
        - {name: more, path: /more, volume: {emptyDir: {sizeLimit: 7001Mi}}}
    roles:
      worker:
        nodeSelector: {gpu: yes}
        labels: {cost: '1'}
        priorityClass: high
        template:
          metadata: {annotations: {patched: '{{'}}
          spec:
            nodeSelector: {patched: 'true'}
            containers: [{name: main, resources: {limits: {nvidia.com/gpu: 1}}, env: [{name: EXTRA, value: '1'}]}]
";

/// `EVERYTHING` is of another namespace; that of the release takes its place.
const HERE: &str = "kubernetes.namespace=science";

#[test]
fn a_release_is_what_seaway_itself_makes() {
    let none = json!({});
    for spec in [
        "{}",
        "{notebook: {enabled: false}, kubernetes: {networkPolicy: false}}",
        "{workers: {replicas: 0, threads: 4, resources: {memory: 1.5Gi}}}",
    ] {
        let chart = Chart::of(spec);
        same(
            &chart.release("lab-2", &none),
            &chart.expected("lab-2", &[], plan),
        );
    }
    let chart = Chart::of(EVERYTHING);
    same(
        &chart.release("true", &none),
        &chart.expected("true", &[HERE], plan),
    );
}

#[test]
fn charts_keep_to_the_rules_of_helm() {
    for spec in ["{}", EVERYTHING] {
        let chart = Chart::of(spec);
        let (passed, said) = chart.lint();
        assert!(passed, "{said}");
    }
}

/// A release with changed values is what Seaway makes of the document with these changed.
fn same_as_changed(cases: &[(Value, &[&str])]) {
    for spec in ["{workers: {resources: {memory: 2Gi}}}", EVERYTHING] {
        let chart = Chart::of(spec);
        for (values, overrides) in cases {
            let overrides: Vec<&str> = overrides
                .iter()
                .copied()
                .chain((spec == EVERYTHING).then_some(HERE))
                .collect();
            eprintln!("{values}");
            same(
                &with_variables_by_name(chart.release("lab", values)),
                &with_variables_by_name(chart.expected("lab", &overrides, plan)),
            );
        }
    }
}

#[test]
fn what_a_role_gets_is_that_of_a_changed_document() {
    same_as_changed(&[
        (
            json!({"roles": {"worker": {"replicas": 5}}}),
            &["workers.replicas=5"],
        ),
        (
            json!({"roles": {"worker": {"replicas": 0}}}),
            &["workers.replicas=0"],
        ),
        (
            json!({"roles": {"worker": {"resources": {"cpu": 2.5, "memory": "1536Mi"}}}}),
            &["workers.resources.cpu=2500m", "workers.resources.memory=1.5Gi"],
        ),
        (
            json!({"roles": {"worker": {"resources": {"memory": 1_500_000_000}}}}),
            &["workers.resources.memory=1500M"],
        ),
        (
            json!({"roles": {"worker": {"resources": {"cpu": "", "memory": ""}}}}),
            &["workers.resources={}"],
        ),
        (
            json!({"roles": {"worker": {"resources": {"cpu": null, "memory": null}}}}),
            &["workers.resources={}"],
        ),
        (
            json!({"roles": {"scheduler": {"resources": {"memory": "1.1Gi"}}, "notebook": {"resources": {"cpu": 1}}}}),
            &["scheduler.resources.memory=1.1Gi", "notebook.resources.cpu=1"],
        ),
    ]);
}

#[test]
fn images_services_and_policies_are_those_of_a_changed_document() {
    same_as_changed(&[
        (
            json!({"image": "example.com/other:2"}),
            &["kubernetes.image=example.com/other:2"],
        ),
        (
            json!({"agentImage": "example.com/agent:2"}),
            &["kubernetes.agentImage=example.com/agent:2"],
        ),
        (
            json!({"imagePullPolicy": "Always"}),
            &["kubernetes.imagePullPolicy=Always"],
        ),
        (
            json!({"imagePullSecrets": ["a", "b"]}),
            &["kubernetes.imagePullSecrets=[a, b]"],
        ),
        (
            json!({"imagePullSecrets": []}),
            &["kubernetes.imagePullSecrets=[]"],
        ),
        (
            json!({"serviceType": "LoadBalancer"}),
            &["kubernetes.serviceType=LoadBalancer"],
        ),
        (
            json!({"networkPolicy": {"enabled": false}}),
            &["kubernetes.networkPolicy=false"],
        ),
        (json!({"scratchSize": "3072Mi"}), &["kubernetes.scratchSize=3Gi"]),
    ]);
}

#[test]
fn settings_and_variables_are_those_of_a_changed_document() {
    same_as_changed(&[
        (
            json!({"pods": {
                "nodeSelector": {"disk": "hdd", "on": "yes"}, "tolerations": [{"key": "a", "operator": "Exists"}],
                "affinity": {"nodeAffinity": {}}, "serviceAccount": "other", "priorityClass": "low",
                "annotations": {"a": "1"}, "labels": {"b": "2", "seaway.dev/instance": "not-this"},
            }}),
            &[
                "kubernetes.pods.nodeSelector.disk=hdd",
                "kubernetes.pods.nodeSelector.on='yes'",
                "kubernetes.pods.tolerations=[{key: a, operator: Exists}]",
                "kubernetes.pods.affinity.nodeAffinity={}",
                "kubernetes.pods.serviceAccount=other",
                "kubernetes.pods.priorityClass=low",
                "kubernetes.pods.annotations.a='1'",
                "kubernetes.pods.labels.b='2'",
                r"kubernetes.pods.labels.seaway\.dev/instance=not-this",
            ],
        ),
        (
            json!({"roles": {"worker": {"nodeSelector": {"gpu": "no"}, "affinity": {"podAntiAffinity": {"x": 1}}, "priorityClass": "p"}}}),
            &[
                "kubernetes.roles.worker.nodeSelector.gpu='no'",
                "kubernetes.roles.worker.affinity={podAntiAffinity: {x: 1}}",
                "kubernetes.roles.worker.priorityClass=p",
            ],
        ),
        (
            json!({"roles": {"worker": {"env": {
                "A": 1_000_000, "B": true, "C": "${x} $(y) {{ z }}", "HOME": "/h", "OMP_NUM_THREADS": "7", "D": "",
                "DASK_SCHEDULER_ADDRESS": "nowhere", "F": 0.25, "DASK_MEM_LIMIT": "3",
            }}}}),
            &[
                "workers.env.A='1000000'",
                "workers.env.B='true'",
                "workers.env.C='${x} $(y) {{ z }}'",
                "workers.env.HOME=/h",
                "workers.env.OMP_NUM_THREADS='7'",
                "workers.env.D=''",
                "workers.env.DASK_SCHEDULER_ADDRESS=nowhere",
                "workers.env.F='0.25'",
                "workers.env.DASK_MEM_LIMIT='3'",
            ],
        ),
    ]);
}

#[test]
fn quantities_are_read_as_in_documents() {
    let chart = Chart::of("{}");
    for (cpu, memory) in [
        (json!(1), json!("1Mi")),
        (json!(0.1), json!("1000M")),
        (json!("1.0005"), json!("1.1Gi")),
        (json!("2500m"), json!(1_048_577)),
        (json!("0.5m"), json!("999999k")),
        (json!("3000m"), json!("2048Gi")),
        (json!("12.000000001"), json!("1.5T")),
    ] {
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        let overrides = [("cpu", &cpu), ("memory", &memory)]
            .map(|(key, value)| format!("workers.resources.{key}='{}'", text(value)));
        let values = json!({"roles": {"worker": {"resources": {"cpu": cpu, "memory": memory}}}});
        same(
            &chart.release("lab", &values),
            &chart.expected("lab", &[&overrides[0], &overrides[1]], plan),
        );
    }
}

#[test]
fn data_can_be_anywhere() {
    let cases = [
        (
            json!({"emptyDir": {"sizeLimit": "1024Mi"}}),
            "{emptyDir: {sizeLimit: 1Gi}}",
        ),
        (json!({"emptyDir": {}}), "{emptyDir: {}}"),
        (json!({"claim": {"name": "mine"}}), "{claim: {name: mine}}"),
        (json!({"claim": {"size": "5Gi"}}), "{claim: {size: 5Gi}}"),
        (
            json!({"claim": {"size": "5Gi", "storageClass": "slow", "accessModes": ["ReadWriteOnce"], "deleteWithInstance": true}}),
            "{claim: {size: 5Gi, storageClass: slow, accessModes: [ReadWriteOnce], deleteWithInstance: true}}",
        ),
        (json!({"hostPath": {"path": "/srv"}}), "{hostPath: {path: /srv}}"),
        (
            json!({"nfs": {"server": "10.0.0.2"}}),
            "{nfs: {server: 10.0.0.2}}",
        ),
        (
            json!({"nfs": {"server": "s", "path": "/p"}}),
            "{nfs: {server: s, path: /p}}",
        ),
        (json!({"configMap": {"name": "c"}}), "{configMap: {name: c}}"),
        (json!({"secret": {"name": "s"}}), "{secret: {name: s}}"),
    ];
    let chart = Chart::of("{data: [{name: my-data, path: /d, volume: {emptyDir: {}}}]}");
    for (volume, written) in cases {
        let mut values = json!({"data": {"my-data": {"volume": volume}}});
        if volume.get("emptyDir").is_none() {
            values["data"]["my-data"]["volume"]["emptyDir"] = Value::Null;
        }
        eprintln!("{values}");
        let overrides = [format!("data[0].volume={written}")];
        same(
            &chart.release("lab", &values),
            &chart.expected("lab", &[&overrides[0]], plan),
        );
    }
}

#[test]
fn two_releases_have_nothing_in_common() {
    let chart = Chart::of(EVERYTHING);
    let paths =
        |release: &str| -> BTreeSet<String> { chart.release(release, &json!({})).into_keys().collect() };
    let (first, second) = (paths("one"), paths("two"));
    assert!(first.len() > 10);
    assert!(first.is_disjoint(&second), "{first:?}");
    let named = chart.release("one", &json!({}));
    assert!(
        !serde_json::to_string(&named).unwrap().contains("\"lab-"),
        "the name in the document is not the release's"
    );
    let mut renamed = chart
        .template("one", &json!({"fullnameOverride": "two"}))
        .unwrap();
    renamed.remove("Pod/two-test").unwrap();
    assert_eq!(renamed.into_keys().collect::<BTreeSet<_>>(), second);
}

#[test]
fn bad_values_are_refused_by_name() {
    let chart = Chart::of(EVERYTHING);
    let refused = |values: Value, expected: &str| {
        let error = chart.template("lab", &values).unwrap_err();
        assert!(error.contains(expected), "{values}: {error}");
    };
    refused(json!({"replica": 1}), "'replica' not allowed");
    refused(
        json!({"roles": {"worker": {"replicas": "many"}}}),
        "at '/roles/worker/replicas': got string, want integer",
    );
    refused(
        json!({"roles": {"worker": {"replicas": -1}}}),
        "/roles/worker/replicas",
    );
    refused(
        json!({"roles": {"scheduler": {"replicas": 2}}}),
        "'replicas' not allowed",
    );
    refused(
        json!({"roles": {"worker": {"resources": {"memory": "lots"}}}}),
        "/roles/worker/resources/memory",
    );
    refused(
        json!({"roles": {"worker": {"resources": {"memory": "1Ki"}}}}),
        "less memory than 1Mi",
    );
    refused(
        json!({"roles": {"worker": {"resources": null}}}),
        "missing property 'resources'",
    );
    refused(json!({"roles": {"worker": null}}), "missing property 'worker'");
    refused(json!({"pods": null}), "missing property 'pods'");
    refused(
        json!({"roles": {"worker": {"resources": {"gpu": 1}}}}),
        "'gpu' not allowed",
    );
    refused(
        json!({"roles": {"worker": {"env": {"A B": "1"}}}}),
        "'A B' does not match pattern",
    );
    refused(
        json!({"roles": {"worker": {"env": {"A": {"b": 1}}}}}),
        "/roles/worker/env/A",
    );
    refused(json!({"imagePullPolicy": "Sometimes"}), "/imagePullPolicy");
    refused(json!({"serviceType": "ExternalName"}), "/serviceType");
    refused(json!({"image": ""}), "/image");
    refused(
        json!({"networkPolicy": {"enabled": "no"}}),
        "/networkPolicy/enabled",
    );
    refused(json!({"pods": {"tolerations": {}}}), "/pods/tolerations");
    refused(
        json!({"data": {"arl": {"volume": {"emptyDir": {}}}}}),
        "/data/arl/volume",
    );
    refused(
        json!({"data": {"my-results": {"volume": {"claim": {"name": "a"}}}}}),
        "/data/my-results/volume/claim",
    );
    refused(json!({"data": {"none": {}}}), "'none' not allowed");
    let long = chart.template(&"a".repeat(46), &json!({})).unwrap_err();
    assert!(
        long.contains("has 46 characters, and this chart's objects can have"),
        "{long}"
    );
    let digit = chart.template("1st", &json!({})).unwrap_err();
    assert!(digit.contains("begin with a letter"), "{digit}");
}

#[test]
fn hostile_texts_stay_what_they_are() {
    let hostile = "{{ fail \"x\" }} {{- /* }} {{{ `\\\"'$(A) ${B} #: \u{1}\t\r\n\u{7f}\u{85}\u{feff}😀 %s @2@ </script> & yes qxz0q qyz0q {";
    let mut document = document("{workers: {resources: {memory: 1Gi}}}");
    let mut json = serde_json::to_value(&document).unwrap();
    json["spec"]["env"] = json!({"HOSTILE": hostile, "YES": "yes", "EMPTY": "", "NUMBER": "1e3"});
    json["spec"]["workers"]["args"] = json!(["{{", "}}", hostile, "{{{", "- a", "? b", "null"]);
    json["metadata"]["annotations"] = json!({"note": hostile});
    json["spec"]["kubernetes"] = json!({"pods": {"annotations": {"note": hostile}, "template": {"metadata": {"annotations": {"patched": hostile}}}}});
    document = serde_json::from_value(json).unwrap();
    let hostile_plan = |document: &seaway_model::Document| {
        let mut made = plan(document)?;
        for (file, content) in made
            .files
            .iter_mut()
            .zip([format!("\u{feff}{hostile}"), format!("{hostile}\n\n")])
        {
            file.content = content;
        }
        Ok(made)
    };
    let chart = Chart::new(document, hostile_plan);
    same(
        &chart.release("lab", &json!({})),
        &chart.expected("lab", &[], hostile_plan),
    );
    // The shortest names that stand for the release's were in the document.
    assert!(!chart.read("templates/worker-statefulset.yaml").contains("qxz1q"));
}

#[test]
fn the_inventory_of_a_release_is_read_as_any_other() {
    let chart = Chart::of(EVERYTHING);
    let values = json!({"roles": {"worker": {"replicas": 7}}, "networkPolicy": {"enabled": false}});
    let mut objects = chart.template("lab", &values).unwrap();
    let inventory = Inventory::read(&objects.remove("ConfigMap/lab-seaway").unwrap()["data"]).unwrap();
    assert_eq!(inventory.plan.role("worker").unwrap().replicas, 7);
    let listed: BTreeSet<String> = inventory
        .objects
        .iter()
        .map(|object| format!("{}/{}", object.kind, object.name))
        .collect();
    objects.remove("Pod/lab-test").unwrap();
    assert_eq!(listed, objects.into_keys().collect::<BTreeSet<_>>());
}

#[test]
fn a_secret_is_given_or_made() {
    let chart = Chart::of("{}");
    let token = |values: Value| {
        let objects = chart.template("lab", &values).unwrap();
        objects["Secret/lab-secrets"]["stringData"]["notebook-token"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        token(json!({"secrets": {"notebook-token": "{{mine}}"}})),
        "{{mine}}"
    );
    assert_eq!(
        token(json!({"secrets": {"notebook-token": "of-a-file\n"}})),
        "of-a-file"
    );
    for unfit in ["short", "with a space", "of two\nlines"] {
        let error = chart
            .template("lab", &json!({"secrets": {"notebook-token": unfit}}))
            .unwrap_err();
        assert!(
            error.contains("secrets.notebook-token: a secret has 8 to 1024"),
            "{error}"
        );
        assert!(!error.contains(unfit), "{error}");
    }
    let made = token(json!({}));
    assert!(
        made.len() == 64 && made.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{made}"
    );
    assert_ne!(made, token(json!({})));
}

#[test]
fn what_cannot_be_rendered_is_told_as_for_manifests() {
    let error = files(&document("{data: [{name: a, path: /srv/data}]}")).unwrap_err();
    assert!(matches!(error, HelmError::Render(_)), "{error}");
    assert!(error.to_string().starts_with("spec.data[0].volume: "), "{error}");
}
