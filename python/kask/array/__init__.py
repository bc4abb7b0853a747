"""NumPy on many chunks, with the same answer: ``import kask.array as ka``.

Each family of functions is a module in ``kask.array.ops``, and says in its ``__all__`` what users see here.
"""

# ruff: noqa: E402, F403

from kask.array import fft as fft
from kask.array import image as image
from kask.array import lib as lib
from kask.array import linalg as linalg
from kask.array import overlap as overlap
from kask.array import random as random
from kask.array import stats as stats
from kask.array import utils as utils
from kask.array.base import PerformanceWarning as PerformanceWarning
from kask.array.collection import Array as Array
from kask.array.ops.along import *
from kask.array.ops.assignment_functions import *
from kask.array.ops.averages import *
from kask.array.ops.axes import *
from kask.array.ops.blockwise import *
from kask.array.ops.casts import *
from kask.array.ops.choices import *
from kask.array.ops.chunks import *
from kask.array.ops.constants import *
from kask.array.ops.convolution import *
from kask.array.ops.correlation import *
from kask.array.ops.deferring import make_deferrable as _make_deferrable
from kask.array.ops.delaying import *
from kask.array.ops.diagonals import *
from kask.array.ops.differences import *
from kask.array.ops.filling import *
from kask.array.ops.grids import *
from kask.array.ops.gufuncs import *
from kask.array.ops.histograms import *
from kask.array.ops.index_tricks import *
from kask.array.ops.indexing_edits import *
from kask.array.ops.indexing_places import *
from kask.array.ops.joining import *
from kask.array.ops.map_blocks import *
from kask.array.ops.map_overlap import *
from kask.array.ops.matrices import *
from kask.array.ops.moments import *
from kask.array.ops.npy_stacks import *
from kask.array.ops.numbers import *
from kask.array.ops.overlap import *
from kask.array.ops.padding import *
from kask.array.ops.places_along import *
from kask.array.ops.polynomials import *
from kask.array.ops.products import *
from kask.array.ops.products_einsum import *
from kask.array.ops.products_gufuncs import *
from kask.array.ops.push import *
from kask.array.ops.quantiles import *
from kask.array.ops.ranges import *
from kask.array.ops.reductions_arg import *
from kask.array.ops.reductions_basic import *
from kask.array.ops.reductions_general import *
from kask.array.ops.reductions_nan import *
from kask.array.ops.reshaping import *
from kask.array.ops.scans import *
from kask.array.ops.shaping import *
from kask.array.ops.sorting import *
from kask.array.ops.statistics import *
from kask.array.ops.storage import *
from kask.array.ops.stores import *
from kask.array.ops.tiledb import *
from kask.array.ops.topk import *
from kask.array.ops.ufuncs import *
from kask.array.ops.unique import *
from kask.array.ops.unique_sets import *
from kask.array.ops.vectorizing import *
from kask.array.ops.windows import *
from kask.array.protocols import register_chunk_type as register_chunk_type

_make_deferrable(globals())

# These find the functions above here.
from kask.array import api as api  # isort: skip
from kask.array import array_api as array_api  # isort: skip
from kask.array.array_api import (  # isort: skip
    unique_all as unique_all,
    unique_counts as unique_counts,
    unique_inverse as unique_inverse,
    unique_values as unique_values,
    unstack as unstack,
)
from kask.array import core as core  # isort: skip
from kask.array import ma as ma  # isort: skip
from kask.array.gufunc import as_gufunc as as_gufunc, gufunc as gufunc  # isort: skip
