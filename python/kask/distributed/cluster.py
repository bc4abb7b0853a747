"""``LocalCluster``: a scheduler in this process and workers on this machine."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any

from kask import config
from kask.annotations import checked_resources
from kask.distributed.aio import in_thread
from kask.distributed.security import Security, write_scheduler_file
from kask.engine import Cluster, Engine
from kask.engine.exits import close_at_exit
from kask.engine.local import larger_cluster_limit, start_cluster
from kask.exceptions import ClientClosedError, ClusterError
from kask.keywords import refuse_unknown
from kask.settings import MOST_WORKERS
from kask.units import format_bytes, parse_seconds, whole_number

OPTIONS = (
    "n_workers", "threads_per_worker", "processes", "memory_limit", "host", "scheduler_port", "local_directory", "resources", "env",
    "preload", "name",
)  # fmt: skip


class LocalCluster:
    """A scheduler in this process and workers on this machine, which end with it.

    Parameters
    ----------
    n_workers : int, optional
        Number of workers; by default as many as fit the CPUs.
    threads_per_worker : int, optional
        Threads of each worker; by default as many as fit the CPUs.
    processes : bool
        Whether workers are processes (supervised, and replaced when they die) or live in this process.
    memory_limit : str, int or float, optional
        Memory of each worker: "auto" (a fair share of the machine; the default), 0 (no limit), a size such as "4GiB", or a share of the machine
        such as 0.25.
    host : str, optional
        Loopback address to listen on with TCP, such as "127.0.0.1"; by default Unix sockets in a private folder.
    scheduler_port : int
        Port for ``host``; 0 is any.
    local_directory : path, optional
        Folder for the files of the workers, among them results that do not fit in memory.
    resources : dict, optional
        What each worker has, such as ``{"GPU": 1}``.
    env : dict, optional
        Variables for the worker processes.
    preload : list of str, optional
        Modules that each worker process imports first.
    name : str, optional
        For people.
    asynchronous : bool
        Whether ``close`` returns an awaitable; then use ``async with LocalCluster(...)``.

    Examples
    --------
    >>> from kask.distributed import Client, LocalCluster
    >>> with LocalCluster(n_workers=2, threads_per_worker=1, processes=False) as cluster, Client(cluster) as client:
    ...     client.submit(abs, -1).result()
    1
    """

    def __init__(
        self,
        n_workers: int | None = None,
        threads_per_worker: int | None = None,
        processes: bool = True,
        memory_limit: str | int | float | None = None,
        host: str | None = None,
        scheduler_port: int = 0,
        local_directory: str | os.PathLike | None = None,
        resources: Mapping[str, float] | None = None,
        env: Mapping[str, str] | None = None,
        preload: Sequence[str] | None = None,
        name: str | None = None,
        asynchronous: bool = False,
        **kwargs: Any,
    ) -> None:
        refuse_unknown("LocalCluster", kwargs, (*OPTIONS, "asynchronous"))
        if n_workers is not None:
            n_workers = whole_number("n_workers", n_workers, 0, MOST_WORKERS)
        if threads_per_worker is not None:
            threads_per_worker = whole_number("threads_per_worker", threads_per_worker, 1, MOST_WORKERS)
        scheduler_port = whole_number("scheduler_port", scheduler_port, 0, 65535)
        if not isinstance(processes, bool):
            raise TypeError(f"processes= must be True or False, got {processes!r}")
        if env is not None and not isinstance(env, Mapping):
            raise TypeError(f"env= must be a dict of variables, got {env!r}")
        preload = _modules(preload)
        if scheduler_port and host is None:
            host = "127.0.0.1"
        if local_directory is not None and not isinstance(local_directory, str | os.PathLike):
            raise TypeError(f"local_directory= must be a path, got {type(local_directory).__name__}")
        self.name = str(name) if name else f"local-{os.getpid()}"
        self.asynchronous = asynchronous
        self._pid = os.getpid()
        self._closed = False
        self._cluster: Cluster | None = None
        self._limit: str | int | float = "auto"
        self._options: dict[str, Any] = {
            "n_workers": n_workers,
            "threads_per_worker": threads_per_worker,
            "processes": processes,
            "memory_limit": memory_limit,
            "local_directory": None if local_directory is None else os.fspath(local_directory),
            "resources": checked_resources(resources),
            "host": host,
            "port": scheduler_port,
            "env": env,
            "preload": preload,
            "name": self.name,
        }
        if not asynchronous:
            self._start()

    def _start(self) -> None:
        if self._cluster is None and not self._closed:
            limit = self._options["memory_limit"]
            self._limit = config.get("cluster.memory_limit") if limit is None else limit
            self._cluster = start_cluster(**self._options | {"memory_limit": self._limit})
            close_at_exit(self)

    @property
    def _running(self) -> Cluster:
        if self._pid != os.getpid():
            raise ClientClosedError(
                "this cluster belongs to the process that was forked", hint="make a new one in this process"
            )
        if self._closed:
            raise ClientClosedError("the cluster is closed")
        if self._cluster is None:
            raise ClientClosedError(
                "the cluster is not started", hint="await it first: cluster = await LocalCluster(asynchronous=True)"
            )
        return self._cluster

    def _engine(self, name: str) -> Engine:
        return self._running.engine(name)

    @property
    def scheduler_address(self) -> str:
        """Where other processes reach the scheduler; they need the token as well, see :attr:`token_file`."""
        return self._running.address

    @property
    def token_file(self) -> str:
        """The file with the token, readable by its owner only."""
        return self._running.token_file

    @property
    def workers(self) -> dict[str, dict[str, Any]]:
        """Worker name -> dict with "name", "pid", "address" and "status".

        Examples
        --------
        >>> from kask.distributed import LocalCluster
        >>> with LocalCluster(n_workers=2, threads_per_worker=1, processes=False) as cluster:
        ...     len(cluster.workers)
        2
        """
        return {worker["name"]: worker for worker in self._running.workers}

    @property
    def status(self) -> str:
        """ "created", "running" or "closed"."""
        return "closed" if self._closed else "created" if self._cluster is None else "running"

    def scale(self, n: int) -> Any:
        """Have so many workers; those that leave first hand over what only they hold.

        With ``memory_limit="auto"``, workers that start from now on, also in the place of one that died, may use an equal
        part for ``n`` workers. Those that run keep their limits: start with as many as there shall be at most where the
        machine must hold all of them.

        Parameters
        ----------
        n : int

        Examples
        --------
        >>> from kask.distributed import LocalCluster
        >>> with LocalCluster(n_workers=1, threads_per_worker=1, processes=False) as cluster:
        ...     cluster.scale(2)
        """
        return self._call(self._scale, whole_number("n", n, 0, MOST_WORKERS))

    def _scale(self, n: int) -> None:
        cluster = self._running
        larger = max(n, len(cluster.workers))
        processes = self._options["processes"]
        cluster.scale(n, larger_cluster_limit(self._limit, larger, processes))

    def get_client(self) -> Any:
        """A client of this cluster.

        Examples
        --------
        >>> from kask.distributed import LocalCluster
        >>> with LocalCluster(n_workers=1, threads_per_worker=1, processes=False) as cluster, cluster.get_client() as client:
        ...     client.submit(abs, -1).result()
        1
        """
        from kask.distributed.client import Client

        return Client(self, asynchronous=self.asynchronous)

    def write_scheduler_file(self, scheduler_file: str | os.PathLike) -> None:
        """Write a file that other processes hand to ``Client(scheduler_file=...)``; only its owner can read it.

        Examples
        --------
        >>> from kask.distributed import LocalCluster
        >>> with LocalCluster(n_workers=1, processes=False) as cluster:
        ...     cluster.write_scheduler_file("scheduler.json")
        Traceback (most recent call last):
        kask.exceptions.ClusterError: no other process can reach a scheduler whose workers are threads of this process
        """
        write_scheduler_file(scheduler_file, self.scheduler_address, Security(token_file=self.token_file or None))

    def close(self, timeout: float | str | None = None) -> Any:
        """End the workers and the scheduler. Closing twice is fine.

        Parameters
        ----------
        timeout : float or str, optional
            How long workers may take before they are killed; the default is the setting ``cluster.close_timeout_s``.

        Examples
        --------
        >>> from kask.distributed import LocalCluster
        >>> cluster = LocalCluster(n_workers=1, processes=False)
        >>> cluster.close()
        """
        return self._call(self._close, None if timeout is None else parse_seconds(timeout))

    def _close(self, timeout: float | None = None) -> None:
        if self._closed or self._pid != os.getpid():
            return
        self._closed = True
        if self._cluster is not None:
            self._cluster.close(config.get("cluster.close_timeout_s") if timeout is None else timeout)

    def close_at_exit(self) -> None:
        """Called at interpreter exit."""
        self._close()

    def _call(self, function: Any, *args: Any) -> Any:
        return in_thread(function, *args) if self.asynchronous else function(*args)

    def __enter__(self) -> LocalCluster:
        if self.asynchronous:
            raise ClusterError("a cluster with asynchronous=True needs `async with`")
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def __await__(self) -> Generator[Any, None, LocalCluster]:
        return self._opened().__await__()

    async def _opened(self) -> LocalCluster:
        await in_thread(self._start)
        return self

    async def __aenter__(self) -> LocalCluster:
        return await self._opened()

    async def __aexit__(self, *_: object) -> None:
        await in_thread(self._close)

    def __repr__(self) -> str:
        if self.status != "running":
            return f"<LocalCluster {self.name}: {self.status}>"
        return f"<LocalCluster {self.name}: {self.scheduler_address}, {len(self.workers)} worker{'s' * (len(self.workers) != 1)}>"

    def _repr_html_(self) -> str:
        from html import escape

        if self.status != "running":
            return f"<p><b>LocalCluster</b> {escape(self.name)}: {self.status}</p>"
        limit = self._options["memory_limit"]
        memory = (
            format_bytes(limit)
            if isinstance(limit, int) and limit
            else "auto"
            if limit in (None, "auto")
            else str(limit or "no limit")
        )
        rows = "".join(
            f"<tr><td>{escape(str(worker['name']))}</td><td>{worker['pid'] or ''}</td><td>{escape(str(worker['status']))}</td></tr>"
            for worker in self.workers.values()
        )
        return (
            f"<p><b>LocalCluster</b> {escape(self.name)} at <code>{escape(self.scheduler_address)}</code>, memory limit {escape(memory)}</p>"
            f"<table><tr><th>worker</th><th>pid</th><th>status</th></tr>{rows}</table>"
        )

    def __reduce__(self) -> Any:
        raise TypeError("a LocalCluster cannot be pickled; hand its scheduler file to the other process")


def _modules(preload: Any) -> list[str] | None:
    if preload is None:
        return None
    modules = [preload] if isinstance(preload, str) else list(preload) if isinstance(preload, Iterable) else [preload]
    if not all(isinstance(module, str) for module in modules):
        raise TypeError(f"preload= must be names of modules, got {preload!r}")
    return modules
