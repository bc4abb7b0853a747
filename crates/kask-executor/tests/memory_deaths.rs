//! Workers that use too much memory, with real processes and, where the machine permits, a real control group.

mod common;

use common::{SHELL, eventually, supervise_with};
use kask_executor::memory_limits::{LimitSource, MemoryLimits};
use kask_net::reactor::Link;
use kask_types::DeathCause;
use kask_wire::SchedulerToSupervisor;
use std::path::{Path, PathBuf};
use std::process::Command;

const MIB: u64 = 1 << 20;

/// Reads zeros into memory as fast as the machine can, waiting for a line's end that never comes.
const GROW: &str = "exec tail /dev/zero";

fn shell(script: &str) -> String {
    format!("{SHELL}{script}")
}

#[test]
fn a_worker_that_grows_without_end_is_ended_and_its_siblings_live() {
    let script = format!("[ $(config name) = w-0 ] && first_life && note hog-1 && {GROW}; exec sleep 60");
    let test = supervise_with("/bin/sh", &shell(&script), 2, 300 * MIB);
    test.running(2);
    let sibling = test.supervisor.places()[1].pid;
    eventually("another life", || test.said.started().len() == 3);
    let [certificate] = test.said.certificates().try_into().expect("one death");
    assert_eq!((certificate.cause, &*certificate.worker), (DeathCause::OutOfMemory, "w-0"));
    assert_eq!(certificate.last_task.as_deref(), Some("hog-1"));
    let peak = certificate.peak_memory_bytes.expect("a peak");
    assert!((285 * MIB..1200 * MIB).contains(&peak), "{} MiB", peak / MIB);
    assert!(test.said.deaths()[0].2, "it is followed by another life");
    test.running(2);
    assert_eq!(test.supervisor.places()[1].pid, sibling);
    test.close();
}

#[test]
fn memory_of_the_arena_counts_and_is_given_back() {
    let fill = "head -c 400000000 /dev/zero 1<>/proc/self/fd/$(config arena_fd)";
    let script = format!("first_life && {fill}; exec sleep 60");
    let test = supervise_with("/bin/sh", &shell(&script), 1, 300 * MIB);
    eventually("a death", || test.said.certificates().len() == 1);
    let certificate = &test.said.certificates()[0];
    assert_eq!(certificate.cause, DeathCause::OutOfMemory);
    assert!(certificate.peak_memory_bytes > Some(285 * MIB), "{certificate:?}");
    // Whoever fills it may outlive the worker for a moment, but nobody holds more than the next life's arena.
    eventually("the arena is gone", || arena_bytes_held() < 50 * MIB);
    test.close();
}

/// What the memory files hold that this process has open.
fn arena_bytes_held() -> u64 {
    use std::os::unix::fs::MetadataExt;
    let entries = std::fs::read_dir("/proc/self/fd").expect("our descriptors");
    let is_memory = |path: &Path| std::fs::read_link(path).is_ok_and(|to| to.to_string_lossy().starts_with("/memfd:"));
    let paths = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| is_memory(path));
    paths.filter_map(|path| std::fs::metadata(path).ok()).map(|metadata| metadata.blocks() * 512).sum()
}

#[test]
fn tasks_that_fill_memory_do_not_make_a_place_hopeless() {
    let script = format!(
        "n=$(ls \"$TEST\" | grep -c life-); touch \"$TEST/life-$n\"; [ $n -lt 7 ] && note hog-1 && {GROW}; exec sleep 60"
    );
    let test = supervise_with("/bin/sh", &shell(&script), 1, 60 * MIB);
    eventually("an eighth life", || test.said.started().len() == 8);
    assert!(test.said.deaths().iter().all(|(_, cause, again)| *cause == DeathCause::OutOfMemory && *again));
    assert_eq!(test.supervisor.places()[0].problem, None);
    test.close();
}

#[test]
fn a_process_that_does_not_fit_its_limit_even_without_a_task_is_given_up() {
    let test = supervise_with("/bin/sh", &shell(GROW), 1, 60 * MIB);
    eventually("a problem", || test.supervisor.places().iter().any(|place| place.problem.is_some()));
    let problem = test.supervisor.places()[0].problem.clone().expect("just seen");
    assert!(problem.contains("out of memory") && problem.contains("its limit of 60 MiB"), "{problem}");
    assert_eq!(test.said.deaths().len(), 5);
    test.close();
}

#[test]
fn without_a_limit_nobody_is_ended_but_the_peak_is_known() {
    // Holds 150 MB while it waits for more: the other end of the pipe stays open.
    let script =
        "mkfifo \"$TEST/fifo\"; exec 3<>\"$TEST/fifo\"; head -c 150000000 /dev/zero >&3 & exec tail -c 150000000 <&3";
    let test = supervise_with("/bin/sh", script, 1, 0);
    let pid = {
        test.running(1);
        test.supervisor.places()[0].pid.expect("it runs")
    };
    let anonymous = |pid: u32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap_or("0 kB").to_owned();
        line.trim().split(' ').next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) * 1024
    };
    eventually("memory in use", || anonymous(pid) > 140 * MIB);
    std::thread::sleep(std::time::Duration::from_millis(600));
    assert!(test.said.deaths().is_empty());
    let victim = test.supervisor.places()[0].incarnation;
    test.supervisor.post(SchedulerToSupervisor::Kill { incarnation: victim, retire: true });
    eventually("its end", || test.said.deaths().len() == 1);
    let certificate = &test.said.certificates()[0];
    assert_eq!(certificate.cause, DeathCause::Signalled(9), "it was ended, but not for its memory");
    assert!(certificate.peak_memory_bytes > Some(140 * MIB), "{certificate:?}");
    test.close();
}

#[test]
fn spilled_values_stay_for_the_next_life_and_go_with_the_place() {
    let script = "d=$(config spill_directory); first_life && { echo spilled > \"$d/value\"; kill -SEGV $$; }; cat \"$d/value\" > \"$TEST/seen\"; stat -c %a \"$d\" >> \"$TEST/seen\"; exec sleep 60";
    let test = supervise_with("/bin/sh", &shell(script), 1, 0);
    let seen = test.directory.path().join("seen");
    eventually("what the second life sees", || std::fs::read_to_string(&seen).unwrap_or_default() == "spilled\n700\n");
    let scratch = |prefix: &str| {
        let entries = std::fs::read_dir(test.directory.path()).expect("the directory");
        entries.filter_map(Result::ok).find(|entry| entry.file_name().to_string_lossy().starts_with(prefix))
    };
    let folder = scratch("kask-scratch-").expect("a scratch folder").path();
    assert!(folder.join("place-w-0/value").exists());
    let victim = test.supervisor.places()[0].incarnation;
    test.supervisor.post(SchedulerToSupervisor::Kill { incarnation: victim, retire: true });
    eventually("an empty place", || test.supervisor.places().is_empty());
    assert!(!folder.join("place-w-0").exists());
    test.close();
    assert!(!folder.exists());
}

/// A control group with a memory limit, removed when dropped.
struct ControlGroup(PathBuf);

impl ControlGroup {
    /// Below the top of the tree that governs memory here; why not, if that is not permitted.
    fn new(limit_bytes: u64) -> Result<ControlGroup, String> {
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").map_err(|error| error.to_string())?;
        let top = |kind: &str, option: &str| {
            let line = mounts.lines().find(|line| {
                line.contains(kind)
                    && line
                        .split(' ')
                        .next_back()
                        .is_some_and(|o| o.split(',').any(|o| o == option) || option.is_empty())
            })?;
            line.split(' ').nth(4).map(PathBuf::from)
        };
        let name = format!("kask-test-{}", std::process::id());
        let (path, file) = match (top(" - cgroup cgroup ", "memory"), top(" - cgroup2 ", "")) {
            (Some(top), _) => (top.join(name), "memory.limit_in_bytes"),
            (None, Some(top)) => (top.join(name), "memory.max"),
            (None, None) => return Err("no control groups are mounted".into()),
        };
        std::fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        let group = ControlGroup(path);
        let limited = std::fs::write(group.0.join(file), limit_bytes.to_string());
        limited.map_err(|error| format!("{file}: {error}"))?;
        Ok(group)
    }
}

impl Drop for ControlGroup {
    fn drop(&mut self) {
        eventually("the group is empty and gone", || std::fs::remove_dir(&self.0).is_ok() || !self.0.exists());
    }
}

#[test]
fn in_a_control_group_its_limit_counts_and_a_kill_by_the_kernel_is_known() {
    const INSIDE: &str = "KASK_TEST_INSIDE_GROUP";
    if let Ok(group) = std::env::var(INSIDE) {
        return inside_a_group(Path::new(&group));
    }
    let group = match ControlGroup::new(256 * MIB) {
        Ok(group) => group,
        Err(reason) => return eprintln!("skipped: no control group can be made here ({reason})"),
    };
    let enter = "echo $$ > \"$0/cgroup.procs\" && exec \"$@\"";
    let name = "in_a_control_group_its_limit_counts_and_a_kill_by_the_kernel_is_known";
    let output = Command::new("/bin/sh")
        .args(["-c", enter])
        .arg(&group.0)
        .arg(std::env::current_exe().expect("this test"))
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, &group.0)
        .output()
        .expect("the test can be run again");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

fn inside_a_group(group: &Path) {
    let limits = MemoryLimits::of_this_process();
    let limit = limits.limit().expect("a limit");
    assert_eq!((limit.bytes, limit.source), (256 * MIB, LimitSource::Group(group.to_path_buf())));
    assert_eq!(limits.auto_share_bytes(2, true), 96 * MIB);
    // Without a limit of its own, so that the kernel is the one to act.
    let script = format!("[ $(config name) = w-0 ] && first_life && note hog-1 && {GROW}; exec sleep 60");
    let test = supervise_with("/bin/sh", &shell(&script), 2, 0);
    eventually("another life", || test.said.started().len() == 3);
    let [certificate] = test.said.certificates().try_into().expect("one death");
    assert_eq!(certificate.cause, DeathCause::OutOfMemory, "{certificate:?}");
    assert_eq!(certificate.last_task.as_deref(), Some("hog-1"));
    // A process that somebody kills later is not taken for another one.
    let victim = test.supervisor.places()[1].pid.expect("it runs");
    let killed = Command::new("kill").args(["-9", &victim.to_string()]).status().expect("kill");
    assert!(killed.success());
    eventually("a second death", || test.said.deaths().len() == 2);
    assert_eq!(test.said.deaths()[1].1, DeathCause::Signalled(9));
    test.close();
    the_supervisor_acts_first(group);
}

/// A worker keeps its own limit, but all together fill the group: the supervisor acts before the kernel has to.
fn the_supervisor_acts_first(group: &Path) {
    let number = |files: [&str; 2], name: &str| {
        let text = files.iter().find_map(|file| std::fs::read_to_string(group.join(file)).ok()).expect("one of them");
        let line = text.lines().find(|line| line.starts_with(name)).expect("the line").to_owned();
        line.rsplit(' ').next().and_then(|number| number.trim().parse::<u64>().ok()).expect("a number")
    };
    let kills = || number(["memory.oom_control", "memory.events"], "oom_kill ");
    let before = kills();
    let used = number(["memory.usage_in_bytes", "memory.current"], "");
    let fill = 251 * MIB - used;
    let hold = format!(
        "mkfifo \"$TEST/fifo\"; exec 3<>\"$TEST/fifo\"; head -c {fill} /dev/zero >&3 & exec tail -c {fill} <&3"
    );
    let test = supervise_with(
        "/bin/sh",
        &shell(&format!("note hog-1; first_life && {{ {hold}; }}; exec sleep 60")),
        1,
        1 << 40,
    );
    eventually("its end", || test.said.deaths().len() == 1);
    assert_eq!((test.said.deaths()[0].1, kills()), (DeathCause::OutOfMemory, before));
    test.close();
}
