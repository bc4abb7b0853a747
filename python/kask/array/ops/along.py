"""The user's functions of whole axes: ``apply_along_axis``, ``apply_over_axes``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kask.array.base import as_array, wrap
from kask.array.kernels.blockwise import Along
from kask.array.node import empty_meta
from kask.array.ops.blocks import Blocks
from kask.array.ops.mapped import cut_whole
from kask.array.ops.slicing import expanded
from kask.engine import Chunks

__all__ = ["apply_along_axis", "apply_over_axes"]


def apply_along_axis(
    func1d: Callable[..., Any], axis: int, arr: Any, *args: Any, dtype: Any = None, shape: Any = None, **kwargs: Any
) -> Any:
    """A function of arrays of one axis, applied to all along an axis.

    The axis is made one block, since the function needs all of it; the others are cut finer where blocks would get too large.

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
    whole = cut_whole(expr, (axis,))
    before = [whole.chunks.axis(a) for a in range(axis)]
    after = [whole.chunks.axis(a) for a in range(axis + 1, expr.ndim)]
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
            result = wrap(expanded(result.expr, (axis,)))
        if result.ndim != ndim:
            raise ValueError(
                f"func gave an array of {result.ndim} axes for one of {ndim} axes; it may drop the axis or keep it"
            )
        x = result
    return x
