"""Transcripts: what a container's bytes say."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox_runtime.sandbox.streams import (
    Answer,
    Ended,
    Event,
    Excerpt,
    Log,
    OutputLimit,
    Progress,
    ProtocolViolation,
    Ready,
    Transcript,
)
from sandbox_runtime.strict import Json

CAP = 10_000


def frame(kind: bytes, payload: bytes = b"") -> bytes:
    """As the runner writes it."""
    return (len(payload) + 1).to_bytes(4, "big") + kind + payload


def piece(payload: bytes, stream: int = 1) -> bytes:
    """As the engine passes it on."""
    return bytes([stream, 0, 0, 0]) + len(payload).to_bytes(4, "big") + payload


READY = frame(b"R")
ANSWER = frame(b"A", b'{"result": 1}')


def said(*frames: bytes, cap: int = CAP) -> list[Event]:
    return list(Transcript(cap=cap).feed(b"".join(map(piece, frames))))


def test_an_ordinary_call() -> None:
    assert said(
        READY,
        frame(b"O", b"working\n"),
        frame(b"A", b'{"progress": 0.5}'),
        frame(b"E", b"careful\n"),
        ANSWER,
        frame(b"X", b"0"),
    ) == [
        Ready(),
        Log("stdout", b"working\n"),
        Progress(0.5),
        Log("stderr", b"careful\n"),
        Answer(b'{"result": 1}', {"result": 1}),
        Ended(0),
    ]


def test_a_tool_killed_by_a_signal() -> None:
    assert said(READY, frame(b"X", b"-9")) == [Ready(), Ended(-9)]


@settings(deadline=None)
@given(cuts=st.lists(st.integers(1, 200)))
def test_how_the_bytes_are_cut_changes_nothing(cuts: list[int]) -> None:
    frames = READY + frame(b"O", b"x" * 50) + ANSWER + frame(b"X", b"0")
    stream = piece(frames[:7]) + piece(b"", 2) + piece(frames[7:])
    transcript = Transcript(cap=CAP)
    events: list[Event] = []
    for cut in [*cuts, len(stream)]:
        events += transcript.feed(stream[:cut])
        stream = stream[cut:]
    assert events == said(frames)


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_events_or_one_of_two_endings(data: bytes) -> None:
    for fed in (data, piece(data), piece(READY + data)):
        try:
            list(Transcript(cap=200).feed(fed))
        except (OutputLimit, ProtocolViolation):
            continue


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param([ANSWER], id="an answer before ready"),
        pytest.param([READY, READY], id="ready twice"),
        pytest.param([frame(b"R", b"x")], id="ready with a payload"),
        pytest.param([READY, ANSWER, ANSWER], id="two answers"),
        pytest.param([READY, ANSWER, frame(b"A", b'{"progress": 1}')], id="progress afterwards"),
        pytest.param([READY, ANSWER, frame(b"A", b"")], id="an empty line afterwards"),
        pytest.param([READY, frame(b"Z")], id="an unknown kind"),
        pytest.param([READY, b"\0\0\0\0"], id="an empty frame"),
        pytest.param([READY, b"\xff\xff\xff\xff"], id="a huge length"),
        pytest.param([READY, frame(b"X", b"zero")], id="no exit code"),
        pytest.param([READY, frame(b"X", b"0"), frame(b"X", b"0")], id="an end twice"),
        pytest.param([READY, frame(b"A", b"")], id="an empty line"),
        pytest.param([READY, frame(b"A", b"[" * 5000)], id="deep nesting"),
    ],
)
def test_what_the_runner_would_not_write_is_a_violation(frames: list[bytes]) -> None:
    with pytest.raises(ProtocolViolation):
        said(*frames)


@pytest.mark.parametrize("head", [b"\3\0\0\0", b"\0\0\0\0", b"\1\0\0\1"])
def test_an_unknown_head_of_the_engines_is_a_violation(head: bytes) -> None:
    with pytest.raises(ProtocolViolation):
        list(Transcript(cap=CAP).feed(head + b"\0\0\0\1x"))


def test_the_last_byte_under_the_cap_passes_and_the_next_does_not() -> None:
    whole = READY + ANSWER
    assert len(said(whole, cap=len(whole))) == 2
    with pytest.raises(OutputLimit):
        said(whole, cap=len(whole) - 1)


def test_both_streams_count() -> None:
    transcript = Transcript(cap=100)
    list(transcript.feed(piece(READY) + piece(b"e" * 60, 2)))
    with pytest.raises(OutputLimit):
        list(transcript.feed(piece(b"e" * 60, 2)))


def test_the_runners_own_words_are_kept_apart_from_the_tools() -> None:
    transcript = Transcript(cap=CAP)
    list(transcript.feed(piece(READY + frame(b"E", b"tool")) + piece(b"runner", 2)))
    assert (bytes(transcript.log.head), bytes(transcript.runner.head)) == (b"tool", b"runner")


def test_an_overlong_answer_is_the_output_limit() -> None:
    with pytest.raises(OutputLimit):
        said(READY, frame(b"V"))


@settings(deadline=None)
@given(st.lists(st.binary(max_size=6000), max_size=8))
def test_an_excerpt_is_the_beginning_and_the_end(chunks: list[bytes]) -> None:
    excerpt, whole = Excerpt(), b"".join(chunks)
    for chunk in chunks:
        excerpt.add(chunk)
    assert bytes(excerpt.head) == whole[:4096]
    assert bytes(excerpt.tail) == whole[4096:][-4096:]
    assert excerpt.total == len(whole)


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=9), st.lists, max_leaves=9
    )
)
def test_what_a_tool_answered_is_what_is_read(value: Json) -> None:
    line = orjson.dumps({"result": value})
    assert said(READY, frame(b"A", line), cap=1 << 20)[1] == Answer(line, {"result": value})
