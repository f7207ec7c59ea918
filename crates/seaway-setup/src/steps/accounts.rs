//! The service account, and what proves that one is it: a bound token in a file, or a Secret with a lasting one.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use http::Method;
use jiff::Timestamp;
use seaway_discovery::kubernetes::api::{Form, Resource, Target, What};
use serde_json::{Value, json};

use crate::{
    Accounts, Cluster, Error, Result, Token,
    cluster::{Others, is_ours, read},
    files,
    report::Did,
};

const STEP: &str = "account";
const TYPE: &str = "kubernetes.io/service-account-token";
const ACCOUNT: &str = "kubernetes.io/service-account.name";

/// Makes the service account.
pub(super) async fn account(cluster: &mut Cluster<'_>, accounts: &Accounts, pull: &[String]) -> Result<()> {
    let Some(name) = &accounts.name else {
        return Ok(());
    };
    let mut object = json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": { "name": name },
    });
    if accounts.no_automount {
        object["automountServiceAccountToken"] = false.into();
    }
    if !pull.is_empty() {
        object["imagePullSecrets"] = pull.iter().map(|name| json!({ "name": name })).collect();
    }
    let why = "who Seaway and its engines are in the cluster";
    let present = cluster.ensure(STEP, object, Others::Serve, why).await?;
    if !is_ours(&present) && !pull.is_empty() {
        attach(cluster, name, &present, pull).await?;
    }
    Ok(())
}

/// Adds Secrets to somebody else's service account, and nothing more.
async fn attach(cluster: &mut Cluster<'_>, name: &str, present: &Value, pull: &[String]) -> Result<()> {
    let there = |secret: &String| {
        let all = present["imagePullSecrets"].as_array();
        all.is_some_and(|all| all.iter().any(|one| one["name"] == secret.as_str()))
    };
    let what = format!("imagePullSecrets of ServiceAccount {name}");
    let why = "pods of this account pull images with it";
    if pull.iter().all(there) {
        cluster.done(STEP, what, Did::Unchanged, why);
        return Ok(());
    }
    let object = pull_secrets(name, pull);
    cluster.print(&object);
    cluster
        .apply(STEP, Resource::ServiceAccount, name, &object, cluster.dry_run)
        .await?;
    let did = if cluster.dry_run {
        Did::WouldChange
    } else {
        Did::Changed
    };
    cluster.done(STEP, what, did, why);
    Ok(())
}

/// What we own of somebody else's service account.
pub(crate) fn pull_secrets(name: &str, pull: &[String]) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": { "name": name },
        "imagePullSecrets": pull.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>(),
    })
}

/// Tokens, and the certificate of the cluster's authority.
pub(super) async fn tokens(cluster: &mut Cluster<'_>, accounts: &Accounts) -> Result<()> {
    if let Some(path) = &accounts.authority {
        authority(cluster, path).await?;
    }
    let needed = |field| Error::Asked {
        field,
        reason: "a token is that of a service account, and there is none".to_owned(),
    };
    if let Some(secret) = &accounts.token_secret {
        let account = accounts.name.as_ref().ok_or_else(|| needed("token-secret"))?;
        lasting(cluster, secret, account).await?;
    }
    if let Some(token) = &accounts.token {
        let account = accounts.name.as_ref().ok_or_else(|| needed("token"))?;
        bound(cluster, token, account).await?;
    }
    Ok(())
}

/// A Secret that the control plane fills with a token, once and for good.
async fn lasting(cluster: &mut Cluster<'_>, secret: &str, account: &str) -> Result<()> {
    let object = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": secret, "annotations": { ACCOUNT: account } },
        "type": TYPE,
    });
    let what = format!("Secret {secret}");
    let why = format!("a token of {account} that does not expire, for what cannot renew one");
    let present = cluster.ensure(STEP, object, Others::Serve, why).await?;
    let owner = present["metadata"]["annotations"][ACCOUNT].as_str();
    if present["type"] != TYPE || owner != Some(account) {
        return Err(Error::Unusable {
            step: STEP,
            what,
            reason: format!(
                "it is of type {} and for {}",
                present["type"].as_str().unwrap_or_default(),
                owner.map_or("no service account".to_owned(), |owner| format!(
                    "the service account {owner}"
                )),
            ),
            hint: "give ours another name with `--token-secret`".to_owned(),
        });
    }
    let Some(patience) = cluster.patience.filter(|_| !cluster.dry_run) else {
        return Ok(());
    };
    let filled = cluster
        .until(STEP, Resource::Secret, secret, patience, |secret| {
            let token = secret.and_then(|secret| secret["data"]["token"].as_str());
            Ok(token.filter(|token| !token.is_empty()).map(drop))
        })
        .await?;
    filled.ok_or_else(|| Error::Late {
        step: STEP,
        what: format!("no token in {what}"),
        after: patience,
        reason: None,
        hint: "the controller manager fills it: is it up? `kubectl describe secret` shows whether the account is there".to_owned(),
    })
}

/// A token that ends by itself, and with its service account.
async fn bound(cluster: &mut Cluster<'_>, token: &Token, account: &str) -> Result<()> {
    let why = format!(
        "a token of {account} that ends by itself after {}",
        words(token.duration.as_secs())
    );
    let what = token.file.display().to_string();
    let present = if cluster.has_namespace {
        cluster.get(STEP, Resource::ServiceAccount, account).await?
    } else {
        None
    };
    let uid = present
        .as_ref()
        .and_then(|present| present["metadata"]["uid"].as_str())
        .unwrap_or_default();
    let kept = files::read(&token.file)?;
    let there = kept.is_some();
    let fresh = kept.as_deref().and_then(claims).is_some_and(|claims| {
        claims["kubernetes.io"]["serviceaccount"]["uid"] == uid
            && lasts(&claims, Timestamp::now().as_second())
    });
    if fresh {
        cluster.done(STEP, what, Did::Unchanged, why);
        return Ok(());
    }
    if cluster.dry_run {
        let did = if there { Did::WouldChange } else { Did::WouldCreate };
        cluster.done(STEP, what, did, why);
        return Ok(());
    }
    let body = json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": { "audiences": [], "expirationSeconds": token.duration.as_secs() },
    });
    let target = Target {
        resource: Resource::ServiceAccount,
        what: What::Part(account.to_owned(), "token"),
    };
    let answer = cluster
        .send(STEP, Method::POST, &target, Some((Form::Json, &body)), &[])
        .await?;
    let answer = read(&answer, STEP, "the token")?;
    let text = answer["status"]["token"].as_str().unwrap_or_default();
    files::write(&token.file, format!("{text}\n").as_bytes(), true)?;
    cluster.done(STEP, what, if there { Did::Changed } else { Did::Created }, why);
    Ok(())
}

/// What a token says of itself. It is our own, from a file; the API server judges it.
fn claims(token: &[u8]) -> Option<Value> {
    let token = std::str::from_utf8(token).ok()?;
    let claims = token.trim().split('.').nth(1)?;
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?).ok()
}

/// Whether more than a third of its time is left.
fn lasts(claims: &Value, now: i64) -> bool {
    let (Some(from), Some(until)) = (claims["iat"].as_i64(), claims["exp"].as_i64()) else {
        return false;
    };
    until.saturating_sub(now) > until.saturating_sub(from) / 3
}

fn words(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86400),
    }
}

/// The certificate of the cluster's authority, as a file for machines outside.
async fn authority(cluster: &mut Cluster<'_>, path: &std::path::Path) -> Result<()> {
    let why = "machines outside trust the API server by it";
    let what = path.display().to_string();
    let there = files::read(path)?;
    if !cluster.has_namespace {
        let did = if there.is_some() {
            Did::WouldChange
        } else {
            Did::WouldCreate
        };
        cluster.done(STEP, what, did, why);
        return Ok(());
    }
    let name = "kube-root-ca.crt";
    let patience = cluster.patience.unwrap_or_default();
    let pem = cluster
        // In a namespace that was just made it takes a moment.
        .until(STEP, Resource::ConfigMap, name, patience, |map| {
            Ok(map.and_then(|map| map["data"]["ca.crt"].as_str().map(str::to_owned)))
        })
        .await?
        .ok_or_else(|| Error::Late {
            step: STEP,
            what: format!("no ConfigMap {name}"),
            after: patience,
            reason: None,
            hint: "the controller manager puts it into every namespace: is it up?".to_owned(),
        })?;
    let did = match (&there, cluster.dry_run) {
        (Some(bytes), _) if bytes == pem.as_bytes() => Did::Unchanged,
        (Some(_), true) => Did::WouldChange,
        (None, true) => Did::WouldCreate,
        (Some(_), false) => Did::Changed,
        (None, false) => Did::Created,
    };
    if did.wrote() {
        files::write(path, pem.as_bytes(), false)?;
    }
    cluster.done(STEP, what, did, why);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_kept_while_a_third_of_its_time_is_left() {
        let claims = json!({ "iat": 1000, "exp": 4000 });
        assert!(lasts(&claims, 2999));
        assert!(!lasts(&claims, 3000));
        assert!(!lasts(&json!({ "exp": 4000 }), 0));
        let token = format!("h.{}.s\n", BASE64_URL_SAFE_NO_PAD.encode(claims.to_string()));
        assert_eq!(super::claims(token.as_bytes()).unwrap(), claims);
        assert_eq!(super::claims(b"no token"), None);
    }
}
