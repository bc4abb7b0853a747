"""What a task can ask for: its worker, a client of its scheduler, and leave to wait."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kask import engine
from kask.distributed.client import Client
from kask.engine.current import current_client
from kask.units import parse_seconds

__all__ = ["Worker", "default_client", "get_client", "get_worker", "rejoin", "secede", "worker_client"]


@dataclasses.dataclass(frozen=True)
class Worker:
    """The worker that runs the current task.

    Parameters
    ----------
    name, address, local_directory : str
    """

    name: str
    address: str
    local_directory: str


def get_worker() -> Worker:
    """The worker that runs the current task.

    Raises
    ------
    ValueError
        We are not in a task.

    Examples
    --------
    >>> from kask.distributed import Client, get_worker
    >>> with Client("embedded", name="here") as client:
    ...     client.submit(lambda: get_worker().name).result().startswith("here")
    True
    """
    task = engine.current_task()
    if task is None:
        raise ValueError("get_worker() is of use only inside a task; this is none")
    return Worker(name=task["worker"], address=task["address"], local_directory=task["local_directory"])


def get_client(address: Any = None, timeout: float | str | None = None, resolve_address: bool = True) -> Client:
    """A client: inside a task that of the task's scheduler, otherwise the default one.

    Parameters
    ----------
    address : str, optional
        Scheduler to connect to if neither is there.
    timeout : float or str, optional
        How long that may take.
    resolve_address : bool
        Accepted for compatibility, without effect.

    Raises
    ------
    ValueError
        There is no client, and no address.

    Examples
    --------
    >>> from kask.distributed import Client, get_client
    >>> def fibonacci(n):
    ...     if n < 2:
    ...         return n
    ...     client = get_client()
    ...     low, high = client.submit(fibonacci, n - 2), client.submit(fibonacci, n - 1)
    ...     return low.result() + high.result()
    >>> with Client("embedded") as client:
    ...     client.submit(fibonacci, 8).result()
    21
    """
    if engine.current_task() is not None:
        inside = engine.task_engine()
        if inside is not None:
            return Client._of_engine(inside)
    client = current_client()
    if client is not None:
        return client
    if address is None:
        raise ValueError("no client is open in this process, and this is no task of a cluster")
    return Client(address, timeout=timeout)


def default_client() -> Client:
    """The default client.

    Raises
    ------
    ValueError
        There is none.

    Examples
    --------
    >>> from kask.distributed import Client, default_client
    >>> with Client("embedded") as client:
    ...     default_client() is client
    True
    """
    return Client.current()


def secede() -> None:
    """The current task no longer takes up a thread of its worker: another task may run meanwhile.

    Raises
    ------
    ValueError
        We are not in a task.

    Examples
    --------
    >>> from kask.distributed import Client, secede
    >>> with Client("embedded") as client:
    ...     client.submit(lambda: secede()).result()
    """
    if engine.current_task() is None:
        raise ValueError("secede() is of use only inside a task; this is none")
    engine.secede()


def rejoin() -> None:
    """The current task, having seceded, takes up a thread again; waits until one is free.

    Raises
    ------
    ValueError
        We are not in a task.

    Examples
    --------
    >>> from kask.distributed import Client, rejoin, secede
    >>> def task():
    ...     secede()
    ...     rejoin()
    >>> with Client("embedded") as client:
    ...     client.submit(task).result()
    """
    if engine.current_task() is None:
        raise ValueError("rejoin() is of use only inside a task; this is none")
    engine.rejoin()


@contextmanager
def worker_client(timeout: float | str | None = None, separate_thread: bool = True) -> Iterator[Client]:
    """A client of the task's scheduler for a ``with`` block in which the task may wait for other tasks.

    Parameters
    ----------
    timeout : float or str, optional
        Accepted for compatibility; the worker's connection is used.
    separate_thread : bool
        Whether the task secedes for the block.

    Examples
    --------
    >>> from kask.distributed import Client, worker_client
    >>> def total(n):
    ...     with worker_client() as client:
    ...         return sum(client.gather(client.map(abs, range(n))))
    >>> with Client("embedded") as client:
    ...     client.submit(total, 4).result()
    6
    """
    if timeout is not None:
        parse_seconds(timeout)
    client = get_client()
    inside = separate_thread and engine.current_task() is not None
    if inside:
        engine.secede()
    try:
        with client.as_current():
            yield client
    finally:
        if inside:
            engine.rejoin()
