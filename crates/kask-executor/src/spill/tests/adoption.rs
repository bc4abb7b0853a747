//! The next process of a place finds what the one before it had written, wherever that was killed.

use super::*;
use crate::spill::SpillError;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// Leaves the folder as a process does that is killed: nothing is removed or written.
fn killed(folder: SpillDir) {
    drop(folder);
}

fn adopt(scratch: &Scratch) -> (SpillDir, BTreeMap<TaskId, std::sync::Arc<crate::spill::Spilled>>) {
    let (folder, adopted) =
        SpillDir::adopt(&scratch.folder(), PLACE, SCHEDULER, options(Compression::Auto)).expect("it can be opened");
    let count = adopted.len();
    let by_task: BTreeMap<_, _> = adopted.into_iter().map(|spilled| (spilled.task(), spilled)).collect();
    assert_eq!(count, by_task.len(), "a task was adopted twice");
    (folder, by_task)
}

fn value(slot: u32) -> Content {
    let seed = u64::from(slot);
    match slot % 3 {
        0 => whole(&[noise(seed, 120)]),
        1 => whole(&[noise(seed, 50), noise(seed + 1, 100_000)]),
        _ => Content::Parts(vec![payload(&[noise(seed, 10)]), payload(&[noise(seed, 2_000)])].into()),
    }
}

#[test]
fn everything_is_found_again_and_goes_on() {
    let scratch = Scratch::new("adopt");
    let folder = scratch.open(options(Compression::Auto));
    let written: Vec<_> = (0..30).map(|slot| folder.write(task(slot), &value(slot)).expect("there is room")).collect();
    folder.remove_many(written[..10].iter().map(|spilled| &**spilled));
    let stats = folder.stats();
    killed(folder);
    std::fs::write(scratch.folder().join("value-77"), "half-written").expect("it can be written");
    let (folder, adopted) = adopt(&scratch);
    assert_eq!(adopted.keys().copied().collect::<Vec<_>>(), (10..30).map(task).collect::<Vec<_>>());
    assert!(!files(&scratch.folder()).iter().any(|(name, _)| name == "value-77"));
    assert_eq!((folder.stats().bytes, folder.stats().files), (stats.bytes, stats.files));
    for (id, spilled) in &adopted {
        assert_eq!(spilled.nbytes(), value(id.slot).nbytes());
        assert!(is_same(&value(id.slot), &folder.read(spilled).expect("it is intact")));
    }
    folder.write(task(40), &value(40)).expect("there is room");
    folder.remove(&adopted[&task(10)]);
    killed(folder);
    let (folder, adopted) = adopt(&scratch);
    assert_eq!(adopted.keys().copied().collect::<Vec<_>>(), (11..30).chain([40]).map(task).collect::<Vec<_>>());
    assert!(is_same(&value(40), &folder.read(&adopted[&task(40)]).expect("it is intact")));
    folder.remove_many(adopted.values().map(|spilled| &**spilled));
    assert_eq!(files(&scratch.folder()), []);
    assert_eq!(folder.stats().bytes, 0);
}

#[test]
fn another_scheduler_or_place_finds_nothing() {
    for (place, scheduler) in [(PLACE, Incarnation(18)), ("worker-1", SCHEDULER)] {
        let scratch = Scratch::new("stranger");
        let folder = scratch.open(options(Compression::Auto));
        for slot in 0..5 {
            folder.write(task(slot), &value(slot)).expect("there is room");
        }
        killed(folder);
        let (folder, adopted) =
            SpillDir::adopt(&scratch.folder(), place, scheduler, options(Compression::Auto)).expect("it can be opened");
        assert_eq!(adopted, []);
        assert_eq!(files(&scratch.folder()), []);
        assert_eq!(folder.stats().bytes, 0);
    }
}

#[test]
fn opening_throws_away_what_is_there() {
    let scratch = Scratch::new("anew");
    let folder = scratch.open(options(Compression::Auto));
    folder.write(task(1), &value(1)).expect("there is room");
    killed(folder);
    let folder = scratch.open(options(Compression::Auto));
    assert_eq!(files(&scratch.folder()), []);
    killed(folder);
    assert_eq!(adopt(&scratch).1.len(), 0);
}

#[test]
fn values_whose_files_are_missing_or_cut_are_not_adopted() {
    let scratch = Scratch::new("cut");
    let folder = scratch.open(options(Compression::Never));
    for slot in 0..4 {
        folder.write(task(slot), &whole(&[noise(slot.into(), 100_000)])).expect("there is room");
    }
    killed(folder);
    let names: Vec<_> = files(&scratch.folder()).into_iter().map(|(name, _)| scratch.folder().join(name)).collect();
    std::fs::remove_file(&names[1]).expect("it is there");
    std::fs::OpenOptions::new().write(true).open(&names[2]).expect("it is ours").set_len(5_000).expect("it is ours");
    let (_folder, adopted) = adopt(&scratch);
    assert_eq!(adopted.keys().copied().collect::<Vec<_>>(), [task(0), task(3)]);
    assert_eq!(files(&scratch.folder()).len(), 2);
}

/// Another process may not use the folder at the same time. A lock belongs to a process, hence the child.
#[test]
fn one_process_at_a_time() {
    const VARIABLE: &str = "KASK_TEST_SPILL_FOLDER";
    if let Some(path) = std::env::var_os(VARIABLE) {
        let opened = SpillDir::open(path.as_ref(), PLACE, SCHEDULER, options(Compression::Auto));
        std::process::exit(if matches!(opened, Err(SpillError::InUse { .. })) { 55 } else { 56 });
    }
    let scratch = Scratch::new("in-use");
    let folder = scratch.open(options(Compression::Auto));
    let child = || {
        let this = std::env::current_exe().expect("this is a program");
        let name = std::thread::current().name().expect("tests have names").to_owned();
        let mut child = std::process::Command::new(this);
        child.args([&name, "--exact", "--test-threads=1"]).env(VARIABLE, scratch.folder());
        child.output().expect("it can be run").status.code()
    };
    assert_eq!(child(), Some(55));
    drop(folder);
    assert_eq!(child(), Some(56));
}

#[derive(Clone, Debug)]
enum Step {
    Write(u32),
    Remove(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![2 => (0..12_u32).prop_map(Step::Write), 1 => (0..12_u32).prop_map(Step::Remove)]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, max_shrink_iters: 50, ..ProptestConfig::default() })]
    /// The ledger is cut at every length, as a kill may leave it. Nothing that is adopted is wrong, everything that was
    /// written before the cut and is still there is found, and the folder can be used.
    #[test]
    fn wherever_the_ledger_ends(steps in proptest::collection::vec(step(), 1..10)) {
        let scratch = Scratch::new("torn");
        let folder = scratch.open(options(Compression::Auto));
        let mut there = BTreeMap::new();
        let mut removed = std::collections::BTreeSet::new();
        let mut count = 0;
        for step in steps {
            match step {
                Step::Write(slot) if !there.contains_key(&slot) => {
                    there.insert(slot, folder.write(task(slot), &value(slot)).expect("there is room"));
                    count += 1;
                }
                Step::Write(_) => {}
                Step::Remove(slot) => {
                    if let Some(spilled) = there.remove(&slot) {
                        folder.remove(&spilled);
                        removed.insert(slot);
                    }
                }
            }
        }
        killed(folder);
        let kept: Vec<_> = std::fs::read_dir(scratch.folder())
            .expect("it is there")
            .map(|entry| entry.expect("it can be listed").path())
            .map(|path| (path.clone(), std::fs::read(path).expect("it can be read")))
            .collect();
        let ledger = std::fs::read(scratch.folder().join("ledger")).expect("there is one");
        let mut most = 0;
        for cut in 0..=ledger.len() {
            for (path, bytes) in &kept {
                std::fs::write(path, bytes).expect("it can be written");
            }
            std::fs::write(scratch.folder().join("ledger"), &ledger[..cut]).expect("it can be written");
            let (folder, adopted) = adopt(&scratch);
            for (id, spilled) in &adopted {
                prop_assert!(there.contains_key(&id.slot) || removed.contains(&id.slot));
                prop_assert!(is_same(&value(id.slot), &folder.read(spilled).expect("it is intact")));
            }
            most = most.max(adopted.len());
            if cut == ledger.len() {
                let found: Vec<_> = adopted.keys().map(|id| id.slot).collect();
                prop_assert_eq!(found, there.keys().copied().collect::<Vec<_>>());
            }
            folder.write(task(99), &value(99)).expect("there is room");
            folder.destroy().expect("it is ours");
            std::fs::create_dir(scratch.folder()).expect("it can be made");
            std::fs::set_permissions(scratch.folder(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).expect("ours");
        }
        prop_assert!(most <= count && most >= there.len());
    }
}
