"""What a fused block may write to."""

from __future__ import annotations

import numpy as np

from kask.array.base import as_array, wrap
from kask.array.ops.elementwise import elementwise
from kask.array.ops.slicing import transposed
from kask.expr.program import Program, Step, Use


def test_a_buffer_that_a_view_shows_is_not_written_to():
    array = np.arange(10000.0).reshape(100, 100)
    total = elementwise(np.add, as_array(array).expr, 1.0)
    turned = transposed(total, (1, 0))
    result = wrap(elementwise(np.add, turned, elementwise(np.negative, total)))
    np.testing.assert_array_equal(result.compute(), (array + 1).T - (array + 1))


def test_a_function_that_returns_its_argument_does_not_give_it_away():
    block = np.ones(10000)
    steps = (Step(np.real, (Use(0),), {}), Step(np.negative, (Use(1),), {}))
    np.testing.assert_array_equal(Program(1, steps, False)(block), -np.ones(10000))
    np.testing.assert_array_equal(block, np.ones(10000))


def test_a_buffer_of_its_own_is_used_again():
    steps = (Step(np.add, (Use(0), 1.0), {}), Step(np.negative, (Use(1),), {}), Step(np.exp, (Use(2),), {}))
    program = Program(1, steps, False)
    assert [step.own for step in program.steps] == [(), (1,), (2,)]
    np.testing.assert_array_equal(program(np.ones(10000)), np.exp(-np.full(10000, 2.0)))


def made(steps, sizes, views=(), inputs=1, fuses=False):
    return Program(inputs, tuple(Step(func, args, {}) for func, *args in steps), False, fuses).made(sizes, views)


class TestWhatIsMade:
    def test_values_live_until_their_last_reader_has_run(self):
        steps = [(np.sort, Use(0)), (np.sort, Use(0)), (np.hypot, Use(1), Use(2)), (np.sort, Use(3))]
        assert made(steps, [10, 20, 30, 5]) == (60, (0, 1, 2, 3))
        # The last result, which is larger, and what it is made of.
        assert made([(np.sort, Use(0)), (np.tile, Use(1), 9)], [10, 90]) == (100, (0, 1))
        assert made([(np.sort, Use(0))], [10]) == (10, (0,))

    def test_buffers_that_are_written_again_count_once(self):
        steps = [(np.negative, Use(0)), (np.exp, Use(1)), (np.add, Use(2), 1.0)]
        assert made(steps, [8, 8, 8]).peak_bytes == 8
        assert made(steps, [8, 16, 8]).peak_bytes == 24
        assert (
            made([(np.negative, Use(0)), (np.add, Use(1), Use(0)), (np.add, Use(1), Use(2))], [8, 8, 8]).peak_bytes
            == 16
        )

    def test_kernels_make_their_last_result(self):
        steps = [(np.negative, Use(0)), (np.add, Use(1), Use(0)), (np.sort, Use(2))]
        assert made(steps, [8, 8, 8], fuses=True) == (16, (1, 2))
        assert made([(np.sort, Use(0)), (np.negative, Use(1)), (np.add, Use(1), Use(2))], [8, 99, 8], fuses=True) == (
            16,
            (0, 2),
        )

    def test_views_keep_what_they_show_and_are_nothing_themselves(self):
        steps = [(np.sort, Use(0)), (np.transpose, Use(1)), (np.sort, Use(0)), (np.hypot, Use(2), Use(3))]
        assert made(steps, [8, 8, 8, 1], views={1}) == (17, (0, 2, 3))
        assert made([(np.transpose, Use(0)), (np.sort, Use(1))], [8, 8], views={0}) == (8, (1,))
        assert made([(np.sort, Use(0)), (np.transpose, Use(1))], [8, 8], views={1}) == (8, (0,))
        # A view of what is in memory anyway.
        assert made([(np.ones, 3), (np.sort, Use(0))], [8, 8], views={0}, inputs=0) == (8, (1,))
