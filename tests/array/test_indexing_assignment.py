"""``x[index] = value``."""

from __future__ import annotations

import numpy as np
import pytest
from against_numpy import check, chunkings, nothing_runs

import kask.array as ka
from kask.array.base import ArrayBase, as_expr, wrap
from kask.array.ops.deferring import deferrable
from kask.array.ops.elementwise import elementwise

S = slice
CUBE = (np.arange(5 * 4 * 6) * 37 % 101).reshape(5, 4, 6)
NEW = -np.arange(1.0, 1 + 5 * 4 * 6).reshape(5, 4, 6)


@deferrable
def greater(x, bound):
    if isinstance(x, ArrayBase):
        return wrap(elementwise(np.greater, as_expr(x), bound))
    return x > bound


@deferrable
def doubled(x):
    return wrap(elementwise(np.multiply, as_expr(x), 2)) if isinstance(x, ArrayBase) else x * 2


def put(index, *given):
    """A function that assigns to a copy of its first argument; the value is the last one, or ``given``."""

    def call(x, *rest):
        y = x if isinstance(x, ArrayBase) else x.copy()
        value = rest[-1] if rest else given[0]
        y[index(*rest[:-1]) if callable(index) else index] = value
        return y

    return call


BASIC = [
    0, -1, S(1, 4), S(None, None, -1), S(4, 0, -2), S(3, 3), None, ..., (), (..., 0), (0, 1, 2), (S(None), 2), (None, 1, None, S(1, 3)),
    (S(None, None, 2), S(None, None, -3), S(1, None, 2)), (S(2, 5), 0), (S(None), S(None), S(1, 6, 4)),
]  # fmt: skip

ARRAYS = [
    [0, 2, 4], [4, 0, -1], [1, 1, 3, 1], [], np.array([[0, 1], [4, 4]]), (S(None), [3, 1]), (S(None), S(None), [5, 0, 1, -2]),
    ([0, 1, 4], [3, 3, 0]), ([0, 1, 4], S(None), [5, 0, 2]), ([0, 1], 2), (0, [1, 2]), (0, S(None), [1, 2]), ([1, 2], S(None), 0),
    ([[0], [4]], [1, 2, 0]), ([[0], [4]], S(None), [1, 2, 0]), np.ix_([0, 4], [3, 1], [2, 5]), (S(None, None, -2), [3, 0], S(1, 5)),
    (None, [1, 2], None), ([0, 3, 1], ..., [1, 2, 0]), ([1, 2, 3], [0, 0, 0], [1, 1, 5]), CUBE > 50, CUBE < 0, CUBE[:, 0, 0] > 30,
    (S(None), CUBE[0, :, 0] > 6), (S(None), CUBE[0] % 3 == 1), (S(1, 4), CUBE[0, :, 0] > 6, S(None, None, -1)), True, False,
    (0, S(None), CUBE[0, 0] > 30), (..., CUBE[0, 0] > 30), (CUBE[:, 0, 0] > 70, S(None), [1]), (2, CUBE[0] > 30),
]  # fmt: skip


@pytest.mark.parametrize("index", BASIC + ARRAYS, ids=range(len(BASIC + ARRAYS)))
def test_values(index):
    check(put(index, 7), CUBE)
    picked = NEW[index]
    check(put(index), CUBE, picked)
    if picked.ndim > 1:
        check(put(index), CUBE, picked[-1:] if picked.shape[0] else picked)
        check(put(index), CUBE, picked[0] if picked.shape[0] else picked)
        check(put(index), CUBE, picked[..., :1])
    if picked.ndim and not (isinstance(index, np.ndarray) and index.shape == CUBE.shape):
        check(put(index), CUBE, picked[None, None])


MASKS = [
    (CUBE > 50, lambda m: m), (CUBE > 500, lambda m: m), (CUBE[:, 0, 0] > 30, lambda m: m), (CUBE[:, :, 0] > 30, lambda m: m),
    (CUBE[0] > 30, lambda m: (S(None), m)), (CUBE[0, :, 0] > 6, lambda m: (S(None), m)), (CUBE[0, 0] > 30, lambda m: (..., m)),
    (CUBE[0, 0] > 30, lambda m: (0, S(None), m)), (CUBE[1:4, 0, 0] > 30, lambda m: (S(3, 0, -1), m_of(m), S(2))),
    (CUBE[:, 0, 0] > 70, lambda m: (m, S(None), [1])), (np.array([3, 0, 3]), lambda p: p), (np.array([3, 0]), lambda p: (S(None), p, S(1, 3))),
    (np.array([3, 0]), lambda p: (p, 1, p)), (np.array(2), lambda p: (S(None), p)), (np.array(True), lambda p: p),
]  # fmt: skip


def m_of(mask):
    return [0, 3]


@pytest.mark.parametrize(("mask", "index"), MASKS, ids=range(len(MASKS)))
def test_indices_of_kask(mask, index):
    check(put(index), CUBE, mask, np.array(7))
    picked = NEW[index(mask)]
    check(put(index), CUBE, mask, picked)
    if picked.ndim > 1:
        check(put(index), CUBE, mask, picked[..., :1])
        check(put(index), CUBE, mask, picked[0] if picked.shape[0] else picked)


def test_mask_of_the_array_itself_and_a_value_of_unknown_size():
    for cuts in chunkings(CUBE.shape):
        with nothing_runs():
            x = ka.from_array(CUBE, chunks=cuts)
            x[greater(x, 50)] = doubled(x[greater(x, 50)])
            y = x[greater(x, 90)]
            y[::2] = -1
        expected = CUBE.copy()
        expected[expected > 50] *= 2
        np.testing.assert_array_equal(x.compute(), expected)
        rest = expected[expected > 90]
        rest[::2] = -1
        np.testing.assert_array_equal(y.compute(), rest)


def test_the_array_that_was_there_stays():
    x = ka.from_array(np.arange(5), chunks=2)
    y = x[1:]
    x[:] = 0
    np.testing.assert_array_equal(y.compute(), [1, 2, 3, 4])
    base = np.arange(5)
    z = ka.from_array(base, chunks=2).persist()
    w = z[:]
    w[2:] = 9
    np.testing.assert_array_equal(z.compute(), np.arange(5))
    np.testing.assert_array_equal(base, np.arange(5))


@pytest.mark.parametrize("dtype", ["?", "i1", "f4", "c8", "M8[s]", "O", "U3"])
def test_types(dtype):
    x, new = np.arange(11).astype(dtype), np.array([5, 6]).astype(dtype)
    check(put(S(1, 3)), x, new)
    check(put([1, 9]), x, new)
    check(put([1, 9], new[0]), x)
    check(put(np.arange(11) > 8), x, new)


def test_values_are_cast():
    check(put(S(1, 3), 2.7), CUBE)
    check(put([1], 2.7), CUBE)
    check(put(CUBE > 4, 2.7), CUBE)
    check(put(S(None), "5"), CUBE)
    check(put(S(1), [[1, 2, 3, 4, 5, 6]]), CUBE)


def test_fields():
    x = np.array([(i, i / 2) for i in range(7)], dtype=[("n", "i4"), ("half", "f8")])
    check(put("half", 3), x)
    check(put("n"), x, np.arange(7) * 2)
    check(put(2, (5, 6.5)), x)


def test_random_assignments():
    rng = np.random.default_rng(2)
    for _ in range(120):
        x = rng.integers(0, 100, rng.integers(1, 6, 3))
        y = ka.from_array(x, chunks=tuple(rng.integers(1, 4, 3)))
        shape = tuple(rng.integers(1, 4, rng.integers(1, 3)))
        index = []
        for length in x.shape:
            index.append(
                [
                    int(rng.integers(-length, length)),
                    slice(
                        *[[None, int(rng.integers(-7, 7))][rng.integers(2)] for _ in range(2)],
                        int(rng.choice([-2, -1, 3])),
                    ),
                    rng.integers(-length, length, shape[-1:]),
                    rng.integers(-length, length, shape),
                    slice(None),
                ][rng.integers(5)]
            )
        index = tuple(index[: rng.integers(1, 4)])
        new = -rng.integers(1, 1000, x[index].shape)
        expected = x.copy()
        expected[index] = new
        chunks = tuple([int(rng.integers(1, 4)) for _ in new.shape]) if new.size else -1
        y[index] = ka.from_array(np.asarray(new), chunks=chunks)
        np.testing.assert_array_equal(y.compute(), expected, err_msg=repr((x.shape, index)))


@pytest.mark.parametrize(
    ("index", "value", "kind"),
    [
        ((S(0, 2), 0), np.ones(3), ValueError), ([0, 1], np.ones(3), ValueError), (CUBE > 3, np.ones(3), ValueError),
        (([0, 1], [0, 1]), np.ones((3, 4)), ValueError), (7, 1, IndexError), ([9], 1, IndexError), ((0, 0, 0), 1j, TypeError),
        (CUBE[:, 0, 0] > 3, np.ones((9, 4, 6)), ValueError), (0, "word", ValueError), ("name", 1, IndexError),
        (0, np.ones((2, 1, 4, 6)), ValueError),
    ],
)  # fmt: skip
def test_refused_as_numpy_does(index, value, kind):
    with pytest.raises(kind) as expected:
        put(index, value)(CUBE)
    x = ka.from_array(CUBE, chunks=2)
    with pytest.raises(kind) as found:
        x[index] = value
    assert str(found.value) == str(expected.value)


def test_too_few_values_for_a_mask_are_told_when_it_is_computed():
    x = ka.from_array(CUBE, chunks=2)
    x[greater(x, 50)] = np.ones(3)
    with pytest.raises(ValueError, match="cannot assign 3 input values to the 58 output values where the mask is true"):
        x.compute()


@pytest.mark.parametrize(
    ("index", "places"),
    [
        (lambda p: (S(5, 7, -1), [], p), [-4, -1, -4, 0]), (lambda p: (S(0, 0), [0, 1], p), [0, 1, 2]),
        (lambda p: (False, p, S(4, None, 3)), [1, 2]), (lambda p: (p, S(2, 2), [0, 1]), [True, False, True, True, False]),
        (lambda p: (S(0, 0), [1, 2], p), [True, False, True, False, False, True]), (lambda p: (S(0, 0), p), [9]),
        (lambda p: (S(0, 0), S(None), p), [0, -7]),
    ],
)  # fmt: skip
def test_indices_of_kask_that_do_not_fit_are_refused_where_nothing_is_taken(index, places):
    places = np.array(places)
    with pytest.raises(IndexError) as expected:
        put(index(places), -1)(CUBE)
    for cuts in chunkings(CUBE.shape):
        x = ka.from_array(CUBE, chunks=cuts)
        with nothing_runs():
            x[index(ka.from_array(places, chunks=2))] = -1
        with pytest.raises(IndexError) as found:
            x.compute()
        assert str(found.value) == str(expected.value)


def test_nothing_is_taken():
    x = ka.from_array(CUBE, chunks=2)
    places = ka.from_array(np.array([1, 0, 1]), chunks=2)
    with nothing_runs():
        x[1:1, places] = -1
        x[3:2, places, [0, 1, 2]] = ka.ones((0, 3), chunks=2)
        x[:, 2:1, ka.from_array(CUBE[0, 0] > 2, chunks=3)] = 7
    np.testing.assert_array_equal(x.compute(), CUBE)


def test_values_that_do_not_fit_a_mask_are_refused_where_nothing_is_taken():
    mask = CUBE[0, 0] > 1
    values = np.ones(mask.sum() + 2)
    with pytest.raises(ValueError):
        put((S(0, 0), 0, mask), values)(CUBE)
    x = ka.from_array(CUBE, chunks=2)
    x[0:0, 0, ka.from_array(mask, chunks=2)] = values
    with pytest.raises(ValueError, match="cannot assign"):
        x.compute()


def test_what_was_assigned_does_not_change_later():
    x = ka.from_array(np.zeros((3, 4)), chunks=2)
    row, mask, places = np.empty(4), np.zeros(4, bool), np.array([0])
    for at in range(3):
        row[:] = at + 1
        mask[:] = [True, True, at == 1, False]
        places[0] = at
        x[at] = row
        x[at, mask] = -1
        x[places, 3] = row[:1] * 10
    row[:], mask[:], places[:] = 99, True, 0
    np.testing.assert_array_equal(x.compute(), [[-1, -1, 1, 10], [-1, -1, -1, 20], [-1, -1, 3, 30]])
