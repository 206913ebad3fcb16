"""How is the end of a call shown, to a person and to a program?

Law: a file that an answer carried is kept under its own name only where that is a plain name.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING, Any

from sandbox_runtime.cli.output import FAILED, FAULT
from sandbox_runtime.client import Artifact, CallEnd, Outcome

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox_runtime.cli.output import Output

_FILE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_OURS = frozenset({Outcome.SANDBOX_UNAVAILABLE, Outcome.UNKNOWN})


def told(output: Output, end: CallEnd, save: Path | None = None) -> None:
    """Show how a call ended; `SystemExit` unless it ended OK. Artifacts are kept in `save`."""
    files = {one.name: _kept(save, one) for one in end.artifacts} if save is not None else {}
    output.result(document(end, files))
    show(output, end, files)
    exit_with(end)


def exit_with(end: CallEnd) -> None:
    """Raise `SystemExit` with an honest code unless the call ended OK."""
    if not end.ok:
        raise SystemExit(FAULT if end.outcome in _OURS else FAILED)


def show(output: Output, end: CallEnd, files: dict[str, str]) -> None:
    """Show a person how a call ended, and where its files are."""
    colour = "green" if end.ok else "yellow"
    took = end.wall_time.total_seconds() * 1000
    output.line(f"[bold {colour}]{end.outcome}[/] {took:.0f} ms, record {end.record} of the log")
    output.table(("changed",), [(change,) for change in end.changes])
    if end.ok:
        output.block("result", json.dumps(end.result, indent=2, ensure_ascii=False))
    elif end.error is not None:
        output.table(("code", "message"), [(end.error.code, end.error.message)])
    else:
        output.block("detail", end.detail)
    output.table(
        ("artifact", "type", "sha256", "file"),
        [
            (one.name, one.media_type, one.sha256, files.get(one.name, "not kept: no --save"))
            for one in end.artifacts
        ],
    )


def _kept(directory: Path, artifact: Artifact) -> str:
    """Write an artifact and return where. A name that could be more than a name is not used."""
    plain = _FILE_NAME.fullmatch(artifact.name) is not None
    path = directory / (artifact.name if plain else artifact.sha256.removeprefix("sha256:"))
    directory.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o644), "wb") as file:
        file.write(artifact.content)
    return str(path)


def document(end: CallEnd, files: dict[str, str]) -> dict[str, Any]:
    """Return the same for a program."""
    error = end.error
    return {
        "call_id": end.call_id,
        "outcome": str(end.outcome),
        "result": end.result,
        "tool_error": {"code": error.code, "message": error.message} if error else None,
        "detail": end.detail,
        "arguments": dict(end.arguments),
        "changes": list(end.changes),
        "grant": end.grant,
        "integrity": end.integrity,
        "confidentiality": end.confidentiality,
        "source": end.source,
        "wall_ms": end.wall_time.total_seconds() * 1000,
        "record": end.record,
        "artifacts": [
            {
                "name": one.name,
                "media_type": one.media_type,
                "sha256": one.sha256,
                "file": files.get(one.name),
            }
            for one in end.artifacts
        ],
    }
