//! What the commands do, one module for each.

pub(crate) mod agent;
pub(crate) mod describe;
pub(crate) mod discovery;
pub(crate) mod doctor;
pub(crate) mod down;
pub(crate) mod exec;
pub(crate) mod logs;
pub(crate) mod ls;
pub(crate) mod plan;
pub(crate) mod port_forward;
pub(crate) mod rbac;
pub(crate) mod reference;
pub(crate) mod register;
pub(crate) mod render;
pub(crate) mod run;
pub(crate) mod scale;
pub(crate) mod schema;
pub(crate) mod setup;
pub(crate) mod status;
pub(crate) mod supervise;
pub(crate) mod up;
pub(crate) mod wait;
