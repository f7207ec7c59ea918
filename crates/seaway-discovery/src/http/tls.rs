//! Trust: which authorities the client believes, and the certificate it shows.

use std::{fs, path::Path};

use reqwest::{Certificate, ClientBuilder, Identity};

use super::answer;
use crate::{Error, Result};

/// Whom to believe, and what to show.
pub(crate) struct Trust<'a> {
    /// Whether anything is encrypted at all.
    pub(crate) encrypted: bool,
    pub(crate) ca_file: Option<&'a Path>,
    pub(crate) certificate_file: Option<&'a Path>,
    pub(crate) key_file: Option<&'a Path>,
}

/// Sets up the TLS library.
pub(crate) fn set_up() {
    // Somebody else in this process may have chosen already; that is just as well.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Gives the client its authorities and its certificate. Verification is never switched off.
pub(crate) fn configure(mut builder: ClientBuilder, trust: &Trust<'_>) -> Result<ClientBuilder> {
    set_up();
    if !trust.encrypted {
        // Nothing is going to be verified: not even the system's authorities need be read.
        return Ok(builder.tls_certs_only([]));
    }
    if let Some(path) = trust.ca_file {
        let what = "CA certificates";
        let authorities =
            Certificate::from_pem_bundle(&read(what, path)?).map_err(|error| Error::Credential {
                what,
                path: path.to_owned(),
                reason: answer::chain(&error),
            })?;
        if authorities.is_empty() {
            let reason = "there is no certificate in it".to_owned();
            return Err(Error::Credential {
                what,
                path: path.to_owned(),
                reason,
            });
        }
        builder = builder.tls_certs_only(authorities);
    }
    if let Some(path) = trust.certificate_file {
        let what = "client certificate";
        let mut pem = read(what, path)?;
        if let Some(key) = trust.key_file {
            pem.push(b'\n');
            pem.extend(read("client key", key)?);
        }
        let identity = Identity::from_pem(&pem).map_err(|error| Error::Credential {
            what,
            path: path.to_owned(),
            reason: answer::chain(&error),
        })?;
        builder = builder.identity(identity);
    }
    Ok(builder)
}

pub(crate) fn read(what: &'static str, path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| Error::Credential {
        what,
        path: path.to_owned(),
        reason: error.to_string(),
    })
}
