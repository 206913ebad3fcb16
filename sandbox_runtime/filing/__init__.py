"""How do files come into a task's workspace and leave it?

`putting` brings one in, `getting` lets one out, `keeping` keeps what outlives the task. Paths are
hostile text: they stand in encrypted bodies, never in a leaf.
"""

from dataclasses import dataclass

from sandbox_runtime.filing.getting import Getting, Lasting, Leaving
from sandbox_runtime.filing.keeping import Keeping
from sandbox_runtime.filing.putting import Announced, Put, Putting
from sandbox_runtime.filing.transfers import Transfers


@dataclass(frozen=True, slots=True, kw_only=True)
class Filing:
    """All that can be done with files."""

    putting: Putting
    getting: Getting
    keeping: Keeping


__all__ = [
    "Announced",
    "Filing",
    "Getting",
    "Keeping",
    "Lasting",
    "Leaving",
    "Put",
    "Putting",
    "Transfers",
]
