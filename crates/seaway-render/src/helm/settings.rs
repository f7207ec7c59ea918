//! Settings of pods in templates: where pods run, and what is on them.

use serde_json::Value;

use super::{
    go_arguments, go_list, go_string,
    node::Node,
    probe::{WORD, get},
    workload::{in_pod, path},
};

/// Puts them where a rendering has them; `with` is one with a word in each of them, and `base` one without any.
pub(super) fn template(base: &Value, with: &Value, node: &mut Node) {
    let has = |keys: &[&str]| get(with, &in_pod(keys)).is_some();
    for key in ["labels", "annotations"] {
        let here = path(&["spec", "template", "metadata", key]);
        let fixed = get(base, &here).and_then(Value::as_object);
        let fixed: Vec<&str> = fixed
            .into_iter()
            .flat_map(|map| map.keys().map(String::as_str))
            .collect();
        if get(with, &here).is_some_and(|map| map.get(WORD).is_some()) {
            let names = go_arguments(&fixed);
            node.add_lines(
                &here,
                // Not `toYaml`: it gives nothing at all for some of the texts that an annotation can have.
                format!(
                    "{{{{- range $key, $value := omit $settings.{key}{names} }}}}\n{{{{ $key | quote }}}}: {{{{ $value | quote }}}}\n{{{{- end }}}}"
                ),
            );
        }
    }
    let pod = in_pod(&[]);
    for key in ["nodeSelector", "affinity"] {
        if !has(&[key, WORD]) {
            continue;
        }
        // What the document's own patch says comes over the settings.
        let from = match get(base, &in_pod(&[key])) {
            Some(patched) => {
                node.remove(&pod, key);
                format!(
                    "mergeOverwrite (deepCopy $settings.{key}) (fromJson {})",
                    go_string(&patched.to_string())
                )
            }
            None => format!("$settings.{key}"),
        };
        node.add_lines(
            &pod,
            format!("{{{{- with {from} }}}}\n{key}:\n  {{{{- toYaml . | nindent @2@ }}}}\n{{{{- end }}}}"),
        );
    }
    if get(with, &in_pod(&["tolerations", "0", "key"])).and_then(Value::as_str) == Some(WORD) {
        node.add_lines(
            &pod,
            "{{- with $settings.tolerations }}\ntolerations:\n  {{- toYaml . | nindent @2@ }}\n{{- end }}",
        );
    }
    let mounted = "automountServiceAccountToken";
    if has(&[mounted]) && get(base, &in_pod(&[mounted])) != get(with, &in_pod(&[mounted])) {
        node.put(&in_pod(&[mounted]), "{{ not (empty $settings.serviceAccount) }}");
    }
    for (key, setting) in [
        ("serviceAccountName", "serviceAccount"),
        ("priorityClassName", "priorityClass"),
    ] {
        if get(with, &in_pod(&[key])).and_then(Value::as_str) == Some(WORD) {
            node.add_lines(
                &pod,
                format!("{{{{- with $settings.{setting} }}}}\n{key}: {{{{ . | quote }}}}\n{{{{- end }}}}"),
            );
        }
    }
    let pulls = get(with, &in_pod(&["imagePullSecrets"])).and_then(Value::as_array);
    if pulls.is_some_and(|pulls| pulls.iter().any(|pull| pull["name"] == WORD)) {
        let fixed = get(base, &in_pod(&["imagePullSecrets"])).and_then(Value::as_array);
        let fixed: Vec<&str> = fixed
            .into_iter()
            .flatten()
            .filter_map(|pull| pull["name"].as_str())
            .collect();
        node.remove(&pod, "imagePullSecrets");
        let names = if fixed.is_empty() {
            ".Values.imagePullSecrets".to_owned()
        } else {
            format!("concat .Values.imagePullSecrets {} | uniq", go_list(&fixed))
        };
        node.add_lines(
            &pod,
            format!(
                "{{{{- with {names} }}}}\nimagePullSecrets:\n  {{{{- range . }}}}\n  - name: {{{{ . | quote }}}}\n  {{{{- end }}}}\n{{{{- end }}}}"
            ),
        );
    }
}
