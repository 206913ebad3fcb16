"""What does each word mean that may stand where a manifest offers a choice?

Law: a sentence a word, the same for every editor; a choice is told whole or not at all.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_MEANINGS: Mapping[str, str] = MappingProxyType(
    {
        # an argument's role
        "control": "It decides what happens: every grant has to name it.",
        "content": "It is carried along: a grant may leave it at the tool's bounds.",
        # JSON's types
        "string": "Text.",
        "integer": "A whole number.",
        "number": "A number, whole or not.",
        "boolean": "`true` or `false`.",
        "array": "A list.",
        "object": "Keys and their values.",
        # a result's labels
        "trusted": "It may steer what happens next.",
        "untrusted": "It may hold instructions of a stranger, and steers nothing.",
        "public": "Anybody may know it.",
        "internal": "The organisation may know it.",
        "confidential": "Those who work with it may know it.",
        "restricted": "Those who are named may know it.",
        # a variable's source and format
        "opener": "Whoever opens the task brings it.",
        "identity_claim": "A claim of the opener's authenticated identity; nobody brings another.",
        "date": "A day, like 2026-11-21.",
        "date-time": "A time with its offset, like 2026-11-21T05:30:00Z.",
        "email": "A mailbox, like ada@example.com; its host in lower case.",
        "hostname": "A host's name, like reports.example.com; in lower case.",
        "uri": "An http or https address, without a user or a way up.",
        "uuid": "A UUID, in lower case.",
        # a tool's program
        "stdio": "One JSON object on standard input, JSON lines on file descriptor 3.",
        "command": "A program that knows nothing of this; `argv` lays out its words.",
        "read_only": "It reads the task's files at `/workspace`.",
        "read_write": "It reads and writes the task's files at `/workspace`.",
        # a case's verdict
        "permitted": "The call may run.",
        "refused": "The call does not run.",
    }
)


def meanings(words: Iterable[object]) -> list[str] | None:
    """Return what each of these words means, or None where that is not said of all of them."""
    told = [_MEANINGS.get(word) if isinstance(word, str) else None for word in words]
    known = [meaning for meaning in told if meaning is not None]
    return known if known and len(known) == len(told) else None
