//! The smallest HTTP client that can ask an engine how it is: one request, one connection, no TLS, no pool.
//!
//! A supervisor asks a few questions a minute on the loopback interface. A full client would cost every
//! supervisor more memory than all else it does.

use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::{Method, Request, body::Bytes, header};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};

/// An answer longer than this is refused.
const LONGEST_BODY: usize = 16 << 20;

/// Why a question was not answered.
#[derive(Debug, Error)]
pub enum HttpError {
    /// Nothing listens there, or the connection broke.
    #[error("{address} does not accept connections: {source}")]
    Connect {
        /// `host:port`.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// No answer in time.
    #[error("{address} did not answer within {} ms", after.as_millis())]
    Timeout {
        /// `host:port`.
        address: String,
        /// The time given.
        after: Duration,
    },
    /// What came back is no HTTP, or too long.
    #[error("{address} answered with something that is not HTTP: {reason}")]
    Protocol {
        /// `host:port`.
        address: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The status says no.
    #[error("{address}{path} answered {status}")]
    Status {
        /// `host:port`.
        address: String,
        /// The path asked.
        path: String,
        /// The status code.
        status: u16,
    },
}

/// Asks with GET, or posts `body` as JSON, and gives back the body of a good answer (status below 400).
pub async fn request(
    address: &str,
    path: &str,
    body: Option<String>,
    timeout: Duration,
) -> Result<Bytes, HttpError> {
    let late = |_| HttpError::Timeout {
        address: address.to_owned(),
        after: timeout,
    };
    tokio::time::timeout(timeout, exchange(address, path, body))
        .await
        .map_err(late)?
}

/// The same over a connection that is there already, such as one through a tunnel. `address` is for people, and for
/// the `Host` header.
pub async fn request_over<S>(
    stream: S,
    address: &str,
    path: &str,
    body: Option<String>,
    timeout: Duration,
) -> Result<Bytes, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let late = |_| HttpError::Timeout {
        address: address.to_owned(),
        after: timeout,
    };
    tokio::time::timeout(timeout, exchange_over(stream, address, path, body))
        .await
        .map_err(late)?
}

async fn exchange(address: &str, path: &str, body: Option<String>) -> Result<Bytes, HttpError> {
    let connect = |source| HttpError::Connect {
        address: address.to_owned(),
        source,
    };
    let stream = TcpStream::connect(address).await.map_err(connect)?;
    exchange_over(stream, address, path, body).await
}

async fn exchange_over<S>(
    stream: S,
    address: &str,
    path: &str,
    body: Option<String>,
) -> Result<Bytes, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let protocol = |reason: &dyn std::fmt::Display| HttpError::Protocol {
        address: address.to_owned(),
        reason: reason.to_string(),
    };
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|error| protocol(&error))?;
    let method = if body.is_some() { Method::POST } else { Method::GET };
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, address)
        .header(header::CONNECTION, "close")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(body.unwrap_or_default())))
        .map_err(|error| protocol(&error))?;
    let answer = async {
        let response = sender
            .send_request(request)
            .await
            .map_err(|error| protocol(&error))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), LONGEST_BODY)
            .collect()
            .await
            .map_err(|error| protocol(&error))?
            .to_bytes();
        if status.as_u16() < 400 {
            Ok(body)
        } else {
            Err(HttpError::Status {
                address: address.to_owned(),
                path: path.to_owned(),
                status: status.as_u16(),
            })
        }
    };
    // The connection is driven beside the exchange, without a task of its own that could outlive it.
    tokio::pin!(answer);
    tokio::select! {
        result = &mut answer => result,
        ended = connection => match ended {
            Ok(()) => answer.await,
            Err(error) => Err(protocol(&error)),
        },
    }
}
