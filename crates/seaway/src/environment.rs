//! Names of the environment variables that the binary reads; the reference is made from this table.

/// Filter for logs.
pub(crate) const LOG: &str = "SEAWAY_LOG";
/// See <https://no-color.org>.
pub(crate) const NO_COLOR: &str = "NO_COLOR";

/// Name, who sets it, meaning.
pub(crate) const TABLE: [(&str, &str, &str); 11] = [
    (
        LOG,
        "you",
        "Filter for Seaway's own log on standard error, such as `debug` or `seaway_platform=trace`.",
    ),
    (NO_COLOR, "you", "When not empty, output has no colours."),
    (
        "XDG_STATE_HOME",
        "you",
        "Where the store and the files of instances are; `~/.local/state` when not set.",
    ),
    (
        "XDG_CACHE_HOME",
        "you",
        "Where Python environments are made; `~/.cache` when not set.",
    ),
    (
        "HOME",
        "the system",
        "Used when the two above are not set, and for `~` in documents.",
    ),
    (
        "PATH",
        "the system",
        "Where `uv`, `python3` and the programs of tasks are looked for.",
    ),
    ("SEAWAY_INSTANCE", "Seaway", "In every task: the instance's name."),
    (
        "SEAWAY_TASK",
        "Seaway",
        "In every task: the task's name, such as `worker-0`.",
    ),
    (
        "SEAWAY_INSTANCE_ID",
        "Seaway",
        "In every task: the random id by which all processes of the instance are found.",
    ),
    (
        "SEAWAY_START_ID",
        "Seaway",
        "In every task: the random id of this start of the task.",
    ),
    (
        "DASK_SCHEDULER_ADDRESS, ARL_DASK_SCHEDULER",
        "Seaway",
        "In workers, notebooks and their kernels: where the Dask scheduler is, so that `Client()` finds it.",
    ),
];
