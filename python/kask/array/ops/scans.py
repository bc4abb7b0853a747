"""Cumulative sums and products.

A scan is made in three steps, as by Blelloch (Prefix sums and their applications, 1990): the total of each block, what lies before each
block, and the scan of each block with that. What lies before is found one after another (``method="sequential"``) or by a tree
(``method="blelloch"``); both need as many tasks as there are blocks, and give the same. No task takes more totals than together fit
into half a block, or two: one task finds what lies before all blocks only where totals are small, otherwise a chain of tasks does.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_index

from kask.array.base import as_array
from kask.array.kernels.scans import ChainStep, ScanBlock, ScanGroup, Totals
from kask.array.node import ArrayExpr, empty_meta
from kask.array.ops.blocks import Blocks
from kask.array.ops.creation import Filled
from kask.array.ops.joining import concatenated
from kask.array.ops.mapped import mapped, one_by_one
from kask.array.ops.rechunk import rechunked
from kask.array.ops.reductions import fan_in, into
from kask.array.ops.reshaping import with_one_axis
from kask.array.ops.slicing import sliced
from kask.engine import BlockLists, Chunks, Hole, Interval
from kask.expr import Lowering

__all__ = ["cumprod", "cumsum", "cumulative_prod", "cumulative_sum", "nancumprod", "nancumsum"]

#: Totals that one node of a tree looks at, at most.
_FAN_IN = 32

#: Scan, total, what puts them together, and what changes nothing.
_KINDS: dict[str, tuple[Any, Any, Any, Any]] = {
    "cumsum": (np.cumsum, np.sum, np.add, 0),
    "cumprod": (np.cumprod, np.prod, np.multiply, 1),
    "nancumsum": (np.nancumsum, np.nansum, np.add, 0),
    "nancumprod": (np.nancumprod, np.nanprod, np.multiply, 1),
}


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Scan(Blocks):
    """The scan of each block of an array, the first argument, with what lies before it."""

    #: What is scanned how: see :func:`scanned`.
    how: tuple[str, int, Any, str] = ("", 0, None, "")

    def taking(self, taken: Any, chunks: Chunks) -> ArrayExpr | None:
        """The first elements along the axis are the scan of these, and lines are scanned by themselves."""
        start, step, _ = taken[self.how[1]]
        if start != 0 or step != 1 or 0 in chunks.shape:
            return None
        return scanned(sliced(self.args[0], taken), *self.how)

    def picking(self, take: Any) -> ArrayExpr | None:
        """Lines that a list picks are scanned by themselves."""
        return None if take.axis == self.how[1] else scanned(take.of(self.args[0], take.axis), *self.how)


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Before(ArrayExpr):
    """For each block of one element along an axis, the total of those before it: a chain, of which each task takes what the one before it made."""

    totals: ArrayExpr
    axis: int
    chain: ChainStep
    meta: Any

    @property
    def label(self) -> str:
        return "before"

    @property
    def chunks(self) -> Chunks:
        return self.totals.chunks

    @property
    def reads_joined(self) -> bool:
        return True

    def lower(self, lowering: Lowering) -> None:
        grid = list(self.grid)
        own: list[Any] = [*range(self.ndim)]
        theirs: list[Any] = [*range(self.ndim)]
        # The first task has nothing before it, and takes a total to know what it is like.
        last = range(grid[self.axis] - 1)
        own[self.axis] = ("listed", self.axis, BlockLists(last, range(len(last) + 1)))
        theirs[self.axis] = ("listed", self.axis, BlockLists([0, *last], range(1, len(last) + 2)))
        lowering.builder.add_blockwise(
            self.name,
            self.chain,
            (Hole(0), Hole(1)),
            grid,
            [(self.name, grid, own), (lowering.source(self.totals), grid, theirs)],
            options=lowering.options(self),
        )


def scanned(array: ArrayExpr, name: str, axis: int, dtype: Any, method: str = "sequential") -> ArrayExpr:
    """The scan of an array along an axis."""
    if method not in ("sequential", "blelloch"):
        raise ValueError(f"method= must be 'sequential' or 'blelloch', not {method!r}")
    scan, total, merge, _ = _KINDS[name]
    options = {} if dtype is None else {"dtype": dtype}
    kind = scan(np.ones(1, array.dtype), **options).dtype
    block = ScanBlock(scan, merge, axis, kind)
    meta = empty_meta(kind, array.ndim, array.meta)
    how = name, axis, dtype, method
    own = tuple(range(array.ndim))
    if array.grid[axis] == 1:
        return Scan(block, (array,), (own,), array.chunks, meta, name, how=how)
    chunks = array.chunks.replace(axis, one_by_one(array.grid[axis]))
    totals = mapped(Totals(total, axis, kind), array, chunks=chunks, dtype=kind, label=f"{name}-total")
    # The totals themselves have no NaN that are not meant.
    plain = _KINDS[name.removeprefix("nan")]
    count = totals.grid[axis]
    if method == "sequential" and fan_in(totals.block_bytes, count) < count:
        before: ArrayExpr = Before(totals, axis, ChainStep(merge, plain[3]), empty_meta(kind, array.ndim, array.meta))
    else:
        before = before_each(totals, plain, axis, kind, _FAN_IN if method == "blelloch" else count)
    return Scan(block, (array, before), (own, own), array.chunks, meta, name, how=how)


def before_each(
    totals: ArrayExpr, kind: tuple[Any, Any, Any, Any], axis: int, dtype: Any, most: int = _FAN_IN
) -> ArrayExpr:
    """For each block of one element along the axis, the total of those before it; a task takes ``most`` totals at most."""
    scan, total, merge, identity = kind
    count = totals.grid[axis]
    group = ScanGroup(scan, merge, identity, axis, dtype)
    all_of = [*range(totals.ndim)]
    together = fan_in(totals.block_bytes, most)
    if count <= together:
        reads: tuple[Any, ...] = tuple(["all" if one == axis else one for one in all_of])
        chunks = totals.chunks.replace(axis, Chunks.whole([count]))
        made = mapped(group, totals, reads=(reads,), chunks=chunks, dtype=dtype, label="before")
        return rechunked(made, totals.chunks)
    along = Chunks.normalize([count], [together], 1, 1)
    interval = Interval(totals.chunks.axis(axis), along)
    reads = tuple([("interval", axis, interval) if one == axis else one for one in all_of])
    groups = along.grid[0]
    higher = mapped(
        Totals(total, axis, dtype),
        totals,
        reads=(reads,),
        chunks=totals.chunks.replace(axis, one_by_one(groups)),
        dtype=dtype,
        label="total",
    )
    offsets = before_each(higher, kind, axis, dtype, most)
    chunks = totals.chunks.replace(axis, along)
    made = mapped(group, totals, offsets, reads=(reads, tuple(all_of)), chunks=chunks, dtype=dtype, label="before")
    return rechunked(made, totals.chunks)


def _scan(name: str, x: Any, axis: Any, dtype: Any, out: Any, method: str) -> Any:
    array, axis = with_one_axis(as_array(x).expr, axis, of_number=True)
    return into(out, scanned(array, name, axis, dtype, method))


_DOC = """Cumulative {what} along an axis{nan}.

Parameters
----------
x : array_like
    The array.
axis : int, optional
    The axis; if it is None, the array is flattened first, in C order.
dtype : data-type, optional
    What is computed in and the type of the result.
out : Array, optional
    An array of the result's shape, which becomes the result.
method : {{"sequential", "blelloch"}}, optional
    Whether what lies before each block is found by one task or by a tree of tasks, which pays from some hundred blocks on. Where totals
    would not fit into half a block together (``array.chunk_size_bytes``), "sequential" is a chain of tasks, each of which adds one.

Returns
-------
Array
    Of the shape and chunks of ``x``.

Notes
-----
The total of each block, what lies before each block, and the scan of each block with that, as by Blelloch (Prefix sums and their
applications, 1990). Each block is read twice.

Examples
--------
>>> import kask.array as ka
>>> ka.{name}(ka.from_array([1, 2, 3, 4], chunks=2)).compute()
array({answer})
"""


def cumsum(x: Any, axis: Any = None, dtype: Any = None, out: Any = None, method: str = "sequential") -> Any:
    return _scan("cumsum", x, axis, dtype, out, method)


def cumprod(x: Any, axis: Any = None, dtype: Any = None, out: Any = None, method: str = "sequential") -> Any:
    return _scan("cumprod", x, axis, dtype, out, method)


def nancumsum(x: Any, axis: Any = None, dtype: Any = None, out: Any = None, *, method: str = "sequential") -> Any:
    return _scan("nancumsum", x, axis, dtype, out, method)


def nancumprod(x: Any, axis: Any = None, dtype: Any = None, out: Any = None, *, method: str = "sequential") -> Any:
    return _scan("nancumprod", x, axis, dtype, out, method)


for _func in (cumsum, cumprod, nancumsum, nancumprod):
    _is_sum = _func.__name__.endswith("sum")
    _func.__doc__ = _DOC.format(
        name=_func.__name__,
        what="sum" if _is_sum else "product",
        nan=f"; NaN counts as {0 if _is_sum else 1}" if _func.__name__.startswith("nan") else "",
        answer="[ 1,  3,  6, 10]" if _is_sum else "[ 1,  2,  6, 24]",
    )


def _cumulative(name: str, x: Any, axis: Any, dtype: Any, out: Any, include_initial: bool) -> Any:
    array = as_array(x).expr
    if array.ndim == 0:
        raise ValueError("the array has no axes; one or more are needed")
    if axis is None:
        if array.ndim > 1:
            raise ValueError(f"axis= is needed for an array of {array.ndim} axes")
        axis = 0
    axis = normalize_axis_index(axis, array.ndim)
    result = scanned(array, name, axis, dtype)
    if include_initial:
        first = Filled(_KINDS[name][3], result.chunks.replace(axis, [1]), result.meta)
        result = concatenated([first, result], axis)
    return into(out, result)


def cumulative_sum(
    x: Any, /, *, axis: Any = None, dtype: Any = None, out: Any = None, include_initial: bool = False
) -> Any:
    """Cumulative sum along an axis, as in the array API standard.

    Parameters
    ----------
    x : array_like
        The array, of one or more axes.
    axis : int, optional
        The axis; needed if there are several.
    dtype : data-type, optional
        What is computed in and the type of the result.
    out : Array, optional
        An array of the result's shape, which becomes the result.
    include_initial : bool, optional
        Whether the result begins with 0, and so has one element more.

    Returns
    -------
    Array

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.cumulative_sum(ka.from_array([1, 2, 3], chunks=2), include_initial=True).compute()
    array([0, 1, 3, 6])
    """
    return _cumulative("cumsum", x, axis, dtype, out, include_initial)


def cumulative_prod(
    x: Any, /, *, axis: Any = None, dtype: Any = None, out: Any = None, include_initial: bool = False
) -> Any:
    """Cumulative product along an axis, as in the array API standard.

    Parameters
    ----------
    x : array_like
        The array, of one or more axes.
    axis : int, optional
        The axis; needed if there are several.
    dtype : data-type, optional
        What is computed in and the type of the result.
    out : Array, optional
        An array of the result's shape, which becomes the result.
    include_initial : bool, optional
        Whether the result begins with 1, and so has one element more.

    Returns
    -------
    Array

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.cumulative_prod(ka.from_array([1, 2, 3], chunks=2), include_initial=True).compute()
    array([1, 1, 2, 6])
    """
    return _cumulative("cumprod", x, axis, dtype, out, include_initial)
