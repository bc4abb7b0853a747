"""Other shapes of the same elements: ``reshape``, ``ravel``, axes put in and taken out, ``broadcast_to``."""

from __future__ import annotations

import dataclasses
import functools
import math
import operator
from typing import Any

import numpy as np

from kask import config
from kask.array.base import as_array, wrap
from kask.array.kernels.shaping import stretch, view_block
from kask.array.node import ArrayExpr, empty_meta
from kask.array.ops.chunks import normalized
from kask.array.ops.elementwise import broadcast_shapes
from kask.array.ops.filling import shape_of
from kask.array.ops.rechunk import rechunked
from kask.array.ops.slicing import expanded, sliced, squeezed, transposed
from kask.engine import Chunks
from kask.expr.lower import AT, BlockCall, Read
from kask.units import parse_bytes

__all__ = ["broadcast_arrays", "broadcast_to", "expand_dims", "ravel", "reshape", "reshape_blockwise", "squeeze"]

#: Bytes that an object in an array is taken to have.
_OBJECT_BYTES = 64


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Broadcast(ArrayExpr):
    """The array repeated along axes of one element (each one block) and along new axes in front."""

    is_view = True
    family = "broadcast_to"
    is_cheap = True

    array: Any
    chunks: Chunks

    @functools.cached_property
    def meta(self) -> Any:
        return empty_meta(self.array.dtype, self.chunks.ndim, self.array.meta)

    def block_call(self) -> BlockCall:
        skipped = self.ndim - self.array.ndim
        reads = tuple(
            [
                ("fixed", 0) if length == 1 and self.shape[skipped + axis] != 1 else skipped + axis
                for axis, length in enumerate(self.array.shape)
            ]
        )
        return BlockCall(stretch, (Read(self.array, reads), AT, self.chunks))

    def taking(self, taken: Any, chunks: Chunks) -> ArrayExpr:
        skipped = self.ndim - self.array.ndim
        inner = [
            (0, 1, 1) if length == 1 and taken[skipped + axis][2] > 0 else taken[skipped + axis]
            for axis, length in enumerate(self.array.shape)
        ]
        part = sliced(self.array, tuple(inner))
        return broadcast(part, chunks.shape, chunks)

    def picking(self, take: Any) -> ArrayExpr:
        axis = take.axis - (self.ndim - self.array.ndim)
        is_stretched = axis < 0 or self.array.shape[axis] != self.shape[take.axis]
        return Broadcast(self.array if is_stretched else take.of(self.array, axis), take.chunks)


def broadcast(array: ArrayExpr, shape: tuple[int, ...], chunks: Chunks | None = None) -> ArrayExpr:
    """The array in a shape that it broadcasts to. Axes that it has keep their chunks, unless ``chunks`` are given."""
    skipped = len(shape) - array.ndim
    if skipped < 0 or any(ours not in (1, wanted) for ours, wanted in zip(array.shape, shape[max(skipped, 0) :])):
        raise ValueError(f"an array of shape {array.shape} cannot be broadcast to the shape {shape}")
    if shape == array.shape:
        return array if chunks is None else rechunked(array, chunks)
    if chunks is None:
        specs: list[Any] = [
            array.chunks.axis(axis - skipped) if axis >= skipped and array.shape[axis - skipped] == length else "auto"
            for axis, length in enumerate(shape)
        ]
        chunks = normalized(tuple(specs), shape, array.dtype)
    inner = [
        chunks.axis(skipped + axis) if length == shape[skipped + axis] else Chunks.whole([1])
        for axis, length in enumerate(array.shape)
    ]
    return Broadcast(rechunked(array, Chunks.join(inner)), chunks)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Viewed(ArrayExpr):
    """The elements of each block in another shape; blocks have the same numbers in C order in both grids."""

    is_view = True
    family = "reshape"

    array: Any
    chunks: Chunks

    @property
    def is_light(self) -> bool:
        return True

    @functools.cached_property
    def meta(self) -> Any:
        return empty_meta(self.array.dtype, self.chunks.ndim, self.array.meta)

    def block_call(self) -> BlockCall:
        reads = renumbered(self.array.grid, self.grid)
        if reads is None:
            # Then it cannot be made together with the array, block by block.
            read = Read(self.array, tuple(range(self.ndim)), self.grid)
        else:
            read = Read(self.array, reads)
        return BlockCall(view_block, (read, AT, self.chunks))


def renumbered(old: tuple[int, ...], new: tuple[int, ...]) -> tuple[Any, ...] | None:
    """For each axis of the old grid where a block of the new grid finds the old block with its number; None if that cannot be said,
    which is so where several axes of the new grid would have to be looked at for one of the old."""
    reads: list[Any] = [("fixed", 0)] * len(old)
    cut_old = [axis for axis, blocks in enumerate(old) if blocks > 1]
    cut_new = [axis for axis, blocks in enumerate(new) if blocks > 1]
    while cut_old and cut_new:
        left, right = [cut_old.pop(0)], [cut_new.pop(0)]
        while (ours := math.prod(old[axis] for axis in left)) != (theirs := math.prod(new[axis] for axis in right)):
            if ours < theirs and cut_old:
                left.append(cut_old.pop(0))
            elif theirs < ours and cut_new:
                right.append(cut_new.pop(0))
            else:
                return None
        if len(left) == 1 and len(right) == 1:
            reads[left[0]] = right[0]
        elif len(right) == 1:
            ends = np.arange(1, theirs + 1).tolist()
            for axis, blocks in zip(left, np.unravel_index(np.arange(theirs), [old[axis] for axis in left])):
                reads[axis] = ("listed", right[0], tuple(blocks.tolist()), tuple(ends))
        else:
            return None
    return tuple(reads) if not cut_old and not cut_new else None


def viewed(array: ArrayExpr, chunks: Chunks) -> ArrayExpr:
    """The array in another shape, block by block."""
    return array if chunks == array.chunks else Viewed(array, chunks)


def reshaped(array: ArrayExpr, shape: tuple[int, ...], limit_bytes: int | None = None) -> ArrayExpr:
    """The array in another shape, in C order, in blocks of at most so many bytes where that is possible."""
    if shape == array.shape:
        return array
    if array.dtype.hasobject:
        item_bytes = _OBJECT_BYTES
    else:
        item_bytes = max(1, array.dtype.itemsize)
    limit = config.get("array.chunk_size_bytes") if limit_bytes is None else limit_bytes
    lengths = list(shape)
    before, merged, split, after = array.chunks.plan_reshape(lengths, max(1, limit // item_bytes))
    line = viewed(rechunked(array, before), merged)
    return viewed(rechunked(line, split), after)


def raveled(array: ArrayExpr) -> ArrayExpr:
    """All elements in C order, along one axis."""
    return reshaped(array, (math.prod(array.shape),))


def with_one_axis(array: ArrayExpr, axis: Any, *, of_number: bool = False) -> tuple[ArrayExpr, int]:
    """An array and one of its axes; all elements in a row for None. With ``of_number`` an array without axes has the axes 0 and -1."""
    if axis is None or (of_number and array.ndim == 0 and axis in (0, -1)):
        return raveled(array), 0
    return array, np.lib.array_utils.normalize_axis_index(axis, array.ndim)


def _wanted_shape(array: ArrayExpr, shape: tuple[Any, ...]) -> tuple[int, ...]:
    lengths = [operator.index(length) for length in shape]
    size = math.prod(array.shape)
    if lengths.count(-1) > 1:
        raise ValueError(f"shape={tuple(lengths)}, but only one length can be left open with -1")
    if any(length < -1 for length in lengths):
        raise ValueError(f"shape={tuple(lengths)}, but lengths are 0 or more, or -1 for what is left")
    if -1 in lengths:
        rest = math.prod(length for length in lengths if length != -1)
        if rest == 0 or size % rest:
            raise ValueError(f"an array of shape {array.shape} cannot be reshaped to {tuple(lengths)}")
        lengths[lengths.index(-1)] = size // rest
    if math.prod(lengths) != size:
        raise ValueError(f"an array of {size} elements (shape {array.shape}) cannot be reshaped to {tuple(lengths)}")
    return tuple(lengths)


def reshape(
    x: Any, shape: Any, merge_chunks: bool = True, limit: Any = None, *, order: str = "C", copy: bool | None = None
) -> Any:
    """The same elements in another shape.

    Parameters
    ----------
    x : array
        What is reshaped.
    shape : int or tuple of int
        The new shape; one length may be -1, which is what is left.
    merge_chunks : bool
        Accepted: whether blocks are put together is decided by ``limit``.
    limit : int or str, optional
        Bytes of the largest block on the way, by default the setting ``array.chunk_size_bytes``. A block may become larger where the
        new shape has so long rows.
    order : str
        ``"C"``: the last axis changes fastest; ``"F"``: the first. ``"A"`` is as ``"C"``.
    copy : bool, optional
        Accepted.

    Raises
    ------
    ValueError
        The shape has not as many elements as the array.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.arange(6, chunks=4).reshape((2, 3)).compute()
    array([[0, 1, 2],
           [3, 4, 5]])
    """
    x = as_array(x)
    lengths = _wanted_shape(x.expr, tuple(shape) if isinstance(shape, list | tuple | np.ndarray) else (shape,))
    limit_bytes = None if limit is None else parse_bytes(limit)
    if order in ("C", "A"):
        return wrap(reshaped(x.expr, lengths, limit_bytes))
    if order != "F":
        raise ValueError(f"order={order!r}, but an array is reshaped in the order 'C', 'F' or 'A'")
    turned = transposed(x.expr, tuple(range(x.ndim))[::-1])
    return wrap(transposed(reshaped(turned, lengths[::-1], limit_bytes), tuple(range(len(lengths)))[::-1]))


def ravel(array_like: Any, order: str = "C") -> Any:
    """All elements along one axis; see :func:`reshape`.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.ravel(ka.ones((2, 2), chunks=1)).compute()
    array([1., 1., 1., 1.])
    """
    return reshape(array_like, (-1,) if as_array(array_like).size else (0,), order="C" if order == "K" else order)


def reshape_blockwise(x: Any, shape: Any, chunks: Any = None) -> Any:
    """Each block in another shape, without moving elements between blocks; so the order of the elements is not that of
    :func:`reshape`, but that of the blocks. Reshaping back blockwise restores the array.

    Parameters
    ----------
    x : array
        What is reshaped.
    shape : int or tuple of int
        The new shape; -1 is not possible.
    chunks : tuple of tuples of int, optional
        The new chunks. Where an axis is split they are needed; where axes are merged they are found.

    Examples
    --------
    >>> import kask.array as ka
    >>> x = ka.from_array([[0, 1, 2], [3, 4, 5]], chunks=(2, 2))
    >>> line = ka.reshape_blockwise(x, 6)
    >>> line.compute()
    array([0, 1, 3, 4, 2, 5])
    >>> ka.reshape_blockwise(line, x.shape, chunks=x.chunks).compute()
    array([[0, 1, 2],
           [3, 4, 5]])
    """
    x = as_array(x)
    lengths = shape_of(shape)
    if math.prod(lengths) != x.size:
        raise ValueError(f"an array of {x.size} elements (shape {x.shape}) cannot be reshaped to {lengths}")
    if lengths == x.shape:
        return x
    if chunks is not None:
        found = normalized(chunks, lengths, x.dtype)
    else:
        if len(lengths) > x.ndim:
            raise ValueError(f"chunks= is needed where axes are split, here from shape {x.shape} to {lengths}")
        found = Chunks.join(_merged_axes(x.expr, lengths))
    if math.prod(found.grid) != x.npartitions:
        raise ValueError(f"blocks in a grid of {x.numblocks} cannot become blocks in a grid of {found.grid} one by one")
    if found.flat() != x.expr.chunks.flat():
        raise ValueError(f"chunks={found.tuples()} have blocks of other sizes than the blocks of the array, {x.chunks}")
    return wrap(viewed(x.expr, found))


def _merged_axes(array: ArrayExpr, shape: tuple[int, ...]) -> list[Chunks]:
    """Chunks along new axes that are each several old axes, block by block."""
    found, axis = [], 0
    for length in shape:
        first, product = axis, 1
        while axis < array.ndim and (product < length or (product == length and array.shape[axis] == 1)):
            product *= array.shape[axis]
            axis += 1
        if product != length:
            raise ValueError(f"shape {array.shape} cannot become {shape} by putting neighbouring axes together")
        found.append(Chunks.join([array.chunks.axis(along) for along in range(first, axis)]).flat())
    return found


def expand_dims(a: Any, axis: Any) -> Any:
    """Axes of one element put in.

    Parameters
    ----------
    a : array
        What they are put into.
    axis : int or tuple of int
        Their places in the result.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.expand_dims(ka.ones(3, chunks=2), axis=(0, 2)).shape
    (1, 3, 1)
    """
    a = as_array(a)
    many = tuple(axis) if isinstance(axis, list | tuple) else (axis,)
    return wrap(expanded(a.expr, np.lib.array_utils.normalize_axis_tuple(many, a.ndim + len(many))))


def squeeze(a: Any, axis: Any = None) -> Any:
    """Axes of one element taken out: all of them, or those that are named.

    Raises
    ------
    ValueError
        A named axis has not one element.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.squeeze(ka.ones((1, 3, 1), chunks=2)).shape
    (3,)
    """
    a = as_array(a)
    if axis is None:
        axes = tuple([place for place, length in enumerate(a.shape) if length == 1])
    else:
        axes = np.lib.array_utils.normalize_axis_tuple(axis, a.ndim)
        long = [place for place in axes if a.shape[place] != 1]
        if long:
            raise ValueError(
                f"axis={axis}, but axis {long[0]} has {a.shape[long[0]]} elements, not one (shape {a.shape})"
            )
    return wrap(squeezed(a.expr, axes))


def broadcast_to(x: Any, shape: Any, chunks: Any = None, meta: Any = None, *, subok: bool = False) -> Any:
    """The array repeated along axes of one element and along new axes in front.

    Parameters
    ----------
    x : array
        What is repeated.
    shape : int or tuple of int
        The shape that it shall have.
    chunks : int, str, tuple or dict, optional
        How the result is cut; by default axes that ``x`` has keep their chunks.
    meta : array, optional
        Accepted.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.broadcast_to(ka.arange(3, chunks=2), (2, 3)).compute()
    array([[0, 1, 2],
           [0, 1, 2]])
    """
    x, shape = as_array(x), shape_of(shape)
    wanted = None if chunks is None else normalized(chunks, shape, x.dtype)
    return wrap(broadcast(x.expr, shape, wanted))


def broadcast_arrays(*args: Any, subok: bool = False) -> Any:
    """All arrays in the shape that they have together.

    Examples
    --------
    >>> import kask.array as ka
    >>> [x.shape for x in ka.broadcast_arrays(ka.ones((3, 1)), ka.ones(2))]
    [(3, 2), (3, 2)]
    """
    arrays = [as_array(arg).expr for arg in args]
    if not arrays:
        return ()
    shape = broadcast_shapes(*[array.shape for array in arrays])
    return tuple([wrap(broadcast(array, shape)) for array in arrays])
