//! Who may what: tokens, certificates; and that no secret is told.

use super::*;

fn guarded() -> Consul {
    Consul::with(&json!({
        "acl": { "enabled": true, "default_policy": "deny", "tokens": { "master": MASTER } },
    }))
}

/// A token with these rules, in a file.
fn token(consul: &Consul, rules: &str) -> tempfile::NamedTempFile {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let policy = format!("policy-{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let body = json!({ "Name": policy, "Rules": rules }).to_string();
    let (status, answer) = consul.request("PUT", "/v1/acl/policy", &body);
    assert_eq!(status, 200, "{answer}");
    let body = json!({ "Policies": [{ "Name": policy }] }).to_string();
    let (status, answer) = consul.request("PUT", "/v1/acl/token", &body);
    assert_eq!(status, 200, "{answer}");
    let token: Value = serde_json::from_str(&answer).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, format!("{}\n", token["SecretID"].as_str().unwrap())).unwrap();
    file
}

fn with_token(consul: &Consul, file: &Path) -> discovery::ConsulDirectory {
    discovery::ConsulDirectory {
        token_file: Some(file.to_owned()),
        ..spec(consul.url())
    }
}

const KEYS: &str = r#"key_prefix "seaway/" { policy = "write" }"#;
const SERVICE: &str = r#"service "dask" { policy = "write" }"#;

#[tokio::test]
async fn a_token_needs_no_more_than_is_documented() {
    let consul = guarded();
    let file = token(&consul, &format!("{KEYS} {SERVICE}"));
    use_fully(&open(&with_token(&consul, file.path()))).await;
    let text = fs::read_to_string(&file).unwrap().trim().to_owned();
    // As Consul's own tools take it.
    let address = format!("127.0.0.1:{}", consul.port);
    for (key, value) in [
        (variables::CONSUL_HTTP_TOKEN, text.as_str()),
        (variables::CONSUL_HTTP_TOKEN_FILE, file.path().to_str().unwrap()),
    ] {
        let defaults = Defaults {
            variables: [(variables::CONSUL_HTTP_ADDR, address.as_str()), (key, value)]
                .into_iter()
                .collect(),
            ..Defaults::default()
        };
        let directory = ConsulDirectory::open(&discovery::ConsulDirectory::default(), &defaults).unwrap();
        use_fully(&directory).await;
        assert!(!format!("{directory:?} {defaults:?}").contains(&text));
    }
}

#[tokio::test]
async fn the_missing_rule_is_named() {
    let consul = guarded();
    let error = fail(&spec(consul.url())).await;
    assert!(matches!(error, Error::Forbidden { .. }), "{error}");
    assert_says(&error, &["key:", "seaway/entries/dask", "no token", "tokenFile"]);
    for (rules, words) in [
        (
            SERVICE.to_owned(),
            ["key:write seaway/entries/dask", "Permission denied"],
        ),
        (KEYS.to_owned(), ["service:write dask", "Permission denied"]),
        (
            format!(r#"{SERVICE} key_prefix "seaway/" {{ policy = "read" }}"#),
            ["key:write", "Permission denied"],
        ),
    ] {
        let file = token(&consul, &rules);
        let error = fail(&with_token(&consul, file.path())).await;
        assert!(matches!(error, Error::Forbidden { .. }), "{error}");
        assert_eq!(error.kind(), "forbidden");
        assert_says(&error, &words);
        assert!(error.hint().is_some());
    }
    // Read again for every request.
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, "3c1dd5a2-1111-4111-8111-11111111cafe").unwrap();
    let directory = open(&with_token(&consul, file.path()));
    let error = directory.register(&entry_of("one")).await.unwrap_err();
    assert_says(&error, &["does not know the token"]);
    let good = token(&consul, &format!("{KEYS} {SERVICE}"));
    fs::copy(good.path(), file.path()).unwrap();
    directory.register(&entry_of("one")).await.unwrap();
    fs::write(&file, "").unwrap();
    let error = directory.renew(&entry_of("one")).await.unwrap_err();
    assert!(matches!(error, Error::Credential { .. }), "{error}");
}

#[test]
fn tokens_do_not_travel_in_the_clear_and_sockets_are_refused() {
    let refused = |spec: &discovery::ConsulDirectory, variables: &[(&str, &str)]| {
        let defaults = Defaults {
            variables: variables.iter().copied().collect(),
            ..Defaults::default()
        };
        let error = ConsulDirectory::open(spec, &defaults).unwrap_err();
        assert!(matches!(error, Error::Configuration { .. }), "{error}");
        assert!(!error.to_string().contains("cafe"), "{error}");
        error.to_string()
    };
    let unset = discovery::ConsulDirectory::default();
    let token = (variables::CONSUL_HTTP_TOKEN, MASTER);
    assert!(refused(&spec("http://consul.lab:8500"), &[token]).contains("in the clear"));
    assert!(
        refused(&unset, &[token, (variables::CONSUL_HTTP_ADDR, "consul.lab:8500")])
            .contains("CONSUL_HTTP_ADDR")
    );
    assert!(
        refused(
            &unset,
            &[(variables::CONSUL_HTTP_ADDR, "unix:///run/consul.sock")]
        )
        .contains("sockets")
    );
    let short = discovery::ConsulDirectory {
        deregister_after: Some(Period::from_secs(59)),
        ..unset.clone()
    };
    assert!(refused(&short, &[]).contains("deregisterAfter"));
    let defaults = Defaults {
        variables: [
            token,
            (variables::CONSUL_HTTP_ADDR, "consul.lab:8501"),
            (variables::CONSUL_HTTP_SSL, "true"),
        ]
        .into_iter()
        .collect(),
        ..Defaults::default()
    };
    let directory = ConsulDirectory::open(&unset, &defaults).unwrap();
    assert_eq!(directory.describe(), "Consul at https://consul.lab:8501");
    assert!(!format!("{directory:?}").contains("cafe"));
}

fn tls(authority: &Authority, certificate: Certificate, clients: Option<&Authority>) -> Consul {
    let (certificate, key) = authority.files_of_server(certificate);
    let ca = clients.unwrap_or(authority).file_of_authority();
    Consul::with(&json!({
        "cert_file": certificate, "key_file": key, "ca_file": ca, "verify_incoming_https": clients.is_some(),
    }))
}

fn trusting(consul: &Consul, authority: PathBuf) -> discovery::ConsulDirectory {
    discovery::ConsulDirectory {
        ca_file: Some(authority),
        ..spec(format!("https://127.0.0.1:{}", consul.port))
    }
}

#[tokio::test]
async fn only_the_right_server_is_trusted() {
    assert_only_the_right_server_is_trusted(
        |authority, certificate| tls(authority, certificate, None),
        |consul, authority| discovery::ConsulDirectory {
            ca_file: authority,
            ..spec(format!("https://127.0.0.1:{}", consul.port))
        },
        |spec| Box::new(open(spec)),
    )
    .await;
}

#[tokio::test]
async fn client_certificates_are_shown_where_they_are_demanded() {
    let (authority, clients) = (Authority::new("one"), Authority::new("two"));
    let consul = tls(&authority, Certificate::Good, Some(&clients));
    let none = trusting(&consul, authority.file_of_authority());
    assert_tls(&fail(&none).await, TlsProblem::ClientCertificate);
    let (certificate, key) = clients.files_of_client();
    let defaults = Defaults {
        variables: [
            (variables::CONSUL_CLIENT_CERT, certificate.to_str().unwrap()),
            (variables::CONSUL_CLIENT_KEY, key.to_str().unwrap()),
        ]
        .into_iter()
        .collect(),
        ..Defaults::default()
    };
    use_fully(&ConsulDirectory::open(&none, &defaults).unwrap()).await;
}

#[tokio::test]
async fn no_line_of_the_log_has_a_secret_in_it() {
    let log = support::log::capture();
    let mut consul = guarded();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(&file, MASTER).unwrap();
    let short = discovery::ConsulDirectory {
        timeout: Some("1s".parse().unwrap()),
        ..with_token(&consul, file.path())
    };
    let directory = open(&short);
    until("it is registered", async || {
        directory.register(&entry_of("one")).await.is_ok()
    })
    .await;
    let mut errors = Vec::new();
    fs::write(&file, "3c1dd5a2-1111-4111-8111-11111111cafe").unwrap();
    errors.push(directory.renew(&entry_of("one")).await.unwrap_err());
    consul.service.kill();
    errors.push(directory.renew(&entry_of("one")).await.unwrap_err());
    let echo = Server::start(|request| Reply::Status(400, format!("{:?}", request.headers))).await;
    errors.push(
        fail(&discovery::ConsulDirectory {
            url: Some(echo.url("")),
            ..short
        })
        .await,
    );
    assert!(log.text().contains("trying again"), "{}", log.text());
    let text = format!("{errors:?} {}", log.text());
    assert!(!text.contains("cafe"), "{text}");
}
