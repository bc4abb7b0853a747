"""8 GiB of values under a limit of 1 GiB: written to disk and read back, beside plain direct writes and reads.

``direct writes`` writes and reads the same number of bytes in 16 MiB pieces with ``O_DIRECT`` (as ``dd oflag=direct``
does), with nothing else going on. Kask's time includes making the values and summing them up again.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from measure import Case, Contender, Goal
from memory_watch import MemoryWatch
from work import block_sum, made

LIMIT = 2**30
TOTAL = 8 * 2**30
BLOCK = 32 * 2**20
peaks: list[float] = []


def cases() -> list[Case]:
    return [
        Case(
            name="spill",
            title="make 8 GiB under a limit of 1 GiB and read it back",
            unit="GB/s",
            higher_is_better=True,
            contenders=[Contender("kask processes", kask), Contender("direct writes", direct)],
            goals=[Goal("kask processes", 0.8, "direct writes")],
            rounds=2,
        ),
        Case(
            name="spill-peak",
            title="the same: most memory held by the worker, as a share of its limit",
            unit="of limit",
            higher_is_better=False,
            contenders=[Contender("kask processes", peak)],
            goals=[Goal("kask processes", 1.1)],
            rounds=1,
        ),
    ]


@contextlib.contextmanager
def kask() -> Iterator[Callable[[], float]]:
    from kask.distributed import Client, LocalCluster

    with LocalCluster(n_workers=1, threads_per_worker=2, memory_limit=LIMIT) as cluster, Client(cluster) as client:
        client.submit(made, 0, 4096).result()
        pids = [worker["pid"] for worker in client.scheduler_info()["workers"].values()]

        def measure() -> float:
            with MemoryWatch(lambda: pids) as watch:
                start = time.perf_counter()
                blocks = client.map(made, range(TOTAL // BLOCK), size=BLOCK, pure=False)
                sums = client.gather(client.map(block_sum, blocks, pure=False))
                again = client.gather(client.map(block_sum, blocks, pure=False))
                seconds = time.perf_counter() - start
            assert sums == again
            peaks.append(watch.peak_bytes() / LIMIT)
            return 2 * TOTAL / seconds / 1e9

        yield measure


@contextlib.contextmanager
def peak() -> Iterator[Callable[[], float]]:
    yield lambda: max(peaks)


@contextlib.contextmanager
def direct() -> Iterator[Callable[[], float]]:
    with tempfile.TemporaryDirectory(dir=spill_folder()) as folder:
        yield lambda: 2 * TOTAL / direct_seconds(Path(folder) / "data", TOTAL) / 1e9


def spill_folder() -> str:
    """A folder on the disk where Kask spills."""
    return "/var/tmp" if os.path.isdir("/var/tmp") else tempfile.gettempdir()


def direct_seconds(path: Path, total: int, piece: int = 16 * 2**20) -> float:
    """Seconds to write and read ``total`` bytes without the page cache."""
    buffer = mmap.mmap(-1, piece)
    buffer.write(os.urandom(piece))
    start = time.perf_counter()
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_DIRECT, 0o600)
    try:
        for _ in range(total // piece):
            os.write(file, buffer)
        os.lseek(file, 0, os.SEEK_SET)
        for _ in range(total // piece):
            os.readv(file, [buffer])
    finally:
        os.close(file)
        path.unlink()
    return time.perf_counter() - start
