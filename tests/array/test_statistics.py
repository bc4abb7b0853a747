"""Counts, histograms, covariances, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.array.against_numpy import assert_same, check, check_function, nothing_runs

import kask.array as ka

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

rng = np.random.default_rng(5)
LINE = rng.normal(size=23)
GRID = rng.normal(size=(5, 8))
COUNTS = rng.integers(0, 9, 20)
CLOSE = {"rtol": 1e-10, "atol": 1e-12}


def both(name: str) -> Any:
    def call(*operands: Any, **options: Any) -> Any:
        return getattr(ka if any(isinstance(one, ka.Array) for one in operands) else np, name)(*operands, **options)

    return call


def test_bincount() -> None:
    for options in ({}, {"minlength": 4}, {"minlength": 30}):
        check_function("bincount", COUNTS, options=options)
        check_function("bincount", COUNTS.astype("u1"), options=options)
    check_function("bincount", COUNTS, LINE[:20], **CLOSE)
    check_function("bincount", COUNTS[:0], options={"minlength": 3})
    check_function("bincount", COUNTS[:0])
    x = ka.from_array(COUNTS, chunks=3)
    assert_same(ka.bincount(x, split_every=2), np.bincount(COUNTS))
    with pytest.raises(ValueError, match="negative"):
        ka.bincount(ka.from_array([1, -1], chunks=1)).compute()
    with pytest.raises(ValueError, match="one axis"):
        ka.bincount(ka.from_array([[1]]))
    with pytest.raises(TypeError):
        ka.bincount(ka.from_array([1.5]))
    with pytest.raises(ValueError, match="same length"):
        ka.bincount(x, weights=[1.0])


def test_bincount_reads_its_source_once() -> None:
    read = []

    def noted(block: Any) -> Any:
        read.append(len(block))
        return block

    numbers = ka.from_array(COUNTS, chunks=5).map_blocks(noted, dtype=COUNTS.dtype)
    read.clear()
    found = (ka.bincount(numbers) * 2).compute(scheduler="sync")
    np.testing.assert_array_equal(found, np.bincount(COUNTS) * 2)
    assert sum(read) == len(COUNTS)


def test_digitize() -> None:
    for bins in ([-1.0, 0.0, 0.5], [0.5, 0.0, -1.0], [0.0]):
        for right in (False, True):
            check_function("digitize", GRID, options={"bins": bins, "right": right})
    check_function("digitize", np.array(0.3), options={"bins": [0.0, 1.0]})
    with pytest.raises(ValueError, match="monotonic"):
        ka.digitize(ka.from_array(LINE), [0, 2, 1])
    edges = ka.from_array(np.array([-1.0, 0.0, 0.5]), chunks=2)
    assert_same(ka.digitize(ka.from_array(LINE, chunks=5), edges), np.digitize(LINE, [-1.0, 0.0, 0.5]))


@pytest.mark.parametrize("density", [None, True])
def test_histogram(density: Any) -> None:
    how = CLOSE if density else {}
    for array in (LINE, GRID, COUNTS, LINE.astype("f4"), COUNTS.astype("u1"), np.array([3.0, 3.0])):
        for bins in (1, 7, [-1.0, 0.0, 0.2, 3.0]):
            check_function("histogram", array, options={"bins": bins, "density": density}, **how)
        check_function("histogram", array, options={"bins": 4, "range": (-1, 2), "density": density}, **how)
        for weights in (array.astype(float), array.astype("i4"), array * np.complex128(1j)):
            check(lambda x, w: both("histogram")(x, weights=w, density=density), array, weights, **CLOSE)
    check_function("histogram", LINE[:0], options={"bins": 3})
    check_function("histogram", COUNTS > 4)


def test_histograms_whose_bins_are_lazy() -> None:
    edges = np.array([-1.0, 0.0, 0.2, 3.0])
    for array in (LINE, GRID, COUNTS, LINE.astype("f4")):
        check(lambda x, e: np.histogram(x, e), array, edges)
        check(lambda x, e: np.histogram(x, bins=e, weights=x, density=True), array.astype(float), edges, **CLOSE)
        check(lambda x: np.histogram(x, 4, (x.min(), x.max())), array)
        check(lambda x: np.histogram(x, 4, (-2, x.max())), array)
        check(lambda x: np.histogram(x, range=(x.min(), 1.5), density=True), array, **CLOSE)
    check(lambda x, e: np.histogram_bin_edges(x, e), LINE, edges)
    check(lambda x, e: np.histogram2d(x, x * 2, e), LINE, edges)
    check(lambda x, e: np.histogram2d(x, x * 2, [e, 3]), LINE, edges)
    check(lambda x, e: np.histogramdd([x, x], [3, e], range=[(x.min(), x.max()), None]), LINE, edges)
    x = ka.from_array(LINE, chunks=5)
    for bins, limits, text in (
        ([3.0, 1.0], None, "increase monotonically"),
        (3, (5.0, 1), "max must be larger than min"),
    ):
        bins = ka.from_array(np.array(bins), chunks=1) if isinstance(bins, list) else bins
        limits = limits and (ka.asarray(limits[0]), limits[1])
        with pytest.raises(ValueError, match=text):
            ka.histogram(x, bins, limits)[0].compute()


def test_histograms_of_objects() -> None:
    array = np.array([1, 4, 3, 2, 2], object)
    for options in ({}, {"bins": 3}, {"range": (1, 3)}, {"bins": 3, "density": True}):
        check_function("histogram", array, options=options)
    check_function("histogram_bin_edges", array, options={"bins": 4})


def test_bin_edges() -> None:
    check_function("histogram_bin_edges", LINE, options={"bins": 6})
    check_function("histogram_bin_edges", GRID, options={"bins": 6, "range": (0, 1)})
    check_function("histogram_bin_edges", COUNTS, options={"bins": [1, 2, 3]})


RULES = ("auto", "doane", "fd", "rice", "scott", "sqrt", "stone", "sturges")
LONG = rng.gamma(2.0, size=(20, 15))


@pytest.mark.parametrize("rule", RULES)
def test_bins_by_rules(rule: str) -> None:
    whole = (LONG * 10).astype("i4")
    for array in (
        LONG,
        LONG.astype("f4"),
        whole,
        whole.astype("u1"),
        (whole % 100 - 50).astype("i1"),
        LONG > 1,
        np.ones(5),
        LONG[0, :2],
    ):
        check_function("histogram", array, options={"bins": rule}, most=4)
        check_function("histogram_bin_edges", array, options={"bins": rule}, most=4)
    for limits in ((1, 4), (-3.0, 2.5), (50, 60), (2, 2)):
        for array in (LONG, np.where(LONG > 4, np.nan, LONG), whole):
            check_function("histogram", array, options={"bins": rule, "range": limits}, most=4)
    check_function("histogram", LONG, options={"bins": rule, "density": True}, most=4, **CLOSE)
    check_function("histogram", LONG[:0], options={"bins": rule})
    check_function("histogram", LONG[:0], options={"bins": rule, "range": (2, 3)})


def test_what_follows_from_bins_by_rules_is_lazy() -> None:
    x = ka.from_array(LONG, chunks=7)
    with nothing_runs():
        hist, edges = ka.histogram(x[x > 1], bins="auto")
        share, widths = hist / hist.sum(), edges[1:] - edges[:-1]
    theirs, ends = np.histogram(LONG[LONG > 1], bins="auto")
    assert_same((hist, edges, share, widths), (theirs, ends, theirs / theirs.sum(), np.diff(ends)))


def test_histogram_errors() -> None:
    x = ka.from_array(LINE, chunks=4)
    with pytest.raises(ValueError, match="'mine' is not a valid estimator for `bins`; there are 'auto'"):
        ka.histogram(x, bins="mine")
    with pytest.raises(TypeError, match="weighted data"):
        ka.histogram(x, bins="auto", weights=x)
    with pytest.raises(TypeError, match="along several axes give numbers of bins"):
        ka.histogramdd([x, x], bins=["auto", "auto"])
    with pytest.raises(ValueError, match="larger"):
        ka.histogram(x, bins="fd", range=(2, 1))
    with pytest.raises(ValueError, match="not finite"):
        ka.histogram(ka.from_array([1.0, np.nan]), bins="sqrt")[0].compute()
    with pytest.raises(ValueError, match="monotonically"):
        ka.histogram(x, bins=[1, 0])
    with pytest.raises(ValueError, match="positive"):
        ka.histogram(x, bins=0)
    with pytest.raises(ValueError, match="same shape"):
        ka.histogram(x, weights=[1])
    with pytest.raises(ValueError, match="larger"):
        ka.histogram(x, bins=2, range=(2, 1))
    with pytest.raises(ValueError, match="not finite"):
        ka.histogram(ka.from_array([1.0, np.nan]))[0].compute()


@pytest.mark.parametrize("density", [None, True])
def test_histogramdd(density: Any) -> None:
    points = rng.normal(size=(30, 3))
    weights = rng.random(30)
    for options in (
        {},
        {"bins": 3},
        {"bins": (2, 3, 4)},
        {"bins": [[-1, 0, 1], 2, 3]},
        {"bins": 2, "range": [(-1, 1), None, (0, 2)]},
    ):
        check_function("histogramdd", points, options={**options, "density": density}, **CLOSE)
        check(
            lambda x, w, options=options: both("histogramdd")(x, weights=w, density=density, **options),
            points,
            weights,
            **CLOSE,
        )

    def by_columns(x: Any, y: Any) -> Any:
        home = ka if isinstance(x, ka.Array) else np
        return home.histogramdd((x, y), bins=3, density=density)

    check(by_columns, points[:, 0], points[:, 1], **CLOSE)
    x, y = points[:, 0], points[:, 1]
    for bins in (4, (2, 3), [-1, 0, 1, 2], ([-1, 0, 1], 3)):
        check_function("histogram2d", x, y, options={"bins": bins, "density": density}, **CLOSE)
    with pytest.raises(ValueError, match="dimension of bins"):
        ka.histogramdd(ka.from_array(points), bins=(1, 2))


@pytest.fixture(params=[2048, 1], ids=["together", "by blocks"])
def many(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few and many variables: the latter are multiplied by blocks."""
    monkeypatch.setattr("kask.array.ops.correlation.MANY", request.param)


@pytest.mark.usefixtures("many")
def test_parts_of_covariances_need_all_variables() -> None:
    values = np.random.default_rng(3).random((6, 9))
    x = ka.from_array(values, chunks=(2, 4))
    for func, lazy in ((np.cov, ka.cov), (np.corrcoef, ka.corrcoef)):
        for index in (np.s_[2:], np.s_[:, 1:3], np.s_[::-2, 4], np.s_[3], np.s_[[4, 0]]):
            assert_same(lazy(x)[index], func(values)[index], **CLOSE)
        assert_same(ka.roll(lazy(x), 2, 0).ravel(), np.roll(func(values), 2, 0).ravel(), **CLOSE)


@pytest.mark.usefixtures("many")
def test_cov() -> None:
    frequencies, weights = rng.integers(1, 5, 8), rng.random(8)
    for array in (GRID, GRID + 1j * GRID[::-1], LINE, GRID.astype("f4"), COUNTS):
        for options in ({}, {"bias": True}, {"ddof": 0}, {"ddof": 3}, {"rowvar": False}):
            check_function("cov", array, options=options, **CLOSE)
    for options in (
        {"fweights": frequencies},
        {"aweights": weights},
        {"fweights": frequencies, "aweights": weights, "ddof": 2},
    ):
        check_function("cov", GRID, options=options, **CLOSE)
    check_function("cov", GRID, GRID[::-1], **CLOSE)
    check_function("cov", LINE, LINE[::-1], **CLOSE)
    check_function("cov", GRID, LINE[:8], **CLOSE)
    check_function("cov", GRID.T, LINE[:8], options={"rowvar": False}, **CLOSE)
    check_function("cov", GRID, options={"dtype": "f4"}, rtol=1e-4, atol=1e-5)
    check_function("cov", 1e8 + GRID, rtol=1e-6)
    x = ka.from_array(GRID, chunks=2)
    with pytest.raises(TypeError, match="fweights"):
        ka.cov(x, fweights=weights)
    with pytest.raises(RuntimeError, match="aweights"):
        ka.cov(x, aweights=[1])
    with pytest.raises(ValueError, match="observations"):
        ka.cov(x, [1, 2])
    with pytest.raises(ValueError, match="cannot be negative"):
        ka.cov(x, aweights=-weights).compute()
    with pytest.warns(RuntimeWarning, match="Degrees"):
        ka.cov(x, ddof=9).compute()


@pytest.mark.usefixtures("many")
def test_corrcoef() -> None:
    for array in (GRID, GRID + 1j * GRID[::-1], LINE):
        check_function("corrcoef", array, **CLOSE)
        check_function("corrcoef", array, options={"rowvar": False}, **CLOSE)
    check_function("corrcoef", LINE, LINE[::-1], **CLOSE)


def test_covariances_of_many_variables_are_cut() -> None:
    """No task holds them all."""
    x = ka.random.default_rng(0).random((3_000, 50), chunks=(1_000, 50))
    for found, expected in ((ka.cov(x), np.cov(x.compute())), (ka.corrcoef(x), np.corrcoef(x.compute()))):
        assert found.chunks == ((1_000,) * 3,) * 2
        assert_same(found, expected, **CLOSE)
