//! Tables and blocks taken apart and put together, against what Rust's own collections make.

mod assignment;
mod blocks;
mod columns;
mod tables;
