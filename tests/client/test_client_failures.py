from __future__ import annotations

from datetime import timedelta

import grpc
import pytest
from google.rpc import status_pb2

from sandbox_runtime.client import (
    BrokerError,
    BrokerFault,
    BrokerUnavailable,
    CallCancelled,
    CallRefused,
    DeadlineExceeded,
    sending,
)
from sandbox_runtime.client.reading import DETAILS, failure
from sandbox_runtime.client.sending import Credentials, Patience
from sandbox_runtime.errors import TABLE, Mender, Reason, Refusal, Retry
from sandbox_runtime.server import listening, status
from sandbox_runtime.server.rates import RateLimited


def read(said: status_pb2.Status, reason: Reason) -> BrokerError:
    code = grpc.StatusCode[TABLE[reason].status]
    return failure(code, said.message, ((DETAILS, said.SerializeToString()),))


@pytest.mark.parametrize("reason", list(Reason))
def test_every_reason_that_a_broker_sends_is_read_back(reason: Reason) -> None:
    refused = Refusal("why", reason=reason, pointer="/a", code="x.y", hint="do this")
    error = read(status.refusal(refused), reason)
    assert error.reason is reason
    assert error.problem == "why"
    if isinstance(error, CallRefused):
        assert (error.pointer, error.code, error.hint) == ("/a", "x.y", "do this")
        assert (error.retry, error.mender) == (TABLE[reason].retry, TABLE[reason].mender)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAVAILABLE, BrokerUnavailable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, DeadlineExceeded),
        (grpc.StatusCode.CANCELLED, CallCancelled),
        (grpc.StatusCode.INTERNAL, BrokerFault),
        (grpc.StatusCode.UNKNOWN, BrokerFault),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, CallRefused),
        (grpc.StatusCode.UNIMPLEMENTED, CallRefused),
    ],
)
def test_a_status_that_is_not_the_broker_s_is_told_by_its_code(
    code: grpc.StatusCode, kind: type[BrokerError]
) -> None:
    error = failure(code, "said", ())
    assert type(error) is kind
    assert error.reason is None


def test_a_reason_of_a_newer_broker_is_none_that_this_client_knows() -> None:
    said = status.refusal(Refusal("why", reason=Reason.TASK_CLOSED))
    said.details[0].value = said.details[0].value.replace(b"TASK_CLOSED", b"TASK_FROZEN")
    error = read(said, Reason.TASK_CLOSED)
    assert isinstance(error, CallRefused)
    assert error.reason is None


def test_a_fault_brings_its_incident_and_nothing_else() -> None:
    error = read(status.fault(Reason.INTERNAL, "1234"), Reason.INTERNAL)
    assert isinstance(error, BrokerFault)
    assert error.incident == "1234"


def test_who_asked_too_often_is_told_when_to_come_back() -> None:
    error = read(status.refusal(RateLimited(timedelta(seconds=3))), Reason.RATE_LIMITED)
    assert isinstance(error, CallRefused)
    assert error.retry_after == timedelta(seconds=3)
    assert (error.retry, error.mender) == (Retry.LATER, Mender.AGENT)


def test_a_refusal_reads_as_one_sentence() -> None:
    refused = CallRefused(
        "no such table", reason=Reason.ARGUMENT_NOT_ALLOWED, code="sql.table", pointer="/q",
        hint="granted: `flights`",
    )  # fmt: skip
    assert str(refused) == "sql.table at `/q`: no such table; granted: `flights`"


@pytest.mark.parametrize(
    "address",
    [
        "unix:relative",
        "127.0.0.1",
        "",
        "dns:///x",
    ],
)
def test_credentials_go_to_no_other_place(address: str) -> None:
    with pytest.raises(ValueError, match="neither"):
        Credentials(token="t").secured(address)  # noqa: S106 - made up


@pytest.mark.parametrize("address", ["unix:/run/b.sock", "127.0.0.1:7443", "[::1]:7443"])
def test_what_is_local_is_reached_without_tls(address: str) -> None:
    assert Credentials().secured(address) is None


@pytest.mark.parametrize("address", ["localhost:1", "10.0.0.1:1", "[::2]:1", "broker.test:8443"])
def test_what_may_be_elsewhere_is_reached_with_tls_alone(address: str) -> None:
    assert Credentials().secured(address) is not None


def test_half_a_certificate_is_none() -> None:
    with pytest.raises(ValueError, match="go together"):
        Credentials(key="key.pem").secured("broker.test:8443")
    with pytest.raises(FileNotFoundError):
        Credentials(ca="/not/there.pem").secured("broker.test:8443")
    with pytest.raises(ValueError, match="host:port"):
        Credentials(ca="/not/there.pem").secured("unix:/run/b.sock")


def test_the_client_takes_every_answer_that_a_broker_sends() -> None:
    assert sending.MAX_ANSWER >= listening.MAX_ANSWER


def test_each_credential_has_its_own_key() -> None:
    assert Credentials().for_task(None) == ()
    shown = Credentials(token="a", on_behalf_of="agent:x")  # noqa: S106 - made up
    assert shown.for_task("b") == (
        ("authorization", "Bearer a"),
        ("on-behalf-of", "agent:x"),
        ("task-token", "b"),
    )
    assert "secret" not in repr(Credentials(token="secret"))  # noqa: S106 - made up


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_cannot_be_repeated_is_sent_once() -> None:
    patience = Patience(timeout=None, repeatable=False, clock=Clock())
    gone = BrokerUnavailable("gone")
    with pytest.raises(BrokerUnavailable):
        patience.pause_after(gone)


@pytest.mark.parametrize(
    "final",
    [
        CallRefused("no", reason=Reason.RATE_LIMITED),
        BrokerFault("no", reason=None),
        DeadlineExceeded("late"),
        BrokerUnavailable("no container", reason=Reason.SANDBOX_UNAVAILABLE),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_would_end_the_same_again_is_not_sent_again(final: BrokerError) -> None:
    patience = Patience(timeout=None, repeatable=True, clock=Clock())
    with pytest.raises(type(final)):
        patience.pause_after(final)


def test_pauses_grow_and_stay_within_the_caller_s_time() -> None:
    clock, pauses = Clock(), [0.0]
    patience = Patience(timeout=2.0, repeatable=True, clock=clock)

    def go_on() -> None:
        while (patience.left() or 0) > 0:
            pauses.append(patience.pause_after(BrokerUnavailable("gone")))
            clock.now += pauses[-1]

    with pytest.raises(BrokerUnavailable):
        go_on()
    assert pauses == sorted(pauses)
    assert 1.0 < sum(pauses) < 2.0


def test_without_a_timeout_trying_still_ends() -> None:
    clock = Clock()
    patience = Patience(timeout=None, repeatable=True, clock=clock)
    assert patience.left() is None
    patience.pause_after(BrokerUnavailable("gone"))
    clock.now = 11
    with pytest.raises(BrokerUnavailable):
        patience.pause_after(BrokerUnavailable("gone"))
