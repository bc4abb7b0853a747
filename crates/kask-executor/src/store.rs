//! The values that a worker holds.

use crate::runtime::Value;
use kask_types::{Failure, Payload, TaskId};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is held for one task.
#[derive(Clone)]
pub enum Stored {
    /// A value.
    Value(Value),
    /// A value that its maker could not send; whoever needs it fails with this.
    Unsendable(Failure),
}

/// The values that a worker holds.
#[derive(Default)]
pub struct Store {
    values: Mutex<FxHashMap<TaskId, Stored>>,
    /// Bytes given to peers and clients.
    pub served_bytes: AtomicU64,
}

impl Store {
    /// Holds a value.
    pub fn insert(&self, task: TaskId, value: Stored) {
        let replaced = self.values.lock().insert(task, value);
        // Freed outside of the lock: freeing may run the user's code.
        drop(replaced);
    }

    /// What is held for a task.
    pub fn get(&self, task: TaskId) -> Option<Stored> {
        self.values.lock().get(&task).cloned()
    }

    /// Throws values away.
    pub fn remove(&self, tasks: &[TaskId]) {
        let removed: Vec<Stored> = {
            let mut values = self.values.lock();
            tasks.iter().filter_map(|task| values.remove(task)).collect()
        };
        drop(removed);
    }

    /// Throws everything away.
    pub fn clear(&self) {
        let values = std::mem::take(&mut *self.values.lock());
        drop(values);
    }

    /// How many values are held.
    pub fn len(&self) -> usize {
        self.values.lock().len()
    }

    /// Whether nothing is held.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn served(&self, payload: &Payload) {
        self.served_bytes.fetch_add(payload.nbytes(), Ordering::Relaxed);
    }
}

impl Value {
    /// A value as it came from a peer or client.
    pub fn received(payload: Payload) -> Value {
        match payload {
            object @ Payload::Local(_) => Value::Object { object, encoded: None },
            payload @ Payload::Bytes { .. } => Value::Encoded { payload, object: Default::default() },
        }
    }

    /// As it can be handed to somebody in this process.
    pub fn for_this_process(&self) -> Payload {
        match self {
            Value::Object { object, .. } => object.clone(),
            Value::Encoded { payload, object } => object.get().unwrap_or(payload).clone(),
        }
    }
}
