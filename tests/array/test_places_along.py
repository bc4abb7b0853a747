"""Elements by places along an axis, and indices of all combinations."""

from __future__ import annotations

import numpy as np
import pytest
from against_numpy import assert_same, check, check_function, chunkings, nothing_runs

import kask.array as ka
from kask import config

RNG = np.random.default_rng(11)


def values(*shape, dtype=np.int64):
    return RNG.permutation(int(np.prod(shape))).reshape(shape).astype(dtype)


class TestTakeAlongAxis:
    @pytest.mark.parametrize("dtype", [np.bool_, np.int16, np.float32, np.complex128, "M8[s]", object])
    def test_types(self, dtype):
        array = values(4, 5).astype(dtype)
        check_function("take_along_axis", array, RNG.integers(-5, 5, (4, 3)), options={"axis": 1})

    @pytest.mark.parametrize("axis", [0, 1, 2, -1, -3])
    def test_axes(self, axis):
        array = values(3, 4, 2)
        check_function("take_along_axis", array, np.argsort(array, axis=axis), options={"axis": axis})
        check_function("take_along_axis", array, np.argmax(array, axis=axis, keepdims=True), options={"axis": axis})

    @pytest.mark.parametrize(
        "shapes", [((4, 5), (1, 3)), ((1, 5), (4, 3)), ((4, 0), (4, 0)), ((0, 5), (0, 2)), ((4, 1), (4, 6))]
    )
    def test_stretched_and_empty(self, shapes):
        array, length = values(*shapes[0]), shapes[0][1]
        places = RNG.integers(0, length, shapes[1]) if length else np.zeros(shapes[1], int)
        check_function("take_along_axis", array, places, options={"axis": 1})

    def test_of_all_elements(self):
        check_function("take_along_axis", values(3, 4), np.array([5, -1, 0, 5], np.int8), options={"axis": None})

    def test_by_the_sister_functions(self):
        check(lambda x: np.take_along_axis(x, np.argsort(x, axis=0), 0), values(5, 3))

    def test_masks_are_kept(self):
        array = np.ma.masked_array(values(3, 4), mask=values(3, 4) % 3 == 0)
        places = RNG.integers(0, 4, (3, 2))
        found = ka.take_along_axis(ka.from_array(array, chunks=2), places, 1).compute()
        expected = np.take_along_axis(array, places, 1)
        np.testing.assert_array_equal(found.filled(-1), expected.filled(-1))

    def test_lines_are_shared_out(self):
        with config.set({"array.chunk_size_bytes": 800}):
            x = ka.from_array(values(100, 10), chunks=(100, 5))
            found = ka.take_along_axis(x, np.zeros((100, 1), int), 1)
        assert max(found.chunks[0]) <= 10
        assert_same(found, x.compute()[:, :1])

    def test_refuses(self):
        x = ka.ones((3, 4))
        with pytest.raises(ValueError, match="1 axes, but the array has 2"):
            ka.take_along_axis(x, np.zeros(3, int), 1)
        with pytest.raises(ValueError, match=r"\(2, 1\).*\(3, 4\).*axis 0"):
            ka.take_along_axis(x, np.zeros((2, 1), int), 1)
        with pytest.raises(IndexError, match="float64"):
            ka.take_along_axis(x, np.zeros((3, 1)), 1)
        with pytest.raises(np.exceptions.AxisError):
            ka.take_along_axis(x, np.zeros((3, 1), int), 2)
        with pytest.raises(IndexError):
            ka.take_along_axis(x, np.full((3, 1), 4), 1).compute()


class TestPutAlongAxis:
    @pytest.mark.parametrize("axis", [0, 1, -1, None])
    @pytest.mark.parametrize("dtype", [np.float32, np.int8, object])
    def test_in_place(self, axis, dtype):
        array = values(4, 5).astype(dtype)
        places = np.array([3, -1, 0]) if axis is None else np.argsort(array, axis=axis).take([0, 2], axis=axis)
        for new in (-1, RNG.integers(0, 9, places.shape), RNG.integers(0, 9, places.shape[-1:])):
            expected = array.copy()
            np.put_along_axis(expected, places, new, axis)
            for chunks in chunkings(array.shape):
                x = ka.from_array(array, chunks=chunks)
                before = x.chunks
                with nothing_runs():
                    assert ka.put_along_axis(x, ka.from_array(places, chunks=2), new, axis) is None
                assert x.chunks == before
                assert_same(x, expected)
        assert array.dtype == np.dtype(dtype)

    @pytest.mark.parametrize("shapes", [((4, 5), (1, 2), (4, 2)), ((1, 5), (3, 2), (3, 2)), ((4, 0), (4, 0), ())])
    def test_stretched_and_empty(self, shapes):
        array, places = values(*shapes[0]), np.ones(shapes[1], int)
        new = RNG.integers(0, 9, shapes[2])
        expected = array.copy()
        np.put_along_axis(expected, places, new, 1)
        for chunks in chunkings(array.shape):
            x = ka.from_array(array, chunks=chunks)
            np.put_along_axis(x, places, ka.from_array(new, chunks=1), 1)
            assert_same(x, expected)

    def test_the_array_in_memory_is_not_changed(self):
        array = values(3, 4)
        x = ka.from_array(array, chunks=-1)
        ka.put_along_axis(x, np.zeros((3, 1), int), 99, 1)
        assert (x.compute()[:, 0] == 99).all()
        assert 99 not in array

    def test_refuses(self):
        with pytest.raises(TypeError, match="ndarray"):
            ka.put_along_axis(np.ones(3), np.zeros(1, int), 1, 0)
        with pytest.raises(ValueError, match=r"\(2,\).*\(3, 1\)"):
            ka.put_along_axis(ka.ones((3, 4)), np.zeros((3, 1), int), np.ones(2), 1)


class TestCombinations:
    def test_places(self):
        array = values(4, 5)
        expected = np.ix_([2, 0], [1, 4, -1])
        assert_same(list(ka.ix_([2, 0], [1, 4, -1])), list(expected))
        check(
            lambda x, i, j: x[(ka if isinstance(x, ka.Array) else np).ix_(i, j)],
            array,
            np.array([2, 0]),
            np.array([1, 4]),
            lazy=False,
        )

    def test_truth(self):
        array, rows = values(4, 5), np.array([True, False, True, True])
        assert_same(list(ka.ix_(rows, [1])), list(np.ix_(rows, [1])))
        x = ka.from_array(array, chunks=2)
        assert_same(x[ka.ix_(ka.from_array(rows, chunks=3), [1, 0])], array[np.ix_(rows, [1, 0])])
        assert_same(list(ka.ix_([], [1])), list(np.ix_([], [1])))

    def test_refuses(self):
        with pytest.raises(ValueError, match="number 1 has 2"):
            ka.ix_([1], [[1]])


def test_take_as_numpy_calls_it():
    check(lambda x: np.take(x, [5, 0, -1]), values(3, 4))
    check(lambda x: np.take(x, [[0], [1]], 1), values(3, 4))
    x, out = ka.from_array(values(3, 4), chunks=2), ka.zeros(2)
    np.take(x, [7, 8], out=out, mode="clip")
    assert_same(out, np.take(x.compute(), [7, 8]).astype(float))
    assert ka.take(x, [0]).shape == (1, 4)


@pytest.mark.parametrize("limits", [(1, 4), (None, 3), (2, None)])
def test_clip_where(limits):
    array, mask = values(4, 5), values(4, 5) % 2 == 0
    check(lambda x, m: np.clip(x, *limits, out=x.copy(), where=m), array, mask)
    x = ka.from_array(array, chunks=2)
    assert_same(ka.clip(x, *limits, where=mask), np.where(mask, np.clip(array, *limits), array))
    out = ka.zeros((4, 5))
    ka.clip(x, *limits, out=out, where=mask)
    assert_same(out, np.where(mask, np.clip(array, *limits), 0.0))
    with pytest.raises(TypeError, match="where= must be an array of bool, got int64"):
        ka.clip(x, *limits, where=array)


class TestChangesOfArraysOfUnknownSize:
    """Functions that change an array do so too where sizes are found later, and change nothing else meanwhile."""

    ARRAY = np.arange(12.0).reshape(3, 4)

    @pytest.mark.parametrize("home", [ka, np])
    @pytest.mark.parametrize("is_flat", [False, True])
    @pytest.mark.parametrize(
        "change",
        [
            lambda home, t: home.put(t, [0, 1], -1.0),
            lambda home, t: home.put_along_axis(t, np.ones((2,) * t.ndim, int)[:1], -1.0, 0),
            lambda home, t: home.copyto(t, 7.0),
            lambda home, t: home.copyto(t, 7.0, where=t > 5),
            lambda home, t: home.putmask(t, t > 5, [1.0, 2.0]),
            lambda home, t: home.place(t, t > 5, [1.0, 2.0]),
            lambda home, t: home.fill_diagonal(t, 9.0) if t.ndim > 1 else None,
        ],
    )
    def test_of_the_target(self, home, is_flat, change):
        expected = (self.ARRAY[self.ARRAY > 3] if is_flat else self.ARRAY[[False, True, True]]).copy()
        source = ka.from_array(self.ARRAY, chunks=2)
        target = source[source > 3] if is_flat else source[source.sum(axis=1) > 10]
        if not is_flat:
            target, expected = target[:, :2], expected[:, :2]
        other = target + 0
        before = expected.copy()
        change(np, expected)
        assert change(home, target) is None
        assert_same(target + 1, expected + 1)
        assert target.shape == expected.shape
        assert_same(target, expected)
        assert_same(other, before)
        assert_same(source, self.ARRAY)

    def test_of_other_arguments(self):
        source = ka.arange(12.0, chunks=5)
        target = ka.zeros(8, chunks=3)
        ka.copyto(dst=target, src=source[source > 3])
        assert_same(target, np.arange(4.0, 12.0))
        places = ka.arange(3, chunks=1)
        table = ka.zeros((2, 4), chunks=1)
        ka.put_along_axis(table, places[places > 0][:, None], 5.0, 1)
        assert_same(table, np.array([[0, 5.0, 0, 0], [0, 0, 5.0, 0]]))
