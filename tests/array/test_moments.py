"""Means, variances and moments, against NumPy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from tests.array.against_numpy import assert_same, check, check_function
from tests.array.test_reductions import ARRAYS, CUBE, HOLED, NAN, axes_of, rng, same_as_numpy, tolerance

import kask.array as ka

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@pytest.mark.parametrize("kind", ARRAYS)
@pytest.mark.parametrize("name", ["mean", "nanmean", "var", "nanvar", "std", "nanstd"])
def test_means_and_variances(name: str, kind: str) -> None:
    array = ARRAYS[kind]
    how = tolerance(kind) if kind != "bool" else {"rtol": 1e-12, "atol": 1e-12}
    if kind == "object" and "mean" not in name:
        found = getattr(ka, name.replace("std", "var"))(ka.from_array(array, chunks=2), axis=0)
        assert found.dtype == object
        np.testing.assert_allclose(found.compute().astype(float), array.astype(float).var(axis=0), rtol=1e-12)
        return
    for axis in axes_of(array):
        same_as_numpy(name, array, axis=axis, how=how)
    if array.ndim:
        same_as_numpy(name, array, axis=-1, keepdims=True, how=how)


@pytest.mark.parametrize("name", ["std", "var", "nanstd", "nanvar"])
def test_variances_of_objects(name: str) -> None:
    array = HOLED.astype(object) if name.startswith("nan") else rng.integers(0, 9, (4, 5)).astype(object)
    expected = getattr(np, name)(array)
    for chunks in (1, 2, ((0, array.shape[0]), (2, 0, 3))):
        found = getattr(ka, name)(ka.from_array(array, chunks=chunks))
        assert found.dtype == object
        np.testing.assert_allclose(found.compute(), expected, rtol=1e-12)


def test_means_of_durations_do_not_pass_over_nat() -> None:
    array = np.array([["NaT", 5], [7, 9]], "m8[s]")
    for axis in (None, 0, 1):
        check_function("nanmean", array, options={"axis": axis})
        check_function("mean", array, options={"axis": axis})


def test_freedom_and_where() -> None:
    where = HOLED > -0.5
    for name in ("var", "std", "nanvar", "nanstd"):
        for ddof in (0, 1, 2, 0.5, 9):
            check_function(name, HOLED, options={"axis": 0, "ddof": ddof}, rtol=1e-12)
        check_function(name, CUBE, options={"correction": 1}, rtol=1e-12)
        check_function(name, HOLED, options={"axis": 1, "where": where}, rtol=1e-12)
        with pytest.raises(ValueError, match="simultaneously"):
            getattr(ka, name)(ka.from_array(HOLED), ddof=1, correction=1)
    check_function("mean", HOLED, options={"axis": 1, "where": where}, rtol=1e-12)
    check_function("nanmean", HOLED, options={"axis": 0, "where": where}, rtol=1e-12)


def test_types_that_are_asked_for() -> None:
    for name in ("mean", "var", "std"):
        for dtype in ("f4", "f8", "c16"):
            check_function(name, CUBE, options={"dtype": dtype, "axis": 0}, rtol=1e-4, atol=1e-6)


def test_nothing_is_lost_far_from_zero() -> None:
    array = 1e9 + np.arange(1000.0) % 7
    check_function("var", array, rtol=1e-9)
    check(lambda x: x.std(), array, rtol=1e-9)


@pytest.mark.parametrize("order", range(6))
def test_moments(order: int) -> None:
    deviations = CUBE - CUBE.mean(axis=1, keepdims=True)
    expected = (deviations**order).sum(axis=1) / (CUBE.shape[1] - (1 if order > 1 else 0))
    if order == 0:
        expected = np.ones_like(expected)
    for chunks in (1, 2, (5, 3, 1), -1):
        found = ka.moment(ka.from_array(CUBE, chunks=chunks), order, axis=1, ddof=1 if order > 1 else 0)
        assert_same(found, expected, rtol=1e-9, atol=1e-12)
    assert_same(ka.from_array(CUBE, chunks=2).moment(2), CUBE.var(), rtol=1e-12)
    with pytest.raises(ValueError, match="order="):
        ka.moment(ka.from_array(CUBE), -1)


def test_warnings() -> None:
    x = ka.from_array(np.array([[NAN, 1.0], [NAN, 2.0]]), chunks=1)
    with pytest.warns(RuntimeWarning, match="Mean of empty slice"):
        assert_same(ka.nanmean(x, axis=0), np.array([NAN, 1.5]))
    with pytest.warns(RuntimeWarning, match="Degrees of freedom"):
        assert_same(ka.nanvar(x, axis=0), np.array([NAN, 0.25]))
    with pytest.warns(RuntimeWarning, match="Degrees of freedom"):
        ka.var(x, axis=0, ddof=2).compute()


def test_average_of_times_takes_no_weights() -> None:
    with pytest.raises(TypeError, match=r"of type timedelta64\[s\] takes no weights"):
        ka.average(ka.from_array(np.array([1, 2], "m8[s]")), weights=[1, 2])


def test_average() -> None:
    weights = rng.random((5, 4, 3))
    for axis in (None, 0, -1, (0, 2)):
        check_function("average", CUBE, options={"axis": axis}, rtol=1e-12)
        check_function("average", CUBE, options={"axis": axis, "weights": weights}, rtol=1e-12)
        check_function(
            "average", CUBE, options={"axis": axis, "weights": weights, "returned": True, "keepdims": True}, rtol=1e-12
        )
    check_function("average", CUBE, options={"axis": 1, "weights": [1, 2, 3, 4]}, rtol=1e-12)
    check_function("average", CUBE, options={"axis": (2, 0), "weights": weights[:, 0].T, "returned": True}, rtol=1e-12)
    check_function("average", np.arange(6), options={"weights": np.arange(6), "returned": True})
    check_function("average", np.arange(6), options={"returned": True})
    x = ka.from_array(CUBE)
    with pytest.raises(TypeError, match="Axis must be specified"):
        ka.average(x, weights=[1, 2])
    with pytest.raises(ValueError, match="consistent"):
        ka.average(x, axis=0, weights=[1, 2])
    with pytest.raises(ZeroDivisionError):
        ka.average(ka.from_array([1.0, 2.0]), weights=[1, -1]).compute()


@pytest.mark.parametrize("kind", ["f8", "f4", "i4", "c16", "?"])
@pytest.mark.parametrize("name", ["var", "std", "nanvar", "nanstd"])
def test_spread_around_a_mean_that_is_given(name, kind):
    array = (np.arange(42).reshape(6, 7) % 11 - 3).astype(kind)
    if kind == "c16":
        array += 1j * (array.real % 4)
    if name.startswith("nan") and array.dtype.kind in "fc":
        array[2, 3] = np.nan
    mean = np.nanmean if name.startswith("nan") else np.mean
    for axis, ddof, where in itertools.product([None, 0, 1, (0, 1)], [0, 1], [None, array.real % 3 != 1]):
        known = mean(array, axis=axis, keepdims=True)
        options = {"axis": axis, "ddof": ddof, "mean": known} | ({} if where is None else {"where": where})
        check_function(name, array, options=options, rtol=1e-5)
    rows = ka.from_array(array, chunks=4)
    lazily = getattr(ka, name)(rows, axis=1, mean=getattr(ka, mean.__name__)(rows, axis=1, keepdims=True))
    np.testing.assert_allclose(lazily.compute(), getattr(np, name)(array, axis=1), rtol=1e-5)
    # Far from the mean it is larger than the variance.
    if kind == "f8":
        np.testing.assert_allclose(ka.var(rows[0], mean=2.0).compute(), np.var(array[0]) + (array[0].mean() - 2.0) ** 2)
