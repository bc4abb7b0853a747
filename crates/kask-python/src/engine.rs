//! `Engine`: this process's end of a connection to a scheduler.
//!
//! Describing and submitting work is in [`crate::submit`] and [`crate::lower`], questions to the scheduler in
//! [`crate::admin`], connecting in [`crate::connect`].

use crate::admin;
use crate::builder::GraphBuilder;
use crate::connect;
use crate::engine_core::{EngineCore, Kind, value};
use crate::future::Future;
use crate::interrupt;
use crate::lower;
use crate::memory::Spill;
use crate::names::task_name;
use crate::node::Node;
use crate::options::{Options, restriction};
use crate::pickle::{self, Subject};
use crate::scan::{self, Leaf, Resolving};
use crate::submit::{self, Mapping, Submission, map_keys};
use crate::values;
use kask_types::{Key, Payload};
use pyo3::exceptions::{PyTimeoutError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::Arc;
use std::time::Duration;

/// This process's end of a connection to a scheduler.
#[pyclass(module = "kask._kask", frozen, weakref)]
pub struct Engine {
    core: Arc<EngineCore>,
}

/// Done futures and others.
type Split<'py> = (Bound<'py, PyList>, Bound<'py, PyList>);

impl Engine {
    /// The one object for `core`.
    pub fn wrap<'py>(py: Python<'py>, core: &Arc<EngineCore>) -> PyResult<Bound<'py, Engine>> {
        core.wrapper(py, || Bound::new(py, Engine { core: core.clone() }))
    }

    /// What it stands for.
    pub fn core(&self) -> &Arc<EngineCore> {
        &self.core
    }
}

/// Futures of any iterable.
pub fn futures_in<'py>(futures: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, Future>>> {
    let mut found = Vec::with_capacity(futures.len().unwrap_or(0));
    for future in futures.try_iter()? {
        found.push(future?.cast_into::<Future>()?);
    }
    Ok(found)
}

/// Their keys.
pub fn keys_of(futures: &[Bound<'_, Future>]) -> Vec<Key> {
    futures.iter().map(|future| future.get().id()).collect()
}

fn to_list<'py>(py: Python<'py>, futures: Vec<Future>) -> PyResult<Bound<'py, PyList>> {
    let list = PyList::empty(py);
    for future in futures {
        list.append(Bound::new(py, future)?)?;
    }
    Ok(list)
}

#[pymethods]
impl Engine {
    #[staticmethod]
    #[pyo3(signature = (nthreads, *, name = "embedded", resources = None, memory_limit = 0, spill = None))]
    fn embedded<'py>(
        py: Python<'py>,
        nthreads: u32,
        name: &str,
        resources: Option<&Bound<'_, PyDict>>,
        memory_limit: u64,
        spill: Option<Spill>,
    ) -> PyResult<Bound<'py, Engine>> {
        if nthreads == 0 {
            return Err(PyValueError::new_err("nthreads must be at least 1"));
        }
        let spill = spill.unwrap_or_default();
        let base = spill.base();
        let memory = spill.with_limit(memory_limit, false)?;
        Engine::wrap(py, &connect::embedded(py, nthreads, name, resources, memory, base)?)
    }

    #[staticmethod]
    fn synchronous(py: Python<'_>) -> PyResult<Bound<'_, Engine>> {
        Engine::wrap(py, &connect::synchronous(py)?)
    }

    #[staticmethod]
    #[pyo3(signature = (address, *, timeout, token = None, tls_ca = None, tls_cert = None, tls_key = None, name = None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments in Python")]
    fn connect<'py>(
        py: Python<'py>,
        address: &str,
        timeout: f64,
        token: Option<&str>,
        tls_ca: Option<String>,
        tls_cert: Option<String>,
        tls_key: Option<String>,
        name: Option<&str>,
    ) -> PyResult<Bound<'py, Engine>> {
        let timeout = interrupt::seconds(Some(timeout))?.unwrap_or(Duration::from_secs(1 << 30));
        let security = connect::security(token, tls_ca, tls_cert, tls_key)?;
        Engine::wrap(py, &connect::remote(py, address, &security, name.unwrap_or("client"), timeout)?)
    }

    /// "embedded", "sync" or "remote".
    #[getter]
    fn kind(&self) -> &'static str {
        match self.core.kind {
            Kind::Embedded => "embedded",
            Kind::Sync => "sync",
            Kind::Remote => "remote",
        }
    }

    #[getter]
    fn address(&self) -> &str {
        &self.core.address
    }

    #[getter]
    fn id(&self) -> String {
        self.core.client.incarnation().to_string()
    }

    #[getter]
    fn closed(&self) -> bool {
        self.core.is_closed()
    }

    #[getter]
    fn owner(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.core.owner(py)
    }

    #[setter]
    fn set_owner(&self, owner: Option<Py<PyAny>>) {
        self.core.set_owner(owner);
    }

    fn __repr__(&self) -> String {
        format!("<Engine: {} at {}>", self.kind(), self.core.address)
    }

    #[pyo3(signature = (func, args, kwargs, *, key, pure, options))]
    fn submit(
        &self,
        func: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        kwargs: &Bound<'_, PyDict>,
        key: Option<&str>,
        pure: bool,
        options: Option<&Bound<'_, Options>>,
    ) -> PyResult<Future> {
        submit::submit(&self.core, &Submission { func, args, kwargs, key, pure, options })
    }

    #[pyo3(signature = (func, iterables, kwargs, *, keys, pure, options, batch_size))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments in Python")]
    fn map<'py>(
        &self,
        func: &Bound<'py, PyAny>,
        iterables: Vec<Bound<'py, PyAny>>,
        kwargs: &Bound<'py, PyDict>,
        keys: Option<&Bound<'py, PyAny>>,
        pure: bool,
        options: Option<&Bound<'py, Options>>,
        batch_size: Option<usize>,
    ) -> PyResult<Bound<'py, PyList>> {
        let keys = map_keys(keys)?;
        let mapping = Mapping { func, iterables: &iterables, kwargs, keys, pure, options, batch_size };
        submit::map(&self.core, &mapping)
    }

    fn submit_graph<'py>(
        &self,
        py: Python<'py>,
        graph: &Bound<'_, GraphBuilder>,
        outputs: Vec<String>,
    ) -> PyResult<Bound<'py, PyList>> {
        to_list(py, lower::submit_graph(py, &self.core, graph.get(), &outputs)?)
    }

    fn submit_nodes<'py>(&self, py: Python<'py>, nodes: Vec<Py<Node>>) -> PyResult<Bound<'py, PyList>> {
        to_list(py, lower::submit_nodes(py, &self.core, nodes)?)
    }

    /// The results in order; `errors="skip"` leaves out those that failed.
    #[pyo3(signature = (futures, errors = "raise", timeout = None))]
    fn gather<'py>(
        &self,
        futures: &Bound<'py, PyAny>,
        errors: &str,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyList>> {
        let skip = match errors {
            "raise" => false,
            "skip" => true,
            other => return Err(PyValueError::new_err(format!("errors= must be 'raise' or 'skip', not {other:?}"))),
        };
        let py = futures.py();
        let futures = futures_in(futures)?;
        let results = self.core.fetch_all(py, &keys_of(&futures), interrupt::seconds(timeout)?)?;
        let list = PyList::empty(py);
        for (future, result) in futures.iter().zip(results) {
            match result {
                Ok(payload) => list.append(value(py, &payload, future.get().name())?)?,
                Err(_) if skip => {}
                Err(failure) => return Err(future.get().raisable(py, &failure).error(py)),
            }
        }
        Ok(list)
    }

    /// Calls `place(first, results)` for so many results at a time, in order and as soon as they are there, and lets go of their
    /// futures, whose places in the list are `None` then.
    fn gather_in_steps(&self, futures: &Bound<'_, PyList>, step: usize, place: &Bound<'_, PyAny>) -> PyResult<()> {
        let py = futures.py();
        for first in (0..futures.len()).step_by(step.max(1)) {
            let taken = futures.get_slice(first, first.saturating_add(step.max(1)));
            let results = self.gather(taken.as_any(), "raise", None)?;
            for at in first..first + taken.len() {
                futures.set_item(at, py.None())?;
            }
            drop(taken);
            place.call1((first, results))?;
        }
        Ok(())
    }

    #[pyo3(signature = (template, futures_only = true))]
    fn resolve<'py>(&self, template: Bound<'py, PyAny>, futures_only: bool) -> PyResult<Bound<'py, PyAny>> {
        let py = template.py();
        let mut found = Finding { futures: Vec::new(), nodes: Vec::new(), seen: FxHashSet::default() };
        scan::rewrite(&template, &mut found)?;
        if !futures_only {
            for future in lower::submit_nodes(py, &self.core, found.nodes)? {
                found.futures.push(Bound::new(py, future)?.unbind());
            }
        }
        let futures: Vec<_> = found.futures.iter().map(|future| future.bind(py).clone()).collect();
        let results = self.core.fetch_all(py, &keys_of(&futures), None)?;
        let mut values = FxHashMap::default();
        for (future, result) in futures.iter().zip(results) {
            let payload = result.map_err(|failure| future.get().raisable(py, &failure).error(py))?;
            values.insert(future.get().id(), value(py, &payload, future.get().name())?);
        }
        Ok(scan::rewrite(&template, &mut Resolving { values: &values })?.unwrap_or(template))
    }

    /// (done, not done), once all (or `first`: one) of them are done.
    fn wait<'py>(&self, futures: &Bound<'py, PyAny>, timeout: Option<f64>, first: bool) -> PyResult<Split<'py>> {
        let py = futures.py();
        let futures = futures_in(futures)?;
        let (keys, timeout) = (keys_of(&futures), interrupt::seconds(timeout)?);
        if !futures.is_empty() {
            let waited = self.core.wait(py, |interrupted| self.core.client.wait(&keys, !first, timeout, interrupted));
            waited.map_err(|error| match error.is_instance_of::<PyTimeoutError>(py) {
                true => {
                    let done = futures.iter().filter(|future| future.get().standing().is_done()).count();
                    let message = format!("{done} of {} futures were done within the time limit", futures.len());
                    PyTimeoutError::new_err(message)
                }
                false => error,
            })?;
        }
        let (done, others) = (PyList::empty(py), PyList::empty(py));
        for future in &futures {
            (if future.get().standing().is_done() { &done } else { &others }).append(future)?;
        }
        Ok((done, others))
    }

    #[pyo3(signature = (values, keys, *, workers, broadcast, timeout))]
    fn scatter<'py>(
        &self,
        values: &Bound<'py, PyList>,
        keys: Vec<String>,
        workers: Option<Vec<String>>,
        broadcast: bool,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyList>> {
        let py = values.py();
        self.core.check_open(py)?;
        if values.len() != keys.len() {
            let message = format!("scatter() was given {} keys for {} values", keys.len(), values.len());
            return Err(PyValueError::new_err(message));
        }
        let mut names = Vec::with_capacity(keys.len());
        let mut payloads = Vec::with_capacity(keys.len());
        for (item, printed) in values.iter().zip(&keys) {
            let (key, name) = task_name(printed, &crate::names::family_of(printed).into());
            payloads.push(self.scattered(&item, printed)?);
            names.push((key, name));
        }
        let timeout = interrupt::seconds(timeout)?;
        admin::scatter(py, &self.core, &names, payloads, restriction(workers, false), broadcast, timeout)?;
        to_list(py, names.into_iter().map(|(key, name)| self.core.future(key, name)).collect())
    }

    #[pyo3(signature = (futures, *, force, reason))]
    fn cancel(&self, futures: &Bound<'_, PyAny>, force: bool, reason: &str) -> PyResult<()> {
        self.core.cancel(futures.py(), keys_of(&futures_in(futures)?), force, reason)
    }

    fn retry(&self, futures: &Bound<'_, PyAny>) -> PyResult<()> {
        self.core.retry(futures.py(), keys_of(&futures_in(futures)?))
    }

    fn detach(&self, futures: &Bound<'_, PyAny>) -> PyResult<()> {
        self.core.detach(keys_of(&futures_in(futures)?));
        Ok(())
    }

    fn replicate(
        &self,
        futures: &Bound<'_, PyAny>,
        copies: u32,
        workers: Option<Vec<String>>,
        timeout: Option<f64>,
    ) -> PyResult<()> {
        let keys = keys_of(&futures_in(futures)?);
        self.core.replicate(futures.py(), keys, copies, restriction(workers, false), interrupt::seconds(timeout)?)
    }

    #[pyo3(signature = (futures))]
    fn who_has<'py>(&self, py: Python<'py>, futures: Option<&Bound<'py, PyAny>>) -> PyResult<Bound<'py, PyDict>> {
        let keys = futures.map(|futures| Ok::<_, PyErr>(keys_of(&futures_in(futures)?))).transpose()?;
        admin::who_has(py, &self.core, keys)
    }

    #[pyo3(signature = (workers))]
    fn has_what<'py>(&self, py: Python<'py>, workers: Option<Vec<String>>) -> PyResult<Bound<'py, PyDict>> {
        admin::has_what(py, &self.core, workers)
    }

    #[pyo3(signature = (workers))]
    fn processing<'py>(&self, py: Python<'py>, workers: Option<Vec<String>>) -> PyResult<Bound<'py, PyDict>> {
        admin::processing(py, &self.core, workers)
    }

    fn scheduler_info<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        admin::scheduler_info(py, &self.core)
    }

    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        admin::counters(py, &self.core)
    }

    fn unrunnable<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        admin::unrunnable(py, &self.core)
    }

    fn families<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        admin::families(py, &self.core)
    }

    #[pyo3(signature = (n, timeout))]
    fn wait_for_workers(&self, py: Python<'_>, n: u32, timeout: Option<f64>) -> PyResult<()> {
        admin::wait_for_workers(py, &self.core, n, interrupt::seconds(timeout)?)
    }

    #[pyo3(signature = (func, args, kwargs, workers, timeout))]
    fn run<'py>(
        &self,
        func: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: &Bound<'py, PyDict>,
        workers: Option<Vec<String>>,
        timeout: Option<f64>,
    ) -> PyResult<Bound<'py, PyDict>> {
        admin::run(&self.core, (func, args, kwargs), workers, interrupt::seconds(timeout)?)
    }

    fn restart(&self, py: Python<'_>, timeout: f64) -> PyResult<()> {
        admin::restart(py, &self.core, interrupt::seconds(Some(timeout))?)
    }

    #[pyo3(signature = (workers, timeout))]
    fn retire_workers(&self, py: Python<'_>, workers: Vec<String>, timeout: Option<f64>) -> PyResult<()> {
        admin::retire(py, &self.core, workers, interrupt::seconds(timeout)?)
    }

    /// Closes the whole cluster.
    fn shutdown(&self, py: Python<'_>) {
        py.detach(|| self.core.client.send(kask_wire::ClientToScheduler::Shutdown));
    }

    #[pyo3(signature = (timeout = 10.0))]
    fn close(&self, py: Python<'_>, timeout: f64) -> PyResult<()> {
        let timeout = interrupt::seconds(Some(timeout))?.unwrap_or(Duration::from_secs(1 << 30));
        interrupt::wait(py, |interrupted| {
            self.core.close(timeout, interrupted);
            Ok(())
        })?;
        self.core.set_owner(None);
        Ok(())
    }
}

impl Engine {
    fn scattered(&self, item: &Bound<'_, PyAny>, key: &str) -> PyResult<(Payload, u64)> {
        if self.core.local {
            return Ok((values::local(item.clone().unbind()), crate::sizes::nbytes(item)));
        }
        let what = format!("the value {key}");
        let payload = pickle::dumps(item, &Subject { what: &what, path: "" })?;
        let nbytes = payload.nbytes();
        Ok((payload, nbytes))
    }
}

/// Finds futures and nodes, each once, and replaces nothing.
struct Finding {
    futures: Vec<Py<Future>>,
    nodes: Vec<Py<Node>>,
    seen: FxHashSet<Key>,
}

impl Leaf for Finding {
    fn replace<'py>(&mut self, object: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if let Ok(future) = object.cast::<Future>() {
            if self.seen.insert(future.get().id()) {
                self.futures.push(future.clone().unbind());
            }
        } else if let Ok(node) = object.cast::<Node>()
            && self.seen.insert(node.get().id())
        {
            self.nodes.push(node.clone().unbind());
        }
        Ok(None)
    }
}
