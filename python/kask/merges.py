"""Into how many groups a shuffle merges its outputs."""

from __future__ import annotations

import math

__all__ = ["fitting_outputs", "merge_groups"]

# Outputs are merged one by one up to this number; with more of them a merge makes several, so that parts do not get tiny. A merge
# holds its parts and what it makes of them, and each runner has one: with fewer merges they get too large for data of
# many times the memory.
_SINGLE_GROUPS = 256


def merge_groups(outputs: int) -> int:
    """How many merges make so many outputs."""
    return min(outputs, max(_SINGLE_GROUPS, 2 * math.isqrt(outputs)))


def fitting_outputs(total_bytes: int, limit_bytes: int) -> int:
    """How many outputs a shuffle of so many bytes needs so that no merge, which holds its parts and what it makes of them, takes
    more than the limit."""
    merges = math.ceil(2 * total_bytes / limit_bytes)
    if merges <= _SINGLE_GROUPS:
        return max(1, merges)
    # Merges are twice the root of the outputs; with a number that four divides, each makes equally many.
    merges = -(-merges // 4) * 4
    return merges**2 // 4
