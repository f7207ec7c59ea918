//! Authorities and certificates for the tests, made anew each time.

use std::{path::PathBuf, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    date_time_ymd,
};
use tempfile::TempDir;
use tokio_rustls::rustls::{
    RootCertStore, ServerConfig,
    crypto::ring,
    pki_types::PrivateKeyDer,
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
};

/// An authority, with a folder for its files.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

/// Which server certificate to make.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Certificate {
    Good,
    Expired,
    ForAnotherHost,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut parameters = CertificateParams::new([]).unwrap();
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(parameters, KeyPair::generate().unwrap()).unwrap();
        Self {
            issuer,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// The authority's own certificate, as a file.
    pub(crate) fn file_of_authority(&self) -> PathBuf {
        self.file("ca.pem", &self.issuer.pem())
    }

    /// A client's certificate and key, as files.
    pub(crate) fn files_of_client(&self) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(["client".to_owned()]).unwrap();
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        (
            self.file("client.pem", &certificate.pem()),
            self.file("client.key", &key.serialize_pem()),
        )
    }

    /// Parameters of a server's certificate, for 127.0.0.1 unless it is to be wrong.
    fn parameters_of_server(certificate: Certificate) -> CertificateParams {
        let host = if certificate == Certificate::ForAnotherHost {
            "another.example"
        } else {
            "127.0.0.1"
        };
        let mut parameters = CertificateParams::new([host.to_owned()]).unwrap();
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        if certificate == Certificate::Expired {
            parameters.not_before = date_time_ymd(2020, 1, 1);
            parameters.not_after = date_time_ymd(2021, 1, 1);
        }
        parameters
    }

    /// The certificate and the key of a server in another process, as files.
    pub(crate) fn files_of_server(&self, certificate: Certificate) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let certificate = Self::parameters_of_server(certificate)
            .signed_by(&key, &self.issuer)
            .unwrap();
        (
            self.file("server.pem", &certificate.pem()),
            self.file("server.key", &key.serialize_pem()),
        )
    }

    /// A server for 127.0.0.1; one that demands a certificate of the given authority from its clients, if any.
    pub(crate) fn server(&self, certificate: Certificate, clients: Option<&Self>) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let certificate = Self::parameters_of_server(certificate)
            .signed_by(&key, &self.issuer)
            .unwrap();
        let provider = Arc::new(ring::default_provider());
        let verifier: Arc<dyn ClientCertVerifier> = match clients {
            None => WebPkiClientVerifier::no_client_auth(),
            Some(clients) => {
                let mut roots = RootCertStore::empty();
                roots.add(clients.issuer.der().clone()).unwrap();
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                    .build()
                    .unwrap()
            }
        };
        ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap()
    }
}
