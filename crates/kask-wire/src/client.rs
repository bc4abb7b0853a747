//! Client and scheduler.

use crate::worker::{Peer, Pressure, WorkerInfo, WorkerMetrics};
use kask_graph::{Graph, Wanted};
use kask_types::{
    BlobId, ClientId, Failure, Incarnation, Key, Payload, Resources, TaskId, WorkerId, WorkerRestriction,
};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What a client tells its scheduler. Messages are handled in the order in which they were sent; a client need not
/// wait for an answer before it goes on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ClientToScheduler {
    /// First message.
    Register(ClientInfo),
    /// Functions and constants that graphs of this client name. Kept while this client pins them (from here to
    /// [`ClientToScheduler::DropBlobs`] or its end) or a living layer names them.
    Blobs(Vec<(BlobId, Payload)>),
    /// This client pins these no longer.
    DropBlobs(Vec<BlobId>),
    /// New work. The client wants `outputs` (and is told of each as it ends).
    Submit {
        /// The layers. A layer or key that is known already is shared, not run again.
        graph: Graph,
        /// What the client wants.
        outputs: Wanted,
    },
    /// The client wants these existing tasks too (a future came out of a pickle, or another client's key).
    /// Unknown keys are answered with [`SchedulerToClient::Ended`] and a failure.
    Want(Vec<Key>),
    /// The client does not want these any more. Every `Want` or output counts once, however often it was asked for.
    Unwant(Vec<Key>),
    /// Run to the end even if nobody wants them (`fire_and_forget`).
    Detach(Vec<Key>),
    /// Nobody shall wait for these any more: they end as cancelled, and what depends on them too.
    Cancel {
        /// Which.
        keys: Vec<Key>,
        /// Also when other clients want them.
        force: bool,
        /// For the error that waiters get.
        reason: Arc<str>,
    },
    /// Run these failed tasks again, and the failed tasks they depend on.
    Retry(Vec<Key>),
    /// Make tasks for data that the client is going to put on workers; answered by [`Reply::Scatter`].
    /// The client wants the keys from then on.
    Scatter {
        /// Names the answer.
        request: u64,
        /// Key, family prefix, and the bytes of each value that have to be in memory when it is used.
        values: Vec<(Key, Arc<str>, u64)>,
        /// Where to.
        workers: Option<WorkerRestriction>,
        /// To all of them, rather than spread over them.
        broadcast: bool,
    },
    /// A question; answered by [`SchedulerToClient::Answer`].
    Ask {
        /// Names the answer.
        request: u64,
        /// The question.
        query: Query,
    },
    /// Call a function on workers, outside of any task; answered by [`Reply::Run`].
    Run {
        /// Names the answer.
        request: u64,
        /// Names or addresses; all if absent.
        workers: Option<Vec<Arc<str>>>,
        /// The pickled `(function, args, kwargs)`.
        payload: Payload,
    },
    /// Forget all tasks of all clients and restart the workers; answered by [`Reply::Done`] when the same
    /// number of workers is back. Where no supervisor is known, workers only forget.
    Restart {
        /// Names the answer.
        request: u64,
        /// Give up after this long.
        timeout_ms: u64,
    },
    /// Let these workers (names, addresses or decimal ids) go, after moving what only they hold; answered by [`Reply::Done`].
    Retire {
        /// Names the answer.
        request: u64,
        /// Which.
        workers: Vec<Arc<str>>,
    },
    /// Send copies of these until each is on `copies` workers.
    Replicate {
        /// Names the answer.
        request: u64,
        /// Which.
        keys: Vec<Key>,
        /// On how many workers at least; 0 means all that fit `workers`.
        copies: u32,
        /// Where to.
        workers: Option<WorkerRestriction>,
    },
    /// These holders were asked for the values of these keys and do not have them. Handled as if a worker had said it
    /// with [`crate::worker::FetchProblem::NotThere`]; for each key that the client wants, the answer is where the
    /// value is now, that it is pending, or that it has ended.
    Missing(Vec<(Key, WorkerId)>),
    /// Close the whole cluster.
    Shutdown,
    /// The client closes and sends nothing more.
    Closing,
}

/// What a client says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClientInfo {
    /// For people.
    pub name: Arc<str>,
    /// Which life.
    pub incarnation: Incarnation,
    /// `(package, version)` pairs.
    pub versions: Vec<(String, String)>,
}

/// What a scheduler tells a client.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum SchedulerToClient {
    /// First message after [`ClientToScheduler::Register`].
    Registered {
        /// The client's number.
        client: ClientId,
        /// The workers now.
        workers: Vec<(Peer, WorkerInfo)>,
    },
    /// A worker came. Precedes any message that names it.
    WorkerJoined(Peer, WorkerInfo),
    /// A worker went.
    WorkerLeft(WorkerId),
    /// So many of this client's messages have been handled: what follows is how things stand after them. What came
    /// before says nothing of a key that the client let go of and asked for again in a later message.
    Handled(u64),
    /// Wanted keys that are in memory now.
    InMemory(Vec<KeyInMemory>),
    /// Wanted keys that will not get a result.
    Ended(Vec<(Key, Failure)>),
    /// Wanted keys whose result is lost or thrown away and which are being computed again.
    Pending(Vec<Key>),
    /// The last submission was refused whole; its outputs that are new end with this failure.
    Refused {
        /// The outputs concerned.
        keys: Vec<Key>,
        /// One sentence, or several that name the keys.
        reason: Arc<str>,
    },
    /// Answer to a request.
    Answer {
        /// Names the request.
        request: u64,
        /// The answer.
        reply: Reply,
    },
    /// The scheduler closes, or cuts this client off.
    Closing {
        /// One sentence.
        reason: Arc<str>,
    },
}

/// A result, and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyInMemory {
    /// What the client calls it.
    pub key: Key,
    /// What the workers call it.
    pub task: TaskId,
    /// One worker that holds it.
    pub worker: WorkerId,
    /// Its size.
    pub nbytes: u64,
}

/// A question.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Query {
    /// Who holds each of these (of all, if absent).
    WhoHas(Option<Vec<Key>>),
    /// What each of these workers (names or addresses) holds (of all, if absent).
    HasWhat(Option<Vec<Arc<str>>>),
    /// The scheduler and its workers.
    Info,
    /// What each worker is working on.
    Processing(Option<Vec<Arc<str>>>),
    /// Totals since the start.
    Counters,
    /// Which of these the scheduler still knows, and how they stand.
    States(Vec<Key>),
    /// An answer once at least this many workers are there: [`Reply::Done`]. Client-side timeout.
    WorkersAtLeast(u32),
    /// What this client waits for and no worker may run, because of the workers or resources that it asks for.
    Unrunnable,
    /// Count of tasks of each family in each state (for progress).
    Families,
    /// An empty answer, after all that was sent before has been handled.
    Flush,
}

/// Printed names and keys of tasks.
pub type Names = Vec<(String, Key)>;

/// An answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Reply {
    /// Task name, its key and the addresses of its holders.
    WhoHas(Vec<(String, Key, Vec<Arc<str>>)>),
    /// Worker address and the names and keys it holds.
    HasWhat(Vec<(Arc<str>, Names)>),
    /// The scheduler and its workers.
    Info(SchedulerInfo),
    /// Worker address and the names of what it works on.
    Processing(Vec<(Arc<str>, Vec<String>)>),
    /// Totals.
    Counters(Counters),
    /// State by key.
    States(Vec<(Key, TaskStatus)>),
    /// Family, and number of tasks that are waiting, queued or ready, running, in memory, failed, released.
    Families(Vec<(Arc<str>, [u64; 6])>),
    /// By what they ask for.
    Unrunnable(Vec<Unrunnable>),
    /// Where to put each value: position in the request, task, workers.
    Scatter(Vec<(u32, TaskId, Vec<WorkerId>)>),
    /// Worker address and what the call gave there.
    Run(Vec<(Arc<str>, Result<Payload, Failure>)>),
    /// Done.
    Done,
    /// Not done.
    Failed {
        /// One sentence.
        reason: String,
    },
}

/// Tasks that are ready and that no worker may run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Unrunnable {
    /// The workers that they ask for.
    pub workers: Option<WorkerRestriction>,
    /// The resources that they ask for.
    pub resources: Resources,
    /// How many.
    pub tasks: u64,
    /// Name of one of them.
    pub example: String,
}

/// How a task stands, as clients see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TaskStatus {
    /// The scheduler does not know it.
    Unknown,
    /// Not done.
    Pending,
    /// In memory.
    InMemory,
    /// Failed.
    Failed,
    /// Nobody wants its result now.
    Released,
}

/// The scheduler and its workers.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SchedulerInfo {
    /// Which life.
    pub incarnation: Incarnation,
    /// Version of Kask.
    pub version: String,
    /// Each worker: how it is reached, what it said, its last measurements, bytes held, tasks assigned.
    pub workers: Vec<WorkerState>,
    /// Clients' names.
    pub clients: Vec<Arc<str>>,
    /// Number of tasks known.
    pub tasks: u64,
}

/// One worker, as the scheduler sees it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WorkerState {
    /// How it is reached.
    pub peer: Peer,
    /// What it said.
    pub info: WorkerInfo,
    /// Its last measurements.
    pub metrics: WorkerMetrics,
    /// Bytes of results held.
    pub held_bytes: u64,
    /// Results held.
    pub held: u64,
    /// Attempts assigned.
    pub processing: u64,
    /// How it stands for memory.
    pub pressure: Pressure,
}

/// Totals since the scheduler's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Tasks that were submitted (and needed).
    pub submitted: u64,
    /// Attempts that gave a result that was believed.
    pub finished: u64,
    /// Attempts that raised.
    pub failed: u64,
    /// Tasks that had a result, lost it, and were run again.
    pub recomputed: u64,
    /// Attempts ended by their worker's death.
    pub killed: u64,
    /// Attempts moved from one worker to another before they started.
    pub stolen: u64,
    /// Bytes of inputs that workers fetched from each other.
    pub moved_bytes: u64,
    /// Workers that left without being asked to.
    pub workers_lost: u64,
    /// Workers that died because their memory limit was exceeded.
    pub memory_deaths: u64,
    /// Attempts that workers gave back because they had no room for them.
    pub handed_back: u64,
    /// Values that workers took over from an earlier life.
    pub adopted: u64,
    /// Values that were moved away from workers without room.
    pub relieved: u64,
    /// Not a total: bytes that are on the workers' disks alone, by what each said last.
    pub spilled_bytes: u64,
}
