"""What tasks run for factorisations by block columns. A *panel* is what is made of one block column: a tuple of something and of the
factors, packed as LAPACK packs them, above which stand the rows of earlier steps.

Block columns and panels that steps read come as lists of one, so that steps are not fused: a task holds one of each.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from kask.array.kernels.native_threads import call_blas

# Read as a module: these are many small steps.
__all__: list[str] = []


def triangular_solution(a: Any, b: Any, lower: bool, unit: bool = False) -> Any:
    """The x of ``a x = b``, where one triangle of ``a`` is looked at."""
    from scipy.linalg import solve_triangular

    if not a.size or not b.size:
        return np.zeros(b.shape, np.result_type(a, b))
    return call_blas(solve_triangular, a, b, lower=lower, unit_diagonal=unit, check_finite=False)


def _lapack(name: str, block: Any) -> Any:
    from scipy.linalg import get_lapack_funcs

    return get_lapack_funcs((name,), (block,))[0]


def lu_panel(columns: list[Any], start: int) -> tuple[Any, Any]:
    """The order that pivoting puts the rows in, and L and U of a block column from row ``start`` on."""
    out = np.array(columns[0], order="F")
    order = np.arange(len(out))
    if out.shape[1]:
        out[start:], swaps, _ = call_blas(_lapack("getrf", out), out[start:])
        for at, other in enumerate(swaps.tolist(), start):
            order[at], order[start + other] = order[start + other], order[at]
    return order, out


def eliminated(columns: list[Any], panels: list[Any], start: int, width: int) -> Any:
    """A block column after the step that made a panel: rows in its order, U's rows made, and their product with L taken away below."""
    order, factors = panels[0]
    out, end = columns[0][order], start + width
    out[start:end] = triangular_solution(factors[start:end], out[start:end], lower=True, unit=True)
    out[end:] -= call_blas(np.matmul, factors[end:], out[start:end])
    return out


def substituted(columns: list[Any], panels: list[Any], start: int, width: int, refuses: bool) -> Any:
    """The right-hand side, solved for the unknowns of a panel, which are then taken out of the rows above. A singular matrix is refused, or
    its solution is NaN."""
    factors, end = panels[0][1], start + width
    if not np.diagonal(factors[start:end]).all():
        if refuses:
            raise np.linalg.LinAlgError("Singular matrix")
        return np.full_like(columns[0], np.nan)
    out = columns[0].copy()
    out[start:end] = triangular_solution(factors[start:end], out[start:end], lower=False)
    out[:start] -= call_blas(np.matmul, factors[:start], out[start:end])
    return out


def order_of(panels: list[Any]) -> Any:
    """The order that a panel puts the rows in, without the panel."""
    return panels[0][0]


def ordered_after(orders: list[Any], later: list[Any]) -> Any:
    """The order of rows that a panel and those after it give together."""
    return orders[0][later[0]]


def lower_part(panels: list[Any], later: Any, start: int) -> Any:
    """A block column of L, its rows in the order that later panels put them in."""
    factors = panels[0][1]
    out = np.zeros_like(factors)
    out[start:] = np.tril((factors if later is None else factors[later])[start:])
    places = np.arange(factors.shape[1])
    out[start + places, places] = 1
    return out


def upper_part(panels: list[Any], start: int, width: int, rows: int) -> Any:
    """A block column of U or R, of so many rows."""
    factors, end = panels[0][1], start + width
    out = np.zeros_like(factors, shape=(rows, width))
    out[:start] = factors[:start]
    out[start:end] = np.triu(factors[start:end])
    return out


def pivots(panels: list[Any], start: int) -> Any:
    """The diagonal of U."""
    return np.diagonal(panels[0][1][start:]).copy()


def parity(panels: list[Any]) -> Any:
    """1 or -1, as a panel's order is even or odd, as a vector of one element."""
    order = panels[0][0]
    seen, sign = np.zeros(len(order), bool), 1.0
    for first in np.flatnonzero(order != np.arange(len(order))).tolist():
        length, at = 0, first
        while not seen[at]:
            seen[at], at, length = True, order[at], length + 1
        if length and length % 2 == 0:
            sign = -sign
    return np.array([sign])


def permutation_block(position: tuple[int, ...], order: Any, chunks: Any, dtype: Any) -> Any:
    """A block of the matrix P, for which the rows of P X in this order are X."""
    out = np.zeros(chunks.block_shape(position), dtype)
    top, left = chunks.block_start(position)
    rows = order[left : left + out.shape[1]] - top
    columns = np.flatnonzero((rows >= 0) & (rows < len(out)))
    out[rows[columns], columns] = 1
    return out


def qr_panel(columns: list[Any], start: int) -> tuple[Any, Any]:
    """The scales of Householder's reflections of a block column from row ``start`` on, and their vectors below R."""
    out = np.array(columns[0], order="F")
    scales = np.zeros(0, out.dtype)
    if out.shape[1]:
        out[start:], scales, *_ = call_blas(_lapack("geqrf", out), out[start:])
    return scales, out


def reflected(columns: list[Any], panels: list[Any], start: int, adjoint: bool) -> Any:
    """A block column times the Q of a panel, or its adjoint."""
    scales, factors = panels[0]
    out = np.array(columns[0], order="F")
    # Columns of the identity that are zero there stay as they are.
    if len(scales) and out[start:].any():
        is_complex = out.dtype.kind == "c"
        apply = _lapack("unmqr" if is_complex else "ormqr", out)
        how = ("C" if is_complex else "T") if adjoint else "N"
        # LAPACK writes to the vectors meanwhile, and puts back what was there: others may be reading.
        vectors = np.array(factors[start:], order="F")
        out[start:] = call_blas(apply, "L", how, vectors, scales, out[start:], 64 * out.shape[1])[0]
    return out
