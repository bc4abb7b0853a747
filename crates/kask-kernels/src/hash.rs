//! A hash of rows by value: the same on every machine, in every process, and however the values are stored.
//!
//! Equal values hash equally across integer widths, integers and floats (`1 == 1.0 == True`), decimals of any scale,
//! string and binary types, time units, and dictionaries of any of these. `-0.0` is `0.0`, and one NaN is another;
//! a null hashes like a null.
//!
//! **Algorithm** (changing it changes where rows go, so it is fixed and tested against recorded values). The only step is
//! `fold(a, b)`: multiply two 64-bit words to 128 bits and xor the halves.
//!
//! - A word `w` (an integer as 64 bits of two's complement, sign extended) hashes to `fold(fold(w ^ K0, K1) ^ K2, K3)`.
//! - A float with an integral value in the range of `i64` hashes as that integer, any other as the word of its bits as
//!   a double, xor `K5`.
//! - Bytes are read as little-endian words, 16 bytes a step, the last 16 overlapping those before: `h = fold(a ^ K0, b ^ h)`.
//!   Up to 16 bytes are two words that may overlap. In the end `fold(fold(a ^ K0, b ^ K1 ^ h) ^ len, K2)`.
//! - A moment is its whole seconds as an integer; if there is a fraction, `join(seconds, nanoseconds)`. A date is its midnight.
//! - A decimal is stripped of trailing zeros; one that is an integer in the range of `i64` hashes as that, any other joins
//!   its mantissa's bytes with its scale.
//! - Columns are joined from left to right, beginning with 0: `join(state, h) = fold(rotate_left(state, 23) ^ h ^ K4, K3)`.
//!
//! It spreads well and is fast; it does not withstand somebody who chooses keys to collide.

mod scalar;
mod values;

use crate::error::KernelError;
use crate::table::Table;
pub use scalar::{fold, join, of_bytes, of_word};
use values::hash_values;

/// One hash for each row of the table, of the values in these columns.
pub fn hash_rows(table: &Table, columns: &[usize]) -> Result<Vec<u64>, KernelError> {
    let mut state = vec![0_u64; table.num_rows()];
    let mut start = 0;
    for batch in table.batches() {
        let rows = &mut state[start..start + batch.num_rows()];
        start += batch.num_rows();
        for &column in columns {
            let hashes = hash_values(batch.column(column)).map_err(|data_type| KernelError::UnsupportedKey {
                name: table.schema().field(column).name().clone(),
                data_type: data_type.to_string(),
                purpose: "a key to shuffle by",
            })?;
            for (state, hash) in rows.iter_mut().zip(hashes) {
                *state = join(*state, hash);
            }
        }
    }
    Ok(state)
}

/// An evenly spread number below `outputs` for each hash, taken from its high bits.
pub(crate) fn reduce(hash: u64, outputs: u32) -> u32 {
    ((u128::from(hash) * u128::from(outputs)) >> 64) as u32
}
