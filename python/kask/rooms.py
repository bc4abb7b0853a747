"""How much memory one task may take, for those who choose between ways of doing the same while a graph is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple

from kask.engine import usable_bytes

if TYPE_CHECKING:
    from kask.engine import Engine

__all__ = ["Room", "current_room", "planning_for", "room_of"]


class Room(NamedTuple):
    """Bytes for tasks."""

    #: What each of the tasks that a worker runs at once may take, what it reads and what it makes together.
    task_bytes: int
    #: What a task may take at most, alone on its worker.
    worker_bytes: int
    #: How many workers there are.
    workers: int
    #: How many tasks run at once.
    threads: int


#: Finds out what there is where the graph that is being made will run; asked once.
_find: ContextVar[Callable[[], Room | None] | None] = ContextVar("kask_room", default=None)


def room_of(workers: Mapping[str, Mapping[str, Any]], limit_bytes: int | None = None) -> Room | None:
    """What the smallest of these workers has, or would have with this limit; None where there is no limit."""
    limits = [worker["memory_limit"] for worker in workers.values()] if limit_bytes is None else [limit_bytes]
    if not limits or not all(limits):
        return None
    usable = usable_bytes(min(limits))
    threads = [worker["nthreads"] for worker in workers.values()]
    return Room(usable // max([1, *threads]), usable, max(1, len(workers)), max(1, sum(threads)))


@contextmanager
def planning_for(target: Callable[[], Engine | Room | None] | None) -> Iterator[None]:
    """While a graph is made for an engine, or for so much room, which is found out only if somebody wants to know."""
    known: list[Room | None] = []

    def find() -> Room | None:
        if not known:
            found = target() if target is not None else None
            if found is not None and not isinstance(found, Room):
                found = room_of(found.scheduler_info()["workers"])
            known.append(found)
        return known[0]

    token = _find.set(find)
    try:
        yield
    finally:
        _find.reset(token)


def current_room() -> Room | None:
    """What there is for a task of the graph that is being made, where that is known."""
    find = _find.get()
    return None if find is None else find()
