"""``Array``: the collection, with all its methods."""

from __future__ import annotations

import types

from kask.array.base import ArrayBase
from kask.array.methods.blockwise import BlockwiseMethods
from kask.array.methods.creation import CreationMethods
from kask.array.methods.indexing import IndexingMethods
from kask.array.methods.overlap import OverlapMethods
from kask.array.methods.products import ProductsMethods
from kask.array.methods.random import RandomMethods
from kask.array.methods.reductions import ReductionsMethods
from kask.array.methods.scans import ScansMethods
from kask.array.methods.shaping import ShapingMethods
from kask.array.methods.sorting import SortingMethods
from kask.array.methods.statistics import StatisticsMethods
from kask.array.methods.storage import StorageMethods
from kask.array.methods.ufuncs import UfuncsMethods
from kask.array.ops.deferring import deferring_class

__all__ = ["Array"]


class Array(
    UfuncsMethods,
    BlockwiseMethods,
    CreationMethods,
    RandomMethods,
    StorageMethods,
    IndexingMethods,
    ShapingMethods,
    OverlapMethods,
    ReductionsMethods,
    ScansMethods,
    StatisticsMethods,
    SortingMethods,
    ProductsMethods,
):
    """An array that will be computed, cut into blocks.

    Made by the functions of ``kask.array``, not by calling this class. It has NumPy's attributes and methods; what it gives back
    is what NumPy gives.

    Examples
    --------
    >>> import kask.array as ka
    >>> x = ka.ones((1000, 1000), chunks=(500, 500))
    >>> (x + 1).sum().compute()
    np.float64(2000000.0)
    """

    __slots__ = ()


for _home in Array.__mro__:
    if _home.__module__.startswith("kask.array.methods."):
        for _name, _method in vars(_home).items():
            if isinstance(_method, types.FunctionType):
                # Errors are about arrays, whichever file has the method.
                _method.__qualname__, _method.__module__ = f"Array.{_name}", Array.__module__

UnknownArray = deferring_class(Array)

ArrayBase.full = Array
ArrayBase.unknown = UnknownArray
