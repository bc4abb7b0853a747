"""QR and singular values: of tall matrices by TSQR, of wide ones through it."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from kask import config
from kask.array.base import as_array, wrap
from kask.array.kernels import linalg as kernels
from kask.array.node import ArrayExpr
from kask.array.ops.chunk_runs import mapped_sizes
from kask.array.ops.contraction import contracted
from kask.array.ops.elementwise import elementwise
from kask.array.ops.joining import concatenated
from kask.array.ops.mapped import mapped
from kask.array.ops.rechunk import rechunked
from kask.array.ops.slicing import sliced, transposed
from kask.engine import Chunks

__all__ = ["qr", "sfqr", "svd", "svd_compressed", "svdvals", "tsqr"]


class QRResult(NamedTuple):
    """What :func:`qr` gives."""

    Q: Any
    R: Any


class SVDResult(NamedTuple):
    """What :func:`svd` gives."""

    U: Any
    S: Any
    Vh: Any


def matrix_of(a: Any, name: str) -> ArrayExpr:
    """The expression of a matrix of a type that LAPACK computes in."""
    array = as_array(a).expr
    if array.ndim != 2:
        raise ValueError(f"{name}: a matrix is wanted, but the array has the shape {array.shape}")
    return in_lapack_type(array, name)


def in_lapack_type(array: ArrayExpr, name: str) -> ArrayExpr:
    """The array in the type that ``numpy.linalg`` computes in."""
    if array.dtype.kind in "biu":
        return elementwise(_cast, array, np.float64, dtype=np.float64)
    if array.dtype.char not in "fdFD":
        raise TypeError(
            f"{name}: array type {array.dtype} is unsupported in linalg; use float32 or float64, or complex"
        )
    return array


def _cast(block: Any, dtype: Any) -> Any:
    return block.astype(dtype)


def whole(array: ArrayExpr) -> ArrayExpr:
    """The array in one block."""
    return rechunked(array, Chunks.whole(list(array.shape)))


def one_task(func: Any, *arrays: ArrayExpr, shape: tuple[int, ...], dtype: Any, label: str = "") -> ArrayExpr:
    """What a function makes of whole arrays, in one block of this shape (or one value that others take apart)."""
    reads = tuple([(("fixed", 0),) * array.ndim for array in arrays])
    return mapped(func, *map(whole, arrays), reads=reads, chunks=Chunks.whole(list(shape)), dtype=dtype, label=label)


def nth_of(several: ArrayExpr, place: int, shape: tuple[int, ...], dtype: Any, label: str) -> ArrayExpr:
    """One of the results of a task that makes several."""
    reads = ((("fixed", 0),) * several.ndim,)
    chunks = Chunks.whole(list(shape))
    return mapped(kernels.nth, several, reads=reads, chunks=chunks, dtype=dtype, constants=(place,), label=label)


def adjoint(array: ArrayExpr) -> ArrayExpr:
    """The conjugate transpose."""
    array = transposed(array, (1, 0))
    return elementwise(np.conjugate, array) if array.dtype.kind == "c" else array


def product(left: ArrayExpr, right: ArrayExpr) -> ArrayExpr:
    """Of matrices."""
    return contracted(np.matmul, [left, right], ["ik", "kj"], "ij", np.result_type(left.dtype, right.dtype))


def _rows_for_qr(array: ArrayExpr) -> ArrayExpr:
    """One block across, and blocks tall enough that their R together are much smaller than the array."""
    rows, columns = array.shape
    chunks = array.chunks.replace(1, Chunks.whole([columns]))
    limit = int(config.get("array.chunk_size_bytes"))
    shortest = min(rows, 2 * columns)
    if chunks.grid[0] > 1 and rows // chunks.grid[0] < shortest:
        size = max(shortest, min(rows, limit // max(1, columns * array.dtype.itemsize)))
        chunks = chunks.replace(0, Chunks.normalize([rows], [max(1, size)], 1, 1))
    return rechunked(array, chunks)


def tall_qr(array: ArrayExpr, wants_q: bool = True) -> tuple[ArrayExpr | None, ArrayExpr]:
    """Q and R of a matrix by direct TSQR."""
    array = _rows_for_qr(array)
    rows, columns = array.shape
    dtype, rank = array.dtype, min(array.shape)
    if array.grid[0] == 1:
        if not wants_q:
            return None, one_task(kernels.r_block, array, shape=(rank, columns), dtype=dtype, label="qr-r")
        both = one_task(kernels.qr_block, array, shape=array.shape, dtype=dtype, label="qr")
        return nth_of(both, 0, (rows, rank), dtype, "qr-q"), nth_of(both, 1, (rank, columns), dtype, "qr-r")
    # R of each block, one below the other; the Q of a block has as many columns as its R has rows.
    along = mapped_sizes(array.chunks.axis(0), lambda size: min(size, columns))
    chunks = Chunks.join([along, Chunks.whole([columns])])
    if wants_q:
        both = mapped(kernels.qr_block, array, chunks=array.chunks, dtype=dtype, label="qr")
        stack = mapped(kernels.nth, both, chunks=chunks, dtype=dtype, constants=(1,), label="qr-r")
    else:
        stack = mapped(kernels.r_block, array, chunks=chunks, dtype=dtype, label="qr-r")
    limit = int(config.get("array.chunk_size_bytes"))
    if math.prod(stack.shape) * dtype.itemsize <= limit or stack.shape[0] >= rows:
        upper_q, r = tall_qr(whole(stack), wants_q)
    else:
        upper_q, r = tall_qr(_grouped(stack, limit), wants_q)
    if not wants_q or upper_q is None:
        return None, r
    parts = rechunked(upper_q, Chunks.join([along, Chunks.whole([rank])]))
    out = Chunks.join([array.chunks.axis(0), Chunks.whole([rank])])
    return mapped(_times, both, parts, chunks=out, dtype=dtype, label="qr-q"), r


def _grouped(stack: ArrayExpr, limit: int) -> ArrayExpr:
    """The R of many blocks, so many in a block as fit; two at least."""
    rows, columns = stack.shape
    size = min(rows, max(2 * columns, limit // max(1, columns * stack.dtype.itemsize)))
    return rechunked(stack, Chunks.normalize([rows, columns], [size, None], 1, 1))


def _times(both: Any, part: Any) -> Any:
    return both[0] @ part


def tsqr(data: Any, compute_svd: bool = False, _max_vchunk_size: int | None = None) -> Any:
    """QR, or the singular value decomposition, of a tall matrix.

    Parameters
    ----------
    data : array_like
        A matrix ``(m, n)`` with ``m`` much greater than ``n``.
    compute_svd : bool, optional
        Whether to give the singular value decomposition instead.
    _max_vchunk_size : int, optional
        Rows of a block, at most.

    Returns
    -------
    (Array, Array) or (Array, Array, Array)
        Q ``(m, k)`` and R ``(k, n)``, or U, S, Vh, where ``k = min(m, n)``.

    Notes
    -----
    Direct TSQR: Benson, Gleich, Demmel, "Direct QR factorizations for tall-and-skinny matrices in MapReduce architectures" (2013). Each task
    holds a block of rows, of all columns; the factors R are put together in as many levels as are needed. For a matrix that is not
    tall, a task holds most of it.

    Examples
    --------
    >>> import kask.array as ka
    >>> q, r = ka.linalg.tsqr(ka.ones((100, 2), chunks=(10, 2)))
    >>> q.shape, r.shape
    ((100, 2), (2, 2))
    """
    array = matrix_of(data, "tsqr")
    if _max_vchunk_size is not None:
        array = rechunked(array, array.chunks.replace(0, Chunks.normalize([array.shape[0]], [_max_vchunk_size], 1, 1)))
    if compute_svd:
        return tuple([wrap(part) for part in _tall_svd(array, False)])
    return tuple([wrap(part) for part in tall_qr(array)])  # type: ignore[arg-type]


def wide_qr(array: ArrayExpr) -> tuple[ArrayExpr, ArrayExpr]:
    """Q and R of a matrix that has more columns than rows."""
    rows, columns = array.shape
    first = sliced(array, ((0, 1, rows), (0, 1, rows)))
    rest = sliced(array, ((0, 1, rows), (rows, 1, columns - rows)))
    q, r = tall_qr(first)
    assert q is not None, "it was wanted"
    return q, concatenated([r, product(adjoint(q), rest)], 1)


def sfqr(data: Any, name: str | None = None) -> tuple[Any, Any]:
    """QR of a matrix that has more columns than rows.

    Parameters
    ----------
    data : array_like
        A matrix ``(m, n)``.
    name : str, optional
        Accepted for Dask's sake; names come from what is computed.

    Returns
    -------
    (Array, Array)
        Q ``(m, m)`` and R ``(m, n)``.

    Notes
    -----
    Q is that of the first ``m`` columns, whose QR one task makes if they are square; the rest of R is its adjoint times the other columns.

    Examples
    --------
    >>> import kask.array as ka
    >>> q, r = ka.linalg.sfqr(ka.ones((2, 100), chunks=(2, 10)))
    >>> q.shape, r.shape
    ((2, 2), (2, 100))
    """
    array = matrix_of(data, "sfqr")
    q, r = wide_qr(array) if array.shape[1] > array.shape[0] else tall_qr(array)
    return wrap(q), wrap(r)  # type: ignore[arg-type]


def qr(a: Any, mode: str = "reduced") -> Any:
    """QR: of tall matrices as :func:`tsqr`, of wide ones as :func:`sfqr`.

    Parameters
    ----------
    a : array_like
        A matrix ``(m, n)``.
    mode : str, optional
        "reduced" for Q ``(m, k)`` and R ``(k, n)`` with ``k = min(m, n)``, or "r" for R alone.

    Returns
    -------
    QRResult or Array

    Notes
    -----
    The factors' signs depend on chunks. A matrix that is about square is in one task.

    Examples
    --------
    >>> import kask.array as ka
    >>> q, r = ka.linalg.qr(ka.ones((100, 2), chunks=(10, 1)))
    >>> (q @ r).sum().round(6).compute()
    np.float64(200.0)
    """
    if mode not in ("reduced", "r"):
        raise ValueError(f"qr: mode must be 'reduced' or 'r', got {mode!r}")
    array = matrix_of(a, "qr")
    is_wide = array.shape[1] > array.shape[0]
    if mode == "r":
        return wrap(wide_qr(array)[1] if is_wide else tall_qr(array, wants_q=False)[1])
    q, r = wide_qr(array) if is_wide else tall_qr(array)
    return QRResult(wrap(q), wrap(r))  # type: ignore[arg-type]


def _real(dtype: np.dtype) -> np.dtype:
    return np.dtype(dtype.char.lower())


def _tall_svd(array: ArrayExpr, coerce_signs: bool) -> tuple[ArrayExpr, ArrayExpr, ArrayExpr]:
    q, r = tall_qr(array)
    assert q is not None, "it was wanted"
    rank, columns = r.shape
    every = one_task(kernels.CoercedSvd(coerce_signs), r, shape=r.shape, dtype=r.dtype, label="svd")
    u = nth_of(every, 0, (rank, rank), r.dtype, "svd-u")
    s = nth_of(every, 1, (rank,), _real(r.dtype), "svd-s")
    return product(q, u), s, nth_of(every, 2, (rank, columns), r.dtype, "svd-v")


def svd_of(array: ArrayExpr, coerce_signs: bool = True) -> tuple[ArrayExpr, ArrayExpr, ArrayExpr]:
    """U, S and Vh of a matrix."""
    if array.shape[0] >= array.shape[1]:
        return _tall_svd(array, coerce_signs)
    v, s, u = _tall_svd(transposed(array, (1, 0)), coerce_signs)
    return transposed(u, (1, 0)), s, transposed(v, (1, 0))


def svd(a: Any, coerce_signs: bool = True, full_matrices: bool = False, compute_uv: bool = True) -> Any:
    """The singular value decomposition of a matrix.

    Parameters
    ----------
    a : array_like
        A matrix ``(m, n)``.
    coerce_signs : bool, optional
        Whether signs are chosen so that they do not depend on chunks: the sum of each row of Vh (of a wide matrix: of each column of U) is not
        negative.
    full_matrices : bool, optional
        Only False, unless the matrix is square: the first ``k = min(m, n)`` vectors are made.
    compute_uv : bool, optional
        False for the singular values alone.

    Returns
    -------
    SVDResult or Array
        U ``(m, k)``, S ``(k,)`` and Vh ``(k, n)``; singular values in descending order.

    Notes
    -----
    Exact, by :func:`tsqr` of the matrix or its transpose; a matrix that is about square is in one task. See
    :func:`svd_compressed` for large square ones. In contrast to NumPy, ``full_matrices`` is False by default.

    Examples
    --------
    >>> import kask.array as ka
    >>> u, s, v = ka.linalg.svd(ka.ones((100, 1), chunks=(10, 1)))
    >>> s.round(6).compute()
    array([10.])
    """
    array = matrix_of(a, "svd")
    if full_matrices and array.shape[0] != array.shape[1]:
        raise NotImplementedError(
            f"svd: full_matrices=True is not possible for the shape {array.shape}; with full_matrices=False there are "
            f"the first {min(array.shape)} singular vectors"
        )
    if not compute_uv:
        return svdvals(a)
    return SVDResult(*map(wrap, svd_of(array, coerce_signs)))


def values_of(array: ArrayExpr) -> ArrayExpr:
    """Singular values of a matrix."""
    if array.shape[0] < array.shape[1]:
        array = transposed(array, (1, 0))
    r = tall_qr(array, wants_q=False)[1]
    return one_task(kernels.singular_values, r, shape=(r.shape[0],), dtype=_real(r.dtype), label="svdvals")


def svdvals(x: Any) -> Any:
    """Singular values, in descending order: see :func:`svd`.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.linalg.svdvals(ka.ones((100, 1), chunks=(10, 1))).round(6).compute()
    array([10.])
    """
    return wrap(values_of(matrix_of(x, "svdvals")))


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
    omega = elementwise(_cast, omega, _real(array.dtype), dtype=_real(array.dtype))
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
