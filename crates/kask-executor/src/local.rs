//! Values of workers that live in this very process: no socket, no copy.

use crate::host::WorkerHost;
use crate::runtime::Value;
use crate::store::Stored;
use kask_net::data_plane::{DataPlane, DataSink, Fetched, PutDone};
use kask_net::reactor::drive;
use kask_types::{Incarnation, Payload, TaskId, WorkerId};
use kask_wire::worker::Peer;
use kask_worker::Event;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use std::sync::{Arc, Weak};

/// The workers of one scheduler that live in this process. Shared by those workers and their clients.
#[derive(Default)]
pub struct LocalWorkers {
    hosts: Mutex<FxHashMap<Incarnation, Weak<WorkerHost>>>,
    workers: Mutex<FxHashMap<WorkerId, Incarnation>>,
}

impl LocalWorkers {
    /// Makes a worker reachable.
    pub fn add(&self, host: &Arc<WorkerHost>) {
        self.hosts.lock().insert(host.options.incarnation, Arc::downgrade(host));
    }

    fn host(&self, worker: WorkerId) -> Option<Arc<WorkerHost>> {
        let incarnation = *self.workers.lock().get(&worker)?;
        self.hosts.lock().get(&incarnation)?.upgrade().filter(|host| !host.is_closed())
    }
}

impl DataPlane for LocalWorkers {
    fn join(&self, peer: &Peer) {
        self.workers.lock().insert(peer.worker, peer.incarnation);
    }

    fn leave(&self, worker: WorkerId) {
        let gone = self.workers.lock().remove(&worker);
        if let Some(incarnation) = gone {
            self.hosts.lock().remove(&incarnation);
        }
    }

    fn get(&self, worker: WorkerId, tasks: Vec<TaskId>, mut sink: Box<dyn DataSink>) {
        let host = self.host(worker);
        let fetch = |task| match &host {
            None => Fetched::Unreachable,
            Some(host) => match host.store.get(task) {
                None => Fetched::NotThere,
                Some(Stored::Value(value)) => Fetched::Here(value.for_this_process()),
                Some(Stored::Unsendable(failure)) => Fetched::Failed(failure),
            },
        };
        let values = tasks.into_iter().map(|task| (task, fetch(task))).collect();
        sink.values(values, true);
    }

    fn put(&self, worker: WorkerId, values: Vec<(TaskId, Payload, u64)>, done: PutDone) {
        let Some(host) = self.host(worker) else {
            done(Err(format!("worker {worker:?} is gone")));
            return;
        };
        host.hold(values);
        done(Ok(()));
    }

    /// Others in this process may still need the workers; each ends with its own host.
    fn close(&self) {}
}

impl WorkerHost {
    /// Takes in values that a client scattered.
    pub(crate) fn hold(self: &Arc<Self>, values: Vec<(TaskId, Payload, u64)>) {
        for (task, payload, nbytes) in values {
            self.store.insert(task, Stored::Value(Value::received(payload)));
            self.post(Event::Stored { task, nbytes });
        }
        drive(self.clone());
    }
}
