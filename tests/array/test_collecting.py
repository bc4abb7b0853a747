"""Large results of ``compute`` are filled as their blocks come: they are right whatever the blocks are, and blocks are not held beside them."""

from __future__ import annotations

import gc
import io
import threading
import time

import numpy as np
import pytest

import kask
import kask.array as ka
from kask.array.base import _COLLECTED_BYTES, _STEP_BYTES
from kask.diagnostics import ProgressBar
from kask.distributed import Client, wait

SIDE = 2500  # 50 MB of float64
CHUNKS = [(500, 500), (2500, 300), (7, 2500), ((2400, 100), (1, 0, 2499))]


def numbers(side=SIDE):
    return np.arange(side * side, dtype=float).reshape(side, side)


@pytest.fixture(params=["embedded", "processes"])
def client(request, processes):
    if request.param == "processes":
        yield processes
    else:
        with Client("embedded", threads_per_worker=2, set_as_default=False) as embedded:
            yield embedded


@pytest.mark.parametrize("chunks", CHUNKS, ids=str)
def test_equal_at_any_chunking(client, chunks):
    x = numbers()
    assert x.nbytes > _COLLECTED_BYTES
    found = (ka.from_array(x, chunks=chunks) + 1).compute(scheduler=client)
    assert type(found) is np.ndarray and found.flags.c_contiguous and found.flags.writeable and found.flags.owndata
    np.testing.assert_array_equal(found, x + 1)


def test_transposed_and_of_more_axes(client):
    x = numbers().reshape(50, 50, 50, 50)
    found = ka.from_array(x, chunks=(20, 50, 30, 50)).transpose(3, 0, 2, 1).compute(scheduler=client)
    np.testing.assert_array_equal(found, x.transpose(3, 0, 2, 1))


def test_masked(client):
    x = numbers()
    found = ka.ma.masked_greater(ka.from_array(x, chunks=(600, 2500)), 1e6).compute(scheduler=client)
    expected = np.ma.masked_greater(x, 1e6)
    np.testing.assert_array_equal(np.ma.getmaskarray(found), np.ma.getmaskarray(expected))
    np.testing.assert_array_equal(found.filled(-1), expected.filled(-1))


def test_records_and_dates(client):
    x = np.zeros(3_000_000, [("a", "i4"), ("b", "f8")])
    x["a"] = np.arange(len(x))
    np.testing.assert_array_equal(ka.from_array(x, chunks=400_000).compute(scheduler=client), x)
    t = np.datetime64("2000-01-01") + np.arange(5_000_000)
    np.testing.assert_array_equal(
        (ka.from_array(t, chunks=999_999) + np.timedelta64(1, "D")).compute(scheduler=client), t + 1
    )


def test_blocks_that_are_something_else_than_was_said(client):
    sparse = pytest.importorskip("sparse")
    x = ka.ones((SIDE, SIDE), chunks=(500, 2500)).map_blocks(sparse.COO, meta=np.empty((0, 0)), dtype=float)
    found = x.compute(scheduler=client)
    assert isinstance(found, sparse.COO) and found.shape == (SIDE, SIDE)
    assert found.sum() == SIDE * SIDE


def test_several_at_once_with_others_among_them(client):
    x = ka.from_array(numbers(), chunks=(400, 2500))
    y = x + 1
    small, first, again, total, twice = kask.compute(x[:3], y, y, y.sum(), {"x": [x * 2]}, scheduler=client)
    np.testing.assert_array_equal(small, numbers()[:3])
    np.testing.assert_array_equal(first, numbers() + 1)
    np.testing.assert_array_equal(again, first)
    assert total == (numbers() + 1).sum()
    np.testing.assert_array_equal(twice["x"][0], numbers() * 2)


def test_what_was_persisted_stays(client):
    y = (ka.from_array(numbers(), chunks=(400, 2500)) + 1).persist(scheduler=client)
    wait(y)
    for _ in range(2):
        np.testing.assert_array_equal(y.compute(scheduler=client), numbers() + 1)
    assert (y[:2] + 1).compute(scheduler=client)[1, 0] == SIDE + 2


def test_the_first_block_that_fails_says_why(client):
    def late(block, block_id):
        if block_id == (9, 0):
            raise ArithmeticError("block nine")
        return block

    x = ka.from_array(numbers(), chunks=(250, 2500)).map_blocks(late, dtype=float)
    with pytest.raises(ArithmeticError, match="block nine"):
        x.compute(scheduler=client)
    assert ka.ones(3).sum().compute(scheduler=client) == 3


def test_a_progress_bar_counts_all(client):
    out = io.StringIO()
    with ProgressBar(out=out, minimum=0):
        found = (ka.from_array(numbers(), chunks=(250, 2500)) + 1).compute(scheduler=client)
    np.testing.assert_array_equal(found, numbers() + 1)
    assert "100%" in out.getvalue() and "fail" not in out.getvalue()


class Alive:
    """Counts arrays that live."""

    def __init__(self):
        self.now = self.most = 0
        self.lock = threading.Lock()

    def change(self, by):
        with self.lock:
            self.now += by
            self.most = max(self.most, self.now)


def test_blocks_are_let_go_of_as_they_are_placed():
    alive = Alive()

    class Counted(np.ndarray):
        def __del__(self):
            if self.base is None:
                alive.change(-1)

    def slow(block):
        time.sleep(0.02)
        counted = np.ndarray.__new__(Counted, block.shape, block.dtype)
        alive.change(1)
        counted[...] = block
        return counted

    x = numbers(4000)
    blocks = 40
    with Client("embedded", threads_per_worker=1, set_as_default=False) as client:
        found = ka.from_array(x, chunks=(100, 4000)).map_blocks(slow, dtype=float).compute(scheduler=client)
        np.testing.assert_array_equal(np.asarray(found), x)
        del found
    gc.collect()
    step = blocks * _STEP_BYTES // x.nbytes
    assert step <= alive.most <= 2 * step + 6 < blocks, alive.most


def ones_of(cut):
    return ka.ones(4, chunks=cut)


def fresh(values):
    return np.array(values, float)


HELD = {
    "persisted": lambda cut: (ones_of(cut) * 1).persist(),
    "real": lambda cut: (ones_of(cut) * 1).persist().real,
    "filled": lambda cut: (ones_of(cut) * 1).persist().filled(0),
    "function": lambda cut: (ones_of(cut) * 1).persist().map_blocks(lambda block: block),
    "mask": lambda cut: ones_of(cut)[ones_of(cut) > 0],
    "future": lambda cut: ka.from_delayed(kask.delayed(fresh)([1] * 4).persist(), (4,), float),
    "value": lambda cut: ka.from_delayed(kask.delayed(np.ones(4)), (4,), float),
    "source": lambda cut: ka.from_array(np.ones(4), chunks=cut).map_blocks(lambda block: block),
}


@pytest.mark.parametrize("cut", [4, 2])
@pytest.mark.parametrize("kind", HELD)
def test_results_are_not_what_others_hold(kind, cut):
    x = HELD[kind](cut)
    for get in (lambda: x.compute(), lambda: kask.compute(x, x + 1)[0], lambda: np.asarray(x)):
        found = get()
        found[0] = 9
        np.testing.assert_array_equal(x.compute(), np.ones(4))


def test_equal_work_that_is_persisted_is_not_given_away():
    for x in (ka.ones(4, chunks=4) * 3, (ka.arange(8.0, chunks=8) * 0 + 3)[2:6]):
        first, second = x.persist(), x.persist()
        del first
        x.compute()[0] = 9
        np.testing.assert_array_equal(second.compute(), [3] * 4)
        np.testing.assert_array_equal(x.compute(), [3] * 4)


def test_what_nobody_holds_is_not_copied():
    places = []

    def remembered(block):
        made = block + 1
        places.append(made.ctypes.data)
        return made

    x = ka.ones(100_000, chunks=-1)
    x.persist()
    found = x.map_blocks(remembered, dtype=float).compute()
    assert found.ctypes.data == places[-1]


def test_delayed_calls_do_not_write_to_what_is_persisted():
    def filled(block):
        block[:] = 9
        return block

    p = (ka.ones(4, chunks=4) * 1).persist()
    with pytest.raises(ValueError, match="read-only"):
        kask.delayed(filled)(p).compute()
    assert kask.delayed(lambda block: filled(kask.writable(block)).sum())(p).compute() == 36
    np.testing.assert_array_equal(p.compute(), np.ones(4))
