//! Where a task runs, and the message that sends it there.
//!
//! A task with inputs goes where it is expected to start first: the work before it, plus what it costs to move the
//! inputs that are not there. Candidates are the holders of its inputs and a few workers with room; ties go to the worker
//! that holds fewer bytes, then to the lower number. Tasks without inputs (or whose inputs are read by so many that
//! they end up everywhere) stay in the queue until somebody has room; see `queue`.

use crate::scheduler::Scheduler;
use crate::tasks::{Phase, Slot, State, WorkerIx};
use kask_graph::Call;
use kask_types::{Attempt, WorkerId};
use kask_wire::ComputeTask;
use kask_wire::worker::{Input, Priority};
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
    bytes_here: u64,
}

impl Scheduler {
    /// Whether the task is better kept in the queue than sent after its inputs.
    pub(crate) fn is_rootish(&self, slot: Slot) -> bool {
        let edges = self.tasks.inputs(slot);
        if edges.len() > MOST_ROOT_INPUTS {
            return false;
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
        candidates.retain(|&mut (ix, _)| eligible.allows(ix) && passes(self, ix));
        let with_room = self.workers.room.range(self.cursor..).chain(self.workers.room.range(..self.cursor));
        let strangers = with_room.copied().filter(|&ix| eligible.allows(ix) && passes(self, ix));
        candidates.extend(strangers.take(STRANGERS).map(|ix| (ix, Candidate::default())));
        if candidates.is_empty() || (candidates.len() < 2 && avoid.is_some()) {
            let all = eligible.eligible.iter().copied().filter(|&ix| passes(self, ix));
            candidates.extend(all.map(|ix| (ix, Candidate::default())));
        }
        let best = candidates.iter().min_by_key(|&&(ix, here)| {
            let worker = &self.workers[ix];
            let missing = total_inputs - here.inputs_here;
            let transfer = self.transfer_us(missing, total_bytes - here.bytes_here);
            (avoid == Some(ix), worker.wait_us() + transfer, worker.held_bytes, worker.id)
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

    /// Number and bytes of the task's inputs, and what of that each holder has.
    fn weigh_inputs(&mut self, slot: Slot) -> (u32, u64, SmallVec<[(WorkerIx, Candidate); 12]>) {
        let edges = self.tasks.inputs(slot);
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

    /// Sends a ready task to a worker, as a new attempt.
    pub(crate) fn dispatch(&mut self, slot: Slot, worker: WorkerIx) {
        let (inputs, moved) = self.describe_inputs(slot, worker);
        let expected = self.tasks.families.expected_us(self.tasks[slot].family());
        let expected = u64::from(expected.unwrap_or(self.config.unknown_duration_us));
        let transfer = self.transfer_us(moved.0, moved.1);
        let cost_us = u32::try_from(expected + transfer).unwrap_or(u32::MAX).max(1);
        self.tasks[slot].attempt.0 += 1;
        self.tasks.set_state(slot, State::Processing { worker, cost_us, phase: Phase::Assigned });
        let now = self.now;
        let entry = &mut self.workers[worker];
        if entry.active == 0 {
            entry.progress = now;
        }
        entry.processing.insert(slot);
        entry.active += 1;
        entry.occupancy_us += u64::from(cost_us);
        self.workers.update(worker, &self.config);
        self.send(slot, worker, inputs);
    }

    fn send(&mut self, slot: Slot, worker: WorkerIx, inputs: Vec<Input>) {
        let task = &self.tasks[slot];
        let batch = self.tasks.batch(task.batch);
        let (span, index) = batch.local(task.row);
        let (layer, style) = batch.layer_of(task.row);
        debug_assert!(span < batch.spans.len());
        let call = layer.call(index).expect("the layer was checked when it was expanded");
        let Call { function, args, item, position, slots } = call;
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
        };
        self.out.compute(receiver.id, message);
    }

    /// The inputs as the worker is told of them, and how many and how large those are that it does not have.
    fn describe_inputs(&self, slot: Slot, worker: WorkerIx) -> (Vec<Input>, (u32, u64)) {
        let edges = self.tasks.inputs(slot);
        let mut inputs = Vec::with_capacity(edges.len());
        let (mut count, mut bytes) = (0, 0);
        for at in edges.start..edges.end {
            let slot = self.tasks.input(edges, at);
            let State::Memory { holders, nbytes } = &self.tasks[slot].state else {
                unreachable!("a task is sent when its inputs are in memory");
            };
            let all = self.tasks.holders.slice(holders);
            if all.binary_search(&worker.0).is_err() {
                count += 1;
                bytes += nbytes;
            }
            inputs.push(Input { task: self.tasks.id(slot), nbytes: *nbytes, holders: self.name_holders(all, worker) });
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
        let State::Processing { worker, cost_us, phase } = self.tasks[slot].state else {
            unreachable!("only a task on a worker has an attempt to end");
        };
        let now = self.now;
        let entry = &mut self.workers[worker];
        entry.progress = now;
        entry.processing.remove(slot);
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
