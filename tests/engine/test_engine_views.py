"""Graphs as they are shown are graphs as they run: each task says who it is and whose results it was given."""

from __future__ import annotations

import pickle
from typing import Any, NamedTuple

import pytest

from kask.engine import Engine, GraphBuilder, Hole, Layers, Node, Parts, block_key, current_task
from kask.exceptions import GraphError
from kask.layers import GraphView


class Record(NamedTuple):
    """The result of a task: its key, and by key what it and all tasks below it were given."""

    key: str
    given: dict[str, list[str]]


def note(*arguments: Any) -> Record:
    """Lists are those of several inputs."""
    inputs = [one for argument in arguments for one in (argument if type(argument) is list else [argument])]
    given: dict[str, list[str]] = {}
    for one in inputs:
        given.update(one.given)
    task = current_task()
    assert task is not None
    return Record(task["key"], {**given, task["key"]: [one.key for one in inputs]})


def split(block: Record) -> Parts:
    return Parts([pickle.dumps(note(block))] * 2)


def merge(parts: list[Any], _: Any) -> Record:
    return note([pickle.loads(bytes(part)) for part in parts])


def take(merged: Record, _: Any) -> Record:
    return note(merged)


def name(family: str, number: int) -> str:
    return f"{family}-{number:032x}"


X, Y, Z, TREE, SHUFFLE, MADE, LAST = [
    name(family, at + 700) for at, family in enumerate(["x", "y", "z", "tree", "shuffle", "made", "last"])
]


def add_grids(builder: GraphBuilder) -> None:
    """One layer of each kind of input."""
    one, two = Hole(0), (Hole(0), Hole(1))
    builder.add_blockwise(X, note, (), [3, 2], [])
    builder.add_blockwise(Y, note, two, [3, 2], [(X, [3, 2], [0, 1]), (X, [3, 2], [("window", 0, 1, 0), "all"])])
    both = (0, [X, Y], [3, 6])
    builder.add_blockwise(
        Z, note, (one,), [6, 2], [(both, [6, 2], [("listed", 0, [5, 0, 1, 2, 3, 4, 4], [1, 2, 3, 4, 6, 7]), 1])]
    )
    builder.add_tree_reduce(TREE, note, note, (one,), (0, [Z, X], [6, 9]), [9, 2], {0: 2})
    builder.add_shuffle(SHUFFLE, split, merge, take, (one,), two, two, (1, [Y, X], [2, 4]), [3, 4], [5], [2, 3])


def shown(view: GraphView) -> dict[str, list[str]]:
    tasks = view.needed(1000)
    assert tasks is not None
    assert all(view[task.key] == task for task in tasks if task.key in view)
    return {task.key: task.inputs for task in tasks}


def test_what_is_shown_is_what_runs(engine: Engine) -> None:
    builder = GraphBuilder()
    add_grids(builder)
    # A call that makes a block, one that reads a block, and a layer that reads what calls make.
    made = Node(note, (), {}, f"made-{block_key(MADE, 0)}", "made", None)
    block = Node(Layers(lambda *_: None), (), {}, f"tree-{block_key(TREE, 1)}", "tree", None)
    call = Node(note, (made, [block]), {}, name("call", 1), "call", None)
    builder.add_nodes([made, call])
    builder.add_blockwise(LAST, note, (Hole(0), Hole(1)), [5], [(SHUFFLE, [5], [0]), (MADE, [1], [0])])
    outputs = [f"('{LAST}', 4)", call.key, f"('{TREE}', 0)", f"('{LAST}', 1)"]
    view = GraphView(builder, outputs)
    ran: dict[str, list[str]] = {}
    for record in engine.gather(engine.submit_graph(builder, outputs), timeout=60):
        ran.update(record.given)
    assert shown(view) == ran
    # Not all tasks run, but there is none beside those that are shown.
    assert set(ran) < set(view) and len(view) == len(list(view)) == 6 + 6 + 12 + 22 + (5 + 2 + 12) + 5 + 2
    assert view.dependencies == {
        X: set(),
        Y: {X},
        Z: {X, Y},
        TREE: {X, Z},
        SHUFFLE: {X, Y},
        LAST: {SHUFFLE, "made"},
        "made": set(),
        "call": {"made", TREE},
    }
    assert {layer.name: (layer.kind, layer.shape) for layer in view.layers.values()} == {
        X: ("blockwise", (3, 2)),
        Y: ("blockwise", (3, 2)),
        Z: ("blockwise", (6, 2)),
        TREE: ("tree", (22,)),
        SHUFFLE: ("shuffle", (5,)),
        LAST: ("blockwise", (5,)),
        "made": ("tasks", (1,)),
        "call": ("tasks", (1,)),
    }


def test_what_is_there_already_has_its_name(engine: Engine) -> None:
    builder = GraphBuilder()
    add_grids(builder)
    before = engine.submit_graph(builder, [f"('{X}', {i}, {j})" for i in range(3) for j in range(2)])
    later = GraphBuilder()
    later.add_blockwise(LAST, note, (Hole(0),), [2], [(X, [3, 2], ["all", 0])])
    call = Node(note, (before[3],), {}, name("call", 2), "call", None)
    later.add_nodes([call])
    outputs = [f"('{LAST}', 1)", call.key]
    ran: dict[str, list[str]] = {}
    for record in engine.gather(engine.submit_graph(later, outputs), timeout=60):
        ran.update(record.given)
    view = GraphView(later, [*outputs, before[1]])
    assert shown(view) == ran
    assert {task.family for task in view.needed(100) or ()} == {"x", "last", "call"}
    assert view.dependencies == {LAST: set(), "call": set()}


def test_what_there_is_not_is_said() -> None:
    builder = GraphBuilder()
    add_grids(builder)
    for missing in (f"('{X}', 3, 0)", f"('{LAST}', 0)", f"('{TREE}', 22)"):
        with pytest.raises(GraphError, match=r"there is no task \('.*', .*\) in the graph"):
            builder.tasks([missing])
    tasks = builder.tasks([])
    with pytest.raises(IndexError, match="has no task 6"):
        tasks.task(0, 6)
    with pytest.raises(IndexError, match="has no layer 5"):
        tasks.reads(5)
    view = GraphView(builder, [])
    assert view.needed(0) == [] and 3 not in view and f"('{SHUFFLE}', 0, 0)" not in view
    assert len([key for key in view if view[key].family == "shuffle-merge"]) == 2
    with pytest.raises(KeyError):
        view.layers[X][f"('{Y}', 0, 0)"]
