"""What happens to open engines, clients and clusters when the process forks or ends.

A fork copies only the calling thread, so nothing of the engine lives on in the child: all is forgotten there, and made anew
on demand. At exit everything open is closed, clients before clusters, before Python takes its modules apart.
"""

from __future__ import annotations

import atexit
import itertools
import os
import threading
import weakref
from collections.abc import Callable
from typing import Protocol

from kask.engine import shutdown_all
from kask.exceptions import CancelledError, ClientClosedError


class Closable(Protocol):
    """What can be closed at exit."""

    def close_at_exit(self) -> None: ...


_open: weakref.WeakValueDictionary[int, Closable] = weakref.WeakValueDictionary()
_numbers = itertools.count()
_forgetters: list[Callable[[], None]] = []
_abandoned: list[object] = []


def close_at_exit(thing: Closable) -> None:
    """Close ``thing`` at interpreter exit if it lives that long; the youngest first."""
    _open[next(_numbers)] = thing


def on_fork(forget: Callable[[], None]) -> None:
    """Call ``forget`` in the child of each fork."""
    _forgetters.append(forget)


def abandon(thing: object) -> None:
    """Keep an object of the parent process from ever being finalised in a child, where its threads do not exist."""
    import ctypes

    if thing is not None:
        _abandoned.append(thing)
        # One reference that nobody gives back: the end of the interpreter empties lists, but leaves this object alone.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _after_fork() -> None:
    for thing in list(_open.values()):
        abandon(thing)
    _open.clear()
    for forget in _forgetters:
        forget()


def _quiet_threads() -> None:
    """Threads that wait for results when the interpreter ends hear that the client is closed; nobody else has to."""
    previous = threading.excepthook

    def hook(arguments: threading.ExceptHookArgs) -> None:
        if not isinstance(arguments.exc_value, ClientClosedError | CancelledError):
            previous(arguments)

    threading.excepthook = hook


def _at_exit() -> None:
    _quiet_threads()
    for number in sorted(_open, reverse=True):
        thing = _open.get(number)
        if thing is not None:
            try:
                thing.close_at_exit()
            except Exception:
                # The process ends anyway, and quietly; what is left is ended by shutdown_all.
                continue
    if not _abandoned:
        shutdown_all()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
