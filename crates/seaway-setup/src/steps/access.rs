//! What is allowed: the least that the work needs, to the service account and to the user of the certificate.

use seaway_discovery::kubernetes::access;
use serde_json::{Value, json};

use crate::{Cluster, Error, Request, Result, Roles, cluster::Others};

const STEP: &str = "access";
const GROUP: &str = "rbac.authorization.k8s.io";

/// Makes the role and the binding.
pub(super) async fn run(cluster: &mut Cluster<'_>, roles: &Roles, request: &Request) -> Result<()> {
    let subjects = subjects(&cluster.namespace, request);
    if subjects.is_empty() {
        return Err(Error::Asked {
            field: "access",
            reason: "there is neither a service account nor a certificate's user to allow it to; without one leave out \
                     the role with `--no-access`"
                .to_owned(),
        });
    }
    let [role, binding] = objects(&cluster.namespace, roles, &subjects);
    cluster
        .ensure(STEP, role, Others::Refuse, "the least that the work needs")
        .await?;
    cluster
        .ensure(
            STEP,
            binding,
            Others::Refuse,
            format!("allows it to {}", words(&subjects)),
        )
        .await
        .map(drop)
}

/// Who it is allowed to.
fn subjects(namespace: &str, request: &Request) -> Vec<Value> {
    let account = request
        .accounts
        .name
        .as_ref()
        .map(|name| json!({ "kind": "ServiceAccount", "name": name, "namespace": namespace }));
    let user = request
        .certificate
        .as_ref()
        .map(|certificate| json!({ "kind": "User", "name": certificate.user, "apiGroup": GROUP }));
    account.into_iter().chain(user).collect()
}

fn words(subjects: &[Value]) -> String {
    let words: Vec<String> = subjects
        .iter()
        .map(|subject| {
            let kind = if subject["kind"] == "User" {
                "user"
            } else {
                "service account"
            };
            format!("{kind} {}", subject["name"].as_str().unwrap_or_default())
        })
        .collect();
    words.join(" and ")
}

/// The role and the binding to it; of the same name, so that neither can miss the other.
fn objects(namespace: &str, roles: &Roles, subjects: &[Value]) -> [Value; 2] {
    // Objects of the whole cluster must not meet those of another namespace.
    let name = if roles.cluster_wide {
        format!("{}-{namespace}", roles.name)
    } else {
        roles.name.clone()
    };
    let rules: Vec<Value> = access::needed(&roles.work)
        .into_iter()
        .map(|permission| {
            json!({
                "apiGroups": [permission.group],
                "resources": [permission.resource],
                "verbs": permission.verbs,
            })
        })
        .collect();
    let kind = |kind: &str| {
        if roles.cluster_wide {
            format!("Cluster{kind}")
        } else {
            kind.to_owned()
        }
    };
    let version = format!("{GROUP}/v1");
    [
        json!({
            "apiVersion": version,
            "kind": kind("Role"),
            "metadata": { "name": name },
            "rules": rules,
        }),
        json!({
            "apiVersion": version,
            "kind": kind("RoleBinding"),
            "metadata": { "name": name },
            "roleRef": { "apiGroup": GROUP, "kind": kind("Role"), "name": name },
            "subjects": subjects,
        }),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use seaway_discovery::kubernetes::access::Work;

    #[test]
    fn the_same_rules_as_seaway_rbac_and_names_that_match() {
        let work = vec![Work::Discover, Work::Collect];
        let mut roles = Roles {
            name: "r".into(),
            work: work.clone(),
            cluster_wide: false,
        };
        let subjects = [json!({ "kind": "ServiceAccount", "name": "s", "namespace": "n" })];
        let [role, binding] = objects("n", &roles, &subjects);
        let printed = access::role("r", "n", "s", &work);
        assert_eq!(role["rules"], printed[0]["rules"]);
        assert_eq!(binding["roleRef"], printed[1]["roleRef"]);
        assert_eq!(binding["subjects"], printed[1]["subjects"]);
        roles.cluster_wide = true;
        let [role, binding] = objects("n", &roles, &subjects);
        assert_eq!(
            (&role["kind"], &role["metadata"]["name"]),
            (&"ClusterRole".into(), &"r-n".into())
        );
        assert_eq!(binding["roleRef"]["name"], role["metadata"]["name"]);
        assert_eq!(binding["roleRef"]["kind"], role["kind"]);
    }
}
