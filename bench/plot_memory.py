"""Pictures of memory over time for docs/memory.md: ``make memory-plots``, or ``python bench/plot_memory.py [--gib N] [--only NAME ...]``.

All workers, and the embedded engine, have a limit of 1 GiB. What is drawn, with the amounts that the default of 16 GiB gives (others are
in proportion):

- the four computations of ``grids`` over 16 GiB of blocks, by two workers: ``sum``, ``standard-deviation``, ``transpose-and-add``, ``overlap``;
- ``shuffle``: 4 GiB of Arrow tables by a key, by two workers;
- ``spill``: 8 GiB of values made and kept by one worker, then all of them read back, twice;
- ``killed``: the same by two workers, one of which is killed while values are read back, with the memory of its replacement;
- ``embedded``: ``overlap`` over 16 GiB by the embedded engine, in a process of its own.

Each picture has what every process held (``memory_watch``), the limit, and, on the right-hand axis, the bytes in files below the folder of
the workers. Folders are made on the disk, in /var/tmp.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import multiprocessing
import os
import re
import signal
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grids
from cases.spill import spill_folder
from memory_watch import DiskWatch, MemoryWatch
from work import block_sum, made, table, table_rows

LIMIT = 2**30
SIDE = 1448  # blocks of 16 MiB
BLOCK = 32 * 2**20
TABLES, ROW_BYTES = 1000, 8 * 4
POINTS = 300  # of each line
OUT = Path(__file__).resolve().parent.parent / "docs" / "images"


@dataclass
class Run:
    """What was seen while something was computed."""

    memory: MemoryWatch
    disk: DiskWatch
    title: str = ""
    counters: dict[str, int] | None = None
    killed: tuple[int, float] | None = None  # which process, and when

    @property
    def seconds(self) -> float:
        return self.memory.samples[-1][0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gib", type=float, default=16.0, help="how much data the array computations go over")
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=list(PICTURES), help=f"of {', '.join(PICTURES)}")
    arguments = parser.parse_args()
    OUT.mkdir(exist_ok=True)
    for name in arguments.only or PICTURES:
        run = PICTURES[name](arguments.gib)
        path = OUT / f"memory-{name}.svg"
        draw(run, path)
        counters = {key: run.counters[key] for key in ("memory_deaths", "recomputed")} if run.counters else {}
        peak = run.memory.peak_bytes() / LIMIT
        print(f"{path.name}: {run.title}, {run.seconds:.1f} s, peak {peak:.2f} of the limit, {counters}", flush=True)


# -- what is run -------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def workers(count: int, threads: int) -> Iterator[tuple[Any, Any, Run]]:
    """A cluster and a client, whose workers are watched."""
    from kask.distributed import Client, LocalCluster

    with (
        tempfile.TemporaryDirectory(dir=spill_folder()) as folder,
        LocalCluster(count, threads_per_worker=threads, memory_limit=LIMIT, local_directory=folder) as cluster,
        Client(cluster) as client,
    ):
        client.gather(client.map(len, ["", "a", "b", "c"]))

        def pids() -> list[int]:
            return [worker["pid"] for worker in cluster.workers.values() if worker["pid"]]

        with MemoryWatch(pids) as memory, DiskWatch(Path(folder)) as disk:
            run = Run(memory, disk)
            yield cluster, client, run
        run.counters = client.counters()


def blocks_of(gib: float) -> int:
    """How many blocks a side of the square has that holds so much."""
    return math.isqrt(int(gib * 2**30 / (8 * SIDE**2)))


def grid(what: str) -> Callable[[float], Run]:
    def observe(gib: float) -> Run:
        with workers(2, 1) as (_, client, run):
            grids.planned(client._engine, what, blocks_of(gib), SIDE, seed=100)
        run.title = f"{what} over {gib:g} GiB"
        return run

    return observe


def shuffle(gib: float) -> Run:
    import kask
    from kask import shuffle

    gib /= 4
    rows = int(gib * 2**30) // ROW_BYTES // TABLES
    with workers(2, 1) as (_, _, run):
        outputs = shuffle.shuffle([kask.delayed(table)(seed, rows) for seed in range(TABLES)], "key", TABLES)
        counts = kask.compute([kask.delayed(table_rows)(output) for output in outputs])[0]
    assert sum(counts) == rows * TABLES
    run.title = f"shuffle of {gib:g} GiB of tables"
    return run


def spill(gib: float) -> Run:
    gib /= 2
    with workers(1, 2) as (_, client, run):
        blocks = client.map(made, range(int(gib * 2**30) // BLOCK), size=BLOCK)
        sums, again = (client.gather(client.map(block_sum, blocks, pure=False)) for _ in range(2))
    assert sums == again
    run.title = f"{gib:g} GiB made, and read back twice"
    return run


def killed(gib: float) -> Run:
    from kask.distributed import wait

    gib /= 2
    with workers(2, 1) as (cluster, client, run):
        blocks = client.map(made, range(int(gib * 2**30) // BLOCK), size=BLOCK)
        wait(blocks)
        sums = client.gather(client.map(block_sum, blocks, pure=False))
        again = client.map(block_sum, blocks, pure=False)
        wait(again[: len(again) // 4])
        victim = min(worker["pid"] for worker in cluster.workers.values())
        run.killed = victim, run.memory.seconds()
        os.kill(victim, signal.SIGKILL)
        assert client.gather(again) == sums
    run.title = f"{gib:g} GiB made and read back twice, a worker killed meanwhile"
    return run


def embedded(gib: float) -> Run:
    with (
        tempfile.TemporaryDirectory(dir=spill_folder()) as folder,
        ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool,
    ):
        pid = pool.submit(os.getpid).result()
        with MemoryWatch(lambda: [pid]) as memory, DiskWatch(Path(folder)) as disk:
            counters = pool.submit(embedded_overlap, blocks_of(gib), folder).result()
    return Run(memory, disk, f"overlap over {gib:g} GiB, embedded", counters)


def embedded_overlap(side: int, folder: str) -> dict[str, int]:
    from kask import config
    from kask.distributed import Client

    with (
        config.set({"embedded.memory_limit": LIMIT, "memory.spill_directory": folder}),
        Client("embedded", threads_per_worker=2) as client,
    ):
        grids.planned(client._engine, "overlap", side, SIDE, seed=100)
        return client.counters()


PICTURES: dict[str, Callable[[float], Run]] = {what.replace(" ", "-"): grid(what) for what in grids.PLANNED}
PICTURES |= {"shuffle": shuffle, "spill": spill, "killed": killed, "embedded": embedded}


# -- how it is drawn ---------------------------------------------------------------------------------------------------


def draw(run: Run, path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    # Text stays text, and the same samples give the same file.
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "kask", "font.family": "sans-serif"})
    figure, axes = pyplot.subplots(figsize=(7, 2.8), layout="constrained")
    disk = axes.twinx()
    filled = thinned(run.disk.samples, run.seconds)
    disk.fill_between([at for at, _ in filled], [gib for _, gib in filled], color="0.88", linewidth=0)
    disk.set(ylabel="GiB on disk (grey)", ylim=(0, max(1.0, 1.25 * max((gib for _, gib in filled), default=0.0))))
    axes.set_zorder(disk.get_zorder() + 1)
    axes.patch.set_visible(False)
    for pid, label in labels(run).items():
        held = [(at, held[pid]) for at, held in run.memory.samples if held.get(pid)]
        line = thinned(held, run.seconds)
        axes.plot([at for at, _ in line], [gib for _, gib in line], label=label, linewidth=1)
    axes.axhline(LIMIT / 2**30, color="crimson", linestyle="--", linewidth=1, label="memory limit")
    if run.killed is not None:
        axes.axvline(run.killed[1], color="black", linestyle=":", linewidth=1, label="SIGKILL")
    title = f"{run.title}: {run.seconds:.0f} s"
    axes.set(title=title, xlabel="seconds", ylabel="GiB held", ylim=(0, 1.3 * LIMIT / 2**30), xlim=(0, run.seconds))
    axes.legend(loc="upper center", fontsize="small", ncols=5, frameon=False)
    text = io.StringIO()
    figure.savefig(text, metadata={"Date": None})
    pyplot.close(figure)
    # A hundredth of a point is more than can be seen, and every viewer has a font.
    short = re.sub(r"(\d\.\d\d)\d+", r"\1", text.getvalue())
    path.write_text(re.sub(r"font-family: [^;]*;", "font-family: sans-serif;", short))


def labels(run: Run) -> dict[int, str]:
    """What each process is called, in the order in which they were seen first."""
    pids = list(dict.fromkeys(pid for _, held in run.memory.samples for pid in held if held[pid]))
    first = {pid for _, held in run.memory.samples[:1] for pid in held}
    if len(pids) == 1:
        return {pids[0]: "process"}
    return {pid: f"worker {number}" if pid in first else "its replacement" for number, pid in enumerate(pids)}


def thinned(samples: list[tuple[float, int]], seconds: float) -> list[tuple[float, float]]:
    """The largest sample of each of ``POINTS`` equal parts of the time, so that no peak is lost, in GiB."""
    largest: dict[int, tuple[float, int]] = {}
    for at, bytes_ in samples:
        part = int(at / seconds * POINTS)
        if part not in largest or bytes_ > largest[part][1]:
            largest[part] = at, bytes_
    return [(at, bytes_ / 2**30) for at, bytes_ in largest.values()]


if __name__ == "__main__":
    main()
