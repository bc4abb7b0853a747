"""One GiB between the processes of one machine: from worker to worker, from client to workers, and back.

``one copy`` copies the same bytes once inside one process, into memory that is used for the first time (as all
contenders' memory is).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import contenders
from measure import Case, Contender, Goal
from work import filled, first_and_last

COUNT = 2**27
GIB = 8 * COUNT


def cases() -> list[Case]:
    return [
        Case(
            name="worker-to-worker",
            title="a 1 GiB NumPy array from one local worker process to another",
            unit="ms",
            higher_is_better=False,
            contenders=[
                Contender("kask processes", moving(contenders.kask_processes, repeats=3)),
                Contender("dask processes", moving(contenders.dask_processes, repeats=1), rounds=1),
                Contender("one copy", one_copy),
            ],
            goals=[Goal("kask processes", 5.0), Goal("kask processes", 1 / 20, "dask processes")],
        ),
        Case(
            name="scatter",
            title="scatter 1 GiB to 2 processes",
            unit="ms",
            higher_is_better=False,
            contenders=[
                Contender("kask processes", scattering(contenders.kask_processes)),
                Contender("dask processes", scattering(contenders.dask_processes), rounds=1),
                Contender("one copy", one_copy),
            ],
            goals=[Goal("kask processes", 1.3, "one copy")],
        ),
        Case(
            name="gather",
            title="gather 1 GiB from 2 processes",
            unit="ms",
            higher_is_better=False,
            contenders=[
                Contender("kask processes", gathering(contenders.kask_processes)),
                Contender("dask processes", gathering(contenders.dask_processes), rounds=1),
                Contender("one copy", one_copy),
            ],
            goals=[Goal("kask processes", 1.3, "one copy")],
        ),
    ]


@contextlib.contextmanager
def one_copy() -> Iterator[Callable[[], float]]:
    source = filled(COUNT, 1.0)

    def measure() -> float:
        start = time.perf_counter()
        source.copy()
        return 1e3 * (time.perf_counter() - start)

    yield measure


def workers_of(client: Any) -> list[str]:
    return sorted(client.scheduler_info()["workers"])


def moving(open_session: Any, repeats: int) -> Callable[[], contextlib.AbstractContextManager[Callable[[], float]]]:
    """The best of a few moves, without what a call costs that moves nothing."""

    @contextlib.contextmanager
    def opener() -> Iterator[Callable[[], float]]:
        with open_session() as session:
            yield lambda: best_move(session.system, repeats)

    def best_move(client: Any, repeats: int) -> float:
        here, there = workers_of(client)[:2]
        times = []
        for turn in range(repeats):
            small = client.submit(filled, 8, float(turn), workers=[here], pure=False)
            large = client.submit(filled, COUNT, float(turn), workers=[here], pure=False)
            small.result(), client.submit(len, large, workers=[here], pure=False).result()
            base = timed(client, small, there)
            times.append(timed(client, large, there) - base)
            del small, large
        return 1e3 * max(min(times), 1e-5)

    def timed(client: Any, future: Any, worker: str) -> float:
        start = time.perf_counter()
        first, last = client.submit(first_and_last, future, workers=[worker], pure=False).result()
        seconds = time.perf_counter() - start
        assert first == last
        return seconds

    return opener


def scattering(open_session: Any) -> Callable[[], contextlib.AbstractContextManager[Callable[[], float]]]:
    @contextlib.contextmanager
    def opener() -> Iterator[Callable[[], float]]:
        with open_session() as session:
            client = session.system
            halves = [filled(COUNT // 2, 1.0), filled(COUNT // 2, 2.0)]

            def measure() -> float:
                start = time.perf_counter()
                futures = client.scatter(halves, hash=False)
                seconds = time.perf_counter() - start
                ends = client.gather(client.map(first_and_last, futures, pure=False))
                assert ends == [(1.0, 1.0), (2.0, 2.0)]
                return 1e3 * seconds

            yield measure

    return opener


def gathering(open_session: Any) -> Callable[[], contextlib.AbstractContextManager[Callable[[], float]]]:
    @contextlib.contextmanager
    def opener() -> Iterator[Callable[[], float]]:
        with open_session() as session:
            client = session.system
            workers = workers_of(client)[:2]
            futures = [
                client.submit(filled, COUNT // 2, float(i), workers=[worker], pure=False)
                for i, worker in enumerate(workers)
            ]
            client.gather(client.map(len, futures, pure=False))

            def measure() -> float:
                start = time.perf_counter()
                arrays = client.gather(futures)
                seconds = time.perf_counter() - start
                assert [float(np.asarray(array)[-1]) for array in arrays] == [0.0, 1.0]
                return 1e3 * seconds

            yield measure

    return opener
