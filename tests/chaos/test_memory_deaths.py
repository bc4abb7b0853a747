"""Tasks that fill the memory: their worker dies with the right certificate, whatever they do, and nobody else is harmed."""

from __future__ import annotations

import ctypes
import mmap
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from control_groups import ControlGroup
from traces import block, block_sum, spilled, sums

from kask import config
from kask.distributed import Client, LocalCluster, wait
from kask.exceptions import KilledWorker

pytestmark = pytest.mark.timeout(300)

MIB = 1 << 20
LIMIT = 400 * MIB
# What a task may have grown to before it was seen: the machine may be busy with other things.
ENDLESS = 3000 * MIB


def inc(x):
    return x + 1


def append_for_ever():
    parts = []
    while True:
        parts.append(bytearray(b"x") * (8 * MIB))


def one_call_that_fills():
    # A single call into C, which keeps the GIL until it has filled all of it.
    return len(b"x" * ENDLESS)


def fill_while_another_thread_holds_the_gil():
    # Shared memory, which is nobody's own.
    memory = mmap.mmap(-1, ENDLESS)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    filling = threading.Event()

    def fill():
        filling.set()
        # ctypes gives the GIL up for the call, so that the sum below can take it and keep it.
        ctypes.memset(start, 1, ENDLESS)

    threading.Thread(target=fill, daemon=True).start()
    filling.wait()
    return sum(range(10**12))


def once(marker, then):
    """Fills memory the first time that it runs."""
    if not os.path.exists(marker):
        Path(marker).touch()
        append_for_ever()
    return then


@pytest.fixture
def cluster():
    with (
        config.set({"cluster.allowed_deaths": 2}),
        LocalCluster(n_workers=2, threads_per_worker=1, memory_limit=LIMIT) as cluster,
    ):
        yield cluster


def of_places(cluster, key):
    return {name: worker[key] for name, worker in cluster.workers.items()}


@pytest.mark.parametrize("hog", [append_for_ever, one_call_that_fills, fill_while_another_thread_holds_the_gil])
def test_whatever_fills_memory_is_ended_and_its_siblings_live(cluster, hog, tmp_path):
    first, second = sorted(cluster.workers)
    with Client(cluster) as client:
        kept = client.submit(inc, 1, workers=[second])
        wait(kept)
        pids = of_places(cluster, "pid")
        future = client.submit(hog, workers=[first])
        error = future.exception(timeout=240)
        assert isinstance(error, KilledWorker), error
        assert re.fullmatch(
            r"make the chunks .* smaller, or give workers a memory_limit well above \d+ MiB", error.hint
        )
        for death in error.deaths:
            assert "ran out of memory" in death, death
            assert f"while running {future.key}" in death, death
            # Seen before it was twice what it may be, even with the machine busy.
            peak = int(re.search(r"peak memory (\d+) MiB", death)[1]) * MIB
            assert 0.9 * LIMIT < peak < ENDLESS, death
        assert of_places(cluster, "pid")[second] == pids[second]
        assert of_places(cluster, "deaths")[second] == 0
        assert kept.result() == 2
        assert client.counters().get("recomputed", 0) == 0
        client.wait_for_workers(2, timeout=60)
        assert client.submit(inc, 2, workers=[first]).result(timeout=60) == 3


def test_a_death_by_memory_is_not_the_end_of_a_task(cluster, tmp_path):
    with Client(cluster) as client:
        assert client.submit(once, str(tmp_path / "marker"), 7).result(timeout=60) == 7
        assert sum(of_places(cluster, "deaths").values()) == 1


def test_results_of_a_worker_that_died_of_memory_are_had_all_the_same(cluster, tmp_path):
    with Client(cluster) as client:
        futures = client.map(inc, range(100))
        wait(futures)
        for name in sorted(cluster.workers):
            future = client.submit(once, str(tmp_path / name), 1, workers=[name])
            assert future.result(timeout=60) == 1
        assert client.gather(client.map(inc, futures)) == [x + 2 for x in range(100)]


def test_values_on_disk_outlive_a_death_by_memory(tmp_path):
    count = 160  # of 4 MiB: over one and a half times the limit
    with (
        LocalCluster(n_workers=1, threads_per_worker=1, memory_limit=LIMIT, local_directory=tmp_path) as cluster,
        Client(cluster) as client,
    ):
        blocks = client.map(block, range(count))
        wait(blocks, timeout=60)
        on_disk = len(spilled(tmp_path))
        assert on_disk >= 40
        assert client.submit(once, str(tmp_path / "marker"), 7).result(timeout=60) == 7
        assert client.gather(client.map(block_sum, blocks)) == sums(count)
        counters = client.counters()
        assert counters["memory_deaths"] == 1
        # All that was on disk is there again, but what was just being written or read.
        assert counters["adopted"] >= on_disk - 10
        assert counters["finished"] - counters["submitted"] <= count - on_disk + 10, counters


def test_without_a_limit_a_task_may_fill_what_it_likes():
    with LocalCluster(n_workers=1, threads_per_worker=1, memory_limit=0) as cluster, Client(cluster) as client:
        assert client.submit(lambda: len(b"x" * (600 * MIB))).result(timeout=60) == 600 * MIB
        assert of_places(cluster, "deaths") == dict.fromkeys(cluster.workers, 0)


SUPERVISOR = """
import os, sys, time
import kask
from kask.distributed import Client, LocalCluster
cluster = LocalCluster(n_workers=2, threads_per_worker=1, memory_limit="400 MiB", local_directory=sys.argv[1])
client = Client(cluster)
print(*client.run(os.getpid).values(), flush=True)
x = client.submit(bytes, 10_000_000)
x.result()
time.sleep(60)
"""


def test_a_killed_supervisor_leaves_no_worker_file_or_memory(tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment
    )
    try:
        pids = [int(pid) for pid in process.stdout.readline().split()]
        assert len(pids) == 2
        arenas = {inode for pid in pids for inode in memory_files(pid)}
        assert list(tmp_path.glob("kask-scratch-*/place-*"))
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    deadline = time.monotonic() + 20
    while any(os.path.exists(f"/proc/{pid}") for pid in pids):
        assert time.monotonic() < deadline, "workers live on"
        time.sleep(0.02)
    holders = [pid for pid in os.listdir("/proc") if pid.isdigit() and memory_files(int(pid)) & arenas]
    assert holders == []
    while list(tmp_path.iterdir()):
        assert time.monotonic() < deadline, "its folder is still there"
        time.sleep(0.02)


def memory_files(pid):
    """Inodes of the files in memory that a process has open."""
    inodes = set()
    folder = Path(f"/proc/{pid}/fd")
    try:
        for entry in folder.iterdir():
            if os.readlink(entry).startswith("/memfd:kask"):
                inodes.add(entry.stat().st_ino)
    except OSError:
        # It has ended, or is not ours to look at.
        pass
    return inodes


@pytest.fixture
def group():
    group = ControlGroup(1000 * MIB)
    yield group
    group.close()


IN_A_GROUP = """
import kask
from kask.distributed import Client, LocalCluster
from kask.engine import auto_memory_limit, memory_limit_bytes
print(memory_limit_bytes(), auto_memory_limit(2, True))
with LocalCluster(n_workers=2, threads_per_worker=1) as cluster, Client(cluster) as client:
    print(*{w["memory_limit"] for w in client.scheduler_info()["workers"].values()})
"""

KILLED_BY_THE_KERNEL = """
import kask
from kask.distributed import Client, LocalCluster
def fill():
    parts = []
    while True:
        parts.append(bytearray(b"x") * (8 << 20))
with kask.config.set({"cluster.allowed_deaths": 1}):
    # No limit of its own: the kernel is the one to act.
    with LocalCluster(n_workers=1, threads_per_worker=1, memory_limit=0) as cluster, Client(cluster) as client:
        print(*client.submit(fill).exception(timeout=200).deaths, sep="\\n")
"""


def test_auto_is_a_share_of_the_control_group(group):
    done = group.run(IN_A_GROUP)
    share = (1000 * MIB - 100 * MIB) // 2
    assert done.stdout.split() == [str(1000 * MIB), str(share), str(share)], done.stderr


def test_a_kill_by_the_kernel_is_a_death_by_memory(group):
    done = group.run(KILLED_BY_THE_KERNEL)
    deaths = done.stdout.splitlines()
    assert deaths and all("ran out of memory" in death and "while running fill" in death for death in deaths), done
