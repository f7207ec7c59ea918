//! Taking over what an earlier supervisor left.

use std::time::Duration;

use nix::sys::signal::Signal;
use seaway_agent::{ProcessIdentity, identity, process::Process};
use seaway_model::status::TaskState;
use tokio::time::Instant;

use super::{
    Event, Supervisor,
    run::{clear_away, last_words, memory_kills},
    task::{Phase, Run, Task},
};
use crate::local::{
    cgroup::Cgroup,
    store::{StoreError, TaskRecord},
};

impl Supervisor {
    /// Finds the tasks in the store and the processes that carry them out. A process that runs is adopted; one that
    /// is gone has ended unseen; one that belongs to no known start is ended.
    pub(super) fn adopt(&mut self) -> Result<(), StoreError> {
        let now = Instant::now();
        let marked = identity::marked(&self.record.id);
        for record in self.store.records().tasks(self.record.name.as_str())? {
            let process = record
                .process
                .clone()
                .filter(ProcessIdentity::is_alive)
                .or_else(|| {
                    // Killed between starting the process and noting its id.
                    let start_id = record.start_id.as_ref()?;
                    let leader = marked
                        .iter()
                        .find(|marked| marked.leads_group && marked.start_id == *start_id)?;
                    Some(leader.process.clone())
                });
            let key = (record.role.clone(), record.index);
            let task = match process.and_then(Process::adopt) {
                Some(process) => self.adopted(record, process, now),
                None => self.ended_unseen(record, now),
            };
            self.tasks.insert(key, task);
        }
        let known: Vec<String> = self
            .tasks
            .values()
            .filter(|task| task.run().is_some())
            .filter_map(|task| task.record.start_id.clone())
            .collect();
        for stray in marked
            .into_iter()
            .filter(|marked| !known.contains(&marked.start_id))
        {
            tracing::info!(
                pid = stray.process.pid,
                start_id = stray.start_id,
                "ending a process of no known task"
            );
            let _ = stray.process.signal(Signal::SIGKILL);
        }
        Ok(())
    }

    fn adopted(&self, record: TaskRecord, mut process: Process, now: Instant) -> Task {
        let start_id = record.start_id.clone().unwrap_or_default();
        let identity = process.identity().clone();
        tracing::info!(task = record.name(), pid = identity.pid, "adopted");
        let cgroup = record.cgroup.as_deref().and_then(|path| Cgroup::open(path).ok());
        let was_ready = matches!(
            record.state,
            TaskState::Ready | TaskState::NotReady | TaskState::Retiring
        );
        let mut task = Task::new(record);
        task.record.process = Some(identity.clone());
        task.phase = Phase::Running(Run {
            process: identity,
            start_id: start_id.clone(),
            waiting_since: now,
            ready_since: was_ready.then_some(now),
            misses: 0,
            probe_at: now,
            probing: false,
            drain_at: now,
            memory_kills: memory_kills(cgroup.as_ref()),
            cgroup,
            stop: None,
        });
        let key = (task.record.role.clone(), task.record.index);
        let events = self.events.clone();
        tokio::spawn(async move {
            let exit = process.wait().await;
            let _ = events.send(Event::Ended { key, start_id, exit });
        });
        task
    }

    /// A task whose process ended while nobody watched. Its last words are still in its log.
    fn ended_unseen(&self, record: TaskRecord, now: Instant) -> Task {
        let mut task = Task::new(record);
        let Some(start_id) = task.record.start_id.clone() else {
            return task;
        };
        clear_away(&self.record.id, &start_id, None);
        let out_of_memory = task.record.cgroup.as_deref().is_some_and(|path| {
            let Ok(cgroup) = Cgroup::open(path) else {
                return false;
            };
            let killed = memory_kills(Some(&cgroup)) > 0;
            let _ = cgroup.remove();
            killed
        });
        if task.record.state == TaskState::Failed {
            task.phase = Phase::GivenUp;
            return task;
        }
        if task.record.process.take().is_some() {
            task.record.last_log = last_words(&self.files.log(&task.record.name()));
            let reason = if out_of_memory {
                "was killed for memory by the kernel".to_owned()
            } else {
                "ended while no supervisor ran".to_owned()
            };
            task.say(TaskState::BackOff, reason.clone());
            task.record.last_exit = Some(reason);
            task.streak = 1;
        }
        task.phase = Phase::BackOff(now + Duration::ZERO);
        task
    }
}
