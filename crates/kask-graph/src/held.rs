//! How many values an order of running holds at once.

use crate::adjacency::Csr;

/// The most results held at any moment when tasks run one after another in `sequence`.
///
/// A result is held from its task's run until its last reader has run; those of `kept` until the end. While a
/// task runs, its inputs and its result are held. Externals are not counted, nor are results that nobody reads
/// and nobody keeps held beyond their own run.
///
/// ```
/// # use kask_graph::{peak_held, Csr};
/// // A chain of three holds two at a time; three roots read by one task are four.
/// let mut chain = Csr::new(3);
/// chain.push_row(1, [0]);
/// chain.push_row(2, [1]);
/// assert_eq!(peak_held(&chain, &[], &[0, 1, 2]), 2);
/// let mut fan = Csr::new(4);
/// fan.push_row(3, [0, 1, 2]);
/// assert_eq!(peak_held(&fan, &[3], &[0, 1, 2, 3]), 4);
/// ```
pub fn peak_held(inputs: &Csr, kept: &[u32], sequence: &[u32]) -> usize {
    let tasks = inputs.len();
    let mut reads_left = vec![0u32; tasks];
    for &id in sequence {
        for &input in inputs.row(id).iter().filter(|&&input| (input as usize) < tasks) {
            reads_left[input as usize] += 1;
        }
    }
    for &id in kept {
        reads_left[id as usize] |= 1 << 31;
    }
    let (mut held, mut peak) = (0usize, 0);
    for &id in sequence {
        held += 1;
        peak = peak.max(held);
        for &input in inputs.row(id).iter().filter(|&&input| (input as usize) < tasks) {
            reads_left[input as usize] -= 1;
            held -= usize::from(reads_left[input as usize] == 0);
        }
        held -= usize::from(reads_left[id as usize] == 0);
    }
    peak
}
