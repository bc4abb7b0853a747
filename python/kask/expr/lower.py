"""From expressions to layers of tasks.

An expression whose blocks are each made by one call says so with a :class:`BlockCall`; such expressions are *fused* as far as
that saves tasks and memory: an expression joins the group of those who read it when all of them are in one group, and each block of
the group needs one block of it, always the same; where several need the same one, it has to be *light*, since it is made for each of them. A group becomes one layer that runs a :class:`~kask.expr.program.Program`. Every
other expression makes its layers itself, in a method ``lower(lowering)``.

Positions inside a group are those of its root. What a member's axis is there is a number: an axis of the root, or ``~i`` for
"always block i".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from kask import config, engine
from kask.annotations import overriding_options, sized_options, using
from kask.engine import Hole
from kask.expr.program import Position, Program, Step, Use
from kask.expr.rewrite import walk

__all__ = ["AT", "BlockCall", "Lowering", "Read"]


class Read(NamedTuple):
    """An argument of a block call: blocks of another expression, with an axis specification of ``GraphBuilder.add_blockwise`` for
    each of its axes. Where every axis is a number or ``("fixed", i)`` the argument is a block, otherwise a list of blocks."""

    expr: Any
    axes: tuple[Any, ...]

    @property
    def is_one(self) -> bool:
        """Whether it is one block."""
        return all(isinstance(axis, int) or axis[0] == "fixed" for axis in self.axes)


class _At:
    """An argument of a block call: the position of the block."""

    def __repr__(self) -> str:
        return "AT"


AT = _At()


class BlockCall(NamedTuple):
    """How each block of an expression is made: ``func(*args, **kwargs)``."""

    func: Callable[..., Any]
    #: :class:`Read`, ``AT``, or constants.
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any] = MappingProxyType({})


class _Group:
    """Expressions that are made together, block by block."""

    def __init__(self, root: Any) -> None:
        self.root = root
        self.members: list[tuple[Any, tuple[int, ...]]] = []


class Lowering:
    """Adds layers to a builder.

    Parameters
    ----------
    builder : GraphBuilder
        What they are added to. Layers of equal names are added once.
    fuse : bool
        Whether calls are made together, block by block.
    """

    def __init__(self, builder: engine.GraphBuilder, *, fuse: bool = True) -> None:
        self.builder = builder
        self._fuse = fuse

    def add(self, roots: Iterable[Any]) -> None:
        """Add the layers of these expressions and of all that they need."""
        roots = list(roots)
        order = walk(roots)
        wanted = {root.token for root in (roots if self._fuse else order)}
        groups = self._grouped(order, wanted)
        for expr in order:
            for group in groups.get(expr.token, ()):
                self._add_group(group)
            if expr.token not in groups and expr.block_call() is None:
                self._add_own(expr)

    def _add_own(self, expr: Any) -> None:
        """Add the layers that an expression makes itself."""
        expr.lower(self)

    def _grouped(self, order: list[Any], wanted: set[str]) -> dict[str, list[_Group]]:
        """Groups by the token of their root. Readers are looked at before what they read."""
        readers: dict[str, list[tuple[Any, Read]]] = {}
        places: dict[str, list[tuple[_Group, tuple[int, ...]]]] = {}
        roots: dict[str, list[_Group]] = {}
        for expr in reversed(order):
            call = expr.block_call()
            if call is None:
                for operand in expr.operands:
                    readers.setdefault(operand.token, []).append((None, Read(operand, ())))
                continue
            joined = () if expr.token in wanted else self._joined(expr, call, readers.get(expr.token, []), places)
            if not joined:
                group = _Group(expr)
                roots[expr.token] = [group]
                joined = ((group, tuple(range(len(expr.grid)))),)
            places[expr.token] = list(joined)
            for group, axes in joined:
                group.members.append((expr, axes))
            for arg in call.args:
                if isinstance(arg, Read):
                    readers.setdefault(arg.expr.token, []).append((expr, arg))
        return roots

    @staticmethod
    def _joined(
        expr: Any,
        call: BlockCall,
        readers: list[tuple[Any, Read]],
        places: dict[str, list[tuple[_Group, tuple[int, ...]]]],
    ) -> tuple[tuple[_Group, tuple[int, ...]], ...]:
        """The groups that an expression can be a member of, with its axes there; none if it has to be made by itself."""
        found: dict[int, tuple[_Group, tuple[int, ...]]] = {}
        for reader, read in readers:
            if reader is None or not read.is_one:
                return ()
            for group, axes in places[reader.token]:
                ours = tuple(
                    [~0 if blocks == 1 else _through(axis, axes) for axis, blocks in zip(read.axes, expr.grid)]
                )
                known = found.setdefault(id(group), (group, ours))
                if known[1] != ours:
                    return ()
                if not expr.is_light and _is_repeated(group.root.grid, ours):
                    return ()
        if len(found) > 1 and not expr.is_cheap:
            return ()
        # What is annotated otherwise runs elsewhere, or later.
        if any(group.root.options is not expr.options for group, _ in found.values()):
            if expr.options is not None or not expr.is_cheap:
                return ()
        for _, axes in found.values():
            for arg in call.args:
                if isinstance(arg, Read) and not all(_can_pass(axis, axes) for axis in arg.axes):
                    return ()
        return tuple(found.values())

    def _add_group(self, group: _Group) -> None:
        root = group.root
        inside = {expr.token: axes for expr, axes in group.members}
        inputs: dict[tuple[str, tuple[Any, ...]], int] = {}
        reads: list[tuple[str, list[int], list[Any]]] = []
        calls: list[tuple[Any, BlockCall, tuple[int, ...]]] = []
        # Members were found from the root down.
        for expr, axes in reversed(group.members):
            call = expr.block_call()
            calls.append((expr, call, axes))
            for arg in call.args:
                if isinstance(arg, Read) and arg.expr.token not in inside:
                    passed = tuple([_passed(axis, axes, blocks) for axis, blocks in zip(arg.axes, arg.expr.grid)])
                    if (arg.expr.token, passed) not in inputs:
                        inputs[arg.expr.token, passed] = len(reads)
                        reads.append((arg.expr.name, list(arg.expr.grid), list(passed)))
        values: dict[str, int] = {}
        steps: list[Step] = []
        wants_position = False
        for expr, call, axes in calls:
            args: list[Any] = []
            for arg in call.args:
                if arg is AT:
                    wants_position = True
                    args.append(Position(axes))
                elif not isinstance(arg, Read):
                    args.append(arg)
                elif arg.expr.token in inside:
                    args.append(Use(values[arg.expr.token]))
                else:
                    passed = tuple([_passed(axis, axes, blocks) for axis, blocks in zip(arg.axes, arg.expr.grid)])
                    args.append(Use(inputs[arg.expr.token, passed]))
            values[expr.token] = len(reads) + len(steps)
            steps.append(Step(call.func, tuple(args), dict(call.kwargs)))
        program = Program(len(reads), tuple(steps), wants_position, config.get("array.fused_kernels"))
        holes = tuple([Hole(i) for i in range(len(reads) + wants_position)])
        self.builder.add_blockwise(
            root.name,
            program,
            holes,
            list(root.grid),
            reads,
            wants_position=wants_position,
            options=self.options(root, _made_bytes(calls)),
        )

    def options(self, expr: Any, made_bytes: int = 0) -> engine.Options | None:
        """How the tasks of an expression's layer are run: as it was annotated, or as is said for all; ``made_bytes`` are needed at least, on
        the way to the result."""
        needed = made_bytes if made_bytes > expr.block_bytes else 0
        if expr.options is None:
            return overriding_options() or sized_options(needed, expr.block_bytes)
        with using(expr.options):
            return sized_options(needed, expr.block_bytes)


def _made_bytes(calls: list[tuple[Any, BlockCall, tuple[int, ...]]]) -> int:
    """The bytes of the largest block that a group's members make of nothing, or of several smaller ones: it is there while the task runs
    beside the task's inputs, and nobody else knows of it."""
    return max([expr.block_bytes for expr, call, _ in calls if not expr.is_cheap and _is_made(expr, call)], default=0)


def _is_made(expr: Any, call: BlockCall) -> bool:
    return all(not arg.is_one and arg.expr.block_bytes < expr.block_bytes for arg in call.args if isinstance(arg, Read))


def _is_repeated(grid: tuple[int, ...], axes: tuple[int, ...]) -> bool:
    """Whether several blocks of a grid need the same block of what has these axes there."""
    return any(blocks > 1 and axis not in axes for axis, blocks in enumerate(grid))


def _through(axis: Any, axes: tuple[int, ...]) -> int:
    """What is read along an axis, as an axis of the group's root."""
    return axes[axis] if isinstance(axis, int) else ~axis[1]


def _can_pass(axis: Any, axes: tuple[int, ...]) -> bool:
    """Whether an axis specification can be said in axes of the group's root."""
    return isinstance(axis, int) or axis == "all" or axis[0] == "fixed" or axes[axis[1]] >= 0


def _passed(axis: Any, axes: tuple[int, ...], blocks: int) -> Any:
    """An axis specification in axes of the group's root."""
    if isinstance(axis, int):
        through = axes[axis]
        return through if through >= 0 else ("fixed", ~through if blocks > 1 else 0)
    if axis == "all" or axis[0] == "fixed":
        return axis
    return (axis[0], axes[axis[1]], *axis[2:])
