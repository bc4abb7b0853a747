"""Blocked Cholesky and triangular solves.

Right-looking: each step factors a diagonal block, solves for the blocks below it, and takes their product away from what is left.
So a task holds three blocks at most. A step is a few expressions, whatever the number of blocks it is for: they read the blocks of
the step before by intervals, without slices between.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kask.array.kernels import linalg as kernels
from kask.array.node import ArrayExpr
from kask.array.ops.creation import Filled
from kask.array.ops.joining import concatenated
from kask.array.ops.linalg_panels import without_empty
from kask.array.ops.mapped import mapped
from kask.array.ops.rechunk import rechunked
from kask.engine import Chunks, Interval

# For the functions of kask.array.linalg only.
__all__: list[str] = []


def square_cuts(array: ArrayExpr, name: str) -> ArrayExpr:
    """A square matrix with the same cuts along both axes, none of them empty."""
    if array.shape[0] != array.shape[1]:
        raise np.linalg.LinAlgError(f"{name}: a square matrix is wanted, but the array has the shape {array.shape}")
    along = without_empty(Chunks.unify([array.chunks.axis(0), array.chunks.axis(1)]))
    return rechunked(array, Chunks.join([along, along]))


def sizes_of(along: Chunks) -> list[int]:
    """Sizes along the only axis: there is a step for each."""
    return list(along.tuples()[0])


def _chunks(sizes: list[int]) -> Chunks:
    return Chunks([sizes or [0]])


def _from(array: ArrayExpr, axis: int, start: int, part: Chunks) -> tuple[Any, ...]:
    """How the blocks of a part of an axis are read, one by one."""
    return ("interval", axis, Interval(array.chunks.axis(axis), part, start))


_FIRST = ("fixed", 0)


def _zeros(along: list[Chunks], like: ArrayExpr) -> ArrayExpr:
    return Filled(0, Chunks.join(along), like.meta)


def cholesky_factor(array: ArrayExpr) -> ArrayExpr:
    """The lower factor; ``array`` is cut by :func:`square_cuts`."""
    dtype, sizes = array.dtype, sizes_of(array.chunks.axis(0))
    columns: list[ArrayExpr] = []
    left = array
    for step, size in enumerate(sizes):
        one, rest = Chunks.whole([size]), _chunks(sizes[step + 1 :])
        diagonal = mapped(
            kernels.cholesky_block,
            left,
            reads=((_FIRST, _FIRST),),
            chunks=Chunks.join([one, one]),
            dtype=dtype,
            label="cholesky-diagonal",
        )
        column: list[ArrayExpr] = [diagonal]
        if step:
            column.insert(0, _zeros([_chunks(sizes[:step]), one], array))
        if step + 1 < len(sizes):
            under = _from(left, 0, size, rest)
            lower = mapped(
                kernels.below_cholesky,
                left,
                diagonal,
                reads=((under, _FIRST), (_FIRST, _FIRST)),
                chunks=Chunks.join([rest, one]),
                dtype=dtype,
                label="cholesky-lower",
            )
            left = mapped(
                kernels.updated_hermitian,
                left,
                lower,
                lower,
                reads=((under, _from(left, 1, size, rest)), (0, _FIRST), (1, _FIRST)),
                chunks=Chunks.join([rest, rest]),
                dtype=dtype,
                wants_position=True,
                label="cholesky-update",
            )
            column.append(lower)
        columns.append(concatenated(column, 0))
    return concatenated(columns, 1)


def triangular_solution(a: ArrayExpr, b: ArrayExpr, lower: bool) -> ArrayExpr:
    """The X of A X = B with a triangular A, cut by :func:`square_cuts`, and a B of two axes whose rows are cut like A's."""
    sizes = sizes_of(a.chunks.axis(0))
    dtype = np.result_type(a.dtype, b.dtype)
    solved: list[ArrayExpr] = []
    left, columns = b, b.chunks.axis(1)
    starts = np.concatenate([[0], np.cumsum(sizes)]).tolist()
    places = list(range(len(sizes)))
    for at in places if lower else reversed(places):
        here = ("fixed", at)
        # What is left begins with the block that is solved, or ends with it.
        first = _FIRST if lower else ("fixed", at)
        part = mapped(
            kernels.Solve(lower),
            a,
            left,
            reads=((here, here), (first, 1)),
            chunks=Chunks.join([Chunks.whole([sizes[at]]), columns]),
            dtype=dtype,
            label="solve-diagonal",
        )
        solved.append(part)
        others = sizes[at + 1 :] if lower else sizes[:at]
        if not others:
            break
        rest = _chunks(others)
        left = mapped(
            kernels.less_product,
            left,
            a,
            part,
            reads=(
                (_from(left, 0, sizes[at] if lower else 0, rest), 1),
                (_from(a, 0, starts[at + 1] if lower else 0, rest), here),
                (_FIRST, 1),
            ),
            chunks=Chunks.join([rest, columns]),
            dtype=dtype,
            label="solve-update",
        )
    return concatenated(solved if lower else solved[::-1], 0)
