//! The codec against generated messages and against hostile bytes.
//!
//! Hostile means: random, or a real message that was cut, flipped or spliced. Decoding must neither panic nor
//! hold more memory than a bound that follows from what arrived. Start with `messages!`, which lists the families;
//! `generate.rs` makes the messages, `counting.rs` counts the memory.

mod counting;
mod generate;

use bytes::Bytes;
use counting::peak_of;
use kask_types::payload::Segment;
use kask_types::{Local, LocalItems, Payload, TaskId};
use kask_wire::codec::{CodecError, Frame, FrameLimits, decode, encode, encode_within};
use kask_wire::*;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::Debug;
use std::sync::Arc;

fn fail(error: CodecError) -> TestCaseError {
    TestCaseError::fail(error.to_string())
}

/// What serde reserves ahead at each level of nesting, and the largest element for each byte that arrived.
fn bound(arrived: usize) -> isize {
    (8 << 20) + 256 * arrived as isize
}

fn attack<M: DeserializeOwned + Serialize + Debug>(frame: Frame) -> Result<(), TestCaseError> {
    let arrived = frame.nbytes() as usize;
    let (result, peak) = peak_of(|| decode::<M>(frame));
    prop_assert!(peak <= bound(arrived), "{} bytes made decoding hold {}", arrived, peak);
    if let Ok(message) = result {
        // What was understood can be said again.
        let again: M = decode(encode(&message).map_err(fail)?).map_err(fail)?;
        prop_assert_eq!(format!("{:?}", again), format!("{:?}", message));
    }
    Ok(())
}

fn round_trip<M: DeserializeOwned + Serialize + Debug>(message: &M) -> Result<(), TestCaseError> {
    let mut frame = encode(message).map_err(fail)?;
    let decoded: M = decode(frame.clone()).map_err(fail)?;
    prop_assert_eq!(format!("{:?}", decoded), format!("{:?}", message));
    frame.head = [&frame.head[..], &[0]].concat().into();
    let is_trailing = matches!(decode::<M>(frame), Err(CodecError::Trailing { extra: 1, .. }));
    prop_assert!(is_trailing, "a byte too many was not noticed");
    Ok(())
}

#[derive(Clone, Debug)]
enum Damage {
    Flip(Index, u8),
    Cut(Index),
    Insert(Index, Vec<u8>),
    /// The longest number that postcard has: a length of 2^64-1.
    Huge(Index),
    LoseSegments,
}

fn damage() -> impl Strategy<Value = Damage> {
    let place = any::<Index>;
    prop_oneof![
        4 => (place(), 1..=255u8).prop_map(|(place, bits)| Damage::Flip(place, bits)),
        1 => place().prop_map(Damage::Cut),
        2 => (place(), vec(any::<u8>(), 1..9)).prop_map(|(place, bytes)| Damage::Insert(place, bytes)),
        2 => place().prop_map(Damage::Huge),
        1 => Just(Damage::LoseSegments),
    ]
}

fn damaged(mut frame: Frame, all: &[Damage]) -> Frame {
    let mut head = frame.head.to_vec();
    for damage in all {
        let end = head.len() + 1;
        match damage {
            Damage::Flip(place, bits) => {
                if !head.is_empty() {
                    let place = place.index(head.len());
                    head[place] ^= bits;
                }
            }
            Damage::Cut(place) => head.truncate(place.index(end)),
            Damage::Insert(place, bytes) => {
                let place = place.index(end);
                head.splice(place..place, bytes.iter().copied());
            }
            Damage::Huge(place) => {
                let place = place.index(end);
                head.splice(place..place, [0xff; 9].into_iter().chain([0x01]));
            }
            Damage::LoseSegments => frame.segments.clear(),
        }
    }
    frame.head = head.into();
    frame
}

macro_rules! messages {
    ($($name:ident: $message:ty;)*) => {
        mod round_trips {
            use super::*;
            proptest! {
                #![proptest_config(ProptestConfig::with_cases(300))]
                $(#[test] fn $name(message in generate::$name()) { round_trip::<$message>(&message)?; })*
            }
        }
        mod damage_is_survived {
            use super::*;
            proptest! {
                #![proptest_config(ProptestConfig::with_cases(1500))]
                $(#[test] fn $name(message in generate::$name(), all in vec(damage(), 1..4)) {
                    attack::<$message>(damaged(encode(&message).map_err(fail)?, &all))?;
                })*
            }
        }
        mod noise_is_survived {
            use super::*;
            proptest! {
                #![proptest_config(ProptestConfig::with_cases(1500))]
                // Small numbers are likely, so that variants and lengths are met and decoding gets far.
                $(#[test] fn $name(head in vec(prop_oneof![0..12u8, any::<u8>()], 0..400)) {
                    attack::<$message>(Frame { head: head.into(), segments: vec![] })?;
                })*
            }
        }
    };
}

messages! {
    client_to_scheduler: ClientToScheduler;
    scheduler_to_client: SchedulerToClient;
    scheduler_to_worker: SchedulerToWorker;
    worker_to_scheduler: WorkerToScheduler;
    data_request: DataRequest;
    data_reply: DataReply;
    supervisor_to_scheduler: SupervisorToScheduler;
    scheduler_to_supervisor: SchedulerToSupervisor;
    hello: Hello;
    welcome: Welcome;
}

#[test]
fn the_memory_counter_counts() {
    let (kept, peak) = peak_of(|| vec![1u8; 3 << 20]);
    assert!(peak >= 3 << 20 && kept.len() == 3 << 20);
}

#[test]
fn segments_travel_beside_and_small_payloads_are_slices_of_the_head() {
    let (small, big) = (Bytes::from_static(b"small one"), Bytes::from(vec![7u8; 1 << 20]));
    let payload = Payload::Bytes { head: Segment(small), buffers: vec![Segment(big.clone())] };
    let frame = encode(&SchedulerToWorker::Run { call: 1, payload }).expect("encoded");
    assert!(frame.head.len() < 64);
    assert_eq!(frame.segments[0].as_ptr(), big.as_ptr(), "encoding must not copy");
    let inside = frame.head.as_ptr_range();
    let message = decode(frame.clone()).expect("decoded");
    let SchedulerToWorker::Run { payload: Payload::Bytes { head, buffers }, .. } = message else {
        panic!("another message")
    };
    assert!(inside.contains(&head.0.as_ptr()), "a small payload must share the head");
    assert_eq!(buffers[0].0.as_ptr(), big.as_ptr(), "decoding must not copy");
}

#[test]
fn an_object_of_this_process_is_an_error_and_no_panic() {
    struct Nothing;
    impl LocalItems for Nothing {
        fn as_any(&self) -> &(dyn std::any::Any + Send + Sync) {
            self
        }
    }
    let payload = Payload::Local(Local { holder: Arc::new(Nothing), index: 0 });
    let error = encode(&SchedulerToWorker::Run { call: 1, payload }).expect_err("refused");
    assert!(matches!(error, CodecError::Encode { message: "SchedulerToWorker", .. }), "{error}");
}

#[test]
fn what_is_too_large_is_not_sent() {
    let message = SchedulerToWorker::Free(vec![TaskId { slot: 1, generation: 1 }; 1000]);
    let limits = FrameLimits { head_bytes: 100, ..FrameLimits::ESTABLISHED };
    assert!(matches!(encode_within(&message, &limits), Err(CodecError::TooLarge { limit: 100, .. })));
    let run = SchedulerToWorker::Run { call: 1, payload: Payload::from_bytes(vec![0; 5000]) };
    let limits = FrameLimits { total_bytes: 4096, ..FrameLimits::ESTABLISHED };
    assert!(matches!(encode_within(&run, &limits), Err(CodecError::TooLarge { limit: 4096, .. })));
    let limits = FrameLimits { segments: 0, ..FrameLimits::ESTABLISHED };
    assert!(matches!(encode_within(&run, &limits), Err(CodecError::TooLarge { unit: "segments", .. })));
}
