"""``client.get_executor()`` is a ``concurrent.futures.Executor``."""

from __future__ import annotations

import asyncio
import concurrent.futures as cf
import time

import pytest

from kask.exceptions import UnknownKeywordError


def inc(x):
    return x + 1


def fail():
    raise ValueError("bad")


def test_submit(client):
    with client.get_executor() as executor:
        assert isinstance(executor, cf.Executor)
        future = executor.submit(inc, 1)
        assert isinstance(future, cf.Future)
        assert future.result(timeout=10) == 2
        assert isinstance(executor.submit(fail).exception(timeout=10), ValueError)
        assert executor.submit(int, "12", base=3).result(timeout=10) == 5


def test_calls_are_not_pure_unless_asked(client, tmp_path):
    log = tmp_path / "log"

    def call():
        with log.open("a") as file:
            file.write("x")

    with client.get_executor() as executor:
        cf.wait([executor.submit(call) for _ in range(3)])
    assert log.read_text() == "xxx"


def test_map(client):
    with client.get_executor(pure=True) as executor:
        assert list(executor.map(pow, [1, 2, 3], [2, 2, 2])) == [1, 4, 9]
        assert list(executor.map(inc, range(100), chunksize=10)) == list(range(1, 101))
        with pytest.raises(ValueError, match="bad"):
            list(executor.map(lambda _: fail(), [1]))
        with pytest.raises(TimeoutError):
            list(executor.map(time.sleep, [0.5], timeout=0.05))
        with pytest.raises(ValueError, match="chunksize="):
            executor.map(inc, [1], chunksize=0)


def test_as_completed_and_wait(client):
    with client.get_executor() as executor:
        futures = [executor.submit(inc, i) for i in range(10)]
        assert sorted(future.result() for future in cf.as_completed(futures, timeout=10)) == list(range(1, 11))
        done, pending = cf.wait(futures)
        assert (len(done), len(pending)) == (10, 0)


def test_cancel(client):
    with client.get_executor() as executor:
        blockers = [executor.submit(time.sleep, 0.2) for _ in range(2)]
        future = executor.submit(inc, 1)
        assert future.cancel()
        assert future.cancelled()
        with pytest.raises(cf.CancelledError):
            future.result(timeout=5)
        cf.wait(blockers)


def test_shutdown(client):
    executor = client.get_executor()
    running = [executor.submit(time.sleep, 0.1) for _ in range(2)]
    waiting = [executor.submit(time.sleep, 5) for _ in range(4)]
    start = time.monotonic()
    executor.shutdown(wait=True, cancel_futures=True)
    assert time.monotonic() - start < 4
    assert all(future.done() for future in running + waiting)
    with pytest.raises(RuntimeError, match="shut down"):
        executor.submit(inc, 1)
    with pytest.raises(RuntimeError, match="shut down"):
        executor.map(inc, [1])


def test_as_the_executor_of_an_event_loop(client):
    async def main():
        return await asyncio.get_running_loop().run_in_executor(client.get_executor(), inc, 1)

    assert asyncio.run(main()) == 2


def test_unknown_options(client):
    with pytest.raises(UnknownKeywordError, match="'retires'"):
        client.get_executor(retires=3)
