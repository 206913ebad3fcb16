"""Which JSON value does a text hold, and which one text stands for a value?

Law: a text that two readers could understand differently holds no value. So duplicate
keys, NaN and infinities, numbers that a double cannot hold, lone surrogates and anything
but UTF-8 are refused (RFC 8259 sections 4 and 6; RFC 7493, I-JSON).
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn

import orjson

from sandbox_runtime.destinations.contract import Objection

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox_runtime.strict import Json

MAX_SAFE_INTEGER = (1 << 53) - 1
"""Whole numbers beyond it are not the same number to every reader (RFC 7493, section 2.2)."""

# Possessive: else each byte of a string is remembered to come back to, at 120 bytes of memory.
_BRACKETS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)
_SURROGATE_ESCAPE = re.compile(rb"\\u[dD][89a-fA-F]")
_LONGEST_SAFE_INTEGER = len(str(-MAX_SAFE_INTEGER))


def parse(text: bytes, *, max_bytes: int, max_depth: int) -> Json:
    """Return the value that `text` holds, or raise an `Objection` with a `json.*` code.

    `max_depth` counts open arrays and objects: a bare number has depth 0.
    """
    if len(text) > max_bytes:
        raise Objection("json.too_large", f"the text is larger than {max_bytes} bytes")
    if _depth(text) > max_depth:
        raise Objection("json.too_deep", f"the value is nested more than {max_depth} deep")
    flaws: list[_Flaw] = []
    value = _load(_decoded(text), flaws)
    if flaws or _SURROGATE_ESCAPE.search(text):
        _refuse_first_flaw(value)
    return value


def canonical(value: Json) -> bytes:
    """Return the one text of `value`: sorted keys, no spaces, UTF-8.

    `ValueError` if it has none: a lone surrogate, a whole number beyond 64 bits.
    """
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError as error:
        msg = f"no JSON text: {error}"
        raise ValueError(msg) from error


def pointer(*path: str | int) -> str:
    """Return the RFC 6901 pointer that leads along `path`."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def tokens(pointer: str) -> tuple[str, ...]:
    """Return the steps of an RFC 6901 pointer."""
    if not pointer:
        return ()
    return tuple(
        step.replace("~1", "/").replace("~0", "~") for step in pointer.removeprefix("/").split("/")
    )


def depth(value: Json) -> int:
    """Return how many arrays and objects stand inside one another, without recursion."""
    deepest, level = 0, [value]
    while level := [item for item in level if isinstance(item, dict | list)]:
        deepest += 1
        level = [
            part for item in level for part in (item.values() if isinstance(item, dict) else item)
        ]
    return deepest


@dataclass(frozen=True, slots=True)
class _Flaw:
    """Stands in a value where something stood that the grammar allows and we do not."""

    code: str
    problem: str
    subject: str | None = None


def _depth(text: bytes) -> int:
    deepest = now = 0
    for match in _BRACKETS.finditer(text):
        first = match.group()[:1]
        if first in b"[{":
            now += 1
            deepest = max(deepest, now)
        elif first in b"]}":
            now -= 1
    return deepest


def _decoded(text: bytes) -> str:
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError as error:
        before = text[: error.start]
        position = before.count(b"\n") + 1, error.start - before.rfind(b"\n")
        raise Objection("json.encoding", "the text is not UTF-8", position=position) from error


def _load(text: str, flaws: list[_Flaw]) -> Json:
    def flawed(code: str, problem: str, subject: str | None = None) -> _Flaw:
        flaws.append(flaw := _Flaw(code, problem, subject))
        return flaw

    def integer(digits: str) -> int | _Flaw:
        if len(digits) > _LONGEST_SAFE_INTEGER or abs(int(digits)) > MAX_SAFE_INTEGER:
            return flawed("json.number", "the whole number is beyond 2^53 - 1")
        return int(digits)

    def real(digits: str) -> float | _Flaw:
        number = float(digits)
        return number if math.isfinite(number) else flawed("json.number", "the number is too large")

    def constant(name: str) -> _Flaw:
        return flawed("json.number", f"{name} is not JSON")

    def members(pairs: list[tuple[str, Json]]) -> dict[str, Json] | _Flaw:
        found = dict(pairs)
        if len(found) == len(pairs):
            return found
        return flawed("json.duplicate_key", "a key stands twice in one object", _twice(pairs))

    try:
        value: Json = json.loads(
            text,
            object_pairs_hook=members,
            parse_int=integer,
            parse_float=real,
            parse_constant=constant,
        )
    except json.JSONDecodeError as error:
        raise Objection(
            "json.syntax", f"not JSON: {error.msg.lower()}", position=(error.lineno, error.colno)
        ) from error
    return value


def _twice(pairs: list[tuple[str, Json]]) -> str:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            return key
        seen.add(key)
    raise ValueError("every key stands once")


def _refuse_first_flaw(value: Json) -> None:
    for path, part in _parts(value):
        if isinstance(part, _Flaw):
            _refuse(path, part)
        if isinstance(part, str) and not _is_text(part):
            _refuse(path, _Flaw("json.surrogate", "a text holds half of a surrogate pair"))


def _parts(value: Json) -> Iterator[tuple[tuple[str | int, ...], object]]:
    """Yield every value and every key with the path of the thing that holds it."""
    waiting: list[tuple[tuple[str | int, ...], Json]] = [((), value)]
    while waiting:
        path, part = waiting.pop()
        yield path, part
        if isinstance(part, dict):
            yield from ((path, key) for key in part)
            waiting.extend(((*path, key), item) for key, item in part.items())
        elif isinstance(part, list):
            waiting.extend(((*path, index), item) for index, item in enumerate(part))


def _is_text(part: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in part)


def _refuse(path: tuple[str | int, ...], flaw: _Flaw) -> NoReturn:
    subject = flaw.subject if flaw.subject is None or _is_text(flaw.subject) else None
    where = pointer(*path) if all(_is_text(str(step)) for step in path) else ""
    raise Objection(flaw.code, flaw.problem, pointer=where, subject=subject)
