"""What do the pool and a worker say to each other?

Law: a frame is four bytes of length, big-endian, and that many bytes of JSON. What a
worker sends is read as strictly as a stranger's: it is one message of the shapes below,
or the worker is killed.

    pool    Job                        one at a time
    worker  Ready | Unable             once, at the start
    worker  Said …                     for each job, in the order in which `Walk` asks
    worker  Broke                      instead of the next `Said`; its last words
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING, Annotated, Final, Literal, cast

from pydantic import Field, TypeAdapter, ValidationError

from sandbox_runtime.call import Check, Finding, Objected
from sandbox_runtime.strict import Json, Strict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HEADER: Final = Struct(">I")

LastWords = Annotated[str, Field(pattern=r"^[ -~]{0,300}$")]
"""Printable ASCII: it may be shown to an operator as it is."""


class FrameError(Exception):
    """What came, or was to go, is no frame of ours."""


class Ready(Strict):
    """The worker holds no power any more, so it says; the pool looks for itself."""

    type: Literal["ready"] = "ready"


class Unable(Strict):
    """The worker cannot give up its power, and ends."""

    type: Literal["unable"] = "unable"
    step: LastWords
    problem: LastWords


class Said(Strict):
    """A destination's verdict on what was due."""

    type: Literal["said"] = "said"
    job: int
    verdict: Annotated[Finding | Objected, Field(discriminator="verdict")]


class Broke(Strict):
    """The worker failed on what was due, and ends."""

    type: Literal["broke"] = "broke"
    cause: Literal["memory", "crash"]
    what: LastWords


Message = Ready | Unable | Said | Broke

_MESSAGE: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="type")])


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One value, to be examined under each attempt's checks."""

    id: int
    value: Json
    attempts: Sequence[Sequence[Check]]


def job_body(job: Job) -> bytes:
    """Return the job as JSON. Raises `FrameError` where its value is none."""
    attempts = [[check.model_dump(mode="json") for check in checks] for checks in job.attempts]
    message = {"id": job.id, "value": job.value, "attempts": attempts}
    try:
        return json.dumps(message, allow_nan=False, separators=(",", ":")).encode("ascii")
    except (TypeError, ValueError, RecursionError) as error:
        raise FrameError("the value is not JSON") from error


def read_job(body: bytes) -> Job:
    """Return the job that the pool sent; the pool is trusted, and so the reading is plain."""
    message = json.loads(body)
    return Job(
        id=message["id"],
        value=message["value"],
        attempts=[[_check(check) for check in checks] for checks in message["attempts"]],
    )


def _check(check: Mapping[str, Json]) -> Check:
    rule = cast("Sequence[str | int]", check["rule"])
    return Check.model_validate({**check, "rule": tuple(rule)})


def read_message(body: bytes) -> Message:
    """Return what a worker said. Raises `FrameError`.

    A message has one text, the one that `message_body` writes. So what readers of JSON
    disagree about, as duplicate keys, NaN or numbers out of range, is no message.
    """
    try:
        message = _MESSAGE.validate_json(body)
    except ValidationError as error:
        raise FrameError("the worker's frame is no message") from error
    if message_body(message) != body:
        raise FrameError("the worker's frame is not written as a message is")
    return message


def message_body(message: Message) -> bytes:
    """Return the message as JSON."""
    return message.model_dump_json().encode()


def frame(body: bytes, *, max_bytes: int) -> bytes:
    """Return `body` with its length before it. Raises `FrameError` where it is too long."""
    return HEADER.pack(_length(len(body), max_bytes)) + body


def body_length(header: bytes, *, max_bytes: int) -> int:
    """Return how many bytes follow. Raises `FrameError`."""
    (length,) = HEADER.unpack(header)
    return _length(length, max_bytes)


def _length(length: int, max_bytes: int) -> int:
    if not 0 < length <= max_bytes:
        raise FrameError(f"a frame of {length} bytes; at most {max_bytes} may be")
    return length
