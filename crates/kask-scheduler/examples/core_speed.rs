//! How many tasks a second the scheduler core gets through, and how many bytes each costs it.
//!
//! Workers are free: they answer every task at once. What is measured is the time inside the scheduler, from the
//! submission until all is done, as processor time of the thread, so that what else the machine does counts less; the
//! time on the clock, pretended workers included, is shown apart. Bytes are counted by the allocator
//! after the submission (the submitted layers were there before it). `cargo run --release --example core_speed`;
//! arguments choose the numbers of tasks (`10k 1M`) and of workers (`workers=100`).

use kask_graph::{
    BlockInput, BlockSource, BlockwiseLayer, Graph, InputAxis, KeyLists, Layer, LayerKind, MapLayer, TreeReduceLayer,
    Wanted,
};
use kask_scheduler::{Action, Config, Event, Scheduler};
use kask_types::{
    Annotations, BlobId, ClientId, Incarnation, Items, Key, LayerToken, Payload, Resources, TaskId, Tick, WorkerId,
};
use kask_wire::client::ClientInfo;
use kask_wire::worker::{Finished, WorkerInfo};
use kask_wire::{ClientToScheduler, SchedulerToWorker, WorkerToScheduler};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system allocator unchanged; only a number is kept beside it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE.fetch_add(size, Ordering::Relaxed);
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CLIENT: ClientId = ClientId(0);

fn function() -> BlobId {
    BlobId::of(b"function")
}

fn layer(token: u128, prefix: &str, kind: LayerKind) -> Layer {
    Layer { token: LayerToken(token), prefix: prefix.into(), annotations: Annotations::default(), kind }
}

fn map_graph(tasks: u32) -> (Graph, Wanted) {
    let keys: Vec<Key> = (0..tasks).map(|index| Key::block(LayerToken(9), index)).collect();
    let items = Items::Packed {
        data: kask_types::payload::Segment(vec![7; tasks as usize].into()),
        ends: (1..=tasks).collect(),
    };
    let inputs = KeyLists::default();
    let map = MapLayer { function: function(), items, keys, names: Vec::new(), inputs };
    (Graph { layers: vec![layer(1, "map", LayerKind::Map(map))] }, Wanted::All)
}

fn blocks(token: u128, count: u32, inputs: Vec<BlockInput>) -> Layer {
    let kind = BlockwiseLayer {
        function: function(),
        template: Payload::empty(),
        grid: [count].into_iter().collect(),
        inputs,
        items: None,
        wants_position: false,
    };
    layer(token, "block", LayerKind::Blockwise(kind))
}

fn tree_graph(tasks: u32) -> (Graph, Wanted) {
    let leaves = tasks / 2;
    let tree = TreeReduceLayer {
        combine: function(),
        aggregate: function(),
        template: Payload::empty(),
        input: LayerToken(1).into(),
        input_grid: [leaves].into_iter().collect(),
        split_every: vec![(0, 2)],
    };
    let mut graph = Graph { layers: vec![blocks(1, leaves, vec![])] };
    graph.layers.push(layer(2, "tree", LayerKind::TreeReduce(tree)));
    let last = graph.layers[1].key_of(0);
    (graph, Wanted::Keys(vec![last]))
}

/// Ten steps of a stencil that reads both neighbours.
fn grid_graph(tasks: u32) -> (Graph, Wanted) {
    const STEPS: u32 = 10;
    let width = tasks / STEPS;
    let mut layers = vec![blocks(1, width, vec![])];
    for step in 1..STEPS {
        let input = BlockInput {
            source: BlockSource::Layer(LayerToken(u128::from(step))),
            grid: [width].into_iter().collect(),
            axes: [InputAxis::Window { axis: 0, before: 1, after: 1 }].into_iter().collect(),
        };
        layers.push(blocks(u128::from(step) + 1, width, vec![input]));
    }
    let last = layers.last().expect("ten steps");
    let keys = (0..width).map(|index| last.key_of(index)).collect();
    (Graph { layers }, Wanted::Keys(keys))
}

/// Processor time that this thread has used.
fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one `timespec`, which is there.
    let result = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    assert_eq!(result, 0, "Linux has this clock");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

struct Bench {
    scheduler: Scheduler,
    inside: Duration,
    now: Tick,
}

impl Bench {
    fn new(workers: u32) -> Bench {
        let scheduler = Scheduler::new(Config::default(), Incarnation(1), "bench");
        let mut bench = Bench { scheduler, inside: Duration::ZERO, now: Tick(0) };
        for worker in (0..workers).map(WorkerId) {
            let info = WorkerInfo {
                name: format!("worker-{}", worker.0).into(),
                incarnation: Incarnation(100 + u128::from(worker.0)),
                address: format!("address-{}", worker.0).into(),
                host: "here".into(),
                pid: 1,
                nthreads: 4,
                memory_limit_bytes: 0,
                resources: Resources::default(),
                versions: vec![],
                in_process: false,
            };
            bench.handle(Event::WorkerMessage { worker, message: WorkerToScheduler::Register(info) });
        }
        let info = ClientInfo { name: "bench".into(), incarnation: Incarnation(2), versions: vec![] };
        bench.client(ClientToScheduler::Register(info));
        bench.client(ClientToScheduler::Blobs(vec![(function(), Payload::empty())]));
        while bench.scheduler.poll_action().is_some() {}
        bench
    }

    fn handle(&mut self, event: Event) {
        let start = processor_time();
        self.scheduler.handle(self.now, event);
        self.inside += processor_time() - start;
        self.now = self.now + 1_000;
    }

    fn client(&mut self, message: ClientToScheduler) {
        self.handle(Event::ClientMessage { client: CLIENT, message });
    }

    fn poll(&mut self) -> Vec<Action> {
        let start = processor_time();
        let actions = std::iter::from_fn(|| self.scheduler.poll_action()).collect();
        self.inside += processor_time() - start;
        actions
    }

    /// Answers everything until nothing is left to do; gives the number of tasks that ran.
    fn run(&mut self) -> u64 {
        let mut ran = 0;
        loop {
            let actions = self.poll();
            if actions.is_empty() {
                return ran;
            }
            for action in actions {
                if let Action::ToWorker { worker, message: SchedulerToWorker::Compute(tasks) } = action {
                    let mut fetched: Vec<(TaskId, u64)> = Vec::new();
                    let mut results = Vec::with_capacity(tasks.len());
                    for task in &tasks {
                        let far = task.inputs.iter().filter(|input| !input.holders.contains(&worker));
                        fetched.extend(far.map(|input| (input.task, input.nbytes)));
                        let (task, attempt) = (task.task, task.attempt);
                        let (nbytes, duration_ns, started_us, runner) = (28, 1_000, 0, 0);
                        results.push(Finished { task, attempt, nbytes, duration_ns, started_us, runner });
                    }
                    ran += tasks.len() as u64;
                    if !fetched.is_empty() {
                        self.handle(Event::WorkerMessage { worker, message: WorkerToScheduler::Holding(fetched) });
                    }
                    self.handle(Event::WorkerMessage { worker, message: WorkerToScheduler::Finished(results) });
                }
            }
        }
    }
}

/// A kind of graph, made for a number of tasks.
type Make = fn(u32) -> (Graph, Wanted);

fn measure(name: &str, make: Make, tasks: u32, workers: u32) {
    let mut bench = Bench::new(workers);
    let (graph, outputs) = make(tasks);
    let before = LIVE.load(Ordering::Relaxed);
    bench.inside = Duration::ZERO;
    let total = Instant::now();
    bench.client(ClientToScheduler::Submit { graph, outputs });
    let submitting = bench.inside;
    let known = bench.scheduler.task_count() as u64;
    let allocated = LIVE.load(Ordering::Relaxed).saturating_sub(before) as u64;
    let tables = bench.scheduler.memory_bytes() as u64;
    let ran = bench.run();
    let total = total.elapsed();
    assert_eq!(ran, known, "every task runs once");
    let rate = ran as f64 / bench.inside.as_secs_f64();
    println!(
        "{name:<5} {ran:>9} tasks {rate:>9.0} tasks/s (submit {:.2}, run {:.2} us each; {:.2} s with the workers)  \
         {:>4} bytes/task allocated, {:>4} in tables",
        submitting.as_secs_f64() * 1e6 / ran as f64,
        (bench.inside - submitting).as_secs_f64() * 1e6 / ran as f64,
        total.as_secs_f64(),
        allocated / known,
        tables / known,
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let chosen: Vec<u32> = arguments.iter().filter_map(|argument| parse(argument)).collect();
    let workers = arguments.iter().find_map(|argument| argument.strip_prefix("workers=")?.parse().ok()).unwrap_or(8);
    let sizes = if chosen.is_empty() { vec![10_000, 100_000, 1_000_000, 10_000_000] } else { chosen };
    let kinds: [(&str, Make); 3] = [("map", map_graph), ("tree", tree_graph), ("grid", grid_graph)];
    for (name, make) in kinds {
        for &tasks in &sizes {
            measure(name, make, tasks, workers);
        }
    }
}

fn parse(text: &str) -> Option<u32> {
    let (digits, factor) = match text.strip_suffix(['k', 'K']) {
        Some(digits) => (digits, 1_000),
        None => text.strip_suffix('M').map_or((text, 1), |digits| (digits, 1_000_000)),
    };
    digits.parse::<u32>().ok()?.checked_mul(factor)
}
