//! What is asked of several directories in the same words.

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use seaway_discovery::{Directory, Error, TlsProblem};

use super::{
    Reply, Server, entry, name,
    pki::{Authority, Certificate},
};

/// Who holds `dask`, if anybody.
pub(crate) async fn owner(directory: &dyn Directory) -> Option<String> {
    let present = directory.get(&name("dask")).await.unwrap();
    present.map(|entry| entry.owner.to_string())
}

/// Why the directory does not take an entry.
pub(crate) async fn refusal(directory: &dyn Directory) -> Error {
    directory.register(&entry("dask", "one")).await.unwrap_err()
}

/// Everything a directory is asked to do.
pub(crate) async fn use_fully(directory: &dyn Directory) {
    let entry = entry("dask", "one");
    directory.register(&entry).await.unwrap();
    directory.renew(&entry).await.unwrap();
    assert_eq!(directory.list().await.unwrap().len(), 1);
    assert!(directory.get(&entry.name).await.unwrap().is_some());
    directory.changed().await.unwrap();
    directory.remove_expired().await.unwrap();
    directory.withdraw(&entry).await.unwrap();
    assert!(directory.get(&entry.name).await.unwrap().is_none());
    assert!(directory.list().await.unwrap().is_empty());
}

/// The error has these words in it, something to do about it, and not the secret.
pub(crate) fn assert_says(error: &Error, words: &[&str], secret: &str) {
    let text = format!("{error} | {} | {error:?}", error.hint().unwrap_or_default());
    for word in words {
        assert!(text.contains(word), "`{word}` is not in: {text}");
    }
    assert!(!text.contains(secret), "{text}");
}

pub(crate) fn assert_tls(error: &Error, expected: TlsProblem) {
    assert!(
        matches!(error, Error::Tls { problem, .. } if *problem == expected),
        "expected {expected:?}, got {error:?}"
    );
    assert_eq!(error.kind(), "tls");
    assert!(error.hint().is_some());
}

/// Servers are trusted for their certificates and for nothing else. `start` starts one with such a certificate; `spec`
/// says how to reach it and which authorities to trust, the system's if none.
pub(crate) async fn assert_only_the_right_server_is_trusted<Server, Spec>(
    start: impl Fn(&Authority, Certificate) -> Server,
    spec: impl Fn(&Server, Option<PathBuf>) -> Spec,
    open: impl Fn(&Spec) -> Box<dyn Directory>,
) {
    let authority = Authority::new("one");
    let fail = async |server: &Server, authority: Option<PathBuf>| {
        let directory = open(&spec(server, authority));
        refusal(&*directory).await
    };
    let server = start(&authority, Certificate::Good);
    let directory = open(&spec(&server, Some(authority.file_of_authority())));
    use_fully(&*directory).await;
    let begun = Instant::now();
    // One of another name, and one of the same name with another key.
    for stranger in ["two", "one"] {
        let stranger = Authority::new(stranger);
        let error = fail(&server, Some(stranger.file_of_authority())).await;
        assert_tls(&error, TlsProblem::UnknownAuthority);
    }
    assert_tls(&fail(&server, None).await, TlsProblem::UnknownAuthority);
    assert!(
        begun.elapsed() < Duration::from_secs(5),
        "trust is not tried again"
    );
    for (certificate, problem) in [
        (Certificate::Expired, TlsProblem::Expired),
        (Certificate::ForAnotherHost, TlsProblem::WrongHost),
    ] {
        let server = start(&authority, certificate);
        let error = fail(&server, Some(authority.file_of_authority())).await;
        assert_tls(&error, problem);
    }
}

/// An HTTP server that answers these first, and then as `next` does.
pub(crate) async fn answering(
    first: Vec<Reply>,
    next: impl Fn(&str, &str) -> Reply + Send + Sync + 'static,
) -> Server {
    let first = std::sync::Mutex::new(first.into_iter());
    Server::start(move |request| {
        let first = first.lock().unwrap().next();
        first.unwrap_or_else(|| next(&request.method, &request.path))
    })
    .await
}
