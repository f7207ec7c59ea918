//! The addresses of tasks: claimed before a start, and part of what a task is started with.

use seaway_model::plan::{PortPlan, Reference, Role, Template};

use super::{Key, Supervisor, run::NotStarted};
use crate::local::{
    ports::{self, PortError},
    roster::DEFAULT_HOST,
    store::PortRecord,
};

impl Supervisor {
    /// A digest of everything that a task is started with: its part of the plan, and the addresses that it is told.
    /// A task that was started with another one is started again.
    pub(super) fn revision(&self, role: &Role, index: u32) -> String {
        let mut revision = role.revision(self.plan());
        for port in self.ports.iter().filter(|port| self.tells(role, index, port)) {
            revision.push_str(&format!(" {}:{}", port.host, port.port));
        }
        revision
    }

    /// Whether a task is told an address when it starts: its own, and those of other roles that it asks for. Roles
    /// whose number changes are left out: a task more or less is no reason to start others again.
    fn tells(&self, role: &Role, index: u32, port: &PortRecord) -> bool {
        if port.role == role.name {
            return port.index == index;
        }
        let asks = |template: &Template| {
            template.references().any(|reference| {
                matches!(reference, Reference::Port { role: Some(of), port: name, .. }
                    if *of == port.role && *name == port.name)
            })
        };
        role.command.iter().chain(role.env.values()).any(asks)
            && self.role(&port.role).is_some_and(|role| !role.scalable)
    }

    /// Makes sure that the ports of a task are free. One that another program took since it was chosen is given up
    /// for another, where nobody was told of it yet.
    pub(super) fn claim_ports(&mut self, key: &Key, role: &Role) -> Result<(), NotStarted> {
        let held: Vec<PortRecord> = self
            .ports
            .iter()
            .filter(|port| (&port.role, port.index) == (&key.0, key.1))
            .cloned()
            .collect();
        for port in held {
            let Err(error) = ports::check(&port.host, port.port, &port.name) else {
                continue;
            };
            let plan = role.ports.iter().find(|plan| plan.name == port.name);
            match plan.filter(|plan| matches!(error, PortError::Taken { .. }) && self.may_move(role, plan)) {
                Some(plan) => self.move_port(&port, plan)?,
                None => return Err(not_now(&error)),
            }
        }
        Ok(())
    }

    /// Whether a port may become another: not one that the user fixed, nor one that clients know.
    fn may_move(&self, role: &Role, plan: &PortPlan) -> bool {
        let endpoints = &self.plan().endpoints;
        let known = endpoints
            .iter()
            .any(|endpoint| endpoint.role == role.name && endpoint.port == plan.name);
        plan.fixed.is_none() && !(self.record.was_ready && known)
    }

    fn move_port(&mut self, port: &PortRecord, plan: &PortPlan) -> Result<(), NotStarted> {
        let instance = self.record.name.as_str().to_owned();
        let moved = self.store.transaction(|records| {
            records.remove_port(port.port)?;
            ports::assign(records, &instance, &port.role, port.index, plan, DEFAULT_HOST)
        });
        let new = match moved {
            Ok(new) => new,
            Err(PortError::Store(error)) => return Err(NotStarted::Store(error)),
            Err(error) => return Err(not_now(&error)),
        };
        tracing::info!(port = %port.name, from = port.port, to = new.port, "another program took a port; moved");
        for held in self.ports.iter_mut().filter(|held| *held == port) {
            *held = new.clone();
        }
        Ok(())
    }
}

fn not_now(error: &PortError) -> NotStarted {
    NotStarted::Reason {
        reason: error.to_string(),
        passing: true,
    }
}
