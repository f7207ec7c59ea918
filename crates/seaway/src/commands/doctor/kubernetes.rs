//! `seaway doctor kubernetes`: whether a cluster is reached, and what we may do there.

use clap::Args;
use seaway_discovery::{
    Directory,
    kubernetes::access::{Access, Work},
};
use serde::Serialize;

use crate::{
    cli::OutputFormat,
    commands::rbac::WorkArgument,
    directories::KubernetesOptions,
    failure::{FAILED, Failure, Outcome},
    output,
};

/// `seaway doctor kubernetes`.
#[derive(Debug, Args)]
#[command(
    after_long_help = "Examples:\n  seaway doctor kubernetes\n  seaway doctor kubernetes --namespace analytics --for \
                       announce,gc\n\nExit code 1 when the cluster cannot be reached or something is not allowed. `seaway \
                       rbac` prints a Role that allows it."
)]
pub(crate) struct KubernetesArguments {
    /// What is to be done there, separated by commas.
    #[arg(
        long = "for",
        value_enum,
        value_delimiter = ',',
        value_name = "WORK",
        default_value = "announce,discover,gc"
    )]
    work: Vec<WorkArgument>,
    /// Form of the output.
    #[arg(short, long, value_enum, default_value_t)]
    output: OutputFormat,
    #[command(flatten)]
    options: KubernetesOptions,
}

/// What was found, as JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    server: String,
    version: String,
    namespace: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    /// This machine's address, as engines outside of the cluster are announced with.
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<String>,
    permissions: Vec<Permission>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Permission {
    group: &'static str,
    resource: &'static str,
    verb: &'static str,
    allowed: bool,
    why: &'static str,
}

impl From<Access> for Permission {
    fn from(access: Access) -> Self {
        Self {
            group: access.group,
            resource: access.resource,
            verb: access.verb,
            allowed: access.allowed,
            why: access.why,
        }
    }
}

/// Looks, and prints what there is.
pub(crate) async fn run(arguments: &KubernetesArguments) -> Outcome {
    let directory = arguments.options.directory()?;
    let failed = |error: seaway_discovery::Error| Failure {
        code: FAILED,
        hint: error.hint(),
        error: error.into(),
    };
    let announcing = directory.announcing();
    let work: Vec<Work> = arguments.work.iter().map(|work| work.with(announcing)).collect();
    let cluster = directory.cluster().await.map_err(failed)?;
    let access = directory.access(&work).await.map_err(failed)?;
    let report = Report {
        server: cluster.server,
        version: cluster.version,
        namespace: cluster.namespace,
        user: cluster.user,
        address: directory
            .own_address()
            .await
            .ok()
            .map(|address| address.to_string()),
        permissions: access.into_iter().map(Permission::from).collect(),
    };
    output::emit(arguments.output, &report, || text(&report))?;
    let missing = report.permissions.iter().filter(|one| !one.allowed).count();
    if missing == 0 {
        return Ok(0);
    }
    Err(Failure::new(
        FAILED,
        format!(
            "{missing} of {} permissions are missing",
            report.permissions.len()
        ),
    )
    .hint(format!(
        "`seaway rbac --namespace {}` prints a Role that allows it; somebody who may must apply that",
        report.namespace
    )))
}

fn text(report: &Report) -> String {
    let mut text = format!(
        "server     {} ({})\nnamespace  {}\nuser       {}\naddress    {}\n\n",
        report.server,
        report.version,
        report.namespace,
        report.user.as_deref().unwrap_or("(the API server does not say)"),
        report.address.as_deref().unwrap_or("(not known)"),
    );
    // One row for each resource: what may be done, what may not.
    let mut rows: Vec<Vec<String>> = Vec::new();
    for one in &report.permissions {
        let dot = if one.group.is_empty() { "" } else { "." };
        let resource = format!("{}{dot}{}", one.resource, one.group);
        if rows.last().is_none_or(|row| row[0] != resource) {
            rows.push(vec![resource, String::new(), String::new(), one.why.to_owned()]);
        }
        let Some(row) = rows.last_mut() else { continue };
        let cell = &mut row[if one.allowed { 1 } else { 2 }];
        if !cell.is_empty() {
            cell.push_str(", ");
        }
        cell.push_str(one.verb);
    }
    text.push_str(&output::table(
        &["RESOURCE", "ALLOWED", "MISSING", "WHAT FOR"],
        rows,
    ));
    text
}
