//! How much memory there is, and what workers may use of it.

use kask_executor::memory_limits::{self, MemoryLimits};
use kask_executor::memory_settings::{MemoryOptions, SpillCompression};
use kask_executor::scratch::SpillBase;
use kask_types::{Memory, NoMemory};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::PyFloat;
use std::path::PathBuf;

/// Bytes that this process may use; 0 when it cannot be told.
#[pyfunction]
pub fn memory_limit_bytes() -> u64 {
    MemoryLimits::of_this_process().limit().map_or(0, |limit| limit.bytes)
}

/// What `memory_limit="auto"` gives each of `workers`.
#[pyfunction]
pub fn auto_memory_limit(workers: usize, processes: bool) -> u64 {
    memory_limits::auto_limit_bytes(workers, processes)
}

/// Bytes in a text such as "4GiB".
#[pyfunction]
pub fn parse_size(text: &str) -> PyResult<u64> {
    kask_types::parse_size(text).map_err(PyValueError::new_err)
}

/// What a text or a float says of an amount of memory: "auto", bytes as an integer, or a share as a float.
#[pyfunction]
pub fn parse_memory<'py>(value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let memory = match value.extract::<String>() {
        Ok(text) => Memory::parse(&text),
        Err(_) => value.cast::<PyFloat>().map_err(|_| NoMemory).and_then(|number| Memory::of_number(number.value())),
    };
    let py = value.py();
    Ok(match memory.map_err(|problem| PyValueError::new_err(problem.to_string()))? {
        Memory::Auto => "auto".into_pyobject(py)?.into_any(),
        Memory::Bytes(bytes) => bytes.into_pyobject(py)?.into_any(),
        Memory::Share(share) => share.into_pyobject(py)?.into_any(),
    })
}

/// What Python says of spilling: a dict with these entries.
#[derive(FromPyObject, Default)]
#[pyo3(from_item_all)]
pub struct Spill {
    target: f64,
    directory: Option<PathBuf>,
    setting: Option<String>,
    limit: u64,
    reserve: Option<u64>,
    compression: Option<String>,
    checkpoints: bool,
}

impl Spill {
    /// Where the user wants values to be spilled.
    pub fn base(&self) -> Option<SpillBase> {
        let path = self.directory.clone()?;
        Some(SpillBase { path, setting: self.setting.clone().unwrap_or_else(|| "local_directory".to_owned()) })
    }

    /// As the engine says it, together with the limit of each worker. Checkpoints are of use where workers are processes: what is on
    /// the disk of others goes with this process.
    pub fn with_limit(self, limit_bytes: u64, processes: bool) -> PyResult<MemoryOptions> {
        if !(0.0..1.0).contains(&self.target) {
            let problem = format!("memory.target is a share above 0 and below 1, not {}", self.target);
            return Err(PyValueError::new_err(problem));
        }
        let compression = self.compression.as_deref().map(str::parse::<SpillCompression>).transpose();
        let spill_compression = compression.map_err(|error| PyValueError::new_err(error.to_string()))?;
        Ok(MemoryOptions {
            limit_bytes,
            target: self.target,
            spill_directory: None,
            goes_with_process: None,
            spill_max_bytes: self.limit,
            spill_reserve_bytes: self.reserve,
            spill_compression: spill_compression.unwrap_or_default(),
            checkpoints: self.checkpoints && processes,
        })
    }
}
