//! Moving work that has not started from workers with too much of it to workers with none.
//!
//! The scheduler asks (`Steal`), the victim answers what it gave back and what it kept. Until then the attempt stays
//! the victim's, in phase `Stealing`; no other table knows of it, so a death or a cancellation ends it like any other
//! attempt. One request per victim is open at a time; if the answer does not come within the lease, the attempts
//! count as kept. What is given back is placed anew, like any ready task.
//!
//! Only what pays is moved: a task that would wait longer on the victim than moving its inputs takes. Nothing is moved to
//! a worker that is short of memory.

use crate::placement::share_of;
use crate::scheduler::Scheduler;
use crate::tasks::{Phase, Slot, State, WorkerIx};
use kask_types::{Attempt, TaskId, Tick};
use std::cmp::Reverse;
use std::collections::BTreeSet;

/// So many attempts of a victim are looked at in one round.
const LOOKED_AT: usize = 4_096;
/// So many thieves are considered for one attempt.
const THIEVES_ASKED: usize = 16;
/// After a round that moved nothing, the next one is so many intervals later.
const BACKOFF: u64 = 10;

/// Workers with a runner to spare: when a task that goes there would start, in microseconds, and which.
type Thieves = BTreeSet<(u64, WorkerIx)>;

/// An open request to give an attempt back.
pub(crate) struct Lease {
    pub(crate) until: Tick,
    task: TaskId,
    attempt: Attempt,
}

impl Scheduler {
    /// When to rebalance next, if there is anything to balance.
    pub(crate) fn balance_due(&self) -> Option<Tick> {
        let uneven = !self.workers.hungry.is_empty() && !self.workers.loaded.is_empty();
        uneven.then_some(self.next_balance)
    }

    /// Asks loaded workers for work that hungry ones could start sooner.
    pub(crate) fn balance(&mut self) {
        if self.balance_due().is_none_or(|due| due > self.now) {
            return;
        }
        let idle = self.workers.hungry.iter().map(|&ix| (self.workers[ix].wait_us(), ix));
        let mut thieves: Thieves = idle.collect();
        let loaded = self.workers.loaded.iter().map(|&ix| (self.workers[ix].wait_at_us(self.now), ix));
        let mut victims: Vec<(u64, WorkerIx)> = loaded.filter(|&(_, ix)| self.workers[ix].stealing == 0).collect();
        // Those that are short of memory first.
        victims.sort_unstable_by_key(|&(wait, ix)| (Reverse(self.workers[ix].pressure), Reverse(wait), ix));
        let mut asked = 0;
        for (wait_us, victim) in victims {
            if self.pays(wait_us, &thieves) {
                asked += self.steal_from(victim, wait_us, &mut thieves);
            }
        }
        let pause = if asked == 0 { BACKOFF } else { 1 };
        self.next_balance = self.now.after_ms(self.config.balance_interval_ms * pause);
    }

    /// Whether a task that waits for so long could start sooner on the thief that has least to do.
    fn pays(&self, wait_us: u64, thieves: &Thieves) -> bool {
        let least = thieves.first().map(|&(wait, _)| wait);
        least.is_some_and(|least| wait_us > least + self.config.transfer_latency_us)
    }

    /// Asks one victim for what its thieves would start sooner; says how many attempts that was.
    fn steal_from(&mut self, victim: WorkerIx, wait_us: u64, thieves: &mut Thieves) -> usize {
        let entry = &self.workers[victim];
        let threads = entry.nthreads();
        let mut surplus = u64::from(entry.active).saturating_sub(threads);
        let mut left_us = wait_us * threads;
        // Slots are given out in the order of the graph: the last ones are those that the victim would start last.
        let latest: Vec<Slot> = entry.processing.iter().rev().take(LOOKED_AT).collect();
        let mut asked = 0;
        for slot in latest {
            if surplus == 0 || !self.pays(left_us / threads, thieves) {
                break;
            }
            let State::Processing { cost_us, phase: Phase::Assigned, .. } = self.tasks[slot].state else {
                continue;
            };
            let cost_us = u64::from(cost_us);
            let wait_us = left_us.saturating_sub(cost_us) / threads;
            let Some(thief) = self.best_thief(slot, wait_us, thieves) else {
                continue;
            };
            thieves.remove(&thief);
            let (thief_wait_us, ix) = thief;
            thieves.insert((thief_wait_us + cost_us / self.workers[ix].nthreads(), ix));
            left_us = left_us.saturating_sub(cost_us);
            surplus -= 1;
            asked += 1;
            self.ask_back(slot, victim);
        }
        asked
    }

    /// The thief that would start the task first, if that is sooner than the victim.
    fn best_thief(&self, slot: Slot, wait_us: u64, thieves: &Thieves) -> Option<(u64, WorkerIx)> {
        let class = self.tasks.lineage(slot)?.style_of(self.tasks[slot].row).class;
        let class = self.classes.get(class);
        let is_suspect = self.is_suspect(slot);
        let mut fit = thieves
            .iter()
            .take(THIEVES_ASKED)
            .filter(|&&(_, ix)| class.allows(ix) && !(is_suspect && self.workers[ix].suspect.is_some()));
        let &(thief_wait_us, thief) = fit.next()?;
        let (count, bytes) = self.missing_on(slot, thief);
        // An answer takes a round trip, whatever is moved.
        let mut move_us = self.transfer_us(count.max(1), bytes);
        if self.workers.any_limit {
            move_us += self.spill_us(&self.workers[thief], self.needed_bytes(slot) + bytes);
        }
        (wait_us > thief_wait_us + move_us).then_some((thief_wait_us, thief))
    }

    fn missing_on(&self, slot: Slot, worker: WorkerIx) -> (u32, u64) {
        let edges = self.tasks.inputs(slot);
        let parts = self.parts_read(slot);
        let (mut count, mut missing) = (0, 0);
        for at in edges.start..edges.end {
            if let State::Memory { holders, nbytes } = &self.tasks[self.tasks.input(edges, at)].state
                && !self.tasks.holders.contains(*holders, worker.0)
            {
                count += 1;
                missing += share_of(*nbytes, parts);
            }
        }
        (count, missing)
    }

    /// Asks a worker to give an attempt back.
    pub(crate) fn ask_back(&mut self, slot: Slot, victim: WorkerIx) {
        let State::Processing { phase, .. } = &mut self.tasks[slot].state else {
            unreachable!("only a task on a worker can be asked back");
        };
        debug_assert_eq!(*phase, Phase::Assigned);
        *phase = Phase::Stealing;
        self.workers[victim].stealing += 1;
        let (task, attempt) = (self.tasks.id(slot), self.tasks[slot].attempt);
        self.out.steal(self.workers[victim].id, task, attempt);
        let until = self.now.after_ms(self.config.steal_lease_ms);
        self.leases.push_back(Lease { until, task, attempt });
    }

    /// Requests that were not answered in time count as refused, for the time being.
    pub(crate) fn end_leases(&mut self) {
        while self.leases.front().is_some_and(|lease| lease.until <= self.now) {
            let lease = self.leases.pop_front().expect("looked at above");
            if let Some(slot) = self.tasks.current(lease.task)
                && self.tasks[slot].attempt == lease.attempt
            {
                self.set_phase(slot, |phase| if phase == Phase::Stealing { Phase::Assigned } else { phase });
            }
        }
    }

    /// Changes the phase of an attempt, and its worker's books with it.
    pub(crate) fn set_phase(&mut self, slot: Slot, change: impl FnOnce(Phase) -> Phase) {
        let State::Processing { worker, cost_us, phase, result_kib: _ } = &mut self.tasks[slot].state else {
            return;
        };
        let (worker, cost_us, old) = (*worker, u64::from(*cost_us), *phase);
        let new = change(old);
        *phase = new;
        let entry = &mut self.workers[worker];
        entry.stealing -= u32::from(old == Phase::Stealing);
        entry.stealing += u32::from(new == Phase::Stealing);
        match (old == Phase::Seceded, new == Phase::Seceded) {
            (false, true) => {
                entry.active -= 1;
                entry.occupancy_us -= cost_us;
            }
            (true, false) => {
                entry.active += 1;
                entry.occupancy_us += cost_us;
            }
            (false, false) | (true, true) => {}
        }
        self.workers.update(worker, &self.config);
    }

    /// A victim's answer.
    pub(crate) fn steal_answered(
        &mut self,
        victim: WorkerIx,
        given: Vec<(TaskId, Attempt)>,
        kept: Vec<(TaskId, Attempt)>,
    ) {
        for (task, attempt) in kept {
            if let Some(slot) = self.tasks.current(task)
                && self.is_current(slot, attempt, victim)
            {
                self.set_phase(slot, |phase| match phase {
                    Phase::Assigned | Phase::Stealing | Phase::Started => Phase::Started,
                    Phase::Seceded => Phase::Seceded,
                });
            }
        }
        let mut moved = Vec::new();
        for (task, attempt) in given {
            // An answer that comes after its lease is as good: the attempt is over in any case.
            if let Some(slot) = self.tasks.current(task)
                && self.is_current(slot, attempt, victim)
            {
                self.end_attempt(slot);
                self.wait_again(slot);
                moved.push(slot);
            }
        }
        for slot in moved {
            if matches!(self.tasks[slot].state, State::Waiting { missing: 0 }) {
                self.counters.stolen += 1;
                self.place_stolen(slot);
            }
        }
    }

    /// A task that was given back goes where it starts first, even if it is a root: somebody waits for it.
    fn place_stolen(&mut self, slot: Slot) {
        if self.is_suspect(slot) {
            return self.make_ready(slot);
        }
        match self.choose_worker(slot, None) {
            Some(worker) => self.dispatch(slot, worker),
            None => self.make_ready(slot),
        }
    }
}
