//! Seaway as its users have it: the real binary, with a real Dask from PyPI.
//!
//! One test binary, because linking takes longer than most of the tests. The Python environment is made by Seaway
//! itself, once for each target folder. Each test has a home of its own (see [`harness`]), and fails when something
//! is left in it.

#![cfg(target_os = "linux")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "Clippy takes the helpers of integration tests for production code"
)]

mod agent;
mod announced;
mod arkouda_flags;
mod arl;
mod attached;
mod cluster;
mod commands;
mod directory;
mod discovery;
mod documents;
mod faults;
mod harness;
mod helm;
mod input;
mod kills;
mod kubernetes;
mod many;
mod pods;
mod reasons;
mod register;
mod render;
mod scale;
mod secrets;
mod setup;
mod wait;
