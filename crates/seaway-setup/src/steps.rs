//! The steps, one module for each.

mod access;
mod accounts;
mod certificate;
mod namespace;
mod pull;
mod registry;
mod ssh;

use crate::{Cluster, Request, Result};

/// All that is asked for, in the order in which one needs the other.
pub(crate) async fn all(cluster: &mut Cluster<'_>, request: &Request) -> Result<()> {
    namespace::run(cluster, request.namespace).await?;
    let pull_secrets = pull::attached(request);
    accounts::account(cluster, &request.accounts, &pull_secrets).await?;
    if let Some(roles) = &request.roles {
        access::run(cluster, roles, request).await?;
    }
    accounts::tokens(cluster, &request.accounts).await?;
    if let Some(pair) = &request.ssh {
        ssh::run(cluster, pair).await?;
    }
    if let Some(certificate) = &request.certificate {
        certificate::run(cluster, certificate).await?;
    }
    if let Some(pull) = &request.pull {
        pull::run(cluster, &pull.secret, &pull.login).await?;
    }
    if let Some(registry) = &request.registry {
        registry::run(cluster, registry).await?;
    }
    Ok(())
}
