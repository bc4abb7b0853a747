"""What tasks run for the user's own functions of blocks."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from kask.engine import Chunks

__all__ = [
    "Along",
    "Argument",
    "GufuncCall",
    "UserCall",
    "ViewAs",
    "as_told",
    "can_be_filled",
    "concatenated",
    "fits",
    "is_of_scipy",
    "joined",
    "nested",
]


class ViewAs:
    """The bytes of a block as another type."""

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype
        self.__name__ = "view"

    def __call__(self, block: Any) -> Any:
        # Types of another size need the elements of the last axis side by side.
        if block.ndim and block.dtype.itemsize != self.dtype.itemsize and not block.flags.c_contiguous:
            block = block.copy(order="C")
        return block.view(self.dtype)

    def __kask_tokenize__(self) -> Any:
        return "view", self.dtype


class Argument(NamedTuple):
    """An array among the arguments of a user's function."""

    #: Which argument of the function it is, or its keyword.
    place: int | str
    chunks: Chunks
    #: For each of its axes the axis of the result with the same blocks, or -1 where all of its blocks are read.
    axes: tuple[int, ...]
    #: Whether it is read as a list of blocks.
    is_many: bool
    dtype: np.dtype
    #: Otherwise it is a value of any kind, of which ``block_info`` says nothing.
    is_array: bool = True

    def position(self, at: tuple[int, ...]) -> tuple[int, ...]:
        """Of the block that the block of the result at ``at`` needs."""
        grid = self.chunks.grid
        return tuple([at[axis] if axis >= 0 and blocks > 1 else 0 for axis, blocks in zip(self.axes, grid)])

    def info(self, at: tuple[int, ...]) -> dict[str, Any]:
        """What ``block_info`` says of it."""
        position = self.position(at)
        starts, shape = self.chunks.block_start(position), self.chunks.block_shape(position)
        where = [
            (0, whole) if axis < 0 else (start, start + length)
            for axis, whole, start, length in zip(self.axes, self.chunks.shape, starts, shape)
        ]
        return {
            "shape": self.chunks.shape,
            "num-chunks": self.chunks.grid,
            "array-location": where,
            "chunk-location": position,
        }


class UserCall:
    """The call of a user's function for the block at a position.

    Parameters
    ----------
    func : callable
        The user's.
    args : tuple
        Its arguments; where an array's blocks belong, None.
    arrays : tuple of Argument
        What the blocks are that the kernel gets, in order.
    kwargs : dict
        Its keywords.
    chunks : Chunks
        Of the result.
    dtype : dtype
        Of the result, as ``block_info`` tells it.
    concatenate : bool
        Whether a list of blocks is put together before the call; otherwise it is nested by axis.
    wanted : tuple of str
        ``"block_id"`` and ``"block_info"``, if the function takes them.
    unknown : tuple of int
        Axes along which a block may have any length.
    """

    is_of_user = True

    def __init__(
        self,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        arrays: tuple[Argument, ...],
        kwargs: dict[str, Any],
        chunks: Chunks,
        dtype: Any,
        concatenate: bool,
        wanted: tuple[str, ...] = (),
        unknown: tuple[int, ...] = (),
    ) -> None:
        self.unknown = unknown
        self.func, self.args, self.arrays, self.kwargs = func, args, arrays, kwargs
        self.chunks, self.dtype, self.concatenate, self.wanted = chunks, dtype, concatenate, wanted
        self.__name__ = getattr(func, "__name__", type(func).__name__)

    def __call__(self, position: tuple[int, ...], *blocks: Any) -> Any:
        args, kwargs = list(self.args), dict(self.kwargs)
        for array, block in zip(self.arrays, blocks):
            value = self._value(array, block) if array.is_many else block
            if isinstance(array.place, str):
                kwargs[array.place] = value
            else:
                args[array.place] = value
        if "block_id" in self.wanted:
            kwargs["block_id"] = position
        if "block_info" in self.wanted:
            kwargs["block_info"] = self.info(position)
        result = self.func(*args, **kwargs)
        expected = self._told(self.chunks.block_shape(position))
        if hasattr(result, "shape") and not fits(result.shape, expected):
            raise ValueError(
                f"{self.__name__} made a block of shape {tuple(result.shape)} at {position}, where {expected} was expected; "
                "say what the blocks are with chunks=, drop_axis= and new_axis= (or adjust_chunks= and new_axes=), with chunks=(np.nan,) or "
                "adjust_chunks={label: np.nan} where lengths are not known before"
            )
        return as_told(result, self.dtype)

    def _told(self, sizes: tuple[Any, ...], unknown: Any = math.nan) -> tuple[Any, ...]:
        """What is known of sizes."""
        return (
            tuple([unknown if axis in self.unknown else size for axis, size in enumerate(sizes)])
            if self.unknown
            else sizes
        )

    def _value(self, array: Argument, blocks: list[Any]) -> Any:
        axes = [axis for axis, theirs in enumerate(array.axes) if theirs < 0]
        counts = [array.chunks.grid[axis] for axis in axes]
        return joined(blocks, counts, axes) if self.concatenate else nested(blocks, counts)

    def info(self, position: tuple[int, ...]) -> dict[Any, Any]:
        """``block_info`` of the block at a position."""
        found: dict[Any, Any] = {
            array.place: array.info(position)
            for array in self.arrays
            if array.is_array and isinstance(array.place, int)
        }
        starts, shape = self.chunks.block_start(position), self.chunks.block_shape(position)
        found[None] = {
            "shape": self._told(self.chunks.shape),
            "num-chunks": self.chunks.grid,
            "array-location": list(
                self._told(
                    tuple([(start, start + length) for start, length in zip(starts, shape)]), (math.nan, math.nan)
                )
            ),
            "chunk-shape": self._told(shape),
            "chunk-location": position,
            "dtype": self.dtype,
        }
        return found

    def __kask_tokenize__(self) -> Any:
        arrays = [tuple(array) for array in self.arrays]
        kwargs = sorted(self.kwargs.items())
        said = self.chunks, self.unknown, self.dtype, self.concatenate, self.wanted
        return "user call", self.func, self.args, arrays, kwargs, *said


def fits(shape: tuple[int, ...], expected: tuple[Any, ...]) -> bool:
    """Whether a shape is the expected one, in which NaN stands for any length."""
    if tuple(shape) == tuple(expected):
        return True
    return len(shape) == len(expected) and all(
        size == wanted or wanted != wanted for size, wanted in zip(shape, expected)
    )


def as_told(block: Any, dtype: Any) -> Any:
    """A block in the type that was said, where that holds all that its own does: blocks of several types would otherwise be put together in
    that of the first of them, which may not hold the others."""
    found = getattr(block, "dtype", dtype)
    if found == dtype or not isinstance(block, np.ndarray) or dtype is None:
        return block
    are_alike = found.kind == dtype.kind or (found.kind in "biufc" and dtype.kind in "biufc")
    return block.astype(dtype) if are_alike and np.can_cast(found, dtype) else block


def nested(blocks: list[Any], counts: list[int]) -> Any:
    """Blocks in C order as lists in lists, one level for each count."""
    for count in reversed(counts[1:]):
        blocks = [blocks[start : start + count] for start in range(0, len(blocks), count)]
    return blocks


def joined(blocks: list[Any], counts: list[int], axes: list[int]) -> Any:
    """Blocks in C order, in a grid of these counts along these axes, as one array."""
    for count, axis in zip(reversed(counts), reversed(axes)):
        blocks = [concatenated(blocks[start : start + count], axis) for start in range(0, len(blocks), count)]
    return blocks[0]


def is_of_scipy(block: Any) -> bool:
    """Whether a block is a matrix or array of ``scipy.sparse``, which have functions of their own in place of NumPy's protocols."""
    return type(block).__module__.startswith("scipy.sparse")


def can_be_filled(block: Any) -> bool:
    """Whether a larger array of this kind is made by writing blocks into it; otherwise blocks are put together one after another."""
    return hasattr(type(block), "__setitem__") and not is_of_scipy(block)


def concatenated(blocks: list[Any], axis: int) -> Any:
    """Blocks one after another, with their masks if they have some."""
    if len(blocks) == 1:
        return blocks[0]
    for block in blocks:
        if not getattr(block, "ndim", 0):
            what = type(block).__name__
            raise TypeError(
                f"blocks are put together as arrays, but one is a {what}: a function of blocks must return an array"
            )
    if is_of_scipy(blocks[0]):
        import scipy.sparse

        stack = scipy.sparse.hstack if axis == blocks[0].ndim - 1 else scipy.sparse.vstack
        return stack(blocks, format=blocks[0].format)
    if any(isinstance(block, np.ma.MaskedArray) for block in blocks):
        return np.ma.concatenate(blocks, axis=axis)
    return np.concatenate(blocks, axis=axis)


class GufuncCall:
    """A generalised ufunc on blocks whose core axes come last; of no elements it makes nothing without being called.

    Parameters
    ----------
    func : callable
    kwargs : dict
        Its keywords.
    loop_ndims : tuple of int
        How many axes before the core axes each argument has.
    cores : tuple of tuple of int
        The sizes of the core axes of each result; NaN where it is not known.
    metas : tuple of arrays
        What the results are like.
    is_single : bool
        Whether the function gives one result and not a tuple.
    """

    is_of_user = True

    def __init__(
        self,
        func: Callable[..., Any],
        kwargs: dict[str, Any],
        loop_ndims: tuple[int, ...],
        cores: tuple[tuple[float, ...], ...],
        metas: tuple[Any, ...],
        is_single: bool,
    ) -> None:
        self.func, self.kwargs, self.loop_ndims = func, kwargs, loop_ndims
        self.cores, self.metas, self.is_single = cores, metas, is_single
        self.__name__ = getattr(func, "__name__", type(func).__name__)

    def __call__(self, *blocks: Any) -> Any:
        loop = np.broadcast_shapes(*[np.shape(block)[:ndim] for block, ndim in zip(blocks, self.loop_ndims)])
        if 0 in loop and not any(map(math.isnan, itertools.chain(*self.cores))):
            made = [np.empty_like(meta, shape=loop + core) for meta, core in zip(self.metas, self.cores)]
            return made[0] if self.is_single else tuple(made)
        results = self.func(*blocks, **self.kwargs)
        several = [results] if self.is_single else list(results)
        if len(several) != len(self.cores):
            raise ValueError(f"{self.__name__} gave {len(several)} results, the signature has {len(self.cores)}")
        for number, (result, core) in enumerate(zip(several, self.cores)):
            if not fits(np.shape(result), loop + core):
                raise ValueError(
                    f"result {number} of {self.__name__} has the shape {np.shape(result)}, where {loop + core} was expected "
                    "by its signature"
                )
        # What was said of the results beforehand is true.
        several = [
            result.astype(meta.dtype) if getattr(result, "dtype", meta.dtype) != meta.dtype else result
            for result, meta in zip(several, self.metas)
        ]
        return several[0] if self.is_single else tuple(several)

    def __kask_tokenize__(self) -> Any:
        kwargs = sorted(self.kwargs.items())
        return "gufunc", self.func, kwargs, self.loop_ndims, self.cores, self.metas, self.is_single


class Along:
    """``numpy.apply_along_axis`` on a block that has the whole axis."""

    is_of_user = True

    def __init__(
        self,
        func: Callable[..., Any],
        axis: int,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        shape: tuple[int, ...],
        dtype: Any,
    ) -> None:
        self.func, self.axis, self.args, self.kwargs, self.shape, self.dtype = func, axis, args, kwargs, shape, dtype
        self.__name__ = getattr(func, "__name__", type(func).__name__)

    def __call__(self, block: Any) -> Any:
        around = block.shape[: self.axis], block.shape[self.axis + 1 :]
        if 0 in around[0] + around[1]:
            return np.empty(around[0] + self.shape + around[1], self.dtype)
        return np.apply_along_axis(self.func, self.axis, block, *self.args, **self.kwargs).astype(
            self.dtype, copy=False
        )

    def __kask_tokenize__(self) -> Any:
        return "along", self.func, self.axis, self.args, sorted(self.kwargs.items()), self.shape, self.dtype
