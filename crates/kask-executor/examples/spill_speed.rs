//! How fast values go to disk and come back, beside plain direct writes and reads of the same file system in the same run.
//!
//! `cargo run --release -p kask-executor --example spill_speed -- [MiB] [folder]` (2048 MiB in the temporary folder by default).
//! Everything is written to a new folder, which is removed at the end.

use bytes::Bytes;
use kask_executor::spill::{Content, SpillDir, SpillOptions, Spilled};
use kask_types::payload::Segment;
use kask_types::{Incarnation, Payload, TaskId};
use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

const MIB: usize = 1 << 20;
/// What the plain writes and reads do at a time, as `dd bs=4M` would.
const PLAIN_CHUNK: usize = 4 * MIB;
/// How long a file of plain writes is.
const PLAIN_FILE: usize = 64 * MIB;
/// Bytes of noise that values are cut from.
const SOURCE: usize = 256 * MIB;

/// Noise that starts at a page: what a worker's arena or NumPy's large allocations minus their header look like.
struct Noise(Vec<u8>, usize);

impl Noise {
    fn new() -> Noise {
        let mut bytes = vec![0_u8; SOURCE + 8192];
        let mut state = 88_172_645_463_325_252_u64;
        for word in bytes.chunks_exact_mut(8) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            word.copy_from_slice(&state.to_le_bytes());
        }
        let skip = bytes.as_ptr().align_offset(4096);
        Noise(bytes, skip)
    }

    /// The noise from a page on, and the same memory from 16 bytes later on.
    fn aligned_and_not(self) -> (Bytes, Bytes) {
        let skip = self.1;
        let all = Bytes::from(self.0);
        (all.slice(skip..skip + SOURCE), all.slice(skip + 16..skip + 16 + SOURCE))
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let mib: usize = arguments.next().map_or(2048, |text| text.parse().expect("the size is a number of MiB"));
    let total = mib * MIB;
    let above = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = above.join(format!("kask-spill-speed-{}", std::process::id()));
    std::fs::create_dir(&folder).expect("the folder can be made");
    let (aligned, unaligned) = Noise::new().aligned_and_not();
    println!("{mib} MiB in {}", folder.display());
    let plain = plain(&folder.join("plain"), &aligned, total);
    println!("{:<44} {:>7.2} GB/s   {:>7.2} GB/s", "plain direct writes and reads", plain.0, plain.1);
    for (what, source) in [("memory that starts at a page", &aligned), ("other memory", &unaligned)] {
        for value_bytes in [MIB, 16 * MIB, 128 * MIB] {
            for threads in [1, 2] {
                let speed = spill(&folder.join("spill"), source, total, value_bytes, threads);
                let what = format!("{what}, {} MiB, {threads} thread(s)", value_bytes / MIB);
                println!(
                    "{what:<44} {:>7.2} GB/s {:>4.0}% {:>7.2} GB/s {:>4.0}%",
                    speed.0,
                    100.0 * speed.0 / plain.0,
                    speed.1,
                    100.0 * speed.1 / plain.1,
                );
            }
        }
    }
    let again = plain_again(&folder, &aligned, total);
    println!("{:<44} {:>7.2} GB/s   {:>7.2} GB/s", "plain direct writes and reads, again", again.0, again.1);
    small(&folder.join("small"));
    std::fs::remove_dir_all(&folder).expect("the folder can be removed");
}

fn plain_again(folder: &Path, source: &Bytes, total: usize) -> (f64, f64) {
    plain(&folder.join("again"), source, total)
}

fn rate(bytes: usize, since: Instant) -> f64 {
    bytes as f64 / 1e9 / since.elapsed().as_secs_f64()
}

/// Writes and reads files without the page cache, one chunk after the other.
fn plain(path: &Path, source: &Bytes, total: usize) -> (f64, f64) {
    let name = |index: usize| path.with_extension(index.to_string());
    let open = |options: &mut OpenOptions, index: usize| -> File {
        let direct = OFlags::DIRECT.bits() as i32;
        options
            .custom_flags(direct)
            .open(name(index))
            .or_else(|_| options.custom_flags(0).open(name(index)))
            .expect("opens")
    };
    let files = total / PLAIN_FILE;
    let started = Instant::now();
    for index in 0..files {
        let mut file = open(OpenOptions::new().write(true).create_new(true), index);
        for chunk in source[index * PLAIN_FILE % SOURCE..][..PLAIN_FILE].chunks(PLAIN_CHUNK) {
            file.write_all(chunk).expect("there is room");
        }
    }
    let written = rate(files * PLAIN_FILE, started);
    let mut buffer = vec![0; PLAIN_CHUNK + 4096];
    let skip = buffer.as_ptr().align_offset(4096);
    let started = Instant::now();
    for index in 0..files {
        let mut file = open(OpenOptions::new().read(true), index);
        for _ in 0..PLAIN_FILE / PLAIN_CHUNK {
            file.read_exact(&mut buffer[skip..skip + PLAIN_CHUNK]).expect("it was written");
        }
    }
    let read = rate(files * PLAIN_FILE, started);
    (0..files).for_each(|index| std::fs::remove_file(name(index)).expect("it is there"));
    (written, read)
}

fn task(slot: usize) -> TaskId {
    TaskId { slot: slot as u32, generation: 0 }
}

fn value(head: &'static [u8], buffer: Bytes) -> Content {
    Content::Whole(Payload::Bytes { head: Segment(Bytes::from_static(head)), buffers: vec![Segment(buffer)] })
}

/// Spills values, forgets that the kernel may remember them, and reads them back.
fn spill(path: &Path, source: &Bytes, total: usize, value_bytes: usize, threads: usize) -> (f64, f64) {
    let folder =
        SpillDir::open(path, "bench", Incarnation(1), SpillOptions::default()).expect("the folder can be used");
    let count = total / value_bytes;
    let places = SOURCE / value_bytes;
    let started = Instant::now();
    let written: Vec<Vec<Arc<Spilled>>> = on_threads(threads, |thread| {
        let mine = (thread..count).step_by(threads);
        mine.map(|index| {
            let start = index % places * value_bytes;
            let value = value(&[1; 200], source.slice(start..start + value_bytes));
            folder.write(task(index), &value).expect("there is room")
        })
        .collect()
    });
    let write = rate(count * value_bytes, started);
    let started = Instant::now();
    on_threads(threads, |thread| {
        for spilled in &written[thread] {
            let content = folder.read(spilled).expect("it is intact");
            assert!(content.nbytes() > value_bytes as u64);
        }
    });
    let read = rate(count * value_bytes, started);
    folder.destroy().expect("the folder is ours");
    (write, read)
}

fn on_threads<T: Send>(threads: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let work = &work;
        let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || work(thread))).collect();
        running.into_iter().map(|thread| thread.join().expect("it does not panic")).collect()
    })
}

/// Many small values.
fn small(path: &Path) {
    const COUNT: usize = 100_000;
    let folder =
        SpillDir::open(path, "bench", Incarnation(1), SpillOptions::default()).expect("the folder can be used");
    let values: Vec<_> =
        (0..COUNT).map(|index| (task(index), value(&[1; 100], Bytes::from_static(&[7; 900])))).collect();
    let started = Instant::now();
    let written: Vec<_> =
        values.chunks(1000).flat_map(|chunk| folder.write_many(chunk)).map(|result| result.expect("room")).collect();
    let write = started.elapsed();
    let started = Instant::now();
    for spilled in &written {
        folder.read(spilled).expect("it is intact");
    }
    let read = started.elapsed();
    let started = Instant::now();
    folder.remove_many(written.iter().map(|spilled| &**spilled));
    let each = |elapsed: std::time::Duration| elapsed.as_nanos() as f64 / 1e3 / COUNT as f64;
    println!(
        "{COUNT} values of 1,000 bytes: {:.2} us each to write, {:.2} to read, {:.2} to remove",
        each(write),
        each(read),
        each(started.elapsed())
    );
    folder.destroy().expect("the folder is ours");
}
