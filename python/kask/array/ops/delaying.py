"""Arrays and delayed calls in one graph: arrays made of delayed values, blocks as delayed values, arrays as arguments of delayed calls.

A block has a key like any task. So a delayed call reads a block by a node that stands for it (``kask.engine.Layers``), and an array reads a delayed
value by a task whose key is that of a block. Nothing is computed within tasks, and what both need is computed once.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from kask import engine
from kask.annotations import current_options
from kask.array.base import ArrayBase, Persisted, is_array_like, put_together, wrap
from kask.array.kernels.blockwise import fits
from kask.array.kernels.reductions import itself
from kask.array.node import ArrayExpr, empty_meta
from kask.array.ops.chunk_runs import is_nan
from kask.array.ops.slicing import sliced
from kask.array.ops.staged import Sized, closed_so_far
from kask.base import is_kask_collection
from kask.containers import map_leaves
from kask.delayed import Delayed, DelayedLeaf, delayed
from kask.engine import Chunks, Future, Layers, Node
from kask.expr import Lowering, walk
from kask.expr.lower import BlockCall, Read
from kask.expr.program import read_only
from kask.expr.sharing import optimised
from kask.graphs import ExprLayers, with_options
from kask.tokens import tokenize

__all__ = ["from_delayed"]


class _Value:
    """Something lazy, and what stands for it in names."""

    def __init__(self, value: Delayed, token: str) -> None:
        self.value, self.token = value, token

    def __kask_tokenize__(self) -> Any:
        return "value", self.token


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class FromDelayed(ArrayExpr):
    """The value of something lazy, as one block, which is made by a task of the same graph."""

    family = "from_delayed"

    value: _Value
    chunks: Chunks
    meta: Any
    #: Axes along which the value may have any length.
    unknown: tuple[int, ...] = ()

    def node(self, options: engine.Options | None = None) -> Node:
        """The task that makes the block."""
        task = self.value.value._lowered()
        key = f"{self.family}-{engine.block_key(self.name, 0)}"
        return Node(*self.making(task), {}, key, self.family, options)

    def making(self, task: Any) -> tuple[Any, tuple[Any, ...]]:
        """What makes the block of the value."""
        held = self.value.value
        is_held = isinstance(held, DelayedLeaf) or isinstance(task, Future)
        shape = tuple([math.nan if axis in self.unknown else size for axis, size in enumerate(self.shape)])
        return _checked, (task, shape, self.dtype, is_held)

    @functools.cached_property
    def outputs(self) -> list[Any]:
        return [self.node().key]

    @property
    def held(self) -> list[Any]:
        return [self.value.value]

    def lower(self, lowering: Lowering) -> None:
        lowering.builder.add_nodes(with_options([self.node(lowering.options(self))]))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class DelayedArgument(FromDelayed):
    """The value of something lazy, of any kind, as the only block of an array without axes: what functions of blocks get as an argument."""

    def making(self, task: Any) -> tuple[Any, tuple[Any, ...]]:
        return itself, (task,)


def delayed_argument(value: Any) -> DelayedArgument | None:
    """What stands for an argument that is delayed, or a list, tuple or dict with something delayed in it; None for others."""
    found: list[Any] = []

    def look(leaf: Any) -> Any:
        if isinstance(leaf, Delayed):
            found.append(leaf)
        return leaf

    if not isinstance(value, Delayed | list | tuple | dict):
        return None
    map_leaves(value, look)
    if not found:
        return None
    lazy = value if isinstance(value, Delayed) else delayed(value, pure=True)
    return DelayedArgument(_Value(lazy, lazy.key), Chunks.whole([]), np.empty((), object))


def _checked(value: Any, shape: tuple[float, ...], dtype: np.dtype, is_held: bool = False) -> Any:
    # What somebody has is shown, but nobody else's to write to.
    value = read_only(value) if is_held else value
    value = value if is_array_like(value) else np.asarray(value)
    if not fits(value.shape, shape):
        raise ValueError(
            f"from_delayed() was told that the value has the shape {shape}, but it has {tuple(value.shape)}; say shape=(np.nan,) where a "
            "length is not known before"
        )
    if value.dtype == dtype or (dtype.kind in "SUV" and value.dtype.kind == dtype.kind):
        return value
    if not np.can_cast(value.dtype, dtype, "same_kind"):
        raise ValueError(
            f"from_delayed() was told that the value has the type {dtype}, but it has {value.dtype}: say dtype={str(value.dtype)!r}"
        )
    return value.astype(dtype)


def from_delayed(value: Any, shape: Any, dtype: Any = None, meta: Any = None, name: str | None = None) -> Any:
    """An array of one block, which is the value of something lazy. The task that makes the value is a task of the array's graph.

    Parameters
    ----------
    value : Delayed or Future
        What gives an array.
    shape : tuple of int
        The shape that it will have. NaN: a length is found when the value is computed.
    dtype : data-type, optional
        The type that it will have; needed unless ``meta`` is given. A value of another type is cast to it, if it is of the same kind.
    meta : array, optional
        An array of its kind.
    name : str, optional
        Stands for the value in names.

    Raises
    ------
    ValueError
        While computing: the value has another shape, or a type that cannot be cast to the one that was said.

    Examples
    --------
    >>> import kask, numpy as np, kask.array as ka
    >>> ka.from_delayed(kask.delayed(np.ones)(3), (3,), float).compute()
    array([1., 1., 1.])
    """
    from kask.array.ops.filling import shape_of

    lengths = tuple(shape) if isinstance(shape, list | tuple | np.ndarray) else (shape,)
    unknown = tuple([axis for axis, length in enumerate(lengths) if is_nan(length)])
    shape = shape_of([1 if axis in unknown else length for axis, length in enumerate(lengths)])
    if dtype is None and meta is None:
        raise TypeError(
            "from_delayed() needs dtype= or meta=, since the value is not there yet: say dtype=float, for example"
        )
    lazy = delayed(value, pure=True)
    meta = empty_meta(dtype if dtype is not None else meta.dtype, len(shape), meta)
    token = tokenize(name) if name is not None else lazy.key
    value_of = FromDelayed(_Value(lazy, token), Chunks.whole(list(shape)), meta, unknown)
    return wrap(Sized(value_of, unknown) if unknown else value_of)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Whole(ArrayExpr):
    """The array as one block, as ``compute()`` would give it."""

    family = "whole"

    array: Any

    @property
    def chunks(self) -> Chunks:
        return Chunks.whole(list(self.array.shape))

    @property
    def meta(self) -> Any:
        return self.array.meta

    def block_call(self) -> BlockCall:
        # A single block can be made by the same task.
        if math.prod(self.array.grid) == 1:
            return BlockCall(_only, (Read(self.array, (("fixed", 0),) * self.ndim), self.array.chunks))
        return BlockCall(put_together, (Read(self.array, ("all",) * self.ndim), self.array.chunks))


def _only(block: Any, chunks: Chunks) -> Any:
    return put_together([block], chunks)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Finished(ArrayExpr):
    """Nothing, when all blocks of some arrays are there."""

    family = "finished"

    arrays: tuple[Any, ...]

    @property
    def chunks(self) -> Chunks:
        return Chunks.whole([])

    @property
    def meta(self) -> Any:
        return np.empty((), bool)

    def block_call(self) -> BlockCall:
        return BlockCall(_nothing, tuple([Read(array, ("all",) * array.ndim) for array in self.arrays]))


def _nothing(*blocks: Any) -> None:
    return None


def as_delayed(x: ArrayBase) -> Delayed:
    """An array as a delayed value, for delayed calls that have it as an argument."""
    return _value_of(x, [x.expr], Whole)


def finished(x: Any, marks: Sequence[ArrayExpr]) -> Delayed:
    """Something lazy as a delayed None that is there when all blocks of ``marks`` are."""
    return _value_of(x, marks, lambda *closed: Finished(closed))


def _value_of(x: Any, exprs: Sequence[ArrayExpr], make: Callable[..., ArrayExpr]) -> Delayed:
    closed = [closed_so_far(expr) for expr in exprs]
    if None in closed:
        return _within_a_task(x)
    return _block_of(optimised([make(*closed)])[0])(0)


def to_delayed(x: Any, optimize_graph: bool = True) -> np.ndarray:
    """The blocks of an array as delayed values, which are tasks of one graph: what several need is computed once.

    Of an array whose blocks are not known before a part of it is computed (one that is indexed by another array, for example), each block is
    computed by itself, within a task.

    Parameters
    ----------
    x : array
        Whose blocks they are.
    optimize_graph : bool
        Whether what the array is made of is rewritten to cost less.

    Returns
    -------
    numpy.ndarray of Delayed
        In the shape of the grid of blocks.

    Examples
    --------
    >>> import kask, kask.array as ka
    >>> first, second = ka.arange(4, chunks=2).to_delayed()
    >>> kask.delayed(max)(first[1], second[0]).compute()
    np.int64(2)
    """
    found = np.empty(x.expr.grid, object)
    closed = closed_so_far(x.expr)
    if closed is None:
        make = _parts_of(x.expr)
    else:
        make = _block_of(optimised([closed])[0] if optimize_graph else closed)
    # There is an object for each block, so there is no way around a loop.
    flat = found.reshape(-1)
    for index in range(flat.size):
        flat[index] = make(index)
    return flat.reshape(found.shape)


def _block_of(expr: Any) -> Any:
    """A function that gives the block of a number as a delayed value."""
    if isinstance(expr, Persisted):
        return lambda index: Delayed(expr.futures[index])
    if isinstance(expr, FromDelayed):
        return lambda index: Delayed(expr.node())
    layers, options = Layers(ExprLayers(expr)), current_options()
    # What the layers read of delayed values, in one node, so that there are as many references as values and blocks.
    reads = [below.node() for below in walk([expr]) if isinstance(below, FromDelayed)]
    key = f"{expr.label}-reads-{tokenize('reads', expr.token)}"
    below = (Node(layers, (reads,), {}, key, f"{expr.label}-reads", options),) if reads else ()

    def block(index: int) -> Delayed:
        key = f"{expr.label}-{engine.block_key(expr.name, index)}"
        return Delayed(Node(layers, below, {}, key, expr.label, options))

    return block


# -- arrays of which not even the graph is known before a part of them has been computed


def _parts_of(expr: Any) -> Any:
    grid = expr.grid

    def part(index: int) -> Delayed:
        position = tuple([int(at) for at in np.unravel_index(index, grid)]) if grid else ()
        start, shape = expr.chunks.block_start(position), expr.chunks.block_shape(position)
        return _within_a_task(wrap(sliced(expr, tuple([(at if n else 0, 1, n) for at, n in zip(start, shape)]))))

    return part


class _Lazy:
    """Something lazy that is computed by the task that gets it, not by the graph around it."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __kask_tokenize__(self) -> Any:
        return "lazy", tokenize(self.value)


def _within_a_task(x: Any) -> Delayed:
    return delayed(_computed, pure=True)(_Lazy(x))


def _computed(lazy: _Lazy) -> Any:
    return lazy.value.compute() if is_kask_collection(lazy.value) else lazy.value
