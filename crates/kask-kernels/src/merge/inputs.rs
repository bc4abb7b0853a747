//! The parts that a merge reads, and what their columns have in common.

use crate::column::Layout;
use crate::dictionary::{United, unite};
use crate::error::{KernelError, damaged};
use crate::gather::Piece;
use crate::node::{Node, slice};
use crate::part::{Common, Part};
use crate::reconcile::reconcile;
use arrow_array::ArrayRef;
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;

/// Opened parts of one group, one for each split.
pub(super) struct Inputs {
    /// The schema of the outputs.
    pub(super) schema: SchemaRef,
    /// Column by column, what each part has.
    pub(super) columns: Vec<InputColumn>,
    parts: Vec<Part>,
}

/// One column of all parts.
pub(super) struct InputColumn {
    /// One for each part.
    pub(super) bodies: Vec<Body>,
    /// For a dictionary column: the dictionary of the outputs.
    pub(super) dictionary: Option<Arc<United>>,
}

/// One column of one part.
pub(super) enum Body {
    /// The part's column has the type null: no value in it is known.
    Absent,
    /// Buffers whose rows are copied.
    Moved {
        /// The part.
        bytes: Bytes,
        /// Values, or offsets.
        values: Range<usize>,
        /// What offsets point into.
        data: Range<usize>,
        /// Which values are null.
        nulls: Option<NullBuffer>,
        /// Bytes of a value or of an offset.
        width: usize,
        /// For keys of a dictionary: what they become.
        map: Option<Arc<[u32]>>,
    },
    /// An array for Arrow's own kernels.
    Gathered(ArrayRef),
}

impl Inputs {
    pub(super) fn open(bytes: &[Bytes]) -> Result<Inputs, KernelError> {
        let parts = bytes.iter().map(|bytes| Part::open(bytes.clone())).collect::<Result<Vec<_>, _>>()?;
        let expected = parts.first().ok_or(KernelError::NoParts)?.outputs();
        if let Some((index, part)) = parts.iter().enumerate().find(|(_, part)| part.outputs() != expected) {
            return Err(KernelError::DifferentGroups { index, found: part.outputs(), expected });
        }
        let commons = read_commons(&parts)?;
        let schemas: Vec<SchemaRef> = commons.iter().map(|common| common.schema.clone()).collect();
        let schema = reconcile(&schemas)?;
        let (fields, dictionaries): (Vec<Field>, Vec<Option<Dictionaries>>) = schema
            .fields()
            .iter()
            .enumerate()
            .map(|(column, field)| unite_column(&commons, column, field))
            .collect::<Result<Vec<_>, _>>()?
            .into_iter()
            .unzip();
        let columns = read_columns(&parts, &commons, &fields, dictionaries)?;
        let schema = Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()));
        Ok(Inputs { schema, columns, parts })
    }

    pub(super) fn outputs(&self) -> usize {
        self.parts[0].outputs()
    }

    /// The rows of a part that belong to an output.
    pub(super) fn rows(&self, split: usize, output: usize) -> Range<usize> {
        let starts = &self.parts[split].starts;
        starts[output]..starts[output + 1]
    }

    /// Runs of splits whose rows of an output fit one batch: nearly always one run, also when there are no rows.
    pub(super) fn runs(&self, output: usize) -> Result<Vec<Range<usize>>, KernelError> {
        let narrow: Vec<&InputColumn> = self
            .columns
            .iter()
            .zip(self.schema.fields())
            .filter(|(_, field)| Layout::of(field.data_type()) == Layout::Bytes32)
            .map(|(column, _)| column)
            .collect();
        let (mut runs, mut start, mut any_rows) = (Vec::new(), 0, false);
        let mut held = vec![0_u64; narrow.len()];
        for split in 0..self.parts.len() {
            let rows = self.rows(split, output);
            for (index, column) in narrow.iter().enumerate() {
                held[index] += column.bodies[split].piece(rows.clone()).byte_len::<4>()? as u64;
            }
            if held.iter().any(|&bytes| bytes > i32::MAX as u64) {
                runs.push(start..split);
                start = split;
                for (index, column) in narrow.iter().enumerate() {
                    held[index] = column.bodies[split].piece(rows.clone()).byte_len::<4>()? as u64;
                }
                any_rows = false;
            }
            any_rows |= !rows.is_empty();
        }
        if any_rows || runs.is_empty() {
            runs.push(start..self.parts.len());
        }
        Ok(runs)
    }
}

/// The common section of every part; those with equal bytes are read once.
fn read_commons(parts: &[Part]) -> Result<Vec<Arc<Common>>, KernelError> {
    let mut commons: Vec<Arc<Common>> = Vec::with_capacity(parts.len());
    for (index, part) in parts.iter().enumerate() {
        // Looking at the neighbour and at the first finds nearly all repetitions.
        let known = [index.checked_sub(1), Some(0)]
            .into_iter()
            .flatten()
            .find(|&other| other < index && parts[other].common == part.common);
        commons.push(match known {
            Some(other) => commons[other].clone(),
            None => Arc::new(Common::read(&part.common)?),
        });
    }
    Ok(commons)
}

/// The united dictionary of a column, and for each part what its keys become.
struct Dictionaries {
    united: Arc<United>,
    maps: Vec<Option<Arc<[u32]>>>,
}

fn unite_column(
    commons: &[Arc<Common>],
    column: usize,
    field: &Field,
) -> Result<(Field, Option<Dictionaries>), KernelError> {
    let DataType::Dictionary(_, value_type) = field.data_type() else { return Ok((field.clone(), None)) };
    let mut distinct: Vec<(ArrayRef, DataType)> = Vec::new();
    let mut which: Vec<Option<usize>> = Vec::with_capacity(commons.len());
    let mut last: Option<(&Arc<Common>, usize)> = None;
    for common in commons {
        let (Some(values), DataType::Dictionary(key_type, _)) =
            (&common.dictionaries[column], common.schema.field(column).data_type())
        else {
            which.push(None);
            continue;
        };
        let index = match last {
            Some((known, index)) if Arc::ptr_eq(known, common) => index,
            Some(_) | None => {
                distinct.push((values.clone(), key_type.as_ref().clone()));
                distinct.len() - 1
            }
        };
        last = Some((common, index));
        which.push(Some(index));
    }
    let united = unite(&distinct)?;
    let data_type = DataType::Dictionary(Box::new(united.key_type.clone()), value_type.clone());
    let maps = which.into_iter().map(|index| united.maps[index?].clone()).collect();
    Ok((field.clone().with_data_type(data_type), Some(Dictionaries { united: Arc::new(united), maps })))
}

fn read_columns(
    parts: &[Part],
    commons: &[Arc<Common>],
    fields: &[Field],
    dictionaries: Vec<Option<Dictionaries>>,
) -> Result<Vec<InputColumn>, KernelError> {
    let mut bodies: Vec<Vec<Body>> = fields.iter().map(|_| Vec::with_capacity(parts.len())).collect();
    for (index, (part, common)) in parts.iter().zip(commons).enumerate() {
        let nodes = part.columns(fields.len())?;
        for (column, node) in nodes.iter().enumerate() {
            let own_type = common.schema.field(column).data_type();
            let map = dictionaries[column].as_ref().and_then(|dictionaries| dictionaries.maps[index].clone());
            bodies[column].push(Body::read(part, node, own_type, fields[column].data_type(), map)?);
        }
    }
    let columns = bodies.into_iter().zip(dictionaries);
    Ok(columns.map(|(bodies, united)| InputColumn { bodies, dictionary: united.map(|united| united.united) }).collect())
}

impl Body {
    fn read(
        part: &Part,
        node: &Node,
        own_type: &DataType,
        data_type: &DataType,
        map: Option<Arc<[u32]>>,
    ) -> Result<Body, KernelError> {
        if *own_type == DataType::Null && *data_type != DataType::Null {
            return Ok(Body::Absent);
        }
        let (rows, layout) = (part.rows(), Layout::of(own_type));
        let (width, values_len) = match layout {
            Layout::Other => return Ok(Body::Gathered(node.to_array(own_type, &part.bytes)?)),
            Layout::Bits => (0, Some(rows.div_ceil(8))),
            Layout::Fixed(width) => (width, rows.checked_mul(width)),
            Layout::Bytes32 => (4, (rows + 1).checked_mul(4)),
            Layout::Bytes64 => (8, (rows + 1).checked_mul(8)),
        };
        let spans = node.buffers.as_slice();
        let (values, data) = match (spans, layout.offset_width()) {
            ([values], None) => (*values, None),
            ([values, data], Some(_)) => (*values, Some(*data)),
            (_, _) => return Err(damaged(format!("a column of type {own_type} has {} buffers", spans.len()))),
        };
        if values_len.is_none_or(|len| values.len < len) {
            return Err(damaged(format!("a buffer of a column of type {own_type} is too short")));
        }
        for span in std::iter::once(values).chain(data) {
            slice(&part.bytes, span)?;
        }
        Ok(Body::Moved {
            bytes: part.bytes.clone(),
            values: values.offset..values.offset + values.len,
            data: data.map_or(0..0, |data| data.offset..data.offset + data.len),
            nulls: node.nulls(&part.bytes)?.filter(|nulls| nulls.null_count() > 0),
            width,
            map,
        })
    }

    /// Some rows, to be copied.
    pub(super) fn piece(&self, rows: Range<usize>) -> Piece<'_> {
        match self {
            Body::Absent | Body::Gathered(_) => Piece::Absent { rows: rows.len() },
            Body::Moved { bytes, values, data, nulls, width, map } => Piece::Present {
                rows,
                values: &bytes[values.clone()],
                data: &bytes[data.clone()],
                nulls: nulls.as_ref(),
                width: *width,
                map: map.as_deref(),
            },
        }
    }
}
