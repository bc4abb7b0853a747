"""What a program is written in: calls, and what they take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["Position", "Step", "Use"]


class Use(NamedTuple):
    """An argument that is a value of the program: inputs come first, then results of steps."""

    place: int


class Position(NamedTuple):
    """An argument that is the position of a block: for each of its axes, an axis of the program's own position, or ``~i`` for i."""

    axes: tuple[int, ...]


class Step(NamedTuple):
    """One call."""

    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    #: Values that nobody needs after this call.
    last: tuple[int, ...] = ()
    #: Those of them whose buffers nothing else can see.
    own: tuple[int, ...] = ()
