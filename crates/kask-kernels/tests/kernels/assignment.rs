//! Hashes and outputs of rows: by value whatever the storage, the same forever, evenly spread, and as a plain comparison says.

use arrow_array::types::*;
use arrow_array::*;
use arrow_select::concat::concat;
use half::f16;
use kask_kernels::hash::hash_rows;
use kask_kernels::{KernelError, PartitionBy, SortKey, Table, assign};
use proptest::prelude::*;
use std::cmp::Ordering;
use std::sync::Arc;

fn table_of(arrays: &[(&str, ArrayRef)]) -> Table {
    let batch =
        RecordBatch::try_from_iter_with_nullable(arrays.iter().map(|(name, array)| (*name, array.clone(), true)));
    let batch = batch.expect("arrays of one length");
    Table::new(batch.schema(), vec![batch]).expect("its own schema")
}

fn hashes(array: ArrayRef) -> Vec<u64> {
    hash_rows(&table_of(&[("c", array)]), &[0]).expect("a type that can be hashed")
}

#[test]
fn equal_values_hash_equally_however_they_are_stored() {
    let names = ["", "a", "häßlich", "exactly 16 bytes", "rather more than sixteen bytes, as names go"];
    let texts = || names.map(Some).into_iter().chain([None]);
    let expected = hashes(Arc::new(texts().collect::<StringArray>()));
    let dictionary = texts().collect::<DictionaryArray<Int8Type>>();
    let stored: [ArrayRef; 6] = [
        Arc::new(texts().collect::<LargeStringArray>()),
        Arc::new(texts().collect::<StringViewArray>()),
        Arc::new(texts().collect::<BinaryArray>()),
        Arc::new(texts().map(|text| text.map(str::as_bytes)).collect::<LargeBinaryArray>()),
        Arc::new(texts().map(|text| text.map(str::as_bytes)).collect::<BinaryViewArray>()),
        Arc::new(dictionary),
    ];
    for array in stored {
        assert_eq!(hashes(array.clone()), expected, "{}", array.data_type());
    }
}

#[test]
fn equal_numbers_hash_equally_however_they_are_stored() {
    let expected = hashes(Arc::new(Int64Array::from(vec![Some(0), Some(1), Some(100), None])));
    let stored: Vec<ArrayRef> = vec![
        Arc::new(Int8Array::from(vec![Some(0), Some(1), Some(100), None])),
        Arc::new(UInt8Array::from(vec![Some(0), Some(1), Some(100), None])),
        Arc::new(UInt64Array::from(vec![Some(0), Some(1), Some(100), None])),
        Arc::new(Float16Array::from(vec![Some(f16::NEG_ZERO), Some(f16::ONE), Some(f16::from_f32(100.0)), None])),
        Arc::new(Float32Array::from(vec![Some(-0.0), Some(1.0), Some(100.0), None])),
        Arc::new(Float64Array::from(vec![Some(0.0), Some(1.0), Some(100.0), None])),
        Arc::new(
            Decimal128Array::from(vec![Some(0), Some(100), Some(10000), None])
                .with_precision_and_scale(9, 2)
                .expect("fits"),
        ),
        Arc::new(
            Decimal32Array::from(vec![Some(0), Some(10), Some(1000), None])
                .with_precision_and_scale(5, 1)
                .expect("fits"),
        ),
        Arc::new(DurationSecondArray::from(vec![Some(0), Some(1), Some(100), None])),
        Arc::new(TimestampNanosecondArray::from(vec![Some(0), Some(1_000_000_000), Some(100_000_000_000), None])),
        Arc::new(Time32MillisecondArray::from(vec![Some(0), Some(1000), Some(100_000), None])),
    ];
    for array in stored {
        assert_eq!(hashes(array.clone()), expected, "{}", array.data_type());
    }
    assert_eq!(hashes(Arc::new(BooleanArray::from(vec![false, true]))), expected[..2]);
    assert_eq!(
        hashes(Arc::new(Date32Array::from(vec![20_000]))),
        hashes(Arc::new(Date64Array::from(vec![20_000 * 86_400_000])))
    );
    let before = hashes(Arc::new(TimestampMillisecondArray::from(vec![-1])));
    assert_eq!(before, hashes(Arc::new(TimestampMicrosecondArray::from(vec![-1000]))));
}

#[test]
fn special_floats() {
    let quiet = f64::from_bits(0xfff8_0000_0000_0001);
    let found = hashes(Arc::new(Float64Array::from(vec![
        f64::NAN,
        -f64::NAN,
        quiet,
        0.0,
        -0.0,
        f64::INFINITY,
        2_f64.powi(63),
        1e300,
    ])));
    assert!(found[0] == found[1] && found[1] == found[2] && found[3] == found[4]);
    assert_eq!(hashes(Arc::new(Float32Array::from(vec![f32::NAN])))[0], found[0]);
    assert_eq!(found.iter().collect::<std::collections::BTreeSet<_>>().len(), 5);
    let half = hashes(Arc::new(Float32Array::from(vec![1.5])));
    assert_eq!(half, hashes(Arc::new(Float64Array::from(vec![1.5]))));
    let extremes = hashes(Arc::new(Float64Array::from(vec![i64::MIN as f64, 1.5])));
    assert_eq!(extremes[0], hashes(Arc::new(Int64Array::from(vec![i64::MIN])))[0]);
}

/// What another implementation of the algorithm as documented gives. Where rows go must not change from version to version.
#[test]
fn recorded_hashes() {
    let strings = hashes(Arc::new(StringArray::from(vec![
        "",
        "a",
        "abcd",
        "abcdefghi",
        "the quick brown fox jumps over the lazy dog",
    ])));
    assert_eq!(strings, RECORDED_STRINGS);
    let numbers = hashes(Arc::new(Float64Array::from(vec![0.0, 1.0, -1.0, 0.5, f64::NAN])));
    assert_eq!(numbers, RECORDED_NUMBERS);
    let pair = table_of(&[("a", Arc::new(Int32Array::from(vec![1]))), ("b", Arc::new(Int32Array::from(vec![None])))]);
    assert_eq!(hash_rows(&pair, &[0, 1]).expect("numbers"), [RECORDED_PAIR]);
    let stamp = hashes(Arc::new(TimestampMillisecondArray::from(vec![1_500])));
    assert_eq!(stamp, [RECORDED_STAMP]);
    let decimal = Decimal128Array::from(vec![-12_345]).with_precision_and_scale(9, 2).expect("fits");
    assert_eq!(hashes(Arc::new(decimal)), [RECORDED_DECIMAL]);
}

const RECORDED_STRINGS: [u64; 5] = [
    9_598_412_562_923_201_143,
    11_079_001_490_107_842_035,
    9_457_589_027_409_004_008,
    12_253_265_339_767_849_402,
    4_154_369_861_349_408_321,
];
const RECORDED_NUMBERS: [u64; 5] = [
    4_346_029_759_683_724_487,
    18_167_023_715_739_829_962,
    7_693_616_846_874_254_780,
    16_621_125_174_463_431_761,
    3_185_334_442_770_409_133,
];
const RECORDED_PAIR: u64 = 11_056_760_004_236_492_683;
const RECORDED_STAMP: u64 = 9_119_891_802_889_966_298;
const RECORDED_DECIMAL: u64 = 2_231_827_687_159_932_512;

/// Chi-squared of rows over outputs, for keys as data has them; its mean is `outputs - 1`.
fn unevenness(array: ArrayRef, outputs: u32) -> f64 {
    let rows = array.len() as f64;
    let by = PartitionBy::Hash { columns: vec!["c".to_owned()] };
    let mut counts = vec![0_u32; outputs as usize];
    for output in assign(&table_of(&[("c", array)]), &by, outputs).expect("valid") {
        counts[output as usize] += 1;
    }
    let expected = rows / f64::from(outputs);
    counts.iter().map(|&count| (f64::from(count) - expected).powi(2) / expected).sum::<f64>() / f64::from(outputs - 1)
}

#[test]
fn usual_keys_spread_evenly() {
    let rows = 100_000_i64;
    let keys: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(0..rows)),
        Arc::new(Int64Array::from_iter_values((0..rows).map(|n| n * 1024))),
        Arc::new(Int64Array::from_iter_values((0..rows).map(|n| n << 32))),
        Arc::new(Int64Array::from_iter_values((0..rows).map(|n| -n * 1_000_000_007))),
        Arc::new(Float64Array::from_iter_values((0..rows).map(|n| n as f64 / 3.0))),
        Arc::new(TimestampNanosecondArray::from_iter_values((0..rows).map(|n| n * 86_400_000_000_000))),
        Arc::new(StringArray::from_iter_values((0..rows).map(|n| format!("{n}")))),
        Arc::new(StringArray::from_iter_values((0..rows).map(|n| format!("customer#{n:09}")))),
        Arc::new(StringArray::from_iter_values(
            (0..rows).map(|n| format!("{n:020}-with-the-same-long-end-everywhere")),
        )),
    ];
    for outputs in [2, 10, 100, 1000] {
        for (index, array) in keys.iter().enumerate() {
            let uneven = unevenness(array.clone(), outputs);
            // Six standard deviations of chi-squared divided by its mean.
            let limit = 1.0 + 6.0 * (2.0 / f64::from(outputs - 1)).sqrt();
            assert!(uneven < limit, "keys {index} over {outputs}: {uneven}");
        }
    }
}

#[test]
fn types_without_a_hash_are_refused_by_name() {
    let table = table_of(&[("lists", crate::columns::make(11, &[1], 0))]);
    let by = |name: &str| PartitionBy::Hash { columns: vec![name.to_owned()] };
    let error = assign(&table, &by("lists"), 2).expect_err("lists are no keys");
    assert!(error.to_string().contains("\"lists\" has the type List"), "{error}");
    let error = assign(&table, &by("nosuch"), 2).expect_err("no such column");
    assert!(error.to_string().contains("the table has the columns \"lists\""), "{error}");
    assert!(matches!(assign(&table, &PartitionBy::Hash { columns: vec![] }, 2), Err(KernelError::NoKeys)));
    let twice = table_of(&[("x", crate::columns::make(1, &[1], 0)), ("x", crate::columns::make(1, &[1], 0))]);
    assert!(matches!(assign(&twice, &by("x"), 2), Err(KernelError::AmbiguousColumn { count: 2, .. })));
}

#[test]
fn explicit_outputs() {
    let by = PartitionBy::Column { name: "to".to_owned() };
    for array in [Arc::new(UInt8Array::from(vec![2, 0, 1])) as ArrayRef, Arc::new(Int64Array::from(vec![2, 0, 1]))] {
        assert_eq!(assign(&table_of(&[("to", array)]), &by, 3).expect("in range"), [2, 0, 1]);
    }
    let wrong: [(ArrayRef, &str); 4] = [
        (Arc::new(Int64Array::from(vec![0, 3])), "row 1 of column \"to\" is 3; with 3 outputs it must be from 0 to 2"),
        (Arc::new(Int64Array::from(vec![0, -1])), "row 1 of column \"to\" is -1"),
        (Arc::new(Int64Array::from(vec![Some(0), None])), "row 1 of column \"to\" is null"),
        (Arc::new(Float64Array::from(vec![0.0])), "must hold integers"),
    ];
    for (array, message) in wrong {
        let error = assign(&table_of(&[("to", array)]), &by, 3).expect_err("not an output");
        assert!(error.to_string().contains(message), "{error}");
    }
}

/// One value of a key, compared as the docs say.
type Row = (Option<f64>, Option<String>);

fn compare(a: &Row, b: &Row, keys: &[SortKey; 2]) -> Ordering {
    fn one<T: PartialOrd>(a: Option<&T>, b: Option<&T>, key: &SortKey) -> Ordering {
        let nulls = if key.nulls_first { Ordering::Less } else { Ordering::Greater };
        match (a, b) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => nulls,
            (Some(_), None) => nulls.reverse(),
            (Some(a), Some(b)) => {
                let order = a.partial_cmp(b).expect("no NaN");
                if key.descending { order.reverse() } else { order }
            }
        }
    }
    let number = |row: &Row| row.0.filter(|number| !number.is_nan());
    one(number(a).as_ref(), number(b).as_ref(), &keys[0]).then(one(a.1.as_ref(), b.1.as_ref(), &keys[1]))
}

fn row() -> impl Strategy<Value = Row> {
    let number =
        prop::sample::select(vec![-1.5, -0.0, 0.0, 0.25, 3.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN, -f64::NAN]);
    (prop::option::of(number), prop::option::of("[ab]{0,3}"))
}

fn key(name: &str, flags: (bool, bool)) -> SortKey {
    SortKey { name: name.to_owned(), descending: flags.0, nulls_first: flags.1 }
}

fn numbers(rows: &[Row]) -> ArrayRef {
    Arc::new(rows.iter().map(|row| row.0).collect::<Float64Array>())
}

fn strings(rows: &[Row]) -> ArrayRef {
    Arc::new(rows.iter().map(|row| row.1.as_deref()).collect::<LargeStringArray>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn ranges_are_what_a_comparison_says(
        rows in prop::collection::vec(row(), 0..40),
        mut boundaries in prop::collection::vec(row(), 0..12),
        first in any::<(bool, bool)>(),
        second in any::<(bool, bool)>(),
    ) {
        let keys = [key("n", first), key("s", second)];
        boundaries.sort_by(|a, b| compare(a, b, &keys));
        let outputs = boundaries.len() as u32 + 1;
        let table = table_of(&[("s", strings(&rows)), ("n", numbers(&rows))]);
        // Strings of boundaries may be stored in another way than those of the table.
        let texts = Arc::new(boundaries.iter().map(|row| row.1.as_deref()).collect::<StringViewArray>()) as ArrayRef;
        let limits = RecordBatch::try_from_iter_with_nullable([("n", numbers(&boundaries), true), ("s", texts, true)]);
        let by = PartitionBy::Range { keys: keys.to_vec(), boundaries: limits.expect("two columns") };
        let expected: Vec<u32> = rows
            .iter()
            .map(|row| boundaries.iter().filter(|limit| compare(limit, row, &keys).is_le()).count() as u32)
            .collect();
        prop_assert_eq!(assign(&table, &by, outputs).expect("valid"), expected);
    }

    #[test]
    fn ranges_of_one_number(
        rows in prop::collection::vec(row(), 0..40),
        mut boundaries in prop::collection::vec(row(), 0..12),
        flags in any::<(bool, bool)>(),
    ) {
        let keys = [key("n", flags), key("s", (false, false))];
        let plain = |rows: &mut Vec<Row>| rows.iter_mut().for_each(|row| row.1 = None);
        let mut rows = rows;
        plain(&mut rows);
        plain(&mut boundaries);
        boundaries.sort_by(|a, b| compare(a, b, &keys));
        let limits = RecordBatch::try_from_iter_with_nullable([("n", numbers(&boundaries), true)]).expect("one column");
        let by = PartitionBy::Range { keys: vec![keys[0].clone()], boundaries: limits };
        let expected: Vec<u32> = rows
            .iter()
            .map(|row| boundaries.iter().filter(|limit| compare(limit, row, &keys).is_le()).count() as u32)
            .collect();
        prop_assert_eq!(assign(&table_of(&[("n", numbers(&rows))]), &by, boundaries.len() as u32 + 1).expect("valid"), expected);
    }
}

#[test]
fn ranges_of_every_sortable_type() {
    // Sorted values; each is a boundary, so that value `i` goes to output `i + 1`.
    let dictionary: DictionaryArray<Int32Type> = ["a", "b", "c"].into_iter().collect();
    let sorted: Vec<ArrayRef> = vec![
        Arc::new(BooleanArray::from(vec![false, true])),
        Arc::new(Int8Array::from(vec![-3, 0, 5])),
        Arc::new(UInt64Array::from(vec![0, 1, u64::MAX])),
        Arc::new(Float32Array::from(vec![f32::NEG_INFINITY, -1.0, 0.0, 7.5])),
        Arc::new(Date32Array::from(vec![-1, 0, 1])),
        Arc::new(TimestampMicrosecondArray::from(vec![-1, 0, 1]).with_timezone("UTC")),
        Arc::new(DurationMillisecondArray::from(vec![-1, 0, 1])),
        Arc::new(Decimal128Array::from(vec![-100, 0, 1])),
        Arc::new(StringArray::from(vec!["", "a", "b"])),
        Arc::new(BinaryArray::from_vec(vec![b"", b"a", b"\xff"])),
        Arc::new(dictionary),
    ];
    for array in sorted {
        let limits = RecordBatch::try_from_iter([("c", array.clone())]).expect("one column");
        let by = PartitionBy::Range { keys: vec![SortKey::ascending("c")], boundaries: limits };
        let nulls = new_null_array(array.data_type(), 1);
        let both = concat(&[&array, &nulls]).expect("one type");
        let outputs = array.len() as u32 + 1;
        let expected: Vec<u32> = (1..outputs).chain([outputs - 1]).collect();
        assert_eq!(assign(&table_of(&[("c", both)]), &by, outputs).expect("valid"), expected, "{}", array.data_type());
    }
}

#[test]
fn a_column_of_nulls_has_every_type() {
    let table = table_of(&[("c", Arc::new(NullArray::new(2)))]);
    for limits in [crate::columns::make(1, &[5], 0), crate::columns::make(6, &[5], 0)] {
        for nulls_first in [false, true] {
            let by = PartitionBy::Range {
                keys: vec![key("c", (true, nulls_first))],
                boundaries: RecordBatch::try_from_iter([("c", limits.clone())]).expect("one column"),
            };
            assert_eq!(assign(&table, &by, 2).expect("nulls can be placed"), [u32::from(!nulls_first); 2]);
        }
    }
}

#[test]
fn wrong_boundaries_are_refused() {
    let table = table_of(&[
        ("n", crate::columns::make(1, &[1], 0)),
        ("s", crate::columns::make(6, &[1], 0)),
        ("l", crate::columns::make(18, &[1], 0)),
    ]);
    let by = |name: &str, boundaries: ArrayRef| PartitionBy::Range {
        keys: vec![SortKey::ascending(name)],
        boundaries: RecordBatch::try_from_iter([("b", boundaries)]).expect("one column"),
    };
    let numbers = |values: Vec<u32>| Arc::new(UInt32Array::from(values)) as ArrayRef;
    let error = assign(&table, &by("n", numbers(vec![1, 2])), 2).expect_err("too many");
    assert_eq!(error.to_string(), "2 outputs need 1 boundaries between them, 2 were given");
    let error = assign(&table, &by("n", numbers(vec![2, 1])), 3).expect_err("unsorted");
    assert!(error.to_string().contains("number 1 comes before number 0"), "{error}");
    let texts = Arc::new(StringArray::from(vec!["b", "a"]));
    assert!(matches!(assign(&table, &by("s", texts), 3), Err(KernelError::UnsortedBoundaries { second: 1 })));
    let error = assign(&table, &by("s", numbers(vec![1])), 2).expect_err("numbers for strings");
    assert!(error.to_string().contains("\"s\" have the type UInt32, the column has Utf8"), "{error}");
}
