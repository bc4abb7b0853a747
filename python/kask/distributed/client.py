"""``Client``: one end of a connection to a scheduler. Connecting, closing and being the default are here.

What it does is in three mixins: ``client_work`` (submit, map, compute, ...), ``client_data`` (gather, scatter, who_has, ...) and
``client_info`` (workers, versions, run, restart, ...).
"""

from __future__ import annotations

import os
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

from kask import config
from kask.annotations import checked_resources
from kask.distributed.aio import in_thread
from kask.distributed.client_data import ClientData
from kask.distributed.client_info import ClientInfo
from kask.distributed.client_work import ClientWork
from kask.distributed.cluster import OPTIONS as CLUSTER_OPTIONS
from kask.distributed.cluster import LocalCluster
from kask.distributed.security import Security, as_security, read_scheduler_file
from kask.engine import Engine
from kask.engine.current import current_client, drop_global, push_global, reset_context, set_context
from kask.engine.exits import close_at_exit
from kask.exceptions import ClientClosedError, ClusterError
from kask.keywords import refuse_unknown
from kask.settings import MOST_WORKERS
from kask.units import parse_seconds, whole_number

_OPTIONS = ("address", "timeout", "set_as_default", "scheduler_file", "security", "asynchronous", "name")


class Client(ClientWork, ClientData, ClientInfo):
    """Submit work to a scheduler and get its results.

    Parameters
    ----------
    address : str or LocalCluster, optional
        Where the scheduler is: ``"tcp://host:8786"``, ``"tls://host:8786"``, ``"unix:///path"``; ``"embedded"`` for an engine with threads inside this
        process; ``"inproc"`` for a cluster whose workers are threads of this process; or a cluster object. Without it the settings
        ``client.address`` and ``client.scheduler_file`` decide, and if they are empty a :class:`LocalCluster` is started with the
        keywords below, which ends with the client.
    timeout : float or str, optional
        How long connecting may take; the default is the setting ``client.connect_timeout_s``.
    set_as_default : bool
        Whether ``kask.compute`` and others use this client.
    scheduler_file : path, optional
        File that names the scheduler and its token, as ``kask scheduler --scheduler-file`` and ``write_scheduler_file`` make it.
    security : Security, optional
        Token and TLS certificates.
    asynchronous : bool
        Whether methods that wait return awaitables. Then use ``await Client(...)`` or ``async with Client(...)``.
    name : str, optional
        For people who look at the scheduler.
    **kwargs
        For :class:`LocalCluster`: ``n_workers``, ``threads_per_worker``, ``processes``, ``memory_limit``, ...

    Raises
    ------
    OSError
        Nothing answers at the address, or it refuses; the message is one sentence.

    Examples
    --------
    >>> from kask.distributed import Client
    >>> with Client("embedded") as client:
    ...     squares = client.map(lambda x: x**2, range(4))
    ...     client.gather(squares)
    [0, 1, 4, 9]
    """

    def __init__(
        self,
        address: str | LocalCluster | None = None,
        timeout: float | str | None = None,
        set_as_default: bool = True,
        scheduler_file: str | os.PathLike | None = None,
        security: Security | dict | None = None,
        asynchronous: bool = False,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        self._prepare(asynchronous, name or f"client-{os.getpid()}")
        self._address = address
        self._timeout = config.get("client.connect_timeout_s") if timeout is None else parse_seconds(timeout)
        self._set_as_default = set_as_default
        self._scheduler_file = scheduler_file
        self._security = as_security(security)
        self._cluster_options = kwargs
        refuse_unknown(
            "Client",
            {key: value for key, value in kwargs.items() if key not in CLUSTER_OPTIONS},
            [*_OPTIONS, *CLUSTER_OPTIONS],
        )
        if not asynchronous:
            self._connect()

    def _prepare(self, asynchronous: bool, name: str) -> None:
        self.name = name
        self.cluster: LocalCluster | None = None
        self._asynchronous = asynchronous
        self._connected: Engine | None = None
        self._pid = os.getpid()
        self._owns_cluster = False
        self._owns_engine = True
        self._lock = threading.Lock()
        self._tokens: list[Any] = []

    @classmethod
    def _of_engine(cls, engine: Engine) -> Client:
        """The client of an engine that somebody else opens and closes (inside a task, or the default embedded one)."""
        owner = engine.owner
        if isinstance(owner, Client):
            return owner
        client = cls.__new__(cls)
        client._prepare(False, "task")
        client._owns_engine = False
        client._connected = engine
        engine.owner = client
        return client

    # -- connecting

    def _connect(self) -> None:
        with self._lock:
            if self._connected is not None:
                return
            engine = self._open()
            engine.owner = self
            self._connected = engine
        close_at_exit(self)
        if self._set_as_default:
            push_global(self)

    def _open(self) -> Engine:
        address, security = self._address, self._security
        scheduler_file = self._scheduler_file
        if address is None and scheduler_file is None:
            scheduler_file = config.get("client.scheduler_file") or None
            address = None if scheduler_file else config.get("client.address") or None
        if scheduler_file is not None and address is None:
            address, security = read_scheduler_file(scheduler_file, security)
        if address in (None, "inproc"):
            options = {"name": self.name, **self._cluster_options}
            if address == "inproc":
                options["processes"] = False
            self.cluster = LocalCluster(**options)
            self._owns_cluster = True
        elif isinstance(address, LocalCluster):
            self.cluster = address
        elif self._cluster_options and address != "embedded":
            refuse_unknown("Client with an address", self._cluster_options, _OPTIONS)
        if self.cluster is not None:
            return self.cluster._engine(self.name)
        if address == "embedded":
            return self._open_embedded()
        if not isinstance(address, str):
            raise TypeError(f"address must be text or a LocalCluster, got {address!r}")
        return Engine.connect(address, timeout=self._timeout, name=self.name, **security.connection_arguments())

    def _open_embedded(self) -> Engine:
        from kask.engine.embedded import start_embedded

        options = dict(self._cluster_options)
        nthreads = options.pop("threads_per_worker", None)
        memory_limit = options.pop("memory_limit", None)
        resources = checked_resources(options.pop("resources", None))
        if nthreads is not None:
            nthreads = whole_number("threads_per_worker", nthreads, 0, MOST_WORKERS)
        refuse_unknown("Client('embedded')", options, [*_OPTIONS, "threads_per_worker", "memory_limit", "resources"])
        return start_embedded(nthreads, memory_limit, name=self.name, resources=resources)

    @property
    def usable(self) -> bool:
        """Whether the client is connected, open, and of this process (not of the one that was forked)."""
        return self._connected is not None and self._pid == os.getpid() and not self._connected.closed

    @property
    def _engine(self) -> Engine:
        engine = self._connected
        if engine is None:
            raise ClientClosedError(
                "the client is not connected", hint="await it first: client = await Client(..., asynchronous=True)"
            )
        if self._pid != os.getpid():
            raise ClientClosedError(
                "this client belongs to the process that was forked", hint="make a new Client in this process"
            )
        if engine.closed:
            raise ClientClosedError("the client is closed")
        return engine

    def __kask_engine__(self) -> Engine:
        return self._engine

    def _call(self, function: Any, *args: Any, **kwargs: Any) -> Any:
        """``function(...)`` now, or an awaitable of it."""
        if self._asynchronous:
            return in_thread(function, *args, **kwargs)
        return function(*args, **kwargs)

    # -- closing

    def close(self, timeout: float | str | None = None) -> Any:
        """Close the client; its futures' results are released. A cluster that it started ends too.

        Parameters
        ----------
        timeout : float or str, optional
            How long running tasks of an embedded engine, or workers, may take; the defaults are the settings ``client.close_timeout_s`` and
            ``cluster.close_timeout_s``.

        Examples
        --------
        >>> from kask.distributed import Client
        >>> client = Client("embedded")
        >>> client.close()
        """
        drop_global(self)
        if self._connected is None or self._pid != os.getpid():
            return self._call(lambda: None)
        return self._call(self._close, None if timeout is None else parse_seconds(timeout))

    def _close(self, timeout: float | None = None) -> None:
        if self._connected is not None and self._owns_engine:
            self._connected.close(timeout=config.get("client.close_timeout_s") if timeout is None else timeout)
        if self.cluster is not None and self._owns_cluster:
            self.cluster._close(timeout)

    def close_at_exit(self) -> None:
        """Called at interpreter exit."""
        self._close()

    def shutdown(self) -> Any:
        """Close the client and the whole cluster: scheduler and workers.

        Examples
        --------
        >>> from kask.distributed import Client
        >>> client = Client("embedded")
        >>> client.shutdown()
        """

        def work() -> None:
            if self.usable:
                self._engine.shutdown()
            drop_global(self)
            self._close()
            if self.cluster is not None:
                self.cluster._close()

        return self._call(work)

    def __enter__(self) -> Client:
        if self._asynchronous:
            raise ClusterError("a client with asynchronous=True needs `async with`")
        self._tokens.append(set_context(self) if self._set_as_default else None)
        return self

    def __exit__(self, *_: object) -> None:
        token = self._tokens.pop()
        if token is not None:
            reset_context(token)
        self.close()

    def __await__(self) -> Generator[Any, None, Client]:
        return self._opened().__await__()

    async def _opened(self) -> Client:
        await in_thread(self._connect)
        return self

    async def __aenter__(self) -> Client:
        return await self._opened()

    async def __aexit__(self, *_: object) -> None:
        await in_thread(self._close)
        drop_global(self)

    # -- being the default

    @contextmanager
    def as_current(self) -> Iterator[Client]:
        """Make this client the default of a ``with`` block, in this thread or coroutine only.

        Examples
        --------
        >>> from kask.distributed import Client
        >>> a, b = Client("embedded"), Client("embedded")
        >>> with a.as_current():
        ...     Client.current() is a
        True
        >>> a.close(), b.close()
        (None, None)
        """
        token = set_context(self)
        try:
            yield self
        finally:
            reset_context(token)

    @classmethod
    def current(cls, allow_global: bool = True) -> Client:
        """The default client: of the innermost ``with`` block, otherwise the youngest that is open.

        Raises
        ------
        ValueError
            There is none.

        Examples
        --------
        >>> from kask.distributed import Client
        >>> with Client("embedded") as client:
        ...     Client.current() is client
        True
        """
        client = current_client(allow_global)
        if client is None:
            raise ValueError("no client is open in this process" if allow_global else "no client is the default here")
        return client

    @property
    def asynchronous(self) -> bool:
        """Whether methods that wait return awaitables."""
        return self._asynchronous

    @property
    def id(self) -> str:
        """Names this life of the client."""
        return self._engine.id

    @property
    def status(self) -> str:
        """ "connecting", "running" or "closed"."""
        return "connecting" if self._connected is None else "running" if self.usable else "closed"

    def __repr__(self) -> str:
        if not self.usable:
            return f"<Client: {self.status}>"
        return f"<Client: {self._engine.address}, {_workers_and_threads(self._engine)}>"

    def _repr_html_(self) -> str:
        from html import escape

        if not self.usable:
            return f"<p><b>Client</b>: {self.status}</p>"
        return f"<p><b>Client</b> <code>{escape(self.name)}</code> at <code>{escape(self._engine.address)}</code>: {_workers_and_threads(self._engine)}</p>"

    def __reduce__(self) -> Any:
        raise TypeError("a Client cannot be pickled; inside a task call kask.distributed.get_client()")


def _workers_and_threads(engine: Engine) -> str:
    workers = engine.scheduler_info()["workers"].values()
    threads = sum(worker["nthreads"] for worker in workers)
    return f"{len(workers)} worker{'s' * (len(workers) != 1)}, {threads} thread{'s' * (threads != 1)}"
