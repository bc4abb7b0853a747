"""Millions of small tasks, for hours' worth of work in minutes: ``make soak``, or ``python bench/soak.py [--tasks N]``.

Batches of 100,000 calls are submitted and gathered, on the embedded engine and on two worker processes, and the memory of
every process is noted. Fails when one of them grew by more than 1 % between the first tenth of the run and its end.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
from pathlib import Path

from work import inc

BATCH = 100_000
ALLOWED_GROWTH = 0.01


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tasks", type=int, default=10_000_000)
    tasks = parser.parse_args().tasks
    failed = False
    for name in ("embedded", "processes"):
        failed |= soak(name, tasks // BATCH)
    return int(failed)


def soak(name: str, batches: int) -> bool:
    """True when a process grew too much."""
    from kask.distributed import Client, LocalCluster

    start = time.perf_counter()
    if name == "embedded":
        with Client("embedded", threads_per_worker=2) as client:
            held = run(client, batches, [os.getpid()])
    else:
        with LocalCluster(n_workers=2, threads_per_worker=1) as cluster, Client(cluster) as client:
            workers = [worker["pid"] for worker in client.scheduler_info()["workers"].values()]
            held = run(client, batches, [os.getpid(), *workers])
    seconds = time.perf_counter() - start
    early = max(1, batches // 10)
    failed = False
    print(f"{name}: {batches * BATCH:,} tasks in {seconds:.0f} s ({batches * BATCH / seconds:,.0f}/s)")
    for pid, samples in held.items():
        before, after = samples[early], max(samples[-3:])
        growth = after / before - 1
        failed |= growth > ALLOWED_GROWTH
        role = "client" if pid == os.getpid() else "worker"
        print(
            f"  {role} {pid}: {before / 2**20:.1f} MiB after {early * BATCH:,} tasks, {after / 2**20:.1f} MiB at the end: {growth:+.2%}"
        )
    return failed


def run(client, batches: int, pids: list[int]) -> dict[int, list[int]]:
    held: dict[int, list[int]] = {pid: [] for pid in pids}
    for batch in range(batches + 1):
        numbers = range(batch * BATCH, (batch + 1) * BATCH)
        assert client.gather(client.map(inc, numbers)) == [x + 1 for x in numbers]
        gc.collect()
        for pid, samples in held.items():
            samples.append(resident(pid))
    return held


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    sys.exit(main())
