"""What tasks hold: whole axes in blocks of the size that is asked for, and the peak that ``explain`` names."""

from __future__ import annotations

import numpy as np
import pytest

import kask.array as ka
from kask import config
from kask.expr import walk

SIDE = 400
BLOCK = SIDE * 40 * 8
WHOLE_AXES = {
    "sort": lambda x: ka.sort(x, axis=0),
    "argsort": lambda x: ka.argsort(x, axis=0),
    "partition": lambda x: ka.partition(x, 3, axis=0),
    "median": lambda x: ka.median(x, axis=0),
    "quantile": lambda x: ka.quantile(x, [0.1, 0.5], axis=0),
    "nanpercentile": lambda x: ka.nanpercentile(x, 50, axis=0),
    "along": lambda x: ka.apply_along_axis(np.sum, 0, x),
    "accumulate": lambda x: ka.maximum.accumulate(x, axis=0),
    "reduceat": lambda x: ka.add.reduceat(x, [0, 3], axis=0),
    "take_along_axis": lambda x: ka.take_along_axis(x, ka.argmax(x, axis=0, keepdims=True), 0),
    "fft": lambda x: ka.fft.fft(x, axis=0),
    "pad": lambda x: ka.pad(x, ((1, 1), (0, 0)), "median"),
    "lu": lambda x: ka.linalg.lu(x)[1],
}
# Complex results are twice as large, and a step of LU has a panel and a block column.
MOST = {"fft": 2 * BLOCK + BLOCK, "lu": 3.1 * BLOCK}


@pytest.mark.parametrize("name", WHOLE_AXES)
def test_whole_axes_are_in_blocks_of_the_usual_size(name):
    """The array is cut along the axis that is needed whole, and not along the other one, which then is cut."""
    with config.set({"array.chunk_size_bytes": BLOCK}):
        x = ka.random.default_rng(1).normal(size=(SIDE, SIDE), chunks=(40, SIDE))
        found = WHOLE_AXES[name](x).explain()
    assert found.largest is not None
    needed = found.largest.inputs_bytes + found.largest.own_bytes
    assert BLOCK / 2 <= needed <= MOST.get(name, 2.2 * BLOCK), found


def test_blocks_that_are_made_on_the_way_are_told_of():
    x = ka.random.default_rng(1).normal(size=(SIDE, SIDE), chunks=100)
    block = 100 * 100 * 8
    for y in (x.sum(), ka.median(x.rechunk((SIDE, 25)), axis=0), (x + 1).mean(axis=1)):
        found = y.explain()
        # The block, and beside it what it is reduced to.
        assert found.largest is not None and block < found.largest.own_bytes <= 1.1 * block
        assert found.largest.largest_bytes == block
        assert block <= found.peak_bytes <= 3 * block


def test_what_is_alive_at_the_same_time_is_counted_together():
    x, y = (ka.random.default_rng(seed).normal(size=(SIDE, SIDE), chunks=100) for seed in (1, 2))
    block = 100 * 100 * 8

    def blocks(array):
        largest = array.explain().largest
        return (largest.inputs_bytes + largest.own_bytes) / block

    # Two sorted ones and what the second is sorted from.
    assert 3 <= blocks((x.map_blocks(np.sort, dtype=float) + y.map_blocks(np.sort, dtype=float)).max()) < 3.1
    # A kernel makes nothing on the way, and views are no blocks.
    assert 2 <= blocks((x * 2 + y).max()) < 2.1
    assert 2 <= blocks(np.hypot(np.sin(x), np.cos(x)) + 1) < 2.1
    assert 2 <= blocks((x.T[:, None] - y[:, None]).max()) < 2.1
    with config.set({"array.fused_kernels": False}):
        # NumPy makes each step, in the place of the last one where it can.
        assert 3 <= blocks(np.hypot(np.sin(x), np.cos(x)).max()) < 3.1
        assert 2 <= blocks(-np.exp(x * 2)) < 2.1


def test_views_are_not_taken_for_what_they_look_like():
    x = ka.random.default_rng(1).normal(size=(SIDE, SIDE), chunks=100)
    # Sums and numbers of elements, and the means of them; not the windows, which seem to be fifty times as much.
    found = ka.lib.stride_tricks.sliding_window_view(x, 50, axis=0).mean(axis=-1).explain()
    assert found.largest is not None and found.largest.own_bytes <= 3 * 100 * 100 * 8


class TestLongLines:
    """Lines that are longer than a block, in arrays of few of them."""

    LINES = np.random.default_rng(3).integers(0, 50, (90, 2, 3))
    HOLED = np.where(LINES == 7, np.nan, LINES)

    @pytest.mark.parametrize("name", ["sort", "argsort", "median", "nanmedian", "quantile", "nanpercentile"])
    @pytest.mark.parametrize("axis", [0, 1, 2])
    def test_equal_numpy(self, name, axis):
        args = {"quantile": (np.array([[0.1, 0.5]]),), "nanpercentile": (33,)}.get(name, ())
        for array in (self.LINES, self.HOLED):
            turned = np.moveaxis(array, 0, axis)
            options = {"stable": True} if "sort" in name else {}
            expected = getattr(np, name)(turned, *args, axis=axis, **options)
            for chunks in ((30, 2, 3), (17, 1, 2)):
                x = ka.from_array(
                    turned, chunks=tuple(np.roll(chunks, axis)) if axis != 1 else (chunks[1], chunks[0], 3)
                )
                with config.set({"array.chunk_size_bytes": 240}):
                    found = getattr(ka, name)(x, *args, axis=axis)
                assert found.shape == expected.shape and found.dtype == expected.dtype
                np.testing.assert_array_equal(found.compute(), expected)

    def test_axes_that_are_kept(self):
        x = ka.from_array(self.LINES, chunks=(20, 2, 3))
        with config.set({"array.chunk_size_bytes": 240}):
            found = ka.quantile(x, [0.25, 0.5], axis=0, keepdims=True)
        np.testing.assert_array_equal(found.compute(), np.quantile(self.LINES, [0.25, 0.5], axis=0, keepdims=True))

    def test_no_task_holds_a_line(self):
        x = ka.random.default_rng(1).normal(size=(4000, 3), chunks=(100, 3))
        with config.set({"array.chunk_size_bytes": 100 * 3 * 8}):
            for y in (ka.sort(x, axis=0), ka.median(x, axis=0), ka.quantile(x, 0.9, axis=0)):
                assert max(part.block_bytes for part in walk([y.expr])) <= max(100 * 3 * 8, 1 << 14)
