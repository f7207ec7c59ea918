//! What the commands do, one module for each.

pub(crate) mod describe;
pub(crate) mod doctor;
pub(crate) mod down;
pub(crate) mod logs;
pub(crate) mod ls;
pub(crate) mod plan;
pub(crate) mod reference;
pub(crate) mod run;
pub(crate) mod scale;
pub(crate) mod schema;
pub(crate) mod status;
pub(crate) mod supervise;
pub(crate) mod up;
