"""What may a task's variable be, and who brings it?

Law: a variable has one source. What comes from the caller's identity cannot be brought by
the caller, and what the manifest fixes by nobody.
"""

from __future__ import annotations

import math
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, Literal

import re2
from pydantic import Field

from sandbox_runtime.destinations import json_text
from sandbox_runtime.manifests.constraint import Scalar, Scalars
from sandbox_runtime.manifests.formats import Format, NotOfFormat, canonical
from sandbox_runtime.manifests.problems import quoted
from sandbox_runtime.strict import Json, Strict

if TYPE_CHECKING:
    from collections.abc import Mapping

CLAIM = r"^[!-~]+$"
"""A claim's name is the identity provider's to choose: `tenant`, `https://example.com/tenant`."""

_TYPES: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {"string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,)}
)


class Origin(StrEnum):
    """Where a variable's value came from."""

    OPENER = "opener"
    """Whoever opened the task brought it."""
    IDENTITY_CLAIM = "identity_claim"
    """The opener's authenticated identity carries it."""
    MANIFEST = "manifest"
    """The manifest itself says it."""


class Variable(Strict):
    """A value that is fixed when a task is opened; grants refer to it as `$name`."""

    type: Literal["string", "integer", "number", "boolean"] = "string"
    """What JSON calls its values."""
    source: Literal["opener", "identity_claim"] = "opener"
    """`opener`: whoever opens the task brings it. `identity_claim`: it is a claim of the opener's
    authenticated identity, and nobody can bring another."""
    claim: Annotated[str, Field(pattern=CLAIM, max_length=255)] | None = None
    """The claim's name, where it differs from the variable's."""
    value: Scalar | None = None
    """What it always is: nobody brings it."""
    format: Format | None = None
    """What a string has to be, checked strictly and brought to one form."""
    regex: Annotated[str, Field(max_length=1000)] | None = None
    """RE2; the whole of a string value must match."""
    enum: Scalars | None = None
    """The only values it may have."""
    minimum: int | float | None = None
    """The least that a number may be."""
    maximum: int | float | None = None
    """The most that a number may be."""
    description: Annotated[str, Field(max_length=2000)] = ""
    """What it is for. Its opener reads this."""

    @property
    def origin(self) -> Origin:
        """Where its value comes from."""
        return Origin.MANIFEST if self.value is not None else Origin(self.source)

    def told(self) -> str:
        """Return what it has to be, in words: `an integer`, `a string (email)`."""
        kind = f"a{'n' if self.type == 'integer' else ''} {self.type}"
        return f"{kind} ({self.format})" if self.format is not None else kind


def from_where(name: str, variable: Variable) -> str:
    """Return where a variable's value comes from, in words."""
    match variable.origin:
        case Origin.OPENER:
            return "brought by the opener"
        case Origin.IDENTITY_CLAIM:
            return f"claim {quoted(variable.claim or name)} of the opener's identity"
        case Origin.MANIFEST:
            return "fixed by the manifest"


class Unfit(ValueError):  # noqa: N818 - a finding about a value, not a fault
    """A value is not what its variable may be. The message says what it is not."""


def fitting(variable: Variable, value: Json) -> Scalar:
    """Return a value in the one form that the variable's format gives it, or raise `Unfit`."""
    plain = _typed(variable, value)
    if isinstance(plain, str):
        return _among(variable, _text(variable, plain))
    if isinstance(plain, int | float):
        _within(variable, plain)
    return _among(variable, plain)


def _typed(variable: Variable, value: Json) -> Scalar:
    boolean = isinstance(value, bool) and variable.type != "boolean"
    if not isinstance(value, _TYPES[variable.type]) or boolean or not _is_json(value):
        raise Unfit(f"not {variable.told()}")
    assert isinstance(value, str | int | float | bool)  # noqa: S101 - one of `_TYPES`
    return value


def _is_json(value: Json) -> bool:
    """Return whether every reader reads the same value: claims come from outside as well."""
    if isinstance(value, str):
        return not any("\ud800" <= character <= "\udfff" for character in value)
    if isinstance(value, int):
        return abs(value) <= json_text.MAX_SAFE_INTEGER
    return isinstance(value, float) and math.isfinite(value)


def _text(variable: Variable, text: str) -> str:
    if variable.format is not None:
        try:
            text = canonical(variable.format, text)
        except NotOfFormat as error:
            raise Unfit(f"not {error}") from error
    if variable.regex is not None and re2.fullmatch(variable.regex, text) is None:
        raise Unfit(f"it does not match {quoted(variable.regex)} as a whole")
    return text


def _within(variable: Variable, number: float) -> None:
    if variable.minimum is not None and number < variable.minimum:
        raise Unfit(f"less than `{variable.minimum}`")
    if variable.maximum is not None and number > variable.maximum:
        raise Unfit(f"more than `{variable.maximum}`")


def _among(variable: Variable, value: Scalar) -> Scalar:
    if variable.enum is not None and value not in variable.enum:
        raise Unfit("not one of the values that its `enum` lists")
    return value
