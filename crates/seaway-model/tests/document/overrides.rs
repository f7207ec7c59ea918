//! What `--set` changes, what it refuses, and what stored JSON is refused with.

use insta::assert_snapshot;
use seaway_model::{
    Document,
    document::{DaskSpec, Override},
};

use crate::{HEAD, dask, one};

/// The errors of overrides.
fn set(overrides: &[&str]) -> String {
    let parsed: Result<Vec<_>, _> = overrides.iter().map(|text| Override::parse(text)).collect();
    match parsed {
        Ok(parsed) => Document::preset("dask")
            .unwrap()
            .with_overrides(&parsed)
            .unwrap_err()
            .to_string(),
        Err(errors) => errors.to_string(),
    }
}

fn with(overrides: &[&str]) -> DaskSpec {
    let overrides: Vec<_> = overrides
        .iter()
        .map(|text| Override::parse(text).unwrap())
        .collect();
    let document = one(HEAD)
        .with_overrides(&overrides)
        .unwrap_or_else(|errors| panic!("{errors}"));
    dask(&document).clone()
}

#[test]
fn overrides_change_what_they_name() {
    assert_eq!(with(&["spec.workers.replicas=4"]).workers.replicas, 4);
    assert_eq!(
        with(&["workers.replicas=4", "WORKER_REPLICAS=5"])
            .workers
            .replicas,
        5
    );
    assert_eq!(
        with(&["WORKER_MEM=512Mi"])
            .workers
            .resources
            .memory
            .unwrap()
            .bytes(),
        512 << 20
    );
    assert_eq!(with(&["WORKER_CPU=1.5"]).workers.effective_threads(), 2);
    assert_eq!(
        with(&["python.version=3.10"]).python.version.as_deref(),
        Some("3.10")
    );
    assert_eq!(
        with(&["scheduler.args=[--a, 'b c', 5]"]).scheduler.args,
        ["--a", "b c", "5"]
    );
    assert_eq!(
        with(&["scheduler.args[0]=--a", "scheduler.args.1=b"])
            .scheduler
            .args,
        ["--a", "b"]
    );
    assert_eq!(
        with(&["workers.tags={GPU: 2}", "workers.tags.GPU=null"])
            .workers
            .tags
            .len(),
        0
    );
    let spec = with(&["data[0].name=a", "data.0.path=/a", "data[0].readOnly=true"]);
    assert_eq!((spec.data[0].name.as_str(), spec.data[0].read_only), ("a", true));
    let spec = with(&[
        "env.A=",
        "env.B=a: b=c",
        "env.C=yes",
        "env.D='1'",
        "env.E=-1Gi",
        "env.F=#1 *x",
    ]);
    assert_eq!(
        spec.env.values().collect::<Vec<_>>(),
        ["", "a: b=c", "yes", "1", "-1Gi", "#1 *x"]
    );
    let rename = Override::parse("metadata.name=other").unwrap();
    let label = Override::parse(r"metadata.labels.example\.com/team=a").unwrap();
    let document = one(HEAD).with_overrides(&[rename, label]).unwrap();
    assert_eq!(
        (
            document.name().as_str(),
            document.metadata.labels["example.com/team"].as_str()
        ),
        ("other", "a")
    );
    assert_eq!(one(HEAD).with_overrides(&[]).unwrap(), one(HEAD));
}

#[test]
fn refused() {
    assert_snapshot!(set(&["workers.replicas"]), @r#"
    --set:1:17: expected `key=value`
      |
    1 | workers.replicas
      |                 ^
    hint: write it like `workers.replicas=4`
    "#);
    assert_snapshot!(set(&["=4"]), @r#"
    --set:1:1: a key is missing
      |
    1 | =4
      | ^
    hint: a key is a path like `workers.replicas` or `data[0].path`
    "#);
    assert_snapshot!(set(&["workers..replicas=4"]), @r#"
    --set:1:9: a key is missing
      |
    1 | workers..replicas=4
      |         ^
    hint: a key is a path like `workers.replicas` or `data[0].path`
    "#);
    assert_snapshot!(set(&["workers.replicas=four"]), @r#"
    --set:1:18: `spec.workers.replicas`: expected a whole number from 0 to 1000, found the text `four`
      |
    1 | workers.replicas=four
      |                  ^
    "#);
}

#[test]
fn refused_by_the_document() {
    assert_snapshot!(set(&["worker.replicas=4"]), @r#"
    --set:1:1: unknown key `worker` in `spec`
      |
    1 | worker.replicas=4
      | ^
    hint: did you mean `workers`? known keys: python, scheduler, workers, notebook, data, env, endpoints, discovery, kubernetes
    "#);
    assert_snapshot!(set(&["spec.workers.replica=4"]), @r#"
    --set:1:14: unknown key `replica` in `spec.workers`
      |
    1 | spec.workers.replica=4
      |              ^
    hint: did you mean `replicas`? known keys: replicas, threads, resources, tags, env, args
    "#);
    assert_snapshot!(set(&["workers.replicas.x=4"]), @r#"
    --set:1:18: `spec.workers.replicas`: expected a whole number from 0 to 1000, found a mapping
      |
    1 | workers.replicas.x=4
      |                  ^
    "#);
    assert_snapshot!(set(&["WORKER_MEM=lots"]), @r#"
    --set:1:12: `spec.workers.resources.memory`: `lots` is not an amount of memory: write it like `512Mi`, `2Gi` or `1500M`
      |
    1 | WORKER_MEM=lots
      |            ^
    "#);
    assert_snapshot!(set(&["WORKER_REPLICA=4"]), @r#"
    --set:1:1: unknown variable `WORKER_REPLICA`
      |
    1 | WORKER_REPLICA=4
      | ^
    hint: did you mean `WORKER_REPLICAS`? known variables: WORKER_REPLICAS, WORKER_MEM, WORKER_CPU, DOCKER_IMAGE, DOCKER_REPO, NFS_SERVER, WORKER_ARL_DATA, JUPYTER_PASSWORD, NOTEBOOK_PORT, DASK_PORT_SCHEDULER, DASK_PORT_BOKEH, KUBE_NAMESPACE, HELM_RELEASE
    "#);
    assert_snapshot!(set(&["scheduler.args=[a, b"]), @r#"
    --set:1:16: `[` is not closed
      |
    1 | scheduler.args=[a, b
      |                ^
    hint: add `]`
    "#);
    assert_snapshot!(set(&["data[1].path=/a"]), @r#"
    --set:1:5: `spec.data` has 0 items, so there is no `[1]`; the next is `[0]`
      |
    1 | data[1].path=/a
      |     ^
    "#);
    assert_snapshot!(set(&["data[0].path=/a"]), @r#"
    --set:1:9: missing `name` in `spec.data[0]`
      |
    1 | data[0].path=/a
      |         ^
    "#);
    assert_snapshot!(set(&["workers[0]=4"]), @r#"
    --set:1:8: `spec.workers` is a mapping, so there is no `[0]`
      |
    1 | workers[0]=4
      |        ^
    "#);
    assert_snapshot!(set(&["kind=Spork"]), @r#"
    --set:1:6: unknown kind `Spork`
      |
    1 | kind=Spork
      |      ^
    hint: known kinds: Dask
    "#);
    assert_snapshot!(set(&["metadata.name=My Dask"]), @r#"
    --set:1:15: `metadata.name`: `My Dask` is not a name: `M` is not allowed; names use lower-case letters, digits and `-` (RFC 1123); try `my-dask`
      |
    1 | metadata.name=My Dask
      |               ^
    "#);
    assert_snapshot!(set(&["python.packages=[pandas]", "python.environment=/opt/venv"]), @r#"
    --set:1:8: `spec.python.packages`: cannot be given together with `spec.python.environment`
      |
    1 | python.packages=[pandas]
      |        ^
    hint: remove one of them: an existing environment is used as it is, with its own packages
    "#);
    assert_snapshot!(set(&["env.A=1", "env.2=3"]), @r#"
    --set:1:5: `spec.env`: `2` is not the name of an environment variable
      |
    1 | env.2=3
      |     ^
    hint: letters, digits and `_`, not beginning with a digit
    "#);
}

#[test]
fn json() {
    let error = |text: &str| Document::from_json("store", text).unwrap_err().to_string();
    assert_snapshot!(error("{\"kind\": \"Dask\",\n \"metadata\" {}}"), @r#"
    store:2:13: not valid JSON: expected `:`
      |
    2 |  "metadata" {}}
      |             ^
    "#);
    assert_snapshot!(
        error(r#"{"apiVersion":"seaway.dev/v1alpha1","kind":"Dask","metadata":{"name":"a"},"spec":{"workers":{"replicas":-1}}}"#),
        @r#"
    store:1:1: `spec.workers.replicas`: expected a whole number from 0 to 1000, found the number `-1`
      |
    1 | {"apiVersion":"seaway.dev/v1alpha1","kind":"Dask","metadata":{"name":"a"},"spec":{"workers":{"replic…
      | ^
    "#
    );
    let error = serde_json::from_str::<Document>(r#"{"apiVersion":"v2","kind":"Desk"}"#).unwrap_err();
    assert_snapshot!(error.to_string(), @r#"`apiVersion`: `v2` is not known to this version of Seaway; unknown kind `Desk`; missing `metadata`"#);
}
