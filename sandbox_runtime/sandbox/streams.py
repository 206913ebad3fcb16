"""What do a container's bytes say?

Law: bytes in, events out, no I/O. Every byte of both streams is counted, and a byte over
the cap is an error before it is anything else. A frame that the runner would not have
written, or a second answer, is an error; what a tool wrote is only ever data.

The outer layer is the engine's (8 bytes of head: stream, three zeros, length; Engine API,
"Attach to a container"), the inner one the runner's (see `runner`), on stream 1. Stream 2
has the runner's own last words.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson

from sandbox_runtime.sandbox import spoken as speech

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox_runtime.sandbox.plan import Spoken
    from sandbox_runtime.strict import Json

KEPT = 4096
"""Bytes that are kept of a log's beginning, and of its end."""
OUTER = 8
INNER = 4
STREAM_OUT, STREAM_ERR = 1, 2
LONGEST = 64 << 20


class OutputLimit(Exception):  # noqa: N818 - an ending of the call, not an error of ours
    """More bytes left the container than may."""


class ProtocolViolation(Exception):  # noqa: N818 - an ending of the call, not an error of ours
    """The bytes are not what the runner and one answer make."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The runner is up and the tool started."""


@dataclass(frozen=True, slots=True)
class Log:
    """The tool printed something, on its `stdout` or `stderr`."""

    stream: str
    text: bytes


@dataclass(frozen=True, slots=True)
class Progress:
    """The tool says how far it is."""

    value: Json


@dataclass(frozen=True, slots=True)
class Answer:
    """The tool's one answer: the line as it wrote it, and what it says."""

    text: bytes
    value: dict[str, Json]

    @property
    def is_error(self) -> bool:
        """The tool says that it failed."""
        return "error" in self.value


@dataclass(frozen=True, slots=True)
class Ended:
    """The tool has ended: its exit code, or minus the signal that killed it."""

    code: int


Event = Ready | Log | Progress | Answer | Ended


@dataclass(slots=True)
class Excerpt:
    """The beginning and the end of a log, for diagnosis."""

    head: bytearray = field(default_factory=bytearray)
    tail: bytearray = field(default_factory=bytearray)
    total: int = 0

    def add(self, chunk: bytes) -> None:
        """Keep of `chunk` what belongs to the beginning or, so far, to the end."""
        room = KEPT - len(self.head)
        self.head += chunk[:room]
        self.tail += chunk[room:]
        del self.tail[:-KEPT]
        self.total += len(chunk)


class Transcript:
    """Everything one container says."""

    def __init__(self, *, cap: int, spoken: Spoken | None = None) -> None:
        self.cap = cap
        self.spoken = spoken
        self.printed = bytearray()
        self.log = Excerpt()
        self.runner = Excerpt()
        self.counted = 0
        self.ready = False
        self.answer: Answer | None = None
        self.ended: Ended | None = None
        self._outer = bytearray()
        self._inner = bytearray()

    def feed(self, data: bytes) -> Iterator[Event]:
        """Take bytes as they come; yield what they complete."""
        self._outer += data
        for stream, payload in self._demultiplex():
            self.counted += len(payload)
            if self.counted > self.cap:
                self._keep_excess(payload)
                raise OutputLimit(f"more than {self.cap} bytes")
            if stream == STREAM_ERR:
                self.runner.add(payload)
            else:
                self._inner += payload
                yield from self._frames()

    def _demultiplex(self) -> Iterator[tuple[int, bytes]]:
        """Yield whole pieces of the engine's layer."""
        while len(self._outer) >= OUTER:
            size = int.from_bytes(self._outer[4:OUTER], "big")
            stream = self._outer[0]
            if stream not in (STREAM_OUT, STREAM_ERR) or any(self._outer[1:4]):
                raise ProtocolViolation("the engine's stream has an unknown head")
            if len(self._outer) < OUTER + size:
                return
            yield stream, bytes(self._outer[OUTER : OUTER + size])
            del self._outer[: OUTER + size]

    def _frames(self) -> Iterator[Event]:
        """Yield the events of whole frames."""
        while len(self._inner) >= INNER:
            size = int.from_bytes(self._inner[:INNER], "big")
            if not 0 < size <= LONGEST:
                raise ProtocolViolation("a frame of impossible length")
            if len(self._inner) < INNER + size:
                return
            frame = bytes(self._inner[INNER : INNER + size])
            del self._inner[: INNER + size]
            if self.spoken and self.ready and frame[:1] == b"O":
                self.printed += frame[1:]
            else:
                yield self._event(frame[:1], frame[1:])

    def _event(self, kind: bytes, payload: bytes) -> Event:
        """Return what one frame says."""
        match kind, self.ready:
            case b"R", False if not payload:
                self.ready = True
                return Ready()
            case ((b"O" | b"E"), True):
                return self._logged("stdout" if kind == b"O" else "stderr", payload)
            case b"A", True if not self.spoken:
                return self._said(payload)
            case b"V", True if not self.spoken:
                raise OutputLimit("an answer longer than all that may leave")
            case b"X", True if self.ended is None:
                return self._over(payload)
        raise ProtocolViolation("a frame that the runner does not write")

    def _logged(self, stream: str, payload: bytes) -> Log:
        self.log.add(payload)
        return Log(stream, payload)

    def _said(self, line: bytes) -> Progress | Answer:
        """Return what a line of the answer says."""
        if self.answer is not None:
            raise ProtocolViolation("something after the answer")
        said = parse(line)
        if "progress" in said:
            return Progress(said["progress"])
        self.answer = Answer(line, said)
        return self.answer

    def _over(self, payload: bytes) -> Ended:
        try:
            self.ended = Ended(int(payload))
        except ValueError as error:
            raise ProtocolViolation("an exit code that is no number") from error
        if self.spoken:
            self._heard(self.spoken, self.ended.code)
        return self.ended

    def _heard(self, spoken: Spoken, code: int) -> None:
        """Take what a program printed, that has ended, for its answer."""
        try:
            said = speech.answer(spoken, code, bytes(self.printed), bytes(self.log.head))
            self.answer = Answer(speech.written(said), said) if said is not None else None
        except speech.Unreadable as error:
            raise ProtocolViolation(str(error)) from error

    def _keep_excess(self, payload: bytes) -> None:
        """Keep what went over the cap, for diagnosis only."""
        self.log.add(bytes(self._inner[INNER + 1 :]) + payload)


def parse(line: bytes) -> dict[str, Json]:
    """Return one line of an answer. It is an object with `progress`, `result` or `error`."""
    try:
        said = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ProtocolViolation("an answer that is not JSON") from error
    shapes = ({"progress"}, {"result"}, {"result", "artifacts"}, {"error"})
    if not isinstance(said, dict) or set(said) not in shapes:
        raise ProtocolViolation("an answer without exactly one of progress, result, error")
    if "error" in said and not is_error(said["error"]):
        raise ProtocolViolation("an error without a code and a message")
    return said


def is_error(value: object) -> bool:
    """Say whether `value` is a tool's error: a code and a message."""
    return (
        isinstance(value, dict)
        and set(value) == {"code", "message"}
        and all(isinstance(text, str) for text in value.values())
    )
