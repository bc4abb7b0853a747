//! The supervisor with real processes and signals: shell scripts stand in for workers.

use kask_executor::process::{SecurityConfig, WorkerProcessConfig};
use kask_executor::{Supervisor, SupervisorOptions};
use kask_net::LocalDir;
use kask_net::reactor::{Link, Pump, Wake};
use kask_types::{DeathCause, Incarnation};
use kask_wire::{SchedulerToSupervisor, SupervisorToScheduler};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

#[derive(Default)]
struct Said(Mutex<Vec<SupervisorToScheduler>>);

impl Pump for Said {
    fn pump(&self, _: &mut Wake) {}
}

impl Link<SupervisorToScheduler> for Said {
    fn post(&self, message: SupervisorToScheduler) {
        self.0.lock().push(message);
    }
    fn close(&self, _: &str) {}
}

impl Said {
    fn started(&self) -> Vec<Incarnation> {
        let started = |message: &SupervisorToScheduler| match message {
            SupervisorToScheduler::Started { incarnation } => Some(*incarnation),
            SupervisorToScheduler::Register { .. } | SupervisorToScheduler::WorkerDied { .. } => None,
        };
        self.0.lock().iter().filter_map(started).collect()
    }

    fn deaths(&self) -> Vec<(Incarnation, DeathCause, bool)> {
        let died = |message: &SupervisorToScheduler| match message {
            SupervisorToScheduler::WorkerDied { incarnation, certificate, restarting } => {
                Some((*incarnation, certificate.cause, *restarting))
            }
            SupervisorToScheduler::Register { .. } | SupervisorToScheduler::Started { .. } => None,
        };
        self.0.lock().iter().filter_map(died).collect()
    }
}

fn supervise(script: &str, workers: usize) -> (Arc<Supervisor>, Arc<Said>, LocalDir) {
    supervise_with("/bin/sh", script, workers)
}

fn supervise_with(interpreter: &str, script: &str, workers: usize) -> (Arc<Supervisor>, Arc<Said>, LocalDir) {
    let directory = LocalDir::new().expect("a private directory");
    let supervisor = Supervisor::new(SupervisorOptions {
        python: interpreter.into(),
        arguments: vec!["-c".into(), script.into()],
        environment: Vec::new(),
        worker: WorkerProcessConfig {
            scheduler: "unix:///nowhere".into(),
            security: SecurityConfig::default(),
            name: String::new(),
            incarnation: String::new(),
            nthreads: 1,
            memory_limit_bytes: 0,
            resources: BTreeMap::new(),
            local_directory: directory.path().display().to_string(),
            host: "localhost".into(),
            listen: "tcp://127.0.0.1:0".into(),
            last_task_file: None,
            connect_timeout_ms: 1000,
            preload: Vec::new(),
        },
        name_prefix: "w".into(),
        socket_directory: Some(directory.path().to_path_buf()),
        restart: true,
    });
    let said = Arc::new(Said::default());
    supervisor.connect(said.clone());
    supervisor.scale(workers).expect("processes can be started");
    (supervisor, said, directory)
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(10), "not within 10 s: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn close(supervisor: &Arc<Supervisor>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(supervisor.close());
    assert!(supervisor.places().iter().all(|place| place.pid.is_none()), "no process is left behind");
}

#[test]
fn a_killed_worker_is_reported_and_followed_by_another_life() {
    let (supervisor, said, _directory) = supervise("exec sleep 60", 2);
    eventually("two processes", || supervisor.places().iter().filter(|place| place.pid.is_some()).count() == 2);
    let victim = supervisor.places()[0].incarnation;
    supervisor.post(SchedulerToSupervisor::Kill { incarnation: victim, retire: false });
    eventually("a third life", || said.started().len() == 3);
    assert_eq!(said.deaths(), [(victim, DeathCause::Signalled(9), true)]);
    close(&supervisor);
}

#[test]
fn a_retired_worker_is_not_followed() {
    let (supervisor, said, _directory) = supervise("exec sleep 60", 1);
    eventually("a process", || supervisor.places().iter().any(|place| place.pid.is_some()));
    let victim = supervisor.places()[0].incarnation;
    supervisor.post(SchedulerToSupervisor::Kill { incarnation: victim, retire: true });
    eventually("an empty place", || supervisor.places().is_empty());
    assert_eq!(said.deaths(), [(victim, DeathCause::Signalled(9), false)]);
    close(&supervisor);
}

#[test]
fn a_worker_that_cannot_work_is_given_up_with_what_it_said() {
    let (supervisor, said, _directory) = supervise("echo 'no module named teapot' >&2; exit 78", 1);
    eventually("a problem", || supervisor.places().iter().any(|place| place.problem.is_some()));
    let problem = supervisor.places()[0].problem.clone().expect("just seen");
    assert!(problem.contains("exited with code 78") && problem.contains("teapot"), "{problem}");
    eventually("one death", || said.deaths().len() == 1);
    close(&supervisor);
}

#[test]
fn a_worker_that_crashes_at_once_is_tried_a_few_times() {
    let (supervisor, said, _directory) = supervise("kill -SEGV $$", 1);
    eventually("a problem", || supervisor.places().iter().any(|place| place.problem.is_some()));
    assert_eq!(said.deaths().len(), 5);
    assert!(said.deaths().iter().all(|(_, cause, _)| *cause == DeathCause::Signalled(11)));
    close(&supervisor);
}

#[test]
fn closing_ends_processes_that_do_not_listen() {
    let (supervisor, _said, _directory) = supervise("trap '' TERM HUP INT; while true; do sleep 1; done", 2);
    eventually("two processes", || supervisor.places().iter().filter(|place| place.pid.is_some()).count() == 2);
    let started = Instant::now();
    close(&supervisor);
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[test]
fn an_interpreter_that_is_not_there_is_named() {
    let (supervisor, _said, _directory) = supervise_with("/no/such/python", "", 1);
    eventually("a problem", || supervisor.places().iter().any(|place| place.problem.is_some()));
    assert!(supervisor.places()[0].problem.as_deref().expect("just seen").contains("/no/such/python"));
}
