//! Scheduler and worker.

use kask_graph::{Grid, Slots};
use kask_types::{Attempt, BlobId, Certificate, Failure, Incarnation, Payload, Resources, TaskId, TaskName, WorkerId};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a scheduler tells a worker. Messages arrive in the order in which they were sent.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum SchedulerToWorker {
    /// First message after [`WorkerToScheduler::Register`].
    Registered {
        /// The worker's number.
        worker: WorkerId,
        /// How often to send [`WorkerToScheduler::Heartbeat`].
        heartbeat_ms: u64,
    },
    /// Keep these; tasks that follow call them.
    Blobs(Vec<(BlobId, Payload)>),
    /// No task that is still to come calls these.
    DropBlobs(Vec<BlobId>),
    /// Run these when their inputs are here.
    Compute(Vec<ComputeTask>),
    /// Nobody wants these attempts. One that is queued is dropped; a running one's result is thrown away
    /// (and still answered with [`WorkerToScheduler::Finished`] or [`WorkerToScheduler::Failed`]).
    Cancel(Vec<(TaskId, Attempt)>),
    /// Give these back if they have not been started; answered by [`WorkerToScheduler::StealAnswer`].
    Steal(Vec<(TaskId, Attempt)>),
    /// Throw these values away.
    Free(Vec<TaskId>),
    /// Fetch copies of these; each answered by [`WorkerToScheduler::Holding`] or [`WorkerToScheduler::Missing`].
    Acquire(Vec<Input>),
    /// Another worker can be reached here.
    PeerJoined(Peer),
    /// It cannot any more: fetches from it fail at once.
    PeerLeft(WorkerId),
    /// Call a function outside of any task, beside the runners; answered by [`WorkerToScheduler::RunAnswer`].
    Run {
        /// Names the answer.
        call: u64,
        /// The pickled `(function, args, kwargs)`.
        payload: Payload,
    },
    /// Finish what runs, start nothing, close.
    Close {
        /// For the log.
        reason: Arc<str>,
    },
}

/// One attempt at a task, with all that is needed to run it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ComputeTask {
    /// The task.
    pub task: TaskId,
    /// Which attempt this is.
    pub attempt: Attempt,
    /// How its key is printed.
    pub name: TaskName,
    /// What is called; `None` means that `args` is the result.
    pub function: Option<BlobId>,
    /// The argument template.
    pub args: Payload,
    /// More arguments for this block: fills the hole after those of `slots`.
    pub item: Option<Payload>,
    /// Position in the layer's grid, where the call asked for it.
    pub position: Option<Grid>,
    /// How `inputs` fill the holes.
    pub slots: Slots,
    /// The inputs, in order; one may occur twice.
    pub inputs: Vec<Input>,
    /// Lower runs first.
    pub priority: Priority,
    /// What must be free on the worker while it runs.
    pub resources: Option<Arc<Resources>>,
    /// What it is known to need beside its inputs, its result included; 0 when nothing is known.
    pub memory_bytes: u64,
    /// Its result is to be on disk soon, whether or not there is room in memory: making it again takes far more than its inputs.
    pub checkpoint: bool,
}

/// A value that a worker needs, and who has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Input {
    /// The task whose result it is.
    pub task: TaskId,
    /// Which part of the result; all of it if absent.
    pub part: Option<u32>,
    /// Its size (of a part: what is expected).
    pub nbytes: u64,
    /// Workers that hold it; may include the receiver.
    pub holders: smallvec::SmallVec<[WorkerId; 2]>,
}

/// Lower runs first: negated user priority, then the graph's age, then its place in the graph's order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Priority {
    /// Negated user priority.
    pub user: i32,
    /// Counts submissions.
    pub graph: u32,
    /// Place in the order that `kask-graph` computed.
    pub order: u32,
}

/// A worker as other workers and clients reach it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Peer {
    /// Its number.
    pub worker: WorkerId,
    /// Its incarnation, checked when connecting.
    pub incarnation: Incarnation,
    /// Where it listens for [`crate::DataRequest`]s.
    pub address: Arc<str>,
}

/// What a worker says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkerInfo {
    /// Unique among the workers; a taken name is refused.
    pub name: Arc<str>,
    /// Which life of the process this is.
    pub incarnation: Incarnation,
    /// Where it listens for [`crate::DataRequest`]s.
    pub address: Arc<str>,
    /// Host, for restrictions and locality.
    pub host: Arc<str>,
    /// Process id.
    pub pid: u32,
    /// Number of runners.
    pub nthreads: u32,
    /// Budget in bytes; 0 means none was set.
    pub memory_limit_bytes: u64,
    /// What it offers.
    pub resources: Resources,
    /// `(package, version)` pairs to compare with the client's.
    pub versions: Vec<(String, String)>,
    /// Whether payloads may stay objects (the worker shares the scheduler's and client's process).
    pub in_process: bool,
}

/// What a worker tells its scheduler.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum WorkerToScheduler {
    /// First message.
    Register(WorkerInfo),
    /// I am alive.
    Heartbeat(WorkerMetrics),
    /// These attempts have results, which are held here.
    Finished(Vec<Finished>),
    /// An attempt ended without a result.
    Failed {
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
        /// Why.
        failure: Failure,
        /// Run it elsewhere (the task raised `Reschedule`): neither a retry nor a failure.
        reschedule: bool,
    },
    /// An attempt cannot start because inputs could not be fetched. The attempt is over; the scheduler repairs.
    InputsMissing {
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
        /// Inputs, and the holder that did not deliver each.
        missing: Vec<(TaskId, WorkerId, FetchProblem)>,
    },
    /// Answer to [`SchedulerToWorker::Steal`]: those given back, and those already started or done.
    StealAnswer {
        /// Given back: these attempts are over.
        given: Vec<(TaskId, Attempt)>,
        /// Kept.
        kept: Vec<(TaskId, Attempt)>,
    },
    /// These were cancelled, but runners have them: they count against `nthreads` until they are answered, as every
    /// attempt that a runner has.
    Lingering(Vec<(TaskId, Attempt)>),
    /// These values are now held here: scattered, acquired, or fetched as a task's input.
    Holding(Vec<(TaskId, u64)>),
    /// These could not be acquired.
    Missing(Vec<(TaskId, WorkerId, FetchProblem)>),
    /// How the worker stands for memory, whenever that changes. It begins as [`Pressure::Comfortable`].
    Pressure(Pressure),
    /// These attempts were not started and are over: there is no room for them here. Run them elsewhere, or later.
    HandedBack(Vec<(TaskId, Attempt)>),
    /// Values that an earlier process in this worker's place left on its disk and that are held here now. Comes right
    /// after the registration.
    Adopted(Vec<(TaskId, u64)>),
    /// The attempt left its runner and no longer counts against `nthreads`.
    Seceded(TaskId, Attempt),
    /// It counts again.
    Rejoined(TaskId, Attempt),
    /// Answer to [`SchedulerToWorker::Run`].
    RunAnswer {
        /// Names the call.
        call: u64,
        /// The pickled result, or why there is none.
        result: Result<Payload, Failure>,
    },
    /// The worker closes and sends nothing more.
    Closing(Certificate),
}

/// One attempt that has a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finished {
    /// The task.
    pub task: TaskId,
    /// The attempt.
    pub attempt: Attempt,
    /// Size of the result.
    pub nbytes: u64,
    /// How long the call took.
    pub duration_ns: u64,
    /// When it started, in microseconds of the worker's wall clock since 1970.
    pub started_us: u64,
    /// Which runner ran it.
    pub runner: u32,
}

/// How a worker stands for memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Pressure {
    /// There is room.
    #[default]
    Comfortable,
    /// Values have to be spilled for more work: better finish what is begun.
    Tight,
    /// Nothing more can be spilled: no new work, please, and take values away.
    Full,
}

/// Why a fetch brought nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FetchProblem {
    /// The peer answered that it does not have it.
    NotThere,
    /// The peer could not be reached or broke off.
    Unreachable,
    /// What came could not be decoded, or could not be encoded by the peer.
    Undecodable,
    /// The peer has it, and too much to send at the moment: ask it again a little later.
    Busy,
    /// It was on the disk of the worker that says so, and could not be read back: that copy is gone.
    Unreadable,
}

/// What a worker measures of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerMetrics {
    /// Resident set.
    pub memory_bytes: u64,
    /// Bytes of values held in memory.
    pub managed_bytes: u64,
    /// Bytes of values held on disk alone.
    pub spilled_bytes: u64,
    /// Bytes set aside for what is being fetched, read back or made.
    pub reserved_bytes: u64,
    /// Memory of the process that is no value.
    pub unmanaged_bytes: u64,
    /// Attempts that are running.
    pub executing: u32,
    /// Attempts that wait for a runner.
    pub ready: u32,
    /// Attempts that wait for inputs.
    pub waiting: u32,
    /// Bytes fetched from peers since the start.
    pub fetched_bytes: u64,
    /// Bytes served to peers and clients since the start.
    pub served_bytes: u64,
    /// Bytes written to the spill folder since the start.
    pub spill_written_bytes: u64,
    /// Bytes read back from the spill folder since the start.
    pub spill_read_bytes: u64,
    /// CPU use in thousandths of one core.
    pub cpu_milli: u32,
}
