"""QR: of tall matrices by TSQR, of large ones that are about square by block columns, of wide ones through these."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from kask import config
from kask.array.base import as_array, wrap
from kask.array.kernels import linalg as kernels
from kask.array.kernels.ufuncs import pick
from kask.array.node import ArrayExpr
from kask.array.ops.chunk_runs import mapped_sizes
from kask.array.ops.contraction import contracted
from kask.array.ops.elementwise import elementwise
from kask.array.ops.filling import cast
from kask.array.ops.joining import concatenated
from kask.array.ops.linalg_panels import householder_qr, panel_bytes
from kask.array.ops.linalg_stacks import real_of, stacked_qr, warn_of_one_task
from kask.array.ops.mapped import mapped
from kask.array.ops.rechunk import rechunked
from kask.array.ops.slicing import sliced, transposed
from kask.engine import Chunks

__all__ = ["qr", "sfqr", "tsqr"]


class QRResult(NamedTuple):
    """What :func:`qr` gives."""

    Q: Any
    R: Any


def matrix_of(a: Any, name: str) -> ArrayExpr:
    """The expression of a matrix of a type that LAPACK computes in."""
    array = as_array(a).expr
    if array.ndim != 2:
        raise ValueError(f"{name}: a matrix is wanted, but the array has the shape {array.shape}")
    return in_lapack_type(array, name)


def matrices_of(a: Any, name: str) -> ArrayExpr:
    """The expression of a matrix or a stack of them, of a type that LAPACK computes in."""
    array = as_array(a).expr
    if array.ndim < 2:
        raise ValueError(f"{name}: a matrix is wanted, but the array has the shape {array.shape}")
    return in_lapack_type(array, name)


def in_lapack_type(array: ArrayExpr, name: str) -> ArrayExpr:
    """The array in the type that ``numpy.linalg`` computes in."""
    if array.dtype.kind in "biu":
        return cast(array, np.float64)
    if array.dtype.char not in "fdFD":
        raise TypeError(
            f"{name}: array type {array.dtype} is unsupported in linalg; use float32 or float64, or complex"
        )
    return array


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
    return mapped(pick, several, reads=reads, chunks=chunks, dtype=dtype, constants=(place,), label=label)


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


def _fits_tsqr(array: ArrayExpr) -> bool:
    """Whether TSQR's blocks, twice as high as wide, have no more than the bytes of a block, or of the columns of the other way."""
    rows, columns = array.shape
    needed = min(rows, 2 * columns) * columns * array.dtype.itemsize
    return needed <= max(int(config.get("array.chunk_size_bytes")), panel_bytes(array))


def tall_qr(array: ArrayExpr, wants_q: bool = True) -> tuple[ArrayExpr | None, ArrayExpr]:
    """Q and R of a matrix with at least as many rows as columns: by direct TSQR, or by block columns if that needs less memory."""
    if not _fits_tsqr(array):
        return householder_qr(array, wants_q)
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
        stack = mapped(pick, both, chunks=chunks, dtype=dtype, constants=(1,), label="qr-r")
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
    return mapped(kernels.times, both, parts, chunks=out, dtype=dtype, label="qr-q"), r


def _grouped(stack: ArrayExpr, limit: int) -> ArrayExpr:
    """The R of many blocks, so many in a block as fit; two at least."""
    rows, columns = stack.shape
    size = min(rows, max(2 * columns, limit // max(1, columns * stack.dtype.itemsize)))
    return rechunked(stack, Chunks.normalize([rows, columns], [size, None], 1, 1))


def tall_svd(array: ArrayExpr, coerce_signs: bool) -> tuple[ArrayExpr, ArrayExpr, ArrayExpr]:
    """U, S and Vh of a matrix with at least as many rows as columns."""
    q, r = tall_qr(array)
    assert q is not None, "it was wanted"
    rank, columns = r.shape
    warn_of_one_task(r.shape, r.dtype, "svd", "; svd_compressed() makes the largest singular values of blocks")
    every = one_task(kernels.CoercedSvd(coerce_signs), r, shape=r.shape, dtype=r.dtype, label="svd")
    u = nth_of(every, 0, (rank, rank), r.dtype, "svd-u")
    s = nth_of(every, 1, (rank,), real_of(r.dtype), "svd-s")
    return product(q, u), s, nth_of(every, 2, (rank, columns), r.dtype, "svd-v")


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
        return tuple([wrap(part) for part in tall_svd(array, False)])
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
    Q is that of the first ``m`` columns, as :func:`qr` makes it; the rest of R is its adjoint times the other columns.

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
    """QR: of tall matrices as :func:`tsqr`, of wide ones as :func:`sfqr`; of stacks of matrices.

    Parameters
    ----------
    a : array_like
        A matrix ``(m, n)``, or a stack of matrices.
    mode : str, optional
        "reduced" for Q ``(m, k)`` and R ``(k, n)`` with ``k = min(m, n)``, "complete" for Q ``(m, m)`` and R ``(m, n)``, or "r" for R alone.

    Returns
    -------
    QRResult or Array

    Raises
    ------
    ValueError
        Not a matrix, or another mode. NumPy's "raw" is not there: it gives LAPACK's reflections, which TSQR has not.

    Notes
    -----
    A large matrix that is about square, and "complete" of a tall one, are factored by block columns, with Householder's reflections
    (Golub, Van Loan, "Matrix computations", section 5.2.3). A task holds all rows of two block columns, cut so narrow that each has the
    bytes of a block (``array.chunk_size_bytes``), or is 32 columns wide; the factors are LAPACK's. Needs SciPy. By :func:`tsqr` the
    factors' signs depend on chunks. Each matrix of a stack is in one task.

    Examples
    --------
    >>> import kask.array as ka
    >>> q, r = ka.linalg.qr(ka.ones((100, 2), chunks=(10, 1)))
    >>> (q @ r).sum().round(6).compute()
    np.float64(200.0)
    """
    if mode not in ("reduced", "complete", "r"):
        raise ValueError(f"qr: mode must be 'reduced', 'complete' or 'r', got {mode!r}")
    array = matrices_of(a, "qr")
    rows, columns = array.shape[-2:]
    if array.ndim > 2:
        found = [wrap(part) for part in stacked_qr(array, mode)]
        return found[0] if mode == "r" else QRResult(*found)
    if mode == "r":
        return wrap(wide_qr(array)[1] if columns > rows else tall_qr(array, wants_q=False)[1])
    if mode == "complete" and rows > columns:
        q, r = _complete_qr(array)
    else:
        q, r = wide_qr(array) if columns > rows else tall_qr(array)  # type: ignore[assignment]
    return QRResult(wrap(q), wrap(r))


def _complete_qr(array: ArrayExpr) -> tuple[ArrayExpr, ArrayExpr]:
    if array.shape[1] and not array.chunks.is_single:
        return householder_qr(array, complete=True)  # type: ignore[return-value]
    q, r = stacked_qr(array, "complete")
    return q, r
