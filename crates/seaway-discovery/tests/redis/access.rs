//! Who may what: users, passwords, certificates; and that no secret is told.

use super::*;

/// A server with a user who may do exactly what the documentation says.
fn guarded() -> Redis {
    let redis = Redis::start();
    let password = format!(">{PASSWORD}");
    let mut rules = vec![
        "ACL",
        "SETUSER",
        "bob",
        "on",
        &password,
        "~seaway:{default}:*",
        "&seaway:{default}:events",
    ];
    rules.extend(COMMANDS.split_whitespace());
    redis.command::<()>(&rules);
    redis.command::<()>(&[
        "ACL", "SETUSER", "default", "-@all", "+ping", "+acl", "+script", "+config",
    ]);
    redis
}

fn bob(redis: &Redis, password: &Path) -> discovery::RedisDirectory {
    discovery::RedisDirectory {
        username: Some("bob".into()),
        password_file: Some(password.to_owned()),
        ..spec(redis.url())
    }
}

#[tokio::test]
async fn a_user_needs_no_more_than_is_documented() {
    let redis = guarded();
    let password = password_file(PASSWORD);
    use_fully(&open(&bob(&redis, password.path()))).await;

    // Through the variable, everything in one.
    let url = format!(
        "redis://bob:correct-horse%3A%2F%40battery@127.0.0.1:{}",
        redis.port
    );
    let defaults = Defaults {
        variables: [(variables::REDIS_URL, url)].into_iter().collect(),
        ..Defaults::default()
    };
    let directory = RedisDirectory::open(&discovery::RedisDirectory::default(), &defaults).unwrap();
    use_fully(&directory).await;
    for text in [
        format!("{directory:?}"),
        directory.describe(),
        format!("{defaults:?}"),
    ] {
        assert!(!text.contains("battery"), "{text}");
    }
}

#[tokio::test]
async fn what_is_not_allowed_is_named() {
    let redis = guarded();
    let password = password_file(PASSWORD);
    let bob = bob(&redis, password.path());
    for (rule, again, words) in [
        ("-evalsha", "+evalsha", ["evalsha", "+evalsha"]),
        ("-zadd", "+zadd", ["commands of its scripts", "+zadd"]),
        (
            "resetkeys",
            "~seaway:{default}:*",
            ["keys", "~seaway:{default}:*"],
        ),
        (
            "resetchannels",
            "&seaway:{default}:events",
            ["channel", "&seaway:{default}:events"],
        ),
    ] {
        redis.command::<()>(&["ACL", "SETUSER", "bob", rule]);
        let error = fail(&bob).await;
        assert!(matches!(error, Error::Forbidden { .. }), "{error}");
        assert_eq!(error.kind(), "forbidden");
        assert_says(&error, &words);
        redis.command::<()>(&["ACL", "SETUSER", "bob", again]);
    }
    redis.command::<()>(&["ACL", "SETUSER", "bob", "-subscribe"]);
    let error = open(&bob).changed().await.unwrap_err();
    assert_says(&error, &["subscribe"]);
}

#[tokio::test]
async fn wrong_passwords_are_told_and_new_ones_read() {
    let redis = guarded();
    let password = password_file("not the battery");
    let bob = bob(&redis, password.path());
    let begun = Instant::now();
    assert_says(&fail(&bob).await, &["user name and password", "passwordFile"]);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "a password is not tried again"
    );
    let directory = open(&bob);
    directory.register(&entry("dask", "one")).await.unwrap_err();
    fs::write(&password, PASSWORD).unwrap();
    directory.register(&entry("dask", "one")).await.unwrap();
    // A new password, and the old connection ended as a restart does.
    redis.command::<()>(&["ACL", "SETUSER", "bob", "resetpass", ">another battery"]);
    redis.command::<()>(&["ACL", "SETUSER", "default", "+client"]);
    redis.command::<i64>(&["CLIENT", "KILL", "USER", "bob"]);
    assert_says(
        &directory.renew(&entry("dask", "one")).await.unwrap_err(),
        &["user name and password"],
    );
    fs::write(&password, "another battery").unwrap();
    directory.renew(&entry("dask", "one")).await.unwrap();
    fs::write(&password, "\n").unwrap();
    let error = fail(&bob).await;
    assert!(matches!(error, Error::Credential { .. }), "{error}");

    let closed = Redis::with(&["--requirepass", PASSWORD]);
    assert_says(
        &fail(&spec(closed.url())).await,
        &["who we are", "NOAUTH", "passwordFile"],
    );
}

#[test]
fn secrets_do_not_travel_in_the_clear_and_stand_in_no_document() {
    let refused = |spec: &discovery::RedisDirectory, defaults: &Defaults| {
        let error = RedisDirectory::open(spec, defaults).unwrap_err();
        assert!(matches!(error, Error::Configuration { .. }), "{error}");
        assert!(!error.to_string().contains("battery"), "{error}");
        error.to_string()
    };
    let nothing = Defaults::default();
    assert!(refused(&spec("rediss://:battery@h"), &nothing).contains("passwordFile"));
    assert!(refused(&spec("redis://:battery@127.0.0.1"), &nothing).contains("passwordFile"));
    let with_file = |url: &str| discovery::RedisDirectory {
        password_file: Some("/run/password".into()),
        ..spec(url)
    };
    assert!(refused(&with_file("redis://redis.lab"), &nothing).contains("in the clear"));
    assert!(refused(&with_file("redis-sentinel://127.0.0.1,b/main"), &nothing).contains("in the clear"));
    RedisDirectory::open(&with_file("rediss://redis.lab"), &nothing).unwrap();
    RedisDirectory::open(&with_file("redis://localhost"), &nothing).unwrap();
    let variables = |url: &str| Defaults {
        variables: [(variables::REDIS_URL, url)].into_iter().collect(),
        ..Defaults::default()
    };
    let unset = discovery::RedisDirectory::default();
    assert!(refused(&unset, &variables("redis://u:battery@redis.lab")).contains("REDIS_URL"));
    RedisDirectory::open(&unset, &variables("rediss://u:battery@redis.lab")).unwrap();
    // The document wins.
    let directory = RedisDirectory::open(&spec("redis://127.0.0.1:1"), &variables("redis://h:2")).unwrap();
    assert!(directory.describe().contains("127.0.0.1:1"), "{directory:?}");
}

fn tls(authority: &Authority, certificate: Certificate, clients: Option<&Authority>) -> Redis {
    let (certificate, key) = authority.files_of_server(certificate);
    let of_clients = clients.unwrap_or(authority).file_of_authority();
    Redis::with_tls([&certificate, &key, &of_clients], clients.is_some())
}

fn trusting(redis: &Redis, authority: PathBuf) -> discovery::RedisDirectory {
    discovery::RedisDirectory {
        ca_file: Some(authority),
        ..spec(format!("rediss://127.0.0.1:{}", redis.port))
    }
}

#[tokio::test]
async fn only_the_right_server_is_trusted() {
    assert_only_the_right_server_is_trusted(
        |authority, certificate| tls(authority, certificate, None),
        |redis, authority| discovery::RedisDirectory {
            ca_file: authority,
            ..spec(format!("rediss://127.0.0.1:{}", redis.port))
        },
        |spec| Box::new(open(spec)),
    )
    .await;
}

#[tokio::test]
async fn a_server_without_tls_is_told() {
    let plain = Redis::start();
    let error = fail(&discovery::RedisDirectory {
        timeout: Some("300ms".parse().unwrap()),
        ..trusting(&plain, Authority::new("one").file_of_authority())
    })
    .await;
    assert!(error.to_string().starts_with("connecting with TLS to"), "{error}");
}

#[tokio::test]
async fn client_certificates_are_shown_where_they_are_demanded() {
    let (authority, clients) = (Authority::new("one"), Authority::new("two"));
    let redis = tls(&authority, Certificate::Good, Some(&clients));
    let none = trusting(&redis, authority.file_of_authority());
    assert_tls(&fail(&none).await, TlsProblem::ClientCertificate);
    let with = |of: &Authority| {
        let (certificate, key) = of.files_of_client();
        discovery::RedisDirectory {
            certificate_file: Some(certificate),
            key_file: Some(key),
            ..none.clone()
        }
    };
    assert_tls(
        &fail(&with(&Authority::new("three"))).await,
        TlsProblem::ClientCertificate,
    );
    use_fully(&open(&with(&clients))).await;
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty.pem");
    fs::write(&empty, "nothing").unwrap();
    for spec in [
        trusting(&redis, empty.clone()),
        trusting(&redis, "/nonexistent/ca.pem".into()),
        discovery::RedisDirectory {
            certificate_file: Some(empty.clone()),
            ..none.clone()
        },
    ] {
        let error = fail(&spec).await;
        assert!(matches!(error, Error::Credential { .. }), "{error}");
    }
}

#[tokio::test]
async fn no_line_of_the_log_has_a_secret_in_it() {
    let log = support::log::capture();
    let mut redis = guarded();
    let password = password_file(PASSWORD);
    let short = discovery::RedisDirectory {
        timeout: Some("500ms".parse().unwrap()),
        ..bob(&redis, password.path())
    };
    let directory = open(&short);
    use_fully(&directory).await;
    redis.command::<()>(&["ACL", "SETUSER", "bob", "-zadd"]);
    let mut errors = vec![directory.register(&entry("dask", "one")).await.unwrap_err()];
    redis.service.kill();
    errors.push(directory.register(&entry("dask", "one")).await.unwrap_err());
    errors.extend(open(&short).changed().await.err());
    let wrong = password_file("the wrong battery");
    let other = guarded();
    errors.push(fail(&bob(&other, wrong.path())).await);
    let text = format!("{errors:?} {}", log.text());
    assert!(log.text().contains("trying again"), "{}", log.text());
    for secret in ["battery", "correct-horse"] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[tokio::test]
async fn ones_own_address_is_the_one_towards_redis() {
    let directory = open(&spec("redis-sentinel://127.0.0.1:1,127.0.0.1:2/main"));
    assert!(directory.own_address().await.unwrap().is_loopback());
}
