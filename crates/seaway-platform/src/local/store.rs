//! What is wanted and what was last seen, in SQLite.
//!
//! Commands write what is wanted; the supervisor of an instance writes what it sees. Nobody else writes either,
//! and every write is one transaction, so that any number of commands and supervisors can work at once and each
//! of them can be killed at any moment. The write-ahead log is used, so that readers never wait.

mod open;
mod record;
mod row;
mod tables;

use rusqlite::{Connection, Transaction, TransactionBehavior};
use thiserror::Error;

pub use self::{
    record::{InstanceRecord, PortRecord, ScaleRecord, TaskRecord, TaskTarget},
    tables::Records,
};

/// Why the store could not be used.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The file cannot be opened.
    #[error("the store `{path}` cannot be opened: {source}")]
    Open {
        /// The file.
        path: String,
        /// Why.
        source: rusqlite::Error,
    },
    /// Another Seaway, newer than this one, made the store.
    #[error("the store `{path}` was made by a newer Seaway (format {found}; this one knows {known})")]
    Newer {
        /// The file.
        path: String,
        /// Its format.
        found: i64,
        /// The newest format known here.
        known: i64,
    },
    /// The disk is full.
    #[error("the store cannot be written: the disk is full")]
    DiskFull,
    /// Any other failure of the database.
    #[error("the store failed: {0}")]
    Database(rusqlite::Error),
    /// Something in the store is not what this Seaway writes.
    #[error("the store holds a broken {what}: {source}")]
    Content {
        /// What is broken.
        what: &'static str,
        /// How.
        source: serde_json::Error,
    },
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::DiskFull,
            _ => Self::Database(error),
        }
    }
}

impl StoreError {
    fn is_busy(&self) -> bool {
        let (Self::Open { source, .. } | Self::Database(source)) = self else {
            return false;
        };
        source.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseBusy)
    }
}

/// The store.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
}

impl Store {
    fn begin(&mut self) -> Result<Transaction<'_>, StoreError> {
        Ok(self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?)
    }

    /// Runs `work` in one transaction that nobody else writes during. It is undone when `work` fails.
    pub fn transaction<T, E: From<StoreError>>(
        &mut self,
        work: impl FnOnce(Records<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let transaction = self.begin()?;
        let result = work(Records(&transaction))?;
        transaction.commit().map_err(StoreError::from)?;
        Ok(result)
    }

    /// The records, for reading and for single writes.
    #[must_use]
    pub const fn records(&self) -> Records<'_> {
        Records(&self.connection)
    }

    /// A number that is different whenever another connection has changed the store.
    pub fn version(&self) -> Result<i64, StoreError> {
        Ok(self
            .connection
            .query_row("PRAGMA data_version", [], |row| row.get(0))?)
    }
}
