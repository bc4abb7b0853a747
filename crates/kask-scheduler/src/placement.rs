//! Where a task runs, and the message that sends it there.
//!
//! A task with inputs goes where it is expected to start first: the work before it, plus what it costs to move the
//! inputs that are not there, plus what it costs to spill what it adds to a worker's memory limit. Candidates are the
//! holders of its inputs and a few workers with room; ties go to the worker that holds fewer bytes, then to the lower
//! number. Workers under pressure come last or not at all; see `pressure`. Tasks without inputs (or whose inputs are
//! read by so many that they end up everywhere, or that read a part of each input) stay in the queue until somebody has
//! room; see `queue`.

use crate::scheduler::Scheduler;
use crate::tasks::{Flag, Phase, Slot, State, WorkerIx};
use kask_graph::Call;
use kask_types::{Attempt, WorkerId};
use kask_wire::ComputeTask;
use kask_wire::worker::{Input, Pressure, Priority};
use smallvec::SmallVec;

/// So many workers with room are considered beside the holders of the inputs.
const STRANGERS: usize = 8;
/// A task with more inputs than this is no root, however often they are read.
const MOST_ROOT_INPUTS: usize = 8;
/// So many holders are named to a worker that needs a value.
const HOLDERS_NAMED: usize = 4;

/// What is known of a candidate while a task is being placed.
#[derive(Clone, Copy, Default)]
pub(crate) struct Candidate {
    inputs_here: u32,
    pub(crate) bytes_here: u64,
}

/// What a task reads of an input of this size that was taken apart into so many parts.
pub(crate) fn share_of(nbytes: u64, parts: u32) -> u64 {
    if parts <= 1 { nbytes } else { nbytes.div_ceil(u64::from(parts)) }
}

impl Scheduler {
    /// Into how many parts each input of the task is taken apart, if it reads one part of each.
    pub(crate) fn parts_read(&self, slot: Slot) -> u32 {
        let task = &self.tasks[slot];
        if task.has(Flag::ReadsPart) { self.tasks.batch(task.batch).parts_read(task.row) } else { 1 }
    }

    /// Which part of each input the task reads.
    fn part_read(&self, slot: Slot) -> Option<u32> {
        let task = &self.tasks[slot];
        if !task.has(Flag::ReadsPart) {
            return None;
        }
        self.tasks.batch(task.batch).call(task.row)?.part
    }

    /// Whether the task is better kept in the queue than sent after its inputs.
    pub(crate) fn is_rootish(&self, slot: Slot) -> bool {
        let edges = self.tasks.inputs(slot);
        if edges.len() > MOST_ROOT_INPUTS || self.tasks[slot].has(Flag::ReadsPart) {
            // Parts come from everywhere, so everywhere is as good.
            return self.tasks[slot].has(Flag::ReadsPart);
        }
        let many = u64::from(self.rootish_readers);
        (edges.start..edges.end).all(|at| u64::from(self.tasks[self.tasks.input(edges, at)].dependents) >= many)
    }

    /// The worker on which the task would start first; `None` if no worker may run it.
    pub(crate) fn choose_worker(&mut self, slot: Slot, avoid: Option<WorkerIx>) -> Option<WorkerIx> {
        self.choose_worker_where(slot, avoid, |_, _| true)
    }

    /// The same among the workers that pass.
    pub(crate) fn choose_worker_where(
        &mut self,
        slot: Slot,
        avoid: Option<WorkerIx>,
        passes: impl Fn(&Scheduler, WorkerIx) -> bool,
    ) -> Option<WorkerIx> {
        let class = self.tasks.lineage(slot)?.style_of(self.tasks[slot].row).class;
        let (total_inputs, total_bytes, mut candidates) = self.weigh_inputs(slot);
        let eligible = self.classes.get(class);
        let holders = candidates.len();
        let calm = !self.workers.any_strained;
        candidates.retain(|&mut (ix, _)| {
            eligible.allows(ix) && passes(self, ix) && (calm || self.workers[ix].may_be_sent(true))
        });
        let with_room = self.workers.room.range(self.cursor..).chain(self.workers.room.range(..self.cursor));
        let strangers = with_room.copied().filter(|&ix| eligible.allows(ix) && passes(self, ix));
        candidates.extend(strangers.take(STRANGERS).map(|ix| (ix, Candidate::default())));
        let is_full = |&(ix, _): &(WorkerIx, Candidate)| self.workers[ix].pressure == Pressure::Full;
        let none_will_do = candidates.is_empty() || (!calm && candidates.iter().all(is_full));
        if none_will_do || (candidates.len() < 2 && avoid.is_some()) {
            let all = eligible.eligible.iter().copied();
            let all = all.filter(|&ix| passes(self, ix) && self.workers[ix].may_be_sent(false));
            candidates.extend(all.map(|ix| (ix, Candidate::default())));
        }
        let adds = if self.workers.any_limit { self.needed_bytes(slot).max(1) } else { 0 };
        let is_root = total_inputs == 0;
        let best = candidates.iter().min_by_key(|&&(ix, here)| {
            let worker = &self.workers[ix];
            let (missing, missing_bytes) = (total_inputs - here.inputs_here, total_bytes - here.bytes_here);
            let mut cost_us = worker.wait_us() + self.transfer_us(missing, missing_bytes);
            if adds > 0 {
                cost_us += self.spill_us(worker, adds + missing_bytes);
            }
            if !calm {
                cost_us += worker.reluctance_us(is_root);
            }
            (avoid == Some(ix), cost_us, worker.held_bytes, worker.id)
        });
        let best = best.map(|&(ix, _)| ix);
        if holders < candidates.len() {
            // Look at other strangers next time.
            self.cursor = WorkerIx(candidates.last().map_or(0, |&(ix, _)| ix.0 + 1));
        }
        best
    }

    /// What moving values is expected to cost.
    pub(crate) fn transfer_us(&self, count: u32, bytes: u64) -> u64 {
        if count == 0 {
            return 0;
        }
        let values = u64::from(count) * self.config.transfer_value_us;
        self.config.transfer_latency_us + values + bytes / self.config.transfer_bytes_per_us.max(1)
    }

    /// Number and bytes of the task's inputs (of what it reads of them), and what of that each holder has.
    pub(crate) fn weigh_inputs(&mut self, slot: Slot) -> (u32, u64, SmallVec<[(WorkerIx, Candidate); 12]>) {
        let edges = self.tasks.inputs(slot);
        let parts = self.parts_read(slot);
        let mut found: SmallVec<[(WorkerIx, Candidate); 12]> = SmallVec::new();
        let (mut count, mut bytes) = (0, 0);
        // Few inputs have few holders: a short list is searched; many are gathered by index.
        let by_index = edges.len() > 8;
        if by_index {
            self.weights.clear();
            self.weights.resize(self.workers.bound(), Candidate::default());
        }
        for at in edges.start..edges.end {
            let input = self.tasks.input(edges, at);
            let State::Memory { holders, nbytes } = &self.tasks[input].state else {
                continue;
            };
            count += 1;
            let nbytes = share_of(*nbytes, parts);
            bytes += nbytes;
            for &holder in self.tasks.holders.slice(holders) {
                let entry = if by_index {
                    let entry = &mut self.weights[holder as usize];
                    if entry.inputs_here == 0 {
                        found.push((WorkerIx(holder), Candidate::default()));
                    }
                    entry
                } else {
                    let known = found.iter().position(|&(ix, _)| ix.0 == holder);
                    let at = known.unwrap_or_else(|| {
                        found.push((WorkerIx(holder), Candidate::default()));
                        found.len() - 1
                    });
                    &mut found[at].1
                };
                entry.inputs_here += 1;
                entry.bytes_here += nbytes;
            }
        }
        if by_index {
            for (ix, candidate) in &mut found {
                *candidate = self.weights[ix.0 as usize];
            }
        }
        (count, bytes, found)
    }

    /// Sends a ready task to a worker, as a new attempt; to another one, or nowhere, if its arguments are too large for it.
    pub(crate) fn dispatch(&mut self, slot: Slot, worker: WorkerIx) {
        let task = &self.tasks[slot];
        let call = self.tasks.batch(task.batch).call(task.row).expect("the layer was checked when it was expanded");
        let worker = match self.with_room_for_arguments(slot, worker, &call) {
            Ok(worker) => worker,
            Err(nbytes) => return self.refuse(slot, nbytes),
        };
        let (inputs, moved) = self.describe_inputs(slot, worker);
        let expected = self.tasks.families.expected_us(self.tasks[slot].family());
        let expected = u64::from(expected.unwrap_or(self.config.unknown_duration_us));
        let transfer = self.transfer_us(moved.0, moved.1);
        let cost_us = u32::try_from(expected + transfer).unwrap_or(u32::MAX).max(1);
        self.tasks[slot].attempt.0 += 1;
        let result_kib = u32::try_from(self.expected_result(slot).div_ceil(1 << 10)).unwrap_or(u32::MAX);
        self.tasks.set_state(slot, State::Processing { worker, cost_us, phase: Phase::Assigned, result_kib });
        let now = self.now;
        let entry = &mut self.workers[worker];
        if entry.active == 0 {
            entry.progress = now;
        }
        entry.processing.insert(slot);
        entry.active += 1;
        entry.occupancy_us += u64::from(cost_us);
        entry.result_kib += u64::from(result_kib);
        self.arguments_sent(slot, worker, &call);
        self.workers.update(worker, &self.config);
        self.send(slot, worker, call, inputs);
    }

    fn send(&mut self, slot: Slot, worker: WorkerIx, call: Call, inputs: Vec<Input>) {
        let task = &self.tasks[slot];
        let batch = self.tasks.batch(task.batch);
        let (span, index) = batch.local(task.row);
        let (layer, style) = batch.layer_of(task.row);
        debug_assert!(span < batch.spans.len());
        let Call { function, args, item, position, slots, part: _ } = call;
        let memory_bytes = style.memory_bytes.max(self.raised_bytes(slot));
        let receiver = &mut self.workers[worker];
        if let Some(id) = function
            && receiver.blobs.insert(id)
        {
            let blob = self.blobs.get(&id).expect("a blob that a layer names is kept");
            self.out.blob(receiver.id, id, blob.payload.clone());
        }
        let message = ComputeTask {
            task: self.tasks.id(slot),
            attempt: task.attempt,
            name: layer.name(index),
            function,
            args,
            item,
            position,
            slots,
            inputs,
            priority: Priority { user: style.user, graph: batch.graph, order: task.row },
            resources: style.resources.clone(),
            memory_bytes,
            checkpoint: task.has(Flag::Checkpoint),
        };
        self.out.compute(receiver.id, message);
    }

    /// The inputs as the worker is told of them, and how many and how large those are that it does not have.
    fn describe_inputs(&self, slot: Slot, worker: WorkerIx) -> (Vec<Input>, (u32, u64)) {
        let edges = self.tasks.inputs(slot);
        let (part, parts) = (self.part_read(slot), self.parts_read(slot));
        let mut inputs = Vec::with_capacity(edges.len());
        let (mut count, mut bytes) = (0, 0);
        for at in edges.start..edges.end {
            let slot = self.tasks.input(edges, at);
            let State::Memory { holders, nbytes } = &self.tasks[slot].state else {
                unreachable!("a task is sent when its inputs are in memory");
            };
            let all = self.tasks.holders.slice(holders);
            let nbytes = share_of(*nbytes, parts);
            if all.binary_search(&worker.0).is_err() {
                count += 1;
                bytes += nbytes;
            }
            inputs.push(Input { task: self.tasks.id(slot), part, nbytes, holders: self.name_holders(all, worker) });
        }
        (inputs, (count, bytes))
    }

    /// A few of the holders: the receiver if it is one, and others that differ between receivers to spread the load.
    pub(crate) fn name_holders(&self, all: &[u32], receiver: WorkerIx) -> SmallVec<[WorkerId; 2]> {
        if all.len() <= HOLDERS_NAMED {
            return all.iter().map(|&ix| self.workers[WorkerIx(ix)].id).collect();
        }
        let here = all.binary_search(&receiver.0).ok().map(|at| all[at]);
        let turned = (0..all.len()).map(|at| all[(at + receiver.0 as usize) % all.len()]);
        let chosen = here.into_iter().chain(turned.filter(|&ix| Some(ix) != here)).take(HOLDERS_NAMED);
        chosen.map(|ix| self.workers[WorkerIx(ix)].id).collect()
    }

    /// Takes an attempt off its worker's books; the caller sets the task's next state.
    pub(crate) fn end_attempt(&mut self, slot: Slot) -> WorkerIx {
        let State::Processing { worker, cost_us, phase, result_kib } = self.tasks[slot].state else {
            unreachable!("only a task on a worker has an attempt to end");
        };
        self.arguments_gone(slot, worker);
        let now = self.now;
        let entry = &mut self.workers[worker];
        entry.progress = now;
        entry.processing.remove(slot);
        entry.result_kib -= u64::from(result_kib);
        match phase {
            Phase::Assigned | Phase::Started => {
                entry.active -= 1;
                entry.occupancy_us -= u64::from(cost_us);
            }
            Phase::Stealing => {
                entry.active -= 1;
                entry.occupancy_us -= u64::from(cost_us);
                entry.stealing -= 1;
            }
            Phase::Seceded => {}
        }
        if entry.suspect == Some(slot) {
            entry.suspect = None;
            self.look_at_parked = true;
        }
        self.look_at_parked |= entry.pressure == Pressure::Full;
        self.look_at_retirements |= entry.standing == crate::workers::Standing::Retiring;
        self.workers.update(worker, &self.config);
        worker
    }

    /// The worker's attempt at this task that is under way now, if `attempt` is it.
    pub(crate) fn is_current(&self, slot: Slot, attempt: Attempt, from: WorkerIx) -> bool {
        let task = &self.tasks[slot];
        let here = matches!(task.state, State::Processing { worker, .. } if worker == from);
        here && task.attempt == attempt
    }
}
