//! Where documents come from: a preset or a file, with overrides.

use std::{
    io::Read,
    path::{Path, PathBuf},
};

use seaway_model::{
    Document,
    document::{Override, PRESETS, parse, preset},
};

use crate::{
    cli::{PlatformKind, SourceArguments},
    failure::{Failure, USAGE},
};

/// More than any instance file; the parser refuses less than this with a better message.
const LONGEST: u64 = 16 << 20;

/// Reads the documents of a file; `-` is standard input.
pub(crate) fn read(file: &Path) -> Result<Vec<Document>, Failure> {
    let (shown, text) = if file == Path::new("-") {
        let mut text = Vec::new();
        std::io::stdin().lock().take(LONGEST).read_to_end(&mut text)?;
        ("standard input".to_owned(), text)
    } else {
        let shown = file.display().to_string();
        let failed = |error: std::io::Error| {
            let failure = Failure::new(USAGE, format!("`{shown}` cannot be read: {error}"));
            if error.kind() == std::io::ErrorKind::NotFound {
                failure.hint("`seaway plan dask` shows a built-in preset; `seaway schema` says what a document can hold")
            } else {
                failure
            }
        };
        let mut text = Vec::new();
        let opened = std::fs::File::open(file).map_err(failed)?;
        opened.take(LONGEST).read_to_end(&mut text).map_err(failed)?;
        (shown.clone(), text)
    };
    Ok(parse(&shown, &text)?)
}

/// The documents asked for, placed: with overrides, and with paths that do not depend on where they are used.
pub(crate) fn documents(arguments: &SourceArguments) -> Result<Vec<Document>, Failure> {
    let working_directory = std::env::current_dir()?;
    placed(arguments, &working_directory, Some(&working_directory))
}

/// The same for a cluster, which does not have the folder that the user is in.
pub(crate) fn documents_for_cluster(arguments: &SourceArguments) -> Result<Vec<Document>, Failure> {
    placed(arguments, &std::env::current_dir()?, None)
}

/// The same for that platform.
pub(crate) fn documents_on(
    platform: PlatformKind,
    arguments: &SourceArguments,
) -> Result<Vec<Document>, Failure> {
    match platform {
        PlatformKind::Local => documents(arguments),
        PlatformKind::Kubernetes => documents_for_cluster(arguments),
    }
}

fn placed(
    arguments: &SourceArguments,
    working_directory: &Path,
    notebooks: Option<&Path>,
) -> Result<Vec<Document>, Failure> {
    let (documents, base) = match (&arguments.preset, &arguments.file) {
        (_, Some(file)) => {
            let folder = match file.parent() {
                Some(parent) if file.as_os_str() != "-" => working_directory.join(parent),
                _ => working_directory.to_owned(),
            };
            (read(file)?, folder)
        }
        (Some(name), None) => (vec![from_preset(name)?], working_directory.to_owned()),
        (None, None) => return Err(Failure::new(USAGE, "a preset or a file is needed")),
    };
    let mut overrides = arguments
        .overrides
        .iter()
        .map(|text| Override::parse(text))
        .collect::<Result<Vec<_>, _>>()?;
    if let Some(name) = &arguments.name {
        if documents.len() > 1 {
            return Err(Failure::new(
                USAGE,
                format!("--name is for one document; this file has {}", documents.len()),
            ));
        }
        // The name is checked like one in a file, but the message should speak of the option.
        if let Err(error) = name.parse::<seaway_model::Name>() {
            return Err(Failure::new(USAGE, format!("--name: {error}")));
        }
        overrides.push(Override::parse(&format!("metadata.name={name}"))?);
    }
    let home = std::env::var_os("HOME").map(PathBuf::from);
    documents
        .iter()
        .map(|document| {
            let changed = document.with_overrides(&overrides)?;
            Ok(seaway_lifecycle::place(
                &changed,
                &base,
                notebooks,
                home.as_deref(),
            ))
        })
        .collect()
}

fn from_preset(name: &str) -> Result<Document, Failure> {
    let known = PRESETS
        .iter()
        .map(|(name, _)| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(", ");
    let Some(text) = preset(name) else {
        let failure = Failure::new(USAGE, format!("there is no preset `{name}`; there are: {known}"));
        return Err(if Path::new(name).exists() {
            failure.hint(format!("for a file: `seaway up -f {name}`"))
        } else {
            failure
        });
    };
    let documents = parse(name, text.as_bytes())?;
    documents
        .into_iter()
        .next()
        .ok_or_else(|| Failure::new(USAGE, format!("preset `{name}` is empty")))
}
