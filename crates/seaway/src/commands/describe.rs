//! `seaway describe`: everything that is known of an instance.

use seaway_lifecycle::{Activity, activity, status};
use seaway_model::{document::Document, plan::Plan, status::InstanceStatus};
use seaway_platform::Platform;
use serde::Serialize;

use crate::{cli::DescribeArguments, failure::Outcome, output};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Description {
    status: InstanceStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    activity: Option<Activity>,
    document: serde_json::Value,
    plan: Plan,
}

pub(crate) async fn run(arguments: DescribeArguments, platform: &dyn Platform) -> Outcome {
    let Some(observation) = platform.observe(&arguments.name).await? else {
        return Err(super::status::not_found(platform, &arguments.name).await);
    };
    let description = Description {
        status: status(platform.kind(), &observation),
        activity: activity(&observation).await,
        document: observation.document,
        plan: observation.plan,
    };
    output::emit(arguments.output, &description, || text(&description))?;
    Ok(0)
}

fn text(description: &Description) -> String {
    let mut text = output::status_text(&description.status);
    text.push_str("\n\n");
    let rows = description
        .status
        .roles
        .iter()
        .flat_map(|(_, role)| &role.tasks)
        .map(|task| {
            vec![
                task.name.clone(),
                task.pid.map_or_else(String::new, |pid| pid.to_string()),
                format!("{:?}", task.state),
                output::ago(task.since),
                task.restarts.to_string(),
                task.last_exit.clone().unwrap_or_default(),
                task.reason.clone(),
            ]
        })
        .collect();
    text.push_str(&output::table(
        &["TASK", "PID", "STATE", "FOR", "RESTARTS", "LAST END", "REASON"],
        rows,
    ));
    if let Some(activity) = &description.activity {
        let words = match activity {
            Activity::Busy(why) => format!("busy: {}", why.join(", ")),
            Activity::Attached(why) => format!("not busy, in use: {}", why.join(", ")),
            Activity::Idle => "idle".to_owned(),
            Activity::Unknown(why) => format!("not known: {why}"),
        };
        text.push_str(&format!("\n\nactivity: {words}"));
    }
    let document = serde_json::from_value::<Document>(description.document.clone())
        .ok()
        .and_then(|document| document.to_yaml().ok());
    if let Some(document) = document {
        text.push_str("\n\ndocument:\n");
        for line in document.lines() {
            text.push_str(&format!("  {line}\n"));
        }
    }
    text
}
