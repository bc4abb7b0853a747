//! What an engine is to futures, tasks and waits: a client, and how values travel to its workers.
//!
//! [`EngineCore`] is shared by the Python `Engine`, by all of its futures and by work in flight. It is closed once, by
//! whoever is first: the user, the interpreter's exit, or the last of its owners.

use crate::errors::{self, Raisable};
use crate::future::Future;
use crate::interrupt;
use crate::local_cluster::LocalCluster;
use crate::lookout::Lookout;
use crate::pickle;
use kask_client::{Client, Interrupted, WaitError};
use kask_types::{Failure, Incarnation, Key, Payload, TaskName};
use parking_lot::Mutex;
use pyo3::PyClass;
use pyo3::prelude::*;
use pyo3::types::PyWeakrefReference;
use rustc_hash::{FxHashMap, FxHashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

/// Where an engine's scheduler is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// In this process, with runners.
    Embedded,
    /// In this process; the waiting thread runs the tasks.
    Sync,
    /// Elsewhere, or in a cluster that somebody else closes.
    Remote,
}

/// One connection to a scheduler.
pub struct EngineCore {
    /// The client.
    pub client: Client,
    /// Where its scheduler is.
    pub kind: Kind,
    /// Whether arguments and results stay objects.
    pub local: bool,
    /// The scheduler's address.
    pub address: String,
    /// The scheduler and workers, when they live and end with this engine.
    cluster: Mutex<Option<Arc<LocalCluster>>>,
    /// Runs what is queued on the calling thread; of the synchronous engine only.
    driver: Option<Arc<dyn Fn() + Send + Sync>>,
    closed: AtomicBool,
    owner: Mutex<Option<Py<PyAny>>>,
    wrapper: Mutex<Option<Py<PyWeakrefReference>>>,
    /// What the user was warned of.
    told: Mutex<FxHashSet<String>>,
}

static ENGINES: Mutex<Option<FxHashMap<Incarnation, Weak<EngineCore>>>> = Mutex::new(None);

impl EngineCore {
    /// An engine around a client.
    pub fn new(
        client: Client,
        kind: Kind,
        local: bool,
        address: String,
        cluster: Option<Arc<LocalCluster>>,
    ) -> Arc<EngineCore> {
        let driver = cluster.as_ref().and_then(|cluster| cluster.driver());
        let core = Arc::new(EngineCore {
            driver,
            client,
            kind,
            local,
            address,
            cluster: Mutex::new(cluster),
            closed: AtomicBool::new(false),
            owner: Mutex::new(None),
            wrapper: Mutex::new(None),
            told: Mutex::default(),
        });
        let mut engines = ENGINES.lock();
        let engines = engines.get_or_insert_default();
        engines.retain(|_, engine| engine.strong_count() > 0);
        engines.insert(core.client.incarnation(), Arc::downgrade(&core));
        core
    }

    /// The engine of this process with that identity.
    pub fn find(incarnation: Incarnation) -> Option<Arc<EngineCore>> {
        ENGINES.lock().as_ref()?.get(&incarnation)?.upgrade()
    }

    /// All engines of this process.
    pub fn all() -> Vec<Arc<EngineCore>> {
        ENGINES.lock().iter().flat_map(|engines| engines.values()).filter_map(Weak::upgrade).collect()
    }

    /// Whether no more work can be submitted.
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire) || self.client.closed().is_some()
    }

    /// Refuses work on a closed engine.
    pub fn check_open(&self, py: Python<'_>) -> PyResult<()> {
        match self.client.closed() {
            None if !self.closed.load(Ordering::Acquire) => Ok(()),
            None => Err(errors::new(py, "ClientClosedError", "the engine is closed", None)),
            Some(reason) => Err(errors::new(py, "ClientClosedError", &reason, None)),
        }
    }

    /// Whose futures they are: a `kask.distributed.Client`, or nobody's.
    pub fn owner(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        self.owner.lock().as_ref().map(|owner| owner.clone_ref(py))
    }

    /// Makes the futures somebody's.
    pub fn set_owner(&self, owner: Option<Py<PyAny>>) {
        // Dropped outside the lock: it may be the last reference, and run Python code.
        let old = std::mem::replace(&mut *self.owner.lock(), owner);
        drop(old);
    }

    /// Whether the owner wants awaitables.
    pub fn is_asynchronous(&self, py: Python<'_>) -> bool {
        let Some(owner) = self.owner(py) else { return false };
        let asked = owner.bind(py).getattr_opt(pyo3::intern!(py, "asynchronous"));
        asked.ok().flatten().is_some_and(|asynchronous| asynchronous.is_truthy().unwrap_or(false))
    }

    /// The one Python object that stands for this engine, as long as it lives.
    pub fn wrapper<'py, T: PyClass>(
        &self,
        py: Python<'py>,
        make: impl FnOnce() -> PyResult<Bound<'py, T>>,
    ) -> PyResult<Bound<'py, T>> {
        use pyo3::types::PyWeakrefMethods;
        let known = self.wrapper.lock().as_ref().map(|weak| weak.clone_ref(py));
        if let Some(alive) = known.and_then(|weak| weak.bind(py).upgrade()) {
            return Ok(alive.cast_into()?);
        }
        let wrapper = make()?;
        *self.wrapper.lock() = Some(PyWeakrefReference::new(wrapper.as_any())?.unbind());
        Ok(wrapper)
    }

    /// Futures of keys that the client retains already, one reference each.
    pub fn future(self: &Arc<Self>, key: Key, name: TaskName) -> Future {
        Future::held(self.clone(), key, name)
    }

    /// The result of one key, waiting for it.
    pub fn fetch(&self, py: Python<'_>, key: Key, timeout: Option<Duration>) -> PyResult<Result<Payload, Failure>> {
        let results = self.fetch_all(py, &[key], timeout)?;
        Ok(results.into_iter().next().expect("one result for one key"))
    }

    /// The results of keys, waiting for them.
    pub fn fetch_all(
        &self,
        py: Python<'_>,
        keys: &[Key],
        timeout: Option<Duration>,
    ) -> PyResult<Vec<Result<Payload, Failure>>> {
        let gather = |interrupted: Interrupted<'_>| self.client.gather(keys, timeout, interrupted);
        // What is here already can be had without letting go of the runner.
        let at_hand = self.local && keys.len() == 1 && self.client.status(keys[0]).is_done();
        if at_hand { interrupt::wait(py, gather) } else { self.wait(py, gather) }
    }

    /// Whether the user has not been warned of this yet.
    pub fn is_news(&self, what: &str) -> bool {
        self.told.lock().insert(what.to_owned())
    }

    /// Waits for something that tasks do. Who waits for long is told of tasks that no worker may run.
    pub fn wait<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(Interrupted<'_>) -> Result<T, WaitError> + Send,
    ) -> PyResult<T> {
        let mut lookout = Lookout::new();
        let outcome = interrupt::wait_aside(py, self.driver.as_deref(), |interrupted| {
            work(&mut || lookout.look(self) || interrupted())
        });
        lookout.raised.map_or(outcome, Err)
    }

    /// Closes the connection and, if it lives with this engine, the cluster. Idempotent. True when no task is running.
    pub fn close(&self, timeout: Duration, interrupted: Interrupted<'_>) -> bool {
        self.closed.store(true, Ordering::Release);
        if self.client.is_foreign() {
            return true;
        }
        self.client.close("the client was closed");
        let cluster = self.cluster.lock().take();
        cluster.is_none_or(|cluster| cluster.close(timeout, interrupted))
    }
}

impl Drop for EngineCore {
    fn drop(&mut self) {
        if self.client.is_foreign() {
            // Its threads, sockets and files are the parent's, and some of its locks may never be free here.
            std::mem::forget(std::mem::take(&mut *self.cluster.lock()));
            return;
        }
        if self.closed.load(Ordering::Acquire) {
            return;
        }
        self.client.close("nobody uses this client any more");
        if let Some(cluster) = self.cluster.lock().take() {
            // Whoever drops the last reference may hold the GIL, for which a running task may be waiting.
            let end = move || cluster.close(Duration::from_secs(1), &mut || false);
            let _ = std::thread::Builder::new().name("kask-close".into()).spawn(end);
        }
    }
}

/// A result as an object; the error says that it could not be unpickled here.
pub fn value<'py>(py: Python<'py>, payload: &Payload, name: &TaskName) -> PyResult<Bound<'py, PyAny>> {
    pickle::loads(py, payload).map_err(|error| {
        let message = format!("the result of task {name} cannot be unpickled here: {}", error.value(py));
        let hint = "are the same packages installed here and on the workers, in the same versions?";
        errors::serialization(py, &message, hint, Some(error))
    })
}

/// A failure, ready to be raised any number of times.
pub struct KnownFailure {
    failure: Failure,
    raisable: Raisable,
}

impl KnownFailure {
    /// Decodes a failure.
    pub fn new(py: Python<'_>, failure: &Failure) -> KnownFailure {
        KnownFailure { failure: failure.clone(), raisable: errors::raisable(py, failure) }
    }

    /// Whether it is this very failure, not one of a later attempt.
    pub fn is(&self, failure: &Failure) -> bool {
        match (&self.failure, failure) {
            (Failure::Raised(known), Failure::Raised(other)) => Arc::ptr_eq(known, other),
            (Failure::Raised(_), _) | (_, Failure::Raised(_)) => false,
            (known, other) => known.to_string() == other.to_string(),
        }
    }

    /// What is raised.
    pub fn raisable(&self) -> &Raisable {
        &self.raisable
    }
}
