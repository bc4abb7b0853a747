"""Eigenvalues and eigenvectors: of each matrix by one task."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kask.array.base import as_array, wrap
from kask.array.node import ArrayExpr
from kask.array.ops.linalg_factors import in_lapack_type
from kask.array.ops.linalg_stacks import real_of, stacked

__all__ = ["eig", "eigh", "eigvals", "eigvalsh"]


class EighResult(NamedTuple):
    """What :func:`eigh` gives."""

    eigenvalues: Any
    eigenvectors: Any


class EigResult(NamedTuple):
    """What :func:`eig` gives."""

    eigenvalues: Any
    eigenvectors: Any


def _hermitian(a: Any, UPLO: str, name: str) -> ArrayExpr:
    if UPLO not in ("L", "U"):
        raise ValueError(f"{name}: UPLO must be 'L' or 'U', got {UPLO!r}")
    return in_lapack_type(as_array(a).expr, name)


def eigvalsh(a: Any, UPLO: str = "L") -> Any:
    """Eigenvalues of Hermitian matrices, in ascending order: see :func:`eigh`.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.linalg.eigvalsh(ka.from_array([[2.0, 0.0], [0.0, 4.0]], chunks=1)).compute()
    array([2., 4.])
    """
    array = _hermitian(a, UPLO, "eigvalsh")
    return wrap(stacked(np.linalg.eigvalsh, array, [(1, real_of(array.dtype))], UPLO=UPLO)[0])


def eigh(a: Any, UPLO: str = "L") -> Any:
    """Eigenvalues, in ascending order, and eigenvectors of Hermitian matrices.

    Parameters
    ----------
    a : array_like
        A matrix ``(n, n)``, or a stack ``(..., n, n)``.
    UPLO : {"L", "U"}
        Which triangle is looked at.

    Returns
    -------
    EighResult
        Eigenvalues ``(..., n)``, and vectors, the columns of ``(..., n, n)``.

    Raises
    ------
    ValueError
        Matrices that are not square.

    Notes
    -----
    One task holds a whole matrix, several times, whatever the chunks; of a stack each one, as many as fit into a block. From 1 GiB on (8
    times ``array.chunk_size_bytes``; 11585 rows of float64) there is a PerformanceWarning.

    Examples
    --------
    >>> import kask.array as ka
    >>> values, vectors = ka.linalg.eigh(ka.from_array([[2.0, 0.0], [0.0, 4.0]], chunks=1))
    >>> values.compute()
    array([2., 4.])
    """
    array = _hermitian(a, UPLO, "eigh")
    results = [(1, real_of(array.dtype)), (0, array.dtype)]
    return EighResult(*map(wrap, stacked(np.linalg.eigh, array, results, UPLO=UPLO)))


def eigvals(a: Any) -> Any:
    """Eigenvalues of square matrices, in no order, as complex numbers: see :func:`eig`.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.linalg.eigvals(ka.from_array([[0.0, 1.0], [-1.0, 0.0]], chunks=1)).compute()
    array([0.+1.j, 0.-1.j])
    """
    array = in_lapack_type(as_array(a).expr, "eigvals")
    return wrap(stacked(np.linalg.eigvals, array, [(1, _complex(array))])[0])


def eig(a: Any) -> Any:
    """Eigenvalues, in no order, and right eigenvectors of square matrices.

    Parameters
    ----------
    a : array_like
        A matrix ``(n, n)``, or a stack ``(..., n, n)``.

    Returns
    -------
    EigResult
        Eigenvalues ``(..., n)``, and vectors of length 1, the columns of ``(..., n, n)``. Both are complex: NumPy gives real numbers where
        all eigenvalues of a real matrix happen to be real, which is known only when computed.

    Raises
    ------
    ValueError
        Matrices that are not square.

    Notes
    -----
    One task holds a whole matrix, several times, as for :func:`eigh`.

    Examples
    --------
    >>> import kask.array as ka
    >>> values, vectors = ka.linalg.eig(ka.from_array([[2.0, 0.0], [0.0, 4.0]], chunks=1))
    >>> values.compute()
    array([2.+0.j, 4.+0.j])
    """
    array = in_lapack_type(as_array(a).expr, "eig")
    results = [(1, _complex(array)), (0, _complex(array))]
    return EigResult(*map(wrap, stacked(np.linalg.eig, array, results)))


def _complex(array: ArrayExpr) -> Any:
    return np.result_type(array.dtype, np.complex64)
