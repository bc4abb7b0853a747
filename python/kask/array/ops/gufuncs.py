"""Generalised ufuncs: functions of whole core axes, applied along all others. Public as ``kask.array.gufunc``."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from kask.array.base import as_array, wrap
from kask.array.kernels import ufuncs
from kask.array.kernels.blockwise import GufuncCall
from kask.array.node import ArrayExpr
from kask.array.ops.blocks import Blocks
from kask.array.ops.chunk_runs import is_nan
from kask.array.ops.elementwise import broadcast_shapes
from kask.array.ops.inference import as_meta, ones_like_meta
from kask.array.ops.mapped import cut_whole
from kask.array.ops.rechunk import rechunked
from kask.array.ops.slicing import expanded, transposed
from kask.array.ops.staged import Sized
from kask.engine import Chunks

__all__ = ["apply_gufunc"]

Core = tuple[str, ...]

_GROUP = re.compile(r"\(([^()]*)\)")
_NAME = re.compile(r"\w+")


def parsed_signature(signature: str) -> tuple[list[Core], list[Core], bool]:
    """Core axes of the arguments and of the results, and whether the function gives one result rather than a tuple."""
    text = re.sub(r"\s+", "", signature)
    left, arrow, right = text.partition("->")
    trailing = right.endswith(",")
    if not arrow or not _is_groups(left, may_be_none=True) or not _is_groups(right.rstrip(","), may_be_none=False):
        raise ValueError(f"signature must be like '(i,j),(j)->(i)', got {signature!r}")
    results = _groups(right)
    return _groups(left), results, len(results) == 1 and not trailing


def _is_groups(text: str, *, may_be_none: bool) -> bool:
    if not text:
        return may_be_none
    names = r"\((?:\w+(?:,\w+)*)?\)"
    return re.fullmatch(f"{names}(?:,{names})*", text) is not None


def _groups(text: str) -> list[Core]:
    return [tuple(_NAME.findall(group)) for group in _GROUP.findall(text)]


def apply_gufunc(
    func: Callable[..., Any],
    signature: str,
    *args: Any,
    axes: Any = None,
    axis: int | None = None,
    keepdims: bool = False,
    output_dtypes: Any = None,
    output_sizes: dict[str, float] | None = None,
    vectorize: bool | None = None,
    allow_rechunk: bool = False,
    meta: Any = None,
    **kwargs: Any,
) -> Any:
    """A generalised ufunc, or a Python function like one, on arrays.

    Parameters
    ----------
    func : callable
        Gets blocks that have the *core axes* of the signature last, and gives one result or a tuple of results of the same kind.
    signature : str
        The core axes, such as ``"(i,j),(j)->(i)"``. The other axes are broadcast.
    *args
        The arrays.
    axes : list of tuple of int, optional
        Where the core axes are, for each argument and result.
    axis : int, optional
        Where the only core axis is, in all arguments.
    keepdims : bool, optional
        Whether core axes that the results do not have are kept as axes of one element.
    output_dtypes : data-type or list of data-type, optional
        Of the results; by default found out by calling the function.
    output_sizes : dict, optional
        Sizes of core axes that only results have. NaN: it is found while the result is computed, and must be the same for all elements of
        the other axes.
    vectorize : bool, optional
        Whether the function knows core axes only, and must be called for each of the others' elements (``numpy.vectorize``).
    allow_rechunk : bool, optional
        Whether core axes may be made one block, which needs memory for the whole axis; otherwise they must be.
    meta : array or tuple of arrays, optional
        What blocks of the results are like; stands for ``output_dtypes``.
    **kwargs
        Further arguments of the function.

    Returns
    -------
    Array or tuple of Array
        A tuple where the signature has several results.

    Raises
    ------
    ValueError
        Arrays that do not fit the signature, or core axes of several blocks.

    Examples
    --------
    >>> import numpy as np
    >>> import kask.array as ka
    >>> def span(block):
    ...     return block.max(axis=-1) - block.min(axis=-1)
    >>> x = ka.from_array([[1, 5, 2], [7, 7, 9]], chunks=(1, 3))
    >>> ka.gufunc.apply_gufunc(span, "(i)->()", x).compute()
    array([4, 2])
    """
    inputs, results, is_single = parsed_signature(signature)
    if len(args) != len(inputs):
        raise ValueError(f"the signature {signature!r} has {len(inputs)} arguments, {len(args)} were given")
    places = _Places(inputs, results, axes, axis, keepdims)
    exprs = [as_array(arg).expr for arg in args]
    for number, (expr, core) in enumerate(zip(exprs, inputs)):
        if expr.ndim < len(core):
            raise ValueError(
                f"argument {number} has {expr.ndim} axes, but the signature has {len(core)} core axes for it"
            )
    exprs = [_axes_last(expr, at) for expr, at in zip(exprs, places.inputs)]
    sizes = _core_sizes(exprs, inputs, output_sizes or {})
    exprs = [_whole_core(expr, core, number, allow_rechunk) for number, (expr, core) in enumerate(zip(exprs, inputs))]
    exprs, loop = _loops_alike(exprs, inputs)
    for core in results:
        for name in core:
            if name not in sizes:
                raise ValueError(f"the size of the core axis {name!r} is not known: give it in output_sizes=")
    dtypes = _as_dtypes(output_dtypes, len(results))
    ready = _vectorized(func, signature, dtypes) if vectorize else func
    cores = tuple([tuple([sizes[name] for name in core]) for core in results])
    metas = _metas(ready, kwargs, exprs, inputs, loop.ndim, cores, dtypes, meta, is_single)
    loops = tuple([expr.ndim - len(core) for expr, core in zip(exprs, inputs)])
    call = GufuncCall(ready, kwargs, loops, cores, metas, is_single)
    made = _results(call, exprs, loops, loop, is_single)
    finished = [wrap(places.finished(expr, number, core)) for number, (expr, core) in enumerate(zip(made, cores))]
    return finished[0] if is_single else tuple(finished)


class _Places:
    """Where core axes are in arguments and results."""

    def __init__(self, inputs: list[Core], results: list[Core], axes: Any, axis: Any, keepdims: bool) -> None:
        if axes is not None and axis is not None:
            raise ValueError("give either axes= or axis=")
        one_each = {len(core) for core in inputs}
        if keepdims and (len(one_each) != 1 or any(results)):
            raise ValueError("keepdims= is for arguments with equally many core axes, and results without")
        self.kept = next(iter(one_each)) if keepdims else 0
        if axis is not None:
            if one_each != {1} or len({name for core in inputs for name in core}) != 1:
                raise ValueError("axis= is for functions with one core axis that all arguments have")
            axes = [(axis,)] * len(inputs) + [(axis,) if core or keepdims else () for core in results]
        self.inputs = [tuple(range(-len(core), 0)) for core in inputs]
        self.results = [tuple(range(-(len(core) or self.kept), 0)) for core in results]
        if axes is not None:
            self._set(list(axes), inputs, results)

    def _set(self, axes: list[Any], inputs: list[Core], results: list[Core]) -> None:
        if len(axes) == len(inputs) and not any(results):
            axes = axes + [()] * len(results)
        if len(axes) != len(inputs) + len(results):
            raise ValueError(f"axes= has {len(axes)} entries, for {len(inputs)} arguments and {len(results)} results")
        tuples = [(one,) if isinstance(one, int | np.integer) else tuple(one) for one in axes]
        wanted = [*map(len, inputs), *(len(core) or self.kept for core in results)]
        if self.kept:
            # Axes that are kept are where they were in the first argument, unless the caller says otherwise.
            tuples = [one or tuples[0] for one in tuples]
        for number, (one, count) in enumerate(zip(tuples, wanted)):
            if len(one) != count:
                raise ValueError(f"axes={axes!r} has {len(one)} axes in place {number}, the signature has {count}")
        self.inputs, self.results = tuples[: len(inputs)], tuples[len(inputs) :]

    def finished(self, expr: ArrayExpr, number: int, core: tuple[float, ...]) -> ArrayExpr:
        """A result with its core axes where they belong."""
        count = len(core)
        if self.kept and not core:
            count = self.kept
            expr = expanded(expr, tuple(range(expr.ndim, expr.ndim + count)))
        expr = _axes_from_last(expr, self.results[number], count)
        unknown = tuple([at % expr.ndim for at, size in zip(self.results[number], core) if is_nan(size)])
        return Sized(expr, unknown) if unknown else expr


def _axes_last(expr: ArrayExpr, core: tuple[int, ...]) -> ArrayExpr:
    """An array with some axes moved to the end."""
    places = np.lib.array_utils.normalize_axis_tuple(core, expr.ndim, "axes")
    return transposed(expr, tuple([axis for axis in range(expr.ndim) if axis not in places]) + tuple(places))


def _axes_from_last(expr: ArrayExpr, core: tuple[int, ...], count: int) -> ArrayExpr:
    """An array with its last axes moved elsewhere."""
    if not count:
        return expr
    places = np.lib.array_utils.normalize_axis_tuple(core, expr.ndim, "axes")
    loop = iter(range(expr.ndim - count))
    order = [expr.ndim - count + places.index(at) if at in places else next(loop) for at in range(expr.ndim)]
    return transposed(expr, tuple(order))


def _core_sizes(exprs: list[ArrayExpr], inputs: list[Core], given: dict[str, float]) -> dict[str, float]:
    sizes: dict[str, float] = {}
    for number, (expr, core) in enumerate(zip(exprs, inputs)):
        for name, size in zip(core, expr.shape[expr.ndim - len(core) :]):
            wanted = int(name) if name.isdigit() else sizes.setdefault(name, size)
            if wanted != size:
                raise ValueError(
                    f"the core axis {name!r} has {size} elements in argument {number}, but {wanted} were expected"
                )
    for name, said in given.items():
        if is_nan(said):
            sizes.setdefault(name, math.nan)
        elif sizes.setdefault(name, int(said)) != said:
            raise ValueError(f"output_sizes= says {said} for the core axis {name!r}, the arguments say {sizes[name]}")
    return sizes | {name: int(name) for core in inputs for name in core if name.isdigit()}


def _whole_core(expr: ArrayExpr, core: Core, number: int, allow_rechunk: bool) -> ArrayExpr:
    first = expr.ndim - len(core)
    cut = [name for axis, name in enumerate(core, first) if expr.grid[axis] != 1]
    if cut and not allow_rechunk:
        raise ValueError(
            f"the core axis {cut[0]!r} of argument {number} has several blocks; rechunk it to one, or give allow_rechunk=True "
            "if the whole axis fits into memory"
        )
    return cut_whole(expr, tuple(range(first, expr.ndim)))


def _loops_alike(exprs: list[ArrayExpr], inputs: list[Core]) -> tuple[list[ArrayExpr], Chunks]:
    """Arrays cut alike along the axes that are no core axes, and the chunks that these have in the results."""
    loops = [expr.ndim - len(core) for expr, core in zip(exprs, inputs)]
    shape = broadcast_shapes(*[expr.shape[:ndim] for expr, ndim in zip(exprs, loops)])
    along = []
    for axis, length in enumerate(shape):
        own = [(expr, axis - len(shape) + ndim) for expr, ndim in zip(exprs, loops)]
        along.append(Chunks.unify([expr.chunks.axis(at) for expr, at in own if at >= 0 and expr.shape[at] == length]))
    ready = []
    for expr, ndim in zip(exprs, loops):
        skipped = len(shape) - ndim
        parts = [
            along[skipped + axis] if expr.shape[axis] == shape[skipped + axis] else Chunks.whole([expr.shape[axis]])
            for axis in range(ndim)
        ]
        ready.append(
            rechunked(expr, Chunks.join([*parts, *[expr.chunks.axis(axis) for axis in range(ndim, expr.ndim)]]))
        )
    return ready, Chunks.join(along)


def _as_dtypes(given: Any, count: int) -> tuple[np.dtype, ...] | None:
    if given is None:
        return None
    many = tuple(given) if isinstance(given, list | tuple) else (given,)
    if len(many) != count:
        raise ValueError(f"output_dtypes= has {len(many)} types, the signature has {count} results")
    return tuple([np.dtype(one) for one in many])


def _vectorized(func: Callable[..., Any], signature: str, dtypes: tuple[np.dtype, ...] | None) -> Any:
    return np.vectorize(func, signature=signature.rstrip(", "), otypes=list(dtypes) if dtypes is not None else None)


def _metas(
    func: Any,
    kwargs: dict[str, Any],
    exprs: list[ArrayExpr],
    inputs: list[Core],
    loops: int,
    cores: tuple[tuple[float, ...], ...],
    dtypes: tuple[np.dtype, ...] | None,
    meta: Any,
    is_single: bool,
) -> tuple[Any, ...]:
    """What the results are like, each with loop and core axes."""
    ndims = [loops + len(core) for core in cores]
    if meta is not None:
        metas = meta if isinstance(meta, list | tuple) else (meta,)
        if len(metas) != len(cores):
            raise ValueError(f"meta= has {len(metas)} arrays, the signature has {len(cores)} results")
        given = dtypes if dtypes is not None else [None] * len(metas)
        return tuple([as_meta(one, ndim, dtype) for one, ndim, dtype in zip(metas, ndims, given)])
    if dtypes is not None:
        return tuple([as_meta(np.empty(0, dtype), ndim) for ndim, dtype in zip(ndims, dtypes)])
    trouble: Exception | None = None
    # Small core axes first: the function may cost as much as they are long.
    for most in (1, None):
        samples = [_sample(expr, len(core), core, most) for expr, core in zip(exprs, inputs)]
        try:
            with np.errstate(all="ignore"):
                found = func(*samples, **kwargs)
        except Exception as error:
            trouble = error
            continue
        several = [found] if is_single else list(found)
        if len(several) == len(cores):
            return tuple(
                [as_meta(np.asarray(one) if np.isscalar(one) else one, ndim) for one, ndim in zip(several, ndims)]
            )
        trouble = ValueError(f"it gave {len(several)} results, the signature has {len(cores)}")
    name = getattr(func, "__name__", type(func).__name__)
    raise ValueError(
        f"the types of what {name} makes could not be found out by calling it with ones ({type(trouble).__name__}: {trouble}); "
        "give output_dtypes= or meta="
    ) from trouble


def _sample(expr: ArrayExpr, cores: int, core: Core, most: int | None) -> Any:
    """A block of ones, with one element along the axes that are no core axes."""
    sizes = expr.shape[expr.ndim - cores :]
    if most is not None:
        sizes = tuple([size if name.isdigit() else min(size, most) for size, name in zip(sizes, core)])
    one = ones_like_meta(expr)
    return np.broadcast_to(one, (1,) * (expr.ndim - cores) + sizes).copy()


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class _Several(Blocks):
    """Blocks that are tuples; the meta is one as well."""

    @property
    def dtype(self) -> np.dtype:
        return self.meta[0].dtype

    @property
    def block_bytes(self) -> int:
        most = math.prod(self.chunks.largest)
        cores = [_counted(core) for core in self.func.cores]  # type: ignore[attr-defined]
        return sum([most * math.prod(core) * meta.dtype.itemsize for meta, core in zip(self.meta, cores)])


def _counted(core: tuple[float, ...]) -> list[int]:
    """The sizes of core axes, 1 for those that are not known."""
    return [1 if is_nan(size) else int(size) for size in core]


def _results(
    call: GufuncCall, exprs: list[ArrayExpr], loops: tuple[int, ...], loop: Chunks, is_single: bool
) -> list[ArrayExpr]:
    reads = tuple(
        [
            tuple(range(loop.ndim - ndim, loop.ndim)) + (("fixed", 0),) * (expr.ndim - ndim)
            for expr, ndim in zip(exprs, loops)
        ]
    )
    chunks = [Chunks.join([loop, Chunks.whole(_counted(core))]) for core in call.cores]
    label = call.__name__.strip("_<>") or "gufunc"
    if is_single:
        return [Blocks(call, tuple(exprs), reads, chunks[0], call.metas[0], label)]
    several = _Several(call, tuple(exprs), reads, loop, call.metas, label)
    own = tuple(range(loop.ndim))
    return [
        Blocks(ufuncs.pick, (several, which), (own, None), chunks[which], meta, f"{label}_{which}")
        for which, meta in enumerate(call.metas)
    ]
