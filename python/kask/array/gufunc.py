"""Generalised ufuncs: ``ka.gufunc.apply_gufunc``, and functions made into such."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kask.array.ops.gufuncs import apply_gufunc, parsed_signature

__all__ = ["apply_gufunc", "as_gufunc", "gufunc"]


class gufunc:
    """A Python function with a signature of core axes, called as :func:`apply_gufunc` would be.

    Parameters
    ----------
    pyfunc : callable
    signature : str
        Such as ``"(i),(i)->()"``.
    vectorize, axes, axis, keepdims, output_sizes, output_dtypes, allow_rechunk, meta
        As of :func:`apply_gufunc`.

    Examples
    --------
    >>> import numpy as np
    >>> import kask.array as ka
    >>> length = ka.gufunc.gufunc(lambda v: np.sqrt((v * v).sum(axis=-1)), signature="(i)->()")
    >>> length(ka.from_array([[3.0, 4.0], [6.0, 8.0]], chunks=(1, 2))).compute()
    array([ 5., 10.])
    """

    def __init__(
        self,
        pyfunc: Callable[..., Any],
        *,
        signature: str | None = None,
        vectorize: bool = False,
        axes: Any = None,
        axis: int | None = None,
        keepdims: bool = False,
        output_sizes: dict[str, int] | None = None,
        output_dtypes: Any = None,
        allow_rechunk: bool = False,
        meta: Any = None,
    ) -> None:
        if signature is None:
            raise TypeError("signature= is needed, such as '(i),(i)->()'")
        parsed_signature(signature)
        self.pyfunc, self.signature = pyfunc, signature
        self.options = {
            "vectorize": vectorize,
            "axes": axes,
            "axis": axis,
            "keepdims": keepdims,
            "output_sizes": output_sizes,
            "output_dtypes": output_dtypes,
            "allow_rechunk": allow_rechunk,
            "meta": meta,
        }
        self.__name__ = getattr(pyfunc, "__name__", type(pyfunc).__name__)
        self.__doc__ = pyfunc.__doc__ or f"A generalised ufunc of the signature {signature}."

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return apply_gufunc(self.pyfunc, self.signature, *args, **{**self.options, **kwargs})


def as_gufunc(signature: str | None = None, **kwargs: Any) -> Callable[[Callable[..., Any]], gufunc]:
    """A decorator that makes a :class:`gufunc` of a function.

    Parameters
    ----------
    signature : str
        Such as ``"(i),(i)->()"``.
    **kwargs
        As of :class:`gufunc`.

    Examples
    --------
    >>> import kask.array as ka
    >>> @ka.gufunc.as_gufunc("(i)->()", output_dtypes=float)
    ... def middle(block):
    ...     return block.mean(axis=-1)
    >>> middle(ka.from_array([[1.0, 2.0], [3.0, 4.0]], chunks=(1, 2))).compute()
    array([1.5, 3.5])
    """

    def decorated(func: Callable[..., Any]) -> gufunc:
        return gufunc(func, signature=signature, **kwargs)

    return decorated


# ``ka.gufunc`` is the class, as in Dask, and has what this module has.
for _function in (apply_gufunc, as_gufunc, gufunc):
    setattr(gufunc, _function.__name__, staticmethod(_function))
