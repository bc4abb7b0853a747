//! Losses and their repair, and the deadlock classes that other schedulers suffered from, by name.

use crate::common::{Cluster, Seen, certificate, graph, graph_with, incarnation, key, keys, supervised};
use kask_scheduler::{Config, SupervisorId};
use kask_types::{Annotations, DeathCause, Failure, WorkerId, WorkerRestriction};
use kask_wire::client::{Reply, TaskStatus};
use kask_wire::worker::{FetchProblem, Finished};
use kask_wire::{ClientToScheduler, SchedulerToSupervisor, SupervisorToScheduler, WorkerToScheduler};

fn finished(task: kask_types::TaskId, attempt: kask_types::Attempt) -> WorkerToScheduler {
    let result = Finished { task, attempt, nbytes: 1, duration_ns: 1, started_us: 0, runner: 0 };
    WorkerToScheduler::Finished(vec![result])
}

#[test]
fn lost_results_are_computed_again_from_their_lineage() {
    let mut cluster = Cluster::new();
    let first = cluster.worker("first", 1);
    let client = cluster.client();
    cluster.submit(client, graph(&[("a", &[]), ("b", &["a"]), ("c", &["b"])]), &["b", "c"]);
    cluster.run_all();
    cluster.die(first);
    assert!(matches!(cluster.seen(client, "b"), Some(Seen::Pending)));
    assert_eq!(cluster.scheduler.counters().recomputed, 2);
    assert_eq!(cluster.scheduler.counters().workers_lost, 1);
    cluster.worker("second", 1);
    cluster.run_all();
    assert!(matches!(cluster.seen(client, "c"), Some(Seen::InMemory { .. })));
    assert_eq!(cluster.scheduler.counters().finished, 6);
}

#[test]
fn a_replica_saves_the_work() {
    let mut cluster = Cluster::new();
    let (one, two) = (cluster.worker("one", 1), cluster.worker("two", 1));
    let client = cluster.client();
    cluster.submit(client, graph(&[("a", &[])]), &["a"]);
    cluster.run_all();
    let Some(Seen::InMemory { worker: first, .. }) = cluster.seen(client, "a") else { panic!() };
    let message = ClientToScheduler::Replicate { request: 1, keys: keys(&["a"]), copies: 2, workers: None };
    cluster.tell(client, message);
    cluster.settle();
    cluster.die(first);
    let other = if first == one { two } else { one };
    match cluster.seen(client, "a") {
        Some(Seen::InMemory { worker, .. }) => assert_eq!(worker, other, "the client is told of the other copy"),
        seen => panic!("{seen:?}"),
    }
    assert_eq!(cluster.scheduler.counters().recomputed, 0);
}

#[test]
fn a_frozen_worker_is_found_and_killed() {
    let mut cluster = Cluster::new();
    let supervisor = SupervisorId(1);
    let worker = supervised(&mut cluster, supervisor, "w");
    let client = cluster.client();
    cluster.submit(client, graph(&[("a", &[])]), &["a"]);
    let due = cluster.scheduler.next_deadline().expect("somebody watches the worker");
    cluster.wait_ms(29_000);
    assert!(cluster.workers.contains_key(&worker) && due > cluster.now);
    cluster.say(worker, WorkerToScheduler::Heartbeat(kask_wire::worker::WorkerMetrics::default()));
    cluster.wait_ms(29_000);
    assert!(cluster.workers.contains_key(&worker), "a heartbeat was heard");
    cluster.wait_ms(2_000);
    assert!(!cluster.workers.contains_key(&worker));
    assert!(cluster.cut_off[0].contains("no sign of life"), "{:?}", cluster.cut_off);
    let kill = &cluster.told_supervisors[0].1;
    assert!(matches!(kill, SchedulerToSupervisor::Kill { retire: false, .. }), "{kill:?}");
    cluster.worker("other", 1);
    cluster.run_all();
    assert!(matches!(cluster.seen(client, "a"), Some(Seen::InMemory { .. })));
}

#[test]
fn a_task_that_kills_three_workers_fails_with_their_certificates() {
    let mut cluster = Cluster::new();
    let client = cluster.client();
    cluster.submit(client, graph(&[("poison", &[]), ("after", &["poison"])]), &["after"]);
    for number in 0..3 {
        assert!(cluster.seen(client, "after").is_none());
        let worker = cluster.worker(&format!("w{number}"), 1);
        cluster.settle();
        assert_eq!(cluster.place("poison"), Some(worker));
        cluster.die_of(worker, Some(certificate(DeathCause::Signalled(11), None)));
    }
    match cluster.seen(client, "after") {
        Some(Seen::Ended(Failure::KilledWorker { task, deaths })) => {
            assert_eq!((&*task, deaths.len()), ("poison", 3));
            assert_eq!(deaths[0].cause, DeathCause::Signalled(11));
        }
        seen => panic!("{seen:?}"),
    }
}

#[test]
fn innocent_neighbours_of_a_poison_task_are_spared() {
    let mut cluster = Cluster::new();
    let client = cluster.client();
    let names: Vec<String> = (0..5).map(|i| format!("t{i}")).collect();
    let defs: Vec<crate::common::Def<'_>> = names.iter().map(|name| (name.as_str(), &[][..])).collect();
    let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
    cluster.submit(client, graph(&defs), &wanted);
    for number in 0..40 {
        let worker = match cluster.workers.keys().next() {
            Some(&worker) => worker,
            None => cluster.worker(&format!("w{number}"), 8),
        };
        cluster.settle();
        let on = cluster.on(worker);
        if on.contains("t2") {
            cluster.die(worker);
        } else if let Some(name) = on.first() {
            cluster.finish(worker, &name.clone());
        }
    }
    for name in &wanted {
        match (*name, cluster.seen(client, name)) {
            ("t2", Some(Seen::Ended(Failure::KilledWorker { deaths, .. }))) => assert_eq!(deaths.len(), 3),
            ("t2", seen) => panic!("{seen:?}"),
            (_, Some(Seen::InMemory { .. })) => {}
            (name, seen) => panic!("{name}: {seen:?}"),
        }
    }
}

#[test]
fn a_certificate_that_names_the_task_clears_the_others() {
    let mut cluster = Cluster::new();
    let client = cluster.client();
    cluster.submit(client, graph(&[("guilty", &[]), ("innocent", &[])]), &["guilty", "innocent"]);
    for number in 0..3 {
        let worker = cluster.worker(&format!("w{number}"), 4);
        cluster.settle();
        assert_eq!(cluster.on(worker).len(), 2, "the innocent one is no suspect");
        cluster.die_of(worker, Some(certificate(DeathCause::Signalled(9), Some("guilty"))));
    }
    assert!(matches!(cluster.seen(client, "guilty"), Some(Seen::Ended(Failure::KilledWorker { .. }))));
    assert!(cluster.seen(client, "innocent").is_none());
}

#[test]
fn a_late_certificate_is_waited_for_and_believed() {
    let mut cluster = Cluster::with(Config { allowed_deaths: 1, ..Config::default() });
    let supervisor = SupervisorId(1);
    let worker = supervised(&mut cluster, supervisor, "w");
    let client = cluster.client();
    cluster.submit(client, graph(&[("guilty", &[]), ("innocent", &[])]), &["guilty", "innocent"]);
    cluster.settle();
    assert_eq!(cluster.on(worker).len(), 2);
    cluster.die(worker);
    assert!(cluster.seen(client, "guilty").is_none(), "the supervisor may know more");
    let certificate = certificate(DeathCause::Exited(3), Some("guilty"));
    let died = SupervisorToScheduler::WorkerDied { incarnation: incarnation(worker), certificate, restarting: false };
    cluster.supervise(supervisor, died);
    match cluster.seen(client, "guilty") {
        Some(Seen::Ended(Failure::KilledWorker { deaths, .. })) => {
            assert_eq!(deaths[0].cause, DeathCause::Exited(3));
        }
        seen => panic!("{seen:?}"),
    }
    cluster.worker("next", 1);
    cluster.run_all();
    assert!(matches!(cluster.seen(client, "innocent"), Some(Seen::InMemory { .. })));
}

#[test]
fn a_certificate_that_never_comes_is_not_waited_for_long() {
    let mut cluster = Cluster::with(Config { allowed_deaths: 1, ..Config::default() });
    let worker = supervised(&mut cluster, SupervisorId(1), "w");
    let client = cluster.client();
    cluster.submit(client, graph(&[("a", &[])]), &["a"]);
    cluster.die(worker);
    let due = cluster.scheduler.next_deadline().expect("the verdict is due");
    assert!(due <= cluster.now.after_ms(500));
    cluster.wait_ms(501);
    assert!(matches!(cluster.seen(client, "a"), Some(Seen::Ended(Failure::KilledWorker { .. }))));
}

#[test]
fn deaths_that_were_asked_for_and_deaths_by_memory_do_not_count() {
    let mut cluster = Cluster::with(Config { allowed_deaths: 1, ..Config::default() });
    let client = cluster.client();
    cluster.submit(client, graph(&[("a", &[])]), &["a"]);
    for (number, cause) in [DeathCause::Retired, DeathCause::OutOfMemory].into_iter().enumerate() {
        let worker = cluster.worker(&format!("w{number}"), 1);
        cluster.settle();
        assert_eq!(cluster.place("a"), Some(worker));
        cluster.die_of(worker, Some(certificate(cause, None)));
        assert!(cluster.seen(client, "a").is_none(), "{cause}");
    }
}

#[test]
fn a_supervisor_may_be_faster_than_the_connection() {
    let mut cluster = Cluster::new();
    let supervisor = SupervisorId(1);
    let worker = supervised(&mut cluster, supervisor, "w");
    let certificate = certificate(DeathCause::Signalled(9), None);
    let died = SupervisorToScheduler::WorkerDied { incarnation: incarnation(worker), certificate, restarting: true };
    cluster.supervise(supervisor, died);
    assert!(!cluster.workers.contains_key(&worker));
    assert_eq!(cluster.scheduler.counters().workers_lost, 1);
    cluster.die(worker);
    assert_eq!(cluster.scheduler.counters().workers_lost, 1, "it is lost once");
}

#[test]
fn work_that_has_not_started_moves_to_a_worker_that_joins() {
    let mut cluster = Cluster::new();
    let old = cluster.worker("old", 1);
    let client = cluster.client();
    let names: Vec<String> = (0..6).map(|i| format!("t{i}")).collect();
    let reads: &[&str] = &["root"];
    let mut defs: Vec<crate::common::Def<'_>> = names.iter().map(|name| (name.as_str(), reads)).collect();
    defs.push(("root", &[]));
    let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
    cluster.submit(client, graph(&defs), &wanted);
    cluster.settle();
    cluster.finish(old, "root");
    cluster.settle();
    assert_eq!(cluster.on(old).len(), 6);
    let running = cluster.workers[&old].queue[0].clone();
    cluster.workers.get_mut(&old).expect("alive").started.insert((running.task, running.attempt));
    let new = cluster.worker("new", 1);
    cluster.settle();
    assert!(!cluster.on(new).is_empty(), "some of it moved");
    assert!(cluster.on(old).contains(&running.name.to_string()), "what runs stays");
    assert!(cluster.scheduler.counters().stolen > 0);
    cluster.run_all();
    assert!(wanted.iter().all(|name| matches!(cluster.seen(client, name), Some(Seen::InMemory { .. }))));
}

/// Six tasks on a worker, one of them running, and a second worker that asked for work.
fn mid_steal(cluster: &mut Cluster) -> (WorkerId, WorkerId, kask_types::ClientId) {
    let old = cluster.worker("old", 1);
    let client = cluster.client();
    let names = ["t0", "t1", "t2", "t3", "t4", "t5"];
    let reads: &[&str] = &["root"];
    let mut defs: Vec<crate::common::Def<'_>> = names.iter().map(|&name| (name, reads)).collect();
    defs.push(("root", &[]));
    cluster.submit(client, graph(&defs), &names);
    cluster.settle();
    cluster.finish(old, "root");
    cluster.settle();
    cluster.workers.get_mut(&old).expect("alive").answers_steals = false;
    let new = cluster.worker("new", 1);
    cluster.settle();
    assert!(cluster.on(new).is_empty());
    (old, new, client)
}

#[test]
fn deadlock_class_stealing_beside_the_state_machine_victim_dies() {
    let mut cluster = Cluster::new();
    let (old, _, client) = mid_steal(&mut cluster);
    cluster.die(old);
    cluster.run_all();
    for name in ["t0", "t5"] {
        assert!(matches!(cluster.seen(client, name), Some(Seen::InMemory { .. })));
    }
}

#[test]
fn deadlock_class_stealing_beside_the_state_machine_task_is_cancelled() {
    let mut cluster = Cluster::new();
    let (old, _, client) = mid_steal(&mut cluster);
    let stale = cluster.attempt(old, "t5");
    cluster.cancel(client, "t5", true);
    let given = vec![(stale.task, stale.attempt)];
    cluster.say(old, WorkerToScheduler::StealAnswer { given, kept: vec![] });
    cluster.wait_ms(3_000);
    cluster.workers.get_mut(&old).expect("alive").answers_steals = true;
    cluster.run_all();
    assert_eq!(cluster.status(client, "t5"), TaskStatus::Unknown);
    assert!(matches!(cluster.seen(client, "t4"), Some(Seen::InMemory { .. })));
}

#[test]
fn deadlock_class_stealing_beside_the_state_machine_answer_is_lost() {
    let mut cluster = Cluster::new();
    let (old, new, client) = mid_steal(&mut cluster);
    cluster.wait_ms(2_100);
    cluster.workers.get_mut(&old).expect("alive").answers_steals = true;
    cluster.wait_ms(2_100);
    cluster.settle();
    assert!(!cluster.on(new).is_empty(), "after the lease it is asked again");
    cluster.run_all();
    assert!(matches!(cluster.seen(client, "t5"), Some(Seen::InMemory { .. })));
}

#[test]
fn deadlock_class_late_result_of_a_released_and_resubmitted_key() {
    let mut cluster = Cluster::new();
    let worker = cluster.worker("w", 1);
    let client = cluster.client();
    cluster.submit(client, graph(&[("a", &[])]), &["a"]);
    cluster.settle();
    let old = cluster.attempt(worker, "a");
    cluster.unwant(client, "a");
    cluster.submit(client, graph(&[("a", &[])]), &["a"]);
    cluster.say(worker, finished(old.task, old.attempt));
    assert_eq!(cluster.status(client, "a"), TaskStatus::Pending, "the late result is of another life of the key");
    cluster.settle();
    let new = cluster.attempt(worker, "a");
    assert_ne!(new.task, old.task);
    cluster.finish(worker, "a");
    assert!(matches!(cluster.seen(client, "a"), Some(Seen::InMemory { task, .. }) if task == new.task));
}

#[test]
fn deadlock_class_cancelled_and_resumed_intents() {
    let mut cluster = Cluster::new();
    let worker = cluster.worker("w", 4);
    let client = cluster.client();
    let keeper = cluster.client();
    cluster.submit(keeper, graph(&[("a", &[]), ("b", &["a"])]), &["b"]);
    cluster.run_all();
    let mut attempts = Vec::new();
    for _ in 0..3 {
        cluster.want(client, "a");
        cluster.settle();
        let attempt = cluster.attempt(worker, "a");
        cluster.workers.get_mut(&worker).expect("alive").started.insert((attempt.task, attempt.attempt));
        attempts.push(attempt.attempt);
        cluster.unwant(client, "a");
        cluster.settle();
    }
    assert!(attempts.windows(2).all(|pair| pair[0] < pair[1]), "each wish is an attempt of its own: {attempts:?}");
    cluster.want(client, "a");
    cluster.settle();
    let current = cluster.attempt(worker, "a");
    for &attempt in &attempts {
        cluster.say(worker, finished(current.task, attempt));
        assert!(cluster.seen(client, "a").is_none(), "an older attempt is not believed");
    }
    cluster.finish(worker, "a");
    assert!(matches!(cluster.seen(client, "a"), Some(Seen::InMemory { .. })));
}

#[test]
fn deadlock_class_an_address_is_not_an_identity() {
    let mut cluster = Cluster::new();
    let old = cluster.worker("w", 1);
    let client = cluster.client();
    cluster.submit(client, graph(&[("a", &[]), ("b", &["a"])]), &["b"]);
    cluster.settle();
    let late = cluster.attempt(old, "a");
    cluster.die(old);
    let new = cluster.worker("w", 1);
    cluster.say(old, finished(late.task, late.attempt));
    assert_eq!(cluster.cut_off.len(), 1, "the old life is sent away");
    assert_eq!(cluster.status(client, "a"), TaskStatus::Pending);
    cluster.settle();
    assert_eq!(cluster.place("a"), Some(new));
    cluster.run_all();
    assert!(matches!(cluster.seen(client, "b"), Some(Seen::InMemory { .. })));
}

#[test]
fn deadlock_class_fetch_failure_has_one_repair_owner() {
    let mut cluster = Cluster::new();
    let (one, two) = (cluster.worker("one", 1), cluster.worker("two", 1));
    let client = cluster.client();
    cluster.submit(client, graph(&[("a", &[]), ("b", &[]), ("c", &["a", "b"])]), &["c"]);
    cluster.settle();
    let (first, second) = (cluster.place("a").expect("placed"), cluster.place("b").expect("placed"));
    assert_ne!(first, second);
    cluster.finish(first, "a");
    cluster.finish(second, "b");
    cluster.settle();
    let worker = cluster.place("c").expect("placed");
    let other = if worker == one { two } else { one };
    cluster.workers.get_mut(&other).expect("alive").held.clear();
    cluster.finish(worker, "c");
    assert!(cluster.seen(client, "c").is_none());
    assert_eq!(cluster.scheduler.counters().recomputed, 1, "what nobody has is computed again");
    cluster.run_all();
    assert!(matches!(cluster.seen(client, "c"), Some(Seen::InMemory { .. })));
}

#[test]
fn a_value_that_cannot_travel_fails_its_reader_after_bounded_tries() {
    let mut cluster = Cluster::new();
    let source = cluster.worker("source", 1);
    let client = cluster.client();
    cluster.submit(client, graph(&[("a", &[])]), &["a"]);
    cluster.run_all();
    let elsewhere = Annotations {
        workers: Some(WorkerRestriction { workers: vec!["sink".into()], allow_other_workers: false }),
        ..Annotations::default()
    };
    let sink = cluster.worker("sink", 1);
    cluster.submit(client, graph_with(&[("b", &["a"])], elsewhere), &["b"]);
    for tries in 0..5 {
        cluster.settle();
        assert!(cluster.seen(client, "b").is_none(), "after {tries} tries");
        let task = cluster.attempt(sink, "b");
        cluster.workers.get_mut(&sink).expect("alive").drop_attempt(task.task, task.attempt);
        let missing = vec![(task.inputs[0].task, source, FetchProblem::Undecodable)];
        let message = WorkerToScheduler::InputsMissing { task: task.task, attempt: task.attempt, missing };
        cluster.say(sink, message);
    }
    match cluster.seen(client, "b") {
        Some(Seen::Ended(Failure::Raised(error))) => assert!(error.message.contains("could not be sent")),
        seen => panic!("{seen:?}"),
    }
    assert!(matches!(cluster.seen(client, "a"), Some(Seen::InMemory { .. })), "the value itself is fine");
}

#[test]
fn deadlock_class_scale_down_loses_nothing() {
    let mut cluster = Cluster::new();
    let supervisor = SupervisorId(1);
    let going = supervised(&mut cluster, supervisor, "going");
    let client = cluster.client();
    cluster.submit(client, graph(&[("a", &[]), ("unread", &[])]), &["a", "unread"]);
    cluster.run_all();
    let staying = cluster.worker("staying", 1);
    cluster.submit(client, graph(&[("b", &["a"])]), &["b"]);
    cluster.settle();
    let workers = vec!["going".into()];
    cluster.tell(client, ClientToScheduler::Retire { request: 9, workers });
    assert!(!cluster.workers[&going].closed);
    cluster.run_all();
    assert!(cluster.workers[&going].closed, "closed once everything is elsewhere");
    assert!(cluster.answer(client, 9).is_none());
    let kill =
        cluster.told_supervisors.iter().any(|(_, m)| matches!(m, SchedulerToSupervisor::Kill { retire: true, .. }));
    assert!(kill, "the supervisor does not start it again");
    let certificate = certificate(DeathCause::Retired, None);
    cluster.workers.remove(&going);
    cluster.say(going, WorkerToScheduler::Closing(certificate));
    assert!(matches!(cluster.answer(client, 9), Some(Reply::Done)));
    for name in ["a", "b", "unread"] {
        match cluster.seen(client, name) {
            Some(Seen::InMemory { worker, .. }) => assert_eq!(worker, staying),
            seen => panic!("{name}: {seen:?}"),
        }
    }
    assert_eq!(cluster.scheduler.counters().recomputed, 0);
    assert_eq!(cluster.scheduler.counters().workers_lost, 0);
}

#[test]
fn restarting_forgets_everything_and_waits_for_the_workers() {
    let mut cluster = Cluster::new();
    let supervisor = SupervisorId(1);
    let old = supervised(&mut cluster, supervisor, "w");
    let client = cluster.client();
    cluster.submit(client, graph(&[("a", &[]), ("b", &["a"])]), &["a", "b"]);
    cluster.settle();
    cluster.finish(old, "a");
    cluster.tell(client, ClientToScheduler::Restart { request: 2, timeout_ms: 5_000 });
    assert_eq!(cluster.scheduler.task_count(), 0);
    match cluster.seen(client, "b") {
        Some(Seen::Ended(Failure::Cancelled { reason })) => assert!(reason.contains("restarted")),
        seen => panic!("{seen:?}"),
    }
    assert!(matches!(cluster.told_supervisors[0].1, SchedulerToSupervisor::Kill { retire: false, .. }));
    cluster.die(old);
    assert!(cluster.answer(client, 2).is_none());
    cluster.worker("w", 1);
    assert!(matches!(cluster.answer(client, 2), Some(Reply::Done)));
    cluster.tell(client, ClientToScheduler::Restart { request: 3, timeout_ms: 5_000 });
    assert!(matches!(cluster.answer(client, 3), Some(Reply::Done)), "no supervisor: the worker only forgets");
}

#[test]
fn restarting_gives_up_at_its_deadline() {
    let mut cluster = Cluster::new();
    let worker = supervised(&mut cluster, SupervisorId(1), "w");
    let client = cluster.client();
    cluster.tell(client, ClientToScheduler::Restart { request: 2, timeout_ms: 5_000 });
    cluster.die(worker);
    assert!(cluster.scheduler.next_deadline().is_some());
    cluster.wait_ms(5_001);
    assert!(matches!(cluster.answer(client, 2), Some(Reply::Failed { .. })));
}

#[test]
fn nonsense_ends_the_connection_not_the_scheduler() {
    let mut cluster = Cluster::new();
    let liar = cluster.worker("liar", 1);
    cluster.worker("liar", 1);
    assert!(cluster.cut_off[0].contains("already"), "{:?}", cluster.cut_off);
    let task = kask_types::TaskId { slot: 7, generation: 0 };
    cluster.say(liar, finished(task, kask_types::Attempt(1)));
    assert!(cluster.cut_off[1].contains("nobody sent"), "{:?}", cluster.cut_off);
    cluster.say(liar, WorkerToScheduler::Heartbeat(kask_wire::worker::WorkerMetrics::default()));
    assert_eq!(cluster.cut_off.len(), 3);
    let client = cluster.client();
    cluster.die(liar);
    let info = kask_wire::client::ClientInfo {
        name: "twice".into(),
        incarnation: kask_types::Incarnation(3),
        versions: vec![],
    };
    cluster.tell(client, ClientToScheduler::Register(info));
    assert_eq!(cluster.cut_off.last().map(String::as_str), Some("a client registers once"));
}

#[test]
fn a_copy_that_nobody_asked_about_is_freed_when_the_task_is_gone() {
    let mut cluster = Cluster::new();
    let worker = cluster.worker("w", 1);
    let client = cluster.client();
    cluster.submit(client, graph(&[("a", &[])]), &["a"]);
    cluster.run_all();
    let Some(Seen::InMemory { task, .. }) = cluster.seen(client, "a") else { panic!() };
    cluster.unwant(client, "a");
    cluster.settle();
    cluster.workers.get_mut(&worker).expect("alive").held.insert(task);
    cluster.say(worker, WorkerToScheduler::Holding(vec![(task, 8)]));
    cluster.settle();
    assert!(cluster.workers[&worker].held.is_empty());
    let _ = key("a");
}
