"""What tasks of set operations run, on what ``unique`` found: see ``kask.array.kernels.unique``."""

from __future__ import annotations

from typing import Any

import numpy as np

from kask.array.kernels.unique import count_of_there, with_masked

__all__ = ["SetOperation", "among", "either", "left_of"]

#: Whether a masked element is in the result, by whether it is in the one and in the other array.
_MASKED = {"intersect1d": bool.__and__, "setxor1d": bool.__xor__}


class SetOperation:
    """A function of NumPy of the different elements of two arrays: ``(values, places in the one, places in the other)``."""

    def __init__(self, name: str, wants_places: bool = False) -> None:
        self.__name__, self.wants_places = name, wants_places

    def __call__(self, first: tuple[Any, Any, Any], second: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        ours, theirs = first[0], second[0]
        counts = [count_of_there(ours), count_of_there(theirs)]
        data = [np.ma.getdata(one)[:count] for one, count in zip((ours, theirs), counts)]
        options = {"return_indices": True} if self.wants_places else {}
        found = getattr(np, self.__name__)(*data, assume_unique=True, **options)
        values, *places = found if self.wants_places else (found,)
        masked = [one for one in (ours, theirs) if isinstance(one, np.ma.MaskedArray)]
        if masked:
            has_masked = _MASKED[self.__name__](ours.size > counts[0], theirs.size > counts[1])
            values = with_masked(values, has_masked, masked[0])
            if has_masked:
                places = [np.append(some, count) for some, count in zip(places, counts)]
        return (values, first[1][places[0]], second[1][places[1]]) if places else (values, None, None)

    def __kask_tokenize__(self) -> Any:
        return "setoperation", self.__name__, self.wants_places


def among(block: Any, found: tuple[Any, Any, Any]) -> Any:
    """Which of the different elements are in a block."""
    values, mask = found[0], np.ma.getmask(block)
    there = block if mask is np.ma.nomask else np.ma.getdata(block)[~mask]
    if not isinstance(values, np.ma.MaskedArray):
        return np.isin(values, there)
    return np.where(np.ma.getmaskarray(values), mask.any(), np.isin(np.ma.getdata(values), there))


def either(parts: list[Any]) -> Any:
    """Where one of several arrays is true."""
    return np.logical_or.reduce(parts)


def left_of(found: tuple[Any, Any, Any], taken: Any) -> tuple[Any, Any, Any]:
    """The different elements without those that are taken away."""
    return found[0][~taken], None, None
