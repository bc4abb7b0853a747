//! Scheduler, workers and client together, without Python: in one process, and over real sockets.

use kask_client::{Client, Connector, Status};
use kask_executor::runtime::{Completion, Job, Jobs, Runtime, Value};
use kask_executor::{LocalWorkers, WorkerHost, WorkerOptions};
use kask_graph::{Graph, KeyLists, Layer, LayerKind, MapLayer};
use kask_net::{Address, LocalDir, Security, Token};
use kask_scheduler::Config;
use kask_server::SchedulerHost;
use kask_types::{
    Annotations, BlobId, Failure, Incarnation, Items, Key, LayerToken, Local, LocalItems, Payload, RaisedError,
    Resources, TaskId,
};
use kask_wire::client::ClientInfo;
use kask_wire::{Query, Reply};
use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

/// Calls three functions on numbers: `inc`, `sum` and `fail`.
struct Numbers;

struct Number(u64);

impl LocalItems for Number {
    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }
}

fn local(number: u64) -> Payload {
    Payload::Local(Local { holder: Arc::new(Number(number)), index: 0 })
}

fn bytes(payload: &Payload) -> Vec<u8> {
    match payload {
        Payload::Bytes { head, .. } => head.0.to_vec(),
        Payload::Local(_) => panic!("bytes were expected"),
    }
}

fn number(payload: &Payload) -> u64 {
    match payload {
        Payload::Bytes { head, .. } => u64::from_le_bytes(head.0[..].try_into().expect("eight bytes")),
        Payload::Local(local) => local.holder.as_any().downcast_ref::<Number>().expect("a number").0,
    }
}

fn run(job: &Job) -> Completion {
    let function = job.function.as_ref().map(|blob| bytes(&blob.payload)).unwrap_or_default();
    let inputs: Vec<u64> = job.inputs.iter().map(|input| number(&input.for_this_process())).collect();
    let result = match &function[..] {
        b"inc" => number(&job.args) + 1,
        b"sum" => inputs.iter().sum(),
        _ => {
            return Completion::Failed(Failure::Raised(Arc::new(RaisedError {
                task: job.name.to_string().into(),
                type_name: "ValueError".into(),
                message: "asked to".into(),
                traceback: String::new(),
                worker: String::new(),
                exception: None,
            })));
        }
    };
    Completion::Value { value: Value::Object { object: local(result), encoded: None }, nbytes: 8 }
}

impl Runtime for Numbers {
    fn run_jobs(&self, jobs: &mut dyn Jobs) {
        while let Some(job) = jobs.next() {
            jobs.done(run(&job));
        }
    }
    fn encode(&self, values: Vec<(TaskId, Payload)>) -> Vec<Result<Payload, Failure>> {
        let encode = |(_, value)| Ok(Payload::from_bytes(number(&value).to_le_bytes().to_vec()));
        values.into_iter().map(encode).collect()
    }
    fn call(&self, payload: Payload) -> Result<Payload, Failure> {
        Ok(payload)
    }
    fn spawn(&self, name: String, body: Box<dyn FnOnce() + Send>) {
        std::thread::Builder::new().name(name).spawn(body).expect("a thread for a test");
    }
}

fn never() -> bool {
    false
}

const LIMIT: Option<Duration> = Some(Duration::from_secs(20));

fn info(n: u128) -> ClientInfo {
    ClientInfo { name: "test".into(), incarnation: Incarnation(n), versions: Vec::new() }
}

fn worker_options(name: &str, n: u128) -> WorkerOptions {
    WorkerOptions {
        name: name.into(),
        incarnation: Incarnation(n),
        nthreads: 2,
        resources: Resources::default(),
        memory: Default::default(),
        local_directory: "".into(),
        host: "localhost".into(),
        versions: Vec::new(),
        in_process: true,
        synchronous: false,
        last_task_file: None,
    }
}

struct Embedded {
    scheduler: Arc<SchedulerHost>,
    worker: Arc<WorkerHost>,
    client: Client,
}

fn embedded() -> Embedded {
    let scheduler = SchedulerHost::new(Config::default(), Incarnation(1));
    let shared = Arc::new(LocalWorkers::default());
    let worker = WorkerHost::new(worker_options("w", 2), Arc::new(Numbers), shared.clone());
    shared.add(&worker);
    worker.start(scheduler.add_worker(worker.incoming()), "inproc://test/w");
    let connector = Connector::new(shared);
    let uplink = scheduler.add_client(connector.incoming());
    let client =
        connector.finish(uplink, info(3), None, Duration::from_secs(5), &mut never).expect("an in-process client");
    Embedded { scheduler, worker, client }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.client.close("the test is over");
        self.scheduler.close("the test is over");
        assert!(self.worker.close(Duration::from_secs(5), &mut never), "no runner is left behind");
    }
}

/// A map layer of `function` over numbers, or over the results of `inputs`.
fn map(function: &str, token: u128, items: &[u64], inputs: KeyLists) -> (Graph, Vec<Key>, Vec<(BlobId, Payload)>) {
    let blob = BlobId::of(function.as_bytes());
    let keys: Vec<Key> = (0..items.len()).map(|i| Key::block(LayerToken(token), i as u32)).collect();
    let items = items.iter().map(|item| Payload::from_bytes(item.to_le_bytes().to_vec())).collect();
    let layer = Layer {
        token: LayerToken(token),
        prefix: function.into(),
        annotations: Annotations::default(),
        kind: LayerKind::Map(MapLayer {
            function: blob,
            items: Items::Each(items),
            keys: keys.clone(),
            names: Vec::new(),
            inputs,
        }),
    };
    let payload = Payload::from_bytes(function.as_bytes().to_vec());
    (Graph { layers: vec![layer] }, keys, vec![(blob, payload)])
}

fn submit(client: &Client, work: (Graph, Vec<Key>, Vec<(BlobId, Payload)>)) -> Vec<Key> {
    let (graph, keys, blobs) = work;
    client.submit(graph, keys.clone(), blobs);
    keys
}

fn gather(client: &Client, keys: &[Key]) -> Vec<u64> {
    let results = client.gather(keys, LIMIT, &mut never).expect("results within the limit");
    results.into_iter().map(|result| number(&result.expect("no failure"))).collect()
}

#[test]
fn embedded_map_and_sum() {
    let engine = embedded();
    let items: Vec<u64> = (0..10_000).collect();
    let keys = submit(&engine.client, map("inc", 7, &items, KeyLists::default()));
    let all = KeyLists { keys: keys.clone(), ends: vec![keys.len() as u32] };
    let sum = submit(&engine.client, map("sum", 8, &[0], all));
    assert_eq!(gather(&engine.client, &keys), (1..=10_000).collect::<Vec<u64>>());
    assert_eq!(gather(&engine.client, &sum), [50_005_000]);
}

#[test]
fn embedded_chain() {
    let engine = embedded();
    let mut keys = submit(&engine.client, map("inc", 1, &[0], KeyLists::default()));
    for link in 2..500 {
        let inputs = KeyLists { keys: keys.clone(), ends: vec![1] };
        keys = submit(&engine.client, map("sum", link, &[0], inputs));
    }
    assert_eq!(gather(&engine.client, &keys), [1]);
}

#[test]
fn a_failure_reaches_the_client_and_what_depends_on_it() {
    let engine = embedded();
    let failing = submit(&engine.client, map("fail", 1, &[0], KeyLists::default()));
    let dependent = submit(&engine.client, map("sum", 2, &[0], KeyLists { keys: failing, ends: vec![1] }));
    let results = engine.client.gather(&dependent, LIMIT, &mut never).expect("an answer");
    assert!(matches!(&results[0], Err(Failure::Raised(error)) if error.message == "asked to"));
}

#[test]
fn what_is_released_is_forgotten() {
    let engine = embedded();
    let keys = submit(&engine.client, map("inc", 7, &[1, 2, 3], KeyLists::default()));
    assert_eq!(gather(&engine.client, &keys), [2, 3, 4]);
    engine.client.release(&keys);
    assert!(matches!(engine.client.status(keys[0]), Status::Unknown));
    let started = std::time::Instant::now();
    loop {
        match engine.client.ask(Query::Info, LIMIT, &mut never).expect("an answer") {
            Reply::Info(info) if info.tasks == 0 => break,
            _ => assert!(started.elapsed() < Duration::from_secs(5), "the scheduler still knows the tasks"),
        }
    }
}

#[test]
fn a_wait_ends_at_its_limit_and_when_interrupted() {
    let engine = embedded();
    engine.client.retain(&[Key(99)]);
    let started = std::time::Instant::now();
    let limit = Some(Duration::from_millis(60));
    assert!(engine.client.wait(&[Key(99)], true, limit, &mut never).is_err());
    assert!(engine.client.wait(&[Key(99)], true, None, &mut || true).is_err());
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[test]
fn a_client_over_a_unix_socket_asks_and_is_refused_without_the_token() {
    let engine = embedded();
    let directory = LocalDir::new().expect("a private directory");
    let token = Token::create_file(directory.token_file()).expect("a token");
    let security = Security::with_token(token);
    let address = engine.scheduler.listen(&directory.socket("s"), &security).expect("a socket");
    let client = Client::connect(&address, &security, info(9), Duration::from_secs(5), &mut never).expect("a client");
    assert!(matches!(client.ask(Query::Info, LIMIT, &mut never), Ok(Reply::Info(info)) if info.workers.len() == 1));
    client.close("done");
    let other = Security::with_token(Token::generate().expect("a token"));
    let refused = Client::connect(&address, &other, info(10), Duration::from_secs(5), &mut never);
    assert!(refused.err().expect("a refusal").to_string().contains("token"));
    let nowhere: Address = "tcp://127.0.0.1:1".parse().expect("an address");
    let nobody = Client::connect(&nowhere, &security, info(11), Duration::from_secs(5), &mut never);
    assert!(nobody.err().expect("nobody there").to_string().contains("127.0.0.1:1"));
}

#[test]
fn threads_that_use_a_new_function_at_once_all_get_it() {
    let engine = embedded();
    let together = std::sync::Barrier::new(3);
    std::thread::scope(|scope| {
        for thread in 0..3u128 {
            let (client, together) = (engine.client.clone(), &together);
            scope.spawn(move || {
                for round in 0..5_000u128 {
                    let (mut graph, keys, _) = map("inc", round << 8 | thread, &[1], KeyLists::default());
                    let blob = BlobId(round << 8 | 0xff);
                    if let LayerKind::Map(layer) = &mut graph.layers[0].kind {
                        layer.function = blob;
                    }
                    let function = Payload::from_bytes(b"inc".to_vec());
                    together.wait();
                    client.submit(graph, keys.clone(), vec![(blob, function)]);
                    assert_eq!(gather(&client, &keys), [2]);
                    client.release(&keys);
                }
            });
        }
    });
}
