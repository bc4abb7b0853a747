"""``take``, ``compress``, ``delete``, ``insert``, ``nonzero`` and their kin; ``vindex``, ``blocks``."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from against_numpy import assert_same, check, check_function, chunkings, nothing_runs

import kask
import kask.array as ka

GRID = (np.arange(35) * 17 % 23 - 5).reshape(5, 7)
ROW = np.arange(9) * 2 - 4
CUBE = np.arange(24).reshape(2, 3, 4) % 5


@pytest.mark.parametrize("axis", [0, 1, -1, None])
@pytest.mark.parametrize("places", [2, [3, 1, 1, -1], [[0, 1], [4, 4]], []])
def test_take(axis, places):
    check_function("take", GRID, args=(places,), options={"axis": axis})


@pytest.mark.parametrize("mode", ["wrap", "clip"])
def test_take_beyond_the_end(mode):
    check_function("take", GRID, args=([9, -20, 3],), options={"axis": 1, "mode": mode})
    check_function("take", GRID, np.array([9, -20, 3]), options={"axis": 1, "mode": mode})
    with pytest.raises(IndexError, match="index 9 is out of bounds for axis 1 with size 7"):
        ka.take(GRID, [9], axis=1)


def test_take_places_of_kask():
    check_function("take", GRID, np.array([[3, 1], [0, -1]]), options={"axis": 0})


@pytest.mark.parametrize(
    ("condition", "axis"),
    [([True, False, True], 0), ([1, 0, 2, 0, 1], 0), ([0] * 7, 1), ([1] * 7, -1), ([True] * 9, None), ([], 0)],
)
def test_compress(condition, axis):
    check(lambda x: compress_of(x)(condition, x, axis), GRID)
    check(lambda c, x: compress_of(x)(c, x, axis), np.array(condition), GRID)


def compress_of(x):
    return np.compress if isinstance(x, np.ndarray) else ka.compress


def test_compress_refuses():
    with pytest.raises(ValueError, match="1-d"):
        ka.compress([[True]], GRID)
    with pytest.raises(IndexError, match="index 5 is out of bounds for axis 0 with size 5"):
        ka.compress([True] * 6, GRID, 0)
    with pytest.raises(ValueError, match="6 elements, but axis 0 has 5"):
        ka.compress(ka.from_array(np.ones(6), chunks=2), GRID, 0)


def test_extract():
    check_function("extract", GRID > 3, GRID)
    check_function("extract", GRID % 3, GRID)
    check_function("extract", (GRID % 3).reshape(7, 5), GRID)
    check_function("extract", np.array(1), np.array(5))
    check_function("extract", CUBE, CUBE)


@pytest.mark.parametrize("axis", [0, 1, None])
@pytest.mark.parametrize("obj", [2, -1, [0, -1, 0], slice(1, 4), slice(None, None, -2), [], slice(3, 1), np.array([1])])
def test_delete(obj, axis):
    check_function("delete", GRID, args=(obj, axis))


def test_delete_by_mask_and_refused():
    check_function("delete", GRID, args=(np.arange(5) % 2 == 0, 0))
    check(lambda x: (np.delete if isinstance(x, np.ndarray) else ka.delete)(x, [1], axis=0), GRID)
    with pytest.raises(ValueError, match="match the axis length of 5"):
        ka.delete(GRID, [True, False], 0)
    with pytest.raises(IndexError, match="index 9 is out of bounds for axis 0 with size 5"):
        ka.delete(GRID, 9, 0)
    with pytest.raises(np.exceptions.AxisError):
        ka.delete(GRID, 0, 5)


@pytest.mark.parametrize(
    ("obj", "values", "axis"),
    [
        (1, 5, 0), (1, [7, 8, 9, 1, 2], 1), ([1, 1], [[7], [8]], 0), ([0, 2], 5, None), (1, [[7], [8], [9], [1], [2]], 1),
        ([1], [[7], [8], [9], [1], [2]], 1), (slice(0, 2), 1, 1), ([4, 0, -1, 5], 2.7, 0), (7, 1, 1), (-1, 1, 1), ([], 1, 0),
        (np.array([True, False, True, False, False]), 3, 0), ([2, 2, 0], np.arange(21).reshape(3, 7), 0), (3, np.arange(14).reshape(2, 7), 0),
    ],
)  # fmt: skip
def test_insert(obj, values, axis):
    check_function("insert", GRID, args=(obj, values, axis))
    check(
        lambda x, v: (np.insert if isinstance(x, np.ndarray) else ka.insert)(x, obj, v, axis), GRID, np.asarray(values)
    )


def test_insert_refuses():
    for obj in [9, [9, 0]]:
        with pytest.raises(IndexError, match="out of bounds for axis 1 with size 7"):
            ka.insert(GRID, obj, 1, 1)
    with pytest.raises(ValueError, match="values of shape"):
        ka.insert(GRID, [1, 2], np.ones((3, 7)), 0)


STEPS = [slice(None, None, 2), slice(1, None, 3), slice(30, 2, -4), slice(3, 12), slice(12, 3, -1), slice(33, 34, 5)]


@pytest.mark.parametrize("obj", [*STEPS, -3, 34, [5, 6, 7, 8, 9, 10, 33], [9, 2, 2, -1, 0], np.arange(35) % 4 > 0])
@pytest.mark.parametrize(
    "part", [slice(None), slice(4, 9), slice(None, None, -2), slice(7, 7), slice(-6, None), slice(1, 30, 5)]
)
def test_parts_of_what_is_left_or_put_in(obj, part):
    line, count = GRID.reshape(-1), np.insert(np.zeros(35), obj, 0).size - 35
    for cut in (35, 1, (12, 23), (0, 17, 0, 18, 0), (34, 1)):
        with nothing_runs():
            x = ka.from_array(line, chunks=(cut,))
            left, more = ka.delete(x, obj), ka.insert(x, obj, np.arange(count))
        assert_same(left[part], np.delete(line, obj)[part])
        assert_same(more[part], np.insert(line, obj, np.arange(count))[part])
        assert_same(ka.insert(x, obj, ka.from_array(np.arange(count), chunks=2))[part], more.compute()[part])


def test_values_longer_than_chunks_are_put_in():
    check(lambda x, v: (np.insert if isinstance(x, np.ndarray) else ka.insert)(x, 3, v, 0), GRID, np.ones((19, 7)))
    for obj in ([3] * 40, [3] * 39 + [5], [5] * 20 + [0] * 20):
        check_function("insert", GRID, args=(obj, np.arange(40)[:, None], 0))


def test_masks_are_kept():
    masked = np.ma.array(GRID, mask=GRID > 5)
    for obj in (2, [0, 4], slice(1, 4), slice(None, None, 2)):
        for cut in (1, 2, 5):
            x = ka.from_array(masked, chunks=cut)
            keep, places = np.delete(np.arange(5), obj), np.insert(np.arange(5), obj, 9)
            np.testing.assert_array_equal(ka.delete(x, obj, 0).compute().mask, masked[keep].mask)
            found = ka.insert(x, obj, 9, 0).compute()
            np.testing.assert_array_equal(found.mask[places < 9], masked.mask)
            assert not found.mask[places == 9].any()


LONG_EDITS = """
import resource
import kask.array as ka
x = ka.ones(50_000_000, chunks=1_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for obj in (5, -1, slice(0, 10), slice(None, None, 3), slice(None, 5, -1), [7, 3, 10_000_000]):
    ka.delete(x, obj), ka.insert(x, obj, 2.0)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_long_arrays_cost_nothing_to_describe():
    grown_kib = int(subprocess.run([sys.executable, "-c", LONG_EDITS], capture_output=True, check=True).stdout)
    assert grown_kib < 20 << 10


def test_append():
    check_function("append", GRID, GRID)
    check_function("append", GRID, GRID[:2], options={"axis": 0})
    check_function("append", GRID, GRID[:, :1] + 0.5, options={"axis": 1})
    check_function("append", ROW, GRID)
    check_function("append", GRID, args=(3,))
    with pytest.raises(
        ValueError, match="along dimension 1, the array at index 0 has size 7 and the array at index 1 has size 2"
    ):
        ka.append(GRID, np.ones((1, 2)), axis=0)


def test_append_what_has_no_known_size():
    x = ka.from_array(ROW, chunks=4)
    with nothing_runs():
        y = ka.append(x[wrap_mask(x)], x)
        assert (y.ndim, y.dtype) == (1, x.dtype)
    np.testing.assert_array_equal(y.compute(), np.append(ROW[ROW > 0], ROW))


def wrap_mask(x):
    from kask.array.base import wrap
    from kask.array.ops.elementwise import elementwise

    return wrap(elementwise(np.greater, x.expr, 0))


@pytest.mark.parametrize("x", [GRID, ROW, CUBE, CUBE > 2, np.zeros((3, 0)), GRID.astype("O"), GRID.astype(complex)])
def test_places(x):
    check_function("argwhere", x)
    check_function("flatnonzero", x)
    check_function("nonzero", x)
    for cuts in chunkings(x.shape):
        found = kask.compute(*ka.from_array(x, chunks=cuts).nonzero())
        assert_same(found, x.nonzero())


def test_places_without_axes():
    for value in [0, 3]:
        check_function("argwhere", np.array(value))
        check_function("flatnonzero", np.array(value))
    with pytest.raises(ValueError, match="0d"):
        ka.nonzero(np.array(1))


def test_places_pick_what_a_mask_picks():
    x = ka.from_array(GRID, chunks=(2, 3))
    with nothing_runs():
        rows, columns = ka.nonzero(wrap_mask(x))
    np.testing.assert_array_equal(x[rows, columns].compute(), GRID[GRID > 0])


def home(x):
    return np if isinstance(x, np.ndarray) else ka


@pytest.mark.parametrize("order", ["C", "F"])
def test_numbers_of_elements(order):
    check(lambda x: home(x).unravel_index(x, (3, 4, 5), order), np.array([[7, 59], [0, 1]]))
    check(lambda x: home(x).unravel_index(x, 9, order), np.array([7, 8]))
    a, b, far = np.array([1, 2]), np.array([3, 0]), np.array([9, -2])
    check(lambda a, b: home(a).ravel_multi_index((a, b), (3, 4), order=order), a, b)
    check(lambda a: home(a).ravel_multi_index((a, 1), (3, 4), order=order), a)
    check(lambda a: home(a).ravel_multi_index((a, a), (3, 4), ("clip", "wrap"), order), far)
    check(lambda x: home(x).ravel_multi_index(x, (3, 4), order=order), np.array([[1, 2], [3, 0]]))
    with pytest.raises(ValueError, match="sequence of length 3"):
        ka.ravel_multi_index((1, 2), (3, 4, 5))
    with pytest.raises(ValueError, match="out of bounds"):
        ka.unravel_index(ka.from_array([99], chunks=1), (3, 4))[0].compute()


def test_shuffle():
    x = ka.from_array(GRID, chunks=(2, 3))
    groups = [[6, 0], [1, 1], [3], [5, 4, 2]]
    for y in [ka.shuffle(x, groups, axis=1), x.shuffle(groups, axis=-1)]:
        np.testing.assert_array_equal(y.compute(), GRID[:, [6, 0, 1, 1, 3, 5, 4, 2]])
        assert y.chunks == ((2, 2, 1), (2, 3, 3))
    with pytest.raises(IndexError, match="index 7 is out of bounds for axis 1 with size 7"):
        x.shuffle([[7]], 1)
    with pytest.raises(ValueError, match="list of lists"):
        x.shuffle([1, 2], 1)


def test_methods():
    check(lambda x: x.take([3, 0, -1]), GRID)
    check(lambda x: x.take([[3, 0]], axis=1), GRID)
    check(lambda x: x.compress([True, False, True], axis=1), GRID)


def test_vindex():
    for cuts in chunkings(CUBE.shape):
        x = ka.from_array(CUBE, chunks=cuts)
        assert_same(x.vindex[[1, 0], :, [2, 3]], CUBE[[1, 0], :, [2, 3]])
        assert_same(x.vindex[:, [1, 0], [2, 3]], np.moveaxis(CUBE[:, [1, 0], [2, 3]], 1, 0))
        assert_same(x.vindex[:, [2, 0, 1]], CUBE[:, [2, 0, 1]].transpose(1, 0, 2))
        assert_same(x.vindex[[[1], [0]], [0, 2], 1], CUBE[[[1], [0]], [0, 2], 1])
        assert_same(x.vindex[1, 2, 3], CUBE[1, 2, 3])
    with pytest.raises(IndexError, match="index 7"):
        x.vindex[[7], [0]]


def test_blocks():
    x = ka.from_array(GRID, chunks=(2, 3))
    assert_same(x.blocks[0], GRID[:2])
    assert_same(x.blocks[1, 2], GRID[2:4, 6:])
    assert_same(x.blocks[::-1, -1], np.concatenate([GRID[4:], GRID[2:4], GRID[:2]])[:, 6:])
    assert_same(x.blocks[:, [2, 0, 0]], np.concatenate([GRID[:, 6:], GRID[:, :3], GRID[:, :3]], axis=1))
    assert_same(x.partitions[..., 1], GRID[:, 3:6])
    assert x.blocks.shape == (3, 3)
    assert x.blocks.size == 9
    assert_same(x.blocks.ravel()[4], GRID[2:4, 3:6])
    assert x.blocks[1, 2].explain().families[0].tasks == 1
    with pytest.raises(IndexError, match="index 3 is out of bounds for axis 0 with size 3"):
        x.blocks[3]
    with pytest.raises(ValueError, match="blocks"):
        x.blocks[None]
    with pytest.raises(ValueError, match="blocks"):
        x.blocks[[0], [1]]


def test_chunk_sizes():
    x = ka.from_array(GRID, chunks=(2, 3))
    y = x[wrap_mask(x)]
    z = y.compute_chunk_sizes()
    assert z.chunks == y.chunks
    assert not y.expr.is_unknown
    assert sum(z.chunks[0]) == (GRID > 0).sum()
    assert x.compute_chunk_sizes().chunks == x.chunks


def changed(name, *args, **options):
    """A function that changes a copy of its first argument by ``np.<name>`` or ``ka.<name>``."""

    def call(x, *rest):
        if isinstance(x, np.ndarray):
            x = x.copy()
            getattr(np, name)(x, *rest, *args, **options)
        else:
            getattr(ka, name)(x, *rest, *args, **options)
        return x

    return call


@pytest.mark.parametrize("values", [7, [1.5, 2.5], np.arange(40), []])
def test_put(values):
    check(changed("put", [3, -1, 0, 3], values), GRID)
    check(changed("put", [99, -99], values, mode="clip"), GRID)
    check(changed("put", [[99], [-99]], values, mode="wrap"), GRID)
    check(lambda x: changed("put")(x, 2, values), GRID)
    check(lambda x: changed("put")(x, [], values), GRID)
    with pytest.raises(IndexError, match="index 35 is out of bounds for axis 0 with size 35"):
        ka.put(ka.from_array(GRID, chunks=2), [35], 0)


@pytest.mark.parametrize("values", [7, [-1, -2, -3], -GRID])
def test_putmask_and_place(values):
    for name in ["putmask", "place"]:
        check(changed(name, GRID > 3, values), GRID)
        check(changed(name, GRID > 300, values), GRID)
        check(changed(name, values), GRID, GRID % 3)
        if name == "place":
            check(lambda x, v: changed("place")(x, GRID > 3, v), GRID, np.atleast_1d(values))
        with pytest.raises(ValueError, match="same size"):
            getattr(ka, name)(ka.from_array(GRID, chunks=2), [True], values)
    check(changed("putmask"), GRID, GRID > 3, -GRID)
    check(changed("putmask"), GRID, GRID > 3, np.arange(3))


def test_copyto():
    check(changed("copyto", 7), GRID)
    check(changed("copyto"), GRID, -GRID)
    check(changed("copyto", np.arange(7)), GRID)
    check(changed("copyto", np.arange(7), where=np.arange(5)[:, None] > 1), GRID)
    check(changed("copyto", 1.5, casting="unsafe"), GRID)
    with pytest.raises(TypeError, match="Cannot cast"):
        ka.copyto(ka.from_array(GRID, chunks=2), np.array([1.5]))
    with pytest.raises(TypeError, match="must be an array of Kask, not ndarray"):
        ka.copyto(GRID.copy(), 1)
    with pytest.raises(ValueError, match="could not broadcast"):
        ka.copyto(ka.from_array(GRID, chunks=2), np.ones((2, 5, 7)), "unsafe", where=[True] * 7)


def test_fill_diagonal():
    tall = np.zeros((7, 3))
    for wrapped in [False, True]:
        check(changed("fill_diagonal", 4, wrap=wrapped), tall)
        check(changed("fill_diagonal", [1, 2], wrap=wrapped), tall)
        check(changed("fill_diagonal", [1, 2], wrap=wrapped), tall.T)
    check(changed("fill_diagonal", 3), np.zeros((3, 3, 3)))
    with pytest.raises(ValueError, match="at least 2-d"):
        ka.fill_diagonal(ka.from_array(ROW, chunks=2), 1)


def test_arrays_without_axes():
    check(lambda x: x[()], np.array(5))
    check(lambda x: x[None, ...], np.array(5))

    def fill(x):
        y = x.copy() if isinstance(x, np.ndarray) else x[...]
        y[()] = 7
        return y

    check(fill, np.array(5))
    check(lambda x: x[True], np.array(5))
