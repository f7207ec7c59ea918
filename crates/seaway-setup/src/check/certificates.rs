//! Requests for certificates.

use base64::{Engine, prelude::BASE64_STANDARD};

use super::{Found, object::all};

const CLIENT: &str = "kubernetes.io/kube-apiserver-client";

pub(super) fn check(found: &mut Found<'_>) {
    let object = found.object;
    if object.kind() != "CertificateSigningRequest" {
        return;
    }
    let spec = &object.value["spec"];
    let usages: Vec<&str> = all(&spec["usages"]).filter_map(|one| one.as_str()).collect();
    match spec["signerName"].as_str() {
        None => found.add(
            "signer",
            "it names no signer",
            "since certificates.k8s.io/v1 it has to; the API server refuses it",
            format!("say `signerName: {CLIENT}` for a client of the API server"),
        ),
        Some("kubernetes.io/legacy-unknown") => found.add(
            "signer",
            "its signer is `kubernetes.io/legacy-unknown`",
            "certificates.k8s.io/v1 refuses it, and nobody promises what such a certificate is good for",
            format!("say `signerName: {CLIENT}` for a client of the API server"),
        ),
        Some(CLIENT) => {
            if !usages.contains(&"client auth") {
                found.add(
                    "signer",
                    "its usages lack `client auth`",
                    "the signer refuses it: condition Failed, and no certificate",
                    "add it",
                );
            }
            let allowed = ["client auth", "digital signature", "key encipherment"];
            for usage in usages.iter().filter(|usage| !allowed.contains(usage)) {
                found.add(
                    "signer",
                    format!("its usage `{usage}` is none that {CLIENT} signs"),
                    "the signer refuses it: condition Failed, and no certificate",
                    format!("leave it out; {} may stand there", allowed.join(", ")),
                );
            }
        }
        Some(_) => {}
    }
    if spec["usages"].is_null() || usages.is_empty() {
        found.add(
            "signer",
            "it has no usages",
            "the API server refuses it",
            "say what the certificate is for: `client auth`, `digital signature`",
        );
    }
    if spec["expirationSeconds"].is_null() && spec["signerName"] == CLIENT {
        found.add(
            "signer",
            "it does not say how long the certificate is to be valid",
            "it is as long as the cluster likes, commonly a year, and a client certificate cannot be revoked",
            "say `expirationSeconds`, or use a bound token; `seaway setup kubernetes --certificate` says it and renews in time",
        );
    }
    request(found, spec["request"].as_str().unwrap_or_default());
}

fn request(found: &mut Found<'_>, text: &str) {
    if text.contains("$(") || text.contains("${") {
        // A script fills it in.
        return;
    }
    let bytes: String = text.split_whitespace().collect();
    let decoded = BASE64_STANDARD.decode(bytes).unwrap_or_default();
    if !String::from_utf8_lossy(&decoded).contains("CERTIFICATE REQUEST-----") {
        found.add(
            "signer",
            "its request is not a PEM request in base64",
            "the API server refuses it",
            "put `base64 -w0 < FILE.csr` there",
        );
    }
}
