"""Polynomials that fit points, against NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.array.against_numpy import assert_same, check, check_function, nothing_runs

import kask.array as ka

rng = np.random.default_rng(37)
PLACES = np.linspace(-2, 3, 17)
VALUES = PLACES**3 - 2 * PLACES + rng.normal(size=17) / 10
COLUMNS = np.stack([VALUES, PLACES**2, np.sin(PLACES)], axis=1)
WEIGHTS = rng.uniform(0.5, 2.0, 17)
CLOSE = {"rtol": 1e-9, "atol": 1e-10}


def fit(**options: Any) -> Any:
    def call(x: Any, y: Any, *w: Any) -> Any:
        home = np if isinstance(x, np.ndarray) else ka
        return home.polyfit(x, y, 3, **options, **({"w": w[0]} if w else {}))

    return call


@pytest.mark.parametrize(
    "options", [{}, {"cov": True}, {"cov": "unscaled"}, {"full": True}, {"full": True, "cov": True}]
)
def test_polyfit(options: Any) -> None:
    for values in (VALUES, COLUMNS, (VALUES * 10).astype(int), VALUES + 1j * PLACES):
        check(fit(**options), PLACES, values, most=6, **CLOSE, dtype="full" not in options)
        check(fit(**options), PLACES, values, WEIGHTS, most=6, **CLOSE, dtype="full" not in options)


def test_other_types_and_degrees() -> None:
    for degree in (0, 1, 5):
        check_function("polyfit", PLACES, VALUES, args=(degree,), most=5, **CLOSE)
    check_function("polyfit", np.arange(6), np.arange(6) ** 2, args=(2,), **CLOSE)
    check_function("polyfit", PLACES.astype("f4"), VALUES.astype("f4"), args=(2,), most=4, rtol=1e-4, atol=1e-5)
    check_function("polyfit", PLACES[:4], VALUES[:4], args=(3,), options={"cov": "unscaled"}, rtol=1e-7)
    assert_same(np.polyfit(ka.from_array(PLACES, chunks=5), VALUES, 2), np.polyfit(PLACES, VALUES, 2), **CLOSE)


def test_a_rank_that_is_not_full_is_warned_of() -> None:
    same = np.array([1.0, 1.0, 1.0, 2.0])
    for chunks in (1, 2, 4):
        with nothing_runs():
            found = ka.polyfit(ka.from_array(same, chunks=chunks), same * 2, 2)
            full = ka.polyfit(ka.from_array(same, chunks=chunks), same * 2, 2, full=True)
        with pytest.warns(np.exceptions.RankWarning, match="poorly conditioned"):
            value = found.compute(scheduler="sync")
        with pytest.warns(np.exceptions.RankWarning):
            expected = np.polyfit(same, same * 2, 2)
        assert_same(value, expected, **CLOSE)
        assert full[2].compute() == np.polyfit(same, same * 2, 2, full=True)[2] == 2
        assert full[4] == np.polyfit(same, same * 2, 2, full=True)[4]


def test_points_of_unknown_number() -> None:
    x, y = ka.from_array(PLACES, chunks=4), ka.from_array(VALUES, chunks=4)
    with nothing_runs():
        found = ka.polyval(ka.polyfit(x[x > 0], y[x > 0], 2), x)
    kept = PLACES > 0
    assert_same(found, np.polyval(np.polyfit(PLACES[kept], VALUES[kept], 2), PLACES), **CLOSE)


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ((PLACES, VALUES, -1), ValueError, "deg= must not be negative"),
        ((PLACES[:, None], VALUES, 1), TypeError, "x must have one axis"),
        ((PLACES[:0], VALUES[:0], 1), TypeError, "an element at least"),
        ((PLACES, VALUES[:, None, None], 1), TypeError, "y must have one axis or two"),
        ((PLACES, VALUES[1:], 1), TypeError, "same length"),
        ((PLACES, VALUES, 1, None, False, WEIGHTS[1:]), TypeError, "w must have the shape"),
        ((PLACES[:3], VALUES[:3], 2, None, False, None, True), ValueError, "needs more than 3 points, but there are 3"),
    ],
)
def test_wrong_arguments(arguments: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        ka.polyfit(*[ka.from_array(one) if isinstance(one, np.ndarray) else one for one in arguments])
