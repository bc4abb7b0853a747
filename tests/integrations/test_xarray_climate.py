"""Climate arithmetic in xarray on Kask's arrays: the same answers as on NumPy's, and lazy until they are wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

xr = pytest.importorskip("xarray")
pd = pytest.importorskip("pandas")

import kask.array as ka  # noqa: E402
import kask.base  # noqa: E402
from kask.distributed import Client  # noqa: E402
from kask.integrations.xarray import KaskManager, UnaskedManager  # noqa: E402


@pytest.fixture(autouse=True)
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As if the package was installed with its entry points, and the user asked for it."""
    from xarray.namedarray import parallelcompat

    managers = {"kask": KaskManager(), "kask-unasked": UnaskedManager()}
    monkeypatch.setattr(parallelcompat, "list_chunkmanagers", lambda: managers)
    with xr.set_options(chunk_manager="kask", use_bottleneck=False):
        yield


def plain() -> Any:
    """Two years of days on a small grid: temperatures with gaps, and rain."""
    rng = np.random.default_rng(5)
    time = pd.date_range("2003-01-01", "2004-12-31")
    season = 10 * np.sin(2 * np.pi * np.asarray(time.day_of_year) / 365.25)
    t = season[:, None, None] + rng.normal(15, 3, (len(time), 4, 5))
    t[rng.random(t.shape) < 0.05] = np.nan
    coordinates = {"time": time, "lat": np.linspace(-60, 60, 4), "lon": np.linspace(0, 288, 5)}
    fields = {"t": (("time", "lat", "lon"), t), "rain": (("time", "lat", "lon"), rng.gamma(1, 2, t.shape).astype("f4"))}
    return xr.Dataset(fields, coords=coordinates)


PLAIN = plain()


def seasons(ds: Any) -> Any:
    return ds.groupby("time.season")


def whole(ds: Any) -> Any:
    """One chunk along the axes of a quantile: where Dask is not installed, xarray takes no other, whatever the chunk manager."""
    return ds.chunk(time=-1, lon=-1) if ds.chunks else ds


def by_latitude(ds: Any) -> Any:
    return ds.weighted(np.cos(np.deg2rad(ds.lat)))


OPERATIONS: dict[str, Callable[[Any], Any]] = {
    "climatology": lambda ds: ds.groupby("time.dayofyear").mean(),
    "anomaly": lambda ds: ds.groupby("time.dayofyear") - ds.groupby("time.dayofyear").mean(),
    "standardised": lambda ds: (
        (ds.groupby("time.month") - ds.groupby("time.month").mean()).groupby("time.month") / ds.groupby("time.month").std()
    ),
    "seasons: sum": lambda ds: seasons(ds).sum(),
    "seasons: median": lambda ds: seasons(ds).median(),
    "seasons: quantile": lambda ds: seasons(whole(ds)).quantile([0.1, 0.9], dim="time"),
    "seasons: count": lambda ds: seasons(ds).count(),
    "seasons: max": lambda ds: seasons(ds).max(),
    "seasons: var": lambda ds: seasons(ds).var(ddof=1),
    "seasons: last": lambda ds: seasons(ds).last(),
    "seasons: map": lambda ds: seasons(ds).map(lambda group: group - group.mean("time")),
    "groups of a field": lambda ds: ds.groupby(lat=xr.groupers.BinGrouper([-90, 0, 90])).mean(),
    "two groupers": lambda ds: ds.groupby({"time.month": xr.groupers.UniqueGrouper(), "lat": xr.groupers.UniqueGrouper()}).mean(),
    "months": lambda ds: ds.resample(time="MS").mean(),
    "months: max": lambda ds: ds.resample(time="MS").max(),
    "weeks: sum": lambda ds: ds.resample(time="7D").sum(),
    "weeks: first": lambda ds: ds.resample(time="7D").first(),
    "half days": lambda ds: ds.isel(time=slice(0, 30)).resample(time="12h").nearest(),
    "rolling mean": lambda ds: ds.rolling(time=5, center=True, min_periods=2).mean(),
    "rolling sum": lambda ds: ds.rolling(time=30).sum(),
    "rolling std": lambda ds: ds.rolling(time=7).std(),
    "rolling max": lambda ds: ds.rolling(time=7, min_periods=1).max(),
    "rolling on two axes": lambda ds: ds.rolling(lat=2, lon=3).mean(),
    "rolling reduce": lambda ds: ds.rolling(time=4).reduce(np.nanmedian),
    "windows": lambda ds: ds.rolling(time=3, center=True).construct("window", stride=2),
    "weighted mean": lambda ds: by_latitude(ds).mean(("lat", "lon")),
    "weighted sum": lambda ds: by_latitude(ds).sum("lat"),
    "weighted std": lambda ds: by_latitude(ds).std(("lat", "lon")),
    "weighted weights": lambda ds: by_latitude(ds).sum_of_weights(("lat", "lon")),
    "interp": lambda ds: ds.interp(lat=[-10.0, 5.0], lon=[30.0, 31.0, 200.0]),
    "interp: nearest": lambda ds: ds.interp(lat=[-10.0, 5.0], method="nearest"),
    "interp: time": lambda ds: ds.interp(time=pd.date_range("2003-02-01", periods=9, freq="6h")),
    "interp: points": lambda ds: ds.interp(lat=("p", [0.0, 10.0]), lon=("p", [3.0, 100.0])),
    "interp_like": lambda ds: ds.interp_like(xr.Dataset(coords={"lat": [0.0, 1.0]})),
    "coarsen": lambda ds: ds.coarsen(time=10, boundary="trim").mean(),
    "coarsen: construct": lambda ds: ds.isel(time=slice(0, 730)).coarsen(time=365).construct(time=("year", "day")),
    "quantile": lambda ds: whole(ds).quantile([0.05, 0.5], dim=("time", "lon")),
    "cumulative": lambda ds: ds.cumulative("time").sum(),
    "cumsum": lambda ds: ds.cumsum("time"),
    "cumprod": lambda ds: (ds / 20).cumprod("lon"),
    "differentiate": lambda ds: ds.differentiate("lat"),
    "integrate": lambda ds: ds.integrate("lon"),
    "cumulative integral": lambda ds: ds.cumulative_integrate("lon"),
    "correlation": lambda ds: xr.corr(ds.t, ds.rain, "time"),
    "covariance": lambda ds: xr.cov(ds.t, ds.rain, "time"),
    "dot": lambda ds: xr.dot(ds.t, ds.rain, dim="time"),
    "nearest points": lambda ds: ds.sel(lat=[-20, 33], method="nearest"),
    "points": lambda ds: ds.isel(lat=("p", [0, 3, 1]), lon=("p", [4, 4, 0])),
    "gaps of zero": lambda ds: ds.fillna(0),
    "mask": lambda ds: ds.where((ds.t > 15) & (ds.lat > 0), drop=False),
    "clip": lambda ds: ds.clip(0, 20),
    "any": lambda ds: (ds > 20).any("time"),
    "highest": lambda ds: ds.t.fillna(0).idxmax("time"),
    "padded": lambda ds: ds.pad(lon=(1, 2), mode="wrap"),
    "rolled": lambda ds: ds.roll(lon=2, roll_coords=True),
    "stacked": lambda ds: ds.stack(cell=("lat", "lon")).unstack("cell"),
    "transposed": lambda ds: ds.transpose("lon", ...),
    "years": lambda ds: xr.concat([ds.sel(time="2003"), ds.sel(time="2004")], "time"),
    "joined": lambda ds: xr.merge([ds.t, ds.rain]).to_dataarray("field"),
    "broadcast": lambda ds: ds.t.mean("time") + ds.t.mean(("lat", "lon")),
    "astype": lambda ds: ds.round().fillna(0).astype("i2"),
    "ufunc": lambda ds: np.hypot(ds.t, ds.rain),
    "own function": lambda ds: xr.apply_ufunc(
        np.nanmedian, ds.t, input_core_dims=[["time"]], kwargs={"axis": -1}, dask="parallelized", output_dtypes=[float],
        dask_gufunc_kwargs={"allow_rechunk": True},
    ),
    "own function of a row": lambda ds: xr.apply_ufunc(
        lambda row: np.count_nonzero(row > 15), ds.t, input_core_dims=[["time"]], vectorize=True, dask="parallelized",
        output_dtypes=[int], dask_gufunc_kwargs={"allow_rechunk": True},
    ),
}  # fmt: skip

#: xarray computes these itself before they are wanted.
EAGER = {"half days"}


def without_rain(found: Any) -> Any:
    """Without what is computed in single precision."""
    return found.drop_vars("rain", errors="ignore") if isinstance(found, xr.Dataset) else xr.Dataset()


def refuse(scheduler: Any = None) -> Any:
    raise AssertionError("something was computed while it was only described")


#: Ways to cut, taken in turn.
CUTS = ({"time": 100}, {"time": -1, "lat": 1, "lon": 2}, {"time": 250, "lat": 3})


@pytest.mark.parametrize(("name", "cut"), [(name, CUTS[at % len(CUTS)]) for at, name in enumerate(OPERATIONS)])
def test_the_same_answers(name: str, cut: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    call = OPERATIONS[name]
    with monkeypatch.context() as patch:
        if name not in EAGER:
            patch.setattr(kask.base, "engine_for", refuse)
        found = call(PLAIN.chunk(cut))
    arrays = list(found.data_vars.values()) if isinstance(found, xr.Dataset) else [found]
    assert name in EAGER or any(isinstance(one.variable.data, ka.Array) for one in arrays)
    expected = call(PLAIN)
    found = found.compute()
    xr.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    xr.testing.assert_allclose(without_rain(found), without_rain(expected), rtol=1e-9, atol=1e-9)
    for one, other in zip(arrays, expected.data_vars.values() if isinstance(expected, xr.Dataset) else [expected]):
        # xarray says that it interpolates in the type of the array, and does not without blocks.
        assert (one.dtype == other.dtype or "interp" in name) and one.dims == other.dims and one.shape == other.shape


def test_points_are_written() -> None:
    points = {"lat": ("p", [0, 3, 1]), "lon": ("p", [4, 4, 0])}
    index = {name: xr.DataArray(places, dims="p") for name, (_, places) in points.items()}
    ours, theirs = PLAIN.t.chunk(time=200).copy(), PLAIN.t.copy(deep=True)
    ours[index] = -1.0
    theirs[index] = -1.0
    xr.testing.assert_identical(ours.compute(), theirs)


def test_gaps_are_interpolated() -> None:
    pytest.importorskip("bottleneck")
    with xr.set_options(use_bottleneck=True):
        for call in (lambda ds: ds.t.ffill("time"), lambda ds: ds.t.bfill("time", limit=1)):
            xr.testing.assert_identical(call(PLAIN.chunk(time=60)).compute(), call(PLAIN))
    whole = PLAIN.chunk(time=-1, lat=2)
    xr.testing.assert_allclose(whole.t.interpolate_na("time").compute(), PLAIN.t.interpolate_na("time"))
    found = whole.t.polyfit("time", 1)
    xr.testing.assert_allclose(found.compute(), PLAIN.t.polyfit("time", 1), rtol=1e-6)


def test_netcdf_of_the_reference_library(tmp_path: Path) -> None:
    netcdf = pytest.importorskip("netCDF4")
    path = tmp_path / "x.nc"
    with netcdf.Dataset(path, "w") as file:
        for name, length in (("time", None), ("lat", 4), ("lon", 5)):
            file.createDimension(name, length)
        time = file.createVariable("time", "f8", ("time",))
        time.units, time.calendar = "days since 2003-01-01", "standard"
        time[:] = np.arange(len(PLAIN.time))
        packed = file.createVariable(
            "t", "i2", ("time", "lat", "lon"), fill_value=-32768, chunksizes=(50, 2, 5), zlib=True
        )
        packed.scale_factor, packed.add_offset = 0.01, 10.0
        packed[:] = np.ma.array(PLAIN.t.fillna(0).values, mask=np.isnan(PLAIN.t.values))
    for engine in ("netcdf4", "h5netcdf"):
        expected = xr.open_dataset(path, engine=engine).load()
        np.testing.assert_allclose(expected.t, PLAIN.t, atol=0.006)
        with xr.open_dataset(path, engine=engine, chunks={}) as ds:
            assert isinstance(ds.t.data, ka.Array)
            assert ds.t.chunks == ((50,) * 14 + (31,), (2, 2), (5,))
            xr.testing.assert_identical(ds.compute(), expected)
            found = ds.groupby("time.month").mean()
            xr.testing.assert_allclose(found.compute(), expected.groupby("time.month").mean())
            xr.testing.assert_identical(
                ds.isel(time=slice(3, None, 40), lat=[3, 0]).compute(),
                expected.isel(time=slice(3, None, 40), lat=[3, 0]),
            )
        expected.close()
    with pytest.raises(OSError, match=r"x\.nc"):
        path.write_bytes(path.read_bytes()[:2000])
        xr.open_dataset(path, engine="netcdf4", chunks={})
    with pytest.raises(OSError, match=r"nowhere\.nc"):
        xr.open_dataset(tmp_path / "nowhere.nc", engine="netcdf4", chunks={})


def test_files_that_are_read_by_workers(client: Client, tmp_path: Path) -> None:
    pytest.importorskip("netCDF4")
    PLAIN.to_netcdf(tmp_path / "x.nc", engine="netcdf4")
    with xr.open_dataset(tmp_path / "x.nc", engine="netcdf4", chunks={"time": 200}) as ds:
        anomaly = ds.groupby("time.month") - ds.groupby("time.month").mean()
        anomaly.to_netcdf(tmp_path / "y.nc", engine="netcdf4")
        anomaly.chunk(time=100, lat=-1, lon=-1).to_zarr(tmp_path / "y.zarr")
    expected = PLAIN.groupby("time.month") - PLAIN.groupby("time.month").mean()
    for found in (xr.open_dataset(tmp_path / "y.nc"), xr.open_zarr(tmp_path / "y.zarr", chunks={})):
        xr.testing.assert_allclose(found.compute(), expected, rtol=1e-4, atol=1e-5)
        found.close()


def test_zarr_is_appended_to_and_written_by_region(tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    path = tmp_path / "x.zarr"
    first, last = PLAIN.isel(time=slice(0, 400)), PLAIN.isel(time=slice(400, None))
    first.chunk(time=100).to_zarr(path)
    last.chunk(time=100).to_zarr(path, append_dim="time", safe_chunks=True)
    xr.testing.assert_identical(xr.open_zarr(path, chunks={}).compute(), PLAIN)
    part = (PLAIN[["t"]] * 2).isel(time=slice(100, 300)).drop_vars(["lat", "lon"]).chunk(time=100)
    part.to_zarr(path, region={"time": slice(100, 300)})
    changed = PLAIN.copy(deep=True)
    changed.t[100:300] *= 2
    xr.testing.assert_identical(xr.open_zarr(path, chunks={}).compute(), changed)
