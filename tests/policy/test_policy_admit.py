"""Who may open a task, and which variables it then has."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from sandbox_runtime.errors import Reason, Refusal
from sandbox_runtime.manifests.loader import load_texts
from sandbox_runtime.policy import Opener, admit
from tests.support.manifests import SOURCES, TASK

if TYPE_CHECKING:
    from sandbox_runtime.policy import Admitted
    from sandbox_runtime.strict import Json

FRIEND = 'friend: {type: string, regex: "[A-Z][a-z]+"}'


def admitted(declared: str, brought: dict[str, Json], claims: dict[str, Json]) -> Admitted:
    """Return the task that opens with variable `friend` as declared."""
    text = TASK.replace(FRIEND, f"friend: {declared}")
    task = load_texts({**SOURCES, "tasks/greeting.yaml": text}).tasks["greeting"]
    return admit(task, Opener(subject="agent:tests", claims=claims), brought, None)


def refused(declared: str, brought: dict[str, Json], claims: dict[str, Json]) -> Refusal:
    with pytest.raises(Refusal) as caught:
        admitted(declared, brought, claims)
    assert caught.value.pointer == "/friend"
    return caught.value


CLAIMED = "{type: string, source: identity_claim, claim: given_name}"


def test_a_claim_becomes_the_variable_and_says_so() -> None:
    opened = admitted(CLAIMED, {}, {"given_name": "Ada", "family_name": "Lovelace"})
    assert dict(opened.variables) == {"friend": "Ada"}
    assert dict(opened.origins) == {"friend": "identity_claim"}


def test_a_claim_is_of_the_variables_own_name_unless_another_is_given() -> None:
    opened = admitted("{source: identity_claim}", {}, {"friend": "Ada"})
    assert opened.variables["friend"] == "Ada"


def test_nobody_brings_what_the_identity_carries() -> None:
    refusal = refused(CLAIMED, {"friend": "Eve"}, {"given_name": "Ada"})
    assert refusal.why is Reason.VARIABLE_INVALID
    assert "comes from the opener's identity" in refusal.problem


def test_a_missing_claim_is_named() -> None:
    refusal = refused(CLAIMED, {}, {"friend": "Ada"})
    assert refusal.why is Reason.CLAIM_INVALID
    assert refusal.problem == "the opener's identity carries no claim `given_name`"


@pytest.mark.parametrize(
    "value",
    [7, True, None, ["Ada"], {"a": 1}, 1.5, "\ud800"],
)
def test_a_claim_of_another_type_is_refused_by_its_name_and_never_shown(value: Json) -> None:
    refusal = refused(CLAIMED, {}, {"given_name": value})
    assert refusal.why is Reason.CLAIM_INVALID
    assert refusal.problem == (
        "claim `given_name` of the opener's identity is not what it may be: not a string"
    )


@pytest.mark.parametrize("value", [True, 7.0, "7", 1 << 53, -(1 << 53), math.nan])
def test_a_claim_that_is_no_whole_number_of_everybodys_is_none(value: Json) -> None:
    text = TASK.replace(FRIEND, "friend: {type: integer, source: identity_claim}")
    text = text.replace("name: {exact: $friend}", "name: {}")
    text = text.replace("times: {range: {max: 3}}", "times: {exact: $friend}")
    task = load_texts({**SOURCES, "tasks/greeting.yaml": text}).tasks["greeting"]
    with pytest.raises(Refusal, match="not an integer"):
        admit(task, Opener(subject="agent:tests", claims={"friend": value}), {}, None)


def test_a_claim_takes_the_form_of_its_format() -> None:
    opened = admitted("{format: email, source: identity_claim}", {}, {"friend": "Ada@Example.COM"})
    assert opened.variables["friend"] == "Ada@example.com"


def test_a_claim_that_smuggles_a_line_is_refused() -> None:
    declared = "{format: email, source: identity_claim}"
    refusal = refused(declared, {}, {"friend": "ada@example.com\r\nbcc: eve@evil.example"})
    assert refusal.why is Reason.CLAIM_INVALID
    assert "eve" not in refusal.problem


def test_what_the_manifest_fixes_nobody_brings() -> None:
    assert dict(admitted("{value: Ada}", {}, {"friend": "Eve"}).origins) == {"friend": "manifest"}
    refusal = refused("{value: Ada}", {"friend": "Eve"}, {})
    assert refusal.why is Reason.VARIABLE_INVALID
    assert admitted("{value: Ada}", {}, {}).variables["friend"] == "Ada"


def test_a_claim_never_stands_in_for_what_the_opener_has_to_bring() -> None:
    refusal = refused("{format: hostname}", {}, {"friend": "example.com"})
    assert (refusal.why, refusal.hint) == (Reason.VARIABLE_INVALID, "bring a string (hostname)")


@pytest.mark.parametrize(
    ("declared", "value", "why"),
    [
        ("{enum: [Ada, Bob]}", "Eve", "not one of the values that its `enum` lists"),
        ("{format: date}", "2026-13-01", "not a date like `2026-11-21`"),
        ('{regex: "[A-Z][a-z]+"}', "Ada\n", "it does not match `[A-Z][a-z]+` as a whole"),
    ],
)
def test_what_is_brought_is_what_it_may_be(declared: str, value: str, why: str) -> None:
    refusal = refused(declared, {"friend": value}, {})
    assert refusal.problem == f"the variable is not what it may be: {why}"
    assert value not in refusal.problem
