"""What is said of one thing that a broker needs?

Law: what keeps a broker from starting or a wall from standing is wrong; what makes either
weaker is a warning; both say how to mend it.
"""

from __future__ import annotations

from enum import StrEnum

from sandbox_runtime.strict import Strict


class Level(StrEnum):
    """How well it is."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


class Finding(Strict):
    """One thing, how well it is, and what would mend it."""

    about: str
    level: Level
    says: str
    mend: str | None = None


def ok(about: str, says: str) -> Finding:
    """Return that it is well."""
    return Finding(about=about, level=Level.OK, says=says)


def warning(about: str, says: str, mend: str) -> Finding:
    """Return that it could be better."""
    return Finding(about=about, level=Level.WARNING, says=says, mend=mend)


def wrong(about: str, says: str, mend: str) -> Finding:
    """Return that it will not do."""
    return Finding(about=about, level=Level.WRONG, says=says, mend=mend)
