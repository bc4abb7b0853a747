"""Arrays made of nothing, of indices, of what is there, and with something around them, against NumPy."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from against_numpy import assert_same, check, check_function, nothing_runs

import kask.array as ka

MATRIX = np.arange(42).reshape(6, 7)


def made(name: str, *args: Any, chunks: Any = 3, **kwargs: Any) -> None:
    """``ka.<name>`` with several chunks makes what ``np.<name>`` makes."""
    expected = getattr(np, name)(*args, **kwargs)
    for cut in (chunks, -1, 1):
        with nothing_runs():
            found = getattr(ka, name)(*args, chunks=cut, **kwargs)
        assert_same(found, expected)


@pytest.mark.parametrize("name", ["ones", "zeros"])
@pytest.mark.parametrize("dtype", [None, bool, "i1", "f4", complex, "M8[s]", object, "U3", "i4,f8"])
def test_one_value(name: str, dtype: Any) -> None:
    if name == "ones" and dtype == "M8[s]":
        pytest.skip("NumPy has no datetime that is one")
    # Without axes an object or a string is itself, which does not tell the array's type.
    for shape in [(4, 5), 7, (0, 3), *([()] if dtype not in (object, "U3") else [])]:
        made(name, shape, dtype=dtype)


@pytest.mark.parametrize("value", [3, 2.5, True, np.float32(1), "ab", np.datetime64("2020-01-01"), [1, 2, 3]])
def test_full(value: Any) -> None:
    made("full", (2, 3), value, chunks=2)
    assert ka.full((2, 2), ka.from_array(np.array(7)), chunks=1).compute().tolist() == [[7, 7], [7, 7]]


def test_full_of_a_type() -> None:
    made("full", (2, 3), 3.7, dtype=int, chunks=2)
    with pytest.raises(ValueError, match=r"\(3,\).*\(2, 2\)"):
        ka.full((2, 2), [1, 2, 3])


@pytest.mark.parametrize("name", ["ones_like", "zeros_like"])
def test_like(name: str) -> None:
    check_function(name, MATRIX)
    check_function(name, MATRIX, options={"dtype": "f4"})
    check_function(name, MATRIX, options={"shape": (3, 2)})
    x = ka.from_array(MATRIX, chunks=(4, 2))
    assert getattr(ka, name)(x).chunks == x.chunks
    assert getattr(ka, name)(x, chunks=2).chunks == ((2, 2, 2), (2, 2, 2, 1))
    assert ka.full_like(x, 9).compute().tolist() == np.full_like(MATRIX, 9).tolist()
    assert ka.empty_like(x, dtype=float).dtype == float
    assert ka.empty((3, 2), dtype="i2", chunks=2).compute().shape == (3, 2)


def test_wrong_creation() -> None:
    with pytest.raises(ValueError, match="order='X'"):
        ka.ones(3, order="X")
    with pytest.raises(ValueError, match="fewer than 0"):
        ka.ones(-3)
    with pytest.raises(TypeError, match="whole numbers"):
        ka.ones(2.5)
    with pytest.raises(TypeError):
        ka.ones(3, unknown=1)


RANGES = [
    (10,),
    (2, 10),
    (2, 10, 3),
    (10, 2, -3),
    (0,),
    (5, 2),
    (0.0, 1.0, 0.1),
    (1.5, 7),
    (0, 5.0),
    (-3, 3, 0.7),
    (np.float32(1), np.float32(4), np.float32(0.3)),
    (np.int8(3), np.int8(9)),
    (np.uint8(9),),
    (0, 1j * 0 + 5, 1),
    (np.datetime64("2020-01-01"), np.datetime64("2020-02-01"), np.timedelta64(7, "D")),
    (np.datetime64("2020-01-01"), np.datetime64("2020-01-11")),
    (np.timedelta64(0, "s"), np.timedelta64(20, "s"), np.timedelta64(3, "s")),
]


@pytest.mark.parametrize("args", RANGES)
def test_arange(args: tuple[Any, ...]) -> None:
    made("arange", *args)


@pytest.mark.parametrize("dtype", ["i2", "f2", "f4", "f8", complex, "u1"])
def test_arange_of_a_type(dtype: str) -> None:
    made("arange", 7, dtype=dtype)
    made("arange", 0.5, 9, dtype=dtype)
    made("arange", 1, 100, 0.37 if np.dtype(dtype).kind not in "iu" else 3, dtype=dtype)


def test_arange_names() -> None:
    assert ka.arange(stop=4).compute().tolist() == [0, 1, 2, 3]
    assert ka.arange(1, stop=4).compute().tolist() == [1, 2, 3]
    with pytest.raises(ZeroDivisionError):
        ka.arange(1, 2, 0)
    with pytest.raises(TypeError, match="stop"):
        ka.arange()


@pytest.mark.parametrize("endpoint", [True, False])
@pytest.mark.parametrize("args", [(0, 1), (3, -4), (2, 2), (0, 1j), (0.1, 0.9), (np.float32(1), np.float32(5))])
@pytest.mark.parametrize("num", [0, 1, 2, 7, 50])
def test_linspace(args: tuple[Any, ...], num: int, endpoint: bool) -> None:
    made("linspace", *args, num, endpoint=endpoint)
    if args[1] != 1j:
        made("linspace", *args, num, endpoint=endpoint, dtype=int)


def test_linspace_step() -> None:
    for num in (1, 5):
        found, step = ka.linspace(1, 4, num, retstep=True)
        expected, wanted = np.linspace(1, 4, num, retstep=True)
        assert_same(found, expected)
        np.testing.assert_equal(step, wanted)
    with pytest.raises(ValueError, match="num=-1"):
        ka.linspace(0, 1, -1)


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("num", [0, 1, 2, 5])
def test_spaced_between_arrays(num: int, axis: int, lazy: bool) -> None:
    start, stop = np.array([[1.5, 2.0, 0.5], [4.0, 2.0, 8.0]]), np.array([3.0, 2.0, 7.25])
    for endpoint, dtype in itertools.product([True, False], [None, "i4", "f4"]):
        options: dict[str, Any] = {"num": num, "axis": axis, "endpoint": endpoint, "dtype": dtype}
        for name in ("linspace", "logspace", "geomspace"):
            ours = ka.from_array(start, chunks=(1, 2)) if lazy else start
            expected = getattr(np, name)(start, stop, **options)
            assert_same(getattr(ka, name)(ours, stop, **options), expected, rtol=1e-13)
    found, step = ka.linspace(start, stop, 4, retstep=True, chunks=2)
    expected, wanted = np.linspace(start, stop, 4, retstep=True)
    assert found.chunks == ((2, 2), (2,), (2, 1))
    assert_same(found, expected)
    np.testing.assert_array_equal(step, wanted)
    bases = np.array([2.0, 3.0, 10.0])
    assert_same(ka.logspace(0, 2, 4, base=bases, axis=axis), np.logspace(0, 2, 4, base=bases, axis=axis), rtol=1e-14)
    assert_same(ka.linspace(start.astype("f4"), 1, 4), np.linspace(start.astype("f4"), 1, 4))
    with pytest.raises(ValueError, match="0"):
        ka.geomspace(start, stop - 2)


def test_logspace_and_geomspace() -> None:
    made("logspace", 0, 3, 7)
    made("logspace", 0, 3, 7, endpoint=False, base=2, dtype="f4")
    for args in [(1, 1000, 4), (1000, 1, 5), (-1, -8, 4), (1, 2, 1), (1j, 1000j, 4)]:
        expected = np.geomspace(*args)
        assert_same(ka.geomspace(*args, chunks=2), expected, rtol=1e-14)
    with pytest.raises(ValueError, match="0"):
        ka.geomspace(0, 1)


@pytest.mark.parametrize("name", ["hanning", "hamming", "blackman", "bartlett"])
@pytest.mark.parametrize("length", [0, 1, 2, 9])
def test_windows(name: str, length: int) -> None:
    made(name, length)
    made("kaiser", length, 8.6)


@pytest.mark.parametrize("k", [0, 1, -2, 9, -9])
def test_eye_and_triangles(k: int) -> None:
    assert_same(ka.eye(5, 2, 7, k), np.eye(5, 7, k))
    assert_same(ka.eye(4, k=k, dtype=int, chunks=3), np.eye(4, k=k, dtype=int))
    made("tri", 5, 7, k)
    check_function("tril", MATRIX, args=(k,))
    check_function("triu", MATRIX, args=(k,))
    check_function("tril", np.ones((2, 3, 4)), args=(k,))
    check_function("triu", np.arange(4), args=(k,))
    for name in ("tril_indices", "triu_indices"):
        made(name, 5, k)
        made(name, 5, k, 3)
        made(name, 3, k, 6)
    check_function("tril_indices_from", MATRIX, args=(k,))
    check_function("triu_indices_from", MATRIX, args=(k,))
    made("identity", 4)


@pytest.mark.parametrize("k", [0, 1, -2, 6, -7])
def test_diagonals(k: int) -> None:
    check_function("diagonal", MATRIX, args=(k,))
    check_function("diag", MATRIX, args=(k,))
    check_function("diag", np.arange(5), args=(k,))
    check_function("diag", np.arange(0), args=(k,))
    check_function("diagflat", np.arange(4).reshape(2, 2), args=(k,))
    cube = np.arange(4 * 5 * 6).reshape(4, 5, 6)
    for axes in [(0, 1), (1, 0), (2, 0), (-1, 1)]:
        check_function("diagonal", cube, args=(k, *axes))
        check_function("trace", cube, args=(k, *axes))
    check_function("trace", MATRIX.astype("i1"), args=(k,))
    check_function("trace", MATRIX.astype("f4"), args=(k,), options={"dtype": float})
    for kind in (object, "m8[s]", bool):
        check_function("trace", MATRIX.astype("i8").astype(kind), args=(k,))
    check(lambda x: x.diagonal(k), MATRIX)
    check(lambda x: x.trace(k, 1, 0), cube)
    with pytest.raises(ValueError, match="two axes"):
        ka.diagonal(ka.ones(3))


def test_coordinates() -> None:
    a, b, c = np.arange(3), np.linspace(0, 1, 4), np.arange(2)
    for options in [{}, {"indexing": "ij"}, {"sparse": True}, {"sparse": True, "indexing": "ij"}]:
        check_function("meshgrid", a, b, options=options)
        check_function("meshgrid", a, b, c, options=options)
        check_function("meshgrid", a, options=options)
    made("indices", (3, 4))
    made("indices", (5,), dtype="f4")
    made("indices", (2, 3), sparse=True)
    made("fromfunction", lambda i, j: i * 10 + j, shape=(4, 5))
    made("fromfunction", lambda i, j: i > j, shape=(4, 5), dtype=int)
    check_function("vander", np.arange(1, 6))
    check_function("vander", np.linspace(0, 1, 5), args=(3, True))


def test_coordinates_can_be_sliced_where_they_are_made() -> None:
    from kask.array.base import wrap
    from kask.array.ops.creation import Indexed
    from kask.array.ops.slicing import sliced
    from kask.expr import rewrite

    x = ka.arange(100, chunks=7)
    taken = sliced(sliced(x.expr, ((90, -3, 20),)), ((2, 2, 5),))
    (better,) = rewrite([taken])
    assert isinstance(better, Indexed)
    assert wrap(taken).compute().tolist() == np.arange(100)[90:30:-3][2:12:2].tolist()


@pytest.mark.parametrize("name", ["asarray", "asanyarray", "array"])
def test_what_is_there(name: str) -> None:
    call = getattr(ka, name)
    x = ka.from_array(MATRIX, chunks=4)
    assert call(x) is x
    assert_same(call(MATRIX), MATRIX)
    assert_same(call([[1, 2], [3, 4]], dtype="f4"), np.array([[1, 2], [3, 4]], "f4"))
    assert_same(call(5), np.array(5))
    assert_same(call([x, x]), np.array([MATRIX, MATRIX]))
    assert_same(call(x, dtype=float), MATRIX.astype(float))
    assert_same(call(["a", "bcd"]), np.array(["a", "bcd"]))
    with pytest.raises(ValueError, match="order"):
        call(MATRIX, order="Q")


def test_array_copies_and_adds_axes() -> None:
    source = np.arange(3)
    kept = ka.array(source, ndmin=3)
    source[0] = 99
    assert kept.compute().tolist() == [[[0, 1, 2]]]


@pytest.mark.parametrize(
    "mode", ["constant", "edge", "linear_ramp", "maximum", "minimum", "mean", "median", "reflect", "symmetric", "wrap"]
)
def test_pad(mode: str) -> None:
    tolerance = {"rtol": 1e-12} if mode == "mean" else {}
    for array in (MATRIX[:4, :5], MATRIX[:4, :5] / 7, MATRIX[0].astype("i1"), MATRIX[:1, :3]):
        for width in [1, (2, 3), 0, (0, 4)]:
            check_function("pad", array, args=(width, mode), **tolerance)
    check_function("pad", MATRIX[:3, :4], args=(((7, 5), (0, 9)), mode), **tolerance)
    check_function("pad", MATRIX[:3, :4], args=({1: (2, 1)}, mode), **tolerance)


def test_pad_options() -> None:
    check_function("pad", MATRIX, args=(2,), options={"constant_values": ((1, 2), (3, 4))})
    check_function("pad", MATRIX, args=(2, "linear_ramp"), options={"end_values": (-5, 50)})
    check_function("pad", MATRIX / 3, args=(2, "linear_ramp"), options={"end_values": 0.5})
    for mode in ("reflect", "symmetric"):
        check_function("pad", MATRIX, args=(3, mode), options={"reflect_type": "odd"})
        check_function("pad", MATRIX[:3, :3], args=(9, mode), options={"reflect_type": "odd"})
    for mode in ("maximum", "minimum", "mean", "median"):
        check_function("pad", MATRIX, args=(2, mode), options={"stat_length": ((2, 3), (1, 4))})
    check_function("pad", np.empty((0, 3)), args=(((1, 1), (0, 0)),))
    found = ka.pad(ka.from_array(MATRIX, chunks=3), 1, "empty")
    np.testing.assert_array_equal(found.compute()[1:-1, 1:-1], MATRIX)


def margin(line: np.ndarray, width: tuple[int, int], axis: int, kwargs: dict[str, Any]) -> None:
    line[: width[0]] = kwargs.get("value", 10) + axis
    if width[1]:
        line[-width[1] :] = -1


def test_pad_by_a_function() -> None:
    check_function("pad", MATRIX, args=(2, margin))
    check_function("pad", MATRIX, args=(((1, 0), (0, 2)), margin), options={"value": 5})


def test_wrong_padding() -> None:
    x = ka.ones((2, 3))
    with pytest.raises(ValueError, match="mode='what'"):
        ka.pad(x, 1, "what")
    with pytest.raises(ValueError, match="no option 'stat_length'"):
        ka.pad(x, 1, "edge", stat_length=2)
    with pytest.raises(ValueError, match="taken away"):
        ka.pad(x, -1)
    with pytest.raises(TypeError, match="whole numbers"):
        ka.pad(x, 1.5)
    with pytest.raises(ValueError, match="no elements to be extended"):
        ka.pad(ka.ones((0, 2)), 1, "edge")


def test_arrays_of_one_value_have_the_name_that_is_given() -> None:
    x = ka.ones(5, chunks=2, name="mine")
    assert x.name == "mine" and x[:2].name != "mine" and x.rechunk(1).name != "mine"
    assert_same(x + 1, np.full(5, 2.0))
    assert (
        ka.zeros(5, name="a").name == "a" and ka.full(5, 3, name="b").name == "b" and ka.empty(5, name="c").name == "c"
    )
    assert ka.zeros_like(x, name="d").name == "d"
    assert ka.ones(5).name == ka.ones(5).name


@pytest.mark.parametrize("make", [lambda: ka.zeros(2**70), lambda: ka.arange(1e30), lambda: ka.eye(2**64)])
def test_arrays_that_are_too_large_are_refused(make: Any) -> None:
    with pytest.raises(ValueError, match=r"is too large: an axis has less than 2\*\*63 elements"):
        make()


def test_elements_are_no_arrays() -> None:
    pairs = ("f4", (2,))
    for make in (lambda: ka.zeros(3, dtype=pairs), lambda: ka.ones(3).astype(pairs), lambda: ka.ones(3).view(pairs)):
        with pytest.raises(TypeError, match="give the array more axes, of the type float32"):
            make()
