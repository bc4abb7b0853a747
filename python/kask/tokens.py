"""Tokens: equal for equal content, in any process, on any machine.

The engine hashes plain types itself and hands everything else to :func:`normalize`, which answers with plain types only. Neither
``hash()`` nor ``id()`` nor the order of dicts and sets may reach a token. What cannot be described so gets a random
token, and ``tokenize(obj, ensure_deterministic=True)`` says which part of ``obj`` is to blame.

Start reading at :func:`tokenize`; functions and classes are in ``kask.tokens_code``, NumPy and others in ``kask.tokens_arrays``.
"""

from __future__ import annotations

import contextvars
import copyreg
import functools
import math
import os
from collections.abc import Callable
from typing import Any

from kask import engine
from kask.exceptions import TokenizationError

__all__ = ["TokenizationError", "normalize", "normalize_token", "tokenize"]

_SCALARS = frozenset({type(None), bool, int, float, complex, str, bytes})
_strict: contextvars.ContextVar[bool] = contextvars.ContextVar("kask_strict_tokens", default=False)


def tokenize(*args: object, ensure_deterministic: bool | None = None, **kwargs: object) -> str:
    """Hash objects by their content.

    Parameters
    ----------
    *args, **kwargs
        What to hash. The order of keywords, of dict entries and of set elements does not matter.
    ensure_deterministic : bool, optional
        Whether to raise instead of giving a random token to an object that has no deterministic one. The default is the setting
        ``tokenize.ensure_deterministic``, which is False.

    Returns
    -------
    str
        32 hexadecimal digits.

    Raises
    ------
    TokenizationError
        Says which part of which argument has no deterministic token, and why.

    See Also
    --------
    normalize_token : teach it a type. A class can also have a method ``__kask_tokenize__`` that returns plain values.

    Examples
    --------
    >>> import kask
    >>> kask.tokenize([1, 2], x=3) == kask.tokenize([1, 2], x=3)
    True
    >>> kask.tokenize(object(), ensure_deterministic=True)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    kask.exceptions.TokenizationError: argument 0: an instance of object has no content to hash...
    """
    if ensure_deterministic is None:
        from kask import config

        ensure_deterministic = config.get("tokenize.ensure_deterministic")
    if not ensure_deterministic:
        return engine.tokenize(normalize, False, args, kwargs)
    token = _strict.set(True)
    try:
        return engine.tokenize(normalize, True, args, kwargs)
    except TokenizationError as error:
        raise _blame(args, kwargs, error) from None
    finally:
        _strict.reset(token)


def _blame(args: tuple, kwargs: dict, error: TokenizationError) -> TokenizationError:
    """The same error, naming the argument as well."""
    named = [(f"argument {i}", value) for i, value in enumerate(args)] + list(kwargs.items())
    for label, value in named:
        try:
            Normalizer(strict=True).whole(value, label)
        except TokenizationError as better:
            return better
    return error


class _Registry:
    """Which function describes which type: by class along the MRO, by protocol, or by a module that is imported when needed."""

    def __init__(self) -> None:
        self._functions: dict[type, Callable[[Any], Any]] = {}
        self._lazy: dict[str, list[Callable[[], object]]] = {}
        self._cache: dict[type, Callable[[Any], Any] | None] = {}

    def register(self, cls: type | tuple[type, ...], func: Callable[[Any], Any] | None = None) -> Any:
        """Register ``func`` for a class (or several) and their subclasses; without ``func``, a decorator.

        Examples
        --------
        >>> import kask
        >>> class Point:
        ...     def __init__(self, x):
        ...         self.x = x
        >>> @kask.normalize_token.register(Point)
        ... def _(point):
        ...     return point.x
        >>> kask.tokenize(Point(1)) == kask.tokenize(Point(1))
        True
        """
        if func is None:
            return functools.partial(self._decorate, cls)
        for one in cls if isinstance(cls, tuple) else (cls,):
            self._functions[one] = func
        self._cache.clear()
        return func

    def _decorate(self, cls: type | tuple[type, ...], func: Callable[[Any], Any]) -> Callable[[Any], Any]:
        self.register(cls, func)
        return func

    def register_lazy(self, toplevel: str, func: Callable[[], object] | None = None) -> Any:
        """Call ``func``, which registers classes, when the first object of the package ``toplevel`` comes along."""
        if func is None:
            return functools.partial(self.register_lazy, toplevel)
        self._lazy.setdefault(toplevel, []).append(func)
        self._cache.clear()
        return func

    def dispatch(self, cls: type) -> Callable[[Any], Any] | None:
        """The function for objects of exactly this class, or None."""
        try:
            return self._cache[cls]
        except KeyError:
            pass
        found = None
        for base in cls.__mro__[:-1]:
            for load in self._lazy.pop((base.__module__ or "").partition(".")[0], []):
                load()
            if base in self._functions:
                found = self._functions[base]
                break
        self._cache[cls] = found
        return found

    def __call__(self, value: object) -> Any:
        """Plain values that describe ``value``."""
        return normalize(value)


normalize_token = _Registry()


def normalize(value: object) -> Any:
    """Plain values (scalars, tuples, lists and dicts) that describe ``value``; called by the engine."""
    return Normalizer(strict=_strict.get()).whole(value, "")


class Normalizer:
    """One walk over an object: remembers where it is, so that cycles end and errors can say where."""

    def __init__(self, strict: bool) -> None:
        self.strict = strict
        self._depth = 0
        self._open: dict[int, int] = {}
        self._done: dict[int, tuple[object, Any]] = {}
        # How far up the cycles lead that were met below the current object.
        self._reach: float = math.inf
        self._path: list[str] = []

    def whole(self, value: Any, label: str) -> Any:
        """Describe ``value``; ``label`` names the place in errors."""
        token = _walk.set(self)
        try:
            return self.part(value, label)
        except RecursionError:
            return self.give_up(f"{_shown(value)} is nested too deeply")
        finally:
            _walk.reset(token)

    def part(self, value: Any, label: str = "") -> Any:
        """Describe a part of the object."""
        kind = type(value)
        if kind in _SCALARS:
            return value
        identity = id(value)
        if identity in self._open:
            self._reach = min(self._reach, self._open[identity])
            return ("kask:cycle", self._depth - self._open[identity])
        if identity in self._done:
            return self._done[identity][1]
        depth, reach = self._depth, self._reach
        self._open[identity] = depth
        self._depth, self._reach = depth + 1, math.inf
        self._path.append(label)
        try:
            described = self._describe(kind, value)
        finally:
            self._depth = depth
            del self._open[identity]
            self._path.pop()
        if self._reach >= depth:
            # Complete in itself, so that its token can stand for it; one that speaks of a cycle further up would mean
            # something else elsewhere. Without tokens, parts that are shared would be written out again and again.
            if described is not value:
                described = ("kask:token", engine.tokenize(normalize, False, (described,), {}))
            self._done[identity] = (value, described)
            self._reach = reach
        else:
            self._reach = min(reach, self._reach)
        return described

    def _describe(self, kind: type, value: Any) -> Any:
        if kind is list or kind is tuple:
            if _SCALARS.issuperset(map(type, value)):
                return value
            return kind([self.part(item, f"[{i}]") for i, item in enumerate(value)])
        if kind is dict:
            return self.mapping(value)
        if kind is set or kind is frozenset:
            return (
                "kask:" + kind.__name__,
                sorted(engine.tokenize(normalize, False, (self.part(item, "an element"),), {}) for item in value),
            )
        if kind in (engine.Node, engine.Future):
            return ("kask:key", value.key)
        for protocol in ("__kask_tokenize__", "__dask_tokenize__"):
            method = getattr(kind, protocol, None)
            if method is None:
                continue
            try:
                described = method(value)
            except ModuleNotFoundError:
                # Some of Dask's need Dask.
                if protocol == "__kask_tokenize__":
                    raise
                continue
            return ("kask:own", _name(kind), self.part(described, f"what {protocol} returned"))
        function = normalize_token.dispatch(kind)
        if function is not None:
            return self.part(function(value), "")
        if tokens_code.is_plain_dataclass(kind):
            return tokens_code.describe_dataclass(value)
        return self._by_reduce(kind, value)

    def mapping(self, value: Any) -> Any:
        """Describe a dict, whatever its order."""
        if all(type(key) is str for key in value):
            return {key: self.part(item, f"[{key!r}]") for key, item in value.items()}
        pairs = [(self.part(key, "a key"), self.part(item, f"[{key!r}]")) for key, item in value.items()]
        return ("kask:dict", sorted(engine.tokenize(normalize, False, (pair,), {}) for pair in pairs))

    def _by_reduce(self, kind: type, value: Any) -> Any:
        if kind is object:
            return self.give_up("an instance of object has no content to hash")
        try:
            reducer = copyreg.dispatch_table.get(kind)
            reduced = reducer(value) if reducer else value.__reduce_ex__(4)
        except Exception as error:
            return self._by_pickle(kind, value, error)
        if isinstance(reduced, str):
            return ("kask:global", getattr(value, "__module__", None) or "", reduced)
        function, args, state, items, pairs = (*reduced, *[None] * 5)[:5]
        return (
            "kask:object",
            _name(kind),
            self.part(function, "its constructor"),
            self.part(args, "its constructor's arguments"),
            self._state(state),
            [self.part(item, f"[{i}]") for i, item in enumerate(items)] if items is not None else None,
            [[self.part(key, "a key"), self.part(item, f"[{key!r}]")] for key, item in pairs]
            if pairs is not None
            else None,
        )

    def _state(self, state: Any) -> Any:
        if isinstance(state, dict) and all(type(key) is str for key in state):
            return {key: self.part(item, f".{key}") for key, item in state.items()}
        return self.part(state, "its state")

    def _by_pickle(self, kind: type, value: Any, error: Exception) -> Any:
        import cloudpickle

        try:
            data = cloudpickle.dumps(value, protocol=4)
            if cloudpickle.dumps(cloudpickle.loads(data), protocol=4) == data:
                return ("kask:pickle", _name(kind), data)
        except Exception as worse:
            error = worse
        return self.give_up(f"{_shown(value)} cannot be described by its content ({type(error).__name__}: {error})")

    def give_up(self, why: str) -> Any:
        """No deterministic description: raise if that was asked for, otherwise answer with something random."""
        if self.strict:
            where = "".join(
                part if part.startswith((".", "[")) else f", {part}" for part in self._path if part
            ).removeprefix(", ")
            raise TokenizationError(
                f"{where}: {why}" if where else why,
                hint="give its class a method __kask_tokenize__ that returns plain values, or register one with kask.normalize_token.register",
            )
        return ("kask:random", os.urandom(16))


_walk: contextvars.ContextVar[Normalizer | None] = contextvars.ContextVar("kask_token_walk", default=None)


def give_up(why: str) -> Any:
    """For registered functions: the object has no deterministic description."""
    walk = _walk.get() or Normalizer(strict=_strict.get())
    return walk.give_up(why)


def describe_part(value: Any, label: str) -> Any:
    """For registered functions: describe a part of the object, named in errors."""
    walk = _walk.get() or Normalizer(strict=_strict.get())
    return walk.part(value, label)


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _shown(value: Any) -> str:
    return f"an instance of {_name(type(value))}"


def bytes_hashed(data: memoryview) -> str:
    """Hash of a contiguous buffer."""
    return engine.blob_hash(data)  # type: ignore[arg-type]


from kask import tokens_arrays, tokens_code  # noqa: E402

tokens_code.register(normalize_token)
tokens_arrays.register(normalize_token)
