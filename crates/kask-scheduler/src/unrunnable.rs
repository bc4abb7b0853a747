//! Tasks that are ready and that no worker may run, because of the workers or resources that they ask for.
//!
//! Such a worker may join, so they wait. But if it is a misspelt name they wait for ever, and a client that waits for them
//! wants to know. Nothing is kept for that: when a client asks, what it waits for is searched, if there is any such task.

use crate::clients::ClientIx;
use crate::scheduler::Scheduler;
use crate::tasks::{Slot, State};
use kask_wire::client::Unrunnable;
use std::collections::{BTreeMap, BTreeSet};

/// So many tasks are looked at.
const MOST_LOOKED_AT: usize = 100_000;

impl Scheduler {
    /// What the client waits for and no worker may run, by what it asks for.
    pub(crate) fn unrunnable(&self, client: ClientIx) -> Vec<Unrunnable> {
        let stuck: BTreeSet<_> =
            self.classes.nonempty.iter().copied().filter(|&ix| self.classes.get(ix).eligible.is_empty()).collect();
        if stuck.is_empty() {
            return Vec::new();
        }
        let mut found: BTreeMap<_, (u64, Slot)> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let mut stack: Vec<Slot> = self.clients[client].wants.iter().collect();
        while let Some(slot) = stack.pop() {
            if seen.len() >= MOST_LOOKED_AT {
                break;
            }
            if !self.tasks[slot].state.is_unfinished() || !seen.insert(slot) {
                continue;
            }
            if matches!(self.tasks[slot].state, State::Queued)
                && let Some(batch) = self.tasks.lineage(slot)
            {
                let class = batch.style_of(self.tasks[slot].row).class;
                if stuck.contains(&class) {
                    found.entry(class).or_insert((0, slot)).0 += 1;
                }
            }
            let edges = self.tasks.inputs(slot);
            stack.extend((edges.start..edges.end).map(|at| self.tasks.input(edges, at)));
        }
        let told = found.into_iter().map(|(class, (tasks, example))| Unrunnable {
            workers: self.classes.get(class).restriction().clone(),
            resources: self.classes.get(class).resources().clone(),
            tasks,
            example: self.tasks.printed(example).to_string(),
        });
        told.collect()
    }
}
