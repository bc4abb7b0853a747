"""Arrays from and to what looks like one."""

from __future__ import annotations

import os
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from against_numpy import assert_same, chunkings, nothing_runs

import kask
import kask.array as ka
from kask.array.base import wrap
from kask.array.ops.slicing import sliced
from kask.array.ops.storage import FromStore
from kask.distributed import Client
from kask.exceptions import SerializationError
from kask.expr import rewrite

MATRIX = np.arange(42).reshape(6, 7)


class Dataset:
    """Something that looks like an array, and remembers what was read of it and whether a lock was held. It knows no steps backwards."""

    def __init__(self, array: np.ndarray, chunks: Any = None, lock: Any = None) -> None:
        self.array, self.chunks, self.lock = array, chunks, lock
        self.shape, self.dtype, self.ndim = array.shape, array.dtype, array.ndim
        self.read: list[Any] = []
        self.locked: list[bool] = []

    def __getitem__(self, index: Any) -> np.ndarray:
        assert all(part.step is None or part.step > 0 for part in index)
        self.read.append(self.array[index].size)
        self.locked.append(self.lock is not None and self.lock.locked())
        return self.array[index]


def test_read_by_block() -> None:
    for cut in chunkings(MATRIX.shape):
        data = Dataset(MATRIX)
        with nothing_runs():
            x = ka.from_array(data, chunks=cut)
        assert data.read == []
        assert_same(x, MATRIX)
        assert sum(data.read) == 42
        assert len(data.read) == x.npartitions


@pytest.mark.parametrize("taken", [((1, 1, 3), (0, 1, 7)), ((5, -2, 3), (6, -1, 4)), ((0, 1, 0), (2, 3, 2))])
def test_slices_are_pushed_into_the_reader(taken: Any) -> None:
    (a, s, n), (b, t, m) = taken
    wanted = MATRIX[np.ix_(a + s * np.arange(n), b + t * np.arange(m))]
    for cut in chunkings(MATRIX.shape):
        data = Dataset(MATRIX)
        part = sliced(ka.from_array(data, chunks=cut).expr, taken)
        (better,) = rewrite([part])
        assert isinstance(better, FromStore)
        assert_same(wrap(part), wanted)
        assert sum(data.read) == wanted.size


def test_chunks_follow_the_store() -> None:
    data = Dataset(np.zeros((1000, 1000)), chunks=(90, 70))
    x = ka.from_array(data, chunks="auto")
    with kask.config.set({"array.chunk_size_bytes": 400_000}):
        x = ka.from_array(data)
    assert x.npartitions > 1
    assert all(size % 90 == 0 for size in x.chunks[0][:-1])
    assert all(size % 70 == 0 for size in x.chunks[1][:-1])


def test_locks() -> None:
    lock = threading.Lock()
    data = Dataset(MATRIX, lock=lock)
    assert_same(ka.from_array(data, chunks=2, lock=lock), MATRIX)
    assert all(data.locked)
    assert_same(ka.from_array(data, chunks=2, lock=True), MATRIX)
    assert_same(ka.from_array(MATRIX, chunks=2, lock=True), MATRIX)


def test_getitem_and_kinds() -> None:
    data = Dataset(MATRIX)
    found = ka.from_array(data, chunks=3, getitem=lambda array, index: array[index] * 2)
    assert_same(found, MATRIX * 2)
    assert ka.from_array(data, name="a").name == ka.from_array(Dataset(MATRIX * 0), name="a").name
    assert ka.from_array(MATRIX, lock=True).name == ka.from_array(MATRIX, lock=True).name
    assert ka.from_array(data, name=False).name != ka.from_array(data, name=False).name
    assert ka.from_array([[1, 2], [3, 4]]).compute().tolist() == [[1, 2], [3, 4]]
    with pytest.raises(ValueError, match="already"):
        ka.from_array(ka.ones(3))


@pytest.mark.parametrize("order", ["C", "F"])
def test_memory_maps(tmp_path: Path, order: Any) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.asarray(MATRIX, order=order))
    for view in (np.load(path, mmap_mode="r"), np.load(path, mmap_mode="r")[1:, ::-2]):
        x = ka.from_array(view, chunks=3)
        assert isinstance(x.expr, FromStore)
        assert len(pickle.dumps(x.expr.source)) < 1000
        assert_same(x, np.array(view))
        assert_same(wrap(pickle.loads(pickle.dumps(x.expr))), np.array(view))
        part = wrap(sliced(x.expr, ((3, -1, 2), (0, 2, 2))))
        assert_same(part, np.array(view)[3:1:-1, 0:4:2])


def test_a_memory_map_of_a_truncated_file_says_which(client: Client, tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.arange(100.0).reshape(10, 10))
    size = path.stat().st_size
    mapped = np.load(path, mmap_mode="r")
    x, backwards, start = [ka.from_array(part, chunks=5) for part in (mapped, mapped[::-1, ::-1], mapped[:2])]
    os.truncate(path, size - 8)
    for broken in (x, backwards):
        with pytest.raises(
            OSError, match=rf"x\.npy .* has {size - 8} bytes, .*\(10, 10\) .* needs {size}: .* truncated"
        ):
            broken.compute()
    np.testing.assert_array_equal(start.compute(), np.arange(20.0).reshape(2, 10))
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"x\.npy"):
        (start + 1).compute()


def test_memory_maps_of_nothing(tmp_path: Path) -> None:
    mapped = np.memmap(tmp_path / "x", "f8", "w+", shape=(4, 3))
    assert_same(ka.from_array(mapped[2:2], chunks=2), np.empty((0, 3)))


def test_a_file_that_changed_has_another_name(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, MATRIX)
    first = ka.from_array(np.load(path, mmap_mode="r")).name
    assert first == ka.from_array(np.load(path, mmap_mode="r")).name
    np.save(path, np.zeros((8, 9)))
    assert first != ka.from_array(np.load(path, mmap_mode="r")).name


def test_delayed_values() -> None:
    value = kask.delayed(np.arange)(6)
    x = ka.from_delayed(value, (6,), dtype=int)
    assert_same(x, np.arange(6))
    assert_same(ka.concatenate([x, x]).reshape(3, 4), np.tile(np.arange(6), 2).reshape(3, 4))
    wrong = ka.from_delayed(value, (5,), dtype=int)
    with pytest.raises(ValueError, match=r"\(5,\).*\(6,\)"):
        wrong.compute()
    with pytest.raises(TypeError, match="dtype= or meta="):
        ka.from_delayed(value, (6,))


def test_blocks_as_delayed_values() -> None:
    for cut in chunkings(MATRIX.shape):
        x = ka.from_array(MATRIX, chunks=cut)
        with nothing_runs():
            blocks = ka.concatenate([x, x], 1).to_delayed()
        assert blocks.shape == (len(cut[0]), 2 * len(cut[1]))
        np.testing.assert_array_equal(
            np.block(list(map(list, kask.compute(*map(list, blocks))))), np.hstack([MATRIX, MATRIX])
        )
    assert ka.ones(()).to_delayed()[()].compute() == 1


def test_store() -> None:
    for cut in chunkings(MATRIX.shape):
        x = ka.from_array(MATRIX, chunks=cut)
        target = np.zeros(MATRIX.shape)
        assert ka.store(x, target) is None
        np.testing.assert_array_equal(target, MATRIX)
        wide = np.zeros((10, 20), int)
        with nothing_runs():
            work = x.store(wide, regions=(slice(2, 8), slice(1, 15, 2)), compute=False, lock=False)
        assert not wide.any()
        assert work.compute() is None
        np.testing.assert_array_equal(wide[2:8, 1:15:2], MATRIX)
        assert wide.sum() == MATRIX.sum()


def test_store_several() -> None:
    x, y = ka.from_array(MATRIX, chunks=4), ka.arange(5, chunks=2)
    a, b = np.zeros(MATRIX.shape), np.zeros(9)
    ka.store([x, y], [a, b], regions=[None, (slice(4, 9),)])
    np.testing.assert_array_equal(a, MATRIX)
    assert b.tolist() == [0, 0, 0, 0, 0, 1, 2, 3, 4]
    both = np.zeros(10)
    ka.store([y, y], [both, both], regions=[(slice(0, 5),), (slice(5, 10),)], lock=threading.Lock())
    assert both.tolist() == [0, 1, 2, 3, 4] * 2


def test_store_and_read_again(tmp_path: Path) -> None:
    x = ka.from_array(MATRIX, chunks=4)
    for load in (None, True, False):
        target = np.zeros(MATRIX.shape, int)
        (again,) = ka.store([x], [target], return_stored=True, load_stored=load)
        assert_same(again, MATRIX)
        target[:] = 0
        assert_same(again, MATRIX if load else target)
    target = np.zeros(MATRIX.shape, int)
    lazy = x.store(target, compute=False, return_stored=True)
    assert not target.any()
    assert_same(lazy.reshape(-1), MATRIX.ravel())
    np.testing.assert_array_equal(target, MATRIX)
    file = np.memmap(tmp_path / "y", int, "w+", shape=MATRIX.shape)
    x.store(file)
    np.testing.assert_array_equal(np.memmap(tmp_path / "y", int, "r", shape=MATRIX.shape), MATRIX)


def test_other_processes_write_to_the_file_of_a_memory_map(tmp_path: Path) -> None:
    file = np.lib.format.open_memmap(tmp_path / "y.npy", "w+", int, (8, 7))
    ka.from_array(MATRIX, chunks=4).store(file[2:], scheduler="processes")
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy")[2:], MATRIX)
    np.testing.assert_array_equal(file[2:], MATRIX)


def test_store_into_something_lazy(tmp_path: Path) -> None:
    path = tmp_path / "z.npy"
    np.save(path, np.zeros(MATRIX.shape, int))
    ka.store(ka.from_array(MATRIX, chunks=4), kask.delayed(np.load)(path, mmap_mode="r+"))
    np.testing.assert_array_equal(np.load(path), MATRIX)


def test_wrong_stores() -> None:
    x = ka.ones((2, 3))
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(3, 2\)"):
        x.store(np.zeros((3, 2)))
    with pytest.raises(ValueError, match="1 arrays to store, but 2 targets"):
        ka.store([x], [1, 2])
    with pytest.raises(TypeError, match="ndarray"):
        ka.store([np.ones(3)], [np.ones(3)])
    with pytest.raises(ValueError, match="has 1 elements along axis 0"):
        x.store(np.zeros((5, 5)), regions=(slice(0, 1), slice(0, 3)))


@pytest.mark.parametrize("scheduler", ["threads", "processes"])
def test_memory_of_this_process_is_filled_whoever_computes(scheduler: str) -> None:
    for cut in chunkings(MATRIX.shape):
        x = ka.from_array(MATRIX, chunks=cut)
        target, wide = np.zeros(MATRIX.shape), np.zeros((10, 20), "i2")
        ka.store([x, x * 2], [target, wide], regions=[None, (slice(2, 8), slice(1, 15, 2))], scheduler=scheduler)
        np.testing.assert_array_equal(target, MATRIX)
        np.testing.assert_array_equal(wide[2:8, 1:15:2], MATRIX * 2)
        assert wide.sum() == 2 * MATRIX.sum()
        again = x.store(target, return_stored=True, scheduler=scheduler)
        np.testing.assert_array_equal(again.compute(scheduler=scheduler), MATRIX)
    one = np.zeros(())
    ka.store(ka.arange(5, chunks=2).sum(), one, scheduler=scheduler)
    assert one == 10
    masked = np.ma.masked_equal(np.arange(6.0), 3)
    target = np.ma.zeros(8)
    ka.store(ka.from_array(masked, chunks=2), target, regions=(slice(1, 7),), scheduler=scheduler)
    assert target.tolist() == [0, 0, 1, 2, None, 4, 5, 0]


def test_arrays_of_unknown_size_fill_memory(processes: Client) -> None:
    target, x = np.zeros(3), ka.arange(5, chunks=2)
    with processes.as_current():
        ka.store(x[x > 1], target, lock=threading.Lock())
    assert target.tolist() == [2, 3, 4]


def test_large_targets_are_filled_in_steps(processes: Client) -> None:
    target = np.zeros((2000, 3000))
    ka.store(ka.arange(6_000_000.0, chunks=400_000).reshape(2000, 3000), target, scheduler=processes)
    np.testing.assert_array_equal(target, np.arange(6_000_000.0).reshape(2000, 3000))


def test_what_other_processes_cannot_do_is_said(processes: Client, tmp_path: Path) -> None:
    x, target = ka.ones(4, chunks=2), np.zeros(4)
    with pytest.raises(
        SerializationError, match=r"shape \(4,\), is in the memory of this process.*compute\(\).*memmap"
    ):
        x.store(target, compute=False).compute(scheduler=processes)
    file = np.lib.format.open_memmap(tmp_path / "y.npy", "w+", float, (4,))
    with pytest.raises(SerializationError, match=r"lock= is a _thread\.lock.*lock=True"):
        x.store(file, lock=threading.Lock(), scheduler=processes)
    read = ka.from_array(file, chunks=2, lock=threading.Lock())
    with pytest.raises(SerializationError, match=r"lock= is a _thread\.lock.*lock=True"):
        read.compute(scheduler=processes)
    assert not read.compute().any()


def test_wrong_regions_are_shown() -> None:
    x, target = ka.ones((2, 3)), np.zeros((4, 3))
    for regions in [(slice(0, 2), 1), (..., 1), [5], slice(0, 2)]:
        with pytest.raises(ValueError, match=r"regions= has the region .*for each of the 2 axes"):
            x.store(target, regions=regions)
    with pytest.raises(ValueError, match="3 regions for 2 arrays"):
        ka.store([x, x], [target, target], regions=[None] * 3)


def test_stacks_of_files(tmp_path: Path) -> None:
    for axis in (0, 1):
        for cut in chunkings(MATRIX.shape):
            folder = tmp_path / f"{axis}{hash(cut)}"
            x = ka.from_array(MATRIX, chunks=cut)
            ka.to_npy_stack(folder, x, axis)
            assert len(list(folder.iterdir())) == len(cut[axis]) + 1
            for mode in ("r", None):
                found = ka.from_npy_stack(folder, mode)
                assert found.chunks[axis] == cut[axis]
                assert_same(found, MATRIX)
                assert_same(wrap(sliced(found.expr, ((5, -2, 3), (1, 3, 2)))), MATRIX[5::-2, 1:7:3][:3, :2])
    with pytest.raises(FileNotFoundError):
        ka.from_npy_stack(tmp_path / "none")


def test_info_that_would_run_something(tmp_path: Path) -> None:
    (tmp_path / "info").write_bytes(pickle.dumps({"chunks": print}))
    with pytest.raises(ValueError, match=r"print has no place there"):
        ka.from_npy_stack(tmp_path)


@pytest.mark.parametrize("mmap_mode", ["r", None])
def test_truncated_stacks_say_which_file(tmp_path, mmap_mode):
    ka.to_npy_stack(tmp_path, ka.ones((6, 4), chunks=2))
    path = tmp_path / "1.npy"
    path.write_bytes(path.read_bytes()[:-5])
    x = ka.from_npy_stack(tmp_path, mmap_mode=mmap_mode)
    assert_same(x[:2], np.ones((2, 4)))
    with pytest.raises(OSError, match=r"1\.npy cannot be read, it may be truncated"):
        x.compute()
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"1\.npy"):
        x[1:].compute()


class Shrunk:
    """A source of which less is left than it says."""

    shape, dtype, ndim = (4,), np.dtype(float), 1

    def __getitem__(self, index: Any) -> np.ndarray:
        return np.ones(3)[index]


def test_a_source_that_gives_less_than_it_says_is_an_error() -> None:
    x = ka.from_array(Shrunk(), chunks=2)
    assert x[:2].sum().compute() == 2
    with pytest.raises(ValueError, match=r"type Shrunk has given \(1,\) elements where \(2,\) were to be read"):
        x.sum().compute()


def test_what_cannot_be_stored() -> None:
    for source in (3, np.ones(3), [np.ones(3)]):
        with pytest.raises(TypeError, match=r"store\(\) writes Kask's arrays, got (int|ndarray)"):
            ka.store(source, np.zeros(3))
    for target in (None, 5, "file"):
        with pytest.raises(TypeError, match=r"a target of store.* but a .* does not"):
            ka.store(ka.ones(3), target)


def test_regions_with_integers() -> None:
    for cut in chunkings(MATRIX.shape):
        x, target = ka.from_array(MATRIX, chunks=cut), np.zeros((6, 3, 7))
        assert MATRIX.shape == (6, 7)
        ka.store(x, target, regions=(slice(None), np.int64(-1), slice(None)))
        np.testing.assert_array_equal(target[:, 2], MATRIX)
        again = ka.store(x * 2, target, regions=(slice(None), 0, slice(None)), return_stored=True, compute=False)
        assert_same(again, MATRIX * 2.0)
        assert target[:, 1].sum() == 0
    with pytest.raises(ValueError, match="has 0 elements along axis 1"):
        ka.store(ka.ones((6, 7)), np.zeros((6, 3, 7)), regions=(slice(None), 3, slice(None)))


def test_locks_are_locks() -> None:
    with pytest.raises(TypeError, match="lock='x' is neither a bool nor a lock"):
        ka.store(ka.ones(3), np.zeros(3), lock="x")
