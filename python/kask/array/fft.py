"""Fourier transforms: ``numpy.fft``.

Transformed axes may be cut in any way: the array is cut otherwise first, so that one task has all elements along an axis, and the other axes
finer where blocks would get too large. Transforms along several axes are made one axis after another, so that only one has to be whole at a
time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from kask.array.base import as_array, wrap
from kask.array.ops import fourier
from kask.array.ops.shaping import roll

__all__ = [
    "fft",
    "fft2",
    "fft_wrap",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "ifft",
    "ifft2",
    "ifftn",
    "ifftshift",
    "ihfft",
    "irfft",
    "irfft2",
    "irfftn",
    "rfft",
    "rfft2",
    "rfftfreq",
    "rfftn",
]

_ONE = ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")

_DOC_ONE = """{what}

Parameters
----------
a : array_like
    The array.
n : int, optional
    How many elements along the axis: those beyond are left out, missing ones are 0.
axis : int, optional
    The axis; the last one by default.
norm : str, optional
    How results are scaled: "backward", "ortho" or "forward".

Returns
-------
Array

Raises
------
ValueError
    ``n`` less than 1, or a norm that there is not.

Notes
-----
The axis is made whole in one chunk, by a rechunk that is planned here, and each task transforms its lines by ``numpy.fft``: mixed-radix
fast Fourier transforms (Cooley, Tukey, "An algorithm for the machine calculation of complex Fourier series", 1965), and for lengths with
large prime factors the method of Bluestein ("A linear filtering approach to the computation of discrete Fourier transform", 1970). A line
that is cut and longer than a block may be (``array.chunk_size_bytes``) is never whole: it is transformed as a matrix, by columns and by
rows (Gentleman, Sande, "Fast Fourier transforms: for fun and profit", 1966); if its length is a prime, by Bluestein's method with such
transforms.

Examples
--------
>>> import kask.array as ka
>>> ka.fft.{name}(ka.ones(4, chunks=2)).compute()
{answer}
"""

_DOC_SEVERAL = """{what}

Parameters
----------
a : array_like
    The array.
s : sequence of int, optional
    How many elements along each axis; -1 for as many as there are.
axes : sequence of int, optional
    The axes; by default {default}.
norm : str, optional
    How results are scaled: "backward", "ortho" or "forward".

Returns
-------
Array

Notes
-----
Row-column method: one axis after another is made whole by a rechunk and transformed as by :func:`fft` (Van Loan, "Computational
frameworks for the fast Fourier transform", 1992), so that only one axis is whole at a time.

Examples
--------
>>> import kask.array as ka
>>> ka.fft.{name}(ka.ones((4, 4), chunks=2)).shape
{answer}
"""


def fft(a: Any, n: int | None = None, axis: int | None = None, norm: str | None = None) -> Any:
    return _along_one("fft", a, n, axis, norm)


def ifft(a: Any, n: int | None = None, axis: int | None = None, norm: str | None = None) -> Any:
    return _along_one("ifft", a, n, axis, norm)


def rfft(a: Any, n: int | None = None, axis: int | None = None, norm: str | None = None) -> Any:
    return _along_one("rfft", a, n, axis, norm)


def irfft(a: Any, n: int | None = None, axis: int | None = None, norm: str | None = None) -> Any:
    return _along_one("irfft", a, n, axis, norm)


def hfft(a: Any, n: int | None = None, axis: int | None = None, norm: str | None = None) -> Any:
    return _along_one("hfft", a, n, axis, norm)


def ihfft(a: Any, n: int | None = None, axis: int | None = None, norm: str | None = None) -> Any:
    return _along_one("ihfft", a, n, axis, norm)


def _along_one(kind: str, a: Any, n: Any, axis: Any, norm: Any) -> Any:
    axis = -1 if axis is None else axis
    return wrap(fourier.transformed(getattr(np.fft, kind), kind, as_array(a).expr, n, axis, norm))


def fft2(a: Any, s: Any = None, axes: Any = None, norm: str | None = None) -> Any:
    return wrap(fourier.transformed_along("fft2", as_array(a).expr, s, axes, norm))


def ifft2(a: Any, s: Any = None, axes: Any = None, norm: str | None = None) -> Any:
    return wrap(fourier.transformed_along("ifft2", as_array(a).expr, s, axes, norm))


def rfft2(a: Any, s: Any = None, axes: Any = None, norm: str | None = None) -> Any:
    return wrap(fourier.transformed_along("rfft2", as_array(a).expr, s, axes, norm))


def irfft2(a: Any, s: Any = None, axes: Any = None, norm: str | None = None) -> Any:
    return wrap(fourier.transformed_along("irfft2", as_array(a).expr, s, axes, norm))


def fftn(a: Any, s: Any = None, axes: Any = None, norm: str | None = None) -> Any:
    return wrap(fourier.transformed_along("fftn", as_array(a).expr, s, axes, norm))


def ifftn(a: Any, s: Any = None, axes: Any = None, norm: str | None = None) -> Any:
    return wrap(fourier.transformed_along("ifftn", as_array(a).expr, s, axes, norm))


def rfftn(a: Any, s: Any = None, axes: Any = None, norm: str | None = None) -> Any:
    return wrap(fourier.transformed_along("rfftn", as_array(a).expr, s, axes, norm))


def irfftn(a: Any, s: Any = None, axes: Any = None, norm: str | None = None) -> Any:
    return wrap(fourier.transformed_along("irfftn", as_array(a).expr, s, axes, norm))


for _func, _what, _answer in (
    (fft, "The discrete Fourier transform along an axis.", "array([4.+0.j, 0.+0.j, 0.+0.j, 0.+0.j])"),
    (ifft, "The inverse of :func:`fft`.", "array([1.+0.j, 0.+0.j, 0.+0.j, 0.+0.j])"),
    (rfft, "The half of :func:`fft` that tells all of real input.", "array([4.+0.j, 0.+0.j, 0.+0.j])"),
    (irfft, "The inverse of :func:`rfft`.", "array([1., 0., 0., 0., 0., 0.])"),
    (hfft, "The real transform of half of a Hermitian signal.", "array([6., 0., 0., 0., 0., 0.])"),
    (ihfft, "The inverse of :func:`hfft`.", "array([1.-0.j, 0.-0.j, 0.-0.j])"),
):
    _func.__doc__ = _DOC_ONE.format(what=_what, name=_func.__name__, answer=_answer)

for _several, _what, _answer in (
    (fft2, "The discrete Fourier transform along two axes.", "(4, 4)"),
    (ifft2, "The inverse of :func:`fft2`.", "(4, 4)"),
    (rfft2, "The half of :func:`fft2` that tells all of real input.", "(4, 3)"),
    (irfft2, "The inverse of :func:`rfft2`.", "(4, 6)"),
    (fftn, "The discrete Fourier transform along several axes.", "(4, 4)"),
    (ifftn, "The inverse of :func:`fftn`.", "(4, 4)"),
    (rfftn, "The half of :func:`fftn` that tells all of real input.", "(4, 3)"),
    (irfftn, "The inverse of :func:`rfftn`.", "(4, 6)"),
):
    _default = "the last two" if _several.__name__.endswith("2") else "the last ones, as many as ``s`` has, or all"
    _several.__doc__ = _DOC_SEVERAL.format(what=_what, name=_several.__name__, answer=_answer, default=_default)


def fft_wrap(
    fft_func: Callable[..., Any], kind: str | None = None, dtype: Any = None, allow_fftpack: bool = False
) -> Callable[..., Any]:
    """A function of arrays of Kask, of another library's transform.

    Parameters
    ----------
    fft_func : callable
        Of NumPy's parameters: ``a``, ``n`` and ``axis``, or ``s`` and ``axes``; as those of ``scipy.fft``.
    kind : str, optional
        Which of NumPy's transforms it is like; by default that of its own name.
    dtype : data-type, optional
        Of the result; by default found by trying.
    allow_fftpack : bool, optional
        Whether functions of ``scipy.fftpack`` are taken, whose real transforms have another form than NumPy's.

    Returns
    -------
    callable

    Raises
    ------
    ValueError
        A kind that there is not, or a function of ``scipy.fftpack``.

    Examples
    --------
    >>> import numpy as np
    >>> import kask.array as ka
    >>> transform = ka.fft.fft_wrap(np.fft.rfft)
    >>> transform(ka.ones(4, chunks=2)).compute()
    array([4.+0.j, 0.+0.j, 0.+0.j])
    """
    if kind is None:
        kind = fft_func.__name__
    kinds = (*_ONE, "fft2", "ifft2", "rfft2", "irfft2", "fftn", "ifftn", "rfftn", "irfftn")
    if kind not in kinds:
        raise ValueError(f"kind must be one of {', '.join(kinds)}, got {kind!r}")
    if not allow_fftpack and "fftpack" in getattr(fft_func, "__module__", ""):
        raise ValueError("functions of scipy.fftpack have another form; use those of scipy.fft, or allow_fftpack=True")

    def one(a: Any, n: int | None = None, axis: int | None = None, norm: str | None = None) -> Any:
        axis = -1 if axis is None else axis
        return wrap(fourier.transformed(fft_func, kind, as_array(a).expr, n, axis, norm, dtype))

    def several(a: Any, s: Any = None, axes: Any = None, norm: str | None = None) -> Any:
        return wrap(fourier.wrapped(fft_func, kind, a, s, axes, norm, dtype))

    func = one if kind in _ONE else several
    func.__name__ = kind
    func.__doc__ = f"As ``{getattr(fft_func, '__module__', '')}.{kind}``, of arrays of Kask."
    return func


def fftfreq(n: int, d: float = 1.0, chunks: Any = "auto") -> Any:
    """The frequencies of what :func:`fft` gives, of ``n`` elements that are ``d`` apart.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.fft.fftfreq(4, chunks=2).compute()
    array([ 0.  ,  0.25, -0.5 , -0.25])
    """
    return fourier.frequencies_of(n, d, chunks, is_real=False)


def rfftfreq(n: int, d: float = 1.0, chunks: Any = "auto") -> Any:
    """The frequencies of what :func:`rfft` gives, of ``n`` elements that are ``d`` apart.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.fft.rfftfreq(4, chunks=2).compute()
    array([0.  , 0.25, 0.5 ])
    """
    return fourier.frequencies_of(n, d, chunks, is_real=True)


def fftshift(x: Any, axes: Any = None) -> Any:
    """Frequencies in order: zero in the middle of the axes, all of them by default.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.fft.fftshift(ka.fft.fftfreq(4, chunks=2)).compute()
    array([-0.5 , -0.25,  0.  ,  0.25])
    """
    return _shifted(x, axes, 1)


def ifftshift(x: Any, axes: Any = None) -> Any:
    """The inverse of :func:`fftshift`.

    Examples
    --------
    >>> import kask.array as ka
    >>> ka.fft.ifftshift(ka.arange(3, chunks=2)).compute()
    array([1, 2, 0])
    """
    return _shifted(x, axes, -1)


def _shifted(x: Any, axes: Any, sign: int) -> Any:
    array = as_array(x)
    places = tuple(range(array.ndim)) if axes is None else tuple(np.atleast_1d(axes).tolist())
    shifts = tuple([sign * (array.shape[axis] // 2) for axis in places])
    return roll(array, shifts, places) if places else array
