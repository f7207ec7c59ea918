//! Documents with the wrong values.

use insta::assert_snapshot;

use crate::{HEAD, errors, spec};

#[test]
fn wrong_types() {
    assert_snapshot!(spec("  workers:\n    replicas: four\n"), @r#"
    dask.yaml:7:15: `spec.workers.replicas`: expected a whole number from 0 to 1000, found the text `four`
      |
    7 |     replicas: four
      |               ^
    "#);
    assert_snapshot!(spec("  workers:\n    replicas: 2.5\n"), @r#"
    dask.yaml:7:15: `spec.workers.replicas`: expected a whole number from 0 to 1000, found the number `2.5`
      |
    7 |     replicas: 2.5
      |               ^
    "#);
    assert_snapshot!(spec("  workers:\n    replicas:\n"), @r#"
    dask.yaml:7:13: `spec.workers.replicas`: expected a whole number from 0 to 1000, found nothing
      |
    7 |     replicas:
      |             ^
    "#);
    assert_snapshot!(spec("  workers: 4\n"), @r#"
    dask.yaml:6:12: `spec.workers`: expected a mapping (`key: value` lines), found the number `4`
      |
    6 |   workers: 4
      |            ^
    "#);
    assert_snapshot!(spec("  workers: [4]\n"), @r#"
    dask.yaml:6:12: `spec.workers`: expected a mapping (`key: value` lines), found a list
      |
    6 |   workers: [4]
      |            ^
    "#);
    assert_snapshot!(spec("  notebook: {enabled: yes}\n"), @r#"
    dask.yaml:6:23: `spec.notebook.enabled`: expected `true` or `false`, found the text `yes`
      |
    6 |   notebook: {enabled: yes}
      |                       ^
    "#);
    assert_snapshot!(spec("  scheduler:\n    args: --verbose\n"), @r#"
    dask.yaml:7:11: `spec.scheduler.args`: expected a list, found the text `--verbose`
      |
    7 |     args: --verbose
      |           ^
    hint: write `[--verbose]`, or each item on a line after `- `
    "#);
    assert_snapshot!(spec("  scheduler:\n    args: [{a: b}]\n"), @r#"
    dask.yaml:7:12: `spec.scheduler.args[0]`: expected a text, found a mapping
      |
    7 |     args: [{a: b}]
      |            ^
    "#);
    assert_snapshot!(spec("  data:\n    - name: a\n"), @r#"
    dask.yaml:7:7: missing `path` in `spec.data[0]`
      |
    7 |     - name: a
      |       ^
    "#);
    assert_snapshot!(spec("  data: {a: /b}\n"), @r#"
    dask.yaml:6:9: `spec.data`: expected a list, found a mapping
      |
    6 |   data: {a: /b}
      |         ^
    "#);
    assert_snapshot!(spec("  workers:\n    tags: {GPU: two}\n"), @r#"
    dask.yaml:7:17: `spec.workers.tags.GPU`: expected a number, found the text `two`
      |
    7 |     tags: {GPU: two}
      |                 ^
    "#);
    assert_snapshot!(spec("  workers:\n    tags: {GPU: .nan, 'a b': -1}\n"), @r#"
    dask.yaml:7:17: `spec.workers.tags.GPU`: an amount is a number that is not below 0
      |
    7 |     tags: {GPU: .nan, 'a b': -1}
      |                 ^

    dask.yaml:7:23: `spec.workers.tags`: `a b` is not the name of a resource
      |
    7 |     tags: {GPU: .nan, 'a b': -1}
      |                       ^
    hint: letters, digits, `-`, `_` and `.`, for example `GPU`

    dask.yaml:7:30: `spec.workers.tags.a b`: an amount is a number that is not below 0
      |
    7 |     tags: {GPU: .nan, 'a b': -1}
      |                              ^
    "#);
    assert_snapshot!(errors(format!("{HEAD}spec: nothing\n")), @r#"
    dask.yaml:5:7: `spec`: expected a mapping (`key: value` lines), found the text `nothing`
      |
    5 | spec: nothing
      |       ^
    "#);
}

#[test]
fn quantities() {
    assert_snapshot!(spec("  workers:\n    replicas: -4\n"), @r#"
    dask.yaml:7:15: `spec.workers.replicas`: expected a whole number from 0 to 1000, found the number `-4`
      |
    7 |     replicas: -4
      |               ^
    "#);
    assert_snapshot!(spec("  workers:\n    replicas: 1001\n"), @r#"
    dask.yaml:7:15: `spec.workers.replicas`: expected a whole number from 0 to 1000, found the number `1001`
      |
    7 |     replicas: 1001
      |               ^
    "#);
    assert_snapshot!(spec("  workers:\n    replicas: 99999999999999999999999\n"), @r#"
    dask.yaml:7:15: `spec.workers.replicas`: expected a whole number from 0 to 1000, found the number `99999999999999999999999`
      |
    7 |     replicas: 99999999999999999999999
      |               ^
    "#);
    assert_snapshot!(spec("  workers:\n    threads: 0\n"), @r#"
    dask.yaml:7:14: `spec.workers.threads`: expected a whole number from 1 to 1024, found the number `0`
      |
    7 |     threads: 0
      |              ^
    "#);
    assert_snapshot!(spec("  workers:\n    resources: {memory: -1Gi}\n"), @r#"
    dask.yaml:7:25: `spec.workers.resources.memory`: `-1Gi` is not an amount of memory: it must be at least 1Mi
      |
    7 |     resources: {memory: -1Gi}
      |                         ^
    "#);
    assert_snapshot!(spec("  workers:\n    resources: {memory: 0}\n"), @r#"
    dask.yaml:7:25: `spec.workers.resources.memory`: `0` is not an amount of memory: it must be at least 1Mi
      |
    7 |     resources: {memory: 0}
      |                         ^
    "#);
    assert_snapshot!(spec("  workers:\n    resources: {memory: 99999999999999999999999}\n"), @r#"
    dask.yaml:7:25: `spec.workers.resources.memory`: `99999999999999999999999` is not an amount of memory: it must be at most 1024Ti
      |
    7 |     resources: {memory: 99999999999999999999999}
      |                         ^
    "#);
    assert_snapshot!(spec("  workers:\n    resources: {memory: 512mb}\n"), @r#"
    dask.yaml:7:25: `spec.workers.resources.memory`: `512mb` is not an amount of memory: it has no unit `mb`; units are Ki, Mi, Gi, Ti (powers of 1024), k, M, G, T (powers of 1000) or none (bytes)
      |
    7 |     resources: {memory: 512mb}
      |                         ^
    "#);
    assert_snapshot!(spec("  workers:\n    resources: {memory: [1Gi]}\n"), @r#"
    dask.yaml:7:25: `spec.workers.resources.memory`: expected an amount of memory like `512Mi`, `2Gi` or `1500M`, found a list
      |
    7 |     resources: {memory: [1Gi]}
      |                         ^
    "#);
    assert_snapshot!(spec("  workers:\n    resources: {cpu: -0.5}\n"), @r#"
    dask.yaml:7:22: `spec.workers.resources.cpu`: `-0.5` is not an amount of CPU: it must be at least 1m
      |
    7 |     resources: {cpu: -0.5}
      |                      ^
    "#);
    assert_snapshot!(spec("  workers:\n    resources: {cpu: 1e9}\n"), @r#"
    dask.yaml:7:22: `spec.workers.resources.cpu`: `1000000000` is not an amount of CPU: it must be at most 100000 cores
      |
    7 |     resources: {cpu: 1e9}
      |                      ^
    "#);
    assert_snapshot!(spec("  workers:\n    resources: {cpu: 2000}\n"), @r#"
    dask.yaml:7:22: `spec.workers.resources.cpu`: a worker has a thread for each of its cores, and at most 1024 of them
      |
    7 |     resources: {cpu: 2000}
      |                      ^
    hint: give `spec.workers.threads`, or use more workers
    "#);
    assert_snapshot!(spec("  endpoints:\n    client: {port: 70000}\n"), @r#"
    dask.yaml:7:20: `spec.endpoints.client.port`: expected a whole number from 1 to 65535, found the number `70000`
      |
    7 |     client: {port: 70000}
      |                    ^
    "#);
    assert_snapshot!(spec("  discovery:\n    - file: {lease: -1s}\n"), @r#"
    dask.yaml:7:21: `spec.discovery[0].file.lease`: `-1s` is not a duration: it must be at least 1ms
      |
    7 |     - file: {lease: -1s}
      |                     ^
    "#);
}

#[test]
fn values_with_a_form() {
    assert_snapshot!(spec("  env:\n    A:\n"), @r#"
    dask.yaml:7:6: `spec.env.A`: expected a text, found nothing
      |
    7 |     A:
      |      ^
    hint: write `""` for an empty text, `"null"` for the word
    "#);
    assert_snapshot!(spec("  env:\n    A: [a]\n"), @r#"
    dask.yaml:7:8: `spec.env.A`: expected a text, found a list
      |
    7 |     A: [a]
      |        ^
    "#);
    assert_snapshot!(spec("  workers:\n    env:\n      MY-VAR: a\n      2B: b\n"), @r#"
    dask.yaml:8:7: `spec.workers.env`: `MY-VAR` is not the name of an environment variable
      |
    8 |       MY-VAR: a
      |       ^
    hint: letters, digits and `_`, not beginning with a digit

    dask.yaml:9:7: `spec.workers.env`: `2B` is not the name of an environment variable
      |
    9 |       2B: b
      |       ^
    hint: letters, digits and `_`, not beginning with a digit
    "#);
    assert_snapshot!(spec("  python:\n    environment: /opt/venv\n    packages: [pandas]\n    version: 3.12\n"), @r#"
    dask.yaml:8:5: `spec.python.packages`: cannot be given together with `spec.python.environment`
      |
    8 |     packages: [pandas]
      |     ^
    hint: remove one of them: an existing environment is used as it is, with its own packages

    dask.yaml:9:5: `spec.python.version`: cannot be given together with `spec.python.environment`
      |
    9 |     version: 3.12
      |     ^
    hint: remove one of them: an existing environment is used as it is, with its own version
    "#);
    assert_snapshot!(spec("  python:\n    version: latest\n    packages: [--index-url=http://x]\n"), @r#"
    dask.yaml:7:14: `spec.python.version`: `latest` is not a version of Python 3
      |
    7 |     version: latest
      |              ^
    hint: write it like `3.12`

    dask.yaml:8:16: `spec.python.packages[0]`: `--index-url=http://x` is not a requirement
      |
    8 |     packages: [--index-url=http://x]
      |                ^
    hint: write it like `pandas`, `pandas>=2,<3` or `name @ https://…` (PEP 508)
    "#);
    assert_snapshot!(spec("  endpoints:\n    client: {host: 'localhost:8786'}\n"), @r#"
    dask.yaml:7:20: `spec.endpoints.client.host`: `localhost:8786` is not an address or a host name
      |
    7 |     client: {host: 'localhost:8786'}
      |                    ^
    hint: write it like `0.0.0.0`, `::1` or `localhost`; the port has its own key
    "#);
    assert_snapshot!(spec("  data:\n    - {name: a, path: ''}\n"), @r#"
    dask.yaml:7:23: `spec.data[0].path`: a path cannot be empty
      |
    7 |     - {name: a, path: ''}
      |                       ^
    "#);
}
