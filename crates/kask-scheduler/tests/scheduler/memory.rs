//! Workers that run short of memory: what they get, what is taken from them, and what comes back after a restart.

use crate::common::{Cluster, Seen, certificate, graph, graph_with, incarnation, key, keys};
use kask_graph::{
    BlockInput, BlockSource, BlockwiseLayer, Graph, InputAxis, Layer, LayerKind, ShuffleLayer, ShuffleStage, Wanted,
};
use kask_scheduler::{Config, SupervisorId};
use kask_types::{Annotations, DeathCause, Failure, Key, LayerToken, Payload, TaskId, WorkerId, WorkerRestriction};
use kask_wire::client::{Query, Reply};
use kask_wire::worker::Pressure;
use kask_wire::{ClientToScheduler, SupervisorToScheduler, WorkerToScheduler};
use std::collections::BTreeSet;

const SUPERVISOR: SupervisorId = SupervisorId(1);
const GIB: u64 = 1 << 30;

/// Tasks without inputs by these names.
fn roots(names: &[&str]) -> Graph {
    let defs: Vec<crate::common::Def<'_>> = names.iter().map(|name| (*name, &[] as &[&str])).collect();
    graph(&defs)
}

/// A worker whose supervisor is known.
fn supervised(cluster: &mut Cluster, name: &str) -> WorkerId {
    cluster.supervise(SUPERVISOR, SupervisorToScheduler::Register { host: "host".into(), pid: 1 });
    let worker = cluster.worker(name, 1);
    cluster.supervise(SUPERVISOR, SupervisorToScheduler::Started { incarnation: incarnation(worker) });
    worker
}

/// The worker ends, and its supervisor starts another.
fn dies_and_restarts(cluster: &mut Cluster, worker: WorkerId, restarting: bool) {
    cluster.die(worker);
    let died = SupervisorToScheduler::WorkerDied {
        incarnation: incarnation(worker),
        certificate: certificate(DeathCause::Signalled(9), None),
        restarting,
    };
    cluster.supervise(SUPERVISOR, died);
}

fn task_id(cluster: &Cluster, client: kask_types::ClientId, name: &str) -> TaskId {
    match cluster.seen(client, name) {
        Some(Seen::InMemory { task, .. }) => task,
        seen => panic!("{name} is {seen:?}"),
    }
}

/// Comes in the place of another worker, with these values on its disk.
fn comes_back(cluster: &mut Cluster, name: &str, values: &[TaskId]) -> WorkerId {
    let worker = cluster.worker(name, 1);
    cluster.workers.get_mut(&worker).expect("it registered").held.extend(values);
    let values = values.iter().map(|&task| (task, 100)).collect();
    cluster.say(worker, WorkerToScheduler::Adopted(values));
    worker
}

#[test]
fn producers_wait_for_the_consumers_of_a_tight_worker() {
    let mut cluster = Cluster::new();
    let worker = cluster.worker("w", 2);
    let client = cluster.client();
    cluster.pressure(worker, Pressure::Tight);
    cluster.submit(client, roots(&["a", "b", "c", "d"]), &["a", "b", "c", "d"]);
    cluster.settle();
    assert_eq!(cluster.on(worker).len(), 2, "each runner has one and nothing is queued there");
    cluster.finish(worker, "a");
    cluster.settle();
    assert_eq!(cluster.on(worker), BTreeSet::from(["b".into(), "c".into()]));
    // What reads what is there is sent at once.
    cluster.submit(client, graph(&[("a", &[]), ("e", &["a"]), ("f", &["a"])]), &["e", "f"]);
    cluster.finish(worker, "b");
    cluster.settle();
    assert_eq!(cluster.on(worker), BTreeSet::from(["c".into(), "e".into(), "f".into()]), "d waits for them");
    cluster.run_all();
    assert!(matches!(cluster.seen(client, "d"), Some(Seen::InMemory { .. })));
}

#[test]
fn small_results_do_not_hold_up_producers() {
    let mut cluster = Cluster::new();
    cluster.memory_limit_bytes = GIB;
    let worker = cluster.worker("w", 1);
    let client = cluster.client();
    cluster.submit(client, roots(&["first"]), &["first"]);
    cluster.run_all();
    cluster.pressure(worker, Pressure::Tight);
    let names: Vec<String> = (0..50).map(|n| format!("t{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    cluster.submit(client, roots(&names), &names);
    cluster.settle();
    assert_eq!(cluster.on(worker).len(), 10, "as many as fill its time, as they are known to be small");
}

#[test]
fn roots_prefer_comfortable_workers() {
    let mut cluster = Cluster::new();
    let (tight, free) = (cluster.worker("tight", 4), cluster.worker("free", 1));
    let client = cluster.client();
    cluster.pressure(tight, Pressure::Tight);
    cluster.submit(client, roots(&["a"]), &["a"]);
    cluster.settle();
    assert_eq!(cluster.place("a"), Some(free));
}

#[test]
fn a_full_worker_gets_nothing_that_another_can_run() {
    let mut cluster = Cluster::new();
    let full = cluster.worker("full", 1);
    let client = cluster.client();
    cluster.submit(client, roots(&["a"]), &["a"]);
    cluster.run_all();
    cluster.pressure(full, Pressure::Full);
    let other = cluster.worker("other", 1);
    cluster.submit(client, graph(&[("a", &[]), ("b", &["a"]), ("c", &[])]), &["b", "c"]);
    cluster.settle();
    assert_eq!(cluster.on(full), BTreeSet::new());
    assert_eq!(cluster.on(other), BTreeSet::from(["b".into(), "c".into()]));
    cluster.pressure(other, Pressure::Full);
    cluster.submit(client, graph(&[("a", &[]), ("d", &["a"]), ("e", &[])]), &["d", "e"]);
    cluster.settle();
    assert_eq!(cluster.place("d"), Some(full), "everybody is full, and it holds what is read");
    assert_eq!(cluster.place("e"), None, "new values wait");
    cluster.pressure(full, Pressure::Comfortable);
    cluster.settle();
    assert_eq!(cluster.place("e"), Some(full));
}

#[test]
fn full_workers_go_on_one_task_at_a_time() {
    let mut cluster = Cluster::new();
    let workers = [cluster.worker("one", 4), cluster.worker("two", 4)];
    let client = cluster.client();
    workers.iter().for_each(|&worker| cluster.pressure(worker, Pressure::Full));
    let names = ["a", "b", "c", "d", "e"];
    cluster.submit(client, roots(&names), &names);
    cluster.settle();
    assert_eq!(workers.map(|worker| cluster.on(worker).len()), [1, 1]);
    cluster.run_all();
    assert!(names.iter().all(|name| matches!(cluster.seen(client, name), Some(Seen::InMemory { .. }))));
}

#[test]
fn nothing_is_stolen_towards_a_worker_short_of_memory() {
    for (pressure, moves) in [(Pressure::Comfortable, true), (Pressure::Tight, false), (Pressure::Full, false)] {
        let mut cluster = Cluster::new();
        let busy = cluster.worker("busy", 1);
        let client = cluster.client();
        let names: Vec<String> = (0..20).map(|n| format!("t{n}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut defs: Vec<crate::common::Def<'_>> = names.iter().map(|name| (*name, &["in"] as &[&str])).collect();
        defs.push(("in", &[]));
        cluster.submit(client, graph(&defs), &names);
        cluster.run_all_until(|cluster| cluster.on(busy).len() >= 20);
        // What is asked for before the idle worker says how it stands comes to nothing.
        cluster.workers.get_mut(&busy).expect("alive").answers_steals = false;
        let idle = cluster.worker("idle", 1);
        cluster.pressure(idle, pressure);
        cluster.settle();
        cluster.workers.get_mut(&busy).expect("alive").answers_steals = true;
        for _ in 0..30 {
            cluster.wait_ms(100);
            cluster.settle();
        }
        assert_eq!(!cluster.on(idle).is_empty(), moves, "{pressure:?}");
        assert_eq!(cluster.scheduler.counters().stolen > 0, moves, "{pressure:?}");
    }
}

#[test]
fn what_is_handed_back_goes_elsewhere() {
    let mut cluster = Cluster::new();
    let first = cluster.worker("first", 1);
    let client = cluster.client();
    cluster.submit(client, roots(&["a"]), &["a"]);
    cluster.settle();
    cluster.pressure(first, Pressure::Full);
    cluster.hand_back(first, "a");
    let second = cluster.worker("second", 1);
    cluster.settle();
    assert_eq!(cluster.place("a"), Some(second));
    assert_eq!(cluster.scheduler.counters().handed_back, 1);
    cluster.run_all();
    assert!(matches!(cluster.seen(client, "a"), Some(Seen::InMemory { .. })));
}

#[test]
fn what_the_only_worker_hands_back_comes_again_after_a_rest() {
    let mut cluster = Cluster::new();
    let worker = cluster.worker("w", 1);
    let client = cluster.client();
    cluster.submit(client, roots(&["a"]), &["a"]);
    cluster.settle();
    cluster.hand_back(worker, "a");
    cluster.settle();
    assert_eq!(cluster.place("a"), None);
    cluster.wait_ms(99);
    cluster.settle();
    assert_eq!(cluster.place("a"), None, "it rests");
    assert!(cluster.scheduler.next_deadline().is_some_and(|due| due <= cluster.now.after_ms(1)));
    cluster.wait_ms(2);
    cluster.settle();
    assert_eq!(cluster.place("a"), Some(worker));
    cluster.hand_back(worker, "a");
    cluster.pressure(worker, Pressure::Comfortable);
    cluster.settle();
    assert_eq!(cluster.place("a"), Some(worker), "its pressure changed");
}

#[test]
fn what_has_room_nowhere_fails_by_name() {
    let mut cluster = Cluster::with(Config { allowed_hand_backs: 3, ..Config::default() });
    let worker = cluster.worker("tiny", 1);
    let client = cluster.client();
    cluster.pressure(worker, Pressure::Full);
    cluster.submit(client, graph(&[("a", &[]), ("b", &["a"])]), &["b"]);
    for _ in 0..3 {
        cluster.settle();
        cluster.hand_back(worker, "a");
        cluster.wait_ms(200);
    }
    cluster.settle();
    match cluster.seen(client, "b") {
        Some(Seen::Ended(Failure::OutOfMemory { task, reason })) => {
            assert_eq!(&*task, "a");
            assert!(reason.contains("worker tiny") && reason.contains("release results"), "{reason}");
        }
        seen => panic!("{seen:?}"),
    }
    assert_eq!(cluster.scheduler.counters().handed_back, 3);
}

#[test]
fn a_task_whose_worker_ran_out_of_memory_asks_for_more_each_time() {
    let mut cluster = Cluster::with(Config { allowed_memory_deaths: 4, ..Config::default() });
    cluster.memory_limit_bytes = GIB;
    let client = cluster.client();
    let annotations = Annotations { memory_bytes: GIB / 8, ..Annotations::default() };
    cluster.submit(client, graph_with(&[("big", &[]), ("small", &[])], annotations), &["big", "small"]);
    let mut told = Vec::new();
    for life in 0..4 {
        let worker = cluster.worker(&format!("w{life}"), 2);
        cluster.settle();
        told.push(cluster.attempt(worker, "big").memory_bytes);
        assert_eq!(cluster.attempt(worker, "small").memory_bytes, GIB / 8, "it was cleared");
        cluster.die_of(worker, Some(certificate(DeathCause::OutOfMemory, Some("big"))));
    }
    assert_eq!(told, [GIB / 8, GIB / 2, GIB, GIB]);
    assert_eq!(cluster.scheduler.counters().memory_deaths, 4);
    match cluster.seen(client, "big") {
        Some(Seen::Ended(failure @ Failure::KilledWorker { .. })) => {
            assert_eq!(failure.to_string().matches("ran out of memory").count(), 4, "{failure}");
        }
        seen => panic!("{seen:?}"),
    }
}

#[test]
fn deaths_that_bring_nothing_new_come_to_an_end_whatever_ran() {
    let mut cluster = Cluster::with(Config { allowed_memory_deaths: 5, ..Config::default() });
    cluster.memory_limit_bytes = GIB;
    let client = cluster.client();
    let names: Vec<String> = (0..40).map(|number| format!("t{number}")).collect();
    let roots: Vec<(&str, &[&str])> = names.iter().map(|name| (&**name, &[][..])).collect();
    let wanted: Vec<&str> = names.iter().map(|name| &**name).collect();
    cluster.submit(client, graph(&roots), &wanted);
    let mut lives = 0;
    let ended = loop {
        let worker = cluster.worker(&format!("w{lives}"), 1);
        cluster.settle();
        // A few results, which are lost with the next death: of another task each time.
        for _ in 0..3 {
            let on: Vec<String> = cluster.on(worker).into_iter().collect();
            cluster.finish(worker, &on[lives % on.len()]);
            cluster.settle();
        }
        let on: Vec<String> = cluster.on(worker).into_iter().collect();
        let running = on.get((7 * lives) % on.len()).cloned();
        cluster.die_of(worker, Some(certificate(DeathCause::OutOfMemory, running.as_deref())));
        cluster.settle();
        lives += 1;
        let ended = wanted.iter().find_map(|name| match cluster.seen(client, name) {
            Some(Seen::Ended(failure)) => Some(failure.clone()),
            _ => None,
        });
        if let Some(failure) = ended {
            break failure;
        }
        assert!(lives < 100, "it goes on and on");
    };
    assert!((15..=40).contains(&lives), "{lives}");
    assert!(matches!(ended, Failure::OutOfMemory { .. } | Failure::KilledWorker { .. }), "{ended}");
    assert!(ended.to_string().contains("nothing new came of it"), "{ended}");
}

#[test]
fn a_late_account_of_a_death_by_memory_counts_as_much() {
    let mut cluster = Cluster::new();
    cluster.memory_limit_bytes = GIB;
    let client = cluster.client();
    let worker = supervised(&mut cluster, "w");
    cluster.submit(client, roots(&["big"]), &["big"]);
    cluster.settle();
    cluster.die(worker);
    let died = SupervisorToScheduler::WorkerDied {
        incarnation: incarnation(worker),
        certificate: certificate(DeathCause::OutOfMemory, None),
        restarting: true,
    };
    cluster.supervise(SUPERVISOR, died);
    let next = cluster.worker("w", 1);
    cluster.settle();
    assert_eq!(cluster.attempt(next, "big").memory_bytes, GIB / 2);
    assert_eq!(cluster.scheduler.counters().memory_deaths, 1);
}

#[test]
fn work_goes_where_its_result_fits() {
    let mut cluster = Cluster::new();
    cluster.nbytes = GIB / 4;
    let client = cluster.client();
    cluster.memory_limit_bytes = GIB;
    let crowded = cluster.worker("crowded", 1);
    cluster.submit(client, roots(&["a", "b", "c"]), &["a", "b", "c"]);
    cluster.run_all();
    let roomy = cluster.worker("roomy", 1);
    // A small input there does not outweigh a result that has to be spilled there.
    cluster.nbytes = 1 << 10;
    cluster.pressure(roomy, Pressure::Full);
    let said = Annotations { result_bytes: 1 << 10, ..Annotations::default() };
    let mut tiny = graph_with(&[("tiny", &[])], said);
    tiny.layers[0].prefix = "tiny".into();
    cluster.submit(client, tiny, &["tiny"]);
    cluster.run_all();
    cluster.pressure(roomy, Pressure::Comfortable);
    assert!(cluster.workers[&crowded].held.len() == 4);
    cluster.submit(client, graph(&[("tiny", &[]), ("next", &["tiny"])]), &["next"]);
    cluster.settle();
    assert_eq!(cluster.place("next"), Some(roomy));
}

#[test]
fn a_full_worker_is_relieved_of_what_only_it_holds() {
    let mut cluster = Cluster::new();
    let full = cluster.worker("full", 1);
    let client = cluster.client();
    let names: Vec<String> = (0..100).map(|n| format!("v{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    cluster.submit(client, roots(&names), &names);
    cluster.run_all();
    let free = cluster.worker("free", 1);
    cluster.pressure(full, Pressure::Full);
    assert_eq!(cluster.workers[&full].held.len(), 100);
    cluster.wait_ms(60);
    cluster.settle();
    let first = cluster.workers[&free].held.len();
    assert!(first > 0 && first <= 64, "bounded: {first}");
    for _ in 0..5 {
        cluster.wait_ms(60);
        cluster.settle();
    }
    assert_eq!((cluster.workers[&full].held.len(), cluster.workers[&free].held.len()), (0, 100));
    assert_eq!(cluster.scheduler.counters().relieved, 100);
    for name in &names {
        match cluster.seen(client, name) {
            Some(Seen::InMemory { worker, .. }) => assert_eq!(worker, free, "the client knows where {name} is"),
            seen => panic!("{seen:?}"),
        }
    }
    assert!(cluster.scheduler.counters().recomputed == 0);
}

#[test]
fn relief_ends_with_the_pressure_and_spares_inputs_of_attempts() {
    let mut cluster = Cluster::new();
    let full = cluster.worker("full", 1);
    let client = cluster.client();
    cluster.submit(
        client,
        graph(&[("used", &[]), ("spare", &[]), ("reader", &["used"])]),
        &["used", "spare", "reader"],
    );
    cluster.settle();
    cluster.finish(full, "used");
    cluster.finish(full, "spare");
    cluster.settle();
    let free = cluster.worker("free", 1);
    cluster.pressure(full, Pressure::Full);
    for _ in 0..4 {
        cluster.wait_ms(60);
        cluster.settle();
    }
    let used = task_id(&cluster, client, "used");
    assert_eq!(cluster.workers[&full].held, BTreeSet::from([used]), "the reader is on it");
    cluster.finish(full, "reader");
    cluster.pressure(full, Pressure::Comfortable);
    for _ in 0..4 {
        cluster.wait_ms(60);
        cluster.settle();
    }
    assert_eq!(cluster.workers[&full].held.len(), 2);
    assert_eq!(cluster.workers[&free].held.len(), 1);
}

#[test]
fn values_that_come_back_are_not_computed_again() {
    let mut cluster = Cluster::new();
    cluster.duration_ns = 3_000_000_000;
    let client = cluster.client();
    let first = supervised(&mut cluster, "w");
    cluster.submit(client, graph(&[("a", &[]), ("b", &[]), ("c", &["a", "b"])]), &["a", "b"]);
    cluster.run_all();
    let (a, b) = (task_id(&cluster, client, "a"), task_id(&cluster, client, "b"));
    cluster.spilled(first);
    dies_and_restarts(&mut cluster, first, true);
    let other = cluster.worker("other", 2);
    cluster.settle();
    assert_eq!(cluster.on(other), BTreeSet::new(), "computing takes longer than waiting");
    assert!(matches!(cluster.seen(client, "a"), Some(Seen::Pending)));
    let second = comes_back(&mut cluster, "w", &[a]);
    cluster.settle();
    assert!(matches!(cluster.seen(client, "a"), Some(Seen::InMemory { worker, .. }) if worker == second));
    assert_eq!(cluster.place("b").map(|worker| cluster.on(worker)), Some(BTreeSet::from(["b".into()])));
    let counters = cluster.scheduler.counters();
    assert_eq!((counters.adopted, counters.recomputed), (1, 1));
    assert_eq!(b.slot, task_id_after(&mut cluster, client, "b").slot);
}

fn task_id_after(cluster: &mut Cluster, client: kask_types::ClientId, name: &str) -> TaskId {
    cluster.run_all();
    task_id(cluster, client, name)
}

#[test]
fn what_does_not_come_back_in_time_is_computed_again() {
    let ends: [fn(&mut Cluster); 3] = [
        |cluster| cluster.wait_ms(2_001),
        // The new life has nothing, and says something else first.
        |cluster| {
            let worker = cluster.worker("w", 1);
            cluster.pressure(worker, Pressure::Comfortable);
        },
        |cluster| {
            comes_back(cluster, "w", &[]);
        },
    ];
    for end in ends {
        let mut cluster = Cluster::new();
        cluster.duration_ns = 3_000_000_000;
        let client = cluster.client();
        let first = supervised(&mut cluster, "w");
        cluster.submit(client, roots(&["a"]), &["a"]);
        cluster.run_all();
        cluster.spilled(first);
        dies_and_restarts(&mut cluster, first, true);
        cluster.worker("other", 2);
        cluster.settle();
        assert_eq!(cluster.place("a"), None);
        end(&mut cluster);
        cluster.settle();
        assert!(cluster.place("a").is_some());
        assert_eq!(cluster.scheduler.counters().recomputed, 1);
    }
}

#[test]
fn only_what_is_worth_it_is_waited_for() {
    // Short tasks; a worker with nothing on its disk; one that is not started again.
    for (duration_ns, spills, restarting) in
        [(1_000_000, true, true), (3_000_000_000, false, true), (3_000_000_000, true, false)]
    {
        let mut cluster = Cluster::new();
        cluster.duration_ns = duration_ns;
        let client = cluster.client();
        let first = supervised(&mut cluster, "w");
        cluster.submit(client, roots(&["a"]), &["a"]);
        cluster.run_all();
        let a = task_id(&cluster, client, "a");
        if spills {
            cluster.spilled(first);
        }
        dies_and_restarts(&mut cluster, first, restarting);
        let other = cluster.worker("other", 2);
        cluster.settle();
        assert_eq!(cluster.place("a"), Some(other));
        assert_eq!(cluster.scheduler.counters().recomputed, 1);
        // What comes back all the same ends the attempt.
        let second = comes_back(&mut cluster, "w", &[a]);
        cluster.settle();
        assert_eq!(cluster.scheduler.counters().recomputed, 0, "it need not be");
        assert_eq!(cluster.on(other), BTreeSet::new());
        assert!(matches!(cluster.seen(client, "a"), Some(Seen::InMemory { worker, .. }) if worker == second));
    }
}

#[test]
fn scattered_values_come_back() {
    let mut cluster = Cluster::new();
    let client = cluster.client();
    let first = supervised(&mut cluster, "w");
    let values = vec![(key("data"), "data".into(), 8)];
    cluster.tell(client, ClientToScheduler::Scatter { request: 1, values, workers: None, broadcast: false });
    let Some(Reply::Scatter(places)) = cluster.answer(client, 1) else { panic!("not answered") };
    let task = places[0].1;
    cluster.say(first, WorkerToScheduler::Holding(vec![(task, 8)]));
    cluster.submit(client, graph(&[("next", &["data"])]), &["next"]);
    cluster.spilled(first);
    dies_and_restarts(&mut cluster, first, true);
    assert!(!matches!(cluster.seen(client, "next"), Some(Seen::Ended(_))), "it is not lost yet");
    comes_back(&mut cluster, "w", &[task]);
    cluster.run_all();
    assert!(matches!(cluster.seen(client, "next"), Some(Seen::InMemory { .. })));
}

#[test]
fn what_nobody_needs_is_freed_when_it_comes_back() {
    let mut cluster = Cluster::new();
    let client = cluster.client();
    let first = supervised(&mut cluster, "w");
    cluster.submit(client, roots(&["a"]), &["a"]);
    cluster.run_all();
    let a = task_id(&cluster, client, "a");
    dies_and_restarts(&mut cluster, first, true);
    cluster.unwant(client, "a");
    let stranger = TaskId { slot: 77, generation: 3 };
    let second = comes_back(&mut cluster, "w", &[a, stranger]);
    cluster.settle();
    assert_eq!(cluster.workers[&second].held, BTreeSet::new());
    assert_eq!(cluster.scheduler.counters().adopted, 0);
}

#[test]
fn what_a_new_worker_was_told_to_free_is_not_believed_to_be_there() {
    let mut cluster = Cluster::new();
    let client = cluster.client();
    let first = supervised(&mut cluster, "w");
    let other = cluster.worker("other", 1);
    let workers = Some(WorkerRestriction { workers: vec!["w".into()], allow_other_workers: false });
    cluster.submit(client, graph_with(&[("a", &[])], Annotations { workers, ..Annotations::default() }), &["a"]);
    cluster.run_all();
    let a = task_id(&cluster, client, "a");
    cluster.pressure(first, Pressure::Full);
    cluster.submit(client, graph(&[("b", &["a"])]), &["b"]);
    cluster.run_all();
    // Another worker has what was made of it, so the task is kept, but not its value.
    cluster.workers.get_mut(&other).expect("alive").held.remove(&a);
    cluster.tell(client, ClientToScheduler::Missing(vec![(key("a"), other)]));
    dies_and_restarts(&mut cluster, first, true);
    // The new life gets work before it has said what it has; that work is given up, and wanted again.
    let second = cluster.worker("w", 1);
    cluster.workers.get_mut(&second).expect("it registered").held.insert(a);
    cluster.unwant(client, "a");
    cluster.want(client, "a");
    cluster.say(second, WorkerToScheduler::Adopted(vec![(a, 100)]));
    cluster.run_all();
    assert_eq!(task_id(&cluster, client, "a"), a);
    assert!(cluster.workers[&second].held.contains(&a), "the books say what is there");
}

#[test]
fn a_late_result_does_not_free_the_copy_that_came_meanwhile() {
    let mut cluster = Cluster::new();
    let client = cluster.client();
    let first = supervised(&mut cluster, "w");
    cluster.submit(client, roots(&["a"]), &["a"]);
    cluster.run_all();
    let a = task_id(&cluster, client, "a");
    dies_and_restarts(&mut cluster, first, true);
    let other = cluster.worker("other", 1);
    cluster.settle();
    let attempt = cluster.attempt(other, "a");
    cluster.workers.get_mut(&other).expect("alive").started.insert((a, attempt.attempt));
    comes_back(&mut cluster, "w", &[a]);
    cluster.settle();
    // The attempt ends, its result is thrown away, and a copy is there just before the scheduler has answered.
    cluster.finish_attempt(other, a, attempt.attempt);
    cluster.workers.get_mut(&other).expect("alive").held.insert(a);
    cluster.say(other, WorkerToScheduler::Holding(vec![(a, 100)]));
    cluster.settle();
    let Reply::WhoHas(known) = cluster.ask(client, Query::WhoHas(Some(keys(&["a"])))) else { panic!() };
    assert_eq!(known[0].2.len(), 2);
    assert!(cluster.workers[&other].held.contains(&a), "the books say so");
}

#[test]
fn a_client_that_asked_in_vain_learns_where_the_value_is() {
    let mut cluster = Cluster::new();
    let (one, two) = (cluster.worker("one", 1), cluster.worker("two", 1));
    let client = cluster.client();
    cluster.submit(client, roots(&["a"]), &["a"]);
    cluster.run_all();
    let Some(Seen::InMemory { worker: first, .. }) = cluster.seen(client, "a") else { panic!() };
    let message = ClientToScheduler::Replicate { request: 1, keys: keys(&["a"]), copies: 2, workers: None };
    cluster.tell(client, message);
    cluster.settle();
    cluster.tell(client, ClientToScheduler::Missing(vec![(key("a"), first)]));
    let other = if first == one { two } else { one };
    assert!(matches!(cluster.seen(client, "a"), Some(Seen::InMemory { worker, .. }) if worker == other));
    // The other one has lost it as well.
    cluster.workers.get_mut(&other).expect("alive").held.clear();
    cluster.tell(client, ClientToScheduler::Missing(vec![(key("a"), other)]));
    assert!(matches!(cluster.seen(client, "a"), Some(Seen::Pending)));
    cluster.run_all();
    assert!(matches!(cluster.seen(client, "a"), Some(Seen::InMemory { .. })));
    assert_eq!(cluster.scheduler.counters().recomputed, 1);
    // Who does not want a key has no say.
    let stranger = cluster.client();
    let Some(Seen::InMemory { worker, .. }) = cluster.seen(client, "a") else { panic!() };
    cluster.tell(stranger, ClientToScheduler::Missing(vec![(key("a"), worker)]));
    assert_eq!(cluster.scheduler.counters().recomputed, 1);
}

/// Eight blocks, shuffled into four outputs in two groups.
fn shuffle() -> (Graph, Vec<Key>) {
    let blocks = BlockwiseLayer {
        function: crate::common::function(),
        template: Payload::empty(),
        grid: [8].into_iter().collect(),
        inputs: vec![],
        items: None,
        wants_position: false,
    };
    let stage = || ShuffleStage { function: crate::common::function(), template: Payload::empty() };
    let shuffle = ShuffleLayer {
        split: stage(),
        merge: stage(),
        take: stage(),
        split_prefix: "x-split".into(),
        merge_prefix: "x-merge".into(),
        input: LayerToken(1).into(),
        input_grid: [8].into_iter().collect(),
        outputs: [4].into_iter().collect(),
        group_ends: vec![2, 4],
        wants_position: false,
    };
    let layer = |token, prefix: &str, kind| {
        let annotations = Annotations::default();
        Layer { token: LayerToken(token), prefix: prefix.into(), annotations, kind }
    };
    let layers = vec![layer(1, "blocks", LayerKind::Blockwise(blocks)), layer(2, "x", LayerKind::Shuffle(shuffle))];
    (Graph { layers }, (0..4).map(|output| Key::block(LayerToken(2), output)).collect())
}

#[test]
fn merges_are_told_which_part_they_read() {
    let mut cluster = Cluster::new();
    cluster.nbytes = 1001;
    cluster.worker("one", 2);
    cluster.worker("two", 2);
    let client = cluster.client();
    let (graph, outputs) = shuffle();
    cluster.clients.get_mut(&client).expect("connected").wants.extend(&outputs);
    cluster.tell(client, ClientToScheduler::Submit { graph, outputs: Wanted::Keys(outputs.clone()) });
    let is_merge = |task: &kask_wire::ComputeTask| task.name.to_string().contains("merge");
    cluster.run_all_until(|cluster| {
        cluster.workers.values().flat_map(|worker| &worker.queue).filter(|t| is_merge(t)).count() == 2
    });
    let merges: Vec<_> = cluster.workers.values().flat_map(|worker| &worker.queue).filter(|t| is_merge(t)).collect();
    let parts: BTreeSet<Option<u32>> = merges.iter().map(|merge| merge.inputs[0].part).collect();
    assert_eq!(parts, BTreeSet::from([Some(0), Some(1)]));
    for merge in merges {
        assert_eq!(merge.inputs.len(), 8);
        assert!(merge.inputs.iter().all(|input| input.part == merge.inputs[0].part && input.nbytes == 501));
        assert!(!merge.checkpoint);
    }
    let takes = |cluster: &Cluster| {
        let all = cluster.workers.values().flat_map(|worker| &worker.queue);
        let is_take = |name: &str| name.contains("x-") && !name.contains("split") && !name.contains("merge");
        all.filter(|task| is_take(&task.name.to_string())).map(|take| take.checkpoint).collect::<Vec<_>>()
    };
    cluster.run_all_until(|cluster| !takes(cluster).is_empty());
    assert!(takes(&cluster).into_iter().all(|checkpoint| checkpoint), "outputs are what is to survive");
    cluster.run_all();
    assert!(outputs.iter().all(|key| matches!(cluster.clients[&client].seen.get(key), Some(Seen::InMemory { .. }))));
}

#[test]
fn outputs_of_a_shuffle_that_come_back_are_waited_for_however_short_their_tasks_are() {
    let mut cluster = Cluster::new();
    cluster.duration_ns = 1_000_000;
    let first = supervised(&mut cluster, "w");
    let client = cluster.client();
    let (graph, outputs) = shuffle();
    cluster.clients.get_mut(&client).expect("connected").wants.extend(&outputs);
    cluster.tell(client, ClientToScheduler::Submit { graph, outputs: Wanted::Keys(outputs.clone()) });
    cluster.run_all();
    let task_of = |cluster: &Cluster, key: &Key| match cluster.clients[&client].seen.get(key) {
        Some(Seen::InMemory { task, .. }) => *task,
        seen => panic!("{key} is {seen:?}"),
    };
    let tasks: Vec<TaskId> = outputs.iter().map(|key| task_of(&cluster, key)).collect();
    cluster.spilled(first);
    dies_and_restarts(&mut cluster, first, true);
    let other = cluster.worker("other", 2);
    cluster.settle();
    assert_eq!(cluster.on(other), BTreeSet::new());
    comes_back(&mut cluster, "w", &tasks[..3]);
    cluster.settle();
    let counters = cluster.scheduler.counters();
    assert_eq!((counters.adopted, counters.recomputed), (3, 1));
    cluster.run_all();
    for key in &outputs {
        task_of(&cluster, key);
    }
}

#[test]
fn what_reads_a_shuffle_reads_whole_values() {
    // A layer that reads a shuffle's outputs reads all of each.
    let mut cluster = Cluster::new();
    cluster.worker("one", 1);
    let client = cluster.client();
    let (mut graph, _) = shuffle();
    let reader = BlockwiseLayer {
        function: crate::common::function(),
        template: Payload::empty(),
        grid: [4].into_iter().collect(),
        inputs: vec![BlockInput {
            source: BlockSource::Layer(LayerToken(2)),
            grid: [4].into_iter().collect(),
            axes: [InputAxis::Out(0)].into_iter().collect(),
        }],
        items: None,
        wants_position: false,
    };
    let (annotations, kind) = (Annotations::default(), LayerKind::Blockwise(reader));
    graph.layers.push(Layer { token: LayerToken(3), prefix: "reader".into(), annotations, kind });
    let last = Key::block(LayerToken(3), 0);
    cluster.tell(client, ClientToScheduler::Submit { graph, outputs: Wanted::Keys(vec![last]) });
    let is_reader = |task: &kask_wire::ComputeTask| task.name.to_string().contains("reader");
    cluster.run_all_until(|cluster| cluster.workers.values().flat_map(|worker| &worker.queue).any(is_reader));
    let all = cluster.workers.values().flat_map(|worker| &worker.queue);
    assert!(all.clone().count() == 1 && all.flat_map(|task| &task.inputs).all(|input| input.part.is_none()));
}
