//! The client: submits graphs, follows futures, gathers results straight from the workers.
//!
//! [`Client`] is the whole interface; [`state`] is its table of futures, which the scheduler's messages change and waiters
//! watch. Every blocking call takes a time limit and a closure that says when the user wants to stop waiting.

mod client;
mod gather;
mod pins;
mod requests;
mod scatter;
mod signal;
pub mod state;

pub use client::{Client, ClientError, Connector};
pub use scatter::{PayloadOf, Scatter};
pub use signal::{Interrupted, WaitError};
pub use state::Status;
