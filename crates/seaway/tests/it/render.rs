//! `seaway render`: files for a cluster, made without one.

use std::os::unix::fs::PermissionsExt;

use crate::harness::Home;

#[test]
fn the_files_and_the_stream_are_the_same_but_for_the_token() {
    let home = Home::new();
    let render = || home.seaway(["render", "dask", "--name", "lab", "--namespace", "science"]);
    let stream = render().run().succeeded().stdout;
    let folder = home.path("manifests");
    let said = render()
        .arguments(["--output", folder.to_str().unwrap()])
        .run()
        .succeeded();
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    files.sort();
    assert!(
        said.stderr
            .starts_with(&format!("{} files written to ", files.len())),
        "{said}"
    );
    let text: Vec<String> = files
        .iter()
        .map(|file| std::fs::read_to_string(file).unwrap())
        .collect();
    let text = format!("---\n{}", text.join("---\n"));
    let without_token = |text: &str| -> Vec<String> {
        text.lines()
            .filter(|line| !line.trim_start().starts_with("notebook-token:"))
            .map(str::to_owned)
            .collect()
    };
    assert_eq!(without_token(&text), without_token(&stream));
    assert_ne!(text, stream, "each has a token of its own");
    assert!(stream.contains("\n  namespace: science\n"));
    for file in &files {
        let mode = std::fs::metadata(file).unwrap().permissions().mode() & 0o777;
        let secret = file.to_str().unwrap().contains("-secret-");
        assert_eq!(mode, if secret { 0o600 } else { 0o644 }, "{}", file.display());
    }
    home.nothing_is_left();
}

#[test]
fn what_a_cluster_cannot_have_is_refused_and_the_field_is_named() {
    let home = Home::new();
    let refused = |value: &str| {
        home.seaway(["render", "dask", "--set", value])
            .run()
            .with_code(2)
            .stderr
    };
    let data = refused("data=[{name: a, path: /a}]");
    assert!(
        data.starts_with("error: spec.data[0].volume: pods do not see the directory `/a`"),
        "{data}"
    );
    let name = home
        .seaway(["render", "dask", "--name", "1st"])
        .run()
        .with_code(2)
        .stderr;
    assert!(
        name.starts_with("error: metadata.name: `1st` begins with a digit"),
        "{name}"
    );
    let patch = refused("kubernetes.pods.template={spec: {containers: [{image: a}]}}");
    assert!(
        patch.starts_with("error: spec.kubernetes.pods.template.spec.containers[0]: "),
        "{patch}"
    );
    home.nothing_is_left();
}
