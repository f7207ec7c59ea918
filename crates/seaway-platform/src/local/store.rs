//! What is wanted and what was last seen, in SQLite.
//!
//! Commands write what is wanted; the supervisor of an instance writes what it sees. Nobody else writes either,
//! and every write is one transaction, so that any number of commands and supervisors can work at once and each
//! of them can be killed at any moment. The write-ahead log is used, so that readers never wait.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Transaction, TransactionBehavior, params};
use seaway_agent::ProcessIdentity;
use seaway_model::{
    Name,
    plan::Plan,
    status::{AnnouncementStatus, MemoryKeeper, Target, TaskState},
};
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

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

/// Long enough for any transaction here; who waits longer for another writer has met a stopped process.
const PATIENCE: Duration = Duration::from_secs(10);

/// What is wanted of one task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskTarget {
    /// It should run.
    Run,
    /// It should go once it holds nothing.
    Retire,
    /// It should go now.
    Remove,
}

impl TaskTarget {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Run => "run",
            Self::Retire => "retire",
            Self::Remove => "remove",
        }
    }

    fn parse(text: &str) -> Self {
        match text {
            "retire" => Self::Retire,
            "remove" => Self::Remove,
            _ => Self::Run,
        }
    }
}

/// An instance as the store has it.
#[derive(Debug, Clone)]
pub struct InstanceRecord {
    /// Its name.
    pub name: Name,
    /// Random id of this incarnation.
    pub id: String,
    /// The document it was made from, as JSON.
    pub document: serde_json::Value,
    /// The plan made from that.
    pub plan: Plan,
    /// Grows with every change of the plan or of the wanted numbers.
    pub generation: i64,
    /// What is wanted.
    pub target: Target,
    /// When it was brought up.
    pub created: Timestamp,
    /// The machine that its processes run on.
    pub host: String,
    /// The boot of the machine in which its processes run.
    pub boot: String,
    /// Its supervisor.
    pub supervisor: Option<ProcessIdentity>,
    /// Whether it has been ready once.
    pub was_ready: bool,
    /// What is being done before the first task can start.
    pub preparing: Option<String>,
    /// Why nothing can start.
    pub blocked: Option<String>,
    /// The generation that the supervisor has seen and acted upon. What it wrote is about this one.
    pub followed: i64,
    /// Things to know.
    pub notes: Vec<String>,
    /// Where it is announced.
    pub announcements: Vec<AnnouncementStatus>,
}

/// How many tasks of a role are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScaleRecord {
    /// The role.
    pub role: Name,
    /// The number.
    pub desired: u32,
    /// Whether tasks may be stopped although they hold work or data.
    pub forced: bool,
}

/// A task as the store has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRecord {
    /// Its role.
    pub role: Name,
    /// Its index within the role.
    pub index: u32,
    /// What is wanted.
    pub target: TaskTarget,
    /// Random id of its last start; written before the process exists.
    pub start_id: Option<String>,
    /// Its process; written after the process exists.
    pub process: Option<ProcessIdentity>,
    /// Digest of what it was started with.
    pub revision: Option<String>,
    /// Its control group.
    pub cgroup: Option<String>,
    /// Who keeps its memory limit.
    pub memory_keeper: MemoryKeeper,
    /// How it is.
    pub state: TaskState,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
    /// How often it was started again.
    pub restarts: u32,
    /// How its last process ended.
    pub last_exit: Option<String>,
    /// The last lines of its last process.
    pub last_log: Vec<String>,
}

impl TaskRecord {
    /// A task that was never started.
    #[must_use]
    pub fn new(role: Name, index: u32) -> Self {
        Self {
            role,
            index,
            target: TaskTarget::Run,
            start_id: None,
            process: None,
            revision: None,
            cgroup: None,
            memory_keeper: MemoryKeeper::Nobody,
            state: TaskState::Waiting,
            reason: "waits for its supervisor".into(),
            since: Timestamp::now(),
            restarts: 0,
            last_exit: None,
            last_log: Vec::new(),
        }
    }

    /// The task's name: `worker-0`.
    #[must_use]
    pub fn name(&self) -> String {
        format!("{}-{}", self.role, self.index)
    }
}

/// A port that belongs to a task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRecord {
    /// The task's role.
    pub role: Name,
    /// The task's index.
    pub index: u32,
    /// The port's name.
    pub name: Name,
    /// The address it binds.
    pub host: String,
    /// Its number.
    pub port: u16,
}

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

/// The store.
#[derive(Debug)]
pub struct Store {
    connection: Connection,
}

fn json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|source| StoreError::Content {
        what: "value",
        source,
    })
}

fn from_json<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|source| StoreError::Content { what, source })
}

/// A word of an enumeration, stored as serde writes it.
fn word<T: Serialize>(value: &T) -> Result<String, StoreError> {
    Ok(json(value)?.trim_matches('"').to_owned())
}

fn from_word<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, StoreError> {
    from_json(what, &format!("\"{text}\""))
}

fn timestamp(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn identity(pid: Option<i32>, started: Option<String>) -> Option<ProcessIdentity> {
    Some(ProcessIdentity {
        pid: pid?,
        started: started?,
    })
}

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

/// The store's tables.
#[derive(Debug, Clone, Copy)]
pub struct Records<'a>(&'a Connection);

impl Records<'_> {
    fn run(self, sql: &str, parameters: impl rusqlite::Params) -> Result<usize, StoreError> {
        Ok(self.0.prepare_cached(sql)?.execute(parameters)?)
    }

    fn all<T>(
        self,
        sql: &str,
        parameters: impl rusqlite::Params,
        read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = self.0.prepare_cached(sql)?;
        let mut rows = statement.query(parameters)?;
        let mut found = Vec::new();
        while let Some(row) = rows.next()? {
            found.push(read(row)?);
        }
        Ok(found)
    }

    /// All instances, by name.
    pub fn instances(self) -> Result<Vec<InstanceRecord>, StoreError> {
        self.all("SELECT * FROM instances ORDER BY name", [], read_instance)
    }

    /// One instance.
    pub fn instance(self, name: &str) -> Result<Option<InstanceRecord>, StoreError> {
        Ok(self
            .all("SELECT * FROM instances WHERE name = ?1", [name], read_instance)?
            .pop())
    }

    /// Generation and target of an instance, without the rest; `None` when it is gone or is another incarnation.
    pub fn wanted(self, name: &str, id: &str) -> Result<Option<(i64, Target)>, StoreError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT generation, target FROM instances WHERE name = ?1 AND id = ?2")?;
        let found: Option<(i64, String)> = statement
            .query_row([name, id], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        found
            .map(|(generation, target)| Ok((generation, from_word("target", &target)?)))
            .transpose()
    }

    /// Adds an instance.
    pub fn insert_instance(self, record: &InstanceRecord) -> Result<(), StoreError> {
        self.run(
            "INSERT INTO instances (name, id, document, plan, generation, target, created, host, boot)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                record.name.as_str(),
                record.id,
                json(&record.document)?,
                json(&record.plan)?,
                record.generation,
                word(&record.target)?,
                record.created.as_millisecond(),
                record.host,
                record.boot
            ],
        )?;
        Ok(())
    }

    /// Replaces the document and the plan.
    pub fn change_plan(
        self,
        name: &str,
        document: &serde_json::Value,
        plan: &Plan,
    ) -> Result<(), StoreError> {
        self.run(
            "UPDATE instances SET document = ?2, plan = ?3, generation = generation + 1, blocked = NULL
             WHERE name = ?1",
            params![name, json(document)?, json(plan)?],
        )?;
        Ok(())
    }

    /// Changes what is wanted of an instance.
    pub fn set_target(self, name: &str, target: Target) -> Result<(), StoreError> {
        self.run(
            "UPDATE instances SET target = ?2, generation = generation + 1 WHERE name = ?1",
            params![name, word(&target)?],
        )?;
        Ok(())
    }

    /// Notes who supervises an instance.
    pub fn set_supervisor(self, name: &str, supervisor: &ProcessIdentity) -> Result<(), StoreError> {
        self.run(
            "UPDATE instances SET supervisor_pid = ?2, supervisor_started = ?3 WHERE name = ?1",
            params![name, supervisor.pid, supervisor.started],
        )?;
        Ok(())
    }

    /// Notes what the supervisor sees of the instance as a whole.
    pub fn set_observed(self, record: &InstanceRecord) -> Result<(), StoreError> {
        self.run(
            "UPDATE instances SET was_ready = ?2, preparing = ?3, blocked = ?4, notes = ?5, announcements = ?6,
                 followed = ?7
             WHERE name = ?1",
            params![
                record.name.as_str(),
                record.was_ready,
                record.preparing,
                record.blocked,
                json(&record.notes)?,
                json(&record.announcements)?,
                record.followed
            ],
        )?;
        Ok(())
    }

    /// Removes an instance and all that belongs to it.
    pub fn remove_instance(self, name: &str, id: &str) -> Result<(), StoreError> {
        self.run("DELETE FROM instances WHERE name = ?1 AND id = ?2", [name, id])?;
        Ok(())
    }

    /// The wanted numbers of tasks.
    pub fn scales(self, instance: &str) -> Result<Vec<ScaleRecord>, StoreError> {
        self.all(
            "SELECT role, desired, forced FROM scales WHERE instance = ?1",
            [instance],
            |row| {
                Ok(ScaleRecord {
                    role: name_at(row, 0)?,
                    desired: row.get(1)?,
                    forced: row.get(2)?,
                })
            },
        )
    }

    /// Sets the wanted number of tasks of a role.
    pub fn set_scale(self, instance: &str, scale: &ScaleRecord) -> Result<(), StoreError> {
        self.run(
            "INSERT INTO scales (instance, role, desired, forced) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT DO UPDATE SET desired = ?3, forced = ?4",
            params![instance, scale.role.as_str(), scale.desired, scale.forced],
        )?;
        self.run(
            "UPDATE instances SET generation = generation + 1 WHERE name = ?1",
            [instance],
        )?;
        Ok(())
    }

    /// Removes the wanted number of a role that the plan does not have any more.
    pub fn remove_scale(self, instance: &str, role: &str) -> Result<(), StoreError> {
        self.run(
            "DELETE FROM scales WHERE instance = ?1 AND role = ?2",
            [instance, role],
        )?;
        Ok(())
    }

    /// The tasks of an instance.
    pub fn tasks(self, instance: &str) -> Result<Vec<TaskRecord>, StoreError> {
        self.all(
            "SELECT * FROM tasks WHERE instance = ?1 ORDER BY role, idx",
            [instance],
            read_task,
        )
    }

    /// Writes a task, whether it is there or not.
    pub fn put_task(self, instance: &str, task: &TaskRecord) -> Result<(), StoreError> {
        self.run(
            "INSERT OR REPLACE INTO tasks (instance, role, idx, target, start_id, pid, started, revision, cgroup,
                 memory_keeper, state, reason, since, restarts, last_exit, last_log)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
            params![
                instance,
                task.role.as_str(),
                task.index,
                task.target.as_str(),
                task.start_id,
                task.process.as_ref().map(|process| process.pid),
                task.process.as_ref().map(|process| process.started.as_str()),
                task.revision,
                task.cgroup,
                word(&task.memory_keeper)?,
                word(&task.state)?,
                task.reason,
                task.since.as_millisecond(),
                task.restarts,
                task.last_exit,
                json(&task.last_log)?
            ],
        )?;
        Ok(())
    }

    /// Removes a task and its ports.
    pub fn remove_task(self, instance: &str, role: &str, index: u32) -> Result<(), StoreError> {
        self.run(
            "DELETE FROM tasks WHERE instance = ?1 AND role = ?2 AND idx = ?3",
            params![instance, role, index],
        )?;
        self.run(
            "DELETE FROM ports WHERE instance = ?1 AND role = ?2 AND idx = ?3",
            params![instance, role, index],
        )?;
        Ok(())
    }

    /// The ports of an instance.
    pub fn ports(self, instance: &str) -> Result<Vec<PortRecord>, StoreError> {
        self.all(
            "SELECT role, idx, name, host, port FROM ports WHERE instance = ?1 ORDER BY role, idx, name",
            [instance],
            |row| {
                Ok(PortRecord {
                    role: name_at(row, 0)?,
                    index: row.get(1)?,
                    name: name_at(row, 2)?,
                    host: row.get(3)?,
                    port: row.get(4)?,
                })
            },
        )
    }

    /// Which instance has a port.
    pub fn holder_of_port(self, port: u16) -> Result<Option<String>, StoreError> {
        Ok(self
            .0
            .prepare_cached("SELECT instance FROM ports WHERE port = ?1")?
            .query_row([port], |row| row.get(0))
            .optional()?)
    }

    /// Takes a port back.
    pub fn remove_port(self, port: u16) -> Result<(), StoreError> {
        self.run("DELETE FROM ports WHERE port = ?1", [port])?;
        Ok(())
    }

    /// Gives a port to a task.
    pub fn insert_port(self, instance: &str, port: &PortRecord) -> Result<(), StoreError> {
        self.run(
            "INSERT INTO ports (port, host, name, instance, role, idx) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            params![
                port.port,
                port.host,
                port.name.as_str(),
                instance,
                port.role.as_str(),
                port.index
            ],
        )?;
        Ok(())
    }
}

fn name_at(row: &Row<'_>, column: usize) -> Result<Name, StoreError> {
    let text: String = row.get(column)?;
    from_word("name", &text)
}

fn read_instance(row: &Row<'_>) -> Result<InstanceRecord, StoreError> {
    let text = |column: &str| row.get::<_, String>(column);
    Ok(InstanceRecord {
        name: from_word("name", &text("name")?)?,
        id: text("id")?,
        document: from_json("document", &text("document")?)?,
        plan: from_json("plan", &text("plan")?)?,
        generation: row.get("generation")?,
        target: from_word("target", &text("target")?)?,
        created: timestamp(row.get("created")?),
        host: text("host")?,
        boot: text("boot")?,
        supervisor: identity(row.get("supervisor_pid")?, row.get("supervisor_started")?),
        was_ready: row.get("was_ready")?,
        preparing: row.get("preparing")?,
        blocked: row.get("blocked")?,
        followed: row.get("followed")?,
        notes: from_json("list of notes", &text("notes")?)?,
        announcements: from_json("list of announcements", &text("announcements")?)?,
    })
}

fn read_task(row: &Row<'_>) -> Result<TaskRecord, StoreError> {
    let text = |column: &str| row.get::<_, String>(column);
    Ok(TaskRecord {
        role: from_word("name", &text("role")?)?,
        index: row.get("idx")?,
        target: TaskTarget::parse(&text("target")?),
        start_id: row.get("start_id")?,
        process: identity(row.get("pid")?, row.get("started")?),
        revision: row.get("revision")?,
        cgroup: row.get("cgroup")?,
        memory_keeper: from_word("memory keeper", &text("memory_keeper")?)?,
        state: from_word("task state", &text("state")?)?,
        reason: text("reason")?,
        since: timestamp(row.get("since")?),
        restarts: row.get("restarts")?,
        last_exit: row.get("last_exit")?,
        last_log: from_json("list of log lines", &text("last_log")?)?,
    })
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
