//! Which parked attempts go on, and when.
//!
//! Attempts are admitted in the order of their priorities, each when what it needs fits: its inputs that are not in memory
//! here, and its result. To make room, values are chosen to leave memory (`victims`). What does not fit waits, and all that is
//! less urgent with it. The rule that keeps everything going: when nothing is admitted and nothing more can leave memory,
//! the first goes on whatever it needs, unless what is in its way stays only because it cannot be written.

use crate::families::FamilyId;
use crate::inputs::named;
use crate::values::Residence;
use crate::worker::Worker;
use hashbrown::HashSet;
use kask_types::{TaskId, Tick, ValueId};
use kask_wire::ComputeTask;
use kask_wire::worker::{FetchProblem, Input};
use rustc_hash::FxBuildHasher;
use std::collections::VecDeque;

/// What tasks are said to need is believed up to this much, so that sums stay sums.
const MOST_BYTES: u64 = 1 << 50;

/// A copy for which there is no room for so long is refused: others may have room for it.
const COPY_WAIT_MS: u64 = 10_000;

/// Copies that the scheduler wants here and for which there is no room yet, and until when they wait for it.
#[derive(Debug, Default)]
pub(crate) struct Acquires {
    waiting: VecDeque<(Input, Tick)>,
}

impl Acquires {
    pub(crate) fn wait(&mut self, input: Input, now: Tick) {
        self.waiting.push_back((input, now.after_ms(COPY_WAIT_MS)));
    }

    pub(crate) fn next_deadline(&self) -> Option<Tick> {
        self.waiting.front().map(|&(_, until)| until)
    }

    /// Nobody wants a copy of this; `true` when somebody did.
    pub(crate) fn forget(&mut self, task: TaskId) -> bool {
        let before = self.waiting.len();
        self.waiting.retain(|(input, _)| input.task != task);
        self.waiting.len() < before
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
    }
}

/// The parked attempt that is to be admitted next: what it needs of what is here stays.
#[derive(Debug, Default)]
pub(crate) struct Next {
    serial: Option<u64>,
    inputs: Vec<TaskId>,
}

impl Next {
    pub(crate) fn needs(&self, task: TaskId) -> bool {
        self.inputs.binary_search(&task).is_ok()
    }

    fn set(&mut self, serial: u64, compute: &ComputeTask) {
        self.serial = Some(serial);
        let whole = compute.inputs.iter().filter(|input| input.part.is_none());
        self.inputs.clear();
        self.inputs.extend(whole.map(|input| input.task));
        self.inputs.sort_unstable();
    }

    fn clear(&mut self) {
        self.serial = None;
        self.inputs.clear();
    }
}

/// Attempts with more inputs than this have what they need remembered while nothing happens to any of them.
const MANY_INPUTS: usize = 16;

/// What the inputs of the attempt with this serial number need, as long as the fetcher has this version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remembered {
    serial: u64,
    version: u64,
    bytes: u64,
}

/// Whether there is room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Room {
    There,
    /// There will be when what was admitted has ended, or when the disk has answered.
    Later,
    /// What is in the way cannot be written.
    Never,
}

/// What an attempt needs beside what is in memory already.
#[derive(Clone, Copy, Debug)]
struct Need {
    /// For inputs that must be brought, and for the result: as the scheduler says and as its family's results were.
    bytes: u64,
    /// For the result alone.
    result: u64,
    /// As far as it is not only what results of its family were: no attempt fails for what others did.
    firm: u64,
    /// Whether the size of the result is more than a guess.
    is_known: bool,
}

/// Something that waits for room.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Blocked {
    pub(crate) need: u64,
    /// The attempt, if it is one, for which there is no room and nothing here will make any.
    pub(crate) stuck: Option<u32>,
}

impl Worker {
    /// Admits all that there is room for, and sees to it that there will be more.
    pub(crate) fn admit(&mut self, now: Tick) {
        if !self.memory.is_limited() {
            return;
        }
        if self.memory.look_at_disk(now) {
            self.fruitless = None;
        }
        loop {
            let blocked = self.admit_copies(now).or_else(|| self.admit_attempts());
            self.keep_room();
            if !self.tell_pressure(now, blocked) {
                return;
            }
        }
    }

    fn admit_copies(&mut self, now: Tick) -> Option<Blocked> {
        while let Some((input, until)) = self.acquires.waiting.front() {
            let (task, nbytes, is_late) = (input.task, input.nbytes, *until <= now);
            if self.values.contains(task) {
                self.tell_again(task);
                self.acquires.waiting.pop_front();
                continue;
            }
            let is_coming = self.fetcher.get(task.into()).is_some();
            self.next.clear();
            // What is on its way has its room.
            let room = if is_coming {
                Room::There
            } else if self.is_full() {
                Room::Never
            } else {
                self.room_for(nbytes, nbytes)
            };
            if room == Room::Later && !is_late {
                return Some(Blocked { need: nbytes, stuck: None });
            }
            let (input, _) = self.acquires.waiting.pop_front().expect("it was looked at above");
            if room == Room::There {
                self.fetch_copy(&input);
            } else {
                let me = self.me();
                self.outbox.missing([(task, me, FetchProblem::Busy)]);
            }
        }
        None
    }

    fn admit_attempts(&mut self) -> Option<Blocked> {
        while let Some(slot) = self.next_parked() {
            let to_bring = self.bytes_to_bring(slot);
            let entry = self.attempts.get(slot);
            let compute = entry.queued().expect("what is parked is not handed out");
            let need = self.need_of(compute, entry.family, to_bring);
            let must_learn = !need.is_known && entry.resources.is_none();
            if must_learn && self.families.active(entry.family) >= self.config.nthreads.max(1) {
                return None;
            }
            if self.is_far_ahead(need.bytes) {
                return None;
            }
            if self.next.serial != Some(entry.serial) {
                self.next.set(entry.serial, compute);
                self.fruitless = None;
            }
            match self.room_for(need.bytes, need.firm) {
                Room::There => self.admit_attempt(slot, need.result),
                Room::Later => return Some(Blocked { need: need.bytes, stuck: None }),
                Room::Never => return Some(Blocked { need: need.firm, stuck: Some(slot) }),
            }
        }
        self.next.clear();
        None
    }

    /// The most urgent parked attempt; where room is scarce, of those whose resources are free.
    fn next_parked(&self) -> Option<u32> {
        let is_scarce = self.shortage(self.memory.lot()) > 0;
        let resources = if is_scarce { &self.free_resources } else { &self.config.resources };
        self.attempts.parked.first(resources).map(|(_, _, slot)| slot)
    }

    /// Whether enough is admitted to keep the runners busy, and one attempt more would take room that has to be made for
    /// it, or that more urgent ones may want when they come.
    fn is_far_ahead(&self, need: u64) -> bool {
        let lot = self.memory.lot();
        self.attempts.active() > 2 * self.config.nthreads.max(1) as usize
            && self.shortage(need.saturating_add(2 * lot)) > 0
            && self.reserved_bytes().saturating_add(need) > lot / 2
    }

    fn need_of(&self, compute: &ComputeTask, family: FamilyId, to_bring: u64) -> Need {
        let said = compute.memory_bytes;
        let learned = self.families.result_bytes(family);
        let inputs = || compute.inputs.iter().map(|input| input.nbytes);
        let guess = match learned {
            Some(learned) => learned,
            None if said > 0 => said,
            None if compute.inputs.iter().any(|input| input.part.is_some()) => inputs().fold(0, u64::saturating_add),
            None => inputs().max().unwrap_or(0),
        };
        let result = guess.max(said).min(MOST_BYTES);
        Need {
            bytes: to_bring + result,
            result,
            // A mere guess is no reason to refuse.
            firm: to_bring + if said > 0 { said.min(MOST_BYTES) } else { learned.unwrap_or(0).min(MOST_BYTES) },
            is_known: learned.is_some() || said > 0,
        }
    }

    /// What a parked attempt's inputs add to what is taken.
    fn bytes_to_bring(&mut self, slot: u32) -> u64 {
        let entry = self.attempts.get(slot);
        let (serial, version) = (entry.serial, self.fetcher.version());
        let inputs = &entry.queued().expect("what is parked is not handed out").inputs;
        if inputs.len() <= MANY_INPUTS {
            return self.bytes_absent(inputs);
        }
        match self.remembered {
            Some(known) if known.serial == serial && known.version == version && !self.values.watched_changed() => {
                known.bytes
            }
            Some(_) | None => {
                let bytes = self.bytes_absent(inputs);
                self.values.watch(inputs.iter().map(|input| input.task));
                self.remembered = Some(Remembered { serial, version, bytes });
                bytes
            }
        }
    }

    fn bytes_absent(&self, inputs: &[Input]) -> u64 {
        let mut seen: HashSet<ValueId, FxBuildHasher> = HashSet::default();
        let few = inputs.len() <= MANY_INPUTS;
        let mut is_first = |at: usize, value: ValueId| {
            if few { inputs[..at].iter().all(|other| named(other) != value) } else { seen.insert(value) }
        };
        let mut bytes = 0u64;
        for (at, input) in inputs.iter().enumerate() {
            let value = named(input);
            let more = match self.values.get(input.task) {
                Some(_) if input.part.is_some() => input.nbytes,
                Some(held) if held.residence == Residence::Disk => held.nbytes,
                Some(_) => 0,
                None if self.values.part(value).is_some() || self.fetcher.get(value).is_some() => 0,
                None => input.nbytes,
            };
            if more > 0 && is_first(at, value) {
                bytes = bytes.saturating_add(more);
            }
        }
        bytes.min(MOST_BYTES)
    }

    /// For the invariant check: what is remembered is what would be found now.
    pub(crate) fn check_remembered(&self) {
        let Some(known) = self.remembered else { return };
        if known.version != self.fetcher.version() || self.values.watched_changed() {
            return;
        }
        let parked = self.attempts.iter().find(|(_, entry)| entry.serial == known.serial);
        if let Some(compute) = parked.and_then(|(_, entry)| entry.queued()) {
            assert_eq!(self.bytes_absent(&compute.inputs), known.bytes, "what {:?} needs", compute.task);
        }
    }

    /// Makes room for so many bytes, or begins to. There is never any only if there is none for the `firm` part.
    fn room_for(&mut self, need: u64, firm: u64) -> Room {
        let paused = self.is_paused();
        self.evict(self.shortage(need));
        let shortage = self.shortage(need);
        self.choose_victims(shortage.saturating_sub(self.values.weights().spilling));
        self.evict(self.shortage(need));
        let weights = self.values.weights();
        if self.shortage(need) == 0 {
            return if paused { Room::Later } else { Room::There };
        }
        let coming = self.reserved_bytes() > self.memory.promised;
        if self.attempts.active() > 0 || weights.spilling > 0 || coming {
            return Room::Later;
        }
        let in_the_way = self.bytes_in_the_way();
        let is_over = self.taken().saturating_add(firm) > self.memory.ceiling(firm);
        if is_over && in_the_way > self.memory.lot() { Room::Never } else { Room::There }
    }

    /// What is in memory, is of no use to the attempt that is next, and cannot leave.
    pub(crate) fn bytes_in_the_way(&self) -> u64 {
        let in_the_way = self
            .values
            .iter_unordered()
            .filter(|&(task, held)| held.residence.in_memory() && held.pins == 0 && !self.next.needs(task));
        in_the_way.map(|(_, held)| held.nbytes).sum()
    }

    fn admit_attempt(&mut self, slot: u32, result: u64) {
        let entry = self.attempts.get(slot);
        let (serial, priority, family) = (entry.serial, entry.priority, entry.family);
        let inputs = entry.queued().expect("what is parked is not handed out").inputs.clone();
        let ties = self.ties_of(&inputs);
        let read: u64 = inputs.iter().enumerate().filter(|(at, _)| ties.reads_whole(*at)).map(|(_, i)| i.nbytes).sum();
        let reserved = result.saturating_add(read).min(MOST_BYTES);
        self.memory.promised += reserved;
        self.families.began(family);
        self.attempts.admit(slot, ties, reserved);
        self.tie_inputs(slot, serial, priority, &inputs);
    }

    /// Has values written before their room is needed, while there is work; and whatever is too much.
    fn keep_room(&mut self) {
        let is_working = self.attempts.active() > 0 || self.attempts.parked.len() > 0 || self.acquires.len() > 0;
        let ahead = if is_working { self.memory.lot() } else { 0 };
        let excess = |worker: &Worker| worker.shortage(0).max(worker.memory.overweight());
        self.evict(excess(self));
        let wanted = self.shortage(ahead).max(self.memory.overweight());
        let weights = self.values.weights();
        self.choose_victims(wanted.saturating_sub(weights.evictable + weights.spilling));
        self.evict(excess(self));
    }
}
