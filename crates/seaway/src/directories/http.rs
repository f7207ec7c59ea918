//! Options of the directory `http`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};
use seaway_model::{
    Period,
    discovery::{HttpDirectory, HttpFormat, HttpMethod},
};

use super::{first_given, put, usage};
use crate::failure::Failure;

/// How an HTTP server is told.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Directory `http`")]
#[expect(clippy::struct_field_names, reason = "the options are called like that")]
pub(crate) struct HttpOptions {
    /// Where to announce; `{name}` in it stands for the name.
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    http_url: Option<String>,
    /// Method that announces and renews [default: POST].
    #[arg(long, value_enum, value_name = "METHOD", ignore_case = true)]
    http_method: Option<MethodArgument>,
    /// Where to withdraw [default: the same URL].
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    http_withdraw_url: Option<String>,
    /// Method that withdraws [default: DELETE].
    #[arg(long, value_enum, value_name = "METHOD", ignore_case = true)]
    http_withdraw_method: Option<MethodArgument>,
    /// Form of the body: the whole entry as JSON, or one NAME=URL line for each endpoint [default: json].
    #[arg(long, value_enum, value_name = "FORM")]
    http_format: Option<FormatArgument>,
    /// File with a bearer token; read for every request, so that it can be rotated.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    http_token_file: Option<PathBuf>,
    /// PEM file with the authorities to trust instead of the system's.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    http_ca: Option<PathBuf>,
    /// PEM file with a client certificate.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    http_certificate: Option<PathBuf>,
    /// PEM file with the client certificate's key.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    http_key: Option<PathBuf>,
    /// Longest time for one request [default: 10s].
    #[arg(long, value_name = "TIME")]
    http_timeout: Option<Period>,
    /// How long the server may believe the entry, where that is another time than --lease.
    #[arg(long, value_name = "TIME")]
    http_lease: Option<Period>,
}

/// HTTP methods.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "UPPER")]
pub(crate) enum MethodArgument {
    Post,
    Put,
    Patch,
    Delete,
}

/// Forms of an HTTP body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FormatArgument {
    /// The whole entry as JSON.
    Json,
    /// One NAME=URL line for each endpoint.
    Text,
}

impl From<MethodArgument> for HttpMethod {
    fn from(method: MethodArgument) -> Self {
        match method {
            MethodArgument::Post => Self::Post,
            MethodArgument::Put => Self::Put,
            MethodArgument::Patch => Self::Patch,
            MethodArgument::Delete => Self::Delete,
        }
    }
}

impl HttpOptions {
    pub(super) fn given(&self) -> Option<&'static str> {
        first_given([
            ("--http-url", self.http_url.is_some()),
            ("--http-method", self.http_method.is_some()),
            ("--http-withdraw-url", self.http_withdraw_url.is_some()),
            ("--http-withdraw-method", self.http_withdraw_method.is_some()),
            ("--http-format", self.http_format.is_some()),
            ("--http-token-file", self.http_token_file.is_some()),
            ("--http-ca", self.http_ca.is_some()),
            ("--http-certificate", self.http_certificate.is_some()),
            ("--http-key", self.http_key.is_some()),
            ("--http-timeout", self.http_timeout.is_some()),
            ("--http-lease", self.http_lease.is_some()),
        ])
    }

    /// The directory of which a document says nothing.
    pub(super) fn bare(&self, option: &str) -> Result<HttpDirectory, Failure> {
        let url = self.http_url.clone().ok_or_else(|| {
            usage(format!("{option} http needs --http-url"))
                .hint("for example --http-url https://directory.example/engines/{name}")
        })?;
        Ok(HttpDirectory::at(url))
    }

    pub(super) fn apply(&self, spec: &mut HttpDirectory) {
        if let Some(url) = &self.http_url {
            spec.url.clone_from(url);
        }
        if let Some(method) = self.http_method {
            spec.method = method.into();
        }
        if let Some(method) = self.http_withdraw_method {
            spec.withdraw_method = method.into();
        }
        if let Some(format) = self.http_format {
            spec.format = match format {
                FormatArgument::Json => HttpFormat::Json,
                FormatArgument::Text => HttpFormat::Text,
            };
        }
        put(&mut spec.withdraw_url, self.http_withdraw_url.as_ref());
        put(&mut spec.token_file, self.http_token_file.as_ref());
        put(&mut spec.ca_file, self.http_ca.as_ref());
        put(&mut spec.certificate_file, self.http_certificate.as_ref());
        put(&mut spec.key_file, self.http_key.as_ref());
        put(&mut spec.timeout, self.http_timeout.as_ref());
        put(&mut spec.lease, self.http_lease.as_ref());
    }
}
