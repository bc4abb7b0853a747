"""Work that one expression does anyway and that another can use in place of its own.

Equal work is recognised by its token and needs nothing here. This is of work that contains other work: who goes through an array for its
variance has its mean as well. An expression tells what can be found in it (``offers``), and another one makes itself of that (``served``).
Alone, it stays as it is.
"""

from __future__ import annotations

import functools
from typing import Any

from kask.expr.rewrite import rewrite, walk

__all__ = ["optimised", "shared"]


def optimised(roots: list[Any]) -> list[Any]:
    """Equal expressions that cost less."""
    return shared(rewrite(roots))


def shared(roots: list[Any]) -> list[Any]:
    """Equal expressions that use what others of them make."""
    while True:
        offers: dict[Any, Any] = {}
        for expr in walk(roots):
            offer = expr.offers
            if offer is not None:
                offers.setdefault(offer, expr)
        if not offers:
            return roots
        better = rewrite(roots, functools.partial(_served, offers))
        if all(new.token == old.token for new, old in zip(better, roots)):
            return better
        # What is made of what was served has another token now, and so have its offers.
        roots = better


def _served(offers: dict[Any, Any], expr: Any) -> Any:
    return expr.served(offers)
