//! Several servers: Sentinels, and clusters.

use super::*;

#[tokio::test]
async fn sentinels_know_the_master_also_the_next_one() {
    let mut master = Redis::start();
    let replica = Redis::with(&["--replicaof", "127.0.0.1", &master.port.to_string()]);
    let sentinel =
        master.sentinel("sentinel down-after-milliseconds main 300\nsentinel failover-timeout main 3000");
    let gone = free_port();
    let url = |name: &str| {
        format!(
            "redis-sentinel://127.0.0.1:{gone},127.0.0.1:{}/{name}",
            sentinel.port
        )
    };
    let directory = open(&spec(url("main")));
    use_fully(&directory).await;
    let entry = entry("dask", "one");
    directory.register(&entry).await.unwrap();
    assert_eq!(
        master.command::<i64>(&["EXISTS", "seaway:{default}:entry:dask"]),
        1
    );
    let short = discovery::RedisDirectory {
        timeout: Some("1s".parse().unwrap()),
        ..spec(url("nobody"))
    };
    let error = fail(&short).await;
    assert!(error.to_string().contains("knows no master `nobody`"), "{error}");

    until("the Sentinel knows the replica", async || {
        let replicas: Vec<redis::Value> = sentinel.command(&["SENTINEL", "REPLICAS", "main"]);
        let link = replica.command::<String>(&["INFO", "replication"]);
        replicas.len() == 1 && link.contains("master_link_status:up")
    })
    .await;
    master.service.kill();
    let deadline = Instant::now() + Duration::from_secs(60);
    while let Err(error) = directory.renew(&entry).await {
        assert!(Instant::now() < deadline, "{error}; {}", sentinel.service.log());
    }
    assert_eq!(
        replica.command::<i64>(&["EXISTS", "seaway:{default}:entry:dask"]),
        1
    );
}

#[tokio::test]
async fn sentinels_that_ask_for_the_password_get_it() {
    let master = Redis::with(&["--requirepass", PASSWORD]);
    let sentinel = master.sentinel(&format!(
        "sentinel auth-pass main \"{PASSWORD}\"\nrequirepass \"{PASSWORD}\""
    ));
    let password = password_file(PASSWORD);
    let url = format!("redis-sentinel://127.0.0.1:{}/main", sentinel.port);
    use_fully(&open(&discovery::RedisDirectory {
        password_file: Some(password.path().to_owned()),
        ..spec(&url)
    }))
    .await;
    assert_says(&fail(&spec(&url)).await, &["NOAUTH"]);
}

/// Two servers that have half of the keys each.
async fn cluster() -> [Redis; 2] {
    let node = || {
        let port = free_port().to_string();
        Redis::with(&[
            "--cluster-enabled",
            "yes",
            "--cluster-port",
            &port,
            "--cluster-node-timeout",
            "2000",
        ])
    };
    let nodes = [node(), node()];
    for (node, range) in nodes.iter().zip([["0", "8191"], ["8192", "16383"]]) {
        node.command::<()>(&["CLUSTER", "ADDSLOTSRANGE", range[0], range[1]]);
    }
    // Without different epochs the two would first have to agree who is right about what.
    nodes[1].command::<()>(&["CLUSTER", "SET-CONFIG-EPOCH", "2"]);
    let info: String = nodes[1].command(&["CLUSTER", "NODES"]);
    let (_, bus) = info.split_once('@').unwrap();
    let bus: String = bus.chars().take_while(char::is_ascii_digit).collect();
    let port = nodes[1].port.to_string();
    nodes[0].command::<()>(&["CLUSTER", "MEET", "127.0.0.1", &port, &bus]);
    until("the cluster is complete", async || {
        nodes.iter().all(|node| {
            let info: String = node.command(&["CLUSTER", "INFO"]);
            info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:2")
        })
    })
    .await;
    nodes
}

#[tokio::test]
async fn in_a_cluster_keys_are_found_wherever_they_are() {
    let nodes = cluster().await;
    let used = [AtomicBool::new(false), AtomicBool::new(false)];
    for namespace in ["a", "b", "c", "d", "e", "f"] {
        let url = format!(
            "redis-cluster://127.0.0.1:{},127.0.0.1:{}",
            free_port(),
            nodes[0].port
        );
        let directory = open(&discovery::RedisDirectory {
            namespace: Some(name(namespace)),
            ..spec(url)
        });
        use_fully(&directory).await;
        directory.register(&entry("dask", "one")).await.unwrap();
        let held = directory.register(&entry("dask", "two")).await.unwrap_err();
        assert!(matches!(held, Error::Held { .. }), "{held}");
        let key = format!("seaway:{{{namespace}}}:entry:dask");
        for (node, used) in nodes.iter().zip(&used) {
            // The other one says that it is moved.
            if node
                .try_command::<i64>(&["EXISTS", &key])
                .is_ok_and(|found| found == 1)
            {
                used.store(true, Ordering::Relaxed);
            }
        }
    }
    assert!(
        used.iter().all(|used| used.load(Ordering::Relaxed)),
        "both have keys"
    );

    // As if it were one server, the keys of one half are not found; why is said.
    let mut told = 0;
    for namespace in ["a", "b", "c", "d", "e", "f"] {
        let directory = open(&discovery::RedisDirectory {
            namespace: Some(name(namespace)),
            ..spec(nodes[0].url())
        });
        if let Err(error) = directory.register(&entry("dask", "one")).await {
            assert_says(&error, &["one server of a cluster", "redis-cluster://"]);
            told += 1;
        }
    }
    assert!((1..6).contains(&told), "{told}");
}
