//! A key pair for SSH, as Arkouda's launcher wants one in all of its pods.

use base64::{Engine, prelude::BASE64_STANDARD};
use seaway_discovery::kubernetes::api::Resource;
use serde_json::{Value, json};
use ssh_key::{
    LineEnding, PrivateKey,
    private::{Ed25519Keypair, KeypairData},
};

use crate::{
    Cluster, Error, KeyPair, Result,
    cluster::{Others, is_ours},
    report::Did,
};

const STEP: &str = "ssh";
const WHY: &str = "pods of one instance start each other's processes by SSH with it";

/// Names under which private keys are looked for: ours, and the one that Arkouda's charts copy.
const PRIVATE: [&str; 2] = ["id_ed25519", "id_rsa"];

/// Keeps a key that is there, else makes one.
pub(super) async fn run(cluster: &mut Cluster<'_>, pair: &KeyPair) -> Result<()> {
    let present = if cluster.has_namespace {
        cluster.get(STEP, Resource::Secret, &pair.secret).await?
    } else {
        None
    };
    if let Some(present) = present {
        let what = format!("Secret {}", pair.secret);
        if !PRIVATE.iter().any(|name| has(&present, name)) {
            return Err(Error::Unusable {
                step: STEP,
                what,
                reason: format!("it has neither of the keys {}", PRIVATE.join(" and ")),
                hint: "give ours another name with `--ssh`, or delete that one if nobody needs it".to_owned(),
            });
        }
        let did = if is_ours(&present) {
            Did::Unchanged
        } else {
            Did::Kept
        };
        cluster.done(STEP, what, did, WHY);
        return Ok(());
    }
    let data = generate(&format!("seaway@{}", cluster.namespace))?;
    let object = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": { "name": pair.secret },
        "type": "Opaque",
        "data": data,
    });
    cluster.ensure(STEP, object, Others::Refuse, WHY).await.map(drop)
}

fn has(secret: &Value, key: &str) -> bool {
    secret["data"][key]
        .as_str()
        .is_some_and(|value| !value.is_empty())
}

/// The values of the Secret.
fn generate(comment: &str) -> Result<Value> {
    let failed = |error: ssh_key::Error| Error::Crypto {
        step: STEP,
        what: "a key pair",
        reason: error.to_string(),
    };
    let pair = Ed25519Keypair::from_seed(&rand::random());
    let key = PrivateKey::new(KeypairData::Ed25519(pair), comment).map_err(failed)?;
    let private = BASE64_STANDARD.encode(key.to_openssh(LineEnding::LF).map_err(failed)?.as_bytes());
    let public = format!("{}\n", key.public_key().to_openssh().map_err(failed)?);
    let public = BASE64_STANDARD.encode(public);
    Ok(json!({
        "id_ed25519": private,
        "id_ed25519.pub": public,
        "authorized_keys": public,
        // Arkouda's charts copy `id_rsa*`. SSH looks into the file for what kind of key it is.
        "id_rsa": private,
        "id_rsa.pub": public,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_halves_belong_together_and_no_two_pairs_are_the_same() {
        let data = generate("a@b").unwrap();
        let text = |key: &str| {
            let bytes = BASE64_STANDARD.decode(data[key].as_str().unwrap()).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        let private = PrivateKey::from_openssh(text("id_ed25519")).unwrap();
        assert_eq!(private.comment(), "a@b");
        assert_eq!(
            text("authorized_keys").trim(),
            private.public_key().to_openssh().unwrap()
        );
        assert_eq!(text("id_rsa"), text("id_ed25519"));
        assert_ne!(generate("a@b").unwrap(), data);
    }
}
