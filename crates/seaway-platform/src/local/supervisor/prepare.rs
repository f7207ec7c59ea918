//! Making what tasks need besides themselves: their Python environments.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf};

use seaway_model::{Name, plan::PythonEnvironment};
use tokio::sync::mpsc;

use super::{Event, Supervisor};
use crate::local::python::{self, Prepared};

impl Supervisor {
    /// Begins to prepare what tasks need besides themselves; whether that is done.
    pub(super) fn prepare(&mut self) -> bool {
        if self.prepared.is_some() {
            return true;
        }
        if self.preparation.is_none() && self.record.blocked.is_none() {
            let environments = self.plan().environments.clone();
            if environments.is_empty() {
                self.prepared = Some(BTreeMap::new());
                return true;
            }
            self.set_preparing(Some("looks for its Python environment".to_owned()));
            let (cache, variables, events) =
                (self.cache.clone(), self.environment.clone(), self.events.clone());
            let marks = self.marks();
            self.preparation = Some(tokio::spawn(async move {
                let result = prepare_all(environments, cache, variables, marks, &events).await;
                let _ = events.send(Event::Prepared(result));
            }));
        }
        false
    }

    /// The marks that make every process of the instance findable.
    fn marks(&self) -> BTreeMap<OsString, OsString> {
        use seaway_agent::environment;
        BTreeMap::from([
            (environment::INSTANCE_ID.into(), self.record.id.clone().into()),
            (environment::INSTANCE.into(), self.record.name.to_string().into()),
            (environment::START_ID.into(), "preparation".into()),
        ])
    }

    pub(super) fn cancel_preparation(&mut self) {
        if let Some(preparation) = self.preparation.take() {
            preparation.abort();
        }
        self.set_preparing(None);
    }

    pub(super) fn set_preparing(&mut self, what: Option<String>) {
        if self.record.preparing != what {
            self.record.preparing = what;
            self.record_changed = true;
        }
    }
}

async fn prepare_all(
    environments: BTreeMap<Name, PythonEnvironment>,
    cache: PathBuf,
    variables: BTreeMap<OsString, OsString>,
    marks: BTreeMap<OsString, OsString>,
    events: &mpsc::UnboundedSender<Event>,
) -> Result<BTreeMap<Name, Prepared>, String> {
    let mut prepared = BTreeMap::new();
    for (name, environment) in environments {
        let progress = |line: &str| {
            let _ = events.send(Event::Preparing(line.to_owned()));
        };
        let mut variables = variables.clone();
        variables.extend(marks.clone());
        let request = python::Request {
            cache: cache.clone(),
            variables,
            progress: &progress,
        };
        let made = python::prepare(&environment, &request)
            .await
            .map_err(|error| match error.hint() {
                Some(hint) => format!("{error}; {hint}"),
                None => error.to_string(),
            })?;
        prepared.insert(name, made);
    }
    Ok(prepared)
}
