"""``Client(asynchronous=True)``."""

from __future__ import annotations

import asyncio
import time

import pytest

import kask
from kask.distributed import Client, LocalCluster, as_completed, wait
from kask.exceptions import ClientClosedError


def inc(x):
    return x + 1


@pytest.fixture
def connect(size, cluster):
    """Makes an asynchronous client of this size."""
    return lambda: Client("embedded" if cluster is None else cluster, asynchronous=True)


def test_everything_can_be_awaited(connect):
    async def main():
        async with connect() as client:
            assert client.asynchronous
            x = client.submit(inc, 1)
            assert await x == 2
            assert await client.gather(client.map(inc, range(10))) == list(range(1, 11))
            placed = await client.scatter([1, 2])
            assert await client.submit(sum, placed) == 3
            assert await client.compute(kask.delayed(inc)(1)) == 2
            assert await client.compute(kask.delayed(inc)(1), sync=True) == 2
            assert await client.get({"x": (inc, 1)}, "x") == 2
            (done, not_done) = await wait([x])
            assert (done, not_done) == ({x}, set())
            assert set(await client.who_has(x)) == {x.key}
            info = await client.scheduler_info()
            assert set(await client.nthreads()) == set(info["workers"])
            assert set(await client.run(inc, 1)) == set(info["workers"])
            await client.wait_for_workers(1)
            await client.cancel(client.submit(time.sleep, 0.01))
            assert len([f async for f in as_completed(client.map(inc, range(5)))]) == 5
            with pytest.raises(ZeroDivisionError):
                await client.submit(lambda: 1 / 0)
        assert client.status == "closed"

    asyncio.run(main())


def test_waiting_leaves_the_loop_free(connect):
    async def main():
        async with connect() as client:
            ticks = 0

            async def tick():
                nonlocal ticks
                while True:
                    await asyncio.sleep(0.005)
                    ticks += 1

            ticker = asyncio.create_task(tick())
            await client.gather([client.submit(time.sleep, 0.1, pure=False)])
            ticker.cancel()
            assert ticks > 3

    asyncio.run(main())


def test_many_waits_at_once(connect):
    async def main():
        async with connect() as client:
            x = client.submit(time.sleep, 0.2, pure=False)
            waits = [asyncio.create_task(client.gather([x])) for _ in range(50)]
            y = client.submit(inc, 1)
            assert await client.gather(y) == 2
            assert await asyncio.gather(*waits) == [[None]] * 50

    asyncio.run(main())


def test_awaiting_the_client_itself(connect):
    async def main():
        client = await connect()
        assert await client.submit(inc, 1) == 2
        await client.close()
        with pytest.raises(ClientClosedError):
            client.submit(inc, 1)

    asyncio.run(main())


def test_before_it_is_awaited():
    client = Client("embedded", asynchronous=True)
    assert client.status == "connecting"
    with pytest.raises(ClientClosedError, match="not connected") as caught:
        client.submit(inc, 1)
    assert "await" in caught.value.hint
    with pytest.raises(Exception, match="async with"):
        client.__enter__()


def test_an_asynchronous_cluster():
    async def main():
        async with (
            LocalCluster(n_workers=1, threads_per_worker=1, processes=False, asynchronous=True) as cluster,
            Client(cluster, asynchronous=True) as client,
        ):
            assert await client.submit(inc, 1) == 2
            await cluster.scale(2)
            await client.wait_for_workers(2, timeout=20)

    asyncio.run(main())


def test_a_wait_that_is_given_up(connect):
    async def main():
        async with connect() as client:
            slow = client.submit(time.sleep, 0.3, pure=False)
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(client.gather([slow]), 0.05)
            assert await client.submit(inc, 1) == 2

    asyncio.run(main())
