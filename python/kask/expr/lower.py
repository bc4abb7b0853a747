"""From expressions to layers of tasks.

An expression whose blocks are each made by one call says so with a :class:`BlockCall`; such expressions are *fused* as far as
that saves tasks and memory: an expression joins the group of those who read it when all of them are in one group, and each block of
the group needs one block of it, always the same; where several need the same one, it has to be *light*, since it is made for each of them. A group becomes one layer that runs a :class:`~kask.expr.program.Program`. Every
other expression makes its layers itself, in a method ``lower(lowering)``.

An expression whose blocks are those of others, one after another along an axis, says so in ``joined``. Whoever makes blocks of it reads
the others' blocks, wherever it can; then it has no tasks of its own.

Positions inside a group are those of its root. What a member's axis is there is a number: an axis of the root, or ``~i`` for
"always block i".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import accumulate
from types import MappingProxyType
from typing import Any, NamedTuple

from kask import config, engine
from kask.annotations import overriding_options, sized_options, using
from kask.engine import Hole
from kask.expr.program import Position, Program, Step, Use
from kask.expr.rewrite import walk

__all__ = ["AT", "BlockCall", "Joined", "Lowering", "Read"]


class Read(NamedTuple):
    """An argument of a block call: blocks of another expression, with an axis specification of ``GraphBuilder.add_blockwise`` for
    each of its axes. Where every axis is a number or ``("fixed", i)`` the argument is a block, otherwise a list of blocks."""

    #: An expression, or :class:`Joined`.
    expr: Any
    axes: tuple[Any, ...]
    #: Another grid for the same blocks, which are numbered in C order.
    grid: tuple[int, ...] | None = None

    @property
    def blocks(self) -> tuple[int, ...]:
        """The grid that ``axes`` are about."""
        return self.expr.grid if self.grid is None else self.grid

    @property
    def is_one(self) -> bool:
        """Whether it is one block."""
        return all(isinstance(axis, int) or axis[0] == "fixed" for axis in self.axes)


class Joined:
    """Expressions that are cut alike but for one axis, one after another along it: a block call can read them as one.

    Parameters
    ----------
    axis : int
        The axis.
    exprs : tuple of expressions
        One at least; the same one may occur several times.
    """

    def __init__(self, axis: int, exprs: tuple[Any, ...]) -> None:
        self.axis, self.exprs = axis, exprs
        grid = exprs[0].grid
        self._ends = list(accumulate([expr.grid[axis] for expr in exprs]))
        #: Blocks along each axis.
        self.grid = (*grid[:axis], self._ends[-1], *grid[axis + 1 :])

    @property
    def block_bytes(self) -> int:
        """The most that a block takes."""
        return max([expr.block_bytes for expr in self.exprs])

    @property
    def source(self) -> tuple[int, list[str], list[int]]:
        """What a builder takes in place of the name of a layer."""
        return self.axis, [expr.name for expr in self.exprs], self._ends


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
        # Expressions that have no tasks, by token: what is read in their place.
        self._joined_reads: dict[str, Joined] = {}

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
        # An expression that makes its layers itself is there for what it reads wherever that is, or None if it needs layers to read.
        readers: dict[str, list[tuple[Any, Read | None]]] = {}
        places: dict[str, list[tuple[_Group, tuple[int, ...]]]] = {}
        roots: dict[str, list[_Group]] = {}
        for expr in reversed(order):
            if expr.token not in wanted and _is_read_as_parts(expr, readers.get(expr.token, ())):
                self._joined_reads[expr.token] = expr.joined
                for operand in expr.operands:
                    readers.setdefault(operand.token, []).append((None, Read(operand, ())))
                continue
            call = expr.block_call()
            if call is None:
                for operand in expr.operands:
                    entry = (expr, None) if expr.reads_joined else (None, Read(operand, ()))
                    readers.setdefault(operand.token, []).append(entry)
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
                if not isinstance(arg, Read):
                    continue
                if isinstance(arg.expr, Joined):
                    for part in arg.expr.exprs:
                        readers.setdefault(part.token, []).append((None, Read(part, ())))
                else:
                    readers.setdefault(arg.expr.token, []).append((expr, arg))
        return roots

    @staticmethod
    def _joined(
        expr: Any,
        call: BlockCall,
        readers: list[tuple[Any, Read | None]],
        places: dict[str, list[tuple[_Group, tuple[int, ...]]]],
    ) -> tuple[tuple[_Group, tuple[int, ...]], ...]:
        """The groups that an expression can be a member of, with its axes there; none if it has to be made by itself."""
        found: dict[int, tuple[_Group, tuple[int, ...]]] = {}
        for reader, read in readers:
            if reader is None or read is None or not read.is_one or read.grid is not None:
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
        inside = {expr.token for expr, _ in group.members}
        inputs = _Inputs(self._joined_reads)
        calls: list[tuple[Any, BlockCall, tuple[int, ...]]] = []
        # Members were found from the root down.
        for expr, axes in reversed(group.members):
            call = expr.block_call()
            calls.append((expr, call, axes))
            for arg in call.args:
                if isinstance(arg, Read) and not _is_inside(arg, inside):
                    inputs.place(arg, axes)
        reads = inputs.reads
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
                elif _is_inside(arg, inside):
                    args.append(Use(values[arg.expr.token]))
                else:
                    args.append(Use(inputs.place(arg, axes)))
            values[expr.token] = len(reads) + len(steps)
            steps.append(Step(call.func, tuple(args), dict(call.kwargs)))
        program = Program(len(reads), tuple(steps), wants_position, config.get("array.fused_kernels"))
        holes = tuple([Hole(i) for i in range(len(reads) + wants_position)])
        made_bytes, made = _made(program, [expr for expr, _, _ in calls])
        self.builder.add_blockwise(
            root.name,
            program,
            holes,
            list(root.grid),
            reads,
            wants_position=wants_position,
            options=self.options(root, made_bytes),
            made=made,
        )

    def source(self, expr: Any) -> Any:
        """What an expression that ``reads_joined`` tells a builder to read an operand: its layer, or those that its blocks come from."""
        joined = self._joined_reads.get(expr.token)
        return expr.name if joined is None else joined.source

    def options(self, expr: Any, made_bytes: int = 0) -> engine.Options | None:
        """How the tasks of an expression's layer are run: as it was annotated, or as is said for all; ``made_bytes`` are needed at least, on
        the way to the result."""
        needed = made_bytes if made_bytes > expr.block_bytes else 0
        if expr.options is None:
            return overriding_options() or sized_options(needed, expr.block_bytes)
        with using(expr.options):
            return sized_options(needed, expr.block_bytes)


def _made(program: Program, members: list[Any]) -> tuple[int, list[tuple[int, tuple[int, ...], str]]]:
    """The most bytes that a group's members take at once while the task runs, beside the task's inputs, which nobody else knows of;
    and for people the largest result, and the largest of the blocks that are made on the way."""
    sizes = [expr.block_bytes for expr in members]
    found = program.made(sizes, {at for at, expr in enumerate(members) if expr.is_view})
    largest = max(found.steps, key=sizes.__getitem__, default=len(members) - 1)
    told = [members[-1]] if sizes[largest] <= sizes[-1] else [members[-1], members[largest]]
    return found.peak_bytes, [(expr.block_bytes, tuple(expr.chunks.largest), expr.label) for expr in told]


def _is_repeated(grid: tuple[int, ...], axes: tuple[int, ...]) -> bool:
    """Whether several blocks of a grid need the same block of what has these axes there."""
    return any(blocks > 1 and axis not in axes for axis, blocks in enumerate(grid))


class _Inputs:
    """What a group reads of other layers, each once."""

    def __init__(self, joined_reads: Mapping[str, Joined]) -> None:
        self._joined_reads = joined_reads
        self._places: dict[Any, int] = {}
        #: For the builder.
        self.reads: list[tuple[Any, list[int], list[Any]]] = []

    def place(self, read: Read, axes: tuple[int, ...]) -> int:
        """The number of an input, by what a member with these axes reads."""
        joined = read.expr if isinstance(read.expr, Joined) else self._joined_reads.get(read.expr.token)
        passed = tuple([_passed(axis, axes, blocks) for axis, blocks in zip(read.axes, read.blocks)])
        key = (id(joined) if joined is not None else read.expr.token, passed, read.grid)
        if key not in self._places:
            self._places[key] = len(self.reads)
            source = joined.source if joined is not None else read.expr.name
            self.reads.append((source, list(read.blocks), list(passed)))
        return self._places[key]


def _is_inside(read: Read, inside: set[str]) -> bool:
    return not isinstance(read.expr, Joined) and read.expr.token in inside


def _is_read_as_parts(expr: Any, readers: Iterable[tuple[Any, Read | None]]) -> bool:
    """Whether the blocks of an expression can be read where they come from by all who read them."""
    return expr.joined is not None and all(
        reader is not None and (read is None or read.grid is None) for reader, read in readers
    )


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
