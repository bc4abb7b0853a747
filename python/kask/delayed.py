"""``kask.delayed``: calls that run later, in parallel.

A :class:`Delayed` is a thin cover around a ``Node`` of the engine (a call that is described), or around a ``Future`` (one that is
running or done, after ``persist``). Nodes know their inputs; the graph exists only in Rust.
"""

from __future__ import annotations

import functools
import operator
import os
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from kask import engine
from kask.annotations import current_options, size, sized_options
from kask.base import Methods, first, is_kask_collection
from kask.containers import any_leaf, map_leaves
from kask.engine import Future, Node
from kask.graphs import rebuild, to_records
from kask.tokens import normalize

__all__ = ["Delayed", "delayed"]

_PLAIN = frozenset({type(None), bool, int, float, complex, str, bytes})
_MISSING: Any = object()


def delayed(
    obj: Any = _MISSING,
    name: str | None = None,
    pure: bool | None = None,
    nout: int | None = None,
    traverse: bool = True,
    *,
    memory_bytes: int | str | None = None,
    result_bytes: int | str | None = None,
) -> Any:
    """Make a function, or a value, lazy.

    Parameters
    ----------
    obj : object
        A function (its calls become tasks) or any other value. Without it a decorator is returned, as in ``@delayed(nout=2)``.
    name : str, optional
        Key of the lazy object itself.
    pure : bool, optional
        Whether equal calls give equal results and may share one key. The default is False: each call is a task of its own.
    nout : int, optional
        Number of results of a call, so that they can be unpacked.
    traverse : bool
        Whether lazy objects inside ``obj``, if it is a container, are found.
    memory_bytes, result_bytes : int or str, optional
        What a call needs while it runs and how large its result is, such as ``"256MiB"``; see :func:`kask.annotate`.

    Returns
    -------
    Delayed

    Examples
    --------
    >>> import kask
    >>> @kask.delayed
    ... def inc(x):
    ...     return x + 1
    >>> total = kask.delayed(sum)([inc(i) for i in range(3)])
    >>> total.compute()
    6
    >>> low, high = kask.delayed(divmod, nout=2)(7, 4)
    >>> (low + high).compute()
    4
    """
    if obj is _MISSING:
        return functools.partial(
            delayed,
            name=name,
            pure=pure,
            nout=nout,
            traverse=traverse,
            memory_bytes=memory_bytes,
            result_bytes=result_bytes,
        )
    if isinstance(obj, Delayed):
        return obj
    if nout is not None and (isinstance(nout, bool) or not isinstance(nout, int) or nout < 0):
        raise ValueError(f"nout= must be None or a number of results (0 or more), got {nout!r}")
    if isinstance(obj, Future):
        return Delayed(obj, nout)
    sizes = (size("memory_bytes", memory_bytes), size("result_bytes", result_bytes))
    if traverse and any_leaf(obj, is_kask_collection):
        lowered = map_leaves(obj, _lower_leaf)
        if isinstance(lowered, Node | Future):
            return Delayed(lowered, nout)
        family = type(obj).__name__
        key = name or _key(family, pure, lowered)
        return Delayed(Node(None, (lowered,), {}, key, family, sized_options(*sizes)), nout)
    return DelayedLeaf(obj, name, pure, nout, traverse, sizes)


def _lower_leaf(leaf: Any) -> Any:
    if isinstance(leaf, Delayed):
        return leaf._lowered()
    if is_kask_collection(leaf):
        make = getattr(leaf, "__kask_delayed__", None)
        if make is None:
            raise TypeError(
                f"a {type(leaf).__name__} cannot be an argument of a delayed call; compute() or persist() it first"
            )
        return make()._lowered()
    return leaf


def _lower(value: Any) -> Any:
    """``value`` with each Delayed in it replaced by its node or future."""
    if type(value) in _PLAIN:
        return value
    return map_leaves(value, _lower_leaf)


def _key(family: str, pure: bool | None, *identity: Any) -> str:
    token = engine.tokenize(normalize, False, identity, {}) if pure else os.urandom(16).hex()
    return f"{family}-{token}"


def _family(func: Any) -> str:
    if isinstance(func, functools.partial):
        return _family(func.func)
    name = getattr(func, "__name__", None) or type(func).__name__
    return "lambda" if name == "<lambda>" else str(name)


def _node(
    func: Any,
    family: str,
    args: Iterable[Any],
    kwargs: dict[str, Any],
    key_name: str | None,
    pure: bool | None,
    identity: Any,
    sizes: tuple[int, int] = (0, 0),
) -> Node:
    lowered = tuple([_lower(arg) for arg in args])
    named = {name: _lower(value) for name, value in kwargs.items()} if kwargs else kwargs
    key = key_name if key_name is not None else _key(family, pure, identity, lowered, named)
    return Node(func, lowered, named, key, family, sized_options(*sizes))


def _call_options(kwargs: dict[str, Any], pure: bool | None) -> tuple[str | None, bool | None]:
    if not kwargs:
        return None, pure
    if "dask_key_name" in kwargs:
        raise TypeError("dask_key_name= is not known here; use kask_key_name=")
    key_name = kwargs.pop("kask_key_name", None)
    if key_name is not None and not isinstance(key_name, str):
        raise TypeError(f"kask_key_name= must be text, got {key_name!r}")
    return key_name, kwargs.pop("pure", pure)


def _operator(func: Callable[..., Any]) -> Callable[..., Delayed]:
    family = func.__name__.strip("_")

    def method(*operands: Any) -> Delayed:
        return Delayed(_node(func, family, operands, {}, None, True, f"operator.{family}"))

    method.__name__ = f"__{family}__"
    method.__doc__ = f"``operator.{func.__name__}``, later."
    return method


def _reflected(func: Callable[..., Any]) -> Callable[..., Delayed]:
    forward = _operator(func)

    def method(self: Delayed, other: Any) -> Delayed:
        return forward(other, self)

    return method


def _call(func: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Task of a call of something that is itself a result."""
    return func(*args, **kwargs)


def _call_method(obj: Any, name: str, /, *args: Any, **kwargs: Any) -> Any:
    """Task of a method call."""
    return getattr(obj, name)(*args, **kwargs)


class Delayed(Methods):
    """A value that will be computed.

    Attributes, items, methods, operators and calls give further Delayed objects. It has no truth value, no length (unless ``nout`` was
    given) and cannot be changed: those would need the value now.

    Parameters
    ----------
    task : Node or Future
        What computes it.
    length : int, optional
        Number of items, if they are to be unpacked.

    Attributes
    ----------
    key : str
        Names the result.

    Examples
    --------
    >>> import kask
    >>> text = kask.delayed("lazy")
    >>> (text.upper() + "!")[1:].compute()
    'AZY!'
    """

    __slots__ = ("__weakref__", "_length", "_task")

    _task: Node | Future | None
    _length: int | None

    def __init__(self, task: Node | Future | None, length: int | None = None) -> None:
        object.__setattr__(self, "_task", task)
        object.__setattr__(self, "_length", length)

    def _lowered(self) -> Node | Future:
        assert self._task is not None, "subclasses that make their task later override this"
        return self._task

    @property
    def key(self) -> str:
        """Names the result."""
        return self._lowered().key

    # -- collection protocol

    def __kask_graph__(self, builder: engine.GraphBuilder) -> list[str | Future]:
        task = self._lowered()
        return [task if isinstance(task, Future) else task.key]

    def __kask_postcompute__(self) -> tuple[Callable[..., Any], tuple]:
        return first, ()

    def __kask_postpersist__(self) -> tuple[Callable[..., Any], tuple]:
        return _on_future, (self._length,)

    def __kask_tokenize__(self) -> Any:
        return self.key

    def __kask_nodes__(self) -> list[Node]:
        task = self._lowered()
        return [] if isinstance(task, Future) else [task]

    def __kask_futures__(self) -> list[Any]:
        return [self._lowered()]

    # -- what a user does with it

    def __call__(self, *args: Any, **kwargs: Any) -> Delayed:
        key_name, pure = _call_options(kwargs, None)
        return Delayed(_node(_call, "call", (self, *args), kwargs, key_name, pure, "call"))

    def __getattr__(self, name: str) -> Delayed:
        if name.startswith("_"):
            raise AttributeError(
                f"a Delayed has no attribute {name!r}; names with an underscore in front are not made lazy"
            )
        return DelayedAttr(self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        raise TypeError(f"a Delayed cannot be changed: set {name!r} inside a delayed function, and return the object")

    def __delattr__(self, name: str) -> None:
        raise TypeError(
            f"a Delayed cannot be changed: delete {name!r} inside a delayed function, and return the object"
        )

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError("a Delayed cannot be changed: assign the item inside a delayed function, and return the object")

    def __delitem__(self, index: Any) -> None:
        raise TypeError("a Delayed cannot be changed: delete the item inside a delayed function, and return the object")

    def __bool__(self) -> bool:
        raise TypeError(
            "the truth of a Delayed is not known before it is computed: call .compute(), or decide inside a delayed function"
        )

    def __iter__(self) -> Iterator[Delayed]:
        if self._length is None:
            raise TypeError(
                "a Delayed of unknown length cannot be iterated over or unpacked: give its number of results, delayed(function, nout=2)"
            )
        return (self[i] for i in range(self._length))

    def __len__(self) -> int:
        if self._length is None:
            raise TypeError(
                "the length of a Delayed is not known before it is computed: give delayed(..., nout=n), or call delayed(len)(x)"
            )
        return self._length

    def __contains__(self, item: Any) -> bool:
        raise TypeError(
            "whether a Delayed contains something is not known before it is computed: use delayed(operator.contains)(x, item)"
        )

    def __index__(self) -> int:
        raise TypeError("a Delayed is no number before it is computed: call .compute()")

    def __hash__(self) -> int:
        return hash(self.key)

    def __dir__(self) -> list[str]:
        return sorted({*dir(type(self))})

    def __repr__(self) -> str:
        return f"Delayed({self.key!r})"

    def __reduce__(self) -> tuple:
        task = self._lowered()
        if isinstance(task, Future):
            return Delayed, (task, self._length)
        return _from_records, (to_records([task]), self._length)

    def __copy__(self) -> Delayed:
        return self

    def __deepcopy__(self, memo: dict) -> Delayed:
        return self

    __getitem__ = _operator(operator.getitem)
    __add__, __radd__ = _operator(operator.add), _reflected(operator.add)
    __sub__, __rsub__ = _operator(operator.sub), _reflected(operator.sub)
    __mul__, __rmul__ = _operator(operator.mul), _reflected(operator.mul)
    __matmul__, __rmatmul__ = _operator(operator.matmul), _reflected(operator.matmul)
    __truediv__, __rtruediv__ = _operator(operator.truediv), _reflected(operator.truediv)
    __floordiv__, __rfloordiv__ = _operator(operator.floordiv), _reflected(operator.floordiv)
    __mod__, __rmod__ = _operator(operator.mod), _reflected(operator.mod)
    __divmod__, __rdivmod__ = _operator(divmod), _reflected(divmod)
    __pow__, __rpow__ = _operator(pow), _reflected(pow)
    __lshift__, __rlshift__ = _operator(operator.lshift), _reflected(operator.lshift)
    __rshift__, __rrshift__ = _operator(operator.rshift), _reflected(operator.rshift)
    __and__, __rand__ = _operator(operator.and_), _reflected(operator.and_)
    __or__, __ror__ = _operator(operator.or_), _reflected(operator.or_)
    __xor__, __rxor__ = _operator(operator.xor), _reflected(operator.xor)
    __neg__, __pos__ = _operator(operator.neg), _operator(operator.pos)
    __abs__, __invert__ = _operator(operator.abs), _operator(operator.invert)
    __round__ = _operator(round)
    __lt__, __le__ = _operator(operator.lt), _operator(operator.le)
    __gt__, __ge__ = _operator(operator.gt), _operator(operator.ge)
    __eq__, __ne__ = _operator(operator.eq), _operator(operator.ne)  # type: ignore[assignment]


def _on_future(futures: list[Future], length: int | None) -> Delayed:
    return Delayed(futures[0], length)


def _from_records(records: list[tuple], length: int | None) -> Delayed:
    return Delayed(rebuild(records)[-1], length)


class DelayedLeaf(Delayed):
    """A lazy function or value; its task is made when somebody asks for the function or value itself."""

    __slots__ = ("_name", "_obj", "_pure", "_sizes", "_traverse")

    _name: str | None
    _obj: Any
    _pure: bool | None
    _sizes: tuple[int, int]
    _traverse: bool

    def __init__(
        self,
        obj: Any,
        name: str | None,
        pure: bool | None,
        nout: int | None,
        traverse: bool,
        sizes: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__(None, nout)
        object.__setattr__(self, "_obj", obj)
        object.__setattr__(self, "_name", name)
        object.__setattr__(self, "_pure", pure)
        object.__setattr__(self, "_traverse", traverse)
        object.__setattr__(self, "_sizes", sizes)

    def _lowered(self) -> Node | Future:
        if self._task is None:
            family = _family(self._obj) if callable(self._obj) else type(self._obj).__name__
            key = self._name or _key(family, self._pure, self._obj)
            func, args = (None, (self._obj,)) if self._traverse else (_unwrap, (_Opaque(self._obj),))
            # The sizes of a function are those of its calls.
            options = current_options() if callable(self._obj) else sized_options(*self._sizes)
            object.__setattr__(self, "_task", Node(func, args, {}, key, family, options))
        return super()._lowered()

    def __call__(self, *args: Any, **kwargs: Any) -> Delayed:
        func = self._obj
        key_name, pure = _call_options(kwargs, self._pure)
        identity = (self._name or func) if pure else None
        node = _node(func, _family(func), args, kwargs, key_name, pure, identity, self._sizes)
        return Delayed(node, self._length)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    @property
    def __name__(self) -> str:
        return _family(self._obj)

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        return getattr(self._obj, "__doc__", None)

    def __reduce__(self) -> tuple:
        return DelayedLeaf, (self._obj, self._name, self._pure, self._length, self._traverse, self._sizes)


class _Opaque:
    """A container that nobody shall look into."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _unwrap(opaque: _Opaque) -> Any:
    return opaque.value


class DelayedAttr(Delayed):
    """An attribute; called, it is a method call and one task only."""

    __slots__ = ("_attr", "_owner")

    _attr: str
    _owner: Delayed

    def __init__(self, owner: Delayed, attr: str) -> None:
        super().__init__(None)
        object.__setattr__(self, "_owner", owner)
        object.__setattr__(self, "_attr", attr)

    def _lowered(self) -> Node | Future:
        if self._task is None:
            node = _node(getattr, "getattr", (self._owner, self._attr), {}, None, True, "getattr")
            object.__setattr__(self, "_task", node)
        return super()._lowered()

    def __call__(self, *args: Any, **kwargs: Any) -> Delayed:
        key_name, pure = _call_options(kwargs, None)
        return Delayed(
            _node(_call_method, self._attr, (self._owner, self._attr, *args), kwargs, key_name, pure, "method")
        )

    def __reduce__(self) -> tuple:
        return DelayedAttr, (self._owner, self._attr)
