//! Documents with the wrong keys.

use insta::assert_snapshot;

use crate::{HEAD, errors, spec};

#[test]
fn header() {
    assert_snapshot!(errors("kind: Dask\nmetadata: {name: a}\n"), @r#"
    dask.yaml:1:1: missing `apiVersion`
      |
    1 | kind: Dask
      | ^
    hint: write `apiVersion: seaway.dev/v1alpha1`
    "#);
    assert_snapshot!(errors("apiVersion: v1\nkind: Dask\nmetadata: {name: a}\n"), @r#"
    dask.yaml:1:13: `apiVersion`: `v1` is not known to this version of Seaway
      |
    1 | apiVersion: v1
      |             ^
    hint: write `apiVersion: seaway.dev/v1alpha1`
    "#);
    assert_snapshot!(errors("apiVersion: seaway.dev/v1alpha1\nkind: dusk\nmetadata: {name: a}\n"), @r#"
    dask.yaml:2:7: unknown kind `dusk`
      |
    2 | kind: dusk
      |       ^
    hint: did you mean `Dask`? known kinds: Dask
    "#);
    assert_snapshot!(errors("apiVersion: seaway.dev/v1alpha1\nkind: Pod\nmetadata: {name: a}\n"), @r#"
    dask.yaml:2:7: unknown kind `Pod`
      |
    2 | kind: Pod
      |       ^
    hint: known kinds: Dask
    "#);
    assert_snapshot!(errors("apiVersion: seaway.dev/v1alpha1\nkind: [Dask]\nmetadata: {name: a}\n"), @r#"
    dask.yaml:2:7: `kind`: expected a text, found a list
      |
    2 | kind: [Dask]
      |       ^
    hint: known kinds: Dask
    "#);
    assert_snapshot!(errors("apiVersion: seaway.dev/v1alpha1\nkind:\nmetadata: {name: a}\n"), @r#"
    dask.yaml:2:1: missing `kind`
      |
    2 | kind:
      | ^
    hint: known kinds: Dask
    "#);
    assert_snapshot!(errors("apiVersion: seaway.dev/v1alpha1\nkind: Dask\n"), @r#"
    dask.yaml:1:1: missing `metadata`
      |
    1 | apiVersion: seaway.dev/v1alpha1
      | ^
    hint: an instance needs a name, for example `metadata: {name: my-dask}`
    "#);
    assert_snapshot!(errors("apiVersion: seaway.dev/v1alpha1\nkind: Dask\nmetadata:\n  labels: {a: b}\n"), @r#"
    dask.yaml:4:3: missing `name` in `metadata`
      |
    4 |   labels: {a: b}
      |   ^
    hint: an instance needs a name, for example `metadata: {name: my-dask}`
    "#);
    assert_snapshot!(errors("apiVersion: seaway.dev/v1alpha1\nkind: Dask\nmetadata:\n"), @r#"
    dask.yaml:3:9: missing `name` in `metadata`
      |
    3 | metadata:
      |         ^
    hint: an instance needs a name, for example `metadata: {name: my-dask}`
    "#);
    assert_snapshot!(errors("apiversion: seaway.dev/v1alpha1\nkind: Dask\nmetadata: {name: a}\n"), @r#"
    dask.yaml:1:1: unknown key `apiversion`
      |
    1 | apiversion: seaway.dev/v1alpha1
      | ^
    hint: did you mean `apiVersion`? known keys: apiVersion, kind, metadata, spec
    "#);
    assert_snapshot!(errors(format!("{HEAD}workers:\n  replicas: 4\n")), @r#"
    dask.yaml:5:1: unknown key `workers`
      |
    5 | workers:
      | ^
    hint: `workers` belongs under `spec`
    "#);
    assert_snapshot!(errors("kind: Job\n---\n".repeat(2000)).lines().rev().take(7).collect::<Vec<_>>().join("\n"), @r#"
    there are more errors, which are not shown

    hint: an instance needs a name, for example `metadata: {name: my-dask}`
       | ^
    13 | kind: Job
       |
    dask.yaml:13:1: missing `metadata`
    "#);
}

#[test]
fn names() {
    let name = |name: &str| {
        errors(format!(
            "apiVersion: seaway.dev/v1alpha1\nkind: Dask\nmetadata: {{name: {name}}}\n"
        ))
    };
    assert_snapshot!(name("My_Cluster"), @r#"
    dask.yaml:3:18: `metadata.name`: `My_Cluster` is not a name: `M` is not allowed; names use lower-case letters, digits and `-` (RFC 1123); try `my-cluster`
      |
    3 | metadata: {name: My_Cluster}
      |                  ^
    "#);
    assert_snapshot!(name("-a"), @r#"
    dask.yaml:3:18: `metadata.name`: `-a` is not a name: it must begin and end with a letter or a digit; try `a`
      |
    3 | metadata: {name: -a}
      |                  ^
    "#);
    assert_snapshot!(name("''"), @r#"
    dask.yaml:3:18: `metadata.name`: a name cannot be empty
      |
    3 | metadata: {name: ''}
      |                  ^
    "#);
    assert_snapshot!(name("~"), @r#"
    dask.yaml:3:18: `metadata.name`: expected a text, found nothing
      |
    3 | metadata: {name: ~}
      |                  ^
    hint: an instance needs a name, for example `metadata: {name: my-dask}`
    "#);
    assert_snapshot!(name("[a]"), @r#"
    dask.yaml:3:18: `metadata.name`: expected a text, found a list
      |
    3 | metadata: {name: [a]}
      |                  ^
    "#);
    assert_snapshot!(name(&"a".repeat(60)), @r#"
    dask.yaml:3:18: `metadata.name`: `aaaaaaaaaaaaaaaaaaaa…` has 60 characters; a name has at most 53
      |
    3 | metadata: {name: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa}
      |                  ^
    "#);
    assert_snapshot!(name("a, namespace: b"), @r#"
    dask.yaml:3:21: unknown key `namespace` in `metadata`
      |
    3 | metadata: {name: a, namespace: b}
      |                     ^
    hint: known keys: name, labels, annotations
    "#);
    assert_snapshot!(name("a, labels: {team: a b, /x: y}"), @r#"
    dask.yaml:3:36: `metadata.labels.team`: `a b` is not the value of a label
      |
    3 | metadata: {name: a, labels: {team: a b, /x: y}}
      |                                    ^
    hint: at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit first and last; an annotation can have any text

    dask.yaml:3:41: `metadata.labels./x`: this is not the key of a label or an annotation
      |
    3 | metadata: {name: a, labels: {team: a b, /x: y}}
      |                                         ^
    hint: like `team` or `example.com/team`: at most 63 letters, digits, `-`, `_` and `.`, with a letter or digit first and last
    "#);
}

#[test]
fn duplicates() {
    assert_snapshot!(spec("  env: &a {A: b}\n  notebook:\n    env:\n      <<: *a\n      <<: *a\n"), @r#"
    dask.yaml:10:7: duplicate key `<<`; the first is on line 9
       |
    10 |       <<: *a
       |       ^
    hint: remove one of them
    "#);
    assert_snapshot!(spec("  workers:\n    replicas: 4\n    replicas: 5\n"), @r#"
    dask.yaml:8:5: duplicate key `replicas`; the first is on line 7
      |
    8 |     replicas: 5
      |     ^
    hint: remove one of them
    "#);
    assert_snapshot!(errors(format!("{HEAD}---\n{HEAD}")), @r#"
    dask.yaml:9:9: the name `dask` is already that of the instance at dask.yaml:4:9
      |
    9 |   name: dask
      |         ^
    hint: give each instance its own name
    "#);
    assert_snapshot!(spec("  data:\n    - {name: a, path: /a}\n    - {name: b, path: /b}\n    - {name: a, path: /c}\n"), @r#"
    dask.yaml:9:14: `spec.data[2].name`: `a` is already the name of `spec.data[0]`
      |
    9 |     - {name: a, path: /c}
      |              ^
    hint: give each its own name
    "#);
    assert_snapshot!(spec("  endpoints:\n    notebook: {port: 9000}\n    client: {port: 9000, host: localhost}\n"), @r#"
    dask.yaml:8:20: `spec.endpoints.client.port`: port 9000 is already that of `spec.endpoints.notebook`
      |
    8 |     client: {port: 9000, host: localhost}
      |                    ^
    hint: give each its own port, or leave it out for a free one
    "#);
}

#[test]
fn kubernetes() {
    assert_snapshot!(spec("  data: [{name: a, path: /a, volume: {claim: {}}}]\n"), @r#"
    dask.yaml:6:46: `spec.data[0].volume.claim`: it needs a `name` or a `size`
      |
    6 |   data: [{name: a, path: /a, volume: {claim: {}}}]
      |                                              ^
    hint: `name` is that of a claim that exists; with a `size` Seaway makes one
    "#);
    assert_snapshot!(spec("  kubernetes: {roles: {workers: {}}}\n"), @r#"
    dask.yaml:6:24: `spec.kubernetes.roles`: there is no role `workers`
      |
    6 |   kubernetes: {roles: {workers: {}}}
      |                        ^
    hint: did you mean `worker`? known roles: scheduler, worker, notebook
    "#);
    assert_snapshot!(spec("  kubernetes:\n    pods:\n      volumes: [{name: a, path: b, volume: {secret: {name: a}}}]\n"), @r#"
    dask.yaml:8:33: `spec.kubernetes.pods.volumes[0].path`: a path in a container begins with `/`
      |
    8 |       volumes: [{name: a, path: b, volume: {secret: {name: a}}}]
      |                                 ^
    "#);
    assert_snapshot!(spec("  kubernetes: {imagePullPolicy: Sometimes}\n"), @r#"
    dask.yaml:6:33: `spec.kubernetes.imagePullPolicy`: unknown value `Sometimes`
      |
    6 |   kubernetes: {imagePullPolicy: Sometimes}
      |                                 ^
    hint: known values: IfNotPresent, Always, Never
    "#);
}

#[test]
fn unknown_keys() {
    assert_snapshot!(spec("  workers:\n    replica: 4\n"), @r#"
    dask.yaml:7:5: unknown key `replica` in `spec.workers`
      |
    7 |     replica: 4
      |     ^
    hint: did you mean `replicas`? known keys: replicas, threads, resources, tags, env, args
    "#);
    assert_snapshot!(spec("  colour: red\n"), @r#"
    dask.yaml:6:3: unknown key `colour` in `spec`
      |
    6 |   colour: red
      |   ^
    hint: known keys: python, scheduler, workers, notebook, data, env, endpoints, discovery, kubernetes
    "#);
    assert_snapshot!(spec("  endpoints:\n    dashbord: {port: 8787}\n"), @r#"
    dask.yaml:7:5: `spec.endpoints`: Dask has no endpoint `dashbord`
      |
    7 |     dashbord: {port: 8787}
      |     ^
    hint: did you mean `dashboard`? known endpoints: client, dashboard, notebook
    "#);
    assert_snapshot!(spec("  endpoints:\n    Client: {port: 8787}\n"), @r#"
    dask.yaml:7:5: `spec.endpoints`: `Client` is not a name: `C` is not allowed; names use lower-case letters, digits and `-` (RFC 1123); try `client`
      |
    7 |     Client: {port: 8787}
      |     ^
    "#);
    assert_snapshot!(spec("  discovery:\n    - files: {}\n"), @r#"
    dask.yaml:7:7: unknown key `files` in `spec.discovery[0]`
      |
    7 |     - files: {}
      |       ^
    hint: did you mean `file`? known keys: file, stdout, http, kubernetes, consul, redis
    "#);
    assert_snapshot!(spec("  discovery:\n    - http: {url: 'http://x', method: GET}\n"), @r#"
    dask.yaml:7:39: `spec.discovery[0].http.method`: unknown value `GET`
      |
    7 |     - http: {url: 'http://x', method: GET}
      |                                       ^
    hint: known values: POST, PUT, PATCH, DELETE
    "#);
    assert_snapshot!(spec("  discovery:\n    - stdout\n"), @r#"
    dask.yaml:7:7: `spec.discovery[0]`: `stdout` is a key here: write `stdout: {}`
      |
    7 |     - stdout
      |       ^
    "#);
    assert_snapshot!(spec("  discovery:\n    - http: {}\n"), @r#"
    dask.yaml:7:13: missing `url` in `spec.discovery[0].http`
      |
    7 |     - http: {}
      |             ^
    "#);
    assert_snapshot!(spec("  discovery:\n    - {}\n"), @r#"
    dask.yaml:7:7: `spec.discovery[0]`: expected one key (file, stdout, http, kubernetes, consul, redis), found 0
      |
    7 |     - {}
      |       ^
    "#);
}
