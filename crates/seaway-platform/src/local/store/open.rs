//! Opening the store, and making it when there is none.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use rusqlite::Connection;

use super::{Store, StoreError};

/// Long enough for any transaction here; who waits longer for another writer has met a stopped process.
const PATIENCE: Duration = Duration::from_secs(10);

/// Format of the store; grows with each change of the tables.
const FORMAT: i64 = 1;

const TABLES: &str = "
CREATE TABLE instances (
    name TEXT PRIMARY KEY, id TEXT NOT NULL, document TEXT NOT NULL, plan TEXT NOT NULL,
    generation INTEGER NOT NULL, target TEXT NOT NULL, created INTEGER NOT NULL, host TEXT NOT NULL, boot TEXT NOT NULL,
    supervisor_pid INTEGER, supervisor_started TEXT,
    was_ready INTEGER NOT NULL DEFAULT 0, preparing TEXT, blocked TEXT, followed INTEGER NOT NULL DEFAULT 0,
    notes TEXT NOT NULL DEFAULT '[]', announcements TEXT NOT NULL DEFAULT '[]'
) STRICT;
CREATE TABLE scales (
    instance TEXT NOT NULL REFERENCES instances (name) ON DELETE CASCADE,
    role TEXT NOT NULL, desired INTEGER NOT NULL, forced INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (instance, role)
) STRICT, WITHOUT ROWID;
CREATE TABLE tasks (
    instance TEXT NOT NULL REFERENCES instances (name) ON DELETE CASCADE,
    role TEXT NOT NULL, idx INTEGER NOT NULL, target TEXT NOT NULL,
    start_id TEXT, pid INTEGER, started TEXT, revision TEXT, cgroup TEXT, memory_keeper TEXT NOT NULL,
    state TEXT NOT NULL, reason TEXT NOT NULL, since INTEGER NOT NULL, restarts INTEGER NOT NULL,
    last_exit TEXT, last_log TEXT NOT NULL,
    PRIMARY KEY (instance, role, idx)
) STRICT, WITHOUT ROWID;
CREATE TABLE ports (
    port INTEGER PRIMARY KEY, host TEXT NOT NULL, name TEXT NOT NULL,
    instance TEXT NOT NULL REFERENCES instances (name) ON DELETE CASCADE,
    role TEXT NOT NULL, idx INTEGER NOT NULL
) STRICT;
CREATE INDEX ports_of_task ON ports (instance, role, idx);
";

impl Store {
    /// Opens the store, and makes it when there is none. The file is for the user alone.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        // SQLite waits for others by itself, but not while two change the mode of a new file: there it gives up at
        // once, lest both wait for each other.
        let deadline = Instant::now() + PATIENCE;
        loop {
            match Self::try_open(path) {
                Err(error) if error.is_busy() && Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                result => return result,
            }
        }
    }

    fn try_open(path: &Path) -> Result<Self, StoreError> {
        let shown = || path.display().to_string();
        let open = |source| StoreError::Open {
            path: shown(),
            source,
        };
        let connection = Connection::open(path).map_err(open)?;
        connection.busy_timeout(PATIENCE).map_err(open)?;
        // A small cache: every supervisor has a connection, and the store is tiny.
        connection
            .execute_batch("PRAGMA foreign_keys = ON; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -256;")
            .map_err(open)?;
        let format: i64 = connection
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .map_err(open)?;
        let mut store = Self { connection };
        match format {
            FORMAT => {}
            0 => store.create(path)?,
            newer => {
                return Err(StoreError::Newer {
                    path: shown(),
                    found: newer,
                    known: FORMAT,
                });
            }
        }
        Ok(store)
    }

    fn create(&mut self, path: &Path) -> Result<(), StoreError> {
        use std::os::unix::fs::PermissionsExt;
        // The folder above is private already; this is for those who move the file.
        let _ = std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600));
        self.connection
            .query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))?;
        let transaction = self.begin()?;
        let format: i64 = transaction.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if format == 0 {
            transaction.execute_batch(TABLES)?;
            transaction.pragma_update(None, "user_version", FORMAT)?;
        }
        transaction.commit()?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_first_commands_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16)
                .map(|_| scope.spawn(|| Store::open(&path).map(drop)))
                .collect();
            for thread in threads {
                thread.join().unwrap().unwrap();
            }
        });
        assert!(
            Store::open(&path)
                .unwrap()
                .records()
                .instances()
                .unwrap()
                .is_empty()
        );
    }

    #[test]
    fn a_store_of_a_newer_seaway_is_left_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        Connection::open(&path)
            .unwrap()
            .pragma_update(None, "user_version", 99)
            .unwrap();
        let message = Store::open(&path).unwrap_err().to_string();
        assert!(
            message.contains("newer Seaway (format 99; this one knows 1)"),
            "{message}"
        );
    }

    #[test]
    fn what_is_no_database_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state.db");
        std::fs::write(
            &path,
            "this is a text, and long enough to be read as a header of something",
        )
        .unwrap();
        assert!(
            Store::open(&path)
                .unwrap_err()
                .to_string()
                .contains("cannot be opened")
        );
    }
}
