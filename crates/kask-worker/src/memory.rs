//! The budget: how much values may take, and how much is taken.
//!
//! What counts as *taken* is what values in memory weigh, what is on its way into memory (from peers or from disk), and what was
//! promised to admitted attempts for their results. The budget is a share of the limit, less where the process takes
//! memory that is no value, or others have taken of what all processes share. Nothing is brought to memory or started for
//! which there is no room (`admission`); room is made by giving values up (`victims`); what is answered when they are
//! written and read is in `spill`, what the scheduler is told in `pressure`.

use crate::api::MemoryConfig;
use crate::worker::Worker;
use kask_graph::PROCESS_MILLI;
use kask_types::Tick;
use std::sync::Arc;

/// The process's share of the limit with attempts that need hardly any. At 950 the supervisor ends it, and attempts take a little more than
/// is known of them.
const BRIM_MILLI: u64 = 935;

/// After a write failed, the disk is tried again when so much time has passed.
const DISK_REST_MS: u64 = 5_000;

/// After something was removed from a full disk, it is tried again so soon.
const DISK_FREED_MS: u64 = 100;

/// Share of the limit that is set aside for what is being sent to those who view memory of this process.
const SENDING_SHARE: u64 = 8;

#[derive(Debug)]
pub(crate) struct Memory {
    config: MemoryConfig,
    /// Set aside for results and for the parts that attempts read of values here.
    pub(crate) promised: u64,
    /// What the process takes, as far as is known.
    process_bytes: u64,
    /// What it may take, because of others.
    most_bytes: u64,
    /// What is kept for other processes of values that are not here any more.
    lent: u64,
    /// The smoothed rest: neither value nor lent.
    other: u64,
    disk: Disk,
    /// Something was removed from the disk since it was last looked at.
    disk_freed: bool,
    /// What the shell last said is in the way of writing.
    disk_reason: Option<Arc<str>>,
}

/// How the disk stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Disk {
    /// There is none.
    Absent,
    /// It takes what it is given.
    Usable,
    /// It was full, or failed; it will be tried again.
    Full { retry: Tick },
    /// It was, and whether it still is will be found out with one value.
    Doubtful,
}

impl Memory {
    pub(crate) fn new(config: MemoryConfig) -> Memory {
        let disk = if config.can_spill { Disk::Usable } else { Disk::Absent };
        Memory {
            config,
            promised: 0,
            process_bytes: 0,
            most_bytes: u64::MAX,
            lent: 0,
            other: 0,
            disk,
            disk_freed: false,
            disk_reason: None,
        }
    }

    pub(crate) fn is_limited(&self) -> bool {
        self.config.limit_bytes > 0
    }

    /// Whether values may be written before that makes room.
    pub(crate) fn checkpoints(&self) -> bool {
        self.config.checkpoints
    }

    /// What the process takes that is no value. Who views values of ours is being sent others, which wait to be written to a
    /// socket before any measurement finds them: room for these is set aside as long as something is lent.
    pub(crate) fn unmanaged(&self) -> u64 {
        let sending = if self.lent > 0 { self.config.limit_bytes / SENDING_SHARE } else { 0 };
        self.other.saturating_add(self.lent).saturating_add(sending)
    }

    fn share(&self, milli: u64) -> u64 {
        (u128::from(self.config.limit_bytes) * u128::from(milli) / 1000) as u64
    }

    /// What may be taken.
    pub(crate) fn budget(&self) -> u64 {
        let target = self.share(self.config.target_milli.into());
        target.min(self.left(PROCESS_MILLI)).max(self.bound().bytes / 10)
    }

    /// What may be taken when nothing else helps, with an attempt that is certain to need `firm` bytes: one that needs little is let go on
    /// where another would be refused.
    pub(crate) fn ceiling(&self, firm: u64) -> u64 {
        let apart = firm.min(self.share(BRIM_MILLI - PROCESS_MILLI));
        self.left(BRIM_MILLI).saturating_sub(apart).max(self.budget())
    }

    /// What is left of this share of the limit by other things than values.
    fn left(&self, milli: u64) -> u64 {
        self.share(milli).min(self.most_bytes).saturating_sub(self.unmanaged())
    }

    /// What bounds the process at present.
    pub(crate) fn bound(&self) -> Bound {
        if self.most_bytes < self.share(PROCESS_MILLI) {
            let name = "what others leave it of the memory that all processes share";
            return Bound { name, bytes: self.most_bytes };
        }
        Bound { name: "the worker's limit", bytes: self.config.limit_bytes }
    }

    /// Values are chosen to go in lots of this size at least, and so much room is kept ready.
    pub(crate) fn lot(&self) -> u64 {
        self.budget() / 10
    }

    /// A measurement came.
    pub(crate) fn measured(&mut self, process_bytes: u64, most_bytes: u64, resident: u64) {
        self.process_bytes = process_bytes;
        self.most_bytes = most_bytes;
        let other = process_bytes.saturating_sub(resident).saturating_sub(self.lent);
        self.other = self.other - self.other / 4 + other / 4;
    }

    /// What left memory since the last measurement is not waited for.
    pub(crate) fn evicted(&mut self, nbytes: u64) {
        self.process_bytes = self.process_bytes.saturating_sub(nbytes);
    }

    /// So much memory is kept for other processes. It counts at once and not as measurements find it, so that nothing is
    /// put in the place of values that have gone and whose memory has not.
    pub(crate) fn lent(&mut self, kept_bytes: u64) {
        self.lent = kept_bytes;
    }

    /// By how much the process takes more than is good.
    pub(crate) fn overweight(&self) -> u64 {
        self.process_bytes.saturating_sub(self.share(self.config.pause_milli.into()).min(self.most_bytes))
    }

    pub(crate) fn disk_is_usable(&self) -> bool {
        self.disk == Disk::Usable
    }

    /// Whether a value may be given to the disk, and if so, whether only one.
    pub(crate) fn disk_takes(&self) -> Option<DiskTakes> {
        match self.disk {
            Disk::Usable => Some(DiskTakes::Many),
            Disk::Doubtful => Some(DiskTakes::One),
            Disk::Absent | Disk::Full { .. } => None,
        }
    }

    pub(crate) fn disk_took(&mut self) {
        self.disk = Disk::Usable;
        self.disk_reason = None;
    }

    pub(crate) fn disk_says(&mut self, reason: Arc<str>) {
        self.disk_reason = Some(reason);
    }

    pub(crate) fn disk_failed(&mut self, now: Tick) {
        self.disk = Disk::Full { retry: now.after_ms(DISK_REST_MS) };
        self.disk_freed = false;
    }

    pub(crate) fn left_disk(&mut self, was_there: bool) {
        self.disk_freed |= was_there;
    }

    /// Looks whether a full disk may be tried again; `true` when it has just become so.
    pub(crate) fn look_at_disk(&mut self, now: Tick) -> bool {
        let Disk::Full { retry } = self.disk else { return false };
        let retry = if std::mem::take(&mut self.disk_freed) { retry.min(now.after_ms(DISK_FREED_MS)) } else { retry };
        self.disk = if retry <= now { Disk::Doubtful } else { Disk::Full { retry } };
        retry <= now
    }

    pub(crate) fn next_deadline(&self) -> Option<Tick> {
        match self.disk {
            Disk::Full { retry } => Some(retry),
            Disk::Absent | Disk::Usable | Disk::Doubtful => None,
        }
    }

    /// What is in the way of writing, for people.
    pub(crate) fn disk_trouble(&self) -> &str {
        match self.disk {
            Disk::Absent => self.disk_reason.as_deref().unwrap_or("there is no disk to spill to"),
            Disk::Full { .. } | Disk::Doubtful => self.disk_reason.as_deref().unwrap_or("the disk does not take them"),
            Disk::Usable => "they cannot be pickled",
        }
    }

    /// What may be done about it.
    pub(crate) fn disk_help(&self) -> &'static str {
        match self.disk {
            Disk::Absent | Disk::Full { .. } | Disk::Doubtful => "raise the memory limit, see to the disk",
            Disk::Usable => "raise the memory limit",
        }
    }
}

/// The most that a process may take, and who says so.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub(crate) name: &'static str,
    pub(crate) bytes: u64,
}

/// How much may be given to the disk at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiskTakes {
    Many,
    One,
}

impl Worker {
    /// Bytes on their way to memory, or promised to attempts.
    pub(crate) fn reserved_bytes(&self) -> u64 {
        let coming = self.fetcher.wanted_bytes() + self.values.weights().unspilling;
        self.memory.promised.saturating_add(coming)
    }

    /// What is taken of the budget.
    pub(crate) fn taken(&self) -> u64 {
        self.values.weights().resident.saturating_add(self.reserved_bytes())
    }

    /// How much too little room there is for `more`.
    pub(crate) fn shortage(&self, more: u64) -> u64 {
        self.taken().saturating_add(more).saturating_sub(self.memory.budget())
    }

    /// Whether nothing new should be started beside what runs.
    pub(crate) fn is_paused(&self) -> bool {
        self.memory.is_limited() && self.memory.overweight() > 0 && self.attempts.active() > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory(limit_bytes: u64) -> Memory {
        Memory::new(MemoryConfig { limit_bytes, ..MemoryConfig::default() })
    }

    #[test]
    fn what_the_process_takes_beside_values_comes_off_the_budget_but_never_all_of_it() {
        let mut memory = memory(1000);
        assert_eq!(memory.budget(), 600);
        for _ in 0..50 {
            memory.measured(500, u64::MAX, 100);
        }
        assert!((500..=515).contains(&memory.budget()), "{}", memory.budget());
        for _ in 0..50 {
            memory.measured(5000, u64::MAX, 100);
        }
        assert_eq!((memory.budget(), memory.overweight()), (100, 4150));
    }

    #[test]
    fn where_others_are_refused_there_is_some_room_left_for_what_needs_little() {
        let mut memory = memory(1000);
        (0..50).for_each(|_| memory.measured(900, u64::MAX, 800));
        assert!((800..=805).contains(&memory.ceiling(500)), "{}", memory.ceiling(500));
        let over = |firm| memory.ceiling(firm) - memory.ceiling(500);
        assert_eq!([0, 10, 50, 100].map(over), [35, 25, 0, 0]);
    }

    #[test]
    fn lent_memory_comes_off_the_budget_at_once_and_until_it_is_given_back() {
        let mut memory = memory(1000);
        (0..50).for_each(|_| memory.measured(700, u64::MAX, 600));
        assert_eq!(memory.budget(), 600);
        for _ in 0..50 {
            memory.lent(300);
            assert!((375..=385).contains(&memory.budget()), "{}", memory.budget());
            memory.measured(900, u64::MAX, 500);
        }
        memory.lent(0);
        assert_eq!(memory.budget(), 600);
    }

    #[test]
    fn what_others_take_of_what_all_share_is_not_there() {
        let mut memory = memory(1000);
        (0..50).for_each(|_| memory.measured(500, 600, 400));
        // Of the 600 that it may take, 100 are no values.
        assert!((500..=515).contains(&memory.budget()), "{}", memory.budget());
        assert_eq!(memory.overweight(), 0);
        memory.measured(500, 450, 400);
        assert!((350..=365).contains(&memory.budget()), "{}", memory.budget());
        assert_eq!(memory.overweight(), 50);
        memory.measured(500, 20, 400);
        assert_eq!((memory.budget(), memory.bound().bytes), (2, 20));
        memory.measured(500, u64::MAX, 400);
        assert_eq!((memory.budget(), memory.bound().bytes), (600, 1000));
    }

    #[test]
    fn a_full_disk_is_tried_again_after_a_while_or_when_something_was_removed() {
        let mut memory = memory(1000);
        memory.disk_failed(Tick(0));
        assert!(!memory.look_at_disk(Tick::from_ms(4_999)) && memory.disk_takes().is_none());
        assert!(memory.look_at_disk(Tick::from_ms(5_000)));
        assert_eq!(memory.disk_takes(), Some(DiskTakes::One));
        memory.disk_failed(Tick::from_ms(5_000));
        memory.left_disk(true);
        assert!(!memory.look_at_disk(Tick::from_ms(5_010)));
        assert_eq!(memory.next_deadline(), Some(Tick::from_ms(5_110)));
        assert!(memory.look_at_disk(Tick::from_ms(5_110)));
        memory.disk_took();
        assert_eq!(memory.disk_takes(), Some(DiskTakes::Many));
    }
}
