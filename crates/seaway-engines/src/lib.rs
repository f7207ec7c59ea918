//! Seaway's engines: an instance document in, a plan out.
//!
//! An engine starts nothing and asks nobody: [`plan`] is a pure function. What only a platform knows stands in the
//! plan as references (see [`seaway_model::plan`]). One module for each engine.

pub mod dask;

use seaway_model::{
    Document, Spec,
    plan::{Plan, PlanError, TemplateError},
};
use thiserror::Error;

/// Why a document has no plan.
#[derive(Debug, Error)]
pub enum EngineError {
    /// A text that should hold references does not; a defect of the engine.
    #[error("the plan is broken: {0}")]
    Template(#[from] TemplateError),
    /// The plan does not hold together; a defect of the engine.
    #[error("the plan is broken: {0}")]
    Plan(#[from] PlanError),
}

/// What the instance of a document consists of.
pub fn plan(document: &Document) -> Result<Plan, EngineError> {
    let plan = match &document.spec {
        Spec::Dask(spec) => dask::plan(&document.metadata, spec)?,
    };
    plan.validate()?;
    Ok(plan)
}
