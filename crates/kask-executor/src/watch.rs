//! Watches the memory of worker processes from outside of them, and ends one that uses too much.
//!
//! One thread looks at all processes of a supervisor, each as often as its distance from its limit asks for (see `judge`). It takes no
//! lock but the list's and waits for nobody: neither a process that holds its GIL, nor a busy network thread can stop
//! it. What a process uses is told by `procfs`, and what its arena holds by the supervisor's own descriptor of it.

use crate::die_with_parent::ProcessHandle;
use crate::judge::{Crowd, CrowdJudge, Judge, would_help};
use crate::memory_limits::MemoryLimits;
use crate::oom_kills::{Explained, OomKills};
use crate::procfs::Footprint;
use kask_net::arena;
use std::fmt;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tracing::warn;

/// What a process did to be ended, by the supervisor or the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overuse {
    /// It used more than its limit allows.
    OwnLimit { used_bytes: u64, limit_bytes: u64 },
    /// All together used too much, and it used the most.
    Crowd { used_bytes: u64, limit_bytes: u64 },
    /// The kernel ended it.
    Kernel,
}

impl fmt::Display for Overuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes >> 20;
        match *self {
            Overuse::OwnLimit { used_bytes, limit_bytes } => {
                write!(f, "it used {} MiB of its limit of {} MiB", mib(used_bytes), mib(limit_bytes))
            }
            Overuse::Crowd { used_bytes, limit_bytes } => {
                let (used, limit) = (mib(used_bytes), mib(limit_bytes));
                write!(f, "{used} MiB of the {limit} MiB that all share were in use, and it used the most")
            }
            Overuse::Kernel => write!(f, "the kernel ended it for want of memory"),
        }
    }
}

/// What was seen of a process.
#[derive(Debug)]
pub(crate) struct Seen {
    /// The most it used at any look.
    pub(crate) peak_bytes: Option<u64>,
    /// Why memory ended it, if memory did.
    pub(crate) overuse: Option<Overuse>,
}

/// The watching thread and its list.
#[derive(Debug)]
pub(crate) struct Watch {
    shared: Arc<Shared>,
    owner: u32,
}

#[derive(Debug, Default)]
struct Shared {
    list: Mutex<List>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct List {
    processes: Vec<Process>,
    /// Giving a large arena back takes the kernel a while, so the watching thread does it.
    ended: Vec<Process>,
    explained: Explained,
    next: u64,
    running: bool,
    closed: bool,
}

#[derive(Debug)]
struct Process {
    number: u64,
    handle: Arc<ProcessHandle>,
    footprint: Option<Footprint>,
    arena: Option<OwnedFd>,
    judge: Judge,
    limit_bytes: u64,
    used_bytes: u64,
    peak_bytes: u64,
    overuse: Option<Overuse>,
    limits: MemoryLimits,
    oom_kills: OomKills,
    look_at: Instant,
}

/// A process that is watched until this is dropped.
#[derive(Debug)]
pub(crate) struct Watched {
    shared: Arc<Shared>,
    number: u64,
}

impl Watch {
    pub(crate) fn new() -> Watch {
        Watch { shared: Arc::default(), owner: std::process::id() }
    }

    /// Watches a child that has just been started. `arena` is let go of when the process has ended.
    pub(crate) fn add(&self, handle: Arc<ProcessHandle>, limit_bytes: u64, arena: Option<OwnedFd>) -> Watched {
        let limits = MemoryLimits::of_process(handle.pid());
        let oom_kills = OomKills::new(Instant::now(), limits.oom_kills());
        let footprint = Footprint::of(handle.pid());
        let mut list = self.shared.lock();
        let number = list.next;
        list.next += 1;
        list.processes.push(Process {
            number,
            handle,
            footprint,
            arena,
            judge: Judge::new(limit_bytes),
            limit_bytes,
            used_bytes: 0,
            peak_bytes: 0,
            overuse: None,
            limits,
            oom_kills,
            look_at: Instant::now(),
        });
        if !list.running {
            list.running = start(self.shared.clone());
        }
        drop(list);
        self.shared.changed.notify_all();
        Watched { shared: self.shared.clone(), number }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // In a forked child there is no thread to end, and its locks may be held by nobody.
        if self.owner == std::process::id() {
            self.shared.lock().closed = true;
            self.shared.changed.notify_all();
        }
    }
}

impl Watched {
    /// What was seen of a process that has ended, `killed` saying whether by SIGKILL.
    pub(crate) fn end(self, killed: bool) -> Seen {
        let mut list = self.shared.lock();
        let List { processes, explained, .. } = &mut *list;
        let Some(process) = processes.iter_mut().find(|process| process.number == self.number) else {
            return Seen { peak_bytes: None, overuse: None };
        };
        let now = Instant::now();
        process.oom_kills.note(now, process.limits.oom_kills());
        let by_kernel = killed && !process.handle.was_killed() && explained.explain(now, &process.oom_kills);
        let peak_bytes = Some(process.peak_bytes).filter(|peak| *peak > 0);
        Seen { peak_bytes, overuse: process.overuse.or(by_kernel.then_some(Overuse::Kernel)) }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let mut list = self.shared.lock();
        let at = list.processes.iter().position(|process| process.number == self.number);
        let ended = at.map(|at| list.processes.swap_remove(at));
        if list.running {
            list.ended.extend(ended);
        }
        drop(list);
        self.shared.changed.notify_all();
    }
}

impl Shared {
    /// The list; whatever a thread that panicked did to it, every entry is whole.
    fn lock(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn start(shared: Arc<Shared>) -> bool {
    let started = std::thread::Builder::new().name("kask-memory".into()).spawn(move || run(&shared));
    if let Err(error) = &started {
        warn!(%error, "no thread can be started that watches the memory of workers: their limits are not enforced");
    }
    started.is_ok()
}

fn run(shared: &Shared) {
    let limits = MemoryLimits::of_this_process();
    let mut crowd = CrowdJudge::new();
    let mut crowd_at = Instant::now();
    let mut list = shared.lock();
    while !list.closed {
        if !list.ended.is_empty() {
            let ended = std::mem::take(&mut list.ended);
            drop(list);
            drop(ended);
            list = shared.lock();
            continue;
        }
        let now = Instant::now();
        for process in list.processes.iter_mut().filter(|process| process.look_at <= now) {
            process.look(now);
        }
        // With no limit, users take care of the memory themselves.
        let limited = list.processes.iter().any(|process| process.limit_bytes > 0);
        if limited && crowd_at <= now {
            crowd_at = now + look_at_crowd(&limits, &mut crowd, now, &mut list.processes);
        }
        let next = list.processes.iter().map(|process| process.look_at).chain(limited.then_some(crowd_at)).min();
        let wait = next.map_or(Duration::from_secs(3600), |next| next.saturating_duration_since(Instant::now()));
        list = shared.changed.wait_timeout(list, wait).unwrap_or_else(PoisonError::into_inner).0;
    }
}

impl Process {
    fn look(&mut self, now: Instant) {
        let outside_arena_bytes = self.footprint.as_ref().and_then(Footprint::bytes);
        let Some(outside_arena_bytes) = outside_arena_bytes else {
            // It has ended, and will be taken off the list.
            self.look_at = now + Duration::from_secs(3600);
            return;
        };
        self.used_bytes = outside_arena_bytes
            + self.arena.as_ref().and_then(|arena| arena::resident_bytes(arena.as_fd()).ok()).unwrap_or(0);
        self.peak_bytes = self.peak_bytes.max(self.used_bytes);
        self.oom_kills.note(now, self.limits.oom_kills());
        if self.judge.must_go(now, self.used_bytes) {
            self.end(Overuse::OwnLimit { used_bytes: self.used_bytes, limit_bytes: self.limit_bytes });
        }
        self.look_at = now + self.judge.pause(self.used_bytes);
    }

    /// Whether it has ended or was told to, and what it had is being given back.
    fn is_ending(&self) -> bool {
        self.handle.was_killed() || self.footprint.as_ref().and_then(Footprint::bytes).is_none()
    }

    fn end(&mut self, overuse: Overuse) {
        // Whoever was ended already, for whatever reason, was not ended for this one.
        if !self.handle.was_killed() {
            self.overuse = Some(overuse);
            self.handle.kill();
        }
    }
}

/// Ends the process that uses the most when all together use too much. How soon to look again.
fn look_at_crowd(limits: &MemoryLimits, judge: &mut CrowdJudge, now: Instant, processes: &mut [Process]) -> Duration {
    let Some((used_bytes, limit_bytes)) = limits.fullest() else { return Duration::from_secs(60) };
    let stalled = limits.pressure().map_or(0.0, |pressure| pressure.full);
    let crowd = Crowd { used_bytes, limit_bytes, stalled };
    if judge.is_crowded(crowd) && processes.iter().any(Process::is_ending) {
        // The kernel takes a while to free large memory. Nobody else has to go for what another one had.
        judge.wait_anew();
        return judge.pause(crowd);
    }
    let largest =
        processes.iter_mut().filter(|process| process.limit_bytes > 0).max_by_key(|process| process.used_bytes);
    if let Some(largest) = largest
        && would_help(largest.used_bytes, crowd)
        && judge.one_must_go(now, crowd)
    {
        largest.end(Overuse::Crowd { used_bytes, limit_bytes });
    }
    judge.pause(crowd)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_process_that_was_killed_is_ending_until_it_is_taken_off_the_list() {
        let mut child = Command::new("sleep").arg("600").stdout(Stdio::null()).spawn().expect("a process");
        let watch = Watch::new();
        let handle = Arc::new(ProcessHandle::of_child(child.id()));
        let watched = watch.add(handle, 1 << 30, None);
        let is_ending = || watch.shared.lock().processes.iter().any(Process::is_ending);
        assert!(!is_ending());
        // By somebody else, as the kernel does for want of memory; nobody has waited for it yet.
        child.kill().expect("it runs");
        let patience = Instant::now() + Duration::from_secs(10);
        while !is_ending() {
            assert!(Instant::now() < patience, "nobody sees that it has ended");
            std::thread::sleep(Duration::from_millis(1));
        }
        child.wait().expect("it has ended");
        drop(watched);
        assert!(!is_ending(), "nobody is left");
    }
}
