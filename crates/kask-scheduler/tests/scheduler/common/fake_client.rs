//! A client that remembers what it was told, and refuses to be told nonsense.

use kask_types::{Failure, Key, TaskId, WorkerId};
use kask_wire::SchedulerToClient;
use kask_wire::client::Reply;
use std::collections::{BTreeMap, BTreeSet};

/// What a client last heard of a key.
#[derive(Clone, Debug)]
pub enum Seen {
    InMemory { task: TaskId, worker: WorkerId },
    Ended(Failure),
    Pending,
}

#[derive(Default)]
pub struct FakeClient {
    pub registered: bool,
    pub handled: u64,
    pub workers: BTreeSet<WorkerId>,
    pub wants: BTreeSet<Key>,
    pub seen: BTreeMap<Key, Seen>,
    pub refused: Vec<String>,
    pub answers: BTreeMap<u64, Reply>,
    pub closing: Option<String>,
}

impl FakeClient {
    pub fn receive(&mut self, message: SchedulerToClient) {
        assert!(self.registered || matches!(message, SchedulerToClient::Registered { .. }), "first comes Registered");
        match message {
            SchedulerToClient::Registered { workers, .. } => {
                self.registered = true;
                self.workers = workers.into_iter().map(|(peer, _)| peer.worker).collect();
            }
            SchedulerToClient::WorkerJoined(peer, _) => assert!(self.workers.insert(peer.worker)),
            SchedulerToClient::WorkerLeft(worker) => assert!(self.workers.remove(&worker)),
            SchedulerToClient::Handled(count) => {
                assert!(self.handled < count, "the count only grows");
                self.handled = count;
            }
            SchedulerToClient::InMemory(keys) => {
                for found in keys {
                    assert!(self.workers.contains(&found.worker), "results are on workers that the client knows");
                    let seen = Seen::InMemory { task: found.task, worker: found.worker };
                    self.seen.insert(found.key, seen);
                }
            }
            SchedulerToClient::Ended(keys) => {
                for (key, failure) in keys {
                    self.seen.insert(key, Seen::Ended(failure));
                }
            }
            SchedulerToClient::Pending(keys) => self.seen.extend(keys.into_iter().map(|key| (key, Seen::Pending))),
            SchedulerToClient::Refused { keys, reason } => {
                for key in keys {
                    self.wants.remove(&key);
                }
                self.refused.push(reason.to_string());
            }
            SchedulerToClient::Answer { request, reply } => {
                self.answers.insert(request, reply);
            }
            SchedulerToClient::Closing { reason } => self.closing = Some(reason.to_string()),
        }
    }
}
