//! Whom to ask for which value.
//!
//! Every value that is wanted and not here has one [`Gather`]. It stands in the queue of one peer (the holder with the
//! least asked of it), is part of that peer's one request in flight, rests because all holders left are busy, or has just run
//! out of holders. Holders are tried once each, but for those that are busy: when no other is left they are asked again, with
//! longer and longer pauses, until the time that a silent peer is given has passed. Nothing here knows of attempts: `inputs` does, and
//! removes a gather when its value came or nobody waits.

use crate::api::Config;
use crate::inputs::named;
use hashbrown::HashMap;
use kask_types::{Tick, ValueId, WorkerId};
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
    /// Holders that have it and were busy; they are asked again after the others and a rest.
    busy: SmallVec<[WorkerId; 2]>,
    urgency: Priority,
    serial: u64,
    pub(crate) stage: Stage,
    /// How long the next rest is.
    pause_ms: u64,
    /// When busy holders may be asked again.
    rested_at: Tick,
    /// When a busy holder counts as one that did not deliver; set when the first was busy.
    give_up: Option<Tick>,
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
    /// All holders that are left were busy, and are asked again when this is over.
    Resting { until: Tick },
}

/// The first rest after a busy holder, and the longest.
const FIRST_REST_MS: u64 = 25;
const LONGEST_REST_MS: u64 = 1000;

#[derive(Debug, Default)]
struct PeerState {
    queue: BTreeSet<(Priority, u64, ValueId)>,
    queued_bytes: u64,
    request: Option<u64>,
    in_turn: bool,
}

#[derive(Debug)]
struct Request {
    peer: WorkerId,
    values: Vec<ValueId>,
    nbytes: u64,
    deadline: Tick,
}

/// A request to send.
#[derive(Debug)]
pub(crate) struct NewRequest {
    pub(crate) request: u64,
    pub(crate) peer: WorkerId,
    pub(crate) values: Vec<ValueId>,
}

#[derive(Debug, Default)]
pub(crate) struct Fetcher {
    gathers: HashMap<ValueId, Gather, FxBuildHasher>,
    peers: BTreeMap<WorkerId, PeerState>,
    requests: BTreeMap<u64, Request>,
    /// Peers that have something queued and no request in flight.
    turn: VecDeque<WorkerId>,
    /// When gathers have rested enough; those that do not rest any more are passed over.
    resting: BTreeSet<(Tick, ValueId)>,
    /// The sizes of all gathers: what will be here when all is.
    wanted_bytes: u64,
    /// Changes whenever a gather comes or goes.
    version: u64,
    /// The sizes of all requests.
    in_flight_bytes: u64,
    next_request: u64,
    next_serial: u64,
}

impl Fetcher {
    pub(crate) fn get(&self, value: ValueId) -> Option<&Gather> {
        self.gathers.get(&value)
    }

    pub(crate) fn get_mut(&mut self, value: ValueId) -> Option<&mut Gather> {
        self.gathers.get_mut(&value)
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
        let gather = self.gathers.entry(named(input)).or_insert_with(|| {
            self.next_serial += 1;
            self.wanted_bytes += input.nbytes;
            self.version += 1;
            Gather {
                nbytes: input.nbytes,
                interest: 0,
                acquire: false,
                waiters: Vec::new(),
                untried: SmallVec::new(),
                tried: SmallVec::new(),
                busy: SmallVec::new(),
                urgency,
                serial,
                stage: Stage::Idle,
                pause_ms: FIRST_REST_MS,
                rested_at: Tick(0),
                give_up: None,
            }
        });
        for &holder in &input.holders {
            let known = gather.untried.contains(&holder)
                || gather.busy.contains(&holder)
                || gather.tried.iter().any(|(tried, _)| *tried == holder)
                || matches!(gather.stage, Stage::Queued(peer) | Stage::InFlight { peer, .. } if peer == holder);
            if holder != me && !known {
                gather.untried.push(holder);
            }
        }
        let (stage, more_urgent) = (gather.stage, urgency < gather.urgency);
        match stage {
            Stage::Idle => self.choose_holder(named(input), me),
            Stage::Queued(_) if more_urgent => {
                self.dequeue(named(input));
                self.gathers.get_mut(&named(input)).expect("it was found or made above").urgency = urgency;
                self.enqueue(named(input));
            }
            Stage::Queued(_) | Stage::InFlight { .. } | Stage::Resting { .. } => {}
        }
        self.gathers.get_mut(&named(input)).expect("it was found or made above")
    }

    /// Queues an idle gather at the untried holder of which least is asked; ties go round by value and worker, so that
    /// not all workers ask the same one. Holders that are gone count as tried. Where only busy ones are left, it rests.
    fn choose_holder(&mut self, value: ValueId, me: WorkerId) {
        let gather = self.gathers.get_mut(&value).expect("callers name gathers that exist");
        debug_assert_eq!(gather.stage, Stage::Idle);
        let peers = &self.peers;
        let (there, gone): (SmallVec<[WorkerId; 2]>, SmallVec<[WorkerId; 2]>) =
            gather.untried.iter().copied().partition(|holder| peers.contains_key(holder));
        gather.tried.extend(gone.into_iter().map(|holder| (holder, FetchProblem::Unreachable)));
        gather.untried = there;
        let count = gather.untried.len();
        if count == 0 {
            if !gather.busy.is_empty() {
                gather.stage = Stage::Resting { until: gather.rested_at };
                self.resting.insert((gather.rested_at, value));
            }
            return;
        }
        let start = (value.task.slot as usize).wrapping_add(me.0 as usize) % count;
        let best = (0..count).map(|i| (start + i) % count).min_by_key(|&at| {
            let peer = &peers[&gather.untried[at]];
            peer.queued_bytes + peer.request.map_or(0, |request| self.requests[&request].nbytes)
        });
        let holder = gather.untried.remove(best.expect("there is at least one"));
        gather.stage = Stage::Queued(holder);
        self.enqueue(value);
    }

    fn enqueue(&mut self, value: ValueId) {
        let gather = self.gathers.get_mut(&value).expect("callers name gathers that exist");
        let Stage::Queued(holder) = gather.stage else { unreachable!("callers set the stage") };
        let peer = self.peers.get_mut(&holder).expect("only peers that are there are chosen");
        peer.queue.insert((gather.urgency, gather.serial, value));
        peer.queued_bytes += gather.nbytes;
        if peer.request.is_none() && !peer.in_turn {
            peer.in_turn = true;
            self.turn.push_back(holder);
        }
    }

    fn dequeue(&mut self, value: ValueId) {
        let gather = &self.gathers[&value];
        if let Stage::Queued(holder) = gather.stage {
            let peer = self.peers.get_mut(&holder).expect("a queue's peer is there");
            peer.queue.remove(&(gather.urgency, gather.serial, value));
            peer.queued_bytes -= gather.nbytes;
        }
    }

    /// Forgets a gather: its value came, or nobody wants it. What is in flight for it will be answered in vain.
    pub(crate) fn remove(&mut self, value: ValueId) -> Option<Gather> {
        if self.gathers.contains_key(&value) {
            self.dequeue(value);
        }
        let gather = self.gathers.remove(&value)?;
        self.wanted_bytes -= gather.nbytes;
        self.version += 1;
        Some(gather)
    }

    /// A holder did not deliver. The caller follows up with [`Fetcher::ask_next`].
    pub(crate) fn failed(&mut self, value: ValueId, problem: FetchProblem) {
        let gather = self.gathers.get_mut(&value).expect("callers name gathers that exist");
        if let Stage::Queued(peer) | Stage::InFlight { peer, .. } = gather.stage {
            gather.tried.push((peer, problem));
        }
        gather.stage = Stage::Idle;
    }

    /// A holder has the value and too much to do. It will be asked again, unless it has been busy for too long: then it has
    /// failed. The caller follows up with [`Fetcher::ask_next`].
    pub(crate) fn busy(&mut self, value: ValueId, now: Tick, config: &Config) {
        let gather = self.gathers.get_mut(&value).expect("callers name gathers that exist");
        let Stage::InFlight { peer, .. } = gather.stage else { unreachable!("only who is asked can be busy") };
        let give_up = *gather.give_up.get_or_insert(now.after_ms(patience_ms(config, gather.nbytes)));
        if give_up <= now {
            return self.failed(value, FetchProblem::Busy);
        }
        if gather.busy.is_empty() {
            gather.rested_at = now.after_ms(gather.pause_ms).min(give_up);
            gather.pause_ms = (2 * gather.pause_ms).min(LONGEST_REST_MS);
        }
        gather.busy.push(peer);
        gather.stage = Stage::Idle;
    }

    /// A value that has rested enough; it is idle now.
    pub(crate) fn rested(&mut self, now: Tick) -> Option<ValueId> {
        while let Some(&(until, value)) = self.resting.first().filter(|(until, _)| *until <= now) {
            self.resting.pop_first();
            if let Some(gather) = self.gathers.get_mut(&value)
                && gather.stage == (Stage::Resting { until })
            {
                gather.stage = Stage::Idle;
                gather.untried.extend(std::mem::take(&mut gather.busy));
                return Some(value);
            }
        }
        None
    }

    /// Turns to another holder of an idle gather; `false` when none is left.
    pub(crate) fn ask_next(&mut self, value: ValueId, me: WorkerId) -> bool {
        self.choose_holder(value, me);
        self.gathers[&value].stage != Stage::Idle
    }

    /// The next request to send, if a peer is free and not too many are asked at a time.
    pub(crate) fn next_request(&mut self, now: Tick, config: &Config) -> Option<NewRequest> {
        while self.requests.len() < config.fetch_concurrency.max(1)
            && (self.requests.is_empty() || self.in_flight_bytes < config.fetch_inflight_bytes)
        {
            let id = self.turn.pop_front()?;
            let Some(peer) = self.peers.get_mut(&id) else { continue };
            peer.in_turn = false;
            let (mut values, mut nbytes) = (Vec::new(), 0u64);
            while values.len() < config.fetch_batch_count.max(1)
                && (values.is_empty() || nbytes < config.fetch_batch_bytes)
                && let Some((_, _, value)) = peer.queue.pop_first()
            {
                let gather = self.gathers.get_mut(&value).expect("a queue names gathers that exist");
                gather.stage = Stage::InFlight { peer: id, request: self.next_request };
                peer.queued_bytes -= gather.nbytes;
                nbytes += gather.nbytes;
                values.push(value);
            }
            if values.is_empty() {
                continue;
            }
            let request = self.next_request;
            self.next_request += 1;
            peer.request = Some(request);
            self.in_flight_bytes += nbytes;
            let deadline = now.after_ms(patience_ms(config, nbytes));
            self.requests.insert(request, Request { peer: id, values: values.clone(), nbytes, deadline });
            return Some(NewRequest { request, peer: id, values });
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
    pub(crate) fn close_request(&mut self, request: u64, problem: FetchProblem) -> Vec<ValueId> {
        let Some(closed) = self.requests.remove(&request) else {
            return Vec::new();
        };
        self.in_flight_bytes -= closed.nbytes;
        if let Some(peer) = self.peers.get_mut(&closed.peer) {
            peer.request = None;
            if !peer.queue.is_empty() && !peer.in_turn {
                peer.in_turn = true;
                self.turn.push_back(closed.peer);
            }
        }
        let mut left = closed.values;
        left.retain(|&value| self.is_in_flight(value, request));
        for &value in &left {
            self.failed(value, problem);
        }
        left
    }

    pub(crate) fn is_in_flight(&self, value: ValueId, request: u64) -> bool {
        self.gathers
            .get(&value)
            .is_some_and(|gather| matches!(gather.stage, Stage::InFlight { request: asked, .. } if asked == request))
    }

    /// The peer is gone: gives all that was queued there or asked of it, idle. `None` when it was not known.
    pub(crate) fn peer_left(&mut self, peer: WorkerId) -> Option<Vec<ValueId>> {
        let state = self.peers.remove(&peer)?;
        self.turn.retain(|&id| id != peer);
        let mut left = match state.request {
            Some(request) => self.close_request(request, FetchProblem::Unreachable),
            None => Vec::new(),
        };
        for (_, _, value) in state.queue {
            self.failed(value, FetchProblem::Unreachable);
            left.push(value);
        }
        Some(left)
    }

    /// A request whose peer has been silent for too long.
    pub(crate) fn overdue(&self, now: Tick) -> Option<u64> {
        self.requests.iter().find(|(_, request)| request.deadline <= now).map(|(&id, _)| id)
    }

    pub(crate) fn next_deadline(&self) -> Option<Tick> {
        let rested = self.resting.first().map(|&(until, _)| until);
        self.requests.values().map(|request| request.deadline).chain(rested).min()
    }

    /// Forgets all wishes and requests.
    pub(crate) fn clear(&mut self) {
        self.gathers.clear();
        self.version += 1;
        self.requests.clear();
        self.turn.clear();
        self.resting.clear();
        (self.wanted_bytes, self.in_flight_bytes) = (0, 0);
        for peer in self.peers.values_mut() {
            *peer = PeerState::default();
        }
    }

    /// How many values are wanted or in flight.
    pub(crate) fn gathers(&self) -> usize {
        self.gathers.len()
    }

    pub(crate) fn version(&self) -> u64 {
        self.version
    }

    /// The sizes of all of them.
    pub(crate) fn wanted_bytes(&self) -> u64 {
        self.wanted_bytes
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
            for (urgency, serial, value) in &peer.queue {
                let gather = self.gathers.get(value).expect("a queue names gathers that exist");
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
        let in_flight: u64 = self.requests.values().map(|request| request.nbytes).sum();
        assert_eq!(in_flight, self.in_flight_bytes, "bytes in flight");
        assert_eq!(self.gathers.values().map(|gather| gather.nbytes).sum::<u64>(), self.wanted_bytes, "bytes wanted");
        for (id, request) in &self.requests {
            assert_eq!(self.peers[&request.peer].request, Some(*id), "a peer has one request at a time");
        }
        let mut gathers: Vec<_> = self.gathers.iter().collect();
        gathers.sort_by_key(|(value, _)| **value);
        for (value, gather) in gathers {
            match gather.stage {
                Stage::Idle => panic!("{value:?} is wanted and nobody is asked"),
                Stage::Queued(_) => {
                    queued -= 1;
                    assert!(gather.interest > 0 || gather.acquire, "{value:?} is queued and nobody wants it");
                }
                Stage::InFlight { request, .. } => assert!(self.requests[&request].values.contains(value)),
                Stage::Resting { until } => {
                    assert!(gather.interest > 0 || gather.acquire, "{value:?} rests and nobody wants it");
                    assert!(self.resting.contains(&(until, *value)), "{value:?} rests for ever");
                }
            }
        }
        assert_eq!(queued, 0, "every queued gather stands in one queue");
    }
}

fn patience_ms(config: &Config, nbytes: u64) -> u64 {
    config.fetch_timeout_ms.saturating_add(nbytes >> 10)
}
