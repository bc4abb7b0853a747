"""Python's functions of single elements, made into functions of arrays."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from kask.array.base import ArrayBase, as_array
from kask.array.kernels.vectorizing import Slot, Vectorized
from kask.array.node import ArrayExpr
from kask.array.ops.deferring import called
from kask.array.ops.gufuncs import _sample, apply_gufunc, parsed_signature

__all__ = ["vectorize"]


class vectorize:
    """A function of single elements, made into one of arrays that broadcast.

    Parameters
    ----------
    pyfunc : callable
        The function. Without it the object is a decorator.
    otypes : str or sequence of data-type, optional
        The types of the results, as characters or a sequence.
    doc : str, optional
        The docstring; by default that of the function.
    excluded : set of int or str, optional
        Places and names of arguments that the function gets as they are. Arrays of Kask among these are whole in each task.
    cache : bool, optional
        Has no influence: the function is not called for elements twice.
    signature : str, optional
        Core axes that the function wants and gives, such as ``"(n),(n)->()"``. Tasks have them whole.

    Raises
    ------
    ValueError, TypeError
        When called: types that are not known beforehand; arguments that do not fit the signature.

    Notes
    -----
    Without ``otypes``, or where ``signature`` has core axes that only results have, the function is called once with ones of the types of its arguments
    when an array is described, to find out what it gives. NumPy calls it with the first elements. Results that are texts need a length, such as
    ``otypes=["U20"]``. Nothing else is called before computing, and then tasks call the function for each element: this is no faster than a loop, but
    as many of them run at the same time as Python allows.

    Examples
    --------
    >>> import kask.array as ka
    >>> def larger(a, b):
    ...     return a if a > b else b
    >>> ka.vectorize(larger)(ka.from_array([1, 5, 2], chunks=2), 3).compute()
    array([3, 5, 3])
    """

    def __init__(
        self,
        pyfunc: Any = np._NoValue,
        otypes: Any = None,
        doc: str | None = None,
        excluded: Iterable[int | str] | None = None,
        cache: bool = False,
        signature: str | None = None,
    ) -> None:
        if pyfunc is not np._NoValue and not callable(pyfunc):
            raise TypeError(
                f"pyfunc= must be a function, not {type(pyfunc).__name__}; as a decorator vectorize() takes keywords only"
            )
        self.otypes = None if otypes is None else _types(otypes)
        self.excluded = frozenset(() if excluded is None else excluded)
        if not all(isinstance(one, int | str) for one in self.excluded):
            raise TypeError(f"excluded= has places and names of arguments, not {sorted(self.excluded, key=str)!r}")
        if signature is not None:
            parsed_signature(signature)
        self.cache, self.signature, self._doc = cache, signature, doc
        self.pyfunc: Any = pyfunc
        if pyfunc is not np._NoValue:
            self._decorate(pyfunc)

    def _decorate(self, pyfunc: Callable[..., Any]) -> vectorize:
        self.pyfunc = pyfunc
        self.__name__ = getattr(pyfunc, "__name__", type(pyfunc).__name__)
        self.__doc__ = pyfunc.__doc__ if self._doc is None else self._doc
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self.pyfunc is np._NoValue:
            return self._decorate(*args, **kwargs)
        if any(isinstance(one, ArrayBase.unknown) for one in (*args, *kwargs.values())):
            return called(self, args, kwargs)
        given = _Given(self.excluded, args, kwargs)
        if not given.vectorized:
            return self.pyfunc(*args, **kwargs)
        call = _Call(self.pyfunc, given, self.signature)
        otypes = self.otypes
        if otypes is None or call.unsized:
            found = call.learned(otypes)
            otypes, sizes = found.types if otypes is None else otypes, found.sizes
        else:
            sizes = {}
        for kind in otypes:
            if kind.kind in "SU" and not kind.itemsize:
                raise ValueError(
                    f"otypes= needs the length of texts, such as '{kind.kind}20': it must be known beforehand"
                )
        return call.described(otypes, sizes)

    def __kask_tokenize__(self) -> Any:
        return "vectorize", self.pyfunc, self.otypes, sorted(self.excluded, key=str), self.signature


def _types(otypes: Any) -> list[np.dtype]:
    """The types of results, as they may be said."""
    if isinstance(otypes, str):
        wrong = [char for char in otypes if char not in np.typecodes["All"]]
        if wrong:
            raise ValueError(f"otypes={otypes!r}: there is no type with the character {wrong[0]!r}")
        return [np.dtype(char) for char in otypes]
    if not isinstance(otypes, Iterable):
        raise ValueError(f"otypes= must be characters or a sequence of types, not {otypes!r}")
    return [np.dtype(one) for one in otypes]


class _Given:
    """Arguments of a call: those that are vectorized, arrays that are not, and with a slot for each of both all of them."""

    def __init__(self, excluded: frozenset[int | str], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        places: list[Any] = [*range(len(args)), *kwargs]
        values: dict[Any, Any] = dict(enumerate(args)) | kwargs
        taken = [place for place in places if place not in excluded]
        kept = [place for place in places if place in excluded and isinstance(values[place], ArrayBase)]
        self.vectorized: list[ArrayExpr] = [as_array(values[place]).expr for place in taken]
        self.whole: list[ArrayExpr] = [values[place].expr for place in kept]
        filled = values | {place: Slot(number) for number, place in enumerate([*taken, *kept])}
        self.args = tuple([filled[place] for place in range(len(args))])
        self.kwargs = {name: filled[name] for name in kwargs}

    @property
    def arrays(self) -> list[ArrayExpr]:
        return [*self.vectorized, *self.whole]


class _Learned(NamedTuple):
    types: list[np.dtype]
    sizes: dict[str, int]


class _Call:
    """A call with its arguments, and what its core axes are."""

    def __init__(self, pyfunc: Callable[..., Any], given: _Given, signature: str | None) -> None:
        self.pyfunc, self.given, self.signature = pyfunc, given, signature
        self.count = len(given.vectorized)
        self.inputs: list[tuple[str, ...]] = [()] * self.count
        self.results: list[tuple[str, ...]] | None = None
        if signature is not None:
            self.inputs, self.results, _ = parsed_signature(signature)
            if len(self.inputs) != self.count:
                raise TypeError(
                    f"the signature {signature!r} has {len(self.inputs)} arguments, but {self.count} were given that are not excluded"
                )
        for number, (array, core) in enumerate(zip(given.vectorized, self.inputs)):
            if array.ndim < len(core):
                raise ValueError(
                    f"argument {number} has {array.ndim} axes, but the signature has {len(core)} core axes for it"
                )
        # What is excluded has core axes only, of names of their own.
        whole = [tuple([f"whole{number}_{axis}" for axis in range(one.ndim)]) for number, one in enumerate(given.whole)]
        self.cores = [*self.inputs, *whole]

    @property
    def unsized(self) -> set[str]:
        """Core axes that only results have."""
        known = {name for core in self.inputs for name in core}
        return {name for core in self.results or () for name in core if name not in known and not name.isdigit()}

    def kernel(self, otypes: list[np.dtype] | None) -> Vectorized:
        given = self.given
        return Vectorized(self.pyfunc, given.args, given.kwargs, self.count, otypes, self.signature)

    def learned(self, otypes: list[np.dtype] | None) -> _Learned:
        """What the function gives for ones; if possible for few of them, as it may cost as much as they are many."""
        trouble: Exception | None = None
        for most in (None,) if self.unsized else (1, None):
            samples = [_sample(array, len(core), core, most) for array, core in zip(self.given.arrays, self.cores)]
            try:
                with np.errstate(all="ignore"):
                    found = self.kernel(otypes)(*samples)
            except Exception as error:
                trouble = error
                continue
            several = list(found) if type(found) is tuple else [found]
            kinds = [np.asarray(one).dtype for one in several]
            texts = [kind for kind in kinds if kind.kind in "SU"]
            if texts:
                # How long the longest will be is not known.
                return _Learned([np.dtype(kind.char) if kind in texts else kind for kind in kinds], {})
            shapes = [np.shape(one)[np.ndim(one) - len(core) :] for one, core in zip(several, self.results or ())]
            sizes = {name: size for core, shape in zip(self.results or (), shapes) for name, size in zip(core, shape)}
            return _Learned(kinds, {name: operator.index(sizes[name]) for name in sorted(self.unsized)})
        name = getattr(self.pyfunc, "__name__", type(self.pyfunc).__name__)
        raise ValueError(
            f"what {name} makes could not be found out by calling it with ones ({type(trouble).__name__}: {trouble}); give otypes="
        ) from trouble

    def described(self, otypes: list[np.dtype], sizes: dict[str, int]) -> Any:
        """The arrays of the results."""
        results = [()] * len(otypes) if self.results is None else self.results
        if len(results) != len(otypes):
            raise ValueError(
                f"otypes= has {len(otypes)} types, but the signature {self.signature!r} has {len(results)} results"
            )
        left = ",".join([f"({','.join(core)})" for core in self.cores])
        right = ",".join([f"({','.join(core)})" for core in results])
        kernel = self.kernel(otypes)
        sizes = {name: int(name) for core in results for name in core if name.isdigit()} | sizes
        options: dict[str, Any] = {"output_dtypes": otypes, "output_sizes": sizes, "allow_rechunk": True}
        return apply_gufunc(kernel, f"{left}->{right}", *map(_wrapped, self.given.arrays), **options)


def _wrapped(expr: ArrayExpr) -> Any:
    return ArrayBase.full(expr)
