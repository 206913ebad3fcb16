"""May this file leave the workspace, and as which bytes?

Law: the type that its bytes show must be the one that its name claims and one of those that may
leave; then it goes the way of its type. Texts are cleaned, JSON is printed again, images lose what
is no pixel. What is of no known type stays.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from sandbox_runtime.destinations import json_text
from sandbox_runtime.destinations.contract import Accepted, Objection, Widens
from sandbox_runtime.destinations.csv.settings import CsvSettings
from sandbox_runtime.destinations.file import binary, jpeg, png, types
from sandbox_runtime.destinations.file.types import MediaType
from sandbox_runtime.destinations.html.settings import HtmlSettings
from sandbox_runtime.destinations.model_text.characters import cleaned
from sandbox_runtime.strict import Json, Strict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox_runtime.destinations.contract import Destination

MAX_JSON_DEPTH = 64

_Way = Callable[[bytes], tuple[bytes, tuple[str, ...]]]
"""How a file leaves: its bytes as they may, and what was changed."""


class FileSettings(Strict):
    """Which files may leave. None, unless named here."""

    types: tuple[MediaType, ...] = ()
    html: HtmlSettings | None = None
    """What a page may link to and load. Left out: nothing."""
    csv: CsvSettings | None = None
    """How large a table may be, and what becomes of its formulas."""


class File:
    """The destination `file`: `{"path": …, "content": base64}` in, and out as it may leave."""

    kind: ClassVar[str] = "file"
    settings: ClassVar[type[Strict]] = FileSettings

    def __init__(self, others: Mapping[str, Destination[Any]]) -> None:
        """`others` are the destinations that clean documents, by kind: `html`, `csv`."""
        self._others = others

    def narrow(self, tool: FileSettings, grant: FileSettings) -> FileSettings:
        """Return the grant's types; raise `Widens` where the tool has fewer."""
        if not set(grant.types) <= set(tool.types):
            raise Widens(("types",), "the tool lets no such files out")
        both = {kind: self._narrowed(kind, tool, grant) for kind in _DOCUMENTS.values()}
        named = {kind: settings for kind, settings in both.items() if settings is not None}
        return FileSettings(types=grant.types, **named)

    def normalise(self, value: Json, settings: FileSettings) -> Json:
        """Return the file as it may leave."""
        return self.check(value, settings).value

    def confine(self, normal: Json, settings: FileSettings) -> Accepted:
        """Return a normal file with its type and size."""
        return self.check(normal, settings)

    def check(self, value: Json, settings: FileSettings) -> Accepted:
        """Find its type, and let it go the way of that type."""
        path, content = _read(value)
        media_type = _type(path, content, settings)
        left, changes = self._way(media_type, settings)(content)
        # What was taken out may have been what made it of this type.
        if changes and not types.agree(media_type, types.found(left)):
            raise Objection("file.type_disagrees", "cleaned, the file is of another type")
        out: Json = {"path": path, "content": base64.b64encode(left).decode("ascii")}
        return Accepted(
            value=out, facts={"media_type": media_type, "bytes": len(left)}, changes=changes
        )

    def describe(self, settings: FileSettings) -> dict[str, Json]:
        """Return which types may leave."""
        return {"description": f"Files of these types: {_names(settings)}."}

    def _narrowed(self, kind: str, tool: FileSettings, grant: FileSettings) -> Any:  # noqa: ANN401 - a kind's own
        most, wanted = getattr(tool, kind), getattr(grant, kind)
        if most is None or wanted is None:
            return wanted or most
        try:
            return self._others[kind].narrow(most, wanted)
        except Widens as widens:
            raise Widens((kind, *widens.path), widens.problem) from widens

    def _way(self, media_type: MediaType, settings: FileSettings) -> _Way:
        match media_type:
            case "text/html":
                # What leaves as a file is opened by itself, so it is a whole page.
                page = (settings.html or HtmlSettings()).model_copy(update={"page": True})
                return lambda content: self._document("html", content, page)
            case "text/csv":
                return lambda content: self._document("csv", content, settings.csv or CsvSettings())
            case _:
                return _WAYS[media_type]

    def _document(
        self, kind: str, content: bytes, settings: Strict
    ) -> tuple[bytes, tuple[str, ...]]:
        accepted = self._others[kind].check(content.decode("utf-8"), settings)
        return str(accepted.value).encode("utf-8"), accepted.changes


def _read(value: Json) -> tuple[str, bytes]:
    if not isinstance(value, dict) or value.keys() != {"path", "content"}:
        raise Objection("file.not_a_file", "this is no file: a path and its content")
    path, content = value["path"], value["content"]
    if not (isinstance(path, str) and isinstance(content, str)):
        raise Objection("file.not_a_file", "this is no file: path and content are texts")
    try:
        return path, base64.b64decode(content, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Objection("file.not_a_file", "the content is no base64") from error


def _type(path: str, content: bytes, settings: FileSettings) -> MediaType:
    claimed, shown = types.named(path), types.found(content)
    hint = f"these may leave: {_names(settings)}"
    if claimed is None or claimed not in settings.types:
        said = f"its name says {claimed}" if claimed else "its name says no type that may leave"
        problem = f"a file like this may not leave: {said}, its bytes show {shown}"
        raise Objection("file.type_not_allowed", problem, hint=hint)
    if not types.agree(claimed, shown):
        problem = f"the file's name says {claimed}, its bytes show {shown}"
        raise Objection("file.type_disagrees", problem, hint=hint)
    return claimed


def _names(settings: FileSettings) -> str:
    return ", ".join(settings.types) or "none"


def _plain(content: bytes) -> tuple[bytes, tuple[str, ...]]:
    text, counts = cleaned(content.decode("utf-8"))
    gone = counts.total()
    return text.encode("utf-8"), (f"invisible characters taken out: {gone}",) if gone else ()


def _json(content: bytes) -> tuple[bytes, tuple[str, ...]]:
    value = json_text.parse(content, max_bytes=len(content), max_depth=MAX_JSON_DEPTH)
    try:
        printed = json_text.canonical(value)
    except ValueError as error:
        raise Objection("json.number", "a number is too large to write") from error
    return printed, () if printed == content else ("printed again in its canonical form",)


def _image(clean: Callable[[bytes], tuple[bytes, int]]) -> _Way:
    def way(content: bytes) -> tuple[bytes, tuple[str, ...]]:
        left, dropped = clean(content)
        return left, (f"parts taken out that are no pixels: {dropped}",) if dropped else ()

    return way


def _framed(expect: Callable[[bytes], None]) -> _Way:
    def way(content: bytes) -> tuple[bytes, tuple[str, ...]]:
        expect(content)
        return content, ()

    return way


_DOCUMENTS: Mapping[MediaType, str] = MappingProxyType({"text/html": "html", "text/csv": "csv"})
"""Types that another destination cleans."""
_WAYS: Mapping[MediaType, _Way] = MappingProxyType(
    {
        "text/plain": _plain,
        "application/json": _json,
        "image/png": _image(png.cleaned),
        "image/jpeg": _image(jpeg.cleaned),
        "application/pdf": _framed(binary.pdf),
        "application/x-npy": _framed(binary.npy),
        "application/vnd.apache.parquet": _framed(binary.parquet),
    }
)
