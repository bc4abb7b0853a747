"""What blocks read of their neighbours: these themselves, or their edges, which tasks of their own cut off."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from against_numpy import assert_same

import kask.array as ka
from kask.array.ops import overlap as ops


def drawn(rng: Any) -> tuple[np.ndarray, Any, dict[int, tuple[int, int]], Any]:
    """An array, chunks of it (empty ones too), depths up to more than a chunk has, and a boundary."""
    shape = tuple(rng.integers(6, 24, rng.integers(1, 4)).tolist())
    cuts = [sorted(rng.integers(0, length + 1, rng.integers(0, 6)).tolist()) for length in shape]
    chunks = tuple([tuple(np.diff([0, *cut, length]).tolist()) for cut, length in zip(cuts, shape)])
    depth = {axis: tuple(rng.integers(0, 6, 2).tolist()) for axis in range(len(shape))}
    boundary = [None, "reflect", "periodic", "nearest", 1.5][rng.integers(0, 5)]
    return rng.random(shape), chunks, depth, boundary


def test_edges_are_what_neighbours_would_be_read_for(monkeypatch: Any) -> None:
    rng = np.random.default_rng(29)
    for _ in range(200):
        array, chunks, depth, boundary = drawn(rng)
        x = ka.from_array(array, chunks=chunks)
        with monkeypatch.context() as patch:
            patch.setattr(ops, "_edges_worth_while", ops.Edges)
            found = ka.overlap.overlap(x, depth, boundary)
        assert found.expr.edges is not None
        other = ka.overlap.overlap(x, depth, boundary)
        assert other.expr.edges is None
        assert_same(found, other.compute())


def test_large_blocks_are_not_read_for_their_edges() -> None:
    x = (
        ka.random.default_rng(3)
        .random((300, 300, 300), chunks=100)
        .map_overlap(np.negative, depth=1, boundary="nearest")
    )
    need = x.explain().largest
    # Itself, the edges of 26 neighbours and of itself, the block between them, and the result.
    assert need.inputs_bytes + need.own_bytes < 6 * 8 * 100**3
    inner = np.s_[98:102, 100:101, 198:202]
    np.testing.assert_array_equal(
        x.compute()[inner], -ka.random.default_rng(3).random((300, 300, 300), chunks=100).compute()[inner]
    )


@pytest.mark.parametrize("depth, worth", [(1, True), (20, True), (60, False)])
def test_when_edges_are_made(depth: int, worth: bool) -> None:
    made = lambda x, depth: ka.overlap.overlap(x, depth).expr.edges is not None  # noqa: E731
    assert made(ka.ones((1000, 1000), chunks=400), depth) is worth
    assert not made(ka.ones((1000, 1000), chunks=100), 1)
    assert not made(ka.ones((1000, 1000), chunks=1000), 1)
    assert not made(ka.ones((1000, 1000), chunks=400), 0)
