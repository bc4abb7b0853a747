//! A worker that has more values than memory: the whole shell, with a scheduler made of messages.

mod language;

use kask_executor::memory_settings::MemoryOptions;
use kask_executor::{LocalWorkers, WorkerHost, WorkerOptions};
use kask_net::data_plane::{DataPlane, Fetched};
use kask_net::reactor::{Link, Pump, Wake, drive};
use kask_types::{Incarnation, Resources, TaskId, ValueId};
use kask_wire::worker::{FetchProblem, Peer, Pressure};
use kask_wire::{ComputeTask, SchedulerToWorker, WorkerToScheduler};
use language::{Bytewise, Folder, ME, MIB, checksum, compute, finished, get, noise, noises, payload_bytes, task};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

const SCHEDULER: Incarnation = Incarnation(5);

/// Hears what the worker says.
#[derive(Default)]
struct Ear {
    said: Mutex<Vec<WorkerToScheduler>>,
    more: Condvar,
}

impl Pump for Ear {
    fn pump(&self, _: &mut Wake) {}
}

impl Link<WorkerToScheduler> for Ear {
    fn post(&self, message: WorkerToScheduler) {
        self.said.lock().expect("no panics").push(message);
        self.more.notify_all();
    }
    fn close(&self, _: &str) {}
}

struct Rig {
    host: Arc<WorkerHost>,
    ear: Arc<Ear>,
    workers: Arc<LocalWorkers>,
}

fn start(spill: &Path, limit: usize, max_on_disk: usize) -> Rig {
    let memory = MemoryOptions {
        limit_bytes: limit as u64,
        spill_directory: Some(spill.to_owned()),
        spill_max_bytes: max_on_disk as u64,
        spill_reserve_bytes: Some(0),
        ..MemoryOptions::default()
    };
    let options = WorkerOptions {
        name: "w".into(),
        incarnation: Incarnation(2),
        nthreads: 2,
        resources: Resources::default(),
        memory,
        local_directory: "".into(),
        host: "localhost".into(),
        versions: Vec::new(),
        in_process: true,
        synchronous: false,
        last_task_file: None,
    };
    let workers = Arc::new(LocalWorkers::default());
    let host = WorkerHost::new(options, Arc::new(Bytewise), workers.clone());
    workers.add(&host);
    workers.join(&Peer { worker: ME, incarnation: Incarnation(2), address: "".into() });
    let rig = Rig { host, ear: Arc::default(), workers };
    rig.host.adopt(SCHEDULER);
    rig.host.start(rig.ear.clone(), "");
    rig.tell(SchedulerToWorker::Registered { worker: ME, heartbeat_ms: 50 });
    rig
}

impl Rig {
    fn tell(&self, message: SchedulerToWorker) {
        let link = self.host.incoming();
        link.post(message);
        drive(link);
    }

    fn compute(&self, tasks: Vec<ComputeTask>) {
        self.tell(SchedulerToWorker::Compute(tasks));
    }

    /// Waits until the worker has said what makes `enough` say so.
    fn wait<T>(&self, what: &str, mut enough: impl FnMut(&[WorkerToScheduler]) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut said = self.ear.said.lock().expect("no panics");
        loop {
            if let Some(found) = enough(&said) {
                return found;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what} did not come; said so far: {:?}", last_of(&said));
            said = self.ear.more.wait_timeout(said, left.min(Duration::from_millis(100))).expect("no panics").0;
        }
    }

    fn finished(&self, count: usize) {
        self.wait("the end of all tasks", |said| (finished(said).len() >= count).then_some(()));
    }

    fn get(&self, ids: &[ValueId]) -> BTreeMap<ValueId, Fetched> {
        get(&*self.workers, ids)
    }

    fn bytes(&self, id: impl Into<ValueId>) -> bytes::Bytes {
        let id = id.into();
        match self.get(&[id]).remove(&id) {
            Some(Fetched::Here(payload)) => payload_bytes(&payload),
            other => panic!("{id:?} is {other:?}"),
        }
    }

    fn close(&self) {
        assert!(self.host.close(Duration::from_secs(10), &mut || false), "no runner is left behind");
    }
}

fn last_of(said: &[WorkerToScheduler]) -> &[WorkerToScheduler] {
    &said[said.len().saturating_sub(5)..]
}

#[test]
fn values_that_do_not_fit_go_to_disk_and_come_back() {
    let folder = Folder::new();
    let rig = start(&folder.spill(), 160 * MIB, 0);
    rig.compute(noises(200, 2 * MIB));
    rig.finished(200);
    let stats = rig.host.spill_stats();
    assert!(stats.bytes > 200 * MIB as u64, "{stats:?}");
    // Other tasks read all of them.
    let sums =
        (0..200).map(|slot| compute(1000 + slot, "checksums".into(), &[task(slot).into(), task(199 - slot).into()]));
    rig.compute(sums.collect());
    rig.finished(400);
    for slot in 0..200 {
        let expected = [slot, 199 - slot].map(|slot| checksum(&noise(slot as u64, 2 * MIB)).to_le_bytes()).concat();
        assert_eq!(rig.bytes(task(1000 + slot)), expected);
    }
    // And so does a client, without their coming back to memory.
    let all: Vec<ValueId> = (0..200).map(|slot| task(slot).into()).collect();
    for (id, fetched) in rig.get(&all) {
        let Fetched::Here(payload) = fetched else { panic!("{id:?} is {fetched:?}") };
        assert_eq!(payload_bytes(&payload), noise(id.task.slot.into(), 2 * MIB));
    }
    let metrics = rig.wait("a heartbeat", |said| match said.last() {
        Some(WorkerToScheduler::Heartbeat(metrics)) => Some(*metrics),
        _ => None,
    });
    assert!(metrics.managed_bytes < 160 * MIB as u64 && metrics.spilled_bytes > 200 * MIB as u64, "{metrics:?}");
    // What is let go of leaves the disk.
    rig.tell(SchedulerToWorker::Free((0..200).chain(1000..1200).map(task).collect()));
    let deadline = Instant::now() + Duration::from_secs(20);
    while !folder.files().is_empty() || rig.host.spill_stats().bytes > 0 {
        assert!(Instant::now() < deadline, "{:?}, {:?}", folder.files(), rig.host.spill_stats());
        std::thread::sleep(Duration::from_millis(5));
    }
    rig.close();
    assert!(!folder.spill().exists());
}

#[test]
fn values_that_cannot_be_encoded_stay_in_memory_and_others_go() {
    let folder = Folder::new();
    let rig = start(&folder.spill(), 160 * MIB, 0);
    rig.compute((0..10).map(|slot| compute(slot, format!("stubborn {slot} {}", 2 * MIB), &[])).collect());
    rig.finished(10);
    rig.compute((10..150).map(|slot| compute(slot, format!("noise {slot} {}", 2 * MIB), &[])).collect());
    rig.finished(150);
    for slot in 0..10 {
        assert_eq!(rig.bytes(task(slot))[1..], noise(slot as u64, 2 * MIB));
    }
    assert!(rig.host.spill_stats().values >= 50, "{:?}", rig.host.spill_stats());
    rig.close();
}

#[test]
fn parts_are_read_from_disk_without_the_rest() {
    let folder = Folder::new();
    let rig = start(&folder.spill(), 160 * MIB, 0);
    rig.compute((0..120).map(|slot| compute(slot, format!("parts {slot} {}", MIB / 2), &[])).collect());
    rig.finished(120);
    assert!(rig.host.spill_stats().bytes > 60 * MIB as u64, "{:?}", rig.host.spill_stats());
    let part_of = |slot: usize, part: u32| ValueId { task: task(slot), part: Some(part) };
    let merge = |part: u32| -> Vec<ValueId> { (0..120).map(|slot| part_of(slot, part)).collect() };
    rig.compute((0..4).map(|part| compute(1000 + part as usize, "checksums".into(), &merge(part))).collect());
    rig.finished(124);
    for part in 0..4 {
        let expected: Vec<u8> =
            (0..120).flat_map(|slot| checksum(&noise(slot * 10 + part, MIB / 2)).to_le_bytes()).collect();
        assert_eq!(rig.bytes(task(1000 + part as usize)), expected);
    }
    // Peers ask for parts, too, and clients for the whole.
    assert_eq!(rig.bytes(part_of(3, 2)), noise(32, MIB / 2));
    assert_eq!(rig.bytes(task(3)).len(), 4 * (8 + MIB / 2));
    assert!(matches!(rig.get(&[part_of(3, 4)])[&part_of(3, 4)], Fetched::NotThere));
    rig.close();
}

#[test]
fn a_full_disk_is_told_and_nothing_is_lost() {
    let folder = Folder::new();
    let rig = start(&folder.spill(), 160 * MIB, 20 * MIB);
    rig.compute(noises(300, 2 * MIB));
    let handed_back = rig.wait("work given back", |said| {
        let is_full = said.iter().any(|message| matches!(message, WorkerToScheduler::Pressure(Pressure::Full)));
        let given: usize = said
            .iter()
            .map(|message| match message {
                WorkerToScheduler::HandedBack(attempts) => attempts.len(),
                _ => 0,
            })
            .sum();
        (is_full && given > 0 && given + finished(said).len() == 300).then_some(given)
    });
    assert!(rig.host.spill_stats().bytes <= 20 * MIB as u64);
    let done = finished(&rig.ear.said.lock().expect("no panics"));
    assert_eq!(done.len() + handed_back, 300);
    for id in done {
        assert_eq!(rig.bytes(id), noise(id.slot.into(), 2 * MIB));
    }
    rig.close();
}

#[test]
fn what_a_killed_worker_had_spilled_is_taken_over() {
    let folder = Folder::new();
    let rig = start(&folder.spill(), 160 * MIB, 0);
    rig.compute(noises(120, 2 * MIB));
    rig.finished(120);
    // The files as they would be if the process were killed now.
    let copy = Folder::new();
    std::fs::create_dir(copy.spill()).expect("it can be made");
    std::fs::set_permissions(copy.spill(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("it is ours");
    std::fs::copy(folder.spill().join("ledger"), copy.spill().join("ledger")).expect("there is one");
    for file in folder.files() {
        std::fs::copy(&file, copy.spill().join(file.file_name().expect("files have names"))).expect("it can be copied");
    }
    rig.close();
    let rig = start(&copy.spill(), 160 * MIB, 0);
    let adopted = rig.wait("the values taken over", |said| {
        said.iter().find_map(|message| match message {
            WorkerToScheduler::Adopted(values) => Some(values.clone()),
            _ => None,
        })
    });
    assert!(adopted.len() >= 20, "{adopted:?}");
    for (id, nbytes) in &adopted {
        assert!(*nbytes >= 2 * MIB as u64);
        assert_eq!(rig.bytes(*id), noise(id.slot.into(), 2 * MIB));
    }
    let inputs: Vec<ValueId> = adopted.iter().map(|(id, _)| (*id).into()).collect();
    rig.compute(inputs.chunks(3).enumerate().map(|(n, ids)| compute(1000 + n, "checksums".into(), ids)).collect());
    rig.finished(inputs.len().div_ceil(3));
    rig.close();
}

#[test]
fn a_damaged_file_is_a_lost_value() {
    let folder = Folder::new();
    let rig = start(&folder.spill(), 160 * MIB, 0);
    rig.compute(noises(150, 2 * MIB));
    rig.finished(150);
    for file in folder.files() {
        let damaged = std::fs::OpenOptions::new().write(true).open(&file).expect("it is ours");
        std::os::unix::fs::FileExt::write_all_at(&damaged, b"oops", 1_000_000).expect("it is ours");
    }
    // Whoever asks learns that it is gone, and the scheduler that it has to be made again.
    let all: Vec<ValueId> = (0..150).map(|slot| task(slot).into()).collect();
    let got = rig.get(&all);
    let lost: Vec<TaskId> =
        got.iter().filter(|(_, got)| matches!(got, Fetched::NotThere)).map(|(id, _)| id.task).collect();
    assert!(lost.len() >= 20, "{}", lost.len());
    rig.wait("word of the losses", |said| {
        let mut missing = Vec::new();
        for message in said {
            if let WorkerToScheduler::Missing(values) = message {
                assert!(
                    values.iter().all(|(_, worker, problem)| (*worker, *problem) == (ME, FetchProblem::Unreadable))
                );
                missing.extend(values.iter().map(|(task, _, _)| *task));
            }
        }
        missing.sort_unstable();
        missing.dedup();
        (missing == lost).then_some(())
    });
    for (id, fetched) in got {
        if let Fetched::Here(payload) = fetched {
            assert_eq!(payload_bytes(&payload), noise(id.task.slot.into(), 2 * MIB));
        }
    }
    rig.close();
}
