"""What all array expressions have: chunks, and a *meta*, an empty array of the kind and type that blocks have."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from kask.engine import Chunks, block_names
from kask.expr import Expr, Lowering, walk
from kask.expr.lower import BlockCall

__all__ = ["ArrayExpr", "checked_dtype", "empty_meta"]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ArrayExpr(Expr):
    """An array, cut into blocks.

    A subclass gives ``chunks`` and ``meta`` (as fields or cached properties), and either ``block_call``, if each block is made by one
    call, or ``lower``.
    """

    #: Whether making it anew for each reader costs less than keeping it.
    is_cheap: ClassVar[bool] = False
    #: Whether its blocks are views of one block that it reads, or of what is in memory anyway.
    is_view: ClassVar[bool] = False

    @property
    def is_light(self) -> bool:
        """Whether making a block anew for each block that needs it costs less than a task and keeping it."""
        return self.is_cheap

    @property
    def is_unknown(self) -> bool:
        """Whether its chunks are not known yet: see ``kask.array.ops.staged``."""
        return False

    if TYPE_CHECKING:
        # Not there at run time: dataclasses would take them for defaults of fields.
        @property
        def chunks(self) -> Chunks: ...
        @property
        def meta(self) -> Any: ...

    @property
    def dtype(self) -> np.dtype:
        """The type of the elements."""
        return self.meta.dtype

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return self.chunks.ndim

    @property
    def shape(self) -> tuple[int, ...]:
        """Elements along each axis."""
        return self.chunks.shape

    @property
    def grid(self) -> tuple[int, ...]:
        """Blocks along each axis."""
        return self.chunks.grid

    @property
    def key_grid(self) -> tuple[int, ...]:
        """The grid by whose positions the layer's keys are printed."""
        return self.grid

    @property
    def given_name(self) -> str:
        """What the array is called: as the user said (the field ``name_`` of expressions that take a name), or as its layer."""
        return getattr(self, "name_", "") or self.name

    @property
    def outputs(self) -> list[Any]:
        """What the blocks are submitted as: their printed keys, in C order, or futures where they are there already."""
        return block_names(self.name, self.key_grid)

    def futures_below(self) -> list[Any]:
        """What it and all that it is made of reads of futures, and of what has futures."""
        return [one for expr in walk([self]) for one in expr.held]

    @property
    def held(self) -> Sequence[Any]:
        """Futures, or what has futures, that it reads."""
        return ()

    @property
    def block_bytes(self) -> int:
        """Bytes of the largest block."""
        return math.prod(self.chunks.largest) * self.dtype.itemsize

    def block_call(self) -> BlockCall | None:
        """How one block is made, if it is by one call."""
        return None

    def lower(self, lowering: Lowering) -> None:
        """Add the layers that make the blocks; the last one has this expression's name."""
        raise NotImplementedError(f"{type(self).__name__} says neither how a block is made nor its layers")


def checked_dtype(dtype: Any) -> np.dtype:
    """A type of elements, which are no arrays themselves; fields of records may be some."""
    dtype = np.dtype(dtype)
    if dtype.subdtype is not None:
        raise TypeError(
            f"elements of the type {dtype} would be arrays: give the array more axes, of the type {dtype.base}"
        )
    return dtype


def empty_meta(dtype: Any, ndim: int, like: Any = None) -> Any:
    """An array without elements: of NumPy, or of the kind of ``like``. Without axes it has an element, which is 0."""
    shape = (0,) * ndim
    dtype = checked_dtype(dtype)
    if like is None or type(like) is np.ndarray:
        return np.zeros(shape, dtype)
    if isinstance(like, np.ma.MaskedArray) and like.dtype != dtype:
        # What fills masked places is of the other type.
        return np.ma.zeros(shape, dtype)
    return np.zeros_like(like, dtype=dtype, shape=shape)
