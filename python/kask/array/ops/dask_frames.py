"""Arrays as data frames of Dask, whose partitions Kask computes when Dask asks for them."""

from __future__ import annotations

import importlib
import math
from typing import Any

import numpy as np

from kask.array.ops.chunk_runs import ends_of
from kask.array.ops.staged import Sized, Staged, closed_so_far
from kask.tokens import tokenize

__all__ = ["to_dask_dataframe"]


def to_dask_dataframe(array: Any, columns: Any = None, index: Any = None, meta: Any = None) -> Any:
    """See :meth:`kask.array.Array.to_dask_dataframe`."""
    frames = _dask_frames()
    size = _shape(array.expr)
    _check(size, array.dtype, columns)
    rows = _Rows(array, _Kind.of(meta, columns, array.dtype, size), size[0] is not None)
    return _from_rows(frames, rows, rows.divisions) if index is None else _with_index(frames, rows, index)


def _dask_frames() -> Any:
    try:
        return importlib.import_module("dask.dataframe")
    except ImportError:
        raise ImportError(
            "to_dask_dataframe() needs Dask's data frames, which are not installed: pip install 'dask[dataframe]'"
        ) from None


def _from_rows(frames: Any, rows: _Rows, divisions: Any) -> Any:
    kind = rows.kind
    # A function that takes ``columns`` is asked for those that are needed.
    func = rows.some_columns if kind.labels is not None and kind.labels.is_unique else rows.whole
    return frames.from_map(
        func, range(rows.count), meta=kind.made(rows.nothing), divisions=divisions, label="from-kask-array"
    )


def _with_index(frames: Any, rows: _Rows, index: Any) -> Any:
    if not isinstance(index, frames.Index):
        raise ValueError(f"index= must be an index of a data frame of Dask, got {type(index).__name__}")
    if index.npartitions != rows.count:
        raise ValueError(f"index= has {index.npartitions} partitions, but the array has {rows.count} blocks of rows")
    found = _from_rows(frames, rows, index.divisions)
    meta = found._meta.set_axis(index._meta, axis=0)
    return frames.map_partitions(_indexed, found, index, meta=meta, align_dataframes=False)


def _indexed(frame: Any, index: Any) -> Any:
    return frame.set_axis(index, axis=0)


def _shape(expr: Any) -> tuple[int | None, ...]:
    """Elements along each axis, None where that is not known."""
    closed = closed_so_far(expr) if expr.is_unknown else expr
    return expr.dims if closed is None else closed.shape


def _check(size: tuple[int | None, ...], dtype: np.dtype, columns: Any) -> None:
    if len(size) not in (1, 2):
        raise ValueError(f"only arrays of one or two axes become frames, this one has {len(size)}")
    is_list = columns is not None and not np.isscalar(columns)
    if dtype.names is not None:
        if len(size) == 2:
            raise ValueError("only arrays of one axis have fields that become columns, this one has two axes")
        if columns is not None and not is_list:
            raise ValueError(f"columns={columns!r}, but an array with fields needs a list of their names")
        extra = [name for name in columns or () if name not in dtype.names]
        if extra:
            raise ValueError(f"columns= names {extra}, but the fields are {list(dtype.names)}")
    elif len(size) == 1:
        if is_list and len(columns) != 1:
            raise ValueError(f"an array of one axis has one column, but columns= names {len(columns)}")
    elif size[1] is None:
        raise ValueError("how many columns there are is not known yet; compute_chunk_sizes() finds it")
    elif columns is not None and (not is_list or len(columns) != size[1]):
        raise ValueError(f"columns={columns!r}, but names for the {size[1]} columns of the array are needed")


class _Kind:
    """What partitions are.

    Parameters
    ----------
    make : type
        The class of frames or series.
    labels : pandas.Index or None
        Names of the columns; a series has none.
    name : object
        That of a series.
    dtype : numpy.dtype
        The array's.
    """

    def __init__(self, make: Any, labels: Any, name: Any, dtype: np.dtype) -> None:
        self.make, self.labels, self.name, self.dtype = make, labels, name, dtype

    @classmethod
    def of(cls, meta: Any, columns: Any, dtype: np.dtype, size: tuple[int | None, ...]) -> _Kind:
        """For an array of this type and size."""
        import pandas

        meta = pandas.DataFrame() if meta is None else meta
        if getattr(meta, "ndim", 0) != 2 or not hasattr(meta, "_constructor_sliced"):
            raise TypeError(f"meta= must be an empty data frame of the wanted kind, got {type(meta).__name__}")
        if len(size) == 1 and dtype.names is None and (columns is None or np.isscalar(columns)):
            return cls(meta._constructor_sliced, None, columns, dtype)
        labels = columns
        if columns is None:
            labels = range(size[1] or 0) if dtype.names is None else dtype.names
        return cls(type(meta), pandas.Index(list(labels)), None, dtype)

    def of_columns(self, places: Any) -> _Kind:
        """The kind of partitions of which these columns are left."""
        return _Kind(self.make, self.labels[places], self.name, self.dtype)

    def made(self, block: Any, index: Any = None) -> Any:
        """A partition of these rows."""
        # pandas would look at what objects are, and make columns of other types in other partitions.
        dtype = object if self.dtype == object else None
        if self.labels is None:
            return self.make(block, index=index, name=self.name, dtype=dtype)
        if self.dtype.names is not None:
            block = {label: block[label] for label in self.labels}
        return self.make(block, index=index, columns=self.labels, dtype=dtype)

    def __kask_tokenize__(self) -> Any:
        return self.make, None if self.labels is None else list(self.labels), self.name, self.dtype


class _Rows:
    """Rows of an array as frames or series, by the number of the block that has them."""

    def __init__(self, array: Any, kind: _Kind, is_counted: bool) -> None:
        self.array, self.kind, self.is_counted = array, kind, is_counted
        self.count = _row_blocks(array.expr)

    @property
    def divisions(self) -> tuple[int, ...] | None:
        """The first row of each partition and the last one of all, where they are known."""
        if not self.is_counted:
            return None
        ends = ends_of(self.array.expr.chunks.axis(0))
        last = max(int(ends[-1]) - 1, 0)
        return (0, *np.minimum(ends[:-1], last).tolist(), last)

    @property
    def nothing(self) -> np.ndarray:
        """No rows."""
        columns = () if self.array.ndim == 1 else (len(self.kind.labels),)
        return np.empty((0, *columns), self.array.dtype)

    def whole(self, number: int) -> Any:
        """All columns."""
        start, stop = self._span(number)
        return self.kind.made(self.array[start:stop].compute(), self._index(start, stop))

    def some_columns(self, number: int, columns: Any = None) -> Any:
        """Those columns that are wanted; no others are computed."""
        if columns is None:
            return self.whole(number)
        places = self.kind.labels.get_indexer(columns)
        start, stop = self._span(number)
        rows = self.array[start:stop, places] if self.array.ndim == 2 else self.array[start:stop]
        return self.kind.of_columns(places).made(rows.compute(), self._index(start, stop))

    def _span(self, number: int) -> tuple[int, int]:
        chunks = self.array.expr.chunks.axis(0)
        if chunks.grid[0] != self.count:
            # There are more or fewer blocks than could be told.
            length = chunks.shape[0]
            return number * length // self.count, (number + 1) * length // self.count
        (start,), (length,) = chunks.block_start((number,)), chunks.block_shape((number,))
        return start, start + length

    def _index(self, start: int, stop: int) -> Any:
        import pandas

        return pandas.RangeIndex(start, stop) if self.is_counted else None

    def __dask_tokenize__(self) -> Any:
        return tokenize(self.array, self.kind)


def _row_blocks(expr: Any) -> int:
    """Into how many blocks the rows are cut, or may be where that is not known yet."""
    closed = closed_so_far(expr) if expr.is_unknown else expr
    if closed is not None:
        return closed.grid[0]
    if isinstance(expr, Staged) and expr.axis == 0:
        return math.prod(expr.blocks.grid[: expr.count])
    if isinstance(expr, Staged | Sized):
        return expr.blocks.grid[0]
    return max([_row_blocks(operand) for operand in expr.operands if operand.ndim], default=1)
