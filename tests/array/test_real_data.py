"""What people do with photographs and handwritten digits, beside scikit-image, scikit-learn and NumPy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from against_numpy import assert_same

import kask.array as ka
from kask.array.image import imread
from kask.distributed import Client

CLOSE = {"rtol": 1e-9, "atol": 1e-9}


@pytest.fixture(scope="module")
def pictures() -> Any:
    return pytest.importorskip("skimage.data")


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """1,797 digits of 8 by 8 points, as rows, and which they are."""
    return pytest.importorskip("sklearn.datasets").load_digits(return_X_y=True)


# -- photographs


@pytest.mark.parametrize("cut", [-1, 100, (512, 7, 3), ((0, 200, 312), (500, 12), (1, 2))])
def test_colours(pictures: Any, cut: Any) -> None:
    photo = pictures.astronaut()
    x = ka.from_array(photo, chunks=cut)
    weights = np.array([0.2125, 0.7154, 0.0721])
    assert_same(x / 255 @ weights, photo / 255 @ weights, **CLOSE)
    assert_same(x.mean(axis=(0, 1)), photo.mean(axis=(0, 1)), **CLOSE)
    assert_same(x.max(axis=2) - x.min(axis=2), photo.max(axis=2) - photo.min(axis=2))
    assert_same(x[::-1, ::3, [2, 0]], photo[::-1, ::3, [2, 0]])
    assert_same(x[(x[..., 0] > 200) & (x[..., 2] < 100)], photo[(photo[..., 0] > 200) & (photo[..., 2] < 100)])
    whole = (x.astype(int) * np.array([1 << 16, 1 << 8, 1])).sum(axis=2)
    colours, counts = ka.unique(whole, return_counts=True)
    expected = np.unique((photo.astype(int) * [1 << 16, 1 << 8, 1]).sum(axis=2), return_counts=True)
    np.testing.assert_array_equal(colours.compute(), expected[0])
    np.testing.assert_array_equal(counts.compute(), expected[1])


@pytest.mark.parametrize("cut", [-1, 128, ((300, 212), (1, 511))])
def test_contrast(pictures: Any, cut: Any) -> None:
    from skimage import exposure, filters

    photo = pictures.camera()
    x = ka.from_array(photo, chunks=cut)
    counts = ka.bincount(x.ravel(), minlength=256)
    assert_same(counts, np.bincount(photo.ravel(), minlength=256))
    # Equalised: each grey becomes the share of the points that are no lighter.
    levels = (ka.cumsum(counts) / x.size)[x]
    assert_same(levels, exposure.equalize_hist(photo, nbins=256), rtol=1e-2, atol=1e-2)
    low, high = ka.percentile(x, [2, 98], axis=None).compute()
    assert (low, high) == tuple(np.percentile(photo, [2, 98]))
    stretched = (x.clip(low, high) - low) / (high - low)
    assert_same(stretched, exposure.rescale_intensity(photo, in_range=(low, high), out_range=(0.0, 1.0)), **CLOSE)
    threshold = filters.threshold_otsu(photo)
    shares = ka.stack([(x > level).mean() for level in range(int(threshold) - 1, int(threshold) + 2)])
    assert_same(shares, [(photo > level).mean() for level in range(int(threshold) - 1, int(threshold) + 2)], **CLOSE)


def test_filters(pictures: Any) -> None:
    from scipy import ndimage
    from skimage import filters, transform

    photo = pictures.coins().astype(float)
    for cut in (-1, 100, ((60, 243), (384,))):
        x = ka.from_array(photo, chunks=cut)
        smooth = x.map_overlap(ndimage.gaussian_filter, depth=8, boundary="reflect", sigma=2)
        assert_same(smooth, ndimage.gaussian_filter(photo, 2), **CLOSE)
        edges = x.map_overlap(filters.sobel, depth=1, boundary="nearest")
        assert_same(edges[1:-1, 1:-1], filters.sobel(photo)[1:-1, 1:-1], **CLOSE)
        down, across = ka.gradient(x)
        assert_same(ka.hypot(down, across), np.hypot(*np.gradient(photo)), **CLOSE)
        small = ka.coarsen(np.mean, x, {0: 3, 1: 4})
        assert_same(small, transform.downscale_local_mean(photo, (3, 4)), **CLOSE)


def test_frequencies_and_factors(pictures: Any) -> None:
    photo = pictures.camera()[::4, ::4].astype(float)
    x = ka.from_array(photo, chunks=(128, 50))
    near = np.hypot(*np.meshgrid(np.fft.fftfreq(128), np.fft.fftfreq(128))) < 0.1
    found = ka.fft.ifft2(ka.fft.fft2(x) * near).real
    assert_same(found, np.fft.ifft2(np.fft.fft2(photo) * near).real, rtol=1e-8, atol=1e-8)
    u, s, v = ka.linalg.svd(x)
    assert_same(s, np.linalg.svdvals(photo), rtol=1e-8, atol=1e-8)
    assert_same(u * s @ v, photo, rtol=1e-8, atol=1e-7)


def test_files_of_a_film(client: Client, pictures: Any, tmp_path: Path) -> None:
    from skimage import io

    frames = [np.roll(pictures.cat(), step * 20, axis=1) for step in range(4)]
    for number, frame in enumerate(frames):
        io.imsave(tmp_path / f"{number}.png", frame, check_contrast=False)
    film = imread(tmp_path / "*.png")
    assert film.shape == (4, 300, 451, 3) and film.dtype == np.uint8
    assert_same(film.mean(axis=0), np.mean(frames, axis=0), **CLOSE)
    assert_same(ka.median(film, axis=0), np.median(frames, axis=0), **CLOSE)
    moved = ka.abs(ka.diff(film.astype("i2"), axis=0)).max(axis=(1, 2, 3))
    assert_same(moved, np.abs(np.diff(np.asarray(frames, "i2"), axis=0)).max(axis=(1, 2, 3)))


# -- digits


@pytest.mark.parametrize("cut", [-1, (300, 64), (500, 10), ((1797,), (0, 63, 1))])
def test_principal_components(digits: tuple[np.ndarray, np.ndarray], cut: Any) -> None:
    from sklearn.decomposition import PCA

    values, _ = digits
    x = ka.from_array(values, chunks=cut)
    centred = x - x.mean(axis=0)
    u, s, v = ka.linalg.svd(centred)
    expected = PCA(64, svd_solver="full").fit(values)
    assert_same(s**2 / (len(values) - 1), expected.explained_variance_, rtol=1e-8, atol=1e-8)
    assert_same(ka.abs(v[:5]), np.abs(expected.components_[:5]), rtol=1e-6, atol=1e-8)
    assert_same((u * s)[:, :3] ** 2, expected.transform(values)[:, :3] ** 2, rtol=1e-6, atol=1e-6)
    assert_same(ka.cov(x, rowvar=False), np.cov(values, rowvar=False), **CLOSE)


@pytest.mark.parametrize("cut", [-1, 200, ((0, 1000, 797), (64,))])
def test_nearest_centre(digits: tuple[np.ndarray, np.ndarray], cut: Any) -> None:
    from sklearn.metrics import confusion_matrix
    from sklearn.neighbors import NearestCentroid

    values, names = digits
    x, y = ka.from_array(values, chunks=cut), ka.from_array(names, chunks=400)
    centres = ka.stack([x[y == name].mean(axis=0) for name in range(10)])
    expected = NearestCentroid().fit(values, names)
    assert_same(centres, expected.centroids_, **CLOSE)
    distances = ((x[:, None, :] - centres[None]) ** 2).sum(axis=2)
    guesses = distances.argmin(axis=1)
    assert_same(guesses, expected.predict(values))
    table = ka.histogram2d(y, guesses, bins=10, range=[[0, 10], [0, 10]])[0]
    assert_same(table, confusion_matrix(names, guesses.compute()).astype(float))
    assert ((guesses == y).mean() > 0.9).compute()


def test_neighbours_and_fits(digits: tuple[np.ndarray, np.ndarray]) -> None:
    from sklearn.neighbors import NearestNeighbors
    from sklearn.preprocessing import StandardScaler

    values, names = digits
    x = ka.from_array(values, chunks=(250, 32))
    scaled = (x - x.mean(axis=0)) / ka.where(x.std(axis=0) == 0, 1, x.std(axis=0))
    assert_same(scaled, StandardScaler().fit_transform(values), rtol=1e-8, atol=1e-8)
    squares = (x**2).sum(axis=1)
    distances = squares[:, None] + squares[None] - 2 * (x @ x.T)
    nearest = ka.argtopk(-distances, 3, axis=1)
    found = ka.take_along_axis(distances, nearest, axis=1)
    expected = NearestNeighbors(n_neighbors=3).fit(values).kneighbors(values)[0] ** 2
    assert_same(found, expected, rtol=1e-8, atol=1e-6)
    tall = x.rechunk((300, 64))[:, values.std(axis=0) > 0]
    solution = ka.linalg.lstsq(tall, ka.from_array((names == 7).astype(float), chunks=300))[0]
    kept = values[:, values.std(axis=0) > 0]
    assert_same(solution, np.linalg.lstsq(kept, (names == 7).astype(float))[0], rtol=1e-6, atol=1e-8)
