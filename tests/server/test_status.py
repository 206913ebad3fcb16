from __future__ import annotations

from google.rpc import error_details_pb2
from hypothesis import given
from hypothesis import strategies as st

from sandbox_runtime.errors import DOMAIN, TABLE, Fault, Reason, Refusal, Retry
from sandbox_runtime.server import incidents, status

TEXT = st.text(max_size=5000)
"""Lone surrogates included: a pointer may hold what a model made up."""


@given(TEXT, TEXT, TEXT, TEXT)
def test_any_refusal_fits_into_a_trailer(problem: str, pointer: str, code: str, hint: str) -> None:
    refusal = Refusal(problem, reason=Reason.RATE_LIMITED, pointer=pointer, code=code, hint=hint)
    said = status.refusal(refusal)
    percent_encoded, base64 = 3, 4 / 3
    size = len(said.message.encode()) * percent_encoded + said.ByteSize() * base64
    assert size < 8192


def test_every_reason_has_one_error_info_with_its_meaning() -> None:
    for reason, meaning in TABLE.items():
        for said in (status.refusal(Refusal("x", reason=reason)), status.fault(reason, "1")):
            info = error_details_pb2.ErrorInfo()
            assert said.details[0].Unpack(info)
            assert (info.domain, info.reason) == (DOMAIN, reason)
            assert (info.metadata["retry"], info.metadata["mender"]) == (
                meaning.retry,
                meaning.mender,
            )
            later = any(d.Is(error_details_pb2.RetryInfo.DESCRIPTOR) for d in said.details)
            assert later is (meaning.retry is Retry.LATER)


def test_the_rule_that_decided_is_not_told() -> None:
    refusal = Refusal("x", reason=Reason.TOOL_NOT_GRANTED, hint="tools/sql.yaml stays ours")
    info = error_details_pb2.ErrorInfo()
    status.refusal(refusal).details[0].Unpack(info)
    assert set(info.metadata) <= {"code", "pointer", "hint", "retry", "mender"}


def test_diagnostics_tell_our_own_words_and_no_library_s() -> None:
    try:
        try:
            dict[str, int]()["a value of the caller's"]
        except KeyError as error:
            raise Fault("the log holds a call twice") from error
    except Fault as fault:
        told = incidents.described(fault)
    assert "the log holds a call twice" in str(told)
    assert "KeyError" in str(told)
    assert "caller" not in str(told)


def test_an_exception_that_caused_itself_is_told_once() -> None:
    error = Fault("round and round")
    error.__cause__ = error
    assert len(list(incidents.described(error)["chain"])) == 1  # type: ignore[call-overload]
