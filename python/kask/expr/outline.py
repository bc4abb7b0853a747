"""Outlines of expressions: a tree of what is computed of what, with shapes, chunks, tasks and bytes, and which calls are made together.

Tasks are those that would run, counted by Rust: layers are added to a builder under names that tell whose they are.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from kask.engine import GraphBuilder
from kask.expr.lower import Lowering
from kask.expr.node import Expr
from kask.expr.rewrite import walk
from kask.tables import lined_up
from kask.units import format_bytes

__all__ = ["Outline", "Row", "outlined"]

#: Further rows are counted, not printed.
_PRINTED = 100
_LABEL_LENGTH = 48
_PLAIN = (bool, int, float, complex, str)


class Row(NamedTuple):
    """One expression."""

    #: How far below the result it is.
    depth: int
    label: str
    shape: tuple[int, ...]
    #: The largest chunk along each axis.
    chunks: tuple[int, ...]
    #: Numbers of the layers that make it; expressions of one layer are *fused*: made by the same tasks.
    layers: tuple[int, ...]
    #: Tasks of its own; 0 for an expression that is fused into the tasks of others, or whose blocks are there already.
    tasks: int
    #: All of its blocks together, whether they are kept or not.
    nbytes: int
    #: Whether it was told above with all that is below it.
    is_repeated: bool


class Outline:
    """What is computed of what.

    Attributes
    ----------
    rows : list of Row
        Each expression below those that read it.
    tasks : int
        Tasks that would run.
    produced_bytes : int
        All of their results together.
    peak_bytes : int
        The most that would be held at once.
    """

    def __init__(self, title: str, rows: list[Row], found: Mapping[str, Any]) -> None:
        self.title, self.rows = title, rows
        self.tasks = sum(row[2] for row in found["layers"])
        self.produced_bytes: int = found["produced_bytes"]
        self.peak_bytes: int = found["peak_bytes"]

    def __repr__(self) -> str:
        head = (self.title, "shape", "chunks", "layer", "tasks", "bytes")
        told = self.rows[:_PRINTED]
        lines = lined_up([head, *map(_cells, told)], left=3)
        if len(self.rows) > len(told):
            lines.append(f"... and {len(self.rows) - len(told):,} more")
        peak = f"at most {format_bytes(self.peak_bytes)} held at once"
        lines.append(f"{self.tasks:,} tasks, results of {format_bytes(self.produced_bytes)} in all, {peak}")
        return "\n".join(lines)


def _cells(row: Row) -> tuple[str, ...]:
    label = "  " * row.depth + row.label
    layers = ",".join(map(str, row.layers))
    if row.is_repeated:
        return (label, "as above", "", layers, "", "")
    tasks = f"{row.tasks:,}" if row.tasks else "fused" if row.layers else "held"
    return (label, str(row.shape), str(row.chunks), layers, tasks, format_bytes(row.nbytes))


class _Owned:
    """A builder whose layers are called after the expressions that they are of, so that what is found out about them can be told apart.
    Who reads a layer finds it by the digits at the end of its name, which stay."""

    def __init__(self) -> None:
        self.builder = GraphBuilder()
        self.owner = ""
        #: How many single tasks expressions have.
        self.nodes: dict[str, int] = {}
        self._called: dict[str, str] = {}

    def call(self, name: str) -> str:
        """What a layer is called here."""
        return self._called.get(name, name)

    def _added(self, name: str) -> str:
        return self._called.setdefault(name, f"{self.owner}:{name}")

    def add_nodes(self, nodes: Any) -> None:
        """Single tasks keep their names."""
        self.nodes[self.owner] = len(nodes)
        self.builder.add_nodes(nodes)

    def add_blockwise(self, name: str, *args: Any, **options: Any) -> None:
        """See ``GraphBuilder``."""
        self.builder.add_blockwise(self._added(name), *args, **options)

    def add_tree_reduce(self, name: str, *args: Any, **options: Any) -> None:
        """See ``GraphBuilder``."""
        self.builder.add_tree_reduce(self._added(name), *args, **options)

    def add_shuffle(self, name: str, *args: Any, **options: Any) -> None:
        """See ``GraphBuilder``."""
        self.builder.add_shuffle(self._added(name), *args, **options)


class _Noting(Lowering):
    """Notes whose layers are added, and who is made together with whom."""

    def __init__(self, builder: _Owned, *, fuse: bool) -> None:
        super().__init__(builder, fuse=fuse)  # type: ignore[arg-type]
        self._owned = builder
        #: By the token of each expression, those of the expressions whose layers make it.
        self.made_by: dict[str, list[str]] = {}

    def _add_group(self, group: Any) -> None:
        self._owned.owner = group.root.token
        for expr, _ in group.members:
            self.made_by.setdefault(expr.token, []).append(group.root.token)
        super()._add_group(group)

    def _add_own(self, expr: Any) -> None:
        self._owned.owner = expr.token
        self.made_by[expr.token] = [expr.token]
        super()._add_own(expr)


def outlined(
    roots: Sequence[Any], title: str, is_optimized: bool, explain: Callable[..., Mapping[str, Any]]
) -> Outline:
    """The outline of expressions.

    Parameters
    ----------
    roots : list of Expr
        What is computed.
    title : str
        What the column of the expressions is called.
    is_optimized : bool
        Whether calls are made together.
    explain : callable
        ``explain(builder, keys)``: what running a graph would take.
    """
    owned = _Owned()
    noting = _Noting(owned, fuse=is_optimized)
    noting.add(roots)
    keys = [_printed(output, owned) for root in roots for output in root.outputs if isinstance(output, str)]
    found = explain(owned.builder, keys)
    tasks = owned.nodes
    for prefix, _, count, *_ in found["layers"]:
        owner, separator, _ = prefix.partition(":")
        if separator:
            tasks[owner] = tasks.get(owner, 0) + count
    return Outline(title, _rows(roots, noting.made_by, tasks), found)


def _printed(key: str, owned: _Owned) -> str:
    """The key of a block under the name that its layer has here."""
    if not key.startswith("('"):
        return key
    name, _, rest = key[2:].partition("'")
    return f"('{owned.call(name)}'{rest}"


def _rows(roots: Sequence[Any], made_by: Mapping[str, list[str]], tasks: Mapping[str, int]) -> list[Row]:
    numbers: dict[str, int] = {}
    for expr in walk(roots):
        if tasks.get(expr.token):
            numbers[expr.token] = len(numbers) + 1
    rows: list[Row] = []
    seen: set[str] = set()
    stack = [(root, 0) for root in reversed(roots)]
    while stack:
        expr, depth = stack.pop()
        is_repeated = expr.token in seen
        layers = tuple(sorted({numbers[token] for token in made_by.get(expr.token, ()) if token in numbers}))
        own = tasks.get(expr.token, 0)
        rows.append(Row(depth, _label(expr), expr.shape, expr.chunks.largest, layers, own, _nbytes(expr), is_repeated))
        if expr.token not in seen:
            seen.add(expr.token)
            stack.extend((operand, depth + 1) for operand in reversed(_distinct(expr.operands)))
    return rows


def _distinct(operands: tuple[Expr, ...]) -> list[Expr]:
    return list({operand.token: operand for operand in operands}.values())


def _nbytes(expr: Any) -> int:
    """Bytes of all blocks; those of partial results are more than those of their elements."""
    elements = math.prod(expr.chunks.largest)
    return expr.block_bytes * math.prod(expr.shape) // elements if elements else 0


def _label(expr: Any) -> str:
    """What an expression is, with those of its arguments that users know."""
    told: list[str] = []
    for field in dataclasses.fields(expr):
        value = getattr(expr, field.name)
        if field.name == "args" and type(value) is tuple:
            told.extend(repr(item) for item in value if type(item) in _PLAIN)
        elif field.name == "taken":
            told.append(f"[{', '.join([_slice(one, there) for one, there in zip(value, expr.operands[0].shape)])}]")
        elif field.name in ("axis", "axes"):
            told.append(f"{field.name}={value}")
    text = " ".join([expr.label, *told, *filter(None, [expr.remark])])
    return text if len(text) <= _LABEL_LENGTH else f"{text[: _LABEL_LENGTH - 3]}..."


def _slice(taken: tuple[int, int, int], there: int) -> str:
    start, step, length = taken
    if (start, step, length) == (0, 1, there):
        return ":"
    stop = start + step * length
    return f"{start}:{stop if stop >= 0 else ''}{f':{step}' if step != 1 else ''}"
