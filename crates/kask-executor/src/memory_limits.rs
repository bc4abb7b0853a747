//! How much memory this process and its workers may use, and how much of it is in use.
//!
//! The one answer behind `memory_limit="auto"` everywhere. Start at [`MemoryLimits`]: what all processes share is limited by the machine
//! and by control groups (see `cgroups`), what one process may have by its resource limits. The least of these counts.

pub use crate::cgroups::Pressure;
use crate::cgroups::{self, Group, field};
use kask_types::{Memory, NoMemory};
use std::fs;
use std::path::{Path, PathBuf};
use thiserror::Error;

const MIB: u64 = 1 << 20;

/// Where memory is limited.
#[derive(Clone, Debug)]
pub struct MemoryLimits {
    root: PathBuf,
    process: String,
    groups: Vec<Group>,
}

/// An amount of memory, and who says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    /// How much.
    pub bytes: u64,
    /// Who says so.
    pub source: LimitSource,
}

/// What limits memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LimitSource {
    /// The memory that is built in.
    Machine,
    /// The control group with this folder.
    Group(PathBuf),
    /// `RLIMIT_AS` of the process (`ulimit -v`).
    AddressSpace,
    /// `RLIMIT_DATA` of the process (`ulimit -d`).
    Data,
}

impl MemoryLimits {
    /// The limits of this process.
    pub fn of_this_process() -> MemoryLimits {
        MemoryLimits::seen_from(Path::new("/"), "self")
    }

    /// The limits of another process.
    pub fn of_process(pid: u32) -> MemoryLimits {
        MemoryLimits::seen_from(Path::new("/"), &pid.to_string())
    }

    /// The limits of a process (a number, or `self`) as the files in `root/proc` and `root/sys` tell them.
    pub fn seen_from(root: &Path, process: &str) -> MemoryLimits {
        let groups = cgroups::groups_of(root, process);
        MemoryLimits { root: root.to_path_buf(), process: process.to_owned(), groups }
    }

    /// The least of all limits; `None` when none can be read.
    pub fn limit(&self) -> Option<Limit> {
        self.shared_limit().into_iter().chain(self.own_limit()).min_by_key(|limit| limit.bytes)
    }

    /// What this process and others may use together.
    pub fn shared_limit(&self) -> Option<Limit> {
        let machine = self.meminfo("MemTotal").map(|bytes| Limit { bytes, source: LimitSource::Machine });
        let groups = self.groups.iter().filter_map(|group| {
            let source = LimitSource::Group(group.folder().to_path_buf());
            Some(Limit { bytes: group.limit_bytes()?, source })
        });
        machine.into_iter().chain(groups).min_by_key(|limit| limit.bytes)
    }

    /// What this process may use, whatever others do.
    pub fn own_limit(&self) -> Option<Limit> {
        let text = fs::read_to_string(self.root.join("proc").join(&self.process).join("limits")).unwrap_or_default();
        let of = |name: &str, source| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            Some(Limit { bytes: line.split_ascii_whitespace().next()?.parse().ok()?, source })
        };
        let limits = [of("Max address space", LimitSource::AddressSpace), of("Max data size", LimitSource::Data)];
        limits.into_iter().flatten().min_by_key(|limit| limit.bytes)
    }

    /// The fullest of what limits memory together, as (used, limit) in bytes. Files in memory that are also on disk
    /// do not count as used.
    pub fn fullest(&self) -> Option<(u64, u64)> {
        let machine = self.meminfo("MemTotal").zip(self.meminfo("MemAvailable"));
        let machine = machine.map(|(total, available)| (total.saturating_sub(available), total));
        let groups = self.groups.iter().filter_map(|group| {
            // In this order: what is used takes long to find out for a group that holds many others.
            let limit = group.limit_bytes()?;
            Some((group.used_bytes()?, limit))
        });
        let share = |(used, limit): &(u64, u64)| *used as f64 / (*limit).max(1) as f64;
        groups.chain(machine).max_by(|a, b| share(a).total_cmp(&share(b)))
    }

    /// How much processes are held up by the lack of memory; `None` where the kernel does not say.
    pub fn pressure(&self) -> Option<Pressure> {
        let group = self.groups.iter().find_map(Group::pressure);
        group.or_else(|| cgroups::pressure(&self.root.join("proc/pressure/memory")))
    }

    /// How many processes the kernel has killed for want of memory: in the process's own group, else on the machine.
    pub(crate) fn oom_kills(&self) -> Option<u64> {
        let machine = || field(&fs::read_to_string(self.root.join("proc/vmstat")).ok()?, "oom_kill");
        self.groups.iter().find_map(Group::oom_kills).or_else(machine)
    }

    fn meminfo(&self, name: &str) -> Option<u64> {
        Some(field(&fs::read_to_string(self.root.join("proc/meminfo")).ok()?, name)? * 1024)
    }

    /// What `memory_limit="auto"` gives each of `workers`: an equal part of the memory after a reserve for the scheduler,
    /// the client and everybody else. With `processes` each of them has the limits of a process to itself, otherwise they
    /// share one process. 0, which is no limit, when nothing is known.
    pub fn auto_share_bytes(&self, workers: usize, processes: bool) -> u64 {
        let workers = workers.max(1) as u64;
        let shared = self.shared_limit().map(|limit| (limit.bytes - reserve_bytes(limit.bytes)) / workers);
        let own = self.own_limit().map(|limit| if processes { limit.bytes } else { limit.bytes / workers });
        shared.into_iter().chain(own).min().unwrap_or(0)
    }
}

/// What workers leave to others: a tenth of the memory, but at least 64 MiB and at most 2 GiB; never more than a quarter.
fn reserve_bytes(total: u64) -> u64 {
    (total / 10).clamp(64 * MIB, 2048 * MIB).min(total / 4)
}

/// [`MemoryLimits::auto_share_bytes`] of this process.
pub fn auto_limit_bytes(workers: usize, processes: bool) -> u64 {
    MemoryLimits::of_this_process().auto_share_bytes(workers, processes)
}

/// A text that is no memory limit.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LimitError {
    /// It cannot be read.
    #[error("{0:?}: {problem}", problem = NoMemory)]
    Unknown(String),
    /// A unit was left out, most likely.
    #[error(
        "{0:?} is {1} bytes, and a worker needs 1 MiB at least: say a size with a unit, such as '4GiB', or 0 for no limit"
    )]
    TooSmall(String, u64),
}

/// Bytes that `text` allows each of `workers` processes.
///
/// # Errors
/// When the text is none of what the error lists, or less than a process takes in any case.
pub fn parse_limit(text: &str, workers: usize) -> Result<u64, LimitError> {
    let bytes = match Memory::parse(text).map_err(|NoMemory| LimitError::Unknown(text.to_owned()))? {
        Memory::Auto => return Ok(auto_limit_bytes(workers, true)),
        Memory::Bytes(bytes) => bytes,
        Memory::Share(share) => {
            let all = MemoryLimits::of_this_process().limit().map_or(0, |limit| limit.bytes);
            // A limit of nothing would be none.
            ((all as f64 * share) as u64).max(1)
        }
    };
    if (1..MIB).contains(&bytes) { Err(LimitError::TooSmall(text.to_owned(), bytes)) } else { Ok(bytes) }
}
