//! A table: a schema and any number of record batches of it, whose rows follow each other.

use crate::error::KernelError;
use arrow_array::{ArrayRef, RecordBatch};
use arrow_schema::{Schema, SchemaRef};
use arrow_select::concat::concat_batches;

/// Record batches of one schema.
#[derive(Clone, Debug)]
pub struct Table {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl Table {
    /// A table of these batches. Column types must be those of the schema.
    pub fn new(schema: SchemaRef, batches: Vec<RecordBatch>) -> Result<Table, KernelError> {
        for (index, batch) in batches.iter().enumerate() {
            let same = batch.num_columns() == schema.fields().len()
                && batch
                    .columns()
                    .iter()
                    .zip(schema.fields())
                    .all(|(column, field)| column.data_type() == field.data_type());
            if !same {
                let (first, other) = (describe(&schema), describe(&batch.schema()));
                return Err(KernelError::DifferentColumns { first, index, other });
            }
        }
        Ok(Table { schema, batches })
    }

    /// The columns' names and types.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The batches, in order.
    pub fn batches(&self) -> &[RecordBatch] {
        &self.batches
    }

    /// Rows of all batches.
    pub fn num_rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// All rows in one batch.
    pub fn in_one_batch(&self) -> Result<RecordBatch, KernelError> {
        match self.batches.as_slice() {
            [batch] => Ok(batch.clone()),
            batches => Ok(concat_batches(&self.schema, batches)?),
        }
    }

    /// The column's array in each batch.
    pub(crate) fn column(&self, index: usize) -> impl Iterator<Item = &ArrayRef> {
        self.batches.iter().map(move |batch| batch.column(index))
    }

    /// The position of the only column of that name.
    pub(crate) fn index_of(&self, name: &str) -> Result<usize, KernelError> {
        let fields = self.schema.fields();
        let mut found = fields.iter().enumerate().filter(|(_, field)| field.name() == name).map(|(index, _)| index);
        match (found.next(), found.count()) {
            (Some(index), 0) => Ok(index),
            (Some(_), more) => Err(KernelError::AmbiguousColumn { name: name.to_owned(), count: more + 1 }),
            (None, _) => {
                let columns = fields.iter().map(|field| format!("{:?}", field.name())).collect::<Vec<_>>().join(", ");
                Err(KernelError::NoSuchColumn { name: name.to_owned(), columns })
            }
        }
    }
}

/// Names and types, for messages.
pub(crate) fn describe(schema: &Schema) -> String {
    schema.fields().iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect::<Vec<_>>().join(", ")
}
