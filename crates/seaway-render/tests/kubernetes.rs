//! The objects of plans, held against the types of the Kubernetes API.

// Clippy takes the helpers of integration tests for production code.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;

use k8s_openapi::{
    api::{
        apps::v1::{Deployment, StatefulSet},
        core::v1::{ConfigMap, PersistentVolumeClaim, Secret, Service},
        networking::v1::NetworkPolicy,
    },
    serde::{Serialize, de::DeserializeOwned},
};
use seaway_model::{Document, Name, discovery::DirectorySpec, plan::Plan};
use seaway_render::kubernetes::{Inventory, Object, RenderError, Setting, objects};
use serde_json::{Value, json};

fn document(spec: &str) -> Document {
    let text =
        format!("apiVersion: seaway.dev/v1alpha1\nkind: Dask\nmetadata: {{name: lab}}\nspec: {spec}\n");
    seaway_model::document::parse("test", text.as_bytes())
        .unwrap()
        .remove(0)
}

fn rendered(spec: &str) -> Result<(Plan, Vec<Object>), RenderError> {
    let document = document(spec);
    let plan = seaway_engines::plan(&document).unwrap();
    let namespace = Name::literal("science");
    let secrets = plan
        .secrets
        .iter()
        .map(|secret| (secret.name.clone(), "0123".to_owned()))
        .collect();
    let setting = Setting {
        namespace: &namespace,
        document: &serde_json::to_value(&document).unwrap(),
        secrets: &secrets,
        agent_image: "seaway:test",
    };
    objects(&plan, &setting).map(|objects| (plan, objects))
}

fn all(spec: &str) -> Vec<Object> {
    rendered(spec).unwrap().1
}

fn find<'o>(objects: &'o [Object], path: &str) -> &'o Value {
    let found = objects.iter().find(|object| object.path() == path);
    &found
        .unwrap_or_else(|| {
            panic!(
                "no {path} in {:?}",
                objects.iter().map(Object::path).collect::<Vec<_>>()
            )
        })
        .body
}

/// Everything that the API does not know is lost when it is read as what it should be.
fn same<T: DeserializeOwned + Serialize>(object: &Object) {
    let typed: T = serde_json::from_value(object.body.clone())
        .unwrap_or_else(|error| panic!("{}: {error}", object.path()));
    let mut again = serde_json::to_value(typed).unwrap();
    let mut body = object.body.clone();
    // Bytes of the type, text of ours; the rest must be the same.
    again.as_object_mut().unwrap().remove("data");
    body.as_object_mut().unwrap().remove("data");
    assert_eq!(again, body, "{}", object.path());
}

const EVERYTHING: &str = "
  scheduler: {resources: {cpu: 500m, memory: 1Gi}}
  workers: {replicas: 3, resources: {cpu: 1, memory: 512Mi}, tags: {GPU: 2}, env: {COST: '$(HOME) ${task}'}}
  data:
    - {name: arl, path: /arl/data, volume: {nfs: {server: 10.0.0.1}}}
    - {name: results, path: /results, volume: {claim: {size: 1Gi, storageClass: fast}}}
    - {name: old, path: /old, readOnly: true, volume: {claim: {name: there}}}
  kubernetes:
    image: registry.example.com/arl:1
    imagePullSecrets: [arlregcred]
    serviceType: NodePort
    pods:
      nodeSelector: {disk: ssd}
      tolerations: [{key: gpu, operator: Exists, effect: NoSchedule}]
      affinity: {podAntiAffinity: {}}
      annotations: {example.com/team: a}
      volumes: [{name: cfg, path: /etc/cfg, readOnly: true, volume: {configMap: {name: cfg}}}]
    roles:
      worker: {nodeSelector: {gpu: yes}, template: {spec: {containers: [{name: main, env: [{name: EXTRA, value: '1'}]}]}}}
";

#[test]
fn the_api_knows_every_field() {
    for spec in [
        "{}",
        "{notebook: {enabled: false}, kubernetes: {networkPolicy: false}}",
        EVERYTHING,
    ] {
        for object in all(spec) {
            match object.kind {
                "ConfigMap" => same::<ConfigMap>(&object),
                "Secret" => same::<Secret>(&object),
                "Service" => same::<Service>(&object),
                "Deployment" => same::<Deployment>(&object),
                "StatefulSet" => same::<StatefulSet>(&object),
                "NetworkPolicy" => same::<NetworkPolicy>(&object),
                "PersistentVolumeClaim" => same::<PersistentVolumeClaim>(&object),
                other => panic!("{other} has no test"),
            }
        }
    }
}

#[test]
fn a_dask_instance() {
    let shown: BTreeMap<String, Value> = all("{workers: {resources: {memory: 512Mi, cpu: 500m}}}")
        .into_iter()
        .filter(|object| object.kind != "ConfigMap")
        .map(|object| (object.path(), object.body))
        .collect();
    insta::assert_snapshot!(serde_json::to_string_pretty(&shown).unwrap());
}

#[test]
fn every_container_keeps_to_the_restricted_profile_and_has_resources() {
    for object in all(EVERYTHING) {
        let pod = &object.body["spec"]["template"]["spec"];
        if pod.is_null() {
            continue;
        }
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
        let containers = ["initContainers", "containers"]
            .iter()
            .flat_map(|key| pod[*key].as_array().into_iter().flatten());
        for container in containers {
            let context = &container["securityContext"];
            assert_eq!(context["allowPrivilegeEscalation"], false, "{}", object.path());
            assert_eq!(
                context["capabilities"]["drop"],
                json!(["ALL"]),
                "{}",
                object.path()
            );
            for part in [
                "/resources/requests/cpu",
                "/resources/requests/memory",
                "/resources/limits/memory",
            ] {
                assert!(container.pointer(part).is_some(), "{} {part}", object.path());
            }
        }
    }
}

#[test]
fn what_the_user_writes_reaches_the_process_as_it_was_written() {
    let objects = all(EVERYTHING);
    let env =
        find(&objects, "StatefulSet/lab-worker")["spec"]["template"]["spec"]["containers"][0]["env"].clone();
    let cost = env
        .as_array()
        .unwrap()
        .iter()
        .find(|variable| variable["name"] == "COST")
        .unwrap();
    // The kubelet makes one dollar sign of two, and replaces nothing then.
    assert_eq!(cost["value"], "$$(HOME) $${task}");
    assert!(
        env.as_array()
            .unwrap()
            .iter()
            .any(|variable| variable["name"] == "EXTRA")
    );
}

#[test]
fn secrets_are_in_the_secret_alone() {
    let objects = all("{}");
    let with: Vec<_> = objects
        .iter()
        .filter(|object| object.body.to_string().contains("0123"))
        .map(Object::path)
        .collect();
    assert_eq!(with, ["Secret/lab-secrets"]);
}

#[test]
fn the_inventory_tells_what_the_instance_is() {
    let (plan, objects) = rendered(EVERYTHING).unwrap();
    let inventory = Inventory::read(&objects[0].body["data"]).unwrap();
    assert_eq!(inventory.plan, plan);
    assert_eq!(
        inventory.document,
        serde_json::to_value(document(EVERYTHING)).unwrap()
    );
    let listed: Vec<_> = inventory
        .objects
        .iter()
        .map(|object| format!("{}/{}", object.kind, object.name))
        .collect();
    let made: Vec<_> = objects[1..].iter().map(Object::path).collect();
    assert_eq!(listed, made);
}

#[test]
fn what_cannot_be_is_refused_and_the_field_is_named() {
    let refused = |spec: &str| rendered(spec).unwrap_err().to_string();
    insta::assert_snapshot!(refused("{data: [{name: a, path: /srv/data}]}"), @"spec.data[0].volume: pods do not see the directory `/srv/data` of this machine; say which volume a cluster has there, for example `volume: {nfs: {server: 10.0.0.1}}` or `volume: {claim: {size: 10Gi}}`");
    insta::assert_snapshot!(refused("{kubernetes: {pods: {template: {spec: {containers: [{image: a}]}}}}}"), @"spec.kubernetes.pods.template.spec.containers[0]: an element needs its `name`");
}

#[test]
fn manifests_are_the_objects() {
    let objects = all(EVERYTHING);
    let stream = seaway_render::manifests::stream(&objects).unwrap();
    let read: Vec<Value> = stream
        .split("---\n")
        .filter(|text| !text.is_empty())
        .map(|text| serde_saphyr::from_str(text).unwrap())
        .collect();
    assert_eq!(
        read,
        objects
            .iter()
            .map(|object| object.body.clone())
            .collect::<Vec<_>>()
    );
    let files = seaway_render::manifests::files(&objects).unwrap();
    assert_eq!(files[0].0, "00-configmap-lab-seaway.yaml");
    assert_eq!(files.len(), objects.len());
}

#[test]
fn a_cluster_announces_by_services_and_an_agent_announces_elsewhere() {
    let spec = "
  discovery:
    - {file: {}}
    - {consul: {url: 'http://consul.example.com:8500'}}
    - {redis: {url: 'redis://redis.example.com'}}
    - kubernetes: {context: mine, services: {client: {port: 80}, notebook: {name: lab-pages}}}
  kubernetes: {pods: {volumes: [{name: tls, path: /tls, volume: {secret: {name: tls}}}]}}
";
    let objects = all(spec);
    let client = find(&objects, "Service/lab");
    let ports = client["spec"]["ports"].as_array().unwrap();
    assert_eq!(
        (
            ports[0]["name"].clone(),
            ports[0]["port"].clone(),
            ports[0]["targetPort"].clone()
        ),
        (json!("client"), json!(80), json!(8786))
    );
    assert_eq!(
        client["spec"]["selector"]["app.kubernetes.io/component"],
        "scheduler"
    );
    let notebook = find(&objects, "Service/lab-pages");
    assert_eq!(
        notebook["spec"]["selector"]["app.kubernetes.io/component"],
        "notebook"
    );

    let announcers = |path: &str| -> Vec<Value> {
        let containers = &find(&objects, path)["spec"]["template"]["spec"]["initContainers"];
        let all = containers.as_array().cloned().unwrap_or_default();
        all.into_iter()
            .filter(|container| container["name"] == "announcer")
            .collect()
    };
    assert_eq!(announcers("Deployment/lab-notebook"), Vec::<Value>::new());
    let announcer = announcers("Deployment/lab-scheduler").remove(0);
    let args: Vec<&str> = announcer["args"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    let after = |option: &str| args[args.iter().position(|arg| *arg == option).unwrap() + 1];
    assert_eq!(after("--register"), "consul,redis");
    assert!(
        args.contains(&"client=tcp://lab-scheduler.science.svc:8786"),
        "{args:?}"
    );
    assert!(
        args.contains(&"notebook=http://lab-notebook.science.svc:8888/lab"),
        "{args:?}"
    );
    // What the agent reads is a document, and says where it announces and nothing else.
    let text = find(&objects, "ConfigMap/lab-files")["data"]["discovery.json"]
        .as_str()
        .unwrap();
    let document = seaway_model::document::parse("discovery.json", text.as_bytes())
        .unwrap()
        .remove(0);
    let discovery = seaway_engines::plan(&document).unwrap().discovery;
    let kinds: Vec<&str> = discovery.iter().map(DirectorySpec::kind).collect();
    assert_eq!(kinds, ["consul", "redis"]);
    let mounts: Vec<&str> = announcer["volumeMounts"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|mount| mount["mountPath"].as_str())
        .collect();
    assert_eq!(mounts, ["/tls", "/seaway/discovery"]);

    let clash = "{discovery: [{kubernetes: {services: {notebook: {name: lab}}}}]}";
    let error = rendered(clash).unwrap_err().to_string();
    assert!(error.contains("leads to the pods of one role"), "{error}");
}
