"""Calls on engines without the Python layers above them, and clusters for them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

from kask.engine import Cluster, Engine, Future


def start(processes: bool) -> Cluster:
    """A cluster of two workers with a thread each."""
    # The workers import the tests' own functions.
    folders = [os.path.abspath(folder) for folder in sys.path if folder]
    return Cluster.start(
        n_workers=2,
        threads_per_worker=1,
        memory_limit=0,
        python=sys.executable,
        local_directory=None,
        resources=None,
        host=None,
        port=0,
        processes=processes,
        heartbeat_timeout=30.0,
        worker_env={"PYTHONPATH": os.pathsep.join(folders)},
        preload=[],
        allowed_deaths=3,
        name="test",
        startup_timeout=60.0,
    )


def submit_to(engine: Engine) -> Callable[..., Future]:
    """``submit(func, *args, **kwargs)`` on ``engine``."""

    def submit(func: Callable[..., Any], *args: Any, **kwargs: Any) -> Future:
        return engine.submit(func, args, kwargs, key=None, pure=False, options=None)

    return submit


def map_on(
    engine: Engine, func: Callable[..., Any], *iterables: Any, pure: bool = True, keys: Any = None, **kwargs: Any
) -> list[Future]:
    """``Engine.map`` with defaults."""
    return engine.map(func, iterables, kwargs, keys=keys, pure=pure, options=None, batch_size=None)
