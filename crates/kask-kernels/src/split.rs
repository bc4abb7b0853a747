//! A table into parts: the rows of each group of outputs, as one buffer that can travel (`part.rs`).
//!
//! Three passes: count the rows of each output and find each row's place; lay the parts out; move the rows, column by column
//! ([`crate::scatter`]). Every value is copied once, straight into the part. Nested types and views are gathered by
//! Arrow's kernels first, group by group, and copied once more.
//!
//! Within an output rows keep the order of the table.

mod columns;

use crate::column::{Layout, Source};
use crate::error::KernelError;
use crate::grouping::Grouping;
use crate::node::{ALIGNMENT, Layouter, Node, Span};
use crate::part::{PartHead, write_common};
use crate::scatter::{self, ByteTargets, Rows};
use crate::table::Table;
use arrow_buffer::Buffer;
use bytes::Bytes;
use columns::{Column, Kind, Uniform};
use std::ops::Range;

/// Parts that begin at a multiple of this many bytes are read where they lie.
pub const PART_ALIGNMENT: usize = ALIGNMENT;

/// Divides the rows of `table`, whose outputs `assignment` holds (see [`crate::assign`]), into one part for each group.
///
/// ```
/// use kask_kernels::arrow::array::{Int64Array, RecordBatch, cast::AsArray, types::Int64Type};
/// use kask_kernels::{Grouping, Table, merge, split};
/// use std::sync::Arc;
///
/// let numbers = Arc::new(Int64Array::from(vec![10, 11, 12, 13]));
/// let batch = RecordBatch::try_from_iter([("n", numbers as _)])?;
/// let table = Table::new(batch.schema(), vec![batch])?;
/// let parts = split(&table, &[1, 0, 1, 0], &Grouping::even(2, 1)?)?;
/// let outputs = merge(&parts)?.outputs;
/// assert_eq!(outputs[1][0].column(0).as_primitive::<Int64Type>().values(), &[10, 12]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn split(table: &Table, assignment: &[u32], grouping: &Grouping) -> Result<Vec<Bytes>, KernelError> {
    let plan = SplitPlan::new(table, assignment, grouping)?;
    let mut memory = vec![0_u8; plan.nbytes() + PART_ALIGNMENT];
    let start = memory.as_ptr().align_offset(PART_ALIGNMENT);
    plan.write(&mut memory[start..start + plan.nbytes()]);
    let memory = Bytes::from(memory).slice(start..);
    Ok(plan.parts().map(|part| memory.slice(part)).collect())
}

/// A split that knows how much memory it needs, so that its caller may say which.
pub struct SplitPlan<'a> {
    grouping: &'a Grouping,
    routes: Routes<'a>,
    columns: Vec<Column>,
    common: Vec<u8>,
    layouts: Vec<PartLayout>,
}

impl<'a> SplitPlan<'a> {
    /// Counts and lays out, as [`split`] does first.
    pub fn new(table: &Table, assignment: &'a [u32], grouping: &'a Grouping) -> Result<SplitPlan<'a>, KernelError> {
        let routes = Routes::new(table, assignment, grouping)?;
        let Uniform { schema, dictionaries, columns } = Uniform::new(table, &routes, grouping)?;
        let common = write_common(&schema, &dictionaries);
        let mut layouts: Vec<PartLayout> = Vec::with_capacity(grouping.groups());
        for group in 0..grouping.groups() {
            let start = layouts.last().map_or(0, PartLayout::end);
            layouts.push(PartLayout::new(&columns, &routes, grouping, group, common.len(), start)?);
        }
        Ok(SplitPlan { grouping, routes, columns, common, layouts })
    }

    /// Bytes of all parts together.
    pub fn nbytes(&self) -> usize {
        self.layouts.last().map_or(0, PartLayout::end)
    }

    /// Where each part is in the memory that [`SplitPlan::write`] fills.
    pub fn parts(&self) -> impl Iterator<Item = Range<usize>> + '_ {
        self.layouts.iter().map(|layout| layout.start..layout.end())
    }

    /// Writes the parts, one after another, over whatever `target` holds. For merging without further copies it begins
    /// at a multiple of [`PART_ALIGNMENT`].
    ///
    /// # Panics
    /// When `target` is not [`SplitPlan::nbytes`] long.
    pub fn write(&self, target: &mut [u8]) {
        assert_eq!(target.len(), self.nbytes(), "the memory is as large as the parts");
        for layout in &self.layouts {
            layout.write(&self.common, target);
        }
        for (index, column) in self.columns.iter().enumerate() {
            let Kind::Moved { sources, byte_counts } = &column.kind else { continue };
            let mover = Mover { plan: self, index, sources };
            if column.has_nulls() {
                mover.move_nulls(target);
            }
            match column.layout {
                Layout::Bits => mover.move_bits(target),
                Layout::Fixed(width) => mover.move_fixed(width, target),
                Layout::Bytes32 => mover.move_bytes::<4>(byte_counts, target),
                Layout::Bytes64 => mover.move_bytes::<8>(byte_counts, target),
                Layout::Other => unreachable!("such columns are gathered, not moved"),
            }
        }
    }
}

/// Where every row goes.
struct Routes<'a> {
    /// The output of each row.
    outputs: &'a [u32],
    /// The row's place among the rows of its group.
    places: Vec<u32>,
    /// Rows of each output.
    counts: Vec<u64>,
    /// Rows of each batch.
    batches: Vec<usize>,
}

impl<'a> Routes<'a> {
    fn new(table: &Table, outputs: &'a [u32], grouping: &Grouping) -> Result<Routes<'a>, KernelError> {
        let rows = table.num_rows();
        if outputs.len() != rows {
            return Err(KernelError::WrongAssignment { rows, assigned: outputs.len() });
        }
        let mut counts = vec![0_u64; grouping.outputs() as usize];
        for (row, &output) in outputs.iter().enumerate() {
            let outputs = grouping.outputs();
            *counts.get_mut(output as usize).ok_or(KernelError::NoSuchOutput { row, output, outputs })? += 1;
        }
        let mut next = vec![0_u32; counts.len()];
        for group in 0..grouping.groups() {
            let mut start = 0_u64;
            for output in grouping.outputs_of(group) {
                next[output as usize] = u32::try_from(start).map_err(|_| too_many_rows())?;
                start += counts[output as usize];
            }
            u32::try_from(start).map_err(|_| too_many_rows())?;
        }
        let mut places = Vec::with_capacity(rows);
        for &output in outputs {
            let next = &mut next[output as usize];
            places.push(*next);
            *next += 1;
        }
        let batches = table.batches().iter().map(|batch| batch.num_rows()).collect();
        Ok(Routes { outputs, places, counts, batches })
    }

    fn rows_of(&self, grouping: &Grouping, group: usize) -> usize {
        grouping.outputs_of(group).map(|output| self.counts[output as usize] as usize).sum()
    }

    /// The rows of each batch, in order.
    fn by_batch(&self) -> impl Iterator<Item = Rows<'_>> {
        let mut start = 0;
        self.batches.iter().map(move |&rows| {
            let range = start..start + rows;
            start += rows;
            Rows { outputs: &self.outputs[range.clone()], places: &self.places[range] }
        })
    }
}

fn too_many_rows() -> KernelError {
    KernelError::Grouping(
        "one group of outputs gets more than 2^32 rows of one partition; use smaller partitions".to_owned(),
    )
}

/// Where the parts of a split begin, and where in them the buffers of each column.
struct PartLayout {
    start: usize,
    len: usize,
    head: PartHead,
    copies: Vec<(usize, Buffer)>,
}

impl PartLayout {
    fn new(
        columns: &[Column],
        routes: &Routes<'_>,
        grouping: &Grouping,
        group: usize,
        common_len: usize,
        start: usize,
    ) -> Result<PartLayout, KernelError> {
        let rows = routes.rows_of(grouping, group);
        let outputs = grouping.outputs_of(group);
        let counts: Vec<u64> = outputs.clone().map(|output| routes.counts[output as usize]).collect();
        let place_all = |room: &mut Layouter, copies: &mut Vec<(usize, Buffer)>| {
            let places = columns.iter().map(|column| column.place(group, rows, outputs.clone(), room, copies));
            places.collect::<Result<Vec<Node>, KernelError>>()
        };
        // The size of the descriptions does not depend on the offsets in them, so a first try tells where buffers begin.
        let mut words = Vec::new();
        place_all(&mut Layouter::new(0), &mut Vec::new())?.iter().for_each(|node| node.write(&mut words));
        let mut room = Layouter::new(PartHead::body_start(common_len, counts.len(), words.len()));
        let mut copies = Vec::new();
        let columns = place_all(&mut room, &mut copies)?;
        Ok(PartLayout { start, len: room.end(), head: PartHead { counts, columns }, copies })
    }

    fn end(&self) -> usize {
        self.start + self.len
    }

    fn write(&self, common: &[u8], target: &mut [u8]) {
        let part = &mut target[self.start..self.start + self.len];
        self.head.write(common, part);
        for (offset, buffer) in &self.copies {
            part[*offset..offset + buffer.len()].copy_from_slice(buffer);
        }
    }
}

/// One column on its way into the parts.
struct Mover<'a> {
    plan: &'a SplitPlan<'a>,
    index: usize,
    sources: &'a [Source],
}

impl Mover<'_> {
    /// For each output, where in the target a buffer of its group's column begins.
    fn starts(&self, span: impl Fn(&Node) -> Span) -> Vec<usize> {
        let of_group = |(group, layout): (usize, &PartLayout)| {
            let start = layout.start + span(&layout.head.columns[self.index]).offset;
            self.plan.grouping.outputs_of(group).map(move |_| start)
        };
        self.plan.layouts.iter().enumerate().flat_map(of_group).collect()
    }

    /// The column in each batch, and where its rows go.
    fn batches(&self) -> impl Iterator<Item = (&Source, Rows<'_>)> {
        self.sources.iter().zip(self.plan.routes.by_batch())
    }

    /// Bits are set one by one, so all must be clear first.
    fn clear(&self, span: impl Fn(&Node) -> Span, target: &mut [u8]) {
        for layout in &self.plan.layouts {
            let span = span(&layout.head.columns[self.index]);
            target[layout.start + span.offset..][..span.len].fill(0);
        }
    }

    fn move_nulls(&self, target: &mut [u8]) {
        let validity = |node: &Node| node.validity.expect("placed, as there are nulls");
        self.clear(validity, target);
        let starts = self.starts(validity);
        for (source, rows) in self.batches() {
            match source.nulls() {
                Some(nulls) => scatter::bits(nulls.iter(), rows, &starts, target),
                None => scatter::bits(std::iter::repeat(true), rows, &starts, target),
            }
        }
    }

    fn move_bits(&self, target: &mut [u8]) {
        self.clear(|node| node.buffers[0], target);
        let starts = self.starts(|node| node.buffers[0]);
        for (source, rows) in self.batches() {
            scatter::bits(source.bit_values().iter(), rows, &starts, target);
        }
    }

    fn move_fixed(&self, width: usize, target: &mut [u8]) {
        let starts = self.starts(|node| node.buffers[0]);
        for (source, rows) in self.batches() {
            scatter::fixed(source, width, rows, &starts, target);
        }
    }

    fn move_bytes<const WIDTH: usize>(&self, byte_counts: &[u64], target: &mut [u8]) {
        let SplitPlan { grouping, routes, layouts, .. } = self.plan;
        let mut cursors = vec![0_u64; routes.counts.len()];
        let offsets = self.starts(|node| node.buffers[0]);
        for group in 0..layouts.len() {
            let mut cursor = 0;
            for output in grouping.outputs_of(group) {
                cursors[output as usize] = cursor;
                cursor += byte_counts[output as usize];
            }
            // The last offset; the one of each row is written with the row.
            let first = grouping.outputs_of(group).start as usize;
            let at = offsets[first] + routes.rows_of(grouping, group) * WIDTH;
            target[at..at + WIDTH].copy_from_slice(&cursor.to_le_bytes()[..WIDTH]);
        }
        let mut targets = ByteTargets { offsets, bytes: self.starts(|node| node.buffers[1]), cursors };
        for (source, rows) in self.batches() {
            scatter::byte_values::<WIDTH>(source, rows, &mut targets, target);
        }
    }
}
