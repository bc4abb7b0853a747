//! Scattering to workers that die before or after they take their values, cannot be reached, or are not there.
//!
//! The scheduler is a link that answers by a script, the workers are a data plane that does.

use kask_client::{Client, Connector, Scatter, Status, WaitError};
use kask_net::data_plane::{DataPlane, DataSink, PutDone};
use kask_net::reactor::{Link, Pump, Wake, drive};
use kask_types::{ClientId, Failure, Incarnation, Key, Loss, Payload, TaskId, ValueId, WorkerId, WorkerRestriction};
use kask_wire::client::{ClientInfo, KeyInMemory};
use kask_wire::worker::Peer;
use kask_wire::{ClientToScheduler, Reply, SchedulerToClient};
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

const TASK: TaskId = TaskId { slot: 1, generation: 0 };

/// What becomes of a put.
#[derive(Clone, Copy)]
enum Fate {
    /// It is taken, and stays.
    Taken,
    /// It is not taken.
    Refused,
    /// It is taken, and its worker dies with it.
    Dies,
}

/// Scheduler and workers at once: every scatter is sent to the next worker, and ends as the script says, whose last word
/// is repeated. Without a script no worker is there.
struct Cluster {
    script: Vec<Fate>,
    client: Mutex<Option<Arc<dyn Link<SchedulerToClient>>>>,
    scatters: Mutex<u32>,
    puts: Mutex<Vec<WorkerId>>,
}

impl Cluster {
    fn say(&self, messages: Vec<SchedulerToClient>) {
        let client = self.client.lock().clone().expect("it is set before anything is said");
        // From another thread, as from a connection.
        std::thread::spawn(move || {
            messages.into_iter().for_each(|message| client.post(message));
            drive(client);
        });
    }
}

impl Pump for Cluster {
    fn pump(&self, _: &mut Wake) {}
}

impl Link<ClientToScheduler> for Cluster {
    fn post(&self, message: ClientToScheduler) {
        match message {
            ClientToScheduler::Register(_) => {
                self.say(vec![SchedulerToClient::Registered { client: ClientId(1), workers: vec![] }]);
            }
            ClientToScheduler::Scatter { request, .. } if !self.script.is_empty() => {
                let mut scatters = self.scatters.lock();
                *scatters += 1;
                let reply = Reply::Scatter(vec![(0, TASK, vec![WorkerId(*scatters)])]);
                self.say(vec![SchedulerToClient::Handled(u64::MAX), SchedulerToClient::Answer { request, reply }]);
            }
            _ => {}
        }
    }
    fn close(&self, _: &str) {}
}

struct Workers(Arc<Cluster>);

impl DataPlane for Workers {
    fn join(&self, _: &Peer) {}
    fn leave(&self, _: WorkerId) {}
    fn get(&self, _: WorkerId, _: Vec<ValueId>, _: Box<dyn DataSink>) {
        panic!("nothing is asked for here");
    }
    fn put(&self, worker: WorkerId, _: Vec<(TaskId, Payload, u64)>, done: PutDone) {
        let mut puts = self.0.puts.lock();
        let fate = self.0.script[puts.len().min(self.0.script.len() - 1)];
        puts.push(worker);
        match fate {
            Fate::Taken => {
                self.0.say(vec![SchedulerToClient::InMemory(vec![KeyInMemory {
                    key: key(),
                    task: TASK,
                    worker,
                    nbytes: 3,
                }])]);
                done(Ok(()));
            }
            Fate::Refused => done(Err("the connection broke".into())),
            Fate::Dies => {
                let failure = Failure::Lost { task: "x".into(), how: Loss::WithWorkers };
                self.0.say(vec![SchedulerToClient::Ended(vec![(key(), failure)])]);
                done(Ok(()));
            }
        }
    }
    fn close(&self) {}
}

fn key() -> Key {
    Key::from_name("x")
}

fn scatter(script: &[Fate], what: &Scatter) -> (Result<(), WaitError>, Client, Arc<Cluster>) {
    let cluster = Arc::new(Cluster {
        script: script.to_vec(),
        client: Mutex::default(),
        scatters: Mutex::default(),
        puts: Mutex::default(),
    });
    let connector = Connector::new(Arc::new(Workers(cluster.clone())));
    *cluster.client.lock() = Some(connector.incoming());
    let info = ClientInfo { name: "me".into(), incarnation: Incarnation(1), versions: vec![] };
    let client = connector
        .finish(cluster.clone(), info, None, Duration::from_secs(10), &mut || false)
        .expect("the scheduler answers");
    client.retain(&[key()]);
    let payload = Payload::from_bytes(vec![1, 2, 3]);
    let outcome = client.scatter(what, &|_, _| (payload.clone(), 3), &mut || false);
    (outcome, client, cluster)
}

fn one_value() -> Scatter {
    Scatter {
        values: vec![(key(), "x".into(), 3)],
        workers: None,
        broadcast: false,
        timeout: Some(Duration::from_secs(20)),
        patience: Duration::from_secs(20),
    }
}

#[test]
fn what_no_worker_took_goes_to_another() {
    let (outcome, client, cluster) = scatter(&[Fate::Refused, Fate::Refused, Fate::Taken], &one_value());
    outcome.expect("the third worker takes it");
    assert_eq!(*cluster.puts.lock(), [1, 2, 3].map(WorkerId));
    assert!(matches!(client.status(key()), Status::InMemory { worker: WorkerId(3), .. }));
}

#[test]
fn what_died_with_its_worker_goes_to_another() {
    let (outcome, client, cluster) = scatter(&[Fate::Dies, Fate::Refused, Fate::Dies, Fate::Taken], &one_value());
    outcome.expect("the fourth worker keeps it");
    assert_eq!(cluster.puts.lock().len(), 4);
    assert!(matches!(client.status(key()), Status::InMemory { .. }));
}

#[test]
fn workers_that_cannot_be_reached_are_given_up_on() {
    let what = Scatter { timeout: None, patience: Duration::from_millis(50), ..one_value() };
    let (outcome, _, cluster) = scatter(&[Fate::Refused], &what);
    let problem = outcome.expect_err("no worker takes it").to_string();
    assert!(problem.contains("the connection broke"), "{problem}");
    assert!(cluster.puts.lock().len() > 2);
}

#[test]
fn without_a_worker_the_error_says_who_was_asked_for() {
    let workers = Some(WorkerRestriction { workers: vec!["nobody".into()], allow_other_workers: false });
    for timeout in [None, Some(Duration::from_millis(50))] {
        let what = Scatter { workers: workers.clone(), timeout, patience: Duration::from_millis(50), ..one_value() };
        let (outcome, _, _) = scatter(&[], &what);
        assert!(matches!(&outcome, Err(WaitError::NoWorker(_))), "{outcome:?}");
    }
}
