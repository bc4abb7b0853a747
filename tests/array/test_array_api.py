"""The namespace of the array API standard: the functions whose parameters differ from NumPy's."""

from __future__ import annotations

import numpy as np
import pytest
from against_numpy import assert_same, chunkings

import kask.array as ka
from kask.array import array_api as xp

ARRAY = np.array([[3, 1, 2, 1], [2, 2, 0, 3], [1, 3, 3, 0]])


def needs(*names):
    """Skips where functions of other families are not there."""
    missing = [name for name in names if not hasattr(ka, name)]
    return pytest.mark.skipif(bool(missing), reason=f"kask.array has no {', '.join(missing)}")


@pytest.fixture(params=range(len(chunkings(ARRAY.shape))))
def x(request):
    return ka.from_array(ARRAY, chunks=chunkings(ARRAY.shape)[request.param])


def test_asarray(x):
    assert xp.asarray(x) is x
    assert xp.asarray(x, copy=True) is not x
    assert_same(xp.asarray([1, 2], dtype=xp.float32), np.array([1, 2], "f4"))
    assert_same(xp.asarray(x, dtype=xp.float32), ARRAY.astype("f4"))
    assert_same(xp.from_dlpack(ARRAY), ARRAY)
    with pytest.raises(ValueError, match="copy=False is not possible"):
        xp.asarray([1], copy=False)
    with pytest.raises(ValueError, match="copy=False is not possible"):
        xp.asarray(x, dtype=xp.float32, copy=False)
    with pytest.raises(ValueError, match="device must be 'cpu'"):
        xp.asarray(x, device="gpu")


@needs("zeros", "arange", "eye", "linspace", "full_like")
def test_creation(x):
    for name in ("zeros", "ones"):
        assert_same(getattr(xp, name)((2, 3), dtype=xp.int8, device="cpu"), getattr(np, name)((2, 3), "i1"))
        assert_same(getattr(xp, f"{name}_like")(x), getattr(np, f"{name}_like")(ARRAY))
    assert xp.empty((2,)).shape == xp.empty_like(xp.asarray([1, 2])).shape == (2,)
    assert_same(xp.full((2,), 3.0), np.full(2, 3.0))
    assert_same(xp.full_like(x, 7), np.full_like(ARRAY, 7))
    assert_same(xp.arange(5), np.arange(5))
    assert_same(xp.arange(1, 9, 3), np.arange(1, 9, 3))
    assert_same(xp.arange(5, step=2), np.arange(0, 5, 2))
    assert_same(xp.linspace(0, 1, 5, endpoint=False), np.linspace(0, 1, 5, endpoint=False))
    assert_same(xp.eye(2, 3, k=1), np.eye(2, 3, k=1))


@needs("concatenate", "ravel", "transpose", "swapaxes", "moveaxis", "reshape")
def test_shapes(x):
    assert_same(xp.concat([x, x], axis=None), np.concat([ARRAY, ARRAY], axis=None))
    assert_same(xp.concat((x, x), axis=1), np.concat([ARRAY, ARRAY], axis=1))
    assert_same(xp.permute_dims(x, (1, 0)), ARRAY.T)
    assert_same(xp.matrix_transpose(x), ARRAY.T)
    assert_same(xp.reshape(x, (4, 3)), ARRAY.reshape(4, 3))
    assert_same(list(xp.unstack(x, axis=1)), list(np.unstack(ARRAY, axis=1)))
    with pytest.raises(ValueError, match="two axes or more"):
        xp.matrix_transpose(xp.asarray([1]))


@needs("std", "cumsum", "cumprod", "concatenate")
def test_statistics(x):
    assert_same(xp.std(x, axis=0, correction=1), np.std(ARRAY, axis=0, ddof=1), rtol=1e-12)
    assert_same(xp.var(x, correction=1, keepdims=True), np.var(ARRAY, ddof=1, keepdims=True), rtol=1e-12)
    for name in ("cumulative_sum", "cumulative_prod"):
        for options in ({"axis": 0}, {"axis": 1, "include_initial": True}, {"axis": 0, "dtype": np.dtype("f4")}):
            assert_same(getattr(xp, name)(x, **options), getattr(np, name)(ARRAY, **options))
    with pytest.raises(ValueError, match="axis is needed"):
        xp.cumulative_sum(x)


@needs("sort", "argsort", "flip")
def test_order(x):
    for axis in (0, 1):
        assert_same(xp.sort(x, axis=axis, descending=True), -np.sort(-ARRAY, axis=axis))
        assert_same(xp.argsort(x, axis=axis), np.argsort(ARRAY, axis=axis, kind="stable"))
        assert_same(xp.argsort(x, axis=axis, descending=True), np.argsort(-ARRAY, axis=axis, kind="stable"))


@needs("unique", "reshape")
def test_sets(x):
    found, expected = xp.unique_all(x), np.unique_all(ARRAY)
    for name in ("values", "indices", "inverse_indices", "counts"):
        np.testing.assert_array_equal(np.asarray(getattr(found, name)), getattr(expected, name))
    # The standard says nothing of their order, and NumPy leaves it open; here they are sorted.
    np.testing.assert_array_equal(np.asarray(xp.unique_values(x)), np.sort(np.unique_values(ARRAY)))
    np.testing.assert_array_equal(np.asarray(xp.unique_counts(x).counts), np.unique_counts(ARRAY).counts)
    inverse = xp.unique_inverse(x).inverse_indices
    np.testing.assert_array_equal(np.asarray(inverse), np.unique_inverse(ARRAY).inverse_indices)


def test_clip(x):
    assert_same(xp.clip(x, 1, 2), np.clip(ARRAY, 1, 2))
    assert xp.clip(xp.asarray(np.ones(2, "f4")), 0.0, np.float64(2)).dtype == np.float32


def test_namespace(x):
    assert x.__array_namespace__() is xp
    assert "acos" in dir(xp) and "concat" in dir(xp)
    for name in [
        "acos",
        "acosh",
        "asin",
        "asinh",
        "atan",
        "atan2",
        "atanh",
        "bitwise_invert",
        "bitwise_left_shift",
        "bitwise_right_shift",
        "pow",
    ]:
        assert getattr(xp, name) is getattr(ka, name)
    assert xp.__array_api_version__ == "2025.12"
    assert xp.broadcast_shapes((2, 1), (3,)) == (2, 3)
    assert xp.finfo(xp.float32).bits == 32 and xp.iinfo(xp.int8).max == 127
    capabilities = xp.__array_namespace_info__().capabilities()
    assert capabilities["boolean indexing"] and capabilities["data-dependent shapes"]


def test_versions(x):
    for version in ("2022.12", "2023.12", "2024.12", "2025.12", None):
        assert x.__array_namespace__(api_version=version) is xp
    with pytest.raises(ValueError, match=r"2042\.12"):
        x.__array_namespace__(api_version="2042.12")
    assert xp.finfo(x.astype("f4")).eps == xp.finfo(xp.float32).eps == 2.0**-23


def test_extensions(x):
    assert xp.linalg.svd(x.astype(float)).U.shape == (3, 3)
    assert xp.linalg.svd(xp.matrix_transpose(x), full_matrices=False).U.shape == (4, 3)
    assert xp.linalg.qr is ka.linalg.qr and "qr" in dir(xp.linalg)
    assert xp.fft.fft is ka.fft.fft and "fft" in dir(xp.fft)
    assert xp.fft.fftfreq(4, dtype=xp.float32, device="cpu").dtype == np.float32
    with pytest.raises(ValueError, match="device must be 'cpu'"):
        xp.fft.rfftfreq(4, device="gpu")
    for home in (xp.linalg, xp.fft):
        with pytest.raises(AttributeError, match="nothing"):
            _ = home.nothing


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_take_along_axis(x, axis):
    places = np.argsort(ARRAY, axis=axis)
    for cut in (-1, 1, (2, 3)):
        found = xp.take_along_axis(x, ka.from_array(places, chunks=cut), axis=axis)
        assert_same(found, np.take_along_axis(ARRAY, places, axis=axis))
    few = places[:1] if axis == 1 or axis == -1 else places[:, :1]
    assert_same(ka.take_along_axis(x, few, axis), np.take_along_axis(ARRAY, few, axis))
    assert_same(ka.take_along_axis(x, -few - 1, axis), np.take_along_axis(ARRAY, -few - 1, axis))
    assert_same(np.take_along_axis(x, places, axis), np.take_along_axis(ARRAY, places, axis))
    assert_same(
        ka.take_along_axis(x, places[:0] if axis == 0 else places[:, :0], axis),
        ARRAY[:0] if axis == 0 else ARRAY[:, :0],
    )
    assert_same(ka.take_along_axis(x, np.array([5, 0]), None), np.take_along_axis(ARRAY, np.array([5, 0]), None))
    with pytest.raises(IndexError, match="out of bounds"):
        ka.take_along_axis(x, places + 4, axis).compute()
    with pytest.raises(IndexError, match="integers, not of float64"):
        ka.take_along_axis(x, places / 2, axis)
    with pytest.raises(ValueError, match="1 axes, but the array has 2"):
        ka.take_along_axis(x, [0], axis)
