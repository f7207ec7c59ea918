//! As much HTTP as the tests ask for.

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{Arc, Mutex},
    thread,
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

/// A server that keeps what it is sent by path: PUT and POST store, GET gives back, DELETE removes. It ends with the
/// test process.
#[derive(Debug, Clone)]
pub(crate) struct Store {
    address: String,
    kept: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
}

impl Store {
    pub(crate) fn start() -> Self {
        Self::at("127.0.0.1:0")
    }

    /// At an address, which may have been in use until now.
    pub(crate) fn at(address: &str) -> Self {
        let listener = TcpListener::bind(address).expect("the address is free");
        let store = Self {
            address: listener.local_addr().expect("it listens").to_string(),
            kept: Arc::default(),
        };
        let kept = Arc::clone(&store.kept);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                // Whoever goes away in the middle gets no answer.
                let _ = exchange(&stream, &kept);
            }
        });
        store
    }

    /// The option for `--http-url`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/{{name}}", self.address)
    }

    /// What is kept of a name.
    pub(crate) fn entry(&self, name: &str) -> Option<serde_json::Value> {
        let kept = self.kept.lock().expect("nobody panics with it");
        kept.get(&format!("/{name}"))
            .map(|body| serde_json::from_slice(body).expect("an entry is JSON"))
    }
}

fn exchange(mut stream: &TcpStream, kept: &Mutex<BTreeMap<String, Vec<u8>>>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream);
    let (mut first, mut length) = (String::new(), 0);
    reader.read_line(&mut first)?;
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        if let Some(number) = line.to_lowercase().strip_prefix("content-length:") {
            length = number.trim().parse().unwrap_or(0);
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut words = first.split_whitespace();
    let (method, path) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default().to_owned(),
    );
    let mut kept = kept.lock().expect("nobody panics with it");
    let (status, answer) = match method {
        "PUT" | "POST" => {
            kept.insert(path, body);
            ("200 OK", Vec::new())
        }
        "DELETE" => {
            kept.remove(&path);
            ("204 No Content", Vec::new())
        }
        _ => kept
            .get(&path)
            .map_or(("404 Not Found", Vec::new()), |body| ("200 OK", body.clone())),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        answer.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(&answer)
}
