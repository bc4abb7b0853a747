"""Masks and lists that are arrays of Kask, and what is done with arrays whose size is not known."""

from __future__ import annotations

import numpy as np
import pytest
from against_numpy import assert_same, check, chunkings, nothing_runs

import kask
import kask.array as ka
from kask.array.base import ArrayBase, as_expr, wrap
from kask.array.ops.elementwise import elementwise

S = slice
CUBE = (np.arange(5 * 4 * 6) * 37 % 101).reshape(5, 4, 6)


def call(func, *args):
    """A ufunc, of NumPy arrays and of Kask's."""
    if any(isinstance(arg, ArrayBase) for arg in args):
        return wrap(elementwise(func, *[as_expr(arg) for arg in args]))
    return func(*args)


def above(x, bound):
    return call(np.greater, x, bound)


@pytest.mark.parametrize("bound", [-1, 50, 90, 1000])
def test_mask_of_the_array_itself(bound):
    check(lambda x: x[above(x, bound)], CUBE)
    check(lambda x: x[above(x, bound)], CUBE[0])
    check(lambda x: x[above(x, bound)], CUBE[0, 0])


@pytest.mark.parametrize(
    ("mask", "index"),
    [
        (CUBE[:, 0, 0] > 30, lambda m: m),
        (CUBE[:, :, 0] > 30, lambda m: m),
        (CUBE[0] > 30, lambda m: (S(None), m)),
        (CUBE[0, :, 0] > 30, lambda m: (S(None), m)),
        (CUBE[0, 0] > 30, lambda m: (..., m)),
        (CUBE[0, 0] > 30, lambda m: (0, S(None), m)),
        (CUBE[0, 0] > 30, lambda m: (0, 1, m)),
        (CUBE[0, 0] > 30, lambda m: (S(1, None), S(None, None, -1), m)),
        (CUBE[0, 0] > 30, lambda m: (None, ..., m)),
        (CUBE[0, 0] > 30, lambda m: ([0, 1], S(None), m[:2])),
        (CUBE[:, 0, 0] > 30, lambda m: (m, [0])),
        (CUBE[:, 0, 0] > 30, lambda m: (m, S(None), 2)),
        (np.array(True), lambda m: m),
        (np.array(False), lambda m: (0, m)),
    ],
)
def test_masks_of_some_axes(mask, index):
    if isinstance(index(mask), tuple) and isinstance(index(mask)[0], list):
        mask = np.array([True, True, False, False, False, False])
        check(lambda x, m: x[[0, 1], :, m], CUBE, mask)
        return
    check(lambda x, m: x[index(m)], CUBE, mask)


@pytest.mark.parametrize(
    ("places", "index"),
    [
        (np.array([3, 0, 0, -1]), lambda p: p),
        (np.array([3, 0, 0, -1]), lambda p: (S(None), p)),
        (np.array([[3, 0], [0, -1]]), lambda p: (S(None), p)),
        (np.array([3, 0, 1]), lambda p: (p, S(None), [5, 1, 0])),
        (np.array([3, 0, 1]), lambda p: (p, S(None), p)),
        (np.array([3, 0, 1], np.uint8), lambda p: (p, 1, S(None, None, -2))),
        (np.array(2), lambda p: p),
        (np.array(2), lambda p: (S(None), p, [0, 1])),
        (np.array([], int), lambda p: p),
    ],
)
def test_lists_of_kask(places, index):
    check(lambda x, p: x[index(p)], CUBE, places)


def test_index_beyond_the_axis_is_told_when_it_is_computed():
    x = ka.from_array(CUBE, chunks=2)
    y = x[ka.from_array(np.array([0, 7]), chunks=1)]
    with pytest.raises(IndexError, match="index 7 is out of bounds for axis 0 with size 5"):
        y.compute()


def test_what_follows_a_mask_is_lazy():
    for cuts in chunkings(CUBE.shape):
        with nothing_runs():
            x = ka.from_array(CUBE, chunks=cuts)
            y = x[above(x, 40)]
            twice = y[::-1][above(y[::-1], 60)]
            rows = x[above(x[:, 0, 0], 30)][:, 1:, [2, 0]]
            assert (y.ndim, y.dtype, twice.ndim, rows.ndim) == (1, CUBE.dtype, 1, 3)
            assert repr(y) == f"kask.array<select, shape=(?,), dtype={CUBE.dtype}, sizes are found while running>"
        a, b, c = kask.compute(y, {"twice": twice}, rows)
        expected = CUBE[CUBE > 40]
        np.testing.assert_array_equal(a, expected)
        np.testing.assert_array_equal(b["twice"], expected[::-1][expected[::-1] > 60])
        np.testing.assert_array_equal(c, CUBE[CUBE[:, 0, 0] > 30][:, 1:, [2, 0]])
        assert y.shape == expected.shape


def test_a_stage_runs_once():
    from kask.array.ops.creation import Made

    del RUNS[:]
    made = wrap(Made(counted, (), ka.from_array(np.zeros(10), chunks=5).expr.chunks, np.empty(0), "made"))
    y = made[above(made, 2)]
    with nothing_runs():
        z = y[::2]
    assert y.shape == (7,)
    assert len(RUNS) == 2
    assert y.chunks == ((2, 5),)
    np.testing.assert_array_equal(z.compute(), [3, 5, 7, 9])
    np.testing.assert_array_equal(y.compute(scheduler=None), np.arange(3.0, 10))
    assert len(RUNS) == 2
    kept = y.persist()
    assert type(kept) is ka.Array
    np.testing.assert_array_equal(kept.compute(), np.arange(3.0, 10))


RUNS: list = []


def counted(start, shape):
    RUNS.append(start)
    return np.arange(start[0], start[0] + shape[0], dtype=float)


def test_other_engines():
    x = ka.from_array(CUBE, chunks=2)
    y = x[above(x, 40)]
    for scheduler in ["sync", "threads", "sync"]:
        np.testing.assert_array_equal(y[1:].compute(scheduler=scheduler), CUBE[CUBE > 40][1:])


def test_explain_runs_nothing():
    x = ka.from_array(CUBE, chunks=2)
    y = x[above(x, 40)]
    y.explain()
    assert y.expr.is_unknown


def test_errors_come_when_the_array_is_closed():
    x = ka.from_array(CUBE, chunks=2)
    with pytest.raises(IndexError, match=f"index 500 is out of bounds for axis 0 with size {(CUBE > 40).sum()}"):
        x[above(x, 40)][500]


def test_recorded_calls_can_be_pickled_and_have_stable_tokens():
    import pickle

    x = ka.from_array(CUBE, chunks=2)
    y, again = [ka.take(x[above(x, 40)], [0, 2]) for _ in range(2)]
    assert y.expr.token == again.expr.token
    assert pickle.loads(pickle.dumps(ka.take)) is ka.take
    np.testing.assert_array_equal(y.compute(), CUBE[CUBE > 40][[0, 2]])


def test_processes():
    x = ka.from_array(CUBE, chunks=2)
    y = x[above(x, 40)]
    y[::2] = 0
    z = x[[3, 1], :, [0, 5]]
    expected = CUBE[CUBE > 40]
    expected[::2] = 0
    found = kask.compute(y, z, scheduler="processes")
    assert_same(found, (expected, CUBE[[3, 1], :, [0, 5]]))


def test_iteration_and_length():
    x = ka.from_array(CUBE[0, 0], chunks=2)
    y = x[above(x, 40)]
    assert len(y) == (CUBE[0, 0] > 40).sum()
    assert [int(item) for item in y] == CUBE[0, 0][CUBE[0, 0] > 40].tolist()
    with pytest.raises(TypeError, match="0-d"):
        iter(ka.from_array(np.array(1), chunks=()))


def test_functions_of_elements_are_lazy():
    x = ka.from_array(CUBE, chunks=2)
    with nothing_runs():
        y = x[above(x, 40)]
        z = call(np.add, call(np.multiply, y, 2.5), y[::-1])
        rows = call(np.add, x[above(x[:, 0, 0], 30)], np.arange(6))
        assert (z.ndim, z.dtype, rows.ndim) == (1, np.float64, 3)
        assert rows.expr.dims == (None, 4, 6)
    expected = CUBE[CUBE > 40]
    np.testing.assert_array_equal(z.compute(), expected * 2.5 + expected[::-1])
    np.testing.assert_array_equal(rows.compute(), CUBE[CUBE[:, 0, 0] > 30] + np.arange(6))
    with pytest.raises(ValueError, match="cannot be broadcast together"):
        call(np.add, y, np.ones(3)).compute()
