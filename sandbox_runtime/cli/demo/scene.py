"""What is shown beside the agent's calls?

Law: a scene says beforehand what must be seen; anything else is a surprise, and the
demonstration has failed.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """Something that was tried beside the agent's calls."""

    name: str
    tries: str
    """For who watches."""
    saw: str
    surprise: str = ""
    """What must have been seen instead; empty: it was."""
