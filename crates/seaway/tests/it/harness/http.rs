//! As much HTTP as the tests ask for.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
};

use super::PATIENCE;

/// The status code and the rest of the answer to a GET at `host:port`.
pub(crate) fn get(address: &str, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let code = answer
        .split_whitespace()
        .nth(1)
        .and_then(|code| code.parse().ok());
    code.map(|code| (code, answer))
        .ok_or_else(|| std::io::Error::other("no status line"))
}

/// Whether nobody listens at `host:port`.
pub(crate) fn is_free(address: &str) -> bool {
    TcpListener::bind(address).is_ok()
}
