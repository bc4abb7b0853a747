"""Futures on a scheduler, with the names that users of Dask know."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kask.diagnostics.bars import progress as progress
    from kask.distributed.client import Client as Client
    from kask.distributed.cluster import LocalCluster as LocalCluster
    from kask.distributed.completion import as_completed as as_completed
    from kask.distributed.completion import wait as wait
    from kask.distributed.executor import ClientExecutor as ClientExecutor
    from kask.distributed.futures import Future as Future
    from kask.distributed.futures import fire_and_forget as fire_and_forget
    from kask.distributed.futures import futures_of as futures_of
    from kask.distributed.security import Security as Security
    from kask.distributed.worker_context import default_client as default_client
    from kask.distributed.worker_context import get_client as get_client
    from kask.distributed.worker_context import get_worker as get_worker
    from kask.distributed.worker_context import rejoin as rejoin
    from kask.distributed.worker_context import secede as secede
    from kask.distributed.worker_context import worker_client as worker_client
    from kask.exceptions import CancelledError as CancelledError
    from kask.exceptions import FutureLostError as FutureLostError
    from kask.exceptions import KilledWorker as KilledWorker
    from kask.exceptions import Reschedule as Reschedule

_HOMES = {
    "CancelledError": "kask.exceptions",
    "Client": "kask.distributed.client",
    "ClientExecutor": "kask.distributed.executor",
    "Future": "kask.distributed.futures",
    "FutureLostError": "kask.exceptions",
    "KilledWorker": "kask.exceptions",
    "LocalCluster": "kask.distributed.cluster",
    "Reschedule": "kask.exceptions",
    "Security": "kask.distributed.security",
    "as_completed": "kask.distributed.completion",
    "default_client": "kask.distributed.worker_context",
    "fire_and_forget": "kask.distributed.futures",
    "futures_of": "kask.distributed.futures",
    "get_client": "kask.distributed.worker_context",
    "get_worker": "kask.distributed.worker_context",
    "progress": "kask.diagnostics.bars",
    "rejoin": "kask.distributed.worker_context",
    "secede": "kask.distributed.worker_context",
    "wait": "kask.distributed.completion",
    "worker_client": "kask.distributed.worker_context",
}

# Names that are builtins by now.
TimeoutError = TimeoutError

__all__ = sorted([*_HOMES, "TimeoutError"])


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'kask.distributed' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
