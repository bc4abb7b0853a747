//! Messages to frames and back: bytes in, bytes out, no I/O.
//!
//! A [`Frame`] is a *head* (the message in postcard's format) and the large byte *segments* that it refers to by
//! number. Segments are neither copied when encoding nor when decoding, and small payloads are slices of the head.
//!
//! Invariants:
//! - bytes of a peer never panic, and what decoding allocates is bounded by what arrived, never by what a length
//!   claims (postcard announces a sequence only as long as the bytes that are left, and serde reserves at most a
//!   mebibyte ahead);
//! - a head that is longer than its message is an error;
//! - what [`encode`] gives out, a receiver with the same [`FrameLimits`] accepts.
//!
//! Start with [`encode`] and [`decode`].

use bytes::Bytes;
use kask_types::payload::{collect_segments, provide_segments};
use postcard::ser_flavors::Flavor;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// An encoded message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// The message, without its large segments.
    pub head: Bytes,
    /// Large payloads, which the head names by position.
    pub segments: Vec<Bytes>,
}

impl Frame {
    /// Bytes of the head and all segments.
    pub fn nbytes(&self) -> u64 {
        self.head.len() as u64 + self.segments.iter().map(|segment| segment.len() as u64).sum::<u64>()
    }
}

/// How large a frame may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    /// Bytes of the head.
    pub head_bytes: u64,
    /// Number of segments.
    pub segments: u32,
    /// Bytes of the head and all segments.
    pub total_bytes: u64,
}

impl FrameLimits {
    /// Of an established connection: 256 MiB of message, 64 GiB with its segments.
    pub const ESTABLISHED: FrameLimits =
        FrameLimits { head_bytes: 256 << 20, segments: 1 << 20, total_bytes: 64 << 30 };

    /// Of a peer that has not said yet who it is: 64 KiB and no segments.
    pub const HANDSHAKE: FrameLimits = FrameLimits { head_bytes: 64 << 10, segments: 0, total_bytes: 64 << 10 };

    /// Whether a frame whose head and number of segments are these may follow.
    pub fn check_head(&self, head_bytes: u64, segments: u64) -> Result<(), CodecError> {
        check("message", "bytes", head_bytes, self.head_bytes.min(self.total_bytes))?;
        check("message", "segments", segments, u64::from(self.segments))
    }

    /// Whether a frame of this many bytes may follow.
    pub fn check_total(&self, total_bytes: u64) -> Result<(), CodecError> {
        check("message with its data", "bytes", total_bytes, self.total_bytes)
    }
}

fn check(what: &'static str, unit: &'static str, size: u64, limit: u64) -> Result<(), CodecError> {
    if size <= limit { Ok(()) } else { Err(CodecError::TooLarge { what, unit, size, limit }) }
}

impl Default for FrameLimits {
    fn default() -> FrameLimits {
        FrameLimits::ESTABLISHED
    }
}

/// Why a message could not be turned into a frame or back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The message holds something that only exists in this process.
    #[error("a {message} message cannot be encoded ({reason}); it may hold an object that only exists in this process")]
    Encode {
        /// The message's type.
        message: &'static str,
        /// What postcard says.
        reason: String,
    },
    /// The head is not such a message.
    #[error("what arrived is not a {message} message: {reason}")]
    Decode {
        /// The type that was expected.
        message: &'static str,
        /// What postcard says.
        reason: String,
    },
    /// The head goes on after the message.
    #[error("a {message} message is followed by {extra} bytes that do not belong to it")]
    Trailing {
        /// The message's type.
        message: &'static str,
        /// How many bytes too many.
        extra: usize,
    },
    /// Beyond a limit.
    #[error("a {what} has {size} {unit}; the limit is {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// What is counted.
        unit: &'static str,
        /// How much there is.
        size: u64,
        /// How much there may be.
        limit: u64,
    },
}

/// Encodes a message within [`FrameLimits::ESTABLISHED`].
///
/// ```
/// use kask_wire::codec::{decode, encode};
/// use kask_types::TaskId;
/// use kask_wire::SchedulerToWorker;
///
/// let frame = encode(&SchedulerToWorker::Free(vec![TaskId { slot: 7, generation: 0 }])).unwrap();
/// let SchedulerToWorker::Free(tasks) = decode(frame).unwrap() else { panic!("another message") };
/// assert_eq!(tasks[0].slot, 7);
/// ```
pub fn encode<M: Serialize + ?Sized>(message: &M) -> Result<Frame, CodecError> {
    encode_within(message, &FrameLimits::ESTABLISHED)
}

/// Encodes a message within other limits.
pub fn encode_within<M: Serialize + ?Sized>(message: &M, limits: &FrameLimits) -> Result<Frame, CodecError> {
    // Most messages are some tens of bytes; one allocation is enough for them.
    let head = Head { bytes: Vec::with_capacity(128), limit: limits.head_bytes };
    let (head, segments) = collect_segments(|| postcard::serialize_with_flavor(message, head));
    let head = match head {
        Ok(head) => Bytes::from(head),
        Err(postcard::Error::SerializeBufferFull) => {
            // The size is not known, since encoding stopped at the limit.
            let limit = limits.head_bytes;
            return Err(CodecError::TooLarge { what: "message", unit: "bytes or more", size: limit + 1, limit });
        }
        Err(error) => return Err(CodecError::Encode { message: short_name::<M>(), reason: error.to_string() }),
    };
    let frame = Frame { head, segments };
    limits.check_head(frame.head.len() as u64, frame.segments.len() as u64)?;
    limits.check_total(frame.nbytes())?;
    Ok(frame)
}

/// Decodes a message. Segments are shared with the frame, small payloads with its head.
pub fn decode<M: DeserializeOwned>(frame: Frame) -> Result<M, CodecError> {
    let Frame { head, segments } = frame;
    let (message, extra) = provide_segments(head.clone(), segments, || {
        postcard::take_from_bytes::<M>(&head).map(|(message, rest)| (message, rest.len()))
    })
    .map_err(|error| CodecError::Decode { message: short_name::<M>(), reason: error.to_string() })?;
    if extra == 0 { Ok(message) } else { Err(CodecError::Trailing { message: short_name::<M>(), extra }) }
}

/// `SchedulerToWorker` rather than `kask_wire::worker::SchedulerToWorker`.
fn short_name<M: ?Sized>() -> &'static str {
    let name = std::any::type_name::<M>();
    match name.find('<') {
        Some(_) => name,
        None => name.rsplit("::").next().unwrap_or(name),
    }
}

/// Where postcard writes a head to: a vector that stops at the limit instead of growing beyond it.
struct Head {
    bytes: Vec<u8>,
    limit: u64,
}

impl Head {
    fn has_room(&self, more: usize) -> postcard::Result<()> {
        if (self.bytes.len() + more) as u64 <= self.limit { Ok(()) } else { Err(postcard::Error::SerializeBufferFull) }
    }
}

impl Flavor for Head {
    type Output = Vec<u8>;

    #[inline]
    fn try_extend(&mut self, data: &[u8]) -> postcard::Result<()> {
        self.has_room(data.len())?;
        self.bytes.extend_from_slice(data);
        Ok(())
    }

    #[inline]
    fn try_push(&mut self, data: u8) -> postcard::Result<()> {
        self.has_room(1)?;
        self.bytes.push(data);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<Vec<u8>> {
        Ok(self.bytes)
    }
}
