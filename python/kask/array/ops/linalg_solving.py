"""LU, Cholesky, systems of equations, inverses, determinants, least squares."""

from __future__ import annotations

import functools
import math
from typing import Any, NamedTuple

import numpy as np

from kask.array.base import as_array, wrap
from kask.array.kernels import linalg as kernels
from kask.array.node import ArrayExpr
from kask.array.ops import linalg_blocked as blocked
from kask.array.ops import linalg_panels as panels
from kask.array.ops.elementwise import elementwise
from kask.array.ops.filling import cast
from kask.array.ops.gufuncs import apply_gufunc
from kask.array.ops.linalg_factors import adjoint, in_lapack_type, matrix_of, nth_of, one_task, product, tall_qr
from kask.array.ops.linalg_stacks import real_of, stacked, warn_of_one_task
from kask.array.ops.matrices import eye
from kask.array.ops.rechunk import rechunked
from kask.array.ops.reductions_basic import prod
from kask.array.ops.slicing import expanded, squeezed
from kask.engine import Chunks

__all__ = ["cholesky", "det", "inv", "lstsq", "lu", "slogdet", "solve", "solve_triangular"]


class SlogdetResult(NamedTuple):
    """What :func:`slogdet` gives."""

    sign: Any
    logabsdet: Any


def lu(a: Any) -> tuple[Any, Any, Any]:
    """The factors P, L, U of a square matrix: ``a = P L U``, as :func:`scipy.linalg.lu` has them.

    Parameters
    ----------
    a : array_like
        A square matrix ``(n, n)``.

    Returns
    -------
    (Array, Array, Array)
        A permutation, L with ones on the diagonal and nothing larger below it (of complex numbers nothing larger than the root of 2, since
        LAPACK compares ``abs(real) + abs(imag)``), and U. Both axes of all are cut alike.

    Raises
    ------
    ValueError
        A matrix that is not square.

    Notes
    -----
    Gaussian elimination with partial pivoting over whole columns, right-looking by block columns (Golub, Van Loan, "Matrix computations",
    section 3.4.1). A task reads all rows of two block columns, and makes those of one; where such a column would have more than the bytes of a block
    (``array.chunk_size_bytes``), it is cut narrower. The pivots do not depend on chunks, but where two candidates are equal but for
    rounding. A singular matrix has factors as well. Needs SciPy.

    Examples
    --------
    >>> import kask.array as ka
    >>> p, l, u = ka.linalg.lu(ka.from_array([[1.0, 2.0], [3.0, 4.0]], chunks=2))
    >>> (p @ l @ u).compute()
    array([[1., 2.],
           [3., 4.]])
    """
    array = blocked.square_cuts(matrix_of(a, "lu"), "lu")
    rows, dtype = array.shape[0], array.dtype
    if not rows:
        return wrap(array), wrap(array), wrap(array)
    steps = panels.lu_panels(array)
    order, *later = panels.orders(steps, rows)
    lower = panels.lower_factor(steps, later, array.chunks, dtype)
    upper = rechunked(panels.upper_factor(steps, rows, dtype), array.chunks)
    return wrap(panels.permutation(order, array.chunks, dtype)), wrap(lower), wrap(upper)


def cholesky(a: Any, lower: bool = False, *, upper: bool | None = None) -> Any:
    """The Cholesky factor of a Hermitian positive-definite matrix.

    Parameters
    ----------
    a : array_like
        A matrix ``(n, n)``, of which the lower triangle is looked at; or a stack of matrices, each of which one task factors.
    lower : bool, optional
        Whether to give L, where ``a = L Lᴴ``; by default U, where ``a = Uᴴ U``.
    upper : bool, optional
        As NumPy has it; the opposite of ``lower``.

    Returns
    -------
    Array

    Raises
    ------
    ValueError
        A matrix that is not square.
    numpy.linalg.LinAlgError
        When computed: a matrix that is not positive-definite.

    Notes
    -----
    Blocked, right-looking (Golub, Van Loan, "Matrix computations", section 4.2.6). In contrast to NumPy the upper factor is the default, as
    in Dask and SciPy.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.linalg.cholesky(ka.from_array([[4.0, 2.0], [2.0, 5.0]], chunks=1), lower=True).compute()
    array([[2., 0.],
           [1., 2.]])
    """
    if upper is not None:
        lower = not upper
    array = as_array(a).expr
    if array.ndim > 2:
        array = in_lapack_type(array, "cholesky")
        return wrap(stacked(np.linalg.cholesky, array, [(0, array.dtype)], upper=not lower)[0])
    factor = blocked.cholesky_factor(blocked.square_cuts(matrix_of(a, "cholesky"), "cholesky"))
    return wrap(factor if lower else adjoint(factor))


def _right_side(a: ArrayExpr, b: Any, name: str) -> tuple[ArrayExpr, bool]:
    """The right-hand side as columns, its rows cut like those of the matrix, and whether it was a vector."""
    right = in_lapack_type(as_array(b).expr, name)
    if right.ndim not in (1, 2) or right.shape[0] != a.shape[0]:
        raise ValueError(f"{name}: shapes {a.shape} and {right.shape} do not fit; b must have {a.shape[0]} rows")
    is_vector = right.ndim == 1
    right = expanded(right, (1,)) if is_vector else right
    return rechunked(right, right.chunks.replace(0, a.chunks.axis(0))), is_vector


def _as_given(x: ArrayExpr, is_vector: bool) -> Any:
    return wrap(squeezed(x, (1,)) if is_vector else x)


def solve_triangular(a: Any, b: Any, lower: bool = False) -> Any:
    """The ``x`` of ``a x = b``, where ``a`` is triangular.

    Parameters
    ----------
    a : array_like
        A matrix ``(n, n)``, of which one triangle is looked at.
    b : array_like
        A vector ``(n,)`` or columns ``(n, k)``.
    lower : bool, optional
        Whether it is the lower triangle.

    Returns
    -------
    Array
        Of the shape of ``b``.

    Raises
    ------
    ValueError
        Shapes that do not fit; the message names both.

    Notes
    -----
    Blocked forward or backward substitution, by LAPACK on the diagonal and with matrix products elsewhere (Golub, Van Loan,
    "Matrix computations", 4th edition, 2013, section 3.1). Needs SciPy.

    Examples
    --------
    >>> import kask.array as ka
    >>> a = ka.from_array([[2.0, 0.0], [1.0, 1.0]], chunks=1)
    >>> ka.linalg.solve_triangular(a, ka.from_array([2.0, 3.0]), lower=True).compute()
    array([1., 2.])
    """
    left = blocked.square_cuts(matrix_of(a, "solve_triangular"), "solve_triangular")
    right, is_vector = _right_side(left, b, "solve_triangular")
    return _as_given(blocked.triangular_solution(left, right, lower), is_vector)


def _solution(array: ArrayExpr, right: ArrayExpr, is_positive: bool, refuses: bool = True) -> ArrayExpr:
    dtype = np.result_type(array.dtype, right.dtype)
    array, right = cast(array, dtype), cast(right, dtype)
    if not is_positive:
        return rechunked(panels.lu_solution(array, right, refuses), right.chunks)
    lower = blocked.cholesky_factor(array)
    return blocked.triangular_solution(adjoint(lower), blocked.triangular_solution(lower, right, True), False)


def solve(a: Any, b: Any, sym_pos: bool | None = None, assume_a: str = "gen") -> Any:
    """The ``x`` of ``a x = b``.

    Parameters
    ----------
    a : array_like
        A square matrix ``(n, n)``; or a stack of them, of which one task solves each.
    b : array_like
        A vector ``(n,)`` or columns ``(n, k)``.
    sym_pos : bool, optional
        True is ``assume_a="pos"``.
    assume_a : str, optional
        "gen" for any matrix, by :func:`lu`; "pos" for a Hermitian positive-definite one, by :func:`cholesky`. "her" and "sym" are solved as "gen".

    Returns
    -------
    Array
        Of the shape of ``b``.

    Raises
    ------
    ValueError
        Shapes that do not fit; the message names both.
    numpy.linalg.LinAlgError
        When computed: a singular matrix.

    Notes
    -----
    Blocked Gaussian elimination with partial pivoting, or blocked Cholesky factorisation, and then two blocked triangular solutions (Golub,
    Van Loan, "Matrix computations", 4th edition, 2013, sections 3.4 and 4.2).

    Examples
    --------
    >>> import kask.array as ka
    >>> a = ka.from_array([[2.0, 0.0], [1.0, 1.0]], chunks=1)
    >>> ka.linalg.solve(a, ka.from_array([2.0, 3.0])).compute()
    array([1., 2.])
    """
    if assume_a not in ("gen", "pos", "sym", "her"):
        raise ValueError(f"solve: assume_a must be 'gen', 'pos', 'sym' or 'her', got {assume_a!r}")
    if as_array(a).ndim > 2 or as_array(b).ndim > 2:
        return _solved_each(a, b)
    array = blocked.square_cuts(matrix_of(a, "solve"), "solve")
    right, is_vector = _right_side(array, b, "solve")
    return _as_given(_solution(array, right, bool(sym_pos) or assume_a == "pos"), is_vector)


def _solved_each(a: Any, b: Any) -> Any:
    """Systems of stacks, each by one task."""
    left, right = [in_lapack_type(as_array(one).expr, "solve") for one in (a, b)]
    if left.ndim < 2 or left.shape[-1] != left.shape[-2]:
        raise np.linalg.LinAlgError(f"solve: square matrices are wanted, but the array has the shape {left.shape}")
    signature = "(m,m),(m)->(m)" if right.ndim == 1 else "(m,m),(m,n)->(m,n)"
    dtype = np.result_type(left.dtype, right.dtype)
    return apply_gufunc(
        kernels.solved_each,
        signature,
        wrap(left),
        wrap(right),
        output_dtypes=dtype,
        allow_rechunk=True,
        vectorize=False,
    )


def inv(a: Any) -> Any:
    """The inverse of a square matrix, by the elimination of :func:`lu`; of each matrix of a stack by one task.

    Notes
    -----
    Solves ``a X = 1`` by blocked Gaussian elimination with partial pivoting (Higham, "Accuracy and stability of numerical algorithms",
    2nd edition, 2002, chapter 14). A matrix in one block is inverted by LAPACK.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.linalg.inv(ka.from_array([[2.0, 0.0], [0.0, 4.0]], chunks=1)).compute()
    array([[0.5 , 0.  ],
           [0.  , 0.25]])
    """
    array = as_array(a).expr
    if array.ndim > 2 or (array.ndim == 2 and array.chunks.is_single):
        array = in_lapack_type(array, "inv")
        return wrap(stacked(np.linalg.inv, array, [(0, array.dtype)])[0])
    return wrap(blocked_inverse(matrix_of(a, "inv"), "inv"))


def blocked_inverse(array: ArrayExpr, name: str, refuses: bool = True) -> ArrayExpr:
    """The inverse of a matrix in several blocks. A singular one is refused, or its inverse is NaN."""
    array = blocked.square_cuts(array, name)
    one = eye(array.shape[0], dtype=array.dtype).expr
    return _solution(array, rechunked(one, array.chunks), False, refuses)


def _triangle(array: ArrayExpr) -> tuple[ArrayExpr, ArrayExpr]:
    """U's diagonal, and the sign of the rows' order."""
    diagonal, signs = panels.pivots_and_signs(array)
    return diagonal, prod(wrap(signs)).expr


def _is_one_task(array: ArrayExpr) -> bool:
    return array.ndim != 2 or array.chunks.is_single or not array.shape[0]


def det(a: Any) -> Any:
    """The determinant of a square matrix, by the elimination of :func:`lu`; of each matrix of a stack by one task.

    Notes
    -----
    The product of the pivots of blocked Gaussian elimination with partial pivoting, and the sign of the order of the rows (Higham, "Accuracy and
    stability of numerical algorithms", 2nd edition, 2002, chapter 14). It may overflow where :func:`slogdet` does not.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.linalg.det(ka.from_array([[2.0, 0.0], [0.0, 4.0]], chunks=1)).compute()
    np.float64(8.0)
    """
    array = in_lapack_type(as_array(a).expr, "det")
    if _is_one_task(array):
        return wrap(stacked(np.linalg.det, array, [(2, array.dtype)])[0])
    along, sign = _triangle(blocked.square_cuts(array, "det"))
    return wrap(elementwise(_times_sign, prod(wrap(along)).expr, sign, dtype=array.dtype))


def _times_sign(value: Any, sign: Any) -> Any:
    return np.asarray(value * sign.astype(value.real.dtype))


def slogdet(a: Any) -> Any:
    """The sign and the logarithm of the absolute value of the determinant, which does not overflow: see :func:`det`.

    Examples
    --------
    >>> import kask.array as ka
    >>> sign, logarithm = ka.linalg.slogdet(ka.from_array([[2.0, 0.0], [0.0, -4.0]], chunks=1))
    >>> sign.compute(), logarithm.round(6).compute()
    (np.float64(-1.0), np.float64(2.079442))
    """
    array = in_lapack_type(as_array(a).expr, "slogdet")
    real = real_of(array.dtype)
    if _is_one_task(array):
        return SlogdetResult(*map(wrap, stacked(np.linalg.slogdet, array, [(2, array.dtype), (2, real)])))
    along, sign = _triangle(blocked.square_cuts(array, "slogdet"))
    signs = prod(wrap(elementwise(_sign, along, dtype=array.dtype))).expr
    size = wrap(elementwise(_log_abs, along, dtype=real)).sum()
    return SlogdetResult(wrap(elementwise(_times_sign, signs, sign, dtype=array.dtype)), size)


def _sign(block: Any) -> Any:
    # LAPACK counts rows with a negative pivot, which NaN is not.
    signs = np.sign(block)
    return signs if block.dtype.kind == "c" else np.where(np.isnan(block), 1, signs).astype(block.dtype)


def _log_abs(block: Any) -> Any:
    with np.errstate(divide="ignore"):
        return np.log(np.abs(block))


def lstsq(a: Any, b: Any, rcond: float | None = None) -> tuple[Any, Any, Any, Any]:
    """Least squares: the ``x`` of least norm for which ``a x - b`` has the least norm.

    Parameters
    ----------
    a : array_like
        A matrix ``(m, n)``.
    b : array_like
        A vector ``(m,)`` or columns ``(m, k)``.
    rcond : float, optional
        Singular values less than so much of the largest are taken for 0; by default the precision times ``max(m, n)``.

    Returns
    -------
    (Array, Array, Array, Array)
        ``x``; the sums of squares of ``b - a x`` (of one element where ``b`` is a vector; none if ``m <= n``); the rank of ``a``; its singular
        values.

    Raises
    ------
    ValueError
        Shapes that do not fit; the message names both.

    Notes
    -----
    By :func:`qr` of ``a``, or of its adjoint if it is wide; the triangular system, as large as the square of the smaller side of ``a``, is solved by
    one task, and from 8 times ``array.chunk_size_bytes`` on there is a PerformanceWarning. In contrast to NumPy the sums are also there if
    ``a`` has not full rank, since that is known only when computed.

    Examples
    --------
    >>> import kask.array as ka
    >>> a = ka.from_array([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]], chunks=(2, 2))
    >>> ka.linalg.lstsq(a, ka.from_array([1.0, 3.0, 5.0]))[0].round(6).compute()
    array([1., 2.])
    """
    array = matrix_of(a, "lstsq")
    right, is_vector = _right_side(array, b, "lstsq")
    rows, columns = array.shape
    dtype = np.result_type(array.dtype, right.dtype)
    real = real_of(dtype)
    limit = float(np.finfo(real).eps * max(rows, columns) if rcond is None else rcond)
    small = min(rows, columns)
    q, r = tall_qr(array if rows >= columns else adjoint(array))
    assert q is not None, "it was wanted"
    system, target = (r, product(adjoint(q), right)) if rows >= columns else (adjoint(r), right)
    count = right.shape[1]
    solve_small = functools.partial(kernels.lstsq_block, rcond=limit)
    instead = "; solve() of a regular square matrix goes by block columns"
    warn_of_one_task(max(r.shape, (small, count), key=math.prod), dtype, "lstsq", instead, stacklevel=3)
    every = one_task(solve_small, system, target, shape=(small, count), dtype=dtype, label="lstsq")
    x = nth_of(every, 0, (small, count), dtype, "lstsq-x")
    x = x if rows >= columns else product(q, x)
    rank, values = nth_of(every, 1, (), np.int32, "lstsq-rank"), nth_of(every, 2, (small,), real, "lstsq-s")
    if rows <= columns:
        residuals = rechunked(wrap(elementwise(kernels.squares, x, dtype=real))[:0, 0].expr, Chunks.whole([0]))
    else:
        rest = wrap(elementwise(np.subtract, right, product(array, x)))
        residuals = wrap(elementwise(kernels.squares, rest.expr, dtype=real)).sum(axis=0).expr
    return _as_given(x, is_vector), wrap(residuals), wrap(rank), wrap(values)
