"""A client as a ``concurrent.futures.Executor``, for libraries that take one."""

from __future__ import annotations

import concurrent.futures as cf
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from kask.engine import Future
from kask.exceptions import CancelledError
from kask.keywords import refuse_unknown

if TYPE_CHECKING:
    from kask.distributed.client import Client

_OPTIONS = ("pure", "workers", "resources", "retries", "priority", "allow_other_workers")


class ClientExecutor(cf.Executor):
    """Runs calls on a client's workers; see :meth:`Client.get_executor`.

    Parameters
    ----------
    client : Client
    **kwargs
        Options for every call: ``pure`` (False by default), ``workers``, ``retries``, ``resources``, ``priority``,
        ``allow_other_workers``.

    Examples
    --------
    >>> from kask.distributed import Client
    >>> with Client("embedded") as client, client.get_executor() as executor:
    ...     executor.submit(pow, 2, 10).result()
    1024
    """

    def __init__(self, client: Client, **kwargs: Any) -> None:
        refuse_unknown(
            "get_executor", {name: value for name, value in kwargs.items() if name not in _OPTIONS}, _OPTIONS
        )
        self._client = client
        self._options = {"pure": False, **kwargs}
        self._futures: weakref.WeakSet[cf.Future] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._down = False

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> cf.Future:
        """Run ``fn(*args, **kwargs)``.

        Returns
        -------
        concurrent.futures.Future

        Examples
        --------
        >>> from kask.distributed import Client
        >>> with Client("embedded") as client:
        ...     client.get_executor().submit(abs, -1).result()
        1
        """
        with self._lock:
            if self._down:
                raise RuntimeError("the executor is shut down: it takes no further calls")
            options = dict(self._options)
            pure = options.pop("pure")
            from kask.annotations import options_for

            future = self._client._engine.submit(fn, args, kwargs, key=None, pure=pure, options=options_for(**options))
            covered = _Covered(future)
            self._futures.add(covered)
        return covered

    def map(
        self, fn: Callable[..., Any], *iterables: Iterable[Any], timeout: float | None = None, chunksize: int = 1
    ) -> Iterator[Any]:
        """Results of ``fn`` over the items, in order.

        Parameters
        ----------
        fn : callable
        *iterables : iterables
        timeout : float, optional
            Seconds from now until which all results must be there.
        chunksize : int
            Accepted for compatibility, without effect: Rust sends calls in batches anyway.

        Examples
        --------
        >>> from kask.distributed import Client
        >>> with Client("embedded") as client:
        ...     list(client.get_executor().map(pow, [1, 2], [3, 3]))
        [1, 8]
        """
        if chunksize < 1:
            raise ValueError(f"chunksize= must be at least 1, got {chunksize!r}")
        if self._down:
            raise RuntimeError("the executor is shut down: it takes no further calls")
        deadline = None if timeout is None else time.monotonic() + timeout
        futures = self._client.map(fn, *iterables, **self._options)

        def results() -> Iterator[Any]:
            pending = list(reversed(futures))
            try:
                while pending:
                    left = None if deadline is None else max(0.0, deadline - time.monotonic())
                    yield pending.pop().result(timeout=left)
            finally:
                if pending:
                    self._client._engine.cancel(
                        pending, force=False, reason="the iteration over the executor's results ended"
                    )

        return results()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no further calls.

        Parameters
        ----------
        wait : bool
            Whether to wait for the calls under way.
        cancel_futures : bool
            Whether to cancel what has not ended.

        Examples
        --------
        >>> from kask.distributed import Client
        >>> with Client("embedded") as client:
        ...     client.get_executor().shutdown()
        """
        with self._lock:
            self._down = True
            open_futures = [future for future in self._futures if not future.done()]
        if cancel_futures:
            for future in open_futures:
                future.cancel()
        if wait:
            cf.wait(open_futures)


class _Covered(cf.Future):
    """A ``concurrent.futures.Future`` that ends as one of ours does, and cancels it."""

    def __init__(self, future: Future) -> None:
        super().__init__()
        self._kask = future
        future.add_done_callback(self._finish)

    def _finish(self, future: Future) -> None:
        if self.done() or not self.set_running_or_notify_cancel():
            return
        if future.status == "cancelled":
            self.set_exception(CancelledError("the task was cancelled"))
            return
        error = future.exception()
        if error is not None:
            self.set_exception(error)
        else:
            try:
                self.set_result(future.result())
            except Exception as lost:
                self.set_exception(lost)

    def cancel(self) -> bool:
        """Cancel the call unless it has ended."""
        if not super().cancel():
            return False
        self._kask.cancel()
        self.set_running_or_notify_cancel()
        return True
