"""``to_dask_dataframe``: the frames that Dask makes of its own arrays, but for what Dask gets wrong."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pd = pytest.importorskip("pandas")
dd = pytest.importorskip("dask.dataframe")

import cloudpickle  # noqa: E402
import dask  # noqa: E402
import dask.array as da  # noqa: E402

import kask.array as ka  # noqa: E402

VALUES = np.arange(42).reshape(14, 3) * 1.5
RECORDS = np.array([(n, n / 2, f"r{n}") for n in range(9)], [("a", "i4"), ("b", "f8"), ("c", "U3")])
TEXT = np.array(["x", "yy", None, "z", "", "w"], object)

ARRAYS: dict[str, tuple[Any, Any]] = {
    "one block": (VALUES, (14, 3)),
    "blocks of rows": (VALUES, (4, 3)),
    "blocks of columns": (VALUES, (5, (1, 2))),
    "one row each": (VALUES, (1, 1)),
    "uneven": (VALUES, ((1, 0, 9, 4), (2, 1))),
    "empty block at the end": (VALUES, ((7, 7, 0), 3)),
    "integers": (VALUES.astype("i2"), (4, 2)),
    "a line": (VALUES[:, 0], 4),
    "a line of integers": (np.arange(5, dtype="u1"), 2),
    "times": (np.arange(6).astype("M8[s]"), 4),
    "text": (TEXT, 2),
    "text of a length": (np.array(["a", "bbb", "c"]), 2),
    "truth": (VALUES > 20, (3, 3)),
    "records": (RECORDS, 4),
    "no rows": (VALUES[:0], (1, 3)),
}


def both(values: Any, chunks: Any, **kwargs: Any) -> tuple[Any, Any]:
    ours = ka.from_array(values, chunks=chunks).to_dask_dataframe(**kwargs)
    return ours, da.from_array(values, chunks=chunks).to_dask_dataframe(**kwargs)


def assert_same(ours: Any, theirs: Any) -> None:
    assert type(ours) is type(theirs)
    assert ours.divisions == theirs.divisions
    equal = pd.testing.assert_series_equal if ours.ndim == 1 else pd.testing.assert_frame_equal
    equal(ours._meta, theirs._meta)
    equal(ours.compute(), theirs.compute())
    for number in range(ours.npartitions):
        equal(ours.get_partition(number).compute(), theirs.get_partition(number).compute())


@pytest.mark.parametrize("name", [name for name in ARRAYS if name != "no rows"])
def test_the_frame_is_that_of_dask(name: str) -> None:
    assert_same(*both(*ARRAYS[name]))


def test_an_array_without_rows_has_one_division() -> None:
    ours, theirs = both(*ARRAYS["no rows"])
    # Dask says that rows 0 to -1 are in it.
    assert ours.divisions == (0, 0)
    pd.testing.assert_frame_equal(ours.compute(), theirs.compute())


@pytest.mark.parametrize("convert", [True, False])
def test_columns_of_objects_are_what_dask_makes_of_them(convert: bool) -> None:
    with dask.config.set({"dataframe.convert-string": convert}):
        ours = ka.from_array(TEXT, chunks=2).to_dask_dataframe(columns="t")
        assert ours.compute().dtype == ours.dtype == ("string" if convert else object)


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("blocks of columns", ["a", "b", "c"]),
        ("blocks of rows", ["a", "a", "b"]),
        ("a line", "a"),
        ("a line", ["a"]),
        ("records", ["b", "a"]),
        ("records", ["c"]),
    ],
)
def test_names_of_columns(name: str, columns: Any) -> None:
    assert_same(*both(*ARRAYS[name], columns=columns))


@pytest.mark.parametrize("name", ["blocks of columns", "a line of integers"])
def test_an_index_is_taken(name: str) -> None:
    values, chunks = ARRAYS[name]
    array = ka.from_array(values, chunks=chunks)
    labels = pd.Index([f"r{n:02}" for n in range(len(values))], name="label")
    index = dd.from_pandas(pd.Series(0, index=labels), npartitions=len(array.chunks[0])).index
    ours, theirs = both(values, chunks, index=index)
    assert ours.divisions == theirs.divisions
    equal = pd.testing.assert_series_equal if ours.ndim == 1 else pd.testing.assert_frame_equal
    equal(ours.compute(), theirs.compute())
    equal(ours._meta, theirs._meta)


def test_a_number_of_rows_need_not_be_known() -> None:
    ours, theirs = (x[x[:, 0] > 9].to_dask_dataframe(columns=list("abc")) for x in (plain(ka), plain(da)))
    assert ours.divisions == theirs.divisions == (None,) * 5
    pd.testing.assert_frame_equal(ours.compute(), theirs.compute())
    line, other = ((x[x > 9] * 2).to_dask_dataframe("q") for x in (plain(ka)[:, 1], plain(da)[:, 1]))
    assert line.npartitions == other.npartitions
    pd.testing.assert_series_equal(line.compute(), other.compute())
    # Of a line made of what was found nobody knows how many blocks it will have.
    x = plain(ka)
    joined = ka.concatenate([x[x > 9], x[x < 3]]).to_dask_dataframe().compute()
    assert joined.tolist() == [*VALUES[VALUES > 9], *VALUES[VALUES < 3]]


def plain(module: Any) -> Any:
    return module.from_array(VALUES, chunks=(4, 2))


def test_what_was_found_can_be_sent_to_other_processes() -> None:
    x = plain(ka)
    found = x[x > 9]
    assert found.shape == (int((VALUES > 9).sum()),)
    assert cloudpickle.loads(cloudpickle.dumps(found)).compute().tolist() == VALUES[VALUES > 9].tolist()


def test_partitions_are_computed_when_they_are_asked_for() -> None:
    reads: list[Any] = []
    frame = ka.from_array(Recorded(reads), chunks=(4, 1)).to_dask_dataframe(columns=list("abc"))
    assert reads == []
    frame.get_partition(1).compute()
    assert {rows for rows, _ in reads} == {(4, 8)}
    del reads[:]
    assert (frame[["c"]] + 1).compute()["c"].tolist() == (VALUES[:, 2] + 1).tolist()
    assert frame.b.sum().compute() == VALUES[:, 1].sum()
    assert {columns for _, columns in reads} == {(2, 3), (1, 2)}


class Recorded:
    """A store that tells what is read of it."""

    shape, dtype, ndim = VALUES.shape, VALUES.dtype, 2

    def __init__(self, reads: list[Any]) -> None:
        self.reads = reads

    def __getitem__(self, index: Any) -> Any:
        self.reads.append(tuple([(part.start, part.stop) for part in index]))
        return VALUES[index]


def test_other_processes_of_dask_compute_partitions() -> None:
    frame = (plain(ka) + 1).to_dask_dataframe(columns=list("abc"))
    found = frame.a.sum().compute(scheduler="processes", num_workers=1)
    assert found == (VALUES[:, 0] + 1).sum()


def test_equal_arrays_have_equal_names() -> None:
    first, second = plain(ka).to_dask_dataframe(), plain(ka).to_dask_dataframe()
    assert first._name == second._name
    assert first._name != (plain(ka) + 1).to_dask_dataframe()._name
    assert first._name != plain(ka).to_dask_dataframe(columns=list("abc"))._name


def test_a_frame_of_another_class() -> None:
    class Frame(pd.DataFrame):
        @property
        def _constructor(self) -> Any:
            return Frame

    part = plain(ka).to_dask_dataframe(meta=Frame()).get_partition(0).compute()
    assert type(part) is Frame


@pytest.mark.parametrize(
    ("array", "kwargs", "words"),
    [
        (ka.ones(()), {}, "one or two axes"),
        (ka.ones((2, 2, 2)), {}, "one or two axes"),
        (ka.ones((2, 2)), {"columns": "a"}, "names for the 2 columns"),
        (ka.ones((2, 2)), {"columns": ["a"]}, "names for the 2 columns"),
        (ka.ones(2), {"columns": ["a", "b"]}, "names 2"),
        (ka.from_array(RECORDS), {"columns": "a"}, "list"),
        (ka.from_array(RECORDS), {"columns": ["a", "q"]}, "'q'"),
        (ka.from_array(RECORDS.reshape(3, 3)), {}, "one axis"),
        (ka.ones((2, 2)), {"index": [1, 2]}, "index of a data frame of Dask, got list"),
        (ka.ones((4, 2), chunks=2), {"index": dd.from_pandas(pd.Series([1, 2]), npartitions=1).index}, "2 blocks"),
        (ka.ones((2, 3))[:, ka.ones(3) > 0], {}, "how many columns"),
    ],
)
def test_what_is_no_frame_is_refused(array: Any, kwargs: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        array.to_dask_dataframe(**kwargs)


def test_meta_that_is_no_frame_is_refused() -> None:
    with pytest.raises(TypeError, match="got Series"):
        ka.ones((2, 2)).to_dask_dataframe(meta=pd.Series([1.0]))


def test_the_guide() -> None:
    """The example of docs/array.md."""
    text = (Path(__file__).resolve().parents[2] / "docs" / "array.md").read_text()
    section = text[text.index("\n## Data frames of Dask") : text.index("\n## xarray")]
    (block,) = re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"ka": ka}
    exec(block, names)
    values = names["x"].compute()
    assert names["frame"].a[names["frame"].b > 0].mean().compute() == pytest.approx(values[values[:, 1] > 0, 0].mean())


def test_without_dask_one_sentence_says_so() -> None:
    program = (
        "import sys; sys.modules['dask'] = None\n"
        "import kask.array as ka\n"
        "try: ka.ones((2, 2)).to_dask_dataframe()\n"
        "except ImportError as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install 'dask[dataframe]'" in done.stdout and done.stdout.count("\n") == 1
