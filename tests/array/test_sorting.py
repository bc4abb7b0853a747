"""Sorts, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.array.against_numpy import assert_same, check, check_function, nothing_runs

import kask.array as ka
from kask import config

rng = np.random.default_rng(23)
GRID = rng.integers(0, 9, (5, 6))
HOLED = np.where(rng.random((6, 5)) < 0.3, np.nan, rng.normal(size=(6, 5)))
LINE = rng.integers(0, 9, 17)
ARRAYS = [
    GRID,
    HOLED,
    LINE,
    LINE > 4,
    LINE.astype("M8[D]"),
    GRID + 1j,
    np.zeros((0, 3)),
    LINE.astype(object),
    LINE.astype("U3"),
]


@pytest.mark.parametrize("array", ARRAYS, ids=lambda array: f"{array.dtype}-{array.ndim}")
@pytest.mark.parametrize("name", ["sort", "argsort"])
def test_sort(name: str, array: Any) -> None:
    for axis in (None, *range(-array.ndim, array.ndim)):
        check_function(name, array, options={"axis": axis, "kind": "stable"}, most=5)
    if name == "sort":
        check_function(name, array)
    check_function(name, array, options={"stable": True})


def test_fields() -> None:
    array = np.array([(3, 1.0), (1, 2.0), (3, 0.5)], [("a", "i4"), ("b", "f8")])
    check_function("sort", array, options={"order": "b"})
    check_function("argsort", array, options={"order": ["a", "b"]})


@pytest.mark.parametrize("kind", ["f8", "f4", "i8", ">i8", "u1", "M8[s]", "c16", "U2"])
def test_sample_sort(kind: str) -> None:
    for values in (rng.integers(0, 200, 91), rng.integers(0, 3, 91), np.arange(60)[::-1], np.full(20, 7)):
        array = values.astype(kind)
        if kind in ("f8", "c16"):
            array[::9] = np.nan
        for chunks in (7, (0, 15, 1, 0, array.size - 16)):
            with config.set({"array.chunk_size_bytes": 16}), nothing_runs():
                x = ka.from_array(array, chunks=chunks if isinstance(chunks, int) else (chunks,))
                ordered, places = ka.sort(x), ka.argsort(x)
            assert ordered.chunks == x.chunks
            assert_same(ordered, np.sort(array))
            assert_same(places, np.argsort(array, kind="stable"))


def test_no_task_of_a_sample_sort_holds_much_more_than_a_block() -> None:
    from kask.array.kernels.sorting import Cut, Sample, splitters_of

    for values in (rng.normal(size=20_000), np.zeros(20_000), np.arange(20_000.0)):
        blocks = [(np.sort(block),) for block in np.split(values, 20)]
        splitters = splitters_of([Sample(20)(block) for block in blocks], 20)
        cuts = [np.r_[0, Cut()((at,), block, splitters)[1], 1000] for at, block in enumerate(blocks)]
        sizes = np.sum([np.diff(cut) for cut in cuts], axis=0)
        assert sizes.sum() == 20_000
        assert sizes.max() <= 2000


def test_partition() -> None:
    for array in (GRID, HOLED, LINE):
        for axis in (None, 0, -1):
            for kth in (0, 3, [1, 4], -1):

                def wanted(x: Any, axis: Any = axis, kth: Any = kth) -> Any:
                    return (ka if isinstance(x, ka.Array) else np).partition(x, kth, axis=axis)

                check(wanted, array, most=4)
                places = ka.argpartition(ka.from_array(array, chunks=2), kth, axis=axis).compute()
                flat, along = (array.ravel(), 0) if axis is None else (array, axis)
                found = np.take_along_axis(flat, places, along)
                assert_same(np.take(found, kth, along), np.take(np.sort(flat, along), kth, along))
    with pytest.raises(ValueError, match="out of bounds"):
        ka.partition(ka.from_array(LINE), 40)
    with config.set({"array.chunk_size_bytes": 16}):
        x = ka.from_array(LINE, chunks=3)
        assert_same(ka.partition(x, 4), np.sort(LINE))
        assert_same(ka.argpartition(x, 4), np.argsort(LINE, kind="stable"))


def test_lexsort() -> None:
    other = rng.integers(0, 3, LINE.shape)
    check(lambda x, y: (ka if isinstance(x, ka.Array) else np).lexsort((x, y)), LINE, other)
    check_function("lexsort", GRID)
    for axis in (0, 1):
        check(
            lambda x, y, axis=axis: (ka if isinstance(x, ka.Array) else np).lexsort((x, y), axis=axis),
            GRID,
            GRID[::-1] % 3,
        )
    with pytest.raises(ValueError, match="same shape"):
        ka.lexsort((ka.from_array(LINE), ka.from_array(LINE[1:])))


@pytest.mark.parametrize("side", ["left", "right"])
def test_searchsorted(side: str) -> None:
    ordered = np.sort(rng.integers(0, 20, 15)).astype(float)
    for wanted in (HOLED * 10, LINE, np.array(3.0), np.zeros((0, 2))):
        check_function("searchsorted", ordered, wanted, options={"side": side})
        check_function("searchsorted", ordered[:0], wanted, options={"side": side})
    shuffled = rng.permutation(ordered)
    check_function("searchsorted", shuffled, LINE, options={"side": side, "sorter": np.argsort(shuffled)})
    with config.set({"array.chunk_size_bytes": 64}):
        check_function("searchsorted", shuffled, LINE, options={"side": side, "sorter": np.argsort(shuffled)})
        holed = np.where(shuffled > np.median(shuffled), np.nan, shuffled)
        check_function("searchsorted", holed, holed, options={"side": side, "sorter": np.argsort(holed)})
        x = ka.ones(10_000, chunks=8)
        need = ka.searchsorted(x, LINE, sorter=ka.arange(10_000, chunks=8)).explain().largest
        assert need is not None and need.inputs_bytes + need.own_bytes < x.nbytes // 8
    check(lambda a, v: a.searchsorted(v, side), ordered, LINE)
    x = ka.from_array(ordered, chunks=4)
    with pytest.raises(ValueError, match="side"):
        ka.searchsorted(x, LINE, side="middle")
    with pytest.raises(TypeError, match="integers"):
        ka.searchsorted(x, LINE, sorter=ordered)
    with pytest.raises(ValueError, match="one axis"):
        ka.searchsorted(ka.from_array(GRID), LINE)


RECORDS = np.rec.fromarrays(
    [rng.integers(0, 4, 61), rng.choice([0.5, -1.0, np.nan], 61), rng.integers(0, 3, 61).astype("U1"), rng.integers(0, 2, 61).astype(">i4")],
    names="a,b,c,d",
).view(np.ndarray)  # fmt: skip


@pytest.mark.parametrize("order", [None, "b", ["c", "a"], ("d",)])
def test_records_are_sorted_by_sampling(order: Any) -> None:
    with config.set({"array.chunk_size_bytes": 100}), nothing_runs():
        x = ka.from_array(RECORDS, chunks=9)
        ordered, places = ka.sort(x, order=order), ka.argsort(x, order=order, kind="stable")
        arranged = ka.partition(x, 7, order=order)
        whole = ka.sort(ka.from_array(RECORDS, chunks=61), order=order)
    assert ordered.numblocks == (7,)
    fields = [] if order is None else [*order]
    keys = [RECORDS[name] for name in [*fields, *[name for name in "abcd" if name not in fields]]]
    expected = np.lexsort(keys[::-1])
    for found in (ordered, arranged):
        # Records with NaN are not equal to themselves.
        assert found.dtype == RECORDS.dtype
        assert found.compute().tobytes() == RECORDS[expected].tobytes()
    assert_same(places, expected)
    assert whole.compute().tobytes() == RECORDS[expected].tobytes()


@pytest.mark.parametrize("chunks", [7, (0, 15, 1, 0, 45)])
def test_lexsort_of_long_lines(chunks: Any) -> None:
    keys = [RECORDS[name] for name in "abcd"]
    for some in (keys, keys[::-1], keys[1:3], keys[:1], [keys[0] % 2 == 0, keys[3].astype("M8[s]")]):
        with config.set({"array.chunk_size_bytes": 32}), nothing_runs():
            places = ka.lexsort([ka.from_array(key, chunks=(chunks,)) for key in some])
        assert places.numblocks[0] > 4
        assert_same(places, np.lexsort(some))
    grid = rng.integers(0, 3, (2, 3, 40))
    for axis in (0, 1, -1):
        with config.set({"array.chunk_size_bytes": 64}), nothing_runs():
            places = ka.lexsort(ka.from_array(grid, chunks=(1, 2, 7)), axis=axis % 2)
        assert_same(places, np.lexsort(grid, axis=axis % 2))


@pytest.mark.parametrize("kind", ["i8", "f8", "U2"])
@pytest.mark.parametrize("k", [60, -60, 91, 500, -500])
def test_more_of_the_largest_than_a_block_may_hold(k: int, kind: str) -> None:
    array = rng.integers(0, 30, 91).astype(kind)
    if kind == "f8":
        array[::9] = np.nan
    with config.set({"array.chunk_size_bytes": 64}), nothing_runs():
        x = ka.from_array(array, chunks=10)
        best, places = ka.topk(x, k), ka.argtopk(x, k)
        across = ka.topk(ka.from_array(np.stack([array, array[::-1]], 1), chunks=(10, 1)), k, axis=0)
    least = np.argsort(array, kind="stable")
    most = 90 - np.argsort(array[::-1], kind="stable")[::-1]
    wanted = (most if k > 0 else least)[: abs(k)]
    assert_same(places, wanted)
    assert_same(best, array[wanted])
    assert_same(across, np.stack([array[wanted]] * 2, 1))
    assert max(x.numblocks + best.numblocks) > 5


@pytest.mark.parametrize("k", [1, 3, -1, -3, 100, -100])
def test_topk(k: int) -> None:
    for array in (GRID, LINE, rng.normal(size=(4, 5, 3)), LINE.astype("M8[D]")):
        for axis in range(-array.ndim, array.ndim):

            def top(x: Any, axis: int = axis) -> Any:
                if isinstance(x, ka.Array):
                    return x.topk(k, axis=axis)
                ordered = np.sort(x, axis=axis)
                ordered = np.flip(ordered, axis) if k > 0 else ordered
                return np.take(ordered, range(min(abs(k), x.shape[axis])), axis=axis)

            def places(x: Any, axis: int = axis) -> Any:
                if isinstance(x, ka.Array):
                    return ka.argtopk(x, k, axis=axis, split_every=2)
                order = np.argsort(x if k < 0 else -x.astype("i8"), axis=axis, kind="stable")
                return np.take(order, range(min(abs(k), x.shape[axis])), axis=axis)

            check(top, array, most=5)
            if array.dtype.kind != "f":
                check(places, array, most=5)
    with pytest.raises(ValueError, match="k="):
        ka.topk(ka.from_array(LINE), 0)
