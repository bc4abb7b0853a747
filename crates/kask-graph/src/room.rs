//! How much of its memory limit a worker has for one task.
//!
//! A process is ended soon after it takes more than 950 thousandths of its limit, whatever it is that takes it. Workers
//! therefore keep to [`PROCESS_MILLI`] of it, and of that the interpreter and the libraries that tasks import have their
//! part before any value is there. The part is a constant: a graph that is refused must be refused each time, and not
//! depend on what a worker happened to have imported when it was asked.

/// What a process may take, values and all else, in thousandths of the limit. It is ended when it stays above 950 of
/// them, and what it takes beside its values (buffers for compression, say) varies by more than is measured.
pub const PROCESS_MILLI: u64 = 900;

/// What the interpreter and imported libraries take: 20 MiB with NumPy, 70 MiB with pandas, Arrow and Polars.
const BASE_BYTES: u64 = 48 << 20;

/// What one task may take, inputs included, of a worker with this limit. Of a small limit it is a half.
///
/// ```
/// assert_eq!(kask_graph::usable_bytes(1000 << 20), 852 << 20);
/// assert_eq!(kask_graph::usable_bytes(60 << 20), 30 << 20);
/// ```
pub fn usable_bytes(limit_bytes: u64) -> u64 {
    let share = (u128::from(limit_bytes) * u128::from(PROCESS_MILLI) / 1000) as u64;
    share.saturating_sub(BASE_BYTES).max(limit_bytes / 2)
}

/// The smallest limit with which a worker has room for a task that takes so much.
///
/// ```
/// assert_eq!(kask_graph::fitting_limit(852 << 20), 1000 << 20);
/// ```
pub fn fitting_limit(needs_bytes: u64) -> u64 {
    let with_base = (u128::from(needs_bytes) + u128::from(BASE_BYTES)) * 1000;
    let large = with_base.div_ceil(PROCESS_MILLI.into()).min(u64::MAX.into()) as u64;
    large.min(needs_bytes.saturating_mul(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fitting_limit_is_the_smallest_one_that_fits() {
        for shift in 0..50 {
            for needs in [(1_u64 << shift) - 1, 1 << shift, (1 << shift) + 12_345, 3 << shift] {
                let limit = fitting_limit(needs);
                assert!(usable_bytes(limit) >= needs, "{needs}");
                assert!(limit == 0 || usable_bytes(limit - 1) < needs, "{needs}");
            }
        }
        assert_eq!(usable_bytes(u64::MAX), (u128::from(u64::MAX) * 9 / 10) as u64 - BASE_BYTES);
        assert_eq!(fitting_limit(u64::MAX), u64::MAX);
    }

    #[test]
    fn a_worker_with_room_for_a_task_is_not_ended_for_it() {
        for mib in [120_u64, 256, 400, 1024, 1 << 20] {
            let (limit, numpy) = (mib << 20, 20 << 20);
            assert!((usable_bytes(limit) + numpy) as f64 <= limit as f64 * 0.95, "{mib} MiB");
        }
    }
}
