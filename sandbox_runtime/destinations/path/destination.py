"""Which file of the workspace does a name mean?

Law: a name has one spelling, is relative, and leads only downwards. What the file system
makes of it, a link above all, is for whoever opens it: names alone are decided here.
"""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

from pydantic import AfterValidator, Field

from sandbox_runtime.destinations import json_text
from sandbox_runtime.destinations.contract import Accepted, Objection, Widens
from sandbox_runtime.destinations.model_text.characters import cleaned
from sandbox_runtime.strict import Json, Strict

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE: Final = "."
MAX_BYTES: Final = 1024
MAX_NAME_BYTES: Final = 255
MAX_DEPTH: Final = 16
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
"""Categories of characters that a reader of a list of files would not see. Some letters and
marks are not seen either; those `model_text` knows."""


def normal(text: str) -> str:
    """Return the one spelling of a name: no empty part, no `.` but alone. Idempotent."""
    unseen = any(unicodedata.category(character) in _UNSEEN for character in text)
    if unseen or cleaned(text)[0] != text:
        raise Objection("path.unseen", "the path holds a character that cannot be seen")
    if text.startswith("/"):
        raise Objection("path.absolute", "the path is absolute", hint="leave the first `/` out")
    parts = [part for part in text.split("/") if part not in ("", HERE)]
    if ".." in parts:
        raise Objection("path.upwards", "the path leads upwards by `..`")
    sizes = [len(part.encode()) for part in parts]
    if sum(sizes) + len(sizes) > MAX_BYTES or max(sizes, default=0) > MAX_NAME_BYTES:
        raise Objection("path.too_long", f"a path has {MAX_BYTES} bytes at most")
    if len(parts) > MAX_DEPTH:
        raise Objection("path.too_deep", f"a path has {MAX_DEPTH} parts at most")
    return "/".join(parts) or HERE


def _written_normal(text: str) -> str:
    try:
        same = normal(text) == text
    except Objection as objection:
        raise ValueError(objection.problem) from objection
    if not same:
        raise ValueError(f"its one spelling is `{normal(text)}`")
    return text


Folder = Annotated[str, Field(min_length=1, max_length=MAX_BYTES), AfterValidator(_written_normal)]
Suffix = Annotated[str, Field(pattern=r"^\.[A-Za-z0-9.]{1,31}$")]


class PathSettings(Strict):
    """Which names may be sent. Without a word every name below the workspace."""

    under: Annotated[tuple[Folder, ...], Field(min_length=1, max_length=64)] | None = None
    """The name is one of these, or below one of them."""
    suffixes: Annotated[tuple[Suffix, ...], Field(min_length=1, max_length=64)] | None = None
    """The name ends with one of these: `.csv`. No folder's name does."""


class Path:
    """The destination `path`: a name below the workspace, or a list of such names."""

    kind: ClassVar[str] = "path"
    settings: ClassVar[type[Strict]] = PathSettings

    def narrow(self, tool: PathSettings, grant: PathSettings) -> PathSettings:
        """Return the grant's where they lie within the tool's; raise `Widens`."""
        for index, folder in enumerate(grant.under or ()):
            if tool.under is not None and not _beneath(folder, tool.under):
                raise Widens(("under", index), "the tool's own `under` does not hold it")
        for index, suffix in enumerate(grant.suffixes or ()):
            if tool.suffixes is not None and not suffix.endswith(tool.suffixes):
                raise Widens(("suffixes", index), "the tool's own `suffixes` do not hold it")
        both = {"under": grant.under or tool.under, "suffixes": grant.suffixes or tool.suffixes}
        return PathSettings.model_validate({k: v for k, v in both.items() if v is not None})

    def normalise(self, value: Json, settings: PathSettings) -> Json:  # noqa: ARG002
        """Return each name in its one spelling."""
        if isinstance(value, list):
            return [_named(item, json_text.pointer(at)) for at, item in enumerate(value)]
        return _named(value, "")

    def confine(self, normal: Json, settings: PathSettings) -> Accepted:
        """Object to a name that the settings do not hold."""
        for pointer, name in _names(normal):
            if settings.under is not None and not _beneath(name, settings.under):
                problem, hint = "the path is not where it may be", _listed(settings.under)
                raise Objection("path.not_under", problem, pointer=pointer, hint=hint)
            if settings.suffixes is not None and not name.endswith(settings.suffixes):
                problem, hint = "the name ends with no allowed suffix", _listed(settings.suffixes)
                raise Objection("path.suffix", problem, pointer=pointer, hint=hint)
        return Accepted(value=normal)

    def check(self, value: Json, settings: PathSettings) -> Accepted:
        """Normalise, then confine."""
        spelt = self.normalise(value, settings)
        confined = self.confine(spelt, settings)
        changes = () if spelt == value else ("a path was written in its one spelling",)
        return Accepted(value=confined.value, changes=changes)

    def describe(self, settings: PathSettings) -> dict[str, Json]:
        """Return in words where it may lie and what its end may be."""
        said = ["A path relative to the workspace, without `..`."]
        if settings.under is not None:
            said.append(f"At or below {_listed(settings.under)}.")
        if settings.suffixes is not None:
            said.append(f"It ends with {_listed(settings.suffixes)}.")
        return {"description": " ".join(said)}


def _named(value: Json, pointer: str) -> str:
    if not isinstance(value, str):
        raise Objection("path.no_text", "a path is a text", pointer=pointer)
    try:
        return normal(value)
    except Objection as objection:
        objection.pointer = pointer
        raise


def _names(normal: Json) -> Iterator[tuple[str, str]]:
    each = normal if isinstance(normal, list) else [normal]
    for at, name in enumerate(each):
        yield (json_text.pointer(at) if isinstance(normal, list) else "", str(name))


def _beneath(name: str, folders: tuple[str, ...]) -> bool:
    return any(folder in (HERE, name) or name.startswith(f"{folder}/") for folder in folders)


def _listed(texts: tuple[str, ...]) -> str:
    return " or ".join(f"`{text}`" for text in texts[:12])
