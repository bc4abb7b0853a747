"""Starting local clusters: how many workers, how many threads each, how much memory."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence

from kask import config
from kask.engine import Cluster
from kask.system import cpu_count, memory_total_bytes


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


def memory_limit_bytes(limit: str | int | float | None, n_workers: int, threads: int) -> int:
    """Bytes that one worker may use; 0 is no limit. ``"auto"`` is a fair share, and a number up to 1 a share of the machine.

    Examples
    --------
    >>> memory_limit_bytes("4GiB", 2, 1), memory_limit_bytes(0, 2, 1)
    (4294967296, 0)
    """
    from kask.units import parse_bytes

    if limit is None:
        return 0
    if limit == "auto":
        share = min(1.0, threads / cpu_count()) if n_workers > 1 else 1.0
        return int(memory_total_bytes() * share)
    if isinstance(limit, float) and 0 < limit <= 1:
        return int(memory_total_bytes() * limit)
    limit = parse_bytes(limit)
    if limit < 0:
        raise ValueError(f"memory_limit= must be 'auto', 0 (no limit) or a size, got {limit!r}")
    return limit


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
    return Cluster.start(
        n_workers=workers,
        threads_per_worker=threads,
        memory_limit=memory_limit_bytes(limit, workers, threads),
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
