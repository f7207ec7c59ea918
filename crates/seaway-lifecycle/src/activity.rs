//! Whether an instance is in use: its engine's busy signal, asked now.

use std::time::Duration;

use seaway_agent::http;
use seaway_model::plan::{NamedExpectation, Template};
use seaway_platform::Observation;
use serde::Serialize;
use serde_json::Value;

/// Longest time for the answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whether an instance is in use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "state", content = "why")]
pub enum Activity {
    /// It works; why, in words.
    Busy(Vec<String>),
    /// It does not work, but somebody is attached to it; who, in words.
    Attached(Vec<String>),
    /// Nobody uses it.
    Idle,
    /// It cannot be asked; why, in words.
    Unknown(String),
}

/// Asks an instance whether it is in use. `None` when its engine cannot tell.
pub async fn activity(observation: &Observation) -> Option<Activity> {
    let signal = observation.plan.busy.as_ref()?;
    let endpoint = observation.plan.endpoints.iter().find(|endpoint| {
        Some(&endpoint.role) == signal.at.role.as_ref() && endpoint.port == signal.at.port
    })?;
    let Some(at) = observation
        .endpoints
        .iter()
        .find(|known| known.name == endpoint.name)
    else {
        return Some(Activity::Unknown("it has no address yet".into()));
    };
    let document: Value = match http::request(&at.address(), &signal.path, None, PATIENCE).await {
        Err(error) => return Some(Activity::Unknown(error.to_string())),
        Ok(body) => match serde_json::from_slice(&body) {
            Ok(document) => document,
            Err(error) => return Some(Activity::Unknown(error.to_string())),
        },
    };
    let holding = |expectations: &[NamedExpectation]| -> Vec<String> {
        expectations
            .iter()
            .filter(|named| {
                // A busy signal refers to nothing: it is asked about the instance as a whole.
                let text = |template: &Template| template.resolve(|reference| Err(reference.to_string()));
                named.expect.holds(&document, text).unwrap_or(false)
            })
            .map(|named| named.what.clone())
            .collect()
    };
    let busy = holding(&signal.busy);
    let attached = holding(&signal.attached);
    Some(match (busy.is_empty(), attached.is_empty()) {
        (false, _) => Activity::Busy(busy),
        (true, false) => Activity::Attached(attached),
        (true, true) => Activity::Idle,
    })
}
