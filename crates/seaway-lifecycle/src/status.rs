//! Status: a pure function of what a platform observes.

use seaway_model::status::{EndpointStatus, InstanceStatus, RoleStatus, Roles, State, overall};
use seaway_platform::Observation;

/// How an instance is.
#[must_use]
pub fn status(platform: &str, observation: &Observation) -> InstanceStatus {
    let roles = Roles(
        observation
            .plan
            .roles
            .iter()
            .filter_map(|role| {
                let observed = observation.roles.get(&role.name)?;
                let status = RoleStatus::compute(observed.desired, observed.memory, observed.tasks.clone());
                Some((role.name.clone(), status))
            })
            .collect(),
    );
    let (mut state, reason) = overall(
        observation.target,
        observation.was_ready,
        observation.blocked.as_deref(),
        observation.preparing.as_deref(),
        &roles,
    );
    if observation.ended {
        state = State::Stopped;
    }
    InstanceStatus {
        name: observation.plan.instance.clone(),
        kind: observation.plan.kind.clone(),
        platform: platform.to_owned(),
        state,
        reason,
        created: observation.created,
        endpoints: observation
            .endpoints
            .iter()
            .map(|endpoint| (endpoint.name.clone(), EndpointStatus::from(endpoint)))
            .collect(),
        roles,
        directories: observation.announcements.clone(),
        notes: observation.notes.clone(),
    }
}
