//! A chart in a folder, and the real Helm.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

use seaway_model::{Document, Name, document::Override, plan::Plan};
use seaway_render::{
    helm::{ChartFile, HelmError, Source, chart},
    kubernetes::{Inventory, KEEP, Object, Setting, objects},
};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) const AGENT_IMAGE: &str = "seaway:test";
pub(crate) const NAMESPACE: &str = "science";

fn helm() -> &'static Path {
    static HELM: OnceLock<PathBuf> = OnceLock::new();
    HELM.get_or_init(|| {
        let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/programs");
        let done = Command::new(tool).arg("helm").output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let text = String::from_utf8(done.stdout).unwrap();
        PathBuf::from(text.trim().strip_prefix("helm=").unwrap())
    })
}

pub(crate) fn document(spec: &str) -> Document {
    let text = format!(
        "apiVersion: seaway.dev/v1alpha1\nkind: Dask\nmetadata: {{name: lab, labels: {{team: pricing}}}}\nspec: {spec}\n"
    );
    seaway_model::document::parse("test", text.as_bytes())
        .unwrap()
        .remove(0)
}

pub(crate) fn plan(document: &Document) -> Result<Plan, String> {
    seaway_engines::plan(document).map_err(|error| error.to_string())
}

pub(crate) fn files(document: &Document) -> Result<Vec<ChartFile>, HelmError> {
    chart(&Source {
        document,
        plan: &plan,
        agent_image: AGENT_IMAGE,
        version: "0.1.0",
    })
}

/// A chart on the disk.
pub(crate) struct Chart {
    pub(crate) document: Document,
    folder: TempDir,
}

/// What Helm makes of a chart, without what it needs to add.
pub(crate) type Objects = BTreeMap<String, Value>;

impl Chart {
    pub(crate) fn of(spec: &str) -> Self {
        Self::new(document(spec), plan)
    }

    pub(crate) fn new(document: Document, plan: impl Fn(&Document) -> Result<Plan, String>) -> Self {
        let folder = TempDir::new().unwrap();
        let source = Source {
            document: &document,
            plan: &plan,
            agent_image: AGENT_IMAGE,
            version: "0.1.0",
        };
        for file in chart(&source).unwrap() {
            let path = folder.path().join("chart").join(file.path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, file.text).unwrap();
        }
        Self { document, folder }
    }

    pub(crate) fn read(&self, path: &str) -> String {
        fs::read_to_string(self.path("chart").join(path)).unwrap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        // Nothing of the user's own Helm takes part.
        Command::new(helm())
            .args(arguments)
            .env_clear()
            .env("HOME", self.path("home"))
            .output()
            .unwrap()
    }

    pub(crate) fn lint(&self) -> (bool, String) {
        let output = self.run(&["lint", "--strict", self.path("chart").to_str().unwrap()]);
        (output.status.success(), String::from_utf8(output.stdout).unwrap())
    }

    pub(crate) fn template(&self, release: &str, values: &Value) -> Result<Objects, String> {
        let file = self.path("values.json");
        fs::write(&file, values.to_string()).unwrap();
        let chart = self.path("chart");
        let chart = chart.to_str().unwrap();
        let output = self.run(&[
            "template",
            release,
            chart,
            "--namespace",
            NAMESPACE,
            "--values",
            file.to_str().unwrap(),
        ]);
        if !output.status.success() {
            return Err(String::from_utf8(output.stderr).unwrap());
        }
        let text = String::from_utf8(output.stdout).unwrap();
        Ok(text
            .split("\n---\n")
            .filter(|text| {
                text.lines()
                    .any(|line| !line.starts_with('#') && line != "---" && !line.is_empty())
            })
            .map(|text| {
                serde_saphyr::from_str::<Value>(text).unwrap_or_else(|error| panic!("{error}\n{text}"))
            })
            .map(|body| {
                (
                    format!(
                        "{}/{}",
                        body["kind"].as_str().unwrap(),
                        body["metadata"]["name"].as_str().unwrap()
                    ),
                    body,
                )
            })
            .collect())
    }

    /// The same with what Helm needs taken out again: the test's pod, the annotation that makes Helm keep a claim, and the
    /// values of secrets, which are new each time.
    pub(crate) fn release(&self, release: &str, values: &Value) -> Objects {
        let mut objects = self
            .template(release, values)
            .unwrap_or_else(|error| panic!("{error}"));
        objects.remove(&format!("Pod/{release}-test")).unwrap();
        for object in objects.values_mut() {
            if let Some(annotations) = object["metadata"]["annotations"].as_object_mut()
                && annotations.contains_key(KEEP)
            {
                assert_eq!(annotations.remove("helm.sh/resource-policy"), Some("keep".into()));
            }
            comparable(object);
        }
        objects
    }

    /// What Seaway itself makes of the same document, changed by overrides as `--set` writes them.
    pub(crate) fn expected(
        &self,
        release: &str,
        overrides: &[&str],
        plan: impl Fn(&Document) -> Result<Plan, String>,
    ) -> Objects {
        let name = format!("metadata.name={release}");
        let overrides: Vec<Override> = [name.as_str()]
            .iter()
            .chain(overrides)
            .map(|text| Override::parse(text).unwrap())
            .collect();
        let document = self.document.with_overrides(&overrides).unwrap();
        let plan = plan(&document).unwrap();
        let namespace = Name::literal(NAMESPACE);
        let secrets = plan
            .secrets
            .iter()
            .map(|secret| (secret.name.clone(), "0".repeat(64)))
            .collect();
        let setting = Setting {
            namespace: &namespace,
            document: &serde_json::to_value(&document).unwrap(),
            secrets: &secrets,
            agent_image: AGENT_IMAGE,
        };
        let path = |object: Object| (object.path(), object.body);
        let mut objects: Objects = objects(&plan, &setting).unwrap().into_iter().map(path).collect();
        objects.values_mut().for_each(comparable);
        objects
    }
}

/// An object without what is never the same: secrets. Texts of the inventory become what they say.
fn comparable(object: &mut Value) {
    for value in object
        .get_mut("stringData")
        .and_then(Value::as_object_mut)
        .into_iter()
        .flat_map(|map| map.values_mut())
    {
        let text = value.as_str().unwrap();
        assert!(
            text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{text}"
        );
        *value = json!("secret");
    }
    if object["data"].get("plan").is_some() {
        let inventory = Inventory::read(&object["data"]).unwrap();
        let document: Document = serde_json::from_value(inventory.document).unwrap();
        object["data"] = json!({"document": document, "plan": inventory.plan, "objects": inventory.objects});
    }
    object.sort_all_objects();
}

/// The same with the variables of containers by their names: the user's stand last in a release, and none of them refers
/// to another.
pub(crate) fn with_variables_by_name(mut objects: Objects) -> Objects {
    for object in objects.values_mut() {
        for container in object
            .pointer_mut("/spec/template/spec/containers")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            if let Some(env) = container["env"].as_array_mut() {
                env.sort_by_key(|variable| variable["name"].to_string());
            }
        }
    }
    objects
}

/// The two are the same, object by object.
#[track_caller]
pub(crate) fn same(release: &Objects, expected: &Objects) {
    let paths = |objects: &Objects| objects.keys().cloned().collect::<Vec<_>>();
    assert_eq!(paths(release), paths(expected));
    for (path, object) in expected {
        let mut found = Vec::new();
        differences(path, &release[path], object, &mut found);
        assert!(found.is_empty(), "{}", found.join("\n"));
    }
}

fn differences(path: &str, one: &Value, other: &Value, found: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(one), Value::Object(other)) => {
            for key in one
                .keys()
                .chain(other.keys().filter(|key| !one.contains_key(*key)))
            {
                let of = |map: &serde_json::Map<String, Value>| map.get(key).cloned().unwrap_or_default();
                differences(&format!("{path}.{key}"), &of(one), &of(other), found);
            }
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (index, (one, other)) in one.iter().zip(other).enumerate() {
                differences(&format!("{path}[{index}]"), one, other, found);
            }
        }
        (Value::String(one), Value::String(other)) if one.len() > 200 => {
            let at = one
                .chars()
                .zip(other.chars())
                .take_while(|(one, other)| one == other)
                .count();
            if one != other {
                let near = |text: &str| {
                    text.chars()
                        .skip(at.saturating_sub(20))
                        .take(60)
                        .collect::<String>()
                };
                found.push(format!(
                    "{path}: Helm makes …{:?}…, Seaway …{:?}…",
                    near(one),
                    near(other)
                ));
            }
        }
        (one, other) if one != other => found.push(format!("{path}: Helm makes {one}, Seaway {other}")),
        _ => {}
    }
}
