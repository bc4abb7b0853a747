"""Graphs of nodes, grid layers, coroutines, completion queues."""

from __future__ import annotations

import asyncio
import threading

import pytest
from engines import map_on, submit_to

from kask.engine import CompletionQueue, Engine, GraphBuilder, Hole, Interval, Node, Parts, current_task
from kask.exceptions import GraphError


def inc(x):
    return x + 1


def chain(length: int) -> Node:
    node = Node(None, (0,), {}, "start", "int", None)
    for i in range(length):
        node = Node(inc, (node,), {}, f"inc-{i:032x}", "inc", None)
    return node


def test_a_very_long_chain_is_built_described_and_dropped():
    node = chain(300_000)
    builder = GraphBuilder()
    builder.add_nodes([node])
    described = builder.tasks([node.key]).needed(300_001)
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
    return builder, [f"('{y}', 2, 1)", f"('{x}', 3, 2)", f"('{s}', 0)"]


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


def test_a_later_graph_reads_a_tree(engine: Engine):
    x, s, y, t = (f"{name}-{i:032x}" for i, name in enumerate("xsyt", 16))
    builder = GraphBuilder()
    builder.add_blockwise(x, lambda at: at[0] * 10 + at[1], (Hole(0),), [5, 3], [], wants_position=True)
    # Three results and, for each, two levels of nodes below them.
    builder.add_tree_reduce(s, sum, sum, (Hole(0),), x, [5, 3], {0: 2})
    assert builder.ntasks() == 15 + 3 * (1 + 3 + 2)
    sums = engine.submit_graph(builder, [f"('{s}', {i})" for i in range(3)])
    expected = [sum(i * 10 + j for i in range(5)) for j in range(3)]
    assert engine.gather(sums, timeout=20) == expected

    later = GraphBuilder()
    later.add_blockwise(
        y, lambda one, row: (one, row), (Hole(0), Hole(1)), [1, 3], [(s, [1, 3], [0, 1]), (s, [1, 3], [0, "all"])]
    )
    later.add_tree_reduce(t, sum, sum, (Hole(0),), s, [1, 3], {0: 2, 1: 2})
    futures = engine.submit_graph(later, [f"('{y}', 0, 2)", f"('{t}', 0)"])
    assert engine.gather(futures, timeout=20) == [(expected[2], expected), sum(expected)]


def test_grids_of_several_layers_are_read_as_one(engine: Engine):
    builder = GraphBuilder()
    x, y, z = (f"{name}-{i:032x}" for i, name in enumerate("xyz", 40))
    builder.add_blockwise(x, lambda at: ("x", *at), (Hole(0),), [2, 1], [], wants_position=True)
    builder.add_blockwise(y, lambda at: ("y", *at), (Hole(0),), [2, 2], [], wants_position=True)
    both = (1, [x, y, x], [1, 3, 4])
    reads = [(both, [2, 4], [0, 1]), (both, [2, 4], [0, ("window", 1, 1, 0)])]
    builder.add_blockwise(z, lambda one, two: (one, two), (Hole(0), Hole(1)), [2, 4], reads)
    futures = engine.submit_graph(builder, [f"('{z}', 1, {j})" for j in range(4)])
    row = [("x", 1, 0), ("y", 1, 0), ("y", 1, 1), ("x", 1, 0)]
    expected = [(block, row[max(0, j - 1) : j + 1]) for j, block in enumerate(row)]
    assert engine.gather(futures, timeout=20) == expected


def test_parts_that_make_up_no_grid_are_refused(engine: Engine):
    x, z = f"x-{44:032x}", f"z-{45:032x}"
    builder = GraphBuilder()
    builder.add_blockwise(x, lambda at: at, (Hole(0),), [2], [], wants_position=True)
    builder.add_blockwise(z, abs, (Hole(0),), [3], [((0, [x, x], [2, 4]), [3], [0])])
    with pytest.raises(GraphError, match="reads 2 layers as one grid of 3 blocks along axis 0"):
        engine.submit_graph(builder, [f"('{z}', 1)"])[0].result(timeout=20)
    with pytest.raises(TypeError, match="an input is the name of a layer, or"):
        builder.add_blockwise(z, abs, (Hole(0),), [3], [((0, x), [3], [0])])


def test_holes_of_lists_are_filled_where_nothing_is_read(engine: Engine):
    """The only input of a task that has no position and no item."""
    builder = GraphBuilder()
    x, empty, none, without, tree = (f"{name}-{i:032x}" for i, name in enumerate("xenwt", 60))
    builder.add_blockwise(x, lambda at: at[0], (Hole(0),), [3], [], wants_position=True)
    # Along an axis of length 0 there is a block without elements; what else has no elements is made of no blocks.
    nothing = Interval([0, 0, 0], [0, 0])
    builder.add_blockwise(empty, list, (Hole(0),), [2], [(x, [3], [("interval", 0, nothing)])])
    builder.add_blockwise(none, list, (Hole(0),), [2], [(x, [3], [("interval", 0, Interval([1, 1, 1], [0, 3]))])])
    builder.add_blockwise(without, list, (Hole(0),), [2], [(x, [3], [("listed", 0, [], [0, 0])])])
    builder.add_tree_reduce(tree, sum, sum, (Hole(0),), x, [3], {0: 2})
    outputs = [f"('{name}', {i})" for name in (empty, none, without) for i in range(2)]
    futures = engine.submit_graph(builder, [*outputs, f"('{tree}', 0)"])
    assert engine.gather(futures, timeout=20) == [[0], [0], [], [0, 1, 2], [], [], 3]


def sort_by_remainder(x: str, outputs: int, groups: list[int]) -> tuple[GraphBuilder, str]:
    """Numbers of ten per block; output ``j`` is all of them that leave ``j`` when divided by the number of outputs."""
    ends = [sum(groups[: i + 1]) for i in range(len(groups))]
    name = f"s-{outputs:032x}"

    def split(block, at):
        assert block[0] == (at[0] * 2 + at[1]) * 10
        group_of = [next(g for g, end in enumerate(ends) if j < end) for j in range(outputs)]
        return Parts([bytes(n for n in block if group_of[n % outputs] == g) for g in range(len(groups))])

    def merge(parts, at):
        return at[0], [n for part in parts for n in bytes(part)]

    def take(merged, at):
        group, numbers = merged
        return [n for n in numbers if n % outputs == ends[group] - groups[group] + at[0]]

    builder = GraphBuilder()
    builder.add_blockwise(
        x, lambda at: [(at[0] * 2 + at[1]) * 10 + i for i in range(10)], (Hole(0),), [3, 2], [], wants_position=True
    )
    holes = (Hole(0), Hole(1))
    builder.add_shuffle(
        name, split, merge, take, holes, holes, holes, x, [3, 2], [outputs], groups, wants_position=True
    )
    return builder, name


def test_shuffles(engine: Engine):
    builder, name = sort_by_remainder(f"x-{30:032x}", 7, [3, 1, 3])
    futures = engine.submit_graph(builder, [f"('{name}', {j})" for j in range(7)])
    assert engine.gather(futures, timeout=30) == [[n for n in range(60) if n % 7 == j] for j in range(7)]
    # One output, read by a later graph that has not the shuffle.
    y = f"y-{31:032x}"
    later = GraphBuilder()
    later.add_blockwise(y, sum, (Hole(0),), [7], [(name, [7], [0])])
    (total,) = engine.submit_graph(later, [f"('{y}', 4)"])
    assert total.result(timeout=20) == sum(n for n in range(60) if n % 7 == 4)


def test_only_the_groups_that_are_wanted_are_merged(engine: Engine):
    builder, name = sort_by_remainder(f"x-{32:032x}", 5, [2, 2, 1])
    before = engine.counters()["finished"]
    (future,) = engine.submit_graph(builder, [f"('{name}', 4)"])
    assert future.result(timeout=20) == [n for n in range(60) if n % 5 == 4]
    assert engine.counters()["finished"] - before == 6 + 6 + 1 + 1


def test_what_a_shuffle_can_be():
    def add(outputs, groups):
        builder = GraphBuilder()
        holes = [(Hole(0), Hole(1))] * 3
        builder.add_shuffle(f"s-{1:032x}", list, list, list, *holes, f"x-{2:032x}", [4, 2], outputs, groups)
        return builder.ntasks()

    assert add([10], 3) == 10 + 3 + 8
    assert add([2, 5], [4, 4, 2]) == 10 + 3 + 8
    assert add([0], 0) == 8
    with pytest.raises(ValueError, match="10 outputs cannot be in 11 groups"):
        add([10], 11)
    with pytest.raises(ValueError, match="10 outputs cannot be in 0 groups"):
        add([10], 0)
    with pytest.raises(TypeError, match="number of outputs of each"):
        add([10], "three")


def test_the_groups_of_a_shuffle_are_its_outputs(embedded):
    builder = GraphBuilder()
    x, s = (f"{name}-{i:032x}" for i, name in enumerate("xs", 20))
    builder.add_blockwise(x, lambda at: at[0], (Hole(0),), [3], [], wants_position=True)
    builder.add_shuffle(s, list, list, list, (Hole(0),), (Hole(0),), (Hole(0),), x, [3], [5], [2, 2])
    (future,) = embedded.submit_graph(builder, [f"('{s}', 4)"])
    with pytest.raises(Exception, match=r"groups of shuffle s-\w+ have 4 outputs together, but it has 5"):
        future.result(timeout=10)


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
