"""Boundaries of ``sort_range`` divide rows as a comparison does, also where they are no values of the column's type."""

from __future__ import annotations

import datetime
import decimal
from fractions import Fraction

import pytest

import kask
from kask.shuffle import sort_range

np = pytest.importorskip("numpy")
pd = pytest.importorskip("pandas")
pa = pytest.importorskip("pyarrow")

D = decimal.Decimal
T = pd.Timestamp
NOON = T("1970-01-02 12:00")
DAYS = [datetime.date(1970, 1, day) for day in (1, 2, 3, 4)]
MOMENTS = [datetime.datetime(2024, 1, 1, 0, 0, second) for second in range(4)]
UTC = [moment.replace(tzinfo=datetime.UTC) for moment in MOMENTS]
FLOATS = [float(np.float32(number)) for number in (0.1, 0.7, 0.3, 1.0)]
HALF = datetime.datetime(2024, 1, 1, 0, 0, 1, 500_000)


def divided(values, kind, boundaries, **options):
    """The values of each output, of a table of pyarrow in two partitions."""
    table = pa.table({"k": pa.array(values, kind)})
    outputs = kask.compute(*sort_range([table[:2], table[2:]], "k", boundaries, **options))
    return [output["k"].to_pylist() for output in outputs]


@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize(
    ("values", "kind", "boundaries", "numbers"),
    [
        # Where the comparison of Python is not exact, or impossible, the last item has what compares as the boundaries do.
        ([1, 2, 3, 4], pa.int64(), [2.5], None),
        ([1, 2, 3, 4], pa.int8(), [1.5, 2, 3.5], None),
        ([-2, -1, 0, 1], pa.int32(), [-1.5, D("-0.5"), Fraction(1, 2)], None),
        ([1, 2, 3, 4], pa.int64(), [np.float64(2.5), np.int8(3), np.float32(3.5)], None),
        ([1, 2, 3, 4], pa.uint8(), [-1, 2, 1000], None),
        ([1, 2, 3, 4], pa.uint64(), [-np.inf, 2.5, np.inf], None),
        ([2**53, 2**53 + 1, 2**53 + 2, 0], pa.int64(), [float(2**53), 2**53 + 1], None),
        ([0.0, 2.0**53, 2.0**53 + 2, 1.5], pa.float64(), [2**53 + 1], None),
        (FLOATS, pa.float32(), [0.1, 0.3, 0.7, D("0.9")], None),
        ([0.5, 1.0, 2.0, 60000.0], pa.float16(), [0.7, 1e6], None),
        ([D("1.00"), D("1.01"), D("1.02"), D("-1.00")], pa.decimal128(5, 2), [-5, 1.005, D("1.015")], None),
        ([D("1.00"), D("1.01"), D("999.99"), D(0)], pa.decimal256(5, 2), [10**9], None),
        (DAYS, pa.date32(), [NOON], None),
        (DAYS, pa.date32(), [np.datetime64("1970-01-02T12"), datetime.date(1970, 1, 4)], None),
        (MOMENTS, pa.timestamp("s"), [T(HALF), datetime.datetime(2024, 1, 1, 0, 0, 3)], [HALF, MOMENTS[3]]),
        (MOMENTS, pa.timestamp("us"), [T("2024-01-01 00:00:02.000000001")], [MOMENTS[2].replace(microsecond=1)]),
        (MOMENTS, pa.timestamp("ms"), [np.datetime64("2024"), np.datetime64("2024-01-01T00:00:02")], [MOMENTS[0], MOMENTS[2]]),
        (UTC, pa.timestamp("s", "UTC"), [T(HALF, tz="UTC").tz_convert("Asia/Tokyo")], [HALF.replace(tzinfo=datetime.UTC)]),
        ([datetime.timedelta(n) for n in range(4)], pa.duration("s"), [pd.Timedelta("1.5D"), np.timedelta64(3, "D")], None),
        ([datetime.time(n) for n in range(4)], pa.time32("s"), [datetime.time(1, 30), datetime.time(2)], None),
        (["a", "b", "c", "d"], pa.string_view(), ["b", "bb"], None),
        ([b"a", b"b", b"c", b"d"], pa.binary_view(), [b"bb"], None),
        ([b"aa", b"bb", b"cc", b"dd"], pa.binary(2), [b"bb"], None),
        ([True, False, True, False], pa.bool_(), [np.True_], None),
    ],
)  # fmt: skip
def test_boundaries_are_compared_exactly(values, kind, boundaries, numbers, ascending):
    limits = boundaries if ascending else boundaries[::-1]
    outputs = divided(values, kind, limits, ascending=ascending)
    assert [value for output in outputs for value in output] == sorted(values, reverse=not ascending)
    numbers = boundaries if numbers is None else numbers
    # Whether a row is from a boundary on is what Python's exact comparison says.
    limits = [exact(limit) for limit in numbers]
    places = [
        sum((exact(value) >= limit) if ascending else (exact(value) <= limit) for limit in limits) for value in values
    ]
    for place, output in enumerate(outputs):
        assert sorted(output) == sorted(value for value, own in zip(values, places) if own == place)


def exact(value):
    """What Python compares exactly with its like."""
    if isinstance(value, pd.Timedelta):
        return value.to_pytimedelta()
    if isinstance(value, np.generic):
        value = value.item()
    is_date = isinstance(value, datetime.date) and not isinstance(value, datetime.datetime)
    return datetime.datetime.combine(value, datetime.time()) if is_date else value


def test_dates_between_dates_of_pandas():
    whole = pd.DataFrame({"k": pd.array(DAYS, dtype="date32[pyarrow]")})
    outputs = kask.compute(*sort_range([whole], "k", [NOON]))
    assert [output["k"].tolist() for output in outputs] == [DAYS[:2], DAYS[2:]]


@pytest.mark.parametrize("dtype", ["int64", "Int64", "float32", "int64[pyarrow]", "datetime64[s]", "timedelta64[ms]"])
def test_quantiles_are_boundaries(dtype):
    whole = pd.DataFrame({"k": pd.Series([5, 1, 8, 2, 9, 4], dtype=dtype)})
    limits = whole["k"].quantile([0.25, 0.5, 0.9])
    outputs = kask.compute(*sort_range([whole[:3], whole[3:]], "k", limits))
    pd.testing.assert_frame_equal(pd.concat(outputs), whole.sort_values("k"))
    for output, low, high in zip(outputs, [None, *limits], [*limits, None]):
        assert low is None or (output["k"] >= low).all()
        assert high is None or (output["k"] < high).all()


def test_the_last_of_several_columns_may_lie_between_values():
    table = pa.table({"a": [1, 1, 1, 2], "b": [1, 2, 3, 0]})
    outputs = kask.compute(*sort_range([table], ["a", "b"], [(1, 2.5)]))
    assert [output["b"].to_pylist() for output in outputs] == [[1, 2], [3, 0]]
    with pytest.raises(TypeError, match=r"column 'a': 1.5 lies between its values, .* last column may; round it"):
        kask.compute(*sort_range([table], ["a", "b"], [(1.5, 2)]))


def test_boundaries_beyond_the_type_with_missing_values_at_either_end():
    table = pa.table({"k": pa.array([1, None, 100], pa.int8())})
    low, middle, high = kask.compute(*sort_range([table], "k", [-1000, 1000]))
    assert (low.num_rows, middle["k"].to_pylist(), high["k"].to_pylist()) == (0, [1, 100], [None])
    with pytest.raises(TypeError, match="int8 of column 'k': 1000 lies beyond its last value; leave it out"):
        kask.compute(*sort_range([table], "k", [1000], na_position="first"))


def test_missing_values_are_boundaries():
    for nothing in (None, np.nan, pd.NA, pd.NaT, np.datetime64("NaT")):
        assert divided([2, None, 1], pa.int64(), [nothing]) == [[1, 2], [None]]
    assert divided([None, None], pa.null(), [1, "a", None]) == [[], [], [], [None, None]]


@pytest.mark.parametrize(
    ("kind", "boundary", "message"),
    [
        (pa.int64(), "a", "'a' is of str; give values that compare with it"),
        (pa.int64(), T("2024"), "is of Timestamp"),
        (pa.int64(), 1j, "is of complex"),
        (pa.string(), b"a", "is of bytes"),
        (pa.binary(), "a", "is of str"),
        (pa.binary(2), b"abc", "does not fit"),
        (pa.bool_(), 2, "does not fit"),
        (pa.timestamp("ns", "UTC"), T("2024"), "has no time zone, unlike the column"),
        (pa.timestamp("ns", "UTC"), np.datetime64("2024"), "has no time zone, unlike the column"),
        (pa.timestamp("ns"), T("2024", tz="UTC"), "has a time zone, unlike the column"),
        (pa.date32(), T("2024", tz="UTC"), "has a time zone, unlike the column"),
        (pa.timestamp("ns"), 5, "is of int"),
        (pa.time64("us"), T("2024"), "is of Timestamp"),
        (pa.duration("s"), 5, "is of int"),
    ],
)
def test_boundaries_that_do_not_compare(kind, boundary, message):
    table = pa.table({"k": pa.array([None], kind)})
    with pytest.raises(TypeError, match=f"boundaries= cannot be of the type .* of column 'k': .*{message}"):
        kask.compute(*sort_range([table], "k", [boundary]))


@pytest.mark.parametrize(
    "column",
    [
        pa.array([1.5, 0.5], pa.float16()),
        pa.array(["b", "a"], pa.string_view()),
        pa.array([b"b", b"a"], pa.binary_view()),
        pa.array(["b", "a"]).dictionary_encode(),
        pa.array([D("1.5"), D("0.5")], pa.decimal32(5, 2)),
        pa.array([1, 0], pa.duration("s")),
    ],
)
def test_types_to_sort_by(column):
    table = pa.table({"k": column, "n": [1, 0]})
    for by in (["k"], ["k", "n"]):
        (output,) = kask.compute(*sort_range([table], by, []))
        assert output["n"].to_pylist() == [0, 1]
        assert output.schema == table.schema


def test_rows_that_pyarrow_cannot_sort():
    table = pa.table({"k": [2, 1], "v": pa.array([["a"], ["b"]], pa.list_(pa.string_view()))})
    with pytest.raises(TypeError, match=r"column 'v' has the type list<item: string_view>, which pyarrow cannot sort"):
        kask.compute(*sort_range([table], "k", []))


def test_tables_of_polars_are_sorted():
    pl = pytest.importorskip("polars")
    enum = pl.Enum(["z", "y"])
    table = pl.DataFrame({"k": ["b", None, "a", "c"], "v": [["x"], None, [], ["y"]], "e": ["z", "y", None, "y"]})
    table = table.with_columns(pl.col("e").cast(enum), c=pl.col("k").cast(pl.Categorical))
    for by in ("k", "c"):
        outputs = kask.compute(*sort_range([table[:2], table[2:]], by, ["aa", "c"]))
        assert [output["k"].to_list() for output in outputs] == [["a"], ["b"], ["c", None]]
        assert all(output.schema == table.schema for output in outputs)
        assert pl.concat(outputs).equals(table.sort("k", nulls_last=True))


@pytest.mark.parametrize(
    "column",
    [
        pa.array([[1]]),
        pa.array([{"a": 1}]),
        pa.UnionArray.from_dense(pa.array([0], pa.int8()), pa.array([0], pa.int32()), [pa.array([1])]),
        pa.array([None], pa.month_day_nano_interval()),
        pa.array([b"0123456789abcdef"], pa.uuid()),
    ],
)
def test_types_that_have_no_order(column):
    with pytest.raises(
        TypeError, match=r"column 'k' has the type .*, which cannot be a key to sort by; use a column of"
    ):
        kask.compute(*sort_range([pa.table({"k": column})], "k", []))
