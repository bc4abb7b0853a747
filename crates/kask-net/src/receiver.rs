//! The receiving half: reads what there is and gives out message after message.

use crate::assemble::{AssembleError, Assembler, Item, Space};
use crate::share::{Control, ShareError, Sharing};
use crate::socket::{Socket, SocketIo};
use bytes::Bytes;
use kask_wire::codec::{CodecError, Frame, FrameLimits, decode};
use serde::de::DeserializeOwned;
use std::fmt;
use std::io;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, ReadHalf};
use tokio_rustls::TlsStream;

/// Why nothing more can be received.
#[derive(Debug, thiserror::Error)]
pub enum NetError {
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Io(#[from] io::Error),
    /// The peer went away within a message.
    #[error("the peer went away in the middle of a message")]
    Truncated,
    /// The peer sent something that is not a message, or that is too large.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The peer says something about shared memory that makes no sense.
    #[error(transparent)]
    Share(#[from] ShareError),
}

impl From<AssembleError> for NetError {
    fn from(error: AssembleError) -> NetError {
        match error {
            AssembleError::Codec(error) => NetError::Codec(error),
            AssembleError::Share(error) => NetError::Share(error),
        }
    }
}

/// The receiving half of a connection.
pub struct Receiver {
    source: Source,
    assembler: Assembler,
    sharing: Option<Sharing>,
    /// Set by the end and by the first error, after which the stream means nothing.
    is_over: bool,
}

pub(crate) enum Source {
    Plain(Arc<Socket>),
    Tls(ReadHalf<TlsStream<SocketIo>>),
}

impl fmt::Debug for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Receiver").field("is_over", &self.is_over).finish_non_exhaustive()
    }
}

impl Receiver {
    pub(crate) fn new(source: Source, limits: FrameLimits) -> Receiver {
        Receiver { source, assembler: Assembler::new(limits), sharing: None, is_over: false }
    }

    /// Large segments may come as references from now on.
    pub(crate) fn share(&mut self, sharing: Sharing) {
        self.assembler.expect_controls();
        self.sharing = Some(sharing);
    }

    /// Limits for the messages that follow.
    pub fn set_limits(&mut self, limits: FrameLimits) {
        self.assembler.set_limits(limits);
    }

    /// The next message; `None` once the peer has closed, and after an error.
    ///
    /// May be dropped while it waits: nothing is lost.
    pub async fn recv<M: DeserializeOwned>(&mut self) -> Result<Option<M>, NetError> {
        match self.recv_frame().await? {
            Some(frame) => self.decode(frame).map(Some),
            None => Ok(None),
        }
    }

    /// The next message if it has been read already, so that a burst is handled in one go. Does not read.
    pub fn recv_ready<M: DeserializeOwned>(&mut self) -> Result<Option<M>, NetError> {
        match self.next_frame()? {
            Some(frame) => self.decode(frame).map(Some),
            None => Ok(None),
        }
    }

    /// The next message, not yet decoded.
    pub async fn recv_frame(&mut self) -> Result<Option<Frame>, NetError> {
        loop {
            if let Some(frame) = self.next_frame()? {
                return Ok(Some(frame));
            }
            if self.is_over {
                return Ok(None);
            }
            match self.fill().await {
                Ok(0) if self.assembler.is_between_frames() => self.is_over = true,
                Ok(0) => return Err(self.fail(NetError::Truncated)),
                Ok(_) => {}
                Err(error) => return Err(self.fail(NetError::Io(error))),
            }
        }
    }

    fn next_frame(&mut self) -> Result<Option<Frame>, NetError> {
        if self.is_over {
            return Ok(None);
        }
        loop {
            match self.assembler.next_item() {
                Ok(None) => return Ok(None),
                Ok(Some(Item::Message(frame))) => return Ok(Some(frame)),
                Ok(Some(Item::Control(word))) => self.heed(word).map_err(|error| self.fail(error))?,
                Err(error) => return Err(self.fail(error.into())),
            }
        }
    }

    /// Does what the peer says about shared memory.
    fn heed(&mut self, word: Bytes) -> Result<(), NetError> {
        let control = Control::decode(word)?;
        let Some(sharing) = &self.sharing else { return Ok(()) };
        if let Some(borrower) = sharing.handle(control)? {
            self.assembler.expect_references(borrower)?;
        }
        Ok(())
    }

    fn decode<M: DeserializeOwned>(&mut self, frame: Frame) -> Result<M, NetError> {
        decode(frame).map_err(|error| self.fail(error.into()))
    }

    fn fail(&mut self, error: NetError) -> NetError {
        self.is_over = true;
        error
    }

    /// Reads once, into wherever the next bytes belong.
    async fn fill(&mut self) -> io::Result<usize> {
        match &mut self.source {
            Source::Tls(stream) => match self.assembler.space() {
                Space::Stream(buffer) => stream.read_buf(buffer).await,
                Space::Part(mut part) => stream.read_buf(&mut part).await,
                Space::Arena(filling) => stream.read_buf(filling).await,
            },
            Source::Plain(socket) => loop {
                // A peer that always has more to say must not keep the runtime's other tasks waiting.
                tokio::task::coop::consume_budget().await;
                let result = match self.assembler.space() {
                    Space::Stream(buffer) => socket.try_read_buf(buffer),
                    Space::Part(mut part) => socket.try_read_buf(&mut part),
                    Space::Arena(filling) => socket.try_read_buf(filling),
                };
                match result {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => socket.readable().await?,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    result => return result,
                }
            },
        }
    }
}
