//! How fast array blocks are copied: `cargo run --release -p kask-kernels --example block_speed [MB]`.
//!
//! Beside each other: one `memcpy` of the array, a transposed copy, and a rechunk from blocks of rows to blocks of columns
//! through parts (every element copied twice). Rates count the array's bytes once, and the time that this thread had a core.
//! Memory was used before, so that the machine's zeroing of pages is not measured.

use bytes::Bytes;
use kask_kernels::{Block, BlockMut, Chunks, Grouping, assemble_block, c_strides, copy_box, split_block};
use std::time::Duration;

/// Time on a core, from what Linux counts for each thread.
fn on_core() -> Duration {
    let stats = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux counts the time of threads");
    Duration::from_nanos(stats.split(' ').next().and_then(|word| word.parse().ok()).expect("nanoseconds come first"))
}

fn measure(what: &str, bytes: usize, mut work: impl FnMut()) {
    work();
    let best = (0..3).map(|_| {
        let start = on_core();
        work();
        on_core() - start
    });
    let best = best.min().expect("three runs");
    println!("  {what:<44} {:6.0} ms  {:6.2} GB/s", best.as_secs_f64() * 1e3, bytes as f64 / best.as_secs_f64() / 1e9);
}

fn rechunk(source: &[u8], side: usize, pieces: usize, itemsize: usize, target: &mut [u8]) {
    let size = (side / pieces) as u64;
    let columns = Chunks::new(&[vec![side as u64], vec![size; pieces]]).expect("chunks");
    let grouping = Grouping::even(columns.count(), 4).expect("valid");
    let block_bytes = source.len() / pieces;
    let splits: Vec<Vec<Bytes>> = source
        .chunks_exact(block_bytes)
        .enumerate()
        .map(|(number, bytes)| {
            let block = Block::contiguous(bytes, itemsize, &[side / pieces, side]).expect("fits");
            split_block(&block, &[number as u64 * size, 0], &columns, &grouping, b"").expect("within the array")
        })
        .collect();
    for group in 0..grouping.groups() {
        let outputs = grouping.outputs_of(group);
        for output in outputs.clone() {
            let bytes = &mut target[output as usize * block_bytes..][..block_bytes];
            let mut block = BlockMut::contiguous(bytes, itemsize, &[side, side / pieces]).expect("fits");
            let parts = splits.iter().map(|parts| parts[group].as_ref());
            assemble_block(&mut block, output - outputs.start, parts).expect("all parts are there");
        }
    }
}

fn main() {
    let megabytes: usize = std::env::args().nth(1).map_or(512, |arg| arg.parse().expect("a size in megabytes"));
    for itemsize in [8, 4, 1] {
        let side = ((megabytes << 20) / itemsize).isqrt() / 64 * 64;
        let bytes = side * side * itemsize;
        println!("{side} x {side} elements of {itemsize} bytes, {:.0} MB", bytes as f64 / 1e6);
        let source: Vec<u8> = (0..bytes).map(|i| i as u8).collect();
        let mut target = vec![1_u8; bytes];
        measure("memcpy", bytes, || target.copy_from_slice(std::hint::black_box(&source)));
        let shape = [side, side];
        let strides = c_strides(itemsize, &shape);
        let block = Block::new(&source, itemsize, 0, &shape, &[strides[1], strides[0]]).expect("fits");
        measure("transposed copy", bytes, || {
            let mut goal = BlockMut::contiguous(&mut target, itemsize, &shape).expect("fits");
            copy_box(&block, &[0, 0], &mut goal, &[0, 0], &shape).expect("within both");
        });
        for pieces in [8, 64] {
            let what = format!("rechunk, {pieces} blocks of rows to columns");
            measure(&what, bytes, || rechunk(&source, side, pieces, itemsize, &mut target));
        }
    }
}
