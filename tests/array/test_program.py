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
