"""Functions of single elements that are no ufuncs, against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from against_numpy import assert_same, check, check_function, nothing_runs

import kask.array as ka
from kask.array.base import ArrayBase

REALS = np.array([[-2.5, -1.0, 0.0, 0.5], [1.0, 2.0, 3.5, np.nan], [np.inf, -np.inf, 1e-3, 7.0]])
INTS = np.array([[-3, 0, 1], [2, 5, 7]])
COMPLEX = np.array([[1 + 2j, -3j], [0, 2.5]])
BOOLS = np.array([[True, False, True], [False, False, True]])
NONE = np.ones((0, 3))


class TestNumbers:
    @pytest.mark.parametrize("name", ["real", "imag", "angle", "isreal", "iscomplex", "nan_to_num"])
    @pytest.mark.parametrize("array", [REALS, INTS, COMPLEX, NONE, np.array(1.5), COMPLEX.astype("c8")])
    def test_of_any_number(self, name, array):
        check_function(name, array)

    @pytest.mark.parametrize("name", ["fix", "sinc", "i0", "isneginf", "isposinf"])
    @pytest.mark.parametrize("array", [REALS, REALS.astype("f4"), NONE, np.array(1.5)])
    def test_of_real_numbers(self, name, array):
        check_function(name, array)

    @pytest.mark.parametrize("name", ["round", "around"])
    @pytest.mark.parametrize("decimals", [0, 1, -1])
    def test_round(self, name, decimals):
        check_function(name, REALS * 1.2345, args=(decimals,))
        check_function(name, INTS * 7, args=(decimals,))
        check(lambda x: x.round(decimals), REALS * 1.2345)

    def test_degrees(self):
        check_function("angle", COMPLEX, options={"deg": True})

    def test_nan_to_num(self):
        check_function("nan_to_num", REALS, options={"nan": 1.0, "posinf": 2.0, "neginf": -2.0})

    @pytest.mark.parametrize("limits", [(0, 2), (None, 2), (0.5, None), (np.array([0, 1, 2, 3]), 5)])
    def test_clip(self, limits):
        check_function("clip", REALS, args=limits)
        check(lambda x: x.clip(*limits), REALS)
        check_function("clip", REALS, options={"min": limits[0], "max": limits[1]})

    def test_clip_refuses(self):
        x = ka.from_array(REALS)
        with pytest.raises(ValueError, match="either a_min and a_max, or min and max"):
            ka.clip(x, 0, 1, min=0)
        with pytest.raises(TypeError, match="'axis'"):
            ka.clip(x, 0, 1, axis=0)

    def test_out(self):
        for call in (ka.fix, ka.isneginf, ka.isposinf, ka.round, lambda x, out: ka.clip(x, 0, 1, out=out)):
            out = ka.from_array(np.zeros(REALS.shape), chunks=1)
            assert call(ka.from_array(REALS, chunks=2), out=out) is out
            assert out.dtype == float and out.shape == REALS.shape
        assert_same(out, np.clip(REALS, 0, 1))

    def test_methods(self):
        check(lambda x: x.real + x.imag + x.conj(), COMPLEX)
        check(lambda x: x.conjugate(), COMPLEX)
        check(lambda x: x.conj(), BOOLS)

    def test_isclose(self):
        check_function("isclose", REALS, REALS + 1e-9)
        check_function("isclose", REALS, REALS + 1e-3, options={"atol": 0.1, "equal_nan": True})
        check_function("isclose", INTS, np.array([0, 1, 2]))

    def test_allclose(self):
        x = ka.from_array(INTS, chunks=(1, 2))
        assert isinstance(ka.allclose(x, x), ArrayBase)
        assert bool(ka.allclose(x, x + 1e-10)) is True
        assert bool(ka.allclose(x, x + 1)) is False
        assert bool(ka.allclose(ka.from_array(REALS, chunks=1), REALS)) is False
        assert bool(ka.allclose(ka.from_array(REALS, chunks=1), REALS, equal_nan=True)) is True

    def test_array_equal(self):
        x = ka.from_array(REALS, chunks=2)
        for equal_nan in (False, True):
            assert bool(ka.array_equal(x, REALS, equal_nan)) is equal_nan is np.array_equal(REALS, REALS, equal_nan)
        assert bool(np.array_equal(x, REALS[:1])) is False
        assert bool(np.array_equal(ka.from_array(INTS, chunks=1), INTS)) is True
        assert bool(np.array_equiv(ka.from_array(INTS, chunks=1), INTS[:1])) is False
        assert bool(np.array_equiv(ka.from_array(np.ones((3, 2)), chunks=1), np.ones(2))) is True
        assert bool(np.array_equiv(x, np.ones(3))) is False

    def test_facts(self):
        x = ka.from_array(COMPLEX, chunks=1)
        with nothing_runs():
            assert np.ndim(x) == 2 and np.size(x) == 4 and np.size(x, 1) == 2 and np.shape(x) == (2, 2)
            assert np.iscomplexobj(x) and not np.isrealobj(x)
            assert isinstance(np.copy(x), ArrayBase)

    def test_isnull(self):
        arrays = [
            REALS,
            INTS,
            COMPLEX,
            np.array([None, 1, np.nan, "a"], object),
            np.array(["NaT", "2020-01-01"], "M8[D]"),
        ]
        for array in arrays:
            expected = np.array([v is None or bool(v != v) for v in array.ravel()]).reshape(array.shape)
            assert_same(ka.isnull(ka.from_array(array, chunks=1)), expected)
            assert_same(ka.notnull(ka.from_array(array, chunks=1)), ~expected)


class TestChoices:
    def test_where(self):
        check_function("where", BOOLS, INTS, INTS * 10)
        check_function("where", BOOLS, INTS, args=(1.5,))
        check_function("where", BOOLS, args=(1, np.float32(2)))
        check_function("where", INTS, INTS.astype("f4"), args=(1.0,))
        check_function("where", BOOLS[:, :1], INTS, np.arange(3))
        with pytest.raises(ValueError, match="both x and y"):
            ka.where(ka.from_array(BOOLS), 1)

    def test_select(self):
        check(lambda x: np.select([x < 0, x > 3], [x, x * 10], 7), INTS)
        check(lambda x: np.select([x < 0, x > 3], [-1, x * 1.5]), INTS)
        check(lambda x, y: np.select([x < 0], [x], y), INTS, INTS * 10)
        check(
            lambda x: np.select(
                [x > 0, x[..., :1] > 1] if isinstance(x, np.ndarray) else [x > 0, INTS[:, :1] > 1], [x, 0.5]
            ),
            INTS,
        )
        x = ka.from_array(INTS)
        with pytest.raises(ValueError, match="1 conditions, choicelist 2 choices"):
            ka.select([x > 1], [x, x])
        with pytest.raises(TypeError, match="array of bool, got int64"):
            ka.select([x], [x])

    def test_choose(self):
        places = np.array([[0, 1, 1], [1, 0, 0]])
        check(lambda p, x: np.choose(p, [x, 7]), places, INTS)
        check(lambda p, x: p.choose([x, x * 2]), places, INTS)
        check(lambda p: np.choose(p, [[1, 2, 3], [4.5, 5, 6]]), places)
        check(lambda p: np.choose(p, [1, 2], mode="wrap"), places + 5)
        with pytest.raises(ValueError, match="mode must be"):
            ka.choose(ka.from_array(places), [1, 2], mode="other")
        with pytest.raises(ValueError, match="invalid entry in choice array"):
            ka.choose(ka.from_array(places), [1]).compute()

    def test_piecewise(self):
        check(lambda x: np.piecewise(x, [x < 0, x > 2], [-1, 1]), INTS)
        check(lambda x: np.piecewise(x, [x < 0, x > 2], [lambda v: -v, lambda v: v * 2, 9]), INTS)
        check(lambda x: np.piecewise(x, [x < 0], [lambda v, k, f: v * k + f], 3, f=1), REALS)
        with pytest.raises(ValueError, match="3 functions for 1 conditions"):
            ka.piecewise(ka.from_array(INTS), [ka.from_array(INTS > 0)], [1, 2, 3])

    @pytest.mark.parametrize("invert", [False, True])
    def test_isin(self, invert):
        check_function("isin", INTS, args=([1, 5, 9],), options={"invert": invert})
        check_function("isin", INTS, np.array([[1, 5], [9, -3]]), options={"invert": invert})
        check_function("isin", INTS, np.array([], int), options={"invert": invert})
        check_function("isin", NONE, np.array([1.0]), options={"invert": invert})
        check_function("isin", np.array(3), np.array([1, 3]), options={"invert": invert})
        check_function("isin", np.arange(4).astype("M8[s]"), args=([1, 2],), options={"invert": invert})


class TestTypes:
    @pytest.mark.parametrize("dtype", ["f4", "i1", "?", "c16", "U", "S8", "M8[s]", object])
    def test_astype(self, dtype):
        check(lambda x: x.astype(dtype), INTS)
        if np.dtype(dtype).kind not in "OSU":
            # NumPy's scalars of these kinds are shorter than their array's type, or no arrays.
            check(lambda x: x.astype(dtype), np.array(3))

    def test_casting(self):
        check(lambda x: x.astype("f8", casting="safe"), INTS.astype("i2"))
        with pytest.raises(TypeError, match="from float64 to int64 with casting 'safe'"):
            ka.from_array(REALS).astype(int, casting="safe")
        with pytest.raises(TypeError, match="length of the text of objects"):
            ka.from_array(np.array(["a", 1], object)).astype(str)

    def test_the_same_type(self):
        x = ka.from_array(INTS)
        y = x.astype(x.dtype)
        assert y is not x and y.expr is x.expr

    @pytest.mark.parametrize("dtype", ["u8", "i4", "u1", "f8", "S8"])
    def test_view(self, dtype):
        check(lambda x: x.view(dtype), INTS)

    def test_view_of_kinds_of_arrays(self):
        masked = np.ma.masked_equal(INTS, INTS.flat[0])
        for array in (INTS, masked):
            for kind in (np.ndarray, np.ma.MaskedArray):
                check(lambda x, kind=kind: x.view(kind), array)
        with pytest.raises(TypeError, match="not as matrix"):
            ka.from_array(INTS).view(np.matrix)

    def test_view_of_larger_types(self):
        check(lambda x: x.view("i4"), np.arange(24, dtype="i2").reshape(3, 8))
        check(lambda x: x.view("i8"), np.arange(24, dtype="i2").reshape(3, 8))
        found = ka.from_array(np.asfortranarray(INTS), chunks=1).view("i4", order="F")
        assert_same(found, np.asfortranarray(INTS).T.view("i4").T)
        with pytest.raises(ValueError, match="sizes do not fit"):
            ka.from_array(np.zeros(3, "i2")).view("i8")
        with pytest.raises(ValueError, match="order must be"):
            ka.from_array(INTS).view("i4", order="A")
        with pytest.raises(ValueError, match="without axes"):
            ka.from_array(np.array(1)).view("i4")

    def test_result_type(self):
        x = ka.from_array(INTS.astype("f4"))
        assert ka.result_type(x, 1.5) == np.result_type(x, 2) == np.float32
        assert ka.result_type(x, np.float64(1)) == np.float64
        assert ka.can_cast(x, "f8") and not np.can_cast(x, "f2")


def test_a_number_is_repeated_as_a_row() -> None:
    for axis in (None, 0, -1):
        check_function("repeat", np.array(3), args=(2,), options={"axis": axis})
    for xp in (np, ka):
        with pytest.raises(np.exceptions.AxisError, match="axis 1 is out of bounds"):
            xp.repeat(xp.asarray(3), 2, axis=1)
