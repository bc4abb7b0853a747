//! When a process uses too much memory, and how soon to look again: decisions without a clock, thread or file.
//!
//! A worker keeps below its limit by itself: it spills, waits, and gives work back. It is ended only when that has
//! failed: above its limit at once, and above [`NEARLY`] of it when it stays there for [`PATIENCE`]. What all processes
//! use together is judged likewise, because a worker that keeps its limit may still be the one to go before the kernel
//! picks a process of its own choice. Before that, workers give way to each other and to everybody else ([`most_bytes`]).

use std::time::{Duration, Instant};

/// Share of a worker's limit above which it may not stay.
pub const NEARLY: f64 = 0.95;
/// How long it may stay there, and for how many looks at least.
pub const PATIENCE: Duration = Duration::from_millis(500);
const LOOKS: u32 = 2;
/// Share of the memory that is common to all, above which somebody has to go.
pub const CROWDED: f64 = 0.97;
/// Above this share somebody has to go if everybody stands still for want of memory in this share of the time, in percent.
pub const TIGHT: f64 = 0.90;
const STALLED: f64 = 40.0;
/// Below this share nobody gives way to others.
pub const AMPLE: f64 = 0.88;
/// After one has gone, how long memory has to show whether that was enough.
const REST: Duration = Duration::from_secs(2);

/// Looks are at most so far apart, and at least.
const SELDOM: Duration = Duration::from_millis(500);
const OFTEN: Duration = Duration::from_millis(20);
/// No process fills memory faster than this.
const FILL_BYTES_PER_SECOND: f64 = (4_u64 << 30) as f64;

/// Judges one process.
#[derive(Debug)]
pub(crate) struct Judge {
    limit_bytes: u64,
    above: Above,
    /// At the latest look.
    used_bytes: u64,
    pause: Duration,
}

#[derive(Clone, Copy, Debug)]
enum Above {
    No,
    Since { start: Instant, looks: u32 },
}

impl Above {
    /// Counts a look; true when there were enough of them for long enough.
    fn look(&mut self, now: Instant, above: bool) -> bool {
        if !above {
            *self = Above::No;
            return false;
        }
        let (start, looks) = match *self {
            Above::No => (now, 1),
            Above::Since { start, looks } => (start, looks + 1),
        };
        *self = Above::Since { start, looks };
        looks >= LOOKS && now.duration_since(start) >= PATIENCE
    }
}

impl Judge {
    /// A judge for a limit; 0 is none.
    pub(crate) fn new(limit_bytes: u64) -> Judge {
        Judge { limit_bytes, above: Above::No, used_bytes: 0, pause: OFTEN }
    }

    /// Whether a process that now uses `used_bytes` has to go.
    pub(crate) fn must_go(&mut self, now: Instant, used_bytes: u64) -> bool {
        if self.limit_bytes == 0 {
            return false;
        }
        let stayed = self.above.look(now, used_bytes as f64 > self.limit_bytes as f64 * NEARLY);
        stayed || used_bytes > self.limit_bytes
    }

    /// How soon to look again: before the process can have filled the rest of its limit. Without a limit often while it
    /// grows, so that its peak is known when it dies, and ever more seldom while it does not.
    pub(crate) fn pause(&mut self, used_bytes: u64) -> Duration {
        if self.limit_bytes == 0 {
            let grows = used_bytes / 10 * 9 > self.used_bytes;
            self.used_bytes = used_bytes;
            self.pause = if grows { OFTEN } else { (self.pause * 2).min(SELDOM) };
            return self.pause;
        }
        let room = self.limit_bytes.saturating_sub(used_bytes) as f64;
        Duration::from_secs_f64(room / FILL_BYTES_PER_SECOND).clamp(OFTEN, SELDOM)
    }
}

/// What all processes of the machine or group use together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Crowd {
    pub(crate) used_bytes: u64,
    pub(crate) limit_bytes: u64,
    /// Percent of the last ten seconds in which everybody stood still for want of memory.
    pub(crate) stalled: f64,
}

/// The most that a process which now uses `own_bytes` may use for the moment, when all use so much of what they share. While there is
/// ample memory, half of what is left is there for each, since others may want the other half before anybody looks again;
/// then each gives up its share of what is too much.
pub(crate) fn most_bytes(own_bytes: u64, used_bytes: u64, limit_bytes: u64) -> u64 {
    let ample = (limit_bytes as f64 * AMPLE) as u64;
    match ample.checked_sub(used_bytes) {
        Some(left) => own_bytes.saturating_add(left / 2),
        None => (own_bytes as f64 * (ample as f64 / used_bytes as f64)) as u64,
    }
}

/// Judges the crowd.
#[derive(Debug)]
pub(crate) struct CrowdJudge {
    above: Above,
    rest_until: Option<Instant>,
}

impl CrowdJudge {
    pub(crate) fn new() -> CrowdJudge {
        CrowdJudge { above: Above::No, rest_until: None }
    }

    /// Whether it is too much, at this moment.
    pub(crate) fn is_crowded(&self, crowd: Crowd) -> bool {
        let share = crowd.used_bytes as f64 / crowd.limit_bytes.max(1) as f64;
        share > CROWDED || (share > TIGHT && crowd.stalled > STALLED)
    }

    /// What was seen so far does not count.
    pub(crate) fn wait_anew(&mut self) {
        self.above = Above::No;
    }

    /// Whether somebody has to go now. After "yes" it says "no" for a while.
    pub(crate) fn one_must_go(&mut self, now: Instant, crowd: Crowd) -> bool {
        let stayed = self.above.look(now, self.is_crowded(crowd));
        if !stayed || self.rest_until.is_some_and(|until| now < until) {
            return false;
        }
        self.above = Above::No;
        self.rest_until = Some(now + REST);
        true
    }

    /// How soon to look again.
    pub(crate) fn pause(&self, crowd: Crowd) -> Duration {
        let room = (crowd.limit_bytes as f64 * CROWDED - crowd.used_bytes as f64).max(0.0);
        Duration::from_secs_f64(room / FILL_BYTES_PER_SECOND).clamp(OFTEN * 5, SELDOM)
    }
}

/// Whether ending a process that uses so much makes a difference to the crowd.
pub(crate) fn would_help(used_bytes: u64, crowd: Crowd) -> bool {
    used_bytes >= crowd.limit_bytes / 16
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn above_the_limit_one_look_is_enough() {
        let now = Instant::now();
        let mut judge = Judge::new(GIB);
        assert!(!judge.must_go(now, GIB));
        assert!(judge.must_go(at(now, 1), GIB + 1));
    }

    #[test]
    fn near_the_limit_a_process_may_not_stay() {
        let now = Instant::now();
        let near = GIB / 100 * 97;
        let mut judge = Judge::new(GIB);
        assert!(!judge.must_go(now, near));
        assert!(!judge.must_go(at(now, 499), near));
        assert!(!judge.must_go(at(now, 500), GIB / 2), "it went down by itself");
        assert!(!judge.must_go(at(now, 520), near));
        assert!(!judge.must_go(at(now, 1019), near));
        assert!(judge.must_go(at(now, 1020), near));
    }

    #[test]
    fn one_late_look_is_no_proof() {
        let now = Instant::now();
        let mut judge = Judge::new(GIB);
        assert!(!judge.must_go(at(now, 10_000), GIB / 100 * 97));
    }

    #[test]
    fn without_a_limit_nobody_goes() {
        let mut judge = Judge::new(0);
        assert!(!judge.must_go(Instant::now(), u64::MAX));
        assert_eq!([GIB, 2 * GIB, 4 * GIB].map(|used| judge.pause(used)), [OFTEN; 3]);
        assert_eq!([0; 6].map(|_| judge.pause(4 * GIB).as_millis()), [40, 80, 160, 320, 500, 500]);
    }

    #[test]
    fn looks_come_before_the_rest_can_be_filled() {
        let mut judge = Judge::new(GIB);
        assert_eq!(judge.pause(0), Duration::from_millis(250));
        assert_eq!(judge.pause(GIB / 2), Duration::from_millis(125));
        assert_eq!(judge.pause(GIB), OFTEN);
        assert_eq!(judge.pause(2 * GIB), OFTEN);
        assert_eq!(Judge::new(64 * GIB).pause(GIB), SELDOM);
    }

    #[test]
    fn all_give_way_when_memory_is_no_longer_ample() {
        let leaves = |all, own| most_bytes(own, all, 100_000);
        assert_eq!([leaves(8_000, 5_000), leaves(78_000, 5_000), leaves(88_000, 5_000)], [45_000, 10_000, 5_000]);
        assert_eq!([leaves(96_800, 11_000), leaves(96_800, 85_800), leaves(u64::MAX, 7)], [10_000, 78_000, 0]);
    }

    #[test]
    fn a_crowd_loses_one_at_a_time() {
        let now = Instant::now();
        let full = Crowd { used_bytes: 98, limit_bytes: 100, stalled: 0.0 };
        let mut judge = CrowdJudge::new();
        let went: Vec<u64> = (0..40).map(|i| i * 100).filter(|ms| judge.one_must_go(at(now, *ms), full)).collect();
        assert_eq!(went, [500, 2500]);
        let mut judge = CrowdJudge::new();
        let busy = Crowd { used_bytes: 92, limit_bytes: 100, stalled: 20.0 };
        assert!((0..40).all(|i| !judge.one_must_go(at(now, i * 100), busy)));
        let stalled = Crowd { stalled: 60.0, ..busy };
        assert!((40..60).any(|i| judge.one_must_go(at(now, i * 100), stalled)));
        assert!(would_help(7, full) && !would_help(5, full));
    }
}
