"""Statistics and tests, against scipy.stats."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.array.against_numpy import assert_same, chunkings, nothing_runs

import kask.array as ka
from kask.array import stats

scipy_stats = pytest.importorskip("scipy.stats")
pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::UserWarning")

rng = np.random.default_rng(31)
GRID = rng.gamma(2.0, size=(24, 3))
LINE = rng.normal(size=31)
HOLED = np.where(rng.random((24, 3)) < 0.2, np.nan, GRID)


def same(name: str, *arrays: Any, theirs: str | None = None, atol: float = 1e-13, **options: Any) -> None:
    expected = getattr(scipy_stats, name)(*arrays, **options)
    for chunks in chunkings(arrays[0].shape)[:5]:
        with nothing_runs():
            found = getattr(stats, name)(
                *[ka.from_array(one, chunks=chunks if one.shape == arrays[0].shape else 5) for one in arrays], **options
            )
        if isinstance(found, tuple):
            assert_same(found.statistic, expected.statistic, rtol=1e-9, atol=atol)
            assert_same(found.pvalue, expected.pvalue, rtol=1e-9, atol=atol)
        else:
            assert_same(found, expected, rtol=1e-9, atol=atol)


@pytest.mark.parametrize("axis", [0, 1, None])
def test_moments(axis: Any) -> None:
    for array in (GRID, HOLED, (GRID * 10).astype(int)):
        for options in ({}, {"bias": False}):
            same("skew", array, axis=axis, **options)
            if axis != 1:
                same("kurtosis", array, axis=axis, fisher=False, **options)
                same("kurtosis", array, axis=axis, **options)
        for order in range(5):
            expected = scipy_stats.moment(array, order, axis=axis)
            assert_same(stats.moment(ka.from_array(array, chunks=5), order, axis=axis), expected, rtol=1e-9, atol=1e-12)
    same("skew", HOLED, axis=0, nan_policy="omit")
    same("kurtosis", HOLED, axis=0, nan_policy="omit")
    same("skew", np.full((5, 2), 3.0), axis=axis)


@pytest.mark.parametrize("name", ["skewtest", "kurtosistest", "normaltest"])
def test_normality(name: str) -> None:
    for array in (GRID, LINE, HOLED):
        same(name, array)
        same(name, array, axis=None)
    with pytest.raises(ValueError, match=r"samples|observations"):
        getattr(stats, name)(ka.from_array(LINE[:4]))
    with pytest.raises(ValueError, match="nan_policy"):
        getattr(stats, name)(ka.from_array(LINE), nan_policy="ignore")


NAN_IS_AN_ERROR = ["moment", "skew", "kurtosis", "skewtest", "kurtosistest", "normaltest", "ttest_1samp", "ttest_rel"]


@pytest.mark.parametrize("name", NAN_IS_AN_ERROR)
def test_nan_is_an_error_where_it_is_to_be(name: str) -> None:
    more = {"moment": [3], "ttest_1samp": [1.0], "ttest_rel": [GRID[::-1] ** 2]}.get(name, [])
    for array in (GRID, (GRID * 10).astype(int)):
        expected = getattr(scipy_stats, name)(array, *more, nan_policy="raise")
        for chunks in chunkings(array.shape)[:5]:
            with nothing_runs():
                found = getattr(stats, name)(ka.from_array(array, chunks=chunks), *more, nan_policy="raise")
            for ours, theirs in zip([found], [expected]) if not isinstance(found, tuple) else zip(found, expected):
                assert_same(ours, theirs, rtol=1e-9)
    for chunks in chunkings(GRID.shape)[:5]:
        with nothing_runs():
            found = getattr(stats, name)(ka.from_array(HOLED, chunks=chunks), *more, nan_policy="raise")
        for one in found if isinstance(found, tuple) else [found]:
            with pytest.raises(ValueError, match="The input contains nan values"):
                one.compute()


#: NaN here and there, a column that has few other elements, and one that has none.
FEW = np.where(rng.random((24, 5)) < 0.2, np.nan, rng.gamma(2.0, size=(24, 5)))
FEW[4:, 1], FEW[:, 2], FEW[1:, 3] = np.nan, np.nan, np.nan
OMITTING: dict[str, list[Any]] = {
    "skewtest": [],
    "kurtosistest": [],
    "normaltest": [],
    "ttest_1samp": [1.5],
    "ttest_rel": [FEW[::-1] ** 2],
    "ttest_ind": [FEW[:20] ** 2],
    "f_oneway": [FEW[:20] ** 2, FEW[3:9]],
}


def same_along(name: str, arrays: list[Any], more: list[Any], rtol: float = 1e-9, **options: Any) -> None:
    expected = getattr(scipy_stats, name)(*arrays, *more, **options)
    for way, chunks in enumerate(chunkings(arrays[0].shape)[1:5]):
        with nothing_runs():
            first = ka.from_array(arrays[0], chunks=chunks)
            found = getattr(stats, name)(
                first, *[ka.from_array(one, chunks=way + 1) for one in arrays[1:]], *more, **options
            )
        assert_same(found.statistic, expected.statistic, rtol=rtol, atol=1e-12)
        assert_same(found.pvalue, expected.pvalue, rtol=rtol, atol=1e-12)


@pytest.mark.parametrize("name", OMITTING)
@pytest.mark.parametrize("axis", [0, 1, None])
def test_nan_is_left_out(name: str, axis: Any) -> None:
    others = [one for one in OMITTING[name] if isinstance(one, np.ndarray)]
    more = [one for one in OMITTING[name] if not isinstance(one, np.ndarray)]
    if axis == 1:
        others = [FEW[::-1] ** 2, FEW * 2][: len(others)]
    same_along(name, [FEW, *others], more, axis=axis, nan_policy="omit")
    # Whole numbers have no NaN, and these are as good as none.
    whole = rng.integers(0, 50, (24, 3))
    same_along(name, [whole, *[whole[::-1] % 17 for _ in others]], more, axis=0, nan_policy="omit")
    if name in ("skewtest", "kurtosistest", "normaltest"):
        same_along(name, [FEW.astype("f4")], [], rtol=1e-4, axis=axis, nan_policy="omit")


@pytest.mark.parametrize("name", OMITTING)
@pytest.mark.parametrize("nan_policy", ["propagate", "omit"])
def test_masked_elements_are_left_out(name: str, nan_policy: str) -> None:
    def masked(array: Any) -> Any:
        return np.ma.masked_array(array, mask=np.isnan(array) & (np.arange(array.shape[1]) != 4))

    others = [masked(one) for one in OMITTING[name] if isinstance(one, np.ndarray)]
    more = [one for one in OMITTING[name] if not isinstance(one, np.ndarray)]
    same_along(name, [masked(FEW), *others], more, nan_policy=nan_policy)
    if others:
        same_along(name, [FEW, *others], more, nan_policy=nan_policy)


@pytest.mark.parametrize("axis", [0, 1, None])
def test_cases_are_left_out(axis: Any) -> None:
    seen = rng.integers(5, 30, (6, 4)).astype(float)
    holed = np.where(rng.random((6, 4)) < 0.3, np.nan, seen)
    holed[1:, 3] = np.nan
    masked = np.ma.masked_invalid(holed)
    for power in ("pearson", "neyman", "log-likelihood"):
        same_along("power_divergence", [holed], [], axis=axis, lambda_=power, nan_policy="omit")
        same_along("power_divergence", [masked], [], axis=axis, lambda_=power)
    same_along("chisquare", [masked], [], axis=axis, ddof=1, nan_policy="omit")
    # Frequencies that are the same in another order, where they count.
    line, wanted = np.array([16.0, np.nan, 14, 12, 9]), np.array([14.0, 3, 16, 12, np.nan])
    same_along("chisquare", [line, wanted], [], nan_policy="omit")
    same_along("chisquare", [line, np.ma.masked_invalid(wanted)], [], nan_policy="omit")
    same_along("chisquare", [np.ma.masked_invalid(line), np.ma.masked_invalid(wanted)], [])
    with pytest.raises(ValueError, match="contains nan values"):
        stats.chisquare(ka.from_array(holed, chunks=2), nan_policy="raise").pvalue.compute()


def test_infinite_pairs_are_not_left_out() -> None:
    one, two = np.array([1.0, np.inf, 3.0, np.nan]), np.array([0.0, np.inf, 1.0, 2.0])
    for nan_policy in ("omit", "propagate"):
        same_along("ttest_rel", [one, two], [], nan_policy=nan_policy)
    masked = np.ma.masked_array(one, mask=[False, False, False, True])
    same_along("ttest_rel", [masked, two], [])


def test_nan_is_an_error_in_the_second_of_pairs_and_not_made_of_infinite_values() -> None:
    with pytest.raises(ValueError, match="The input contains nan values"):
        stats.ttest_rel(ka.from_array(GRID), HOLED, nan_policy="raise").pvalue.compute()
    both = np.array([1.0, np.inf, 3.0])
    assert np.isnan(stats.ttest_rel(ka.from_array(both, chunks=2), both, nan_policy="raise").pvalue.compute())


def test_student() -> None:
    other = rng.normal(size=(24, 3))
    for axis in (0, 1, None):
        same("ttest_ind", GRID, other, axis=axis)
        same("ttest_ind", GRID, other, axis=axis, equal_var=False)
        same("ttest_rel", GRID, other, axis=axis)
    same("ttest_ind", LINE, LINE[:17] + 1, equal_var=False)
    same("ttest_ind", LINE, LINE[:17] + 1)
    same("ttest_ind", LINE, np.array([0.5]))
    for popmean in (0.0, 2.5):
        expected = scipy_stats.ttest_1samp(GRID, popmean)
        found = stats.ttest_1samp(ka.from_array(GRID, chunks=(5, 2)), popmean)
        assert_same(found.statistic, expected.statistic, rtol=1e-9)
        assert_same(found.pvalue, expected.pvalue, rtol=1e-9)
    with pytest.raises(ValueError, match="same shape"):
        stats.ttest_rel(ka.from_array(LINE), LINE[1:])


def test_groups() -> None:
    same("f_oneway", LINE, LINE[:17] + 1, LINE[3:9])
    same("f_oneway", GRID, GRID[::-1] * 2)
    with pytest.raises(TypeError, match="two groups"):
        stats.f_oneway(LINE)


def test_frequencies() -> None:
    seen = rng.integers(5, 30, (6, 4)).astype(float)
    wanted = rng.permutation(seen, axis=0)
    for axis in (0, 1, None):
        same("chisquare", seen, axis=axis)
        same("chisquare", seen, axis=axis, ddof=1)
        for power in (*stats._POWERS, 0.3, None):
            same("power_divergence", seen, axis=axis, lambda_=power)
    for power in stats._POWERS:
        same("power_divergence", seen, wanted, lambda_=power)
    same("chisquare", seen.astype(int))
    with pytest.raises(ValueError, match="agree"):
        stats.chisquare(ka.from_array(seen, chunks=2), 2 * seen).statistic.compute()
    with pytest.raises(ValueError, match="lambda_"):
        stats.power_divergence(seen, lambda_="mine")
