"""The tasks of a shuffle of tables: splitting one, merging parts, taking an output.

Tables of pandas, pyarrow and Polars travel as Arrow; the schema says what they were.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from kask import engine
from kask.shuffle_frames import frame_keys, from_frame, refuse_unless_one, to_frame
from kask.shuffle_keys import SortKey, boundary_table, sorted_order, taken

__all__ = ["Described", "SplitByRange", "SplitTable", "TakeTable", "merge_tables"]

# Under this name the schema of a part says what kind of table it was made of.
_KIND = b"kask.kind"


class Described:
    """Something made of a few plain values: equal ones have equal tokens."""

    def __kask_tokenize__(self) -> Any:
        return type(self).__qualname__, list(vars(self).values())


class SplitTable(Described):
    """Takes a table apart by the hashes of keys."""

    def __init__(self, names: list[str], outputs: int, groups: int) -> None:
        self.names, self.outputs, self.groups = names, outputs, groups

    def __call__(self, table: Any, position: tuple[int, ...]) -> engine.Parts:
        arrow = _to_arrow(table)
        keys = _keys(table, arrow, self.names)
        return engine.split_table(_stream(arrow), ("hash", self.names), self.outputs, self.groups, _stream(keys))


class SplitByRange(Described):
    """Takes a table apart at boundaries."""

    def __init__(self, keys: list[SortKey], rows: list[tuple], outputs: int, groups: int) -> None:
        self.keys, self.rows, self.outputs, self.groups = keys, rows, outputs, groups

    def __call__(self, table: Any, position: tuple[int, ...]) -> engine.Parts:
        arrow = _to_arrow(table)
        keys = _keys(table, arrow, [name for name, _, _ in self.keys])
        by = ("range", self.keys, boundary_table(keys, self.keys, self.rows))
        return engine.split_table(_stream(arrow), by, self.outputs, self.groups, _stream(keys))


def merge_tables(parts: list[Any], position: tuple[int, ...]) -> list[Any]:
    """The outputs of a group, still as Arrow."""
    return engine.merge_tables(parts)


class TakeTable(Described):
    """One output of a merged group; sorted, if there are keys."""

    def __init__(self, keys: list[SortKey] | None = None) -> None:
        self.keys = keys

    def __call__(self, outputs: list[Any], position: tuple[int]) -> Any:
        arrow = outputs[position[0]]
        table = _from_arrow(arrow)
        if self.keys is None:
            return table
        order = sorted_order(_keys(table, arrow, [name for name, _, _ in self.keys]), self.keys)
        if isinstance(table, type(arrow)):
            return taken(table, order)
        return table.iloc[order.to_numpy()] if _is_frame(table) else table[order.to_numpy()]


def _is_frame(table: Any) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and type(table) is pandas.DataFrame


def _to_arrow(table: Any) -> Any:
    """The table as one of pyarrow, which says what it was."""
    import pyarrow

    if isinstance(table, pyarrow.Table):
        return table
    kind = type(table).__module__.partition(".")[0]
    if _is_frame(table):
        arrow = from_frame(table)
    elif kind == "polars" and type(table).__name__ == "DataFrame":
        arrow = _from_polars(table)
    else:
        arrow = _from_other(table)
    return arrow.replace_schema_metadata({**(arrow.schema.metadata or {}), _KIND: kind.encode()})


def _from_other(table: Any) -> Any:
    """A table of another library, which comes back as one of pyarrow."""
    import pyarrow

    # Series have a stream as well, and subclasses of data frames a state of their own that would be lost.
    is_pandas = any(base.__module__.partition(".")[0] == "pandas" for base in type(table).__mro__)
    if hasattr(table, "__arrow_c_stream__") and not is_pandas:
        try:
            return pyarrow.table(table)
        except (pyarrow.ArrowException, TypeError):
            pass
    hint = "; make it one with to_frame()" if hasattr(table, "to_frame") else ""
    hint = "; give pandas.DataFrame() of it" if is_pandas and not hint else hint
    raise TypeError(f"a partition must be a table of pandas, pyarrow or Polars, got {type(table).__name__}{hint}")


def _from_polars(table: Any) -> Any:
    import polars
    import pyarrow

    def comes_back(part: Any) -> bool:
        try:
            return polars.DataFrame(pyarrow.table(part)).schema == part.schema
        except (pyarrow.ArrowException, polars.exceptions.PolarsError):
            return False

    for name in table.columns:
        if not comes_back(table[:0].select(name)):
            raise TypeError(
                f"column {name!r} has the type {table.schema[name]} of Polars, which Arrow does not have; cast it to another type first"
            )
    return pyarrow.table(table)


def _from_arrow(arrow: Any) -> Any:
    """The table as what its inputs were."""
    metadata = dict(arrow.schema.metadata or {})
    kind = metadata.pop(_KIND, b"pyarrow")
    table = arrow.replace_schema_metadata(metadata or None)
    if kind == b"pandas":
        return to_frame(table)
    if kind == b"polars":
        import polars

        return polars.from_arrow(table)
    return table


def _keys(table: Any, arrow: Any, names: Sequence[str]) -> Any:
    """The columns of these names as a table of Arrow, in which they can be compared."""
    names = list(dict.fromkeys(names))
    if _is_frame(table):
        return frame_keys(table, names)
    for name in names:
        refuse_unless_one(len(arrow.schema.get_all_field_indices(name)), name, arrow.schema.names)
    return arrow.select(names)


def _stream(table: Any) -> Any:
    """What the kernels read. The stream of a table without rows has no batches, and would lose the categories."""
    import pyarrow

    if table.num_rows:
        return table
    columns = [column.chunk(0) if column.num_chunks else pyarrow.array([], column.type) for column in table.columns]
    batch = pyarrow.RecordBatch.from_arrays(columns, schema=table.schema)
    return pyarrow.RecordBatchReader.from_batches(table.schema, [batch])
