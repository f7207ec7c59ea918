//! The JSON Schema of instance documents, for editors and for the API server.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, json_schema};
use serde_json::json;

use super::{API_VERSION, DaskSpec, Document, Kind, Metadata};

/// The JSON Schema (draft 2020-12) of an instance document.
#[must_use]
pub fn schema() -> serde_json::Value {
    SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<Document>()
        .to_value()
}

impl JsonSchema for Document {
    fn schema_name() -> Cow<'static, str> {
        "Instance".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        // `if`/`then` and not `oneOf`: an editor then complains about the one key that is wrong, not about all kinds.
        let rules: Vec<_> = Kind::ALL
            .iter()
            .map(|kind| {
                let spec = match kind {
                    Kind::Dask => generator.subschema_for::<DaskSpec>(),
                };
                json!({
                    "if": { "required": ["kind"], "properties": { "kind": { "const": kind.as_str() } } },
                    "then": { "properties": { "spec": spec } }
                })
            })
            .collect();
        let kinds: Vec<_> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        json_schema!({
            "description": "One instance of an engine.",
            "type": "object",
            "required": ["apiVersion", "kind", "metadata"],
            "additionalProperties": false,
            "properties": {
                "apiVersion": { "description": "The version of this form of document.", "const": API_VERSION },
                "kind": { "description": "The engine.", "type": "string", "enum": kinds },
                "metadata": generator.subschema_for::<Metadata>(),
                "spec": { "description": "What the instance is made of; everything has a default.", "type": "object" }
            },
            "allOf": rules
        })
    }
}
