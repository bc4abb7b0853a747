//! What a connection has accepted and not yet written, and how large segments leave: streamed, or as references into
//! this process's arena.
//!
//! A frame is *held* while the other side has not yet answered whether it has mapped the arena, and while a large
//! segment of it is being copied there. What comes after it is held behind it, so that order is kept.
//!
//! Invariants:
//! - frames leave in the order in which they came, and leases are numbered in that order;
//! - what is held, copied or taken by the writer task counts as pending until it is written.
//!
//! Start with [`Outbox::depart`].

use crate::arena::Arena;
use crate::assemble::{control_header, frame_header};
use crate::sender::{CLOSED_HERE, Next, SendError};
use crate::share::lent::{self, Lease};
use crate::share::neighbour::Neighbour;
use crate::share::{Control, SHARED_MIN_BYTES, ShareError, reference};
use bytes::Bytes;
use kask_wire::codec::Frame;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Pieces up to this size are copied together, so that many small messages leave in one write.
const COALESCE_MAX_BYTES: usize = 2 << 10;
/// Size at which such a collection is closed.
const COALESCED_BYTES: usize = 64 << 10;
/// Up to this much is copied into the arena by whoever sends; more by another thread.
const COPY_INLINE_BYTES: usize = 1 << 20;
/// A process without an arena makes one when it sends this much at once.
const ARENA_WORTH_BYTES: usize = 1 << 20;

/// Bytes that the connections of this process have accepted and not yet written.
static TOTAL: AtomicUsize = AtomicUsize::new(0);

/// Bytes that all connections of this process together have accepted and not yet written.
pub(crate) fn total_pending() -> usize {
    TOTAL.load(Ordering::Relaxed)
}

/// A number of bytes, which counts in the total until the connection is over.
#[derive(Debug)]
struct Count {
    bytes: usize,
    is_counted: bool,
}

impl Count {
    fn new() -> Count {
        Count { bytes: 0, is_counted: true }
    }

    fn add(&mut self, bytes: usize) {
        self.bytes += bytes;
        if self.is_counted {
            TOTAL.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    fn subtract(&mut self, bytes: usize) {
        self.bytes -= bytes;
        if self.is_counted {
            TOTAL.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    fn leave_total(&mut self) {
        if std::mem::replace(&mut self.is_counted, false) {
            TOTAL.fetch_sub(self.bytes, Ordering::Relaxed);
        }
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        self.leave_total();
    }
}

#[derive(Debug)]
pub(crate) struct Outbox {
    pieces: VecDeque<Bytes>,
    /// Small pieces, collected; they come after all `pieces`.
    small: Vec<u8>,
    /// Bytes that were accepted and not yet written, with those that the writer task has taken.
    queued: Count,
    /// Frames that are not ready; they come after `small`.
    held: VecDeque<Frame>,
    /// Bytes of these, with the one that is being copied.
    held_bytes: Count,
    is_copying: bool,
    lender: Lender,
    pub(crate) phase: Phase,
}

#[derive(Debug)]
pub(crate) enum Phase {
    Open,
    /// Nothing more is accepted; what is queued is being written.
    Closing,
    Closed(Arc<str>),
}

/// How large segments leave.
#[derive(Debug)]
enum Lender {
    /// In the stream.
    Streams,
    /// The other process may map the arena, and was not asked yet.
    MayAsk(Arc<Neighbour>),
    /// It was asked.
    Asked(Loan),
    /// As references.
    Lends(Loan),
}

#[derive(Clone, Debug)]
struct Loan {
    neighbour: Arc<Neighbour>,
    connection: u64,
    arena: &'static Arc<Arena>,
}

/// A frame as it is written: where segments are lent, the frame has references instead.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) header: Vec<u8>,
    pub(crate) frame: Frame,
}

impl Outgoing {
    pub(crate) fn control(control: &Control) -> Outgoing {
        let frame = control.encode();
        Outgoing { header: control_header(&frame), frame }
    }
}

/// What happens with a frame; the introduction of the arena goes before it.
pub(crate) enum Departure {
    Now { outgoing: Outgoing, introduction: Option<Control> },
    Held { introduction: Option<Control> },
}

impl Outbox {
    pub(crate) fn new() -> Outbox {
        Outbox {
            pieces: VecDeque::new(),
            small: Vec::new(),
            queued: Count::new(),
            held: VecDeque::new(),
            held_bytes: Count::new(),
            is_copying: false,
            lender: Lender::Streams,
            phase: Phase::Open,
        }
    }

    pub(crate) fn check_open(&self) -> Result<(), SendError> {
        match &self.phase {
            Phase::Open => Ok(()),
            Phase::Closing => Err(SendError::Closed { reason: Arc::from(CLOSED_HERE) }),
            Phase::Closed(reason) => Err(SendError::Closed { reason: reason.clone() }),
        }
    }

    /// Bytes that were accepted and are not yet written.
    pub(crate) fn pending(&self) -> usize {
        self.queued.bytes + self.held_bytes.bytes
    }

    /// Bytes that are ready and not yet written.
    pub(crate) fn queued(&self) -> usize {
        self.queued.bytes
    }

    /// Takes a frame in: it can be written, or is held.
    pub(crate) fn depart(&mut self, frame: Frame) -> Departure {
        let large = shareable_bytes(&frame);
        let introduction = if large > 0 { self.ask_if_worthwhile(large) } else { None };
        let must_wait = match &self.lender {
            Lender::Streams | Lender::MayAsk(_) => false,
            Lender::Asked(_) => large >= ARENA_WORTH_BYTES,
            Lender::Lends(loan) => foreign_bytes(loan.arena, &frame) > COPY_INLINE_BYTES,
        };
        if must_wait || self.is_holding() {
            self.held_bytes.add(frame.nbytes() as usize);
            self.held.push_back(frame);
            return Departure::Held { introduction };
        }
        let frame = match &self.lender {
            Lender::Lends(loan) if large > 0 => copy_to(loan.arena, frame),
            Lender::Streams | Lender::MayAsk(_) | Lender::Asked(_) | Lender::Lends(_) => frame,
        };
        Departure::Now { outgoing: self.lend(frame), introduction }
    }

    fn is_holding(&self) -> bool {
        self.is_copying || !self.held.is_empty()
    }

    pub(crate) fn may_lend_to(&mut self, neighbour: Arc<Neighbour>) {
        self.lender = Lender::MayAsk(neighbour);
    }

    fn ask_if_worthwhile(&mut self, large: usize) -> Option<Control> {
        let Lender::MayAsk(neighbour) = &self.lender else { return None };
        let arena = if large >= ARENA_WORTH_BYTES { Arena::global_or_create() } else { Arena::global() };
        let Some(arena) = arena.filter(|arena| arena.is_usable()) else {
            if large >= ARENA_WORTH_BYTES {
                // There will not be one later.
                self.lender = Lender::Streams;
            }
            return None;
        };
        let neighbour = neighbour.clone();
        let connection = neighbour.new_connection();
        let place = arena.place();
        self.lender = Lender::Asked(Loan { neighbour, connection, arena });
        let (fd, device, inode, capacity) = (place.fd, place.device, place.inode, place.capacity);
        Some(Control::Arena { connection, fd, device, inode, capacity })
    }

    /// The other side has answered.
    pub(crate) fn answered(&mut self, mapped: bool) -> Result<(), ShareError> {
        match std::mem::replace(&mut self.lender, Lender::Streams) {
            Lender::Asked(loan) if mapped => self.lender = Lender::Lends(loan),
            Lender::Asked(loan) => loan.neighbour.connection_ended(loan.connection, u64::MAX),
            Lender::Streams | Lender::MayAsk(_) | Lender::Lends(_) => return Err(ShareError::NotAsked),
        }
        Ok(())
    }

    /// Whether the caller shall work on held frames now, until [`Outbox::next_held`] has none.
    pub(crate) fn start_copying(&mut self) -> bool {
        let can = match self.lender {
            Lender::Asked(_) => false,
            Lender::Streams | Lender::MayAsk(_) | Lender::Lends(_) => !self.is_copying && !self.held.is_empty(),
        };
        self.is_copying |= can;
        can
    }

    /// The next held frame, and where to copy its large segments to.
    pub(crate) fn next_held(&mut self) -> Option<(Frame, Option<&'static Arc<Arena>>)> {
        let Some(frame) = self.held.pop_front() else {
            self.is_copying = false;
            return None;
        };
        let arena = match &self.lender {
            Lender::Lends(loan) => Some(loan.arena),
            Lender::Streams | Lender::MayAsk(_) | Lender::Asked(_) => None,
        };
        Some((frame, arena))
    }

    /// Queues a frame that was held and had `held` bytes; whether there is something to write.
    pub(crate) fn release_held(&mut self, frame: Frame, held: u64) -> bool {
        if matches!(self.phase, Phase::Closed(_)) {
            return false;
        }
        let outgoing = self.lend(frame);
        self.held_bytes.subtract(held as usize);
        self.push(outgoing, 0)
    }

    /// Replaces large segments that lie in the arena by references, as far as more may be lent.
    fn lend(&self, mut frame: Frame) -> Outgoing {
        let mut header = frame_header(&frame);
        let Lender::Lends(loan) = &self.lender else { return Outgoing { header, frame } };
        for (index, segment) in frame.segments.iter_mut().enumerate() {
            if segment.len() >= SHARED_MIN_BYTES
                && let Some((offset, _)) = loan.arena.locate(segment)
                && let Some((start, len)) = loan.arena.allocation_of(segment)
                && let Some(counted) = Lease::new(start, len)
                && let Some(lease) = loan.neighbour.lend(loan.connection, segment.clone(), counted)
            {
                crate::assemble::mark_reference(&mut header, index);
                *segment = reference(offset, lease);
            }
        }
        Outgoing { header, frame }
    }

    /// Queues what remains of a frame of which `written` bytes are written; whether there was anything.
    pub(crate) fn push(&mut self, outgoing: Outgoing, written: usize) -> bool {
        let Outgoing { header, frame } = outgoing;
        let before = self.queued.bytes;
        let mut written = written;
        let mut skip = |length: usize| {
            let skipped = written.min(length);
            written -= skipped;
            skipped
        };
        let skipped = skip(header.len());
        self.push_small(&header[skipped..]);
        for piece in std::iter::once(frame.head).chain(frame.segments) {
            let skipped = skip(piece.len());
            self.push_piece(piece.slice(skipped..));
        }
        self.queued.bytes > before
    }

    fn push_piece(&mut self, piece: Bytes) {
        if piece.len() <= COALESCE_MAX_BYTES {
            return self.push_small(&piece);
        }
        self.queued.add(piece.len());
        self.close_small();
        self.pieces.push_back(piece);
    }

    fn push_small(&mut self, piece: &[u8]) {
        self.queued.add(piece.len());
        self.small.extend_from_slice(piece);
        if self.small.len() >= COALESCED_BYTES {
            self.close_small();
        }
    }

    fn close_small(&mut self) {
        if !self.small.is_empty() {
            self.pieces.push_back(Bytes::from(std::mem::take(&mut self.small)));
        }
    }

    /// What the writer task shall do now.
    pub(crate) fn next(&mut self) -> Next {
        self.close_small();
        match self.phase {
            Phase::Closed(_) => Next::Leave,
            Phase::Open | Phase::Closing if !self.pieces.is_empty() => Next::Write(std::mem::take(&mut self.pieces)),
            Phase::Open => Next::Wait,
            Phase::Closing if self.is_holding() => Next::Wait,
            Phase::Closing => Next::ShutDown,
        }
    }

    /// Counts bytes that the writer task has written.
    pub(crate) fn wrote(&mut self, bytes: usize) {
        self.queued.subtract(bytes);
    }

    pub(crate) fn end(&mut self, reason: Arc<str>) {
        if !matches!(self.phase, Phase::Closed(_)) {
            self.phase = Phase::Closed(reason);
        }
        self.pieces.clear();
        self.small = Vec::new();
        self.held.clear();
        self.queued.leave_total();
        self.held_bytes.leave_total();
    }
}

/// Bytes of segments that are worth sharing.
fn shareable_bytes(frame: &Frame) -> usize {
    frame.segments.iter().map(Bytes::len).filter(|len| *len >= SHARED_MIN_BYTES).sum()
}

/// Bytes of these that would have to be copied.
fn foreign_bytes(arena: &Arena, frame: &Frame) -> usize {
    let is_elsewhere = |segment: &&Bytes| segment.len() >= SHARED_MIN_BYTES && arena.locate(segment).is_none();
    frame.segments.iter().filter(is_elsewhere).map(Bytes::len).sum()
}

/// Copies large segments into the arena; those for which there is no room stay what they are, and are streamed.
pub(crate) fn copy_to(arena: &Arc<Arena>, mut frame: Frame) -> Frame {
    for segment in &mut frame.segments {
        if segment.len() >= SHARED_MIN_BYTES
            && arena.locate(segment).is_none()
            && let Some(copy) = lent::copy_to(arena, segment)
        {
            *segment = copy;
        }
    }
    frame
}
