"""Arguments that are given as they are travel with the task: what fits runs, what fits nowhere is refused at once."""

import os
import time

import numpy as np
import pytest

import kask
from kask.distributed import Client, LocalCluster
from kask.exceptions import OutOfMemoryError

MIB = 2**20


@pytest.fixture
def small(tmp_path):
    """A client of one worker of 400 MiB, which has 312 MiB for a task."""
    cluster = LocalCluster(
        n_workers=1, threads_per_worker=2, memory_limit="400 MiB", local_directory=tmp_path, processes=True
    )
    with cluster, Client(cluster) as client:
        yield client


def first(array, i):
    time.sleep(0.02)
    return float(array[0]) + i


def test_what_is_larger_than_a_worker_is_refused_and_scattered_data_is_not(small):
    pids = small.run(os.getpid)
    big = np.ones(500 * MIB // 8)
    ways = [
        lambda: small.submit(np.sum, big).result(timeout=30),
        lambda: small.submit(lambda: big.sum()).result(timeout=30),
        lambda: small.gather(small.map(np.dot, [big], b=big)),
        lambda: kask.delayed(np.sum)(big).compute(),
        lambda: small.submit(len, small.submit(np.abs, big)).result(timeout=30),
    ]
    for way in ways:
        started = time.monotonic()
        with pytest.raises(
            OutOfMemoryError, match=r"\d+ MiB of arguments travel with it, and a worker has 312 MiB .*scatter"
        ):
            way()
        assert time.monotonic() - started < 20
    assert small.run(os.getpid) == pids, "no worker died of it"
    assert small.submit(np.sum, small.scatter(big)).result(timeout=60) == big.size


@pytest.mark.parametrize(("mib", "count"), [(60, 24), (120, 12), (250, 5)])
def test_many_that_fit_one_by_one(small, mib, count):
    pids = small.run(os.getpid)
    arrays = (np.full(mib * MIB // 8, float(i)) for i in range(count))
    futures = [small.submit(first, array, i, pure=False) for i, array in enumerate(arrays)]
    assert small.gather(futures) == [2.0 * i for i in range(count)]
    assert small.run(os.getpid) == pids, "no worker died of it"
