//! `seaway render`: what would be made on a cluster, as files.

use std::{
    collections::BTreeMap,
    fs,
    io::Write,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum, ValueHint};
use seaway_model::{Document, Name, plan::Plan};
use seaway_render::{
    helm,
    kubernetes::{self, Object, Setting},
    manifests,
};

use crate::{
    cli::SourceArguments,
    failure::{FAILED, Failure, Outcome, USAGE},
    output, source,
};

const EXAMPLES: &str = "\
Examples:
  seaway render -f lab.yaml | kubectl apply -f -
  seaway render dask --set kubernetes.image=registry.example.com/dask:1 -o manifests/
  seaway render -f lab.yaml --as helm -o chart/ && helm install lab chart/

The objects are those that Seaway itself would make. Tokens are new each time, in a Secret; files with one are readable \
by their owner alone.";

/// `seaway render`.
#[derive(Debug, Args)]
#[command(after_long_help = EXAMPLES)]
pub(crate) struct RenderArguments {
    /// Where documents come from.
    #[command(flatten)]
    source: SourceArguments,
    /// What to render.
    #[arg(long = "as", value_enum, value_name = "FORM", default_value_t)]
    form: Form,
    /// Namespace, where the document names none.
    #[arg(long, value_name = "NAMESPACE", default_value = "default")]
    namespace: Name,
    /// Folder to write to, one file for each object; standard output when absent.
    #[arg(short, long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    output: Option<PathBuf>,
}

/// What is rendered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    /// Kubernetes manifests, for `kubectl apply`.
    #[default]
    Manifests,
    /// A Helm chart, in a new folder; with one for each document when there are several.
    Helm,
}

/// The image of the sidecars that belongs to this release.
const AGENT_IMAGE: &str = concat!("seaway:", env!("CARGO_PKG_VERSION"));

pub(crate) fn run(arguments: &RenderArguments) -> Outcome {
    let documents = source::documents_for_cluster(&arguments.source)?;
    match arguments.form {
        Form::Manifests => render_manifests(arguments, &documents)?,
        Form::Helm => render_charts(arguments, &documents)?,
    }
    Ok(0)
}

fn render_manifests(arguments: &RenderArguments, documents: &[Document]) -> Result<(), Failure> {
    let mut all = Vec::new();
    for document in documents {
        all.extend(objects(document, &arguments.namespace)?);
    }
    match &arguments.output {
        None => output::print(manifests::stream(&all).map_err(failed)?.trim_end())?,
        Some(folder) => {
            write(folder, &all)?;
            let shown = folder.display();
            output::say(&format!(
                "{} files written to {shown}; `kubectl apply -f {shown}` makes them",
                all.len()
            ));
        }
    }
    Ok(())
}

fn render_charts(arguments: &RenderArguments, documents: &[Document]) -> Result<(), Failure> {
    let Some(folder) = &arguments.output else {
        let failure = Failure::new(
            USAGE,
            "--as helm: a chart is a folder; say which with --output FOLDER",
        );
        return Err(failure);
    };
    // Before the first one is written.
    let mut charts = Vec::new();
    for document in documents {
        let chart = helm::chart(&helm::Source {
            document,
            plan: &|document| seaway_engines::plan(document).map_err(|error| error.to_string()),
            agent_image: AGENT_IMAGE,
            version: env!("CARGO_PKG_VERSION"),
        })
        .map_err(|error| Failure::new(USAGE, error))?;
        let folder = match documents {
            [_] => folder.clone(),
            _ => folder.join(document.name().as_str()),
        };
        refuse_to_mix(&folder)?;
        charts.push((document.name(), folder, chart));
    }
    for (name, folder, chart) in charts {
        for file in &chart {
            let path = folder.join(&file.path);
            let parent = path.parent().unwrap_or(&folder);
            fs::create_dir_all(parent)
                .and_then(|()| fs::write(&path, &file.text))
                .map_err(|error| unwritable(&path, &error))?;
        }
        let shown = folder.display();
        output::say(&format!(
            "{} files written to {shown}; `helm install {name} {shown}` makes an instance of it",
            chart.len()
        ));
    }
    Ok(())
}

/// What an older chart had and a newer one has not would still be part of it.
fn refuse_to_mix(folder: &Path) -> Result<(), Failure> {
    let filled = match fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => false,
        Err(error) => return Err(unwritable(folder, &error)),
    };
    if !filled {
        return Ok(());
    }
    let message = format!(
        "`{}` is not empty, and a chart is all that is in its folder",
        folder.display()
    );
    Err(Failure::new(USAGE, message).hint("remove it first, or give another folder"))
}

fn unwritable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(FAILED, format!("`{}` cannot be written: {error}", path.display()))
}

fn objects(document: &Document, namespace: &Name) -> Result<Vec<Object>, Failure> {
    let plan = seaway_engines::plan(document).map_err(failed)?;
    let namespace = plan
        .kubernetes
        .namespace
        .clone()
        .unwrap_or_else(|| namespace.clone());
    let setting = Setting {
        namespace: &namespace,
        document: &serde_json::to_value(document).map_err(failed)?,
        secrets: &new_secrets(&plan)?,
        agent_image: AGENT_IMAGE,
    };
    kubernetes::objects(&plan, &setting).map_err(|error| Failure::new(USAGE, error))
}

/// What the user gives for each secret, else 256 random bits.
fn new_secrets(plan: &Plan) -> Result<BTreeMap<Name, String>, Failure> {
    plan.secrets
        .iter()
        .map(|secret| {
            let given = secret.given().map_err(|error| Failure::new(USAGE, error))?;
            let value = given.unwrap_or_else(|| hex::encode(rand::random::<[u8; 32]>()));
            Ok((secret.name.clone(), value))
        })
        .collect()
}

fn write(folder: &Path, objects: &[Object]) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
    for (object, (name, text)) in objects.iter().zip(manifests::files(objects).map_err(failed)?) {
        let path = folder.join(name);
        let mode = if object.kind == "Secret" { 0o600 } else { 0o644 };
        // An older file may be readable by others.
        let _ = fs::remove_file(&path);
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&path)
            .and_then(|mut file| file.write_all(text.as_bytes()))
            .map_err(|error| unwritable(&path, &error))?;
    }
    Ok(())
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(FAILED, error.to_string())
}
