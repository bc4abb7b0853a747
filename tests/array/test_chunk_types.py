"""Blocks that are no arrays of NumPy: sparse ones, which cannot be written to."""

from __future__ import annotations

import numpy as np
import pytest

import kask.array as ka
from kask.array.base import wrap
from kask.array.ops.rechunk import rechunked
from kask.array.ops.slicing import sliced, transposed
from kask.engine import Chunks

sparse = pytest.importorskip("sparse")

DENSE = np.where(np.arange(48).reshape(6, 8) % 5 == 0, np.arange(48.0).reshape(6, 8), 0)
SPARSE = sparse.COO.from_numpy(DENSE)

CALLS = {
    "compute": lambda x, home: x,
    "ufunc": lambda x, home: np.sin(x),
    "operators": lambda x, home: x * 2 + x,
    "comparison": lambda x, home: x > 3,
    "dense operand": lambda x, home: x * np.arange(8),
    "where": lambda x, home: home.where(x > 3, x, 0),
    "astype": lambda x, home: x.astype("f4"),
    "reduce": lambda x, home: home.add.reduce(x),
}


def made():
    return ka.from_array(DENSE, chunks=(3, 4)).map_blocks(sparse.COO.from_numpy)


def assert_sparse(found, expected):
    value = found.compute(scheduler="sync")
    assert isinstance(value, sparse.SparseArray)
    assert value.dtype == expected.dtype == found.dtype
    np.testing.assert_allclose(value.todense(), expected)


@pytest.mark.parametrize("name", CALLS)
def test_functions(name):
    call = CALLS[name]
    assert_sparse(call(made(), ka), call(DENSE, np))


def test_operands():
    assert_sparse(made() * SPARSE, DENSE * DENSE)
    assert_sparse(SPARSE * made(), DENSE * DENSE)
    assert_sparse(ka.from_array(SPARSE, chunks=(3, 4)) + made(), DENSE * 2)


def test_shapes():
    assert_sparse(wrap(transposed(made().expr, (1, 0))), DENSE.T)
    assert_sparse(wrap(sliced(made().expr, ((1, 2, 2), (0, 1, 8)))), DENSE[1:5:2])
    assert_sparse(wrap(rechunked(made().expr, Chunks([[2, 4], [8]]))), DENSE)


def test_back_to_numpy():
    value = made().map_blocks(lambda block: block.todense()).compute()
    assert type(value) is np.ndarray
    np.testing.assert_array_equal(value, DENSE)
