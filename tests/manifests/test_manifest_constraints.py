"""A constraint that cannot be meant is told at its place, however deep it stands."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sandbox_runtime.manifests.loader import load_texts
from sandbox_runtime.manifests.problems import ManifestErrors

Told = Callable[..., str]

TITLE = "{exact: $word}"
LIMIT = "{range: {min: 1, max: 50}}"
LIMIT_LINE = "        limit: {range: {min: 1, max: 50}}\n"

MANY = ", ".join(["{exact: 1}"] * 32)

WRONG = {
    "an exclusion beyond the tool's": (
        ("[north, south]}", "[north, south], not_one_of: [west]}"),
        ('24:55: the string `west` is beyond what the tool\'s argument may be: "west" is not '
        'one of "north", "south" or "east"; the tool\'s bounds hold for every grant'),
    ),
    "an exclusion of a list": (
        (LIMIT_LINE, LIMIT_LINE + "        tags: {not_one_of: [a]}\n"),
        "23:16: `not_one_of` means nothing for an argument of type `array`; remove it",
    ),
    "a subset of no list": (
        (LIMIT, "{subset: [1]}"),
        "22:17: `subset` means nothing for an argument of type `integer`; remove it",
    ),
    "items of no list": (
        (LIMIT, "{each: {exact: 1}}"),
        "22:17: `each` means nothing for an argument of type `integer`; remove it",
    ),
    "a subset of another type": (
        (LIMIT_LINE, LIMIT_LINE + "        tags: {subset: [a, 5]}\n"),
        ("23:28: the integer `5` is beyond what the tool's item may be: "
        '5 is not of type "string"; the tool\'s bounds hold for every grant'),
    ),
    "a variable of another type among items": (
        (LIMIT_LINE, LIMIT_LINE + "        tags: {subset: [a, $tenant]}\n"),
        "23:28: variable `tenant` is of type `integer`, the tool's item of type `string`",
    ),
    "a range of items that are text": (
        (LIMIT_LINE, LIMIT_LINE + "        tags: {each: {range: {max: 3}}}\n"),
        "23:23: `range` means nothing for an argument of type `string`; remove it",
    ),
    "an empty list": (
        ("[north, south]}", "[north, south], any_of: []}"),
        "24:50: expected at least 1 entry, found a list",
    ),
    "an alternative that says nothing": (
        ("[north, south]}", "[north, south], any_of: [{exact: north}, {}]}"),
        "24:67: says nothing, so everything would meet it",
    ),
    "a range beyond the tool's, within": (
        (LIMIT, "{all_of: [{range: {max: 9}}, {range: {max: 2000}}]}"),
        "22:59: `2000` is more than the tool's most, `1000`",
    ),
    "a pattern that RE2 does not read, within": (
        ('{regex: "(?s).*plot.*"}', '{any_of: [{all_of: [{regex: "(?=plot)"}]}]}'),
        ("29:43: RE2 does not read `(?=plot)`: invalid perl operator: (?=; "
        "RE2 has no look-around and no back-references"),
    ),
    "too deep": (
        (LIMIT, "{any_of: [{any_of: [{any_of: [{any_of: [{exact: 1}]}]}]}]}"),
        "22:56: constraints are nested deeper than 4 levels",
    ),
    "too many": (
        (LIMIT, f"{{any_of: [{{any_of: [{MANY}]}}, {{any_of: [{MANY}]}}]}}"),
        "22:9: 67 constraints on one argument, more than 64",
    ),
    "a misspelt word within": (
        (LIMIT, "{any_of: [{exactt: 1}]}"),
        "22:27: unknown key `exactt`; did you mean `exact`?",
    ),
    "a destination within": (
        ('{regex: "(?s).*plot.*"}', "{any_of: [{model_text: {}}]}"),
        ("29:26: unknown key `model_text`; known here: `exact`, `one_of`, `not_one_of`, `subset`, "
        "`range`, `length`, `regex`, `each`, `any_of` and `all_of`"),
    ),
    "null within": (
        (LIMIT, "{any_of: [{exact: null}]}"),
        "22:34: `null` means nothing here; leave the key out",
    ),
    "a variable that there is none of, within": (
        (LIMIT, "{any_of: [{exact: $tenat}]}"),
        "22:34: no variable `tenat`; did you mean `tenant`?",
    ),
    "all that is allowed is excluded": (
        ("[north, south]}", "[north, south], not_one_of: [north, south]}"),
        "24:26: nothing meets this and all that stands beside it",
    ),
    "all that the tool allows is excluded": (
        ("{one_of: [north, south]}", "{not_one_of: [north, south, east]}"),
        "24:17: nothing meets this and all that stands beside it",
    ),
    "a value beside a range without it": (
        (LIMIT, "{exact: 5, range: {max: 4}}"),
        "22:24: nothing meets this and all that stands beside it",
    ),
    "a value beside a pattern without it": (
        (TITLE, "{one_of: [$word, ab], all_of: [{exact: abc}, {regex: b+}]}"),
        "23:55: nothing meets this and all that stands beside it",
    ),
    "ranges without a common value": (
        (LIMIT, "{range: {min: 5}, all_of: [{range: {max: 4}}]}"),
        "22:51: nothing lies within this and within what stands around it",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("change", "problem"), WRONG.values(), ids=WRONG)
def test_a_constraint_that_cannot_be_meant_is_told_at_its_place(
    told: Told, change: tuple[str, str], problem: str
) -> None:
    assert f"report.yaml:{problem}" in told("report.yaml", *change).splitlines()


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (LIMIT, "{not_one_of: [7], any_of: [{range: {max: 50}}, {exact: 1000}]}"),
        (LIMIT, "{range: {max: 9}, all_of: [{range: {min: 9}}]}"),
        (LIMIT_LINE, LIMIT_LINE + "        tags: {subset: [a, $word], length: {max: 2}}\n"),
        (LIMIT_LINE, LIMIT_LINE + "        tags: {each: {any_of: [{exact: a}, {regex: b+}]}}\n"),
        (TITLE, "{one_of: [$word, abc], all_of: [{not_one_of: [abc]}]}"),
        (LIMIT, "{any_of: [{any_of: [{any_of: [{exact: 1}]}]}]}"),
    ],
)
def test_constraints_that_can_be_met_load(told: Told, old: str, new: str) -> None:
    assert told("report.yaml", old, new) == ""


ORDER = {
    "a grant that there is none of": (
        ("why: draw the chart", "why: draw the chart\n      after: [total]"),
        "28:15: no grant `total` in this task; did you mean `totals`?",
    ),
    "itself": (
        ("why: draw the chart", "why: draw the chart\n      after: [chart]"),
        "28:15: grant `chart` would wait for itself",
    ),
    "one twice": (
        ("why: draw the chart", "why: draw the chart\n      after: [totals, totals]"),
        "28:23: grant `totals` stands here twice",
    ),
    "none": (
        ("why: draw the chart", "why: draw the chart\n      after: []"),
        "28:14: expected at least 1 entry, found a list",
    ),
}


@pytest.mark.parametrize(("change", "problem"), ORDER.values(), ids=ORDER)
def test_an_order_that_cannot_be_kept_is_told_at_its_place(
    told: Told, change: tuple[str, str], problem: str
) -> None:
    assert f"report.yaml:{problem}" in told("report.yaml", *change).splitlines()


def test_grants_that_wait_for_one_another_are_told(files: dict[str, str]) -> None:
    text = files["report.yaml"].replace("why: draw", "after: [totals]\n      why: draw")
    with pytest.raises(ManifestErrors) as caught:
        load_texts({**files, "report.yaml": text.replace("max_calls: 5", "after: [chart]")})
    assert str(caught.value).splitlines() == [
        "report.yaml:14:15: these grants wait for one another: `totals` → `chart` → `totals`",
        "report.yaml:27:15: these grants wait for one another: `chart` → `totals` → `chart`",
    ]


def test_an_order_and_a_rate_load(told: Told) -> None:
    assert told("report.yaml", "why: draw", "after: [totals]\n      why: draw") == ""
    assert told("report.yaml", "why: draw", "rate: {calls: 1, per: 10s}\n      why: draw") == ""
    unitless = told("report.yaml", "why: draw", "rate: {calls: 1, per: 5}\n      why: draw")
    assert "27:29: expected a duration" in unitless
