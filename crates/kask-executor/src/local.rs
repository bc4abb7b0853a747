//! Values of workers that live in this very process: no socket, no copy.

use crate::disk::For;
use crate::host::WorkerHost;
use crate::runtime::Value;
use crate::store::{Found, Stored};
use kask_net::data_plane::{DataPlane, DataSink, Fetched, PutDone};
use kask_net::reactor::drive;
use kask_types::{Incarnation, Payload, TaskId, ValueId, WorkerId};
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

    fn get(&self, worker: WorkerId, values: Vec<ValueId>, mut sink: Box<dyn DataSink>) {
        let Some(host) = self.host(worker) else {
            sink.values(values.into_iter().map(|id| (id, Fetched::Unreachable)).collect(), true);
            return;
        };
        let mut here = Vec::with_capacity(values.len());
        let mut on_disk = Vec::new();
        for id in values {
            match host.store.get(id) {
                Some(Found::Memory(stored)) => here.push((id, fetched(Some(stored)))),
                Some(Found::Disk { .. }) => on_disk.push(id),
                None => here.push((id, Fetched::NotThere)),
            }
        }
        if on_disk.is_empty() {
            sink.values(here, true);
            return;
        }
        if !here.is_empty() {
            sink.values(here, false);
        }
        let reading = move |host: &Arc<WorkerHost>| {
            let last = on_disk.len() - 1;
            for (index, id) in on_disk.into_iter().enumerate() {
                sink.values(vec![(id, fetched(host.find(id)))], index == last);
            }
        };
        host.disk.read(&host, For::Others, Box::new(reading));
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

fn fetched(found: Option<Stored>) -> Fetched {
    match found {
        None => Fetched::NotThere,
        Some(Stored::Value(value)) => Fetched::Here(value.for_this_process()),
        Some(Stored::Unsendable(failure)) => Fetched::Failed(failure),
    }
}

impl WorkerHost {
    /// Takes in values that a client scattered.
    pub(crate) fn hold(self: &Arc<Self>, values: Vec<(TaskId, Payload, u64)>) {
        for (task, payload, nbytes) in values {
            self.store.insert(task, Stored::Value(Value::received(payload)), nbytes);
            self.post(Event::Stored { task, nbytes });
        }
        drive(self.clone());
    }
}
