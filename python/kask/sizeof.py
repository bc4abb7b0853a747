"""How many bytes an object holds: ``kask.sizeof(obj)``, and a registry for types that Kask does not know.

The engine asks this for every result, so it is quick: Rust measures numbers, text, bytes, built-in containers and NumPy
arrays; the functions here say how other types are measured, once for each type. Where to start: ``Sizeof``.
"""

from __future__ import annotations

import array
import collections
import functools
import importlib
import logging
import mmap
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

from kask.engine import sample_places, sizeof_items
from kask.engine import sizeof as _measure

__all__ = ["Sizeof", "sizeof"]

Way = Callable[[Any], int]

# Ways that Rust knows by name: see `by_name` in sizes.rs. "plain" is what sys.getsizeof says of the object alone.
_BUILT_IN: dict[type, str] = (
    dict.fromkeys([list, tuple], "sequence")
    | {dict: "mapping"}
    | dict.fromkeys([set, frozenset], "set")
    | dict.fromkeys([bytearray, memoryview, array.array, mmap.mmap], "buffer")
    | dict.fromkeys([str, bytes, int, float, complex, bool, type, types.ModuleType, types.FunctionType], "plain")
    | dict.fromkeys([types.BuiltinFunctionType, types.MethodType, types.CodeType, functools.partial], "plain")
)

# What has been found out for exact types. Rust looks here first.
_known: dict[type, Way | str] = {}
# Types that come and go, as those of functions sent by value do, are not collected for ever.
_MOST_KNOWN = 4096

# What Rust measures by itself, without asking here.
_MEASURED = frozenset({type(None), bool, int, float, str, bytes, list, tuple, dict, set, frozenset})

# Types whose way has failed; each is said once.
_failed: set[type] = set()

_log = logging.getLogger("kask.sizeof")

# Items of an object that are looked at where Python has to pick them.
_SAMPLE = 64


class Sizeof:
    """``kask.sizeof(obj)``: how many bytes ``obj`` holds, roughly and quickly.

    Never raises, and takes microseconds however large the object is: of containers and object arrays a sample of evenly spread
    items stands for all. What several items share is counted once. Exact for NumPy arrays of numbers, Arrow, Polars and
    sparse matrices; within 5% for pandas objects and 20% for containers whose items are alike.

    A view of an array counts what it shows; it counts the whole array when nothing else keeps that alive, or when several
    views of it are met.

    Parameters
    ----------
    obj : object
        Anything.

    Returns
    -------
    int
        Bytes.

    Examples
    --------
    >>> import kask
    >>> kask.sizeof(b"x" * 1000)
    1033
    >>> 24_000_000 < kask.sizeof([str(i) for i in range(1_000_000)]) < 100_000_000
    True
    """

    def __init__(self) -> None:
        self._ways: dict[type, Way | str] = {}
        self._loaders: dict[str, list[Callable[[], object]]] = {}

    def __call__(self, obj: Any) -> int:
        return _measure(obj)

    def __repr__(self) -> str:
        return "<function kask.sizeof>"

    def __reduce__(self) -> str:
        return "sizeof"

    def register(self, type: type | tuple[type, ...], func: Way | None = None) -> Any:
        """Say how objects of a type, and of its subclasses, are measured.

        Parameters
        ----------
        type : type or tuple of types
            Which objects.
        func : callable, optional
            Takes an object and returns bytes; may call ``kask.sizeof`` on what the object holds. Without it, a decorator.
            When it raises or returns something else, a warning is logged, once for each type, and the object counts what
            ``sys.getsizeof`` says.

        Returns
        -------
        callable
            ``func``, or the decorator.

        Raises
        ------
        TypeError
            For what is no type or not callable, and for types that the engine always measures by itself: numbers, text,
            ``bytes``, ``list``, ``tuple``, ``dict``, sets and ``None`` (their subclasses can be registered).

        Examples
        --------
        >>> import kask
        >>> class Tile:
        ...     pixels = 256 * 256
        >>> @kask.sizeof.register(Tile)
        ... def sizeof_tile(tile):
        ...     return 4 * tile.pixels
        >>> kask.sizeof(Tile())
        262144
        """
        if func is None:
            return functools.partial(self.register, type)
        _check_callable("register", func)
        classes = type if isinstance(type, tuple) else (type,)
        for cls in classes:
            if not isinstance(cls, _TYPE):
                raise TypeError(f"kask.sizeof.register needs a type or a tuple of types, got {cls!r}")
            if cls in _MEASURED:
                raise TypeError(
                    f"kask.sizeof.register cannot change how {cls.__name__} is measured, which the engine does by itself; "
                    "register a class of your own"
                )
        for cls in classes:
            # What comes with the type's module comes first: it must not replace this later.
            self._load(cls.__module__)
            self._ways[cls] = func
        _known.clear()
        _failed.clear()
        return func

    def register_lazy(self, module: str, func: Callable[[], object] | None = None) -> Any:
        """Register types of a module when the first object of one of its types is measured, without importing it now.

        Parameters
        ----------
        module : str
            Name of a package or module, such as ``"torch"``.
        func : callable, optional
            Called once without arguments, when the module has been imported; it calls ``kask.sizeof.register``. Without it,
            a decorator.

        Returns
        -------
        callable
            ``func``, or the decorator.

        Examples
        --------
        >>> import kask
        >>> @kask.sizeof.register_lazy("torch")
        ... def register_torch():
        ...     import torch
        ...
        ...     @kask.sizeof.register(torch.Tensor)
        ...     def sizeof_tensor(tensor):
        ...         return tensor.element_size() * tensor.nelement()
        """
        if func is None:
            return functools.partial(self.register_lazy, module)
        _check_callable("register_lazy", func)
        self._loaders.setdefault(module, []).append(func)
        _known.clear()
        return func

    def _way_for(self, cls: type) -> Way | str:
        for base in cls.__mro__:
            self._load(base.__module__)
            way = self._ways.get(base) or _BUILT_IN.get(base)
            if way is not None:
                return way
        # A class that says how large its instances are is believed.
        says = any("__sizeof__" in base.__dict__ for base in cls.__mro__[:-1])
        return "plain" if says else _generic

    def _load(self, module: object) -> None:
        parts = module.split(".") if isinstance(module, str) else []
        for end in range(1, len(parts) + 1):
            name = ".".join(parts[:end])
            for loader in self._loaders.pop(name, ()):
                try:
                    loader()
                except Exception as error:
                    _log.warning("what was to register types of %s for kask.sizeof failed: %r", name, error)


_TYPE = type
sizeof = Sizeof()


def _way_for(cls: type) -> Way | str:
    """How objects of exactly this type are measured; remembers it."""
    way = sizeof._way_for(cls)
    if len(_known) >= _MOST_KNOWN:
        _known.clear()
    _known[cls] = way
    return way


def _check_callable(where: str, func: object) -> None:
    if not callable(func):
        raise TypeError(f"kask.sizeof.{where} needs a function, got {func!r}")


def _way_failed(cls: type, error: Exception) -> None:
    """The way of this type raised, or returned no number of bytes. Called by Rust, which never raises."""
    if cls in _failed:
        return
    if len(_failed) >= _MOST_KNOWN:
        _failed.clear()
    _failed.add(cls)
    name = f"{cls.__module__}.{cls.__qualname__}"
    _log.warning(
        "the function that tells kask.sizeof how large objects of %s are failed (it has to return bytes as an integer of "
        "at least 0): %r; they count what sys.getsizeof says, which may be far too little",
        name, error,
    )  # fmt: skip


def _items(items: Sequence[Any], population: int | None = None) -> int:
    """What ``items`` hold, or ``population`` objects of which they are some."""
    return sizeof_items(list(items), len(items) if population is None else population)


def _generic(obj: Any) -> int:
    """An object of a type that nobody has registered: what it says in ``nbytes``, its buffer, or its attributes."""
    cls = type(obj)
    own = sys.getsizeof(obj, 64)
    if hasattr(cls, "nbytes") and isinstance(nbytes := obj.nbytes, int) and nbytes >= 0:
        return own + nbytes
    try:
        with memoryview(obj) as view:
            return own + view.nbytes
    except TypeError:
        pass
    held = []
    for base in cls.__mro__:
        slots = base.__dict__.get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            if slot not in ("__dict__", "__weakref__"):
                held.append(getattr(obj, slot, None))
    attributes = getattr(obj, "__dict__", None)
    if isinstance(attributes, dict):
        held.append(attributes)
    return own + _items(held)


@sizeof.register(collections.deque)
def _deque(queue: collections.deque) -> int:
    # The middle of a deque is slow to reach; its ends are not.
    count = min(len(queue), _SAMPLE)
    half = count // 2
    sample = [queue[place] for place in range(count - half)] + [queue[-1 - place] for place in range(half)]
    return sys.getsizeof(queue) + _items(sample, len(queue))


@sizeof.register(types.SimpleNamespace)
def _namespace(namespace: types.SimpleNamespace) -> int:
    return 48 + _measure(vars(namespace))


@sizeof.register_lazy("numpy")
def _register_numpy() -> None:
    import numpy

    sizeof._ways |= {numpy.ndarray: "array"} | dict.fromkeys([numpy.generic, numpy.dtype, numpy.ufunc], "plain")

    @sizeof.register(numpy.ma.MaskedArray)
    def _masked(masked: Any) -> int:
        return _items([masked.data, masked.mask])


@sizeof.register_lazy("pandas")
def _register_pandas() -> None:
    import pandas

    @sizeof.register((pandas.DataFrame, pandas.Series))
    def _frame(frame: Any) -> int:
        blocks = frame._mgr.blocks
        places = sample_places(len(blocks), _SAMPLE)
        axes = [frame.index, *([frame.columns] if frame.ndim == 2 else [])]
        return 512 + _items(axes) + _items([blocks[place].values for place in places], len(blocks))

    @sizeof.register(pandas.Index)
    def _index(index: Any) -> int:
        # The table by which an index finds its rows is made at the first look-up and is part of what it holds.
        engine = index._cache.get("_engine")
        return 64 + _measure(index._data) + (0 if engine is None else engine.sizeof(deep=False))

    @sizeof.register(pandas.RangeIndex)
    def _range(index: Any) -> int:
        return index.memory_usage()

    @sizeof.register(pandas.MultiIndex)
    def _multi(index: Any) -> int:
        return 64 + _items([*index.levels, *index.codes])

    @sizeof.register(pandas.api.extensions.ExtensionArray)
    def _extension(values: Any) -> int:
        parts = [getattr(values, name, None) for name in ("_ndarray", "_codes", "_data", "_mask", "_left", "_right")]
        known = [part for part in parts if part is not None]
        arrow = getattr(values, "_pa_array", None)
        if arrow is not None:
            return 64 + _measure(arrow)
        if isinstance(values, pandas.Categorical):
            known.append(values.categories)
        return 64 + (_items(known) if known else values.nbytes)


@sizeof.register_lazy("pyarrow")
def _register_arrow() -> None:
    import pyarrow

    @sizeof.register((pyarrow.Table, pyarrow.RecordBatch, pyarrow.ChunkedArray, pyarrow.Array))
    def _columns(columns: Any) -> int:
        # Slices of one buffer are counted for what they show, a buffer that several columns share once.
        return 64 + min(columns.nbytes, columns.get_total_buffer_size())

    @sizeof.register(pyarrow.Buffer)
    def _buffer(buffer: Any) -> int:
        return 64 + buffer.size


@sizeof.register_lazy("polars")
def _register_polars() -> None:
    polars = importlib.import_module("polars")

    @sizeof.register((polars.DataFrame, polars.Series))
    def _columns(columns: Any) -> int:
        return 64 + columns.estimated_size()


@sizeof.register_lazy("scipy.sparse")
def _register_sparse() -> None:
    sparse = importlib.import_module("scipy.sparse")

    @sizeof.register((sparse.sparray, sparse.spmatrix))
    def _sparse(matrix: Any) -> int:
        names = ("data", "indices", "indptr", "row", "col", "coords", "offsets", "rows", "_dict")
        return 64 + _items([value for name in names if (value := getattr(matrix, name, None)) is not None])
