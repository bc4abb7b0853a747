"""``kask.array.random``: random numbers, as ``numpy.random``, that do not depend on how arrays are cut.

A generator has a seed and counts its calls; each call has a key of its own, and each element its place in a stream of that key. So
the same seed and calls give the same numbers in any process, with any chunks, and a slice has the numbers that the whole array
has there. They are not the numbers that NumPy gives for the same seed.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from kask.array.base import ArrayBase, as_array, demand_kask_out, wrap
from kask.array.kernels.random import bits_of
from kask.array.ops.random import chosen, drawn, multinomials, permutation_along, permutation_of, permuted_lines
from kask.array.ops.reductions import into
from kask.array.ops.reshaping import raveled, reshaped

#: Parameters of the distributions, as NumPy has them.
_DISTRIBUTIONS = {
    "beta": "a, b",
    "binomial": "n, p",
    "chisquare": "df",
    "exponential": "scale=1.0",
    "f": "dfnum, dfden",
    "gamma": "shape, scale=1.0",
    "geometric": "p",
    "gumbel": "loc=0.0, scale=1.0",
    "hypergeometric": "ngood, nbad, nsample",
    "laplace": "loc=0.0, scale=1.0",
    "logistic": "loc=0.0, scale=1.0",
    "lognormal": "mean=0.0, sigma=1.0",
    "logseries": "p",
    "negative_binomial": "n, p",
    "noncentral_chisquare": "df, nonc",
    "noncentral_f": "dfnum, dfden, nonc",
    "normal": "loc=0.0, scale=1.0",
    "pareto": "a",
    "poisson": "lam=1.0",
    "power": "a",
    "rayleigh": "scale=1.0",
    "standard_cauchy": "",
    "standard_gamma": "shape",
    "standard_t": "df",
    "triangular": "left, mode, right",
    "uniform": "low=0.0, high=1.0",
    "vonmises": "mu, kappa",
    "wald": "mean, scale",
    "weibull": "a",
    "zipf": "a",
}
_WHOLE_NUMBERS = frozenset(
    {"binomial", "geometric", "hypergeometric", "logseries", "negative_binomial", "poisson", "zipf"}
)


class Generator:
    """Random numbers, made by :func:`default_rng`. It has the methods of ``numpy.random.Generator``, each with ``chunks=`` besides.

    Distribution parameters may be arrays, of NumPy or lazy ones, that broadcast against each other and ``size``.

    What differs from NumPy: the numbers for a seed; there is no ``bit_generator``, as each tile of an array has a stream of its own; ``out=`` (of
    ``random``, ``standard_normal``, ``standard_exponential`` and ``permuted``) is an array of Kask, which becomes the result; ``shuffle`` changes
    arrays of Kask only; ``standard_gamma`` makes float64 only. ``pvals``, ``colors``, ``alpha``, ``mean`` and ``cov`` of distributions with several
    components are in memory.

    Parameters
    ----------
    seed : int, sequence of int, SeedSequence, BitGenerator or None
        None: fresh entropy of the operating system.
    """

    def __init__(self, seed: Any = None) -> None:
        self._seeds = _seeds_of(seed)
        self._calls = 0

    def __repr__(self) -> str:
        return f"{type(self).__name__}(Philox)"

    def _key(self) -> tuple[int, int]:
        """The key of the next call."""
        place = (*self._seeds.spawn_key, self._calls)
        self._calls += 1
        first, second = np.random.SeedSequence(self._seeds.entropy, spawn_key=place).generate_state(2, np.uint64)
        return int(first), int(second)

    def spawn(self, n_children: int) -> list[Any]:
        """So many generators, independent of this one."""
        return [type(self)(child) for child in self._seeds.spawn(n_children)]

    def random(self, size: Any = None, dtype: Any = np.float64, chunks: Any = "auto", *, out: Any = None) -> Any:
        """Numbers from 0 to 1, which is left out; ``dtype`` is float64 or float32."""
        return self._standard("random", size, chunks, {"dtype": dtype}, out)

    def standard_normal(
        self, size: Any = None, dtype: Any = np.float64, chunks: Any = "auto", *, out: Any = None
    ) -> Any:
        """Numbers of the standard normal distribution; ``dtype`` is float64 or float32."""
        return self._standard("standard_normal", size, chunks, {"dtype": dtype}, out)

    def standard_exponential(
        self,
        size: Any = None,
        dtype: Any = np.float64,
        method: str = "zig",
        chunks: Any = "auto",
        *,
        out: Any = None,
    ) -> Any:
        """Numbers of the standard exponential distribution; ``dtype`` is float64 or float32."""
        return self._standard("standard_exponential", size, chunks, {"dtype": dtype, "method": method}, out)

    def _standard(self, name: str, size: Any, chunks: Any, kwargs: dict[str, Any], out: Any) -> Any:
        """Numbers of a distribution without parameters; into an array of that shape and type, which is cut as it was, if there is one."""
        kind = np.dtype(kwargs["dtype"])
        if out is None:
            return drawn(self._key(), name, (), size, chunks, kind, kwargs)
        demand_kask_out(out)
        if out.dtype != kind:
            raise TypeError(f"out= has the type {out.dtype}, but dtype= is {kind}")
        size = out.shape if size is None else size
        chunks = out.chunks if isinstance(chunks, str) and chunks == "auto" and size == out.shape else chunks
        return into(out, drawn(self._key(), name, (), size, chunks, kind, kwargs).expr)

    def integers(
        self,
        low: Any,
        high: Any = None,
        size: Any = None,
        dtype: Any = np.int64,
        endpoint: bool = False,
        chunks: Any = "auto",
    ) -> Any:
        """Integers from ``low`` to ``high``, which is left out unless ``endpoint``; from 0 to ``low`` if there is one number only."""
        low, high = (0, low) if high is None else (low, high)
        kwargs = {"dtype": np.dtype(dtype).type, "endpoint": endpoint}
        return drawn(self._key(), "integers", (low, high), size, chunks, dtype, kwargs)

    def choice(
        self,
        a: Any,
        size: Any = None,
        replace: bool = True,
        p: Any = None,
        axis: int = 0,
        shuffle: bool = True,
        chunks: Any = "auto",
    ) -> Any:
        """Elements of ``a``, or numbers below it.

        Parameters
        ----------
        a : int or array
            What is chosen from.
        size : int or tuple of int, optional
            How many; its axes take the place of ``axis``.
        replace : bool
            Whether an element can be chosen again. Without it, and of arrays of Kask, the index of up to 1,048,576 elements is made when this
            is called, and that of more when it is computed; so are all indices without repetition that have probabilities.
        p : sequence of float, optional
            The probability of each element.
        axis : int
            Along which axis of ``a``.
        shuffle : bool
            Whether the order matters, without replacement.
        chunks : int, str, tuple or dict
            How the result is cut.
        """
        return chosen(self._key(), a, size, replace, p, axis, shuffle, chunks)

    def permutation(self, x: Any, axis: int = 0, chunks: Any = "auto") -> Any:
        """The elements of an array along an axis, or the numbers below ``x``, in another order. The order of up to 1,048,576 elements is
        made when this is called; that of more by tasks: it is the one that sorts random numbers.

        Parameters
        ----------
        x : int or array_like
            How many numbers, from 0 on, or the elements.
        axis : int
            Along which axis.
        chunks : int, str, tuple or dict
            How the numbers are cut; an array stays cut as it is.

        Examples
        --------
        >>> import kask.array as ka
        >>> x = ka.random.default_rng(5).permutation(ka.arange(6, chunks=4))
        >>> ka.sort(x).compute()
        array([0, 1, 2, 3, 4, 5])
        """
        key = self._key()
        if isinstance(x, int | np.integer):
            return permutation_of(key, int(x), chunks)
        expr = as_array(x).expr
        axis = np.lib.array_utils.normalize_axis_index(axis, expr.ndim)
        return wrap(permutation_along(key, expr, axis))

    def permuted(self, x: Any, axis: int | None = None, out: Any = None) -> Any:
        """The elements of each line along an axis, or all elements, in an order of their own. Unlike those of :meth:`permutation`, the orders are
        made by tasks.

        Parameters
        ----------
        x : array_like
            The elements.
        axis : int, optional
            Along which axis each line is put in another order; None: all elements are.
        out : Array, optional
            An array of the result's shape, which becomes the result.

        Examples
        --------
        >>> import kask.array as ka
        >>> x = ka.random.default_rng(5).permuted(ka.arange(12, chunks=5).reshape(3, 4), axis=1)
        >>> ka.sort(x, axis=1).compute()
        array([[ 0,  1,  2,  3],
               [ 4,  5,  6,  7],
               [ 8,  9, 10, 11]])
        """
        key, array = self._key(), as_array(x).expr
        if axis is None:
            return into(out, reshaped(permuted_lines(key, raveled(array), 0), array.shape))
        return into(out, permuted_lines(key, array, np.lib.array_utils.normalize_axis_index(axis, array.ndim)))

    def shuffle(self, x: Any, axis: int = 0) -> None:
        """Makes of a lazy array, in place, its :meth:`permutation`."""
        if not isinstance(x, ArrayBase):
            raise TypeError(
                f"shuffle() changes one of Kask's arrays in place, got {type(x).__name__}; use permutation()"
            )
        x.expr = self.permutation(x, axis).expr

    def bytes(self, length: int) -> bytes:
        """Random bytes, at once."""
        return np.random.Generator(bits_of(self._key())).bytes(length)

    def multinomial(self, n: Any, pvals: Any, size: Any = None, chunks: Any = "auto") -> Any:
        """How often each of several outcomes comes in ``n`` trials; outcomes are the last axis. ``n`` may be an array, also a lazy one, that broadcasts
        against the axes of ``pvals`` before its last one and against ``size``."""
        pvals = np.asarray(pvals, np.float64)
        if np.ndim(n) or pvals.ndim != 1:
            return multinomials(self._key, n, pvals, size, chunks)
        return drawn(self._key(), "multinomial", (n, pvals), size, chunks, np.int64, {}, pvals.shape)

    def multivariate_hypergeometric(
        self, colors: Any, nsample: int, size: Any = None, method: str = "marginals", chunks: Any = "auto"
    ) -> Any:
        """How many of each color are taken; colors are the last axis."""
        colors = np.asarray(colors)
        kwargs = {"method": method}
        name = "multivariate_hypergeometric"
        return drawn(self._key(), name, (colors, nsample), size, chunks, np.int64, kwargs, colors.shape)

    def dirichlet(self, alpha: Any, size: Any = None, chunks: Any = "auto") -> Any:
        """Shares that are 1 together; they are the last axis."""
        alpha = np.asarray(alpha, np.float64)
        return drawn(self._key(), "dirichlet", (alpha,), size, chunks, np.float64, {}, alpha.shape)

    def multivariate_normal(
        self,
        mean: Any,
        cov: Any,
        size: Any = None,
        check_valid: str = "warn",
        tol: float = 1e-8,
        *,
        method: str = "svd",
        chunks: Any = "auto",
    ) -> Any:
        """Vectors of a normal distribution; their components are the last axis."""
        mean, cov = np.asarray(mean, np.float64), np.asarray(cov, np.float64)
        kwargs = {"check_valid": check_valid, "tol": tol, "method": method}
        name = "multivariate_normal"
        return drawn(self._key(), name, (mean, cov), size, chunks, np.float64, kwargs, mean.shape)


class RandomState(Generator):
    """The older interface: the same numbers, with the names of ``numpy.random.RandomState`` besides. There is no state to get or set but the seed.

    Parameters
    ----------
    seed : int, sequence of int or None
        As for :func:`default_rng`.
    """

    def seed(self, seed: Any = None) -> None:
        """Begin anew with this seed."""
        self._seeds, self._calls = _seeds_of(seed), 0

    def rand(self, *shape: int, chunks: Any = "auto") -> Any:
        """Numbers from 0 to 1, in this shape."""
        return self.random(shape or None, chunks=chunks)

    def randn(self, *shape: int, chunks: Any = "auto") -> Any:
        """Numbers of the standard normal distribution, in this shape."""
        return self.standard_normal(shape or None, chunks=chunks)

    def random_sample(self, size: Any = None, chunks: Any = "auto") -> Any:
        """Numbers from 0 to 1."""
        return self.random(size, chunks=chunks)

    def randint(self, low: Any, high: Any = None, size: Any = None, dtype: Any = int, chunks: Any = "auto") -> Any:
        """Integers from ``low`` to ``high``, which is left out."""
        return self.integers(low, high, size, dtype, chunks=chunks)

    def tomaxint(self, size: Any = None, chunks: Any = "auto") -> Any:
        """Integers from 0 to the largest one of 64 bits."""
        return self.integers(0, np.iinfo(np.int64).max, size, endpoint=True, chunks=chunks)

    def random_integers(self, low: Any, high: Any = None, size: Any = None, chunks: Any = "auto") -> Any:
        """Integers from ``low``, or 1, to ``high``, which is one of them."""
        low, high = (1, low) if high is None else (low, high)
        return self.integers(low, high, size, endpoint=True, chunks=chunks)


def _seeds_of(seed: Any) -> np.random.SeedSequence:
    if isinstance(seed, np.random.SeedSequence):
        return seed
    if isinstance(seed, np.random.BitGenerator):
        return seed.seed_seq  # type: ignore[return-value]
    if isinstance(seed, np.random.Generator):
        return seed.bit_generator.seed_seq  # type: ignore[return-value]
    if isinstance(seed, np.random.RandomState):
        return np.random.SeedSequence(seed.randint(0, 2**32, 4, dtype=np.uint64).tolist())
    return np.random.SeedSequence(seed)


def _distribution(name: str, parameters: str) -> Any:
    """The method for a distribution."""
    kind = np.int64 if name in _WHOLE_NUMBERS else np.float64
    names = [parameter.split("=")[0].strip() for parameter in parameters.split(",") if parameter]
    defaults = {part.split("=")[0].strip(): float(part.split("=")[1]) for part in parameters.split(",") if "=" in part}
    keyword = inspect.Parameter.POSITIONAL_OR_KEYWORD
    signature = inspect.Signature(
        [
            inspect.Parameter("self", keyword),
            *(inspect.Parameter(p, keyword, default=defaults.get(p, inspect.Parameter.empty)) for p in names),
            inspect.Parameter("size", keyword, default=None),
            inspect.Parameter("chunks", keyword, default="auto"),
        ]
    )

    def method(*args: Any, **kwargs: Any) -> Any:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{name}() {error}") from None
        bound.apply_defaults()
        given = bound.arguments
        params = tuple([given[p] for p in names])
        return drawn(given["self"]._key(), name, params, given["size"], given["chunks"], kind, {})

    method.__name__, method.__qualname__ = name, f"Generator.{name}"
    method.__doc__ = f"Numbers of the distribution of :meth:`numpy.random.Generator.{name}`, cut into ``chunks``."
    method.__signature__ = signature  # type: ignore[attr-defined]
    return method


for _name, _parameters in _DISTRIBUTIONS.items():
    setattr(Generator, _name, _distribution(_name, _parameters))


def default_rng(seed: Any = None) -> Generator:
    """A generator of random numbers.

    Parameters
    ----------
    seed : int, sequence of int, SeedSequence, BitGenerator, Generator or None
        None: fresh entropy of the operating system. One of Kask's generators is returned as it is.

    Notes
    -----
    Philox, a generator that makes its numbers of a key and a counter (Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as
    1, 2, 3", 2011). Each call has a key, each tile of about 16,384 elements a counter to begin with. NumPy's methods make the
    distributions of it.

    Examples
    --------
    >>> import kask.array as ka
    >>> x = ka.random.default_rng(7).normal(size=100, chunks=30)
    >>> y = ka.random.default_rng(7).normal(size=100, chunks=100)
    >>> bool((x.compute() == y.compute()).all())
    True
    """
    return seed if isinstance(seed, Generator) else Generator(seed)


_STATE = RandomState()


def seed(seed: Any = None) -> None:
    """Begin anew, with this seed, what the functions of this module draw.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.random.seed(1)
    >>> a = ka.random.random(3).compute()
    >>> ka.random.seed(1)
    >>> bool((a == ka.random.random(3).compute()).all())
    True
    """
    _STATE.seed(seed)


#: What can be called without a generator.
_FUNCTIONS = (
    *_DISTRIBUTIONS,
    *("choice", "dirichlet", "integers", "multinomial", "multivariate_hypergeometric", "multivariate_normal"),
    *("permutation", "rand", "randint", "randn", "random", "random_integers", "random_sample", "shuffle"),
    *("standard_exponential", "standard_normal", "bytes"),
)


def __getattr__(name: str) -> Any:
    if name in _FUNCTIONS:
        return getattr(_STATE, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_FUNCTIONS})


__all__ = ["Generator", "RandomState", "default_rng", "seed", *_FUNCTIONS]
