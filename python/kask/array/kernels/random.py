"""Random numbers by the place of elements.

An array is laid out in *tiles* of about 16,384 elements, whose sides depend on its shape only. Each tile has a stream of its own: Philox
(Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", 2011) with the key of the call and a counter that begins with the tile's
number. A block draws the tiles that it touches, from their beginning as far as it needs them; so cuts and slices change no number.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np

__all__ = ["Constant", "Draw", "draw_block", "draw_with", "index_of", "take_from", "tile_sides"]

#: Elements of a tile. Larger ones waste more at the ends of blocks, smaller ones cost more to begin (7 microseconds each).
_TILE = 1 << 14

Key = tuple[int, int]


class Draw:
    """A method of ``numpy.random.Generator`` and its arguments; those that are None in ``slots`` come with the block."""

    def __init__(self, method: str, slots: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.method, self.slots, self.kwargs = method, slots, kwargs
        self.__name__ = method

    def __call__(self, generator: Any, size: Any, params: tuple[Any, ...] = ()) -> Any:
        given = iter(params)
        args = [next(given) if slot is None else slot for slot in self.slots]
        return getattr(generator, self.method)(*args, size=size, **self.kwargs)

    def __kask_tokenize__(self) -> Any:
        return "draw", self.method, self.slots, self.kwargs


def tile_sides(shape: tuple[int, ...], each: int = 1) -> tuple[int, ...]:
    """The sides of the tiles of an array, whose elements are each ``each`` numbers."""
    sides, room = [1] * len(shape), max(1, _TILE // max(1, each))
    while room > 1:
        # The last of the shortest sides grows, as long as the array is longer.
        open_axes = [axis for axis, length in enumerate(shape) if sides[axis] < length]
        if not open_axes:
            break
        axis = min(open_axes, key=lambda axis: (sides[axis], -axis))
        sides[axis] *= 2
        room //= 2
    return tuple(sides)


def bits_of(key: Key) -> np.random.Philox:
    """The random bits of a call."""
    return np.random.Philox(key=np.array(key, np.uint64))


class _Streams:
    """The streams of a call's tiles."""

    def __init__(self, key: Key) -> None:
        self._bits = bits_of(key)
        self._state = self._bits.state
        self._generator = np.random.Generator(self._bits)

    def at(self, tile: int) -> np.random.Generator:
        """The generator at the beginning of a tile. Asking for the next one moves it there."""
        state = self._state
        state["state"]["counter"] = np.array([0, 0, tile, 0], np.uint64)
        state["buffer_pos"], state["has_uint32"], state["uinteger"] = 4, 0, 0
        self._bits.state = state
        return self._generator


def _segments(start: int, step: int, length: int, side: int) -> list[tuple[int, slice, slice]]:
    """The tiles that a row of places goes through: the tile, what is taken of it, and where that comes."""
    found, at = [], 0
    while at < length:
        place = start + step * at
        tile = place // side
        # So many more steps stay in the tile.
        more = ((tile + 1) * side - 1 - place) // step if step > 0 else (place - tile * side) // -step
        end = min(length, at + more + 1)
        first = place - tile * side
        stop: int | None = first + step * (end - at - 1) + (1 if step > 0 else -1)
        found.append((tile, slice(first, None if stop == -1 else stop, step), slice(at, end)))
        at = end
    return found


def draw_block(
    position: tuple[int, ...],
    chunks: Any,
    places: tuple[tuple[int, int], ...],
    whole: tuple[int, ...],
    key: Key,
    draw: Draw,
    extra: tuple[int, ...],
    dtype: Any,
) -> np.ndarray:
    """A block of what is drawn: along each axis of the whole array from a first element on every so-many-th."""
    starts, shape = chunks.block_start(position), chunks.block_shape(position)
    out = np.empty(shape, dtype)
    if out.size == 0:
        return out
    sides = tile_sides(whole, math.prod(extra))
    along = [
        _segments(first + step * start, step, length, side)
        for start, length, (first, step), side in zip(starts, shape, places, sides)
    ]
    grid = [-(-length // side) for length, side in zip(whole, sides)]
    streams = _Streams(key)
    for segments in itertools.product(*along):
        number, tile_shape, last = 0, [], 0
        for (tile, taken, _), blocks, length, side in zip(segments, grid, whole, sides):
            number = number * blocks + tile
            here = min(side, length - tile * side)
            tile_shape.append(here)
            # The furthest element that is needed; what is behind it need not be drawn.
            furthest = (
                max(taken.start, (here if taken.stop is None else taken.stop) - 1) if taken.step > 0 else taken.start
            )
            last = last * here + furthest
        drawn = np.asarray(draw(streams.at(number), last + 1))
        size = math.prod(tile_shape)
        if last + 1 < size:
            begun = drawn
            drawn = np.empty((size, *extra), dtype)
            drawn[: last + 1] = begun
        tile_values = drawn.reshape((*tile_shape, *extra))
        out[tuple([into for _, _, into in segments])] = tile_values[tuple([taken for _, taken, _ in segments])]
    return out


def draw_with(position: tuple[int, ...], chunks: Any, key: Key, draw: Draw, dtype: Any, *params: Any) -> np.ndarray:
    """A block of whole tiles, whose elements have parameters of their own."""
    starts, shape, whole = chunks.block_start(position), chunks.block_shape(position), chunks.shape
    out = np.empty(shape, dtype)
    sides = tile_sides(whole)
    grid = [-(-length // side) for length, side in zip(whole, sides)]
    streams = _Streams(key)
    along = [range(0, length, side) for length, side in zip(shape, sides)]
    for corner in itertools.product(*along):
        place = tuple([slice(at, at + side) for at, side in zip(corner, sides)])
        number = 0
        for at, start, side, blocks in zip(corner, starts, sides, grid):
            number = number * blocks + (start + at) // side
        out[place] = draw(streams.at(number), None, tuple([param[place] for param in params]))
    return out


class Constant:
    """An array that all of goes to each block."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __kask_tokenize__(self) -> Any:
        return "constant", self.array


def index_of(uniform: Any, cumulative: Constant) -> Any:
    """Which interval a number between 0 and 1 lies in."""
    return np.searchsorted(cumulative.array, uniform, side="right")


def take_from(index: Any, population: Constant) -> Any:
    """Elements of what is chosen from."""
    return np.take(population.array, index)
