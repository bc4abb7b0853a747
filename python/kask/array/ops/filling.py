"""Arrays of one value, and arrays of what is there: ``zeros``, ``full_like``, ``asarray``."""

from __future__ import annotations

from typing import Any

import numpy as np

from kask.array.base import ArrayBase, as_array, as_expr, wrap
from kask.array.kernels.creation import cast as cast_block
from kask.array.kernels.creation import fill_from
from kask.array.node import ArrayExpr, empty_meta
from kask.array.ops.chunks import normalized
from kask.array.ops.creation import Filled
from kask.array.ops.elementwise import changed, elementwise

__all__ = [
    "array",
    "asanyarray",
    "asarray",
    "empty",
    "empty_like",
    "full",
    "full_like",
    "ones",
    "ones_like",
    "zeros",
    "zeros_like",
]


def cast(expr: ArrayExpr, dtype: Any) -> ArrayExpr:
    """The array, of another type."""
    dtype = np.dtype(dtype)
    return expr if expr.dtype == dtype else changed(cast_block, expr, dtype, dtype=dtype)


def checked_order(order: Any) -> None:
    """Refuse what NumPy has no order for. Blocks are in C order whatever is asked for."""
    if order not in (None, "C", "F", "A", "K"):
        raise ValueError(f"order={order!r}, but it must be one of 'C', 'F', 'A' and 'K'")


def shape_of(shape: Any) -> tuple[int, ...]:
    """A shape as it may be given: one length, or several."""
    lengths = tuple(shape) if isinstance(shape, list | tuple | np.ndarray) and np.ndim(shape) else (shape,)
    try:
        shape = tuple([length.__index__() for length in lengths])
    except AttributeError:
        raise TypeError(f"shape={shape!r}, but a shape is made of whole numbers") from None
    if any(length < 0 for length in shape):
        raise ValueError(f"shape={shape}, but no axis has fewer than 0 elements")
    return shape


def filled(shape: Any, value: Any, dtype: Any, chunks: Any, order: Any, meta: Any, name: str | None = None) -> Any:
    """One value everywhere."""
    checked_order(order)
    shape = shape_of(shape)
    dtype = np.dtype(dtype)
    return wrap(Filled(value, normalized(chunks, shape, dtype), empty_meta(dtype, len(shape), meta), name or ""))


def _like(like: Any) -> Any:
    return as_array(like).meta if like is not None else None


def ones(
    shape: Any,
    dtype: Any = None,
    order: str = "C",
    *,
    chunks: Any = "auto",
    name: Any = None,
    meta: Any = None,
    like: Any = None,
) -> Any:
    """An array of ones.

    Parameters
    ----------
    shape : int or tuple of int
        Elements along each axis.
    dtype : data-type, optional
        By default float64.
    order : str
        Accepted; blocks are in C order.
    chunks : int, str, tuple or dict
        How it is cut; see :func:`normalize_chunks`.
    name : str, optional
        The name of the array, which must be unique; otherwise it is made of the content.
    meta, like : array, optional
        An array of the kind that blocks shall have.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.ones((2, 3), dtype=int, chunks=2).compute()
    array([[1, 1, 1],
           [1, 1, 1]])
    """
    dtype = np.dtype(float if dtype is None else dtype)
    return filled(shape, np.ones((), dtype)[()], dtype, chunks, order, meta if like is None else _like(like), name)


def zeros(
    shape: Any,
    dtype: Any = None,
    order: str = "C",
    *,
    chunks: Any = "auto",
    name: Any = None,
    meta: Any = None,
    like: Any = None,
) -> Any:
    """An array of zeros; parameters as for :func:`ones`.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.zeros(3, chunks=2).compute()
    array([0., 0., 0.])
    """
    dtype = np.dtype(float if dtype is None else dtype)
    return filled(shape, np.zeros((), dtype)[()], dtype, chunks, order, meta if like is None else _like(like), name)


def empty(
    shape: Any,
    dtype: Any = None,
    order: str = "C",
    *,
    chunks: Any = "auto",
    name: Any = None,
    meta: Any = None,
    like: Any = None,
) -> Any:
    """An array of any values, which are zeros; parameters as for :func:`ones`.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.empty((2, 2), chunks=1).shape
    (2, 2)
    """
    return zeros(shape, dtype, order, chunks=chunks, name=name, meta=meta, like=like)


def full(
    shape: Any,
    fill_value: Any,
    dtype: Any = None,
    order: str = "C",
    *,
    chunks: Any = "auto",
    name: Any = None,
    meta: Any = None,
    like: Any = None,
) -> Any:
    """An array of one value, or of an array that is stretched; other parameters as for :func:`ones`.

    Parameters
    ----------
    shape : int or tuple of int
        Elements along each axis.
    fill_value : scalar or array
        The value. An array must broadcast to the shape.
    dtype : data-type, optional
        By default that of ``fill_value``.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.full((2, 2), 7, chunks=1).compute()
    array([[7, 7],
           [7, 7]])
    """
    from kask.array.ops.reshaping import broadcast

    checked_order(order)
    shape = shape_of(shape)
    value = fill_value.expr if isinstance(fill_value, ArrayBase) else np.asarray(fill_value)
    dtype = value.dtype if dtype is None else np.dtype(dtype)
    meta = meta if like is None else _like(like)
    if not isinstance(value, ArrayExpr) and value.ndim == 0:
        return filled(shape, np.array(fill_value, dtype=dtype)[()], dtype, chunks, order, meta, name)
    wide = broadcast(value if isinstance(value, ArrayExpr) else as_expr(value), shape, normalized(chunks, shape, dtype))
    return wrap(elementwise(fill_from, wide, dtype, dtype=dtype))


def _filled_like(a: Any, value: Any, dtype: Any, order: Any, chunks: Any, shape: Any, name: Any) -> Any:
    a = as_array(a)
    dtype = a.dtype if dtype is None else np.dtype(dtype)
    shape = a.shape if shape is None else shape_of(shape)
    if chunks is None:
        chunks = a.expr.chunks if shape == a.shape else "auto"
    return full(shape, value(dtype), dtype, order, chunks=chunks, name=name, meta=a.meta)


def ones_like(
    a: Any,
    dtype: Any = None,
    order: str = "C",
    chunks: Any = None,
    name: Any = None,
    shape: Any = None,
    *,
    subok: bool = True,
) -> Any:
    """An array of ones with the shape, type and chunks of another, as far as nothing else is asked for.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.ones_like(ka.zeros(3, dtype=int, chunks=2)).compute()
    array([1, 1, 1])
    """
    return _filled_like(a, lambda dtype: np.ones((), dtype)[()], dtype, order, chunks, shape, name)


def zeros_like(
    a: Any,
    dtype: Any = None,
    order: str = "C",
    chunks: Any = None,
    name: Any = None,
    shape: Any = None,
    *,
    subok: bool = True,
) -> Any:
    """An array of zeros with the shape, type and chunks of another, as far as nothing else is asked for.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.zeros_like(ka.ones(3, chunks=2), shape=(2,)).compute()
    array([0., 0.])
    """
    return _filled_like(a, lambda dtype: np.zeros((), dtype)[()], dtype, order, chunks, shape, name)


def empty_like(
    a: Any,
    dtype: Any = None,
    order: str = "C",
    chunks: Any = None,
    name: Any = None,
    shape: Any = None,
    *,
    subok: bool = True,
) -> Any:
    """An array of any values with the shape, type and chunks of another, as far as nothing else is asked for.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.empty_like(ka.ones(3, chunks=2)).chunks
    ((2, 1),)
    """
    return zeros_like(a, dtype, order, chunks, name, shape)


def full_like(
    a: Any,
    fill_value: Any,
    order: str = "C",
    dtype: Any = None,
    chunks: Any = None,
    name: Any = None,
    shape: Any = None,
    *,
    subok: bool = True,
) -> Any:
    """An array of one value with the shape, type and chunks of another, as far as nothing else is asked for.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.full_like(ka.ones(3, dtype=int, chunks=2), 5).compute()
    array([5, 5, 5])
    """
    return _filled_like(a, lambda dtype: fill_value, dtype, order, chunks, shape, name)


def _has_arrays(x: Any) -> bool:
    return isinstance(x, list | tuple) and any(isinstance(item, ArrayBase) or _has_arrays(item) for item in x)


def _taken(x: Any) -> Any:
    """An array of anything; of sequences with arrays in them, the stack of these."""
    if _has_arrays(x):
        from kask.array.ops.joining import stack

        return stack([_taken(item) for item in x])
    return as_array(x)


def asarray(
    a: Any,
    allow_unknown_chunksizes: bool = False,
    dtype: Any = None,
    order: str | None = None,
    like: Any = None,
    *,
    copy: bool | None = None,
    **kwargs: Any,
) -> Any:
    """An array of anything that NumPy makes an array of, of array-likes, and of sequences of arrays.

    Parameters
    ----------
    a : object
        What it is made of. Kask's arrays stay what they are.
    allow_unknown_chunksizes : bool
        Accepted; there are no unknown chunk sizes.
    dtype : data-type, optional
        The type of the elements.
    order : str, optional
        Accepted; blocks are in C order.
    like : array, optional
        Accepted; the result is one of Kask's arrays.
    copy : bool, optional
        Accepted, but for ``False`` where a conversion needs a copy.
    **kwargs
        ``chunks`` and other options of :func:`from_array`, where ``a`` is not one of Kask's arrays yet.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.asarray([1, 2, 3], dtype=float).compute()
    array([1., 2., 3.])
    """
    from kask.array.ops.storage import from_array

    checked_order(order)
    if isinstance(a, ArrayBase) or _has_arrays(a):
        if kwargs:
            raise TypeError(f"asarray() of an array that is lazy already has no options {', '.join(kwargs)}")
        found = _taken(a)
    else:
        found = from_array(a, **kwargs)
    if dtype is not None and copy is False and found.dtype != np.dtype(dtype):
        raise ValueError(f"an array of {found.dtype} becomes one of {np.dtype(dtype)} by a copy only, but copy=False")
    return found if dtype is None else wrap(cast(found.expr, dtype))


def asanyarray(
    a: Any,
    dtype: Any = None,
    order: str | None = None,
    like: Any = None,
    inline_array: bool = False,
    *,
    copy: bool | None = None,
    chunks: Any = "auto",
) -> Any:
    """As :func:`asarray`; array subclasses stay what they are.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.asanyarray([[1, 2], [3, 4]]).shape
    (2, 2)
    """
    if isinstance(a, ArrayBase) or _has_arrays(a):
        return asarray(a, dtype=dtype, order=order, like=like, copy=copy)
    return asarray(a, dtype=dtype, order=order, like=like, copy=copy, chunks=chunks, inline_array=inline_array)


def array(
    x: Any,
    dtype: Any = None,
    ndmin: int | None = None,
    like: Any = None,
    *,
    copy: bool | None = True,
    order: str | None = None,
    chunks: Any = "auto",
) -> Any:
    """An array of what is there; what is in memory is copied, so that later changes of it do not matter.

    Parameters
    ----------
    x : object
        As for :func:`asarray`.
    dtype : data-type, optional
        The type of the elements.
    ndmin : int, optional
        Axes that there shall be at least; those that are missing are put in front.
    like, order : optional
        Accepted, see :func:`asarray`.
    copy : bool, optional
        Whether what is in memory is copied.
    chunks : int, str, tuple or dict
        How it is cut, if it is not one of Kask's arrays yet.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.array([1, 2], ndmin=2).compute()
    array([[1, 2]])
    """
    if copy and not isinstance(x, ArrayBase) and not _has_arrays(x) and isinstance(x, np.ndarray | np.generic):
        x = np.array(x)
    if isinstance(x, ArrayBase) or _has_arrays(x):
        found = asarray(x, dtype=dtype, order=order)
    elif isinstance(x, np.ndarray) or not hasattr(x, "shape"):
        # NumPy converts with more knowledge than a cast has, such as of strings.
        found = asarray(np.asarray(x, dtype=dtype), chunks=chunks, order=order)
    else:
        found = asarray(x, dtype=dtype, order=order, chunks=chunks)
    missing = (ndmin or 0) - found.ndim
    if missing > 0:
        from kask.array.ops.slicing import expanded

        found = wrap(expanded(found.expr, tuple(range(missing))))
    return found
