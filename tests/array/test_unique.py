"""Different elements, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.array.against_numpy import check_function

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
        check_function("unique", array, options=options, lazy=False, most=5)


def test_nan_that_differ() -> None:
    for options in ({}, {"return_counts": True, "return_index": True}):
        check_function("unique", HOLED, options={"equal_nan": False, **options}, lazy=False, most=5)
    with pytest.raises(NotImplementedError, match="equal_nan"):
        ka.unique(ka.from_array(HOLED), return_inverse=True, equal_nan=False)


@pytest.mark.parametrize("options", [{}, ALL])
def test_slices(options: Any) -> None:
    rows = rng.integers(0, 2, (9, 2))
    for array in (rows, rows.T, rng.integers(0, 2, (3, 7, 2)), rows[:0]):
        for axis in range(-array.ndim, array.ndim):
            if array.shape[axis] == 0 or array.size:
                check_function("unique", array, options={"axis": axis, **options}, lazy=False, most=5)


def test_union() -> None:
    check_function("union1d", GRID, GRID + 2, lazy=False, most=5)
    check_function("union1d", HOLED, np.arange(9.0), lazy=False, most=5)
    check_function("union1d", GRID, np.array([0.5, 7]), lazy=False, most=5)
