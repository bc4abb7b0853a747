//! What the worker does with each message in each state of an attempt.

use crate::common::{ME, Rig, blob, compute, failure, input, is_finished, needs, task};
use kask_types::{Attempt, Failure, Payload, Resources, Tick, WorkerId};
use kask_wire::SchedulerToWorker as Say;
use kask_wire::WorkerToScheduler as Heard;
use kask_wire::worker::FetchProblem::{NotThere, Undecodable, Unreachable};
use kask_worker::{Config, Event, Outcome};
use std::sync::Arc;

const GONE: [(usize, usize, usize, usize); 1] = [(0, 0, 0, 0)];

#[test]
fn a_task_without_inputs_runs_and_its_value_is_kept_until_freed() {
    let mut rig = Rig::with_peers(0);
    rig.hears(Say::Compute(vec![compute(task(1), vec![])]));
    assert_eq!(rig.started(), [task(1)]);
    rig.gives(task(1), 1);
    assert!(is_finished(&rig.heard()[0], task(1), 1));
    assert_eq!(rig.worker.metrics(), (0, 0, 0, 8));
    rig.hears(Say::Free(vec![task(1)]));
    assert!(GONE.contains(&rig.worker.inventory()));
}

#[test]
fn results_of_one_drain_travel_in_one_message() {
    let mut rig = Rig::new(Config { nthreads: 3, ..Config::default() });
    rig.hears(Say::Compute((0..3).map(|i| compute(task(i), vec![])).collect()));
    let ends = (0..3).map(|i| {
        rig.running.remove(&(task(i), Attempt(1)));
        rig.store.insert(task(i), 1);
        let outcome = Outcome::Value { nbytes: 1 };
        kask_worker::TaskDone { task: task(i), attempt: Attempt(1), outcome, duration_ns: 1, started_us: 1, runner: i }
    });
    let ends = ends.collect();
    rig.event(Event::TasksDone(ends));
    let heard = rig.heard();
    assert!(matches!(&heard[..], [Heard::Finished(list)] if list.len() == 3), "{heard:?}");
}

#[test]
fn urgent_attempts_run_first_and_only_a_few_unknown_ones_are_handed_out() {
    let mut rig = Rig::with_peers(0);
    rig.hears(Say::Compute([5, 3, 9, 1].map(|i| compute(task(i), vec![])).to_vec()));
    assert_eq!(rig.started(), [task(1), task(3)], "two of an unknown family for one runner");
    rig.gives(task(1), 1);
    assert_eq!(rig.started(), [task(5), task(9)], "a microsecond each: hundreds fit");
}

#[test]
fn failures_and_reschedules_are_told_apart() {
    let mut rig = Rig::new(Config { nthreads: 2, ..Config::default() });
    rig.hears(Say::Compute(vec![compute(task(1), vec![]), compute(task(2), vec![])]));
    rig.done(task(1), 1, Outcome::Failed { failure: failure() });
    rig.done(task(2), 1, Outcome::Reschedule);
    let heard = rig.heard();
    assert!(matches!(heard[0], Heard::Failed { failure: Failure::Unrunnable { .. }, reschedule: false, .. }));
    assert!(matches!(heard[1], Heard::Failed { reschedule: true, .. }));
    assert!(GONE.contains(&rig.worker.inventory()));
}

#[test]
fn a_cancelled_attempt_leaves_nothing_behind_in_any_state() {
    let mut rig = Rig::with_peers(1);
    let queued = compute(task(3), vec![]);
    let waiting = compute(task(4), vec![input(task(9), &[1])]);
    rig.hears(Say::Compute(vec![compute(task(1), vec![]), compute(task(2), vec![]), queued, waiting]));
    assert_eq!(rig.started(), [task(1), task(2)]);
    rig.hears(Say::Cancel((1..=4).map(|i| (task(i), Attempt(1))).collect()));
    let running = vec![(task(1), Attempt(1)), (task(2), Attempt(1))];
    let heard = rig.heard();
    assert!(matches!(&heard[..], [Heard::Lingering(list)] if *list == running), "queued ones go without an answer");
    rig.hears(Say::Cancel(running.clone()));
    assert!(rig.heard().is_empty(), "that was said");
    assert_eq!(rig.recalled, running, "perhaps they have not started");
    rig.gives(task(1), 1);
    rig.done(task(2), 1, Outcome::Failed { failure: failure() });
    let heard = rig.heard();
    assert!(is_finished(&heard[0], task(1), 1), "what ran is answered all the same");
    assert!(matches!(heard[1], Heard::Failed { .. }));
    rig.answers(1, &[(task(9), Ok(7))], true);
    assert!(rig.heard().is_empty(), "nobody waits for that input any more");
    assert!(GONE.contains(&rig.worker.inventory()));
}

#[test]
fn a_cancel_that_crosses_the_result_throws_it_away() {
    let mut rig = Rig::with_peers(0);
    rig.hears(Say::Compute(vec![compute(task(1), vec![])]));
    rig.gives(task(1), 1);
    rig.hears(Say::Cancel(vec![(task(1), Attempt(2))]));
    assert_eq!(rig.worker.inventory().0, 1, "that was another attempt");
    rig.hears(Say::Cancel(vec![(task(1), Attempt(1))]));
    assert!(GONE.contains(&rig.worker.inventory()));
}

#[test]
fn a_second_attempt_is_not_hurt_by_the_first_one_that_was_cancelled() {
    let mut rig = Rig::with_peers(0);
    rig.hears(Say::Compute(vec![compute(task(1), vec![])]));
    rig.hears(Say::Cancel(vec![(task(1), Attempt(1))]));
    assert!(matches!(rig.heard()[..], [Heard::Lingering(_)]));
    let mut again = compute(task(1), vec![]);
    again.attempt = Attempt(2);
    rig.hears(Say::Compute(vec![again]));
    rig.gives(task(1), 2);
    rig.gives(task(1), 1);
    let heard = rig.heard();
    assert!(is_finished(&heard[0], task(1), 2) || matches!(&heard[0], Heard::Finished(list) if list.len() == 2));
    assert_eq!(rig.worker.inventory().0, 1, "the wanted value stays");
}

#[test]
fn stealing_gives_back_what_has_not_been_handed_out() {
    let mut rig = Rig::with_peers(1);
    let waiting = compute(task(4), vec![input(task(9), &[1])]);
    rig.hears(Say::Compute(vec![
        compute(task(1), vec![]),
        compute(task(2), vec![]),
        compute(task(3), vec![]),
        waiting,
    ]));
    rig.hears(Say::Steal([1, 3, 4, 7].map(|i| (task(i), Attempt(1))).to_vec()));
    let heard = rig.heard();
    let Heard::StealAnswer { given, kept } = &heard[0] else { panic!("{heard:?}") };
    assert_eq!(given[..], [(task(3), Attempt(1)), (task(4), Attempt(1))]);
    assert_eq!(kept[..], [(task(1), Attempt(1)), (task(7), Attempt(1))]);
    assert_eq!(rig.recalled, [(task(1), Attempt(1))], "perhaps it has not started");
    rig.done(task(1), 1, Outcome::Reschedule);
    assert!(matches!(rig.heard()[0], Heard::Failed { reschedule: true, .. }));
    assert!(!rig.started().contains(&task(3)), "it is somebody else's now");
}

#[test]
fn an_input_wanted_by_many_is_fetched_once_and_reported_once() {
    let mut rig = Rig::with_peers(2);
    rig.hears(Say::Compute((0..5).map(|i| compute(task(i), vec![input(task(9), &[1, 2])])).collect()));
    assert_eq!(rig.requests.len(), 1);
    let peer = rig.requests.values().next().expect("one request").0.0;
    rig.answers(peer, &[(task(9), Ok(100))], true);
    assert_eq!(rig.started().len(), 2);
    let heard = rig.heard();
    assert!(matches!(&heard[..], [Heard::Holding(list)] if list[..] == [(task(9), 100)]), "{heard:?}");
    rig.hears(Say::Compute(vec![compute(task(7), vec![input(task(9), &[1, 2])])]));
    assert!(rig.requests.is_empty() && rig.heard().is_empty(), "it is here");
}

#[test]
fn many_inputs_travel_in_one_request_and_are_spread_over_holders() {
    let mut rig = Rig::with_peers(2);
    rig.hears(Say::Compute((0..10).map(|i| compute(task(i), vec![input(task(100 + i), &[1, 2])])).collect()));
    let asked: Vec<usize> = rig.requests.values().map(|(_, tasks)| tasks.len()).collect();
    assert_eq!(asked, [5, 5]);
    let asked = rig.requests.values().next().expect("there are two").1.clone();
    let (peer, _) = *rig.requests.values().next().expect("there are two");
    rig.answers(peer.0, &[(asked[0], Ok(1))], false);
    assert_eq!(rig.started().len(), 1, "a part of an answer is used at once");
}

#[test]
fn requests_are_bounded_in_bytes_count_and_peers() {
    let config = Config { fetch_concurrency: 2, fetch_batch_count: 3, fetch_batch_bytes: 150, ..Config::default() };
    let mut rig = Rig::new(config);
    (1..=4).for_each(|id| rig.peer_joins(id));
    let tasks = (0..40).map(|i| compute(task(i), vec![input(task(100 + i), &[1 + i % 4])]));
    rig.hears(Say::Compute(tasks.collect()));
    assert_eq!(rig.requests.len(), 2, "two peers at a time");
    assert!(rig.requests.values().all(|(_, tasks)| tasks.len() == 2), "150 bytes are reached with the second");
    let mut asked = 0;
    while let Some((&request, (peer, tasks))) = rig.requests.first_key_value() {
        let (peer, results) = (peer.0, tasks.iter().map(|&task| (task, Ok(100))).collect::<Vec<_>>());
        asked += results.len();
        rig.requests.remove(&request);
        rig.answers_late(request, peer, &results, true);
    }
    assert_eq!(asked, 40, "each value is asked for once");
}

#[test]
fn every_holder_is_tried_once_and_then_the_scheduler_is_told() {
    let mut rig = Rig::with_peers(3);
    rig.hears(Say::Compute(vec![compute(task(1), vec![input(task(9), &[1, 2, 3, 0])])]));
    let mut tried = Vec::new();
    for problem in [NotThere, Undecodable, Unreachable] {
        let peer = rig.requests.values().next().expect("the next holder is asked").0;
        tried.push((task(9), peer, problem));
        rig.answers(peer.0, &[(task(9), Err(problem))], true);
    }
    let heard = rig.heard();
    let [Heard::InputsMissing { task: of, attempt, missing }] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!((*of, *attempt, missing), (task(1), Attempt(1), &tried));
    assert!(GONE.contains(&rig.worker.inventory()));
}

#[test]
fn an_input_without_holders_is_missing_at_once() {
    let mut rig = Rig::with_peers(0);
    rig.hears(Say::Compute(vec![compute(task(1), vec![input(task(9), &[0])])]));
    let heard = rig.heard();
    assert!(matches!(&heard[..], [Heard::InputsMissing { missing, .. }] if missing[..] == [(task(9), ME, NotThere)]));
    rig.hears(Say::Compute(vec![compute(task(2), vec![input(task(9), &[5])])]));
    let gone = (task(9), WorkerId(5), Unreachable);
    assert!(matches!(&rig.heard()[..], [Heard::InputsMissing { missing, .. }] if missing[..] == [gone]));
}

#[test]
fn a_peer_that_leaves_is_given_up_at_once_and_its_late_answer_does_no_harm() {
    let mut rig = Rig::with_peers(2);
    rig.hears(Say::Compute(vec![compute(task(1), vec![input(task(9), &[1, 2])])]));
    let (&request, (first, _)) = rig.requests.first_key_value().expect("one is asked");
    let (first, other) = (first.0, 3 - first.0);
    rig.peer_leaves(first);
    assert_eq!(rig.requests.values().next().expect("the other is asked").0, WorkerId(other));
    rig.answers_late(request, first, &[(task(9), Ok(5))], true);
    assert_eq!(rig.started(), [task(1)], "a value is a value");
    rig.answers(other, &[(task(9), Ok(5))], true);
    let heard = rig.heard();
    assert!(matches!(&heard[..], [Heard::Holding(list)] if list.len() == 1), "{heard:?}");
}

#[test]
fn a_peer_that_is_silent_for_too_long_is_given_up() {
    let mut rig = Rig::with_peers(2);
    rig.hears(Say::Compute(vec![compute(task(1), vec![input(task(9), &[1])])]));
    while rig.requests.len() == 1 && rig.started().is_empty() && rig.now < Tick::from_ms(100_000) {
        rig.now = rig.worker.next_deadline().expect("there is a heartbeat at least");
        rig.event(Event::Tick);
        rig.said.retain(|message| !matches!(message, Heard::Heartbeat(_)));
        if !rig.said.is_empty() {
            break;
        }
    }
    assert_eq!(rig.now, Tick::from_ms(60_000));
    let heard = rig.heard();
    assert!(
        matches!(&heard[..], [Heard::InputsMissing { missing, .. }] if missing[..] == [(task(9), WorkerId(1), Unreachable)])
    );
}

#[test]
fn a_value_freed_under_a_queued_attempt_is_fetched_again_and_under_a_running_one_is_not() {
    let mut rig = Rig::with_peers(1);
    rig.stores(task(9), 5);
    rig.hears(Say::Compute((0..3).map(|i| compute(task(i), vec![input(task(9), &[0, 1])])).collect()));
    assert_eq!(rig.started(), [task(0), task(1)]);
    rig.hears(Say::Free(vec![task(9)]));
    assert_eq!(rig.worker.metrics().2, 1, "the third waits again");
    rig.answers(1, &[(task(9), Ok(5))], true);
    rig.gives(task(0), 1);
    assert_eq!(rig.started(), [task(2)]);
}

#[test]
fn acquiring_is_always_answered() {
    let mut rig = Rig::with_peers(2);
    rig.hears(Say::Acquire(vec![
        input(task(1), &[1]),
        input(task(2), &[1]),
        input(task(3), &[]),
        input(task(4), &[2]),
    ]));
    rig.answers(1, &[(task(1), Ok(10)), (task(2), Err(NotThere))], true);
    rig.hears(Say::Free(vec![task(4)]));
    rig.hears(Say::Acquire(vec![input(task(1), &[1])]));
    let (mut holding, mut missing) = (Vec::new(), Vec::new());
    for message in rig.heard() {
        match message {
            Heard::Holding(list) => holding.extend(list),
            Heard::Missing(list) => missing.extend(list),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(holding, [(task(1), 10), (task(1), 10)]);
    let expected = [(task(3), ME, NotThere), (task(2), WorkerId(1), NotThere), (task(4), ME, NotThere)];
    assert_eq!(missing, expected);
}

#[test]
fn attempts_with_resources_run_as_far_as_these_reach() {
    let gpu = Resources::new([("GPU", 1.0)]).expect("a valid amount");
    let mut rig = Rig::new(Config { nthreads: 4, resources: gpu.clone(), ..Config::default() });
    let tasks =
        vec![needs(compute(task(1), vec![]), &gpu), needs(compute(task(2), vec![]), &gpu), compute(task(3), vec![])];
    rig.hears(Say::Compute(tasks));
    assert_eq!(rig.started(), [task(1), task(3)]);
    rig.gives(task(1), 1);
    assert_eq!(rig.started(), [task(2)]);
}

#[test]
fn an_attempt_that_seceded_makes_room() {
    let mut rig = Rig::with_peers(0);
    rig.hears(Say::Compute((0..4).map(|i| compute(task(i), vec![])).collect()));
    assert_eq!(rig.started(), [task(0), task(1)]);
    rig.event(Event::Seceded { task: task(0), attempt: Attempt(1) });
    assert_eq!(rig.started(), [task(2)]);
    rig.event(Event::Rejoined { task: task(0), attempt: Attempt(1) });
    rig.event(Event::Rejoined { task: task(0), attempt: Attempt(1) });
    assert!(rig.started().is_empty());
    let heard = rig.heard();
    assert!(matches!(heard[..], [Heard::Seceded(..), Heard::Rejoined(..)]), "{heard:?}");
}

#[test]
fn a_function_outlives_its_callers_and_no_longer() {
    let mut rig = Rig::with_peers(0);
    rig.hears(Say::Blobs(vec![(blob(1), Payload::empty()), (blob(2), Payload::empty())]));
    let mut calls = compute(task(1), vec![]);
    calls.function = Some(blob(1));
    rig.hears(Say::Compute(vec![calls]));
    rig.hears(Say::DropBlobs(vec![blob(1), blob(2)]));
    assert_eq!(rig.blobs.iter().copied().collect::<Vec<_>>(), [blob(1)]);
    rig.gives(task(1), 1);
    assert!(rig.blobs.is_empty());
}

#[test]
fn heartbeats_come_when_due_and_say_what_is_known() {
    let mut rig = Rig::with_peers(0);
    assert_eq!(rig.worker.next_deadline(), Some(Tick::from_ms(1000)));
    rig.hears(Say::Compute(vec![compute(task(1), vec![])]));
    rig.now = Tick::from_ms(1000);
    rig.event(Event::Tick);
    let heard = rig.heard();
    assert!(matches!(&heard[..], [Heard::Heartbeat(metrics)] if metrics.executing == 1), "{heard:?}");
    assert_eq!(rig.worker.next_deadline(), Some(Tick::from_ms(2000)));
}

#[test]
fn closing_waits_for_what_runs_and_starts_nothing() {
    let mut rig = Rig::with_peers(0);
    rig.hears(Say::Compute((0..3).map(|i| compute(task(i), vec![])).collect()));
    rig.hears(Say::Close { reason: Arc::from("enough") });
    rig.gives(task(0), 1);
    assert!(rig.closed.is_none());
    rig.gives(task(1), 1);
    assert_eq!((rig.started().len(), rig.closed.as_deref()), (2, Some("enough")));
    assert_eq!(rig.worker.next_deadline(), None);
}

#[test]
fn nonsense_closes_the_worker_and_says_why() {
    let gpu = Resources::new([("GPU", 1.0)]).expect("a valid amount");
    let mut zero = compute(task(1), vec![]);
    zero.attempt = Attempt(0);
    let mut unknown = compute(task(1), vec![]);
    unknown.function = Some(blob(7));
    let cases = [
        (Say::Compute(vec![compute(task(1), vec![]), compute(task(1), vec![])]), "not a new one"),
        (Say::Compute(vec![zero]), "not a new one"),
        (Say::Compute(vec![unknown]), "without the function"),
        (Say::Compute(vec![needs(compute(task(1), vec![]), &gpu)]), "does not offer"),
        (Say::Registered { worker: WorkerId(3), heartbeat_ms: 5 }, "twice"),
    ];
    for (message, expected) in cases {
        let mut rig = Rig::with_peers(0);
        rig.hears(message);
        let reason = rig.closed.expect("the worker closes");
        assert!(reason.contains(expected), "{reason}");
    }
}
