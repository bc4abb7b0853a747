//! How fast attempts go through the worker core alone, with runners that cost nothing.
//!
//! `cargo run --release -p kask-worker --example worker_speed`

use kask_graph::Slots;
use kask_types::{Attempt, BlobId, LayerToken, Payload, TaskId, TaskName, Tick, WorkerId};
use kask_wire::worker::{Input, Priority};
use kask_wire::{ComputeTask, SchedulerToWorker};
use kask_worker::{Action, Config, Event, MemoryConfig, Outcome, TaskDone, Worker};
use std::sync::Arc;
use std::time::Instant;

const FUNCTION: BlobId = BlobId(1);

fn compute(slot: u32, inputs: Vec<Input>, prefix: &Arc<str>) -> ComputeTask {
    ComputeTask {
        task: TaskId { slot, generation: 0 },
        attempt: Attempt(1),
        name: TaskName::Block { prefix: prefix.clone(), layer: LayerToken(5), index: [slot].into_iter().collect() },
        function: Some(FUNCTION),
        args: Payload::empty(),
        item: None,
        position: None,
        slots: Slots::Each,
        inputs,
        priority: Priority { order: slot, ..Priority::default() },
        resources: None,
        memory_bytes: 0,
        checkpoint: false,
    }
}

fn from_scheduler(worker: &mut Worker, message: SchedulerToWorker) {
    worker.handle(Tick(0), Event::FromScheduler(message));
}

/// Obeys all actions, ends whatever is handed out at once, and goes on until nothing is left to do.
fn run_dry(worker: &mut Worker) -> usize {
    let mut total = 0;
    loop {
        let mut ended = Vec::new();
        while let Some(action) = worker.poll_action() {
            if let Action::Run(compute) = action {
                let (task, attempt) = (compute.task, compute.attempt);
                let outcome = Outcome::Value { nbytes: 8 };
                ended.push(TaskDone { task, attempt, outcome, duration_ns: 500, started_us: 0, runner: 0 });
            }
        }
        if ended.is_empty() {
            return total;
        }
        total += ended.len();
        worker.handle(Tick(0), Event::TasksDone(ended));
    }
}

/// Prints the time that the core took for each task: the best of five passes, since machines are shared.
fn measure(title: &str, limit_bytes: u64, total: u32, batch: u32, inputs: impl Fn(u32) -> Vec<Input>) {
    let best = (0..5).map(|_| pass(limit_bytes, total, batch, &inputs)).min().expect("there are five");
    println!("{title:<44} {:>7.3} us a task", best.as_secs_f64() * 1e6 / f64::from(total));
}

/// Sends tasks in messages of `batch` and frees their results.
fn pass(limit_bytes: u64, total: u32, batch: u32, inputs: impl Fn(u32) -> Vec<Input>) -> std::time::Duration {
    let memory = MemoryConfig { limit_bytes, ..MemoryConfig::default() };
    let mut worker = Worker::new(Config { nthreads: 2, memory, ..Config::default() });
    from_scheduler(&mut worker, SchedulerToWorker::Registered { worker: WorkerId(0), heartbeat_ms: 1000 });
    from_scheduler(&mut worker, SchedulerToWorker::Blobs(vec![(FUNCTION, Payload::empty())]));
    worker.handle(Tick(0), Event::Stored { task: TaskId { slot: u32::MAX, generation: 0 }, nbytes: 8 });
    let prefix: Arc<str> = Arc::from("inc");
    let mut spent = std::time::Duration::ZERO;
    for first in (0..total).step_by(batch as usize) {
        let tasks: Vec<ComputeTask> = (first..first + batch).map(|slot| compute(slot, inputs(slot), &prefix)).collect();
        let freed = (first..first + batch).map(|slot| TaskId { slot, generation: 0 }).collect();
        let start = Instant::now();
        from_scheduler(&mut worker, SchedulerToWorker::Compute(tasks));
        assert_eq!(run_dry(&mut worker), batch as usize);
        from_scheduler(&mut worker, SchedulerToWorker::Free(freed));
        run_dry(&mut worker);
        spent += start.elapsed();
    }
    spent
}

fn main() {
    let shared = Input {
        task: TaskId { slot: u32::MAX, generation: 0 },
        part: None,
        nbytes: 8,
        holders: [WorkerId(0)].into_iter().collect(),
    };
    measure("1,000,000 tasks without inputs, by 1,000", 0, 1_000_000, 1000, |_| Vec::new());
    measure("1,000,000 tasks without inputs, at once", 0, 1_000_000, 1_000_000, |_| Vec::new());
    measure("200,000 tasks without inputs, one by one", 0, 200_000, 1, |_| Vec::new());
    measure("1,000,000 tasks with one input, by 1,000", 0, 1_000_000, 1000, |_| vec![shared.clone()]);
    measure("1,000,000 with one input, memory limit", 4 << 30, 1_000_000, 1000, |_| vec![shared.clone()]);
    measure("200,000 one by one, memory limit", 4 << 30, 200_000, 1, |_| Vec::new());
}
