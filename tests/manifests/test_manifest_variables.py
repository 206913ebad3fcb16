"""What a task's manifest may say of its variables."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Told = Callable[..., str]

WORD = '{type: string, regex: "[a-z]+"}'
TENANT = "{type: integer}"

WRONG = {
    "a misspelt source": (
        (TENANT, "{type: integer, source: identity-claim}"),
        (
            "7:37: expected `opener` or `identity_claim`, found the string `identity-claim`; "
            "did you mean `identity_claim`?"
        ),
    ),
    "a misspelt key": (
        (TENANT, "{type: integer, claimm: tenant}"),
        "7:29: unknown key `claimm`; did you mean `claim`?",
    ),
    "a claim of nobody": (
        (TENANT, "{type: integer, claim: org}"),
        (
            "7:29: `claim` means nothing for a variable that its opener brings; "
            "write `source: identity_claim` beside it"
        ),
    ),
    "a claim that is no name": (
        (TENANT, '{type: integer, source: identity_claim, claim: "two words"}'),
        (
            "7:60: expected a claim's name, in printable ASCII without spaces, found the string "
            "`two words`"
        ),
    ),
    "a constant that somebody brings": (
        (TENANT, "{type: integer, value: 7, source: identity_claim}"),
        "7:39: `source` means nothing beside `value`: nobody brings what is fixed; remove it",
    ),
    "a constant of another type": (
        (TENANT, "{type: integer, value: seven}"),
        "7:36: the string `seven` is beyond what the variable may be: not an integer",
    ),
    "a constant beyond its bounds": (
        (TENANT, "{type: integer, minimum: 10, value: 7}"),
        "7:49: the integer `7` is beyond what the variable may be: less than `10`",
    ),
    "a format of a number": (
        (TENANT, "{type: integer, format: date}"),
        "7:29: `format` means nothing for a variable of type `integer`; remove it",
    ),
    "a bound of a text": (
        (WORD, "{type: string, minimum: 3}"),
        "8:26: `minimum` means nothing for a variable of type `string`; remove it",
    ),
    "a misspelt format": (
        (WORD, "{format: e-mail}"),
        (
            "8:20: expected `date`, `date-time`, `email`, `hostname`, `uri` or `uuid`, "
            "found the string `e-mail`; did you mean `email`?"
        ),
    ),
    "no number between": (
        (TENANT, "{type: integer, minimum: 9, maximum: 3}"),
        "7:38: nothing is at least `9` and at most `3`",
    ),
    "a choice that the format refuses": (
        (WORD, "{format: date, enum: ['2026-13-01']}"),
        (
            "8:33: the string `2026-13-01` is beyond what the variable may be: "
            "not a date like `2026-11-21`"
        ),
    ),
    "a choice in another form": (
        (WORD, "{format: hostname, enum: [Example.com]}"),
        (
            "8:37: the string `Example.com` is not in the form that its format gives it; "
            "write `example.com`"
        ),
    ),
    "a choice that the expression refuses": (
        (WORD, '{regex: "[a-z]+", enum: [a1]}'),
        (
            "8:36: the string `a1` is beyond what the variable may be: "
            "it does not match `[a-z]+` as a whole"
        ),
    ),
    "an expression that nobody reads": (
        (WORD, '{regex: "(?=a)"}'),
        (
            "8:19: RE2 does not read `(?=a)`: invalid perl operator: (?=; "
            "RE2 has no look-around and no back-references"
        ),
    ),
    "a constant beyond the tool's bounds": (
        (WORD, "{value: x}"),
        (
            "the value of variable `word` is beyond what the tool's argument may be: "
            '"x" is shorter than 2 characters; the tool\'s bounds hold for every grant'
        ),
    ),
}


@pytest.mark.parametrize(("change", "expected"), WRONG.values(), ids=WRONG)
def test_a_variable_that_cannot_be_meant_is_told_at_its_place(
    told: Told, change: tuple[str, str], expected: str
) -> None:
    said = told("report.yaml", *change)
    assert expected in said, said
    assert said.count("\n") == 0, said


@pytest.mark.parametrize(
    "declared",
    [
        "{type: integer, source: identity_claim}",
        "{type: integer, source: identity_claim, claim: https://example.com/tenant}",
        "{type: integer, minimum: 1, maximum: 9}",
        "{type: integer, enum: [1, 2]}",
        "{type: integer, value: 7}",
    ],
)
def test_each_way_to_say_what_a_variable_is_loads(told: Told, declared: str) -> None:
    assert not told("report.yaml", TENANT, declared)


def test_a_type_that_is_left_out_is_text(told: Told) -> None:
    assert not told("report.yaml", WORD, "{format: uuid}")
