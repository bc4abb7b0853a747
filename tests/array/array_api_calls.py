"""Arguments for the functions of the array API standard, drawn by hypothesis. ``array_api_calls_more`` has the rest of them.

``CALLS`` has a function for each name. It draws arguments, and gives a function of a namespace and of its arrays, and the arrays as NumPy's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

SIGNED, UNSIGNED = ["int8", "int16", "int32", "int64"], ["uint8", "uint16", "uint32", "uint64"]
INTEGERS, FLOATS, COMPLEX = SIGNED + UNSIGNED, ["float32", "float64"], ["complex64", "complex128"]
REAL, FLOATING, NUMERIC = INTEGERS + FLOATS, FLOATS + COMPLEX, INTEGERS + FLOATS + COMPLEX
BOOL = ["bool"]
ALL = BOOL + NUMERIC
Draw = Callable[[st.SearchStrategy], Any]
#: Gets ``draw``, gives a function of a namespace and arrays of it, and NumPy's arrays.
Drawn = tuple[Callable[..., Any], list[np.ndarray]]
CALLS: dict[str, Callable[[Draw], Drawn]] = {}


def values(dtype: str, small: bool = False) -> st.SearchStrategy:
    """Values of a type: any that can be told apart in results, or small ones that can be added, multiplied and solved for."""
    kind = np.dtype(dtype)
    if kind.kind in "iu":
        return st.integers(-5 if kind.kind == "i" else 0, 5) if small else hnp.from_dtype(kind)
    if kind.kind in "fc":
        few = st.integers(-20, 20).map(lambda number: number / 4)
        real = few if small else st.one_of(few, st.sampled_from([np.nan, np.inf, -np.inf, -0.0, 1e30, 1e-30]))
        return st.builds(complex, real, real) if kind.kind == "c" else real
    return st.booleans()


SHAPES = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=5)
SOLID = hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=5)


def array(draw: Draw, dtypes: list[str], shape: Any = SHAPES, small: bool = False) -> np.ndarray:
    dtype = draw(st.sampled_from(dtypes))
    return draw(
        hnp.arrays(dtype, draw(shape) if isinstance(shape, st.SearchStrategy) else shape, elements=values(dtype, small))
    )


# -- functions of single elements


def unary(names: str, dtypes: list[str]) -> None:
    for name in names.split():
        CALLS[name] = lambda draw, name=name: (lambda home, x: getattr(home, name)(x), [array(draw, dtypes)])


unary("abs conj isfinite isinf isnan negative positive real round square", NUMERIC)
unary("ceil floor trunc", REAL)
unary(
    "acos acosh asin asinh atan atanh cos cosh exp expm1 log log10 log1p log2 reciprocal sin sinh sqrt tan tanh",
    FLOATING,
)
unary("signbit", FLOATS)
# Of complex numbers with infinite parts NumPy makes more than x / abs(x).
unary("sign", REAL)
unary("imag", COMPLEX)
unary("bitwise_invert", BOOL + INTEGERS)
unary("logical_not", BOOL)


def pair(draw: Draw, dtypes: list[str], small: bool = False) -> list[np.ndarray]:
    """Two arrays that broadcast, of types of one kind that have a common type."""
    first = draw(st.sampled_from(dtypes))
    kinds = [
        one
        for one in dtypes
        if np.dtype(one).kind in {"i": "iu", "u": "iu", "f": "fc", "c": "fc", "b": "b"}[np.dtype(first).kind]
    ]
    second = draw(st.sampled_from(kinds))
    if {first, second} & {"uint64"} and {first, second} & set(SIGNED):
        second = first
    shapes = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=3, max_side=4)).input_shapes
    return [array(draw, [dtype], shape, small) for dtype, shape in zip((first, second), shapes)]


def binary(names: str, dtypes: list[str], small: bool = False) -> None:
    for name in names.split():

        def drawing(draw: Draw, name: str = name) -> Drawn:
            arrays = pair(draw, dtypes, small)
            if draw(st.booleans()):
                return (lambda home, x, y: getattr(home, name)(x, y)), arrays
            # A Python number takes the array's type.
            number = draw(values("uint8" if arrays[0].dtype.kind in "iu" else str(arrays[0].dtype), small=True))
            return (lambda home, x: getattr(home, name)(x, number)), arrays[:1]

        CALLS[name] = drawing


binary("add divide equal multiply not_equal subtract", FLOATING)
binary("floor_divide remainder greater greater_equal less less_equal maximum minimum", REAL)
binary("atan2 copysign hypot logaddexp", FLOATS)
binary("bitwise_and bitwise_or bitwise_xor", BOOL + INTEGERS)
binary("logical_and logical_or logical_xor", BOOL)
for _name in ("add", "equal", "multiply", "not_equal", "subtract"):
    binary(_name, NUMERIC)


def _nextafter(draw: Draw) -> Drawn:
    x, y = pair(draw, FLOATS)
    return (lambda home, x, y: home.nextafter(x, y)), [x, y.astype(x.dtype)]


def _shift(name: str) -> Callable[[Draw], Drawn]:
    def drawing(draw: Draw) -> Drawn:
        x = array(draw, INTEGERS)
        counts = draw(hnp.arrays(x.dtype, x.shape, elements=st.integers(0, 8 * x.dtype.itemsize - 1)))
        return (lambda home, x, y: getattr(home, name)(x, y)), [x, counts]

    return drawing


def _pow(draw: Draw) -> Drawn:
    x = array(draw, NUMERIC, small=True)
    powers = draw(hnp.arrays(x.dtype, x.shape, elements=st.integers(0, 3)))
    return (lambda home, x, y: home.pow(x, y)), [x, powers]


def _clip(draw: Draw) -> Drawn:
    x = array(draw, REAL)
    low, high = sorted(draw(st.tuples(st.integers(0, 5), st.integers(0, 5))))
    kind = draw(st.sampled_from(["both", "low", "high", "arrays"]))
    if kind == "arrays":
        return (lambda home, x, y: home.clip(x, y, None)), [x, np.full(x.shape, low, x.dtype)]
    return (lambda home, x: home.clip(x, None if kind == "high" else low, None if kind == "low" else high)), [x]


def _where(draw: Draw) -> Drawn:
    x, y = pair(draw, ALL)
    shape = np.broadcast_shapes(x.shape, y.shape)
    return (lambda home, c, x, y: home.where(c, x, y)), [array(draw, BOOL, shape), x, y]


CALLS |= {"nextafter": _nextafter, "pow": _pow, "clip": _clip, "where": _where}
CALLS |= {name: _shift(name) for name in ("bitwise_left_shift", "bitwise_right_shift")}


# -- along axes


def axes_of(draw: Draw, ndim: int) -> Any:
    """None, an axis, or several."""
    if not ndim or draw(st.booleans()):
        return None
    found = draw(st.lists(st.integers(0, ndim - 1), min_size=1, max_size=ndim, unique=True))
    found = [axis - ndim if draw(st.booleans()) else axis for axis in found]
    return found[0] if len(found) == 1 else tuple(found)


def axis_of(draw: Draw, ndim: int) -> int:
    return draw(st.integers(-ndim, ndim - 1))


def reduction(names: str, dtypes: list[str], shape: Any = SHAPES, **options: st.SearchStrategy) -> None:
    for name in names.split():

        def drawing(draw: Draw, name: str = name) -> Drawn:
            x = array(draw, dtypes, shape, small=name not in ("all", "any", "max", "min", "argmax", "argmin"))
            axis = axes_of(draw, x.ndim)
            if name.startswith("arg") and isinstance(axis, tuple):
                axis = axis[0]
            how = {"axis": axis, "keepdims": draw(st.booleans()), **{key: draw(one) for key, one in options.items()}}
            return (lambda home, x: getattr(home, name)(x, **how)), [x]

        CALLS[name] = drawing


reduction("all any count_nonzero", ALL)
reduction("sum prod", NUMERIC)
reduction("max min argmax argmin", REAL, SOLID)
reduction("mean", FLOATING, SOLID)
reduction("std var", FLOATS, SOLID, correction=st.sampled_from([0, 0.0]))


def along(name: str, dtypes: list[str], small: bool = False, shape: Any = SOLID, **options: st.SearchStrategy) -> None:
    def drawing(draw: Draw) -> Drawn:
        x = array(draw, dtypes, shape, small)
        how = {"axis": axis_of(draw, x.ndim), **{key: draw(one) for key, one in options.items()}}
        return (lambda home, x: getattr(home, name)(x, **how)), [x]

    CALLS[name] = drawing


along("cumulative_sum", NUMERIC, small=True, include_initial=st.booleans())
along("cumulative_prod", NUMERIC, small=True, include_initial=st.booleans())
along("sort", REAL, descending=st.booleans())
along("argsort", REAL, descending=st.booleans())
along("diff", NUMERIC, small=True, n=st.integers(0, 2))
along("flip", ALL)
along("unstack", ALL)
along("expand_dims", ALL)
along("roll", ALL, shift=st.integers(-7, 7))


def _repeat(draw: Draw) -> Drawn:
    x, times = array(draw, ALL, SOLID), draw(st.integers(0, 3))
    axis = draw(st.one_of(st.none(), st.integers(-x.ndim, x.ndim - 1)))
    if x.ndim == 1 and draw(st.booleans()):
        return (lambda home, x, y: home.repeat(x, y)), [
            x,
            draw(hnp.arrays("int64", x.shape, elements=st.integers(0, 3))),
        ]
    return (lambda home, x: home.repeat(x, times, axis=axis)), [x]


def _searchsorted(draw: Draw) -> Drawn:
    dtype = draw(st.sampled_from(REAL))
    sides = {"side": draw(st.sampled_from(["left", "right"]))}
    x = np.sort(array(draw, [dtype], hnp.array_shapes(max_dims=1, max_side=9), small=True))
    wanted = array(draw, [dtype], SHAPES, small=True)
    return (lambda home, x, v: home.searchsorted(x, v, **sides)), [x, wanted]


def _take(draw: Draw) -> Drawn:
    x = array(draw, ALL, SOLID)
    axis = axis_of(draw, x.ndim)
    places = draw(hnp.arrays("int64", st.integers(0, 6), elements=st.integers(0, x.shape[axis] - 1)))
    return (lambda home, x, i: home.take(x, i, axis=axis)), [x, places]


def _take_along_axis(draw: Draw) -> Drawn:
    x = array(draw, ALL, SOLID)
    axis = axis_of(draw, x.ndim)
    shape = list(x.shape)
    shape[axis] = draw(st.integers(1, 4))
    places = draw(hnp.arrays("int64", tuple(shape), elements=st.integers(0, x.shape[axis] - 1)))
    return (lambda home, x, i: home.take_along_axis(x, i, axis=axis)), [x, places]


def _nonzero(draw: Draw) -> Drawn:
    return (lambda home, x: home.nonzero(x)), [array(draw, ALL, SOLID)]


def _isin(draw: Draw) -> Drawn:
    # The reference forgets ``invert``.
    dtype = draw(st.sampled_from(INTEGERS))
    return (lambda home, x, y: home.isin(x, y)), [array(draw, [dtype], small=True), array(draw, [dtype], small=True)]


def _unique(name: str) -> Callable[[Draw], Drawn]:
    def call(home: Any, x: Any) -> Any:
        found = getattr(home, name)(x)
        # In which order they come is left open, so they are put in order.
        return home.sort(found) if name == "unique_values" else found

    return lambda draw: (call, [array(draw, REAL, small=True)])


CALLS |= {"repeat": _repeat, "searchsorted": _searchsorted, "take": _take, "take_along_axis": _take_along_axis}
CALLS |= {"nonzero": _nonzero, "isin": _isin}
CALLS |= {name: _unique(name) for name in ("unique_all", "unique_counts", "unique_inverse", "unique_values")}
