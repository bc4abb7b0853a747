"""Fused chains against NumPy: bit for bit, whatever the types, shapes and layouts, and with the same warnings."""

from __future__ import annotations

import itertools
import math
import pickle
import warnings
from typing import Any

import numpy as np
import pytest

import kask
import kask.array as ka
from kask.array.kernels.moments import MeanPart, MomentsPart
from kask.array.kernels.reductions import Part
from kask.array.kernels.ufuncs import cast
from kask.expr.fused import Run, runs_of
from kask.expr.program import Program, Step, Use

KINDS = ["bool", "int32", "int64", "float32", "float64"]
SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 5e-324, 1e-40, 1e300, -1.5, 2.0]


def numbers(kind: str, shape: tuple[int, ...], seed: int = 0, is_special: bool = False) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if kind == "bool":
        return rng.random(shape) < 0.5
    if kind.startswith("int"):
        ends = np.iinfo(kind)
        values = rng.integers(-9, 10, shape).astype(kind)
        values[rng.random(shape) < 0.1] = ends.max
        values[rng.random(shape) < 0.1] = ends.min
        return values
    values = rng.normal(size=shape).astype(kind)
    if is_special:
        with np.errstate(all="ignore"):
            some = rng.choice(SPECIAL, shape).astype(kind)
        values = np.where(rng.random(shape) < 0.3, some, values)
    return values


def same_bits(found: Any, expected: Any) -> None:
    """The same type, shape, and bits; any NaN is like any other."""
    assert found.dtype == expected.dtype and found.shape == expected.shape
    if found.dtype.kind == "f":
        np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
        found, expected = np.where(np.isnan(found), 0, found), np.where(np.isnan(expected), 0, expected)
        integer = f"i{found.dtype.itemsize}"
        found, expected = np.ascontiguousarray(found).view(integer), np.ascontiguousarray(expected).view(integer)
    np.testing.assert_array_equal(found, expected)


def both(inputs: int, *steps: Step, fused: bool = True) -> Any:
    """Runs a program with kernels and without, and tells whether a kernel ran."""
    program = Program(inputs, steps, False)
    plain = Program(inputs, steps, False, fuses=False)

    def run(*arrays: Any) -> tuple[Any, Any]:
        [run] = runs_of(inputs, program.steps).values() if fused else [None]
        if run is not None:
            assert run(list(arrays)) is not NotImplemented, "no kernel ran"
        return program(*arrays), plain(*arrays)

    return run


def reduces(shape: tuple[int, ...], axes: tuple[int, ...]) -> bool:
    """Whether there is something to reduce: single elements are left to NumPy."""
    return any(shape[axis] > 1 for axis in axes)


def chain(func: Any, count: int) -> tuple[Step, ...]:
    """A function of some values, and what is certain to be a kernel's after it."""
    return Step(func, tuple(map(Use, range(count))), {}), Step(np.equal, (Use(count), Use(count)), {})


UNARY = ["negative", "absolute", "square", "sqrt", "floor", "ceil", "trunc", "rint", "sign", "isnan", "isfinite", "isinf",
         "logical_not", "invert", "exp", "log", "sin", "cos", "tan", "arctan", "tanh", "log1p", "expm1", "reciprocal", "positive"]  # fmt: skip
BINARY = ["add", "subtract", "multiply", "divide", "floor_divide", "remainder", "fmod", "power", "equal", "not_equal", "less",
          "less_equal", "greater", "greater_equal", "minimum", "maximum", "fmin", "fmax", "logical_and", "logical_or", "logical_xor",
          "bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift", "arctan2", "hypot", "copysign"]  # fmt: skip


def fits(func: np.ufunc, *kinds: str) -> bool:
    try:
        resolved = func.resolve_dtypes((*map(np.dtype, kinds), None))
    except TypeError:
        return False
    return all(dtype.name in KINDS for dtype in resolved)


@pytest.mark.parametrize(("name", "kind"), [(n, k) for n in UNARY for k in KINDS if fits(getattr(np, n), k)])
def test_functions_of_one_argument(name, kind):
    func = getattr(np, name)
    array = numbers(kind, (9001,), is_special=True)
    kept = array.copy()
    with np.errstate(all="ignore"):
        found, expected = both(
            1,
            Step(func, (Use(0),), {}),
            Step(np.positive if fits(np.positive, str(func(array).dtype)) else np.logical_not, (Use(1),), {}),
        )(array)
    same_bits(found, expected)
    np.testing.assert_array_equal(array, kept)


LOOPS = [
    (name, kinds) for name in BINARY for kinds in itertools.product(KINDS, KINDS) if fits(getattr(np, name), *kinds)
]


@pytest.mark.parametrize(("name", "kinds"), LOOPS, ids=str)
def test_functions_of_two_arguments(name, kinds):
    func = getattr(np, name)
    a, b = numbers(kinds[0], (9001,), 1, True), numbers(kinds[1], (9001,), 2, True)
    refuses = name == "power" and np.result_type(a, b).kind == "i"
    if "shift" in name or refuses:
        b = np.abs(b) % 5
    with np.errstate(all="ignore"):
        after = Step(np.not_equal, (Use(2), 1), {})
        found, expected = both(2, Step(func, (Use(0), Use(1)), {}), after, fused=not refuses)(a, b)
        same_bits(found, expected)
        # The function's own values, as the last step.
        twice = (
            Step(np.equal, (Use(0), Use(0)), {}),
            Step(np.where, (Use(2), Use(0), Use(0)), {}),
            Step(func, (Use(3), Use(1)), {}),
        )
        found, expected = both(2, *twice, fused=not refuses)(a, b)
    same_bits(found, expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("constant", [2, -3, 0.5, True, np.float32(1.1), np.int64(7)], ids=repr)
def test_constants_are_promoted_as_by_numpy(kind, constant):
    array = numbers(kind, (100, 91), is_special=True)
    with np.errstate(all="ignore"):
        for func in (np.add, np.multiply, np.less, np.maximum):
            steps = Step(func, (constant, Use(0)), {}), Step(np.multiply, (Use(1), Use(1)), {})
            same_bits(*both(1, *steps)(array))


@pytest.mark.parametrize("kinds", list(itertools.product(KINDS, KINDS)), ids="-".join)
def test_casts(kinds):
    array = numbers(kinds[0], (9001,), is_special=True)
    if kinds[0][0] == "f":
        array[:6] = [2.0**31 - 1, -(2.0**31), 2.0**31, 2.0**63, -(2.0**63), 1e20]
    steps = (
        Step(np.equal, (Use(0), Use(0)), {}),
        Step(np.where, (Use(1), Use(0), Use(0)), {}),
        Step(cast, (Use(2), np.dtype(kinds[1]), "unsafe"), {}),
    )
    if kinds[0] == kinds[1]:
        steps = (*steps, Step(np.equal, (Use(3), 0), {}))
    with np.errstate(all="ignore"):
        same_bits(*both(1, *steps)(array))


def test_where_and_clip():
    a, b = numbers("float32", (100, 91), 1, True), numbers("float64", (91,), 2, True)
    with np.errstate(all="ignore"):
        steps = (
            Step(np.greater, (Use(0), 0), {}),
            Step(np.where, (Use(2), Use(0), Use(1)), {}),
            Step(np.where, (Use(2), Use(3), 1.5), {}),
        )
        same_bits(*both(2, *steps)(a, b))
        for low, high in ((-1, 1), (0.25, np.float32(0.5)), (Use(0), 2)):
            steps = Step(np.negative, (Use(0),), {}), Step(np.clip, (Use(1), low, high), {})
            same_bits(*both(1, *steps)(a))


def layouts(shape: tuple[int, ...], kind: str) -> list[np.ndarray]:
    base = numbers(kind, tuple(length * 2 for length in shape), 3)
    c = np.ascontiguousarray(base[tuple(slice(length) for length in shape)])
    half, back = tuple(slice(None, None, 2) for _ in shape), tuple(slice(None, None, -1) for _ in shape)
    return [c, np.asfortranarray(c), base[half], c[back], np.ascontiguousarray(c.T).T, np.broadcast_to(c[:1], shape)]


@pytest.mark.parametrize(
    "shape", [(8200,), (1100, 9), (9, 1100), (40, 5, 60), (3, 2900), (2900, 3), (21, 20, 2, 11)], ids=str
)
@pytest.mark.parametrize("kind", ["float64", "float32", "bool"])
def test_any_layout(shape, kind):
    for a, b in itertools.product(layouts(shape, kind), repeat=2):
        steps = (
            Step(np.logical_or if kind == "bool" else np.multiply, (Use(0), Use(1)), {}),
            Step(np.not_equal, (Use(2), Use(0)), {}),
        )
        found, expected = both(2, *steps)(a, b)
        same_bits(found, expected)
        if a.flags.c_contiguous and b.flags.c_contiguous:
            assert found.flags.c_contiguous


@pytest.mark.parametrize(
    "shapes",
    [((40, 1, 300), (7, 1)), ((9000, 1), (1, 3)), ((), (9000,)), ((1, 9000), (1,)), ((3, 1, 5, 1), (60, 1, 40))],
    ids=str,
)
def test_broadcasting(shapes):
    a, b = [numbers("float64", shape, at) for at, shape in enumerate(shapes)]
    a = np.asarray(a)
    same_bits(*both(2, Step(np.subtract, (Use(0), Use(1)), {}), Step(np.multiply, (Use(2), Use(1)), {}))(a, b))


def close(found: Any, expected: Any, scale: Any) -> None:
    assert found.dtype == expected.dtype and found.shape == expected.shape
    eps = np.finfo(found.dtype).eps if found.dtype.kind == "f" else 0
    assert np.all(np.abs(found - expected) <= 64 * eps * scale) if eps else np.array_equal(found, expected)


AXES = [((9001,), (0,)), ((90, 101), (0,)), ((90, 101), (1,)), ((90, 101), (0, 1)), ((20, 30, 17), (1,)), ((20, 30, 17), (0, 2)),
        ((3, 4, 5, 200), (0, 2)), ((9000, 2), (0,)), ((2, 9000), (1,)), ((9000, 2), (1,)), ((1, 8500), (0,))]  # fmt: skip


@pytest.mark.parametrize(("shape", "axes"), AXES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("func", [np.sum, np.prod, np.min, np.max, np.any, np.all], ids=lambda f: f.__name__)
def test_reductions(func, kind, shape, axes):
    for array in layouts(shape, kind)[:4]:
        if func is np.prod and kind.startswith("float"):
            array = np.exp(array / 100)
        steps = (
            Step(np.equal, (Use(0), Use(0)), {}),
            Step(np.where, (Use(1), Use(0), Use(0)), {}),
            Step(Part(func, {}), (Use(2), axes), {}),
        )
        found, expected = both(1, *steps, fused=reduces(shape, axes))(array)
        if func is np.sum:
            close(found, expected, np.sum(np.abs(array.astype("f8")), axis=axes, keepdims=True))
        elif func is np.prod and kind.startswith("float"):
            np.testing.assert_allclose(found, expected, rtol=1e-2 if kind == "float32" else 1e-11)
            assert found.dtype == expected.dtype
        else:
            same_bits(found + found.dtype.type(0), expected + expected.dtype.type(0))


def test_nan_is_an_extreme():
    array = numbers("float64", (9001,), is_special=True)
    for func, where in itertools.product((np.min, np.max), (0, 5000, 9000)):
        array[:] = np.where(np.isnan(array), 1, array)
        array[where] = np.nan
        found, _ = both(1, Step(np.negative, (Use(0),), {}), Step(Part(func, {}), (Use(1), (0,)), {}))(array)
        assert np.isnan(found).all()


@pytest.mark.parametrize(("shape", "axes"), AXES, ids=str)
@pytest.mark.parametrize("kind", ["float64", "float32", "int32", "bool"])
def test_means_and_moments(kind, shape, axes):
    inner = np.dtype("f4" if kind == "float32" else "f8")
    for array in layouts(shape, kind)[:4]:
        if kind.startswith("float"):
            array = array + array.dtype.type(1000)
        step = Step(MomentsPart(inner, 2, False), (Use(0), axes), {})
        found, expected = both(1, step, fused=reduces(shape, axes))(array)
        count = math.prod(shape[axis] for axis in axes)
        np.testing.assert_array_equal(found[0], expected[0])
        wide = array.astype("f8")
        mean = wide.mean(axis=axes, keepdims=True)
        squares = ((wide - mean) ** 2).sum(axis=axes, keepdims=True)
        tolerance = 1e-6 if kind == "float32" else 1e-12
        np.testing.assert_allclose(found[1], mean, rtol=tolerance, atol=tolerance * np.abs(wide).mean())
        np.testing.assert_allclose(found[2], squares, rtol=tolerance, atol=tolerance * count)
        assert [part.dtype for part in found] == [part.dtype for part in expected]
        assert [part.shape for part in found] == [part.shape for part in expected]
        if kind != "bool":
            steps = Step(np.negative, (Use(0),), {}), Step(MeanPart(inner, False), (Use(1), axes), {})
            found, expected = both(1, *steps, fused=reduces(shape, axes))(array)
            close(found[0], expected[0], np.abs(wide).sum(axis=axes, keepdims=True))
            np.testing.assert_array_equal(found[1], expected[1])


def test_moments_of_large_means_are_exact():
    array = 1e9 + np.arange(10000.0) % 3
    (_, _, squares), _ = both(1, Step(MomentsPart(np.dtype("f8"), 2, False), (Use(0), (0,)), {}))(array)
    rows = np.broadcast_to(array[:, None], (10000, 2))
    (_, _, columns), _ = both(1, Step(MomentsPart(np.dtype("f8"), 2, False), (Use(0), (0,)), {}))(rows)
    expected = np.var(np.arange(10000.0) % 3) * 10000
    np.testing.assert_allclose(squares, [expected], rtol=1e-9)
    np.testing.assert_allclose(columns, [[expected, expected]], rtol=1e-7)


@pytest.mark.parametrize("func", [np.divide, np.multiply, np.log, np.sqrt, np.floor_divide], ids=lambda f: f.__name__)
def test_the_same_warnings(func):
    array = np.full(10000, -1e308)
    array[7000] = 0
    args = (Use(1), Use(1)) if func.nin == 2 else (Use(1),)
    steps = Step(np.negative, (Use(0),), {}), Step(func, args, {}), Step(Part(np.sum, {}), (Use(2), (0,)), {})
    if func in (np.log, np.sqrt):
        steps = Step(np.positive, (Use(0),), {}), *steps[1:]
    heard = []
    for fuses in (True, False):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            Program(1, steps, False, fuses)(array)
        heard.append([str(warning.message) for warning in caught])
    assert heard[0] == heard[1] and heard[0]
    with np.errstate(all="raise"), pytest.raises(FloatingPointError):
        Program(1, steps, False)(array)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("error")
        assert runs_of(1, steps)[0]([array]) is not NotImplemented


def test_nothing_is_warned_of_where_numpy_is_silent():
    array = numbers("float64", (10000,))
    array[::7] = np.nan
    steps = (
        Step(np.less, (Use(0), 0), {}),
        Step(np.where, (Use(1), Use(0), 1.0), {}),
        Step(np.maximum, (Use(2), Use(0)), {}),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        same_bits(*both(1, *steps)(array))


def test_what_does_not_qualify_is_left_to_numpy():
    steps = Step(np.add, (Use(0), 1), {}), Step(np.multiply, (Use(1), 2), {})
    [run] = runs_of(1, steps).values()
    big = np.arange(10000.0)
    for value in (
        big.astype("c16"),
        big.astype(object),
        big.astype("f2"),
        big.astype(">f8"),
        np.ma.masked_array(big),
        big[:10],
        3.0,
    ):
        assert run([value]) is NotImplemented
    unaligned = np.frombuffer(bytearray(80001), "u1")[1:].view("f8")
    assert run([unaligned]) is NotImplemented
    assert run([np.arange(10000, dtype="i4")]) is not NotImplemented
    assert runs_of(1, (Step(np.add, (Use(0), 1), {"dtype": "f4"}), Step(np.sum, (Use(1),), {}))) == {}
    # NumPy refuses negative powers of integers, and integers that do not fit.
    [run] = runs_of(1, (Step(np.power, (Use(0), -1), {}), steps[1])).values()
    assert run([np.arange(10000)]) is NotImplemented
    [run] = runs_of(1, (Step(np.add, (Use(0), 2**40), {}), steps[1])).values()
    assert run([np.arange(10000, dtype="i4")]) is NotImplemented


def test_runs_end_where_more_than_the_last_value_is_needed():
    steps = (
        Step(np.add, (Use(0), 1), {}),
        Step(np.multiply, (Use(1), 2), {}),
        Step(np.negative, (Use(2),), {}),
        Step(np.ravel, (Use(2),), {}),
        Step(np.add, (Use(3), Use(4)), {}),
        Step(np.sqrt, (Use(5),), {}),
    )
    assert {first: run.length for first, run in runs_of(1, steps).items()} == {0: 2, 4: 2}
    array = np.arange(10000.0)
    with np.errstate(all="ignore"):
        same_bits(Program(1, steps, False)(array), Program(1, steps, False, fuses=False)(array))


def test_programs_travel():
    steps = Step(np.add, (Use(0), 1), {}), Step(Part(np.sum, {}), (Use(1), (0,)), {})
    program = Program(1, steps, False)
    array = np.arange(10000.0)
    again = pickle.loads(pickle.dumps(program))
    program(array)
    assert again(array) == program(array) == pickle.loads(pickle.dumps(program))(array)
    assert kask.tokenize(program) == kask.tokenize(again)


def test_arrays_use_kernels(monkeypatch):
    ran = []
    original = Run.__call__

    def spy(self: Run, values: list[Any]) -> Any:
        result = original(self, values)
        ran.append(result is not NotImplemented)
        return result

    monkeypatch.setattr(Run, "__call__", spy)
    a = numbers("float64", (400, 300))
    x = ka.from_array(a, chunks=(100, 300))
    found = (3 * x**2 + 2 * x + 1).sum().compute(scheduler="sync")
    assert ran == [True] * 4
    np.testing.assert_allclose(found, (3 * a**2 + 2 * a + 1).sum(), rtol=1e-14)
    standard = ((x - x.mean(axis=0)) / x.std(axis=0)).compute(scheduler="sync")
    np.testing.assert_allclose(standard, (a - a.mean(axis=0)) / a.std(axis=0), rtol=1e-12, atol=1e-14)
    assert all(ran)
    ran.clear()
    with kask.config.set({"array.fused_kernels": False}):
        (x + 1).sum().compute(scheduler="sync")
    assert ran == []
