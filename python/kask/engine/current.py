"""Which client is the default one: innermost ``with client.as_current()`` first, otherwise the youngest that is open."""

from __future__ import annotations

import contextvars
from typing import TYPE_CHECKING

from kask.engine import Engine, set_default_engine_hook
from kask.engine.exits import abandon, on_fork
from kask.exceptions import ClientClosedError

if TYPE_CHECKING:
    from kask.distributed.client import Client

_context: contextvars.ContextVar[Client | None] = contextvars.ContextVar("kask_client", default=None)
_global: list[Client] = []


def push_global(client: Client) -> None:
    """Make ``client`` the default of the process."""
    _global.append(client)


def drop_global(client: Client) -> None:
    """``client`` is closed: the one before it is the default again."""
    _global[:] = [other for other in _global if other is not client]


def set_context(client: Client | None) -> contextvars.Token[Client | None]:
    """Make ``client`` the default of this context (thread or coroutine)."""
    return _context.set(client)


def reset_context(token: contextvars.Token[Client | None]) -> None:
    """Undo ``set_context``."""
    _context.reset(token)


def current_client(allow_global: bool = True) -> Client | None:
    """The default client here, or None."""
    client = _context.get()
    if client is not None and client.usable:
        return client
    if allow_global:
        for client in reversed(_global):
            if client.usable:
                return client
    return None


def _default_engine() -> Engine:
    """Where a future belongs that comes out of a pickle outside of any task."""
    from kask.engine.embedded import running_engine

    client = current_client()
    engine = running_engine() if client is None else client.__kask_engine__()
    if engine is None:
        raise ClientClosedError("there is no client that the future could belong to", hint="make a Client first")
    return engine


def _forget() -> None:
    abandon(list(_global))
    _global.clear()
    _context.set(None)


on_fork(_forget)
set_default_engine_hook(_default_engine)
