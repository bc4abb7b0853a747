"""Masked arrays against ``numpy.ma``."""

from __future__ import annotations

import numpy as np
import pytest
from against_numpy import assert_same, check_function, chunkings, nothing_runs

import kask.array as ka

REALS = np.array([[1.0, np.nan, 3.0, 4.0], [np.inf, 2.0, 3.0, -1.0], [0.0, 3.0, 5.0, 3.0]])
INTS = np.array([[1, 2, 3, 4], [4, 2, 3, -1], [0, 3, 5, 3]])


def assert_masked(found, expected):
    """Equal data where they are not masked, masks and types."""
    value = found.compute()
    assert isinstance(value, np.ma.MaskedArray) and isinstance(found.meta, np.ma.MaskedArray)
    assert value.dtype == expected.dtype == found.dtype
    assert value.shape == expected.shape
    np.testing.assert_array_equal(np.ma.getmaskarray(value), np.ma.getmaskarray(expected))
    np.testing.assert_array_equal(value.filled(0), expected.filled(0))


def assert_types_alike(name, array, expected, rtol, **options):
    """A method of the array, cut in many ways, gives the type, the mask and nearly the values that were expected."""
    for chunks in chunkings(array.shape):
        with nothing_runs():
            found = getattr(ka.from_array(array, chunks=chunks), name)(**options)
        value = found.compute()
        assert found.dtype == np.asarray(value).dtype == expected.dtype
        np.testing.assert_array_equal(np.ma.getmaskarray(value), np.ma.getmaskarray(expected))
        np.testing.assert_allclose(np.ma.filled(value, 0), np.ma.filled(expected, 0), rtol=rtol)


def every(array, call, theirs=None):
    """``call(home, array)`` with ``numpy.ma`` and with ours, cut in many ways."""
    expected = call(np.ma, array)
    for chunks in chunkings(array.shape):
        with nothing_runs():
            found = call(ka.ma, ka.from_array(array, chunks=chunks))
        assert_masked(found, expected)


class TestMasking:
    @pytest.mark.parametrize("array", [REALS, INTS])
    @pytest.mark.parametrize(
        "name",
        [
            "masked_equal",
            "masked_not_equal",
            "masked_greater",
            "masked_greater_equal",
            "masked_less",
            "masked_less_equal",
        ],
    )
    def test_by_comparison(self, name, array):
        every(array, lambda ma, x: getattr(ma, name)(x, 3))

    @pytest.mark.parametrize("name", ["masked_not_equal", "masked_greater", "masked_less_equal"])
    def test_parameters(self, name):
        every(INTS, lambda ma, x: getattr(ma, name)(x=x, value=3, copy=True))

    @pytest.mark.parametrize("name", ["masked_inside", "masked_outside"])
    def test_by_interval(self, name):
        every(INTS, lambda ma, x: getattr(ma, name)(x, 2, 3))

    def test_others(self):
        every(REALS, lambda ma, x: ma.masked_invalid(x))
        every(REALS, lambda ma, x: ma.masked_values(x, 3.0))
        every(INTS, lambda ma, x: ma.masked_where(x > 2, x))
        every(INTS, lambda ma, x: ma.masked_array(x, mask=(x > 2)))
        every(INTS, lambda ma, x: ma.masked_array(x, mask=True))
        every(REALS, lambda ma, x: ma.fix_invalid(x, fill_value=7.0))

    def test_fill_values(self):
        x = ka.from_array(INTS, chunks=2)
        assert ka.ma.masked_equal(x, 3).compute().fill_value == np.ma.masked_equal(INTS, 3).fill_value == 3
        assert ka.ma.masked_array(x, mask=False, fill_value=9).compute().fill_value == 9
        masked = ka.ma.masked_equal(x, 3)
        assert ka.ma.set_fill_value(masked, 8) is None
        np.testing.assert_array_equal(ka.ma.filled(masked).compute(), np.where(INTS == 3, 8, INTS))
        with pytest.raises(TypeError, match="got ndarray"):
            ka.ma.set_fill_value(INTS, 1)

    def test_wrong_arguments(self):
        x = ka.from_array(INTS)
        with pytest.raises(ValueError, match=r"mask has the shape \(3,\), data has \(3, 4\)"):
            ka.ma.masked_array(x, mask=[True, False, True])
        with pytest.raises(IndexError, match="condition has the shape"):
            ka.ma.masked_where(x[0] if hasattr(x, "__getitem__") else ka.from_array(INTS[0]), x)
        with pytest.raises(ValueError, match="single value"):
            ka.ma.masked_equal(x, [1, 2])
        with pytest.raises(TypeError, match="'wrong'"):
            ka.ma.masked_array(x, wrong=1)
        with pytest.raises(TypeError, match="'shape'"):
            ka.ma.zeros_like(x, shape=3)

    def test_inputs_are_not_changed(self):
        array = REALS.copy()
        x = ka.from_array(array, chunks=4)
        ka.ma.fix_invalid(x, fill_value=0).compute()
        masked = ka.from_array(np.ma.masked_equal(INTS, 3), chunks=4)
        other = masked.copy()
        ka.ma.set_fill_value(other, 5)
        assert other.compute().fill_value == 5
        assert masked.compute().fill_value == 3
        original = np.ma.masked_equal(INTS, 3)
        result = ka.from_array(original, chunks=4).compute()
        result[0, 0] = 99
        assert original[0, 0] == 1
        np.testing.assert_array_equal(array, REALS)


class TestWithMasks:
    MASKED = np.ma.masked_array(INTS, mask=(INTS == 3) | (INTS < 0))

    def test_from_array_and_operators(self):
        every(self.MASKED, lambda ma, x: x + 1)
        every(self.MASKED, lambda ma, x: x * x - 2.5)
        every(self.MASKED, lambda ma, x: np.negative(x))
        every(self.MASKED, lambda ma, x: x > 2)
        every(self.MASKED, lambda ma, x: x.astype("f4"))
        every(self.MASKED, lambda ma, x: ma.where(x > 1, x, 5))

    @pytest.mark.parametrize("name", ["zeros_like", "ones_like"])
    def test_likes(self, name):
        every(self.MASKED, lambda ma, x: getattr(ma, name)(x))
        every(self.MASKED, lambda ma, x: getattr(ma, name)(x, dtype="f4"))
        every(self.MASKED, lambda ma, x: ma.empty_like(x) * 0)

    def test_data_and_masks(self):
        x = ka.from_array(self.MASKED, chunks=(2, 3))
        np.testing.assert_array_equal(ka.ma.getdata(x).compute(), INTS)
        np.testing.assert_array_equal(ka.ma.getmaskarray(x).compute(), self.MASKED.mask)
        np.testing.assert_array_equal(ka.ma.filled(x, -5).compute(), self.MASKED.filled(-5))
        assert type(ka.ma.getdata(x).meta) is np.ndarray
        assert not ka.ma.getmaskarray(ka.from_array(INTS, chunks=1)).compute().any()

    @pytest.mark.parametrize("axis", [None, 0, 1])
    def test_count_and_average(self, axis):
        for chunks in chunkings(INTS.shape):
            x = ka.from_array(self.MASKED, chunks=chunks)
            np.testing.assert_array_equal(ka.ma.count(x, axis).compute(), np.ma.count(self.MASKED, axis))
            weights = np.arange(12.0).reshape(3, 4)
            for w in (None, weights):
                found, scale = ka.ma.average(x, axis=axis, weights=w, returned=True)
                expected, total = np.ma.average(self.MASKED, axis=axis, weights=w, returned=True)
                np.testing.assert_allclose(found.compute(), expected)
                np.testing.assert_allclose(scale.compute(), total)

    def test_average(self):
        x = ka.from_array(np.ma.masked_array(INTS, mask=[[True] * 4, [False] * 4, [False] * 4]), chunks=2)
        found = ka.ma.average(x, axis=1).compute()
        assert found.mask.tolist() == [True, False, False]
        one = ka.ma.average(x, axis=0, weights=[1, 2, 3], keepdims=True)
        np.testing.assert_allclose(one.compute(), np.average(INTS[1:], axis=0, weights=[2, 3], keepdims=True))
        with pytest.raises(TypeError, match="give the axis"):
            ka.ma.average(x, weights=[1, 2, 3])
        with pytest.raises(ValueError, match="along axis 1 the array has 4"):
            ka.ma.average(x, axis=1, weights=[1, 2, 3])


class TestReductions:
    """Of masked arrays as of ``numpy.ma``: what is masked takes no part, and the result is masked where nothing does."""

    SOME = np.ma.masked_array(np.arange(24).reshape(4, 6), mask=np.arange(24).reshape(4, 6) % 3 == 0)
    LINES = np.ma.masked_array(np.arange(24).reshape(4, 6), mask=np.zeros((4, 6), bool))
    LINES[1] = np.ma.masked
    LINES[:, 2] = np.ma.masked

    @pytest.mark.parametrize("axis", [None, 0, 1, (0, 1)])
    @pytest.mark.parametrize("array", [SOME, LINES, LINES[1:2]])
    @pytest.mark.parametrize("name", ["sum", "prod", "min", "max", "mean", "var", "std", "any", "all"])
    def test_of_blocks(self, name, array, axis):
        for values in (array, array.astype(float), array.astype(complex)):
            expected = getattr(values, name)(axis=axis)
            for chunks in chunkings(values.shape):
                with nothing_runs():
                    found = getattr(ka.from_array(values, chunks=chunks), name)(axis=axis)
                value = found.compute()
                assert np.ma.is_masked(expected) or value.dtype == found.dtype == np.asarray(expected).dtype
                np.testing.assert_array_equal(np.ma.getmaskarray(value), np.ma.getmaskarray(expected))
                np.testing.assert_allclose(np.ma.filled(value, 7), np.ma.filled(expected, 7))

    @pytest.mark.parametrize("name", ["argmin", "argmax", "ptp"])
    def test_extremes(self, name):
        for axis in (None, 1):
            expected = getattr(np.ma.MaskedArray, name)(self.SOME, axis=axis)
            for chunks in chunkings(self.SOME.shape):
                found = getattr(ka, name)(ka.from_array(self.SOME, chunks=chunks), axis=axis)
                np.testing.assert_array_equal(found.compute(), expected)

    @pytest.mark.parametrize("kind", ["f2", "f4", "f8", "c8", "i2", "?"])
    @pytest.mark.parametrize("name", ["mean", "var", "std"])
    def test_types_of_moments(self, name, kind):
        """Those of ``numpy.ma``: it divides by counts, which makes float64 of float32. It takes squares in half precision, Kask does not."""
        array = self.LINES.astype(kind)
        # Elements of float32 are summed in float32, by both.
        close = {"f2": 2e-3, "f4": 1e-6, "c8": 1e-6}.get(kind, 1e-12)
        for dtype in (None, "f4", "f8"):
            if np.dtype(kind).kind == "c" and dtype:
                continue
            for options in ({"axis": 0}, {"axis": 1, "keepdims": True}, {"axis": None}):
                expected = getattr(array, name)(dtype=dtype, **options)
                assert_types_alike(
                    name, array, expected, max(close, 1e-6 if dtype == "f4" else 0), dtype=dtype, **options
                )

    @pytest.mark.parametrize("kind", ["f2", "f4", "c8", "i2"])
    def test_types_of_averages(self, kind):
        array = self.LINES.astype(kind)
        for weights in (None, np.arange(6), np.arange(6, dtype="f4")):
            expected, scale = np.ma.average(array, axis=1, weights=weights, returned=True)
            for chunks in chunkings(array.shape):
                found, ours = ka.ma.average(ka.from_array(array, chunks=chunks), axis=1, weights=weights, returned=True)
                assert (found.dtype, ours.dtype) == (expected.dtype, scale.dtype)
                np.testing.assert_allclose(ours.compute(), scale)
                value = found.compute()
                assert value.dtype == expected.dtype and value.mask.tolist() == expected.mask.tolist()
                np.testing.assert_allclose(value.filled(0), expected.filled(0), rtol=2e-3)

    def test_degrees_of_freedom(self):
        array = np.ma.masked_array([[1.0, 2, 3], [4, 5, 6]], mask=[[True, True, False], [False, False, False]])
        for chunks in chunkings(array.shape):
            found = ka.from_array(array, chunks=chunks).var(axis=1, ddof=1).compute()
            expected = array.var(axis=1, ddof=1)
            assert found.mask.tolist() == expected.mask.tolist() == [True, False]
            np.testing.assert_allclose(found.filled(0), expected.filled(0))

    def test_nan_is_passed_over_and_what_is_masked_does_not_matter(self):
        array = np.ma.masked_array([[1.0, np.nan, np.inf], [4.0, 5.0, 6.0]], mask=[[False, False, True], [False] * 3])
        x = ka.from_array(array, chunks=2)
        np.testing.assert_array_equal(ka.nanmean(x, axis=1).compute(), [1.0, 5.0])
        np.testing.assert_array_equal(x.mean(axis=0).compute().filled(0), [2.5, np.nan, 6.0])


#: Functions of NumPy, or of Kask, and methods.
CALLS = {
    "reduce": lambda home, a: home.add.reduce(a, axis=0),
    "maximum": lambda home, a: home.maximum.reduce(a, axis=1),
    "cumsum": lambda home, a: a.cumsum(axis=1),
    "concatenate": lambda home, a: (np.ma if home is np else home).concatenate([a, a + 1], axis=0),
    "transpose": lambda home, a: a.T * 2,
    "reshape": lambda home, a: a.reshape(6, 4),
    "ravel": lambda home, a: a.ravel(),
    "lists": lambda home, a: a[[3, 0, 1]][:, ::-1],
    "slices": lambda home, a: a[1:, ::2],
    "squeeze": lambda home, a: a[None].squeeze(),
    "expand_dims": lambda home, a: home.expand_dims(a, 1),
    "take": lambda home, a: a.take([3, 7, 0]),
    "repeat": lambda home, a: a.repeat(2, axis=0),
    "roll": lambda home, a: home.roll(a, 1, axis=0),
    "flip": lambda home, a: home.flip(a, 0),
    "clip": lambda home, a: a.clip(3, 9),
    "sort": lambda home, a: home.sort(a, axis=0),
    "diff": lambda home, a: home.diff(a, axis=1),
    "bools": lambda home, a: a.astype(bool),
}


class TestMasksGoAlong:
    @pytest.mark.parametrize("name", CALLS)
    def test_as_in_numpy(self, name):
        array = TestReductions.SOME.astype(float)
        expected = CALLS[name](np, array)
        for chunks in chunkings(array.shape):
            with nothing_runs():
                found = CALLS[name](ka, ka.from_array(array, chunks=chunks))
            assert_masked(found, expected)


DIFFERENT = (
    TestReductions.LINES % 7,
    (TestReductions.SOME % 5).astype(float),
    np.ma.masked_array([1, 1, 2], mask=[False] * 3),
    np.ma.masked_array([1, 1, 2], mask=[True] * 3, fill_value=7),
    np.ma.masked_array(["B", "A", "B"], mask=[True, False, False]),
    np.ma.masked_array([np.nan, 2.0, np.nan], mask=[False] * 3),
)
PLACES = ("return_index", "return_inverse", "return_counts")


class TestUnique:
    @pytest.mark.parametrize("wanted", [(), *[(name,) for name in PLACES], PLACES])
    def test_elements_and_places(self, wanted):
        options = dict.fromkeys(wanted, True)
        for array in DIFFERENT:
            expected = np.unique(array, **options)
            for chunks in chunkings(array.shape):
                with nothing_runs():
                    found = ka.unique(ka.from_array(array, chunks=chunks), **options)
                values, expected_values = (found[0], expected[0]) if wanted else (found, expected)
                assert_masked(values, expected_values)
                # That of text is "N/A", of which NumPy has as many letters as the elements have.
                assert array.dtype.kind == "U" or values.compute().fill_value == array.fill_value
                if wanted:
                    assert_same(found[1:], expected[1:])

    def test_masked_elements_are_one_whatever_is_under_the_masks(self):
        """NumPy finds several where the values under masks are the largest of their type."""
        for values, several in (
            ([True, False, True, True], [False, True]),
            ([np.nan, 1.0, np.nan, np.nan], [1, np.nan]),
        ):
            array = np.ma.masked_array(values, mask=[True, False, False, True])
            for chunks in chunkings(array.shape):
                found = ka.unique(ka.from_array(array, chunks=chunks), **dict.fromkeys(PLACES, True))
                assert_masked(found[0], np.ma.masked_array([*several, several[0]], mask=[False, False, True]))
                assert_same(found[1:], (np.array([1, 2, 0]), np.array([2, 0, 1, 2]), np.array([1, 1, 2])))

    def test_with_arrays_without_masks(self):
        plain, some = np.arange(6).reshape(2, 3), np.ma.masked_array([[1, 2, 3]], mask=[[0, 1, 0]])
        for chunks in chunkings(plain.shape):
            x, y = ka.from_array(plain, chunks=chunks), ka.from_array(some, chunks=2)
            assert_masked(ka.concatenate([x, y]), np.ma.concatenate([plain, some]))
            assert_masked(ka.stack([x[0], y[0]]), np.ma.stack([plain[0], some[0]]))

    def test_slices_are_compared_without_masks(self):
        array = np.ma.masked_array([[3, 1], [3, 1], [0, 1]], mask=[[0, 0], [1, 0], [0, 0]])
        for axis in (0, 1):
            check_function("unique", array, options={"axis": axis})
            check_function("unique", array, options={"axis": axis, **dict.fromkeys(PLACES, True)})

    @pytest.mark.parametrize("name", ["intersect1d", "setdiff1d", "setxor1d", "union1d"])
    @pytest.mark.parametrize("which", [(True, True), (True, False), (False, True)])
    def test_sets(self, name, which):
        first = np.ma.masked_array([1, 2, 3, 2, 7], mask=[0, 0, 1, 0, 0])
        second = np.ma.masked_array([[2, 9, 3], [3, 2, 1]], mask=[[0, 1, 0], [0, 1, 1]])
        for some in (first, np.ma.masked_array(first.data, mask=False)):
            arrays = [array if is_masked else array.data for array, is_masked in zip((some, second), which)]
            expected = getattr(np.ma, name)(*arrays)
            for chunks, others in zip(chunkings(first.shape), chunkings(second.shape)):
                cut = ka.from_array(arrays[0], chunks=chunks), ka.from_array(arrays[1], chunks=others)
                with nothing_runs():
                    found = getattr(ka, name)(*cut)
                if name == "setdiff1d" and not which[0]:
                    assert_same(found, expected.data)
                else:
                    assert_masked(found, expected)

    def test_sets_of_different_elements(self):
        first = np.ma.masked_array([5, 1, 7, 2], mask=[0, 1, 0, 0])
        for second in (np.ma.masked_array([9, 5], mask=[1, 0]), np.ma.masked_array([2, 5]), np.array([2, 5])):
            for chunks in chunkings(first.shape):
                with nothing_runs():
                    found = ka.setdiff1d(ka.from_array(first, chunks=chunks), second, assume_unique=True)
                assert_masked(found, np.ma.setdiff1d(first, second, assume_unique=True))
        assert_same(
            ka.setdiff1d(
                ka.from_array(first.data, chunks=3), np.ma.masked_array([2, 5], mask=[1, 0]), assume_unique=True
            ),
            np.array([1, 7, 2]),
        )

    def test_places_of_what_is_in_both(self):
        first = np.ma.masked_array([5, 1, 7, 2, 1], mask=[0, 1, 0, 0, 0])
        second = np.ma.masked_array([2, 9, 5, 7], mask=[0, 1, 0, 1])
        for chunks in chunkings(first.shape):
            values, here, there = ka.intersect1d(ka.from_array(first, chunks=chunks), second, return_indices=True)
            assert_masked(values, np.ma.masked_array([2, 5, 0], mask=[0, 0, 1]))
            assert_same((here, there), (np.array([3, 0, 1]), np.array([0, 2, 1])))


class TestAssignment:
    """Elements become masked, and what is assigned is not masked any more, as in ``numpy.ma``."""

    DATA = np.arange(12.0).reshape(3, 4)
    ARRAY = np.ma.masked_array(DATA, mask=DATA % 4 == 0)
    LARGE = DATA > 6

    @pytest.mark.parametrize(
        "index",
        [slice(0, 2), (1, 2), LARGE, [0, 2], ([0, 1], [1, 1]), (slice(None), [True, False, True, False]), ...],
        ids=repr,
    )
    @pytest.mark.parametrize("value", [5.0, np.ma.masked, np.float32(3)], ids=str)
    def test_one_element_for_all(self, index, value):
        self.same(index, value)

    @pytest.mark.parametrize(
        "index, value",
        [
            (LARGE, np.full(5, 5.0)),
            (LARGE, np.ma.masked_array([7.0], mask=[True])),
            (LARGE, np.ma.masked_array(np.arange(5.0), mask=[1, 0, 0, 1, 0])),
            (np.array([True, False, True]), np.ma.masked_array([1.0, 2, 3, 4], mask=[1, 0, 0, 1])),
            (slice(0, 2), np.ma.masked_array(np.ones((2, 4)), mask=[[1, 0, 0, 0]] * 2)),
            (([0, 1], [1, 1]), np.ma.masked_array([7.0, 8.0], mask=[True, False])),
        ],
        ids=range(6),
    )
    def test_arrays(self, index, value):
        self.same(index, value)

    def same(self, index, value):
        expected = self.ARRAY.copy()
        expected[index] = value
        lazy = ka.from_array(index, chunks=2) if isinstance(index, np.ndarray) else index
        for chunks in chunkings(self.ARRAY.shape):
            for given in (index, lazy):
                x = ka.from_array(self.ARRAY, chunks=chunks)
                before = x + 0
                with nothing_runs():
                    x[given] = value
                assert_masked(x, expected)
                np.testing.assert_array_equal(x.compute().data, expected.data)
                assert_masked(before, self.ARRAY)

    def test_only_masked_arrays_can_be_masked(self):
        x = ka.from_array(self.DATA, chunks=2)
        with pytest.raises(TypeError, match="only elements of masked arrays can become masked"):
            x[0] = np.ma.masked


def test_values_to_mask_must_be_known():
    with pytest.raises(ValueError, match=r"value must be known when the array is described; give value.compute\(\)"):
        ka.ma.masked_values(ka.ones(3), ka.ones(()))
