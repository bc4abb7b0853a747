//! What the scheduler is told of how this worker stands for memory, and what follows from standing badly.
//!
//! *Tight*: values have to leave memory for more work. *Full*: there is no room, and none can be made since values cannot be
//! written. A full worker hands back what it has not admitted, each task once. What is sent again all the same stays: the
//! scheduler has no better place for it. If nothing runs here and there is no room for it in ten seconds either, it fails;
//! those that come after it and need no less wait for a moment only while nothing is let go of.

use crate::admission::Blocked;
use crate::worker::Worker;
use hashbrown::HashSet;
use kask_types::{Failure, TaskId, Tick};
use kask_wire::WorkerToScheduler;
use kask_wire::worker::Pressure;
use rustc_hash::FxBuildHasher;
use std::fmt::Write;

/// While something runs, room is waited for this long before the worker counts as full.
const FULL_AFTER_MS: u64 = 200;

/// So many tasks that were handed back are remembered; with more, all are forgotten.
const REMEMBERED: usize = 65_536;

/// An attempt that has no room and nothing to wait for fails after this time.
const STUCK_MS: u64 = 10_000;

/// The same for one that needs no less than another that failed, when nothing has been let go of since.
const HOPELESS_MS: u64 = 100;

/// What a task needs is a part of its error from so many bytes on.
const WORTH_TELLING_BYTES: u64 = 1 << 16;

#[derive(Debug, Default)]
pub(crate) struct Standing {
    level: Level,
    /// Since when there has been no room and no way to make any.
    short_since: Option<Tick>,
    /// When the attempt fails that has no room and nothing to wait for.
    stuck_until: Option<Tick>,
    /// The attempt that last failed for want of room.
    failed: Option<Hopeless>,
    /// Tasks that were handed back.
    handed_back: HashSet<TaskId, FxBuildHasher>,
}

/// An attempt that failed for want of room.
#[derive(Clone, Copy, Debug)]
struct Hopeless {
    need: u64,
    /// What was in its way.
    in_the_way: u64,
}

#[derive(Clone, Copy, Debug, Default)]
enum Level {
    #[default]
    Comfortable,
    Tight,
    /// So much room was wanted.
    Full {
        need: u64,
    },
}

impl Level {
    fn pressure(self) -> Pressure {
        match self {
            Level::Comfortable => Pressure::Comfortable,
            Level::Tight => Pressure::Tight,
            Level::Full { .. } => Pressure::Full,
        }
    }
}

impl Standing {
    pub(crate) fn next_deadline(&self) -> Option<Tick> {
        let full = match self.level {
            Level::Comfortable | Level::Tight => self.short_since.map(|since| since.after_ms(FULL_AFTER_MS)),
            Level::Full { .. } => None,
        };
        full.into_iter().chain(self.stuck_until).min()
    }
}

impl Worker {
    /// How this worker stands for memory, as the scheduler was last told.
    pub fn pressure(&self) -> Pressure {
        self.standing.level.pressure()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.pressure() == Pressure::Full
    }

    /// Takes stock after everything that could be admitted was. Returns whether an attempt failed, so that the next one
    /// may be looked at.
    pub(crate) fn tell_pressure(&mut self, now: Tick, blocked: Option<Blocked>) -> bool {
        let stuck = blocked.and_then(|blocked| blocked.stuck);
        let is_over = self.shortage(0) > 0;
        let is_short = stuck.is_some() || (!self.memory.disk_is_usable() && (blocked.is_some() || is_over));
        self.standing.short_since = is_short.then(|| self.standing.short_since.unwrap_or(now));
        self.standing.stuck_until = blocked.and_then(|blocked| self.stuck_until(now, blocked));
        let at_once = stuck.is_some() || is_over;
        let need = blocked.map_or(0, |blocked| blocked.need);
        let level = self.level(now, at_once, need, blocked.is_some());
        if level.pressure() != self.pressure() {
            self.outbox.say(WorkerToScheduler::Pressure(level.pressure()));
        }
        self.standing.level = level;
        self.hand_back();
        let is_over = self.standing.stuck_until.is_some_and(|until| until <= now);
        let stuck = stuck.filter(|&slot| is_over && self.attempts.is_taken(slot));
        stuck.inspect(|&slot| self.fail_for_memory(slot, need)).is_some()
    }

    fn stuck_until(&self, now: Tick, blocked: Blocked) -> Option<Tick> {
        let before = self.standing.stuck_until;
        if blocked.stuck.is_none() {
            // A full disk is tried again every so often, which is no sign of room: what waited goes on waiting.
            let is_trial = !self.memory.disk_is_usable() && self.attempts.active() == 0;
            return before.filter(|_| is_trial).map(|until| until.max(now.after_ms(HOPELESS_MS)));
        }
        let failed = self.standing.failed.filter(|failed| failed.need <= blocked.need);
        let is_hopeless = failed.is_some_and(|failed| failed.in_the_way <= self.bytes_in_the_way());
        let patience_ms = if is_hopeless { HOPELESS_MS } else { STUCK_MS };
        before.or_else(|| Some(now.after_ms(patience_ms)))
    }

    fn level(&self, now: Tick, at_once: bool, need: u64, is_blocked: bool) -> Level {
        let budget = self.memory.budget();
        if let Some(since) = self.standing.short_since {
            match self.standing.level {
                Level::Full { need: before } => return Level::Full { need: before.max(need) },
                Level::Comfortable | Level::Tight if at_once || since.after_ms(FULL_AFTER_MS) <= now => {
                    return Level::Full { need };
                }
                Level::Comfortable | Level::Tight => {}
            }
        } else if let Level::Full { need } = self.standing.level
            && !self.memory.disk_is_usable()
            && self.shortage(need.min(budget / 2)) > 0
        {
            return self.standing.level;
        }
        let share = match self.standing.level {
            Level::Comfortable => 800,
            Level::Tight | Level::Full { .. } => 650,
        };
        let firmly = self.taken() - self.values.weights().clean;
        let is_tight = is_blocked || u128::from(firmly) * 1000 > u128::from(budget) * share;
        if is_tight { Level::Tight } else { Level::Comfortable }
    }

    /// Gives back what is parked on a full worker and has not been given back before.
    fn hand_back(&mut self) {
        if !self.is_full() || self.attempts.parked.len() == 0 {
            return;
        }
        let known = &self.standing.handed_back;
        let new = |&slot: &u32| !known.contains(&self.attempts.get(slot).task);
        let slots: Vec<u32> = self.attempts.parked.iter().map(|(_, _, slot)| slot).filter(new).collect();
        if slots.is_empty() {
            return;
        }
        let mut handed_back = Vec::with_capacity(slots.len());
        for slot in slots {
            let entry = self.remove_attempt(slot);
            if self.standing.handed_back.len() >= REMEMBERED {
                self.standing.handed_back.clear();
            }
            self.standing.handed_back.insert(entry.task);
            handed_back.push((entry.task, entry.attempt));
        }
        self.outbox.say(WorkerToScheduler::HandedBack(handed_back));
    }

    fn fail_for_memory(&mut self, slot: u32, need: u64) {
        let in_the_way = self.bytes_in_the_way();
        self.standing.failed = Some(Hopeless { need, in_the_way });
        self.standing.stuck_until = None;
        let entry = self.remove_attempt(slot);
        let name = &entry.queued().expect("what is stuck was never admitted").name;
        let bound = self.memory.bound();
        // Of a task that never ran it is not known, and little is not worth a word.
        let mut reason = if need >= WORTH_TELLING_BYTES {
            format!("it needs {} of memory, and ", mebibytes(need))
        } else {
            String::new()
        };
        let wrote = write!(
            reason,
            "{} is {}, of which {} are taken by values that cannot be spilled because {}; {}, or use smaller chunks",
            bound.name,
            mebibytes(bound.bytes),
            mebibytes(in_the_way),
            self.memory.disk_trouble(),
            self.memory.disk_help()
        );
        wrote.expect("a string takes what is written to it");
        let failure = Failure::OutOfMemory { task: name.to_string().into(), reason: reason.into() };
        let (task, attempt) = (entry.task, entry.attempt);
        self.outbox.say(WorkerToScheduler::Failed { task, attempt, failure, reschedule: false });
    }
}

fn mebibytes(nbytes: u64) -> String {
    format!("{:.1} MiB", nbytes as f64 / f64::from(1 << 20))
}
