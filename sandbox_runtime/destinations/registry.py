"""Which destinations are there, and what does one say of a value?

Law: `check` answers with `Accepted` or an `Objection`, whatever JSON value it is given.
Settings that cannot be read are a fault of whoever loaded them, and a `ValueError`.
"""

from __future__ import annotations

from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from sandbox_runtime.destinations import json_text
from sandbox_runtime.destinations.contract import Accepted, Destination, Objection
from sandbox_runtime.destinations.csv import Csv
from sandbox_runtime.destinations.file import File
from sandbox_runtime.destinations.html import Html
from sandbox_runtime.destinations.model_text import ModelText
from sandbox_runtime.destinations.path import Path
from sandbox_runtime.destinations.schema import Schema
from sandbox_runtime.destinations.sql import Sql

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox_runtime.strict import Json, Strict

MAX_VALUE_DEPTH = 128
"""No destination is handed a value that is nested deeper."""

DESTINATIONS: Mapping[str, Destination[Any]] = MappingProxyType(
    {
        destination.kind: destination
        for destination in (Sql(), Path(), Schema(), Html(), Csv(), ModelText())
    }
)
"""Those that manifests name, by the key under which they do."""

_ALL: Mapping[str, Destination[Any]] = MappingProxyType(
    {**DESTINATIONS, File.kind: File(DESTINATIONS)}
)
"""With that of files, which no argument and no result can be."""


def check(kind: str, value: Json, settings: Json) -> Accepted:
    """Return the canonical form of `value` for a destination, or raise its `Objection`."""
    destination = _destination(kind)
    parsed = settings_of(kind, settings)
    if json_text.depth(value) > MAX_VALUE_DEPTH:
        raise Objection(
            f"{kind}.too_complex", f"the value is nested more than {MAX_VALUE_DEPTH} deep"
        )
    try:
        return destination.check(value, parsed)
    except (RecursionError, MemoryError) as error:
        raise Objection(f"{kind}.too_complex", "the value is too complex to check") from error


def narrow(kind: str, tool: Json, grant: Json) -> Json:
    """Return the settings that are both the tool's and the grant's, or raise `Widens`."""
    return dump(_destination(kind).narrow(settings_of(kind, tool), settings_of(kind, grant)))


def settings_of(kind: str, settings: Json) -> Strict:
    """Return parsed settings: one object for one text, so that what they compile is kept."""
    _destination(kind)
    return _parsed(kind, json_text.canonical(settings))


def dump(settings: Strict) -> Json:
    """Return settings as JSON, such that `settings_of` gives them back."""
    dumped: Json = settings.model_dump(mode="json", exclude_unset=True, by_alias=True)
    return dumped


@lru_cache(maxsize=256)
def _parsed(kind: str, settings: bytes) -> Strict:
    return _ALL[kind].settings.model_validate_json(settings)


def _destination(kind: str) -> Destination[Any]:
    if kind not in _ALL:
        msg = f"no destination `{kind}`"
        raise ValueError(msg)
    return _ALL[kind]
