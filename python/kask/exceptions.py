"""Every exception that Kask raises on its own account.

A *message* says what happened; a *hint* says what to do. They are kept apart: ``str(error)`` is the message, and the
hint is the attribute ``hint`` and a note that tracebacks print below the message. All of them survive pickling.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Iterable

__all__ = [
    "CancelledError",
    "ClientClosedError",
    "ClusterError",
    "ConfigError",
    "FutureLostError",
    "GraphError",
    "KaskError",
    "KilledWorker",
    "OutOfMemoryError",
    "RemoteError",
    "Reschedule",
    "SerializationError",
    "TokenizationError",
    "UnknownKeywordError",
    "VersionMismatchError",
]


class KaskError(Exception):
    """Base of Kask's own exceptions.

    Parameters
    ----------
    *args
        As a rule one message.
    hint : str, optional
        What the user can do about it.

    Examples
    --------
    >>> error = KaskError("nothing listens there", hint="start `kask scheduler` first")
    >>> str(error), error.hint
    ('nothing listens there', 'start `kask scheduler` first')
    """

    hint: str | None = None

    def __init__(self, *args: object, hint: str | None = None) -> None:
        super().__init__(*args)
        if hint is not None:
            self.hint = hint
            self.add_note(f"hint: {hint}")


class RemoteError(KaskError):
    """An exception of a task that could not be brought here as it was.

    Parameters
    ----------
    type_name : str
        Name of the exception's type.
    message : str
        Its text.
    traceback : str
        The remote traceback as text.

    Examples
    --------
    >>> print(RemoteError("ValueError", "no such column"))
    ValueError: no such column
    """

    def __init__(self, type_name: str, message: str = "", traceback: str = "", *, hint: str | None = None) -> None:
        super().__init__(type_name, message, traceback, hint=hint)
        self.type_name = type_name
        self.message = message
        self.traceback = traceback

    def __str__(self) -> str:
        head = f"{self.type_name}: {self.message}" if self.message else self.type_name
        return f"{head}\n\n{self.traceback.rstrip()}" if self.traceback else head


class KilledWorker(KaskError):
    """A task that was running each time one of several workers died; it is not tried again.

    Parameters
    ----------
    task : str
        Key of the task.
    deaths : iterable of str
        What is known of each death, oldest first.

    Examples
    --------
    >>> print(KilledWorker("f-1", ["worker 0 was killed by signal 11 (SIGSEGV)"]))
    task f-1 was running on 1 worker that died: worker 0 was killed by signal 11 (SIGSEGV)
    """

    def __init__(self, task: str, deaths: Iterable[str] = (), *, hint: str | None = None) -> None:
        deaths = list(deaths)
        super().__init__(task, deaths, hint=hint)
        self.task = task
        self.deaths = deaths

    def __str__(self) -> str:
        workers = "1 worker that died" if len(self.deaths) == 1 else f"{len(self.deaths)} workers that died"
        text = f"task {self.task} was running on {workers}"
        return f"{text}: {'; '.join(map(str, self.deaths))}" if self.deaths else text


class CancelledError(KaskError, concurrent.futures.CancelledError):
    """The result will not come, because somebody cancelled the task. Also a ``concurrent.futures.CancelledError``."""


class FutureLostError(KaskError):
    """Data that cannot be computed again is nowhere any more: its workers died, or its file on disk is damaged."""


class OutOfMemoryError(KaskError, MemoryError):
    """There is no memory, and no disk to spill to, for what a task needs. Also a ``MemoryError``."""

    def __new__(cls, *args: object, **_options: object) -> OutOfMemoryError:
        # That of MemoryError refuses subclasses whose first base is another; libraries such as tblib call it when they unpickle.
        return Exception.__new__(cls, *args)


class SerializationError(KaskError, TypeError):
    """A function, argument or result cannot be pickled; the message names the culprit."""


class GraphError(KaskError, ValueError):
    """A graph with a cycle or a missing input; the message names the keys."""


class ClusterError(KaskError, RuntimeError):
    """A scheduler or its workers cannot do what was asked."""


class VersionMismatchError(ClusterError):
    """Two ends of a connection, or two processes of a cluster, have versions that do not fit together."""


class ClientClosedError(ClusterError):
    """The client (or its cluster) is closed."""


class Reschedule(KaskError):
    """Raised by a task that wants to be run again, perhaps elsewhere; this does not count as a failure."""


class UnknownKeywordError(KaskError, TypeError):
    """A keyword argument that neither Kask nor the user's function knows."""


class ConfigError(KaskError, ValueError):
    """A setting that does not exist, or a value that it cannot have."""


class TokenizationError(KaskError, RuntimeError):
    """An object that has no deterministic token; the message says which part and why."""
