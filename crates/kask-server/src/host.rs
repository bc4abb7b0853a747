//! The scheduler core as an actor, and its links to clients, workers and supervisors.

use kask_net::reactor::{Actor, Link, Pump, Reactor, Wake, drive};
use kask_net::timer::Timer;
use kask_net::trim::trim_soon;
use kask_scheduler::{Action, Config, Event, Scheduler, SupervisorId};
use kask_types::{ClientId, Incarnation, Tick, WorkerId, shrunk};
use kask_wire::{
    ClientToScheduler, SchedulerToClient, SchedulerToSupervisor, SchedulerToWorker, SupervisorToScheduler,
    WorkerToScheduler,
};
use rustc_hash::FxHashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;
use tracing::{debug, info};

/// A scheduler of this process.
pub struct SchedulerHost {
    reactor: Reactor<Scheduling>,
    incarnation: Incarnation,
    timer: Arc<Timer>,
    next_id: AtomicU32,
}

pub(crate) enum Input {
    Core(Event),
    AddClient(ClientId, Arc<dyn Link<SchedulerToClient>>),
    AddWorker(WorkerId, Arc<dyn Link<SchedulerToWorker>>),
    AddSupervisor(SupervisorId, Arc<dyn Link<SchedulerToSupervisor>>),
    Close(Arc<str>),
}

struct Scheduling {
    core: Scheduler,
    clients: FxHashMap<ClientId, Arc<dyn Link<SchedulerToClient>>>,
    workers: FxHashMap<WorkerId, Arc<dyn Link<SchedulerToWorker>>>,
    supervisors: FxHashMap<SupervisorId, Arc<dyn Link<SchedulerToSupervisor>>>,
    started: Instant,
    timer: Arc<Timer>,
    /// The most tasks at a time since memory was last returned.
    most_tasks: usize,
}

impl SchedulerHost {
    /// A scheduler without peers.
    pub fn new(config: Config, incarnation: Incarnation) -> Arc<SchedulerHost> {
        let timer = Arc::new(Timer::default());
        let scheduling = Scheduling {
            core: Scheduler::new(config, incarnation, env!("CARGO_PKG_VERSION")),
            clients: FxHashMap::default(),
            workers: FxHashMap::default(),
            supervisors: FxHashMap::default(),
            started: Instant::now(),
            timer: timer.clone(),
            most_tasks: 0,
        };
        let reactor = Reactor::new(scheduling);
        let host = Arc::new(SchedulerHost { reactor, incarnation, timer: timer.clone(), next_id: AtomicU32::new(1) });
        let weak = Arc::downgrade(&host);
        timer.start(move || {
            let Some(host) = weak.upgrade() else { return false };
            host.input(Input::Core(Event::Tick));
            true
        });
        host
    }

    /// Which life of the scheduler this is.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    pub(crate) fn input(self: &Arc<Self>, input: Input) {
        self.reactor.post(input);
        drive(self.clone());
    }

    fn new_id(&self) -> u32 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Adds a client, which has to register next.
    pub fn add_client(self: &Arc<Self>, link: Arc<dyn Link<SchedulerToClient>>) -> Arc<ClientUplink> {
        let client = ClientId(self.new_id());
        self.input(Input::AddClient(client, link));
        Arc::new(ClientUplink { host: self.clone(), client })
    }

    /// Adds a worker, which has to register next.
    pub fn add_worker(self: &Arc<Self>, link: Arc<dyn Link<SchedulerToWorker>>) -> Arc<WorkerUplink> {
        let worker = WorkerId(self.new_id());
        self.input(Input::AddWorker(worker, link));
        Arc::new(WorkerUplink { host: self.clone(), worker })
    }

    /// Adds a supervisor, which has to register next.
    pub fn add_supervisor(self: &Arc<Self>, link: Arc<dyn Link<SchedulerToSupervisor>>) -> Arc<SupervisorUplink> {
        let supervisor = SupervisorId(self.new_id());
        self.input(Input::AddSupervisor(supervisor, link));
        Arc::new(SupervisorUplink { host: self.clone(), supervisor })
    }

    /// Tells every peer that the scheduler closes, and lets go of them.
    pub fn close(self: &Arc<Self>, reason: &str) {
        self.input(Input::Close(reason.into()));
        self.timer.stop();
    }

    /// Waits until a client asks for the cluster to be closed, or [`SchedulerHost::close`] was called.
    pub async fn closed(&self) {
        self.timer.stopped().await;
    }
}

impl Pump for SchedulerHost {
    fn pump(&self, wake: &mut Wake) {
        self.reactor.pump(wake);
    }
}

impl Actor for Scheduling {
    type Event = Input;

    fn handle(&mut self, events: &mut Vec<Input>, wake: &mut Wake) {
        let now = Tick(self.started.elapsed().as_nanos() as u64);
        for input in events.drain(..) {
            match input {
                Input::Core(event) => {
                    self.forget_lost(&event);
                    self.core.handle(now, event);
                }
                Input::AddClient(client, link) => drop(self.clients.insert(client, link)),
                Input::AddWorker(worker, link) => drop(self.workers.insert(worker, link)),
                Input::AddSupervisor(supervisor, link) => drop(self.supervisors.insert(supervisor, link)),
                Input::Close(reason) => self.close_all(&reason, wake),
            }
        }
        while let Some(action) = self.core.poll_action() {
            self.act(action, wake);
        }
        let deadline = self.core.next_deadline().map(|tick| self.started + std::time::Duration::from_nanos(tick.0));
        self.timer.set(deadline);
        self.trim_after_bursts();
    }
}

impl Scheduling {
    fn trim_after_bursts(&mut self) {
        let tasks = self.core.task_count();
        self.most_tasks = self.most_tasks.max(tasks);
        if shrunk(tasks, self.most_tasks).is_some() {
            self.most_tasks = tasks;
            trim_soon();
        }
    }

    fn forget_lost(&mut self, event: &Event) {
        match event {
            Event::ClientLost { client } => drop(self.clients.remove(client)),
            Event::WorkerLost { worker, .. } => drop(self.workers.remove(worker)),
            Event::SupervisorLost { supervisor } => drop(self.supervisors.remove(supervisor)),
            Event::ClientMessage { .. }
            | Event::WorkerMessage { .. }
            | Event::SupervisorMessage { .. }
            | Event::Tick => {}
        }
    }

    fn act(&mut self, action: Action, wake: &mut Wake) {
        match action {
            Action::ToClient { client, message } => post(self.clients.get(&client), message, wake),
            Action::ToWorker { worker, message } => post(self.workers.get(&worker), message, wake),
            Action::ToSupervisor { supervisor, message } => post(self.supervisors.get(&supervisor), message, wake),
            Action::DisconnectClient { client, reason } => {
                info!(?client, %reason, "client disconnected");
                if let Some(link) = self.clients.remove(&client) {
                    link.post(SchedulerToClient::Closing { reason: reason.clone() });
                    link.close(&reason);
                    wake.add(link);
                }
            }
            Action::DisconnectWorker { worker, reason } => {
                info!(?worker, %reason, "worker disconnected");
                if let Some(link) = self.workers.remove(&worker) {
                    link.post(SchedulerToWorker::Close { reason: reason.clone() });
                    link.close(&reason);
                    wake.add(link);
                }
            }
            Action::Shutdown => {
                self.close_all("a client shut the cluster down", wake);
                self.timer.stop();
            }
        }
    }

    fn close_all(&mut self, reason: &str, wake: &mut Wake) {
        debug!(reason, "the scheduler closes");
        let reason: Arc<str> = reason.into();
        for link in std::mem::take(&mut self.supervisors).into_values() {
            link.post(SchedulerToSupervisor::Close);
            link.close(&reason);
            wake.add(link);
        }
        for link in std::mem::take(&mut self.workers).into_values() {
            link.post(SchedulerToWorker::Close { reason: reason.clone() });
            link.close(&reason);
            wake.add(link);
        }
        for link in std::mem::take(&mut self.clients).into_values() {
            link.post(SchedulerToClient::Closing { reason: reason.clone() });
            link.close(&reason);
            wake.add(link);
        }
    }
}

fn post<M: 'static>(link: Option<&Arc<dyn Link<M>>>, message: M, wake: &mut Wake) {
    if let Some(link) = link {
        link.post(message);
        wake.add(link.clone());
    }
}

macro_rules! uplink {
    ($(#[$doc:meta])* $name:ident, $id:ident: $id_type:ty, $message:ty, $event:ident, $lost:expr) => {
        $(#[$doc])*
        pub struct $name {
            host: Arc<SchedulerHost>,
            $id: $id_type,
        }

        impl Pump for $name {
            fn pump(&self, wake: &mut Wake) {
                self.host.pump(wake);
            }
        }

        impl Link<$message> for $name {
            fn post(&self, message: $message) {
                self.host.reactor.post(Input::Core(Event::$event { $id: self.$id, message }));
            }
            fn close(&self, _: &str) {
                let lost: fn($id_type) -> Event = $lost;
                self.host.reactor.post(Input::Core(lost(self.$id)));
            }
        }

        impl Drop for $name {
            fn drop(&mut self) {
                let lost: fn($id_type) -> Event = $lost;
                self.host.reactor.post(Input::Core(lost(self.$id)));
                drive(self.host.clone());
            }
        }
    };
}

uplink!(
    /// A client's way to the scheduler; dropping it is the client's end.
    ClientUplink, client: ClientId, ClientToScheduler, ClientMessage, |client| Event::ClientLost { client }
);
uplink!(
    /// A worker's way to the scheduler; dropping it is the worker's end.
    WorkerUplink, worker: WorkerId, WorkerToScheduler, WorkerMessage,
    |worker| Event::WorkerLost { worker, certificate: None }
);
uplink!(
    /// A supervisor's way to the scheduler; dropping it is the supervisor's end.
    SupervisorUplink, supervisor: SupervisorId, SupervisorToScheduler, SupervisorMessage,
    |supervisor| Event::SupervisorLost { supervisor }
);
