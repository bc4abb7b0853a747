"""Linear algebra: ``numpy.linalg``, and what else there is for matrices of many blocks.

Products are in ``ops/products``, LU and QR by block columns in ``ops/linalg_panels``, other blocked algorithms in ``ops/linalg_blocked``,
TSQR in ``ops/linalg_factors``, what one task does of each matrix of a stack in ``ops/linalg_stacks``.
"""

from __future__ import annotations

from typing import Any

from numpy.linalg import LinAlgError as LinAlgError

from kask.array.ops.axes import matrix_transpose
from kask.array.ops.diagonals import diagonal as _diagonal
from kask.array.ops.diagonals import trace as _trace
from kask.array.ops.linalg_eigen import eig, eigh, eigvals, eigvalsh
from kask.array.ops.linalg_factors import qr, sfqr, tsqr
from kask.array.ops.linalg_norms import (
    cond,
    matrix_norm,
    matrix_power,
    matrix_rank,
    multi_dot,
    norm,
    pinv,
    vector_norm,
)
from kask.array.ops.linalg_solving import cholesky, det, inv, lstsq, lu, slogdet, solve, solve_triangular
from kask.array.ops.linalg_svd import svd, svd_compressed, svdvals
from kask.array.ops.linalg_tensors import tensorinv, tensorsolve
from kask.array.ops.products import cross as _cross
from kask.array.ops.products import outer as _outer
from kask.array.ops.products import tensordot
from kask.array.ops.products_gufuncs import matmul, vecdot

__all__ = [
    "cholesky",
    "cond",
    "cross",
    "det",
    "diagonal",
    "eig",
    "eigh",
    "eigvals",
    "eigvalsh",
    "inv",
    "lstsq",
    "lu",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "matrix_rank",
    "matrix_transpose",
    "multi_dot",
    "norm",
    "outer",
    "pinv",
    "qr",
    "sfqr",
    "slogdet",
    "solve",
    "solve_triangular",
    "svd",
    "svd_compressed",
    "svdvals",
    "tensordot",
    "tensorinv",
    "tensorsolve",
    "trace",
    "tsqr",
    "vecdot",
    "vector_norm",
]


def cross(x1: Any, x2: Any, /, *, axis: int = -1) -> Any:
    """As :func:`kask.array.cross`, along one axis of both."""
    return _cross(x1, x2, axis=axis)


def diagonal(x: Any, /, *, offset: int = 0) -> Any:
    """The diagonals of the matrices that the last two axes are."""
    return _diagonal(x, offset, -2, -1)


def outer(x1: Any, x2: Any, /) -> Any:
    """As :func:`kask.array.outer`."""
    return _outer(x1, x2)


def trace(x: Any, /, *, offset: int = 0, dtype: Any = None) -> Any:
    """The sums of the diagonals of the matrices that the last two axes are."""
    return _trace(x, offset, -2, -1, dtype)


def _numpy_cholesky(a: Any, /, *, upper: bool = False) -> Any:
    return cholesky(a, upper=upper)


def _numpy_svd(a: Any, full_matrices: bool = True, compute_uv: bool = True, hermitian: bool = False) -> Any:
    return svd(a, full_matrices=full_matrices and compute_uv, compute_uv=compute_uv)


# What ``numpy.linalg.cholesky(x)`` and ``numpy.linalg.svd(x)`` call.
vars(cholesky)["as_in_numpy"] = _numpy_cholesky
vars(svd)["as_in_numpy"] = _numpy_svd
