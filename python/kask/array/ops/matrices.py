"""Matrices and coordinates: ``eye``, ``diag``, ``tril``, ``meshgrid``, ``indices``."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from kask.array.base import as_array, wrap
from kask.array.kernels import creation as kernels
from kask.array.node import ArrayExpr, empty_meta
from kask.array.ops.chunks import normalized
from kask.array.ops.creation import Filled, indexed
from kask.array.ops.elementwise import elementwise
from kask.array.ops.filling import cast, shape_of
from kask.array.ops.mapped import mapped
from kask.array.ops.reductions import reduced
from kask.engine import Chunks, Interval
from kask.expr.lower import AT, BlockCall, Read

__all__ = [
    "diag",
    "diagflat",
    "diagonal",
    "eye",
    "fromfunction",
    "identity",
    "indices",
    "meshgrid",
    "trace",
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
class Placed(ArrayExpr):
    """``func(block, position, chunks, *args)`` for each block, which stays as large as it is."""

    array: Any
    func: Callable[..., Any]
    args: tuple[Any, ...]

    @property
    def label(self) -> str:
        return self.func.__name__

    @functools.cached_property
    def chunks(self) -> Chunks:
        return self.array.chunks

    @functools.cached_property
    def meta(self) -> Any:
        return self.array.meta

    def block_call(self) -> BlockCall:
        return BlockCall(self.func, (Read(self.array, tuple(range(self.ndim))), AT, self.chunks, *self.args))


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
    if expr.ndim == 0:
        raise ValueError("a triangle is of a matrix, this array has no axes")
    if expr.ndim == 1:
        from kask.array.ops.reshaping import broadcast

        expr = broadcast(expr, expr.shape * 2)
    return wrap(Placed(expr, kernels.on_and_below, (int(k), lower)))


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


def _sum_part(block: Any, axes: tuple[int, ...], dtype: np.dtype) -> Any:
    return np.sum(block, axis=axes, dtype=dtype, keepdims=True)


def _sum_parts(parts: list[Any]) -> Any:
    return functools.reduce(np.add, parts)


def _as_it_is(partial: Any) -> Any:
    return partial


def trace(a: Any, offset: int = 0, axis1: int = 0, axis2: int = 1, dtype: Any = None) -> Any:
    """The sum of a diagonal; parameters as for :func:`diagonal`.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.trace(ka.eye(3, chunks=2)).compute()
    np.float64(3.0)
    """
    line = diagonal(a, offset, axis1, axis2).expr
    kind = np.empty(0, line.dtype).sum(dtype=dtype).dtype
    part = functools.partial(_sum_part, dtype=kind)
    return wrap(reduced(line, part, _sum_parts, _as_it_is, (line.ndim - 1,), kind, label="trace"))


def meshgrid(*xi: Any, sparse: bool = False, indexing: str = "xy", copy: bool = True) -> tuple[Any, ...]:
    """Coordinates of a grid, from those along its axes.

    Parameters
    ----------
    *xi : array
        Along one axis each.
    sparse : bool
        Whether each result has one element along the axes of the others.
    indexing : {"xy", "ij"}
        Whether the first two axes are swapped.
    copy : bool
        Accepted.

    Examples
    --------
    >>> import kask.array as ka
    >>> [x.shape for x in ka.meshgrid(ka.arange(2), ka.arange(3))]
    [(3, 2), (3, 2)]
    """
    from kask.array.ops.reshaping import broadcast_arrays
    from kask.array.ops.slicing import expanded, transposed

    if indexing not in ("xy", "ij"):
        raise ValueError(f"indexing={indexing!r}, but it must be 'xy' or 'ij'")
    ndim = len(xi)
    found = []
    for axis, x in enumerate(xi):
        expr = as_array(x).reshape(-1 if as_array(x).size else 0).expr
        expr = expanded(expr, tuple([place for place in range(ndim) if place != axis]))
        if indexing == "xy" and ndim > 1:
            expr = transposed(expr, (1, 0, *range(2, ndim)))
        found.append(wrap(expr))
    return tuple(found) if sparse else tuple(broadcast_arrays(*found))


def indices(dimensions: Any, dtype: Any = int, chunks: Any = "auto", *, sparse: bool = False) -> Any:
    """The indices of an array: for each of its axes an array of this shape, all in one, or a tuple of them with ``sparse``.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.indices((2, 2), chunks=1).compute()[1]
    array([[0, 1],
           [0, 1]])
    """
    shape, dtype = shape_of(tuple(dimensions)), np.dtype(dtype)
    cut = normalized(chunks, shape, dtype)
    if sparse:
        along = [cast(indexed(_itself, (), cut.axis(axis), np.intp, "indices"), dtype) for axis in range(len(shape))]
        from kask.array.ops.slicing import expanded

        places = range(len(shape))
        return tuple([wrap(expanded(e, tuple(p for p in places if p != axis))) for axis, e in enumerate(along)])
    if not shape:
        return wrap(Filled(0, Chunks.whole([0]), np.empty(0, dtype)))
    each = Chunks.normalize([len(shape)], [1], 1, 1)
    return wrap(indexed(kernels.mesh_axis, (dtype,), Chunks.join([each, cut]), dtype, "indices"))


def _itself(index: Any) -> Any:
    return index


def fromfunction(
    func: Callable[..., Any], chunks: Any = "auto", shape: Any = None, dtype: Any = None, **kwargs: Any
) -> Any:
    """What a function makes of the coordinates of each block.

    Parameters
    ----------
    func : callable
        Called with as many arrays as there are axes, of the block's shape.
    chunks : int, str, tuple or dict
        How the result is cut.
    shape : tuple of int
        The result's shape.
    dtype : data-type, optional
        The type of the coordinates, by default float64.
    **kwargs
        Passed on to the function.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.fromfunction(lambda i, j: i + j, shape=(2, 2), dtype=int, chunks=1).compute()
    array([[0, 1],
           [1, 2]])
    """
    if shape is None:
        raise TypeError("fromfunction() needs shape=")
    shape, dtype = shape_of(shape), np.dtype(float if dtype is None else dtype)
    cut = normalized(chunks, shape, dtype)
    args = (func, dtype, kwargs)
    with np.errstate(all="ignore"):
        sample = kernels.from_indices(*[np.zeros((1,) * len(shape), np.intp)] * len(shape), *args)
    return wrap(indexed(kernels.from_indices, args, cut, np.asarray(sample).dtype, "fromfunction"))


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
