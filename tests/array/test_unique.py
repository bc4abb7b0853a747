"""Different elements, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.array.against_numpy import assert_same, check_function, nothing_runs

import kask.array as ka
from kask.array.kernels import unique as kernels

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
    dates = GRID.astype("M8[D]")
    dates[[0, 2, 4], [3, 1, 0]] = "NaT"
    for array in (HOLED, dates, HOLED[0, :0], np.array(np.nan), HOLED.astype("f4")[:, ::-1]):
        for options in ({}, {"return_counts": True, "return_index": True}, ALL):
            check_function("unique", array, options={"equal_nan": False, **options}, most=6)
        # NumPy's NaN are in order if it is asked where they are.
        values, _, inverse = np.unique(array, True, True, equal_nan=False)
        found = ka.unique(ka.from_array(array, chunks=2), return_inverse=True, equal_nan=False)
        assert_same(found, (values, inverse))
    several = [complex(np.nan, 1), 2, complex(1, np.nan), complex(np.nan, np.nan), complex(1, np.nan), 1]
    for equal_nan in (False, True):
        check_function("unique", np.array(several), options={"equal_nan": equal_nan, **ALL})


def test_slices_with_nan() -> None:
    rows = np.array([[1, np.nan], [1, np.nan], [1, 2], [0, 3], [np.nan, np.nan], [1, 2], [1, np.nan]])
    for array, axis in ((rows, 0), (rows.T, 1), (np.stack([rows, rows], axis=1), 0)):
        for options in ({}, {"return_inverse": True}, ALL):
            check_function("unique", array, options={"axis": axis, **options}, most=6)


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


SETS = {
    "integers": (np.array([3, 1, 3, 7, 0]), np.array([[7, 2], [3, 3]])),
    "missing": (np.array([np.nan, 1.0, np.nan, 2.0]), np.array([2.0, np.nan, 5.0])),
    "text": (np.array(["b", "a", "b"]), np.array(["cc", "b"])),
    "nothing": (np.array([], int), np.array([1, 2])),
    "and nothing": (np.array([[1, 2], [2, 1]]), np.array([], int)),
    "one": (np.array([1, 2, 1]), np.array(2)),
    "types": (np.array([1, 2, 300], "i2"), np.array([2.0, 2.5, 300, 1.0], "f4")),
    "times": (np.array(["2001-01-02", "NaT", "1999-01-01"], "M8[D]"), np.array(["1999-01-01", "NaT"], "M8[s]")),
    "objects": (np.array([3, "a", 1, "a"][::2] * 2, object), np.array([1, 7], object)),
    "complex": (np.array([1j, 2, 1j, 3]), np.array([2, 1j])),
}


@pytest.mark.parametrize("arrays", SETS.values(), ids=SETS)
@pytest.mark.parametrize("name", ["intersect1d", "setdiff1d", "setxor1d", "union1d"])
def test_sets(name: str, arrays: tuple[np.ndarray, np.ndarray]) -> None:
    check_function(name, *arrays, most=8)
    if name == "intersect1d":
        check_function(name, *arrays, options={"return_indices": True}, most=8)


def test_sets_of_different_elements() -> None:
    first, second = np.array([5, 1, 7, 2]), np.array([2, 9, 5])
    for name in ("intersect1d", "setdiff1d", "setxor1d"):
        check_function(name, first, second, options={"assume_unique": True})
        check_function(name, first.reshape(2, 2), second, options={"assume_unique": True})
    options = {"assume_unique": True, "return_indices": True}
    check_function("intersect1d", first.reshape(2, 2), second, options=options)
    check_function("setxor1d", *SETS["missing"], options={"assume_unique": True})
    assert_same(np.setdiff1d(ka.from_array(first, chunks=3), [1, 2]), np.setdiff1d(first, [1, 2]))


def test_sets_of_arrays_of_unknown_size() -> None:
    x, y = ka.from_array(GRID, chunks=(2, 3)), ka.from_array(GRID + 2, chunks=(3, 5))
    for name in ("intersect1d", "setdiff1d", "setxor1d", "union1d"):
        for assume_unique in (False, True)[: 1 if name == "union1d" else 2]:
            options = {"assume_unique": True} if assume_unique else {}
            with nothing_runs():
                some = ka.unique(x[x > 1]), ka.unique(y[y > 1])
                found = getattr(ka, name)(*some, **options)
                sums = found.sum(), getattr(ka, name)(x, y[0]) * 2
            expected = getattr(np, name)(np.unique(GRID[GRID > 1]), np.unique(GRID[GRID > -1] + 2), **options)
            assert_same((found, *sums), (expected, expected.sum(), getattr(np, name)(GRID, GRID[0] + 2) * 2))


def test_sets_gather_only_what_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    """No task of a set operation has more than one block, or the different elements of a few."""
    sizes: list[int] = []

    def noted(values: Any, *args: Any) -> Any:
        sizes.append(values.size)
        return unique_block(values, *args)

    unique_block = kernels.unique_block
    monkeypatch.setattr(kernels, "unique_block", noted)
    x = ka.arange(10_000, chunks=500) % 7
    for name in ("intersect1d", "setdiff1d", "setxor1d"):
        found = getattr(ka, name)(x, x[:4000] % 5)
        assert_same(found, getattr(np, name)(np.arange(7), np.arange(5)))
    assert sizes and max(sizes) == 500


def test_functions_of_the_standard_take_nan_for_different_ones() -> None:
    x = ka.from_array(HOLED, chunks=(2, 3))
    with nothing_runs():
        found = ka.unique_all(x), ka.unique_counts(x), ka.unique_inverse(x), (ka.unique_values(x),)
    everything = np.unique_all(HOLED)
    values, _, inverse, counts = everything
    for ours, theirs in zip(found, (everything, (values, counts), (values, inverse), (values,))):
        assert_same(tuple(ours), tuple(theirs))
