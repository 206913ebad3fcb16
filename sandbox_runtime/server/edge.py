"""What does every request pass on its way in, and every answer on its way out?

Law: whatever goes wrong behind the edge leaves as a status made from the table in `errors`; no
exception's text passes. A method is served to the roles that its decorator names, and there is
no decorator without one. Who is known no more when the answer is ready gets none. A cancelled
request stays cancelled: that is what kills its container.

    authenticate → a place → role → not draining → understood → within its rate → the method

`open_requests` gives the place, before a message is waited for.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
import secrets
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import structlog

from sandbox_runtime.errors import Fault, Reason, Refusal
from sandbox_runtime.server import incidents, status, wire
from sandbox_runtime.server.caller import RoleMissing
from sandbox_runtime.server.identity import Stranger, known, on_behalf_of, task_token

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

    import grpc.aio
    from google.protobuf.message import Message
    from google.rpc import status_pb2

    from sandbox_runtime.broker import Broker
    from sandbox_runtime.filing import Filing
    from sandbox_runtime.housing import Housing
    from sandbox_runtime.ledger import Ledger
    from sandbox_runtime.server.attempts import Attempts
    from sandbox_runtime.server.auditing import Auditing
    from sandbox_runtime.server.caller import Caller, Role
    from sandbox_runtime.server.identity import Door
    from sandbox_runtime.server.rates import Buckets, InProgress
    from sandbox_runtime.tending import Tending
    from sandbox_runtime.watching import Watching

    Context = grpc.aio.ServicerContext[Any, Any]

S = TypeVar("S", bound="Service")
Q = TypeVar("Q", bound="Message")
A = TypeVar("A")

_log = structlog.get_logger("sandbox_broker.rpc")

GO_AHEAD = "go-ahead"
"""Initial metadata: what was announced is taken, the rest may come."""


@dataclass(slots=True, kw_only=True)
class Core:
    """What all listeners share."""

    broker: Broker
    tending: Tending
    housing: Housing
    watching: Watching
    ledger: Ledger
    attempts: Attempts
    subjects: Buckets
    in_progress: InProgress
    tasks: Buckets
    opening: Buckets
    auditing: Auditing
    filing: Filing
    patience: float = 15.0
    """Seconds that an answer of a stream may wait for its reader, and we for what is sent."""
    draining: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who asks, with which credential of a task."""

    caller: Caller
    token: str
    behalf: str | None = None
    """For whom it says to ask; None: for itself. Nothing is granted by saying so."""

    @property
    def subject(self) -> str:
        """The caller's name."""
        return self.caller.subject


class Service:
    """One of our services behind one door."""

    def __init__(self, core: Core, door: Door) -> None:
        self._core, self._door = core, door

    def admit(self, roles: tuple[Role, ...], request: Message | None, context: Context) -> Asked:
        """Return who asks, if the request may be looked at; raise `Refusal`."""
        metadata = context.invocation_metadata() or ()
        caller = self.known(context)
        try:
            caller.needs(*roles)
        except RoleMissing:
            self._core.attempts.count(Stranger.ROLE_MISSING)
            raise
        if self._core.draining:
            raise Refusal(status.SENTENCES[Reason.DRAINING], reason=Reason.DRAINING)
        if request is not None:
            wire.known(request)
        self._core.subjects.take(caller.subject)
        return Asked(caller=caller, token=task_token(metadata), behalf=on_behalf_of(metadata))

    def known(self, context: Context) -> Caller:
        """Return who asks; raise `Unauthenticated`, also where that changed since it asked."""
        return known(self._door, self._core.attempts, context)


def edge(
    *roles: Role,
) -> Callable[[Callable[[S, Q, Asked], Awaitable[A]]], Callable[[S, Q, Context], Awaitable[A]]]:
    """Serve a method to callers with one of `roles`.

    Nothing but answers and statuses of the table leaves it.
    """

    def guard(
        method: Callable[[S, Q, Asked], Awaitable[A]],
    ) -> Callable[[S, Q, Context], Awaitable[A]]:
        @functools.wraps(method)
        async def answer(self: S, request: Q, context: Context) -> A:
            async def do() -> A:
                said = await method(self, request, self.admit(roles, request, context))
                self.known(context)
                return said

            return await _guarded(method.__name__, do, context)

        return answer

    return guard


def stream_edge(
    *roles: Role,
) -> Callable[
    [Callable[[S, Q, Asked], AsyncGenerator[Message, None]]], Callable[[S, Q, Context], Any]
]:
    """Do the same for a method that answers again and again.

    It becomes a coroutine that writes, which grpc takes for a stream and its stubs do not know.
    Who does not take an answer in time is cut off.
    """

    def guard(
        method: Callable[[S, Q, Asked], AsyncGenerator[Message, None]],
    ) -> Callable[[S, Q, Context], Any]:
        @functools.wraps(method)
        async def answer(self: S, request: Q, context: Context) -> None:
            async def write() -> None:
                asked = self.admit(roles, request, context)
                async with aclosing(method(self, request, asked)) as answers:
                    async for each in answers:
                        self.known(context)
                        await _written(context, each, self._core.patience)

            await _guarded(method.__name__, write, context)

        return answer

    return guard


async def _written(context: Context, answer: Message, patience: float) -> None:
    try:
        async with asyncio.timeout(patience):
            await context.write(answer)
    except TimeoutError as slow:
        raise Refusal(
            f"an answer was not read within {patience:g} s",
            reason=Reason.WATCHER_TOO_SLOW,
            hint="ask again, from where you stopped, and read on",
        ) from slow


def inflow_edge(
    *roles: Role,
) -> Callable[
    [Callable[[S, AsyncIterator[Q], Asked], Awaitable[A]]],
    Callable[[S, AsyncIterator[Q], Context], Awaitable[A]],
]:
    """Do the same for a method that is sent one message after another."""

    def guard(
        method: Callable[[S, AsyncIterator[Q], Asked], Awaitable[A]],
    ) -> Callable[[S, AsyncIterator[Q], Context], Awaitable[A]]:
        @functools.wraps(method)
        async def answer(self: S, requests: AsyncIterator[Q], context: Context) -> A:
            async def do() -> A:
                asked = self.admit(roles, None, context)
                coming = _known(requests, self._core.patience, context)
                said = await method(self, coming, asked)
                self.known(context)
                return said

            return await _guarded(method.__name__, do, context)

        return answer

    return guard


async def _known(requests: AsyncIterator[Q], patience: float, context: Context) -> AsyncIterator[Q]:
    """Yield each message that comes in time and is understood; raise `Refusal` at any other.

    Whoever asks for the second has taken the first, and the other end is told to go ahead: a
    client that writes while a refusal comes may lose it (grpc.aio, `InternalError` of a write).
    """
    for at in itertools.count():
        if at == 1:
            await context.send_initial_metadata(((GO_AHEAD, "1"),))
        async with patient(patience):
            request = await anext(requests, None)
        if request is None:
            return
        wire.known(request)
        yield request


@asynccontextmanager
async def patient(seconds: float) -> AsyncIterator[None]:
    """Raise `Refusal` where the other end sends nothing for so long."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise Refusal(
            f"nothing was sent for {seconds:g} s",
            reason=Reason.TRANSFER_TOO_SLOW,
            hint="send it again, without a pause",
        ) from error


async def _guarded(method: str, doing: Callable[[], Awaitable[A]], context: Context) -> A:
    try:
        return await doing()
    except Refusal as refusal:
        said = status.refusal(refusal)
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        # Not this request's: something behind it was cancelled. Passed on, it would leave
        # the caller waiting for ever (grpc/grpc#29248).
        said = _incident(method, error)
    except Exception as error:  # noqa: BLE001 - the one edge, see the module's law
        said = _incident(method, error)
    return await status.abort(context, said)


def _incident(method: str, error: BaseException) -> status_pb2.Status:
    incident = secrets.token_hex(8)
    reason = error.reason if isinstance(error, Fault) else Reason.INTERNAL
    _log.error(
        "failed", method=method, incident=incident, reason=reason, **incidents.described(error)
    )
    return status.fault(reason, incident)
