"""What does carrying files need of the world, and what does it write down?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from sandbox_runtime.strict import Strict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    from sandbox_runtime.call import Check, Verdict
    from sandbox_runtime.ledger import Live
    from sandbox_runtime.strict import Json


class Workspace(Protocol):
    """The files of one task."""

    @property
    def root(self) -> Path:
        """Where the host finds them."""
        ...

    @property
    def uid(self) -> int:
        """Who owns them."""
        ...

    def turn(self) -> AbstractAsyncContextManager[Path]:
        """Have them to oneself for a block: no call that mounts them runs meanwhile."""
        ...


class Housing(Protocol):
    """The workspaces of one broker's tasks."""

    async def of(self, live: Live) -> Workspace | None:
        """Return a task's, mounted; None where it has none. Raises `SandboxUnavailable`."""
        ...


class Validators(Protocol):
    """The destinations, in killable processes that hold no power."""

    async def check_value(self, value: Json, checks: Sequence[Check]) -> tuple[Verdict, ...]:
        """Return what the destinations say of `value`."""
        ...


class KeptFiles(Protocol):
    """Files that outlive their task, encrypted under its key. Every method blocks."""

    def keep(self, task: str, content: bytes) -> str:
        """Keep a file, durably; return its id."""
        ...

    def open(self, task: str, name: str) -> bytes:
        """Return a kept file."""
        ...

    def delete(self, task: str, name: str) -> None:
        """Delete a kept file; doing it twice is fine."""
        ...

    def names(self) -> set[tuple[str, str]]:
        """Return what lies there: task and id."""
        ...


class Carried(Strict):
    """The body of `file.put`, `file.got`, `file.kept`: which file it was."""

    path: str
    sha256: str
    """Of the bytes that came in, or that left."""
    found: str = ""
    """Digest of the bytes as the workspace held them, where they left otherwise."""
    changes: tuple[str, ...] = ()


class Stayed(Strict):
    """The body of `file.refused`: which file it was, and why it stayed."""

    path: str
    sha256: str
    problem: str
