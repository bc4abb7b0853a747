//! Writing rows to where they go: sequential reads, and as many places of writing as there are outputs.
//!
//! Rows of one output keep their order, so each output is written from front to back, and a cache line is filled before
//! it is left. That is why this is faster than reading the rows of one output after another from all over the table.

use crate::column::Source;

/// Where the rows of one batch go.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    /// The output of each row.
    pub(crate) outputs: &'a [u32],
    /// The row's place among the rows of its group.
    pub(crate) places: &'a [u32],
}

/// Values of `width` bytes. `starts` holds for each output where in `target` its group's values begin.
pub(crate) fn fixed(source: &Source, width: usize, rows: Rows<'_>, starts: &[usize], target: &mut [u8]) {
    match width {
        1 => fixed_of::<1>(source, rows, starts, target),
        2 => fixed_of::<2>(source, rows, starts, target),
        4 => fixed_of::<4>(source, rows, starts, target),
        8 => fixed_of::<8>(source, rows, starts, target),
        16 => fixed_of::<16>(source, rows, starts, target),
        32 => fixed_of::<32>(source, rows, starts, target),
        _ => {
            let values = source.fixed(width).chunks_exact(width);
            for ((value, &output), &place) in values.zip(rows.outputs).zip(rows.places) {
                let at = starts[output as usize] + place as usize * width;
                target[at..at + width].copy_from_slice(value);
            }
        }
    }
}

fn fixed_of<const WIDTH: usize>(source: &Source, rows: Rows<'_>, starts: &[usize], target: &mut [u8]) {
    let (values, _) = source.fixed(WIDTH).as_chunks::<WIDTH>();
    for ((value, &output), &place) in values.iter().zip(rows.outputs).zip(rows.places) {
        let at = starts[output as usize] + place as usize * WIDTH;
        target[at..at + WIDTH].copy_from_slice(value);
    }
}

/// Sets the bits of rows for which `bit` holds; they must be clear before.
pub(crate) fn bits(bit: impl Iterator<Item = bool>, rows: Rows<'_>, starts: &[usize], target: &mut [u8]) {
    for ((bit, &output), &place) in bit.zip(rows.outputs).zip(rows.places) {
        target[starts[output as usize] + place as usize / 8] |= u8::from(bit) << (place % 8);
    }
}

/// Where strings or binary values go.
pub(crate) struct ByteTargets {
    /// For each output, where in the target its group's offsets begin.
    pub(crate) offsets: Vec<usize>,
    /// For each output, where in the target its group's bytes begin.
    pub(crate) bytes: Vec<usize>,
    /// For each output, how many of its group's bytes lie before its next value.
    pub(crate) cursors: Vec<u64>,
}

/// Values between offsets of `WIDTH` bytes: the offset of each row, and its bytes.
pub(crate) fn byte_values<const WIDTH: usize>(
    source: &Source,
    rows: Rows<'_>,
    targets: &mut ByteTargets,
    target: &mut [u8],
) {
    let (offsets, values) = source.bytes(WIDTH);
    let (offsets, _) = offsets.as_chunks::<WIDTH>();
    let mut start = read_offset(&offsets[0]);
    for ((end, &output), &place) in offsets[1..].iter().zip(rows.outputs).zip(rows.places) {
        let (end, output) = (read_offset(end), output as usize);
        let value = &values[start..end];
        let cursor = targets.cursors[output];
        let offset_at = targets.offsets[output] + place as usize * WIDTH;
        target[offset_at..offset_at + WIDTH].copy_from_slice(&cursor.to_le_bytes()[..WIDTH]);
        let at = targets.bytes[output] + cursor as usize;
        copy_short(&mut target[at..at + value.len()], value);
        targets.cursors[output] = cursor + value.len() as u64;
        start = end;
    }
}

/// Adds the number of bytes of each value to its output.
pub(crate) fn count_bytes<const WIDTH: usize>(source: &Source, outputs: &[u32], counts: &mut [u64]) {
    let (offsets, _) = source.bytes(WIDTH);
    let (offsets, _) = offsets.as_chunks::<WIDTH>();
    for (pair, &output) in offsets.windows(2).zip(outputs) {
        counts[output as usize] += (read_offset(&pair[1]) - read_offset(&pair[0])) as u64;
    }
}

/// An offset, which Arrow guarantees not to be negative.
#[inline]
pub(crate) fn read_offset<const WIDTH: usize>(bytes: &[u8; WIDTH]) -> usize {
    let mut word = [0; 8];
    word[..WIDTH].copy_from_slice(bytes);
    u64::from_le_bytes(word) as usize
}

/// Copies slices of equal length, the usual short strings without a call.
#[inline(always)]
fn copy_short(target: &mut [u8], source: &[u8]) {
    let len = source.len();
    match len {
        0 => {}
        1..=3 => {
            target[0] = source[0];
            target[len / 2] = source[len / 2];
            target[len - 1] = source[len - 1];
        }
        4..=7 => copy_ends::<4>(target, source),
        8..=15 => copy_ends::<8>(target, source),
        16..=32 => copy_ends::<16>(target, source),
        33.. => target.copy_from_slice(source),
    }
}

/// The first and the last `N` bytes, which together are all.
#[inline(always)]
fn copy_ends<const N: usize>(target: &mut [u8], source: &[u8]) {
    let last = source.len() - N;
    let (front, back): ([u8; N], [u8; N]) =
        (source[..N].try_into().expect("N bytes"), source[last..].try_into().expect("N bytes"));
    target[..N].copy_from_slice(&front);
    target[last..][..N].copy_from_slice(&back);
}
