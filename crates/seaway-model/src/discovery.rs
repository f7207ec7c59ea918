//! Where an instance is announced: the `spec.discovery` part of a document. What a directory does is the
//! business of `seaway-discovery`; this is only how one is named and configured.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Period;

/// One directory to announce the endpoints in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum DirectorySpec {
    /// A folder with one JSON file for each instance.
    File(FileDirectory),
    /// One JSON line on standard output for each change; for scripts that read it.
    Stdout(StdoutDirectory),
    /// Any HTTP server: a request when the instance is ready, another when it goes.
    Http(HttpDirectory),
}

impl DirectorySpec {
    /// The kind of directory: `file`, `stdout`, `http`.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Stdout(_) => "stdout",
            Self::Http(_) => "http",
        }
    }
}

/// A folder of JSON files, written atomically with mode 0600.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FileDirectory {
    /// The folder; `directory` in Seaway's state folder when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// How long an entry is to be believed without being renewed; 30 s when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Period>,
}

/// Standard output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StdoutDirectory {}

/// A request to an HTTP server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HttpDirectory {
    /// Where to announce. `{name}` in it stands for the instance's name.
    pub url: String,
    /// Method used to announce and to renew.
    #[serde(default)]
    pub method: HttpMethod,
    /// Method used to withdraw.
    #[serde(default = "delete")]
    pub withdraw_method: HttpMethod,
    /// Where to withdraw, when it is not `url`. `{name}` stands for the instance's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdraw_url: Option<String>,
    /// Form of the body: `json` (the entry) or `text` (one `name=url` line for each endpoint).
    #[serde(default)]
    pub format: HttpFormat,
    /// File with a bearer token; read again for every request, so that it can be rotated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
    /// PEM file with the client's certificate chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_file: Option<PathBuf>,
    /// PEM file with the key of the client's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<PathBuf>,
    /// PEM file with the authorities to trust instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// Longest time for one request; 10 s when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Period>,
    /// How often a failed request is tried again before the error is told; 4 when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// How long the server may believe the entry without being told again; it is told again at a third of this
    /// time. Once, and never again, when not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Period>,
}

const fn delete() -> HttpMethod {
    HttpMethod::Delete
}

/// The methods an HTTP directory can use.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum HttpMethod {
    /// `POST`
    #[default]
    Post,
    /// `PUT`
    Put,
    /// `PATCH`
    Patch,
    /// `DELETE`
    Delete,
}

/// The forms of body an HTTP directory can send.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HttpFormat {
    /// The whole entry as a JSON object.
    #[default]
    Json,
    /// One `name=url` line for each endpoint.
    Text,
}
