"""Slices, lists, masks, and assignment."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import numpy as np

from kask.array.base import ArrayBase, wrap
from kask.array.ops import assignment, assignment_functions, indexing, indexing_edits, indexing_places
from kask.array.ops.indexing_views import Blocks, Flat, PointIndex
from kask.array.ops.reshaping import raveled
from kask.array.ops.staged import Open


class IndexingMethods(ArrayBase):
    """Slices, lists, masks, and assignment."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> Any:
        return wrap(indexing.getitem(self.expr, index))

    def __setitem__(self, index: Any, value: Any) -> None:
        self.expr = assignment.setitem(self, index, value).expr

    def __iter__(self) -> Iterator[Any]:
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return (self[place] for place in range(len(self)))

    @property
    def vindex(self) -> PointIndex:
        """``x.vindex[rows, :, columns]``: elements at points, whose axes come first in the result, wherever the lists stand.

        Examples
        --------
        >>> import numpy as np, kask.array as ka
        >>> x = ka.from_array(np.arange(12).reshape(3, 4), chunks=2)
        >>> x.vindex[[0, 2], [1, 3]].compute()
        array([ 1, 11])
        """
        return PointIndex(self)

    @property
    def blocks(self) -> Blocks:
        """``x.blocks[i, j]``: the array that some of the blocks make, by their places in the grid of blocks.

        Examples
        --------
        >>> import numpy as np, kask.array as ka
        >>> x = ka.from_array(np.arange(6), chunks=2)
        >>> x.blocks[[2, 0]].compute()
        array([4, 5, 0, 1])
        """
        return Blocks(self)

    @property
    def partitions(self) -> Blocks:
        """The same as ``blocks``."""
        return Blocks(self)

    @property
    def flat(self) -> Flat:
        """``x.flat[i]``: the elements in a row, in C order. Assigned to, it changes the array; values must fit the places, and are not repeated.

        Examples
        --------
        >>> import kask.array as ka
        >>> x = ka.zeros((2, 2), chunks=1)
        >>> x.flat[1:3] = 5
        >>> x.compute()
        array([[0., 5.],
               [5., 0.]])
        >>> x.flat[-2].compute()
        np.float64(5.0)
        """
        return Flat(self)

    @flat.setter
    def flat(self, value: Any) -> None:
        Flat(self)[:] = value

    def take(self, indices: Any, axis: int | None = None, mode: str = "raise") -> Any:
        """As :func:`kask.array.take`; without an axis, elements of all in a row."""
        return indexing_edits.take(self, indices, axis, mode)

    def compress(self, condition: Any, axis: int | None = None, out: Any = None) -> Any:
        """As :func:`kask.array.compress`."""
        return indexing_edits.compress(condition, self, axis, out)

    def put(self, indices: Any, values: Any, mode: str = "raise") -> None:
        """As :func:`kask.array.put`."""
        assignment_functions.put(self, indices, values, mode)

    def fill(self, value: Any) -> None:
        """Assign one value to all elements."""
        self[...] = value

    def item(self, *args: Any) -> Any:
        """Computes one element, and gives it as a Python object: the only one, or that of this number or index.

        Examples
        --------
        >>> import kask.array as ka
        >>> ka.arange(6, chunks=4).reshape(2, 3).item(1, 2)
        5
        """
        if not args:
            if self.size != 1:
                raise ValueError("can only convert an array of size 1 to a Python scalar")
            return np.asarray(self.compute()).item()
        index = args[0] if len(args) == 1 else args
        if isinstance(index, tuple):
            if len(index) != self.ndim:
                raise ValueError(f"item() got {len(index)} indices for an array of {self.ndim} axes")
            return self[index].item()
        return wrap(raveled(self.expr))[operator.index(index)].item()

    def tolist(self) -> Any:
        """Computes the array, and gives it as nested lists of Python objects."""
        return np.asanyarray(self.compute()).tolist()

    def tobytes(self, order: str = "C") -> bytes:
        """Computes the array, and gives the bytes of its elements one after another, as ``numpy.ndarray.tobytes``.

        Examples
        --------
        >>> import kask.array as ka
        >>> ka.arange(3, chunks=2, dtype="u1").tobytes()
        b'\\x00\\x01\\x02'
        """
        return np.asanyarray(self.compute()).tobytes(order)

    def tofile(self, fid: Any, sep: str = "", format: str = "%s") -> None:
        """Computes the array, and writes its elements to a file one after another, as ``numpy.ndarray.tofile``. :func:`kask.array.store` and
        ``to_zarr`` write block by block.

        Examples
        --------
        >>> import os, tempfile, numpy as np, kask.array as ka
        >>> path = os.path.join(tempfile.mkdtemp(), "x")
        >>> ka.arange(3, chunks=2).tofile(path)
        >>> np.fromfile(path, int)
        array([0, 1, 2])
        """
        np.asanyarray(self.compute()).tofile(fid, sep, format)

    def nonzero(self) -> tuple[Any, ...]:
        """As :func:`kask.array.nonzero`."""
        return indexing_places.nonzero(self)

    def shuffle(self, indexer: list[list[int]], axis: int, chunks: str = "auto") -> Any:
        """As :func:`kask.array.shuffle`."""
        return indexing_edits.shuffle(self, indexer, axis, chunks)

    def compute_chunk_sizes(self) -> Any:
        """The array, when its sizes are known; what has to run to know them runs now, if it has not.

        Sizes are found by themselves when they are needed, so nobody has to call this.
        """
        return wrap(self.expr.closed()) if isinstance(self.expr, Open) else self
