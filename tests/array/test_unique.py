"""Different elements, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.array.against_numpy import assert_same, check_function, nothing_runs

import kask.array as ka

rng = np.random.default_rng(29)
GRID = rng.integers(0, 4, (6, 5))
HOLED = np.where(GRID > 2, np.nan, GRID)
ALL = {"return_index": True, "return_inverse": True, "return_counts": True}


@pytest.mark.parametrize(
    "options", [{}, ALL, {"return_counts": True}, {"return_inverse": True}, {"return_index": True}]
)
def test_elements(options: Any) -> None:
    for array in (
        GRID,
        HOLED,
        GRID.astype("M8[D]"),
        GRID > 1,
        GRID.astype("U2"),
        np.zeros((0, 2)),
        GRID + 1j,
        np.array(5),
        GRID.astype(object),
    ):
        check_function("unique", array, options=options, most=5)


def test_nan_that_differ() -> None:
    for options in ({}, {"return_counts": True, "return_index": True}):
        check_function("unique", HOLED, options={"equal_nan": False, **options}, most=5)
    with pytest.raises(NotImplementedError, match="equal_nan"):
        ka.unique(ka.from_array(HOLED), return_inverse=True, equal_nan=False)


@pytest.mark.parametrize("options", [{}, ALL])
def test_slices(options: Any) -> None:
    rows = rng.integers(0, 2, (9, 2))
    for array in (rows, rows.T, rng.integers(0, 2, (3, 7, 2)), rows[:0]):
        for axis in range(-array.ndim, array.ndim):
            if array.shape[axis] == 0 or array.size:
                check_function("unique", array, options={"axis": axis, **options}, most=5)


def test_union() -> None:
    check_function("union1d", GRID, GRID + 2, most=5)
    check_function("union1d", HOLED, np.arange(9.0), most=5)
    check_function("union1d", GRID, np.array([0.5, 7]), most=5)


def test_what_follows_is_described_without_running_anything() -> None:
    """An engine that refuses to run, and values of unknown number in what is made of them."""
    with nothing_runs():
        x = ka.from_array(GRID, chunks=(2, 3))
        values, places, inverse, counts = ka.unique(x, **ALL)
        shares = counts / counts.sum()
        rows = ka.unique(x % 2, axis=0)
        both = ka.union1d(values, places)
        nested = ka.unique(x[x > 1])
        numbers = ka.bincount(x.ravel())[1:]
        assert inverse.shape == GRID.shape and "?" in repr(values) and rows.ndim == 2
        back = values[inverse.ravel()]
    theirs, first, _, often = np.unique(GRID, **ALL)
    expected = (
        theirs,
        often / often.sum(),
        np.unique(GRID % 2, axis=0),
        np.union1d(theirs, first),
        np.unique(GRID[GRID > 1]),
        np.bincount(GRID.ravel())[1:],
        GRID.ravel(),
    )
    assert_same((values, shares, rows, both, nested, numbers, back), expected)


def test_what_was_found_is_found_once() -> None:
    runs = []

    def noted(block: Any) -> Any:
        runs.append(block.size)
        return block

    x = ka.from_array(GRID, chunks=(2, 5)).map_blocks(noted, dtype=GRID.dtype)
    values, counts = ka.unique(x, return_counts=True)
    runs.clear()
    assert_same((values, counts), np.unique(GRID, return_counts=True))
    assert values.shape == counts.shape == (4,) and sum(runs) == GRID.size
