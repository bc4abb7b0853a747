"""Functions of whole axes: ``apply_along_axis``, ``apply_over_axes``, ``take_along_axis``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kask.array.base import as_array, wrap
from kask.array.kernels.blockwise import Along
from kask.array.kernels.indexing import take_along_last
from kask.array.node import empty_meta
from kask.array.ops.axes import moveaxis
from kask.array.ops.blocks import Blocks
from kask.array.ops.gufuncs import apply_gufunc
from kask.array.ops.rechunk import rechunked
from kask.engine import Chunks

__all__ = ["apply_along_axis", "apply_over_axes", "take_along_axis"]


normalize_axis_index = np.lib.array_utils.normalize_axis_index


def apply_along_axis(
    func1d: Callable[..., Any], axis: int, arr: Any, *args: Any, dtype: Any = None, shape: Any = None, **kwargs: Any
) -> Any:
    """A function of arrays of one axis, applied to all along an axis.

    The axis is made one block, since the function needs all of it.

    Parameters
    ----------
    func1d : callable
        Takes an array of one axis; gives a number or an array.
    axis : int
    arr : array_like
    *args, **kwargs
        Further arguments of the function.
    dtype, shape : optional
        Of what the function gives; by default found out by calling it with ones.

    Returns
    -------
    Array
        Of the shape of ``arr``, with the axis replaced by the axes of what the function gives.

    Examples
    --------
    >>> import kask.array as ka
    >>> x = ka.from_array([[3, 1, 2], [6, 5, 4]], chunks=(1, 2))
    >>> ka.apply_along_axis(sorted, 1, x).compute()
    array([[1, 2, 3],
           [4, 5, 6]])
    """
    expr = as_array(arr).expr
    if not isinstance(axis, int | np.integer) or not -expr.ndim <= axis < expr.ndim:
        raise np.exceptions.AxisError(axis, expr.ndim)
    axis = int(axis) % expr.ndim
    if dtype is None or shape is None:
        with np.errstate(all="ignore"):
            sample = np.asanyarray(func1d(np.ones(expr.shape[axis], expr.dtype), *args, **kwargs))
        dtype = sample.dtype if dtype is None else dtype
        shape = sample.shape if shape is None else shape
    shape = (int(shape),) if isinstance(shape, int | np.integer) else tuple(shape)
    dtype = np.dtype(dtype)
    whole = rechunked(expr, expr.chunks.replace(axis, Chunks.whole([expr.shape[axis]])))
    before = [expr.chunks.axis(a) for a in range(axis)]
    after = [expr.chunks.axis(a) for a in range(axis + 1, expr.ndim)]
    chunks = Chunks.join([*before, Chunks.whole(list(shape)), *after])
    skipped = len(shape) - 1
    reads = tuple([a if a < axis else ("fixed", 0) if a == axis else a + skipped for a in range(expr.ndim)])
    kernel = Along(func1d, axis, args, kwargs, shape, dtype)
    return wrap(Blocks(kernel, (whole,), (reads,), chunks, empty_meta(dtype, chunks.ndim), "apply_along_axis"))


def apply_over_axes(func: Callable[..., Any], a: Any, axes: Any) -> Any:
    """A function of an array and an axis, applied over several axes in turn.

    Parameters
    ----------
    func : callable
        ``func(array, axis)`` gives an array with the same axes, or without that axis, which then becomes one of one element.
    a : array_like
    axes : int or sequence of int

    Raises
    ------
    ValueError
        The function gave an array with another number of axes.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.apply_over_axes(ka.maximum.reduce, ka.from_array([[1, 5], [7, 2]]), [0, 1]).compute()
    array([[7]])
    """
    x = as_array(a)
    ndim = x.ndim
    for axis in (axes,) if isinstance(axes, int | np.integer) else axes:
        if not -ndim <= axis < ndim:
            raise np.exceptions.AxisError(int(axis), ndim)
        axis = int(axis) % ndim
        result = as_array(func(x, axis))
        if result.ndim == ndim - 1:
            result = with_axis(result, axis)
        if result.ndim != ndim:
            raise ValueError(
                f"func gave an array of {result.ndim} axes for one of {ndim} axes; it may drop the axis or keep it"
            )
        x = result
    return x


def with_axis(x: Any, axis: int) -> Any:
    """An array with one more axis, of one element."""
    expr = x.expr
    parts = [expr.chunks.axis(a) for a in range(expr.ndim)]
    chunks = Chunks.join([*parts[:axis], Chunks.whole([1]), *parts[axis:]])
    reads = tuple([a if a < axis else a + 1 for a in range(expr.ndim)])
    meta = np.empty_like(expr.meta, shape=(0,) * chunks.ndim)
    return wrap(Blocks(np.expand_dims, (expr, axis), (reads, None), chunks, meta, "expand_dims"))


def take_along_axis(arr: Any, indices: Any, axis: int | None = -1) -> Any:
    """Elements at places along an axis that differ from one row to the next, such as those that ``argsort`` gives.

    The axis is made one block, since any of its elements may be wanted; the places are read block by block.

    Parameters
    ----------
    arr : array_like
    indices : array_like of int
        With as many axes as ``arr``; as long as it along all axes but one, or of one element there.
    axis : int, optional
        The axis; None for all elements in one row.

    Returns
    -------
    Array
        Of the shape that both broadcast to, and of the length of ``indices`` along the axis.

    Raises
    ------
    IndexError
        When computed: a place that is not there.

    Examples
    --------
    >>> import kask.array as ka
    >>> x = ka.from_array([[3, 1, 2], [6, 4, 5]], chunks=(1, 2))
    >>> ka.take_along_axis(x, ka.argsort(x, axis=1), axis=1).compute()
    array([[1, 2, 3],
           [4, 5, 6]])
    """
    array, places = as_array(arr), as_array(indices)
    if places.dtype.kind not in "iu":
        raise IndexError(f"take_along_axis: indices must be whole numbers, got {places.dtype}")
    if axis is None:
        array, axis = array.ravel(), 0
    if array.ndim != places.ndim:
        raise ValueError(
            f"take_along_axis: the array has {array.ndim} axes and indices {places.ndim}; as many are wanted"
        )
    axis = normalize_axis_index(axis, array.ndim)
    # The axis of places is one along which all is alike for the array, so that it may stay cut.
    rows, places = moveaxis(array, axis, -1), moveaxis(places, axis, -1)
    rows = rows[..., None, :]
    found = apply_gufunc(
        take_along_last, "(n),()->()", rows, places, output_dtypes=array.dtype, allow_rechunk=True, vectorize=False
    )
    return moveaxis(found, -1, axis)
