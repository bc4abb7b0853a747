"""NumPy's ufuncs on arrays that will be computed."""

from __future__ import annotations

from typing import Any

import numpy as np

from kask.array.base import ArrayBase
from kask.array.kernels.ufuncs import PythonUfunc
from kask.array.ops.assignment_at import ufunc_at
from kask.array.ops.ufunc_calls import (
    call_ufunc,
    is_lazy,
    ufunc_accumulate,
    ufunc_outer,
    ufunc_reduce,
    ufunc_reduceat,
)

__all__ = [
    "abs",
    "absolute",
    "acos",
    "acosh",
    "add",
    "arccos",
    "arccosh",
    "arcsin",
    "arcsinh",
    "arctan",
    "arctan2",
    "arctanh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "bitwise_and",
    "bitwise_count",
    "bitwise_invert",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "cbrt",
    "ceil",
    "conj",
    "conjugate",
    "copysign",
    "cos",
    "cosh",
    "deg2rad",
    "degrees",
    "divide",
    "divmod",
    "equal",
    "exp",
    "exp2",
    "expm1",
    "fabs",
    "float_power",
    "floor",
    "floor_divide",
    "fmax",
    "fmin",
    "fmod",
    "frexp",
    "frompyfunc",
    "gcd",
    "greater",
    "greater_equal",
    "heaviside",
    "hypot",
    "invert",
    "isfinite",
    "isinf",
    "isnan",
    "isnat",
    "lcm",
    "ldexp",
    "left_shift",
    "less",
    "less_equal",
    "log",
    "log1p",
    "log2",
    "log10",
    "logaddexp",
    "logaddexp2",
    "logical_and",
    "logical_not",
    "logical_or",
    "logical_xor",
    "maximum",
    "minimum",
    "mod",
    "modf",
    "multiply",
    "negative",
    "nextafter",
    "not_equal",
    "positive",
    "pow",
    "power",
    "rad2deg",
    "radians",
    "reciprocal",
    "remainder",
    "right_shift",
    "rint",
    "sign",
    "signbit",
    "sin",
    "sinh",
    "spacing",
    "sqrt",
    "square",
    "subtract",
    "tan",
    "tanh",
    "true_divide",
    "trunc",
    "ufunc",
]


class ufunc:
    """A function of single elements, with the parameters and methods of NumPy's.

    Without an array of Kask among the arguments it is NumPy's function.

    Parameters
    ----------
    func : numpy.ufunc
        What is done to each block.

    Examples
    --------
    >>> import kask.array as ka
    >>> x = ka.from_array([1.0, 4.0, 9.0], chunks=2)
    >>> ka.sqrt(x).compute()
    array([1., 2., 3.])
    >>> ka.add.outer(x, [0, 10]).compute()
    array([[ 1., 11.],
           [ 4., 14.],
           [ 9., 19.]])
    >>> ka.maximum.reduce(x).compute()
    np.float64(9.0)
    """

    def __init__(self, func: Any) -> None:
        if not isinstance(func, np.ufunc | PythonUfunc):
            raise TypeError(f"func must be a ufunc of NumPy, got {type(func).__name__}")
        self._func = func
        self.__name__ = func.__name__
        self.__doc__ = f"``numpy.{func.__name__}`` of arrays; see there for the parameters, and :class:`ufunc`."

    @property
    def nin(self) -> int:
        """How many arguments it has."""
        return self._func.nin

    @property
    def nout(self) -> int:
        """How many results it has."""
        return self._func.nout

    @property
    def nargs(self) -> int:
        """Arguments and results together."""
        return self.nin + self.nout

    @property
    def identity(self) -> Any:
        """What changes nothing when it is the first argument; None if there is no such value."""
        return self._func.identity

    @property
    def types(self) -> list[str]:
        """The types that it is there for."""
        return getattr(self._func, "types", ["O" * self.nin + "->" + "O" * self.nout])

    def __call__(self, *args: Any, out: Any = None, where: Any = True, **kwargs: Any) -> Any:
        if not self.nin <= len(args) <= self.nargs:
            raise TypeError(
                f"{self.__name__}() takes {self.nin} to {self.nargs} positional arguments, {len(args)} were given"
            )
        if len(args) > self.nin:
            if out is not None:
                raise TypeError(f"{self.__name__}() got out= and more than {self.nin} positional arguments")
            out = args[self.nin :] + (None,) * (self.nargs - len(args))
        outs = out if isinstance(out, tuple) else (out,)
        if self._is_for_later(*args):
            options = {"where": where, **kwargs} if where is not True else kwargs
            return self._func(*args[: self.nin], **({} if out is None else {"out": out}), **options)
        if is_lazy(*args, *outs, where):
            return call_ufunc(self._func, *args[: self.nin], out=out, where=where, **kwargs)
        if out is not None:
            kwargs["out"] = out
        if where is not True:
            kwargs["where"] = where
        return self._func(*args[: self.nin], **kwargs)

    def _is_for_later(self, *args: Any) -> bool:
        """Whether one of them is an array of unknown size, which takes part by NumPy's protocol."""
        return type(self._func) is np.ufunc and any(
            isinstance(arg, ArrayBase) and getattr(arg.expr, "is_unknown", False) for arg in args
        )

    def outer(self, a: Any, b: Any, **kwargs: Any) -> Any:
        """The function of all pairs of an element of ``a`` and one of ``b``: first the axes of ``a``, then those of ``b``."""
        if is_lazy(a, b) and not self._is_for_later(a, b):
            return ufunc_outer(self._func, a, b, **kwargs)
        return self._func.outer(a, b, **kwargs)

    def reduce(
        self, array: Any, axis: Any = 0, dtype: Any = None, out: Any = None, keepdims: bool = False, **kwargs: Any
    ) -> Any:
        """The elements along an axis put together; ``initial=`` and ``where=`` as in NumPy."""
        if is_lazy(array, out) and not self._is_for_later(array):
            return ufunc_reduce(self._func, array, axis, dtype, out, keepdims, **kwargs)
        return self._func.reduce(array, axis=axis, dtype=dtype, out=out, keepdims=keepdims, **kwargs)

    def accumulate(self, array: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
        """The results on the way of :meth:`reduce`."""
        if is_lazy(array, out) and not self._is_for_later(array):
            return ufunc_accumulate(self._func, array, axis, dtype, out)
        return self._func.accumulate(array, axis=axis, dtype=dtype, out=out)

    def reduceat(self, array: Any, indices: Any, axis: int = 0, dtype: Any = None, out: Any = None) -> Any:
        """:meth:`reduce` of parts of an axis, which is made one block; ``indices`` are where the parts begin."""
        if is_lazy(array, out) and not self._is_for_later(array):
            return ufunc_reduceat(self._func, array, indices, axis, dtype, out)
        return self._func.reduceat(array, indices, axis=axis, dtype=dtype, out=out)

    def at(self, a: Any, indices: Any, *args: Any) -> None:
        """Changes elements in place, again for each time that ``indices`` have them; arrays that were made of ``a`` before stay as they were.

        Examples
        --------
        >>> import numpy as np, kask.array as ka
        >>> x = ka.from_array(np.zeros(4), chunks=2)
        >>> ka.add.at(x, [0, 3, 0], [1, 2, 3])
        >>> x.compute()
        array([4., 0., 0., 2.])
        """
        if is_lazy(a, indices, *args) or not isinstance(self._func, np.ufunc):
            ufunc_at(self._func, a, indices, *args)
        else:
            self._func.at(a, indices, *args)

    def __repr__(self) -> str:
        return f"<kask ufunc {self.__name__!r}>"

    def __kask_tokenize__(self) -> Any:
        return "ufunc", self._func

    def __reduce__(self) -> Any:
        return ufunc, (self._func,)


abs = ufunc(np.abs)
absolute = ufunc(np.absolute)
add = ufunc(np.add)
arccos = ufunc(np.arccos)
arccosh = ufunc(np.arccosh)
arcsin = ufunc(np.arcsin)
arcsinh = ufunc(np.arcsinh)
arctan = ufunc(np.arctan)
arctan2 = ufunc(np.arctan2)
arctanh = ufunc(np.arctanh)
bitwise_and = ufunc(np.bitwise_and)
bitwise_count = ufunc(np.bitwise_count)
bitwise_not = ufunc(np.bitwise_not)
bitwise_or = ufunc(np.bitwise_or)
bitwise_xor = ufunc(np.bitwise_xor)
cbrt = ufunc(np.cbrt)
ceil = ufunc(np.ceil)
conj = ufunc(np.conj)
conjugate = ufunc(np.conjugate)
copysign = ufunc(np.copysign)
cos = ufunc(np.cos)
cosh = ufunc(np.cosh)
deg2rad = ufunc(np.deg2rad)
degrees = ufunc(np.degrees)
divide = ufunc(np.divide)
divmod = ufunc(np.divmod)
equal = ufunc(np.equal)
exp = ufunc(np.exp)
exp2 = ufunc(np.exp2)
expm1 = ufunc(np.expm1)
fabs = ufunc(np.fabs)
float_power = ufunc(np.float_power)
floor = ufunc(np.floor)
floor_divide = ufunc(np.floor_divide)
fmax = ufunc(np.fmax)
fmin = ufunc(np.fmin)
fmod = ufunc(np.fmod)
frexp = ufunc(np.frexp)
gcd = ufunc(np.gcd)
greater = ufunc(np.greater)
greater_equal = ufunc(np.greater_equal)
heaviside = ufunc(np.heaviside)
hypot = ufunc(np.hypot)
invert = ufunc(np.invert)
isfinite = ufunc(np.isfinite)
isinf = ufunc(np.isinf)
isnan = ufunc(np.isnan)
isnat = ufunc(np.isnat)
lcm = ufunc(np.lcm)
ldexp = ufunc(np.ldexp)
left_shift = ufunc(np.left_shift)
less = ufunc(np.less)
less_equal = ufunc(np.less_equal)
log = ufunc(np.log)
log10 = ufunc(np.log10)
log1p = ufunc(np.log1p)
log2 = ufunc(np.log2)
logaddexp = ufunc(np.logaddexp)
logaddexp2 = ufunc(np.logaddexp2)
logical_and = ufunc(np.logical_and)
logical_not = ufunc(np.logical_not)
logical_or = ufunc(np.logical_or)
logical_xor = ufunc(np.logical_xor)
maximum = ufunc(np.maximum)
minimum = ufunc(np.minimum)
mod = ufunc(np.mod)
modf = ufunc(np.modf)
multiply = ufunc(np.multiply)
negative = ufunc(np.negative)
nextafter = ufunc(np.nextafter)
not_equal = ufunc(np.not_equal)
positive = ufunc(np.positive)
power = ufunc(np.power)
rad2deg = ufunc(np.rad2deg)
radians = ufunc(np.radians)
reciprocal = ufunc(np.reciprocal)
remainder = ufunc(np.remainder)
right_shift = ufunc(np.right_shift)
rint = ufunc(np.rint)
sign = ufunc(np.sign)
signbit = ufunc(np.signbit)
sin = ufunc(np.sin)
sinh = ufunc(np.sinh)
spacing = ufunc(np.spacing)
sqrt = ufunc(np.sqrt)
square = ufunc(np.square)
subtract = ufunc(np.subtract)
tan = ufunc(np.tan)
tanh = ufunc(np.tanh)
true_divide = ufunc(np.true_divide)
trunc = ufunc(np.trunc)

#: Names of the array API standard.
acos = arccos
acosh = arccosh
asin = arcsin
asinh = arcsinh
atan = arctan
atan2 = arctan2
atanh = arctanh
bitwise_invert = invert
bitwise_left_shift = left_shift
bitwise_right_shift = right_shift
pow = power


def frompyfunc(func: Any, nin: int, nout: int) -> ufunc:
    """A ufunc of a Python function of single elements; its results are arrays of objects.

    Parameters
    ----------
    func : callable
        Takes ``nin`` elements and gives one, or a tuple of ``nout``.
    nin, nout : int
        How many arguments and results it has.

    Examples
    --------
    >>> import kask.array as ka
    >>> hexadecimal = ka.frompyfunc(hex, 1, 1)
    >>> hexadecimal(ka.from_array([10, 255])).compute()
    array(['0xa', '0xff'], dtype=object)
    """
    return ufunc(PythonUfunc(func, nin, nout))
