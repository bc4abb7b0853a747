"""Expressions: what is fused, what is pushed down, what is shared, and that all engines agree."""

from __future__ import annotations

import functools
import pickle
import tracemalloc

import numpy as np
import pytest
from against_numpy import check, chunkings, nothing_runs
from hypothesis import given, settings
from hypothesis import strategies as st

import kask
import kask.array as ka
from kask.array.base import as_expr, in_memory, wrap
from kask.array.ops.chunks import normalized
from kask.array.ops.creation import Filled
from kask.array.ops.elementwise import elementwise
from kask.array.ops.rechunk import Rechunk, rechunked
from kask.array.ops.reductions import reduced
from kask.array.ops.slicing import sliced, transposed
from kask.expr import rewrite, walk
from kask.expr.program import Position, Program, Step, Use


def part_sum(block, axes):
    return np.sum(block, axis=axes, keepdims=True)


def add_all(parts):
    return functools.reduce(np.add, parts)


def same(partial):
    return partial


def total(expr, axes=None):
    axes = tuple(range(expr.ndim)) if axes is None else axes
    return reduced(expr, part_sum, add_all, same, axes, expr.dtype)


def families(array):
    """(family, tasks) of each layer."""
    return [(family.prefix, family.tasks) for family in array.explain().families]


@pytest.fixture
def grid():
    return np.arange(60.0).reshape(6, 10)


class TestArraysInMemory:
    def test_each_is_hashed_once_however_it_is_cut(self, monkeypatch):
        hashed = []

        def counted(data):
            hashed.append(len(data))
            return original(data)

        original = kask.tokens.bytes_hashed
        monkeypatch.setattr(kask.tokens, "bytes_hashed", counted)
        a, b = np.random.default_rng(0).random((2, 60, 60))
        product = ka.from_array(a, chunks=20) @ ka.from_array(b, chunks=(15, 30))
        np.testing.assert_allclose(product.compute(), a @ b)
        assert sorted(size for size in hashed if size >= a.nbytes) == [a.nbytes, b.nbytes]

    def test_the_same_content_has_the_same_token(self):
        content = np.arange(700_000.0)  # Hashed in pieces.
        x, y, z = (
            ka.from_array(content, chunks=1000),
            ka.from_array(content.copy(), chunks=1000),
            ka.from_array(content + 1, chunks=1000),
        )
        assert x.name == y.name != z.name

    @pytest.mark.parametrize("dtype", ["f8", "f4", "i2", object])
    def test_large_results_are_put_together_from_many_blocks(self, dtype):
        """Large enough for several threads."""
        content = (np.arange(5_000_000) % 1000).reshape(2500, 2000).astype(dtype)
        if dtype is object:
            content = content[:1100]
        result = ka.from_array(content, chunks=(333, 1999)).compute()
        assert result.dtype == content.dtype and (result == content).all()


class TestFusion:
    def test_what_several_blocks_need_is_made_once(self, grid):
        calls = []

        def heavy(block):
            calls.append(1)
            return block + 1

        x = ka.from_array(grid, chunks=(2, 5))
        for small in (ka.ones((1, 1)), ka.ones(10, chunks=5), ka.ones((6, 1), chunks=(2, 1))):
            y = x * small.map_blocks(heavy, dtype=float)
            calls.clear()
            np.testing.assert_array_equal(y.compute(scheduler="sync"), grid * 2)
            assert len(calls) == small.npartitions
        u, s, _ = ka.linalg.svd(ka.from_array(np.arange(40.0).reshape(20, 2), chunks=(5, 2)))
        assert ("svd-u", 1) in families(u) and ("svd-s", 1) in families(s)

    def test_what_is_light_is_made_for_each_block(self, grid):
        x = ka.from_array(grid, chunks=(2, 5))
        for y in (
            x + np.sqrt(ka.ones(10, chunks=5)),
            x * ka.arange(10, chunks=5),
            x - ka.full((6, 1), 2.0, chunks=2).T.T,
        ):
            assert [tasks for _, tasks in families(y)] == [6]

    def test_a_chain_is_one_task_for_each_block(self, grid):
        x = in_memory(grid, (3, 5))
        y = elementwise(np.multiply, elementwise(np.add, x, 1), elementwise(np.sqrt, x))
        assert [tasks for _, tasks in families(wrap(y))] == [4]
        np.testing.assert_array_equal(wrap(y).compute(), (grid + 1) * np.sqrt(grid))

    def test_what_two_layers_need_is_made_once(self, grid):
        x = elementwise(np.sqrt, Persist.of(grid))
        mean = total(x, (0,))
        y = total(elementwise(np.subtract, x, mean))
        names = dict(families(wrap(y)))
        assert names["sqrt"] == 4
        expected = (np.sqrt(grid) - np.sqrt(grid).sum(axis=0)).sum()
        np.testing.assert_allclose(wrap(y).compute(), expected)

    def test_a_diamond_is_one_group(self, grid):
        x = elementwise(np.add, in_memory(grid, (3, 5)), 1)
        y = elementwise(np.add, elementwise(np.multiply, x, 2), elementwise(np.multiply, x, 3))
        assert [tasks for _, tasks in families(wrap(y))] == [4]

    def test_the_same_array_read_in_two_ways_is_not_fused(self, grid):
        square = np.arange(16.0).reshape(4, 4)
        x = elementwise(np.add, Persist.of(square, (2, 2)), 1)
        y = elementwise(np.add, x, transposed(x, (1, 0)))
        assert [tasks for _, tasks in families(wrap(y))] == [4, 4]
        np.testing.assert_array_equal(wrap(y).compute(), square + 1 + (square + 1).T)

    def test_a_million_blocks_cost_as_much_as_four(self):
        ones = Filled(1.0, normalized((1, 1), (1000, 1000), float), np.empty((0, 0)))
        array = wrap(total(elementwise(np.add, ones, 1)))
        builder = kask.engine.GraphBuilder()
        with nothing_runs():
            assert len(array.__kask_graph__(builder)) == 1
        assert builder.ntasks() > 1_000_000


class Persist:
    """Arrays whose blocks are there, so that nothing is made anew for each reader."""

    @staticmethod
    def of(array, chunks=(3, 5)):
        return wrap(in_memory(array, chunks)).persist().expr


class TestRewriting:
    def test_slices_go_down_to_what_they_are_of(self, grid):
        x = in_memory(grid, (3, 5))
        y = sliced(elementwise(np.add, transposed(elementwise(np.sqrt, x), (1, 0)), 1), ((2, 1, 3), (1, 2, 2)))
        (better,) = rewrite([y])
        below = [type(expr).__name__ for expr in walk([better])]
        assert "Slice" not in below
        np.testing.assert_array_equal(wrap(y).compute(), (np.sqrt(grid).T + 1)[2:5, 1:5:2])

    def test_a_slice_reads_only_what_it_needs(self, grid):
        x = elementwise(np.add, Persist.of(grid, (1, 10)), 1)
        (_, tasks), *_ = families(wrap(total(sliced(x, ((0, 1, 2), (0, 1, 10))))))
        assert tasks == 2

    def test_rechunks_are_merged_and_dropped(self, grid):
        x = Persist.of(grid, (3, 5))
        fine = normalized(1, grid.shape, float)
        assert rewrite([rechunked(rechunked(x, fine), x.chunks)]) == [x]
        (one,) = rewrite([rechunked(rechunked(x, fine), normalized(-1, grid.shape, float))])
        assert isinstance(one, Rechunk) and one.array is x

    def test_chains_of_any_length(self, grid):
        x = in_memory(grid, (6, 10))
        for _ in range(3000):
            x = elementwise(np.add, x, 1)
        np.testing.assert_array_equal(wrap(x).compute(), grid + 3000)


CUBE = np.arange(120.0).reshape(4, 5, 6)


class TestTranspositions:
    """They vanish in what is read transposed in the first place."""

    @pytest.mark.parametrize(
        "call",
        [
            lambda x, y: (x * 2 + y[0, 0]).transpose(2, 0, 1) - 1,
            lambda x, y: (x + y[:, :1]).transpose(1, 2, 0),
            lambda x, y: (x[:, 0] + y[0, 0]).T * 2,
            lambda x, y: np.concatenate([x, x * 2], axis=1).transpose(1, 0, 2) + 1,
            lambda x, y: np.stack([x, y], axis=-1).T,
            lambda x, y: x.sum(axis=1).T,
            lambda x, y: x.mean(axis=0).T + 1,
            lambda x, y: x.var(axis=(0, 2), keepdims=True).transpose(2, 1, 0),
            lambda x, y: (x * 2).max(axis=0, keepdims=True).transpose(0, 2, 1),
            lambda x, y: x.argmax(axis=1).T,
            lambda x, y: x[:, None].transpose(3, 1, 0, 2)[1:, :, ::2],
            lambda x, y: x[:, 0].T + x[:, 1].T,
            lambda x, y: x[:4, :4, 0] + x[:4, :4, 0].T,
            lambda x, y: (x.transpose(2, 1, 0) + y.T).transpose(1, 0, 2),
            lambda x, y: (x + x.sum(axis=0)).transpose(0, 2, 1),
        ],
    )
    def test_values(self, call):
        check(call, CUBE, CUBE * 7 % 11, rtol=1e-13)

    def test_of_what_is_made(self):
        for chunks in (1, 2, (3, 2), -1):
            rows = ka.fromfunction(lambda i, j: i * 10 + j, shape=(3, 4), chunks=(3, 2))
            for x in (ka.eye(4, M=5, k=1, chunks=chunks), ka.full((3, 4), 2, chunks=chunks), rows):
                expected = x.compute()
                for y, theirs in ((x.T, expected.T), (x.T[1:, ::2], expected.T[1:, ::2]), (x.T.rechunk(2), expected.T)):
                    np.testing.assert_array_equal(y.compute(), theirs)
                    assert "transpose" not in dict(families(y))
        x = ka.indices((3, 4), chunks=2).transpose(2, 0, 1)
        np.testing.assert_array_equal(x.compute(), np.indices((3, 4)).transpose(2, 0, 1))

    def test_they_pass_what_would_stop_fusion(self, grid):
        x, cube = ka.from_array(grid, chunks=(2, 5)), ka.from_array(CUBE, chunks=(2, 5, 3))
        for y in (
            x.T,
            (x * 2 + ka.arange(10.0, chunks=5)).T,
            ka.concatenate([x, x + 1]).T,
            ka.stack([x, x + 1]).transpose(2, 0, 1),
            (x + 1).rechunk((3, 4)).T,
            cube.sum(axis=0).T,
            cube.std(axis=1, keepdims=True).transpose(2, 1, 0),
        ):
            assert "transpose" not in dict(families(y))

    def test_rechunks_on_both_sides_are_one(self, grid):
        x = wrap(Persist.of(grid, (2, 5)))
        y = x.rechunk((3, 4)).T.rechunk((5, 2))
        assert families(y) == [("transpose", 6)]
        np.testing.assert_array_equal(y.compute(), grid.T)

    def test_what_others_read_too_is_not_made_twice(self):
        x = ka.from_array(CUBE, chunks=(2, 5, 3))
        mean = x.mean(axis=0)
        for found in (mean.rechunk((5, 6)).T @ mean, (mean[:5, :5] + mean[:5, :5].T)):
            assert [tasks for family, tasks in families(found) if family == "mean-part"] == [4]
        pair = mean - 1, mean.T * 2
        parts = [family.tasks for family in kask.explain(*pair).families if family.prefix == "mean-part"]
        assert parts == [4]
        expected = CUBE.mean(axis=0)
        for found, theirs in zip(kask.persist(*pair), (expected - 1, expected.T * 2)):
            np.testing.assert_allclose((found + 0).compute(), theirs)
        for found, theirs in zip(kask.compute(*pair), (expected - 1, expected.T * 2)):
            np.testing.assert_allclose(found, theirs)

    def test_what_is_in_memory_is_sent_once(self, grid):
        x = ka.from_array(grid, chunks=(2, 5))
        (turned,) = rewrite([(x.T + 1).expr])
        (source,) = [expr for expr in walk([turned]) if not expr.operands]
        assert source.content is x.expr.content and source.array.base is not None

    def test_long_chains(self, grid):
        x = ka.from_array(grid, chunks=(2, 5))
        y, expected = x, grid
        for _ in range(1500):
            y, expected = y + 1, expected + 1
        assert [tasks for _, tasks in families(y.T)] == [6]
        np.testing.assert_array_equal(y.T.compute(), expected.T)


class TestProgram:
    def test_it_survives_pickling(self):
        program = Program(1, (Step(np.add, (Use(0), 1), {}), Step(np.multiply, (Use(1), Use(0)), {})), False)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(program))(np.arange(3)), [0, 2, 6])

    def test_inputs_are_never_written_to(self):
        block = np.ones(100_000)
        steps = (
            Step(np.add, (Use(0), 1.0), {}),
            Step(np.multiply, (Use(1), 2.0), {}),
            Step(np.subtract, (Use(2), Use(0)), {}),
        )
        result = Program(1, steps, False)(block)
        assert (block == 1).all() and (result == 3).all()

    def test_buffers_are_used_again_where_the_type_stays(self):
        steps = tuple([Step(np.add, (Use(at), 1.0), {}) for at in range(5)])
        program, block = Program(1, steps, False), np.ones(100_000)
        tracemalloc.start()
        result = program(block)
        _, peak_bytes = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert (result == 6).all() and (block == 1).all()
        assert peak_bytes < 1.5 * block.nbytes

    def test_positions_are_those_of_the_member(self):
        program = Program(0, (Step(lambda position: position, (Position((1, ~3)),), {}),), True)
        assert program((5, 7)) == (7, 3)


class TestRechunk:
    @pytest.mark.parametrize("limit", [1, 2**30], ids=["shuffle", "direct"])
    @pytest.mark.parametrize("dtype", ["f8", "i1", "M8[s]", "S3"])
    def test_from_anything_to_anything(self, limit, dtype):
        array = np.arange(36).reshape(4, 9).astype(dtype)
        ways = chunkings(array.shape)
        with kask.config.set({"array.chunk_size_bytes": limit}):
            for place, old in enumerate(ways):
                new = ways[(3 * place + 1) % len(ways)]
                source = Persist.of(array, old)
                found = wrap(rechunked(source, normalized(new, array.shape, dtype)))
                assert found.chunks == new
                np.testing.assert_array_equal(found.compute(), array)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_slices_of_slices(data):
    shape = tuple(data.draw(st.lists(st.integers(1, 7), min_size=1, max_size=3)))
    array = np.arange(np.prod(shape)).reshape(shape)
    chunks = data.draw(st.sampled_from(chunkings(shape)))
    expr, expected = as_expr(ka.from_array(array, chunks=chunks)), array
    expr = data.draw(
        st.sampled_from([expr, elementwise(np.negative, expr), transposed(expr, tuple(range(expr.ndim)[::-1]))])
    )
    expected = wrap(expr).compute()
    for _ in range(2):
        taken, index = [], []
        for length in expected.shape:
            cut = data.draw(st.slices(length))
            start, stop, step = cut.indices(length)
            taken.append((start, step, len(range(start, stop, step))))
            index.append(cut)
        expr, expected = sliced(expr, tuple(taken)), expected[tuple(index)]
        assert expr.shape == expected.shape
    np.testing.assert_array_equal(wrap(expr).compute(), expected)


def test_on_engines_of_all_sizes(client, grid):
    x = ka.from_array(grid, chunks=((2, 4), (3, 3, 4))).expr
    y = elementwise(np.add, x, transposed(rechunked(transposed(x, (1, 0)), normalized(2, (10, 6), float)), (1, 0)))
    array = wrap(total(y, (1,)))
    np.testing.assert_allclose(array.compute(scheduler=client), (2 * grid).sum(axis=1))
    kept = array.persist(scheduler=client)
    np.testing.assert_allclose(
        wrap(elementwise(np.negative, kept.expr)).compute(scheduler=client), -(2 * grid).sum(axis=1)
    )


def test_results_may_be_written_to_and_are_nobody_elses(grid):
    for chunks in [(6, 10), (3, 5)]:
        array = ka.from_array(grid, chunks=chunks)
        result = array.compute()
        result += 1
        assert grid[0, 0] == 0 and array.compute()[0, 0] == 0


def test_the_comparison_with_numpy_can_fail(grid):
    def wrong(x):
        return x if isinstance(x, np.ndarray) else wrap(elementwise(np.add, x.expr, 1))

    with pytest.raises(AssertionError, match="with chunks"):
        check(wrong, grid)
    with nothing_runs(), pytest.raises(AssertionError, match="described"):
        ka.from_array(grid, chunks=3).compute()


def test_arrays_that_share_work_are_computed_together(grid):
    shared = total(elementwise(np.sqrt, Persist.of(grid)), (0,))
    left, right = wrap(elementwise(np.add, shared, 1)), wrap(elementwise(np.multiply, shared, 2))
    found = kask.compute(left, right, wrap(shared))
    sums = np.sqrt(grid).sum(axis=0)
    for ours, theirs in zip(found, (sums + 1, sums * 2, sums)):
        np.testing.assert_allclose(ours, theirs)
