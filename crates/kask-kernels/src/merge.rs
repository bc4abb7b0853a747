//! The same part of many splits into the tables of its outputs.
//!
//! Rows of an output are in the order of the splits, and within one split as in its table, so the result does not depend
//! on who split what when. Parts are read where they lie; every value is copied once, into its output ([`crate::gather`]).

mod inputs;

use crate::column::Layout;
use crate::compact::compact;
use crate::dictionary::dictionary_array;
use crate::error::{KernelError, damaged};
use crate::gather::{self, Piece};
use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, make_array, new_empty_array, new_null_array};
use arrow_buffer::{Buffer, NullBuffer};
use arrow_data::ArrayData;
use arrow_schema::{DataType, SchemaRef};
use arrow_select::concat::concat;
use bytes::Bytes;
use inputs::{Body, Inputs};
use std::ops::Range;

/// The tables of a group's outputs.
#[derive(Debug)]
pub struct Merged {
    /// The schema of all of them.
    pub schema: SchemaRef,
    /// The batches of each output: one, perhaps without rows, and more only where 32-bit offsets would overflow.
    pub outputs: Vec<Vec<RecordBatch>>,
}

/// Merges the same part of every split, given in the order of the splits.
pub fn merge(parts: &[Bytes]) -> Result<Merged, KernelError> {
    let inputs = Inputs::open(parts)?;
    let mut outputs = Vec::with_capacity(inputs.outputs());
    for output in 0..inputs.outputs() {
        let runs = inputs.runs(output)?;
        let batches = runs.into_iter().map(|splits| batch(&inputs, output, splits));
        outputs.push(batches.collect::<Result<Vec<_>, _>>()?);
    }
    Ok(Merged { schema: inputs.schema, outputs })
}

/// The rows of an output that come from these splits.
fn batch(inputs: &Inputs, output: usize, splits: Range<usize>) -> Result<RecordBatch, KernelError> {
    let ranges: Vec<(usize, Range<usize>)> =
        splits.map(|split| (split, inputs.rows(split, output))).filter(|(_, rows)| !rows.is_empty()).collect();
    let rows = ranges.iter().map(|(_, rows)| rows.len()).sum();
    let columns = (0..inputs.columns.len()).map(|column| column_of(inputs, column, &ranges, rows));
    let columns = columns.collect::<Result<Vec<_>, _>>()?;
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(inputs.schema.clone(), columns, &options)?)
}

fn column_of(
    inputs: &Inputs,
    column: usize,
    ranges: &[(usize, Range<usize>)],
    rows: usize,
) -> Result<ArrayRef, KernelError> {
    let data_type = inputs.schema.field(column).data_type();
    let column = &inputs.columns[column];
    let bodies = ranges.iter().map(|(split, rows)| (&column.bodies[*split], rows.clone()));
    let layout = Layout::of(data_type);
    if layout == Layout::Other {
        return concatenated(bodies, data_type);
    }
    let pieces: Vec<Piece<'_>> = bodies.map(|(body, rows)| body.piece(rows)).collect();
    let nulls = gather::nulls(&pieces, rows);
    match (layout, &column.dictionary) {
        (Layout::Fixed(width), Some(united)) => {
            let keys = gather::fixed(&pieces, width, rows);
            dictionary_array(&united.key_type, keys, rows, nulls, united.values.clone())
        }
        (Layout::Fixed(width), None) => array(data_type, rows, nulls, vec![gather::fixed(&pieces, width, rows)]),
        (Layout::Bits, _) => array(data_type, rows, nulls, vec![gather::bits(&pieces, rows)]),
        (Layout::Bytes32, _) => array(data_type, rows, nulls, gather::byte_values::<4>(&pieces, rows)?),
        (Layout::Bytes64, _) => array(data_type, rows, nulls, gather::byte_values::<8>(&pieces, rows)?),
        (Layout::Other, _) => unreachable!("handled above"),
    }
}

/// An array of these buffers. Arrow validates them: parts may have come from elsewhere.
fn array(
    data_type: &DataType,
    rows: usize,
    nulls: Option<NullBuffer>,
    buffers: Vec<Buffer>,
) -> Result<ArrayRef, KernelError> {
    let data = ArrayData::builder(data_type.clone()).len(rows).nulls(nulls).buffers(buffers).build();
    Ok(make_array(data.map_err(|error| damaged(error.to_string()))?))
}

/// The pieces of a column that Arrow's kernels put together.
fn concatenated<'a>(
    bodies: impl Iterator<Item = (&'a Body, Range<usize>)>,
    data_type: &DataType,
) -> Result<ArrayRef, KernelError> {
    let arrays: Vec<ArrayRef> = bodies
        .map(|(body, rows)| match body {
            Body::Gathered(array) => array.slice(rows.start, rows.len()),
            Body::Absent | Body::Moved { .. } => new_null_array(data_type, rows.len()),
        })
        .collect();
    if arrays.is_empty() {
        return Ok(new_empty_array(data_type));
    }
    let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
    compact(&concat(&arrays)?)
}
