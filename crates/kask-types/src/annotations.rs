//! What a user may say about how tasks are run.

use crate::resources::Resources;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Where a task may run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerRestriction {
    /// Worker names, addresses or hosts; at least one.
    pub workers: Vec<Arc<str>>,
    /// Whether other workers will do while none of these is there.
    pub allow_other_workers: bool,
}

/// Applies to every task of a layer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Annotations {
    /// How often a task that raised is run again.
    pub retries: u32,
    /// Higher runs first; compared before anything else.
    pub priority: i32,
    /// Where the tasks may run; anywhere if absent.
    pub workers: Option<WorkerRestriction>,
    /// What a worker must have free while it runs one of the tasks.
    pub resources: Resources,
    /// What one of the tasks needs beside its inputs, its result included; 0 when nothing is known.
    pub memory_bytes: u64,
    /// How large each result is; 0 when nothing is known.
    pub result_bytes: u64,
}
