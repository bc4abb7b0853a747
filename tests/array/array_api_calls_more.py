"""Arguments for the functions of the array API standard that make, shape and multiply arrays, and for its extensions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from array_api_calls import (
    ALL,
    BOOL,
    CALLS,
    COMPLEX,
    FLOATING,
    FLOATS,
    INTEGERS,
    NUMERIC,
    SHAPES,
    SIGNED,
    SOLID,
    UNSIGNED,
    Draw,
    Drawn,
    array,
    axes_of,
    axis_of,
)
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp


def called(name: str) -> Any:
    """A function of this module is what draws the arguments of ``name``, or of several names."""

    def register(drawing: Any) -> Any:
        for one in name.split():
            CALLS[one] = (lambda draw, one=one: drawing(draw, one)) if " " in name else drawing
        return drawing

    return register


def kind_of(draw: Draw, dtypes: list[str] = ALL) -> str | None:
    """A type's name, or none."""
    return draw(st.one_of(st.none(), st.sampled_from(dtypes)))


def typed(home: Any, kind: str | None) -> dict[str, Any]:
    return {} if kind is None else {"dtype": getattr(home, kind)}


# -- creation


@called("zeros ones empty")
def _filled(draw: Draw, name: str) -> Drawn:
    shape, kind = draw(SHAPES), kind_of(draw)
    # What is in an empty array is anybody's.
    last = (lambda home, x: home.zeros_like(x)) if name == "empty" else (lambda home, x: x)
    return (lambda home: last(home, getattr(home, name)(shape, **typed(home, kind)))), []


@called("zeros_like ones_like empty_like")
def _filled_like(draw: Draw, name: str) -> Drawn:
    kind = kind_of(draw)
    last = (lambda home, x: home.zeros_like(x)) if name == "empty_like" else (lambda home, x: x)
    return (lambda home, x: last(home, getattr(home, name)(x, **typed(home, kind)))), [array(draw, ALL)]


NUMBERS = st.one_of(st.booleans(), st.integers(0, 100), st.sampled_from([0.5, -1.25]), st.just(1 + 2j))


@called("full")
def _full(draw: Draw) -> Drawn:
    shape, number = draw(SHAPES), draw(NUMBERS)
    return (lambda home: home.full(shape, number)), []


@called("full_like")
def _full_like(draw: Draw) -> Drawn:
    x = array(draw, NUMERIC)
    return (lambda home, x: home.full_like(x, 3)), [x]


@called("arange")
def _arange(draw: Draw) -> Drawn:
    numbers = draw(st.lists(st.integers(-9, 9), min_size=1, max_size=2))
    step = draw(st.sampled_from([1, 2, -1, 0.5]))
    return (lambda home: home.arange(*numbers, step=step)), []


@called("linspace")
def _linspace(draw: Draw) -> Drawn:
    start, stop, number = draw(st.tuples(st.integers(-9, 9), st.floats(-9, 9), st.integers(0, 9)))
    kind, endpoint = kind_of(draw, FLOATS), draw(st.booleans())
    return (lambda home: home.linspace(start, stop, number, endpoint=endpoint, **typed(home, kind))), []


@called("eye")
def _eye(draw: Draw) -> Drawn:
    rows, k, kind = draw(st.integers(0, 5)), draw(st.integers(-3, 3)), kind_of(draw)
    columns = draw(st.one_of(st.none(), st.integers(0, 5)))
    return (lambda home: home.eye(rows, columns, k=k, **typed(home, kind))), []


@called("meshgrid")
def _meshgrid(draw: Draw) -> Drawn:
    kind, order = draw(st.sampled_from(NUMERIC)), draw(st.sampled_from(["xy", "ij"]))
    arrays = [array(draw, [kind], (draw(st.integers(1, 4)),)) for _ in range(draw(st.integers(1, 3)))]
    return (lambda home, *arrays: home.meshgrid(*arrays, indexing=order)), arrays


@called("tril triu")
def _triangle(draw: Draw, name: str) -> Drawn:
    k = draw(st.integers(-3, 3))
    x = array(draw, ALL, hnp.array_shapes(min_dims=2, max_dims=3, min_side=0, max_side=4))
    return (lambda home, x: getattr(home, name)(x, k=k)), [x]


@called("asarray")
def _asarray(draw: Draw) -> Drawn:
    x, kind = array(draw, NUMERIC, small=True), draw(st.sampled_from(COMPLEX))
    copy = draw(st.sampled_from([None, True]))
    return (lambda home, x: home.asarray(x, dtype=getattr(home, kind), copy=copy)), [x]


@called("from_dlpack")
def _from_dlpack(draw: Draw) -> Drawn:
    x = array(draw, ALL)
    return (lambda home: home.from_dlpack(x)), []


# -- types


def _plain(found: Any) -> Any:
    """A type's name."""
    return str(getattr(found, "_np_dtype", found))


@called("astype")
def _astype(draw: Draw) -> Drawn:
    # A complex number is nothing else.
    x = array(draw, ALL, small=True)
    kind = draw(st.sampled_from(COMPLEX if x.dtype.kind == "c" else ALL))
    return (lambda home, x: home.astype(x, getattr(home, kind))), [x.real.astype(np.int8).astype(x.dtype)]


@called("can_cast")
def _can_cast(draw: Draw) -> Drawn:
    # From one kind to another is not for the standard to say.
    kinds = draw(st.sampled_from([BOOL, SIGNED, UNSIGNED, FLOATING]))
    one, other = draw(st.sampled_from(kinds)), draw(st.sampled_from(kinds))
    return (lambda home: home.can_cast(getattr(home, one), getattr(home, other))), []


@called("result_type")
def _result_type(draw: Draw) -> Drawn:
    kinds = draw(st.sampled_from([FLOATING, SIGNED, UNSIGNED, BOOL]))
    x, other = array(draw, kinds), draw(st.sampled_from(kinds))
    return (lambda home, x: _plain(home.result_type(x, getattr(home, other)))), [x]


@called("finfo")
def _finfo(draw: Draw) -> Drawn:
    kind = draw(st.sampled_from(FLOATING))
    names = ("bits", "eps", "max", "min", "smallest_normal")

    def call(home: Any) -> Any:
        found = home.finfo(getattr(home, kind))
        return (
            [type(getattr(found, name)) in (int, float) for name in names],
            [float(getattr(found, name)) for name in names],
            _plain(found.dtype),
        )

    return call, []


@called("iinfo")
def _iinfo(draw: Draw) -> Drawn:
    kind = draw(st.sampled_from(INTEGERS))

    def call(home: Any) -> Any:
        found = home.iinfo(getattr(home, kind))
        return found.bits, found.max, found.min, _plain(found.dtype)

    return call, []


@called("isdtype")
def _isdtype(draw: Draw) -> Drawn:
    kind, other = draw(st.sampled_from(ALL)), draw(st.sampled_from(ALL))
    words = ["bool", "signed integer", "unsigned integer", "integral", "real floating", "complex floating", "numeric"]

    def call(home: Any) -> Any:
        own = getattr(home, kind)
        wanted = [*words, ("integral", "bool"), getattr(home, other), (getattr(home, other), "bool")]
        return [home.isdtype(own, one) for one in wanted]

    return call, []


# -- shapes


@called("broadcast_shapes")
def _broadcast_shapes(draw: Draw) -> Drawn:
    shapes = draw(hnp.mutually_broadcastable_shapes(num_shapes=3)).input_shapes
    return (lambda home: home.broadcast_shapes(*shapes)), []


@called("broadcast_arrays")
def _broadcast_arrays(draw: Draw) -> Drawn:
    shapes = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_side=4)).input_shapes
    return (lambda home, *arrays: home.broadcast_arrays(*arrays)), [array(draw, ALL, shape) for shape in shapes]


@called("broadcast_to")
def _broadcast_to(draw: Draw) -> Drawn:
    x = array(draw, ALL)
    return (lambda home, x: home.broadcast_to(x, (2, *x.shape))), [x]


@called("concat")
def _concat(draw: Draw) -> Drawn:
    kinds = draw(st.sampled_from([FLOATING, SIGNED, BOOL]))
    x = array(draw, kinds, SOLID)
    axis = draw(st.one_of(st.none(), st.integers(-x.ndim, x.ndim - 1)))
    return (lambda home, x, y: home.concat([x, y, x], axis=axis)), [x, array(draw, kinds, x.shape)]


@called("stack")
def _stack(draw: Draw) -> Drawn:
    x = array(draw, FLOATING)
    axis = draw(st.integers(-x.ndim - 1, x.ndim))
    return (lambda home, x, y: home.stack([x, y], axis=axis)), [x, array(draw, FLOATING, x.shape)]


@called("moveaxis")
def _moveaxis(draw: Draw) -> Drawn:
    x = array(draw, ALL, SOLID)
    source, destination = axis_of(draw, x.ndim), axis_of(draw, x.ndim)
    return (lambda home, x: home.moveaxis(x, source, destination)), [x]


@called("permute_dims")
def _permute_dims(draw: Draw) -> Drawn:
    x = array(draw, ALL)
    axes = tuple(draw(st.permutations(range(x.ndim))))
    return (lambda home, x: home.permute_dims(x, axes)), [x]


@called("reshape")
def _reshape(draw: Draw) -> Drawn:
    x = array(draw, ALL)
    shapes = [(-1,), x.shape[::-1], (1, *x.shape), (x.size,)] if x.size else [x.shape[::-1], (x.size,)]
    shape = draw(st.sampled_from(shapes))
    return (lambda home, x: home.reshape(x, shape)), [x]


@called("squeeze")
def _squeeze(draw: Draw) -> Drawn:
    x = array(draw, ALL)[None, ..., None]
    axis = draw(st.sampled_from([0, -1, (0, -1)]))
    return (lambda home, x: home.squeeze(x, axis)), [x]


@called("tile")
def _tile(draw: Draw) -> Drawn:
    times = tuple(draw(st.lists(st.integers(0, 3), max_size=3)))
    return (lambda home, x: home.tile(x, times)), [array(draw, ALL)]


# -- products


def matrices(draw: Draw, dtypes: list[str], *, square: bool = False, least: int = 0) -> np.ndarray:
    """Stacks of matrices."""
    rows, columns = draw(st.tuples(st.integers(least, 4), st.integers(least, 4)))
    stack = draw(st.sampled_from([(), (2,), (1, 3)]))
    return array(draw, dtypes, (*stack, rows, rows if square else columns), small=True)


@called("matmul")
def _matmul(draw: Draw) -> Drawn:
    x = matrices(draw, NUMERIC, least=1)
    y = array(draw, [str(x.dtype)], draw(st.sampled_from([x.shape[-1:], (x.shape[-1], 3)])), small=True)
    return (lambda home, x, y: home.matmul(x, y)), [x, y]


@called("matrix_transpose")
def _matrix_transpose(draw: Draw) -> Drawn:
    return (lambda home, x: home.matrix_transpose(x)), [matrices(draw, ALL)]


@called("tensordot")
def _tensordot(draw: Draw) -> Drawn:
    x, y = array(draw, NUMERIC, (2, 3, 4), small=True), None
    axes, shape = draw(st.sampled_from([(0, (2,)), (1, (4, 2)), (2, (3, 4, 1)), (((0, 2), (1, 0)), (4, 2))]))
    y = array(draw, [str(x.dtype)], shape, small=True)
    return (lambda home, x, y: home.tensordot(x, y, axes=axes)), [x, y]


@called("vecdot")
def _vecdot(draw: Draw) -> Drawn:
    x = array(draw, NUMERIC, SOLID, small=True)
    axis = draw(st.integers(-x.ndim, -1))
    return (lambda home, x, y: home.vecdot(x, y, axis=axis)), [x, array(draw, [str(x.dtype)], x.shape, small=True)]


for _name in ("matmul", "matrix_transpose", "tensordot", "vecdot"):
    CALLS[f"linalg.{_name}"] = lambda draw, name=_name: (
        lambda call, arrays: (
            lambda home, *own: call(home.linalg if hasattr(home.linalg, name) else home, *own),
            arrays,
        )
    )(*CALLS[name](draw))


def sound(draw: Draw, least: int = 1) -> np.ndarray:
    """Stacks of matrices that are far from singular: the diagonal is large."""
    x = matrices(draw, FLOATING, square=True, least=least)
    return x + np.eye(x.shape[-1], dtype=x.dtype) * 50


def hermitian(draw: Draw) -> np.ndarray:
    x = sound(draw)
    return x + np.conj(np.swapaxes(x, -1, -2))


def with_linalg(name: str, arrays: list[np.ndarray], *args: Any, **options: Any) -> Drawn:
    return (lambda home, *own: getattr(home.linalg, name)(*own, *args, **options)), arrays


@called("linalg.det linalg.inv linalg.slogdet")
def _of_square(draw: Draw, name: str) -> Drawn:
    return with_linalg(name.partition(".")[2], [sound(draw)])


@called("linalg.cholesky")
def _cholesky(draw: Draw) -> Drawn:
    return with_linalg("cholesky", [hermitian(draw)], upper=draw(st.booleans()))


@called("linalg.eigvalsh linalg.eigh")
def _eigvalsh(draw: Draw, name: str) -> Drawn:
    if name.endswith("eigvalsh"):
        return with_linalg("eigvalsh", [hermitian(draw)])

    def call(home: Any, x: Any) -> Any:
        found = home.linalg.eigh(x)
        # Eigenvectors are known but for a factor.
        values = found.eigenvalues[..., None, :]
        product = home.matmul(x, found.eigenvectors) - found.eigenvectors * home.astype(
            values, found.eigenvectors.dtype
        )
        return found._fields, found.eigenvalues, home.max(home.abs(product)) < 0.01

    return call, [hermitian(draw)]


@called("linalg.qr linalg.svd")
def _factors(draw: Draw, name: str) -> Drawn:
    own = name.partition(".")[2]
    options = (
        {"mode": draw(st.sampled_from(["reduced", "complete"]))}
        if own == "qr"
        else {"full_matrices": draw(st.booleans())}
    )

    def call(home: Any, x: Any) -> Any:
        found = getattr(home.linalg, own)(x, **options)
        if own == "qr":
            return found._fields, home.abs(found.Q @ found.R - x) < 0.001, [found.Q.shape, found.R.shape]
        shapes = [part.shape for part in found]
        count = found.S.shape[-1]
        product = (found.U[..., :count] * home.astype(found.S, x.dtype)[..., None, :]) @ found.Vh[..., :count, :]
        return found._fields, found.S, home.abs(product - x) < 0.001, shapes

    return call, [matrices(draw, FLOATING, least=1)]


@called("linalg.svdvals linalg.matrix_rank")
def _ranks(draw: Draw, name: str) -> Drawn:
    return with_linalg(name.partition(".")[2], [matrices(draw, FLOATING, least=1)])


@called("linalg.pinv")
def _pinv(draw: Draw) -> Drawn:
    return with_linalg("pinv", [sound(draw)])


@called("linalg.solve")
def _solve(draw: Draw) -> Drawn:
    a = sound(draw)
    shape = draw(st.sampled_from([a.shape[-1:], (*a.shape[:-1], 2)]))
    return with_linalg("solve", [a, array(draw, [str(a.dtype)], shape, small=True)])


@called("linalg.matrix_power")
def _matrix_power(draw: Draw) -> Drawn:
    return with_linalg("matrix_power", [sound(draw) / 50], draw(st.integers(-2, 3)))


@called("linalg.cross")
def _cross(draw: Draw) -> Drawn:
    x = array(draw, NUMERIC, draw(st.sampled_from([(3,), (2, 3), (4, 1, 3)])), small=True)
    return with_linalg("cross", [x, array(draw, [str(x.dtype)], x.shape, small=True)])


@called("linalg.outer")
def _outer(draw: Draw) -> Drawn:
    x = array(draw, NUMERIC, (draw(st.integers(0, 4)),), small=True)
    return with_linalg("outer", [x, array(draw, [str(x.dtype)], (3,), small=True)])


@called("linalg.diagonal linalg.trace")
def _diagonals(draw: Draw, name: str) -> Drawn:
    x = matrices(draw, NUMERIC if name.endswith("trace") else ALL, least=1)
    return with_linalg(name.partition(".")[2], [x], offset=draw(st.integers(-2, 2)))


ORDERS = st.sampled_from([math.inf, -math.inf, 1, -1, 2, -2])


@called("linalg.matrix_norm")
def _matrix_norm(draw: Draw) -> Drawn:
    order = draw(st.one_of(ORDERS, st.sampled_from(["fro", "nuc"])))
    return with_linalg("matrix_norm", [matrices(draw, FLOATING, least=1)], ord=order, keepdims=draw(st.booleans()))


@called("linalg.vector_norm")
def _vector_norm(draw: Draw) -> Drawn:
    x = array(draw, FLOATING, SOLID, small=True)
    order = draw(st.one_of(ORDERS, st.sampled_from([0, 3, 0.5])))
    # Numbers without zeros: their negative powers are finite.
    x = np.where(x == 0, 1, x).astype(x.dtype)
    return with_linalg("vector_norm", [x], axis=axes_of(draw, x.ndim), ord=order, keepdims=draw(st.booleans()))


# -- Fourier transforms

NORMS = st.sampled_from(["backward", "ortho", "forward"])


@called("fft.fft fft.ifft fft.rfft fft.irfft fft.hfft fft.ihfft")
def _transform(draw: Draw, name: str) -> Drawn:
    own = name.partition(".")[2]
    x = array(
        draw,
        FLOATS if own in ("rfft", "ihfft") else COMPLEX,
        hnp.array_shapes(max_dims=3, min_side=2, max_side=5),
        small=True,
    )
    how = {"n": draw(st.one_of(st.none(), st.integers(2, 6))), "axis": axis_of(draw, x.ndim), "norm": draw(NORMS)}
    return (lambda home, x: getattr(home.fft, own)(x, **how)), [x]


@called("fft.fftn fft.ifftn fft.rfftn fft.irfftn")
def _transforms(draw: Draw, name: str) -> Drawn:
    own = name.partition(".")[2]
    x = array(
        draw, FLOATS if own == "rfftn" else COMPLEX, hnp.array_shapes(max_dims=3, min_side=2, max_side=4), small=True
    )
    axes = axes_of(draw, x.ndim)
    how: dict[str, Any] = {"axes": (axes,) if isinstance(axes, int) else axes, "norm": draw(NORMS)}
    if how["axes"] is not None and draw(st.booleans()):
        how["s"] = tuple(draw(st.integers(2, 5)) for _ in how["axes"])
    return (lambda home, x: getattr(home.fft, own)(x, **how)), [x]


@called("fft.fftfreq fft.rfftfreq")
def _frequencies(draw: Draw, name: str) -> Drawn:
    n, d, kind = draw(st.integers(1, 9)), draw(st.sampled_from([1.0, 0.5])), kind_of(draw, FLOATS)
    return (lambda home: getattr(home.fft, name.partition(".")[2])(n, d=d, **typed(home, kind))), []


@called("fft.fftshift fft.ifftshift")
def _shifts(draw: Draw, name: str) -> Drawn:
    x = array(draw, FLOATING, SOLID)
    axes = axes_of(draw, x.ndim)
    return (lambda home, x: getattr(home.fft, name.partition(".")[2])(x, axes=axes)), [x]
