"""Transpositions, moved to where the elements come from.

A block of a transposed array is a view, so a transposition costs little where it is; what it costs is fusion, as it stands between a rechunk, a
reduction or a concatenation and whoever reads these. It is moved down to sources that can be read transposed, where it vanishes, and only if it
vanishes in all of them, and if nobody else reads what is in between, which would be computed twice otherwise.

A source has a method ``turned(axes)``: the array with its axes in this order, or None. What a transposition can pass has a method
``turning(axes)``: a :class:`Turn`, or None.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from kask.annotations import using
from kask.array.node import ArrayExpr

__all__ = ["Turn", "turned_at_sources"]


class Turn(NamedTuple):
    """How an expression is made with its axes in another order."""

    #: The operands, and the order of the axes of each.
    wanted: list[tuple[ArrayExpr, tuple[int, ...]]]
    #: Makes it of these operands, turned so.
    rebuild: Callable[[list[ArrayExpr]], ArrayExpr]


def turned_at_sources(array: ArrayExpr, axes: tuple[int, ...], readers: Mapping[str, int]) -> ArrayExpr | None:
    """The array with its axes in this order, all of whose sources are read so; None if that is not possible, or would make more work.

    ``readers`` tells how many read each expression, by token. Nothing here recurses: chains may be of any length.
    """
    done: dict[tuple[str, tuple[int, ...]], ArrayExpr] = {}
    passed: dict[str, tuple[int, ...]] = {}
    inside: dict[str, int] = {array.token: 1}
    stack: list[tuple[Any, tuple[int, ...], Turn | None]] = [(array, axes, None)]
    while stack:
        expr, order, turn = stack.pop()
        if turn is not None:
            with using(expr.options):
                done[expr.token, order] = turn.rebuild([done[one.token, own] for one, own in turn.wanted])
            continue
        if (expr.token, order) in done:
            continue
        source = _source(expr, order)
        if source is not None:
            done[expr.token, order] = source
            continue
        if expr.token in passed:
            if passed[expr.token] != order:
                return None
            continue
        turn = expr.turning(order) if hasattr(expr, "turning") else None
        if turn is None:
            return None
        passed[expr.token] = order
        for token in {one.token for one, _ in turn.wanted}:
            inside[token] = inside.get(token, 0) + 1
        stack.append((expr, order, turn))
        stack.extend([(one, own, None) for one, own in turn.wanted])
    if any(readers.get(token, 1) > inside[token] for token in passed):
        return None
    return done[array.token, axes]


def _source(expr: Any, axes: tuple[int, ...]) -> ArrayExpr | None:
    if axes == tuple(range(expr.ndim)):
        # Nothing to do: also an operand of one axis, or of none.
        return expr
    turned = getattr(expr, "turned", None)
    return None if turned is None else turned(axes)
