//! Options of the directory `redis`.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use seaway_model::{Name, Period, discovery::RedisDirectory};

use super::{first_given, put, usage};
use crate::failure::Failure;

/// How Redis is reached, and what is put there.
#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Directory `redis`")]
#[expect(clippy::struct_field_names, reason = "the options are called like that")]
pub(crate) struct RedisOptions {
    /// redis://, rediss:// (TLS), redis-sentinel:// or redis-cluster:// [default: REDIS_URL, then
    /// redis://127.0.0.1:6379].
    #[arg(long, value_name = "URL", value_hint = ValueHint::Url)]
    redis_url: Option<String>,
    /// ACL user.
    #[arg(long, value_name = "USER")]
    redis_user: Option<String>,
    /// File with the password; read for every connection.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    redis_password_file: Option<PathBuf>,
    /// Part of every key, so that several groups of users can share a server [default: default].
    #[arg(long, value_name = "NAMESPACE")]
    redis_namespace: Option<Name>,
    /// PEM file with the authorities to trust instead of the system's.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    redis_ca: Option<PathBuf>,
    /// PEM file with a client certificate.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    redis_certificate: Option<PathBuf>,
    /// PEM file with the client certificate's key.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    redis_key: Option<PathBuf>,
    /// Longest time for one command [default: 10s].
    #[arg(long, value_name = "TIME")]
    redis_timeout: Option<Period>,
}

impl RedisOptions {
    pub(super) fn given(&self) -> Option<&'static str> {
        first_given([
            ("--redis-url", self.redis_url.is_some()),
            ("--redis-user", self.redis_user.is_some()),
            ("--redis-password-file", self.redis_password_file.is_some()),
            ("--redis-namespace", self.redis_namespace.is_some()),
            ("--redis-ca", self.redis_ca.is_some()),
            ("--redis-certificate", self.redis_certificate.is_some()),
            ("--redis-key", self.redis_key.is_some()),
            ("--redis-timeout", self.redis_timeout.is_some()),
        ])
    }

    pub(super) fn apply(&self, spec: &mut RedisDirectory) -> Result<(), Failure> {
        if self.redis_url.as_deref().is_some_and(has_password) {
            // Not shown again: it is secret enough to stand in no message.
            return Err(
                usage("--redis-url holds a password, which every user of this machine could read")
                    .hint("put it into a file for --redis-password-file, or the whole URL into REDIS_URL"),
            );
        }
        put(&mut spec.url, self.redis_url.as_ref());
        put(&mut spec.username, self.redis_user.as_ref());
        put(&mut spec.password_file, self.redis_password_file.as_ref());
        put(&mut spec.namespace, self.redis_namespace.as_ref());
        put(&mut spec.ca_file, self.redis_ca.as_ref());
        put(&mut spec.certificate_file, self.redis_certificate.as_ref());
        put(&mut spec.key_file, self.redis_key.as_ref());
        put(&mut spec.timeout, self.redis_timeout.as_ref());
        Ok(())
    }
}

fn has_password(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority
        .rsplit_once('@')
        .is_some_and(|(user, _)| user.contains(':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_seen() {
        assert!(has_password("redis://user:word@host:6379/0"));
        assert!(has_password("rediss://:word@host"));
        assert!(!has_password("redis://user@host:6379/0?a=b:c@d"));
        assert!(!has_password("redis://host:6379"));
    }
}
