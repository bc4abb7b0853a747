"""Singular values: of the small factor of QR, or of a compressed matrix."""

from __future__ import annotations

from typing import Any, NamedTuple

from kask.array.base import wrap
from kask.array.kernels import linalg as kernels
from kask.array.node import ArrayExpr
from kask.array.ops.filling import cast
from kask.array.ops.linalg_factors import adjoint, matrices_of, matrix_of, one_task, product, tall_qr, tall_svd
from kask.array.ops.linalg_stacks import real_of, stacked_singular_values, stacked_svd, warn_of_one_task
from kask.array.ops.slicing import sliced, transposed
from kask.engine import Chunks

__all__ = ["svd", "svd_compressed", "svdvals"]


class SVDResult(NamedTuple):
    """What :func:`svd` gives."""

    U: Any
    S: Any
    Vh: Any


def svd_of(array: ArrayExpr, coerce_signs: bool = True) -> tuple[ArrayExpr, ArrayExpr, ArrayExpr]:
    """U, S and Vh of a matrix."""
    if array.shape[0] >= array.shape[1]:
        return tall_svd(array, coerce_signs)
    v, s, u = tall_svd(transposed(array, (1, 0)), coerce_signs)
    return transposed(u, (1, 0)), s, transposed(v, (1, 0))


def svd(a: Any, coerce_signs: bool = True, full_matrices: bool = False, compute_uv: bool = True) -> Any:
    """The singular value decomposition of a matrix, or of each matrix of a stack.

    Parameters
    ----------
    a : array_like
        A matrix ``(m, n)``, or a stack of matrices.
    coerce_signs : bool, optional
        Whether signs of a single matrix are chosen so that they do not depend on chunks: the sum of each row of Vh (of a wide matrix: of each
        column of U) is not negative. Not with ``full_matrices``, unless the matrix is square.
    full_matrices : bool, optional
        Whether U is ``(m, m)`` and Vh ``(n, n)``; otherwise the first ``k = min(m, n)`` vectors are made.
    compute_uv : bool, optional
        False for the singular values alone.

    Returns
    -------
    SVDResult or Array
        U ``(m, k)``, S ``(k,)`` and Vh ``(k, n)``; singular values in descending order.

    Notes
    -----
    Exact, by :func:`qr` of the matrix or its transpose, and then the decomposition of R by LAPACK (Chan, "An improved algorithm for computing the
    singular value decomposition", 1982). One task decomposes the small factor R ``(k, k)`` and holds it about 9 times, with both
    factors and what LAPACK works in (without vectors twice); so a matrix that is about square is in one task's memory; from 1 GiB on (8 times ``array.chunk_size_bytes``; 11585 columns of float64) there is
    a PerformanceWarning. See :func:`svd_compressed` for the largest singular values of large square ones. Each matrix of a stack is in
    one task, and so is one of which all vectors are wanted, unless it is square. In contrast to NumPy, ``full_matrices`` is False by default.

    Examples
    --------
    >>> import kask.array as ka
    >>> u, s, v = ka.linalg.svd(ka.ones((100, 1), chunks=(10, 1)))
    >>> s.round(6).compute()
    array([10.])
    """
    array = matrices_of(a, "svd")
    if not compute_uv:
        return svdvals(a)
    if array.ndim > 2 or (full_matrices and array.shape[0] != array.shape[1]):
        return SVDResult(*map(wrap, stacked_svd(array, full_matrices)))
    return SVDResult(*map(wrap, svd_of(array, coerce_signs)))


def values_of(array: ArrayExpr) -> ArrayExpr:
    """Singular values of a matrix."""
    if array.shape[0] < array.shape[1]:
        array = transposed(array, (1, 0))
    r = tall_qr(array, wants_q=False)[1]
    instead = "; svd_compressed() makes the largest singular values of blocks"
    warn_of_one_task(r.shape, r.dtype, "svdvals", instead, stacklevel=4)
    return one_task(kernels.singular_values, r, shape=(r.shape[0],), dtype=real_of(r.dtype), label="svdvals")


def svdvals(x: Any) -> Any:
    """Singular values of a matrix, or of each matrix of a stack, in descending order: see :func:`svd`.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.linalg.svdvals(ka.ones((100, 1), chunks=(10, 1))).round(6).compute()
    array([10.])
    """
    array = matrices_of(x, "svdvals")
    return wrap(values_of(array) if array.ndim == 2 else stacked_singular_values(array))


def svd_compressed(
    a: Any,
    k: int,
    iterator: str = "power",
    n_power_iter: int = 0,
    n_oversamples: int = 10,
    seed: Any = None,
    compute: bool = False,
    coerce_signs: bool = True,
) -> tuple[Any, Any, Any]:
    """The largest singular values and their vectors, about.

    Parameters
    ----------
    a : array_like
        A matrix ``(m, n)``.
    k : int
        How many.
    iterator : str, optional
        "power" multiplies by the matrix and its adjoint in turn; "QR" makes the vectors orthogonal between, which is more
        accurate, and costs more.
    n_power_iter : int, optional
        How often.
    n_oversamples : int, optional
        Random directions more than ``k``.
    seed : optional
        As for :func:`kask.array.random.default_rng`, or a generator of it.
    compute : bool, optional
        Whether the compressed matrix is computed at once, so that the original need not be read again.
    coerce_signs : bool, optional
        As for :func:`svd`.

    Returns
    -------
    (Array, Array, Array)
        U ``(m, k)``, S ``(k,)`` and Vh ``(k, n)``.

    Notes
    -----
    Halko, Martinsson, Tropp, "Finding structure with randomness" (2011), algorithms 4.3 and 4.4, and 5.1.

    Examples
    --------
    >>> import kask.array as ka
    >>> u, s, v = ka.linalg.svd_compressed(ka.ones((20, 20), chunks=5), 1, seed=0)
    >>> s.round(6).compute()
    array([20.])
    """
    from kask.array.random import Generator, default_rng

    if iterator not in ("power", "QR"):
        raise ValueError(f"svd_compressed: iterator must be 'power' or 'QR', got {iterator!r}")
    array = matrix_of(a, "svd_compressed")
    rows, columns = array.shape
    if not 1 <= k <= min(rows, columns):
        raise ValueError(f"svd_compressed: k={k} must be from 1 to {min(rows, columns)}, for the shape {array.shape}")
    size = min(rows, columns, k + n_oversamples)
    rng = seed if isinstance(seed, Generator) else default_rng(seed)
    cut = Chunks.join([array.chunks.axis(1), Chunks.whole([size])])
    omega = rng.standard_normal((columns, size), chunks=cut).expr
    omega = cast(omega, real_of(array.dtype))
    sample = product(array, omega)
    for _ in range(n_power_iter):
        if iterator == "QR":
            sample = product(adjoint(array), _orthogonal(sample))
            sample = product(array, _orthogonal(sample))
        else:
            sample = product(array, product(adjoint(array), sample))
    basis = _orthogonal(sample)
    if compute:
        basis = wrap(basis).persist().expr
    compressed = product(adjoint(basis), array)
    if compute:
        compressed = wrap(compressed).persist().expr
    u, s, v = svd_of(compressed, coerce_signs)
    u = sliced(u, ((0, 1, size), (0, 1, k)))
    return wrap(product(basis, u)), wrap(sliced(s, ((0, 1, k),))), wrap(sliced(v, ((0, 1, k), (0, 1, columns))))


def _orthogonal(array: ArrayExpr) -> ArrayExpr:
    q = tall_qr(array)[0]
    assert q is not None, "it was wanted"
    return q
