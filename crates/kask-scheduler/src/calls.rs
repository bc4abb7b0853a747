//! Functions that a client has run on workers outside of any task.
//!
//! A request waits for one answer per worker; a worker that is lost answers with a failure.

use crate::scheduler::Scheduler;
use crate::tasks::WorkerIx;
use crate::workers::Worker;
use kask_types::{ClientId, Failure, Payload, WorkerId};
use kask_wire::client::Reply;
use kask_wire::{SchedulerToClient, SchedulerToWorker};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A worker's address and what a call gave there.
type Answer = (Arc<str>, Result<Payload, Failure>);

/// A request that waits for answers.
pub(crate) struct Call {
    client: ClientId,
    request: u64,
    waiting: BTreeMap<WorkerId, Arc<str>>,
    answers: Vec<Answer>,
}

/// Open requests by the number that the workers are told.
pub(crate) type Calls = BTreeMap<u64, Call>;

impl Scheduler {
    pub(crate) fn run_on_workers(
        &mut self,
        client: ClientId,
        request: u64,
        workers: Option<Vec<Arc<str>>>,
        payload: Payload,
    ) {
        let mut call = Call { client, request, waiting: BTreeMap::new(), answers: Vec::new() };
        let mut targets: Vec<WorkerIx> = Vec::new();
        match workers {
            None => targets.extend(self.workers.iter().map(|(ix, _)| ix)),
            Some(names) => {
                for name in names {
                    match self.workers.named(&name) {
                        Some(ix) => targets.push(ix),
                        None => {
                            let reason = format!("there is no worker {name}").into();
                            call.answers.push((name, Err(Failure::Unrunnable { reason })));
                        }
                    }
                }
            }
        }
        self.call_count += 1;
        let number = self.call_count;
        for ix in targets {
            let worker = &self.workers[ix];
            if call.waiting.insert(worker.id, worker.info.address.clone()).is_none() {
                let message = SchedulerToWorker::Run { call: number, payload: payload.clone() };
                self.out.tell_worker(worker.id, message);
            }
        }
        self.calls.insert(number, call);
        self.finish_call(number);
    }

    pub(crate) fn call_answered(&mut self, from: WorkerIx, number: u64, result: Result<Payload, Failure>) {
        let worker = self.workers[from].id;
        if let Some(call) = self.calls.get_mut(&number)
            && let Some(address) = call.waiting.remove(&worker)
        {
            call.answers.push((address, result));
            self.finish_call(number);
        }
    }

    pub(crate) fn calls_to_are_over(&mut self, worker: &Worker) {
        let mut concerned = Vec::new();
        for (&number, call) in &mut self.calls {
            if let Some(address) = call.waiting.remove(&worker.id) {
                let reason = format!("worker {} was lost during the call", worker.info.name).into();
                call.answers.push((address, Err(Failure::Unrunnable { reason })));
                concerned.push(number);
            }
        }
        for number in concerned {
            self.finish_call(number);
        }
    }

    fn finish_call(&mut self, number: u64) {
        if self.calls.get(&number).is_some_and(|call| call.waiting.is_empty()) {
            let call = self.calls.remove(&number).expect("looked at above");
            let reply = Reply::Run(call.answers);
            self.out.tell_client(call.client, SchedulerToClient::Answer { request: call.request, reply });
        }
    }

    pub(crate) fn calls_of_are_over(&mut self, client: ClientId) {
        self.calls.retain(|_, call| call.client != client);
    }
}
