"""A few arrays of each family on the engine without threads, and in other processes: everything that tasks need can be sent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kask
import kask.array as ka
from kask.distributed import Client, LocalCluster

MATRIX = np.arange(42.0).reshape(6, 7)


def double(block: Any) -> Any:
    return block * 2


def total(rows: Any, columns: Any) -> Any:
    return rows + columns


def arrays() -> dict[str, Any]:
    """Arrays by name; each is described anew, so nothing is shared between engines."""
    x = ka.from_array(MATRIX, chunks=(2, 3))
    rng = ka.random.default_rng(1)
    return {
        "reshape": x.reshape(7, 6),
        "concatenate": ka.concatenate([x, x.T.reshape(6, 7)]),
        "pad": ka.pad(x, 2, "reflect", reflect_type="odd"),
        "pad mean": ka.pad(x, 2, "mean"),
        "map_overlap": ka.map_overlap(double, x, depth=1, boundary="periodic"),
        "normal": rng.normal(size=(50, 60), chunks=13),
        "gamma": rng.gamma(ka.arange(1, 50, chunks=9)),
        "choice": rng.choice(np.arange(5), 100, p=[0.2] * 5, chunks=13),
        "permutation": rng.permutation(x),
        "diag": ka.diag(ka.arange(6, chunks=2), 1),
        "trace": ka.trace(x),
        "linspace": ka.linspace(0, 1, 20, chunks=6),
        "coarsen": ka.coarsen(np.sum, x, {0: 3}),
        "fromfunction": ka.fromfunction(total, shape=(4, 5), chunks=2),
        "from_delayed": ka.from_delayed(kask.delayed(np.ones)(3), (3,), float),
        "windows": ka.lib.stride_tricks.sliding_window_view(x, (2, 2)),
    }


def affine(row: Any, factor: float) -> Any:
    return row * factor - row.mean(axis=-1, keepdims=True)


def extent(rows: Any) -> tuple[Any, Any]:
    return rows.min(axis=-1), rows.max(axis=-1)


def families() -> dict[str, Any]:
    """Arrays of the families with kernels of their own: what they need must be pickled, sent and found again."""
    draws = np.random.default_rng(3)
    square = draws.random((8, 8)) + 8 * np.eye(8)
    a, tall = ka.from_array(square, chunks=3), ka.from_array(draws.random((20, 4)), chunks=(6, 4))
    x, y = ka.from_array(MATRIX, chunks=(2, 3)), ka.from_array(MATRIX % 5, chunks=(4, 2))
    line = ka.from_array(draws.permutation(60).astype(float), chunks=(7, 23, 0, 30))
    masked = ka.ma.masked_greater(x, 20)
    q, r = ka.linalg.qr(tall)
    u, s, v = ka.linalg.svd(tall)
    p, lower, upper = ka.linalg.lu(a)
    low, high = ka.apply_gufunc(extent, "(i)->(),()", x, output_dtypes=(float, float), allow_rechunk=True)
    values, counts = ka.unique(y, return_counts=True)
    return {
        "qr": q @ r, "svd": (u * s) @ v, "lu": p @ lower @ upper, "cholesky": ka.linalg.cholesky(a @ a.T), "inv": ka.linalg.inv(a),
        "solve": ka.linalg.solve(a, ka.arange(8.0, chunks=3)), "det": ka.linalg.det(a), "norm": ka.linalg.norm(a, axis=1),
        "solve_triangular": ka.linalg.solve_triangular(a, ka.ones((8, 2), chunks=3), lower=True),
        "svd_compressed": ka.linalg.svd_compressed(tall, 2, seed=1)[1], "lstsq": ka.linalg.lstsq(tall, ka.ones(20, chunks=6))[0],
        "eigh": ka.linalg.eigvalsh(a + a.T), "matrix_power": ka.linalg.matrix_power(a, 3), "pinv": ka.linalg.pinv(tall),
        "fft": ka.fft.fft(x), "ifft2": ka.fft.ifft2(x), "rfftn": ka.fft.rfftn(x), "irfft": ka.fft.irfft(x, axis=0),
        "fftshift": ka.fft.fftshift(x), "fftfreq": ka.fft.fftfreq(9, chunks=4), "fft_wrap": ka.fft.fft_wrap(np.fft.hfft)(x),
        "ma filled": ka.ma.filled(masked, -1), "ma mean": ka.ma.filled(masked.mean(axis=0), 0), "ma count": ka.ma.count(masked, axis=1),
        "ma average": ka.ma.filled(ka.ma.average(masked, axis=1, weights=x + 1), 0), "ma where": ka.ma.getmaskarray(ka.ma.masked_where(x > 3, x)),
        "skew": ka.stats.skew(x), "kurtosis": ka.stats.kurtosis(x, axis=0), "moment": ka.stats.moment(x, 3),
        "ttest": ka.stats.ttest_ind(x, y).statistic, "chisquare": ka.stats.chisquare(x + 1).statistic,
        "sort": ka.sort(line), "argsort": ka.argsort(line), "sort rows": ka.sort(y, axis=1), "partition": ka.sort(ka.partition(line, 9)[:9]),
        "topk": ka.topk(line, 5), "argtopk": ka.argtopk(line, -4), "searchsorted": ka.searchsorted(ka.sort(line), y), "lexsort": ka.lexsort((line, line % 3)),
        "median": ka.median(x), "quantile": ka.quantile(line, [0.1, 0.77]), "nanpercentile": ka.nanpercentile(x, 30, axis=0),
        "gufunc": ka.apply_gufunc(affine, "(i)->(i)", x, factor=3.0, output_dtypes=float, allow_rechunk=True), "gufunc of two": high - low,
        "matmul": x @ y.T, "tensordot": ka.tensordot(x, y, axes=((0, 1), (0, 1))), "einsum": ka.einsum("ij,kj->ik", x, y), "vdot": ka.vdot(x, y),
        "outer": ka.outer(line[:5], line[5:9]), "kron": ka.kron(x[:2, :2], y[:2]), "cross": ka.cross(x[:, :3], y[:, :3]),
        "unique": values * counts, "bincount": ka.bincount(y.ravel().astype(int)), "histogram": ka.histogram(x, bins=4, range=(0, 42))[0],
        "cov": ka.cov(x), "cumsum": ka.cumsum(x, axis=1), "var": x.var(axis=0), "transposed": (x * 2 + y).T,
    }  # fmt: skip


#: What a BLAS or a tree on more threads may sum in another order.
CLOSE = {"rtol": 1e-9, "atol": 1e-9}


def test_families_on_workers_that_are_processes() -> None:
    """All of them on one cluster; what they are is what they are here."""
    expected, described = families(), families()
    with LocalCluster(n_workers=2, threads_per_worker=1, memory_limit=0) as cluster, Client(cluster):
        found = dict(zip(described, kask.compute(*described.values())))
    here = dict(zip(expected, kask.compute(*expected.values(), scheduler="sync")))
    for name, value in found.items():
        np.testing.assert_allclose(value, here[name], **CLOSE, err_msg=name)
        assert np.asarray(value).dtype == expected[name].dtype, name


@pytest.mark.parametrize("scheduler", ["sync", "processes"])
def test_the_same_everywhere(scheduler: str) -> None:
    expected, described = arrays(), arrays()
    for name, array in described.items():
        np.testing.assert_array_equal(array.compute(scheduler=scheduler), expected[name].compute(), err_msg=name)
