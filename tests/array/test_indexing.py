"""``x[index]`` with integers, slices, new axes, lists and NumPy's masks."""

from __future__ import annotations

import numpy as np
import pytest
from against_numpy import check

import kask.array as ka
from kask.array.base import wrap
from kask.array.ops.chunks import normalized
from kask.array.ops.creation import Made
from kask.array.ops.elementwise import elementwise
from kask.array.ops.reductions import reduced

S = slice
CUBE = np.arange(5 * 4 * 6).reshape(5, 4, 6)
ROW = np.arange(11) * 3

BASIC = [
    0, -1, S(1, 4), S(None, None, -1), S(4, 0, -2), S(3, 3), S(-100, 100), None, ..., (), (..., 0), (0, ..., 0), (0, 1, 2),
    (S(None), 2), (None, 1, None, S(1, 3)), (..., None), (S(None, None, 2), S(None, None, -3), S(1, None, 2)),
    (S(5, None), 0), (-5, -4, -6), (np.int8(2), np.array(1)), (S(np.int64(1), None), ..., S(2)),
]  # fmt: skip

FANCY = [
    [0, 2, 4], [4, 0, 0, -1], [], np.array([], int), np.array([[0, 1], [4, 4]]), (S(None), [3, 1]), (S(None), S(None), [5, 0, 1, -2]),
    ([0, 1, 4], [3, 3, 0]), ([0, 1, 4], S(None), [5, 0, 2]), (S(None), [0, 1], [5, 5]), ([0, 1], 2), (0, [1, 2]), (0, S(None), [1, 2]),
    ([1, 2], S(None), 0), ([[0], [4]], [1, 2, 0]), ([[0], [4]], S(None), [1, 2, 0]), (np.ix_([0, 4], [3, 1, 1], [2, 5])),
    (S(None), *np.ix_([3, 0], [1, 4, 4])), (None, [1, 2], None), ([1, 2], None, [0, 3]), (..., [1, 2]), ([0, 3, 1], ..., [1, 2, 0]),
    (S(None), [0, 1, 2], ..., [1, 2, 0]), (S(None, None, -2), [3, 0], S(1, 5)), ([1, 2, 3], [0, 0, 0], [1, 1, 5]),
    ([2], [0, 1, 3]), ([4, 3, 2, 1, 0], S(2), S(None, None, 2)), (2, [0, 1, 1], 3), ([1] * 20, S(None), S(None)),
    (np.array([3, 1], np.uint8), np.array([-1, 0], np.int8)), (range(3),), (S(None), (0, 2)),
    (S(None), np.arange(4)[::-1, None], np.arange(6)[None, ::-1]), (S(0), [1, 2]), ([0, 1], S(0)), (S(None), [], [1]),
]  # fmt: skip

MASKS = [
    CUBE > 50, CUBE < 0, CUBE[:, 0, 0] > 30, (S(None), CUBE[0, :, 0] > 6), (S(None), CUBE[0] % 3 == 1), CUBE[:, :, 0] % 5 == 0,
    (S(None), S(None), CUBE[0, 0] > 2), True, False, (True, 0), (S(None), True, 1), ([0, 1], True), (CUBE[:, 0, 0] > 30, 1),
    (CUBE[:, 0, 0] > 70, S(None), [1, 5]), (CUBE[:, 0, 0] > 30, [0]), (0, CUBE[0] > 11), (1, S(None), CUBE[0, 0] > 2),
    (..., CUBE[0, 0] > 2), np.bool_(True), [True, False, True, True, False], (S(1, 4), CUBE[0, :, 0] > 6, S(None, None, -1)),
    (..., False, 0), (None, CUBE[:, :, 1] % 2 == 1),
]  # fmt: skip


@pytest.mark.parametrize("index", BASIC, ids=repr)
def test_basic(index):
    check(lambda x: x[index], CUBE)


@pytest.mark.parametrize("index", FANCY, ids=repr)
def test_lists(index):
    check(lambda x: x[index], CUBE)


@pytest.mark.parametrize("index", MASKS, ids=range(len(MASKS)))
def test_masks_of_numpy(index):
    check(lambda x: x[index], CUBE)


@pytest.mark.parametrize("dtype", ["?", "i1", "f4", "c8", "M8[s]", "O", "U3"])
def test_types(dtype):
    x = ROW.astype(dtype)
    check(lambda x: x[::-2], x)
    check(lambda x: x[[3, 1, 1, 10]], x)
    check(lambda x: x[[[3], [1]]], x)


def test_many_blocks_for_one():
    order = np.random.default_rng(0).permutation(200)
    x = np.arange(400).reshape(2, 200)
    for chunks in [(2, 7), (1, 1), (2, 60)]:
        y = ka.from_array(x, chunks=chunks)
        np.testing.assert_array_equal(y[:, order].compute(), x[:, order])
        np.testing.assert_array_equal(y[[0, 1, 1]][:, order][:, ::-3].compute(), x[[0, 1, 1]][:, order][:, ::-3])


def test_random_indices():
    rng = np.random.default_rng(1)
    for _ in range(150):
        x = rng.integers(0, 100, rng.integers(1, 6, 3))
        y = ka.from_array(x, chunks=tuple(rng.integers(1, 4, 3)))
        shape = tuple(rng.integers(1, 4, rng.integers(1, 3)))
        index = []
        for length in x.shape:
            kind = rng.integers(0, 6)
            if kind == 0:
                index.append(int(rng.integers(-length, length)))
            elif kind == 1:
                index.append(
                    slice(
                        *[[None, int(rng.integers(-7, 7))][rng.integers(2)] for _ in range(2)],
                        int(rng.choice([-2, -1, 1, 3])),
                    )
                )
            elif kind == 2:
                index.append(rng.integers(-length, length, shape[-1:]))
            elif kind == 3:
                index.append(rng.integers(-length, length, shape))
            elif kind == 4:
                index.extend([None, slice(None)])
            else:
                index.append(slice(None))
        index = tuple(index[: rng.integers(1, len(index) + 1)])
        np.testing.assert_array_equal(y[index].compute(), x[index], err_msg=repr((x.shape, y.chunks, index)))


@pytest.mark.parametrize(
    "index",
    [
        5, -6, (0, 4), (0, 0, 0, 0), [5], (S(None), [0, -5]), 1.0, [1.0], np.array([1.0]), (..., ...), [True, False], "a", ["a"],
        ([0, 1], [0, 1, 2]), np.ones((5, 3), bool), (0, [0], np.ones((3, 3), bool)), (S(None), CUBE > 0), len,
    ],
    ids=repr,
)  # fmt: skip
def test_refused_as_numpy_does(index):
    x = ka.from_array(CUBE, chunks=2)
    with pytest.raises(IndexError) as expected:
        CUBE[index]
    with pytest.raises(IndexError) as found:
        x[index]
    assert str(found.value).strip() == str(expected.value).strip()


def test_fields():
    x = np.array([(i, i / 2, "ab"[i % 2]) for i in range(7)], dtype=[("n", "i4"), ("half", "f8"), ("name", "U1")])
    check(lambda x: x["half"], x)
    check(lambda x: x[["name", "n"]], x)
    check(lambda x: x[2:]["n"][::-1], x)
    with pytest.raises(ValueError, match="no field of name nothing"):
        ka.from_array(x, chunks=2)["nothing"]


def test_only_what_is_needed_is_read():
    big = wrapped_blocks((1000, 10), (10, 10))
    assert blocks_made(big[5]) == 1
    assert blocks_made(big[95:105]) == 2
    assert blocks_made(big[::100]) == 10
    assert blocks_made(big[[3, 7, 500]]) == 2
    assert blocks_made(big[[3, 500], [2, 5]]) == 2
    assert blocks_made(big[[500, 3, 501], 2:4]) == 2


def test_slices_pass_through_what_is_done_to_elements():
    big = wrapped_blocks((1000, 10), (10, 10))
    more = wrap(elementwise(np.add, big.expr, 1.0))
    assert blocks_made(more[:100]) == 10
    assert blocks_made(more[None, 5]) == 1
    assert blocks_made(more[:, [1, 2]][:20]) == 2
    assert blocks_made(ka.tril(big)[:20, :5]) == 2
    assert blocks_made(ka.digitize(big, [0.5, 2.0])[10:30]) == 2
    total = wrap(reduced(more[:100].expr, part_sum, all_sums, same, (0, 1), "f8"))
    assert blocks_made(total) == 10
    assert total.compute() == 1000


@pytest.mark.parametrize("diagonal", [-3, 0, 5])
@pytest.mark.parametrize("name", ["tril", "triu"])
def test_slices_of_triangles(name, diagonal):
    array = np.arange(2 * 12 * 15).reshape(2, 12, 15)
    x, expected = (
        getattr(ka, name)(ka.from_array(array, chunks=(1, 5, 4)), diagonal),
        getattr(np, name)(array, diagonal),
    )
    for index in (
        np.s_[:, 3:10, 4:], np.s_[0, 5], np.s_[..., ::2], np.s_[1, ::-1, 4], np.s_[:, 9:, :3], np.s_[:, 2:2],
    ):  # fmt: skip
        np.testing.assert_array_equal(x[index].compute(), expected[index])


def part_sum(block, axes):
    return block.sum(axes, keepdims=True)


def all_sums(parts):
    return sum(parts)


def same(total):
    return total


def blocks_made(x):
    """Tasks that make blocks of nothing."""
    return sum(family.tasks for family in x.explain().families if family.prefix == "made")


def wrapped_blocks(shape, chunks):
    """An array whose blocks are not slices of one in memory."""
    return wrap(Made(made, (), normalized(chunks, shape, "f8"), np.empty((0, 0)), "made"))


def made(start, shape):
    return np.zeros(shape)


def test_sorted_lists_keep_the_chunks():
    x = ka.from_array(np.arange(100), chunks=10)
    assert x[[1, 2, 15, 99]].chunks == ((2, 1, 1),)
    assert x[np.arange(100)[::-1]].chunks == x.chunks
    assert x[np.arange(0, 100, 2)].chunks == ((5,) * 10,)


RECORDS = np.zeros(
    (4, 3), [("at", "f4", (3,)), ("m", "i2", (2, 2)), ("v", "f8"), ("n", [("a", "f4", (2,)), ("b", "U2")])]
)
RECORDS["at"] = np.arange(36).reshape(4, 3, 3)
RECORDS["m"] = np.arange(48).reshape(4, 3, 2, 2)
RECORDS["v"] = np.arange(12).reshape(4, 3)
RECORDS["n"]["a"] = np.arange(24).reshape(4, 3, 2)


def test_fields_that_are_arrays():
    check(lambda x: x["at"], RECORDS)
    check(lambda x: x["at"].sum(-1), RECORDS)
    check(lambda x: x["m"].T[1:], RECORDS)
    check(lambda x: x["n"]["a"][:, 1:, ::-1], RECORDS)
    check(lambda x: x[["at", "v"]]["at"] * 2, RECORDS)
    check(lambda x: x[1, 2]["at"], RECORDS)
    check(lambda x: x[x["v"] > 5]["at"], RECORDS)
    check(lambda x: x["at"], np.ma.array(RECORDS))


def test_assignment_to_fields_that_are_arrays():
    def changed(x, value):
        x = x.copy()
        x["at"] = value(x)
        return x

    check(lambda x: changed(x, lambda x: x["at"] * 2), RECORDS)
    check(lambda x: changed(x, lambda x: x["v"][..., None] * np.arange(3)), RECORDS)
    check(lambda x: changed(x, lambda x: [1, 2, 3]), RECORDS)
    check(lambda x: changed(x, lambda x: 7), RECORDS)
    with pytest.raises(ValueError, match=r"could not broadcast input array from shape \(4,3,2\) into shape \(4,3,3\)"):
        changed(ka.from_array(RECORDS, chunks=2), lambda x: np.ones((4, 3, 2)))
