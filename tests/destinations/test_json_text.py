"""Texts that two readers could take for different values hold none."""

from __future__ import annotations

import json
import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_runtime.destinations import json_text
from sandbox_runtime.destinations.contract import Objection
from sandbox_runtime.strict import Json

FLAWED = [
    (b'{"a": 1, "a": 2}', "json.duplicate_key", "", None),
    (b'{"x": [{"a": 1, "b": 2, "a": 3}]}', "json.duplicate_key", "/x/0", None),
    (b'{"a": 1, "\\u0061": 2}', "json.duplicate_key", "", None),
    (b'{"x": {"y~/z": NaN}}', "json.number", "/x/y~0~1z", None),
    (b"[Infinity]", "json.number", "/0", None),
    (b"-Infinity", "json.number", "", None),
    (b"[1, 1e999]", "json.number", "/1", None),
    (b"[-1e999]", "json.number", "/0", None),
    (b"9007199254740992", "json.number", "", None),
    (b"-9007199254740992", "json.number", "", None),
    (b"1" * 5000, "json.number", "", None),
    (b'["\\ud800"]', "json.surrogate", "/0", None),
    (b'{"a": "\\udc00\\ud800"}', "json.surrogate", "/a", None),
    (b'{"\\udfff": 1}', "json.surrogate", "", None),
    (b'{"\\ud800": NaN}', "json.surrogate", "", None),
    (b'"\xff"', "json.encoding", "", (1, 2)),
    (b'"\xed\xa0\x80"', "json.encoding", "", (1, 2)),
    (b'[1,\n "\xc0\xaf"]', "json.encoding", "", (2, 3)),
    (b'\xef\xbb\xbf{"a": 1}', "json.syntax", "", None),
    (b"", "json.syntax", "", (1, 1)),
    (b"{'a': 1}", "json.syntax", "", (1, 2)),
    (b"[1,]", "json.syntax", "", None),
    (b"[1] [2]", "json.syntax", "", (1, 5)),
    (b"[01]", "json.syntax", "", None),
    (b"[+1]", "json.syntax", "", None),
    (b"[.5]", "json.syntax", "", None),
    (b"// x\n1", "json.syntax", "", (1, 1)),
    (b'"a\nb"', "json.syntax", "", (1, 3)),
    (b"[" * 9 + b"]" * 9, "json.too_deep", "", None),
    (b'{"a":' * 9 + b"1" + b"}" * 9, "json.too_deep", "", None),
    (b"[" * 500, "json.too_deep", "", None),
    (b'"' + b"a" * 10_000 + b'"', "json.too_large", "", None),
]


def parse(text: bytes) -> Json:
    return json_text.parse(text, max_bytes=6000, max_depth=8)


@pytest.mark.parametrize(
    ("text", "code", "pointer", "position"), FLAWED, ids=[repr(case[0][:40]) for case in FLAWED]
)
def test_a_text_that_could_be_read_in_two_ways_is_objected_to(
    text: bytes, code: str, pointer: str, position: tuple[int, int] | None
) -> None:
    with pytest.raises(Objection) as refused:
        parse(text)
    assert (refused.value.code, refused.value.pointer) == (code, pointer)
    if position is not None:
        assert refused.value.position == position


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'{"a": [1, 2.5, true, null, "x"]}', {"a": [1, 2.5, True, None, "x"]}),
        (b'"\\ud83d\\ude00"', "\U0001f600"),
        (b"9007199254740991", 9007199254740991),
        (b'"[[[[[[[[[[[["', "[[[[[[[[[[[["),
        (b'"\\"[[[[[[[[[["', '"[[[[[[[[[['),
        (b"[" * 8 + b"]" * 8, [[[[[[[[]]]]]]]]),
        (b'{"": {"": 1}}', {"": {"": 1}}),
    ],
)
def test_an_unambiguous_text_holds_its_value(text: bytes, value: Json) -> None:
    assert parse(text) == value


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-json_text.MAX_SAFE_INTEGER, json_text.MAX_SAFE_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text("ab~/é"), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(VALUES)
def test_the_canonical_text_of_a_value_holds_that_value(value: Json) -> None:
    text = json_text.canonical(value)
    assert json_text.parse(text, max_bytes=1 << 20, max_depth=64) == value
    assert json_text.canonical(json_text.parse(text, max_bytes=1 << 20, max_depth=64)) == text


@given(st.binary(max_size=60))
def test_any_bytes_are_a_value_or_objected_to(text: bytes) -> None:
    try:
        value = parse(text)
    except Objection as objection:
        assert objection.code.startswith("json.")  # noqa: PT017 - either end is right
    else:
        assert json.loads(text) == value


def test_the_key_that_stands_twice_among_many_is_found_in_linear_time() -> None:
    keys = [f"{number:05x}" for number in range(100_000)]
    text = "{" + ",".join(f'"{key}":1' for key in [*keys, keys[-1]]) + "}"
    before = time.process_time()
    with pytest.raises(Objection) as caught:
        json_text.parse(text.encode(), max_bytes=2_000_000, max_depth=8)
    assert (caught.value.code, caught.value.subject) == ("json.duplicate_key", keys[-1])
    assert time.process_time() - before < 10  # a comparison of each with each takes minutes


@pytest.mark.parametrize("text", [b"x" * (4 << 20), b"\\n" * (2 << 20)], ids=["plain", "escaped"])
def test_a_long_string_takes_no_more_than_a_few_times_its_memory(text: bytes) -> None:
    tracemalloc.start()
    try:
        json_text.parse(b'["' + text + b'"]', max_bytes=5 << 20, max_depth=2)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 8 * len(text)


def test_keys_are_sorted_and_nothing_is_spaced() -> None:
    assert json_text.canonical({"b": [1, 2.0], "a": {"é": None}}) == (
        '{"a":{"é":null},"b":[1,2.0]}'.encode()
    )


@pytest.mark.parametrize("value", ["\ud800", {"\ud800": 1}, 1 << 64])
def test_what_has_no_canonical_text_is_a_value_error(value: Json) -> None:
    with pytest.raises(ValueError, match="no JSON text"):
        json_text.canonical(value)


def test_pointers_lead_there_and_back() -> None:
    path = ("a/b", "~1", "", "0")
    assert json_text.pointer(*path) == "/a~1b/~01//0"
    assert json_text.tokens(json_text.pointer(*path)) == path
    assert json_text.tokens("") == ()
