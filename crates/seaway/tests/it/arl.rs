//! What users of the ARL know by name: their variables in tasks, and their names for `--set`.

use std::{fs, os::unix::fs::PermissionsExt, path::Path};

use serde_json::Value;

use crate::harness::{Home, Status, processes::Process, script};

/// What opens the notebook; found nowhere by chance.
const PASSWORD: &str = "correct-horse-battery";

/// The variable of a worker or the scheduler, as a task there saw it.
fn variable<'v>(environment: &'v Value, name: &str) -> &'v str {
    environment[name]
        .as_str()
        .unwrap_or_else(|| panic!("no {name} in {environment}"))
}

#[test]
fn a_task_finds_the_variables_of_the_arl_and_dask_works_with_them() {
    let home = Home::heavy();
    let token = home.file("token", format!("{PASSWORD}\n"));
    fs::set_permissions(&token, fs::Permissions::from_mode(0o600)).unwrap();
    let token = format!("notebook.tokenFile={token}");
    // The command of the ARL's instructions, as far as it means something here.
    let status = home.up(
        "dask",
        &[
            "--set",
            "WORKER_REPLICAS=2",
            "--set",
            "WORKER_MEM=512Mi",
            "--set",
            "WORKER_CPU=1500m",
            "--set",
            "workers.tags={GPU: 2}",
            "--set",
            "notebook.enabled=true",
            "--set",
            &token,
        ],
    );
    let told = script("environment", [status.url("client")])
        .run()
        .succeeded()
        .json();
    let (host, port) = status.address("client").rsplit_once(':').unwrap();
    let scheduler = &told["scheduler"];
    for (name, value) in [
        ("DASK_HOST_NAME", host),
        ("DASK_PORT_SCHEDULER", port),
        (
            "DASK_PORT_BOKEH",
            status.address("dashboard").rsplit_once(':').unwrap().1,
        ),
        ("DASK_NAME", "dask-scheduler-0"),
        ("K8S_APP_NAME", "dask-scheduler-0"),
        ("DASK_UID", "scheduler-0"),
    ] {
        assert_eq!(variable(scheduler, name), value, "{name}");
    }
    let workers = told["workers"].as_object().unwrap();
    assert_eq!(workers.len(), 2, "{told}");
    for (name, worker) in workers {
        let environment = &worker["environment"];
        let found = |name: &str| variable(environment, name);
        let own = format!("tcp://{}:{}", found("DASK_HOST_NAME"), found("DASK_PORT_WORKER"));
        assert_eq!(worker["address"], own);
        assert_eq!(worker["dashboard"].to_string(), found("DASK_PORT_BOKEH"));
        assert_eq!(worker["threads"].to_string(), found("DASK_CPU_LIMIT"));
        assert_eq!(found("DASK_CPU_LIMIT"), "2");
        assert_eq!(found("DASK_MEM_LIMIT"), (512 << 20).to_string());
        assert_eq!(worker["memory"], 429_496_729);
        assert_eq!(found("DASK_RESOURCES"), "GPU=2");
        assert_eq!(worker["tags"]["GPU"], 2.0);
        assert_eq!(found("DASK_UID"), name);
        assert_eq!(found("DASK_NAME"), format!("dask-{name}"));
        assert_eq!(found("K8S_APP_NAME"), format!("dask-{name}"));
        assert_eq!(found("DASK_PORT_NANNY"), "0");
        assert_eq!(found("DASK_PORT_SCHEDULER"), port);
        assert_eq!(found("ARL_DASK_SCHEDULER"), status.address("client"));
        assert_eq!(found("DASK_SCHEDULER_ADDRESS"), status.url("client"));
        let directory = worker["directory"].as_str().unwrap();
        assert!(
            directory.starts_with(found("DASK_LOCAL_DIRECTORY")),
            "{directory} is not in {}",
            found("DASK_LOCAL_DIRECTORY")
        );
        assert_eq!(worker["computed"], 1000);
        assert!(environment.get("DASK_SCHEDULER").is_none());
    }
    let notebook = Process::of(status.pid("notebook-0")).expect("the notebook runs");
    let port = status.address("notebook").rsplit_once(':').unwrap().1;
    assert_eq!(notebook.variable("NOTEBOOK_PORT"), Some(port));
    assert_eq!(
        notebook.variable("ARL_DASK_SCHEDULER"),
        Some(status.address("client"))
    );
    assert_eq!(notebook.variable("JUPYTER_PASSWORD"), None);
    the_password_opens_the_notebook_and_stands_in_one_file_alone(&home, &status);
    home.down("dask");
    home.nothing_is_left();
}

fn the_password_opens_the_notebook_and_stands_in_one_file_alone(home: &Home, status: &Status) {
    let url = format!("http://{}", status.address("notebook"));
    let printed = script("kernel", [url.as_str(), PASSWORD, "print(6 * 7)"])
        .run()
        .succeeded();
    assert_eq!(printed.stdout.trim(), "42");
    script("kernel", [url.as_str(), "wrong-horse-battery", "print(6 * 7)"])
        .run()
        .with_code(1);
    let file = Path::new(status.text("/endpoints/notebook/tokenFile"));
    assert_eq!(fs::read_to_string(file).unwrap(), PASSWORD);
    assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
    for process in home.processes() {
        assert!(!process.words.join(" ").contains(PASSWORD), "{}", process.pid);
    }
    let mut folders = vec![home.state_home()];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                // Jupyter's own pages for a browser have it, in a folder that is closed to others.
                if !path.ends_with("notebook-0/runtime") {
                    folders.push(path);
                }
            } else if let (false, Ok(bytes)) = (path == file, fs::read(&path)) {
                files += 1;
                let text = String::from_utf8_lossy(&bytes);
                assert!(!text.contains(PASSWORD), "it stands in {}", path.display());
            }
        }
    }
    assert!(files > 3, "{files} files were looked at");
    let plan = home
        .seaway(["status", "dask", "--output", "json"])
        .run()
        .succeeded();
    assert!(!plan.stdout.contains(PASSWORD));
}

#[test]
fn the_data_are_where_they_were_in_the_pods_of_every_role() {
    let home = Home::new();
    let folder = home.path("manifests");
    home.seaway(["render", "dask", "--name", "arl"])
        .arguments(["--set", "NFS_SERVER=10.0.0.1"])
        .arguments(["--set", "DOCKER_IMAGE=arl_img:latest"])
        .arguments(["--set", "image.pullSecret=arlregcred"])
        .arguments(["--output", folder.to_str().unwrap()])
        .run()
        .succeeded();
    let mut seen = Vec::new();
    for file in std::fs::read_dir(&folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let object: Value = serde_saphyr::from_str(&text).unwrap();
        let pod = &object["spec"]["template"];
        let Some(volumes) = pod["spec"]["volumes"].as_array() else {
            continue;
        };
        let volume = volumes
            .iter()
            .find(|volume| volume["nfs"]["server"] == "10.0.0.1" && volume["nfs"]["path"] == "/data")
            .unwrap_or_else(|| panic!("no data in {text}"));
        let container = &pod["spec"]["containers"][0];
        let mounts = container["volumeMounts"].as_array().unwrap();
        assert!(
            mounts
                .iter()
                .any(|mount| mount["name"] == volume["name"] && mount["mountPath"] == "/arl/data"),
            "{text}"
        );
        assert_eq!(container["image"], "arl_img:latest");
        assert_eq!(pod["spec"]["imagePullSecrets"][0]["name"], "arlregcred");
        assert_eq!(
            object["metadata"]["labels"]["k8s-app"],
            object["metadata"]["name"]
        );
        assert_eq!(pod["metadata"]["labels"]["k8s-app"], object["metadata"]["name"]);
        seen.push(object["metadata"]["name"].as_str().unwrap().to_owned());
    }
    seen.sort();
    assert_eq!(seen, ["arl-notebook", "arl-scheduler", "arl-worker"]);
}

#[test]
fn a_password_on_the_command_line_is_refused_and_not_repeated() {
    let home = Home::new();
    let password = format!("JUPYTER_PASSWORD={PASSWORD}");
    let output = home
        .seaway(["up", "dask", "--detach", "--set", &password])
        .run()
        .with_code(2);
    let said = output.stdout.clone() + &output.stderr;
    assert!(
        said.contains("JUPYTER_PASSWORD") && said.contains("notebook.tokenFile"),
        "{said}"
    );
    assert!(!said.contains(PASSWORD), "{said}");
    home.nothing_is_left();
}

#[test]
fn a_password_that_others_can_read_is_refused_before_anything_starts() {
    let home = Home::new();
    let token = home.file("token", PASSWORD);
    fs::set_permissions(&token, fs::Permissions::from_mode(0o644)).unwrap();
    let token = format!("notebook.tokenFile={token}");
    for arguments in [["up", "dask", "--detach"], ["render", "dask", "--name=lab"]] {
        let output = home.seaway(arguments).arguments(["--set", &token]).run();
        assert_ne!(output.code, Some(0), "{output}");
        assert!(output.stderr.contains("chmod 600"), "{output}");
        assert!(!(output.stdout + &output.stderr).contains(PASSWORD));
    }
    home.nothing_is_left();
}
