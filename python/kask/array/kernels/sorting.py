"""What tasks of sorts, selections of the largest, and sets of elements run."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np

from kask.array.kernels.reductions import in_strips, joined, only_elements
from kask.engine import Parts

__all__ = ["Cut", "CutAtRanks", "Records", "Sample", "Sorted", "SplitParts", "TopCombine", "TopPart", "splitters_of"]

#: The least samples of a block.
_SAMPLES = 32


def order_of(values: Any) -> Any:
    """Where the elements are in their order, of equal ones the first first. Records are compared field by field."""
    if values.dtype.names is None:
        return np.argsort(values, kind="stable")
    # Sorts that compare whole records take ten times as long.
    return np.lexsort([values[name] for name in reversed(values.dtype.names)])


def in_order(values: Any) -> Any:
    """The elements in their order."""
    return np.sort(values, kind="stable") if values.dtype.names is None else values[order_of(values)]


class Records:
    """Records made of one element of each array."""

    __name__ = "records"

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype

    def __call__(self, *fields: Any) -> Any:
        block = np.empty(fields[0].shape, self.dtype)
        for name, field in zip(self.dtype.names or (), fields):
            block[name] = field
        return block

    def __kask_tokenize__(self) -> Any:
        return "records", self.dtype


class WithFields:
    """Records with their fields in the order of a type, which has the same fields."""

    __name__ = "fields"

    def __init__(self, dtype: np.dtype) -> None:
        self.dtype = dtype

    def __call__(self, block: Any) -> Any:
        records = np.empty(block.shape, self.dtype)
        for name in self.dtype.names or ():
            records[name] = block[name]
        return records

    def __kask_tokenize__(self) -> Any:
        return "withfields", self.dtype


class Sorted:
    """A sorted block (stable), and where in the whole its elements were."""

    __name__ = "sort"

    def __init__(self, chunks: Any, wants_places: bool) -> None:
        self.chunks, self.wants_places = chunks, wants_places

    def __call__(self, position: tuple[int, ...], block: Any) -> tuple[Any, ...]:
        if not self.wants_places:
            return (in_order(block),)
        order = order_of(block)
        return block[order], order + self.chunks.block_start(position)[0]

    def __kask_tokenize__(self) -> Any:
        return "sorted", self.chunks, self.wants_places


class Sample:
    """Regular samples of a sorted block: elements, their places in it, how many elements each stands for."""

    __name__ = "sample"

    def __init__(self, blocks: int) -> None:
        self.count = min(1024, max(_SAMPLES, 2 * blocks))

    def __call__(self, arrays: tuple[Any, ...]) -> tuple[Any, Any, float]:
        values = arrays[0]
        count = len(values)
        taken = min(count, self.count)
        places = (np.arange(taken) * count // max(1, taken)).astype(np.intp)
        return values[places], places, count / max(1, taken)

    def __kask_tokenize__(self) -> Any:
        return "sample", self.count


def splitters_of(samples: list[Any], outputs: int) -> tuple[Any, Any, Any]:
    """Where buckets begin, all but the first: an element, the block that it is of and its place there, which tells equal ones apart."""
    values = np.concatenate([sample[0] for sample in samples])
    blocks = np.concatenate([np.full(len(sample[0]), block) for block, sample in enumerate(samples)])
    places = np.concatenate([sample[1] for sample in samples])
    weights = np.concatenate([np.full(len(sample[0]), sample[2]) for sample in samples])
    # Samples come by block and place, and the sort is stable.
    order = order_of(values)
    reached = np.cumsum(weights[order])
    wanted = reached[-1] / outputs * np.arange(1, outputs) if len(order) else np.empty(0)
    chosen = order[np.minimum(np.searchsorted(reached, wanted), len(order) - 1)] if len(order) else order
    return values[chosen], blocks[chosen], places[chosen]


class Cut:
    """A sorted block, and where the buckets begin in it."""

    __name__ = "cut"

    def __call__(self, position: tuple[int, ...], arrays: tuple[Any, ...], splitters: tuple[Any, Any, Any]) -> Any:
        values, blocks, places = splitters
        mine = arrays[0]
        before = np.searchsorted(mine, values, "left")
        until = np.searchsorted(mine, values, "right")
        cuts = np.where(blocks == position[0], places, np.where(blocks > position[0], until, before))
        return arrays, cuts

    def __kask_tokenize__(self) -> Any:
        return "cut"


class CutAtRanks:
    """A sorted bucket without what is not wanted of it, and where the blocks of the result begin in it."""

    __name__ = "cut"

    def __init__(self, chunks: Any, takes: int) -> None:
        self.chunks, self.takes = chunks, takes

    def __call__(self, position: tuple[int, ...], arrays: tuple[Any, ...], sizes: Any) -> Any:
        start = int(sizes[: position[0]].sum())
        starts = np.frombuffer(self.chunks.ends(), np.int64)[:-1]
        return (arrays[self.takes],), np.clip(starts - start, 0, len(arrays[0]))

    def __kask_tokenize__(self) -> Any:
        return "cutatranks", self.chunks, self.takes


class SplitParts:
    """Takes arrays apart at given places."""

    def __init__(self, outputs: int) -> None:
        self.outputs = outputs

    def __call__(self, cut: Any, position: tuple[int, ...]) -> Parts:
        arrays, cuts = cut
        ends = [*cuts.tolist(), len(arrays[0])]
        if len(ends) < self.outputs:
            # Nothing was sampled, because there is nothing.
            ends = [0] * self.outputs
        payloads, start = [], 0
        for end in ends:
            payloads.append(_packed([array[start:end] for array in arrays]))
            start = end
        return Parts(payloads)

    def __kask_tokenize__(self) -> Any:
        return "splitparts", self.outputs


def _packed(arrays: list[Any]) -> Any:
    return pickle.dumps([np.ascontiguousarray(array) for array in arrays], protocol=5)


class MergeParts:
    """Puts the parts of a bucket together, and sorts it if asked to."""

    def __init__(self, sorts: bool) -> None:
        self.sorts = sorts

    def __call__(self, parts: list[Any], position: tuple[int, ...]) -> list[Any]:
        pieces = [pickle.loads(part) for part in parts]
        # As they are, also in the other byte order.
        arrays = [np.concatenate(ones, dtype=ones[0].dtype) for ones in zip(*pieces)]
        if self.sorts:
            # Parts come by block, so that equal elements stay as they were. The sort finds the runs.
            if len(arrays) == 1:
                return [(in_order(arrays[0]),)]
            order = order_of(arrays[0])
            return [tuple([array[order] for array in arrays])]
        return [arrays[0]]

    def __kask_tokenize__(self) -> Any:
        return "mergeparts", self.sorts


def take_only(outputs: list[Any], position: tuple[int, ...]) -> Any:
    """The only output of a group."""
    return outputs[0]


def size_of(arrays: tuple[Any, ...]) -> int:
    """Elements of a bucket."""
    return len(arrays[0])


def sizes_of(sizes: list[int]) -> Any:
    """Elements of all buckets."""
    return np.array(sizes, np.intp)


class Along:
    """``func(block, *args, axis=axis, **options)`` of a block that has the axis whole."""

    def __init__(self, func: Any, axis: int, args: tuple[Any, ...], options: dict[str, Any]) -> None:
        self.func, self.axis, self.args, self.options = func, axis, args, options
        self.__name__ = func.__name__

    def __call__(self, block: Any) -> Any:
        return self.func(block, *self.args, axis=self.axis, **self.options)

    def __kask_tokenize__(self) -> Any:
        return "along", self.func, self.axis, self.args, self.options


def lexsort_blocks(*keys: Any, axis: int) -> Any:
    """``np.lexsort`` of blocks."""
    return np.lexsort(keys, axis=axis)


class TopPart:
    """The ``k`` largest elements of a block along an axis (with a negative ``k``, the smallest), in order, and where they are."""

    def __init__(self, k: int, axis: int, wants_places: bool) -> None:
        self.k, self.axis, self.wants_places = k, axis, wants_places
        self.__name__ = "argtopk" if wants_places else "topk"

    def __call__(self, start: tuple[int, ...], block: Any, axes: tuple[int, ...]) -> tuple[Any, ...]:
        length = block.shape[self.axis]
        shape = [1] * block.ndim
        shape[self.axis] = length
        places = np.arange(start[self.axis], start[self.axis] + length).reshape(shape)
        made = only_elements(block, axes, block.dtype)
        return in_strips(self.best, [(block, places)], axes) if made is None else (made, places)

    def best(self, parts: list[tuple[Any, Any]]) -> tuple[Any, ...]:
        """Of several partial results. Places may be the same along the other axes."""
        values, places = [joined(list(ones), (self.axis,)) for ones in zip(*parts)]
        places = np.broadcast_to(places, values.shape)
        if self.k < 0:
            order = np.argsort(values, axis=self.axis, kind="stable")
        else:
            # Backwards from the end; of equal elements the first still come first.
            flipped = np.flip(np.argsort(np.flip(values, self.axis), axis=self.axis, kind="stable"), self.axis)
            order = values.shape[self.axis] - 1 - flipped
        chosen = np.take(order, range(min(abs(self.k), values.shape[self.axis])), axis=self.axis)
        return tuple([np.take_along_axis(one, chosen, self.axis) for one in (values, places)])

    def __kask_tokenize__(self) -> Any:
        return "toppart", self.k, self.axis, self.wants_places


class TopCombine:
    """The same of several partial results."""

    def __init__(self, part: TopPart) -> None:
        self.part = part
        self.__name__ = part.__name__

    def __call__(self, parts: list[tuple[Any, ...]]) -> Any:
        return in_strips(self.part.best, parts, (self.part.axis,))

    def __kask_tokenize__(self) -> Any:
        return "topcombine", self.part


class TopFinish:
    """The elements, or where they are."""

    def __init__(self, wants_places: bool) -> None:
        self.wants_places = wants_places
        self.__name__ = "argtopk" if wants_places else "topk"

    def __call__(self, partial: tuple[Any, ...]) -> Any:
        values, places = partial
        if not self.wants_places:
            return values
        return places if places.shape == values.shape else np.array(np.broadcast_to(places, values.shape))

    def __kask_tokenize__(self) -> Any:
        return "topfinish", self.wants_places
