use seaway_model::Document;

use crate::plan;

fn document(spec: &str) -> Document {
    let text = format!("apiVersion: seaway.dev/v1alpha1\nkind: Dask\nmetadata: {{name: d}}\nspec: {spec}\n");
    seaway_model::document::parse("test", text.as_bytes())
        .unwrap()
        .remove(0)
}

fn command(spec: &str, role: &str) -> String {
    let plan = plan(&document(spec)).unwrap();
    let words: Vec<String> = plan
        .role(role)
        .unwrap()
        .command
        .iter()
        .map(ToString::to_string)
        .collect();
    words.join(" ")
}

#[test]
fn the_worker_is_told_four_fifths_of_its_memory_in_bytes() {
    // facts/field.md 1.5 #1: the ARL passed 429496729e6.
    let command = command(
        "{workers: {resources: {memory: 512Mi, cpu: 1500m}, tags: {GPU: 2}}}",
        "worker",
    );
    assert!(
        command.contains("--nthreads 2 --memory-limit 429496729 --resources GPU=2"),
        "{command}"
    );
    assert!(command.contains("--no-nanny"), "{command}");
}

#[test]
fn what_the_user_writes_is_never_a_reference() {
    let plan = plan(&document(
        "{env: {A: '${task}'}, workers: {args: ['${nothing}']}}",
    ))
    .unwrap();
    let worker = plan.role("worker").unwrap();
    assert_eq!(worker.env["A"].references().count(), 0);
    assert_eq!(worker.command.last().unwrap().references().count(), 0);
}

#[test]
fn the_image_has_what_the_environment_has() {
    let listed: Vec<&str> = include_str!("../../../../images/dask/requirements.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect();
    assert_eq!(listed, super::REQUIREMENTS);
}

#[test]
fn no_notebook_no_secret() {
    let plan = plan(&document("{notebook: {enabled: false}}")).unwrap();
    assert!(plan.secrets.is_empty());
    assert!(plan.endpoints.iter().all(|endpoint| endpoint.token.is_none()));
    assert!(plan.role("notebook").is_none());
}

#[test]
fn the_kernels_of_the_notebook_find_the_cluster() {
    let plan = plan(&document("{}")).unwrap();
    let env = &plan.role("notebook").unwrap().env;
    assert_eq!(
        env["DASK_SCHEDULER_ADDRESS"].to_string(),
        "tcp://${scheduler.client.address}"
    );
    assert_eq!(
        env["ARL_DASK_SCHEDULER"].to_string(),
        "${scheduler.client.address}"
    );
}

fn environment(spec: &str, role: &str) -> Vec<(String, String)> {
    let plan = plan(&document(spec)).unwrap();
    let env = &plan.role(role).unwrap().env;
    env.iter()
        .map(|(name, value)| (name.clone(), value.to_string()))
        .collect()
}

#[test]
fn tasks_have_the_variables_of_the_arl() {
    let spec = "{workers: {resources: {cpu: 1500m, memory: 512Mi}, tags: {GPU: 2, MEM: 0.5}}}";
    let expected: &[(&str, &[(&str, &str)])] = &[
        (
            "scheduler",
            &[
                ("DASK_HOST_NAME", "${self.client.host}"),
                ("DASK_LOCAL_DIRECTORY", "${scratch}"),
                ("DASK_NAME", "${instance}-${task}"),
                ("DASK_PORT_BOKEH", "${self.dashboard.port}"),
                ("DASK_PORT_SCHEDULER", "${self.client.port}"),
                ("DASK_UID", "${task}"),
                ("K8S_APP_NAME", "${instance}-${task}"),
            ],
        ),
        (
            "worker",
            &[
                ("ARL_DASK_SCHEDULER", "${scheduler.client.address}"),
                ("DASK_CPU_LIMIT", "2"),
                ("DASK_HOST_NAME", "${self.comm.host}"),
                ("DASK_LOCAL_DIRECTORY", "${scratch}"),
                ("DASK_MEM_LIMIT", "536870912"),
                ("DASK_NAME", "${instance}-${task}"),
                ("DASK_PORT_BOKEH", "${self.dashboard.port}"),
                ("DASK_PORT_NANNY", "0"),
                ("DASK_PORT_SCHEDULER", "${scheduler.client.port}"),
                ("DASK_PORT_WORKER", "${self.comm.port}"),
                ("DASK_RESOURCES", "GPU=2 MEM=0.5"),
                ("DASK_UID", "${task}"),
                ("K8S_APP_NAME", "${instance}-${task}"),
            ],
        ),
        (
            "notebook",
            &[
                ("ARL_DASK_SCHEDULER", "${scheduler.client.address}"),
                ("NOTEBOOK_PORT", "${self.notebook.port}"),
            ],
        ),
    ];
    for (role, expected) in expected {
        let names: Vec<&str> = super::arl::VARIABLES
            .iter()
            .map(|variable| variable.name)
            .collect();
        let mut found = environment(spec, role);
        found.retain(|(name, _)| names.contains(&name.as_str()));
        let found: Vec<(&str, &str)> = found.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(found, *expected, "{role}");
    }
}

#[test]
fn no_task_has_a_variable_that_would_change_how_dask_works() {
    for role in ["scheduler", "worker", "notebook"] {
        for (name, ..) in super::arl::NOT_SET {
            let found = environment("{}", role)
                .into_iter()
                .find(|(found, _)| found == name);
            assert_eq!(found, None, "{role}");
        }
    }
}

#[test]
fn the_users_variables_win_over_those_of_the_arl() {
    let spec = "{env: {DASK_NAME: mine, DASK_SCHEDULER: threads}}";
    let found = environment(spec, "worker");
    for pair in [("DASK_NAME", "mine"), ("DASK_SCHEDULER", "threads")] {
        assert!(found.contains(&(pair.0.into(), pair.1.into())), "{pair:?}");
    }
}

#[test]
fn roles_win_over_the_whole() {
    let plan = plan(&document("{env: {A: all, B: all}, workers: {env: {A: worker}}}")).unwrap();
    let env = &plan.role("worker").unwrap().env;
    assert_eq!(
        (env["A"].to_string(), env["B"].to_string()),
        ("worker".into(), "all".into())
    );
}
