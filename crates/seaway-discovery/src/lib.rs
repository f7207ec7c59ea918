//! Seaway's directories: the places where the endpoints of an instance are announced, so that clients find them.
//!
//! An [`Entry`] says what an instance is and where it is reached. A [`Directory`] keeps entries: a folder
//! ([`mod@file`]), lines on standard output ([`stdout`]), an HTTP server ([`http`]), a Kubernetes namespace
//! ([`kubernetes`]), Consul ([`consul`]), Redis ([`redis`]). An [`Announcer`] keeps one entry alive in several
//! directories at once and says how each of them is doing.
//!
//! What the crate promises:
//!
//! - **No stale address.** Where a directory can have leases, an entry that nobody renews ends by itself.
//! - **One owner.** A live entry of another owner is never overwritten and never removed; one's own entry, left
//!   behind by a crash, is taken over at once.
//! - **Nothing secret is told.** Tokens and passwords are read when they are needed and stand in no error, no log
//!   line and no `Debug` output.
//! - **Nothing hangs.** Every operation ends by itself, with an error that says why.

use std::path::PathBuf;

use seaway_model::discovery::DirectorySpec;

mod announcer;
mod clock;
pub mod consul;
mod directory;
mod entry;
mod error;
pub mod file;
pub mod http;
pub mod kubernetes;
pub mod redis;
mod retry;
mod route;
pub mod stdout;
pub mod variables;

pub use announcer::{
    Announcer, DirectoryCounts, DirectoryReport, DirectoryState, DirectoryStatus, Monitor, WithdrawFailure,
};
pub use consul::ConsulDirectory;
pub use directory::{Directory, LOOK_AGAIN};
pub use entry::{Entry, EntryError, Owner, OwnerError};
pub use error::{Error, Result, TlsProblem};
pub use file::FileDirectory;
pub use http::HttpDirectory;
pub use kubernetes::KubernetesDirectory;
pub use redis::RedisDirectory;
pub use stdout::StdoutDirectory;
pub use variables::Variables;

/// What a directory takes from its surroundings where its document says nothing.
#[derive(Debug, Clone, Default)]
pub struct Defaults {
    /// Seaway's state folder; the `file` directory lives in its `directory` folder.
    pub state_directory: PathBuf,
    /// The environment variables that each system's own tools know.
    pub variables: Variables,
}

/// Makes the directory that a document asks for.
///
/// Nothing is contacted, created or read here, and no TLS library is set up: the first operation does that, so that
/// who announces only on this machine pays for nothing else. What can be wrong with the document itself (a URL that
/// is none, a lease below a second, a token that would travel in the clear) is refused here.
pub fn open(spec: &DirectorySpec, defaults: &Defaults) -> Result<Box<dyn Directory>> {
    Ok(match spec {
        DirectorySpec::File(spec) => Box::new(FileDirectory::open(spec, defaults)?),
        DirectorySpec::Stdout(_) => Box::new(StdoutDirectory::new()),
        DirectorySpec::Http(spec) => Box::new(HttpDirectory::open(spec)?),
        DirectorySpec::Kubernetes(spec) => Box::new(KubernetesDirectory::open(spec, defaults)?),
        DirectorySpec::Consul(spec) => Box::new(ConsulDirectory::open(spec, defaults)?),
        DirectorySpec::Redis(spec) => Box::new(RedisDirectory::open(spec, defaults)?),
    })
}
