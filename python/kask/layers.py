"""Graphs to be looked at: their layers and, one by one, their tasks. For ``visualize`` and ``x.dask``.

Which tasks there are, and what each of them reads, is told by the engine when somebody asks for it, by the rules by which it makes the tasks
that it runs; looking at a graph costs as much as is looked at.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from kask.engine import Future, GraphBuilder, GraphTasks

__all__ = ["GraphView", "LayerView", "TaskView"]

#: How many keys are asked for at once.
_PAGE = 1000


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
    family : str
        What its tasks are called.
    shape : tuple of int
        The grid by whose positions its first tasks are called.
    """

    def __init__(
        self, tasks: GraphTasks, number: int, name: str, kind: str, family: str, shape: Sequence[int], count: int
    ) -> None:
        self._tasks, self._number, self._count = tasks, number, count
        self.name, self.kind, self.family, self.shape = name, kind, family, tuple(shape)

    def task(self, index: int) -> TaskView:
        """A task by its number."""
        return TaskView(*self._tasks.task(self._number, index))

    def reads(self) -> list[int]:
        """The numbers of the layers that it reads."""
        return self._tasks.reads(self._number)

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[str]:
        for start in range(0, self._count, _PAGE):
            yield from self._tasks.keys(self._number, start, _PAGE)

    def __getitem__(self, key: str) -> TaskView:
        found = self._tasks.find(key) if isinstance(key, str) else None
        if found is None or found[0] != self._number:
            raise KeyError(key)
        return TaskView(*found[1])

    def __repr__(self) -> str:
        return f"<layer {self.name}: {self._count:,} tasks>"


class GraphView(Mapping[str, TaskView]):
    """A graph as a mapping from keys to tasks.

    Parameters
    ----------
    builder : GraphBuilder
        What has its layers.
    outputs : sequence of str or Future
        What is wanted: printed keys, or futures of what is there already.

    Attributes
    ----------
    layers : dict of str to LayerView
        Layers by name; calls of ``kask.delayed`` are in a layer for each family.
    """

    def __init__(self, builder: GraphBuilder, outputs: Sequence[str | Future]) -> None:
        self._tasks = builder.tasks(outputs)
        views = [LayerView(self._tasks, number, *about) for number, about in enumerate(self._tasks.layers())]
        self._names = [layer.name for layer in views]
        self.layers = dict(zip(self._names, views))

    def needed(self, limit: int) -> list[TaskView] | None:
        """The tasks that run for the outputs, inputs before what reads them; None if they are more than ``limit``."""
        needed = self._tasks.needed(limit)
        return None if needed is None else list(itertools.starmap(TaskView, needed))

    @property
    def dependencies(self) -> dict[str, set[str]]:
        """By the name of each layer, the names of those that it reads."""
        return {name: {self._names[read] for read in layer.reads()} for name, layer in self.layers.items()}

    def keys(self) -> Any:
        """The keys of all tasks."""
        return [key for layer in self.layers.values() for key in layer]

    def __len__(self) -> int:
        return sum(map(len, self.layers.values()))

    def __iter__(self) -> Iterator[str]:
        return itertools.chain.from_iterable(self.layers.values())

    def __getitem__(self, key: str) -> TaskView:
        found = self._tasks.find(key) if isinstance(key, str) else None
        if found is None:
            raise KeyError(key)
        return TaskView(*found[1])

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
            (name, f"{layer.family} ({len(layer):,})", sorted(dependencies[name]))
            for name, layer in self.layers.items()
        ]
        return draw(boxes, filename=filename, format=format, engine=engine, rankdir=rankdir)

    def __repr__(self) -> str:
        lines = [f"graph of {len(self):,} tasks in {len(self.layers):,} layers"]
        lines += [f"  {name}: {len(layer):,} tasks ({layer.kind})" for name, layer in self.layers.items()]
        return "\n".join(lines)
