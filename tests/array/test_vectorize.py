"""Functions of single elements, made into functions of arrays, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.array.against_numpy import assert_same, check, nothing_runs

import kask.array as ka

rng = np.random.default_rng(41)
GRID = rng.normal(size=(6, 5))
ROW = rng.integers(1, 9, 5)


def larger(a: Any, b: Any) -> Any:
    """The larger one."""
    return a if a > b else b


def span(v: Any, scale: Any = 1.0) -> Any:
    return (v.max() - v.min()) * scale


def both(*given: Any, **options: Any) -> Any:
    """NumPy's or Kask's, by what it is called with."""

    def call(*args: Any, **kwargs: Any) -> Any:
        is_ours = any(isinstance(one, ka.Array) for one in (*args, *kwargs.values()))
        return (ka if is_ours else np).vectorize(*given, **options)(*args, **kwargs)

    return call


@pytest.mark.parametrize("options", [{}, {"otypes": "f"}, {"otypes": [np.float64]}, {"otypes": "O"}, {"cache": True}])
def test_elements(options: Any) -> None:
    check(lambda a, b: both(larger, **options)(a, b), GRID, ROW, most=8)
    check(lambda a: both(larger, **options)(a, 0.5), GRID, most=8)
    check(lambda a: both(larger, **options)(a, b=0.5), GRID, most=4)
    # The only element of an array of objects is computed as that object.
    check(lambda a: both(larger, **options)(a, 0.5), np.array(0.25), dtype=options.get("otypes") != "O")
    # Of no elements NumPy asks for types.
    check(lambda a: both(larger, otypes="d")(a, 0.5), GRID[:0])


def test_several_results() -> None:
    for options in ({}, {"otypes": "dl"}):
        check(lambda a, o=options: both(lambda v: (v * 2, int(v > 0)), **o)(a), GRID, most=6)


def test_excluded_arguments() -> None:
    def value(p: Any, x: Any) -> Any:
        return p[0] * x + p[1] * len(p)

    for excluded in ({0}, {"p"}):
        names = {"p": [2.0, 1.0, 5.0]} if "p" in excluded else {}
        check(
            lambda x, e=excluded, n=names: both(value, excluded=e)(*([] if n else [[2.0, 1.0, 5.0]]), x=x, **n),
            GRID,
            most=6,
        )
    check(lambda p, x: both(value, excluded=[0])(p, x), np.array([2.0, 1.0, 5.0]), GRID, most=8)
    check(lambda p, x: both(value, excluded=["p"])(p=p, x=x), np.array([2.0, 1.0, 5.0]), GRID, most=8)
    check(lambda p, x: both(value, excluded=["p"], otypes="d")(x=x, p=p), np.array([2.0, 1.0, 5.0]), GRID, most=4)
    assert ka.vectorize(lambda p: p, excluded={0})(3) == 3
    rest = np.array([7.0, -1.0])
    check(
        lambda p, q, x: both(lambda p, x, q: value(p, x) * q[1], excluded=[0, "q"])(p, x, q=q),
        *(np.array([2.0, 1.0, 5.0]), rest, GRID),
        most=6,
    )


@pytest.mark.parametrize("options", [{}, {"otypes": "d"}])
def test_core_axes(options: Any) -> None:
    check(lambda a: both(span, signature="(n)->()", **options)(a), GRID, most=8)
    check(lambda a: both(span, signature="(n)->()", excluded={1}, **options)(a, 2.0), GRID, most=8)
    check(lambda a, b: both(span, signature="(n),()->()", **options)(a, scale=b), GRID, np.arange(6.0), most=8)
    check(lambda a, b: both(np.convolve, signature="(n),(m)->(k)", **options)(a, b), GRID, ROW[:3] * 1.0, most=8)
    check(
        lambda a: both(lambda v: (v[::-1], v.sum()), signature="(n)->(n),()", **({"otypes": "dd"} if options else {}))(
            a
        ),
        GRID,
        most=6,
    )
    check(lambda a: both(lambda v: v[:2], signature=" (n) -> (2) ", **options)(a), GRID, most=4)
    # No rows, with an axis that only results have.
    found = ka.vectorize(np.convolve, signature="(n),(m)->(k)", **options)(ka.from_array(GRID[:0]), ROW)
    assert_same(found, np.empty((0, 9)))


def test_decorators_and_what_they_are_called() -> None:
    @ka.vectorize
    def first(a: Any) -> Any:
        """One more."""
        return a + 1

    @ka.vectorize(otypes=[float], doc="Two more.")
    def second(a: Any) -> Any:
        return a + 2

    x = ka.from_array(GRID, chunks=4)
    assert_same((first(x), second(x)), (GRID + 1, GRID + 2))
    assert (first.__doc__, second.__doc__, second.__name__) == ("One more.", "Two more.", "second")
    assert ka.vectorize(larger).__doc__ == larger.__doc__


def test_types_are_those_of_all_elements() -> None:
    """In NumPy the first element says the type; here an element of ones, the same for all blocks."""
    halves = ka.vectorize(lambda a: a / 2 if a % 2 else a // 2)(ka.arange(1, 6, chunks=1))
    assert_same(halves, np.vectorize(lambda a: a / 2 if a % 2 else a // 2)(np.arange(1, 6)))
    with pytest.raises(ValueError, match="needs the length of texts, such as 'U20'"):
        ka.vectorize(str)(ka.arange(3))
    names = ka.vectorize(lambda a: "x" * a, otypes=["U7"])(ka.arange(4, chunks=1))
    assert_same(names, np.array(["", "x", "xx", "xxx"], "U7"))
    days = ka.vectorize(lambda a: np.datetime64("2001-01-01") + int(a), otypes=["M8[D]"])(ka.arange(3, chunks=2))
    assert_same(days, np.arange("2001-01-01", "2001-01-04", dtype="M8[D]"))


def test_arrays_of_unknown_size() -> None:
    calls = []

    def noted(a: Any) -> Any:
        calls.append(a)
        return a * 2

    x = ka.from_array(GRID, chunks=4)
    with nothing_runs():
        found = ka.vectorize(noted, otypes="d")(x[x > 0]).sum()
    assert not calls
    np.testing.assert_allclose(found.compute(scheduler="sync"), GRID[GRID > 0].sum() * 2)
    assert len(calls) == (GRID > 0).sum()


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda x: ka.vectorize(3), TypeError, "pyfunc= must be a function, not int"),
        (
            lambda x: ka.vectorize(larger, otypes=3),
            ValueError,
            "otypes= must be characters or a sequence of types, not 3",
        ),
        (lambda x: ka.vectorize(larger, otypes="dj"), ValueError, "no type with the character 'j'"),
        (lambda x: ka.vectorize(larger, excluded=[1.5]), TypeError, "excluded= has places and names"),
        (lambda x: ka.vectorize(larger, signature="n"), ValueError, "signature must be like"),
        (lambda x: ka.vectorize(larger, signature="(n)->()")(x, x), TypeError, "has 1 arguments, but 2 were given"),
        (
            lambda x: ka.vectorize(span, signature="(n)->()", otypes="dd")(x),
            ValueError,
            "has 2 types, but the signature",
        ),
        (
            lambda x: ka.vectorize(span, signature="(n)->()")(1),
            ValueError,
            "has 0 axes, but the signature has 1 core axes",
        ),
        (
            lambda x: ka.vectorize(lambda a: a.nothing)(x),
            ValueError,
            "by calling it with ones .*no attribute.*; give otypes=",
        ),
        (lambda x: ka.vectorize(larger)(x, [1, 2]), ValueError, "cannot be broadcast"),
    ],
)
def test_wrong_arguments(call: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        call(ka.from_array(GRID, chunks=3))
