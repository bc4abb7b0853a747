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


LISTS: dict[str, tuple[Callable[..., Any], int]] = {
    "a list of one": (lambda x, m, r: np.take(x, [1], axis=1), 12 * 6),
    "two": (lambda x, m, r: x[[3, 11]], 2 * 10 * 6),
    "backwards": (lambda x, m, r: x[:, [8, 1]], 12 * 2 * 6),
    "then a slice": (lambda x, m, r: x[[3, 11]][:, 2:4], 2 * 2 * 6),
    "of the list too": (lambda x, m, r: x[[3, 11]][1:], 10 * 6),
    "of what is left of an axis": (lambda x, m, r: x[:, 0][[11, 4]], 2 * 6),
    "of a transpose": (lambda x, m, r: x.T[..., [0, 11]] * 2, 2 * 10 * 6),
    "through arithmetic": (lambda x, m, r: (x * 2 + x[0])[:, [0, 9]], 13 * 2 * 6),
    "through new axes": (lambda x, m, r: x[:, None][[0, 11]], 2 * 10 * 6),
    "along two axes": (lambda x, m, r: x[np.ix_([0, 11], [1, 8])], 2 * 2 * 6),
}


@pytest.mark.parametrize("name", list(LISTS))
def test_lists(name: str) -> None:
    check_reads(*LISTS[name])


LONG = np.random.default_rng(2).random((1000, 5))


class LongStore(Store):
    """A longer one."""

    shape = LONG.shape

    def __getitem__(self, index: tuple[slice, ...]) -> np.ndarray:
        found = LONG[index]
        self.read += found.size
        return found


@pytest.mark.parametrize(
    ("index", "rows"),
    [
        ([3, 7, 500], 6),
        ([500, 3, 7], 6),
        ([-1, 3, 3, 3], 2),
        ([900, 3, 500, 200, 700, 100, 100, 110], 16),
        ([0, 1, 97], 100),
        (list(range(0, 1000, 10)), 991),
    ],
)
def test_of_each_block_a_list_reads_what_lies_between_its_ends(index: list[int], rows: int) -> None:
    for call in (lambda x: x[index], lambda x: (x + 1)[index, 1:3], lambda x: x.T[1:, index][:, ::-1]):
        store = LongStore()
        with nothing_runs():
            found = call(ka.from_array(store, chunks=(100, 5), name=False))
        assert_same(found, call(LONG))
        assert store.read <= rows * 5


def test_long_lists_read_each_block_once() -> None:
    index = np.random.default_rng(0).integers(0, 1000, 700)
    for places in (index, np.sort(index)):
        store = LongStore()
        assert_same(ka.from_array(store, chunks=(100, 5), name=False)[places], LONG[places])
        assert store.read == LONG.size


ROWS = LONG[:, :1] > 0.4
THROUGH: dict[str, Callable[..., Any]] = {
    "mean": lambda x, y, i: x.mean(axis=1)[i],
    "mean and arithmetic": lambda x, y, i: (x * 2 + 1).mean(axis=1)[i] - 1,
    "std with its axis kept": lambda x, y, i: x.std(axis=1, keepdims=True)[i],
    "sum where": lambda x, y, i: x.sum(axis=1, where=y)[i],
    "argmax": lambda x, y, i: x.argmax(axis=1)[i],
    "columns of a transpose": lambda x, y, i: x.T.max(axis=0)[i],
    "concatenated beside": lambda x, y, i: np.concatenate([x, x + 1], axis=1)[i],
    "concatenated": lambda x, y, i: np.concatenate([x, LONG[:, :5]])[i],
    "stack": lambda x, y, i: np.stack([x, -x])[:, i],
    "scan": lambda x, y, i: np.cumsum(x, axis=1)[i],
    "product": lambda x, y, i: (x @ LONG[:5])[i],
    "broadcast": lambda x, y, i: np.broadcast_to(x, (2, 1000, 5))[:, i],
    "several of them": lambda x, y, i: (np.concatenate([x, x], axis=1).cumsum(axis=1) @ LONG[:10]).max(axis=1)[i],
}


@pytest.mark.parametrize("name", list(THROUGH))
@pytest.mark.parametrize(
    ("index", "rows"),
    [([3, 1, 2], 3), ([905, 3, 500, 3, -100], 8), ([3, 103, 203, 303, 403, 503, 504], 8)],
    ids=["a few", "backwards", "in many blocks"],
)
def test_lists_are_taken_of_what_results_are_made_of(name: str, index: list[int], rows: int) -> None:
    call = THROUGH[name]
    for cut in [(100, 5), (100, 2)]:
        store = LongStore()
        with nothing_runs():
            found = call(ka.from_array(store, chunks=cut, name=False), ka.from_array(ROWS, chunks=(70, 1)), index)
        assert_same(found, call(LONG, ROWS, index), rtol=1e-12)
        assert store.read <= rows * 5


def test_lists_of_rechunked_rows_read_no_others() -> None:
    store = LongStore()
    x = np.cumsum(ka.from_array(store, chunks=(100, 5), name=False).rechunk((30, 2)), axis=1)
    assert_same(x[[3, 700, 1]], np.cumsum(LONG, axis=1)[[3, 700, 1]], rtol=1e-12)
    assert store.read <= 4 * 5


def test_what_others_need_whole_is_made_once() -> None:
    expected = LONG.mean(axis=1)
    for others in (lambda y: [y], lambda y: [y[:600], y[[7, 5]]], lambda y: [y.sum()], lambda y: [y[[9, *range(500)]]]):
        store = LongStore()
        y = ka.from_array(store, chunks=(100, 5), name=False).mean(axis=1)
        found = kask.compute(y[[3, 500, 1]], *others(y))
        np.testing.assert_allclose(found[0], expected[[3, 500, 1]])
        np.testing.assert_allclose(found[-1], np.asarray(others(expected)[-1]))
        assert store.read <= LONG.size


def test_what_may_not_be_picked_before() -> None:
    index = [3, 11, 4]
    x = ka.from_array(VALUES, chunks=(5, 4, 2))
    for call in (
        lambda x: np.cumsum(x, axis=0)[index],
        lambda x: x.mean(axis=1, keepdims=True)[index][:, [0, 0]],
        lambda x: np.concatenate([x, x[:0], x[3:]])[[20, 3, 3, 11, 12]],
        lambda x: np.broadcast_to(x[:1], (40, 10, 6))[[30, 2, 2]],
    ):
        assert_same(call(x), call(VALUES), rtol=1e-12)


def test_lists_of_what_is_in_memory(processes: Any) -> None:
    for call in (lambda x: x[[900, 3, 8]] * 2, lambda x: x.T[[4, 0]], lambda x: (x + x[:1])[[3, 4, 7, 900], 2:]):
        for chunks in ((100, 5), (1000, 2)):
            assert_same(call(ka.from_array(LONG, chunks=chunks)), call(LONG))
            found = call(ka.from_array(LongStore(), chunks=chunks, name="long"))
            np.testing.assert_array_equal(found.compute(scheduler=processes), call(LONG))


#: What is read of a source of 1000 rows.
SHIFTED: dict[str, tuple[Callable[..., Any], int]] = {
    "difference": (lambda x: np.diff(x, axis=0), 1000),
    "slices": (lambda x: x[1:] - x[:-1], 1000),
    "second difference": (lambda x: x[2:] - 2 * x[1:-1] + x[:-2], 1000),
    "along two axes": (lambda x: x[1:, 1:] + x[:-1, :-1] + x[1:, :-1], 1000),
    "rolled": (lambda x: x - np.roll(x, 1, 0), 1000),
    "trapezoids": (lambda x: np.trapezoid(x, axis=0), 1000),
    "a chain": (lambda x: np.diff(np.sin(x) * 2, axis=0), 1000),
    "with a reduction": (lambda x: x.sum() + np.diff(x, axis=0).sum(), 1000),
    # Only what all of them need together.
    "some of it": (lambda x: np.diff(x, axis=0)[:100], 101),
    "some of a chain": (lambda x: np.diff(np.sin(x) * 2, axis=0)[150:250], 101),
    "few": (lambda x: x[:100].mean() + x[50:150].mean(), 150),
    # Apart, or few of all: each reads its own.
    "halves": (lambda x: x[:500] - x[500:], 1000),
    "a few of all": (lambda x: x.sum() + x[:100].sum(), 1100),
    # Blocks would have to be kept until the other end is reached.
    "turned round": (lambda x: x - x[::-1], 2000),
    "rolled by half": (lambda x: x - np.roll(x, 500, 0), 2000),
}


@pytest.mark.parametrize("name", list(SHIFTED))
def test_shifted_slices_read_once(name: str) -> None:
    call, rows = SHIFTED[name]
    for chunks in ((100, 5), (300, 5), ((0, 250, 0, 350, 400), 5), (170, 5)):
        store = LongStore()
        with nothing_runs():
            found = call(ka.from_array(store, chunks=chunks, name=False))
        assert_same(found, call(LONG), rtol=1e-12)
        assert store.read == rows * 5, f"with chunks {chunks}"
