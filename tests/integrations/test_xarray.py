"""xarray on Kask's arrays: the same answers as on NumPy's, and nothing for programs that did not ask."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

xr = pytest.importorskip("xarray")

import kask  # noqa: E402
import kask.array as ka  # noqa: E402
from kask.array.ops import storing_here  # noqa: E402
from kask.base import Work  # noqa: E402
from kask.distributed import Client  # noqa: E402
from kask.integrations.xarray import KaskManager, UnaskedManager  # noqa: E402

MANAGER = KaskManager()


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> Any:
    """As if the package was installed with its entry points, and the user asked for it."""
    from xarray.namedarray import parallelcompat

    managers = {"kask": MANAGER, "kask-unasked": UnaskedManager()}
    monkeypatch.setattr(parallelcompat, "list_chunkmanagers", lambda: managers)
    with xr.set_options(chunk_manager="kask"):
        yield


def plain() -> Any:
    values = np.random.default_rng(3).random((60, 7))
    coordinates = {"time": np.arange(60), "x": np.arange(7) * 2.0, "k": ("time", np.arange(60) % 4)}
    return xr.Dataset({"t": (("time", "x"), values)}, coords=coordinates)


def chunked(size: int = 11) -> Any:
    """The same in blocks; what is grouped by stays in memory, as xarray wants it."""
    return plain().chunk(time=size).assign_coords(k=plain().k)


OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "anomaly": lambda ds: ds.groupby("k") - ds.groupby("k").mean(),
    "groups": lambda ds: ds.groupby("k").mean(),
    "first of groups": lambda ds: ds.groupby("k").first(),
    "shuffled groups": lambda ds: ds.groupby("k").shuffle_to_chunks().sortby("time"),
    "rolling": lambda ds: ds.rolling(time=3).mean(),
    "windows": lambda ds: ds.rolling(time=3).construct("w"),
    "coarsen": lambda ds: ds.coarsen(time=4).mean(),
    "cumsum": lambda ds: ds.cumsum("time"),
    "interp": lambda ds: ds.interp(time=[1.5, 30.2], x=[0.3, 4.0]),
    "lists": lambda ds: ds.isel(time=[3, 1], x=slice(None, None, -2)),
    "sorted": lambda ds: ds.sortby("time", ascending=False),
    "median": lambda ds: ds.median("time"),
    "deviations of whole numbers": lambda ds: (ds * 10).astype(int).std("time", ddof=1) + (ds > 0.5).var("time"),
    "shift": lambda ds: ds.shift(time=2),
    "diff": lambda ds: ds.diff("time"),
    "ones": xr.ones_like,
    "unified": lambda ds: ds.unify_chunks(),
    "concat": lambda ds: xr.concat([ds, ds], "time"),
    "stack": lambda ds: ds.stack(z=("time", "x")),
    "argmax": lambda ds: ds.argmax("time"),
    "where": lambda ds: ds.where(ds.t > 0.5, 2),
    "gufunc": lambda ds: xr.apply_ufunc(
        np.fft.fft,
        ds.t,
        input_core_dims=[["x"]],
        output_core_dims=[["x"]],
        dask="parallelized",
        output_dtypes=[complex],
    ),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_same_answers(name: str) -> None:
    call = OPERATIONS[name]
    found = call(chunked())
    one = next(iter(found.data_vars.values())) if isinstance(found, xr.Dataset) else found
    assert isinstance(one.variable.data, ka.Array)
    xr.testing.assert_allclose(found.compute(), call(plain()))


def test_gaps_are_filled() -> None:
    pytest.importorskip("bottleneck")
    for call in (
        lambda ds: ds.ffill("time"),
        lambda ds: ds.bfill("time", limit=2),
        lambda ds: ds.ffill("time", limit=30),
    ):
        found = call(chunked().where(lambda ds: ds.t > 0.7))
        # xarray itself makes NumPy arrays here of all but Dask's.
        xr.testing.assert_identical(found.compute(), call(plain().where(lambda ds: ds.t > 0.7)))


def _filled(array: np.ndarray, axis: int) -> np.ndarray:
    places = np.where(np.isnan(array), 0, np.arange(array.shape[axis]))
    return array[np.maximum.accumulate(places)]


def test_scans() -> None:
    gaps = np.where(np.arange(60) % 7 < 2, np.arange(60.0), np.nan)
    for size in (1, 5, 60):
        x = ka.from_array(gaps, chunks=size)
        found = MANAGER.scan(
            _filled, lambda a, b: np.where(np.isnan(b), a, b), np.nan, x, axis=0, dtype=float, method="blelloch"
        )
        np.testing.assert_array_equal(found.compute(), ka.push(gaps, None, 0).compute())
    values = np.arange(20).reshape(4, 5)
    for axis, chunks in ((0, (1, 5)), (1, (2, 2)), (1, ((4,), (2, 0, 3)))):
        found = MANAGER.scan(np.cumsum, np.add, 0, ka.from_array(values, chunks=chunks), axis=axis, dtype=values.dtype)
        np.testing.assert_array_equal(found.compute(), np.cumsum(values, axis))


def test_files(client: Client, tmp_path: Path) -> None:
    pytest.importorskip("h5netcdf")
    pytest.importorskip("zarr")
    ds = plain()
    x = ds.chunk(time=20)
    x.to_zarr(tmp_path / "x.zarr")
    x.to_netcdf(tmp_path / "x.nc", engine="h5netcdf")
    for opened in (
        xr.open_zarr(tmp_path / "x.zarr", chunks={}),
        xr.open_zarr(tmp_path / "x.zarr", chunked_array_type="kask", chunks={"time": 40}),
        xr.open_dataset(tmp_path / "x.nc", engine="h5netcdf", chunks={"time": 7}),
    ):
        assert isinstance(opened.t.data, ka.Array)
        xr.testing.assert_identical(opened.compute(), ds)
        assert isinstance(opened.persist().t.data, ka.Array)
        opened.close()


def test_the_blocks_of_a_file_are_computed_by_one_graph(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("netCDF4")
    submitted: list[Work] = []
    taken: list[int] = []
    submit, place = Work.submit, storing_here._Writer.place
    monkeypatch.setattr(Work, "submit", lambda self, target: submitted.append(self) or submit(self, target))
    monkeypatch.setattr(
        storing_here._Writer,
        "place",
        lambda self, first, blocks: taken.append(len(blocks)) or place(self, first, blocks),
    )
    monkeypatch.setattr(storing_here, "_STEP_BYTES", 2000)
    ds = plain().drop_vars("k").assign(u=lambda ds: ds.t.sum("x"), empty=("none", np.zeros(0)))
    for engine, chunks in (("netcdf4", {"time": 7, "x": 3}), ("h5netcdf", {"time": 11}), ("scipy", {"x": 2})):
        submitted.clear()
        (ds.chunk(chunks) * 2).to_netcdf(tmp_path / "x.nc", engine=engine)
        assert len(submitted) == 1
        with xr.open_dataset(tmp_path / "x.nc", engine=engine, chunks=None) as found:
            xr.testing.assert_allclose(found, ds * 2, rtol=1e-15)
    # What is here at a time are a few blocks, and not all.
    assert 1 < max(taken) <= 30 and len(taken) > 9


@pytest.mark.parametrize("engine", ["netcdf4", "h5netcdf"])
def test_variables_that_grow(engine: str, client: Client, tmp_path: Path) -> None:
    pytest.importorskip("netCDF4")
    for scheduler in ("auto", "embedded"):
        with kask.config.set({"scheduler": scheduler}):
            chunked(13).to_netcdf(tmp_path / "x.nc", engine=engine, unlimited_dims=["time"])
        with xr.open_dataset(tmp_path / "x.nc", engine=engine, chunks=None) as found:
            assert found.encoding["unlimited_dims"] == {"time"}
            xr.testing.assert_identical(found.load(), plain())


def test_parts_of_targets(client: Client) -> None:
    class Target:
        def __init__(self) -> None:
            self.values = np.zeros((6, 8))

        def __setitem__(self, index: Any, block: Any) -> None:
            self.values[index] = block

    a, b = np.arange(12.0).reshape(3, 4), np.ones((6, 8))
    for chunks in (1, 2, (3, 1), -1):
        targets = [Target(), Target()]
        regions = [(slice(0, 6, 2), slice(2, 6)), None]
        MANAGER.store([ka.from_array(a, chunks=chunks), ka.from_array(b, chunks=chunks)], targets, regions=regions)
        expected = np.zeros((6, 8))
        expected[0:6:2, 2:6] = a
        np.testing.assert_array_equal(targets[0].values, expected)
        np.testing.assert_array_equal(targets[1].values, b)


def test_lazy_writes_are_refused_without_dask(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    for number, write in enumerate((xr.Dataset.to_zarr, xr.Dataset.to_netcdf)):
        try:
            import dask  # noqa: F401
        except ImportError:
            with pytest.raises(NotImplementedError, match=r"kask.delayed\(ds.to_netcdf\).*region="):
                write(chunked(), tmp_path / f"{number}", compute=False)
        else:
            write(chunked(), tmp_path / f"{number}", compute=False).compute()
            opened = (xr.open_zarr, xr.open_dataset)[number](tmp_path / f"{number}", chunks=None)
            xr.testing.assert_identical(opened.load(), plain())


def test_what_dask_is_given_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dask computes calls that it made itself; anything else it would hand on as it is."""
    stub = types.ModuleType("dask")
    vars(stub)["delayed"] = lambda func, pure: lambda *args: types.SimpleNamespace(compute=lambda: func(*args))
    monkeypatch.setitem(sys.modules, "dask", stub)
    target, x = np.zeros(5), ka.arange(5.0, chunks=2)
    lazy = MANAGER.store([x], [target], lock=None, regions=[None], compute=False, flush=True)
    x[0] = 9.0
    assert not target.any()
    assert type(lazy) is types.SimpleNamespace
    lazy.compute()
    np.testing.assert_array_equal(target, np.arange(5.0))


#: What xarray itself wants to have in one chunk.
IN_ONE_CHUNK: dict[str, Callable[[Any], Any]] = {
    "interpolate_na": lambda ds: ds.t.where(ds.t > 0.2).interpolate_na("time"),
    "rank": lambda ds: ds.t.rank("time"),
    "quantile of groups": lambda ds: ds.t.groupby("k").quantile(0.3),
    "weighted quantile": lambda ds: ds.t.weighted(plain().time + 1.0).quantile(0.3, dim="time"),
    "curvefit": lambda ds: ds.t.curvefit("time", lambda time, a, b: a * time + b),
    "cross": lambda ds: xr.cross(ds.t[:3], ds.t[:3] + 1, dim="time"),
}


@pytest.mark.parametrize("name", IN_ONE_CHUNK)
def test_whole_dimensions(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    call = IN_ONE_CHUNK[name]
    if name == "rank":
        pytest.importorskip("bottleneck")
    with monkeypatch.context() as patch:
        patch.setattr(kask.base, "engine_for", None)
        found = call(plain().chunk(time=-1, x=3).assign_coords(k=plain().k))
    xr.testing.assert_allclose(found.compute(), call(plain()))
    if name != "quantile of groups" or "dask" not in sys.modules:
        with pytest.raises(ValueError, match="multiple chunks"):
            call(chunked(2))


def test_the_guide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The examples of docs/array.md on xarray."""
    for module in ("zarr", "netCDF4", "h5netcdf"):
        pytest.importorskip(module)
    text = (Path(__file__).resolve().parents[2] / "docs" / "array.md").read_text()
    section = text[text.index("\n## xarray") : text.index("\n## The array API standard")]
    blocks = re.findall(r"^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    days = xr.date_range("2001-01-01", periods=200, use_cftime=False)
    ds = xr.Dataset({"t": (("time", "x"), np.random.default_rng(1).random((200, 3)))}, coords={"time": days})
    monkeypatch.chdir(tmp_path)
    ds.to_zarr("x.zarr")
    ds.to_netcdf("x.nc")
    names: dict[str, Any] = {"kask": kask, "ka": ka, "np": np}
    for block in blocks:
        exec(block, names)
    for found in (xr.open_zarr("y.zarr", chunks=None), xr.open_dataset("y.nc", chunks=None)):
        xr.testing.assert_identical(found.load(), ds)
        found.close()
    names["ds"].close()


def test_who_does_not_ask_gets_nothing(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    program = """
import sys, numpy as np, xarray as xr
from importlib.metadata import entry_points
from xarray.namedarray import parallelcompat
from kask.integrations.xarray import KaskManager, UnaskedManager
parallelcompat.list_chunkmanagers = lambda: {"kask": KaskManager(), "kask-unasked": UnaskedManager()}
ds = xr.Dataset({"t": ("x", np.arange(5))})
ds.to_zarr(sys.argv[1])
print(xr.open_zarr(sys.argv[1]).t.variable.chunks)
try:
    ds.chunk(x=2)
except ImportError as error:
    print("dask" in str(error))
print("kask.array" in sys.modules)
print(type(ds.chunk(x=2, chunked_array_type="kask").t.data).__module__)
"""
    environment = {**os.environ, "PYTHONWARNINGS": "ignore"}
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "x.zarr")],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    has_dask = "dask.array" in done.stdout
    assert has_dask or done.stdout.split() == ["None", "True", "False", "kask.array.collection"]


def test_entry_points_are_installed() -> None:
    """What `make build` installed is what is declared, and loads."""
    import tomllib
    from importlib.metadata import distribution

    content = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())
    declared = content["project"]["entry-points"]["xarray.chunkmanagers"]
    found = {one.name: one for one in distribution("kask").entry_points if one.group == "xarray.chunkmanagers"}
    assert {name: one.value for name, one in found.items()} == declared
    assert all(one.load()().available for one in found.values())


INSTALLED = """
import sys, numpy as np, xarray as xr
from xarray.namedarray.parallelcompat import list_chunkmanagers
print(*sorted(name for name in list_chunkmanagers() if name != "dask"))
ds = xr.Dataset({"t": ("x", np.arange(5))}, coords={"x": np.arange(5) % 2})
ds.to_zarr(sys.argv[1])
unasked = xr.open_zarr(sys.argv[1])
print("dask.array" in type(unasked.t.variable._data).__module__ or unasked.t.chunks is None, "kask.array" in sys.modules)
with xr.set_options(chunk_manager="kask"):
    asked = xr.open_zarr(sys.argv[1], chunks={"x": 2})
print(type(asked.t.data).__module__, asked.groupby("x").mean().compute().t.values)
print(type(xr.open_zarr(sys.argv[1], chunks={}, chunked_array_type="kask").t.data).__module__)
print(asked.mean().compute().t.item())
"""


def test_an_installed_kask_is_found_and_waits_to_be_asked(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", INSTALLED, str(tmp_path / "x.zarr")],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "kask kask-unasked",
        "True False",
        "kask.array.collection [2. 2.]",
        "kask.array.collection",
        "2.0",
    ]


def test_the_other_manager_makes_nothing() -> None:
    other = UnaskedManager()
    assert not other.is_chunked_array(ka.ones(3))
    with pytest.raises(NotImplementedError, match="chunked_array_type"):
        other.from_array(np.ones(3), 1)
    assert MANAGER.get_auto_chunk_size() > 0
    assert MANAGER.normalize_chunks("auto", (10, 10), dtype=np.float64, previous_chunks=(5, 5)) == ((10,), (10,))
