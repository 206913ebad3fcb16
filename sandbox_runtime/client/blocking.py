"""The broker, for code that blocks.

Law: the same surface as `asynchronous`, over a channel of its own; no event loop hides here.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Literal, Self, TypeVar, overload

import grpc

from sandbox_runtime.client import output_wire, sending, wire
from sandbox_runtime.client.files_blocking import Files
from sandbox_runtime.client.reading import failure
from sandbox_runtime.client.waiting import Waiting, ended
from sandbox_runtime.v1.audit_pb2_grpc import AuditServiceStub
from sandbox_runtime.v1.broker_pb2_grpc import BrokerServiceStub

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from datetime import datetime, timedelta

    from sandbox_runtime.client.failures import BrokerError
    from sandbox_runtime.client.values import (
        CallEnd,
        CallEvent,
        CallStatus,
        CheckedOutput,
        Json,
        Model,
        ModelCall,
        OutputDefinition,
        Permission,
        Prompt,
        TaskStatus,
        ToolDefinition,
    )

A = TypeVar("A")


class Broker:
    """A connection to a broker. Threads may share it."""

    def __init__(self, channel: grpc.Channel, shown: sending.Credentials) -> None:
        """See `connect`."""
        self._channel, self._credentials = channel, shown
        self.stub = BrokerServiceStub(channel)
        self._stubs = {
            "BrokerService": self.stub,
            "AuditService": AuditServiceStub(channel),
        }

    @classmethod
    def connect(
        cls,
        address: str,
        *,
        certificate: sending.FilePath | None = None,
        key: sending.FilePath | None = None,
        ca: sending.FilePath | None = None,
        token: str | None = None,
        on_behalf_of: str | None = None,
    ) -> Self:
        """Return the broker at `unix:/path` or `host:port`. Connects with the first request.

        Beyond this machine, and wherever `certificate` or `ca` is given, over TLS: `certificate`
        and `key` say who asks, or `token` does; the broker's own certificate is checked against
        `ca`. The three are PEM files. `on_behalf_of` names for whom a delegate asks.

        Raises `ValueError` for what is no such address, and `OSError` for a file.
        """
        shown = sending.Credentials(
            certificate=certificate, key=key, ca=ca, token=token, on_behalf_of=on_behalf_of
        )
        secured = shown.secured(address)
        if secured is None:
            return cls(grpc.insecure_channel(address, sending.OPTIONS), shown)
        return cls(grpc.secure_channel(address, secured, sending.OPTIONS), shown)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Hang up; requests in flight are cancelled."""
        self._channel.close()

    def open_task(
        self,
        manifest: str,
        *,
        prompt: Sequence[Prompt] = (),
        variables: Mapping[str, Json] | None = None,
        lifetime: timedelta | None = None,
        timeout: float | None = None,
    ) -> Task:
        """Open a task; `with` closes it. Raises `BrokerError`, as every method here does."""
        asked = wire.open_task(manifest, prompt, variables or {}, lifetime)
        opened = self.send(asked, timeout=timeout)
        return Task(self, opened.id, opened.token, expires_at=opened.expires_at)

    def task(self, task_id: str, token: str) -> Task:
        """Return a task that was opened elsewhere. Asks the broker nothing."""
        return Task(self, task_id, token)

    def shown(self, task_token: str | None) -> sending.Metadata:
        """Return what says who asks, and for which task."""
        return self._credentials.for_task(task_token)

    def send(
        self, exchange: wire.Exchange[A], *, task_token: str | None = None, timeout: float | None
    ) -> A:
        """Return the answer to one request, sent again where that is safe."""
        patience = sending.Patience(
            timeout=timeout, repeatable=exchange.repeatable, clock=time.monotonic
        )
        method = getattr(self._stubs[exchange.service], exchange.method)
        metadata = self.shown(task_token)
        while True:
            try:
                answer = method(exchange.request, timeout=patience.left(), metadata=metadata)
            except grpc.RpcError as error:
                time.sleep(patience.pause_after(_failure(error)))
            else:
                return exchange.read(answer)

    def receive(
        self, exchange: wire.Exchange[A], *, task_token: str | None = None, timeout: float | None
    ) -> Generator[A, None, None]:
        """Yield the answers to one request that has many. It is never sent again."""
        method = getattr(self._stubs[exchange.service], exchange.method)
        metadata = self.shown(task_token)
        answers = method(exchange.request, timeout=timeout, metadata=metadata)
        try:
            for answer in answers:
                yield exchange.read(answer)
        except grpc.RpcError as error:
            raise _failure(error) from error
        finally:
            answers.cancel()


class Task(Files):
    """A task at the broker. Leaving its `with` block closes it."""

    def __init__(
        self, broker: Broker, task_id: str, token: str, *, expires_at: datetime | None = None
    ) -> None:
        """See `Broker.open_task` and `Broker.task`."""
        self._broker = broker
        self.id, self.token, self.expires_at = task_id, token, expires_at

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def tools(self, *, timeout: float | None = None) -> list[ToolDefinition]:
        """Return what the task may call, ready for a model's tool list."""
        tools = self._send(wire.list_tools(self.id), timeout)
        return list(tools)

    def check(
        self,
        tool: str,
        arguments: Mapping[str, Json] | str,
        *,
        timeout: float | None = None,
        model: Model | None = None,
    ) -> Permission:
        """Return how the call would run. Runs nothing; raises `CallRefused`."""
        call = wire.tool_call(secrets.token_hex(16), tool, arguments, model)
        return self._send(wire.check_call(self.id, call), timeout)

    @overload
    def call(
        self,
        tool: str,
        arguments: Mapping[str, Json] | str,
        *,
        call_id: str | None = None,
        timeout: float | None = None,
        model: Model | None = None,
        detach: Literal[False] = False,
    ) -> CallEnd: ...

    @overload
    def call(
        self,
        tool: str,
        arguments: Mapping[str, Json] | str,
        *,
        call_id: str | None = None,
        timeout: float | None = None,
        model: Model | None = None,
        detach: Literal[True],
    ) -> CallStatus: ...

    def call(
        self,
        tool: str,
        arguments: Mapping[str, Json] | str,
        *,
        call_id: str | None = None,
        timeout: float | None = None,
        model: Model | None = None,
        detach: bool = False,
    ) -> CallEnd | CallStatus:
        """Run one call and return how it ended, whatever the tool did; raise `CallRefused`.

        `arguments` as text go out as the model wrote them. The same `call_id` sent again
        returns the same end. After `timeout` seconds the container is killed.

        With `detach` it returns once the call is decided, and the call runs on whatever becomes
        of this client, until the task is closed; `wait` returns its end.
        """
        call = wire.tool_call(call_id or secrets.token_hex(16), tool, arguments, model)
        if detach:
            return self._send(wire.detach_call(self.id, call), timeout)
        return self._send(wire.call_tool(self.id, call), timeout)

    def wait(self, call_id: str, *, timeout: float | None = None) -> CallEnd:
        """Return the end of a call that runs by itself, sent by whomever; raise `CallRefused`.

        After `timeout` seconds it raises `DeadlineExceeded`, and the call runs on.
        """
        waiting = Waiting(timeout=timeout, clock=time.monotonic)
        while (end := ended(self.get(call_id, timeout=waiting.left()))) is None:
            time.sleep(waiting.pause())
        return end

    def get(self, call_id: str, *, timeout: float | None = None) -> CallStatus:
        """Return where a call stands."""
        return self._send(wire.get_call(self.id, call_id), timeout)

    def watch(self, call_id: str, *, timeout: float | None = None) -> Iterator[CallEvent]:
        """Yield what a call does, and last its end. Hanging up cancels nothing.

        Raises `CallRefused` with `WATCHER_TOO_SLOW` where more was said meanwhile than is kept.
        """
        asked = wire.watch_call(self.id, call_id)
        for event in self._broker.receive(asked, task_token=self.token, timeout=timeout):
            if event is not None:
                yield event

    def cancel(self, call_id: str, *, timeout: float | None = None) -> CallStatus:
        """Kill a call's container; return how it ended: CANCELLED, or as it had before."""
        return self._send(wire.cancel_call(self.id, call_id), timeout)

    def status(self, *, timeout: float | None = None) -> TaskStatus:
        """Return where the task stands: its life, what it used and what is left."""
        return self._send(wire.get_task(self.id), timeout)

    def extend(self, lifetime: timedelta, *, timeout: float | None = None) -> datetime:
        """Let the task live for `lifetime` from its opening; return until when it lives.

        Only who opened the task may, and no longer than its manifest allows.
        """
        self.expires_at = self._send(wire.extend_task(self.id, lifetime), timeout)
        return self.expires_at

    def add_input(self, *prompt: Prompt, timeout: float | None = None) -> int:
        """Add to what the task was asked to do; return the number of its record in the log.

        Only who opened the task may. It is sent once: after `BrokerUnavailable` nobody knows.
        """
        return self._send(wire.add_user_input(self.id, prompt), timeout)

    def record_model_call(self, call: ModelCall, *, timeout: float | None = None) -> int:
        """Record that a model was called, as claimed; return the record's number in the log."""
        return self._send(wire.record_model_call(self.id, call), timeout)

    def outputs(self, *, timeout: float | None = None) -> list[OutputDefinition]:
        """Return which final answers the task may give."""
        outputs = self._send(output_wire.list_outputs(self.id), timeout)
        return list(outputs)

    def check_output(
        self,
        output: str,
        value: Json,
        *,
        output_id: str | None = None,
        timeout: float | None = None,
        model: Model | None = None,
        as_written: bool = False,
    ) -> CheckedOutput:
        """Return a final answer as it may go out; raise `CallRefused`.

        With `as_written`, `value` is the answer's JSON text as the model wrote it. The same
        `output_id` sent again returns the same verdict and spends nothing.
        """
        asked = output_wire.check_output(
            self.id,
            output_id or secrets.token_hex(16),
            output,
            value,
            model=model,
            as_written=as_written,
        )
        return self._send(asked, timeout)

    def close(self, *, timeout: float | None = None) -> int:
        """End the task and return how many calls that cancelled. Doing it twice is fine."""
        return self._send(wire.close_task(self.id), timeout)

    def _send(self, exchange: wire.Exchange[A], timeout: float | None) -> A:
        return self._broker.send(exchange, task_token=self.token, timeout=timeout)


def _failure(error: grpc.RpcError) -> BrokerError:
    return failure(error.code(), error.details() or "", error.trailing_metadata() or ())
