"""NumPy on many chunks, with the same answer: ``import kask.array as ka``.

Each family of functions is a module in ``kask.array.ops``, and says in its ``__all__`` what users see here.
"""

# ruff: noqa: F403

from kask.array import stats as stats
from kask.array.collection import Array as Array
from kask.array.ops.blockwise import *
from kask.array.ops.chunks import *
from kask.array.ops.correlation import *
from kask.array.ops.creation import *
from kask.array.ops.differences import *
from kask.array.ops.histograms import *
from kask.array.ops.indexing import *
from kask.array.ops.moments import *
from kask.array.ops.overlap import *
from kask.array.ops.products import *
from kask.array.ops.quantiles import *
from kask.array.ops.random import *
from kask.array.ops.reductions import *
from kask.array.ops.reductions_arg import *
from kask.array.ops.reductions_basic import *
from kask.array.ops.reductions_general import *
from kask.array.ops.scans import *
from kask.array.ops.shaping import *
from kask.array.ops.sorting import *
from kask.array.ops.statistics import *
from kask.array.ops.storage import *
from kask.array.ops.topk import *
from kask.array.ops.ufuncs import *
from kask.array.ops.unique import *
