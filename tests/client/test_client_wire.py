from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_runtime.call import Outcome as RecordedOutcome
from sandbox_runtime.client import CallState, Model, Outcome, attached, typed, wire
from sandbox_runtime.v1 import broker_pb2 as pb

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner),
    max_leaves=10,
)


def test_every_outcome_that_can_be_recorded_reaches_the_client_by_its_name() -> None:
    for outcome in RecordedOutcome:
        number = pb.Outcome.Value(f"OUTCOME_{outcome}")
        assert wire.end(pb.CallEnd(outcome=number)).outcome == outcome.value


def test_an_outcome_of_a_newer_broker_counts_as_failed() -> None:
    end = wire.end(pb.CallEnd(outcome=99))  # type: ignore[arg-type]
    assert end.outcome is Outcome.UNSPECIFIED
    assert not end.ok


def test_a_state_of_a_newer_broker_is_not_taken_for_a_known_one() -> None:
    status = wire.get_call("t", "c").read(pb.GetCallResponse(state=99))  # type: ignore[arg-type]
    assert status.state is CallState.UNSPECIFIED
    assert (status.end, status.refusal) == (None, None)


@given(st.dictionaries(TEXT, JSON))
def test_arguments_arrive_as_they_were_given(arguments: dict[str, object]) -> None:
    call = wire.tool_call("c", "tool", arguments, None)
    assert json.loads(call.arguments_json) == arguments


def test_arguments_in_the_model_s_own_words_go_out_unchanged() -> None:
    text = '{ "a" : 1,  "a": 2 }'
    assert wire.tool_call("c", "tool", text, None).arguments_json == text


def test_what_json_cannot_say_is_the_caller_s_error() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        wire.tool_call("c", "tool", {"x": float("nan")}, None)


def test_a_task_is_asked_for_as_the_wire_has_it() -> None:
    asked = wire.open_task(
        "m", [typed("a"), attached("b")], {"n": 1}, timedelta(minutes=2, milliseconds=5)
    )
    request = asked.request
    assert isinstance(request, pb.OpenTaskRequest)
    assert [part.source for part in request.prompt] == [1, 2]
    assert request.variables_json == '{"n":1}'
    assert request.lifetime.ToTimedelta() == timedelta(minutes=2, milliseconds=5)
    assert not asked.repeatable


def test_no_lifetime_leaves_it_to_the_manifest() -> None:
    request = wire.open_task("m", [], {}, None).request
    assert isinstance(request, pb.OpenTaskRequest)
    assert not request.HasField("lifetime")


def test_a_task_s_token_does_not_show_when_it_is_printed() -> None:
    answer = pb.OpenTaskResponse(task_id="t", task_token="hunter2")  # noqa: S106 - made up
    answer.expires_at.FromSeconds(0)
    opened = wire.open_task("m", [], {}, None).read(answer)
    assert "hunter2" not in repr(opened)
    assert opened.expires_at == datetime(1970, 1, 1, tzinfo=UTC)


def test_an_end_says_all_that_the_wire_says() -> None:
    answer = pb.CallEnd(
        call_id="c",
        outcome=pb.OUTCOME_TOOL_ERROR,
        error=pb.ToolError(code="E", message="no"),
        artifacts=[pb.Artifact(name="a.png", media_type="image/png", sha256="0", content=b"x")],
        detail="d",
        arguments_json='{"a":1}',
        changes=["one", "two"],
        grant="g",
        integrity="untrusted",
        confidentiality="internal",
        source="ledger",
        record=7,
    )
    answer.wall_time.FromMilliseconds(1500)
    end = wire.end(answer)
    assert end.result is None
    assert (end.integrity, end.confidentiality, end.source) == ("untrusted", "internal", "ledger")
    assert end.error is not None
    assert (end.error.code, end.error.message) == ("E", "no")
    assert end.artifacts[0].content == b"x"
    assert end.arguments == {"a": 1}
    assert end.changes == ("one", "two")
    assert end.wall_time == timedelta(seconds=1.5)
    assert end.record == 7


def test_a_claimed_model_is_sent_whole() -> None:
    model = Model(provider="p", model="m", response_id="r", input_tokens=1, output_tokens=2)
    sent = wire.tool_call("c", "tool", {}, model).model
    assert (sent.provider, sent.model, sent.response_id) == ("p", "m", "r")
    assert (sent.input_tokens, sent.output_tokens) == (1, 2)
