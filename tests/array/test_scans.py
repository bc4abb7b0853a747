"""Scans and differences, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.array.against_numpy import assert_same, check, check_function

import kask.array as ka
from kask import config

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

rng = np.random.default_rng(11)
GRID = rng.integers(-9, 10, (6, 7))
HOLED = np.where(rng.random((6, 5)) < 0.3, np.nan, rng.normal(size=(6, 5)))
LINE = rng.normal(size=13)
TIMES = rng.integers(0, 99, 9).astype("M8[s]")
CLOSE = {"rtol": 1e-12, "atol": 1e-13}


@pytest.mark.parametrize("method", ["sequential", "blelloch"])
@pytest.mark.parametrize("name", ["cumsum", "cumprod", "nancumsum", "nancumprod"])
def test_scans(name: str, method: str) -> None:
    for array in (GRID, HOLED, LINE + 1j, GRID.astype("u1"), GRID > 0, np.zeros((0, 3)), GRID.astype("f4")):
        for axis in range(-array.ndim, array.ndim):
            exact = array.dtype.kind in "biu"
            how = {} if exact else {"rtol": 1e-5, "atol": 1e-6} if array.dtype == np.float32 else CLOSE

            def call(x: Any, axis: int = axis) -> Any:
                options = {"method": method} if isinstance(x, ka.Array) else {}
                return getattr(ka if options else np, name)(x, axis=axis, **options)

            check(call, array, most=5, **how)
    check_function(name, GRID.astype("i2"), options={"axis": 0, "dtype": "i8"})
    check_function(name, GRID, options={"axis": 1, "dtype": "f8"}, **CLOSE)


def test_many_blocks() -> None:
    array = rng.integers(0, 99, 2100)
    x = ka.from_array(array, chunks=1)
    for method in ("sequential", "blelloch"):
        assert_same(x.cumsum(method=method), array.cumsum())
    wide = rng.integers(0, 99, (3, 400))
    assert_same(ka.cumsum(ka.from_array(wide, chunks=(2, 3)), axis=1, method="blelloch"), wide.cumsum(axis=1))


@pytest.mark.parametrize("method", ["sequential", "blelloch"])
@pytest.mark.parametrize("name", ["cumsum", "cumprod", "nancumsum", "nancumprod"])
def test_large_totals(name: str, method: str) -> None:
    """Totals of which two are more than a task may have."""
    with config.set({"array.chunk_size_bytes": 60}):
        for array in (GRID, HOLED, LINE + 1j, GRID.astype("u1"), np.zeros((0, 3)), (GRID * 10).astype("m8[s]")):
            if array.dtype.kind == "m" and name != "cumsum":
                continue
            for axis in range(array.ndim):

                def call(x: Any, axis: int = axis) -> Any:
                    options = {"method": method} if isinstance(x, ka.Array) else {}
                    return getattr(ka if options else np, name)(x, axis=axis, **options)

                check(call, array, most=6, **(CLOSE if array.dtype.kind in "fc" else {}))
        x = ka.cumsum(ka.from_array(GRID, chunks=(1, -1)), axis=0, method=method).persist()
        assert_same(x + 1, GRID.cumsum(axis=0) + 1)


def test_no_task_holds_all_totals() -> None:
    block = 100 * 100 * 8
    x = ka.ones((200, 100, 100), chunks=(1, -1, -1)) + 1
    with config.set({"array.chunk_size_bytes": 8 * block}):
        for method, most in (("sequential", 3), ("blelloch", 9)):
            found = ka.cumsum(x, axis=0, method=method).explain()
            assert found.largest.inputs_bytes + found.largest.own_bytes <= (most + 0.1) * block
        # Small ones are added up by one task.
        assert ka.cumsum(ka.ones(2000, chunks=10)).explain().tasks <= 3 * 200 + 1


def test_parts_of_scans_scan_parts() -> None:
    array = rng.integers(-9, 10, (12, 8))
    for chunks in ((1, -1), (5, 3), ((4, 0, 8), 8)):
        x = ka.from_array(array, chunks=chunks)
        for size in (1 << 27, 100):
            with config.set({"array.chunk_size_bytes": size}):
                for key in (
                    np.s_[:4, :],
                    np.s_[:7, 2:6:3],
                    np.s_[:, 5],
                    np.s_[:3, ::-1],
                    np.s_[2:, :],
                    np.s_[::2],
                    np.s_[0],
                ):
                    assert_same(ka.cumsum(x, axis=0)[key], array.cumsum(axis=0)[key])
                    assert_same(ka.cumprod(x, axis=1)[key], array.cumprod(axis=1)[key])
    x = ka.from_array(array, chunks=(1, 8))
    assert ka.cumsum(x, axis=0)[:3].explain().tasks < ka.cumsum(x, axis=0).explain().tasks / 3
    assert_same(ka.cumsum(ka.from_array(array, chunks=2))[:5], array.cumsum()[:5])


def test_flattened() -> None:
    check_function("cumsum", GRID)
    check(lambda x: x.cumsum(), GRID)
    check_function("cumsum", np.array(3))
    check_function("nancumprod", HOLED, **CLOSE)


def test_scan_errors() -> None:
    x = ka.from_array(GRID, chunks=2)
    with pytest.raises(ValueError, match="method="):
        x.cumsum(axis=0, method="fast")
    with pytest.raises(np.exceptions.AxisError):
        x.cumsum(axis=2)


def test_cumulative() -> None:
    for name in ("cumulative_sum", "cumulative_prod"):
        for initial in (False, True):
            check_function(name, LINE, options={"include_initial": initial}, **CLOSE)
            check_function(name, GRID, options={"axis": 0, "include_initial": initial})
            check_function(name, GRID, options={"axis": -1, "include_initial": initial, "dtype": "f8"}, **CLOSE)
            check_function(name, np.zeros((0, 2)), options={"axis": 0, "include_initial": initial})
        with pytest.raises(ValueError, match="axis="):
            getattr(ka, name)(ka.from_array(GRID))
        with pytest.raises(ValueError, match="no axes"):
            getattr(ka, name)(ka.from_array(np.array(1)))


def test_diff() -> None:
    for array in (GRID, HOLED, GRID > 0, TIMES, GRID.astype("u1"), np.zeros((0, 3))):
        for axis in range(-array.ndim, array.ndim):
            for n in (0, 1, 2, 20):
                check_function("diff", array, options={"n": n, "axis": axis}, most=5)
    check_function("diff", GRID, options={"prepend": 0, "append": 7})
    check_function("diff", GRID, options={"prepend": GRID[:2], "axis": 0})
    check_function("diff", GRID, options={"append": 1.5 * GRID[:, :3], "axis": 1, "n": 2})
    with pytest.raises(ValueError, match="negative"):
        ka.diff(ka.from_array(GRID), n=-1)
    with pytest.raises(ValueError, match="one dimensional"):
        ka.diff(ka.from_array(np.array(1)))
    with pytest.raises(ValueError, match="does not fit"):
        ka.diff(ka.from_array(GRID), prepend=np.ones((3, 3)))


def test_ediff1d() -> None:
    check_function("ediff1d", GRID)
    check_function("ediff1d", LINE, options={"to_begin": -9.0, "to_end": [1.0, 2.0]})
    check_function("ediff1d", TIMES)
    check_function("ediff1d", np.zeros(0))
    with pytest.raises(TypeError, match="to_end="):
        ka.ediff1d(ka.from_array(GRID), to_end=0.5)


@pytest.mark.parametrize("edge_order", [1, 2])
def test_gradient(edge_order: int) -> None:
    options = {"edge_order": edge_order}
    for array in (GRID, HOLED, LINE.astype("f4"), LINE + 1j * LINE[::-1]):
        check_function("gradient", array, options=options, **CLOSE)
        check_function("gradient", array, args=(0.5,), options=options, **CLOSE)
    check_function("gradient", GRID, options={"axis": 1, **options}, **CLOSE)
    check_function("gradient", GRID, options={"axis": (1, 0), **options}, **CLOSE)
    check_function("gradient", GRID, args=(np.cumsum(1 + rng.random(6)), 2.0), options=options, **CLOSE)
    places = np.cumsum(1 + rng.random(13))
    check_function("gradient", LINE, places, options=options, **CLOSE)
    check_function("gradient", TIMES, options=options)


def test_gradient_errors() -> None:
    x = ka.from_array(GRID, chunks=2)
    with pytest.raises(ValueError, match="too small"):
        ka.gradient(ka.from_array([1.0]))
    with pytest.raises(TypeError, match="invalid number"):
        ka.gradient(x, 1, 2, 3)
    with pytest.raises(ValueError, match="must match the length"):
        ka.gradient(x, [1, 2], 1)
    with pytest.raises(ValueError, match="edge_order"):
        ka.gradient(x, edge_order=3)


def test_trapezoid() -> None:
    for axis in (0, 1, -1):
        check_function("trapezoid", GRID, options={"axis": axis, "dx": 0.5}, **CLOSE)
        check_function("trapezoid", GRID, options={"axis": axis, "x": np.arange(GRID.shape[axis]) ** 2}, **CLOSE)
        check_function("trapezoid", GRID, options={"axis": axis, "x": np.cumsum(GRID, axis=axis)}, **CLOSE)
    check_function("trapezoid", LINE, **CLOSE)
    check_function("trapezoid", LINE, np.sort(LINE), **CLOSE)


@pytest.mark.parametrize("kind", [np.float64, np.complex128, np.int64])
def test_interp_of_many_points(kind: Any) -> None:
    xp = np.array([-1.0, 0.0, 0.0, 0.0, 0.5, 1.0, 1.0, 2.5, 3.0, 3.0])
    fp = np.array([3, 1, 7, 2, 5, -0.0, 4, 1, 9, 8]).astype(kind)
    places = np.array([-3, -1, -0.5, 0, 0.2, 0.5, 0.7, 1, 1.2, 2.5, 2.9, 3, 4, np.nan, np.inf, -np.inf])
    with config.set({"array.chunk_size_bytes": 32}):
        for options in ({}, {"left": -5.0}, {"left": np.nan, "right": 0}):
            check_function("interp", places, xp, fp, options=options)
        check_function("interp", places.reshape(4, 4), xp, fp)
        check_function("interp", np.arange(-2, 5), xp.astype(int), fp)
        scattered = np.array([5.5, -1.3, 0.1, 7.25, 0.4, 2.0, 100.0])
        for period in (2.5, -3, np.float32(0.3), 1000):
            check_function("interp", places, scattered, fp[:7], options={"period": period, "left": 0}, **CLOSE)
        if kind != np.int64:
            fp[[2, 7]] = np.nan, np.inf
            check_function("interp", places, xp, fp)


def test_interp_gathers_no_points() -> None:
    with config.set({"array.chunk_size_bytes": 800}):
        x, points = ka.ones(1000, chunks=100), ka.arange(100_000.0, chunks=100)
        for period in (None, 2.5e5):
            need = ka.interp(x, points, points, period=period).explain().largest
            assert need is not None and need.inputs_bytes + need.own_bytes <= 20 * 800


def test_interp() -> None:
    xp, fp = np.array([-1.0, 0.0, 0.5, 2.0]), np.array([3.0, 1.0, 4.0, 1.0])
    for array in (LINE, GRID, HOLED, np.array(0.3)):
        check_function("interp", array, args=(xp, fp))
        check_function("interp", array, args=(xp, fp), options={"left": -5.0, "right": 5.0})
        check_function("interp", array, args=(xp, fp * 1j), options={"period": 2.5})
    x = ka.from_array(LINE, chunks=3)
    assert_same(ka.interp(x, ka.from_array(xp, chunks=2), ka.from_array(fp, chunks=3)), np.interp(LINE, xp, fp))
    with pytest.raises(ValueError, match="same length"):
        ka.interp(x, xp, fp[1:])
    with pytest.raises(ValueError, match="empty"):
        ka.interp(x, [], [])
