"""Reductions, against NumPy."""

from __future__ import annotations

import itertools
import tracemalloc
import warnings
from typing import Any

import numpy as np
import pytest
from tests.array.against_numpy import assert_same, check_function

import kask.array as ka
from kask import config
from kask.array.kernels.moments import MomentsCombine, SumsCombine
from kask.array.kernels.reductions import ArgCombine, Combine, Part
from kask.array.kernels.sorting import TopCombine, TopPart
from kask.expr.fused import runs_of
from kask.expr.program import Program, Step, Use

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


class TestThinBlocks:
    """Of thin blocks in memory nearly as much is left as they are: several are reduced at a time."""

    VALUES = np.random.default_rng(8).random((64, 500, 600))

    @pytest.mark.parametrize("name", ["sum", "mean", "max", "std"])
    def test_same_answer_of_fewer_tasks(self, name):
        x = ka.from_array(self.VALUES, chunks=(1, 500, 600))
        found = getattr(1 - x, name)(axis=0)
        assert_same(found, getattr(1 - self.VALUES, name)(axis=0), rtol=1e-12)
        assert found.explain().tasks <= 20
        assert found.chunks == ((500,), (600,))
        assert ka.from_array(self.VALUES, chunks=(1, 250, 600)).sum(axis=0).chunks == ((250, 250), (600,))

    def test_others_stay_as_they_are(self):
        thin = ka.from_array(self.VALUES, chunks=(1, 500, 600))
        assert thin.map_blocks(np.negative).sum(axis=0).explain().tasks > 64
        assert ka.from_array(self.VALUES, chunks=(32, 50, 60)).sum(axis=0).explain().tasks >= 200
        assert thin[:16].sum(axis=0).explain().tasks > 16


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


class TestLargePartialResults:
    """Partial results of blocks that have one element, or a few, for each of the result."""

    TALL = np.where(rng.random((9, 6, 7)) < 0.1, NAN, rng.integers(-3, 4, (9, 6, 7)))
    NAMES = (
        "sum",
        "prod",
        "min",
        "max",
        "any",
        "all",
        "nansum",
        "nanprod",
        "nanmin",
        "nanmax",
        "argmin",
        "argmax",
        "nanargmin",
        "nanargmax",
        "count_nonzero",
        "ptp",
        "mean",
        "nanmean",
        "var",
        "std",
        "nanvar",
        "nanstd",
    )

    @pytest.fixture(params=[(1, 200), (1 << 20, 200), (1, 1 << 30)])
    def sizes(self, request: Any, monkeypatch: Any) -> Any:
        """Two blocks at a time, or strips of two elements, or both."""
        chunk_bytes, strip_bytes = request.param
        monkeypatch.setattr("kask.array.kernels.reductions._STRIP_BYTES", strip_bytes)
        with config.set({"array.chunk_size_bytes": chunk_bytes}):
            yield

    @pytest.mark.parametrize("name", NAMES)
    def test_equal_numpy(self, sizes: Any, name: str) -> None:
        tall = self.TALL if not name.startswith("nanarg") else np.where(np.isnan(self.TALL).all(0), 1.0, self.TALL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for array in (tall, np.nan_to_num(tall).astype("i2"), np.nan_to_num(tall).astype("f4") - 0.5):
                is_exact = array.dtype.kind == "i" and name[-3:] not in ("var", "std")
                close = {} if is_exact else {"rtol": 1e-5, "atol": 1e-6}
                for axis in (0, 1, -1):
                    for chunks in ((1, -1, -1), (-1, 1, -1), (-1, -1, 1), (1, 2, 3), ((4, 1, 0, 4), 3, (1, 6))):
                        x = ka.from_array(array, chunks=chunks)
                        expected = getattr(np, name)(array, axis=axis)
                        assert_same(getattr(ka, name)(x, axis=axis), expected, **close)
                assert_same(getattr(ka, name)(ka.from_array(array, chunks=1)), getattr(np, name)(array), **close)

    def test_where_and_masks(self, sizes: Any) -> None:
        where = rng.random((6, 7)) < 0.7
        array = np.nan_to_num(self.TALL)
        masked = np.ma.masked_where(array > 1, array)
        for chunks in ((1, -1, -1), (2, 2, -1), ((4, 1, 4), 1, 7)):
            x = ka.from_array(array, chunks=chunks)
            for name in ("sum", "mean", "std"):
                expected = getattr(np, name)(array, axis=0, where=where | True)
                assert_same(getattr(ka, name)(x, axis=0, where=where | True), expected, rtol=1e-12)
                found = getattr(ka, name)(ka.from_array(masked, chunks=chunks), axis=0).compute()
                expected = getattr(np, name)(masked, axis=0)
                np.testing.assert_array_equal(np.ma.getmaskarray(found), np.ma.getmaskarray(expected))
                np.testing.assert_allclose(found.filled(0), expected.filled(0), rtol=1e-12)
            assert_same(ka.sum(x, axis=0, where=where), np.sum(array, axis=0, where=where))

    def test_what_is_not_finite(self, sizes: Any) -> None:
        array = np.ones((4, 3, 5))
        array[1, 0], array[2, 1, :2], array[3, 1, 1], array[0, 2, 3] = np.inf, np.inf, -np.inf, NAN
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            for name in ("mean", "var", "std", "nanstd", "sum", "argmax"):
                for rows in (1, 2, (1, 3), 4):
                    x = ka.from_array(array, chunks=(rows, -1, -1))
                    assert_same(getattr(ka, name)(x, axis=0), getattr(np, name)(array, axis=0))
                only = ka.from_array(array[1:2], chunks=(1, 2, -1))
                assert_same(getattr(ka, name)(only, axis=0), getattr(np, name)(array[1:2], axis=0))

    def test_blocks_stay_as_they_are(self) -> None:
        array = rng.normal(size=(9, 300, 200))
        x = ka.from_array(array, chunks=(1, -1, -1)).map_blocks(np.copy).persist()
        for name in ("sum", "max", "mean", "std", "argmax"):
            expected = getattr(np, name)(array, axis=0)
            assert_same(getattr(x, name)(axis=0), expected, rtol=1e-12)
            only = x[:1]
            found = getattr(ka, name)(only, axis=0).compute()
            found[...] = 99
        assert_same(x, array)
        assert not np.signbit(ka.sum(ka.from_array(np.full((1, 5), -0.0), chunks=(1, 2)), axis=0).compute()).any()


def test_no_task_combines_more_than_half_a_block() -> None:
    x = ka.ones((64, 100, 100), chunks=(1, -1, -1)) * 2
    block = 100 * 100 * 8
    with config.set({"array.chunk_size_bytes": 8 * block}):
        found = x.sum(axis=0).explain().largest
        assert found.inputs_bytes <= 4.1 * block and found.own_bytes <= 2.1 * block
        assert x.std(axis=0).explain().largest.inputs_bytes <= 4.1 * block
        assert ka.reduction(x, np.sum, np.sum, axis=0, dtype=float).explain().largest.inputs_bytes <= 4.1 * block
        assert x.sum(axis=0, split_every=32).explain().largest.inputs_bytes > 30 * block
        # Small ones are combined as before.
        assert x.sum(axis=(0, 1)).explain().tasks == 64 + 4 + 1


def test_combining_makes_little_on_the_way() -> None:
    parts = [np.ones((1, 500, 1000)) * number for number in range(8)]
    size = parts[0].nbytes
    count, nothing = np.ones((1, 1, 1), np.intp), np.zeros((1, 1, 1))
    moments = [(count, part, nothing) for part in parts]
    extremes = [(part, count * number, nothing != 0) for number, part in enumerate(parts)]
    for func, given, made in (
        (Combine(np.sum, (0,), {}), parts, 1),
        (MomentsCombine((0,)), moments, 2),
        (SumsCombine((0,)), [(part, count) for part in parts], 1),
        (ArgCombine(np.argmax, (0,)), extremes, 2),
        (TopCombine(TopPart(2, 0, False)), [(part, count) for part in parts], 4),
    ):
        tracemalloc.start()
        func(given)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < (made + 0.7) * size + (4 << 20)


def test_a_block_of_single_elements_is_left_to_numpy() -> None:
    """A kernel gains nothing where nothing is reduced."""
    double = Step(np.multiply, (Use(0), 2.0), {})
    steps = (double, Step(np.add, (Use(1), 1.0), {}), Step(Part(np.sum, {}, is_combined=True), (Use(2), (0,)), {}))
    program = Program(1, steps, False)
    for rows in (1, 3):
        block = rng.normal(size=(rows, 1 << 14))
        np.testing.assert_allclose(program(block), (block * 2 + 1).sum(axis=0, keepdims=True))
    runs = program.runs
    assert runs is not None
    alone = runs_of(1, (double, steps[2]._replace(args=(Use(1), (0,)))))[0]
    assert alone([np.ones((1, 1 << 14))]) is NotImplemented
    assert alone([np.ones((4, 1 << 14))]) is not NotImplemented


@pytest.mark.parametrize("name", ["argmin", "argmax", "nanargmin", "nanargmax"])
def test_flags_may_be_numbers(name: str) -> None:
    array = np.arange(12.0).reshape(3, 4)
    check_function(name, array, options={"keepdims": 1})
    check_function(name, array, options={"axis": 0, "keepdims": np.True_})
