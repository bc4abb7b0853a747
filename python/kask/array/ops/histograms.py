"""Histograms along any number of axes. Where no range is given the smallest and the largest element are found while running."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from kask.array.base import ArrayBase, as_array, wrap
from kask.array.kernels.statistics import Histogram, density_of, edges_between
from kask.array.node import ArrayExpr
from kask.array.ops.bin_rules import edges_by_rule
from kask.array.ops.elementwise import unified
from kask.array.ops.mapped import mapped, one_by_one
from kask.array.ops.rechunk import rechunked
from kask.array.ops.reshaping import raveled
from kask.array.ops.staged import ByValue
from kask.array.ops.statistics import rows_added
from kask.engine import Chunks

__all__ = ["histogram", "histogram2d", "histogram_bin_edges", "histogramdd"]


class _Axis:
    """The bins along one axis: edges that are known, or how many there are between the smallest and the largest element."""

    def __init__(self, bins: Any, limits: Any, column: ArrayExpr, is_one: bool) -> None:
        #: What is read while running, and how.
        self.limits: tuple[ArrayExpr, ...] = ()
        self.reads: Any = ()
        if isinstance(bins, str):
            raise TypeError(f"bins={bins!r}: along several axes give numbers of bins, or their edges")
        if isinstance(bins, ArrayBase):
            if bins.ndim == 1:
                self._read_edges(bins)
                return
            bins = bins.compute()
        if np.ndim(bins) == 0:
            try:
                count = operator.index(bins)
            except TypeError:
                raise TypeError("`bins` must be an integer, a string, or an array") from None
            if count < 1:
                raise ValueError("`bins` must be positive, when an integer")
            self.bins: Any = count
            self.count = count
            self.range: Any = None if limits is None else tuple(limits)
            empty = column.shape[0] == 0
            if self.range is None and empty:
                self.range = (0.0, 1.0)
            if self.range is not None and any(isinstance(limit, ArrayBase) for limit in self.range):
                self._read(column, is_one, self.range)
            elif self.range is not None:
                sample = _sample(column)
                self.edges: Any = (
                    np.histogram_bin_edges(sample, count, self.range)
                    if is_one
                    else np.histogramdd(np.empty((0, 1)), [count], [self.range])[1][0]
                )
            else:
                from kask.array.ops.reductions_basic import max as largest_of
                from kask.array.ops.reductions_basic import min as smallest_of

                self._read(column, is_one, (smallest_of(wrap(column)), largest_of(wrap(column))))
        elif np.ndim(bins) == 1:
            self.bins = np.asarray(bins)
            self.edges = self.bins
            if np.any(self.edges[:-1] > self.edges[1:]):
                raise ValueError("`bins` must increase monotonically, when an array")
            self.count, self.range = len(self.edges) - 1, None
        else:
            raise ValueError("`bins` must be 1d, when an array")

    def _read_edges(self, bins: Any) -> None:
        """Edges that are lazy; whether they increase is seen when they are there."""
        edges = bins.expr
        self.bins, self.edges, self.range = None, bins, None
        self.count = len(bins) - 1
        self.limits = (rechunked(edges, Chunks.whole(list(edges.shape))),)
        self.reads = ((("fixed", 0),),)

    def _read(self, column: ArrayExpr, is_one: bool, limits: Any) -> None:
        low, high = [_limit(limit, other) for limit, other in zip(limits, reversed(limits))]
        self.limits, self.reads, self.range = (low.expr, high.expr), ((), ()), "read"
        sample = _sample(column)
        ends: Any = np.zeros((), low.dtype)[()], np.ones((), high.dtype)[()]
        self.edges = wrap(
            mapped(
                edges_between,
                *self.limits,
                reads=self.reads,
                constants=(self.count, is_one, sample.dtype),
                chunks=Chunks.whole([self.count + 1]),
                dtype=np.histogram_bin_edges(sample, 1, ends).dtype if is_one else np.float64,
                label="edges",
            )
        )


def _limit(limit: Any, other: Any) -> Any:
    """One end of a range as an array; numbers of Python take the type of the other end, where that is lazy."""
    is_plain = isinstance(limit, int | float) and not isinstance(limit, np.generic)
    return as_array(np.asarray(limit, np.result_type(limit, other.dtype)) if is_plain else limit)


def _sample(column: ArrayExpr) -> Any:
    """No elements, of the type that tells that of the edges."""
    return np.empty(0, column.dtype if column.dtype.kind in "fiuO" else float)


def _known(limits: Any) -> tuple[Any, Any]:
    low, high = [one.compute() if isinstance(one, ArrayBase) else one for one in limits]
    return low, high


def _counted(columns: list[ArrayExpr], axes: list[_Axis], weights: Any, is_one: bool) -> ArrayExpr:
    """The counts of all bins."""
    observations = columns[0].chunks.axis(0)
    arrays = list(columns)
    kind: Any = np.dtype(np.intp) if is_one else np.dtype(np.float64)
    if weights is not None:
        heavy = as_array(weights).expr
        if heavy.ndim != 1 or heavy.shape[0] != columns[0].shape[0]:
            raise ValueError("weights should have the same shape as a.")
        one = np.ones(1, heavy.dtype)
        kind = (np.histogram(one.real, 1, weights=one) if is_one else np.histogramdd(np.ones((1, 1)), 1, weights=one))[
            0
        ].dtype
        observations = Chunks.unify([observations, heavy.chunks])
        arrays.append(heavy)
    arrays = [rechunked(one, one.chunks.replace(0, observations)) for one in arrays]
    reads: list[tuple[Any, ...]] = [(0, *[("fixed", 0)] * (one.ndim - 1)) for one in arrays]
    place = len(columns)
    arrays[place:place] = [limit for axis in axes for limit in axis.limits]
    reads[place:place] = [one for axis in axes for one in axis.reads]
    func = Histogram(
        tuple([axis.bins for axis in axes]), tuple([axis.range for axis in axes]), is_one, weights is not None
    )
    chunks = Chunks.join([one_by_one(observations.grid[0]), *[Chunks.whole([axis.count]) for axis in axes]])
    rows = mapped(func, *arrays, reads=tuple(reads), chunks=chunks, dtype=kind, label="histogram-part")
    return rows_added(rows, None, "histogram")


def _result(counts: ArrayExpr, axes: list[_Axis], density: Any) -> Any:
    if not density:
        return wrap(counts)
    edges = [as_array(axis.edges).expr for axis in axes]
    whole = [rechunked(one, Chunks.whole(list(one.shape))) for one in edges]
    reads = ((("fixed", 0),) * counts.ndim, *[(("fixed", 0),)] * len(whole))
    kind = np.true_divide(np.ones(1, counts.dtype), np.ones(1)).dtype
    return wrap(mapped(density_of, counts, *whole, reads=reads, chunks=counts.chunks, dtype=kind, label="density"))


def _refuse_normed(normed: Any) -> None:
    if normed:
        raise ValueError("normed= is not supported; use density=")


def histogram(
    a: Any,
    bins: Any = 10,
    range: Any = None,
    normed: Any = None,
    weights: Any = None,
    density: Any = None,
) -> Any:
    """How many elements are in each bin.

    Parameters
    ----------
    a : array_like
        The elements, of any shape.
    bins : int, array_like or str, optional
        How many bins of equal width there are, or their edges, or the rule that tells how many there are: "auto", "doane", "fd", "rice", "scott",
        "sqrt", "stone" or "sturges", as in NumPy.
    range : (scalar, scalar), optional
        Where the first bin begins and the last one ends. Without it the smallest and the largest element say it, which are found while
        running.
    weights : array_like, optional
        What each element counts, of the shape of ``a``.
    density : bool, optional
        Whether to give the density, whose integral is 1.

    Returns
    -------
    hist : Array
        In one block.
    edges : ndarray or Array
        One more than there are bins; lazy, where they depend on the elements.

    Raises
    ------
    ValueError, TypeError
        Bins that are none.

    Notes
    -----
    What a rule needs to know of the elements (extremes, quartiles, moments) is found while running, before they are counted; how long the results are
    is then resolved. The bins are NumPy's, unless the last digits of a standard deviation decide ("doane", "scott"). With "stone" each task makes
    as many histograms as NumPy does: the root of the number of all elements, and 100 at least.

    Examples
    --------
    >>> import kask.array as ka
    >>> hist, edges = ka.histogram(ka.from_array([1, 2, 1, 5], chunks=2), bins=2)
    >>> hist.compute(), edges.compute()
    (array([3, 1]), array([1., 3., 5.]))
    """
    _refuse_normed(normed)
    source = as_array(a)
    column, weights = _flat(source, weights)
    if isinstance(bins, str):
        edges = _by_rule(column, bins, range, weights)
        kind = np.dtype(np.float64 if density else np.intp)
        args = (_between_edges, (column,), (edges,), (bool(density),), np.empty(0, kind))
        return wrap(ByValue(*args, label_="histogram")), wrap(edges)
    axis = _Axis(10 if bins is None else bins, range, column, True)
    counts = _counted([column], [axis], weights, True)
    return _result(counts, [axis], density), axis.edges


def _by_rule(column: ArrayExpr, rule: str, limits: Any, weights: Any) -> ArrayExpr:
    if weights is not None:
        raise TypeError("Automated estimation of the number of bins is not supported for weighted data")
    return edges_by_rule(column, rule, None if limits is None else _known(limits))


def _between_edges(column: ArrayExpr, edges: Any, density: bool) -> ArrayExpr:
    """The histogram with bins of equal width that have these edges."""
    axis = _Axis(len(edges) - 1, (edges[0], edges[-1]), column, True)
    return _result(_counted([column], [axis], None, True), [axis], density).expr


def _flat(source: Any, weights: Any) -> tuple[ArrayExpr, Any]:
    array = source.expr
    if array.dtype == np.bool_:
        from kask.array.ops.elementwise import elementwise

        array = elementwise(_as_bytes, array, dtype=np.uint8)
    if weights is None:
        return raveled(array), None
    heavy = as_array(weights).expr
    if heavy.shape != array.shape:
        raise ValueError("weights should have the same shape as a.")
    array, heavy = unified([array, heavy])[0]
    return raveled(array), wrap(raveled(heavy))


def _as_bytes(block: Any) -> Any:
    return block.astype(np.uint8)


def histogram_bin_edges(a: Any, bins: Any = 10, range: Any = None, weights: Any = None) -> Any:
    """The edges that :func:`histogram` uses.

    Parameters
    ----------
    a : array_like
        The elements.
    bins : int, array_like or str, optional
        How many bins of equal width there are, their edges, or the rule that tells how many there are.
    range : (scalar, scalar), optional
        Where the first bin begins and the last one ends.
    weights : array_like, optional
        Has no influence; with a rule it is refused, as in NumPy.

    Returns
    -------
    ndarray or Array

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.histogram_bin_edges(ka.from_array([1, 5, 2], chunks=2), bins=2).compute()
    array([1., 3., 5.])
    """
    column, _ = _flat(as_array(a), None)
    if isinstance(bins, str):
        return wrap(_by_rule(column, bins, range, weights))
    return _Axis(bins, range, column, True).edges


def histogramdd(
    sample: Any, bins: Any = 10, range: Any = None, normed: Any = None, weights: Any = None, density: Any = None
) -> Any:
    """How many points are in each bin of a grid.

    Parameters
    ----------
    sample : array_like of shape (N, D), or sequence of D array_like of N
        The points: a row for each, or their coordinates along each axis.
    bins : int or sequence, optional
        How many bins there are along all axes or along each, or their edges along each.
    range : sequence, optional
        For each axis where the first bin begins and the last one ends, or None.
    weights : array_like, optional
        What each point counts.
    density : bool, optional
        Whether to give the density, whose integral is 1.

    Returns
    -------
    hist : Array
        With D axes, in one block.
    edges : tuple of ndarray or Array
        For each axis.

    Examples
    --------
    >>> import kask.array as ka
    >>> points = ka.from_array([[0.0, 0.0], [1.0, 1.0], [1.0, 0.0]], chunks=2)
    >>> ka.histogramdd(points, bins=2)[0].compute()
    array([[1., 0.],
           [1., 1.]])
    """
    _refuse_normed(normed)
    columns, coordinates = _columns(sample)
    dims = len(columns)
    if not hasattr(bins, "__len__"):
        bins = [bins] * dims
    if len(bins) != dims:
        raise ValueError("The dimension of bins must be equal to the dimension of the sample x.")
    ranges = [None] * dims if range is None else list(range)
    if len(ranges) != dims:
        raise ValueError("range argument must have one entry per dimension")
    axes = [_Axis(each, limits, column, False) for each, limits, column in zip(bins, ranges, columns)]
    counts = _counted(coordinates, axes, weights, False)
    return _result(counts, axes, density), tuple([axis.edges for axis in axes])


def _columns(sample: Any) -> tuple[list[ArrayExpr], list[ArrayExpr]]:
    """The coordinates along each axis, and the arrays that are read for them."""
    if isinstance(sample, tuple | list):
        columns = [as_array(one).expr for one in sample]
        if any(one.ndim != 1 or one.shape != columns[0].shape for one in columns):
            raise ValueError("the coordinates along all axes must have one axis, of the same length")
        columns, _ = unified(columns)
        return columns, columns
    array = as_array(sample).expr
    if array.ndim == 1:
        return [array], [array]
    if array.ndim != 2:
        raise ValueError(f"sample= must have the shape (N, D), but it has {array.shape}")
    array = rechunked(array, array.chunks.replace(1, Chunks.whole([array.shape[1]])))
    along = array.chunks.axis(0)
    columns = [
        mapped(_column, array, reads=((0, ("fixed", 0)),), constants=(place,), chunks=along, dtype=array.dtype)
        for place in np.arange(array.shape[1]).tolist()
    ]
    return columns, [array]


def _column(block: Any, place: int) -> Any:
    return block[:, place]


def histogram2d(
    x: Any, y: Any, bins: Any = 10, range: Any = None, normed: Any = None, weights: Any = None, density: Any = None
) -> Any:
    """How many points of a plane are in each bin of a grid.

    Parameters
    ----------
    x, y : array_like
        The coordinates of the points, each with one axis.
    bins : int, array_like, or two of these, optional
        How many bins there are, or their edges: along both axes, or along each.
    range : sequence, optional
        For both axes where the first bin begins and the last one ends.
    weights : array_like, optional
        What each point counts.
    density : bool, optional
        Whether to give the density, whose integral is 1.

    Returns
    -------
    hist : Array
        With two axes, in one block.
    xedges, yedges : ndarray or Array

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.histogram2d(ka.from_array([0.0, 1.0, 1.0], chunks=2), [0.0, 1.0, 0.0], bins=2)[0].compute()
    array([[1., 0.],
           [1., 1.]])
    """
    arrays = [as_array(x), as_array(y)]
    if arrays[0].shape != arrays[1].shape:
        raise ValueError("x and y must have the same length.")
    if hasattr(bins, "__len__"):
        many = len(bins)
        if many not in (1, 2):
            bins = [bins if isinstance(bins, ArrayBase) else np.asarray(bins)] * 2
        elif many == 1:
            bins = [bins[0]] * 2
    hist, edges = histogramdd(arrays, bins, range, normed, weights, density)
    return hist, edges[0], edges[1]
