//! Telling a kill by the kernel, for want of memory, from any other SIGKILL.
//!
//! The kernel only counts whom it killed. It counts a process before it sends the signal, and may take a while (it prints a report)
//! before the process is gone; so what counts is whether the count has grown in the last [`WINDOW`]. Each kill
//! explains one death.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How long the kernel may take between counting a process and its end.
const WINDOW: Duration = Duration::from_secs(5);

/// The kernel's count over the last moments of one process.
#[derive(Debug)]
pub(crate) struct OomKills {
    /// When each count was first seen; the first entry held [`WINDOW`] ago.
    counts: VecDeque<(Instant, u64)>,
}

impl OomKills {
    pub(crate) fn new(now: Instant, count: Option<u64>) -> OomKills {
        OomKills { counts: count.map(|count| (now, count)).into_iter().collect() }
    }

    /// Notes a count.
    pub(crate) fn note(&mut self, now: Instant, count: Option<u64>) {
        let Some(count) = count else { return };
        if self.counts.back().is_none_or(|(_, latest)| *latest != count) {
            self.counts.push_back((now, count));
        }
        while self.counts.get(1).is_some_and(|(seen, _)| now.duration_since(*seen) > WINDOW) {
            self.counts.pop_front();
        }
    }

    /// How many processes were killed in the last moments, and since when these are counted.
    fn recent(&self) -> Option<(Instant, u64)> {
        let ((since, first), (_, last)) = (self.counts.front()?, self.counts.back()?);
        Some((*since, last.saturating_sub(*first)))
    }
}

/// The deaths that kills by the kernel have explained.
#[derive(Debug, Default)]
pub(crate) struct Explained(Vec<Instant>);

impl Explained {
    /// Whether a kill by the kernel explains a death at `now`; if so, it explains no other.
    pub(crate) fn explain(&mut self, now: Instant, kills: &OomKills) -> bool {
        self.0.retain(|death| now.duration_since(*death) <= WINDOW);
        let Some((since, recent)) = kills.recent() else { return false };
        let explained = self.0.iter().filter(|death| **death >= since).count();
        let explains = recent > explained as u64;
        if explains {
            self.0.push(now);
        }
        explains
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn each_kill_explains_one_death() {
        let start = Instant::now();
        let mut kills = OomKills::new(start, Some(7));
        let mut explained = Explained::default();
        assert!(!explained.explain(start, &kills));
        kills.note(at(start, 100), Some(8));
        kills.note(at(start, 120), Some(8));
        assert!(explained.explain(at(start, 130), &kills));
        assert!(!explained.explain(at(start, 140), &kills));
        kills.note(at(start, 200), Some(9));
        assert!(explained.explain(at(start, 210), &kills));
    }

    #[test]
    fn what_explained_an_earlier_life_is_no_matter_to_the_next() {
        let start = Instant::now();
        let mut explained = Explained::default();
        for life in 0..3 {
            let begin = at(start, 100 * life);
            let mut kills = OomKills::new(begin, Some(life));
            kills.note(at(begin, 50), Some(life + 1));
            assert!(explained.explain(at(begin, 60), &kills));
            assert!(!explained.explain(at(begin, 61), &kills));
        }
    }

    #[test]
    fn kills_of_long_ago_explain_nothing() {
        let start = Instant::now();
        let mut kills = OomKills::new(start, Some(0));
        kills.note(at(start, 100), Some(1));
        kills.note(at(start, 5_200), Some(1));
        assert!(!Explained::default().explain(at(start, 5_300), &kills));
    }

    #[test]
    fn without_a_count_nothing_is_explained() {
        let start = Instant::now();
        let mut kills = OomKills::new(start, None);
        kills.note(at(start, 1), None);
        assert!(!Explained::default().explain(at(start, 2), &kills));
    }
}
