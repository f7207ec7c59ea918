//! What is wanted, as the commands wrote it into the store.

use seaway_model::plan::Plan;

use super::{Phase, Supervisor, task::Task};
use crate::local::store::StoreError;
use seaway_model::status::Target;

impl Supervisor {
    /// Reads what is wanted, if anybody has written since the last time.
    pub(super) fn read_wanted(&mut self) -> Result<(), StoreError> {
        let version = self.store.version()?;
        if self.seen == Some(version) {
            return Ok(());
        }
        let name = self.record.name.as_str().to_owned();
        let Some((generation, target)) = self.store.records().wanted(&name, &self.record.id)? else {
            // Somebody removed the record by hand: nothing of the instance may stay.
            self.record.target = Target::ForcedDown;
            self.seen = Some(version);
            return Ok(());
        };
        if generation != self.record.generation {
            tracing::info!(generation, ?target, "what is wanted has changed");
            if let Some(new) = self.store.records().instance(&name)? {
                if new.plan != self.record.plan {
                    self.follow_plan(new.plan);
                }
                self.record.generation = new.generation;
            }
            self.try_again();
            self.scales = self.store.records().scales(&name)?;
            self.ports = self.store.records().ports(&name)?;
            self.take_in_new_tasks()?;
        }
        self.record.target = target;
        self.seen = Some(version);
        Ok(())
    }

    /// Somebody wants something: what was given up gets another chance.
    pub(super) fn try_again(&mut self) {
        if self.record.blocked.take().is_some() {
            self.record_changed = true;
        }
        for task in self
            .tasks
            .values_mut()
            .filter(|task| matches!(task.phase, Phase::GivenUp))
        {
            task.phase = Phase::Idle;
            task.failures = 0;
            task.streak = 0;
        }
    }

    /// Changes to another plan; environments are prepared anew.
    fn follow_plan(&mut self, plan: Plan) {
        if plan.environments != self.record.plan.environments {
            self.prepared = None;
            self.cancel_preparation();
        }
        self.record.plan = plan;
        self.record_changed = true;
        if let Err(error) = self.lay_out() {
            tracing::warn!(%error, "files of the new plan could not be written");
        }
    }

    /// Tasks that a command added to the store.
    fn take_in_new_tasks(&mut self) -> Result<(), StoreError> {
        for record in self.store.records().tasks(self.record.name.as_str())? {
            self.tasks
                .entry((record.role.clone(), record.index))
                .or_insert_with(|| Task::new(record));
        }
        Ok(())
    }
}
