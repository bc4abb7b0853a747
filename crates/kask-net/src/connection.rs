//! A connection: two halves, and who is at the other end.
//!
//! [`Sender`] is cloned and called from anywhere; [`Receiver`] belongs to the one task that reads. The connection is
//! over when both are dropped.

pub use crate::receiver::{NetError, Receiver};
pub use crate::sender::{SendError, Sender};

use crate::receiver::Source;
use crate::socket::{Socket, SocketIo};
use crate::writer::Sink;
use kask_types::Incarnation;
use kask_wire::codec::FrameLimits;
use std::io;
use std::sync::Arc;
use tokio::net::UnixStream;
use tokio_rustls::TlsStream;

/// An established connection.
#[derive(Debug)]
pub struct Connection {
    /// Sends; cloneable.
    pub sender: Sender,
    /// Receives.
    pub receiver: Receiver,
    /// Who is at the other end.
    pub peer: Incarnation,
}

impl Connection {
    /// The two halves.
    pub fn split(self) -> (Sender, Receiver) {
        (self.sender, self.receiver)
    }

    /// Two ends of a connection inside this process, over a real socket, without a handshake.
    pub fn pair() -> io::Result<(Connection, Connection)> {
        let (left, right) = UnixStream::pair()?;
        let end = |stream, peer| {
            let (sender, receiver) = halves_plain(Socket::unix(stream), FrameLimits::ESTABLISHED);
            Connection { sender, receiver, peer: Incarnation(peer) }
        };
        Ok((end(left, 2), end(right, 1)))
    }
}

pub(crate) fn halves_plain(socket: Socket, limits: FrameLimits) -> (Sender, Receiver) {
    let socket = Arc::new(socket);
    let sender = Sender::start(socket.clone(), Sink::Plain(socket.clone()));
    (sender, Receiver::new(Source::Plain(socket), limits))
}

pub(crate) fn halves_tls(socket: Arc<Socket>, stream: TlsStream<SocketIo>, limits: FrameLimits) -> (Sender, Receiver) {
    let (read, write) = tokio::io::split(stream);
    (Sender::start(socket, Sink::Tls(write)), Receiver::new(Source::Tls(read), limits))
}
