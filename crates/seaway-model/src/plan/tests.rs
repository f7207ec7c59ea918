use super::*;

fn role(name: &'static str, command: &str) -> Role {
    Role {
        name: Name::literal(name),
        replicas: 1,
        scalable: false,
        after: Vec::new(),
        image: None,
        environment: None,
        command: command.split(' ').map(|word| word.parse().unwrap()).collect(),
        env: BTreeMap::new(),
        ports: vec![PortPlan {
            name: Name::literal("client"),
            usual: 8786,
            fixed: None,
            host: None,
        }],
        resources: Resources::default(),
        keeps_memory_limit: false,
        working_directory: None,
        ready: Probe {
            check: Check::Running,
            interval: Period::from_secs(5),
            timeout: Period::from_secs(2),
            failures: 3,
            start_within: Period::from_secs(60),
        },
        restart: Restart::default(),
        stop: StopLadder::default(),
        drain: None,
    }
}

fn plan(roles: Vec<Role>) -> Plan {
    Plan {
        instance: Name::literal("a"),
        kind: "Test".into(),
        labels: BTreeMap::new(),
        roles,
        endpoints: Vec::new(),
        secrets: Vec::new(),
        environments: BTreeMap::new(),
        files: Vec::new(),
        data: Vec::new(),
        busy: None,
        discovery: Vec::new(),
        kubernetes: KubernetesSpec::default(),
    }
}

#[test]
fn a_plan_is_data() {
    let plan = plan(vec![role("server", "run --port ${self.client.port}")]);
    let text = serde_json::to_string(&plan).unwrap();
    assert!(text.contains("${self.client.port}"));
    assert_eq!(serde_json::from_str::<Plan>(&text).unwrap(), plan);
}

#[test]
fn the_number_of_replicas_needs_no_restart_but_the_command_does() {
    let first = plan(vec![role("server", "run a")]);
    let mut more = first.clone();
    more.roles[0].replicas = 7;
    assert_eq!(first.roles[0].revision(&first), more.roles[0].revision(&more));
    let other = plan(vec![role("server", "run b")]);
    assert_ne!(first.roles[0].revision(&first), other.roles[0].revision(&other));
}

#[test]
fn a_plan_is_checked_before_a_platform_sees_it() {
    let message = |plan: &Plan| plan.validate().unwrap_err().to_string();
    plan(vec![role("server", "run ${self.client.port}")])
        .validate()
        .unwrap();

    assert!(message(&plan(vec![role("server", "run ${self.nothing.port}")])).contains("port `nothing`"));
    assert!(message(&plan(vec![role("server", "run ${other.client.port}")])).contains("role `other`"));
    assert!(message(&plan(vec![role("server", "run ${secret.token}")])).contains("secret"));
    assert!(message(&plan(vec![role("a", "run"), role("a", "run")])).contains("twice"));

    let mut backwards = plan(vec![role("a", "run"), role("b", "run")]);
    backwards.roles[0].after = vec![Dependency::Ready(Name::literal("b"))];
    assert!(message(&backwards).contains("before"));

    let mut empty = role("a", "run");
    empty.command.clear();
    assert!(message(&plan(vec![empty])).contains("command"));
}
