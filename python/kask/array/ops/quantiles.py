"""Medians, quantiles and percentiles: exact, for all of NumPy's methods."""

from __future__ import annotations

import functools
import math
import operator
from typing import Any

import numpy as np

from kask import config
from kask.array.base import ArrayBase, as_array
from kask.array.kernels.quantiles import (
    Brackets,
    ReachedIn,
    ReachedValues,
    SampleBlock,
    Select,
    SelectPart,
    Weighed,
    add_samples,
    add_selections,
)
from kask.array.node import ArrayExpr
from kask.array.ops.elementwise import elementwise, unified
from kask.array.ops.lines import by_lines, has_long_lines
from kask.array.ops.mapped import cut_whole, mapped
from kask.array.ops.reductions import into, normal_axes, reduced
from kask.array.ops.reductions_basic import _flag
from kask.array.ops.reshaping import raveled
from kask.array.ops.sample_sort import sample_sorted
from kask.array.ops.scans import scanned
from kask.array.ops.slicing import expanded, sliced, squeezed, transposed
from kask.engine import Chunks

__all__ = ["median", "nanmedian", "nanpercentile", "nanquantile", "percentile", "quantile"]

_NOTES = """
Notes
-----
Exact. Along some axes, each task has these axes whole, and the others are cut finer for that where necessary. Over all elements of an
array that is larger than a block is allowed to be, and along axes whose elements for one place along the others are, if there are no
more than 64 such places, two passes are made: samples of the sorted blocks say for certain between which elements each quantile lies,
and then only the elements between these are gathered (after Munro, Paterson, "Selection and sorting with limited storage", 1980). How a
quantile between two elements is found: Hyndman, Fan, "Sample quantiles in statistical packages", 1996."""


class _Along:
    """A function of a block that has the reduced axes whole, whose result's first axes (those of q) stay first."""

    def __init__(self, name: str, axes: tuple[int, ...], options: dict[str, Any]) -> None:
        self.__name__, self.axes, self.options = name, axes, options

    def __call__(self, block: Any, weights: Any = None) -> Any:
        options = (
            self.options if weights is None else {**self.options, "weights": np.broadcast_to(weights, block.shape)}
        )
        if 0 in block.shape and all(block.shape[axis] for axis in self.axes):
            return self._of_nothing(block)
        with np.errstate(all="ignore"):
            return np.asarray(getattr(np, self.__name__)(block, axis=self.axes, **options))

    def _of_nothing(self, block: Any) -> Any:
        """The function of a block that has no elements along another axis, which NumPy does not know for all of them."""
        sample = np.ones([max(1, length) for length in block.shape], block.dtype)
        found = np.asarray(getattr(np, self.__name__)(sample, axis=self.axes, **self.options))
        keeps = self.options.get("keepdims", False)
        lengths = [
            1 if axis in self.axes else length
            for axis, length in enumerate(block.shape)
            if keeps or axis not in self.axes
        ]
        index: tuple[Any, ...] = (..., *[slice(0, length) for length in lengths])
        return found[index]

    def __kask_tokenize__(self) -> Any:
        return "along", self.__name__, self.axes, self.options


_METHODS = (
    *("inverted_cdf", "averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf", "hazen", "weibull"),
    *("linear", "median_unbiased", "normal_unbiased", "lower", "higher", "midpoint", "nearest"),
)


def _whole(
    array: ArrayExpr, axes: tuple[int, ...], name: str, options: dict[str, Any], q: Any, keepdims: bool, weights: Any
) -> ArrayExpr:
    """The function of blocks that have the axes whole."""
    arrays = [array]
    if weights is not None:
        arrays, _ = unified([array, _weights_for(array, weights, axes)])
    arrays = [cut_whole(arrays[0], axes), *arrays[1:]]
    for place, other in enumerate(arrays[1:], 1):
        from kask.array.ops.rechunk import rechunked

        cuts = [
            arrays[0].chunks.axis(axis) if length != 1 or arrays[0].shape[axis] == 1 else Chunks.whole([1])
            for axis, length in enumerate(other.shape)
        ]
        arrays[place] = rechunked(other, Chunks.join(cuts))
    ndim = array.ndim
    if not axes:
        raise ValueError("axis= names no axis")
    extra = np.ndim(q) if q is not None else 0
    kept = [axis for axis in range(ndim) if axis not in axes]
    one = Chunks.whole([1])
    along = [arrays[0].chunks.axis(axis) if axis in kept else one for axis in range(ndim) if keepdims or axis in kept]
    chunks = Chunks.join([Chunks.whole(list(np.shape(q)) if extra else []), *along])
    places = list(range(ndim)) if keepdims else [kept.index(axis) if axis in kept else -1 for axis in range(ndim)]
    reads = tuple([("fixed", 0) if axis in axes else extra + places[axis] for axis in range(ndim)])
    others = [
        tuple(
            [
                ("fixed", 0)
                if other.grid[axis] == 1
                and reads[axis] != ("fixed", 0)
                and other.shape[axis] == 1
                and array.shape[axis] != 1
                else reads[axis]
                for axis in range(ndim)
            ]
        )
        for other in arrays[1:]
    ]
    sample = np.ones((2,) * ndim, array.dtype)
    typed = options if weights is None else {**options, "weights": np.ones((2,) * ndim, arrays[1].dtype)}
    kind = np.asarray(getattr(np, name)(sample, axis=axes, **typed)).dtype
    return mapped(_Along(name, axes, options), *arrays, reads=(reads, *others), chunks=chunks, dtype=kind, label=name)


def _weights_for(array: ArrayExpr, weights: Any, axes: tuple[int, ...]) -> ArrayExpr:
    from kask.array.ops.averages import _weights_for as lined_up

    return lined_up(array, as_array(weights).expr, axes)


def _selected(
    array: ArrayExpr, axes: tuple[int, ...], qs: Any, method: Any, passes_nan: bool, keepdims: bool, label: str
) -> ArrayExpr:
    """Quantiles of all elements of a large array, or of those of each of its long lines; the axes of q come first."""
    if len(axes) == array.ndim:
        return _selected_of_all(array, qs, method, passes_nan, keepdims, label)
    lines = by_lines(array, axes, lambda line: _selected_of_all(line, qs, method, passes_nan, False, label))
    return _q_first(lines, axes, qs.ndim, keepdims)


def _q_first(lines: ArrayExpr, axes: tuple[int, ...], extra: int, keepdims: bool) -> ArrayExpr:
    """The quantiles of lines, with the axes of q in front."""
    others = lines.ndim - extra
    found = transposed(lines, (*range(others, lines.ndim), *range(others)))
    return expanded(found, tuple([extra + axis for axis in axes])) if keepdims else found


def _weighted(
    array: ArrayExpr, weights: Any, axes: tuple[int, ...], qs: Any, passes_nan: bool, keepdims: bool, label: str
) -> ArrayExpr:
    """As :func:`_selected`, of elements with weights, which are sorted."""
    heavy = _weights_for(array, weights, axes)
    if heavy.dtype.kind not in "biuf":
        raise TypeError(f"weights= must be real numbers, but are of type {heavy.dtype}")
    kind = np.dtype([("value", array.dtype), ("weight", np.float64)])
    records = elementwise(Weighed(kind, passes_nan), array, heavy, dtype=kind)

    def of_line(line: ArrayExpr) -> ArrayExpr:
        ordered = sample_sorted(raveled(line), False)
        chunks = ordered.chunks
        sums = scanned(elementwise(operator.getitem, ordered, "weight"), "cumsum", 0, np.dtype(np.float64))
        total = squeezed(sliced(sums, ((chunks.shape[0] - 1, 1, 1),)), (0,))
        tree = reduced(
            sums,
            ReachedIn(qs.reshape(-1)),
            add_samples,
            ReachedValues(passes_nan),
            (0,),
            array.dtype,
            others=(ordered, total),
            of_list=True,
            label=label,
            bytes_each=max(1, qs.size * array.dtype.itemsize),
        )
        return mapped(
            np.reshape,
            tree,
            reads=((),),
            constants=(qs.shape,),
            chunks=Chunks.whole(list(qs.shape)),
            dtype=array.dtype,
            label=label,
        )

    return _q_first(by_lines(records, axes, of_line), axes, qs.ndim, keepdims)


def _selected_of_all(array: ArrayExpr, qs: Any, method: Any, passes_nan: bool, keepdims: bool, label: str) -> ArrayExpr:
    axes = tuple(range(array.ndim))
    samples = reduced(
        array,
        SampleBlock(),
        add_samples,
        functools.partial(_brackets_of, Brackets(qs, method)),
        axes,
        array.dtype,
        of_list=True,
        label="brackets",
        bytes_each=1 << 14,
    )
    kind = np.quantile(np.ones(2, array.dtype), qs.reshape(-1)[:1], method=method).dtype if qs.size else np.dtype(float)
    # The axes of q are put in front afterwards.
    tree = reduced(
        array,
        SelectPart(),
        add_selections,
        _Of(Select((qs.size,), method, passes_nan, kind)),
        axes,
        kind,
        others=(samples,),
        of_list=True,
        label=label,
        bytes_each=1 << 14,
    )
    shape = (*qs.shape, *((1,) * array.ndim if keepdims else ()))
    return mapped(
        np.reshape, tree, reads=((),), constants=(shape,), chunks=Chunks.whole(list(shape)), dtype=kind, label=label
    )


def _brackets_of(brackets: Brackets, parts: list[Any]) -> Any:
    return brackets(add_samples(parts))


class _Of:
    """The quantiles of what was selected."""

    def __init__(self, select: Select) -> None:
        self.select = select
        self.__name__ = "quantile"

    def __call__(self, parts: list[Any]) -> Any:
        return self.select(add_selections(parts))

    def __kask_tokenize__(self) -> Any:
        return "of", self.select


def _quantile(name: str, a: Any, q: Any, axis: Any, out: Any, method: str, keepdims: Any, weights: Any) -> Any:
    array = as_array(a).expr
    q = q.compute() if isinstance(q, ArrayBase) else q
    scale = 100.0 if name.endswith("percentile") else 1.0
    if method not in _METHODS:
        raise ValueError(f"method={method!r} is not one of {', '.join(_METHODS)}")
    # NumPy's own checks of q and weights.
    getattr(np, name)(np.ones(1, array.dtype), q, method=method, **({} if weights is None else {"weights": [1.0]}))
    axes = normal_axes(axis, array.ndim)
    keeps = _flag(keepdims)
    q = q if isinstance(q, int | float) else np.asanyarray(q)
    if _is_large(array, axes) and weights is None and array.dtype.kind in "biufmM":
        kind = array.dtype if isinstance(q, int | float) and array.dtype.kind == "f" else np.dtype(np.float64)
        qs = np.asarray(np.true_divide(np.asarray(q, kind), kind.type(scale)))
        return into(out, _selected(array, axes, qs, method, name.startswith("nan"), keeps, name))
    if _is_large(array, axes) and weights is not None and array.dtype.kind in "biufmM":
        qs = np.asarray(q, array.dtype) if isinstance(q, int | float) and array.dtype.kind == "f" else np.asarray(q)
        if scale != 1:
            qs = np.asarray(np.true_divide(qs, array.dtype.type(scale) if array.dtype.kind == "f" else scale))
        return into(out, _weighted(array, weights, axes, qs, name.startswith("nan"), keeps, name))
    options = {"q": q, "method": method, "keepdims": keeps}
    if not axes:
        return into(out, _without_axes(array, name, options, q))
    return into(out, _whole(array, axes, name, options, q, keeps, weights))


def _without_axes(array: ArrayExpr, name: str, options: dict[str, Any], q: Any) -> ArrayExpr:
    shape = np.shape(q) if name.endswith("ile") else ()
    kind = np.asarray(getattr(np, name)(np.ones((), array.dtype), **options)).dtype
    chunks = Chunks.join([Chunks.whole(list(shape)), array.chunks])
    reads = tuple(range(len(shape), len(shape) + array.ndim))
    return mapped(_Along(name, (), options), array, reads=(reads,), chunks=chunks, dtype=kind, label=name)


def _is_large(array: ArrayExpr, axes: tuple[int, ...]) -> bool:
    """Whether all elements are asked for, and are too many for one block, or those of single lines that are too long."""
    if len(axes) < array.ndim:
        return bool(axes) and has_long_lines(array, axes)
    if array.chunks.nblocks == 1:
        return False
    return math.prod(array.shape) * array.dtype.itemsize > int(config.get("array.chunk_size_bytes"))


def _method(method: str, interpolation: Any) -> str:
    return method if interpolation is None else interpolation


def _median(name: str, a: Any, axis: Any, keepdims: Any, out: Any) -> Any:
    array = as_array(a).expr
    axes = normal_axes(axis, array.ndim)
    keeps = _flag(keepdims)
    kind = np.asarray(getattr(np, name)(np.ones(2, array.dtype))).dtype
    if _is_large(array, axes) and array.dtype.kind in "biufm":
        half = np.asarray(0.5, kind if kind.kind == "f" else float)
        return into(out, _selected(array, axes, half, "linear", name.startswith("nan"), keeps, name))
    if not axes:
        return into(out, _without_axes(array, name, {}, 0.5))
    return into(out, _whole(array, axes, name, {"keepdims": keeps}, None, keeps, None))


_DOC = """{first}

Parameters
----------
a : array_like
    The array.
{q}axis : int or tuple of int, optional
    The axes to reduce; all of them if nothing is said.
{method}keepdims : bool, optional
    Whether reduced axes stay, with one element.
out : Array, optional
    An array of the result's shape, which becomes the result.

Returns
-------
Array
    {returns}
{notes}

Examples
--------
>>> import kask.array as ka
>>> {example}
"""
_Q = "q : float or array_like of float\n    {what}, from 0 to {most}.\n"
_METHOD = (
    "method : str, optional\n    How a quantile between two elements is found: as in ``numpy.quantile``.\n"
    'weights : array_like, optional\n    As in ``numpy.quantile``; only with ``method="inverted_cdf"``. Where there would be two passes,\n    elements are sorted with their weights, by sampling.\n'
)


def _documented(first: str, example: str, most: int = 0) -> Any:
    def add(func: Any) -> Any:
        func.__doc__ = _DOC.format(
            first=first,
            q=_Q.format(what="Which quantiles" if most == 1 else "Which percentiles", most=most) if most else "",
            method=_METHOD if most else "",
            returns="The axes of ``q``, and then those of ``a`` that are not reduced."
            if most
            else "Without the reduced axes.",
            notes=_NOTES,
            example=example,
        )
        return func

    return add


@_documented("Median of the elements.", "ka.median(ka.from_array([3, 1, 2, 9], chunks=2)).compute()\nnp.float64(2.5)")
def median(a: Any, axis: Any = None, keepdims: Any = False, out: Any = None) -> Any:
    return _median("median", a, axis, keepdims, out)


@_documented(
    "Median of the elements that are not NaN.",
    'ka.nanmedian(ka.from_array([3.0, float("nan"), 2.0], chunks=2)).compute()\nnp.float64(2.5)',
)
def nanmedian(a: Any, axis: Any = None, keepdims: Any = False, out: Any = None) -> Any:
    return _median("nanmedian", a, axis, keepdims, out)


def _define(name: str, first: str, example: str, most: int) -> Any:
    @_documented(first, example, most)
    def func(
        a: Any,
        q: Any,
        axis: Any = None,
        out: Any = None,
        overwrite_input: bool = False,
        method: str = "linear",
        keepdims: Any = False,
        *,
        weights: Any = None,
        interpolation: Any = None,
    ) -> Any:
        return _quantile(name, a, q, axis, out, _method(method, interpolation), keepdims, weights)

    func.__name__ = func.__qualname__ = name
    return func


quantile = _define(
    "quantile",
    "Quantiles of the elements.",
    "ka.quantile(ka.from_array([3, 1, 2], chunks=2), 0.25).compute()\nnp.float64(1.5)",
    1,
)
percentile = _define(
    "percentile",
    "Percentiles of the elements.",
    "ka.percentile(ka.from_array([3, 1, 2], chunks=2), 25).compute()\nnp.float64(1.5)",
    100,
)
nanquantile = _define(
    "nanquantile",
    "Quantiles of the elements that are not NaN.",
    'ka.nanquantile(ka.from_array([3, float("nan"), 2], chunks=2), 0.5).compute()\nnp.float64(2.5)',
    1,
)
nanpercentile = _define(
    "nanpercentile",
    "Percentiles of the elements that are not NaN.",
    'ka.nanpercentile(ka.from_array([3, float("nan"), 2], chunks=2), 50).compute()\nnp.float64(2.5)',
    100,
)
