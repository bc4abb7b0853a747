"""What tasks run for linear algebra: functions of matrices in one block, and steps of the blocked algorithms.

A block read by an interval comes as a list of one block.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kask.array.kernels.native_threads import call_blas

# Read as a module: these are many small steps.
__all__: list[str] = []


def qr_block(block: Any) -> tuple[Any, Any]:
    """Q and R of a block."""
    q, r = call_blas(np.linalg.qr, block)
    return q, r


def r_block(block: Any) -> Any:
    """R of a block."""
    return call_blas(np.linalg.qr, block, mode="r")


def nth(several: Any, place: int) -> Any:
    """One of the results of a task."""
    return several[place]


class CoercedSvd:
    """The singular value decomposition of a block, where the sum of each row of the right factor is not negative if wanted."""

    __name__ = "svd"

    def __init__(self, coerce_signs: bool) -> None:
        self.coerce_signs = coerce_signs

    def __call__(self, block: Any) -> tuple[Any, Any, Any]:
        u, s, v = call_blas(np.linalg.svd, block, full_matrices=False)
        if self.coerce_signs and v.size:
            signs = np.where(v.sum(axis=1).real < 0, -1, 1).astype(s.dtype)
            u, v = u * signs, v * signs[:, None]
        return u, s, v

    def __kask_tokenize__(self) -> Any:
        return "svd", self.coerce_signs


def singular_values(block: Any) -> Any:
    """Singular values of a block."""
    return call_blas(np.linalg.svd, block, compute_uv=False)


def lstsq_block(a: Any, b: Any, rcond: float) -> tuple[Any, Any, Any]:
    """The solution of least squares of least norm, the rank, and the singular values."""
    x, _, rank, s = call_blas(np.linalg.lstsq, a, b, rcond=rcond)
    return x, np.asarray(rank), s


# -- steps of LU and Cholesky. Blocks on the right of and below the diagonal block are read by intervals.


def lu_block(block: Any) -> tuple[Any, Any, Any]:
    """The rows in the order that pivoting puts them in, L, and U."""
    from scipy.linalg import lu

    if not len(block):
        return np.zeros(0, np.intp), block, block
    places, lower, upper = call_blas(lu, block, p_indices=True, check_finite=False)
    # SciPy tells for each row of the block which row of L U it is; what is wanted is the block's row for each of L U.
    return np.argsort(places), lower, upper


def right_of(factors: tuple[Any, Any, Any], blocks: list[Any]) -> Any:
    """A block of U: L⁻¹ times the permuted rows."""
    order, lower, _ = factors
    return _triangular(lower, blocks[0][order], lower=True, unit=True)


def below(blocks: list[Any], factors: tuple[Any, Any, Any]) -> Any:
    """A block of L: the block times U⁻¹."""
    return _triangular(factors[2].T, blocks[0].T, lower=True).T


def updated(blocks: list[Any], left: Any, right: Any) -> Any:
    """What is left of a block when the product is taken away."""
    return blocks[0] - call_blas(np.matmul, left, right)


def below_cholesky(blocks: list[Any], diagonal: Any) -> Any:
    """A block of Cholesky's L: the block times L⁻ᴴ."""
    return _triangular(diagonal, blocks[0].conj().T, lower=True).conj().T


def updated_hermitian(position: tuple[int, ...], blocks: list[Any], left: Any, right: Any) -> Any:
    """The same with the conjugate transpose of the right one; above the diagonal nobody looks."""
    return blocks[0] if position[1] > position[0] else blocks[0] - call_blas(np.matmul, left, right.conj().T)


def permuted_rows(position: tuple[int, ...], block: Any, order: Any) -> Any:
    """Rows of a block of L in the order that later pivoting puts them in."""
    return block[order] if position[0] > position[1] else block


def rows_in_order(block: Any, order: Any) -> Any:
    """Rows of a block of the right-hand side in the order that pivoting puts them in."""
    return block[order]


def diagonal_identity(position: tuple[int, ...], order: Any, shape: Any, dtype: Any) -> Any:
    """A block of P, which permutes inside the diagonal blocks only."""
    out = np.zeros(shape.block_shape(position), dtype)
    if position[0] == position[1]:
        out[order, np.arange(len(order))] = 1
    return out


def parity(order: Any) -> Any:
    """1 or -1, as the order is even or odd, as a vector of one element."""
    seen, sign = np.zeros(len(order), bool), 1.0
    for first in range(len(order)):
        length, at = 0, first
        while not seen[at]:
            seen[at], at, length = True, order[at], length + 1
        if length and length % 2 == 0:
            sign = -sign
    return np.array([sign])


# -- steps of triangular solves


def _triangular(a: Any, b: Any, lower: bool, unit: bool = False) -> Any:
    from scipy.linalg import solve_triangular

    if not a.size or not b.size:
        return np.zeros(b.shape, np.result_type(a, b))
    return call_blas(solve_triangular, a, b, lower=lower, unit_diagonal=unit, check_finite=False)


class Solve:
    """Solves a triangular system of blocks."""

    __name__ = "solve_triangular"

    def __init__(self, lower: bool) -> None:
        self.lower = lower

    def __call__(self, a: Any, blocks: Any) -> Any:
        return _triangular(a, blocks[0] if type(blocks) is list else blocks, self.lower)

    def __kask_tokenize__(self) -> Any:
        return "solve_triangular", self.lower


def less_product(blocks: list[Any], lists: list[Any], solved: Any) -> Any:
    """The right-hand side without what is solved."""
    return blocks[0] - call_blas(np.matmul, lists[0], solved)


class Several:
    """A function of ``numpy.linalg`` that makes several arrays of blocks that hold whole matrices."""

    def __init__(self, func: Any, options: dict[str, Any]) -> None:
        self.func, self.options = func, options
        self.__name__ = func.__name__

    def __call__(self, block: Any) -> tuple[Any, ...]:
        return tuple(call_blas(self.func, block, **self.options))

    def __kask_tokenize__(self) -> Any:
        return "several", self.func, self.options


class Stacked:
    """A function of ``numpy.linalg`` on blocks that hold whole matrices."""

    def __init__(self, func: Any, options: dict[str, Any], place: int | None = None) -> None:
        self.func, self.options, self.place = func, options, place
        self.__name__ = func.__name__

    def __call__(self, *blocks: Any) -> Any:
        result = call_blas(self.func, *blocks, **self.options)
        return np.asarray(result if self.place is None else result[self.place])

    def __kask_tokenize__(self) -> Any:
        return "stacked", self.func, self.options, self.place
