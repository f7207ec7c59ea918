//! `seaway setup check`.

use std::{io::Read, path::PathBuf};

use clap::{Args, ValueHint};
use seaway_setup::check::{self, Checked, Finding, Source, Surroundings};

use super::{ClusterArguments, failure};
use crate::{
    cli::OutputFormat,
    failure::{FAILED, Failure, Outcome},
    output,
};

/// `seaway setup check`.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  seaway setup check -f roles.yaml -f deployment.yaml\n  seaway setup check -f \
                       INSTALL.md\n  helm template my-chart | seaway setup check -f -\n  seaway setup check --namespace \
                       analytics\n  seaway setup check -f deployment.yaml --namespace analytics\n\nFiles hold YAML or JSON, or \
                       are Markdown with such blocks. What the files name has to be in them; with --namespace it may be in \
                       that namespace. Without files, all that is in the namespace is looked at. Exit code 1 when something is \
                       found."
)]
pub(crate) struct CheckArguments {
    /// A file; `-` for standard input. May be given several times.
    #[arg(short, long = "file", value_name = "FILE", num_args = 1.., value_hint = ValueHint::FilePath)]
    files: Vec<PathBuf>,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    output: OutputFormat,
    #[command(flatten)]
    cluster: ClusterArguments,
}

/// Looks, and prints what there is.
pub(super) async fn run(arguments: &CheckArguments) -> Outcome {
    let sources = arguments
        .files
        .iter()
        .map(read)
        .collect::<Result<Vec<Source>, Failure>>()?;
    let ask = sources.is_empty() || arguments.cluster.is_named();
    let surroundings = if ask {
        let connection = arguments.cluster.connection()?;
        check::namespace(&connection).await.map_err(failure)?
    } else {
        Surroundings::default()
    };
    let checked = if sources.is_empty() {
        check::surroundings(surroundings)
    } else {
        check::files(&sources, surroundings)
    };
    output::emit(arguments.output, &checked, || text(&checked))?;
    Ok(if checked.findings.is_empty() { 0 } else { FAILED })
}

fn read(path: &PathBuf) -> Result<Source, Failure> {
    let wrong =
        |error: std::io::Error| Failure::new(FAILED, format!("cannot read {}: {error}", path.display()));
    let (name, text) = if path.as_os_str() == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map_err(wrong)?;
        ("standard input".to_owned(), text)
    } else {
        let text = std::fs::read_to_string(path).map_err(wrong)?;
        (path.display().to_string(), text)
    };
    Ok(Source { name, text })
}

fn text(checked: &Checked) -> String {
    let mut text: String = checked.findings.iter().map(finding).collect();
    for note in &checked.notes {
        text.push_str(&format!("note: {note}\n"));
    }
    let plural = |count: usize, word: &str| format!("{count} {word}{}", if count == 1 { "" } else { "s" });
    text.push_str(&format!(
        "{} in {}",
        plural(checked.findings.len(), "finding"),
        plural(checked.objects, "object")
    ));
    text
}

fn finding(finding: &Finding) -> String {
    let line = finding.line.map_or_else(String::new, |line| format!(":{line}"));
    format!(
        "{}{line}: {} ({})\n  {}\n  why: {}\n  do:  {}\n\n",
        finding.place, finding.object, finding.rule, finding.what, finding.why, finding.hint
    )
}
