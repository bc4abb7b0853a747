"""Millions of small tasks, for hours' worth of work in minutes: ``make soak``, or ``python bench/soak.py [--tasks N]``.

Batches of 100,000 calls are submitted and gathered, on the embedded engine and on two worker processes. After each, the memory of every
process is noted, when it has rested: when no process has returned memory for half a second.
The first tenth of the run is for warming up. Growth is from the first third of the rest to the last one, each by its median. What a process
takes at rest also wanders up and down, since what lives on lies among what was freed: how far is told as well (nine tenths
of the samples of a third, the wider one). Fails when a process grew by more than 1 % and by more than it wanders.
"""

from __future__ import annotations

import argparse
import functools
import gc
import os
import statistics
import sys
import time
from array import array
from collections.abc import Sequence

from work import inc

BATCH = 100_000
ALLOWED_GROWTH = 0.01
REST_S = 0.5
LONGEST_REST_S = 5.0
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=10_000_000)
    tasks = parser.parse_args().tasks
    if tasks < 4 * BATCH:
        parser.error(f"--tasks is {tasks}; at least {4 * BATCH:,} are needed for three samples")
    failed = False
    for name in ("embedded", "processes"):
        failed |= soak(name, tasks // BATCH)
    return int(failed)


def soak(name: str, batches: int) -> bool:
    """True when a process grew too much."""
    from kask.distributed import Client, LocalCluster

    if name == "embedded":
        with Client("embedded", threads_per_worker=2) as client:
            held, seconds = run(client, batches, [os.getpid()])
    else:
        with LocalCluster(n_workers=2, threads_per_worker=1) as cluster, Client(cluster) as client:
            workers = [worker["pid"] for worker in client.scheduler_info()["workers"].values()]
            held, seconds = run(client, batches, [os.getpid(), *workers])
    failed = False
    print(f"{name}: {batches * BATCH:,} tasks in {seconds:.0f} s ({batches * BATCH / seconds:,.0f}/s)")
    for pid, samples in held.items():
        third = len(samples) // 3
        early, late = samples[:third], samples[-third:]
        before, after = statistics.median(early), statistics.median(late)
        wanders = max(spread(early), spread(late))
        failed |= after - before > max(ALLOWED_GROWTH * before, wanders)
        role = "client" if pid == os.getpid() else "worker"
        levels = f"{before / 2**20:.1f} MiB in the first third, {after / 2**20:.1f} in the last"
        print(f"  {role} {pid}: {levels}: {after / before - 1:+.2%}; wanders by {wanders / before:.2%}")
    return failed


def spread(samples: Sequence[int]) -> int:
    """How far nine tenths of the samples lie apart."""
    ordered = sorted(samples)
    outside = len(ordered) // 20
    return ordered[-1 - outside] - ordered[outside]


def run(client, batches: int, pids: list[int]) -> tuple[dict[int, array[int]], float]:
    """The samples of each process after the first tenth, and the seconds without the rests."""
    skipped = batches // 10
    # Samples that were objects would be in the way: each would keep an arena of Python's from being returned, in which there was room for it.
    held = {pid: array("q", [0] * (batches - skipped)) for pid in pids}
    seconds = 0.0
    for batch in range(1, batches + 1):
        numbers = range(batch * BATCH, (batch + 1) * BATCH)
        start = time.perf_counter()
        assert client.gather(client.map(inc, numbers)) == [x + 1 for x in numbers]
        gc.collect()
        seconds += time.perf_counter() - start
        rest(pids)
        if batch > skipped:
            for pid, samples in held.items():
                samples[batch - skipped - 1] = resident(pid)
    return held, seconds


def rest(pids: list[int]) -> None:
    """Wait until no process has returned memory for a moment: how long that takes depends on what else the machine does."""
    end = time.monotonic() + LONGEST_REST_S
    least = {pid: resident(pid) for pid in pids}
    quiet_since = time.monotonic()
    while quiet_since + REST_S > time.monotonic() < end:
        time.sleep(0.02)
        for pid in pids:
            if (now := resident(pid)) < least[pid]:
                least[pid] = now
                quiet_since = time.monotonic()


@functools.cache
def statm_of(pid: int) -> int:
    """An open file that tells the pages of a process. Opening it anew each time leaves objects behind."""
    return os.open(f"/proc/{pid}/statm", os.O_RDONLY)


def resident(pid: int) -> int:
    return int(os.pread(statm_of(pid), 200, 0).split()[1]) * PAGE_BYTES


if __name__ == "__main__":
    sys.exit(main())
