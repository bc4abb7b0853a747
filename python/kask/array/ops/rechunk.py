"""Other chunks for the same array."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any, NamedTuple

import numpy as np

from kask import config, engine
from kask.annotations import using
from kask.array.kernels.regions import gather_copied, gather_region
from kask.array.node import ArrayExpr
from kask.array.ops.turning import Turn
from kask.engine import Chunks, Interval
from kask.expr import Expr, Lowering
from kask.expr.lower import AT, BlockCall, Read
from kask.rooms import Room, current_room
from kask.shuffle import MergeBlocks, SplitBlock, take_block

__all__ = ["Rechunk", "RechunkStep", "Wish", "rechunked"]


class Wish(NamedTuple):
    """What the user says about how blocks are moved; see ``kask.array.rechunk``."""

    method: str | None = None
    threshold: float | None = None
    limit_bytes: int | None = None


#: The steps are chosen by what they cost.
_CHEAPEST = Wish()


class _Step(ArrayExpr):
    """Blocks made of those of ``before``, whose elements are the same: directly, or in so many groups by a shuffle."""

    @property
    def before(self) -> Any:
        raise NotImplementedError

    @property
    def groups(self) -> int:
        raise NotImplementedError

    @property
    def are_views(self) -> bool:
        """Whether a block may be a view of what it is made of."""
        raise NotImplementedError

    @functools.cached_property
    def meta(self) -> Any:
        return self.array.meta  # type: ignore[attr-defined]

    @property
    def remark(self) -> str:
        return "shuffle" if self.groups else ""

    @property
    def reads_joined(self) -> bool:
        return True

    def block_call(self) -> BlockCall | None:
        if self.groups:
            return None
        before = self.before
        intervals = tuple([Interval(before.chunks.axis(axis), self.chunks.axis(axis)) for axis in range(self.ndim)])
        axes = tuple([("interval", axis, interval) for axis, interval in enumerate(intervals)])
        gather = gather_region if self.are_views else gather_copied
        return BlockCall(gather, (Read(before, axes), AT, intervals, self.meta))

    def lower(self, lowering: Lowering) -> None:
        before, groups = self.before, self.groups
        template = (engine.Hole(0), engine.Hole(1))
        lowering.builder.add_shuffle(
            self.name,
            SplitBlock(before.chunks, self.chunks, groups),
            MergeBlocks(self.chunks, groups),
            take_block,
            template,
            template,
            template,
            lowering.source(before),
            list(before.grid),
            list(self.grid),
            groups,
            wants_position=True,
            options=lowering.options(self),
        )


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class RechunkStep(_Step):
    """The same elements, cut in a way that is on the way to another."""

    family = "rechunk-step"

    array: Any
    chunks: Chunks
    #: Groups of a shuffle, or 0.
    merged: int

    @property
    def before(self) -> Any:
        return self.array

    @property
    def groups(self) -> int:
        return self.merged

    @property
    def are_views(self) -> bool:
        return False


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Rechunk(_Step):
    """The same elements, cut otherwise, in the steps that take least where the graph will run (see ``kask_graph::chunks::plan_rechunk``).

    The steps are found when a graph is made, since they depend on the memory that a task may take, and are no part of what this is: until then it can be
    merged with others. All but the last one are expressions of their own.
    """

    array: Any
    chunks: Chunks
    wish: Wish = _CHEAPEST

    @property
    def before(self) -> Any:
        return self._steps[0]

    @property
    def groups(self) -> int:
        return self._steps[1]

    @property
    def are_views(self) -> bool:
        return self._steps[0] is self.array

    @property
    def operands(self) -> tuple[Expr, ...]:
        return (self.array if self.array.is_unknown else self.before,)

    @property
    def _steps(self) -> tuple[Any, int]:
        """What the last step reads, and its groups."""
        can_shuffle = type(self.meta) is np.ndarray and not self.dtype.hasobject and self.dtype.itemsize > 0
        planned = _planned(
            self.array.chunks,
            self.chunks,
            max(1, self.dtype.itemsize),
            can_shuffle,
            self.wish,
            config.get("array.chunk_size_bytes"),
            current_room(),
        )
        # By the plan: the memory that there is may be another one the next time.
        found = self.__dict__.setdefault("_found", {})
        if planned not in found:
            found[planned] = self._stepped(planned)
        return found[planned]

    def _stepped(self, planned: tuple[tuple[Chunks, int], ...]) -> tuple[Any, int]:
        before = self.array
        with using(self.options):
            for chunks, groups in planned[:-1]:
                before = RechunkStep(before, chunks, groups)
        return before, planned[-1][1] if planned else 0

    def simplified(self) -> Expr | None:
        if self.chunks == self.array.chunks:
            return self.array
        if isinstance(self.array, Rechunk):
            return dataclasses.replace(self, array=self.array.array)
        recut = getattr(self.array, "recut", None)
        return recut(self.chunks) if recut is not None else None

    def turning(self, axes: tuple[int, ...]) -> Turn:
        return Turn([(self.array, axes)], lambda parts: rechunked(parts[0], self.chunks.axes(list(axes)), self.wish))


@functools.lru_cache(maxsize=1024)
def _planned(
    old: Chunks, new: Chunks, item_bytes: int, can_shuffle: bool, wish: Wish, block_bytes: int, room: Room | None
) -> tuple[tuple[Chunks, int], ...]:
    """The steps: chunks, and the groups of a shuffle or 0."""
    limit = wish.limit_bytes or block_bytes
    # Where nobody knows what there is, a task may hold what a block may have.
    room = room or Room(limit, 0, 1, 1)
    ways = "direct" if wish.method == "tasks" or not can_shuffle else "shuffle" if wish.method == "p2p" else "all"
    return tuple(
        old.plan_rechunk(new, item_bytes, room.task_bytes, room.worker_bytes, room.workers, limit, ways, wish.threshold)
    )


def rechunked(array: ArrayExpr, chunks: Chunks, wish: Wish = _CHEAPEST) -> ArrayExpr:
    """The array, cut so."""
    return array if array.chunks == chunks else Rechunk(array, chunks, wish)
