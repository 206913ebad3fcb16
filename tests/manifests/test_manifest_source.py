"""What YAML may say, and what it is told when it says something else."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from sandbox_runtime.manifests.source import DEEPEST, MOST_CHARACTERS, Position, read


def said(text: str) -> str:
    return "\n".join(str(problem) for problem in read("f.yaml", text).problems)


def test_plain_data_comes_out_as_it_reads() -> None:
    text = "a: [1, -2, 0.5, true, false, null, word, 'yes', \"1\"]\nb: {c: d e, f: |\n  x\n}\n"
    (document,) = read("f.yaml", text.replace("|\n  x\n", "x")).documents
    assert document.data == {
        "a": [1, -2, 0.5, True, False, None, "word", "yes", "1"],
        "b": {"c": "d e", "f": "x"},
    }


def test_every_key_and_value_knows_its_line_and_column() -> None:
    (document,) = read("f.yaml", "a:\n  - b: 1\n    c: [x, y]\n").documents
    assert document.key_at(("a", 0, "c")) == Position(3, 5)
    assert document.value_at(("a", 0, "c")) == Position(3, 8)
    assert document.value_at(("a", 0, "c", 1)) == Position(3, 12)
    assert document.key_at(("a", 0, "c", 1)) == Position(3, 12)


def test_a_path_that_is_not_written_is_looked_for_at_what_holds_it() -> None:
    (document,) = read("f.yaml", "a:\n  b: {}\n").documents
    assert document.key_at(("a", "b", "c", 0)) == Position(2, 3)
    assert document.value_at(("a", "b", "c", 0)) == Position(2, 6)
    assert document.key_at(("z",)) == Position(1, 1)


def test_a_file_may_hold_several_documents_each_with_its_own_lines() -> None:
    first, second = read("f.yaml", "a: 1\n---\na: 2\n").documents
    assert (first.data, second.data) == ({"a": 1}, {"a": 2})
    assert second.key_at(("a",)) == Position(3, 1)


AMBIGUOUS = [
    *[(word, "true", "`true`") for word in ("y", "Y", "yes", "Yes", "on", "ON", "True", "TRUE")],
    *[(word, "false", "`false`") for word in ("n", "N", "no", "NO", "off", "Off", "False")],
]


@pytest.mark.parametrize(("word", "reading", "mend"), AMBIGUOUS, ids=[w for w, _, _ in AMBIGUOUS])
def test_a_word_that_yaml_1_1_reads_as_a_truth_value_is_refused(
    word: str, reading: str, mend: str
) -> None:
    assert said(f"country: {word}\n") == (
        f"f.yaml:1:10: `{word}` is {reading} to some readers of YAML and text to others; "
        f"quote it to mean text, or write {mend}"
    )


@pytest.mark.parametrize(
    ("word", "reading"),
    [
        ("012", "an octal number"),
        ("0o14", "an octal number"),
        ("0x1F", "a hexadecimal number"),
        ("0b101", "a binary number"),
        ("1_000", "a number"),
        ("+1", "a number"),
        ("1.", "a number"),
        (".5", "a number"),
        ("1e3", "a number"),
        ("685.230_15e+03", "a number"),
        ("22:22", "a number of base 60"),
        ("190:20:30", "a number of base 60"),
        (".inf", "a number that is none"),
        (".NaN", "a number that is none"),
        ("2001-12-14", "a timestamp"),
        ("2001-12-14t21:59:43.10-05:00", "a timestamp"),
        ("~", "null"),
        ("Null", "null"),
        ("=", "a default value"),
    ],
)
def test_a_word_that_readers_of_yaml_take_differently_is_refused(word: str, reading: str) -> None:
    problem = f"f.yaml:1:4: `{word}` is {reading} to some readers of YAML and text to others; "
    assert said(f"a: {word}\n").startswith(problem)


@pytest.mark.parametrize("word", ["012", "NO", "1_000", "22:22", "2001-12-14", "~", "<<", "="])
def test_a_quoted_word_is_its_text(word: str) -> None:
    (document,) = read("f.yaml", f"a: '{word}'\n").documents
    assert document.data == {"a": word}


@pytest.mark.parametrize("word", ["10s", "1.2.0", "128Mi", "nobody", "1.2.3.4", "a:b", "-", "e1"])
def test_a_word_that_nobody_reads_otherwise_needs_no_quotes(word: str) -> None:
    text = read("f.yaml", f"a: x{word}\nb: [{word if word != '-' else 'x'}]\n")
    assert text.problems == ()


@given(
    st.from_regex(r"[A-Za-z0-9_.+~=<-]([A-Za-z0-9_.:+~=<-]{0,12}[A-Za-z0-9_.])?", fullmatch=True)
)
def test_a_word_that_passes_means_the_same_in_yaml_1_1_and_1_2(word: str) -> None:
    text = read("f.yaml", f"a: {word}\n")
    if text.problems:
        return
    for version in ((1, 1), (1, 2)):
        yaml = YAML(typ="safe", pure=True)
        yaml.version = version
        assert text.documents[0].data == yaml.load(f"a: {word}\n")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: 2\na: 3\n", "3:1: key `a` stands here twice, first on line 1"),
        ("{a: 1, 'a': 2}\n", "1:8: key `a` stands here twice, first on line 1"),
        ("a: &x 1\n", "1:4: anchor `&x`; remove it; aliases are refused"),
        ("a: *x\n", "1:4: alias `*x`; write out what it stands for"),
        ("a: !!int 3\n", "1:4: tag `!!int`; remove it; how a value is written is its type"),
        ("a: !x 3\n", "1:4: tag `!x`; remove it; how a value is written is its type"),
        (
            "<<: {a: 1}\n",
            ("1:1: `<<` is a merge key to some readers of YAML and text to others; "
            "write out what it would merge"),
        ),
        ("%YAML 1.1\n---\na: b\n", "2:1: a directive has no meaning here; remove the `%` line"),
        ("1: a\n", "1:1: a key is text; quote it"),
        ("? [a]\n: b\n", "1:3: a key is text; quote it"),
        (
            "a:\nb: 1\n",
            '1:1: a value is missing here; write `{}`, `[]`, `""` or leave the key out',
        ),
        ("", "1:1: the file holds no manifest"),
        ("# nothing\n", "1:1: the file holds no manifest"),
        ("a: [1\n", "2:1: not YAML: expected ',' or ']', but got '<stream end>'"),
        ("a: b: c\n", "1:5: not YAML: mapping values are not allowed here"),
        (
            'a: "\\ud800"\n',
            "1:4: half of a surrogate pair is no character; write the whole as `\\U000…`",
        ),
        ("a: 1234567890123456\n", ("1:4: `1234567890123456` is a number of more than 15 digits; "
         "quote it to mean text, or write fewer digits")),
    ],
)  # fmt: skip
def test_what_has_no_plain_meaning_is_refused_where_it_stands(text: str, problem: str) -> None:
    assert said(text) == f"f.yaml:{problem}"


@pytest.mark.parametrize(
    "code",
    [
        *(0x00, 0x0D, 0x1B, 0x7F, 0x85),  # controls
        *(0xAD, 0x200B, 0xFEFF, 0xE0041),  # no width
        *(0x2028, 0x200E, 0x202E, 0x2066),  # breaks and directions
        0xD800,  # half a character
    ],
    ids=lambda code: f"U+{code:04X}",
)
def test_a_character_that_nobody_sees_is_refused(code: int) -> None:
    assert said(f"a: b\nc: d{chr(code)}e\n") == (
        f"f.yaml:2:5: hidden character `U+{code:04X}`; "
        "remove it, or write it as an escape in a double-quoted string"
    )


def test_lines_may_end_as_on_windows() -> None:
    assert read("f.yaml", "a: 1\r\nb: 2\r\n").documents[0].data == {"a": 1, "b": 2}


def test_all_problems_of_a_file_are_told_at_once() -> None:
    assert said("a: NO\nb: &x 1\nc: *x\n").count("\n") == 2


def test_nesting_ends_before_it_costs_anything() -> None:
    assert said("[" * 100_000) == f"f.yaml:1:{DEEPEST + 1}: nested deeper than {DEEPEST} levels"


def test_a_long_text_is_not_read() -> None:
    text = "a: b\n" * MOST_CHARACTERS
    assert said(text) == f"f.yaml:1:1: the file is longer than {MOST_CHARACTERS} characters"


YAMLISH = st.lists(
    st.sampled_from(
        [
            *("a", "1", "NO", "<<", "FFFFFFFF", ": ", "\n", "  ", "\t", "- ", "? ", ", ", "#"),
            *("[", "]", "{", "}", "'", '"', "|", ">", "\\", "\\x", "\\U"),
            *("&x", "*x", "!", "!!int ", "%", "---\n", "...\n"),
        ]
    )
).map("".join)


@given(st.one_of(st.text(), YAMLISH))
def test_any_text_is_read_or_its_problems_are_told(text: str) -> None:
    read_text = read("f.yaml", text)
    assert read_text.documents or read_text.problems
    for problem in read_text.problems:
        assert str(problem).isprintable()
        assert problem.line >= 1
        assert problem.column >= 1


BASIC_PLANE = st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"])
"""JSON writes the others as two escapes, and YAML takes those for two characters."""


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(10**14), 10**14) | st.text(BASIC_PLANE),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text(BASIC_PLANE, max_size=5), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_json_is_read_as_the_json_it_is(value: object) -> None:
    text = json.dumps({"a": value})
    (document,) = read("f.yaml", text).documents
    assert document.data == {"a": value}
