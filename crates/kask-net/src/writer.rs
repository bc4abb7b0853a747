//! Writing frames: what a call writes itself, and the task that writes what is queued.

use crate::sender::{CLOSED_HERE, Next, Shared};
use crate::socket::{Socket, SocketIo};
use bytes::{Buf, Bytes};
use kask_wire::codec::Frame;
use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncWriteExt, WriteHalf};
use tokio_rustls::TlsStream;

/// What a call writes itself at most before it leaves the rest to the writer task.
const INLINE_MAX_BYTES: usize = 256 << 10;
/// Pieces per write.
const SLICES: usize = 64;
/// How long a closing connection tries to get rid of what is queued.
const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// Where the writer task writes to.
pub(crate) enum Sink {
    Plain(Arc<Socket>),
    Tls(WriteHalf<TlsStream<SocketIo>>),
}

/// What ended a connection, for people.
pub(crate) fn broken(error: &io::Error) -> Arc<str> {
    Arc::from(match error.kind() {
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => "the peer has gone".to_owned(),
        _ => format!("it broke ({error})"),
    })
}

/// Writes as much of a frame as the socket takes now; how many bytes that was.
pub(crate) fn write_inline(socket: &Socket, header: &[u8], frame: &Frame) -> io::Result<usize> {
    if frame.segments.is_empty() {
        // The usual small message: one write, no lists. What the socket does not take is queued.
        return try_write(socket, &[IoSlice::new(header), IoSlice::new(&frame.head)]);
    }
    let mut pieces: Vec<&[u8]> = Vec::with_capacity(2 + frame.segments.len());
    pieces.extend([header, &frame.head[..]]);
    pieces.extend(frame.segments.iter().map(|segment| &segment[..]));
    write_pieces_inline(socket, &pieces)
}

fn write_pieces_inline(socket: &Socket, pieces: &[&[u8]]) -> io::Result<usize> {
    let (mut written, mut first, mut offset) = (0, 0, 0);
    while written < INLINE_MAX_BYTES {
        while pieces.get(first).is_some_and(|piece| offset == piece.len()) {
            (first, offset) = (first + 1, 0);
        }
        if first == pieces.len() {
            break;
        }
        let mut slices = [IoSlice::new(&[]); SLICES];
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(&pieces[first..]) {
            *slice = IoSlice::new(if count == 0 { &piece[offset..] } else { piece });
            count += 1;
        }
        let mut step = try_write(socket, &slices[..count])?;
        if step == 0 {
            break;
        }
        written += step;
        while step > 0 {
            let taken = step.min(pieces[first].len() - offset);
            (step, offset) = (step - taken, offset + taken);
            if offset == pieces[first].len() {
                (first, offset) = (first + 1, 0);
            }
        }
    }
    Ok(written)
}

/// Bytes written; 0 when the socket takes nothing now.
fn try_write(socket: &Socket, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    match socket.try_write_vectored(slices) {
        Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => Ok(0),
        result => result,
    }
}

/// Ends the connection if the writer task goes without having done so (its runtime was shut down).
struct EndGuard(Arc<Shared>);

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.0.end(Arc::from("the network threads have stopped"));
    }
}

/// Writes what is queued until the connection is closed or broken.
pub(crate) async fn run_writer(shared: Arc<Shared>, mut sink: Sink) {
    let guard = EndGuard(shared);
    let shared = &guard.0;
    let limit = async {
        shared.closing().await;
        tokio::time::sleep(CLOSE_LIMIT).await;
    };
    let result = tokio::select! {
        biased;
        result = write_until_closed(shared, &mut sink) => result,
        () = limit => Err(io::Error::new(io::ErrorKind::TimedOut, "the peer did not take what was queued")),
    };
    shared.end(match &result {
        Ok(()) => Arc::from(CLOSED_HERE),
        Err(error) => broken(error),
    });
}

async fn write_until_closed(shared: &Shared, sink: &mut Sink) -> io::Result<()> {
    loop {
        match shared.next() {
            Next::Write(batch) => sink.write_all(batch, |bytes| shared.wrote(bytes)).await?,
            Next::Wait => shared.woken().await,
            Next::ShutDown => return sink.shutdown().await,
            Next::Leave => return Ok(()),
        }
    }
}

impl Sink {
    async fn write_all(&mut self, mut batch: VecDeque<Bytes>, wrote: impl Fn(usize)) -> io::Result<()> {
        while !batch.is_empty() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut count = 0;
            for (slice, piece) in slices.iter_mut().zip(&batch) {
                *slice = IoSlice::new(piece);
                count += 1;
            }
            let written = self.write(&slices[..count]).await?;
            advance(&mut batch, written);
            wrote(written);
        }
        match self {
            Sink::Plain(_) => Ok(()),
            Sink::Tls(stream) => stream.flush().await,
        }
    }

    async fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let written = match self {
            Sink::Tls(stream) => stream.write_vectored(slices).await?,
            Sink::Plain(socket) => loop {
                // A socket that always takes more must not keep the runtime's other tasks waiting.
                tokio::task::coop::consume_budget().await;
                match try_write(socket, slices)? {
                    0 => socket.writable().await?,
                    written => break written,
                }
            },
        };
        if written == 0 { Err(io::ErrorKind::WriteZero.into()) } else { Ok(written) }
    }

    async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Sink::Tls(stream) => stream.shutdown().await,
            Sink::Plain(socket) => match socket.shutdown(Shutdown::Write) {
                Err(error) if error.kind() != io::ErrorKind::NotConnected => Err(error),
                Ok(()) | Err(_) => Ok(()),
            },
        }
    }
}

/// Drops what is written, so that its memory is free at once.
fn advance(batch: &mut VecDeque<Bytes>, mut written: usize) {
    while let Some(first) = batch.front_mut() {
        if written < first.len() {
            return first.advance(written);
        }
        written -= first.len();
        batch.pop_front();
    }
}
