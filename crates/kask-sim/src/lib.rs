//! A whole seeded cluster of scheduler and worker cores under a virtual clock and network, with faults.
//!
//! [`run`] takes a seed. Everything follows from it: how many workers and clients there are, what they do, how long each
//! message and task takes, which faults happen and when. After the faults the cluster is healed, and then everything
//! wanted must end: with the value that a serial run gives, or with a failure for which the run gave a reason. When nobody
//! wants anything any more, nothing may be left. The invariants of each core are checked after each of its events.
//!
//! Start with [`swarm`] (what a seed stands for) and `world.rs` (the loop). `model` says what should come out;
//! `graphs` draws work, `clients` is what clients do with it, `nodes` and `disks` are the shell around a worker core,
//! `faults` is what goes wrong, `ending` is the healing and the reckoning.

mod call;
mod clients;
mod disks;
mod ending;
mod expand;
mod faults;
mod graphs;
mod model;
mod network;
mod node;
mod nodes;
mod rng;
pub mod swarm;
mod world;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use world::World;

/// How to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Print every event to standard error.
    pub trace: bool,
    /// How many of the last events a failure tells.
    pub remember: usize,
    /// A bug to plant, to see that it is found.
    pub planted: Option<Planted>,
}

impl Default for Options {
    fn default() -> Options {
        Options { trace: false, remember: 60, planted: None }
    }
}

/// Bugs of the simulated surroundings that a run must not survive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// The network loses one message with results.
    LostFinished,
    /// A runner gives a wrong value once.
    WrongValue,
    /// The network loses a message that frees values.
    LostFree,
    /// A function reaches a worker after the message that follows it.
    Reordered,
    /// The network loses a message that cancels attempts.
    LostCancel,
    /// The network loses the news that a peer has left.
    LostPeerLeft,
    /// A shell reads a value back and does not say so.
    LostUnspilled,
    /// A shell gives up a value's memory when it has only been asked to write a copy.
    SpillEvicts,
}

/// What a run that went well was like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Events handled.
    pub events: u64,
    /// Virtual time at the end.
    pub virtual_ms: u64,
    /// Tasks that were submitted.
    pub tasks: u64,
    /// Calls that ended.
    pub calls: u64,
    /// Values compared with the serial ones.
    pub compared: u64,
    /// Wanted keys that failed, each for a reason.
    pub failures: u64,
    /// Worker processes that died.
    pub deaths: u64,
    /// Worker processes that froze.
    pub freezes: u64,
    /// Values written to disk.
    pub spilled: u64,
    /// Values that new processes found on the disks of earlier ones.
    pub adopted: u64,
    /// Attempts that workers gave back for want of room.
    pub handed_back: u64,
    /// Depends on everything that happened, in order.
    pub digest: u64,
}

/// A run that did not go well.
#[derive(Clone, Debug)]
pub struct Failure {
    /// Which run.
    pub seed: u64,
    /// What was wrong.
    pub message: String,
    /// The last events before it was found.
    pub trace: Vec<String>,
}

impl std::error::Error for Failure {}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.trace {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "seed {}: {}", self.seed, self.message)?;
        write!(f, "replay: cargo run -p kask-sim --example replay -- {} --trace", self.seed)
    }
}

/// Runs what a seed stands for.
///
/// ```
/// let report = kask_sim::run(1, &kask_sim::Options::default()).unwrap();
/// assert!(report.events > 0);
/// ```
pub fn run(seed: u64, options: &Options) -> Result<Report, Failure> {
    match attempt(seed, options, options.trace) {
        Ok(report) => Ok(report),
        Err(failure) if options.trace => Err(failure),
        // A run is what its seed says: the second time, it tells what it does.
        Err(failure) => Err(attempt(seed, options, true).err().unwrap_or(failure)),
    }
}

fn attempt(seed: u64, options: &Options, tell: bool) -> Result<Report, Failure> {
    let mut world = World::new(seed, options.clone(), tell);
    let outcome = catch_unwind(AssertUnwindSafe(|| world.run()));
    let message = match outcome {
        Ok(Ok(report)) => return Ok(report),
        Ok(Err(message)) => message,
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
                .unwrap_or_else(|| "a panic without text".to_owned())
        }
    };
    Err(Failure { seed, message, trace: world.told() })
}
