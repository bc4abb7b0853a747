//! The shell around a worker core: what a worker process does with events and actions.

use crate::Planted;
use crate::call::{Behaviour, bytes_of, call_of, fill, nbytes_of, part_of, value_of};
use crate::network::{Got, Happening, NodeHappening, NodeIx, Place};
use crate::node::{Life, Node, Running};
use crate::world::{Outcome, World, arrive, depart, short};
use kask_types::{
    Attempt, Certificate, ClientId, DeathCause, Failure, Incarnation, Key, Payload, RaisedError, TaskId, ValueId,
    WorkerId,
};
use kask_wire::data::Value;
use kask_wire::worker::FetchProblem;
use kask_wire::{ComputeTask, DataReply, SchedulerToWorker, SupervisorToScheduler, WorkerToScheduler};
use kask_worker::{Action, Event, TaskDone};
use std::collections::BTreeMap;
use std::sync::Arc;

impl World {
    pub(crate) fn node_starts(&mut self, slot: u32) -> Outcome<()> {
        if self.nodes.iter().any(|node| node.slot == slot && node.life != Life::Dead) {
            return Ok(());
        }
        let ix = self.nodes.len();
        let mut node = Node::new(ix, slot, Incarnation(self.rng.wide()), &self.plan.worker, self.plan.nthreads);
        self.note(|_| format!("{:?} starts on {}", node.worker(), node.info.host));
        let register = WorkerToScheduler::Register(node.info.clone());
        self.connected.insert(node.worker());
        if self.plan.supervisor {
            self.supervisor_says(&SupervisorToScheduler::Started { incarnation: node.info.incarnation });
        }
        self.inherit_disk(&mut node);
        let found = node.disk.files.iter().map(|(&task, file)| (task, nbytes_of(file.value), nbytes_of(file.value)));
        let found: Vec<_> = found.collect();
        let is_limited = node.info.memory_limit_bytes > 0;
        self.nodes.push(node);
        self.node_says(ix, &register);
        if is_limited {
            self.network.after_us(200_000, Happening::AtNode { node: ix, what: NodeHappening::Measured });
        }
        if found.is_empty() { Ok(()) } else { self.node_event(ix, Event::Adopted(found)) }
    }

    pub(crate) fn node_says(&mut self, ix: NodeIx, message: &WorkerToScheduler) {
        if !self.nodes[ix].cut {
            let what = Happening::WorkerSays { worker: self.nodes[ix].worker(), frame: depart(message) };
            self.network.send(&mut self.rng, Place::Node(ix), Place::Scheduler, what);
        }
    }

    pub(crate) fn at_node(&mut self, ix: NodeIx, what: NodeHappening) -> Outcome<()> {
        match self.nodes[ix].life {
            Life::Runs => {}
            Life::Frozen => {
                self.nodes[ix].inbox.push_back(what);
                return Ok(());
            }
            Life::Dead => return self.nobody_there(ix, what),
        }
        match what {
            NodeHappening::Tick => {
                if self.nodes[ix].tick_at.is_some_and(|at| at <= self.network.now) {
                    self.nodes[ix].tick_at = None;
                    self.node_event(ix, Event::Tick)?;
                }
                Ok(())
            }
            NodeHappening::Hears { number, frame } => {
                self.nodes[ix].orders.heard = number;
                let message: SchedulerToWorker = arrive(frame)?;
                self.note(|_| format!("scheduler -> w{ix} {}", short(&message)));
                self.node_event(ix, Event::FromScheduler(message))
            }
            NodeHappening::Cut => {
                self.note(|_| format!("w{ix} finds that it was cut off"));
                self.node_ends(ix, DeathCause::Disconnected)
            }
            NodeHappening::Asked { by, request, values } => self.serve(ix, by, request, &values),
            NodeHappening::Answered { by, request, results, last } => self.answered(ix, by, request, results, last),
            NodeHappening::ClientAsks { client, key, task } => {
                let is_busy = self.faults_on && self.rng.chance(self.plan.rates.busy);
                let got = match self.nodes[ix].value(task) {
                    Some(_) if is_busy => Got::Busy,
                    Some(Ok(value)) => Got::Here(value),
                    Some(Err(())) => {
                        self.finds_damage(ix, task);
                        Got::NotThere
                    }
                    None => Got::NotThere,
                };
                self.note(|_| format!("w{ix} -> {client:?} {task:?} {got:?}"));
                self.answer_client(ix, client, key, got);
                Ok(())
            }
            NodeHappening::Put { task, value } => {
                self.note(|_| format!("a client puts {task:?} on w{ix}"));
                self.nodes[ix].store.insert(task, value);
                self.node_event(ix, Event::Stored { task, nbytes: nbytes_of(value) })
            }
            NodeHappening::CallEnds { task, attempt } => self.call_ends(ix, task, attempt),
            NodeHappening::Recalled { task, attempt } => self.recalled(ix, task, attempt),
            NodeHappening::Written { task, job } => self.written(ix, task, job),
            NodeHappening::Read { task, job } => self.was_read(ix, task, job),
            NodeHappening::Damaged { task } => self.is_damaged(ix, task),
            NodeHappening::Measured => self.measured(ix),
            NodeHappening::Secedes { task, attempt } => self.secedes(ix, task, attempt),
            NodeHappening::Rejoins { task, attempt } => {
                if self.nodes[ix].running.contains_key(&(task, attempt)) {
                    self.node_event(ix, Event::Rejoined { task, attempt })?;
                }
                Ok(())
            }
        }
    }

    /// What happens to whoever talks to a process that is gone.
    fn nobody_there(&mut self, ix: NodeIx, what: NodeHappening) -> Outcome<()> {
        match what {
            NodeHappening::Asked { by, request, values: _ } => self.break_request(by, ix, request),
            NodeHappening::ClientAsks { client, key, .. } => self.answer_client(ix, client, key, Got::Unreachable),
            NodeHappening::Tick
            | NodeHappening::Hears { .. }
            | NodeHappening::Cut
            | NodeHappening::Answered { .. }
            | NodeHappening::Put { .. }
            | NodeHappening::CallEnds { .. }
            | NodeHappening::Recalled { .. }
            | NodeHappening::Written { .. }
            | NodeHappening::Read { .. }
            | NodeHappening::Damaged { .. }
            | NodeHappening::Measured
            | NodeHappening::Secedes { .. }
            | NodeHappening::Rejoins { .. } => {}
        }
        Ok(())
    }

    fn answer_client(&mut self, ix: NodeIx, client: ClientId, key: Key, got: Got) {
        let what = Happening::ClientGets { client, key, worker: WorkerId(ix as u32), got };
        self.network.send(&mut self.rng, Place::Data(ix), Place::Client(client), what);
    }

    pub(crate) fn node_event(&mut self, ix: NodeIx, event: Event) -> Outcome<()> {
        self.nodes[ix].core.handle(self.network.now, event);
        while let Some(action) = self.nodes[ix].core.poll_action() {
            self.obey_worker(ix, action)?;
            if self.nodes[ix].life == Life::Dead {
                return Ok(());
            }
        }
        self.nodes[ix].check();
        self.start_calls(ix);
        let node = &mut self.nodes[ix];
        if let Some(next) = node.core.next_deadline()
            && node.tick_at.is_none_or(|at| next < at)
        {
            node.tick_at = Some(next.max(self.network.now));
            self.network.at(next, Happening::AtNode { node: ix, what: NodeHappening::Tick });
        }
        Ok(())
    }

    fn obey_worker(&mut self, ix: NodeIx, action: Action) -> Outcome<()> {
        match action {
            Action::Run(compute) => self.take_over(ix, *compute)?,
            Action::Recall(attempts) => attempts.into_iter().for_each(|of| self.recall(ix, of)),
            Action::Fetch { request, peer, values } => {
                let to = peer.0 as usize;
                self.note(|_| format!("w{ix} asks {peer:?} for {values:?}"));
                let orders = &self.nodes[ix].orders;
                if orders.peers_left.get(&peer).is_some_and(|&number| number < orders.heard) {
                    return Err(format!("w{ix} asks {peer:?}, and knows that it has left"));
                }
                self.nodes[ix].requests.insert(request, (to, values.clone()));
                let what = NodeHappening::Asked { by: ix, request, values };
                let what = Happening::AtNode { node: to, what };
                self.network.send(&mut self.rng, Place::Data(ix), Place::Data(to), what);
            }
            Action::Drop(values) => values.into_iter().for_each(|value| self.drop_value(ix, value)),
            Action::Spill(tasks) => self.spill(ix, tasks),
            Action::Evict(tasks) => self.evict(ix, tasks)?,
            Action::Unspill(tasks) => self.unspill(ix, tasks)?,
            Action::KeepBlobs(blobs) => self.nodes[ix].blobs.extend(blobs),
            Action::DropBlobs(blobs) => blobs.iter().for_each(|id| {
                self.nodes[ix].blobs.remove(id);
            }),
            Action::ToScheduler(message) => self.node_says(ix, &message),
            Action::PeerJoined(_) | Action::PeerLeft(_) => {}
            Action::RunFunction { call, payload } => {
                self.node_says(ix, &WorkerToScheduler::RunAnswer { call, result: Ok(payload) });
            }
            Action::Close { reason } => {
                if !self.nodes[ix].told_to_close {
                    return Err(format!("w{ix} closes and nobody asked it to: {reason}"));
                }
                self.node_says(ix, &WorkerToScheduler::Closing(certificate(&self.nodes[ix], DeathCause::Retired)));
                self.node_ends(ix, DeathCause::Retired)?;
            }
        }
        Ok(())
    }

    /// An attempt is handed out: from now on its inputs are held for it.
    fn take_over(&mut self, ix: NodeIx, compute: ComputeTask) -> Outcome<()> {
        let name = compute.name.to_string();
        let key = self.model.key_of(&name).ok_or_else(|| format!("w{ix} runs {name}, which nobody submitted"))?;
        let mut inputs = Vec::new();
        let mut damaged = Vec::new();
        for input in &compute.inputs {
            let id = ValueId { task: input.task, part: input.part };
            let node = &self.nodes[ix];
            let value = match (input.part, node.parts.get(&id)) {
                (None, _) => node.store.get(&input.task).map(|&value| Ok(value)),
                (Some(_), Some(&part)) => Some(Ok(part)),
                (part @ Some(_), None) => node.value(input.task).map(|found| found.map(|value| part_of(value, part))),
            };
            let value = value.ok_or_else(|| format!("w{ix} runs {name} without its input {id:?}"))?;
            inputs.push(value.unwrap_or_else(|()| {
                damaged.push(input.task);
                0
            }));
        }
        let is_spoilt = !damaged.is_empty();
        damaged.into_iter().for_each(|task| self.finds_damage(ix, task));
        let node = &mut self.nodes[ix];
        if let Some(function) = compute.function
            && !node.blobs.contains_key(&function)
        {
            return Err(format!("w{ix} runs {name} without its function"));
        }
        let of = (compute.task, compute.attempt);
        if node.orders.cancelled.get(&of).is_some_and(|&number| number < node.orders.heard) {
            return Err(format!("w{ix} runs {name}, {of:?}, and knows that it was cancelled"));
        }
        let call = call_of(&compute);
        let running = Running { key, call, compute, inputs, runner: None, started: None, is_spoilt };
        if node.running.insert(of, running).is_some() {
            return Err(format!("w{ix} runs {of:?} twice"));
        }
        node.queue.push_back(of);
        Ok(())
    }

    fn start_calls(&mut self, ix: NodeIx) {
        while let Some(&runner) = self.nodes[ix].free_runners.first()
            && let Some((task, attempt)) = self.nodes[ix].queue.pop_front()
        {
            let (least, most) = self.plan.task_us;
            let duration = self.rng.between(least, most);
            let node = &mut self.nodes[ix];
            node.free_runners.remove(&runner);
            let running = node.running.get_mut(&(task, attempt)).expect("what is queued was handed out");
            running.runner = Some(runner);
            running.started = Some(self.network.now);
            let secedes = running.call.behaviour == Behaviour::Secedes;
            let after = |what| Happening::AtNode { node: ix, what };
            self.network.after_us(duration, after(NodeHappening::CallEnds { task, attempt }));
            if secedes {
                self.network.after_us(duration / 3, after(NodeHappening::Secedes { task, attempt }));
                if duration.is_multiple_of(2) {
                    self.network.after_us(duration / 2, after(NodeHappening::Rejoins { task, attempt }));
                }
            }
        }
    }

    /// Takes back what has not started.
    fn recall(&mut self, ix: NodeIx, of: (TaskId, Attempt)) {
        let node = &mut self.nodes[ix];
        if let Some(at) = node.queue.iter().position(|queued| *queued == of) {
            node.queue.remove(at);
            let (task, attempt) = of;
            let what = NodeHappening::Recalled { task, attempt };
            self.network.after_us(0, Happening::AtNode { node: ix, what });
        }
    }

    fn recalled(&mut self, ix: NodeIx, task: TaskId, attempt: Attempt) -> Outcome<()> {
        self.nodes[ix].running.remove(&(task, attempt)).expect("what was taken back was handed out");
        let outcome = kask_worker::Outcome::Reschedule;
        let started_us = self.network.now.0 / 1000;
        let done = TaskDone { task, attempt, outcome, duration_ns: 0, started_us, runner: 0 };
        self.node_event(ix, Event::TaskDone(done))
    }

    fn secedes(&mut self, ix: NodeIx, task: TaskId, attempt: Attempt) -> Outcome<()> {
        let node = &mut self.nodes[ix];
        let Some(running) = node.running.get_mut(&(task, attempt)) else { return Ok(()) };
        if let Some(runner) = running.runner.take() {
            node.free_runners.insert(runner);
        }
        self.node_event(ix, Event::Seceded { task, attempt })
    }

    fn call_ends(&mut self, ix: NodeIx, task: TaskId, attempt: Attempt) -> Outcome<()> {
        let now = self.network.now;
        let (key, call) = match self.nodes[ix].running.get(&(task, attempt)) {
            Some(running) => (running.key, running.call),
            None => return Err(format!("w{ix}: {task:?} ends and does not run")),
        };
        let is_spoilt = self.nodes[ix].running[&(task, attempt)].is_spoilt;
        let count = self.misbehaved.entry(key).or_insert(0);
        let misbehaves = match call.behaviour {
            _ if is_spoilt => false,
            Behaviour::Plain | Behaviour::Secedes => false,
            Behaviour::Raises | Behaviour::Kills => true,
            Behaviour::RaisesFirst(most) | Behaviour::KillsFirst(most) | Behaviour::Reschedules(most) => {
                *count += 1;
                *count <= u32::from(most)
            }
        };
        if misbehaves && matches!(call.behaviour, Behaviour::Kills | Behaviour::KillsFirst(_)) {
            self.note(|world| format!("{} kills w{ix}", world.model.name_of(key)));
            let of_memory = call.salt.is_multiple_of(3);
            return self.node_ends(ix, if of_memory { DeathCause::OutOfMemory } else { DeathCause::Signalled(11) });
        }
        let running = self.nodes[ix].running.remove(&(task, attempt)).expect("it was found above");
        if let Some(runner) = running.runner {
            self.nodes[ix].free_runners.insert(runner);
        }
        self.report.calls += 1;
        let outcome = match (is_spoilt, misbehaves) {
            (true, _) => kask_worker::Outcome::Reschedule,
            (false, true) => self.misbehave(&running),
            (false, false) => self.give(ix, &running),
        };
        self.note(|world| format!("w{ix} ends {task:?} {attempt:?} {}: {outcome:?}", world.model.name_of(key)));
        let started = running.started.expect("what ends has started");
        let done = TaskDone {
            task,
            attempt,
            outcome,
            duration_ns: now.since_ns(started),
            started_us: started.0 / 1000,
            runner: running.runner.unwrap_or(0),
        };
        self.node_event(ix, Event::TaskDone(done))
    }

    fn misbehave(&self, running: &Running) -> kask_worker::Outcome {
        if matches!(running.call.behaviour, Behaviour::Reschedules(_)) {
            return kask_worker::Outcome::Reschedule;
        }
        let error = RaisedError {
            task: Arc::from(running.compute.name.to_string()),
            type_name: "ValueError".to_owned(),
            message: "as the simulator wants it".to_owned(),
            traceback: String::new(),
            worker: String::new(),
            exception: None,
        };
        kask_worker::Outcome::Failed { failure: Failure::Raised(Arc::new(error)) }
    }

    /// Computes a call's value and puts it into the store.
    fn give(&mut self, ix: NodeIx, running: &Running) -> kask_worker::Outcome {
        let compute = &running.compute;
        let item = compute.item.as_ref().map(bytes_of);
        let holes = fill(&compute.slots, &running.inputs);
        let mut value = value_of(compute.function, bytes_of(&compute.args), item, compute.position.as_deref(), &holes);
        let task = compute.task;
        if self.options.planted == Some(Planted::WrongValue) && self.take_planted() {
            value ^= 1;
        }
        self.completed.insert(running.key);
        self.nodes[ix].store.insert(task, value);
        kask_worker::Outcome::Value { nbytes: nbytes_of(value) }
    }

    /// A peer wants values: they leave in one or more parts, some of them spoilt when faults are on.
    fn serve(&mut self, ix: NodeIx, by: NodeIx, request: u64, wanted: &[ValueId]) -> Outcome<()> {
        let fault = if self.faults_on { self.plan.rates.fetch } else { 0 };
        let mut results = Vec::new();
        let breaks_off = self.rng.chance(fault / 4);
        let busy = if self.faults_on { self.plan.rates.busy } else { 0 };
        for &id in wanted {
            let held = match self.nodes[ix].value(id.task) {
                Some(_) if self.rng.chance(busy) => Value::Busy,
                Some(Ok(value)) => Value::Here(Payload::from_bytes(part_of(value, id.part).to_le_bytes().to_vec())),
                Some(Err(())) => {
                    self.finds_damage(ix, id.task);
                    Value::NotThere
                }
                None => Value::NotThere,
            };
            let reply = DataReply::Values { request, values: vec![(id, held)], last: false };
            let DataReply::Values { values, .. } = arrive(depart(&reply))? else {
                return Err("a reply became another one".to_owned());
            };
            let result = match &values[0].1 {
                Value::Here(_) if self.rng.chance(fault / 4) => Err(FetchProblem::Undecodable),
                Value::Here(payload) => Ok(u64::from_le_bytes(bytes_of(payload).try_into().expect("eight bytes"))),
                Value::NotThere => Err(FetchProblem::NotThere),
                Value::Failed(_) => Err(FetchProblem::Undecodable),
                Value::Busy => Err(FetchProblem::Busy),
            };
            results.push((id, result));
        }
        if breaks_off {
            self.model.values_were_lost = true;
            let left = self.rng.below(results.len() as u64) as usize;
            results[left..].iter_mut().for_each(|(_, result)| *result = Err(FetchProblem::Unreachable));
        }
        let parts = self.rng.between(1, 3) as usize;
        let each = results.len().div_ceil(parts).max(1);
        let chunks: Vec<_> = results.chunks(each).map(<[_]>::to_vec).collect();
        let count = chunks.len();
        for (n, results) in chunks.into_iter().enumerate() {
            let what = NodeHappening::Answered { by: WorkerId(ix as u32), request, results, last: n + 1 == count };
            let what = Happening::AtNode { node: by, what };
            self.network.send(&mut self.rng, Place::Data(ix), Place::Data(by), what);
        }
        Ok(())
    }

    fn answered(
        &mut self,
        ix: NodeIx,
        peer: WorkerId,
        request: u64,
        results: Vec<(ValueId, Result<u64, FetchProblem>)>,
        last: bool,
    ) -> Outcome<()> {
        self.note(|_| format!("{peer:?} -> w{ix} {results:?} last {last}"));
        if last {
            self.nodes[ix].requests.remove(&request);
        }
        for &(id, result) in &results {
            match result {
                Ok(value) if id.part.is_some() => {
                    self.nodes[ix].parts.insert(id, value);
                }
                Ok(value) => {
                    self.nodes[ix].store.insert(id.task, value);
                    self.note_scattered(ix, id.task);
                }
                // Tasks also give up on scattered data that cannot be reached where it is.
                Err(FetchProblem::Undecodable) => self.blame_transfer(ix, id.task),
                Err(FetchProblem::Unreachable) if self.scattered_tasks.contains_key(&id.task) => {
                    self.blame_transfer(ix, id.task);
                }
                Err(
                    FetchProblem::NotThere | FetchProblem::Unreachable | FetchProblem::Busy | FetchProblem::Unreadable,
                ) => {}
            }
        }
        let results = results.into_iter().map(|(id, result)| (id, result.map(nbytes_of))).collect();
        self.node_event(ix, Event::Fetched { request, peer, results, last })
    }

    /// A task may be given up for transfers that are spoilt again and again.
    fn blame_transfer(&mut self, ix: NodeIx, task: TaskId) {
        let waiting: Vec<Key> = self.nodes[ix].assigned.values().copied().collect();
        self.note(|_| format!("the transfer of {task:?} to w{ix} is spoilt"));
        waiting.into_iter().for_each(|key| self.model.spoilt(key));
    }

    /// The connection on which `by` asked breaks: nothing that was asked for comes any more.
    pub(crate) fn break_request(&mut self, by: NodeIx, asked: NodeIx, request: u64) {
        let Some((to, values)) = self.nodes[by].requests.get(&request) else { return };
        if self.nodes[by].life == Life::Dead || *to != asked {
            return;
        }
        let results = values.iter().map(|&value| (value, Err(FetchProblem::Unreachable))).collect();
        let what = NodeHappening::Answered { by: WorkerId(asked as u32), request, results, last: true };
        self.network.send(&mut self.rng, Place::Data(asked), Place::Data(by), Happening::AtNode { node: by, what });
    }

    /// A process ends, for whatever reason. Everybody who talks to it finds out, each in his own time.
    pub(crate) fn node_ends(&mut self, ix: NodeIx, cause: DeathCause) -> Outcome<()> {
        if self.nodes[ix].life == Life::Dead {
            return Ok(());
        }
        self.note(|_| format!("w{ix} ends: {cause}"));
        self.nodes[ix].life = Life::Dead;
        for what in std::mem::take(&mut self.nodes[ix].inbox) {
            self.nobody_there(ix, what)?;
        }
        let certificate = certificate(&self.nodes[ix], cause);
        let was_cut = std::mem::replace(&mut self.nodes[ix].cut, true);
        let worker = self.nodes[ix].worker();
        if self.connected.contains(&worker) && !was_cut {
            let seen = match cause {
                DeathCause::Retired => Some(certificate.clone()),
                _ => None,
            };
            let what = Happening::WorkerGone { worker, certificate: seen };
            self.network.send(&mut self.rng, Place::Node(ix), Place::Scheduler, what);
        }
        if cause == DeathCause::Retired {
            // What could not be copied in time is computed again.
            self.model.values_were_lost = true;
        } else {
            self.report.deaths += 1;
            self.count_death(worker);
        }
        let asking: BTreeMap<NodeIx, Vec<u64>> = self.asking(ix);
        for (by, requests) in asking {
            requests.into_iter().for_each(|request| self.break_request(by, ix, request));
        }
        self.supervisor_notices(ix, certificate);
        Ok(())
    }

    fn asking(&self, asked: NodeIx) -> BTreeMap<NodeIx, Vec<u64>> {
        let of = |node: &Node| {
            node.requests.iter().filter(|(_, (to, _))| *to == asked).map(|(&request, _)| request).collect::<Vec<u64>>()
        };
        self.nodes.iter().map(|node| (node.ix, of(node))).filter(|(_, requests)| !requests.is_empty()).collect()
    }

    /// From here on the attempts that a worker had may be held against their tasks, and scattered data there is lost.
    pub(crate) fn count_death(&mut self, worker: WorkerId) {
        self.model.values_were_lost = true;
        let assigned = std::mem::take(&mut self.nodes[worker.0 as usize].assigned);
        assigned.into_values().for_each(|key| self.model.died_under(key));
        self.scattered_data_dies(worker);
    }
}

fn certificate(node: &Node, cause: DeathCause) -> Certificate {
    let last_task = match cause {
        DeathCause::Retired | DeathCause::Disconnected => None,
        _ => node.last_started().map(|running| Arc::from(running.compute.name.to_string())),
    };
    Certificate { worker: node.info.name.clone(), cause, peak_memory_bytes: None, last_task }
}
