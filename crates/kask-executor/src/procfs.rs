//! What Linux says of the memory of a process. Elsewhere these are 0 or absent.
//!
//! A process uses what is its own, in memory or swapped out, and the memory that it shares with others on its user's account
//! (`mmap` for several processes, `/dev/shm`). Arenas are left out: each counts for its owner alone, who is asked
//! elsewhere, however many processes map it. Files that are also on disk do not count.

use crate::cgroups::field;
use kask_net::Arena;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;

/// Shared memory below this is not looked at closely: reading the list of mappings costs more than it tells.
const NOTABLE_BYTES: u64 = 32 << 20;
/// How the files in memory are called that are no arenas, as `/proc/PID/maps` shows them.
const SHARED: [&str; 4] = ["/dev/zero", "/dev/shm/", "/memfd:", "/SYSV"];
const ARENA: &str = "/memfd:kask-arena";

/// What this process uses of the memory, as its supervisor counts it.
pub(crate) fn own_memory_bytes() -> u64 {
    let outside = Footprint::of(std::process::id()).and_then(|footprint| footprint.bytes());
    let arena = Arena::global().map_or(0, |arena| arena.resident_bytes());
    outside.unwrap_or(0) + arena
}

/// The memory of another process. It means that process, whoever is given its number later.
#[derive(Debug)]
pub(crate) struct Footprint {
    pid: u32,
    status: File,
}

impl Footprint {
    pub(crate) fn of(pid: u32) -> Option<Footprint> {
        File::open(format!("/proc/{pid}/status")).ok().map(|status| Footprint { pid, status })
    }

    /// Bytes that it uses, without arenas; `None` when it has ended.
    pub(crate) fn bytes(&self) -> Option<u64> {
        let mut text = [0; 4096];
        let len = self.status.read_at(&mut text, 0).ok()?;
        let text = String::from_utf8_lossy(&text[..len]);
        let kib = |name| field(&text, name);
        let own = (kib("RssAnon")? + kib("VmSwap").unwrap_or(0)) * 1024;
        Some(own + self.shared_bytes(kib("RssShmem").unwrap_or(0) * 1024))
    }

    /// What it shares with others, given how much of that is resident together with arenas.
    fn shared_bytes(&self, resident_bytes: u64) -> u64 {
        if resident_bytes < NOTABLE_BYTES {
            return 0;
        }
        let maps = fs::read_to_string(format!("/proc/{}/maps", self.pid)).unwrap_or_default();
        let mapped: u64 = maps.lines().filter_map(Mapping::parse).filter(|m| m.is_shared()).map(|m| m.len).sum();
        // Most processes map arenas only; walking the pages of the others takes longer.
        if resident_bytes.min(mapped) < NOTABLE_BYTES {
            return 0;
        }
        let smaps = fs::read_to_string(format!("/proc/{}/smaps", self.pid)).unwrap_or_default();
        shared_share_bytes(&smaps)
    }
}

/// A line of `/proc/PID/maps`.
struct Mapping<'a> {
    len: u64,
    permissions: &'a str,
    path: &'a str,
}

impl Mapping<'_> {
    fn parse(line: &str) -> Option<Mapping<'_>> {
        let mut words = line.splitn(6, ' ');
        let (start, end) = words.next()?.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        let len = number(end)?.saturating_sub(number(start)?);
        let permissions = words.next()?;
        Some(Mapping { len, permissions, path: words.nth(3).unwrap_or_default().trim_start() })
    }

    /// Whether it is shared memory, and no arena.
    fn is_shared(&self) -> bool {
        let is = |name: &&str| self.path.starts_with(*name);
        self.permissions.ends_with('s') && SHARED.iter().any(is) && !is(&ARENA)
    }
}

/// The proportional share of shared memory that is no arena, in the text of `/proc/PID/smaps`.
fn shared_share_bytes(smaps: &str) -> u64 {
    let mut counts = false;
    let mut kib = 0;
    for line in smaps.lines() {
        if let Some(mapping) = Mapping::parse(line) {
            counts = mapping.is_shared();
        } else if counts && let Some(share) = field(line, "Pss") {
            kib += share;
        }
    }
    kib * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn private_memory_is_seen_while_there_is_a_process() {
        let footprint = Footprint::of(std::process::id()).expect("our own");
        let before = footprint.bytes().expect("we live");
        let block = std::hint::black_box(vec![1_u8; 64 << 20]);
        let after = footprint.bytes().expect("we live still");
        assert!(after >= before + (60 << 20), "{before} {after}");
        drop(block);
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("sleep");
        let footprint = Footprint::of(child.id()).expect("the child's");
        assert!(footprint.bytes().is_some());
        child.kill().expect("killed");
        child.wait().expect("waited for");
        assert_eq!(footprint.bytes(), None);
    }

    #[test]
    fn shared_memory_counts_unless_it_is_an_arena() {
        let smaps = "\
7f0000000000-7f0040000000 rw-s 00000000 00:01 1024 /dev/zero (deleted)
Size:            1048576 kB
Rss:              409600 kB
Pss:              204800 kB
Pss_Dirty:        204800 kB
VmFlags: rd wr sh mr mw me ms sd
7f0100000000-7f0140000000 rw-s 00000000 00:01 2048 /memfd:kask-arena (deleted)
Pss:              999999 kB
7f0200000000-7f0240000000 r--s 00000000 00:1c 7 /dev/shm/a name with blanks
Pss:                1024 kB
7f0300000000-7f0340000000 rw-p 00000000 00:00 0 
Pss:              888888 kB
7f0400000000-7f0440000000 r--p 00000000 08:01 99 /usr/lib/libc.so.6
Pss:              777777 kB
";
        assert_eq!(shared_share_bytes(smaps), (204_800 + 1024) * 1024);
        let mapped: u64 = smaps.lines().filter_map(Mapping::parse).filter(Mapping::is_shared).map(|m| m.len).sum();
        assert_eq!(mapped, 2 << 30);
    }
}
