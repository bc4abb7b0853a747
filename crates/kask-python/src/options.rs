//! How tasks are run, as Python says it.

use kask_types::{Annotations, Resources, WorkerRestriction};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::sync::Arc;

/// How tasks are run. Immutable.
#[pyclass(module = "kask._kask", frozen)]
pub struct Options {
    /// The same for the engine.
    pub annotations: Arc<Annotations>,
}

type Parts = (u32, i32, Option<Vec<String>>, bool, Option<Vec<(String, f64)>>, u64, u64);

#[pymethods]
impl Options {
    #[new]
    #[pyo3(signature = (
        *, retries = 0, priority = 0, workers = None, allow_other_workers = false, resources = None,
        memory_bytes = 0, result_bytes = 0
    ))]
    fn new(
        retries: u32,
        priority: i32,
        workers: Option<Vec<String>>,
        allow_other_workers: bool,
        resources: Option<&Bound<'_, PyDict>>,
        memory_bytes: u64,
        result_bytes: u64,
    ) -> PyResult<Options> {
        let mut amounts = Vec::new();
        for (name, amount) in resources.into_iter().flat_map(|resources| resources.iter()) {
            amounts.push((name.extract()?, amount.extract()?));
        }
        let workers = restriction(workers, allow_other_workers);
        let resources = quantities(&amounts)?;
        Ok(Options::from(Annotations { retries, priority, workers, resources, memory_bytes, result_bytes }))
    }

    #[getter]
    fn memory_bytes(&self) -> u64 {
        self.annotations.memory_bytes
    }

    #[getter]
    fn result_bytes(&self) -> u64 {
        self.annotations.result_bytes
    }

    #[getter]
    fn retries(&self) -> u32 {
        self.annotations.retries
    }

    #[getter]
    fn priority(&self) -> i32 {
        self.annotations.priority
    }

    #[getter]
    fn workers<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let workers = self.annotations.workers.as_ref();
        workers.map(|restriction| PyTuple::new(py, restriction.workers.iter().map(|name| &**name))).transpose()
    }

    #[getter]
    fn allow_other_workers(&self) -> bool {
        self.annotations.workers.as_ref().is_some_and(|restriction| restriction.allow_other_workers)
    }

    #[getter]
    fn resources<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let resources = PyDict::new(py);
        for (name, amount) in self.annotations.resources.iter() {
            resources.set_item(name, amount)?;
        }
        Ok(resources)
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Options>().is_ok_and(|other| other.get().annotations == self.annotations)
    }

    fn __hash__(&self) -> i64 {
        i64::from(self.annotations.priority) << 32 | i64::from(self.annotations.retries)
    }

    fn __repr__(&self) -> String {
        let Annotations { retries, priority, workers, resources, memory_bytes, result_bytes } = &*self.annotations;
        let mut parts = vec![format!("retries={retries}"), format!("priority={priority}")];
        if let Some(restriction) = workers {
            parts.push(format!("workers={:?}", restriction.workers));
            if restriction.allow_other_workers {
                parts.push("allow_other_workers=True".to_owned());
            }
        }
        if !resources.is_empty() {
            let amounts: Vec<String> = resources.iter().map(|(name, amount)| format!("{name:?}: {amount}")).collect();
            parts.push(format!("resources={{{}}}", amounts.join(", ")));
        }
        for (name, bytes) in [("memory_bytes", memory_bytes), ("result_bytes", result_bytes)] {
            if *bytes > 0 {
                parts.push(format!("{name}={bytes}"));
            }
        }
        format!("Options({})", parts.join(", "))
    }

    fn __reduce__(slf: &Bound<'_, Self>) -> PyResult<(Py<PyAny>, Parts)> {
        let Annotations { retries, priority, workers, resources, memory_bytes, result_bytes } = &*slf.get().annotations;
        let names = workers.as_ref().map(|workers| workers.workers.iter().map(|name| name.to_string()).collect());
        let others = slf.get().allow_other_workers();
        let amounts = resources.iter().map(|(name, amount)| (name.to_owned(), amount)).collect();
        let restore = slf.py().import("kask._kask")?.getattr("_restore_options")?.unbind();
        Ok((restore, (*retries, *priority, names, others, Some(amounts), *memory_bytes, *result_bytes)))
    }
}

/// Makes options out of a pickle.
#[pyfunction(name = "_restore_options")]
#[pyo3(signature = (retries, priority, workers, allow_other_workers, resources, memory_bytes, result_bytes))]
pub fn restore_options(
    retries: u32,
    priority: i32,
    workers: Option<Vec<String>>,
    allow_other_workers: bool,
    resources: Option<Vec<(String, f64)>>,
    memory_bytes: u64,
    result_bytes: u64,
) -> PyResult<Options> {
    let workers = restriction(workers, allow_other_workers);
    let resources = quantities(&resources.unwrap_or_default())?;
    Ok(Options::from(Annotations { retries, priority, workers, resources, memory_bytes, result_bytes }))
}

impl From<Annotations> for Options {
    fn from(annotations: Annotations) -> Options {
        Options { annotations: Arc::new(annotations) }
    }
}

fn quantities(amounts: &[(String, f64)]) -> PyResult<Resources> {
    let amounts = amounts.iter().map(|(name, amount)| (name.as_str(), *amount));
    Resources::new(amounts).map_err(PyValueError::new_err)
}

/// A restriction to these workers; none without names.
pub fn restriction(workers: Option<Vec<String>>, allow_other_workers: bool) -> Option<WorkerRestriction> {
    let workers = workers.filter(|workers| !workers.is_empty())?;
    let workers = workers.into_iter().map(Arc::from).collect();
    Some(WorkerRestriction { workers, allow_other_workers })
}

/// The annotations of optional options.
pub fn annotations(options: Option<&Bound<'_, Options>>) -> Annotations {
    options.map(|options| Annotations::clone(&options.get().annotations)).unwrap_or_default()
}
