"""Walking and rebuilding graphs of nodes, for the few who must: pickling, ``visualize``, options given to ``compute``, dict graphs.

Nothing here recurses over a graph, so that a chain of any length is fine.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar

from kask import engine
from kask.annotations import overriding_options
from kask.containers import map_leaves
from kask.engine import Layers, Node
from kask.exceptions import GraphError


def in_order(nodes: Sequence[Node]) -> list[Node]:
    """All nodes below ``nodes`` and they themselves, inputs before what uses them; the last is the last of ``nodes``.

    Examples
    --------
    >>> a = Node(None, (1,), {}, "a", "int", None)
    >>> b = Node(abs, (a,), {}, "b", "abs", None)
    >>> [node.key for node in in_order([b])]
    ['a', 'b']
    """
    placed: dict[str, Node] = {}
    for root in nodes:
        stack = [(root, False)]
        while stack:
            node, inputs_done = stack.pop()
            if node.key in placed:
                continue
            if inputs_done:
                placed[node.key] = node
                continue
            stack.append((node, True))
            stack.extend(
                (below, False)
                for below in reversed(node.inputs())
                if isinstance(below, Node) and below.key not in placed
            )
    return list(placed.values())


class _Ref:
    """Stands for an earlier record."""

    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index = index

    def __reduce__(self) -> tuple:
        return _Ref, (self.index,)


def to_records(nodes: Sequence[Node]) -> list[tuple]:
    """The graph as a flat list that can be pickled."""
    ordered = in_order(nodes)
    number = {node.key: i for i, node in enumerate(ordered)}

    def refer(leaf: Any) -> Any:
        return _Ref(number[leaf.key]) if isinstance(leaf, Node) else leaf

    return [
        (n.func, map_leaves(n.args, refer), map_leaves(n.kwargs, refer), n.key, n.family, n.options) for n in ordered
    ]


def rebuild(records: list[tuple]) -> list[Node]:
    """The nodes that ``to_records`` wrote down."""
    nodes: list[Node] = []

    def resolve(leaf: Any) -> Any:
        return nodes[leaf.index] if type(leaf) is _Ref else leaf

    for func, args, kwargs, key, family, options in records:
        nodes.append(Node(func, map_leaves(args, resolve), map_leaves(kwargs, resolve), key, family, options))
    return nodes


def with_options(nodes: list[Node]) -> list[Node]:
    """The same work, run as the surrounding ``annotations.overriding`` block asks where nobody annotated it."""
    options = overriding_options()
    if options is None:
        return nodes
    wanted = {node.key for node in nodes}
    records = [(*record[:5], record[5] or options) for record in to_records(nodes)]
    rebuilt = {node.key: node for node in rebuild(records) if node.key in wanted}
    return [rebuilt[node.key] for node in nodes]


# -- nodes that stand for blocks of expressions


#: Expressions whose layers the graph has that is being made.
_lowered: ContextVar[frozenset[str]] = ContextVar("kask_lowered", default=frozenset())


@contextmanager
def lowered_already(tokens: frozenset[str]) -> Iterator[None]:
    """While a graph is made that has the layers of these expressions."""
    before = _lowered.set(tokens)
    try:
        yield
    finally:
        _lowered.reset(before)


class ExprLayers:
    """The layers of an expression, for nodes that stand for its blocks; see ``kask.engine.Layers``."""

    __slots__ = ("__weakref__", "expr")

    #: Those that there are. As long as there are none nobody has to look for them.
    alive: ClassVar[weakref.WeakSet[ExprLayers]] = weakref.WeakSet()

    def __init__(self, expr: Any) -> None:
        self.expr = expr
        self.alive.add(self)

    def __call__(self, builder: engine.GraphBuilder, options: engine.Options | None) -> None:
        if self.expr.token not in _lowered.get():
            self.expr.lower_together([self.expr], builder)

    def __reduce__(self) -> tuple:
        return ExprLayers, (self.expr,)

    def __kask_tokenize__(self) -> Any:
        return "layers", self.expr.token


def futures_below(node: Node) -> list[Any]:
    """Futures, and what has futures, in the expression whose block a node stands for."""
    if type(node.func) is Layers and isinstance(node.func.add, ExprLayers):
        return node.func.add.expr.futures_below()
    return []


def expressions_of(nodes: Sequence[Node]) -> list[Any]:
    """The expressions whose blocks are read by nodes, or by those below them."""
    if not ExprLayers.alive:
        return []
    found: dict[str, Any] = {}
    for node in in_order(nodes):
        if type(node.func) is Layers and isinstance(node.func.add, ExprLayers):
            found[node.func.add.expr.token] = node.func.add.expr
    return list(found.values())


# -- graphs written as dicts: {"x": 1, "y": (inc, "x"), ("z", 0): (sum, ["x", "y"])}


def from_dict(graph: Mapping[Hashable, Any], wanted: Iterable[Hashable]) -> dict[Hashable, Node]:
    """Nodes for the ``wanted`` keys of a dict graph.

    A tuple whose first item is callable is a call; anything equal to a key of the graph is that key's result. Printed keys are
    unlike those of any other graph, because a name such as ``"x"`` means something else to everybody.

    Raises
    ------
    GraphError
        A key is missing, or the graph has a cycle; the message names the keys.

    Examples
    --------
    >>> nodes = from_dict({"x": -1, "y": (abs, "x")}, ["y"])
    >>> [node.key for node in nodes["y"].inputs()] == [nodes["x"].key]
    True
    """
    salt = os.urandom(16)
    nodes: dict[Hashable, Node] = {}
    for key in wanted:
        if key not in graph:
            raise GraphError(f"there is no key {key!r} in the graph")
        _place(graph, key, nodes, salt)
    return nodes


def _place(graph: Mapping[Hashable, Any], wanted: Hashable, nodes: dict[Hashable, Node], salt: bytes) -> None:
    stack: list[Hashable] = [wanted]
    opened: dict[Hashable, None] = {}
    while stack:
        key = stack[-1]
        if key in nodes:
            stack.pop()
            continue
        below = [name for name in _names_in(graph[key], graph) if name not in nodes]
        if not below:
            nodes[key] = _to_node(graph, key, nodes, salt)
            opened.pop(key, None)
            stack.pop()
            continue
        opened[key] = None
        circle = [name for name in below if name in opened]
        if circle:
            around = list(opened)
            around = around[around.index(circle[0]) :]
            raise GraphError(f"the graph has a cycle: {' -> '.join(map(repr, [*around, circle[0]]))}")
        stack.extend(below)


def _is_key(value: Any, graph: Mapping[Hashable, Any]) -> bool:
    try:
        return value in graph
    except TypeError:
        return False


def _is_call(value: Any) -> bool:
    return type(value) is tuple and bool(value) and callable(value[0])


def _names_in(value: Any, graph: Mapping[Hashable, Any]) -> list[Hashable]:
    """Keys of the graph that ``value`` refers to."""
    names: list[Hashable] = []
    stack = [value]
    while stack:
        item = stack.pop()
        if _is_call(item):
            stack.extend(item[1:])
        elif _is_key(item, graph):
            names.append(item)
        elif type(item) is list:
            stack.extend(item)
        elif type(item) is dict:
            stack.extend(item.values())
    return names


def _to_node(graph: Mapping[Hashable, Any], key: Hashable, nodes: dict[Hashable, Node], salt: bytes) -> Node:
    counter = iter(range(1 << 30))

    def printed(family: str) -> str:
        return f"{family}-{engine.blob_hash(salt + repr((key, next(counter))).encode())}"

    def lower(value: Any) -> Any:
        if _is_call(value):
            return call(value)
        if _is_key(value, graph):
            return nodes[value]
        if type(value) is list:
            return [lower(item) for item in value]
        if type(value) is dict:
            return {name: lower(item) for name, item in value.items()}
        return value

    def call(value: tuple) -> Node:
        function: Callable[..., Any] = value[0]
        family = getattr(function, "__name__", type(function).__name__).replace("<lambda>", "lambda")
        return Node(function, tuple(lower(item) for item in value[1:]), {}, printed(family), family, None)

    value = graph[key]
    if _is_call(value):
        return call(value)
    return Node(None, (lower(value),), {}, printed("value"), "value", None)
