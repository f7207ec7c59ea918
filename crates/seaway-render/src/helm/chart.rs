//! The files of a chart.

use serde_json::{Value, json};

use super::{
    ChartFile, HelmError, Source, go_list, go_string,
    probe::{AGENT, IMAGE, Probe, VARIABLE, WORD},
    schema, templates, values,
    workload::Variants,
};

const HELPERS: &str = include_str!("helpers.tpl");
const INVENTORY: &str = include_str!("inventory.tpl");

/// The first Kubernetes with sidecars: containers that start before and end after the engine's.
const KUBERNETES: &str = ">=1.29.0-0";

/// Most characters of the name of a release.
const LONGEST_RELEASE: usize = 53;
/// Most characters of the name of a Service or of a claim.
const LONGEST: usize = 63;
/// Most characters of the name of a StatefulSet: its pods have a label with it, `-` and a hash of ten.
const LONGEST_NUMBERED: usize = 52;

pub(super) fn files(source: &Source<'_>, probe: &Probe<'_>) -> Result<Vec<ChartFile>, HelmError> {
    let variants = Variants::new(probe)?;
    let (shown, defaults) = (
        &source.document.metadata.name,
        values::Defaults::of(source, probe),
    );
    let mut files = Vec::new();
    let mut add = |path: String, text: String| files.push(ChartFile { path, text });
    add(
        "Chart.yaml".into(),
        format!(
            "apiVersion: v2\nname: {name}\ndescription: {kind} as Seaway runs it\ntype: application\nversion: {version}\n\
             appVersion: \"{version}\"\nkubeVersion: \"{KUBERNETES}\"\n",
            name = go_string(shown.as_str()),
            kind = probe.plan.kind,
            version = source.version,
        ),
    );
    add("values.yaml".into(), values::text(probe, &defaults));
    let schema = serde_json::to_string_pretty(&schema::schema(probe, &defaults))?;
    add("values.schema.json".into(), format!("{schema}\n"));
    add(".helmignore".into(), ".git/\n*.orig\n*.tgz\n".into());
    add(
        "templates/_helpers.tpl".into(),
        HELPERS.replace("%LONGEST%", &longest(probe).to_string()),
    );
    let mut templates = templates::all(source, probe, &variants)?;
    templates.insert("_inventory.tpl".into(), inventory(probe, &variants, &defaults)?);
    let mut sentinels = [WORD, IMAGE, AGENT, VARIABLE, &probe.scratch]
        .map(str::to_owned)
        .to_vec();
    for role in &probe.roles {
        let memory = role.memory;
        sentinels.extend([
            role.cpu.to_string(),
            memory.to_string(),
            memory.bytes().to_string(),
        ]);
    }
    for (path, text) in templates {
        if sentinels.iter().any(|sentinel| text.contains(sentinel)) {
            return Err(HelmError::Left(path));
        }
        add(format!("templates/{path}"), text);
    }
    let mut document = serde_json::to_value(source.document)?;
    let mut plan = serde_json::to_value(&probe.plan)?;
    // The names are those of the release; what stands here is for who reads the file.
    plan["instance"] = json!(shown);
    document["metadata"]["name"] = json!(shown);
    if let Some(namespace) = document.pointer("/spec/kubernetes/namespace").cloned() {
        plan["kubernetes"]["namespace"] = namespace;
    }
    for file in plan["files"].as_array_mut().into_iter().flatten() {
        // Helm takes a byte order mark off the files that it reads.
        let content = file["content"].as_str().unwrap_or_default().to_owned();
        if content.starts_with('\u{feff}') {
            continue;
        }
        add(
            format!("files/{}", file["fileName"].as_str().unwrap_or_default()),
            content,
        );
        if let Value::Object(file) = file {
            file.remove("content");
        }
    }
    for (name, value) in [("document", document), ("plan", plan)] {
        add(
            format!("inventory/{name}.json"),
            format!("{}\n", serde_json::to_string_pretty(&value)?),
        );
    }
    Ok(files)
}

/// Most characters of the name of an instance.
fn longest(probe: &Probe<'_>) -> usize {
    let prefix = format!("{}-", probe.sentinels.name);
    let made = probe.rendered.objects.iter().filter_map(|object| {
        let part = object.name.strip_prefix(&prefix)?;
        let most = if object.kind == "StatefulSet" {
            LONGEST_NUMBERED
        } else {
            LONGEST
        };
        Some(most.saturating_sub(part.len() + 1))
    });
    let data = probe
        .plan
        .data
        .iter()
        .map(|data| LONGEST.saturating_sub(data.name.as_str().len() + 1));
    made.chain(data)
        .min()
        .unwrap_or(LONGEST_RELEASE)
        .min(LONGEST_RELEASE)
}

fn inventory(
    probe: &Probe<'_>,
    variants: &Variants,
    defaults: &values::Defaults,
) -> Result<String, HelmError> {
    let mut sections = String::new();
    let mut fixed = String::new();
    let mut parts = String::new();
    for (index, role) in probe.roles.iter().enumerate() {
        let name = go_string(role.name.as_str());
        if let Some(section) = &role.section {
            sections.push_str(&format!(" {name} {}", go_string(section)));
        }
        let forced = variants.forced(probe, index);
        let forced: Vec<&str> = forced.iter().map(String::as_str).collect();
        fixed.push_str(&format!(" {name} {}", go_list(&forced)));
        let part = variants.role_in_plan(probe, index)?;
        let text = part.map_or_else(String::new, |node| node.write(&probe.sentinels));
        parts.push_str(&format!(
            "\n{{{{/* What of the role `{role}` in the plan follows the values. */}}}}\n{{{{- define \"seaway.role.{role}\" -}}}}\n{text}{{{{- end -}}}}\n",
            role = role.name
        ));
    }
    let text = INVENTORY
        .replace("%IMAGE%", &go_string(&defaults.image))
        .replace("%AGENT%", &go_string(&defaults.agent_image))
        .replace("%SECTIONS%", &format!("(dict{sections})"))
        .replace("%FIXED%", &format!("(dict{fixed})"));
    Ok(format!("{text}{parts}"))
}
