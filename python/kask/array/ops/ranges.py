"""Arrays along one axis that are made of their indices: ``arange``, ``linspace``, windows."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from kask.array.base import ArrayBase, wrap
from kask.array.kernels import creation as kernels
from kask.array.ops.chunks import normalized
from kask.array.ops.creation import Filled, indexed

__all__ = ["arange", "bartlett", "blackman", "geomspace", "hamming", "hanning", "kaiser", "linspace", "logspace"]


def _vector(func: Callable[..., Any], args: tuple[Any, ...], length: int, dtype: Any, chunks: Any, label: str) -> Any:
    return wrap(indexed(func, args, normalized(chunks, (length,), dtype), dtype, label))


def arange(
    start: Any = None, stop: Any = None, step: Any = 1, chunks: Any = "auto", like: Any = None, dtype: Any = None
) -> Any:
    """Numbers from a start to a stop, which is left out.

    Parameters
    ----------
    start : number or datetime
        The first one; the stop if there is no other, and 0 is the first.
    stop : number or datetime, optional
        Where they end.
    step : number or timedelta
        From one to the next.
    chunks : int, str, tuple or dict
        How the result is cut.
    like : array, optional
        Accepted.
    dtype : data-type, optional
        By default what NumPy would take.

    Raises
    ------
    ZeroDivisionError
        The step is 0.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.arange(2, 10, 3, chunks=2).compute()
    array([2, 5, 8])
    """
    if start is None and stop is None:
        raise TypeError("arange() needs a stop")
    if start is None:
        start = 0
    elif stop is None:
        start, stop = (type(start)(0) if isinstance(start, np.generic) else 0), start
    step = 1 if step is None else step
    if dtype is not None and np.dtype(dtype).kind in "mM":
        # Dates may be given as text, and numbers are of the type's unit.
        start, stop = [np.array(end, dtype)[()] for end in (start, stop)]
    if isinstance(start, np.datetime64 | np.timedelta64) or isinstance(stop, np.datetime64 | np.timedelta64):
        return _dates(start, stop, step, chunks, dtype)
    if step == 0:
        raise ZeroDivisionError("arange() needs a step other than 0")
    length = _steps(start, stop, step)
    if dtype is None:
        try:
            dtype = np.arange(start * 0, stop * 0, step * 0 + 1).dtype
        except (OverflowError, TypeError):
            dtype = np.result_type(*[np.asarray(value) for value in (start, stop, step)])
        if all(isinstance(value, int) for value in (start, stop, step)) and not -(2**63) <= stop <= 2**63:
            dtype = np.arange(stop - 1, stop).dtype
    dtype = np.dtype(dtype)
    if dtype.kind == "b" and length > 2:
        raise TypeError("arange() of bools can have no more than two elements")
    if dtype.kind == "O":
        first, delta = start, step
    else:
        # NumPy computes the first two elements, and goes on by their difference.
        with np.errstate(over="ignore"):
            first = np.array([start]).astype(dtype)[0]
            second = np.array([start + step]).astype(dtype)[0]
            delta = first ^ second if dtype.kind == "b" else second - first
    return _vector(kernels.progression, (first, delta, dtype), length, dtype, chunks, "arange")


def _steps(start: Any, stop: Any, step: Any) -> int:
    if isinstance(start, complex) or isinstance(stop, complex) or isinstance(step, complex):
        span = (stop - start) / step
        return max(0, min(math.ceil(span.real), math.ceil(span.imag)))
    span = (stop - start) / step
    if not math.isfinite(span):
        raise ValueError(f"arange() cannot have {span} elements")
    return max(0, math.ceil(span))


def _dates(start: Any, stop: Any, step: Any, chunks: Any, dtype: Any) -> Any:
    """A range of datetimes or timedeltas. The pieces that NumPy needs to know the type are two elements long."""
    if isinstance(stop, np.datetime64) and not isinstance(start, np.datetime64):
        raise TypeError("arange() up to a datetime needs a datetime to start with")
    one = np.arange(start, start + step, step, dtype=dtype)
    kind = np.dtype(dtype) if dtype is not None else np.result_type(one.dtype, np.asarray(stop).dtype)
    if not isinstance(stop, np.datetime64 | np.timedelta64):
        stop = np.asarray(stop).astype(kind)[()]
        if kind.kind == "M":
            unit: Any = np.datetime_data(kind)[0]
            stop = start + np.timedelta64(int(stop.astype(np.int64)), unit)
    first = np.asarray(start).astype(kind)
    last = np.asarray(stop).astype(kind)
    following = (first + step).astype(kind)
    delta = following.astype(np.int64) - first.astype(np.int64)
    if delta == 0:
        raise ZeroDivisionError("arange() needs a step other than 0")
    length = max(0, -int((first.astype(np.int64) - last.astype(np.int64)) // delta))
    return _vector(kernels.progression, (first[()], np.asarray(delta)[()], kind), length, kind, chunks, "arange")


def _number_of(num: Any) -> int:
    try:
        num = operator.index(num)
    except TypeError:
        raise TypeError(f"num={num!r}, but it must be a whole number: how many samples there are") from None
    if num < 0:
        raise ValueError(f"num={num}, but there are no fewer than 0 samples")
    return num


def _are_numbers(*bounds: Any) -> bool:
    return not any(np.ndim(bound) or isinstance(bound, ArrayBase) for bound in bounds)


def linspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    retstep: bool = False,
    chunks: Any = "auto",
    dtype: Any = None,
    *,
    axis: int = 0,
) -> Any:
    """Numbers at equal distances.

    Parameters
    ----------
    start, stop : array_like
        The first and, with ``endpoint``, the last one. Of arrays, each pair of their elements has numbers along an axis of its own.
    num : int
        How many.
    endpoint : bool
        Whether ``stop`` is the last one.
    retstep : bool
        Whether the distance is returned too.
    chunks : int, str, tuple or dict
        How the result is cut.
    dtype : data-type, optional
        By default floats; numbers are rounded down to integers.
    axis : int
        Where that axis is among those of the arrays.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.linspace(0, 1, 5, chunks=2).compute()
    array([0.  , 0.25, 0.5 , 0.75, 1.  ])
    """
    num = _number_of(num)
    if not _are_numbers(start, stop):
        from kask.array.ops.ranges_between import linear

        found, steps = linear(start, stop, num, bool(endpoint), dtype, axis, chunks)
        return (found, steps) if retstep else found
    computed = np.result_type(np.asarray(start) * 1.0, np.asarray(stop) * 1.0, float(num))
    kind = computed if dtype is None else np.dtype(dtype)
    found = _vector(kernels.linear, (start, stop, num, bool(endpoint), kind), num, kind, chunks, "linspace")
    if not retstep:
        return found
    div = num - 1 if endpoint else num
    return found, (np.asarray(stop) * 1.0 - np.asarray(start) * 1.0) / div if div > 0 else np.float64(np.nan)


def logspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    base: Any = 10.0,
    dtype: Any = None,
    *,
    axis: int = 0,
    chunks: Any = "auto",
) -> Any:
    """Powers of ``base`` (a number or an array) with exponents at equal distances; see :func:`linspace`.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.logspace(0, 2, 3).compute()
    array([  1.,  10., 100.])
    """
    if not _are_numbers(start, stop, base):
        from kask.array.ops.ranges_between import logarithmic

        return logarithmic(start, stop, _number_of(num), bool(endpoint), base, dtype, axis, chunks)
    from kask.array.ops.elementwise import elementwise
    from kask.array.ops.filling import cast

    exponents = linspace(start, stop, num, endpoint, chunks=chunks).expr
    values = elementwise(kernels.power_of, exponents, base)
    return wrap(values if dtype is None else cast(values, dtype))


def geomspace(
    start: Any,
    stop: Any,
    num: int = 50,
    endpoint: bool = True,
    dtype: Any = None,
    *,
    axis: int = 0,
    chunks: Any = "auto",
) -> Any:
    """Numbers each of which is the same multiple of the one before it; see :func:`linspace`.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.geomspace(1, 8, 4).compute()
    array([1., 2., 4., 8.])
    """
    num = _number_of(num)
    if not _are_numbers(start, stop):
        from kask.array.ops.ranges_between import geometric

        return geometric(start, stop, num, bool(endpoint), dtype, axis, chunks)
    if start == 0 or stop == 0:
        raise ValueError("geomspace() cannot start or stop at 0")
    computed = np.result_type(start, stop, float(num), np.zeros((), dtype))
    kind = computed if dtype is None else np.dtype(dtype)
    if np.sign(start) != np.sign(stop) and computed.kind != "c":
        computed = np.dtype(complex) if computed.kind != "f" else computed
    ends = (np.asarray(start).astype(computed)[()], np.asarray(stop).astype(computed)[()])
    return _vector(kernels.spaced_geometrically, (*ends, num, bool(endpoint), kind), num, kind, chunks, "geomspace")


def _window(func: Callable[..., Any], M: int, chunks: Any, *args: Any) -> Any:
    length = max(0, int(M))
    if length == 1:
        chunked = normalized(chunks, (1,), float)
        return wrap(Filled(1.0, chunked, np.empty(0)))
    return _vector(func, (length, *args), length, np.dtype(float), chunks, func.__name__)


def hanning(M: int, *, chunks: Any = "auto") -> Any:
    """The Hanning window of ``M`` points.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.hanning(3).compute()
    array([0., 1., 0.])
    """
    return _window(kernels.hanning, M, chunks)


def hamming(M: int, *, chunks: Any = "auto") -> Any:
    """The Hamming window of ``M`` points.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.hamming(3).compute()
    array([0.08, 1.  , 0.08])
    """
    return _window(kernels.hamming, M, chunks)


def blackman(M: int, *, chunks: Any = "auto") -> Any:
    """The Blackman window of ``M`` points.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.blackman(3).compute().round(6) + 0.0
    array([0., 1., 0.])
    """
    return _window(kernels.blackman, M, chunks)


def bartlett(M: int, *, chunks: Any = "auto") -> Any:
    """The Bartlett (triangular) window of ``M`` points.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.bartlett(5).compute()
    array([0. , 0.5, 1. , 0.5, 0. ])
    """
    return _window(kernels.bartlett, M, chunks)


def kaiser(M: int, beta: float, *, chunks: Any = "auto") -> Any:
    """The Kaiser window of ``M`` points.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.kaiser(3, 0.0).compute()
    array([1., 1., 1.])
    """
    return _window(kernels.kaiser, M, chunks, float(beta))
