//! Seaway's life-cycle: documents up and down on a platform, and how they are.
//!
//! Everything here is level-triggered: it says what should be, looks at what is, and can be interrupted and begun
//! again at any point.

mod activity;
mod status;

use std::{path::Path, time::Duration};

use seaway_engines::EngineError;
use seaway_model::{
    Document, Name,
    plan::Plan,
    status::{InstanceStatus, State},
};
use seaway_platform::{Applied, Platform, PlatformError};
use thiserror::Error;

pub use self::{
    activity::{Activity, activity},
    status::status,
};

/// Why a document could not be brought up or down.
#[derive(Debug, Error)]
pub enum LifecycleError {
    /// The engine has no plan for it.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The platform could not do it.
    #[error(transparent)]
    Platform(#[from] PlatformError),
    /// The document cannot be stored.
    #[error("the document cannot be written as JSON: {0}")]
    Document(#[from] serde_json::Error),
}

/// Makes a document ready for a platform: relative paths are those of the folder that the document is in, and on the
/// user's machine a notebook without a directory of its own shows the folder that the user is in.
#[must_use]
pub fn place(
    document: &Document,
    base: &Path,
    working_directory: Option<&Path>,
    home: Option<&Path>,
) -> Document {
    let mut placed = document.clone();
    placed.for_each_path(&mut |path| {
        let expanded = match (path.strip_prefix("~"), home) {
            (Ok(rest), Some(home)) => home.join(rest),
            _ => path.clone(),
        };
        *path = if expanded.is_absolute() {
            expanded
        } else {
            base.join(expanded)
        };
    });
    if let Some(directory) = working_directory {
        placed.set_default_notebook_directory(directory);
    }
    placed
}

/// The plan of a document, checked by the platform. Nothing is started.
pub fn plan(platform: &dyn Platform, document: &Document) -> Result<Plan, LifecycleError> {
    let plan = seaway_engines::plan(document)?;
    platform.check(&plan)?;
    Ok(plan)
}

/// Brings several documents up. All of them are planned and checked before the first one starts.
pub async fn up(
    platform: &dyn Platform,
    documents: &[Document],
) -> Result<Vec<(Name, Applied)>, LifecycleError> {
    let plans = documents
        .iter()
        .map(|document| Ok((serde_json::to_value(document)?, plan(platform, document)?)))
        .collect::<Result<Vec<_>, LifecycleError>>()?;
    let mut applied: Vec<(Name, Applied)> = Vec::new();
    for (document, plan) in &plans {
        match platform.apply(document, plan).await {
            Ok(outcome) => applied.push((plan.instance.clone(), outcome)),
            Err(error) => {
                // Documents of one file come up together or not at all.
                for (name, _) in applied.iter().filter(|(_, outcome)| *outcome == Applied::Created) {
                    platform.remove(name.as_str(), true).await?;
                }
                return Err(error.into());
            }
        }
    }
    Ok(applied)
}

/// How an instance is; `None` when there is none.
pub async fn observe(platform: &dyn Platform, name: &str) -> Result<Option<InstanceStatus>, LifecycleError> {
    Ok(platform
        .observe(name)
        .await?
        .map(|observation| status(platform.kind(), &observation)))
}

/// How those of the instances are that there are.
pub async fn observe_some(
    platform: &dyn Platform,
    names: &[Name],
) -> Result<Vec<InstanceStatus>, LifecycleError> {
    let mut all = Vec::new();
    for name in names {
        if let Some(status) = observe(platform, name.as_str()).await? {
            all.push(status);
        }
    }
    Ok(all)
}

/// How all instances are, by name.
pub async fn observe_all(platform: &dyn Platform) -> Result<Vec<InstanceStatus>, LifecycleError> {
    observe_some(platform, &platform.list().await?).await
}

/// Waits until none of the instances is observed any more; `look` is told how they are whenever that may have
/// changed.
pub async fn wait_until_gone(
    platform: &dyn Platform,
    names: &[Name],
    look: &mut dyn FnMut(&[InstanceStatus]),
) -> Result<(), LifecycleError> {
    loop {
        let left = observe_some(platform, names).await?;
        look(&left);
        if left.is_empty() {
            return Ok(());
        }
        platform.changed(Duration::from_secs(1)).await?;
    }
}

/// Waits until each instance is ready, or one of them failed or is gone; `look` is told how they are whenever that
/// may have changed.
pub async fn wait_until_settled(
    platform: &dyn Platform,
    names: &[Name],
    look: &mut dyn FnMut(&[InstanceStatus]),
) -> Result<Vec<InstanceStatus>, LifecycleError> {
    loop {
        let mut all = Vec::new();
        // What is seen of an earlier document says nothing of how the new one goes.
        let mut followed = true;
        for name in names {
            if let Some(observation) = platform.observe(name.as_str()).await? {
                followed &= observation.followed;
                all.push(status(platform.kind(), &observation));
            }
        }
        let failed = |status: &InstanceStatus| matches!(status.state, State::Failed | State::Stopped);
        let settled = all.len() < names.len()
            || all.iter().any(failed)
            || all.iter().all(|status| status.state == State::Ready);
        if followed || !settled {
            look(&all);
        }
        if followed && settled {
            return Ok(all);
        }
        platform.changed(Duration::from_secs(1)).await?;
    }
}
