"""Memory that workers lend to others is bounded: nobody is ended for what others look at, and nothing is lost for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from kask.distributed import Client, LocalCluster, wait

sys.path.append(str(Path(__file__).resolve().parents[2] / "bench"))

from memory_watch import MemoryWatch

pytestmark = pytest.mark.timeout(180)

MIB = 1 << 20
LIMIT = 256 * MIB
BLOCK = 16 * MIB
BLOCKS = 64  # 1 GiB, four times the limit


def constant(number):
    """A block that takes little room on disk."""
    return np.full(BLOCK // 8, float(number))


def noise(number):
    """A block that cannot be compressed."""
    return np.random.default_rng(number).random(BLOCK // 8)


def sums(arrays):
    return [float(array.sum()) for array in arrays]


def worker_pids(cluster):
    return [worker["pid"] for worker in cluster.workers.values()]


def check_that_nobody_suffered(cluster, client, watch):
    assert [worker["deaths"] for worker in cluster.workers.values()] == [0] * len(cluster.workers)
    counters = client.counters()
    assert counters["recomputed"] == counters["workers_lost"] == counters["memory_deaths"] == 0
    assert 0 < watch.peak_bytes() <= LIMIT, f"{watch.peak_bytes() // MIB} MiB"


@pytest.fixture
def cluster(request):
    with LocalCluster(n_workers=request.param, threads_per_worker=1, memory_limit=LIMIT) as cluster:
        yield cluster


@pytest.mark.parametrize("cluster", [1], indirect=True)
@pytest.mark.parametrize("make", [constant, noise])
class TestAClientKeepsFourTimesTheLimit:
    def test_of_values_that_are_on_disk(self, cluster, make):
        with Client(cluster) as client, MemoryWatch(lambda: worker_pids(cluster), 0.01) as watch:
            futures = client.map(make, range(BLOCKS))
            wait(futures)
            arrays = client.gather(futures)
            assert sums(arrays) == sums(map(make, range(BLOCKS)))
            # The worker goes on in what is left.
            assert client.gather(client.map(np.sum, futures)) == sums(arrays)
            check_that_nobody_suffered(cluster, client, watch)

    def test_of_values_that_are_new_and_leave_memory_only_then(self, cluster, make):
        """What is lent while it is in memory stays there, so that letting the value go makes no room."""
        with Client(cluster) as client, MemoryWatch(lambda: worker_pids(cluster), 0.01) as watch:
            futures = client.map(make, range(BLOCKS))
            arrays = [future.result() for future in futures]
            assert sums(arrays) == sums(map(make, range(BLOCKS)))
            check_that_nobody_suffered(cluster, client, watch)

    def test_of_values_that_are_let_go_of(self, cluster, make):
        """The worker has nothing any more, and yet its memory is in use."""
        with Client(cluster) as client, MemoryWatch(lambda: worker_pids(cluster), 0.01) as watch:
            arrays = [client.submit(make, number).result() for number in range(BLOCKS)]
            assert sums(arrays) == sums(map(make, range(BLOCKS)))
            check_that_nobody_suffered(cluster, client, watch)


@pytest.mark.parametrize("cluster", [1], indirect=True)
def test_what_leaves_memory_has_gone_before_what_takes_its_place_is_made(cluster):
    """Python frees what other threads let go of when it gets to it; a task that was given the room must not start before."""
    with Client(cluster) as client, MemoryWatch(lambda: worker_pids(cluster), 0.002) as watch:
        futures = client.map(constant, range(BLOCKS))
        wait(futures)
        check_that_nobody_suffered(cluster, client, watch)
    assert watch.peak_bytes() <= 0.8 * LIMIT, f"{watch.peak_bytes() // MIB} MiB"


@pytest.mark.parametrize("cluster", [2], indirect=True)
def test_workers_take_inputs_from_each_other(cluster):
    """Each of the tasks takes as much from the other worker as there is room for."""
    lender, borrower = sorted(cluster.workers)
    with Client(cluster) as client, MemoryWatch(lambda: worker_pids(cluster), 0.01) as watch:
        futures = client.map(noise, range(BLOCKS), workers=[lender])
        wait(futures)
        groups = [futures[start : start + 8] for start in range(0, BLOCKS, 8)]
        totals = [client.submit(sums, group, workers=[borrower]) for group in groups]
        got = [number for total in totals for number in total.result()]
        assert got == sums(map(noise, range(BLOCKS)))
        check_that_nobody_suffered(cluster, client, watch)


@pytest.mark.parametrize("cluster", [1], indirect=True)
def test_a_task_of_a_larger_worker_takes_four_times_the_limit(cluster, tmp_path):
    (lender,) = cluster.workers
    file = tmp_path / "scheduler.json"
    cluster.write_scheduler_file(file)
    command = ["worker", "--name", "roomy", "--nthreads", "1", "--memory-limit", "4GiB", "--scheduler-file"]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    roomy = subprocess.Popen([sys.executable, "-m", "kask", *command, file], stdout=subprocess.PIPE, env=environment)
    try:
        with Client(cluster) as client, MemoryWatch(lambda: worker_pids(cluster), 0.01) as watch:
            client.wait_for_workers(2, timeout=60)
            futures = client.map(noise, range(BLOCKS), workers=[lender])
            wait(futures)
            assert client.submit(sums, futures, workers=["roomy"]).result() == sums(map(noise, range(BLOCKS)))
            check_that_nobody_suffered(cluster, client, watch)
    finally:
        roomy.terminate()
        roomy.communicate(timeout=30)
