//! Rows to outputs by sorted boundaries: a row goes to the output whose number is that of the boundaries at or before it.
//!
//! The order is that of the values; `-0.0` equals `0.0` and NaN counts as null, as in a sort of pandas. A single numeric or
//! temporal key is compared as one [word](crate::words); everything else in Arrow's row format, whose bytes compare like
//! the rows.

use crate::error::KernelError;
use crate::partition::SortKey;
use crate::table::Table;
use crate::words;
use arrow_array::cast::AsArray;
use arrow_array::types::{Float16Type, Float32Type, Float64Type};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType, PrimitiveArray, RecordBatch, new_null_array};
use arrow_row::{RowConverter, Rows, SortField};
use arrow_schema::{DataType, SortOptions};
use arrow_select::take::take;
use std::sync::Arc;

/// The output of each row of the table.
pub(crate) fn assign(
    table: &Table,
    keys: &[SortKey],
    boundaries: &RecordBatch,
    outputs: u32,
) -> Result<Vec<u32>, KernelError> {
    if keys.is_empty() {
        return Err(KernelError::NoKeys);
    }
    if keys.len() != boundaries.num_columns() || boundaries.num_rows() as u64 + 1 != u64::from(outputs) {
        return Err(KernelError::WrongBoundaries { outputs, boundaries: boundaries.num_rows() });
    }
    let columns = keys.iter().map(|key| table.index_of(&key.name)).collect::<Result<Vec<_>, _>>()?;
    for (column, limits) in columns.iter().zip(boundaries.columns()) {
        check_type(table, *column, limits.data_type())?;
    }
    if let ([key], [column]) = (keys, columns.as_slice())
        && let Some(limits) = word_boundaries(key, boundaries.column(0))
    {
        check_sorted(&limits)?;
        return Ok(assign_words(table, key, *column, &limits));
    }
    assign_rows(table, keys, &columns, boundaries)
}

/// Whether boundaries of this type can be compared with the column: the same type, but for how strings are stored.
fn check_type(table: &Table, column: usize, boundary_type: &DataType) -> Result<(), KernelError> {
    let field = table.schema().field(column);
    // A column without any value may have no better type; its nulls are those of the boundaries' type.
    if *field.data_type() == DataType::Null {
        return Ok(());
    }
    if comparable(field.data_type()) == comparable(boundary_type) {
        return Ok(());
    }
    let (boundary_type, data_type) = (boundary_type.to_string(), field.data_type().to_string());
    Err(KernelError::BoundaryType { name: field.name().clone(), boundary_type, data_type })
}

fn comparable(data_type: &DataType) -> &DataType {
    match data_type {
        DataType::Dictionary(_, values) => comparable(values),
        DataType::LargeUtf8 | DataType::Utf8View => &DataType::Utf8,
        DataType::LargeBinary | DataType::BinaryView => &DataType::Binary,
        other => other,
    }
}

fn check_sorted<T: Ord>(boundaries: &[T]) -> Result<(), KernelError> {
    match boundaries.windows(2).position(|pair| pair[0] > pair[1]) {
        Some(first) => Err(KernelError::UnsortedBoundaries { second: first + 1 }),
        None => Ok(()),
    }
}

/// The boundaries as words; `None` when they have none or some are null.
fn word_boundaries(key: &SortKey, boundaries: &ArrayRef) -> Option<Vec<u64>> {
    let boundaries = canonical(boundaries).ok().filter(|boundaries| boundaries.null_count() == 0)?;
    Some(words::ordered(&boundaries)?.into_iter().map(|word| directed(key, word)).collect())
}

fn directed(key: &SortKey, word: u64) -> u64 {
    if key.descending { !word } else { word }
}

fn assign_words(table: &Table, key: &SortKey, column: usize, boundaries: &[u64]) -> Vec<u32> {
    let null_output = if key.nulls_first { 0 } else { boundaries.len() as u32 };
    let mut assigned = Vec::with_capacity(table.num_rows());
    for array in table.column(column) {
        if *array.data_type() == DataType::Null {
            assigned.resize(assigned.len() + array.len(), null_output);
            continue;
        }
        let array = canonical(array).expect("the type of the column is that of the boundaries, which have words");
        let words = words::ordered(&array).expect("as above");
        let start = assigned.len();
        assigned.extend(words.into_iter().map(|word| {
            let word = directed(key, word);
            boundaries.partition_point(|boundary| *boundary <= word) as u32
        }));
        if let Some(nulls) = array.nulls() {
            for (output, valid) in assigned[start..].iter_mut().zip(nulls) {
                *output = if valid { *output } else { null_output };
            }
        }
    }
    assigned
}

fn assign_rows(
    table: &Table,
    keys: &[SortKey],
    columns: &[usize],
    boundaries: &RecordBatch,
) -> Result<Vec<u32>, KernelError> {
    let limits = rows(keys, boundaries.columns(), table, columns)?;
    let limits: Vec<&[u8]> = limits.iter().map(|row| row.data()).collect();
    check_sorted(&limits)?;
    let mut assigned = Vec::with_capacity(table.num_rows());
    for batch in table.batches() {
        let known = |(&column, limits): (&usize, &ArrayRef)| match batch.column(column).data_type() {
            DataType::Null => new_null_array(limits.data_type(), batch.num_rows()),
            _ => batch.column(column).clone(),
        };
        let arrays: Vec<ArrayRef> = columns.iter().zip(boundaries.columns()).map(known).collect();
        let rows = rows(keys, &arrays, table, columns)?;
        assigned.extend(rows.iter().map(|row| limits.partition_point(|limit| *limit <= row.data()) as u32));
    }
    Ok(assigned)
}

/// Key columns in Arrow's row format.
fn rows(keys: &[SortKey], arrays: &[ArrayRef], table: &Table, columns: &[usize]) -> Result<Rows, KernelError> {
    let arrays = arrays.iter().map(canonical).collect::<Result<Vec<_>, _>>()?;
    let mut fields = Vec::with_capacity(keys.len());
    for ((key, array), column) in keys.iter().zip(&arrays).zip(columns) {
        let options = SortOptions { descending: key.descending, nulls_first: key.nulls_first };
        let field = SortField::new_with_options(array.data_type().clone(), options);
        if !RowConverter::supports_fields(std::slice::from_ref(&field)) {
            return Err(KernelError::UnsupportedKey {
                name: key.name.clone(),
                data_type: table.schema().field(*column).data_type().to_string(),
                purpose: "a key to sort by",
            });
        }
        fields.push(field);
    }
    Ok(RowConverter::new(fields)?.convert_columns(&arrays)?)
}

/// The array with dictionaries looked up, NaN as null and no `-0.0`.
fn canonical(array: &ArrayRef) -> Result<ArrayRef, KernelError> {
    Ok(match array.data_type() {
        DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            canonical(&take(dictionary.values(), dictionary.keys(), None)?)?
        }
        DataType::Float16 => {
            canonical_floats::<Float16Type>(array, |value| value.is_nan(), |value| value + half_zero())
        }
        DataType::Float32 => canonical_floats::<Float32Type>(array, |value| value.is_nan(), |value| value + 0.0),
        DataType::Float64 => canonical_floats::<Float64Type>(array, |value| value.is_nan(), |value| value + 0.0),
        _ => array.clone(),
    })
}

fn half_zero() -> <Float16Type as ArrowPrimitiveType>::Native {
    <Float16Type as ArrowPrimitiveType>::Native::default()
}

/// Adding 0 turns `-0.0` into `0.0` and changes nothing else.
fn canonical_floats<T: ArrowPrimitiveType>(
    array: &dyn Array,
    is_nan: impl Fn(T::Native) -> bool,
    add_zero: impl Fn(T::Native) -> T::Native,
) -> ArrayRef {
    let array = array.as_primitive::<T>();
    let clean: PrimitiveArray<T> = array.unary(add_zero);
    if !clean.values().iter().any(|&value| is_nan(value)) {
        return Arc::new(clean);
    }
    Arc::new(clean.iter().map(|value| value.filter(|&value| !is_nan(value))).collect::<PrimitiveArray<T>>())
}
