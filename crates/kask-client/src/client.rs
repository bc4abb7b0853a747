//! The client's handle, and how one is made.

use crate::pins::Pins;
use crate::signal::{Interrupted, Signal, WaitError, deadline_of};
use crate::state::{Effects, State, Status, Watcher};
use kask_graph::{Graph, Wanted};
use kask_net::data_plane::DataPlane;
use kask_net::link::Outgoing;
use kask_net::reactor::{Actor, Link, Pump, Reactor, Wake, drive};
use kask_net::trim::trim_soon;
use kask_net::{Address, ConnectError, DataPool, Security, connect, fork, runtime};
use kask_types::{BlobId, Incarnation, Key, Payload, WorkerId};
use kask_wire::client::ClientInfo;
use kask_wire::{ClientToScheduler, Role, SchedulerToClient};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};
use thiserror::Error;

/// How long released futures may wait before the scheduler is told.
const UNWANT_DELAY: Duration = Duration::from_millis(2);
/// How many released futures are told at once without waiting.
const UNWANT_BATCH: usize = 4096;
/// How many workers are named where all are meant.
const MOST_NAMES: usize = 10;

/// Why there is no client.
#[derive(Debug, Error)]
pub enum ClientError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection was there and nothing was said over it in time, or it ended.
    #[error("the scheduler at {address} accepted the connection but did not register the client: {problem}")]
    Register {
        /// Where.
        address: String,
        /// What happened.
        problem: WaitError,
    },
    /// The caller stopped waiting.
    #[error("interrupted")]
    Interrupted,
    /// No network thread.
    #[error("the operating system gave no network thread: {0}")]
    Runtime(#[from] std::io::Error),
}

/// Runs queued tasks on the calling thread until there are none; for the synchronous engine.
pub type Driver = Arc<dyn Fn() + Send + Sync>;

/// A client of one scheduler. Clones share everything.
#[derive(Clone)]
pub struct Client(pub(crate) Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) incarnation: Incarnation,
    pub(crate) state: Arc<Mutex<State>>,
    pub(crate) uplink: Arc<dyn Link<ClientToScheduler>>,
    pub(crate) data: Arc<dyn DataPlane>,
    pub(crate) driver: Option<Driver>,
    pub(crate) next_request: AtomicU64,
    /// The process that made the client: a forked copy of it leaves the client alone.
    generation: u32,
    pins: Mutex<Pins>,
}

/// The half of a client that the scheduler talks to, before the other half is known.
pub struct Connector {
    state: Arc<Mutex<State>>,
    incoming: Arc<Incoming>,
    data: Arc<dyn DataPlane>,
}

struct Incoming(Reactor<Listening>);

struct Listening {
    state: Arc<Mutex<State>>,
    data: Arc<dyn DataPlane>,
}

impl Actor for Listening {
    type Event = SchedulerToClient;
    fn handle(&mut self, events: &mut Vec<SchedulerToClient>, _: &mut Wake) {
        let mut effects = Effects::default();
        let mut state = self.state.lock();
        for message in events.drain(..) {
            state.apply(message, &mut effects);
        }
        drop(state);
        for peer in effects.joined.drain(..) {
            self.data.join(&peer);
        }
        for worker in effects.left.drain(..) {
            self.data.leave(worker);
        }
        effects.run();
    }
}

impl Pump for Incoming {
    fn pump(&self, wake: &mut Wake) {
        self.0.pump(wake);
    }
}

impl Link<SchedulerToClient> for Incoming {
    fn post(&self, message: SchedulerToClient) {
        self.0.post(message);
    }
    fn close(&self, reason: &str) {
        self.0.post(SchedulerToClient::Closing { reason: reason.into() });
    }
}

impl Connector {
    /// A client-to-be that will reach workers' values through `data`.
    pub fn new(data: Arc<dyn DataPlane>) -> Connector {
        let state = Arc::new(Mutex::new(State::default()));
        let incoming = Incoming(Reactor::new(Listening { state: state.clone(), data: data.clone() }));
        Connector { state, incoming: Arc::new(incoming), data }
    }

    /// Where the scheduler's messages go.
    pub fn incoming(&self) -> Arc<dyn Link<SchedulerToClient>> {
        self.incoming.clone()
    }

    /// Registers with the scheduler behind `uplink`.
    ///
    /// # Errors
    /// When the scheduler does not answer within `timeout`.
    pub fn finish(
        self,
        uplink: Arc<dyn Link<ClientToScheduler>>,
        info: ClientInfo,
        driver: Option<Driver>,
        timeout: Duration,
        interrupted: Interrupted,
    ) -> Result<Client, WaitError> {
        let registered = Arc::new(Signal::default());
        self.state.lock().registered = Some(registered.clone());
        let client = Client(Arc::new(Shared {
            incarnation: info.incarnation,
            state: self.state,
            uplink,
            data: self.data,
            driver,
            next_request: AtomicU64::new(0),
            generation: fork::generation(),
            pins: Mutex::default(),
        }));
        client.send(ClientToScheduler::Register(info));
        registered.wait(deadline_of(Some(timeout)), interrupted)?;
        match client.closed() {
            Some(reason) => Err(WaitError::Closed(reason)),
            None => Ok(client),
        }
    }
}

impl Client {
    /// Connects to a scheduler elsewhere.
    ///
    /// # Errors
    /// One sentence for a wrong address, a closed port, a refused handshake, silence until the timeout.
    pub fn connect(
        address: &Address,
        security: &Security,
        info: ClientInfo,
        timeout: Duration,
        interrupted: Interrupted,
    ) -> Result<Client, ClientError> {
        let network = runtime::handle()?;
        let slot = Arc::new((Signal::default(), Mutex::new(None)));
        let attempt = network.spawn({
            let (slot, address, security, incarnation) =
                (slot.clone(), address.clone(), security.clone(), info.incarnation);
            async move {
                let connection = connect(&address, &security, Role::Client, incarnation, timeout).await;
                *slot.1.lock() = Some(connection);
                slot.0.raise();
            }
        });
        if slot.0.wait(None, interrupted).is_err() {
            attempt.abort();
            return Err(ClientError::Interrupted);
        }
        let connection = slot.1.lock().take().expect("the signal is raised after the slot is filled")?;
        let data = Arc::new(DataPool::new(security.clone(), info.incarnation));
        let connector = Connector::new(data);
        let uplink = Outgoing::new(connection.sender);
        let (incoming, mut receiver) = (connector.incoming.clone(), connection.receiver);
        let scheduler = address.to_string();
        network.spawn(async move {
            let reason = loop {
                match receiver.recv::<SchedulerToClient>().await {
                    Ok(Some(message)) => {
                        incoming.post(message);
                        drive(incoming.clone());
                    }
                    Ok(None) => break format!("the scheduler at {scheduler} closed the connection"),
                    Err(error) => break format!("the connection to the scheduler at {scheduler} broke: {error}"),
                }
            };
            incoming.close(&reason);
            drive(incoming);
        });
        connector
            .finish(uplink, info, None, timeout, interrupted)
            .map_err(|problem| ClientError::Register { address: address.to_string(), problem })
    }

    /// Tells the scheduler something.
    pub fn send(&self, message: ClientToScheduler) {
        self.flush_unwanted();
        self.post(message);
    }

    pub(crate) fn post(&self, message: ClientToScheduler) {
        self.post_under(&mut self.0.state.lock(), message);
        drive(self.0.uplink.clone());
    }

    /// Posts and counts under the table's lock, so that numbers and order agree.
    fn post_under(&self, state: &mut State, message: ClientToScheduler) {
        state.posted += 1;
        self.0.uplink.post(message);
    }

    /// Submits work and retains each of `outputs` once per occurrence. Blobs that are pinned already are not sent again.
    pub fn submit(&self, graph: Graph, outputs: Vec<Key>, blobs: Vec<(BlobId, Payload)>) {
        {
            let mut state = self.0.state.lock();
            self.post_unwanted(&mut state);
            // Under the same lock as the posting: whoever finds a blob pinned may rely on its having been sent.
            let (new, dropped) = self.0.pins.lock().pin(blobs);
            if !new.is_empty() {
                self.post_under(&mut state, ClientToScheduler::Blobs(new));
            }
            let number = state.posted + 1;
            state.retain(&outputs, number);
            state.ask_again(&outputs, number);
            self.post_under(&mut state, ClientToScheduler::Submit { graph, outputs: Wanted::Keys(outputs) });
            if !dropped.is_empty() {
                self.post_under(&mut state, ClientToScheduler::DropBlobs(dropped));
            }
        }
        drive(self.0.uplink.clone());
    }

    /// Lets go of a blob that is not going to be used again.
    pub fn unpin(&self, blob: BlobId) {
        let was_pinned = self.0.pins.lock().unpin(blob);
        if was_pinned {
            self.post(ClientToScheduler::DropBlobs(vec![blob]));
        }
    }

    /// One more reference to each key, which the next message is going to ask for, or an earlier one has.
    pub fn retain(&self, keys: &[Key]) {
        let mut state = self.0.state.lock();
        self.post_unwanted(&mut state);
        let number = state.posted + 1;
        state.retain(keys, number);
    }

    /// One more reference to each key; the scheduler is told of those that are new here.
    pub fn want(&self, keys: &[Key]) {
        {
            let mut state = self.0.state.lock();
            self.post_unwanted(&mut state);
            let number = state.posted + 1;
            let new = state.retain(keys, number);
            if !new.is_empty() {
                self.post_under(&mut state, ClientToScheduler::Want(new));
            }
        }
        drive(self.0.uplink.clone());
    }

    /// The next message asks for these keys again: what was said of those that ended without a result counts no more.
    pub(crate) fn ask_again(&self, keys: &[Key]) {
        let mut state = self.0.state.lock();
        let number = state.posted + 1;
        state.ask_again(keys, number);
    }

    /// One reference less to each key. Never blocks; the scheduler is told a little later, in batches.
    pub fn release(&self, keys: &[Key]) {
        if self.is_foreign() {
            return;
        }
        let (flush_now, plan) = {
            let mut state = self.0.state.lock();
            if state.release(keys) {
                trim_soon();
            }
            if state.closed.is_some() {
                state.unwanted.clear();
            }
            let flush_now = state.unwanted.len() >= UNWANT_BATCH;
            let plan = !flush_now && !state.unwanted.is_empty() && !state.flush_planned;
            state.flush_planned |= plan;
            (flush_now, plan)
        };
        if flush_now {
            self.flush_unwanted();
        } else if plan && let Ok(network) = runtime::handle() {
            let client = self.clone();
            network.spawn(async move {
                tokio::time::sleep(UNWANT_DELAY).await;
                client.0.state.lock().flush_planned = false;
                client.flush_unwanted();
            });
        }
    }

    /// Tells the scheduler of what was released, before anything newer is said.
    pub(crate) fn flush_unwanted(&self) {
        self.post_unwanted(&mut self.0.state.lock());
        drive(self.0.uplink.clone());
    }

    fn post_unwanted(&self, state: &mut State) {
        if !state.unwanted.is_empty() {
            let unwanted = std::mem::take(&mut state.unwanted);
            self.post_under(state, ClientToScheduler::Unwant(unwanted));
        }
    }

    /// How a future stands.
    pub fn status(&self, key: Key) -> Status {
        if self.is_foreign() {
            return Status::Unknown;
        }
        self.0.state.lock().status(key)
    }

    /// Runs `callback` once, on any thread, when the key ends; at once if it has. It must not block.
    pub fn watch(&self, key: Key, callback: Box<dyn FnOnce() + Send>) {
        let done = self.0.state.lock().watch(key, Watcher::Callback(callback));
        if let Some(Watcher::Callback(callback)) = done {
            callback();
        }
    }

    /// Waits until all of `keys` have ended, or (`all == false`) one of them.
    ///
    /// # Errors
    /// On the time limit, an interruption, or a lost connection.
    pub fn wait(
        &self,
        keys: &[Key],
        all: bool,
        timeout: Option<Duration>,
        interrupted: Interrupted,
    ) -> Result<(), WaitError> {
        let deadline = deadline_of(timeout);
        self.drive_inline();
        if all { self.wait_all(keys, deadline, interrupted) } else { self.wait_any(keys, deadline, interrupted) }
    }

    /// Waits for the last pending key first: keys end roughly in order, so that one wake-up serves for all.
    fn wait_all(&self, keys: &[Key], deadline: Option<Instant>, interrupted: Interrupted) -> Result<(), WaitError> {
        let mut left = keys.len();
        let signal = Arc::new(Signal::default());
        loop {
            {
                let mut state = self.0.state.lock();
                while left > 0 && state.is_done(keys[left - 1]) {
                    left -= 1;
                }
                if left == 0 {
                    // One that had ended may be computed again meanwhile: start over with those.
                    match keys.iter().rposition(|key| !state.is_done(*key)) {
                        None => return Ok(()),
                        Some(last) => left = last + 1,
                    }
                }
                state.watch(keys[left - 1], Watcher::Signal(signal.clone()));
            }
            self.drive_inline();
            if let Err(error) = signal.wait(deadline, &mut *interrupted) {
                self.0.state.lock().unwatch(&keys[left - 1..left], &signal);
                return Err(error);
            }
        }
    }

    fn wait_any(&self, keys: &[Key], deadline: Option<Instant>, interrupted: Interrupted) -> Result<(), WaitError> {
        let signal = Arc::new(Signal::default());
        {
            let mut state = self.0.state.lock();
            if keys.is_empty() || keys.iter().any(|key| state.is_done(*key)) {
                return Ok(());
            }
            for key in keys {
                state.watch(*key, Watcher::Signal(signal.clone()));
            }
        }
        let ended = signal.wait(deadline, interrupted);
        self.0.state.lock().unwatch(keys, &signal);
        ended
    }

    /// Does nothing for a while.
    pub(crate) fn pause(
        &self,
        pause: Duration,
        deadline: Option<Instant>,
        interrupted: Interrupted,
    ) -> Result<(), WaitError> {
        match Signal::default().wait(Some(Instant::now() + pause), interrupted) {
            Ok(()) | Err(WaitError::TimedOut) => {}
            Err(other) => return Err(other),
        }
        if deadline.is_some_and(|deadline| deadline <= Instant::now()) { Err(WaitError::TimedOut) } else { Ok(()) }
    }

    /// For the synchronous engine: runs what is queued, here and now.
    pub(crate) fn drive_inline(&self) {
        if let Some(driver) = &self.0.driver {
            driver();
        }
    }

    /// Whether this process is a forked copy of the one that made the client. Such a client is closed, and silent.
    pub fn is_foreign(&self) -> bool {
        self.0.generation != fork::generation()
    }

    /// Why the connection ended, if it has.
    pub fn closed(&self) -> Option<Arc<str>> {
        if self.is_foreign() {
            return Some("it belongs to the process that this one was forked from; make a new one here".into());
        }
        self.0.state.lock().closed.clone()
    }

    /// Who this client is.
    pub fn incarnation(&self) -> Incarnation {
        self.0.incarnation
    }

    /// Where a worker listens.
    pub fn worker_address(&self, worker: WorkerId) -> Option<Arc<str>> {
        self.0.state.lock().workers.get(&worker).map(|(peer, _)| peer.address.clone())
    }

    /// Names of the workers, or of some of them, for people to read; None where there are none.
    pub fn workers_in_words(&self) -> Option<String> {
        let state = self.0.state.lock();
        let names = state.workers.values().take(MOST_NAMES).map(|(_, info)| format!("{:?}", info.name));
        let names: Vec<String> = names.collect();
        let more = if state.workers.len() > MOST_NAMES { ", ..." } else { "" };
        (!names.is_empty()).then(|| names.join(", ") + more)
    }

    /// How many workers there are.
    pub fn worker_count(&self) -> usize {
        self.0.state.lock().workers.len()
    }

    /// Whether any worker is in another process, so that objects must travel as bytes. Without workers: unknown.
    pub fn is_remote(&self) -> Option<bool> {
        let state = self.0.state.lock();
        let mut workers = state.workers.values().peekable();
        workers.peek()?;
        Some(workers.any(|(_, info)| !info.in_process))
    }

    /// Says goodbye and ends the connection. Idempotent.
    pub fn close(&self, reason: &str) {
        if self.closed().is_some() {
            return;
        }
        self.0.state.lock().unwanted.clear();
        self.post(ClientToScheduler::Closing);
        self.0.uplink.close(reason);
        self.0.data.close();
        let mut effects = Effects::default();
        self.0.state.lock().close(reason.into(), &mut effects);
        effects.run();
    }
}
