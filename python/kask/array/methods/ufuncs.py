"""Functions of single elements: operators, ``astype``, ``clip``, and the protocols by which NumPy's functions come here."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from kask.array import protocols
from kask.array.base import ArrayBase, wrap
from kask.array.ops import casts, numbers
from kask.array.ops import choices as choosing
from kask.array.ops.ufunc_calls import call_ufunc, elementwise_of, replace

#: What the operator ``**`` is for some types and exponents, where it is not ``numpy.power``.
_POWERS = {
    ("b", int, 2): np.square,
    ("c", int, 2): np.square,
    ("c", int, -1): np.reciprocal,
    ("c", float, 0.5): np.sqrt,
}


class UfuncsMethods(ArrayBase):
    """Functions of single elements: operators, ``astype``, ``clip``, and the protocols by which NumPy's functions come here."""

    __slots__ = ()

    # As of NumPy's arrays: == compares elements.
    __hash__ = None  # type: ignore[assignment]

    # -- protocols

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return protocols.array_ufunc(ufunc, method, inputs, kwargs)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return protocols.array_function(func, types, args, kwargs)

    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return protocols.array_namespace(api_version)

    def __dlpack__(self, **kwargs: Any) -> Any:
        return np.asarray(self).__dlpack__(**kwargs)

    def __dlpack_device__(self) -> tuple[int, int]:
        # The processor, in DLPack's numbers.
        return 1, 0

    @property
    def device(self) -> str:
        """Where the array is: ``"cpu"``."""
        return "cpu"

    def to_device(self, device: Any, /, *, stream: Any = None) -> Any:
        """The array on another device; there is ``"cpu"`` only."""
        if device != "cpu" or stream is not None:
            raise ValueError(f"device must be 'cpu' and stream None, got {device!r} and {stream!r}")
        return self

    # -- operators

    def _binary(self, func: np.ufunc, left: Any, right: Any) -> Any:
        other = right if left is self else left
        return NotImplemented if protocols.delegates(other) else call_ufunc(func, left, right)

    def _compared(self, func: np.ufunc, compare: Any, other: Any) -> Any:
        try:
            return self._binary(func, self, other)
        except TypeError:
            # The operators of NumPy's arrays compare records and types that have nothing in common as well, which its ufuncs refuse.
            return wrap(elementwise_of(compare, self, other))

    def _in_place(self, func: np.ufunc, other: Any) -> Any:
        if protocols.delegates(other):
            return NotImplemented
        return replace(self, call_ufunc(func, wrap(self.expr), other))

    def __add__(self, other: Any) -> Any:
        return self._binary(np.add, self, other)

    def __radd__(self, other: Any) -> Any:
        return self._binary(np.add, other, self)

    def __iadd__(self, other: Any) -> Any:
        return self._in_place(np.add, other)

    def __sub__(self, other: Any) -> Any:
        return self._binary(np.subtract, self, other)

    def __rsub__(self, other: Any) -> Any:
        return self._binary(np.subtract, other, self)

    def __isub__(self, other: Any) -> Any:
        return self._in_place(np.subtract, other)

    def __mul__(self, other: Any) -> Any:
        return self._binary(np.multiply, self, other)

    def __rmul__(self, other: Any) -> Any:
        return self._binary(np.multiply, other, self)

    def __imul__(self, other: Any) -> Any:
        return self._in_place(np.multiply, other)

    def __truediv__(self, other: Any) -> Any:
        return self._binary(np.divide, self, other)

    def __rtruediv__(self, other: Any) -> Any:
        return self._binary(np.divide, other, self)

    def __itruediv__(self, other: Any) -> Any:
        return self._in_place(np.divide, other)

    def __floordiv__(self, other: Any) -> Any:
        return self._binary(np.floor_divide, self, other)

    def __rfloordiv__(self, other: Any) -> Any:
        return self._binary(np.floor_divide, other, self)

    def __ifloordiv__(self, other: Any) -> Any:
        return self._in_place(np.floor_divide, other)

    def __mod__(self, other: Any) -> Any:
        return self._binary(np.remainder, self, other)

    def __rmod__(self, other: Any) -> Any:
        return self._binary(np.remainder, other, self)

    def __imod__(self, other: Any) -> Any:
        return self._in_place(np.remainder, other)

    def __pow__(self, other: Any) -> Any:
        # As the operator of NumPy's arrays (not that of its scalars), which differs from numpy.power: squares of truth values are int8.
        func = _POWERS.get((self.dtype.kind, type(other), other)) if type(other) in (int, float) else None
        if func is not None and self.ndim and type(self.expr.meta) is np.ndarray:
            return call_ufunc(func, self)
        return self._binary(np.power, self, other)

    def __rpow__(self, other: Any) -> Any:
        return self._binary(np.power, other, self)

    def __ipow__(self, other: Any) -> Any:
        return self._in_place(np.power, other)

    def __lshift__(self, other: Any) -> Any:
        return self._binary(np.left_shift, self, other)

    def __rlshift__(self, other: Any) -> Any:
        return self._binary(np.left_shift, other, self)

    def __ilshift__(self, other: Any) -> Any:
        return self._in_place(np.left_shift, other)

    def __rshift__(self, other: Any) -> Any:
        return self._binary(np.right_shift, self, other)

    def __rrshift__(self, other: Any) -> Any:
        return self._binary(np.right_shift, other, self)

    def __irshift__(self, other: Any) -> Any:
        return self._in_place(np.right_shift, other)

    def __and__(self, other: Any) -> Any:
        return self._binary(np.bitwise_and, self, other)

    def __rand__(self, other: Any) -> Any:
        return self._binary(np.bitwise_and, other, self)

    def __iand__(self, other: Any) -> Any:
        return self._in_place(np.bitwise_and, other)

    def __or__(self, other: Any) -> Any:
        return self._binary(np.bitwise_or, self, other)

    def __ror__(self, other: Any) -> Any:
        return self._binary(np.bitwise_or, other, self)

    def __ior__(self, other: Any) -> Any:
        return self._in_place(np.bitwise_or, other)

    def __xor__(self, other: Any) -> Any:
        return self._binary(np.bitwise_xor, self, other)

    def __rxor__(self, other: Any) -> Any:
        return self._binary(np.bitwise_xor, other, self)

    def __ixor__(self, other: Any) -> Any:
        return self._in_place(np.bitwise_xor, other)

    def __divmod__(self, other: Any) -> Any:
        return self._binary(np.divmod, self, other)

    def __rdivmod__(self, other: Any) -> Any:
        return self._binary(np.divmod, other, self)

    def __matmul__(self, other: Any) -> Any:
        return NotImplemented if protocols.delegates(other) else _matmul(self, other)

    def __rmatmul__(self, other: Any) -> Any:
        return NotImplemented if protocols.delegates(other) else _matmul(other, self)

    def __imatmul__(self, other: Any) -> Any:
        return NotImplemented if protocols.delegates(other) else replace(self, _matmul(wrap(self.expr), other))

    def __eq__(self, other: Any) -> Any:
        return self._compared(np.equal, operator.eq, other)

    def __ne__(self, other: Any) -> Any:
        return self._compared(np.not_equal, operator.ne, other)

    def __lt__(self, other: Any) -> Any:
        return self._binary(np.less, self, other)

    def __le__(self, other: Any) -> Any:
        return self._binary(np.less_equal, self, other)

    def __gt__(self, other: Any) -> Any:
        return self._binary(np.greater, self, other)

    def __ge__(self, other: Any) -> Any:
        return self._binary(np.greater_equal, self, other)

    def __neg__(self) -> Any:
        return call_ufunc(np.negative, self)

    def __pos__(self) -> Any:
        return call_ufunc(np.positive, self)

    def __abs__(self) -> Any:
        return call_ufunc(np.absolute, self)

    def __invert__(self) -> Any:
        return call_ufunc(np.invert, self)

    # -- methods

    @property
    def real(self) -> Any:
        """The real part."""
        return numbers.real(self)

    @property
    def imag(self) -> Any:
        """The imaginary part."""
        return numbers.imag(self)

    def conj(self) -> Any:
        """The complex conjugate."""
        return call_ufunc(np.conjugate, self) if self.dtype.kind in "cO" else wrap(self.expr)

    conjugate = conj

    def clip(self, min: Any = None, max: Any = None, out: Any = None, **kwargs: Any) -> Any:
        """Numbers limited to an interval. See :func:`kask.array.clip`."""
        return numbers.clip(self, min, max, out, **kwargs)

    def round(self, decimals: int = 0, out: Any = None) -> Any:
        """Numbers rounded to so many decimals. See :func:`kask.array.round`."""
        return numbers.round(self, decimals, out)

    def __round__(self, ndigits: int | None = None) -> Any:
        if self.ndim:
            raise TypeError(
                f"round() is for one number, not for an array of the shape {self.shape}; use its method round"
            )
        return round(self.compute()[()], ndigits) if ndigits is None else self.round(ndigits)

    def astype(
        self, dtype: Any, order: str = "K", casting: Any = "unsafe", subok: bool = True, copy: bool = True
    ) -> Any:
        """The elements in another type. See :func:`kask.array.astype`."""
        return casts.astype(self, dtype, order=order, casting=casting, subok=subok, copy=copy)

    def view(self, dtype: Any = None, order: str = "C") -> Any:
        """The bytes seen as another type.

        Parameters
        ----------
        dtype : data-type, optional
            By default the array's own.
        order : {"C", "F"}, optional
            Whether a type of another size changes the last axis or the first.

        Raises
        ------
        ValueError
            Sizes that do not fit.

        Examples
        --------
        >>> import kask.array as ka
        >>> ka.ones(2, dtype="i4").view("i2").compute()
        array([1, 0, 1, 0], dtype=int16)
        """
        return casts.view_of(self, dtype, order)

    def __setmask__(self, mask: Any, copy: bool = False) -> None:
        """Where the functions of numpy.ma put the mask of what they made of masked arrays."""
        from kask.array.ops.masking import masked_array

        self.expr = masked_array(self, mask, keep_mask=False).expr

    def copy(self, order: str = "C") -> Any:
        """An array of its own: what is done in place to one of the two is not seen in the other."""
        return wrap(self.expr)

    def __copy__(self) -> Any:
        return wrap(self.expr)

    def __deepcopy__(self, memo: Any) -> Any:
        return wrap(self.expr)

    def choose(self, choices: Any, out: Any = None, mode: str = "raise") -> Any:
        """For each element its number among several arrays, and the element of that one. See :func:`kask.array.choose`."""
        return choosing.choose(self, choices, out, mode)


def _matmul(left: Any, right: Any) -> Any:
    from kask import array

    matmul: Any = vars(array).get("matmul")
    if matmul is None:
        raise NotImplementedError("products of matrices are not there yet")
    return matmul(left, right)
