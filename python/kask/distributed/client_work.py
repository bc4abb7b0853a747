"""The part of ``Client`` that describes work: submit, map, compute, persist, get, cancel, retry."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

from kask.annotations import current_options, options_for, overriding
from kask.base import Work, first, is_kask_collection, let_go, persisted, run
from kask.distributed.client_base import ClientBase
from kask.distributed.futures import by_engine, futures_of
from kask.engine import Future, GraphBuilder, Node
from kask.graphs import from_dict
from kask.keywords import check_function_keywords, refuse_unknown

_RUN = ("workers", "retries", "resources", "priority", "allow_other_workers", "fifo_timeout")
_SUBMIT = ("key", *_RUN, "actor", "actors", "pure")
_COMPUTE = ("sync", "optimize_graph", "traverse", *_RUN, "actors")
_NO_ACTORS = "there are no actors yet: actor= and actors= must be False"


class ClientWork(ClientBase):
    """Describing work."""

    def submit(
        self,
        func: Callable[..., Any],
        *args: Any,
        key: str | None = None,
        workers: str | Iterable[str] | None = None,
        resources: Mapping[str, float] | None = None,
        retries: int | None = None,
        priority: int = 0,
        fifo_timeout: str = "100 ms",
        allow_other_workers: bool = False,
        actor: bool = False,
        actors: bool = False,
        pure: bool = True,
        **kwargs: Any,
    ) -> Future:
        """Run ``func(*args, **kwargs)`` on a worker.

        Parameters
        ----------
        func : callable
            Coroutine functions are fine.
        *args, **kwargs
            Futures inside lists, tuples, sets, dicts and dataclasses are replaced by their results.
        key : str, optional
            Names the result; by default it is made of the function's name and a hash of everything that goes in.
        workers : str or list of str, optional
            Names or addresses of the workers that may run it.
        resources : dict, optional
            What a worker must have free, such as ``{"GPU": 1}``.
        retries : int, optional
            How often it is run again when it raises.
        priority : int
            Higher runs first.
        fifo_timeout : str
            Accepted for compatibility, without effect: order is by priority, then depth first.
        allow_other_workers : bool
            Whether others will do while none of ``workers`` is there.
        actor, actors : bool
            Must be False.
        pure : bool
            Whether equal calls may share one result.

        Returns
        -------
        Future

        Raises
        ------
        UnknownKeywordError
            A keyword that is neither an option nor a parameter of ``func``.

        Examples
        --------
        >>> from kask.distributed import Client
        >>> with Client("embedded") as client:
        ...     client.submit(pow, 2, 10).result()
        1024
        """
        if not callable(func):
            raise TypeError(f"the first argument of submit() must be callable, got {func!r}")
        if key is not None and not isinstance(key, str):
            raise TypeError(f"key= must be text, got {key!r}")
        if actor or actors:
            raise NotImplementedError(_NO_ACTORS)
        if kwargs:
            check_function_keywords("submit", func, kwargs, _SUBMIT)
        options = options_for(retries, priority, workers, allow_other_workers, resources)
        return self._engine.submit(func, args, kwargs, key=key, pure=bool(pure), options=options)

    def map(
        self,
        func: Callable[..., Any],
        *iterables: Iterable[Any],
        key: str | list[str] | None = None,
        workers: str | Iterable[str] | None = None,
        retries: int | None = None,
        resources: Mapping[str, float] | None = None,
        priority: int = 0,
        allow_other_workers: bool = False,
        fifo_timeout: str = "100 ms",
        actor: bool = False,
        actors: bool = False,
        pure: bool = True,
        batch_size: int | None = None,
        **kwargs: Any,
    ) -> list[Future]:
        """Run ``func`` on the items of one or several iterables, as ``map`` does; the shortest ends it.

        Parameters
        ----------
        func : callable
        *iterables : iterables
            Lists, generators, lists of futures, ...
        key : str or list of str, optional
            A prefix for all keys, or one key for each item.
        batch_size : int, optional
            How many calls are sent to the scheduler at a time; by default that is Rust's choice.
        workers, retries, resources, priority, allow_other_workers, fifo_timeout, actor, actors, pure
            As for :meth:`submit`.
        **kwargs
            Further arguments of every call.

        Returns
        -------
        list of Future

        Examples
        --------
        >>> from kask.distributed import Client
        >>> with Client("embedded") as client:
        ...     client.gather(client.map(pow, [1, 2, 3], [2, 2, 2]))
        [1, 4, 9]
        """
        if not callable(func):
            raise TypeError(f"the first argument of map() must be callable, got {func!r}")
        if not iterables:
            raise TypeError("map() needs something to map over: at least one iterable")
        for items in iterables:
            if not hasattr(items, "__iter__") and not hasattr(items, "__getitem__"):
                raise TypeError(
                    f"map() needs iterables to map over, got {items!r}; partial() binds an argument for all calls"
                )
        if actor or actors:
            raise NotImplementedError(_NO_ACTORS)
        if batch_size is not None and (not isinstance(batch_size, int) or batch_size < 1):
            raise ValueError(f"batch_size= must be None or a whole number of at least 1, got {batch_size!r}")
        if kwargs:
            check_function_keywords("map", func, kwargs, (*_SUBMIT, "batch_size"))
        options = options_for(retries, priority, workers, allow_other_workers, resources)
        keys = list(key) if key is not None and not isinstance(key, str) else key
        return self._engine.map(
            func, iterables, kwargs, keys=keys, pure=bool(pure), options=options, batch_size=batch_size
        )

    def compute(
        self,
        collections: Any,
        sync: bool = False,
        optimize_graph: bool = True,
        workers: str | Iterable[str] | None = None,
        allow_other_workers: bool = False,
        resources: Mapping[str, float] | None = None,
        retries: int = 0,
        priority: int = 0,
        fifo_timeout: str = "60s",
        actors: bool | None = None,
        traverse: bool = True,
        **kwargs: Any,
    ) -> Any:
        """Start computing collections; futures of their values.

        Parameters
        ----------
        collections : collection, or list, tuple, set or dict of collections
        sync : bool
            Whether to wait and return the values.
        traverse : bool
            Whether collections in deeper containers are found.
        optimize_graph, workers, allow_other_workers, resources, retries, priority, fifo_timeout, actors
            As for :meth:`submit`.

        Returns
        -------
        Future, or the container with futures in place of collections; values if ``sync``

        Examples
        --------
        >>> import kask
        >>> from kask.distributed import Client
        >>> with Client("embedded") as client:
        ...     client.compute(kask.delayed(sum)([1, 2])).result()
        3
        """
        refuse_unknown("compute", kwargs, _COMPUTE)
        if actors:
            raise NotImplementedError(_NO_ACTORS)
        options = options_for(retries, priority, workers, allow_other_workers, resources)
        looks_inside = traverse or not is_kask_collection(collections)
        work = Work(
            [collections], looks_inside, options, lambda: self._engine, optimize_graph=optimize_graph, is_renamed=True
        )
        if sync:
            return self._call(lambda: work.put_back(run(work, self._engine))[0])
        futures = [
            self._value_of(collection, some)
            for collection, some in zip(work.collections, work.submit(self._engine), strict=True)
        ]
        return work.put_back(futures)[0]

    def _value_of(self, collection: Any, outputs: list[Future]) -> Future:
        """One future of a collection's value; several outputs are put together by a task."""
        finish, extra = collection.__kask_postcompute__()
        if finish is first:
            return outputs[0]
        return self._engine.submit(finish, (outputs, *extra), {}, key=None, pure=True, options=current_options())

    def persist(
        self,
        collections: Any,
        optimize_graph: bool = True,
        workers: str | Iterable[str] | None = None,
        allow_other_workers: bool | None = None,
        resources: Mapping[str, float] | None = None,
        retries: int | None = None,
        priority: int = 0,
        fifo_timeout: str = "60s",
        actors: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Start computing collections; equal collections whose results stay on the workers.

        Parameters
        ----------
        collections : collection, or container of collections
        optimize_graph, workers, allow_other_workers, resources, retries, priority, fifo_timeout, actors
            As for :meth:`submit`.

        Examples
        --------
        >>> import kask
        >>> from kask.distributed import Client
        >>> with Client("embedded") as client:
        ...     client.persist(kask.delayed(sum)([1, 2])).compute()
        3
        """
        refuse_unknown("persist", kwargs, ("optimize_graph", *_RUN, "actors"))
        if actors:
            raise NotImplementedError(_NO_ACTORS)
        options = options_for(retries, priority, workers, allow_other_workers, resources)
        work = Work([collections], True, options, lambda: self._engine)
        return work.put_back(persisted(work, work.submit(self._engine)))[0]

    def get(
        self,
        dsk: Mapping[Hashable, Any],
        keys: Any,
        workers: str | Iterable[str] | None = None,
        allow_other_workers: bool | None = None,
        resources: Mapping[str, float] | None = None,
        sync: bool = True,
        asynchronous: bool | None = None,
        direct: bool | None = None,
        retries: int | None = None,
        priority: int = 0,
        fifo_timeout: str = "60s",
        actors: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Run a graph that is written as a dict.

        Parameters
        ----------
        dsk : dict
            Key -> value, or tuple whose first item is callable. A key inside a tuple, list or dict is that key's result.
        keys : key, or nested lists of keys
            What is wanted.
        sync : bool
            Whether to wait and return values instead of futures.
        asynchronous, direct
            Accepted for compatibility, without effect.
        workers, allow_other_workers, resources, retries, priority, fifo_timeout, actors
            As for :meth:`submit`.

        Raises
        ------
        GraphError
            A key is missing, or there is a cycle.

        Examples
        --------
        >>> from kask.distributed import Client
        >>> with Client("embedded") as client:
        ...     client.get({"x": 1, "y": (abs, "x"), "z": (sum, ["x", "y"])}, ["y", "z"])
        [1, 2]
        """
        refuse_unknown("get", kwargs, ("sync", *_RUN))
        if not isinstance(dsk, Mapping):
            raise TypeError(f"the first argument of get() must be a dict of keys and tasks, got {dsk!r}")
        options = options_for(retries, priority, workers, allow_other_workers, resources)
        wanted: list[Hashable] = []

        def want(key: Hashable) -> Hashable:
            wanted.append(key)
            return key

        template = _each_key(keys, want)
        with overriding(options):
            nodes = from_dict(dsk, wanted)
            futures = self._submit_nodes([nodes[key] for key in wanted])
        if not sync:
            return _each_key(template, dict(zip(wanted, futures, strict=True)).__getitem__)

        def work() -> Any:
            try:
                values = dict(zip(wanted, self._engine.gather(futures), strict=True))
            except BaseException:
                let_go([futures])
                raise
            return _each_key(template, values.__getitem__)

        return self._call(work)

    def _submit_nodes(self, nodes: list[Node]) -> list[Future]:
        from kask.graphs import with_options

        builder = GraphBuilder()
        nodes = with_options(nodes)
        builder.add_nodes(nodes)
        return self._engine.submit_graph(builder, [node.key for node in nodes])

    def cancel(
        self,
        futures: Any,
        asynchronous: bool | None = None,
        force: bool = False,
        reason: str | None = None,
        msg: str | None = None,
    ) -> Any:
        """Nobody needs these any more: they end as cancelled, and what depends on them too.

        Parameters
        ----------
        futures : Future, collection, or containers of them
        asynchronous : bool, optional
            Accepted for compatibility, without effect.
        force : bool
            Also when other clients want them.
        reason, msg : str, optional
            For the error that waiters get.

        Examples
        --------
        >>> import time
        >>> from kask.distributed import Client, wait
        >>> with Client("embedded", threads_per_worker=1) as client:
        ...     blocker, x = client.submit(time.sleep, 0.1), client.submit(abs, -1)
        ...     client.cancel(x)
        ...     x.cancelled()
        True
        """
        text = " ".join(part for part in (reason, msg) if part) or "cancelled by the client"

        def work() -> None:
            for engine, some in by_engine(futures_of(futures)).values():
                engine.cancel(some, force=force, reason=text)

        return self._call(work)

    def retry(self, futures: Any, asynchronous: bool | None = None) -> Any:
        """Run failed tasks again.

        Parameters
        ----------
        futures : Future, collection, or containers of them
        asynchronous : bool, optional
            Accepted for compatibility, without effect.

        Examples
        --------
        >>> from kask.distributed import Client
        >>> attempts = iter([ValueError("not yet"), 7])
        >>> def flaky():
        ...     outcome = next(attempts)
        ...     if isinstance(outcome, Exception):
        ...         raise outcome
        ...     return outcome
        >>> with Client("embedded") as client:
        ...     x = client.submit(flaky, pure=False)
        ...     error = x.exception()
        ...     client.retry(x)
        ...     x.result()
        7
        """

        def work() -> None:
            for engine, some in by_engine(futures_of(futures)).values():
                engine.retry(some)

        return self._call(work)


def _each_key(keys: Any, change: Callable[[Any], Any]) -> Any:
    return [_each_key(key, change) for key in keys] if isinstance(keys, list) else change(keys)
