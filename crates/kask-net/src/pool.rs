//! Connections to workers that hold data, made at first use and shared by all requests.
//!
//! Every request is answered exactly once: by the worker, or as unreachable when the connection cannot be made, breaks,
//! turns out to lead to another incarnation, or the scheduler says that the worker is gone.

use crate::data_plane::{DataPlane, DataSink, Fetched, PutDone};
use crate::{Address, Security, Sender, connect, runtime};
use kask_types::{Incarnation, Payload, TaskId, ValueId, WorkerId};
use kask_wire::data::Value;
use kask_wire::worker::Peer;
use kask_wire::{DataReply, DataRequest, Role};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tracing::debug;

/// How long a worker may take to accept a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Values of workers in other processes.
pub struct DataPool {
    security: Security,
    incarnation: Incarnation,
    peers: Mutex<BTreeMap<WorkerId, Arc<Remote>>>,
}

struct Remote {
    peer: Peer,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    stage: Stage,
    next: u64,
    open: BTreeMap<u64, Open>,
}

#[derive(Default)]
enum Stage {
    #[default]
    Idle,
    Connecting(Vec<DataRequest>),
    Connected(Sender),
}

enum Open {
    Get { left: BTreeSet<ValueId>, sink: Box<dyn DataSink> },
    Put(PutDone),
}

impl Open {
    fn fail(self, problem: &str) {
        match self {
            Open::Get { left, mut sink } => {
                sink.values(left.into_iter().map(|id| (id, Fetched::Unreachable)).collect(), true);
            }
            Open::Put(done) => done(Err(problem.to_string())),
        }
    }
}

impl DataPool {
    /// A pool without peers.
    pub fn new(security: Security, incarnation: Incarnation) -> DataPool {
        DataPool { security, incarnation, peers: Mutex::default() }
    }

    fn remote(&self, worker: WorkerId) -> Option<Arc<Remote>> {
        self.peers.lock().get(&worker).cloned()
    }

    fn request(&self, worker: WorkerId, open: Open, make: impl FnOnce(u64) -> DataRequest) {
        let Some(remote) = self.remote(worker) else {
            open.fail(&format!("worker {worker:?} is gone"));
            return;
        };
        let mut state = remote.state.lock();
        state.next += 1;
        let request = state.next;
        state.open.insert(request, open);
        let message = make(request);
        match &mut state.stage {
            Stage::Connected(sender) => {
                let sender = sender.clone();
                drop(state);
                if let Err(error) = sender.send(&message) {
                    remote.fail_one(request, &error.to_string());
                }
            }
            Stage::Connecting(queue) => queue.push(message),
            Stage::Idle => {
                state.stage = Stage::Connecting(vec![message]);
                drop(state);
                self.start(remote);
            }
        }
    }

    fn start(&self, remote: Arc<Remote>) {
        let (security, incarnation) = (self.security.clone(), self.incarnation);
        match runtime::handle() {
            Ok(network) => drop(network.spawn(remote.clone().run(security, incarnation))),
            Err(error) => remote.fail_all(&format!("no network thread: {error}")),
        }
    }
}

impl DataPlane for DataPool {
    fn join(&self, peer: &Peer) {
        let remote = Remote { peer: peer.clone(), state: Mutex::default() };
        self.peers.lock().insert(peer.worker, Arc::new(remote));
    }

    fn leave(&self, worker: WorkerId) {
        let gone = self.peers.lock().remove(&worker);
        if let Some(remote) = gone {
            remote.fail_all("the worker is gone");
        }
    }

    fn get(&self, worker: WorkerId, values: Vec<ValueId>, sink: Box<dyn DataSink>) {
        let left = values.iter().copied().collect();
        self.request(worker, Open::Get { left, sink }, |request| DataRequest::Get { request, values });
    }

    fn put(&self, worker: WorkerId, values: Vec<(TaskId, Payload, u64)>, done: PutDone) {
        self.request(worker, Open::Put(done), |request| DataRequest::Put { request, worker, values });
    }

    fn close(&self) {
        let peers = std::mem::take(&mut *self.peers.lock());
        for remote in peers.into_values() {
            remote.fail_all("the connection was closed");
        }
    }
}

impl Remote {
    async fn run(self: Arc<Self>, security: Security, incarnation: Incarnation) {
        let problem = match self.converse(&security, incarnation).await {
            Ok(()) => "the worker closed the connection".to_string(),
            Err(problem) => problem,
        };
        debug!(worker = ?self.peer.worker, %problem, "a data connection ended");
        self.fail_all(&problem);
    }

    async fn converse(&self, security: &Security, incarnation: Incarnation) -> Result<(), String> {
        let address: Address = self.peer.address.parse().map_err(|error| format!("{error}"))?;
        let connection = connect(&address, security, Role::Data, incarnation, CONNECT_TIMEOUT)
            .await
            .map_err(|error| error.to_string())?;
        if connection.peer != self.peer.incarnation {
            return Err(format!("another worker listens at {address} now"));
        }
        let (sender, mut receiver) = connection.split();
        let queued = {
            let mut state = self.state.lock();
            match std::mem::replace(&mut state.stage, Stage::Connected(sender.clone())) {
                Stage::Connecting(queued) => queued,
                // fail_all ended the attempt meanwhile.
                Stage::Idle | Stage::Connected(_) => return Err("the connection was given up".into()),
            }
        };
        for message in queued {
            sender.send(&message).map_err(|error| error.to_string())?;
        }
        while let Some(reply) = receiver.recv::<DataReply>().await.map_err(|error| error.to_string())? {
            self.take_in(reply);
        }
        Ok(())
    }

    fn take_in(&self, reply: DataReply) {
        match reply {
            DataReply::Stored { request } => {
                let open = self.state.lock().open.remove(&request);
                match open {
                    Some(Open::Put(done)) => done(Ok(())),
                    Some(get @ Open::Get { .. }) => get.fail("the worker mixed its answers up"),
                    None => {}
                }
            }
            DataReply::Values { request, values, last } => self.take_values(request, values, last),
        }
    }

    fn take_values(&self, request: u64, values: Vec<(ValueId, Value)>, last: bool) {
        let Some(mut open) = self.state.lock().open.remove(&request) else { return };
        let Open::Get { left, sink } = &mut open else {
            open.fail("the worker mixed its answers up");
            return;
        };
        let mut fetched: Vec<(ValueId, Fetched)> = values
            .into_iter()
            .filter(|(id, _)| left.remove(id))
            .map(|(id, value)| match value {
                Value::Here(payload) => (id, Fetched::Here(payload)),
                Value::NotThere => (id, Fetched::NotThere),
                Value::Failed(failure) => (id, Fetched::Failed(failure)),
                Value::Busy => (id, Fetched::Busy),
            })
            .collect();
        if last {
            fetched.extend(std::mem::take(left).into_iter().map(|id| (id, Fetched::NotThere)));
        }
        sink.values(fetched, last);
        if !last {
            self.state.lock().open.insert(request, open);
        }
    }

    fn fail_one(&self, request: u64, problem: &str) {
        let open = self.state.lock().open.remove(&request);
        if let Some(open) = open {
            open.fail(problem);
        }
    }

    fn fail_all(&self, problem: &str) {
        let (stage, open) = {
            let mut state = self.state.lock();
            (std::mem::take(&mut state.stage), std::mem::take(&mut state.open))
        };
        if let Stage::Connected(sender) = stage {
            sender.close();
        }
        for open in open.into_values() {
            open.fail(problem);
        }
    }
}
