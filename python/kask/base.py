"""The protocol of lazy collections, and ``compute``, ``persist``, ``optimize`` and ``visualize`` of any mixture of them.

``explain`` is in :mod:`kask.explain`.

A collection has these methods:

``__kask_graph__(builder) -> list``
    Adds its layers to a ``kask.engine.GraphBuilder`` and returns its outputs: printed keys, or futures of what is there already.
``__kask_postcompute__() -> (function, extra)``
    ``function(results, *extra)`` makes the value out of the outputs' results.
``__kask_collector__() -> object or None``
    Optional: what takes the outputs' results as they come, so that they are not all held beside the value that is made of them.
    ``collector.step`` is how many it takes at a time, ``collector.place(first, results)`` takes them, in order, and
    ``collector.value`` is the value in the end.
``__kask_postpersist__() -> (function, extra)``
    ``function(futures, *extra)`` makes the collection whose outputs are these futures.
``__kask_tokenize__()``
    Plain values that identify it.
``__kask_futures__() -> list``
    Optional: futures that it reads, and what has futures.
``__kask_prepare__(collections, engine)``
    Optional, static: runs what has to be over before the graphs of several such collections can be told.
``__kask_exprs__(optimized) -> list``
    Optional: the expressions whose blocks are its outputs, rewritten or as they were written. The layers of all collections that have it are made
    together, in place of ``__kask_graph__``, so that nothing is done twice.
``__kask_nodes__() -> list``
    Optional: the nodes that make its outputs; they are in the graph when ``__kask_graph__`` is called. They and those below them may read blocks
    of expressions, whose layers are made together with those of others as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from kask import config, engine
from kask.annotations import NAMES, make_options, overriding
from kask.containers import map_leaves
from kask.engine.current import current_client
from kask.exceptions import SerializationError
from kask.graphs import expressions_of, lowered_already, with_options
from kask.keywords import refuse_unknown
from kask.rooms import planning_for
from kask.settings import SCHEDULERS

if TYPE_CHECKING:
    from kask.engine import Engine, Future, GraphBuilder
    from kask.explain import Explanation
    from kask.layers import GraphView

__all__ = ["Collection", "compute", "engine_for", "is_kask_collection", "optimize", "persist", "visualize"]


@runtime_checkable
class Collection(Protocol):
    """What every lazy collection has."""

    def __kask_graph__(self, builder: GraphBuilder) -> list[str | Future]: ...
    def __kask_postcompute__(self) -> tuple[Callable[..., Any], tuple]: ...
    def __kask_postpersist__(self) -> tuple[Callable[..., Any], tuple]: ...


def first(results: list[Any]) -> Any:
    """Finishes a collection whose value is its only result."""
    return results[0]


def is_kask_collection(x: Any) -> bool:
    """Whether ``x`` is lazy: a Delayed, or another of Kask's collections.

    Examples
    --------
    >>> import kask
    >>> kask.is_kask_collection(kask.delayed(1)), kask.is_kask_collection(1)
    (True, False)
    """
    return not isinstance(x, type) and hasattr(type(x), "__kask_graph__")


def engine_for(scheduler: Any = None) -> Engine:
    """The engine that ``scheduler=`` asks for: by default that of the task we are in, of the current client, or the embedded one."""
    if scheduler is None:
        scheduler = config.get("scheduler")
    if isinstance(scheduler, str):
        if scheduler == "auto":
            return _default_engine()
        if scheduler in ("embedded", "threads"):
            from kask.engine.embedded import embedded_engine

            return embedded_engine()
        if scheduler in ("sync", "synchronous", "single-threaded"):
            from kask.engine.embedded import synchronous_engine

            return synchronous_engine()
        if scheduler == "processes":
            from kask.engine.processes import processes_engine

            return processes_engine()
    elif hasattr(type(scheduler), "__kask_engine__"):
        return scheduler.__kask_engine__()
    raise ValueError(f"scheduler= must be one of {', '.join(SCHEDULERS)}, or a client; got {scheduler!r}")


def _default_engine() -> Engine:
    client = current_client()
    if client is not None:
        return client.__kask_engine__()
    if engine.current_task() is not None:
        inside = engine.task_engine()
        if inside is not None:
            return inside
    from kask.engine.embedded import embedded_engine

    return embedded_engine()


@contextmanager
def _place_for_others() -> Iterator[None]:
    """While a task waits for other tasks its thread does not count as busy, or all threads could end up waiting for each other."""
    if engine.current_task() is None:
        yield
        return
    engine.secede()
    try:
        yield
    finally:
        engine.rejoin()


class Work:
    """Collections taken out of nested arguments, their graph, and how to put results back.

    Without ``target``, which tells the engine, nothing runs, not even what has to be known before the whole graph can be told. With
    ``is_renamed`` outputs may have other names than those of the collections: then one collection uses what another one makes.
    """

    def __init__(
        self,
        args: Sequence[Any],
        traverse: bool,
        options: Any,
        target: Callable[[], Engine] | None = None,
        *,
        optimize_graph: bool = True,
        is_renamed: bool = False,
    ) -> None:
        self.collections: list[Any] = []
        self._is_shared = is_renamed and optimize_graph
        self._positions: dict[int, int] = {}
        self._template = [map_leaves(arg, self._found) if traverse else self._take(arg) for arg in args]
        self.builder = engine.GraphBuilder()
        self.outputs: list[list[str | Future]] = []
        self._lowered: frozenset[str] = frozenset()
        with overriding(options), planning_for(target) if target is not None else nullcontext():
            if target is not None:
                self._prepare(target)
            self._add(optimize_graph)

    def _add(self, optimize_graph: bool) -> None:
        """Add the layers of all collections."""
        exprs = self._exprs(optimize_graph)
        roots = [expr for some in exprs for expr in some or ()]
        # Nodes of all at once: what is below many of them is looked at once.
        nodes = [node for collection in self.collections for node in _nodes_of(collection)]
        roots.extend(expressions_of(nodes))
        if roots:
            # First, as single tasks that several collections add are run as the first of them says.
            roots[0].lower_together(roots, self.builder, fuse=optimize_graph)
            self._lowered = frozenset([root.token for root in roots])
        self.builder.add_nodes(with_options(nodes))
        for collection, some in zip(self.collections, exprs, strict=True):
            if some is None:
                self.outputs.append(list(collection.__kask_graph__(self.builder)))
            else:
                self.outputs.append([output for expr in some for output in expr.outputs])

    def _exprs(self, optimized: bool) -> list[list[Any] | None]:
        """For each collection what it computes, if it is made of expressions."""
        if not optimized:
            return self._described(False)
        with self.rewriting():
            found = self._described(True)
            roots = [expr for some in found for expr in some or ()]
            if not self._is_shared or len(roots) < 2:
                return found
            better = iter(roots[0].share_together(roots))
        return [None if some is None else [next(better) for _ in some] for some in found]

    def _described(self, optimized: bool) -> list[list[Any] | None]:
        """The same, each collection by itself."""
        return [
            collection.__kask_exprs__(optimized) if _is_made_of_exprs(collection) else None
            for collection in self.collections
        ]

    def expressions(self, optimized: bool) -> list[Any]:
        """What the collections that are made of expressions compute."""
        return [expr for some in self._exprs(optimized) for expr in some or ()]

    @contextmanager
    def rewriting(self) -> Iterator[None]:
        """While the expressions of collections are rewritten, which is done so that nothing becomes more work for all of them."""
        are_several = sum(map(_is_made_of_exprs, self.collections)) > 1
        roots = self.expressions(False) if are_several else []
        with roots[0].rewritten_together(roots) if roots else nullcontext():
            yield

    @contextmanager
    def lowering(self) -> Iterator[None]:
        """While the builder is made a graph: tasks that read expressions find their layers in it."""
        with lowered_already(self._lowered):
            yield

    def _prepare(self, target: Callable[[], Engine]) -> None:
        alike: dict[Any, list[Any]] = {}
        for collection in self.collections:
            prepare = getattr(type(collection), "__kask_prepare__", None)
            if prepare is not None:
                alike.setdefault(prepare, []).append(collection)
        for prepare, collections in alike.items():
            prepare(collections, target())

    def _found(self, leaf: Any) -> Any:
        # Generators, map, zip: a list of what they give. Files are iterators, too.
        if isinstance(leaf, Iterator) and not is_kask_collection(leaf) and not hasattr(leaf, "read"):
            return map_leaves(list(leaf), self._found)
        return self._take(leaf)

    def _take(self, leaf: Any) -> Any:
        if not is_kask_collection(leaf):
            return leaf
        position = self._positions.setdefault(id(leaf), len(self.collections))
        if position == len(self.collections):
            self.collections.append(leaf)
        return _Place(position)

    def submit(self, target: Engine) -> list[list[Future]]:
        """Submit the graph; the futures of each collection's outputs."""
        keys = [output for outputs in self.outputs for output in outputs if isinstance(output, str)]
        with self.lowering(), _own_words():
            futures = iter(target.submit_graph(self.builder, keys) if keys else [])
        return [
            [next(futures) if isinstance(output, str) else output for output in outputs] for outputs in self.outputs
        ]

    def put_back(self, values: Sequence[Any]) -> list[Any]:
        """The arguments with each collection replaced by its value."""
        return [
            map_leaves(arg, lambda leaf: values[leaf.position] if type(leaf) is _Place else leaf)
            for arg in self._template
        ]


def _nodes_of(collection: Any) -> list[Any]:
    return collection.__kask_nodes__() if hasattr(type(collection), "__kask_nodes__") else []


def _is_made_of_exprs(collection: Any) -> bool:
    return hasattr(type(collection), "__kask_exprs__")


@contextmanager
def _own_words() -> Iterator[None]:
    """What says itself why it cannot be sent to another process says it better than where it was found."""
    try:
        yield
    except SerializationError as error:
        if isinstance(error.__cause__, SerializationError):
            raise error.__cause__ from None
        raise


class _Place:
    """Stands for a collection that was taken out."""

    __slots__ = ("position",)

    def __init__(self, position: int) -> None:
        self.position = position


def _options_of(caller: str, kwargs: dict[str, Any]) -> Any:
    unknown = {name: value for name, value in kwargs.items() if name not in NAMES}
    refuse_unknown(caller, unknown, [*NAMES, "scheduler", "traverse", "optimize_graph"])
    return make_options(**kwargs) if kwargs else None


def compute(
    *args: Any, traverse: bool = True, optimize_graph: bool = True, scheduler: Any = None, **kwargs: Any
) -> tuple:
    """Compute several collections at once; work that they share is done once.

    Parameters
    ----------
    *args : object
        Collections, or containers (lists, tuples, sets, dicts, slices, dataclasses) with collections somewhere inside. Iterators, such as
        generators, are taken as lists. Anything else is returned as it is.
    traverse : bool
        Whether to look into containers.
    optimize_graph : bool
        Whether expressions (of arrays) are rewritten to cost less and their calls made together, block by block. Rust drops what is not needed
        in any case.
    scheduler : str or Client, optional
        "embedded" (alias "threads"), "processes", "sync" (aliases "synchronous", "single-threaded") or a client. The default is
        the setting ``scheduler``, then the current client, then embedded.
    **kwargs
        ``retries``, ``priority``, ``workers``, ``allow_other_workers``, ``resources``, ``memory_bytes`` and ``result_bytes`` as in
        :func:`kask.annotate`, for tasks that are not annotated.

    Returns
    -------
    tuple
        One value for each argument.

    Raises
    ------
    OutOfMemoryError
        Before anything runs, if the sizes of results are annotated and one task needs more than any worker has.

    Examples
    --------
    >>> import kask
    >>> a = kask.delayed(1) + 1
    >>> kask.compute(a, {"twice": [a * 2]}, 5)
    (2, {'twice': [4]}, 5)
    """
    options = _options_of("compute", kwargs)
    work = Work(args, traverse, options, lambda: engine_for(scheduler), optimize_graph=optimize_graph, is_renamed=True)
    if not work.collections:
        return tuple(work.put_back([]))
    return tuple(work.put_back(run(work, engine_for(scheduler))))


def run(work: Work, target: Engine) -> list[Any]:
    """Submit, wait for everything at once, and make each collection's value."""
    futures: list[list[Future]] = []
    try:
        with _place_for_others():
            futures = work.submit(target)
            with _watched(target):
                collectors = [_collector(collection) for collection in work.collections]
                for collector, some in zip(collectors, futures, strict=True):
                    if collector is not None:
                        target.gather_in_steps(some, collector.step, collector.place)
                others = [some for collector, some in zip(collectors, futures, strict=True) if collector is None]
                results = iter(target.gather([future for some in others for future in some]))
        values = []
        for collection, collector, some in zip(work.collections, collectors, futures, strict=True):
            if collector is not None:
                values.append(collector.value)
            else:
                finish, extra = collection.__kask_postcompute__()
                values.append(finish([next(results) for _ in some], *extra))
        return values
    except BaseException:
        let_go(futures)
        raise


def let_go(futures: list[list[Future]]) -> None:
    """Forget futures that a traceback would keep: what has failed shall run again when it is asked for again."""
    for some in futures:
        some.clear()


def _collector(collection: Any) -> Any:
    make = getattr(type(collection), "__kask_collector__", None)
    return make(collection) if make is not None else None


def gathered(target: Engine, futures: list[Future]) -> list[Any]:
    """The results of futures, waited for as those of any computation."""
    with _place_for_others(), _watched(target):
        return target.gather(futures)


# Context managers made of an engine that surround every computation: progress bars.
watchers: list[Callable[[Engine], Any]] = []


@contextmanager
def _watched(target: Engine) -> Iterator[None]:
    if not watchers:
        yield
        return
    with watchers[-1](target):
        yield


def persist(
    *args: Any, traverse: bool = True, optimize_graph: bool = True, scheduler: Any = None, **kwargs: Any
) -> tuple:
    """Start computing collections and return equal ones whose results stay where they are computed.

    Parameters
    ----------
    *args, traverse, optimize_graph, scheduler, **kwargs
        As for :func:`kask.compute`.

    Returns
    -------
    tuple
        The arguments, each collection replaced by one that refers to the results.

    Examples
    --------
    >>> import kask
    >>> (a,) = kask.persist(kask.delayed(sum)([1, 2]))
    >>> a.compute()
    3
    """
    work = Work(args, traverse, _options_of("persist", kwargs), lambda: engine_for(scheduler))
    if not work.collections:
        return tuple(work.put_back([]))
    futures = work.submit(engine_for(scheduler))
    return tuple(work.put_back(persisted(work, futures)))


def persisted(work: Work, futures: list[list[Future]]) -> list[Any]:
    """Each collection rebuilt on its futures."""
    rebuilt = []
    with work.rewriting():
        for collection, some in zip(work.collections, futures, strict=True):
            rebuild, extra = collection.__kask_postpersist__()
            rebuilt.append(rebuild(some, *extra))
    return rebuilt


def optimize(*args: Any, traverse: bool = True, **kwargs: Any) -> tuple:
    """Equal collections whose expressions are rewritten to cost less.

    A :class:`~kask.delayed.Delayed` has no expression to rewrite; Rust drops tasks that nothing needs when it is computed.

    Parameters
    ----------
    *args : object
        Collections, or containers with collections inside.
    traverse : bool
        Whether to look into containers.

    Examples
    --------
    >>> import kask
    >>> (a,) = kask.optimize(kask.delayed(1) + 1)
    >>> a.compute()
    2
    """
    refuse_unknown("optimize", kwargs, ["traverse"])

    def better(leaf: Any) -> Any:
        rewrite = getattr(type(leaf), "__kask_optimize__", None) if is_kask_collection(leaf) else None
        return rewrite(leaf) if rewrite else leaf

    return tuple(map_leaves(arg, better) if traverse else better(arg) for arg in args)


def visualize(
    *args: Any,
    filename: str | None = "mykask",
    format: str | None = None,
    traverse: bool = True,
    optimize_graph: bool = False,
    engine: str | None = None,
    rankdir: str = "BT",
    **kwargs: Any,
) -> Any:
    """Draw the task graph of collections.

    Parameters
    ----------
    *args : object
        Collections, or containers with collections inside.
    filename : str or None
        Where to write the picture, with or without a suffix. ``None`` writes no file.
    format : {"svg", "png", "pdf", "dot"}, optional
        The default is the suffix of ``filename``, otherwise "svg". "png" and "pdf" need the ``dot`` program of graphviz.
    traverse : bool
        Whether to look into containers.
    optimize_graph : bool
        Whether to draw the graph that is computed, in which expressions are rewritten and calls made together. Otherwise arrays are drawn as
        they were written.
    engine : {"graphviz", "kask"}, optional
        What lays the graph out; graphviz where its ``dot`` is installed, otherwise Kask itself (SVG only).
    rankdir : {"BT", "TB", "LR", "RL"}
        Direction in which results flow.

    Returns
    -------
    object
        In IPython an image that displays itself; otherwise the SVG (or dot) text, or the bytes of a "png" or "pdf".

    Raises
    ------
    TypeError
        Among the arguments is no collection.
    ValueError
        There are too many tasks for a picture.

    Examples
    --------
    >>> import kask
    >>> picture = kask.visualize(kask.delayed(sum)([1, 2]), filename=None)
    >>> "<svg" in picture
    True
    """
    from kask.drawing import draw

    refuse_unknown("visualize", kwargs, ["filename", "format", "traverse", "optimize_graph", "engine", "rankdir"])
    tasks = graph_view(args, traverse, optimize_graph).needed(_MOST_DRAWN)
    if tasks is None:
        raise ValueError(
            f"the graph has more than {_MOST_DRAWN:,} tasks, too many for a picture: draw an array of fewer chunks, pass optimize_graph=True, "
            "or draw its layers with x.dask.visualize()"
        )
    return draw(
        [(task.key, task.family, task.inputs) for task in tasks],
        filename=filename,
        format=format,
        engine=engine,
        rankdir=rankdir,
    )


#: Pictures of more tasks show nothing, and take minutes.
_MOST_DRAWN = 3000


def graph_view(args: Sequence[Any], traverse: bool, optimize_graph: bool) -> GraphView:
    """The graph of collections, to be looked at."""
    from kask.layers import GraphView

    work = Work(args, traverse, None, optimize_graph=optimize_graph)
    if not work.collections:
        kinds = ", ".join(type(arg).__name__ for arg in args) or "nothing"
        inside = "" if traverse else " (with traverse=False it does not look into containers)"
        raise TypeError(
            f"there is no graph: a lazy collection is wanted, such as kask.delayed(...), got {kinds}{inside}"
        )
    with work.lowering():
        return GraphView(work.builder, [output for outputs in work.outputs for output in outputs])


class Methods:
    """``compute``, ``persist``, ``explain`` and ``visualize`` as methods of a collection."""

    __slots__ = ()

    def compute(self, **kwargs: Any) -> Any:
        """Compute this collection; keywords as for :func:`kask.compute`.

        Examples
        --------
        >>> import kask
        >>> kask.delayed(sum)([1, 2]).compute(scheduler="sync")
        3
        """
        (value,) = compute(self, traverse=False, **kwargs)
        return value

    def persist(self, **kwargs: Any) -> Any:
        """Compute this collection and keep the results where they are; keywords as for :func:`kask.persist`.

        Examples
        --------
        >>> import kask
        >>> kask.delayed(sum)([1, 2]).persist().compute()
        3
        """
        (collection,) = persist(self, traverse=False, **kwargs)
        return collection

    def explain(self, **kwargs: Any) -> Explanation:
        """Say what computing this collection would take, without running it; keywords as for :func:`kask.explain`.

        Examples
        --------
        >>> import kask
        >>> kask.delayed(sum)([1, 2]).explain().tasks
        1
        """
        from kask.explain import explain

        return explain(self, traverse=False, **kwargs)

    def visualize(
        self, filename: str | None = "mykask", format: str | None = None, optimize_graph: bool = False, **kwargs: Any
    ) -> Any:
        """Draw this collection's task graph; keywords as for :func:`kask.visualize`.

        Examples
        --------
        >>> import kask
        >>> text = kask.delayed(sum)([1, 2]).visualize(filename=None, format="dot")
        >>> text.splitlines()[0]
        'digraph {'
        """
        return visualize(
            self, filename=filename, format=format, optimize_graph=optimize_graph, traverse=False, **kwargs
        )
