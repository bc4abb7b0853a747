"""What a scheduler and its workers keep of arguments and functions: nothing that is not needed any more, and not much that may be."""

from __future__ import annotations

import gc
import os
import time
import warnings
import weakref

import numpy as np
import pytest

import kask
from command_line_cluster import CommandLineCluster
from kask.distributed import Client, wait

MIB = 2**20


@pytest.fixture
def cluster(tmp_path):
    cluster = CommandLineCluster(tmp_path, nworkers=1)
    yield cluster
    cluster.close()


@pytest.fixture
def client(cluster):
    with Client(scheduler_file=cluster.file) as client:
        client.wait_for_workers(1, timeout=60)
        yield client


def resident_mib(pid):
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024


def falls_below(limit_mib, pid):
    deadline = time.monotonic() + 20
    while (now := resident_mib(pid)) >= limit_mib and time.monotonic() < deadline:
        time.sleep(0.1)
    return now < limit_mib


def test_arguments_are_given_back_to_the_system_when_their_results_are_released(cluster, client):
    before = resident_mib(cluster.scheduler_pid)
    futures = [client.submit(len, i.to_bytes(1000, "little"), pure=False) for i in range(50_000)]
    wait(futures)
    assert resident_mib(cluster.scheduler_pid) > before + 50, "they may have to be computed again"
    del futures
    gc.collect()
    assert falls_below(before + 40, cluster.scheduler_pid)


@pytest.mark.parametrize("how", ["closure", "keyword"])
def test_functions_that_hold_much_are_not_kept_for_the_next_use(cluster, client, how):
    (worker,) = client.run(os.getpid).values()
    before = [resident_mib(pid) for pid in (cluster.scheduler_pid, worker)]
    for _ in range(30):
        data = os.urandom(10 * MIB)
        if how == "closure":
            assert client.submit(lambda data=data: len(data), pure=False).result() == len(data)
        else:
            assert client.gather(client.map(lambda _, data: len(data), range(2), data=data, pure=False))[0] == len(data)
    assert falls_below(before[0] + 120, cluster.scheduler_pid)
    # It has what it was sent, and what it made of that.
    assert falls_below(before[1] + 220, worker)


class Data:
    """What a function holds."""


def test_functions_of_an_embedded_engine_do_not_live_on():
    with Client("embedded") as client:
        alive = []
        for _ in range(30):
            data = Data()
            alive.append(weakref.ref(data))
            client.submit(lambda data=data: None, pure=False).result()
            client.gather(client.map(lambda _, data: None, range(2), data=data, pure=False))
        del data
        deadline = time.monotonic() + 10
        while sum(ref() is not None for ref in alive) > 8 and time.monotonic() < deadline:
            gc.collect()
            time.sleep(0.05)
        assert sum(ref() is not None for ref in alive) <= 8


def test_large_arguments_that_travel_with_their_calls_are_warned_of_once(client):
    data = np.ones(40 * MIB // 8)
    with pytest.warns(UserWarning, match=r'40 MiB of arguments, as of "sum", travel .* client.scatter\(data\)') as told:
        assert client.submit(np.sum, data, pure=False).result(timeout=30) == data.size
    assert [warning.filename for warning in told] == [__file__]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        client.submit(np.sum, data, pure=False).result(timeout=30)
        client.submit(np.max, client.scatter(data)).result(timeout=30)
        client.gather(client.map(np.min, [data[: MIB // 16]] * 100))
    with pytest.warns(UserWarning, match="64 MiB of arguments"):
        kask.compute([kask.delayed(np.min)(data[i : i + 2 * MIB]) for i in range(4)])
    with Client("embedded") as embedded, warnings.catch_warnings():
        warnings.simplefilter("error")
        embedded.submit(np.sum, data).result()
