//! Simulated clients: what they ask for, and what they make of the answers.

use crate::graphs::{Artist, Drawn, functions};
use crate::model::{Excuse, Spec, Work};
use crate::network::{Got, Happening, NodeHappening, Place};
use crate::node::Life;
use crate::world::{Outcome, World, depart};
use kask_graph::{Graph, Wanted};
use kask_types::{ClientId, Incarnation, Key, TaskId, TaskName, WorkerId};
use kask_wire::ClientToScheduler as Say;
use kask_wire::client::{ClientInfo, SchedulerInfo};
use kask_wire::{Query, Reply, SchedulerToClient};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a client knows of a key that it wants.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum View {
    /// Nothing yet.
    Pending,
    /// It is there.
    InMemory { task: TaskId, worker: WorkerId },
    /// It has been asked for, or its holder is being looked for.
    Gathering { task: TaskId },
    /// It came, and was right.
    Compared,
    /// It failed, and may.
    Failed,
}

/// What a client waits for an answer to.
#[derive(Clone, Debug)]
pub(crate) enum Asked {
    Scatter(Vec<(Key, u64)>),
    WhoHas(Key),
    Info,
    Families,
    /// Anything whose answer says only that it is done, or why not.
    Deed,
}

pub(crate) struct SimClient {
    pub(crate) id: ClientId,
    /// Wants nothing and only watches.
    pub(crate) observes: bool,
    pub(crate) wants: BTreeMap<Key, View>,
    /// Keys that may have been unknown when they were asked for.
    pub(crate) lenient: BTreeSet<Key>,
    /// Outputs of graphs that read keys which may have been forgotten, with these keys.
    refusable: BTreeMap<Key, Vec<Key>>,
    pub(crate) asked: BTreeMap<u64, Asked>,
    next_request: u64,
    /// Messages sent, and how many of them are known to have been handled.
    sent: u64,
    handled: u64,
    /// The message by which each wanted key was asked for: what was said before that was handled is about the past.
    since: BTreeMap<Key, u64>,
    pub(crate) info: Option<SchedulerInfo>,
    pub(crate) families: Vec<(Arc<str>, [u64; 6])>,
}

impl SimClient {
    /// With the next message, the client wants this key; says whether that is new.
    fn wants_from_now(&mut self, key: Key) -> bool {
        if self.wants.contains_key(&key) {
            return false;
        }
        self.wants.insert(key, View::Pending);
        self.since.insert(key, self.sent + 1);
        true
    }
}

impl World {
    pub(crate) fn client_joins(&mut self, observes: bool) -> ClientId {
        let id = ClientId(self.next_client);
        self.next_client += 1;
        let client = SimClient {
            id,
            observes,
            wants: BTreeMap::new(),
            lenient: BTreeSet::new(),
            refusable: BTreeMap::new(),
            asked: BTreeMap::new(),
            next_request: 0,
            sent: 0,
            handled: 0,
            since: BTreeMap::new(),
            info: None,
            families: Vec::new(),
        };
        self.clients.insert(id, client);
        let incarnation = Incarnation(self.rng.wide());
        let info = ClientInfo { name: Arc::from(format!("client{}", id.0)), incarnation, versions: Vec::new() };
        self.client_says(id, &Say::Register(info));
        if !observes {
            self.client_says(id, &Say::Blobs(functions()));
        }
        id
    }

    /// What the run must know of a client's message when the scheduler handles it.
    pub(crate) fn note_deeds(&mut self, message: &Say) {
        if let Say::Restart { .. } = message {
            self.model.excuse_all(Excuse::Cancelled);
            self.nodes.iter_mut().for_each(|node| node.told_to_close = true);
        }
    }

    pub(crate) fn client_says(&mut self, client: ClientId, message: &Say) {
        if let Some(known) = self.clients.get_mut(&client) {
            known.sent += 1;
        }
        let what = Happening::ClientSays { client, frame: depart(message) };
        self.network.send(&mut self.rng, Place::Client(client), Place::Scheduler, what);
    }

    fn client(&mut self, id: ClientId) -> &mut SimClient {
        self.clients.get_mut(&id).expect("only clients that are there act")
    }

    /// Asks something that will be answered.
    pub(crate) fn ask(&mut self, id: ClientId, asked: Asked, message: impl FnOnce(u64) -> Say) {
        let client = self.client(id);
        let request = client.next_request;
        client.next_request += 1;
        client.asked.insert(request, asked);
        let message = message(request);
        self.client_says(id, &message);
    }

    /// Clients that do things.
    pub(crate) fn active_clients(&self) -> Vec<ClientId> {
        self.clients.values().filter(|client| !client.observes).map(|client| client.id).collect()
    }

    /// Some client does something.
    pub(crate) fn step(&mut self) -> Outcome<()> {
        self.steps_left = self.steps_left.saturating_sub(1);
        let pause = self.rng.between(self.plan.pause_us / 4, self.plan.pause_us * 2);
        self.network.after_us(pause, Happening::Step);
        if !self.faults_on {
            return Ok(());
        }
        let active = self.active_clients();
        let id = match self.rng.pick(&active) {
            Some(&id) => id,
            None => self.client_joins(false),
        };
        self.act(id);
        Ok(())
    }

    fn act(&mut self, id: ClientId) {
        let rates = self.plan.rates.clone();
        if self.rng.chance(rates.vanish) {
            self.vanish(id);
        } else if self.rng.chance(rates.cancel) {
            self.cancel(id);
        } else if self.rng.chance(rates.unwant) {
            self.unwant(id);
        } else if self.rng.chance(rates.retry) {
            self.retry(id);
        } else if self.rng.chance(rates.scatter) {
            self.scatter(id);
        } else if self.rng.chance(rates.duplicate) {
            self.submit_again(id);
        } else if self.rng.chance(rates.want) {
            self.want(id);
        } else if self.rng.chance(rates.replicate) {
            self.replicate(id);
        } else if self.rng.chance(rates.retire) {
            self.retire(id);
        } else if self.rng.chance(rates.restart) {
            self.restart(id);
        } else {
            let detach = self.rng.chance(rates.detach);
            self.submit_new(id, detach);
        }
    }

    fn submit_new(&mut self, id: ClientId, detach: bool) {
        let client = self.client(id);
        let readable = client.wants.iter().filter(|(key, view)| {
            !matches!(view, View::Failed) && !client.lenient.contains(key) && !client.refusable.contains_key(key)
        });
        let outside: Vec<Key> = readable.map(|(&key, _)| key).collect();
        let (rates, slots) = (self.plan.rates.clone(), self.plan.slots);
        let drawn = Artist { rng: &mut self.rng, rates: &rates, slots }.draw(&outside);
        let keys = drawn.wanted.clone();
        if drawn.outside.is_empty() {
            self.known_graphs.push((drawn.graph.clone(), keys.clone()));
        }
        self.submit(id, drawn);
        if detach {
            self.detached.extend(keys.iter().copied());
            self.client_says(id, &Say::Detach(keys.clone()));
            self.let_go_of(id, keys);
        }
    }

    pub(crate) fn submit(&mut self, id: ClientId, drawn: Drawn) {
        let Drawn { graph, outputs, wanted, outside } = drawn;
        self.report.tasks += count(&graph);
        crate::expand::learn(&mut self.model, &graph);
        let client = self.client(id);
        for key in wanted {
            client.wants_from_now(key);
            if !outside.is_empty() {
                client.refusable.insert(key, outside.clone());
            }
        }
        self.client_says(id, &Say::Submit { graph, outputs });
    }

    fn submit_again(&mut self, id: ClientId) {
        let Some((graph, wanted)) = self.rng.pick(&self.known_graphs).cloned() else { return };
        let some: Vec<Key> = wanted.iter().copied().filter(|_| self.rng.chance(600)).collect();
        let wanted = if some.is_empty() { wanted } else { some };
        let outputs = Wanted::Keys(wanted.clone());
        self.submit(id, Drawn { graph, outputs, wanted, outside: Vec::new() });
    }

    fn some_wanted(&mut self, id: ClientId, per_mille: u32, which: impl Fn(&View) -> bool) -> Vec<Key> {
        let client = self.clients.get(&id).expect("only clients that are there act");
        let all: Vec<Key> = client.wants.iter().filter(|(_, view)| which(view)).map(|(&key, _)| key).collect();
        all.into_iter().filter(|_| self.rng.chance(per_mille)).collect()
    }

    fn let_go_of(&mut self, id: ClientId, keys: Vec<Key>) {
        self.scattered_data_is_given_up(&keys);
        let client = self.client(id);
        for key in &keys {
            client.wants.remove(key);
            client.since.remove(key);
            client.lenient.remove(key);
        }
        self.client_says(id, &Say::Unwant(keys));
    }

    /// Scattered data that nobody wants is freed, and then nothing that was made of it can be made again.
    fn scattered_data_is_given_up(&mut self, keys: &[Key]) {
        for &key in keys {
            if self.model.is_scattered(key) {
                self.model.excuse(key, Excuse::GivenUp);
            }
        }
    }

    fn unwant(&mut self, id: ClientId) {
        let keys = self.some_wanted(id, 500, |_| true);
        self.let_go_of(id, keys);
    }

    fn cancel(&mut self, id: ClientId) {
        let keys = self.some_wanted(id, 150, |_| true);
        keys.iter().for_each(|&key| self.model.excuse(key, Excuse::Cancelled));
        let force = self.rng.chance(300);
        self.client_says(id, &Say::Cancel { keys, force, reason: Arc::from("the simulator wants it") });
    }

    fn retry(&mut self, id: ClientId) {
        let keys = self.some_wanted(id, 700, |view| *view == View::Failed);
        keys.iter().for_each(|&key| self.model.try_again(key));
        self.client_says(id, &Say::Retry(keys));
    }

    fn scatter(&mut self, id: ClientId) {
        let mut values = Vec::new();
        let mut sent = Vec::new();
        for _ in 0..self.rng.between(1, 4) {
            let (key, value) = (Key(self.rng.wide()), self.rng.bits());
            let prefix: Arc<str> = Arc::from("data");
            let name = TaskName::Hashed { prefix: prefix.clone(), key }.to_string();
            self.model.add(key, Spec { name, work: Work::Scattered(value) });
            self.client(id).wants_from_now(key);
            sent.push((key, prefix, crate::call::nbytes_of(value)));
            values.push((key, value));
        }
        let broadcast = self.rng.chance(300);
        self.ask(id, Asked::Scatter(values), |request| Say::Scatter {
            request,
            values: sent,
            workers: None,
            broadcast,
        });
    }

    fn want(&mut self, id: ClientId) {
        let others = self.clients.values().filter(|client| client.id != id);
        let keys: Vec<Key> = others.flat_map(|client| client.wants.keys().copied()).collect();
        let keys: Vec<Key> = keys.into_iter().filter(|_| self.rng.chance(100)).collect();
        let client = self.client(id);
        for &key in &keys {
            if client.wants_from_now(key) {
                client.lenient.insert(key);
            }
        }
        self.client_says(id, &Say::Want(keys));
    }

    fn replicate(&mut self, id: ClientId) {
        let keys = self.some_wanted(id, 300, |view| *view != View::Failed);
        let copies = self.rng.below(3) as u32;
        self.ask(id, Asked::Deed, |request| Say::Replicate { request, keys, copies, workers: None });
    }

    fn retire(&mut self, id: ClientId) {
        let there: Vec<Arc<str>> =
            self.nodes.iter().filter(|node| node.life == Life::Runs).map(|node| node.info.name.clone()).collect();
        if let Some(name) = self.rng.pick(&there).cloned() {
            self.ask(id, Asked::Deed, |request| Say::Retire { request, workers: vec![name] });
        }
    }

    fn restart(&mut self, id: ClientId) {
        self.ask(id, Asked::Deed, |request| Say::Restart { request, timeout_ms: 2_000 });
    }

    /// A client is gone, with or without a word.
    pub(crate) fn vanish(&mut self, id: ClientId) {
        let client = self.clients.remove(&id).expect("only clients that are there vanish");
        for asked in client.asked.into_values() {
            if let Asked::Scatter(values) = asked {
                values.iter().for_each(|(key, _)| self.model.excuse(*key, Excuse::Lost));
            }
        }
        let wanted: Vec<Key> = client.wants.into_keys().collect();
        self.scattered_data_is_given_up(&wanted);
        if self.rng.chance(500) {
            self.client_says(id, &Say::Closing);
        }
        let what = Happening::ClientGone { client: id };
        self.network.send(&mut self.rng, Place::Client(id), Place::Scheduler, what);
    }

    pub(crate) fn client_hears(&mut self, id: ClientId, message: SchedulerToClient) -> Outcome<()> {
        if !self.clients.contains_key(&id) {
            return Ok(());
        }
        match message {
            SchedulerToClient::Registered { client, .. } if client != id => {
                return Err(format!("{id:?} was registered as {client:?}"));
            }
            SchedulerToClient::Registered { .. }
            | SchedulerToClient::WorkerJoined(..)
            | SchedulerToClient::WorkerLeft(_) => {}
            SchedulerToClient::Handled(count) => self.client(id).handled = count,
            SchedulerToClient::InMemory(list) => {
                for known in list {
                    let view = View::InMemory { task: known.task, worker: known.worker };
                    if self.is_told(id, known.key, view) && (!self.faults_on || self.rng.chance(500)) {
                        self.gather(id, known.key);
                    }
                }
            }
            SchedulerToClient::Pending(keys) => keys.into_iter().for_each(|key| {
                self.is_told(id, key, View::Pending);
            }),
            SchedulerToClient::Ended(list) => {
                for (key, failure) in list {
                    self.model.memory_was_short |= matches!(failure, kask_types::Failure::OutOfMemory { .. });
                    let lenient = self.clients[&id].lenient.contains(&key);
                    if self.is_told(id, key, View::Failed) && !lenient && !self.model.may_fail(key, &failure) {
                        let name = self.model.name_of(key);
                        return Err(format!("{name} failed without a reason: {failure}"));
                    }
                }
            }
            SchedulerToClient::Refused { keys, reason } => {
                for key in keys {
                    let reads = self.clients[&id].refusable.get(&key);
                    let excused = reads.is_some_and(|reads| reads.iter().any(|&read| self.model.has_excuse(read)));
                    let matters = self.is_told(id, key, View::Failed) | self.detached.remove(&key);
                    if matters && !excused {
                        return Err(format!("{} was refused: {reason}", self.model.name_of(key)));
                    }
                }
            }
            SchedulerToClient::Answer { request, reply } => self.client_is_answered(id, request, reply)?,
            SchedulerToClient::Closing { reason } => return Err(format!("the scheduler closes {id:?}: {reason}")),
        }
        Ok(())
    }

    /// The scheduler says how a key stands. Says whether that matters: the client may have let go of it, or asked for
    /// it again later than what the scheduler knew.
    fn is_told(&mut self, id: ClientId, key: Key, view: View) -> bool {
        let client = self.client(id);
        let is_news = client.since.get(&key).is_some_and(|&since| since <= client.handled);
        is_news && self.set_view(id, key, view)
    }

    /// Whether the client wants the key at all.
    fn set_view(&mut self, id: ClientId, key: Key, view: View) -> bool {
        match self.client(id).wants.get_mut(&key) {
            Some(known) => {
                *known = view;
                true
            }
            None => false,
        }
    }

    /// Asks the worker that holds a value for it.
    pub(crate) fn gather(&mut self, id: ClientId, key: Key) {
        let Some(&View::InMemory { task, worker }) = self.client(id).wants.get(&key) else { return };
        self.set_view(id, key, View::Gathering { task });
        self.get_from(id, key, task, worker.0 as usize);
    }

    fn get_from(&mut self, id: ClientId, key: Key, task: TaskId, node: usize) {
        let what = NodeHappening::ClientAsks { client: id, key, task };
        self.network.send(&mut self.rng, Place::Client(id), Place::Data(node), Happening::AtNode { node, what });
    }

    pub(crate) fn client_gets(&mut self, id: ClientId, key: Key, worker: WorkerId, got: Got) -> Outcome<()> {
        let Some(client) = self.clients.get(&id) else { return Ok(()) };
        if !matches!(client.wants.get(&key), Some(View::Gathering { .. })) {
            return Ok(());
        }
        let value = match got {
            Got::Here(value) => value,
            Got::NotThere => {
                self.set_view(id, key, View::Pending);
                self.client_says(id, &Say::Missing(vec![(key, worker)]));
                return Ok(());
            }
            Got::Busy | Got::Unreachable => {
                self.ask(id, Asked::WhoHas(key), |request| Say::Ask { request, query: Query::WhoHas(Some(vec![key])) });
                return Ok(());
            }
        };
        self.report.compared += 1;
        let expected = self.model.value(key);
        if expected != Some(value) {
            let name = self.model.name_of(key);
            return Err(format!("{name} is {value:#x}, and serially {expected:#x?}"));
        }
        self.set_view(id, key, View::Compared);
        Ok(())
    }

    fn client_is_answered(&mut self, id: ClientId, request: u64, reply: Reply) -> Outcome<()> {
        let Some(asked) = self.client(id).asked.remove(&request) else {
            return Err(format!("{id:?} was answered something that it did not ask, or twice: {reply:?}"));
        };
        match (asked, reply) {
            (Asked::Scatter(values), Reply::Scatter(places)) => self.put(id, &values, places),
            (Asked::WhoHas(key), Reply::WhoHas(list)) => self.look_elsewhere(id, key, &list),
            (Asked::Info, Reply::Info(info)) => self.client(id).info = Some(info),
            (Asked::Families, Reply::Families(families)) => self.client(id).families = families,
            (Asked::Deed, Reply::Done | Reply::Failed { .. }) => {}
            (asked, reply) => return Err(format!("{id:?} asked {asked:?} and was answered {reply:?}")),
        }
        Ok(())
    }

    fn put(&mut self, id: ClientId, values: &[(Key, u64)], places: Vec<(u32, TaskId, Vec<WorkerId>)>) {
        for (position, task, workers) in places {
            let (key, value) = values[position as usize];
            self.scattered_tasks.insert(task, key);
            for worker in workers {
                self.scattered.entry(key).or_default().insert(worker);
                let node = worker.0 as usize;
                if self.nodes[node].life == Life::Dead {
                    self.model.excuse(key, Excuse::Lost);
                }
                let what = Happening::AtNode { node, what: NodeHappening::Put { task, value } };
                self.network.send(&mut self.rng, Place::Client(id), Place::Data(node), what);
            }
        }
    }

    fn look_elsewhere(&mut self, id: ClientId, key: Key, list: &[(String, Key, Vec<Arc<str>>)]) {
        let Some(&View::Gathering { task }) = self.client(id).wants.get(&key) else { return };
        let addresses = list.iter().filter(|(_, known, _)| *known == key).flat_map(|(_, _, addresses)| addresses);
        let holders: Vec<usize> =
            addresses.filter_map(|address| self.nodes.iter().position(|node| node.info.address == *address)).collect();
        if let Some(&node) = self.rng.pick(&holders) {
            self.get_from(id, key, task, node);
        }
        // Where nobody holds it, the scheduler is about to say how it goes on.
    }
}

fn count(graph: &Graph) -> u64 {
    let mut model = crate::model::Model::default();
    crate::expand::learn(&mut model, graph);
    model.len() as u64
}
