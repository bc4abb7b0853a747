"""Shuffled data frames of pandas have the dtypes, labels and objects that the inputs had, whatever a partition happens to hold."""

from __future__ import annotations

import decimal

import pytest

import kask
from kask.shuffle import shuffle, sort_range

np = pytest.importorskip("numpy")
pd = pytest.importorskip("pandas")
pa = pytest.importorskip("pyarrow")


class Thing:
    """An object that Arrow knows nothing of, without a hash or an order."""

    def __init__(self, value):
        self.value = value

    def __eq__(self, other):
        return type(other) is Thing and other.value == self.value

    __hash__ = None

    def __repr__(self):
        return f"Thing({self.value!r})"


def of_arrow(values, kind):
    return pd.Series(values, dtype=pd.ArrowDtype(kind))


def objects(*values):
    series = pd.Series([None] * len(values), dtype=object)
    for place, value in enumerate(values):
        series.iat[place] = value
    return series


# In pieces of two, so that the first or the second partition has only some of the values.
COLUMNS = {
    "integers and None": objects(1, None, 2**53 + 1, 2**80),
    "None first": objects(None, None, 2**53 + 1, 1),
    "None last": objects(1, 2, None, None),
    "only None": objects(None, None, None, None),
    "booleans and None": objects(True, None, None, False),
    "text as objects": objects("a", None, "", "\x80"),
    "None, then text": objects(None, None, "a", "b"),
    "kinds of nothing": objects("a", np.nan, pd.NA, pd.NaT),
    "text, then others": objects("a", "b", b"\x80", 3),
    "half of a character": objects("\ud800", "a", "b", "c"),
    "lists": objects([], [], [1], ["a"]),
    "dicts": objects({"a": 1}, {}, {"b": [2]}, None),
    "things": objects(Thing(1), None, Thing({"a": 2}), 1j),
    "numbers": objects(np.float32(1), decimal.Decimal("1.50"), np.int8(1), True),
    "halves": pd.Series([1, np.nan, 0.5, 2], dtype="float16"),
    "small": pd.Series([1, 2, 3, 4], dtype="int8"),
    "large": pd.Series([1, 2, 3, 2**64 - 1], dtype="uint64"),
    "complex": pd.Series([1j, 2, 3, 4]),
    "seconds": pd.Series(["2024-01-01", None, None, "1066-10-14"], dtype="datetime64[s]"),
    "zone": pd.Series(pd.to_datetime(["2024", None, "2025", None]).tz_localize("Europe/Berlin")),
    "lengths": pd.Series(pd.to_timedelta([1, None, 3, None], "s")),
    "Int64": pd.Series([None, None, 3, 2**53 + 1], dtype="Int64"),
    "boolean": pd.Series([None, None, True, False], dtype="boolean"),
    "str": pd.Series([None, None, "a", "b"], dtype="str"),
    "string[python]": pd.Series([None, None, "a", "b"], dtype="string[python]"),
    "string[pyarrow]": pd.Series([None, None, "a", "b"], dtype="string[pyarrow]"),
    "arrow text": of_arrow(["a", None, None, None], pa.string()),
    "arrow large binary": of_arrow([b"a", None, b"\x80", None], pa.large_binary()),
    "arrow decimals": of_arrow([decimal.Decimal("1.50"), None, None, decimal.Decimal(2)], pa.decimal128(10, 2)),
    "arrow lists": of_arrow([[], [], [1], None], pa.list_(pa.int64())),
    "arrow structs": of_arrow([{"a": 1}, None, None, {"a": None}], pa.struct([("a", pa.int64())])),
    "arrow dictionary": of_arrow(["a", None, "b", "a"], pa.dictionary(pa.int8(), pa.string())),
    "arrow null": of_arrow([None] * 4, pa.null()),
    "periods": pd.Series(pd.period_range("2024", periods=4, freq="M")),
    "intervals": pd.Series(pd.interval_range(0, 4)),
    "sparse": pd.Series(pd.arrays.SparseArray([0, 1, 0, 2])),
    "category": pd.Series(pd.Categorical(["b", None, "a", "b"], categories=["c", "b", "a"])),
    "ordered": pd.Series(pd.Categorical([2, 1, 2, 3], categories=[3, 2, 1], ordered=True)),
    "bins": pd.cut(pd.Series([1, 5, 9, 3]), 3),
    "no categories": pd.Series(pd.Categorical([None] * 4)),
    "categories of objects": pd.Series(pd.Categorical(objects("a", 1, "a", 2))),
}


def described(values):
    return [(type(value), repr(value)) for value in values]


def check_same(found, expected):
    """Equal in everything, with objects of the same types in the same places."""
    if isinstance(expected.index, pd.MultiIndex):
        expected = expected.set_axis(expected.index.remove_unused_levels())
    pd.testing.assert_frame_equal(found, expected)
    assert [type(label) for label in found.columns] == [type(label) for label in expected.columns]
    for place in range(expected.shape[1]):
        one, other = found.iloc[:, place], expected.iloc[:, place]
        assert one.dtype == other.dtype
        if isinstance(other.dtype, np.dtype) and other.dtype.hasobject:
            assert described(one) == described(other)
    for level in range(expected.index.nlevels):
        assert found.index.get_level_values(level).dtype == expected.index.get_level_values(level).dtype


def check_shuffled(whole):
    """Every output has the types of the whole, and its rows."""
    parts = [whole.iloc[:2], whole.iloc[:0], whole.iloc[2:]]
    outputs = kask.compute(*shuffle(parts, on="key", npartitions=3))
    for output in outputs:
        check_same(output, whole[whole["key"].isin(output["key"])])
    assert sum(map(len, outputs)) == len(whole)
    low, high = kask.compute(*sort_range(parts, "key", [2]))
    check_same(low, whole[whole["key"] < 2].sort_values("key", kind="stable"))
    check_same(high, whole[whole["key"] >= 2].sort_values("key", kind="stable"))


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_keep_their_types_and_objects(name):
    values = COLUMNS[name]
    check_shuffled(pd.DataFrame({"key": [3, 1, 2, 1], "x": values}, index=[10, 20, 30, 40]))


@pytest.mark.parametrize(
    "name", ["integers and None", "text as objects", "zone", "string[python]", "periods", "intervals", "ordered"]
)
def test_indexes_keep_their_types_and_names(name):
    values = pd.Index(COLUMNS[name].array, name=("a", 1), dtype=COLUMNS[name].dtype)
    keys = {"key": [3, 1, 2, 1]}
    check_shuffled(pd.DataFrame(keys, index=values))
    check_shuffled(pd.DataFrame(keys, index=pd.MultiIndex.from_arrays([values, list("abcd")], names=[None, "level"])))


def test_frames_of_all_engines(client):
    whole = pd.DataFrame({"key": [3, 1, 2, 1], "x": COLUMNS["dicts"], "y": COLUMNS["bins"], "z": COLUMNS["periods"]})
    check_shuffled(whole.set_index(pd.Index([1, 2, 3, 4])))


@pytest.mark.parametrize(
    "columns",
    [
        pd.Index(["key", "i", 5], dtype=object),
        pd.Index(["key", "5", 5], dtype=object, name="labels"),
        pd.Index(["key", "twice", "twice"]),
        pd.Index(["key", None, ("a", 1)], dtype=object, tupleize_cols=False),
    ],
)
def test_labels_of_columns(columns):
    whole = pd.DataFrame([[3, 1.5, "a"], [1, 2.5, "b"], [2, 3.5, "c"], [1, 4.5, "d"]], index=list("wxyz"))
    check_shuffled(whole.set_axis(columns, axis=1))


def test_labels_of_several_levels():
    columns = pd.MultiIndex.from_tuples([("a", 1), ("a", 2)], names=["u", None])
    whole = pd.DataFrame([[1, 2], [3, 4]], columns=columns, index=pd.Index([5, 6], name="key"))
    for output in kask.compute(*shuffle([whole], on="key", npartitions=2)):
        check_same(output, whole.loc[output.index])
    with pytest.raises(KeyError, match=r"no column 'a'; the table has the columns \('a', 1\), \('a', 2\)"):
        kask.compute(*shuffle([whole], on="a"))


def test_outputs_can_be_written_to():
    (output,) = kask.compute(*shuffle([pd.DataFrame({"key": [1, 2], "x": [0.5, 1.5]})], on="key"))
    output.loc[0, "x"] = 7.0
    output["key"] += 1
    assert output.to_dict("list") == {"key": [2, 3], "x": [7.0, 1.5]}


def test_attributes_of_frames():
    whole = pd.DataFrame({"key": [1, 2]})
    whole.attrs["unit"] = "m"
    assert all(output.attrs == {"unit": "m"} for output in kask.compute(*shuffle([whole, whole], on="key")))


def places(values, npartitions=50):
    """Which partition each value goes to."""
    outputs = kask.compute(*shuffle([pd.DataFrame({"key": values})], on="key", npartitions=npartitions))
    return {row: place for place, output in enumerate(outputs) for row in output.index}


@pytest.mark.parametrize(
    ("values", "others"),
    [
        (objects(1, None, 2**53 + 1), pd.Series([1, None, 2**53 + 1], dtype="Int64")),
        (objects("a", np.nan, "b"), pd.Series(["a", None, "b"], dtype="str")),
        (objects(decimal.Decimal(1), None, decimal.Decimal("2.0")), pd.Series([1, None, 2.0])),
        (pd.Series(pd.Categorical(objects("a", None, "b"))), pd.Series(["a", None, "b"], dtype="str")),
    ],
)
def test_objects_go_where_their_values_go(values, others):
    assert places(values) == places(others)


def test_objects_of_several_types_are_keys_if_each_partition_has_one():
    parts = [pd.DataFrame({"key": objects(1, 2)}), pd.DataFrame({"key": objects(1.0, 2.5)})]
    outputs = kask.compute(*shuffle(parts, on="key", npartitions=50))
    found = sorted(output["key"].tolist() for output in outputs if len(output))
    assert [described(keys) for keys in found] == [described(keys) for keys in ([1, 1.0], [2], [2.5])]
    mixed = pd.DataFrame({"key": objects(1, "a")})
    with pytest.raises(TypeError, match=r"column 'key' of the type object cannot be a key: .*; convert it to one type"):
        kask.compute(*shuffle([mixed], on="key"))


def test_sorting_by_objects():
    whole = pd.DataFrame({"key": objects(3, None, 2**53 + 1, 1), "x": objects([], {}, Thing(1), None)})
    outputs = kask.compute(*sort_range([whole.iloc[:2], whole.iloc[2:]], "key", [2.5]))
    check_same(pd.concat(outputs), whole.sort_values("key", kind="stable"))
    assert [len(output) for output in outputs] == [1, 3]


def test_only_none_takes_the_type_of_the_other_partitions():
    unknown = pd.DataFrame({"key": [1, 2], "x": objects(None, None)})
    for name in ("str", "category", "arrow decimals", "dicts"):
        known = pd.DataFrame({"key": [1, 2], "x": COLUMNS[name].iloc[:2]})
        for parts in ([unknown, known], [known, unknown]):
            for output in kask.compute(*shuffle(parts, on="key", npartitions=2)):
                assert output["x"].dtype == known["x"].dtype
                assert output["x"].isna().sum() >= 1
    numbers = pd.DataFrame({"key": [1, 2], "x": [3, 4]})
    with pytest.raises(
        TypeError, match=r"column 'x' has the type int64 in some partitions, .* None of the others; conv"
    ):
        kask.compute(*shuffle([unknown, numbers], on="key"))


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        ([1, 2], pd.Series([1, None], dtype="Int64"), "type int64 in some partitions and Int64 in partition 1"),
        ([1, 2], of_arrow([1, 2], pa.int64()), r"int64 .* int64\[pyarrow\]"),
        (objects("a", "b"), pd.Series(["a", "b"], dtype="str"), "object .* str"),
        (objects("a", "b"), of_arrow([b"a", b"b"], pa.large_binary()), r"object .* large_binary\[pyarrow\]"),
        (
            pd.Categorical(["a", "b"], ["a", "b"], ordered=True),
            pd.Categorical(["a", "b"], ["b", "a"], ordered=True),
            "ordered category of str: 'a' < 'b' .* ordered category of str: 'b' < 'a'",
        ),
        (pd.Categorical(["a"] * 2), pd.Categorical(["a"] * 2, ordered=True), "category of str .* ordered category"),
    ],
)
def test_partitions_of_different_types_are_refused(one, other, message):
    parts = [pd.DataFrame({"key": [1, 2], "x": values}) for values in (one, other)]
    with pytest.raises(TypeError, match=f'column "x" has the .*{message}.*; convert it to one type first'):
        kask.compute(*shuffle(parts, on="key"))


def test_categories_are_united_as_pandas_unites_them():
    parts = [pd.Categorical(["b", "a"], ["b", "a", "x"]), pd.Categorical([None, None]), pd.Categorical(["c", "a"])]
    outputs = kask.compute(*shuffle([pd.DataFrame({"key": [1, 2], "x": part}) for part in parts], on="key"))
    expected = pd.api.types.union_categoricals([parts[0], parts[2]]).dtype
    assert [output["x"].dtype for output in outputs] == [expected] * 3
    together = pd.concat(outputs).sort_values("key", kind="stable")["x"]
    assert together.astype(object).where(together.notna(), None).tolist() == ["b", None, "c", "a", None, "a"]
