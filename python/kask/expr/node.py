"""The base class of expressions.

An expression is a frozen dataclass. Its fields that are expressions, or tuples with expressions in them, are its *operands*;
everything else is plain description. Equal descriptions have equal tokens, so equal work is recognised wherever it occurs.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from kask.annotations import current_options
from kask.engine import GraphBuilder, Options
from kask.tokens import tokenize

if TYPE_CHECKING:
    from kask.expr.rewrite import Readers

__all__ = ["Expr"]

E = TypeVar("E", bound="Expr")


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Expr:
    """One operation on other expressions.

    Subclasses are frozen dataclasses too; what they compute from their fields they keep in cached properties.
    """

    #: The family's name: printed keys begin with it, and durations are learned by it. By default the class's, in small letters.
    family: ClassVar[str] = ""
    #: The annotations in force where it was described. They are no part of what it is: equal work is done once, as the first of it says.
    options: ClassVar[Options | None] = None

    def __post_init__(self) -> None:
        options = current_options()
        if options is not None:
            self.__dict__["options"] = options

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "family" not in cls.__dict__:
            cls.family = cls.__name__.lower()

    @functools.cached_property
    def token(self) -> str:
        """32 hexadecimal digits, equal for equal work."""
        return tokenize(type(self).__qualname__, *(getattr(self, field.name) for field in dataclasses.fields(self)))

    @functools.cached_property
    def name(self) -> str:
        """The name of the layer that has the results."""
        return f"{self.label}-{self.token}"

    @property
    def label(self) -> str:
        """What the layer's keys begin with."""
        return self.family

    @functools.cached_property
    def operands(self) -> tuple[Expr, ...]:
        """The expressions that this one reads, in the order of the fields."""
        found: list[Expr] = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Expr):
                found.append(value)
            elif type(value) is tuple:
                found.extend(item for item in value if isinstance(item, Expr))
        return tuple(found)

    def with_operands(self: E, change: Callable[[Expr], Expr]) -> E:
        """The same operation on changed operands; itself when nothing changes."""
        changed: dict[str, Any] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Expr):
                new: Any = change(value)
            elif type(value) is tuple and any(isinstance(item, Expr) for item in value):
                new = tuple(change(item) if isinstance(item, Expr) else item for item in value)
                if all(ours is theirs for ours, theirs in zip(new, value, strict=True)):
                    continue
            else:
                continue
            if new is not value:
                changed[field.name] = new
        return dataclasses.replace(self, **changed) if changed else self

    @property
    def remark(self) -> str:
        """What people are told of how it is made, where that was chosen."""
        return ""

    @property
    def reads_joined(self) -> bool:
        """Whether the layers that it makes itself read operands that are ``joined`` where their blocks are."""
        return False

    @property
    def joined(self) -> Any:
        """A :class:`~kask.expr.lower.Joined` of the operands, if the blocks are theirs as they are."""
        return None

    def simplified(self) -> Expr | None:
        """A cheaper expression with the same value, or None. Asked again of what it answers."""
        return None

    @property
    def offers(self) -> Any:
        """What others would else make themselves, and find in what this one makes: something hashable, or None."""
        return None

    def served(self, offers: Mapping[Any, Expr]) -> Expr | None:
        """The same made of what another expression makes anyway, where one of them offers it; see :func:`kask.expr.sharing.shared`."""
        return None

    @staticmethod
    def share_together(roots: Sequence[Expr]) -> list[Expr]:
        """See :func:`kask.expr.sharing.shared`."""
        from kask.expr.sharing import shared

        return shared(list(roots))

    def settled(self, readers: Readers) -> Expr | None:
        """As ``simplified``, of which nothing is left to do, where it is known who reads each expression."""
        return None

    @staticmethod
    def lower_together(roots: Sequence[Expr], builder: GraphBuilder, fuse: bool = True) -> None:
        """Add the layers of these expressions and of all that they need to a builder; see :class:`kask.expr.Lowering`."""
        from kask.expr.lower import Lowering

        Lowering(builder, fuse=fuse).add(roots)

    @staticmethod
    def rewritten_together(roots: Sequence[Expr]) -> Any:
        """A context in which these, which will be computed at once, are rewritten; see :func:`kask.expr.rewrite.rewritten_together`."""
        from kask.expr.rewrite import rewritten_together

        return rewritten_together(list(roots))

    @staticmethod
    def outline_together(roots: Sequence[Expr], *args: Any) -> Any:
        """What these expressions are made of; see :func:`kask.expr.outline.outlined`."""
        from kask.expr.outline import outlined

        return outlined(roots, *args)

    def __kask_tokenize__(self) -> Any:
        return self.token

    def __repr__(self) -> str:
        return f"<{self.label} {self.token[:8]}>"
