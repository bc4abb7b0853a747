//! When a table that was large for a while gives its memory back.

/// Tables for fewer entries than this are left as they are.
const SMALL: usize = 16 << 10;

/// The capacity that a table with room for `capacity` entries should shrink to now that only `len` are left; nothing while it
/// should stay as it is.
///
/// A table that never shrinks is as large as the largest burst ever was, and how bursts overlap is chance: over hours it
/// grows and grows. One that shrinks to twice what it holds when seven eighths are empty moves each entry once for many
/// that were removed.
///
/// ```
/// assert_eq!(kask_types::shrunk(20_000, 100_000), None);
/// assert_eq!(kask_types::shrunk(12_000, 100_000), Some(24_000));
/// assert_eq!(kask_types::shrunk(0, 100_000), Some(0));
/// assert_eq!(kask_types::shrunk(0, 1_000), None);
/// ```
#[must_use]
pub fn shrunk(len: usize, capacity: usize) -> Option<usize> {
    (capacity >= SMALL && len < capacity / 8).then_some(2 * len)
}
