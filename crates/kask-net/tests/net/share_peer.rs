//! The other process of the tests of shared memory: this test program, started again as a server.
//!
//! It answers on a Unix socket. What it is asked for is said by the number of the "task"; sizes are its generation, in
//! bytes.

use crate::{PATIENCE, THERE};
use bytes::Bytes;
use kask_net::{Address, Arena, Connection, Listener, LocalDir, Security, Token, share};
use kask_types::{Payload, TaskId, ValueId};
use kask_wire::data::Value;
use kask_wire::{DataReply, DataRequest};
use parking_lot::Mutex;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

const SOCKET: &str = "KASK_TEST_SHARE_SOCKET";
const LENT_MAX: &str = "KASK_TEST_SHARE_LENT_MAX";

/// A value in the server's arena.
pub(crate) const IN_ARENA: u32 = 1;
/// A value in its ordinary memory.
pub(crate) const ELSEWHERE: u32 = 2;
/// A [`Report`].
pub(crate) const REPORT: u32 = 3;
/// Lets go of what it holds.
pub(crate) const FORGET: u32 = 4;
/// A value in the server's arena of which it holds the one copy.
pub(crate) const HELD: u32 = 5;
/// From now on there is no room for copies.
pub(crate) const NO_ROOM: u32 = 6;

/// The server's process, killed when dropped.
pub(crate) struct Server {
    pub(crate) child: Child,
    pub(crate) place: Address,
    pub(crate) security: Security,
    _dir: LocalDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Server {
    pub(crate) fn start() -> Server {
        Server::start_with(None)
    }

    /// One that lends at most so many bytes.
    pub(crate) fn start_with(lent_max: Option<u64>) -> Server {
        let (dir, _) = crate::local();
        let token = Token::create_file(dir.token_file()).or_else(|_| Token::read_file(dir.token_file()));
        let security = Security { token: Some(token.expect("a token")), tls: None };
        let place = dir.socket("server");
        let child = Command::new("/proc/self/exe")
            .args(["--exact", "share_peer::serve_until_killed", "--ignored", "--nocapture"])
            .env(SOCKET, place.to_string())
            .envs(lent_max.map(|bytes| (LENT_MAX, bytes.to_string())))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("a process");
        Server { child, place, security, _dir: dir }
    }

    pub(crate) fn kill(&mut self) {
        // Fails when it has ended, which is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub(crate) async fn connect(&self) -> Connection {
        let role = kask_wire::Role::Data;
        kask_net::connect_retrying(&self.place, &self.security, role, crate::HERE, PATIENCE).await.expect("connected")
    }
}

/// How the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) lent: u64,
    pub(crate) foreign: u64,
    pub(crate) descriptors: u64,
    pub(crate) maps: u64,
    pub(crate) allocated: u64,
    pub(crate) kept: u64,
}

impl Report {
    /// Of this process, where `held` is what it has received.
    pub(crate) fn here(held: &[Bytes]) -> Report {
        let count = |path: &str| std::fs::read_dir(path).expect("a directory").count() as u64;
        let maps = std::fs::read_to_string("/proc/self/maps").expect("the maps");
        Report {
            lent: share::lent_bytes(),
            foreign: held.iter().filter(|bytes| share::is_foreign(bytes)).count() as u64,
            descriptors: count("/proc/self/fd"),
            maps: maps.lines().filter(|line| line.contains("kask-arena")).count() as u64,
            allocated: Arena::global().map_or(0, |arena| arena.usage().allocated_bytes),
            kept: share::kept_bytes(),
        }
    }

    fn to_bytes(self) -> Bytes {
        let numbers = [self.lent, self.foreign, self.descriptors, self.maps, self.allocated, self.kept];
        numbers.iter().flat_map(|number| number.to_le_bytes()).collect::<Vec<u8>>().into()
    }

    pub(crate) fn of_bytes(bytes: &[u8]) -> Report {
        let mut numbers = bytes.chunks_exact(8).map(|chunk| u64::from_le_bytes(chunk.try_into().expect("eight bytes")));
        let mut next = || numbers.next().expect("a number");
        Report { lent: next(), foreign: next(), descriptors: next(), maps: next(), allocated: next(), kept: next() }
    }
}

/// Bytes that tell where they are.
pub(crate) fn pattern(length: usize, seed: u8) -> Vec<u8> {
    (0..length).map(|i| (i >> 12) as u8 ^ (i as u8).wrapping_mul(31) ^ seed).collect()
}

#[test]
#[ignore = "the other process of the tests of shared memory; it runs until it is killed"]
fn serve_until_killed() {
    let Ok(socket) = std::env::var(SOCKET) else { panic!("the tests start this with {SOCKET} set") };
    let place: Address = socket.parse().expect("an address");
    let Address::Unix(path) = &place else { panic!("a Unix address") };
    let token = path.parent().unwrap_or(Path::new("/")).join("token");
    let security = Security { token: Some(Token::read_file(token).expect("a token")), tls: None };
    if let Ok(bytes) = std::env::var(LENT_MAX) {
        share::set_lent_max_bytes(bytes.parse().expect("a number"));
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let mut listener = Listener::bind(&place, &security, THERE).expect("bound");
        let held = Arc::new(Mutex::new(Vec::new()));
        loop {
            let accepted = listener.accept().await.expect("accepted");
            tokio::spawn(converse(accepted.connection, held.clone()));
        }
    });
}

async fn converse(connection: Connection, held: Arc<Mutex<Vec<Bytes>>>) {
    let (sender, mut receiver) = connection.split();
    while let Ok(Some(request)) = receiver.recv::<DataRequest>().await {
        let reply = match request {
            DataRequest::Get { request, values } => {
                let values = values.into_iter().map(|id| (id, Value::Here(answer(id, &held)))).collect();
                DataReply::Values { request, values, last: true }
            }
            DataRequest::Put { request, values, .. } => {
                for (task, payload, _) in values {
                    let bytes = content(payload);
                    assert!(bytes == pattern(bytes.len(), task.slot as u8), "what came is not what was sent");
                    held.lock().push(bytes);
                }
                DataReply::Stored { request }
            }
        };
        if sender.send(&reply).is_err() {
            return;
        }
    }
}

fn answer(id: ValueId, held: &Mutex<Vec<Bytes>>) -> Payload {
    let TaskId { slot, generation } = id.task;
    let bytes = match slot {
        IN_ARENA => {
            let arena = Arena::global_or_create().expect("an arena");
            arena.put(&[&pattern(generation as usize, IN_ARENA as u8)]).expect("memory")
        }
        HELD => {
            let mut held = held.lock();
            if held.is_empty() {
                let arena = Arena::global_or_create().expect("an arena");
                held.push(arena.put(&[&pattern(generation as usize, HELD as u8)]).expect("memory"));
            }
            held[0].clone()
        }
        ELSEWHERE => pattern(generation as usize, ELSEWHERE as u8).into(),
        REPORT => Report::here(&held.lock()).to_bytes(),
        FORGET => {
            let mut held = held.lock();
            held.iter().for_each(|bytes| share::give_up(bytes));
            held.clear();
            Bytes::new()
        }
        NO_ROOM => {
            share::set_room_for_copies(0);
            Bytes::new()
        }
        other => panic!("{other} is nothing that can be asked for"),
    };
    Payload::from_bytes(bytes)
}

pub(crate) fn content(payload: Payload) -> Bytes {
    let Payload::Bytes { head, .. } = payload else { panic!("not bytes") };
    head.0
}
