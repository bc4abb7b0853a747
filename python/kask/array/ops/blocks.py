"""Blocks that are each made by one call on blocks of other arrays: the node under everything that users' functions make."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from kask.array.node import ArrayExpr
from kask.engine import Chunks
from kask.expr.lower import AT, BlockCall, Read

__all__ = ["Blocks"]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Blocks(ArrayExpr):
    """``func(*args)``, or ``func(position, *args)``, for each block; ``reads`` has for each argument how its axes are read (see
    :class:`~kask.expr.lower.Read`), or None for a constant."""

    func: Callable[..., Any]
    args: tuple[Any, ...]
    reads: tuple[Any, ...]
    chunks: Chunks
    meta: Any
    label_: str
    wants_position: bool = False
    #: The array's name, where the user chose it; the layer's begins with it.
    name_: str = ""

    @property
    def label(self) -> str:
        return self.name_ or self.label_

    def block_call(self) -> BlockCall:
        args = [arg if axes is None else Read(arg, axes) for arg, axes in zip(self.args, self.reads)]
        return BlockCall(self.func, (AT, *args) if self.wants_position else tuple(args))
