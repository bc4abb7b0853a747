"""Workers that die or freeze, tasks that kill, clients that disappear. The answer is the same as without, or an error that says what happened."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import kask
from kask.distributed import Client, LocalCluster, as_completed, wait
from kask.exceptions import FutureLostError, KilledWorker

pytestmark = pytest.mark.timeout(150)


def inc(x):
    return x + 1


def slow_inc(x, delay=0.01):
    time.sleep(delay)
    return x + 1


def combine(*parts):
    time.sleep(0.002)
    return sum(parts) % 1_000_003


@pytest.fixture
def cluster():
    with LocalCluster(n_workers=3, threads_per_worker=1, memory_limit=0) as cluster:
        yield cluster


@pytest.fixture
def client(cluster):
    with Client(cluster) as client:
        yield client


def pids(client):
    return list(client.run(os.getpid).values())


def layered(seed, width=30, depth=12):
    """A graph whose every layer mixes results of the layer before, and what a serial run gives."""
    rng = random.Random(seed)
    values, nodes = list(range(width)), [kask.delayed(i) for i in range(width)]
    call = kask.delayed(combine)
    for _ in range(depth):
        chosen = [[rng.randrange(width) for _ in range(rng.randint(1, 4))] for _ in range(width)]
        nodes = [call(*[nodes[j] for j in row]) for row in chosen]
        values = [sum(values[j] for j in row) % 1_000_003 for row in chosen]
    return nodes, values


@pytest.mark.parametrize("seed", range(4))
def test_workers_killed_at_random_moments(cluster, client, seed):
    rng = random.Random(seed)
    nodes, expected = layered(seed)
    stop = threading.Event()

    def murderer():
        for _ in range(2):
            if stop.wait(rng.uniform(0.05, 0.5)):
                return
            victims = [worker["pid"] for worker in cluster.workers.values() if worker["pid"]]
            if victims:
                try:
                    os.kill(rng.choice(victims), signal.SIGKILL)
                except ProcessLookupError:
                    continue

    thread = threading.Thread(target=murderer)
    thread.start()
    try:
        assert client.gather(client.compute(nodes)) == expected
    finally:
        stop.set()
        thread.join()
    client.wait_for_workers(3, timeout=60)
    assert client.submit(inc, 1).result() == 2


def test_what_was_lost_is_computed_again(client):
    futures = client.map(slow_inc, range(60))
    wait(futures)
    os.kill(pids(client)[0], signal.SIGKILL)
    assert client.gather(client.map(inc, futures)) == [x + 2 for x in range(60)]
    counters = client.counters()
    assert counters["recomputed"] > 0
    assert counters["workers_lost"] == 1


def test_chains_of_lost_inputs_are_computed_again(client):
    x = client.submit(inc, 0)
    for _ in range(20):
        x = client.submit(inc, x)
    wait(x)
    for pid in pids(client):
        os.kill(pid, signal.SIGKILL)
    assert client.submit(inc, x).result(timeout=60) == 22


def test_results_are_fetched_again_when_their_worker_dies(client):
    x = client.submit(bytes, 1000)
    wait(x)
    for pid in pids(client):
        os.kill(pid, signal.SIGKILL)
    assert len(x.result(timeout=60)) == 1000


def test_data_that_cannot_be_computed_again_says_so(client):
    x = client.scatter([1, 2, 3], hash=False)
    for pid in pids(client):
        os.kill(pid, signal.SIGKILL)
    with pytest.raises(FutureLostError, match=r"lost"):
        client.submit(sum, x).result(timeout=60)


def test_frozen_workers_are_found():
    with (
        kask.config.set({"cluster.heartbeat_timeout_s": 2}),
        LocalCluster(n_workers=2, threads_per_worker=1, memory_limit=0) as cluster,
        Client(cluster) as client,
    ):
        frozen = pids(client)[0]
        futures = client.map(slow_inc, range(200))
        time.sleep(0.2)
        os.kill(frozen, signal.SIGSTOP)
        try:
            assert client.gather(futures) == list(range(1, 201))
        finally:
            try:
                os.kill(frozen, signal.SIGCONT)
            except ProcessLookupError:
                frozen = 0
        assert client.submit(inc, 1).result() == 2


def test_short_freezes_are_forgiven(client):
    before = set(pids(client))
    futures = client.map(slow_inc, range(200))
    for pid in before:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(1)
    for pid in before:
        os.kill(pid, signal.SIGCONT)
    assert client.gather(futures) == list(range(1, 201))
    assert set(pids(client)) == before


@pytest.mark.parametrize(
    ("death", "said"),
    [
        (lambda: os._exit(3), "exited with code 3"),
        (lambda: signal.pthread_kill(threading.get_ident(), signal.SIGKILL), r"signal 9 \(SIGKILL\)"),
        (lambda: signal.pthread_kill(threading.get_ident(), signal.SIGSEGV), "signal 11"),
        (lambda: os.abort(), "signal 6"),
    ],
    ids=["exit", "kill", "segfault", "abort"],
)
def test_tasks_that_kill_their_workers(client, death, said, capfd):
    poison = client.submit(death, pure=False)
    good = client.map(slow_inc, range(50))
    with pytest.raises(KilledWorker, match=said) as caught:
        poison.result(timeout=100)
    assert len(caught.value.deaths) == 3
    assert caught.value.task == poison.key
    assert client.gather(good) == list(range(1, 51))
    client.wait_for_workers(3, timeout=60)


def test_many_tasks_that_end_their_process_at_once_leave_the_worker_in_its_place():
    with Client(n_workers=1, threads_per_worker=1, memory_limit=0) as client:
        poison = client.map(os._exit, range(3, 8))
        assert all(isinstance(future.exception(timeout=100), KilledWorker) for future in poison)
        assert client.submit(inc, 1).result(timeout=60) == 2


def test_what_depends_on_a_killer_fails_with_it(client):
    x = client.submit(os._exit, 1)
    with pytest.raises(KilledWorker):
        client.submit(inc, x).result(timeout=100)


def test_how_many_deaths_are_allowed_is_a_setting():
    with (
        kask.config.set({"cluster.allowed_deaths": 1}),
        Client(n_workers=1, threads_per_worker=1, memory_limit=0) as client,
    ):
        with pytest.raises(KilledWorker) as caught:
            client.submit(os._exit, 1).result(timeout=60)
        assert len(caught.value.deaths) == 1


def test_innocent_neighbours_of_a_killer_are_run_again():
    with Client(n_workers=1, threads_per_worker=4, memory_limit=0) as client:
        good = client.map(slow_inc, range(20), delay=0.3)
        poison = client.submit(os._exit, 1)
        assert isinstance(poison.exception(timeout=100), KilledWorker)
        outcomes = [future.exception(timeout=100) for future in good]
        # At most the three that ran beside it each time could be taken for guilty, never those that waited.
        assert sum(error is not None for error in outcomes) <= 3


def test_as_completed_goes_on_through_deaths(client):
    futures = client.map(slow_inc, range(100))
    victims = iter(pids(client)[:2])
    seen = []
    for count, future in enumerate(as_completed(futures)):
        seen.append(future.result(timeout=60))
        if count in (10, 50):
            os.kill(next(victims), signal.SIGKILL)
    assert sorted(seen) == list(range(1, 101))


DISAPPEARING = """
import os, sys, time
from kask.distributed import Client
def slow(x):
    time.sleep(0.05)
    return x
client = Client(scheduler_file=sys.argv[1])
futures = client.map(slow, range(10_000))
time.sleep(0.3)
os.kill(os.getpid(), 9)
"""


def test_a_client_that_disappears_leaves_nothing_behind(cluster, client, tmp_path):
    file = tmp_path / "scheduler.json"
    cluster.write_scheduler_file(file)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    process = subprocess.run([sys.executable, "-c", DISAPPEARING, str(file)], timeout=60, env=environment, check=False)
    assert process.returncode == -signal.SIGKILL
    assert client.submit(inc, 1).result(timeout=20) == 2
    deadline = time.monotonic() + 30
    while any(client.has_what().values()) or any(client.processing().values()):
        assert time.monotonic() < deadline, (client.has_what(), client.processing())
        time.sleep(0.1)


def test_shared_work_survives_the_client_that_asked_first(cluster, client, tmp_path):
    x = client.submit(slow_inc, 5, delay=0.5)
    with Client(cluster, set_as_default=False) as other:
        y = other.submit(slow_inc, 5, delay=0.5)
        client.close()
        assert y.result(timeout=20) == 6
    assert x.key == y.key


def test_workers_that_come_late_get_work():
    with LocalCluster(n_workers=1, threads_per_worker=1, memory_limit=0) as cluster, Client(cluster) as client:
        futures = client.map(lambda i: (time.sleep(0.05), os.getpid())[1], range(100))
        cluster.scale(3)
        assert len(set(client.gather(futures))) == 3


@pytest.mark.parametrize("seed", range(6))
def test_scattered_data_goes_to_another_worker_when_the_first_one_dies(client, seed):
    chance = random.Random(seed)
    victims = chance.sample(pids(client), chance.choice([1, 2]))
    moments = [chance.uniform(0, 0.25) for _ in victims]

    def kill():
        for moment, victim in zip(moments, victims, strict=True):
            time.sleep(moment)
            os.kill(victim, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    data = [np.full(2**20, float(i)) for i in range(24)]
    rounds = []
    while killer.is_alive() or not rounds:
        rounds.append(client.scatter(data, hash=False, broadcast=len(rounds) % 2 == 1, timeout=60))
    killer.join()
    # What was scattered last was there; a worker that died later may have taken it along.
    totals = client.map(np.sum, client.scatter(data, hash=False, timeout=60))
    assert client.gather(totals) == [block.sum() for block in data]


def test_scattering_to_named_workers_that_are_gone_fails(cluster):
    with Client(cluster) as client:
        names = [info["name"] for info in client.scheduler_info()["workers"].values()]
        with pytest.raises(
            TimeoutError, match=r"no worker that workers=\[\"nobody\"\] names came within 0\.5 s; there are "
        ) as told:
            client.scatter([1, 2], workers=["nobody"], timeout=0.5)
        assert all(str(name) in str(told.value) for name in names)
        assert client.submit(sum, client.scatter([1, 2], workers=names[:1])).result(timeout=30) == 3
