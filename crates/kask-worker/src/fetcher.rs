//! Whom to ask for which value.
//!
//! Every value that is wanted and not here has one [`Gather`]. It stands in the queue of one peer (the holder with the
//! least asked of it), is part of that peer's one request in flight, or has just run out of holders. Holders are tried once
//! each. Nothing here knows of attempts: `inputs` does, and removes a gather when its value came or nobody waits.

use crate::api::Config;
use hashbrown::HashMap;
use kask_types::{TaskId, Tick, WorkerId};
use kask_wire::worker::{FetchProblem, Input, Priority};
use rustc_hash::FxBuildHasher;
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// A value that is wanted and not here.
#[derive(Debug)]
pub(crate) struct Gather {
    nbytes: u64,
    /// How often queued attempts name it.
    pub(crate) interest: u32,
    /// The scheduler asked for a copy.
    pub(crate) acquire: bool,
    /// Slot and serial number of attempts that wait, as often as they name it; some may be gone.
    pub(crate) waiters: Vec<(u32, u64)>,
    untried: SmallVec<[WorkerId; 2]>,
    pub(crate) tried: SmallVec<[(WorkerId, FetchProblem); 2]>,
    urgency: Priority,
    serial: u64,
    pub(crate) stage: Stage,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// No holder is left, or none has been chosen yet.
    Idle,
    /// Stands in this peer's queue.
    Queued(WorkerId),
    /// Asked for.
    InFlight { peer: WorkerId, request: u64 },
}

#[derive(Debug, Default)]
struct PeerState {
    queue: BTreeSet<(Priority, u64, TaskId)>,
    queued_bytes: u64,
    request: Option<u64>,
    in_turn: bool,
}

#[derive(Debug)]
struct Request {
    peer: WorkerId,
    tasks: Vec<TaskId>,
    nbytes: u64,
    deadline: Tick,
}

/// A request to send.
#[derive(Debug)]
pub(crate) struct NewRequest {
    pub(crate) request: u64,
    pub(crate) peer: WorkerId,
    pub(crate) tasks: Vec<TaskId>,
}

#[derive(Debug, Default)]
pub(crate) struct Fetcher {
    gathers: HashMap<TaskId, Gather, FxBuildHasher>,
    peers: BTreeMap<WorkerId, PeerState>,
    requests: BTreeMap<u64, Request>,
    /// Peers that have something queued and no request in flight.
    turn: VecDeque<WorkerId>,
    next_request: u64,
    next_serial: u64,
}

impl Fetcher {
    pub(crate) fn get(&self, task: TaskId) -> Option<&Gather> {
        self.gathers.get(&task)
    }

    pub(crate) fn get_mut(&mut self, task: TaskId) -> Option<&mut Gather> {
        self.gathers.get_mut(&task)
    }

    pub(crate) fn peer_joined(&mut self, peer: WorkerId) {
        self.peers.entry(peer).or_default();
    }

    /// Whether nothing is wanted and nothing is in flight.
    pub(crate) fn is_idle(&self) -> bool {
        self.gathers.is_empty() && self.requests.is_empty()
    }

    /// Adds a wish for a value; new holders are added to those known. The caller looks at `stage` afterwards: `Idle`
    /// means that there is nobody to ask.
    pub(crate) fn want(&mut self, input: &Input, urgency: Priority, me: WorkerId) -> &mut Gather {
        let serial = self.next_serial;
        let gather = self.gathers.entry(input.task).or_insert_with(|| {
            self.next_serial += 1;
            Gather {
                nbytes: input.nbytes,
                interest: 0,
                acquire: false,
                waiters: Vec::new(),
                untried: SmallVec::new(),
                tried: SmallVec::new(),
                urgency,
                serial,
                stage: Stage::Idle,
            }
        });
        for &holder in &input.holders {
            let known = gather.untried.contains(&holder)
                || gather.tried.iter().any(|(tried, _)| *tried == holder)
                || matches!(gather.stage, Stage::Queued(peer) | Stage::InFlight { peer, .. } if peer == holder);
            if holder != me && !known {
                gather.untried.push(holder);
            }
        }
        let (stage, more_urgent) = (gather.stage, urgency < gather.urgency);
        match stage {
            Stage::Idle => self.choose_holder(input.task, me),
            Stage::Queued(_) if more_urgent => {
                self.dequeue(input.task);
                self.gathers.get_mut(&input.task).expect("it was found or made above").urgency = urgency;
                self.enqueue(input.task);
            }
            Stage::Queued(_) | Stage::InFlight { .. } => {}
        }
        self.gathers.get_mut(&input.task).expect("it was found or made above")
    }

    /// Queues an idle gather at the untried holder of which least is asked; ties go round by task and worker, so that
    /// not all workers ask the same one. Holders that are gone count as tried.
    fn choose_holder(&mut self, task: TaskId, me: WorkerId) {
        let gather = self.gathers.get_mut(&task).expect("callers name gathers that exist");
        debug_assert_eq!(gather.stage, Stage::Idle);
        let peers = &self.peers;
        let (there, gone): (SmallVec<[WorkerId; 2]>, SmallVec<[WorkerId; 2]>) =
            gather.untried.iter().copied().partition(|holder| peers.contains_key(holder));
        gather.tried.extend(gone.into_iter().map(|holder| (holder, FetchProblem::Unreachable)));
        gather.untried = there;
        let count = gather.untried.len();
        if count == 0 {
            return;
        }
        let start = (task.slot as usize).wrapping_add(me.0 as usize) % count;
        let best = (0..count).map(|i| (start + i) % count).min_by_key(|&at| {
            let peer = &peers[&gather.untried[at]];
            peer.queued_bytes + peer.request.map_or(0, |request| self.requests[&request].nbytes)
        });
        let holder = gather.untried.remove(best.expect("there is at least one"));
        gather.stage = Stage::Queued(holder);
        self.enqueue(task);
    }

    fn enqueue(&mut self, task: TaskId) {
        let gather = self.gathers.get_mut(&task).expect("callers name gathers that exist");
        let Stage::Queued(holder) = gather.stage else { unreachable!("callers set the stage") };
        let peer = self.peers.get_mut(&holder).expect("only peers that are there are chosen");
        peer.queue.insert((gather.urgency, gather.serial, task));
        peer.queued_bytes += gather.nbytes;
        if peer.request.is_none() && !peer.in_turn {
            peer.in_turn = true;
            self.turn.push_back(holder);
        }
    }

    fn dequeue(&mut self, task: TaskId) {
        let gather = &self.gathers[&task];
        if let Stage::Queued(holder) = gather.stage {
            let peer = self.peers.get_mut(&holder).expect("a queue's peer is there");
            peer.queue.remove(&(gather.urgency, gather.serial, task));
            peer.queued_bytes -= gather.nbytes;
        }
    }

    /// Forgets a gather: its value came, or nobody wants it. What is in flight for it will be answered in vain.
    pub(crate) fn remove(&mut self, task: TaskId) -> Option<Gather> {
        if self.gathers.contains_key(&task) {
            self.dequeue(task);
        }
        self.gathers.remove(&task)
    }

    /// A holder did not deliver. The caller follows up with [`Fetcher::ask_next`].
    pub(crate) fn failed(&mut self, task: TaskId, problem: FetchProblem) {
        let gather = self.gathers.get_mut(&task).expect("callers name gathers that exist");
        if let Stage::Queued(peer) | Stage::InFlight { peer, .. } = gather.stage {
            gather.tried.push((peer, problem));
        }
        gather.stage = Stage::Idle;
    }

    /// Turns to another holder of an idle gather; `false` when none is left.
    pub(crate) fn ask_next(&mut self, task: TaskId, me: WorkerId) -> bool {
        self.choose_holder(task, me);
        self.gathers[&task].stage != Stage::Idle
    }

    /// The next request to send, if a peer is free and not too many are asked at a time.
    pub(crate) fn next_request(&mut self, now: Tick, config: &Config) -> Option<NewRequest> {
        while self.requests.len() < config.fetch_concurrency.max(1) {
            let id = self.turn.pop_front()?;
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            peer.in_turn = false;
            let (mut tasks, mut nbytes) = (Vec::new(), 0u64);
            while tasks.len() < config.fetch_batch_count.max(1)
                && (tasks.is_empty() || nbytes < config.fetch_batch_bytes)
                && let Some((_, _, task)) = peer.queue.pop_first()
            {
                let gather = self.gathers.get_mut(&task).expect("a queue names gathers that exist");
                gather.stage = Stage::InFlight { peer: id, request: self.next_request };
                peer.queued_bytes -= gather.nbytes;
                nbytes += gather.nbytes;
                tasks.push(task);
            }
            if tasks.is_empty() {
                continue;
            }
            let request = self.next_request;
            self.next_request += 1;
            peer.request = Some(request);
            let deadline = now.after_ms(patience_ms(config, nbytes));
            self.requests.insert(request, Request { peer: id, tasks: tasks.clone(), nbytes, deadline });
            return Some(NewRequest { request, peer: id, tasks });
        }
        None
    }

    /// More came: the peer gets more time.
    pub(crate) fn progressed(&mut self, request: u64, now: Tick, config: &Config) {
        if let Some(request) = self.requests.get_mut(&request) {
            request.deadline = now.after_ms(patience_ms(config, request.nbytes));
        }
    }

    /// Closes a request; what it asked for and has not been answered fails and is given back, idle.
    pub(crate) fn close_request(&mut self, request: u64, problem: FetchProblem) -> Vec<TaskId> {
        let Some(closed) = self.requests.remove(&request) else {
            return Vec::new();
        };
        if let Some(peer) = self.peers.get_mut(&closed.peer) {
            peer.request = None;
            if !peer.queue.is_empty() && !peer.in_turn {
                peer.in_turn = true;
                self.turn.push_back(closed.peer);
            }
        }
        let mut left = closed.tasks;
        left.retain(|&task| self.is_in_flight(task, request));
        for &task in &left {
            self.failed(task, problem);
        }
        left
    }

    pub(crate) fn is_in_flight(&self, task: TaskId, request: u64) -> bool {
        self.gathers
            .get(&task)
            .is_some_and(|gather| matches!(gather.stage, Stage::InFlight { request: asked, .. } if asked == request))
    }

    /// The peer is gone: gives all that was queued there or asked of it, idle. `None` when it was not known.
    pub(crate) fn peer_left(&mut self, peer: WorkerId) -> Option<Vec<TaskId>> {
        let state = self.peers.remove(&peer)?;
        self.turn.retain(|&id| id != peer);
        let mut left = match state.request {
            Some(request) => self.close_request(request, FetchProblem::Unreachable),
            None => Vec::new(),
        };
        for (_, _, task) in state.queue {
            self.failed(task, FetchProblem::Unreachable);
            left.push(task);
        }
        Some(left)
    }

    /// A request whose peer has been silent for too long.
    pub(crate) fn overdue(&self, now: Tick) -> Option<u64> {
        self.requests.iter().find(|(_, request)| request.deadline <= now).map(|(&id, _)| id)
    }

    pub(crate) fn next_deadline(&self) -> Option<Tick> {
        self.requests.values().map(|request| request.deadline).min()
    }

    /// Forgets all wishes and requests.
    pub(crate) fn clear(&mut self) {
        self.gathers.clear();
        self.requests.clear();
        self.turn.clear();
        for peer in self.peers.values_mut() {
            *peer = PeerState::default();
        }
    }

    /// How many values are wanted or in flight.
    pub(crate) fn gathers(&self) -> usize {
        self.gathers.len()
    }

    /// How often queued attempts name values that are not here.
    pub(crate) fn total_interest(&self) -> u64 {
        self.gathers.values().map(|gather| u64::from(gather.interest)).sum()
    }

    /// Panics where queues, requests and gathers disagree.
    pub(crate) fn check(&self) {
        let mut queued = 0;
        for (id, peer) in &self.peers {
            let mut nbytes = 0;
            for (urgency, serial, task) in &peer.queue {
                let gather = self.gathers.get(task).expect("a queue names gathers that exist");
                assert_eq!((gather.stage, gather.urgency, gather.serial), (Stage::Queued(*id), *urgency, *serial));
                nbytes += gather.nbytes;
            }
            queued += peer.queue.len();
            assert_eq!(nbytes, peer.queued_bytes, "bytes queued at {id:?}");
            assert_eq!(peer.in_turn, self.turn.contains(id), "{id:?} in turn");
            assert!(peer.queue.is_empty() || peer.request.is_some() || peer.in_turn, "{id:?} is forgotten");
            if let Some(request) = peer.request {
                assert_eq!(self.requests[&request].peer, *id);
            }
        }
        for (id, request) in &self.requests {
            assert_eq!(self.peers[&request.peer].request, Some(*id), "a peer has one request at a time");
        }
        let mut gathers: Vec<_> = self.gathers.iter().collect();
        gathers.sort_by_key(|(task, _)| **task);
        for (task, gather) in gathers {
            match gather.stage {
                Stage::Idle => panic!("{task:?} is wanted and nobody is asked"),
                Stage::Queued(_) => {
                    queued -= 1;
                    assert!(gather.interest > 0 || gather.acquire, "{task:?} is queued and nobody wants it");
                }
                Stage::InFlight { request, .. } => assert!(self.requests[&request].tasks.contains(task)),
            }
        }
        assert_eq!(queued, 0, "every queued gather stands in one queue");
    }
}

fn patience_ms(config: &Config, nbytes: u64) -> u64 {
    config.fetch_timeout_ms.saturating_add(nbytes >> 10)
}
