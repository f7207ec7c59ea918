//! Endpoints: named ports that clients use, with the address they really have.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Name;

/// A named port that clients use, at its real address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Endpoint {
    /// What clients call it: `client`, `dashboard`, `metrics`, `notebook`, `http`.
    pub name: Name,
    /// Scheme of the URL: `tcp`, `http`, `https`.
    pub scheme: String,
    /// Host name or IP address (an IPv6 address without brackets). Empty while it is only known to be this machine:
    /// whoever announces it puts in the address that is seen from the directory.
    pub host: String,
    /// Port number.
    pub port: u16,
    /// Path of the URL, with its leading `/`; empty for the root.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub path: String,
    /// File (mode 0600) that holds the token a client needs; absent where none is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_file: Option<PathBuf>,
}

impl Endpoint {
    /// `host:port`, with brackets around an IPv6 address.
    #[must_use]
    pub fn address(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// `scheme://host:port/path`; never with a token in it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://{}{}", self.scheme, self.address(), self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_both_families() {
        let mut endpoint = Endpoint {
            name: Name::literal("client"),
            scheme: "tcp".into(),
            host: "127.0.0.1".into(),
            port: 8786,
            path: String::new(),
            token_file: None,
        };
        assert_eq!(endpoint.url(), "tcp://127.0.0.1:8786");
        endpoint.host = "::1".into();
        assert_eq!(endpoint.url(), "tcp://[::1]:8786");
    }
}
