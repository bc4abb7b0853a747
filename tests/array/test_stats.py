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
    with pytest.raises(NotImplementedError, match="nan_policy"):
        getattr(stats, name)(ka.from_array(LINE), nan_policy="raise")
    with pytest.raises(ValueError, match="nan_policy"):
        getattr(stats, name)(ka.from_array(LINE), nan_policy="ignore")


def test_student() -> None:
    other = rng.normal(size=(24, 3))
    for axis in (0, 1, None):
        same("ttest_ind", GRID, other, axis=axis)
        same("ttest_ind", GRID, other, axis=axis, equal_var=False)
        same("ttest_rel", GRID, other, axis=axis)
    same("ttest_ind", LINE, LINE[:17] + 1, equal_var=False)
    same("ttest_ind", LINE, LINE[:17] + 1)
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
