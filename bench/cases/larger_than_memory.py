"""Four computations over 16 GiB of blocks by two worker processes of 1 GiB each, beside plain loops over the same data.

See ``grids`` for the computations. The loops hold a few blocks at a time and use files for what they need twice.
"""

from __future__ import annotations

import contextlib
import itertools
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grids
from cases.spill import spill_folder
from measure import Case, Contender, Goal
from memory_watch import MemoryWatch

LIMIT = 2**30
GRID, SIDE = 32, 1448
peaks: dict[str, float] = {}
answers: dict[str, float] = {}
seeds = itertools.count(1)


def cases() -> list[Case]:
    timed = [
        Case(
            name=f"larger-than-memory {what}",
            title=f"{what} over 16 GiB, two workers of 1 GiB",
            unit="s",
            higher_is_better=False,
            contenders=[Contender("kask processes", kask(what)), Contender("plain loop", loop(what))],
            goals=[Goal("kask processes", 1.5, "plain loop")],
            rounds=1,
        )
        for what in grids.PLANNED
    ]
    held = Case(
        name="larger-than-memory peak",
        title="the same: most memory held by a worker, as a share of its limit",
        unit="of limit",
        higher_is_better=False,
        contenders=[Contender(what, peak(what)) for what in grids.PLANNED],
        goals=[Goal(what, 1.0) for what in grids.PLANNED],
        rounds=1,
    )
    return [*timed, held]


def kask(what: str) -> Callable[[], contextlib.AbstractContextManager[Callable[[], float]]]:
    @contextlib.contextmanager
    def opener() -> Iterator[Callable[[], float]]:
        from kask.distributed import Client, LocalCluster

        with (
            LocalCluster(n_workers=2, threads_per_worker=1, memory_limit=LIMIT) as cluster,
            Client(cluster) as client,
        ):
            pids = [worker["pid"] for worker in client.scheduler_info()["workers"].values()]

            def measure() -> float:
                with MemoryWatch(lambda: pids) as watch:
                    start = time.perf_counter()
                    result = grids.planned(client._engine, what, GRID, SIDE, next(seeds))
                    seconds = time.perf_counter() - start
                peaks[what] = watch.peak_bytes() / LIMIT
                check(what, result)
                return seconds

            yield measure

    return opener


def loop(what: str) -> Callable[[], contextlib.AbstractContextManager[Callable[[], float]]]:
    @contextlib.contextmanager
    def opener() -> Iterator[Callable[[], float]]:
        with tempfile.TemporaryDirectory(dir=spill_folder()) as folder:

            def measure() -> float:
                start = time.perf_counter()
                result = grids.looped(what, GRID, SIDE, Path(folder))
                seconds = time.perf_counter() - start
                check(what, result)
                return seconds

            yield measure

    return opener


def check(what: str, result: float) -> None:
    """Whoever comes second must have the same answer, but for rounding."""
    other = answers.setdefault(what, result)
    assert abs(other - result) <= 1e-9 * abs(other), f"{what}: {result} and {other}"


def peak(what: str) -> Callable[[], contextlib.AbstractContextManager[Callable[[], float]]]:
    @contextlib.contextmanager
    def opener() -> Iterator[Callable[[], float]]:
        yield lambda: peaks[what]

    return opener
