//! Which tasks an instance has: rows and ports for new ones, in one transaction.

use seaway_model::plan::{Plan, Role};

use super::{
    ports::{self, PortError},
    store::{Records, ScaleRecord, TaskRecord},
};

/// The address that tasks bind when the user asks for none.
pub(crate) const DEFAULT_HOST: &str = "127.0.0.1";

/// Adds tasks of a role until as many are wanted as `desired`; gives back the new ones. To be called in a
/// transaction.
pub(crate) fn fill(
    records: Records<'_>,
    instance: &str,
    role: &Role,
    desired: u32,
) -> Result<Vec<TaskRecord>, PortError> {
    let existing = records.tasks(instance)?;
    let mut taken: Vec<u32> = existing
        .iter()
        .filter(|task| task.role == role.name)
        .map(|task| task.index)
        .collect();
    let wanted = existing
        .iter()
        .filter(|task| task.role == role.name && task.target == super::store::TaskTarget::Run)
        .count();
    let missing = (desired as usize).saturating_sub(wanted);
    let mut added = Vec::new();
    let mut index = 0;
    while added.len() < missing {
        if taken.contains(&index) {
            index += 1;
            continue;
        }
        taken.push(index);
        let task = TaskRecord::new(role.name.clone(), index);
        records.put_task(instance, &task)?;
        for port in &role.ports {
            ports::assign(records, instance, &role.name, index, port, DEFAULT_HOST)?;
        }
        added.push(task);
    }
    Ok(added)
}

/// Brings the wanted numbers and the tasks of an instance in line with a plan: new roles get theirs, numbers
/// that the plan changed are taken over, roles that are gone lose their number (the supervisor stops the tasks).
pub(crate) fn follow(
    records: Records<'_>,
    instance: &str,
    before: Option<&Plan>,
    plan: &Plan,
) -> Result<(), PortError> {
    for role in &plan.roles {
        let was = before.and_then(|before| before.role(role.name.as_str()));
        if was.is_none_or(|was| was.replicas != role.replicas) {
            let scale = ScaleRecord {
                role: role.name.clone(),
                desired: role.replicas,
                forced: false,
            };
            records.set_scale(instance, &scale)?;
            fill(records, instance, role, role.replicas)?;
        }
        // A port that is fixed now, or bound elsewhere, replaces the one that was found.
        if was.is_some_and(|was| was.ports != role.ports) {
            give_ports_anew(records, instance, role)?;
        }
    }
    for gone in before.iter().flat_map(|before| &before.roles) {
        if plan.role(gone.name.as_str()).is_none() {
            records.remove_scale(instance, gone.name.as_str())?;
        }
    }
    Ok(())
}

fn give_ports_anew(records: Records<'_>, instance: &str, role: &Role) -> Result<(), PortError> {
    let tasks: Vec<u32> = records
        .tasks(instance)?
        .into_iter()
        .filter(|task| task.role == role.name)
        .map(|task| task.index)
        .collect();
    let held = records.ports(instance)?;
    for index in tasks {
        for port in &role.ports {
            let current = held
                .iter()
                .find(|h| h.role == role.name && h.index == index && h.name == port.name);
            let fits = current.is_some_and(|current| {
                port.fixed.is_none_or(|fixed| fixed == current.port)
                    && port.host.as_deref().unwrap_or(DEFAULT_HOST) == current.host
            });
            if fits {
                continue;
            }
            if let Some(current) = current {
                records.remove_port(current.port)?;
            }
            ports::assign(records, instance, &role.name, index, port, DEFAULT_HOST)?;
        }
    }
    Ok(())
}
