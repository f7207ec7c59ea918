//! What the tests share: entries, waiting, and a small HTTP server that does as it is told.

#![allow(dead_code, reason = "each test binary uses its own part")]

pub(crate) mod checks;
pub(crate) mod cluster;
pub(crate) mod log;
pub(crate) mod pki;
pub(crate) mod services;

use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use seaway_discovery::{Entry, Error, HttpDirectory};
use seaway_model::{Endpoint, Name, discovery};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig};

pub(crate) fn name(text: &str) -> Name {
    text.parse().unwrap()
}

pub(crate) fn entry(instance: &str, owner: &str) -> Entry {
    let endpoint = Endpoint {
        name: name("client"),
        scheme: "tcp".into(),
        host: "127.0.0.1".into(),
        port: 8786,
        path: String::new(),
        token_file: None,
    };
    Entry::new(name(instance), "Dask", owner.parse().unwrap(), vec![endpoint])
}

/// A document that announces here with `POST`, once.
pub(crate) fn spec(url: impl Into<String>) -> discovery::HttpDirectory {
    discovery::HttpDirectory {
        retries: Some(0),
        ..discovery::HttpDirectory::at(url.into())
    }
}

/// Why the directory of this document does not take an entry.
pub(crate) async fn fail(spec: &discovery::HttpDirectory) -> Error {
    checks::refusal(&HttpDirectory::open(spec).unwrap()).await
}

/// Asks until the answer is yes; fails after ten seconds.
pub(crate) async fn until<F: Future<Output = bool>>(what: &str, mut ask: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !ask().await {
        assert!(Instant::now() < deadline, "not within ten seconds: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A request as the server got it.
#[derive(Debug, Clone)]
pub(crate) struct Received {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: HashMap<String, String>,
    pub(crate) body: String,
    pub(crate) at: Instant,
}

/// What the server does about a request.
pub(crate) enum Reply {
    Status(u16, String),
    With(u16, Vec<(&'static str, String)>, String),
    Hang,
    Break,
}

type Handler = dyn Fn(&Received) -> Reply + Send + Sync;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) received: Arc<Mutex<Vec<Received>>>,
    task: JoinHandle<()>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(crate) async fn start(handler: impl Fn(&Received) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_with(None, handler).await
    }

    pub(crate) async fn start_with(
        tls: Option<ServerConfig>,
        handler: impl Fn(&Received) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let received = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&received);
        let handler: Arc<Handler> = Arc::new(handler);
        let acceptor = tls.map(|config| TlsAcceptor::from(Arc::new(config)));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, handler, acceptor) = (Arc::clone(&seen), Arc::clone(&handler), acceptor.clone());
                tokio::spawn(async move {
                    match acceptor {
                        None => serve(stream, &seen, &*handler).await,
                        Some(acceptor) => match acceptor.accept(stream).into_fallible().await {
                            Ok(stream) => serve(stream, &seen, &*handler).await,
                            Err((_, mut stream)) => {
                                // Read to the end: closing with bytes unread would take the alert back.
                                let _ = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
                            }
                        },
                    }
                });
            }
        });
        Self {
            address,
            received,
            task,
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }
}

async fn serve<S>(stream: S, seen: &Mutex<Vec<Received>>, handler: &Handler)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut stream = BufReader::new(stream);
    while let Some(request) = read_request(&mut stream).await {
        seen.lock().unwrap().push(request.clone());
        let (status, headers, body) = match handler(&request) {
            Reply::Status(status, body) => (status, Vec::new(), body),
            Reply::With(status, headers, body) => (status, headers, body),
            Reply::Hang => return std::future::pending().await,
            Reply::Break => return,
        };
        let headers: Vec<_> = headers
            .iter()
            .map(|(key, value)| [key, ": ", value, "\r\n"].concat())
            .collect();
        let answer = format!(
            "HTTP/1.1 {status} Whatever\r\ncontent-length: {}\r\n{}\r\n{body}",
            body.len(),
            headers.concat()
        );
        if stream.write_all(answer.as_bytes()).await.is_err() || stream.flush().await.is_err() {
            return;
        }
    }
}

async fn read_request<S: tokio::io::AsyncRead + Unpin>(stream: &mut BufReader<S>) -> Option<Received> {
    let mut first = String::new();
    stream.read_line(&mut first).await.ok()?;
    let mut words = first.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = HashMap::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        let Some((key, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.insert(key.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers
        .get("content-length")
        .map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    Some(Received {
        method,
        path,
        headers,
        body: String::from_utf8(body).unwrap(),
        at: Instant::now(),
    })
}
