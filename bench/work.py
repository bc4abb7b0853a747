"""The functions that the benchmarks run. In a module of their own, so that worker processes can import them."""

from __future__ import annotations

from typing import Any


def inc(x: int) -> int:
    return x + 1


def total(parts: Any) -> int:
    """The sum of a block of a tree reduction: ``parts`` is nested once for each axis."""
    return sum(map(total, parts)) if isinstance(parts, list | tuple) else parts


def one() -> int:
    return 1
