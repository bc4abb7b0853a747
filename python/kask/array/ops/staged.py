"""Arrays whose size, or whose blocks, are not known before a part of the work has been done.

Such an array is an :class:`Open` expression. Nothing has to be known to describe it: what is done with an array of unknown size is
recorded as a :class:`Deferred` call. When it is computed, or when somebody asks for its shape, it is *closed*: a first stage runs, whose results
stay where they are, and an expression that knows everything takes the place of the open one. What was closed stays closed, so no
stage runs twice. There may be stages above stages; all stages of one computation that can run are submitted together.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

import kask.base
from kask.annotations import using
from kask.array.base import Persisted, _assembled, _Blocks, wrap
from kask.array.node import ArrayExpr
from kask.array.ops.rechunk import rechunked
from kask.engine import Chunks, GraphBuilder
from kask.expr import Lowering, walk
from kask.expr.lower import BlockCall, Read
from kask.expr.sharing import optimised

__all__ = ["ByValue", "Deferred", "Open", "Sized", "Stage", "Staged", "close", "closed_or_first", "closed_so_far"]


class Stage(NamedTuple):
    """What has to run before an expression is closed."""

    #: Expressions whose blocks are kept where they are made.
    kept: tuple[ArrayExpr, ...]
    #: Expressions whose value is brought here.
    read: tuple[ArrayExpr, ...]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Open(ArrayExpr):
    """An expression that has to be closed. Subclasses have a field or property ``meta``, which has the true number of axes."""

    @property
    def known(self) -> Chunks | None:
        """The chunks, where they are known beforehand."""
        return None

    @property
    def chunks(self) -> Chunks:
        return self.closed().chunks if self.known is None else self.known

    @property
    def ndim(self) -> int:
        return self.meta.ndim

    @property
    def is_unknown(self) -> bool:
        return self.known is None and closed_so_far(self) is None

    @property
    def dims(self) -> tuple[int | None, ...]:
        """Elements along each axis, None where that is not known yet."""
        return (None,) * self.ndim if self.known is None else self.known.shape

    def stage(self) -> Stage:
        """What has to run. Operands are closed."""
        return Stage((), ())

    def finish(self, kept: list[tuple[ArrayExpr, list[Any]]], read: list[Any]) -> ArrayExpr:
        """The closed expression. ``kept`` has the futures of each expression's blocks, ``read`` values."""
        raise NotImplementedError

    def closed(self) -> ArrayExpr:
        """The closed expression; its stages run if they have not."""
        found = closed_so_far(self)
        return close([self], kask.base.engine_for())[0] if found is None else found

    def __getstate__(self) -> dict[str, Any]:
        # Elsewhere it is closed anew: what was kept is on an engine of this process.
        return {name: value for name, value in self.__dict__.items() if name != "_closing"}

    def _is_closed_on(self, target: Any) -> bool:
        """Whether it is closed, with what was kept on this engine, or any that is still there."""
        if "_closing" not in self.__dict__:
            return False
        engine = self.__dict__["_closing"][0]
        return not engine.closed and (target is None or engine is target)


def close(roots: list[ArrayExpr], target: Any) -> list[ArrayExpr]:
    """Equal expressions without open ones, after the stages that are needed for that have run on an engine."""
    while True:
        found, pending = _substituted(roots, target)
        if not pending:
            return found
        _run(pending, target)


def closed_so_far(expr: ArrayExpr) -> ArrayExpr | None:
    """The expression without open ones, if all stages have run; otherwise None."""
    found, pending = _substituted([expr], None)
    return None if pending else found[0]


def closed_or_first(exprs: list[Any]) -> list[Any]:
    """What is computed: expressions without open ones, or, where a stage has to run before they can be told, the expressions of that stage."""
    found: list[Any] = []
    for expr in exprs:
        closed, first = _closed_or_first(expr)
        found.extend(first if closed is None else [closed])
    return found


def _closed_or_first(expr: ArrayExpr) -> tuple[ArrayExpr | None, list[ArrayExpr]]:
    """The closed expression, or what would run first to close it. Stages in which nothing runs are over at once."""
    while True:
        (found,), pending = _substituted([expr], None)
        if not pending:
            return found, []
        stages = [changed.stage() for _, changed in pending]
        parts = [part for stage in stages for part in (*stage.kept, *stage.read)]
        if parts:
            return None, parts
        _run(pending, kask.base.engine_for())


def _substituted(roots: list[ArrayExpr], target: Any) -> tuple[list[ArrayExpr], list[tuple[Open, Open]]]:
    """The roots with what is closed put in, and the open expressions whose operands are all closed: as they are, and with
    those put in."""
    done: dict[str, Any] = {}
    waits: set[str] = set()
    pending: list[tuple[Open, Open]] = []
    order = walk(roots)
    if not any(isinstance(expr, Open) for expr in order):
        return list(roots), []
    for expr in order:
        token = expr.token
        if isinstance(expr, Open) and expr._is_closed_on(target):
            # What a stage left may be open itself.
            engine, left = expr.__dict__["_closing"]
            ((left,), below) = _substituted([left], target)
            expr.__dict__["_closing"] = engine, left
            done[token] = left
            if below:
                waits.add(token)
                pending.extend(below)
            continue
        with using(expr.options):
            changed: Any = expr.with_operands(lambda operand: done[operand.token])
        is_blocked = any(operand.token in waits for operand in expr.operands)
        if isinstance(expr, Open):
            waits.add(token)
            if not is_blocked:
                pending.append((expr, changed))
        elif is_blocked:
            waits.add(token)
        done[token] = changed
    return [done[root.token] for root in roots], pending


def _run(pending: list[tuple[Open, Open]], target: Any) -> None:
    """Close expressions whose operands are closed: run their stages, all at once."""
    stages = [changed.stage() for _, changed in pending]
    parts = [part for stage in stages for part in (*stage.kept, *stage.read)]
    ready: list[Any] = optimised(list(parts)) if parts else []
    futures = _submitted(ready, target)
    is_read = [flag for stage in stages for flag in [False] * len(stage.kept) + [True] * len(stage.read)]
    wanted = [future for flag, some in zip(is_read, futures) if flag for future in some]
    try:
        results = iter(kask.base.gathered(target, wanted) if wanted else [])
    except BaseException:
        kask.base.let_go([*futures, wanted])
        raise
    results_of = [[next(results) for _ in some] if flag else [] for flag, some in zip(is_read, futures)]
    at = 0
    for (expr, changed), stage in zip(pending, stages):
        middle, end = at + len(stage.kept), at + len(stage.kept) + len(stage.read)
        kept = list(zip(ready[at:middle], futures[at:middle]))
        read = [_assembled(results_of[place], ready[place]) for place in range(middle, end)]
        with using(expr.options):
            finished = changed.finish(kept, read)
        expr.__dict__["_closing"] = changed.__dict__["_closing"] = (target, finished)
        at = end


def _submitted(exprs: list[Any], target: Any) -> list[list[Any]]:
    """The futures of the blocks of each expression."""
    builder = GraphBuilder()
    Lowering(builder).add(exprs)
    outputs = [expr.outputs for expr in exprs]
    keys = [output for some in outputs for output in some if isinstance(output, str)]
    futures = iter(target.submit_graph(builder, keys) if keys else [])
    return [[next(futures) if isinstance(output, str) else output for output in some] for some in outputs]


def with_length(others: Sequence[int], axis: int, length: Any) -> tuple[Any, ...]:
    """The lengths of the other axes, with that of one axis in its place."""
    return (*others[:axis], length, *others[axis:])


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Staged(Open):
    """Blocks that tell their own length along one axis.

    ``blocks`` is an expression with the right grid, of whose chunks nothing else is true. Its axes from ``axis`` on, ``count`` of them,
    are one axis of the result, in C order; ``others`` are the chunks of the result's other axes.
    """

    blocks: Any
    axis: int
    count: int
    others: Chunks
    meta: Any

    @property
    def label(self) -> str:
        return self.blocks.label

    @property
    def dims(self) -> tuple[int | None, ...]:
        return with_length(self.others.shape, self.axis, None)

    def stage(self) -> Stage:
        return Stage((self.blocks,), (Lengths(self.blocks, self.axis, self.count),))

    def finish(self, kept: list[tuple[ArrayExpr, list[Any]]], read: list[Any]) -> ArrayExpr:
        ((blocks, futures),) = kept
        lengths = Chunks([np.reshape(read[0], -1).tolist()])
        before = self.others.axes(list(range(self.axis)))
        after = self.others.axes(list(range(self.axis, self.others.ndim)))
        return Persisted(blocks.name, Chunks.join([before, lengths, after]), self.meta, _Blocks(blocks.name, futures))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Lengths(ArrayExpr):
    """The length of each block along an axis that stands for ``count`` axes of the grid."""

    blocks: Any
    axis: int
    count: int

    @property
    def chunks(self) -> Chunks:
        grid = self.blocks.grid[self.axis : self.axis + self.count]
        return Chunks.normalize(list(grid), [1] * self.count, 8, 8)

    @property
    def meta(self) -> Any:
        return np.empty((0,) * self.count, np.int64)

    def block_call(self) -> BlockCall:
        last = self.axis + self.count
        axes = [axis - self.axis if self.axis <= axis < last else ("fixed", 0) for axis in range(len(self.blocks.grid))]
        return BlockCall(_length, (Read(self.blocks, tuple(axes)), self.axis, self.count))


def _length(block: Any, axis: int, count: int) -> np.ndarray:
    return np.full((1,) * count, block.shape[axis], np.int64)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Sized(Open):
    """Blocks that tell their own length along some axes, of which nothing is true in the chunks of ``blocks`` but how many they are."""

    blocks: Any
    axes: tuple[int, ...]

    @property
    def meta(self) -> Any:
        return self.blocks.meta

    @property
    def label(self) -> str:
        return self.blocks.label

    @property
    def name_(self) -> str:
        """What the user called it."""
        return getattr(self.blocks, "name_", "")

    @property
    def dims(self) -> tuple[int | None, ...]:
        return tuple([None if axis in self.axes else length for axis, length in enumerate(self.blocks.shape)])

    def stage(self) -> Stage:
        return Stage((self.blocks,), (Shapes(self.blocks),))

    def finish(self, kept: list[tuple[ArrayExpr, list[Any]]], read: list[Any]) -> ArrayExpr:
        ((blocks, futures),) = kept
        (shapes,) = read
        chunks = blocks.chunks
        for axis in self.axes:
            lengths = np.moveaxis(shapes[..., axis], axis, 0).reshape(shapes.shape[axis], -1)
            differ = (lengths != lengths[:, :1]).any(axis=1)
            if differ.any():
                at = int(differ.argmax())
                raise ValueError(
                    f"blocks that {self.label} made beside each other have the lengths {np.unique(lengths[at]).tolist()} along axis {axis} "
                    f"(in place {at}), but they must be equally long; put the other axes into one block before, with rechunk()"
                )
            chunks = chunks.replace(axis, Chunks([lengths[:, 0].tolist()]))
        return Persisted(blocks.name, chunks, self.meta, _Blocks(blocks.name, futures))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Shapes(ArrayExpr):
    """The shape of each block, along a last axis."""

    blocks: Any

    @property
    def chunks(self) -> Chunks:
        grid = self.blocks.grid
        return Chunks.normalize([*grid, len(grid)], [1] * len(grid) + [None], 8, 8)

    @property
    def meta(self) -> Any:
        return np.empty((0,) * (len(self.blocks.grid) + 1), np.int64)

    def block_call(self) -> BlockCall:
        return BlockCall(_shape, (Read(self.blocks, tuple(range(len(self.blocks.grid)))),))


def _shape(block: Any) -> np.ndarray:
    shape = np.array(np.shape(block), np.int64)
    return shape.reshape((1,) * len(shape) + (-1,))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ByValue(Open):
    """``func(*arrays, *values, *args)``, where ``values`` are brought here, and ``func`` makes an expression."""

    func: Callable[..., ArrayExpr]
    arrays: tuple[Any, ...]
    values: tuple[Any, ...]
    args: tuple[Any, ...]
    meta: Any
    #: The chunks, where they do not depend on the values.
    known: Chunks | None = None
    label_: str = "getitem"

    @property
    def label(self) -> str:
        return self.label_

    def stage(self) -> Stage:
        return Stage((), self.values)

    def finish(self, kept: list[tuple[ArrayExpr, list[Any]]], read: list[Any]) -> ArrayExpr:
        return _cut(self.func(*self.arrays, *[np.asarray(value) for value in read], *self.args), self.known)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class LaterElementwise(Open):
    """A function of single elements of arrays of which some have no known size yet."""

    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: tuple[tuple[str, Any], ...]
    dtype_: Any
    meta: Any

    @property
    def label(self) -> str:
        return getattr(self.func, "__name__", "elementwise").strip("_<>")

    @property
    def dims(self) -> tuple[int | None, ...]:
        found: list[int | None] = [1] * self.ndim
        for array in self.operands:
            dims = array.dims if isinstance(array, Open) else array.shape  # type: ignore[attr-defined]
            for axis, length in enumerate(dims, self.ndim - len(dims)):
                # An unknown length is that of the others, if they have one that is not stretched.
                found[axis] = length if found[axis] == 1 else found[axis] or (None if length == 1 else length)
        return tuple(found)

    def finish(self, kept: list[tuple[ArrayExpr, list[Any]]], read: list[Any]) -> ArrayExpr:
        from kask.array.ops.elementwise import elementwise

        return elementwise(self.func, *self.args, dtype=self.dtype_, **dict(self.kwargs))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Deferred(Open):
    """A call on arrays of which some are open: it is made when they are closed."""

    call: Any
    arrays: tuple[Any, ...]
    #: Which of the arrays that the call gives, if it gives a list or tuple.
    item: int | None
    dims_: tuple[int | None, ...]
    meta: Any
    known: Chunks | None = None

    @property
    def label(self) -> str:
        return self.call.label

    @property
    def dims(self) -> tuple[int | None, ...]:
        return self.dims_

    def finish(self, kept: list[tuple[ArrayExpr, list[Any]]], read: list[Any]) -> ArrayExpr:
        result = self.call([wrap(array) for array in self.arrays])
        return _cut((result if self.item is None else result[self.item]).expr, self.known)


def _cut(found: ArrayExpr, known: Chunks | None) -> ArrayExpr:
    """What was found, cut as was said beforehand."""
    return found if known is None else rechunked(found, known)
