//! `seaway render --as helm`: charts in folders. What is in them is tested beside the code that makes them.

use std::fs;

use crate::harness::Home;

const TWO: &str = "\
apiVersion: seaway.dev/v1alpha1
kind: Dask
metadata: {name: one}
---
apiVersion: seaway.dev/v1alpha1
kind: Dask
metadata: {name: two}
spec: {notebook: {enabled: false}}
";

#[test]
fn a_chart_is_written_to_a_new_folder() {
    let home = Home::new();
    let folder = home.path("chart");
    let render = || home.seaway(["render", "dask", "--name", "lab", "--as", "helm"]);
    let said = render()
        .arguments(["--output", folder.to_str().unwrap()])
        .run()
        .succeeded();
    assert!(said.stderr.contains("`helm install lab "), "{said}");
    assert!(said.stdout.is_empty(), "{said}");
    let chart = fs::read_to_string(folder.join("Chart.yaml")).unwrap();
    let version = env!("CARGO_PKG_VERSION");
    assert!(chart.contains("name: \"lab\"\n"), "{chart}");
    assert!(
        chart.contains(&format!("version: {version}\nappVersion: \"{version}\"\n")),
        "{chart}"
    );
    let secret = fs::read_to_string(folder.join("templates/secret.yaml")).unwrap();
    assert!(
        secret.contains("notebook-token: {{ include"),
        "no token is in a chart: {secret}"
    );

    let again = render()
        .arguments(["--output", folder.to_str().unwrap()])
        .run()
        .with_code(2)
        .stderr;
    assert!(
        again.contains("is not empty, and a chart is all that is in its folder"),
        "{again}"
    );
    let nowhere = render().run().with_code(2).stderr;
    assert!(
        nowhere.starts_with("error: --as helm: a chart is a folder; say which with --output"),
        "{nowhere}"
    );
    home.nothing_is_left();
}

#[test]
fn each_document_of_several_has_a_chart() {
    let home = Home::new();
    let file = home.file("two.yaml", TWO);
    let folder = home.path("charts");
    home.seaway([
        "render",
        "-f",
        &file,
        "--as",
        "helm",
        "-o",
        folder.to_str().unwrap(),
    ])
    .run()
    .succeeded();
    for (name, notebook) in [("one", true), ("two", false)] {
        let chart = fs::read_to_string(folder.join(name).join("Chart.yaml")).unwrap();
        assert!(chart.contains(&format!("name: \"{name}\"\n")), "{chart}");
        assert_eq!(
            folder.join(name).join("templates/notebook-service.yaml").exists(),
            notebook
        );
    }
    home.nothing_is_left();
}

#[test]
fn what_a_cluster_cannot_have_is_refused_before_anything_is_written() {
    let home = Home::new();
    let folder = home.path("chart");
    let arguments = ["--set", "data=[{name: a, path: /a}]", "--as", "helm", "--output"];
    let refused = home
        .seaway(["render", "dask"])
        .arguments(arguments)
        .arguments([folder.to_str().unwrap()])
        .run()
        .with_code(2)
        .stderr;
    assert!(
        refused.starts_with("error: spec.data[0].volume: pods do not see the directory `/a`"),
        "{refused}"
    );
    assert!(!folder.exists());
    home.nothing_is_left();
}
