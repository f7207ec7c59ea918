//! Seaway's agent: what lives beside one task. It starts the task's process or watches one that exists, knows
//! when it is ready, announces its endpoints and withdraws them.
//!
//! `seaway run -- COMMAND` is this crate for one command ([`run`]); the local platform's supervisor uses its
//! parts for many.
//!
//! It promises: a process is never confused with another that got its id; the end of a process is noticed
//! whether it was started here or adopted; a probe never hangs past its timeout.

pub mod environment;
mod exit;
pub mod http;
pub mod identity;
pub mod probe;
pub mod process;
pub mod run;

pub use exit::Exit;
pub use identity::{ProcessIdentity, boot_id, host_name};
