"""Axes in another order or number: ``transpose``, ``moveaxis``, ``atleast_2d``."""

from __future__ import annotations

from typing import Any

import numpy as np

from kask.array.base import as_array, wrap
from kask.array.ops.slicing import expanded, transposed

__all__ = [
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "matrix_transpose",
    "moveaxis",
    "permute_dims",
    "rollaxis",
    "swapaxes",
    "transpose",
]

normalize_axis_index = np.lib.array_utils.normalize_axis_index
normalize_axis_tuple = np.lib.array_utils.normalize_axis_tuple


def transpose(a: Any, axes: Any = None) -> Any:
    """The array with its axes in another order, by default turned around.

    Parameters
    ----------
    a : array
        What is transposed.
    axes : tuple of int, optional
        Axis ``i`` of the result is axis ``axes[i]`` of the array.

    Raises
    ------
    ValueError
        ``axes`` does not name each axis once.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.transpose(ka.ones((2, 3, 4)), (1, 0, 2)).shape
    (3, 2, 4)
    """
    a = as_array(a)
    order = tuple(range(a.ndim))[::-1] if axes is None else normalize_axis_tuple(axes, a.ndim, allow_duplicate=True)
    if len(set(order)) < len(order):
        raise ValueError(f"axes={axes} name an axis twice; each of the {a.ndim} axes must be named once")
    if len(order) != a.ndim:
        raise ValueError(f"axes={axes} does not name each of the {a.ndim} axes once")
    return wrap(transposed(a.expr, tuple(order)))


def permute_dims(a: Any, axes: Any = None) -> Any:
    """The name that the array API standard has for :func:`transpose`.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.permute_dims(ka.ones((2, 3)), (1, 0)).shape
    (3, 2)
    """
    return transpose(a, axes)


def matrix_transpose(x: Any) -> Any:
    """The array with its last two axes swapped.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.matrix_transpose(ka.ones((2, 3, 4))).shape
    (2, 4, 3)
    """
    x = as_array(x)
    if x.ndim < 2:
        raise ValueError(f"a matrix has two axes at least, this array has {x.ndim}")
    return swapaxes(x, -1, -2)


def moveaxis(a: Any, source: Any, destination: Any) -> Any:
    """The array with some axes moved to other places; the others keep their order.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.moveaxis(ka.ones((2, 3, 4)), 0, -1).shape
    (3, 4, 2)
    """
    a = as_array(a)
    source, destination = normalize_axis_tuple(source, a.ndim), normalize_axis_tuple(destination, a.ndim)
    if len(source) != len(destination):
        raise ValueError(f"source={source} and destination={destination} must have as many axes")
    order = [axis for axis in range(a.ndim) if axis not in source]
    for place, axis in sorted(zip(destination, source)):
        order.insert(place, axis)
    return transpose(a, tuple(order))


def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    """The array with an axis moved in front of what is now axis ``start``.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.rollaxis(ka.ones((2, 3, 4)), 2).shape
    (4, 2, 3)
    """
    a = as_array(a)
    axis = normalize_axis_index(axis, a.ndim)
    if not -a.ndim <= start <= a.ndim:
        raise np.exceptions.AxisError(f"start={start}, but it must be from {-a.ndim} to {a.ndim}")
    start = start + a.ndim if start < 0 else start
    start -= axis < start
    order = [place for place in range(a.ndim) if place != axis]
    order.insert(start, axis)
    return transpose(a, tuple(order))


def swapaxes(a: Any, axis1: int, axis2: int) -> Any:
    """The array with two axes swapped.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.swapaxes(ka.ones((2, 3, 4)), 0, 2).shape
    (4, 3, 2)
    """
    a = as_array(a)
    axis1, axis2 = normalize_axis_index(axis1, a.ndim), normalize_axis_index(axis2, a.ndim)
    order = list(range(a.ndim))
    order[axis1], order[axis2] = axis2, axis1
    return transpose(a, tuple(order))


def _atleast(arys: tuple[Any, ...], ndim: int) -> Any:
    found = []
    for ary in arys:
        expr = as_array(ary).expr
        if ndim == 3 and expr.ndim in (1, 2):
            # NumPy puts the rows of a matrix first.
            expr = expanded(expr, (0, 2) if expr.ndim == 1 else (2,))
        found.append(wrap(expanded(expr, tuple(range(max(0, ndim - expr.ndim))))))
    return found[0] if len(found) == 1 else tuple(found)


def atleast_1d(*arys: Any) -> Any:
    """Arrays with one axis at least.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.atleast_1d(3).shape
    (1,)
    """
    return _atleast(arys, 1)


def atleast_2d(*arys: Any) -> Any:
    """Arrays with two axes at least; new ones are put in front.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.atleast_2d(ka.ones(3)).shape
    (1, 3)
    """
    return _atleast(arys, 2)


def atleast_3d(*arys: Any) -> Any:
    """Arrays with three axes at least: a row of ``n`` becomes ``(1, n, 1)``, a matrix ``(m, n, 1)``.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.atleast_3d(ka.ones(3)).shape
    (1, 3, 1)
    """
    return _atleast(arys, 3)
