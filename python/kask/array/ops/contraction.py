"""Products of arrays whose axes are matched by label and partly contracted: the node under everything in ``products``.

Contracted axes are axes of the grid of products too: each task multiplies one block of each operand, and a tree adds the products
of the blocks along contracted axes. So a task holds a few blocks, however long the contracted axes are. Short pieces of contracted axes are
put together, and the result is cut finer where that would leave too little to do at the same time.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kask import config
from kask.array.kernels.products import Contract, PartAsItIs, Tensordot, add_parts
from kask.array.kernels.reductions import itself
from kask.array.node import ArrayExpr, empty_meta
from kask.array.ops.mapped import one_by_one
from kask.array.ops.rechunk import rechunked
from kask.array.ops.reductions import reduced
from kask.array.ops.slicing import sliced
from kask.engine import Chunks
from kask.expr.lower import BlockCall, Read
from kask.rooms import current_room

if TYPE_CHECKING:
    from kask.expr.rewrite import Readers

#: Blocks along contracted axes are put together up to this size, or that of their product, but not beyond that of blocks whose size is
#: left open.
PANEL_BYTES = 32 * 2**20
#: Blocks of a result that are enough to do at the same time, and the smallest that it is cut into for that.
AT_ONCE, LEAST_BYTES = 16, 2**20
#: Products that are enough for each thread: where there are more they are made wider.
ENOUGH = 4

# For the families of functions only.
__all__: list[str] = []


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Products(ArrayExpr):
    """``func`` of one block of each array. ``axes`` says for each axis of each array which axis of the products it is, or -1 where it
    has one block that is contracted at once. The last ``added`` axes have an element for each block along a contracted axis."""

    func: Callable[..., Any]
    arrays: tuple[Any, ...]
    axes: tuple[tuple[int, ...], ...]
    chunks: Chunks
    added: int
    meta: Any

    @property
    def label(self) -> str:
        return self.func.__name__

    @functools.cached_property
    def _kept(self) -> int:
        return self.ndim - self.added

    def _is_fixed(self, array: ArrayExpr, at: int, axis: int) -> bool:
        """Whether an axis is contracted at once, or has one element which goes with all blocks of the others."""
        return axis < 0 or (array.grid[at] == 1 and self.grid[axis] != 1)

    def block_call(self) -> BlockCall:
        reads = [
            Read(
                array,
                tuple([("fixed", 0) if self._is_fixed(array, at, axis) else axis for at, axis in enumerate(axes)]),
            )
            for array, axes in zip(self.arrays, self.axes)
        ]
        return BlockCall(Contract(self.func, self.added), tuple(reads))

    def settled(self, readers: Readers) -> ArrayExpr | None:
        """Wider products, cut again: the library that multiplies takes up to a tenth longer for narrow ones."""
        last = self._kept - 1
        room = current_room() if last > 0 else None
        is_fast = (self.func is np.matmul or isinstance(self.func, Tensordot)) and self.dtype.kind in "fc"
        is_large = math.prod(self.chunks.largest) * self.dtype.itemsize >= LEAST_BYTES
        if room is None or not (is_fast and is_large) or self.chunks.nblocks < 2 * ENOUGH * room.threads:
            return None
        length, blocks = self.shape[last], self.grid[last]
        places = [(place, axes.index(last)) for place, axes in enumerate(self.axes) if last in axes]
        # Pieces of different sizes would have to be put together again.
        if len(places) != 1 or blocks % 2 or self.chunks.largest[last] * blocks != length:
            return None
        ((place, at),) = places
        wide = Chunks.normalize([length], [2 * length // blocks], 1, 1)
        arrays = list(self.arrays)
        arrays[place] = rechunked(arrays[place], arrays[place].chunks.replace(at, wide))
        wider = dataclasses.replace(self, arrays=tuple(arrays), chunks=self.chunks.replace(last, wide))
        sizes = [math.prod(array.chunks.largest) * array.dtype.itemsize for array in (*arrays, wider)]
        if max(sizes) > 2 * PANEL_BYTES or sum(sizes) > room.task_bytes // 2:
            return None
        return rechunked(wider, self.chunks)

    def taking(self, taken: Any, chunks: Chunks) -> ArrayExpr | None:
        """A part of the products is products of parts."""
        whole = [(0, 1, length) for length in self.shape]
        if 0 in chunks.shape or list(taken[self._kept :]) != whole[self._kept :]:
            return None
        parts = []
        for array, axes in zip(self.arrays, self.axes):
            inner, along = [], []
            for at, axis in enumerate(axes):
                is_cut = 0 <= axis < self._kept and array.shape[at] == self.shape[axis]
                inner.append(taken[axis] if is_cut else (0, 1, array.shape[at]))
                along.append(chunks.axis(axis) if is_cut else array.chunks.axis(at))
            parts.append(rechunked(sliced(array, tuple(inner)), Chunks.join(along)))
        return dataclasses.replace(self, arrays=tuple(parts), chunks=chunks)

    def picking(self, take: Any) -> ArrayExpr | None:
        """What a list picks of the products is the products of what it picks."""
        if take.axis >= self._kept:
            return None
        parts = []
        for array, axes in zip(self.arrays, self.axes):
            for at, axis in enumerate(axes):
                if axis == take.axis and array.shape[at] == self.shape[axis]:
                    array = take.of(array, at)
            parts.append(array)
        return dataclasses.replace(self, arrays=tuple(parts), chunks=take.chunks)


def contracted(
    func: Callable[..., Any],
    arrays: Sequence[ArrayExpr],
    labels: Sequence[Sequence[Any]],
    out: Sequence[Any],
    dtype: Any,
    *,
    split_every: Any = None,
) -> ArrayExpr:
    """``func`` of arrays whose axes have labels; axes whose label is not in ``out`` are contracted.

    ``func`` must be such that its results for pieces of contracted axes add up. Axes of the same label are as long as each other, or have one
    element.
    """
    along = _cuts(arrays, labels)
    item_bytes = max(1, np.dtype(dtype).itemsize)
    _bound(along, out, arrays, labels, item_bytes)
    along = _thickened(along, out, arrays, labels, item_bytes)
    many = [label for label in along if label not in out and along[label].grid[0] > 1]
    places = {label: place for place, label in enumerate([*out, *many])}
    ready, axes = [], []
    for array, own in zip(arrays, labels):
        wanted = [
            along[label] if length == along[label].shape[0] else Chunks.whole([length])
            for label, length in zip(own, array.shape)
        ]
        ready.append(rechunked(array, Chunks.join(wanted)))
        axes.append(tuple([places.get(label, -1) for label in own]))
    chunks = Chunks.join([*[along[label] for label in out], *[one_by_one(along[label].grid[0]) for label in many]])
    kind = np.dtype(dtype)
    meta = empty_meta(kind, len(places), arrays[0].meta)
    products = Products(func, tuple(ready), tuple(axes), chunks, len(many), meta)
    if not many:
        return products
    added = tuple(range(len(out), len(places)))
    return reduced(
        products,
        PartAsItIs(products.label.strip("_")),
        add_parts,
        itself,
        added,
        kind,
        split_every=split_every,
        label=f"{products.label}-sum",
    )


def _cuts(arrays: Sequence[ArrayExpr], labels: Sequence[Sequence[Any]]) -> dict[Any, Chunks]:
    """How arrays are cut along each label."""
    cuts: dict[Any, list[Chunks]] = {}
    for array, own in zip(arrays, labels):
        for axis, label in enumerate(own):
            cuts.setdefault(label, []).append(array.chunks.axis(axis))
    along = {}
    for label, found in cuts.items():
        lengths = {one.shape[0] for one in found} - {1}
        if len(lengths) > 1:
            shapes = " and ".join([str(array.shape) for array in arrays])
            raise ValueError(
                f"shapes {shapes} do not fit: axes that are matched have the lengths "
                f"{' and '.join(map(str, sorted(lengths)))}"
            )
        length = next(iter(lengths), 1)
        along[label] = Chunks.unify([one for one in found if one.shape[0] == length])
    return along


def _blocks(along: dict[Any, Chunks], labels: Iterable[Any]) -> int:
    return math.prod([along[label].grid[0] for label in labels])


def _piece(along: dict[Any, Chunks], array: ArrayExpr, own: Sequence[Any], without: Any = None) -> int:
    """The most elements of a block of an array, or how many there are for each place along one of its axes."""
    pairs = zip(own, array.shape)
    return math.prod([along[label].largest[0] for label, length in pairs if label != without and length != 1])


def _thickened(
    along: dict[Any, Chunks],
    out: Sequence[Any],
    arrays: Sequence[ArrayExpr],
    labels: Sequence[Sequence[Any]],
    item_bytes: int,
) -> dict[Any, Chunks]:
    """Longer pieces of contracted axes, so that there are fewer products to add. Where little would be left to do at the same time, the
    result is cut finer instead."""
    longer = _gathered(along, out, arrays, labels, item_bytes)
    enough = min(AT_ONCE, _blocks(along, along))
    if not out or _blocks(longer, longer) >= enough:
        return longer
    chunks = Chunks.join([along[label] for label in out])
    _cut_finer(longer, out, chunks, item_bytes, max(LEAST_BYTES, math.prod(chunks.shape) * item_bytes // AT_ONCE))
    return _gathered(longer, out, arrays, labels, item_bytes)


def _gathered(
    along: dict[Any, Chunks],
    out: Sequence[Any],
    arrays: Sequence[ArrayExpr],
    labels: Sequence[Sequence[Any]],
    item_bytes: int,
) -> dict[Any, Chunks]:
    """Pieces of contracted axes put together. Where the result has few blocks, only until operands are as large as their product: then
    adding takes less than putting together."""
    along = {**along}
    size = math.prod([along[label].largest[0] for label in out])
    most = min(max(PANEL_BYTES, size * item_bytes), int(config.get("array.chunk_size_bytes")))
    has_few = _blocks(along, out) < AT_ONCE
    for label, cut in along.items():
        longest, fits = cut.largest[0], cut.shape[0]
        if label in out or cut.grid[0] < 2 or not longest:
            continue
        for array, own in zip(arrays, labels):
            if label in own:
                beside = max(1, _piece(along, array, own, label))
                fits = min(fits, most // (beside * max(1, array.dtype.itemsize)), size // beside if has_few else fits)
        length = fits // longest * longest if fits < cut.shape[0] else cut.shape[0]
        if length > longest:
            along[label] = Chunks.normalize([cut.shape[0]], [length], 1, 1)
    return along


def _bound(
    along: dict[Any, Chunks],
    out: Sequence[Any],
    arrays: Sequence[ArrayExpr],
    labels: Sequence[Sequence[Any]],
    item_bytes: int,
) -> None:
    """Cut the result finer where products of large blocks would be much larger than these."""
    if not out:
        return
    limit = int(config.get("array.chunk_size_bytes"))
    most = max([limit, *[_piece(along, array, own) * array.dtype.itemsize for array, own in zip(arrays, labels)]])
    chunks = Chunks.join([along[label] for label in out])
    if math.prod(chunks.largest) * item_bytes > most:
        _cut_finer(along, out, chunks, item_bytes, limit)


def _cut_finer(along: dict[Any, Chunks], out: Sequence[Any], chunks: Chunks, item_bytes: int, limit: int) -> None:
    finer = Chunks.normalize(list(chunks.shape), ["auto"] * len(out), item_bytes, limit, chunks)
    for axis, label in enumerate(out):
        along[label] = finer.axis(axis)
