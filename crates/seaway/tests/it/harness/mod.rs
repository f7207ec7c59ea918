//! What the tests share: a home of their own with everything cleaned up at its end, the binary, the Python
//! environment that Seaway made, and looking until something is so.

mod command;
mod fake;
mod home;
mod http;
pub(crate) mod kubernetes;
mod network;
pub(crate) mod processes;
mod python;
mod reaper;
pub(crate) mod services;
mod snapshots;

use std::{
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rand::{SeedableRng, rngs::StdRng};

pub(crate) use self::{
    command::{Invocation, Output, Running},
    fake::{Fake, folder_with_programs},
    home::{Heavy, Home, Status},
    http::{Store, get, is_free},
    network::Network,
    python::{Conversation, python, script},
    snapshots::{filters, without_numbers},
};

/// The random choices of a test, printed so that they can be made again.
pub(crate) fn dice() -> StdRng {
    let seed = std::env::var("SEAWAY_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(rand::random);
    eprintln!("the same again: SEAWAY_TEST_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// Time in which anything here happens on a slow machine; what takes longer hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// Time between two looks.
const PAUSE: Duration = Duration::from_millis(30);

/// Looks until there is something to see, at most `within`; says why there was nothing at the last look.
pub(crate) fn until<T>(within: Duration, mut look: impl FnMut() -> Result<T, String>) -> Result<T, String> {
    let deadline = Instant::now() + within;
    loop {
        match look() {
            Ok(seen) => return Ok(seen),
            Err(why) if Instant::now() > deadline => return Err(format!("not within {within:?}: {why}")),
            Err(_) => thread::sleep(PAUSE),
        }
    }
}

/// The folder for what the tests make: below the target folder, so that `cargo clean` removes it.
pub(crate) fn scratch() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// `XDG_CACHE_HOME` of all tests: the Python environment in it is made once for each target folder.
pub(crate) fn cache() -> PathBuf {
    scratch().join("cache")
}
