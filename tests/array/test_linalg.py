"""Linear algebra."""

from __future__ import annotations

import functools
import itertools

import numpy as np
import pytest
from against_numpy import assert_same, check, check_function, chunkings, nothing_runs

import kask
import kask.array as ka
from kask import config
from kask.array.core import PerformanceWarning
from kask.expr import walk

RNG = np.random.default_rng(5)
CLOSE = {"rtol": 1e-8, "atol": 1e-9}
ROUGH = {"rtol": 1e-3, "atol": 1e-3}
KINDS = [np.bool_, np.int16, np.float32, np.float64, np.complex64, np.complex128]
INVERSES = [np.float32, np.float64, np.complex64, np.complex128, np.int64]


def tolerance(dtype):
    return ROUGH if np.dtype(dtype).char in "fF" else CLOSE


def matrix(shape, dtype=np.float64):
    values = RNG.standard_normal(shape) * 3
    if np.dtype(dtype).kind == "c":
        values = values + 1j * RNG.standard_normal(shape)
    return values.astype(dtype)


def regular(n, dtype=np.float64):
    """A matrix whose diagonal blocks are regular, however it is cut."""
    return matrix((n, n), dtype) + (6 * n * np.eye(n)).astype(dtype)


def positive(n, dtype=np.float64):
    values = matrix((n, n), dtype)
    return (values @ values.conj().T + np.eye(n)).astype(dtype)


def cut(array, most=12):
    """The array, cut in several ways, described while nothing may run."""
    for chunks in itertools.islice(chunkings(array.shape), most):
        yield ka.from_array(array, chunks=chunks)


def lazily(call):
    with nothing_runs():
        return call()


class TestQR:
    @pytest.mark.parametrize("shape", [(9, 3), (3, 9), (5, 5), (1, 4), (4, 1), (0, 3), (3, 0)])
    @pytest.mark.parametrize("name", ["qr", "tsqr", "sfqr"])
    def test_factors(self, shape, name):
        array = matrix(shape)
        rank = min(shape)
        for x in cut(array):
            q, r = lazily(lambda x=x: getattr(ka.linalg, name)(x))
            assert (q.shape, r.shape) == ((shape[0], rank), (rank, shape[1]))
            assert_same(q @ r, array, **CLOSE)
            assert_same(q.T @ q, np.eye(rank), **CLOSE)
            assert_same(r, np.triu(r.compute()))

    @pytest.mark.parametrize("dtype", KINDS)
    def test_types(self, dtype):
        array = matrix((8, 3), dtype)
        for x in cut(array):
            q, r = ka.linalg.qr(x)
            assert q.dtype == r.dtype == np.linalg.qr(array)[1].dtype
            assert_same(q @ r, array, dtype=False, **tolerance(dtype))

    def test_r_alone(self):
        for array in (matrix((8, 3)), matrix((3, 8))):
            for x in cut(array):
                r = ka.linalg.qr(x, mode="r").compute()
                assert_same(np.abs(r), np.abs(np.linalg.qr(array, mode="r")), **CLOSE)

    def test_many_levels(self):
        array = matrix((600, 2))
        with config.set({"array.chunk_size_bytes": 256}):
            q, r = ka.linalg.tsqr(ka.from_array(array, chunks=(4, 2)))
        assert_same(q @ r, array, **CLOSE)
        assert_same(q.T @ q, np.eye(2), **CLOSE)

    def test_largest_block(self):
        array = matrix((20, 2))
        q, r = ka.linalg.tsqr(ka.from_array(array, chunks=-1), _max_vchunk_size=6)
        assert q.chunks == ((6, 6, 6, 2), (2,))
        assert_same(q @ r, array, **CLOSE)

    def test_refuses(self):
        with pytest.raises(ValueError, match=r"qr: a matrix is wanted.*\(3,\)"):
            ka.linalg.qr(ka.ones(3))
        with pytest.raises(TypeError, match="float16"):
            ka.linalg.qr(ka.ones((3, 3), dtype=np.float16))
        with pytest.raises(ValueError, match="mode"):
            ka.linalg.qr(ka.ones((3, 3)), mode="raw")

    @pytest.mark.parametrize("shape", [(9, 3), (5, 5), (3, 9), (4, 1), (3, 0), (0, 3)])
    @pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
    def test_complete(self, shape, dtype):
        array = matrix(shape, dtype)
        for x in cut(array):
            q, r = lazily(lambda x=x: ka.linalg.qr(x, mode="complete"))
            assert (q.shape, r.shape) == ((shape[0], shape[0]), shape)
            assert_same(q @ r, array, **tolerance(dtype))
            assert_same(q.conj().T @ q, np.eye(shape[0], dtype=dtype), **tolerance(dtype))
            assert_same(r, np.triu(r.compute()))

    @pytest.mark.parametrize("shape", [(100, 100), (150, 90), (70, 120)])
    @pytest.mark.parametrize("dtype", INVERSES[:4])
    def test_by_block_columns(self, shape, dtype):
        """Too large for one task, and not tall: LAPACK's factors, in blocks of the size that was asked for."""
        array = matrix(shape, dtype)
        most = shape[0] * 32 * array.itemsize
        for chunks in (30, (17, 100)):
            with config.set({"array.chunk_size_bytes": 2000}):
                q, r = lazily(lambda chunks=chunks: ka.linalg.qr(ka.from_array(array, chunks=chunks)))
                alone = ka.linalg.qr(ka.from_array(array, chunks=chunks), mode="r")
                parts = [part.expr for part in (q, r)]
                assert max(part.block_bytes for part in walk(parts) if "qr" in part.label) <= most
                q, r, alone = kask.compute(q, r, alone)
            assert_same(q @ r, array, **tolerance(dtype))
            assert_same(alone, r)
            if shape[0] >= shape[1]:
                assert_same([q, r], list(np.linalg.qr(array)), **tolerance(dtype))

    def test_complete_by_block_columns(self):
        array = matrix((120, 70))
        q, r = ka.linalg.qr(ka.from_array(array, chunks=40), mode="complete")
        assert_same([q, r], list(np.linalg.qr(array, mode="complete")), **CLOSE)


class TestSVD:
    @pytest.mark.parametrize("shape", [(9, 3), (3, 9), (4, 4), (0, 3), (1, 1)])
    @pytest.mark.parametrize("dtype", [np.float64, np.complex64])
    def test_factors(self, shape, dtype):
        array = matrix(shape, dtype)
        values = np.linalg.svdvals(array)
        close = tolerance(dtype)
        for x in cut(array):
            u, s, v = lazily(lambda x=x: ka.linalg.svd(x))
            assert_same(s, values, **close)
            assert_same((u * s) @ v, array, **close)
            assert_same(u.conj().T @ u, np.eye(min(shape)), dtype=False, **close)
            assert_same(v @ v.conj().T, np.eye(min(shape)), dtype=False, **close)
            assert_same(ka.linalg.svdvals(x), values, **close)

    def test_signs_do_not_depend_on_chunks(self):
        array = matrix((9, 3))
        first = [part.compute() for part in ka.linalg.svd(ka.from_array(array, chunks=-1))]
        assert (first[2].sum(axis=1) >= 0).all()
        for x in cut(array):
            assert_same(list(ka.linalg.svd(x)), first, **CLOSE)

    def test_by_tsqr(self):
        array = matrix((9, 3))
        u, s, v = ka.linalg.tsqr(ka.from_array(array, chunks=2), compute_svd=True)
        assert_same((u * s) @ v, array, **CLOSE)

    @pytest.mark.parametrize(
        "options", [{}, {"n_power_iter": 2}, {"n_power_iter": 1, "iterator": "QR"}, {"compute": True}]
    )
    def test_compressed(self, options):
        array = matrix((20, 3)) @ matrix((3, 15))
        values = np.linalg.svdvals(array)[:3]
        for x in cut(array):
            u, s, v = ka.linalg.svd_compressed(x, 3, seed=1, **options)
            assert (u.shape, s.shape, v.shape) == ((20, 3), (3,), (3, 15))
            assert_same(s, values, **CLOSE)
            assert_same((u * s) @ v, array, **CLOSE)

    def test_compressed_is_lazy_and_seeded(self):
        x = ka.from_array(matrix((20, 15)), chunks=4)
        with nothing_runs():
            first = ka.linalg.svd_compressed(x, 2, n_oversamples=2, seed=3)
        again = ka.linalg.svd_compressed(x, 2, n_oversamples=2, seed=3)
        assert_same(first[1], again[1].compute())
        for k in (0, 16):
            with pytest.raises(ValueError, match="k="):
                ka.linalg.svd_compressed(x, k)
        with pytest.raises(ValueError, match="iterator"):
            ka.linalg.svd_compressed(x, 2, iterator="luck")


class TestBlocked:
    @pytest.mark.parametrize("dtype", INVERSES)
    def test_lu(self, dtype):
        array = regular(7, dtype)
        for x in cut(array):
            p, lower, upper = lazily(lambda x=x: ka.linalg.lu(x))
            assert_same(p @ lower @ upper, array, dtype=False, **tolerance(dtype))
            lower, upper, p = lower.compute(), upper.compute(), p.compute()
            assert_same(np.tril(lower), lower)
            assert_same(np.triu(upper), upper)
            assert_same(np.diag(lower), np.ones(7, lower.dtype))
            assert_same(p @ p.T, np.eye(7, dtype=p.dtype))

    @pytest.mark.parametrize("dtype", INVERSES)
    def test_pivots_are_the_best_of_their_columns(self, dtype):
        scipy_linalg = pytest.importorskip("scipy.linalg")
        array = matrix((9, 9), dtype)
        expected = scipy_linalg.lu(array.astype(np.result_type(array, np.float32)))
        for x in cut(array):
            found = kask.compute(*lazily(lambda x=x: ka.linalg.lu(x)))
            assert_same(found, expected, dtype=False, **tolerance(dtype))
            # LAPACK compares |real| + |imaginary|.
            assert np.abs(found[1]).max() <= (1 if found[1].dtype.kind == "f" else np.sqrt(2))

    def test_block_columns_are_no_larger_than_blocks(self):
        x = ka.from_array(matrix((40, 40)), chunks=(8, 40))
        with config.set({"array.chunk_size_bytes": 3200}):
            factors = lazily(lambda: ka.linalg.lu(x))
            steps = [part for part in walk([part.expr for part in factors]) if part.label in ("lu-panel", "lu-update")]
            assert steps and max(part.block_bytes for part in steps) <= 3200
            p, lower, upper = kask.compute(*factors)
        assert_same(p @ lower @ upper, x.compute(), **CLOSE)

    def test_orders_are_put_together_without_panels(self):
        x = ka.from_array(matrix((40, 40)), chunks=8)
        with config.set({"array.chunk_size_bytes": 640}):
            need = lazily(lambda: ka.linalg.lu(x))[0].explain().largest
        assert need.inputs_bytes + need.own_bytes <= 5 * 640

    def test_lu_of_a_singular_matrix(self):
        array = np.arange(16.0).reshape(4, 4)
        for x in cut(array):
            p, lower, upper = kask.compute(*ka.linalg.lu(x))
            assert_same(p @ lower @ upper, array, **CLOSE)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128])
    def test_cholesky(self, dtype):
        array = positive(7, dtype)
        for lower in (True, False):
            expected = np.linalg.cholesky(array, upper=not lower)
            for x in cut(array):
                assert_same(
                    lazily(lambda x=x, lower=lower: ka.linalg.cholesky(x, lower=lower)), expected, **tolerance(dtype)
                )

    def test_cholesky_of_stacks_and_of_what_has_none(self):
        array = np.stack([positive(3), positive(3)])
        check(lambda a: np.linalg.cholesky(a, upper=False), array, **CLOSE)
        with pytest.raises(np.linalg.LinAlgError):
            ka.linalg.cholesky(ka.from_array(-np.eye(4), chunks=2)).compute()

    @pytest.mark.parametrize("columns", [None, 1, 3])
    @pytest.mark.parametrize("dtype", INVERSES)
    def test_solve(self, columns, dtype):
        array = regular(6, dtype)
        right = matrix((6,) if columns is None else (6, columns), dtype)
        check_function("linalg.solve", array, right, **tolerance(dtype))

    def test_solve_positive(self):
        array, right = positive(6, complex), matrix((6, 2))
        expected = np.linalg.solve(array, right)
        for x in cut(array):
            assert_same(ka.linalg.solve(x, right, assume_a="pos"), expected, **CLOSE)
            assert_same(ka.linalg.solve(x, right, sym_pos=True), expected, **CLOSE)

    @pytest.mark.parametrize("lower", [True, False])
    def test_solve_triangular(self, lower):
        array = regular(7)
        triangle = np.tril(array) if lower else np.triu(array)
        for right in (matrix((7,)), matrix((7, 4))):
            for x, b in zip(cut(array), itertools.cycle(cut(right))):
                found = lazily(lambda x=x, b=b: ka.linalg.solve_triangular(x, b, lower=lower))
                assert_same(found, np.linalg.solve(triangle, right), **CLOSE)

    @pytest.mark.parametrize("dtype", INVERSES)
    def test_inv_det_slogdet(self, dtype):
        array = regular(6, dtype)
        close = tolerance(dtype)
        check_function("linalg.inv", array, **close)
        check_function("linalg.det", array, **close)
        check_function("linalg.slogdet", array, **close)
        check_function("linalg.slogdet", -array[::-1] if np.dtype(dtype).kind != "c" else array, most=1, **close)

    def test_stacks_of_matrices(self):
        array = np.stack([regular(3), -regular(3)])
        for name in ("inv", "det", "slogdet"):
            check_function(f"linalg.{name}", array, **CLOSE)

    def test_signs_of_determinants(self):
        array = np.array([[0, 1.0, 0, 0], [2, 0, 0, 0], [0, 0, 0, 3], [0, 0, 4, 0]])
        for chunks in (2, 4):
            assert_same(ka.linalg.det(ka.from_array(array, chunks=chunks)), np.linalg.det(array), **CLOSE)
        odd = array[[0, 1, 3, 2]]
        for chunks in (2, 4):
            assert_same(
                list(ka.linalg.slogdet(ka.from_array(odd, chunks=chunks))), list(np.linalg.slogdet(odd)), **CLOSE
            )

    def test_diagonal_blocks_may_be_singular(self):
        array = np.fliplr(np.diag([1.0, 2, 3, 4])) + np.diag([1e-14, 0, 0, 0])
        check_function("linalg.solve", array, np.arange(4.0), **CLOSE)
        for name in ("inv", "det", "slogdet"):
            check_function(f"linalg.{name}", array, **CLOSE)

    def test_singular_matrices(self):
        array = np.zeros((4, 4))
        array[:2] = np.eye(4)[2:]
        for x in cut(array):
            assert_same(ka.linalg.det(x), 0.0)
            assert_same(list(ka.linalg.slogdet(x)), [0.0, -np.inf])
            for call in (
                ka.linalg.inv,
                lambda x: ka.linalg.solve(x, np.ones(4)),
                lambda x: ka.linalg.solve(x, np.ones((4, 0))),
            ):
                with pytest.raises(np.linalg.LinAlgError, match="Singular"):
                    call(x).compute()

    def test_types_of_systems(self):
        for a, b in ((np.float32, np.float64), (np.float64, np.complex64), (np.float32, np.int64)):
            check_function("linalg.solve", regular(4, a), matrix((4, 2), b), **ROUGH)
        for order, shape in ((4, (4, 0)), (0, (0,)), (0, (0, 3)), (0, (0, 0))):
            check_function("linalg.solve", regular(order), np.zeros(shape))

    def test_solve_stacks(self):
        array = np.stack([regular(3), -regular(3)])
        check_function("linalg.solve", array, matrix((3,)), **CLOSE)
        check_function("linalg.solve", array, matrix((2, 3, 2)), **CLOSE)
        check_function("linalg.solve", array[0], matrix((2, 3, 2)), **CLOSE)

    def test_refuses(self):
        for name in ("lu", "cholesky", "inv", "det", "slogdet"):
            with pytest.raises(ValueError, match=r"square.*\(2, 3\)"):
                getattr(ka.linalg, name)(ka.ones((2, 3), chunks=1))
        for name in ("solve", "solve_triangular", "lstsq"):
            with pytest.raises(ValueError, match=r"\(3, 3\) and \(4,\)"):
                getattr(ka.linalg, name)(ka.ones((3, 3)), ka.ones(4))
        with pytest.raises(ValueError, match="assume_a"):
            ka.linalg.solve(ka.ones((3, 3)), ka.ones(3), assume_a="best")

    def test_steps_are_as_many_as_diagonal_blocks(self):
        few, many = [len(walk([ka.linalg.lu(ka.ones((n, n), chunks=1))[1].expr])) for n in (8, 16)]
        assert many < 2.5 * few


@pytest.mark.parametrize("shape", [(9, 3), (3, 9), (4, 4)])
@pytest.mark.parametrize("columns", [None, 2])
@pytest.mark.parametrize("dtype", [np.float64, np.complex128])
def test_lstsq(shape, columns, dtype):
    array, right = matrix(shape, dtype), matrix((shape[0],) if columns is None else (shape[0], columns))
    check_function("linalg.lstsq", array, right, **CLOSE)


def test_lstsq_of_a_matrix_without_full_rank():
    array = matrix((8, 2)) @ matrix((2, 4))
    right = matrix((8,))
    expected = np.linalg.lstsq(array, right)
    for x in cut(array):
        found = ka.linalg.lstsq(x, right)
        assert_same(found[0], expected[0], **CLOSE)
        assert_same(found[2], expected[2], dtype=False)


class TestNorms:
    def test_of_times_and_texts(self):
        """NumPy counts the units of times, and reads texts."""
        times = np.array([[3, -4, 0], [5, 12, 2]], "m8[s]")
        for ord in (None, 1, np.inf, "fro"):
            check(lambda a, o=ord: np.linalg.norm(a, o), times, rtol=1e-13)
        for ord in (None, 0, 1, 3, -np.inf):
            check(lambda a, o=ord: np.linalg.norm(a, o, axis=1), times, rtol=1e-13)
        check(lambda a: np.linalg.norm(a), np.array(["1970-01-03", "1969-12-30"], "M8[D]"), rtol=1e-13)
        check(lambda a: np.linalg.norm(a), np.array(["3", "4.0"]), rtol=1e-13)
        with pytest.raises(TypeError, match="there are no norms of arrays of type"):
            ka.linalg.norm(ka.from_array(np.zeros(2, "i4,i4")))

    @pytest.mark.parametrize("ord", [None, "fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf])
    @pytest.mark.parametrize("keepdims", [False, True])
    def test_of_matrices(self, ord, keepdims):
        options = {"ord": ord, "keepdims": keepdims}
        for array in (matrix((5, 4)), matrix((3, 5), complex)):
            check_function("linalg.norm", array, options=options, **CLOSE)
        for axis in ((0, 1), (2, 0), (-1, -2)):
            check_function("linalg.norm", matrix((3, 4, 2)), options={**options, "axis": axis}, **CLOSE)

    @pytest.mark.parametrize("ord", [None, 0, 1, -1, 2, -2, 3, 0.5, np.inf, -np.inf])
    def test_of_vectors(self, ord):
        check_function("linalg.norm", matrix((7,)), options={"ord": ord}, **CLOSE)
        check_function("linalg.norm", matrix((7,), complex), options={"ord": ord}, **CLOSE)
        for axis in (0, -1, (1,)):
            options = {"ord": ord, "axis": axis, "keepdims": True}
            check_function("linalg.norm", matrix((4, 5)), options=options, **CLOSE)

    @pytest.mark.parametrize("dtype", KINDS)
    def test_types(self, dtype):
        for options in ({}, {"ord": 1}, {"ord": np.inf, "axis": 0}, {"ord": 3, "axis": 0}):
            check_function("linalg.norm", matrix((4, 5), dtype), options=options, **tolerance(dtype))

    def test_of_everything(self):
        check_function("linalg.norm", matrix((2, 3, 4)), **CLOSE)
        check_function("linalg.norm", matrix(()), **CLOSE)
        check_function("linalg.vector_norm", matrix((2, 3, 4)), options={"axis": (0, 2), "ord": 3}, **CLOSE)
        check_function("linalg.matrix_norm", matrix((2, 3, 4)), options={"ord": 1}, **CLOSE)

    @pytest.mark.parametrize("shape", [(0, 7), (7, 0), (0, 0), (3, 0, 2), (2, 3, 0)])
    @pytest.mark.parametrize("dtype", ["f4", "f8", "i8"])
    def test_of_no_elements(self, shape, dtype):
        array = np.zeros(shape, dtype)
        for ord in (None, "fro", "nuc", 2, 1, np.inf):
            for keepdims in (False, True):
                check_function("linalg.norm", array, options={"ord": ord, "axis": (-2, -1), "keepdims": keepdims})
        with pytest.raises(ValueError, match="zero-size array"):
            ka.linalg.norm(ka.from_array(array), -2, axis=(-2, -1)).compute()

    @pytest.mark.parametrize("ord", [None, 0, 1, 2, 3, np.inf])
    def test_of_vectors_of_no_elements(self, ord):
        check_function("linalg.norm", np.zeros(0), options={"ord": ord})

    def test_of_objects(self):
        array = np.arange(12).reshape(3, 4).astype(object)
        for ord in (None, "fro", 1, -1, np.inf):
            check_function("linalg.norm", array, options={"ord": ord}, dtype=False)

    def test_refuses(self):
        x = ka.ones((2, 3, 4))
        for options in (
            {"ord": 2},
            {"axis": (0, 1, 2)},
            {"ord": "best", "axis": 0},
            {"ord": 3, "axis": (0, 1)},
            {"axis": (0, 0)},
        ):
            with pytest.raises(ValueError):
                ka.linalg.norm(x, **options)


def test_numpy_calls_kask_with_its_own_defaults():
    array = positive(6)
    check(np.linalg.cholesky, array, **CLOSE)
    check(np.linalg.det, array, **CLOSE)
    x = ka.from_array(array, chunks=4)
    assert_same(np.linalg.svd(x, True)[1], np.linalg.svdvals(array), **CLOSE)
    assert_same(np.linalg.svd(x, compute_uv=False), np.linalg.svdvals(array), **CLOSE)
    assert np.linalg.svd(x[:, :2], False)[0].shape == (6, 2)
    for whole in (array[:, :2], array[:2], np.stack([array[:2], -array[:2]])):
        u, s, v = np.linalg.svd(ka.from_array(whole, chunks=1))
        expected = np.linalg.svd(whole)
        assert [u.shape, s.shape, v.shape] == [part.shape for part in expected]
        count = s.shape[-1]
        assert_same(u[..., :count] * s[..., None, :] @ v[..., :count, :], whole, rtol=1e-10, atol=1e-10)
        assert_same(s, expected[1], **CLOSE)


@pytest.mark.parametrize("shape", [(4, 3), (3, 4), (2, 4, 3), (1, 2, 3, 3), (0, 3, 2), (2, 0, 3)])
def test_factors_of_stacks(shape):
    array = matrix(shape)
    x = ka.from_array(array, chunks=2)
    q, r = ka.linalg.qr(x, mode="complete")
    assert (q.shape, r.shape) == ((*shape[:-1], shape[-2]), shape)
    assert_same(q @ r, array, **CLOSE)
    assert_same(q.mT @ q, np.broadcast_to(np.eye(shape[-2]), q.shape), rtol=1e-10, atol=1e-10)
    q, r = ka.linalg.qr(x)
    assert_same(q @ r, array, **CLOSE)
    assert ka.linalg.qr(x, mode="r").shape == r.shape
    u, s, v = ka.linalg.svd(x)
    assert_same(u * s[..., None, :] @ v, array, rtol=1e-10, atol=1e-10)
    assert_same(ka.linalg.svdvals(x), np.linalg.svdvals(array), **CLOSE)
    if 0 not in shape:
        assert_same(ka.linalg.pinv(x), np.linalg.pinv(array), rtol=1e-10, atol=1e-10)
        assert_same(ka.linalg.pinv(x, rtol=0.4), np.linalg.pinv(array, rtol=0.4), rtol=1e-10, atol=1e-10)


class TestOthers:
    @pytest.mark.parametrize("shape", [(0, 7), (7, 0), (3, 0, 2)])
    def test_rank_of_no_elements(self, shape):
        check_function("linalg.matrix_rank", np.zeros(shape))

    def test_rank_and_condition(self):
        low = matrix((6, 2)) @ matrix((2, 4))
        for array in (low, matrix((6, 4)), np.stack([low, matrix((6, 4))]), matrix((5,)), np.zeros(3)):
            check_function("linalg.matrix_rank", array)
        check_function("linalg.matrix_rank", low, options={"tol": 1e-3})
        for p in (None, 2, -2, 1, np.inf, "fro"):
            check_function("linalg.cond", regular(4), options={"p": p}, **CLOSE)
        for p in (1, -1, np.inf, -np.inf, "fro"):
            for array in (np.ones((4, 4)), np.diag([1.0, 0, 2, 3]), np.where(np.eye(4), np.nan, 1)):
                check_function("linalg.cond", array, options={"p": p})

    @pytest.mark.parametrize("n", [0, 1, 2, 3, 5, -2])
    def test_powers(self, n):
        check_function("linalg.matrix_power", regular(4), args=(n,), **CLOSE)
        check_function("linalg.matrix_power", np.stack([regular(3), regular(3)]), args=(n,), **CLOSE)

    def test_product_of_several(self):
        arrays = [matrix(shape) for shape in ((3, 4), (4, 2), (2, 5), (5,))]
        for count in (2, 3, 4):

            def call(*operands):
                home = ka if isinstance(operands[0], ka.Array) else np
                return home.linalg.multi_dot(list(operands))

            check(call, *arrays[:count], **CLOSE)
            check(call, *arrays[4 - count :], **CLOSE)
        with pytest.raises(np.linalg.LinAlgError):
            ka.linalg.multi_dot([ka.ones((2, 2)), ka.ones(2), ka.ones((2, 2))])

    def test_pseudo_inverse(self):
        for array in (matrix((6, 3)), matrix((3, 6), complex), matrix((6, 2)) @ matrix((2, 4))):
            check_function("linalg.pinv", array, **CLOSE)

    @pytest.mark.parametrize("shape", [(2,), (3, 2), (3, 1), (1,), ()])
    def test_pseudo_inverses_with_a_tolerance_for_each(self, shape):
        stack = np.random.default_rng(0).standard_normal((3, 2, 4, 5))
        least = (3 + np.arange(np.prod(shape, dtype=int))).reshape(shape) / 9
        assert np.linalg.matrix_rank(stack, rtol=least).min() < 4
        expected = np.linalg.pinv(stack, rtol=least)
        for x in cut(stack):
            for given in (least, ka.from_array(least, chunks=1), least.tolist()):
                for options in ({"rtol": given}, {"rcond": given}):
                    assert_same(lazily(functools.partial(ka.linalg.pinv, x, **options)), expected, **CLOSE)
        for x in cut(stack):
            found = lazily(lambda x=x: ka.linalg.matrix_rank(x, rtol=ka.from_array(least, chunks=1)))
            assert_same(found, np.linalg.matrix_rank(stack, rtol=least))
        assert_same(
            ka.linalg.pinv(ka.from_array(stack, chunks=2), rtol=None), np.linalg.pinv(stack, rtol=None), **CLOSE
        )

    def test_pseudo_inverses_in_the_array_api(self):
        # The least singular value is more than 1e-15 of the largest, and less than 40 times the precision.
        left, right = np.linalg.qr(matrix((40, 3)))[0], np.linalg.qr(matrix((30, 3)))[0]
        low = np.stack([left * [1, 0.5, 3e-15] @ right.T] * 2)
        x = ka.from_array(low, chunks=(1, 20, 30))
        for array, ours in ((low, x), (low[0], x[0])):
            found = x.__array_namespace__().linalg.pinv(ours)
            assert_same(found, np.linalg.pinv(array, rtol=None), **CLOSE)

    def test_tolerances_that_do_not_fit(self):
        x = ka.ones((3, 2, 4, 5))
        for given in (np.ones(3), np.ones((1, 1, 1))):
            with pytest.raises(
                ValueError, match=r"rtol= has the shape \(.*\), which does not broadcast to the \(3, 2\)"
            ):
                ka.linalg.pinv(x, rtol=given)
        with pytest.raises(ValueError, match=r"rcond= has the shape \(2,\), which does not broadcast to the \(\)"):
            ka.linalg.pinv(x[0, 0], [0.1, 0.2])
        for array in (x, x[0, 0]):
            with pytest.raises(ValueError, match="can't be both set"):
                ka.linalg.pinv(array, 0.1, rtol=0.1)

    def test_eigenvalues(self):
        for array in (positive(5), positive(4, complex), np.stack([positive(3), positive(3)])):
            check_function("linalg.eigvalsh", array, **CLOSE)
            for x in cut(array):
                values, vectors = lazily(lambda x=x: ka.linalg.eigh(x))
                assert_same(values, np.linalg.eigvalsh(array), **CLOSE)
                assert_same(array @ vectors.compute(), (vectors * values[..., None, :]).compute(), **CLOSE)

    @pytest.mark.parametrize("dtype", [np.float32, np.float64, np.complex128, np.int64])
    def test_eigenvalues_of_any_matrix(self, dtype):
        for array in (matrix((5, 5), dtype), np.stack([matrix((3, 3), dtype), np.diag([3, 2, 1]).astype(dtype)])):
            kind = np.result_type(np.linalg.eigvals(array).dtype, np.complex64)
            for x in cut(array):
                found = lazily(lambda x=x: ka.linalg.eigvals(x))
                assert found.dtype == kind
                assert_same(found, np.linalg.eigvals(array).astype(kind), **tolerance(dtype))
                values, vectors = kask.compute(*lazily(lambda x=x: ka.linalg.eig(x)))
                assert values.dtype == vectors.dtype == kind
                assert_same(array @ vectors, vectors * values[..., None, :], dtype=False, **tolerance(dtype))
        with pytest.raises(ValueError, match="square"):
            ka.linalg.eig(ka.ones((2, 3)))

    def test_values_and_vectors_are_made_together(self):
        x = ka.from_array(positive(4), chunks=2)
        for values, vectors in (ka.linalg.eigh(x), ka.linalg.eig(x)):
            (shared,) = values.expr.operands
            assert shared.token == vectors.expr.operands[0].token

    def test_large_matrices_in_one_task_are_warned_of(self):
        x = ka.from_array(positive(30), chunks=5)
        calls = [getattr(ka.linalg, name) for name in ("eig", "eigh", "eigvals", "eigvalsh", "svd", "svdvals")]
        for call in calls:
            with config.set({"array.chunk_size_bytes": 800}), pytest.warns(PerformanceWarning, match=r"\(30, 30\)"):
                call(x)
        right = ka.from_array(matrix((30,)), chunks=5)
        with config.set({"array.chunk_size_bytes": 800}), pytest.warns(PerformanceWarning, match=r"lstsq.*\(30, 30\)"):
            ka.linalg.lstsq(x, right)

    def test_systems_of_several_axes(self):
        array, right = matrix((3, 4, 2, 6)), matrix((3, 4))
        check_function("linalg.tensorsolve", array, right, **CLOSE)
        turned = np.moveaxis(array, 2, 0)
        check_function("linalg.tensorsolve", turned, right, options={"axes": (0,)}, **CLOSE)
        check_function("linalg.tensorinv", matrix((4, 6, 8, 3)), **CLOSE)
        check_function("linalg.tensorinv", matrix((6, 2, 3)), options={"ind": 1}, **CLOSE)
        with pytest.raises(ValueError, match=r"\(3, 4, 2, 6\).*\(4, 3\)"):
            ka.linalg.tensorsolve(ka.ones((3, 4, 2, 6)), ka.ones((4, 3)))
        with pytest.raises(ValueError, match="ind"):
            ka.linalg.tensorinv(ka.ones((2, 2)), 0)
        with pytest.raises(ValueError, match="as many elements"):
            ka.linalg.tensorinv(ka.ones((2, 3)), 1)

    def test_names_that_are_elsewhere_too(self):
        array = matrix((2, 3, 3))
        for name in ("diagonal", "trace", "matrix_transpose"):
            check_function(f"linalg.{name}", array, **CLOSE)
        check_function("linalg.outer", array[0, 0], array[1, 1])
        check_function("linalg.cross", array[0], array[1], **CLOSE)
        check_function("linalg.vecdot", array[0], array[1], **CLOSE)


def test_factors_are_computed_together():
    matrix = np.random.default_rng(5).random((12, 12)) + 12 * np.eye(12)
    parts = kask.compute(*ka.linalg.lu(ka.from_array(matrix, chunks=4)))
    np.testing.assert_allclose(parts[0] @ parts[1] @ parts[2], matrix, rtol=1e-9, atol=1e-9)
