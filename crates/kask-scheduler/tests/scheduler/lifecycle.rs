//! What becomes of tasks, their results and the interest in them, one transition a test.

use crate::common::{Cluster, Seen, function, graph, graph_with, key, keys};
use kask_graph::Wanted;
use kask_types::{Annotations, ClientId, Failure, Loss, Resources, WorkerId, WorkerRestriction};
use kask_wire::client::{Query, Reply, TaskStatus};
use kask_wire::worker::FetchProblem;
use kask_wire::{ClientToScheduler, SchedulerToWorker, WorkerToScheduler};
use std::collections::BTreeSet;

#[test]
fn a_chain_runs_and_frees_its_intermediate_result() {
    let mut cluster = Cluster::new();
    let worker = cluster.worker("w", 1);
    let client = cluster.client();
    cluster.submit(client, graph(&[("a", &[]), ("b", &["a"])]), &["b"]);
    cluster.settle();
    assert_eq!(cluster.on(worker), ["a".to_string()].into());
    let a = cluster.attempt(worker, "a").task;
    cluster.finish(worker, "a");
    cluster.settle();
    assert_eq!(cluster.attempt(worker, "b").inputs[0].task, a);
    cluster.finish(worker, "b");
    cluster.settle();
    assert!(matches!(cluster.seen(client, "b"), Some(Seen::InMemory { .. })));
    assert!(!cluster.workers[&worker].held.contains(&a), "nobody needs a any more");
    assert_eq!(cluster.status(client, "a"), TaskStatus::Released);
    cluster.unwant(client, "b");
    cluster.settle();
    assert_eq!(cluster.scheduler.task_count(), 0);
    assert!(cluster.workers[&worker].held.is_empty());
    assert_eq!(cluster.scheduler.counters().finished, 2);
}

#[test]
fn blobs_live_as_long_as_a_layer_or_a_pin() {
    let mut cluster = Cluster::new();
    let worker = cluster.worker("w", 1);
    let client = cluster.client();
    cluster.submit(client, graph(&[("a", &[])]), &["a"]);
    cluster.tell(client, ClientToScheduler::DropBlobs(vec![function()]));
    cluster.run_all();
    assert!(cluster.workers[&worker].blobs.contains(&function()), "the layer keeps it");
    cluster.unwant(client, "a");
    cluster.settle();
    assert!(!cluster.workers[&worker].blobs.contains(&function()));
    cluster.submit(client, graph(&[("b", &[])]), &["b"]);
    let refused = &cluster.clients[&client].refused;
    assert!(refused[0].contains("was not sent"), "{refused:?}");
    assert_eq!(cluster.scheduler.task_count(), 0);
}

#[test]
fn a_graph_with_unknown_inputs_is_refused_whole() {
    let mut cluster = Cluster::new();
    let client = cluster.client();
    cluster.submit(client, graph(&[("a", &[]), ("b", &["a", "nowhere"])]), &["b"]);
    let fake = &cluster.clients[&client];
    assert!(fake.refused[0].contains(&key("nowhere").to_string()), "{:?}", fake.refused);
    assert!(fake.wants.is_empty(), "the refusal names the outputs");
    assert_eq!(cluster.scheduler.task_count(), 0);
}

#[test]
fn equal_keys_are_shared_between_clients_and_graphs() {
    let mut cluster = Cluster::new();
    let worker = cluster.worker("w", 2);
    let (one, two) = (cluster.client(), cluster.client());
    cluster.submit(one, graph(&[("a", &[]), ("b", &["a"])]), &["b"]);
    cluster.submit(two, graph(&[("a", &[]), ("c", &["a"])]), &["c"]);
    assert_eq!(cluster.scheduler.task_count(), 3);
    cluster.settle();
    cluster.finish(worker, "a");
    cluster.leave(one);
    cluster.settle();
    assert_eq!(cluster.on(worker), ["c".to_string()].into(), "b went with its client, a is still needed");
    cluster.run_all();
    assert!(matches!(cluster.seen(two, "c"), Some(Seen::InMemory { .. })));
    let again = cluster.client();
    cluster.submit(again, graph(&[("c", &["a"]), ("a", &[])]), &["c"]);
    assert!(matches!(cluster.seen(again, "c"), Some(Seen::InMemory { .. })), "known results are told at once");
}

#[test]
fn a_released_task_is_computed_again_when_it_is_needed_again() {
    let mut cluster = Cluster::new();
    cluster.worker("w", 1);
    let client = cluster.client();
    cluster.submit(client, graph(&[("a", &[]), ("b", &["a"])]), &["b"]);
    cluster.run_all();
    assert_eq!(cluster.status(client, "a"), TaskStatus::Released);
    cluster.submit(client, graph(&[("c", &["a"])]), &["c"]);
    assert_eq!(cluster.status(client, "a"), TaskStatus::Pending);
    cluster.run_all();
    assert!(matches!(cluster.seen(client, "c"), Some(Seen::InMemory { .. })));
}

#[test]
fn a_failure_reaches_everything_that_waits_for_it_and_can_be_retried() {
    let mut cluster = Cluster::new();
    let worker = cluster.worker("w", 1);
    let client = cluster.client();
    cluster.submit(client, graph(&[("a", &[]), ("b", &["a"]), ("c", &["b"])]), &["c"]);
    cluster.settle();
    cluster.fail(worker, "a");
    match cluster.seen(client, "c") {
        Some(Seen::Ended(Failure::Raised(error))) => assert_eq!(&*error.task, "a"),
        other => panic!("{other:?}"),
    }
    cluster.submit(client, graph(&[("d", &["c"])]), &["d"]);
    assert!(matches!(cluster.seen(client, "d"), Some(Seen::Ended(_))), "new readers of a failed task fail at once");
    cluster.tell(client, ClientToScheduler::Retry(keys(&["d"])));
    assert!(matches!(cluster.seen(client, "c"), Some(Seen::Pending)));
    cluster.run_all();
    assert!(matches!(cluster.seen(client, "c"), Some(Seen::InMemory { .. })));
    assert!(matches!(cluster.seen(client, "d"), Some(Seen::InMemory { .. })));
}

#[test]
fn retries_are_used_up_before_a_task_fails() {
    let mut cluster = Cluster::new();
    let worker = cluster.worker("w", 1);
    let client = cluster.client();
    let twice = Annotations { retries: 2, ..Annotations::default() };
    cluster.submit(client, graph_with(&[("a", &[])], twice), &["a"]);
    for _ in 0..2 {
        cluster.settle();
        cluster.fail(worker, "a");
        assert!(cluster.seen(client, "a").is_none());
    }
    cluster.settle();
    cluster.fail(worker, "a");
    assert!(matches!(cluster.seen(client, "a"), Some(Seen::Ended(Failure::Raised(_)))));
}

#[test]
fn a_rescheduled_task_prefers_another_worker() {
    let mut cluster = Cluster::new();
    cluster.worker("one", 1);
    cluster.worker("two", 1);
    let client = cluster.client();
    cluster.submit(client, graph(&[("a", &[])]), &["a"]);
    cluster.settle();
    let first = cluster.place("a").expect("placed");
    cluster.fail_with(first, "a", crate::common::raised("a"), true);
    cluster.settle();
    assert_ne!(cluster.place("a").expect("placed again"), first);
    assert_eq!(cluster.scheduler.counters().failed, 0);
}

#[test]
fn cancelling_reaches_waiters_and_spares_other_clients() {
    let mut cluster = Cluster::new();
    let worker = cluster.worker("w", 1);
    let (one, two) = (cluster.client(), cluster.client());
    cluster.submit(one, graph(&[("a", &[]), ("b", &["a"])]), &["a", "b"]);
    cluster.submit(two, graph(&[("b", &["a"])]), &["b"]);
    cluster.settle();
    cluster.cancel(one, "a", false);
    assert!(matches!(cluster.seen(one, "a"), Some(Seen::Ended(Failure::Cancelled { .. }))));
    assert_eq!(cluster.status(two, "b"), TaskStatus::Pending, "another client wants it");
    cluster.cancel(one, "a", true);
    assert!(matches!(cluster.seen(two, "b"), Some(Seen::Ended(Failure::Cancelled { .. }))));
    cluster.settle();
    assert!(cluster.on(worker).is_empty(), "the attempt was cancelled");
    assert_eq!(cluster.scheduler.task_count(), 0);
    assert_eq!(cluster.status(two, "b"), TaskStatus::Unknown);
}

#[test]
fn a_detached_task_runs_to_its_end_without_anybody() {
    let mut cluster = Cluster::new();
    let worker = cluster.worker("w", 1);
    let client = cluster.client();
    cluster.submit(client, graph(&[("a", &[])]), &["a"]);
    cluster.tell(client, ClientToScheduler::Detach(keys(&["a"])));
    cluster.leave(client);
    cluster.settle();
    cluster.finish(worker, "a");
    assert_eq!(cluster.scheduler.task_count(), 0);
    assert_eq!(cluster.scheduler.counters().finished, 1);
}

#[test]
fn an_unknown_key_is_told_to_be_unknown() {
    let mut cluster = Cluster::new();
    let client = cluster.client();
    cluster.want(client, "nothing");
    assert!(matches!(cluster.seen(client, "nothing"), Some(Seen::Ended(Failure::Cancelled { .. }))));
}

#[test]
fn an_input_read_twice_counts_twice_and_is_freed_once() {
    let mut cluster = Cluster::new();
    let worker = cluster.worker("w", 1);
    let client = cluster.client();
    cluster.submit(client, graph(&[("a", &[]), ("b", &["a", "a"])]), &["b"]);
    cluster.settle();
    cluster.finish(worker, "a");
    cluster.settle();
    assert_eq!(cluster.attempt(worker, "b").inputs.len(), 2);
    cluster.run_all();
    cluster.submit(client, graph(&[("c", &["b", "b"])]), &["c"]);
    cluster.run_all();
    cluster.unwant(client, "b");
    cluster.unwant(client, "c");
    assert_eq!(cluster.scheduler.task_count(), 0);
}

#[test]
fn restricted_tasks_wait_for_their_worker() {
    let mut cluster = Cluster::new();
    let wrong = cluster.worker("wrong", 4);
    let client = cluster.client();
    let only = |allow_other_workers| Annotations {
        workers: Some(WorkerRestriction { workers: vec!["right".into()], allow_other_workers }),
        ..Annotations::default()
    };
    cluster.submit(client, graph_with(&[("a", &[]), ("b", &["a"])], only(false)), &["b"]);
    cluster.submit(client, graph_with(&[("c", &[])], only(true)), &["c"]);
    cluster.settle();
    assert_eq!(cluster.on(wrong), ["c".to_string()].into());
    let right = cluster.worker("right", 1);
    cluster.settle();
    assert_eq!(cluster.on(right), ["a".to_string()].into());
    cluster.finish(right, "a");
    cluster.settle();
    assert_eq!(cluster.on(right), ["b".to_string()].into());
}

#[test]
fn resources_choose_the_worker() {
    let mut cluster = Cluster::new();
    cluster.worker("plain", 4);
    let gpu = Resources::new([("GPU", 1.0)]).expect("a valid amount");
    let client = cluster.client();
    let needs = Annotations { resources: gpu.clone(), ..Annotations::default() };
    cluster.submit(client, graph_with(&[("a", &[])], needs), &["a"]);
    cluster.settle();
    assert_eq!(cluster.place("a"), None);
    let owner = cluster.worker_with("owner", 1, gpu.clone());
    cluster.settle();
    assert_eq!(cluster.attempt(owner, "a").resources.as_deref(), Some(&gpu));
}

#[test]
fn clients_are_told_of_what_no_worker_may_run() {
    let mut cluster = Cluster::new();
    let (client, other) = (cluster.client(), cluster.client());
    cluster.worker("wrong", 1);
    let workers = Some(WorkerRestriction { workers: vec!["right".into()], allow_other_workers: false });
    let only = Annotations { workers, ..Annotations::default() };
    cluster.submit(client, graph_with(&[("a", &[]), ("b", &[]), ("c", &["a"])], only), &["b", "c"]);
    cluster.submit(client, graph(&[("d", &["c"])]), &["d"]);
    cluster.settle();
    let Reply::Unrunnable(found) = cluster.ask(client, Query::Unrunnable) else { panic!() };
    let [one] = &found[..] else { panic!("{found:?}") };
    assert_eq!((one.tasks, &*one.workers.as_ref().expect("they name one").workers[0]), (2, "right"));
    let Reply::Unrunnable(found) = cluster.ask(other, Query::Unrunnable) else { panic!() };
    assert!(found.is_empty(), "it waits for nothing: {found:?}");
    cluster.worker("right", 1);
    cluster.settle();
    let Reply::Unrunnable(found) = cluster.ask(client, Query::Unrunnable) else { panic!() };
    assert!(found.is_empty(), "{found:?}");
}

#[test]
fn higher_user_priority_goes_first() {
    let mut cluster = Cluster::new();
    let client = cluster.client();
    let urgent = Annotations { priority: 5, ..Annotations::default() };
    cluster.submit(client, graph(&[("late", &[])]), &["late"]);
    cluster.submit(client, graph_with(&[("soon", &[])], urgent), &["soon"]);
    let worker = cluster.worker("w", 1);
    cluster.settle();
    let names: Vec<String> = cluster.workers[&worker].queue.iter().map(|task| task.name.to_string()).collect();
    assert_eq!(names, ["soon", "late"]);
    let (soon, late) = (cluster.attempt(worker, "soon"), cluster.attempt(worker, "late"));
    assert!(soon.priority < late.priority);
}

#[test]
fn roots_are_shared_fairly_and_sent_in_one_message() {
    let mut cluster = Cluster::new();
    let (one, two) = (cluster.worker("one", 2), cluster.worker("two", 2));
    let client = cluster.client();
    let names: Vec<String> = (0..200).map(|i| format!("t{i}")).collect();
    let defs: Vec<crate::common::Def<'_>> = names.iter().map(|name| (name.as_str(), &[][..])).collect();
    cluster.tell(client, ClientToScheduler::Submit { graph: graph(&defs[..6]), outputs: Wanted::All });
    cluster.settle();
    assert_eq!((cluster.on(one).len(), cluster.on(two).len()), (3, 3));
    assert_eq!(cluster.workers[&one].batches, (1, 3));
    cluster.tell(client, ClientToScheduler::Submit { graph: graph(&defs[6..]), outputs: Wanted::All });
    cluster.settle();
    let on_workers = cluster.on(one).len() + cluster.on(two).len();
    assert!(on_workers < 30, "{on_workers} of 200 roots were sent to 4 runners; the rest waits");
    cluster.run_all();
    assert_eq!(cluster.scheduler.counters().finished, 200);
}

#[test]
fn tasks_go_where_their_inputs_are() {
    let mut cluster = Cluster::new();
    let (one, two) = (cluster.worker("one", 1), cluster.worker("two", 1));
    let client = cluster.client();
    let defs: [crate::common::Def<'_>; 4] = [("a", &[]), ("b", &[]), ("c", &["a"]), ("d", &["b"])];
    cluster.submit(client, graph(&defs), &["c", "d"]);
    cluster.settle();
    let (first, second) = (cluster.place("a").expect("placed"), cluster.place("b").expect("placed"));
    assert_eq!([first, second].iter().collect::<std::collections::BTreeSet<_>>(), [one, two].iter().collect());
    cluster.finish(first, "a");
    cluster.finish(second, "b");
    cluster.settle();
    assert_eq!(cluster.place("c"), Some(first));
    assert_eq!(cluster.place("d"), Some(second));
}

#[test]
fn seceded_attempts_make_room() {
    let mut cluster = Cluster::new();
    let worker = cluster.worker("w", 1);
    let client = cluster.client();
    cluster.submit(client, graph(&[("a", &[]), ("b", &[]), ("c", &[]), ("d", &[])]), &["a", "b", "c", "d"]);
    cluster.settle();
    let before = cluster.on(worker).len();
    let first = cluster.workers[&worker].queue[0].clone();
    cluster.say(worker, WorkerToScheduler::Seceded(first.task, first.attempt));
    cluster.settle();
    assert!(cluster.on(worker).len() > before, "the runner is free for another task");
    cluster.say(worker, WorkerToScheduler::Rejoined(first.task, first.attempt));
    cluster.run_all();
    assert_eq!(cluster.scheduler.counters().finished, 4);
}

#[test]
fn scattered_data_is_in_memory_once_a_worker_holds_it() {
    let mut cluster = Cluster::new();
    let client = cluster.client();
    let values = vec![(key("x"), "data".into(), 8)];
    cluster.tell(client, ClientToScheduler::Scatter { request: 1, values, workers: None, broadcast: false });
    assert!(cluster.answer(client, 1).is_none(), "it waits for a worker");
    let worker = cluster.worker("w", 1);
    let Some(Reply::Scatter(places)) = cluster.answer(client, 1) else { panic!("not answered") };
    assert_eq!(places[0].2, [worker]);
    cluster.submit(client, graph(&[("a", &["x"])]), &["a"]);
    let task = places[0].1;
    cluster.settle();
    assert!(cluster.on(worker).is_empty());
    cluster.workers.get_mut(&worker).expect("alive").held.insert(task);
    cluster.say(worker, WorkerToScheduler::Holding(vec![(task, 8)]));
    assert!(matches!(cluster.seen(client, "x"), Some(Seen::InMemory { .. })));
    cluster.settle();
    assert_eq!(cluster.on(worker), ["a".to_string()].into());
    let values = vec![(key("x"), "data".into(), 8)];
    cluster.tell(client, ClientToScheduler::Scatter { request: 2, values, workers: None, broadcast: true });
    let Some(Reply::Scatter(places)) = cluster.answer(client, 2) else { panic!("not answered") };
    assert!(places[0].2.is_empty(), "it is there already");
    cluster.die(worker);
    assert!(matches!(cluster.seen(client, "x"), Some(Seen::Ended(Failure::Lost { .. }))));
    assert!(matches!(cluster.seen(client, "a"), Some(Seen::Ended(Failure::Lost { .. }))));
}

#[test]
fn a_scatter_that_was_given_up_waits_no_longer() {
    let mut cluster = Cluster::new();
    let client = cluster.client();
    for request in [1, 2] {
        let values = vec![(key("x"), "data".into(), 8)];
        cluster.tell(client, ClientToScheduler::Scatter { request, values, workers: None, broadcast: false });
        if request == 1 {
            cluster.tell(client, ClientToScheduler::Unwant(keys(&["x"])));
        }
    }
    let Some(Reply::Scatter(places)) = cluster.answer(client, 1) else { panic!("not answered") };
    assert!(places[0].2.is_empty(), "it goes nowhere");
    assert!(cluster.answer(client, 2).is_none(), "it waits for a worker");
    let worker = cluster.worker("w", 1);
    let Some(Reply::Scatter(places)) = cluster.answer(client, 2) else { panic!("not answered") };
    assert_eq!(places[0].2, [worker]);
}

#[test]
fn scattered_data_that_cannot_be_read_back_is_lost_and_says_so() {
    for (problem, how) in [(FetchProblem::Unreadable, Loss::Unreadable), (FetchProblem::NotThere, Loss::NotThere)] {
        let mut cluster = Cluster::new();
        let (client, worker) = (cluster.client(), cluster.worker("w", 1));
        let values = vec![(key("x"), "data".into(), 8)];
        cluster.tell(client, ClientToScheduler::Scatter { request: 1, values, workers: None, broadcast: false });
        let Some(Reply::Scatter(places)) = cluster.answer(client, 1) else { panic!("not answered") };
        let task = places[0].1;
        cluster.workers.get_mut(&worker).expect("alive").held.insert(task);
        cluster.say(worker, WorkerToScheduler::Holding(vec![(task, 8)]));
        cluster.workers.get_mut(&worker).expect("alive").held.remove(&task);
        cluster.say(worker, WorkerToScheduler::Missing(vec![(task, worker, problem)]));
        let Some(Seen::Ended(Failure::Lost { how: said, .. })) = cluster.seen(client, "x") else {
            panic!("{:?}", cluster.seen(client, "x"))
        };
        assert_eq!(said, how);
        cluster.die(worker);
    }
}

#[test]
fn questions_are_answered_from_the_tables() {
    let mut cluster = Cluster::new();
    let worker = cluster.worker("w", 1);
    let client = cluster.client();
    cluster.submit(client, graph(&[("a", &[]), ("b", &["a"])]), &["a", "b"]);
    cluster.settle();
    cluster.finish(worker, "a");
    cluster.settle();
    let Reply::WhoHas(found) = cluster.ask(client, Query::WhoHas(Some(keys(&["a"])))) else { panic!() };
    assert_eq!((found[0].0.as_str(), found[0].2.len()), ("a", 1));
    let Reply::HasWhat(found) = cluster.ask(client, Query::HasWhat(None)) else { panic!() };
    assert_eq!(found[0].1, [("a".to_string(), key("a"))]);
    let Reply::Processing(found) = cluster.ask(client, Query::Processing(Some(vec!["w".into()]))) else { panic!() };
    assert_eq!(found[0].1, ["b"]);
    let Reply::Families(found) = cluster.ask(client, Query::Families) else { panic!() };
    assert_eq!(found, [("f".into(), [0, 0, 1, 1, 0, 0])]);
    let Reply::Info(info) = cluster.ask(client, Query::Info) else { panic!() };
    assert_eq!((info.workers.len(), info.tasks, info.workers[0].held), (1, 2, 1));
    assert!(matches!(cluster.ask(client, Query::Flush), Reply::Done));
    cluster.tell(client, ClientToScheduler::Ask { request: 5, query: Query::WorkersAtLeast(2) });
    assert!(cluster.answer(client, 5).is_none());
    cluster.worker("second", 1);
    assert!(matches!(cluster.answer(client, 5), Some(Reply::Done)));
}

#[test]
fn calls_are_gathered_from_all_workers_even_if_one_dies() {
    let mut cluster = Cluster::new();
    let (one, two) = (cluster.worker("one", 1), cluster.worker("two", 1));
    let client = cluster.client();
    let payload = kask_types::Payload::empty();
    cluster.tell(client, ClientToScheduler::Run { request: 3, workers: None, payload });
    cluster.settle();
    let call = cluster.workers[&one].calls[0];
    let result = Ok(kask_types::Payload::empty());
    cluster.say(one, WorkerToScheduler::RunAnswer { call, result });
    assert!(cluster.answer(client, 3).is_none());
    cluster.die(two);
    let Some(Reply::Run(answers)) = cluster.answer(client, 3) else { panic!("not answered") };
    assert!(answers[0].1.is_ok() && answers[1].1.is_err());
}

#[test]
fn replication_is_confirmed_when_the_copies_are_there() {
    let mut cluster = Cluster::new();
    for name in ["one", "two", "three"] {
        cluster.worker(name, 1);
    }
    let client = cluster.client();
    cluster.submit(client, graph(&[("a", &[])]), &["a"]);
    cluster.run_all();
    let (keys, workers) = (keys(&["a"]), None);
    cluster.tell(client, ClientToScheduler::Replicate { request: 4, keys, copies: 0, workers });
    assert!(cluster.answer(client, 4).is_none());
    cluster.settle();
    assert!(matches!(cluster.answer(client, 4), Some(Reply::Done)));
    let task = *cluster.workers.values().next().expect("three").held.iter().next().expect("held");
    assert!(cluster.workers.values().all(|worker| worker.held.contains(&task)));
    cluster.unwant(client, "a");
    cluster.settle();
    assert!(cluster.workers.values().all(|worker| worker.held.is_empty()), "every holder is told to free it");
}

#[test]
fn shutting_down_tells_everybody() {
    let mut cluster = Cluster::new();
    let worker = cluster.worker("w", 1);
    let client = cluster.client();
    cluster.tell(client, ClientToScheduler::Shutdown);
    assert!(cluster.is_shut_down && cluster.clients[&client].closing.is_some());
    let closed = |message: &SchedulerToWorker| matches!(message, SchedulerToWorker::Close { .. });
    assert!(cluster.workers[&worker].inbox.iter().any(closed));
}

/// A cluster whose tasks are known to take a millisecond.
fn quick_tasks(workers: &[&str]) -> (Cluster, Vec<WorkerId>, ClientId) {
    let mut cluster = Cluster::new();
    let workers = workers.iter().map(|name| cluster.worker(name, 1)).collect();
    let client = cluster.client();
    cluster.submit(client, graph(&[("known", &[])]), &["known"]);
    cluster.run_all();
    (cluster, workers, client)
}

#[test]
fn nothing_waits_behind_another_task_while_a_runner_is_idle() {
    let (mut cluster, workers, client) = quick_tasks(&["a", "b"]);
    cluster.submit(client, graph(&[("first", &[])]), &["first"]);
    cluster.submit(client, graph(&[("second", &[])]), &["second"]);
    cluster.settle();
    assert!(workers.iter().all(|&worker| cluster.on(worker).len() == 1));
}

#[test]
fn what_waits_behind_a_task_that_takes_too_long_is_moved() {
    let (mut cluster, workers, client) = quick_tasks(&["a"]);
    cluster.submit(client, graph(&[("slow", &[]), ("waiting", &[])]), &["slow", "waiting"]);
    cluster.settle();
    assert_eq!(cluster.on(workers[0]).len(), 2);
    let other = cluster.worker("b", 1);
    cluster.settle();
    assert!(cluster.on(other).is_empty(), "by what is known of the tasks, moving one does not pay");
    cluster.wait_ms(100);
    cluster.settle();
    assert_eq!(cluster.on(other).len(), 1);
}

#[test]
fn the_memory_of_a_burst_is_given_back_and_its_tasks_are_not_mistaken_for_later_ones() {
    let mut cluster = Cluster::new();
    let worker = cluster.worker("w", 1);
    let client = cluster.client();
    let names: Vec<String> = (0..20_000).map(|i| format!("burst-{i}")).collect();
    let defs: Vec<(&str, &[&str])> = names.iter().map(|name| (name.as_str(), &[] as &[&str])).collect();
    let wanted: Vec<&str> = names.iter().map(String::as_str).collect();
    let before = cluster.scheduler.memory_bytes();
    cluster.submit(client, graph(&defs), &wanted);
    cluster.settle();
    let old = cluster.workers[&worker].queue[0].clone();
    assert!(cluster.scheduler.memory_bytes() > before + (1 << 20));
    cluster.tell(client, ClientToScheduler::Unwant(keys(&wanted)));
    cluster.settle();
    assert!(cluster.scheduler.memory_bytes() < before + (16 << 10), "{}", cluster.scheduler.memory_bytes());
    cluster.submit(client, graph(&[("late", &[])]), &["late"]);
    cluster.settle();
    let late = cluster.attempt(worker, "late");
    assert_ne!(late.task, old.task);
    // What was started before it was cancelled may be done only now, as far as the worker knows.
    cluster.finish_attempt(worker, old.task, old.attempt);
    cluster.settle();
    assert!(!cluster.workers[&worker].closed && cluster.cut_off.is_empty(), "{:?}", cluster.cut_off);
    assert_eq!(cluster.status(client, "late"), TaskStatus::Pending);
    cluster.finish(worker, "late");
    cluster.settle();
    assert!(matches!(cluster.seen(client, "late"), Some(Seen::InMemory { .. })));
}

#[test]
fn a_runner_that_has_a_cancelled_attempt_is_not_taken_for_idle() {
    let mut cluster = Cluster::new();
    let workers = [cluster.worker("w1", 1), cluster.worker("w2", 1)];
    let client = cluster.client();
    cluster.submit(client, graph(&[("old", &[])]), &["old"]);
    cluster.settle();
    let busy = *workers.iter().find(|worker| !cluster.on(**worker).is_empty()).expect("it was sent to one of them");
    let idle = *workers.iter().find(|worker| **worker != busy).expect("there are two");
    let old = cluster.attempt(busy, "old");
    cluster.workers.get_mut(&busy).expect("alive").started.insert((old.task, old.attempt));
    cluster.unwant(client, "old");
    cluster.settle();
    for name in ["a", "b"] {
        cluster.submit(client, graph(&[(name, &[])]), &[name]);
        cluster.settle();
        assert_eq!(cluster.on(idle), BTreeSet::from([name.to_owned()]), "the other one is free");
        cluster.finish(idle, name);
        cluster.settle();
    }
    cluster.finish_attempt(busy, old.task, old.attempt);
    cluster.submit(client, graph(&[("c", &[]), ("d", &[])]), &["c", "d"]);
    cluster.settle();
    assert_eq!(cluster.on(busy).len(), 1, "its runner is free again");
}
