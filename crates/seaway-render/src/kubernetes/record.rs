//! The inventory: what an instance is, and what it has, kept in the cluster itself.
//!
//! Whoever looks at a cluster finds the instance by it, whatever made the objects: `seaway up`, `kubectl apply` of
//! rendered manifests, or Helm.

use seaway_model::{Name, plan::Plan};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use thiserror::Error;

use super::{Object, Scope, object_name};

/// What the name of the inventory ends in, after the instance's.
pub const INVENTORY: &str = "seaway";

/// Why an inventory cannot be read.
#[derive(Debug, Error)]
pub enum InventoryError {
    /// A part of it is not there.
    #[error("`data.{0}` is not there")]
    Missing(&'static str),
    /// A part of it is not what it should be.
    #[error("`data.{part}`: {source}")]
    Invalid {
        /// The part.
        part: &'static str,
        /// Why.
        source: serde_json::Error,
    },
}

/// What identifies an object within its namespace.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ObjectReference {
    /// `apps/v1`.
    pub api_version: String,
    /// `Deployment`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// What an instance is, and what it has.
#[derive(Debug, Clone, PartialEq)]
pub struct Inventory {
    /// The document that it was made from.
    pub document: Value,
    /// The plan that it follows.
    pub plan: Plan,
    /// Its objects, in the order in which they were made.
    pub objects: Vec<ObjectReference>,
}

impl Inventory {
    /// The name of the ConfigMap of an instance.
    #[must_use]
    pub fn object_name(instance: &Name) -> String {
        object_name(instance, INVENTORY)
    }

    /// Reads the `data` of the ConfigMap.
    pub fn read(data: &Value) -> Result<Self, InventoryError> {
        fn part<T: for<'de> Deserialize<'de>>(data: &Value, part: &'static str) -> Result<T, InventoryError> {
            let text = data
                .get(part)
                .and_then(Value::as_str)
                .ok_or(InventoryError::Missing(part))?;
            serde_json::from_str(text).map_err(|source| InventoryError::Invalid { part, source })
        }
        Ok(Self {
            document: part(data, "document")?,
            plan: part(data, "plan")?,
            objects: part(data, "objects")?,
        })
    }
}

impl Scope<'_> {
    pub(super) fn inventory(&self, objects: &[Object]) -> Object {
        let references: Vec<ObjectReference> = objects
            .iter()
            .map(|object| ObjectReference {
                api_version: object.api_version.to_owned(),
                kind: object.kind.to_owned(),
                name: object.name.clone(),
            })
            .collect();
        let data = json!({
            "document": self.setting.document.to_string(),
            "plan": json!(self.plan).to_string(),
            "objects": json!(references).to_string(),
        });
        let name = Inventory::object_name(&self.plan.instance);
        self.object(("v1", "ConfigMap"), name, None, json!({"data": data}))
    }
}
