"""What may a grant say of a value?

Law: a constraint is data. All that one names must hold, and so many lie within one another
and no more; what a grant wants to say and these words cannot, it cannot say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from sandbox_runtime.strict import Json, Strict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox_runtime.manifests.problems import Where

DEEPEST_CONSTRAINT = 4
"""Levels of constraints on one argument, the argument's own counted."""

MOST_CONSTRAINTS = 64
"""Constraints on one argument, those within others counted: each item may have to meet all."""

Scalar = str | int | float | bool
Scalars = Annotated[tuple[Scalar, ...], Field(min_length=1, max_length=1000)]


class Range(Strict):
    """A closed interval of numbers; an end left out is open."""

    min: int | float | None = None
    """The least, itself included."""
    max: int | float | None = None
    """The most, itself included."""


class Length(Strict):
    """How long a string (code points) or an array (items) may be."""

    min: Annotated[int, Field(ge=0)] = 0
    """The least."""
    max: Annotated[int, Field(ge=0)] | None = None
    """The most."""


class Constraint(Strict):
    """What a value may be. All that is named must hold."""

    exact: Json = None
    """Exactly this value."""
    one_of: Scalars | None = None
    """One of these values."""
    not_one_of: Scalars | None = None
    """Never shown to a model. A list of what is allowed is safer than one of what is not."""
    subset: Scalars | None = None
    """An array whose items are all among these."""
    range: Range | None = None
    """Numbers from `min` to `max`."""
    length: Length | None = None
    """So many characters or items."""
    regex: Annotated[str, Field(max_length=1000)] | None = None
    """RE2; the whole value must match."""
    each: Constraint | None = None
    """What every item of an array must meet."""
    any_of: Annotated[tuple[Constraint, ...], Field(min_length=1, max_length=32)] | None = None
    """At least one of these must hold."""
    all_of: Annotated[tuple[Constraint, ...], Field(min_length=1, max_length=32)] | None = None
    """Each of these must hold."""

    def within(self) -> Iterator[tuple[Where, Constraint]]:
        """Yield the constraints right within this one, and the path to each."""
        if self.each is not None:
            yield ("each",), self.each
        for index, one in enumerate(self.any_of or ()):
            yield ("any_of", index), one
        for index, one in enumerate(self.all_of or ()):
            yield ("all_of", index), one

    def count(self) -> int:
        """Return how many constraints this is, those within it counted."""
        return 1 + sum(one.count() for _, one in self.within())

    def leaves(self) -> Iterator[Where]:
        """Yield the path of each word that can be what a value breaks, in the order of asking."""
        yield from ((key,) for key in _WORDS if key in self.model_fields_set)
        if self.each is not None:
            yield from (("each", *leaf) for leaf in self.each.leaves())
        if self.any_of is not None:
            yield ("any_of",)
        for index, one in enumerate(self.all_of or ()):
            yield from (("all_of", index, *leaf) for leaf in one.leaves())


_WORDS = ("exact", "one_of", "not_one_of", "subset", "range", "length", "regex")
