//! Names of the environment variables that the agent sets for the processes it starts.

/// Random id of the instance a process belongs to. By it all its processes are found, whatever became of them.
pub const INSTANCE_ID: &str = "SEAWAY_INSTANCE_ID";
/// Random id of one start of one task; a later start of the same task has another one.
pub const START_ID: &str = "SEAWAY_START_ID";
/// Name of the instance.
pub const INSTANCE: &str = "SEAWAY_INSTANCE";
/// Name of the task within the instance.
pub const TASK: &str = "SEAWAY_TASK";

/// All of them: none may leak from one instance into another that is started from inside it.
pub const ALL: [&str; 4] = [INSTANCE_ID, START_ID, INSTANCE, TASK];
