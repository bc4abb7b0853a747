//! Into how many groups a shuffle merges its outputs.

/// Outputs are merged one by one up to this number; with more of them a merge makes several, so that parts do not get tiny. A merge
/// holds its parts and what it makes of them, and each runner has one: with fewer merges they get too large for data of
/// many times the memory.
const SINGLE_GROUPS: u32 = 256;

/// How many merges make so many outputs.
///
/// ```
/// # use kask_graph::merge_groups;
/// assert_eq!((merge_groups(10), merge_groups(1_000), merge_groups(1_000_000)), (10, 256, 2_000));
/// ```
pub fn merge_groups(outputs: u32) -> u32 {
    outputs.min(SINGLE_GROUPS.max(2 * outputs.isqrt()))
}

/// How many outputs a shuffle of so many bytes needs so that no merge, which holds its parts and what it makes of them, takes
/// more than the limit.
///
/// ```
/// # use kask_graph::{fitting_outputs, merge_groups};
/// let outputs = fitting_outputs(1 << 40, 1 << 30);
/// assert!((2 << 40) / u64::from(merge_groups(outputs as u32)) <= 1 << 30);
/// ```
pub fn fitting_outputs(total_bytes: u64, limit_bytes: u64) -> u64 {
    let merges = total_bytes.saturating_mul(2).div_ceil(limit_bytes.max(1));
    if merges <= SINGLE_GROUPS.into() {
        return merges.max(1);
    }
    // Merges are twice the root of the outputs; with a number that four divides, each makes equally many.
    let merges = merges.next_multiple_of(4);
    merges.saturating_mul(merges) / 4
}
