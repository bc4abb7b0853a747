"""What tables are sorted by: key columns in order, and boundaries as values of the columns' types.

A boundary need not be a value of the column's type: a date has no noon, and integers have no 2.5. Then the next value of the type in
the order of the result stands for it, as no row lies between them. All comparisons are of exact fractions.
"""

from __future__ import annotations

import datetime
import decimal
import math
import operator
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

__all__ = ["boundary_table", "check_sortable", "sorted_order", "taken"]

#: A key to sort by: the column, whether downwards, and whether missing values come first.
SortKey = tuple[str, bool, bool]

_TICKS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9, "ps": 10**12, "fs": 10**15, "as": 10**18}
_SECONDS = {"m": 60, "h": 3600, "D": 86_400, "W": 7 * 86_400}
_EPOCH = datetime.datetime(1970, 1, 1)


def _value_type(kind: Any) -> Any:
    import pyarrow

    return kind.value_type if pyarrow.types.is_dictionary(kind) else kind


def check_sortable(keys: Any) -> None:
    """Raise TypeError for a column that has no order."""
    import pyarrow

    of = pyarrow.types
    texts = (of.is_string, of.is_large_string, of.is_string_view, of.is_binary, of.is_large_binary, of.is_binary_view)
    others = (of.is_boolean, of.is_integer, of.is_floating, of.is_decimal, of.is_fixed_size_binary, of.is_null)
    times = (of.is_date, of.is_time, of.is_timestamp, of.is_duration)
    for field in keys.schema:
        kind = _value_type(field.type)
        if isinstance(kind, pyarrow.BaseExtensionType) or not any(test(kind) for test in (*texts, *others, *times)):
            raise TypeError(
                f"column {field.name!r} has the type {field.type}, which cannot be a key to sort by; use a column of numbers, strings, "
                "binary data, booleans, dates or times"
            )


def sorted_order(keys: Any, by: Sequence[SortKey]) -> Any:
    """The places of the rows in sorted order, stable."""
    import pyarrow
    import pyarrow.compute

    check_sortable(keys)
    columns: list[Any] = []
    order: list[tuple[str, str]] = []
    for name, descending, nulls_first in by:
        column = _comparable(keys.column(name))
        if column.null_count:
            # Whether there is a value is a key of its own, so that missing ones go to their end for each column.
            order.append((f"key{len(columns)}", "ascending" if nulls_first else "descending"))
            columns.append(column.is_valid())
        order.append((f"key{len(columns)}", "descending" if descending else "ascending"))
        columns.append(column)
    table = pyarrow.table(columns, names=[f"key{place}" for place in range(len(columns))])
    return pyarrow.compute.sort_indices(table, sort_keys=order)


def _comparable(column: Any) -> Any:
    """The column as one of a type that pyarrow can sort by, with NaN as a missing value."""
    import pyarrow

    if pyarrow.types.is_dictionary(column.type):
        kind = _without_view(column.type.value_type)
        chunks = [chunk.dictionary.cast(kind).take(chunk.indices) for chunk in column.chunks]
        column = pyarrow.chunked_array(chunks, kind)
    kind = _without_view(column.type)
    if pyarrow.types.is_float16(kind):
        kind = pyarrow.float32()
    elif pyarrow.types.is_decimal32(kind) or pyarrow.types.is_decimal64(kind):
        kind = pyarrow.decimal128(kind.precision, kind.scale)
    column = column.cast(kind)
    if pyarrow.types.is_floating(column.type):
        nothing = pyarrow.scalar(None, column.type)
        column = pyarrow.compute.if_else(pyarrow.compute.is_nan(column), nothing, column)
    return column


def _without_view(kind: Any) -> Any:
    import pyarrow

    if pyarrow.types.is_string_view(kind):
        return pyarrow.large_string()
    return pyarrow.large_binary() if pyarrow.types.is_binary_view(kind) else kind


def taken(table: Any, order: Any) -> Any:
    """The rows of a table of pyarrow in this order."""
    import pyarrow

    columns = []
    for field, column in zip(table.schema, table.columns):
        plain = _without_view(field.type)
        try:
            columns.append(
                column.cast(plain).take(order).cast(field.type) if plain != field.type else column.take(order)
            )
        except pyarrow.ArrowNotImplementedError as error:
            raise TypeError(
                f"column {field.name!r} has the type {field.type}, which pyarrow cannot sort rows of; convert it to another type first"
            ) from error
    return pyarrow.Table.from_arrays(columns, schema=table.schema)


def boundary_table(keys: Any, by: Sequence[SortKey], rows: Sequence[tuple]) -> Any:
    """The boundaries as a table, of the types that the columns have."""
    import pyarrow

    check_sortable(keys)
    columns = []
    for place, key in enumerate(by):
        values = [row[place] for row in rows]
        columns.append(_limits(values, _value_type(keys.schema.field(key[0]).type), key, place == len(by) - 1))
    return pyarrow.table(columns, names=[f"key{place}" for place in range(len(by))])


def _limits(values: list[Any], kind: Any, key: SortKey, is_last: bool) -> Any:
    """The boundaries of a column as an array of its type."""
    import pyarrow

    name, descending, nulls_first = key
    values = [value.as_py() if isinstance(value, pyarrow.Scalar) else value for value in values]
    if pyarrow.types.is_null(kind):
        # Rows without a value differ from all that have one, whatever that is; other partitions will say more.
        numbers = [None if _is_missing(value) else place for place, value in enumerate(values)]
        return pyarrow.array([-n if n and descending else n for n in numbers], pyarrow.int64())
    limits = []
    for value in values:
        limit, is_exact = (None, True) if _is_missing(value) else _limit(value, kind, name, descending)
        if limit is None and not is_exact and nulls_first:
            raise TypeError(_cannot(kind, name, value, "lies beyond its last value; leave it out"))
        if not is_exact and not is_last:
            raise TypeError(
                _cannot(kind, name, value, "lies between its values, which only that of the last column may; round it")
            )
        limits.append(limit)
    if pyarrow.types.is_temporal(kind):
        return pyarrow.array(limits, pyarrow.int32() if kind.bit_width == 32 else pyarrow.int64()).view(kind)
    return pyarrow.array(limits, kind)


def _cannot(kind: Any, name: str, value: Any, reason: str) -> str:
    return f"boundaries= cannot be of the type {kind} of column {name!r}: {value!r} {reason}"


def _is_missing(value: Any) -> bool:
    try:
        return value is None or bool(value != value)
    except TypeError:
        # pandas.NA, which does not say whether it equals itself.
        return True


def _limit(value: Any, kind: Any, name: str, descending: bool) -> tuple[Any, bool]:
    """The first value of the type, in the order of the result, that does not come before ``value``, and whether they are equal.

    The value is None if all come before it. Times are numbers of their units.
    """
    import pyarrow

    of = pyarrow.types
    if of.is_floating(kind) or of.is_integer(kind) or of.is_decimal(kind):
        exact = _number(value)
    elif of.is_temporal(kind):
        exact = _seconds(value, kind, name)
    else:
        text = of.is_string(kind) or of.is_large_string(kind) or of.is_string_view(kind)
        if of.is_boolean(kind) or isinstance(value, str if text else bytes):
            try:
                return pyarrow.scalar(value, kind).as_py(), True
            except (pyarrow.ArrowException, ValueError) as error:
                raise TypeError(_cannot(kind, name, value, f"does not fit ({error})")) from error
        exact = None
    if exact is None:
        raise TypeError(_cannot(kind, name, value, f"is of {type(value).__name__}; give values that compare with it"))
    if of.is_floating(kind):
        return _float_limit(exact, kind, descending)
    per_unit, low, high = _integers(kind)
    scaled = exact * per_unit
    if math.isinf(scaled):
        number: Any = scaled
    else:
        number = math.floor(scaled) if descending else math.ceil(scaled)
    if number < low if descending else number > high:
        return None, False
    number = min(number, high) if descending else max(number, low)
    limit = decimal.Decimal(number).scaleb(-kind.scale, decimal.Context(prec=100)) if of.is_decimal(kind) else number
    return limit, number == scaled


def _integers(kind: Any) -> tuple[Fraction, int, int]:
    """How many steps of a type of equal steps there are to 1 (to a second), and its smallest and largest number of steps."""
    import pyarrow

    of = pyarrow.types
    if of.is_decimal(kind):
        most = 10**kind.precision - 1
        return Fraction(10) ** kind.scale, -most, most
    signed = not of.is_unsigned_integer(kind)
    high = 2 ** (kind.bit_width - signed) - 1
    per_unit = Fraction(1, 86_400) if of.is_date32(kind) else _TICKS["ms"] if of.is_date64(kind) else 1
    if of.is_timestamp(kind) or of.is_time(kind) or of.is_duration(kind):
        per_unit = _TICKS[kind.unit]
    return Fraction(per_unit), -high - 1 if signed else 0, high


def _float_limit(exact: Any, kind: Any, descending: bool) -> tuple[Any, bool]:
    import numpy

    with numpy.errstate(over="ignore"):
        try:
            near = kind.to_pandas_dtype()(float(exact))
        except OverflowError:
            near = kind.to_pandas_dtype()(math.inf if exact > 0 else -math.inf)
        candidates = [
            numpy.nextafter(near, -near.dtype.type(math.inf)),
            near,
            numpy.nextafter(near, near.dtype.type(math.inf)),
        ]
    if descending:
        limit = max(number for number in candidates if float(number) <= exact)
    else:
        limit = min(number for number in candidates if float(number) >= exact)
    return limit, float(limit) == exact


def _number(value: Any) -> Any:
    """A real number as a fraction, or an infinity; None for anything else."""
    try:
        return Fraction(operator.index(value))
    except TypeError:
        pass
    try:
        return Fraction(*value.as_integer_ratio())
    except AttributeError:
        return None
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def _seconds(value: Any, kind: Any, name: str) -> Fraction | None:
    """A time as seconds from its zero; None if it is none that can be compared with the type."""
    import pyarrow

    if pyarrow.types.is_duration(kind):
        value = value.to_timedelta64() if hasattr(value, "to_timedelta64") else value
        return _length(value) if isinstance(value, datetime.timedelta) else _numpy_seconds(value, "m")
    if pyarrow.types.is_time(kind):
        if not isinstance(value, datetime.time) or value.tzinfo is not None:
            return None
        return _length(datetime.datetime.combine(_EPOCH, value) - _EPOCH)
    zone = datetime.UTC if isinstance(value, datetime.datetime) and value.utcoffset() is not None else None
    naive = value.to_datetime64() if hasattr(value, "to_datetime64") else value
    seconds: Fraction | None
    if isinstance(naive, datetime.datetime):
        seconds = _length(naive - _EPOCH.replace(tzinfo=zone))
    elif isinstance(naive, datetime.date):
        seconds = _length(datetime.datetime.combine(naive, datetime.time()) - _EPOCH)
    else:
        seconds = _numpy_seconds(naive, "M")
    if seconds is not None and (zone is None) != (getattr(kind, "tz", None) is None):
        raise TypeError(_cannot(kind, name, value, f"has {'no' if zone is None else 'a'} time zone, unlike the column"))
    return seconds


def _length(length: datetime.timedelta) -> Fraction:
    return Fraction(length.days * 86_400 + length.seconds) + Fraction(length.microseconds, 10**6)


def _numpy_seconds(value: Any, character: str) -> Fraction | None:
    """A ``datetime64`` ("M") or ``timedelta64`` ("m") in seconds; None for anything else."""
    import numpy

    dtype = getattr(value, "dtype", None)
    if dtype is None or dtype.kind != character:
        return None
    if character == "M" and numpy.datetime_data(dtype)[0] in ("Y", "M"):
        value = value.astype("datetime64[D]")
    unit, count = numpy.datetime_data(value.dtype)
    ticks = int(value.astype(numpy.int64)) * count
    if unit in _SECONDS:
        return Fraction(ticks * _SECONDS[unit])
    return Fraction(ticks, _TICKS[unit]) if unit in _TICKS else None
