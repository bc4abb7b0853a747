"""Graphs to be looked at: their layers and, one by one, their tasks. For ``visualize`` and ``x.dask``.

A :class:`Recorder` takes the place of the engine's builder and keeps what it is told. What a task reads is told when somebody asks for it, by the
same rules by which Rust expands layers (``crates/kask-graph/src``); looking at a graph costs as much as is looked at.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from kask import engine
from kask.engine import Layers, Node

__all__ = ["GraphView", "LayerView", "Recorder", "TaskView"]

#: A layer's name and the number of one of its tasks.
_Place = tuple[str, int]


class TaskView(NamedTuple):
    """One task."""

    key: str
    family: str
    inputs: list[str]


class LayerView(Mapping[str, TaskView]):
    """The tasks of a layer by key.

    Attributes
    ----------
    name : str
        What its keys begin with.
    kind : {"blockwise", "tree", "shuffle", "tasks"}
        How its tasks hang together.
    """

    kind = "tasks"

    def __init__(self, name: str, count: int) -> None:
        self.name, self.count = name, count
        self.graph: GraphView | None = None

    @property
    def family(self) -> str:
        """What its tasks are called."""
        return self.name.rpartition("-")[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """The grid by whose positions its first tasks are called."""
        return (self.count,)

    def reads(self) -> list[tuple[str, Sequence[int]]]:
        """Names and grids of the layers that it reads."""
        raise NotImplementedError

    def inputs_of(self, index: int) -> Iterator[_Place]:
        """What a task reads."""
        raise NotImplementedError

    def key_of(self, index: int) -> str:
        """The printed key of a task."""
        raise NotImplementedError

    def family_of(self, index: int) -> str:
        """The family of a task."""
        return self.family

    def task(self, index: int) -> TaskView:
        """A task by its number."""
        assert self.graph is not None, "a layer is looked at as a part of its graph"
        inputs = [self.graph.key_of(*place) for place in self.inputs_of(index)]
        return TaskView(self.key_of(index), self.family_of(index), inputs)

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[str]:
        return map(self.key_of, range(self.count))

    def __getitem__(self, key: str) -> TaskView:
        for index, name in enumerate(self):
            if name == key:
                return self.task(index)
        raise KeyError(key)

    def __repr__(self) -> str:
        return f"<layer {self.name}: {self.count:,} tasks>"


class _Source(NamedTuple):
    """The layers whose grids are read as one: one layer, or several one after another along an axis."""

    names: Sequence[str]
    grids: Sequence[tuple[int, ...]]
    axis: int
    #: Where each layer ends along the axis.
    ends: Sequence[int]

    @classmethod
    def of(cls, source: Any, grid: Sequence[int]) -> _Source:
        """From what a builder is told."""
        if isinstance(source, str):
            return cls([source], [tuple(grid)], 0, [])
        axis, names, ends = source
        counts = [end - before for before, end in zip([0, *ends], ends)]
        return cls(names, [(*grid[:axis], count, *grid[axis + 1 :]) for count in counts], axis, ends)

    def place(self, position: Sequence[int]) -> _Place:
        """The task at a position of the whole grid."""
        if not self.ends:
            return self.names[0], _number(self.grids[0], position)
        part = bisect.bisect_right(self.ends, position[self.axis])
        before = self.ends[part - 1] if part else 0
        inside = (*position[: self.axis], position[self.axis] - before, *position[self.axis + 1 :])
        return self.names[part], _number(self.grids[part], inside)


class _Blockwise(LayerView):
    kind = "blockwise"

    def __init__(self, name: str, grid: Sequence[int], inputs: Sequence[tuple[Any, Sequence[int], Any]]) -> None:
        super().__init__(name, math.prod(grid))
        self.grid = tuple(grid)
        self.inputs = [(_Source.of(source, theirs), tuple(theirs), tuple(axes)) for source, theirs, axes in inputs]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.grid

    def reads(self) -> list[tuple[str, Sequence[int]]]:
        return [part for source, _, _ in self.inputs for part in zip(source.names, source.grids)]

    def key_of(self, index: int) -> str:
        return _printed(self.name, _position(self.grid, index))

    def inputs_of(self, index: int) -> Iterator[_Place]:
        at = _position(self.grid, index)
        for source, grid, axes in self.inputs:
            along = [_blocks_along(axis, blocks, at) for axis, blocks in zip(axes, grid, strict=True)]
            for position in itertools.product(*along):
                yield source.place(position)


class _Tree(LayerView):
    """Results first, then level by level from the input on."""

    kind = "tree"

    def __init__(self, name: str, input: str, grid: Sequence[int], split_every: Mapping[int, int]) -> None:
        self.input = input
        self.splits = [max(2, split_every[axis]) if axis in split_every else 1 for axis in range(len(grid))]
        self.grids = [tuple(grid)]
        while True:
            next_grid = tuple(-(-blocks // split) for blocks, split in zip(self.grids[-1], self.splits))
            self.grids.append(next_grid)
            if not any(split > 1 and blocks > 1 for blocks, split in zip(next_grid, self.splits)):
                break
        sizes = [math.prod(level) for level in self.grids[1:]]
        self.starts = [0, *itertools.accumulate([sizes[-1], *sizes[:-1]])]
        super().__init__(name, sum(sizes))

    def reads(self) -> list[tuple[str, Sequence[int]]]:
        return [(self.input, self.grids[0])]

    def key_of(self, index: int) -> str:
        return _printed(self.name, (index,))

    def inputs_of(self, index: int) -> Iterator[_Place]:
        # The last level comes first.
        turn = bisect.bisect_right(self.starts, index) - 1
        level = turn - 1 if turn else len(self.grids) - 2
        at = _position(self.grids[level + 1], index - self.starts[turn])
        along = [
            range(place * split, min((place + 1) * split, blocks))
            for place, split, blocks in zip(at, self.splits, self.grids[level])
        ]
        for position in itertools.product(*along):
            number = _number(self.grids[level], position)
            yield (self.name, self.starts[level] + number) if level else (self.input, number)


class _Shuffle(LayerView):
    """Outputs, then merges of groups of them, then splits of the input's blocks."""

    kind = "shuffle"

    def __init__(
        self, name: str, input: str, grid: Sequence[int], outputs: Sequence[int], groups: int | Sequence[int]
    ) -> None:
        self.input, self.grid, self.outputs = input, tuple(grid), tuple(outputs)
        self.total = math.prod(outputs)
        if isinstance(groups, int):
            size, larger = divmod(self.total, groups) if groups else (0, 0)
            groups = [size + (group < larger) for group in range(groups)]
        self.ends = list(itertools.accumulate(groups))
        super().__init__(name, self.total + len(self.ends) + math.prod(grid))

    def reads(self) -> list[tuple[str, Sequence[int]]]:
        return [(self.input, self.grid)]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.outputs

    def _stage(self, index: int) -> tuple[str, int]:
        """Which stage a task is of, and its number there."""
        if index < self.total:
            return "", index
        index -= self.total
        return ("-merge", index) if index < len(self.ends) else ("-split", index - len(self.ends))

    def family_of(self, index: int) -> str:
        return self.family + self._stage(index)[0]

    def key_of(self, index: int) -> str:
        stage, number = self._stage(index)
        family, _, token = self.name.rpartition("-")
        grid = {"": self.outputs, "-merge": (len(self.ends),), "-split": self.grid}[stage]
        return _printed(f"{family}{stage}-{token}", _position(grid, number))

    def inputs_of(self, index: int) -> Iterator[_Place]:
        stage, number = self._stage(index)
        if stage == "-split":
            yield self.input, number
        elif stage == "-merge":
            first = self.total + len(self.ends)
            yield from ((self.name, split) for split in range(first, self.count))
        else:
            yield self.name, self.total + bisect.bisect_right(self.ends, number)


class _Tasks(LayerView):
    """Delayed calls of one family."""

    def __init__(self, name: str) -> None:
        super().__init__(name, 0)
        self.tasks: list[tuple[str, list[str]]] = []

    @property
    def family(self) -> str:
        return self.name

    def add(self, key: str, inputs: list[str]) -> int:
        """Add a call; its number."""
        self.tasks.append((key, inputs))
        self.count = len(self.tasks)
        return self.count - 1

    def reads(self) -> list[tuple[str, Sequence[int]]]:
        assert self.graph is not None, "a layer is looked at as a part of its graph"
        places = [self.graph.place_of(key) for _, inputs in self.tasks for key in inputs]
        return [(layer, ()) for layer, _ in places if layer != self.name and layer in self.graph.layers]

    def key_of(self, index: int) -> str:
        return self.tasks[index][0]

    def inputs_of(self, index: int) -> Iterator[_Place]:
        assert self.graph is not None, "a layer is looked at as a part of its graph"
        return map(self.graph.place_of, self.tasks[index][1])


class Recorder:
    """Takes the place of a ``GraphBuilder``: keeps what it is told, to be looked at."""

    def __init__(self) -> None:
        self.layers: dict[str, LayerView] = {}
        self.nodes: list[Node] = []

    def _add(self, layer: LayerView) -> None:
        self.layers.setdefault(layer.name, layer)

    def add_nodes(self, nodes: Sequence[Node]) -> None:
        """See ``GraphBuilder``."""
        self.nodes.extend(nodes)

    def add_blockwise(
        self, name: str, func: Any, template: Any, grid: Sequence[int], inputs: Sequence[Any], **_: Any
    ) -> None:
        """See ``GraphBuilder``."""
        self._add(_Blockwise(name, grid, inputs))

    def add_tree_reduce(
        self,
        name: str,
        combine: Any,
        aggregate: Any,
        template: Any,
        input: str,
        input_grid: Any,
        split_every: Any,
        **_: Any,
    ) -> None:
        """See ``GraphBuilder``."""
        self._add(_Tree(name, input, input_grid, split_every))

    def add_shuffle(self, name: str, *described: Any, **_: Any) -> None:
        """See ``GraphBuilder``; three functions and three templates come before the input."""
        input, input_grid, outputs, groups = described[6:10]
        self._add(_Shuffle(name, input, input_grid, outputs, groups))


class GraphView(Mapping[str, TaskView]):
    """A graph as a mapping from keys to tasks.

    Attributes
    ----------
    layers : dict of str to LayerView
        Layers by name; calls of ``kask.delayed`` are in a layer for each family.
    """

    def __init__(self, recorder: Recorder, outputs: Sequence[Any]) -> None:
        self.layers = dict(recorder.layers)
        self._outputs = [output if isinstance(output, str) else output.key for output in outputs]
        self._places: dict[str, _Place] = {}
        self._add_nodes(recorder.nodes)
        for layer in self.layers.values():
            layer.graph = self
        #: Of layers that are read.
        self._grids = {name: grid for layer in self.layers.values() for name, grid in layer.reads()}

    def _add_nodes(self, nodes: Sequence[Node]) -> None:
        if not nodes:
            return
        from kask.graphs import in_order

        ordered = {node.key: node for node in in_order(nodes)}
        # Nodes that stand for blocks of layers are no tasks.
        standing: dict[str, str] = {}
        for node in ordered.values():
            if type(node.func) is Layers:
                recorder = Recorder()
                node.func.add(cast(Any, recorder), node.options)
                for layer in recorder.layers.values():
                    self.layers.setdefault(layer.name, layer)
                standing[node.key] = node.family
        for key, family, inputs in engine.graph_of(list(nodes)):
            if key in standing:
                continue
            layer = self.layers.setdefault(family, _Tasks(family))
            assert isinstance(layer, _Tasks), "names of other layers end with digits"
            self._places[key] = family, layer.add(key, inputs)
        self._find_blocks(standing)

    def _find_blocks(self, standing: Mapping[str, str]) -> None:
        """Places of the blocks that nodes stand for: their keys are made of the layer's name and the block's number."""
        families = set(standing.values())
        for name, layer in self.layers.items():
            if layer.family in families and not isinstance(layer, _Tasks):
                for index in range(layer.count):
                    key = f"{layer.family}-{engine.block_key(name, index)}"
                    if key in standing:
                        self._places[key] = name, index

    def place_of(self, key: str) -> _Place:
        """Where the task of a printed key is; a key that is not of the graph is a layer of its own."""
        found = self._places.get(key)
        if found is not None:
            return found
        if key.startswith("('"):
            name, _, rest = key[2:].partition("'")
            position = tuple(int(part) for part in rest.rstrip(")").split(",") if part.strip())
            layer = self.layers.get(name)
            if layer is not None and len(position) == len(layer.shape):
                return name, _number(layer.shape, position)
        return key, 0

    def key_of(self, layer: str, index: int) -> str:
        """The printed key of a task that is read."""
        if layer in self.layers:
            return self.layers[layer].key_of(index)
        if layer not in self._grids or layer.startswith("('"):
            return layer
        # A block that a single task makes, or one that is there already.
        key = f"{layer.rpartition('-')[0]}-{engine.block_key(layer, index)}"
        return key if key in self._places else _printed(layer, _position(self._grids[layer], index))

    def needed(self, limit: int) -> list[TaskView] | None:
        """The tasks that run for the outputs, inputs before what reads them; None if they are more than ``limit``."""
        found: dict[str, TaskView] = {}
        stack: list[tuple[_Place, bool]] = [(self.place_of(key), False) for key in reversed(self._outputs)]
        while stack:
            (name, index), is_ready = stack.pop()
            layer = self.layers.get(name)
            if layer is None:
                name, index = self._places.get(self.key_of(name, index), (name, index))
                layer = self.layers.get(name)
            key = self.key_of(name, index)
            if key in found:
                continue
            if layer is None:
                found[key] = TaskView(key, name.removeprefix("('").rpartition("-")[0] or name, [])
            elif is_ready:
                found[key] = layer.task(index)
            else:
                stack.append(((name, index), True))
                stack.extend((place, False) for place in layer.inputs_of(index))
            if len(found) > limit or len(stack) > 50 * limit:
                return None
        return list(found.values())

    @property
    def dependencies(self) -> dict[str, set[str]]:
        """By the name of each layer, the names of those that it reads."""
        return {
            name: {self._home(read) for read, _ in layer.reads()} & {*self.layers}
            for name, layer in self.layers.items()
        }

    def _home(self, read: str) -> str:
        """The layer that a name that is read is of."""
        return read if read in self.layers else self._places.get(self.key_of(read, 0), (read, 0))[0]

    def keys(self) -> Any:
        """The keys of all tasks."""
        return [key for layer in self.layers.values() for key in layer]

    def __len__(self) -> int:
        return sum(layer.count for layer in self.layers.values())

    def __iter__(self) -> Iterator[str]:
        return itertools.chain.from_iterable(self.layers.values())

    def __getitem__(self, key: str) -> TaskView:
        name, index = self.place_of(key)
        layer = self.layers.get(name)
        if layer is None or index >= layer.count or layer.key_of(index) != key:
            for layer in self.layers.values():
                if isinstance(layer, _Shuffle) and key in layer:
                    return layer[key]
            raise KeyError(key)
        return layer.task(index)

    def visualize(
        self,
        filename: str | None = "mykask",
        format: str | None = None,
        engine: str | None = None,
        rankdir: str = "BT",
    ) -> Any:
        """Draw the layers, one box for each; keywords as for :func:`kask.visualize`."""
        from kask.drawing import draw

        dependencies = self.dependencies
        boxes = [
            (name, f"{layer.family} ({layer.count:,})", sorted(dependencies[name]))
            for name, layer in self.layers.items()
        ]
        return draw(boxes, filename=filename, format=format, engine=engine, rankdir=rankdir)

    def __repr__(self) -> str:
        lines = [f"graph of {len(self):,} tasks in {len(self.layers):,} layers"]
        lines += [f"  {name}: {layer.count:,} tasks ({layer.kind})" for name, layer in self.layers.items()]
        return "\n".join(lines)


def _printed(name: str, position: Sequence[int]) -> str:
    return f"('{name}'{''.join([f', {at}' for at in position])})"


def _position(grid: Sequence[int], index: int) -> tuple[int, ...]:
    found = []
    for blocks in reversed(grid):
        index, at = divmod(index, blocks)
        found.append(at)
    return tuple(reversed(found))


def _number(grid: Sequence[int], position: Sequence[int]) -> int:
    number = 0
    for blocks, at in zip(grid, position, strict=True):
        number = number * blocks + at
    return number


def _blocks_along(axis: Any, blocks: int, at: Sequence[int]) -> Sequence[int]:
    """The blocks along an axis of an input that the task at a position reads."""
    if isinstance(axis, int):
        return [0 if blocks == 1 else at[axis]]
    if axis == "all":
        return range(blocks)
    kind, *rest = axis
    if kind == "fixed":
        return [rest[0]]
    place = at[rest[0]]
    if kind == "window":
        _, before, after = rest
        return range(max(0, place - before), min(blocks - 1, place + after) + 1)
    if kind == "listed":
        _, listed, ends = rest
        return listed[ends[place - 1] if place else 0 : ends[place]]
    return _interval_blocks(rest[1], place)


def _interval_blocks(interval: Any, block: int) -> Sequence[int]:
    count = len(interval.pieces(block))
    if count == 0:
        return []
    input, output, start, step, before, _ = interval.__reduce__()[1]
    first = start + step * output.block_start((block,))[0]
    last = first + step * (output.block_shape((block,))[0] - 1)
    low = max(0, min(first, last) - before)
    # An element is in the first block that ends after it.
    first_block = bisect.bisect_right(list(itertools.accumulate(input.tuples()[0])), low)
    return range(first_block, first_block + count)
