//! Arrays of all kinds, made of numbers.

#![allow(dead_code, reason = "not every test uses all of it")]

use arrow_array::builder::*;
use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::*;
use arrow_select::take::take;
use std::sync::Arc;

/// How many kinds of columns there are.
pub const KINDS: usize = 24;

/// The numbers of which every fifth is null.
fn some(seeds: &[u32]) -> impl Iterator<Item = Option<u32>> + '_ {
    seeds.iter().map(|&seed| (seed % 5 != 3).then_some(seed))
}

fn text(seed: u32) -> String {
    "äb-long-enough-to-not-be-inlined-anywhere".chars().cycle().take((seed % 41) as usize).collect::<String>()
        + &seed.to_string()
}

fn optional_text(seeds: &[u32]) -> impl Iterator<Item = Option<String>> + '_ {
    some(seeds).map(|seed| seed.map(|seed| if seed % 7 == 0 { String::new() } else { text(seed) }))
}

/// An array of one value for each seed. `variant` changes the dictionary where there is one.
pub fn make(kind: usize, seeds: &[u32], variant: usize) -> ArrayRef {
    match kind {
        0 => Arc::new(some(seeds).map(|seed| seed.map(|seed| seed % 2 == 1)).collect::<BooleanArray>()),
        1 => Arc::new(UInt32Array::from_iter_values(seeds.iter().copied())),
        2 => Arc::new(some(seeds).map(|seed| seed.map(|seed| seed as i8)).collect::<Int8Array>()),
        3 => Arc::new(some(seeds).map(|seed| seed.map(|seed| f64::from(seed) / 8.0)).collect::<Float64Array>()),
        4 => Arc::new(some(seeds).map(|seed| seed.map(i128::from)).collect::<Decimal128Array>()),
        5 => Arc::new(
            some(seeds).map(|seed| seed.map(i64::from)).collect::<TimestampMicrosecondArray>().with_timezone("UTC"),
        ),
        6 => Arc::new(optional_text(seeds).collect::<StringArray>()),
        7 => Arc::new(optional_text(seeds).collect::<LargeStringArray>()),
        8 => Arc::new(optional_text(seeds).collect::<StringViewArray>()),
        9 => Arc::new(optional_text(seeds).collect::<BinaryArray>()),
        10 => dictionary(seeds, variant, false),
        11 => lists(seeds),
        12 => structs(seeds),
        13 => fixed_size_binary(seeds),
        14 => Arc::new(NullArray::new(seeds.len())),
        15 => lists_of_views(seeds),
        16 => fixed_size_lists(seeds),
        17 => maps(seeds),
        18 => runs(seeds),
        19 => dictionary(seeds, 0, true),
        20 => Arc::new(some(seeds).map(|seed| seed.map(|seed| seed as i16)).collect::<Int16Array>()),
        21 => Arc::new(
            some(seeds)
                .map(|s| s.map(|s| IntervalMonthDayNano::new(s as i32, 1, 2)))
                .collect::<IntervalMonthDayNanoArray>(),
        ),
        22 => Arc::new(optional_text(seeds).map(|text| text.map(String::into_bytes)).collect::<LargeBinaryArray>()),
        23 => lists_of_dictionaries(seeds, variant),
        other => panic!("there is no kind {other}"),
    }
}

use arrow_buffer::IntervalMonthDayNano;

/// Arrays with dictionaries looked up: what they mean, not how they are stored.
pub fn plain(array: &ArrayRef) -> ArrayRef {
    match array.data_type() {
        arrow_schema::DataType::Dictionary(_, _) => {
            let dictionary = array.as_any_dictionary();
            take(dictionary.values(), dictionary.keys(), None).expect("keys are within the dictionary")
        }
        _ => array.clone(),
    }
}

fn dictionary(seeds: &[u32], variant: usize, numbers: bool) -> ArrayRef {
    let names: Vec<u32> = (0..11).map(|value| (value + variant as u32 * 3) % 17).collect();
    let keys: Int8Array = some(seeds).map(|seed| seed.map(|seed| (seed % 11) as i8)).collect();
    let values: ArrayRef = match numbers {
        true => Arc::new(Int64Array::from_iter_values(names.iter().map(|&name| i64::from(name)))),
        false => Arc::new(names.iter().map(|&name| (name != 4).then(|| text(name))).collect::<StringArray>()),
    };
    Arc::new(DictionaryArray::<Int8Type>::new(keys, values))
}

fn lists(seeds: &[u32]) -> ArrayRef {
    let mut builder = ListBuilder::new(Int32Builder::new());
    for seed in some(seeds) {
        builder.append_option(seed.map(|seed| (0..seed % 4).map(move |n| (n != 2).then_some((seed + n) as i32))));
    }
    Arc::new(builder.finish())
}

fn lists_of_views(seeds: &[u32]) -> ArrayRef {
    let mut builder = ListBuilder::new(StringViewBuilder::new());
    for seed in some(seeds) {
        builder.append_option(seed.map(|seed| (0..seed % 4).map(move |n| Some(text(seed + n)))));
    }
    Arc::new(builder.finish())
}

fn lists_of_dictionaries(seeds: &[u32], variant: usize) -> ArrayRef {
    let mut builder = ListBuilder::new(StringDictionaryBuilder::<Int32Type>::new());
    for (index, seed) in some(seeds).enumerate() {
        let strings = seed.map(|seed| (0..seed % 3).map(move |n| Some(text((seed + n) % (9 + variant as u32)))));
        builder.append_option(strings.filter(|_| index % 9 != 8));
    }
    Arc::new(builder.finish())
}

fn structs(seeds: &[u32]) -> ArrayRef {
    let fields = [("a", make(3, seeds, 0)), ("b", make(6, seeds, 0)), ("c", make(11, seeds, 0))]
        .map(|(name, array)| (Arc::new(arrow_schema::Field::new(name, array.data_type().clone(), true)), array));
    let (fields, arrays): (Vec<_>, Vec<_>) = fields.into_iter().unzip();
    let nulls = arrow_buffer::NullBuffer::from_iter(seeds.iter().map(|seed| seed % 6 != 1));
    Arc::new(StructArray::try_new_with_length(fields.into(), arrays, Some(nulls), seeds.len()).expect("equal lengths"))
}

fn fixed_size_binary(seeds: &[u32]) -> ArrayRef {
    let mut builder = FixedSizeBinaryBuilder::new(3);
    for seed in some(seeds) {
        match seed {
            Some(seed) => builder.append_value(&seed.to_le_bytes()[..3]).expect("three bytes"),
            None => builder.append_null(),
        }
    }
    Arc::new(builder.finish())
}

fn fixed_size_lists(seeds: &[u32]) -> ArrayRef {
    let mut builder = FixedSizeListBuilder::new(Int16Builder::new(), 2);
    for seed in some(seeds) {
        builder.values().append_slice(&[seed.unwrap_or(0) as i16, 5]);
        builder.append(seed.is_some());
    }
    Arc::new(builder.finish())
}

fn maps(seeds: &[u32]) -> ArrayRef {
    let mut builder = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    for seed in some(seeds) {
        for n in 0..seed.unwrap_or(0) % 3 {
            builder.keys().append_value(text(n));
            builder.values().append_value(n as i32);
        }
        builder.append(seed.is_some()).expect("as many keys as values");
    }
    Arc::new(builder.finish())
}

fn runs(seeds: &[u32]) -> ArrayRef {
    let mut builder = PrimitiveRunBuilder::<Int32Type, Int64Type>::new();
    for seed in some(seeds) {
        builder.append_option(seed.map(|seed| i64::from(seed / 4)));
    }
    Arc::new(builder.finish())
}
