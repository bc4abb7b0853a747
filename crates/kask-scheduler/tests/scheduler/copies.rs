//! Copies and inputs that do not arrive: what is missing, busy, out of reach and undecodable, told apart.

use crate::common::{Cluster, Seen, graph, graph_with, key, keys, supervised};
use kask_scheduler::{Config, SupervisorId};
use kask_types::{Annotations, ClientId, Failure, TaskId, WorkerId, WorkerRestriction};
use kask_wire::client::Reply;
use kask_wire::worker::FetchProblem;
use kask_wire::{ClientToScheduler, WorkerToScheduler};

/// A worker with one value that goes, two that stay, and who is asked to take the value.
fn going_and_staying() -> (Cluster, ClientId, WorkerId, [WorkerId; 2]) {
    let mut cluster = Cluster::with(Config { heartbeat_timeout_ms: 1_000_000, ..Config::default() });
    let supervisor = SupervisorId(1);
    let going = supervised(&mut cluster, supervisor, "going");
    let client = cluster.client();
    cluster.submit(client, graph(&[("a", &[])]), &["a"]);
    cluster.run_all();
    let staying = [cluster.worker("one", 1), cluster.worker("two", 1)];
    cluster.tell(client, ClientToScheduler::Retire { request: 9, workers: vec!["going".into()] });
    (cluster, client, going, staying)
}

/// Who is asked to take a copy of what; nobody is any more afterwards.
fn asked_to_copy(cluster: &mut Cluster, workers: [WorkerId; 2]) -> Option<(WorkerId, TaskId)> {
    for id in workers {
        while cluster.deliver(id) {}
        let acquiring = std::mem::take(&mut cluster.workers.get_mut(&id).expect("alive").acquiring);
        if let Some(input) = acquiring.first() {
            return Some((id, input.task));
        }
    }
    None
}

fn closes(cluster: &mut Cluster, worker: WorkerId) -> bool {
    while cluster.deliver(worker) {}
    cluster.workers[&worker].closed
}

#[test]
fn a_copy_that_a_busy_worker_refused_is_asked_of_others_and_again_after_a_rest() {
    let (mut cluster, client, going, staying) = going_and_staying();
    let mut refused = Vec::new();
    // More often than a copy may fail.
    for tries in 0..12 {
        let (target, task) = asked_to_copy(&mut cluster, staying).expect("somebody is asked");
        refused.push(target);
        // The target itself, or the holder; either has it no less than before.
        let busy = if tries % 2 == 0 { target } else { going };
        cluster.say(target, WorkerToScheduler::Missing(vec![(task, busy, FetchProblem::Busy)]));
        assert!(asked_to_copy(&mut cluster, staying).is_none(), "it rests");
        cluster.wait_ms(1_000);
    }
    for pair in refused.chunks(2) {
        assert_ne!(pair[0], pair[1], "who has refused less is asked first");
    }
    assert!(!closes(&mut cluster, going), "its value is nowhere else");
    cluster.settle();
    assert!(closes(&mut cluster, going));
    assert_eq!(cluster.scheduler.counters().recomputed, 0);
    assert!(matches!(cluster.seen(client, "a"), Some(Seen::InMemory { .. })));
}

#[test]
fn a_copy_for_which_somebody_is_always_busy_is_left_in_the_end() {
    let (mut cluster, _, going, staying) = going_and_staying();
    let begin = cluster.now;
    while !closes(&mut cluster, going) {
        if let Some((target, task)) = asked_to_copy(&mut cluster, staying) {
            cluster.say(target, WorkerToScheduler::Missing(vec![(task, target, FetchProblem::Busy)]));
        }
        cluster.wait_ms(100);
        assert!(cluster.now.since_ns(begin) < 70_000_000_000, "every wait has an end");
    }
    assert!(cluster.now.since_ns(begin) >= 60_000_000_000, "not before");
}

#[test]
fn a_copy_that_fails_is_tried_at_once_and_only_so_often() {
    for problem in [FetchProblem::Unreachable, FetchProblem::Undecodable] {
        let (mut cluster, client, going, staying) = going_and_staying();
        for _ in 0..3 {
            assert!(!closes(&mut cluster, going));
            let (target, task) = asked_to_copy(&mut cluster, staying).expect("somebody is asked");
            cluster.say(target, WorkerToScheduler::Missing(vec![(task, going, problem)]));
            assert!(matches!(cluster.seen(client, "a"), Some(Seen::InMemory { worker, .. }) if worker == going));
        }
        assert!(closes(&mut cluster, going), "{problem:?}");
    }
}

#[test]
fn a_copy_whose_holder_does_not_have_the_value_is_made_anew() {
    let (mut cluster, client, going, staying) = going_and_staying();
    let (target, task) = asked_to_copy(&mut cluster, staying).expect("somebody is asked");
    cluster.say(target, WorkerToScheduler::Missing(vec![(task, going, FetchProblem::NotThere)]));
    assert_eq!(cluster.scheduler.counters().recomputed, 1);
    cluster.run_all();
    assert!(closes(&mut cluster, going));
    assert!(matches!(cluster.seen(client, "a"), Some(Seen::InMemory { worker, .. }) if staying.contains(&worker)));
}

#[test]
fn a_client_gets_its_copies_however_often_workers_are_busy_at_first() {
    let mut cluster = Cluster::new();
    let home = cluster.worker("home", 1);
    let client = cluster.client();
    cluster.submit(client, graph(&[("a", &[])]), &["a"]);
    cluster.run_all();
    let others = [cluster.worker("one", 1), cluster.worker("two", 1)];
    let keys = keys(&["a"]);
    cluster.tell(client, ClientToScheduler::Replicate { request: 7, keys, copies: 2, workers: None });
    let mut refused = Vec::new();
    for _ in 0..6 {
        let (target, task) = asked_to_copy(&mut cluster, others).expect("somebody is asked");
        refused.push(target);
        let missing = vec![(task, WorkerId(99), FetchProblem::Unreachable), (task, home, FetchProblem::Busy)];
        cluster.say(target, WorkerToScheduler::Missing(missing));
        assert!(cluster.answer(client, 7).is_none());
        cluster.wait_ms(1_000);
    }
    assert!(refused.contains(&others[0]) && refused.contains(&others[1]));
    cluster.settle();
    assert!(matches!(cluster.answer(client, 7), Some(Reply::Done)));
}

#[test]
fn an_attempt_whose_input_has_a_busy_holder_runs_there_and_the_value_stays_in_the_books() {
    let mut cluster = Cluster::new();
    let (source, sink) = (cluster.worker("source", 1), cluster.worker("sink", 1));
    let client = cluster.client();
    for (name, worker, nbytes) in [("a", "source", 100), ("big", "sink", 1 << 30)] {
        cluster.nbytes = nbytes;
        let there = Annotations {
            workers: Some(WorkerRestriction { workers: vec![worker.into()], allow_other_workers: false }),
            ..Annotations::default()
        };
        cluster.submit(client, graph_with(&[(name, &[])], there), &[name]);
        cluster.run_all();
    }
    cluster.submit(client, graph(&[("a", &[]), ("big", &[]), ("b", &["a", "big"])]), &["b"]);
    cluster.settle();
    assert_eq!(cluster.place("b"), Some(sink), "most of what it reads is there");
    let task = cluster.attempt(sink, "b");
    cluster.workers.get_mut(&sink).expect("alive").drop_attempt(task.task, task.attempt);
    let busy = task.inputs.iter().find(|input| input.holders.contains(&source)).expect("a is there").task;
    let missing = vec![(busy, source, FetchProblem::Busy)];
    cluster.say(sink, WorkerToScheduler::InputsMissing { task: task.task, attempt: task.attempt, missing });
    cluster.settle();
    assert_eq!(cluster.place("b"), Some(source));
    assert!(cluster.workers[&source].held.contains(&busy));
    cluster.run_all();
    assert!(matches!(cluster.seen(client, "b"), Some(Seen::InMemory { .. })));
    assert_eq!(cluster.scheduler.counters().recomputed, 0);
}

/// Scattered data that `source` holds, and a task that reads it on `sink`, once with and once without being bound there.
fn scattered_and_read(is_bound: bool) -> (Cluster, ClientId, WorkerId, WorkerId, TaskId) {
    let mut cluster = Cluster::new();
    let (client, source) = (cluster.client(), cluster.worker("source", 1));
    let values = vec![(key("data"), "data".into(), 8)];
    cluster.tell(client, ClientToScheduler::Scatter { request: 1, values, workers: None, broadcast: false });
    let Some(Reply::Scatter(places)) = cluster.answer(client, 1) else { panic!("not answered") };
    let data = places[0].1;
    cluster.workers.get_mut(&source).expect("alive").held.insert(data);
    cluster.say(source, WorkerToScheduler::Holding(vec![(data, 8)]));
    let sink = cluster.worker("sink", 1);
    let there = |yes: bool| Annotations {
        workers: yes.then(|| WorkerRestriction { workers: vec!["sink".into()], allow_other_workers: false }),
        ..Annotations::default()
    };
    cluster.nbytes = 1 << 30;
    cluster.submit(client, graph_with(&[("big", &[])], there(true)), &["big"]);
    cluster.run_all();
    cluster.submit(client, graph_with(&[("big", &[]), ("b", &["data", "big"])], there(is_bound)), &["b"]);
    cluster.settle();
    assert_eq!(cluster.place("b"), Some(sink));
    (cluster, client, source, sink, data)
}

fn cannot_fetch(cluster: &mut Cluster, worker: WorkerId, missing: Vec<(TaskId, WorkerId, FetchProblem)>) {
    let task = cluster.attempt(worker, "b");
    cluster.workers.get_mut(&worker).expect("alive").drop_attempt(task.task, task.attempt);
    cluster.say(worker, WorkerToScheduler::InputsMissing { task: task.task, attempt: task.attempt, missing });
    cluster.settle();
}

#[test]
fn what_cannot_be_computed_again_is_used_where_it_is_when_others_cannot_reach_it() {
    let (mut cluster, client, source, sink, data) = scattered_and_read(false);
    cannot_fetch(&mut cluster, sink, vec![(data, source, FetchProblem::Unreachable)]);
    assert_eq!(cluster.place("b"), Some(source));
    cluster.run_all();
    assert!(matches!(cluster.seen(client, "b"), Some(Seen::InMemory { .. })));
}

#[test]
fn a_live_worker_keeps_what_cannot_be_computed_again_however_often_it_was_not_reached() {
    let (mut cluster, client, source, sink, data) = scattered_and_read(true);
    for tries in 0..5 {
        assert!(cluster.seen(client, "b").is_none(), "after {tries} tries");
        cannot_fetch(&mut cluster, sink, vec![(data, source, FetchProblem::Unreachable)]);
    }
    match cluster.seen(client, "b") {
        Some(Seen::Ended(Failure::Raised(error))) => assert!(error.message.contains("connection"), "{error:?}"),
        seen => panic!("{seen:?}"),
    }
    assert!(cluster.workers[&source].held.contains(&data), "it was not freed");
    assert!(matches!(cluster.seen(client, "data"), Some(Seen::InMemory { worker, .. }) if worker == source));
}

#[test]
fn a_holder_without_the_value_is_no_other_holder() {
    let (mut cluster, client, source, sink, data) = scattered_and_read(true);
    let third = cluster.worker("third", 1);
    // The books say that the third worker has it as well.
    cluster.say(third, WorkerToScheduler::Holding(vec![(data, 8)]));
    let missing = vec![(data, source, FetchProblem::Unreachable), (data, third, FetchProblem::NotThere)];
    cannot_fetch(&mut cluster, sink, missing);
    assert!(cluster.workers[&source].held.contains(&data), "it was not freed");
    assert!(matches!(cluster.seen(client, "data"), Some(Seen::InMemory { worker, .. }) if worker == source));
}
