"""Processes killed while they share arrays, and a machine with next to no /dev/shm: no hang, and no file, process or memory left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess

import numpy as np
import pytest
from traces import (
    MIB,
    arena_bytes,
    close,
    command_line,
    files,
    holders,
    is_running,
    line,
    memory_files,
    start_script,
    until,
)

from kask.distributed import Client, LocalCluster

pytestmark = pytest.mark.timeout(90)

LARGE = 64 * MIB  # bytes of the arrays that are shared
KEPT = 640 * MIB  # a worker keeps some memory for arrays to come


def ones(seed, nbytes=LARGE):
    return np.full(nbytes // 8, float(seed))


def keep(arrays):
    """Hold on to arrays for as long as this process lives."""
    import builtins

    builtins.kept_by_chaos = arrays
    return sum(float(array.sum()) for array in arrays), os.getpid()


def sum_of_kept(_):
    import builtins

    return sum(float(array.sum()) for array in builtins.kept_by_chaos)


@pytest.fixture
def cluster(tmp_path):
    # Clusters that other tests keep may hold memory of this process as well.
    earlier = set(memory_files(os.getpid()))
    with LocalCluster(n_workers=2, threads_per_worker=1, memory_limit="1 GiB", local_directory=tmp_path) as cluster:
        pids = [worker["pid"] for worker in cluster.workers.values()]
        arenas = {inode for pid in [*pids, os.getpid()] for inode in memory_files(pid)}
        yield cluster
        pids += [worker["pid"] for worker in cluster.workers.values()]
        arenas |= {inode for pid in pids for inode in memory_files(pid)}
    until(lambda: not any(map(is_running, pids)), "the workers end")
    # This process may keep its own.
    until(lambda: set(holders(arenas - earlier)) <= {os.getpid()}, "nobody holds a worker's memory")
    assert list(tmp_path.iterdir()) == []


def test_a_worker_that_lent_is_killed(cluster):
    lender, borrower = sorted(cluster.workers)
    with Client(cluster) as client:
        array = client.submit(ones, 1, workers=[lender])
        total, _ = client.submit(keep, [array], workers=[borrower]).result(timeout=30)
        assert total == LARGE / 8
        seen = array.result()
        pid = cluster.workers[lender]["pid"]
        arenas = set(memory_files(pid))
        os.kill(pid, signal.SIGKILL)
        until(lambda: not is_running(pid), "it is dead")
        # Those who look at the array still see it, and the value is made again for others.
        assert seen.sum() == LARGE / 8
        assert client.submit(sum_of_kept, 1, workers=[borrower]).result(timeout=30) == LARGE / 8
        client.wait_for_workers(2, timeout=30)
        assert client.submit(keep, [array], workers=[lender], pure=False).result(timeout=30)[0] == LARGE / 8
        client.submit(keep, [], workers=[borrower], pure=False).result(timeout=30)
        del array, seen
        until(lambda: holders(arenas) == [], "the memory of the dead is let go of")


def test_a_worker_that_borrowed_is_killed(cluster):
    lender, borrower = sorted(cluster.workers)
    with Client(cluster) as client:
        # All together more than the lender may have, were they not free again when the borrower is dead.
        for _ in range(4):
            arrays = [client.submit(ones, seed, workers=[lender], pure=False) for seed in range(6)]
            total, pid = client.submit(keep, arrays, workers=[borrower], pure=False).result(timeout=30)
            assert (total, pid) == (15 * LARGE / 8, cluster.workers[borrower]["pid"])
            del arrays
            os.kill(pid, signal.SIGKILL)
            until(lambda: cluster.workers[borrower]["pid"] not in (None, 0, pid), "it is replaced")  # noqa: B023
            client.wait_for_workers(2, timeout=30)
        until(lambda: arena_bytes(cluster.workers[lender]["pid"]) <= KEPT, "what was lent is free")
        assert cluster.workers[lender]["deaths"] == 0


CLIENT = """
import os, sys, time
import numpy as np
from kask.distributed import Client
client = Client(scheduler_file=sys.argv[1])
views = client.gather([client.submit(np.ones, 8 * 2**20, pure=False) for _ in range(8)])
mine = client.scatter([np.arange(8 * 2**20) for _ in range(2)])
sums = client.gather(client.map(np.sum, mine))
print(os.getpid(), *(int(view.sum()) for view in views), *map(int, sums), flush=True)
time.sleep(60)
"""


def test_a_client_with_views_is_killed(cluster, tmp_path):
    file = tmp_path.parent / f"{tmp_path.name}.json"
    cluster.write_scheduler_file(file)
    for _ in range(4):
        script = start_script(CLIENT, file)
        try:
            pid, *numbers = map(int, line(script))
            assert numbers == [8 * MIB] * 8 + [8 * MIB * (8 * MIB - 1) // 2] * 2
            arenas = set(memory_files(pid))
            assert arenas
        finally:
            close(script)
        pids = [worker["pid"] for worker in cluster.workers.values()]
        with Client(cluster) as client:
            until(lambda: client.scheduler_info()["tasks"] == 0, "its tasks are forgotten")
            # What it looked at is free again: four times 512 MiB are more than the workers may have.
            until(lambda: sum(map(arena_bytes, pids)) <= 2 * KEPT, "its views are taken back")  # noqa: B023
        mine = arenas - {inode for pid in pids for inode in memory_files(pid)}
        until(lambda: holders(mine - set(memory_files(os.getpid()))) == [], "its own memory is let go of")  # noqa: B023
    file.unlink()


SUPERVISOR = """
import os, sys, time
from kask.distributed import Client, LocalCluster
cluster = LocalCluster(n_workers=2, threads_per_worker=1, memory_limit="512 MiB", local_directory=sys.argv[1])
cluster.write_scheduler_file(sys.argv[2])
client = Client(cluster)
print(*client.run(os.getpid).values(), flush=True)
time.sleep(60)
"""


def test_the_process_of_the_cluster_is_killed(tmp_path):
    folder, file = tmp_path / "local", tmp_path / "scheduler.json"
    script = start_script(SUPERVISOR, folder, file)
    try:
        pids = [int(pid) for pid in line(script)]
        with Client(scheduler_file=file) as client:
            array = client.submit(np.ones, LARGE // 8).result(timeout=30)
            arenas = {inode for pid in pids for inode in memory_files(pid)}
            assert arenas
            script.send_signal(signal.SIGKILL)
            script.wait()
            until(lambda: not any(map(is_running, pids)), "the workers end")
            assert array.sum() == LARGE / 8
            assert set(holders(arenas)) <= {os.getpid()}
    finally:
        close(script)
    del array, client
    until(lambda: holders(arenas) == [], "the memory of the workers is let go of")
    until(lambda: list(folder.iterdir()) == [], "what is on disk is removed")


@pytest.mark.parametrize("victim", ["scheduler", "supervisor"])
def test_the_scheduler_or_the_supervisor_of_a_cluster_is_killed(tmp_path, victim):
    """Each in a process of its own, with the client in a third."""
    file, folder = tmp_path / "scheduler.json", tmp_path / "local"
    scheduler = command_line("scheduler", "--port", 0, "--scheduler-file", file, "--token-file", tmp_path / "token")
    supervisors = []

    def start_workers():
        supervisors.append(
            command_line(
                "worker", "--scheduler-file", file, "--nworkers", 2, "--nthreads", 1, "--memory-limit", "512 MiB",
                "--local-directory", folder,
            )
        )  # fmt: skip

    try:
        until(file.exists, "the scheduler's file", 30)
        start_workers()
        with Client(scheduler_file=file) as client:
            client.wait_for_workers(2, timeout=60)
            pids = list(client.run(os.getpid).values())
            one, other = client.nthreads()
            array = client.submit(ones, 1, workers=[one], allow_other_workers=True)
            assert client.submit(keep, [array], workers=[other]).result(timeout=30)[0] == LARGE / 8
            seen = array.result()
            arenas = {inode for pid in pids for inode in memory_files(pid)}
            assert arenas
            (scheduler if victim == "scheduler" else supervisors[0]).kill()
            until(lambda: not any(map(is_running, pids)), "the workers end", 40)
            assert seen.sum() == LARGE / 8
            # The supervisor ends after its workers, and holds their memory until then.
            until(lambda: set(holders(arenas)) <= {os.getpid()}, "nobody else holds the memory of the workers")
            if victim == "supervisor":
                start_workers()
                client.wait_for_workers(2, timeout=60)
                assert client.submit(np.sum, array).result(timeout=30) == LARGE / 8
            del seen, array
        until(lambda: holders(arenas) == [], "the memory of the workers is let go of")
    finally:
        for process in [*supervisors, scheduler]:
            process.terminate()
            process.wait(timeout=30)
    until(lambda: files(folder) == [], "what is on disk is removed")


NO_SHARED_MEMORY = """
import numpy as np, os
from kask.distributed import Client, LocalCluster
assert os.statvfs("/dev/shm").f_blocks * os.statvfs("/dev/shm").f_frsize <= 2**20
with LocalCluster(n_workers=2, threads_per_worker=1, memory_limit="1 GiB") as cluster, Client(cluster) as client:
    one, other = cluster.workers
    array = client.submit(np.ones, 32 * 2**20, workers=[one])
    print(int(client.submit(np.sum, array, workers=[other]).result(timeout=60)), int(array.result().sum()))
    maps = open("/proc/self/maps").read()
    print("kask-arena" in maps, os.listdir("/dev/shm"))
"""


def test_next_to_no_shared_memory_file_system():
    """256 MiB from worker to worker and to the client, where /dev/shm has 1 MiB."""
    if (
        shutil.which("unshare") is None
        or subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode
    ):
        pytest.skip("file systems cannot be mounted for one process alone")
    mount = 'mount -t tmpfs -o size=1m none /dev/shm && exec "$@"'
    script = start_script(NO_SHARED_MEMORY, prefix=("unshare", "-m", "sh", "-c", mount, "sh"))
    try:
        assert line(script) == [str(32 * MIB)] * 2
        assert line(script) == ["True", "[]"]
        assert script.wait(timeout=30) == 0
    finally:
        close(script)
