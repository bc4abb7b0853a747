//! Questions of clients, answered from the tables.

use crate::scheduler::Scheduler;
use crate::tasks::{Slot, State, WorkerIx};
use kask_types::{ClientId, Key};
use kask_wire::client::{Query, Reply, SchedulerInfo, TaskStatus, WorkerState};
use kask_wire::{SchedulerToClient, client::SchedulerToClient::Answer};
use std::sync::Arc;

/// A worker's address, and the names and keys of what it holds.
type Holdings = (Arc<str>, Vec<(String, Key)>);

/// A client that waits for workers.
pub(crate) struct WorkerWait {
    pub(crate) client: ClientId,
    request: u64,
    count: u32,
}

impl Scheduler {
    pub(crate) fn ask(&mut self, client: ClientId, request: u64, query: Query) {
        let reply = match query {
            Query::WhoHas(keys) => Reply::WhoHas(self.who_has(keys)),
            Query::HasWhat(workers) => Reply::HasWhat(self.has_what(workers)),
            Query::Info => Reply::Info(self.info()),
            Query::Processing(workers) => Reply::Processing(self.processing(workers)),
            Query::Counters => Reply::Counters(self.counters()),
            Query::States(keys) => Reply::States(keys.into_iter().map(|key| (key, self.status(key))).collect()),
            Query::WorkersAtLeast(count) => {
                self.worker_waits.push(WorkerWait { client, request, count });
                return self.worker_waits_changed();
            }
            Query::Unrunnable => {
                Reply::Unrunnable(self.clients.find(client).map_or_else(Vec::new, |ix| self.unrunnable(ix)))
            }
            Query::Families => Reply::Families(self.tasks.families.counts()),
            Query::Flush => Reply::Done,
        };
        self.out.tell_client(client, SchedulerToClient::Answer { request, reply });
    }

    pub(crate) fn worker_waits_changed(&mut self) {
        let there = self.workers.iter().filter(|(_, worker)| worker.takes_tasks()).count();
        for wait in std::mem::take(&mut self.worker_waits) {
            if there >= wait.count as usize {
                self.out.tell_client(wait.client, Answer { request: wait.request, reply: Reply::Done });
            } else {
                self.worker_waits.push(wait);
            }
        }
    }

    fn who_has(&self, keys: Option<Vec<Key>>) -> Vec<(String, Key, Vec<Arc<str>>)> {
        let describe = |slot: Slot| {
            let holders = match &self.tasks[slot].state {
                State::Memory { holders, .. } => self.tasks.holders.slice(holders),
                _ => &[],
            };
            let addresses = holders.iter().map(|&ix| self.workers[WorkerIx(ix)].info.address.clone()).collect();
            (self.tasks.printed(slot).to_string(), self.tasks[slot].key(), addresses)
        };
        match keys {
            Some(keys) => keys
                .into_iter()
                .map(|key| match self.tasks.find(key) {
                    Some(slot) => describe(slot),
                    None => (key.to_string(), key, Vec::new()),
                })
                .collect(),
            None => {
                let stored = |&slot: &Slot| matches!(self.tasks[slot].state, State::Memory { .. });
                self.tasks.slots().filter(stored).map(describe).collect()
            }
        }
    }

    /// The workers named, or all; unknown names are left out.
    fn chosen(&self, names: Option<Vec<Arc<str>>>) -> Vec<WorkerIx> {
        match names {
            Some(names) => names.iter().filter_map(|name| self.workers.named(name)).collect(),
            None => self.workers.iter().map(|(ix, _)| ix).collect(),
        }
    }

    fn has_what(&self, workers: Option<Vec<Arc<str>>>) -> Vec<Holdings> {
        let describe = |ix: WorkerIx| {
            let worker = &self.workers[ix];
            let held = worker.held.iter().map(|slot| (self.tasks.printed(slot).to_string(), self.tasks[slot].key()));
            (worker.info.address.clone(), held.collect())
        };
        self.chosen(workers).into_iter().map(describe).collect()
    }

    fn processing(&self, workers: Option<Vec<Arc<str>>>) -> Vec<(Arc<str>, Vec<String>)> {
        let describe = |ix: WorkerIx| {
            let worker = &self.workers[ix];
            let names = worker.processing.iter().map(|slot| self.tasks.printed(slot).to_string());
            (worker.info.address.clone(), names.collect())
        };
        self.chosen(workers).into_iter().map(describe).collect()
    }

    fn info(&self) -> SchedulerInfo {
        let workers = self.workers.iter().map(|(_, worker)| WorkerState {
            peer: worker.peer(),
            info: worker.info.clone(),
            metrics: worker.metrics,
            held_bytes: worker.held_bytes,
            held: worker.held.len() as u64,
            processing: worker.processing.len() as u64,
            pressure: worker.pressure,
        });
        SchedulerInfo {
            incarnation: self.incarnation,
            version: self.version.clone(),
            workers: workers.collect(),
            clients: self.clients.iter().map(|(_, client)| client.info.name.clone()).collect(),
            tasks: self.tasks.len() as u64,
        }
    }

    fn status(&self, key: Key) -> TaskStatus {
        let Some(slot) = self.tasks.find(key) else {
            return TaskStatus::Unknown;
        };
        match self.tasks[slot].state {
            State::Vacant => TaskStatus::Unknown,
            State::Released => TaskStatus::Released,
            State::Scattering
            | State::Awaited
            | State::Waiting { .. }
            | State::Queued
            | State::Parked
            | State::Processing { .. } => TaskStatus::Pending,
            State::Memory { .. } => TaskStatus::InMemory,
            State::Erred(_) => TaskStatus::Failed,
        }
    }
}
