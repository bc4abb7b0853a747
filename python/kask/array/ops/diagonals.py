"""Diagonals: taken, put into matrices, added."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import numpy as np

from kask.array.base import as_array, wrap
from kask.array.kernels import creation as kernels
from kask.array.node import ArrayExpr, empty_meta
from kask.array.ops.creation import Filled, indexed
from kask.array.ops.elementwise import elementwise
from kask.array.ops.reductions_basic import sum
from kask.engine import Chunks, Interval
from kask.expr.lower import AT, BlockCall, Read

__all__ = ["diag", "diagflat", "diagonal", "trace"]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Diagonal(ArrayExpr):
    """A diagonal of two axes, as the last axis. Its chunks end where those of one of the two axes do."""

    array: Any
    first: tuple[int, int]
    length: int
    axis1: int
    axis2: int

    @functools.cached_property
    def kept(self) -> tuple[int, ...]:
        """The other axes."""
        return tuple([axis for axis in range(self.array.ndim) if axis not in (self.axis1, self.axis2)])

    @functools.cached_property
    def along(self) -> Chunks:
        """Chunks along the diagonal."""
        cuts = [
            self.array.chunks.axis(axis).slice([(first if self.length else 0, 1, self.length)])
            for axis, first in zip((self.axis1, self.axis2), self.first)
        ]
        return Chunks.unify(cuts)

    @functools.cached_property
    def chunks(self) -> Chunks:
        return Chunks.join([self.array.chunks.axes(list(self.kept)), self.along])

    @functools.cached_property
    def meta(self) -> Any:
        return empty_meta(self.array.dtype, self.array.ndim - 1, self.array.meta)

    def block_call(self) -> BlockCall:
        last = len(self.kept)
        theirs = self.array.chunks
        rows, columns = (
            Interval(theirs.axis(axis), self.along, first if self.length else 0)
            for axis, first in zip((self.axis1, self.axis2), self.first)
        )
        found: dict[int, Any] = {axis: place for place, axis in enumerate(self.kept)}
        found[self.axis1], found[self.axis2] = ("interval", last, rows), ("interval", last, columns)
        axes = tuple([found[axis] for axis in range(self.array.ndim)])
        return BlockCall(
            kernels.diagonal_piece,
            (Read(self.array, axes), AT, rows, columns, self.axis1, self.axis2, self.meta, self.chunks),
        )


def diagonal(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Any:
    """A diagonal of two axes, as the last axis.

    Parameters
    ----------
    a : array
        With two axes at least.
    offset : int
        Which diagonal: 0 is the main one, positive ones are above it.
    axis1, axis2 : int
        Rows and columns.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.diagonal(ka.arange(9, chunks=2).reshape((3, 3)), 1).compute()
    array([1, 5])
    """
    a = as_array(a)
    if a.ndim < 2:
        raise ValueError(f"a diagonal needs two axes, this array has {a.ndim}")
    axis1 = np.lib.array_utils.normalize_axis_index(axis1, a.ndim)
    axis2 = np.lib.array_utils.normalize_axis_index(axis2, a.ndim)
    if axis1 == axis2:
        raise ValueError(f"axis1={axis1} and axis2={axis2}, but a diagonal is of two different axes")
    offset = int(offset)
    first = (max(0, -offset), max(0, offset))
    length = max(0, min(a.shape[axis1] - first[0], a.shape[axis2] - first[1]))
    return wrap(Diagonal(a.expr, first, length, axis1, axis2))


def diag(v: Any, k: int = 0) -> Any:
    """A diagonal of a matrix, or the matrix with this diagonal and zeros elsewhere.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.diag(ka.arange(1, 3, chunks=1)).compute()
    array([[1, 0],
           [0, 2]])
    """
    from kask.array.ops.joining import concatenated
    from kask.array.ops.slicing import expanded

    expr = as_array(v).expr
    if expr.ndim == 2:
        return diagonal(v, k)
    if expr.ndim != 1:
        raise ValueError(f"diag() is of one axis or two, this array has {expr.ndim}")
    k = int(k)
    size = expr.shape[0] + abs(k)
    if k:
        zero = np.zeros((), expr.dtype)[()]
        expr = concatenated([expr, Filled(zero, Chunks.whole([abs(k)]), expr.meta)], 0)
    # Above the main diagonal elements are found by their row, below it by their column.
    values = expanded(expr, (1,) if k >= 0 else (0,))
    kept = indexed(kernels.band, (k, np.dtype(bool)), Chunks.join([expr.chunks] * 2), bool, "eye")
    assert kept.shape == (size, size)
    return wrap(elementwise(kernels.where_band, kept, values, dtype=expr.dtype))


def diagflat(v: Any, k: int = 0) -> Any:
    """The matrix with all elements of an array on a diagonal.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.diagflat(ka.ones((1, 2), dtype=int), 1).shape
    (3, 3)
    """
    return diag(as_array(v).reshape(-1 if as_array(v).size else 0), k)


def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None, out: Any = None) -> Any:
    """The sum of a diagonal; parameters as for :func:`diagonal`, ``dtype`` and ``out`` as for :func:`kask.array.sum`.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.trace(ka.eye(3, chunks=2)).compute()
    np.float64(3.0)
    """
    return sum(diagonal(a, offset, axis1, axis2), axis=-1, dtype=dtype, out=out)
