//! What is to be sent, gathered so that each peer gets few and full messages.
//!
//! Messages to one peer keep their order, with one liberty: within a *run* of a worker's outbox, blobs go first, then
//! cancellations, then values to free, then tasks to compute, then steals. That is safe because
//! - a cancelled attempt was sent before: a cancellation begins a new run if the run has tasks to compute;
//! - a value is freed once no task needs it: those that did have ended, or were cancelled (a new run);
//! - a value that is computed again was freed before its task was sent again.
//!
//! Any other message ends the run.

use crate::event::{Action, SupervisorId};
use kask_types::{Attempt, BlobId, ClientId, Failure, Key, Payload, TaskId, WorkerId};
use kask_wire::client::KeyInMemory;
use kask_wire::{ComputeTask, SchedulerToClient, SchedulerToSupervisor, SchedulerToWorker};
use std::collections::{BTreeMap, VecDeque};

#[derive(Default)]
struct WorkerBox {
    done: Vec<SchedulerToWorker>,
    blobs: Vec<(BlobId, Payload)>,
    cancel: Vec<(TaskId, Attempt)>,
    free: Vec<TaskId>,
    compute: Vec<ComputeTask>,
    steal: Vec<(TaskId, Attempt)>,
}

impl WorkerBox {
    fn end_run(&mut self) {
        let WorkerBox { done, blobs, cancel, free, compute, steal } = self;
        if !blobs.is_empty() {
            done.push(SchedulerToWorker::Blobs(std::mem::take(blobs)));
        }
        if !cancel.is_empty() {
            done.push(SchedulerToWorker::Cancel(std::mem::take(cancel)));
        }
        if !free.is_empty() {
            done.push(SchedulerToWorker::Free(std::mem::take(free)));
        }
        if !compute.is_empty() {
            done.push(SchedulerToWorker::Compute(std::mem::take(compute)));
        }
        if !steal.is_empty() {
            done.push(SchedulerToWorker::Steal(std::mem::take(steal)));
        }
    }
}

/// How many of a client's messages have been handled, and how many it knows of.
#[derive(Clone, Copy)]
struct Handled {
    count: u64,
    told: u64,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Outbox {
    workers: BTreeMap<WorkerId, WorkerBox>,
    clients: BTreeMap<ClientId, Vec<SchedulerToClient>>,
    handled: BTreeMap<ClientId, Handled>,
    ready: VecDeque<Action>,
    /// The worker that was written to last, kept out of the map: most messages come in runs to one worker.
    current: Option<(WorkerId, WorkerBox)>,
}

impl Outbox {
    fn worker(&mut self, id: WorkerId) -> &mut WorkerBox {
        if self.current.as_ref().is_none_or(|(current, _)| *current != id) {
            if let Some((old, box_)) = self.current.take() {
                self.workers.insert(old, box_);
            }
            self.current = Some((id, self.workers.remove(&id).unwrap_or_default()));
        }
        &mut self.current.as_mut().expect("set above").1
    }

    pub(crate) fn blob(&mut self, worker: WorkerId, id: BlobId, payload: Payload) {
        self.worker(worker).blobs.push((id, payload));
    }

    pub(crate) fn compute(&mut self, worker: WorkerId, task: ComputeTask) {
        self.worker(worker).compute.push(task);
    }

    pub(crate) fn cancel(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt) {
        let run = self.worker(worker);
        if !run.compute.is_empty() || !run.steal.is_empty() {
            run.end_run();
        }
        run.cancel.push((task, attempt));
    }

    pub(crate) fn free(&mut self, worker: WorkerId, task: TaskId) {
        self.worker(worker).free.push(task);
    }

    pub(crate) fn steal(&mut self, worker: WorkerId, task: TaskId, attempt: Attempt) {
        self.worker(worker).steal.push((task, attempt));
    }

    /// Any other message.
    pub(crate) fn tell_worker(&mut self, worker: WorkerId, message: SchedulerToWorker) {
        let run = self.worker(worker);
        run.end_run();
        run.done.push(message);
    }

    /// A client's first message has been handled: the answer to it says as much.
    pub(crate) fn client_joins(&mut self, id: ClientId) {
        self.handled.insert(id, Handled { count: 1, told: 1 });
    }

    /// Another message of this client is being handled now.
    pub(crate) fn handles_message_of(&mut self, id: ClientId) {
        if let Some(handled) = self.handled.get_mut(&id) {
            handled.count += 1;
        }
    }

    fn client(&mut self, id: ClientId) -> &mut Vec<SchedulerToClient> {
        let messages = self.clients.entry(id).or_default();
        if let Some(handled) = self.handled.get_mut(&id)
            && handled.told < handled.count
        {
            handled.told = handled.count;
            messages.push(SchedulerToClient::Handled(handled.count));
        }
        messages
    }

    pub(crate) fn in_memory(&mut self, client: ClientId, key: KeyInMemory) {
        let messages = self.client(client);
        match messages.last_mut() {
            Some(SchedulerToClient::InMemory(keys)) => keys.push(key),
            _ => messages.push(SchedulerToClient::InMemory(vec![key])),
        }
    }

    pub(crate) fn ended(&mut self, client: ClientId, key: Key, failure: Failure) {
        let messages = self.client(client);
        match messages.last_mut() {
            Some(SchedulerToClient::Ended(keys)) => keys.push((key, failure)),
            _ => messages.push(SchedulerToClient::Ended(vec![(key, failure)])),
        }
    }

    pub(crate) fn pending(&mut self, client: ClientId, key: Key) {
        let messages = self.client(client);
        match messages.last_mut() {
            Some(SchedulerToClient::Pending(keys)) => keys.push(key),
            _ => messages.push(SchedulerToClient::Pending(vec![key])),
        }
    }

    /// Any other message.
    pub(crate) fn tell_client(&mut self, client: ClientId, message: SchedulerToClient) {
        self.client(client).push(message);
    }

    pub(crate) fn tell_supervisor(&mut self, supervisor: SupervisorId, message: SchedulerToSupervisor) {
        self.ready.push_back(Action::ToSupervisor { supervisor, message });
    }

    /// Nothing more can be sent to this worker.
    pub(crate) fn forget_worker(&mut self, id: WorkerId) {
        if self.current.as_ref().is_some_and(|(current, _)| *current == id) {
            self.current = None;
        }
        self.workers.remove(&id);
    }

    /// Nothing more can be sent to this client.
    pub(crate) fn forget_client(&mut self, id: ClientId) {
        self.clients.remove(&id);
        self.handled.remove(&id);
    }

    /// Everything gathered so far, then this.
    pub(crate) fn last(&mut self, action: Action) {
        self.flush();
        self.ready.push_back(action);
    }

    fn flush(&mut self) {
        if let Some((id, box_)) = self.current.take() {
            self.workers.insert(id, box_);
        }
        for (worker, mut box_) in std::mem::take(&mut self.workers) {
            box_.end_run();
            self.ready.extend(box_.done.into_iter().map(|message| Action::ToWorker { worker, message }));
        }
        for (client, messages) in std::mem::take(&mut self.clients) {
            self.ready.extend(messages.into_iter().map(|message| Action::ToClient { client, message }));
        }
    }

    pub(crate) fn poll(&mut self) -> Option<Action> {
        if self.ready.is_empty() {
            self.flush();
        }
        self.ready.pop_front()
    }
}
