"""Blocks that see the edges of their neighbours, against NumPy on the whole array."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from against_numpy import assert_same, chunkings, nothing_runs

import kask
import kask.array as ka
from kask.array.ops import overlap as ops

LINE = np.arange(17.0) ** 2
MATRIX = (np.arange(42.0) ** 1.5).reshape(6, 7)
MODES = {"periodic": "wrap", "reflect": "symmetric", "nearest": "edge"}


@pytest.fixture(autouse=True, params=["neighbours", "edges"])
def what_is_read(request: Any, monkeypatch: Any) -> str:
    """Small blocks are read themselves by their neighbours; the edges of them give the same."""
    if request.param == "edges":
        monkeypatch.setattr(ops, "_edges_worth_while", ops.Edges)
    return request.param


def smooth(block: np.ndarray, before: int, after: int, axis: int) -> np.ndarray:
    """The sum of each element and its neighbours; those that have not all of them give what is there."""
    padded = np.pad(block, [(before, after) if place == axis else (0, 0) for place in range(block.ndim)])
    size = block.shape[axis]
    return sum(np.take(padded, range(at, at + size), axis) for at in range(before + after + 1))


def expected(array: np.ndarray, before: int, after: int, axis: int, boundary: Any) -> np.ndarray:
    if boundary in (None, "none"):
        return smooth(array, before, after, axis)
    width = [(before, after) if place == axis else (0, 0) for place in range(array.ndim)]
    how: dict[str, Any] = {"mode": MODES[boundary]} if isinstance(boundary, str) else {"constant_values": boundary}
    wide = smooth(np.pad(array, width, **how), before, after, axis)
    return np.take(wide, range(before, before + array.shape[axis]), axis)


@pytest.mark.parametrize("boundary", [None, "none", "periodic", "reflect", "nearest", 5, -2.5])
@pytest.mark.parametrize("depth", [1, 3, (0, 2), (3, 1), 9])
def test_map_overlap(boundary: Any, depth: Any) -> None:
    before, after = depth if isinstance(depth, tuple) else (depth, depth)
    for cut in chunkings(LINE.shape):
        x = ka.from_array(LINE, chunks=cut)
        with nothing_runs():
            found = ka.map_overlap(smooth, x, before, after, 0, depth={0: depth}, boundary=boundary)
        assert found.chunks == x.chunks
        assert_same(found, expected(LINE, before, after, 0, boundary), rtol=1e-14)
    for axis in (0, 1):
        for cut in chunkings(MATRIX.shape):
            x = ka.from_array(MATRIX, chunks=cut)
            found = x.map_overlap(smooth, {axis: depth}, {axis: boundary}, before=before, after=after, axis=axis)
            assert_same(found, expected(MATRIX, before, after, axis, boundary), rtol=1e-13)


def both(block: np.ndarray) -> np.ndarray:
    return smooth(smooth(block, 1, 1, 0), 2, 2, 1)


def test_two_axes_and_two_boundaries() -> None:
    wanted = expected(expected(MATRIX, 1, 1, 0, "periodic"), 2, 2, 1, "reflect")
    for cut in chunkings(MATRIX.shape):
        x = ka.from_array(MATRIX, chunks=cut)
        assert_same(ka.map_overlap(both, x, depth=(1, 2), boundary=("periodic", "reflect")), wanted, rtol=1e-13)


def added(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return smooth(a, 1, 1, a.ndim - 1) + b


def test_several_arrays() -> None:
    for cut in chunkings(MATRIX.shape):
        x, y = ka.from_array(MATRIX, chunks=cut), ka.from_array(MATRIX[0], chunks=3)
        found = ka.map_overlap(added, x, y, depth=[{1: 1}, {0: 1}], boundary="nearest")
        assert_same(found, expected(MATRIX, 1, 1, 1, "nearest") + MATRIX[0], rtol=1e-14)
    with pytest.raises(ValueError, match="align_arrays=False"):
        ka.map_overlap(added, x.rechunk(2), y.rechunk(3), depth=1, align_arrays=False)
    with pytest.raises(ValueError, match="list of 1"):
        ka.map_overlap(added, x, y, depth=[1])


def test_without_trimming() -> None:
    x = ka.from_array(LINE, chunks=5)
    found = ka.map_overlap(
        lambda block: block[:-2] + block[2:], x, depth=1, boundary="periodic", trim=False, chunks=x.chunks
    )
    assert_same(found, np.roll(LINE, 1) + np.roll(LINE, -1))
    # Who trims by himself need not say how large the blocks are, nor who gives all.
    found = ka.map_overlap(
        lambda block: block[:-2] + block[2:], x, depth=1, boundary="periodic", trim=False, dtype=float
    )
    assert found.chunks == x.chunks
    assert_same(found, np.roll(LINE, 1) + np.roll(LINE, -1))
    wide = ka.map_overlap(lambda block: block, x, depth=2, boundary=0, trim=False)
    assert wide.chunks == ((9, 9, 9, 6),)
    assert wide.compute()[:9].tolist() == [0, 0, *LINE[:7]]


def test_axes_dropped_and_added() -> None:
    x = ka.from_array(MATRIX, chunks=(2, -1))
    found = ka.map_overlap(lambda block: smooth(block, 1, 1, 0).sum(axis=1), x, depth={0: 1}, drop_axis=1)
    assert_same(found, smooth(MATRIX, 1, 1, 0).sum(axis=1), rtol=1e-14)
    found = ka.map_overlap(lambda block: smooth(block, 1, 1, 0)[:, None], x, depth={0: 1}, new_axis=1)
    assert_same(found, smooth(MATRIX, 1, 1, 0)[:, None], rtol=1e-14)
    with pytest.raises(ValueError, match="axis 1 has 4 blocks"):
        ka.map_overlap(smooth, x.rechunk((2, 2)), depth=1, drop_axis=1)


def test_blocks_know_their_place() -> None:
    found = ka.map_overlap(lambda block, block_id: block * 0 + block_id[0], ka.ones(4, chunks=2), depth=1)
    assert found.compute().tolist() == [0, 0, 1, 1]

    def where(block: np.ndarray, block_info: Any = None) -> np.ndarray:
        (first, last), _ = block_info[0]["array-location"]
        assert block_info[None]["chunk-shape"] == block.shape == (last - first, 3)
        return block * 0 + block_info[0]["chunk-location"][0]

    found = ka.map_overlap(where, ka.ones((4, 3), chunks=(2, 3)), depth={0: 1}, boundary="none", dtype=float)
    assert found[:, 0].compute().tolist() == [0, 0, 1, 1]


def test_lazy_arguments_are_passed_as_values() -> None:
    x = ka.from_array(LINE, chunks=5)
    found = ka.map_overlap(lambda block, add: block + add.sum(), x, depth=1, add=ka.ones(4, chunks=2))
    assert_same(found, LINE + 4)
    found = ka.map_overlap(lambda block, add: block + add, x, kask.delayed(3), depth=1, dtype=float)
    assert_same(found, LINE + 3)


@pytest.mark.parametrize("func", [lambda block: block[:1], lambda block: block.sum(), lambda block: block[None]])
@pytest.mark.parametrize("chunks", [5, -1])
def test_blocks_of_other_shapes_are_refused(func: Any, chunks: int) -> None:
    x = ka.from_array(LINE, chunks=chunks)
    with pytest.raises(ValueError, match="made a block of shape"):
        ka.map_overlap(func, x, depth=1, boundary="none", dtype=float).compute()


def test_the_kind_of_blocks_is_found() -> None:
    masked = np.ma.array(LINE, mask=LINE > 100)
    found = ka.map_overlap(np.negative, ka.from_array(masked, chunks=5), depth=1, dtype=float)
    assert isinstance(found.meta, np.ma.MaskedArray)
    assert found.compute().mask.tolist() == masked.mask.tolist()
    assert ka.map_overlap(np.negative, ka.ones(3), depth=1, meta=np.ndarray, dtype="f4").dtype == "f4"


@pytest.mark.parametrize("boundary", ["none", "periodic", "reflect", "nearest", 7])
def test_overlap_and_back(boundary: Any) -> None:
    x = ka.from_array(MATRIX, chunks=(3, 4))
    wide = ka.overlap.overlap(x, {0: 1, 1: (2, 1)}, boundary)
    inner = {0: (3 + 1 + 1) * 2 - (2 if boundary == "none" else 0)}
    assert wide.shape[0] == inner[0]
    assert wide.compute().shape == wide.shape
    assert_same(ka.overlap.trim_overlap(wide, {0: 1, 1: (2, 1)}, boundary), MATRIX)
    assert_same(ka.overlap.trim_internal(wide, {0: 1, 1: (2, 1)}, boundary), MATRIX)


def test_overlap_of_the_example() -> None:
    x = ka.from_array(np.arange(16).reshape(4, 4), chunks=2)
    found = ka.overlap.overlap(x, 1, {0: "reflect", 1: 100}).compute()
    assert found[0].tolist() == [100, 0, 1, 2, 1, 2, 3, 100]
    assert found.shape == (8, 8)


def test_wrong_arguments() -> None:
    x = ka.ones((4, 4), chunks=2)
    with pytest.raises(ValueError, match="boundary='what'"):
        ka.map_overlap(both, x, depth=1, boundary="what")
    with pytest.raises(ValueError, match="depth=-1"):
        ka.map_overlap(both, x, depth=-1)
    for depth in ("a", {0: (1, 2, 3)}, 1.5, float("nan")):
        with pytest.raises(ValueError, match="whole numbers from 0 on, or pairs of them"):
            ka.map_overlap(both, x, depth=depth)
    with pytest.raises(ValueError, match="3 axes"):
        ka.map_overlap(both, x, depth=(1, 1, 1))
    with pytest.raises(TypeError, match="array at least"):
        ka.map_overlap(both, depth=1)
    with pytest.raises(ValueError, match="give dtype= or meta="):
        ka.map_overlap(lambda block: block.unknown, x, depth=1)


def test_names_are_as_of_map_blocks() -> None:
    x = ka.arange(6, chunks=3)
    named = ka.map_overlap(np.negative, x, depth=1, name="mine")
    assert named.name == "mine"
    assert_same(named, -np.arange(6))
    assert_same(named + 1, 1 - np.arange(6))
    assert ka.map_overlap(np.negative, x, depth=1, trim=False, chunks=(5,), name="mine").name == "mine"
    assert ka.map_overlap(np.negative, x, depth=1, token="mine").name.startswith("mine-")
