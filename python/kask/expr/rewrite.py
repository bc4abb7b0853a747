"""Walking expressions and rewriting them until nothing gets cheaper. Nothing here recurses: chains may be of any length."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from kask.annotations import using
from kask.expr.node import Expr

__all__ = ["Readers", "consumers", "rewrite", "rewritten_together", "walk"]

_ROUNDS = 100
#: How many read each expression, by token, of all that will be computed at once.
_TOGETHER: ContextVar[dict[str, int] | None] = ContextVar("_TOGETHER", default=None)


def walk(roots: Iterable[Any]) -> list[Any]:
    """All expressions below and including the roots, each once (by token), operands before those who read them."""
    done: dict[str, Expr] = {}
    stack: list[tuple[Expr, bool]] = [(root, False) for root in roots]
    while stack:
        expr, is_ready = stack.pop()
        if expr.token in done:
            continue
        if is_ready:
            done[expr.token] = expr
        else:
            stack.append((expr, True))
            stack.extend((operand, False) for operand in reversed(expr.operands))
    return list(done.values())


def consumers(order: Iterable[Expr]) -> dict[str, int]:
    """How many of these expressions read each one, by token."""
    counts: dict[str, int] = {}
    for expr in order:
        for token in {operand.token for operand in expr.operands}:
            counts[token] = counts.get(token, 0) + 1
    return counts


def rewrite(roots: list[Any], rule: Callable[[Any], Expr | None] = lambda expr: expr.simplified()) -> list[Any]:
    """Equal expressions in which ``rule`` finds nothing to improve. Work that was shared stays shared."""
    elsewhere = _TOGETHER.get() or {}
    for _ in range(_ROUNDS):
        better: dict[str, Expr] = {}
        is_changed = False
        order = walk(roots)
        readers = Readers(order, roots, elsewhere)
        for expr in order:
            with using(expr.options):
                new: Expr = expr.with_operands(lambda operand, better=better: better[operand.token])
            new = _improved(new, rule)
            if new is expr:
                new = expr.settled(readers) or expr
            is_changed |= new.token != expr.token
            better[expr.token] = new
        roots = [better[root.token] for root in roots]
        elsewhere = {better[token].token: count for token, count in elsewhere.items() if token in better}
        if not is_changed:
            return roots
    return roots


class Readers:
    """Who reads each of some expressions, by token; it is found when it is asked for.

    Parameters
    ----------
    order, roots : list of Expr
        The expressions, and those of them that are wanted themselves: these are read once more.
    elsewhere : dict
        Of some it is known how many there are at least.
    """

    def __init__(self, order: list[Any], roots: list[Any], elsewhere: dict[str, int]) -> None:
        self._given = order, roots, elsewhere
        self._found: dict[tuple[str, Any], Any] = {}

    @functools.cached_property
    def counts(self) -> dict[str, int]:
        """How many there are."""
        return _readers(*self._given)

    def together(self, expr: Any, find: Callable[[Any, list[Any]], Any]) -> Any:
        """What ``find`` says of an expression and of those of the expressions that read it; it is asked once."""
        key = expr.token, find
        if key not in self._found:
            self._found[key] = find(expr, self._known.get(expr.token, []))
        return self._found[key]

    @functools.cached_property
    def _known(self) -> dict[str, list[Any]]:
        found: dict[str, list[Any]] = {}
        for expr in self._given[0]:
            for token in {operand.token for operand in expr.operands}:
                found.setdefault(token, []).append(expr)
        return found


def _readers(order: list[Any], roots: list[Any], elsewhere: dict[str, int]) -> dict[str, int]:
    """How many read each of these expressions; of some it is known how many there are at least."""
    counts = consumers(order)
    for root in roots:
        counts[root.token] = counts.get(root.token, 0) + 1
    for token, count in elsewhere.items():
        counts[token] = max(count, counts.get(token, 0))
    return counts


@contextmanager
def rewritten_together(roots: list[Any]) -> Iterator[None]:
    """While expressions that will be computed at once are rewritten one by one: what only one of them reads may be read by another."""
    before = _TOGETHER.set(_readers(walk(roots), roots, {}))
    try:
        yield
    finally:
        _TOGETHER.reset(before)


def _improved(expr: Expr, rule: Callable[[Any], Expr | None]) -> Expr:
    for _ in range(_ROUNDS):
        # What gets cheaper moves elements, and moves nearer to where they come from: what is made anew of an annotated operand is annotated.
        with using(expr.operands[0].options if expr.operands else expr.options):
            better = rule(expr)
        if better is None or better.token == expr.token:
            break
        expr = better
    return expr
