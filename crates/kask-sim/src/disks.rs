//! A worker process's memory and disk: what its shell does to spill values, read them back, and find them again.
//!
//! Files outlive their process: the next one in the slot takes them over. While faults are on a write may find the disk
//! full, a file may be damaged (found out only by who reads it), and everything takes its time. A write or a read that is
//! under way when the value is thrown away is answered all the same, and has no effect.

use crate::Planted;
use crate::call::nbytes_of;
use crate::network::{Happening, NodeHappening, NodeIx, Place};
use crate::node::{Disk, Life, Node, OnDisk};
use crate::world::{Outcome, World};
use kask_types::{DeathCause, TaskId, ValueId};
use kask_worker::{Event, SpillProblem};

impl World {
    /// A new process finds what the last one in its slot has written.
    pub(crate) fn inherit_disk(&mut self, node: &mut Node) {
        let before = self.nodes.iter_mut().filter(|other| other.slot == node.slot && other.life == Life::Dead);
        let Some(files) = before.last().map(|last| std::mem::take(&mut last.disk.files)) else { return };
        if files.is_empty() || !self.rng.chance(self.plan.adopts) {
            return;
        }
        self.note(|_| format!("{:?} finds {} values on its disk", node.worker(), files.len()));
        self.report.adopted += files.len() as u64;
        files.keys().for_each(|&task| self.note_scattered(node.ix, task));
        node.disk = Disk { files, ..Disk::default() };
    }

    /// A process has a value: scattered ones may be lost with it.
    pub(crate) fn note_scattered(&mut self, ix: NodeIx, task: TaskId) {
        if let Some(&key) = self.scattered_tasks.get(&task) {
            self.scattered.entry(key).or_default().insert(kask_types::WorkerId(ix as u32));
        }
    }

    pub(crate) fn drop_value(&mut self, ix: NodeIx, value: ValueId) {
        let node = &mut self.nodes[ix];
        if value.part.is_some() {
            node.parts.remove(&value);
            return;
        }
        node.store.remove(&value.task);
        node.disk.files.remove(&value.task);
        node.disk.writing.remove(&value.task);
        node.disk.reading.remove(&value.task);
    }

    fn after_disk(&mut self, ix: NodeIx, what: NodeHappening) {
        let what = Happening::AtNode { node: ix, what };
        self.network.send(&mut self.rng, Place::Disk(ix), Place::Node(ix), what);
    }

    pub(crate) fn spill(&mut self, ix: NodeIx, tasks: Vec<TaskId>) {
        self.note(|_| format!("w{ix} spills {tasks:?}"));
        for task in tasks {
            let disk = &mut self.nodes[ix].disk;
            let job = disk.job();
            disk.writing.insert(task, job);
            self.after_disk(ix, NodeHappening::Written { task, job });
        }
    }

    pub(crate) fn written(&mut self, ix: NodeIx, task: TaskId, job: u64) -> Outcome<()> {
        let result = self.write(ix, task, job)?;
        self.note(|_| format!("w{ix} has written {task:?}: {result:?}"));
        if self.options.planted == Some(Planted::SpillEvicts) && result.is_ok() && self.take_planted() {
            self.nodes[ix].store.remove(&task);
        }
        self.node_event(ix, Event::Spilled(vec![(task, result)]))
    }

    fn write(&mut self, ix: NodeIx, task: TaskId, job: u64) -> Outcome<Result<u64, SpillProblem>> {
        let rates = if self.faults_on { self.plan.rates.clone() } else { crate::swarm::Rates::default() };
        let limit = if self.faults_on { self.plan.disk_bytes } else { u64::MAX };
        let problem = match () {
            () if self.rng.chance(rates.disk_full) => Some(SpillProblem::DiskFull),
            () if self.rng.chance(rates.disk_fails) => Some(SpillProblem::Io),
            () if self.rng.chance(rates.disk_fails / 4) => Some(SpillProblem::Unpicklable),
            () => None,
        };
        let is_damaged = self.rng.chance(rates.damage);
        let node = &mut self.nodes[ix];
        if node.disk.writing.get(&task) != Some(&job) {
            // It was thrown away meanwhile; the answer may be anything.
            return Ok(problem.map_or(Ok(1), Err));
        }
        node.disk.writing.remove(&task);
        let Some(&value) = node.store.get(&task) else {
            return Err(format!("w{ix} gave up {task:?} while it was being written"));
        };
        let nbytes = nbytes_of(value);
        let is_full = node.disk.nbytes() + nbytes > limit;
        if let Some(problem) = problem.or(is_full.then_some(SpillProblem::DiskFull)) {
            return Ok(Err(problem));
        }
        node.disk.files.insert(task, OnDisk { value, is_damaged });
        self.report.spilled += 1;
        Ok(Ok(nbytes))
    }

    pub(crate) fn evict(&mut self, ix: NodeIx, tasks: Vec<TaskId>) -> Outcome<()> {
        self.note(|_| format!("w{ix} evicts {tasks:?}"));
        let node = &mut self.nodes[ix];
        for task in tasks {
            if !node.disk.files.contains_key(&task) || node.store.remove(&task).is_none() {
                return Err(format!("w{ix} evicts {task:?}, which is not both in memory and on disk"));
            }
            let reads = |running: &&crate::node::Running| {
                running.compute.inputs.iter().any(|input| input.task == task && input.part.is_none())
            };
            if let Some(running) = node.running.values().find(reads) {
                return Err(format!("w{ix} evicts {task:?}, which {} reads", running.compute.name));
            }
        }
        Ok(())
    }

    pub(crate) fn unspill(&mut self, ix: NodeIx, tasks: Vec<TaskId>) -> Outcome<()> {
        self.note(|_| format!("w{ix} reads {tasks:?} back"));
        for task in tasks {
            let node = &mut self.nodes[ix];
            if node.store.contains_key(&task) || !node.disk.files.contains_key(&task) {
                return Err(format!("w{ix} reads {task:?} back, which is not on disk alone"));
            }
            let job = node.disk.job();
            node.disk.reading.insert(task, job);
            self.after_disk(ix, NodeHappening::Read { task, job });
        }
        Ok(())
    }

    pub(crate) fn was_read(&mut self, ix: NodeIx, task: TaskId, job: u64) -> Outcome<()> {
        let fails = self.faults_on && self.rng.chance(self.plan.rates.disk_fails / 4);
        let node = &mut self.nodes[ix];
        let is_wanted = node.disk.reading.get(&task) == Some(&job);
        let result = match node.disk.files.get(&task) {
            _ if fails => Err(SpillProblem::Io),
            Some(OnDisk { is_damaged: true, .. }) => Err(SpillProblem::Damaged),
            Some(OnDisk { value, .. }) if is_wanted => {
                node.store.insert(task, *value);
                Ok(())
            }
            // It was thrown away meanwhile; the answer may be anything.
            Some(_) | None => Ok(()),
        };
        if is_wanted {
            node.disk.reading.remove(&task);
        }
        if result.is_err() {
            self.values_are_lost();
        }
        self.note(|_| format!("w{ix} has read {task:?}: {result:?}"));
        if self.options.planted == Some(Planted::LostUnspilled) && result.is_ok() && self.take_planted() {
            // The value is there, and the core never hears of it.
            self.nodes[ix].store.remove(&task);
            return Ok(());
        }
        self.node_event(ix, Event::Unspilled(vec![(task, result)]))
    }

    /// Somebody who was to be served from disk finds a file damaged: the core is told once the event at hand is over.
    pub(crate) fn finds_damage(&mut self, ix: NodeIx, task: TaskId) {
        self.values_are_lost();
        self.network.after_us(0, Happening::AtNode { node: ix, what: NodeHappening::Damaged { task } });
    }

    pub(crate) fn is_damaged(&mut self, ix: NodeIx, task: TaskId) -> Outcome<()> {
        let node = &self.nodes[ix];
        let is_damaged = node.disk.files.get(&task).is_some_and(|file| file.is_damaged);
        if !is_damaged || node.store.contains_key(&task) || node.disk.reading.contains_key(&task) {
            return Ok(());
        }
        self.note(|_| format!("w{ix} knows that {task:?} is damaged"));
        self.node_event(ix, Event::Unspilled(vec![(task, Err(SpillProblem::Damaged))]))
    }

    /// Data that has no lineage may be among what is lost.
    fn values_are_lost(&mut self) {
        self.model.values_were_lost = true;
        let all: Vec<_> = self.scattered.keys().copied().collect();
        all.into_iter().for_each(|key| self.model.excuse(key, crate::model::Excuse::Lost));
    }

    /// The process's memory, with something on top that is no value; who takes too much may be killed.
    pub(crate) fn measured(&mut self, ix: NodeIx) -> Outcome<()> {
        let node = &self.nodes[ix];
        let limit = node.info.memory_limit_bytes;
        let (values, spikes) = (node.memory_bytes(), if self.faults_on { self.plan.rates.spikes } else { 0 });
        let other = if self.rng.chance(spikes) { self.rng.below(limit) } else { limit / 100 };
        let process_bytes = values + other;
        // Now and then others take of what all share.
        let most_bytes = if self.rng.chance(spikes) { self.rng.below(limit) } else { u64::MAX };
        self.network.after_us(400_000, Happening::AtNode { node: ix, what: NodeHappening::Measured });
        if self.faults_on && process_bytes > limit && self.rng.chance(500) {
            return self.node_ends(ix, DeathCause::OutOfMemory);
        }
        self.node_event(ix, Event::Memory { process_bytes, most_bytes })
    }
}
