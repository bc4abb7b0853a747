//! The columns of a table made ready to be split: dictionaries united, sizes counted, what cannot be moved gathered.

use super::Routes;
use crate::column::{Layout, Source};
use crate::compact::compact;
use crate::dictionary::{copy_keys, unite};
use crate::error::KernelError;
use crate::grouping::Grouping;
use crate::node::{Layouter, Node};
use crate::scatter::count_bytes;
use crate::table::Table;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, make_array, new_empty_array};
use arrow_buffer::{Buffer, MutableBuffer};
use arrow_data::ArrayData;
use arrow_schema::{DataType, Field, Schema};
use arrow_select::interleave::interleave;
use std::ops::Range;

/// A table whose batches share one dictionary for each column that has one.
pub(super) struct Uniform {
    pub(super) schema: Schema,
    /// The values of each column that is a dictionary.
    pub(super) dictionaries: Vec<Option<ArrayRef>>,
    pub(super) columns: Vec<Column>,
}

impl Uniform {
    pub(super) fn new(table: &Table, routes: &Routes<'_>, grouping: &Grouping) -> Result<Uniform, KernelError> {
        let mut uniform = Uniform { schema: Schema::empty(), dictionaries: Vec::new(), columns: Vec::new() };
        let mut fields: Vec<Field> = Vec::new();
        let mut gatherer = Gatherer::default();
        for (index, field) in table.schema().fields().iter().enumerate() {
            let arrays: Vec<ArrayRef> = table.column(index).cloned().collect();
            let (field, arrays, dictionary) = match field.data_type() {
                DataType::Dictionary(key_type, value_type) => {
                    let keys = Keys::of(&arrays, key_type, value_type)?;
                    let data_type = DataType::Dictionary(Box::new(keys.key_type), value_type.clone());
                    (field.as_ref().clone().with_data_type(data_type), keys.arrays, Some(keys.values))
                }
                _ => (field.as_ref().clone(), arrays, None),
            };
            let layout = Layout::of(field.data_type());
            let kind = match layout {
                Layout::Other => Kind::Gathered { groups: gatherer.gather(&arrays, &field, routes, grouping)? },
                Layout::Bits | Layout::Fixed(_) | Layout::Bytes32 | Layout::Bytes64 => {
                    Kind::moved(&arrays, layout, routes)
                }
            };
            uniform.columns.push(Column { field: field.clone(), layout, kind });
            uniform.dictionaries.push(dictionary);
            fields.push(field);
        }
        uniform.schema = Schema::new_with_metadata(fields, table.schema().metadata().clone());
        Ok(uniform)
    }
}

/// The keys of a dictionary column, all into one dictionary.
struct Keys {
    arrays: Vec<ArrayRef>,
    values: ArrayRef,
    key_type: DataType,
}

impl Keys {
    fn of(arrays: &[ArrayRef], key_type: &DataType, value_type: &DataType) -> Result<Keys, KernelError> {
        if arrays.is_empty() {
            let values = new_empty_array(value_type);
            return Ok(Keys { arrays: Vec::new(), values, key_type: key_type.clone() });
        }
        let dictionaries: Vec<(ArrayRef, DataType)> =
            arrays.iter().map(|array| (array.as_any_dictionary().values().clone(), key_type.clone())).collect();
        let united = unite(&dictionaries)?;
        let keys = arrays.iter().zip(&united.maps).map(|(array, map)| {
            let keys = make_array(array.as_any_dictionary().keys().to_data());
            let (old_width, new_width) = (width_of(key_type), width_of(&united.key_type));
            if map.is_none() && old_width == new_width {
                return Ok(keys);
            }
            let mut bytes = MutableBuffer::with_capacity(keys.len() * new_width);
            copy_keys(Source::new(&keys).fixed(old_width), old_width, map.as_deref(), new_width, &mut bytes);
            let data = ArrayData::builder(united.key_type.clone()).len(keys.len()).nulls(keys.nulls().cloned());
            Ok(make_array(data.add_buffer(bytes.into()).build()?))
        });
        Ok(Keys { arrays: keys.collect::<Result<_, KernelError>>()?, values: united.values, key_type: united.key_type })
    }
}

fn width_of(key_type: &DataType) -> usize {
    key_type.primitive_width().expect("keys of dictionaries are integers")
}

/// A column that is ready to be split.
pub(super) struct Column {
    field: Field,
    pub(super) layout: Layout,
    pub(super) kind: Kind,
}

/// How the rows of a column get into the parts.
pub(super) enum Kind {
    /// Each value is copied from the batches.
    Moved {
        /// The column in each batch.
        sources: Vec<Source>,
        /// For strings and binary values: how many bytes each output gets.
        byte_counts: Vec<u64>,
    },
    /// The array of each group exists already.
    Gathered {
        /// One for each group.
        groups: Vec<ArrayData>,
    },
}

impl Kind {
    fn moved(arrays: &[ArrayRef], layout: Layout, routes: &Routes<'_>) -> Kind {
        let sources: Vec<Source> = arrays.iter().map(Source::new).collect();
        let mut byte_counts = Vec::new();
        if let Some(width) = layout.offset_width() {
            byte_counts.resize(routes.counts.len(), 0);
            for (source, rows) in sources.iter().zip(routes.by_batch()) {
                match width {
                    4 => count_bytes::<4>(source, rows.outputs, &mut byte_counts),
                    _ => count_bytes::<8>(source, rows.outputs, &mut byte_counts),
                }
            }
        }
        Kind::Moved { sources, byte_counts }
    }
}

impl Column {
    pub(super) fn has_nulls(&self) -> bool {
        match &self.kind {
            Kind::Moved { sources, .. } => sources.iter().any(|source| source.nulls().is_some()),
            Kind::Gathered { groups } => groups.iter().any(|data| data.nulls().is_some()),
        }
    }

    /// Finds room for the column's buffers in the part of a group.
    pub(super) fn place(
        &self,
        group: usize,
        rows: usize,
        outputs: Range<u32>,
        room: &mut Layouter,
        copies: &mut Vec<(usize, Buffer)>,
    ) -> Result<Node, KernelError> {
        let byte_counts = match &self.kind {
            Kind::Gathered { groups } => return Ok(Node::of_array(&groups[group], room, copies)),
            Kind::Moved { byte_counts, .. } => byte_counts,
        };
        let validity = self.has_nulls().then(|| room.place(rows.div_ceil(8)));
        let mut buffers = Vec::with_capacity(2);
        match self.layout {
            Layout::Bits => buffers.push(room.place(rows.div_ceil(8))),
            Layout::Fixed(width) => buffers.push(room.place(rows * width)),
            Layout::Bytes32 | Layout::Bytes64 => {
                let width = self.layout.offset_width().expect("these have offsets");
                let bytes: u64 = outputs.map(|output| byte_counts[output as usize]).sum();
                if width == 4 && i32::try_from(bytes).is_err() {
                    let (name, data_type) = (self.field.name().clone(), self.field.data_type().to_string());
                    return Err(KernelError::OffsetOverflow { name, data_type, bytes });
                }
                buffers.push(room.place((rows + 1) * width));
                buffers.push(room.place(bytes as usize));
            }
            Layout::Other => unreachable!("such columns are gathered"),
        }
        Ok(Node { len: rows, offset: 0, validity, buffers, children: Vec::new() })
    }
}

/// Gathers columns group by group through Arrow's kernels; the order of rows is found once.
#[derive(Default)]
struct Gatherer {
    /// For each group, the batch and row of each of its rows.
    order: Option<Vec<Vec<(usize, usize)>>>,
}

impl Gatherer {
    fn gather(
        &mut self,
        arrays: &[ArrayRef],
        field: &Field,
        routes: &Routes<'_>,
        grouping: &Grouping,
    ) -> Result<Vec<ArrayData>, KernelError> {
        let order = self.order.get_or_insert_with(|| order_of(routes, grouping));
        let arrays: Vec<&dyn Array> = arrays.iter().map(AsRef::as_ref).collect();
        let groups = order.iter().map(|rows| {
            let array = match rows.is_empty() {
                true => new_empty_array(field.data_type()),
                false => compact(&interleave(&arrays, rows)?)?,
            };
            Ok(array.to_data())
        });
        groups.collect()
    }
}

fn order_of(routes: &Routes<'_>, grouping: &Grouping) -> Vec<Vec<(usize, usize)>> {
    let mut group_of = vec![0_usize; routes.counts.len()];
    let mut order = Vec::with_capacity(grouping.groups());
    for group in 0..grouping.groups() {
        grouping.outputs_of(group).for_each(|output| group_of[output as usize] = group);
        order.push(vec![(0, 0); routes.rows_of(grouping, group)]);
    }
    for (batch, rows) in routes.by_batch().enumerate() {
        for (row, (&output, &place)) in rows.outputs.iter().zip(rows.places).enumerate() {
            order[group_of[output as usize]][place as usize] = (batch, row);
        }
    }
    order
}
