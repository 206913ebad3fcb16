"""What may be seen of a call while it runs?

Law: a tool's log and progress are as hostile as its answer: every piece goes through
`model_text` in a validator, or stays behind. Nobody is waited for: who reads too slowly is cut
off, and neither the call nor the broker's memory notices.
"""

from __future__ import annotations

from codecs import getincrementaldecoder
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox_runtime.call import Check, Finding, Objected, Printed
from sandbox_runtime.destinations import json_text
from sandbox_runtime.destinations.contract import Objection
from sandbox_runtime.errors import Reason, Refusal
from sandbox_runtime.feed import KEPT

if TYPE_CHECKING:
    from codecs import IncrementalDecoder
    from collections.abc import AsyncGenerator, AsyncIterator, Sequence

    from sandbox_runtime.call import Utterance, Verdict
    from sandbox_runtime.deciding import Validators
    from sandbox_runtime.feed import Feed
    from sandbox_runtime.strict import Json

MAX_PROGRESS = 16 << 10
MAX_PROGRESS_DEPTH = 16

_TEXT = (Check(pointer="", kind="model_text", settings={"max_chars": KEPT}, rule=("watch",)),)


@dataclass(frozen=True, slots=True)
class Started:
    """The call runs; so many bytes of what it said are no longer kept."""

    missed_bytes: int


@dataclass(frozen=True, slots=True)
class Logged:
    """A piece of the tool's log, cleaned."""

    stream: str
    text: str


@dataclass(frozen=True, slots=True)
class Advanced:
    """How far the tool says it is, cleaned."""

    value: Json


@dataclass(frozen=True, slots=True)
class Withheld:
    """Something that the tool said and that may not be shown."""

    code: str


Seen = Started | Logged | Advanced | Withheld


class Watching:
    """Lets callers watch. `most` is how many may watch one call at a time."""

    def __init__(self, validators: Validators, *, most: int = 8) -> None:
        self._validators = validators
        self._most = most
        self._watched: dict[int, int] = {}

    async def watch(self, feed: Feed) -> AsyncGenerator[Seen, None]:
        """Yield what happens to the call until it ends; raise `Refusal`."""
        async with self._seat(feed):
            yield Started(feed.missed_bytes)
            place, reader = feed.first, _Reader()
            while (taken := await feed.take(place)) is not None:
                said, place = taken
                if (value := reader.read(said)) != "":
                    yield await self._cleaned(said, value)
                _expect_kept(feed, place)
            _expect_kept(feed, place)

    @asynccontextmanager
    async def _seat(self, feed: Feed) -> AsyncIterator[None]:
        taken = self._watched.get(id(feed), 0)
        if taken >= self._most:
            raise Refusal(
                f"{self._most} watch this call already",
                reason=Reason.RATE_LIMITED,
                hint="ask for its end with GetCall",
            )
        self._watched[id(feed)] = taken + 1
        try:
            yield
        finally:
            self._watched[id(feed)] -= 1
            if not self._watched[id(feed)]:
                del self._watched[id(feed)]

    async def _cleaned(self, said: Utterance, value: Json | Objection) -> Seen:
        if isinstance(value, Objection):
            return Withheld(value.code)
        verdict = _last(await self._validators.check_value(value, _TEXT))
        if not isinstance(verdict, Finding):
            return Withheld(verdict.code if isinstance(verdict, Objected) else "model_text.aborted")
        if isinstance(said, Printed):
            return Logged(said.stream, str(verdict.value))
        return Advanced(verdict.value)


class _Reader:
    """Reads bytes as text, across the pieces of each stream."""

    def __init__(self) -> None:
        self._decoders: dict[str, IncrementalDecoder] = {}

    def read(self, said: Utterance) -> Json | Objection:
        """Return text or progress; an `Objection` where progress cannot be read strictly."""
        if isinstance(said, Printed):
            fresh = getincrementaldecoder("utf-8")("replace")
            return self._decoders.setdefault(said.stream, fresh).decode(said.text)
        try:
            return json_text.parse(said.text, max_bytes=MAX_PROGRESS, max_depth=MAX_PROGRESS_DEPTH)
        except Objection as objection:
            return objection


def _last(verdicts: Sequence[Verdict]) -> Verdict:
    return verdicts[-1]


def _expect_kept(feed: Feed, place: int) -> None:
    if place < feed.first:
        raise Refusal(
            "the tool has said more meanwhile than is kept",
            reason=Reason.WATCHER_TOO_SLOW,
            hint="watch again for what is kept, and read faster",
        )
