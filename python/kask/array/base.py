"""What every array has, whatever can be done with it: shape, chunks, how it is computed. ``collection`` adds the methods.

The functions of ``kask.array.ops`` take what users give them with :func:`as_expr` or :func:`as_array`, and give back what
:func:`wrap` makes of an expression.
"""

from __future__ import annotations

import dataclasses
import math
import operator
import weakref
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from kask.array.kernels.blockwise import can_be_filled, is_of_scipy, joined
from kask.array.kernels.regions import common_dtype
from kask.array.node import ArrayExpr
from kask.base import Methods, graph_view
from kask.engine import Chunks, Future, GraphBuilder
from kask.expr import Lowering
from kask.expr.sharing import optimised
from kask.layers import GraphView

__all__ = [
    "ArrayBase",
    "PerformanceWarning",
    "Persisted",
    "as_array",
    "as_expr",
    "demand_kask_out",
    "in_memory",
    "is_array_like",
    "wrap",
]


class PerformanceWarning(Warning):
    """Something was asked for that takes much more memory or time than it seems to."""


class ArrayBase(Methods):
    """An array that will be computed, without the methods that make others of it.

    Parameters
    ----------
    expr : ArrayExpr
        What it is.
    """

    __slots__ = ("__weakref__", "expr")
    __array_priority__ = 12

    #: The class that users see, set where it is made.
    full: ClassVar[type[ArrayBase]]
    #: That of arrays whose size is not known yet.
    unknown: ClassVar[type[ArrayBase]]

    expr: Any

    def __init__(self, expr: ArrayExpr) -> None:
        self.expr = expr

    # -- what it is

    @property
    def shape(self) -> tuple[int, ...]:
        """Elements along each axis."""
        return self.expr.shape

    @property
    def dtype(self) -> np.dtype:
        """The type of the elements."""
        return self.expr.dtype

    @property
    def ndim(self) -> int:
        """How many axes there are."""
        return self.expr.ndim

    @property
    def size(self) -> int:
        """How many elements there are."""
        return math.prod(self.shape)

    @property
    def itemsize(self) -> int:
        """Bytes of an element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.size * self.itemsize

    @property
    def chunks(self) -> tuple[tuple[int, ...], ...]:
        """The chunk sizes along each axis."""
        return self.expr.chunks.tuples()

    @property
    def chunksize(self) -> tuple[int, ...]:
        """The largest chunk along each axis."""
        return self.expr.chunks.largest

    @property
    def numblocks(self) -> tuple[int, ...]:
        """Blocks along each axis."""
        return self.expr.grid

    @property
    def npartitions(self) -> int:
        """Blocks in all."""
        return self.expr.chunks.nblocks

    @property
    def name(self) -> str:
        """What the keys of the blocks begin with, or the name that was given to it."""
        return self.expr.given_name

    @property
    def meta(self) -> Any:
        """An array without elements, of the kind and type of the blocks."""
        return self.expr.meta

    _meta = meta

    # -- collection protocol

    @staticmethod
    def __kask_prepare__(arrays: list[ArrayBase], target: Any) -> None:
        """Run the stages that have to be over before the graphs of these arrays can be told."""
        from kask.array.ops.staged import close

        close([array.expr for array in arrays], target)

    def __kask_graph__(self, builder: GraphBuilder) -> list[str | Future]:
        exprs = self.__kask_exprs__(True)
        Lowering(builder).add(exprs)
        return [output for expr in exprs for output in expr.outputs]

    def __kask_exprs__(self, optimized: bool) -> list[Any]:
        from kask.array.ops.staged import closed_or_first

        roots = closed_or_first([self.expr])
        found = optimised(roots) if optimized else roots
        self.expr.__dict__["_computed_name"] = found[0].name
        return found

    def __kask_postcompute__(self) -> tuple[Callable[..., Any], tuple]:
        from kask.array.ops.staged import closed_so_far

        expr: Any = closed_so_far(self.expr)
        # Equal work is done once, so what is computed may be the very block that somebody has persisted.
        return _assembled, (expr, self.expr.__dict__.get("_computed_name", expr.name) in _HELD)

    def __kask_collector__(self) -> _Collector | None:
        from kask.array.ops.staged import closed_so_far

        expr = closed_so_far(self.expr) if self.expr.is_unknown else self.expr
        return _Collector.of(expr.chunks, expr.meta) if expr is not None else None

    def __kask_delayed__(self) -> Any:
        from kask.array.ops.delaying import as_delayed

        return as_delayed(self)

    def __kask_postpersist__(self) -> tuple[Callable[..., Any], tuple]:
        return _on_futures, (self.__kask_exprs__(True)[0],)

    def __kask_optimize__(self) -> ArrayBase:
        return wrap(optimised([self.expr])[0])

    def __kask_futures__(self) -> list[Any]:
        return self.expr.futures_below()

    @property
    def dask(self) -> GraphView:
        """The graph as it was written, to be looked at: a mapping from keys to tasks, with ``layers`` and their ``dependencies``.

        Examples
        --------
        >>> import kask.array as ka
        >>> x = ka.ones(6, chunks=2) + 1
        >>> len(x.dask), [layer.family for layer in x.dask.layers.values()]
        (6, ['full', 'add'])
        """
        return graph_view([self], False, False)

    def __kask_tokenize__(self) -> Any:
        return self.expr.token

    def __repr__(self) -> str:
        return (
            f"kask.array<{self.expr.label}, shape={self.shape}, dtype={self.dtype}, "
            f"chunksize={self.chunksize}, chunktype={type(self.meta).__module__}.{type(self.meta).__name__}>"
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("a kask array cannot become a NumPy array without making one: copy=False is not possible")
        value = self.compute()
        if is_of_scipy(value):
            raise TypeError(
                f"NumPy makes no array of the elements of a {type(value).__name__} of scipy.sparse; x.to_backend('numpy') has dense blocks, and "
                "x.compute() gives the sparse one"
            )
        # A masked array stays one where subclasses are asked for, as numpy.ma does; np.asarray makes a plain one of it.
        return np.asanyarray(value, dtype=dtype)

    @property
    def mask(self) -> Any:
        """Of a masked array where elements are masked, as a lazy array of truth values; other arrays have no mask."""
        self._demand_mask("mask")
        from kask.array.ma import getmaskarray

        return getmaskarray(self)

    @property
    def _mask(self) -> np.ndarray:
        """Where the functions of numpy.ma look for the mask of an array that is not their own."""
        self._demand_mask("_mask")
        return np.ma.getmaskarray(self.compute())

    @property
    def _baseclass(self) -> type:
        """What numpy.ma takes for the type of the elements without their mask."""
        self._demand_mask("_baseclass")
        return np.ndarray

    def _demand_mask(self, attribute: str) -> None:
        if not isinstance(self.meta, np.ma.MaskedArray):
            raise AttributeError(f"an array without a mask has no attribute {attribute!r}")

    def filled(self, fill_value: Any = None) -> Any:
        """As :func:`kask.array.ma.filled`."""
        from kask.array.ma import filled

        return filled(self, fill_value)

    def __len__(self) -> int:
        if not self.shape:
            raise TypeError("len() of an array without axes")
        return self.shape[0]

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(f"the truth of an array of {self.size} elements is ambiguous; use any() or all() of it")
        return bool(self.compute())

    def __contains__(self, element: Any) -> bool:
        return bool((self == element).any().compute())

    def __format__(self, spec: str) -> str:
        # A number can be printed as one is; what is formatted without a specification is described, as by ``str``.
        return format(self._only(), spec) if spec and self.ndim == 0 else super().__format__(spec)

    def __int__(self) -> int:
        return int(self._only())

    def __float__(self) -> float:
        return float(self._only())

    def __complex__(self) -> complex:
        return complex(self._only())

    def __index__(self) -> int:
        return operator.index(self._only())

    def _only(self) -> Any:
        if self.size != 1:
            raise TypeError(f"only an array of one element can become a Python number, this has shape {self.shape}")
        return np.asarray(self.compute()).reshape(())[()]


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Persisted(ArrayExpr):
    """Blocks that are there, or on their way."""

    source: str
    chunks: Chunks
    meta: Any
    blocks: _Blocks

    @property
    def name(self) -> str:
        return self.source

    @property
    def futures(self) -> list[Future]:
        """One for each block, in C order."""
        return self.blocks.futures

    @property
    def outputs(self) -> list[Any]:
        return self.futures

    @property
    def held(self) -> list[Any]:
        return self.futures

    @property
    def label(self) -> str:
        return self.source.rpartition("-")[0]

    def lower(self, lowering: Lowering) -> None:
        """Whoever reads the blocks finds them under their keys."""


class _Holding:
    """What all who hold the blocks of one layer have in common."""


#: By the name of a layer, as long as somebody holds its blocks.
_HELD: weakref.WeakValueDictionary[str, _Holding] = weakref.WeakValueDictionary()


class _Blocks:
    """Futures of the blocks of a layer, which a token says nothing about."""

    def __init__(self, name: str, futures: list[Future]) -> None:
        self.name, self.futures = name, futures
        self._holding = _HELD.setdefault(name, _Holding())

    def __reduce__(self) -> tuple[Any, ...]:
        return _Blocks, (self.name, self.futures)

    def __kask_tokenize__(self) -> Any:
        return "blocks"


def _assembled(blocks: list[Any], expr: Any, is_held: bool = False) -> Any:
    return put_together(blocks, expr.chunks, is_held)


# A result of more bytes is filled as its blocks come, about so many bytes at a time.
_COLLECTED_BYTES, _STEP_BYTES = 32 << 20, 8 << 20


class _Collector:
    """Fills an array with its blocks as they come."""

    def __init__(self, chunks: Chunks, step: int) -> None:
        self._chunks = chunks
        self.step = step
        self._out: Any = None
        self._others: list[Any] = []

    @classmethod
    def of(cls, chunks: Chunks, meta: Any) -> _Collector | None:
        """For an array of these chunks, if it is large and NumPy's."""
        if not isinstance(meta, np.ndarray) or meta.dtype.hasobject or chunks.nblocks < 2:
            return None
        nbytes = math.prod(chunks.shape) * meta.dtype.itemsize
        return cls(chunks, max(1, chunks.nblocks * _STEP_BYTES // nbytes)) if nbytes > _COLLECTED_BYTES else None

    def place(self, first: int, blocks: list[Any]) -> None:
        if first == 0 and isinstance(blocks[0], np.ndarray):
            self._out = np.empty_like(blocks[0], shape=self._chunks.shape, order="C")
        if self._out is None:
            # They are something else than was thought.
            self._others.extend(blocks)
        else:
            wider = common_dtype(blocks, self._out.dtype)
            if wider != self._out.dtype:
                self._out = self._out.astype(wider)
            self._chunks.place(self._out, blocks, first)

    @property
    def value(self) -> Any:
        return put_together(self._others, self._chunks) if self._out is None else self._out


def put_together(blocks: list[Any], chunks: Chunks, is_held: bool = False) -> Any:
    """The array whose blocks these are. What others see, as somebody holds the blocks, or what may not be written to is copied."""
    if chunks.ndim == 0:
        block = blocks[0]
        return block[()] if isinstance(block, np.ndarray) else block
    if len(blocks) == 1:
        block = blocks[0]
        if not isinstance(block, np.ndarray):
            return block
        return block if block.flags.owndata and block.flags.writeable and not is_held else block.copy()
    if not can_be_filled(blocks[0]):
        return joined(blocks, list(chunks.grid), list(range(chunks.ndim)))
    out = np.empty_like(blocks[0], shape=chunks.shape, dtype=common_dtype(blocks), order="C")
    chunks.assemble(out, blocks)
    return out


def _on_futures(futures: list[Future], expr: Any) -> ArrayBase:
    if isinstance(expr, Persisted):
        return wrap(expr)
    return wrap(Persisted(expr.name, expr.chunks, expr.meta, _Blocks(expr.name, futures)))


def wrap(expr: ArrayExpr) -> Any:
    """The array that an expression is of."""
    return (ArrayBase.unknown if expr.is_unknown else ArrayBase.full)(expr)


def demand_kask_out(out: Any) -> None:
    """Refuse an ``out=`` into which nothing can be computed later."""
    if not isinstance(out, ArrayBase):
        raise TypeError(
            f"out= must be a Kask array, got {type(out).__name__}; kask.array.store(result, out) computes a result into an array"
        )


def is_array_like(x: Any) -> bool:
    """Whether ``x`` is an array of some kind: it has a shape and a type, and can be sliced."""
    return hasattr(x, "shape") and hasattr(x, "dtype") and hasattr(x, "__getitem__") and not isinstance(x, np.generic)


def as_expr(x: Any) -> Any:
    """The expression of an array, of anything that NumPy makes an array of; Python's numbers and NumPy's scalars as they are."""
    if isinstance(x, ArrayBase):
        return x.expr
    if isinstance(x, bool | int | float | complex | np.generic):
        return x
    if is_array_like(x):
        from kask.array.ops.storage import from_array

        # What is not in memory stays where it is until it is read.
        return from_array(x).expr
    return in_memory(np.asarray(x))


def in_memory(array: Any, chunks: Any = "auto") -> ArrayExpr:
    """An array that is in memory, cut into blocks."""
    from kask.array.ops.chunks import normalized
    from kask.array.ops.creation import Content, InMemory

    return InMemory(Content(array), normalized(chunks, array.shape, array.dtype))


def as_array(x: Any) -> Any:
    """An ``Array`` of anything that NumPy makes an array of."""
    if isinstance(x, ArrayBase):
        return x
    expr = as_expr(x)
    return wrap(expr if isinstance(expr, ArrayExpr) else in_memory(np.asarray(expr)))
