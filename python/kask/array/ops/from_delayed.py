"""Arrays of delayed values, and their blocks as delayed values."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from kask.array.base import is_array_like, wrap
from kask.array.node import ArrayExpr, empty_meta
from kask.array.ops.slicing import sliced
from kask.base import is_kask_collection
from kask.engine import Chunks
from kask.expr.lower import BlockCall
from kask.tokens import tokenize

__all__ = ["from_delayed"]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class FromDelayed(ArrayExpr):
    """The value of something lazy, as one block. A task of its own waits for it."""

    family = "from_delayed"

    value: Any
    chunks: Chunks
    meta: Any

    def block_call(self) -> BlockCall:
        return BlockCall(_value_of, (self.value, self.chunks.shape))


class Lazy:
    """Something lazy that is computed by the task that gets it, not by the graph around it."""

    def __init__(self, value: Any, token: str | None = None) -> None:
        self.value, self.token = value, token or tokenize(value)

    def __kask_tokenize__(self) -> Any:
        return "lazy", self.token


def from_delayed(value: Any, shape: Any, dtype: Any = None, meta: Any = None, name: str | None = None) -> Any:
    """An array of one block, which is the value of something lazy.

    Parameters
    ----------
    value : Delayed
        What gives an array.
    shape : tuple of int
        The shape that it will have.
    dtype : data-type, optional
        The type that it will have; needed unless ``meta`` is given.
    meta : array, optional
        An array of its kind.
    name : str, optional
        Stands for the value in names.

    Raises
    ------
    ValueError
        While computing: the value has another shape.

    Examples
    --------
    >>> import kask, numpy as np, kask.array as ka
    >>> ka.from_delayed(kask.delayed(np.ones)(3), (3,), float).compute()
    array([1., 1., 1.])
    """
    from kask.array.ops.filling import shape_of

    shape = shape_of(shape)
    if dtype is None and meta is None:
        raise TypeError("from_delayed() needs dtype= or meta=, since the value is not there yet")
    meta = empty_meta(dtype if dtype is not None else meta.dtype, len(shape), meta)
    return wrap(FromDelayed(Lazy(value, None if name is None else tokenize(name)), Chunks.whole(list(shape)), meta))


def _value_of(lazy: Lazy, shape: tuple[int, ...]) -> Any:
    value = lazy.value.compute() if is_kask_collection(lazy.value) else lazy.value
    value = value if is_array_like(value) else np.asarray(value)
    if tuple(value.shape) != shape:
        raise ValueError(
            f"from_delayed() was told that the value has the shape {shape}, but it has {tuple(value.shape)}"
        )
    return value


def to_delayed(x: Any, optimize_graph: bool = True) -> np.ndarray:
    """The blocks of an array as delayed values. Each computes what it needs by itself, so persist what they share.

    Parameters
    ----------
    x : array
        Whose blocks they are.
    optimize_graph : bool
        Accepted.

    Returns
    -------
    numpy.ndarray of Delayed
        In the shape of the grid of blocks.
    """
    from kask.delayed import delayed

    expr: ArrayExpr = x.expr
    found = np.empty(expr.grid, object)
    # There is an object for each block, so there is no way around a loop.
    for position in np.ndindex(*expr.grid):
        start, shape = expr.chunks.block_start(position), expr.chunks.block_shape(position)
        part = sliced(expr, tuple([(at if n else 0, 1, n) for at, n in zip(start, shape)]))
        found[position] = delayed(_computed, pure=True)(Lazy(wrap(part)))
    return found


def _computed(lazy: Lazy) -> Any:
    return lazy.value.compute()
