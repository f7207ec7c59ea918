//! The way to an API server: which one is meant, who we are there, one request and its answer, what changes.
//!
//! For the directory, and for the platform that runs instances in a cluster. Requests are tried again while that
//! helps, everything ends within a time, and errors name the permission that is missing.

mod connection;
mod resource;
mod settings;

use serde_json::Value;

pub(super) use self::resource::lease_name;
pub use self::{
    connection::{Answer, Connection, Form, Session},
    resource::{FIELD_MANAGER, Resource, Target, What},
    settings::{Settings, configuration},
};

/// What the API server keeps about an object for itself.
const KEPT_BY_SERVER: [&str; 6] = [
    "managedFields",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "uid",
    "selfLink",
];

/// What of an object somebody asked for: all but its status and what the API server keeps for itself. Two states of an
/// object are the same when this is.
#[must_use]
pub fn essence(object: &Value) -> Value {
    let mut object = object.clone();
    if let Value::Object(object) = &mut object {
        object.remove("status");
        if let Some(Value::Object(metadata)) = object.get_mut("metadata") {
            for key in KEPT_BY_SERVER {
                metadata.remove(key);
            }
        }
    }
    object
}
