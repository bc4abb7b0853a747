//! What users may set of how workers deal with their memory, in words.

use crate::process::WorkerProcessConfig;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use thiserror::Error;

/// Whether spilled values are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SpillCompression {
    /// When a sample of the value says that it pays.
    #[default]
    Auto,
    /// Always, with LZ4.
    Lz4,
    /// Never.
    Off,
}

/// What a worker may use: of memory, and of the disk for what does not fit.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct MemoryOptions {
    /// Budget in bytes; 0 for none.
    pub limit_bytes: u64,
    /// Share of the budget above which values are spilled; 0 leaves it to the worker.
    pub target: f64,
    /// A private folder for spilled values; without one nothing is spilled.
    pub spill_directory: Option<PathBuf>,
    /// What is to go with this process however it ends, once something is in the spill folder: where that is the worker's own.
    pub goes_with_process: Option<PathBuf>,
    /// Most bytes that may be on disk; 0 for no such limit.
    pub spill_max_bytes: u64,
    /// Bytes of the file system that stay free; the worker decides when this is nothing.
    pub spill_reserve_bytes: Option<u64>,
    /// Whether spilled values are compressed.
    pub spill_compression: SpillCompression,
    /// Whether results of which a checkpoint is asked are written before their room is needed: of use where the disk outlives the
    /// process.
    pub checkpoints: bool,
}

impl WorkerProcessConfig {
    /// The same with these options, but for the folder: each place has its own.
    pub fn with_memory(self, options: &MemoryOptions) -> WorkerProcessConfig {
        WorkerProcessConfig {
            memory_limit_bytes: options.limit_bytes,
            memory_target: options.target,
            spill_max_bytes: options.spill_max_bytes,
            spill_reserve_bytes: options.spill_reserve_bytes,
            spill_compression: options.spill_compression,
            checkpoints: options.checkpoints,
            ..self
        }
    }

    /// What it says of memory.
    pub fn memory_options(&self) -> MemoryOptions {
        MemoryOptions {
            limit_bytes: self.memory_limit_bytes,
            target: self.memory_target,
            spill_directory: self.spill_directory.clone(),
            goes_with_process: None,
            spill_max_bytes: self.spill_max_bytes,
            spill_reserve_bytes: self.spill_reserve_bytes,
            spill_compression: self.spill_compression,
            checkpoints: self.checkpoints,
        }
    }
}

/// A word that names no way to compress.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("spilled values can be compressed as \"auto\", \"lz4\" or \"off\", not {0:?}")]
pub struct UnknownCompression(String);

impl FromStr for SpillCompression {
    type Err = UnknownCompression;

    fn from_str(text: &str) -> Result<SpillCompression, UnknownCompression> {
        match text {
            "auto" => Ok(SpillCompression::Auto),
            "lz4" => Ok(SpillCompression::Lz4),
            "off" => Ok(SpillCompression::Off),
            other => Err(UnknownCompression(other.to_owned())),
        }
    }
}

impl fmt::Display for SpillCompression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SpillCompression::Auto => "auto",
            SpillCompression::Lz4 => "lz4",
            SpillCompression::Off => "off",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_read_back_and_others_are_refused() {
        for compression in [SpillCompression::Auto, SpillCompression::Lz4, SpillCompression::Off] {
            assert_eq!(compression.to_string().parse(), Ok(compression));
            let json = serde_json::to_string(&compression).expect("a word");
            assert_eq!(json, format!("\"{compression}\""));
        }
        let problem = "brotli".parse::<SpillCompression>().expect_err("not one of ours").to_string();
        assert!(problem.contains("brotli") && problem.contains("lz4"), "{problem}");
    }
}
