//! What holds for all documents and for all texts.

use proptest::prelude::*;
use seaway_model::{
    Document, Name, Spec,
    document::{DataSpec, EndpointSpec, Override, parse},
};

use crate::{HEAD, one};

/// Texts that YAML likes to take for something else.
fn text() -> impl Strategy<Value = String> {
    let tricky = prop::sample::select(vec![
        "",
        " ",
        "~",
        "null",
        "true",
        "no",
        "on",
        "1",
        "1.0",
        "0x1",
        "1e3",
        ".5",
        ".inf",
        "-",
        "- a",
        "a: b",
        "a #b",
        "#",
        "*a",
        "&a",
        "!a",
        "|",
        ">",
        "%",
        "@",
        "`",
        "'",
        "\"",
        "{",
        "}",
        "[",
        "]",
        ",",
        "?",
        "? a",
        "---",
        "--- a",
        "...",
        "<<",
        "=",
        "a\n",
        "\na",
        "a\n\nb",
        " a",
        "a ",
        "\ta",
        "a\tb",
        "2001-01-01",
        "1:30",
        "\u{feff}a",
        "a\u{85}b",
        "a\u{2028}b",
        "a\rb",
        "a\r\nb",
        "\u{7f}",
        "\u{1b}[0m",
        "\u{80}",
        "\u{fffe}",
        "é",
        "😀",
        "\u{a0}",
        "a:",
        ":a",
        "+1",
        "0o7",
        "1_000",
    ]);
    prop_oneof![3 => tricky.prop_map(String::from), 1 => "[ -~]{0,20}", 1 => "[^\u{0}]{0,12}"]
}

prop_compose! {
    fn documents()(
        name in "[a-z]([a-z0-9-]{0,20}[a-z0-9])?",
        label in "([A-Za-z0-9]([A-Za-z0-9._-]{0,20}[A-Za-z0-9])?)?",
        annotation in text(),
        replicas in 0u32..=1000,
        threads in prop::option::of(1u32..=1024),
        memory in prop::option::of((1u64 << 20)..(1 << 50)),
        cpu in prop::option::of(1u64..1_024_000),
        tag in prop::option::of(0.0f64..1e12),
        env in prop::collection::btree_map("[A-Za-z_][A-Za-z0-9_]{0,8}", text(), 0..4),
        args in prop::collection::vec(text(), 0..4),
        directory in prop::option::of("/[^\u{0}]{0,8}"),
        version in prop::option::of("3\\.(8|10|12)"),
        port in prop::option::of(1u16..),
        enabled: bool,
        data in prop::collection::btree_set("[a-z]{1,3}", 0..3),
    ) -> Document {
        let mut document = one(HEAD);
        document.metadata.name = name.parse().unwrap();
        document.metadata.labels.insert("example.com/a".into(), label);
        document.metadata.annotations.insert("a.b".into(), annotation);
        let Spec::Dask(spec) = &mut document.spec;
        spec.workers.replicas = replicas;
        spec.workers.threads = threads;
        spec.workers.resources.memory = memory.map(|bytes| bytes.to_string().parse().unwrap());
        spec.workers.resources.cpu = cpu.map(|millis| format!("{millis}m").parse().unwrap());
        spec.workers.tags.extend(tag.map(|amount| ("GPU".to_owned(), amount)));
        spec.workers.env = env.clone();
        spec.env = env;
        spec.scheduler.args = args;
        spec.notebook.directory = directory.map(Into::into);
        spec.notebook.enabled = enabled;
        spec.python.version = version;
        let endpoint = EndpointSpec { port, host: None };
        spec.endpoints.insert(Name::literal("client"), endpoint);
        spec.data = data
            .into_iter()
            .map(|name| DataSpec {
                name: name.parse().unwrap(),
                path: "/a".into(),
                read_only: enabled,
                volume: None,
            })
            .collect();
        document
    }
}

/// Text that looks enough like YAML to come far.
fn yaml_like() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "apiVersion: seaway.dev/v1alpha1\n",
        "kind: Dask\n",
        "metadata:\n",
        "  name: a\n",
        "spec:\n",
        "  workers:\n",
        "    replicas: 4\n",
        "---\n",
        "...\n",
        "- ",
        "? ",
        ": ",
        "a",
        "&a ",
        "*a",
        "!!str ",
        "!x ",
        "|",
        ">-",
        "\n",
        "  ",
        "\t",
        "{",
        "}",
        "[",
        "]",
        ",",
        "\"",
        "'",
        "#",
        "%YAML 1.2\n",
        "<<: ",
        "\r",
        "\u{feff}",
        "é",
        "\\",
        "0x",
        "-1",
        "~",
        "1e999",
        "{name: b}",
        "  data:\n",
        "    - name: a\n",
        "  env:\n",
        "  discovery:\n",
        "    - http:\n",
        "\u{85}",
        "\u{7f}",
    ]);
    prop::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat())
}

/// Every error has a place within the text.
fn check(text: &[u8]) {
    let Err(errors) = parse("a.yaml", text) else {
        return;
    };
    assert!(!errors.errors().is_empty());
    for error in errors.errors() {
        assert!(error.line >= 1 && error.column >= 1, "{error:?}");
        let shown = error.to_string();
        assert!(
            !shown.contains(|c: char| c.is_control() && c != '\n'),
            "{shown:?}"
        );
        assert!(shown.starts_with("a.yaml:"), "{shown}");
        assert!(
            error.line <= String::from_utf8_lossy(text).split(['\n', '\r']).count(),
            "{shown}"
        );
        assert!(
            !error.message.is_empty() && !error.message.contains("EOF"),
            "{shown}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(1000) })]

    #[test]
    fn nothing_is_lost(document in documents()) {
        let json = serde_json::to_string(&document).unwrap();
        prop_assert_eq!(&Document::from_json("store", &json).unwrap_or_else(|e| panic!("{e}")), &document);
        prop_assert_eq!(&serde_json::from_str::<Document>(&json).unwrap(), &document);
        prop_assert_eq!(&document.with_overrides(&[]).unwrap(), &document);
        let yaml = document.to_yaml().unwrap();
        prop_assert_eq!(&one(&yaml), &document, "{}", yaml);
    }

    #[test]
    fn no_text_is_too_much(text in yaml_like()) {
        check(text.as_bytes());
        check(format!("{HEAD}spec:\n  {text}").as_bytes());
    }

    #[test]
    fn no_bytes_are_too_much(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        check(&bytes);
    }

    #[test]
    fn no_override_is_too_much(key in "[a-z0-9.\\[\\]\\\\]{0,12}|workers[.\\[\\]a-z0-9]{0,8}", value in yaml_like()) {
        if let Ok(one_override) = Override::parse(&format!("{key}={value}")) {
            let _ = one(HEAD).with_overrides(&[one_override]);
        }
    }
}
