//! What is going to happen, in order of virtual time; and the links, each with its own speed, none of which
//! overtakes itself.

use crate::rng::Rng;
use kask_types::{Attempt, Certificate, ClientId, Key, TaskId, Tick, ValueId, WorkerId};
use kask_wire::codec::Frame;
use kask_wire::worker::FetchProblem;
use std::collections::BTreeMap;

/// Index of a worker process that ever lived; its `WorkerId` has the same number.
pub(crate) type NodeIx = usize;

/// Something that will happen.
#[derive(Clone, Debug)]
pub(crate) enum Happening {
    /// The scheduler's timer.
    SchedulerTick,
    /// A message of a worker arrives at the scheduler.
    WorkerSays { worker: WorkerId, frame: Frame },
    /// The scheduler's end of a worker's connection breaks.
    WorkerGone { worker: WorkerId, certificate: Option<Certificate> },
    /// A message of a client arrives at the scheduler.
    ClientSays { client: ClientId, frame: Frame },
    /// The scheduler's end of a client's connection breaks.
    ClientGone { client: ClientId },
    /// A message of the supervisor arrives at the scheduler.
    SupervisorSays { frame: Frame },
    /// A message of the scheduler arrives at the supervisor.
    SupervisorHears { frame: Frame },
    /// A message of the scheduler arrives at a client.
    ClientHears { client: ClientId, frame: Frame },
    /// A worker answered a client's request for a value.
    ClientGets { client: ClientId, key: Key, worker: WorkerId, got: Got },
    /// Something happens at a worker process (or waits until it thaws).
    AtNode { node: NodeIx, what: NodeHappening },
    /// A client does something.
    Step,
    /// Faults have a chance to happen.
    Fault,
    /// A worker process starts in this slot, if none is there.
    NodeStarts { slot: u32 },
    /// A frozen process goes on.
    Thaw { node: NodeIx },
}

/// Something that will happen at a worker process.
#[derive(Clone, Debug)]
pub(crate) enum NodeHappening {
    /// Its core's timer.
    Tick,
    /// A message of the scheduler arrives, the so-manieth to this process.
    Hears { number: u64, frame: Frame },
    /// Its connection to the scheduler breaks.
    Cut,
    /// A peer asks for values.
    Asked { by: NodeIx, request: u64, values: Vec<ValueId> },
    /// A peer answers.
    Answered { by: WorkerId, request: u64, results: Vec<(ValueId, Result<u64, FetchProblem>)>, last: bool },
    /// A client asks for a value.
    ClientAsks { client: ClientId, key: Key, task: TaskId },
    /// A client brings a value.
    Put { task: TaskId, value: u64 },
    /// A call ends.
    CallEnds { task: TaskId, attempt: Attempt },
    /// An attempt was taken back from the runners before it started.
    Recalled { task: TaskId, attempt: Attempt },
    /// A value has been written to disk, or not.
    Written { task: TaskId, job: u64 },
    /// A value has been read from disk, or not.
    Read { task: TaskId, job: u64 },
    /// Somebody found what is on disk damaged.
    Damaged { task: TaskId },
    /// The memory that the process takes is measured.
    Measured,
    /// A running call leaves its runner.
    Secedes { task: TaskId, attempt: Attempt },
    /// It comes back.
    Rejoins { task: TaskId, attempt: Attempt },
}

/// One end of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Place {
    Scheduler,
    Supervisor,
    Node(NodeIx),
    Client(ClientId),
    /// Where a worker serves data: a connection of its own.
    Data(NodeIx),
    /// What a worker spills to.
    Disk(NodeIx),
}

/// What a client gets that asks a worker for a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Got {
    Here(u64),
    NotThere,
    Busy,
    Unreachable,
}

#[derive(Clone, Copy, Debug)]
struct Link {
    busy_until: Tick,
    slowness: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Network {
    pub(crate) now: Tick,
    events: BTreeMap<(Tick, u64), Happening>,
    next_number: u64,
    links: BTreeMap<(Place, Place), Link>,
    pub(crate) latency_us: (u64, u64),
    pub(crate) slow_link: u32,
}

impl Network {
    pub(crate) fn at(&mut self, when: Tick, what: Happening) {
        self.events.insert((when.max(self.now), self.next_number), what);
        self.next_number += 1;
    }

    pub(crate) fn after_us(&mut self, us: u64, what: Happening) {
        self.at(self.now + us * 1000, what);
    }

    /// Sends along a link; what was sent earlier along it arrives earlier.
    pub(crate) fn send(&mut self, rng: &mut Rng, from: Place, to: Place, what: Happening) {
        let slow_link = self.slow_link;
        let link = self.links.entry((from, to)).or_insert_with(|| Link {
            busy_until: Tick(0),
            slowness: if rng.chance(slow_link) { rng.between(2, 20) } else { 1 },
        });
        let (least, most) = self.latency_us;
        let delay_ns = rng.between(least * 1000, most * 1000) * link.slowness;
        let arrival = (self.now + delay_ns).max(link.busy_until + 1);
        link.busy_until = arrival;
        self.at(arrival, what);
    }

    /// Lets time pass up to the next happening.
    pub(crate) fn next(&mut self) -> Option<(u64, Happening)> {
        let ((when, number), what) = self.events.pop_first()?;
        self.now = when;
        Some((number, what))
    }

    /// Links are as fast as they should be from now on.
    pub(crate) fn heal(&mut self) {
        self.slow_link = 0;
        self.links.values_mut().for_each(|link| link.slowness = 1);
    }
}
