"""Which image is each tool's?

Law: the lock names images by id, never by tag, and only what the lock names is run. What
it does not say, or says in another way, is an error and not a default.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal

import orjson
from pydantic import Field, ValidationError

from sandbox_runtime.errors import Fault
from sandbox_runtime.sandbox.plan import ImageId
from sandbox_runtime.strict import Strict

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class LockBroken(Fault):
    """The lock is not there, is not a lock, or names images that the engine does not have."""


class LockedImage(Strict):
    """One tool's image."""

    image: ImageId
    inputs: Digest
    """SHA-256 of everything that it was built from, the base's id included."""
    built_at: str
    """ISO 8601, UTC."""
    packages: dict[str, str] = Field(default_factory=dict)
    """Packages of the distribution that it holds beyond the base's, with their versions."""


class ImagesLock(Strict):
    """Every tool's image, by the tool's name."""

    version: Literal[1] = 1
    base: ImageId
    tools: dict[str, LockedImage]


def read(path: Path) -> ImagesLock:
    """Return the lock at `path`."""
    try:
        return ImagesLock.model_validate_json(path.read_bytes())
    except FileNotFoundError as error:
        raise LockBroken(f"there is no {path}: run `sandbox-broker tool build`") from error
    except ValidationError as error:
        raise LockBroken(f"{path} is not a lock of images: build the tools again") from error


def write(path: Path, lock: ImagesLock) -> None:
    """Put `lock` at `path`, whole or not at all. Equal locks are equal bytes."""
    options = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    fresh = path.with_name(f".{path.name}.new")
    path.parent.mkdir(parents=True, exist_ok=True)
    with fresh.open("wb") as file:
        file.write(orjson.dumps(lock.model_dump(mode="json"), option=options))
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)
