"""Datasets that a user has open: netCDF4, h5netcdf and h5py, whose library takes one call at a time."""

from __future__ import annotations

import contextlib
import io
import operator
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from against_numpy import assert_same, chunkings, nothing_runs

import kask
import kask.array as ka
from kask.array.kernels.open_datasets import HDF5_LOCK
from kask.distributed import Client
from kask.exceptions import SerializationError

netCDF4 = pytest.importorskip("netCDF4")
h5netcdf = pytest.importorskip("h5netcdf")
legacyapi = pytest.importorskip("h5netcdf.legacyapi")
h5py = pytest.importorskip("h5py")

MATRIX = np.arange(42.0).reshape(6, 7)
#: Not deeper, as h5netcdf's legacy interface does not find what is.
VARIABLE = "g/x"
#: Open a file for reading, each with another library.
READERS: dict[str, Callable[[Any], Any]] = {
    "netCDF4": netCDF4.Dataset,
    "h5netcdf": lambda path: h5netcdf.File(path, "r"),
    "h5netcdf.legacyapi": legacyapi.Dataset,
}


def written(path: Path, **options: Any) -> Path:
    """A netCDF file with MATRIX as a variable of a group, or of the root where there are no groups."""
    with netCDF4.Dataset(path, "w", **options) as file:
        group = file if "format" in options else file.createGroup("g")
        group.createDimension("i", 6)
        group.createDimension("j", 7)
        cut = {} if "format" in options else {"chunksizes": (2, 3), "zlib": True}
        group.createVariable("x", "f8", ("i", "j"), **cut)[:] = MATRIX
    return path


@pytest.mark.parametrize("library", READERS)
def test_read(library: str, tmp_path: Path) -> None:
    with READERS[library](written(tmp_path / "x.nc")) as file:
        for cut in chunkings(MATRIX.shape):
            with nothing_runs():
                x = ka.from_array(file[VARIABLE], chunks=cut)
            assert_same(x, MATRIX)
            assert_same(x[::-2, 1:5], MATRIX[::-2, 1:5])
        assert ka.from_array(file[VARIABLE]).name == ka.from_array(file[VARIABLE]).name
        assert ka.from_array(file[VARIABLE], chunks={0: "auto"}).chunks[0] == (6,)
        assert ka.from_array(file[VARIABLE], getitem=operator.getitem, chunks=2, name=False).compute().sum() == 861
        y = ka.from_array(file[VARIABLE], chunks=4)
    # The user's file is closed: tasks open it again.
    assert_same(y + 1, MATRIX + 1)


@pytest.mark.parametrize("library", READERS)
def test_read_on_every_engine(library: str, client: Client, tmp_path: Path) -> None:
    with READERS[library](written(tmp_path / "x.nc")) as file:
        x = ka.from_array(file[VARIABLE], chunks=(2, 7))
        assert_same(x.sum(axis=0), MATRIX.sum(axis=0))
    assert_same(x * 2, MATRIX * 2)


def test_chunks_follow_the_file(tmp_path: Path) -> None:
    path = written(tmp_path / "x.nc")
    with kask.config.set({"array.chunk_size_bytes": 48}):
        for library, opened in READERS.items():
            with opened(path) as file:
                assert ka.from_array(file[VARIABLE]).chunks == ((2, 2, 2), (3, 3, 1)), library


def test_old_formats_and_scaled_values(tmp_path: Path, processes: Client) -> None:
    with netCDF4.Dataset(written(tmp_path / "old.nc", format="NETCDF3_CLASSIC")) as file:
        x = ka.from_array(file["x"], chunks=4)
        assert_same(x, MATRIX)
        np.testing.assert_array_equal(processes.compute(x).result(), MATRIX)
    with netCDF4.Dataset(tmp_path / "x.nc", "w") as file:
        file.createDimension("i", 3)
        packed = file.createVariable("packed", "i2", ("i",), fill_value=-1)
        packed.scale_factor = 0.5
        packed[:] = np.ma.masked_array([1.0, 2.0, 3.0], [False, True, False])
        file.createVariable("scalar", "f4", ())[...] = 2.5
        file.createVariable("text", str, ("i",))[:] = np.array(["a", "bb", "c"], object)
    with netCDF4.Dataset(tmp_path / "x.nc") as file:
        for name in ("packed", "scalar", "text"):
            x = ka.from_array(file[name], chunks=2 if file[name].shape else ())
            expected = np.asarray(file[name][...])
            assert x.dtype == expected.dtype
            np.testing.assert_array_equal(x.compute(), expected)
            np.testing.assert_array_equal(processes.compute(x).result(), expected)
        masked = ka.from_array(file["packed"], chunks=2, asarray=False)
        for found in (masked.compute(), processes.compute(masked).result()):
            assert found.mask.tolist() == [False, True, False]
        assert float(masked.sum().compute()) == 4.0
        file["packed"].set_auto_maskandscale(False)
        raw = ka.from_array(file["packed"], chunks=2)
        assert_same(raw, np.array([2, -1, 6], "i2"))
        assert processes.compute(raw).result().tolist() == [2, -1, 6]


def test_what_is_in_memory_is_read_here_only(tmp_path: Path, processes: Client) -> None:
    content = written(tmp_path / "x.nc").read_bytes()
    # A file of this name is there, but it is not what was opened.
    with netCDF4.Dataset(str(tmp_path / "x.nc"), memory=content) as file:
        written(tmp_path / "x.nc", format="NETCDF3_CLASSIC")
        x = ka.from_array(file[VARIABLE], chunks=3)
        assert_same(x, MATRIX)
        with pytest.raises(SerializationError, match=r"^the netCDF variable /g/x of .*x\.nc cannot be opened by other"):
            processes.compute(x)
        with pytest.raises(SerializationError, match="scheduler='threads'"):
            processes.persist(x)
    with pytest.raises(ValueError, match=r"x\.nc has been closed"):
        (x + 1).compute()
    with h5netcdf.File(io.BytesIO(content), "r") as file:
        x = ka.from_array(file[VARIABLE], chunks=3)
        assert_same(x, MATRIX)
        with pytest.raises(SerializationError, match=r"the netCDF variable /g/x of .* cannot be opened by other"):
            processes.compute(x)
    with h5py.File(tmp_path / "x.h5", "w", driver="core", backing_store=False) as file:
        file["x"] = MATRIX
        x = ka.from_array(file["x"], chunks=3)
        assert_same(x, MATRIX)
        with pytest.raises(SerializationError, match=r"the HDF5 dataset /x of .*x\.h5 cannot be opened by other"):
            processes.compute(x)


def test_several_files_read_as_one(tmp_path: Path, processes: Client) -> None:
    paths = []
    for number in range(2):
        paths.append(tmp_path / f"{number}.nc")
        with netCDF4.Dataset(paths[-1], "w", format="NETCDF4_CLASSIC") as file:
            file.createDimension("i", None)
            file.createVariable("x", "f8", ("i",))[:] = np.arange(4.0) + 4 * number
    with netCDF4.MFDataset([str(path) for path in paths]) as file:
        x = ka.from_array(file.variables["x"], chunks=3)
        assert_same(x, np.arange(8.0))
        with pytest.raises(SerializationError, match="of several files cannot be opened by other"):
            processes.compute(x)


def test_files_that_are_open_for_writing(tmp_path: Path, processes: Client) -> None:
    with netCDF4.Dataset(tmp_path / "x.nc", "w") as file:
        file.createDimension("i", 4)
        variable = file.createVariable("x", "f8", ("i",))
        variable[:] = 1
        x = ka.from_array(variable, chunks=2)
        assert x.name != ka.from_array(variable, chunks=2).name
        assert_same(x, np.ones(4))
        with pytest.raises(OSError, match=r"x\.nc cannot be opened: .* close it there"):
            processes.compute(x).result()
    (tmp_path / "x.nc").unlink()
    with pytest.raises(FileNotFoundError, match=r"the netCDF file .*x\.nc is not there"):
        (x + 1).compute()
    written(tmp_path / "x.nc")
    with pytest.raises(KeyError, match=r"x\.nc has no variable /x"):
        (x + 2).compute()


@pytest.mark.parametrize("library", ["netCDF4", "h5netcdf", "h5py"])
def test_store(library: str, tmp_path: Path, processes: Client) -> None:
    with _writable(library, tmp_path / "x.nc") as targets:
        x = ka.from_array(MATRIX, chunks=(1, 3))
        ka.store([x, x * 2], targets)
        np.testing.assert_array_equal(targets[0][:], MATRIX)
        np.testing.assert_array_equal(targets[1][:], MATRIX * 2)
        ka.store(x[:2] - 1, targets[0], regions=(slice(1, 5, 2), slice(None)))
        np.testing.assert_array_equal(targets[0][1:5:2], MATRIX[:2] - 1)
        (back,) = ka.store([x + 5], targets[1:], return_stored=True)
        assert_same(back, MATRIX + 5)
        with processes.as_current(), pytest.raises(SerializationError, match=r"several processes cannot .* to_zarr"):
            ka.store(x, targets[0])
        work = ka.store(x, targets[0], compute=False)
        with pytest.raises(SerializationError, match=r"^the .* of .*x\.nc is open in this process"):
            processes.compute(work)
        np.testing.assert_array_equal(targets[0][0], MATRIX[0])


@contextlib.contextmanager
def _writable(library: str, path: Path) -> Iterator[list[Any]]:
    """Two targets in a file that is open."""
    if library == "h5py":
        with h5py.File(path, "w") as file:
            yield [file.create_dataset(name, (6, 7), "f8", chunks=(2, 3)) for name in "xy"]
    elif library == "h5netcdf":
        with h5netcdf.File(path, "w") as file:
            file.dimensions = {"i": 6, "j": 7}
            yield [file.create_variable(name, ("i", "j"), "f8", chunks=(2, 3)) for name in "xy"]
    else:
        with netCDF4.Dataset(path, "w") as file:
            file.createDimension("i", 6)
            file.createDimension("j", 7)
            yield [file.createVariable(name, "f8", ("i", "j"), chunksizes=(2, 3)) for name in "xy"]


def test_one_lock_for_all(tmp_path: Path, script: Any) -> None:
    """What takes one call at a time would kill this process: another one tries."""
    code = """
import sys, numpy as np, kask, kask.array as ka, netCDF4, h5netcdf, h5py
matrix = np.random.default_rng(0).random((200, 300))
path, out = sys.argv[1:]
with netCDF4.Dataset(path, "w") as file:
    file.createDimension("i", 200)
    file.createDimension("j", 300)
    file.createVariable("x", "f8", ("i", "j"), chunksizes=(10, 300), zlib=True)[:] = matrix
readers = [netCDF4.Dataset(path), h5netcdf.File(path, "r"), h5py.File(path, "r")]
for _ in range(5):
    arrays = [ka.from_array(file["x"], chunks=(10, 50), name=False) for file in readers]
    for found in kask.compute(*arrays, scheduler="threads"):
        assert np.array_equal(found, matrix)
with netCDF4.Dataset(out, "w") as file:
    file.createDimension("i", 200)
    file.createDimension("j", 300)
    targets = [file.createVariable(name, "f8", ("i", "j"), chunksizes=(10, 300), zlib=True) for name in "xy"]
    for number in range(3):
        x = ka.from_array(readers[0]["x"], chunks=(10, 50)) + number
        ka.store([x, -x], targets)
        assert np.array_equal(targets[0][:], matrix + number) and np.array_equal(targets[1][:], -matrix - number)
print("done")
"""
    found = script(code, tmp_path / "x.nc", tmp_path / "out.nc", timeout=120)
    assert found.stdout.strip() == "done", found.stderr
    assert found.returncode == 0


def test_reading_holds_the_lock(tmp_path: Path) -> None:
    with netCDF4.Dataset(written(tmp_path / "x.nc")) as file:
        x = ka.from_array(file[VARIABLE], chunks=3)
        done = threading.Event()

        def read() -> None:
            x.compute()
            done.set()

        reader = threading.Thread(target=read)
        with HDF5_LOCK:
            reader.start()
            assert not done.wait(0.3)
        assert done.wait(30)
        reader.join()
