"""Shuffles: tables whose rows move to other partitions, and arrays whose chunks become others.

The functions here take lists of :class:`~kask.delayed.Delayed` partitions and return new ones. They describe one ``Shuffle`` layer: a
task for each input that splits it, tasks that merge what belongs together, and a task for each output. Pieces go from
worker to worker; a merge fetches no more of a split than it needs. What does not fit in memory is spilled, and what a lost
worker held is made again.

Tables may be of pandas, pyarrow or Polars; they travel as Arrow, and the outputs are what the inputs were, with the same types and
labels. (Any other table with ``__arrow_c_stream__`` becomes one of pyarrow.) Rows of an output are in the order of the inputs,
whoever ran what. Python objects in data frames of pandas are pickled one by one.

The partitions of a table must be of the same types, but for two things. A column that has nothing but None (of the dtype object, or of
Arrow's type null) takes the type that it has in other partitions. Categoricals get the categories of all partitions, in the order
in which they first appear, as ``pandas.api.types.union_categoricals`` has them; those of ordered ones must be the same.
"""

from __future__ import annotations

import math
import operator
import pickle
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from kask import engine
from kask.annotations import current_options, unsized_options
from kask.delayed import Delayed, delayed
from kask.engine import Chunks, Hole, Layers, Node, merge_groups
from kask.shuffle_tables import Described, SplitByRange, SplitTable, TakeTable, merge_tables
from kask.tokens import normalize

__all__ = ["rechunk", "shuffle", "sort_range"]


def shuffle(tables: Iterable[Any], on: str | Sequence[str], npartitions: int | None = None) -> list[Delayed]:
    """Move rows so that equal keys meet in one partition.

    A key's partition depends on its value alone: not on how many inputs there are, not on the machine, and not on how the
    value is stored (``1``, ``1.0`` and a categorical ``1`` go together). Missing values go together as well.

    Parameters
    ----------
    tables : iterable of Delayed
        The partitions. Values that are not lazy are taken as they are.
    on : str or sequence of str
        The columns that make a key: numbers, strings, binary data, booleans, dates, times, or categoricals of these.
    npartitions : int, optional
        How many partitions to make; as many as there are ``tables`` if nothing is said.

    Returns
    -------
    list of Delayed
        The new partitions, ``npartitions`` of them; some may be empty. Rows are in the order of ``tables``, and indexes of pandas stay with
        their rows (a ``RangeIndex`` becomes an index of its numbers).

    Raises
    ------
    ValueError
        No tables, no columns, or fewer than one partition. When computed: partitions whose columns differ.
    KeyError
        When computed: a column that a table does not have.
    TypeError
        When computed: a column of a type that cannot be a key, or of different types in different partitions; partitions that are no
        tables, such as Series, or are subclasses of pandas' data frames.

    Notes
    -----
    Rows are hashed and split by column-wise kernels in Rust, as described in ``crates/kask-kernels/src/hash.rs``.

    Examples
    --------
    >>> import kask, pyarrow as pa
    >>> tables = [pa.table({"k": ["a", "b"], "n": [1, 2]}), pa.table({"k": ["b", "a"], "n": [3, 4]})]
    >>> outputs = kask.compute(*kask.shuffle.shuffle(tables, on="k", npartitions=5))
    >>> sorted((output["k"].to_pylist(), output["n"].to_pylist()) for output in outputs if output.num_rows)
    [(['a', 'a'], [1, 4]), (['b', 'b'], [2, 3])]
    """
    inputs = _inputs(tables, "tables")
    outputs = len(inputs) if npartitions is None else _count(npartitions)
    split = SplitTable(_names(on, "on"), outputs, merge_groups(outputs))
    return _shuffled("shuffle", inputs, [len(inputs)], [outputs], split, merge_tables, TakeTable())


def sort_range(
    tables: Iterable[Any],
    by: str | Sequence[str],
    boundaries: Sequence[Any],
    *,
    ascending: bool | Sequence[bool] = True,
    na_position: str = "last",
) -> list[Delayed]:
    """Sort tables into partitions that are divided at given boundaries.

    Concatenated, the new partitions are the whole, sorted: stable, as a stable sort of pandas does it.

    Parameters
    ----------
    tables : iterable of Delayed
        The partitions. Values that are not lazy are taken as they are.
    by : str or sequence of str
        The columns to sort by, the most significant first.
    boundaries : sequence
        Where partitions begin, in the order of the result: partition ``i`` has the rows from ``boundaries[i - 1]`` on and before
        ``boundaries[i]``. With several columns each is a tuple of one value for each column. They are compared exactly, and need not be
        values of the column's type: 2.5 divides integers between 2 and 3, a noon dates. (Of a tuple only the last may be no value of its
        column's type.)
    ascending : bool or sequence of bool
        Whether to sort from the smallest to the largest, for all columns or for each.
    na_position : {"last", "first"}
        Where missing values and NaN go.

    Returns
    -------
    list of Delayed
        One partition more than there are boundaries; some may be empty. Indexes of pandas stay with their rows (a ``RangeIndex``
        becomes an index of its numbers).

    Raises
    ------
    ValueError
        No tables, no columns, or arguments that do not fit each other. When computed: boundaries that are not sorted.
    KeyError
        When computed: a column that a table does not have.
    TypeError
        When computed: a column of a type that cannot be sorted by, or boundaries that cannot be compared with it, such as moments with a
        time zone with those of a column without; and whatever :func:`shuffle` refuses.

    Notes
    -----
    Categoricals are sorted by the values of their categories, as Arrow does it; pandas sorts by the order of the categories.

    Examples
    --------
    >>> import kask, pyarrow as pa
    >>> tables = [pa.table({"n": [5, 1, 9]}), pa.table({"n": [7, 2]})]
    >>> low, high = kask.compute(*kask.shuffle.sort_range(tables, by="n", boundaries=[5]))
    >>> low["n"].to_pylist(), high["n"].to_pylist()
    ([1, 2], [5, 7, 9])
    """
    inputs = _inputs(tables, "tables")
    names = _names(by, "by")
    if na_position not in ("last", "first"):
        raise ValueError(f"na_position= must be 'last' or 'first', got {na_position!r}")
    directions = [ascending] * len(names) if isinstance(ascending, bool) else [bool(one) for one in ascending]
    if len(directions) != len(names):
        raise ValueError(f"ascending= has {len(directions)} values for {len(names)} columns in by=")
    rows = [row if len(names) > 1 else (row,) for row in boundaries]
    for row in rows:
        if not isinstance(row, tuple | list) or len(row) != len(names):
            raise ValueError(
                f"with {len(names)} columns in by= each boundary is a tuple of as many values, got {row!r}"
            )
    keys = [(name, not up, na_position == "first") for name, up in zip(names, directions)]
    outputs = len(rows) + 1
    split = SplitByRange(keys, [tuple(row) for row in rows], outputs, merge_groups(outputs))
    return _shuffled("sort_range", inputs, [len(inputs)], [outputs], split, merge_tables, TakeTable(keys))


def rechunk(
    blocks: Iterable[Any], chunks_in: Sequence[Sequence[int]], chunks_out: Sequence[Sequence[int]]
) -> list[Delayed]:
    """Cut an array into other blocks.

    Parameters
    ----------
    blocks : iterable of Delayed
        The blocks, NumPy arrays of one type, in C order of their positions. Values that are not lazy are taken as they are.
    chunks_in : sequence of sequences of int
        For each axis, how many elements the blocks have along it: ``((3, 3), (4,))`` are two blocks of shape (3, 4).
    chunks_out : sequence of sequences of int
        The same for the new blocks.

    Returns
    -------
    list of Delayed
        The new blocks, in C order of their positions; each is in C order in memory.

    Raises
    ------
    ValueError
        Chunks that are not of the same array, or another number of blocks. When computed: a block of another shape than its chunks say.
    TypeError
        Chunks that are not whole numbers. When computed: blocks of Python objects, which have no bytes to move, masked arrays, or blocks
        of different types.

    Examples
    --------
    >>> import kask, numpy as np
    >>> rows = [np.arange(4).reshape(1, 4), np.arange(4, 8).reshape(1, 4)]
    >>> left, right = kask.compute(*kask.shuffle.rechunk(rows, ((1, 1), (4,)), ((2,), (2, 2))))
    >>> left.tolist(), right.tolist()
    ([[0, 1], [4, 5]], [[2, 3], [6, 7]])
    """
    inputs = _inputs(blocks, "blocks")
    old, new = _chunks(chunks_in, "chunks_in"), _chunks(chunks_out, "chunks_out")
    if [sum(sizes) for sizes in old] != [sum(sizes) for sizes in new]:
        shapes = [tuple(sum(sizes) for sizes in chunks) for chunks in (old, new)]
        raise ValueError(f"chunks_in= are of an array of shape {shapes[0]}, chunks_out= of one of shape {shapes[1]}")
    grid, outputs = [len(sizes) for sizes in old], [len(sizes) for sizes in new]
    if math.prod(grid) != len(inputs):
        raise ValueError(f"chunks_in= describe {math.prod(grid)} blocks, {len(inputs)} were given")
    groups = merge_groups(math.prod(outputs))
    split, merge = SplitBlock(Chunks(old), Chunks(new), groups), MergeBlocks(Chunks(new), groups)
    return _shuffled("rechunk", inputs, grid, outputs, split, merge, take_block)


# -- arguments


def _inputs(values: Iterable[Any], name: str) -> list[Any]:
    inputs = list(values)
    if not inputs:
        raise ValueError(f"{name}= is empty; a shuffle needs at least one partition")
    return inputs


def _names(names: str | Sequence[str], what: str) -> list[str]:
    found = [names] if isinstance(names, str) else list(names)
    if not found:
        raise ValueError(f"{what}= names no column")
    for name in found:
        if not isinstance(name, str):
            raise TypeError(f"{what}= must name columns by text, got {name!r}")
    return found


def _count(npartitions: Any) -> int:
    try:
        count = 0 if isinstance(npartitions, bool) else operator.index(npartitions)
    except TypeError:
        count = 0
    if count < 1:
        raise ValueError(f"npartitions= must be a number of partitions (1 or more), got {npartitions!r}")
    return count


def _chunks(chunks: Sequence[Sequence[int]], what: str) -> tuple[tuple[int, ...], ...]:
    try:
        found = tuple(tuple(operator.index(size) for size in sizes) for sizes in chunks)
    except TypeError as error:
        raise TypeError(
            f"{what}= must have a sequence of whole numbers for each axis, such as ((2, 2), (3,)), got {chunks!r}"
        ) from error
    for axis, sizes in enumerate(found):
        if not sizes or min(sizes) < 0:
            raise ValueError(
                f"{what}= must have at least one size (0 or more) for each axis, got {sizes} for axis {axis}"
            )
    return found


# -- the graph


def _shuffled(
    prefix: str, inputs: list[Any], grid: list[int], outputs: list[int], split: Any, merge: Any, take: Any
) -> list[Delayed]:
    lowered = [(value if isinstance(value, Delayed) else delayed(value, traverse=False))._lowered() for value in inputs]
    identity = (prefix, [task.key for task in lowered], grid, outputs, split, merge, take)
    token = engine.tokenize(normalize, False, identity, {})
    # The layer reads its inputs by their position, so each gets the key of a block of a layer of its own.
    reads = f"{prefix}-input-{engine.tokenize(normalize, False, (token, 'input'), {})}"
    family = f"{prefix}-input"
    # What is said about sizes is meant of the outputs.
    blocks = [
        Node(None, (task,), {}, f"{family}-{engine.block_key(reads, place)}", family, unsized_options())
        for place, task in enumerate(lowered)
    ]
    name = f"{prefix}-{token}"
    layers = Layers(_ShuffleLayer(name, reads, grid, outputs, merge_groups(math.prod(outputs)), split, merge, take))
    # One node that has all inputs, and one for each output that has only that: as many references as inputs and outputs.
    all_inputs = Node(layers, (blocks,), {}, f"{prefix}-all-{reads[-32:]}", f"{prefix}-all", current_options())
    return [
        Delayed(Node(layers, (all_inputs,), {}, f"{prefix}-{engine.block_key(name, place)}", prefix, current_options()))
        for place in range(math.prod(outputs))
    ]


class _ShuffleLayer(Described):
    def __init__(
        self,
        name: str,
        reads: str,
        grid: list[int],
        outputs: list[int],
        groups: int,
        split: Callable[..., Any],
        merge: Callable[..., Any],
        take: Callable[..., Any],
    ) -> None:
        self.name, self.reads, self.grid, self.outputs, self.groups = name, reads, grid, outputs, groups
        self.split, self.merge, self.take = split, merge, take

    def __call__(self, builder: engine.GraphBuilder, options: engine.Options | None) -> None:
        template = (Hole(0), Hole(1))
        builder.add_shuffle(
            self.name,
            self.split,
            self.merge,
            self.take,
            template,
            template,
            template,
            self.reads,
            self.grid,
            self.outputs,
            self.groups,
            wants_position=True,
            options=options,
        )


# -- tasks: blocks


class SplitBlock(Described):
    """Takes a block of an array apart into parts for groups of the blocks of another chunking."""

    def __init__(self, old: Chunks, new: Chunks, groups: int) -> None:
        self.old, self.new, self.groups = old, new, groups

    def __call__(self, block: Any, position: tuple[int, ...]) -> engine.Parts:
        import numpy

        if isinstance(block, numpy.ma.MaskedArray):
            raise TypeError(
                f"block {position} is a masked array, whose mask would be lost; rechunk its data and its mask one by one"
            )
        block = numpy.asarray(block)
        shape = self.old.block_shape(position)
        if block.shape != shape:
            raise ValueError(f"chunks_in= say that block {position} has the shape {shape}, it has {block.shape}")
        if block.dtype.hasobject:
            raise TypeError(f"blocks of the type {block.dtype} hold Python objects, which cannot be rechunked")
        note = pickle.dumps(block.dtype, protocol=5)
        if not shape:
            return engine.split_block(_raw(block), [0], ((1,),), self.groups, note)
        return engine.split_block(_raw(block), list(self.old.block_start(position)), self.new, self.groups, note)


class MergeBlocks(Described):
    """Puts the parts of a group together: its blocks of the new chunking."""

    def __init__(self, new: Chunks, groups: int) -> None:
        self.new, self.groups = new, groups

    def __call__(self, parts: list[Any], position: tuple[int]) -> list[Any]:
        import numpy

        notes = {engine.block_note(part) for part in parts}
        if len(notes) > 1:
            kinds = ", ".join(sorted(str(pickle.loads(note)) for note in notes))
            raise TypeError(f"the blocks of an array must be of one type; these are of {kinds}")
        dtype = pickle.loads(notes.pop())
        merged = []
        for output, shape in enumerate(self._shapes(position[0])):
            block = numpy.empty(shape, dtype)
            engine.assemble_block(_raw(block), output, parts)
            merged.append(block)
        return merged

    def _shapes(self, group: int) -> Iterable[tuple[int, ...]]:
        size, larger = divmod(math.prod(self.new.grid), self.groups)
        first = group * size + min(group, larger)
        return self.new.block_shapes(first, size + (group < larger))


def take_block(outputs: list[Any], position: tuple[int]) -> Any:
    """One block of a merged group."""
    return outputs[position[0]]


def _raw(block: Any) -> Any:
    """The array as one of elements without a meaning (dates, for one, have no buffer of their own) and at least one axis."""
    import numpy

    if block.ndim == 0:
        block = block.reshape(1)
    return block.view(numpy.dtype((numpy.void, block.dtype.itemsize))) if block.dtype.itemsize else block
