//! Quotas and full disks.

use super::*;
use crate::spill::{FullCause, SpillError};
use std::process::Command;

fn cause(error: SpillError) -> FullCause {
    match error {
        SpillError::DiskFull { cause, .. } => cause,
        other => panic!("not a full disk: {other}"),
    }
}

fn with_quota(max_bytes: u64) -> SpillOptions {
    SpillOptions { max_bytes, reserve_bytes: Some(0), compression: Compression::Never }
}

#[test]
fn the_quota_holds_and_room_comes_back() {
    let scratch = Scratch::new("quota");
    let folder = scratch.open(with_quota(1 << 20));
    let value = |slot: u32| whole(&[noise(slot.into(), 300_000)]);
    let written: Vec<_> = (0..3).map(|slot| folder.write(task(slot), &value(slot)).expect("there is room")).collect();
    let error = folder.write(task(3), &value(3)).expect_err("the quota is used up");
    for part in ["memory.spill_limit", "1048576 bytes", scratch.folder().to_str().expect("plain names")] {
        assert!(error.to_string().contains(part), "{error}");
    }
    assert_eq!(cause(error), FullCause::Quota { max_bytes: 1 << 20 });
    assert_eq!(folder.stats().full, 1);
    assert_eq!(files(&scratch.folder()).len(), 3);
    folder.remove(&written[1]);
    folder.write(task(3), &value(3)).expect("there is room again");
    assert!(folder.stats().bytes <= 1 << 20);
}

#[test]
fn of_small_values_as_many_as_fit_are_written() {
    let scratch = Scratch::new("quota-small");
    let folder = scratch.open(with_quota(100_000));
    let values: Vec<_> = (0..100).map(|slot| (task(slot), whole(&[noise(slot.into(), 2_000)]))).collect();
    let results = folder.write_many(&values);
    let written: Vec<_> = results.iter().flatten().collect();
    assert!((40..50).contains(&written.len()), "{}", written.len());
    assert_eq!(folder.stats().full, (100 - written.len()) as u64);
    for (result, (_, content)) in results.iter().zip(&values) {
        if let Ok(spilled) = result {
            assert!(is_same(content, &folder.read(spilled).expect("it is intact")));
        }
    }
}

#[test]
fn threads_together_stay_within_the_quota() {
    let scratch = Scratch::new("quota-threads");
    let folder = scratch.open(with_quota(4 << 20));
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let folder = &folder;
            scope.spawn(move || {
                for round in 0..20 {
                    let _ = folder.write(task(thread * 100 + round), &whole(&[noise(round.into(), 200_000)]));
                }
            });
        }
    });
    let stats = folder.stats();
    let on_disk: u64 = files(&scratch.folder()).iter().map(|(_, len)| len).sum();
    assert_eq!(stats.bytes, on_disk);
    assert!(on_disk <= 4 << 20 && stats.full > 0, "{stats:?}");
}

#[test]
fn a_reserve_is_left_to_others() {
    let scratch = Scratch::new("reserve");
    let folder = scratch.open(SpillOptions { reserve_bytes: Some(u64::MAX / 2), ..options(Compression::Never) });
    let error = folder.write(task(1), &whole(&[noise(1, 100)])).expect_err("no disk has so much room");
    assert!(matches!(cause(error), FullCause::Reserve { reserve_bytes, .. } if reserve_bytes == u64::MAX / 2));
    assert_eq!(files(&scratch.folder()), []);
    assert_eq!(folder.stats().bytes, 0);
}

#[test]
fn when_room_is_tight_values_are_compressed() {
    let scratch = Scratch::new("tight");
    let folder = scratch.open(SpillOptions { max_bytes: 20 << 20, ..options(Compression::Auto) });
    folder.write(task(0), &whole(&[noise(0, 17 << 20)])).expect("there is room");
    let spilled = folder.write(task(1), &whole(&[Bytes::from(vec![7; 1 << 20])])).expect("there is room");
    assert!(spilled.disk_bytes() < 100_000, "{spilled:?}");
}

/// A small file system of its own, for those who may mount one.
struct SmallDisk(Scratch);

impl SmallDisk {
    fn mount(bytes: u64) -> Result<SmallDisk, String> {
        let scratch = Scratch::new("disk");
        let size = format!("size={bytes},mode=0700");
        let output = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "kask-test"]).arg(&scratch.0).output();
        match output {
            Ok(output) if output.status.success() => Ok(SmallDisk(scratch)),
            Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let done = Command::new("umount").arg(&self.0.0).status().expect("umount can be run");
        assert!(done.success(), "the small disk cannot be unmounted");
    }
}

/// The device itself is full: half-written files go, the rest stays whole, and room that comes back is used.
#[test]
fn a_full_disk_leaves_nothing_half_written() {
    let disk = match SmallDisk::mount(8 << 20) {
        Ok(disk) => disk,
        Err(reason) => {
            eprintln!("skipped: a small disk can only be mounted by root ({reason})");
            return;
        }
    };
    // What is reserved is smaller than what is written, as when another process fills the disk meanwhile.
    let folder = disk.0.open(options(Compression::Never));
    let filler = disk.0.0.join("filler");
    let mut written = Vec::new();
    let error = loop {
        let slot = written.len() as u32;
        match folder.write(task(slot), &whole(&[noise(slot.into(), 500_000)])) {
            Ok(spilled) => written.push(spilled),
            Err(error) => break error,
        }
    };
    assert!(matches!(cause(error), FullCause::Reserve { .. }));
    let before = files(&disk.0.folder());
    // Fill what is left, and have the device itself refuse.
    let mut filling = std::fs::File::create(&filler).expect("it can be made");
    while std::io::Write::write_all(&mut filling, &[1; 4096]).is_ok() {}
    for slot in 1000..1010 {
        let error = folder.write(task(slot), &whole(&[noise(1, 100)])).expect_err("the disk is full");
        cause(error);
    }
    assert_eq!(files(&disk.0.folder()), before);
    for (slot, spilled) in written.iter().enumerate() {
        let content = whole(&[noise(slot as u64, 500_000)]);
        assert!(is_same(&content, &folder.read(spilled).expect("it is intact")));
    }
    folder.remove_many(written.iter().map(|spilled| &**spilled));
    std::fs::remove_file(&filler).expect("it is there");
    let (folder, adopted) = {
        drop(folder);
        SpillDir::adopt(&disk.0.folder(), PLACE, SCHEDULER, options(Compression::Never)).expect("it can be opened")
    };
    assert_eq!(adopted.len(), 0);
    folder.write(task(0), &whole(&[noise(0, 500_000)])).expect("there is room again");
}

/// The same when the device refuses in the middle of a file, because somebody else has taken what was free.
#[test]
fn a_disk_that_fills_up_meanwhile_is_a_full_disk() {
    let disk = match SmallDisk::mount(4 << 20) {
        Ok(disk) => disk,
        Err(reason) => {
            eprintln!("skipped: a small disk can only be mounted by root ({reason})");
            return;
        }
    };
    let folder = disk.0.open(options(Compression::Never));
    let stop = std::sync::atomic::AtomicBool::new(false);
    let order = std::sync::atomic::Ordering::Relaxed;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Takes everything and gives it back, again and again.
            while !stop.load(order) {
                let filler = disk.0.0.join("filler");
                let mut filling = std::fs::File::create(&filler).expect("it can be made");
                while std::io::Write::write_all(&mut filling, &[1; 65536]).is_ok() {}
                std::fs::remove_file(&filler).expect("it is there");
            }
        });
        let (mut full, mut devices) = (0, 0);
        for round in 0..2_000 {
            let content = whole(&[noise(round, if round % 2 == 0 { 1_500_000 } else { 500 })]);
            match folder.write(task(round as u32), &content) {
                Ok(spilled) => {
                    assert!(is_same(&content, &folder.read(&spilled).expect("it is intact")));
                    folder.remove(&spilled);
                }
                Err(error) => {
                    full += 1;
                    devices += u32::from(cause(error) == FullCause::Device);
                }
            }
            if devices >= 20 && full >= 20 {
                break;
            }
        }
        stop.store(true, order);
        assert!(devices > 0, "the device never refused ({full} refusals)");
    });
    assert_eq!(files(&disk.0.folder()), []);
    assert_eq!(folder.stats().bytes, 0);
}
