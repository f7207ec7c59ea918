//! Seaway's setup of Kubernetes clusters: what has to be there before anything runs, and what is wrong with what is there.
//!
//! [`kubernetes`] takes a list of steps and makes each of them so: namespace, keys, certificates, accounts, roles,
//! secrets for pulling images, a registry. [`check`] reads manifests and finds the mistakes that an API server takes
//! without a word: a binding to a role that is not there, a Secret that nobody made.
//!
//! What the crate promises:
//!
//! - **Again is nothing.** A step whose outcome is there already writes nothing, and generated keys are kept.
//! - **Nothing of others.** Objects without our label are neither changed nor removed.
//! - **Nothing secret is told.** Keys, tokens and passwords go into Secrets and into files of mode 0600; they stand in no
//!   report, no error, no log line and no `Debug` output.
//! - **Everything has a reason.** Each step says what it did and why it exists; each finding says what to do.

pub mod check;
mod cluster;
mod error;
mod files;
mod pki;
mod remove;
mod report;
mod request;
mod steps;

pub use error::{Error, Result};
pub use report::{Did, Report, StepReport};
pub use request::{
    Accounts, Certificate, KeyPair, Login, PodSecurity, PullSecret, Registry, Request, Roles, Secret, Token,
};

use cluster::Cluster;
use seaway_discovery::kubernetes::api::Connection;

/// Makes a cluster as it is asked to be. The report says what was done, also when a later step fails.
pub async fn kubernetes(connection: &Connection, request: &Request) -> (Report, Result<()>) {
    run(connection, request, false).await
}

/// Takes out what [`kubernetes`] made in the namespace.
pub async fn remove(connection: &Connection, request: &Request) -> (Report, Result<()>) {
    run(connection, request, true).await
}

async fn run(connection: &Connection, request: &Request, remove: bool) -> (Report, Result<()>) {
    let mut cluster = match Cluster::new(connection, request).await {
        Ok(cluster) => cluster,
        Err(error) => return (Report::default(), Err(error)),
    };
    let outcome = if remove {
        remove::all(&mut cluster, request).await
    } else {
        steps::all(&mut cluster, request).await
    };
    (cluster.report, outcome)
}
