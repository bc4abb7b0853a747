"""The part of ``Client`` that moves data: gather, scatter, replicate, and who holds what."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from kask import engine
from kask.annotations import named_workers
from kask.containers import map_leaves
from kask.distributed.client_base import ClientBase
from kask.distributed.futures import futures_of
from kask.engine import Engine, Future
from kask.keywords import refuse_unknown
from kask.tokens import normalize
from kask.units import parse_seconds, whole_number

_SKIPPED = object()


class ClientData(ClientBase):
    """Moving data."""

    def gather(
        self, futures: Any, errors: str = "raise", direct: bool | None = None, asynchronous: bool | None = None
    ) -> Any:
        """Results of futures.

        Parameters
        ----------
        futures : Future, iterable of futures, or nested lists, tuples, sets and dicts
        errors : {"raise", "skip"}
            Whether the first failure is raised, or failed futures are left out of their containers.
        direct, asynchronous
            Accepted for compatibility, without effect: results always come straight from the workers.

        Returns
        -------
        object
            The same structure with results in place of futures.

        Examples
        --------
        >>> from kask.distributed import Client
        >>> with Client("embedded") as client:
        ...     x = client.submit(abs, -1)
        ...     client.gather([x, {"x": x}])
        [1, {'x': 1}]
        """
        if errors not in ("raise", "skip"):
            raise ValueError(f"errors= must be 'raise' or 'skip', got {errors!r}")
        if not isinstance(futures, Future | list | tuple | set | frozenset | dict) and isinstance(futures, Iterable):
            futures = list(futures)
        return self._call(gather, self._engine, futures, errors)

    def scatter(
        self,
        data: Any,
        workers: str | Iterable[str] | None = None,
        broadcast: bool = False,
        direct: bool | None = None,
        hash: bool = True,
        timeout: float | str | None = None,
        asynchronous: bool | None = None,
    ) -> Any:
        """Put values on workers.

        Parameters
        ----------
        data : list, tuple, set, dict or iterator of values, or a single value
        workers : str or list of str, optional
            Where to; by default the values are spread over all workers.
        broadcast : bool
            Whether each value goes to all of them.
        hash : bool
            Whether equal values share a key.
        timeout : float or str, optional
            How long it may take in all. Without it, a worker that may take values is waited for for a minute, and sending them may
            take as long as it takes.
        direct, asynchronous
            Accepted for compatibility, without effect: data always goes straight to the workers.

        Returns
        -------
        Future, or a container of futures like ``data``

        Raises
        ------
        TimeoutError
            When no worker may take the values, for example because ``workers`` names none of those that there are. When a worker dies
            that was to take some, another one gets them.

        Examples
        --------
        >>> from kask.distributed import Client
        >>> with Client("embedded") as client:
        ...     numbers = client.scatter([1, 2])
        ...     client.submit(sum, numbers).result()
        3
        """
        where = named_workers(workers)
        limit = None if timeout is None else parse_seconds(timeout)
        names: list[Any] = []
        if isinstance(data, Mapping):
            names, values = list(data), list(data.values())
            keys = [name if isinstance(name, str) else f"{name!r}" for name in names]
        else:
            kind = type(data) if type(data) in (list, tuple, set, frozenset) else list
            many = (
                isinstance(data, list | tuple | set | frozenset) or hasattr(data, "__next__") or isinstance(data, range)
            )
            values = list(data) if many else [data]
            keys = [f"{type(value).__name__}-{_token(value, hash)}" for value in values]

        def work() -> Any:
            futures = self._engine.scatter(values, keys, workers=where, broadcast=bool(broadcast), timeout=limit)
            if names:
                return dict(zip(names, futures, strict=True))
            if isinstance(data, Mapping):
                return {}
            return kind(futures) if many else futures[0]

        return self._call(work)

    def replicate(
        self,
        futures: Any,
        n: int | None = None,
        workers: str | Iterable[str] | None = None,
        branching_factor: int = 2,
        **kwargs: Any,
    ) -> Any:
        """Copy results to further workers.

        Parameters
        ----------
        futures : Future, collection, or containers of them
        n : int, optional
            On how many workers each shall be at least; by default on all.
        workers : str or list of str, optional
            Which workers may be chosen.
        branching_factor : int
            Accepted for compatibility, without effect.

        Examples
        --------
        >>> from kask.distributed import Client
        >>> with Client("inproc", n_workers=2, threads_per_worker=1) as client:
        ...     x = client.submit(abs, -1)
        ...     client.replicate(x)
        ...     len(client.who_has(x)[x.key])
        2
        """
        refuse_unknown("replicate", kwargs, ("n", "workers", "branching_factor"))
        n = None if n is None else whole_number("n", n, 1)
        where = named_workers(workers)
        found = futures_of(futures)

        def work() -> None:
            self._engine.wait(found, None, False)
            self._engine.replicate(found, n or 0, where, None)

        return self._call(work)

    def futures_of(self, futures: Any) -> list[Future]:
        """Futures inside collections or containers; see :func:`kask.distributed.futures_of`.

        Examples
        --------
        >>> import kask
        >>> with kask.Client("embedded") as client:
        ...     len(client.futures_of(client.persist(kask.delayed(1) + 1)))
        1
        """
        return futures_of(futures)

    def who_has(self, futures: Any = None, **kwargs: Any) -> Any:
        """Which workers hold each result.

        Parameters
        ----------
        futures : Future, collection, or containers of them; optional
            By default everything.

        Returns
        -------
        dict
            Key -> tuple of worker addresses.

        Examples
        --------
        >>> from kask.distributed import Client, wait
        >>> with Client("embedded") as client:
        ...     x = client.submit(abs, -1)
        ...     done = wait(x)
        ...     len(client.who_has(x)[x.key])
        1
        """
        refuse_unknown("who_has", kwargs, ("futures",))
        return self._call(lambda: self._engine.who_has(None if futures is None else futures_of(futures)))

    def has_what(self, workers: str | Iterable[str] | None = None, **kwargs: Any) -> Any:
        """Which results each worker holds.

        Parameters
        ----------
        workers : str or list of str, optional
            Names or addresses; by default all.

        Returns
        -------
        dict
            Worker address -> tuple of keys.

        Examples
        --------
        >>> from kask.distributed import Client, wait
        >>> with Client("embedded") as client:
        ...     x = client.submit(abs, -1)
        ...     done = wait(x)
        ...     [x.key in keys for keys in client.has_what().values()]
        [True]
        """
        refuse_unknown("has_what", kwargs, ("workers",))
        where = named_workers(workers)
        return self._call(lambda: self._engine.has_what(where))


def gather(target: Engine, futures: Any, errors: str) -> Any:
    """Results in place of futures; with ``errors="skip"`` what failed is left out."""
    if isinstance(futures, Future):
        (value,) = target.gather([futures], errors) or [None]
        return value
    if type(futures) in (list, tuple) and all(type(future) is Future for future in futures):
        return type(futures)(target.gather(futures, errors))
    found: dict[int, Future] = {}

    def take(leaf: Any) -> Any:
        if isinstance(leaf, Future):
            found[id(leaf)] = leaf
        return leaf

    map_leaves(futures, take)
    if errors == "raise":
        values = dict(zip(found, target.gather(list(found.values())), strict=True))
        return map_leaves(futures, lambda leaf: values[id(leaf)] if isinstance(leaf, Future) else leaf)
    target.wait(list(found.values()), None, False)
    good = [future for future in found.values() if future.status == "finished"]
    values = dict(zip(map(id, good), target.gather(good), strict=True))
    return _without_skipped(
        map_leaves(futures, lambda leaf: values.get(id(leaf), _SKIPPED) if isinstance(leaf, Future) else leaf)
    )


def _without_skipped(value: Any) -> Any:
    kind = type(value)
    if kind in (list, tuple, set, frozenset):
        return kind(_without_skipped(item) for item in value if item is not _SKIPPED)
    if kind is dict:
        return {key: _without_skipped(item) for key, item in value.items() if item is not _SKIPPED}
    return value


def _token(value: Any, by_content: bool) -> str:
    return engine.tokenize(normalize, False, (value,), {}) if by_content else os.urandom(16).hex()
