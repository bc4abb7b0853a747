"""Products of arrays: ``dot``, ``tensordot``, and relatives. ``products_gufuncs`` has ``matmul``, ``products_einsum`` has ``einsum``."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from kask.array.base import as_array, wrap
from kask.array.kernels.products import Tensordot, conjugated_dot
from kask.array.node import ArrayExpr
from kask.array.ops.contraction import contracted
from kask.array.ops.elementwise import elementwise
from kask.array.ops.gufuncs import apply_gufunc
from kask.array.ops.products_gufuncs import has_axes
from kask.array.ops.reductions import into
from kask.array.ops.reshaping import raveled, reshaped
from kask.array.ops.slicing import expanded, transposed

__all__ = ["cross", "dot", "inner", "kron", "outer", "tensordot", "vdot"]

normalize_axis_index = np.lib.array_utils.normalize_axis_index


def _last(array: ArrayExpr, axis: int) -> ArrayExpr:
    axis = normalize_axis_index(axis, array.ndim)
    return transposed(array, (*[at for at in range(array.ndim) if at != axis], axis))


def _tensordot(name: str, a: ArrayExpr, b: ArrayExpr, left: tuple[int, ...], right: tuple[int, ...]) -> ArrayExpr:
    if len(left) != len(right) or any(a.shape[ours] != b.shape[theirs] for ours, theirs in zip(left, right)):
        raise ValueError(
            f"{name}: shapes {a.shape} and {b.shape} do not fit along the axes {list(left)} and {list(right)}"
        )
    labels: list[list[Any]] = [[("a", at) for at in range(a.ndim)], [("b", at) for at in range(b.ndim)]]
    for ours, theirs in zip(left, right):
        labels[1][theirs] = labels[0][ours]
    out = [
        *[label for at, label in enumerate(labels[0]) if at not in left],
        *[label for at, label in enumerate(labels[1]) if at not in right],
    ]
    return contracted(Tensordot(left, right), [a, b], labels, out, np.result_type(a.dtype, b.dtype))


def tensordot(lhs: Any, rhs: Any, axes: Any = 2) -> Any:
    """Sums of products over some axes of two arrays.

    Parameters
    ----------
    lhs, rhs : array_like
        The arrays.
    axes : int or (ints, ints), optional
        How many of the last axes of the first go with the first axes of the second; or which axes of each.

    Returns
    -------
    Array
        The axes that are left of the first, and then those of the second.

    Raises
    ------
    ValueError
        Axes that are not as long as each other.

    Notes
    -----
    As in :func:`matmul`, with any number of contracted axes: each task multiplies one block by one block, and a tree adds the products (Agarwal
    and others, "A three-dimensional approach to parallel matrix multiplication", 1995).

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.tensordot(ka.ones((2, 3), chunks=1), ka.ones((3, 2), chunks=2), axes=1).compute()
    array([[3., 3.],
           [3., 3.]])
    """
    a, b = as_array(lhs).expr, as_array(rhs).expr
    if np.iterable(axes):
        ours, theirs = axes
        left = tuple([operator.index(axis) for axis in (ours if np.iterable(ours) else [ours])])
        right = tuple([operator.index(axis) for axis in (theirs if np.iterable(theirs) else [theirs])])
    else:
        count = operator.index(axes)
        if count > min(a.ndim, b.ndim):
            raise ValueError(f"tensordot: axes={axes} is more than the shapes {a.shape} and {b.shape} have")
        left, right = tuple(range(a.ndim - count, a.ndim)), tuple(range(max(count, 0)))
    left = tuple([normalize_axis_index(axis, a.ndim) for axis in left])
    right = tuple([normalize_axis_index(axis, b.ndim) for axis in right])
    if len(set(left)) != len(left) or len(set(right)) != len(right):
        raise ValueError(f"tensordot: axes={axes!r} names an axis twice")
    return wrap(_tensordot("tensordot", a, b, left, right))


def dot(a: Any, b: Any, out: Any = None) -> Any:
    """The dot product: of vectors their inner product, of matrices their product; otherwise sums over the last axis of ``a`` and the
    second-last of ``b``, or products of all elements where one has no axes.

    Parameters
    ----------
    a, b : array_like
        The arrays.
    out : Array, optional
        An array of the result's shape, which becomes the result.

    Returns
    -------
    Array

    Raises
    ------
    ValueError
        Shapes that do not fit; the message names both.

    Notes
    -----
    As in :func:`matmul` and :func:`tensordot`: each task multiplies one block by one block, and a tree adds the products.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.dot(ka.arange(4, chunks=2), ka.arange(4, chunks=3)).compute()
    np.int64(14)
    """
    left, right = as_array(a).expr, as_array(b).expr
    if not left.ndim or not right.ndim:
        return into(out, elementwise(np.multiply, left, right))
    return into(out, _tensordot("dot", left, right, (left.ndim - 1,), (max(right.ndim - 2, 0),)))


def inner(a: Any, b: Any) -> Any:
    """Sums of products over the last axes of both.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.inner(ka.arange(4, chunks=2), ka.arange(4, chunks=3)).compute()
    np.int64(14)
    """
    left, right = as_array(a).expr, as_array(b).expr
    if not left.ndim or not right.ndim:
        return wrap(elementwise(np.multiply, left, right))
    return wrap(_tensordot("inner", left, right, (left.ndim - 1,), (right.ndim - 1,)))


def vdot(a: Any, b: Any) -> Any:
    """The sum of the products of the first's conjugates and the second, over all elements in C order.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.vdot(ka.from_array([1j, 2]), ka.from_array([1, 1])).compute()
    np.complex128(2-1j)
    """
    left, right = as_array(a).expr, as_array(b).expr
    if left.shape != right.shape:
        left, right = raveled(left), raveled(right)
        if left.shape != right.shape:
            raise ValueError(f"vdot: {left.shape[0]} and {right.shape[0]} elements cannot be matched")
    labels = list(range(left.ndim))
    return wrap(contracted(_vdot, [left, right], [labels, labels], [], np.result_type(left.dtype, right.dtype)))


def _vdot(a: Any, b: Any) -> Any:
    return conjugated_dot(a.reshape(-1), b.reshape(-1))


def outer(a: Any, b: Any, out: Any = None) -> Any:
    """All products of an element of ``a`` and one of ``b``, each in C order.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.outer(ka.arange(3, chunks=2), ka.arange(2)).compute()
    array([[0, 0],
           [0, 1],
           [0, 2]])
    """
    left, right = raveled(as_array(a).expr), raveled(as_array(b).expr)
    dtype = np.multiply.resolve_dtypes((left.dtype, right.dtype, None))[-1]
    return into(out, contracted(np.multiply.outer, [left, right], [[0], [1]], [0, 1], dtype))


def kron(a: Any, b: Any) -> Any:
    """The Kronecker product: ``b`` in place of each element of ``a``, multiplied by it.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.kron(ka.from_array([1, 10], chunks=1), ka.ones(2, dtype=int)).compute()
    array([ 1,  1, 10, 10])
    """
    left, right = as_array(a).expr, as_array(b).expr
    ndim = max(left.ndim, right.ndim)
    left, right = [expanded(array, tuple(range(ndim - array.ndim))) for array in (left, right)]
    dtype = np.multiply.resolve_dtypes((left.dtype, right.dtype, None))[-1]
    labels = [[(side, axis) for axis in range(ndim)] for side in "ab"]
    order = tuple([place for axis in range(ndim) for place in (axis, ndim + axis)])
    products = contracted(np.multiply.outer, [left, right], labels, labels[0] + labels[1], dtype)
    shape = tuple([ours * theirs for ours, theirs in zip(left.shape, right.shape)])
    return wrap(reshaped(transposed(products, order), shape))


def cross(a: Any, b: Any, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None) -> Any:
    """Cross products of vectors of three elements (or two, which is a third 0 short).

    Parameters
    ----------
    a, b : array_like
        The vectors, along ``axisa`` and ``axisb``; other axes broadcast.
    axisa, axisb, axisc : int, optional
        Along which axis the vectors are, in ``a``, ``b`` and the result.
    axis : int, optional
        All three at once.

    Returns
    -------
    Array

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.cross(ka.from_array([1, 0, 0]), ka.from_array([0, 1, 0])).compute()
    array([0, 0, 1])
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    left, right = as_array(a).expr, as_array(b).expr
    has_axes("cross", left, right, 1, 1)
    left, right = _last(left, axisa), _last(right, axisb)
    lengths = left.shape[-1], right.shape[-1]
    if any(length not in (2, 3) for length in lengths):
        raise ValueError(f"cross: shapes {left.shape} and {right.shape}: vectors must have 2 or 3 elements")
    dtype = np.multiply.resolve_dtypes((left.dtype, right.dtype, None))[-1]
    if lengths == (2, 2):
        return apply_gufunc(np.cross, "(i),(i)->()", wrap(left), wrap(right), output_dtypes=dtype, allow_rechunk=True)
    result = apply_gufunc(
        np.cross,
        "(i),(j)->(k)",
        wrap(left),
        wrap(right),
        output_dtypes=dtype,
        output_sizes={"k": 3},
        allow_rechunk=True,
    ).expr
    place = normalize_axis_index(axisc, result.ndim)
    order = list(range(result.ndim - 1))
    order.insert(place, result.ndim - 1)
    return wrap(transposed(result, tuple(order)))
