"""LU and QR by block columns: Gaussian elimination with partial pivoting, and Householder's reflections.

Right-looking (Golub, Van Loan, "Matrix computations", sections 3.4.1 and 5.2.3): each step factors the first block column that is left, the
*panel*, and then changes the others. A task reads all rows of two block columns and makes those of one, all cut so narrow that each has the
bytes of a block; so the pivots are the best of their whole column, and the factors are LAPACK's, whatever the chunks. A step is a few expressions,
whatever the number of block columns.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from kask import config
from kask.array.kernels import panels as kernels
from kask.array.node import ArrayExpr
from kask.array.ops.joining import concatenated
from kask.array.ops.mapped import mapped
from kask.array.ops.matrices import eye
from kask.array.ops.rechunk import rechunked
from kask.engine import Chunks, Interval

# For the functions of kask.array.linalg only.
__all__: list[str] = []

_PANEL = ("all", "all")


class Panel(NamedTuple):
    """What a step made: of the columns from ``start`` on, ``width`` of them."""

    expr: ArrayExpr
    start: int
    width: int


def without_empty(along: Chunks) -> Chunks:
    """Chunks of one axis without those that are empty; at least one."""
    (length,) = along.shape
    return along.slice([(0, 1, length)]) if length else Chunks.whole([0])


def block_columns(array: ArrayExpr, narrowest: int = 1) -> ArrayExpr:
    """The array with one block along its rows, and columns cut finer where a block column would have more than the bytes of a block."""
    rows, columns = array.shape
    along = without_empty(array.chunks.axis(1))
    limit = int(config.get("array.chunk_size_bytes"))
    widest = max(narrowest, limit // max(1, rows * array.dtype.itemsize))
    if along.largest[0] > widest:
        along = Chunks.normalize([columns], [widest], 1, 1)
    return rechunked(array, Chunks.join([Chunks.whole([rows]), along]))


def _rest(array: ArrayExpr, start: int, part: Chunks) -> tuple[Any, ...]:
    """How the block columns of a part are read, one by one."""
    return ("fixed", 0), ("interval", 1, Interval(array.chunks.axis(1), part, start))


def _panels(array: ArrayExpr, make: Any, update: Any, constants: Any, label: str) -> list[Panel]:
    """The panels of an array cut by :func:`block_columns`; ``update`` changes what is left, with ``constants(start, width)``."""
    rows = Chunks.whole([array.shape[0]])
    found: list[Panel] = []
    left, start = array, 0
    sizes = array.chunks.axis(1).tuples()[0]
    for step, width in enumerate(sizes):
        one = Chunks.whole([width])
        panel = mapped(
            make,
            left,
            reads=(_rest(left, 0, one),),
            chunks=Chunks.join([rows, one]),
            dtype=array.dtype,
            constants=(start,),
            label=f"{label}-panel",
        )
        found.append(Panel(panel, start, width))
        if step + 1 < len(sizes):
            rest = Chunks([sizes[step + 1 :]])
            left = mapped(
                update,
                left,
                panel,
                reads=(_rest(left, width, rest), _PANEL),
                chunks=Chunks.join([rows, rest]),
                dtype=array.dtype,
                constants=constants(start, width),
                label=f"{label}-update",
            )
        start += width
    return found


def _stepped(func: Any, array: ArrayExpr, panel: Panel, constants: tuple[Any, ...], label: str) -> ArrayExpr:
    """All block columns of an array after a step of a panel."""
    return mapped(
        func,
        array,
        panel.expr,
        reads=(_rest(array, 0, array.chunks.axis(1)), _PANEL),
        chunks=array.chunks,
        dtype=array.dtype,
        constants=constants,
        label=label,
    )


def _of(panel: Panel, func: Any, shape: tuple[int, ...], dtype: Any, constants: tuple[Any, ...], label: str) -> Any:
    """What a function makes of a panel, in one block."""
    chunks = Chunks.whole(list(shape))
    return mapped(func, panel.expr, reads=(_PANEL,), chunks=chunks, dtype=dtype, constants=constants, label=label)


# -- LU


def lu_panels(array: ArrayExpr) -> list[Panel]:
    """Panels of LU; ``array`` is a square matrix, which may be cut in any way."""
    return _panels(block_columns(array), kernels.lu_panel, kernels.eliminated, lambda *place: place, "lu")


def orders(panels: list[Panel], rows: int) -> list[Any]:
    """The order of rows that all panels give together, and then for each panel that of those after it; the last has none."""
    found: list[Any] = [None]
    whole = Chunks.whole([rows])
    for panel in reversed(panels):
        # A value of its own, so that putting orders together needs no panel.
        order = _of(panel, kernels.order_of, (rows,), np.intp, (), "lu-order")
        if found[-1] is not None:
            reads = (("all",), ("all",))
            order = mapped(
                kernels.ordered_after, order, found[-1], reads=reads, chunks=whole, dtype=np.intp, label="lu-orders"
            )
        found.append(order)
    return found[::-1]


def lower_factor(panels: list[Panel], later: list[Any], chunks: Chunks, dtype: Any) -> ArrayExpr:
    """L, cut so. ``later`` has for each panel the order that those after it give."""
    rows = chunks.shape[0]
    columns: list[ArrayExpr] = []
    for panel, order in zip(panels, later):
        reads = (_PANEL,) if order is None else (_PANEL, (("fixed", 0),))
        columns.append(
            mapped(
                kernels.lower_part,
                panel.expr,
                *(() if order is None else (order,)),
                reads=reads,
                chunks=Chunks.whole([rows, panel.width]),
                dtype=dtype,
                constants=(None, panel.start) if order is None else (panel.start,),
                label="lu-l",
            )
        )
    return rechunked(concatenated(columns, 1), chunks)


def upper_factor(panels: list[Panel], rows: int, dtype: Any) -> ArrayExpr:
    """U or R, of so many rows, in block columns."""
    parts = [
        _of(panel, kernels.upper_part, (rows, panel.width), dtype, (panel.start, panel.width, rows), "upper")
        for panel in panels
    ]
    return concatenated(parts, 1)


def permutation(order: ArrayExpr, chunks: Chunks, dtype: Any) -> ArrayExpr:
    """The matrix P of P L U, cut so."""
    return mapped(
        kernels.permutation_block,
        order,
        reads=((("fixed", 0),),),
        chunks=chunks,
        dtype=dtype,
        constants=(chunks, np.dtype(dtype)),
        wants_position=True,
        label="lu-p",
    )


def lu_solution(array: ArrayExpr, right: ArrayExpr, refuses: bool = True) -> ArrayExpr:
    """The X of A X = B, of one type: B goes through the steps of elimination with A, and through those of substitution back. A singular A is
    refused, or X is NaN."""
    panels = lu_panels(array)
    found = block_columns(right)
    for panel in panels:
        found = _stepped(kernels.eliminated, found, panel, panel[1:], "solve-forward")
    for panel in reversed(panels):
        found = _stepped(kernels.substituted, found, panel, (*panel[1:], refuses), "solve-back")
    return found


def pivots_and_signs(array: ArrayExpr) -> tuple[ArrayExpr, ArrayExpr]:
    """The diagonal of U, and for each panel the sign of its order."""
    panels = lu_panels(array)
    diagonal = [
        _of(panel, kernels.pivots, (panel.width,), array.dtype, (panel.start,), "lu-pivots") for panel in panels
    ]
    signs = [_of(panel, kernels.parity, (1,), np.float64, (), "lu-sign") for panel in panels]
    return concatenated(diagonal, 0), concatenated(signs, 0)


# -- QR

#: Reflections of fewer columns at once than these move more than they compute.
_NARROWEST = 32


def panel_bytes(array: ArrayExpr) -> int:
    """The bytes of the narrowest block column that QR is made with."""
    rows, columns = array.shape
    return rows * min(columns, _NARROWEST) * array.dtype.itemsize


def householder_qr(array: ArrayExpr, wants_q: bool = True, complete: bool = False) -> tuple[ArrayExpr | None, Any]:
    """Q and R of a matrix that has at least as many rows as columns; all columns of Q and rows of R if ``complete``."""
    rows, columns = array.shape
    array = block_columns(array, _NARROWEST)
    dtype, count = array.dtype, rows if complete else columns
    panels = _panels(array, kernels.qr_panel, kernels.reflected, lambda start, width: (start, True), "qr")
    r = upper_factor(panels, count, dtype)
    if not wants_q:
        return None, r
    widest = array.chunks.largest[1]
    one = eye(rows, M=count, dtype=dtype).expr
    q = rechunked(one, Chunks.normalize([rows, count], [None, max(1, widest)], 1, 1))
    for panel in reversed(panels):
        q = _stepped(kernels.reflected, q, panel, (panel.start, False), "qr-q")
    return q, r
