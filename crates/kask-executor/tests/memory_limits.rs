//! Memory limits as machines and containers of all kinds describe them: the files are written here, with the shapes of real ones.

use kask_executor::memory_limits::{LimitSource, MemoryLimits, auto_limit_bytes, parse_limit};
use kask_net::LocalDir;
use std::path::PathBuf;

const GIB: u64 = 1 << 30;
const MIB: u64 = 1 << 20;
const MEMINFO: &str =
    "MemTotal:       16384000 kB\nMemFree:          300000 kB\nMemAvailable:    8192000 kB\nSwapTotal: 0 kB\n";
const LIMITS: &str = "\
Limit                     Soft Limit           Hard Limit           Units     
Max data size             unlimited            unlimited            bytes     
Max stack size            8388608              unlimited            bytes     
Max address space         unlimited            unlimited            bytes     
";
const V2_MOUNT: &str =
    "30 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
const V1_MOUNTS: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:9 - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
const V1_NONE: &str = "9223372036854771712\n";

/// A machine made of files.
struct Machine(LocalDir);

impl Machine {
    fn new(cgroup: &str, mounts: &str) -> Machine {
        let machine = Machine(LocalDir::new().expect("a directory"));
        machine.file("proc/meminfo", MEMINFO).file("proc/self/limits", LIMITS);
        machine.file("proc/self/cgroup", cgroup).file("proc/self/mountinfo", mounts);
        machine
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, name: &str, text: &str) -> &Machine {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("it lies in the directory")).expect("a folder");
        std::fs::write(path, text).expect("written");
        self
    }

    fn limits(&self) -> MemoryLimits {
        MemoryLimits::seen_from(self.0.path(), "self")
    }

    fn limit(&self) -> (u64, LimitSource) {
        let limit = self.limits().limit().expect("a limit");
        (limit.bytes, limit.source)
    }
}

#[test]
fn a_machine_without_groups_is_limited_by_its_memory() {
    let machine = Machine::new("0::/\n", V2_MOUNT);
    assert_eq!(machine.limit(), (16_384_000 * 1024, LimitSource::Machine));
    assert_eq!(machine.limits().fullest(), Some((8_192_000 * 1024, 16_384_000 * 1024)));
}

#[test]
fn the_least_of_a_group_and_those_above_it_counts() {
    let machine = Machine::new("0::/user.slice/job.scope\n", V2_MOUNT);
    machine.file("sys/fs/cgroup/user.slice/job.scope/memory.max", "max\n");
    machine.file("sys/fs/cgroup/user.slice/job.scope/memory.high", "max\n");
    machine.file("sys/fs/cgroup/user.slice/memory.max", &format!("{}\n", 4 * GIB));
    let slice = LimitSource::Group(machine.path("sys/fs/cgroup/user.slice"));
    assert_eq!(machine.limit(), (4 * GIB, slice.clone()));
    machine.file("sys/fs/cgroup/user.slice/memory.high", &format!("{}\n", 3 * GIB));
    assert_eq!(machine.limit(), (3 * GIB, slice));
    machine.file("sys/fs/cgroup/user.slice/job.scope/memory.max", &format!("{GIB}\n"));
    assert_eq!(machine.limit(), (GIB, LimitSource::Group(machine.path("sys/fs/cgroup/user.slice/job.scope"))));
}

#[test]
fn version_1_has_limits_in_many_controllers_and_a_number_for_none() {
    let machine = Machine::new("9:name=systemd:/\n4:cpu,memory:/docker/abc\n1:cpuset:/\n0::/\n", V1_MOUNTS);
    machine.file("sys/fs/cgroup/memory/memory.limit_in_bytes", V1_NONE);
    machine.file("sys/fs/cgroup/memory/docker/memory.limit_in_bytes", V1_NONE);
    machine.file("sys/fs/cgroup/memory/docker/abc/memory.limit_in_bytes", V1_NONE);
    assert_eq!(machine.limit(), (16_384_000 * 1024, LimitSource::Machine));
    machine.file("sys/fs/cgroup/memory/docker/memory.limit_in_bytes", &format!("{}\n", 2 * GIB));
    assert_eq!(machine.limit(), (2 * GIB, LimitSource::Group(machine.path("sys/fs/cgroup/memory/docker"))));
    let stat = format!("cache 1\nhierarchical_memory_limit {GIB}\nhierarchical_memsw_limit {V1_NONE}");
    machine.file("sys/fs/cgroup/memory/docker/abc/memory.stat", &stat);
    assert_eq!(machine.limit(), (GIB, LimitSource::Group(machine.path("sys/fs/cgroup/memory/docker/abc"))));
}

#[test]
fn a_container_sees_its_own_group_as_the_top() {
    // Without a namespace of groups: the path names what the mount already shows.
    let mounts = "900 890 0:32 /docker/a\\040b /sys/fs/cgroup/memory ro,nosuid master:15 - cgroup cgroup rw,memory\n";
    let machine = Machine::new("4:memory:/docker/a b\n", mounts);
    machine.file("sys/fs/cgroup/memory/memory.limit_in_bytes", &format!("{GIB}\n"));
    let top = LimitSource::Group(machine.path("sys/fs/cgroup/memory"));
    assert_eq!(machine.limit(), (GIB, top.clone()));
    // With one, entered from outside: the path leads out of what is mounted.
    machine.file("proc/self/cgroup", "4:memory:/../other\n");
    assert_eq!(machine.limit(), (GIB, top));
}

#[test]
fn resource_limits_count_for_each_process() {
    let machine = Machine::new("0::/\n", V2_MOUNT);
    let limits = LIMITS.replace("Max address space         unlimited ", "Max address space         2147483648");
    machine.file("proc/self/limits", &limits);
    assert_eq!(machine.limit(), (2 * GIB, LimitSource::AddressSpace));
    assert_eq!(machine.limits().auto_share_bytes(2, true), 2 * GIB);
    assert_eq!(machine.limits().auto_share_bytes(2, false), GIB);
    let limits = limits.replace("Max data size             unlimited", "Max data size             1073741824");
    machine.file("proc/self/limits", &limits);
    assert_eq!(machine.limit(), (GIB, LimitSource::Data));
}

#[test]
fn workers_share_what_a_reserve_leaves() {
    let machine = Machine::new("0::/job\n", V2_MOUNT);
    let auto = |limit: u64, workers| {
        machine.file("sys/fs/cgroup/job/memory.max", &limit.to_string());
        machine.limits().auto_share_bytes(workers, true)
    };
    assert_eq!(auto(10 * GIB, 1), 9 * GIB);
    assert_eq!(auto(10 * GIB, 3), 3 * GIB);
    assert_eq!(auto(320 * MIB, 1), 256 * MIB, "at least 64 MiB are left");
    assert_eq!(auto(64 * MIB, 1), 48 * MIB, "but never more than a quarter");
    assert_eq!(auto(320 * MIB, 0), 256 * MIB);
    machine.file("proc/meminfo", &format!("MemTotal: {} kB\n", 100 * GIB / 1024));
    assert_eq!(auto(80 * GIB, 2), 39 * GIB, "and never more than 2 GiB");
}

#[test]
fn files_that_can_be_forgotten_are_not_used_memory() {
    let machine = Machine::new("0::/job\n", V2_MOUNT);
    machine.file("sys/fs/cgroup/job/memory.max", "1000000000\n");
    machine.file("sys/fs/cgroup/job/memory.current", "950000000\n");
    machine.file(
        "sys/fs/cgroup/job/memory.stat",
        "anon 500000000\ninactive_anon 1\ninactive_file 300000000\nactive_file 50000000\n",
    );
    assert_eq!(machine.limits().fullest(), Some((600_000_000, 1_000_000_000)));
    let machine = Machine::new("4:memory:/job\n", V1_MOUNTS);
    machine.file("sys/fs/cgroup/memory/job/memory.limit_in_bytes", "1000000000\n");
    machine.file("sys/fs/cgroup/memory/job/memory.usage_in_bytes", "950000000\n");
    let stat = "inactive_file 7\ntotal_inactive_file 300000000\ntotal_active_file 50000000\nhierarchical_memory_limit 1000000000\n";
    machine.file("sys/fs/cgroup/memory/job/memory.stat", stat);
    assert_eq!(machine.limits().fullest(), Some((600_000_000, 1_000_000_000)));
}

#[test]
fn pressure_is_that_of_the_group_where_there_is_one() {
    let machine = Machine::new("0::/job\n", V2_MOUNT);
    assert_eq!(machine.limits().pressure(), None);
    let text = |some, full| {
        format!(
            "some avg10={some} avg60=0.12 avg300=0.01 total=123\nfull avg10={full} avg60=0.00 avg300=0.00 total=45\n"
        )
    };
    machine.file("proc/pressure/memory", &text("1.50", "0.25"));
    let pressure = machine.limits().pressure().expect("the machine's");
    assert_eq!((pressure.some, pressure.full), (1.5, 0.25));
    machine.file("sys/fs/cgroup/job/memory.pressure", &text("60.00", "33.10"));
    let pressure = machine.limits().pressure().expect("the group's");
    assert_eq!((pressure.some, pressure.full), (60.0, 33.1));
}

#[test]
fn nothing_known_is_no_limit() {
    let machine = Machine(LocalDir::new().expect("a directory"));
    assert_eq!(machine.limits().limit(), None);
    assert_eq!(machine.limits().fullest(), None);
    assert_eq!(machine.limits().auto_share_bytes(4, true), 0);
}

#[test]
fn this_machine_has_memory() {
    let limit = MemoryLimits::of_this_process().limit().expect("Linux says how much memory there is");
    assert!(limit.bytes > 64 * MIB, "{limit:?}");
    let (used, of) = MemoryLimits::of_this_process().fullest().expect("and how much is used");
    assert!(used > 0 && used <= of, "{used} of {of}");
    assert!(auto_limit_bytes(1, true) <= limit.bytes);
}

#[test]
fn texts_are_understood_or_refused() {
    assert_eq!(parse_limit("4GiB", 1), Ok(4 * GIB));
    assert_eq!(parse_limit("1.5 MB", 1), Ok(1_500_000));
    assert_eq!(parse_limit("0", 3), Ok(0));
    assert_eq!(parse_limit("auto", 2), Ok(auto_limit_bytes(2, true)));
    let all = MemoryLimits::of_this_process().limit().expect("a limit").bytes;
    assert_eq!(parse_limit("0.25", 3), Ok(all / 4));
    assert_eq!(parse_limit(" 25 %", 1), Ok(all / 4));
    assert_eq!(parse_limit("1e9", 1), Ok(1_000_000_000));
    assert_eq!(parse_limit("1.5e+9", 1), Ok(1_500_000_000));
    assert_eq!(parse_limit("2e3 KiB", 1), Ok(2000 * 1024));
    assert_eq!(parse_limit("1PiB", 1), Ok(1 << 50));
    assert_eq!(parse_limit("2 PB", 1), Ok(2_000_000_000_000_000));
    assert_eq!(parse_limit("100%", 1), Ok(all));
    for (slip, bytes) in
        [("1", "1 bytes"), ("1.5 kB", "1500 bytes"), ("1e-300", "1 bytes"), ("1048575", "1048575 bytes")]
    {
        let problem = parse_limit(slip, 1).expect_err(slip).to_string();
        assert!(problem.contains(&format!("{slip:?} is {bytes}")) && problem.contains("1 MiB at least"), "{problem}");
    }
    for wrong in
        ["lots", "", "-1", "130%", "0%", "1.5", "4 apples", "auto2", "inf", "nan", "-0.5", "2e", "1e400", "1.5e-1e"]
    {
        let problem = parse_limit(wrong, 1).expect_err(wrong).to_string();
        assert!(problem.contains(&format!("{wrong:?}")), "{problem}");
    }
}
