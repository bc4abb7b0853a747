"""What the tests of arrays share: ways to cut an array, and the comparison with NumPy.

``check(call, *arrays)`` calls ``call`` with NumPy arrays and with Kask arrays cut in many ways, and demands the same type, shape and
values. While the result is described nothing may run.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import kask.array as ka
import kask.base
from kask.array.base import ArrayBase


def axis_cuts(length: int) -> list[tuple[int, ...]]:
    """Ways to cut an axis: whole, single elements, uneven, with empty chunks."""
    cuts = [(length,)]
    if length > 1:
        cuts.append((1,) * length)
        cuts.append((length // 3 + 1, length - length // 3 - 1))
        cuts.append((0, length // 2, 0, length - length // 2))
        cuts.append((length - 1, 1))
    return cuts


def chunkings(shape: tuple[int, ...]) -> list[tuple[tuple[int, ...], ...]]:
    """At least six ways to cut an array, where its axes are long enough: the axes are cut alike, and each in another way."""
    if not shape:
        return [()]
    along = [axis_cuts(length) for length in shape]
    ways = max(map(len, along))
    alike = [tuple(cuts[min(way, len(cuts) - 1)] for cuts in along) for way in range(ways)]
    turned = [tuple(cuts[(way + axis) % len(cuts)] for axis, cuts in enumerate(along)) for way in range(ways)]
    return list(dict.fromkeys(alike + turned))


@contextlib.contextmanager
def nothing_runs() -> Iterator[None]:
    """An engine that refuses to run: proves that what happens inside is lazy."""

    def refuse(scheduler: Any = None) -> Any:
        raise AssertionError("something was computed while an array was only described")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kask.base, "engine_for", refuse)
        yield


def assert_same(found: Any, expected: Any, *, rtol: float = 0.0, atol: float = 0.0, dtype: bool = True) -> None:
    """The same type, shape and values; exactly, unless a tolerance is given."""
    if isinstance(expected, tuple | list):
        assert type(found) is type(expected) or len(found) == len(expected)
        assert len(found) == len(expected)
        for ours, theirs in zip(found, expected):
            assert_same(ours, theirs, rtol=rtol, atol=atol, dtype=dtype)
        return
    if isinstance(found, ArrayBase):
        # What was said of the result beforehand must be true.
        value = found.compute()
        assert np.shape(value) == found.shape, (np.shape(value), found.shape)
        # The only element of an array of objects is that object, as in NumPy.
        is_object = found.dtype == object and found.ndim == 0
        assert is_object or np.asarray(value).dtype == found.dtype, (np.asarray(value).dtype, found.dtype)
        assert math.prod(found.numblocks) == found.npartitions
        found = value
    ours, theirs = np.asarray(found), np.asarray(expected)
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    if dtype:
        assert ours.dtype == theirs.dtype, (ours.dtype, theirs.dtype)
    if rtol or atol:
        np.testing.assert_allclose(ours, theirs, rtol=rtol, atol=atol, equal_nan=True)
    else:
        np.testing.assert_array_equal(ours, theirs)


def check(
    call: Callable[..., Any],
    *arrays: Any,
    rtol: float = 0.0,
    atol: float = 0.0,
    dtype: bool = True,
    lazy: bool = True,
    most: int = 12,
) -> None:
    """``call(*arrays)`` is the same with NumPy arrays as with Kask arrays, however these are cut.

    ``call`` gets arrays only and must not name NumPy or Kask: it uses methods, operators, or NumPy's functions (which dispatch). For
    functions of ``ka`` use :func:`check_function`.
    """
    with np.errstate(all="ignore"):
        expected = call(*arrays)
        for cuts in itertools.islice(_ways(arrays), most):
            with nothing_runs() if lazy else contextlib.nullcontext():
                found = call(*[ka.from_array(array, chunks=cut) for array, cut in zip(arrays, cuts)])
            try:
                assert_same(found, expected, rtol=rtol, atol=atol, dtype=dtype)
            except Exception as error:
                raise AssertionError(f"with chunks {cuts}: {error}") from error


def check_function(
    name: str, *arrays: Any, args: tuple = (), options: dict[str, Any] | None = None, **how: Any
) -> None:
    """``np.<name>(*arrays, *args, **options)`` and ``ka.<name>`` are the same; dots in the name are submodules."""

    def call(*operands: Any) -> Any:
        home: Any = ka if any(isinstance(operand, ArrayBase) for operand in operands) else np
        for part in name.split("."):
            home = getattr(home, part)
        return home(*operands, *args, **(options or {}))

    check(call, *arrays, **how)


def _ways(arrays: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
    """Chunks for each array: all cut in the same kind of way, then each in another."""
    if not arrays:
        yield ()
        return
    choices = [chunkings(np.shape(array)) for array in arrays]
    ways = max(map(len, choices))
    for way in range(ways):
        yield tuple(choice[way % len(choice)] for choice in choices)
    if len(arrays) > 1:
        for way in range(ways):
            yield tuple(choice[(way + 2 * place + 1) % len(choice)] for place, choice in enumerate(choices))
