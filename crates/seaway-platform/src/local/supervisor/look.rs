//! Looking whether tasks are ready. Tasks that ask the same question (workers, all of which look themselves up
//! in the scheduler's list) share one request.

use std::collections::{BTreeMap, HashMap};

use seaway_agent::{
    http::HttpError,
    identity,
    probe::{Answer, NotReady, Question},
};
use seaway_model::{plan::Check, status::TaskState};
use tokio::time::Instant;

use super::{Event, Key, Supervisor};
use crate::local::{ports, store::PortRecord};

/// The tasks that ask one question, with the start that each asks for.
type Askers = Vec<(Key, String)>;

impl Supervisor {
    /// Asks every question that is due.
    pub(super) fn look(&mut self, now: Instant) {
        let due: Vec<(Key, String)> = self
            .tasks
            .iter()
            .filter_map(|(key, task)| {
                let run = task.run()?;
                (!run.probing && run.stop.is_none() && run.probe_at <= now)
                    .then(|| (key.clone(), run.start_id.clone()))
            })
            .collect();
        let mut questions: HashMap<Question, Askers> = HashMap::new();
        for (key, start_id) in due {
            match self.question(&key) {
                Ok(Question::Running) => self.found_ready(&key, now),
                Ok(question) => {
                    if let Some(run) = self.tasks.get_mut(&key).and_then(|task| task.run_mut()) {
                        run.probing = true;
                    }
                    questions.entry(question).or_default().push((key, start_id));
                }
                Err(reason) => self.found_not_ready(&key, &reason, now),
            }
        }
        for (question, askers) in questions {
            self.ask(question, askers);
        }
    }

    fn question(&self, key: &Key) -> Result<Question, NotReady> {
        let Some(role) = self.role(&key.0) else {
            return Ok(Question::Running);
        };
        let prepared = BTreeMap::new();
        let context = self.context(&prepared);
        let unassigned = |error: super::resolve::ResolveError| NotReady::Unassigned(error.to_string());
        Question::of(
            &role.ready.check,
            |port| context.address(port, &key.0, key.1).map_err(unassigned),
            |template| context.text(template, &key.0, key.1).map_err(unassigned),
        )
    }

    fn ask(&self, question: Question, askers: Askers) {
        let Some(((name, index), start_id)) = askers.first() else {
            return;
        };
        let Some(role) = self.role(name) else { return };
        let timeout = role.ready.timeout.duration();
        // Only a command needs the task's environment.
        let (environment, path) = if matches!(question, Question::Command { .. }) {
            let prepared = self.prepared.clone().unwrap_or_default();
            match self.context(&prepared).launch(role, *index, start_id) {
                Ok(launch) => (launch.environment, launch.path),
                Err(_) => (BTreeMap::new(), Vec::new()),
            }
        } else {
            (BTreeMap::new(), Vec::new())
        };
        let events = self.events.clone();
        tokio::spawn(async move {
            let answer = question.ask(timeout, &environment, &path).await;
            let _ = events.send(Event::Answered {
                question,
                askers,
                answer,
            });
        });
    }

    /// An answer came, or did not.
    pub(super) fn answered(
        &mut self,
        question: &Question,
        askers: &[(Key, String)],
        answer: &Result<Answer, NotReady>,
        now: Instant,
    ) {
        for (key, start_id) in askers {
            let Some(run) = self.tasks.get_mut(key).and_then(|task| task.run_mut()) else {
                continue;
            };
            if run.start_id != *start_id {
                continue;
            }
            run.probing = false;
            if run.stop.is_some() {
                continue;
            }
            let verdict = match answer {
                Err(reason) => Err(self.in_words(key, reason)),
                Ok(answer) => self
                    .judge(key, question, answer)
                    .map_err(|reason| self.in_words(key, &reason)),
            };
            match verdict.and_then(|()| self.answered_itself(key, now)) {
                Ok(()) => self.found_ready(key, now),
                Err(reason) => self.found_not_ready(key, &reason, now),
            }
        }
    }

    /// Why a task is not ready. That a task which has just been started does not listen yet is no news, and neither
    /// is that the one which it is listed by does not.
    fn in_words(&self, key: &Key, reason: &NotReady) -> String {
        let starts = self
            .tasks
            .get(key)
            .and_then(|task| task.run())
            .is_some_and(|run| run.ready_since.is_none());
        let by = self.role(&key.0).and_then(|role| match &role.ready.check {
            Check::Http(http) => http.at.role.as_ref(),
            _ => None,
        });
        match (reason, by) {
            (NotReady::Http(HttpError::Connect { .. }), None) if starts => {
                "starts; does not answer yet".to_owned()
            }
            (NotReady::Http(HttpError::Connect { .. }), Some(by)) if starts => {
                format!("starts; {by} does not answer yet")
            }
            (NotReady::Expectation(_), Some(by)) if starts => format!("starts; {by} does not list it yet"),
            _ => reason.to_string(),
        }
    }

    fn judge(&self, key: &Key, question: &Question, answer: &Answer) -> Result<(), NotReady> {
        let Some(role) = self.role(&key.0) else {
            return Ok(());
        };
        let prepared = BTreeMap::new();
        let context = self.context(&prepared);
        let check: &Check = &role.ready.check;
        answer.satisfies(check, question, |template| {
            context
                .text(template, &key.0, key.1)
                .map_err(|error| NotReady::Unassigned(error.to_string()))
        })
    }

    /// Whether it was a task of this instance that answered. Another program may have taken the port before our task
    /// could, and give the same answers: a cluster of another user. The task that should have the port is started
    /// again then, with another port where that is possible.
    fn answered_itself(&mut self, key: &Key, now: Instant) -> Result<(), String> {
        let starts = self
            .tasks
            .get(key)
            .and_then(|task| task.run())
            .is_some_and(|run| run.ready_since.is_none());
        let Some(role) = self.role(&key.0).filter(|_| starts).cloned() else {
            return Ok(());
        };
        let at = match &role.ready.check {
            Check::Http(http) => &http.at,
            Check::Tcp(at) => at,
            Check::Running | Check::Command(_) => return Ok(()),
        };
        let of = at.role.as_ref().unwrap_or(&role.name);
        let asked = self.ports.iter().find(|port| {
            port.role == *of && port.name == at.port && (at.role.is_some() || port.index == key.1)
        });
        let Some(asked) = asked.filter(|asked| !self.has_port(asked)) else {
            return Ok(());
        };
        let reason = match ports::check(&asked.host, asked.port, &asked.name) {
            Err(taken) => taken.to_string(),
            // Whoever it was has gone in between.
            Ok(()) => "does not answer yet".to_owned(),
        };
        if at.role.is_none()
            && let Some(task) = self.tasks.get_mut(key)
        {
            tracing::warn!(
                task = task.record.name(),
                reason,
                "another program answers in its place"
            );
            task.stop(&role.stop, false, false, now);
        }
        Err(reason)
    }

    /// Whether the task that a port belongs to listens on it, as far as one can see.
    fn has_port(&self, port: &PortRecord) -> bool {
        let holder = self.tasks.get(&(port.role.clone(), port.index));
        let Some(run) = holder.and_then(|task| task.run()) else {
            return false;
        };
        let listens = |pid| ports::listens(pid, port.port).unwrap_or(true);
        listens(run.process.pid)
            || identity::marked(&self.record.id)
                .iter()
                .any(|marked| marked.start_id == run.start_id && listens(marked.process.pid))
    }

    fn found_ready(&mut self, key: &Key, now: Instant) {
        let Some(interval) = self.role(&key.0).map(|role| role.ready.interval.duration()) else {
            return;
        };
        let Some(task) = self.tasks.get_mut(key) else {
            return;
        };
        let Some(run) = task.run_mut() else { return };
        run.probe_at = now + interval;
        run.misses = 0;
        if run.ready_since.is_none() {
            run.ready_since = Some(now);
            task.failures = 0;
            tracing::info!(task = task.record.name(), "ready");
        }
        if task.is_wanted() {
            task.say(TaskState::Ready, "");
        }
    }

    fn found_not_ready(&mut self, key: &Key, reason: &impl ToString, now: Instant) {
        let Some(patience) = self
            .role(&key.0)
            .map(|role| (role.ready.failures, role.ready.interval.duration()))
        else {
            return;
        };
        let (failures, interval) = patience;
        let Some(task) = self.tasks.get_mut(key) else {
            return;
        };
        let Some(run) = task.run_mut() else { return };
        if run.ready_since.is_none() {
            run.probe_at = run.next_look(now);
            // A start that follows an end keeps saying what that was, until it answers.
            if task.record.last_exit.is_none() {
                task.say(TaskState::Starting, reason.to_string());
            }
            return;
        }
        run.misses += 1;
        // Looked at sooner than a task in good health, to see it come back.
        run.probe_at = now + interval.min(std::time::Duration::from_secs(1));
        if run.misses >= failures && task.is_wanted() {
            task.say(TaskState::NotReady, reason.to_string());
        }
    }
}
