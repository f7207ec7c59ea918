//! Right documents, and what they become.

use seaway_model::{
    Document, Kind, Name,
    discovery::DirectorySpec,
    document::{DaskSpec, PRESETS, parse, preset, schema},
};

use crate::{HEAD, dask, one};

fn spec(lines: &str) -> DaskSpec {
    dask(&one(&format!("{HEAD}spec:\n{lines}"))).clone()
}

#[test]
fn everything_has_a_default() {
    for text in [
        "",
        "spec:\n",
        "spec: {}\n",
        "spec: ~\n",
        "spec:\n  workers:\n    # replicas: 4\n  env:\n  data:\n",
    ] {
        let document = one(&format!("{HEAD}{text}"));
        assert_eq!(document.kind(), Kind::Dask);
        assert_eq!(document.name().as_str(), "dask");
        let spec = dask(&document);
        assert_eq!(*spec, DaskSpec::default());
        assert_eq!(
            (
                spec.workers.replicas,
                spec.workers.effective_threads(),
                spec.notebook.enabled
            ),
            (2, 1, true)
        );
    }
}

#[test]
fn everything_can_be_given() {
    let spec = spec(
        r#"
  python: {packages: ["pandas>=2,<3", "name @ https://example.com/a.whl"], version: 3.10}
  scheduler: {resources: {cpu: 500m, memory: 1Gi}, env: {A: b}, args: [--port, 8786]}
  workers:
    replicas: 0
    threads: 4
    resources: {cpu: 2, memory: 4096M}
    tags: {GPU: 2, SSD: 0.5}
  notebook: {enabled: false, directory: /notes, tokenFile: /notes/token}
  data:
    - {name: sales, path: /data/sales, readOnly: true, volume: {nfs: {server: 10.0.0.1}}}
    - {name: results, path: /results, volume: {claim: {size: 10Gi, accessModes: [ReadWriteOnce], deleteWithInstance: true}}}
  env: {INT: 007, FLOAT: 1.50, BOOL: True, YES: yes, HEX: 0x1F, EMPTY: "", LONG: 123456789012345678901234567890}
  endpoints:
    client: {port: 8786, host: 0.0.0.0}
    dashboard: {port: 8786, host: 127.0.0.1, }
    notebook: {}
  discovery:
    - file: {path: /run/seaway, lease: 1m}
    - stdout: {}
  kubernetes:
    namespace: science
    image: registry.example.com/dask:1
    agentImage: registry.example.com/seaway:1
    imagePullPolicy: Always
    imagePullSecrets: [arlregcred]
    serviceType: NodePort
    networkPolicy: false
    scratchSize: 1Gi
    pods:
      nodeSelector: {disk: ssd}
      tolerations: [{key: gpu, operator: Exists, tolerationSeconds: 5}]
      affinity: {nodeAffinity: {}}
      serviceAccount: runner
      priorityClass: high
      annotations: {a: b}
      labels: {a: b}
      volumes:
        - {name: cache, path: /cache, volume: {emptyDir: {sizeLimit: 1Gi}}}
        - {name: host, path: /host, readOnly: true, volume: {hostPath: {path: /var}}}
        - {name: old, path: /old, volume: {claim: {name: old}}}
        - {name: keys, path: /keys, volume: {secret: {name: keys}}}
        - {name: settings, path: /settings, volume: {configMap: {name: settings}}}
    roles:
      worker: {template: {spec: {hostname: w, shareProcessNamespace: true, terminationGracePeriodSeconds: 5}}}
"#
        .replace("dashboard: {port: 8786", "dashboard: {port: 8787")
        .as_str(),
    );
    assert_eq!(spec.python.version.as_deref(), Some("3.10"));
    assert_eq!(spec.scheduler.args, ["--port", "8786"]);
    assert_eq!(format!("{:?}", spec.workers.tags), r#"{"GPU": 2.0, "SSD": 0.5}"#);
    assert!(!spec.notebook.enabled && spec.data[0].read_only);
    assert_eq!(spec.endpoints.get("client").unwrap().port, Some(8786));
    assert_eq!(
        spec.discovery.iter().map(DirectorySpec::kind).collect::<Vec<_>>(),
        ["file", "stdout"]
    );
    let worker = &spec.kubernetes.roles["worker"];
    assert_eq!(
        serde_json::to_string(&worker.template).unwrap(),
        r#"{"spec":{"hostname":"w","shareProcessNamespace":true,"terminationGracePeriodSeconds":5}}"#
    );
    assert_eq!(spec.kubernetes.pods.tolerations[0]["tolerationSeconds"], 5);
    // As they were written, and not as a number would be printed.
    let written: Vec<_> = spec
        .env
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    assert_eq!(
        written.join(" "),
        "BOOL=True EMPTY= FLOAT=1.50 HEX=0x1F INT=007 LONG=123456789012345678901234567890 YES=yes"
    );
}

#[test]
fn yaml_as_people_write_it() {
    // Anchors, merge keys, block texts, directives, markers, byte order mark, carriage returns.
    let spec = spec(
        "  scheduler: &role {env: {A: b}, args: [x]}\n  notebook: {<<: *role, args: [y]}\n  env:\n    T: |\n      --- a\n      b\n",
    );
    assert_eq!(
        (spec.notebook.env["A"].as_str(), spec.notebook.args[0].as_str()),
        ("b", "y")
    );
    assert_eq!(spec.env["T"], "--- a\nb\n");
    let document = one(HEAD);
    assert_eq!(
        one(&format!(
            "\u{feff}%YAML 1.2\n--- # a comment\n{HEAD}...\n# the end\n"
        )),
        document
    );
    assert_eq!(one(&HEAD.replace('\n', "\r\n")), document);
    let two = format!("---\n{HEAD}---\n---\n{}", HEAD.replace("dask", "other"));
    assert_eq!(parse("a", two.as_bytes()).unwrap().len(), 2);
    // JSON is YAML.
    let json = serde_json::to_string(&document).unwrap();
    assert_eq!(one(&json), document);
    assert_eq!(
        one(&serde_json::to_string_pretty(&document)
            .unwrap()
            .replace("  ", "\t")),
        document
    );
}

#[test]
fn presets_are_documents() {
    for (name, description) in PRESETS {
        let document = Document::preset(name).unwrap();
        assert_eq!(document.name().as_str(), *name);
        assert!(!description.is_empty());
        // What is shown as a comment is right too.
        let shown = |line: &str| {
            // An environment excludes the lines before it.
            let optional = line.starts_with(' ')
                && line.trim_start().starts_with("# ")
                && !line.contains("environment:");
            if optional {
                line.replacen("# ", "", 1) + "\n"
            } else {
                format!("{line}\n")
            }
        };
        let text: String = preset(name).unwrap().lines().map(shown).collect();
        let spec = dask(&one(&text)).clone();
        assert_eq!(
            (
                spec.workers.tags["GPU"],
                spec.data.len(),
                spec.python.packages.len()
            ),
            (1.0, 1, 2)
        );
    }
    assert_eq!(
        Document::preset("dask").unwrap().metadata.name,
        Name::literal("dask")
    );
    assert!(preset("unknown").is_none());
}

#[test]
fn the_schema_says_what_the_reader_does() {
    let schema = schema();
    assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
    assert_eq!(schema["properties"]["apiVersion"]["const"], "seaway.dev/v1alpha1");
    assert_eq!(schema["allOf"][0]["if"]["properties"]["kind"]["const"], "Dask");
    assert_eq!(
        schema["allOf"][0]["then"]["properties"]["spec"]["$ref"],
        "#/$defs/DaskSpec"
    );
    let workers = &schema["$defs"]["WorkersSpec"];
    assert_eq!(workers["additionalProperties"], false);
    let version = &schema["$defs"]["PythonSpec"]["properties"]["version"]["type"];
    assert_eq!(*version, serde_json::json!(["string", "number", "null"]));
    assert_eq!(workers["properties"]["replicas"]["default"], 2);
    assert_eq!(workers["properties"]["replicas"]["maximum"], 1000);
    assert!(
        workers["properties"]["replicas"]["description"]
            .as_str()
            .unwrap()
            .starts_with("How many workers")
    );
    let keys: Vec<_> = schema["$defs"]["DaskSpec"]["properties"]
        .as_object()
        .unwrap()
        .keys()
        .cloned()
        .collect();
    let error = parse("a", format!("{HEAD}spec: {{zzzzz: 1}}\n").as_bytes()).unwrap_err();
    assert_eq!(
        error.errors()[0].hint.as_deref(),
        Some(format!("known keys: {}", keys.join(", ")).as_str())
    );
    // Each of them is told to be indented when it is not.
    for key in keys {
        let error = parse("a", format!("{HEAD}{key}: {{}}\n").as_bytes()).unwrap_err();
        assert_eq!(
            error.errors()[0].hint,
            Some(format!("`{key}` belongs under `spec`"))
        );
    }
}
