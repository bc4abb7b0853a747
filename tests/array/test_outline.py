"""What computing arrays takes, told as trees before and after optimisation."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from against_numpy import nothing_runs

import kask
import kask.array as ka


def table(outline: Any) -> list[tuple[Any, ...]]:
    return [(row.depth, row.label, row.shape, row.chunks, row.layers, row.tasks, row.nbytes) for row in outline.rows]


@pytest.fixture
def x() -> Any:
    return ka.from_array(np.arange(600.0).reshape(60, 10), chunks=(20, 5)).persist()


def test_trees_before_and_after(x: Any) -> None:
    with nothing_runs():
        y = np.sqrt(x + 1)[:20].sum(axis=0)
    found = y.explain()
    assert table(found.before) == [
        (0, "sum", (10,), (5,), (5,), 2, 80),
        (1, "sum-part axes=(0,)", (1, 10), (1, 5), (4,), 2, 80),
        (2, "getitem [0:20, :]", (20, 10), (20, 5), (3,), 2, 1600),
        # Of blocks that nobody needs there are no tasks.
        (3, "sqrt", (60, 10), (20, 5), (2,), 2, 4800),
        (4, "add 1", (60, 10), (20, 5), (1,), 2, 4800),
        (5, "array", (60, 10), (20, 5), (), 0, 4800),
    ]
    assert table(found.after) == [
        (0, "sum", (10,), (5,), (2,), 2, 80),
        (1, "sum-part axes=(0,)", (1, 10), (1, 5), (2,), 0, 80),
        (2, "sqrt", (20, 10), (20, 5), (2,), 0, 1600),
        (3, "add 1", (20, 10), (20, 5), (2,), 0, 1600),
        (4, "getitem [0:20, :]", (20, 10), (20, 5), (1,), 2, 1600),
        (5, "array", (60, 10), (20, 5), (), 0, 4800),
    ]
    assert (found.before.tasks, found.after.tasks) == (10, found.tasks)
    assert found.after.peak_bytes == found.peak_bytes < found.before.peak_bytes
    assert found.after.produced_bytes == found.produced_bytes


def test_the_numbers_are_those_of_the_graph(x: Any) -> None:
    z = (x.rechunk((7, 10)) - x.mean(axis=0)).std()
    parts = ka.concatenate([x, x + 1])
    work = [z, x.T @ x, ka.sort(x.ravel()), parts.sum(), parts.rechunk((3, 7))]
    with kask.config.set({"array.chunk_size_bytes": 64}):
        found = kask.explain(*work)
        assert sum(row.tasks for row in found.after.rows if not row.is_repeated) == found.tasks
        assert found.after.tasks == found.tasks <= found.before.tasks
        before = kask.explain(*work)
        assert sum(row.tasks for row in before.before.rows if not row.is_repeated) == before.before.tasks


def test_it_prints(x: Any) -> None:
    y = (x + 1) * (x + 1).sum() * 2
    text = repr(y.explain(memory_limit="1GiB"))
    before, after, families = text.split("\n\n")[:3]
    assert before.startswith("before optimisation") and after.startswith("after optimisation")
    assert before.splitlines()[0].split() == ["before", "optimisation", "shape", "chunks", "layer", "tasks", "bytes"]
    rows = [line.split() for line in after.splitlines()]
    assert ["add", "1", "(60,", "10)", "(20,", "5)", "1", "6", "4.69", "KiB"] in rows
    assert ["add", "1", "as", "above", "1"] in rows
    assert "fused" in after and "fused" not in before
    assert "held" in after
    assert after.splitlines()[-1].endswith("held at once")
    assert families.split()[:2] == ["family", "kind"]
    assert "verdict: fits" in text
    html = y.explain()._repr_html_()
    assert html.count("<pre>") == 2 and html.count("<table>") == 1


def test_long_expressions_are_cut_short(x: Any) -> None:
    for _ in range(500):
        x = x + 1
    lines = repr(x.explain().after).splitlines()
    assert len(lines) < 110 and lines[-2] == "... and 401 more"
    assert len(x.explain().after.rows) == 501


def test_what_is_fused_into_two_layers_says_both() -> None:
    ones = ka.ones((40, 4), chunks=(10, 4))
    left, right = ones + 1, ones * 2
    rows = {row.label: row for row in kask.explain(left, right).after.rows}
    assert rows["full"].layers == (1, 2) and rows["full"].tasks == 0
    assert (rows["add 1"].tasks, rows["multiply 2"].tasks) == (4, 4)


def test_mixtures_and_other_collections() -> None:
    value = kask.delayed(np.ones)(4)
    found = kask.explain(ka.from_delayed(value, (4,), float) + 1, kask.delayed(abs)(-1))
    assert [(row.label, row.tasks) for row in found.after.rows] == [("add 1", 1), ("from_delayed", 1)]
    assert found.tasks == 4
    assert kask.delayed(abs)(1).explain().before is None
    assert repr(kask.delayed(abs)(1).explain()).startswith("family")


def test_sizes_that_are_not_known(x: Any) -> None:
    with nothing_runs():
        y = x[x > 3].sum()
    found = y.explain()
    labels = [row.label.split()[0] for row in found.after.rows]
    assert "select" in labels and "lengths" in labels
    assert found.tasks == found.after.tasks
