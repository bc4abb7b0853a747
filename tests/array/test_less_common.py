"""What programs written for NumPy or Dask do now and then: conversions, methods that change arrays, sets, and what errors say."""

from __future__ import annotations

import math
import pickle
from typing import Any

import numpy as np
import pytest
from against_numpy import assert_same, check, check_function, chunkings, nothing_runs

import kask.array as ka

TABLE = np.arange(12.0).reshape(3, 4)
NAN = float("nan")


@pytest.fixture
def x() -> Any:
    return ka.from_array(TABLE, chunks=(2, 3))


class TestConversions:
    def test_numbers_are_printed_as_numbers(self, x: Any) -> None:
        assert f"{x.mean():.2f} {x[1, 2]:>6}" == f"{TABLE.mean():.2f} {TABLE[1, 2]:>6}"
        assert f"{x.mean()}" == str(x.mean())
        with pytest.raises(TypeError, match="unsupported format string"):
            f"{x:.2f}"

    def test_items_and_lists(self, x: Any) -> None:
        for index in ((5,), (-1,), ((2, 3),), (2, -1)):
            found = x.item(*index)
            assert type(found) is float and found == TABLE.item(*index)
        assert x[0, 0].item() == 0.0 and x[x > 10].item() == 11.0
        assert x.tolist() == TABLE.tolist() and x.sum().tolist() == TABLE.sum()
        assert x[x > 5].tolist() == TABLE[TABLE > 5].tolist()
        for index, kind in (((), ValueError), ((1, 2, 3), ValueError), ((12,), IndexError), ((1.5,), TypeError)):
            with pytest.raises(kind):
                x.item(*index)

    def test_bytes_and_files(self, x: Any, tmp_path: Any) -> None:
        for order in ("C", "F"):
            assert x.tobytes(order) == TABLE.tobytes(order)
        assert x[x > 5].tobytes() == TABLE[TABLE > 5].tobytes()
        x.tofile(tmp_path / "x")
        np.testing.assert_array_equal(np.fromfile(tmp_path / "x"), TABLE.ravel())
        x.tofile(tmp_path / "x", sep=" ", format="%.1f")
        assert (tmp_path / "x").read_text().split()[:2] == ["0.0", "1.0"]

    def test_where_blocks_are(self) -> None:
        for chunks in (((2, 2), (3, 3, 3)), ((0, 2),), (), ((1,), (), (2,))):
            found = ka.core.slices_from_chunks(chunks)
            assert len(found) == math.prod(map(len, chunks))
            places = np.arange(math.prod(map(sum, chunks))).reshape(tuple(map(sum, chunks)))
            if places.size:
                blocks = ka.from_array(places, chunks=chunks).to_delayed().ravel()
                for place, block in zip(found, blocks, strict=True):
                    assert_same(places[place], block.compute())

    def test_methods_survive_pickling(self, x: Any) -> None:
        assert pickle.loads(pickle.dumps(ka.Array.sum)) is ka.Array.sum
        assert pickle.loads(pickle.dumps(x.sum))().compute() == TABLE.sum()


FLAT: list[tuple[Any, Any]] = [
    (3, 9.0),
    (-1, 2.0),
    (slice(2, 9, 3), [1, 2, 3]),
    ([1, 5], [7, 8]),
    (slice(None, None, -1), np.arange(12)),
    (TABLE.ravel() > 5, 0.0),
]


class TestChangesInPlace:
    @pytest.mark.parametrize("index, value", FLAT)
    def test_in_a_row(self, index: Any, value: Any) -> None:
        expected = TABLE.copy()
        expected.flat[index] = value
        for cuts in chunkings(TABLE.shape):
            found = ka.from_array(TABLE, chunks=cuts)
            before = found + 1
            with nothing_runs():
                part = found.flat[index]
                found.flat[index] = value
            assert_same(part, TABLE.flat[index])
            assert_same(found, expected)
            assert_same(before, TABLE + 1)

    def test_all_in_a_row(self, x: Any) -> None:
        assert len(x.flat) == 12 and [float(one) for one in x.flat] == TABLE.ravel().tolist()
        np.testing.assert_array_equal(np.asarray(x.flat), TABLE.ravel())
        x.flat = np.arange(12)[::-1]
        assert_same(x, TABLE[::-1, ::-1])
        x.flat = 3
        assert_same(x, np.full((3, 4), 3.0))
        with pytest.raises(ValueError, match=r"shape \(2,\)"):
            x.flat = [1, 2]
        number = ka.asarray(3.0)
        number.flat[0] = 5
        assert_same(number, np.array(5.0))

    @pytest.mark.parametrize("index", [0, [0, 5], 5, slice(2, None)])
    def test_of_unknown_size(self, x: Any, index: Any) -> None:
        expected = TABLE[TABLE > 3]
        expected[index] = 50
        by_row, by_index = x[x > 3], x[x > 3]
        by_row.flat[index] = 50
        by_index[index] = 50
        for found in (by_row, by_index):
            # Methods work after an assignment that had to know the size, too.
            assert_same(found + 1, expected + 1)
            assert_same(found.reshape((-1, 2)).sum(axis=0), expected.reshape((-1, 2)).sum(axis=0))

    @pytest.mark.parametrize(
        "change",
        [
            lambda a: a.sort(),
            lambda a: a.sort(axis=0),
            lambda a: a.partition(1, axis=0),
            lambda a: a.fill(3),
            lambda a: a.put([1, 0], -2.0),
        ],
    )
    def test_by_methods(self, change: Any) -> None:
        array = np.random.default_rng(0).permutation(TABLE.ravel()).reshape(3, 4)
        expected = array.copy()
        change(expected)
        for chunks in chunkings(array.shape):
            x = ka.from_array(array, chunks=chunks)
            before = x + 0
            with nothing_runs():
                assert change(x) is None
            if "partition" in change.__code__.co_names:
                assert_same(x[1], expected[1])
            else:
                assert_same(x, expected)
            assert_same(before, array)

    def test_of_arrays_of_unknown_size(self, x: Any) -> None:
        for change in (lambda a: a.fill(2.0), lambda a: a.put([0], 99.0), lambda a: a.sort(), lambda a: a.partition(0)):
            some, expected = x[x > 3][::-1], TABLE[TABLE > 3][::-1].copy()
            before = some + 0
            change(some)
            change(expected)
            assert_same(some[:1], expected[:1])
            assert_same(before, TABLE[TABLE > 3][::-1])


def test_parts_and_named_results() -> None:
    check_function("unstack", TABLE)
    check_function("unstack", TABLE, options={"axis": -1})
    for name in ("unique_all", "unique_counts", "unique_inverse", "unique_values"):
        expected = getattr(np, name)(TABLE % 5)
        found = getattr(ka, name)(ka.from_array(TABLE % 5, chunks=2))
        if name == "unique_values":
            expected, found = (np.sort(expected),), (found,)
        for ours, theirs in zip(found, expected):
            assert_same(ours, theirs)


class TestAsInDask:
    def test_gufunc_is_a_class(self, x: Any) -> None:
        total = ka.gufunc(lambda a: a.sum(axis=-1), signature="(i)->()", output_dtypes=float, allow_rechunk=True)
        assert_same(total(x), TABLE.sum(axis=1))
        assert ka.gufunc.gufunc is ka.gufunc
        assert ka.gufunc.apply_gufunc is ka.apply_gufunc and ka.gufunc.as_gufunc is ka.as_gufunc

    @pytest.mark.parametrize("compute", [True, False])
    def test_one_array_that_is_stored_is_given_back_as_one(self, x: Any, compute: bool) -> None:
        target = np.zeros(TABLE.shape)
        assert_same(ka.store(x, target, return_stored=True, compute=compute), TABLE)
        assert_same(target, TABLE)
        (again,) = ka.store([x], [target], return_stored=True, compute=compute)
        assert_same(again, TABLE)


class TestErrors:
    def test_they_name_the_function(self, x: Any) -> None:
        with pytest.raises(TypeError, match=r"^Array.astype\(\) got an unexpected keyword argument 'foo'"):
            x.astype("f4", foo=1)
        with pytest.raises(TypeError, match=r"^normal\(\) got an unexpected keyword argument 'sigma'"):
            ka.random.default_rng(0).normal(sigma=3)

    def test_an_axis_is_an_integer(self, x: Any) -> None:
        for call in (lambda: x.mean(axis=1.0), lambda: ka.sum(x, axis=0.0)):
            with pytest.raises(TypeError, match=r"axis=[01]\.0, but an axis is an integer"):
                call()

    @pytest.mark.parametrize("name", ["inv", "det", "eigvals", "cholesky", "solve", "matrix_power", "lu"])
    def test_matrices_that_are_not_square(self, name: str, x: Any) -> None:
        more = {"solve": (TABLE,), "matrix_power": (2,)}.get(name, ())
        for array in (x, x[None]) if name not in ("cholesky", "lu") else (x,):
            with pytest.raises(ka.linalg.LinAlgError, match="square"):
                getattr(ka.linalg, name)(array, *more)
        assert ka.linalg.LinAlgError is np.linalg.LinAlgError

    def test_a_group_of_zarr_arrays_tells_which_there_are(self, tmp_path: Any) -> None:
        pytest.importorskip("zarr")
        x = ka.ones(4, chunks=2)
        x.to_zarr(tmp_path / "g.zarr", component="deep/one")
        x.to_zarr(tmp_path / "g.zarr", component="two")
        with pytest.raises(ValueError, match=r"is a Zarr group.*arrays: deep/one, two"):
            ka.from_zarr(tmp_path / "g.zarr")


def test_chains_of_methods_of_both() -> None:
    check(lambda a: np.sort(a, axis=0)[::-1].clip(2, 9).cumsum(axis=1), TABLE)


KEYS = [
    np.s_[0:3],
    np.s_[0:3:4j],
    np.s_[1:7:2],
    np.s_[0:2, 0:3],
    np.s_[0:2, 0:3:4j],
    np.s_[-1.4:1.4:5j, -2:0.8:3j],
    np.s_[0:2.5:0.5, 1:3],
    np.s_[0:1, 0:2, 0:3],
    np.s_[0:1:1j],
    np.s_[:3, :2],
]


class TestWrittenWithBrackets:
    @pytest.mark.parametrize("key", KEYS, ids=repr)
    @pytest.mark.parametrize("name", ["mgrid", "ogrid"])
    def test_grids(self, name: str, key: Any) -> None:
        with nothing_runs():
            found = getattr(ka, name)[key]
        assert_same(found, getattr(np, name)[key])

    @pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
    @pytest.mark.parametrize(
        "join",
        [
            lambda home, a, b: home.r_[1:4, a, 7],
            lambda home, a, b: home.r_[a, 1.5],
            lambda home, a, b: home.r_[b, b],
            lambda home, a, b: home.r_[0:1:3j, a],
            lambda home, a, b: home.r_[[1, 2], 3, a],
            lambda home, a, b: home.r_[True, np.float32(3)],
            lambda home, a, b: home.c_[a],
            lambda home, a, b: home.c_[a, a],
            lambda home, a, b: home.c_[b, a],
            lambda home, a, b: home.c_[1:5, a],
            lambda home, a, b: home.r_["0", a, 1:3],
            lambda home, a, b: home.r_["0,2", a, b[:, 0]],
            lambda home, a, b: home.r_["0,2", b.T, a],
            lambda home, a, b: home.r_["0,2,0", a, a, 0:2],
            lambda home, a, b: home.r_["1,2,0", b, a],
            lambda home, a, b: home.r_["1,2,0", 0:4, b],
            lambda home, a, b: home.r_["-1,3,0", a, 1:5, b[:, :1]],
            lambda home, a, b: home.r_["1,3,1", a, 0:3],
            lambda home, a, b: home.r_["1,3,-2", a, 0:3],
            lambda home, a, b: home.r_["2,3", b, b],
            lambda home, a, b: home.c_["0,2", a, a],
            lambda home, a, b: home.c_["0,3", a, b[:, :1]],
            lambda home, a, b: home.r_["r", a, 5],
            lambda home, a, b: home.r_["c", a, 5],
            lambda home, a, b: home.r_["c", b, b],
            lambda home, a, b: home.c_["r", b, a],
        ],
    )
    def test_joined(self, join: Any) -> None:
        one, two = np.arange(4.0, dtype="f4"), np.arange(8).reshape(4, 2)
        for chunks in (1, 3, 4):
            with nothing_runs():
                found = join(ka, ka.from_array(one, chunks=chunks), ka.from_array(two, chunks=chunks))
            assert_same(found, join(np, one, two))

    def test_wrong_arguments(self, x: Any) -> None:
        with pytest.raises(NotImplementedError, match="would make a matrix of a text"):
            ka.r_["1 2; 3 4"]
        for text in ("q", "0,2,1,5", "0,x", ""):
            with pytest.raises(ValueError, match="says nothing: 'r', 'c', or up to three whole numbers are expected"):
                ka.r_[text, x]
        with pytest.raises(ValueError, match="before the arrays only, but '0' comes later"):
            ka.r_[x, "0"]
        with pytest.raises(ValueError, match="needs one array at least"):
            ka.r_[("0",)]
        with pytest.raises(ValueError, match="cannot be at place 2 of 2 axes"):
            ka.r_["0,2,2", x[0]]
        with pytest.raises(ValueError, match="a matrix has two axes, but the arrays have 3"):
            ka.r_["r", x[None]]
        for call in (lambda: ka.mgrid[1:], lambda: ka.r_[1:]):
            with pytest.raises(ValueError, match="needs an end"):
                call()


def test_diagonals_and_polynomials(x: Any) -> None:
    array = TABLE[:, :3].copy()
    square = ka.from_array(array, chunks=2)
    square[ka.diag_indices_from(square)] = -1
    array[np.diag_indices(3)] = -1
    assert_same(square, array)
    assert_same(square[ka.diag_indices(3)], np.full(3, -1.0))
    with pytest.raises(ValueError, match=r"of one length, but the shape is \(3, 4\)"):
        ka.diag_indices_from(x)
    for coefficients in ([1, 2, 3], [2.5], np.array([1 + 2j, 3])):
        check(lambda a, c=coefficients: (np if isinstance(a, np.ndarray) else ka).polyval(c, a), TABLE)
    check_function("polyval", np.array([1.0, 2.0]), TABLE)


def test_ranges_of_dates_given_as_text() -> None:
    for arguments in (("2024-01", "2024-03"), (np.datetime64("2024-01-01"), "2024-01-09", 2), (0, 5)):
        with nothing_runs():
            found = ka.arange(*arguments, dtype="M8[D]", chunks=3)
        assert_same(found, np.arange(*arguments, dtype="M8[D]"))


def test_names_that_have_nothing_to_do_with_chunks() -> None:
    for name in ("errstate", "issubdtype", "floating", "s_", "ndindex", "printoptions"):
        assert getattr(ka, name) is getattr(np, name)


@pytest.mark.parametrize(
    "call", ["integers(5, 1)", "integers(5, 1, 3)", "integers(300, dtype='i1')", "normal(0, -1)", "poisson(-1, 4)"]
)
def test_parameters_that_are_none_are_told_at_once(call: str) -> None:
    with pytest.raises(ValueError) as expected:
        eval(f"generator.{call}", {"generator": np.random.default_rng(0)})
    with pytest.raises(ValueError) as found, nothing_runs():
        eval(f"generator.{call}", {"generator": ka.random.default_rng(0)})
    assert str(found.value) == str(expected.value)
    assert ka.random.default_rng(0).integers(5, 1, size=0).compute().shape == (0,)
