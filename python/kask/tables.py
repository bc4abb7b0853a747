"""Rows of text, lined up in columns."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["lined_up"]


def lined_up(rows: Sequence[Sequence[str]], left: int) -> list[str]:
    """The lines of a table, with a rule below the first. The first ``left`` columns begin at the left, the others end at the right.

    Examples
    --------
    >>> print("\\n".join(lined_up([("name", "tasks"), ("inc", "12")], left=1)))
    name  tasks
    -----------
    inc      12
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    lines.insert(1, "-" * max(map(len, lines)))
    return lines
