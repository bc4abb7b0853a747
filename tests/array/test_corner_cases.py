"""Corners of NumPy's behaviour that are easily missed: byte orders, no axes, records, real types of complex numbers, numpy.ma."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from against_numpy import assert_same, check, check_function

import kask.array as ka

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::numpy.exceptions.ComplexWarning")


@pytest.mark.parametrize("kind", [">f8", ">f4", ">f2", ">c16", ">i4", ">u2"])
@pytest.mark.parametrize("name", ["mean", "var", "std", "nanmean", "nanvar", "nanstd", "nansum", "median", "cumsum"])
@pytest.mark.parametrize("axis", [None, 0, 1])
def test_other_byte_orders(kind: str, name: str, axis: Any) -> None:
    array = (np.arange(12) % 5).astype(kind).reshape(3, 4)
    assert_same(
        getattr(ka, name)(ka.from_array(array, chunks=(2, 3)), axis=axis),
        getattr(np, name)(array, axis=axis),
        rtol=1e-3,
    )


@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize(
    "name",
    ["sum", "prod", "min", "max", "any", "all", "ptp", "argmax", "argmin", "argsort", "cumsum", "cumprod", "count_nonzero",
     "nansum", "nanmax", "nanmean"],
)  # fmt: skip
def test_one_number_has_an_axis_where_it_has_one_in_numpy(name: str, axis: int) -> None:
    one = np.array(2.5)
    assert_same(getattr(ka, name)(ka.from_array(one), axis=axis), getattr(np, name)(one, axis=axis))


@pytest.mark.parametrize("name", ["mean", "var", "std", "median", "sort"])
def test_and_none_where_it_has_none(name: str) -> None:
    for xp, one in ((np, np.array(2.5)), (ka, ka.from_array(np.array(2.5)))):
        with pytest.raises(np.exceptions.AxisError):
            getattr(xp, name)(one, axis=0)
    with pytest.raises(np.exceptions.AxisError):
        ka.sum(ka.from_array(np.array(2.5)), axis=1)


def test_quantiles_along_no_axis() -> None:
    array = np.arange(6.0).reshape(2, 3)
    x = ka.from_array(array, chunks=2)
    for name in ("median", "nanmedian"):
        assert_same(getattr(ka, name)(x, axis=()), getattr(np, name)(array, axis=()))
    assert_same(ka.quantile(x, [0.1, 0.5], axis=()), np.quantile(array, [0.1, 0.5], axis=()))
    assert_same(ka.percentile(x, 30, axis=()), np.percentile(array, 30, axis=()))


@pytest.mark.parametrize("name", ["var", "std", "nanvar", "nanstd"])
@pytest.mark.parametrize("dtype", ["f4", "f8", "c16", None])
def test_complex_numbers_in_a_real_type(name: str, dtype: Any) -> None:
    array = np.array([[1 + 2j, 3 - 1j, 0], [2j, -1, 4 + 0.5j]])
    x = ka.from_array(array, chunks=(1, 2))
    for options in ({}, {"axis": 1, "ddof": 1}, {"axis": 0, "keepdims": True}):
        assert_same(
            getattr(ka, name)(x, dtype=dtype, **options), getattr(np, name)(array, dtype=dtype, **options), rtol=1e-6
        )


def test_records() -> None:
    array = np.array([(1, 2.0), (1, 2.0), (0, 3.0), (1, 0.5)], [("a", "i4"), ("b", "f8")])
    x = ka.from_array(array, chunks=3)
    for ours, theirs in zip(
        ka.unique(x, return_inverse=True, return_counts=True), np.unique(array, return_inverse=True, return_counts=True)
    ):
        assert_same(ours, theirs)
    assert_same(ka.intersect1d(x, x[:2]), np.intersect1d(array, array[:2]))
    assert_same(ka.setxor1d(x, x[:2]), np.setxor1d(array, array[:2]))
    assert bool(ka.array_equal(x, x)) and not bool(ka.array_equal(x, x[::-1]))


def test_membership_and_rounding() -> None:
    x = ka.from_array(np.arange(6.0).reshape(2, 3) + 0.26, chunks=2)
    assert 3.26 in x and 3.0 not in x
    assert round(x[0, 1]) == 1 and float(round(x[0, 1], 1)) == 1.3
    with pytest.raises(TypeError, match="not for an array of the shape"):
        round(x)


def test_truth_values_as_flat_places() -> None:
    places = np.array([True, False])
    for ours, theirs in zip(ka.unravel_index(ka.from_array(places), (3, 3)), np.unravel_index(places, (3, 3))):
        assert_same(ours, theirs)


@pytest.mark.parametrize("kth, error", [(100_000, ValueError), ([3, -100_001], ValueError), (2.5, TypeError)])
def test_places_that_a_long_array_does_not_have(kth: Any, error: type) -> None:
    for xp, x in ((np, np.zeros(100_000)), (ka, ka.zeros(100_000, chunks=30_000))):
        with pytest.raises(error):
            xp.partition(x, kth)


@pytest.mark.parametrize("name", ["partition", "argpartition"])
def test_every_place_is_right_where_there_is_nothing(name: str) -> None:
    for shape, axis in (((3, 0), -1), ((0, 3), 1), ((0,), 0), ((2, 0, 3), 0)):
        check_function(name, np.ones(shape), args=(5,), options={"axis": axis})
    for xp in (np, ka):
        with pytest.raises(TypeError, match="must be integer"):
            getattr(xp, name)(xp.ones((3, 0)), 1.5)


def test_an_average_of_nothing() -> None:
    for shape, axis in (((0, 3), 1), ((3, 0), 0), ((2, 0, 3), 0), ((0, 3), 0), ((0, 3), None), ((3, 0), (0, 1))):
        array = np.ones(shape)
        try:
            with np.errstate(all="ignore"):
                expected = np.average(array, axis)
        except ZeroDivisionError:
            with pytest.raises(ZeroDivisionError, match="division by zero"):
                ka.average(ka.from_array(array, chunks=1), axis)
        else:
            with np.errstate(all="ignore"):
                assert_same(ka.average(ka.from_array(array, chunks=1), axis), expected)
        heavy = np.ones(shape)
        if np.sum(heavy, axis).size == 0:
            check(lambda x, w, axis=axis: np.average(x, axis, weights=w), array, heavy)


class TestNumpyMa:
    data = np.ma.masked_array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], [[0, 1, 0], [0, 0, 1]])

    def x(self) -> Any:
        return ka.ma.masked_array(ka.from_array(self.data.data, chunks=2), self.data.mask)

    @pytest.mark.parametrize(
        "name", ["count", "compressed", "average", "getmaskarray", "is_masked", "anom", "cov", "mean", "sum"]
    )
    def test_its_functions_see_the_mask(self, name: str) -> None:
        found, expected = getattr(np.ma, name)(self.x()), getattr(np.ma, name)(self.data)
        found = found.compute() if hasattr(found, "compute") else found
        np.testing.assert_array_equal(np.ma.getmaskarray(found), np.ma.getmaskarray(expected))
        np.testing.assert_allclose(np.ma.filled(found, 0), np.ma.filled(expected, 0))

    def test_filled(self) -> None:
        for found in (np.ma.filled(self.x(), -1), self.x().filled(-1)):
            assert_same(found, self.data.filled(-1))
        assert_same(ka.arange(3).filled(7), np.arange(3))

    def test_products_leave_out_what_is_masked(self) -> None:
        for ours, theirs in ((self.x().T, self.data.T), (ka.ones(3, chunks=2), np.ones(3))):
            found, expected = self.x().dot(ours).compute(), self.data.dot(theirs)
            np.testing.assert_array_equal(np.ma.getmaskarray(found), np.ma.getmaskarray(expected))
            np.testing.assert_array_equal(found.filled(0), expected.filled(0))

    def test_products_by_its_function(self) -> None:
        for a, b in ((self.x(), self.x().T), (self.x(), ka.ones(3, chunks=2)), (ka.ones((2, 2), chunks=1), self.x())):
            found = np.ma.dot(a, b)
            assert isinstance(found, ka.Array)
            expected = np.ma.dot(a.compute(), b.compute())
            np.testing.assert_array_equal(np.ma.getmaskarray(found.compute()), np.ma.getmaskarray(expected))
            np.testing.assert_array_equal(found.compute().filled(0), expected.filled(0))

    @pytest.mark.parametrize("name", ["sort", "median", "cumsum", "ptp", "var", "diff", "argsort", "max"])
    def test_more_functions(self, name: str) -> None:
        func = getattr(np.ma, name)
        found, expected = [np.ma.asanyarray(func(array)) for array in (self.x(), self.data)]
        np.testing.assert_array_equal(np.ma.getmaskarray(found), np.ma.getmaskarray(expected))
        np.testing.assert_array_equal(found.filled(0), expected.filled(0))

    def test_the_mask_is_an_attribute(self) -> None:
        np.testing.assert_array_equal(self.x().mask.compute(), np.ma.getmaskarray(self.data))
        assert not hasattr(ka.ones(3), "mask")
        assert type(np.asarray(self.x())) is np.ndarray
        assert type(np.asanyarray(self.x())) is np.ma.MaskedArray

    def test_no_mask_is_found_where_there_is_none(self) -> None:
        assert not hasattr(ka.ones(3), "_mask")
        assert np.ma.count(ka.ones(3)) == 3


@pytest.mark.parametrize("kind", [float, "M8[D]", "m8[s]"])
def test_gradients_at_uneven_places_are_the_same_in_blocks_where_these_are_even(kind: Any) -> None:
    rng = np.random.default_rng(4)
    for _ in range(60):
        length = int(rng.integers(4, 16))
        array = rng.integers(0, 50, (2, length)).astype(kind)
        places = np.cumsum(rng.integers(1, 3, length)).astype([int, float][rng.integers(0, 2)])
        cuts = sorted(rng.integers(0, length + 1, rng.integers(0, 5)).tolist())
        x = ka.from_array(array, chunks=(1, tuple(np.diff([0, *cuts, length]).tolist())))
        order = int(rng.integers(1, 3))
        expected = np.gradient(array, places, axis=1, edge_order=order)
        np.testing.assert_array_equal(ka.gradient(x, places, axis=1, edge_order=order).compute(), expected)


@pytest.mark.parametrize("p", [None, 1, -1, 2, -2, "fro", np.inf, -np.inf])
def test_conditions_of_singular_matrices(p: Any) -> None:
    good = np.arange(9.0).reshape(3, 3) + np.eye(3)
    for matrix in (np.zeros((3, 3)), good, np.stack([good, np.zeros((3, 3))])):
        expected = np.linalg.cond(matrix, p)
        assert_same(ka.linalg.cond(ka.from_array(matrix, chunks=-1), p), expected, rtol=1e-9)
        if p in (None, 2, -2):
            assert_same(ka.linalg.cond(ka.from_array(matrix, chunks=2), p), expected, rtol=1e-9)
    holed = np.where(good == 3, np.nan, good)
    if p not in (None, 2, -2):
        assert np.isnan(ka.linalg.cond(ka.from_array(holed, chunks=-1), p).compute())


def test_slips_are_told_in_one_sentence() -> None:
    x = ka.ones((4, 6), chunks=2)
    for call, error, message in [
        (lambda: x.sum(axis="a"), TypeError, "axis='a', but an axis is an integer"),
        (lambda: x.mean(axis=(0, 1.5)), TypeError, r"axis=\(0, 1.5\), but an axis is an integer"),
        (lambda: x.transpose(0, 0), ValueError, r"axes=\(0, 0\) name an axis twice"),
        (lambda: ka.quantile(x, 0.5, method="zz"), ValueError, "method='zz' is not one of inverted_cdf"),
        (lambda: ka.sort(x, order="a"), ValueError, "no fields"),
        (lambda: ka.linspace(0, 1, 2.5), TypeError, "num=2.5, but it must be a whole number"),
        (lambda: x.to_svg(size="a"), ValueError, "size='a', but it must be a number"),
        (lambda: ka.from_npy_stack("/nothing/here"), FileNotFoundError, "no stack of .npy files in /nothing/here"),
    ]:
        with pytest.raises(error, match=message):
            call()


def test_signs_of_determinants_with_nan() -> None:
    array = np.array([[np.nan, 1.0], [2.0, 3.0]])
    for found, expected in zip(ka.linalg.slogdet(ka.from_array(array, chunks=1)), np.linalg.slogdet(array)):
        np.testing.assert_array_equal(found.compute(), expected)


def test_taken_from_a_number() -> None:
    number = np.array(5)
    for places in (0, [0, 0], [[-1]]):
        assert_same(ka.take(ka.from_array(number), places), np.take(number, places, axis=0))
        assert_same(np.take(ka.from_array(number), places), np.take(number, places))


def test_orders_of_bytes_that_stay() -> None:
    array = np.array([3, 1, 2, 1], ">f4")
    for name in ("diag", "diagflat", "unique"):
        found, expected = getattr(ka, name)(ka.from_array(array, chunks=2)), getattr(np, name)(array)
        assert found.dtype == expected.dtype == found.compute().dtype
        np.testing.assert_array_equal(found.compute(), expected)


def test_extremes_that_begin_with_a_lazy_date() -> None:
    dates = np.array(["2020-01-01", "2021-01-01"], "M8[D]")
    first = ka.from_array(np.array("2030-01-01", "M8[D]"))
    assert ka.max(ka.from_array(dates, chunks=1), initial=first).compute() == np.datetime64("2030-01-01")
    assert ka.min(ka.from_array([3, 4], chunks=1), initial=ka.from_array(2)).compute() == 2
