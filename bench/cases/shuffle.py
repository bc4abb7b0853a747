"""4 GiB of Arrow tables shuffled by a key: two worker processes with 1 GiB each, beside Dask's peer-to-peer shuffle.

Each input partition is made by a task, each output partition is reduced to its number of rows by another, so that neither
the making nor the bringing of results is what is measured. Dask's partitions are pandas frames of the same columns (its
shuffle sends them as Arrow), and its workers have no limit, since it does not finish under one of 1 GiB.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from measure import Absent, Case, Contender, Goal
from memory_watch import MemoryWatch
from work import frame, frame_rows, table, table_rows

LIMIT = 2**30
TOTAL = 4 * 2**30
ROW_BYTES = 8 * 4
PARTITIONS = (100, 1_000)
MANY = 10_000
peaks: list[float] = []


def cases() -> list[Case]:
    sizes = [
        Case(
            name=f"shuffle-{partitions}",
            title=f"shuffle 4 GiB of tables, {partitions:,} partitions, 2 processes",
            unit="s",
            higher_is_better=False,
            contenders=[
                Contender("kask, 1 GiB each", kask(partitions)),
                Contender("dask p2p, no limit", dask(partitions)),
            ],
            goals=[Goal("kask, 1 GiB each", 1 / 4, "dask p2p, no limit")],
            rounds=1,
        )
        for partitions in PARTITIONS
    ]
    many = Case(
        name="shuffle-many",
        title=f"the same with {MANY:,} partitions",
        unit="s",
        higher_is_better=False,
        contenders=[Contender("kask, 1 GiB each", kask(MANY))],
        goals=[],
        rounds=1,
    )
    held = Case(
        name="shuffle-peak",
        title="the same: most memory held by a worker, as a share of its limit",
        unit="of limit",
        higher_is_better=False,
        contenders=[Contender("kask, 1 GiB each", peak)],
        goals=[Goal("kask, 1 GiB each", 1.0)],
        rounds=1,
    )
    return [*sizes, many, held]


def kask(partitions: int) -> Callable[[], contextlib.AbstractContextManager[Callable[[], float]]]:
    @contextlib.contextmanager
    def opener() -> Iterator[Callable[[], float]]:
        import kask as kk
        from kask import shuffle
        from kask.distributed import Client, LocalCluster

        with (
            LocalCluster(n_workers=2, threads_per_worker=1, memory_limit=LIMIT) as cluster,
            Client(cluster) as client,
        ):
            pids = [worker["pid"] for worker in client.scheduler_info()["workers"].values()]
            rows = TOTAL // ROW_BYTES // partitions

            def measure() -> float:
                with MemoryWatch(lambda: pids) as watch:
                    start = time.perf_counter()
                    inputs = [kk.delayed(table)(seed, rows) for seed in range(partitions)]
                    outputs = shuffle.shuffle(inputs, on="key", npartitions=partitions)
                    counts = kk.compute([kk.delayed(table_rows)(output) for output in outputs])[0]
                    seconds = time.perf_counter() - start
                assert sum(counts) == rows * partitions
                peaks.append(watch.peak_bytes() / LIMIT)
                return seconds

            yield measure

    return opener


def dask(partitions: int) -> Callable[[], contextlib.AbstractContextManager[Callable[[], float]]]:
    @contextlib.contextmanager
    def opener() -> Iterator[Callable[[], float]]:
        try:
            import dask.dataframe as dd
            import pandas as pd
        except ImportError:
            raise Absent("dask[dataframe] is not installed") from None
        from distributed import Client, LocalCluster

        rows = TOTAL // ROW_BYTES // partitions
        with (
            LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, memory_limit=0) as cluster,
            Client(cluster) as client,
        ):
            meta = frame(0, 1).iloc[:0]
            assert isinstance(meta, pd.DataFrame)
            client.submit(frame, 0, 10).result()

            def measure() -> float:
                start = time.perf_counter()
                frames = dd.from_map(frame, range(partitions), rows=rows, meta=meta)
                shuffled = frames.shuffle("key", npartitions=partitions, shuffle_method="p2p")
                counts = shuffled.map_partitions(frame_rows, meta=(None, "int64")).compute()
                seconds = time.perf_counter() - start
                assert int(counts.sum()) == rows * partitions
                return seconds

            yield measure

    return opener


@contextlib.contextmanager
def peak() -> Iterator[Callable[[], float]]:
    yield lambda: max(peaks)
