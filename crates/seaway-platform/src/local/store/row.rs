//! How records are written in columns, and read back.

use jiff::Timestamp;
use rusqlite::Row;
use seaway_agent::ProcessIdentity;
use seaway_model::Name;
use serde::{Serialize, de::DeserializeOwned};

use super::{InstanceRecord, StoreError, TaskRecord, TaskTarget};

pub(super) fn json<T: Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|source| StoreError::Content {
        what: "value",
        source,
    })
}

fn from_json<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, StoreError> {
    serde_json::from_str(text).map_err(|source| StoreError::Content { what, source })
}

/// A word of an enumeration, stored as serde writes it.
pub(super) fn word<T: Serialize>(value: &T) -> Result<String, StoreError> {
    Ok(json(value)?.trim_matches('"').to_owned())
}

pub(super) fn from_word<T: DeserializeOwned>(what: &'static str, text: &str) -> Result<T, StoreError> {
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

pub(super) fn name_at(row: &Row<'_>, column: usize) -> Result<Name, StoreError> {
    let text: String = row.get(column)?;
    from_word("name", &text)
}

pub(super) fn read_instance(row: &Row<'_>) -> Result<InstanceRecord, StoreError> {
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

pub(super) fn read_task(row: &Row<'_>) -> Result<TaskRecord, StoreError> {
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
