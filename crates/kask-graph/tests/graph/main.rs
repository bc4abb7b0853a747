//! Graphs expanded, ordered and weighed, and the chunk arithmetic.

mod chunks;
mod common;
mod expansion;
mod ordering;
mod peak;
mod properties;
mod rechunk;
