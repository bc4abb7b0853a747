"""Random numbers: the same for any chunks and slices, in any process; and distributed as they should be."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from typing import Any

import numpy as np
import pytest
from against_numpy import nothing_runs

import kask.array as ka
from kask.array.base import wrap
from kask.array.kernels.random import tile_sides
from kask.array.ops.random import Drawn
from kask.array.ops.slicing import sliced
from kask.expr import rewrite

PARAMETERS: dict[str, tuple[Any, ...]] = {
    "beta": (2.0, 3.0),
    "binomial": (10, 0.3),
    "chisquare": (4.0,),
    "exponential": (2.0,),
    "f": (5.0, 12.0),
    "gamma": (2.0, 3.0),
    "geometric": (0.3,),
    "gumbel": (1.0, 2.0),
    "hypergeometric": (15, 20, 10),
    "laplace": (1.0, 2.0),
    "logistic": (1.0, 2.0),
    "lognormal": (0.1, 0.4),
    "logseries": (0.6,),
    "negative_binomial": (5, 0.4),
    "noncentral_chisquare": (3.0, 2.0),
    "noncentral_f": (5.0, 14.0, 1.0),
    "normal": (1.0, 2.0),
    "pareto": (6.0,),
    "poisson": (4.0,),
    "power": (3.0,),
    "rayleigh": (2.0,),
    "standard_cauchy": (),
    "standard_exponential": (),
    "standard_gamma": (2.0,),
    "standard_normal": (),
    "standard_t": (8.0,),
    "triangular": (-1.0, 0.5, 2.0),
    "uniform": (-1.0, 3.0),
    "vonmises": (0.5, 2.0),
    "wald": (2.0, 4.0),
    "weibull": (2.0,),
    "zipf": (5.0,),
    "random": (),
    "integers": (-5, 12),
}


def drawn(name: str, size: Any, chunks: Any = "auto", seed: int = 3) -> np.ndarray:
    with nothing_runs():
        found = getattr(ka.random.default_rng(seed), name)(*PARAMETERS[name], size=size, chunks=chunks)
    value = found.compute()
    assert np.shape(value) == found.shape
    assert value.dtype == found.dtype
    return value


@pytest.mark.parametrize("name", PARAMETERS)
def test_distributions(name: str) -> None:
    """Quantiles lie where NumPy's do, and chunks change nothing."""
    ours = drawn(name, 40_000, 7_001)
    theirs = getattr(np.random.default_rng(5), name)(*PARAMETERS[name], size=40_000)
    assert ours.dtype == theirs.dtype
    np.testing.assert_array_equal(ours, drawn(name, 40_000, 40_000))
    np.testing.assert_array_equal(drawn(name, (30, 40), (7, 9)), drawn(name, (30, 40), (30, 1)))
    from scipy.stats import ks_2samp

    # The statistic of two samples of this size is above this once in 100,000 draws; for whole numbers less often.
    assert ks_2samp(ours, theirs).statistic < 0.0175


def test_tiles_are_told_by_the_shape() -> None:
    assert tile_sides((1_000_000,)) == (16384,)
    assert tile_sides((1_000, 1_000)) == (128, 128)
    assert tile_sides((3, 1_000_000)) == (4, 4096)
    assert tile_sides(()) == ()
    assert tile_sides((10, 10)) == (16, 16)


@pytest.mark.parametrize("shape", [(), (0,), (5,), (40_000,), (300, 200), (3, 0, 2), (40, 30, 20), (2, 70_000)])
def test_any_chunks(shape: tuple[int, ...]) -> None:
    whole = drawn("normal", shape, -1)
    for size in (1_000, 17, 64):
        chunks = tuple(min(max(1, length), size * 10 if len(shape) == 1 else size) for length in shape)
        np.testing.assert_array_equal(drawn("normal", shape, chunks), whole)


@pytest.mark.parametrize(
    "taken", [((5, 1, 100), (0, 1, 150)), ((299, -1, 300), (3, 7, 20)), ((250, -50, 5), (140, -3, 40))]
)
def test_slices_are_drawn_directly(taken: Any) -> None:
    x = ka.random.default_rng(1).gamma(2.0, size=(300, 150), chunks=(70, 40))
    whole = x.compute()
    part = sliced(x.expr, taken)
    (better,) = rewrite([part])
    assert isinstance(better, Drawn)
    (a, s, n), (b, t, m) = taken
    rows, columns = a + s * np.arange(n), b + t * np.arange(m)
    np.testing.assert_array_equal(wrap(part).compute(), whole[np.ix_(rows, columns)])
    np.testing.assert_array_equal(x.rechunk((300, 11)).compute(), whole)


def test_calls_differ_and_seeds_repeat() -> None:
    rng = ka.random.default_rng(12)
    first, second = rng.random(1000).compute(), rng.random(1000).compute()
    assert (first != second).any()
    again = ka.random.default_rng(12)
    np.testing.assert_array_equal(again.random(1000).compute(), first)
    np.testing.assert_array_equal(again.random(1000).compute(), second)
    assert (ka.random.default_rng().random(1000).compute() != ka.random.default_rng().random(1000).compute()).any()
    one, two = ka.random.default_rng(12).spawn(2)
    assert (one.random(100).compute() != two.random(100).compute()).any()
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.15


def test_neighbouring_tiles_are_independent() -> None:
    x = drawn("normal", 16_384 * 4).reshape(4, -1)
    assert np.abs(np.corrcoef(x) - np.eye(4)).max() < 0.05


def test_the_same_in_another_process() -> None:
    code = "import kask.array as ka; print(ka.random.default_rng([1, 2]).normal(size=50, chunks=20).compute().tobytes().hex())"
    there = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    here = ka.random.default_rng([1, 2]).normal(size=50, chunks=7).compute().tobytes().hex()
    assert there.stdout.strip() == here


def test_generators_can_be_sent() -> None:
    rng = ka.random.default_rng(4)
    rng.random(3)
    copy = pickle.loads(pickle.dumps(rng))
    np.testing.assert_array_equal(copy.random(9).compute(), rng.random(9).compute())


@pytest.mark.parametrize("name", ["normal", "gamma", "poisson", "uniform"])
def test_parameters_by_element(name: str) -> None:
    rows = np.linspace(1, 100, 300)[:, None]
    outcomes = []
    for chunks, param in [((300, 200), rows), ((70, 30), rows), ((45, 200), ka.from_array(rows, chunks=(11, 1)))]:
        rng = ka.random.default_rng(8)
        with nothing_runs():
            args = (param, 100.0) if name in ("normal", "uniform") else (param,)
            found = getattr(rng, name)(*args, size=(300, 200), chunks=chunks)
        assert found.chunks == ka.normalize_chunks(chunks, (300, 200))
        outcomes.append(found.compute())
    np.testing.assert_array_equal(outcomes[0], outcomes[1])
    np.testing.assert_array_equal(outcomes[0], outcomes[2])
    means = outcomes[0].mean(axis=1)
    wanted = (rows[:, 0] + 100) / 2 if name == "uniform" else rows[:, 0]
    scale = {"normal": 100.0, "uniform": 60.0}.get(name, np.sqrt(rows[:, 0]))
    assert (np.abs(means - wanted) < 6 * scale / np.sqrt(200)).all()


def test_the_shape_of_parameters() -> None:
    rng = ka.random.default_rng(0)
    assert rng.normal(np.zeros(3), np.ones((2, 1))).shape == (2, 3)
    assert rng.integers([1, 10, 100]).compute().shape == (3,)
    with pytest.raises(ValueError, match=r"\(3,\)"):
        rng.normal(np.zeros(3), size=(4,))
    with pytest.raises(ValueError, match="scale < 0"):
        rng.normal(0, -1, size=3)
    with pytest.raises(TypeError):
        rng.normal(0, 1, 3, what=1)


def test_integers() -> None:
    rng = ka.random.default_rng(0)
    x = rng.integers(5, size=10_000, chunks=1_000).compute()
    assert set(np.unique(x)) == {0, 1, 2, 3, 4}
    x = rng.integers(1, 3, 10_000, dtype="u1", endpoint=True).compute()
    assert x.dtype == np.uint8
    assert set(np.unique(x)) == {1, 2, 3}
    assert rng.random(5, dtype="f4").dtype == np.float32


def test_vectors() -> None:
    def both(call: Any) -> np.ndarray:
        one, two = (call(ka.random.default_rng(2), chunks).compute() for chunks in (2_000, 777))
        np.testing.assert_array_equal(one, two)
        return one

    x = both(lambda rng, chunks: rng.multinomial(10, [0.2, 0.3, 0.5], size=2_000, chunks=chunks))
    assert (x.sum(axis=1) == 10).all()
    np.testing.assert_allclose(x.mean(axis=0), [2, 3, 5], atol=0.2)
    x = both(lambda rng, chunks: rng.dirichlet([1, 2, 3], size=2_000, chunks=chunks))
    np.testing.assert_allclose(x.sum(axis=1), 1)
    x = both(lambda rng, chunks: rng.multivariate_normal([1, 2], [[1, 0.5], [0.5, 2]], size=2_000, chunks=chunks))
    np.testing.assert_allclose(np.cov(x.T), [[1, 0.5], [0.5, 2]], atol=0.25)
    x = both(lambda rng, chunks: rng.multivariate_hypergeometric([3, 4, 5], 6, size=2_000, chunks=chunks))
    assert (x.sum(axis=1) == 6).all()


def test_multinomials() -> None:
    """Numbers of trials and probabilities that differ by element."""
    trials = np.array([0, 7, 100, 1000])
    shares = np.array([[0.2, 0.3, 0.5], [0.0, 1.0, 0.0], [0.7, 0.3, 0.0], [0.25, 0.25, 0.5]])
    found = []
    for chunks, n in ((-1, trials), ((300, 2), ka.from_array(trials, chunks=3)), ((700, 4), trials)):
        with nothing_runs():
            x = ka.random.default_rng(6).multinomial(n, shares, size=(2_000, 4), chunks=chunks)
        assert x.shape == (2_000, 4, 3) and x.dtype == np.int64
        found.append(x.compute())
        np.testing.assert_array_equal(found[0], found[-1])
    x = found[0]
    np.testing.assert_array_equal(x.sum(axis=-1), np.broadcast_to(trials, (2_000, 4)))
    expected = trials[:, None] * shares
    # Five standard deviations of the mean.
    assert (abs(x.mean(axis=0) - expected) <= 5 * np.sqrt(expected * (1 - shares) / 2_000)).all()
    covariance = -trials[3] * 0.25 * 0.5
    assert abs(np.cov(x[:, 3].T)[0, 2] - covariance) < 0.15 * abs(covariance)

    rng = ka.random.default_rng(6)
    assert rng.multinomial([3, 4], [0.5, 0.5]).shape == np.random.default_rng(1).multinomial([3, 4], [0.5, 0.5]).shape
    assert rng.multinomial(3, shares).compute().sum(axis=-1).tolist() == [3] * 4
    assert rng.multinomial(trials, [1.0]).compute().tolist() == trials[:, None].tolist()
    for n, pvals, size, message in (
        ([1, 2, 3], shares, None, r"\(3,\) and \(4,\) cannot be broadcast"),
        ([1, 2], [0.5, 0.5], 3, r"size=3 does not fit n and pvals of shape \(2,\)"),
        ([-1], [0.5, 0.5], None, "n= must not be negative"),
        ([1], [0.8, 0.8, 0.1], None, "1 together"),
        ([1], [1.5, 0.1], None, "from 0 to 1"),
    ):
        with pytest.raises(ValueError, match=message):
            rng.multinomial(n, pvals, size)
    with pytest.raises(TypeError, match="whole numbers"):
        rng.multinomial([1.5], [0.5, 0.5])


@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_permuted(axis: Any) -> None:
    array = np.arange(60 * 30).reshape(60, 30)
    outcomes = []
    for chunks in ((60, 30), (7, 11), ((0, 13, 47), (30,))):
        with nothing_runs():
            x = ka.random.default_rng(1).permuted(ka.from_array(array, chunks=chunks), axis=axis)
        outcomes.append(x.compute())
        np.testing.assert_array_equal(outcomes[0], outcomes[-1])
    found = outcomes[0]
    np.testing.assert_array_equal(np.sort(found, axis).reshape(-1), np.sort(array, axis).reshape(-1))
    assert found.shape == array.shape
    if axis is not None:
        orders = np.unique(np.argsort(found, axis), axis=1 - axis % 2)
        assert orders.shape[1 - axis % 2] == array.shape[1 - axis % 2], "each line has an order of its own"
    else:
        assert (found // 30 != array // 30).mean() > 0.9
    out = ka.zeros((60, 30), dtype=int, chunks=20)
    assert ka.random.default_rng(1).permuted(array, axis=axis, out=out) is out
    np.testing.assert_array_equal(out.compute(), found)


def test_into_an_array() -> None:
    for name in ("random", "standard_normal", "standard_exponential"):
        out = ka.zeros((40, 30), chunks=(7, 30))
        assert getattr(ka.random.default_rng(3), name)(out=out) is out
        np.testing.assert_array_equal(out.compute(), getattr(ka.random.default_rng(3), name)((40, 30)).compute())
        assert out.chunksize == (7, 30)
        with pytest.raises(TypeError, match="float64, but dtype= is float32"):
            getattr(ka.random.default_rng(3), name)(dtype="f4", out=out)
        with pytest.raises(ValueError, match=r"\(40, 30\).*\(2, 3\)"):
            getattr(ka.random.default_rng(3), name)((2, 3), out=out)
        with pytest.raises(TypeError, match="must be a Kask array, got ndarray"):
            getattr(ka.random.default_rng(3), name)(out=np.zeros(3))


def test_tomaxint() -> None:
    x = ka.random.RandomState(3).tomaxint(4_000, chunks=900)
    value = x.compute()
    assert x.dtype == np.int64 and value.min() >= 0
    assert abs(value.mean() / np.iinfo(np.int64).max - 0.5) < 0.03


def test_choice() -> None:
    names = np.array(["a", "b", "c"])
    for population in (names, ka.from_array(names, chunks=2)):
        one, two = (
            ka.random.default_rng(1).choice(population, 3_000, p=[0.1, 0.2, 0.7], chunks=c) for c in (3_000, 70)
        )
        np.testing.assert_array_equal(one.compute(), two.compute())
        assert one.dtype == names.dtype
        np.testing.assert_allclose(np.mean(one.compute() == "c"), 0.7, atol=0.05)
    x = ka.random.default_rng(1).choice(10, (4, 50), chunks=7).compute()
    assert x.shape == (4, 50)
    assert set(np.unique(x)) == set(range(10))
    x = ka.random.default_rng(1).choice(100, 60, replace=False, chunks=7).compute()
    assert np.unique(x).size == 60
    table = ka.from_array(np.arange(12).reshape(6, 2), chunks=(4, 1))
    rows = ka.random.default_rng(1).choice(table, 3, replace=False).compute()
    assert (rows[:, 1] == rows[:, 0] + 1).all()
    assert np.unique(rows[:, 0]).size == 3
    assert ka.random.default_rng(1).choice(table).compute().shape == (2,)
    picked = ka.random.default_rng(1).choice(table, (40, 5, 2), axis=0)
    assert picked.shape == (40, 5, 2, 2)
    found = picked.compute()
    assert (found[..., 1] == found[..., 0] + 1).all() and set(np.unique(found[..., 0])) == {0, 2, 4, 6, 8, 10}
    assert ka.random.default_rng(1).choice(table, (3, 0), axis=1).compute().shape == (6, 3, 0)
    few = ka.random.default_rng(1).choice(table, (2, 3), replace=False).compute()
    assert np.unique(few[..., 0]).size == 6
    with pytest.raises(ValueError, match="probabilities"):
        ka.random.default_rng(1).choice(2, p=[0.5, 0.6])
    with pytest.raises(ValueError, match=r"\(2,\).*3 elements"):
        ka.random.default_rng(1).choice(3, p=[0.5, 0.5])


def test_long_choices_are_made_by_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kask.array.ops.random.LONG", 1_000)
    x = ka.from_array(np.arange(9_000)[:, None] * 2, chunks=(700, 1))
    with nothing_runs():
        places = ka.random.default_rng(1).choice(9_000, (30, 100), replace=False, chunks=(7, 50))
        rows = ka.random.default_rng(1).choice(x, 3_000, replace=False)
        again = ka.random.default_rng(1).choice(x, (30, 100))
        few = ka.random.default_rng(1).choice(9_000, 5, replace=False)
    assert places.chunks == ((7, 7, 7, 7, 2), (50, 50))
    found = places.compute()
    assert found.min() >= 0 and found.max() < 9_000 and np.unique(found).size == 3_000
    assert abs(found.mean() - 4_500) < 200
    np.testing.assert_array_equal(rows.compute()[:, 0], found.reshape(-1) * 2)
    np.testing.assert_array_equal(
        again.compute()[..., 0], ka.random.default_rng(1).choice(9_000, (30, 100)).compute() * 2
    )
    monkeypatch.undo()
    np.testing.assert_array_equal(few.compute(), ka.random.default_rng(1).choice(9_000, 5, replace=False).compute())


def test_permutation() -> None:
    x = ka.random.default_rng(1).permutation(50, chunks=7)
    assert sorted(x.compute()) == list(range(50))
    assert x.compute().tolist() != list(range(50))
    array = np.arange(60).reshape(20, 3)
    for axis in (0, 1):
        outcomes = [
            ka.random.default_rng(1).permutation(ka.from_array(array, chunks=chunks), axis=axis).compute()
            for chunks in [(20, 3), (3, 2), ((0, 13, 7), (1, 2))]
        ]
        np.testing.assert_array_equal(outcomes[0], outcomes[1])
        np.testing.assert_array_equal(outcomes[0], outcomes[2])
        np.testing.assert_array_equal(np.sort(outcomes[0], axis), array)
    lazy = ka.from_array(array, chunks=6)
    assert ka.random.default_rng(1).shuffle(lazy) is None
    assert lazy.compute().tolist() != array.tolist()
    with pytest.raises(TypeError, match="permutation"):
        ka.random.default_rng(1).shuffle(array)


def test_long_permutations_are_made_by_tasks() -> None:
    length = 2**20 + 5
    started = time.perf_counter()
    x = ka.random.default_rng(1).permutation(10**10, chunks=10**7)
    assert time.perf_counter() - started < 1 and x.shape == (10**10,)
    outcomes = [ka.random.default_rng(1).permutation(length, chunks=chunks).compute() for chunks in (length, 300_000)]
    np.testing.assert_array_equal(outcomes[0], outcomes[1])
    np.testing.assert_array_equal(np.sort(outcomes[0]), np.arange(length))
    # Where elements go says nothing of where they come from.
    assert abs(np.corrcoef(outcomes[0], np.arange(length))[0, 1]) < 0.01
    assert abs(np.corrcoef(outcomes[0][1:], outcomes[0][:-1])[0, 1]) < 0.01
    table = np.stack([np.arange(length), -np.arange(length)], axis=1)
    lazy = ka.from_array(table, chunks=(400_000, 1))
    ka.random.default_rng(1).shuffle(lazy)
    assert lazy.chunks == ((400_000, 400_000, length - 800_000), (1, 1))
    np.testing.assert_array_equal(lazy.compute(), table[outcomes[0]])


def test_functions_of_the_module() -> None:
    ka.random.seed(5)
    first = [getattr(ka.random, name)(*PARAMETERS[name], size=4).compute() for name in PARAMETERS]
    assert ka.random.rand(2, 3).shape == (2, 3)
    assert ka.random.randn(4).shape == (4,)
    assert ka.random.random_sample(3).compute().max() < 1
    assert set(ka.random.randint(1, 3, 100).compute()) == {1, 2}
    assert set(ka.random.random_integers(2, size=100).compute()) == {1, 2}
    ka.random.seed(5)
    for name, values in zip(PARAMETERS, first):
        np.testing.assert_array_equal(getattr(ka.random, name)(*PARAMETERS[name], size=4).compute(), values)
    state = ka.random.RandomState(5)
    np.testing.assert_array_equal(state.beta(*PARAMETERS["beta"], size=4).compute(), first[0])
    with pytest.raises(AttributeError):
        _ = ka.random.what


def test_seeds() -> None:
    rng = ka.random.default_rng(3)
    assert ka.random.default_rng(rng) is rng
    wanted = ka.random.default_rng(3).random(4).compute()
    for seed in (np.random.SeedSequence(3), np.random.PCG64(3), np.random.default_rng(3)):
        np.testing.assert_array_equal(ka.random.default_rng(seed).random(4).compute(), wanted)
    assert ka.random.default_rng(np.random.RandomState(1)).random(4).compute().shape == (4,)
    assert len(ka.random.default_rng(3).bytes(10)) == 10
