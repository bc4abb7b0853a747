//! The supervisor with real processes and signals: shell scripts stand in for workers.

mod common;

use common::{eventually, supervise, supervise_with};
use kask_net::reactor::Link;
use kask_types::DeathCause;
use kask_wire::SchedulerToSupervisor;
use std::time::{Duration, Instant};

#[test]
fn a_killed_worker_is_reported_and_followed_by_another_life() {
    let test = supervise("exec sleep 60", 2);
    test.running(2);
    let victim = test.supervisor.places()[0].incarnation;
    test.supervisor.post(SchedulerToSupervisor::Kill { incarnation: victim, retire: false });
    eventually("a third life", || test.said.started().len() == 3);
    assert_eq!(test.said.deaths(), [(victim, DeathCause::Signalled(9), true)]);
    test.close();
}

#[test]
fn a_retired_worker_is_not_followed() {
    let test = supervise("exec sleep 60", 1);
    test.running(1);
    let victim = test.supervisor.places()[0].incarnation;
    test.supervisor.post(SchedulerToSupervisor::Kill { incarnation: victim, retire: true });
    eventually("an empty place", || test.supervisor.places().is_empty());
    assert_eq!(test.said.deaths(), [(victim, DeathCause::Signalled(9), false)]);
    test.close();
}

#[test]
fn a_worker_that_cannot_work_is_given_up_with_what_it_said() {
    let test = supervise("echo 'no module named teapot' >&2; exit 78", 1);
    eventually("a problem", || test.supervisor.places().iter().any(|place| place.problem.is_some()));
    let problem = test.supervisor.places()[0].problem.clone().expect("just seen");
    assert!(problem.contains("exited with code 78") && problem.contains("teapot"), "{problem}");
    eventually("one death", || test.said.deaths().len() == 1);
    test.close();
}

#[test]
fn a_worker_that_crashes_at_once_is_tried_a_few_times() {
    let test = supervise("kill -SEGV $$", 1);
    eventually("a problem", || test.supervisor.places().iter().any(|place| place.problem.is_some()));
    assert_eq!(test.said.deaths().len(), 5);
    assert!(test.said.deaths().iter().all(|(_, cause, _)| *cause == DeathCause::Signalled(11)));
    test.close();
}

#[test]
fn closing_ends_processes_that_do_not_listen() {
    let test = supervise("trap '' TERM HUP INT; while true; do sleep 1; done", 2);
    test.running(2);
    let started = Instant::now();
    test.close();
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn an_interpreter_that_is_not_there_is_named() {
    let test = supervise_with("/no/such/python", "", 1, 0);
    eventually("a problem", || test.supervisor.places().iter().any(|place| place.problem.is_some()));
    assert!(test.supervisor.places()[0].problem.as_deref().expect("just seen").contains("/no/such/python"));
}
