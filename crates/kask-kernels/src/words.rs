//! Numbers and times as unsigned 64-bit words that compare in the same order.

use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{Array, ArrowPrimitiveType};
use arrow_schema::{DataType, TimeUnit};

const SIGN: u64 = 1 << 63;

/// A word for each value, in the order of the values (anything for nulls); `None` for types that do not fit a word.
pub(crate) fn ordered(array: &dyn Array) -> Option<Vec<u64>> {
    Some(match array.data_type() {
        DataType::Int8 => signed::<Int8Type>(array),
        DataType::Int16 => signed::<Int16Type>(array),
        DataType::Int32 => signed::<Int32Type>(array),
        DataType::Int64 => signed::<Int64Type>(array),
        DataType::UInt8 => map::<UInt8Type>(array, u64::from),
        DataType::UInt16 => map::<UInt16Type>(array, u64::from),
        DataType::UInt32 => map::<UInt32Type>(array, u64::from),
        DataType::UInt64 => map::<UInt64Type>(array, |value| value),
        DataType::Float16 => map::<Float16Type>(array, |value| float(f64::from(value))),
        DataType::Float32 => map::<Float32Type>(array, |value| float(f64::from(value))),
        DataType::Float64 => map::<Float64Type>(array, float),
        DataType::Date32 => signed::<Date32Type>(array),
        DataType::Date64 => signed::<Date64Type>(array),
        DataType::Timestamp(TimeUnit::Second, _) => signed::<TimestampSecondType>(array),
        DataType::Timestamp(TimeUnit::Millisecond, _) => signed::<TimestampMillisecondType>(array),
        DataType::Timestamp(TimeUnit::Microsecond, _) => signed::<TimestampMicrosecondType>(array),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => signed::<TimestampNanosecondType>(array),
        DataType::Duration(TimeUnit::Second) => signed::<DurationSecondType>(array),
        DataType::Duration(TimeUnit::Millisecond) => signed::<DurationMillisecondType>(array),
        DataType::Duration(TimeUnit::Microsecond) => signed::<DurationMicrosecondType>(array),
        DataType::Duration(TimeUnit::Nanosecond) => signed::<DurationNanosecondType>(array),
        _ => return None,
    })
}

fn map<T: ArrowPrimitiveType>(array: &dyn Array, word: impl Fn(T::Native) -> u64) -> Vec<u64> {
    array.as_primitive::<T>().values().iter().map(|&value| word(value)).collect()
}

fn signed<T: ArrowPrimitiveType>(array: &dyn Array) -> Vec<u64>
where
    T::Native: Into<i64>,
{
    map::<T>(array, |value| Into::<i64>::into(value).cast_unsigned() ^ SIGN)
}

/// Negative floats have all bits flipped, so that larger magnitudes come first; the others the sign alone.
fn float(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits & SIGN == 0 { bits | SIGN } else { !bits }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{Float64Array, Int16Array, StringArray};

    #[test]
    fn words_are_in_the_order_of_the_values() {
        let values = [f64::NEG_INFINITY, -2.5, -1e-300, 0.0, 1e-300, 1.0, f64::MAX, f64::INFINITY];
        let words = ordered(&Float64Array::from(values.to_vec())).expect("floats have words");
        assert!(words.is_sorted_by(|a, b| a < b));
        let words = ordered(&Int16Array::from(vec![i16::MIN, -1, 0, 1, i16::MAX])).expect("integers have words");
        assert!(words.is_sorted_by(|a, b| a < b));
        assert_eq!(ordered(&StringArray::from(vec!["a"])), None);
    }
}
