//! Other processes of this machine with which memory is shared: what was lent to them, and what they lent.
//!
//! Leases belong to processes, not to connections: a lease ends when the process that has it gives it back (over any
//! connection between the two), says that it never received it, or ends. The kernel tells of the last, so that
//! nothing is kept for a process that was killed.
//!
//! Invariants:
//! - the lock is held for looking things up only: nothing is dropped, sent or awaited under it, since views are
//!   dropped anywhere, also under the locks of others;
//! - a process number names the same process for as long as its neighbour is in the table.

use super::Control;
use super::foreign::PeerArena;
use super::lent::Lease;
use super::process::{Peer, has_ended, peer_of, watch};
use crate::arena::Place;
use crate::sender::Shared;
use crate::{fork, runtime};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Weak};
use tokio::net::UnixStream;
use tokio::sync::Notify;

/// Leases given back in one message.
const BATCH: usize = 4096;
/// Arenas of one process that are mapped at a time; it has one.
const ARENAS_MAX: usize = 4;

struct Table {
    /// Which process this is, counted in forks.
    generation: u32,
    by_pid: BTreeMap<i32, Arc<Neighbour>>,
}

static NEIGHBOURS: Mutex<Table> = Mutex::new(Table { generation: 0, by_pid: BTreeMap::new() });

/// Bytes of this process that other processes have views of.
pub fn lent_bytes() -> u64 {
    let table = NEIGHBOURS.lock();
    table.by_pid.values().map(|neighbour| neighbour.state.lock().lent_bytes).sum()
}

/// Another process.
#[derive(Debug)]
pub(crate) struct Neighbour {
    pid: i32,
    pidfd: Arc<OwnedFd>,
    state: Mutex<State>,
    /// Something is to be told to the process.
    wake: Notify,
}

#[derive(Debug, Default)]
struct State {
    has_ended: bool,
    next_lease: u64,
    next_connection: u64,
    /// Connections over which the process still receives leases.
    open: HashSet<u64>,
    lent: HashMap<u64, Lent>,
    lent_bytes: u64,
    arenas: Vec<(Place, Arc<PeerArena>)>,
    unsent: Unsent,
    connections: Vec<Weak<Shared>>,
}

#[derive(Debug)]
struct Lent {
    connection: u64,
    bytes: Bytes,
    _counted: Lease,
}

/// What the process has not been told yet.
#[derive(Debug, Default)]
struct Unsent {
    given_back: Vec<u64>,
    ended: Vec<(u64, u64)>,
}

impl Neighbour {
    /// The process at the other end of a socket; `None` where the system cannot say for sure.
    pub(crate) fn of(stream: &UnixStream) -> Option<Arc<Neighbour>> {
        let Peer { pid, pidfd } = peer_of(stream)?;
        let mut table = NEIGHBOURS.lock();
        if table.generation != fork::generation() {
            // The parent's. Nothing of it is dropped, since that would run code which belongs to the parent.
            std::mem::forget(std::mem::take(&mut table.by_pid));
            table.generation = fork::generation();
        }
        if let Some(known) = table.by_pid.get(&pid).filter(|known| !has_ended(&known.pidfd)) {
            return Some(known.clone());
        }
        let pidfd = Arc::new(pidfd);
        let neighbour = Arc::new(Neighbour { pid, pidfd, state: Mutex::default(), wake: Notify::new() });
        runtime::handle().ok()?.spawn(neighbour.clone().attend());
        table.by_pid.insert(pid, neighbour.clone());
        Some(neighbour)
    }

    /// A connection to the process, over which it may be told things.
    pub(crate) fn attach(&self, connection: &Arc<Shared>) {
        let mut state = self.state.lock();
        state.connections.retain(|connection| connection.strong_count() > 0);
        state.connections.push(Arc::downgrade(connection));
        drop(state);
        self.wake.notify_one();
    }

    /// Numbers a connection over which leases will go.
    pub(crate) fn new_connection(&self) -> u64 {
        let mut state = self.state.lock();
        state.next_connection += 1;
        let connection = state.next_connection;
        state.open.insert(connection);
        connection
    }

    /// Keeps bytes for the process until it gives the lease back; numbers rise. `None` when the process has ended, or
    /// does not listen on that connection any more.
    pub(crate) fn lend(&self, connection: u64, bytes: Bytes, counted: Lease) -> Option<u64> {
        let mut state = self.state.lock();
        if state.has_ended || !state.open.contains(&connection) {
            drop(state);
            return None;
        }
        state.next_lease += 1;
        let lease = state.next_lease;
        state.lent_bytes += bytes.len() as u64;
        state.lent.insert(lease, Lent { connection, bytes, _counted: counted });
        Some(lease)
    }

    /// The process has given leases back. Numbers that it does not have are ignored.
    pub(crate) fn returned(&self, leases: &[u64]) {
        let mut state = self.state.lock();
        let done: Vec<Lent> = leases.iter().filter_map(|lease| state.take(*lease)).collect();
        drop(state);
        drop(done);
    }

    /// The process says that a connection is over, on which it received no leases after `last`.
    pub(crate) fn connection_ended(&self, connection: u64, last: u64) {
        let mut state = self.state.lock();
        state.open.remove(&connection);
        let lost = |(lease, lent): (&u64, &Lent)| (lent.connection == connection && *lease > last).then_some(*lease);
        let leases: Vec<u64> = state.lent.iter().filter_map(lost).collect();
        let done: Vec<Lent> = leases.into_iter().filter_map(|lease| state.take(lease)).collect();
        drop(state);
        drop(done);
    }

    /// Maps the process's arena, or finds that it is mapped.
    pub(crate) fn borrow(&self, place: &Place) -> io::Result<Arc<PeerArena>> {
        let known = |state: &State| state.arenas.iter().find(|(at, _)| at == place).map(|(_, arena)| arena.clone());
        if let Some(arena) = known(&self.state.lock()) {
            return Ok(arena);
        }
        let arena = Arc::new(PeerArena::map(self.pid, place)?);
        let mut state = self.state.lock();
        if let Some(known) = known(&state) {
            // Another connection was faster.
            drop(state);
            return Ok(known);
        }
        if state.has_ended || state.arenas.len() >= ARENAS_MAX {
            drop(state);
            return Err(io::Error::other("the process has ended, or has too many arenas"));
        }
        state.arenas.push((*place, arena.clone()));
        Ok(arena)
    }

    /// A view is gone; the process will be told. Never blocks, and may be called anywhere.
    pub(crate) fn give_back(&self, lease: u64) {
        self.tell(|unsent| unsent.given_back.push(lease));
    }

    /// A connection is over, on which nothing after lease `last` was received.
    pub(crate) fn not_received(&self, connection: u64, last: u64) {
        self.tell(|unsent| unsent.ended.push((connection, last)));
    }

    fn tell(&self, add: impl FnOnce(&mut Unsent)) {
        let mut state = self.state.lock();
        if state.has_ended {
            return;
        }
        add(&mut state.unsent);
        drop(state);
        self.wake.notify_one();
    }

    /// Tells the process what it must know, until it ends.
    async fn attend(self: Arc<Self>) {
        match watch(self.pidfd.clone()) {
            Ok(end) => loop {
                tokio::select! {
                    biased;
                    _ = end.readable() => break,
                    () = self.wake.notified() => self.flush(),
                }
            },
            Err(error) => tracing::debug!(%error, "a neighbour cannot be watched, nothing is shared with it"),
        }
        self.bury();
    }

    fn flush(&self) {
        let (unsent, connections) = {
            let mut state = self.state.lock();
            state.connections.retain(|connection| connection.strong_count() > 0);
            (std::mem::take(&mut state.unsent), state.connections.clone())
        };
        let connections: Vec<Arc<Shared>> = connections.iter().filter_map(Weak::upgrade).collect();
        let send = |control: Control| connections.iter().any(|connection| connection.send_control(&control));
        let mut left = Unsent::default();
        for leases in unsent.given_back.chunks(BATCH) {
            if !send(Control::Returned { leases: leases.to_vec() }) {
                left.given_back.extend_from_slice(leases);
            }
        }
        for (connection, last) in unsent.ended {
            if !send(Control::Ended { connection, last }) {
                left.ended.push((connection, last));
            }
        }
        // What could not be sent waits for the next connection.
        let mut state = self.state.lock();
        state.unsent.given_back.append(&mut left.given_back);
        state.unsent.ended.append(&mut left.ended);
    }

    /// The process has ended: what was kept for it is let go. Views of its memory live on.
    fn bury(&self) {
        let left = {
            let mut state = self.state.lock();
            std::mem::replace(&mut *state, State { has_ended: true, ..State::default() })
        };
        for (_, arena) in &left.arenas {
            let arena = arena.clone();
            // Copies, which may take a while.
            drop(tokio::task::spawn_blocking(move || arena.rescue()));
        }
        drop(left);
        let mut table = NEIGHBOURS.lock();
        let is_here = table.by_pid.get(&self.pid).is_some_and(|known| Arc::ptr_eq(&known.pidfd, &self.pidfd));
        let buried = if is_here { table.by_pid.remove(&self.pid) } else { None };
        drop(table);
        drop(buried);
    }
}

impl State {
    fn take(&mut self, lease: u64) -> Option<Lent> {
        let lent = self.lent.remove(&lease)?;
        self.lent_bytes -= lent.bytes.len() as u64;
        Some(lent)
    }
}
