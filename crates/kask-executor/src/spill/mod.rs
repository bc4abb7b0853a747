//! Values on disk: a worker's spill folder.
//!
//! A [`SpillDir`] writes values to files, maps them back, and forgets them. Start with `folder.rs` (the public type and what
//! it does in which order); `record.rs` is how one value lies in a file, `writer.rs` how large ones get there without passing
//! through the page cache, `packs.rs` where small ones are put together, `ledger.rs` the list of what is there, `quota.rs` how
//! much may be there, `os.rs` and `mapping.rs` what is asked of the operating system.
//!
//! What always holds:
//! - A value exists when the ledger lists it. It is listed after its last byte has been written, so nothing half-written is
//!   ever read, wherever the process was killed; files that the ledger does not list are removed by the next owner.
//! - Every byte that is read back is covered by a checksum; what does not match is [`SpillError::Damaged`], never a value.
//! - A value that was read stays readable after it has been removed: its mapping keeps the file's content.
//! - Files are written once, never in place. A mapping is private to its reader: writing to it does not reach the file.

mod compression;
mod error;
mod folder;
mod ledger;
mod mapping;
mod os;
mod packs;
mod quota;
mod read;
mod record;
mod stats;
#[cfg(test)]
mod tests;
mod write;
mod writer;

pub use compression::Compression;
pub use error::{FullCause, SpillError};
pub use folder::{Content, SpillDir, SpillOptions, Spilled};
pub use stats::SpillStats;
