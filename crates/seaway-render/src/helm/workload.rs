//! Workloads and Services as templates: every place that follows a value of the chart takes it from there.

use std::collections::BTreeSet;

use seaway_model::plan::Template;
use serde_json::Value;

use super::{
    HelmError, REVISION, data_values,
    follow::{Amount, Edit, Followed},
    go_list, go_string,
    node::{Node, texts},
    probe::{AGENT, IMAGE, Probe, Rendered, RoleValues, VARIABLE, WORD, get},
    role_values, settings,
};
use crate::kubernetes::{COMPONENT, MAIN, Object};

/// The pod in a workload.
const POD: [&str; 3] = ["spec", "template", "spec"];

/// The objects with other values than those of the base, each in the same order.
#[derive(Debug)]
pub(super) struct Variants {
    settings: Rendered,
    pulled: [(&'static str, Rendered); 2],
    served: [(&'static str, Rendered); 2],
    /// Without the cores and without the memory of a role, which is told by its number.
    amounts: Vec<(usize, &'static str, Followed, Rendered)>,
    /// For each role: with one more variable, and with others in the place of those that it has.
    variables: Vec<(Rendered, Rendered)>,
}

impl Variants {
    pub(super) fn new(probe: &Probe<'_>) -> Result<Self, HelmError> {
        let word = |key: &str, word: &'static str| -> Result<_, HelmError> {
            Ok((word, probe.with(&["spec", "kubernetes", key], word.into())?))
        };
        let mut amounts = Vec::new();
        let mut variables = Vec::new();
        for (number, role) in probe.roles.iter().enumerate() {
            let known: Vec<String> = probe.main_variables(role).unwrap_or_default();
            let known: Vec<&str> = known
                .iter()
                .map(String::as_str)
                .filter(|name| is_variable(name))
                .collect();
            variables.push((
                probe.with_variables(role, &[VARIABLE])?,
                probe.with_variables(role, &known)?,
            ));
            let Some(section) = &role.section else {
                continue;
            };
            for (key, amount) in [
                ("cpu", Amount::Cpu(role.cpu)),
                ("memory", Amount::Memory(role.memory)),
            ] {
                let followed = Followed {
                    amount,
                    expression: role_values(&role.name, &["resources", key]),
                };
                let without = probe.with(&["spec", section, "resources", key], Value::Null)?;
                amounts.push((number, key, followed, without));
            }
        }
        Ok(Self {
            settings: probe.with_settings()?,
            pulled: [
                word("imagePullPolicy", "Always")?,
                word("imagePullPolicy", "Never")?,
            ],
            served: [
                word("serviceType", "NodePort")?,
                word("serviceType", "LoadBalancer")?,
            ],
            amounts,
            variables,
        })
    }

    /// The variables of a role in the plan that the engine sets, whatever a document says.
    pub(super) fn forced(&self, probe: &Probe<'_>, index: usize) -> Vec<String> {
        let changed = &self.variables[index].1.plan.roles[index].env;
        let word = Template::literal(WORD);
        let own = probe.rendered.plan.roles[index].env.keys();
        own.filter(|name| changed.get(*name) != Some(&word))
            .cloned()
            .collect()
    }

    /// What of a role in the plan follows the cores and the memory of roles, as a mapping in a template.
    pub(super) fn role_in_plan(&self, probe: &Probe<'_>, index: usize) -> Result<Option<Node>, HelmError> {
        let whole = |rendered: &Rendered| -> Result<Value, HelmError> {
            let mut role = serde_json::to_value(&rendered.plan.roles[index])?;
            if let Value::Object(role) = &mut role {
                role.retain(|key, _| !["resources", "image", "replicas"].contains(&key.as_str()));
            }
            Ok(role)
        };
        let base = whole(&probe.rendered)?;
        let mut edits: Vec<Edit> = Vec::new();
        for (_, _, followed, without) in &self.amounts {
            edits.extend(followed.edits(&base, &whole(without)?)?);
        }
        let keys: BTreeSet<&String> = edits.iter().filter_map(Edit::top).collect();
        let mut following = base.clone();
        if let Value::Object(role) = &mut following {
            role.retain(|key, _| keys.contains(key));
        }
        if keys.is_empty() {
            return Ok(None);
        }
        let mut node = Node::from(&following);
        for edit in &edits {
            edit.apply(&mut node);
        }
        Ok(Some(node))
    }
}

/// A path in pieces.
pub(super) fn path(keys: &[&str]) -> Vec<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

/// A path in the pod of a workload.
pub(super) fn in_pod(keys: &[&str]) -> Vec<String> {
    path(&[&POD[..], keys].concat())
}

/// Whether a document can name a variable so.
fn is_variable(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The number of the engine's container among the containers of a pod.
fn main_container(body: &Value) -> Option<usize> {
    let containers = get(body, &in_pod(&["containers"]))?.as_array()?;
    containers.iter().position(|container| container["name"] == MAIN)
}

/// The variables of a container by name.
fn variables(body: &Value, main: usize) -> Vec<(String, Value)> {
    let list = get(body, &in_pod(&["containers", &main.to_string(), "env"]));
    list.and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(|variable| Some((variable["name"].as_str()?.to_owned(), variable["value"].clone())))
        .collect()
}

impl Probe<'_> {
    /// The names of the variables of a role's engine.
    fn main_variables(&self, role: &RoleValues) -> Option<Vec<String>> {
        let object = self
            .rendered
            .objects
            .iter()
            .find(|object| is_workload_of(object, role))?;
        let main = main_container(&object.body)?;
        Some(
            variables(&object.body, main)
                .into_iter()
                .map(|(name, _)| name)
                .collect(),
        )
    }

    /// The role that a workload belongs to.
    pub(super) fn role_of(&self, object: &Object) -> Option<(usize, &RoleValues)> {
        self.roles
            .iter()
            .enumerate()
            .find(|(_, role)| is_workload_of(object, role))
    }

    /// The template of an object of a role.
    pub(super) fn template(&self, index: usize, variants: &Variants) -> Result<Node, HelmError> {
        let object = &self.rendered.objects[index];
        let mut node = Node::from(&object.body);
        for (values, [(one, first), (other, second)]) in [
            (".Values.imagePullPolicy", &variants.pulled),
            (".Values.serviceType", &variants.served),
        ] {
            texts(&first.objects[index].body, &mut Vec::new(), &mut |path, text| {
                let second = get(&second.objects[index].body, path).and_then(Value::as_str);
                if text == *one && second == Some(other) {
                    node.put(path, format!("{{{{ {values} }}}}"));
                }
            });
        }
        let role = self.role_of(object);
        for (number, key, followed, without) in &variants.amounts {
            let mut followed = followed.clone();
            if role.is_some_and(|(own, _)| own == *number) {
                followed.expression = format!("$role.resources.{key}");
            }
            for edit in followed.edits(&object.body, &without.objects[index].body)? {
                edit.apply(&mut node);
            }
        }
        let image = role.and_then(|(index, _)| self.plan.roles[index].image.clone());
        texts(&object.body, &mut Vec::new(), &mut |path, text| match text {
            IMAGE => {
                let image = image
                    .as_ref()
                    .map_or_else(String::new, |image| format!(" | default {}", go_string(image)));
                node.put(path, format!("{{{{ .Values.image{image} | quote }}}}"));
            }
            AGENT => {
                node.put(path, "{{ .Values.agentImage | quote }}");
            }
            scratch if scratch == self.scratch => {
                node.put(
                    path,
                    r#"{{ include "seaway.memory" .Values.scratchSize | quote }}"#,
                );
            }
            _ => {}
        });
        if let Some((number, role)) = role {
            self.pod(index, number, role, variants, &mut node);
        }
        Ok(node)
    }

    fn pod(&self, index: usize, number: usize, role: &RoleValues, variants: &Variants, node: &mut Node) {
        let body = &self.rendered.objects[index].body;
        if role.scalable {
            node.put(&path(&["spec", "replicas"]), "{{ $role.replicas | int }}");
        }
        let annotations = ["spec", "template", "metadata", "annotations"];
        let revision = [&annotations[..], &[REVISION]].concat();
        let plan = &self.rendered.plan;
        if get(body, &path(&revision)).and_then(Value::as_str) == Some(&plan.roles[number].revision(plan)) {
            let text = format!(
                r#"{{{{ include "seaway.revision" (dict "root" . "role" {}) | quote }}}}"#,
                go_string(role.name.as_str())
            );
            node.put(&path(&revision), text);
        }
        settings::template(body, &variants.settings.objects[index].body, node);
        for (data, size) in self.rendered.plan.data.iter().zip(&self.data) {
            let volumes = get(body, &in_pod(&["volumes"])).and_then(Value::as_array);
            let wanted = serde_json::json!({
                "name": format!("data-{}", data.name),
                "emptyDir": {"sizeLimit": size},
            });
            let position = volumes.and_then(|volumes| volumes.iter().position(|volume| *volume == wanted));
            if let Some(position) = position {
                let lines = format!(
                    "- name: data-{}\n  {{{{- include \"seaway.volume\" (dict \"root\" . \"name\" {} \"volume\" {}) | nindent @2@ }}}}",
                    data.name,
                    go_string(data.name.as_str()),
                    data_values(&data.name),
                );
                node.replace_with_lines(&in_pod(&["volumes", &position.to_string()]), lines);
            }
        }
        self.environment(index, &variants.variables[number], node);
    }

    /// The variables: those of the plan, of which the user changes those that a document changes, and more.
    fn environment(&self, index: usize, (more, others): &(Rendered, Rendered), node: &mut Node) {
        let body = &self.rendered.objects[index].body;
        let Some(main) = main_container(body) else {
            return;
        };
        let added = variables(&more.objects[index].body, main);
        if !added.iter().any(|(name, _)| name == VARIABLE) {
            return;
        }
        let env = in_pod(&["containers", &main.to_string(), "env"]);
        let changed = variables(&others.objects[index].body, main);
        let mut known = Vec::new();
        let own = variables(body, main);
        for (position, (name, value)) in own.iter().enumerate() {
            let can_change = changed
                .iter()
                .any(|(other, value)| other == name && value == WORD);
            let here = [env.clone(), vec![position.to_string()]].concat();
            let of_value = [here.clone(), path(&["value"])].concat();
            let (true, Some(value), Some(entry)) = (can_change, value.as_str(), node.entry(&of_value)) else {
                known.push(name.as_str());
                continue;
            };
            let literal = matches!(entry.node, Node::Leaf(_));
            let Some(variable) = node.entry(&here) else {
                continue;
            };
            if literal && variable.when.is_none() {
                known.push(name);
                let text = format!(
                    r#"{{{{ include "seaway.variable" (list $role.env {} {}) }}}}"#,
                    go_string(name),
                    self.expression(value),
                );
                node.put(&of_value, text);
            } else {
                // It follows another value; the user's own is among those that are added.
                let other = format!("(not (hasKey ($role.env | default dict) {}))", go_string(name));
                variable.when = Some(match &variable.when {
                    Some(condition) => format!("and {condition} {other}"),
                    None => other,
                });
            }
        }
        node.add_lines(
            &env,
            format!(
                "{{{{- include \"seaway.variables\" (list $role.env {}) | nindent @0@ }}}}",
                go_list(&known)
            ),
        );
    }

    /// A text with sentinels as an expression.
    fn expression(&self, text: &str) -> String {
        let name = self.sentinels.name.as_str();
        let namespace = self.sentinels.namespace.as_str();
        if text.contains(name) || text.contains(namespace) {
            let format = text
                .replace('%', "%%")
                .replace(name, "%[1]s")
                .replace(namespace, "%[2]s");
            format!(
                r#"(printf {} (include "seaway.name" .) .Release.Namespace)"#,
                go_string(&format)
            )
        } else {
            go_string(text)
        }
    }
}

fn is_workload_of(object: &Object, role: &RoleValues) -> bool {
    matches!(object.kind, "Deployment" | "StatefulSet")
        && object.body["metadata"]["labels"][COMPONENT] == role.name.as_str()
}
