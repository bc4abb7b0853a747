"""Shuffles: tables whose rows move to other partitions, and arrays whose chunks become others.

The functions here take lists of :class:`~kask.delayed.Delayed` partitions and return new ones. They describe one ``Shuffle`` layer: a
task for each input that splits it, tasks that merge what belongs together, and a task for each output. Pieces go from
worker to worker; a merge fetches no more of a split than it needs. What does not fit in memory is spilled, and what a lost
worker held is made again.

Tables may be of pandas, pyarrow or Polars (anything with ``__arrow_c_stream__``); they travel as Arrow, and the outputs are what
the inputs were. Rows of an output are in the order of the inputs, whoever ran what.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from kask import engine
from kask.annotations import current_options, unsized_options
from kask.delayed import Delayed, delayed
from kask.engine import Chunks, Hole, Layers, Node, merge_groups
from kask.tokens import normalize

__all__ = ["rechunk", "shuffle", "sort_range"]

# Under this name the schema of a part says what kind of table it was made of.
_KIND = b"kask.kind"


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
        their rows.

    Raises
    ------
    ValueError
        No tables, no columns, or fewer than one partition. When computed: partitions whose columns differ.
    KeyError
        When computed: a column that a table does not have.
    TypeError
        When computed: a column of a type that cannot be a key, or of different types in different partitions.

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
    by = ("hash", _names(on, "on"))
    split = _SplitTable(by, outputs, merge_groups(outputs))
    return _shuffled("shuffle", inputs, [len(inputs)], [outputs], split, _merge_tables, _TakeTable())


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
        ``boundaries[i]``. With several columns each is a tuple of one value for each column.
    ascending : bool or sequence of bool
        Whether to sort from the smallest to the largest, for all columns or for each.
    na_position : {"last", "first"}
        Where missing values and NaN go.

    Returns
    -------
    list of Delayed
        One partition more than there are boundaries; some may be empty. Indexes of pandas stay with their rows.

    Raises
    ------
    ValueError
        No tables, no columns, or arguments that do not fit each other. When computed: boundaries that are not sorted.
    KeyError
        When computed: a column that a table does not have.
    TypeError
        When computed: a column of a type that cannot be sorted by, or boundaries that are not of its type.

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
    split = _SplitByRange(keys, [tuple(row) for row in rows], outputs, merge_groups(outputs))
    return _shuffled("sort_range", inputs, [len(inputs)], [outputs], split, _merge_tables, _TakeTable(keys))


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
        When computed: blocks of Python objects, which have no bytes to move, or of different types.

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
    if isinstance(npartitions, bool) or not isinstance(npartitions, int) or npartitions < 1:
        raise ValueError(f"npartitions= must be a number of partitions (1 or more), got {npartitions!r}")
    return npartitions


def _chunks(chunks: Sequence[Sequence[int]], what: str) -> tuple[tuple[int, ...], ...]:
    found = tuple(tuple(int(size) for size in sizes) for sizes in chunks)
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


class _Described:
    """Something made of a few plain values: equal ones have equal tokens."""

    def __kask_tokenize__(self) -> Any:
        return type(self).__qualname__, list(vars(self).values())


class _ShuffleLayer(_Described):
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


# -- tasks: tables


def _to_arrow(table: Any) -> Any:
    """The table as one of pyarrow, and what it was."""
    import pyarrow

    if isinstance(table, pyarrow.Table):
        return table
    kind = type(table).__module__.partition(".")[0]
    if kind == "pandas":
        table = pyarrow.Table.from_pandas(table, preserve_index=True)
    elif hasattr(table, "__arrow_c_stream__"):
        table = pyarrow.table(table)
    else:
        raise TypeError(f"a partition must be a table of pandas, pyarrow or Polars, got {type(table).__name__}")
    return table.replace_schema_metadata({**(table.schema.metadata or {}), _KIND: kind.encode()})


def _stream(table: Any) -> Any:
    """What the kernels read. The stream of a table without rows has no batches, and would lose the categories."""
    import pyarrow

    if table.num_rows:
        return table
    columns = [column.chunk(0) if column.num_chunks else pyarrow.array([], column.type) for column in table.columns]
    batch = pyarrow.RecordBatch.from_arrays(columns, schema=table.schema)
    return pyarrow.RecordBatchReader.from_batches(table.schema, [batch])


def _from_arrow(table: Any) -> Any:
    """The table as what its inputs were."""
    metadata = dict(table.schema.metadata or {})
    kind = metadata.pop(_KIND, b"pyarrow")
    table = table.replace_schema_metadata(metadata or None)
    if kind == b"pandas":
        return table.to_pandas()
    if kind == b"polars":
        import polars

        return polars.from_arrow(table)
    return table


class _SplitTable(_Described):
    def __init__(self, by: tuple, outputs: int, groups: int) -> None:
        self.by, self.outputs, self.groups = by, outputs, groups

    def __call__(self, table: Any, position: tuple[int, ...]) -> engine.Parts:
        return engine.split_table(_stream(_to_arrow(table)), self.by, self.outputs, self.groups)


class _SplitByRange(_Described):
    def __init__(self, keys: list[tuple[str, bool, bool]], rows: list[tuple], outputs: int, groups: int) -> None:
        self.keys, self.rows, self.outputs, self.groups = keys, rows, outputs, groups

    def __call__(self, table: Any, position: tuple[int, ...]) -> engine.Parts:
        table = _to_arrow(table)
        by = ("range", self.keys, self._boundaries(table))
        return engine.split_table(_stream(table), by, self.outputs, self.groups)

    def _boundaries(self, table: Any) -> Any:
        """The boundaries as a table, of the types that the columns have."""
        import pyarrow

        columns = {}
        for place, (name, _, _) in enumerate(self.keys):
            if name not in table.schema.names:
                raise KeyError(
                    f"there is no column {name!r}; the table has the columns {', '.join(table.schema.names)}"
                )
            kind = table.schema.field(name).type
            if pyarrow.types.is_dictionary(kind):
                kind = kind.value_type
            if pyarrow.types.is_null(kind):
                # Nothing is known of the column here; other partitions will say more.
                kind = None
            values = [row[place] for row in self.rows]
            try:
                columns[name] = pyarrow.array(values, type=kind, from_pandas=True)
            except (pyarrow.ArrowInvalid, pyarrow.ArrowTypeError, OverflowError) as error:
                raise TypeError(f"boundaries= cannot be of the type {kind} of column {name!r}: {error}") from error
        return pyarrow.table(columns)


def _merge_tables(parts: list[Any], position: tuple[int, ...]) -> list[Any]:
    return engine.merge_tables(parts)


class _TakeTable(_Described):
    """One output of a merged group; sorted, if there are keys."""

    def __init__(self, keys: list[tuple[str, bool, bool]] | None = None) -> None:
        self.keys = keys

    def __call__(self, outputs: list[Any], position: tuple[int]) -> Any:
        output = outputs[position[0]]
        return _from_arrow(output if self.keys is None else _sorted(output, self.keys))


def _sorted(table: Any, keys: list[tuple[str, bool, bool]]) -> Any:
    import pyarrow
    import pyarrow.compute

    columns: list[Any] = []
    order: list[tuple[str, str]] = []
    for name, descending, nulls_first in keys:
        column = table.column(name)
        if pyarrow.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pyarrow.types.is_floating(column.type):
            # NaN counts as missing.
            nothing = pyarrow.scalar(None, column.type)
            column = pyarrow.compute.if_else(pyarrow.compute.is_nan(column), nothing, column)
        if column.null_count:
            # Whether there is a value is a key of its own, so that missing ones go to their end for each column.
            order.append((f"key{len(columns)}", "ascending" if nulls_first else "descending"))
            columns.append(column.is_valid())
        order.append((f"key{len(columns)}", "descending" if descending else "ascending"))
        columns.append(column)
    by = pyarrow.table(columns, names=[f"key{place}" for place in range(len(columns))])
    return table.take(pyarrow.compute.sort_indices(by, sort_keys=order))


# -- tasks: blocks


class SplitBlock(_Described):
    """Takes a block of an array apart into parts for groups of the blocks of another chunking."""

    def __init__(self, old: Chunks, new: Chunks, groups: int) -> None:
        self.old, self.new, self.groups = old, new, groups

    def __call__(self, block: Any, position: tuple[int, ...]) -> engine.Parts:
        import numpy

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


class MergeBlocks(_Described):
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
