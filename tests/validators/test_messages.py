from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_runtime.call import Finding
from sandbox_runtime.validators import messages
from sandbox_runtime.validators.messages import FrameError, Job, Said

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox_runtime.call import Check
    from sandbox_runtime.strict import Json

FINDING = '{"verdict":"finding","pointer":"","kind":"k","value":1,"facts":{},"changes":[]}'


def read(text: str | bytes) -> object:
    body = text if isinstance(text, bytes) else text.encode()
    return messages.read_message(body)


def test_a_job_survives_its_way_to_the_worker(check: Callable[..., Check]) -> None:
    job = Job(id=7, value={"a": ["ä", None, 1.5]}, attempts=[[check("k", "/a")], []])
    assert messages.read_job(messages.job_body(job)) == job


def test_a_verdict_survives_its_way_to_the_pool() -> None:
    finding = Finding(pointer="/a", kind="k", value=[1], facts={"n": 1}, changes=("c",))
    said = Said(job=7, verdict=finding)
    assert read(said.model_dump_json()) == said


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(JSON)
def test_every_value_has_one_text_that_is_read_as_that_value(value: Json) -> None:
    finding = Finding(pointer="", kind="k", value=value, facts={}, changes=())
    said = Said(job=1, verdict=finding)
    assert messages.read_message(messages.message_body(said)) == said


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f'{{"type":"said", "job":1,"verdict":{FINDING}}}', id="a-space"),
        pytest.param(f'{{"job":1,"type":"said","verdict":{FINDING}}}', id="another-order"),
        pytest.param(
            f'{{"type":"said","job":1,"verdict":{FINDING.replace("1", "1E2")}}}',
            id="another-spelling",
        ),
        pytest.param(f'{{"type":"said","job":1,"job":1,"verdict":{FINDING}}}', id="duplicate-key"),
        pytest.param(
            f'{{"type":"said","job":1,"verdict":{FINDING.replace("1", "NaN")}}}', id="nan"
        ),
        pytest.param(
            f'{{"type":"said","job":1,"verdict":{FINDING.replace("1", "1e999")}}}', id="infinite"
        ),
        pytest.param(
            f'{{"type":"said","job":1,"verdict":{FINDING.replace("1", "[" * 999 + "]" * 999)}}}',
            id="too-deep",
        ),
        pytest.param(f'{{"type":"said","job":"1","verdict":{FINDING}}}', id="job-as-text"),
        pytest.param(f'{{"type":"said","job":1,"verdict":{FINDING},"x":1}}', id="unknown-key"),
        pytest.param(f'{{"type":"said","job":1,"verdict":{FINDING}}}{{}}', id="two-values"),
        pytest.param(f'{{"job":1,"verdict":{FINDING}}}', id="no-type"),
        pytest.param(
            '{"type":"said","job":1,"verdict":'
            '{"verdict":"aborted","pointer":"","kind":"k","cause":"time"}}',
            id="an-abort-is-not-the-workers-to-say",
        ),
        pytest.param('{"type":"broke","cause":"time","what":""}', id="time-is-not-its-to-say"),
        pytest.param('{"type":"broke","cause":"crash","what":"\\u001b[2J"}', id="escape-sequence"),
        pytest.param(b'{"type":"re\xffady"}', id="not-utf8"),
        pytest.param('"ready"', id="not-an-object"),
        pytest.param("", id="empty"),
    ],
)
def test_anything_but_a_message_is_refused(text: str | bytes) -> None:
    with pytest.raises(FrameError):
        read(text)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1, 2}, b"x"])
def test_what_is_not_json_makes_no_job(value: object) -> None:
    with pytest.raises(FrameError):
        messages.job_body(Job(id=1, value=value, attempts=[]))  # type: ignore[arg-type]


def test_a_job_is_plain_ascii_json_whatever_its_text() -> None:
    body = messages.job_body(Job(id=1, value="\ud800\u2028ä", attempts=[]))
    assert body.isascii()
    assert json.loads(body)["value"] == "\ud800\u2028ä"


@pytest.mark.parametrize("length", [0, 11, 1 << 31])
def test_a_frame_that_is_empty_or_too_long_is_refused(length: int) -> None:
    with pytest.raises(FrameError):
        messages.body_length(length.to_bytes(4, "big"), max_bytes=10)


def test_a_frame_as_long_as_allowed_passes() -> None:
    assert messages.frame(b"x" * 10, max_bytes=10) == b"\0\0\0\x0a" + b"x" * 10
