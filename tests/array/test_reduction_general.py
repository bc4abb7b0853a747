"""``reduction``, with functions of the user's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.array.against_numpy import assert_same, chunkings, nothing_runs

import kask.array as ka

rng = np.random.default_rng(3)
CUBE = rng.integers(0, 50, (5, 4, 6))


@pytest.mark.parametrize("axis", [None, 0, -1, (0, 2), (2, 1)])
@pytest.mark.parametrize("keepdims", [False, True])
def test_sum_by_hand(axis: Any, keepdims: bool) -> None:
    for chunks in chunkings(CUBE.shape):
        with nothing_runs():
            found = ka.reduction(
                ka.from_array(CUBE, chunks=chunks), np.sum, np.sum, axis=axis, keepdims=keepdims, split_every=3
            )
        assert_same(found, CUBE.sum(axis=axis, keepdims=keepdims))


def test_parts_lie_as_the_blocks_did() -> None:
    def part(block: Any, axis: Any, keepdims: bool) -> Any:
        return block

    def whole(block: Any, axis: Any, keepdims: bool) -> Any:
        return block if keepdims else np.asarray(block.reshape(-1)[-1] * 1000 + block.reshape(-1)[1])

    for chunks in chunkings(CUBE.shape):
        found = ka.reduction(ka.from_array(CUBE, chunks=chunks), part, whole, dtype=CUBE.dtype, split_every=4)
        assert_same(found, np.asarray(CUBE[-1, -1, -1] * 1000 + CUBE[0, 0, 1]))


def test_dicts_and_lists() -> None:
    def part(block: Any, axis: Any, keepdims: bool) -> Any:
        return {"total": block.sum(axis=axis, keepdims=True), "count": np.full((1,) * block.ndim, block.size)}

    def merge(parts: Any, axis: Any, keepdims: bool) -> Any:
        return {name: value.sum(axis=axis, keepdims=True) for name, value in parts.items()}

    def mean(parts: Any, axis: Any, keepdims: bool) -> Any:
        merged = merge(parts, axis, keepdims)
        return np.squeeze(merged["total"] / merged["count"], axis=axis)

    x = ka.from_array(CUBE, chunks=(2, 3, 2))
    assert_same(ka.reduction(x, part, mean, combine=merge, dtype=float), CUBE.mean())

    def listed(parts: Any, axis: Any, keepdims: bool) -> Any:
        assert isinstance(parts, list)
        flat = np.concatenate([np.ravel(one) for row in parts for one in (row if isinstance(row, list) else [row])])
        return flat.sum().reshape((1,) * 2) if keepdims else flat.sum()

    square = ka.from_array(CUBE[0], chunks=2)
    found = ka.reduction(square, np.sum, listed, axis=(0, 1), concatenate=False, dtype=CUBE.dtype, split_every=4)
    assert_same(found, CUBE[0].sum())


def test_weights_and_sizes() -> None:
    def part(block: Any, weights: Any, axis: Any, keepdims: bool) -> Any:
        return (block * weights).sum(axis=axis, keepdims=True)

    x = ka.from_array(CUBE, chunks=2)
    assert_same(ka.reduction(x, part, np.sum, axis=1, weights=np.arange(6)), (CUBE * np.arange(6)).sum(axis=1))

    def two(block: Any, axis: Any, keepdims: bool) -> Any:
        return np.concatenate([block.min(axis=axis, keepdims=True), block.max(axis=axis, keepdims=True)], axis[0])

    found = ka.reduction(x, two, two, axis=0, keepdims=True, output_size=2, dtype=CUBE.dtype)
    assert_same(found, np.stack([CUBE.min(axis=0), CUBE.max(axis=0)]))
    out = ka.from_array(np.zeros(()))
    assert ka.reduction(x, np.sum, np.sum, dtype=CUBE.dtype, out=out) is out
    assert_same(out, np.float64(CUBE.sum()))
