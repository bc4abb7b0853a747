"""Means that are taken from the moments that variances need anyway."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from against_numpy import assert_same, check, chunkings, nothing_runs

import kask
import kask.array as ka
from kask.distributed import Client

RNG = np.random.default_rng(0)
GRID = RNG.standard_normal((9, 7)) * 3 + 100
NAN, INF = float("nan"), float("inf")


def passes(*arrays: Any) -> list[str]:
    """The parts of moments and means that are computed of blocks, as they are printed by ``explain``."""
    lines = repr(kask.explain(*arrays).after).splitlines()
    return sorted([line.split()[0] for line in lines if "-part" in line and "as above" not in line])


def standardised(x: Any, axis: Any = 0) -> Any:
    return (x - x.mean(axis=axis, keepdims=True)) / x.std(axis=axis, keepdims=True)


class Counting:
    """A store that counts its reads."""

    shape, dtype = GRID.shape, GRID.dtype

    def __init__(self) -> None:
        self.reads = 0

    def __getitem__(self, index: tuple[slice, ...]) -> np.ndarray:
        self.reads += 1
        return GRID[index]


class TestWhenItIsShared:
    def test_mean_and_deviation_go_through_the_array_once(self) -> None:
        x = ka.from_array(GRID, chunks=(3, 4))
        assert passes(standardised(x)) == ["moments-part"]
        assert passes(x.mean(axis=0), x.var(axis=0, ddof=1), x.std(axis=0)) == ["moments-part"]
        # Six parts, two trees of two columns, six blocks of the result.
        assert standardised(x).explain().tasks == 6 + 2 * 2 + 6

    def test_alone_a_mean_is_a_sum(self) -> None:
        x = ka.from_array(GRID, chunks=(3, 4))
        assert passes(x.mean(axis=0)) == passes(x - x.mean(axis=0)) == ["mean-part"]
        assert passes(x.std()) == ["moments-part"]

    def test_what_is_not_of_the_same_elements_stays_apart(self) -> None:
        x, both = ka.from_array(GRID, chunks=(3, 4)), ["mean-part", "moments-part"]
        assert passes(x.mean(axis=0), x.std(axis=1)) == both
        assert passes(x.mean(axis=0), (x + 1).std(axis=0)) == both
        assert passes(x.mean(axis=0, dtype="f4"), x.std(axis=0)) == both
        assert passes(ka.nanmean(x, axis=0), x.std(axis=0)) == ["moments-part", "nanmean-part"]
        assert passes(x.mean(axis=0, where=GRID > 100), x.std(axis=0)) == both
        assert passes(x.mean(axis=0)[:3], x.std(axis=0)[3:]) == both
        with kask.annotate(priority=2):
            urgent = x.mean(axis=0)
        assert passes(urgent, x.std(axis=0)) == both

    def test_slices_and_conditions_alike_are_shared(self) -> None:
        x = ka.from_array(GRID, chunks=(3, 4))
        assert passes(x.mean(axis=0)[:3], x.std(axis=0)[:3]) == ["moments-part"]
        where = ka.from_array(GRID > 100, chunks=4)
        found = [x.mean(axis=0, where=where), x.var(axis=0, where=where)]
        assert passes(*found) == ["moments-part"]
        for ours, name in zip(kask.compute(*found), ("mean", "var")):
            np.testing.assert_allclose(ours, getattr(GRID, name)(axis=0, where=GRID > 100))
        assert passes(ka.nanmean(x), ka.nanstd(x)) == ["moments-part"]

    def test_again_of_what_was_made_so(self) -> None:
        def twice(x: Any) -> Any:
            return standardised(standardised(x) ** 2, 1)

        assert passes(twice(ka.from_array(GRID, chunks=(3, 4)))) == ["moments-part", "moments-part"]
        check(twice, GRID, rtol=1e-7, atol=1e-9)

    def test_a_chain_is_made_once_and_not_kept(self) -> None:
        store = Counting()
        x = ka.from_array(store, chunks=(3, 7), name=False) * 2 + 1
        mean, std = kask.compute(x.mean(axis=0), x.std(axis=0))
        assert store.reads == 3
        np.testing.assert_allclose(mean, (GRID * 2 + 1).mean(axis=0))
        np.testing.assert_allclose(std, (GRID * 2 + 1).std(axis=0))
        assert kask.explain(x.mean(axis=0), x.std(axis=0)).tasks == 3 + 1 + 1
        store.reads = 0
        assert_same(standardised(x), standardised(GRID * 2 + 1), rtol=1e-9)
        assert store.reads == 3


class TestValues:
    @pytest.mark.parametrize("kind", ["f4", "f8", "c16", "f2"])
    @pytest.mark.parametrize("axis", [None, 0, 1])
    def test_as_in_numpy(self, kind: str, axis: int | None) -> None:
        array = GRID.astype(kind) * (1 + 2j if kind == "c16" else 1)
        how = {"f2": 0.02, "f4": 1e-4}.get(kind, 1e-9)
        check(lambda x: standardised(x, axis), array, rtol=how, atol=how)
        for chunks in chunkings(array.shape):
            x = ka.from_array(array, chunks=chunks)
            for name, found in zip(("mean", "var"), kask.compute(x.mean(axis=axis), x.var(axis=axis))):
                assert_same(found, getattr(array, name)(axis=axis), rtol=how, atol=how)

    @pytest.mark.parametrize("size", [9, 30_000])
    @pytest.mark.parametrize("kind", ["u1", "i4", "i8", "?"])
    def test_means_of_whole_numbers_are_exact(self, kind: str, size: int) -> None:
        array = RNG.integers(0, 200, (size, 3)).astype(kind)
        for chunks in ((size, 3), (size // 3, 2), (size // 7, 1)):
            x = ka.from_array(array, chunks=chunks)
            for axis in (None, 0, 1):
                work = x.mean(axis=axis), x.std(axis=axis)
                assert passes(*work) == ["moments-part"]
                mean, std = kask.compute(*work)
                assert_same(mean, array.mean(axis=axis))
                assert_same(std, array.std(axis=axis), rtol=1e-12)

    def test_large_whole_numbers(self) -> None:
        array = np.array([2**62, 2**62, -(2**62), 3])
        for chunks in chunkings(array.shape):
            x = ka.from_array(array, chunks=chunks)
            np.testing.assert_allclose(kask.compute(x.mean(), x.var())[0], array.astype(float).mean())

    @pytest.mark.filterwarnings("ignore::RuntimeWarning")
    @pytest.mark.parametrize("rows", [6, 60_000])
    def test_infinite_and_missing_values(self, rows: int) -> None:
        array = RNG.random((rows, 5))
        array[1, 0], array[rows - 1, 1], array[2, 2] = INF, -INF, NAN
        array[0, 3], array[rows - 1, 3] = INF, -INF
        for chunks in ((rows, 5), (rows // 3, 5), (rows // 2, 2)):
            x = ka.from_array(array, chunks=chunks)
            for axis in (None, 0, 1):
                for prefix in ("", "nan"):
                    work = [getattr(ka, prefix + name)(x, axis=axis) for name in ("mean", "var")]
                    assert len(passes(*work)) == 1
                    for found, name in zip(kask.compute(*work), ("mean", "var")):
                        assert_same(found, getattr(np, prefix + name)(array, axis=axis), rtol=1e-10)

    def test_infinite_values_where_nobody_wants_to_be_warned(self) -> None:
        array = np.ones((60_000, 2))
        array[5, 1] = INF
        with np.errstate(all="ignore"):
            x = ka.from_array(array, chunks=(20_000, 2))
            mean, _ = kask.compute(x.mean(axis=0), x.std(axis=0), scheduler="sync")
        assert mean.tolist() == [1.0, INF]

    def test_nothing_to_take_a_mean_of(self) -> None:
        x = ka.from_array(np.ones((0, 3)), chunks=(1, 2))
        with pytest.warns(RuntimeWarning, match="Mean of empty slice"):
            mean, var = kask.compute(x.mean(axis=0), x.var(axis=0))
        assert np.isnan(mean).all() and np.isnan(var).all()
        mean, var = kask.compute(x.mean(axis=1), x.var(axis=1))
        assert mean.shape == var.shape == (0,)

    def test_nothing_is_lost_far_from_zero(self) -> None:
        array = 1e9 + np.arange(1000.0) % 7
        for chunks in (1000, 10, 333):
            x = ka.from_array(array, chunks=chunks)
            mean, var = kask.compute(x.mean(), x.var())
            np.testing.assert_allclose(mean, array.mean(), rtol=1e-15)
            np.testing.assert_allclose(var, array.var(), rtol=1e-8)

    def test_masked(self) -> None:
        array = np.ma.masked_array(GRID, mask=(GRID > 101) | (np.arange(7) == 2))
        for chunks in chunkings(array.shape):
            x = ka.from_array(array, chunks=chunks)
            work = x.mean(axis=0), x.var(axis=0)
            assert passes(*work) == ["moments-part"]
            for found, name in zip(kask.compute(*work), ("mean", "var")):
                expected = getattr(array, name)(axis=0)
                assert found.dtype == expected.dtype and found.mask.tolist() == expected.mask.tolist()
                np.testing.assert_allclose(found.filled(0), expected.filled(0))


class TestWays:
    """Whatever is done with arrays, they have the same values, and what is kept is found again."""

    def test_kept(self, client: Any) -> None:
        x = ka.from_array(GRID, chunks=(3, 4))
        with nothing_runs():
            y, mean, std = standardised(x), x.mean(axis=0), x.std(axis=0)
        kept = client.persist([y, mean, std])
        expected = standardised(GRID), GRID.mean(axis=0), GRID.std(axis=0)
        for ours, theirs in zip(kept, expected):
            np.testing.assert_allclose((ours + 1).compute(scheduler=client), theirs + 1)
        for ours, theirs in zip(kask.compute(*kept, scheduler=client), expected):
            np.testing.assert_allclose(ours, theirs)

    def test_submitted_rewritten_stored_and_delayed(self) -> None:
        x = ka.from_array(GRID, chunks=(3, 4))
        y, expected = standardised(x), standardised(GRID)
        with Client("embedded") as client:
            mean, std, whole = client.gather(client.compute([x.mean(axis=0), x.std(axis=0), y]))
            np.testing.assert_allclose(mean, GRID.mean(axis=0))
            np.testing.assert_allclose(std, GRID.std(axis=0))
            np.testing.assert_allclose(whole, expected)
            np.testing.assert_allclose(kask.delayed(np.sum)(y**2).compute(), (expected**2).sum())
        (better,) = kask.optimize(y)
        np.testing.assert_allclose(better[1:3].compute(), expected[1:3])
        np.testing.assert_allclose(kask.compute(y, x.mean(axis=0), optimize_graph=False)[0], expected)
        target = np.zeros(GRID.shape)
        ka.store(y, target)
        np.testing.assert_allclose(target, expected)
        blocks = y.to_delayed().ravel()
        np.testing.assert_allclose(kask.compute(*blocks)[0], expected[:3, :4])

    def test_of_unknown_size(self) -> None:
        x = ka.from_array(GRID.ravel(), chunks=10)
        some = x[x > 100]
        mean, std = kask.compute(some.mean(), some.std())
        np.testing.assert_allclose((mean, std), (GRID[GRID > 100].mean(), GRID[GRID > 100].std()))
