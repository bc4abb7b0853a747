//! Questions and orders to the scheduler, with answers as Python objects.

use crate::engine_core::EngineCore;
use crate::errors;
use crate::interrupt;
use crate::pickle::{self, Subject};
use crate::values;
use kask_client::Scatter;
use kask_net::Arena;
use kask_net::share::SHARED_MIN_BYTES;
use kask_types::payload::Segment;
use kask_types::{Key, Payload, TaskName, WorkerRestriction};
use kask_wire::client::{Counters, WorkerState};
use kask_wire::worker::Pressure;
use kask_wire::{ClientToScheduler, Query, Reply};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};
use std::sync::Arc;
use std::time::Duration;

/// How long the scheduler may take to answer where the user gave no limit.
const PATIENCE: Duration = Duration::from_secs(60);

fn ask(py: Python<'_>, core: &EngineCore, query: Query, timeout: Duration) -> PyResult<Reply> {
    core.check_open(py)?;
    interrupt::wait(py, |interrupted| core.client.ask(query, Some(timeout), interrupted))
}

fn order(
    py: Python<'_>,
    core: &EngineCore,
    timeout: Option<Duration>,
    make: impl FnOnce(u64) -> ClientToScheduler + Send,
) -> PyResult<Reply> {
    core.check_open(py)?;
    core.wait(py, |interrupted| core.client.request(make, timeout, interrupted))
}

/// An answer to another question: the scheduler does not speak our language.
fn unexpected(py: Python<'_>) -> PyErr {
    errors::new(py, "ClusterError", "the scheduler answered another question than was asked", None)
}

fn texts(names: Option<Vec<String>>) -> Option<Vec<Arc<str>>> {
    names.map(|names| names.into_iter().map(Arc::from).collect())
}

fn tuple<'py>(py: Python<'py>, items: impl IntoIterator<Item = impl AsRef<str>>) -> PyResult<Bound<'py, PyTuple>> {
    let items: Vec<_> = items.into_iter().collect();
    PyTuple::new(py, items.iter().map(AsRef::as_ref))
}

impl EngineCore {
    /// Nobody shall wait for these any more. Returns when the scheduler has heard it.
    pub fn cancel(&self, py: Python<'_>, keys: Vec<Key>, force: bool, reason: &str) -> PyResult<()> {
        self.tell(py, ClientToScheduler::Cancel { keys, force, reason: reason.into() })
    }

    /// Runs failed tasks again. Returns when the scheduler has heard it.
    pub fn retry(&self, py: Python<'_>, keys: Vec<Key>) -> PyResult<()> {
        self.tell(py, ClientToScheduler::Retry(keys))
    }

    fn tell(&self, py: Python<'_>, message: ClientToScheduler) -> PyResult<()> {
        self.check_open(py)?;
        interrupt::wait(py, |interrupted| {
            self.client.send(message);
            self.client.ask(Query::Flush, Some(PATIENCE), interrupted).map(drop)
        })
    }

    /// Runs these to their end even if nobody wants them.
    pub fn detach(&self, keys: Vec<Key>) {
        self.client.send(ClientToScheduler::Detach(keys));
    }

    /// Sends copies of these to more workers.
    pub fn replicate(
        &self,
        py: Python<'_>,
        keys: Vec<Key>,
        copies: u32,
        workers: Option<WorkerRestriction>,
        timeout: Option<Duration>,
    ) -> PyResult<()> {
        let make = move |request| ClientToScheduler::Replicate { request, keys, copies, workers };
        order(py, self, timeout, make).map(drop)
    }
}

/// Holders of each key.
pub fn who_has<'py>(py: Python<'py>, core: &EngineCore, keys: Option<Vec<Key>>) -> PyResult<Bound<'py, PyDict>> {
    let Reply::WhoHas(found) = ask(py, core, Query::WhoHas(keys), PATIENCE)? else { return Err(unexpected(py)) };
    let dict = PyDict::new(py);
    for (name, _, holders) in found {
        dict.set_item(name, tuple(py, holders)?)?;
    }
    Ok(dict)
}

/// What each worker holds.
pub fn has_what<'py>(py: Python<'py>, core: &EngineCore, workers: Option<Vec<String>>) -> PyResult<Bound<'py, PyDict>> {
    let Reply::HasWhat(found) = ask(py, core, Query::HasWhat(texts(workers)), PATIENCE)? else {
        return Err(unexpected(py));
    };
    let dict = PyDict::new(py);
    for (worker, held) in found {
        dict.set_item(&*worker, tuple(py, held.into_iter().map(|(name, _)| name))?)?;
    }
    Ok(dict)
}

/// What each worker works on.
pub fn processing<'py>(
    py: Python<'py>,
    core: &EngineCore,
    workers: Option<Vec<String>>,
) -> PyResult<Bound<'py, PyDict>> {
    let Reply::Processing(found) = ask(py, core, Query::Processing(texts(workers)), PATIENCE)? else {
        return Err(unexpected(py));
    };
    let dict = PyDict::new(py);
    for (worker, names) in found {
        dict.set_item(&*worker, tuple(py, names)?)?;
    }
    Ok(dict)
}

/// The scheduler and its workers.
pub fn scheduler_info<'py>(py: Python<'py>, core: &EngineCore) -> PyResult<Bound<'py, PyDict>> {
    let Reply::Info(info) = ask(py, core, Query::Info, PATIENCE)? else { return Err(unexpected(py)) };
    let dict = PyDict::new(py);
    dict.set_item("type", "Scheduler")?;
    dict.set_item("id", info.incarnation.to_string())?;
    dict.set_item("address", &core.address)?;
    dict.set_item("version", info.version)?;
    dict.set_item("tasks", info.tasks)?;
    dict.set_item("clients", info.clients.iter().map(|name| &**name).collect::<Vec<_>>())?;
    let workers = PyDict::new(py);
    for state in &info.workers {
        workers.set_item(&*state.peer.address, worker_info(py, state)?)?;
    }
    dict.set_item("workers", workers)?;
    Ok(dict)
}

fn worker_info<'py>(py: Python<'py>, state: &WorkerState) -> PyResult<Bound<'py, PyDict>> {
    let (info, metrics) = (&state.info, &state.metrics);
    let resources = PyDict::new(py);
    for (name, amount) in info.resources.iter() {
        resources.set_item(name, amount)?;
    }
    let measured = PyDict::new(py);
    measured.set_item("memory", metrics.memory_bytes)?;
    measured.set_item("managed", metrics.managed_bytes)?;
    measured.set_item("spilled", metrics.spilled_bytes)?;
    measured.set_item("reserved", metrics.reserved_bytes)?;
    measured.set_item("unmanaged", metrics.unmanaged_bytes)?;
    measured.set_item("executing", metrics.executing)?;
    measured.set_item("ready", metrics.ready)?;
    measured.set_item("waiting", metrics.waiting)?;
    measured.set_item("cpu", f64::from(metrics.cpu_milli) / 10.0)?;
    measured.set_item("fetched_bytes", metrics.fetched_bytes)?;
    measured.set_item("served_bytes", metrics.served_bytes)?;
    measured.set_item("spill_written_bytes", metrics.spill_written_bytes)?;
    measured.set_item("spill_read_bytes", metrics.spill_read_bytes)?;
    let dict = PyDict::new(py);
    dict.set_item("type", "Worker")?;
    dict.set_item("name", &*info.name)?;
    dict.set_item("id", info.incarnation.to_string())?;
    dict.set_item("address", &*state.peer.address)?;
    dict.set_item("host", &*info.host)?;
    dict.set_item("pid", info.pid)?;
    dict.set_item("nthreads", info.nthreads)?;
    dict.set_item("memory_limit", info.memory_limit_bytes)?;
    dict.set_item("pressure", pressure(state.pressure))?;
    dict.set_item("resources", resources)?;
    dict.set_item("in_process", info.in_process)?;
    dict.set_item("held", state.held)?;
    dict.set_item("held_bytes", state.held_bytes)?;
    dict.set_item("processing", state.processing)?;
    dict.set_item("versions", info.versions.iter().cloned().collect::<std::collections::BTreeMap<_, _>>())?;
    dict.set_item("metrics", measured)?;
    Ok(dict)
}

fn pressure(pressure: Pressure) -> &'static str {
    match pressure {
        Pressure::Comfortable => "comfortable",
        Pressure::Tight => "tight",
        Pressure::Full => "full",
    }
}

/// What the client waits for and no worker may run.
pub fn unrunnable<'py>(py: Python<'py>, core: &EngineCore) -> PyResult<Bound<'py, PyList>> {
    let Reply::Unrunnable(found) = ask(py, core, Query::Unrunnable, PATIENCE)? else { return Err(unexpected(py)) };
    let list = PyList::empty(py);
    for one in found {
        let dict = PyDict::new(py);
        dict.set_item("workers", one.workers.map(|only| tuple(py, only.workers)).transpose()?)?;
        dict.set_item("resources", one.resources.iter().collect::<std::collections::BTreeMap<_, _>>())?;
        dict.set_item("tasks", one.tasks)?;
        dict.set_item("example", one.example)?;
        list.append(dict)?;
    }
    Ok(list)
}

/// Totals since the scheduler's start.
pub fn counters<'py>(py: Python<'py>, core: &EngineCore) -> PyResult<Bound<'py, PyDict>> {
    let Reply::Counters(counters) = ask(py, core, Query::Counters, PATIENCE)? else { return Err(unexpected(py)) };
    let Counters {
        submitted,
        finished,
        failed,
        recomputed,
        killed,
        stolen,
        moved_bytes,
        workers_lost,
        memory_deaths,
        handed_back,
        adopted,
        relieved,
        spilled_bytes,
    } = counters;
    let dict = PyDict::new(py);
    for (name, value) in [
        ("submitted", submitted),
        ("finished", finished),
        ("failed", failed),
        ("recomputed", recomputed),
        ("killed", killed),
        ("stolen", stolen),
        ("moved_bytes", moved_bytes),
        ("workers_lost", workers_lost),
        ("memory_deaths", memory_deaths),
        ("handed_back", handed_back),
        ("adopted", adopted),
        ("relieved", relieved),
        ("spilled_bytes", spilled_bytes),
    ] {
        dict.set_item(name, value)?;
    }
    Ok(dict)
}

/// Number of tasks of each family in each state.
pub fn families<'py>(py: Python<'py>, core: &EngineCore) -> PyResult<Bound<'py, PyDict>> {
    let Reply::Families(families) = ask(py, core, Query::Families, PATIENCE)? else { return Err(unexpected(py)) };
    let dict = PyDict::new(py);
    for (family, numbers) in families {
        let states = PyDict::new(py);
        let names = ["waiting", "queued", "running", "memory", "failed", "released"];
        for (name, number) in names.into_iter().zip(numbers) {
            states.set_item(name, number)?;
        }
        dict.set_item(&*family, states)?;
    }
    Ok(dict)
}

/// Returns when there are that many workers.
pub fn wait_for_workers(py: Python<'_>, core: &EngineCore, n: u32, timeout: Option<Duration>) -> PyResult<()> {
    core.check_open(py)?;
    let query = Query::WorkersAtLeast(n);
    interrupt::wait(py, |interrupted| core.client.ask(query, timeout, interrupted)).map(drop)
}

/// Worker address and the result there, or the exception that was raised there.
pub fn run<'py>(
    core: &EngineCore,
    call: (&Bound<'py, PyAny>, &Bound<'py, PyTuple>, &Bound<'py, PyDict>),
    workers: Option<Vec<String>>,
    timeout: Option<Duration>,
) -> PyResult<Bound<'py, PyDict>> {
    let py = call.0.py();
    let call = call.into_pyobject(py)?.into_any();
    let payload = if core.local {
        values::local(call.unbind())
    } else {
        pickle::dumps_function(&call, &Subject { what: "the call", path: "" })?
    };
    let workers = texts(workers);
    let reply = order(py, core, timeout, move |request| ClientToScheduler::Run { request, workers, payload })?;
    let Reply::Run(results) = reply else { return Err(unexpected(py)) };
    let dict = PyDict::new(py);
    for (worker, result) in results {
        match result {
            Ok(payload) => dict.set_item(&*worker, pickle::loads(py, &payload)?)?,
            Err(failure) => dict.set_item(&*worker, errors::raisable(py, &failure).exception(py))?,
        }
    }
    Ok(dict)
}

/// Forgets all tasks and restarts the workers.
pub fn restart(py: Python<'_>, core: &EngineCore, timeout: Option<Duration>) -> PyResult<()> {
    let limit = timeout.unwrap_or(PATIENCE);
    let timeout_ms = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
    // The scheduler's own limit ends the wait, with a reason.
    let patience = limit + Duration::from_secs(2);
    let make = move |request| ClientToScheduler::Restart { request, timeout_ms };
    order(py, core, Some(patience), make).map(drop)
}

/// Lets workers go, after moving what only they hold.
pub fn retire(py: Python<'_>, core: &EngineCore, workers: Vec<String>, timeout: Option<Duration>) -> PyResult<()> {
    let workers = workers.into_iter().map(Arc::from).collect();
    order(py, core, timeout, move |request| ClientToScheduler::Retire { request, workers }).map(drop)
}

/// A payload for several workers of this machine: large buffers in the arena, so that one copy serves all of them.
fn shared(payload: &Payload) -> Payload {
    let (Payload::Bytes { head, buffers }, Some(arena)) = (payload, Arena::global_or_create()) else {
        return payload.clone();
    };
    let share = |buffer: &Segment| {
        let is_ready = buffer.0.len() < SHARED_MIN_BYTES || arena.locate(&buffer.0).is_some();
        let copy = if is_ready { None } else { arena.put(&[&buffer.0]) };
        copy.map_or_else(|| buffer.clone(), Segment)
    };
    Payload::Bytes { head: head.clone(), buffers: buffers.iter().map(share).collect() }
}

/// Puts values on workers; afterwards the client holds one reference to each key.
pub fn scatter(
    py: Python<'_>,
    core: &EngineCore,
    names: &[(Key, TaskName)],
    payloads: Vec<(Payload, u64)>,
    workers: Option<WorkerRestriction>,
    broadcast: bool,
    timeout: Option<Duration>,
) -> PyResult<()> {
    let keys: Vec<Key> = names.iter().map(|(key, _)| *key).collect();
    let described = names.iter().zip(&payloads).map(|((key, name), (payload, _))| {
        let family = match name {
            TaskName::Hashed { prefix, .. } | TaskName::Block { prefix, .. } => prefix.clone(),
            TaskName::Custom(name) => name.clone(),
        };
        // Buffers are read where they are, in shared memory or on disk.
        let in_memory = match payload {
            Payload::Bytes { head, .. } => head.0.len() as u64,
            Payload::Local(_) => 0,
        };
        (*key, family, in_memory)
    });
    let what = Scatter { values: described.collect(), workers, broadcast, timeout, patience: PATIENCE };
    let is_local = core.address.starts_with("unix:");
    let payload = |at: usize, workers: usize| {
        let (payload, nbytes) = &payloads[at];
        (if is_local && workers > 1 { shared(payload) } else { payload.clone() }, *nbytes)
    };
    core.check_open(py)?;
    core.client.retain(&keys);
    let placed = core.wait(py, |interrupted| core.client.scatter(&what, &payload, interrupted));
    if placed.is_err() {
        core.client.release(&keys);
    }
    placed
}
