//! Shared memory between two processes: what travels by reference, and what becomes of it when one of them is killed.

use crate::share_peer::{ELSEWHERE, FORGET, HELD, IN_ARENA, NO_ROOM, REPORT, Report, Server, content, pattern};
use crate::*;
use bytes::Bytes;
use kask_net::{NetError, share};
use kask_types::{Payload, WorkerId};
use kask_wire::DataReply;
use kask_wire::data::Value;
use std::sync::Arc;
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const LARGE: u32 = 256 << 20;

async fn get(connection: &mut Connection, slot: u32, size: u32) -> Bytes {
    let value = TaskId { slot, generation: size };
    connection.sender.send(&DataRequest::Get { request: 1, values: vec![value.into()] }).expect("sent");
    let reply = connection.receiver.recv().await.expect("received").expect("a reply");
    let DataReply::Values { mut values, .. } = reply else { panic!("not values") };
    let Value::Here(payload) = values.remove(0).1 else { panic!("not here") };
    content(payload)
}

async fn put(connection: &mut Connection, size: usize, seed: u8) {
    let payload = Payload::from_bytes(pattern(size, seed));
    let values = vec![(TaskId { slot: u32::from(seed), generation: 0 }, payload, size as u64)];
    connection.sender.send(&DataRequest::Put { request: 2, worker: WorkerId(1), values }).expect("sent");
    let reply = connection.receiver.recv().await.expect("received").expect("a reply");
    assert!(matches!(reply, DataReply::Stored { .. }));
}

async fn report(connection: &mut Connection) -> Report {
    Report::of_bytes(&get(connection, REPORT, 0).await)
}

async fn until(connection: &mut Connection, what: &str, is_so: impl Fn(&Report) -> bool) {
    let deadline = Instant::now() + PATIENCE / 2;
    loop {
        let report = report(connection).await;
        if is_so(&report) {
            return;
        }
        assert!(Instant::now() < deadline, "{what}: {report:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[test]
fn a_large_value_is_seen_not_copied_and_given_back() {
    run(async {
        let server = Server::start();
        let mut connection = server.connect().await;
        for kind in [IN_ARENA, ELSEWHERE] {
            let bytes = get(&mut connection, kind, LARGE).await;
            assert!(share::is_foreign(&bytes) && share::is_foreign(&bytes[1000..]));
            assert!(bytes == pattern(LARGE as usize, kind as u8), "the contents differ");
            let part = bytes.slice(5000..6000);
            drop(bytes);
            let lent = report(&mut connection).await.lent;
            assert_eq!(lent, u64::from(LARGE), "kept for as long as any clone lives");
            drop(part);
            until(&mut connection, "the lease is given back", |report| report.lent == 0 && report.allocated == 0).await;
        }
        let small = get(&mut connection, IN_ARENA, share::SHARED_MIN_BYTES as u32 - 1).await;
        assert!(!share::is_foreign(&small) && !share::is_foreign(&[]));
    });
}

#[test]
fn what_is_lent_is_bounded_and_leases_given_back_make_room_again() {
    const MIB: u32 = 1 << 20;
    run(async {
        let server = Server::start_with(Some(u64::from(10 * MIB)));
        let mut connection = server.connect().await;
        let mut views = Vec::new();
        for round in 0..3 {
            for expected in [true, true, false, false] {
                let bytes = get(&mut connection, IN_ARENA, 4 * MIB).await;
                assert!(bytes == pattern(4 << 20, IN_ARENA as u8), "the contents differ");
                assert_eq!(share::is_foreign(&bytes), expected, "round {round}");
                views.push(bytes);
            }
            let report = report(&mut connection).await;
            assert_eq!(
                (report.lent, report.allocated),
                (u64::from(8 * MIB), u64::from(8 * MIB)),
                "nothing else is kept"
            );
            // What is small enough still has room.
            assert!(share::is_foreign(&get(&mut connection, IN_ARENA, 2 * MIB).await));
            views.clear();
            until(&mut connection, "the leases are given back", |report| report.lent == 0).await;
        }
    });
}

#[test]
fn what_is_copied_to_be_lent_is_bounded_and_kept_for_others_alone() {
    const MIB: u64 = 1 << 20;
    run(async {
        let server = Server::start_with(Some(30 * MIB));
        let mut connection = server.connect().await;
        for round in 0..3 {
            let mut views = Vec::new();
            // Those of up to a MiB are copied by the thread that sends, others by another one.
            for (size, expected) in [(4 * MIB, true), (4 * MIB, true), (4 * MIB, false), (MIB, true), (MIB / 2, true)] {
                let bytes = get(&mut connection, ELSEWHERE, size as u32).await;
                assert!(bytes == pattern(size as usize, ELSEWHERE as u8), "the contents differ");
                assert_eq!(share::is_foreign(&bytes), expected, "round {round}, {size} bytes");
                views.push(bytes);
            }
            let copied = 9 * MIB + MIB / 2;
            let found = report(&mut connection).await;
            assert_eq!((found.kept, found.allocated, found.lent), (copied, copied, copied));
            assert!(share::is_foreign(&get(&mut connection, IN_ARENA, 8 << 20).await), "what lies there has more room");
            drop(views);
            until(&mut connection, "the copies are gone", |report| (report.kept, report.allocated) == (0, 0)).await;
        }
        // With no memory to spare nothing is copied, and what lies in the arena is lent all the same.
        get(&mut connection, NO_ROOM, 0).await;
        assert!(!share::is_foreign(&get(&mut connection, ELSEWHERE, 1 << 20).await));
        assert!(share::is_foreign(&get(&mut connection, IN_ARENA, 1 << 20).await));
    });
}

#[test]
fn memory_that_is_lent_twice_counts_once_and_is_kept_when_its_owner_gives_it_up() {
    run(async {
        let server = Server::start_with(Some(5 << 20));
        let mut connection = server.connect().await;
        let mut other = server.connect().await;
        let mut views = Vec::new();
        for _ in 0..3 {
            views.push(get(&mut connection, HELD, 3 << 20).await);
            views.push(get(&mut other, HELD, 3 << 20).await);
        }
        assert!(views.iter().all(|view| share::is_foreign(view)));
        assert_eq!(report(&mut connection).await.kept, 0, "its owner has it as well");
        get(&mut connection, FORGET, 0).await;
        assert_eq!(report(&mut connection).await.kept, 3 << 20);
        views.truncate(1);
        until(&mut connection, "leases are given back", |report| report.lent == 3 << 20).await;
        assert_eq!(report(&mut connection).await.kept, 3 << 20);
        views.clear();
        until(&mut connection, "it is free", |report| (report.kept, report.allocated) == (0, 0)).await;
    });
}

#[test]
fn order_is_kept_while_the_other_side_is_asked_and_values_are_copied() {
    run(async {
        let server = Server::start();
        let mut connection = server.connect().await;
        let sizes: [u32; 6] = [32 << 20, 10, 100_000, 2 << 20, 70_000, 3000];
        let values = sizes.map(|generation| TaskId { slot: ELSEWHERE, generation });
        for (request, value) in (0..).zip(values) {
            connection.sender.send(&DataRequest::Get { request, values: vec![value.into()] }).expect("sent");
        }
        for (expected, size) in (0..).zip(sizes) {
            let reply = connection.receiver.recv().await.expect("received").expect("a reply");
            let DataReply::Values { request, mut values, .. } = reply else { panic!("not values") };
            let Value::Here(payload) = values.remove(0).1 else { panic!("not here") };
            assert_eq!((request, content(payload).len()), (expected, size as usize));
        }
    });
}

#[test]
fn a_client_shares_what_it_gives() {
    run(async {
        let server = Server::start();
        let mut connection = server.connect().await;
        put(&mut connection, 5 << 20, 9).await;
        put(&mut connection, 100_000, 10).await;
        put(&mut connection, 1000, 11).await;
        assert_eq!(report(&mut connection).await.foreign, 2);
        assert!(share::lent_bytes() >= (5 << 20) + 100_000);
        get(&mut connection, FORGET, 0).await;
        assert_eq!(report(&mut connection).await.foreign, 0);
    });
}

/// Bytes of which can be seen whether anybody has them.
struct Counted(Bytes, #[expect(dead_code, reason = "held for being counted")] Arc<()>);

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[test]
fn killing_the_receiver_frees_what_was_lent_to_it() {
    let mut server = Server::start();
    let arena = kask_net::Arena::global_or_create().expect("an arena");
    let clones = Arc::new(());
    let shared = Bytes::from_owner(Counted(arena.put(&[&pattern(7 << 20, 9)]).expect("memory"), clones.clone()));
    run(async {
        let mut connection = server.connect().await;
        let values = vec![(TaskId { slot: 9, generation: 0 }, Payload::from_bytes(shared), 1)];
        connection.sender.send(&DataRequest::Put { request: 2, worker: WorkerId(1), values }).expect("sent");
        let reply: Option<DataReply> = connection.receiver.recv().await.expect("received");
        assert!(matches!(reply, Some(DataReply::Stored { .. })));
        drop(connection);
        assert_eq!(Arc::strong_count(&clones), 2, "the lease outlives the connection");
        server.kill();
        while Arc::strong_count(&clones) == 2 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
}

#[test]
fn killing_the_owner_leaves_views_readable() {
    run(async {
        let mut server = Server::start();
        let mut connection = server.connect().await;
        let bytes = get(&mut connection, IN_ARENA, 20 << 20).await;
        server.kill();
        let end = connection.receiver.recv::<DataReply>().await;
        assert!(end.is_err() || end.is_ok_and(|message| message.is_none()));
        drop(connection);
        assert!(bytes == pattern(20 << 20, IN_ARENA as u8));
    });
}

#[test]
fn a_small_view_does_not_keep_all_memory_of_a_dead_owner() {
    run(async {
        let mut server = Server::start();
        let mut connection = server.connect().await;
        let large = get(&mut connection, IN_ARENA, 60 << 20).await;
        let views = [get(&mut connection, IN_ARENA, 1 << 20).await, get(&mut connection, IN_ARENA, 70_000).await];
        drop(large);
        server.kill();
        while views.iter().any(|view| is_in_shared_file(view)) {
            // The contents are there at any moment.
            assert!(views[1] == pattern(70_000, IN_ARENA as u8));
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert!(views[0] == pattern(1 << 20, IN_ARENA as u8) && views[1] == pattern(70_000, IN_ARENA as u8));
    });
}

fn is_in_shared_file(bytes: &[u8]) -> bool {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("the maps");
    let address = bytes.as_ptr() as u64;
    let line = maps.lines().find(|line| {
        let mut ends = line.split([' ', '-']).map(|word| u64::from_str_radix(word, 16).expect("an address"));
        let (start, end) = (ends.next().expect("a start"), ends.next().expect("an end"));
        (start..end).contains(&address)
    });
    line.expect("it is mapped").contains("kask-arena")
}

#[test]
fn leases_are_given_back_over_the_next_connection() {
    run(async {
        let server = Server::start();
        let mut connection = server.connect().await;
        let bytes = get(&mut connection, IN_ARENA, 2 << 20).await;
        drop(connection);
        drop(bytes);
        let mut next = server.connect().await;
        until(&mut next, "the lease is given back", |report| report.lent == 0).await;
    });
}

#[test]
fn what_never_arrived_is_not_kept_for_the_receiver() {
    run(async {
        let server = Server::start();
        let mut connection = server.connect().await;
        let first = get(&mut connection, IN_ARENA, 2 << 20).await;
        for request in 0..100 {
            let value = TaskId { slot: IN_ARENA, generation: 100_000 };
            connection.sender.send(&DataRequest::Get { request, values: vec![value.into()] }).expect("sent");
        }
        let mut next = server.connect().await;
        until(&mut next, "answers are under way", |report| report.lent > 3 << 20).await;
        drop(connection);
        until(&mut next, "only what arrived is kept", |report| report.lent == 2 << 20).await;
        drop(first);
        until(&mut next, "nothing is kept", |report| report.lent == 0 && report.allocated == 0).await;
    });
}

#[test]
fn a_thousand_connections_leave_nothing_behind() {
    run(async {
        let server = Server::start();
        let mut first = server.connect().await;
        let kept = get(&mut first, IN_ARENA, 2 << 20).await;
        put(&mut first, 2 << 20, 1).await;
        let before = report(&mut first).await;
        for _ in 0..1000 {
            let mut connection = server.connect().await;
            assert_eq!(get(&mut connection, IN_ARENA, 100_000).await.len(), 100_000);
        }
        // The last ones may still be closing there.
        until(&mut first, "everything is closed", |report| report.descriptors <= before.descriptors + 1).await;
        let after = report(&mut first).await;
        assert_eq!((after.maps, after.lent), (before.maps, 2 << 20));
        drop(kept);
    });
}

/// A connection to a hostile peer in this very process, behind the handshake.
async fn hostile() -> (LocalDir, Connection, tokio::net::UnixStream) {
    let (dir, security) = local();
    let place = dir.socket("s");
    let mut listener = Listener::bind(&place, &security, THERE).expect("bound");
    let Address::Unix(path) = &place else { panic!("a Unix address") };
    let mut bare = tokio::net::UnixStream::connect(path).await.expect("connected");
    bare.write_all(&crate::handshake::hello_frame(&security)).await.expect("written");
    let accepted = listener.accept().await.expect("accepted");
    read_frame(&mut bare).await;
    (dir, accepted.connection, bare)
}

/// Length of the head and number of segments of the next message. Words about other connections of this process may
/// come before it.
async fn message_prefix(bare: &mut tokio::net::UnixStream) -> (usize, u32) {
    loop {
        let head = bare.read_u32_le().await.expect("a length") as usize;
        let count = bare.read_u32_le().await.expect("a number");
        if count != 1 << 31 {
            return (head, count);
        }
        bare.read_exact(&mut vec![0; head]).await.expect("a word");
    }
}

async fn read_frame(bare: &mut tokio::net::UnixStream) -> Vec<u8> {
    let mut header = [0; 8];
    bare.read_exact(&mut header).await.expect("a header");
    let mut head = vec![0; u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize];
    bare.read_exact(&mut head).await.expect("a frame");
    head
}

fn control(head: &[u8]) -> Vec<u8> {
    [&(head.len() as u32).to_le_bytes()[..], &(1u32 << 31).to_le_bytes(), head].concat()
}

/// Numbers as postcard writes them.
fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
    bytes
}

/// The word by which a peer shows its arena.
fn shown(fd: i32, device: u64, inode: u64, capacity: u64) -> Vec<u8> {
    let zigzag = varint(((fd << 1) ^ (fd >> 31)) as u32 as u64);
    control(&[vec![0], varint(7), zigzag, varint(device), varint(inode), varint(capacity)].concat())
}

/// A message with one segment that is a reference.
fn reference(len: u64, offset: u64) -> Vec<u8> {
    let lengths = (len | 1 << 63).to_le_bytes();
    let header = [&1u32.to_le_bytes()[..], &1u32.to_le_bytes(), &lengths].concat();
    [&header[..], &[0], &offset.to_le_bytes(), &77u64.to_le_bytes()].concat()
}

const CAPACITY: u64 = 64 << 20;

/// A file that can be shown, and what stat says of it.
fn arena_file() -> (std::fs::File, u64, u64) {
    use std::os::unix::fs::MetadataExt;
    let file = std::fs::File::from(kask_net::arena::create_file(CAPACITY as usize).expect("a file"));
    let metadata = file.metadata().expect("metadata");
    (file, metadata.dev(), metadata.ino())
}

async fn refused(words: Vec<Vec<u8>>) -> NetError {
    let (_dir, mut connection, mut bare) = hostile().await;
    for word in words {
        bare.write_all(&word).await.expect("written");
    }
    connection.receiver.recv_frame().await.expect_err("refused")
}

#[test]
fn hostile_references_are_errors() {
    use std::os::fd::AsRawFd;
    run(async {
        let (file, device, inode) = arena_file();
        let show = || shown(file.as_raw_fd(), device, inode, CAPACITY);
        let error = refused(vec![reference(100_000, 0)]).await;
        assert!(matches!(error, NetError::Share(share::ShareError::NothingShown)), "{error}");
        let error = refused(vec![show(), show()]).await;
        assert!(matches!(error, NetError::Share(share::ShareError::ShownTwice)), "{error}");
        let error = refused(vec![control(&[1, 1])]).await;
        assert!(matches!(error, NetError::Share(share::ShareError::NotAsked)), "{error}");
        for (len, offset) in
            [(1, CAPACITY), (CAPACITY + 1, 0), (100, CAPACITY - 99), (100, u64::MAX), (1 << 30, u64::MAX - 5)]
        {
            let error = refused(vec![show(), reference(len, offset)]).await;
            assert!(matches!(error, NetError::Share(share::ShareError::OutOfBounds { .. })), "{error}");
        }
        for word in [control(&[]), control(&[9, 9, 9]), control(&[0xff; 100])] {
            let error = refused(vec![word]).await;
            assert!(matches!(error, NetError::Codec(_)), "{error}");
        }
        // In bounds: a view of a hole, which reads as zeros.
        let (_dir, mut connection, mut bare) = hostile().await;
        bare.write_all(&[show(), reference(100, CAPACITY - 100)].concat()).await.expect("written");
        let frame = connection.receiver.recv_frame().await.expect("received").expect("a frame");
        assert!(share::is_foreign(&frame.segments[0]) && frame.segments[0] == vec![0; 100]);
    });
}

#[test]
fn what_cannot_be_mapped_safely_is_not_shared() {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::MetadataExt;
    run(async {
        let (file, device, inode) = arena_file();
        let fd = file.as_raw_fd();
        let ordinary = std::fs::File::open("/proc/self/exe").expect("this program");
        let stat = ordinary.metadata().expect("metadata");
        let words = [
            // Another inode, another device, more than there is, nothing, no whole pages, no such descriptor, and a file
            // that may shrink.
            shown(fd, device, inode + 1, CAPACITY),
            shown(fd, device + 1, inode, CAPACITY),
            shown(fd, device, inode, CAPACITY * 2),
            shown(fd, device, inode, 0),
            shown(fd, device, inode, 100),
            shown(-1, device, inode, CAPACITY),
            shown(i32::MAX, device, inode, CAPACITY),
            shown(ordinary.as_raw_fd(), stat.dev(), stat.ino(), 4096),
        ];
        for word in words {
            let (_dir, mut connection, mut bare) = hostile().await;
            bare.write_all(&word).await.expect("written");
            let receiving = tokio::spawn(async move { connection.receiver.recv_frame().await });
            // Other words are about other connections to this process.
            let answer = loop {
                let word = read_frame(&mut bare).await;
                if word[0] == 1 {
                    break word;
                }
            };
            assert_eq!(answer, [1, 0], "not mapped");
            bare.write_all(&reference(100, 0)).await.expect("written");
            let error = receiving.await.expect("no panic").expect_err("refused");
            assert!(matches!(error, NetError::Share(share::ShareError::NothingShown)), "{error}");
        }
    });
}

#[test]
fn a_peer_that_cannot_map_is_sent_everything() {
    run(async {
        let (_dir, connection, mut bare) = hostile().await;
        let (sender, mut receiver) = connection.split();
        // Whoever uses a connection reads from it, which is how the answer is heard.
        let _reading = tokio::spawn(async move { receiver.recv_frame().await });
        let bytes = Bytes::from(pattern(2 << 20, 4));
        let values = vec![(TaskId { slot: 4, generation: 0 }, Payload::from_bytes(bytes.clone()), 1)];
        sender.send(&DataRequest::Put { request: 2, worker: WorkerId(1), values }).expect("sent");
        sender.send(&numbered(3)).expect("sent");
        while read_frame(&mut bare).await[0] != 0 {}
        assert!(sender.queued_bytes() > 2 << 20, "it waits for the answer");
        bare.write_all(&control(&[1, 0])).await.expect("written");
        let (head, count) = message_prefix(&mut bare).await;
        assert_eq!(count, 1);
        assert_eq!(bare.read_u64_le().await.expect("a length"), 2 << 20, "no reference");
        let mut rest = vec![0; head + (2 << 20)];
        bare.read_exact(&mut rest).await.expect("the message");
        assert!(rest[head..] == bytes);
        assert_eq!(message_prefix(&mut bare).await.1, 0, "what came after it follows");
    });
}
