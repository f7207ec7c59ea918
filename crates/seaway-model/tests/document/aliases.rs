//! The names that the ARL's users know.

use insta::assert_snapshot;
use seaway_model::{
    Document, Kind,
    document::{Alias, DaskSpec, Effect, Override, VolumeSpec, aliases},
};

use crate::{HEAD, dask, one};

fn set(overrides: &[&str]) -> Result<Document, String> {
    let parsed: Result<Vec<_>, _> = overrides.iter().map(|text| Override::parse(text)).collect();
    let parsed = parsed.map_err(|errors| errors.to_string())?;
    one(HEAD)
        .with_overrides(&parsed)
        .map_err(|errors| errors.to_string())
}

fn with(overrides: &[&str]) -> DaskSpec {
    let document = set(overrides).unwrap_or_else(|errors| panic!("{errors}"));
    dask(&document).clone()
}

/// A value that fits a path.
fn fitting(path: &str) -> &'static str {
    match path.rsplit('.').next().unwrap() {
        "replicas" | "cpu" => "3",
        "memory" => "512Mi",
        "port" => "8123",
        "imagePullPolicy" => "Always",
        "serviceType" => "NodePort",
        "nodeSelector" => "{disk: ssd}",
        "tolerations" => "[{key: gpu, operator: Exists}]",
        "affinity" => "{podAntiAffinity: {}}",
        _ => "other",
    }
}

#[test]
fn every_name_does_what_its_path_does() {
    let empty = one(HEAD);
    for Alias { name, effect, .. } in aliases(Kind::Dask) {
        if let Effect::At(path) = effect {
            let value = fitting(path);
            let short = set(&[&format!("{name}={value}")]).unwrap_or_else(|errors| panic!("{errors}"));
            let long = set(&[&format!("{path}={value}")]).unwrap();
            assert_eq!(short, long, "{name}");
            assert_ne!(short, empty, "{name}");
        }
    }
}

#[test]
fn no_two_are_called_the_same_and_none_hides_a_key_of_the_document() {
    let mut names: Vec<_> = aliases(Kind::Dask).iter().map(|alias| alias.name).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
    for name in names {
        let error = one(HEAD).with_overrides(&[Override::parse(&format!("spec.{name}=1")).unwrap()]);
        assert!(error.unwrap_err().to_string().contains("unknown key"), "{name}");
    }
}

#[test]
fn the_command_of_the_instructions_works() {
    let spec = with(&[
        "WORKER_REPLICAS=4",
        "WORKER_MEM=2Gi",
        "WORKER_CPU=2",
        "DOCKER_REPO=",
        "DOCKER_IMAGE=arl_img:latest",
        "NFS_SERVER=10.0.0.1",
        "WORKER_ARL_DATA=/arl/data",
        "NOTEBOOK_PORT=8888",
    ]);
    assert_eq!(spec.workers.replicas, 4);
    assert_eq!(spec.workers.resources.memory.unwrap().bytes(), 2 << 30);
    assert_eq!(spec.workers.effective_threads(), 2);
    assert_eq!(spec.kubernetes.image.as_deref(), Some("arl_img:latest"));
    assert_eq!(spec.data, [data("/arl/data", Some("10.0.0.1"))]);
    assert_eq!(spec.endpoints.values().next().unwrap().port, Some(8888));

    let spec = with(&[
        "worker.replicaCount=10",
        "resource.limits.cpu=1000m",
        "resources.limits.memory=4098Mi",
        "image.repository=registry.example.com:5000/arl_img",
        "image.tag=1b47647d",
        "image.secrets[0].name=gitlab-registry",
        "nfs.server=nas",
        r"nodeSelector.example\.com/disk=ssd",
        "tolerations[0]={key: gpu, operator: Exists}",
    ]);
    assert_eq!(spec.workers.replicas, 10);
    assert_eq!(spec.workers.effective_threads(), 1);
    assert_eq!(spec.workers.resources.memory.unwrap().bytes(), 4098 << 20);
    let kubernetes = &spec.kubernetes;
    assert_eq!(
        kubernetes.image.as_deref(),
        Some("registry.example.com:5000/arl_img:1b47647d")
    );
    assert_eq!(kubernetes.image_pull_secrets[0].as_str(), "gitlab-registry");
    assert_eq!(kubernetes.pods.node_selector["example.com/disk"], "ssd");
    assert_eq!(kubernetes.pods.tolerations[0]["key"], "gpu");
    assert_eq!(spec.data, [data("/arl/data", Some("nas"))]);
}

fn data(path: &str, server: Option<&str>) -> seaway_model::document::DataSpec {
    let volume = server.map(|server| serde_json::json!({"nfs": {"server": server, "path": "/data"}}));
    serde_json::from_value(serde_json::json!({"name": "arl", "path": path, "volume": volume})).unwrap()
}

#[test]
fn the_names_for_the_data_mean_one_directory_in_any_order() {
    let both = [data("/elsewhere", Some("nas"))];
    assert_eq!(with(&["NFS_SERVER=nas", "WORKER_ARL_DATA=/elsewhere"]).data, both);
    assert_eq!(with(&["WORKER_ARL_DATA=/elsewhere", "NFS_SERVER=nas"]).data, both);
    assert_eq!(
        with(&["WORKER_ARL_DATA=/elsewhere"]).data,
        [data("/elsewhere", None)]
    );
    // What the document says beside it stays.
    let spec = with(&[
        "data=[{name: other, path: /o}, {name: arl, path: /a, readOnly: true, volume: {nfs: {server: x, path: /e}}}]",
        "NFS_SERVER=nas",
    ]);
    let (other, arl) = (&spec.data[0], &spec.data[1]);
    assert_eq!((other.name.as_str(), other.volume.is_none()), ("other", true));
    assert!(arl.read_only);
    let Some(VolumeSpec::Nfs(nfs)) = &arl.volume else {
        panic!("{arl:?}")
    };
    assert_eq!((nfs.server.as_str(), nfs.path.as_str()), ("nas", "/e"));
    // Another kind of volume goes.
    let spec = with(&[
        "data=[{name: arl, path: /a, volume: {emptyDir: {}}}]",
        "NFS_SERVER=nas",
    ]);
    assert_eq!(spec.data, [data("/a", Some("nas"))]);
}

#[test]
fn a_worker_has_a_thread_for_each_of_the_cores_that_the_arl_would_give_it() {
    for name in ["WORKER_CPU", "resources.limits.cpu", "resource.limits.cpu"] {
        let set = Override::parse(&format!("{name}=2500m")).unwrap();
        // The preset says `threads: 1`.
        for document in [Document::preset("dask").unwrap(), one(HEAD)] {
            let changed = document.with_overrides(std::slice::from_ref(&set)).unwrap();
            let workers = &dask(&changed).workers;
            assert_eq!(workers.effective_threads(), 3);
            assert_eq!(workers.resources.cpu.unwrap().cores_rounded_up(), 3);
        }
    }
    let spec = with(&["WORKER_CPU=2", "workers.threads=5"]);
    assert_eq!(spec.workers.effective_threads(), 5);
}

#[test]
fn images_by_their_parts() {
    let image = |overrides: &[&str]| with(overrides).kubernetes.image.unwrap();
    assert_eq!(image(&["image.repository=a/b"]), "a/b");
    assert_eq!(image(&["DOCKER_IMAGE=a:1", "image.tag=2"]), "a:2");
    assert_eq!(image(&["DOCKER_IMAGE=a:1", "image.repository=b"]), "b:1");
    assert_eq!(image(&["DOCKER_IMAGE=r:5000/a", "image.tag=2"]), "r:5000/a:2");
    assert_eq!(image(&["DOCKER_IMAGE=r:5000/a", "image.repository=b"]), "b");
    assert_eq!(image(&["DOCKER_IMAGE=a:1@sha256:0123", "image.tag=2"]), "a:2");
    // A number that YAML would write in another way.
    assert_eq!(image(&["image.repository=a", "image.tag=1.10"]), "a:1.10");
}

#[test]
fn what_says_nothing_changes_nothing() {
    assert_eq!(
        set(&["JUPYTER_PASSWORD=", "jupyter.password=", "DOCKER_REPO="]).unwrap(),
        one(HEAD)
    );
}

#[test]
fn a_password_is_refused_and_not_repeated() {
    for key in [
        "JUPYTER_PASSWORD",
        "jupyter.password",
        "JUPYTER_PASWORD",
        "notebook.pasword.password",
    ] {
        let error = set(&[&format!("{key}=hunter2 horse")]).unwrap_err();
        assert!(error.contains(key) && !error.contains("hunter2"), "{error}");
    }
    assert_snapshot!(set(&["JUPYTER_PASSWORD=hunter2"]).unwrap_err(), @r#"
    --set:1:1: `JUPYTER_PASSWORD` cannot be set: whoever lists the processes of this machine sees what is given on a command line
      |
    1 | JUPYTER_PASSWORD=…
      | ^
    hint: write it into a file that only you can read, and name that one: `--set notebook.tokenFile=FILE`; else Seaway makes a token, and `seaway status NAME` says which file has it
    "#);
}

#[test]
fn refused() {
    assert_snapshot!(set(&["WORKER_REPLICA=4"]).unwrap_err(), @r#"
    --set:1:1: unknown variable `WORKER_REPLICA`
      |
    1 | WORKER_REPLICA=4
      | ^
    hint: did you mean `WORKER_REPLICAS`? known variables: WORKER_REPLICAS, WORKER_MEM, WORKER_CPU, DOCKER_IMAGE, DOCKER_REPO, NFS_SERVER, WORKER_ARL_DATA, JUPYTER_PASSWORD, NOTEBOOK_PORT, DASK_PORT_SCHEDULER, DASK_PORT_BOKEH, KUBE_NAMESPACE, HELM_RELEASE
    "#);
    assert_snapshot!(set(&["WORKER_ARLDATA2=/x"]).unwrap_err(), @r#"
    --set:1:1: unknown variable `WORKER_ARLDATA2`
      |
    1 | WORKER_ARLDATA2=/x
      | ^
    hint: did you mean `WORKER_ARL_DATA`? known variables: WORKER_REPLICAS, WORKER_MEM, WORKER_CPU, DOCKER_IMAGE, DOCKER_REPO, NFS_SERVER, WORKER_ARL_DATA, JUPYTER_PASSWORD, NOTEBOOK_PORT, DASK_PORT_SCHEDULER, DASK_PORT_BOKEH, KUBE_NAMESPACE, HELM_RELEASE
    "#);
    assert_snapshot!(set(&["resource.limit.cpu=1"]).unwrap_err(), @r#"
    --set:1:1: unknown key `resource.limit.cpu`
      |
    1 | resource.limit.cpu=1
      | ^
    hint: did you mean `resource.limits.cpu`?
    "#);
    assert_snapshot!(set(&["worker.replicaCount=10,resource.limits.cpu=1"]).unwrap_err(), @r#"
    --set:1:21: `resource.limits.cpu` stands in the value of `worker.replicaCount`
      |
    1 | worker.replicaCount=10,resource.limits.cpu=1
      |                     ^
    hint: give each of them with a `--set` of its own
    "#);
    assert_snapshot!(set(&["image.tag=2"]).unwrap_err(), @r#"
    --set:1:11: `image.tag`: there is no image yet whose tag this could be
      |
    1 | image.tag=2
      |           ^
    hint: give `image.repository` before it
    "#);
    assert_snapshot!(set(&["env.A=1", "NFS_SERVER="]).unwrap_err(), @r#"
    --set:1:12: `NFS_SERVER`: expected a text
      |
    1 | NFS_SERVER=
      |            ^
    "#);
    assert_snapshot!(set(&["NFS_SERVER={a: b}"]).unwrap_err(), @r#"
    --set:1:12: `NFS_SERVER`: expected a text
      |
    1 | NFS_SERVER={a: b}
      |            ^
    "#);
    assert_snapshot!(set(&["DOCKER_REPO=registry.example.com"]).unwrap_err(), @r#"
    --set:1:1: `DOCKER_REPO` cannot be set: images are not pushed by this command
      |
    1 | DOCKER_REPO=registry.example.com
      | ^
    hint: write the registry into `DOCKER_IMAGE`, like `registry.example.com/arl_img:1`
    "#);
    assert_snapshot!(set(&["image.pullPolicy=Sometimes"]).unwrap_err(), @r#"
    --set:1:18: `spec.kubernetes.imagePullPolicy`: unknown value `Sometimes`
      |
    1 | image.pullPolicy=Sometimes
      |                  ^
    hint: known values: IfNotPresent, Always, Never
    "#);
    assert_snapshot!(set(&["env.A=1", "WORKER_ARL_DATA=/a", "NOTEBOOK_PORT=http"]).unwrap_err(), @r#"
    --set:1:15: `spec.endpoints.notebook.port`: expected a whole number from 1 to 65535, found the text `http`
      |
    1 | NOTEBOOK_PORT=http
      |               ^
    "#);
}
