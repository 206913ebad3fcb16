"""What of a tool's result may a model read?

Law: only text that a person could see, and never more than fits. A result that is too long
is refused whole: half of it would be another result.
"""

from __future__ import annotations

import math
from collections import Counter
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field

from sandbox_runtime.destinations import json_text
from sandbox_runtime.destinations.contract import Accepted, Objection, Widens
from sandbox_runtime.destinations.model_text.characters import cleaned
from sandbox_runtime.strict import Json, Strict

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_MAX_CHARS = 20_000

_NAMES: Mapping[str, str] = MappingProxyType(
    {
        "escape": "terminal escape sequences",
        "line_end": "carriage returns",
        "control": "control characters",
        "bidi": "direction controls",
        "tag": "tag characters",
        "variation": "variation selectors",
        "joiner": "joiners",
        "invisible": "invisible characters",
        "surrogate": "lone surrogates",
        "noncharacter": "noncharacters",
    }
)


class ModelTextSettings(Strict):
    """How much a model may read of one result."""

    max_chars: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    """The most characters: of a text, or of any other value written as JSON. Default 20000."""

    @property
    def cap(self) -> int:
        """The most characters, with the default filled in."""
        return DEFAULT_MAX_CHARS if self.max_chars is None else self.max_chars


class ModelText:
    """The destination `model_text`: every text of a value, keys too, is cleaned."""

    kind: ClassVar[str] = "model_text"
    settings: ClassVar[type[Strict]] = ModelTextSettings

    def narrow(self, tool: ModelTextSettings, grant: ModelTextSettings) -> ModelTextSettings:
        """Return the smaller size."""
        if grant.max_chars is not None and grant.max_chars > tool.cap:
            raise Widens(("max_chars",), f"the tool gives at most {tool.cap} characters")
        return ModelTextSettings(max_chars=tool.cap if grant.max_chars is None else grant.max_chars)

    def normalise(self, value: Json, settings: ModelTextSettings) -> Json:
        """Return `value` with everything out of its texts that cannot be seen."""
        return self.check(value, settings).value

    def confine(self, normal: Json, settings: ModelTextSettings) -> Accepted:
        """Return `normal` with its size, or object if it is too long."""
        size = _size(normal)
        if size > settings.cap:
            raise Objection(
                "model_text.too_long",
                f"the result has {size} characters, more than {settings.cap}",
                hint="ask for less: fewer rows, fewer columns, or a summary",
            )
        return Accepted(value=normal, facts={"chars": size})

    def check(self, value: Json, settings: ModelTextSettings) -> Accepted:
        """Clean `value`, and say what went out."""
        counts: Counter[str] = Counter()
        confined = self.confine(_clean(value, (), counts), settings)
        changes = tuple(
            f"{_NAMES[kind]} taken out or replaced: {n}" for kind, n in sorted(counts.items())
        )
        return Accepted(value=confined.value, facts=confined.facts, changes=changes)

    def describe(self, settings: ModelTextSettings) -> dict[str, Json]:
        """Return the size."""
        return {"description": f"At most {settings.cap} characters."}


def _clean(value: Json, path: tuple[str | int, ...], counts: Counter[str]) -> Json:
    if isinstance(value, str):
        text, found = cleaned(value)
        counts.update(found)
        return text
    if isinstance(value, dict):
        return _clean_object(value, path, counts)
    if isinstance(value, list):
        return [_clean(item, (*path, index), counts) for index, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise Objection(
            "model_text.not_json", "a number is not finite", pointer=json_text.pointer(*path)
        )
    return value


def _clean_object(
    value: dict[str, Json], path: tuple[str | int, ...], counts: Counter[str]
) -> dict[str, Json]:
    out: dict[str, Json] = {}
    for key, item in value.items():
        name, found = cleaned(key)
        counts.update(found)
        if name in out:
            raise Objection(
                "model_text.same_key",
                "two keys of one object are the same once invisible characters are out",
                pointer=json_text.pointer(*path),
            )
        out[name] = _clean(item, (*path, name), counts)
    return out


def _size(value: Json) -> int:
    if isinstance(value, str):
        return len(value)
    try:
        return len(json_text.canonical(value).decode())
    except ValueError as error:
        raise Objection("model_text.not_json", "a number is too large to write") from error
