"""Products that are ufuncs in NumPy: ``matmul``, ``matvec``, ``vecmat`` and ``vecdot``, with the keywords that ufuncs take."""

from __future__ import annotations

from typing import Any

import numpy as np

from kask.array.base import as_array, wrap
from kask.array.node import ArrayExpr
from kask.array.ops.contraction import contracted
from kask.array.ops.filling import cast, checked_order
from kask.array.ops.gufuncs import _axes_last, _Places
from kask.array.ops.ufunc_calls import replace
from kask.keywords import refuse_unknown

__all__ = ["matmul", "matvec", "vecdot", "vecmat"]


def _batch(func: Any, a: ArrayExpr, b: ArrayExpr, left: str, right: str, out: str) -> ArrayExpr:
    """A product over the last axes, named by letters, at each place of the axes before them, which broadcast."""
    depth = max(a.ndim - len(left), b.ndim - len(right))
    labels = [[*range(depth - (array.ndim - len(core)), depth), *core] for array, core in ((a, left), (b, right))]
    dtype = func.resolve_dtypes((a.dtype, b.dtype, None))[-1]
    (summed,) = set(left) & set(right) - set(out)
    ours, theirs = a.shape[a.ndim - len(left) + left.index(summed)], b.shape[b.ndim - len(right) + right.index(summed)]
    if ours != theirs:
        raise ValueError(
            f"{func.__name__}: shapes {a.shape} and {b.shape} do not fit: {ours} elements cannot be matched with {theirs}"
        )
    return contracted(func, [a, b], labels, [*range(depth), *out], dtype)


def _product(
    func: Any,
    arrays: list[ArrayExpr],
    cores: list[str],
    *,
    out: Any = None,
    dtype: Any = None,
    casting: Any = "same_kind",
    signature: Any = None,
    axes: Any = None,
    axis: Any = None,
    keepdims: bool = False,
    order: Any = "K",
    subok: Any = True,
    **unknown: Any,
) -> Any:
    """``func`` of two arrays, with the core axes of these and of the result named by letters."""
    refuse_unknown(func.__name__, unknown, ["out", "dtype", "casting", "signature", "axes", "order", "subok"])
    checked_order(order)
    if dtype is not None and signature is not None:
        raise TypeError(f"{func.__name__}: give either dtype= or signature=")
    wanted = signature or (None, None, None if dtype is None else np.dtype(dtype))
    *kinds, _ = func.resolve_dtypes((*[array.dtype for array in arrays], None), signature=wanted, casting=casting)
    if dtype is not None or signature is not None:
        arrays = [cast(array, kind) for array, kind in zip(arrays, kinds)]
    left, right, core = cores
    places = _Places([tuple(left), tuple(right)], [tuple(core)], axes, axis, keepdims)
    a, b = [_axes_last(array, at) for array, at in zip(arrays, places.inputs)]
    found = _batch(func, a, b, left, right, core)
    result = wrap(places.finished(found, 0, found.shape[found.ndim - len(core) :]))
    return result if out is None else replace(out, result, casting)


def has_axes(name: str, a: ArrayExpr, b: ArrayExpr, ours: int, theirs: int) -> None:
    """Refuse arrays of fewer axes than a product needs."""
    if a.ndim < ours or b.ndim < theirs:
        raise ValueError(
            f"{name}: shapes {a.shape} and {b.shape} have too few axes; it needs {ours} and {theirs} at least"
        )


def matmul(
    a: Any,
    b: Any,
    *,
    out: Any = None,
    dtype: Any = None,
    axes: Any = None,
    casting: Any = "same_kind",
    signature: Any = None,
    order: Any = "K",
    subok: Any = True,
) -> Any:
    """The product of matrices, or of stacks of them.

    Parameters
    ----------
    a, b : array_like
        Of shapes ``(..., m, k)`` and ``(..., k, n)``, where the axes before broadcast; an array of one axis is a row on the left and a
        column on the right.
    out : Array, optional
        An array of the result's shape, which becomes the result.
    dtype : data-type, optional
        The type in which is multiplied.
    axes : list of tuple of int, optional
        Where the axes of the matrices are: in ``a``, ``b`` and the result.
    casting : str
        Which casts to the type in which is multiplied are allowed, as for :func:`numpy.can_cast`.
    signature : str or tuple of data-type, optional
        The types of both arrays and of the result, in place of ``dtype``.
    order, subok
        Accepted.

    Returns
    -------
    Array

    Raises
    ------
    ValueError
        Shapes that do not fit; the message names both.
    TypeError
        A cast that is not allowed.

    Notes
    -----
    Blocks are multiplied on a grid of three kinds of axes, those of either operand and the contracted ones, and added along the last
    (Agarwal and others, "A three-dimensional approach to parallel matrix multiplication", 1995): each task multiplies one block by one
    block, and a tree adds the products. Thin blocks along the contracted axis are put together first, up to 32 MiB or the size of their
    product, and the result is cut finer where there would be too little to do at the same time. Tasks of one process share the threads of the BLAS, if threadpoolctl is installed.

    Examples
    --------
    >>> import kask.array as ka
    >>> x = ka.from_array([[1, 2], [3, 4]], chunks=1)
    >>> ka.matmul(x, x).compute()
    array([[ 7, 10],
           [15, 22]])
    >>> ka.matmul(ka.ones((2, 3, 4)), ka.ones((3, 5, 4)), axes=[(0, 1), (0, 1), (0, 1)]).shape
    (2, 5, 4)
    """
    left, right = as_array(a).expr, as_array(b).expr
    if not left.ndim or not right.ndim:
        raise ValueError(
            f"matmul: shapes {left.shape} and {right.shape}: arrays without axes cannot be multiplied so; use *"
        )
    ours, theirs = ("ik" if left.ndim > 1 else "k"), ("kj" if right.ndim > 1 else "k")
    return _product(
        np.matmul,
        [left, right],
        [ours, theirs, (ours + theirs).replace("k", "")],
        out=out,
        dtype=dtype,
        axes=axes,
        casting=casting,
        signature=signature,
        order=order,
        subok=subok,
    )


def matvec(x1: Any, x2: Any, *, out: Any = None, **kwargs: Any) -> Any:
    """Matrices times vectors: shapes ``(..., m, n)`` and ``(..., n)`` give ``(..., m)``.

    Parameters
    ----------
    x1, x2 : array_like
        The matrices and the vectors.
    out, **kwargs
        As for :func:`matmul`.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.matvec(ka.ones((2, 3), chunks=2), ka.arange(3)).compute()
    array([3., 3.])
    """
    left, right = as_array(x1).expr, as_array(x2).expr
    has_axes("matvec", left, right, 2, 1)
    return _product(np.matvec, [left, right], ["ik", "k", "i"], out=out, **kwargs)


def vecmat(x1: Any, x2: Any, *, out: Any = None, **kwargs: Any) -> Any:
    """Conjugates of vectors times matrices: shapes ``(..., n)`` and ``(..., n, m)`` give ``(..., m)``.

    Parameters
    ----------
    x1, x2 : array_like
        The vectors and the matrices.
    out, **kwargs
        As for :func:`matmul`.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.vecmat(ka.arange(3), ka.ones((3, 2), chunks=2)).compute()
    array([3., 3.])
    """
    left, right = as_array(x1).expr, as_array(x2).expr
    has_axes("vecmat", left, right, 1, 2)
    return _product(np.vecmat, [left, right], ["k", "kj", "j"], out=out, **kwargs)


def vecdot(x1: Any, x2: Any, axis: int | None = None, *, keepdims: bool = False, out: Any = None, **kwargs: Any) -> Any:
    """Sums of products of the first's conjugates and the second, along an axis.

    Parameters
    ----------
    x1, x2 : array_like
        The arrays.
    axis : int, optional
        Along which axis of both, by default the last.
    keepdims : bool
        Whether the result keeps it, with one element.
    out, **kwargs
        As for :func:`matmul`.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.vecdot(ka.ones((2, 3), chunks=2), ka.arange(3)).compute()
    array([3., 3.])
    """
    left, right = as_array(x1).expr, as_array(x2).expr
    has_axes("vecdot", left, right, 1, 1)
    return _product(np.vecdot, [left, right], ["k", "k", ""], axis=axis, keepdims=keepdims, out=out, **kwargs)
