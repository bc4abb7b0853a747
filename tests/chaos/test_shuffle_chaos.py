"""A shuffle of more than the workers' memory while workers are killed, added and retired: the same rows as pandas has."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest
from traces import MIB, until

import kask
from kask.distributed import Client, LocalCluster, wait

pd = pytest.importorskip("pandas")
pytest.importorskip("pyarrow")

pytestmark = pytest.mark.timeout(120)

TABLES, ROWS, OUTPUTS = 100, 130_000, 40  # 3 MB each
LIMIT = 256 * MIB
# Two workers have done so many tasks when the first outputs are asked for: a table, its split.
SPLITS_DONE = 2 * TABLES


def table(seed, delay=0.0):
    rng = np.random.default_rng(seed)
    time.sleep(delay)
    return pd.DataFrame(
        {
            "key": rng.integers(0, 10_000, ROWS),
            "number": rng.integers(0, 1 << 40, ROWS),
            "row": np.arange(ROWS) + seed * ROWS,
        }
    )


def digest(frame):
    """Sums by key, and whether the rows are in the order of the inputs."""
    sums = frame.groupby("key")["number"].agg(["sum", "count"])
    return sums, bool(frame["row"].is_monotonic_increasing), len(frame)


@pytest.fixture(scope="module")
def expected():
    """The sums by key over all tables."""
    parts = [table(seed).groupby("key")["number"].agg(["sum", "count"]) for seed in range(TABLES)]
    return pd.concat(parts).groupby(level=0).sum()


@pytest.fixture
def cluster(tmp_path):
    with LocalCluster(n_workers=2, threads_per_worker=1, memory_limit=LIMIT, local_directory=tmp_path) as cluster:
        yield cluster


def shuffled(client, cluster, when, disturb):
    """The digests of a shuffle's outputs; ``disturb`` is called as soon as so many tasks have finished."""
    tables = [kask.delayed(table, pure=True)(seed, 0.01) for seed in range(TABLES)]
    digests = [kask.delayed(digest)(output) for output in kask.shuffle.shuffle(tables, "key", OUTPUTS)]
    troubles = []

    def watch():
        try:
            until(lambda: client.counters()["finished"] >= when, f"{when} tasks are finished", 60)
            disturb()
        except BaseException as error:
            troubles.append(error)

    thread = threading.Thread(target=watch)
    thread.start()
    futures = client.compute(digests)
    parts = client.gather(futures)
    thread.join()
    assert troubles == []
    return parts


def check(parts, expected):
    assert sum(rows for _, _, rows in parts) == TABLES * ROWS
    assert all(ordered for _, ordered, _ in parts)
    together = pd.concat([sums for sums, _, _ in parts])
    assert together.index.is_unique, "a key is in two partitions"
    pd.testing.assert_frame_equal(together.sort_index(), expected)


@pytest.mark.parametrize("when", [TABLES, SPLITS_DONE + OUTPUTS // 2], ids=["while splitting", "while merging"])
def test_a_worker_is_killed(cluster, expected, when):
    with Client(cluster) as client:
        victim = sorted(cluster.workers)[0]

        def kill():
            os.kill(cluster.workers[victim]["pid"], signal.SIGKILL)

        check(shuffled(client, cluster, when, kill), expected)
        until(lambda: client.counters()["workers_lost"] == 1, "the scheduler sees it")
        counters = client.counters()
        # At most all that one of two workers had ever made.
        assert counters["recomputed"] <= (2 * TABLES + 2 * OUTPUTS) * 3 // 4
        assert [cluster.workers[name]["deaths"] for name in sorted(cluster.workers)] == [1, 0]


@pytest.mark.parametrize("checkpoints", [True, False])
def test_a_worker_is_killed_when_all_outputs_are_there(checkpoints):
    """Splits and tables are long gone, and there is room for all in memory."""
    few = 20
    with (
        kask.config.set({"memory.checkpoint_shuffles": checkpoints}),
        LocalCluster(n_workers=2, threads_per_worker=1, memory_limit="1GiB") as cluster,
        Client(cluster) as client,
    ):
        tables = [kask.delayed(table, pure=True)(seed) for seed in range(few)]
        outputs = client.compute(kask.shuffle.shuffle(tables, "key", few))
        assert wait(outputs, timeout=60).not_done == set()
        written = few * ROWS * 24 * 0.9

        def bytes_on_disk():
            workers = client.scheduler_info()["workers"].values()
            return sum(worker["metrics"]["spill_written_bytes"] for worker in workers)

        if checkpoints:
            until(lambda: bytes_on_disk() > written, "the outputs are on disk")
        finished = client.counters()["finished"]
        victim = sorted(cluster.workers)[0]
        os.kill(cluster.workers[victim]["pid"], signal.SIGKILL)
        until(lambda: client.counters()["workers_lost"] == 1, "the scheduler sees it")
        digests = client.gather(client.map(digest, outputs, pure=False))
        assert sum(rows for _, _, rows in digests) == few * ROWS
        counters = client.counters()
        again = counters["finished"] - finished - few
        if checkpoints:
            assert (again, counters["recomputed"]) == (0, 0)
            assert counters["adopted"] > 0
        else:
            assert bytes_on_disk() == 0
            assert again >= few, "tables are made again"


def test_a_worker_is_added(cluster, expected):
    with Client(cluster) as client:
        check(shuffled(client, cluster, TABLES, lambda: cluster.scale(3)), expected)
        assert len(cluster.workers) == 3
        assert client.counters()["recomputed"] == 0

        def fetched():
            return [worker["metrics"]["fetched_bytes"] for worker in client.scheduler_info()["workers"].values()]

        # Metrics come with the next sign of life.
        until(lambda: min(fetched()) > 0, "the new one took part, and the others as well", 10)


def test_a_worker_is_retired(cluster, expected):
    cluster.scale(3)
    with Client(cluster) as client:
        client.wait_for_workers(3, timeout=30)
        check(shuffled(client, cluster, TABLES, lambda: cluster.scale(2)), expected)
        assert len(cluster.workers) == 2
        counters = client.counters()
        # It hands over what it has: who has no room just then is asked again.
        assert counters["recomputed"] == 0
        assert counters["workers_lost"] == counters["memory_deaths"] == 0
