//! The store's tables: one method for each question and each change.

use rusqlite::{Connection, OptionalExtension, Row, params};
use seaway_agent::ProcessIdentity;
use seaway_model::{plan::Plan, status::Target};

use super::{
    InstanceRecord, PortRecord, ScaleRecord, StoreError, TaskRecord,
    row::{from_word, json, name_at, read_instance, read_task, word},
};

/// The store's tables.
#[derive(Debug, Clone, Copy)]
pub struct Records<'a>(pub(super) &'a Connection);

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
