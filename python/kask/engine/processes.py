"""The local cluster behind ``scheduler="processes"``, started at first use."""

from __future__ import annotations

import threading

from kask import config
from kask.engine import Cluster, Engine
from kask.engine.exits import abandon, close_at_exit, on_fork
from kask.engine.local import start_cluster

_lock = threading.Lock()
_shared: _Shared | None = None


class _Shared:
    def __init__(self) -> None:
        self.cluster: Cluster = start_cluster(name="processes")
        self.engine: Engine = self.cluster.engine("processes")
        close_at_exit(self)

    def close_at_exit(self) -> None:
        self.engine.close()
        self.cluster.close(timeout=config.get("cluster.close_timeout_s"))


def processes_engine() -> Engine:
    """The engine connected to the process's own local cluster."""
    global _shared
    with _lock:
        if _shared is None or _shared.engine.closed:
            _shared = _Shared()
        return _shared.engine


def _forget() -> None:
    global _shared, _lock
    abandon(_shared)
    _shared = None
    _lock = threading.Lock()


on_fork(_forget)
