//! What can be set on a scheduler, and what it assumes until it has learned better.

/// Settings of a [`crate::Scheduler`]. Start from [`Config::default`].
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// A worker that is silent for longer is taken for frozen and cut off.
    pub heartbeat_timeout_ms: u64,
    /// How often a worker is asked to show that it lives; kept below a third of the timeout.
    pub heartbeat_interval_ms: u64,
    /// A task that was on so many workers when they died fails.
    pub allowed_deaths: u32,
    /// A task that was on so many workers when they died of whatever cause, lack of memory included, fails.
    pub allowed_memory_deaths: u32,
    /// A task whose inputs could not be decoded this many times in a row fails.
    pub allowed_fetch_failures: u32,
    /// How long to wait for the supervisor's account of a death before a task is blamed for it.
    pub certificate_wait_ms: u64,
    /// A steal that is not answered for this long no longer holds up the next one.
    pub steal_lease_ms: u64,
    /// How often work is rebalanced at most.
    pub balance_interval_ms: u64,
    /// How long a task of a family that never ran is assumed to take, in microseconds.
    pub unknown_duration_us: u32,
    /// A worker has no room once each of its runners has this much work before it, in microseconds.
    pub ahead_us: u64,
    /// A worker has no room once it has this many attempts, however short they are.
    pub most_attempts: u32,
    /// What a transfer costs before its first byte, in microseconds.
    pub transfer_latency_us: u64,
    /// What each value of a transfer costs besides its bytes, in microseconds.
    pub transfer_value_us: u64,
    /// Bytes that workers are assumed to exchange in a microsecond.
    pub transfer_bytes_per_us: u64,
    /// How large the result of a task is assumed to be whose family never ran.
    pub unknown_result_bytes: u64,
    /// The share of a worker's memory limit, in thousandths, that results may take before some of them are expected to
    /// be spilled.
    pub memory_target_milli: u64,
    /// Bytes that workers are assumed to write to disk and read back in a microsecond.
    pub spill_bytes_per_us: u64,
    /// How long nothing is sent to a worker that gave attempts back, unless it says that its pressure changed.
    pub rest_ms: u64,
    /// A task that workers without other work gave back so many times, with none that has room, fails.
    pub allowed_hand_backs: u32,
    /// How long to wait for a worker that is started again to come back with the values on its disk. Only what takes
    /// longer to compute is waited for.
    pub return_grace_ms: u64,
    /// How often values are moved away from workers without room.
    pub relief_interval_ms: u64,
    /// So many bytes at once are being moved away from a worker without room.
    pub relief_bytes: u64,
    /// A submission may have so many tasks and inputs.
    pub limits: kask_graph::Limits,
    /// How often a copy of a value is tried on other workers before the attempt to copy is given up.
    pub copy_tries: u32,
    /// For how long a copy is tried again because a worker that has the value, or should get it, is busy.
    pub copy_patience_ms: u64,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            heartbeat_timeout_ms: 30_000,
            heartbeat_interval_ms: 1_000,
            allowed_deaths: 3,
            allowed_memory_deaths: 5,
            allowed_fetch_failures: 5,
            certificate_wait_ms: 500,
            steal_lease_ms: 2_000,
            balance_interval_ms: 2,
            unknown_duration_us: 5_000,
            ahead_us: 10_000,
            most_attempts: 4_096,
            transfer_latency_us: 1_000,
            transfer_value_us: 50,
            transfer_bytes_per_us: 100,
            unknown_result_bytes: 1 << 20,
            memory_target_milli: 700,
            spill_bytes_per_us: 500,
            rest_ms: 100,
            allowed_hand_backs: 100,
            return_grace_ms: 2_000,
            relief_interval_ms: 50,
            relief_bytes: 128 << 20,
            limits: kask_graph::Limits { tasks: 100_000_000, inputs: 1_000_000_000 },
            copy_tries: 3,
            copy_patience_ms: 60_000,
        }
    }
}

impl Config {
    /// The heartbeat interval that workers are told: the one that was set, or less when the timeout is short.
    ///
    /// ```
    /// # use kask_scheduler::Config;
    /// let config = Config { heartbeat_timeout_ms: 1_500, ..Config::default() };
    /// assert_eq!(config.told_heartbeat_ms(), 499);
    /// ```
    pub fn told_heartbeat_ms(&self) -> u64 {
        let below_third = (self.heartbeat_timeout_ms / 3).saturating_sub(1);
        self.heartbeat_interval_ms.min(below_third).max(1)
    }
}
