//! Hashes of whole arrays, one value type after another.

use super::scalar::{NULL, join, of_bytes, of_decimal, of_float, of_time, of_word};
use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{Array, ArrowPrimitiveType, PrimitiveArray};
use arrow_buffer::i256;
use arrow_schema::{DataType, IntervalUnit, TimeUnit};

/// The hash of each value, [`NULL`] for nulls; the type when it has no hash.
pub(crate) fn hash_values(array: &dyn Array) -> Result<Vec<u64>, DataType> {
    let mut hashes = hash_present(array)?;
    // Dictionaries may point at nulls; those were hashed as such already.
    if let Some(nulls) = array.nulls().filter(|nulls| nulls.null_count() > 0) {
        for (hash, valid) in hashes.iter_mut().zip(nulls) {
            *hash = if valid { *hash } else { NULL };
        }
    }
    Ok(hashes)
}

/// As [`hash_values`], with anything in the place of nulls.
fn hash_present(array: &dyn Array) -> Result<Vec<u64>, DataType> {
    Ok(match array.data_type() {
        DataType::Null => vec![NULL; array.len()],
        DataType::Boolean => array.as_boolean().values().iter().map(|value| of_word(u64::from(value))).collect(),
        DataType::Int8 => integers::<Int8Type>(array),
        DataType::Int16 => integers::<Int16Type>(array),
        DataType::Int32 => integers::<Int32Type>(array),
        DataType::Int64 => integers::<Int64Type>(array),
        DataType::UInt8 => integers::<UInt8Type>(array),
        DataType::UInt16 => integers::<UInt16Type>(array),
        DataType::UInt32 => integers::<UInt32Type>(array),
        DataType::UInt64 => primitive::<UInt64Type>(array, of_word),
        DataType::Float16 => primitive::<Float16Type>(array, |value| of_float(f64::from(value))),
        DataType::Float32 => primitive::<Float32Type>(array, |value| of_float(f64::from(value))),
        DataType::Float64 => primitive::<Float64Type>(array, of_float),
        DataType::Decimal32(_, scale) => {
            primitive::<Decimal32Type>(array, |v| of_decimal(i256::from_i128(v.into()), *scale))
        }
        DataType::Decimal64(_, scale) => {
            primitive::<Decimal64Type>(array, |v| of_decimal(i256::from_i128(v.into()), *scale))
        }
        DataType::Decimal128(_, scale) => {
            primitive::<Decimal128Type>(array, |v| of_decimal(i256::from_i128(v), *scale))
        }
        DataType::Decimal256(_, scale) => primitive::<Decimal256Type>(array, |v| of_decimal(v, *scale)),
        DataType::Utf8 => byte_array::<Utf8Type>(array),
        DataType::LargeUtf8 => byte_array::<LargeUtf8Type>(array),
        DataType::Binary => byte_array::<BinaryType>(array),
        DataType::LargeBinary => byte_array::<LargeBinaryType>(array),
        DataType::Utf8View => {
            let array = array.as_string_view();
            (0..array.len()).map(|i| of_bytes(array.value(i).as_bytes())).collect()
        }
        DataType::BinaryView => {
            let array = array.as_binary_view();
            (0..array.len()).map(|i| of_bytes(array.value(i))).collect()
        }
        DataType::FixedSizeBinary(_) => {
            let array = array.as_fixed_size_binary();
            (0..array.len()).map(|i| of_bytes(array.value(i))).collect()
        }
        DataType::Date32 => primitive::<Date32Type>(array, |days| of_time(i64::from(days) * 86_400, 0)),
        DataType::Date64 => primitive::<Date64Type>(array, ticks::<1_000>),
        DataType::Timestamp(unit, _) | DataType::Duration(unit) | DataType::Time32(unit) | DataType::Time64(unit) => {
            times(array, *unit)
        }
        DataType::Interval(IntervalUnit::YearMonth) => integers::<IntervalYearMonthType>(array),
        DataType::Interval(IntervalUnit::DayTime) => primitive::<IntervalDayTimeType>(array, |v| {
            join(of_word(i64::from(v.days).cast_unsigned()), of_word(i64::from(v.milliseconds).cast_unsigned()))
        }),
        DataType::Interval(IntervalUnit::MonthDayNano) => primitive::<IntervalMonthDayNanoType>(array, |v| {
            let date = join(of_word(i64::from(v.months).cast_unsigned()), of_word(i64::from(v.days).cast_unsigned()));
            join(date, of_word(v.nanoseconds.cast_unsigned()))
        }),
        DataType::Dictionary(_, _) => dictionary(array)?,
        DataType::Struct(_) => structs(array)?,
        DataType::List(_)
        | DataType::ListView(_)
        | DataType::FixedSizeList(_, _)
        | DataType::LargeList(_)
        | DataType::LargeListView(_)
        | DataType::Union(_, _)
        | DataType::Map(_, _)
        | DataType::RunEndEncoded(_, _) => return Err(array.data_type().clone()),
    })
}

fn primitive<T: ArrowPrimitiveType>(array: &dyn Array, hash: impl Fn(T::Native) -> u64) -> Vec<u64> {
    array.as_primitive::<T>().values().iter().map(|&value| hash(value)).collect()
}

fn integers<T: ArrowPrimitiveType>(array: &dyn Array) -> Vec<u64>
where
    T::Native: Into<i64>,
{
    primitive::<T>(array, |value| of_word(Into::<i64>::into(value).cast_unsigned()))
}

fn byte_array<T: ByteArrayType>(array: &dyn Array) -> Vec<u64> {
    let array = array.as_bytes::<T>();
    (0..array.len()).map(|i| of_bytes(array.value(i).as_ref())).collect()
}

/// The hash of a time in units of which a second has `PER_SECOND`.
fn ticks<const PER_SECOND: i64>(value: i64) -> u64 {
    let nanoseconds = value.rem_euclid(PER_SECOND) * (1_000_000_000 / PER_SECOND);
    of_time(value.div_euclid(PER_SECOND), nanoseconds as u32)
}

fn times(array: &dyn Array, unit: TimeUnit) -> Vec<u64> {
    match unit {
        TimeUnit::Second => unit_times::<1>(array),
        TimeUnit::Millisecond => unit_times::<1_000>(array),
        TimeUnit::Microsecond => unit_times::<1_000_000>(array),
        TimeUnit::Nanosecond => unit_times::<1_000_000_000>(array),
    }
}

fn unit_times<const PER_SECOND: i64>(array: &dyn Array) -> Vec<u64> {
    let data = array.to_data();
    if matches!(array.data_type(), DataType::Time32(_)) {
        let values = PrimitiveArray::<Int32Type>::new(
            arrow_buffer::ScalarBuffer::new(data.buffers()[0].clone(), data.offset(), data.len()),
            None,
        );
        return values.values().iter().map(|&value| ticks::<PER_SECOND>(value.into())).collect();
    }
    let values = arrow_buffer::ScalarBuffer::<i64>::new(data.buffers()[0].clone(), data.offset(), data.len());
    values.iter().map(|&value| ticks::<PER_SECOND>(value)).collect()
}

fn dictionary(array: &dyn Array) -> Result<Vec<u64>, DataType> {
    let dictionary = array.as_any_dictionary();
    let hashes = hash_values(dictionary.values())?;
    // Keys of nulls may be anything, also beyond an empty dictionary.
    if hashes.is_empty() {
        return Ok(vec![NULL; array.len()]);
    }
    Ok(dictionary.normalized_keys().into_iter().map(|key| hashes[key]).collect())
}

fn structs(array: &dyn Array) -> Result<Vec<u64>, DataType> {
    let mut state = vec![0; array.len()];
    for column in array.as_struct().columns() {
        for (state, hash) in state.iter_mut().zip(hash_values(column)?) {
            *state = join(*state, hash);
        }
    }
    Ok(state)
}
