//! To which output each row goes: by hash of some columns, by range, or by a column that says so.
//!
//! The answer depends on the row's values alone, so that equal keys of different partitions meet in one output.

use crate::error::KernelError;
use crate::hash::{hash_rows, reduce};
use crate::range;
use crate::table::Table;
use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{Array, ArrowPrimitiveType, RecordBatch};
use arrow_schema::DataType;
use std::fmt::Display;

/// What decides where a row goes.
#[derive(Clone, Debug)]
pub enum PartitionBy {
    /// The hash of these columns (see [`crate::hash`]).
    Hash {
        /// Names of the columns.
        columns: Vec<String>,
    },
    /// Output `j` gets the rows from boundary `j - 1` on and before boundary `j`, in the order of the keys.
    Range {
        /// The columns that are ordered by, the most significant first.
        keys: Vec<SortKey>,
        /// The boundaries, one a row, sorted; column `k` belongs to key `k`. One less than there are outputs.
        boundaries: RecordBatch,
    },
    /// An integer column that holds the output of each row.
    Column {
        /// Its name.
        name: String,
    },
}

/// A column to order by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SortKey {
    /// Its name.
    pub name: String,
    /// From the largest to the smallest.
    pub descending: bool,
    /// Whether nulls (and NaN) come before all values instead of after them, in either direction.
    pub nulls_first: bool,
}

impl SortKey {
    /// Ascending, nulls last.
    pub fn ascending(name: impl Into<String>) -> SortKey {
        SortKey { name: name.into(), descending: false, nulls_first: false }
    }
}

/// The output of each row of the table.
pub fn assign(table: &Table, by: &PartitionBy, outputs: u32) -> Result<Vec<u32>, KernelError> {
    match by {
        PartitionBy::Hash { columns } => {
            if columns.is_empty() {
                return Err(KernelError::NoKeys);
            }
            let columns = columns.iter().map(|name| table.index_of(name)).collect::<Result<Vec<_>, _>>()?;
            Ok(hash_rows(table, &columns)?.into_iter().map(|hash| reduce(hash, outputs)).collect())
        }
        PartitionBy::Range { keys, boundaries } => range::assign(table, keys, boundaries, outputs),
        PartitionBy::Column { name } => explicit(table, name, outputs),
    }
}

fn explicit(table: &Table, name: &str, outputs: u32) -> Result<Vec<u32>, KernelError> {
    let mut assigned = Vec::with_capacity(table.num_rows());
    for array in table.column(table.index_of(name)?) {
        let column = OutputColumn { name, outputs };
        match array.data_type() {
            DataType::Int8 => column.read::<Int8Type>(array, &mut assigned)?,
            DataType::Int16 => column.read::<Int16Type>(array, &mut assigned)?,
            DataType::Int32 => column.read::<Int32Type>(array, &mut assigned)?,
            DataType::Int64 => column.read::<Int64Type>(array, &mut assigned)?,
            DataType::UInt8 => column.read::<UInt8Type>(array, &mut assigned)?,
            DataType::UInt16 => column.read::<UInt16Type>(array, &mut assigned)?,
            DataType::UInt32 => column.read::<UInt32Type>(array, &mut assigned)?,
            DataType::UInt64 => column.read::<UInt64Type>(array, &mut assigned)?,
            other => {
                return Err(KernelError::NotAnOutputColumn { name: name.to_owned(), data_type: other.to_string() });
            }
        }
    }
    Ok(assigned)
}

struct OutputColumn<'a> {
    name: &'a str,
    outputs: u32,
}

impl OutputColumn<'_> {
    fn read<T: ArrowPrimitiveType>(&self, array: &dyn Array, assigned: &mut Vec<u32>) -> Result<(), KernelError>
    where
        T::Native: TryInto<u32> + Display,
    {
        let array = array.as_primitive::<T>();
        for (index, &value) in array.values().iter().enumerate() {
            match value.try_into() {
                Ok(output) if output < self.outputs && array.is_valid(index) => assigned.push(output),
                Ok(_) | Err(_) => {
                    let value = if array.is_valid(index) { value.to_string() } else { "null".to_owned() };
                    let (name, row) = (self.name.to_owned(), assigned.len());
                    return Err(KernelError::OutputOutOfRange { name, row, value, outputs: self.outputs });
                }
            }
        }
        Ok(())
    }
}
