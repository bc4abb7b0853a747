"""Ufuncs and operators against NumPy."""

from __future__ import annotations

import copy
import operator
import pickle

import numpy as np
import pytest
from against_numpy import assert_same, check, check_function

import kask
import kask.array as ka
from kask.array.base import ArrayBase

REALS = np.array([[-2.5, -1.0, 0.0, 0.5], [1.0, 2.0, 3.5, np.nan], [np.inf, -np.inf, 1e-3, 7.0]])
INTS = np.array([[-3, 0, 1], [2, 5, 7]])
SMALL = np.array([3, 0, 1, 200, 7], np.uint8)
COMPLEX = np.array([1 + 2j, -3j, 0, 2.5])
BOOLS = np.array([[True, False, True], [False, False, True]])
UFUNCS = sorted(name for name in dir(ka) if isinstance(getattr(ka, name), ka.ufunc) and hasattr(np, name))


def sample(func: np.ufunc, numbers: int) -> list[tuple[np.ndarray, ...]]:
    """Arrays of several types that a ufunc takes."""
    found = []
    for array in (REALS, INTS, SMALL, BOOLS, COMPLEX, REALS.astype("f4")):
        try:
            with np.errstate(all="ignore"):
                func(*[array] * numbers)
        except (TypeError, ValueError):
            continue
        found.append((array,) * numbers)
    return found


class TestEveryUfunc:
    @pytest.mark.parametrize("name", UFUNCS)
    def test_equals_numpy(self, name):
        func = getattr(np, name)
        samples = sample(func, func.nin)
        if name == "ldexp":
            samples = [(REALS, np.array([1, -2, 3, 0]))]
        if name == "isnat":
            samples = [(np.array(["2020-01-01", "NaT"], "M8[D]"),)]
        assert samples
        for arrays in samples:
            check_function(name, *arrays, most=4)

    def test_all_of_numpy_are_there(self):
        products = {"matmul", "vecdot", "matvec", "vecmat"}
        theirs = {name for name in dir(np) if isinstance(getattr(np, name), np.ufunc)}
        assert theirs - products <= set(UFUNCS)

    @pytest.mark.parametrize("name", ["divmod", "modf", "frexp"])
    def test_several_results(self, name):
        arrays = (REALS, np.array([2.0, 3.0, -1.0, 0.5])) if name == "divmod" else (REALS,)
        check_function(name, *arrays)

    def test_one_of_several_results_goes_on(self):
        check(
            lambda x: (divmod(x, 2)[0] + divmod(x, 2)[1]).T if isinstance(x, np.ndarray) else ka_sum_of_parts(x), INTS.T
        )

    def test_without_arrays_of_kask_it_is_numpys(self):
        assert type(ka.add(1, 2)) is np.int64
        assert type(ka.add(np.ones(2), 1)) is np.ndarray

    def test_names(self):
        assert repr(ka.add) == "<kask ufunc 'add'>"
        assert (ka.add.nin, ka.add.nout, ka.add.nargs, ka.add.identity) == (2, 1, 3, 0)
        assert "dd->d" in ka.add.types
        assert pickle.loads(pickle.dumps(ka.add)).nin == 2


def ka_sum_of_parts(x):
    from kask.array.base import wrap
    from kask.array.ops.slicing import transposed

    whole, rest = ka.divmod(x, 2)
    return wrap(transposed((whole + rest).expr, (1, 0)))


class TestBroadcasting:
    @pytest.mark.parametrize(
        "shapes",
        [
            ((3, 4), (4,)),
            ((3, 1), (1, 4)),
            ((2, 3, 4), (3, 1)),
            ((), (3,)),
            ((0,), (1,)),
            ((0, 3), (3,)),
            ((), ()),
            ((5,), (1,)),
        ],
    )
    def test_shapes(self, shapes):
        arrays = [np.arange(float(np.prod(shape))).reshape(shape) for shape in shapes]
        check(lambda a, b: a + b * 2, *arrays)

    def test_shapes_that_do_not_fit(self):
        with pytest.raises(ValueError, match=r"\(3,\) and \(4,\)"):
            ka.from_array(np.ones(3)) + ka.from_array(np.ones(4))

    def test_with_what_is_no_array(self):
        x = ka.from_array(np.arange(3), chunks=2)
        assert_same(x + [1, 2, 3], np.arange(3) + [1, 2, 3])
        assert_same([1, 2, 3] - x, [1, 2, 3] - np.arange(3))
        assert_same(np.arange(3.0) - x, np.zeros(3))
        assert_same(np.float32(2) * x, np.float32(2) * np.arange(3))


class TestPromotion:
    @pytest.mark.parametrize("dtype", ["i1", "u1", "i4", "f2", "f4", "c8", "?"])
    @pytest.mark.parametrize("other", [2, 2.5, 1j, True, np.int8(2), np.float64(2.5), np.float32(1), np.int64(3)])
    def test_pythons_numbers_are_weak_and_numpys_are_not(self, dtype, other):
        array = np.array([0, 1, 1]).astype(dtype)
        check(lambda x: x * other, array, most=3)
        check(lambda x: other + x, array, most=3)

    def test_numbers_that_do_not_fit(self):
        x = ka.from_array(SMALL)
        with pytest.raises(OverflowError):
            x + 300
        assert_same(x < 300, SMALL < 300)

    def test_dates(self):
        days = np.array(["2020-01-01", "2020-02-01", "NaT"], "M8[D]")
        check(lambda d: d - d[::-1] if isinstance(d, np.ndarray) else d - days[::-1], days)
        check(lambda d: d + np.timedelta64(1, "D"), days)
        check(lambda d: d > np.datetime64("2020-01-15"), days)

    def test_objects(self):
        array = np.array([1, "a", 2.5, (1,)], object)
        check(lambda x: x * 2, array)
        check(lambda x: x == "a", array)
        x = ka.from_array(np.array(3, object)) + 1
        assert x.dtype == object and x.compute() == 4

    def test_text(self):
        array = np.array(["a", "b", "cd"])
        check(lambda x: x + "x", array)
        check(lambda x: x == "b", array)


BINARY = ["add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "eq", "ne", "lt", "le", "gt", "ge"]


class TestOperators:
    @pytest.mark.parametrize("name", BINARY)
    def test_numbers(self, name):
        func = getattr(operator, name)
        check(func, REALS, REALS[::-1])
        check(lambda x: func(x, 3), REALS)
        check(lambda x: func(3, x), REALS)

    @pytest.mark.parametrize("name", ["and_", "or_", "xor", "lshift", "rshift"])
    def test_bits(self, name):
        func = getattr(operator, name)
        array = np.abs(INTS)
        check(func, array, array % 5)
        check(lambda x: func(x, 3), array)
        check(lambda x: func(3, x), array)

    @pytest.mark.parametrize("name", ["neg", "pos", "abs", "invert"])
    def test_unary(self, name):
        check(getattr(operator, name), INTS)

    @pytest.mark.parametrize("exponent", [2, 2.0, 0.5, -1, -1.0, 0, 1, 3, np.int8(2)])
    @pytest.mark.parametrize("array", [BOOLS, COMPLEX, REALS, SMALL], ids=["bools", "complex", "reals", "small"])
    def test_powers_of_operators(self, array, exponent):
        if array.dtype.kind in "bu" and exponent in (-1, 0.5):
            pytest.skip("NumPy refuses it, or makes float16")
        check(lambda x: x**exponent, array)
        check(lambda x: (x**exponent).T + array.dtype.type(1), array)

    def test_parts_of_lengths_that_are_not_known(self):
        numbers = np.array([7, 0, 5, 3])
        for make in (lambda x: divmod(x, 2), np.modf, np.frexp):
            expected = make(np.nonzero(numbers)[0])
            found = make(ka.nonzero(ka.from_array(numbers, chunks=3))[0])
            for one, other in zip(found, expected, strict=True):
                assert_same(one, other)
        assert_same(ka.divmod(ka.nonzero(ka.from_array(numbers))[0], 2)[1], np.array([0, 0, 1]))

    def test_divmod(self):
        check(lambda x: divmod(x, 3), INTS)
        check(lambda x: divmod(7, x + 10), INTS)
        check(divmod, REALS, REALS[:, ::-1])

    @pytest.mark.parametrize(
        "name", ["iadd", "isub", "imul", "ifloordiv", "imod", "ipow", "iand", "ior", "ixor", "ilshift", "irshift"]
    )
    def test_in_place(self, name):
        func = getattr(operator, name)

        def changed(x):
            x = x.copy()
            y = x
            func(x, 2)
            assert y is x
            return y

        check(changed, np.abs(INTS))

    def test_in_place_keeps_the_type(self):
        x = ka.from_array(np.arange(3), chunks=2)
        with pytest.raises(TypeError, match="float64 cannot be put into an array of type int64"):
            x += 1.5
        with pytest.raises(ValueError, match=r"\(3,\)"):
            x += np.ones((2, 3), int)
        f = ka.from_array(np.ones(3, "f4"))
        f *= np.float64(2)
        assert f.dtype == np.float32

    def test_a_copy_is_not_changed(self):
        x = ka.from_array(np.arange(3), chunks=2)
        copies = x.copy(), copy.copy(x), copy.deepcopy(x)
        x += 1
        assert_same(x, np.arange(3) + 1)
        for one in copies:
            assert_same(one, np.arange(3))

    def test_others_may_do_it_themselves(self):
        class Frame:
            __array_ufunc__ = None

            def __radd__(self, other):
                return "mine"

        assert ka.from_array(np.ones(2)) + Frame() == "mine"
        with pytest.raises(TypeError):
            ka.from_array(np.ones(2)) - Frame()

    def test_comparing_what_has_no_common_type(self):
        records = np.array([(1, 2.0), (3, 4.0), (5, 6.0)], [("a", "i4"), ("b", "f8")])
        check(lambda x: x == records[:1], records)
        check(lambda x, y: x != y, records, records[::-1].copy())
        check(lambda x: x == "a", INTS)
        check(lambda x: x != "a", INTS)
        check(lambda x: x == None, INTS)  # noqa: E711
        with pytest.raises(TypeError):
            ka.from_array(INTS) < "a"  # noqa: B015

    def test_delayed_values(self):
        # It is for them to say what they do with arrays: a call with the whole array.
        x, one = ka.from_array(np.arange(3), chunks=2), kask.delayed(1)
        for found in (x + one, one + x):
            assert type(found).__name__ == "Delayed"
            assert_same(found.compute(), np.arange(1, 4))

    def test_arrays_have_no_hash(self):
        with pytest.raises(TypeError, match="unhashable"):
            hash(ka.from_array(np.ones(2)))


class TestKeywords:
    def test_dtype_and_casting(self):
        check_function("add", INTS, args=(1,), options={"dtype": np.float32})
        with pytest.raises(TypeError):
            ka.add(ka.from_array(REALS), 1, dtype=int, casting="safe")

    def test_where(self):
        x, mask = ka.from_array(INTS, chunks=2), ka.from_array(BOOLS, chunks=1)
        assert_same(ka.add(x, 1, where=mask), np.where(BOOLS, INTS + 1, 0))
        assert_same(ka.add(x, 1, where=BOOLS[0]), np.where(BOOLS[0], INTS + 1, 0))

    def test_where_and_out(self):
        x, out = ka.from_array(INTS, chunks=2), ka.from_array(INTS * 100.0, chunks=1)
        expected = np.add(INTS, 1, out=INTS * 100.0, where=BOOLS)
        assert ka.add(x, 1, out=out, where=BOOLS) is out
        assert_same(out, expected)

    def test_out(self):
        x, out = ka.from_array(INTS, chunks=2), ka.from_array(np.zeros((2, 3), "f4"), chunks=1)
        assert np.add(x, 1, out=out) is out
        assert_same(out, np.add(INTS, 1, out=np.zeros((2, 3), "f4")))
        wide = ka.from_array(np.zeros((2, 2, 3)), chunks=1)
        ka.add(x, 1, wide)
        assert_same(wide, np.add(INTS, 1, np.zeros((2, 2, 3))))

    def test_out_of_several(self):
        x = ka.from_array(INTS, chunks=2)
        one, two = ka.from_array(np.zeros((2, 3), int)), ka.from_array(np.zeros((2, 3), int))
        results = ka.divmod(x, 2, out=(one, two))
        assert results[0] is one and results[1] is two
        assert_same(two, INTS % 2)

    def test_out_must_be_ours(self):
        x, into = ka.from_array(INTS, chunks=2), np.zeros((2, 3))
        for call in (
            lambda: np.add(x, 1, out=into),
            lambda: into.__iadd__(x),
            lambda: np.sum(x, axis=None, out=into[0, 0, ...]),
            lambda: x.cumsum(axis=0, out=into),
            lambda: np.median(x, axis=0, out=into[0]),
            lambda: np.matmul(x, x.T, out=into),
        ):
            with pytest.raises(
                TypeError, match=r"must be a Kask array, got ndarray; kask.array.store\(result, out\) comp"
            ):
                call()
        ka.store(x + 1, into)
        assert_same(into, INTS + 1.0)

    def test_wrong_calls(self):
        x = ka.from_array(INTS)
        with pytest.raises(TypeError, match="got an unexpected keyword argument 'axis'"):
            ka.add(x, 1, axis=1)
        with pytest.raises(TypeError, match="2 to 3 positional arguments, 1 were given"):
            ka.add(x)
        with pytest.raises(TypeError, match="must be an array of bool"):
            ka.add(x, 1, where=INTS)


class TestMethodsOfUfuncs:
    @pytest.mark.parametrize(
        "name", ["add", "multiply", "maximum", "minimum", "fmax", "logaddexp", "hypot", "subtract"]
    )
    @pytest.mark.parametrize("options", [{}, {"axis": 1}, {"keepdims": True}, {"initial": 2.0}])
    def test_reduce(self, name, options):
        array = np.abs(REALS[:2, :3])
        check(lambda x: getattr(np, name).reduce(x, **options), array, rtol=1e-12)

    def test_reduce_over_all(self):
        check(lambda x: np.add.reduce(x, axis=None), INTS)
        check(lambda x: np.maximum.reduce(x, axis=(0, 1)), INTS)
        check(lambda x: np.add.reduce(x, axis=0, dtype="f4"), INTS)
        check(lambda x: np.logical_or.reduce(x, axis=None), BOOLS)
        check(lambda x: np.bitwise_xor.reduce(x, axis=0), INTS)
        check(lambda x: np.add.reduce(x), SMALL)
        check(lambda x: np.add.reduce(x), INTS.astype(object))
        check(lambda x: np.add.reduce(x), np.array(3.0))

    def test_reduce_of_nothing(self):
        check(lambda x: np.add.reduce(x, axis=0), np.ones((0, 3)))
        check(lambda x: np.maximum.reduce(x, axis=1), np.ones((0, 3)))
        check(lambda x: np.maximum.reduce(x, axis=0, initial=5.0), np.ones((0, 3)))
        with pytest.raises(ValueError, match="maximum of no elements"):
            np.maximum.reduce(ka.from_array(np.ones((0, 3))), axis=0)

    def test_reduce_where(self):
        mask = BOOLS
        check(lambda x: np.add.reduce(x, axis=0, where=mask), INTS)
        check(lambda x: np.maximum.reduce(x, axis=1, where=mask, initial=-100), INTS)

    def test_reduce_into(self):
        out = ka.from_array(np.zeros(3))
        assert np.add.reduce(ka.from_array(INTS, chunks=1), axis=0, out=out) is out
        assert_same(out, INTS.sum(axis=0).astype(float))

    def test_accumulate(self):
        check(lambda x: np.maximum.accumulate(x, axis=1), INTS)
        check(lambda x: np.subtract.accumulate(x), INTS)
        check(lambda x: np.logical_or.accumulate(x), BOOLS)

    def test_outer(self):
        check(lambda x, y: np.multiply.outer(x, y), INTS, SMALL)
        check(lambda x: np.less.outer(x, [1, 2]), INTS)
        check(lambda x: np.add.outer(x, 5), INTS)

    def test_reduceat(self):
        check(lambda x: np.add.reduceat(x, [0, 2, 1]), SMALL)
        check(lambda x: np.maximum.reduceat(x, [0, 2], axis=1), INTS)
        x = ka.from_array(SMALL, chunks=2)
        assert_same(ka.add.reduceat(x, [1], dtype="f4"), np.add.reduceat(SMALL, [1], dtype="f4"))
        with pytest.raises(IndexError, match="from 0 to 4, got 5 to 5"):
            np.add.reduceat(x, [5])
        with pytest.raises(TypeError, match="must be integers"):
            np.add.reduceat(x, [0.5])

    def test_what_is_not_there(self):
        with pytest.raises(ValueError, match="outer is for functions of two arguments"):
            ka.sin.outer(ka.from_array(SMALL), 1)


class TestFromPyFunc:
    def test_one_result(self):
        for home in (np, ka):
            func = home.frompyfunc(lambda a, b: f"{a}{b}", 2, 1)
            value = func(INTS if home is np else ka.from_array(INTS, chunks=2), 7)
            if home is np:
                expected = value
        assert_same(value, expected)

    def test_several_results(self):
        x = ka.from_array(SMALL, chunks=2)
        results = ka.frompyfunc(divmod, 2, 2)(x, 3)
        assert isinstance(results[0], ArrayBase)
        for ours, theirs in zip(results, np.frompyfunc(divmod, 2, 2)(SMALL, 3)):
            assert_same(ours, theirs)

    def test_reduce_and_pickle(self):
        add = pickle.loads(pickle.dumps(ka.frompyfunc(operator.add, 2, 1)))
        assert_same(add.reduce(ka.from_array(INTS, chunks=1)), np.frompyfunc(operator.add, 2, 1).reduce(INTS))


class TestProtocols:
    def test_functions_of_other_libraries_find_ours(self):
        x = ka.from_array(REALS, chunks=2)
        assert isinstance(np.sin(x), ArrayBase)
        assert isinstance(np.where(x > 0, x, 0), ArrayBase)
        assert isinstance(np.clip(x, 0, 1), ArrayBase)

    def test_what_kask_lacks_is_computed_with_a_warning(self):
        x = ka.from_array(INTS, chunks=2)
        with pytest.warns(FutureWarning, match="Kask has no numpy.busday_count"):
            np.busday_count(ka.from_array(np.array(["2020-01-01"], "M8[D]")), "2020-02-01")
        with pytest.warns(FutureWarning, match=r"numpy\.savez|numpy\.array_repr|numpy\.array2string"):
            assert np.array2string(x) == np.array2string(INTS)

    def test_unknown_types_are_left_to_them(self):
        class Other:
            def __array_function__(self, func, types, args, kwargs):
                return "other"

        assert np.concatenate([ka.from_array(SMALL), Other()]) == "other"

    def test_register_chunk_type(self):
        class Mine(np.lib.mixins.NDArrayOperatorsMixin):
            def __array_ufunc__(self, *args, **kwargs):
                return "mine"

        x = ka.from_array(SMALL)
        assert x + Mine() == "mine"
        ka.register_chunk_type(Mine)
        from kask.array import protocols

        assert not protocols.delegates(Mine())

    def test_namespace(self):
        x = ka.from_array(REALS, chunks=2)
        xp = x.__array_namespace__(api_version="2025.12")
        assert_same(xp.acos(xp.asarray([0.5, 1.0])), np.arccos([0.5, 1.0]))
        assert xp.float32 is np.float32 and xp.pi == np.pi
        assert xp.isdtype(x.dtype, "real floating")
        info = xp.__array_namespace_info__()
        assert info.default_dtypes()["real floating"] == np.float64
        assert set(info.dtypes(kind="bool")) == {"bool"}
        assert info.devices() == ["cpu"] and x.device == "cpu" and x.to_device("cpu") is x
        with pytest.raises(ValueError, match="api_version must be one of"):
            x.__array_namespace__(api_version="1999.1")
        with pytest.raises(AttributeError):
            getattr(xp, "no_such_name")  # noqa: B009

    def test_dlpack(self):
        x = ka.from_array(REALS, chunks=2)
        np.testing.assert_array_equal(np.from_dlpack(x), REALS)
        assert x.__dlpack_device__() == (1, 0)

    def test_series(self):
        pandas = pytest.importorskip("pandas")
        series = pandas.Series([1, 2, 3], index=[5, 6, 7])
        x = ka.from_array(np.arange(3), chunks=2)
        assert_same(ka.where(x > 0, series, 0), np.array([0, 2, 3]))

    def test_gufuncs(self):
        x = ka.from_array(np.arange(12.0).reshape(4, 3), chunks=(2, 2))
        assert_same(np.vecdot(x, x), np.vecdot(np.arange(12.0).reshape(4, 3), np.arange(12.0).reshape(4, 3)))
