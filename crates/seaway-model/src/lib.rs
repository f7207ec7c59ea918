//! Seaway's words: instance documents, quantities, names, plans, states and reasons.
//!
//! Nothing in this crate does I/O. It promises that a value which exists is valid: a [`Name`] is an RFC 1123
//! label, a [`Memory`] is an amount some machine can have.

pub mod discovery;
pub mod document;
mod endpoint;
pub mod name;
pub mod plan;
pub mod quantity;
pub mod status;

pub use document::{Document, DocumentError, DocumentErrors, Kind, Spec};
pub use endpoint::Endpoint;
pub use name::{Name, NameError};
pub use quantity::{Cpu, Memory, Period, QuantityError};
