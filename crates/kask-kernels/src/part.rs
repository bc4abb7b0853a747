//! The format of a part: the rows of one split for one group of outputs, as one buffer.
//!
//! ```text
//! prefix   magic, the offset and length in bytes of the two that follow, and their checksum
//! common   what all parts of a split share: the schema (as Arrow IPC has it) and the dictionaries of its columns
//! header   rows of each output of the group, then a description (`node.rs`) of each column
//! buffers  each at a multiple of 64 bytes
//! ```
//!
//! The rows of an output follow each other, in the order of the input, and outputs follow each other in order. Columns that
//! are dictionaries have only their keys here; the values are in the common section, which is equal, byte by byte, for
//! equal dictionaries, so that merging compares bytes before it compares values.

use crate::error::{KernelError, damaged};
use crate::hash::{join, of_bytes};
use crate::node::{ALIGNMENT, Layouter, Node, Span, Words, aligned, slice, word_bytes};
use arrow_array::ArrayRef;
use arrow_buffer::Buffer;
use arrow_ipc::convert::{IpcSchemaEncoder, fb_to_schema};
use arrow_ipc::writer::DictionaryTracker;
use arrow_schema::{DataType, Schema, SchemaRef};
use bytes::Bytes;
use std::sync::Arc;

/// "kaskprt1".
const MAGIC: u64 = u64::from_le_bytes(*b"kaskprt1");

/// How deep types may be nested.
const MAX_DEPTH: usize = 64;

/// Where a part's common section begins.
const COMMON_START: usize = ALIGNMENT;

/// The first bytes of a part.
fn prefix(common: &[u8], header: &[u8]) -> Vec<u8> {
    let (common_start, header_start) = (COMMON_START as u64, (COMMON_START + aligned(common.len())) as u64);
    let checksum = checksum(common, header);
    word_bytes(&[MAGIC, common_start, common.len() as u64, header_start, header.len() as u64, checksum])
}

/// Of all that says how the buffers are to be read. Damage in the buffers themselves is for who carried them to notice;
/// it makes wrong values, but never arrays that are not valid.
fn checksum(common: &[u8], header: &[u8]) -> u64 {
    join(of_bytes(common), of_bytes(header))
}

/// The start of a part whose buffers are not written yet.
pub(crate) struct PartHead {
    /// Rows of each output.
    pub(crate) counts: Vec<u64>,
    /// The columns, with the places of their buffers.
    pub(crate) columns: Vec<Node>,
}

impl PartHead {
    /// Where buffers may begin in a part with this common section and columns of these sizes in words.
    pub(crate) fn body_start(common_len: usize, outputs: usize, column_words: usize) -> usize {
        COMMON_START + aligned(common_len) + aligned((1 + outputs + column_words) * 8)
    }

    /// Writes prefix, common section and header.
    pub(crate) fn write(&self, common: &[u8], part: &mut [u8]) {
        let mut words = vec![self.counts.len() as u64];
        words.extend(&self.counts);
        for column in &self.columns {
            column.write(&mut words);
        }
        let header = word_bytes(&words);
        let prefix = prefix(common, &header);
        let header_start = COMMON_START + aligned(common.len());
        part[..prefix.len()].copy_from_slice(&prefix);
        part[COMMON_START..COMMON_START + common.len()].copy_from_slice(common);
        part[header_start..header_start + header.len()].copy_from_slice(&header);
    }
}

/// The common section of a split.
pub(crate) fn write_common(schema: &Schema, dictionaries: &[Option<ArrayRef>]) -> Vec<u8> {
    let mut tracker = DictionaryTracker::new(true);
    let mut encoder = IpcSchemaEncoder::new().with_dictionary_tracker(&mut tracker);
    let fields = encoder.schema_to_fb(schema);
    let schema_bytes = fields.finished_data();

    let mut copies: Vec<(usize, Buffer)> = Vec::new();
    let mut room = Layouter::new(0);
    let nodes: Vec<Node> =
        dictionaries.iter().flatten().map(|values| Node::of_array(&values.to_data(), &mut room, &mut copies)).collect();
    let mut description = Vec::new();
    for node in &nodes {
        node.write(&mut description);
    }
    let description = word_bytes(&description);

    // Sizes, schema, descriptions of the dictionaries, their buffers (at offsets from where those begin).
    let mut common = word_bytes(&[schema_bytes.len() as u64, description.len() as u64]);
    common.extend_from_slice(schema_bytes);
    common.resize(common.len().next_multiple_of(8), 0);
    common.extend_from_slice(&description);
    let start = aligned(common.len());
    common.resize(start + room.end(), 0);
    for (offset, buffer) in copies {
        common[start + offset..start + offset + buffer.len()].copy_from_slice(&buffer);
    }
    common
}

/// The common section, read.
pub(crate) struct Common {
    /// The columns.
    pub(crate) schema: SchemaRef,
    /// The values of each column that is a dictionary.
    pub(crate) dictionaries: Vec<Option<ArrayRef>>,
}

impl Common {
    pub(crate) fn read(bytes: &Bytes) -> Result<Common, KernelError> {
        let mut words = Words::new(bytes);
        let (schema_len, description_len) = (words.size()?, words.size()?);
        let schema_span = Span { offset: 16, len: schema_len };
        let schema_bytes = slice(bytes, schema_span)?;
        let root = arrow_ipc::root_as_schema(schema_bytes).map_err(|error| damaged(error.to_string()))?;
        let schema = fb_to_schema(root);
        let description = Span { offset: (16 + schema_len).next_multiple_of(8), len: description_len };
        let mut words = Words::new(slice(bytes, description)?);
        let start = aligned(description.offset + description.len);
        let buffers = bytes.slice(start.min(bytes.len())..);
        let mut dictionaries = Vec::with_capacity(schema.fields().len());
        for field in schema.fields() {
            dictionaries.push(match field.data_type() {
                DataType::Dictionary(_, values) => Some(Node::read(&mut words, MAX_DEPTH)?.to_array(values, &buffers)?),
                _ => None,
            });
        }
        Ok(Common { schema: Arc::new(schema), dictionaries })
    }
}

/// A part, opened: its descriptions are read, its buffers are where they were.
pub(crate) struct Part {
    /// All of it.
    pub(crate) bytes: Bytes,
    /// The common section.
    pub(crate) common: Bytes,
    /// Where the rows of each output begin; the last is the number of rows.
    pub(crate) starts: Vec<usize>,
    header: Span,
}

impl Part {
    pub(crate) fn open(bytes: Bytes) -> Result<Part, KernelError> {
        let mut words = Words::new(&bytes);
        if words.next()? != MAGIC {
            return Err(damaged("it does not begin like one"));
        }
        let common = Span { offset: words.size()?, len: words.size()? };
        let header = Span { offset: words.size()?, len: words.size()? };
        if words.next()? != checksum(slice(&bytes, common)?, slice(&bytes, header)?) {
            return Err(damaged("its checksum is wrong"));
        }
        let mut words = Words::new(slice(&bytes, header)?);
        let outputs = words.size()?;
        if outputs > words.left() {
            return Err(damaged("it ends within the sizes of its outputs"));
        }
        let mut starts = Vec::with_capacity(outputs + 1);
        let mut start = 0_usize;
        starts.push(start);
        for _ in 0..outputs {
            start = start.checked_add(words.size()?).ok_or_else(|| damaged("it has more rows than there can be"))?;
            starts.push(start);
        }
        let common = bytes.slice(common.offset..common.offset + common.len);
        Ok(Part { common, starts, header, bytes })
    }

    /// The descriptions of the columns, each of as many values as there are rows.
    pub(crate) fn columns(&self, count: usize) -> Result<Vec<Node>, KernelError> {
        let mut words = Words::new(slice(&self.bytes, self.header)?);
        for _ in 0..self.starts.len() {
            words.next()?;
        }
        let columns = (0..count).map(|_| Node::read(&mut words, MAX_DEPTH)).collect::<Result<Vec<_>, _>>()?;
        match columns.iter().all(|column| column.len == self.rows()) {
            true => Ok(columns),
            false => Err(damaged("its columns are not of the same length")),
        }
    }

    /// How many outputs it has.
    pub(crate) fn outputs(&self) -> usize {
        self.starts.len() - 1
    }

    /// How many rows it has.
    pub(crate) fn rows(&self) -> usize {
        *self.starts.last().expect("there is always the first start")
    }
}
