//! The sending half: writes at once where it can, queues what does not fit.
//!
//! Invariants:
//! - bytes leave in the order of the calls: a call writes to the socket itself only while nothing is queued, and
//!   whatever the writer task has taken counts as queued until it is written;
//! - a call never waits for the peer: a write that would block, or that goes on for long, is left to the writer task;
//! - after the first error, and after [`Sender::close`], nothing more is accepted.
//!
//! Start with [`Sender::send`]; the writer task is in `writer.rs`.

use crate::assemble::frame_header;
use crate::socket::Socket;
use crate::writer::{Sink, broken, run_writer, write_inline};
use bytes::Bytes;
use kask_wire::codec::{CodecError, Frame, encode};
use parking_lot::Mutex;
use serde::Serialize;
use std::collections::VecDeque;
use std::net::Shutdown;
use std::sync::Arc;
use tokio::sync::Notify;

/// Pieces up to this size are copied together, so that many small messages leave in one write.
const COALESCE_MAX_BYTES: usize = 2 << 10;
/// Size at which such a collection is closed.
const COALESCED_BYTES: usize = 64 << 10;

/// Why a connection is over that was closed in order.
pub(crate) const CLOSED_HERE: &str = "it was closed on this side";

/// Why a message was not sent.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SendError {
    /// The connection is over.
    #[error("the connection is closed: {reason}")]
    Closed {
        /// What ended it.
        reason: Arc<str>,
    },
    /// The message cannot travel.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// The sending half of a connection. Clones share it; when the last one is dropped, what is queued is still written,
/// and the peer then sees the end.
#[derive(Clone, Debug)]
pub struct Sender {
    handle: Arc<Handle>,
}

/// Closes the connection when the last [`Sender`] goes; the writer task holds only the inside.
#[derive(Debug)]
struct Handle(Arc<Shared>);

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.begin_close();
    }
}

#[derive(Debug)]
pub(crate) struct Shared {
    socket: Arc<Socket>,
    /// Whether calls may write to the socket themselves (not under TLS).
    inline: bool,
    outbox: Mutex<Outbox>,
    /// Wakes the writer task: something is queued, or the end has come.
    wake: Notify,
    /// Starts the limit for closing.
    closing: Notify,
    /// Wakes those who wait for the queue to shrink or for the end.
    progress: Notify,
}

#[derive(Debug)]
struct Outbox {
    pieces: VecDeque<Bytes>,
    /// Small pieces, collected; they come after all `pieces`.
    small: Vec<u8>,
    /// Bytes that were accepted and not yet written, with those that the writer task has taken.
    queued: usize,
    phase: Phase,
}

/// What the writer task does next.
pub(crate) enum Next {
    Write(VecDeque<Bytes>),
    Wait,
    ShutDown,
    /// The connection is over.
    Leave,
}

#[derive(Debug)]
enum Phase {
    Open,
    /// Nothing more is accepted; what is queued is being written.
    Closing,
    Closed(Arc<str>),
}

impl Sender {
    /// Starts the writer task; must be called in a tokio runtime.
    pub(crate) fn start(socket: Arc<Socket>, sink: Sink) -> Sender {
        let shared = Arc::new(Shared {
            socket,
            inline: matches!(sink, Sink::Plain(_)),
            outbox: Mutex::new(Outbox { pieces: VecDeque::new(), small: Vec::new(), queued: 0, phase: Phase::Open }),
            wake: Notify::new(),
            closing: Notify::new(),
            progress: Notify::new(),
        });
        tokio::spawn(run_writer(shared.clone(), sink));
        Sender { handle: Arc::new(Handle(shared)) }
    }

    /// Sends a message: encodes it, and writes it now or queues it. Never blocks; any thread may call it.
    pub fn send<M: Serialize + ?Sized>(&self, message: &M) -> Result<(), SendError> {
        self.send_frame(encode(message)?)
    }

    /// Sends a message that is encoded already (the same frame may go to many peers).
    pub fn send_frame(&self, frame: Frame) -> Result<(), SendError> {
        let shared = &self.handle.0;
        let header = frame_header(&frame);
        let mut outbox = shared.outbox.lock();
        outbox.check_open()?;
        let written = if shared.inline && outbox.queued == 0 {
            write_inline(&shared.socket, &header, &frame).map_err(|error| {
                let reason = broken(&error);
                outbox.end(reason.clone());
                shared.wake.notify_one();
                shared.progress.notify_waiters();
                SendError::Closed { reason }
            })?
        } else {
            0
        };
        if outbox.push_frame(header, frame, written) {
            drop(outbox);
            shared.wake.notify_one();
        }
        Ok(())
    }

    /// Bytes that were accepted and are not yet written.
    pub fn queued_bytes(&self) -> usize {
        self.handle.0.outbox.lock().queued
    }

    /// Waits until everything is written.
    pub async fn drained(&self) -> Result<(), SendError> {
        self.drained_to(0).await
    }

    /// Waits until at most `bytes` are queued.
    pub async fn drained_to(&self, bytes: usize) -> Result<(), SendError> {
        self.wait_for(|outbox| match &outbox.phase {
            Phase::Closed(reason) if outbox.queued > 0 => Some(Err(SendError::Closed { reason: reason.clone() })),
            Phase::Open | Phase::Closing | Phase::Closed(_) => (outbox.queued <= bytes).then_some(Ok(())),
        })
        .await
    }

    /// Accepts nothing more, writes what is queued (for 5 s at most), then tells the peer that this was all.
    pub fn close(&self) {
        self.handle.0.begin_close();
    }

    /// Waits until the connection is over in this direction, closed or broken.
    pub async fn closed(&self) {
        self.wait_for(|outbox| match &outbox.phase {
            Phase::Closed(_) => Some(()),
            Phase::Open | Phase::Closing => None,
        })
        .await
    }

    /// Whether messages are accepted.
    pub fn is_open(&self) -> bool {
        matches!(self.handle.0.outbox.lock().phase, Phase::Open)
    }

    /// Cuts the connection off in both directions at once; what is queued is thrown away.
    pub fn abort(&self, reason: &str) {
        let shared = &self.handle.0;
        shared.outbox.lock().end(Arc::from(reason));
        // Fails only if the peer was faster.
        let _ = shared.socket.shutdown(Shutdown::Both);
        shared.wake.notify_one();
        shared.closing.notify_one();
        shared.progress.notify_waiters();
    }

    async fn wait_for<T>(&self, ready: impl Fn(&Outbox) -> Option<T>) -> T {
        let shared = &self.handle.0;
        loop {
            let progress = shared.progress.notified();
            tokio::pin!(progress);
            // From here on no notification is missed, so the state may be looked at.
            progress.as_mut().enable();
            if let Some(result) = ready(&shared.outbox.lock()) {
                return result;
            }
            progress.await;
        }
    }
}

impl Shared {
    fn begin_close(&self) {
        let mut outbox = self.outbox.lock();
        if !matches!(outbox.phase, Phase::Open) {
            return;
        }
        if self.inline && outbox.queued == 0 {
            // Done here, so that the peer hears of it even if the network thread is busy or gone. Fails only if the
            // peer was faster.
            let _ = self.socket.shutdown(Shutdown::Write);
            outbox.end(Arc::from(CLOSED_HERE));
            self.progress.notify_waiters();
        } else {
            outbox.phase = Phase::Closing;
        }
        drop(outbox);
        self.wake.notify_one();
        self.closing.notify_one();
    }

    /// What the writer task shall do now.
    pub(crate) fn next(&self) -> Next {
        let mut outbox = self.outbox.lock();
        outbox.close_small();
        match outbox.phase {
            Phase::Closed(_) => Next::Leave,
            Phase::Open | Phase::Closing if !outbox.pieces.is_empty() => {
                Next::Write(std::mem::take(&mut outbox.pieces))
            }
            Phase::Open => Next::Wait,
            Phase::Closing => Next::ShutDown,
        }
    }

    /// Counts bytes that the writer task has written.
    pub(crate) fn wrote(&self, bytes: usize) {
        self.outbox.lock().queued -= bytes;
        self.progress.notify_waiters();
    }

    /// Ends the connection in this direction, if it has not ended before.
    pub(crate) fn end(&self, reason: Arc<str>) {
        self.outbox.lock().end(reason);
        self.progress.notify_waiters();
    }

    /// Ends when something is queued, or the end has come.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Ends when the connection begins to close.
    pub(crate) async fn closing(&self) {
        self.closing.notified().await;
    }
}

impl Outbox {
    fn check_open(&self) -> Result<(), SendError> {
        match &self.phase {
            Phase::Open => Ok(()),
            Phase::Closing => Err(SendError::Closed { reason: Arc::from(CLOSED_HERE) }),
            Phase::Closed(reason) => Err(SendError::Closed { reason: reason.clone() }),
        }
    }

    /// Queues what remains of a frame; whether there was anything.
    fn push_frame(&mut self, header: Vec<u8>, frame: Frame, written: usize) -> bool {
        let before = self.queued;
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
            self.push(piece.slice(skipped..));
        }
        self.queued > before
    }

    fn push(&mut self, piece: Bytes) {
        if piece.len() <= COALESCE_MAX_BYTES {
            return self.push_small(&piece);
        }
        self.queued += piece.len();
        self.close_small();
        self.pieces.push_back(piece);
    }

    fn push_small(&mut self, piece: &[u8]) {
        self.queued += piece.len();
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

    fn end(&mut self, reason: Arc<str>) {
        if !matches!(self.phase, Phase::Closed(_)) {
            self.phase = Phase::Closed(reason);
        }
        self.pieces.clear();
        self.small = Vec::new();
    }
}
