"""Norms, ranks, powers, pseudo-inverses."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from kask.array.base import as_array, wrap
from kask.array.kernels import linalg as kernels
from kask.array.kernels.moments import roots
from kask.array.node import ArrayExpr
from kask.array.ops.elementwise import elementwise
from kask.array.ops.filling import cast
from kask.array.ops.linalg_factors import adjoint, in_lapack_type, matrices_of, matrix_of, product, real_of
from kask.array.ops.linalg_solving import blocked_inverse, inv
from kask.array.ops.linalg_stacks import of_each, stacked_singular_values
from kask.array.ops.linalg_svd import svd_of, values_of
from kask.array.ops.matrices import eye
from kask.array.ops.products_einsum import einsum
from kask.array.ops.products_gufuncs import matmul
from kask.array.ops.reductions_basic import _UNSET, _is_set
from kask.array.ops.reshaping import broadcast_to
from kask.array.ops.slicing import expanded, transposed
from kask.array.ops.ufuncs import isnan

__all__ = [
    "cond",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "multi_dot",
    "norm",
    "pinv",
    "vector_norm",
]

normalize_axis_tuple = np.lib.array_utils.normalize_axis_tuple


def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """A norm of vectors or matrices.

    Parameters
    ----------
    x : array_like
        The array.
    ord : optional
        Which norm. Of vectors: a number, ``inf`` or ``-inf``. Of matrices: 1, -1, 2, -2, ``inf``, ``-inf``, "fro" or "nuc". By default
        the square root of the sum of squares.
    axis : int or (int, int), optional
        The axis of the vectors, or those of the matrices; by default all, and the whole array is one vector if ``ord`` is not given.
    keepdims : bool, optional
        Whether those axes stay, with one element.

    Returns
    -------
    Array

    Raises
    ------
    ValueError
        A norm that there is not, or axes that fit no norm.

    Notes
    -----
    Those of sums are trees. 2, -2 and "nuc" need singular values: of an array of two axes as :func:`svdvals` makes them, of stacks each
    matrix by one task.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.linalg.norm(ka.from_array([3.0, 4.0], chunks=1)).compute()
    np.float64(5.0)
    """
    array = _inexact(as_array(x).expr)
    if axis is None:
        if ord is None or (ord in ("f", "fro") and array.ndim == 2) or (ord == 2 and array.ndim == 1):
            return _square_root_of_squares(array, None, keepdims)
        axes = tuple(range(array.ndim))
    else:
        axes = normalize_axis_tuple(axis, array.ndim)
    if len(axes) == 1:
        return _vector(array, ord, axes, keepdims)
    if len(axes) == 2:
        return _matrix(array, ord, axes, keepdims)
    raise ValueError(
        f"norm: {len(axes)} axes of an array of shape {array.shape} fit no norm; give one or two, or no ord"
    )


def _inexact(array: ArrayExpr) -> ArrayExpr:
    """The array, as floats if it is of anything that NumPy takes for numbers: times count their units, texts are read."""
    if array.dtype.kind in "fcO":
        return array
    if array.dtype.kind not in "biumMSU":
        raise TypeError(f"norm: there are no norms of arrays of type {array.dtype}")
    return cast(array, np.float64)


def _square_root_of_squares(array: ArrayExpr, axes: Any, keepdims: bool) -> Any:
    squares = wrap(elementwise(kernels.squares, array)).sum(axis=axes, keepdims=keepdims)
    return wrap(elementwise(roots if array.dtype.kind == "O" else np.sqrt, squares.expr))


def _vector(array: ArrayExpr, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    how = {"axis": axes, "keepdims": keepdims}
    if ord is None or ord == 2:
        return _square_root_of_squares(array, axes, keepdims)
    if isinstance(ord, str):
        raise ValueError(f"Invalid norm order {ord!r} for vectors")
    size = wrap(elementwise(np.abs, array))
    if ord == np.inf:
        return _largest(size, axes, keepdims)
    if ord == -np.inf:
        return size.min(**how)
    if ord == 0:
        return wrap(elementwise(_is_not_zero, array, size.dtype, dtype=size.dtype)).sum(**how)
    if ord == 1:
        return size.sum(**how)
    total = (size**ord).sum(**how)
    return total ** np.reciprocal(ord, dtype=total.dtype)


def _largest(sizes: Any, axes: tuple[int, ...], keepdims: bool = False) -> Any:
    """The largest of numbers that are not negative: 0 where there are none, as in NumPy."""
    options = {"initial": 0} if any(sizes.shape[axis] == 0 for axis in axes) else {}
    return sizes.max(axis=axes, keepdims=keepdims, **options)


def _is_not_zero(block: Any, dtype: Any) -> Any:
    return (block != 0).astype(dtype)


def _matrix(array: ArrayExpr, ord: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    if axes[0] == axes[1]:
        raise ValueError(f"norm: axis={axes} names an axis twice")
    if ord in (None, "fro", "f"):
        return _square_root_of_squares(array, axes, keepdims)
    if isinstance(ord, str) and ord != "nuc":
        raise ValueError(f"Invalid norm order {ord!r} for matrices")
    if ord in (1, -1, np.inf, -np.inf):
        added, compared = axes if abs(ord) == 1 else axes[::-1]
        sums = wrap(elementwise(np.abs, array)).sum(axis=added, keepdims=True)
        result = _largest(sums, (compared,), True) if ord > 0 else sums.min(axis=compared, keepdims=True)
    elif ord in (2, -2, "nuc"):
        values = wrap(_singular_values(array, axes))
        result = values.sum(axis=-1) if ord == "nuc" else _largest(values, (-1,)) if ord > 0 else values.min(axis=-1)
        return wrap(expanded(result.expr, tuple(sorted(axes)))) if keepdims else result
    else:
        raise ValueError(f"Invalid norm order {ord!r} for matrices")
    return result if keepdims else result.squeeze(axis=axes)


def _singular_values(array: ArrayExpr, axes: tuple[int, ...]) -> ArrayExpr:
    """Singular values along a last axis."""
    others = [axis for axis in range(array.ndim) if axis not in axes]
    array = transposed(array, (*others, *axes))
    if array.ndim == 2:
        return values_of(matrix_of(wrap(array), "norm"))
    return stacked_singular_values(in_lapack_type(array, "norm"))


def vector_norm(x: Any, /, *, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:
    """A norm of vectors, which may be along several axes: the namesake of NumPy's.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.linalg.vector_norm(ka.ones((2, 2), chunks=1)).compute()
    np.float64(2.0)
    """
    array = _inexact(as_array(x).expr)
    axes = tuple(range(array.ndim)) if axis is None else normalize_axis_tuple(axis, array.ndim)
    return _vector(array, ord, axes, keepdims)


def matrix_norm(x: Any, /, *, keepdims: bool = False, ord: Any = "fro") -> Any:
    """A norm of the matrices that the last two axes are.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.linalg.matrix_norm(ka.ones((2, 2), chunks=1)).compute()
    np.float64(2.0)
    """
    return norm(x, ord=ord, axis=(-2, -1), keepdims=keepdims)


def cond(x: Any, p: Any = None) -> Any:
    """The condition number of a matrix, or of each matrix of a stack, in a norm: by default the largest singular value divided by the smallest.

    Notes
    -----
    Of singular matrices it is infinite.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.linalg.cond(ka.from_array([[2.0, 0.0], [0.0, 4.0]], chunks=(1, 2))).round(6).compute()
    np.float64(2.0)
    """
    array = in_lapack_type(as_array(x).expr, "cond")
    if array.ndim < 2:
        raise ValueError(f"cond: a matrix is wanted, but the array has the shape {array.shape}")
    if p in (None, 2, -2):
        values = wrap(_singular_values(array, (array.ndim - 2, array.ndim - 1)))
        ratio = values[..., -1] / values[..., 0] if p == -2 else values[..., 0] / values[..., -1]
        has_nan = isnan(wrap(array)).any(axis=(-2, -1))
        return wrap(elementwise(_nothing_by_nothing, ratio.expr, has_nan.expr, dtype=ratio.dtype))
    if array.ndim > 2 or array.chunks.is_single:
        return wrap(of_each(np.linalg.cond, array, [()], [real_of(array.dtype)], p=p)[0])
    inverse = wrap(blocked_inverse(array, "cond", refuses=False))
    product = matrix_norm(x, ord=p) * matrix_norm(inverse, ord=p)
    has_nan = isnan(wrap(array)).any()
    return wrap(elementwise(_nothing_by_nothing, product.expr, has_nan.expr, dtype=product.dtype))


def _nothing_by_nothing(ratio: Any, has_nan: Any) -> Any:
    return np.where(np.isnan(ratio) & ~has_nan, np.inf, ratio).astype(ratio.dtype)


def matrix_rank(A: Any, tol: Any = None, hermitian: bool = False, *, rtol: Any = None) -> Any:
    """How many singular values are greater than ``tol`` (or ``rtol`` times the largest).

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.linalg.matrix_rank(ka.ones((4, 2), chunks=2)).compute()
    np.int64(1)
    """
    array = as_array(A)
    if tol is not None and rtol is not None:
        raise ValueError("matrix_rank: `tol` and `rtol` can't be both set")
    if array.ndim < 2:
        return wrap(elementwise(_is_not_zero, array.expr, np.int64, dtype=np.int64)).max()
    expr = in_lapack_type(array.expr, "matrix_rank")
    values = wrap(_singular_values(expr, (expr.ndim - 2, expr.ndim - 1)))
    if tol is None:
        factor = max(array.shape[-2:]) * np.finfo(values.dtype).eps if rtol is None else as_array(rtol)[..., None]
        tol = _largest(values, (-1,), True) * factor
    else:
        tol = as_array(tol)[..., None]
    return (values > tol).sum(axis=-1)


def matrix_power(a: Any, n: int) -> Any:
    """A square matrix multiplied by itself so often, by repeated squaring; of the inverse if ``n`` is negative.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.linalg.matrix_power(ka.from_array([[1, 1], [0, 1]], chunks=1), 5).compute()
    array([[1, 5],
           [0, 1]])
    """
    array = as_array(a)
    if array.ndim < 2 or array.shape[-1] != array.shape[-2]:
        raise np.linalg.LinAlgError(
            f"matrix_power: square matrices are wanted, but the array has the shape {array.shape}"
        )
    n = operator.index(n)
    if n == 0:
        from kask.array.ops.filling import zeros_like

        return zeros_like(array) + eye(array.shape[-1], dtype=array.dtype)
    base = inv(array) if n < 0 else array
    n, result = abs(n), None
    while True:
        if n % 2:
            result = base if result is None else matmul(result, base)
        n //= 2
        if not n:
            return result
        base = matmul(base, base)


def multi_dot(arrays: Any, *, out: Any = None) -> Any:
    """The product of several matrices, in the cheapest order; the first and the last may be vectors.

    Examples
    --------
    >>> import kask.array as ka
    >>> x = ka.from_array([[1, 1], [0, 1]], chunks=1)
    >>> ka.linalg.multi_dot([x, x, x]).compute()
    array([[1, 3],
           [0, 1]])
    """
    matrices = [as_array(array) for array in arrays]
    if len(matrices) < 2:
        raise ValueError(f"multi_dot: two arrays at least are wanted, got {len(matrices)}")
    last = len(matrices) - 1
    for at, matrix in enumerate(matrices):
        if matrix.ndim != 2 and not (matrix.ndim == 1 and at in (0, last)):
            raise np.linalg.LinAlgError(f"{matrix.ndim}-dimensional array given. Array must be two-dimensional")
    args: list[Any] = []
    for at, matrix in enumerate(matrices):
        is_column = matrix.ndim == 1 and at == last
        args.extend([matrix, [at] if is_column else [at + 1] if matrix.ndim == 1 else [at, at + 1]])
    kept = ([0] if matrices[0].ndim == 2 else []) + ([last + 1] if matrices[-1].ndim == 2 else [])
    return einsum(*args, kept, optimize="optimal" if last < 5 else "greedy", out=out)


def pinv(a: Any, rcond: Any = None, hermitian: bool = False, *, rtol: Any = _UNSET) -> Any:
    """The pseudo-inverse of a matrix, by :func:`svd`: singular values less than ``rcond`` times the largest are taken for 0. Of a stack each
    matrix is in one task.

    Parameters
    ----------
    a : array_like
        A matrix, or a stack of them along the last two axes.
    rcond, rtol : float or array_like, optional
        Two names of one thing; an array has one for each matrix of the stack, or broadcasts to that. By default the larger side
        times the precision of the type; of a stack 1e-15, as in NumPy, unless ``rtol`` is None.
    hermitian : bool, optional
        Whether the matrices equal their own adjoints.

    Returns
    -------
    Array
        Of the shape of ``a`` with the last two axes exchanged.

    Raises
    ------
    ValueError
        Both are given, or their shape does not fit the stack.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.linalg.pinv(ka.ones((4, 1), chunks=(2, 1))).round(6).compute()
    array([[0.25, 0.25, 0.25, 0.25]])
    """
    if rcond is not None and _is_set(rtol):
        raise ValueError("pinv: `rtol` and `rcond` can't be both set")
    array = matrices_of(a, "pinv")
    name, least = ("rcond", rcond) if rcond is not None else ("rtol", rtol)
    is_default = least is None or not _is_set(least)
    if not is_default:
        least = _one_for_each(as_array(least), array, name)
    if array.ndim > 2:
        shape, each = array.shape[:-3:-1], () if is_default else (least,)
        # NumPy tells itself what it takes if nothing is said.
        options = {"rtol": None} if rtol is None and is_default else {}
        return wrap(of_each(np.linalg.pinv, array, [shape], [array.dtype], each, hermitian=hermitian, **options)[0])
    u, s, v = svd_of(array)
    if is_default:
        least = max(array.shape) * np.finfo(s.dtype).eps
    values = wrap(s)
    if not min(array.shape):
        return wrap(adjoint(array))
    inverted = wrap(elementwise(_inverted, s, (values.max() * least).expr, dtype=s.dtype))
    scaled = wrap(adjoint(v)) * inverted
    return wrap(product(scaled.expr, adjoint(u)))


def _one_for_each(least: Any, array: ArrayExpr, name: str) -> Any:
    """Relative tolerances, of which each matrix of a stack has its own."""
    stack = array.shape[:-2]
    try:
        fits = np.broadcast_shapes(least.shape, stack) == stack
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"pinv: {name}= has the shape {least.shape}, which does not broadcast to the {stack} of the stack of matrices"
        )
    return broadcast_to(least, stack)


def _inverted(values: Any, least: Any) -> Any:
    large = values > least
    return np.divide(1, values, where=large, out=np.zeros_like(values))
