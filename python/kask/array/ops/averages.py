"""Averages with weights."""

from __future__ import annotations

from typing import Any

import numpy as np

from kask.array.base import as_array, wrap
from kask.array.node import ArrayExpr
from kask.array.ops.elementwise import elementwise
from kask.array.ops.moments import mean
from kask.array.ops.reductions import normal_axes

__all__ = ["average"]


def average(a: Any, axis: Any = None, weights: Any = None, returned: bool = False, keepdims: Any = False) -> Any:
    """Weighted average.

    Parameters
    ----------
    a : array_like
        The array.
    axis : int or tuple of int, optional
        The axes to reduce; all of them if nothing is said.
    weights : array_like, optional
        Of the shape of ``a``, or of the shape of the reduced axes, in the order in which they are given. Without them the average is the mean.
    returned : bool, optional
        Whether the sum of the weights is given back as well.
    keepdims : bool, optional
        Whether reduced axes stay, with one element.

    Returns
    -------
    Array, or (Array, Array)

    Raises
    ------
    ZeroDivisionError
        There is nothing to give, and no weights. When computed: weights whose sum is zero.
    ValueError, TypeError
        Weights of another shape.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.average(ka.from_array([1, 2, 6], chunks=2), weights=[2, 1, 1]).compute()
    np.float64(2.5)
    """
    array = as_array(a).expr
    axes = normal_axes(axis, array.ndim)
    if weights is None:
        result = mean(a, axis, keepdims=keepdims)
        if result.size == 0:
            raise ZeroDivisionError("division by zero: NumPy makes no average without elements; use mean()")
        count = np.prod([array.shape[axis] for axis in axes])
        return (result, wrap(elementwise(np.full_like, result.expr, count, dtype=result.dtype))) if returned else result
    if array.dtype.kind in "mM":
        raise TypeError(
            f"average() of elements of type {array.dtype} takes no weights; give numbers, such as x.astype(float)"
        )
    heavy = as_array(weights).expr
    kind = np.result_type(array.dtype, heavy.dtype, *(["f8"] if array.dtype.kind in "bium" else []))
    heavy = _weights_for(array, heavy, axis)
    product = wrap(
        elementwise(np.multiply, array, heavy, dtype=kind)
        if kind == np.result_type(array.dtype, heavy.dtype)
        else elementwise(_product, array, heavy, kind, dtype=kind)
    )
    from kask.array.ops.reductions_basic import sum as total_of

    scale_from = wrap(elementwise(_stretched, array, heavy, kind, dtype=kind))
    scale = total_of(scale_from, axis, keepdims=keepdims).expr
    top = total_of(product, axis, keepdims=keepdims).expr
    result = wrap(elementwise(_divided, top, scale, dtype=kind))
    return (result, wrap(scale)) if returned else result


def _weights_for(array: ArrayExpr, heavy: ArrayExpr, axis: Any) -> ArrayExpr:
    """The weights, with axes of one element where the array is not reduced."""
    if heavy.shape == array.shape:
        return heavy
    if axis is None:
        raise TypeError("Axis must be specified when shapes of a and weights differ.")
    from kask.array.ops.mapped import mapped
    from kask.array.ops.slicing import transposed
    from kask.engine import Chunks

    given = np.lib.array_utils.normalize_axis_tuple(axis, array.ndim)
    if heavy.shape != tuple(array.shape[one] for one in given):
        raise ValueError("Shape of weights must be consistent with shape of a along specified axis.")
    order = tuple(int(place) for place in np.argsort(given))
    heavy, places = transposed(heavy, order), sorted(given)
    chunks = Chunks.join(
        [heavy.chunks.axis(places.index(one)) if one in places else Chunks.whole([1]) for one in range(array.ndim)]
    )
    inserted = tuple([one for one in range(array.ndim) if one not in places])
    return mapped(
        np.expand_dims, heavy, reads=(tuple(places),), constants=(inserted,), chunks=chunks, dtype=heavy.dtype
    )


def _product(block: Any, weights: Any, dtype: Any) -> Any:
    return np.multiply(block, weights, dtype=dtype)


def _stretched(block: Any, weights: Any, dtype: Any) -> Any:
    return np.broadcast_to(weights, block.shape).astype(dtype)


def _divided(top: Any, scale: Any) -> Any:
    if np.any(scale == 0):
        raise ZeroDivisionError("Weights sum to zero, can't be normalized")
    return np.divide(top, scale)
