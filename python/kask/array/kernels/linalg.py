"""What tasks run for linear algebra: functions of matrices in one block, and steps of the blocked algorithms.

A block read by an interval comes as a list of one block.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from kask.array.kernels.native_threads import call_blas
from kask.array.kernels.panels import triangular_solution

# Read as a module: these are many small steps.
__all__: list[str] = []


def qr_block(block: Any) -> tuple[Any, Any]:
    """Q and R of a block."""
    q, r = call_blas(np.linalg.qr, block)
    return q, r


def r_block(block: Any) -> Any:
    """R of a block."""
    return call_blas(np.linalg.qr, block, mode="r")


def squares(block: Any) -> Any:
    """The square of the absolute value of each element."""
    return (block.conj() * block).real if block.dtype.kind == "c" else block * block


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


def solved_each(a: Any, b: Any) -> Any:
    """The solutions of a block of systems."""
    return call_blas(np.linalg.solve, a, b)


def times(both: Any, part: Any) -> Any:
    """The Q of a block of rows, which comes with its R, times its part of the Q of what is below."""
    return call_blas(np.matmul, both[0], part)


# -- steps of Cholesky. Blocks below the diagonal block are read by intervals.


def cholesky_block(block: Any) -> Any:
    """The lower factor of a block."""
    return call_blas(np.linalg.cholesky, block)


def below_cholesky(blocks: list[Any], diagonal: Any) -> Any:
    """A block of Cholesky's L: the block times L⁻ᴴ."""
    return triangular_solution(diagonal, blocks[0].conj().T, lower=True).conj().T


def updated_hermitian(position: tuple[int, ...], blocks: list[Any], left: Any, right: Any) -> Any:
    """What is left of a block when the product with the conjugate transpose is taken away; above the diagonal nobody looks."""
    return blocks[0] if position[1] > position[0] else blocks[0] - call_blas(np.matmul, left, right.conj().T)


# -- steps of triangular solves


class Solve:
    """Solves a triangular system of blocks."""

    __name__ = "solve_triangular"

    def __init__(self, lower: bool) -> None:
        self.lower = lower

    def __call__(self, a: Any, blocks: Any) -> Any:
        return triangular_solution(a, blocks[0] if type(blocks) is list else blocks, self.lower)

    def __kask_tokenize__(self) -> Any:
        return "solve_triangular", self.lower


def less_product(blocks: list[Any], lists: list[Any], solved: Any) -> Any:
    """The right-hand side without what is solved."""
    return blocks[0] - call_blas(np.matmul, lists[0], solved)


class Stacked:
    """A function of ``numpy.linalg`` on blocks that hold whole matrices; its results are of these types."""

    def __init__(self, func: Any, options: dict[str, Any], dtypes: tuple[Any, ...]) -> None:
        self.func, self.options, self.dtypes = func, options, dtypes
        self.__name__ = func.__name__

    def __call__(self, *blocks: Any) -> Any:
        found = call_blas(self.func, *blocks, **self.options)
        several = found if isinstance(found, tuple) else (found,)
        made = tuple([np.asarray(one, dtype) for one, dtype in zip(several, self.dtypes)])
        return made if isinstance(found, tuple) else made[0]

    def __kask_tokenize__(self) -> Any:
        return "stacked", self.func, self.options, self.dtypes


def warned_of_rank(found: Any, rank: Any, order: int) -> Any:
    """The coefficients of polynomials, and a warning if other ones fit as well."""
    if rank != order:
        warnings.warn("polyfit may be poorly conditioned", np.exceptions.RankWarning, stacklevel=2)
    return found
