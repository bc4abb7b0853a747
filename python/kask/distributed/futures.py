"""Futures, and finding them in what users hand in."""

from __future__ import annotations

from collections.abc import Generator, ItemsView, KeysView, Sequence, ValuesView
from typing import Any

from kask.containers import map_leaves
from kask.engine import Engine, Future, Node
from kask.graphs import futures_below

__all__ = ["Future", "by_engine", "fire_and_forget", "futures_of"]


def futures_of(o: Any, client: Any = None) -> list[Future]:
    """Futures inside a collection, or inside nested containers, each once.

    Parameters
    ----------
    o : object
        A Future, a persisted collection, or containers with some of them inside.
    client : Client, optional
        Accepted for compatibility; a future knows its client.

    Returns
    -------
    list of Future

    Examples
    --------
    >>> import kask
    >>> client = kask.Client("embedded")
    >>> x = client.submit(abs, -1)
    >>> len(kask.distributed.futures_of({"x": [x, x, 5]}))
    1
    >>> client.close()
    """
    found: dict[int, Future] = {}
    seen: set[str] = set()

    # A function that named itself would be a cycle, which keeps the futures until the garbage collector comes by.
    def take(leaf: Any) -> Any:
        stack = [leaf]
        while stack:
            part = stack.pop()
            if isinstance(part, Future):
                found[id(part)] = part
            elif isinstance(part, Node):
                if part.key not in seen:
                    seen.add(part.key)
                    stack.extend(reversed(part.inputs()))
                    stack.extend(reversed(futures_below(part)))
            elif not isinstance(part, type):
                below = getattr(type(part), "__kask_futures__", None)
                stack.extend(reversed(below(part)) if below is not None else ())
        return leaf

    map_leaves(list(o) if isinstance(o, _ITERABLES) else o, take)
    return list(found.values())


_ITERABLES = (KeysView, ValuesView, ItemsView, Generator)


def by_engine(futures: Sequence[Future]) -> dict[int, tuple[Engine, list[Future]]]:
    """Futures grouped by the engine they belong to."""
    groups: dict[int, tuple[Engine, list[Future]]] = {}
    for future in futures:
        engine = future.engine
        groups.setdefault(id(engine), (engine, []))[1].append(future)
    return groups


def fire_and_forget(obj: Any) -> None:
    """Run tasks to their end even if nobody holds their futures any more.

    Parameters
    ----------
    obj : Future, collection, or containers of them
        A collection is submitted first.

    Examples
    --------
    >>> import kask
    >>> client = kask.Client("embedded")
    >>> kask.fire_and_forget(client.submit(print, "done", pure=False))  # doctest: +SKIP
    >>> client.close()
    """
    from kask.base import is_kask_collection, persist

    def start(leaf: Any) -> Any:
        return persist(leaf)[0] if is_kask_collection(leaf) else leaf

    futures = futures_of(map_leaves(obj, start))
    if not futures:
        raise TypeError(f"fire_and_forget needs futures or collections, got {obj!r}")
    for engine, some in by_engine(futures).values():
        engine.detach(some)
