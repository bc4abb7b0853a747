//! What goes into a [`crate::Worker`] and what comes out of it.
//!
//! The shell translates sockets, runners and timers into [`Event`]s, and [`Action`]s into I/O. The contract that both
//! rely on: a value that an event speaks of (a result, a fetched or a stored value) is in the shell's store *before*
//! the event is handed over, and all actions are drained and obeyed before the next event is.

use kask_types::{Attempt, BlobId, Failure, Payload, Resources, TaskId, ValueId, WorkerId};
use kask_wire::worker::{FetchProblem, Peer};
use kask_wire::{ComputeTask, SchedulerToWorker, WorkerToScheduler};
use std::sync::Arc;

/// How a worker is set up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Number of runners.
    pub nthreads: u32,
    /// What the worker offers to tasks that ask for resources.
    pub resources: Resources,
    /// From how many peers values are fetched at the same time.
    pub fetch_concurrency: usize,
    /// A request to a peer is closed when it asks for this much.
    pub fetch_batch_bytes: u64,
    /// No further request is sent while so much is asked for, of all peers together.
    pub fetch_inflight_bytes: u64,
    /// A request to a peer asks for at most so many values.
    pub fetch_batch_count: usize,
    /// A peer that sends nothing for this long (and a millisecond for each KiB asked for) is given up.
    pub fetch_timeout_ms: u64,
    /// What the worker may hold.
    pub memory: MemoryConfig,
    /// How much work, by what is known of the tasks' families, lies ready in the hands of each runner.
    pub ahead_ns: u64,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            nthreads: 1,
            resources: Resources::default(),
            fetch_concurrency: 8,
            fetch_batch_bytes: 32 << 20,
            fetch_inflight_bytes: 256 << 20,
            fetch_batch_count: 2048,
            fetch_timeout_ms: 60_000,
            memory: MemoryConfig::default(),
            ahead_ns: 1_000_000,
        }
    }
}

/// What a worker may hold, and what it does before it holds more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryConfig {
    /// Memory of the whole process; 0 for no limit, and then nothing is ever spilled.
    pub limit_bytes: u64,
    /// The share of it, in thousandths, that values and what is set aside for work may take.
    pub target_milli: u32,
    /// The share, in thousandths, of which the process's memory may take before nothing more is started.
    pub pause_milli: u32,
    /// Whether there is a disk to spill to.
    pub can_spill: bool,
    /// Whether results of which a checkpoint is asked are written to it before their room is needed.
    pub checkpoints: bool,
}

impl Default for MemoryConfig {
    fn default() -> MemoryConfig {
        MemoryConfig { limit_bytes: 0, target_milli: 600, pause_milli: 850, can_spill: true, checkpoints: true }
    }
}

/// Something happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The scheduler said this.
    FromScheduler(SchedulerToWorker),
    /// An attempt that [`Action::Run`] handed out ended.
    TaskDone(TaskDone),
    /// Many of them did.
    TasksDone(Vec<TaskDone>),
    /// A peer answered, wholly or in part. A broken connection reports [`FetchProblem::Unreachable`] for all that
    /// is left. An empty part means that data is still coming in: it keeps the request from timing out.
    Fetched {
        /// The number that [`Action::Fetch`] gave.
        request: u64,
        /// Who answered.
        peer: WorkerId,
        /// Size of each value, or why there is none.
        results: Vec<(ValueId, Result<u64, FetchProblem>)>,
        /// Whether nothing more comes for this request.
        last: bool,
    },
    /// A client put this value into the shell's store.
    Stored {
        /// The task that was made for it.
        task: TaskId,
        /// Its size.
        nbytes: u64,
    },
    /// A running attempt left its runner.
    Seceded {
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
    },
    /// It came back.
    Rejoined {
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
    },
    /// Copies of these values are on disk (so many bytes), or why not. They are in memory as well until
    /// [`Action::Evict`].
    Spilled(Vec<(TaskId, Result<u64, SpillProblem>)>),
    /// Why the disk does not take values, in words that follow "because"; comes before the answers that say that it did
    /// not, and counts until it takes one again.
    DiskTrouble(Arc<str>),
    /// These values are in memory again (and still on disk), or why not.
    Unspilled(Vec<(TaskId, Result<(), SpillProblem>)>),
    /// Values that were found on disk at the start: size, and size on disk. Comes before anything else.
    Adopted(Vec<(TaskId, u64, u64)>),
    /// What the process takes of the machine's memory now; comes a few times a second where there is a limit.
    Memory {
        /// Bytes.
        process_bytes: u64,
        /// The most that it may take, whatever its limit: what others take of the memory that they share with it is not there
        /// for it. `u64::MAX` where that is not known.
        most_bytes: u64,
    },
    /// How much memory of values that were given up is not free, since other processes view it. Comes before each
    /// measurement, and at once when values were given up ([`Action::Evict`], [`Action::Drop`]).
    Lent {
        /// Bytes.
        kept_bytes: u64,
    },
    /// Time passed.
    Tick,
}

/// Why a value could not be written to disk, or read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SpillProblem {
    /// The disk, or the share of it that is ours, is full.
    DiskFull,
    /// The value has no form as bytes.
    Unpicklable,
    /// What was read back is not what was written: the value is lost.
    Damaged,
    /// The disk failed otherwise; on reading: the value is lost.
    Io,
}

/// The end of an attempt.
#[derive(Clone, Debug)]
pub struct TaskDone {
    /// The task.
    pub task: TaskId,
    /// The attempt.
    pub attempt: Attempt,
    /// How it ended.
    pub outcome: Outcome,
    /// How long the call took.
    pub duration_ns: u64,
    /// When it started, in microseconds of the wall clock since 1970.
    pub started_us: u64,
    /// Which runner ran it.
    pub runner: u32,
}

/// How an attempt ended.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// With a value, which is in the shell's store.
    Value {
        /// Its size.
        nbytes: u64,
    },
    /// Without one.
    Failed {
        /// Why.
        failure: Failure,
    },
    /// It asked to be run elsewhere.
    Reschedule,
}

/// Something to do.
#[derive(Clone, Debug)]
pub enum Action {
    /// Hand this to the runners: its inputs are in the store (under `input.task`) and its function was kept. The
    /// shell holds on to both until the attempt ends, whatever [`Action::Drop`] says meanwhile.
    Run(Box<ComputeTask>),
    /// Take those of these attempts away from the runners that have not started: each of them ends as
    /// [`Outcome::Reschedule`].
    Recall(Vec<(TaskId, Attempt)>),
    /// Ask a peer for these values.
    Fetch {
        /// Names the answer.
        request: u64,
        /// Whom to ask.
        peer: WorkerId,
        /// Which values.
        values: Vec<ValueId>,
    },
    /// Throw these values away, wherever they are.
    Drop(Vec<ValueId>),
    /// Write copies of these values to disk; each is answered in [`Event::Spilled`]. They stay readable meanwhile.
    Spill(Vec<TaskId>),
    /// Give up the memory copies of these values, which are on disk.
    Evict(Vec<TaskId>),
    /// Bring these values, which are on disk alone, to memory; each is answered in [`Event::Unspilled`].
    Unspill(Vec<TaskId>),
    /// Keep these functions and constants.
    KeepBlobs(Vec<(BlobId, Payload)>),
    /// Nothing that is here or to come calls these.
    DropBlobs(Vec<BlobId>),
    /// Send this. In a heartbeat, the shell fills in what only it can measure.
    ToScheduler(WorkerToScheduler),
    /// A peer can be reached here.
    PeerJoined(Peer),
    /// It cannot any more.
    PeerLeft(WorkerId),
    /// Call a function outside of any task.
    RunFunction {
        /// Names the answer.
        call: u64,
        /// The pickled call.
        payload: Payload,
    },
    /// Everything that ran has ended (or the scheduler spoke nonsense): close the connections and end.
    Close {
        /// For the log.
        reason: Arc<str>,
    },
}

/// What the scheduler said makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// Something came before `Registered`.
    #[error("the scheduler sent a message before it had registered this worker")]
    NotRegistered,
    /// `Registered` came again.
    #[error("the scheduler registered this worker twice")]
    RegisteredTwice,
    /// The attempt is here, or has number 0.
    #[error("the scheduler sent attempt {} of task {task:?}, which is not a new one", attempt.0)]
    NotNew {
        /// The task.
        task: TaskId,
        /// The attempt.
        attempt: Attempt,
    },
    /// The function never came.
    #[error("the scheduler sent task {task:?} without the function {function} that it calls")]
    UnknownFunction {
        /// The task.
        task: TaskId,
        /// The function.
        function: BlobId,
    },
    /// The worker will never have what the task needs.
    #[error("the scheduler sent task {task:?}, which needs resources that this worker does not offer")]
    NotOffered {
        /// The task.
        task: TaskId,
    },
}
