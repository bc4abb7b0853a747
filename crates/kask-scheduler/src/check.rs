//! The invariants between the tables, all of them, for tests.
//!
//! Everything that is kept up to date step by step is computed here from scratch and compared.

use crate::clients::ClientIx;
use crate::scheduler::Scheduler;
use crate::tasks::{BatchIx, Flag, Phase, Slot, State, WorkerIx};
use kask_wire::worker::Pressure;
use std::collections::BTreeMap;

impl Scheduler {
    /// Verifies every invariant; slow.
    ///
    /// # Panics
    /// With what is wrong, if something is.
    pub fn check(&self) {
        assert!(self.unsettled.is_empty(), "tasks are left unsettled: {:?}", self.unsettled);
        let living: Vec<Slot> =
            self.tasks.slots().filter(|&slot| !matches!(self.tasks[slot].state, State::Vacant)).collect();
        assert_eq!(living.len(), self.tasks.len(), "the index of keys and the table differ");
        self.check_counts(&living);
        for &slot in &living {
            self.check_task(slot);
        }
        self.check_queues(&living);
        self.check_workers(&living);
        self.check_interest(&living);
        self.check_batches(&living);
        self.check_blobs();
        self.check_pending();
        self.supervisors.check();
        let states = living.iter().map(|&slot| (self.tasks[slot].family(), &self.tasks[slot].state));
        assert_eq!(self.tasks.families.recount(states), self.tasks.families.counts(), "family counts are off");
    }

    fn check_counts(&self, living: &[Slot]) {
        let mut dependents: BTreeMap<Slot, (u32, u32)> = BTreeMap::new();
        for &slot in living {
            let edges = self.tasks.inputs(slot);
            for at in edges.start..edges.end {
                let count = dependents.entry(self.tasks.input(edges, at)).or_default();
                count.0 += 1;
                count.1 += u32::from(self.tasks[slot].state.is_unfinished());
            }
        }
        for &slot in living {
            let task = &self.tasks[slot];
            let (all, unfinished) = dependents.remove(&slot).unwrap_or_default();
            assert_eq!(task.dependents, all, "{slot:?}: dependents");
            assert_eq!(task.needed_by, unfinished, "{slot:?} ({:?}): needed_by", task.state);
            let listed = self.tasks.dependents(slot);
            assert_eq!(listed.len(), all as usize, "{slot:?}: listed dependents {listed:?}");
            for dependent in listed {
                let edges = self.tasks.inputs(dependent);
                let reads = (edges.start..edges.end).any(|at| self.tasks.input(edges, at) == slot);
                assert!(reads, "{dependent:?} is listed as dependent of {slot:?} and does not read it");
            }
        }
        assert!(dependents.is_empty(), "living tasks read tasks that are gone: {:?}", dependents.keys());
    }

    fn check_task(&self, slot: Slot) {
        let task = &self.tasks[slot];
        assert_eq!(self.tasks.find(task.key()), Some(slot), "{slot:?} is not found by its key");
        let missing = || {
            let edges = self.tasks.inputs(slot);
            let stored = |at: &u32| matches!(self.tasks[self.tasks.input(edges, *at)].state, State::Memory { .. });
            (edges.start..edges.end).filter(|at| !stored(at)).count() as u32
        };
        let needed = self.is_needed(slot);
        match &task.state {
            State::Vacant => unreachable!("only living tasks are checked"),
            State::Released => assert!(!needed && task.dependents > 0, "{slot:?} is released: needed {needed}"),
            State::Awaited => {
                assert!(needed, "{slot:?} is awaited and not needed");
                let id = self.tasks.id(slot);
                assert!(self.returns.iter().any(|awaited| awaited.lists(id)), "{slot:?} is awaited from nobody");
            }
            State::Scattering => {
                assert!(needed && task.batch == BatchIx::SCATTERED, "{slot:?} is scattering");
                assert!(self.scattering.contains_key(&slot), "{slot:?} is scattering to nobody");
            }
            State::Waiting { missing: said } => {
                assert_eq!(*said, missing(), "{slot:?}: missing inputs");
                assert!(*said > 0 && needed, "{slot:?} waits for {said} inputs; needed {needed}");
            }
            State::Queued | State::Parked => {
                assert_eq!(missing(), 0, "{slot:?} is ready and lacks inputs");
                assert!(needed, "{slot:?} is ready and not needed");
                let parked = matches!(task.state, State::Parked);
                assert_eq!(self.parked.contains(&slot), parked, "{slot:?}: parked");
            }
            State::Processing { worker, .. } => {
                assert!(needed && task.attempt.0 > 0, "{slot:?} is on a worker and not needed");
                assert!(self.workers[*worker].processing.contains(slot), "{slot:?}: {worker:?} does not know");
            }
            State::Memory { holders, .. } => {
                assert!(needed, "{slot:?} is in memory and not needed");
                assert!(!holders.is_empty(), "{slot:?} is in memory and nowhere");
                for &holder in self.tasks.holders.slice(holders) {
                    assert!(self.workers[WorkerIx(holder)].held.contains(slot), "{slot:?}: holder {holder}");
                }
            }
            State::Erred(_) => {
                assert!(needed || task.dependents > 0, "{slot:?} failed and nobody wants to know");
            }
        }
        if task.state.is_unfinished() {
            let edges = self.tasks.inputs(slot);
            for at in edges.start..edges.end {
                let input = &self.tasks[self.tasks.input(edges, at)].state;
                let hopeless = matches!(input, State::Erred(_) | State::Released);
                assert!(!hopeless, "{slot:?} ({:?}) waits for an input that is {input:?}", task.state);
            }
        } else {
            assert!(!task.has(Flag::Detached), "{slot:?} has ended and is detached");
            assert!(self.tasks.rare(slot).is_none(), "{slot:?} has ended and has rare things");
        }
    }

    fn check_queues(&self, living: &[Slot]) {
        let mut queued = 0;
        for (ix, class) in self.classes.iter() {
            let listed: u64 = self
                .classes
                .listed(ix)
                .map(|(batch, set)| {
                    let ready = &self.tasks.batch(batch).ready[set];
                    assert_eq!(ready.class, ix, "a batch is in the queue of another class");
                    assert!(!ready.rows.is_empty(), "an empty batch is in a queue");
                    u64::from(ready.rows.len())
                })
                .sum();
            assert_eq!(class.queued, listed, "{ix:?}: queued");
            assert_eq!(self.classes.nonempty.contains(&ix), listed > 0, "{ix:?}: nonempty");
            queued += listed;
            let can_run = class.eligible.iter().any(|&worker| self.workers[worker].has_room(&self.config));
            assert!(listed == 0 || !can_run, "{ix:?}: tasks are queued while a worker that may run them has room");
            let would_take = class.eligible.iter().any(|&worker| self.workers[worker].takes_one_though_full());
            let stuck = listed > 0 && would_take && self.is_full_throughout(ix);
            assert!(!stuck, "{ix:?}: tasks are queued, only full workers may run them, and one has nothing to do");
        }
        let states = living.iter().filter(|&&slot| matches!(self.tasks[slot].state, State::Queued));
        let mut count = 0;
        for &slot in states {
            let task = &self.tasks[slot];
            let found = self.tasks.batch(task.batch).ready.iter().filter(|ready| ready.rows.contains(task.row)).count();
            assert_eq!(found, 1, "{slot:?} is queued {found} times");
            count += 1;
        }
        assert_eq!(count, queued, "queued tasks and queues differ");
        assert_eq!(self.parked.len(), self.count(living, |state| matches!(state, State::Parked)), "parked tasks");
    }

    fn count(&self, living: &[Slot], is: impl Fn(&State) -> bool) -> usize {
        living.iter().filter(|&&slot| is(&self.tasks[slot].state)).count()
    }

    fn check_workers(&self, living: &[Slot]) {
        for (ix, worker) in self.workers.iter() {
            let mut active = worker.lingering() as u32;
            let mut occupancy_us = u64::from(active) * u64::from(self.config.unknown_duration_us);
            let (mut stealing, mut suspect, mut kib) = (0, None, 0);
            let mut arguments_bytes = 0;
            for slot in worker.processing.iter() {
                let State::Processing { worker, cost_us, phase, result_kib } = self.tasks[slot].state else {
                    panic!("{ix:?} works on {slot:?}, which is {:?}", self.tasks[slot].state);
                };
                assert_eq!(worker, ix, "{slot:?} is on two workers");
                if phase != Phase::Seceded {
                    active += 1;
                    occupancy_us += u64::from(cost_us);
                }
                kib += u64::from(result_kib);
                arguments_bytes += self.tasks.rare(slot).map_or(0, |rare| rare.arguments_bytes);
                stealing += u32::from(phase == Phase::Stealing);
                if self.is_suspect(slot) {
                    assert_eq!(suspect, None, "{ix:?} has two suspects");
                    suspect = Some(slot);
                }
            }
            assert_eq!(worker.active, active, "{ix:?}: active");
            assert_eq!(worker.occupancy_us, occupancy_us, "{ix:?}: occupancy");
            assert_eq!(worker.stealing, stealing, "{ix:?}: stealing");
            assert_eq!(worker.result_kib, kib, "{ix:?}: expected results");
            assert_eq!(worker.arguments_bytes, arguments_bytes, "{ix:?}: arguments");
            assert_eq!(worker.suspect, suspect, "{ix:?}: suspect");
            let mut held_bytes = 0;
            for slot in worker.held.iter() {
                let State::Memory { holders, nbytes } = self.tasks[slot].state else {
                    panic!("{ix:?} holds {slot:?}, which is {:?}", self.tasks[slot].state);
                };
                assert!(self.tasks.holders.contains(holders, ix.0), "{slot:?} does not list {ix:?}");
                held_bytes += nbytes;
            }
            assert_eq!(worker.held_bytes, held_bytes, "{ix:?}: held bytes");
            assert_eq!(self.workers.room.contains(&ix), worker.has_room(&self.config), "{ix:?}: room");
            assert_eq!(
                self.workers.full.contains(&ix),
                worker.takes_tasks() && worker.pressure == Pressure::Full,
                "{ix:?}: full"
            );
            assert!(worker.rests_until.is_none() || self.next_rest.is_some(), "{ix:?} rests for ever");
            assert!(
                !self.workers.hungry.contains(&ix) || worker.has_room(&self.config),
                "{ix:?} is hungry without room"
            );
            let allowed = self.classes.get(crate::classes::ClassIx::ANY).allows(ix);
            assert_eq!(allowed, worker.takes_tasks(), "{ix:?}: eligible");
        }
        let strained = self
            .workers
            .iter()
            .any(|(_, worker)| worker.pressure != Pressure::Comfortable || worker.rests_until.is_some());
        assert_eq!(self.workers.any_strained, strained, "strain");
        let on_workers: usize = self.workers.iter().map(|(_, worker)| worker.processing.len()).sum();
        let processing = self.count(living, |state| matches!(state, State::Processing { .. }));
        assert_eq!(on_workers, processing, "attempts on workers and tasks being processed differ");
        assert!(self.workers.len() == 0 || self.next_silence.is_some(), "nobody watches for silent workers");
    }

    fn check_interest(&self, living: &[Slot]) {
        let mut wants = 0;
        for &slot in living {
            let wanted_by = self.tasks[slot].wanted_by;
            for &client in self.tasks.interest.slice(&wanted_by) {
                assert!(self.clients[ClientIx(client)].wants.contains(slot), "{slot:?} is wanted by {client}");
                wants += 1;
            }
        }
        let said: usize = self.clients.iter().map(|(_, client)| client.wants.len()).sum();
        assert_eq!(wants, said, "wants of clients and of tasks differ");
    }

    fn check_batches(&self, living: &[Slot]) {
        let mut alive: BTreeMap<(BatchIx, usize), u32> = BTreeMap::new();
        for &slot in living.iter().filter(|&&slot| self.tasks[slot].batch != BatchIx::SCATTERED) {
            let task = &self.tasks[slot];
            let batch = self.tasks.batch(task.batch);
            assert_eq!(batch.slots[task.row as usize], slot, "{slot:?}: row");
            *alive.entry((task.batch, batch.local(task.row).0)).or_default() += 1;
        }
        for (at, batch) in self.tasks.batches.iter().enumerate() {
            let Some(batch) = batch else { continue };
            let ix = BatchIx(at as u32);
            let mut total = 0;
            for (at, span) in batch.spans.iter().enumerate() {
                let count = alive.remove(&(ix, at)).unwrap_or(0);
                assert!(count <= span.len, "{ix:?}: a layer has more tasks than it can have");
                assert_eq!(span.alive, count, "{ix:?}: living tasks of layer {at}");
                assert_eq!(span.layer.is_some(), count > 0, "{ix:?}: layer {at} is kept as long as its tasks");
                total += count;
            }
            assert_eq!(batch.alive, total, "{ix:?}: living tasks");
            assert!(total > 0, "{ix:?} has no tasks and is kept");
        }
    }

    fn check_blobs(&self) {
        let mut layers: BTreeMap<_, u32> = BTreeMap::new();
        for batch in self.tasks.batches.iter().flatten() {
            for span in batch.spans.iter().filter(|span| span.layer.is_some()) {
                for &blob in &span.blobs {
                    *layers.entry(blob).or_default() += 1;
                }
            }
        }
        for (id, blob) in &self.blobs {
            assert_eq!(blob.layers, layers.remove(id).unwrap_or(0), "blob {id}: layers");
            assert!(blob.layers > 0 || !blob.pinned_by.is_empty(), "blob {id} is kept for nobody");
            for &client in &blob.pinned_by {
                assert!(self.clients[client].pins.contains(id), "blob {id}: pinned by {client:?}");
            }
        }
        assert!(layers.is_empty(), "living layers name blobs that are gone: {:?}", layers.keys());
        let pins: usize = self.clients.iter().map(|(_, client)| client.pins.len()).sum();
        let pinned: usize = self.blobs.values().map(|blob| blob.pinned_by.len()).sum();
        assert_eq!(pins, pinned, "pins of clients and of blobs differ");
        for (ix, worker) in self.workers.iter() {
            assert!(worker.blobs.iter().all(|id| self.blobs.contains_key(id)), "{ix:?} has a blob that was dropped");
        }
    }

    fn check_pending(&self) {
        for (&slot, puts) in &self.scattering {
            assert!(matches!(self.tasks[slot].state, State::Scattering), "{slot:?} is not scattering");
            assert!(!puts.is_empty() || self.is_scatter_pending(slot), "{slot:?} is put by nobody");
            for &(client, target) in puts {
                let _ = &self.workers[target];
                let _ = &self.clients[client];
            }
        }
        for &(slot, target) in &self.copies.open {
            let State::Memory { holders, .. } = self.tasks[slot].state else {
                panic!("{slot:?} is being copied and not in memory");
            };
            assert!(!self.tasks.holders.contains(holders, target.0), "{slot:?} is being copied to its holder");
            let _ = &self.workers[target];
        }
    }
}
