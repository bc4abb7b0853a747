//! What a connection carries, and how it ends.

use crate::*;
use bytes::Bytes;
use kask_net::{NetError, SendError};
use kask_types::{Payload, ValueId, WorkerId};
use kask_wire::codec::CodecError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

const BIG: usize = 64 << 20;

fn pattern(length: usize, seed: u8) -> Bytes {
    (0..length).map(|i| (i / 4096) as u8 ^ seed).collect::<Vec<u8>>().into()
}

fn put(request: u64, bytes: &Bytes) -> DataRequest {
    let values = vec![(TaskId { slot: 1, generation: 0 }, Payload::from_bytes(bytes.clone()), 1)];
    DataRequest::Put { request, worker: WorkerId(1), values }
}

fn content(message: DataRequest) -> Bytes {
    let DataRequest::Put { mut values, .. } = message else { panic!("not a put") };
    let Payload::Bytes { head, .. } = values.remove(0).1 else { panic!("not bytes") };
    head.0
}

/// 64 MB both ways at once, then sizes around each threshold of the framing.
async fn carries_everything((mut left, mut right): (Connection, Connection)) {
    let (there, back) = (pattern(BIG, 1), pattern(BIG, 2));
    left.sender.send(&put(1, &there)).expect("sent");
    right.sender.send(&put(2, &back)).expect("sent");
    let (at_left, at_right) = tokio::join!(left.receiver.recv(), right.receiver.recv());
    assert!(content(at_left.expect("received").expect("a message")) == back);
    assert!(content(at_right.expect("received").expect("a message")) == there);
    for size in [0, 1, 2047, 2048, 2049, 4096, 65_535, 65_536, 65_537, 262_144, 5 << 20] {
        let bytes = pattern(size, 3);
        left.sender.send(&put(3, &bytes)).expect("sent");
        let message = right.receiver.recv().await.expect("received").expect("a message");
        assert!(content(message) == bytes, "{size} bytes came out different");
    }
    left.sender.drained().await.expect("written");
    assert_eq!(left.sender.queued_bytes(), 0);
}

#[test]
fn segments_cross_a_unix_socket() {
    run(async {
        let (dir, security) = local();
        carries_everything(joined(&dir.socket("s"), &security).await).await;
    });
}

#[test]
fn segments_cross_tcp() {
    run(async {
        let (_dir, security) = local();
        carries_everything(joined(&address("tcp://127.0.0.1:0"), &security).await).await;
    });
}

#[test]
fn segments_cross_tls() {
    run(async {
        let dir = LocalDir::new().expect("a directory");
        let (server, _) = crate::tls::worker_and_client(&dir);
        carries_everything(joined(&address("tls://127.0.0.1:0"), &server).await).await;
    });
}

#[test]
fn large_heads_cross() {
    run(async {
        let (left, mut right) = Connection::pair().expect("a pair");
        for count in [10usize, 2_000, 20_000, 2_000_000] {
            let values: Vec<ValueId> = (0..count as u32).map(|slot| TaskId { slot, generation: 1 }.into()).collect();
            left.sender.send(&DataRequest::Get { request: 1, values: values.clone() }).expect("sent");
            let message = right.receiver.recv().await.expect("received");
            let Some(DataRequest::Get { values: got, .. }) = message else { panic!("another message") };
            assert!(got == values, "{count} values came out different");
        }
    });
}

/// Four threads send while one network thread writes and another one reads: only then does the
/// socket become writable at any moment, also between the queue and a call that would overtake it.
#[test]
fn each_threads_order_is_kept_among_inline_and_queued_writes() {
    const EACH: u64 = 20_000;
    let (dir, security) = local();
    let place = dir.socket("s");
    let reading = std::thread::spawn({
        let (place, security) = (place.clone(), security.clone());
        move || run(async { read_in_order(&place, &security, EACH).await })
    });
    run(async {
        let connection = kask_net::connect_retrying(&place, &security, Role::Data, HERE, PATIENCE).await;
        let (sender, mut receiver) = connection.expect("connected").split();
        let threads: Vec<_> = (0..4u64)
            .map(|thread| {
                let sender = sender.clone();
                std::thread::spawn(move || send_in_order(&sender, thread, EACH))
            })
            .collect();
        // The other side hangs up when it has everything, or has found a fault.
        assert!(receiver.recv::<DataRequest>().await.is_ok_and(|message| message.is_none()));
        threads.into_iter().for_each(|thread| thread.join().expect("no panic"));
    });
    reading.join().expect("everything came in order");
}

fn send_in_order(sender: &kask_net::Sender, thread: u64, each: u64) {
    let big = pattern(150_000, 5);
    for i in 0..each {
        let number = thread << 32 | i;
        // Large ones fill the socket again and again, so that both ways of writing take turns.
        let message = if i % 40 == 0 { put(number, &big) } else { numbered(number) };
        if sender.send(&message).is_err() {
            return;
        }
    }
}

async fn read_in_order(place: &Address, security: &Security, each: u64) {
    let mut listener = Listener::bind(place, security, THERE).expect("bound");
    let mut connection = listener.accept().await.expect("accepted").connection;
    let mut next = [0u64; 4];
    for _ in 0..4 * each {
        let number = number_of(connection.receiver.recv().await.expect("received").expect("a message"));
        let expected = &mut next[(number >> 32) as usize];
        assert_eq!(number & 0xffff_ffff, *expected);
        *expected += 1;
    }
}

#[test]
fn what_has_arrived_is_taken_without_waiting() {
    run(async {
        let (left, mut right) = Connection::pair().expect("a pair");
        (0..100).for_each(|i| left.sender.send(&numbered(i)).expect("sent"));
        left.sender.drained().await.expect("written");
        assert_eq!(right.receiver.recv().await.expect("received").map(number_of), Some(0));
        let mut more = 0;
        while let Some(message) = right.receiver.recv_ready().expect("received") {
            more += 1;
            assert_eq!(number_of(message), more);
        }
        assert!(more > 0, "a burst was read one message at a time");
    });
}

#[test]
fn a_slow_reader_fills_the_queue_and_draining_waits_for_it() {
    run(async {
        let (left, mut right) = Connection::pair().expect("a pair");
        let bytes = pattern(BIG, 1);
        left.sender.send(&put(1, &bytes)).expect("sent");
        assert!(left.sender.queued_bytes() > BIG / 2, "the socket cannot have taken all of it");
        assert!(left.sender.has_room(BIG) && !left.sender.has_room(BIG / 2));
        let more = 2;
        (0..more).for_each(|_| left.sender.send(&put(1, &bytes)).expect("sent"));
        assert!(!left.sender.has_room(2 * BIG));
        // Another peer has a queue of its own, but no more room than is left by all together.
        let (other, _unread) = Connection::pair().expect("a pair");
        assert!(other.sender.has_room(BIG), "nothing is queued to it");
        other.sender.send(&put(1, &bytes)).expect("sent");
        assert!(other.sender.queued_bytes() <= BIG && !other.sender.has_room(BIG));
        drop(other);
        let drained = Arc::new(AtomicBool::new(false));
        let waiting = tokio::spawn({
            let (sender, drained) = (left.sender.clone(), drained.clone());
            async move {
                sender.drained().await.expect("written");
                drained.store(true, Ordering::SeqCst);
            }
        });
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(!drained.load(Ordering::SeqCst), "nobody has read yet");
        for _ in 0..=more {
            right.receiver.recv::<DataRequest>().await.expect("received").expect("a message");
        }
        waiting.await.expect("no panic");
        assert_eq!(left.sender.queued_bytes(), 0);
        assert!(left.sender.has_room(0));
    });
}

#[test]
fn closing_delivers_what_is_queued_and_then_the_end() {
    run(async {
        let (left, mut right) = Connection::pair().expect("a pair");
        let bytes = pattern(8 << 20, 1);
        left.sender.send(&put(1, &bytes)).expect("sent");
        left.sender.close();
        let refused = left.sender.send(&numbered(2)).expect_err("closed");
        assert_eq!(refused.to_string(), "the connection is closed: it was closed on this side");
        assert!(content(right.receiver.recv().await.expect("received").expect("a message")) == bytes);
        assert!(right.receiver.recv::<DataRequest>().await.expect("an orderly end").is_none());
        left.sender.closed().await;
    });
}

#[test]
fn dropping_the_last_sender_is_closing() {
    run(async {
        let (left, mut right) = Connection::pair().expect("a pair");
        left.sender.send(&numbered(1)).expect("sent");
        drop(left);
        assert_eq!(right.receiver.recv().await.expect("received").map(number_of), Some(1));
        assert!(right.receiver.recv::<DataRequest>().await.expect("an orderly end").is_none());
    });
}

#[test]
fn aborting_throws_the_queue_away_and_wakes_everybody() {
    run(async {
        let (mut left, right) = Connection::pair().expect("a pair");
        left.sender.send(&put(1, &pattern(BIG, 1))).expect("sent");
        left.sender.abort("the worker is frozen");
        let error = left.sender.drained().await.expect_err("thrown away");
        assert_eq!(error.to_string(), "the connection is closed: the worker is frozen");
        assert!(left.receiver.recv::<DataRequest>().await.is_ok_and(|message| message.is_none()));
        drop(right);
    });
}

#[test]
fn a_peer_that_has_gone_is_an_error_for_senders() {
    run(async {
        let (left, right) = Connection::pair().expect("a pair");
        drop(right);
        let error = loop {
            match left.sender.send(&numbered(1)) {
                Ok(()) => tokio::task::yield_now().await,
                Err(error) => break error,
            }
        };
        assert!(matches!(&error, SendError::Closed { reason } if &**reason == "the peer has gone"), "{error}");
    });
}

/// A connection whose other end is a bare socket, past the handshake.
async fn against_a_bare_socket() -> (LocalDir, Connection, UnixStream) {
    let (dir, security) = local();
    let place = dir.socket("s");
    let mut listener = Listener::bind(&place, &security, THERE).expect("bound");
    let Address::Unix(path) = &place else { panic!("a Unix address") };
    let mut bare = UnixStream::connect(path).await.expect("connected");
    bare.write_all(&crate::handshake::hello_frame(&security)).await.expect("written");
    let accepted = listener.accept().await.expect("accepted");
    // The welcome is read: a socket that is closed with unread bytes is reset instead of ended.
    let mut header = [0; 8];
    bare.read_exact(&mut header).await.expect("a header");
    let mut welcome = vec![0; u32::from_le_bytes([header[0], header[1], header[2], header[3]]) as usize];
    bare.read_exact(&mut welcome).await.expect("a welcome");
    (dir, accepted.connection, bare)
}

#[test]
fn a_peer_that_dies_within_a_message_is_an_error() {
    run(async {
        // In the header, in the lengths, in the head, and in a segment that is read straight into its own memory.
        let header = |head: u32, count: u32| [head.to_le_bytes(), count.to_le_bytes()].concat();
        let in_segment = [&header(0, 1)[..], &(1u64 << 33).to_le_bytes(), &[7; 1000]].concat();
        for part in [vec![1, 0], header(10, 2), [&header(10, 0)[..], &[1; 5]].concat(), in_segment] {
            let (_dir, mut connection, mut bare) = against_a_bare_socket().await;
            bare.write_all(&part).await.expect("written");
            drop(bare);
            let error = connection.receiver.recv::<DataRequest>().await.expect_err("cut off");
            assert!(matches!(error, NetError::Truncated), "{error}");
            let after = connection.receiver.recv::<DataRequest>().await.expect("over");
            assert!(after.is_none(), "nothing follows an error");
        }
    });
}

#[test]
fn a_hostile_header_is_refused_before_anything_is_read() {
    run(async {
        let too_long = [u32::MAX.to_le_bytes(), 0u32.to_le_bytes()].concat();
        let too_many = [0u32.to_le_bytes(), u32::MAX.to_le_bytes()].concat();
        let overflow = [&0u32.to_le_bytes()[..], &2u32.to_le_bytes(), &[0xff; 16]].concat();
        for header in [too_long, too_many, overflow] {
            let (_dir, mut connection, mut bare) = against_a_bare_socket().await;
            bare.write_all(&header).await.expect("written");
            let error = connection.receiver.recv::<DataRequest>().await.expect_err("refused");
            assert!(matches!(error, NetError::Codec(CodecError::TooLarge { .. })), "{error}");
        }
    });
}
