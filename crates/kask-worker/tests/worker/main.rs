//! The worker core driven event by event.

mod budget;
mod common;
mod economy;
mod memory;
mod random;
mod transitions;
