"""Products of arrays."""

from __future__ import annotations

import functools
import operator

import numpy as np
import pytest
from against_numpy import assert_same, check, check_function, nothing_runs

import kask.array as ka
from kask import config
from kask.array.ops.contraction import Products
from kask.expr.rewrite import walk
from kask.rooms import Room, planning_for

RNG = np.random.default_rng(7)
KINDS = [np.bool_, np.int8, np.uint16, np.int64, np.float16, np.float32, np.float64, np.complex64, np.complex128]
CLOSE = {"rtol": 1e-12, "atol": 1e-12}


def numbers(shape, dtype=np.float64):
    values = RNG.integers(-4, 5, shape)
    return (
        values.astype(dtype)
        if np.dtype(dtype).kind != "c"
        else (values + 1j * RNG.integers(-4, 5, shape)).astype(dtype)
    )


class TestMatmul:
    @pytest.mark.parametrize(
        ("left", "right"),
        [
            ((4, 5), (5, 3)),
            ((5,), (5, 3)),
            ((4, 5), (5,)),
            ((5,), (5,)),
            ((2, 4, 5), (5, 3)),
            ((4, 5), (2, 5, 3)),
            ((2, 1, 4, 5), (3, 5, 2)),
            ((5,), (3, 5, 2)),
            ((3, 2, 5), (5,)),
            ((0, 5), (5, 3)),
            ((4, 0), (0, 3)),
        ],
    )
    def test_shapes(self, left, right):
        check(operator.matmul, numbers(left), numbers(right))
        check_function("matmul", numbers(left), numbers(right))

    @pytest.mark.parametrize("dtype", KINDS)
    def test_types(self, dtype):
        # Small whole numbers: sums are exact in every type.
        check_function("matmul", numbers((4, 5), dtype), numbers((5, 3), dtype))
        check_function("dot", numbers((4, 5), dtype), numbers((5, 3), dtype))

    def test_mixed_types_and_objects(self):
        check_function("matmul", numbers((4, 5), np.int8), numbers((5, 3), np.float32))
        check_function("matmul", numbers((4, 5)).astype(object), numbers((5, 3)).astype(object))

    def test_objects_in_blocks_of_which_some_have_no_elements(self):
        square, line = numbers((5, 5)).astype(object), numbers((5,)).astype(object)
        for name, arrays in {"vecdot": (square, square), "matvec": (square, line), "vecmat": (line, square)}.items():
            check_function(name, *arrays)

    def test_dtype_is_that_of_the_multiplication(self):
        check_function("matmul", numbers((4, 5), np.int8), numbers((5, 3), np.int8), options={"dtype": np.int32})

    def test_numpy_on_the_left(self):
        a, b = numbers((4, 5)), numbers((5, 3))
        result = a @ ka.from_array(b, chunks=2)
        assert type(result) is ka.Array
        assert_same(result, a @ b)

    def test_slices_are_slices_of_the_operands(self):
        check(lambda a, b: (a @ b)[1:3, ::-2], numbers((5, 6)), numbers((6, 5)))
        check(lambda a, b: (a @ b)[2], numbers((3, 5, 6)), numbers((6, 5)))
        check(lambda a, b: (a @ b)[3:3], numbers((5, 6)), numbers((6, 5)))

    def test_refuses_what_does_not_fit(self):
        with pytest.raises(ValueError, match=r"\(2, 3\).*\(4, 5\)"):
            ka.matmul(ka.ones((2, 3)), ka.ones((4, 5)))
        with pytest.raises(ValueError, match="without axes"):
            ka.matmul(ka.ones((2, 3)), 2)
        with pytest.raises(ValueError, match=r"\(2, 1, 3\).*\(3, 3, 1\)"):
            ka.matmul(ka.ones((2, 1, 3)), ka.ones((3, 3, 1)))

    @pytest.mark.parametrize("blocks", [2, 16, 17, 18, 33, 257])
    def test_many_blocks_along_the_contracted_axis(self, blocks):
        # A tree whose last node on a level has one part.
        left, right = numbers((2, blocks)), numbers((blocks, 3))
        found = ka.from_array(left, chunks=(2, 1)) @ ka.from_array(right, chunks=(1, 3))
        assert_same(found, left @ right, rtol=1e-12)
        row = ka.from_array(left[0], chunks=1)
        assert_same(ka.tensordot(row, ka.from_array(right, chunks=(1, 3)), 1), left[0] @ right, rtol=1e-12)

    def test_tasks_multiply_block_by_block(self):
        x = ka.ones((30, 30), chunks=10)
        assert (x @ x).chunks == x.chunks
        result = (x @ x).expr.partial.array
        assert result.grid == (3, 3, 3)

    @pytest.mark.parametrize("shape", [(40, 40), (33, 47), (7, 90)])
    def test_thin_pieces_of_a_contracted_axis(self, shape):
        left, right = numbers(shape), numbers(shape[::-1])
        for thickness in (1, 3, 7):
            a, b = ka.from_array(left, chunks=(-1, thickness)), ka.from_array(right, chunks=(thickness, -1))
            assert_same(a @ b, left @ right)
            assert_same(b @ a, right @ left)
            assert_same(ka.einsum("ik,kj->ji", a, b), (left @ right).T)
            assert_same(ka.tensordot(a, a, 2), np.tensordot(left, left, 2))

    def test_thin_pieces_are_put_together(self):
        a, b = ka.ones((2000, 2000), chunks=(2000, 40)), ka.ones((2000, 2000), chunks=(40, 2000))
        found = (a @ b).explain()
        assert sum(family.result_bytes for family in found.families if "matmul" in family.prefix) == a.nbytes
        assert held(a @ b) <= 2 * a.nbytes
        # As many tasks at once as for a result in many blocks.
        assert (a @ b).npartitions == 16

    def test_results_are_no_larger_than_pieces_of_operands(self):
        # One operand is in one block, but is cut for the other one's sake.
        with config.set({"array.chunk_size_bytes": 1 << 16}):
            a, b = ka.ones((512, 512), chunks=(512, 16)), ka.ones((512, 512), chunks=-1)
            assert np.prod((a @ b).chunksize) * 8 <= 1 << 16
            assert (a @ b).sum().compute() == 512**3


@pytest.mark.parametrize("name", ["dot", "inner"])
@pytest.mark.parametrize(
    ("left", "right"),
    [((), ()), ((), (3,)), ((5,), (5,)), ((2, 5), (5,)), ((5,), (2, 5)), ((3, 4, 5), (2, 5)), ((0,), (0,))],
)
def test_dot_and_inner(name, left, right):
    if name == "dot" and len(right) > 1:
        right = (*right[:-2], right[-1], right[-2])
    check_function(name, numbers(left), numbers(right))
    check_function(name, numbers(left, np.int16), numbers(right, np.bool_))


def test_dot_method_and_out():
    a, b = numbers((4, 5)), numbers((5, 3))
    check(lambda a, b: a.dot(b), a, b)
    out = ka.zeros((4, 3), chunks=2)
    assert ka.dot(ka.from_array(a, chunks=2), b, out=out) is out
    assert_same(out, a.dot(b))
    with pytest.raises(ValueError, match=r"dot: shapes \(2, 3\) and \(4, 5\)"):
        ka.dot(ka.ones((2, 3)), ka.ones((4, 5)))


@pytest.mark.parametrize("dtype", [np.bool_, np.int32, np.complex128])
def test_vdot_outer_kron(dtype):
    check_function("vdot", numbers((3, 4), dtype), numbers((3, 4), dtype))
    check_function("vdot", numbers((3, 4), dtype), numbers((12,), dtype))
    check_function("outer", numbers((3, 2), dtype), numbers((5,), dtype))
    check_function("outer", numbers((), dtype), numbers((0,), dtype))
    check_function("kron", numbers((3,), dtype), numbers((4,), dtype))
    check_function("kron", numbers((2, 3), dtype), numbers((3, 2), dtype))
    check_function("kron", numbers((2, 3), dtype), numbers((3,), dtype))
    with pytest.raises(ValueError, match="3 and 4"):
        ka.vdot(ka.ones(3), ka.ones(4))


def test_large_outer_products_are_cut_finer():
    x = ka.ones(1 << 16, chunks=-1)
    result = ka.outer(x, x)
    assert np.prod(result.chunksize) * 8 <= 2 * kask_limit()


def kask_limit():
    return config.get("array.chunk_size_bytes")


def held(array):
    """The most bytes that a task reads and makes."""
    largest = array.explain().largest
    return largest.inputs_bytes + largest.own_bytes


@pytest.mark.parametrize(
    ("left", "right", "axes"),
    [
        ((3, 4, 5), (4, 5, 2), 2),
        ((3, 4), (4, 2), 1),
        ((3, 4), (2,), 0),
        ((3, 4, 5), (5, 3), ([2, 0], [0, 1])),
        ((3, 4, 5), (5, 3), (2, 0)),
        ((3, 4, 5), (5, 3), (-1, 0)),
        ((3, 4), (3, 4), ((0, 1), (0, 1))),
        ((3, 0), (0, 2), 1),
    ],
)
def test_tensordot(left, right, axes):
    check_function("tensordot", numbers(left), numbers(right), options={"axes": axes})
    check_function("tensordot", numbers(left, np.bool_), numbers(right, np.bool_), options={"axes": axes})


@pytest.mark.parametrize("multiply", [np.matmul, functools.partial(np.tensordot, axes=1)], ids=["matmul", "tensordot"])
def test_narrow_products_are_made_wider(multiply):
    a, b = RNG.random((1600, 90)), RNG.random((90, 1600))
    # 16 blocks of 1.2 MiB: twice as many as two threads need.
    found = multiply(ka.from_array(a, chunks=400), ka.from_array(b, chunks=400))
    assert found.chunks == ((400,) * 4,) * 2
    gib = 2**30
    for room, wider in ((Room(gib, gib, 1, 2), True), (Room(gib, gib, 2, 4), False), (Room(2**22, gib, 1, 2), False)):
        with planning_for(lambda room=room: room):
            (root,) = found.__kask_exprs__(True)
            products = [one for one in walk([root]) if isinstance(one, Products)]
        assert root.chunks.tuples() == found.chunks
        assert [one.chunks.tuples()[1] for one in products] == [(800, 800) if wider else (400,) * 4]
    np.testing.assert_allclose(found.compute(), multiply(a, b), rtol=1e-12)
    np.testing.assert_allclose((found + 1)[:500, 300:].compute(), (multiply(a, b) + 1)[:500, 300:], rtol=1e-12)


def test_tensordot_refuses():
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(4, 5\)"):
        ka.tensordot(ka.ones((2, 3)), ka.ones((4, 5)), axes=1)
    with pytest.raises(ValueError, match="twice"):
        ka.tensordot(ka.ones((2, 2)), ka.ones((2, 2)), axes=([0, 0], [0, 1]))


def test_vecdot_matvec_vecmat():
    check_function("vecdot", numbers((2, 3, 4), complex), numbers((3, 4), complex))
    check_function("vecdot", numbers((3, 4)), numbers((3, 4)), options={"axis": 0})
    check_function("matvec", numbers((2, 3, 4), complex), numbers((4,), complex))
    check_function("vecmat", numbers((2, 3), complex), numbers((2, 3, 4), complex))


AXES = {
    "matmul": [(0, 2), (1, 0), (-1, 0)],
    "matvec": [(2, 1), 0, 0],
    "vecmat": [2, (1, 0), (-1,)],
    "vecdot": [2, 0, ()],
}
OPTIONS = [
    {"dtype": np.float32},
    {"dtype": int, "casting": "unsafe"},
    {"casting": "no"},
    {"signature": "ff->f"},
    {"signature": (None, None, np.complex128)},
    {"order": "F", "subok": False},
]


class TestKeywordsOfUfuncs:
    def arrays(self, name):
        # What is contracted is the axis of 4 elements.
        shapes = {"matmul": ((2, 3, 4), (2, 4, 3)), "matvec": ((3, 4, 2), (4, 1)), "vecmat": ((3, 2, 4), (5, 4, 1))}
        return [numbers(shape) for shape in shapes.get(name, ((2, 3, 4), (4, 3)))]

    @pytest.mark.parametrize("name", AXES)
    def test_axes(self, name):
        a, b = self.arrays(name)
        check_function(name, a, b, options={"axes": AXES[name]})
        check(functools.partial(getattr(np, name), axes=AXES[name]), a, b)

    @pytest.mark.parametrize("options", OPTIONS, ids=str)
    @pytest.mark.parametrize("name", AXES)
    def test_types(self, name, options):
        a, b = self.arrays(name)
        options = {**options, "axes": AXES[name]}
        check_function(name, a, b, options=options)
        check(functools.partial(getattr(np, name), **options), a, b)

    @pytest.mark.parametrize("name", AXES)
    def test_casts_that_are_not_allowed(self, name):
        a, b = map(ka.asarray, self.arrays(name))
        with pytest.raises(TypeError, match=r"float64.* to dtype..int64.* .same_kind."):
            getattr(ka, name)(a, b, dtype=int, axes=AXES[name])
        with pytest.raises(TypeError, match="casting rule 'no'"):
            getattr(np, name)(a, b.astype("f4"), casting="no", axes=AXES[name])
        with pytest.raises(TypeError, match="where"):
            getattr(ka, name)(a, b, where=True)

    def test_out_may_be_of_another_type(self):
        a, b = ka.ones((4, 5), chunks=2), ka.ones((5, 3), chunks=2)
        out = ka.zeros((4, 3), dtype=int)
        with pytest.raises(TypeError, match="same_kind"):
            np.matmul(a, b, out=out)
        assert np.matmul(a, b, out=out, casting="unsafe") is out
        assert out.compute().tolist() == [[5] * 3] * 4

    @pytest.mark.parametrize("options", [{"axis": 0}, {"keepdims": True}, {"axis": 1, "keepdims": True}], ids=str)
    def test_vecdot_keeps_axes(self, options):
        check_function("vecdot", numbers((4, 3)), numbers((4, 3)), options=options)

    def test_lengths_that_differ_along_the_named_axes(self):
        with pytest.raises(ValueError, match="4 elements cannot be matched with 3"):
            ka.matmul(ka.ones((2, 4)), ka.ones((2, 3)), axes=[(0, 1), (1, 0), (0, 1)])


def test_cross():
    check_function("cross", numbers((4, 3)), numbers((4, 3)))
    check_function("cross", numbers((4, 3)), numbers((3,), np.int16))
    check_function("cross", numbers((3, 4)), numbers((3, 4)), options={"axis": 0})
    check_function("cross", numbers((3, 4)), numbers((4, 3)), options={"axisa": 0, "axisc": 0})
    with pytest.raises(ValueError, match="2 or 3"):
        ka.cross(ka.ones(4), ka.ones(4))


@pytest.mark.parametrize("name", ["convolve", "correlate"])
@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize(("left", "right"), [(7, 3), (7, 4), (3, 7), (4, 7), (6, 6), (5, 1), (1, 1)])
def test_convolve_and_correlate(name, mode, left, right):
    for dtype in (np.int64, np.bool_, np.complex128):
        check_function(name, numbers((left,), dtype), numbers((right,), dtype), options={"mode": mode})


@pytest.mark.parametrize("name", ["convolve", "correlate"])
@pytest.mark.parametrize("mode", ["full", "same", "valid"])
@pytest.mark.parametrize(("left", "right"), [(40, 9), (9, 40), (40, 40), (12, 10)])
def test_long_windows_are_taken_in_pieces(name, mode, left, right):
    for dtype in (np.int8, np.bool_, np.float64):
        with config.set({"array.chunk_size_bytes": 4 * np.dtype(dtype).itemsize}):
            check_function(name, numbers((left,), dtype), numbers((right,), dtype), options={"mode": mode}, **CLOSE)


def test_tasks_of_convolutions_hold_pieces():
    with config.set({"array.chunk_size_bytes": 800}):
        found = ka.convolve(ka.ones(10_000, chunks=100), ka.ones(5_000, chunks=100))
        assert held(found) <= 20 * 800


def test_convolve_and_correlate_refuse():
    with pytest.raises(ValueError, match="mode"):
        ka.convolve(ka.ones(3), ka.ones(2), mode="most")
    with pytest.raises(ValueError, match="v cannot be empty"):
        ka.correlate(ka.ones(3), ka.ones(0))
    with pytest.raises(ValueError, match=r"\(2, 2\)"):
        ka.convolve(ka.ones((2, 2)), ka.ones(2))


class TestEinsum:
    @pytest.mark.parametrize(
        ("subscripts", "shapes"),
        [
            ("ij,jk->ik", [(3, 4), (4, 5)]),
            ("ij,jk", [(3, 4), (4, 5)]),
            ("ba", [(3, 4)]),
            ("ii", [(4, 4)]),
            ("ii->i", [(4, 4)]),
            ("ij->ji", [(3, 4)]),
            ("ij->", [(3, 4)]),
            ("ijj->i", [(3, 4, 4)]),
            ("i,j->ij", [(3,), (4,)]),
            ("i,i,i->i", [(4,), (4,), (4,)]),
            ("ij,jk,kl->il", [(3, 4), (4, 5), (5, 2)]),
            ("ij,kl,mn->", [(2, 2), (2, 3), (2, 3)]),
            ("...ij,...jk->...ik", [(2, 3, 4), (4, 5)]),
            ("...,...", [(3, 4), (4,)]),
            ("i...->...", [(3, 4, 2)]),
            ("...i->i...", [(3, 4, 2)]),
            ("ij,j->i", [(3, 1), (4,)]),
            (",->", [(), ()]),
            ("ij,jk->ik", [(0, 4), (4, 5)]),
            ("ij, jk -> ik", [(3, 0), (0, 5)]),
        ],
    )
    def test_subscripts(self, subscripts, shapes):
        def call(*arrays):
            return (ka if isinstance(arrays[0], ka.Array) else np).einsum(subscripts, *arrays)

        check(call, *[numbers(shape, np.int64) for shape in shapes])
        check(call, *[numbers(shape) for shape in shapes], **CLOSE)

    @pytest.mark.parametrize("dtype", KINDS)
    def test_types(self, dtype):
        def call(a, b):
            return np.einsum("ij,jk->k", a, b)

        check(call, numbers((3, 4), dtype), numbers((4, 2), dtype))

    @pytest.mark.parametrize("subscripts", ["ii->i", "ij->ji", "ij->ij", "ij->i", "ii"])
    def test_the_other_byte_order_stays_where_elements_only_move(self, subscripts):
        check(lambda a: np.einsum(subscripts, a), numbers((3, 3)).astype(">f8"), **CLOSE)

    def test_lists_of_axes(self):
        check(lambda a, b: np.einsum(a, [0, 1], b, [1, 2], [2, 0]), numbers((3, 4)), numbers((4, 5)))
        check(lambda a, b: np.einsum(a, [0, Ellipsis], b, [1, 2]), numbers((3, 4)), numbers((4, 5)))

    def test_options(self):
        arrays = [numbers((3, 4), np.int8), numbers((4, 3), np.int8), numbers((3, 2), np.int8)]
        for optimize in (True, "optimal", ["einsum_path", (1, 2), (0, 1)]):
            check(lambda *a, o=optimize: np.einsum("ij,jk,kl->il", *a, optimize=o, dtype=np.int64), *arrays)
        with pytest.raises(TypeError, match="cannot be cast"):
            ka.einsum("i->", ka.ones(3), dtype=np.int8)

    def test_path(self):
        arrays = [numbers((3, 4)), numbers((4, 3)), numbers((3, 2))]
        with nothing_runs():
            found = ka.einsum_path("ij,jk,kl->il", *[ka.from_array(array, chunks=2) for array in arrays])
        assert found == np.einsum_path("ij,jk,kl->il", *arrays)

    @pytest.mark.parametrize(
        ("subscripts", "message"),
        [
            ("ij", "2 arrays|1 arrays"),
            ("ij,jkl", "does not fit"),
            ("ij,jk->iz", "no array"),
            ("ij,jk->ii", "twice"),
            ("i$,jk", "letter"),
        ],
    )
    def test_refuses(self, subscripts, message):
        with pytest.raises(ValueError, match=message):
            ka.einsum(subscripts, ka.ones((2, 3)), ka.ones((3, 2)))

    def test_refuses_lengths_that_differ(self):
        with pytest.raises(ValueError, match=r"\(2, 3\) and \(4, 5\)"):
            ka.einsum("ij,jk", ka.ones((2, 3)), ka.ones((4, 5)))
