//! The sending half: writes at once where it can, queues what does not fit.
//!
//! Invariants:
//! - bytes leave in the order of the calls: a call writes to the socket itself only while nothing is queued, and
//!   whatever the writer task has taken counts as queued until it is written;
//! - a call never waits for the peer: a write that would block, or that goes on for long, is left to the writer task;
//! - after the first error, and after [`Sender::close`], nothing more is accepted.
//!
//! Start with [`Sender::send`]; what is queued is in `outbox.rs`, the writer task in `writer.rs`.

use crate::outbox::{Departure, Outbox, Outgoing, Phase, copy_to, total_pending};
use crate::share::neighbour::Neighbour;
use crate::share::{Control, ShareError};
use crate::socket::Socket;
use crate::writer::{Sink, broken, run_writer, write_inline};
use bytes::Bytes;
use kask_wire::codec::{CodecError, Frame, encode};
use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;
use std::collections::VecDeque;
use std::net::Shutdown;
use std::sync::Arc;
use tokio::net::UnixStream;
use tokio::runtime::Handle as Runtime;
use tokio::sync::Notify;

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
    /// Where copying into shared memory is done.
    runtime: Runtime,
}

/// What the writer task does next.
pub(crate) enum Next {
    Write(VecDeque<Bytes>),
    Wait,
    ShutDown,
    /// The connection is over.
    Leave,
}

impl Sender {
    /// Starts the writer task; must be called in a tokio runtime.
    pub(crate) fn start(socket: Arc<Socket>, sink: Sink) -> Sender {
        let shared = Arc::new(Shared {
            socket,
            inline: matches!(sink, Sink::Plain(_)),
            outbox: Mutex::new(Outbox::new()),
            wake: Notify::new(),
            closing: Notify::new(),
            progress: Notify::new(),
            runtime: Runtime::current(),
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
        let mut outbox = shared.outbox.lock();
        outbox.check_open()?;
        match outbox.depart(frame) {
            Departure::Now { outgoing, introduction } => {
                if let Some(introduction) = introduction {
                    shared.put(&mut outbox, Outgoing::control(&introduction))?;
                }
                shared.put(&mut outbox, outgoing)
            }
            Departure::Held { introduction } => {
                if let Some(introduction) = introduction {
                    shared.put(&mut outbox, Outgoing::control(&introduction))?;
                }
                shared.copy_if_held(outbox);
                Ok(())
            }
        }
    }

    /// Bytes that were accepted and are not yet written.
    pub fn queued_bytes(&self) -> usize {
        self.handle.0.outbox.lock().pending()
    }

    /// Whether the peer reads fast enough for more values to be sent now: at most `peer_bytes` are queued to it, and no more
    /// than twice as much to all peers of this process together. A peer to which nothing is queued always has room, whatever others
    /// leave unread. Nothing is refused without room; whoever is asked for large values looks before, and says
    /// that it is busy. What is lent in shared memory hardly counts.
    pub fn has_room(&self, peer_bytes: usize) -> bool {
        match self.queued_bytes() {
            0 => true,
            queued => queued <= peer_bytes && total_pending() <= peer_bytes.saturating_mul(2),
        }
    }

    /// Waits until everything is written.
    pub async fn drained(&self) -> Result<(), SendError> {
        self.drained_to(0).await
    }

    /// Waits until at most `bytes` are queued.
    pub async fn drained_to(&self, bytes: usize) -> Result<(), SendError> {
        self.wait_for(|outbox| match &outbox.phase {
            Phase::Closed(reason) if outbox.pending() > 0 => Some(Err(SendError::Closed { reason: reason.clone() })),
            Phase::Open | Phase::Closing | Phase::Closed(_) => (outbox.pending() <= bytes).then_some(Ok(())),
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

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.handle.0
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
    /// Writes or queues a frame.
    fn put(&self, outbox: &mut Outbox, outgoing: Outgoing) -> Result<(), SendError> {
        let written = if self.inline && outbox.queued() == 0 {
            write_inline(&self.socket, &outgoing.header, &outgoing.frame).map_err(|error| {
                let reason = broken(&error);
                outbox.end(reason.clone());
                self.wake.notify_one();
                self.progress.notify_waiters();
                SendError::Closed { reason }
            })?
        } else {
            0
        };
        if outbox.push(outgoing, written) {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Says something about shared memory to the other side; whether the connection was open. It may overtake frames
    /// that are held, which is harmless.
    pub(crate) fn send_control(&self, control: &Control) -> bool {
        let mut outbox = self.outbox.lock();
        outbox.check_open().is_ok() && self.put(&mut outbox, Outgoing::control(control)).is_ok()
    }

    /// Large segments may be lent to this process.
    pub(crate) fn may_lend_to(&self, neighbour: Arc<Neighbour>) {
        self.outbox.lock().may_lend_to(neighbour);
    }

    /// The other side has mapped this process's arena, or cannot.
    pub(crate) fn answered(self: &Arc<Self>, mapped: bool) -> Result<(), ShareError> {
        let mut outbox = self.outbox.lock();
        outbox.answered(mapped)?;
        self.copy_if_held(outbox);
        Ok(())
    }

    /// Has held frames copied by another thread, unless one does so, or they wait for an answer.
    fn copy_if_held(self: &Arc<Self>, mut outbox: MutexGuard<'_, Outbox>) {
        if outbox.start_copying() {
            drop(outbox);
            let shared = self.clone();
            drop(self.runtime.spawn_blocking(move || shared.copy_held()));
        }
    }

    fn copy_held(&self) {
        loop {
            let Some((frame, arena)) = self.outbox.lock().next_held() else {
                // A closing connection waits for this.
                return self.wake.notify_one();
            };
            let held = frame.nbytes();
            let frame = match arena {
                Some(arena) => copy_to(arena, frame),
                None => frame,
            };
            let mut outbox = self.outbox.lock();
            if outbox.release_held(frame, held) {
                drop(outbox);
                self.wake.notify_one();
            }
        }
    }

    pub(crate) fn unix_stream(&self) -> Option<&UnixStream> {
        self.socket.unix_stream()
    }

    fn begin_close(&self) {
        let mut outbox = self.outbox.lock();
        if !matches!(outbox.phase, Phase::Open) {
            return;
        }
        if self.inline && outbox.pending() == 0 {
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
        self.outbox.lock().next()
    }

    /// Counts bytes that the writer task has written.
    pub(crate) fn wrote(&self, bytes: usize) {
        self.outbox.lock().wrote(bytes);
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
