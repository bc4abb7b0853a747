"""Graphs of nodes, grid layers, coroutines, completion queues."""

from __future__ import annotations

import asyncio
import threading

import pytest
from engines import map_on, submit_to

from kask.engine import CompletionQueue, Engine, GraphBuilder, Hole, Node, current_task, graph_of


def inc(x):
    return x + 1


def chain(length: int) -> Node:
    node = Node(None, (0,), {}, "start", "int", None)
    for i in range(length):
        node = Node(inc, (node,), {}, f"inc-{i:032x}", "inc", None)
    return node


def test_a_very_long_chain_is_built_described_and_dropped():
    node = chain(300_000)
    described = graph_of([node])
    assert len(described) == 300_001
    assert described[1] == (f"inc-{0:032x}", "inc", ["start"])
    assert described[-1][0] == node.key
    del node


def test_chains_are_computed(engine: Engine):
    assert engine.submit_nodes([chain(3000)])[0].result(timeout=60) == 3000


def test_values_with_results_inside(engine: Engine):
    one = Node(inc, (0,), {}, "inc-" + "1" * 32, "inc", None)
    both = Node(None, ([one, {"k": one}],), {}, "both", "list", None)
    assert engine.submit_nodes([both])[0].result(timeout=10) == [1, {"k": 1}]


def grid_graph() -> tuple[GraphBuilder, list[str]]:
    builder = GraphBuilder()
    x, y, s = (f"{name}-{i:032x}" for i, name in enumerate("xys", 1))
    builder.add_blockwise(
        x,
        lambda at, add: at[0] * 10 + at[1] + add,
        (Hole(1), Hole(0)),
        [4, 3],
        [],
        items=list(range(100, 112)),
        wants_position=True,
    )
    builder.add_blockwise(
        y, lambda block, row: (block, row), (Hole(0), Hole(1)), [4, 3], [(x, [4, 3], [0, 1]), (x, [4, 3], [0, "all"])]
    )
    builder.add_tree_reduce(s, sum, sum, (Hole(0),), x, [4, 3], {0: 2, 1: 2})
    last = builder.ntasks() - 24 - 1
    return builder, [f"('{y}', 2, 1)", f"('{x}', 3, 2)", f"('{s}', {last})"]


def test_grids_and_trees(engine: Engine):
    builder, outputs = grid_graph()
    blocks = {(i, j): i * 10 + j + 100 + 3 * i + j for i in range(4) for j in range(3)}
    futures = engine.submit_graph(builder, outputs)
    assert [future.key for future in futures] == outputs
    assert engine.gather(futures, timeout=20) == [
        (blocks[2, 1], [blocks[2, j] for j in range(3)]),
        blocks[3, 2],
        sum(blocks.values()),
    ]


def test_unknown_outputs_are_refused(embedded):
    builder, outputs = grid_graph()
    with pytest.raises(ValueError, match="no task"):
        embedded.submit_graph(builder, [outputs[0].replace("2, 1", "4, 1")])


def test_coroutines_wait_side_by_side(engine: Engine):
    async def meet(n):
        await asyncio.sleep(0.05)
        return n, current_task()["key"]

    futures = map_on(engine, meet, range(50), pure=False)
    assert engine.gather(futures, timeout=20) == [(n, future.key) for n, future in enumerate(futures)]

    async def fails():
        raise ValueError("in a coroutine")

    with pytest.raises(ValueError, match="in a coroutine"):
        submit_to(engine)(fails).result(timeout=10)


def test_futures_are_awaited(engine: Engine):
    async def main():
        first = await submit_to(engine)(inc, 1)
        return first, await asyncio.gather(*map_on(engine, inc, range(20)))

    assert asyncio.run(main()) == (2, list(range(1, 21)))


def test_the_completion_queue(engine: Engine):
    queue = CompletionQueue(engine)
    futures = map_on(engine, inc, range(200), pure=False)
    queue.add(futures)
    assert queue.count() == 200
    ended = [queue.pop(20.0) for _ in futures]
    assert set(ended) == set(futures) and queue.count() == 0
    with pytest.raises(StopIteration):
        queue.pop(1.0)
    assert queue.pop_ready() == []


def test_the_queue_gives_what_ends_first(embedded):
    gate = threading.Event()
    submit, queue = submit_to(embedded), CompletionQueue(embedded)
    slow, fast = submit(gate.wait, 20), submit(inc, 1)
    woken = threading.Event()
    queue.notify(woken.set)
    queue.add([slow, fast])
    assert queue.pop(10.0) is fast
    assert woken.wait(10)
    with pytest.raises(TimeoutError):
        queue.pop(0.01)
    gate.set()
    assert queue.pop(10.0) is slow


def test_resolve(embedded):
    one = submit_to(embedded)(inc, 0)
    node = Node(inc, (one,), {}, "inc-" + "2" * 32, "inc", None)
    assert embedded.resolve({"a": [one, (one,)], "b": 5}) == {"a": [1, (1,)], "b": 5}
    assert embedded.resolve([one, node], futures_only=False) == [1, 2]


def test_scattered_values(engine: Engine):
    futures = engine.scatter([[1, 2], {"a": 1}], ["left", "right"], workers=None, broadcast=False, timeout=10.0)
    assert [future.result(timeout=10) for future in futures] == [[1, 2], {"a": 1}]
    assert submit_to(engine)(len, futures[0]).result(timeout=10) == 2
