"""``kask.writable``, and which values tasks may write to: those of other processes are read-only, on every size of engine."""

from __future__ import annotations

import collections
import pickle
import types

import pytest

import kask

np = pytest.importorskip("numpy")
pd = pytest.importorskip("pandas")

Pair = collections.namedtuple("Pair", "left right")


def locked(array):
    array = np.array(array)
    array.flags.writeable = False
    return array


def received(obj):
    """``obj`` as another process would get it: with read-only buffers."""
    buffers = []
    head = pickle.dumps(obj, protocol=5, buffer_callback=buffers.append)
    return pickle.loads(head, buffers=[bytes(buffer.raw()) for buffer in buffers])


def shares(one, other):
    return np.shares_memory(one, other)


def test_what_can_be_written_to_is_returned_as_it_is():
    for obj in (
        np.ones(3),
        np.ones((3, 3))[::2],
        pd.Series([1.0]),
        pd.DataFrame({"a": [1, 2]}),
        [np.ones(3)],
        {"a": np.ones(2)},
    ):
        assert kask.writable(obj) is obj


def test_what_nobody_can_write_to_is_returned_as_it_is():
    for obj in (None, 1, 1.5, "text", b"bytes", (1, 2), {1, 2}, frozenset([1]), range(3), int, len, object()):
        assert kask.writable(obj) is obj


@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays(order):
    array = locked(np.asarray(np.arange(12).reshape(3, 4), order=order))
    mine = kask.writable(array)
    mine[0, 0] = 7
    assert (array[0, 0], mine[0, 0]) == (0, 7)
    assert mine.dtype == array.dtype
    assert mine.flags[f"{order}_CONTIGUOUS"]


def test_views_of_read_only_memory():
    view = np.frombuffer(bytes(80), "i8")[::2]
    with pytest.raises(ValueError, match="read-only"):
        view[0] = 1
    mine = kask.writable(view)
    mine[0] = 1
    assert mine.tolist() == [1, 0, 0, 0, 0]


def test_object_arrays():
    array = locked(np.array([[1], {}, None], dtype=object))
    mine = kask.writable(array)
    mine[2] = "x"
    assert array[2] is None
    assert mine[0] is array[0]


FRAMES = {
    "numbers": lambda: pd.DataFrame({"a": np.arange(1000), "b": np.arange(1000.0), "c": np.arange(1000.0)}),
    "masked": lambda: pd.DataFrame({"a": pd.array([1, None] * 500, dtype="Int64")}),
    "times": lambda: pd.DataFrame({"a": pd.date_range("2020", periods=1000, tz="UTC")}),
    "categories": lambda: pd.DataFrame({"a": pd.Categorical(["x", "y"] * 500)}),
    "texts": lambda: pd.DataFrame({"a": ["x", "y"] * 500, "b": np.arange(1000.0)}),
    "series": lambda: pd.Series(np.arange(1000.0), name="s"),
}


@pytest.mark.parametrize("kind", FRAMES)
def test_frames(kind):
    frame = received(FRAMES[kind]())
    before = frame.copy(deep=True)
    mine = kask.writable(frame)
    assert mine.equals(before)
    if mine.ndim == 2:
        mine.iloc[0, 0] = mine.iloc[1, 0]
        mine.loc[5, "a"] = mine.loc[6, "a"]
    else:
        mine.iloc[0] = mine.iloc[1]
    # Some extension arrays put their memory into the pickle itself: they come as copies.
    assert mine is frame or frame.equals(before)
    assert (mine is frame) == (kind in ("times",)), kind
    assert kask.writable(mine) is mine


def test_containers_item_by_item():
    array = locked([1.0, 2.0])
    free = np.ones(2)
    for original in ([array, free, 3], (array, free, 3), Pair(array, free), {"a": array, "b": free}):
        mine = kask.writable(original)
        assert type(mine) is type(original)
        items = list(mine.values()) if isinstance(mine, dict) else list(mine)
        items[0][0] = 7
        assert items[1] is free
        assert array[0] == 1.0
    ordered = collections.OrderedDict(b=free, a=array)
    assert list(kask.writable(ordered)) == ["b", "a"]
    assert type(kask.writable(ordered)) is collections.OrderedDict


def test_containers_one_level_deep():
    array = locked([1.0])
    outer = [[array], {"a": array}]
    assert kask.writable(outer) is outer


class Model:
    """Holds an array, and knows nothing of Kask."""

    def __init__(self, weights):
        self.weights = weights
        self.name = "model"


def test_any_object_with_buffers():
    model = received(Model(np.arange(1000.0)))
    with pytest.raises(ValueError, match="read-only"):
        model.weights[0] = 1
    mine = kask.writable(model)
    mine.weights[0] = 7
    assert (model.weights[0], mine.weights[0], mine.name) == (0, 7, "model")
    free = Model(np.arange(10.0))
    assert kask.writable(free) is free


def test_objects_that_cannot_be_pickled_are_returned_as_they_are():
    obj = types.SimpleNamespace(f=lambda: 0, generator=(i for i in range(3)))
    assert kask.writable(obj) is obj


def test_memory():
    for view in (memoryview(b"12345678"), memoryview(np.arange(6.0)).toreadonly().cast("B").cast("d", (2, 3))):
        mine = kask.writable(view)
        assert not mine.readonly
        assert (mine.tolist(), mine.format, mine.shape) == (view.tolist(), view.format, view.shape)
    free = memoryview(bytearray(8))
    assert kask.writable(free) is free
    empty = memoryview(b"")
    assert kask.writable(empty) is empty, "there is nothing to write"


@pytest.mark.parametrize("dtype", [">i4", "i4,f8", "?", "c16", "S3"])
def test_memory_of_any_kind_of_number(dtype):
    array = np.zeros((2, 3), dtype)
    view = memoryview(array).toreadonly()
    mine = kask.writable(view)
    assert not mine.readonly
    assert (mine.tobytes(), mine.shape) == (view.tobytes(), view.shape)
    assert np.asarray(mine).dtype == array.dtype


def test_arrow_is_returned_as_it_is():
    pa = pytest.importorskip("pyarrow")
    table = received(pa.table({"a": list(range(10_000))}))
    assert kask.writable(table) is table


def test_polars_is_returned_as_it_is():
    pl = pytest.importorskip("polars")
    frame = received(pl.DataFrame({"a": range(10_000)}))
    assert kask.writable(frame) is frame


def make(n):
    return np.arange(float(n))


def write(array):
    array[0] = 7
    return float(array[0])


def write_mine(array):
    mine = kask.writable(array)
    mine[0] = 7
    return float(mine[0]), float(array[0]), mine is array


def address(array):
    return array.__array_interface__["data"][0]


class TestAcrossProcesses:
    """Two workers in processes of their own: what one made is read-only for the other, and for the client."""

    @pytest.fixture
    def two(self, size, client):
        if size != "processes":
            pytest.skip("nothing is shared between processes here")
        names = [worker["name"] for worker in client.scheduler_info()["workers"].values()]
        return client, *names

    @pytest.mark.parametrize("n", [1000, 100_000])
    def test_arrays_of_another_worker(self, two, n):
        client, one, other = two
        array = client.submit(make, n, workers=[one])
        with pytest.raises(ValueError, match="assignment destination is read-only"):
            client.submit(write, array, workers=[other]).result()
        assert client.submit(write_mine, array, workers=[other]).result() == (7.0, 0.0, False)
        assert client.submit(sum, array, workers=[other]).result() == n * (n - 1) / 2

    def test_gathered_and_scattered_arrays(self, two):
        client, one, _ = two
        gathered = client.submit(make, 100_000, workers=[one]).result()
        with pytest.raises(ValueError, match="assignment destination is read-only"):
            gathered[0] = 1
        kask.writable(gathered)[0] = 1
        scattered = client.scatter(np.arange(100_000.0), workers=[one])
        with pytest.raises(ValueError, match="assignment destination is read-only"):
            client.submit(write, scattered, workers=[one]).result()
        assert client.submit(write_mine, scattered, workers=[one]).result() == (7.0, 0.0, False)

    def test_frames_of_another_worker(self, two):
        client, one, other = two

        def set_mine(frame):
            mine = kask.writable(frame)
            mine.loc[0, "a"] = -1.0
            return float(mine.a.sum()), float(frame.a.sum())

        frame = client.submit(lambda: pd.DataFrame({"a": np.ones(100_000)}), workers=[one])
        assert client.submit(set_mine, frame, workers=[other]).result() == (99_998.0, 100_000.0)


def test_results_within_a_process_stay_as_they_are(size, client):
    array = client.submit(make, 100_000)
    if size != "processes":
        assert client.submit(write_mine, array).result() == (7.0, 7.0, True)
