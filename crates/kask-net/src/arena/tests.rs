//! The arena in one process.

use super::*;
use std::time::Duration;

const MIB: usize = 1 << 20;

fn arena() -> Arc<Arena> {
    Arena::create(1 << 30).expect("an arena")
}

fn fill(memory: NonNull<u8>, len: usize, value: u8) {
    // SAFETY: the tests ask for so many bytes and own them.
    unsafe { memory.write_bytes(value, len) };
}

fn read(memory: NonNull<u8>, len: usize) -> Vec<u8> {
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts(memory.as_ptr(), len) }.to_vec()
}

fn free(arena: &Arc<Arena>, memory: NonNull<u8>) {
    // SAFETY: the tests forget the memory.
    unsafe { arena.free(memory) };
}

#[test]
fn memory_is_zeroed_when_asked_whether_new_or_used() {
    let arena = arena();
    for _ in 0..3 {
        let memory = arena.allocate(3 * MIB, true).expect("memory");
        assert!(read(memory, 3 * MIB).iter().all(|byte| *byte == 0));
        fill(memory, 3 * MIB, 7);
        free(&arena, memory);
    }
    let large = arena.allocate(LAZY_ZERO_BYTES + 1, true).expect("memory");
    assert!(read(large, MIB).iter().all(|byte| *byte == 0));
    fill(large, MIB, 7);
    free(&arena, large);
    assert!(arena.usage().retained_bytes <= 4 * MIB as u64, "what may not be there is not kept");
}

#[test]
fn freed_memory_is_used_again_and_is_not_beyond_the_bound() {
    let arena = arena();
    arena.set_retained_max(4 * MIB as u64);
    let first = arena.allocate(3 * MIB, false).expect("memory");
    fill(first, 3 * MIB, 1);
    free(&arena, first);
    assert_eq!(arena.allocate(3 * MIB, false), Some(first));
    let large = arena.allocate(64 * MIB, false).expect("memory");
    assert_eq!(arena.usage().allocated_bytes, 67 * MIB as u64);
    assert!(arena.resident_bytes() >= 67 * MIB as u64, "memory is there before it is touched");
    free(&arena, first);
    free(&arena, large);
    // The next request that needs new memory, or the trimmer, gives back what is too much.
    arena.trim();
    let usage = arena.usage();
    assert_eq!((usage.allocated_bytes, usage.retained_bytes), (0, 4 * MIB as u64));
    assert_eq!(arena.resident_bytes(), 4 * MIB as u64);
}

/// What one thread is giving back is there until it has done so.
#[test]
fn new_memory_waits_until_the_old_has_gone() {
    let arena = arena();
    arena.set_retained_max(0);
    let bound = 80 * MIB as u64;
    for _ in 0..50 {
        let old: Vec<NonNull<u8>> = (0..4).map(|_| arena.allocate(16 * MIB, false).expect("memory")).collect();
        old.into_iter().for_each(|memory| free(&arena, memory));
        let trimmer = arena.clone();
        let trimmer = std::thread::spawn(move || trimmer.trim());
        while arena.usage().retained_bytes > 0 {
            std::thread::yield_now();
        }
        let new: Vec<NonNull<u8>> = (0..4).map(|_| arena.allocate(16 * MIB, false).expect("memory")).collect();
        assert!(arena.resident_bytes() < bound, "{} MiB", arena.resident_bytes() >> 20);
        trimmer.join().expect("it gives back what it can");
        new.into_iter().for_each(|memory| free(&arena, memory));
    }
}

#[test]
fn the_trimmer_gives_back_what_nobody_asks_for() {
    let arena = arena();
    arena.set_retained_max(0);
    for _ in 0..3 {
        drop(arena.put(&[&[1; 5 * MIB]]).expect("memory"));
        let patience = std::time::Instant::now() + Duration::from_secs(10);
        while arena.resident_bytes() > 0 {
            assert!(std::time::Instant::now() < patience, "the trimmer sleeps");
            std::thread::yield_now();
        }
    }
}

#[test]
fn put_copies_into_new_and_into_used_memory_and_locates_it() {
    let arena = arena();
    for round in 0..3u8 {
        let (head, tail) = (vec![round; 100_000], vec![round + 1; 200_001]);
        let bytes = arena.put(&[&head, &[], &tail]).expect("memory");
        assert_eq!(bytes.len(), 300_001);
        assert!(bytes[..100_000] == head && bytes[100_000..] == tail);
        let (offset, len) = arena.locate(&bytes[10..20]).expect("inside");
        assert_eq!(len, 10);
        assert_eq!(arena.locate(&bytes).map(|(start, _)| start + 10), Some(offset));
        assert!(arena.contains(bytes.as_ptr()));
    }
    assert_eq!(arena.locate(&[1, 2, 3]), None);
    assert_eq!(arena.usage().allocated_bytes, 0, "freed with the last clone");
    assert!(arena.put(&[]).is_none());
}

#[test]
fn large_values_are_put_by_two_threads() {
    let arena = arena();
    let whole: Vec<u8> = (0..40u32 << 20).map(|i| (i >> 10) as u8 ^ (i as u8).wrapping_mul(31)).collect();
    // Parts that do not begin with pages.
    let (a, rest) = whole.split_at(1001);
    let (b, c) = rest.split_at((17 << 20) + 77);
    for round in 0..3 {
        let copy = arena.put(&[a, b, c]).expect("memory");
        assert!(copy == whole, "round {round}");
    }
}

#[test]
fn reallocating_keeps_the_contents() {
    let arena = arena();
    let memory = arena.allocate(MIB, false).expect("memory");
    fill(memory, MIB, 9);
    // SAFETY: the memory is the test's own, here and below.
    let larger = unsafe { arena.reallocate(memory, 9 * MIB) }.expect("memory");
    assert!(read(larger, MIB).iter().all(|byte| *byte == 9));
    assert_eq!(arena.size_of(larger), Some(9 * MIB));
    assert_eq!(arena.size_of(memory), None);
    // SAFETY: as above.
    let smaller = unsafe { arena.reallocate(larger, 2 * MIB) };
    assert_eq!(smaller, Some(larger));
    assert_eq!(arena.usage().allocated_bytes, 2 * MIB as u64);
    // SAFETY: as above; there is no memory for so much.
    assert_eq!(unsafe { arena.reallocate(larger, 2 << 30) }, None);
    assert!(read(larger, MIB).iter().all(|byte| *byte == 9));
}

#[test]
fn what_does_not_fit_is_refused() {
    let arena = arena();
    assert_eq!(arena.allocate(0, false), None);
    assert_eq!(arena.allocate(usize::MAX, false), None);
    assert_eq!(arena.allocate(2 << 30, true), None);
    assert_eq!(arena.usage().allocated_bytes, 0);
}

#[test]
fn a_used_file_and_an_ordinary_one_are_refused() {
    let fd = create_file(64 * MIB).expect("a file");
    let copy = fd.try_clone().expect("a descriptor");
    let arena = Arena::from_fd(fd).expect("an arena");
    let kept = arena.put(&[&[1; 100]]).expect("memory");
    assert!(resident_bytes(copy.as_fd()).is_ok_and(|bytes| bytes > 0));
    assert_eq!(Arena::from_fd(copy).expect_err("in use").kind(), io::ErrorKind::InvalidInput);
    drop(kept);
    let file = File::open("/proc/self/exe").expect("this program");
    assert_eq!(Arena::from_fd(file.into()).expect_err("no arena").kind(), io::ErrorKind::InvalidInput);
}

#[test]
fn threads_get_memory_of_their_own() {
    let arena = arena();
    arena.set_retained_max(8 * MIB as u64);
    let work = |seed: usize| {
        let arena = arena.clone();
        move || {
            let mut live: Vec<(NonNull<u8>, usize, u8)> = Vec::new();
            for step in 0..2000usize {
                let len = 65_536 + (step * 7919 + seed * 104_729) % 1_000_000;
                let value = (step ^ seed) as u8;
                let memory = arena.allocate(len, false).expect("memory");
                fill(memory, len, value);
                live.push((memory, len, value));
                if live.len() > 8 {
                    let (memory, len, value) = live.swap_remove((step * 31) % live.len());
                    assert!(read(memory, len).iter().all(|byte| *byte == value));
                    free(&arena, memory);
                }
            }
            live.into_iter().for_each(|(memory, ..)| free(&arena, memory));
        }
    };
    std::thread::scope(|scope| {
        (0..4).for_each(|seed| drop(scope.spawn(work(seed))));
    });
    assert_eq!(arena.usage().allocated_bytes, 0);
}

#[test]
fn a_forked_child_takes_and_frees_nothing() {
    let arena = arena();
    let memory = arena.allocate(MIB, false).expect("memory");
    // SAFETY: the child makes a few calls that neither lock nor allocate, and ends at once.
    let child = unsafe { libc::fork() };
    if child == 0 {
        free(&arena, memory);
        let is_left_alone = arena.allocate(MIB, false).is_none() && arena.contains(memory.as_ptr());
        // SAFETY: ends the child.
        unsafe { libc::_exit(if is_left_alone { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: `status` outlives the call, and nobody else waits for this child.
    unsafe { libc::waitpid(child, &raw mut status, 0) };
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0);
    assert_eq!(arena.size_of(memory), Some(MIB));
    free(&arena, memory);
}

#[test]
fn where_nothing_can_be_written_the_answer_is_none() {
    let arena = arena();
    let kept = arena.put(&[&[5; 100_000]]).expect("memory");
    // SAFETY: plain numbers go in, a result comes out.
    let sealed = unsafe { libc::fcntl(arena.file.as_raw_fd(), libc::F_ADD_SEALS, libc::F_SEAL_FUTURE_WRITE) };
    assert_eq!(sealed, 0);
    let before = arena.usage();
    assert!(arena.put(&[&[6; 5 * MIB]]).is_none());
    assert!(arena.put(&[&vec![7; 40 * MIB]]).is_none(), "neither of two threads may hide that the other one failed");
    assert_eq!(arena.usage(), before);
    assert!(kept.iter().all(|byte| *byte == 5));
}
