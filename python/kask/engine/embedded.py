"""The engines inside this process: one with threads, one that runs tasks in the thread that waits."""

from __future__ import annotations

import threading
from typing import Any

from kask import config
from kask.engine import Engine
from kask.engine.exits import abandon, close_at_exit, on_fork
from kask.engine.local import memory_limit_bytes, spill_options
from kask.system import cpu_count

_lock = threading.Lock()
_embedded: Engine | None = None
_synchronous: Engine | None = None


def default_nthreads() -> int:
    """Threads of an embedded engine: as configured, otherwise one for each usable CPU."""
    return config.get("embedded.nthreads") or cpu_count()


def start_embedded(
    nthreads: int | None = None, memory_limit: str | int | float | None = None, **options: Any
) -> Engine:
    """A new embedded engine; what is ``None`` comes from the settings."""
    limit = config.get("embedded.memory_limit") if memory_limit is None else memory_limit
    limit_bytes = memory_limit_bytes(limit, processes=False)
    return Engine.embedded(
        nthreads or default_nthreads(),
        memory_limit=limit_bytes,
        spill=spill_options(),
        **options,
    )


def embedded_engine() -> Engine:
    """The process's embedded engine, started at first use."""
    global _embedded
    with _lock:
        if _embedded is None or _embedded.closed:
            _embedded = start_embedded()
            close_at_exit(_Closer(_embedded))
        return _embedded


def running_engine() -> Engine | None:
    """The process's embedded engine, if it has been started."""
    return _embedded if _embedded is not None and not _embedded.closed else None


def synchronous_engine() -> Engine:
    """The process's engine that runs one task after another in the waiting thread."""
    global _synchronous
    with _lock:
        if _synchronous is None or _synchronous.closed:
            _synchronous = Engine.synchronous()
            close_at_exit(_Closer(_synchronous))
        return _synchronous


# Kept alive here: the table of open things holds no references.
_kept: list[_Closer] = []


class _Closer:
    """Closes an engine at exit without waiting for tasks that nobody waits for any more."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        _kept.append(self)

    def close_at_exit(self) -> None:
        self.engine.close(timeout=2.0)


def _forget() -> None:
    global _embedded, _synchronous, _lock
    abandon(_embedded)
    abandon(_synchronous)
    abandon(list(_kept))
    _kept.clear()
    _embedded = _synchronous = None
    _lock = threading.Lock()


on_fork(_forget)
