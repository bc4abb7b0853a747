//! Random sequences of events, with delays and faults; then everything heals, and liveness is demanded.
//!
//! The universe is a fixed set of named tasks, each reading fixed others, so that equal keys are equal work. Workers
//! have inboxes whose messages are delivered at random moments, so stale messages of every kind occur. After each event
//! the scheduler checks all its invariants; after the faults, workers answer everything and every key that a client
//! wants must be in memory on a worker that really has it, or have ended.

use crate::common::{Cluster, Def, Seen, certificate, graph_with, incarnation, key};
use kask_scheduler::{Config, SupervisorId};
use kask_types::{Annotations, Certificate, ClientId, DeathCause, Key, TaskId, WorkerId, WorkerRestriction};
use kask_wire::client::Reply;
use kask_wire::worker::{FetchProblem, Pressure};
use kask_wire::{ClientToScheduler, SchedulerToSupervisor, SupervisorToScheduler, WorkerToScheduler};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const TASKS: usize = 16;
const SUPERVISOR: SupervisorId = SupervisorId(1);

/// One thing that happens; numbers choose among what is there, by remainder.
#[derive(Clone, Debug)]
enum Step {
    WorkerJoins { supervised: bool, nthreads: u8 },
    WorkerDies { worker: u8, how: u8 },
    ClientJoins,
    ClientLeaves { client: u8 },
    Submit { client: u8, first: u8, count: u8, style: u8 },
    Want { client: u8, task: u8 },
    Unwant { client: u8, task: u8 },
    Cancel { client: u8, task: u8, force: bool },
    Detach { client: u8, task: u8 },
    Retry { client: u8, task: u8 },
    Scatter { client: u8, value: u8, broadcast: bool },
    PutScattered { client: u8 },
    Replicate { client: u8, task: u8, copies: u8 },
    Retire { client: u8, worker: u8 },
    Restart { client: u8 },
    Call { client: u8 },
    Deliver { worker: u8, count: u8 },
    Start { worker: u8, task: u8 },
    Finish { worker: u8, task: u8 },
    Fail { worker: u8, task: u8, reschedule: bool },
    LoseInputs { worker: u8, task: u8, problem: u8 },
    Secede { worker: u8, task: u8 },
    Rejoin { worker: u8, task: u8 },
    FinishDoomed { worker: u8 },
    Copy { worker: u8 },
    ForgetValue { worker: u8 },
    Pressure { worker: u8, level: u8 },
    HandBack { worker: u8, task: u8 },
    Spill { worker: u8 },
    Miss { client: u8, task: u8 },
    Close { worker: u8 },
    Wait { ms: u16 },
}

fn step() -> impl Strategy<Value = Step> {
    let n = || any::<u8>();
    prop_oneof![
        3 => (any::<bool>(), 1u8..4).prop_map(|(supervised, nthreads)| Step::WorkerJoins { supervised, nthreads }),
        2 => (n(), n()).prop_map(|(worker, how)| Step::WorkerDies { worker, how }),
        1 => Just(Step::ClientJoins),
        1 => n().prop_map(|client| Step::ClientLeaves { client }),
        6 => (n(), n(), 1u8..6, n()).prop_map(|(client, first, count, style)| Step::Submit { client, first, count, style }),
        2 => (n(), n()).prop_map(|(client, task)| Step::Want { client, task }),
        4 => (n(), n()).prop_map(|(client, task)| Step::Unwant { client, task }),
        2 => (n(), n(), any::<bool>()).prop_map(|(client, task, force)| Step::Cancel { client, task, force }),
        1 => (n(), n()).prop_map(|(client, task)| Step::Detach { client, task }),
        2 => (n(), n()).prop_map(|(client, task)| Step::Retry { client, task }),
        2 => (n(), n(), any::<bool>()).prop_map(|(client, value, broadcast)| Step::Scatter { client, value, broadcast }),
        2 => n().prop_map(|client| Step::PutScattered { client }),
        1 => (n(), n(), 0u8..4).prop_map(|(client, task, copies)| Step::Replicate { client, task, copies }),
        1 => (n(), n()).prop_map(|(client, worker)| Step::Retire { client, worker }),
        1 => n().prop_map(|client| Step::Restart { client }),
        1 => n().prop_map(|client| Step::Call { client }),
        14 => (n(), 1u8..8).prop_map(|(worker, count)| Step::Deliver { worker, count }),
        5 => (n(), n()).prop_map(|(worker, task)| Step::Start { worker, task }),
        14 => (n(), n()).prop_map(|(worker, task)| Step::Finish { worker, task }),
        3 => (n(), n(), any::<bool>()).prop_map(|(worker, task, reschedule)| Step::Fail { worker, task, reschedule }),
        2 => (n(), n(), 0u8..4).prop_map(|(worker, task, problem)| Step::LoseInputs { worker, task, problem }),
        2 => (n(), n()).prop_map(|(worker, task)| Step::Secede { worker, task }),
        1 => (n(), n()).prop_map(|(worker, task)| Step::Rejoin { worker, task }),
        2 => n().prop_map(|worker| Step::FinishDoomed { worker }),
        3 => n().prop_map(|worker| Step::Copy { worker }),
        1 => n().prop_map(|worker| Step::ForgetValue { worker }),
        3 => (n(), 0u8..3).prop_map(|(worker, level)| Step::Pressure { worker, level }),
        3 => (n(), n()).prop_map(|(worker, task)| Step::HandBack { worker, task }),
        2 => n().prop_map(|worker| Step::Spill { worker }),
        1 => (n(), n()).prop_map(|(client, task)| Step::Miss { client, task }),
        1 => n().prop_map(|worker| Step::Close { worker }),
        3 => (0u16..4_000).prop_map(|ms| Step::Wait { ms }),
    ]
}

fn name(task: usize) -> String {
    format!("u{task}")
}

/// What a task of the universe reads: tasks before it, sometimes one twice, and scattered values.
fn reads(task: usize) -> Vec<String> {
    match task {
        0..=3 => Vec::new(),
        _ => {
            let mut reads = vec![name(task / 2), name(task - 3)];
            if task.is_multiple_of(5) {
                reads.push(name(task / 2));
            }
            reads
        }
    }
}

struct World {
    cluster: Cluster,
    names: u32,
    requests: u64,
    /// Scattered values that clients have been told to put: client, task, workers.
    puts: Vec<(ClientId, TaskId, Vec<WorkerId>)>,
    scatters: Vec<(ClientId, u64)>,
    /// What workers left on their disks, by name.
    disks: BTreeMap<String, BTreeSet<TaskId>>,
}

fn pick<T: Copy>(all: &[T], number: u8) -> Option<T> {
    (!all.is_empty()).then(|| all[usize::from(number) % all.len()])
}

impl World {
    fn new() -> World {
        let config = Config { allowed_deaths: 2, allowed_hand_backs: 4, return_grace_ms: 50, ..Config::default() };
        let mut cluster = Cluster::with(config);
        // Longer than the grace, so that lost values are awaited.
        cluster.duration_ns = 60_000_000;
        cluster.supervise(SUPERVISOR, SupervisorToScheduler::Register { host: "host".into(), pid: 1 });
        World { cluster, names: 0, requests: 100, puts: Vec::new(), scatters: Vec::new(), disks: BTreeMap::new() }
    }

    fn a_worker(&self, number: u8) -> Option<WorkerId> {
        let all: Vec<WorkerId> = self.cluster.workers.keys().copied().collect();
        pick(&all, number)
    }

    fn a_client(&self, number: u8) -> Option<ClientId> {
        let all: Vec<ClientId> = self.cluster.clients.keys().copied().collect();
        pick(&all, number)
    }

    /// A task on a worker, chosen by number.
    fn an_attempt(&self, worker: u8, task: u8) -> Option<(WorkerId, kask_wire::ComputeTask)> {
        let worker = self.a_worker(worker)?;
        let queue = &self.cluster.workers[&worker].queue;
        (!queue.is_empty()).then(|| (worker, queue[usize::from(task) % queue.len()].clone()))
    }

    fn join(&mut self, supervised: bool, nthreads: u32) -> WorkerId {
        self.names += 1;
        let name = format!("w{}", self.names % 3);
        self.cluster.memory_limit_bytes = u64::from(self.names % 2) * 500;
        let worker = self.cluster.worker(&name, nthreads);
        if let Some(fake) = self.cluster.workers.get_mut(&worker)
            && let Some(values) = self.disks.remove(&name)
        {
            fake.held.extend(&values);
            let values = values.into_iter().map(|task| (task, 100)).collect();
            self.cluster.say(worker, WorkerToScheduler::Adopted(values));
        }
        if supervised && self.cluster.workers.contains_key(&worker) {
            let started = SupervisorToScheduler::Started { incarnation: incarnation(worker) };
            self.cluster.supervise(SUPERVISOR, started);
        }
        worker
    }

    fn submit(&mut self, client: ClientId, first: usize, count: usize, style: u8) {
        let mut needed = BTreeSet::new();
        let wanted: Vec<usize> = (0..count).map(|at| (first + at * 5) % TASKS).collect();
        let mut stack = wanted.clone();
        while let Some(task) = stack.pop() {
            if needed.insert(task) {
                stack
                    .extend(reads(task).iter().map(|name| name[1..].parse::<usize>().expect("a task of the universe")));
            }
        }
        // Sometimes only what is wanted is defined, and the rest must be known.
        let defined: Vec<usize> = if style.is_multiple_of(5) { wanted.clone() } else { needed.into_iter().collect() };
        let texts: Vec<(String, Vec<String>)> = defined.iter().map(|&task| (name(task), reads(task))).collect();
        let lists: Vec<Vec<&str>> = texts.iter().map(|(_, reads)| reads.iter().map(String::as_str).collect()).collect();
        let mut defs: Vec<Def<'_>> = Vec::new();
        let mut seen = BTreeSet::new();
        for ((name, _), reads) in texts.iter().zip(&lists) {
            if seen.insert(name) {
                defs.push((name, reads));
            }
        }
        let restriction =
            |allow_other_workers| Some(WorkerRestriction { workers: vec!["w1".into()], allow_other_workers });
        let annotations = Annotations {
            retries: u32::from(style % 3),
            priority: i32::from(style % 2),
            workers: match style % 7 {
                0 => restriction(true),
                1 => restriction(false),
                _ => None,
            },
            ..Annotations::default()
        };
        let names: Vec<String> = wanted.iter().map(|&task| name(task)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.cluster.submit(client, graph_with(&defs, annotations), &names);
    }

    fn apply(&mut self, step: Step) {
        match step {
            Step::WorkerJoins { supervised, nthreads } => {
                if self.cluster.workers.len() < 5 {
                    self.join(supervised, u32::from(nthreads));
                }
            }
            Step::WorkerDies { worker, how } => self.kill(worker, how),
            Step::ClientJoins => {
                if self.cluster.clients.len() < 4 {
                    self.cluster.client();
                }
            }
            Step::ClientLeaves { client } => {
                if let Some(client) = self.a_client(client) {
                    self.cluster.leave(client);
                }
            }
            Step::Wait { ms } => self.cluster.wait_ms(u64::from(ms)),
            step @ (Step::Submit { .. }
            | Step::Want { .. }
            | Step::Unwant { .. }
            | Step::Cancel { .. }
            | Step::Detach { .. }
            | Step::Retry { .. }
            | Step::Scatter { .. }
            | Step::PutScattered { .. }
            | Step::Replicate { .. }
            | Step::Retire { .. }
            | Step::Restart { .. }
            | Step::Call { .. }
            | Step::Miss { .. }) => self.client_step(step),
            step => self.worker_step(step),
        }
        self.collect_scatters();
        self.obey_kills();
    }

    fn kill(&mut self, worker: u8, how: u8) {
        let Some(worker) = self.a_worker(worker) else { return };
        let last = self.cluster.workers[&worker].queue.first().map(|task| task.name.to_string());
        let known = |cause| Some(certificate(cause, None));
        match how % 8 {
            0 => self.cluster.die(worker),
            1 => self.cluster.die_of(worker, known(DeathCause::Signalled(9))),
            2 => self.cluster.die_of(worker, known(DeathCause::OutOfMemory)),
            3 => self.cluster.die_of(worker, Some(certificate(DeathCause::Signalled(11), last.as_deref()))),
            4 => {
                self.cluster.die(worker);
                self.report_death(worker, last.as_deref());
            }
            5 => self.report_death(worker, None),
            _ => {
                // Its values are on its disk; some are damaged.
                let fake = &self.cluster.workers[&worker];
                let good = fake.held.iter().copied().filter(|task| !task.slot.is_multiple_of(5)).collect();
                self.disks.insert(fake.name.clone(), good);
                if how.is_multiple_of(2) {
                    self.cluster.die(worker);
                }
                self.report(worker, certificate(DeathCause::OutOfMemory, last.as_deref()), true);
            }
        }
    }

    fn report_death(&mut self, worker: WorkerId, last: Option<&str>) {
        self.report(worker, certificate(DeathCause::Exited(1), last), false);
    }

    fn report(&mut self, worker: WorkerId, certificate: Certificate, restarting: bool) {
        let died = SupervisorToScheduler::WorkerDied { incarnation: incarnation(worker), certificate, restarting };
        self.cluster.supervise(SUPERVISOR, died);
        self.cluster.workers.remove(&worker);
    }

    fn client_step(&mut self, step: Step) {
        let (Step::Submit { client, .. }
        | Step::Want { client, .. }
        | Step::Unwant { client, .. }
        | Step::Cancel { client, .. }
        | Step::Detach { client, .. }
        | Step::Retry { client, .. }
        | Step::Scatter { client, .. }
        | Step::PutScattered { client }
        | Step::Replicate { client, .. }
        | Step::Retire { client, .. }
        | Step::Restart { client }
        | Step::Call { client }
        | Step::Miss { client, .. }) = step
        else {
            unreachable!("only steps of clients come here");
        };
        let Some(client) = self.a_client(client) else { return };
        let task_name = |task: u8| name(usize::from(task) % TASKS);
        self.requests += 1;
        let request = self.requests;
        let message = match step {
            Step::Submit { first, count, style, .. } => {
                return self.submit(client, usize::from(first) % TASKS, usize::from(count), style);
            }
            Step::Want { task, .. } => return self.cluster.want(client, &task_name(task)),
            Step::Unwant { task, .. } => return self.cluster.unwant(client, &task_name(task)),
            Step::Cancel { task, force, .. } => return self.cluster.cancel(client, &task_name(task), force),
            Step::Detach { task, .. } => ClientToScheduler::Detach(vec![key(&task_name(task))]),
            Step::Retry { task, .. } => ClientToScheduler::Retry(vec![key(&task_name(task))]),
            Step::Scatter { value, broadcast, .. } => {
                self.scatters.push((client, request));
                // Also under keys of the universe's roots, which have a lineage in other graphs.
                let key = if value.is_multiple_of(2) { key(&name(usize::from(value) % 4)) } else { key("scattered") };
                self.cluster.clients.get_mut(&client).expect("picked").wants.insert(key);
                let values = vec![(key, "data".into(), 8)];
                ClientToScheduler::Scatter { request, values, workers: None, broadcast }
            }
            Step::PutScattered { .. } => return self.put(client),
            Step::Replicate { task, copies, .. } => {
                let keys = vec![key(&task_name(task))];
                ClientToScheduler::Replicate { request, keys, copies: u32::from(copies), workers: None }
            }
            Step::Retire { worker, .. } => {
                let Some(worker) = self.a_worker(worker) else { return };
                let workers = vec![self.cluster.workers[&worker].name.as_str().into()];
                ClientToScheduler::Retire { request, workers }
            }
            Step::Miss { task, .. } => {
                let key = key(&task_name(task));
                let Some(Seen::InMemory { worker, .. }) = self.cluster.clients[&client].seen.get(&key) else { return };
                ClientToScheduler::Missing(vec![(key, *worker)])
            }
            Step::Restart { .. } => ClientToScheduler::Restart { request, timeout_ms: 1_000 },
            Step::Call { .. } => {
                let payload = kask_types::Payload::empty();
                ClientToScheduler::Run { request, workers: None, payload }
            }
            _ => unreachable!("matched above"),
        };
        self.cluster.tell(client, message);
    }

    /// The answers to scatters say what clients have to put where.
    fn collect_scatters(&mut self) {
        let clients = &mut self.cluster.clients;
        let puts = &mut self.puts;
        self.scatters.retain(|(client, request)| {
            let Some(fake) = clients.get_mut(client) else { return false };
            match fake.answers.remove(request) {
                None => true,
                Some(Reply::Scatter(places)) => {
                    puts.extend(places.into_iter().map(|(_, task, workers)| (*client, task, workers)));
                    false
                }
                Some(other) => panic!("a scatter is answered with {other:?}"),
            }
        });
    }

    fn put(&mut self, client: ClientId) {
        let Some(at) = self.puts.iter().position(|put| put.0 == client) else { return };
        let (_, task, workers) = self.puts.remove(at);
        for worker in workers {
            if let Some(fake) = self.cluster.workers.get_mut(&worker) {
                fake.held.insert(task);
                self.cluster.say(worker, WorkerToScheduler::Holding(vec![(task, 8)]));
            }
        }
    }

    fn worker_step(&mut self, step: Step) {
        match step {
            Step::Deliver { worker, count } => {
                if let Some(worker) = self.a_worker(worker) {
                    for _ in 0..count {
                        self.cluster.deliver(worker);
                    }
                }
            }
            Step::Start { worker, task } => {
                if let Some((worker, task)) = self.an_attempt(worker, task) {
                    let fake = self.cluster.workers.get_mut(&worker).expect("picked");
                    fake.started.insert((task.task, task.attempt));
                }
            }
            Step::Finish { worker, task } => {
                if let Some((worker, task)) = self.an_attempt(worker, task)
                    && self.cluster.gather(worker, &task)
                {
                    self.cluster.finish_attempt(worker, task.task, task.attempt);
                }
            }
            Step::Fail { worker, task, reschedule } => {
                if let Some((worker, task)) = self.an_attempt(worker, task) {
                    let name = task.name.to_string();
                    self.cluster.fail_with(worker, &name, crate::common::raised(&name), reschedule);
                }
            }
            Step::LoseInputs { worker, task, problem } => self.lose_inputs(worker, task, problem),
            Step::Secede { worker, task } | Step::Rejoin { worker, task } => {
                if let Some((worker, task)) = self.an_attempt(worker, task) {
                    let message = match step {
                        Step::Secede { .. } => WorkerToScheduler::Seceded(task.task, task.attempt),
                        _ => WorkerToScheduler::Rejoined(task.task, task.attempt),
                    };
                    self.cluster.say(worker, message);
                }
            }
            Step::FinishDoomed { worker } => {
                if let Some(worker) = self.a_worker(worker)
                    && let Some((task, attempt)) = self.cluster.workers.get_mut(&worker).expect("picked").doomed.pop()
                {
                    self.cluster.finish_attempt(worker, task, attempt);
                }
            }
            Step::Copy { worker } => {
                if let Some(worker) = self.a_worker(worker) {
                    self.cluster.copy(worker);
                }
            }
            Step::ForgetValue { worker } => {
                if let Some(worker) = self.a_worker(worker) {
                    self.cluster.workers.get_mut(&worker).expect("picked").held.pop_first();
                }
            }
            Step::Pressure { worker, level } => {
                if let Some(worker) = self.a_worker(worker) {
                    let levels = [Pressure::Comfortable, Pressure::Tight, Pressure::Full];
                    self.cluster.pressure(worker, levels[usize::from(level)]);
                }
            }
            Step::HandBack { worker, task } => {
                if let Some((worker, task)) = self.an_attempt(worker, task)
                    && !self.cluster.workers[&worker].started.contains(&(task.task, task.attempt))
                {
                    self.cluster.hand_back(worker, &task.name.to_string());
                }
            }
            Step::Spill { worker } => {
                if let Some(worker) = self.a_worker(worker) {
                    self.cluster.spilled(worker);
                }
            }
            Step::Close { worker } => {
                if let Some(worker) = self.a_worker(worker)
                    && self.cluster.workers[&worker].closed
                {
                    self.cluster.say(worker, WorkerToScheduler::Closing(certificate(DeathCause::Retired, None)));
                }
            }
            other => unreachable!("{other:?} is not a step of a worker"),
        }
    }

    fn lose_inputs(&mut self, worker: u8, task: u8, problem: u8) {
        let Some((worker, task)) = self.an_attempt(worker, task) else { return };
        let Some(input) = task.inputs.first() else { return };
        let problem =
            [FetchProblem::NotThere, FetchProblem::Unreachable, FetchProblem::Undecodable, FetchProblem::Busy]
                [usize::from(problem)];
        let missing = vec![(input.task, input.holders[0], problem)];
        self.cluster.workers.get_mut(&worker).expect("picked").drop_attempt(task.task, task.attempt);
        let message = WorkerToScheduler::InputsMissing { task: task.task, attempt: task.attempt, missing };
        self.cluster.say(worker, message);
    }

    /// What a supervisor is told to kill dies.
    fn obey_kills(&mut self) {
        for (_, message) in std::mem::take(&mut self.cluster.told_supervisors) {
            if let SchedulerToSupervisor::Kill { incarnation: life, .. } = message {
                let found = self.cluster.workers.keys().copied().find(|&worker| incarnation(worker) == life);
                if let Some(worker) = found {
                    self.report_death(worker, None);
                }
            }
        }
    }

    /// No faults any more: workers answer everything, clients put what they promised, time passes.
    fn heal(&mut self) {
        while self.cluster.workers.len() < 3 {
            self.join(false, 2);
        }
        for worker in self.cluster.workers.keys().copied().collect::<Vec<_>>() {
            self.cluster.pressure(worker, Pressure::Comfortable);
        }
        for round in 0..2_000 {
            for client in self.cluster.clients.keys().copied().collect::<Vec<_>>() {
                self.put(client);
            }
            self.collect_scatters();
            self.cluster.run_all();
            for worker in self.cluster.workers.keys().copied().collect::<Vec<_>>() {
                self.answer_all(worker);
            }
            self.obey_kills();
            while self.cluster.workers.len() < 3 {
                self.join(false, 2);
            }
            self.fetch_everything();
            if round > 20 && self.is_quiet() {
                return;
            }
            self.cluster.wait_ms(200);
        }
        panic!("the cluster does not come to rest: {:?}", self.unfinished());
    }

    fn answer_all(&mut self, worker: WorkerId) {
        let heartbeat = WorkerToScheduler::Heartbeat(kask_wire::worker::WorkerMetrics::default());
        self.cluster.say(worker, heartbeat);
        let Some(fake) = self.cluster.workers.get_mut(&worker) else { return };
        let (doomed, calls) = (std::mem::take(&mut fake.doomed), std::mem::take(&mut fake.calls));
        let closed = fake.closed && fake.queue.is_empty();
        for (task, attempt) in doomed {
            self.cluster.finish_attempt(worker, task, attempt);
        }
        for call in calls {
            let result = Ok(kask_types::Payload::empty());
            self.cluster.say(worker, WorkerToScheduler::RunAnswer { call, result });
        }
        if closed {
            self.cluster.say(worker, WorkerToScheduler::Closing(certificate(DeathCause::Retired, None)));
            self.cluster.workers.remove(&worker);
        }
    }

    /// A value that a worker has silently lost is found out when somebody asks for it.
    fn fetch_everything(&mut self) {
        for (id, key) in self.unfinished() {
            let Some(Seen::InMemory { task, worker }) = self.cluster.clients[&id].seen.get(&key).cloned() else {
                continue;
            };
            let reporter = self.cluster.workers.keys().copied().find(|&other| other != worker);
            let missing = vec![(task, worker, FetchProblem::NotThere)];
            self.cluster.say(reporter.expect("three workers are there"), WorkerToScheduler::Missing(missing));
        }
    }

    /// Keys that clients want and that have not ended.
    fn unfinished(&self) -> Vec<(ClientId, Key)> {
        let mut found = Vec::new();
        for (&id, client) in &self.cluster.clients {
            for &key in &client.wants {
                match client.seen.get(&key) {
                    Some(Seen::InMemory { task, worker }) => {
                        let holder = self.cluster.workers.get(worker);
                        if holder.is_none_or(|holder| !holder.held.contains(task)) {
                            found.push((id, key));
                        }
                    }
                    Some(Seen::Ended(_)) => {}
                    Some(Seen::Pending) | None => found.push((id, key)),
                }
            }
        }
        found
    }

    fn is_quiet(&self) -> bool {
        let busy = self.cluster.workers.values().any(|worker| !worker.inbox.is_empty() || !worker.queue.is_empty());
        !busy && self.unfinished().is_empty()
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        // `PROPTEST_CASES` overrules this.
        cases: 2_000,
        max_shrink_iters: 4_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_happens_everything_wanted_ends(steps in proptest::collection::vec(step(), 1..160)) {
        let mut world = World::new();
        world.join(false, 2);
        world.cluster.client();
        for step in steps {
            world.apply(step);
        }
        world.heal();
        for client in world.cluster.clients.keys().copied().collect::<Vec<_>>() {
            world.cluster.leave(client);
        }
        world.heal();
        prop_assert_eq!(world.cluster.scheduler.task_count(), 0, "without clients nothing is kept");
        prop_assert!(world.cluster.workers.values().all(|worker| worker.held.is_empty()), "workers keep nothing");
    }
}
