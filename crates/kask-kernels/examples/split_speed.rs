//! How fast tables are split and merged: `cargo run --release -p kask-kernels --example split_speed [MB]`.
//!
//! A table of four columns (two keys, a number and a string, a tenth of the numbers null) in partitions of 64 MB is split
//! by the hash of both keys, and all groups are merged, on one thread. Rates count the table's bytes once, and the time that
//! this thread had a core.

use arrow_array::{Float64Array, Int64Array, RecordBatch, StringArray};
use kask_kernels::{Grouping, PART_ALIGNMENT, PartitionBy, SplitPlan, Table, assign, merge, split};
use std::sync::Arc;
use std::time::Duration;

const PARTITION_BYTES: usize = 64 << 20;

/// Time on a core, from what Linux counts for each thread; other programs do not disturb it much.
fn on_core() -> Duration {
    let stats = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux counts the time of threads");
    Duration::from_nanos(stats.split(' ').next().and_then(|word| word.parse().ok()).expect("nanoseconds come first"))
}

/// Numbers without any pattern (the finaliser of splitmix64).
fn scrambled(index: u64) -> u64 {
    let mut word = index.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word ^ (word >> 27)
}

fn partition(number: usize) -> Table {
    // 8 + 8 + 8 bytes of numbers, 4 of offset and 12 of string.
    let rows = PARTITION_BYTES / 40;
    let seeds = || (0..rows as u64).map(move |row| scrambled(row + (number * rows) as u64));
    let day = Int64Array::from_iter_values(seeds().map(|seed| (seed % 3650) as i64));
    let customer = Int64Array::from_iter_values(seeds().map(|seed| (seed >> 20) as i64 % 1_000_000));
    let price: Float64Array = seeds().map(|seed| (seed % 10 != 0).then_some(seed as f64)).collect();
    let note = StringArray::from_iter_values(
        seeds().map(|seed| format!("{:0width$}", seed % 1000, width = 5 + (seed % 15) as usize)),
    );
    let columns: [(&str, arrow_array::ArrayRef); 4] = [
        ("day", Arc::new(day)),
        ("customer", Arc::new(customer)),
        ("price", Arc::new(price)),
        ("note", Arc::new(note)),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true)))
        .expect("equal lengths");
    Table::new(batch.schema(), vec![batch]).expect("its own schema")
}

fn report(what: &str, bytes: usize, time: Duration) {
    println!("  {what:<28} {:7.0} ms  {:6.2} GB/s", time.as_secs_f64() * 1e3, bytes as f64 / time.as_secs_f64() / 1e9);
}

fn run(tables: &[Table], bytes: usize, outputs: u32, groups: u32) {
    println!("{outputs} outputs in {groups} groups");
    let grouping = Grouping::even(outputs, groups).expect("valid");
    let by = PartitionBy::Hash { columns: vec!["day".to_owned(), "customer".to_owned()] };
    let (mut assigning, mut splitting, mut again) = (Duration::ZERO, Duration::ZERO, Duration::ZERO);
    let (mut splits, mut used) = (Vec::new(), Vec::<u8>::new());
    for table in tables {
        let start = on_core();
        let assignment = assign(table, &by, outputs).expect("keys");
        assigning += on_core() - start;
        let start = on_core();
        splits.push(split(table, &assignment, &grouping).expect("fits"));
        splitting += on_core() - start;
        let plan = SplitPlan::new(table, &assignment, &grouping).expect("fits");
        used.resize(used.len().max(plan.nbytes() + PART_ALIGNMENT), 1);
        drop(plan);
        let start = on_core();
        let plan = SplitPlan::new(table, &assignment, &grouping).expect("fits");
        let first = used.as_ptr().align_offset(PART_ALIGNMENT);
        plan.write(&mut used[first..first + plan.nbytes()]);
        again += on_core() - start;
    }
    let start = on_core();
    let mut rows = 0;
    for group in 0..grouping.groups() {
        let parts: Vec<_> = splits.iter().map(|parts| parts[group].clone()).collect();
        let merged = merge(&parts).expect("parts of one group");
        rows += merged.outputs.iter().flatten().map(RecordBatch::num_rows).sum::<usize>();
    }
    let merging = on_core() - start;
    assert_eq!(rows, tables.iter().map(Table::num_rows).sum::<usize>());
    report("hash", bytes, assigning);
    report("split", bytes, splitting);
    report("split into used memory", bytes, again);
    report("merge", bytes, merging);
    report("all", bytes, assigning + splitting + merging);
}

fn main() {
    let megabytes: usize = std::env::args().nth(1).map_or(512, |arg| arg.parse().expect("a size in megabytes"));
    let tables: Vec<Table> = (0..(megabytes << 20).div_ceil(PARTITION_BYTES)).map(partition).collect();
    let bytes = tables.iter().flat_map(Table::batches).map(|batch| batch.get_array_memory_size()).sum();
    println!(
        "{} rows, {:.0} MB in {} partitions",
        tables.iter().map(Table::num_rows).sum::<usize>(),
        bytes as f64 / 1e6,
        tables.len()
    );
    for (outputs, groups) in [(100, 10), (1_000, 32), (10_000, 100)] {
        run(&tables, bytes, outputs, groups);
    }
}
