"""``kask.shuffle``: what it gives is what pandas, pyarrow and NumPy give for the whole, however it is partitioned."""

from __future__ import annotations

import itertools
import pickle

import pytest

import kask
from kask.shuffle import rechunk, shuffle, sort_range

np = pytest.importorskip("numpy")
pd = pytest.importorskip("pandas")
pa = pytest.importorskip("pyarrow")


def frame(rows: int, seed: int = 0) -> pd.DataFrame:
    """Columns of many types, every one with missing values where it can have them, and an index that is no range."""
    rng = np.random.default_rng(seed)
    whole = rng.integers(-5, 5, rows)
    texts = np.array(["", "a", "b", "Zürich", "a rather long name, beyond all inlining"], dtype=object)
    columns = {
        "int": whole,
        "float": np.where(rng.random(rows) < 0.2, np.nan, rng.integers(-3, 3, rows) / 2),
        "text": pd.Series(texts[rng.integers(0, 5, rows)], dtype="str").where(rng.random(rows) > 0.2),
        "flag": rng.random(rows) < 0.5,
        "when": pd.Series(pd.Timestamp("2024-01-01") + pd.to_timedelta(rng.integers(0, 4, rows), "D")).where(
            rng.random(rows) > 0.2
        ),
        "kind": pd.Categorical.from_codes(
            rng.integers(-1, 3, rows), categories=["low", "middle", "high"], ordered=True
        ),
        "place": np.arange(rows),
    }
    return pd.DataFrame(columns).set_index(pd.Index(np.arange(rows) * 10 + 7, name="row"))


def cut(table: pd.DataFrame, ends: list[int]) -> list[pd.DataFrame]:
    """The table in partitions that end at these rows."""
    return [table.iloc[start:end] for start, end in zip([0, *ends], [*ends, len(table)])]


CUTS = {
    "one": [],
    "two": [40],
    "empty ones": [0, 0, 30, 30, 99, 100],
    "many": list(range(5, 100, 7)),
    "rows": list(range(1, 100)),
}


def keys_of(table: pd.DataFrame, on: list[str]) -> set:
    values = zip(*[table[name].astype(object).where(table[name].notna(), None) for name in on])
    return set(values)


def check_shuffled(whole: pd.DataFrame, outputs: list[pd.DataFrame], on: list[str]) -> None:
    seen: set = set()
    for output in outputs:
        keys = keys_of(output, on)
        assert not keys & seen
        seen |= keys
        # All rows with these keys, in the order of the input: so nothing is lost, added or reordered.
        rows = [
            key in keys for key in zip(*[whole[name].astype(object).where(whole[name].notna(), None) for name in on])
        ]
        pd.testing.assert_frame_equal(output, whole[np.array(rows, dtype=bool)])
    assert seen == keys_of(whole, on)


@pytest.mark.parametrize(
    "on", [["int"], ["float"], ["text"], ["when"], ["kind"], ["flag", "text"], ["int", "kind", "float"]]
)
def test_rows_with_equal_keys_meet_in_order(client, on):
    whole = frame(100)
    outputs = kask.compute(*shuffle(cut(whole, CUTS["many"]), on=on, npartitions=7))
    assert len(outputs) == 7
    check_shuffled(whole, list(outputs), on)


@pytest.mark.parametrize("npartitions", [1, 2, 13, 100])
def test_partitioning_of_the_input_changes_nothing(npartitions):
    whole = frame(100)
    results = []
    for ends in CUTS.values():
        results.append(kask.compute(*shuffle(cut(whole, ends), on=["text", "int"], npartitions=npartitions)))
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            pd.testing.assert_frame_equal(one, two)


def test_a_thousand_outputs(client):
    whole = pd.DataFrame({"k": np.arange(20_000) % 5_000, "n": np.arange(20_000)})
    outputs = kask.compute(*shuffle(cut(whole, [3_000, 9_000]), on="k", npartitions=1_000))
    assert sum(map(len, outputs)) == len(whole)
    together = pd.concat(outputs)
    assert together.groupby("k")["n"].sum().equals(whole.groupby("k")["n"].sum())
    owners = pd.concat([pd.DataFrame({"k": output["k"], "output": i}) for i, output in enumerate(outputs)])
    assert (owners.groupby("k")["output"].nunique() == 1).all()
    for output in outputs:
        assert output["n"].is_monotonic_increasing or output.empty


def test_the_inputs_say_how_many_outputs_there_are():
    assert len(shuffle([frame(5), frame(3)], on="int")) == 2


def test_any_integer_is_a_number_of_partitions():
    assert len(shuffle([frame(5)], on="int", npartitions=np.int64(3))) == 3


@pytest.mark.parametrize("rows", [0, 1])
def test_tiny_tables(rows):
    whole = frame(rows)
    outputs = kask.compute(*shuffle([whole, whole.iloc[:0]], on="text", npartitions=3))
    check_shuffled(whole, list(outputs), ["text"])
    for output in outputs:
        pd.testing.assert_series_equal(output.dtypes, whole.dtypes)


def test_tables_of_pyarrow_stay_tables_of_pyarrow():
    table = pa.table(
        {
            "k": pa.array(["x", None, "y", "x"]).dictionary_encode(),
            "v": [[1], [], None, [2, 3]],
            "s": [{"a": 1}, None, {"a": 2}, {"a": 3}],
        }
    ).replace_schema_metadata({"who": "me"})
    chunked = pa.concat_tables([table, table.slice(1, 2)])
    outputs = kask.compute(*shuffle([chunked, table.slice(0, 0)], on="k", npartitions=4))
    for output in outputs:
        assert output.schema.equals(table.schema, check_metadata=True)
        output.validate(full=True)
    rows = [row for output in outputs for row in output.to_pylist()]
    assert sorted(map(repr, rows)) == sorted(map(repr, chunked.to_pylist()))
    assert {len(set(output["k"].to_pylist())) for output in outputs} <= {0, 1, 2}


def test_tables_of_polars_stay_tables_of_polars():
    pl = pytest.importorskip("polars")
    table = pl.DataFrame({"k": ["a", "b", None, "a rather long name, beyond all inlining"] * 3, "n": range(12)})
    outputs = kask.compute(*shuffle([table[:5], table[5:]], on="k", npartitions=3))
    assert all(isinstance(output, pl.DataFrame) and output.schema == table.schema for output in outputs)
    assert pl.concat(outputs).sort("n").equals(table)


def test_types_of_polars_that_arrow_has_not():
    pl = pytest.importorskip("polars")
    for kind, values in [(pl.Int128, [1, 2]), (pl.Object, [{1}, {2}])]:
        table = pl.DataFrame({"k": [1, 2], "x": pl.Series(values, dtype=kind)})
        for by in ("k", "x"):
            with pytest.raises(TypeError, match=f"column 'x' has the type {kind} of Polars, .*; cast it"):
                kask.compute(*shuffle([table], on=by))


def test_equal_values_of_other_types_go_to_the_same_partition():
    numbers = pa.table({"k": pa.array([1, 2, 3, None], pa.int32())})
    floats = pa.table({"k": pa.array([1.0, 2.0, 3.0, None], pa.float64())})
    words = [
        pa.table({"k": pa.array(["a", "b", None], kind)}) for kind in (pa.string(), pa.large_string(), pa.string_view())
    ]
    words.append(pa.table({"k": pa.array(["a", "b", None]).dictionary_encode()}))
    for tables in ([numbers, floats], words):
        places = [
            [output["k"].to_pylist() for output in kask.compute(*shuffle([table], on="k", npartitions=50))]
            for table in tables
        ]
        assert all(place == places[0] for place in places)


def test_categories_of_all_partitions_are_kept_in_order():
    low = pd.DataFrame({"k": pd.Categorical(["b", "a"], categories=["b", "a", "unused"]), "n": [1, 2]})
    high = pd.DataFrame({"k": pd.Categorical(["c", "a"], categories=["c", "a"]), "n": [3, 4]})
    outputs = kask.compute(*shuffle([low, high], on="k", npartitions=2))
    for output in outputs:
        assert list(output["k"].cat.categories) == ["b", "a", "unused", "c"]
    assert sorted((k, n) for output in outputs for k, n in zip(output["k"], output["n"])) == [
        ("a", 2),
        ("a", 4),
        ("b", 1),
        ("c", 3),
    ]


def test_a_column_without_values_takes_the_type_of_the_others():
    known = pa.table({"k": [1, 2], "x": ["a", "b"]})
    unknown = pa.table({"k": [1, 2], "x": pa.nulls(2)})
    outputs = kask.compute(*shuffle([unknown, known], on="k", npartitions=2))
    assert all(output.schema == known.schema for output in outputs)
    assert sorted(value or "" for output in outputs for value in output["x"].to_pylist()) == ["", "", "a", "b"]


# -- sort_range


@pytest.mark.parametrize("ends", CUTS.values(), ids=CUTS)
@pytest.mark.parametrize("na_position", ["first", "last"])
@pytest.mark.parametrize("ascending", [True, False])
@pytest.mark.parametrize(
    ("by", "boundaries"),
    [
        ("int", [-3, 0, 0, 4]),
        ("float", [-1.0, 0.0, 1.0]),
        ("text", ["", "a", "b"]),
        ("when", [pd.Timestamp("2024-01-02"), pd.Timestamp("2024-01-03")]),
        ("flag", [True]),
        ("place", []),
    ],
)
def test_concatenated_outputs_are_the_whole_sorted(by, boundaries, ascending, na_position, ends):
    whole = frame(100)
    limits = boundaries if ascending else boundaries[::-1]
    outputs = kask.compute(*sort_range(cut(whole, ends), by, limits, ascending=ascending, na_position=na_position))
    assert len(outputs) == len(boundaries) + 1
    expected = whole.sort_values(by, ascending=ascending, na_position=na_position, kind="stable")
    pd.testing.assert_frame_equal(pd.concat(outputs), expected)
    for output, start in zip(outputs[1:], limits):
        values = output[by].dropna()
        assert (values >= start).all() if ascending else (values <= start).all()


@pytest.mark.parametrize("ascending", [[True, True], [False, True], [True, False]])
def test_sorting_by_two_columns(client, ascending):
    whole = frame(100)
    by = ["int", "text"]
    limits = whole.sort_values(by, ascending=ascending, kind="stable")[by].iloc[[20, 50, 51]]
    # Boundaries may be missing values as well.
    rows = [(int(n), None if pd.isna(text) else text) for n, text in zip(limits["int"], limits["text"])]
    outputs = kask.compute(*sort_range(cut(whole, CUTS["many"]), by, rows, ascending=ascending))
    pd.testing.assert_frame_equal(pd.concat(outputs), whole.sort_values(by, ascending=ascending, kind="stable"))
    assert sum(len(output) > 0 for output in outputs) > 1


def test_nan_and_null_of_pyarrow_go_to_the_same_end():
    table = pa.table({"n": pa.array([2.0, float("nan"), None, -0.0, 0.0, 1.0])})
    outputs = kask.compute(*sort_range([table], "n", [0.0, 2.0]))
    assert [str(output["n"].to_pylist()) for output in outputs] == ["[]", "[-0.0, 0.0, 1.0]", "[2.0, nan, None]"]


def test_a_partition_without_values_is_sorted_too():
    tables = [pa.table({"n": pa.nulls(2)}), pa.table({"n": [3, 1]})]
    outputs = kask.compute(*sort_range(tables, "n", [2]))
    assert [output["n"].to_pylist() for output in outputs] == [[1], [3, None, None]]


# -- rechunk


def blocks_of(array: np.ndarray, chunks: tuple[tuple[int, ...], ...]) -> list[np.ndarray]:
    ends = [list(itertools.accumulate(sizes)) for sizes in chunks]
    pieces = [[slice(end - size, end) for end, size in zip(axis, sizes)] for axis, sizes in zip(ends, chunks)]
    return [array[index] for index in itertools.product(*pieces)]


def check_rechunk(array, old, new):
    outputs = kask.compute(*rechunk(blocks_of(array, old), old, new))
    for found, expected in zip(outputs, blocks_of(array, new), strict=True):
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        assert found.flags.c_contiguous and found.flags.writeable
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (((3, 3, 4), (12,)), ((10,), (1, 5, 6))),
        (((10,), (12,)), ((2, 3, 5), (4, 4, 4))),
        (((1,) * 10, (6, 6)), ((7, 3), (5, 7))),
        (((0, 10), (12, 0)), ((5, 0, 5), (12,))),
    ],
)
def test_blocks_are_those_of_the_array(client, old, new):
    check_rechunk(np.arange(120).reshape(10, 12), old, new)


@pytest.mark.parametrize(
    "dtype",
    ["?", "i1", "f2", "<f4", ">i8", "c16", "datetime64[ns]", "timedelta64[s]", "S5", "U3", [("a", "i2"), ("b", "f8")]],
)
def test_types_of_elements(dtype):
    array = np.frombuffer(np.random.default_rng(0).bytes(35 * 16), dtype="u1").copy()
    kind = np.dtype(dtype)
    array = np.resize(array, 35 * kind.itemsize) % 100 if kind.kind != "?" else array
    array = (
        (array % 2).astype("?")[:35].reshape(5, 7) if kind.kind == "b" else array.astype("u1").view(kind).reshape(5, 7)
    )
    outputs = kask.compute(*rechunk(blocks_of(array, ((2, 3), (7,))), ((2, 3), (7,)), ((5,), (3, 4))))
    for found, expected in zip(outputs, blocks_of(array, ((5,), (3, 4))), strict=True):
        assert found.dtype == array.dtype
        assert found.tobytes() == expected.tobytes()


def test_any_number_of_axes_and_any_order_in_memory():
    check_rechunk(np.float64(7.5).reshape(()), (), ())
    check_rechunk(np.arange(1000), ((250,) * 4,), ((1,) * 1000,))
    cube = np.arange(4 * 6 * 5).reshape(4, 6, 5)
    chunks = ((2, 2), (6,), (1, 4)), ((4,), (5, 1), (3, 2))
    for array in (cube, np.asfortranarray(cube), cube[::-1, :, ::-1], np.broadcast_to(cube[:, :1], cube.shape)):
        check_rechunk(array, *chunks)
    check_rechunk(np.ones((4, 0)), ((1, 3), (0,)), ((2, 2), (0, 0)))


# -- the graph


def test_outputs_are_inputs_of_other_tasks(client):
    whole = frame(60)
    tables = [kask.delayed(table.copy)() for table in cut(whole, [20, 40])]
    outputs = shuffle(tables, on="int", npartitions=4)
    counts = [kask.delayed(len)(output) for output in outputs]
    assert kask.delayed(sum)(counts).compute() == 60
    # A shuffle of a shuffle, and a task that reads two of them.
    again = shuffle(outputs, on="text", npartitions=3)
    total, joined = kask.compute(
        kask.delayed(sum)([kask.delayed(len)(output) for output in again]), kask.delayed(pd.concat)(again)
    )
    assert total == len(joined) == 60
    check_shuffled(whole, list(kask.compute(*shuffle(cut(whole, [10]), on="int", npartitions=4))), ["int"])


def test_outputs_can_be_persisted_one_by_one_and_pickled(client):
    outputs = shuffle([frame(30), frame(30, seed=1)], on="int", npartitions=3)
    first = outputs[0].persist()
    pd.testing.assert_frame_equal(first.compute(), outputs[0].compute())
    copies = pickle.loads(pickle.dumps(outputs))
    assert [copy.key for copy in copies] == [output.key for output in outputs]
    for copy, output in zip(copies, outputs):
        pd.testing.assert_frame_equal(copy.compute(), output.compute())


def test_the_same_shuffle_has_the_same_keys():
    tables = [kask.delayed(frame)(10, pure=True), kask.delayed(frame)(20, pure=True)]
    one, two = shuffle(tables, on="int"), shuffle(tables, on="int")
    assert [output.key for output in one] == [output.key for output in two]
    others = [shuffle(tables, on="text"), shuffle(tables[::-1], on="int"), shuffle(tables, on="int", npartitions=3)]
    assert not {output.key for output in one} & {output.key for other in others for output in other}


def test_a_shuffle_is_described_before_it_runs():
    outputs = shuffle([kask.delayed(frame)(10) for _ in range(5)], on="int", npartitions=4)
    assert outputs[0].explain().tasks == 5 + 5 + 5 + 1 + 1
    assert "shuffle" in kask.visualize(*outputs, filename=None, format="dot")


def test_shuffles_inside_tasks(client):
    def inside(rows):
        outputs = shuffle([frame(rows), frame(rows, seed=1)], on="int", npartitions=3)
        return sum(map(len, kask.compute(*outputs)))

    assert client.submit(inside, 25).result() == 50


def test_options_reach_the_tasks():
    failures = []

    def flaky():
        failures.append(1)
        if len(failures) < 3:
            raise OSError("not yet")
        return frame(10)

    (output,) = shuffle([kask.delayed(flaky)()], on="int", npartitions=1)
    assert len(output.compute(retries=5)) == 10


# -- mistakes


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: shuffle([], on="k"), ValueError, "tables= is empty"),
        (lambda: shuffle([1], on=[]), ValueError, "on= names no column"),
        (lambda: shuffle([1], on=[1]), TypeError, "on= must name columns by text, got 1"),
        (lambda: shuffle([1], on="k", npartitions=0), ValueError, "npartitions= must be a number of partitions"),
        (lambda: shuffle([1], on="k", npartitions=True), ValueError, "npartitions= must be a number of partitions"),
        (
            lambda: sort_range([1], "k", [], na_position="left"),
            ValueError,
            "na_position= must be 'last' or 'first', got 'left'",
        ),
        (
            lambda: sort_range([1], ["a", "b"], [], ascending=[True]),
            ValueError,
            "ascending= has 1 values for 2 columns",
        ),
        (lambda: sort_range([1], ["a", "b"], [3]), ValueError, "each boundary is a tuple of as many values, got 3"),
        (
            lambda: rechunk([1], ((2,),), ((3,),)),
            ValueError,
            r"an array of shape \(2,\), chunks_out= of one of shape \(3,\)",
        ),
        (lambda: rechunk([1], ((1, 1),), ((2,),)), ValueError, "describe 2 blocks, 1 were given"),
        (lambda: rechunk([1], ((),), ((),)), ValueError, "must have at least one size"),
        (
            lambda: rechunk([1], ((4.7,),), ((2, 2),)),
            TypeError,
            r"chunks_in= must have a sequence of whole numbers for each axis, such as .*, got \(\(4.7,\),\)",
        ),
        (lambda: rechunk([1], ((4,),), ((2, 2.9),)), TypeError, r"chunks_out= .* got \(\(2, 2.9\),\)"),
        (lambda: rechunk([1], (4,), (2, 2)), TypeError, r"chunks_in= .* got \(4,\)"),
        (lambda: shuffle([1], on="k", npartitions=2.0), ValueError, "npartitions= .* got 2.0"),
    ],
)
def test_mistakes_are_named_at_once(call, error, message):
    with pytest.raises(error, match=message):
        call()


TABLE = pa.table({"k": [1, 2], "l": [[1], [2]]})


class Frame(pd.DataFrame):
    """A subclass, which might have a state of its own."""


@pytest.mark.parametrize(
    ("outputs", "error", "message"),
    [
        (lambda: shuffle([TABLE], on="x"), KeyError, "no column 'x'; the table has the columns 'k', 'l'"),
        # The index has no name, so it is not among them.
        (lambda: shuffle([TABLE.to_pandas()], on="x"), KeyError, r"the table has the columns 'k', 'l'\W*$"),
        (lambda: shuffle([TABLE], on="l"), TypeError, 'column "l" has the type List'),
        (lambda: shuffle([5], on="k"), TypeError, "must be a table of pandas, pyarrow or Polars, got int"),
        (lambda: shuffle([TABLE, TABLE.drop_columns("l")], on="k"), ValueError, "do not have the same columns"),
        (
            lambda: shuffle([TABLE, TABLE.set_column(0, "k", pa.array(["a", "b"]))], on="k"),
            TypeError,
            'column "k" has the type',
        ),
        (lambda: sort_range([TABLE], "k", [2, 1]), ValueError, "not sorted: number 1 comes before number 0"),
        (lambda: sort_range([TABLE], "k", ["a"]), TypeError, "boundaries= cannot be of the type int64 of column 'k'"),
        (lambda: sort_range([TABLE], "x", []), KeyError, "no column 'x'"),
        (
            lambda: shuffle([pd.Series([1], name="k")], on="k"),
            TypeError,
            r"must be a table of pandas, pyarrow or Polars, got Series; make it one with to_frame\(\)",
        ),
        (lambda: shuffle([Frame({"k": [1]})], on="k"), TypeError, r"got Frame; give pandas.DataFrame\(\) of it"),
        (lambda: shuffle([pa.chunked_array([[1]])], on="k"), TypeError, "must be a table .* got ChunkedArray"),
        (lambda: shuffle([TABLE.rename_columns(["k", "k"])], on="k"), ValueError, "2 columns named 'k'; rename"),
        (
            lambda: rechunk([np.ma.array([1, 2], mask=[True, False])], ((2,),), ((1, 1),)),
            TypeError,
            r"block \(0,\) is a masked array, whose mask would be lost",
        ),
        (lambda: rechunk([np.ones(2)], ((3,),), ((3,),)), ValueError, r"the shape \(3,\), it has \(2,\)"),
        (lambda: rechunk([np.array([None])], ((1,),), ((1,),)), TypeError, "hold Python objects"),
        (lambda: rechunk([np.ones(1), np.ones(1, "i4")], ((1, 1),), ((2,),)), TypeError, "these are of float64, int32"),
    ],
)
def test_mistakes_are_named_by_the_task(outputs, error, message):
    with pytest.raises(error, match=message):
        kask.compute(*outputs())
