"""Medians and quantiles, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.array.against_numpy import assert_same, check_function, chunkings

import kask.array as ka
from kask import compute, config
from kask.array.ops.lines import has_long_lines

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

rng = np.random.default_rng(17)
CUBE = rng.normal(size=(4, 5, 3))
HOLED = np.where(rng.random((6, 5)) < 0.3, np.nan, rng.normal(size=(6, 5)))
NUMBERS = rng.integers(0, 9, (7, 4))
METHODS = [
    "inverted_cdf", "averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf", "hazen", "weibull",
    "linear", "median_unbiased", "normal_unbiased", "lower", "higher", "midpoint", "nearest",
]  # fmt: skip


@pytest.fixture
def small_blocks() -> Any:
    """Arrays of more than a few elements are large."""
    with config.set({"array.chunk_size_bytes": 64}):
        yield


@pytest.mark.parametrize("name", ["median", "nanmedian"])
def test_median(name: str) -> None:
    for array in (CUBE, HOLED, NUMBERS, CUBE.astype("f4"), np.array(2.5), NUMBERS.astype("m8[s]")):
        axes: list[Any] = [None, *range(-array.ndim, array.ndim), *([(0, 1), (1, 0)] if array.ndim > 1 else [])]
        for axis in axes:
            check_function(name, array, options={"axis": axis}, most=5)
            check_function(name, array, options={"axis": axis, "keepdims": True}, most=3)


@pytest.mark.parametrize("method", METHODS)
def test_quantiles(method: str) -> None:
    for array in (CUBE, HOLED, NUMBERS):
        for axis in (None, 0, -1, (0, 1)):
            for q in (0.3, [0.0, 0.5, 1.0], [[0.1, 0.2], [0.7, 0.9]]):
                check_function("quantile", array, args=(q,), options={"axis": axis, "method": method}, most=2)
        check_function(
            "nanpercentile", array, args=([25, 50],), options={"axis": 0, "method": method, "keepdims": True}, most=3
        )
        check_function("nanquantile", array, args=(0.25,), options={"method": method}, most=3)
        check_function("percentile", array, args=(70,), options={"axis": 1, "method": method}, most=3)


@pytest.mark.parametrize("method", METHODS)
def test_quantiles_of_uneven_and_empty_chunks(method: str) -> None:
    qs, found, expected = [0.0, 0.21, 0.5, 1.0], [], []
    for array in (CUBE, HOLED, NUMBERS):
        ways = [cuts for cuts in chunkings(array.shape) if len({size for along in cuts for size in along}) > 1]
        assert any(0 in along for cuts in ways for along in cuts)
        for cuts in ways:
            x = ka.from_array(array, chunks=cuts)
            for axis in (None, 0, -1, (0, 1)):
                options: Any = {"axis": axis, "method": method}
                found.append(ka.quantile(x, qs, **options))
                expected.append(np.quantile(array, qs, **options))
                found.append(ka.nanquantile(x, 0.3, keepdims=True, **options))
                expected.append(np.nanquantile(array, 0.3, keepdims=True, **options))
    for ours, theirs in zip(compute(*found), expected):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("method", METHODS)
def test_selection_from_a_large_array(small_blocks: Any, method: str) -> None:
    for array in (
        rng.normal(size=101),
        NUMBERS,
        CUBE,
        CUBE.astype("f4"),
        np.full(50, 3),
        rng.integers(0, 3, 64).astype("u1"),
    ):
        qs = [0.0, 0.01, 0.25, 0.5, 0.77, 1.0]
        for q in (*qs, qs):
            check_function(
                "quantile",
                array,
                args=(q,),
                options={"method": method},
                most=5,
                rtol=1e-6 if array.dtype == "f4" else 1e-14,
            )
        check_function(
            "percentile", array, args=([[12.5, 99]],), options={"method": method, "keepdims": True}, most=2, rtol=1e-6
        )
    check_function("nanquantile", HOLED, args=([0.2, 0.8],), options={"method": method}, rtol=1e-14)
    check_function("quantile", HOLED, args=([0.2, 0.8],), options={"method": method})


def test_large_medians(small_blocks: Any) -> None:
    for array in (CUBE, HOLED, NUMBERS, rng.normal(size=1000), NUMBERS.astype("m8[s]"), CUBE.astype("f4")):
        check_function("median", array, rtol=0 if array.dtype.kind == "m" else 1e-7)
        check_function("nanmedian", array, options={"keepdims": True}, rtol=0 if array.dtype.kind == "m" else 1e-7)
    check_function("nanmedian", np.full(20, np.nan))


STACK = rng.normal(size=(3, 6, 2, 5))


@pytest.mark.parametrize("axes", [(1, 3), (3, 1), (0, 1), (1, 2, 3), (-1, 0, 1), (0, 3)])
def test_selection_along_several_axes(small_blocks: Any, axes: tuple[int, ...]) -> None:
    assert has_long_lines(ka.from_array(STACK, chunks=(1, 2, 1, 2)).expr, tuple(axis % 4 for axis in axes))
    for keepdims in (False, True):
        for q in (0.4, [[0.0, 0.5], [0.9, 1.0]]):
            check_function(
                "quantile", STACK, args=(q,), options={"axis": axes, "keepdims": keepdims}, most=2, rtol=1e-14
            )
        check_function("median", STACK, options={"axis": axes, "keepdims": keepdims}, most=2, rtol=1e-14)
        holed = np.where(STACK > 1, np.nan, STACK)
        options = {"axis": axes, "keepdims": keepdims}
        check_function("nanpercentile", holed, args=([10, 60],), options=options, most=2, rtol=1e-14)
        check_function("percentile", holed, args=([10, 60],), options=options, most=2, rtol=1e-14)


def test_quantiles_of_images_that_are_larger_than_a_block() -> None:
    with config.set({"array.chunk_size_bytes": 100_000}):
        images = rng.normal(size=(2, 300, 400))
        x = ka.from_array(images, chunks=(1, 100, 100))
        found = ka.quantile(x, [0.1, 0.5], axis=(1, 2))
        need = found.explain().largest
        assert need.inputs_bytes + need.own_bytes <= 200_000
        assert_same(found, np.quantile(images, [0.1, 0.5], axis=(1, 2)), rtol=1e-14)


def test_little_is_gathered_of_a_large_array() -> None:
    from kask.array.kernels.quantiles import Brackets, SampleBlock, SelectPart, add_samples

    blocks = [rng.normal(size=50_000) for _ in range(8)]
    samples = add_samples([SampleBlock()(block, (0,)) for block in blocks])
    brackets = Brackets(np.array([0.1, 0.5, 0.9]), "linear")(samples)
    gathered = sum(len(row[2][0]) for block in blocks for row in SelectPart()(block, (0,), brackets)[0][1])
    assert gathered < 6 * 3 * len(blocks) * 50_000 / 1024
    with config.set({"array.chunk_size_bytes": 100_000}):
        x = ka.from_array(np.concatenate(blocks), chunks=50_000)
        assert_same(ka.quantile(x, [0.1, 0.5, 0.9]), np.quantile(np.concatenate(blocks), [0.1, 0.5, 0.9]), rtol=1e-14)


def test_weights() -> None:
    weights = rng.integers(0, 4, (7, 4)) + 0.5
    for axis in (None, 0, 1):
        check_function(
            "quantile",
            NUMBERS,
            args=([0.2, 0.6],),
            options={"axis": axis, "weights": weights, "method": "inverted_cdf"},
        )
    check_function(
        "quantile", NUMBERS, args=(0.2,), options={"axis": 0, "weights": weights[:, 0], "method": "inverted_cdf"}
    )


@pytest.mark.parametrize("name", ["quantile", "nanquantile", "percentile", "nanpercentile"])
def test_weights_of_large_arrays(small_blocks: Any, name: str) -> None:
    most = 100 if "percentile" in name else 1
    single = np.float32 if most == 1 else np.float64
    arrays = [NUMBERS, NUMBERS.ravel(), NUMBERS.ravel() > 4, HOLED, CUBE.ravel().astype(single), np.full(12, np.nan)]
    for array in arrays:
        weights = rng.integers(0, 4, array.shape)
        weights.flat[0] = 2
        for q, keepdims in ((0.4, False), (0, True), (1, False), ([[0.25, 0.5], [0.0, 1.0]], True)):
            options = {"weights": weights, "method": "inverted_cdf", "keepdims": keepdims}
            check_function(name, array, args=(np.multiply(q, most).tolist(),), options=options)
    lines = rng.integers(0, 9, (3, 40))
    # NumPy's nanquantile fails with weights of one line.
    for weights in (rng.integers(0, 3, (3, 40)), rng.integers(0, 3, 40))[: 1 if "nan" in name else 2]:
        options = {"axis": 1, "weights": weights, "method": "inverted_cdf"}
        check_function(name, lines, args=(0.3 * most,), options=options)


def test_weighted_quantiles_gather_nothing() -> None:
    with config.set({"array.chunk_size_bytes": 800}):
        x, weights = ka.ones(100_000, chunks=100), ka.ones(100_000, chunks=100)
        need = ka.quantile(x, 0.5, weights=weights, method="inverted_cdf").explain().largest
        assert need is not None and need.inputs_bytes + need.own_bytes < x.nbytes // 2


@pytest.mark.parametrize("weights", [[1.0, -1.0, 1.0], [0.0, 0.0, 0.0], [1.0, np.nan, 1.0], [1.0, np.inf, 1.0]])
def test_weights_that_are_refused(weights: Any) -> None:
    array, heavy = np.arange(30.0), np.tile(weights, 10)
    with pytest.raises(ValueError) as told:
        np.quantile(array, 0.5, weights=heavy, method="inverted_cdf")
    with config.set({"array.chunk_size_bytes": 64}):
        found = ka.quantile(ka.from_array(array, chunks=7), 0.5, weights=heavy, method="inverted_cdf")
        with pytest.raises(ValueError, match=str(told.value)):
            found.compute()


def test_errors() -> None:
    x = ka.from_array(CUBE, chunks=2)
    with pytest.raises(ValueError, match="range"):
        ka.quantile(x, 1.5)
    with pytest.raises(ValueError, match="method"):
        ka.quantile(x, 0.5, method="best")
    with pytest.raises(np.exceptions.AxisError):
        ka.median(x, axis=5)
    out = ka.from_array(np.zeros(()))
    assert ka.median(x, out=out) is out
    assert_same(out, np.median(CUBE))
