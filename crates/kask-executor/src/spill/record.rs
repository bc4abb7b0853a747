//! How one value lies in a file.
//!
//! ```text
//! header   magic, version, kind, task, counts, lengths, checksum          64 bytes
//! entries  for each payload: first row, number of rows, their checksum    16 bytes each
//! rows     for each segment: offset, stored and raw length, checksum, codec   40 bytes each
//! data     the segments in order; large ones start at a page, others at a multiple of 64
//! ```
//!
//! All numbers are little-endian. The first segment of a payload is its head, the others are its buffers. Entries and rows can be
//! read one by one, so that a part of a value with many parts costs no more than that part.

use super::compression::{BLOCK_BYTES, Codec, Unpack, pack, unpack};
use super::error::SpillError;
use super::folder::Content;
use super::mapping::PAGE;
use bytes::Bytes;
use kask_types::payload::Segment;
use kask_types::{Payload, TaskId};
use std::io;
use std::ops::Range;
use xxhash_rust::xxh3::{Xxh3, xxh3_64, xxh3_64_with_seed};

/// From this size on a segment starts at a page, and may be compressed.
pub(super) const LARGE_BYTES: usize = 64 << 10;
/// What smaller segments are aligned to: enough for Arrow and for any processor's vectors.
const SMALL_ALIGN: usize = 64;
const MAGIC: [u8; 8] = *b"kaskspil";
const VERSION: u32 = 1;
pub(super) const HEADER: usize = 64;
pub(super) const ENTRY: usize = 16;
pub(super) const ROW: usize = 40;

/// What does not match what was written.
pub(super) type Damage = &'static str;

/// Where the bytes of a record go.
pub(super) trait Sink {
    /// Bytes so far, those of the header included.
    fn position(&self) -> u64;
    /// How much of `data` is best given at a time.
    fn chunk_bytes(&self, data: &[u8]) -> usize;
    fn push(&mut self, data: &[u8]) -> io::Result<()>;
}

/// A record in memory, behind whatever else is in the vector already.
pub(super) struct InMemory<'a> {
    pub(super) buffer: &'a mut Vec<u8>,
    pub(super) start: usize,
}

impl Sink for InMemory<'_> {
    fn position(&self) -> u64 {
        (self.buffer.len() - self.start) as u64
    }
    fn chunk_bytes(&self, data: &[u8]) -> usize {
        data.len().max(1)
    }
    fn push(&mut self, data: &[u8]) -> io::Result<()> {
        self.buffer.extend_from_slice(data);
        Ok(())
    }
}

/// The size of a record, as far as it is known before it is written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) header_len: usize,
    /// Bytes of the payloads.
    pub(super) raw_bytes: u64,
    /// The record takes no more than this.
    pub(super) most_bytes: u64,
}

fn segments(task: TaskId, payload: &Payload) -> Result<impl Iterator<Item = &Bytes>, SpillError> {
    match payload {
        Payload::Local(_) => Err(SpillError::NotEncoded { task }),
        Payload::Bytes { head, buffers } => Ok(std::iter::once(&head.0).chain(buffers.iter().map(|buffer| &buffer.0))),
    }
}

/// Measures a value.
pub(super) fn shape(task: TaskId, content: &Content) -> Result<Shape, SpillError> {
    let payloads = content.payloads();
    let (mut count, mut raw_bytes, mut padded) = (0, 0, 0);
    for payload in payloads {
        for segment in segments(task, payload)? {
            count += 1;
            raw_bytes += segment.len() as u64;
            // Blocks that do not shrink grow by their length field.
            let blocks = 4 * segment.len().div_ceil(BLOCK_BYTES);
            padded += (segment.len() + blocks + align_of(segment.len())) as u64;
        }
    }
    let header_len = HEADER + payloads.len() * ENTRY + count * ROW;
    Ok(Shape { header_len, raw_bytes, most_bytes: (header_len + 2 * PAGE) as u64 + padded })
}

fn align_of(len: usize) -> usize {
    if len >= LARGE_BYTES { PAGE } else { SMALL_ALIGN }
}

/// One segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    offset: u64,
    stored: u64,
    raw: u64,
    checksum: u64,
    codec: Codec,
}

impl Row {
    fn encode(self) -> [u8; ROW] {
        let mut bytes = [0; ROW];
        for (field, value) in bytes.chunks_exact_mut(8).zip([self.offset, self.stored, self.raw, self.checksum]) {
            field.copy_from_slice(&value.to_le_bytes());
        }
        bytes[32] = match self.codec {
            Codec::Raw => 0,
            Codec::Lz4 => 1,
        };
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Row, Damage> {
        let codec = match bytes[32] {
            0 => Codec::Raw,
            1 => Codec::Lz4,
            _ => return Err("it says that it is compressed in an unknown way"),
        };
        let field = |index: usize| u64_at(bytes, index * 8);
        Ok(Row { offset: field(0), stored: field(1), raw: field(2), checksum: field(3), codec })
    }

    fn end(&self) -> Result<u64, Damage> {
        self.offset.checked_add(self.stored).ok_or("a segment ends beyond all files")
    }
}

/// Writes the segments of a value to `sink`, whose first `shape.header_len` bytes are kept free, and gives what goes there.
pub(super) fn write(
    sink: &mut impl Sink,
    task: TaskId,
    content: &Content,
    shape: &Shape,
    choose: &mut dyn FnMut(&[u8]) -> Codec,
) -> Result<Vec<u8>, WriteError> {
    let mut entries = Vec::with_capacity(content.payloads().len() * ENTRY);
    let mut rows: Vec<u8> = Vec::with_capacity(shape.header_len - HEADER - entries.capacity());
    for (index, payload) in content.payloads().iter().enumerate() {
        let first = rows.len() / ROW;
        for segment in segments(task, payload).map_err(WriteError::Value)? {
            let row = write_segment(sink, segment, choose(segment)).map_err(WriteError::Io)?;
            rows.extend_from_slice(&row.encode());
        }
        let mine = &rows[first * ROW..];
        entries.extend_from_slice(&(first as u32).to_le_bytes());
        entries.extend_from_slice(&((mine.len() / ROW) as u32).to_le_bytes());
        entries.extend_from_slice(&rows_checksum(index as u32, first as u32, mine).to_le_bytes());
    }
    let mut header = Vec::with_capacity(shape.header_len);
    header.extend_from_slice(&MAGIC);
    let is_parts = u32::from(content.parts().is_some());
    let payloads = (entries.len() / ENTRY) as u32;
    for number in [VERSION, is_parts, task.slot, task.generation, payloads, (rows.len() / ROW) as u32] {
        header.extend_from_slice(&number.to_le_bytes());
    }
    header.extend_from_slice(&sink.position().to_le_bytes());
    header.resize(HEADER - 8, 0);
    header.extend_from_slice(&xxh3_64(&header).to_le_bytes());
    header.extend_from_slice(&entries);
    header.extend_from_slice(&rows);
    debug_assert_eq!(header.len(), shape.header_len);
    Ok(header)
}

/// Why a record could not be written.
pub(super) enum WriteError {
    Value(SpillError),
    Io(io::Error),
}

fn rows_checksum(index: u32, first: u32, rows: &[u8]) -> u64 {
    xxh3_64_with_seed(rows, (u64::from(index) << 32) | u64::from(first))
}

fn write_segment(sink: &mut impl Sink, segment: &[u8], codec: Codec) -> io::Result<Row> {
    const ZEROS: [u8; PAGE] = [0; PAGE];
    let aligned = sink.position().next_multiple_of(align_of(segment.len()) as u64);
    sink.push(&ZEROS[..(aligned - sink.position()) as usize])?;
    let offset = sink.position();
    let checksum = match codec {
        Codec::Raw if segment.len() <= sink.chunk_bytes(segment) => {
            sink.push(segment)?;
            xxh3_64(segment)
        }
        Codec::Raw => {
            let mut hasher = Xxh3::new();
            for chunk in segment.chunks(sink.chunk_bytes(segment)) {
                hasher.update(chunk);
                sink.push(chunk)?;
            }
            hasher.digest()
        }
        Codec::Lz4 => {
            let mut hasher = Xxh3::new();
            let mut packed = Vec::new();
            for block in segment.chunks(BLOCK_BYTES) {
                pack(block, &mut packed);
                hasher.update(&packed);
                sink.push(&packed)?;
            }
            hasher.digest()
        }
    };
    Ok(Row { offset, stored: sink.position() - offset, raw: segment.len() as u64, checksum, codec })
}

fn u32_at(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(bytes[offset..offset + 4].try_into().expect("four bytes"))
}

fn u64_at(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(bytes[offset..offset + 8].try_into().expect("eight bytes"))
}

/// A header that has been read and verified.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) is_parts: bool,
    pub(super) payloads: u32,
    segments: u32,
    record_len: u64,
}

impl Header {
    /// Reads the header of the value of `task`.
    pub(super) fn decode(bytes: &[u8], task: TaskId) -> Result<Header, Damage> {
        let bytes = bytes.get(..HEADER).ok_or("it is shorter than its header")?;
        if bytes[..8] != MAGIC {
            return Err("it does not start like a spilled value");
        }
        if u64_at(bytes, HEADER - 8) != xxh3_64(&bytes[..HEADER - 8]) {
            return Err("the header's checksum does not match");
        }
        if u32_at(bytes, 8) != VERSION {
            return Err("it was written by another version of Kask");
        }
        if (u32_at(bytes, 16), u32_at(bytes, 20)) != (task.slot, task.generation) {
            return Err("it is the value of another task");
        }
        let is_parts = match u32_at(bytes, 12) {
            0 => false,
            1 => true,
            _ => return Err("it is of an unknown kind"),
        };
        let header = Header {
            is_parts,
            payloads: u32_at(bytes, 24),
            segments: u32_at(bytes, 28),
            record_len: u64_at(bytes, 32),
        };
        match is_parts || header.payloads == 1 {
            true => Ok(header),
            false => Err("it is of an unknown kind"),
        }
    }

    fn rows_start(&self) -> usize {
        HEADER + self.payloads as usize * ENTRY
    }

    /// Where header, entries and rows end.
    pub(super) fn len(&self) -> usize {
        self.rows_start() + self.segments as usize * ROW
    }

    /// Where the entry of payload `index` is.
    pub(super) fn entry(&self, index: u32) -> Range<usize> {
        let start = HEADER + index as usize * ENTRY;
        start..start + ENTRY
    }

    /// Where the rows of a payload are, by its entry.
    pub(super) fn rows(&self, entry: &[u8]) -> Result<Range<usize>, Damage> {
        let (first, count) = (u32_at(entry, 0), u32_at(entry, 4));
        if count == 0 || first.checked_add(count).is_none_or(|end| end > self.segments) {
            return Err("a payload's entry does not match");
        }
        let start = self.rows_start() + first as usize * ROW;
        Ok(start..start + count as usize * ROW)
    }

    /// Reads the rows of payload `index`.
    pub(super) fn decode_rows(&self, index: u32, entry: &[u8], rows: &[u8]) -> Result<Vec<Row>, Damage> {
        if u64_at(entry, 8) != rows_checksum(index, u32_at(entry, 0), rows) {
            return Err("the checksum of a payload's description does not match");
        }
        let rows = rows.chunks_exact(ROW).map(Row::decode).collect::<Result<Vec<_>, _>>()?;
        for row in &rows {
            if row.offset < self.len() as u64 || row.end()? > self.record_len {
                return Err("a segment lies outside of the value");
            }
        }
        Ok(rows)
    }
}

/// All payloads' rows of a record that is in memory as a whole.
pub(super) fn all_rows(header: &Header, record: &[u8]) -> Result<Vec<Vec<Row>>, Damage> {
    if (record.len() as u64) < header.record_len || record.len() < header.len() {
        return Err("the file is too short");
    }
    (0..header.payloads)
        .map(|index| {
            let entry = &record[header.entry(index)];
            header.decode_rows(index, entry, &record[header.rows(entry)?])
        })
        .collect()
}

/// From where to where a payload's segments lie. Segments of one payload are written one after another.
pub(super) fn extent(rows: &[Row]) -> Result<Range<u64>, Damage> {
    let start = rows.iter().map(|row| row.offset).min().unwrap_or(0);
    let mut end = start;
    for row in rows {
        end = end.max(row.end()?);
    }
    Ok(start..end)
}

/// Compares the segments with their checksums. `window` holds the record from `start` on.
pub(super) fn verify(rows: &[Row], window: &[u8], start: u64) -> Result<(), Damage> {
    for row in rows {
        let stored = window.get(within(row, start)).ok_or("the file is too short")?;
        if xxh3_64(stored) != row.checksum {
            return Err("a checksum does not match");
        }
    }
    Ok(())
}

fn within(row: &Row, start: u64) -> Range<usize> {
    let from = row.offset.saturating_sub(start) as usize;
    from..from + row.stored as usize
}

/// The payload whose segments are in `window`, which holds the record from `start` on and has been verified.
pub(super) fn payload(rows: &[Row], window: &Bytes, start: u64) -> Result<Payload, Unpack> {
    let segment = |row: &Row| {
        let stored = window.slice(within(row, start));
        Ok(Segment(match row.codec {
            Codec::Raw => stored,
            Codec::Lz4 => unpack(&stored, row.raw as usize)?,
        }))
    };
    let head = segment(&rows[0])?;
    Ok(Payload::Bytes { head, buffers: rows[1..].iter().map(segment).collect::<Result<_, Unpack>>()? })
}
