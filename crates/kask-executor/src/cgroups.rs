//! Memory control groups: which ones a process is in, what they allow, and how much of it is used.
//!
//! Both versions are read, through `/proc/PID/cgroup` (the path of the group) and `/proc/self/mountinfo` (where groups are
//! mounted, and which part of the tree is visible there). All paths are below a root that tests choose. A file that is
//! not there, or says "no limit" in one of the many ways in which this is said, is as good as none.

use std::fs;
use std::path::{Path, PathBuf};

/// Version 1 says "no limit" with the largest multiple of the page size that fits a signed number.
const UNLIMITED: u64 = 1 << 60;

/// How much of the time tasks stood still for want of memory, in percent of the last ten seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pressure {
    /// Some of them.
    pub some: f64,
    /// All of them at once.
    pub full: f64,
}

/// One control group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    folder: PathBuf,
    version: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl Group {
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The least of its limits; `None` for no limit.
    pub(crate) fn limit_bytes(&self) -> Option<u64> {
        let limits = match self.version {
            Version::One => {
                // The second names the limit of groups above, also of those that are not visible from here.
                [self.number("memory.limit_in_bytes"), self.field("memory.stat", "hierarchical_memory_limit")]
            }
            Version::Two => [self.number("memory.max"), self.number("memory.high")],
        };
        limits.into_iter().flatten().filter(|limit| *limit < UNLIMITED).min()
    }

    /// What is used and cannot be had back by forgetting files that are also on disk.
    pub(crate) fn used_bytes(&self) -> Option<u64> {
        let (usage, files) = match self.version {
            Version::One => ("memory.usage_in_bytes", ["total_inactive_file", "total_active_file"]),
            Version::Two => ("memory.current", ["inactive_file", "active_file"]),
        };
        let forgettable: u64 = files.iter().filter_map(|name| self.field("memory.stat", name)).sum();
        Some(self.number(usage)?.saturating_sub(forgettable))
    }

    /// How many processes of this group the kernel has killed for want of memory.
    pub(crate) fn oom_kills(&self) -> Option<u64> {
        match self.version {
            Version::One => self.field("memory.oom_control", "oom_kill"),
            Version::Two => self.field("memory.events", "oom_kill"),
        }
    }

    pub(crate) fn pressure(&self) -> Option<Pressure> {
        match self.version {
            Version::One => None,
            Version::Two => pressure(&self.folder.join("memory.pressure")),
        }
    }

    fn number(&self, file: &str) -> Option<u64> {
        fs::read_to_string(self.folder.join(file)).ok()?.trim().parse().ok()
    }

    fn field(&self, file: &str, name: &str) -> Option<u64> {
        field(&fs::read_to_string(self.folder.join(file)).ok()?, name)
    }
}

/// The number after `name` in lines of a name and a number.
pub(crate) fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        (words.next()?.trim_end_matches(':') == name).then(|| words.next()?.parse().ok())?
    })
}

/// Reads a file of pressure stall information.
pub(crate) fn pressure(file: &Path) -> Option<Pressure> {
    let text = fs::read_to_string(file).ok()?;
    let average = |kind: &str| {
        let line = text.lines().find(|line| line.split(' ').next() == Some(kind))?;
        line.split(' ').find_map(|word| word.strip_prefix("avg10=")?.parse::<f64>().ok())
    };
    Some(Pressure { some: average("some")?, full: average("full").unwrap_or(0.0) })
}

/// The groups that limit the memory of `process` (a number, or `self`), innermost first, seen from `root`.
pub(crate) fn groups_of(root: &Path, process: &str) -> Vec<Group> {
    let read = |file: String| fs::read_to_string(root.join(file)).unwrap_or_default();
    let (membership, mounts) = (read(format!("proc/{process}/cgroup")), read("proc/self/mountinfo".into()));
    let mut groups = Vec::new();
    for line in membership.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(number), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let version = if controllers.split(',').any(|name| name == "memory") {
            Version::One
        } else if number == "0" && controllers.is_empty() {
            Version::Two
        } else {
            continue;
        };
        if let Some(mount) = mounts.lines().filter_map(Mount::parse).find(|mount| mount.version == version) {
            groups.extend(mount.folders(root, path).into_iter().map(|folder| Group { folder, version }));
        }
    }
    groups
}

/// A mounted tree of groups.
struct Mount {
    version: Version,
    /// Path within the tree of what is mounted.
    top: String,
    /// Where.
    point: String,
}

impl Mount {
    /// A line of mountinfo, if it is the mount of a tree that may govern memory.
    fn parse(line: &str) -> Option<Mount> {
        let (place, kind) = line.split_once(" - ")?;
        let mut place = place.split(' ').skip(3);
        let (top, point) = (unescape(place.next()?), unescape(place.next()?));
        let mut kind = kind.split(' ');
        let version = match kind.next()? {
            "cgroup2" => Version::Two,
            "cgroup" if kind.nth(1)?.split(',').any(|option| option == "memory") => Version::One,
            _ => return None,
        };
        Some(Mount { version, top, point })
    }

    /// The folders of the group `path` and of all visible groups above it.
    fn folders(&self, root: &Path, path: &str) -> Vec<PathBuf> {
        let top = root.join(self.point.trim_start_matches('/'));
        // A path that leads out of what is mounted here belongs to a group that cannot be seen: its visible part is the top.
        let below = Path::new(path).strip_prefix(&self.top).unwrap_or(Path::new(""));
        let visible = below.components().all(|part| matches!(part, std::path::Component::Normal(_)));
        let below = if visible { below } else { Path::new("") };
        below.ancestors().map(|part| if part.as_os_str().is_empty() { top.clone() } else { top.join(part) }).collect()
    }
}

/// Mountinfo writes blanks, tabs, line ends and backslashes as octal numbers.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t").replace("\\012", "\n").replace("\\134", "\\")
}
