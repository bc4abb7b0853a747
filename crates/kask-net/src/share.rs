//! Shared memory between processes of one machine: large segments travel as references into the sender's arena.
//!
//! On a data connection over a Unix socket, a side that wants to send something large says where its arena is
//! (`Control::Arena`); the other side maps it read-only, or answers that it cannot, and then everything is streamed
//! as on any other connection. From then on segments of [`SHARED_MIN_BYTES`] and more are sent as offset and *lease*;
//! what does not lie in the arena is copied there first. The receiver gives out views, and gives a lease back when the
//! last clone of its view is dropped. Nothing of this shows above the connection: messages and segments are what they
//! were.
//!
//! A process with a memory limit lends and copies only up to a bound (`lent.rs`); the rest is streamed.
//!
//! Who keeps what:
//! - the owner keeps lent bytes until the lease is given back or the other *process* has ended (`neighbour.rs`);
//! - the receiver keeps its mapping for as long as it has views, also when the owner is gone (`foreign.rs`);
//! - leases on a connection that ends are numbered in order, so that the receiver can tell the owner which of them
//!   never arrived.
//!
//! Invariants:
//! - a reference is checked against what was mapped, whose size cannot change, before anything is read;
//! - on connections that do not share, references and control messages are errors of the peer;
//! - each side only ever maps the other's memory read-only.
//!
//! The sending side's part is in `outbox.rs`, the receiving side's in `assemble.rs` and `receiver.rs`.

pub(crate) mod foreign;
pub(crate) mod lent;
pub(crate) mod neighbour;
mod process;

pub use foreign::is_foreign;
pub use lent::{give_up, kept_bytes, set_lent_max_bytes, set_room_for_copies};
pub use neighbour::lent_bytes;

use crate::arena::Place;
use crate::receiver::Receiver;
use crate::sender::{Sender, Shared};
use bytes::{Buf, BufMut, Bytes};
use foreign::{PeerArena, View};
use kask_wire::codec::{CodecError, Frame, decode, encode};
use neighbour::Neighbour;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// From this size on a segment is shared rather than sent.
pub const SHARED_MIN_BYTES: usize = 64 << 10;
/// Bytes of a reference on the wire: offset and lease.
pub(crate) const REFERENCE_BYTES: usize = 16;

/// What the two ends of a connection say to each other about sharing, between the messages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Control {
    /// My arena is this descriptor of mine; leases on this connection have this number.
    Arena { connection: u64, fd: i32, device: u64, inode: u64, capacity: u64 },
    /// Whether I have mapped your arena.
    Answer { mapped: bool },
    /// I have no views for these leases any more.
    Returned { leases: Vec<u64> },
    /// Of the leases on this connection, now over, I received none after this one.
    Ended { connection: u64, last: u64 },
}

impl Control {
    pub(crate) fn encode(&self) -> Frame {
        encode(self).expect("a control message is small and holds numbers only")
    }

    pub(crate) fn decode(head: Bytes) -> Result<Control, CodecError> {
        decode(Frame { head, segments: Vec::new() })
    }
}

/// Why what a peer says about shared memory makes no sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShareError {
    /// Outside of the arena.
    #[error("the peer refers to {len} bytes at offset {offset} of its shared memory, which is smaller than that")]
    OutOfBounds {
        /// From where.
        offset: u64,
        /// How much.
        len: usize,
    },
    /// A reference without an arena.
    #[error("the peer refers to shared memory that it has not shown")]
    NothingShown,
    /// A second arena on a connection.
    #[error("the peer shows its shared memory a second time")]
    ShownTwice,
    /// Words of a process that has ended, which arrive late.
    #[error("the peer has ended, and its shared memory with it")]
    OwnerEnded,
    /// Not now.
    #[error("the peer answers a question about shared memory that was not asked")]
    NotAsked,
}

/// Lets two processes share on a connection between them, if it is one over a Unix socket.
pub(crate) fn enable(sender: &Sender, receiver: &mut Receiver) {
    let shared = sender.shared();
    let Some(stream) = shared.unix_stream() else { return };
    let neighbour = Neighbour::of(stream);
    if let Some(neighbour) = &neighbour {
        neighbour.attach(shared);
        shared.may_lend_to(neighbour.clone());
    }
    receiver.share(Sharing { shared: shared.clone(), neighbour });
}

/// The receiving half's part of a connection that may share.
pub(crate) struct Sharing {
    shared: Arc<Shared>,
    neighbour: Option<Arc<Neighbour>>,
}

impl Sharing {
    /// Does what the peer says. What it lends from now on, if that is what it says.
    pub(crate) fn handle(&self, control: Control) -> Result<Option<Borrower>, ShareError> {
        match control {
            Control::Arena { connection, fd, device, inode, capacity } => {
                let borrower = self.borrow(connection, &Place { fd, device, inode, capacity });
                self.shared.send_control(&Control::Answer { mapped: borrower.is_some() });
                return Ok(borrower);
            }
            Control::Answer { mapped } => self.shared.answered(mapped)?,
            Control::Returned { leases } => {
                if let Some(neighbour) = &self.neighbour {
                    neighbour.returned(&leases);
                }
            }
            Control::Ended { connection, last } => {
                if let Some(neighbour) = &self.neighbour {
                    neighbour.connection_ended(connection, last);
                }
            }
        }
        Ok(None)
    }

    fn borrow(&self, connection: u64, place: &Place) -> Option<Borrower> {
        let neighbour = self.neighbour.clone()?;
        match neighbour.borrow(place) {
            Ok(arena) => Some(Borrower { neighbour, arena, connection, last: 0 }),
            Err(error) => {
                tracing::debug!(%error, "a neighbour's memory cannot be mapped; values will be streamed");
                None
            }
        }
    }
}

/// Turns references of one connection into views.
pub(crate) struct Borrower {
    neighbour: Arc<Neighbour>,
    arena: Arc<PeerArena>,
    connection: u64,
    /// The last lease that was received.
    last: u64,
}

impl Borrower {
    /// The view that a reference of [`REFERENCE_BYTES`] bytes stands for.
    pub(crate) fn view(&mut self, mut reference: &[u8], len: usize) -> Result<Bytes, ShareError> {
        let (offset, lease) = (reference.get_u64_le(), reference.get_u64_le());
        let place = self.arena.holds(offset, len).ok_or(ShareError::OutOfBounds { offset, len })?;
        self.last = self.last.max(lease);
        let view = View::new(self.arena.clone(), self.neighbour.clone(), place, len, lease);
        view.map(Bytes::from_owner).ok_or(ShareError::OwnerEnded)
    }
}

impl Drop for Borrower {
    fn drop(&mut self) {
        self.neighbour.not_received(self.connection, self.last);
    }
}

/// A reference on the wire.
pub(crate) fn reference(offset: u64, lease: u64) -> Bytes {
    let mut bytes = Vec::with_capacity(REFERENCE_BYTES);
    bytes.put_u64_le(offset);
    bytes.put_u64_le(lease);
    Bytes::from(bytes)
}
