//! Bad input through the binary: an error with its place, nothing started, nothing left.

use insta::assert_snapshot;

use crate::harness::{Home, Invocation, Output, filters};

/// The beginning of a right document.
const HEAD: &str = "apiVersion: seaway.dev/v1alpha1\nkind: Dask\nmetadata: {name: dask}\n";

/// The answer to a command that is refused before anything is made.
#[track_caller]
fn refused(home: &Home, command: Invocation) -> Output {
    let output = command.run().with_code(2);
    assert_eq!(output.stdout, "", "{output}");
    assert!(output.stderr.starts_with("error: "), "{output}");
    assert!(!home.state_home().exists(), "something was made for {output}");
    assert!(home.processes().is_empty(), "something was started for {output}");
    output
}

/// What `up` and `plan` answer to a document, which must be the same.
#[track_caller]
fn answer(content: impl AsRef<[u8]>) -> String {
    let home = Home::new();
    home.file("bad.yaml", content);
    let planned = refused(&home, home.seaway(["plan", "--file", "bad.yaml"]));
    let output = refused(&home, home.seaway(["up", "--detach", "--file", "bad.yaml"]));
    assert_eq!(output.stderr, planned.stderr);
    output.stderr
}

/// The answer to a spec.
#[track_caller]
fn spec(lines: &str) -> String {
    answer(format!("{HEAD}spec:\n{lines}"))
}

#[test]
fn an_empty_file() {
    assert_snapshot!(answer(""), @"
    error: bad.yaml:1:1: the file is empty
      |
    1 |
      | ^
    hint: an instance document begins with `apiVersion: seaway.dev/v1alpha1`
    ");
    assert!(answer("\n\n# nothing\n---\n...\n").starts_with("error: bad.yaml:"));
}

#[test]
fn a_binary_file() {
    let elf = [
        b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0>\0".as_slice(),
        &[0xff; 5000],
    ]
    .concat();
    let said = answer(elf);
    assert!(said.starts_with("error: bad.yaml:1:"), "{said}");
    assert!(
        !said.contains('\u{7f}') && !said.contains('\0'),
        "no control characters reach the terminal: {said:?}"
    );
}

#[test]
fn ten_megabytes_of_yaml() {
    let mut text = format!("{HEAD}spec:\n  env:\n");
    for number in 0..400_000 {
        text.push_str(&format!("    KEY_{number:07}: value-{number}\n"));
    }
    assert!(text.len() > 10_000_000);
    let said = answer(text);
    assert!(
        said.contains("an instance file has at most 1048576 (1 MiB)"),
        "{said}"
    );
    assert!(said.len() < 1_000, "{said}");
}

#[test]
fn wrong_types() {
    assert_snapshot!(spec("  workers: [1, 2]\n"), @"
    error: bad.yaml:5:12: `spec.workers`: expected a mapping (`key: value` lines), found a list
      |
    5 |   workers: [1, 2]
      |            ^
    ");
    assert_snapshot!(spec("  workers:\n    replicas: several\n"), @"
    error: bad.yaml:6:15: `spec.workers.replicas`: expected a whole number from 0 to 1000, found the text `several`
      |
    6 |     replicas: several
      |               ^
    ");
    assert_snapshot!(spec("  notebook:\n    enabled: 17\n"), @"
    error: bad.yaml:6:14: `spec.notebook.enabled`: expected `true` or `false`, found the number `17`
      |
    6 |     enabled: 17
      |              ^
    ");
    assert_snapshot!(spec("  env: [A, B]\n"), @"
    error: bad.yaml:5:8: `spec.env`: expected a mapping (`key: value` lines), found a list
      |
    5 |   env: [A, B]
      |        ^
    ");
    assert_snapshot!(answer("- 1\n- 2\n"), @"
    error: bad.yaml:1:1: expected an instance document, found a list
      |
    1 | - 1
      | ^
    hint: it begins with `apiVersion: seaway.dev/v1alpha1`
    ");
    assert_snapshot!(answer("just a word"), @"
    error: bad.yaml:1:1: expected an instance document, found the text `just a word`
      |
    1 | just a word
      | ^
    hint: it begins with `apiVersion: seaway.dev/v1alpha1`
    ");
}

#[test]
fn negative_and_absurd_quantities() {
    assert_snapshot!(spec("  workers:\n    replicas: -1\n"), @"
    error: bad.yaml:6:15: `spec.workers.replicas`: expected a whole number from 0 to 1000, found the number `-1`
      |
    6 |     replicas: -1
      |               ^
    ");
    assert_snapshot!(spec("  workers:\n    replicas: 1000000000000\n"), @"
    error: bad.yaml:6:15: `spec.workers.replicas`: expected a whole number from 0 to 1000, found the number `1000000000000`
      |
    6 |     replicas: 1000000000000
      |               ^
    ");
    assert_snapshot!(spec("  workers:\n    resources: {memory: -2Gi}\n"), @"
    error: bad.yaml:6:25: `spec.workers.resources.memory`: `-2Gi` is not an amount of memory: it must be at least 1Mi
      |
    6 |     resources: {memory: -2Gi}
      |                         ^
    ");
    assert_snapshot!(spec("  workers:\n    resources: {memory: 99999999999Ei}\n"), @"
    error: bad.yaml:6:25: `spec.workers.resources.memory`: `99999999999Ei` is not an amount of memory: it has no unit `Ei`; units are Ki, Mi, Gi, Ti (powers of 1024), k, M, G, T (powers of 1000) or none (bytes)
      |
    6 |     resources: {memory: 99999999999Ei}
      |                         ^
    ");
    assert_snapshot!(spec("  workers:\n    resources: {memory: 12 parsecs}\n"), @"
    error: bad.yaml:6:25: `spec.workers.resources.memory`: `12 parsecs` is not an amount of memory: it has no unit `parsecs`; units are Ki, Mi, Gi, Ti (powers of 1024), k, M, G, T (powers of 1000) or none (bytes)
      |
    6 |     resources: {memory: 12 parsecs}
      |                         ^
    ");
    assert_snapshot!(spec("  workers:\n    resources: {cpu: 0}\n"), @"
    error: bad.yaml:6:22: `spec.workers.resources.cpu`: `0` is not an amount of CPU: it must be at least 1m
      |
    6 |     resources: {cpu: 0}
      |                      ^
    ");
    assert_snapshot!(spec("  endpoints:\n    client: {port: 65536}\n"), @"
    error: bad.yaml:6:20: `spec.endpoints.client.port`: expected a whole number from 1 to 65535, found the number `65536`
      |
    6 |     client: {port: 65536}
      |                    ^
    ");
}

#[test]
fn names_that_are_no_names() {
    assert_snapshot!(answer(HEAD.replace("name: dask", "name: Bad_Name")), @"
    error: bad.yaml:3:18: `metadata.name`: `Bad_Name` is not a name: `B` is not allowed; names use lower-case letters, digits and `-` (RFC 1123); try `bad-name`
      |
    3 | metadata: {name: Bad_Name}
      |                  ^
    ");
    assert_snapshot!(answer(HEAD.replace("name: dask", "name: ''")), @"
    error: bad.yaml:3:18: `metadata.name`: a name cannot be empty
      |
    3 | metadata: {name: ''}
      |                  ^
    ");
    assert_snapshot!(answer(HEAD.replace("name: dask", "name: -dask")), @"
    error: bad.yaml:3:18: `metadata.name`: `-dask` is not a name: it must begin and end with a letter or a digit; try `dask`
      |
    3 | metadata: {name: -dask}
      |                  ^
    ");
    assert_snapshot!(answer(HEAD.replace("name: dask", &format!("name: {}", "long-".repeat(20)))), @"
    error: bad.yaml:3:18: `metadata.name`: `long-long-long-long-…` has 100 characters; a name has at most 53
      |
    3 | metadata: {name: long-long-long-long-long-long-long-long-long-long-long-long-long-long-long-long-lon…
      |                  ^
    ");
    assert_snapshot!(answer(HEAD.replace("name: dask", "name: ../../etc")), @"
    error: bad.yaml:3:18: `metadata.name`: `../../etc` is not a name: `.` is not allowed; names use lower-case letters, digits and `-` (RFC 1123); try `etc`
      |
    3 | metadata: {name: ../../etc}
      |                  ^
    ");
}

#[test]
fn duplicate_names_and_keys() {
    assert_snapshot!(answer(format!("{HEAD}---\n{HEAD}")), @"
    error: bad.yaml:7:18: the name `dask` is already that of the instance at bad.yaml:3:18
      |
    7 | metadata: {name: dask}
      |                  ^
    hint: give each instance its own name
    ");
    assert_snapshot!(answer(format!("{HEAD}spec: {{}}\nspec: {{}}\n")), @"
    error: bad.yaml:5:1: duplicate key `spec`; the first is on line 4
      |
    5 | spec: {}
      | ^
    hint: remove one of them
    ");
}

#[test]
fn unknown_keys_kinds_and_versions() {
    assert_snapshot!(spec("  worker: {replicas: 2}\n"), @"
    error: bad.yaml:5:3: unknown key `worker` in `spec`
      |
    5 |   worker: {replicas: 2}
      |   ^
    hint: did you mean `workers`? known keys: python, scheduler, workers, notebook, data, env, endpoints, discovery, kubernetes
    ");
    assert_snapshot!(answer(HEAD.replace("Dask", "Dusk")), @"
    error: bad.yaml:2:7: unknown kind `Dusk`
      |
    2 | kind: Dusk
      |       ^
    hint: did you mean `Dask`? known kinds: Dask
    ");
    assert_snapshot!(answer(HEAD.replace("v1alpha1", "v2")), @"
    error: bad.yaml:1:13: `apiVersion`: `seaway.dev/v2` is not known to this version of Seaway
      |
    1 | apiVersion: seaway.dev/v2
      |             ^
    hint: write `apiVersion: seaway.dev/v1alpha1`
    ");
}

#[test]
fn tabs() {
    assert_snapshot!(answer("apiVersion: seaway.dev/v1alpha1\nkind: Dask\nmetadata:\n\tname: dask\n"), @"
    error: bad.yaml:4:2: a tab is used for indentation, which YAML does not allow
      |
    4 | \\tname: dask
      |   ^
    hint: use spaces
    ");
}

#[test]
fn alias_bombs() {
    let mut text = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..20 {
        let before = level - 1;
        text.push_str(&format!(
            "a{level}: &a{level} [{}]\n",
            vec![format!("*a{before}"); 10].join(", ")
        ));
    }
    let said = answer(format!("{text}{HEAD}"));
    assert!(said.starts_with("error: bad.yaml:"), "{said}");
    assert!(said.len() < 5_000, "{said}");
    let deep = answer(format!(
        "{HEAD}spec: {}{}\n",
        "[".repeat(50_000),
        "]".repeat(50_000)
    ));
    assert!(
        deep.starts_with("error: bad.yaml:") && deep.len() < 5_000,
        "{deep}"
    );
}

#[test]
fn files_that_cannot_be_read() {
    let home = Home::new();
    std::fs::create_dir(home.path("folder")).unwrap();
    filters(&home).bind(|| {
        assert_snapshot!(refused(&home, home.seaway(["up", "--file", "missing.yaml"])).stderr, @"
        error: `missing.yaml` cannot be read: No such file or directory (os error 2)
        hint: `seaway plan dask` shows a built-in preset; `seaway schema` says what a document can hold
        ");
        assert_snapshot!(refused(&home, home.seaway(["up", "--file", "folder"])).stderr, @"error: `folder` cannot be read: Is a directory (os error 21)");
        assert_snapshot!(refused(&home, home.seaway(["down", "--file", "missing.yaml"])).stderr, @"
        error: `missing.yaml` cannot be read: No such file or directory (os error 2)
        hint: `seaway plan dask` shows a built-in preset; `seaway schema` says what a document can hold
        ");
        assert_snapshot!(refused(&home, home.seaway(["up", "--file", "-"]).input("kind: 7")).stderr, @"
        error: standard input:1:1: missing `apiVersion`
          |
        1 | kind: 7
          | ^
        hint: write `apiVersion: seaway.dev/v1alpha1`

        standard input:1:1: missing `metadata`
          |
        1 | kind: 7
          | ^
        hint: an instance needs a name, for example `metadata: {name: my-dask}`

        standard input:1:7: unknown kind `7`
          |
        1 | kind: 7
          |       ^
        hint: known kinds: Dask
        ");
    });
}

#[test]
fn wrong_words_on_the_command_line() {
    let home = Home::new();
    let said = |arguments: &[&str]| refused(&home, home.seaway([]).arguments(arguments)).stderr;
    assert_snapshot!(said(&["up", "dask", "--name", "Bad_Name"]), @"error: --name: `Bad_Name` is not a name: `B` is not allowed; names use lower-case letters, digits and `-` (RFC 1123); try `bad-name`");
    assert_snapshot!(said(&["up", "dusk"]), @"error: there is no preset `dusk`; there are: `dask`");
    assert_snapshot!(said(&["up", "dask", "--set", "workers.replica=3"]), @"
    error: --set:1:9: unknown key `replica` in `spec.workers`
      |
    1 | workers.replica=3
      |         ^
    hint: did you mean `replicas`? known keys: replicas, threads, resources, tags, env, args
    ");
    assert_snapshot!(said(&["up", "dask", "--set", "workers.replicas"]), @"
    error: --set:1:17: expected `key=value`
      |
    1 | workers.replicas
      |                 ^
    hint: write it like `workers.replicas=4`
    ");
    assert_snapshot!(said(&["up", "dask", "--set", "workers.replicas=many"]), @"
    error: --set:1:18: `spec.workers.replicas`: expected a whole number from 0 to 1000, found the text `many`
      |
    1 | workers.replicas=many
      |                  ^
    ");
    assert_snapshot!(said(&["up", "dask", "--set", "workers.resources.memory=-1"]), @"
    error: --set:1:26: `spec.workers.resources.memory`: `-1` is not an amount of memory: it must be at least 1Mi
      |
    1 | workers.resources.memory=-1
      |                          ^
    ");
    assert_snapshot!(said(&["scale", "dask", "worker=1", "--timeout", "soon"]), @"
    error: invalid value 'soon' for '--timeout <TIME>': `soon` is not a duration: write it like `30s`, `5m` or `250ms`

    For more information, try '--help'.
    ");
    assert!(said(&["up"]).contains("--file"));
    assert!(said(&["up", "dask", "--no-wait"]).contains("--detach"));
    assert!(said(&["up", "dask", "--file", "x"]).contains("cannot be used with"));
    assert!(said(&["down"]).contains("--all"));
    assert!(said(&["dwon", "dask"]).contains("down"));
}

#[test]
fn a_preset_that_is_a_file_is_answered_with_how_to_use_a_file() {
    let home = Home::new();
    home.file("my.yaml", HEAD);
    assert_snapshot!(refused(&home, home.seaway(["up", "my.yaml"])).stderr, @"
    error: there is no preset `my.yaml`; there are: `dask`
    hint: for a file: `seaway up -f my.yaml`
    ");
}

#[test]
fn what_the_platform_cannot_do_is_refused_with_its_field() {
    let home = Home::new();
    let folder = home.path("nowhere").display().to_string();
    filters(&home).bind(|| {
        let data = refused(&home, home.seaway(["up", "dask", "--set", &format!("data=[{{name: sales, path: {folder}}}]")]));
        assert_snapshot!(data.stderr, @"error: the local platform cannot do this: data directory `sales` (spec.data): `[HOME]/nowhere` is not a folder");
        let notebook = refused(&home, home.seaway(["up", "dask", "--set", &format!("notebook.directory={folder}")]));
        assert_snapshot!(notebook.stderr, @"error: the local platform cannot do this: the directory of role `notebook`: `[HOME]/nowhere` is not a folder");
    });
}
