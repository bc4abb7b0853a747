"""Tasks that use the cluster they run on."""

from __future__ import annotations

import asyncio
import time

import pytest

import kask
from kask.distributed import (
    Client,
    as_completed,
    fire_and_forget,
    get_client,
    get_worker,
    rejoin,
    secede,
    worker_client,
)


def own_client(size):
    if size == "embedded":
        return Client("embedded", threads_per_worker=2)
    return Client(n_workers=2, threads_per_worker=1, processes=size == "processes", memory_limit=0)


def inc(x):
    return x + 1


def fibonacci(n):
    if n < 2:
        return n
    client = get_client()
    low, high = client.submit(fibonacci, n - 2), client.submit(fibonacci, n - 1)
    secede()
    try:
        return sum(client.gather([low, high]))
    finally:
        rejoin()


def total(n):
    with worker_client() as client:
        return sum(client.gather(client.map(inc, range(n))))


def test_futures_that_submit_futures(client):
    assert client.submit(fibonacci, 12).result(timeout=60) == 144


def test_worker_client(client):
    assert client.gather(client.map(total, range(20)), errors="raise") == [sum(range(1, n + 1)) for n in range(20)]


def test_waiting_inside_without_seceding(client):
    def outer(n):
        return get_client().submit(inc, n).result()

    assert client.gather(client.map(outer, range(20))) == list(range(1, 21))


def test_get_worker(client):
    def where():
        worker = get_worker()
        return worker.name, worker.address, worker.local_directory

    name, address, _ = client.submit(where).result()
    assert name in {worker["name"] for worker in client.scheduler_info()["workers"].values()}
    assert address in client.nthreads()
    with pytest.raises(ValueError, match="only inside a task"):
        get_worker()


def test_secede_frees_the_thread(client):
    def wait_for_others(n):
        secede()
        time.sleep(0.3)
        return n

    waiting = client.map(wait_for_others, range(8), pure=False)
    start = time.monotonic()
    assert client.submit(inc, 1).result() == 2
    assert client.gather(waiting) == list(range(8))
    # Two threads without seceding would take four times as long.
    assert time.monotonic() - start < 1.1


@pytest.mark.parametrize("function", [secede, rejoin])
def test_only_tasks_can_secede(function):
    with pytest.raises(ValueError, match="only inside a task"):
        function()


def test_as_completed_inside(client):
    def task():
        with worker_client() as inner:
            return sorted(future.result() for future in as_completed(inner.map(inc, range(10))))

    assert client.submit(task).result(timeout=30) == list(range(1, 11))


def test_compute_inside(client):
    def task(n):
        return kask.delayed(sum)([kask.delayed(inc)(i) for i in range(n)]).compute()

    assert client.gather(client.map(task, range(10))) == [sum(range(1, n + 1)) for n in range(10)]


def test_coroutines_inside(size):
    async def task(n):
        inner = get_client()
        return await inner.submit(inc, n)

    # Its own cluster: coroutines that took up threads while they wait would leave none for the other tests.
    with own_client(size) as client:
        assert client.gather(client.map(task, range(10))) == list(range(1, 11))


def test_coroutines_run_side_by_side(client):
    async def task(n):
        await asyncio.sleep(0.2)
        return n

    start = time.monotonic()
    assert client.gather([client.submit(task, i) for i in range(2)]) == [0, 1]
    assert time.monotonic() - start < 5


def test_fire_and_forget_inside(client, tmp_path):
    path = tmp_path / "done"

    def task():
        fire_and_forget(get_client().submit(path.write_text, "x", pure=False))

    client.submit(task).result(timeout=30)
    deadline = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_results_of_inner_tasks_are_released(client):
    def task():
        return get_client().submit(inc, 12_345).result()

    assert client.submit(task).result(timeout=30) == 12_346
    deadline = time.monotonic() + 5
    while len(client.who_has()) > 1:
        assert time.monotonic() < deadline, client.who_has()
        time.sleep(0.02)


def test_scatter_inside(client):
    def task():
        with worker_client() as inner:
            (data,) = inner.scatter([[1, 2, 3]])
            return inner.submit(sum, data).result()

    assert client.submit(task).result(timeout=30) == 6
