//! What clients say, and what becomes of a client.

use crate::clients::ClientIx;
use crate::event::Action;
use crate::scheduler::Scheduler;
use crate::tasks::Slot;
use kask_types::{BlobId, ClientId};
use kask_wire::client::ClientInfo;
use kask_wire::{ClientToScheduler, SchedulerToClient, SchedulerToSupervisor, SchedulerToWorker};
use std::sync::Arc;

impl Scheduler {
    pub(crate) fn client_message(&mut self, id: ClientId, message: ClientToScheduler) {
        let known = self.clients.find(id);
        self.out.handles_message_of(id);
        let (client, message) = match (known, message) {
            (None, ClientToScheduler::Register(info)) => return self.client_joins(id, info),
            (None, _) => return self.refuse_client(id, "a client registers before it says anything else"),
            (Some(ix), ClientToScheduler::Register(_)) => {
                self.client_gone(ix);
                return self.refuse_client(id, "a client registers once");
            }
            (Some(ix), message) => (ix, message),
        };
        match message {
            ClientToScheduler::Register(_) => unreachable!("handled above"),
            ClientToScheduler::Blobs(blobs) => self.pin_blobs(client, blobs),
            ClientToScheduler::DropBlobs(blobs) => self.unpin_blobs(client, blobs),
            ClientToScheduler::Submit { graph, outputs } => self.submit(client, graph, &outputs),
            ClientToScheduler::Want(keys) => self.want_keys(client, keys),
            ClientToScheduler::Unwant(keys) => self.unwant_keys(client, keys),
            ClientToScheduler::Detach(keys) => self.detach(keys),
            ClientToScheduler::Cancel { keys, force, reason } => self.cancel(client, &keys, force, &reason),
            ClientToScheduler::Retry(keys) => self.retry(&keys),
            ClientToScheduler::Scatter { request, values, workers, broadcast } => {
                self.scatter(client, request, values, workers, broadcast);
            }
            ClientToScheduler::Ask { request, query } => self.ask(id, request, query),
            ClientToScheduler::Run { request, workers, payload } => self.run_on_workers(id, request, workers, payload),
            ClientToScheduler::Restart { request, timeout_ms } => self.restart(id, request, timeout_ms),
            ClientToScheduler::Retire { request, workers } => self.retire(id, request, &workers),
            ClientToScheduler::Replicate { request, keys, copies, workers } => {
                self.replicate(id, request, keys, copies, workers);
            }
            ClientToScheduler::Missing(keys) => self.client_missed(client, keys),
            ClientToScheduler::Shutdown => self.shut_down(),
            ClientToScheduler::Closing => self.client_gone(client),
        }
    }

    fn client_joins(&mut self, id: ClientId, info: ClientInfo) {
        self.clients.insert(id, info);
        self.out.client_joins(id);
        let workers = self.workers.iter().map(|(_, worker)| (worker.peer(), worker.info.clone())).collect();
        self.out.tell_client(id, SchedulerToClient::Registered { client: id, workers });
    }

    fn refuse_client(&mut self, id: ClientId, reason: &str) {
        let reason: Arc<str> = reason.into();
        self.out.tell_client(id, SchedulerToClient::Closing { reason: reason.clone() });
        self.out.last(Action::DisconnectClient { client: id, reason });
    }

    pub(crate) fn client_lost(&mut self, id: ClientId) {
        if let Some(ix) = self.clients.find(id) {
            self.client_gone(ix);
        }
    }

    /// Ends all interest and all requests of a client.
    fn client_gone(&mut self, ix: ClientIx) {
        let id = self.clients[ix].id;
        let wants: Vec<Slot> = self.clients[ix].wants.iter().collect();
        for slot in wants {
            self.unwant(ix, slot);
        }
        let pins: Vec<BlobId> = self.clients[ix].pins.iter().copied().collect();
        self.unpin_blobs(ix, pins);
        self.putter_lost(ix);
        self.worker_waits.retain(|wait| wait.client != id);
        self.replications.retain(|job| job.client() != id);
        self.calls_of_are_over(id);
        for job in &mut self.retirements {
            job.forget_client(id);
        }
        self.restarts.retain(|job| job.client != id);
        self.clients.remove(ix);
        self.out.forget_client(id);
        self.settle();
    }

    fn shut_down(&mut self) {
        let reason: Arc<str> = "the cluster was shut down".into();
        for (_, worker) in self.workers.iter() {
            self.out.tell_worker(worker.id, SchedulerToWorker::Close { reason: reason.clone() });
        }
        for (_, client) in self.clients.iter() {
            self.out.tell_client(client.id, SchedulerToClient::Closing { reason: reason.clone() });
        }
        let supervisors: Vec<_> = self.supervisors.ids().collect();
        for supervisor in supervisors {
            self.out.tell_supervisor(supervisor, SchedulerToSupervisor::Close);
        }
        self.out.last(Action::Shutdown);
    }
}
