//! Array blocks to other array blocks, for a rechunk through a shuffle.
//!
//! The outputs are the blocks of a [`Chunks`] grid, numbered in C order. [`split_block`] cuts an input block where chunks of
//! the outputs end, and writes for each group of outputs one part: what output each piece belongs to, where in it, and
//! its elements in C order. [`assemble_block`] copies the pieces of one output from the parts of all splits into place. Every
//! element is copied twice, once into a part and once out of it.

use crate::blocks::{Block, BlockMut, copy_box};
use crate::error::{KernelError, damaged};
use crate::grouping::Grouping;
use crate::hash::of_bytes;
use crate::node::{ALIGNMENT, Layouter, Span, Words, slice, word_bytes};
use bytes::Bytes;
use std::ops::Range;

/// "kaskblk1".
const MAGIC: u64 = u64::from_le_bytes(*b"kaskblk1");

/// The chunk sizes of an array along each axis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunks {
    /// For each axis, where its chunks begin, and where the last ends.
    bounds: Vec<Vec<u64>>,
}

impl Chunks {
    /// Chunks of the given sizes along each axis. An axis of length 0 has one chunk of size 0.
    pub fn new(sizes: &[Vec<u64>]) -> Result<Chunks, KernelError> {
        let mut bounds = Vec::with_capacity(sizes.len());
        let mut count = 1_u64;
        for (axis, sizes) in sizes.iter().enumerate() {
            if sizes.is_empty() {
                return Err(KernelError::Block(format!("axis {axis} has no chunks; give the sizes of at least one")));
            }
            let mut ends = vec![0_u64];
            for &size in sizes {
                let end = ends[ends.len() - 1].checked_add(size);
                ends.push(end.ok_or_else(|| KernelError::Block(format!("axis {axis} is longer than 2^64")))?);
            }
            count = count.saturating_mul(sizes.len() as u64);
            bounds.push(ends);
        }
        match u32::try_from(count) {
            Ok(_) => Ok(Chunks { bounds }),
            Err(_) => Err(KernelError::Block(format!("there are {count} chunks, more than 2^32; use larger ones"))),
        }
    }

    /// How many blocks there are.
    pub fn count(&self) -> u32 {
        self.bounds.iter().map(|bounds| bounds.len() as u32 - 1).product()
    }

    /// The shape of a block.
    pub fn shape_of(&self, block: u32) -> Vec<usize> {
        let (mut rest, mut shape) = (block as usize, vec![0; self.bounds.len()]);
        for (axis, bounds) in self.bounds.iter().enumerate().rev() {
            let chunk = rest % (bounds.len() - 1);
            rest /= bounds.len() - 1;
            shape[axis] = (bounds[chunk + 1] - bounds[chunk]) as usize;
        }
        shape
    }

    /// Where an interval of an axis meets its chunks.
    fn cuts(&self, axis: usize, interval: Range<u64>) -> Vec<Cut> {
        let bounds = &self.bounds[axis];
        let first = bounds.partition_point(|&bound| bound <= interval.start).saturating_sub(1);
        let chunks = (first..bounds.len() - 1).take_while(|&chunk| bounds[chunk] < interval.end);
        let cuts = chunks.map(|chunk| {
            let (start, end) = (interval.start.max(bounds[chunk]), interval.end.min(bounds[chunk + 1]));
            Cut {
                chunk,
                in_input: (start - interval.start) as usize,
                in_output: (start - bounds[chunk]) as usize,
                len: (end - start) as usize,
            }
        });
        cuts.filter(|cut| cut.len > 0).collect()
    }

    /// The pieces of a block of this shape that begins at `start` of the array.
    fn pieces(&self, start: &[u64], shape: &[usize]) -> Result<Vec<Piece>, KernelError> {
        let ends = start.iter().zip(shape).map(|(&start, &len)| start.checked_add(len as u64));
        let fits = start.len() == self.bounds.len()
            && shape.len() == self.bounds.len()
            && ends.zip(&self.bounds).all(|(end, bounds)| end.is_some_and(|end| end <= bounds[bounds.len() - 1]));
        if !fits {
            let whole: Vec<u64> = self.bounds.iter().map(|bounds| bounds[bounds.len() - 1]).collect();
            return Err(KernelError::Block(format!(
                "a block of shape {shape:?} at {start:?} is not within an array of shape {whole:?}"
            )));
        }
        let mut pieces = vec![Piece::default()];
        for (axis, bounds) in self.bounds.iter().enumerate() {
            let cuts = self.cuts(axis, start[axis]..start[axis] + shape[axis] as u64);
            let chunks = bounds.len() as u32 - 1;
            pieces = pieces.iter().flat_map(|piece| cuts.iter().map(|cut| piece.along(cut, chunks))).collect();
        }
        Ok(pieces)
    }
}

/// Where one axis of a block meets one chunk.
struct Cut {
    chunk: usize,
    in_input: usize,
    in_output: usize,
    len: usize,
}

/// The common box of an input block and an output block.
#[derive(Clone, Debug, Default)]
struct Piece {
    output: u32,
    in_input: Vec<usize>,
    in_output: Vec<usize>,
    shape: Vec<usize>,
}

impl Piece {
    /// The piece with one more axis, which has so many chunks.
    fn along(&self, cut: &Cut, chunks: u32) -> Piece {
        let longer = |axes: &[usize], last: usize| [axes, &[last]].concat();
        Piece {
            output: self.output * chunks + cut.chunk as u32,
            in_input: longer(&self.in_input, cut.in_input),
            in_output: longer(&self.in_output, cut.in_output),
            shape: longer(&self.shape, cut.len),
        }
    }

    fn nbytes(&self, itemsize: usize) -> usize {
        self.shape.iter().product::<usize>() * itemsize
    }
}

/// Cuts a block that begins at `start` of the array into one part for each group of the blocks of `chunks`.
///
/// `note` travels with the parts (a description of the elements' type, say); [`block_note`] gives it back.
pub fn split_block(
    block: &Block<'_>,
    start: &[u64],
    chunks: &Chunks,
    grouping: &Grouping,
    note: &[u8],
) -> Result<Vec<Bytes>, KernelError> {
    let plan = BlockSplit::new(block.shape(), block.itemsize(), start, chunks, grouping, note)?;
    let mut memory = vec![0_u8; plan.nbytes() + ALIGNMENT];
    let skipped = memory.as_ptr().align_offset(ALIGNMENT);
    plan.write(block, &mut memory[skipped..skipped + plan.nbytes()])?;
    let memory = Bytes::from(memory).slice(skipped..);
    Ok(plan.parts().map(|part| memory.slice(part)).collect())
}

/// A split of a block that knows how much memory it needs, so that its caller may say which.
pub struct BlockSplit {
    itemsize: usize,
    shape: Vec<usize>,
    layouts: Vec<PartLayout>,
}

impl BlockSplit {
    /// Finds the pieces of a block of this shape and lays the parts out, as [`split_block`] does first.
    pub fn new(
        shape: &[usize],
        itemsize: usize,
        start: &[u64],
        chunks: &Chunks,
        grouping: &Grouping,
        note: &[u8],
    ) -> Result<BlockSplit, KernelError> {
        if grouping.outputs() != chunks.count() {
            let (outputs, blocks) = (grouping.outputs(), chunks.count());
            return Err(KernelError::Grouping(format!(
                "the groups cover {outputs} outputs, but there are {blocks} blocks"
            )));
        }
        // Pieces come in the order of their outputs, because both are in C order.
        let mut pieces = chunks.pieces(start, shape)?.into_iter().peekable();
        let mut layouts: Vec<PartLayout> = Vec::with_capacity(grouping.groups());
        for group in 0..grouping.groups() {
            let outputs = grouping.outputs_of(group);
            let own: Vec<Piece> = std::iter::from_fn(|| pieces.next_if(|piece| piece.output < outputs.end)).collect();
            let begin = layouts.last().map_or(0, PartLayout::end);
            layouts.push(PartLayout::new(own, outputs.start, itemsize, note, begin));
        }
        Ok(BlockSplit { itemsize, shape: shape.to_vec(), layouts })
    }

    /// Bytes of all parts together.
    pub fn nbytes(&self) -> usize {
        self.layouts.last().map_or(0, PartLayout::end)
    }

    /// Where each part is in the memory that [`BlockSplit::write`] fills.
    pub fn parts(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.layouts.iter().map(|layout| layout.begin..layout.end())
    }

    /// Writes the parts, one after another, over whatever `target` holds.
    ///
    /// # Panics
    /// When `target` is not [`BlockSplit::nbytes`] long.
    pub fn write(&self, block: &Block<'_>, target: &mut [u8]) -> Result<(), KernelError> {
        assert_eq!(target.len(), self.nbytes(), "the memory is as large as the parts");
        if block.shape() != self.shape || block.itemsize() != self.itemsize {
            let (given, planned) = (block.shape(), &self.shape);
            return Err(KernelError::Block(format!(
                "a block of shape {given:?} was given where {planned:?} was planned"
            )));
        }
        for layout in &self.layouts {
            layout.write(block, &mut target[layout.begin..layout.end()])?;
        }
        Ok(())
    }
}

/// A part before it is written: prefix, header (words, then the note), elements of each piece.
struct PartLayout {
    begin: usize,
    len: usize,
    header: Vec<u8>,
    pieces: Vec<(Piece, Span)>,
}

/// Words before the header: magic, checksum, length of the header.
const PREFIX: usize = 24;

impl PartLayout {
    fn new(pieces: Vec<Piece>, first_output: u32, itemsize: usize, note: &[u8], begin: usize) -> PartLayout {
        let axes = pieces.first().map_or(0, |piece| piece.shape.len());
        let words_len = 4 + pieces.len() * (2 + 2 * axes);
        let mut room = Layouter::new(PREFIX + words_len * 8 + note.len());
        let mut words = vec![note.len() as u64, itemsize as u64, axes as u64, pieces.len() as u64];
        let mut placed = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let span = room.place(piece.nbytes(itemsize));
            words.extend([u64::from(piece.output - first_output), span.offset as u64]);
            words.extend(piece.in_output.iter().chain(&piece.shape).map(|&word| word as u64));
            placed.push((piece, span));
        }
        let mut header = word_bytes(&words);
        header.extend_from_slice(note);
        PartLayout { begin, len: room.end(), header, pieces: placed }
    }

    fn end(&self) -> usize {
        self.begin + self.len
    }

    fn write(&self, block: &Block<'_>, part: &mut [u8]) -> Result<(), KernelError> {
        part[..PREFIX].copy_from_slice(&word_bytes(&[MAGIC, of_bytes(&self.header), self.header.len() as u64]));
        part[PREFIX..PREFIX + self.header.len()].copy_from_slice(&self.header);
        for (piece, span) in &self.pieces {
            let bytes = &mut part[span.offset..span.offset + span.len];
            let mut target = BlockMut::contiguous(bytes, block.itemsize(), &piece.shape)?;
            copy_box(block, &piece.in_input, &mut target, &vec![0; piece.shape.len()], &piece.shape)?;
        }
        Ok(())
    }
}

/// The header of a part of blocks.
struct BlockPart<'a> {
    part: &'a [u8],
    note: &'a [u8],
    itemsize: usize,
    axes: usize,
    pieces: usize,
    words: Words<'a>,
}

impl<'a> BlockPart<'a> {
    fn open(part: &'a [u8]) -> Result<BlockPart<'a>, KernelError> {
        let mut prefix = Words::new(part);
        if prefix.next()? != MAGIC {
            return Err(damaged("it does not begin like one of array blocks"));
        }
        let (checksum, header_len) = (prefix.next()?, prefix.size()?);
        let header = slice(part, Span { offset: PREFIX, len: header_len })?;
        if of_bytes(header) != checksum {
            return Err(damaged("its checksum is wrong"));
        }
        let mut words = Words::new(header);
        let note_len = words.size()?;
        let note_start =
            header_len.checked_sub(note_len).ok_or_else(|| damaged("its note is longer than its header"))?;
        Ok(BlockPart {
            part,
            note: &header[note_start..],
            itemsize: words.size()?,
            axes: words.size()?,
            pieces: words.size()?,
            words,
        })
    }
}

/// What [`split_block`] was given as note.
pub fn block_note(part: &[u8]) -> Result<&[u8], KernelError> {
    Ok(BlockPart::open(part)?.note)
}

/// Copies all pieces of one output (its number within its group) from the parts of all splits into `target`.
///
/// It is an error if the pieces do not cover the block: then a part is missing.
pub fn assemble_block<'a>(
    target: &mut BlockMut<'_>,
    output: u32,
    parts: impl IntoIterator<Item = &'a [u8]>,
) -> Result<(), KernelError> {
    let expected: usize = target.shape().iter().product();
    let mut copied = 0;
    for part in parts {
        let BlockPart { part, itemsize, axes, pieces, mut words, .. } = BlockPart::open(part)?;
        for _ in 0..pieces {
            let (of, offset) = (words.next()?, words.size()?);
            if of != u64::from(output) {
                // Pieces are in the order of their outputs.
                if of > u64::from(output) {
                    break;
                }
                words.skip(axes.saturating_mul(2))?;
                continue;
            }
            let in_output = (0..axes).map(|_| words.size()).collect::<Result<Vec<_>, _>>()?;
            let shape = (0..axes).map(|_| words.size()).collect::<Result<Vec<_>, _>>()?;
            let elements = shape.iter().try_fold(1_usize, |product, &len| product.checked_mul(len));
            let len = elements.and_then(|elements| elements.checked_mul(itemsize));
            let len = len.ok_or_else(|| damaged("a piece in it is larger than memory"))?;
            let source = Block::contiguous(slice(part, Span { offset, len })?, itemsize, &shape)?;
            copy_box(&source, &vec![0; axes], target, &in_output, &shape)?;
            copied += elements.unwrap_or(0);
        }
    }
    if copied != expected {
        return Err(damaged(format!("the pieces of output {output} have {copied} elements, its block has {expected}")));
    }
    Ok(())
}
