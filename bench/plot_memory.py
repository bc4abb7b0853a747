"""Pictures of memory over time for docs/memory.md: ``make memory-plots``, or ``python bench/plot_memory.py [--gib N]``.

Runs the computations of ``grids`` on two worker processes of 1 GiB each, and once the sum of data that a client made too
fast, and draws what each worker held (``memory_watch``), what it had on disk, and its limit.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import grids
from memory_watch import MemoryWatch

LIMIT = 2**30
SIDE = 1448
OUT = Path(__file__).resolve().parent.parent / "docs" / "images"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gib", type=float, default=8.0, help="how much data each computation goes over")
    gib = parser.parse_args().gib
    grid = math.isqrt(int(gib * 2**30 / (8 * SIDE**2)))
    OUT.mkdir(exist_ok=True)
    for number, what in enumerate(grids.PLANNED):
        watch, seconds = observe(what, grid, number)
        path = OUT / f"memory-{what.replace(' ', '-')}.svg"
        draw(watch, f"{what} over {gib:.0f} GiB: {seconds:.1f} s", path)
        print(f"{what}: {seconds:.1f} s, peak {watch.peak_bytes() / LIMIT:.2f} of the limit, {path.name}")


def observe(what: str, grid: int, seed: int) -> tuple[MemoryWatch, float]:
    from kask.distributed import Client, LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, memory_limit=LIMIT) as cluster, Client(cluster) as client:
        pids = [worker["pid"] for worker in client.scheduler_info()["workers"].values()]
        with MemoryWatch(lambda: pids) as watch:
            grids.planned(client._engine, what, grid, SIDE, seed + 100)
    return watch, watch.samples[-1][0]


def draw(watch: MemoryWatch, title: str, path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 2.6), layout="constrained")
    times = [at for at, _ in watch.samples]
    for number, pid in enumerate(sorted({pid for _, held in watch.samples for pid in held})):
        axes.plot(times, [held.get(pid, 0) / 2**30 for _, held in watch.samples], label=f"worker {number}", linewidth=1)
    axes.axhline(LIMIT / 2**30, color="crimson", linestyle="--", linewidth=1, label="memory_limit")
    axes.set(title=title, xlabel="seconds", ylabel="GiB held", ylim=(0, 1.15 * LIMIT / 2**30), xlim=(0, None))
    axes.legend(loc="lower right", fontsize="small", ncols=3)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


if __name__ == "__main__":
    main()
