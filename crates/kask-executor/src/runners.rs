//! The threads that run tasks.
//!
//! Jobs that the core has handed out stand in one queue. A runner takes them one by one but keeps the language's lock for as
//! long as there are any, so that one hand-over of the lock serves many small tasks. Ends are posted to the worker at once and
//! *driven* (worked off, on this very thread) when the queue is empty, after `BURST` of them, or when a job is about to start
//! and the last drive is more than `PATIENCE` ago; a ticker drives what is left behind when a job takes long.
//!
//! The queue waits on the standard library's locks, not on `parking_lot`'s: the latter keep one table of sleeping threads
//! for the whole process, and a forked child would find its parent's threads in it.
//!
//! A thread lives as long as the worker: when a task secedes another thread takes its place, and when it comes back
//! one thread is parked for the next time.

use crate::host::WorkerHost;
use crate::runtime::{Completion, CurrentJob, Deferred, Job, JobHost, Jobs, set_current_job};
use crate::store::Stored;
use kask_net::reactor::drive;
use kask_net::thread_cache::ThreadCache;
use kask_types::{Attempt, Failure, TaskId};
use kask_worker::{Event, Outcome, TaskDone};
use rustc_hash::FxHashSet;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Ends that may wait to be driven.
const BURST: u32 = 128;
/// How old an end may be when the next job starts.
const PATIENCE: Duration = Duration::from_micros(200);
/// How long a thread without a job looks out for one before it sleeps.
const LOOK_OUT: Duration = Duration::from_micros(50);

/// Jobs that wait for a runner.
#[derive(Default)]
pub struct RunQueue {
    state: Mutex<QueueState>,
    ready: Condvar,
    unpark: Condvar,
    spawned: AtomicU32,
    /// Whether there are jobs, for the thread that looks out for them without the lock.
    any: AtomicBool,
}

#[derive(Default)]
struct QueueState {
    jobs: VecDeque<Queued>,
    /// Whether one thread is looking out for jobs instead of sleeping.
    looking: bool,
    /// Threads that wait for jobs.
    idle: usize,
    /// Threads that run or wait for jobs, without those whose task has seceded.
    active: usize,
    /// Threads that wait to be needed again.
    parked: usize,
    /// Parked threads that are called back.
    unparking: usize,
    /// How many threads shall be active.
    target: usize,
    stopping: bool,
}

#[expect(clippy::large_enum_variant, reason = "nearly all are jobs; boxing each would cost more")]
pub(crate) enum Queued {
    Job(Job),
    /// An input cannot be had: the job is over before it starts.
    Failed {
        task: TaskId,
        attempt: Attempt,
        failure: Failure,
    },
}

impl RunQueue {
    fn locked(&self) -> MutexGuard<'_, QueueState> {
        // Nothing here panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn new(target: usize) -> RunQueue {
        RunQueue { state: Mutex::new(QueueState { target, ..QueueState::default() }), ..RunQueue::default() }
    }

    /// Adds jobs. A runner that adds jobs will take the first of them itself.
    pub(crate) fn push(&self, jobs: &mut Vec<Queued>, by_runner: bool) {
        if jobs.is_empty() {
            return;
        }
        let mut state = self.locked();
        state.jobs.extend(jobs.drain(..));
        self.any.store(true, Ordering::Release);
        let served = usize::from(by_runner) + usize::from(state.looking);
        let wake = state.idle.min(state.jobs.len().saturating_sub(served));
        drop(state);
        for _ in 0..wake {
            self.ready.notify_one();
        }
    }

    /// Takes those of these attempts away that are here.
    pub(crate) fn recall(&self, attempts: &FxHashSet<(TaskId, Attempt)>) -> Vec<Job> {
        let mut taken = Vec::new();
        let mut state = self.locked();
        for queued in std::mem::take(&mut state.jobs) {
            match queued {
                Queued::Job(job) if attempts.contains(&(job.task, job.attempt)) => taken.push(job),
                Queued::Job(_) | Queued::Failed { .. } => state.jobs.push_back(queued),
            }
        }
        taken
    }

    fn pop(&self) -> Option<Queued> {
        let mut state = self.locked();
        if state.stopping || state.active > state.target {
            return None;
        }
        state.jobs.pop_front()
    }

    /// Waits until there may be a job; false when the thread shall end.
    fn wait(&self, cache: &mut ThreadCache) -> bool {
        let mut state = self.locked();
        loop {
            if state.stopping {
                return false;
            }
            if state.active > state.target {
                state.active -= 1;
                state.parked += 1;
                // A job that this thread was woken for goes to another one.
                self.ready.notify_one();
                while state.unparking == 0 && !state.stopping {
                    state = self.unpark.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
                state.unparking = state.unparking.saturating_sub(1);
                state.parked -= 1;
                continue;
            }
            if !state.jobs.is_empty() {
                return true;
            }
            if !state.looking {
                state.looking = true;
                self.any.store(false, Ordering::Release);
                drop(state);
                self.look_out();
                state = self.locked();
                state.looking = false;
                if !state.jobs.is_empty() || state.stopping || state.active > state.target {
                    continue;
                }
            }
            state.idle += 1;
            let is_quiet;
            (state, is_quiet) = match cache.quiet() {
                None => (self.ready.wait(state).unwrap_or_else(PoisonError::into_inner), false),
                Some(quiet) => {
                    let (state, waited) = self.ready.wait_timeout(state, quiet).unwrap_or_else(PoisonError::into_inner);
                    (state, waited.timed_out())
                }
            };
            state.idle -= 1;
            if is_quiet {
                drop(state);
                cache.give_back();
                state = self.locked();
            }
        }
    }

    /// Looks out for a job for a moment: waking a sleeping thread takes longer than many tasks do.
    fn look_out(&self) {
        let started = Instant::now();
        while !self.any.load(Ordering::Acquire) && started.elapsed() < LOOK_OUT {
            std::thread::yield_now();
        }
    }

    /// A task leaves its runner. True when a new thread has to be started in its place.
    fn leave(&self) -> bool {
        let mut state = self.locked();
        state.active -= 1;
        if state.stopping || state.active >= state.target {
            return false;
        }
        state.active += 1;
        if state.parked > state.unparking {
            state.unparking += 1;
            drop(state);
            self.unpark.notify_one();
            return false;
        }
        true
    }

    fn come_back(&self) {
        self.locked().active += 1;
    }

    pub(crate) fn stop(&self) {
        let jobs = {
            let mut state = self.locked();
            state.stopping = true;
            self.any.store(true, Ordering::Release);
            std::mem::take(&mut state.jobs)
        };
        self.ready.notify_all();
        self.unpark.notify_all();
        drop(jobs);
    }
}

/// Starts the worker's runners.
pub(crate) fn start(host: &Arc<WorkerHost>) {
    let target = {
        let mut state = host.queue.locked();
        state.active = state.target;
        state.target
    };
    for _ in 0..target {
        spawn(host);
    }
}

fn spawn(host: &Arc<WorkerHost>) {
    let index = host.queue.spawned.fetch_add(1, Ordering::Relaxed);
    let name = format!("kask-{}-{index}", host.name());
    let runner = host.clone();
    host.running.fetch_add(1, Ordering::AcqRel);
    let body = Box::new(move || {
        let mut cache = ThreadCache::default();
        while runner.queue.wait(&mut cache) {
            cache.used(run_here(&runner, index));
        }
        runner.running.fetch_sub(1, Ordering::AcqRel);
        runner.runner_ended.notify_waiters();
    });
    host.runtime.spawn(name, body);
}

thread_local! {
    static TAKES_NEXT: std::cell::Cell<*const RunQueue> = const { std::cell::Cell::new(std::ptr::null()) };
}

/// Whether the calling thread is a runner that will look into this queue next.
pub(crate) fn takes_next(queue: &Arc<RunQueue>) -> bool {
    TAKES_NEXT.get() == Arc::as_ptr(queue)
}

/// Runs what is queued on the calling thread until there is nothing. Gives back how many jobs those were.
pub(crate) fn run_here(host: &Arc<WorkerHost>, index: u32) -> usize {
    let mut jobs =
        RunnerJobs { host: host.clone(), index, current: None, started: 0, undriven: 0, driven: Instant::now() };
    host.runtime.clone().run_jobs(&mut jobs);
    jobs.started
}

struct RunnerJobs {
    host: Arc<WorkerHost>,
    index: u32,
    current: Option<Current>,
    started: usize,
    undriven: u32,
    driven: Instant,
}

struct Current {
    task: TaskId,
    attempt: Attempt,
    started: Instant,
    outer: Option<CurrentJob>,
}

impl RunnerJobs {
    fn drive(&mut self, now: Instant) {
        self.undriven = 0;
        self.driven = now;
        let outer = TAKES_NEXT.replace(Arc::as_ptr(&self.host.queue));
        drive(self.host.clone());
        TAKES_NEXT.set(outer);
    }
}

impl Jobs for RunnerJobs {
    fn next(&mut self) -> Option<Job> {
        loop {
            let job = match self.host.queue.pop() {
                Some(Queued::Job(job)) => job,
                Some(Queued::Failed { task, attempt, failure }) => {
                    self.host.post_done(task, attempt, Completion::Failed(failure), Instant::now(), self.index);
                    self.undriven += 1;
                    continue;
                }
                None if self.undriven > 0 => {
                    self.drive(Instant::now());
                    continue;
                }
                None => return None,
            };
            let now = Instant::now();
            if self.undriven > 0 {
                if now.duration_since(self.driven) > PATIENCE {
                    self.drive(now);
                } else {
                    self.host.arm_ticker();
                }
            }
            let worker: Arc<dyn JobHost> = self.host.clone();
            let current = CurrentJob { task: job.task, attempt: job.attempt, name: job.name.clone(), worker };
            let outer = set_current_job(Some(current));
            self.host.last_task.note(self.index, &job.name);
            self.started += 1;
            self.current = Some(Current { task: job.task, attempt: job.attempt, started: Instant::now(), outer });
            return Some(job);
        }
    }

    fn done(&mut self, completion: Completion) {
        let Some(current) = self.current.take() else { return };
        set_current_job(current.outer);
        self.host.last_task.clear(self.index);
        if matches!(completion, Completion::Deferred) {
            // It waits more than it runs, perhaps for tasks of this very worker: it takes no runner's place.
            self.host.post(Event::Seceded { task: current.task, attempt: current.attempt });
            self.undriven += 1;
            return;
        }
        self.host.post_done(current.task, current.attempt, completion, current.started, self.index);
        self.undriven += 1;
        if self.undriven >= BURST {
            self.drive(Instant::now());
        }
    }

    fn defer(&mut self) -> Box<dyn Deferred> {
        let current = self.current.as_ref().expect("a job is deferred between next() and done()");
        Box::new(DeferredJob {
            host: self.host.clone(),
            task: current.task,
            attempt: current.attempt,
            started: current.started,
            index: self.index,
        })
    }
}

struct DeferredJob {
    host: Arc<WorkerHost>,
    task: TaskId,
    attempt: Attempt,
    started: Instant,
    index: u32,
}

impl Deferred for DeferredJob {
    fn finish(&self, completion: Completion) {
        self.host.post_done(self.task, self.attempt, completion, self.started, self.index);
        drive(self.host.clone());
    }
}

impl WorkerHost {
    pub(crate) fn post_done(
        &self,
        task: TaskId,
        attempt: Attempt,
        completion: Completion,
        started: Instant,
        runner: u32,
    ) {
        let outcome = match completion {
            Completion::Value { value, nbytes } => {
                self.store.insert(task, Stored::Value(value), nbytes);
                Outcome::Value { nbytes }
            }
            Completion::Failed(failure) => Outcome::Failed { failure },
            Completion::Reschedule => Outcome::Reschedule,
            Completion::Deferred => return,
        };
        let duration_ns = started.elapsed().as_nanos() as u64;
        let started_us = self.wall_clock_us(started);
        self.post(Event::TaskDone(TaskDone { task, attempt, outcome, duration_ns, started_us, runner }));
    }
}

impl JobHost for WorkerHost {
    fn secede(&self, task: TaskId, attempt: Attempt) {
        let Some(host) = self.this.upgrade() else { return };
        host.post(Event::Seceded { task, attempt });
        drive(host.clone());
        if !host.synchronous && host.queue.leave() {
            spawn(&host);
        }
    }

    fn rejoin(&self, task: TaskId, attempt: Attempt) {
        let Some(host) = self.this.upgrade() else { return };
        if !host.synchronous {
            host.queue.come_back();
        }
        host.post(Event::Rejoined { task, attempt });
        drive(host);
    }

    fn name(&self) -> Arc<str> {
        self.options.name.clone()
    }

    fn address(&self) -> Arc<str> {
        self.address.lock().clone()
    }

    fn local_directory(&self) -> Arc<str> {
        self.options.local_directory.clone()
    }

    fn memory_limit_bytes(&self) -> u64 {
        WorkerHost::memory_limit_bytes(self)
    }
}
