//! Starting tasks, and what follows when they end.

use std::{io::Write, os::unix::fs::OpenOptionsExt, path::Path, time::Duration};

use nix::sys::signal::Signal;
use seaway_agent::{
    Exit, ProcessIdentity, identity,
    process::{Process, StartError},
};
use seaway_model::{
    Memory, Name,
    plan::{Dependency, Role},
    status::{MemoryKeeper, Target, TaskState},
};
use tokio::time::Instant;

use super::{
    Event, Key, LAST_LINES, Supervisor,
    explain::{Ended, explain},
    task::{Phase, Run},
    waiting,
};
use crate::local::{
    cgroup::Cgroup,
    logs,
    paths::private_folder,
    store::{StoreError, TaskTarget},
};

/// First words of the line that Seaway writes into a log at each start.
pub(super) const START_LINE: &str = "[seaway] ";

impl Supervisor {
    /// Brings one task nearer to what is wanted of it.
    pub(super) fn adjust(&mut self, key: &Key, prepared: bool, now: Instant) {
        let Some(role) = self.role(&key.0).cloned() else {
            // The plan has no such role any more.
            self.dismiss(key, now);
            return;
        };
        let dependencies = self.dependencies(&role);
        let revision = self.revision(&role, key.1);
        let forced = self.is_forced(&key.0);
        let blocked = self.record.blocked.is_some();
        let Some(task) = self.tasks.get_mut(key) else {
            return;
        };
        if !task.is_wanted() && task.run().is_none() {
            self.forget(key);
            return;
        }
        match &mut task.phase {
            Phase::GivenUp => {}
            Phase::BackOff(until) if *until > now => {}
            Phase::Idle | Phase::BackOff(_) => {
                if blocked {
                    waiting(task, "cannot start: its software is missing");
                } else if !prepared {
                    waiting(task, "waits for its Python environment");
                } else if let Err(reason) = dependencies {
                    waiting(task, reason);
                } else {
                    self.start(key, &role, now);
                }
            }
            Phase::Running(run) => {
                let late = run.ready_since.is_none() && run.stop.is_none();
                if late && !self_sufficient(&role, dependencies.is_ok()) {
                    run.waiting_since = now;
                }
                let too_late =
                    late && now.duration_since(run.waiting_since) > role.ready.start_within.duration();
                let outdated = task.record.revision.as_deref() != Some(&revision);
                let stopping = task.run().is_some_and(|run| run.stop.is_some());
                match task.record.target {
                    TaskTarget::Remove => task.stop(&role.stop, forced, false, now),
                    TaskTarget::Retire if forced || role.drain.is_none() => {
                        task.stop(&role.stop, forced, false, now);
                    }
                    TaskTarget::Retire => self.drain(key, &role, now),
                    TaskTarget::Run if outdated => task.stop(&role.stop, false, false, now),
                    TaskTarget::Run if too_late && !stopping => {
                        tracing::warn!(
                            task = task.record.name(),
                            "not ready in time: it will be started again"
                        );
                        task.stop(&role.stop, false, true, now);
                    }
                    TaskTarget::Run => {}
                }
                if let Some(task) = self.tasks.get_mut(key) {
                    task.climb(&role.stop, now);
                }
            }
        }
    }

    /// Stops a task whose role is gone.
    fn dismiss(&mut self, key: &Key, now: Instant) {
        let Some(task) = self.tasks.get_mut(key) else {
            return;
        };
        task.aim(TaskTarget::Remove);
        if task.run().is_some() {
            let ladder = seaway_model::plan::StopLadder::default();
            task.stop(&ladder, false, false, now);
            task.climb(&ladder, now);
        } else {
            self.forget(key);
        }
    }

    /// Removes a task that is not wanted and does not run.
    pub(super) fn forget(&mut self, key: &Key) {
        let name = self.record.name.as_str().to_owned();
        let removed = self
            .store
            .transaction(|records| records.remove_task(&name, key.0.as_str(), key.1));
        if let Err(error) = removed {
            tracing::warn!(%error, "a task that is gone could not be removed from the store");
            // Tried again later, unless the whole instance goes: then its record takes the task with it.
            if self.record.target == Target::Up {
                return;
            }
        }
        if let Some(task) = self.tasks.remove(key) {
            for folder in [
                self.files.work(&task.record.name()),
                self.files.scratch(&task.record.name()),
            ] {
                remove_folder(&folder);
            }
        }
        self.ports
            .retain(|port| (&port.role, port.index) != (&key.0, key.1));
    }

    fn start(&mut self, key: &Key, role: &Role, now: Instant) {
        match self.try_start(key, role, now) {
            Ok(()) => {}
            Err(NotStarted::Store(error)) => {
                // Without the note that this start exists, a process could be lost. Later.
                tracing::warn!(%error, "a start could not be noted");
                if let Some(task) = self.tasks.get_mut(key) {
                    task.phase = Phase::BackOff(now + Duration::from_secs(1));
                    task.say(TaskState::BackOff, error.to_string());
                }
            }
            Err(NotStarted::Reason { reason, passing }) => {
                let Some(task) = self.tasks.get_mut(key) else {
                    return;
                };
                tracing::warn!(task = task.record.name(), reason, "could not be started");
                task.record.last_exit = None;
                task.record.last_log.clear();
                let delay = if passing {
                    task.count_end(&role.restart, None, false)
                } else {
                    None
                };
                self.wait_or_give_up(key, delay, &reason, now);
            }
        }
    }

    fn try_start(&mut self, key: &Key, role: &Role, now: Instant) -> Result<(), NotStarted> {
        let (name, index) = key;
        self.claim_ports(key, role)?;
        let revision = self.revision(role, *index);
        let start_id = hex::encode(rand::random::<[u8; 8]>());
        let prepared = self.prepared.clone().unwrap_or_default();
        let launch = self
            .context(&prepared)
            .launch(role, *index, &start_id)
            .map_err(|error| NotStarted::Reason {
                reason: error.to_string(),
                passing: true,
            })?;
        self.make_folders(role, &format!("{name}-{index}"))
            .map_err(|error| NotStarted::Reason {
                reason: error.to_string(),
                passing: true,
            })?;
        let instance = self.record.name.as_str().to_owned();
        let Some(task) = self.tasks.get_mut(key) else {
            return Ok(());
        };
        let again = task.record.start_id.is_some();
        task.record.start_id = Some(start_id.clone());
        task.record.process = None;
        task.record.revision = Some(revision);
        task.record.restarts += u32::from(again);
        let task_name = task.record.name();
        let (cgroup, keeper) = memory_limit(
            role,
            &format!("{}{task_name}-{start_id}", cgroup_prefix(&self.record.id)),
        );
        task.record.cgroup = cgroup.as_ref().map(|cgroup| cgroup.path().display().to_string());
        task.keep_memory_by(keeper);
        // Noted before it exists: the mark in its environment is now known, whatever happens next.
        self.store
            .records()
            .put_task(&instance, &task.record)
            .map_err(NotStarted::Store)?;
        note_start(&self.files.log(&task_name), &task_name, task.record.restarts);
        let mut process = match Process::start(&launch) {
            Ok(process) => process,
            Err(error) => {
                if let Some(cgroup) = cgroup {
                    let _ = cgroup.remove();
                }
                return Err(error.into());
            }
        };
        let identity = process.identity().clone();
        if let Some(cgroup) = &cgroup
            && let Err(error) = cgroup.add(identity.pid)
        {
            tracing::warn!(task = task_name, %error, "the memory limit could not be put on the process");
        }
        tracing::info!(task = task_name, pid = identity.pid, "started");
        task.record.process = Some(identity.clone());
        task.changed = true;
        let reason = match &task.record.last_exit {
            Some(exit) if again => format!("starts again: it {exit}"),
            _ => "starts".to_owned(),
        };
        task.say(TaskState::Starting, reason);
        task.phase = Phase::Running(Run {
            process: identity,
            start_id: start_id.clone(),
            waiting_since: now,
            ready_since: None,
            misses: 0,
            probe_at: now,
            probing: false,
            drain_at: now,
            memory_kills: memory_kills(cgroup.as_ref()),
            cgroup,
            stop: None,
        });
        let (key, events) = (key.clone(), self.events.clone());
        tokio::spawn(async move {
            let exit = process.wait().await;
            let _ = events.send(Event::Ended { key, start_id, exit });
        });
        Ok(())
    }

    /// Makes the folders of a task, with links to the user's data in its working directory.
    fn make_folders(&self, role: &Role, task: &str) -> std::io::Result<()> {
        let work = self.files.work(task);
        private_folder(&self.files.scratch(task))?;
        private_folder(&work)?;
        if self.plan().data.is_empty() || role.working_directory.is_some() {
            return Ok(());
        }
        let links = work.join("data");
        private_folder(&links)?;
        for data in &self.plan().data {
            let link = links.join(data.name.as_str());
            if link.symlink_metadata().is_err() {
                std::os::unix::fs::symlink(&data.path, &link)?;
            }
        }
        Ok(())
    }

    /// A process ended.
    pub(super) fn ended(&mut self, key: &Key, start_id: &str, exit: Exit, now: Instant) {
        let role = self.role(&key.0).cloned();
        let ports: Vec<(Name, String, u16)> = self
            .ports
            .iter()
            .filter(|port| (&port.role, port.index) == (&key.0, key.1))
            .map(|port| (port.name.clone(), port.host.clone(), port.port))
            .collect();
        let Some(task) = self.tasks.get_mut(key) else {
            return;
        };
        if task.run().is_none_or(|run| run.start_id != start_id) {
            return;
        }
        let Phase::Running(run) = std::mem::replace(&mut task.phase, Phase::Idle) else {
            return;
        };
        let name = task.record.name();
        clear_away(&self.record.id, start_id, Some(&run.process));
        let out_of_memory = memory_kills(run.cgroup.as_ref()) > run.memory_kills;
        if let Some(cgroup) = run.cgroup
            && cgroup.remove().is_err()
        {
            // Something in it is still ending.
            self.cgroups_left.push(cgroup);
        }
        remove_folder(&self.files.scratch(&name));
        task.record.process = None;
        task.record.last_log = last_words(&self.files.log(&name));
        task.changed = true;
        let memory = role
            .as_ref()
            .and_then(|role| role.resources.memory)
            .map(|limit: Memory| (limit, task.record.memory_keeper));
        let reason = explain(&Ended {
            exit,
            out_of_memory,
            memory,
            log: &task.record.last_log,
            ports: &ports,
        });
        tracing::info!(task = name, reason, "ended");
        task.record.last_exit = Some(reason.clone());
        let going = self.record.target != Target::Up;
        if going || !task.is_wanted() {
            self.forget(key);
            return;
        }
        let Some(role) = role else { return };
        let was_ready_for = run.ready_since.map(|since| now.duration_since(since));
        let (delay, reason) = match run.stop {
            // Stopped to be started in another form.
            Some(stop) if !stop.failed => (Some(Duration::ZERO), reason),
            Some(_) => {
                let time = role.ready.start_within;
                let last = task.record.reason.clone();
                (
                    task.count_end(&role.restart, None, false),
                    format!("was not ready within {time}: {last}"),
                )
            }
            None => (
                task.count_end(&role.restart, was_ready_for, exit.success()),
                reason,
            ),
        };
        self.wait_or_give_up(key, delay, &reason, now);
    }

    fn wait_or_give_up(&mut self, key: &Key, delay: Option<Duration>, reason: &str, now: Instant) {
        let Some(task) = self.tasks.get_mut(key) else {
            return;
        };
        match delay {
            None => {
                task.phase = Phase::GivenUp;
                let tries = match task.failures {
                    0 | 1 => String::new(),
                    n => format!(" (given up after {n} tries)"),
                };
                task.say(TaskState::Failed, format!("{reason}{tries}"));
            }
            Some(delay) if delay.is_zero() => {
                task.phase = Phase::Idle;
                task.say(TaskState::BackOff, reason);
            }
            Some(delay) => {
                task.phase = Phase::BackOff(now + delay);
                task.say(
                    TaskState::BackOff,
                    format!("{reason}; starts again in {:.1} s", delay.as_secs_f32()),
                );
            }
        }
    }
}

/// Whether the time to become ready counts now: not while something that the task needs is itself not ready.
fn self_sufficient(role: &Role, dependencies: bool) -> bool {
    dependencies
        || !role
            .after
            .iter()
            .any(|dependency| matches!(dependency, Dependency::Ready(_)))
}

/// Why a task was not started.
pub(super) enum NotStarted {
    Store(StoreError),
    Reason { reason: String, passing: bool },
}

impl From<StartError> for NotStarted {
    fn from(error: StartError) -> Self {
        Self::Reason {
            passing: error.is_passing(),
            reason: error.to_string(),
        }
    }
}

/// A control group that keeps a role's memory limit, or who keeps it otherwise.
fn memory_limit(role: &Role, label: &str) -> (Option<Cgroup>, MemoryKeeper) {
    let Some(limit) = role.resources.memory else {
        return (None, MemoryKeeper::Nobody);
    };
    match Cgroup::create(label, limit.bytes()) {
        Ok(cgroup) => (Some(cgroup), MemoryKeeper::Cgroup),
        Err(reason) => {
            tracing::info!(role = %role.name, %reason, "no control group keeps the memory limit");
            let keeper = if role.keeps_memory_limit {
                MemoryKeeper::Engine
            } else {
                MemoryKeeper::Nobody
            };
            (None, keeper)
        }
    }
}

/// How the names of an instance's control groups begin.
pub(super) fn cgroup_prefix(instance_id: &str) -> String {
    format!("seaway-{}-", instance_id.get(..12).unwrap_or(instance_id))
}

/// How often the kernel has killed for memory in a group.
pub(super) fn memory_kills(cgroup: Option<&Cgroup>) -> u64 {
    cgroup.map_or(0, Cgroup::oom_kills)
}

/// Marks the beginning of a start in the log, so that the last words of one start are told from those of another.
fn note_start(log: &Path, task: &str, restarts: u32) {
    let line = match restarts {
        0 => format!("{START_LINE}{task} starts\n"),
        n => format!("{START_LINE}{task} starts again (restart {n})\n"),
    };
    let written = std::fs::File::options()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(log)
        .and_then(|mut file| file.write_all(line.as_bytes()));
    if let Err(error) = written {
        tracing::warn!(log = %log.display(), %error, "the log cannot be written");
    }
}

/// The last lines of the last start in a log.
pub(super) fn last_words(log: &Path) -> Vec<String> {
    let mut lines = logs::tail(log, LAST_LINES).unwrap_or_default();
    if let Some(start) = lines.iter().rposition(|line| line.starts_with(START_LINE)) {
        lines.drain(..=start);
    }
    lines
}

/// Kills what is left of a start: its process group, and processes that moved to other groups but carry its mark.
pub(super) fn clear_away(instance_id: &str, start_id: &str, leader: Option<&ProcessIdentity>) {
    if let Some(leader) = leader {
        // The leader was reaped a moment ago; its id is not in use as long as its group has members.
        let _ = leader.signal_group(Signal::SIGKILL);
    }
    for marked in identity::marked(instance_id)
        .into_iter()
        .filter(|marked| marked.start_id == start_id)
    {
        let _ = marked.process.signal(Signal::SIGKILL);
    }
}

/// Removes a folder with all that is in it, if it is there.
pub(super) fn remove_folder(folder: &Path) {
    if let Err(error) = std::fs::remove_dir_all(folder)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(folder = %folder.display(), %error, "a folder could not be removed");
    }
}
