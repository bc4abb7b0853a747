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
    "mean": lambda x, home: x.mean(axis=0),
    "var": lambda x, home: x.var(axis=1),
    "std of all": lambda x, home: x.std(axis=(0, 1), keepdims=True),
    "list": lambda x, home: x[[3, 1, 1, 5]],
    "list of the last axis": lambda x, home: x[:, [7, 0, 4]],
    "points": lambda x, home: x[[5, 0, 3, 1], [6, 2, 0, 1]],
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


def test_places_of_extremes_are_numbers_of_numpy():
    for call in (lambda x: x.argmax(axis=1), lambda x: x.argmin(axis=0), lambda x: x.argmax()):
        value = call(made()).compute(scheduler="sync")
        assert isinstance(value, np.ndarray | np.generic)
        np.testing.assert_array_equal(value, call(DENSE))


def test_what_sparse_blocks_do_not_take_is_an_error():
    x = made()
    with pytest.raises(TypeError, match="cumsum"):
        x.cumsum(axis=0).compute(scheduler="sync")
    x[0] = 5
    with pytest.raises(TypeError, match="item assignment"):
        x.compute(scheduler="sync")


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


class Frozen(np.lib.mixins.NDArrayOperatorsMixin):
    """An array that nothing can be assigned to, with NumPy's protocols and little else."""

    def __init__(self, values):
        self.values = np.asarray(values)

    shape = property(lambda self: self.values.shape)
    ndim = property(lambda self: self.values.ndim)
    size = property(lambda self: self.values.size)
    dtype = property(lambda self: self.values.dtype)

    def __array__(self, dtype=None, copy=None):
        raise TypeError("a block of this kind must not become one of NumPy")

    def __array_ufunc__(self, ufunc, method, *inputs, **kwargs):
        return frozen(getattr(ufunc, method)(*melted(inputs), **melted(kwargs)))

    def __array_function__(self, func, types, args, kwargs):
        return frozen(func(*melted(args), **melted(kwargs)))

    def __getitem__(self, index):
        return frozen(self.values[melted(index)])

    def astype(self, dtype, **options):
        return Frozen(self.values.astype(dtype, **options))

    def reshape(self, *shape):
        return Frozen(self.values.reshape(*shape))

    def transpose(self, *axes):
        return Frozen(self.values.transpose(*axes))

    def __len__(self):
        return len(self.values)


def melted(x):
    if isinstance(x, Frozen):
        return x.values
    if isinstance(x, list | tuple):
        return type(x)([melted(one) for one in x])
    return {key: melted(one) for key, one in x.items()} if isinstance(x, dict) else x


def frozen(x):
    return Frozen(x) if isinstance(x, np.ndarray) else x


FROZEN_CALLS = {
    "compute": lambda x: x,
    "operators": lambda x: 2 * x + 1,
    "sum": lambda x: x.sum(axis=0),
    "mean": lambda x: x.mean(axis=1),
    "var": lambda x: x.var(axis=0),
    "slice": lambda x: x[1:5, ::-2],
    "list": lambda x: x[[3, 1, 1]],
    "transposed": lambda x: x.T,
}


@pytest.mark.parametrize("name", FROZEN_CALLS)
def test_a_registered_type(name):
    ka.register_chunk_type(Frozen)
    call = FROZEN_CALLS[name]
    x = ka.from_array(DENSE, chunks=(3, 4)).map_blocks(Frozen)
    found = call(x).compute(scheduler="sync")
    assert type(found) is Frozen
    np.testing.assert_allclose(found.values, call(DENSE))
    both = (x + Frozen(DENSE)).compute(scheduler="sync")
    assert type(both) is Frozen
    np.testing.assert_array_equal(both.values, DENSE * 2)


@pytest.mark.parametrize("kind", ["csr_matrix", "csr_array", "csc_array", "coo_matrix"])
def test_blocks_of_scipy_are_put_together(kind):
    kind = getattr(pytest.importorskip("scipy.sparse"), kind)
    for chunks in [(3, 8), (3, 4), (6, 3), (6, 8)]:
        x = ka.from_array(DENSE, chunks=chunks).map_blocks(kind)
        for found, expected in [(x, DENSE), (x * 2, DENSE * 2), (x.persist(), DENSE)]:
            value = found.compute()
            assert type(value) is kind and value.shape == DENSE.shape
            np.testing.assert_array_equal(value.toarray(), expected)
        np.testing.assert_array_equal(x.to_backend("numpy").compute(), DENSE)
        np.testing.assert_array_equal(np.asarray(x.map_blocks(kind.toarray)), DENSE)
        with pytest.raises(TypeError, match=rf"{kind.__name__} of scipy\.sparse; x\.to_backend\('numpy'\)"):
            np.asarray(x)
        if not kind.__name__.startswith("coo"):
            np.testing.assert_array_equal(ka.concatenate([x, x]).compute().toarray(), np.concatenate([DENSE, DENSE]))
            np.testing.assert_array_equal(x.rechunk((4, 5)).compute().toarray(), DENSE)
            np.testing.assert_array_equal(x[1:5].compute().toarray(), DENSE[1:5])
