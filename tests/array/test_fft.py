"""Fourier transforms."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import scipy.fft
from against_numpy import assert_same, check, check_function, nothing_runs

import kask
import kask.array as ka

RNG = np.random.default_rng(3)
REAL = RNG.standard_normal((5, 6))
COMPLEX = REAL + 1j * RNG.standard_normal((5, 6))
CUBE = RNG.standard_normal((3, 4, 5))
CLOSE = {"rtol": 1e-10, "atol": 1e-10}
ROUGH = {"rtol": 1e-4, "atol": 1e-4}

ONE = ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"]
SEVERAL = ["fft2", "ifft2", "rfft2", "irfft2", "fftn", "ifftn", "rfftn", "irfftn"]


def input_of(name, array):
    return array if name in ("rfft", "ihfft", "rfft2", "rfftn") else array + 1j * array[::-1]


@pytest.mark.parametrize("name", ONE)
@pytest.mark.parametrize(
    "options", [{}, {"axis": 0}, {"n": 4}, {"n": 9, "axis": 0}, {"n": 1}, {"norm": "ortho"}, {"norm": "forward"}]
)
def test_along_one_axis(name, options):
    check_function(f"fft.{name}", input_of(name, REAL), options=options, **CLOSE)


@pytest.mark.parametrize("name", SEVERAL)
@pytest.mark.parametrize(
    "options", [{}, {"axes": (0, 1)}, {"axes": (2, 0)}, {"s": (3, 7), "axes": (0, 2)}, {"norm": "ortho"}]
)
def test_along_several_axes(name, options):
    check_function(f"fft.{name}", input_of(name, CUBE), options=options, **CLOSE)


@pytest.mark.parametrize("dtype", [np.bool_, np.int8, np.float32, np.float64, np.complex64, np.longdouble])
def test_types(dtype):
    check_function("fft.fft", (REAL > 0).astype(dtype), **ROUGH)
    check_function("fft.irfft", (REAL > 0).astype(dtype), **ROUGH)
    check_function("fft.fftn", (REAL > 0).astype(dtype), **ROUGH)


def test_numpy_calls_kask():
    x = ka.from_array(REAL, chunks=2)
    with nothing_runs():
        found = np.fft.rfft(x)
    assert type(found) is ka.Array
    assert_same(found, np.fft.rfft(REAL), **CLOSE)


def test_other_axes_stay_as_they_are():
    x = ka.ones((6, 8), chunks=(2, 3))
    assert ka.fft.fft(x).chunks == ((2, 2, 2), (8,))
    assert ka.fft.rfft(x, axis=0).chunks == ((4,), (3, 3, 2))


@pytest.mark.parametrize("name", ["fft", "rfft", "irfft", "fft2", "fftn", "rfftn", "irfftn"])
def test_transforms_of_other_libraries(name):
    func = getattr(scipy.fft, name)
    ours = ka.fft.fft_wrap(func)
    assert ours.__name__ == name
    array = input_of(name, CUBE)
    check(lambda x: (ours if isinstance(x, ka.Array) else func)(x), array, **CLOSE)
    options = {"axis": 1, "n": 3} if name in ONE else {"axes": (0, 1), "s": (4, 6)}
    check(lambda x: (ours if isinstance(x, ka.Array) else func)(x, **options), array, **CLOSE)


def test_wrapping_refuses():
    with pytest.raises(ValueError, match="kind must be one of"):
        ka.fft.fft_wrap(np.sum)
    assert ka.fft.fft_wrap(lambda a, **options: np.fft.fft(a, **options), kind="fft")(ka.ones(4)).shape == (4,)


@pytest.mark.parametrize("n", [1, 2, 7, 8])
def test_frequencies(n):
    for chunks in (3, "auto"):
        assert_same(ka.fft.fftfreq(n, 0.1, chunks=chunks), np.fft.fftfreq(n, 0.1))
        assert_same(ka.fft.rfftfreq(n, d=0.1, chunks=chunks), np.fft.rfftfreq(n, 0.1))


@pytest.mark.parametrize("name", ["fft.fftshift", "fft.ifftshift"])
def test_shifts(name):
    for options in ({}, {"axes": 0}, {"axes": (0, 1)}, {"axes": -1}):
        check_function(name, REAL, options=options)


def test_refuses():
    x = ka.ones((3, 4))
    with pytest.raises(ValueError, match="data points"):
        ka.fft.fft(x, n=0)
    with pytest.raises(ValueError, match="data points"):
        ka.fft.fft(ka.ones((3, 0)))
    with pytest.raises(ValueError, match="norm"):
        ka.fft.fft(x, norm="loud")
    with pytest.raises(np.exceptions.AxisError):
        ka.fft.fft(x, axis=2)
    with pytest.raises(ValueError, match="lengths for"):
        ka.fft.fftn(x, s=(3,), axes=(0, 1))
    with pytest.raises(ValueError, match="without axes"):
        ka.fft.fft(ka.ones(()))


@pytest.mark.parametrize("kind", ["fft", "ifft", "rfft", "irfft", "hfft", "ihfft"])
@pytest.mark.parametrize(("shape", "axis"), [((60,), 0), ((5, 48), 1), ((48, 3), 0), ((2, 36, 3), 1)])
def test_lines_longer_than_blocks_are_transformed_in_steps(kind: str, shape: tuple[int, ...], axis: int) -> None:
    reals = np.random.default_rng(0).normal(size=shape)
    arrays = [reals, reals.astype("f4")]
    if kind not in ("rfft", "ihfft"):
        arrays += [reals + 1j * reals[::-1], (reals - 1j * reals).astype("c8")]
    with kask.config.set({"array.chunk_size_bytes": 256}):
        for array, n, norm in itertools.product(arrays, [None, 30, 64, 72, 97, 134], [None, "ortho", "forward"]):
            expected = getattr(np.fft, kind)(array, n=n, axis=axis, norm=norm)
            x = ka.from_array(array, chunks=tuple(max(1, length // 3) for length in shape))
            found = getattr(ka.fft, kind)(x, n=n, axis=axis, norm=norm)
            assert found.dtype == expected.dtype
            digits = 1e-5 if expected.dtype.itemsize in (4, 8) and expected.dtype != np.float64 else 1e-13
            np.testing.assert_allclose(found.compute(), expected, rtol=0, atol=digits * np.abs(expected).max())


@pytest.mark.parametrize("n", [2**14, 65_521])
def test_no_task_holds_a_long_line(n: int) -> None:
    line = np.random.default_rng(0).normal(size=n)
    with kask.config.set({"array.chunk_size_bytes": 2**15}):
        x = ka.fft.fft(ka.from_array(line, chunks=2**11))
        assert 16 * max(x.chunks[0]) <= 2**15
        assert x.explain().largest.needs_bytes <= 10 * 2**15 < 16 * line.size * 2
        np.testing.assert_allclose(x.compute(), np.fft.fft(line), rtol=0, atol=1e-10)


def test_somebody_elses_transform_gets_whole_lines() -> None:
    lengths = []

    def fft(a: np.ndarray, n: int | None = None, axis: int = -1) -> np.ndarray:
        lengths.append(a.shape[axis])
        return np.fft.fft(a, n=n, axis=axis)

    with kask.config.set({"array.chunk_size_bytes": 256}):
        x = ka.fft.fft_wrap(fft)(ka.from_array(REAL.ravel(), chunks=7))
        np.testing.assert_allclose(x.compute(scheduler="sync"), np.fft.fft(REAL.ravel()))
    assert max(lengths) == REAL.size


@pytest.mark.parametrize("name", ["fftfreq", "rfftfreq"])
def test_there_are_no_fewer_than_no_frequencies(name: str) -> None:
    with pytest.raises(ValueError, match="n=-3"):
        getattr(ka.fft, name)(-3)
