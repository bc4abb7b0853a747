//! Frames out of a stream of bytes: no socket here, only what has arrived and what comes next.
//!
//! A frame is `u32 head length, u32 segment count, u64 segment lengths.., head, segments`, little endian. With the highest
//! bit of a length set, a segment of that length lies in the sender's shared memory, and 16 bytes that say where follow
//! in its place. With the highest bit of the count set (and no other), the head is not a message but a word about
//! shared memory (see `share.rs`).
//!
//! Invariants:
//! - a length is checked against the limits as soon as it is known, and memory is taken as bytes arrive: at most
//!   [`STEP_BYTES`] or as much again as has arrived, whatever a length claims;
//! - a segment has an allocation of its own and of exactly its size, so that what is kept costs what it weighs; a
//!   small head is copied out for the same reason, a middle one is split off the read buffer.

use crate::arena::Arena;
use crate::arena::filling::{Filling, STEP_BYTES};
use crate::share::{Borrower, REFERENCE_BYTES, ShareError};
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
/// Up to this size a head is copied out rather than keeping a read buffer alive.
const COPY_MAX_BYTES: usize = 4 << 10;

/// In a segment's length: it is a reference.
const REFERENCE_BIT: u64 = 1 << 63;
/// As the segment count: this is no message.
const CONTROL_COUNT: u32 = 1 << 31;
/// Bytes of a word about shared memory.
const CONTROL_MAX_BYTES: u32 = 64 << 10;

/// Why what arrives makes no sense.
#[derive(Debug)]
pub(crate) enum AssembleError {
    Codec(CodecError),
    Share(ShareError),
}

impl From<CodecError> for AssembleError {
    fn from(error: CodecError) -> AssembleError {
        AssembleError::Codec(error)
    }
}

impl From<ShareError> for AssembleError {
    fn from(error: ShareError) -> AssembleError {
        AssembleError::Share(error)
    }
}

/// What has arrived whole.
pub(crate) enum Item {
    Message(Frame),
    /// A word about shared memory.
    Control(Bytes),
}

/// What is known of a segment before it is there.
#[derive(Clone, Copy)]
enum Announced {
    /// It follows.
    Streamed(usize),
    /// A reference to so many bytes follows.
    Lent(usize),
}

/// Where the next bytes shall be read to.
pub(crate) enum Space<'a> {
    /// Whatever comes.
    Stream(&'a mut BytesMut),
    /// The rest of one large part, and nothing beyond.
    Part(Limit<&'a mut Vec<u8>>),
    /// The same, in the arena.
    Arena(&'a mut Filling),
}

pub(crate) struct Assembler {
    limits: FrameLimits,
    buffer: BytesMut,
    step: Step,
    /// Whether words about shared memory may come.
    has_controls: bool,
    borrower: Option<Borrower>,
}

/// What is being waited for.
enum Step {
    Prefix,
    Control {
        length: usize,
    },
    Lengths {
        head: usize,
        segments: usize,
    },
    Head {
        part: Part,
        lengths: std::vec::IntoIter<Announced>,
    },
    Segment {
        part: Part,
        announced: Announced,
        head: Bytes,
        segments: Vec<Bytes>,
        lengths: std::vec::IntoIter<Announced>,
    },
}

/// A head or segment on its way.
enum Part {
    /// Taken out of the stream buffer once it is there.
    Buffered(usize),
    /// Read into its own allocation until it has this many bytes.
    Direct(usize, Vec<u8>),
    /// Read into the arena, where memory is reused, and from where it may be lent on.
    Arena(usize, Filling),
}

impl Assembler {
    pub(crate) fn new(limits: FrameLimits) -> Assembler {
        Assembler { limits, buffer: BytesMut::new(), step: Step::Prefix, has_controls: false, borrower: None }
    }

    /// Words about shared memory may come from now on.
    pub(crate) fn expect_controls(&mut self) {
        self.has_controls = true;
    }

    /// References may come from now on.
    pub(crate) fn expect_references(&mut self, borrower: Borrower) -> Result<(), ShareError> {
        match self.borrower {
            Some(_) => Err(ShareError::ShownTwice),
            None => {
                self.borrower = Some(borrower);
                Ok(())
            }
        }
    }

    /// For the frames that begin from now on.
    pub(crate) fn set_limits(&mut self, limits: FrameLimits) {
        self.limits = limits;
    }

    /// Whether nothing of a frame has arrived yet.
    pub(crate) fn is_between_frames(&self) -> bool {
        matches!(self.step, Step::Prefix) && self.buffer.is_empty()
    }

    /// The next message or word, if it is here whole.
    pub(crate) fn next_item(&mut self) -> Result<Option<Item>, AssembleError> {
        loop {
            match std::mem::replace(&mut self.step, Step::Prefix) {
                Step::Prefix => {
                    if self.buffer.len() < PREFIX_BYTES {
                        return Ok(None);
                    }
                    self.step = self.read_prefix()?;
                }
                Step::Control { length } => {
                    if self.buffer.len() < length {
                        self.step = Step::Control { length };
                        return Ok(None);
                    }
                    return Ok(Some(Item::Control(self.take_copy(length))));
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
                        Some(frame) => return Ok(Some(Item::Message(frame))),
                        None => continue,
                    },
                },
                Step::Segment { mut part, announced, head, mut segments, lengths } => {
                    match self.take_part(&mut part, DIRECT_MIN_BYTES) {
                        None => {
                            self.step = Step::Segment { part, announced, head, segments, lengths };
                            return Ok(None);
                        }
                        Some(segment) => {
                            segments.push(self.resolve(announced, segment)?);
                            match self.after_part(head, segments, lengths) {
                                Some(frame) => return Ok(Some(Item::Message(frame))),
                                None => continue,
                            }
                        }
                    }
                }
            }
        }
    }

    fn read_prefix(&mut self) -> Result<Step, AssembleError> {
        let head = self.buffer.get_u32_le();
        let segments = self.buffer.get_u32_le();
        if self.has_controls && segments == CONTROL_COUNT && head <= CONTROL_MAX_BYTES {
            return Ok(Step::Control { length: head as usize });
        }
        self.limits.check_head(u64::from(head), u64::from(segments))?;
        Ok(Step::Lengths { head: head as usize, segments: segments as usize })
    }

    /// What a segment is of which `bytes` have arrived.
    fn resolve(&mut self, announced: Announced, bytes: Bytes) -> Result<Bytes, ShareError> {
        match announced {
            Announced::Streamed(_) => Ok(bytes),
            Announced::Lent(len) => self.borrower.as_mut().ok_or(ShareError::NothingShown)?.view(&bytes, len),
        }
    }

    /// Where to read what [`Assembler::next_item`] waits for.
    pub(crate) fn space(&mut self) -> Space<'_> {
        match &mut self.step {
            Step::Head { part, .. } | Step::Segment { part, .. } => {
                part.leave_arena_if_full();
                match part {
                    Part::Direct(wanted, bytes) => {
                        let missing = *wanted - bytes.len();
                        if bytes.len() == bytes.capacity() {
                            bytes.reserve_exact(missing.min(bytes.len().max(STEP_BYTES)));
                        }
                        return Space::Part(bytes.limit(missing));
                    }
                    Part::Arena(_, filling) => return Space::Arena(filling),
                    Part::Buffered(_) => {}
                }
            }
            Step::Prefix | Step::Control { .. } | Step::Lengths { .. } => {}
        }
        if self.buffer.capacity() - self.buffer.len() < SPARE_MIN_BYTES {
            self.buffer.reserve(READ_BYTES);
        }
        Space::Stream(&mut self.buffer)
    }

    fn read_lengths(&mut self, head: usize, segments: usize) -> Result<Vec<Announced>, AssembleError> {
        let mut total = head as u64;
        let mut lengths = Vec::with_capacity(segments);
        for _ in 0..segments {
            let word = self.buffer.get_u64_le();
            let is_reference = word & REFERENCE_BIT != 0 && self.has_controls;
            let length = if is_reference { word & !REFERENCE_BIT } else { word };
            total = total.saturating_add(length);
            self.limits.check_total(total)?;
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            lengths.push(match is_reference {
                true if self.borrower.is_none() => return Err(ShareError::NothingShown.into()),
                true => Announced::Lent(length),
                false => Announced::Streamed(length),
            });
        }
        Ok(lengths)
    }

    fn begin_part(&mut self, length: usize) -> Part {
        if length < DIRECT_MIN_BYTES {
            return Part::Buffered(length);
        }
        let mut part = Part::Direct(length, Vec::with_capacity(length.min(STEP_BYTES)));
        part.fill(&mut self.buffer);
        part
    }

    /// As [`Assembler::begin_part`], in the arena if there is one.
    fn begin_segment(&mut self, length: usize) -> Part {
        let arena = Arena::global().filter(|_| length >= DIRECT_MIN_BYTES);
        match arena.and_then(|arena| arena.reserve(length)) {
            None => self.begin_part(length),
            Some(filling) => {
                let mut part = Part::Arena(length, filling);
                part.fill(&mut self.buffer);
                part
            }
        }
    }

    /// The part, if it is here whole; copied out of the stream buffer up to `copy_max` bytes.
    fn take_part(&mut self, part: &mut Part, copy_max: usize) -> Option<Bytes> {
        match part {
            Part::Buffered(length) if self.buffer.len() < *length => None,
            Part::Buffered(length) if *length <= copy_max => Some(self.take_copy(*length)),
            Part::Buffered(length) => Some(self.buffer.split_to(*length).freeze()),
            Part::Direct(length, bytes) if bytes.len() < *length => None,
            Part::Direct(_, bytes) => Some(Bytes::from(std::mem::take(bytes))),
            Part::Arena(_, filling) if !filling.is_full() => None,
            Part::Arena(..) => match std::mem::replace(part, Part::Buffered(0)) {
                Part::Arena(_, filling) => Some(filling.freeze()),
                Part::Buffered(_) | Part::Direct(..) => None,
            },
        }
    }

    fn take_copy(&mut self, length: usize) -> Bytes {
        let copy = Bytes::copy_from_slice(&self.buffer[..length]);
        self.buffer.advance(length);
        copy
    }

    /// Goes on to the next segment; a frame if there is none.
    fn after_part(
        &mut self,
        head: Bytes,
        mut segments: Vec<Bytes>,
        mut lengths: std::vec::IntoIter<Announced>,
    ) -> Option<Frame> {
        match lengths.next() {
            None => Some(Frame { head, segments }),
            Some(announced) => {
                if segments.is_empty() {
                    segments.reserve_exact(lengths.len() + 1);
                }
                let part = match announced {
                    Announced::Streamed(length) => self.begin_segment(length),
                    Announced::Lent(_) => Part::Buffered(REFERENCE_BYTES),
                };
                self.step = Step::Segment { part, announced, head, segments, lengths };
                None
            }
        }
    }
}

impl Part {
    /// Takes what has been read already.
    fn fill(&mut self, buffer: &mut BytesMut) {
        loop {
            self.leave_arena_if_full();
            let here = match self {
                Part::Buffered(_) => 0,
                Part::Direct(wanted, bytes) => {
                    let here = (*wanted - bytes.len()).min(buffer.len());
                    bytes.extend_from_slice(&buffer[..here]);
                    here
                }
                Part::Arena(_, filling) => {
                    let here = filling.remaining_mut().min(buffer.len());
                    filling.put_slice(&buffer[..here]);
                    here
                }
            };
            if here == 0 {
                return;
            }
            buffer.advance(here);
        }
    }

    /// Goes on in ordinary memory if the arena has none for what comes next.
    fn leave_arena_if_full(&mut self) {
        if let Part::Arena(length, filling) = self
            && !filling.make_room()
        {
            *self = Part::Direct(*length, filling.to_vec());
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

/// What precedes a word about shared memory.
pub(crate) fn control_header(frame: &Frame) -> Vec<u8> {
    let mut header = Vec::with_capacity(PREFIX_BYTES);
    header.put_u32_le(u32::try_from(frame.head.len()).expect("a control message is short"));
    header.put_u32_le(CONTROL_COUNT);
    header
}

/// Says in a frame's header that a segment is sent as a reference.
pub(crate) fn mark_reference(header: &mut [u8], segment: usize) {
    let highest_byte = PREFIX_BYTES + (segment + 1) * size_of::<u64>() - 1;
    header[highest_byte] |= 0x80;
}
