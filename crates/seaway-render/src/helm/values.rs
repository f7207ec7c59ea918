//! `values.yaml`: what a release can have otherwise, with the document's own as defaults.

use std::collections::BTreeMap;

use seaway_model::document::PodSpec;
use serde_json::{Value, json};

use super::{
    Sentinels, Source,
    node::Node,
    probe::{Probe, RoleValues, SETTINGS},
};

/// What the chart has where nothing else is said.
#[derive(Debug)]
pub(super) struct Defaults {
    /// The image of all roles; empty when they have different ones.
    pub(super) image: String,
    pub(super) agent_image: String,
}

impl Defaults {
    pub(super) fn of(source: &Source<'_>, probe: &Probe<'_>) -> Self {
        let kubernetes = &probe.plan.kubernetes;
        let mut images = probe
            .plan
            .roles
            .iter()
            .map(|role| role.image.clone().unwrap_or_default());
        let first = images.next().unwrap_or_default();
        let common = if images.all(|image| image == first) {
            first
        } else {
            String::new()
        };
        Self {
            image: kubernetes.image.clone().unwrap_or(common),
            agent_image: kubernetes
                .agent_image
                .clone()
                .unwrap_or_else(|| source.agent_image.to_owned()),
        }
    }
}

const SHARED: [(&str, &str); 7] = [
    ("nodeSelector", "Labels of nodes that pods may run on."),
    (
        "tolerations",
        "Taints of nodes that pods tolerate, as Kubernetes writes them.",
    ),
    ("affinity", "Affinity, as Kubernetes writes it."),
    (
        "serviceAccount",
        "The ServiceAccount; its token is mounted then, and else no token is.",
    ),
    ("priorityClass", "The PriorityClass."),
    ("annotations", "Annotations of pods."),
    ("labels", "Labels of pods, beside Seaway's."),
];

/// What a setting of pods is.
pub(super) fn description(setting: &str) -> &'static str {
    SHARED
        .iter()
        .find(|(key, _)| *key == setting)
        .map_or("", |(_, text)| text)
}

/// The settings of pods as values.
pub(super) fn settings(pods: Option<&PodSpec>) -> Value {
    let given = pods.map_or(Value::Null, |pods| json!(pods));
    let values = SETTINGS.iter().map(|key| {
        let empty = match *key {
            "tolerations" => json!([]),
            "serviceAccount" | "priorityClass" => json!(""),
            _ => json!({}),
        };
        ((*key).to_owned(), given.get(key).cloned().unwrap_or(empty))
    });
    Value::Object(values.collect())
}

/// Lines with their indentation.
struct Writer {
    text: String,
    plain: Sentinels,
}

impl Writer {
    fn comment(&mut self, indentation: usize, comment: &str) {
        // A path can have a new line in it.
        let comment = comment.replace(char::is_control, "?");
        self.text
            .push_str(&format!("{}# {comment}\n", " ".repeat(indentation)));
    }

    fn value(&mut self, indentation: usize, key: &str, value: &Value) {
        let whole = BTreeMap::from([(key, value)]);
        for line in Node::from(&json!(whole)).write(&self.plain).lines() {
            self.text
                .push_str(&format!("{}{line}\n", " ".repeat(indentation)));
        }
    }

    fn section(&mut self, indentation: usize, key: &str) {
        self.text
            .push_str(&format!("{}{}:\n", " ".repeat(indentation), self.plain.text(key)));
    }

    fn settings(&mut self, indentation: usize, settings: &Value, explained: bool) {
        for (key, comment) in SHARED {
            if explained {
                self.comment(indentation, comment);
            }
            self.value(indentation, key, &settings[key]);
        }
    }
}

/// Values that are one text, or a list of names.
fn simple(probe: &Probe<'_>, defaults: &Defaults) -> [(&'static str, &'static str, Value); 8] {
    let kubernetes = &probe.plan.kubernetes;
    [
        (
            "fullnameOverride",
            "The name of the instance; that of the release when empty.",
            json!(""),
        ),
        (
            "image",
            "The image with the engine; each role's own when empty.",
            json!(defaults.image),
        ),
        (
            "agentImage",
            "The image with `seaway`, for the sidecars.",
            json!(defaults.agent_image),
        ),
        (
            "imagePullPolicy",
            "When images are pulled: IfNotPresent, Always or Never.",
            json!(kubernetes.image_pull_policy),
        ),
        (
            "imagePullSecrets",
            "Names of Secrets with the credentials of registries.",
            json!(kubernetes.image_pull_secrets),
        ),
        (
            "serviceType",
            "How clients reach the endpoints: ClusterIP, NodePort or LoadBalancer.",
            json!(kubernetes.service_type),
        ),
        (
            "networkPolicy",
            "Whether a NetworkPolicy keeps all but the endpoints to the instance itself.",
            json!({"enabled": kubernetes.network_policy}),
        ),
        (
            "scratchSize",
            "The most temporary data of a pod; it is evicted when it writes more.",
            json!(kubernetes.scratch_size),
        ),
    ]
}

pub(super) fn text(probe: &Probe<'_>, defaults: &Defaults) -> String {
    let plan = &probe.plan;
    let plain = Sentinels {
        template: false,
        ..probe.sentinels.clone()
    };
    let mut writer = Writer {
        text: String::new(),
        plain,
    };
    writer.comment(
        0,
        &format!(
            "Values of a {} instance. All have the defaults of the document that the chart was made from.",
            plan.kind
        ),
    );
    for (key, comment, value) in simple(probe, defaults) {
        writer.text.push('\n');
        writer.comment(0, comment);
        writer.value(0, key, &value);
    }
    writer.text.push('\n');
    writer.comment(0, "Settings of all pods.");
    writer.section(0, "pods");
    writer.settings(2, &settings(Some(&plan.kubernetes.pods)), true);
    writer.text.push('\n');
    writer.comment(
        0,
        "The roles. Settings of their pods, from nodeSelector on, come over those of all pods.",
    );
    writer.section(0, "roles");
    for (role, values) in plan.roles.iter().zip(&probe.roles) {
        writer.section(2, role.name.as_str());
        write_role(&mut writer, role, values, plan.kubernetes.roles.get(&role.name));
    }
    writer.text.push('\n');
    writer.comment(
        0,
        "Where the data is, by its name in the document: emptyDir, claim, hostPath, nfs, configMap or secret.",
    );
    writer.comment(
        0,
        "To give another kind than the default's, set the default's to null.",
    );
    if plan.data.is_empty() {
        writer.value(0, "data", &json!({}));
    } else {
        writer.section(0, "data");
    }
    for data in &plan.data {
        writer.section(2, data.name.as_str());
        writer.comment(4, &format!("Seen in {}.", data.path.display()));
        writer.value(4, "volume", &json!(data.volume));
    }
    if !plan.secrets.is_empty() {
        writer.text.push('\n');
        writer.comment(0, "Secrets. An empty one is made at random once and then kept.");
        writer.section(0, "secrets");
    }
    for secret in &plan.secrets {
        writer.comment(2, &format!("It {}.", secret.purpose));
        writer.value(2, secret.name.as_str(), &json!(""));
    }
    writer.text
}

fn write_role(
    writer: &mut Writer,
    role: &seaway_model::plan::Role,
    values: &RoleValues,
    pods: Option<&PodSpec>,
) {
    if values.scalable {
        writer.comment(4, "How many.");
        writer.value(4, "replicas", &json!(role.replicas));
    }
    if values.section.is_some() {
        writer.comment(
            4,
            "Cores and memory, both asked for and kept to; a usual amount when empty.",
        );
        writer.section(4, "resources");
        let amount = |amount: Option<String>| json!(amount.unwrap_or_default());
        writer.value(6, "cpu", &amount(role.resources.cpu.map(|cpu| cpu.to_string())));
        writer.value(
            6,
            "memory",
            &amount(role.resources.memory.map(|memory| memory.to_string())),
        );
        writer.comment(
            4,
            "Environment variables beside those of the document, and over them.",
        );
        writer.value(4, "env", &json!({}));
    }
    writer.settings(4, &settings(pods), false);
}
