//! The lines of an instance's tasks, from their files.

use std::{
    collections::{BTreeSet, VecDeque},
    io,
    path::PathBuf,
};

use async_trait::async_trait;

use super::{
    LocalPlatform, failed,
    logs::{Follower, tail},
    store::TaskRecord,
};
use crate::{LogLine, LogRequest, LogStream, PlatformError};

/// A task with its log.
struct Source {
    task: String,
    path: PathBuf,
}

/// The lines of the tasks of an instance.
pub(super) struct Lines<'a> {
    platform: &'a LocalPlatform,
    name: String,
    only: Option<String>,
    follower: Option<Follower>,
    tasks: BTreeSet<String>,
    waiting: VecDeque<LogLine>,
}

impl<'a> Lines<'a> {
    pub(super) fn open(
        platform: &'a LocalPlatform,
        name: &str,
        request: LogRequest<'_>,
    ) -> Result<Self, PlatformError> {
        let mut lines = Self {
            platform,
            name: name.to_owned(),
            only: request.only.map(str::to_owned),
            follower: request.follow.then(Follower::new),
            tasks: BTreeSet::new(),
            waiting: VecDeque::new(),
        };
        for source in platform.sources(name, request.only)? {
            lines.add(source, request.tail)?;
        }
        Ok(lines)
    }

    fn add(&mut self, source: Source, count: usize) -> Result<(), PlatformError> {
        let Source { task, path } = source;
        let texts = match &mut self.follower {
            Some(follower) => follower.add(&task, &path, count),
            None => tail(&path, count),
        };
        self.waiting
            .extend(texts.map_err(failed(&path))?.into_iter().map(|text| LogLine {
                task: task.clone(),
                text,
            }));
        self.tasks.insert(task);
        Ok(())
    }

    /// Whether the instance is still there. Tasks that were added meanwhile are followed from their first line.
    fn look(&mut self) -> Result<bool, PlatformError> {
        match self.platform.sources(&self.name, self.only.as_deref()) {
            Ok(sources) => {
                for source in sources {
                    if !self.tasks.contains(&source.task) {
                        self.add(source, usize::MAX)?;
                    }
                }
                Ok(true)
            }
            Err(PlatformError::NotFound { .. } | PlatformError::NoRole { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

#[async_trait(?Send)]
impl LogStream for Lines<'_> {
    fn tasks(&self) -> Vec<String> {
        self.tasks.iter().cloned().collect()
    }

    async fn next(&mut self) -> Result<Option<LogLine>, PlatformError> {
        loop {
            if let Some(line) = self.waiting.pop_front() {
                return Ok(Some(line));
            }
            if self.follower.is_none() || !self.look()? {
                return Ok(None);
            }
            let Some(follower) = &mut self.follower else {
                return Ok(None);
            };
            let unreadable = |error: io::Error| failed(self.platform.paths.state.as_path())(error);
            let lines = follower.poll().map_err(unreadable)?;
            if lines.is_empty() && self.waiting.is_empty() {
                tokio::time::sleep(super::logs::LOOK).await;
            }
            self.waiting.extend(lines.into_iter().map(|line| LogLine {
                task: line.task.to_string(),
                text: line.text,
            }));
        }
    }
}

impl LocalPlatform {
    /// Where the tasks of an instance write; those of one role or one task when `only` is given.
    fn sources(&self, name: &str, only: Option<&str>) -> Result<Vec<Source>, PlatformError> {
        let record = self.record(name)?;
        let files = self.paths.instance(name, &record.id);
        let tasks = self.store()?.records().tasks(name)?;
        let mut sources: Vec<Source> = tasks
            .iter()
            .filter(|task| only.is_none_or(|only| only == task.role.as_str() || only == task.name()))
            .map(|task| Source {
                task: task.name(),
                path: files.log(&task.name()),
            })
            .collect();
        if only == Some("supervisor") {
            sources.push(Source {
                task: "supervisor".into(),
                path: files.supervisor_log(),
            });
        }
        if sources.is_empty()
            && let Some(only) = only
        {
            let mut known: Vec<String> = record
                .plan
                .roles
                .iter()
                .map(|role| role.name.to_string())
                .collect();
            known.extend(tasks.iter().map(TaskRecord::name));
            known.push("supervisor".into());
            return Err(PlatformError::NoRole {
                instance: record.name,
                role: only.to_owned(),
                known,
            });
        }
        Ok(sources)
    }
}
