"""What a notebook shows of an array: a table of its sizes, and a picture of its chunks.

Both cost the same whatever the number of chunks: along each axis a few dozen cuts are drawn at most.
"""

from __future__ import annotations

import html as escaping
import itertools
import math
from typing import Any

from kask.engine import Chunks
from kask.units import format_bytes

__all__ = ["html", "svg"]

#: Cuts that are drawn along an axis.
_MOST_LINES = 50
#: The shortest axis is drawn as if it had this part of the longest.
_LEAST = 0.1
_MARGIN = 10
#: Where the first axis of three goes: to the right and down.
_SLANT = 0.4

Point = tuple[float, float]


def html(x: Any) -> str:
    """The table and the picture, for ``_repr_html_``."""
    expr = x.expr
    if expr.is_unknown:
        return f"<pre>{escaping.escape(repr(x))}</pre>"
    chunks: Chunks = expr.chunks
    item = expr.dtype.itemsize
    kind = f"{type(expr.meta).__module__}.{type(expr.meta).__qualname__}"
    rows = [
        ("Bytes", format_bytes(math.prod(chunks.shape) * item), format_bytes(math.prod(chunks.largest) * item)),
        ("Shape", str(tuple(chunks.shape)), str(tuple(chunks.largest))),
        ("Count", f"{chunks.nblocks} chunk{'s' * (chunks.nblocks != 1)}", f"grid {tuple(chunks.grid)}"),
        ("Type", str(expr.dtype), kind),
    ]
    lines = [
        "<tr>" + f"<th>{name}</th>" + "".join([f"<td>{escaping.escape(cell)}</td>" for cell in cells]) + "</tr>"
        for name, *cells in rows
    ]
    table = (
        "<table><thead><tr><td></td><th>Array</th><th>Chunk</th></tr></thead><tbody>"
        + "".join(lines)
        + "</tbody></table>"
    )
    title = f"<div>{escaping.escape('kask.array ' + expr.label)}</div>"
    picture = svg(chunks, 160) if chunks.ndim > 0 and 0 not in chunks.shape else ""
    return f"{title}<table><tr><td>{table}</td><td>{picture}</td></tr></table>"


def svg(chunks: Chunks, size: int = 500) -> str:
    """A picture of chunks. Of more than three axes the last three are drawn.

    Parameters
    ----------
    chunks : Chunks
        What is drawn.
    size : int
        Pixels of the longest axis.

    Raises
    ------
    ValueError
        ``size`` is no number above 0.
    NotImplementedError
        There is nothing to be drawn: no axes, or no elements.
    """
    if not isinstance(size, int | float) or size <= 0:
        raise ValueError(f"size={size!r}, but it must be a number above 0: pixels of the longest axis")
    if chunks.ndim == 0 or 0 in chunks.shape:
        raise NotImplementedError(f"an array of shape {tuple(chunks.shape)} cannot be drawn")
    shown = list(range(max(0, chunks.ndim - 3), chunks.ndim))
    longest = max(chunks.shape[axis] for axis in shown)
    scales = [size * max(_LEAST, chunks.shape[axis] / longest) for axis in shown]
    cuts = [[scale * cut for cut in _cuts(chunks.axis(axis))] for axis, scale in zip(shown, scales)]
    names = [str(chunks.shape[axis]) for axis in shown]
    if len(shown) == 1:
        cuts, scales, names = [[0.0, size * _LEAST], *cuts], [size * _LEAST, *scales], ["", *names]
    if len(shown) < 3:
        return _flat(cuts, scales, names)
    return _solid(cuts, scales, names)


def _cuts(chunks: Chunks) -> list[float]:
    """Where blocks of the only axis begin and end, as parts of its length: all, or evenly chosen ones if there are many."""
    length, blocks = chunks.shape[0], chunks.grid[0]
    if blocks <= _MOST_LINES:
        return [0.0, *[end / length for end in itertools.accumulate(chunks.tuples()[0])]]
    wanted = [round(at * blocks / _MOST_LINES) for at in range(_MOST_LINES + 1)]
    starts = [chunks.block_start((at,))[0] if at < blocks else length for at in wanted]
    return [start / length for start in starts]


def _line(start: Point, end: Point, outer: bool) -> str:
    (x1, y1), (x2, y2) = start, end
    style = ' style="stroke-width:2"' if outer else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"{style} />'


def _face(corner: Point, across: list[Point], down: list[Point]) -> list[str]:
    """A face of a picture: lines at the ends of steps from a corner, in two directions."""

    def at(one: Point, other: Point) -> Point:
        return corner[0] + one[0] + other[0], corner[1] + one[1] + other[1]

    lines = [_line(at(x, down[0]), at(x, down[-1]), i in (0, len(across) - 1)) for i, x in enumerate(across)]
    lines += [_line(at(across[0], y), at(across[-1], y), i in (0, len(down) - 1)) for i, y in enumerate(down)]
    outline = [at(across[0], down[0]), at(across[-1], down[0]), at(across[-1], down[-1]), at(across[0], down[-1])]
    points = " ".join([f"{x:.1f},{y:.1f}" for x, y in outline])
    return [f'<polygon points="{points}" style="fill:#5b8fb9A0;stroke-width:0" />', *lines]


def _document(width: float, height: float, parts: list[str]) -> str:
    return (
        f'<svg width="{width:.0f}" height="{height:.0f}" xmlns="http://www.w3.org/2000/svg" '
        # The colour of the text around it: notebooks may be dark.
        'style="stroke:currentColor;stroke-width:1">' + "".join(parts) + "</svg>"
    )


def _text(x: float, y: float, text: str) -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" font-size="11" text-anchor="middle"'
    return f'<text {place} style="stroke:none;fill:currentColor">{escaping.escape(text)}</text>' if text else ""


def _flat(cuts: list[list[float]], scales: list[float], names: list[str]) -> str:
    height, width = scales
    face = _face((_MARGIN, _MARGIN), [(x, 0.0) for x in cuts[1]], [(0.0, y) for y in cuts[0]])
    texts = [
        _text(_MARGIN + width / 2, height + _MARGIN + 16, names[1]),
        _text(width + _MARGIN + 24, _MARGIN + height / 2, names[0]),
    ]
    return _document(width + 2 * _MARGIN + 44, height + 2 * _MARGIN + 20, face + texts)


def _solid(cuts: list[list[float]], scales: list[float], names: list[str]) -> str:
    """The left, the upper and the front face of a box, whose first axis leads back to front, to the right and down."""
    depth, height, width = scales
    slanted = [(_SLANT * z, _SLANT * z) for z in cuts[0]]
    across, down = [(x, 0.0) for x in cuts[2]], [(0.0, y) for y in cuts[1]]
    shift = _SLANT * depth
    faces = [
        *_face((_MARGIN, _MARGIN), slanted, down),
        *_face((_MARGIN, _MARGIN), across, slanted),
        *_face((_MARGIN + shift, _MARGIN + shift), across, down),
    ]
    texts = [
        _text(_MARGIN + shift + width / 2, height + shift + _MARGIN + 16, names[2]),
        _text(width + shift + _MARGIN + 24, _MARGIN + shift + height / 2, names[1]),
        _text(_MARGIN + shift / 2, height + _MARGIN + shift / 2 + 20, names[0]),
    ]
    return _document(width + shift + 2 * _MARGIN + 44, height + shift + 2 * _MARGIN + 20, faces + texts)
