"""Disks that are full or damaged, workers that are killed with values on disk, Ctrl-C, and values that cannot be written:
right answers, or an error that says what happened; never a hang, and nothing left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from traces import (
    MIB,
    block,
    block_sum,
    close,
    command_line,
    files,
    holders,
    is_running,
    line,
    memory_files,
    spilled,
    start_script,
    sums,
    until,
)

import kask
from kask import config
from kask.distributed import Client, LocalCluster, wait
from kask.exceptions import OutOfMemoryError

pytestmark = pytest.mark.timeout(120)

LIMIT = 256 * MIB
BLOCKS = 120  # of 4 MiB each: twice the limit


def above(array, number):
    return int((array > number).sum())


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of 64 MiB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "none", folder], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a file system cannot be mounted: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def one_worker(tmp_path):
    with (
        config.set({"memory.spill_directory": str(tmp_path / "spill")}),
        LocalCluster(n_workers=1, threads_per_worker=1, memory_limit=LIMIT) as cluster,
        Client(cluster) as client,
    ):
        yield cluster, client


class TestFullDisk:
    def test_it_is_an_error_that_says_so(self, tiny_disk):
        with (
            config.set({"memory.spill_directory": str(tiny_disk), "memory.spill_reserve": 0}),
            LocalCluster(n_workers=1, threads_per_worker=1, memory_limit=LIMIT) as cluster,
            Client(cluster) as client,
        ):
            blocks = client.map(block, range(BLOCKS))
            wait(blocks, timeout=60)
            errors = [future.exception() for future in blocks if future.status == "error"]
            assert errors
            assert {type(error) for error in errors} == {OutOfMemoryError}
            assert all("has no room" in str(error) and "disk" in str(error) for error in errors), errors[0]
            # What did fit is there, and there is room again when it is let go.
            kept = [future for future in blocks if future.status == "finished"]
            assert len(kept) >= 20
            assert block_sum(kept[0].result()) in sums(BLOCKS)
            del blocks, kept
            assert client.submit(block_sum, client.submit(block, 3)).result(timeout=30) == sums(4)[3]
            assert [worker["deaths"] for worker in cluster.workers.values()] == [0]

    def test_a_graph_that_does_not_fit_fails_as_a_whole(self, tiny_disk):
        with (
            config.set({"memory.spill_directory": str(tiny_disk), "memory.spill_reserve": 0}),
            LocalCluster(n_workers=1, threads_per_worker=1, memory_limit=LIMIT) as cluster,
            Client(cluster) as client,
        ):
            # All blocks are needed again when the total of all is known.
            blocks = [kask.delayed(block)(seed) for seed in range(BLOCKS)]
            total = kask.delayed(sum)([kask.delayed(block_sum)(one) for one in blocks])
            with pytest.raises(OutOfMemoryError, match="has no room"):
                client.compute(kask.delayed(sum)([kask.delayed(above)(one, total) for one in blocks])).result(
                    timeout=60
                )
            assert client.submit(block_sum, client.submit(block, 3)).result(timeout=30) == sums(4)[3]
            assert [worker["deaths"] for worker in cluster.workers.values()] == [0]

    def test_a_worker_with_a_roomy_disk_takes_the_values(self, tiny_disk, tmp_path):
        scheduler_file, roomy = tmp_path / "scheduler.json", tmp_path / "roomy"
        processes = [
            command_line(
                "scheduler", "--port", 0, "--scheduler-file", scheduler_file, "--token-file", tmp_path / "token"
            )
        ]
        try:
            until(scheduler_file.exists, "the scheduler's file", 30)
            for name, folder in (("tiny", tiny_disk), ("roomy", roomy)):
                processes.append(
                    command_line(
                        "worker", "--scheduler-file", scheduler_file, "--name", name, "--nthreads", 1, "--memory-limit",
                        LIMIT, "--spill-directory", folder, "--spill-reserve", 0,
                    )
                )  # fmt: skip
            with Client(scheduler_file=scheduler_file) as client:
                client.wait_for_workers(2, timeout=60)
                # They run on the one whose disk cannot take them all.
                blocks = client.map(block, range(BLOCKS), workers=["tiny"])
                wait(blocks, timeout=60)
                assert [future.status for future in blocks] == ["finished"] * BLOCKS
                assert client.gather(client.map(block_sum, blocks)) == sums(BLOCKS)
                assert client.counters()["relieved"] > 0
                assert client.counters()["recomputed"] == 0
        finally:
            for process in reversed(processes):
                process.terminate()
                process.wait(timeout=30)
        assert files(tiny_disk) == files(roomy) == []


def flip(path):
    """Damage one byte in the middle."""
    with open(path, "r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 0x10]))


def cut(path):
    os.truncate(path, path.stat().st_size // 3)


@pytest.mark.parametrize("damage", [flip, cut, Path.unlink])
def test_damaged_files_are_noticed_and_their_values_made_again(one_worker, tmp_path, damage):
    _, client = one_worker
    blocks = client.map(block, range(BLOCKS))
    wait(blocks, timeout=60)
    victims = spilled(tmp_path / "spill")[::5]
    assert len(victims) >= 8
    for path in victims:
        damage(path)
    assert client.gather(client.map(block_sum, blocks)) == sums(BLOCKS)
    # Not all of the damaged files were needed: of some values there was a copy in memory as well.
    assert 1 <= client.counters()["recomputed"] <= 2 * len(victims)


def is_removed(folder):
    """Removes a folder, unless files are coming into it just then."""
    try:
        shutil.rmtree(folder)
    except OSError:
        return False
    return True


def test_a_folder_that_is_removed_is_made_again_and_what_was_in_it_too(one_worker, tmp_path):
    _, client = one_worker
    blocks = client.map(block, range(BLOCKS))
    wait(blocks, timeout=60)
    until(lambda: is_removed(tmp_path / "spill"), "the folder is removed")
    assert client.gather(client.map(block_sum, blocks)) == sums(BLOCKS)
    assert client.counters()["recomputed"] >= BLOCKS // 4
    assert len(spilled(tmp_path / "spill")) >= BLOCKS // 4


def test_the_next_process_of_a_place_adopts_what_is_on_disk(tmp_path):
    with (
        LocalCluster(n_workers=2, threads_per_worker=1, memory_limit=LIMIT, local_directory=tmp_path) as cluster,
        Client(cluster) as client,
    ):
        blocks = client.map(block, range(2 * BLOCKS))
        wait(blocks, timeout=60)
        for turn in range(2):
            pid = [worker["pid"] for worker in cluster.workers.values()][turn]
            os.kill(pid, signal.SIGKILL)
            until(lambda: client.counters()["workers_lost"] > turn, "the scheduler sees it")  # noqa: B023
            client.wait_for_workers(2, timeout=30)
            assert client.gather(client.map(block_sum, blocks, pure=False)) == sums(2 * BLOCKS)
        counters = client.counters()
        assert counters["adopted"] >= BLOCKS // 2
        # What ran again was in memory alone, or was made before the new process said what it has; not all that was lost.
        assert counters["finished"] - counters["submitted"] <= 2 * LIMIT // (4 * MIB)
        del blocks
    assert list(tmp_path.iterdir()) == []


HEAVY = """
import os, sys
import kask
from kask.distributed import Client, LocalCluster, wait
from traces import block
kask.config.set({"embedded.memory_limit": "128 MiB", "memory.spill_directory": sys.argv[1]})
if sys.argv[2] == "embedded":
    client = Client("embedded", threads_per_worker=2)
else:
    cluster = LocalCluster(n_workers=2, threads_per_worker=1, memory_limit="128 MiB", local_directory=sys.argv[1])
    client = Client(cluster)
print(*client.run(os.getpid).values(), flush=True)
blocks = client.map(block, range(2000))
wait(blocks)
"""


@pytest.mark.parametrize("size", ["embedded", "processes"])
@pytest.mark.parametrize("whole_group", [False, True], ids=["process", "group"])
def test_ctrl_c_while_spilling_ends_at_once_and_leaves_nothing(tmp_path, size, whole_group):
    """A terminal sends the signal to all processes of the group; ``kill -INT`` to one."""
    script = start_script(HEAVY, tmp_path, size, start_new_session=True)
    try:
        pids = [int(pid) for pid in line(script)]
        until(lambda: len(spilled(tmp_path)) > 20, "it spills")
        arenas = {inode for pid in pids for inode in memory_files(pid)}
        started = time.monotonic()
        (os.killpg if whole_group else os.kill)(script.pid, signal.SIGINT)
        _, errors = script.communicate(timeout=20)
        assert time.monotonic() - started < 10
        assert "KeyboardInterrupt" in errors
        assert "panicked" not in errors
        assert script.returncode not in (0, -signal.SIGSEGV, -signal.SIGABRT)
    finally:
        close(script)
    until(lambda: not any(map(is_running, pids)), "the workers end")
    assert holders(arenas) == []
    assert files(tmp_path) == []


@pytest.mark.parametrize("size", ["embedded", "processes"])
def test_what_was_spilled_goes_when_its_owner_is_killed(tmp_path, size):
    """Nobody has to start another one in the folder."""
    script = start_script(HEAVY, tmp_path, size, start_new_session=True)
    try:
        pids = [int(pid) for pid in line(script)]
        until(lambda: len(spilled(tmp_path)) > 20, "it spills")
        script.kill()
        script.wait()
    finally:
        close(script)
    until(lambda: not any(map(is_running, pids)), "the workers end")
    until(lambda: files(tmp_path) == [], "what was spilled is removed")


class Stubborn:
    """16 MiB that cannot be pickled."""

    def __init__(self, number):
        self.number = number
        self.data = bytearray(16 * MIB)

    def __sizeof__(self):
        return len(self.data)

    def __reduce__(self):
        raise RuntimeError("this cannot be pickled")


def number_of(stubborn):
    return stubborn.number


class TestValuesThatCannotBeWritten:
    def test_they_are_used_up_one_by_one(self, one_worker):
        cluster, client = one_worker
        numbers = [client.submit(number_of, client.submit(Stubborn, i)) for i in range(60)]
        assert client.gather(numbers) == list(range(60))
        assert [worker["deaths"] for worker in cluster.workers.values()] == [0]

    def test_others_are_written_in_their_stead(self, one_worker):
        cluster, client = one_worker
        stubborn = client.map(Stubborn, range(6))
        blocks = client.map(block, range(BLOCKS))
        wait(stubborn + blocks, timeout=60)
        assert client.gather(client.map(block_sum, blocks)) == sums(BLOCKS)
        assert client.gather(client.map(number_of, stubborn)) == list(range(6))
        assert client.counters()["recomputed"] == 0
        assert [worker["deaths"] for worker in cluster.workers.values()] == [0]

    def test_more_of_them_than_memory_is_an_error(self, one_worker):
        cluster, client = one_worker
        stubborn = client.map(Stubborn, range(40))
        wait(stubborn, timeout=60)
        errors = [future.exception() for future in stubborn if future.status == "error"]
        assert errors
        assert {type(error) for error in errors} == {OutOfMemoryError}
        assert [worker["deaths"] for worker in cluster.workers.values()] == [0]
        kept = [future for future in stubborn if future.status == "finished"]
        assert len(kept) >= 6
        assert client.gather(client.map(number_of, kept)) == [
            i for i, f in enumerate(stubborn) if f.status == "finished"
        ]
