//! `seaway schema`: JSON Schemas of what people write and programs read.

use seaway_model::{document, plan::Plan, status::InstanceStatus};

use crate::{
    cli::{SchemaArguments, SchemaKind},
    failure::Outcome,
    output,
};

pub(crate) fn run(arguments: &SchemaArguments) -> Outcome {
    output::print(&serde_json::to_string_pretty(&of(arguments.of)?)?)?;
    Ok(0)
}

/// A schema as JSON.
pub(crate) fn of(kind: SchemaKind) -> Result<serde_json::Value, serde_json::Error> {
    match kind {
        SchemaKind::Document => Ok(document::schema()),
        SchemaKind::Status => serde_json::to_value(schemars::schema_for!(InstanceStatus)),
        SchemaKind::Plan => serde_json::to_value(schemars::schema_for!(Plan)),
    }
}
