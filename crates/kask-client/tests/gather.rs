//! Gathering from workers that do not have it, have too much to send, or cannot be reached.
//!
//! The scheduler is a link that answers by a script, the workers are a data plane that does.

use kask_client::{Client, Connector, WaitError};
use kask_net::data_plane::{DataPlane, DataSink, Fetched, PutDone};
use kask_net::reactor::{Link, Pump, Wake, drive};
use kask_types::{ClientId, Failure, Incarnation, Key, Payload, TaskId, ValueId, WorkerId};
use kask_wire::client::{ClientInfo, KeyInMemory};
use kask_wire::worker::Peer;
use kask_wire::{ClientToScheduler, SchedulerToClient};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};

const TASK: TaskId = TaskId { slot: 1, generation: 0 };

/// What a worker does with a request, by how many came before.
type Worker = Box<dyn Fn(WorkerId, usize) -> Fetched + Send + Sync>;

struct Workers {
    answer: Worker,
    asked: Mutex<Vec<WorkerId>>,
}

impl DataPlane for Workers {
    fn join(&self, _: &Peer) {}
    fn leave(&self, _: WorkerId) {}
    fn get(&self, worker: WorkerId, values: Vec<ValueId>, mut sink: Box<dyn DataSink>) {
        let before = self.asked.lock().len();
        self.asked.lock().push(worker);
        sink.values(values.into_iter().map(|value| (value, (self.answer)(worker, before))).collect(), true);
    }
    fn put(&self, _: WorkerId, _: Vec<(TaskId, Payload, u64)>, _: PutDone) {
        panic!("nothing is put here");
    }
    fn close(&self) {}
}

/// What the scheduler answers to a message about keys that somebody did not have.
type OnMissing = Box<dyn Fn(&[(Key, WorkerId)]) -> Vec<SchedulerToClient> + Send + Sync>;

struct Scheduler {
    client: Arc<dyn Link<SchedulerToClient>>,
    on_missing: OnMissing,
    said: Mutex<Vec<ClientToScheduler>>,
}

impl Pump for Scheduler {
    fn pump(&self, _: &mut Wake) {}
}

impl Link<ClientToScheduler> for Scheduler {
    fn post(&self, message: ClientToScheduler) {
        let answers = match &message {
            ClientToScheduler::Register(_) => {
                vec![SchedulerToClient::Registered { client: ClientId(1), workers: vec![] }]
            }
            ClientToScheduler::Missing(keys) => (self.on_missing)(keys),
            _ => vec![],
        };
        self.said.lock().push(message);
        if !answers.is_empty() {
            let client = self.client.clone();
            // From another thread, as from a connection.
            std::thread::spawn(move || {
                answers.into_iter().for_each(|answer| client.post(answer));
                drive(client);
            });
        }
    }
    fn close(&self, _: &str) {}
}

struct Setup {
    client: Client,
    scheduler: Arc<Scheduler>,
    workers: Arc<Workers>,
    key: Key,
}

fn key() -> Key {
    Key::from_name("a")
}

fn in_memory(worker: u32) -> SchedulerToClient {
    let there = KeyInMemory { key: key(), task: TASK, worker: WorkerId(worker), nbytes: 3 };
    SchedulerToClient::InMemory(vec![there])
}

/// A client that wants one key, which is on worker 1.
fn setup(answer: Worker, on_missing: OnMissing) -> Setup {
    let workers = Arc::new(Workers { answer, asked: Mutex::default() });
    let connector = Connector::new(workers.clone());
    let incoming = connector.incoming();
    let scheduler = Arc::new(Scheduler { client: incoming.clone(), on_missing, said: Mutex::default() });
    let info = ClientInfo { name: "me".into(), incarnation: Incarnation(1), versions: vec![] };
    let client = connector
        .finish(scheduler.clone(), info, None, Duration::from_secs(10), &mut || false)
        .expect("the scheduler answers");
    client.want(&[key()]);
    incoming.post(SchedulerToClient::Handled(u64::MAX));
    incoming.post(in_memory(1));
    drive(incoming);
    Setup { client, scheduler, workers, key: key() }
}

impl Setup {
    fn gather(&self, timeout: Duration) -> Result<Result<Payload, Failure>, WaitError> {
        let mut all = self.client.gather(&[self.key], Some(timeout), &mut || false)?;
        Ok(all.pop().expect("one key was asked for"))
    }

    /// What the scheduler was told of workers that had nothing.
    fn missed(&self) -> Vec<(Key, WorkerId)> {
        let said = self.scheduler.said.lock();
        let missing = said.iter().filter_map(|message| match message {
            ClientToScheduler::Missing(keys) => Some(keys.clone()),
            _ => None,
        });
        missing.flatten().collect()
    }
}

fn value() -> Fetched {
    Fetched::Here(Payload::from_bytes(b"abc".to_vec()))
}

const LONG: Duration = Duration::from_secs(20);

#[test]
fn the_scheduler_is_told_who_did_not_have_it_and_says_who_does() {
    let answer: Worker = Box::new(|worker, _| if worker == WorkerId(2) { value() } else { Fetched::NotThere });
    let setup = setup(answer, Box::new(|_| vec![in_memory(2)]));
    let started = Instant::now();
    assert!(setup.gather(LONG).expect("in time").is_ok());
    assert_eq!(setup.missed(), [(key(), WorkerId(1))]);
    assert_eq!(*setup.workers.asked.lock(), [WorkerId(1), WorkerId(2)]);
    assert!(started.elapsed() < Duration::from_secs(5), "nothing is waited for but the answer");
}

#[test]
fn what_is_being_computed_again_is_waited_for_without_asking() {
    let answer: Worker = Box::new(|_, before| if before > 0 { value() } else { Fetched::NotThere });
    let setup = setup(answer, Box::new(|_| vec![SchedulerToClient::Pending(vec![key()])]));
    let client = setup.scheduler.client.clone();
    let later = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        client.post(in_memory(1));
        drive(client);
    });
    assert!(setup.gather(LONG).expect("in time").is_ok());
    later.join().expect("it does not panic");
    assert_eq!((setup.missed().len(), setup.workers.asked.lock().len()), (1, 2));
}

#[test]
fn a_busy_worker_is_asked_again_and_nobody_is_told() {
    let setup = setup(Box::new(|_, before| if before >= 3 { value() } else { Fetched::Busy }), Box::new(|_| vec![]));
    assert!(setup.gather(LONG).expect("in time").is_ok());
    assert_eq!((setup.missed().len(), setup.workers.asked.lock().len()), (0, 4));
}

#[test]
fn a_time_limit_holds_while_a_worker_cannot_be_reached() {
    let setup = setup(Box::new(|_, _| Fetched::Unreachable), Box::new(|_| vec![]));
    let ended = setup.gather(Duration::from_millis(400));
    assert!(matches!(ended, Err(WaitError::TimedOut)), "{ended:?}");
    let asked = setup.workers.asked.lock().len();
    assert!((2..200).contains(&asked), "asked {asked} times");
}

#[test]
fn a_value_that_nobody_has_though_the_scheduler_says_so_fails() {
    let setup = setup(Box::new(|_, _| Fetched::NotThere), Box::new(|_| vec![in_memory(1)]));
    let failure = setup.gather(LONG).expect("in time").expect_err("nobody has it");
    assert!(failure.to_string().contains("named 31 holders"), "{failure}");
}
