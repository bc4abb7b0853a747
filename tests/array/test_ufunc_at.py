"""``ufunc.at``: elements change in place, again for each time that they are picked."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from against_numpy import assert_same, chunkings, nothing_runs

import kask
import kask.array as ka

RNG = np.random.default_rng(0)
TABLE = RNG.integers(1, 9, (6, 5))
LARGE = TABLE > 4

#: Ufuncs, indices and values.
CASES: list[tuple[Any, Any, Any]] = [
    (np.add, ([0, 3, 0, 5], [1, 1, 1, 4]), [1, 2, 3, 4]),
    (np.subtract, [5, 0, 5], RNG.integers(0, 9, (3, 5))),
    (np.subtract, [5, 0, 5], RNG.integers(0, 9, (3, 1))),
    (np.multiply, (slice(None), [4, 0, 4]), RNG.integers(0, 9, (6, 3))),
    (np.power, ([1, 1, 1], slice(1, 4)), 2),
    (np.add, np.array([[0, 1], [1, 1]]), 1),
    (np.add, (np.array([[0, 1], [1, 1]]), np.array([[0, 1], [1, 1]])), np.array([[1], [10]])),
    (np.negative, [0, 0, 0, 2], None),
    (np.negative, (slice(None), [1, 1, 2]), None),
    (np.maximum, 2, 7),
    (np.add, slice(4, 0, -2), RNG.integers(0, 9, (2, 5))),
    (np.add, LARGE, 2.7),
    (np.add, LARGE, np.arange(LARGE.sum())),
    (np.add, ([True, False, True, False, False, True], [0, 1, 1]), [1, 2, 3]),
    (np.add, [], 1),
    (np.divide, [0, 0, 1], 3),
    (np.add, (None, [0, 0, 1]), 3),
    (np.add, (1, [0, 0, 1]), [3, 4, 5]),
    (np.add, (..., [0, 0, 1]), 3),
    (np.greater, [0, 0], 3),
    (np.add, [-1, 5], 3),
]


def is_list(x: Any) -> bool:
    return isinstance(x, list | np.ndarray)


def lazy(x: Any) -> Any:
    return ka.from_array(np.asarray(x), chunks=2) if is_list(x) and np.size(x) else x


@pytest.mark.parametrize("kind", ["i8", "f8", "u1"])
@pytest.mark.parametrize("case", range(len(CASES)))
def test_as_in_numpy(case: int, kind: str) -> None:
    func, index, value = CASES[case]
    array = TABLE.astype(kind)
    expected = array.copy()
    func.at(expected, index, *(() if value is None else (value,)))
    lazy_index = tuple(map(lazy, index)) if isinstance(index, tuple) else lazy(index)
    ways = itertools.product([func.at, getattr(ka, func.__name__).at], [(index, value), (lazy_index, lazy(value))])
    for at, (picked, given) in ways:
        for chunks in chunkings(array.shape):
            x = ka.from_array(array, chunks=chunks)
            before = x + 0
            with nothing_runs():
                assert at(x, picked, *(() if given is None else (given,))) is None
            assert x.dtype == array.dtype
            assert_same(x, expected)
            assert_same(before, array)


def test_types_are_cast_as_in_numpy() -> None:
    for kind, value in itertools.product(("u1", "f4", "i8", "c8"), (1, 1.5, np.float64(2), True, 300)):
        expected = np.full(5, 200).astype(kind)
        np.add.at(expected, [0, 4, 0], value)
        x = ka.from_array(np.full(5, 200).astype(kind), chunks=2)
        np.add.at(x, [0, 4, 0], value)
        assert_same(x, expected)


def test_many_at_random() -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        array, index = rng.random((50, 3)), rng.integers(-50, 50, 400)
        expected, values = array.copy(), rng.random((400, 3))
        np.add.at(expected, index, values)
        x = ka.from_array(array, chunks=(int(rng.integers(1, 50)), 2))
        np.add.at(x, index, ka.from_array(values, chunks=(70, 1)))
        # One after another in their order, and so the same to the last digit.
        assert_same(x, expected)


def test_what_is_given_may_be_changed_later() -> None:
    x = ka.from_array(np.zeros(3), chunks=2)
    index, value = np.array([0, 0]), np.array([1.0, 2.0])
    np.add.at(x, index, value)
    index[:], value[:] = 2, 9
    assert_same(x, np.array([3.0, 0, 0]))


def test_of_unknown_size() -> None:
    for func, (index, value) in itertools.product(
        (np.add, ka.add), (([0, 0, 1], 5), ([0, 0], [1, 2]), (slice(0, 2), 3), (np.array([1, 1]), 7))
    ):
        x = ka.from_array(TABLE, chunks=2)
        some, expected = x[x > 3], TABLE[TABLE > 3]
        before = some + 0
        func.at(some, index, value)
        np.add.at(expected, index, value)
        assert_same(some, expected)
        assert_same(before, TABLE[TABLE > 3])
    places = ka.from_array(TABLE.ravel(), chunks=7)
    places, known = places[places < 8], TABLE[TABLE < 8]
    for ours, theirs in ((1, 1), (places, known)):
        x, expected = ka.zeros(9, chunks=4, dtype=int), np.zeros(9, int)
        with nothing_runs():
            np.add.at(x, places, ours)
        np.add.at(expected, known, theirs)
        assert_same(x, expected)


def test_on_all_engines(client: Any) -> None:
    x = ka.from_array(TABLE, chunks=2)
    np.add.at(x, ([0, 0, 5], [1, 1, 2]), [1, 2, 3])
    expected = TABLE.copy()
    np.add.at(expected, ([0, 0, 5], [1, 1, 2]), [1, 2, 3])
    assert_same(kask.compute(x, scheduler=client)[0], expected)


def test_wrong_arguments() -> None:
    x = ka.from_array(TABLE, chunks=2)
    for call, kind, text in (
        (lambda: np.add.at(x, [7], 1), IndexError, "index 7 is out of bounds for axis 0 with size 6"),
        (lambda: np.add.at(x, [0, 1], [1, 2, 3]), ValueError, r"shape \(3,\) could not be broadcast"),
        (lambda: np.add.at(x, slice(2), [1, 2, 3]), ValueError, "broadcast"),
        (lambda: np.add.at(x, [0]), ValueError, "second operand needed"),
        (lambda: np.negative.at(x, [0], 1), ValueError, "second operand provided when ufunc is unary"),
        (lambda: np.divmod.at(x, [0], 1), ValueError, "single output"),
        (lambda: np.matmul.at(x, [0], 1), TypeError, "signature"),
        (lambda: np.add.at(x, [0], "a"), TypeError, "did not contain a loop"),
        (lambda: np.add.at(x, [0.5], 1), IndexError, "valid indices"),
        (lambda: ka.add.at(np.ones(3), [0], x), TypeError, "must be an array of Kask if others are, not ndarray"),
        (lambda: np.add.at(np.ones(3), x[0], 1), TypeError, "must be an array of Kask if others are, not ndarray"),
        (lambda: ka.frompyfunc(max, 2, 1).at(x, [0], 1), TypeError, "is for ufuncs of NumPy"),
    ):
        with pytest.raises(kind, match=text):
            call()
    assert_same(x, TABLE)
    array = np.zeros(3)
    ka.add.at(array, [0, 0], 1)
    assert array.tolist() == [2, 0, 0]
