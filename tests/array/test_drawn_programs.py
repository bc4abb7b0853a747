"""Programs of a few steps, drawn at random, make what NumPy makes, however their array is cut.

A step is a function of the module (NumPy or ``kask.array``) and an array. What is not exact (means, roots) may differ in the last digits, so
that from there on no step is drawn where these decide (comparisons, places, whole numbers).
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import kask.array as ka

DTYPES = [
    "f8",
    "f4",
    "i8",
    "i4",
    "u1",
    "i1",
    "?",
    "c16",
    "M8[s]",
    "m8[s]",
    "u2",
    ">f8",
    ">i2",
    "i4,f8",
    "O",
    "U3",
    "S2",
]
LENGTHS = [0, 1, 2, 3, 5, 8, 13]
MOST = 20_000
PROGRAMS = 60
#: How far results may differ, relative to the largest.
_DIGITS = {"e": 1e-2, "f": 1e-4, "d": 1e-9, "F": 1e-4, "D": 1e-9}

Step = tuple[str, Callable[[Any, Any], Any], bool]
"""What it is called, the function, and whether its results are exact."""


class Drawn:
    """Arrays, chunks, indices and steps, all from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def array(self) -> np.ndarray:
        lengths = self.random.choices(
            LENGTHS, weights=[1, 4, 4, 4, 4, 4, 4], k=self.random.choice([0, 1, 1, 2, 2, 2, 3, 3])
        )
        dtype = np.dtype(self.random.choice(DTYPES))
        numbers = np.random.default_rng(self.random.randrange(1 << 30))
        low, high = {"?": (0, 2), "u": (0, 10), "i": (-9, 10)}.get(dtype.kind if dtype.char != "?" else "?", (-50, 50))
        values = numbers.integers(low, high, lengths).astype(dtype)
        missing = {"f": np.nan, "M": "NaT", "m": "NaT"}.get(dtype.kind)
        if missing is not None and values.size and self.random.random() < 0.3:
            values[numbers.random(lengths) < 0.2] = np.array(missing, dtype)
        return values

    def chunks(self, shape: tuple[int, ...]) -> tuple[Any, ...]:
        return tuple([self._cuts(length) for length in shape])

    def _cuts(self, length: int) -> Any:
        kind = self.random.choice(["whole", "one", "even", "any"])
        if kind != "any" or length == 0:
            return (
                {"whole": length, "one": 1, "even": self.random.randint(1, max(1, length)), "any": 0}[kind]
                if length
                else (0,)
            )
        cuts = sorted(self.random.choices(range(length + 1), k=self.random.randint(0, 3)))
        return tuple(np.diff([0, *cuts, length]).tolist())

    def index(self, shape: tuple[int, ...]) -> tuple[Any, ...]:
        index = [self._taken(length) for length in shape]
        lists = [axis for axis, taken in enumerate(index) if isinstance(taken, list | np.ndarray)]
        for axis in lists[1:]:
            index[axis] = slice(None)
        if self.random.random() < 0.2:
            index.insert(self.random.randint(0, len(index)), None)
        return tuple(index)

    def _taken(self, length: int) -> Any:
        kind = self.random.choice(["all", "slice", "slice", "number", "list", "mask"])
        if kind == "slice":
            ends = [self.random.choice([None, self.random.randint(-length - 1, length + 1)]) for _ in range(2)]
            return slice(*ends, self.random.choice([None, 1, 2, -1, -2, 3]))
        if kind == "number" and length:
            return self.random.randint(-length, length - 1)
        if kind == "list" and length:
            return self.random.choices(range(-length, length), k=self.random.randint(0, 4))
        return np.array([self.random.random() < 0.5 for _ in range(length)], bool) if kind == "mask" else slice(None)

    def step(self, x: Any, is_exact: bool) -> Step:
        steps = self._steps_anywhere(x)
        if x.ndim:
            steps += self._steps_along(x)
        if is_exact:
            steps += self._steps_of_exact(x)
        return self.random.choice(steps)

    def _steps_anywhere(self, x: Any) -> list[Step]:
        index, axes, number = (
            self.index(x.shape),
            self.random.sample(range(x.ndim), x.ndim),
            self.random.choice([2, -1, 0, 1.5]),
        )
        rows = self.random.choice([size for size in range(1, x.size + 1) if x.size % size == 0] or [1])
        return [
            (f"[{index}]", lambda m, a: a[index], True),
            (f"transpose({axes})", lambda m, a: a.transpose(axes), True),
            ("ravel", lambda m, a: a.ravel(), True),
            (f"reshape({rows}, -1)", lambda m, a: a.reshape(rows, -1), True),
            ("reshape F", lambda m, a: m.reshape(a, (-1,), order="F"), True),
            (f"+ {number}", lambda m, a: a + number, True),
            (f"{number} -", lambda m, a: number - a, True),
            (f"* {number}", lambda m, a: a * number, True),
            ("** 2", lambda m, a: a**2, True),
            ("a * a[::-1]", lambda m, a: a * a[::-1], True),
            ("a - mean", lambda m, a: a - a.mean(), False),
            ("abs", lambda m, a: abs(a), True),
            ("sqrt", lambda m, a: m.sqrt(a), False),
            ("clip", lambda m, a: m.clip(a, -2, 3), True),
            ("maximum", lambda m, a: m.maximum(a, a[::-1]), True),
            ("broadcast_to", lambda m, a: m.broadcast_to(a, (2, *a.shape)), True),
            ("@", lambda m, a: a @ a.T, True),
            ("einsum", lambda m, a: m.einsum("...i,...i->...", a, a), True),
            ("outer", lambda m, a: m.outer(a.ravel()[:5], a.ravel()[:7]), True),
            ("tile", lambda m, a: m.tile(a, 2), True),
            ("nan_to_num", lambda m, a: m.nan_to_num(a), True),
            ("cov", lambda m, a: m.cov(a), False),
            ("squeeze", lambda m, a: m.squeeze(a), True),
            ("assign", _assigned, True),
        ]

    def _steps_along(self, x: Any) -> list[Step]:
        axis, keepdims, times = (
            self.random.randrange(-x.ndim, x.ndim),
            self.random.random() < 0.3,
            self.random.randint(-4, 4),
        )
        some = self.random.choice(
            [None, axis, tuple(sorted(self.random.sample(range(x.ndim), self.random.randint(1, x.ndim))))]
        )
        widths = [(self.random.randint(0, 3), self.random.randint(0, 3)) for _ in x.shape]
        mode = self.random.choice(["constant", "edge", "reflect", "symmetric", "wrap"])
        places = self.random.choices(range(x.shape[axis]), k=self.random.randint(0, 5)) if x.shape[axis] else []

        def reduction(name: str, is_exact: bool) -> Step:
            called = f"{name}(axis={some}, keepdims={keepdims})"
            return called, lambda m, a: getattr(m, name)(a, axis=some, keepdims=keepdims), is_exact

        return [
            *[
                reduction(name, True)
                for name in ("sum", "max", "min", "any", "all", "ptp", "nansum", "nanmax", "median")
            ],
            *[reduction(name, False) for name in ("prod", "mean", "std", "var", "nanmean", "nanstd")],
            (f"cumsum({axis})", lambda m, a: m.cumsum(a, axis=axis), True),
            (f"sort({axis})", lambda m, a: m.sort(a, axis=axis), True),
            (f"flip({axis})", lambda m, a: m.flip(a, axis), True),
            (f"roll({times}, {axis})", lambda m, a: m.roll(a, times, axis), True),
            (f"diff({axis})", lambda m, a: m.diff(a, axis=axis), True),
            (f"repeat({abs(times)}, {axis})", lambda m, a: m.repeat(a, abs(times), axis=axis), True),
            (f"concatenate({axis})", lambda m, a: m.concatenate([a, a[::-1]], axis=axis), True),
            (f"stack({axis})", lambda m, a: m.stack([a, a], axis=axis), True),
            (f"expand_dims({axis})", lambda m, a: m.expand_dims(a, axis), True),
            (f"take({places}, {axis})", lambda m, a: m.take(a, np.array(places, int), axis=axis), True),
            (f"quantile({axis})", lambda m, a: m.quantile(a, [0.1, 0.9], axis=axis), False),
            (f"pad({widths}, {mode})", lambda m, a: m.pad(a, widths, mode=mode), True),
            (f"gradient({axis})", lambda m, a: m.gradient(a, axis=axis), False),
            ("tril", lambda m, a: m.tril(a), True),
            ("diagonal", lambda m, a: m.diagonal(a), True),
        ]

    def _steps_of_exact(self, x: Any) -> list[Step]:
        number, axis = self.random.choice([2, -1, 0, 3]), self.random.randrange(-x.ndim, x.ndim) if x.ndim else None
        return [
            (f"== {number}", lambda m, a: a == number, True),
            (f"< {number}", lambda m, a: a < number, True),
            ("// 3", lambda m, a: a // 3, True),
            ("divmod", lambda m, a: m.divmod(a, 3)[1], True),
            ("where", lambda m, a: m.where(a > 0, a, -a), True),
            ("unique", lambda m, a: m.unique(a), True),
            ("chosen", lambda m, a: a[a == a.max()], True),
            ("nonzero", lambda m, a: m.nonzero(a)[0], True),
            ("isin", lambda m, a: m.isin(a, [1, 2]), True),
            ("searchsorted", lambda m, a: m.searchsorted(m.sort(a.ravel()), a.ravel()), True),
            ("digitize", lambda m, a: m.digitize(a, np.array([-2, 0, 3])), True),
            (f"argsort({axis})", lambda m, a: m.argsort(a, axis=axis, kind="stable"), True),
            (f"argmax({axis})", lambda m, a: m.argmax(a, axis=axis), True),
            ("astype", lambda m, a: a.astype("i2"), True),
        ]


def _assigned(module: Any, array: Any) -> Any:
    array = array.copy()
    array[..., :2] = array[..., -1:]
    return array


def _has_units_only_here(x: Any) -> bool:
    # Products of durations lose their unit in NumPy.
    return x.dtype == np.dtype("m8")


def _are_numbers(objects: Any) -> bool:
    return all(isinstance(one, int | float) for one in objects.ravel().tolist())


def program(seed: int) -> tuple[str, Any, Any]:
    """How a program reads, what NumPy makes, and Kask's array."""
    drawn = Drawn(seed)
    # Without axes NumPy's functions make scalars, whose operators differ in places from those of arrays.
    expected = drawn.array()[()]
    while not hasattr(expected, "dtype"):
        expected = drawn.array()[()]
    chunks = drawn.chunks(expected.shape)
    text = [f"{expected.dtype}{expected.shape} in {chunks}"]
    lazy = ka.from_array(expected, chunks=chunks)
    is_exact = True
    for _ in range(drawn.random.randint(1, 6)):
        name, step, keeps = drawn.step(expected, is_exact)
        try:
            following = step(np, expected)
        except Exception:
            # What NumPy refuses, other tests look at.
            continue
        # Of records NumPy makes truth values of Python in places, and of objects what they are, with a type that only they know.
        is_array = isinstance(following, np.ndarray | np.generic)
        if expected.dtype.hasobject and (not isinstance(following, np.ndarray) or name.startswith("median")):
            continue
        if not is_array or following.size > MOST or _has_units_only_here(following):
            continue
        if expected.dtype.kind in "SU" and not expected.size:
            # There are sums of texts as long as there are no texts.
            continue
        expected, lazy, is_exact = following, step(ka, lazy), is_exact and keeps
        text.append(name)
        if isinstance(expected, np.character):
            # Its type is as long as itself.
            break
        if drawn.random.random() < 0.15:
            chunks = drawn.chunks(expected.shape)
            lazy = lazy.rechunk(chunks)
            text.append(f"rechunk({chunks})")
    return " -> ".join(text), expected, lazy


@pytest.mark.parametrize("group", range(40))
def test_programs(group: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in range(group * PROGRAMS, (group + 1) * PROGRAMS):
            text, expected, lazy = program(seed)
            found = lazy.compute()
            if not np.ndim(expected) and expected.dtype.kind in "SUO":
                # Of one text NumPy's type has its own length; of one object there is none.
                found, expected = np.asarray(found, lazy.dtype)[None], np.asarray(expected, lazy.dtype)[None]
            assert (np.shape(found), found.dtype) == (np.shape(expected), expected.dtype), f"{seed}: {text}"
            assert lazy.dtype == expected.dtype, f"{seed}: {text}"
            if expected.dtype.hasobject and _are_numbers(expected):
                found, expected = found.astype(float), expected.astype(float)
            if expected.dtype.kind in "fc":
                digits = _DIGITS[expected.dtype.char]
                size = np.abs(np.atleast_1d(expected)[np.isfinite(np.atleast_1d(expected))]).max(initial=1)
                np.testing.assert_allclose(found, expected, digits, digits * size, err_msg=f"{seed}: {text}")
            else:
                np.testing.assert_array_equal(found, expected, err_msg=f"{seed}: {text}")
