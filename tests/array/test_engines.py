"""A few arrays of each family on the engine without threads, and in other processes: everything that tasks need can be sent."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import kask
import kask.array as ka

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


@pytest.mark.parametrize("scheduler", ["sync", "processes"])
def test_the_same_everywhere(scheduler: str) -> None:
    expected, described = arrays(), arrays()
    for name, array in described.items():
        np.testing.assert_array_equal(array.compute(scheduler=scheduler), expected[name].compute(), err_msg=name)
