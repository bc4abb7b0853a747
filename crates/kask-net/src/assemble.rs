//! Frames out of a stream of bytes: no socket here, only what has arrived and what comes next.
//!
//! A frame is `u32 head length, u32 segment count, u64 segment lengths.., head, segments`, little endian.
//!
//! Invariants:
//! - a length is checked against the limits as soon as it is known, and memory is taken as bytes arrive: at most
//!   [`DIRECT_STEP`] or as much again as has arrived, whatever a length claims;
//! - a segment has an allocation of its own and of exactly its size, so that what is kept costs what it weighs; a
//!   small head is copied out for the same reason, a middle one is split off the read buffer.

use bytes::buf::Limit;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kask_wire::codec::{CodecError, Frame, FrameLimits};

/// Bytes of the head length and the segment count.
const PREFIX_BYTES: usize = 8;
/// How much room a read finds in the stream buffer.
const READ_BYTES: usize = 64 << 10;
/// Below this much room the stream buffer is renewed.
const SPARE_MIN_BYTES: usize = 8 << 10;
/// From this size on, a part is read straight into its own allocation.
const DIRECT_MIN_BYTES: usize = 64 << 10;
/// What such an allocation starts with, if so much was announced.
const DIRECT_STEP: usize = 4 << 20;
/// Up to this size a head is copied out rather than keeping a read buffer alive.
const COPY_MAX_BYTES: usize = 4 << 10;

/// Where the next bytes shall be read to.
pub(crate) enum Space<'a> {
    /// Whatever comes.
    Stream(&'a mut BytesMut),
    /// The rest of one large part, and nothing beyond.
    Part(Limit<&'a mut Vec<u8>>),
}

pub(crate) struct Assembler {
    limits: FrameLimits,
    buffer: BytesMut,
    step: Step,
}

/// What is being waited for.
enum Step {
    Prefix,
    Lengths { head: usize, segments: usize },
    Head { part: Part, lengths: std::vec::IntoIter<usize> },
    Segment { part: Part, head: Bytes, segments: Vec<Bytes>, lengths: std::vec::IntoIter<usize> },
}

/// A head or segment on its way.
enum Part {
    /// Taken out of the stream buffer once it is there.
    Buffered(usize),
    /// Read into its own allocation until it has this many bytes.
    Direct(usize, Vec<u8>),
}

impl Assembler {
    pub(crate) fn new(limits: FrameLimits) -> Assembler {
        Assembler { limits, buffer: BytesMut::new(), step: Step::Prefix }
    }

    /// For the frames that begin from now on.
    pub(crate) fn set_limits(&mut self, limits: FrameLimits) {
        self.limits = limits;
    }

    /// Whether nothing of a frame has arrived yet.
    pub(crate) fn is_between_frames(&self) -> bool {
        matches!(self.step, Step::Prefix) && self.buffer.is_empty()
    }

    /// The next frame, if it is here whole.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame>, CodecError> {
        loop {
            match std::mem::replace(&mut self.step, Step::Prefix) {
                Step::Prefix => {
                    if self.buffer.len() < PREFIX_BYTES {
                        return Ok(None);
                    }
                    let head = self.buffer.get_u32_le();
                    let segments = self.buffer.get_u32_le();
                    self.limits.check_head(u64::from(head), u64::from(segments))?;
                    self.step = Step::Lengths { head: head as usize, segments: segments as usize };
                }
                Step::Lengths { head, segments } => {
                    if self.buffer.len() < segments * size_of::<u64>() {
                        self.step = Step::Lengths { head, segments };
                        return Ok(None);
                    }
                    let lengths = self.read_lengths(head, segments)?;
                    self.step = Step::Head { part: self.begin_part(head), lengths: lengths.into_iter() };
                }
                Step::Head { mut part, lengths } => match self.take_part(&mut part, COPY_MAX_BYTES) {
                    None => {
                        self.step = Step::Head { part, lengths };
                        return Ok(None);
                    }
                    Some(head) => match self.after_part(head, Vec::new(), lengths) {
                        Some(frame) => return Ok(Some(frame)),
                        None => continue,
                    },
                },
                Step::Segment { mut part, head, mut segments, lengths } => {
                    match self.take_part(&mut part, DIRECT_MIN_BYTES) {
                        None => {
                            self.step = Step::Segment { part, head, segments, lengths };
                            return Ok(None);
                        }
                        Some(segment) => {
                            segments.push(segment);
                            match self.after_part(head, segments, lengths) {
                                Some(frame) => return Ok(Some(frame)),
                                None => continue,
                            }
                        }
                    }
                }
            }
        }
    }

    /// Where to read what [`Assembler::next_frame`] waits for.
    pub(crate) fn space(&mut self) -> Space<'_> {
        if let Step::Head { part: Part::Direct(wanted, bytes), .. }
        | Step::Segment { part: Part::Direct(wanted, bytes), .. } = &mut self.step
        {
            let missing = *wanted - bytes.len();
            if bytes.len() == bytes.capacity() {
                bytes.reserve_exact(missing.min(bytes.len().max(DIRECT_STEP)));
            }
            return Space::Part(bytes.limit(missing));
        }
        if self.buffer.capacity() - self.buffer.len() < SPARE_MIN_BYTES {
            self.buffer.reserve(READ_BYTES);
        }
        Space::Stream(&mut self.buffer)
    }

    fn read_lengths(&mut self, head: usize, segments: usize) -> Result<Vec<usize>, CodecError> {
        let mut total = head as u64;
        let mut lengths = Vec::with_capacity(segments);
        for _ in 0..segments {
            let length = self.buffer.get_u64_le();
            total = total.saturating_add(length);
            self.limits.check_total(total)?;
            lengths.push(usize::try_from(length).unwrap_or(usize::MAX));
        }
        Ok(lengths)
    }

    fn begin_part(&mut self, length: usize) -> Part {
        if length < DIRECT_MIN_BYTES {
            return Part::Buffered(length);
        }
        let mut bytes = Vec::with_capacity(length.min(DIRECT_STEP));
        let here = length.min(self.buffer.len());
        bytes.extend_from_slice(&self.buffer[..here]);
        self.buffer.advance(here);
        Part::Direct(length, bytes)
    }

    /// The part, if it is here whole; copied out of the stream buffer up to `copy_max` bytes.
    fn take_part(&mut self, part: &mut Part, copy_max: usize) -> Option<Bytes> {
        match part {
            Part::Buffered(length) if self.buffer.len() < *length => None,
            Part::Buffered(length) if *length <= copy_max => {
                let copy = Bytes::copy_from_slice(&self.buffer[..*length]);
                self.buffer.advance(*length);
                Some(copy)
            }
            Part::Buffered(length) => Some(self.buffer.split_to(*length).freeze()),
            Part::Direct(length, bytes) if bytes.len() < *length => None,
            Part::Direct(_, bytes) => Some(Bytes::from(std::mem::take(bytes))),
        }
    }

    /// Goes on to the next segment; a frame if there is none.
    fn after_part(
        &mut self,
        head: Bytes,
        mut segments: Vec<Bytes>,
        mut lengths: std::vec::IntoIter<usize>,
    ) -> Option<Frame> {
        match lengths.next() {
            None => Some(Frame { head, segments }),
            Some(length) => {
                if segments.is_empty() {
                    segments.reserve_exact(lengths.len() + 1);
                }
                let part = self.begin_part(length);
                self.step = Step::Segment { part, head, segments, lengths };
                None
            }
        }
    }
}

/// What precedes a frame on the wire.
pub(crate) fn frame_header(frame: &Frame) -> Vec<u8> {
    let mut header = Vec::with_capacity(PREFIX_BYTES + frame.segments.len() * size_of::<u64>());
    header.put_u32_le(u32::try_from(frame.head.len()).expect("the codec's limit of a head is below 4 GiB"));
    header.put_u32_le(u32::try_from(frame.segments.len()).expect("the codec's limit of segments is below 2^32"));
    for segment in &frame.segments {
        header.put_u64_le(segment.len() as u64);
    }
    header
}
