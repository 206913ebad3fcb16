"""Which identities were issued, and which of them were revoked?

Law: one file, replaced whole under a lock, in a directory that only the broker's user can enter.
It holds digests and no secret: who reads it can be nobody by it.

    identity/book.json     this book
    identity/token-key     the key of the tokens' digests
    identity/ca.pem, .key  the broker's own authority
"""

from __future__ import annotations

import fcntl
import os
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, ValidationError

from sandbox_runtime.destinations.json_text import canonical
from sandbox_runtime.errors import Fault
from sandbox_runtime.evidence.disk import sync_directory
from sandbox_runtime.manifests.constraint import Scalar
from sandbox_runtime.manifests.model import Subject, VariableName
from sandbox_runtime.records import Micros
from sandbox_runtime.server.caller import Role
from sandbox_runtime.strict import Strict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_OTHERS = 0o077


class IdentitiesUnusable(Fault):
    """What was issued cannot be read, or is open to others. Nobody is known by it."""


class Identity(Strict):
    """Somebody who was given a token or a certificate."""

    id: Annotated[str, Field(pattern=r"^i-[0-9a-f]{16}$")]
    subject: Subject
    roles: Annotated[tuple[Role, ...], Field(min_length=1)]
    claims: dict[VariableName, Scalar] = Field(default_factory=dict)
    kind: Literal["token", "certificate"]
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    """Of the token, under the book's key; or the certificate's SHA-256."""
    issued_at: Micros
    expires_at: Micros
    revoked_at: Micros | None = None

    def stands(self, now: Micros) -> Literal["valid", "expired", "revoked"]:
        """Return whether it counts at this time, or why not."""
        if self.revoked_at is not None:
            return "revoked"
        return "valid" if now < self.expires_at else "expired"


class Book(Strict):
    """All identities that were ever issued."""

    v: Literal[1] = 1
    identities: tuple[Identity, ...] = ()


def place(state: Path) -> Path:
    """Return where a broker with this state keeps what it issued."""
    return state / "identity"


def path(directory: Path) -> Path:
    """Return where the book lies."""
    return directory / "book.json"


def read(directory: Path) -> Book:
    """Return the book; an empty one where nothing was issued. Raises `IdentitiesUnusable`."""
    try:
        return Book.model_validate_json(private(path(directory)))
    except FileNotFoundError:
        return Book()
    except ValidationError as error:
        raise IdentitiesUnusable(f"`{path(directory)}` is no book of identities") from error


def change(directory: Path, how: Callable[[Book], Book]) -> None:
    """Replace the book by what `how` makes of it. Nobody else changes it meanwhile."""
    with held(directory):
        changed = how(read(directory))
        put(path(directory), canonical(changed.model_dump(mode="json")) + b"\n")


@contextmanager
def held(directory: Path) -> Iterator[None]:
    """Make the directory if need be, and keep others from changing what is in it."""
    directory.mkdir(mode=0o700, exist_ok=True)
    descriptor = os.open(directory / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def private(file: Path) -> bytes:
    """Return a file's content, if nobody else could have read it. Raises `IdentitiesUnusable`."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as opened:
        status = os.fstat(descriptor)
        ours = stat.S_ISREG(status.st_mode) and status.st_uid == os.geteuid()
        if not ours or status.st_mode & _OTHERS:
            raise IdentitiesUnusable(f"`{file}` is open to others, or not the broker's user's")
        return opened.read()


def put(file: Path, content: bytes) -> None:
    """Replace a file whole and durably; nobody else can read it."""
    unfinished = file.with_name(f".{file.name}.new")
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(descriptor)
    unfinished.replace(file)
    sync_directory(file.parent)
