//! What kind of run a seed stands for: sizes, speeds, settings, and which faults happen how often.
//!
//! Each class of fault is switched off in half of the runs, so that a fault's effects are also seen without those of
//! the others.

use crate::rng::Rng;

/// How often things happen, in thousandths of the occasions.
#[derive(Clone, Debug, Default)]
pub struct Rates {
    /// A task raises whenever it runs.
    pub raises: u32,
    /// A task raises at first.
    pub raises_first: u32,
    /// A task kills its worker whenever it runs.
    pub kills: u32,
    /// A task kills its worker at first.
    pub kills_first: u32,
    /// A task asks to be run elsewhere at first.
    pub reschedules: u32,
    /// A task leaves its runner.
    pub secedes: u32,
    /// A layer is restricted to a host.
    pub restricted: u32,
    /// A layer needs resources.
    pub resources: u32,
    /// A worker crashes.
    pub crash: u32,
    /// A worker freezes.
    pub freeze: u32,
    /// A worker joins where none is.
    pub join: u32,
    /// A fetch fails or is spoilt.
    pub fetch: u32,
    /// A link is slow.
    pub slow_link: u32,
    /// A client vanishes.
    pub vanish: u32,
    /// A client cancels.
    pub cancel: u32,
    /// A client lets go of results.
    pub unwant: u32,
    /// A client asks for failed work again.
    pub retry: u32,
    /// A client scatters.
    pub scatter: u32,
    /// A client submits and does not wait.
    pub detach: u32,
    /// A client submits what was submitted before.
    pub duplicate: u32,
    /// A client wants somebody else's result.
    pub want: u32,
    /// A client asks for copies.
    pub replicate: u32,
    /// A client lets workers go.
    pub retire: u32,
    /// A client restarts everything.
    pub restart: u32,
    /// A worker has too much to send.
    pub busy: u32,
    /// A disk is full for once.
    pub disk_full: u32,
    /// A disk fails, or a value cannot be written.
    pub disk_fails: u32,
    /// What is written is damaged.
    pub damage: u32,
    /// A process takes much more memory than its values.
    pub spikes: u32,
}

/// One run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Places for workers; each has a host name of its own.
    pub slots: u32,
    /// Workers at the start.
    pub workers: u32,
    /// Runners of each.
    pub nthreads: u32,
    /// Clients at a time.
    pub clients: u32,
    /// How many things the clients do, all together.
    pub steps: u32,
    /// Between two of them, in microseconds.
    pub pause_us: u64,
    /// Whether a supervisor restarts workers and explains deaths.
    pub supervisor: bool,
    /// One way through a link, in microseconds.
    pub latency_us: (u64, u64),
    /// How long a task takes, in microseconds.
    pub task_us: (u64, u64),
    /// What fits on a worker's disk while faults are on.
    pub disk_bytes: u64,
    /// How often a new process takes over the disk of the one before, in thousandths.
    pub adopts: u32,
    /// How often things happen.
    pub rates: Rates,
    /// The scheduler's settings.
    pub scheduler: kask_scheduler::Config,
    /// The workers' settings.
    pub worker: kask_worker::Config,
}

fn rate(rng: &mut Rng, most: u32) -> u32 {
    if rng.chance(500) { rng.between(1, u64::from(most)) as u32 } else { 0 }
}

impl Plan {
    /// Whether there may be values that cannot be spilled though memory is limited.
    pub fn has_full_disks(&self) -> bool {
        let memory = &self.worker.memory;
        let fails = self.rates.disk_full + self.rates.disk_fails > 0 || self.disk_bytes < u64::MAX;
        memory.limit_bytes > 0 && (fails || !memory.can_spill)
    }

    /// The run that belongs to a seed.
    pub fn draw(rng: &mut Rng) -> Plan {
        let rates = Rates {
            raises: rate(rng, 60),
            raises_first: rate(rng, 200),
            kills: rate(rng, 15),
            kills_first: rate(rng, 40),
            reschedules: rate(rng, 60),
            secedes: rate(rng, 150),
            restricted: rate(rng, 300),
            resources: rate(rng, 300),
            crash: rate(rng, 60),
            freeze: rate(rng, 100),
            join: rate(rng, 200),
            fetch: rate(rng, 200),
            slow_link: rate(rng, 300),
            vanish: rate(rng, 80),
            cancel: rate(rng, 150),
            unwant: rate(rng, 300),
            retry: rate(rng, 200),
            scatter: rate(rng, 200),
            detach: rate(rng, 100),
            duplicate: rate(rng, 300),
            want: rate(rng, 150),
            replicate: rate(rng, 100),
            retire: rate(rng, 60),
            restart: if rng.chance(100) { 40 } else { 0 },
            busy: rate(rng, 200),
            disk_full: rate(rng, 200),
            disk_fails: rate(rng, 60),
            damage: rate(rng, 100),
            spikes: rate(rng, 300),
        };
        let slots = rng.between(1, 5) as u32;
        let slow_network = rng.chance(300);
        let long_tasks = rng.chance(300);
        Plan {
            slots,
            workers: rng.between(1, u64::from(slots)) as u32,
            nthreads: rng.between(1, 3) as u32,
            clients: rng.between(1, 3) as u32,
            steps: rng.between(5, 40) as u32,
            pause_us: [200, 2_000, 20_000][rng.below(3) as usize],
            supervisor: rng.chance(600),
            latency_us: if slow_network { (1_000, 30_000) } else { (20, 500) },
            task_us: if long_tasks { (1_000, 100_000) } else { (1, 2_000) },
            disk_bytes: if rng.chance(200) { rng.between(1_000, 60_000) } else { u64::MAX },
            adopts: if rng.chance(300) { 500 } else { 1_000 },
            rates,
            scheduler: scheduler(rng),
            worker: worker(rng),
        }
    }
}

fn scheduler(rng: &mut Rng) -> kask_scheduler::Config {
    kask_scheduler::Config {
        heartbeat_timeout_ms: rng.between(1_500, 5_000),
        heartbeat_interval_ms: rng.between(100, 300),
        ahead_us: rng.between(100, 20_000),
        most_attempts: rng.between(2, 64) as u32,
        balance_interval_ms: rng.between(1, 20),
        steal_lease_ms: rng.between(20, 500),
        certificate_wait_ms: rng.between(10, 500),
        unknown_duration_us: rng.between(10, 10_000) as u32,
        rest_ms: rng.between(5, 300),
        allowed_hand_backs: rng.between(2, 100) as u32,
        return_grace_ms: rng.below(100),
        relief_interval_ms: rng.between(5, 100),
        relief_bytes: rng.between(1, 100_000),
        ..kask_scheduler::Config::default()
    }
}

fn worker(rng: &mut Rng) -> kask_worker::Config {
    kask_worker::Config {
        fetch_concurrency: rng.between(1, 8) as usize,
        fetch_batch_bytes: rng.between(1, 50_000),
        fetch_batch_count: rng.between(1, 20) as usize,
        fetch_timeout_ms: rng.between(1_000, 10_000),
        ahead_ns: rng.between(1_000, 2_000_000),
        memory: memory(rng),
        ..kask_worker::Config::default()
    }
}

/// Half of the clusters have workers whose memory holds from two values to some dozens.
fn memory(rng: &mut Rng) -> kask_worker::MemoryConfig {
    kask_worker::MemoryConfig {
        limit_bytes: if rng.chance(500) { rng.between(8_000, 120_000) } else { 0 },
        target_milli: rng.between(300, 800) as u32,
        pause_milli: rng.between(600, 950) as u32,
        can_spill: !rng.chance(100),
        checkpoints: rng.chance(700),
    }
}
