"""Rechunks: the same elements whatever way they go, and the way that costs least."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from against_numpy import assert_same, nothing_runs

import kask
import kask.array as ka
from kask import config
from kask.array.ops.rechunk import RechunkStep
from kask.distributed import Client, LocalCluster
from kask.expr import walk
from kask.rooms import Room, current_room, planning_for, room_of

METHODS = [None, "tasks", "p2p"]
CUBE = np.arange(12 * 10 * 14).reshape(12, 10, 14)
#: From these chunks to those.
PAIRS: list[tuple[Any, Any]] = [
    ((1, 10, 14), (12, 10, 1)),
    ((12, 10, 1), (1, 10, 14)),
    ((1, 1, 14), (12, 10, 1)),
    ((3, 10, 5), (5, 4, 14)),
    ((5, 3, 4), (4, 5, 3)),
    (((0, 7, 5), (1, 0, 9), (14,)), ((12,), (4, 6), (3, 3, 8, 0))),
    (1, -1),
    (-1, 1),
]


def steps_of(array: Any, **room: int) -> list[tuple[tuple[int, ...], int]]:
    """The largest chunk of each step on the way, and the groups of its shuffle or 0."""
    with planning_for(lambda: Room(**{"workers": 1, "threads": 1, **room}) if room else None):
        return [(one.chunks.largest, one.merged) for one in walk([array.expr]) if isinstance(one, RechunkStep)]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("old", "new"), PAIRS)
def test_elements_are_the_same_whatever_the_way(old: Any, new: Any, method: str | None) -> None:
    for array in (CUBE.astype("f4"), CUBE.astype(object), CUBE.astype("i4,f8")):
        x = ka.from_array(array, chunks=old)[:]
        for limit in (None, 1, 700):
            for optimized in (True, False):
                with nothing_runs():
                    # Adding nothing keeps the source from being cut otherwise in the first place.
                    source = x.map_blocks(np.copy, dtype=array.dtype)
                    y = source.rechunk(new, block_size_limit=limit, method=method)
                found = y.compute(optimize_graph=optimized, scheduler="sync")
                np.testing.assert_array_equal(found, array)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("limit", ["1KiB", "64KiB", "128MiB"])
def test_steps_lead_to_the_same_elements(method: str | None, limit: str) -> None:
    """Chunks of which it is cheaper to go through others."""
    array = np.random.default_rng(1).normal(size=(150, 170))
    x = ka.from_array(array, chunks=-1).map_blocks(np.copy).rechunk((150, 1)) * 2
    for new in [(1, 170), (2, 150), (150, 30), ((50, 100), (1,) * 170)]:
        y = x.rechunk(new, block_size_limit=limit, method=method)
        assert_same(y + 1, array * 2 + 1)
        assert_same(y[3:140:2, ::-1].T, (array * 2)[3:140:2, ::-1].T)
        np.testing.assert_array_equal(y.max(axis=0).compute(optimize_graph=False), (array * 2).max(axis=0))


def test_steps_are_few_tasks_and_shown() -> None:
    x = ka.ones((1000, 1000), chunks=(1000, 1)) + ka.arange(1000)
    with nothing_runs():
        y = x.rechunk((1, 1000))
    found = y.explain()
    assert found.tasks < 3_000 and found.edges < 5_000
    labels = [row.label for row in found.after.rows]
    assert labels[:2] == ["rechunk", "rechunk-step"]
    assert "rechunk-step" in [family.prefix for family in found.families]
    assert_same(y, np.ones((1000, 1000)) + np.arange(1000))
    direct = x.rechunk((1, 1000), threshold=1e6).explain()
    assert direct.edges >= 1_000_000


def test_huge_rechunks_are_planned_through_few_pieces() -> None:
    """(10,000, 10,000) from columns to rows has 100,000,000 pieces if each row is made of all columns."""
    x = ka.zeros((10_000, 10_000), chunks=(10_000, 1)) + ka.arange(10_000)
    for method in (None, "tasks"):
        found = x.rechunk((1, 10_000), method=method).explain(memory_limit=0)
        assert found.edges < 60_000 and found.tasks < 25_000
        # No task holds more than the setting array.chunk_size_bytes.
        assert found.largest.needs_bytes <= config.get("array.chunk_size_bytes") * 1.01


def test_a_way_that_is_asked_for_is_taken() -> None:
    x = ka.ones((100, 100), chunks=(10, 100)) + 1

    def families(y: Any) -> set[str]:
        return {family.prefix for family in y.explain().families}

    assert "rechunk-split" in families(x.rechunk((20, 100), method="p2p"))
    assert "rechunk-split" not in families(x.rechunk((20, 100)))
    fine = ka.ones((500, 500), chunks=(1, 500)) + 1
    assert "rechunk-split" not in families(fine.rechunk((500, 1), method="tasks", block_size_limit="16KiB"))
    assert "rechunk shuffle" in repr(x.rechunk((100, 1), method="p2p").explain().after)
    # Python objects have no bytes to be moved.
    objects = ka.from_array(np.arange(100).astype(object), chunks=10)[::-1]
    assert "rechunk-split" not in families(objects.rechunk(7, method="p2p"))
    # It stays so when what it is of is rewritten.
    assert "rechunk-split" in families(x.rechunk((50, 50)).rechunk((20, 100), method="p2p")[:60])
    for threshold, is_once in [(50, True), (49, False)]:
        cut = ka.ones((100, 100), chunks=(1, 100)).map_blocks(np.copy).rechunk((100, 1), threshold=threshold)
        assert (not steps_of(cut)) == is_once
    with pytest.raises(ValueError, match=r"threshold=-1, but it must be a number of pieces"):
        x.rechunk(5, threshold=-1)


def test_the_memory_of_workers_decides() -> None:
    x = ka.ones((4_000, 4_000), chunks=(40, 4_000)) + 1
    y = x.rechunk((4_000, 40))
    mib = 2**20
    assert y.explain(memory_limit="4GiB").largest.inputs_bytes == 4_000 * 4_000 * 8
    small = y.explain(memory_limit="150MiB")
    assert small.verdict in ("fits", "spills") and small.largest.needs_bytes <= 75 * mib
    assert [family.prefix for family in small.families if "rechunk" in family.prefix]
    # What is known of workers is asked for once, and only if somebody wants to know.
    workers = {"a": {"memory_limit": 1000 * mib, "nthreads": 4}, "b": {"memory_limit": 500 * mib, "nthreads": 1}}
    assert room_of(workers) == Room(402 * mib // 4, 402 * mib, 2, 5)
    assert room_of({"a": {"memory_limit": 0, "nthreads": 1}}) is None and room_of({}) is None
    asked: list[int] = []
    with planning_for(lambda: asked.append(1)):
        assert not asked and current_room() is None and current_room() is None
    assert len(asked) == 1 and current_room() is None


def test_steps_are_run_as_the_rechunk_is_annotated() -> None:
    x = ka.ones((300, 300), chunks=(300, 1)) + 1
    with kask.annotate(priority=7):
        y = x.rechunk((1, 300))
    steps = [one for one in walk([y.expr]) if isinstance(one, RechunkStep)]
    assert steps and all(step.options.priority == 7 for step in steps)


def test_blocks_on_the_way_are_no_views() -> None:
    x = (ka.ones((400, 400), chunks=(400, 1)) + 1).persist()
    y = x.rechunk((1, 400)).persist()
    blocks = [future.result() for future in y.expr.futures]
    assert steps_of(x.rechunk((1, 400))) and all(block.base is None for block in blocks)


def test_other_kinds_of_blocks_go_through_steps() -> None:
    array = np.ma.masked_equal(np.arange(200 * 200).reshape(200, 200) % 7, 3)
    x = ka.ma.masked_equal(ka.from_array(np.asarray(array), chunks=-1).map_blocks(np.copy).rechunk((200, 1)), 3)
    y = x.rechunk((1, 200))
    found = y.compute()
    np.testing.assert_array_equal(found.mask, array.mask)
    np.testing.assert_array_equal(found.filled(-1), array.filled(-1))


def test_what_is_concatenated_is_read_where_it_is() -> None:
    array = np.arange(300 * 100).reshape(300, 100)
    parts = [ka.from_array(array[start : start + 100], chunks=(1, 100)).map_blocks(np.copy) for start in (0, 100, 200)]
    for method in METHODS:
        y = ka.concatenate(parts).rechunk((300, 1), method=method)
        assert "concatenate" not in {family.prefix for family in y.explain().families}
        assert_same(y, array)


@pytest.mark.parametrize("method", METHODS)
def test_in_processes(method: str | None) -> None:
    array = np.arange(60 * 80.0).reshape(60, 80)
    with LocalCluster(n_workers=2, threads_per_worker=1, memory_limit="300MiB") as cluster, Client(cluster):
        x = ka.from_array(array, chunks=(1, 80)).map_blocks(np.copy)
        np.testing.assert_array_equal(x.rechunk((60, 1), method=method).compute(), array)
