//! The namespace.

use seaway_discovery::kubernetes::api::Resource;
use serde_json::{Value, json};

use crate::{Cluster, Error, PodSecurity, Result, cluster::Others, cluster::is_ours};

const STEP: &str = "namespace";
const ENFORCE: &str = "pod-security.kubernetes.io/enforce";

impl PodSecurity {
    const fn profile(self) -> Option<&'static str> {
        match self {
            Self::Restricted => Some("restricted"),
            Self::Baseline => Some("baseline"),
            Self::Privileged => Some("privileged"),
            Self::Unset => None,
        }
    }
}

/// Makes it, when it is asked for; otherwise it has to be there.
pub(super) async fn run(cluster: &mut Cluster<'_>, security: Option<PodSecurity>) -> Result<()> {
    let name = cluster.namespace.clone();
    let present = cluster.get(STEP, Resource::Namespace, &name).await;
    let present = match present {
        // Who may not look at namespaces may still work in one.
        Err(error) if error.is_forbidden() && security.is_none() => {
            cluster.has_namespace = true;
            return Ok(());
        }
        other => other?,
    };
    if present
        .as_ref()
        .is_some_and(|namespace| !namespace["metadata"]["deletionTimestamp"].is_null())
    {
        return Err(Error::Unusable {
            step: STEP,
            what: format!("Namespace {name}"),
            reason: "it is being deleted".to_owned(),
            hint: "wait until it is gone, and run this again".to_owned(),
        });
    }
    cluster.has_namespace = present.is_some();
    let Some(security) = security else {
        if present.is_none() {
            return Err(Error::Unusable {
                step: STEP,
                what: format!("Namespace {name}"),
                reason: "there is none, and it is not to be made".to_owned(),
                hint: "leave out `--no-namespace`, or name another one with `--namespace`".to_owned(),
            });
        }
        return Ok(());
    };
    cluster
        .ensure(
            STEP,
            namespace(&name, security),
            Others::Serve,
            "everything of the instances lives in it",
        )
        .await?;
    if let Some(present) = present.filter(|present| !is_ours(present)) {
        note_security(cluster, &name, &present, security);
    }
    cluster.has_namespace |= !cluster.dry_run;
    Ok(())
}

/// Says when somebody else's namespace is less strict than what was asked for.
fn note_security(cluster: &mut Cluster<'_>, name: &str, present: &Value, security: PodSecurity) {
    let Some(profile) = security.profile() else { return };
    if present["metadata"]["labels"][ENFORCE] != profile {
        cluster.note(format!(
            "namespace {name} was there before and does not enforce the {profile} Pod Security profile; `kubectl label \
             namespace {name} {ENFORCE}={profile}` makes it so"
        ));
    }
}

fn namespace(name: &str, security: PodSecurity) -> Value {
    let mut object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
    if let Some(profile) = security.profile() {
        // Refused, told to the user, and written into the audit log.
        for mode in ["enforce", "warn", "audit"] {
            object["metadata"]["labels"][format!("pod-security.kubernetes.io/{mode}")] = profile.into();
        }
    }
    object
}
