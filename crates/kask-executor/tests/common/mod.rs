//! A supervisor whose workers are shell scripts, and a scheduler that listens to it.
#![allow(dead_code, reason = "each test binary uses a part")]

use kask_executor::process::WorkerProcessConfig;
use kask_executor::scratch::SpillBase;
use kask_executor::{Supervisor, SupervisorOptions};
use kask_net::LocalDir;
use kask_net::reactor::{Link, Pump, Wake};
use kask_types::{Certificate, DeathCause, Incarnation};
use kask_wire::SupervisorToScheduler;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What the supervisor said.
#[derive(Default)]
pub struct Said(Mutex<Vec<SupervisorToScheduler>>);

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
    pub fn started(&self) -> Vec<Incarnation> {
        let started = |message: &SupervisorToScheduler| match message {
            SupervisorToScheduler::Started { incarnation } => Some(*incarnation),
            SupervisorToScheduler::Register { .. } | SupervisorToScheduler::WorkerDied { .. } => None,
        };
        self.0.lock().iter().filter_map(started).collect()
    }

    pub fn deaths(&self) -> Vec<(Incarnation, DeathCause, bool)> {
        let died = |message: &SupervisorToScheduler| match message {
            SupervisorToScheduler::WorkerDied { incarnation, certificate, restarting } => {
                Some((*incarnation, certificate.cause, *restarting))
            }
            SupervisorToScheduler::Register { .. } | SupervisorToScheduler::Started { .. } => None,
        };
        self.0.lock().iter().filter_map(died).collect()
    }

    pub fn certificates(&self) -> Vec<Certificate> {
        let died = |message: &SupervisorToScheduler| match message {
            SupervisorToScheduler::WorkerDied { certificate, .. } => Some(certificate.clone()),
            SupervisorToScheduler::Register { .. } | SupervisorToScheduler::Started { .. } => None,
        };
        self.0.lock().iter().filter_map(died).collect()
    }
}

/// Workers that run a shell script.
pub struct Supervised {
    pub supervisor: Arc<Supervisor>,
    pub said: Arc<Said>,
    pub directory: LocalDir,
}

/// Starts `workers` with a script.
pub fn supervise(script: &str, workers: usize) -> Supervised {
    supervise_with("/bin/sh", script, workers, 0)
}

/// Starts `workers` with a script and a memory limit. The script finds the directory of the test in `$TEST`.
pub fn supervise_with(interpreter: &str, script: &str, workers: usize, memory_limit_bytes: u64) -> Supervised {
    let directory = LocalDir::new().expect("a private directory");
    let path = directory.path().display().to_string();
    let supervisor = Supervisor::new(SupervisorOptions {
        python: interpreter.into(),
        arguments: vec!["-c".into(), script.into()],
        environment: vec![("TEST".into(), path.clone())],
        worker: WorkerProcessConfig {
            scheduler: "unix:///nowhere".into(),
            nthreads: 1,
            memory_limit_bytes,
            local_directory: path,
            host: "localhost".into(),
            listen: "tcp://127.0.0.1:0".into(),
            connect_timeout_ms: 1000,
            ..WorkerProcessConfig::default()
        },
        name_prefix: "w".into(),
        is_only_one: false,
        socket_directory: Some(directory.path().to_path_buf()),
        spill_base: Some(SpillBase { path: directory.path().to_path_buf(), setting: "a test".into() }),
        restart: true,
    });
    let said = Arc::new(Said::default());
    supervisor.connect(said.clone());
    supervisor.scale(workers).expect("processes can be started");
    Supervised { supervisor, said, directory }
}

/// Waits for something, but not for ever.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let started = Instant::now();
    while !holds() {
        assert!(started.elapsed() < Duration::from_secs(20), "not within 20 s: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

impl Supervised {
    /// Waits until so many processes run.
    pub fn running(&self, count: usize) {
        eventually("processes that run", || {
            self.supervisor.places().iter().filter(|place| place.pid.is_some()).count() == count
        });
    }

    pub fn close(&self) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(self.supervisor.close());
        assert!(self.supervisor.places().iter().all(|place| place.pid.is_none()), "no process is left behind");
    }
}

/// Shell functions for scripts: `config NAME` prints an entry of the worker's configuration.
pub const SHELL: &str = r#"
config() { printf %s "$KASK_WORKER_CONFIG" | sed "s|.*\"$1\":\"\{0,1\}\([^,\"}]*\).*|\1|"; }
note() { printf %s "$1" > "$(config last_task_file)"; }
first_life() { mkdir "$TEST/once-$(config name)" 2>/dev/null; }
"#;
