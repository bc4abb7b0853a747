"""The user's own functions on blocks, axes by their labels: ``blockwise``, ``unify_chunks``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from kask.array.base import ArrayBase, as_array, wrap
from kask.array.kernels.blockwise import Argument, UserCall, nested
from kask.array.node import ArrayExpr, empty_meta
from kask.array.ops.blocks import Blocks
from kask.array.ops.chunk_runs import has_nan, is_nan, mapped_sizes, runs_of
from kask.array.ops.delaying import DelayedArgument, delayed_argument
from kask.array.ops.inference import as_meta, inferred_meta, takes_keyword
from kask.array.ops.rechunk import rechunked
from kask.array.ops.staged import Sized
from kask.base import is_kask_collection
from kask.engine import Chunks

__all__ = ["blockwise"]


class _Labelled(NamedTuple):
    """An array, a label for each of its axes, and which argument of the function it is."""

    expr: ArrayExpr
    labels: tuple[Any, ...]
    place: int


def blockwise(
    func: Callable[..., Any],
    out_ind: Any,
    *args: Any,
    name: str | None = None,
    token: str | None = None,
    dtype: Any = None,
    adjust_chunks: dict[Any, Any] | None = None,
    new_axes: dict[Any, Any] | None = None,
    align_arrays: bool = True,
    concatenate: bool | None = None,
    meta: Any = None,
    **kwargs: Any,
) -> Any:
    """A function of blocks, whose axes are matched by labels.

    Parameters
    ----------
    func : callable
        Called once for each block of the result.
    out_ind : iterable
        The labels of the axes of the result, as in ``"ij"``.
    *args
        Arrays, each followed by the labels of its axes, or anything else followed by None. An axis whose label is not in
        ``out_ind`` is contracted: the function gets all blocks along it, as lists in lists.
    name : str, optional
        The name of the result, which must be unique; ``token`` is only how it begins.
    dtype, meta : optional
        Of the result; by default found out by calling the function with blocks of no elements, or of ones.
    adjust_chunks : dict, optional
        For labels the sizes of the result's chunks: a number, a tuple, or a function of the size of the input's. NaN: they are not known
        before the function is called.
    new_axes : dict, optional
        For labels that no array has the size, or the sizes of the chunks, or NaN.
    align_arrays : bool, optional
        Whether arrays are cut alike before; otherwise they must have equally many blocks along each label.
    concatenate : bool, optional
        Whether contracted blocks are put together before the call, rather than passed in lists.
    **kwargs
        Further arguments of the function. Arrays among them are passed whole.

    Returns
    -------
    Array

    Raises
    ------
    ValueError
        Labels and arrays that do not fit each other; while computing, blocks that have not the shape that was said.

    Examples
    --------
    >>> import numpy as np
    >>> import kask.array as ka
    >>> x, y = ka.arange(4, chunks=2), ka.arange(3, chunks=3)
    >>> ka.blockwise(np.multiply.outer, "ij", x, "i", y, "j", dtype=x.dtype).compute()
    array([[0, 0, 0],
           [0, 1, 2],
           [0, 2, 4],
           [0, 3, 6]])
    """
    if len(args) % 2:
        raise ValueError("blockwise() takes arrays and their labels in turn; the last argument has no labels")
    values: list[Any] = list(args[::2])
    arrays = []
    for place, labels in enumerate(args[1::2]):
        if labels is None:
            if isinstance(values[place], ArrayBase):
                raise ValueError(
                    f"argument {place} of blockwise() is an array: give labels for its {values[place].ndim} axes"
                )
            continue
        expr = as_array(values[place]).expr
        if len(tuple(labels)) != expr.ndim:
            raise ValueError(f"argument {place} of blockwise() has {expr.ndim} axes, but the labels {labels!r}")
        arrays.append(_Labelled(expr, tuple(labels), place))
        values[place] = None
    ready, along = _cut_alike(arrays) if align_arrays else _matched(arrays)
    result = _Result(tuple(out_ind), along, new_axes or {}, adjust_chunks or {})
    expr = result.expr(func, values, ready, kwargs, dtype, meta, bool(concatenate), token, name)
    return wrap(expr)


class _Result:
    """The chunks of what a function makes, by label. Where sizes are not known, only how many there are is true of them."""

    def __init__(
        self, labels: tuple[Any, ...], along: dict[Any, Chunks], new: dict[Any, Any], adjust: dict[Any, Any]
    ) -> None:
        self.labels, self.along = labels, along
        for label in new:
            if label in along:
                raise ValueError(f"new_axes= has the label {label!r}, which an array has as well")
            if label not in labels:
                raise ValueError(f"new_axes= has the label {label!r}, which the result has not")
        self.unknown: list[int] = []
        self.chunks = Chunks.join([self._of(axis, label, new, adjust) for axis, label in enumerate(labels)])

    def _of(self, axis: int, label: Any, new: dict[Any, Any], adjust: dict[Any, Any]) -> Chunks:
        if label in new:
            sizes = new[label]
            if has_nan(sizes):
                self.unknown.append(axis)
                sizes = [1] * len(sizes) if isinstance(sizes, list | tuple) else 1
            return Chunks([list(sizes)]) if isinstance(sizes, list | tuple) else Chunks.whole([int(sizes)])
        if label not in self.along:
            raise ValueError(f"the result has the label {label!r}, which no array and not new_axes= has")
        ours = self.along[label]
        if label not in adjust:
            return ours
        wanted = adjust[label]
        if isinstance(wanted, list | tuple) and len(wanted) != ours.grid[0]:
            raise ValueError(
                f"axis {label!r} has {ours.grid[0]} blocks, but {len(wanted)} chunk sizes were given for it"
            )
        if has_nan(wanted) or (callable(wanted) and any(is_nan(wanted(size)) for size, _ in runs_of(ours))):
            self.unknown.append(axis)
            return ours
        if callable(wanted):
            return mapped_sizes(ours, wanted)
        if isinstance(wanted, list | tuple):
            return Chunks([list(wanted)])
        return mapped_sizes(ours, lambda size: int(wanted))

    def expr(
        self,
        func: Callable[..., Any],
        values: list[Any],
        arrays: list[_Labelled],
        kwargs: dict[str, Any],
        dtype: Any,
        meta: Any,
        concatenate: bool,
        token: str | None,
        name: str | None,
    ) -> ArrayExpr:
        call, exprs, reads = self.called(func, values, arrays, kwargs, concatenate)
        found = _foretold(call, exprs, dtype, meta)
        call.dtype = found.dtype
        blocks = Blocks(call, exprs, reads, self.chunks, found, _label_of(call, token), True, name or "")
        return Sized(blocks, call.unknown) if call.unknown else blocks

    def called(
        self,
        func: Callable[..., Any],
        values: list[Any],
        arrays: list[_Labelled],
        kwargs: dict[str, Any],
        concatenate: bool,
    ) -> tuple[UserCall, tuple[ArrayExpr, ...], tuple[Any, ...]]:
        """The call that makes a block, of which the type is not known yet; the arrays whose blocks it gets, and how their axes are read."""
        if not callable(func):
            raise TypeError(f"func must be callable, got {type(func).__name__}")
        delayed = {place: lazy for place, one in enumerate(values) if (lazy := delayed_argument(one)) is not None}
        values = [None if place in delayed else value for place, value in enumerate(values)]
        kwargs, wholes = _split_keywords(kwargs)
        wholes = {**wholes, **delayed}
        wanted = tuple(
            [word for word in ("block_id", "block_info") if word not in kwargs and takes_keyword(func, word)]
        )
        arguments, reads = [], []
        for expr, labels, place in arrays:
            axes = tuple([self.labels.index(label) if label in self.labels else -1 for label in labels])
            is_many = any(axis < 0 and (blocks > 1 or not concatenate) for axis, blocks in zip(axes, expr.grid))
            arguments.append(Argument(place, expr.chunks, axes, is_many, expr.dtype))
            contracted = "all" if is_many else ("fixed", 0)
            reads.append(tuple([axis if axis >= 0 else contracted for axis in axes]))
        for key, expr in wholes.items():
            is_array = not isinstance(expr, DelayedArgument)
            arguments.append(Argument(key, expr.chunks, (-1,) * expr.ndim, False, expr.dtype, is_array))
            reads.append((("fixed", 0),) * expr.ndim)
        exprs = [array.expr for array in arrays] + list(wholes.values())
        call = UserCall(func, tuple(values), tuple(arguments), kwargs, self.chunks, None, concatenate, wanted)
        call.unknown = tuple(self.unknown)
        return call, tuple(exprs), tuple(reads)


def _label_of(call: UserCall, token: str | None) -> str:
    return token or call.__name__.strip("_<>") or "blockwise"


def _foretold(call: UserCall, exprs: Sequence[ArrayExpr], dtype: Any, meta: Any) -> Any:
    """The meta of what the function makes."""
    ndim = call.chunks.ndim
    if all(array.is_array for array in call.arrays):
        return inferred_meta(lambda stand_in: _tried(call, exprs, stand_in), ndim, dtype, meta, call.__name__)
    if meta is not None:
        return as_meta(meta, ndim, dtype)
    if dtype is None:
        raise ValueError(
            f"{call.__name__} has an argument that is delayed, so what it makes is not known yet; give dtype= or meta="
        )
    return empty_meta(dtype, ndim)


def _split_keywords(kwargs: dict[str, Any]) -> tuple[dict[str, Any], dict[Any, ArrayExpr]]:
    """Keywords that are constants, and arrays among them in one block each."""
    plain: dict[str, Any] = {}
    wholes: dict[Any, ArrayExpr] = {}
    for key, value in kwargs.items():
        lazy = delayed_argument(value)
        if lazy is not None:
            wholes[key] = lazy
        elif isinstance(value, ArrayBase):
            wholes[key] = rechunked(value.expr, Chunks.whole(list(value.shape)))
        elif is_kask_collection(value):
            raise TypeError(f"{key}= is a {type(value).__name__}: compute it before, or make an array of it")
        else:
            plain[key] = value
    return plain, wholes


def _tried(call: UserCall, exprs: Sequence[ArrayExpr], stand_in: Callable[[ArrayExpr], Any]) -> Any:
    """What the function makes of stand-ins for the arrays."""
    args, kwargs = list(call.args), dict(call.kwargs)
    for array, expr in zip(call.arrays, exprs):
        value = stand_in(expr)
        if array.is_many and not call.concatenate:
            contracted = [axis for axis in array.axes if axis < 0]
            value = nested([value], [1] * len(contracted))
        if isinstance(array.place, str):
            kwargs[array.place] = value
        else:
            args[array.place] = value
    first = (0,) * call.chunks.ndim
    if "block_id" in call.wanted:
        kwargs["block_id"] = first
    if "block_info" in call.wanted:
        kwargs["block_info"] = call.info(first)
    return call.func(*args, **kwargs)


def _by_label(arrays: list[_Labelled]) -> dict[Any, list[Chunks]]:
    """For each label how the arrays are cut along it."""
    found: dict[Any, list[Chunks]] = {}
    for expr, labels, _ in arrays:
        for axis, label in enumerate(labels):
            found.setdefault(label, []).append(expr.chunks.axis(axis))
    return found


def _cut_alike(arrays: list[_Labelled]) -> tuple[list[_Labelled], dict[Any, Chunks]]:
    """Arrays with the same cuts along each label, but for axes of one element, which go with all blocks of the others."""
    along = {}
    for label, cuts in _by_label(arrays).items():
        lengths = {one.shape[0] for one in cuts}
        if len(lengths - {1}) > 1:
            raise ValueError(
                f"axes of the label {label!r} have the lengths {sorted(lengths)}: they must be equal, or 1"
            )
        length = next(iter(lengths - {1}), 1)
        along[label] = Chunks.unify([one for one in cuts if one.shape[0] == length])
    return [_recut(array, along) for array in arrays], along


def _recut(array: _Labelled, along: dict[Any, Chunks]) -> _Labelled:
    expr = array.expr
    wanted = [
        along[label] if along[label].shape[0] == length else Chunks.whole([length])
        for label, length in zip(array.labels, expr.shape)
    ]
    return array._replace(expr=rechunked(expr, Chunks.join(wanted)))


def _matched(arrays: list[_Labelled]) -> tuple[list[_Labelled], dict[Any, Chunks]]:
    """Arrays as they are cut, with as many blocks along each label; an array of one block goes with all of the others."""
    along = {}
    for label, cuts in _by_label(arrays).items():
        counts = {one.grid[0] for one in cuts}
        if len(counts - {1}) > 1:
            raise ValueError(
                f"axes of the label {label!r} have {sorted(counts)} blocks: they must have equally many, or 1"
            )
        along[label] = max(cuts, key=lambda one: one.grid[0])
    return arrays, along


def _cut_where_possible(arrays: list[_Labelled], chunks_are_given: bool) -> tuple[list[_Labelled], dict[Any, Chunks]]:
    """Arrays cut alike where they are equally long, otherwise as they are."""
    ready = arrays
    for label, cuts in _by_label(arrays).items():
        lengths, counts = {one.shape[0] for one in cuts}, {one.grid[0] for one in cuts}
        if len(lengths - {1}) <= 1 and not (chunks_are_given and len(counts) == 1):
            length = next(iter(lengths - {1}), 1)
            whole = Chunks.unify([one for one in cuts if one.shape[0] == length])
            ready = [
                array._replace(expr=_recut_axis(array.expr, array.labels.index(label), whole))
                if label in array.labels
                else array
                for array in ready
            ]
    return _matched(ready)


def _recut_axis(expr: ArrayExpr, axis: int, along: Chunks) -> ArrayExpr:
    length = expr.shape[axis]
    wanted = along if length == along.shape[0] else Chunks.whole([length])
    return rechunked(expr, expr.chunks.replace(axis, wanted))


def unify_chunks(*args: Any, **kwargs: Any) -> tuple[dict[Any, tuple[int, ...]], list[Any]]:
    """Arrays cut alike.

    Parameters
    ----------
    *args
        Arrays, each followed by the labels of its axes, or anything else followed by None.

    Returns
    -------
    dict
        The chunk sizes by label.
    list
        The arguments, cut so.

    Examples
    --------
    >>> import kask.array as ka
    >>> chunks, (x, y) = ka.core.unify_chunks(ka.ones(4, chunks=2), "i", ka.ones(4, chunks=3), "i")
    >>> chunks, x.chunks
    ({'i': (2, 1, 1)}, ((2, 1, 1),))
    """
    unknown = kwargs.keys() - {"warn"}
    if unknown:
        raise TypeError(f"unify_chunks() got an unexpected keyword argument {sorted(unknown)[0]!r}")
    if len(args) % 2:
        raise ValueError("unify_chunks() takes arrays and their labels in turn; the last argument has no labels")
    pairs: Iterable[tuple[Any, Any]] = list(zip(args[::2], args[1::2]))
    arrays = [
        _Labelled(as_array(x).expr, tuple(labels), place)
        for place, (x, labels) in enumerate(pairs)
        if labels is not None
    ]
    ready, along = _cut_alike(arrays)
    results = [x for x, _ in pairs]
    for expr, _, place in ready:
        results[place] = wrap(expr)
    return {label: chunks.tuples()[0] for label, chunks in along.items()}, results
