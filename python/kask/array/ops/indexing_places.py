"""Where elements are: ``argwhere``, ``nonzero``, ``flatnonzero``, ``unravel_index``, ``ravel_multi_index``."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from kask.array.base import ArrayBase, as_array, as_expr, wrap
from kask.array.kernels import edits as kernels
from kask.array.node import ArrayExpr
from kask.array.ops.elementwise import elementwise
from kask.array.ops.masks import places
from kask.array.ops.reshaping import raveled
from kask.array.ops.slicing import expanded

__all__ = ["argwhere", "flatnonzero", "nonzero", "ravel_multi_index", "unravel_index"]


def argwhere(a: Any) -> Any:
    """The places of the elements that are not zero.

    Parameters
    ----------
    a : array_like
        Any array.

    Returns
    -------
    Array of int64, shape (N, a.ndim)
        A row for each, in C order. N is found while running.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.argwhere(ka.from_array([[0, 3], [5, 0]], chunks=1)).compute()
    array([[0, 1],
           [1, 0]])
    """
    array = as_array(a).expr
    if array.ndim == 0:
        return wrap(places(expanded(array, (0,))))[:, :0]
    return wrap(places(array))


def nonzero(a: Any) -> tuple[Any, ...]:
    """The places of the elements that are not zero, axis by axis.

    Parameters
    ----------
    a : array_like
        With one axis or more.

    Returns
    -------
    tuple of Array
        For each axis the places along it, in C order. How many there are is found while running.

    Raises
    ------
    ValueError
        An array without axes.

    Examples
    --------
    >>> import kask, kask.array as ka
    >>> kask.compute(*ka.nonzero(ka.from_array([[0, 3], [5, 0]], chunks=1)))
    (array([0, 1]), array([1, 0]))
    """
    array = as_array(a)
    if array.ndim == 0:
        raise ValueError("Calling nonzero on 0d arrays is not allowed. Use np.atleast_1d(scalar).nonzero() instead.")
    rows = wrap(places(array.expr))
    return tuple([rows[:, axis] for axis in range(array.ndim)])


def flatnonzero(a: Any) -> Any:
    """The numbers, in C order, of the elements that are not zero.

    Parameters
    ----------
    a : array_like
        Any array.

    Returns
    -------
    Array of int64
        How many there are is found while running.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.flatnonzero(ka.from_array([[0, 3], [5, 0]], chunks=1)).compute()
    array([1, 2])
    """
    return wrap(places(raveled(as_array(a).expr)))[:, 0]


def unravel_index(indices: Any, shape: Any, order: str = "C") -> tuple[Any, ...]:
    """Numbers of elements as coordinates.

    Parameters
    ----------
    indices : array_like of int
        Numbers of elements of an array of this shape.
    shape : tuple of int
        The shape.
    order : {"C", "F"}
        In which order elements are numbered.

    Returns
    -------
    tuple of Array
        For each axis of ``shape`` the coordinate along it.

    Raises
    ------
    ValueError
        When it is computed: a number is beyond the shape.

    Examples
    --------
    >>> import kask, kask.array as ka
    >>> kask.compute(*ka.unravel_index(ka.from_array([1, 5], chunks=1), (3, 4)))
    (array([0, 1]), array([1, 1]))
    """
    shape = (operator.index(shape),) if not isinstance(shape, tuple | list) else tuple(map(operator.index, shape))
    _check_order(order)
    array = as_array(indices).expr
    if array.dtype.kind not in "biu" and math.prod(array.shape):
        raise TypeError(f"indices= must be integers, not {array.dtype}")
    return tuple(
        [wrap(elementwise(kernels.unraveled, array, shape, order, axis, dtype=np.intp)) for axis in range(len(shape))]
    )


def _check_order(order: str) -> None:
    if order not in ("C", "F"):
        raise ValueError(f"order= must be 'C' or 'F', not {order!r}")


def ravel_multi_index(multi_index: Any, dims: Any, mode: Any = "raise", order: str = "C") -> Any:
    """Coordinates as numbers of elements.

    Parameters
    ----------
    multi_index : tuple of array_like of int, or Array
        For each axis of ``dims`` the coordinate along it; in an array these are along its first axis.
    dims : tuple of int
        The shape of the array whose elements are numbered.
    mode : {"raise", "wrap", "clip"} or tuple of them
        What to do about coordinates beyond the shape.
    order : {"C", "F"}
        In which order elements are numbered.

    Returns
    -------
    Array of int64

    Raises
    ------
    ValueError
        There are not as many coordinates as axes; when it is computed: a coordinate is beyond the shape.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.ravel_multi_index((ka.from_array([0, 1], chunks=1), [1, 1]), (3, 4)).compute()
    array([1, 5])
    """
    dims = (operator.index(dims),) if not isinstance(dims, tuple | list) else tuple(map(operator.index, dims))
    _check_order(order)
    if isinstance(multi_index, ArrayBase | np.ndarray):
        whole: Any = multi_index
        multi_index = [whole[axis] for axis in range(len(whole))]
    if len(multi_index) != len(dims):
        raise ValueError(f"parameter multi_index must be a sequence of length {len(dims)}")
    exprs = [as_expr(index) for index in multi_index]
    for expr in exprs:
        kind = np.asarray(expr).dtype.kind if not isinstance(expr, ArrayExpr) else expr.dtype.kind
        if kind not in "iu":
            raise TypeError("only int indices permitted")
    if not any(isinstance(expr, ArrayExpr) for expr in exprs):
        exprs[0] = as_array(exprs[0]).expr
    mode = tuple(mode) if isinstance(mode, list) else mode
    return wrap(elementwise(kernels.flat_index, dims, mode, order, *exprs, dtype=np.intp))
