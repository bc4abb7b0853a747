"""Conformance to the array API standard: every function against ``array-api-strict``, on drawn types, shapes, values and chunks.

The arguments are drawn in ``array_api_calls``; a test makes sure that no name of the standard is forgotten.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

strict = pytest.importorskip("array_api_strict")

import array_api_calls_more  # noqa: E402, F401
from array_api_calls import ALL, BOOL, CALLS, FLOATING, INTEGERS, NUMERIC, REAL, Draw, array  # noqa: E402
from hypothesis import HealthCheck, given, settings  # noqa: E402
from hypothesis import strategies as st  # noqa: E402

import kask.array as ka  # noqa: E402
from kask.array import array_api  # noqa: E402
from kask.array.base import ArrayBase  # noqa: E402

xp: Any = array_api

#: What differs between two ways to add the same numbers up.
RTOL = {"float32": 1e-4, "complex64": 1e-4, "float64": 1e-10, "complex128": 1e-10}


def chunks(draw: Draw, shape: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
    """Any way to cut an array, empty chunks too."""
    found = []
    for length in shape:
        cuts = sorted(draw(st.lists(st.integers(0, length), max_size=3)))
        found.append(tuple(after - before for before, after in itertools.pairwise([0, *cuts, length])))
    return tuple(found)


def value(found: Any) -> Any:
    if isinstance(found, ArrayBase):
        described = found.dtype, found.shape
        done = np.asarray(found.compute())
        assert (done.dtype, done.shape) == described, f"described as {described}, is {done.dtype}, {done.shape}"
        return done
    return found


def same(ours: Any, theirs: Any, rtol: float | None = None) -> None:
    """The same type, shape and values."""
    if isinstance(theirs, tuple | list):
        assert len(ours) == len(theirs)
        assert getattr(ours, "_fields", None) == getattr(theirs, "_fields", None)
        for one, other in zip(ours, theirs):
            same(one, other, rtol)
    elif isinstance(theirs, strict._array_object.Array):
        ours, theirs = value(ours), np.asarray(theirs)
        assert (ours.dtype, ours.shape) == (theirs.dtype, theirs.shape), (
            f"{ours.dtype} {ours.shape}, not {theirs.dtype} {theirs.shape}"
        )
        tolerance = rtol if rtol is not None else RTOL.get(str(theirs.dtype), 0.0)
        np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance * 10)
    else:
        assert ours == theirs, (ours, theirs)


@st.composite
def drawn(draw: Draw, name: str) -> tuple[Callable[..., Any], list[np.ndarray], list[Any]]:
    call, arrays = CALLS[name](draw)
    return call, arrays, [chunks(draw, one.shape) for one in arrays]


def names_of_standard() -> list[str]:
    """Functions of the standard, those of its extensions with a dot."""
    own = [
        name
        for name in strict.__all__
        if callable(getattr(strict, name)) and not isinstance(getattr(strict, name), type)
    ]
    own = [name for name in own if "strict" not in name and name not in ALL and not name.startswith("__")]
    for extension in (strict.linalg, strict.fft):
        own += [f"{extension.__name__.rpartition('.')[2].strip('_')}.{name}" for name in extension.__all__]
    return own


def function(home: Any, name: str) -> Any:
    for part in name.split("."):
        home = getattr(home, part)
    return home


@pytest.mark.parametrize("name", names_of_standard())
def test_conforms(name: str) -> None:
    @settings(max_examples=15, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(drawn(name))
    def run(case: tuple[Callable[..., Any], list[np.ndarray], list[Any]]) -> None:
        call, arrays, cuts = case
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            theirs = call(strict, *[strict.asarray(one) for one in arrays])
            ours = call(xp, *[ka.from_array(one, chunks=cut) for one, cut in zip(arrays, cuts)])
            same(ours, theirs)

    run()


def test_no_name_is_forgotten() -> None:
    assert set(names_of_standard()) == set(CALLS)
    assert strict.__array_api_version__ == array_api.__array_api_version__


UNARY = ("__neg__", "__pos__", "__abs__", "__invert__")


def reflected(names: list[str]) -> list[str]:
    """What Python calls when the operand on the left does not know the one on the right."""
    without = (*UNARY, "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__")
    return [f"__r{name[2:]}" for name in names if name not in without]


OPERATORS = {
    "numbers": (NUMERIC, ["__add__", "__mul__", "__sub__", "__neg__", "__pos__", "__abs__", "__eq__", "__ne__"]),
    "floats": (FLOATING, ["__truediv__"]),
    "real": (REAL, ["__lt__", "__le__", "__gt__", "__ge__", "__floordiv__", "__mod__"]),
    "bits": (BOOL + INTEGERS, ["__and__", "__or__", "__xor__", "__invert__"]),
}


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, (_, names) in OPERATORS.items() for name in [*names, *reflected(names)]]
)
def test_operators_conform(kind: str, name: str) -> None:
    @settings(max_examples=10, deadline=None, database=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(st.data())
    def run(data: Any) -> None:
        x = array(data.draw, OPERATORS[kind][0], small=True)
        y = array(data.draw, [str(x.dtype)], x.shape, small=True)
        cut = chunks(data.draw, x.shape)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            theirs = [strict.asarray(x, copy=True), strict.asarray(y)]
            ours = [ka.from_array(x, chunks=cut), ka.from_array(y, chunks=-1)]
            if name in UNARY:
                same(getattr(ours[0], name)(), getattr(theirs[0], name)())
                return
            same(getattr(ours[0], name)(ours[1]), getattr(theirs[0], name)(theirs[1]))
            if x.dtype.kind != "b":
                same(getattr(ours[0], name)(2), getattr(theirs[0], name)(2))
            if not name.startswith("__r") and name.strip("_") not in ("eq", "ne", "lt", "le", "gt", "ge"):
                in_place = f"__i{name[2:]}"
                same(getattr(ours[0], in_place)(ours[1]), getattr(theirs[0], in_place)(theirs[1]))

    run()


def test_the_array_itself_conforms() -> None:
    values = np.arange(24.0).reshape(2, 3, 4)
    x, y = ka.from_array(values, chunks=(1, 2, 3)), strict.asarray(values, copy=True)
    for name in ("ndim", "shape", "size"):
        assert getattr(x, name) == getattr(y, name)
    same(x.mT, y.mT)
    same(x[0].T, y[0, ...].T)
    assert x.device == "cpu" and x.to_device("cpu") is x
    assert x.__dlpack_device__() == (1, 0)
    np.testing.assert_array_equal(np.from_dlpack(x), values)
    for index in (
        (0, 1, 2),
        (..., 1),
        (slice(None), None, 0, slice(3, 0, -2)),
        (0, slice(1, None), slice(None, None, 3)),
    ):
        same(x[index], y[index])
    same(x[x > 5], y[y > 5])
    same(x[0][ka.asarray([1, 0]), ka.asarray([2, 3])], y[0, ...][strict.asarray([1, 0]), strict.asarray([2, 3])])
    x[:, 1, ::2], y[:, 1, ::2] = -1.0, -1.0
    x[x > 20], y[y > 20] = 0.0, 0.0
    same(x, y)
    whole = xp.asarray(3)
    assert (bool(whole), int(whole), float(whole), complex(whole), range(5)[whole]) == (True, 3, 3.0, 3 + 0j, 3)
