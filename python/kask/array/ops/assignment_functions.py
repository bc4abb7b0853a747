"""Functions that assign: ``copyto``, ``put``, ``putmask``, ``place``, ``put_along_axis``, ``fill_diagonal``. As in NumPy they change the array that they are given and return
nothing; arrays that were made of it before stay as they were."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from kask.array.base import ArrayBase, as_array, wrap
from kask.array.kernels import edits as kernels
from kask.array.kernels.assignment import put_masked
from kask.array.node import ArrayExpr
from kask.array.ops.assignment import setitem, taken_value
from kask.array.ops.creation import Made
from kask.array.ops.deferring import called
from kask.array.ops.elementwise import changed, elementwise
from kask.array.ops.indexing import getitem
from kask.array.ops.indexing_edits import take
from kask.array.ops.reshaping import raveled
from kask.array.ops.staged import ByValue
from kask.engine import Chunks

__all__ = ["copyto", "fill_diagonal", "place", "put", "putmask"]


def _target(a: Any, name: str, function: str) -> Any:
    if not isinstance(a, ArrayBase):
        raise TypeError(f"{name}= of {function}() is changed, so it must be an array of Kask, not {type(a).__name__}")
    return a


def _kept(mask: Any) -> Any:
    """A mask as it is now, whatever the user does with it later."""
    return as_array(mask if isinstance(mask, ArrayBase) else np.array(mask))


def copyto(dst: Any, src: Any, casting: Any = "same_kind", where: Any = True) -> None:
    """Assign values to an array, where a mask is true.

    Parameters
    ----------
    dst : Array
        What is changed.
    src : array_like
        The values, broadcast to the shape of ``dst``.
    casting : {"no", "equiv", "safe", "same_kind", "unsafe"}
        Which casts are allowed.
    where : array_like of bool
        Where values are assigned, broadcast to the shape of ``dst``.

    Raises
    ------
    TypeError
        The values cannot be cast so, or ``dst`` is no array of Kask.
    ValueError
        The shapes do not fit.

    Examples
    --------
    >>> import numpy as np, kask.array as ka
    >>> x = ka.from_array(np.arange(4), chunks=2)
    >>> ka.copyto(x, -1, where=[True, False, True, False])
    >>> x.compute()
    array([-1,  1, -1,  3])
    """
    dst = _target(dst, "dst", "copyto")
    kind = (
        src.dtype if hasattr(src, "dtype") else np.min_scalar_type(src) if np.isscalar(src) else np.asarray(src).dtype
    )
    if not np.can_cast(kind, dst.dtype, casting):
        raise TypeError(f"Cannot cast array data from {kind!r} to {dst.dtype!r} according to the rule {casting!r}")
    if where is True:
        dst[...] = src
        return
    mask = _kept(where)
    if mask.dtype != bool:
        raise TypeError(f"where= must be boolean, not {mask.dtype}")
    value = taken_value(src, dst.dtype)
    shape = value.shape if isinstance(value, ArrayExpr) else ()
    if np.broadcast_shapes(dst.shape, shape, mask.shape) != dst.shape:
        raise ValueError(f"could not broadcast input array from shape {shape} into shape {dst.shape}")
    dst.expr = changed(put_masked, dst.expr, mask.expr, value)


def put(a: Any, ind: Any, v: Any, mode: str = "raise") -> None:
    """Assign values to elements by their numbers in C order.

    Parameters
    ----------
    a : Array
        What is changed.
    ind : array_like of int
        The numbers. Those of Kask are computed at once.
    v : array_like
        The values, in C order; if they are too few they are used again.
    mode : {"raise", "wrap", "clip"}
        What to do about numbers beyond the end.

    Raises
    ------
    IndexError
        A number is beyond the end.

    Examples
    --------
    >>> import numpy as np, kask.array as ka
    >>> x = ka.from_array(np.arange(6).reshape(2, 3), chunks=2)
    >>> ka.put(x, [0, -1], [10, 20])
    >>> x.compute()
    array([[10,  1,  2],
           [ 3,  4, 20]])
    """
    a = _target(a, "a", "put")
    if mode not in ("raise", "wrap", "clip"):
        raise ValueError(f"mode= must be 'raise', 'wrap' or 'clip', not {mode!r}")
    numbers = np.asarray(ind.compute() if isinstance(ind, ArrayBase) else ind).reshape(-1)
    numbers = numbers.astype(np.intp) if numbers.size == 0 else numbers
    if numbers.dtype.kind not in "iu":
        raise TypeError(f"ind= must be integers, not {numbers.dtype}")
    if mode != "raise":
        numbers = kernels.of_mode(numbers, a.size, mode)
    wrong = (numbers < -a.size) | (numbers >= a.size)
    if wrong.any():
        raise IndexError(f"index {numbers[wrong][0]} is out of bounds for axis 0 with size {a.size}")
    values = _some(v, a.dtype, len(numbers))
    if values is None or not len(numbers):
        return
    a[np.unravel_index(np.where(numbers < 0, numbers + a.size, numbers), a.shape) if a.ndim else ()] = values


def _some(v: Any, dtype: Any, count: int) -> Any:
    """So many values, used again and again if they are too few; None if there are none."""
    values = taken_value(v, dtype)
    if not isinstance(values, ArrayExpr):
        return values
    flat = raveled(values)
    if flat.shape[0] == 0:
        return None
    return wrap(getitem(flat, np.arange(count) % flat.shape[0]))


def putmask(a: Any, mask: Any, values: Any) -> None:
    """Assign values to the elements where a mask is true.

    Parameters
    ----------
    a : Array
        What is changed.
    mask : array_like
        Of the same shape.
    values : array_like
        As many as ``a`` has elements: each gets the value at its own place. If there are too few they are used again; then
        those of Kask are brought here when the result is computed.

    Raises
    ------
    ValueError
        The shapes differ.

    Examples
    --------
    >>> import numpy as np, kask.array as ka
    >>> x = ka.from_array(np.arange(5), chunks=2)
    >>> ka.putmask(x, x.compute() > 1, [-33, -44])
    >>> x.compute()
    array([  0,   1, -33, -44, -33])
    """
    a = _target(a, "a", "putmask")
    flags = _kept(mask)
    if flags.shape != a.shape:
        raise ValueError("putmask: mask and data must be the same size")
    value = taken_value(values, a.dtype)
    if isinstance(value, ArrayExpr) and value.shape != a.shape:
        if not math.prod(value.shape):
            return
        args = (a.shape, a.expr.chunks)
        if isinstance(values, ArrayBase):
            meta = np.empty((0,) * a.ndim, value.dtype)
            value = ByValue(_cycled, (), (value,), args, meta, a.expr.chunks, "putmask")
        else:
            value = _cycled(np.array(values), *args)
    a.expr = changed(put_masked, a.expr, elementwise(kernels.truth, flags.expr, dtype=bool), value)


def _cycled(values: np.ndarray, shape: tuple[int, ...], chunks: Chunks) -> ArrayExpr:
    """Values again and again, in C order, in an array of this shape."""
    return Made(
        kernels.cycled, (values.reshape(-1), shape), chunks, np.empty((0,) * len(shape), values.dtype), "putmask"
    )


def place(arr: Any, mask: Any, vals: Any) -> None:
    """Assign values, one after another, to the elements where a mask is true.

    Parameters
    ----------
    arr : Array
        What is changed.
    mask : array_like
        Of the same shape.
    vals : array_like
        The values; if they are too few they are used again.

    Raises
    ------
    ValueError
        The shapes differ, or there are no values.

    Examples
    --------
    >>> import numpy as np, kask.array as ka
    >>> x = ka.from_array(np.arange(6).reshape(2, 3), chunks=2)
    >>> ka.place(x, np.arange(6).reshape(2, 3) > 2, [44, 55])
    >>> x.compute()
    array([[ 0,  1,  2],
           [44, 55, 44]])
    """
    arr = _target(arr, "arr", "place")
    flags = _kept(mask)
    if flags.shape != arr.shape:
        raise ValueError("place: mask and data must be the same size")
    flags = wrap(elementwise(kernels.truth, flags.expr, dtype=bool))
    value = taken_value(vals, arr.dtype)
    if isinstance(value, ArrayExpr):
        if math.prod(value.shape) == 0:
            raise ValueError("Cannot insert from an empty array!")
        if arr.ndim:
            value = called(_again, (wrap(raveled(value)), flags[flags]), {})
        else:
            value = wrap(getitem(raveled(value), 0))
    arr.expr = setitem(arr, flags, value).expr


def _again(values: Any, like: Any) -> Any:
    """As many values as there are elements."""
    return take(values, np.arange(like.shape[0]) % values.shape[0], 0)


def fill_diagonal(a: Any, val: Any, wrap: bool = False) -> None:
    """Assign values to the elements whose coordinates are all the same.

    Parameters
    ----------
    a : Array
        What is changed; two axes, or more that are equally long.
    val : array_like
        The values; if they are too few they are used again.
    wrap : bool
        Whether the diagonal of a tall matrix starts again below, after a row without.

    Raises
    ------
    ValueError
        The array has fewer than two axes, or more and they are not equally long.

    Examples
    --------
    >>> import numpy as np, kask.array as ka
    >>> x = ka.from_array(np.zeros((3, 3), int), chunks=2)
    >>> ka.fill_diagonal(x, [1, 2, 3])
    >>> x.compute()
    array([[1, 0, 0],
           [0, 2, 0],
           [0, 0, 3]])
    """
    a = _target(a, "a", "fill_diagonal")
    if a.ndim < 2:
        raise ValueError("array must be at least 2-d")
    if a.ndim > 2 and len(set(a.shape)) > 1:
        raise ValueError("All dimensions of input must be of equal length")
    step = a.shape[1] + 1 if a.ndim == 2 else 1 + sum([math.prod(a.shape[axis:]) for axis in range(1, a.ndim)])
    end = a.shape[1] ** 2 if a.ndim == 2 and not wrap else a.size
    put(a, np.arange(0, min(end, a.size), step), val)
