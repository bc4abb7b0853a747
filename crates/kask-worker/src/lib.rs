//! The worker core: what to fetch, run, keep and refuse. No I/O, no clock.
//!
//! Start with [`Worker::handle`] (in `worker.rs`): it takes an [`Event`]; [`Worker::poll_action`] then gives the
//! [`Action`]s that follow from it, and [`Worker::next_deadline`] says when the next [`Event::Tick`] is due.
//!
//! * `attempts` holds the attempts and the order in which they run, `compute` moves them through their states:
//!   *waiting* for inputs, *ready*, *handed out*. An attempt never changes its mind: what is cancelled stays so.
//! * `inputs` ties values to the attempts that wait for them; `fetcher` decides whom to ask for which value.
//! * `families` learns how long tasks take, which says how many of them a runner should have in hand.
//! * `outbox` gathers actions and merges messages.
//! * `check` compares all of these with each other; tests call it after every event.

mod api;
mod attempts;
mod blobs;
mod check;
mod compute;
mod families;
mod fetcher;
mod inputs;
mod outbox;
mod ready;
mod worker;

pub use api::{Action, Config, Event, Outcome, ProtocolError, TaskDone};
pub use worker::Worker;
