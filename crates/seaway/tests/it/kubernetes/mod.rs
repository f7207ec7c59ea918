//! Instances on a real cluster with two nodes, whose pods really run.

mod changes;
mod dask;
mod faults;
mod images;
mod life;
mod permissions;
mod reasons;
mod releases;
mod scale;

/// Words that make an instance quick: one worker that asks for little, no notebook.
const SMALL: [&str; 8] = [
    "--set",
    "notebook.enabled=false",
    "--set",
    "workers.replicas=1",
    "--set",
    "workers.resources={}",
    "--set",
    "workers.threads=1",
];
