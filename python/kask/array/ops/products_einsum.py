"""``einsum``: sums of products in Einstein's notation."""

from __future__ import annotations

import string
from typing import Any

import numpy as np

from kask.array.base import ArrayBase, as_array
from kask.array.kernels.products import Einsum
from kask.array.node import ArrayExpr
from kask.array.ops.contraction import contracted
from kask.array.ops.filling import cast
from kask.array.ops.reductions import into

__all__ = ["einsum", "einsum_path"]

_Labels = tuple[Any, ...]


def _text_of(labels: Any) -> str:
    """The subscripts that a list of numbers and Ellipsis means."""
    return "".join(["..." if label is Ellipsis else string.ascii_letters[int(label)] for label in labels])


def _split(operands: tuple[Any, ...]) -> tuple[str, list[Any]]:
    """Subscripts and arrays, of either way to call ``einsum``."""
    if not operands:
        raise ValueError("einsum() needs subscripts and arrays")
    if isinstance(operands[0], str):
        return operands[0].replace(" ", ""), list(operands[1:])
    arrays, labels = list(operands[: len(operands) // 2 * 2 : 2]), operands[1::2]
    text = ",".join(map(_text_of, labels))
    if len(operands) % 2:
        text += "->" + _text_of(operands[-1])
    return text, arrays


def _labels_of(subscripts: str, ndims: list[int]) -> tuple[list[_Labels], _Labels]:
    """For each axis of each array its label, and those of the result. Axes under an ellipsis are numbered from the last one: -1, -2."""
    left, arrow, right = subscripts.partition("->")
    terms = left.split(",")
    if len(terms) != len(ndims):
        raise ValueError(f"einsum: {subscripts!r} is for {len(terms)} arrays, but {len(ndims)} were given")
    inputs, most = [], 0
    for term, ndim in zip(terms, ndims):
        before, dots, after = _parsed(term, subscripts)
        hidden = ndim - len(before) - len(after)
        if hidden < 0 or (hidden and not dots):
            raise ValueError(f"einsum: {term!r} in {subscripts!r} does not fit an array of {ndim} axes")
        inputs.append((*before, *range(-hidden, 0), *after))
        most = max(most, hidden)
    named = [label for labels in inputs for label in labels if isinstance(label, str)]
    if not arrow:
        return inputs, (*range(-most, 0), *sorted({label for label in named if named.count(label) == 1}))
    before, dots, after = _parsed(right, subscripts)
    if most and not dots:
        raise ValueError(f"einsum: {subscripts!r} has an ellipsis for {most} axes, but none in the result")
    out = (*before, *(range(-most, 0) if dots else ()), *after)
    for label in (*before, *after):
        if label not in named or out.count(label) > 1:
            what = "twice" if out.count(label) > 1 else "which no array has"
            raise ValueError(f"einsum: the result of {subscripts!r} has the label {label!r} {what}")
    return inputs, out


def _parsed(term: str, subscripts: str) -> tuple[str, str, str]:
    before, dots, after = term.partition("...")
    for letter in before + after:
        if letter not in string.ascii_letters:
            raise ValueError(f"einsum: {letter!r} in {subscripts!r} is not a letter")
    return before, dots, after


def _one_step(
    arrays: list[ArrayExpr], labels: list[_Labels], out: _Labels, options: dict[str, Any], split_every: Any
) -> ArrayExpr:
    """The product of some arrays at once."""
    numbers = {label: place for place, label in enumerate(out)}
    for own in labels:
        for label in own:
            numbers.setdefault(label, len(numbers))
    axes = tuple([tuple([numbers[label] for label in own]) for own in labels])
    dtype = np.result_type(*[array.dtype for array in arrays])
    func = Einsum(axes, len(out), options)
    return contracted(func, arrays, labels, out, dtype, split_every=split_every)


def einsum(
    *operands: Any,
    dtype: Any = None,
    optimize: Any = False,
    split_every: Any = None,
    out: Any = None,
    order: str = "K",
    casting: str = "safe",
) -> Any:
    """Sums of products in Einstein's notation.

    Parameters
    ----------
    *operands
        Subscripts and arrays, as ``"ij,jk->ik", a, b``; or arrays, each followed by a list of the numbers of its axes, and at last those of
        the result. ``...`` (``Ellipsis``) stands for the axes that are left.
    dtype : data-type, optional
        The type in which is multiplied and added.
    optimize : optional
        In which order several arrays are multiplied: what ``numpy.einsum_path`` takes. By default a good one is chosen.
    split_every : int, optional
        How many blocks of products one task adds.
    out : Array, optional
        An array of the result's shape, which becomes the result.
    order : str, optional
        How elements lie in memory; it has no influence on the result.
    casting : str, optional
        What casts to ``dtype`` are allowed.

    Returns
    -------
    Array

    Raises
    ------
    ValueError
        Subscripts that do not fit the arrays.

    Notes
    -----
    Arrays are multiplied two at a time, each task one block by one block; a tree adds the products along contracted axes.

    Examples
    --------
    >>> import kask.array as ka
    >>> x = ka.from_array([[1, 2], [3, 4]], chunks=1)
    >>> ka.einsum("ij,ij->j", x, x).compute()
    array([10, 20])
    """
    subscripts, given = _split(operands)
    arrays = [as_array(array).expr for array in given]
    inputs, result = _labels_of(subscripts, [array.ndim for array in arrays])
    if dtype is not None:
        arrays = [_cast(array, np.dtype(dtype), casting) for array in arrays]
    kind = np.result_type(*[array.dtype for array in arrays])
    # What only moves elements leaves them as they are, also in the other byte order.
    moves = len(arrays) == 1 and set(inputs[0]) == set(result)
    last = arrays[0].dtype if moves else kind
    arrays = [_cast(array, kind, "unsafe") for array in arrays]
    for path in _path(arrays, inputs, result, optimize):
        chosen = sorted(path)
        parts, labels = [arrays[at] for at in chosen], [inputs[at] for at in chosen]
        arrays = [array for at, array in enumerate(arrays) if at not in chosen]
        inputs = [own for at, own in enumerate(inputs) if at not in chosen]
        needed = {label for own in (*inputs, result) for label in own}
        kept = tuple(dict.fromkeys([label for own in labels for label in own if label in needed]))
        kept = kept if arrays else result
        arrays.append(_one_step(parts, labels, kept, {}, split_every))
        inputs.append(kept)
    return into(out, cast(arrays[0], last))


def _path(arrays: list[ArrayExpr], inputs: list[_Labels], result: _Labels, optimize: Any) -> list[tuple[int, ...]]:
    """Which arrays are multiplied one after another."""
    if len(arrays) <= 2:
        return [tuple(range(len(arrays)))]
    numbers: dict[Any, int] = {}
    for own in inputs:
        for label in own:
            numbers.setdefault(label, len(numbers))
    args: list[Any] = []
    for array, own in zip(arrays, inputs):
        args.extend([np.broadcast_to(np.zeros((), bool), array.shape), [numbers[label] for label in own]])
    args.append([numbers[label] for label in result])
    chosen = optimize if not isinstance(optimize, bool) else "greedy"
    return np.einsum_path(*args, optimize=chosen)[0][1:]


def _cast(array: ArrayExpr, dtype: np.dtype, casting: str) -> ArrayExpr:
    if not np.can_cast(array.dtype, dtype, casting):  # type: ignore[arg-type]
        raise TypeError(f"einsum: {array.dtype} cannot be cast to {dtype} with casting={casting!r}")
    return cast(array, dtype)


def einsum_path(*operands: Any, optimize: Any = "greedy") -> tuple[list[Any], str]:
    """In which order ``einsum`` would best multiply, and a text that says why: ``numpy.einsum_path``, of shapes alone.

    Examples
    --------
    >>> import kask.array as ka
    >>> x = ka.ones((4, 4), chunks=2)
    >>> ka.einsum_path("ij,jk,kl->il", x, x, x)[0]
    ['einsum_path', (0, 1), (0, 1)]
    """
    stand_ins = [
        np.broadcast_to(np.zeros((), operand.dtype), operand.shape) if isinstance(operand, ArrayBase) else operand
        for operand in operands
    ]
    return np.einsum_path(*stand_ins, optimize=optimize)
