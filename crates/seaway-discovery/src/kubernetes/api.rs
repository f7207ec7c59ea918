//! The way to an API server: which one is meant, who we are there, one request and its answer, what changes.
//!
//! For the directory, and for the platform that runs instances in a cluster. Requests are tried again while that
//! helps, everything ends within a time, and errors name the permission that is missing.

mod connection;
mod resource;
mod settings;

pub(super) use self::resource::lease_name;
pub use self::{
    connection::{Answer, Connection, Form, Session},
    resource::{FIELD_MANAGER, Resource, Target, What},
    settings::{Settings, configuration},
};
