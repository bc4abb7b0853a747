"""Arrays and delayed calls in one graph: what both need runs once, wherever it runs."""

from __future__ import annotations

import math
import os
import pickle
from collections import Counter
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
from against_numpy import assert_same, chunkings, nothing_runs

import kask
import kask.array as ka
from kask import delayed
from kask.array.base import ArrayBase

MATRIX = np.arange(24.0).reshape(4, 6)


class Runs:
    """Counts calls by name, in whatever process they are."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def note(self, name: str) -> None:
        handle = os.open(self.path, os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        os.write(handle, f"{name}\n".encode())
        os.close(handle)

    def take(self) -> dict[str, int]:
        """How often what was called since it was asked last."""
        try:
            lines = Path(self.path).read_text().split()
        except FileNotFoundError:
            return {}
        os.unlink(self.path)
        return dict(Counter(lines))


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path / "runs")


def loaded(runs: Runs, row: int) -> np.ndarray:
    runs.note("load")
    return MATRIX[2 * row : 2 * row + 2]


def changed(block: Any, runs: Runs) -> Any:
    if block.size:
        runs.note("change")
    return block + 1


def total(runs: Runs, *values: Any) -> Any:
    runs.note("total")
    assert not any(isinstance(value, ArrayBase) for value in values)
    return sum(float(np.sum(value)) for value in values)


def described(runs: Runs) -> tuple[Any, Any]:
    """Two delayed loads of two rows each, and an array made of them, changed block by block."""
    rows = [delayed(loaded)(runs, row) for row in range(2)]
    whole = ka.concatenate([ka.from_delayed(row, (2, 6), float) for row in rows])
    return rows, whole.map_blocks(changed, runs=runs, dtype=float)


def test_what_is_shared_runs_once(client: Any, runs: Runs) -> None:
    with nothing_runs():
        rows, x = described(runs)
        blocks = x.to_delayed()
        whole = delayed(total)(runs, x)
        one = delayed(total)(runs, blocks[0, 0], rows[1])
        work = [blocks[1, 0], x.sum(axis=0), whole, one, rows[0], x]
    found = kask.compute(*work, scheduler=client)
    assert runs.take() == {"load": 2, "change": 2, "total": 2}
    assert_same(found[0], MATRIX[2:] + 1)
    assert_same(found[1], (MATRIX + 1).sum(axis=0))
    assert found[2] == (MATRIX + 1).sum()
    assert found[3] == (MATRIX[:2] + 1).sum() + MATRIX[2:].sum()
    assert_same(found[4], MATRIX[:2])
    assert_same(found[5], MATRIX + 1)


def test_a_call_of_two_arrays_that_share_blocks(client: Any, runs: Runs) -> None:
    _, x = described(runs)
    call = delayed(total)(runs, x, x.mean(axis=1), [x], x.T)
    plus = MATRIX + 1
    assert call.compute(scheduler=client) == pytest.approx(3 * plus.sum() + plus.mean(axis=1).sum())
    assert runs.take() == {"load": 2, "change": 2, "total": 1}


@pytest.mark.parametrize("scheduler", ["sync", "processes"])
def test_on_the_other_engines(scheduler: str, runs: Runs) -> None:
    _, x = described(runs)
    found = kask.compute(delayed(total)(runs, x), x.to_delayed()[0, 0], x.max(), scheduler=scheduler)
    assert runs.take() == {"load": 2, "change": 2, "total": 1}
    assert found[0] == (MATRIX + 1).sum() and found[2] == 24
    assert_same(found[1], MATRIX[:2] + 1)


def test_blocks_that_nobody_needs_do_not_run(runs: Runs) -> None:
    _, x = described(runs)
    assert delayed(total)(runs, x.to_delayed()[1, 0]).compute() == (MATRIX[2:] + 1).sum()
    assert runs.take() == {"load": 1, "change": 1, "total": 1}


def test_persisted_arrays_and_calls(client: Any, runs: Runs) -> None:
    _, x = described(runs)
    kept = x.persist(scheduler=client)
    assert delayed(total)(runs, kept, kept.to_delayed()[0, 0]).compute(scheduler=client) == (
        (MATRIX + 1).sum() + (MATRIX[:2] + 1).sum()
    )
    assert runs.take() == {"load": 2, "change": 2, "total": 1}
    call = delayed(total)(runs, x).persist(scheduler=client)
    assert call.compute(scheduler=client) == (MATRIX + 1).sum()
    alone = ka.from_delayed(delayed(loaded)(runs, 0), (2, 6), float).persist(scheduler=client)
    assert_same((alone + 1).compute(scheduler=client), MATRIX[:2] + 1)
    assert_same(alone.compute(scheduler=client), MATRIX[:2])
    assert_same(alone.to_delayed()[0, 0].compute(scheduler=client), MATRIX[:2])


def test_futures(client: Any) -> None:
    future = client.submit(np.arange, 6)
    x = ka.from_delayed(future, (6,), int)
    assert_same(client.compute(x.reshape(2, 3) + 1, sync=True), np.arange(6).reshape(2, 3) + 1)
    assert client.compute(delayed(sum)(x)).result(timeout=30) == 15
    found = client.gather(client.compute([x.sum(), delayed(len)(x.to_delayed()[0])]))
    assert found == [15, 6]


def test_every_layer_can_be_read(client: Any) -> None:
    rng = np.random.default_rng(3)
    for cut in chunkings(MATRIX.shape)[:4]:
        x = ka.from_array(MATRIX, chunks=cut)
        with kask.config.set({"array.chunk_size_bytes": 1}):
            arrays = {
                "elementwise": (np.sqrt(x) + 1, np.sqrt(MATRIX) + 1),
                "tree": (x.sum(axis=0, split_every=2), MATRIX.sum(axis=0)),
                "rechunk": (x.rechunk((3, 1)), MATRIX),
                "slice": (x[::-1, 1:], MATRIX[::-1, 1:]),
                "concatenate": (ka.concatenate([x, x.reshape(4, 6)]), np.concatenate([MATRIX, MATRIX])),
                "sort": (ka.sort(ka.from_array(rng.permutation(30), chunks=7)), np.arange(30)),
            }
            for name, (array, expected) in arrays.items():
                grid = array.to_delayed()
                assert grid.shape == array.numblocks, name
                blocks = kask.compute(grid.tolist(), scheduler=client)[0]
                assert_same(np.block(blocks), expected)
                assert_same(delayed(np.negative)(array).compute(scheduler=client), -expected)


def test_values_of_all_kinds() -> None:
    assert ka.ones(()).to_delayed()[()].compute() == 1
    assert delayed(type)(ka.ones(3).sum()).compute() is np.float64
    assert ka.from_delayed(delayed([1, 2, 3]), (3,), int).sum().compute() == 6
    assert ka.from_delayed([delayed(1), delayed(2)], (2,), int).sum().compute() == 3
    assert_same(ka.from_delayed(np.arange(3), (3,), int), np.arange(3))
    assert_same(ka.from_delayed(ka.arange(4, chunks=2), (4,), int), np.arange(4))
    assert delayed(ka.arange(4, chunks=3)).compute().tolist() == [0, 1, 2, 3]
    assert_same(ka.from_delayed(delayed(5), (), int), np.asarray(5)[()])


def test_names_follow_the_value() -> None:
    value = delayed(np.ones)(3)
    assert ka.from_delayed(value, (3,), float).name == ka.from_delayed(value, (3,), float).name
    assert ka.from_delayed(value, (3,), float).name != ka.from_delayed(delayed(np.ones)(3), (3,), float).name
    named = [ka.from_delayed(delayed(np.ones)(3), (3,), float, name="three").name for _ in range(2)]
    assert named[0] == named[1]


def test_a_wrong_shape_is_told_by_name() -> None:
    wrong = ka.from_delayed(delayed(np.arange)(6), (5,), dtype=int)
    with pytest.raises(ValueError, match=r"\(5,\).*\(6,\)"):
        wrong.compute()
    with pytest.raises(ValueError, match=r"\(5,\).*\(6,\)"):
        delayed(sum)(wrong).compute()


def test_the_type_that_was_said_is_the_type_of_the_value() -> None:
    for made, dtype in [
        (np.ones(3), "f4"),
        (np.arange(3), float),
        (np.ones(3), object),
        (np.array(["a", "bc", "d"]), str),
    ]:
        found = ka.from_delayed(delayed(made), (3,), dtype).compute()
        assert found.dtype.kind == np.dtype(dtype).kind and found.tolist() == made.tolist()
    assert ka.from_delayed(delayed(np.ones)(3), (3,), "f4").compute().dtype == np.float32
    with pytest.raises(ValueError, match=r"has the type int64, but it has float64: say dtype='float64'"):
        ka.from_delayed(delayed(np.ones)(3), (3,), int).compute()
    with pytest.raises(TypeError, match="needs dtype= or meta="):
        ka.from_delayed(delayed(np.ones)(3), (3,))


def test_they_survive_pickling(runs: Runs) -> None:
    _, x = described(runs)
    call = delayed(total)(runs, x, x.to_delayed()[0, 0])
    for again in (pickle.loads(pickle.dumps(call)), pickle.loads(cloudpickle.dumps(call))):
        assert again.compute() == call.compute()
    assert_same(pickle.loads(pickle.dumps(x)).compute(), MATRIX + 1)


def test_without_optimisation(runs: Runs) -> None:
    _, x = described(runs)
    part = (x + 1)[:1]
    raw, better = (part.to_delayed(optimize_graph=flag)[0, 0] for flag in (False, True))
    assert raw.key != better.key
    found = kask.compute(raw, better, part, optimize_graph=False)
    for one in found:
        assert_same(one, MATRIX[:1] + 2)


def test_options_of_compute_reach_all_tasks() -> None:
    failed: list[int] = []

    def flaky() -> np.ndarray:
        failed.append(1)
        if len(failed) < 3:
            raise OSError("not yet")
        return np.ones(3)

    x = ka.from_delayed(delayed(flaky)(), (3,), float)
    assert delayed(sum)(x + 1).compute(retries=2) == 6


def test_arrays_that_have_to_be_closed_first(client: Any) -> None:
    x = ka.arange(10, chunks=3)
    places = ka.from_array(np.array([5, 0, 7]), chunks=2)
    with nothing_runs():
        picked = x[places].rechunk(2)
        calls = [delayed(sum)(x[x > 4]), delayed(sum)(picked), *picked.to_delayed()]
    assert [int(np.sum(value)) for value in kask.compute(*calls, scheduler=client)] == [35, 12, 5, 7]


def test_a_call_after_something_is_stored(client: Any, tmp_path: Path) -> None:
    target = np.lib.format.open_memmap(tmp_path / "x.npy", "w+", shape=MATRIX.shape)
    x = ka.from_array(MATRIX, chunks=3)
    place = ka.from_array(np.array([3, 2, 1, 0]), chunks=2)
    for array, expected in ((x, MATRIX), (x[place], MATRIX[::-1])):
        target[:] = 0
        with nothing_runs():
            stored = ka.store(array + 1, target, compute=False)
            after = delayed(lambda done, path: (done, np.load(path)))(stored, tmp_path / "x.npy")
        done, found = after.compute(scheduler=client)
        assert done is None
        assert_same(found, expected + 1)


def test_describing_costs_the_same_for_many_blocks() -> None:
    x = ka.ones((3000, 3000), chunks=(1, 1)) + 1
    with nothing_runs():
        call = delayed(math.sqrt)(x.sum())
    assert len(kask.graphs.in_order([call._lowered()])) == 2


def test_delayed_values_of_unknown_length():
    nan = float("nan")
    one = kask.delayed(np.ones)((3, 4))
    x = ka.from_delayed(one, (nan, 4), float)
    with nothing_runs():
        total = ka.from_delayed(one, (nan, 4), float).sum(axis=0)
    np.testing.assert_array_equal(total.compute(), [3] * 4)
    assert x.shape == (3, 4)
    np.testing.assert_array_equal(ka.from_delayed(one, (nan, nan), float).T.compute(), np.ones((4, 3)))
    with pytest.raises(ValueError, match=r"shape \(nan, 5\), but it has \(3, 4\)"):
        ka.from_delayed(one, (nan, 5), float).compute()
    with pytest.raises(ValueError, match=r"\(2, 4\), but it has \(3, 4\); say shape=\(np\.nan,\)"):
        ka.from_delayed(one, (2, 4), float).compute()
