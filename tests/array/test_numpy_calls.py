"""NumPy's own functions, called with Kask's arrays: NumPy's names and order of parameters hold, for every function that both have."""

import inspect
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from tests.array.against_numpy import assert_same

import kask.array as ka
from kask.array import numpy_calls
from kask.array.base import ArrayBase
from kask.array.protocols import _function_of_kask

_LIKE = [
    "arange",
    "array",
    "asanyarray",
    "asarray",
    "empty",
    "eye",
    "fromfunction",
    "full",
    "identity",
    "ones",
    "tri",
    "zeros",
]


def _shared() -> Iterator[tuple[str, Any]]:
    for home in (np, np.linalg, np.fft):
        for name in sorted(home.__all__):
            func = getattr(home, name)
            is_dispatched = isinstance(func, type(np.sum)) or (home is np and name in _LIKE)
            if is_dispatched and _function_of_kask(func) is not None:
                yield f"{home.__name__}.{name}", func


FUNCTIONS = dict(_shared())
DISPATCHED = [name for name in FUNCTIONS if name.removeprefix("numpy.") not in _LIKE]
#: What Kask calls otherwise, as Dask does.
RENAMED = {
    "numpy.allclose": {"a": "arr1", "b": "arr2"},
    "numpy.angle": {"z": "x"},
    "numpy.around": {"a": "x"},
    "numpy.array": {"object": "x"},
    "numpy.broadcast_to": {"array": "x"},
    "numpy.concat": {"arrays": "seq"},
    "numpy.concatenate": {"arrays": "seq"},
    "numpy.cumprod": {"a": "x"},
    "numpy.cumsum": {"a": "x"},
    "numpy.digitize": {"x": "a"},
    "numpy.empty_like": {"prototype": "a"},
    "numpy.fromfunction": {"function": "func"},
    "numpy.isclose": {"a": "arr1", "b": "arr2"},
    "numpy.linalg.matmul": {"x1": "a", "x2": "b"},
    "numpy.linalg.tensordot": {"x1": "lhs", "x2": "rhs"},
    "numpy.nancumprod": {"a": "x"},
    "numpy.nancumsum": {"a": "x"},
    "numpy.ravel": {"a": "array_like"},
    "numpy.reshape": {"a": "x"},
    "numpy.roll": {"a": "array"},
    "numpy.shape": {"a": "array"},
    "numpy.stack": {"arrays": "seq"},
    "numpy.tensordot": {"a": "lhs", "b": "rhs"},
}
#: What Kask does not have, and says so.
REFUSED = {
    "numpy.array": {"ndmax"},
    "numpy.einsum_path": {"einsum_call"},
}
#: What says only that something is allowed.
IGNORED = {"overwrite_input", "subok"}

_BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class _Recorder:
    """Has the signature of a function of Kask, and keeps what it is called with."""

    def __init__(self, ours: Callable[..., Any]) -> None:
        self.__signature__ = inspect.signature(ours)
        self.arguments: dict[str, Any] = {}

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.arguments = dict(self.__signature__.bind(*args, **kwargs).arguments)
        return ka.ones(3)


def _sent(name: str, given: dict[str, Any], by_name: bool) -> tuple[dict[str, Any], Any]:
    """What reaches Kask's function where NumPy's is called with ``given``."""
    func = FUNCTIONS[name]
    recorder = _Recorder(_function_of_kask(func))
    parameters = numpy_calls.signature_of(func).parameters
    args = [value for key, value in given.items() if _is_by_place(parameters[key], by_name)]
    kwargs = {key: value for key, value in given.items() if not _is_by_place(parameters[key], by_name)}
    numpy_calls.call(func, recorder, tuple(args), kwargs)
    return recorder.arguments, recorder


def _is_by_place(parameter: inspect.Parameter, by_name: bool) -> bool:
    return parameter.kind in _BY_PLACE and (not by_name or parameter.kind is inspect.Parameter.POSITIONAL_ONLY)


def _sentinels(name: str) -> dict[str, Any]:
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    parameters = numpy_calls.signature_of(FUNCTIONS[name]).parameters
    return {key: object() for key, one in parameters.items() if one.kind not in kinds and key != "like"}


@pytest.mark.parametrize("by_name", [False, True], ids=["by place", "by name"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_parameter_reaches_the_one_of_its_meaning(name, by_name):
    given = {key: value for key, value in _sentinels(name).items() if key not in REFUSED.get(name, ())}
    target = ka.zeros(3)
    given = {key: target if key == "out" else "cpu" if key == "device" else value for key, value in given.items()}
    if by_name is False:
        # Places up to the first that is refused.
        parameters = list(numpy_calls.signature_of(FUNCTIONS[name]).parameters)
        first = min(
            [parameters.index(key) for key in REFUSED.get(name, ()) if key in parameters], default=len(parameters)
        )
        given = {key: value for key, value in given.items() if key in parameters[:first]}
    found, recorder = _sent(name, given, by_name)
    for key, value in given.items():
        here = RENAMED.get(name, {}).get(key, key)
        if here in recorder.__signature__.parameters:
            assert found.pop(here) is value, key
        elif key == "out":
            assert target.compute().tolist() == [1.0, 1.0, 1.0]
        else:
            assert key in IGNORED or key == "device"
    assert not found


def _refused() -> Iterator[tuple[str, str]]:
    for name, parameters in REFUSED.items():
        # Some are not in every version of NumPy.
        for parameter in sorted(parameters & numpy_calls.signature_of(FUNCTIONS[name]).parameters.keys()):
            yield name, parameter


@pytest.mark.parametrize(("name", "parameter"), list(_refused()))
def test_what_kask_lacks_is_refused_and_its_default_is_not(name, parameter):
    needed = {
        key: value
        for key, value in _sentinels(name).items()
        if numpy_calls.signature_of(FUNCTIONS[name]).parameters[key].default is inspect.Parameter.empty
    }
    with pytest.raises(TypeError, match=rf"^{name}\(\) of Kask arrays takes no {parameter}="):
        _sent(name, {**needed, parameter: object()}, True)
    _sent(name, {**needed, parameter: numpy_calls.signature_of(FUNCTIONS[name]).parameters[parameter].default}, True)


@pytest.mark.parametrize("name", sorted(numpy_calls._SIGNATURES.keys() - {"arange"}))
def test_the_signatures_that_are_written_down_are_those_of_numpy(name):
    try:
        told = inspect.signature(getattr(np, name))
    except ValueError:
        pytest.skip("this version of NumPy does not tell it")
    # ``like`` finds the function and is not handed on; ``ndmax`` is new.
    expected = [
        (one.name, one.default, one.kind) for one in told.parameters.values() if one.name not in ("like", "ndmax")
    ]
    written = inspect.signature(numpy_calls._SIGNATURES[name]).parameters.values()
    assert [(one.name, one.default, one.kind) for one in written] == expected


def test_functions_whose_signatures_are_not_told_are_called_alike(monkeypatch):
    def untold(func):
        if func in (np.concatenate, np.where, np.zeros):
            raise ValueError("no signature found")
        return told(func)

    told = inspect.signature
    numpy_calls.signature_of.cache_clear()
    monkeypatch.setattr(inspect, "signature", untold)
    x, target = ka.from_array(X, chunks=3), ka.zeros((8, 4), chunks=2)
    assert np.concatenate([x, x], 0, target) is target
    assert_same(target, np.concatenate([X, X]))
    assert_same(np.where(x > 0, x, 1), np.where(X > 0, X, 1))
    assert_same(np.zeros((2, 3), int, like=x), np.zeros((2, 3), int))
    numpy_calls.signature_of.cache_clear()


def test_other_devices_are_refused():
    with pytest.raises(TypeError, match=r"numpy.zeros_like\(\) of Kask arrays takes no device=, only device=None"):
        np.zeros_like(ka.ones(3), device="cpu:1")


RNG = np.random.default_rng(3)
X = RNG.normal(size=(4, 4))
V = RNG.normal(size=5)
N = np.arange(5)
POSITIVE = X @ X.T + 4 * np.eye(4)
#: Arguments by the name of the parameter, where a function has none of its own below.
BY_PARAMETER = {
    **dict.fromkeys(
        ["a", "x", "m", "arr", "ary", "ar", "array", "z", "y", "f", "v", "prototype", "val", "A", "object"], X
    ),
    **dict.fromkeys(["b", "x1", "x2", "a1", "a2", "ar1", "ar2", "element", "test_elements", "y"], X + 0.5),
    **{key: [X, X + 1] for key in ["arrays", "tup", "keys"]},
    **dict.fromkeys(["arys", "args", "xi"], (V, V + 1)),
    **dict.fromkeys(["axis1", "start"], 0),
    "axis2": 1,
    "axis": 0,
    "k": 1,
    "indices_or_sections": 2,
    "shift": 1,
    "repeats": 2,
    "reps": 2,
    "kth": 1,
    "pad_width": 1,
    "q": 0.3,
    "shape": (4, 4),
    "fill_value": 7,
    "n": 2,
    "values": X,
    "source": 0,
    "destination": 1,
    "dtype": "f4",
    "N": 3,
    "obj": 1,
    "fp": V,
    "xp": N,
}
#: Arguments of functions that want others.
BY_FUNCTION: dict[str, tuple] = {
    "numpy.apply_along_axis": (np.sort, 0, X),
    "numpy.apply_over_axes": (np.sum, X, [0]),
    "numpy.arange": (5,),
    "numpy.asarray": ([1, 2],),
    "numpy.bincount": (N,),
    "numpy.broadcast_to": (V, (2, 5)),
    "numpy.can_cast": (np.float32, np.dtype(float)),
    "numpy.choose": (np.array([0, 1]), [np.array([5, 6]), np.array([7, 8])]),
    "numpy.compress": (np.array([True, False, True]), X),
    "numpy.convolve": (V, N),
    "numpy.copyto": (X, X + 1),
    "numpy.correlate": (V, N),
    "numpy.cross": (X[:, :3], X[:, 1:]),
    "numpy.linalg.cross": (X[:, :3], X[:, 1:]),
    "numpy.cumulative_prod": (V,),
    "numpy.cumulative_sum": (V,),
    "numpy.digitize": (V, np.array([-0.5, 0.5])),
    "numpy.dsplit": (np.arange(8).reshape(2, 2, 2), 2),
    "numpy.einsum": ("ij,jk", X, X),
    "numpy.einsum_path": ("ij,jk", X, X),
    "numpy.expand_dims": (V, 0),
    "numpy.extract": (X > 0, X),
    "numpy.fromfunction": (lambda i, j: i + 2 * j, (3, 4)),
    "numpy.gradient": (V,),
    "numpy.geomspace": (np.array(1.0), 8),
    "numpy.histogram2d": (V, V + 1),
    "numpy.histogramdd": (X[:, :2],),
    "numpy.insert": (V, 1, 3),
    "numpy.interp": (V, N, V),
    "numpy.ix_": (N, N),
    "numpy.linspace": (np.array(1.0), 8),
    "numpy.logspace": (np.array(1.0), 2),
    "numpy.piecewise": (V, [V < 0, V >= 0], [-1, 1]),
    "numpy.place": (X, X > 0, [1.0, 2.0]),
    "numpy.put": (V, [0, 2], [1.0, 2.0]),
    "numpy.put_along_axis": (X, np.array([[0], [1], [2], [3]]), 9.0, 1),
    "numpy.putmask": (X, X > 0, X + 1),
    "numpy.ravel_multi_index": ((N, N), (5, 5)),
    "numpy.result_type": (X, N),
    "numpy.reshape": (X, (2, 8)),
    "numpy.searchsorted": (np.sort(V), V),
    "numpy.select": ([V > 0, V < -1], [V, -V]),
    "numpy.take": (V, [0, 1]),
    "numpy.take_along_axis": (X, np.argsort(X, axis=-1)),
    "numpy.transpose": (X,),
    "numpy.trapezoid": (X,),
    "numpy.unravel_index": (N, (2, 3)),
    "numpy.vander": (V,),
    "numpy.where": (X > 0, X, -X),
    "numpy.linalg.cholesky": (POSITIVE,),
    "numpy.linalg.eig": (POSITIVE,),
    "numpy.polyfit": (V, V**2, 1),
    "numpy.polyval": ([1.0, -2.0, 0.5], X),
    "numpy.linalg.eigh": (POSITIVE,),
    "numpy.linalg.eigvals": (POSITIVE,),
    "numpy.linalg.matrix_power": (X, 2),
    "numpy.linalg.outer": (V, N),
    "numpy.linalg.multi_dot": ([X, X, V[:4]],),
    "numpy.linalg.solve": (POSITIVE, V[:4]),
    "numpy.linalg.lstsq": (POSITIVE, V[:4]),
    "numpy.linalg.tensorinv": (RNG.normal(size=(2, 3, 6)),),
    "numpy.linalg.tensorsolve": (RNG.normal(size=(2, 3, 6)), RNG.normal(size=(2, 3))),
}


def _arguments(name: str) -> list[Any]:
    """Arguments by place: what the function demands, and NumPy's own defaults of the others."""
    func, found = FUNCTIONS[name], []
    own = BY_FUNCTION.get(name)
    for place, (key, parameter) in enumerate(numpy_calls.signature_of(func).parameters.items()):
        if own is not None and place < len(own):
            continue
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            found.extend(BY_PARAMETER.get(key, ()) if own is None else ())
        if parameter.kind in _BY_PLACE:
            is_needed = parameter.default is inspect.Parameter.empty
            found.append(BY_PARAMETER[key] if is_needed else parameter.default)
    return [*(own or ()), *found]


def _cut(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return ka.from_array(value.copy(), chunks=3 if value.ndim else -1)
    return type(value)([_cut(one) for one in value]) if type(value) in (list, tuple) else value


def _computed(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_computed(one) for one in value]
    return value.compute() if isinstance(value, ArrayBase) else value


@pytest.mark.parametrize("name", DISPATCHED)
def test_calls_with_all_defaults_by_place_give_what_numpy_gives(name):
    func, args = FUNCTIONS[name], _arguments(name)
    theirs = [value.copy() if isinstance(value, np.ndarray) else value for value in args]
    ours = [_cut(value) for value in args]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = func(*theirs)
        found = func(*ours)
        if expected is None:
            expected, found = theirs[0], ours[0]
        if name.endswith("empty_like"):
            expected, found = np.zeros_like(expected), found * 0
        found = _computed(found)
    if name.endswith(("einsum_path", "result_type", "can_cast", "common_type", "min_scalar_type")):
        assert found == _computed(expected)
    elif name.endswith((".qr", ".svd", ".eig", ".eigh", ".eigvals")):
        # The signs of vectors are free, and that eigenvalues are real is known afterwards.
        for one, other in zip(found, expected):
            np.testing.assert_allclose(np.abs(one), np.abs(other), atol=1e-9)
    else:
        assert_same(found, expected, rtol=1e-9, atol=1e-9)


class TestWhatIsCalledByName:
    def test_order(self):
        assert_same(np.reshape(ka.from_array(X, chunks=3), (2, 8), "F"), np.reshape(X, (2, 8), "F"))

    def test_out(self):
        x, target = ka.from_array(X, chunks=3), ka.zeros((8, 4), chunks=2)
        assert np.concatenate([x, x], 0, target) is target
        assert_same(target, np.concatenate([X, X]))
        target = ka.zeros((4, 4), dtype=complex)
        assert np.fft.fft(x, out=target) is target
        assert_same(target, np.fft.fft(X), rtol=1e-12)
        with pytest.raises(TypeError, match="out= must be a Kask array, got ndarray"):
            np.concatenate([x, x], 0, np.empty((8, 4)))

    def test_names_of_numpy(self):
        x = ka.from_array(X, chunks=3)
        assert_same(np.roll(a=x, shift=1), np.roll(X, 1))
        assert_same(np.tensordot(x, b=x, axes=1), X @ X, rtol=1e-12)
        assert_same(np.isclose(x, b=x), np.isclose(X, X))
        assert np.allclose(a=x, b=x)
        assert_same(np.median(x, overwrite_input=True), np.median(X))
        assert_same(np.histogram(x, 2, (0, 1), True), np.histogram(X, 2, (0, 1), True))
        assert_same(np.full_like(x, 1, int), np.full_like(X, 1, int))

    def test_arrays_like_kask_arrays(self):
        like = ka.ones(1)
        assert_same(np.eye(3, 4, 1, like=like), np.eye(3, 4, 1))
        assert_same(np.arange(1, 7, 2, float, like=like), np.arange(1, 7, 2, float))
        assert_same(np.arange(5, like=like), np.arange(5))
        assert_same(np.fromfunction(lambda i, j: i - j, (2, 3), like=like), np.fromfunction(lambda i, j: i - j, (2, 3)))
        assert_same(np.array([1, 2], float, ndmin=2, like=like), np.array([1.0, 2.0], ndmin=2))


#: Methods with ``out`` where Kask's have ``keepdims``: further arguments, and how many there are before ``out``.
METHODS = {"sum": 2, "prod": 2, "mean": 2, "min": 1, "max": 1, "any": 1, "all": 1, "std": 2, "var": 2}


@pytest.mark.parametrize("name", METHODS)
def test_methods_take_the_order_of_ndarray(name):
    x = ka.from_array(X, chunks=3)
    rtol = 0.0 if name in ("any", "all") else 1e-12
    before = (0, None)[: METHODS[name]]
    between = (1,) if name in ("std", "var") else ()
    # Not by place: NumPy's own ``any`` and ``all`` have places that they do not document.
    expected = getattr(np, name)(X, 0, keepdims=True, **({"ddof": 1} if between else {}))
    assert_same(getattr(x, name)(*before, None, *between, True), expected, rtol=rtol)
    target = ka.zeros(4, dtype=expected.dtype)
    assert getattr(x, name)(*before, target, *between) is target
    assert_same(target, expected[0], rtol=rtol)
    # The documented order.
    assert_same(getattr(x, name)(*before, True, *between, 2), expected, rtol=rtol)


def test_methods_take_out_and_initial_by_place():
    x = ka.from_array(X, chunks=3)
    assert_same(x.sum(0, None, None, True, 5.0), X.sum(0, None, None, True, 5.0), rtol=1e-12)
    assert_same(x.max(0, None, False, 5.0), X.max(0, None, False, 5.0))
    with pytest.raises(TypeError, match="keepdims= must be a bool, got Array"):
        x.argmax(0, ka.zeros(4, dtype=int), None, 3)
    for made, expected in [
        (lambda out: x.argmax(0, out), X.argmax(0)),
        (lambda out: x.trace(0, 0, 1, None, out), X.trace()),
        (lambda out: x.compress([True, False, True], 0, out), X[[0, 2]]),
        (lambda out: x.dot(x, out), X @ X),
    ]:
        target = ka.zeros(np.shape(expected), dtype=np.asarray(expected).dtype)
        assert made(target) is target
        assert_same(target, expected, rtol=1e-12)
