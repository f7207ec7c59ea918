//! The server for metrics and health: three pages over plain HTTP, and limits on everything, so that nobody who asks
//! can be in anybody's way.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::{AbortHandle, JoinSet},
    time::timeout,
};

use super::{health::Health, metrics};

/// How many are served at once; more have to wait.
const CONNECTIONS: usize = 16;

/// How long the head of a request may take, and how much of it there may be.
const HEAD: Duration = Duration::from_secs(2);
const LONGEST_HEAD: usize = 8 << 10;

/// How long one connection may last, from its first byte to its last.
const CONNECTION: Duration = Duration::from_secs(5);

/// Pause after the system could not give a connection: it has run out of something.
const PAUSE: Duration = Duration::from_millis(100);

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");

/// Serves until it is dropped.
#[derive(Debug)]
pub(super) struct Server {
    address: SocketAddr,
    task: AbortHandle,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Server {
    pub(super) async fn start(address: SocketAddr, health: Arc<Health>) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self {
            address: listener.local_addr()?,
            task: tokio::spawn(serve(listener, health)).abort_handle(),
        })
    }

    /// Where it listens, with its real port.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }
}

async fn serve(listener: TcpListener, health: Arc<Health>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        while connections.try_join_next().is_some() {}
        match listener.accept().await {
            Ok((stream, _)) => {
                let health = Arc::clone(&health);
                connections.spawn(async move {
                    // Whoever is too slow has nobody to be told.
                    let _ = timeout(CONNECTION, connection(stream, health)).await;
                    drop(place);
                });
            }
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

async fn connection(stream: TcpStream, health: Arc<Health>) -> hyper::Result<()> {
    let service = service_fn(|request| {
        let response = answer(&request, &health);
        async { Ok::<_, Infallible>(response) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(LONGEST_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), service)
        .await
}

fn answer(request: &Request<Incoming>, health: &Health) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = page(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET and HEAD\n");
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/metrics" => {
            let kind = HeaderValue::from_static(metrics::CONTENT_TYPE);
            page(StatusCode::OK, kind, metrics::render(health))
        }
        "/healthz" => page(StatusCode::OK, TEXT, "alive\n"),
        "/readyz" => match health.unready() {
            Ok(()) => page(StatusCode::OK, TEXT, "ready\n"),
            Err(reason) => page(StatusCode::SERVICE_UNAVAILABLE, TEXT, format!("{reason}\n")),
        },
        _ => page(
            StatusCode::NOT_FOUND,
            TEXT,
            "there is /metrics, /healthz and /readyz\n",
        ),
    }
}

fn page(status: StatusCode, kind: HeaderValue, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
