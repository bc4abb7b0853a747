"""The graphs of arrays, to be looked at: ``x.dask`` and ``visualize``. What Rust expands is the measure."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from against_numpy import nothing_runs

import kask
import kask.array as ka
from kask.base import Work, graph_view

MATRIX = np.arange(60.0).reshape(6, 10)


def double(block: Any) -> Any:
    return block * 2


def by_rust(collections: list[Any], optimized: bool) -> Counter[str]:
    """Tasks and inputs of each family."""
    work = Work(collections, True, None, optimize_graph=optimized)
    keys = [output for outputs in work.outputs for output in outputs if isinstance(output, str)]
    found: Counter[str] = Counter()
    with work.lowering():
        for family, _, tasks, inputs, *_ in work.builder.explain(keys, 1, 1, 0)["layers"]:
            found[family] += tasks
            found[f"inputs of {family}"] += inputs
    return found


def as_seen(collections: list[Any], optimized: bool) -> Counter[str]:
    tasks = graph_view(collections, True, optimized).needed(1_000_000)
    assert tasks is not None
    found: Counter[str] = Counter()
    seen: set[str] = set()
    for task in tasks:
        # Inputs come before what reads them.
        assert seen.issuperset(task.inputs) and task.key not in seen
        seen.add(task.key)
        found[task.family] += 1
        found[f"inputs of {task.family}"] += len(task.inputs)
    return found


def arrays() -> dict[str, list[Any]]:
    x = ka.from_array(MATRIX, chunks=((1, 0, 3, 2), (4, 6)))
    cut = x.rechunk((1, 1))
    value = kask.delayed(np.ones)((2, 3))
    mixed = ka.concatenate([ka.from_delayed(value, (2, 3), float), ka.ones((2, 3), chunks=2)])
    return {
        "elementwise": [np.sqrt(x + 1) * 2],
        "product": [x.T @ x],
        "slices": [x[::-1, 3:7:2].T],
        "trees": [cut.sum(axis=1, split_every=3), x.std(split_every=2), cut.mean()],
        "tree with kept axis": [(cut.max(axis=0, split_every=2) + 1).sum()],
        "rechunk": [x.rechunk((5, 3)), cut.rechunk((4, 4))],
        "concatenate": [ka.concatenate([x, x * 2])],
        "lists": [x[[3, 1, 2, 5]]],
        "sort": [ka.sort(ka.random.default_rng(1).random(100, chunks=7))],
        "overlap": [ka.map_overlap(double, x.rechunk((2, 5)), depth=1, boundary="reflect")],
        "scan": [ka.cumsum(x.ravel())],
        "no axes": [x.sum() + 1],
        "mixture": [mixed.sum(), kask.delayed(len)(mixed), mixed.to_delayed()[1, 0], value],
        "delayed": [kask.delayed(sum)([kask.delayed(abs)(i) for i in range(3)])],
    }


@pytest.mark.parametrize("name", list(arrays()))
@pytest.mark.parametrize("limit", [1, 2**30], ids=["shuffle", "direct"])
def test_tasks_and_inputs_are_those_that_rust_expands(name: str, limit: int) -> None:
    with kask.config.set({"array.chunk_size_bytes": limit}), nothing_runs():
        work = arrays()[name]
        for optimized in (False, True):
            expected = by_rust(work, optimized)
            expected -= Counter()
            assert as_seen(work, optimized) == expected


def test_kept_blocks_are_tasks_without_inputs() -> None:
    kept = ka.from_array(MATRIX, chunks=5).persist()
    tasks = graph_view([kept + 1], True, True).needed(100)
    assert Counter(task.family for task in tasks) == {"array": 4, "add": 4}
    # The same blocks as results and as what is read.
    assert sorted(graph_view([kept, kept + 1], True, True).needed(100)) == sorted(tasks)
    (value,) = kask.persist(kask.delayed(abs)(-1))
    tasks = graph_view([value + 1, value], True, True).needed(100)
    assert [(task.key == value.key, task.family, len(task.inputs)) for task in tasks] == [
        (True, "abs", 0),
        (False, "add", 1),
    ]
    alone = ka.from_delayed(kask.delayed(np.ones)(3), (3,), float).persist()
    tasks = graph_view([alone.sum()], True, True).needed(100)
    assert [len(task.inputs) for task in tasks] == [0, 1]


def test_the_graph_is_a_mapping() -> None:
    with nothing_runs():
        x = ka.ones((4, 6), chunks=(2, 3))
        y = (x + 1).sum(axis=0, split_every=2)
        graph = y.dask
    assert len(graph) == len(list(graph)) == len(set(graph.keys())) == 4 + 4 + 4 + 2
    assert [layer.family for layer in graph.layers.values()] == ["full", "add", "sum-part", "sum"]
    assert [layer.kind for layer in graph.layers.values()] == ["blockwise", "blockwise", "blockwise", "tree"]
    names = list(graph.layers)
    assert graph.dependencies == {names[0]: set(), names[1]: {names[0]}, names[2]: {names[1]}, names[3]: {names[2]}}
    task = graph[f"('{x.name}', 1, 0)"]
    assert (task.family, task.inputs) == ("full", [])
    assert graph[f"('{names[1]}', 1, 0)"].inputs == [task.key]
    assert graph[f"('{y.name}', 1)"].inputs == [f"('{names[2]}', 0, 1)", f"('{names[2]}', 1, 1)"]
    assert all(graph[key].key == key for key in graph)
    assert "nothing" not in graph and f"('{x.name}', 2, 0)" not in graph
    assert f"{y.name}: 2 tasks (tree)" in repr(graph)
    with pytest.raises(KeyError):
        graph[f"('{x.name}', 0)"]


def test_every_key_of_a_shuffle_and_of_delayed_calls_is_found() -> None:
    with kask.config.set({"array.chunk_size_bytes": 1}):
        x = ka.sort(ka.from_delayed(kask.delayed(np.ones)(30), (30,), float).rechunk(4))
        graph = x.dask
        assert "shuffle" in [layer.kind for layer in graph.layers.values()]
        assert all(graph[key].key == key for key in graph)
        assert all(below in graph for key in graph for below in graph[key].inputs)


def test_a_million_tasks_are_counted_without_being_looked_at() -> None:
    x = (ka.ones((2000, 2000), chunks=1) + 1).sum()
    with nothing_runs():
        assert len(x.dask) > 12_000_000


def labels(svg: str) -> list[str | None]:
    return [element.text for element in ET.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]


def test_pictures(tmp_path: Path) -> None:
    x = ka.ones(6, chunks=3)
    y = (x + 1) * 2
    with nothing_runs():
        raw = y.visualize(str(tmp_path / "raw.svg"), engine="kask")
        better = y.visualize(None, "svg", True, engine="kask")
        both = kask.visualize(y, [kask.delayed(sum)(y)], filename=None, engine="kask", optimize_graph=True)
    assert sorted(labels(raw)) == ["add"] * 2 + ["full"] * 2 + ["multiply"] * 2
    assert labels(better) == ["multiply"] * 2
    assert sorted(labels(both)) == ["multiply"] * 2 + ["sum", "whole"]
    assert (tmp_path / "raw.svg").read_text() == raw
    assert y.visualize(None, "dot").count("->") == 4
    with pytest.raises(TypeError, match="colour"):
        y.visualize(None, colour="order")


def test_what_is_too_large_for_a_picture_says_what_to_do() -> None:
    x = ka.ones((100, 100), chunks=1) + 1
    with pytest.raises(ValueError, match=r"more than 3,000 tasks.*fewer chunks.*x\.dask\.visualize"):
        x.visualize(None)
    with pytest.raises(ValueError, match="3,000 tasks"):
        kask.visualize([kask.delayed(abs)(i) for i in range(4000)], filename=None)
    svg = x.dask.visualize(None, engine="kask")
    assert labels(svg) == ["full (10,000)", "add (10,000)"]
    assert x[:2, :3].visualize(None, optimize_graph=True, engine="kask").count("<rect") == 6


def test_arrays_of_unknown_size_show_what_runs_first() -> None:
    x = ka.from_array(MATRIX, chunks=5)
    with nothing_runs():
        graph = x[x > 3].dask
    assert any(layer.family == "lengths" for layer in graph.layers.values())


def test_of_what_is_picked_by_places_that_were_counted() -> None:
    places = ka.argwhere(ka.arange(6, chunks=4) > 2)
    assert len(places) == 3
    picked = (ka.arange(6, chunks=3) * 10)[places[:, 0]]
    # Nothing has to run before its graph can be told.
    assert len(picked.dask) > 0
    assert kask.compute(picked.sum(), picked.max()) == (120, 50)
