"""Reductions, against NumPy."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np
import pytest
from tests.array.against_numpy import assert_same, check_function

import kask.array as ka

rng = np.random.default_rng(7)
NAN = np.nan

CUBE = rng.normal(size=(5, 4, 3))
HOLED = np.where(rng.random((6, 5)) < 0.3, NAN, rng.normal(size=(6, 5)))
ARRAYS = {
    "float64": CUBE,
    "float32": CUBE.astype("f4"),
    "float16": CUBE.astype("f2"),
    "complex": CUBE + 1j * CUBE[::-1],
    "int8": rng.integers(-5, 6, (6, 5)).astype("i1"),
    "uint8": rng.integers(0, 250, (6, 5)).astype("u1"),
    "bool": rng.random((6, 5)) < 0.8,
    "holed": HOLED,
    "empty": np.zeros((0, 3)),
    "scalar": np.array(3.5),
    "line": rng.normal(size=11),
    "object": rng.integers(1, 9, (4, 3)).astype(object),
    "timedelta": rng.integers(-50, 60, (4, 5)).astype("m8[s]"),
    "datetime": rng.integers(0, 60, (4, 5)).astype("M8[D]"),
}


def axes_of(array: Any) -> list[Any]:
    ndim = np.ndim(array)
    return [None, *range(-ndim, ndim), *([(0, 1), (1, -2), ()] if ndim > 1 else [()])]


def tolerance(kind: str) -> dict[str, float]:
    if kind in ("float16",):
        return {"rtol": 2e-2, "atol": 2e-2}
    if kind in ("float32",):
        return {"rtol": 1e-4, "atol": 1e-5}
    return {"rtol": 1e-11, "atol": 1e-13} if kind not in ("bool", "object", "datetime", "timedelta") else {}


def same_as_numpy(name: str, array: Any, **options: Any) -> None:
    """The same, and where NumPy raises, something like it is raised."""
    how = options.pop("how", {})
    try:
        with np.errstate(all="ignore"):
            getattr(np, name)(array, **options)
    except Exception as error:
        with pytest.raises(type(error)):
            getattr(ka, name)(ka.from_array(array), **options).compute()
        return
    check_function(name, array, options=options, most=6, **how)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("kind", ARRAYS)
@pytest.mark.parametrize(
    "name", ["sum", "prod", "min", "max", "any", "all", "nansum", "nanprod", "nanmin", "nanmax", "ptp"]
)
def test_simple(name: str, kind: str) -> None:
    array = ARRAYS[kind]
    exact = name in ("min", "max", "any", "all", "nanmin", "nanmax", "ptp")
    for axis in axes_of(array):
        same_as_numpy(name, array, axis=axis, how={} if exact else tolerance(kind))
    same_as_numpy(name, array, axis=0 if array.ndim else None, keepdims=True, how={} if exact else tolerance(kind))


@pytest.mark.parametrize("kind", ARRAYS)
def test_count_nonzero(kind: str) -> None:
    for axis in axes_of(ARRAYS[kind]):
        same_as_numpy("count_nonzero", ARRAYS[kind], axis=axis)


@pytest.mark.parametrize("kind", ARRAYS)
@pytest.mark.parametrize("name", ["argmin", "argmax", "nanargmin", "nanargmax"])
def test_positions(name: str, kind: str) -> None:
    array = ARRAYS[kind]
    for axis in [None, *range(-array.ndim, array.ndim)]:
        for keepdims in (False, True):
            same_as_numpy(name, array, axis=axis, keepdims=keepdims)


def test_the_first_of_equal_elements_is_found() -> None:
    array = np.tile([3, 1, 1, 7, 7], (4, 3))
    for name in ("argmin", "argmax"):
        for axis in (None, 0, 1):
            check_function(name, array, options={"axis": axis})
    check_function("argmax", array.astype(bool))


def test_nothing_but_nan() -> None:
    array = np.array([[1.0, NAN], [2.0, NAN]])
    check_function("nanargmin", array)
    with pytest.raises(ValueError, match="All-NaN slice encountered"):
        ka.nanargmin(ka.from_array(array, chunks=1), axis=0).compute()
    with pytest.warns(RuntimeWarning, match="All-NaN slice encountered"):
        assert_same(ka.nanmax(ka.from_array(array, chunks=1), axis=0), np.array([2.0, NAN]))


def test_where_and_initial() -> None:
    array = rng.integers(-9, 9, (5, 6))
    where = array > 0
    for name in ("sum", "prod", "nansum", "nanprod"):
        check_function(name, array, options={"where": where, "axis": 1})
        check_function(name, array, options={"where": where[0], "initial": 3})
        check_function(name, array, options={"initial": 5, "axis": 0})
    for name in ("min", "max", "nanmin", "nanmax"):
        check_function(name, array, options={"where": where, "axis": 1, "initial": 0})
        check_function(name, np.zeros((0, 3)), options={"axis": 0, "initial": 4.0})
        with pytest.raises(ValueError, match="initial"):
            getattr(ka, name)(ka.from_array(array), where=where)
    for name in ("any", "all"):
        check_function(name, array, options={"where": where, "axis": 1})
    with pytest.raises(ValueError, match="cannot be broadcast"):
        ka.sum(ka.from_array(np.ones(3)), where=np.ones((2, 3), bool))


def test_types_that_are_asked_for() -> None:
    array = rng.integers(0, 200, (5, 6)).astype("u1")
    for dtype in ("u1", "f4", "i8", "c16"):
        check_function("sum", array, options={"dtype": dtype, "axis": 0})
        check_function("prod", array, options={"dtype": dtype}, rtol=1e-6)


def test_split_every_and_out() -> None:
    array = rng.integers(0, 99, (20, 30))
    x = ka.from_array(array, chunks=(2, 3))
    for split_every in (2, 3, 7, 1000, False, {0: 2, 1: 5}):
        assert_same(x.sum(split_every=split_every), array.sum())
        assert_same(x.argmax(axis=1, split_every=split_every), array.argmax(axis=1))
    out = ka.from_array(np.zeros(30))
    assert ka.sum(x, axis=0, out=out) is out
    assert_same(out, array.sum(axis=0).astype(float))
    with pytest.raises(ValueError, match="shape"):
        x.sum(out=out)
    with pytest.raises(TypeError, match="must be a Kask array"):
        x.sum(axis=0, out=np.zeros(30))
    with pytest.raises(TypeError, match="cannot be cast"):
        x.mean(axis=0, out=ka.from_array(np.zeros(30, int)))


def test_a_part_of_a_reduction_reads_a_part_of_the_array() -> None:
    from kask.array.base import wrap
    from kask.array.ops.slicing import sliced
    from kask.expr import rewrite, walk

    array = rng.normal(size=(40, 50))
    total = ka.from_array(array, chunks=(10, 10)).sum(axis=0)
    part = sliced(total.expr, ((7, 2, 10),))
    (better,) = rewrite([part])
    assert (10,) in {expr.shape for expr in walk([better])}
    assert {expr.shape for expr in walk([better])} >= {(40, 10)}
    assert (40, 50) not in {expr.shape for expr in walk([better])}
    assert_same(wrap(part), array.sum(axis=0)[7:27:2], rtol=1e-12)


def test_errors() -> None:
    x = ka.from_array(np.ones((2, 3)))
    with pytest.raises(np.exceptions.AxisError):
        x.sum(axis=2)
    with pytest.raises(ValueError, match="repeated"):
        x.sum(axis=(0, 0))
    with pytest.raises(TypeError, match="split_every"):
        x.sum(split_every="many")
    with pytest.raises(ValueError, match="zero-size array"):
        ka.from_array(np.zeros((0, 2))).max()
    with pytest.raises(ValueError, match="empty sequence"):
        ka.from_array(np.zeros((0, 2))).argmax(axis=0)
    # As NumPy, also where the result has no elements.
    for keepdims in (False, True):
        with pytest.raises(ValueError, match="zero-size array"):
            ka.from_array(np.zeros((2, 0, 0))).max(axis=2, keepdims=keepdims)
        with pytest.raises(ValueError, match="empty sequence"):
            ka.from_array(np.zeros((2, 0, 0))).argmin(axis=2, keepdims=keepdims)


class TestManyTinyBlocks:
    """Very many blocks of a few elements are made larger in the first place, where that costs nothing."""

    VALUES = np.random.default_rng(8).random((60, 50))

    @pytest.mark.parametrize("axis", [None, 0, 1, (0, 1)])
    @pytest.mark.parametrize("name", ["sum", "mean", "max", "std", "prod", "any"])
    def test_same_answer_of_fewer_tasks(self, name, axis):
        x, row = ka.from_array(self.VALUES, chunks=1), ka.from_array(self.VALUES[0], chunks=1)
        found = getattr(x * 2 - row, name)(axis=axis)
        expected = getattr(self.VALUES * 2 - self.VALUES[0], name)(axis=axis)
        assert_same(found, expected, rtol=1e-12)
        assert found.explain().tasks <= 60
        # Axes that are kept are cut as they were.
        assert found.chunks == getattr(ka.zeros((60, 50), chunks=1), name)(axis=axis).chunks

    def test_what_is_shared_is_looked_at_once(self):
        x = ka.ones((40, 40), chunks=1)
        for _ in range(60):
            x = x + x
        assert x.sum().explain().tasks == 1
        assert x.sum().compute() == 1600 * 2.0**60

    def test_others_stay_as_they_are(self):
        opaque = ka.ones((40, 40), chunks=1).map_blocks(np.negative)
        assert opaque.sum().explain().tasks > 1600
        assert ka.ones((30, 30), chunks=1).sum().explain().tasks > 900
        assert ka.ones((40_000, 40_000), chunks=1000).sum().explain().tasks > 1600
        counted = ka.reduction(
            ka.ones((40, 40), chunks=1), lambda b, **_: np.ones((1, 1), int), lambda p, **k: np.sum(p, **k), dtype=int
        )
        assert counted.compute() == 1600


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("name", ["nanmin", "nanmax", "nanargmin", "nanargmax"])
def test_extremes_of_objects_pass_over_nan_wherever_it_is(name: str) -> None:
    for values in itertools.permutations([3, 1, NAN, 2.5]):
        check_function(name, np.array(values, object))


@pytest.mark.parametrize("name", ["nanmin", "nanmax"])
def test_extremes_of_objects_that_are_nan_only(name: str) -> None:
    array = np.array([[NAN, 1, 2], [NAN, NAN, 0]], object)
    for options in ({"axis": 0}, {"axis": 1, "keepdims": True}, {"axis": 0, "initial": 5, "where": [[True], [False]]}):
        for chunks in (1, 2, 3):
            with pytest.warns(RuntimeWarning, match="All-NaN"):
                expected = getattr(np, name)(array[:, :1], axis=0)
                found = getattr(ka, name)(ka.from_array(array[:, :1], chunks=1), axis=0).compute()
            assert repr(found) == repr(expected)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                expected = getattr(np, name)(array, **options)
                found = getattr(ka, name)(ka.from_array(array, chunks=chunks), **options).compute()
            assert repr(found) == repr(expected)
    assert getattr(ka, name)(ka.from_array(np.array(3, object))).compute() == 3
