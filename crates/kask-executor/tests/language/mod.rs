//! A language for tests of the worker shell: objects are bytes, and a task's arguments say in words what it makes of them.
#![allow(dead_code, reason = "each test binary uses a part")]

use bytes::Bytes;
use kask_executor::runtime::{Completion, Job, Jobs, Runtime, Value};
use kask_graph::Slots;
use kask_net::data_plane::{DataPlane, DataSink, Fetched};
use kask_types::payload::Segment;
use kask_types::{Attempt, Failure, Local, LocalItems, Payload, TaskId, TaskName, ValueId, WorkerId};
use kask_wire::worker::{Input, Priority};
use kask_wire::{ComputeTask, WorkerToScheduler};
use std::any::Any;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::time::Duration;

pub const MIB: usize = 1 << 20;
pub const ME: WorkerId = WorkerId(1);

/// Objects of the test's language: bytes.
pub struct Object(Vec<u8>);

impl LocalItems for Object {
    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }
}

pub fn object(bytes: Vec<u8>) -> Payload {
    Payload::Local(Local { holder: Arc::new(Object(bytes)), index: 0 })
}

pub fn bytes_of(value: &Value) -> Bytes {
    match value {
        Value::Object { object, .. } => payload_bytes(object),
        Value::Encoded { payload, .. } => payload_bytes(payload),
        Value::Parts(parts) => parts.iter().flat_map(payload_bytes).collect(),
    }
}

pub fn payload_bytes(payload: &Payload) -> Bytes {
    match payload {
        Payload::Local(local) => {
            let object = local.holder.as_any().downcast_ref::<Object>().expect("all objects are ours");
            Bytes::copy_from_slice(&object.0)
        }
        Payload::Bytes { head, buffers } => match buffers.as_slice() {
            [] => head.0.clone(),
            buffers => buffers.iter().flat_map(|buffer| buffer.0.clone()).collect(),
        },
    }
}

/// Bytes that differ between seeds and cannot be compressed.
pub fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

pub fn checksum(bytes: &[u8]) -> u64 {
    let word = |chunk: &[u8]| chunk.iter().fold(0, |word: u64, byte| (word << 8) | u64::from(*byte));
    bytes.chunks(8).fold(7, |sum, chunk| sum.rotate_left(5) ^ word(chunk))
}

/// Runs what the arguments of a task say: a word and two numbers.
pub struct Bytewise;

pub fn run(job: &Job) -> Completion {
    let text = String::from_utf8(payload_bytes(&job.args).to_vec()).expect("the test's own words");
    let mut words = text.split(' ');
    let word = words.next().expect("a word");
    let mut number = || words.next().map_or(0, |word| word.parse::<usize>().expect("a number"));
    let value = |bytes: Vec<u8>| {
        let nbytes = bytes.len() as u64;
        Completion::Value { value: Value::Object { object: object(bytes), encoded: None }, nbytes }
    };
    match word {
        "noise" => value(noise(number() as u64, number())),
        "stubborn" => value([vec![b'!'], noise(number() as u64, number())].concat()),
        "checksums" => {
            let sums = job.inputs.iter().flat_map(|input| checksum(&bytes_of(input)).to_le_bytes());
            value(sums.collect())
        }
        "parts" => {
            let (seed, len) = (number() as u64, number());
            let parts: Arc<[Payload]> = (0..4)
                .map(|part| Payload::Bytes {
                    head: Segment(Bytes::from_static(b"part")),
                    buffers: vec![Segment(noise(seed * 10 + part, len).into())],
                })
                .collect();
            Completion::Value { value: Value::Parts(parts), nbytes: 4 * len as u64 }
        }
        other => panic!("nobody said {other}"),
    }
}

impl Runtime for Bytewise {
    fn run_jobs(&self, jobs: &mut dyn Jobs) {
        while let Some(job) = jobs.next() {
            let completion = run(&job);
            drop(job);
            jobs.done(completion);
        }
    }
    fn encode(&self, values: Vec<(TaskId, Payload)>) -> Vec<Result<Payload, Failure>> {
        let encode = |(_, value)| {
            let bytes = payload_bytes(&value);
            match bytes.first() {
                Some(b'!') => Err(Failure::Unrunnable { reason: "it does not like to be encoded".into() }),
                _ => Ok(Payload::Bytes { head: Segment(Bytes::from_static(b"noise")), buffers: vec![Segment(bytes)] }),
            }
        };
        values.into_iter().map(encode).collect()
    }
    fn call(&self, payload: Payload) -> Result<Payload, Failure> {
        Ok(payload)
    }
    fn spawn(&self, name: String, body: Box<dyn FnOnce() + Send>) {
        std::thread::Builder::new().name(name).spawn(body).expect("a thread for a test");
    }
}

pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new() -> Folder {
        let mut random = [0; 8];
        getrandom::fill(&mut random).expect("the operating system gives random bytes");
        let path = std::env::temp_dir().join(format!("kask-spilling-{:016x}", u64::from_le_bytes(random)));
        std::fs::create_dir(&path).expect("the temporary directory can be written to");
        Folder(path)
    }

    pub fn spill(&self) -> PathBuf {
        self.0.join("spill")
    }

    pub fn files(&self) -> Vec<PathBuf> {
        let Ok(entries) = std::fs::read_dir(self.spill()) else { return Vec::new() };
        let paths = entries.map(|entry| entry.expect("it can be listed").path());
        paths.filter(|path| !path.ends_with("ledger") && !path.ends_with("lock")).collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).expect("the folder is there");
    }
}

/// Asks a worker for values and waits for all of them.
pub fn get(data: &dyn DataPlane, ids: &[ValueId]) -> BTreeMap<ValueId, Fetched> {
    let (sender, answers) = mpsc::channel();
    data.get(ME, ids.to_vec(), Box::new(Sink(sender)));
    let mut got = BTreeMap::new();
    loop {
        let (values, last) = answers.recv_timeout(Duration::from_secs(60)).expect("an answer");
        got.extend(values);
        if last {
            return got;
        }
    }
}

struct Sink(mpsc::Sender<(Vec<(ValueId, Fetched)>, bool)>);

impl DataSink for Sink {
    fn values(&mut self, values: Vec<(ValueId, Fetched)>, last: bool) {
        let _ = self.0.send((values, last));
    }
}

pub fn finished(said: &[WorkerToScheduler]) -> Vec<TaskId> {
    let mut tasks = Vec::new();
    for message in said {
        if let WorkerToScheduler::Finished(all) = message {
            tasks.extend(all.iter().map(|finished| finished.task));
        }
    }
    tasks
}

pub fn task(slot: usize) -> TaskId {
    TaskId { slot: slot as u32, generation: 0 }
}

pub fn compute(slot: usize, args: String, inputs: &[ValueId]) -> ComputeTask {
    ComputeTask {
        task: task(slot),
        attempt: Attempt(1),
        name: TaskName::Custom(format!("f-{slot}").into()),
        function: None,
        args: Payload::from_bytes(args),
        item: None,
        position: None,
        slots: Slots::Each,
        inputs: inputs
            .iter()
            .map(|id| Input {
                task: id.task,
                part: id.part,
                nbytes: 2 * MIB as u64,
                holders: [ME].into_iter().collect(),
            })
            .collect(),
        priority: Priority { order: slot as u32, ..Priority::default() },
        resources: None,
        memory_bytes: 0,
        checkpoint: false,
    }
}

pub fn noises(count: usize, len: usize) -> Vec<ComputeTask> {
    (0..count).map(|slot| compute(slot, format!("noise {slot} {len}"), &[])).collect()
}
