//! Whose tasks a thread runs: what `get_client()` gives inside them.

use crate::engine_core::EngineCore;
use parking_lot::Mutex;
use pyo3::prelude::*;
use std::sync::{Arc, OnceLock, Weak};

/// Makes an engine for the tasks of a worker.
pub type Connect = Box<dyn Fn(Python<'_>) -> PyResult<Arc<EngineCore>> + Send + Sync>;

/// Whose tasks a runtime runs: what `get_client()` gives inside them.
#[derive(Default)]
pub struct Home {
    /// The engine that the worker belongs to.
    own: OnceLock<Weak<EngineCore>>,
    /// Otherwise, how to make one.
    connect: OnceLock<Connect>,
    made: Mutex<Option<Arc<EngineCore>>>,
}

static PROCESS_HOME: OnceLock<Arc<Home>> = OnceLock::new();

impl Home {
    /// Tasks use the engine that their worker belongs to.
    pub fn set_engine(&self, core: &Arc<EngineCore>) {
        // Set once, by whoever made both.
        let _ = self.own.set(Arc::downgrade(core));
    }

    /// Tasks use an engine that is made when the first one asks.
    pub fn set_connect(&self, connect: Connect) {
        let _ = self.connect.set(connect);
    }

    /// Says that this whole process is one worker.
    pub fn serve_process(self: &Arc<Self>) {
        let _ = PROCESS_HOME.set(self.clone());
    }

    /// Of a worker process, for threads that tasks start.
    pub fn of_process() -> Option<Arc<Home>> {
        PROCESS_HOME.get().cloned()
    }

    /// The engine for tasks.
    pub fn engine(&self, py: Python<'_>) -> PyResult<Option<Arc<EngineCore>>> {
        if let Some(core) = self.own.get().and_then(Weak::upgrade) {
            return Ok(Some(core));
        }
        let Some(connect) = self.connect.get() else { return Ok(None) };
        if let Some(core) = self.made.lock().as_ref().filter(|core| !core.is_closed()) {
            return Ok(Some(core.clone()));
        }
        // Made without the lock: connecting lets go of the GIL. Of two made at once one is closed again, unused.
        let core = connect(py)?;
        let mut made = self.made.lock();
        if let Some(other) = made.as_ref().filter(|other| !other.is_closed()) {
            return Ok(Some(other.clone()));
        }
        *made = Some(core.clone());
        Ok(Some(core))
    }
}
