"""What workers keep is what they count, or they end with an error: results that are views, memory that nobody knows of, one huge output."""

import ctypes

import numpy as np
import pyarrow as pa
import pytest

import kask
from kask import shuffle
from kask.distributed import Client, LocalCluster
from kask.exceptions import OutOfMemoryError

pytestmark = pytest.mark.timeout(200)

MIB = 2**20


@pytest.fixture
def client(tmp_path):
    """A client of one worker of 300 MiB, which has 222 MiB for a task."""
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, memory_limit="300 MiB", local_directory=str(tmp_path), processes=True
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


def block(i):
    return np.full(32 * MIB // 8, float(i))


def table(i):
    return pa.table({"a": np.full(16 * MIB // 8, float(i)), "b": np.arange(16 * MIB // 8)})


VIEWS = {
    "slices": (block, lambda a: a[:10], lambda a: a.sum()),
    "slices of views": (block, lambda a: a.reshape(2, -1)[0, ::-1][:10], lambda a: a.sum()),
    "several": (block, lambda a: (a[:10], {"more": a[-10:]}), lambda pair: pair[0].sum()),
    "tables": (table, lambda t: t.slice(0, 10), lambda t: t["a"].to_numpy().sum()),
    "batches": (table, lambda t: t.slice(0, 10).to_batches()[0], lambda t: t.column("a").to_numpy().sum()),
}


@pytest.mark.parametrize("what", VIEWS)
def test_views_do_not_keep_what_they_are_views_of(client, what):
    make, view, total = (kask.delayed(func) for func in VIEWS[what])
    heads = [view(make(i)) for i in range(20)]
    sums = client.gather(client.compute([total(head) for head in client.persist(heads)]))
    assert sums == [10.0 * i for i in range(20)]
    assert client.counters()["memory_deaths"] == 0


def test_what_is_said_to_need_more_than_a_worker_has_is_refused(client):
    with kask.annotate(memory_bytes="1 GiB"):
        future = client.submit(abs, -1)
    with pytest.raises(OutOfMemoryError, match=r"said to need 1024 MiB \(memory_bytes\), and a worker has 222 MiB"):
        future.result(timeout=30)


def test_plain_objects_that_are_too_large_are_not_scattered_and_arrays_are(client):
    with pytest.raises(OutOfMemoryError, match=r"takes 40\d MiB, and a worker has 222 MiB at most"):
        client.submit(len, client.scatter(bytes(400 * MIB))).result(timeout=30)
    assert client.submit(np.sum, client.scatter(np.ones(400 * MIB // 8))).result(timeout=60) == 400 * MIB // 8
    assert client.counters()["memory_deaths"] == 0


class Hidden:
    """20 MiB that nobody sees."""

    def __init__(self):
        self.memory = ctypes.create_string_buffer(20 * MIB)
        ctypes.memset(self.memory, 1, 20 * MIB)

    def __reduce__(self):
        return Hidden, ()

    def __sizeof__(self):
        return 96


def test_memory_that_nobody_knows_of_ends_in_an_error(client):
    futures = client.map(lambda _: Hidden(), range(20))
    with pytest.raises(OutOfMemoryError, match=r"nothing new came of it: .* tell kask\.sizeof of your types"):
        client.gather(futures)


def test_an_output_of_a_shuffle_that_no_worker_can_hold_is_an_error(client):
    tables = [
        kask.delayed(lambda i: pa.table({"key": np.zeros(400_000, int), "x": np.arange(400_000) + i}))(i)
        for i in range(50)
    ]
    outputs = shuffle.shuffle(tables, on="key", npartitions=8)
    with pytest.raises(
        OutOfMemoryError, match=r"one group of outputs take 3\d\d MiB, and a worker has 222 MiB .* more different"
    ):
        kask.compute(*[kask.delayed(len)(output) for output in outputs])
    assert client.counters()["memory_deaths"] == 0
