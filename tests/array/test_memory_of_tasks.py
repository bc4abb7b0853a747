"""What tasks hold: whole axes in blocks of the size that is asked for, and the peak that ``explain`` names."""

from __future__ import annotations

import numpy as np
import pytest

import kask.array as ka
from kask import config

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
        assert found.largest is not None and found.largest.own_bytes == block
        assert block <= found.peak_bytes <= 3 * block


def test_views_are_not_taken_for_what_they_look_like():
    x = ka.random.default_rng(1).normal(size=(SIDE, SIDE), chunks=100)
    found = ka.lib.stride_tricks.sliding_window_view(x, 50, axis=0).mean(axis=-1).explain()
    assert found.largest is not None and found.largest.own_bytes <= 2 * 100 * 100 * 8
