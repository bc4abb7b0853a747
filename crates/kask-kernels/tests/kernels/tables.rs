//! Split and merge against a naive way to do the same: Arrow's `take`, row by row and output by output.

use arrow_array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use arrow_select::{concat::concat_batches, take::take_record_batch};
use kask_kernels::{Grouping, KernelError, PartitionBy, Table, assign, merge, split};
use proptest::prelude::*;
use std::sync::Arc;

/// The rows of one table: for each batch the numbers that its values are made of.
type Seeds = Vec<Vec<u32>>;

fn schema(kinds: &[usize]) -> SchemaRef {
    let fields = kinds.iter().enumerate().map(|(column, &kind)| {
        Field::new(format!("c{column}"), crate::columns::make(kind, &[], 0).data_type().clone(), true)
    });
    Arc::new(Schema::new_with_metadata(fields.collect::<Vec<_>>(), [("who".to_owned(), "me".to_owned())].into()))
}

/// A table whose batches are slices of larger ones, so that arrays begin in the middle of their buffers.
fn table(kinds: &[usize], seeds: &Seeds, variant: usize) -> Table {
    let schema = schema(kinds);
    let batches = seeds.iter().enumerate().map(|(index, seeds)| {
        let padded: Vec<u32> = [&[7; 3], seeds.as_slice(), &[9; 2]].concat();
        let arrays: Vec<ArrayRef> = kinds
            .iter()
            .enumerate()
            .map(|(column, &kind)| {
                let seeds: Vec<u32> = padded.iter().map(|seed| seed.wrapping_mul(2 * column as u32 + 1)).collect();
                crate::columns::make(kind, &seeds, variant + index)
            })
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(padded.len()));
        let batch = RecordBatch::try_new_with_options(schema.clone(), arrays, &options).expect("arrays of the schema");
        batch.slice(3, seeds.len())
    });
    Table::new(schema.clone(), batches.collect()).expect("batches of the schema")
}

fn naive(tables: &[Table], assignments: &[Vec<u32>], output: u32) -> RecordBatch {
    let schema = tables[0].schema();
    let picked = tables.iter().zip(assignments).map(|(table, assignment)| {
        let all = concat_batches(schema, table.batches()).expect("batches of one schema");
        let rows = assignment.iter().enumerate().filter(|(_, o)| **o == output).map(|(row, _)| row as u64);
        take_record_batch(&all, &UInt64Array::from_iter_values(rows)).expect("rows of the table")
    });
    concat_batches(schema, &picked.collect::<Vec<_>>()).expect("batches of one schema")
}

fn check(tables: &[Table], assignments: &[Vec<u32>], grouping: &Grouping) {
    let splits: Vec<_> = tables
        .iter()
        .zip(assignments)
        .map(|(table, assignment)| split(table, assignment, grouping).expect("a table and its assignment"))
        .collect();
    for group in 0..grouping.groups() {
        let parts: Vec<_> = splits.iter().map(|parts| parts[group].clone()).collect();
        let merged = merge(&parts).expect("parts of one group");
        assert_eq!(merged.schema.metadata(), tables[0].schema().metadata());
        assert_eq!(merged.outputs.len(), grouping.outputs_of(group).len());
        for (output, batches) in grouping.outputs_of(group).zip(&merged.outputs) {
            let expected = naive(tables, assignments, output);
            let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
            assert_eq!(rows, expected.num_rows(), "rows of output {output}");
            assert_eq!(batches.len(), 1);
            for batch in batches {
                for (column, expected) in batch.columns().iter().zip(expected.columns()) {
                    column.to_data().validate_full().expect("merged arrays are valid");
                    assert_eq!(&crate::columns::plain(column), &crate::columns::plain(expected), "output {output}");
                }
            }
        }
    }
}

fn seeds() -> impl Strategy<Value = Seeds> {
    prop::collection::vec(prop::collection::vec(0_u32..2000, 0..40), 0..4)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn outputs_have_the_rows_of_the_inputs_in_order(
        kinds in prop::collection::vec(0..crate::columns::KINDS, 1..5),
        inputs in prop::collection::vec(seeds(), 1..5),
        outputs in 1_u32..20,
        groups in 1_u32..20,
        choice in any::<u32>(),
    ) {
        let grouping = Grouping::even(outputs, groups.min(outputs)).expect("valid");
        let tables: Vec<Table> = inputs.iter().enumerate().map(|(i, seeds)| table(&kinds, seeds, i)).collect();
        let assignments: Vec<Vec<u32>> = inputs
            .iter()
            .map(|seeds| seeds.iter().flatten().map(|seed| seed.wrapping_mul(choice | 1) % outputs).collect())
            .collect();
        check(&tables, &assignments, &grouping);
    }
}

/// Every type in one table, one after another, so that none depends on chance.
#[test]
fn every_type_is_split_and_merged() {
    for kind in 0..crate::columns::KINDS {
        let inputs: Vec<Seeds> =
            vec![vec![(0..50).collect(), (50..53).collect()], vec![], vec![(10..90).rev().collect()]];
        let tables: Vec<Table> = inputs.iter().enumerate().map(|(i, seeds)| table(&[kind, 0], seeds, i)).collect();
        let assignments: Vec<Vec<u32>> =
            inputs.iter().map(|seeds| seeds.iter().flatten().map(|seed| seed * 7 % 5).collect()).collect();
        check(&tables, &assignments, &Grouping::even(5, 2).expect("valid"));
    }
}

#[test]
fn many_outputs_and_few_rows() {
    let tables = [table(&[1, 6], &vec![(0..700).collect()], 0), table(&[1, 6], &vec![vec![5]], 0)];
    let by = PartitionBy::Hash { columns: vec!["c0".to_owned()] };
    let assignments = tables.each_ref().map(|table| assign(table, &by, 10_000).expect("numbers can be keys"));
    check(&tables, &assignments, &Grouping::even(10_000, 100).expect("valid"));
}

fn one_column(array: ArrayRef) -> Table {
    let batch = RecordBatch::try_from_iter_with_nullable([("c", array, true)]).expect("one column");
    Table::new(batch.schema(), vec![batch]).expect("its own schema")
}

fn all_in_one(tables: &[Table]) -> Result<Vec<Vec<RecordBatch>>, KernelError> {
    let grouping = Grouping::even(1, 1)?;
    let parts = tables
        .iter()
        .map(|table| Ok(split(table, &vec![0; table.num_rows()], &grouping)?.remove(0)))
        .collect::<Result<Vec<_>, KernelError>>()?;
    Ok(merge(&parts)?.outputs)
}

#[test]
fn a_column_of_nulls_takes_the_type_of_the_others() {
    for kind in 0..crate::columns::KINDS {
        let known = crate::columns::make(kind, &[1, 2, 3, 4, 5], 0);
        let unknown: ArrayRef = Arc::new(arrow_array::NullArray::new(2));
        let tables = [one_column(unknown.clone()), one_column(known.clone()), one_column(unknown)];
        let outputs = all_in_one(&tables).expect("nulls fit every type");
        let column = outputs[0][0].column(0);
        assert_eq!(column.data_type(), known.data_type());
        assert_eq!(&crate::columns::plain(&column.slice(2, 5)), &crate::columns::plain(&known));
        assert_eq!((0..2).chain(7..9).filter(|&row| column.logical_nulls().is_some_and(|n| n.is_null(row))).count(), 4);
    }
}

#[test]
fn partitions_that_do_not_fit_are_refused_by_name() {
    let (text, number) = (crate::columns::make(6, &[1], 0), crate::columns::make(1, &[1], 0));
    let error = all_in_one(&[one_column(text.clone()), one_column(number)]).expect_err("two types");
    assert!(error.to_string().contains("\"c\" has the type Utf8"), "{error}");
    let batch = RecordBatch::try_from_iter([("d", text.clone())]).expect("one column");
    let other = Table::new(batch.schema(), vec![batch]).expect("its own schema");
    let error = all_in_one(&[one_column(text), other]).expect_err("two names");
    assert!(error.to_string().contains("partition 1 has d Utf8"), "{error}");
    assert!(matches!(merge(&[]), Err(KernelError::NoParts)));
}

#[test]
fn types_that_only_arrow_takes_for_the_same_are_refused_by_the_names_of_their_makers() {
    for kind in 0..crate::columns::KINDS {
        let array = crate::columns::make(kind, &[1], 0);
        if *array.data_type() == DataType::Null {
            continue;
        }
        let named = |name: &str| {
            let field = Field::new("c", array.data_type().clone(), true);
            let field = field.with_metadata([("kask.dtype".to_owned(), name.to_owned())].into());
            let schema = Arc::new(Schema::new(vec![field]));
            let batch = RecordBatch::try_new(schema.clone(), vec![array.clone()]).expect("an array of the schema");
            Table::new(schema, vec![batch]).expect("its own schema")
        };
        assert!(all_in_one(&[named("int64"), named("int64")]).is_ok());
        let error = all_in_one(&[named("int64"), named("Int64")]).expect_err("two types").to_string();
        assert!(error.contains("\"c\" has the type int64 in some partitions and Int64 in partition 1"), "{error}");
    }
}

#[test]
fn wrong_assignments_are_refused() {
    let table = one_column(crate::columns::make(1, &[1, 2], 0));
    let grouping = Grouping::even(3, 1).expect("valid");
    assert!(matches!(split(&table, &[0], &grouping), Err(KernelError::WrongAssignment { rows: 2, assigned: 1 })));
    assert!(matches!(
        split(&table, &[0, 3], &grouping),
        Err(KernelError::NoSuchOutput { row: 1, output: 3, outputs: 3 })
    ));
}

/// No damage may do more harm than an error, wherever it is.
#[test]
fn damaged_parts_are_errors_and_never_panics() {
    let kinds: Vec<usize> = (0..crate::columns::KINDS).collect();
    let table = table(&kinds, &vec![(0..9).collect()], 0);
    let assignment: Vec<u32> = (0..9).map(|row| row % 4).collect();
    let part = split(&table, &assignment, &Grouping::even(4, 1).expect("valid")).expect("fits").remove(0);
    for len in 0..part.len() / 64 {
        assert!(merge(&[part.slice(..len * 64)]).is_err(), "cut to {len} lines");
    }
    for at in (0..part.len()).step_by(3) {
        for value in [0xff, 0x80, part[at].wrapping_add(1)] {
            let mut damaged = part.to_vec();
            damaged[at] = value;
            // Most of them are noticed; what is not must still be made of valid arrays.
            if let Ok(merged) = merge(&[damaged.into()]) {
                for column in merged.outputs.iter().flatten().flat_map(RecordBatch::columns) {
                    column.to_data().validate_full().expect("valid, if wrong");
                }
            }
        }
    }
}

/// Parts may come from anywhere in memory.
#[test]
fn parts_need_no_alignment() {
    let kinds: Vec<usize> = (0..crate::columns::KINDS).collect();
    let table = table(&kinds, &vec![(0..40).collect()], 0);
    let assignment: Vec<u32> = (0..40).map(|row| row % 3).collect();
    let grouping = Grouping::even(3, 1).expect("valid");
    let part = split(&table, &assignment, &grouping).expect("fits").remove(0);
    assert_eq!(part.as_ptr().align_offset(64), 0);
    let aligned = merge(std::slice::from_ref(&part)).expect("whole");
    for shift in [1, 4, 8] {
        let moved = bytes::Bytes::from([&vec![0; shift], part.as_ref()].concat()).slice(shift..);
        let merged = merge(&[moved]).expect("the same bytes");
        assert_eq!(merged.outputs, aligned.outputs);
    }
}

#[test]
fn dictionaries_keep_their_order_and_grow_their_keys() {
    let dictionary = |values: Vec<String>, keys: Vec<Option<i8>>| -> ArrayRef {
        let values = arrow_array::StringArray::from(values);
        Arc::new(arrow_array::DictionaryArray::new(arrow_array::Int8Array::from(keys), Arc::new(values)))
    };
    let names = |range: std::ops::Range<u32>| range.map(|n| format!("v{n}")).collect::<Vec<_>>();
    let first = dictionary(names(0..100), vec![Some(99), None, Some(0)]);
    let same = dictionary(names(0..100), vec![Some(5)]);
    let outputs = all_in_one(&[one_column(first.clone()), one_column(same)]).expect("equal dictionaries");
    let column = outputs[0][0].column(0);
    assert_eq!(column.data_type(), first.data_type());
    use arrow_array::cast::AsArray;
    assert_eq!(column.as_any_dictionary().values().as_ref(), first.as_any_dictionary().values().as_ref());

    let more = dictionary(names(50..160), vec![Some(0), Some(109)]);
    let outputs = all_in_one(&[one_column(first), one_column(more)]).expect("dictionaries of one type");
    let column = outputs[0][0].column(0).as_any_dictionary();
    assert_eq!(*column.keys().data_type(), arrow_schema::DataType::Int16);
    assert_eq!(column.values().len(), 160);
    assert_eq!(column.values().as_string::<i32>().value(159), "v159");
    assert_eq!(column.keys().as_primitive::<arrow_array::types::Int16Type>().values()[3..], [50, 159]);
}
