//! The one trait every directory has.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use async_trait::async_trait;
use seaway_model::Name;

use crate::{Entry, Error, Result};

/// How long who waits for a change in a directory waits at most before looking anyway, lest a lost message be lost for
/// good.
pub const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// A place where entries are announced.
///
/// # Contract
///
/// Every implementation keeps it, and `tests/conformance.rs` asks every one that can be read:
///
/// - An entry is known by its name; there is at most one of a name.
/// - An entry is *live* until its lease has run out ([`Entry::is_expired`]); one without a lease is always live.
///   The directory itself writes its lease and the time of renewal into what it stores
///   ([`Entry::with_lease`]); what the caller's entry says about them does not matter.
/// - Nothing of another owner's live entry is ever changed, and of two owners who register at once one wins.
/// - Operations may be cancelled (dropped) at any await point. What was under way is then done or not done, never
///   half done.
/// - Every operation ends by itself within a bounded time.
/// - No secret is in `Debug`, in [`describe`](Self::describe), in an error or in a log line.
#[async_trait]
pub trait Directory: fmt::Debug + Send + Sync {
    /// The kind of directory: `file`, `stdout`, `http`, `kubernetes`, `consul`, `redis`.
    fn kind(&self) -> &'static str;

    /// Where it is, in words for people and without secrets.
    fn describe(&self) -> String;

    /// How long an entry is believed without being renewed; `None` where entries do not expire and need no renewal.
    fn lease(&self) -> Option<Duration>;

    /// Puts the entry in.
    ///
    /// Doing it again changes nothing but the lease. An entry of the same owner and an expired one are taken over
    /// at once; a live one of another owner is left alone and refused with [`Error::Held`], which names the owner.
    async fn register(&self, entry: &Entry) -> Result<()>;

    /// Says that the entry is still alive, and writes it as it is now.
    ///
    /// An entry that the directory has lost is put in again; one that another owner holds by now is refused with
    /// [`Error::Held`].
    async fn renew(&self, entry: &Entry) -> Result<()>;

    /// Takes the entry out.
    ///
    /// Only an entry of the same owner is removed; when there is none, or it is another's, there is nothing left
    /// to do and that is success.
    async fn withdraw(&self, entry: &Entry) -> Result<()>;

    /// Every entry there is, live or expired, by name. What is not an entry is left out and reported as a warning.
    async fn list(&self) -> Result<Vec<Entry>> {
        Err(Error::Unsupported {
            directory: self.kind(),
            what: "list its entries",
        })
    }

    /// The entry of this name, live or expired; `None` when there is none. What stands there but cannot be read as
    /// an entry is an error.
    async fn get(&self, name: &Name) -> Result<Option<Entry>> {
        let _ = name;
        Err(Error::Unsupported {
            directory: self.kind(),
            what: "be asked for an entry",
        })
    }

    /// This machine's address as those see it who find entries here: that of the route towards the directory. Loopback
    /// where the directory is on this machine.
    async fn own_address(&self) -> Result<IpAddr> {
        Ok(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    /// Returns when [`list`](Self::list) and [`get`](Self::get) may answer otherwise than before, at the latest after
    /// [`LOOK_AGAIN`]; may return early. That a lease runs out is no change.
    async fn changed(&self) -> Result<()> {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(())
    }

    /// Removes the entries whose lease has run out and returns them. Live entries, entries without a lease and what
    /// cannot be read as an entry stay.
    async fn remove_expired(&self) -> Result<Vec<Entry>> {
        Err(Error::Unsupported {
            directory: self.kind(),
            what: "remove expired entries",
        })
    }
}
