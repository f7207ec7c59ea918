//! The templates of a chart: one file for each object.

use std::collections::BTreeMap;

use seaway_model::plan::{Check, DataDirectory, EndpointPlan};
use serde_json::json;

use super::{
    HelmError, Source, data_values, go_string,
    node::Node,
    probe::{Probe, WORD},
    role_values, values_at,
    workload::{Variants, path},
};
use crate::kubernetes::{KEEP, Object};

/// Annotation by which Helm leaves an object when the release goes.
const HELM_KEEP: &str = "helm.sh/resource-policy";

/// What the claims of data ask for while objects are compared.
const CLAIM: &str = "5903Mi";

/// The templates by their names.
pub(super) fn all(
    source: &Source<'_>,
    probe: &Probe<'_>,
    variants: &Variants,
) -> Result<BTreeMap<String, String>, HelmError> {
    let mut templates = BTreeMap::new();
    let mut references = String::new();
    let mut refer = |object: &Object, when: Option<&str>| {
        let part = part(probe, object);
        let line = format!(
            "{{{{- $objects = append $objects (dict \"apiVersion\" {} \"kind\" {} \"name\" (printf \"%s-%s\" $name {})) }}}}\n",
            go_string(object.api_version),
            go_string(object.kind),
            go_string(part),
        );
        references.push_str(&match when {
            Some(condition) => format!("{{{{- if {condition} }}}}\n{line}{{{{- end }}}}\n"),
            None => line,
        });
    };
    let claims = data_claims(probe)?;
    let mut claimed = false;
    for (index, object) in probe.rendered.objects.iter().enumerate().skip(1) {
        // Claims of data come before all that is neither a file nor a secret.
        if !claimed && !matches!(object.kind, "ConfigMap" | "Secret") {
            claimed = true;
            for (data, claim, text) in &claims {
                refer(claim, Some(&size(data)));
                templates.insert(format!("{}-claim.yaml", data.name), text.clone());
            }
        }
        let policy = (object.kind == "NetworkPolicy").then_some(".Values.networkPolicy.enabled");
        refer(object, policy);
        let (name, text) = template(probe, variants, index)?;
        templates.insert(name, text);
    }
    templates.insert("inventory.yaml".into(), inventory(probe, &references));
    templates.insert("tests/endpoints.yaml".into(), test(probe));
    templates.insert("NOTES.txt".into(), notes(source, probe));
    Ok(templates)
}

/// An object's name without the instance's.
fn part<'o>(probe: &Probe<'_>, object: &'o Object) -> &'o str {
    let part = object.name.strip_prefix(probe.sentinels.name.as_str());
    part.and_then(|part| part.strip_prefix('-'))
        .unwrap_or(&object.name)
}

fn template(probe: &Probe<'_>, variants: &Variants, index: usize) -> Result<(String, String), HelmError> {
    let object = &probe.rendered.objects[index];
    let part = part(probe, object);
    let mut node = probe.template(index, variants)?;
    let write = |node: &Node| node.write(&probe.sentinels);
    Ok(match object.kind {
        "ConfigMap" => {
            node.put(&path(&["data"]), "");
            node.remove(&[], "data");
            node.add(&[], "data", Node::Map(Vec::new()));
            node.add_lines(
                &path(&["data"]),
                "{{- range (include \"seaway.plan\" . | fromJson).files }}\n{{ .fileName | quote }}: {{ .content | quote }}\n{{- end }}",
            );
            ("files.yaml".into(), write(&node))
        }
        "Secret" => {
            for secret in &probe.plan.secrets {
                let name = go_string(secret.name.as_str());
                let given = values_at(&["secrets", secret.name.as_str()]);
                let text = format!(
                    r#"{{{{ include "seaway.secret" (list {name} {given} (get $old {name})) | quote }}}}"#
                );
                node.put(&path(&["stringData", secret.name.as_str()]), text);
            }
            let old = format!(
                "{{{{- /* What a release has once it keeps. */}}}}\n{{{{- $old := (lookup \"v1\" \"Secret\" .Release.Namespace (printf \"%s-%s\" (include \"seaway.name\" .) {})).data | default dict }}}}\n",
                go_string(part)
            );
            ("secret.yaml".into(), old + &write(&node))
        }
        "PersistentVolumeClaim" => {
            if object.body["metadata"]["annotations"][KEEP] == "true" {
                node.add(
                    &path(&["metadata", "annotations"]),
                    HELM_KEEP,
                    Node::Leaf("keep".into()),
                );
            }
            (format!("{part}-claim.yaml"), write(&node))
        }
        "NetworkPolicy" => (
            "network-policy.yaml".into(),
            format!(
                "{{{{- if .Values.networkPolicy.enabled }}}}\n{}{{{{- end }}}}\n",
                write(&node)
            ),
        ),
        kind => {
            let text = write(&node);
            let head = probe.role_of(object).map_or_else(String::new, |(_, role)| {
                format!(
                    "{{{{- $role := {} }}}}\n{{{{- $settings := include \"seaway.settings\" (dict \"all\" .Values.pods \"own\" $role) | fromJson }}}}\n",
                    role_values(&role.name, &[])
                )
            });
            (format!("{part}-{}.yaml", kind.to_lowercase()), head + &text)
        }
    })
}

/// The size of a claim of data; empty when the data is elsewhere.
fn size(data: &DataDirectory) -> String {
    format!("dig \"claim\" \"size\" \"\" {}", data_values(&data.name))
}

/// The claims that are made when the values say so.
fn data_claims<'p>(probe: &'p Probe<'_>) -> Result<Vec<(&'p DataDirectory, Object, String)>, HelmError> {
    let mut claims = Vec::new();
    let Some(list) = probe.document["spec"].get("data").cloned() else {
        return Ok(claims);
    };
    for (index, data) in probe.plan.data.iter().enumerate() {
        let mut changed = list.clone();
        changed[index]["volume"] =
            json!({"claim": {"size": CLAIM, "storageClass": WORD, "deleteWithInstance": true}});
        let rendered = probe.with(&["spec", "data"], changed)?;
        let found = rendered.objects.into_iter().find(|object| {
            object.kind == "PersistentVolumeClaim" && object.body["spec"]["storageClassName"] == WORD
        });
        let Some(claim) = found else { continue };
        let mut node = Node::from(&claim.body);
        node.add_lines(
            &path(&["metadata"]),
            format!(
                "{{{{- if not $claim.deleteWithInstance }}}}\nannotations:\n  {KEEP}: \"true\"\n  {HELM_KEEP}: keep\n{{{{- end }}}}"
            ),
        );
        let spec = path(&["spec"]);
        node.put(
            &path(&["spec", "resources", "requests", "storage"]),
            r#"{{ include "seaway.memory" $claim.size | quote }}"#,
        );
        node.remove(&spec, "accessModes");
        node.remove(&spec, "storageClassName");
        node.add_lines(
            &spec,
            "accessModes:\n  {{- range $claim.accessModes | default (list \"ReadWriteMany\") }}\n  - {{ . }}\n  {{- end }}\n\
             {{- with $claim.storageClass }}\nstorageClassName: {{ . | quote }}\n{{- end }}",
        );
        let text = format!(
            "{{{{- if {} }}}}\n{{{{- $claim := {}.claim }}}}\n{}{{{{- end }}}}\n",
            size(data),
            data_values(&data.name),
            node.write(&probe.sentinels)
        );
        claims.push((data, claim, text));
    }
    Ok(claims)
}

fn inventory(probe: &Probe<'_>, references: &str) -> String {
    let mut node = Node::from(&probe.rendered.objects[0].body);
    for (key, text) in [
        ("document", r#"{{ include "seaway.document" . | quote }}"#),
        ("plan", r#"{{ include "seaway.plan" . | quote }}"#),
        ("objects", "{{ toJson $objects | quote }}"),
    ] {
        node.put(&path(&["data", key]), text);
    }
    format!(
        "{{{{- /* What the instance is and what it has, for `seaway status` and `seaway down`. */}}}}\n\
         {{{{- $name := include \"seaway.name\" . }}}}\n{{{{- $objects := list }}}}\n{references}{}",
        node.write(&probe.sentinels)
    )
}

/// What answers when an endpoint works, as `seaway wait` asks it.
fn question(probe: &Probe<'_>, endpoint: &EndpointPlan) -> Option<String> {
    let role = probe.plan.role(endpoint.role.as_str())?;
    let port = role.port(endpoint.port.as_str())?;
    let number = port.fixed.unwrap_or(port.usual);
    let host = format!(
        "{}-{}.{}.svc",
        probe.sentinels.name, role.name, probe.sentinels.namespace
    );
    Some(match &role.ready.check {
        Check::Http(http)
            if http.at.role.is_none() && http.at.port == endpoint.port && http.expect.is_none() =>
        {
            format!("http://{host}:{number}{}", http.path)
        }
        _ => format!("tcp:{host}:{number}"),
    })
}

/// A pod that asks every endpoint, for `helm test`. Endpoints are open to all by the NetworkPolicy, so that it needs no
/// label of the instance.
fn test(probe: &Probe<'_>) -> String {
    let mut args = vec!["wait".to_owned(), "--timeout".into(), "2m".into()];
    for question in probe
        .plan
        .endpoints
        .iter()
        .filter_map(|endpoint| question(probe, endpoint))
    {
        args.extend(["--probe".to_owned(), question]);
    }
    let name = &probe.sentinels.name;
    let body = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": format!("{name}-test"),
            "namespace": probe.sentinels.namespace,
            "labels": {
                "app.kubernetes.io/name": probe.plan.kind.to_lowercase(),
                "app.kubernetes.io/instance": name,
                "app.kubernetes.io/component": "test",
                "app.kubernetes.io/managed-by": "seaway",
            },
            "annotations": {
                "helm.sh/hook": "test",
                "helm.sh/hook-delete-policy": "before-hook-creation,hook-succeeded",
            },
        },
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": false,
            "enableServiceLinks": false,
            "securityContext": {
                "runAsNonRoot": true, "runAsUser": 1000, "runAsGroup": 1000,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [{
                "name": "test",
                "image": "",
                "imagePullPolicy": "",
                "command": ["seaway"],
                "args": args,
                "resources": {
                    "requests": {"cpu": "10m", "memory": "16Mi"},
                    "limits": {"memory": "64Mi"},
                },
                "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}},
            }],
        },
    });
    let mut node = Node::from(&body);
    let container = ["spec", "containers", "0"];
    let at = |key: &str| path(&[&container[..], &[key]].concat());
    node.put(&at("image"), "{{ .Values.agentImage | quote }}");
    node.put(&at("imagePullPolicy"), "{{ .Values.imagePullPolicy }}");
    let spec = path(&["spec"]);
    for key in ["nodeSelector", "tolerations"] {
        node.add_lines(
            &spec,
            format!("{{{{- with .Values.pods.{key} }}}}\n{key}:\n  {{{{- toYaml . | nindent @2@ }}}}\n{{{{- end }}}}"),
        );
    }
    node.add_lines(
        &spec,
        "{{- with .Values.imagePullSecrets }}\nimagePullSecrets:\n  {{- range . }}\n  - name: {{ . | quote }}\n  {{- end }}\n{{- end }}",
    );
    node.write(&probe.sentinels)
}

fn notes(source: &Source<'_>, probe: &Probe<'_>) -> String {
    let mut text = format!(
        "{{{{- $name := include \"seaway.name\" . }}}}\n{{{{- $namespace := .Release.Namespace }}}}\n\
         {} {{{{ $name }}}} is being made in the namespace {{{{ $namespace }}}}.\n\nEndpoints:\n",
        probe.plan.kind
    );
    for endpoint in &probe.plan.endpoints {
        let port = probe
            .plan
            .role(endpoint.role.as_str())
            .and_then(|role| role.port(endpoint.port.as_str()));
        let Some(number) = port.map(|port| port.fixed.unwrap_or(port.usual)) else {
            continue;
        };
        let role = &endpoint.role;
        text.push_str(&format!(
            "\n  {}: {}://{{{{ $name }}}}-{role}.{{{{ $namespace }}}}.svc:{number}{} within the cluster; from elsewhere\n\
             \x20   kubectl port-forward --namespace {{{{ $namespace }}}} service/{{{{ $name }}}}-{role} {number}:{number}\n\
             \x20   and then {}://127.0.0.1:{number}{}\n",
            endpoint.name,
            endpoint.scheme,
            probe.sentinels.escape(&endpoint.path),
            endpoint.scheme,
            probe.sentinels.escape(&endpoint.path)
        ));
        if let Some(token) = &endpoint.token {
            text.push_str(&format!(
                "    Its token:\n    kubectl get secret --namespace {{{{ $namespace }}}} {{{{ $name }}}}-secrets \
                 -o go-template='{{{{ \"{{{{\" }}}} index .data \"{token}\" | base64decode {{{{ \"}}}}\" }}}}'\n"
            ));
        }
    }
    text.push_str(&format!(
        "\nHow it is:        seaway status {{{{ $name }}}}\nWhether it works: helm test {{{{ .Release.Name }}}} --namespace {{{{ $namespace }}}}\n\
         Taking it down:   helm uninstall {{{{ .Release.Name }}}} --namespace {{{{ $namespace }}}}\n\n\
         `seaway down {{{{ $name }}}}` takes it down as well, and Helm's record of the release with it. Claims that Seaway made stay, unless they were told to go. The chart is of Seaway {}.\n",
        source.version
    ));
    text
}
