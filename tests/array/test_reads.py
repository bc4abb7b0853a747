"""Parts of results read only what they need: a store counts the elements that are read of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from against_numpy import assert_same, nothing_runs

import kask
import kask.array as ka

VALUES = np.random.default_rng(0).random((12, 10, 6))
MASK = np.random.default_rng(1).random((12, 10, 6)) > 0.3
ROW = MASK[0, :, :1]
CUTS = [(5, 4, 2), (12, 3, 3), ((0, 4, 8), (5, 0, 5), (1, 5)), (1, 2, 6)]

pytestmark = pytest.mark.filterwarnings(
    "ignore:Mean of empty slice", "ignore:invalid value", "ignore:Degrees of freedom"
)


class Store:
    """Counts the elements that are read."""

    shape, dtype = VALUES.shape, VALUES.dtype

    def __init__(self) -> None:
        self.read = 0

    def __getitem__(self, index: tuple[slice, ...]) -> np.ndarray:
        found = VALUES[index]
        self.read += found.size
        return found


def check_reads(call: Callable[..., Any], elements: int, rtol: float = 1e-12) -> None:
    """The same as with NumPy, after reading so many elements."""
    expected = call(VALUES, MASK, ROW)
    for cut in CUTS:
        store = Store()
        with nothing_runs():
            found = call(
                ka.from_array(store, chunks=cut, name=False),
                ka.from_array(MASK, chunks=(7, 5, 6)),
                ka.from_array(ROW, chunks=3),
            )
        assert_same(found, expected, rtol=rtol)
        assert store.read == elements, f"with chunks {cut}"


REDUCTIONS: dict[str, tuple[Callable[..., Any], int]] = {
    "argmax": (lambda x, m, r: x.argmax(axis=0)[2:4], 12 * 2 * 6),
    "argmin, one column": (lambda x, m, r: x.argmin(axis=2)[:, 7], 12 * 6),
    "argmax with its axis kept": (lambda x, m, r: x.argmax(axis=1, keepdims=True)[::-2, 0:1], 6 * 10 * 6),
    "mean where": (lambda x, m, r: x.mean(axis=0, where=m)[3:5, ::2], 12 * 2 * 3),
    "mean where, stretched": (lambda x, m, r: x.mean(axis=2, where=r)[3:5, ::2], 2 * 5 * 6),
    "sum where, axes kept": (lambda x, m, r: x.sum(axis=(0, 2), where=r, keepdims=True)[:, 7:], 12 * 3 * 6),
    "std where": (lambda x, m, r: x.std(axis=1, where=m)[5], 10 * 6),
    "max where": (lambda x, m, r: x.max(axis=1, where=m, initial=0)[:1, 1:], 10 * 5),
    "any part of nothing": (lambda x, m, r: x.mean(axis=0)[3:3], 0),
}


@pytest.mark.parametrize("name", list(REDUCTIONS))
def test_parts_of_reductions(name: str) -> None:
    check_reads(*REDUCTIONS[name])


@pytest.mark.parametrize("cut", CUTS)
def test_parts_of_the_largest(cut: Any) -> None:
    store = Store()
    x = ka.from_array(store, chunks=cut, name=False)
    assert_same(ka.topk(x, 4, axis=0)[1:3, 2:5], -np.sort(-VALUES, axis=0)[1:3, 2:5])
    assert store.read == 12 * 3 * 6
    assert_same(ka.argtopk(x, -4, axis=1)[5:, ::-1, 0], np.argsort(VALUES, axis=1)[5:, :4, 0][:, ::-1])
    assert_same(ka.topk(x, 4, axis=0)[::2], -np.sort(-VALUES, axis=0)[:4:2])


SELECTIONS: dict[str, tuple[Callable[..., Any], int]] = {
    "columns": (lambda x, m, r: x[m[:, :, 0]][:, 2:4], 12 * 10 * 2),
    "one column": (lambda x, m, r: x[m[:, :, 0]][..., -1], 12 * 10),
    "rows backwards": (lambda x, m, r: x[:, r[:, 0]][3:1:-1], 2 * 10 * 6),
    "a row and columns": (lambda x, m, r: x[:, r[:, 0]][3][:, ::2], 10 * 3),
    "twice, and more of it": (lambda x, m, r: (x[m[:, :, 0]][:, 1:4][:, :1] + 1).sum(), 12 * 10),
    "no rows": (lambda x, m, r: x[:, r[:, 0]][5:5], 0),
    # What is picked along the axis of the mask, or by other things than slices, needs the whole selection.
    "along the mask": (lambda x, m, r: x[m[:, :, 0]][1:, 2], 720),
    "a new axis": (lambda x, m, r: x[m[:, :, 0]][:, None, 2], 720),
}


@pytest.mark.parametrize("name", list(SELECTIONS))
def test_parts_of_what_masks_select(name: str) -> None:
    check_reads(*SELECTIONS[name])


def test_what_is_there_already_is_not_read_again() -> None:
    store = Store()
    x = ka.from_array(store, chunks=(5, 4, 2), name=False)[ka.from_array(MASK[:, :, 0], chunks=4)]
    assert_same(x, VALUES[MASK[:, :, 0]])
    read = store.read
    assert_same(x[:, 1:3], VALUES[MASK[:, :, 0]][:, 1:3])
    assert store.read == read


def test_wrong_indices_of_a_selection_are_told_of_the_selection() -> None:
    x = ka.from_array(VALUES, chunks=5)[ka.from_array(MASK[:, :, 0], chunks=4)]
    with pytest.raises(IndexError, match="index 9 is out of bounds for axis 1 with size 6"):
        x[:, 9].compute()
    with pytest.raises(IndexError, match="too many indices"):
        x[:, 1, 2].compute()


def test_sizes_of_sources_of_several_results() -> None:
    """Of what several results need together nothing is read twice."""
    store = Store()
    x = ka.from_array(store, chunks=(5, 4, 2), name=False)
    found = kask.compute(x.mean(), x.std(axis=0), (x * 2).max())
    assert found[0] == pytest.approx(VALUES.mean()) and found[2] == VALUES.max() * 2
    assert store.read == VALUES.size
