"""Pickles of types that put their memory inside, and keep it outside here."""

from __future__ import annotations

import datetime
import decimal
import pickle

import pytest

from kask.pickles import dumps

pl = pytest.importorskip("polars")

SERIES = {
    "numbers": lambda: pl.Series("x", range(1000)),
    "nothing": lambda: pl.Series("x", [], dtype=pl.Float32),
    "texts": lambda: pl.Series("x", ["a", None, "a text that is longer than twelve bytes"] * 100),
    "categories": lambda: pl.Series("x", ["a", "b", None], dtype=pl.Categorical),
    "an enum": lambda: pl.Series("x", ["a", "b", None], dtype=pl.Enum(["b", "a"])),
    "dates": lambda: pl.Series("x", [datetime.date(2026, 1, 1), None]),
    "times": lambda: pl.Series("x", [datetime.datetime(2026, 1, 1)]).dt.replace_time_zone("Europe/Paris"),
    "decimals": lambda: pl.Series("x", [decimal.Decimal("1.10"), None]),
    "lists": lambda: pl.Series("x", [[1], [], None]),
    "records": lambda: pl.Series("x", [{"a": 1}, {"a": None}]),
    "wide integers": lambda: pl.Series("x", [1, 2], dtype=pl.Int128),
    "bytes": lambda: pl.Series("x", [b"", None, b"x"]),
    "booleans": lambda: pl.Series("x", [True, None]),
    "nulls": lambda: pl.Series("x", [None, None]),
}


def back(value):
    buffers = []
    data = dumps(value, protocol=5, buffer_callback=buffers.append)
    return pickle.loads(data, buffers=buffers), len(data), buffers


@pytest.mark.parametrize("kind", SERIES)
def test_what_comes_back_is_the_same(kind):
    series = SERIES[kind]()
    again, _, _ = back({"key": [series]})
    again = again["key"][0]
    assert (again.name, again.dtype) == ("x", series.dtype)
    assert again.equals(series, null_equal=True)
    frame = pl.DataFrame({"a": series, "b": series})
    again, _, _ = back(frame)
    assert again.schema == frame.schema
    assert again.equals(frame)


def test_large_memory_stays_outside_and_is_not_copied():
    frame = pl.DataFrame({"a": range(1_000_000), "s": ["a text that is longer than twelve bytes"] * 1_000_000})
    again, inside, buffers = back(frame)
    assert inside < 10_000
    assert sum(buffer.raw().nbytes for buffer in buffers) > 8_000_000
    assert again.equals(frame)
    numbers = [part["a"].to_numpy(allow_copy=False).__array_interface__["data"][0] for part in (frame, again)]
    assert numbers[0] == numbers[1]


def test_a_part_of_a_frame_without_rows():
    frame = pl.DataFrame({"a": range(10)}).filter(pl.col("a") > 10)
    again, _, _ = back(frame)
    assert again.equals(frame) and again.schema == frame.schema
