"""Waiting for futures: ``wait`` for several at once, ``as_completed`` for one after another."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from kask.distributed.aio import in_thread
from kask.distributed.futures import futures_of
from kask.engine import CompletionQueue, Future
from kask.exceptions import CancelledError
from kask.units import parse_seconds

ALL_COMPLETED = "ALL_COMPLETED"
FIRST_COMPLETED = "FIRST_COMPLETED"


class DoneAndNotDoneFutures(NamedTuple):
    """What :func:`wait` returns."""

    done: set[Future]
    not_done: set[Future]


def wait(fs: Any, timeout: float | str | None = None, return_when: str = ALL_COMPLETED) -> Any:
    """Wait until futures are done: finished or failed.

    Parameters
    ----------
    fs : Future, collection, or containers of them
    timeout : float or str, optional
        Seconds, or text such as "2 min".
    return_when : {"ALL_COMPLETED", "FIRST_COMPLETED"}

    Returns
    -------
    DoneAndNotDoneFutures
        Two sets, ``done`` and ``not_done``. With an asynchronous client an awaitable of it.

    Raises
    ------
    TimeoutError
        The condition is not met in time.
    CancelledError
        One of the futures was cancelled.

    Examples
    --------
    >>> from kask.distributed import Client, wait
    >>> with Client("embedded") as client:
    ...     done, not_done = wait(client.map(abs, range(3)))
    ...     len(done), len(not_done)
    (3, 0)
    """
    if return_when not in (ALL_COMPLETED, FIRST_COMPLETED):
        raise ValueError(f"return_when= must be {ALL_COMPLETED!r} or {FIRST_COMPLETED!r}, got {return_when!r}")
    limit = None if timeout is None else parse_seconds(timeout)
    futures = futures_of(fs)
    if not futures:
        if isinstance(fs, list | tuple | set | frozenset | dict):
            return DoneAndNotDoneFutures(set(), set())
        raise TypeError(f"wait() needs futures, got {fs!r}")

    def work() -> DoneAndNotDoneFutures:
        done, not_done = futures[0].engine.wait(futures, limit, return_when == FIRST_COMPLETED)
        cancelled = [future.key for future in done if future.status == "cancelled"]
        if cancelled:
            raise CancelledError(
                f"{len(cancelled)} of the futures were cancelled: {', '.join(cancelled[:3])}{', ...' * (len(cancelled) > 3)}"
            )
        return DoneAndNotDoneFutures(set(done), set(not_done))

    return in_thread(work) if getattr(futures[0].client, "asynchronous", False) else work()


class as_completed:
    """Iterate over futures in the order in which they end.

    Parameters
    ----------
    futures : iterable of futures or collections, optional
    with_results : bool
        Whether to give pairs of future and result.
    raise_errors : bool
        With results: whether the error of a failed future is raised; otherwise its ``(type, exception, traceback)`` takes the result's place.
    timeout : float or str, optional
        How long the iteration as a whole may take.

    Raises
    ------
    TimeoutError
        While iterating, once ``timeout`` is over.

    Examples
    --------
    >>> from kask.distributed import Client, as_completed
    >>> with Client("embedded") as client:
    ...     sorted(result for future, result in as_completed(client.map(abs, [-2, -1]), with_results=True))
    [1, 2]
    """

    def __init__(
        self,
        futures: Iterable[Any] | None = None,
        loop: Any = None,
        with_results: bool = False,
        raise_errors: bool = True,
        timeout: float | str | None = None,
    ) -> None:
        if loop is not None:
            raise TypeError("there is no event loop to choose: leave out loop=")
        self.with_results = with_results
        self.raise_errors = raise_errors
        self._deadline = None if timeout is None else time.monotonic() + parse_seconds(timeout)
        self._queue: CompletionQueue | None = None
        # Taken out of the queue, and not given yet.
        self._ready: list[Future] = []
        if futures is not None:
            self.update(futures)

    def add(self, future: Any) -> None:
        """Wait for one more future (or for those of a collection).

        Examples
        --------
        >>> from kask.distributed import Client, as_completed
        >>> with Client("embedded") as client:
        ...     pool = as_completed()
        ...     pool.add(client.submit(abs, -1))
        ...     next(pool).result()
        1
        """
        self.update([future])

    def update(self, futures: Iterable[Any]) -> None:
        """Wait for more futures.

        Examples
        --------
        >>> from kask.distributed import Client, as_completed
        >>> with Client("embedded") as client:
        ...     pool = as_completed()
        ...     pool.update(client.map(abs, [-1, -2]))
        ...     pool.count()
        2
        """
        items = list(futures)
        found = items if all(isinstance(item, Future) for item in items) else futures_of(items)
        if len(found) < len(items):
            raise TypeError("as_completed needs futures, or collections that were persisted")
        if not found:
            return
        if self._queue is None:
            self._queue = CompletionQueue(found[0].engine)
        self._queue.add(found)

    def count(self) -> int:
        """Number of futures that have not been given yet.

        Examples
        --------
        >>> from kask.distributed import as_completed
        >>> as_completed([]).count()
        0
        """
        return len(self._ready) + (0 if self._queue is None else self._queue.count())

    def is_empty(self) -> bool:
        """Whether all have been given.

        Examples
        --------
        >>> from kask.distributed import as_completed
        >>> as_completed([]).is_empty()
        True
        """
        return self.count() == 0

    def has_ready(self) -> bool:
        """Whether the next one would come at once.

        Examples
        --------
        >>> from kask.distributed import as_completed
        >>> as_completed([]).has_ready()
        False
        """
        self._ready += self._pop_ready()
        return bool(self._ready)

    def clear(self) -> None:
        """Wait for none of them any more.

        Examples
        --------
        >>> from kask.distributed import as_completed
        >>> as_completed([]).clear()
        """
        self._queue = None
        self._ready.clear()

    def next_batch(self, block: bool = True) -> list[Any]:
        """All that are ready.

        Parameters
        ----------
        block : bool
            Whether to wait until there is at least one.

        Examples
        --------
        >>> from kask.distributed import Client, as_completed, wait
        >>> with Client("embedded") as client:
        ...     futures = client.map(abs, [-1, -2])
        ...     done = wait(futures)
        ...     len(as_completed(futures).next_batch())
        2
        """
        batch = [self._pop()] if block else []
        batch += self._ready + self._pop_ready()
        self._ready = []
        return [self._give(future) for future in batch]

    def batches(self) -> Iterator[list[Any]]:
        """Lists of all that are ready, until all have been given.

        Examples
        --------
        >>> from kask.distributed import Client, as_completed
        >>> with Client("embedded") as client:
        ...     sum(len(batch) for batch in as_completed(client.map(abs, range(5))).batches())
        5
        """
        while not self.is_empty():
            yield self.next_batch()

    def _pop_ready(self, limit: int | None = None) -> list[Future]:
        return [] if self._queue is None else self._queue.pop_ready(limit)

    def _pop(self) -> Future:
        if self._ready:
            return self._ready.pop(0)
        if self._queue is None:
            raise StopIteration
        try:
            return self._queue.pop(self._time_left())
        except TimeoutError:
            raise TimeoutError(f"{self.count()} futures were not done in time") from None

    def _time_left(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - time.monotonic())

    def _give(self, future: Future) -> Any:
        if not self.with_results:
            return future
        error = future.exception() if future.status in ("error", "lost") else None
        if error is not None and not self.raise_errors:
            return future, (type(error), error, error.__traceback__)
        return future, future.result()

    def __iter__(self) -> as_completed:
        return self

    def __next__(self) -> Any:
        return self._give(self._pop())

    def __aiter__(self) -> as_completed:
        return self

    async def __anext__(self) -> Any:
        import asyncio

        while True:
            if self._queue is None or self.is_empty():
                raise StopAsyncIteration
            self._ready += self._pop_ready(1)
            if self._ready:
                future = self._ready.pop(0)
                return await in_thread(self._give, future) if self.with_results else future
            woken = asyncio.Event()
            loop = asyncio.get_running_loop()
            self._queue.notify(lambda loop=loop, woken=woken: _wake(loop, woken))  # type: ignore[misc]
            try:
                await asyncio.wait_for(woken.wait(), self._time_left())
            except TimeoutError:
                raise TimeoutError(f"{self.count()} futures were not done in time") from None


def _wake(loop: Any, event: Any) -> None:
    try:
        loop.call_soon_threadsafe(event.set)
    except RuntimeError:
        # The loop is closed: nobody waits any more.
        return
