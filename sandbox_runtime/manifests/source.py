"""What does a YAML text say, and where does it say it?

Law: a text has one meaning, the one its reader sees. Anchors, aliases, tags, merge keys,
directives, repeated keys, invisible characters and words that readers of YAML take
differently are errors. The parser's events are turned into plain data here; the
library's own constructors never run.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, StreamMark, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    CollectionEndEvent,
    CollectionStartEvent,
    DocumentStartEvent,
    Event,
    NodeEvent,
    ScalarEvent,
    SequenceStartEvent,
)

from sandbox_runtime.manifests.problems import Problem, Where, printable, quoted
from sandbox_runtime.manifests.scalars import Ambiguous, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sandbox_runtime.strict import Json

MOST_CHARACTERS = 256 * 1024
"""The longest text that is read at all."""

DEEPEST = 32
"""Collections within collections; a manifest of ours needs about twelve."""

# INVARIANT (nothing hidden): controls, lone carriage returns, line breaks that only some
# readers take for one, marks that reorder text (CVE-2021-42574), characters of no width,
# byte order marks and halves of surrogate pairs.
_HIDDEN = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e"
    r"\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e0fff]|\r(?!\n)"
)
_LET_THROUGH = (ValueError, ArithmeticError, LookupError, AssertionError, TypeError)
"""What the scanner raises beside its own errors, on an escape beyond Unicode for example."""

_SURROGATE = re.compile(r"[\ud800-\udfff]")


class Position(NamedTuple):
    """A place in a text; both count from 1."""

    line: int
    column: int


START = Position(1, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One YAML document as plain data, and where each of its parts stands."""

    data: Json
    keys: Mapping[Where, Position]
    values: Mapping[Where, Position]

    def key_at(self, where: Where) -> Position:
        """Return where the key of `where` stands, or the nearest that holds it."""
        while where and where not in self.keys and where not in self.values:
            where = where[:-1]
        return self.keys.get(where) or self.values.get(where, START)

    def value_at(self, where: Where) -> Position:
        """Return where the value of `where` stands, or the nearest that holds it."""
        while where and where not in self.values:
            where = where[:-1]
        return self.values.get(where, START)


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """What could be read of one file: its documents, and all that is wrong with it."""

    documents: tuple[Document, ...]
    problems: tuple[Problem, ...]


def read(file: str, text: str) -> Text:
    """Return the documents of a YAML text. Those of a text with problems are not sound."""
    reader = _Reader(file=file, text=text)
    try:
        documents = tuple(reader.documents())
    except _Unreadable:
        documents = ()
    return Text(documents=documents, problems=tuple(reader.problems))


class _Unreadable(Exception):  # noqa: N818 - ends the reading of one text, nothing else
    """Nothing after this can be understood; the problem has been noted."""


@dataclass(slots=True, kw_only=True)
class _Reader:
    """Turns the events of one text into data, noting every problem on the way."""

    file: str
    text: str
    problems: list[Problem] = field(default_factory=list)
    keys: dict[Where, Position] = field(default_factory=dict)
    values: dict[Where, Position] = field(default_factory=dict)

    def documents(self) -> Iterator[Document]:
        self.refuse_unreadable()
        events = self.events()
        empty = True
        for event in events:
            if isinstance(event, DocumentStartEvent):
                self.refuse_directives(event)
            elif isinstance(event, NodeEvent):
                empty = False
                yield self.document(event, events)
        if empty:
            self.note(START, "the file holds no manifest")

    def document(self, event: NodeEvent, events: Iterator[Event]) -> Document:
        self.keys, self.values = {}, {}
        data = self.node(event, events, ())
        return Document(
            data=data, keys=MappingProxyType(self.keys), values=MappingProxyType(self.values)
        )

    def refuse_unreadable(self) -> None:
        if len(self.text) > MOST_CHARACTERS:
            self.stop(START, f"the file is longer than {MOST_CHARACTERS} characters")
        for hidden in _HIDDEN.finditer(self.text):
            code = f"U+{ord(hidden[0]):04X}"
            mend = "remove it, or write it as an escape in a double-quoted string"
            self.note(self.position(hidden.start()), f"hidden character `{code}`", mend)
        if self.problems:
            raise _Unreadable

    def events(self) -> Iterator[Event]:
        try:
            yield from YAML(typ="safe", pure=True).parse(self.text)
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self.stop(_at(mark) if mark else START, f"not YAML: {_first_line(error.problem)}")
        except (YAMLError, *_LET_THROUGH) as error:
            self.stop(START, f"not YAML: {_first_line(str(error))}")

    def refuse_directives(self, event: DocumentStartEvent) -> None:
        if event.version or event.tags:
            self.note(
                _at(event.start_mark), "a directive has no meaning here", "remove the `%` line"
            )

    def node(self, event: NodeEvent, events: Iterator[Event], where: Where) -> Json:
        self.values[where] = _at(event.start_mark)
        self.refuse_indirection(event)
        if isinstance(event, CollectionStartEvent):
            return self.collection(event, events, where)
        return self.scalar(event, where) if isinstance(event, ScalarEvent) else None

    def refuse_indirection(self, event: NodeEvent) -> None:
        at = _at(event.start_mark)
        if isinstance(event, AliasEvent):
            self.note(at, f"alias {quoted(f'*{event.anchor}')}", "write out what it stands for")
        elif event.anchor is not None:
            self.note(at, f"anchor {quoted(f'&{event.anchor}')}", "remove it; aliases are refused")
        tag = getattr(event, "tag", None)
        if tag is not None:
            written = str(tag).replace("tag:yaml.org,2002:", "!!")
            self.note(at, f"tag {quoted(written)}", "remove it; how a value is written is its type")

    def collection(
        self, event: CollectionStartEvent, events: Iterator[Event], where: Where
    ) -> Json:
        if len(where) >= DEEPEST:
            self.stop(_at(event.start_mark), f"nested deeper than {DEEPEST} levels")
        if isinstance(event, SequenceStartEvent):
            return self.sequence(events, where)
        return self.mapping(events, where)

    def sequence(self, events: Iterator[Event], where: Where) -> list[Json]:
        items: list[Json] = []
        for event in _children(events):
            items.append(self.node(event, events, (*where, len(items))))
        return items

    def mapping(self, events: Iterator[Event], where: Where) -> dict[str, Json]:
        items: dict[str, Json] = {}
        for event in _children(events):
            key = self.key(event, events, where)
            value = self.node(next(_children(events)), events, (*where, key))
            items[key] = value
        return items

    def key(self, event: NodeEvent, events: Iterator[Event], where: Where) -> str:
        """Return a mapping's next key, which is noted if it is none or stands there twice."""
        at = _at(event.start_mark)
        data = self.node(event, events, (*where, ""))
        del self.values[(*where, "")]
        if not isinstance(data, str):
            self.note(at, "a key is text", "quote it")
            return ""
        first = self.keys.setdefault((*where, data), at)
        if first != at:
            self.note(at, f"key {quoted(data)} stands here twice, first on line {first.line}")
        return data

    def scalar(self, event: ScalarEvent, where: Where) -> Json:
        word, at = str(event.value), _at(event.start_mark)
        if event.style is not None:
            return self.text_of(word, at)
        if not word:
            mend = 'write `{}`, `[]`, `""` or leave the key out'
            self.note(self.keys.get(where, at), "a value is missing here", mend)
            return None
        try:
            return plain(word)
        except Ambiguous as error:
            self.note(at, f"{quoted(word)} {error.problem}", error.mend)
            return word

    def text_of(self, word: str, at: Position) -> str:
        if _SURROGATE.search(word):
            self.note(
                at, "half of a surrogate pair is no character", "write the whole as `\\U000…`"
            )
        return word

    def position(self, offset: int) -> Position:
        before = self.text[:offset].replace("\r\n", "\n").replace("\r", "\n")
        return Position(before.count("\n") + 1, len(before) - before.rfind("\n"))

    def note(self, at: Position, message: str, mend: str = "") -> None:
        self.problems.append(
            Problem(file=self.file, line=at.line, column=at.column, message=message, mend=mend)
        )

    def stop(self, at: Position, message: str) -> None:
        self.note(at, message)
        raise _Unreadable


def _children(events: Iterator[Event]) -> Iterator[NodeEvent]:
    """Yield each child's first event until the collection ends; its rest is the caller's."""
    for event in events:
        if isinstance(event, CollectionEndEvent):
            return
        if isinstance(event, NodeEvent):
            yield event


def _at(mark: StreamMark) -> Position:
    return Position(mark.line + 1, mark.column + 1)


def _first_line(text: str | None) -> str:
    return printable((text or "it ends where more is expected").splitlines()[0])
