//! Inputs that are not a document at all, and where the fault is said to be.

use insta::assert_snapshot;

use crate::{HEAD, errors, spec};

#[test]
fn nothing_in_it() {
    assert_snapshot!(errors(""), @r#"
    dask.yaml:1:1: the file is empty
      |
    1 |
      | ^
    hint: an instance document begins with `apiVersion: seaway.dev/v1alpha1`
    "#);
    assert_snapshot!(errors("\n  \n\n"), @r#"
    dask.yaml:1:1: the file is empty
      |
    1 |
      | ^
    hint: an instance document begins with `apiVersion: seaway.dev/v1alpha1`
    "#);
    assert_snapshot!(errors("# kind: Dask\n\n# metadata:\n"), @r#"
    dask.yaml:1:1: the file has only comments
      |
    1 | # kind: Dask
      | ^
    hint: an instance document begins with `apiVersion: seaway.dev/v1alpha1`
    "#);
    assert_snapshot!(errors("---\n---\n...\n"), @r#"
    dask.yaml:1:1: the file has only document markers
      |
    1 | ---
      | ^
    hint: an instance document begins with `apiVersion: seaway.dev/v1alpha1`
    "#);
    assert_snapshot!(errors("---\n~\n"), @r#"
    dask.yaml:2:1: expected an instance document, found nothing
      |
    2 | ~
      | ^
    hint: it begins with `apiVersion: seaway.dev/v1alpha1`
    "#);
    assert_snapshot!(errors("just a text\n"), @r#"
    dask.yaml:1:1: expected an instance document, found the text `just a text`
      |
    1 | just a text
      | ^
    hint: it begins with `apiVersion: seaway.dev/v1alpha1`
    "#);
    assert_snapshot!(errors("- a\n- b\n"), @r#"
    dask.yaml:1:1: expected an instance document, found a list
      |
    1 | - a
      | ^
    hint: it begins with `apiVersion: seaway.dev/v1alpha1`
    "#);
}

#[test]
fn not_text() {
    assert_snapshot!(errors(b"\x7fELF\x02\x01\x01\x00\x00"), @r#"
    dask.yaml:1:8: the file is binary, not YAML: NUL at byte 7
      |
    1 | \u{7f}ELF\u{2}\u{1}\u{1}\0\0
      |                         ^
    hint: is it the right file?
    "#);
    assert_snapshot!(errors(b"kind: Dask\nmetadata: {name: a\x00b}\n"), @r#"
    dask.yaml:2:19: the file is binary, not YAML: NUL at byte 29
      |
    2 | metadata: {name: a\0b}
      |                   ^
    hint: is it the right file?
    "#);
    assert_snapshot!(errors(b"kind: Dask\nname: caf\xe9\n"), @r#"
    dask.yaml:2:10: the file is not UTF-8 text: byte 20 is 0xe9
      |
    2 | name: caf�
      |          ^
    hint: is it the right file? if it is, save it as UTF-8
    "#);
    assert_snapshot!(errors(b"\xff\xfek\x00i\x00"), @r#"
    dask.yaml:1:1: the file is UTF-16, not UTF-8
      |
    1 | ��k\0i\0
      | ^
    hint: save it as UTF-8
    "#);
    assert_snapshot!(spec("  env:\n    A: \"a\\0b\"\n"), @r#"
    dask.yaml:7:8: `spec.env.A`: a NUL character cannot be a part of a name, an argument, a path or a variable
      |
    7 |     A: "a\0b"
      |        ^
    "#);
}

#[test]
fn too_large() {
    let started = std::time::Instant::now();
    assert_snapshot!(errors("data: [1, 2, 3]\n".repeat(625_000)), @r#"
    dask.yaml:1:1: the file has 10000000 bytes; an instance file has at most 1048576 (1 MiB)
      |
    1 | data: [1, 2, 3]
      | ^
    hint: is it the right file? data is referred to by `spec.data`, not put in
    "#);
    assert!(started.elapsed().as_millis() < 200);
    let long = format!(
        "{HEAD}spec:\n  workers: {{replicas: two, env: {{A: {}}}}}\n",
        "a".repeat(3000)
    );
    assert_snapshot!(errors(long), @r#"
    dask.yaml:6:23: `spec.workers.replicas`: expected a whole number from 0 to 1000, found the text `two`
      |
    6 |   workers: {replicas: two, env: {A: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa…
      |                       ^
    "#);
    assert_snapshot!(errors(format!("{HEAD}spec: [{}]\n", "1,".repeat(120_000))), @r#"
    dask.yaml:5:199986: this document has more than 100000 values
      |
    5 | …1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,…
      |                                                    ^
    "#);
}

#[test]
fn alias_bombs() {
    let level = |level: usize| {
        let items = vec![format!("*a{}", level - 1); 9];
        format!("a{level}: &a{level} [{}]\n", items.join(", "))
    };
    let bomb = (1..10).map(level).collect::<Vec<_>>().concat();
    let bomb = format!("a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]\n{bomb}");
    assert_snapshot!(errors(&bomb), @r#"
    dask.yaml:5:9: the aliases of this document expand to more than 100000 values
      |
    5 | a4: &a4 [*a3, *a3, *a3, *a3, *a3, *a3, *a3, *a3, *a3]
      |         ^
    hint: write the values out, or refer to them from fewer places
    "#);
    let level = |level: usize| format!("a{level}: &a{level} [*a{}]\n", level - 1);
    let chain = (1..200).map(level).collect::<Vec<_>>().concat();
    let chain = format!("a0: &a0 [x]\n{chain}");
    assert_snapshot!(errors(&chain), @r#"
    dask.yaml:62:12: values are nested more than 64 levels deep
       |
    62 | a61: &a61 [*a60]
       |            ^
    "#);
    assert_snapshot!(errors("a: &a [*a]\n"), @r#"
    dask.yaml:1:8: this alias refers to the value it is a part of
      |
    1 | a: &a [*a]
      |        ^
    "#);
    assert_snapshot!(errors("a: *b\n"), @r#"
    dask.yaml:1:4: this alias has no anchor before it in the document
      |
    1 | a: *b
      |    ^
    hint: quote the text if it begins with `*`
    "#);
    assert_snapshot!(errors(format!("{}{}", "[".repeat(100), "]".repeat(100))), @r#"
    dask.yaml:1:65: values are nested more than 64 levels deep
      |
    1 | …[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]…
      |                                                    ^
    "#);
    let deep: Vec<_> = (0..100)
        .map(|depth| format!("{}a:\n", " ".repeat(depth)))
        .collect();
    assert_snapshot!(errors(deep.concat()), @r#"
    dask.yaml:64:64: values are nested more than 64 levels deep
       |
    64 |                                                                a:
       |                                                                ^
    "#);
}

#[test]
fn not_yaml() {
    assert_snapshot!(errors(format!("{HEAD}spec:\n\tworkers:\n\t\treplicas: 4\n")), @r#"
    dask.yaml:6:2: a tab is used for indentation, which YAML does not allow
      |
    6 | \tworkers:
      |   ^
    hint: use spaces
    "#);
    assert_snapshot!(spec("  workers:\n  \treplicas: 4\n"), @r#"
    dask.yaml:7:4: a tab is used for indentation, which YAML does not allow
      |
    7 |   \treplicas: 4
      |     ^
    hint: use spaces
    "#);
    assert_snapshot!(spec("  workers:\n    replicas: 4\n   threads: 1\n"), @r#"
    dask.yaml:8:4: the indentation does not fit the lines above
      |
    8 |    threads: 1
      |    ^
    hint: keys of one mapping, and items of one list, begin in the same column
    "#);
    assert_snapshot!(spec("  env:\n    A: 'it's'\n"), @r#"
    dask.yaml:7:12: something follows a quoted text
      |
    7 |     A: 'it's'
      |            ^
    hint: put the whole text within the quotes
    "#);
    assert_snapshot!(spec("  env:\n    A: \"open\n"), @r#"
    dask.yaml:7:13: a quote is not closed on its line, and the next line is not indented
      |
    7 |     A: "open
      |             ^
    hint: close it, or indent the rest
    "#);
    assert_snapshot!(spec("  python: {packages: [a, b}\n"), @r#"
    dask.yaml:6:22: `[` is closed by `}`
      |
    6 |   python: {packages: [a, b}
      |                      ^
    hint: close it by `]`
    "#);
    assert_snapshot!(spec("  python: {packages: [a, b]\n"), @r#"
    dask.yaml:6:11: `{` is not closed
      |
    6 |   python: {packages: [a, b]
      |           ^
    hint: add `}`
    "#);
}

#[test]
fn texts_without_quotes() {
    assert_snapshot!(spec("  env:\n    A: @home\n"), @r#"
    dask.yaml:7:8: a text cannot begin with `@`
      |
    7 |     A: @home
      |        ^
    hint: quote it
    "#);
    assert_snapshot!(spec("  env:\n    A: b: c\n"), @r#"
    dask.yaml:7:9: a `key: value` is not allowed here
      |
    7 |     A: b: c
      |         ^
    hint: check the indentation; quote a text that has `: ` in it
    "#);
    assert_snapshot!(spec("  env:\n    A: !secret b\n"), @r#"
    dask.yaml:7:8: the tag `!secret` means nothing here
      |
    7 |     A: !secret b
      |        ^
    hint: remove it; quote the text if it begins with `!`
    "#);
    assert_snapshot!(spec("  env:\n    A: \"\\d\"\n"), @r#"
    dask.yaml:7:8: `\` begins an escape that YAML does not have
      |
    7 |     A: "\d"
      |        ^
    hint: write `\\` for `\`, or use single quotes
    "#);
    assert_snapshot!(spec("  workers\n"), @r#"
    dask.yaml:6:3: `spec`: expected a mapping (`key: value` lines), found the text `workers`
      |
    6 |   workers
      |   ^
    "#);
    assert_snapshot!(spec("  [a]: b\n"), @r#"
    dask.yaml:6:3: a key is a text, not a list or a mapping
      |
    6 |   [a]: b
      |   ^
    hint: quote it if it begins with `[` or `{`
    "#);
    assert_snapshot!(spec("  : b\n"), @r#"
    dask.yaml:6:3: a key is missing before `:`
      |
    6 |   : b
      |   ^
    "#);
    assert_snapshot!(spec("  - a\n  b: c\n"), @r#"
    dask.yaml:7:3: the indentation does not fit the lines above
      |
    7 |   b: c
      |   ^
    hint: keys of one mapping, and items of one list, begin in the same column
    "#);
    assert_snapshot!(spec("  ,a: b\n"), @r#"
    dask.yaml:6:3: `,` is not expected here
      |
    6 |   ,a: b
      |   ^
    hint: remove it, or quote the text it belongs to
    "#);
    assert_snapshot!(spec("  env: {A: b\n"), @r#"
    dask.yaml:6:8: `{` is not closed
      |
    6 |   env: {A: b
      |        ^
    hint: add `}`
    "#);
    assert_snapshot!(spec("  env: &a\n  <<: [*a, b]\n"), @r#"
    dask.yaml:7:3: `<<` merges a mapping or a list of mappings
      |
    7 |   <<: [*a, b]
      |   ^
    "#);
}

#[test]
fn places() {
    // Several errors of one document, and those of the documents around it.
    let good = HEAD.replace("dask", "good");
    let text =
        format!("# one\n{good}---\n# two\n{HEAD}spec:\n  workers:\n    replicas: x\n---\nkind: Dask\n");
    assert_snapshot!(errors(text), @r#"
    dask.yaml:14:15: `spec.workers.replicas`: expected a whole number from 0 to 1000, found the text `x`
       |
    14 |     replicas: x
       |               ^

    dask.yaml:16:1: missing `apiVersion`
       |
    16 | kind: Dask
       | ^
    hint: write `apiVersion: seaway.dev/v1alpha1`

    dask.yaml:16:1: missing `metadata`
       |
    16 | kind: Dask
       | ^
    hint: an instance needs a name, for example `metadata: {name: my-dask}`
    "#);
    // A syntax error in one document hides nothing of the next.
    assert_snapshot!(errors(format!("--- {{a: [}}\n--- # three\n{HEAD}spec:\n  a: b\n")), @r#"
    dask.yaml:1:9: `[` is closed by `}`
      |
    1 | --- {a: [}
      |         ^
    hint: close it by `]`

    dask.yaml:8:3: unknown key `a` in `spec`
      |
    8 |   a: b
      |   ^
    hint: known keys: python, scheduler, workers, notebook, data, env, endpoints, discovery, kubernetes
    "#);
    assert_snapshot!(errors(format!("{HEAD}spec:\n  workers:\n    replica: 4\n").replace('\n', "\r\n")), @r#"
    dask.yaml:7:5: unknown key `replica` in `spec.workers`
      |
    7 |     replica: 4
      |     ^
    hint: did you mean `replicas`? known keys: replicas, threads, resources, tags, env, args
    "#);
    assert_snapshot!(errors(format!("\u{feff}{HEAD}spec:\n  workers:\n    replica: 4\n").replace('\n', "\r")), @r#"
    dask.yaml:7:5: unknown key `replica` in `spec.workers`
      |
    7 |     replica: 4
      |     ^
    hint: did you mean `replicas`? known keys: replicas, threads, resources, tags, env, args
    "#);
    assert_snapshot!(errors(format!("\u{feff}kid: a\n{HEAD}")), @r#"
    dask.yaml:1:1: unknown key `kid`
      |
    1 | kid: a
      | ^
    hint: did you mean `kind`? known keys: apiVersion, kind, metadata, spec
    "#);
    // The value is wrong where it is written, not where it is referred to.
    assert_snapshot!(spec("  scheduler: {env: &env {A: [b]}}\n  env: *env\n"), @r#"
    dask.yaml:6:29: `spec.scheduler.env.A`: expected a text, found a list
      |
    6 |   scheduler: {env: &env {A: [b]}}
      |                             ^
    "#);
}
