"""What ``cases/arrays.py`` measures: ``python bench/array_programs.py NAME SYSTEM [SIZE ...]``, each in a process of its own.

A program prints one line of JSON: the seconds that its computation took, without imports and without starting a cluster,
and the most memory that the process held. The numbers are random, so that they do not compress, and are made
block by block by a function that no optimiser can look into.
"""

from __future__ import annotations

import contextlib
import json
import logging
import resource
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np


def module(system: str) -> Any:
    """``kask.array`` or ``dask.array``."""
    import importlib

    return importlib.import_module(f"{system}.array")


@contextlib.contextmanager
def worker(system: str, memory_limit: int) -> Iterator[Any]:
    """A worker process of two threads with a memory limit, and a client of it."""
    if system == "kask":
        from kask.distributed import Client, LocalCluster

        options: dict[str, Any] = {}
    else:
        from distributed import Client, LocalCluster

        options = {"dashboard_address": None, "silence_logs": logging.CRITICAL}
    with (
        LocalCluster(n_workers=1, threads_per_worker=2, memory_limit=memory_limit, **options) as cluster,
        Client(cluster) as client,
    ):
        yield client


def random_block(shape: tuple[int, ...], position: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(position).random(shape)


def made(block_info: Any = None) -> np.ndarray:
    info = block_info[None]
    return random_block(info["chunk-shape"], info["chunk-location"])


# -- the programs: each returns seconds


def matmul(system: str, side: int, chunk: int) -> float:
    """The product of two square matrices that are in memory."""
    a, b = (np.random.default_rng(seed).random((side, side)) for seed in (1, 2))
    # The threads of the BLAS are started by its first call.
    np.matmul(a[:500, :500], b[:500, :500])
    if system == "numpy":
        start = time.perf_counter()
        a @ b
        return time.perf_counter() - start
    xp = module(system)
    start = time.perf_counter()
    product = (xp.from_array(a, chunks=chunk) @ xp.from_array(b, chunks=chunk)).compute()
    seconds = time.perf_counter() - start
    np.testing.assert_allclose(product[:3], a[:3] @ b)
    return seconds


def small_chunks(system: str, side: int) -> float:
    """``(g + 1).sum()`` where each element is a chunk."""
    xp = module(system)
    if system == "kask":
        # Threads are started by what is computed first.
        xp.ones(2, chunks=1).sum().compute()
    start = time.perf_counter()
    total = (xp.ones((side, side), chunks=1) + 1).sum().compute()
    seconds = time.perf_counter() - start
    assert total == 2 * side * side
    return seconds


def description(system: str, side: int) -> float:
    """The same, described and not computed; the best of a few, as the first imports what it needs."""
    xp = module(system)
    seconds = []
    for extra in range(5 if system == "kask" else 1):
        start = time.perf_counter()
        total = (xp.ones((side, side + extra), chunks=1) + 1).sum()
        seconds.append(time.perf_counter() - start)
        assert total.shape == ()
    return min(seconds)


def rechunk(system: str, side: int, chunk: int, memory_limit: int) -> float:
    """Rows to columns: blocks of whole rows become blocks of whole columns."""
    xp = module(system)
    with worker(system, memory_limit):
        chunks = xp.core.normalize_chunks((chunk, side), (side, side))
        start = time.perf_counter()
        rows = xp.map_blocks(made, chunks=chunks, dtype=float, meta=np.empty((0, 0)))
        columns = rows.rechunk((side, chunk))
        sums = columns.map_blocks(column_sums, drop_axis=0, dtype=float).compute()
        seconds = time.perf_counter() - start
    assert sums.shape == (side,) and abs(sums.mean() - side / 2) < side / 100
    return seconds


def column_sums(block: np.ndarray) -> np.ndarray:
    return block.sum(axis=0)


def anomaly(system: str, days: int, latitudes: int, longitudes: int, chunk: int, memory_limit: int) -> float:
    """How far each day is from the mean of its day of the year; the mean square of that."""
    import pandas as pd
    import xarray as xr

    xp = module(system)
    with worker(system, memory_limit), xr.set_options(chunk_manager=system):
        chunks = xp.core.normalize_chunks((chunk, latitudes, longitudes), (days, latitudes, longitudes))
        start = time.perf_counter()
        values = xp.map_blocks(made, chunks=chunks, dtype=float, meta=np.empty((0, 0, 0)))
        time_axis = pd.date_range("2001-01-01", periods=days)
        ds = xr.Dataset({"t": (("time", "lat", "lon"), values)}, coords={"time": time_axis})
        groups = ds.groupby("time.dayofyear")
        found = float(((groups - groups.mean()) ** 2).mean().t.compute())
        seconds = time.perf_counter() - start
    # The variance of uniform numbers, less what goes into the means.
    years = days / 365.25
    assert abs(found - (1 - 1 / years) / 12) < 0.002, found
    return seconds


PROGRAMS: dict[str, Callable[..., float]] = {
    "matmul": matmul,
    "small-chunks": small_chunks,
    "description": description,
    "rechunk": rechunk,
    "anomaly": anomaly,
}


def main() -> int:
    name, system, *sizes = sys.argv[1:]
    seconds = PROGRAMS[name](system, *map(int, sizes))
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"seconds": seconds, "peak_bytes": peak}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
