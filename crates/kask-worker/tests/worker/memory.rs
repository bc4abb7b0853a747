//! What the worker does when memory is short: one test for each rule.

use crate::common::{ME, Rig, budget, compute, input, needs, part, task};
use kask_types::{Attempt, Failure, Resources, TaskId, ValueId, WorkerId};
use kask_wire::SchedulerToWorker as Say;
use kask_wire::WorkerToScheduler as Heard;
use kask_wire::worker::FetchProblem::{Busy, NotThere, Unreadable};
use kask_wire::worker::{Input, Pressure};
use kask_wire::{ComputeTask, SchedulerToWorker};
use kask_worker::SpillProblem::{Damaged, DiskFull, Unpicklable};
use kask_worker::{Config, Event, MemoryConfig, Outcome, SpillProblem};

const K: u64 = 1024;

/// A task whose result takes so much.
fn takes(of: u32, nbytes: u64, inputs: Vec<Input>) -> ComputeTask {
    ComputeTask { memory_bytes: nbytes, ..compute(task(of), inputs) }
}

fn here(of: u32, nbytes: u64) -> Input {
    Input { nbytes, ..input(task(of), &[0]) }
}

fn there(of: u32, nbytes: u64) -> Input {
    Input { nbytes, ..input(task(of), &[1]) }
}

fn named(mut of: ComputeTask, family: &str) -> ComputeTask {
    of.name = kask_types::TaskName::Custom(format!("{family}-{}", of.task.slot).into());
    of
}

fn runners(nthreads: u32, nbytes: u64) -> Rig {
    let mut rig = Rig::new(Config { nthreads, memory: budget(nbytes), ..Config::default() });
    (1..=2).for_each(|id| rig.peer_joins(id));
    rig
}

fn pressures(heard: &[Heard]) -> Vec<Pressure> {
    let one = |said: &Heard| if let Heard::Pressure(pressure) = said { Some(*pressure) } else { None };
    heard.iter().filter_map(one).collect()
}

fn being_written(rig: &Rig) -> Vec<TaskId> {
    rig.writes.iter().map(|(task, _)| *task).collect()
}

#[test]
fn attempts_are_admitted_in_order_as_far_as_there_is_room() {
    let mut rig = runners(4, 1000 * K);
    rig.hears(Say::Compute(vec![
        takes(1, 400 * K, vec![]),
        takes(2, 400 * K, vec![]),
        takes(3, 400 * K, vec![]),
        takes(4, K, vec![]),
    ]));
    assert_eq!(rig.started(), [task(1), task(2)], "what is less urgent does not overtake");
    assert_eq!((rig.worker.memory_metrics().1, rig.worker.metrics().2), (800 * K, 2));
    rig.done(task(1), 1, Outcome::Reschedule);
    assert_eq!(rig.started(), [task(3), task(4)]);
}

#[test]
fn room_is_made_by_writing_values_and_then_letting_them_go() {
    let mut rig = Rig::with_budget(1000 * K);
    rig.stores(task(9), 500 * K);
    rig.hears(Say::Compute(vec![takes(1, 700 * K, vec![])]));
    assert_eq!((rig.started().len(), being_written(&rig)), (0, vec![task(9)]));
    assert!(rig.store.contains_key(&task(9)), "it can be read while it is being written");
    rig.writes_one(Ok(()));
    assert_eq!(rig.started(), [task(1)]);
    assert!(!rig.store.contains_key(&task(9)) && rig.worker.holds(task(9)) && !rig.worker.holds_in_memory(task(9)));
    assert_eq!(rig.worker.memory_metrics(), (500 * K, 700 * K));
}

#[test]
fn a_checkpoint_is_written_although_there_is_room_and_stays_in_memory() {
    let checkpoint = |of: u32| ComputeTask { checkpoint: true, ..takes(of, 100 * K, vec![]) };
    let mut rig = Rig::with_budget(1000 * K);
    rig.hears(Say::Compute(vec![checkpoint(1), takes(2, 100 * K, vec![])]));
    rig.started().into_iter().for_each(|of| rig.gives_bytes(of, 100 * K));
    assert_eq!(being_written(&rig), [task(1)]);
    rig.writes_all();
    assert!(rig.worker.holds_in_memory(task(1)) && rig.store.contains_key(&task(1)));
    // Where the room is needed, it goes without being written again.
    rig.hears(Say::Compute(vec![takes(3, 850 * K, vec![])]));
    assert_eq!(rig.started(), [task(3)]);
    assert!(!being_written(&rig).contains(&task(1)));
    assert!(!rig.worker.holds_in_memory(task(1)) && rig.worker.holds_in_memory(task(2)));

    let memory = MemoryConfig { checkpoints: false, ..budget(1000 * K) };
    for memory in [memory, MemoryConfig { limit_bytes: 0, ..budget(0) }] {
        let mut rig = Rig::new(Config { memory, ..Config::default() });
        rig.hears(Say::Compute(vec![checkpoint(1)]));
        rig.gives_bytes(task(1), 100 * K);
        assert_eq!(being_written(&rig), [], "it is not wanted, or there is no limit");
    }
}

#[test]
fn a_value_on_disk_is_read_back_for_whoever_needs_it_and_leaves_again_for_free() {
    let mut rig = Rig::with_budget(1000 * K);
    rig.stores(task(9), 500 * K);
    rig.hears(Say::Compute(vec![takes(1, 700 * K, vec![])]));
    rig.writes_one(Ok(()));
    rig.gives_bytes(task(1), 0);
    rig.hears(Say::Compute(vec![takes(2, 10 * K, vec![here(9, 500 * K)]), takes(3, 10 * K, vec![here(9, 500 * K)])]));
    assert_eq!(rig.reads.len(), 1, "once for both");
    rig.started();
    rig.reads_one(Ok(()));
    assert_eq!(rig.started(), [task(2), task(3)]);
    rig.gives_bytes(task(2), 0);
    rig.hears(Say::Compute(vec![takes(4, 900 * K, vec![])]));
    assert!(rig.started().is_empty() && rig.writes.is_empty(), "an input of what runs stays");
    rig.gives_bytes(task(3), 0);
    assert_eq!((rig.started(), rig.writes.len()), (vec![task(4)], 0), "it is on disk still");
}

#[test]
fn with_nothing_else_to_wait_for_the_first_goes_on_whatever_it_needs() {
    let mut rig = runners(2, 1000 * K);
    rig.stores(task(9), 300 * K);
    rig.hears(Say::Compute(vec![takes(1, 5000 * K, vec![here(9, 300 * K)]), takes(2, 10 * K, vec![])]));
    assert_eq!((rig.started(), rig.writes.len()), (vec![task(1)], 0), "its own input stays");
    rig.gives_bytes(task(1), 5000 * K);
    assert_eq!(being_written(&rig), [task(1), task(9)], "larger ones first");
    assert!(rig.started().is_empty());
    rig.writes_all();
    assert_eq!(rig.started(), [task(2)]);
}

#[test]
fn what_needs_the_whole_limit_runs_alone() {
    let mut rig = runners(4, 1000 * K);
    rig.stores(task(9), 300 * K);
    rig.hears(Say::Compute(vec![takes(1, 100 * K, vec![])]));
    let mut alone = takes(2, 2000 * K, vec![]);
    alone.priority.user = -1;
    rig.hears(Say::Compute(vec![alone, takes(3, 10 * K, vec![])]));
    assert_eq!(rig.started(), [task(1)], "not beside another one, and nothing passes it");
    rig.writes_all();
    rig.gives_bytes(task(1), 100 * K);
    rig.writes_all();
    assert_eq!((rig.started(), rig.store.len()), (vec![task(2)], 0), "all that can has left memory");
    rig.gives_bytes(task(2), 10 * K);
    assert_eq!(rig.started(), [task(3)]);
}

#[test]
fn of_an_unknown_family_so_many_run_as_there_are_runners_until_one_has_ended() {
    let mut rig = runners(2, 1000 * K);
    rig.hears(Say::Compute((0..6).map(|i| named(takes(i, 0, vec![]), "load")).collect()));
    assert_eq!(rig.started(), [task(0), task(1)]);
    rig.gives_bytes(task(0), 300 * K);
    assert_eq!(rig.started(), [task(2), task(3)], "300 are here, and 300 are set aside for each");
    assert_eq!(rig.worker.memory_metrics().1, 600 * K);
}

#[test]
fn an_unknown_result_is_taken_to_be_as_large_as_the_largest_input() {
    let mut rig = runners(2, 1000 * K);
    rig.hears(Say::Compute(vec![takes(1, 0, vec![there(8, 100 * K), there(9, 250 * K), there(9, 250 * K)])]));
    assert_eq!(rig.worker.memory_metrics().1, (100 + 250 + 250) * K, "two distinct inputs and the result");
}

#[test]
fn bytes_are_set_aside_before_anything_is_fetched() {
    let mut rig = runners(4, 1000 * K);
    rig.hears(Say::Compute(vec![takes(1, 10 * K, vec![there(8, 600 * K)]), takes(2, 10 * K, vec![there(9, 600 * K)])]));
    assert_eq!(rig.requests.values().next().expect("one is asked for").1, [ValueId::from(task(8))]);
    assert_eq!(rig.requests.len(), 1);
    rig.answers(1, &[(task(8), Ok(600 * K))], true);
    rig.gives_bytes(task(1), 10 * K);
    assert_eq!(being_written(&rig), [task(8)]);
    rig.writes_all();
    assert_eq!(rig.requests.len(), 1, "the second one's turn");
}

#[test]
fn those_that_seceded_do_not_stop_what_they_wait_for() {
    let mut rig = Rig::with_budget(1000 * K);
    rig.hears(Say::Compute(vec![named(takes(1, 0, vec![]), "fib")]));
    rig.event(Event::Seceded { task: task(1), attempt: Attempt(1) });
    rig.hears(Say::Compute(vec![named(takes(2, 0, vec![]), "fib"), named(takes(3, 5000 * K, vec![]), "big")]));
    assert_eq!(rig.started(), [task(1), task(2)], "it does not count against its family");
    rig.event(Event::Seceded { task: task(2), attempt: Attempt(1) });
    assert_eq!(rig.started(), [task(3)], "and is nothing to wait for");
}

#[test]
fn values_leave_by_use_then_size_then_age_and_small_ones_last() {
    let mut rig = Rig::with_budget(1000 * K);
    rig.stores(task(1), 100);
    rig.stores(task(2), 30 * K);
    rig.stores(task(3), 30 * K);
    rig.stores(task(4), 600 * K);
    rig.stores(task(5), 30 * K);
    rig.stores(task(6), 100 * K);
    rig.hears(Say::Compute(vec![takes(10, 5000 * K, vec![here(5, 30 * K)]), takes(11, 10 * K, vec![here(3, 30 * K)])]));
    let order = [4, 2, 6, 3].map(task);
    assert_eq!(being_written(&rig), order, "what has just come after what is old, what is needed after that");
    rig.writes_all();
    assert_eq!(rig.started(), [task(10)], "100 bytes make no difference");
}

#[test]
fn values_are_chosen_in_lots_and_ahead_of_need() {
    let mut rig = Rig::with_budget(100 << 10);
    (20..=65).for_each(|i| rig.stores(task(i), 2 << 10));
    assert!(rig.writes.is_empty(), "nothing is to be done, so nothing is written");
    rig.hears(Say::Compute(vec![takes(1, 1 << 10, vec![])]));
    assert_eq!((rig.started(), rig.writes.len()), (vec![task(1)], 5), "a tenth of the budget, while it runs");
    rig.writes_all();
    assert_eq!(rig.store.len(), 46, "they leave when their room is needed, not before");
    rig.stores(task(99), 20 << 10);
    assert!(rig.store.len() < 46);
}

#[test]
fn what_has_no_form_as_bytes_is_never_tried_again() {
    let mut rig = Rig::with_budget(1000 * K);
    rig.stores(task(9), 500 * K);
    rig.hears(Say::Compute(vec![takes(1, 700 * K, vec![])]));
    rig.writes_one(Err(Unpicklable));
    assert_eq!(rig.started(), [task(1)], "nothing else will make room, and there is memory");
    rig.gives_bytes(task(1), 0);
    rig.hears(Say::Compute(vec![takes(2, 700 * K, vec![])]));
    assert_eq!(being_written(&rig), Vec::<TaskId>::new());
    assert_eq!(rig.started(), [task(2)]);
}

#[test]
fn a_full_disk_is_tried_again_with_one_value_after_a_while() {
    let mut rig = runners(2, 1000 * K);
    rig.stores(task(8), 450 * K);
    rig.stores(task(9), 450 * K);
    rig.hears(Say::Compute(vec![takes(1, 100 * K, vec![]), takes(2, 500 * K, vec![])]));
    assert_eq!(being_written(&rig).len(), 2);
    rig.writes_one(Err(DiskFull));
    rig.writes_one(Err(DiskFull));
    rig.waits(4_900);
    assert!(rig.writes.is_empty());
    rig.waits(100);
    assert_eq!(rig.writes.len(), 1);
    rig.writes_one(Ok(()));
    let heard = rig.heard();
    assert_eq!(
        pressures(&heard),
        [Pressure::Tight, Pressure::Full, Pressure::Comfortable],
        "the disk takes values again"
    );
    let again = ComputeTask { attempt: Attempt(2), ..takes(2, 500 * K, vec![]) };
    rig.hears(Say::Compute(vec![again]));
    assert_eq!(rig.writes.len(), 1, "the other one");
}

#[test]
fn a_full_disk_is_tried_again_soon_after_something_was_removed() {
    let mut rig = Rig::with_budget(1000 * K);
    (7..=9).for_each(|i| rig.stores(task(i), 600 * K));
    assert_eq!(being_written(&rig), [task(7), task(8)]);
    rig.writes_one(Ok(()));
    rig.writes_one(Err(DiskFull));
    rig.hears(Say::Free(vec![task(7)]));
    rig.waits(99);
    assert!(rig.writes.is_empty());
    rig.waits(1);
    assert_eq!(rig.writes.len(), 1);
}

#[test]
fn a_spilled_value_that_is_damaged_is_lost_and_asked_of_others() {
    let mut rig = Rig::with_budget(1000 * K);
    rig.event(Event::Adopted(vec![]));
    rig.stores(task(9), 600 * K);
    rig.hears(Say::Compute(vec![takes(1, 700 * K, vec![])]));
    rig.writes_all();
    rig.gives_bytes(task(1), 10 * K);
    let twice = Input { nbytes: 600 * K, ..input(task(9), &[0, 2]) };
    rig.hears(Say::Compute(vec![takes(2, 10 * K, vec![twice]), takes(3, 10 * K, vec![here(9, 600 * K)])]));
    rig.heard();
    rig.reads_one(Err(Damaged));
    let heard = rig.heard_of_tasks();
    assert!(matches!(&heard[..], [Heard::Missing(lost)] if lost[..] == [(task(9), ME, Unreadable)]), "{heard:?}");
    assert!(rig.disk.is_empty(), "the bad copy is thrown away");
    rig.started();
    rig.answers(2, &[(task(9), Ok(600 * K))], true);
    assert_eq!(rig.started(), [task(2), task(3)]);
}

#[test]
fn a_damaged_value_that_nobody_else_has_ends_those_that_need_it() {
    let mut rig = Rig::unregistered(Config { memory: budget(1000 * K), ..Config::default() });
    rig.disk.insert(task(9), 600 * K);
    rig.event(Event::Adopted(vec![(task(9), 600 * K, 550 * K)]));
    rig.hears(Say::Registered { worker: ME, heartbeat_ms: 1000 });
    assert!(
        matches!(&rig.heard()[..], [Heard::Adopted(list)] if list[..] == [(task(9), 600 * K)]),
        "right after the start"
    );
    rig.hears(Say::Compute(vec![takes(2, 10 * K, vec![here(9, 600 * K)])]));
    rig.reads_one(Err(Damaged));
    let heard = rig.heard_of_tasks();
    let [Heard::Missing(lost), Heard::InputsMissing { missing, .. }] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!((&lost[..], &missing[..]), (&[(task(9), ME, Unreadable)][..], &[(task(9), ME, NotThere)][..]));
    assert_eq!(rig.worker.inventory(), (0, 0, 0, 0));
}

#[test]
fn damage_that_the_shell_finds_by_itself_is_reported_as_well() {
    let mut rig = Rig::unregistered(Config::default());
    rig.disk.insert(task(9), 600 * K);
    rig.event(Event::Adopted(vec![(task(9), 600 * K, 550 * K)]));
    rig.hears(Say::Registered { worker: ME, heartbeat_ms: 1000 });
    rig.event(Event::Unspilled(vec![(task(9), Err(Damaged))]));
    let heard = rig.heard();
    assert!(matches!(&heard[..], [Heard::Adopted(_), Heard::Missing(lost)] if lost[..] == [(task(9), ME, Unreadable)]));
    assert!(!rig.worker.holds(task(9)));
}

#[test]
fn a_late_answer_about_a_value_that_was_thrown_away_is_not_believed() {
    let mut rig = Rig::with_budget(1000 * K);
    rig.stores(task(9), 600 * K);
    rig.stores(task(8), 600 * K);
    assert_eq!(being_written(&rig), [task(9)]);
    rig.hears(Say::Free(vec![task(9)]));
    rig.stores(task(9), 600 * K);
    assert_eq!(being_written(&rig), [task(9), task(8)], "it is not written again before the answer");
    rig.writes_one(Ok(()));
    assert!(rig.store.contains_key(&task(9)) && !rig.disk.contains_key(&task(9)));
    rig.stores(task(7), 600 * K);
    assert_eq!(being_written(&rig), [task(8), task(9)], "now it may be");
    rig.writes_all();
    assert_eq!((rig.store.len(), rig.disk.len()), (1, 2));
}

#[test]
fn the_scheduler_hears_of_tight_memory_and_of_its_end() {
    let mut rig = Rig::with_budget(1000 * K);
    rig.stores(task(9), 500 * K);
    assert!(pressures(&rig.heard()).is_empty());
    rig.hears(Say::Compute(vec![takes(1, 700 * K, vec![])]));
    assert_eq!(pressures(&rig.heard()), [Pressure::Tight]);
    rig.writes_all();
    rig.gives_bytes(task(1), 600 * K);
    assert_eq!(pressures(&rig.heard()), [Pressure::Comfortable]);
    rig.hears(Say::Free(vec![task(1)]));
    assert!(pressures(&rig.heard()).is_empty());
}

fn without_disk(nthreads: u32, nbytes: u64) -> Rig {
    let memory = MemoryConfig { can_spill: false, ..budget(nbytes) };
    Rig::new(Config { nthreads, memory, ..Config::default() })
}

#[test]
fn a_full_worker_hands_each_task_back_once() {
    let mut rig = without_disk(1, 1000 * K);
    rig.hears(Say::Compute((1..=3).map(|i| takes(i, 600 * K, vec![])).collect()));
    assert_eq!(rig.started(), [task(1)]);
    rig.waits(199);
    assert_eq!(pressures(&rig.heard()), [Pressure::Tight], "it may end any moment");
    rig.waits(1);
    let heard = rig.heard();
    assert_eq!(pressures(&heard), [Pressure::Full]);
    let back = [(task(2), Attempt(1)), (task(3), Attempt(1))];
    assert!(matches!(&heard[1], Heard::HandedBack(list) if list[..] == back), "{heard:?}");
    let again = ComputeTask { attempt: Attempt(2), ..takes(2, 600 * K, vec![]) };
    rig.hears(Say::Compute(vec![again]));
    assert!(rig.heard_of_tasks().is_empty(), "there is no better place for it, so it waits");
    rig.gives_bytes(task(1), 300 * K);
    assert_eq!(rig.started(), [task(2)]);
    rig.done(task(2), 2, Outcome::Value { nbytes: 10 * K });
    assert_eq!(pressures(&rig.heard()), [Pressure::Comfortable]);
}

#[test]
fn what_never_has_room_fails_and_says_why() {
    let mut rig = without_disk(1, 1 << 30);
    rig.stores(task(9), 1900 << 20);
    rig.hears(Say::Compute(vec![takes(1, 512 << 20, vec![])]));
    let heard = rig.heard();
    assert_eq!(pressures(&heard), [Pressure::Full], "at once: nothing runs");
    assert!(heard.iter().any(|said| matches!(said, Heard::HandedBack(_))));
    rig.hears(Say::Compute(vec![ComputeTask { attempt: Attempt(2), ..takes(1, 512 << 20, vec![]) }]));
    rig.waits(9_999);
    assert!(rig.heard_of_tasks().is_empty());
    rig.waits(1);
    let heard = rig.heard_of_tasks();
    let [Heard::Failed { failure: Failure::OutOfMemory { task, reason }, attempt: Attempt(2), .. }] = &heard[..] else {
        panic!("{heard:?}");
    };
    assert_eq!(&**task, "f-1");
    for part in ["needs 512.0 MiB", "limit is 2048.0 MiB", "1900.0 MiB", "no disk"] {
        assert!(reason.contains(part), "{reason}");
    }
}

#[test]
fn only_what_needs_as_much_as_one_that_failed_fails_soon_after_it() {
    let mut rig = without_disk(1, 1 << 30);
    rig.stores(task(9), 1900 << 20);
    let mut fails_after = |number: u32, need: u64| {
        for attempt in 1..=2 {
            rig.hears(Say::Compute(vec![ComputeTask { attempt: Attempt(attempt), ..takes(number, need, vec![]) }]));
            rig.heard();
        }
        let failed = |said: &Heard| matches!(said, Heard::Failed { .. });
        (1..=200).find(|_| {
            rig.waits(100);
            rig.heard_of_tasks().iter().any(failed)
        })
    };
    assert_eq!(fails_after(1, 512 << 20), Some(100));
    assert_eq!(fails_after(2, 512 << 20), Some(1));
    assert_eq!(fails_after(3, 256 << 20), Some(100), "it might have found room");
    assert_eq!(fails_after(4, 512 << 20), Some(1));
}

#[test]
fn what_fails_for_the_disk_says_what_the_disk_said_last() {
    let fails_with = |says: &[&str], answer: Result<(), SpillProblem>| {
        let mut rig = Rig::with_budget(1000 * K);
        rig.stores(task(8), 500 * K);
        rig.stores(task(9), 900 * K);
        for attempt in 1..=2 {
            rig.hears(Say::Compute(vec![ComputeTask { attempt: Attempt(attempt), ..takes(1, 700 * K, vec![]) }]));
            for _ in 0..60 {
                while !rig.writes.is_empty() {
                    says.iter().for_each(|reason| rig.event(Event::DiskTrouble((*reason).into())));
                    rig.writes_one(answer);
                }
                for said in rig.heard_of_tasks() {
                    if let Heard::Failed { failure: Failure::OutOfMemory { reason, .. }, .. } = said {
                        return reason.to_string();
                    }
                }
                rig.waits(500);
            }
        }
        panic!("the task did not fail");
    };
    let reason = fails_with(&["the first", "the quota is used up"], Err(DiskFull));
    assert!(reason.contains("cannot be spilled because the quota is used up; ") && reason.contains("see to the disk"));
    let reason = fails_with(&["writing /x failed: broken"], Err(SpillProblem::Io));
    assert!(reason.contains("because writing /x failed: broken; "), "{reason}");
    let reason = fails_with(&[], Err(Unpicklable));
    assert!(reason.contains("because they cannot be pickled; raise the memory limit, or use"), "{reason}");
}

#[test]
fn room_that_comes_in_time_saves_what_waits_for_it() {
    let mut rig = without_disk(1, 1000 * K);
    rig.stores(task(9), 1900 * K);
    let again = |attempt: u32| ComputeTask { attempt: Attempt(attempt), ..takes(1, 500 * K, vec![]) };
    rig.hears(Say::Compute(vec![again(1)]));
    rig.hears(Say::Compute(vec![again(2)]));
    rig.waits(9_000);
    rig.hears(Say::Free(vec![task(9)]));
    assert_eq!(rig.started(), [task(1)]);
    rig.waits(5_000);
    assert_eq!(rig.worker.pressure(), Pressure::Comfortable);
}

#[test]
fn copies_wait_for_room_and_are_refused_by_a_full_worker() {
    let mut rig = Rig::with_budget(1000 * K);
    rig.stores(task(9), 800 * K);
    rig.hears(Say::Acquire(vec![there(5, 500 * K)]));
    assert!(rig.requests.is_empty() && rig.worker.inventory().2 == 1);
    rig.writes_one(Err(DiskFull));
    let heard = rig.heard();
    assert_eq!(pressures(&heard), [Pressure::Tight, Pressure::Full], "that is within the limit and over the budget");
    assert_eq!(rig.requests.len(), 1);
    rig.answers(1, &[(task(5), Ok(500 * K))], true);
    rig.hears(Say::Acquire(vec![there(6, 500 * K)]));
    let heard = rig.heard_of_tasks();
    let [Heard::Holding(_), Heard::Missing(refused)] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!(refused[..], [(task(6), ME, Busy)]);
}

#[test]
fn a_copy_that_waits_can_be_given_up() {
    let mut rig = Rig::with_budget(1000 * K);
    rig.stores(task(9), 800 * K);
    rig.heard();
    rig.hears(Say::Acquire(vec![there(5, 500 * K)]));
    rig.hears(Say::Free(vec![task(5)]));
    assert!(matches!(&rig.heard_of_tasks()[..], [Heard::Missing(list)] if list[..] == [(task(5), ME, NotThere)]));
    rig.hears(Say::Acquire(vec![there(5, 500 * K), here(9, 800 * K)]));
    rig.stores(task(5), 10 * K);
    let heard = rig.heard_of_tasks();
    let held = |said: &Heard| if let Heard::Holding(list) = said { list.clone() } else { panic!("{said:?}") };
    let held: Vec<_> = heard.iter().flat_map(held).collect();
    assert!(held.contains(&(task(5), 10 * K)) && held.contains(&(task(9), 800 * K)), "{held:?}");
    assert_eq!(rig.worker.inventory().2, 0);
}

#[test]
fn parts_are_fetched_used_and_dropped_without_a_word() {
    for memory in [MemoryConfig::default(), budget(1000 * K)] {
        let mut rig = Rig::new(Config { memory, ..Config::default() });
        rig.peer_joins(1);
        let reads = |of: u32| takes(of, 10 * K, vec![part(task(9), 3, 50 * K, &[1]), part(task(8), 3, 50 * K, &[1])]);
        rig.hears(Say::Compute(vec![reads(1), reads(2)]));
        let parts = [9, 8].map(|of| ValueId { task: task(of), part: Some(3) });
        assert_eq!(rig.requests.values().next().expect("they are asked for").1, parts);
        rig.answers(1, &parts.map(|part| (part, Ok(60 * K))), true);
        assert_eq!(rig.started(), [task(1), task(2)]);
        assert_eq!(rig.worker.metrics().3, 120 * K);
        rig.gives_bytes(task(1), 10 * K);
        assert_eq!(rig.parts.len(), 2);
        rig.gives_bytes(task(2), 10 * K);
        assert!(rig.parts.is_empty(), "the last one has ended");
        assert!(rig.heard_of_tasks().iter().all(|said| matches!(said, Heard::Finished(_))), "nobody is told of parts");
    }
}

#[test]
fn a_part_is_read_from_the_whole_value_wherever_it_is() {
    let mut rig = Rig::with_budget(1000 * K);
    rig.stores(task(9), 400 * K);
    rig.hears(Say::Compute(vec![takes(1, 100 * K, vec![part(task(9), 3, 50 * K, &[0])])]));
    assert_eq!((rig.started(), rig.worker.memory_metrics().1), (vec![task(1)], 150 * K), "the part counts on top");
    rig.hears(Say::Compute(vec![takes(2, 700 * K, vec![])]));
    assert_eq!(being_written(&rig), [task(9)], "nobody needs the whole of it in memory");
    rig.writes_all();
    rig.gives_bytes(task(1), 10 * K);
    rig.gives_bytes(task(2), 10 * K);
    rig.hears(Say::Compute(vec![takes(3, 100 * K, vec![part(task(9), 4, 50 * K, &[0])])]));
    assert!(rig.reads.is_empty() && rig.requests.is_empty());
    assert_eq!(rig.started(), [task(2), task(3)], "the shell reads the part from the disk");
}

#[test]
fn a_part_whose_whole_value_goes_is_fetched() {
    let mut rig = Rig::with_budget(1000 * K);
    rig.stores(task(9), 400 * K);
    let reads = |of: u32| needs(takes(of, 100 * K, vec![part(task(9), 3, 50 * K, &[0, 1])]), &gpu());
    let mut rig = {
        let config = Config { resources: gpu(), memory: budget(1000 * K), ..Config::default() };
        drop(rig);
        let mut rig = Rig::new(config);
        rig.peer_joins(1);
        rig.stores(task(9), 400 * K);
        rig
    };
    rig.hears(Say::Compute(vec![reads(1), reads(2)]));
    assert_eq!(rig.started(), [task(1)], "the other one has no room on the device");
    rig.hears(Say::Free(vec![task(9)]));
    let wanted = ValueId { task: task(9), part: Some(3) };
    assert_eq!(rig.requests.values().next().expect("it is asked for").1, [wanted]);
    rig.answers(1, &[(wanted, Ok(50 * K))], true);
    rig.gives_bytes(task(1), 10 * K);
    assert_eq!(rig.started(), [task(2)]);
}

fn gpu() -> Resources {
    Resources::new([("GPU", 1.0)]).expect("a valid amount")
}

#[test]
fn a_busy_peer_is_asked_again_after_longer_and_longer_pauses() {
    let mut rig = Rig::with_peers(1);
    rig.hears(SchedulerToWorker::Compute(vec![compute(task(1), vec![input(task(9), &[1])])]));
    let mut pauses = Vec::new();
    for _ in 0..8 {
        rig.answers(1, &[(task(9), Err(Busy))], true);
        let before = rig.now;
        while rig.requests.is_empty() {
            rig.waits(25);
        }
        pauses.push(rig.now.since_ns(before) / 1_000_000);
    }
    assert_eq!(pauses, [25, 50, 100, 200, 400, 800, 1000, 1000]);
    rig.answers(1, &[(task(9), Ok(100 * K))], true);
    assert_eq!(rig.started(), [task(1)]);
}

#[test]
fn a_peer_that_stays_busy_is_given_up_like_a_silent_one() {
    let mut rig = Rig::with_peers(1);
    rig.hears(Say::Compute(vec![compute(task(1), vec![input(task(9), &[1])])]));
    while rig.now.0 < 100_000_000_000 && rig.worker.inventory().1 > 0 {
        if !rig.requests.is_empty() {
            rig.answers(1, &[(task(9), Err(Busy))], true);
        }
        rig.waits(50);
    }
    assert_eq!(rig.now.0 / 1_000_000_000, 60);
    let heard = rig.heard_of_tasks();
    let [Heard::InputsMissing { missing, .. }] = &heard[..] else { panic!("{heard:?}") };
    assert_eq!(missing[..], [(task(9), WorkerId(1), Busy)]);
}

#[test]
fn other_holders_are_asked_before_a_busy_one_is_asked_again() {
    let mut rig = Rig::with_peers(3);
    rig.hears(Say::Compute(vec![compute(task(1), vec![input(task(9), &[1, 2])])]));
    let asked = |rig: &Rig| rig.requests.keys().copied().collect::<Vec<_>>();
    let peer = |rig: &Rig| rig.requests.values().next().expect("somebody is asked").0.0;
    let mut order = Vec::new();
    for problem in [Busy, Busy] {
        let (request, peer) = (asked(&rig)[0], peer(&rig));
        order.push(peer);
        rig.requests.remove(&request);
        rig.answers_late(request, peer, &[(task(9), Err(problem))], true);
    }
    order.sort_unstable();
    assert_eq!(order, [1, 2], "the second one at once");
    assert!(rig.requests.is_empty(), "both are busy");
    rig.waits(25);
    // One has lost it meanwhile: the busy one still counts as having it.
    let (request, first) = (asked(&rig)[0], peer(&rig));
    rig.requests.remove(&request);
    rig.answers_late(request, first, &[(task(9), Err(Busy))], true);
    let (request, second) = (asked(&rig)[0], peer(&rig));
    assert_ne!(first, second);
    rig.requests.remove(&request);
    rig.answers_late(request, second, &[(task(9), Err(NotThere))], true);
    assert!(rig.requests.is_empty() && rig.heard_of_tasks().is_empty());
    rig.waits(50);
    assert_eq!(peer(&rig), first);
    rig.answers(first, &[(task(9), Ok(100 * K))], true);
    assert_eq!(rig.started(), [task(1)]);
}

#[test]
fn who_said_twice_that_a_value_is_here_says_when_it_goes() {
    for is_limited in [false, true] {
        let mut rig = if is_limited { Rig::with_budget(1000 * K) } else { Rig::with_peers(0) };
        rig.stores(task(8), 10 * K);
        rig.stores(task(9), 10 * K);
        rig.hears(Say::Acquire(vec![here(9, 10 * K)]));
        rig.heard_of_tasks();
        // The second word may reach the scheduler after it has ordered this on the first.
        rig.hears(Say::Free(vec![task(8), task(9)]));
        let heard = rig.heard_of_tasks();
        let [Heard::Missing(gone)] = &heard[..] else { panic!("{heard:?}") };
        assert_eq!(gone[..], [(task(9), ME, NotThere)]);
    }
}

#[test]
fn a_copy_that_is_on_its_way_is_not_refused_when_it_is_asked_for_again() {
    let mut rig = Rig::with_budget(1000 * K);
    rig.hears(Say::Acquire(vec![there(5, 10 * K)]));
    rig.stores(task(9), 1500 * K);
    rig.writes_one(Err(DiskFull));
    rig.waits(5_000);
    assert_eq!(rig.worker.pressure(), Pressure::Full);
    rig.hears(Say::Acquire(vec![there(5, 10 * K), there(6, 10 * K)]));
    let heard = rig.heard_of_tasks();
    let said = |said: &Heard| if let Heard::Missing(list) = said { list.clone() } else { Vec::new() };
    assert_eq!(heard.iter().flat_map(said).collect::<Vec<_>>(), [(task(6), ME, Busy)]);
    rig.answers(1, &[(task(5), Ok(10 * K))], true);
    assert!(rig.worker.holds(task(5)));
}

#[test]
fn a_copy_that_has_waited_long_for_room_is_refused_so_that_others_are_asked() {
    let mut rig = runners(1, 1000 * K);
    rig.hears(Say::Compute(vec![takes(1, 900 * K, vec![])]));
    assert_eq!(rig.started(), [task(1)]);
    rig.hears(Say::Acquire(vec![there(5, 500 * K)]));
    rig.waits(9_000);
    assert!(rig.requests.is_empty() && rig.heard_of_tasks().is_empty());
    rig.waits(1_500);
    assert!(matches!(&rig.heard_of_tasks()[..], [Heard::Missing(list)] if list[..] == [(task(5), ME, Busy)]));
    assert_eq!(rig.worker.inventory().2, 0);
}

#[test]
fn no_more_is_asked_for_than_may_be_in_flight() {
    let mut rig = Rig::new(Config { fetch_inflight_bytes: 250, fetch_batch_bytes: 150, ..Config::default() });
    (1..=4).for_each(|id| rig.peer_joins(id));
    let tasks = (0..8).map(|i| compute(task(i), vec![input(task(100 + i), &[1 + i % 4])]));
    rig.hears(Say::Compute(tasks.collect()));
    assert_eq!(rig.requests.len(), 2, "two requests of 200 bytes");
    let (&request, (peer, values)) = rig.requests.first_key_value().expect("there are two");
    let (peer, results) = (peer.0, values.iter().map(|&value| (value, Ok(100 * K))).collect::<Vec<_>>());
    rig.requests.remove(&request);
    rig.answers_late(request, peer, &results, true);
    assert_eq!(rig.requests.len(), 2);
}

#[test]
fn a_process_that_takes_too_much_runs_one_at_a_time_and_gives_up_what_it_can() {
    let mut rig = runners(2, 1000 * K);
    rig.stores(task(9), 300 * K);
    rig.measures(1_900 * K, u64::MAX);
    assert_eq!(being_written(&rig), [task(9)], "85 of 100 of the limit of 2000 is enough");
    rig.hears(Say::Compute(vec![takes(1, 10 * K, vec![]), takes(2, 10 * K, vec![])]));
    assert_eq!(rig.started(), [task(1)]);
    rig.writes_all();
    assert!(rig.store.is_empty());
    rig.measures(1_600 * K, u64::MAX);
    assert_eq!(rig.started(), [task(2)]);
}

#[test]
fn what_others_take_of_what_all_share_is_made_room_for_and_waited_for() {
    let mut rig = runners(2, 1000 * K);
    rig.stores(task(9), 300 * K);
    rig.measures(400 * K, 350 * K);
    assert_eq!(being_written(&rig), [task(9)]);
    rig.hears(Say::Compute(vec![takes(1, 200 * K, vec![]), takes(2, 200 * K, vec![])]));
    assert_eq!(rig.started(), [], "there is room for one when the value has left");
    rig.writes_all();
    assert!(rig.store.is_empty());
    assert_eq!(rig.started(), [task(1)]);
    rig.measures(200 * K, u64::MAX);
    assert_eq!(rig.started(), [task(2)]);
}

#[test]
fn memory_that_is_no_value_comes_off_the_budget_and_is_reported() {
    let mut rig = Rig::with_budget(1000 * K);
    rig.stores(task(9), 300 * K);
    (0..60).for_each(|_| rig.measures(1_600 * K, u64::MAX));
    assert!((500 * K..510 * K).contains(&rig.worker.budget_bytes()), "{}", rig.worker.budget_bytes());
    rig.hears(Say::Compute(vec![takes(1, 100 * K, vec![])]));
    rig.waits(1_000);
    let heard = rig.heard();
    let beats =
        heard.iter().filter_map(|said| if let Heard::Heartbeat(metrics) = said { Some(*metrics) } else { None });
    let metrics = beats.last().expect("a second passed");
    assert_eq!((metrics.managed_bytes, metrics.reserved_bytes, metrics.spilled_bytes), (300 * K, 100 * K, 0));
    assert!((1290 * K..=1300 * K).contains(&metrics.unmanaged_bytes), "{}", metrics.unmanaged_bytes);
}

#[test]
fn without_a_limit_nothing_waits_and_nothing_is_written() {
    let mut rig = Rig::with_peers(0);
    rig.stores(task(9), 1 << 50);
    rig.measures(1 << 50, u64::MAX);
    rig.hears(Say::Compute(vec![takes(1, 1 << 60, vec![here(9, 1 << 50)])]));
    assert_eq!((rig.started(), rig.writes.len()), (vec![task(1)], 0));
    assert_eq!(rig.worker.pressure(), Pressure::Comfortable);
}
