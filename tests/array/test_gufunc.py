"""Generalised ufuncs."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from against_numpy import assert_same, nothing_runs

import kask.array as ka
from kask.array.base import ArrayBase
from kask.array.gufunc import apply_gufunc, as_gufunc, gufunc
from kask.array.ops.gufuncs import parsed_signature

CUBE = np.arange(60.0).reshape(3, 4, 5)
CHUNKS = [(3, 4, 5), ((1, 2), (3, 1), 5), ((0, 3), (1, 1, 1, 1), 5), (1, 2, 5)]


def stats(x):
    return x.mean(axis=-1), x.max(axis=-1)


class TestSignature:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("(i),(i)->()", ([("i",), ("i",)], [()], True)),
            ("( i , j ),(j,k) -> (i,k)", ([("i", "j"), ("j", "k")], [("i", "k")], True)),
            ("(i)->(),(i)", ([("i",)], [(), ("i",)], False)),
            ("(3)->(3)", ([("3",)], [("3",)], True)),
            ("()->(n)", ([()], [("n",)], True)),
            ("(i)->(),", ([("i",)], [()], False)),
        ],
    )
    def test_good(self, text, expected):
        assert parsed_signature(text) == expected

    @pytest.mark.parametrize("text", ["", "(i)", "i->()", "(i->()", "(i)->", "(i,)->()", "(i)(j)->()"])
    def test_bad(self, text):
        with pytest.raises(ValueError, match="signature must be like"):
            parsed_signature(text)


class TestApply:
    @pytest.mark.parametrize("chunks", CHUNKS)
    def test_one_result(self, chunks):
        x = ka.from_array(CUBE, chunks=chunks)
        assert_same(apply_gufunc(lambda a: a.sum(axis=-1), "(i)->()", x), CUBE.sum(axis=-1))
        assert_same(apply_gufunc(lambda a: a * 2, "()->()", x), CUBE * 2)
        assert_same(apply_gufunc(lambda a: a.cumsum(axis=-1) > 3, "(i)->(i)", x), CUBE.cumsum(axis=-1) > 3)

    @pytest.mark.parametrize("chunks", CHUNKS)
    def test_several_results(self, chunks):
        mean, most = apply_gufunc(stats, "(i)->(),()", ka.from_array(CUBE, chunks=chunks))
        assert_same(mean, CUBE.mean(axis=-1))
        assert_same(most, CUBE.max(axis=-1))
        assert_same(mean + most, CUBE.mean(axis=-1) + CUBE.max(axis=-1))

    def test_of_different_types_and_axes(self):
        def both(a):
            return a.sum(axis=-1).astype("i2"), a[..., :2] > 3

        one, two = apply_gufunc(both, "(i)->(),(k)", ka.from_array(CUBE, chunks=(1, 2, 5)), output_sizes={"k": 2})
        assert_same(one, CUBE.sum(axis=-1).astype("i2"))
        assert_same(two, CUBE[..., :2] > 3)

    def test_broadcast_loops(self):
        x, y = ka.from_array(CUBE, chunks=(1, 3, 5)), ka.from_array(CUBE[0, :1], chunks=(1, 5))
        found = apply_gufunc(lambda a, b: (a * b).sum(axis=-1), "(i),(i)->()", x, y)
        assert_same(found, (CUBE * CUBE[0, :1]).sum(axis=-1))
        found = apply_gufunc(lambda a, b: a[..., :, None] * b[..., None, :], "(i),(j)->(i,j)", x, np.arange(2.0))
        assert_same(found, CUBE[..., None] * np.arange(2.0))
        two = apply_gufunc(
            np.add, "(),()->()", ka.from_array(np.arange(6), chunks=2), ka.from_array(np.arange(6), chunks=3)
        )
        assert_same(two, np.arange(6) * 2)

    def test_vectorize(self):
        def spread(row, factor):
            assert row.ndim == 1
            return (row.max() - row.min()) * factor

        x = ka.from_array(CUBE, chunks=(2, 2, 5))
        found = apply_gufunc(spread, "(i),()->()", x, 2.0, vectorize=True)
        assert_same(found, np.ptp(CUBE, axis=-1) * 2)
        found = apply_gufunc(
            lambda row: row[:2], "(i)->(k)", x, vectorize=True, output_dtypes=float, output_sizes={"k": 2}
        )
        assert_same(found, CUBE[..., :2])

    def test_axes(self):
        x = ka.from_array(CUBE, chunks=(3, 2, 2))
        assert_same(apply_gufunc(lambda a: a.sum(axis=-1), "(i)->()", x, axis=0), CUBE.sum(axis=0))
        assert_same(apply_gufunc(lambda a: a.sum(axis=-1), "(i)->()", x, axes=[0]), CUBE.sum(axis=0))
        assert_same(apply_gufunc(lambda a: a.cumsum(axis=-1), "(i)->(i)", x, axis=0), CUBE.cumsum(axis=0))
        assert_same(
            apply_gufunc(lambda a: a.cumsum(axis=-1), "(i)->(i)", x, axes=[(0,), (-1,)]),
            np.moveaxis(CUBE.cumsum(axis=0), 0, -1),
        )
        assert_same(
            apply_gufunc(lambda a: a.sum(axis=-1), "(i)->()", x, axis=0, keepdims=True), CUBE.sum(axis=0, keepdims=True)
        )
        y = ka.from_array(CUBE, chunks=(3, 1, 5))
        found = apply_gufunc(lambda a: a.sum(axis=(-1, -2)), "(i,j)->()", y, axes=[(0, 2)], keepdims=True)
        assert_same(found, CUBE.sum(axis=(0, 2), keepdims=True))

    def test_core_axes_of_several_blocks(self):
        x = ka.from_array(CUBE, chunks=2)
        with pytest.raises(ValueError, match="core axis 'i' of argument 0 has several blocks"):
            apply_gufunc(stats, "(i)->(),()", x)
        assert_same(apply_gufunc(stats, "(i)->(),()", x, allow_rechunk=True)[0], CUBE.mean(axis=-1))

    def test_keywords_and_types(self):
        x = ka.from_array(CUBE, chunks=(1, 4, 5))
        found = apply_gufunc(lambda a, k: (a * k).sum(axis=-1).astype("f4"), "(i)->()", x, k=3, output_dtypes="f4")
        assert_same(found, (CUBE * 3).sum(axis=-1).astype("f4"))
        found = apply_gufunc(stats, "(i)->(),()", x, meta=(np.empty(0), np.empty(0)))
        assert found[1].dtype == float

    def test_no_elements(self):
        x = ka.from_array(np.ones((0, 4)), chunks=(0, 4))
        assert_same(apply_gufunc(lambda a: a.max(axis=-1), "(i)->()", x), np.ones(0))

    def test_it_is_lazy(self):
        with nothing_runs():
            apply_gufunc(stats, "(i)->(),()", ka.from_array(CUBE, chunks=(1, 4, 5)))

    @pytest.mark.parametrize(
        ("args", "options", "match"),
        [
            ((), {}, "1 arguments, 0 were given"),
            ((np.array(1.0),), {}, "0 axes, but the signature has 1"),
            ((CUBE,), {"axes": [0], "axis": 0}, "either axes= or axis="),
            ((CUBE,), {"axes": [0, 1, 2, 3]}, "4 entries"),
            ((CUBE,), {"output_dtypes": [float, float]}, "2 types, the signature has 1"),
        ],
    )
    def test_wrong_arguments(self, args, options, match):
        with pytest.raises(ValueError, match=match):
            apply_gufunc(lambda a: a.sum(axis=-1), "(i)->()", *args, **options)

    def test_wrong_sizes(self):
        with pytest.raises(ValueError, match="core axis 'i' has 4 elements in argument 1, but 5 were expected"):
            apply_gufunc(np.vecdot, "(i),(i)->()", np.ones(5), np.ones(4))
        with pytest.raises(ValueError, match="size of the core axis 'k' is not known"):
            apply_gufunc(np.negative, "(i)->(k)", np.ones(5))

    def test_results_that_are_not_what_was_said(self):
        x = apply_gufunc(lambda a: a, "(i)->()", ka.from_array(CUBE), output_dtypes=float)
        with pytest.raises(ValueError, match=r"result 0 of .* has the shape \(3, 4, 5\), where \(3, 4\) was expected"):
            x.compute()
        with pytest.raises(ValueError, match="give output_dtypes= or meta="):
            apply_gufunc(lambda a: a + undefined, "(i)->()", ka.from_array(CUBE))  # noqa: F821


class TestGufunc:
    def test_class_and_decorator(self):
        x = ka.from_array(CUBE, chunks=(1, 4, 5))

        @as_gufunc("(i)->()", output_dtypes=float)
        def total(a):
            """Adds up."""
            return a.sum(axis=-1)

        assert total.__doc__ == "Adds up." and total.__name__ == "total"
        assert isinstance(total(x), ArrayBase)
        assert_same(total(x), CUBE.sum(axis=-1))
        assert_same(total(ka.from_array(CUBE, chunks=2), allow_rechunk=True), CUBE.sum(axis=-1))
        assert_same(gufunc(stats, signature="(i)->(),()")(x)[0], CUBE.mean(axis=-1))
        with pytest.raises(TypeError, match="signature= is needed"):
            gufunc(stats)
        assert pickle.loads(pickle.dumps(gufunc(stats, signature="(i)->(),()"))).signature == "(i)->(),()"

    def test_numpys_gufuncs(self):
        square = CUBE[:, :, :4] + np.eye(4)
        x = ka.from_array(square, chunks=(1, 4, 4))
        signature = "(m,m)->()"
        assert_same(apply_gufunc(np.linalg.det, signature, x), np.linalg.det(square), rtol=1e-12)


def test_results_have_the_types_that_were_said():
    x = ka.from_array(np.arange(6.0).reshape(2, 3), chunks=(1, 3))
    found = ka.apply_gufunc(lambda block: block.sum(axis=-1), "(i)->()", x, output_dtypes="f4")
    assert found.dtype == found.compute().dtype == np.float32
    first, second = ka.apply_gufunc(
        lambda block: (block.min(axis=-1), block.max(axis=-1)), "(i)->(),()", x, output_dtypes=("i2", float)
    )
    assert first.compute().dtype == np.int16 and second.compute().dtype == np.float64
    np.testing.assert_array_equal(first.compute(), [0, 3])


def test_core_axes_of_unknown_size():
    nan, grid = float("nan"), np.arange(24.0).reshape(4, 6)

    def part(block):
        return block[..., ::2] + 1

    for chunks in [(4, 6), (2, 6), ((1, 3), 6)]:
        x = ka.from_array(grid, chunks=chunks)
        assert_same(ka.apply_gufunc(part, "(i)->(k)", x, output_sizes={"k": nan}), part(grid))
        several = ka.apply_gufunc(
            lambda b: (part(b), b.sum(-1)), "(i)->(k),()", x, output_sizes={"k": nan}, output_dtypes=[float, float]
        )
        for ours, theirs in zip(several, (part(grid), grid.sum(1)), strict=True):
            assert_same(ours, theirs)
        turned = ka.apply_gufunc(part, "(i)->(k)", x.T, axes=[(0,), (0,)], output_sizes={"k": nan})
        assert_same(turned, part(grid).T)
    with pytest.raises(ValueError, match=r"\(1, 5\).*\(1, 6, nan\)"):
        ka.apply_gufunc(lambda b: b[:, 1:], "()->(k)", x, output_sizes={"k": nan}, output_dtypes=float).compute()
