"""Describing and submitting ``(ones + 1).sum()`` over a grid of blocks: a million tasks for Kask.

For Kask the time ends when the scheduler has every task in its tables, which an answer to a question asked after the
submission proves; no task runs, because all ask for a resource that no worker has. For Dask it is the time to build
and to optimise the same expression in the client; that takes minutes for a million tasks, so it gets fewer. The unit
is the time for each task, which for Dask grows with the size of the graph: the comparison is kind to it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator

from measure import Absent, Case, Contender, Goal
from work import inc, one, total

SIDE = 695
SPLIT = 4
DASK_SIDE = 200


def cases() -> list[Case]:
    return [
        Case(
            name="large-graph",
            title="submit a blockwise and tree graph of 1,000,000 tasks",
            unit="us/task",
            higher_is_better=False,
            contenders=[Contender("kask embedded", kask_submit), Contender("dask", dask_build)],
            # One second for a million.
            goals=[Goal("kask embedded", 1.0)],
        )
    ]


def tree_nodes(side: int) -> int:
    """How many tasks combine a grid of ``side`` by ``side`` blocks; the last of them has the result."""
    nodes = 0
    while side > 1:
        side = -(-side // SPLIT)
        nodes += side * side
    return nodes


@contextlib.contextmanager
def kask_submit() -> Iterator[Callable[[], float]]:
    from kask.engine import Engine, GraphBuilder, Hole, Options

    engine = Engine.embedded(2)

    def measure() -> float:
        submitted = engine.counters()["submitted"]
        start = time.perf_counter()
        builder, never = GraphBuilder(), Options(resources={"nobody has this": 1.0})
        ones, more, name = (f"{prefix}-{number:032x}" for number, prefix in enumerate(("ones", "inc", "sum")))
        builder.add_blockwise(ones, one, (), (SIDE, SIDE), [], options=never)
        builder.add_blockwise(more, inc, (Hole(0),), (SIDE, SIDE), [(ones, (SIDE, SIDE), (0, 1))], options=never)
        builder.add_tree_reduce(name, total, total, (Hole(0),), more, (SIDE, SIDE), {0: SPLIT, 1: SPLIT}, options=never)
        futures = engine.submit_graph(builder, [f"('{name}', {tree_nodes(SIDE) - 1})"])
        tasks = engine.counters()["submitted"] - submitted
        seconds = time.perf_counter() - start
        assert tasks == builder.ntasks() > 990_000, f"{tasks} tasks were submitted"
        engine.cancel(futures, force=True, reason="the benchmark has its number")
        return 1e6 * seconds / tasks

    try:
        yield measure
    finally:
        engine.close()


@contextlib.contextmanager
def dask_build() -> Iterator[Callable[[], float]]:
    try:
        import dask
        import dask.array as da
    except ImportError:
        raise Absent("dask[array] is not installed") from None

    def measure() -> float:
        start = time.perf_counter()
        result = (da.ones((DASK_SIDE, DASK_SIDE), chunks=1) + 1).sum()
        (optimised,) = dask.optimize(result)
        tasks = len(dict(optimised.__dask_graph__()))
        return 1e6 * (time.perf_counter() - start) / tasks

    yield measure
