//! A worker as a process has it, with a scheduler and a peer behind sockets: what is on disk is given to peers, and the next
//! process of the same place takes it over.

mod language;

use kask_executor::WorkerHost;
use kask_executor::process::{self, SecurityConfig, WorkerProcessConfig};
use kask_executor::spill::SpillStats;
use kask_net::data_plane::{DataPlane, Fetched};
use kask_net::{
    Accepted, Address, Connection, DataPool, Listener, LocalDir, Receiver, Security, Sender, Token, connect_retrying,
    runtime as network,
};
use kask_types::{Incarnation, TaskId, ValueId};
use kask_wire::data::Value as WireValue;
use kask_wire::worker::{Peer, WorkerInfo};
use kask_wire::{DataReply, DataRequest, Role, SchedulerToWorker, WorkerToScheduler};
use language::{Bytewise, Folder, ME, MIB, compute, finished, get, noise, noises, payload_bytes, task};
use std::sync::{Arc, mpsc};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(60);

/// A scheduler that has one worker at a time.
struct Scheduler {
    address: String,
    accepted: mpsc::Receiver<(WorkerInfo, Sender, mpsc::Receiver<WorkerToScheduler>)>,
}

async fn first_word(receiver: &mut Receiver) -> WorkerInfo {
    match receiver.recv::<WorkerToScheduler>().await {
        Ok(Some(WorkerToScheduler::Register(info))) => info,
        other => panic!("the worker began with {other:?}"),
    }
}

/// The token of a test, in its file.
fn security(directory: &LocalDir) -> SecurityConfig {
    let file = directory.token_file();
    if !file.exists() {
        Token::create_file(&file).expect("the directory is ours");
    }
    SecurityConfig { token_file: Some(file), tls: None }
}

fn loaded(directory: &LocalDir) -> Security {
    security(directory).load().expect("it was just written")
}

fn scheduler(directory: &LocalDir, name: &str, incarnation: Incarnation) -> Scheduler {
    let address = directory.socket(name);
    let (sender, accepted) = mpsc::channel();
    let listening = address.clone();
    let (bound, is_bound) = mpsc::channel();
    let security = loaded(directory);
    network::handle().expect("a network thread").spawn(async move {
        let mut listener = Listener::bind(&listening, &security, incarnation).expect("a socket");
        bound.send(()).expect("somebody waits");
        while let Ok(Accepted { connection: Connection { sender: to, mut receiver, .. }, .. }) = listener.accept().await
        {
            let info = first_word(&mut receiver).await;
            let (said, hears) = mpsc::channel();
            to.send(&SchedulerToWorker::Registered { worker: ME, heartbeat_ms: 1000 }).expect("it listens");
            if sender.send((info, to, hears)).is_err() {
                return;
            }
            tokio::spawn(async move {
                while let Ok(Some(message)) = receiver.recv::<WorkerToScheduler>().await {
                    let _ = said.send(message);
                }
            });
        }
    });
    is_bound.recv().expect("it is bound");
    Scheduler { address: address.to_string(), accepted }
}

/// A worker, and how it is reached.
struct Rig {
    host: Arc<WorkerHost>,
    to: Sender,
    hears: mpsc::Receiver<WorkerToScheduler>,
    pool: DataPool,
    address: Arc<str>,
}

fn start(scheduler: &Scheduler, directory: &LocalDir, folder: &Folder, life: u128) -> Rig {
    start_at(scheduler, directory, folder, life, &directory.socket(&format!("w-{life}")).to_string())
}

fn start_at(scheduler: &Scheduler, directory: &LocalDir, folder: &Folder, life: u128, listen: &str) -> Rig {
    let config = WorkerProcessConfig {
        scheduler: scheduler.address.clone(),
        security: security(directory),
        name: "w-0".into(),
        incarnation: format!("{life:x}"),
        nthreads: 2,
        memory_limit_bytes: 160 * MIB as u64,
        listen: listen.to_owned(),
        host: "localhost".into(),
        connect_timeout_ms: 10_000,
        spill_directory: Some(folder.spill()),
        spill_reserve_bytes: Some(0),
        ..WorkerProcessConfig::default()
    };
    let config = serde_json::to_string(&config).expect("plain values");
    let host = process::start(&config, Arc::new(Bytewise), Vec::new()).expect("the scheduler listens");
    let (info, to, hears) = scheduler.accepted.recv_timeout(LIMIT).expect("the worker registers");
    let pool = DataPool::new(loaded(directory), Incarnation(99));
    pool.join(&Peer { worker: ME, incarnation: info.incarnation, address: info.address.clone() });
    Rig { host, to, hears, pool, address: info.address }
}

impl Rig {
    fn tell(&self, message: &SchedulerToWorker) {
        self.to.send(message).expect("the worker listens");
    }

    fn wait<T>(&self, what: &str, mut is_it: impl FnMut(&WorkerToScheduler) -> Option<T>) -> T {
        loop {
            let message = self.hears.recv_timeout(LIMIT).unwrap_or_else(|error| panic!("{what} did not come: {error}"));
            if let Some(found) = is_it(&message) {
                return found;
            }
        }
    }

    fn finished(&self, count: usize) {
        let mut done = 0;
        self.wait("the end of all tasks", |message| {
            done += finished(std::slice::from_ref(message)).len();
            (done >= count).then_some(())
        });
    }
}

fn ids(tasks: impl Iterator<Item = usize>) -> Vec<ValueId> {
    tasks.map(|slot| task(slot).into()).collect()
}

/// What is on disk when nothing has been written for a while.
fn settled(host: &WorkerHost) -> SpillStats {
    let mut before = host.spill_stats();
    loop {
        std::thread::sleep(Duration::from_millis(500));
        let now = host.spill_stats();
        if now == before {
            return now;
        }
        before = now;
    }
}

#[test]
fn peers_get_what_is_in_memory_and_on_disk() {
    let (directory, folder) = (LocalDir::new().expect("a directory"), Folder::new());
    let scheduler = scheduler(&directory, "s", Incarnation(5));
    let rig = start(&scheduler, &directory, &folder, 1);
    let mut tasks = noises(120, 2 * MIB);
    tasks.push(compute(120, format!("stubborn 120 {MIB}"), &[]));
    tasks.push(compute(121, format!("parts 121 {MIB}"), &[]));
    rig.tell(&SchedulerToWorker::Compute(tasks));
    rig.finished(122);
    let stats = rig.host.spill_stats();
    assert!(stats.values >= 20, "{stats:?}");
    let mut wanted = ids(0..123);
    wanted.push(ValueId { task: task(121), part: Some(3) });
    let got = get(&rig.pool, &wanted);
    for (id, fetched) in &got {
        match (id.task.slot, fetched) {
            (120, Fetched::Failed(_)) | (122, Fetched::NotThere) => {}
            (121, Fetched::Here(payload)) => {
                let len = payload_bytes(payload).len();
                // The whole says how many buffers each part has, and each has a pickle of 4 bytes.
                assert_eq!(len, if id.part.is_some() { MIB } else { 4 * (MIB + 8) });
            }
            (slot, Fetched::Here(payload)) => assert_eq!(payload_bytes(payload), noise(slot.into(), 2 * MIB)),
            (_, other) => panic!("{id:?} is {other:?}"),
        }
    }
    assert!(rig.host.close(Duration::from_secs(10), &mut || false));
}

/// Asks for values: how many of them came, in how many messages.
async fn count_messages(address: &str, security: Security, wanted: Vec<ValueId>) -> (usize, usize) {
    let address: Address = address.parse().expect("the worker's own words");
    let connection =
        connect_retrying(&address, &security, Role::Data, Incarnation(98), LIMIT).await.expect("it listens");
    let Connection { sender, mut receiver, .. } = connection;
    sender.send(&DataRequest::Get { request: 1, values: wanted }).expect("it listens");
    let (mut here, mut messages) = (0, 0);
    loop {
        let Ok(Some(DataReply::Values { request: 1, values, last })) = receiver.recv::<DataReply>().await else {
            panic!("no answer")
        };
        here += values.iter().filter(|(_, value)| matches!(value, WireValue::Here(_))).count();
        messages += 1;
        if last {
            return (here, messages);
        }
    }
}

#[test]
fn many_small_values_share_a_message() {
    let (directory, folder) = (LocalDir::new().expect("a directory"), Folder::new());
    let scheduler = scheduler(&directory, "s", Incarnation(5));
    let rig = start_at(&scheduler, &directory, &folder, 1, "tcp://127.0.0.1:0");
    rig.tell(&SchedulerToWorker::Compute(noises(2000, 100)));
    rig.finished(2000);
    let (answer, answered) = mpsc::channel();
    let (address, security) = (rig.address.clone(), loaded(&directory));
    network::handle().expect("a network thread").spawn(async move {
        let _ = answer.send(count_messages(&address, security, ids(0..2000)).await);
    });
    let (here, messages) = answered.recv_timeout(LIMIT).expect("an answer");
    // Noise that happens to begin like a stubborn value is one.
    assert_eq!(here, (0..2000).filter(|&slot| noise(slot, 100)[0] != b'!').count());
    assert!(messages <= 10, "2000 values of 100 bytes came in {messages} messages");
    assert!(rig.host.close(Duration::from_secs(10), &mut || false));
}

/// Asks for values and takes the answer only after a while: what of them came, and for how many the worker was busy.
async fn take_late(address: &str, security: Security, peer: Incarnation, wanted: Vec<ValueId>) -> (usize, usize) {
    let address: Address = address.parse().expect("the worker's own words");
    let limit = Duration::from_secs(10);
    let connection =
        connect_retrying(&address, &security, Role::Data, Incarnation(98), limit).await.expect("it listens");
    assert_eq!(connection.peer, peer);
    let Connection { sender, mut receiver, .. } = connection;
    sender.send(&DataRequest::Get { request: 1, values: wanted }).expect("it listens");
    tokio::time::sleep(Duration::from_millis(2500)).await;
    let (mut here, mut busy) = (0, 0);
    loop {
        match receiver.recv::<DataReply>().await {
            Ok(Some(DataReply::Values { request: 1, values, last })) => {
                for (id, value) in values {
                    match value {
                        WireValue::Here(payload) => {
                            assert_eq!(payload_bytes(&payload), noise(id.task.slot.into(), 2 * MIB));
                            here += 1;
                        }
                        WireValue::Busy => busy += 1,
                        other => panic!("{id:?} is {other:?}"),
                    }
                }
                if last {
                    return (here, busy);
                }
            }
            other => panic!("the answer is {other:?}"),
        }
    }
}

#[test]
fn a_peer_that_does_not_take_what_it_asks_for_is_told_to_ask_again() {
    let (directory, folder) = (LocalDir::new().expect("a directory"), Folder::new());
    let scheduler = scheduler(&directory, "s", Incarnation(5));
    let rig = start_at(&scheduler, &directory, &folder, 1, "tcp://127.0.0.1:0");
    rig.tell(&SchedulerToWorker::Compute(noises(120, 2 * MIB)));
    rig.finished(120);
    let (answer, answered) = mpsc::channel();
    let (address, security, peer) = (rig.address.clone(), loaded(&directory), Incarnation(1));
    network::handle().expect("a network thread").spawn(async move {
        let _ = answer.send(take_late(&address, security, peer, ids(0..120)).await);
    });
    let (here, busy) = answered.recv_timeout(LIMIT).expect("an answer");
    assert_eq!(here + busy, 120);
    // An eighth of the limit may wait in the worker, and some more in the sockets: how much those take is the
    // kernel's affair.
    assert!((1..40).contains(&here), "{here} values were sent to a peer that did not take them");
    assert!(rig.host.close(Duration::from_secs(10), &mut || false));
}

#[test]
fn the_next_process_of_a_place_takes_over_what_is_on_disk_for_the_same_scheduler_only() {
    let (directory, folder) = (LocalDir::new().expect("a directory"), Folder::new());
    let first = scheduler(&directory, "s", Incarnation(5));
    let rig = start(&first, &directory, &folder, 1);
    rig.tell(&SchedulerToWorker::Compute(noises(120, 2 * MIB)));
    rig.finished(120);
    let before = settled(&rig.host);
    // A process that is killed leaves its folder as it is. This one lives on, but does not touch it any more.
    let again = start(&first, &directory, &folder, 2);
    let adopted: Vec<(TaskId, u64)> = again.wait("the values taken over", |message| match message {
        WorkerToScheduler::Adopted(values) => Some(values.clone()),
        _ => None,
    });
    assert_eq!((adopted.len() as u64, again.host.spill_stats().bytes), (before.values, before.bytes));
    let got = get(&again.pool, &adopted.iter().map(|(task, _)| (*task).into()).collect::<Vec<_>>());
    for (id, fetched) in got {
        let Fetched::Here(payload) = fetched else { panic!("{id:?} is {fetched:?}") };
        assert_eq!(payload_bytes(&payload), noise(id.task.slot.into(), 2 * MIB));
    }
    let second = scheduler(&directory, "t", Incarnation(6));
    let stranger = start(&second, &directory, &folder, 3);
    assert_eq!(stranger.host.spill_stats().values, 0);
    assert_eq!(folder.files(), Vec::<std::path::PathBuf>::new());
    for rig in [stranger, again, rig] {
        rig.host.close(Duration::from_secs(10), &mut || false);
    }
}
