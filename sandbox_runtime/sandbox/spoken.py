"""What did a program say that knows nothing of this broker?

Law: what it printed is its answer, and its exit code says whether it is one. The text is
hostile: it is read strictly, and can only ever become a value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from sandbox_runtime.destinations import json_text
from sandbox_runtime.destinations.contract import Objection

if TYPE_CHECKING:
    from sandbox_runtime.manifests.command import Failing
    from sandbox_runtime.sandbox.plan import Spoken
    from sandbox_runtime.strict import Json

DEPTH_MAX = 64


class Unreadable(Exception):  # noqa: N818 - becomes an ending of the call
    """What the program printed is not what its manifest says it prints."""


def answer(spoken: Spoken, code: int, stdout: bytes, stderr: bytes) -> dict[str, Json] | None:
    """Return the answer of a program that ended with `code`; None where it crashed.

    `stderr` is the beginning of what it complained. Raises `Unreadable`.
    """
    if code in spoken.exits.ok:
        return {"result": _value(spoken, stdout)}
    failing = next((each for each in spoken.exits.errors if each.exit == code), None)
    return None if failing is None else {"error": _error(failing, stderr)}


def _error(failing: Failing, stderr: bytes) -> dict[str, Json]:
    said = stderr[: failing.stderr].decode(errors="replace").strip()
    return {
        "code": failing.code,
        "message": f"{failing.message}: {said}" if said else failing.message,
    }


def _value(spoken: Spoken, stdout: bytes) -> Json:
    if spoken.stdout == "text":
        return stdout.decode(errors="replace")
    try:
        if spoken.stdout == "json":
            return _parsed(stdout)
        return [_parsed(line) for line in stdout.split(b"\n") if line.strip()]
    except Objection as objection:
        raise Unreadable(objection.problem) from objection


def _parsed(text: bytes) -> Json:
    return json_text.parse(text, max_bytes=len(text), max_depth=DEPTH_MAX)


def written(said: dict[str, Json]) -> bytes:
    """Return an answer as the line that a tool of ours would have written."""
    try:
        return orjson.dumps(said)
    except orjson.JSONEncodeError as error:
        raise Unreadable("a value that JSON does not carry") from error
