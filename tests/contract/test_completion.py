"""``wait`` and ``as_completed``."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref

import pytest

import kask
from kask.distributed import as_completed, wait
from kask.exceptions import CancelledError


def inc(x):
    return x + 1


def after(delay, value=None):
    time.sleep(delay)
    return value


def fail(x):
    raise ValueError(f"bad {x}")


def test_wait_for_all(client):
    futures = client.map(inc, range(10))
    done, not_done = wait(futures)
    assert (done, not_done) == (set(futures), set())
    result = wait({"x": futures[:2], "y": [futures[2]]})
    assert len(result.done) == 3
    assert wait([]) == (set(), set())
    assert wait(futures[0]).done == {futures[0]}


def test_wait_counts_failures_as_done(client):
    futures = [client.submit(inc, 1), client.submit(fail, 1)]
    assert wait(futures).done == set(futures)


def test_wait_for_the_first(client):
    slow, fast = client.submit(after, 1.0, pure=False), client.submit(after, 0.01, pure=False)
    start = time.monotonic()
    done, not_done = wait([slow, fast], return_when="FIRST_COMPLETED")
    assert time.monotonic() - start < 0.8
    assert (done, not_done) == ({fast}, {slow})


def test_wait_with_a_timeout(client):
    slow = client.submit(after, 0.5, pure=False)
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        wait([slow], timeout="50 ms")
    assert time.monotonic() - start < 0.4
    wait(slow)


def test_wait_and_cancellation(client):
    blockers = [client.submit(after, 0.2, pure=False) for _ in range(2)]
    x = client.submit(inc, 1000)
    x.cancel()
    with pytest.raises(CancelledError, match="1 of the futures"):
        wait([x, *blockers])


def test_wait_refuses_nonsense(client):
    with pytest.raises(ValueError, match="return_when="):
        wait(client.submit(inc, 1), return_when="SOMETIMES")
    with pytest.raises(TypeError, match="needs futures"):
        wait(3)


def test_wait_for_collections(client):
    assert len(wait(client.persist([kask.delayed(inc)(i) for i in range(3)])).done) == 3


def test_as_completed_gives_each_once(client):
    futures = client.map(inc, range(50))
    seen = list(as_completed(futures))
    assert set(seen) == set(futures)
    assert len(seen) == 50


def test_as_completed_order(client):
    futures = [client.submit(after, delay, delay, pure=False) for delay in (0.3, 0.05)]
    assert [future.result() for future in as_completed(futures)] == [0.05, 0.3]


def test_as_completed_with_results(client):
    pairs = list(as_completed(client.map(inc, range(5)), with_results=True))
    assert sorted(result for _, result in pairs) == [1, 2, 3, 4, 5]
    with pytest.raises(ValueError, match="bad 1"):
        list(as_completed([client.submit(fail, 1)], with_results=True))
    ((future, (kind, error, _)),) = as_completed([client.submit(fail, 1)], with_results=True, raise_errors=False)
    assert (future.status, kind, str(error)) == ("error", ValueError, "bad 1")


def test_as_completed_grows_while_it_is_used(client):
    pool = as_completed([client.submit(inc, 0)])
    results = []
    for future in pool:
        results.append(future.result())
        if results[-1] < 5:
            pool.add(client.submit(inc, future))
    assert results == [1, 2, 3, 4, 5]
    pool.update(client.map(inc, range(3)))
    assert pool.count() == 3
    assert not pool.is_empty()
    assert len(list(pool)) == 3
    assert pool.is_empty()


def test_as_completed_in_batches(client):
    futures = client.map(inc, range(30))
    wait(futures)
    pool = as_completed(futures)
    assert pool.has_ready()
    assert len(pool.next_batch()) == 30
    assert pool.next_batch(block=False) == []
    assert not pool.has_ready()
    total = 0
    for batch in as_completed(client.map(inc, range(100, 140))).batches():
        assert batch
        total += len(batch)
    assert total == 40


def test_as_completed_with_a_timeout(client):
    fast, slow = client.submit(inc, 1), client.submit(after, 0.6, pure=False)
    pool = as_completed([fast, slow], timeout=0.2)
    assert next(pool) is fast
    with pytest.raises(TimeoutError, match="1 futures were not done"):
        next(pool)
    wait(slow)


def test_as_completed_clear_and_emptiness(client):
    pool = as_completed()
    assert list(pool) == []
    pool.add(client.submit(after, 0.2, pure=False))
    pool.clear()
    assert pool.count() == 0
    with pytest.raises(TypeError, match="needs futures"):
        as_completed([3])
    with pytest.raises(TypeError, match="loop="):
        as_completed([], loop=object())


def test_as_completed_async(client):
    async def main():
        futures = client.map(inc, range(20))
        seen = [future async for future in as_completed(futures)]
        assert set(seen) == set(futures)
        results = sorted([result async for _, result in as_completed(futures, with_results=True)])
        assert results == list(range(1, 21))
        slow = client.submit(after, 0.1, pure=False)
        assert [future async for future in as_completed([slow])] == [slow]
        with pytest.raises(TimeoutError):
            async for _ in as_completed([client.submit(after, 0.4, pure=False)], timeout=0.05):
                pass

    asyncio.run(main())


def test_nothing_keeps_futures_that_were_waited_for(client):
    """Values are freed when the last reference to their future goes, not when the garbage collector comes by."""
    gc.collect()
    gc.disable()
    try:
        futures = client.map(str, range(5), pure=False)
        wait(futures)
        assert client.gather({"a": futures}) == {"a": list("01234")}
        assert len([future for future, _ in as_completed(futures, with_results=True)]) == 5
        watched = [weakref.ref(future) for future in futures]
        del futures
        assert [one() for one in watched] == [None] * 5
    finally:
        gc.enable()
