"""Several arrays at once, kept blocks, rewriting, annotations and progress: what collections have in common."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from against_numpy import assert_same, nothing_runs

import kask
import kask.array as ka
from kask import engine
from kask.diagnostics import ProgressBar
from kask.distributed import Client, LocalCluster, futures_of, wait

MATRIX = np.arange(60.0).reshape(6, 10)


class Counting:
    """A store that counts how often each place is read."""

    shape, dtype = MATRIX.shape, MATRIX.dtype

    def __init__(self) -> None:
        self.reads: Counter[tuple[tuple[int, int], ...]] = Counter()

    def __getitem__(self, index: tuple[slice, ...]) -> np.ndarray:
        self.reads[tuple([(part.start, part.stop) for part in index])] += 1
        return MATRIX[index]

    def take(self) -> list[int]:
        """How often each place was read since it was asked last."""
        found = sorted(self.reads.values())
        self.reads.clear()
        return found


@pytest.fixture
def store() -> Counting:
    return Counting()


class TestTogether:
    def test_a_source_is_read_once(self, store: Counting) -> None:
        with nothing_runs():
            x = ka.from_array(store, chunks=(3, 10), name=False) + 1
            work = [x.sum(), x.mean(axis=0), [x.max()], x]
        total, mean, (most,), whole = kask.compute(*work)
        assert store.take() == [1, 1]
        assert (total, most) == ((MATRIX + 1).sum(), 60)
        assert_same(mean, (MATRIX + 1).mean(axis=0))
        assert_same(whole, MATRIX + 1)

    def test_once_with_persist_client_and_store_too(self, store: Counting) -> None:
        x = ka.from_array(store, chunks=(3, 10), name=False) + 1
        kept = kask.persist(x.sum(), x.min())
        assert kask.compute(*kept) == ((MATRIX + 1).sum(), 1) and store.take() == [1, 1]
        with Client("embedded") as client:
            assert client.gather(client.compute([x.sum(), x.min()])) == [(MATRIX + 1).sum(), 1]
            assert store.take() == [1, 1]
        target, other = np.zeros(MATRIX.shape), np.zeros(MATRIX.shape)
        writes = [ka.store(x, target, compute=False), ka.store(x * 2, other, compute=False)]
        assert kask.compute(*writes, x.sum()) == (None, None, (MATRIX + 1).sum())
        assert store.take() == [1, 1]
        assert_same(target, MATRIX + 1)
        assert_same(other, (MATRIX + 1) * 2)

    def test_without_optimisation(self, store: Counting) -> None:
        x = ka.from_array(store, chunks=(3, 10), name=False)
        # A slice is not pushed to the store, so that a whole block is read.
        (found,) = kask.compute((x + 1)[:1, :2], optimize_graph=False)
        assert_same(found, (MATRIX + 1)[:1, :2])
        assert list(store.reads) == [((0, 3), (0, 10))]
        store.take()
        assert_same((x + 1)[:1, :2].compute(), found)
        assert list(store.reads) == [((0, 1), (0, 2))]

    def test_stages_of_several_arrays(self, client: Any) -> None:
        x = ka.from_array(MATRIX, chunks=4)
        with nothing_runs():
            odd, large = x[x % 2 == 1], x[x > 50]
        found = kask.compute(odd, {"n": odd.sum()}, large + 1, scheduler=client)
        assert_same(found[0], MATRIX[MATRIX % 2 == 1])
        assert found[1]["n"] == MATRIX[MATRIX % 2 == 1].sum()
        assert_same(found[2], MATRIX[MATRIX > 50] + 1)

    def test_what_is_stored_may_have_to_be_closed(self) -> None:
        x = ka.from_array(MATRIX[:, 0], chunks=4)
        places = ka.from_array(np.array([3, 0, 5]), chunks=2)
        target = np.zeros(3)
        with nothing_runs():
            work = ka.store(x[places] + 1, target, compute=False)
        assert kask.compute(work) == (None,)
        assert_same(target, MATRIX[[3, 0, 5], 0] + 1)


class TestPersist:
    def test_work_that_was_done_is_not_done_again(self, client: Any) -> None:
        x = ka.from_array(MATRIX, chunks=4)
        kept, total = client.persist([x + 1, (x + 1).sum()])
        assert_same((kept * 2).compute(scheduler=client), (MATRIX + 1) * 2)
        assert total.compute(scheduler=client) == (MATRIX + 1).sum()
        assert len(futures_of(kept)) == 6
        assert (kept.explain().tasks, (kept + 1).explain().tasks) == (0, 6)

    def test_its_futures_are_found(self, client: Any) -> None:
        x = (ka.from_array(MATRIX, chunks=4) + 1).persist(scheduler=client)
        blocks = futures_of(x)
        assert [future.key for future in blocks] == engine.block_names(x.name, x.numblocks)
        assert futures_of({"k": [x * 2, x]}) == blocks == futures_of(kask.delayed(len)(x))
        future = client.submit(np.ones, 3)
        assert futures_of(ka.from_delayed(future, (3,), float) + 1) == [future]
        done, rest = wait([x, future])
        assert done == {*blocks, future} and not rest
        assert futures_of(ka.ones(3)) == []

    def test_names_stay(self) -> None:
        x = (ka.from_array(MATRIX, chunks=4) + 1).persist()
        assert x.name == (ka.from_array(MATRIX, chunks=4) + 1).name
        assert x.persist().name == x.name
        (again,) = kask.optimize(x + 1)
        assert_same(again, MATRIX + 2)


class TestOptimize:
    def test_slices_are_pushed_and_values_stay(self, store: Counting) -> None:
        with nothing_runs():
            x = (ka.from_array(store, chunks=(3, 10), name=False) + 1)[:1]
            better, (same,) = kask.optimize(x, [x.sum()])
        assert better.expr.label == "add" and x.expr.label == "getitem"
        assert better.chunks == x.chunks and better.name != x.name
        assert_same(better, (MATRIX + 1)[:1])
        assert same.compute() == (MATRIX + 1)[:1].sum()


@pytest.fixture
def two_workers() -> Iterator[tuple[Any, list[str]]]:
    with LocalCluster(n_workers=2, threads_per_worker=1, processes=False) as cluster, Client(cluster) as client:
        yield client, list(client.scheduler_info()["workers"])


def homes(client: Any, array: Any) -> set[str]:
    """Where the blocks of an array are."""
    return {home for some in client.who_has(array.expr.futures).values() for home in some}


class TestAnnotations:
    def test_they_stay_with_what_was_described(self, two_workers: Any) -> None:
        client, workers = two_workers
        x = ka.ones((8, 8), chunks=2)
        for place, worker in enumerate(workers):
            with kask.annotate(workers=worker):
                y = np.sqrt(x + place)
            # The block is over, the annotation is not.
            kept = y.persist()
            wait(kept)
            assert homes(client, kept) == {worker}
            assert (y[:3].T + 1).sum().compute() > 0

    def test_what_is_described_outside_is_not_annotated(self) -> None:
        x = ka.ones((8, 8), chunks=4)
        with kask.annotate(retries=3):
            y = np.sqrt(x)
        z = np.exp(y) + 1
        rows = {row.label.split()[0]: row for row in z.explain().after.rows}
        # Different annotations are different tasks; what costs nothing goes with either.
        assert (rows["sqrt"].tasks, rows["exp"].tasks, rows["add"].tasks) == (4, 0, 4)
        assert rows["full"].layers == rows["sqrt"].layers

    def test_pushed_slices_keep_them(self) -> None:
        x = ka.from_array(MATRIX, chunks=3)
        before = np.negative(x)
        with kask.annotate(retries=2):
            y = np.sqrt(before)
        (better,) = kask.optimize(y[:2])
        assert better.expr.label == "sqrt" and better.expr.options.retries == 2
        (below,) = better.expr.operands
        assert below.label == "negative" and below.options is None

    def test_a_task_that_fails_is_run_again(self) -> None:
        calls = []

        def flaky(block: np.ndarray) -> np.ndarray:
            calls.append(1)
            if len(calls) < 3:
                raise OSError("not yet")
            return block

        x = ka.ones(4, chunks=4)
        with kask.annotate(retries=2):
            y = x.map_blocks(flaky, dtype=float, meta=np.empty(0))
        assert (y + 1).sum().compute() == 8
        calls.clear()
        with pytest.raises(OSError, match="not yet"):
            x.map_blocks(flaky, dtype=float, meta=np.empty(0), name="other").sum().compute()

    def test_sizes_are_the_arrays_own(self) -> None:
        with kask.annotate(result_bytes="1GiB", retries=1):
            x = ka.ones(1000, chunks=100) + 1
        assert x.explain().produced_bytes == 8000

    def test_options_of_compute_are_for_what_is_not_annotated(self, two_workers: Any) -> None:
        client, workers = two_workers
        x = ka.ones((8, 8), chunks=2)
        with kask.annotate(workers=workers[0]):
            y = np.sqrt(x)
        kept, other = kask.persist(y, np.exp(x), workers=workers[1])
        wait([kept, other])
        assert homes(client, kept) == {workers[0]} and homes(client, other) == {workers[1]}


class TestProgress:
    def test_a_bar_counts_blocks(self) -> None:
        out = io.StringIO()
        x = ka.ones(100, chunks=10)
        with ProgressBar(out=out, minimum=0):
            assert (x + 1).sum().compute() == 200
            assert_same(x, np.ones(100))
        assert "100%" in out.getvalue()
