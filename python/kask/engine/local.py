"""Starting local clusters: how many workers, how many threads each, how much memory."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from kask import config
from kask.engine import Cluster, auto_memory_limit
from kask.engine import memory_limit_bytes as total_memory
from kask.system import cpu_count
from kask.units import format_bytes

#: Less is not meant as a limit of memory.
_LEAST_BYTES = 1 << 20


def workers_and_threads(
    n_workers: int | None, threads_per_worker: int | None, processes: bool, cpus: int | None = None
) -> tuple[int, int]:
    """Number of workers and of threads in each, where ``None`` leaves the choice to us.

    Examples
    --------
    >>> workers_and_threads(None, None, True, cpus=4), workers_and_threads(None, None, True, cpus=16)
    ((4, 1), (4, 4))
    >>> workers_and_threads(None, None, False, cpus=4), workers_and_threads(2, None, True, cpus=4)
    ((1, 4), (2, 2))
    """
    cpus = cpus or cpu_count()
    n_workers = n_workers if n_workers is not None else config.get("cluster.n_workers") or None
    threads = threads_per_worker if threads_per_worker is not None else config.get("cluster.threads_per_worker") or None
    if n_workers is None and threads is None:
        if not processes:
            n_workers = 1
        elif cpus <= 4:
            n_workers = cpus
        else:
            # As many processes as threads in each, roughly: few enough to share data, many enough to escape one GIL.
            n_workers = next(n for n in range(math.isqrt(cpus), cpus + 1) if cpus % n == 0)
    if n_workers is None:
        n_workers = max(1, cpus // (threads or 1)) if processes else 1
    if threads is None:
        threads = max(1, math.ceil(cpus / n_workers)) if n_workers else 1
    return n_workers, threads


def memory_limit_bytes(limit: str | int | float | None, n_workers: int = 1, processes: bool = True) -> int:
    """Bytes that one worker may use; 0 and ``None`` are no limit. ``"auto"`` is an equal part of what there is, a float up to
    1 or a percentage a share of it; whole numbers, those of NumPy too, and texts such as ``"4GiB"`` are bytes.

    Examples
    --------
    >>> memory_limit_bytes("4GiB", 2), memory_limit_bytes(0, 2)
    (4294967296, 0)
    >>> memory_limit_bytes("50%") == memory_limit_bytes(0.5)
    True
    """
    from kask.settings import TABLE

    if limit is None:
        return 0
    try:
        parsed = TABLE["cluster.memory_limit"].parse(limit)
    except ValueError as error:
        raise ValueError(f"memory_limit={limit!r}: {error}") from None
    if parsed == "auto":
        return auto_memory_limit(n_workers, processes)
    nbytes = max(1, int(total_memory() * parsed)) if isinstance(parsed, float) else int(parsed)
    if 0 < nbytes < _LEAST_BYTES:
        raise ValueError(
            f"memory_limit={limit!r} is {format_bytes(nbytes)}, and a worker needs 1 MiB at least: say a size with a unit, such as '4GiB', "
            "or 0 for no limit"
        )
    return nbytes


def larger_cluster_limit(limit: str | int | float, n_workers: int, processes: bool) -> int | None:
    """Bytes of workers that a cluster gets when it is to have ``n_workers``; ``None`` where they do not depend on that."""
    share = isinstance(limit, str) and limit.strip().lower() == "auto"
    return memory_limit_bytes(limit, max(1, n_workers), processes) if share else None


def spill_options(local_directory: str | None = None) -> dict[str, Any]:
    """What the settings say of moving results to disk, for ``Cluster.start`` and ``Engine.embedded``."""
    reserve = config.get("memory.spill_reserve")
    places = {
        "the setting memory.spill_directory": config.get("memory.spill_directory"),
        "local_directory=": local_directory,
        "the setting cluster.local_directory": config.get("cluster.local_directory"),
    }
    setting, directory = next(((name, place) for name, place in places.items() if place), (None, None))
    return {
        "target": config.get("memory.target"),
        "directory": directory,
        "setting": setting,
        "limit": config.get("memory.spill_limit"),
        "reserve": None if reserve == "auto" else reserve,
        "compression": config.get("memory.spill_compression"),
        "checkpoints": config.get("memory.checkpoint_shuffles"),
    }


def start_cluster(
    *,
    n_workers: int | None = None,
    threads_per_worker: int | None = None,
    processes: bool = True,
    memory_limit: str | int | float | None = None,
    local_directory: str | None = None,
    resources: Mapping[str, float] | None = None,
    host: str | None = None,
    port: int = 0,
    env: Mapping[str, str] | None = None,
    preload: Sequence[str] | None = None,
    name: str = "local",
) -> Cluster:
    """Start a scheduler in this process and its workers; what is ``None`` comes from the settings."""
    workers, threads = workers_and_threads(n_workers, threads_per_worker, processes)
    limit = config.get("cluster.memory_limit") if memory_limit is None else memory_limit
    limit_bytes = memory_limit_bytes(limit, workers, processes)
    return Cluster.start(
        n_workers=workers,
        threads_per_worker=threads,
        memory_limit=limit_bytes,
        spill=spill_options(local_directory),
        python=sys.executable,
        local_directory=local_directory or config.get("cluster.local_directory") or None,
        resources=dict(resources) if resources else None,
        host=host,
        port=port,
        processes=processes,
        heartbeat_timeout=config.get("cluster.heartbeat_timeout_s"),
        worker_env=_worker_env(env),
        preload=list(config.get("worker.preload") if preload is None else preload),
        allowed_deaths=config.get("cluster.allowed_deaths"),
        name=name,
        startup_timeout=config.get("cluster.startup_timeout_s"),
    )


def _worker_env(env: Mapping[str, str] | None) -> dict[str, str]:
    # Workers must find the modules that this process finds; one native thread each, because the workers themselves are the parallelism.
    import os

    variables = {
        name: "1" for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS") if name not in os.environ
    }
    paths = [path if path else os.getcwd() for path in sys.path]
    variables["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    return variables | {str(name): str(value) for name, value in (env or {}).items()}
