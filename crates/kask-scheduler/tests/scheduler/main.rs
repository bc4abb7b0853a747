//! The scheduler driven event by event, with workers and clients that do what they are told.

mod arguments;
mod common;
mod copies;
mod lifecycle;
mod memory;
mod random_events;
mod recovery;
