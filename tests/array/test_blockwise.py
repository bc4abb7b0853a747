"""The user's own functions on blocks."""

from __future__ import annotations

import functools
import operator
from typing import Any

import numpy as np
import pytest
from against_numpy import assert_same, check, nothing_runs

import kask
import kask.array as ka

GRID = np.arange(24.0).reshape(4, 6)


def cut(array=GRID, chunks=((1, 3), (2, 2, 2))):
    return ka.from_array(array, chunks=chunks)


class TestMapBlocks:
    def test_elements(self):
        check(lambda x: x * 2 if isinstance(x, np.ndarray) else x.map_blocks(lambda b: b * 2), GRID)
        check(lambda x: x * 2 if isinstance(x, np.ndarray) else x.map_blocks(operator.mul, 2), np.array(3))
        check(lambda x, y: x + y if isinstance(x, np.ndarray) else ka.map_blocks(np.add, x, y), GRID, GRID[0])

    def test_types_are_found_out(self):
        assert cut().map_blocks(lambda b: b > 1).dtype == bool
        assert cut().map_blocks(lambda b: b.astype("f4")).dtype == np.float32
        # No elements are too few for this function.
        assert cut().map_blocks(lambda b: b * int(b[0, 0])).dtype == float
        x = cut().map_blocks(lambda b: b.astype("i2"), dtype="i2")
        assert_same(x, GRID.astype("i2"))
        with pytest.raises(ValueError, match="give dtype= or meta="):
            cut().map_blocks(lambda b: b + undefined)  # noqa: F821

    def test_meta(self):
        def masked(block):
            return np.ma.masked_greater(block, 3)

        x = cut().map_blocks(masked, meta=np.ma.masked_array([], dtype=float))
        assert isinstance(x.meta, np.ma.MaskedArray) and x.meta.ndim == 2
        np.testing.assert_array_equal(x.compute().mask, GRID > 3)
        assert cut().map_blocks(masked, meta=np.ndarray, dtype="f8").dtype == float

    def test_block_id(self):
        x = cut().map_blocks(lambda b, block_id: b * 0 + block_id[0] * 10 + block_id[1])
        expected = np.repeat(np.array([0, 10]), [1, 3])[:, None] + np.repeat([0.0, 1, 2], 2)
        assert_same(x, expected)

    def test_block_info(self):
        seen = {}

        def look(b, block_info=None):
            seen[block_info[None]["chunk-location"]] = block_info
            return b

        with kask.config.set(scheduler="sync"):
            cut().map_blocks(look).compute()
        info = seen[1, 2]
        assert info[0] == {
            "shape": (4, 6),
            "num-chunks": (2, 3),
            "array-location": [(1, 4), (4, 6)],
            "chunk-location": (1, 2),
        }
        assert info[None] == {
            "shape": (4, 6),
            "num-chunks": (2, 3),
            "array-location": [(1, 4), (4, 6)],
            "chunk-shape": (3, 2),
            "chunk-location": (1, 2),
            "dtype": np.dtype(float),
        }

    def test_chunks(self):
        x = cut().map_blocks(lambda b: b[:, :1], chunks=((1, 3), (1, 1, 1)))
        assert_same(x, GRID[:, ::2])
        assert_same(cut().map_blocks(lambda b: b[:1, :1], chunks=(1, 1)), GRID[:2, ::2])
        with pytest.raises(ValueError, match="2 blocks, but 3 chunk sizes"):
            cut().map_blocks(lambda b: b, chunks=((1, 1, 1), 2))
        with pytest.raises(ValueError, match="for 1 axes, but the result has 2"):
            cut().map_blocks(lambda b: b, chunks=(1,))

    def test_blocks_of_another_shape_than_was_said(self):
        with pytest.raises(
            ValueError, match=r"made a block of shape \(1, 1\) at \(0, 0\), where \(1, 2\) was expected"
        ):
            cut().map_blocks(lambda b: b[:, :1]).compute()

    def test_drop_axis(self):
        check(
            lambda x: (
                x.sum(axis=1) if isinstance(x, np.ndarray) else x.map_blocks(lambda b: b.sum(axis=1), drop_axis=1)
            ),
            GRID,
        )
        check(lambda x: x.sum() if isinstance(x, np.ndarray) else x.map_blocks(np.sum, drop_axis=[0, -1]), GRID)
        with pytest.raises(ValueError, match="drop_axis= names the axis 2"):
            cut().map_blocks(np.sum, drop_axis=2)

    def test_new_axis(self):
        check(
            lambda x: x[:, None] if isinstance(x, np.ndarray) else x.map_blocks(lambda b: b[:, None], new_axis=1), GRID
        )
        check(
            lambda x: (
                x[None, :, :, None]
                if isinstance(x, np.ndarray)
                else x.map_blocks(lambda b: b[None, ..., None], new_axis=[0, -1])
            ),
            GRID,
        )
        x = cut().map_blocks(lambda b: np.stack([b, b]), new_axis=0, chunks=(2, (1, 3), (2, 2, 2)))
        assert_same(x, np.stack([GRID, GRID]))
        x = cut().map_blocks(lambda b: np.stack([b, b]), chunks=(2, (1, 3), (2, 2, 2)))
        assert_same(x, np.stack([GRID, GRID]))
        x = cut().map_blocks(lambda b: b.sum(axis=1)[:, None], drop_axis=1, new_axis=1)
        assert_same(x, GRID.sum(axis=1, keepdims=True))

    def test_several_arrays(self):
        row = ka.from_array(np.arange(6), chunks=4)
        assert_same(ka.map_blocks(np.multiply, cut(), row), GRID * np.arange(6))
        # Equally many blocks of other sizes.
        x = ka.from_array(np.arange(100), chunks=10)
        y = ka.from_array(np.arange(10), chunks=1)
        found = ka.map_blocks(lambda a, b: np.array([a.max() + b.max()]), x, y, chunks=(1,), dtype=int)
        assert_same(found, np.arange(9, 100, 10) + np.arange(10))
        # One block goes with all of the others.
        one = ka.from_array(np.arange(4), chunks=4)
        found = ka.map_blocks(lambda a, b: a + b.sum(), ka.from_array(np.arange(6), chunks=2), one)
        assert_same(found, np.arange(6) + 6)
        with pytest.raises(ValueError, match="must have equally many"):
            ka.map_blocks(np.add, cut(), ka.from_array(np.arange(12), chunks=3))

    def test_no_arrays(self):
        x = ka.map_blocks(lambda block_id: np.full((2,), block_id[0]), chunks=((2, 2, 2),), dtype=int)
        assert_same(x, np.repeat(np.arange(3), 2))

    def test_arrays_among_keywords_are_passed_whole(self):
        def scaled(b, by, k):
            assert by.shape in ((6,), (0,), (1,))
            return b * by.sum() * k

        by = ka.from_array(np.arange(6), chunks=2)
        assert_same(cut().map_blocks(scaled, by=by, k=2), GRID * 30)
        assert_same(cut().map_blocks(scaled, by=kask.delayed(np.full)(6, 5), k=1, dtype=float), GRID * 30)

    def test_delayed_arguments(self):
        made = []

        def make():
            made.append(1)
            return np.arange(6)

        value = kask.delayed(make)()
        assert_same(ka.map_blocks(lambda b, v, k: b + v.sum() * k, cut(), value, 2, dtype=float), GRID + 30)
        assert made == [1]
        found = cut().map_blocks(lambda b, v: b + v["a"][0].sum() + v["b"], {"a": [value], "b": 1}, meta=GRID)
        assert_same(found[1:, :2], GRID[1:, :2] + 16)
        assert_same(ka.blockwise(lambda b, v: b + v.sum(), "ij", cut(), "ij", value, None, dtype=float), GRID + 15)
        known = cut().map_blocks(lambda b, v, block_info: b * 0 + len(block_info), value, dtype=float)
        assert_same(known, np.full(GRID.shape, 2.0))
        with pytest.raises(ValueError, match=r"add has an argument that is delayed.*give dtype= or meta="):
            ka.map_blocks(np.add, cut(), value)

    def test_names(self):
        assert cut().map_blocks(np.negative, name="mine").name == "mine"
        assert cut().map_blocks(np.negative, token="mine").name.startswith("mine-")
        assert cut().map_blocks(np.negative).name == cut().map_blocks(np.negative).name
        mine = cut().map_blocks(np.negative, name="mine")
        assert_same(mine + 1, 1 - GRID)
        # It may be fused into nothing, too.
        assert_same(mine, -GRID)
        assert_same(mine.persist(), -GRID)
        other = cut().map_blocks(np.abs, name="mine")
        for ours, theirs in zip(kask.compute(mine, other), (-GRID, abs(GRID))):
            assert_same(ours, theirs)

    def test_a_function_that_returns_its_block(self):
        x = ka.from_array(np.ones(10000), chunks=5000)
        y = -(x.map_blocks(lambda b: b) + 0)
        assert_same(x.map_blocks(lambda b: b) + y, np.zeros(10000))
        assert_same(x, np.ones(10000))

    def test_it_is_lazy(self):
        with nothing_runs():
            cut().map_blocks(lambda b, block_id, block_info: b, drop_axis=[], new_axis=[])

    def test_wrong_function(self):
        with pytest.raises(TypeError, match="func must be callable, got int"):
            cut().map_blocks(3)


class TestBlockwise:
    def test_outer_and_transposed(self):
        x, y = ka.from_array(np.arange(4), chunks=3), ka.from_array(np.arange(5.0), chunks=2)
        assert_same(
            ka.blockwise(np.multiply.outer, "ij", x, "i", y, "j"), np.multiply.outer(np.arange(4), np.arange(5.0))
        )
        assert_same(ka.blockwise(np.transpose, "ji", cut(), "ij"), GRID.T)
        assert_same(
            ka.blockwise(lambda a, b: a + b.T, "ij", cut(), "ij", ka.from_array(GRID.T, chunks=2), "ji"), GRID * 2
        )

    def test_contraction(self):
        def product(xs, ys):
            return functools.reduce(operator.add, map(operator.matmul, xs, ys))

        x, y = cut(), ka.from_array(GRID.T, chunks=(3, 2))
        assert_same(ka.blockwise(product, "ik", x, "ij", y, "jk", dtype=float), GRID @ GRID.T)
        assert_same(ka.blockwise(np.matmul, "ik", x, "ij", y, "jk", concatenate=True), GRID @ GRID.T)

    def test_lists_in_lists(self):
        def total(lists):
            assert isinstance(lists, list) and isinstance(lists[0], list)
            return sum(block.sum() for row in lists for block in row)

        found = ka.blockwise(total, "", cut(), "ij", dtype=float)
        assert float(found.compute()) == GRID.sum()
        found = ka.blockwise(np.sum, "", cut(), "ij", concatenate=True)
        assert_same(found, GRID.sum())

    def test_new_axes_and_adjusted_chunks(self):
        x = ka.from_array(np.arange(4), chunks=3)
        found = ka.blockwise(lambda b: np.stack([b] * 2, axis=1), "az", x, "a", new_axes={"z": 2})
        assert_same(found, np.stack([np.arange(4)] * 2, axis=1))
        found = ka.blockwise(lambda b: np.repeat(b, 2), "a", x, "a", adjust_chunks={"a": lambda n: 2 * n})
        assert found.chunks == ((6, 2),)
        assert_same(found, np.repeat(np.arange(4), 2))
        found = ka.blockwise(lambda b: b[:1], "a", x, "a", adjust_chunks={"a": 1})
        assert_same(found, np.array([0, 3]))

    def test_constants_and_keywords(self):
        found = ka.blockwise(lambda b, k, m: b * k + m, "ij", cut(), "ij", 3, None, m=1)
        assert_same(found, GRID * 3 + 1)

    def test_alignment(self):
        x, y = ka.from_array(np.arange(6), chunks=2), ka.from_array(np.arange(6), chunks=3)
        assert ka.blockwise(np.add, "i", x, "i", y, "i").chunks == ((2, 1, 1, 2),)
        assert_same(ka.blockwise(np.add, "i", x, "i", y, "i"), np.arange(6) * 2)
        with pytest.raises(ValueError, match="must have equally many"):
            ka.blockwise(np.add, "i", x, "i", y, "i", align_arrays=False)
        with pytest.raises(ValueError, match=r"lengths \[5, 6\]"):
            ka.blockwise(np.add, "i", x, "i", ka.from_array(np.arange(5)), "i")

    def test_wrong_labels(self):
        x = cut()
        for args, match in [
            ((x, "i"), "2 axes, but the labels 'i'"),
            ((x, None), "give labels"),
            ((x,), "in turn"),
        ]:
            with pytest.raises(ValueError, match=match):
                ka.blockwise(np.add, "ij", *args)
        with pytest.raises(ValueError, match="label 'z', which no array"):
            ka.blockwise(np.add, "iz", x, "ij")
        with pytest.raises(ValueError, match="which an array has as well"):
            ka.blockwise(np.add, "ij", x, "ij", new_axes={"i": 1})

    def test_unify_chunks(self):
        chunks, (x, y, three) = ka.core.unify_chunks(cut(), "ij", ka.from_array(np.ones(6), chunks=3), "j", 3, None)
        assert chunks == {"i": (1, 3), "j": (2, 1, 1, 2)}
        assert x.chunks == ((1, 3), (2, 1, 1, 2)) and y.chunks == ((2, 1, 1, 2),) and three == 3


class TestAlong:
    @pytest.mark.parametrize("axis", [0, 1, -1])
    def test_apply_along_axis(self, axis):
        for func in (np.sum, np.diff, sorted, lambda v: np.outer(v[:2], v[:3]), lambda v: v.max() - v.min() > 3):
            check(lambda x, func=func: np.apply_along_axis(func, axis, x), GRID)
        check(lambda x: np.apply_along_axis(np.add, axis, x, 1), GRID)

    def test_given_type_and_shape(self):
        x = ka.apply_along_axis(lambda v: v[:2], 0, cut(), dtype="f4", shape=(2,))
        assert_same(x, GRID[:2].astype("f4"))
        with pytest.raises(np.exceptions.AxisError):
            ka.apply_along_axis(np.sum, 2, cut())

    def test_apply_over_axes(self):
        assert_same(ka.apply_over_axes(ka.add.reduce, cut(), [0, 1]), GRID.sum(keepdims=True))
        keep = ka.apply_over_axes(lambda a, axis: ka.maximum.reduce(a, axis=axis, keepdims=True), cut(), 1)
        assert_same(keep, GRID.max(axis=1, keepdims=True))
        with pytest.raises(ValueError, match="0 axes for one of 2"):
            ka.apply_over_axes(lambda a, axis: 1, cut(), 0)
        with pytest.raises(np.exceptions.AxisError):
            ka.apply_over_axes(ka.add.reduce, cut(), 2)


def _spoiled(block: Any) -> Any:
    block[...] = 9
    return block


SPOILING = {
    "map_blocks": lambda x: x.map_blocks(_spoiled, dtype=float),
    "blockwise": lambda x: ka.blockwise(lambda blocks: _spoiled(blocks[0]), "i", x, "ij", dtype=float),
    "gufunc": lambda x: ka.apply_gufunc(lambda b: _spoiled(b)[..., 0], "(i)->()", x, output_dtypes=float),
    "map_overlap": lambda x: x.map_overlap(_spoiled, depth=0, dtype=float),
    "along": lambda x: ka.apply_along_axis(_spoiled, 1, x, dtype=float, shape=(3,)),
}


@pytest.mark.parametrize("kind", SPOILING)
def test_functions_do_not_write_to_what_others_hold(kind: str) -> None:
    source = np.ones((4, 3))
    for cut in [(4, 3), (2, 3)]:
        read = ka.from_array(source, chunks=cut)
        held = (read * 1).persist()
        for x in (read, held):
            with pytest.raises(ValueError, match="read-only"):
                SPOILING[kind](x).compute()
            np.testing.assert_array_equal(source, 1)
            np.testing.assert_array_equal(x.compute(), 1)


def test_functions_may_write_to_what_was_made_for_them() -> None:
    for cut in [(4, 3), (2, 3), (1, 1)]:
        x = ka.ones((4, 3), chunks=cut) + 1
        assert_same(x.map_blocks(_spoiled, dtype=float), np.full((4, 3), 9.0))
        with pytest.raises(ValueError, match="read-only"):
            (x.map_blocks(_spoiled, dtype=float) + x).compute()
        assert_same(x.map_blocks(lambda b: _spoiled(kask.writable(b)), dtype=float) + x, np.full((4, 3), 11.0))
        masked = ka.ma.masked_equal(x, 0)
        with pytest.raises(ValueError, match="read-only"):
            masked.persist().map_blocks(_spoiled, dtype=float).compute()


VECTOR = np.array([5.0, 20, 3, 11, 12, 40, 1, 2])
NAN = float("nan")


def large(block):
    return block[block > 10]


UNKNOWN = {
    "size": lambda v: v.map_blocks(large, chunks=NAN, dtype=float),
    "sizes": lambda v: v.map_blocks(large, chunks=(NAN,), dtype=float),
    "all sizes": lambda v: v.map_blocks(large, chunks=((NAN,) * v.npartitions,), dtype=float),
    "blockwise": lambda v: ka.blockwise(large, "i", v, "i", adjust_chunks={"i": NAN}, dtype=float),
    "function": lambda v: ka.blockwise(large, "i", v, "i", adjust_chunks={"i": lambda size: NAN}, dtype=float),
    "gufunc": lambda v: ka.apply_gufunc(large, "(i)->(k)", v, output_sizes={"k": NAN}, allow_rechunk=True),
    "delayed": lambda v: ka.concatenate(
        [ka.from_delayed(kask.delayed(large)(part), shape, float) for part, shape in [(v[:3], NAN), (v[3:], (NAN,))]]
    ),
}


@pytest.mark.parametrize("chunks", [2, 3, 8])
@pytest.mark.parametrize("kind", UNKNOWN)
def test_blocks_of_unknown_length(kind, chunks, tmp_path):
    v, expected = ka.from_array(VECTOR, chunks=chunks), large(VECTOR)
    with nothing_runs():
        x, y = UNKNOWN[kind](v), UNKNOWN[kind](v)
        many = [x + 1, x.sum(), x[::-1], x[1:] * 2, ka.concatenate([x, v]), x[x > 11], x.rechunk(3), ka.sort(x)]
        assert x.dtype == float and x.ndim == 1 and "(?,)" in repr(x)
        assert x.name == y.name or kind in ("function", "delayed")
    found = kask.compute(x, *many)
    wanted = [expected, expected + 1, expected.sum(), expected[::-1], expected[1:] * 2]
    wanted += [np.concatenate([expected, VECTOR]), expected[expected > 11], expected, np.sort(expected)]
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert UNKNOWN[kind](v).shape == expected.shape
    assert_same(UNKNOWN[kind](UNKNOWN[kind](v) + 1), expected + 1) if "all" not in kind else None
    target = np.zeros(len(expected))
    UNKNOWN[kind](v).store(target)
    np.testing.assert_array_equal(target, expected)
    np.testing.assert_array_equal(UNKNOWN[kind](v).persist().compute(), expected)


def test_several_axes_of_unknown_length():
    for chunks in [((1, 3), (2, 2, 2)), (4, 6), (2, 3)]:
        x = cut(chunks=chunks)
        rows, columns = np.cumsum((0, *x.chunks[0][:-1])), np.cumsum((0, *x.chunks[1][:-1]))
        assert_same(x.map_blocks(lambda b: b[:1, :1], chunks=(NAN, NAN), dtype=float), GRID[np.ix_(rows, columns)])
        assert_same(x.map_blocks(lambda b: b[:, :1], chunks=(x.chunks[0], NAN), dtype=float), GRID[:, columns])
        added = x.map_blocks(lambda b: b[..., None] * np.ones(2), chunks=(*x.chunks, NAN), new_axis=2, dtype=float)
        assert_same(added, GRID[..., None] * np.ones(2))
        kept = ka.blockwise(lambda b: b.sum(1)[:1], "i", x, "ij", adjust_chunks={"i": NAN}, concatenate=True)
        assert_same(kept, GRID.sum(1)[rows])


def test_unknown_lengths_that_do_not_fit():
    x = cut(chunks=(2, 3))
    with pytest.raises(ValueError, match=r"shape \(2, 1\).*\(2, 3\).*chunks=\(np\.nan,\)"):
        x.map_blocks(lambda b: b[:, :1], dtype=float).compute()
    with pytest.raises(ValueError, match=r"shape \(2, 1\).*\(nan, 3\)"):
        x.map_blocks(lambda b: b[:, :1], chunks=(NAN, 3), dtype=float).compute()
    with pytest.raises(ValueError, match=r"lengths \[0, 1\] along axis 0 \(in place 0\).*rechunk"):
        x.map_blocks(lambda b: b[b[:, 0] > 8], chunks=(NAN, 3), dtype=float).compute()
    seen = []

    def first(block, block_info=None):
        seen.append(block_info[None])
        return block[:1]

    x.map_blocks(first, chunks=(NAN, 3), dtype=float).compute()
    assert np.isnan(seen[-1]["shape"][0]) and seen[-1]["chunk-shape"][1] == 3


def test_blocks_of_several_types_have_the_type_that_was_said():
    x = ka.from_array(np.arange(8) + 0.5, chunks=4)
    found = x.map_blocks(lambda block: np.floor(block).astype(int) if block.max(initial=0) < 4 else block, dtype=float)
    assert_same(found, np.array([0, 1, 2, 3, 4.5, 5.5, 6.5, 7.5]))
    assert_same(found[3:6], np.array([3, 4.5, 5.5]))
    letters = ka.from_array(np.array(list("abcd")), chunks=2)
    longer = letters.map_blocks(lambda block, block_id: np.char.add(block, "x" * block_id[0]), dtype="U4")
    assert_same(longer, np.array(["a", "b", "cx", "dx"], "U4"))
    # A type that cannot hold what a block has is no reason to lose it.
    assert x.map_blocks(lambda block: block, dtype=int).compute()[0] == 0.5


def test_longer_texts_than_the_function_made_of_small_blocks_are_kept():
    letters = ka.from_array(np.array(list("abcd")), chunks=2)
    longer = letters.map_blocks(lambda block, block_id: np.char.add(block, "x" * (1 + block_id[0])))
    assert longer.rechunk(4).compute().tolist() == ["ax", "bx", "cxx", "dxx"]


def test_functions_that_return_no_array_are_told_of():
    with pytest.raises(TypeError, match="one is a NoneType: a function of blocks must return an array"):
        ka.ones(4, chunks=2).map_blocks(lambda block: None, dtype=float).compute()
