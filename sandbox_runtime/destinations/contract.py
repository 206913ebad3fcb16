"""What is a destination, and what may it answer?

Law: a destination answers with the one canonical value that may travel, or with an
`Objection`. There is no third answer, and the value that came in never travels on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Generic, Protocol, TypeVar

from sandbox_runtime.strict import Json, Strict

S = TypeVar("S", bound=Strict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Accepted:
    """The canonical value, what is true of it, and what was changed to get it."""

    value: Json
    facts: dict[str, Json] = field(default_factory=dict)
    """What policy may use: tables, columns, statement kind, hosts, sizes."""
    changes: tuple[str, ...] = ()
    """One sentence for each rewriting, fit for a model to read; empty: passed as it was."""
    shown: str | None = None
    """The value as its sender may see it, where `value` holds what it may not: row filters."""


class Objection(Exception):  # noqa: N818 - a verdict, turned into a refusal by policy
    """The value may not travel to its destination.

    `code` is stable (`sql.table_not_granted`). `pointer` is an RFC 6901 pointer below the
    checked value, empty for all of it. `position` is (line, column), 1-based, inside a text
    value. `subject` names the part (a table, a function). `hint` says what is allowed, and
    is made only from the settings' visible part.
    """

    def __init__(
        self,
        code: str,
        problem: str,
        *,
        pointer: str = "",
        position: tuple[int, int] | None = None,
        subject: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(problem)
        self.code, self.problem, self.pointer = code, problem, pointer
        self.position, self.subject, self.hint = position, subject, hint


class Widens(Exception):  # noqa: N818 - a finding of the manifest loader
    """A grant's settings ask for more than the tool's. `path` leads to the key at fault."""

    def __init__(self, path: tuple[str | int, ...], problem: str) -> None:
        super().__init__(problem)
        self.path, self.problem = path, problem


class Destination(Protocol, Generic[S]):
    """One kind of consumer: a database, a schema, a model's context.

    All steps are pure and raise `Objection` and nothing else.
    """

    kind: ClassVar[str]
    settings: ClassVar[type[Strict]]

    def narrow(self, tool: S, grant: S) -> S:
        """Return the settings that are both the tool's and the grant's; raise `Widens`."""
        ...

    def normalise(self, value: Json, settings: S) -> Json:
        """Return the value in its one canonical form. Idempotent."""
        ...

    def confine(self, normal: Json, settings: S) -> Accepted:
        """Put in row filters and limits. Applied once, to a normal value."""
        ...

    def check(self, value: Json, settings: S) -> Accepted:
        """Normalise, then confine, and report the changes of both.

        The value is the one that `confine` of `normalise` gives; doing both at once
        saves a second parse.
        """
        ...

    def describe(self, settings: S) -> dict[str, Json]:
        """Return JSON Schema keywords that tell a model what the settings let it send.

        Row filters, exclusions and whatever else the model is not to know stay out.
        """
        ...
