//! The loop: the next happening is handled, what follows from it is sent on its way.
//!
//! Nothing here draws on anything but the seed. Every message is encoded when it is sent and decoded when it arrives.

use crate::clients::SimClient;
use crate::model::Model;
use crate::network::{Happening, Network, NodeHappening, Place};
use crate::node::{Life, Node};
use crate::rng::{Rng, mix};
use crate::swarm::Plan;
use crate::{Options, Planted, Report};
use kask_graph::Graph;
use kask_scheduler::{Action, Event, Scheduler, SupervisorId};
use kask_types::{Attempt, ClientId, DeathCause, Failure, Incarnation, Key, TaskId, Tick, WorkerId};
use kask_wire::codec::{Frame, decode, encode};
use kask_wire::{SchedulerToClient, SchedulerToWorker, WorkerToScheduler};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub(crate) const SUPERVISOR: SupervisorId = SupervisorId(0);

/// Why a run failed, in a sentence.
pub(crate) type Outcome<T> = Result<T, String>;

pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) plan: Plan,
    pub(crate) options: Options,
    pub(crate) network: Network,
    pub(crate) scheduler: Scheduler,
    scheduler_tick_at: Option<Tick>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) clients: BTreeMap<ClientId, SimClient>,
    pub(crate) next_client: u32,
    pub(crate) model: Model,
    /// How often each task has misbehaved.
    pub(crate) misbehaved: BTreeMap<Key, u32>,
    /// Tasks whose call ended with a value at least once.
    pub(crate) completed: BTreeSet<Key>,
    /// Keys that must be computed though nobody waits.
    pub(crate) detached: BTreeSet<Key>,
    /// Where scattered values were put.
    pub(crate) scattered: BTreeMap<Key, BTreeSet<WorkerId>>,
    pub(crate) scattered_tasks: BTreeMap<TaskId, Key>,
    /// Graphs that anybody may submit again, with what they give.
    pub(crate) known_graphs: Vec<(Graph, Vec<Key>)>,
    pub(crate) steps_left: u32,
    pub(crate) faults_on: bool,
    /// Connections of the scheduler that are open.
    pub(crate) connected: BTreeSet<WorkerId>,
    pub(crate) report: Report,
    pub(crate) planted_left: u32,
    held_back: Option<Frame>,
    tell: bool,
    told: VecDeque<String>,
}

impl World {
    pub(crate) fn new(seed: u64, options: Options, tell: bool) -> World {
        let mut rng = Rng::new(seed);
        let plan = Plan::draw(&mut rng);
        let mut network = Network::default();
        network.latency_us = plan.latency_us;
        network.slow_link = plan.rates.slow_link;
        let incarnation = Incarnation(rng.wide());
        let mut model = Model::new(plan.scheduler.allowed_deaths, plan.scheduler.allowed_fetch_failures);
        model.memory_may_be_short = plan.has_full_disks();
        World {
            scheduler: Scheduler::new(plan.scheduler.clone(), incarnation, "simulated"),
            steps_left: plan.steps,
            planted_left: 1 + rng.below(3) as u32,
            rng,
            plan,
            options,
            network,
            scheduler_tick_at: None,
            nodes: Vec::new(),
            clients: BTreeMap::new(),
            next_client: 0,
            model,
            misbehaved: BTreeMap::new(),
            completed: BTreeSet::new(),
            detached: BTreeSet::new(),
            scattered: BTreeMap::new(),
            scattered_tasks: BTreeMap::new(),
            known_graphs: Vec::new(),
            faults_on: true,
            connected: BTreeSet::new(),
            report: Report::default(),
            held_back: None,
            tell,
            told: VecDeque::new(),
        }
    }

    /// The last events, if they were being told.
    pub(crate) fn told(&self) -> Vec<String> {
        self.told.iter().cloned().collect()
    }

    pub(crate) fn note(&mut self, line: impl FnOnce(&World) -> String) {
        if !self.tell {
            return;
        }
        let line = format!("{:>12.3} ms  {}", self.network.now.0 as f64 / 1e6, line(self));
        if self.options.trace {
            eprintln!("{line}");
        }
        self.told.push_back(line);
        if self.told.len() > self.options.remember {
            self.told.pop_front();
        }
    }

    pub(crate) fn run(&mut self) -> Outcome<Report> {
        self.note(|world| format!("{:?}", world.plan));
        self.start_up()?;
        while self.steps_left > 0 {
            self.turn()?;
        }
        self.heal();
        self.settle("after the faults")?;
        self.probe()?;
        self.settle("after new work")?;
        self.compare_books()?;
        self.let_go()?;
        self.report.virtual_ms = self.network.now.0 / 1_000_000;
        Ok(self.report)
    }

    fn start_up(&mut self) -> Outcome<()> {
        if self.plan.supervisor {
            self.supervisor_registers();
        }
        for slot in 0..self.plan.workers {
            let delay = self.rng.below(2_000);
            self.network.after_us(delay, Happening::NodeStarts { slot });
        }
        self.client_joins(true);
        for _ in 0..self.plan.clients {
            self.client_joins(false);
        }
        self.network.after_us(1_000, Happening::Step);
        self.network.after_us(5_000, Happening::Fault);
        Ok(())
    }

    /// Handles the next happening.
    pub(crate) fn turn(&mut self) -> Outcome<()> {
        let (number, what) = self.network.next().ok_or("nothing is going to happen any more")?;
        self.report.events += 1;
        self.report.digest = mix(self.report.digest ^ self.network.now.0.wrapping_mul(31).wrapping_add(number));
        match what {
            Happening::SchedulerTick => self.scheduler_tick(),
            Happening::WorkerSays { worker, frame } => self.worker_says(worker, frame),
            Happening::WorkerGone { worker, certificate } => {
                self.note(|_| format!("{worker:?} is gone: {certificate:?}"));
                self.connected.remove(&worker);
                self.nodes[worker.0 as usize].believed.clear();
                if certificate.as_ref().is_none_or(|known| known.cause != DeathCause::Retired) {
                    self.count_death(worker);
                }
                self.scheduler_hears(Event::WorkerLost { worker, certificate })
            }
            Happening::ClientSays { client, frame } => {
                let message = arrive(frame)?;
                self.note(|_| format!("{client:?} -> scheduler {}", short(&message)));
                self.note_deeds(&message);
                self.scheduler_hears(Event::ClientMessage { client, message })
            }
            Happening::ClientGone { client } => {
                self.note(|_| format!("{client:?} is gone"));
                self.scheduler_hears(Event::ClientLost { client })
            }
            Happening::SupervisorSays { frame } => {
                let message = arrive(frame)?;
                self.note(|_| format!("supervisor -> scheduler {}", short(&message)));
                self.scheduler_hears(Event::SupervisorMessage { supervisor: SUPERVISOR, message })
            }
            Happening::SupervisorHears { frame } => self.supervisor_hears(frame),
            Happening::ClientHears { client, frame } => {
                let message: SchedulerToClient = arrive(frame)?;
                self.note(|_| format!("scheduler -> {client:?} {}", short(&message)));
                self.client_hears(client, message)
            }
            Happening::ClientGets { client, key, worker, got } => self.client_gets(client, key, worker, got),
            Happening::AtNode { node, what } => self.at_node(node, what),
            Happening::Step => self.step(),
            Happening::Fault => self.fault(),
            Happening::NodeStarts { slot } => self.node_starts(slot),
            Happening::Thaw { node } => self.thaw(node),
        }
    }

    fn scheduler_tick(&mut self) -> Outcome<()> {
        if self.scheduler_tick_at.is_some_and(|at| at <= self.network.now) {
            self.scheduler_tick_at = None;
            return self.scheduler_hears(Event::Tick);
        }
        Ok(())
    }

    fn worker_says(&mut self, worker: WorkerId, frame: Frame) -> Outcome<()> {
        if self.options.planted == Some(Planted::LostFinished) {
            let message: WorkerToScheduler = arrive(frame.clone())?;
            if matches!(message, WorkerToScheduler::Finished(_)) && self.take_planted() {
                return Ok(());
            }
        }
        if !self.connected.contains(&worker) && !self.rng.chance(200) {
            // As a rule, what comes after the end of a connection is not even read.
            return Ok(());
        }
        let message: WorkerToScheduler = arrive(frame)?;
        self.note(|_| format!("{worker:?} -> scheduler {}", short(&message)));
        let is_known = self.connected.contains(&worker);
        let (over, gave) = self.tick_off(worker, &message);
        let before = self.scheduler.counters();
        self.scheduler_hears(Event::WorkerMessage { worker, message })?;
        let counters = self.scheduler.counters();
        let believed = counters.finished - before.finished;
        if is_known && self.connected.contains(&worker) && (believed > gave || believed + over < gave) {
            return Err(format!("of {gave} results of attempts that were under way, {believed} were believed"));
        }
        self.report.handed_back += counters.handed_back - before.handed_back;
        Ok(())
    }

    /// Which attempts the scheduler now knows to be over. Gives how many were under way, as far as the scheduler knew,
    /// and ended with a result; and how many of these an earlier one of the same message may have ended.
    fn tick_off(&mut self, worker: WorkerId, message: &WorkerToScheduler) -> (u64, u64) {
        let node = &mut self.nodes[worker.0 as usize];
        let mut over = |of: &(TaskId, Attempt)| {
            node.assigned.remove(of);
            u64::from(node.believed.remove(of))
        };
        match message {
            WorkerToScheduler::Finished(list) => {
                let gave = list.iter().map(|one| over(&(one.task, one.attempt))).sum();
                // The first result may end the graph that the others are for.
                return (if list.len() > 1 { gave } else { 0 }, gave);
            }
            WorkerToScheduler::Failed { task, attempt, failure, .. } => {
                over(&(*task, *attempt));
                self.model.memory_was_short |= matches!(failure, Failure::OutOfMemory { .. });
            }
            WorkerToScheduler::InputsMissing { task, attempt, .. } => {
                over(&(*task, *attempt));
            }
            WorkerToScheduler::StealAnswer { given: attempts, .. } | WorkerToScheduler::HandedBack(attempts) => {
                attempts.iter().for_each(|of| {
                    over(of);
                });
            }
            WorkerToScheduler::Pressure(_)
            | WorkerToScheduler::Adopted(_)
            | WorkerToScheduler::Register(_)
            | WorkerToScheduler::Heartbeat(_)
            | WorkerToScheduler::Lingering(_)
            | WorkerToScheduler::Holding(_)
            | WorkerToScheduler::Missing(_)
            | WorkerToScheduler::Seceded(..)
            | WorkerToScheduler::Rejoined(..)
            | WorkerToScheduler::RunAnswer { .. }
            | WorkerToScheduler::Closing(_) => {}
        }
        (0, 0)
    }

    /// Whether it is time for the planted bug; true once.
    pub(crate) fn take_planted(&mut self) -> bool {
        self.planted_left = self.planted_left.saturating_sub(1);
        self.planted_left == 0 && {
            self.planted_left = u32::MAX;
            self.note(|_| "the planted bug strikes".to_owned());
            true
        }
    }

    pub(crate) fn scheduler_hears(&mut self, event: Event) -> Outcome<()> {
        self.scheduler.handle(self.network.now, event);
        self.scheduler.check();
        while let Some(action) = self.scheduler.poll_action() {
            self.obey_scheduler(action)?;
        }
        let next = self.scheduler.next_deadline();
        if let Some(next) = next
            && self.scheduler_tick_at.is_none_or(|at| next < at)
        {
            self.scheduler_tick_at = Some(next.max(self.network.now));
            self.network.at(next, Happening::SchedulerTick);
        }
        Ok(())
    }

    fn obey_scheduler(&mut self, action: Action) -> Outcome<()> {
        match action {
            Action::ToClient { client, message } => {
                let what = Happening::ClientHears { client, frame: depart(&message) };
                self.network.send(&mut self.rng, Place::Scheduler, Place::Client(client), what);
            }
            Action::ToWorker { worker, message } => self.scheduler_says(worker, message)?,
            Action::ToSupervisor { supervisor: _, message } => {
                let what = Happening::SupervisorHears { frame: depart(&message) };
                self.network.send(&mut self.rng, Place::Scheduler, Place::Supervisor, what);
            }
            Action::DisconnectClient { client, reason } => {
                if self.clients.contains_key(&client) {
                    return Err(format!("the scheduler cut off {client:?}, which did nothing wrong: {reason}"));
                }
            }
            Action::DisconnectWorker { worker, reason } => self.cut_off(worker, &reason)?,
            Action::Shutdown => return Err("the scheduler closes and nobody asked it to".to_owned()),
        }
        Ok(())
    }

    fn cut_off(&mut self, worker: WorkerId, reason: &str) -> Outcome<()> {
        self.note(|_| format!("scheduler cuts {worker:?} off: {reason}"));
        let node = &self.nodes[worker.0 as usize];
        // The scheduler may not have heard yet of the death of the one before it in the slot.
        let is_namesake = reason.contains("there is a worker called");
        let excused = node.life != Life::Runs || node.was_silent || node.told_to_close || node.cut || is_namesake;
        if !excused {
            return Err(format!("the scheduler cut off {worker:?}, which did nothing wrong: {reason}"));
        }
        self.connected.remove(&worker);
        self.nodes[worker.0 as usize].believed.clear();
        self.count_death(worker);
        let what = Happening::AtNode { node: worker.0 as usize, what: NodeHappening::Cut };
        self.network.send(&mut self.rng, Place::Scheduler, Place::Node(worker.0 as usize), what);
        Ok(())
    }

    fn scheduler_says(&mut self, worker: WorkerId, message: SchedulerToWorker) -> Outcome<()> {
        let to = worker.0 as usize;
        match &message {
            SchedulerToWorker::Compute(tasks) => {
                for task in tasks {
                    let name = task.name.to_string();
                    let key = self.model.key_of(&name).ok_or_else(|| format!("nobody submitted {name}"))?;
                    self.nodes[to].assigned.insert((task.task, task.attempt), key);
                    self.nodes[to].believed.insert((task.task, task.attempt));
                }
            }
            SchedulerToWorker::Cancel(attempts) => {
                let node = &mut self.nodes[to];
                attempts.iter().for_each(|of| {
                    node.assigned.remove(of);
                    node.believed.remove(of);
                    node.orders.cancelled.insert(*of, node.orders.sent);
                });
            }
            SchedulerToWorker::PeerLeft(peer) => {
                let orders = &mut self.nodes[to].orders;
                orders.peers_left.insert(*peer, orders.sent);
            }
            SchedulerToWorker::Close { .. } => self.nodes[to].told_to_close = true,
            SchedulerToWorker::Free(_) if self.options.planted == Some(Planted::LostFree) => {
                if self.take_planted() {
                    return Ok(());
                }
            }
            SchedulerToWorker::Registered { .. }
            | SchedulerToWorker::Blobs(_)
            | SchedulerToWorker::DropBlobs(_)
            | SchedulerToWorker::Steal(_)
            | SchedulerToWorker::Free(_)
            | SchedulerToWorker::Acquire(_)
            | SchedulerToWorker::PeerJoined(_)
            | SchedulerToWorker::Run { .. } => {}
        }
        let is_lost = match self.options.planted {
            Some(Planted::LostCancel) => matches!(message, SchedulerToWorker::Cancel(_)),
            Some(Planted::LostPeerLeft) => matches!(message, SchedulerToWorker::PeerLeft(_)),
            _ => false,
        };
        if is_lost {
            // The order counts as given all the same.
            self.nodes[to].orders.sent += 1;
            return Ok(());
        }
        let mut frame = depart(&message);
        if self.options.planted == Some(Planted::Reordered) && to == 0 {
            match self.held_back.take() {
                // The earlier one leaves after the later one.
                Some(earlier) => {
                    self.deliver_to_node(to, frame);
                    frame = earlier;
                }
                None if matches!(message, SchedulerToWorker::Blobs(_)) => {
                    self.held_back = Some(frame);
                    return Ok(());
                }
                None => {}
            }
        }
        self.deliver_to_node(to, frame);
        Ok(())
    }

    fn deliver_to_node(&mut self, node: usize, frame: Frame) {
        let orders = &mut self.nodes[node].orders;
        orders.sent += 1;
        let what = Happening::AtNode { node, what: NodeHappening::Hears { number: orders.sent, frame } };
        self.network.send(&mut self.rng, Place::Scheduler, Place::Node(node), what);
    }
}

/// Encodes a message.
pub(crate) fn depart<M: Serialize>(message: &M) -> Frame {
    encode(message).expect("the simulator's messages are plain and small")
}

/// Decodes a message.
pub(crate) fn arrive<M: serde::de::DeserializeOwned>(frame: Frame) -> Outcome<M> {
    decode(frame).map_err(|error| format!("a message could not be decoded: {error}"))
}

/// A message on one line, not too long.
pub(crate) fn short(message: &impl std::fmt::Debug) -> String {
    let mut text = format!("{message:?}");
    if text.len() > 400 {
        let end = (0..=400).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
        text.push_str(" ...");
    }
    text
}
