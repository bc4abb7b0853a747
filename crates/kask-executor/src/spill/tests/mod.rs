//! Tests of the spill folder as a whole.

mod adoption;
mod damage;
mod limits;
mod round_trip;

use super::{Compression, Content, SpillDir, SpillOptions};
use bytes::Bytes;
use kask_types::payload::Segment;
use kask_types::{Incarnation, Payload, TaskId};
use std::path::{Path, PathBuf};

const SCHEDULER: Incarnation = Incarnation(17);
const PLACE: &str = "worker-0";

/// A folder of its own that is removed at the end.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Scratch {
        let mut random = [0; 8];
        getrandom::fill(&mut random).expect("the operating system gives random bytes");
        let path = std::env::temp_dir().join(format!("kask-spill-{name}-{:016x}", u64::from_le_bytes(random)));
        std::fs::create_dir(&path).expect("the temporary directory can be written to");
        Scratch(path)
    }

    fn folder(&self) -> PathBuf {
        self.0.join("spill")
    }

    fn open(&self, options: SpillOptions) -> SpillDir {
        SpillDir::open(&self.folder(), PLACE, SCHEDULER, options).expect("the folder can be used")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).expect("the folder is there");
    }
}

/// Without a reserve, so that tests pass on full disks.
fn options(compression: Compression) -> SpillOptions {
    SpillOptions { max_bytes: u64::MAX, reserve_bytes: Some(0), compression }
}

fn task(slot: u32) -> TaskId {
    TaskId { slot, generation: 3 }
}

/// Bytes that look random and differ between seeds.
fn noise(seed: u64, len: usize) -> Bytes {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes.into()
}

fn payload(segments: &[Bytes]) -> Payload {
    Payload::Bytes {
        head: Segment(segments.first().cloned().unwrap_or_default()),
        buffers: segments.iter().skip(1).cloned().map(Segment).collect(),
    }
}

fn whole(segments: &[Bytes]) -> Content {
    Content::Whole(payload(segments))
}

fn segments(payload: &Payload) -> Vec<Bytes> {
    match payload {
        Payload::Bytes { head, buffers } => std::iter::once(head).chain(buffers).map(|s| s.0.clone()).collect(),
        Payload::Local(_) => panic!("a spilled value came back as an object"),
    }
}

fn is_same(left: &Content, right: &Content) -> bool {
    left.parts() == right.parts()
        && left.payloads().len() == right.payloads().len()
        && left.payloads().iter().zip(right.payloads()).all(|(left, right)| segments(left) == segments(right))
}

/// Names and lengths of what is in the folder, but for the ledger and the lock.
fn files(folder: &Path) -> Vec<(String, u64)> {
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be listed"))
        .map(|entry| (entry.file_name().into_string().expect("plain names"), entry.metadata().expect("there").len()))
        .filter(|(name, _)| name != "ledger" && name != "lock")
        .collect();
    files.sort();
    files
}
