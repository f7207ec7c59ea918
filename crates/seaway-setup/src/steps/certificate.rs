//! A client certificate that the cluster signs, by the CertificateSigningRequest API.
//!
//! The key is kept before anything is asked for: whoever waits for an approval overnight goes on with the same key in
//! the morning. What is in use stays in use until the new certificate is there.

use base64::{Engine, prelude::BASE64_STANDARD};
use http::{Method, StatusCode};
use jiff::Timestamp;
use seaway_discovery::kubernetes::api::{Form, Resource, Target, What};
use serde_json::{Value, json};

use crate::{Certificate, Cluster, Error, Result, pki, report::Did};

mod kept;

use kept::Kept;
pub(super) use kept::value;

const STEP: &str = "certificate";
const SIGNER: &str = "kubernetes.io/kube-apiserver-client";
/// The least that the API server takes.
const SHORTEST: u64 = 600;

/// Keeps a certificate that lasts, else has one signed.
pub(super) async fn run(cluster: &mut Cluster<'_>, asked: &Certificate) -> Result<()> {
    if asked.user.starts_with("system:") || asked.groups.iter().any(|group| group.starts_with("system:")) {
        return Err(Error::Asked {
            field: "certificate",
            reason: "users and groups that begin with `system:` are the cluster's own; choose another name"
                .to_owned(),
        });
    }
    let why = format!("proves to the API server that one is the user {}", asked.user);
    let kept = Kept::load(cluster, asked).await?;
    let there = kept.certificate.is_some();
    if kept.serves(asked, Timestamp::now()) {
        kept.export(cluster, asked)?;
        cluster.done(STEP, kept.place.clone(), Did::Unchanged, why);
        return Ok(());
    }
    if cluster.dry_run {
        return dry_run(cluster, asked, &kept, &why).await;
    }
    let key = if let Some(key) = &kept.pending {
        key.clone()
    } else {
        let key = pki::new_key(STEP)?;
        kept.keep_pending(cluster, asked, &key).await?;
        key
    };
    let name = request_name(asked, &key)?;
    let request = ask(cluster, asked, &key, &name).await?;
    if asked.approve {
        approve(cluster, &name, request).await?;
    }
    let Some(certificate) = wait(cluster, asked, &name).await? else {
        cluster.done(
            STEP,
            format!("CertificateSigningRequest {name}"),
            Did::Waiting,
            why,
        );
        cluster.note(format!(
            "somebody who may has to run `kubectl certificate approve {name}`; run this again afterwards, it goes on with \
             the same key"
        ));
        return Ok(());
    };
    kept.replace(cluster, asked, &key, &certificate).await?;
    let did = if there { Did::Changed } else { Did::Created };
    cluster.done(STEP, kept.place.clone(), did, why);
    if let Some(facts) = pki::Facts::read(certificate.as_bytes()) {
        cluster.note(format!(
            "the certificate of {} is valid until {}; a run in its last third renews it. It cannot be revoked before",
            asked.user,
            facts.end()
        ));
    }
    // The API server forgets it by itself within an hour; who may not delete it need not.
    let _ = cluster
        .delete(STEP, Resource::CertificateSigningRequest, &name)
        .await;
    Ok(())
}

async fn dry_run(cluster: &mut Cluster<'_>, asked: &Certificate, kept: &Kept, why: &str) -> Result<()> {
    let key = match &kept.pending {
        Some(key) => key.clone(),
        None => pki::new_key(STEP)?,
    };
    let name = request_name(asked, &key)?;
    let object = cluster.labelled(request(asked, &key, &name)?);
    cluster
        .apply(STEP, Resource::CertificateSigningRequest, &name, &object, true)
        .await?;
    cluster.print(&object);
    let did = if kept.certificate.is_some() {
        Did::WouldChange
    } else {
        Did::WouldCreate
    };
    cluster.done(STEP, kept.place.clone(), did, why);
    Ok(())
}

/// The same for the same key, user and groups: a request cannot be changed, and nobody's may be taken for ours.
fn request_name(asked: &Certificate, key: &str) -> Result<String> {
    let user: String = asked
        .user
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .take(40)
        .collect();
    Ok(format!(
        "seaway-{}-{}",
        user.trim_matches('-'),
        pki::fingerprint(STEP, key)?
    ))
}

fn request(asked: &Certificate, key: &str, name: &str) -> Result<Value> {
    let request = pki::signing_request(STEP, key, &asked.user, &asked.groups)?;
    let seconds = asked.duration.as_secs();
    if seconds < SHORTEST || i32::try_from(seconds).is_err() {
        return Err(Error::Asked {
            field: "certificate-duration",
            reason: format!("a certificate is valid for {SHORTEST} s at least, and for 68 years at most"),
        });
    }
    Ok(json!({
        "apiVersion": "certificates.k8s.io/v1",
        "kind": "CertificateSigningRequest",
        "metadata": { "name": name },
        "spec": {
            "request": BASE64_STANDARD.encode(request),
            "signerName": SIGNER,
            "usages": ["client auth", "digital signature"],
            "expirationSeconds": seconds,
        },
    }))
}

/// The request in the cluster: that of an earlier run, or a new one.
async fn ask(cluster: &mut Cluster<'_>, asked: &Certificate, key: &str, name: &str) -> Result<Value> {
    let resource = Resource::CertificateSigningRequest;
    if let Some(present) = cluster.get(STEP, resource, name).await? {
        return Ok(present);
    }
    let object = cluster.labelled(request(asked, key, name)?);
    let target = Target {
        resource,
        what: What::New,
    };
    let answer = cluster
        .send(STEP, Method::POST, &target, Some((Form::Json, &object)), &[])
        .await?;
    crate::cluster::read(&answer, STEP, "the request")
}

fn condition<'a>(request: &'a Value, kind: &str) -> Option<&'a Value> {
    let all = request["status"]["conditions"].as_array()?;
    all.iter()
        .find(|one| one["type"] == kind && one["status"] != "False")
}

/// Approves it, as `kubectl certificate approve` does.
async fn approve(cluster: &mut Cluster<'_>, name: &str, mut request: Value) -> Result<()> {
    let resource = Resource::CertificateSigningRequest;
    loop {
        if condition(&request, "Approved").is_some() || condition(&request, "Denied").is_some() {
            return Ok(());
        }
        let approval = json!({
            "type": "Approved",
            "status": "True",
            "reason": "SeawaySetup",
            "message": "approved by who ran `seaway setup kubernetes`",
        });
        match request["status"]["conditions"].as_array_mut() {
            Some(all) => all.push(approval),
            None => request["status"]["conditions"] = json!([approval]),
        }
        let target = Target {
            resource,
            what: What::Part(name.to_owned(), "approval"),
        };
        let body = Some((Form::Json, &request));
        let answer = cluster
            .send(STEP, Method::PUT, &target, body, &[StatusCode::CONFLICT])
            .await;
        let answer = answer.map_err(may_not_approve)?;
        if answer.status != StatusCode::CONFLICT {
            return Ok(());
        }
        // Somebody changed it in between.
        let again = cluster.get(STEP, resource, name).await?;
        request = again.ok_or_else(|| gone(name))?;
    }
}

/// Says both permissions that approval takes, and the way without them.
fn may_not_approve(error: Error) -> Error {
    match error {
        Error::Api { step, what, source } if matches!(*source, seaway_discovery::Error::Forbidden { .. }) => {
            Error::Unusable {
                step,
                what,
                reason: format!("we may not approve it: {source}"),
                hint: format!(
                    "approval takes `update certificatesigningrequests/approval` and `approve` on the signer {SIGNER}. With \
                 `--no-approve` somebody else approves it, and the next run goes on with it"
                ),
            }
        }
        other => other,
    }
}

fn gone(name: &str) -> Error {
    Error::Refused {
        step: STEP,
        what: format!("CertificateSigningRequest {name}"),
        reason: "somebody deleted it".to_owned(),
    }
}

/// Waits for the certificate; `None` when nobody approved it in time.
async fn wait(cluster: &mut Cluster<'_>, asked: &Certificate, name: &str) -> Result<Option<String>> {
    let patience = cluster.patience.unwrap_or_default();
    let mut approved = false;
    let found = cluster
        .until(
            STEP,
            Resource::CertificateSigningRequest,
            name,
            patience,
            |request| {
                let Some(request) = request else {
                    return Err(gone(name));
                };
                for kind in ["Denied", "Failed"] {
                    if let Some(why) = condition(request, kind) {
                        return Err(Error::Refused {
                            step: STEP,
                            what: format!("CertificateSigningRequest {name}"),
                            reason: why["message"].as_str().unwrap_or(kind).to_owned(),
                        });
                    }
                }
                approved |= condition(request, "Approved").is_some();
                Ok(request["status"]["certificate"].as_str().map(str::to_owned))
            },
        )
        .await?;
    let Some(found) = found else {
        if !approved && !asked.approve {
            return Ok(None);
        }
        return Err(Error::Late {
            step: STEP,
            what: format!("no certificate for CertificateSigningRequest {name}"),
            after: patience,
            reason: Some("it is approved, but nobody signed it".to_owned()),
            hint: "the controller manager signs, when it has --cluster-signing-cert-file and -key-file; some managed clusters \
                   sign no client certificates: use `--token` there"
                .to_owned(),
        });
    };
    let pem = BASE64_STANDARD
        .decode(found)
        .ok()
        .and_then(|pem| String::from_utf8(pem).ok());
    pem.map(Some).ok_or_else(|| Error::Refused {
        step: STEP,
        what: format!("CertificateSigningRequest {name}"),
        reason: "what was signed is no certificate".to_owned(),
    })
}
