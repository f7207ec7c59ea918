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
}

/// The image of the sidecars that belongs to this release.
const AGENT_IMAGE: &str = concat!("seaway:", env!("CARGO_PKG_VERSION"));

pub(crate) fn run(arguments: &RenderArguments) -> Outcome {
    let Form::Manifests = arguments.form;
    let mut all = Vec::new();
    for document in source::documents_for_cluster(&arguments.source)? {
        all.extend(objects(&document, &arguments.namespace)?);
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
    Ok(0)
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
        secrets: &new_secrets(&plan),
        agent_image: AGENT_IMAGE,
    };
    kubernetes::objects(&plan, &setting).map_err(|error| Failure::new(USAGE, error))
}

/// 256 random bits for each secret.
fn new_secrets(plan: &Plan) -> BTreeMap<Name, String> {
    plan.secrets
        .iter()
        .map(|secret| (secret.name.clone(), hex::encode(rand::random::<[u8; 32]>())))
        .collect()
}

fn write(folder: &Path, objects: &[Object]) -> Result<(), Failure> {
    let refuse = |path: &Path, error: std::io::Error| {
        Failure::new(FAILED, format!("`{}` cannot be written: {error}", path.display()))
    };
    fs::create_dir_all(folder).map_err(|error| refuse(folder, error))?;
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
            .map_err(|error| refuse(&path, error))?;
    }
    Ok(())
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(FAILED, error.to_string())
}
