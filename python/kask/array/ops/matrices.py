"""Matrices made of a rule: ``eye``, ``tril``, ``triu``, ``vander``, and indices of triangles."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from kask.array.base import as_array, wrap
from kask.array.kernels import creation as kernels
from kask.array.node import ArrayExpr
from kask.array.ops.chunks import normalized
from kask.array.ops.creation import indexed
from kask.array.ops.filling import cast, shape_of
from kask.array.ops.mapped import mapped
from kask.array.ops.slicing import sliced
from kask.engine import Chunks
from kask.expr.lower import AT, BlockCall, Read

__all__ = [
    "eye",
    "identity",
    "tri",
    "tril",
    "tril_indices",
    "tril_indices_from",
    "triu",
    "triu_indices",
    "triu_indices_from",
    "vander",
]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Triangle(ArrayExpr):
    """The array with zeros above a diagonal of the last two axes (``is_lower``), or below it."""

    array: Any
    diagonal: int
    is_lower: bool

    @property
    def label(self) -> str:
        return "tril" if self.is_lower else "triu"

    @functools.cached_property
    def chunks(self) -> Chunks:
        return self.array.chunks

    @functools.cached_property
    def meta(self) -> Any:
        return self.array.meta

    def block_call(self) -> BlockCall:
        block = Read(self.array, tuple(range(self.ndim)))
        return BlockCall(kernels.on_and_below, (block, AT, self.chunks, self.diagonal, self.is_lower))

    def taking(self, taken: Any, chunks: Chunks) -> ArrayExpr | None:
        (row, down, _), (column, right, _) = taken[-2:]
        if (down, right) != (1, 1):
            return None
        return Triangle(sliced(self.array, taken), self.diagonal + row - column, self.is_lower)


def eye(N: int, chunks: Any = "auto", M: int | None = None, k: int = 0, dtype: Any = float, *, order: str = "C") -> Any:
    """Ones on a diagonal, zeros elsewhere.

    Parameters
    ----------
    N : int
        Rows.
    chunks : int, str, tuple or dict
        How it is cut.
    M : int, optional
        Columns; by default as many as rows.
    k : int
        Which diagonal: 0 is the main one, positive ones are above it.
    dtype : data-type
        The type of the elements.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.eye(3, k=1, dtype=int, chunks=2).compute()
    array([[0, 1, 0],
           [0, 0, 1],
           [0, 0, 0]])
    """
    return _matrix(kernels.band, N, M, k, dtype, chunks, "eye")


def _matrix(func: Callable[..., Any], N: Any, M: Any, k: Any, dtype: Any, chunks: Any, label: str) -> Any:
    dtype = np.dtype(float if dtype is None else dtype)
    shape = shape_of((N, N if M is None else M))
    return wrap(indexed(func, (int(k), dtype), normalized(chunks, shape, dtype), dtype, label))


def identity(n: int, dtype: Any = None, *, chunks: Any = "auto") -> Any:
    """The identity matrix.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.identity(2, dtype=int).compute()
    array([[1, 0],
           [0, 1]])
    """
    return eye(n, chunks, dtype=dtype)


def tri(N: int, M: int | None = None, k: int = 0, dtype: Any = float, chunks: Any = "auto", like: Any = None) -> Any:
    """Ones on a diagonal and below it, zeros above it; parameters as for :func:`eye`.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.tri(2, 3, dtype=int).compute()
    array([[1, 0, 0],
           [1, 1, 0]])
    """
    return _matrix(kernels.below, N, M, k, dtype, chunks, "tri")


def _triangle(m: Any, k: int, lower: bool) -> Any:
    expr = as_array(m).expr
    if expr.dtype.kind != "V" and not expr.dtype.isnative:
        # NumPy's has the machine's order of bytes.
        expr = cast(expr, expr.dtype.newbyteorder("="))
    if expr.ndim == 0:
        raise ValueError("a triangle is of a matrix, this array has no axes")
    if expr.ndim == 1:
        from kask.array.ops.reshaping import broadcast

        expr = broadcast(expr, expr.shape * 2)
    return wrap(Triangle(expr, int(k), lower))


def tril(m: Any, k: int = 0) -> Any:
    """The array with zeros above a diagonal of its last two axes.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.tril(ka.ones((2, 2), dtype=int, chunks=1)).compute()
    array([[1, 0],
           [1, 1]])
    """
    return _triangle(m, k, True)


def triu(m: Any, k: int = 0) -> Any:
    """The array with zeros below a diagonal of its last two axes.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.triu(ka.ones((2, 2), dtype=int, chunks=1)).compute()
    array([[1, 1],
           [0, 1]])
    """
    return _triangle(m, k, False)


def _triangle_indices(n: int, k: int, m: int | None, chunks: Any, lower: bool) -> tuple[Any, Any]:
    rows, columns = shape_of((n, n if m is None else m))
    # Rows that hold from 1 to all columns, and those that hold all.
    counts = _sum_clipped(rows, k + 1, columns) if lower else rows * columns - _sum_clipped(rows, k, columns)
    cut = normalized(chunks, (counts,), np.intp)
    args = (rows, columns, int(k), lower)
    row, column = (
        wrap(indexed(kernels.triangle_index, (which, *args), cut, np.intp, "triangle_index")) for which in (0, 1)
    )
    return row, column


def _sum_clipped(rows: int, first: int, most: int) -> int:
    """The sum of ``clip(first + row, 0, most)`` over all rows."""
    low, high = max(0, min(rows, -first)), max(0, min(rows, most - first))
    between = max(0, high - low)
    return between * (first + low + first + high - 1) // 2 + (rows - max(high, 0)) * most


def tril_indices(n: int, k: int = 0, m: int | None = None, chunks: Any = "auto") -> tuple[Any, Any]:
    """Rows and columns of the elements on a diagonal and below it, in C order. A task looks at all rows' lengths.

    Examples
    --------
    >>> import kask.array as ka
    >>> [index.compute().tolist() for index in ka.tril_indices(2)]
    [[0, 1, 1], [0, 0, 1]]
    """
    return _triangle_indices(n, k, m, chunks, True)


def triu_indices(n: int, k: int = 0, m: int | None = None, chunks: Any = "auto") -> tuple[Any, Any]:
    """Rows and columns of the elements on a diagonal and above it, in C order. A task looks at all rows' lengths.

    Examples
    --------
    >>> import kask.array as ka
    >>> [index.compute().tolist() for index in ka.triu_indices(2)]
    [[0, 0, 1], [0, 1, 1]]
    """
    return _triangle_indices(n, k, m, chunks, False)


def _sides(arr: Any) -> tuple[int, int]:
    shape = as_array(arr).shape
    if len(shape) != 2:
        raise ValueError(f"a matrix is needed here, this array has the shape {shape}")
    return shape


def tril_indices_from(arr: Any, k: int = 0) -> tuple[Any, Any]:
    """:func:`tril_indices` of an array's shape.

    Examples
    --------
    >>> import kask.array as ka
    >>> len(ka.tril_indices_from(ka.ones((2, 3)))[0])
    3
    """
    rows, columns = _sides(arr)
    return tril_indices(rows, k, columns)


def triu_indices_from(arr: Any, k: int = 0) -> tuple[Any, Any]:
    """:func:`triu_indices` of an array's shape.

    Examples
    --------
    >>> import kask.array as ka
    >>> len(ka.triu_indices_from(ka.ones((2, 3)))[0])
    5
    """
    rows, columns = _sides(arr)
    return triu_indices(rows, k, columns)


def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:
    """The Vandermonde matrix: a row of powers of each element.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.vander(ka.arange(1, 3), 3).compute()
    array([[1, 1, 1],
           [4, 2, 1]])
    """
    expr = as_array(x).expr
    if expr.ndim != 1:
        raise ValueError(f"vander() takes an array of one axis, this has {expr.ndim}")
    columns, increasing = expr.shape[0] if N is None else int(N), bool(increasing)
    chunks = Chunks.join([expr.chunks, Chunks.whole([columns])])
    dtype = np.vander(np.ones(1, expr.dtype), columns, increasing).dtype
    constants = (columns, increasing)
    return wrap(mapped(kernels.vander, expr, reads=((0,),), constants=constants, chunks=chunks, dtype=dtype))
