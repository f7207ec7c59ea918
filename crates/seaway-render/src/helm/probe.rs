//! Where a value of the document ends up in the objects: they are rendered with values that nobody has, and with others,
//! and what differs is what follows the value. So no rule of an engine stands here a second time.

use std::collections::BTreeMap;

use seaway_model::{Cpu, Document, Memory, Name, plan::Plan};
use serde_json::{Map, Value, json};

use super::{HelmError, Sentinels, Source};
use crate::kubernetes::{self, Object, Setting};

/// What the image of the engine is while objects are compared.
pub(super) const IMAGE: &str = "qz.invalid/engine:1";
/// What the image with the agent is then.
pub(super) const AGENT: &str = "qz.invalid/agent:1";
/// A word of settings of pods then.
pub(super) const WORD: &str = "qz-word";
/// A variable that is added then.
pub(super) const VARIABLE: &str = "QZ_VARIABLE";

/// The settings of pods that are values of the chart.
pub(super) const SETTINGS: [&str; 7] = [
    "nodeSelector",
    "tolerations",
    "affinity",
    "serviceAccount",
    "priorityClass",
    "annotations",
    "labels",
];

/// A rendering.
#[derive(Debug)]
pub(super) struct Rendered {
    pub(super) plan: Plan,
    pub(super) objects: Vec<Object>,
}

/// A role with what can be changed of it.
#[derive(Debug)]
pub(super) struct RoleValues {
    pub(super) name: Name,
    /// Where the document has its settings: `workers`; absent when it has none.
    pub(super) section: Option<String>,
    /// Whether the number of tasks can be changed.
    pub(super) scalable: bool,
    /// What it has while objects are compared.
    pub(super) cpu: Cpu,
    pub(super) memory: Memory,
}

/// What is known of the document.
pub(super) struct Probe<'a> {
    source: &'a Source<'a>,
    pub(super) sentinels: Sentinels,
    /// The document with the sentinels, and otherwise as the user wrote it.
    pub(super) document: Value,
    pub(super) roles: Vec<RoleValues>,
    /// The most temporary data while objects are compared.
    pub(super) scratch: String,
    /// The sizes of the volumes of data then.
    pub(super) data: Vec<String>,
    /// The document with a value that nobody has wherever the chart has one.
    base: Value,
    pub(super) rendered: Rendered,
    /// The plan of the document itself.
    pub(super) plan: Plan,
}

/// The mapping or value at a path, made when it is not there.
fn at<'v>(value: &'v mut Value, path: &[&str]) -> &'v mut Value {
    path.iter().fold(value, |value, key| {
        if !value.is_object() {
            *value = Value::Object(Map::new());
        }
        &mut value[*key]
    })
}

impl<'a> Probe<'a> {
    pub(super) fn new(source: &'a Source<'a>) -> Result<Self, HelmError> {
        let given = serde_json::to_value(source.document)?;
        let plan = (source.plan)(source.document).map_err(HelmError::Plan)?;
        let texts = [
            given.to_string(),
            serde_json::to_string(&plan)?,
            source.agent_image.to_owned(),
        ];
        let texts = texts.each_ref().map(String::as_str);
        let sentinels = Sentinels::avoiding(&texts)?;
        let words = [WORD, IMAGE, AGENT, VARIABLE];
        if words
            .iter()
            .any(|word| texts.iter().any(|text| text.contains(word)))
        {
            return Err(HelmError::NoSentinel);
        }
        let mut amounts = amounts(&texts);
        let mut amount = || amounts.next().ok_or(HelmError::NoSentinel);
        let mut document = given;
        document["metadata"]["name"] = json!(sentinels.name);
        if plan.kubernetes.namespace.is_some() {
            *at(&mut document, &["spec", "kubernetes", "namespace"]) = json!(sentinels.namespace);
        }
        // Whatever cannot be rendered is told in words of the document as it is.
        let shown = render(source, &sentinels, &document)?;
        let mut roles = Vec::new();
        for role in &shown.plan.roles {
            let amount = amount()?;
            roles.push(RoleValues {
                section: section(source, &document, &role.name),
                name: role.name.clone(),
                scalable: role.scalable,
                cpu: cpu(amount).parse()?,
                memory: format!("{amount}Mi").parse()?,
            });
        }
        let scratch = format!("{}Mi", amount()?);
        let data = shown.plan.data.iter();
        let data = data
            .map(|_| Ok(format!("{}Mi", amount()?)))
            .collect::<Result<Vec<_>, HelmError>>()?;
        let mut base = base(&document, &roles, &scratch);
        if let Some(list) = base["spec"].get_mut("data").and_then(Value::as_array_mut) {
            for (place, size) in list.iter_mut().zip(&data) {
                place["volume"] = json!({"emptyDir": {"sizeLimit": size}});
            }
        }
        let rendered = render(source, &sentinels, &base)?;
        let mut probe = Self {
            source,
            sentinels,
            document,
            roles,
            scratch,
            data,
            base,
            rendered,
            plan: shown.plan,
        };
        probe.find_scalable()?;
        Ok(probe)
    }

    /// The objects when one thing of the document is another.
    pub(super) fn with(&self, path: &[&str], value: Value) -> Result<Rendered, HelmError> {
        let mut document = self.base.clone();
        *at(&mut document, path) = value;
        render(self.source, &self.sentinels, &document)
    }

    /// The same for the settings of pods.
    pub(super) fn with_settings(&self) -> Result<Rendered, HelmError> {
        let mut document = self.base.clone();
        let pods = at(&mut document, &["spec", "kubernetes", "pods"]);
        let settings = json!({
            "nodeSelector": {WORD: WORD},
            "tolerations": [{"key": WORD}],
            "affinity": {WORD: {}},
            "serviceAccount": WORD,
            "priorityClass": WORD,
            "annotations": {WORD: WORD},
            "labels": {WORD: WORD},
        });
        for key in SETTINGS {
            *at(pods, &[key]) = settings[key].clone();
        }
        *at(&mut document, &["spec", "kubernetes", "imagePullSecrets"]) = json!([WORD]);
        render(self.source, &self.sentinels, &document)
    }

    /// The objects when a role has variables beside its own.
    pub(super) fn with_variables(&self, role: &RoleValues, names: &[&str]) -> Result<Rendered, HelmError> {
        let Some(section) = &role.section else {
            return render(self.source, &self.sentinels, &self.base);
        };
        let mut document = self.base.clone();
        let env = at(&mut document, &["spec", section, "env"]);
        for name in names {
            *at(env, &[name]) = WORD.into();
        }
        render(self.source, &self.sentinels, &document)
    }

    /// A role's number of tasks is a value of the chart when nothing else in the objects follows it.
    fn find_scalable(&mut self) -> Result<(), HelmError> {
        let mut scalable = Vec::new();
        for role in &self.roles {
            let mut can = false;
            if let (true, Some(section)) = (role.scalable, &role.section) {
                let replicas = self.plan.role(role.name.as_str()).map_or(0, |role| role.replicas);
                let more = self.with(&["spec", section, "replicas"], json!(replicas + 1))?;
                let mut differing = Vec::new();
                for (old, new) in self.rendered.objects.iter().zip(&more.objects).skip(1) {
                    differences(&old.body, &new.body, &mut Vec::new(), &mut differing);
                }
                can = matches!(differing.as_slice(), [path] if *path == ["spec", "replicas"]);
            }
            scalable.push(can);
        }
        for (role, can) in self.roles.iter_mut().zip(scalable) {
            role.scalable = can;
        }
        Ok(())
    }
}

/// The section of the document that says what a role gets: it is called like the role, or like several of it.
fn section(source: &Source<'_>, document: &Value, role: &Name) -> Option<String> {
    [role.to_string(), format!("{role}s")]
        .into_iter()
        .find(|section| {
            let mut changed = document.clone();
            *at(&mut changed, &["spec", section, "env", VARIABLE]) = WORD.into();
            serde_json::from_value::<Document>(changed)
                .ok()
                .and_then(|document| (source.plan)(&document).ok())
                .is_some_and(|plan| {
                    plan.role(role.as_str())
                        .is_some_and(|role| role.env.contains_key(VARIABLE))
                })
        })
}

fn base(document: &Value, roles: &[RoleValues], scratch: &str) -> Value {
    let mut base = document.clone();
    for role in roles {
        if let Some(section) = &role.section {
            *at(&mut base, &["spec", section, "resources"]) = json!({"cpu": role.cpu, "memory": role.memory});
        }
    }
    let kubernetes = at(&mut base, &["spec", "kubernetes"]);
    *at(kubernetes, &["image"]) = IMAGE.into();
    *at(kubernetes, &["agentImage"]) = AGENT.into();
    *at(kubernetes, &["scratchSize"]) = scratch.into();
    *at(kubernetes, &["networkPolicy"]) = true.into();
    *at(kubernetes, &["imagePullSecrets"]) = json!([]);
    let of_roles = roles.iter().map(|role| vec!["roles", role.name.as_str()]);
    for pods in std::iter::once(vec!["pods"]).chain(of_roles) {
        if let Value::Object(pods) = at(kubernetes, &pods) {
            pods.retain(|key, _| !SETTINGS.contains(&key.as_str()));
        } else {
            *at(kubernetes, &pods) = json!({});
        }
    }
    base
}

/// Odd numbers for amounts that are in none of the texts.
fn amounts<'t>(texts: &'t [&'t str]) -> impl Iterator<Item = u32> + 't {
    (7001..30_000).step_by(2).filter(|amount| {
        let memory = [
            format!("{amount}Mi"),
            (u64::from(*amount) << 20).to_string(),
            cpu(*amount),
        ];
        !memory
            .iter()
            .any(|memory| texts.iter().any(|text| text.contains(memory.as_str())))
    })
}

/// An amount as cores, of which a part is not whole.
fn cpu(amount: u32) -> String {
    format!("{}m", amount * 100 + 50)
}

fn render(source: &Source<'_>, sentinels: &Sentinels, document: &Value) -> Result<Rendered, HelmError> {
    let parsed: Document = serde_json::from_value(document.clone())?;
    let plan = (source.plan)(&parsed).map_err(HelmError::Plan)?;
    let secrets: BTreeMap<Name, String> = plan
        .secrets
        .iter()
        .map(|secret| (secret.name.clone(), String::new()))
        .collect();
    let setting = Setting {
        namespace: &sentinels.namespace,
        document,
        secrets: &secrets,
        agent_image: source.agent_image,
    };
    let objects = kubernetes::objects(&plan, &setting)?;
    Ok(Rendered { plan, objects })
}

/// The paths at which two values differ; a list of another length differs as a whole.
pub(super) fn differences(old: &Value, new: &Value, here: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    match (old, new) {
        (Value::Object(old), Value::Object(new)) => {
            let added = new.keys().filter(|key| !old.contains_key(*key));
            for key in old.keys().chain(added) {
                here.push(key.clone());
                differences(
                    old.get(key).unwrap_or(&Value::Null),
                    new.get(key).unwrap_or(&Value::Null),
                    here,
                    found,
                );
                here.pop();
            }
        }
        (Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
            for (index, (old, new)) in old.iter().zip(new).enumerate() {
                here.push(index.to_string());
                differences(old, new, here, found);
                here.pop();
            }
        }
        (old, new) if old != new => found.push(here.clone()),
        _ => {}
    }
}

/// The value at a path.
pub(super) fn get<'v>(value: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(value, |value, key| match value {
        Value::Object(map) => map.get(key),
        Value::Array(list) => list.get(key.parse::<usize>().ok()?),
        _ => None,
    })
}
