//! The worker core: what to fetch, run, keep and refuse. No I/O, no clock.
//!
//! Start with [`Worker::handle`] (in `worker.rs`): it takes an [`Event`]; [`Worker::poll_action`] then gives the
//! [`Action`]s that follow from it, and [`Worker::next_deadline`] says when the next [`Event::Tick`] is due.
//!
//! * `attempts` holds the attempts and the order in which they run, `compute` moves them through their states: *parked*,
//!   *waiting* for inputs, *ready*, *handed out*. An attempt never changes its mind: what is cancelled stays so.
//! * `values` knows which values are here, in memory or on disk; `inputs` ties them to the attempts that need them;
//!   `fetcher` decides whom to ask for which value.
//! * `memory` is the budget, `admission` says what may go on under it, `victims` which values leave memory, `spill` takes the
//!   disk's answers, `pressure` tells the scheduler how this worker stands. Without a memory limit, all is admitted
//!   at once and these have nothing to do.
//! * `families` learns how long tasks take and how large their results are.
//! * `outbox` gathers actions and merges messages.
//! * `check` compares all of these with each other; tests call it after every event.

mod admission;
mod api;
mod attempts;
mod blobs;
mod check;
mod compute;
mod families;
mod fetcher;
mod inputs;
mod memory;
mod outbox;
mod pressure;
mod ready;
mod spill;
mod values;
mod victims;
mod worker;

pub use api::{Action, Config, Event, MemoryConfig, Outcome, ProtocolError, SpillProblem, TaskDone};
pub use worker::Worker;
