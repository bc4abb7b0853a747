"""Shapes, axes, and arrays put together or taken apart, against NumPy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from against_numpy import assert_same, check, check_function, chunkings, nothing_runs

import kask
import kask.array as ka
from kask.array.ops.reshaping import renumbered
from kask.base import graph_view
from kask.expr import walk

MATRIX = np.arange(42).reshape(6, 7)
CUBE = np.arange(4 * 5 * 6).reshape(4, 5, 6)
LINE = np.arange(12)


@pytest.mark.parametrize(
    ("shape", "new"),
    [
        ((12,), (3, 4)),
        ((12,), (2, 2, 3)),
        ((3, 4), (12,)),
        ((3, 4), (4, 3)),
        ((3, 4), (2, 6)),
        ((4, 6, 5), (24, 5)),
        ((4, 6, 5), (4, 30)),
        ((4, 6, 5), (2, 2, 2, 3, 5)),
        ((4, 6, 5), (8, 15)),
        ((4, 6, 5), (5, 6, 4)),
        ((1, 6), (6,)),
        ((6,), (1, 6, 1)),
        ((1,), ()),
        ((), (1, 1)),
        ((0, 3), (3, 0)),
        ((0, 3), (0,)),
        ((2, 3, 4), (-1,)),
        ((2, 3, 4), (-1, 6)),
        ((2, 3, 4), (6, -1)),
    ],
)
@pytest.mark.parametrize("order", ["C", "F"])
def test_reshape(shape: tuple[int, ...], new: tuple[int, ...], order: str) -> None:
    array = np.arange(np.prod(shape, dtype=int)).reshape(shape)
    check_function("reshape", array, args=(new,), options={"order": order})
    check(lambda x: x.reshape(*new, order=order) if new else x.reshape((), order=order), array)


@pytest.mark.parametrize("limit", [8, 24, 64, "1KiB"])
@pytest.mark.parametrize("new", [(24, 5), (8, 15), (5, 24), (120,), (2, 60), (3, 5, 8), (2, 2, 30)])
def test_reshape_in_small_blocks(limit: Any, new: tuple[int, ...]) -> None:
    array = np.arange(120).reshape(4, 6, 5)
    for cut in chunkings(array.shape):
        found = ka.reshape(ka.from_array(array, chunks=cut), new, limit=limit)
        assert_same(found, array.reshape(new))


def test_wrong_reshape() -> None:
    x = ka.ones((2, 3))
    with pytest.raises(ValueError, match=r"\(2, 3\).*\(4, 2\)"):
        x.reshape(4, 2)
    with pytest.raises(ValueError, match="only one"):
        x.reshape(-1, -1)
    with pytest.raises(ValueError, match=r"\(4, -1\)"):
        x.reshape(4, -1)
    with pytest.raises(ValueError, match="order='X'"):
        x.reshape(6, order="X")


def test_numbers_of_blocks() -> None:
    assert renumbered((2, 3), (2, 3)) == (0, 1)
    assert renumbered((2, 1), (2,)) == (0, ("fixed", 0))
    assert renumbered((2, 3), (6,)) == (
        ("listed", 0, (0, 0, 0, 1, 1, 1), (1, 2, 3, 4, 5, 6)),
        ("listed", 0, (0, 1, 2, 0, 1, 2), (1, 2, 3, 4, 5, 6)),
    )
    assert renumbered((6,), (2, 3)) is None


@pytest.mark.parametrize("name", ["ravel", "squeeze", "transpose"])
def test_without_arguments(name: str) -> None:
    for array in (LINE, MATRIX, CUBE, np.array(3), np.ones((0, 2)), np.ones((1, 3, 1))):
        check_function(name, array)
        check(lambda x: getattr(x, name)(), array)
    check(lambda x: x.flatten(), MATRIX)
    check(lambda x: x.ravel("F"), MATRIX)
    check(lambda x: x.T, CUBE)
    check(lambda x: x.mT, CUBE)


@pytest.mark.parametrize("shape", [(1, 2, 2310), (2, 3, 770), (2, 2310), (7, 2, 330), (3, 11, 10, 14)])
def test_reshape_keeps_to_its_limit_where_axes_are_split_in_two(shape: Any) -> None:
    values = np.arange(4620).reshape(6, 35, 22)
    for chunks in [(2, 5, 2), (6, 7, 11), ((1, 5), (30, 5), (20, 2))]:
        x = ka.from_array(values, chunks=chunks)
        for limit in (160, 4000):
            found = ka.reshape(x, shape, limit=limit)
            # The largest of all that is made, with what is read.
            largest = max(expr.block_bytes for expr in walk([found.expr]) if expr is not x.expr)
            assert largest <= 4000
            assert_same(found, values.reshape(shape))
            assert_same((found * 2).sum(axis=-1), values.reshape(shape).sum(axis=-1) * 2)


def test_blocks_in_another_grid_are_one_layer() -> None:
    x = ka.ones((30, 20, 3), chunks=(1, 1, 3))
    line = ka.reshape_blockwise(x + 1, 1800)
    back = ka.reshape_blockwise(line, x.shape, chunks=x.chunks)
    assert len(back.dask.layers) <= 4
    assert_same(back, np.full(x.shape, 2.0))


def test_reshape_blockwise() -> None:
    x = ka.from_array(CUBE, chunks=(2, 3, 4))
    flat = ka.reshape_blockwise(x, (20, 6))
    assert flat.chunks == ((6, 4, 6, 4), (4, 2))
    first = CUBE[:2, :3, :4].reshape(6, 4)
    np.testing.assert_array_equal(flat.compute()[:6, :4], first)
    rows = ka.from_array(MATRIX, chunks=(2, 7))
    line = ka.reshape_blockwise(rows, 42)
    assert_same(line, MATRIX.ravel())
    assert_same(ka.reshape_blockwise(line, (6, 7), chunks=rows.chunks), MATRIX)
    with pytest.raises(ValueError, match="chunks="):
        ka.reshape_blockwise(line, (6, 7))
    with pytest.raises(ValueError, match="neighbouring"):
        ka.reshape_blockwise(x, (10, 12))


@pytest.mark.parametrize("axis", [0, 1, -1, (0, 1), (0, -1), (3, 1)])
def test_expand_dims(axis: Any) -> None:
    array = MATRIX if axis != 0 else LINE
    check_function("expand_dims", array, args=(axis,))


def test_squeeze() -> None:
    array = np.arange(6).reshape(1, 3, 1, 2)
    for axis in [None, 0, -2, (0, 2)]:
        check_function("squeeze", array, args=(axis,))
    with pytest.raises(ValueError, match="axis 1 has 3"):
        ka.squeeze(ka.from_array(array), 1)


def test_axes() -> None:
    for order in [(0, 2, 1), (2, 0, 1), (-1, 0, 1)]:
        check_function("transpose", CUBE, args=(order,))
        check(lambda x, order=order: x.transpose(*order), CUBE)
        check(lambda x, order=order: x.transpose(order), CUBE)
    check_function("permute_dims", CUBE, args=((2, 0, 1),))
    check_function("matrix_transpose", CUBE)
    check_function("moveaxis", CUBE, args=(0, -1))
    check_function("moveaxis", CUBE, args=((0, 1), (2, 0)))
    check_function("swapaxes", CUBE, args=(0, -1))
    check(lambda x: x.swapaxes(1, 2), CUBE)
    for axis, start in [(2, 0), (0, 3), (1, 1), (-1, 1), (0, -1)]:
        check_function("rollaxis", CUBE, args=(axis, start))
    with pytest.raises(ValueError, match="each of the 3 axes once"):
        ka.transpose(ka.ones((2, 3, 4)), (0, 1))
    for name in ("atleast_1d", "atleast_2d", "atleast_3d"):
        for array in (np.array(3), LINE, MATRIX, CUBE):
            check_function(name, array)
        check_function(name, LINE, MATRIX)


def test_broadcast() -> None:
    check_function("broadcast_to", LINE, args=((3, 12),))
    check_function("broadcast_to", np.arange(3).reshape(3, 1), args=((2, 3, 4),))
    check_function("broadcast_to", np.array(5), args=((2, 3),))
    check_function("broadcast_to", np.ones((1, 3)), args=((0, 3),))
    check_function("broadcast_arrays", MATRIX, MATRIX[0], MATRIX[:, :1])
    assert ka.broadcast_to(ka.ones(4), (6, 4), chunks=(2, 3)).chunks == ((2, 2, 2), (3, 1))
    with pytest.raises(ValueError, match=r"\(3,\).*\(2, 4\)"):
        ka.broadcast_to(ka.ones(3), (2, 4))


@pytest.mark.parametrize("name", ["concatenate", "stack", "vstack", "hstack", "dstack", "column_stack"])
@pytest.mark.parametrize("array", [LINE, MATRIX, CUBE, LINE.astype("f4"), np.ones((0, 3)), MATRIX.astype("M8[s]")])
def test_joining(name: str, array: np.ndarray) -> None:
    def call(a: Any, b: Any) -> Any:
        home = ka if isinstance(a, ka.Array) else np
        return getattr(home, name)([a, b, a])

    check(call, array, array[::-1])


@pytest.mark.parametrize("axis", [0, 1, -1, None])
def test_concatenate(axis: int | None) -> None:
    def call(a: Any, b: Any, **how: Any) -> Any:
        home = ka if isinstance(a, ka.Array) else np
        return home.concatenate([a, b], axis=axis, **how)

    check(call, MATRIX, MATRIX.astype("f4"))
    check(lambda a, b: call(a, b, dtype="f4", casting="unsafe"), MATRIX, MATRIX * 1.5)
    if axis is not None:
        check(lambda a, b: (ka if isinstance(a, ka.Array) else np).stack([a, b], axis), MATRIX, MATRIX)
    check(call, MATRIX, MATRIX[:0] if axis == 0 else MATRIX)


def test_wrong_joining() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\).*array 1 has shape \(2, 4\)"):
        ka.concatenate([ka.ones((2, 3)), ka.ones((2, 4))])
    with pytest.raises(ValueError, match="one shape"):
        ka.stack([ka.ones(3), ka.ones(4)])
    with pytest.raises(TypeError, match="casting='safe'"):
        ka.concatenate([ka.ones(3)], dtype="f4", casting="safe")
    with pytest.raises(ValueError, match="no arrays"):
        ka.concatenate([])


def test_many_arrays_are_put_together() -> None:
    parts = [np.arange(at, at + 3) for at in range(0, 300, 3)]
    assert_same(ka.concatenate([ka.from_array(part, chunks=2) for part in parts]), np.arange(300))


def families(array: Any) -> dict[str, int]:
    """Tasks of each family."""
    return {family.prefix: family.tasks for family in array.explain().families}


def test_what_is_put_together_has_no_tasks_of_its_own() -> None:
    a, b = ka.from_array(MATRIX, chunks=(2, 3)).persist(), ka.from_array(MATRIX * 2, chunks=(3, 3)).persist()
    both = ka.concatenate([a, b, a])
    whole = np.concatenate([MATRIX, MATRIX * 2, MATRIX])
    added = both + 1
    assert sum(families(added).values()) == math.prod(added.numblocks) == 8 * 3
    assert_same(added, whole + 1)
    # Read in several ways, by several; and wanted itself, when each block is handed on.
    neighbours = ka.map_overlap(lambda block: block + 1, both, depth=1, boundary="none", dtype=both.dtype)
    many = [both + both.sum(axis=0), neighbours, both[1::2].T, both.rechunk((5, 7)), ka.cumsum(both, axis=0), both]
    expected = [whole + whole.sum(axis=0), whole + 1, whole[1::2].T, whole, np.cumsum(whole, axis=0), whole]
    for found, wanted in zip(kask.compute(*many), expected):
        np.testing.assert_array_equal(found, wanted)
    assert families(both)["concatenate"] == 8 * 3
    # What is put together within what is put together, along the same axis and along another.
    assert sum(families(ka.concatenate([both, b]) * 2).values()) == 10 * 3
    square = ka.block([[both, both], [b, a]])
    assert_same(square * 2, np.block([[whole, whole], [MATRIX * 2, MATRIX]]) * 2)
    assert_same(ka.tile(both, (2, 3)), np.tile(whole, (2, 3)))
    assert sum(families(ka.tile(a, (2, 1)) + 1).values()) == 2 * 3 * 3


def test_putting_together_costs_as_much_as_there_are_arrays() -> None:
    zeros = [ka.full(1_000, number, chunks=1) for number in range(1_000)]
    with nothing_runs():
        row = ka.concatenate(zeros)
        assert row.numblocks == (1_000_000,)
        builder = kask.engine.GraphBuilder()
        (row + 1).sum(split_every=1_000).__kask_graph__(builder)
    # A million are filled, a million are added to and summed, and then there is a tree.
    assert builder.ntasks() == 2_001_001
    assert row[-1_500::1_000].compute().tolist() == [998, 999]


@pytest.mark.parametrize("step", [1, 3, -1, -2])
def test_slices_go_into_what_is_put_together(step: int) -> None:
    from kask.array.base import wrap
    from kask.array.ops.joining import Concatenated
    from kask.array.ops.slicing import Slice
    from kask.expr import rewrite

    parts = [np.arange(5), np.arange(5, 6), np.arange(6, 17)]
    whole = ka.concatenate([ka.from_array(p, chunks=2) for p in parts])
    expected = np.concatenate(parts)
    for start in range(17):
        for length in range(17):
            last = start + step * (length - 1)
            if length and 0 <= last < 17:
                taken = Slice(whole.expr, ((start, step, length),))
                (better,) = rewrite([taken])
                assert not isinstance(better, Slice) or not isinstance(better.array, Concatenated)
                if (start + length) % 5 == 0:
                    assert_same(wrap(taken), expected[start::step][:length])


def test_block() -> None:
    a, b = np.ones((2, 2)), np.zeros((2, 3))
    x, y = ka.from_array(a, chunks=1), ka.from_array(b, chunks=2)
    assert_same(ka.block([[x, y], [y, x]]), np.block([[a, b], [b, a]]))
    assert_same(ka.block([x, y]), np.block([a, b]))
    assert_same(ka.block(x), np.block(a))
    assert_same(ka.block([1, 2, [3]][:2]), np.block([1, 2]))
    with pytest.raises(ValueError, match="nested equally"):
        ka.block([[x], y])
    with pytest.raises(TypeError, match="tuple"):
        ka.block([(x, y)])


def test_turning() -> None:
    for axis in [None, 0, -1, (0, 2)]:
        check_function("flip", CUBE, args=(axis,))
    check_function("flipud", MATRIX)
    check_function("fliplr", MATRIX)
    for k in range(-2, 5):
        check_function("rot90", MATRIX, args=(k,))
        check_function("rot90", CUBE, args=(k, (2, 0)))
    check_function("flip", np.ones((0, 3)))


@pytest.mark.parametrize("shift", [0, 1, -2, 15, -40])
def test_roll(shift: int) -> None:
    check_function("roll", LINE, args=(shift,))
    for axis in (None, 0, 1):
        check_function("roll", MATRIX, args=(shift, axis))
    check_function("roll", MATRIX, args=((shift, 2), (0, 1)))
    check_function("roll", MATRIX, args=(shift, (0, 1)))
    check_function("roll", MATRIX, args=((shift, 3), 1))
    check_function("roll", np.ones((0, 3)), args=(shift, 0))


def test_splitting() -> None:
    for sections in (1, 4, 5, [2, 5], [5, 2], [3, 30], [-2]):
        check_function("array_split", LINE, args=(sections,))
        check_function("array_split", MATRIX, args=(sections, 1))
    check_function("split", LINE, args=(3,))
    check_function("hsplit", MATRIX, args=(7,))
    check_function("hsplit", LINE, args=([2, 4],))
    check_function("vsplit", MATRIX, args=(2,))
    check_function("dsplit", CUBE, args=(3,))
    with pytest.raises(ValueError, match="5 equal parts"):
        ka.split(ka.ones(12), 5)


def test_rechunk() -> None:
    x = ka.from_array(MATRIX, chunks=(2, 3))
    for chunks in [(3, 7), {0: 4}, {1: -1}, "auto", ((1, 5), (7,)), (None, 2), -1, ((0, 6), (3, 0, 4))]:
        with nothing_runs():
            found = x.rechunk(chunks)
        assert_same(found, MATRIX)
    assert x.rechunk({0: 4}).chunks == ((4, 2), (3, 3, 1))
    assert x.rechunk(5, balance=True).chunks == ((3, 3), (4, 3))
    assert x.rechunk("auto", block_size_limit=80).npartitions > 1
    with pytest.raises(ValueError, match="method='what'"):
        x.rechunk(2, method="what")


@pytest.mark.parametrize("reps", [0, 1, 3, (2, 3), (2, 1, 2), (1, 0)])
def test_tile(reps: Any) -> None:
    for array in (LINE, MATRIX, np.array(3)):
        check_function("tile", array, args=(reps,))


def test_repeat() -> None:
    for axis in (None, 0, 1, -1):
        for repeats in (0, 1, 3, [2]):
            check_function("repeat", MATRIX, args=(repeats, axis))
    check_function("repeat", MATRIX, args=([0, 1, 2, 3, 0, 1], 0))
    check(lambda x: x.repeat([1, 0, 2, 0, 3, 1, 1], 1), MATRIX)
    check_function("repeat", np.ones((0, 2)), args=(2, 1))
    with pytest.raises(ValueError, match=r"shape \(2,\).*6 elements"):
        ka.repeat(ka.from_array(MATRIX), [1, 2], 0)
    with pytest.raises(ValueError, match="less than 0"):
        ka.repeat(ka.from_array(MATRIX), -1)


def test_coarsen() -> None:
    for cut in chunkings((6, 8)):
        array = np.arange(48).reshape(6, 8)
        x = ka.from_array(array, chunks=cut)
        assert_same(ka.coarsen(np.sum, x, {0: 2, 1: 4}), array.reshape(3, 2, 2, 4).sum(axis=(1, 3)))
        assert_same(ka.coarsen(np.mean, x, {1: 2}), array.reshape(6, 4, 2).mean(axis=2))
        assert_same(ka.coarsen(np.max, x, {0: 4, 1: 3}, True), array[:4, :6].reshape(1, 4, 2, 3).max(axis=(1, 3)))
        assert_same(ka.coarsen(np.var, x, {0: 3}, ddof=1), array.reshape(2, 3, 8).var(axis=1, ddof=1))
    with pytest.raises(ValueError, match="trim_excess"):
        ka.coarsen(np.sum, ka.ones(5), {0: 2})
    with pytest.raises(TypeError, match="'float' object cannot be interpreted as an integer"):
        ka.coarsen(np.sum, ka.ones(4), {0: 1.5})
    with pytest.raises(ValueError, match="groups of 0 elements along axis 0"):
        ka.coarsen(np.sum, ka.ones(4), {0: 0}, trim_excess=True)
    with pytest.raises(TypeError, match="reduction must be callable, got str"):
        ka.coarsen("mean", ka.ones(4), {0: 2})


@pytest.mark.parametrize("dtype", [int, "f4"])
def test_windows(dtype: Any) -> None:
    array = MATRIX.astype(dtype)
    for window, axis in [((2, 3), None), (4, 0), (3, -1), ((2, 2), (1, 1)), ((6, 7), None), (1, 0)]:
        check_function("lib.stride_tricks.sliding_window_view", array, args=(window, axis))
    with pytest.raises(ValueError, match="larger than the array"):
        ka.lib.stride_tricks.sliding_window_view(ka.ones((2, 3)), (3, 3))
    with pytest.raises(ValueError, match="slide along 2"):
        ka.lib.stride_tricks.sliding_window_view(ka.ones((2, 3)), 2)


@pytest.mark.parametrize("dtype", [bool, "i1", complex, "M8[s]", object, "U2"])
def test_types(dtype: Any) -> None:
    array = MATRIX.astype(dtype)
    check_function("reshape", array, args=((7, 6),))
    check_function("roll", array, args=(3, 1))
    check_function("tile", array, args=(2,))
    check_function("rot90", array)


def test_blocks_read_again_in_another_grid_when_they_are_there_already() -> None:
    x = ka.from_array(MATRIX, chunks=(1, 3)).rechunk((2, 3)).persist()
    assert_same(x.reshape(7, 6).reshape(-1), MATRIX.ravel())
    assert_same(ka.concatenate([x, x]), np.concatenate([MATRIX, MATRIX]))


def test_chunks_stay_what_they_were_said_to_be_when_slices_are_pushed() -> None:
    """A slice drops empty chunks along an axis, an axis that is whole keeps them."""
    from kask.array.base import wrap
    from kask.array.ops.elementwise import elementwise
    from kask.array.ops.slicing import sliced
    from kask.expr import rewrite

    x = ka.from_array(MATRIX, chunks=((2, 0, 4), (3, 0, 4))).rechunk(((0, 6), (0, 3, 0, 4)))
    joined = ka.concatenate([ka.flip(x), x, x], 1)
    added = elementwise(np.add, x.expr, ka.flip(x, 0).expr)
    for expr, value in [
        (joined.expr, np.concatenate([np.flip(MATRIX), MATRIX, MATRIX], 1)),
        (ka.squeeze(ka.expand_dims(x, 0)).expr, MATRIX),
        (added, MATRIX + np.flip(MATRIX, 0)),
    ]:
        columns = value.shape[1] - 1
        taken = sliced(sliced(expr, ((0, 1, 6), (1, 1, columns))), ((5, -1, 6), (0, 1, columns)))
        (better,) = rewrite([taken])
        assert better.chunks == taken.chunks
        assert_same(wrap(taken), value[::-1, 1:])


def test_a_shuffle_reads_the_parts_of_what_is_put_together() -> None:
    x = ka.from_array(MATRIX, chunks=(1, 7))
    both = ka.concatenate([x, x * 2, x])
    cut = both.rechunk((18, 1), method="p2p")
    assert cut.expr.groups == 7
    families = {layer.family for layer in graph_view([cut], True, True).layers.values()}
    expected = np.concatenate([MATRIX, MATRIX * 2, MATRIX])
    assert families == {"array", "multiply", "rechunk"}
    assert_same(cut, expected)
    # Where it is wanted itself, it has blocks.
    assert [np.array_equal(found, expected) for found in kask.compute(both, cut)] == [True, True]


@pytest.mark.parametrize("chunks", [(2, 3, 5), (1, 2, 2), (3, 4, (2, 3)), ((0, 1, 3), (0, 4, 2), (5,))])
def test_reshape_blockwise_there_and_back(chunks: Any) -> None:
    cube = np.arange(4 * 6 * 5).reshape(4, 6, 5)
    x = ka.from_array(cube, chunks=chunks)
    for shape in ((24, 5), (4, 30), (120,)):
        with nothing_runs():
            back = ka.reshape_blockwise(ka.reshape_blockwise(x, shape), x.shape, chunks=x.chunks)
        assert back.chunks == x.chunks
        assert_same(back, cube)
    with pytest.raises(ValueError, match="other sizes than the blocks"):
        ka.reshape_blockwise(ka.ones(6, chunks=((2, 4),)), (2, 3), chunks=((1, 1), (3,)))


def test_shapes_are_whole_numbers() -> None:
    assert ka.ones(4).reshape(np.array([2, 2])).shape == ka.ones(np.array([2, 2])).shape == (2, 2)
    assert ka.ones(np.array(3)).shape == (3,)
    with pytest.raises(TypeError, match="'float' object cannot be interpreted as an integer"):
        ka.ones(4).reshape(2, 2.0)
