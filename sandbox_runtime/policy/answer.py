"""What did the tool say?

Law: a tool's answer is hostile input. It is one JSON object of the shape the contract
names, or it is invalid; nothing in it is repaired.
"""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, ValidationError

from sandbox_runtime.call import Artifact, Check, ToolError
from sandbox_runtime.destinations import json_text
from sandbox_runtime.destinations.contract import Objection
from sandbox_runtime.destinations.registry import dump
from sandbox_runtime.strict import Json, Strict

if TYPE_CHECKING:
    from sandbox_runtime.manifests.model import Artifacts, Tool

MAX_ANSWER_DEPTH = 64

_SIGNATURES = MappingProxyType({"image/png": b"\x89PNG\r\n\x1a\n"})
"""First bytes that a media type must show. Types without one are text, and must be UTF-8."""


class _File(Strict):
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
    type: str
    data: str


class _Answer(Strict):
    result: Json = None
    error: ToolError | None = None
    artifacts: tuple[_File, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolAnswer:
    """A well-formed answer: a result with its artifacts, or an error."""

    result: Json
    error: ToolError | None
    artifacts: tuple[Artifact, ...]


@dataclass(frozen=True, slots=True)
class Invalid:
    """No answer of the contract's shape, and what is wrong with it."""

    problem: str


def read_answer(text: bytes, tool: Tool) -> ToolAnswer | Invalid:
    """Return what the tool answered, read strictly.

    `text` is one JSON object with exactly one of `result` and `error`; beside a result
    `artifacts` may stand, each of a type and size that the tool's manifest names.
    """
    try:
        most = tool.spec.sandbox.output
        value = json_text.parse(text, max_bytes=most, max_depth=MAX_ANSWER_DEPTH)
        answer = _Answer.model_validate_json(json_text.canonical(value))
    except (Objection, ValidationError):
        return Invalid("the tool's answer is not of the contract's shape")
    if ("result" in answer.model_fields_set) == (answer.error is not None):
        return Invalid("the tool's answer has not exactly one of `result` and `error`")
    if answer.error is not None and answer.artifacts:
        return Invalid("the tool's answer has artifacts beside an error")
    artifacts = _artifacts(answer.artifacts, tool.spec.result.artifacts)
    if isinstance(artifacts, Invalid):
        return artifacts
    return ToolAnswer(result=answer.result, error=answer.error, artifacts=artifacts)


def _artifacts(files: tuple[_File, ...], allowed: Artifacts) -> tuple[Artifact, ...] | Invalid:
    if len(files) > allowed.max_count:
        return Invalid("the tool's answer carries more artifacts than its manifest allows")
    read = [_artifact(file, allowed) for file in files]
    if (wrong := next((a for a in read if isinstance(a, Invalid)), None)) is not None:
        return wrong
    return tuple(artifact for artifact in read if isinstance(artifact, Artifact))


def _artifact(file: _File, allowed: Artifacts) -> Artifact | Invalid:
    if file.type not in allowed.types:
        return Invalid("an artifact's type is not one that the tool's manifest allows")
    try:
        content = base64.b64decode(file.data, validate=True)
    except binascii.Error:
        return Invalid("an artifact is not base64")
    if len(content) > allowed.max_bytes:
        return Invalid("an artifact is larger than the tool's manifest allows")
    if not _agrees(content, file.type):
        return Invalid("an artifact's bytes are not of the type it claims")
    return Artifact(
        name=file.name,
        media_type=file.type,
        sha256=sha256(content).hexdigest(),
        content=base64.b64encode(content).decode("ascii"),
    )


def _agrees(content: bytes, media_type: str) -> bool:
    signature = _SIGNATURES.get(media_type)
    if signature is not None:
        return content.startswith(signature)
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def answer_checks(answer: ToolAnswer, tool: Tool) -> tuple[Json, tuple[Check, ...]]:
    """Return the value that goes to the model, and its way through the destinations.

    The model's context is always the last of them, whether the manifest names it or not.
    """
    named = {kind: dump(settings) for kind, settings in tool.spec.result.checks()}
    text = Check(
        pointer="",
        kind="model_text",
        settings=named.pop("model_text", {}),
        rule=("spec", "result", "model_text"),
    )
    if answer.error is not None:
        return answer.error.model_dump(mode="json"), (text,)
    checks = tuple(
        Check(pointer="", kind=kind, settings=settings, rule=("spec", "result", kind))
        for kind, settings in named.items()
    )
    return answer.result, (*checks, text)
