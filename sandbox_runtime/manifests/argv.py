"""Which words, and which standard input, does a program get for these arguments?

Law: a pure function of the manifest and the canonical arguments. A word is one string of
the program's argument vector; a value joins a flag, follows `--`, or is refused where it
could be taken for a flag itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox_runtime.destinations import json_text
from sandbox_runtime.destinations.contract import Objection
from sandbox_runtime.destinations.path import HERE, normal
from sandbox_runtime.manifests.command import END, Word

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sandbox_runtime.manifests.model import Program
    from sandbox_runtime.strict import Json

WORD_MAX = (1 << 17) - 1
"""Bytes of one word: the kernel's MAX_ARG_STRLEN without its closing zero (execve(2))."""
WORDS_MAX = 1 << 20
"""Bytes of all words; the kernel allows a quarter of the stack's limit, which is 8 MiB."""
WORKSPACE = "/workspace"
_LINE_ENDS = ("\n", "\r")


class NoWord(Exception):  # noqa: N818 - a verdict, turned into a refusal by policy
    """An argument's value cannot be put into words. `code` is stable: `command.dash`."""

    def __init__(self, argument: str, code: str, problem: str, hint: str | None = None) -> None:
        super().__init__(problem)
        self.argument, self.code, self.problem, self.hint = argument, code, problem, hint


@dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """What a program is started with."""

    words: tuple[str, ...]
    """The argument vector, its first word the program's path."""
    stdin: bytes = b""
    file: str | None = None
    """The file that stands for `stdin`."""


def invocation(program: Program, arguments: Mapping[str, Json]) -> Invocation:
    """Return what `program` is started with for canonical arguments; raise `NoWord`."""
    words: list[str] = []
    for each in program.argv or ():
        words.extend([each] if isinstance(each, str) else _words(each, arguments, END in words))
        if sum(len(word.encode()) + 1 for word in words) > WORDS_MAX:
            raise NoWord("", "command.too_long", "the arguments are longer than a program takes")
    stdin = program.stdin
    if stdin is None:
        return Invocation(words=tuple(words))
    if stdin.file is not None:
        path = _below(stdin.file, f"{WORKSPACE}/", str(arguments[stdin.file]))
        return Invocation(words=tuple(words), file=path)
    name = stdin.argument or ""
    return Invocation(words=tuple(words), stdin=_bytes(name, arguments[name]))


def _words(word: Word, arguments: Mapping[str, Json], ended: bool) -> Iterator[str]:  # noqa: FBT001
    value = arguments[word.argument]
    if word.choose is not None:
        yield from word.choose[str(value)]
    elif isinstance(value, bool):
        yield from [word.flag or ""] if value else []
    else:
        for item in value if isinstance(value, list) else [value]:
            yield _word(word, item, ended)


def _word(word: Word, value: Json, ended: bool) -> str:  # noqa: FBT001
    text = _text(word, value)
    if word.flag is not None:
        return _sized(
            word, f"{word.flag}={text}" if word.flag.startswith("--") else word.flag + text
        )
    if word.prefix.endswith("/"):
        return _sized(word, _below(word.argument, word.prefix, text))
    if isinstance(value, str) and text.startswith("-") and not (ended or word.prefix):
        hint = "put it into brackets, or write it in another way"
        raise NoWord(word.argument, "command.dash", "the value begins with `-`", hint)
    return _sized(word, word.prefix + text)


def _text(word: Word, value: Json) -> str:
    text = value if isinstance(value, str) else json_text.canonical(value).decode()
    if "\x00" in text:
        raise NoWord(word.argument, "command.zero", "the value holds a zero character")
    if not word.multiline and any(end in text for end in _LINE_ENDS):
        raise NoWord(word.argument, "command.line_end", "the value is more than one line")
    return text


def _below(argument: str, folder: str, text: str) -> str:
    """Return a path in a folder. Its text is in its one spelling, or nobody checked it."""
    try:
        spelt = normal(text)
    except Objection as objection:
        raise NoWord(argument, objection.code, objection.problem, objection.hint) from objection
    if spelt != text:
        raise NoWord(argument, "path.spelling", "the path is not in its one spelling")
    return folder.rstrip("/") if text == HERE else folder + text


def _sized(word: Word, text: str) -> str:
    if len(_bytes(word.argument, text)) > WORD_MAX:
        problem = f"the value has more than {WORD_MAX} bytes, the most that a word may have"
        raise NoWord(word.argument, "command.too_long", problem)
    return text


def _bytes(argument: str, value: Json) -> bytes:
    try:
        return value.encode() if isinstance(value, str) else json_text.canonical(value)
    except UnicodeEncodeError as error:
        raise NoWord(argument, "command.no_text", "the value holds half a character") from error
