"""What may a tool ask of the kernel?

Law: what `seccomp.json` does not name fails. The file is the source: each rule stands
there with its why, and this module only takes the whys out, for the engine reads none.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

from pydantic import Field

from sandbox_runtime.strict import Strict

Action = Literal["SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"]


class Argument(Strict):
    """A condition on one argument of a system call. All of a rule's must hold."""

    index: Annotated[int, Field(ge=0, le=5)]
    value: Annotated[int, Field(ge=0)]
    valueTwo: int = 0  # noqa: N815 - the engine's key
    op: Literal["SCMP_CMP_EQ", "SCMP_CMP_NE", "SCMP_CMP_MASKED_EQ"]


class Rule(Strict):
    """System calls that share a verdict, and why they have it."""

    why: Annotated[str, Field(min_length=1)]
    names: Annotated[tuple[str, ...], Field(min_length=1)]
    action: Action
    errnoRet: int | None = None  # noqa: N815 - the engine's key
    args: tuple[Argument, ...] = ()


class Profile(Strict):
    """The whole profile. Its default can only be refusal."""

    why: str
    defaultAction: Literal["SCMP_ACT_ERRNO"]  # noqa: N815 - the engine's key
    architectures: tuple[str, ...]
    syscalls: tuple[Rule, ...]


@cache
def profile() -> Profile:
    """Return the package's own profile."""
    return Profile.model_validate_json(files(__package__).joinpath("seccomp.json").read_bytes())


@cache
def for_engine() -> str:
    """Return the profile as the engine takes it inline: compact JSON without the whys."""
    shape = profile().model_dump(
        mode="json",
        exclude={"why": True, "syscalls": {"__all__": {"why"}}},
        exclude_none=True,
    )
    return json.dumps(shape, separators=(",", ":"))
