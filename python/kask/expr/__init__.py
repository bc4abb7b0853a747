"""Immutable expressions: what the array and dataframe collections are made of, and how they become layers of tasks.

``node`` has the base class, ``rewrite`` walks and changes expressions, ``program`` is what a fused block runs, ``lower``
makes layers of expressions. An expression costs as much as the user wrote; nothing here looks at single blocks.
"""

from kask.expr.lower import Lowering
from kask.expr.node import Expr
from kask.expr.rewrite import consumers, rewrite, walk

__all__ = ["Expr", "Lowering", "consumers", "rewrite", "walk"]
