//! How much memory this process and its workers may use, and how much of it is in use.
//!
//! The one answer behind `memory_limit="auto"` everywhere. Start at [`MemoryLimits`]: what all processes share is limited by the machine
//! and by control groups (see `cgroups`), what one process may have by its resource limits. The least of these counts.

pub use crate::cgroups::Pressure;
use crate::cgroups::{self, Group, field};
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
    #[error(
        "a memory limit is a number of bytes, a size such as 4GiB or 500MB, a share of the machine's memory such as 0.5 or 50%, \
         0 for no limit, or auto; {0:?} is none of these"
    )]
    Unknown(String),
    /// A unit was left out, most likely.
    #[error(
        "a worker needs 1 MiB at least, and {0:?} is {1} bytes: say a size with a unit, such as 4GiB, or 0 for no limit"
    )]
    TooSmall(String, u64),
}

/// Bytes that `text` allows each of `workers` processes.
///
/// # Errors
/// When the text is none of what the error lists, or less than a process takes in any case.
pub fn parse_limit(text: &str, workers: usize) -> Result<u64, LimitError> {
    match parse_any_limit(text, workers)? {
        slip @ 1..MIB => Err(LimitError::TooSmall(text.to_owned(), slip)),
        limit => Ok(limit),
    }
}

fn parse_any_limit(text: &str, workers: usize) -> Result<u64, LimitError> {
    let trimmed = text.trim();
    if trimmed.eq_ignore_ascii_case("auto") {
        return Ok(auto_limit_bytes(workers, true));
    }
    let wrong = || LimitError::Unknown(text.to_owned());
    let share = match trimmed.strip_suffix('%') {
        Some(percent) => Some(plain_number(percent.trim_end()).ok_or_else(wrong)? / 100.0),
        // As in Python, where 1.0 is a share and 1 a byte.
        None => plain_number(trimmed).filter(|number| number.fract() != 0.0 || trimmed.contains('.')),
    };
    match share {
        Some(0.0) if !trimmed.ends_with('%') => Ok(0),
        Some(share) if share > 0.0 && share <= 1.0 => {
            let all = MemoryLimits::of_this_process().limit().map_or(0, |limit| limit.bytes);
            // A limit of nothing would be none.
            Ok(((all as f64 * share) as u64).max(1))
        }
        // 1.5e9 is a size, 1.5 neither that nor a share.
        Some(bytes) if bytes.fract() != 0.0 || !trimmed.contains(['e', 'E']) => Err(wrong()),
        Some(_) | None => parse_size(trimmed).ok_or_else(wrong),
    }
}

/// A number as people write it: no sign, no `inf`.
fn plain_number(text: &str) -> Option<f64> {
    let starts = text.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    text.parse::<f64>().ok().filter(|number| starts && number.is_finite())
}

/// Bytes in a text such as `4GiB`, `500 MB` or `1024`.
pub fn parse_size(text: &str) -> Option<u64> {
    let text = text.trim();
    let is_digit = |c: char| c.is_ascii_digit() || c == '.';
    let mut split = text.find(|c| !is_digit(c)).unwrap_or(text.len());
    // 1e9 and 2.5E+9, but not the e of a unit.
    if let Some(exponent) = text[split..].strip_prefix(['e', 'E']) {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if digits.starts_with(|c: char| c.is_ascii_digit()) {
            let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
            split = text.len() - digits.len() + end;
        }
    }
    let (number, unit) = text.split_at(split);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "kb" | "k" => 1e3,
        "mb" | "m" => 1e6,
        "gb" | "g" => 1e9,
        "tb" | "t" => 1e12,
        "kib" => MIB as f64 / 1024.0,
        "mib" => MIB as f64,
        "gib" => MIB as f64 * 1024.0,
        "tib" => MIB as f64 * 1024.0 * 1024.0,
        "pb" => 1e15,
        "pib" => MIB as f64 * 1024.0 * 1024.0 * 1024.0,
        _ => return None,
    };
    plain_number(number).map(|number| (number * factor) as u64)
}
