"""Zarr, HDF5, TileDB and images."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import pickle
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from against_numpy import assert_same, chunkings, nothing_runs

import kask
import kask.array as ka
from kask.array.image import imread
from kask.array.kernels import stores
from kask.array.utils import meta_from_array
from kask.distributed import Client
from kask.exceptions import SerializationError

MATRIX = np.arange(42).reshape(6, 7)


# -- Zarr


@pytest.fixture
def zarr() -> Any:
    return pytest.importorskip("zarr")


@pytest.mark.parametrize("form", [2, 3])
def test_zarr_there_and_back(zarr: Any, tmp_path: Path, form: int) -> None:
    for number, cut in enumerate(chunkings(MATRIX.shape)):
        path = tmp_path / str(number)
        ka.to_zarr(ka.from_array(MATRIX, chunks=cut), path, zarr_format=form)
        assert zarr.open_array(path, mode="r").metadata.zarr_format == form
        np.testing.assert_array_equal(zarr.open_array(path, mode="r")[:], MATRIX)
        with nothing_runs():
            x = ka.from_zarr(path)[1:, ::-2]
        assert_same(x, MATRIX[1:, ::-2])
    for kind in ("bool", "i1", "f4", "c16", "M8[ns]"):
        path = tmp_path / kind.partition("[")[0]
        expected = MATRIX.astype(kind)
        ka.to_zarr(ka.from_array(expected, chunks=3), path, zarr_format=form)
        assert_same(ka.from_zarr(path), expected)
    ka.from_array(np.array(3.5)).to_zarr(tmp_path / "no axes", zarr_format=form)
    assert_same(ka.from_zarr(tmp_path / "no axes"), np.array(3.5))
    ka.zeros((0, 3)).to_zarr(tmp_path / "empty", zarr_format=form)
    assert_same(ka.from_zarr(tmp_path / "empty"), np.zeros((0, 3)))


def test_blocks_are_aligned_to_chunks_and_shards(zarr: Any, tmp_path: Path) -> None:
    x = ka.from_array(MATRIX, chunks=((1, 2, 3), (4, 3)))
    x.to_zarr(tmp_path / "chunks", chunks=(2, 3))
    assert zarr.open_array(tmp_path / "chunks").chunks == (2, 3)
    x.to_zarr(tmp_path / "shards", chunks=(2, 2), shards=(4, 4))
    stored = ka.from_zarr(tmp_path / "shards")
    assert stored.chunks == ((4, 2), (4, 3))
    assert_same(stored, MATRIX)
    assert_same(ka.from_zarr(tmp_path / "chunks", chunks=5), MATRIX)
    assert ka.from_zarr(tmp_path / "chunks", chunks=5).chunks == ((5, 1), (5, 2))


def test_each_chunk_is_written_once(zarr: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[int, int]] = []

    def count(self: Any, index: tuple[slice, ...], block: Any) -> None:
        written.extend((i, j) for i in range(index[0].start // 2, -(-index[0].stop // 2)) for j in [index[1].start])

    monkeypatch.setattr(stores.ZarrTarget, "__setitem__", count)
    ka.from_array(MATRIX, chunks=((1, 2, 3), (7,))).to_zarr(tmp_path / "x", chunks=(2, 7))
    assert sorted(written) == [(0, 0), (1, 0), (2, 0)]


@pytest.mark.parametrize("form", [2, 3])
def test_compressors_by_either_name(zarr: Any, tmp_path: Path, form: int) -> None:
    x = ka.from_array(MATRIX, chunks=4)
    for number, name in enumerate(["compressor", "compressors"]):
        x.to_zarr(tmp_path / str(number), zarr_format=form, **{name: None})
        assert zarr.open_array(tmp_path / str(number)).compressors == ()
        assert_same(ka.from_zarr(tmp_path / str(number)), MATRIX)
    with pytest.raises(ValueError, match="compressors=, or compressor="):
        x.to_zarr(tmp_path / "both", compressor=None, compressors=None)


def test_zarr_components_modes_and_appending(zarr: Any, tmp_path: Path) -> None:
    x = ka.from_array(MATRIX, chunks=4)
    x.to_zarr(tmp_path / "g", component="a/b")
    with pytest.raises(ValueError, match=r"already; overwrite=True replaces"):
        x.to_zarr(tmp_path / "g", component="a/b")
    (x * 2).to_zarr(tmp_path / "g", component="a/b", overwrite=True)
    assert_same(ka.from_zarr(tmp_path / "g", component="a/b"), MATRIX * 2)
    with pytest.raises(ValueError, match="which it would replace"):
        (ka.from_zarr(tmp_path / "g", component="a/b") + 1).to_zarr(tmp_path / "g", "a/b", overwrite=True)
    assert_same(ka.from_zarr(tmp_path / "g", component="a/b"), MATRIX * 2)
    (x * 3).to_zarr(tmp_path / "g", "a/b", mode="w")
    (x * 5).to_zarr(tmp_path / "g", "a/b", mode="r+")
    assert_same(ka.from_zarr(tmp_path / "g", "a/b"), MATRIX * 5)
    for axis in (0, 1):
        path = tmp_path / f"grows{axis}"
        x.to_zarr(path)
        x.to_zarr(path, append_axis=axis)
        x[:, :7].to_zarr(path, append_axis=0) if axis == 0 else None
        expected = [MATRIX] * (3 if axis == 0 else 2)
        assert_same(ka.from_zarr(path), np.concatenate(expected, axis))
    with pytest.raises(ValueError, match=r"shape \(5, 7\) cannot be appended along axis 1"):
        x[:5].to_zarr(tmp_path / "grows1", append_axis=1)
    assert zarr.open_array(tmp_path / "grows1").shape == (6, 14)
    with pytest.raises(ValueError, match="mode="):
        x.to_zarr(tmp_path / "y", mode="x")
    with pytest.raises(ValueError, match="do not fit"):
        x.to_zarr(tmp_path / "g", "a/b", region=(slice(0, 6), slice(0, 7)), chunks=3)


def test_zarr_regions(zarr: Any, tmp_path: Path) -> None:
    target = zarr.create_array(store=tmp_path / "x", shape=(12, 10), chunks=(4, 5), dtype="i8")
    expected = np.zeros((12, 10), int)
    region = (slice(2, 8), slice(3, 10))
    ka.from_array(MATRIX, chunks=((2, 4), (2, 5))).to_zarr(target, region=region)
    expected[region] = MATRIX
    np.testing.assert_array_equal(target[:], expected)
    for cut in (((3, 3), (7,)), ((6,), (3, 4)), ((1,) * 6, (7,))):
        with pytest.raises(ValueError, match=r"would write the same chunk .* rechunk"):
            ka.from_array(MATRIX, chunks=cut).to_zarr(tmp_path / "x", region=region)
    np.testing.assert_array_equal(target[:], expected)
    with pytest.raises(ValueError, match="a slice for each of the 2 axes"):
        ka.from_array(MATRIX).to_zarr(tmp_path / "x", region=(slice(0, 6),))
    ka.ones((12, 10), chunks=3, dtype=int).to_zarr(target)
    assert target[:].sum() == 120


def test_zarr_lazily(zarr: Any, tmp_path: Path) -> None:
    x = ka.from_array(MATRIX, chunks=3)
    work = x.to_zarr(tmp_path / "x", compute=False)
    assert zarr.open_array(tmp_path / "x")[:].sum() == 0
    work.compute()
    assert_same(ka.from_zarr(tmp_path / "x"), MATRIX)
    back = x.to_zarr(tmp_path / "y", compute=False, return_stored=True)
    assert zarr.open_array(tmp_path / "y")[:].sum() == 0
    assert_same(back + 1, MATRIX + 1)
    assert_same(x.to_zarr(tmp_path / "z", return_stored=True), MATRIX)


def test_zarr_urls_and_memory(zarr: Any) -> None:
    pytest.importorskip("fsspec")
    x = ka.from_array(MATRIX, chunks=4)
    for url in ("memory://here/x", "memory://there/x"):
        x.to_zarr(url, storage_options={}, overwrite=True)
        assert_same(ka.from_zarr(url, storage_options={}), MATRIX)
    store = zarr.storage.MemoryStore()
    x.to_zarr(store)
    assert_same(ka.from_zarr(zarr.open_array(store)), MATRIX)
    target = stores.ZarrTarget(zarr.open_array(store))
    target.process = os.getpid() + 1
    with pytest.raises(ValueError, match="memory of another process"):
        target[:1, :1] = np.zeros((1, 1))


def test_zarr_errors_say_where(zarr: Any, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no Zarr array at .*nowhere"):
        ka.from_zarr(tmp_path / "nowhere")
    ka.ones((4, 4), chunks=2).to_zarr(tmp_path / "g", component="x")
    with pytest.raises(ValueError, match=r"is a Zarr group; .*arrays: x"):
        ka.from_zarr(tmp_path / "g")
    x = ka.from_zarr(tmp_path / "g", component="x")
    chunk = tmp_path / "g" / "x" / "c" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:-3])
    with pytest.raises(OSError, match=r"g/x.* cannot be read"):
        x.compute()
    (tmp_path / "g" / "x" / "zarr.json").write_text("{")
    with pytest.raises(OSError, match=r"metadata of the Zarr array at .*g"):
        ka.from_zarr(tmp_path / "g", component="x")
    assert ka.from_array(np.ones(3)).to_zarr(tmp_path / "n") is None
    assert ka.from_zarr(tmp_path / "n").name != ka.from_zarr(tmp_path / "n").name
    assert ka.from_zarr(tmp_path / "n", name="n").name == ka.from_zarr(tmp_path / "n", name="n").name


def test_arrays_of_unknown_size_are_written_once(zarr: Any, tmp_path: Path) -> None:
    x = ka.from_array(MATRIX, chunks=4)
    x[x % 2 == 0].to_zarr(tmp_path / "x")
    assert_same(ka.from_zarr(tmp_path / "x"), MATRIX[MATRIX % 2 == 0])
    h5py = pytest.importorskip("h5py")
    ka.to_hdf5(tmp_path / "x.h5", {"x": x[x % 2 == 0]})
    with h5py.File(tmp_path / "x.h5") as file:
        assert_same(ka.from_array(file["x"]), MATRIX[MATRIX % 2 == 0])
    target = np.ones(1)
    with pytest.raises(ValueError, match="shape"):
        ka.store(x[x > 0], target)
    assert target[0] == 1


# -- store() into Zarr arrays


def _counted(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """The first and last elements along the first axis that tasks write, while something is stored."""
    written: list[tuple[int, ...]] = []
    write = stores.ZarrTarget.__setitem__

    def count(self: Any, index: tuple[slice, ...], block: Any) -> None:
        written.append((index[0].start, index[0].stop))
        write(self, index, block)

    monkeypatch.setattr(stores.ZarrTarget, "__setitem__", count)
    return written


def test_store_writes_each_chunk_once(zarr: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = _counted(monkeypatch)
    x = ka.arange(40, chunks=3)
    target = zarr.create_array(store=tmp_path / "x", shape=(40,), chunks=(8,), dtype="i8")
    ka.store(x, target)
    assert sorted(written) == [(0, 8), (8, 16), (16, 24), (24, 32), (32, 40)]
    sharded = zarr.create_array(store=tmp_path / "y", shape=(40,), chunks=(4,), shards=(16,), dtype="i8")
    written.clear()
    ka.store(x[:30], sharded, regions=(slice(5, 35),))
    assert sorted(written) == [(5, 16), (16, 32), (32, 35)]
    np.testing.assert_array_equal(target[:], np.arange(40))
    np.testing.assert_array_equal(sharded[:], np.concatenate([np.zeros(5), np.arange(30), np.zeros(5)]))
    (back,) = ka.store([x * 2], [target], return_stored=True)
    assert_same(back, np.arange(40) * 2)


@pytest.mark.parametrize("step", [1, 2, 3, 4, 5, 9])
@pytest.mark.parametrize("start", [0, 1, 3, 4, 7])
def test_no_two_blocks_of_a_region_share_a_chunk(
    zarr: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, start: int, step: int
) -> None:
    written = _counted(monkeypatch)
    target = zarr.create_array(store=tmp_path / "x", shape=(60,), chunks=(4,), dtype="i8")
    region = (slice(start, None, step),)
    expected = np.zeros(60, "i8")
    values = np.arange(1, len(expected[region]) + 1)
    expected[region] = values
    ka.store(ka.from_array(values, chunks=1), target, regions=region)
    np.testing.assert_array_equal(target[:], expected)
    chunks = [range(first // 4, (last - 1) // 4 + 1) for first, last in sorted(written)]
    assert all(before[-1] < after[0] for before, after in itertools.pairwise(chunks))
    assert len(chunks) > 2


def test_processes_store_into_zarr(zarr: Any, tmp_path: Path, processes: Client) -> None:
    with processes.as_current():
        for number in range(5):
            target = zarr.create_array(store=tmp_path / str(number), shape=(2000,), chunks=(1000,), dtype="f8")
            ka.store(ka.arange(2000.0, chunks=50) + 1, target)
            np.testing.assert_array_equal(target[:], np.arange(2000.0) + 1)
        x = ka.from_array(MATRIX, chunks=2)
        target = zarr.create_array(store=tmp_path / "m", shape=(14, 9), chunks=(4, 4), dtype="i8")
        ka.store([x, x * 2], [target, target], regions=[(slice(2, 8), slice(1, 8)), (slice(8, 14), slice(0, 7))])
        expected = np.zeros((14, 9), int)
        expected[2:8, 1:8], expected[8:14, 0:7] = MATRIX, MATRIX * 2
        np.testing.assert_array_equal(target[:], expected)


def test_regions_that_cut_chunks(zarr: Any, tmp_path: Path, processes: Client) -> None:
    target = zarr.create_array(store=tmp_path / "x", shape=(12, 7), chunks=(4, 7), dtype="i8")
    # Opened twice, it is the same array.
    again = zarr.open_array(tmp_path / "x")
    x = ka.from_array(MATRIX, chunks=1)
    regions = [(slice(0, 6), slice(None)), (slice(6, 12), slice(None))]
    with (
        processes.as_current(),
        pytest.raises(SerializationError, match=r"^arrays 0 and 1 .*/x have elements in the same .* \(4, 7\)"),
    ):
        ka.store([x, x * 2], [target, again], regions=regions)
    assert target[:].sum() == 0
    for _ in range(5):
        ka.store([x, x * 2], [target, again], regions=regions)
        np.testing.assert_array_equal(target[:], np.concatenate([MATRIX, MATRIX * 2]))
        target[:] = 0
    lazily = kask.delayed(zarr.open_array)(tmp_path / "x")
    with processes.as_current():
        with pytest.raises(ValueError, match=r"two blocks of the array would write the same chunk .* rechunk"):
            ka.store(x, lazily, regions=(slice(0, 6), slice(0, 7)))
        ka.store(x.rechunk((4, 7)), lazily, regions=(slice(0, 6), slice(0, 7)))
    np.testing.assert_array_equal(target[:6], MATRIX)


def test_processes_do_not_store_in_memory_of_others(zarr: Any, processes: Client) -> None:
    target = zarr.create_array(store=zarr.storage.MemoryStore(), shape=(6, 7), chunks=(3, 3), dtype="i8")
    ka.store(ka.from_array(MATRIX, chunks=2), target)
    np.testing.assert_array_equal(target[:], MATRIX)
    with processes.as_current(), pytest.raises(ValueError, match="memory of another process"):
        ka.store(ka.from_array(MATRIX, chunks=2), target)


# -- HDF5


@pytest.fixture
def h5py() -> Any:
    return pytest.importorskip("h5py")


def test_hdf5_there_and_back(h5py: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    for number, cut in enumerate(chunkings(MATRIX.shape)):
        ka.from_array(MATRIX, chunks=cut).to_hdf5(path, f"/group/{number}")
    ka.to_hdf5(path, {"a": ka.arange(5, chunks=2), "b": ka.from_array(np.array(2.5))}, chunks=None)
    with h5py.File(path) as file:
        for number in range(len(chunkings(MATRIX.shape))):
            np.testing.assert_array_equal(file[f"group/{number}"][:], MATRIX)
        assert file["a"].chunks is None
        x = ka.from_array(file["group/1"], chunks=3)
        b = ka.from_array(file["b"])
        assert x.name == ka.from_array(file["group/1"], chunks=3).name
    # The user's own file is closed: tasks open theirs.
    assert len(pickle.dumps(x.expr.source)) < 1000
    assert_same(x[::-1, 2:], MATRIX[::-1, 2:])
    assert_same(b, np.array(2.5))
    (ka.from_array(MATRIX) * 2).to_hdf5(path, "group/0", compression=None)
    with h5py.File(path) as file:
        np.testing.assert_array_equal(file["group/0"][:], MATRIX * 2)
    with pytest.raises(ValueError, match=r"dataset 'a' of .*x\.h5 cannot be written"):
        ka.ones((3, 3)).to_hdf5(path, "a")
    with pytest.raises(FileNotFoundError, match=r"the folder of the HDF5 file .*x\.h5 is not there"):
        ka.ones(3).to_hdf5(tmp_path / "nowhere" / "x.h5", "a")
    with pytest.raises(TypeError, match="path of a dataset and an array"):
        ka.to_hdf5(path, ka.ones(3))


def test_hdf5_files_that_are_open(h5py: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["x"] = MATRIX
        x = ka.from_array(file["x"], chunks=3)
        assert_same(x, MATRIX)
        assert x.name != ka.from_array(file["x"], chunks=3).name
    with h5py.File(path), pytest.raises(OSError, match=r"x\.h5 cannot be opened .* close it first"):
        ka.ones(3).to_hdf5(path, "y")
    with h5py.File(path, "r+", driver="core", backing_store=False) as file:
        file["x"][:] = MATRIX * 2
        assert_same(ka.from_array(file["x"], chunks=4), MATRIX * 2)
        del file["x"]
        file["x"] = MATRIX
        assert_same(ka.from_array(file["x"], chunks=4), MATRIX)


def test_hdf5_files_that_cannot_be_read(h5py: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    ka.from_array(np.arange(100_000), chunks=10_000).to_hdf5(path, "x")
    with h5py.File(path) as file:
        # Of different names: an error is kept by its key as long as its traceback is.
        truncated, other, missing, without = [ka.from_array(file["x"], chunks=n) for n in (10**5, 50000, 20000, 10000)]
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(OSError, match=r"x\.h5 is truncated"):
        truncated.compute()
    path.write_bytes(b"something else" * 100)
    with pytest.raises(OSError, match=r"x\.h5 cannot be read as an HDF5 file"):
        other.compute()
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"x\.h5 is not there"):
        missing.compute()
    ka.ones(3).to_hdf5(path, "y")
    with pytest.raises(KeyError, match=r"x\.h5 has no dataset /x"):
        without.compute()


def _hold(path: str, held: Any, done: Any) -> None:
    import h5py

    with h5py.File(path, "r+"):
        held.set()
        done.wait(60)


def test_a_locked_hdf5_file_is_waited_for(h5py: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.h5"
    ka.from_array(MATRIX, chunks=3).to_hdf5(path, "x")
    with h5py.File(path) as file:
        x, y = ka.from_array(file["x"]), ka.from_array(file["x"], chunks=3)
    context = multiprocessing.get_context("spawn")
    held, done = context.Event(), context.Event()
    holder = context.Process(target=_hold, args=(str(path), held, done))
    holder.start()
    try:
        assert held.wait(60)
        monkeypatch.setattr(stores, "PATIENCE_S", 0.05)
        with pytest.raises(OSError, match=r"x\.h5 is locked by another program"):
            x.compute()
        monkeypatch.setattr(stores, "PATIENCE_S", 60.0)

        def sleep(seconds: float) -> None:
            done.set()
            time.sleep(seconds)

        # The file is let go only when somebody waits for it.
        monkeypatch.setattr(stores, "time", SimpleNamespace(monotonic=time.monotonic, sleep=sleep))
        assert_same(y, MATRIX)
    finally:
        done.set()
        holder.join(60)


def test_stores_on_every_engine(client: Client, zarr: Any, h5py: Any, tmp_path: Path) -> None:
    x = ka.from_array(MATRIX, chunks=3)
    x.to_hdf5(tmp_path / "x.h5", "x")
    with h5py.File(tmp_path / "x.h5") as file:
        y = ka.from_array(file["x"], chunks=(2, 7))
    assert_same(y, MATRIX)
    y.to_zarr(tmp_path / "x.zarr")
    assert_same(ka.from_zarr(tmp_path / "x.zarr"), MATRIX)


# -- TileDB


def test_tiledb_there_and_back(tmp_path: Path) -> None:
    pytest.importorskip("tiledb")
    x = ka.from_array(MATRIX, chunks=(4, 3))
    assert x.to_tiledb(str(tmp_path / "x")) is None
    found = ka.from_tiledb(str(tmp_path / "x"))
    assert found.chunks == ((4, 2), (3, 3, 1))
    assert_same(found, MATRIX)
    assert_same(found[::2, ::-1], MATRIX[::2, ::-1])
    with pytest.raises(OSError, match=r"nowhere cannot be opened"):
        ka.from_tiledb(str(tmp_path / "nowhere"))
    with pytest.raises(ValueError, match="no arrays of shape"):
        ka.zeros((0, 2)).to_tiledb(str(tmp_path / "y"))


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name, call in (
        ("tiledb", lambda: ka.from_tiledb("x")),
        ("zarr", lambda: ka.from_zarr("x")),
        ("h5py", lambda: ka.ones(3).to_hdf5("x", "y")),
    ):
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(ImportError, match=f"needs the package {name}, which is not installed"):
            call()


# -- images


def test_images(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    pictures = [np.random.default_rng(i).integers(0, 255, (4, 5, 3), np.uint8) for i in range(4)]
    for i, picture in enumerate(pictures):
        image.fromarray(picture).save(tmp_path / f"{i}.png")
    with nothing_runs():
        x = imread(tmp_path / "*.png")
    assert x.chunks == ((1,) * 4, (4,), (5,), (3,))
    assert_same(x, np.stack(pictures))
    assert_same(imread(tmp_path / "*.png", preprocess=lambda p: p[..., 0] / 2), np.stack(pictures)[..., 0] / 2)
    (tmp_path / "2.png").write_bytes(b"nothing")
    assert_same(x[:2, 1:, ::-1], np.stack(pictures)[:2, 1:, ::-1])
    with pytest.raises(OSError, match=r"2\.png cannot be read"):
        x.compute()
    image.fromarray(pictures[0][1:]).save(tmp_path / "2.png")
    with pytest.raises(ValueError, match=r"2\.png has the shape \(3, 5, 3\)"):
        imread(tmp_path / "*.png").compute()
    with pytest.raises(FileNotFoundError, match="no image file"):
        imread(tmp_path / "*.jpg")


# -- push, kinds, pictures


def _pushed(array: np.ndarray, n: int | None, axis: int) -> np.ndarray:
    def along(lane: np.ndarray) -> np.ndarray:
        out = lane.copy()
        since = None
        for i in range(len(lane)):
            if lane[i] == lane[i]:
                since = i
            elif since is not None and (n is None or i - since <= n):
                out[i] = lane[since]
        return out

    out = array.copy()
    for index in np.ndindex(*[1 if one == axis % array.ndim else length for one, length in enumerate(array.shape)]):
        lane = tuple([slice(None) if one == axis % array.ndim else at for one, at in enumerate(index)])
        out[lane] = along(array[lane])
    return out


@pytest.mark.parametrize("kind", ["f8", "f4", "c16", "M8[s]", "m8[D]", "O"])
@pytest.mark.parametrize("n", [None, 0, 1, 3])
def test_push(kind: str, n: int | None) -> None:
    array = np.random.default_rng(5).integers(0, 9, (7, 6)).astype(kind)
    missing = np.array("NaT", kind)[()] if kind[0] in "mM" else np.nan
    array[np.random.default_rng(6).random((7, 6)) < 0.6] = missing
    for axis in (0, -1):
        for cut in chunkings(array.shape):
            with nothing_runs():
                found = ka.push(ka.from_array(array, chunks=cut), n, axis)
            expected = _pushed(array, n, axis)
            # NumPy does not take NaN for equal in arrays of objects.
            assert found.dtype == expected.dtype
            assert_same(
                found.astype(float) if kind == "O" else found, expected.astype(float) if kind == "O" else expected
            )
    assert_same(ka.push(ka.arange(3, chunks=1), n, 0), np.arange(3))


def test_meta_from_array() -> None:
    assert meta_from_array(ka.ones((3, 4), dtype="f4")).shape == (0, 0)
    assert meta_from_array(ka.ones((3, 4), dtype="f4")).dtype == np.float32
    assert meta_from_array(np.ones(3), ndim=3, dtype="i2").shape == (0, 0, 0)
    assert meta_from_array(None, ndim=1).dtype == float
    assert meta_from_array([1, 2]).dtype == int
    masked = meta_from_array(np.ma.ones((2, 2)))
    assert isinstance(masked, np.ma.MaskedArray) and masked.shape == (0, 0)


def test_backends() -> None:
    x = ka.ones((3, 4), chunks=2)
    assert x.to_backend() is x and x.to_backend("numpy") is x
    with pytest.raises(ValueError, match="'numpy' or 'cupy', not 'torch'"):
        x.to_backend("torch")
    with pytest.raises(TypeError, match="does not know like"):
        x.to_backend("numpy", like=1)
    sparse = pytest.importorskip("sparse")
    y = ka.from_array(sparse.COO.from_numpy(np.eye(4)), chunks=2)
    assert_same(y.to_backend("numpy"), np.eye(4))


def test_pictures_of_chunks() -> None:
    x = ka.ones((40, 60), chunks=(10, 20))
    with nothing_runs():
        text = x._repr_html_()
    for part in ("18.75 KiB", "1.56 KiB", "(40, 60)", "(10, 20)", "12 chunks", "float64", "numpy.ndarray", "<svg"):
        assert part in text
    assert "currentColor" in text and "rgb(0,0,0)" not in text
    assert "<td>1 chunk</td>" in ka.ones(3)._repr_html_()
    # Five cuts across, four along.
    assert x.to_svg().count("<line") == 5 + 4
    assert ka.ones((2, 3, 4), chunks=1).to_svg().count("<polygon") == 3
    assert ka.ones((9, 2, 3, 4), chunks=1).to_svg().count("<polygon") == 3
    assert ka.ones(9, chunks=1).to_svg().count("<line") == 10 + 2
    with nothing_runs():
        assert ka.ones((10**6,) * 3, chunks=1).to_svg().count("<line") == 6 * 51
        assert len(ka.ones((10**6,) * 3, chunks=1)._repr_html_()) < 40_000
        assert "?" in x[x > 0]._repr_html_()
    assert "<svg" not in ka.zeros((0, 3))._repr_html_()
    assert "<svg" not in ka.ones(())._repr_html_()
    with pytest.raises(NotImplementedError, match="cannot be drawn"):
        ka.ones(()).to_svg()
    named = ka.zeros(3, dtype=[("<b>", "i4")])._repr_html_()
    assert "<b>" not in named and "&lt;b&gt;" in named


def test_pictures_are_well_formed() -> None:
    from xml.etree import ElementTree

    for shape in ((5,), (5, 6), (5, 6, 7)):
        root = ElementTree.fromstring(ka.ones(shape, chunks=2).to_svg(size=120))
        assert 120 <= float(root.attrib["width"]) <= 300


def test_zarr_where_nothing_can_be_made_says_where(zarr: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError, match=r"no Zarr array can be made at .*x\.zarr"):
        ka.ones(3).to_zarr(tmp_path / "file" / "x.zarr")


def test_zarr_chunks_that_cannot_be_written_say_where(zarr: Any, tmp_path: Path) -> None:
    ka.zeros((4, 4), chunks=2).to_zarr(tmp_path / "x.zarr")
    # A folder stands where the chunk belongs.
    (tmp_path / "x.zarr" / "c" / "1" / "1").mkdir(parents=True)
    with pytest.raises(OSError, match=r"x\.zarr cannot be written"):
        ka.ones((4, 4), chunks=2).to_zarr(tmp_path / "x.zarr", mode="r+")


def test_hdf5_dataset_that_has_become_shorter(h5py: Any, tmp_path: Path) -> None:
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        file["x"] = np.ones((8, 6))
    with h5py.File(path, "r") as file:
        x = ka.from_array(file["x"], chunks=(4, 6))
    with h5py.File(path, "w") as file:
        file["x"] = np.ones((6, 6))
    with pytest.raises(ValueError, match=r"/x of .*x\.h5 has given \(2, 6\) elements where \(4, 6\) were to be read"):
        x.sum().compute()


def test_masks_are_not_lost_in_stores(tmp_path: Path) -> None:
    x = ka.ma.masked_greater(ka.arange(6, chunks=4), 3)
    with pytest.raises(TypeError, match=r"a \.npy file has no masks"):
        ka.to_npy_stack(tmp_path / "x", x)
    zarr = pytest.importorskip("zarr")
    with pytest.raises(TypeError, match=r"a Zarr array has no masks, .* what ka\.ma\.filled\(x, value\) gives"):
        x.to_zarr(tmp_path / "x.zarr")
    with pytest.raises(TypeError, match="a Zarr array has no masks"):
        ka.store(x, zarr.create_array({}, shape=(6,), dtype=int))
    assert not list(tmp_path.iterdir())
    x.filled(-1).to_zarr(tmp_path / "x.zarr")
    assert ka.from_zarr(tmp_path / "x.zarr").compute().tolist() == [0, 1, 2, 3, -1, -1]
