"""What a model reads, a person could have read."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox_runtime.destinations import registry
from sandbox_runtime.destinations.contract import Objection, Widens
from sandbox_runtime.strict import Json


def clean(value: Json) -> Json:
    return registry.check("model_text", value, {}).value


HIDDEN = [
    pytest.param("a\x1b[31mred\x1b[0m", "ared", id="colours"),
    pytest.param("a\x1b]8;;http://evil\x1b\\link\x1b]8;;\x07b", "alinkb", id="terminal link"),
    pytest.param("a\x1b]0;title\x07b", "ab", id="window title"),
    pytest.param("a\x9b31mb", "ab", id="single-byte CSI"),
    pytest.param("a\x1bPdevice\x1b\\b", "ab", id="device control string"),
    pytest.param("a\x1b(0b", "ab", id="character set"),
    pytest.param("a\x1b]never closed", "a]never closed", id="an open escape keeps its text"),
    pytest.param("a\x1b\x1b[[31m31mb", "a31m31mb", id="escape inside escape"),
    pytest.param("a\x00\x07\x08\x7f\x85b", "ab", id="controls"),
    pytest.param("a\r\nb\rc\nd\te", "a\nb\nc\nd\te", id="line ends"),
    pytest.param("a\u202eb\u2066c\u2069\u200f", "abc", id="direction"),
    pytest.param(
        "a" + "".join(chr(0xE0000 + ord(c)) for c in "ignore") + "b", "ab", id="tag smuggling"
    ),
    pytest.param("a\ufe01\ufe0f\U000e0101\U000e01efb", "ab", id="variation selector smuggling"),
    pytest.param("a\u200b\u2060\ufeff\u00ad\u3164\u115f\u2064b", "ab", id="zero width"),
    pytest.param("a\u200db\u200c", "ab", id="joiners between Latin letters"),
    pytest.param(
        "\U0001f600\u200d\u200d\U0001f600", "\U0001f600\u200d\U0001f600", id="two joiners are one"
    ),
    pytest.param("a\ud800b\udfff", "ab", id="lone surrogates"),
    pytest.param("a\ufdd0\ufffe\U0010ffffb", "ab", id="noncharacters"),
    pytest.param("a\u2028b", "a\u2028b", id="a visible line break stays"),
]

LAWFUL = [
    "plain text, Ünïcode, 日本語, עברית, العربية",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467",
    "\U0001f469\U0001f3fd\u200d\U0001f4bb",
    "\u2764\ufe0f\u200d\U0001f525",
    "1\ufe0f\u20e3 \u00a9\ufe0f \u2714\ufe0e",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "क्\u200dष",
    "e\u0301 and \u00e9",
]


@pytest.mark.parametrize(("text", "left"), HIDDEN)
def test_what_cannot_be_seen_goes_out(text: str, left: str) -> None:
    assert clean(text) == left


@pytest.mark.parametrize("text", LAWFUL)
def test_what_a_script_or_an_emoji_needs_stays(text: str) -> None:
    assert clean(text) == text


def test_texts_are_cleaned_wherever_they_stand() -> None:
    assert clean({"a\u200b": ["x\x00", {"b": "\u202ey"}], "n": 1.5}) == {
        "a": ["x", {"b": "y"}],
        "n": 1.5,
    }


def test_changes_are_counted_by_class() -> None:
    accepted = registry.check("model_text", "\x1b[1m\u200b\u200b\x00", {})
    assert accepted.changes == (
        "control characters taken out or replaced: 1",
        "terminal escape sequences taken out or replaced: 1",
        "invisible characters taken out or replaced: 2",
    )
    assert accepted.facts == {"chars": 0}
    assert registry.check("model_text", "plain", {}).changes == ()


def test_keys_that_become_one_are_objected_to() -> None:
    with pytest.raises(Objection) as refused:
        clean({"x": [{"a": 1, "a\u200b": 2}]})
    assert (refused.value.code, refused.value.pointer) == ("model_text.same_key", "/x/0")


def test_a_long_result_is_refused_and_never_cut() -> None:
    settings: Json = {"max_chars": 10}
    assert registry.check("model_text", "a" * 10 + "\u200b" * 50, settings).value == "a" * 10
    too_long: list[Json] = ["a" * 11, ["a" * 7], {"a" * 6: 1}, [*range(10)]]
    for value in too_long:
        with pytest.raises(Objection) as refused:
            registry.check("model_text", value, settings)
        assert refused.value.code == "model_text.too_long"


def test_the_size_is_the_smaller_one() -> None:
    assert registry.narrow("model_text", {"max_chars": 10}, {"max_chars": 5}) == {"max_chars": 5}
    assert registry.narrow("model_text", {"max_chars": 10}, {}) == {"max_chars": 10}
    assert registry.narrow("model_text", {}, {}) == {"max_chars": 20_000}
    with pytest.raises(Widens):
        registry.narrow("model_text", {}, {"max_chars": 20_001})


@pytest.mark.parametrize("unit", ["\u200b", "\x1b[", "\x1b]", "\u200d", "\x1b", "a\u200b", "\r"])
def test_a_megabyte_of_one_character_takes_no_time(unit: str) -> None:
    started = time.monotonic()
    registry.check("model_text", unit * (1_000_000 // len(unit)), {"max_chars": 10_000_000})
    assert time.monotonic() - started < 10


ODD_CHARACTERS = [
    *"a1#[]mP\\0;\r\n\t\x07\x1b\x9b\x9c\x00\u200d\u200c\ufe0f\u200b\ud83d\u2764\u20e3",
    *"\u0645\u0915\u094d\U0001f469\U0001f3fd\U000e0061",
]
ODD = st.sampled_from(ODD_CHARACTERS)
TEXTS = st.text() | st.lists(ODD, max_size=12).map("".join)
ANY = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=10,
)


@settings(max_examples=500)
@given(ANY)
def test_cleaning_twice_changes_nothing(value: Json) -> None:
    try:
        once = clean(value)
    except Objection as objection:
        assert objection.code.startswith("model_text.")  # noqa: PT017 - either end is right
        return
    again = registry.check("model_text", once, {})
    assert (again.value, again.changes) == (once, ())
