from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_runtime.call import CheckAborted, Finding, Objected
from sandbox_runtime.destinations import json_text, registry
from sandbox_runtime.destinations.contract import Accepted, Objection
from sandbox_runtime.validators.examine import ABSENT, Walk, examine, find, put

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox_runtime.call import Check
    from sandbox_runtime.strict import Json

    Build = Callable[..., Check]

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def answer(kind: str, value: Json, _settings: Json) -> Accepted:
    if kind == "object":
        raise Objection("object.always", "never", pointer="/b", subject="s", hint="h")
    return Accepted(value=f"{value}+{kind}", facts={"saw": value}, changes=(kind,))


@pytest.fixture(autouse=True)
def destinations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "check", answer)


def paths(value: Json) -> list[str]:
    if isinstance(value, dict):
        below = [(json_text.pointer(key), item) for key, item in value.items()]
    elif isinstance(value, list):
        below = [(json_text.pointer(index), item) for index, item in enumerate(value)]
    else:
        below = []
    return ["", *[step + rest for step, item in below for rest in paths(item)]]


def test_a_check_sees_what_the_check_before_it_left_behind(check: Build) -> None:
    first, second = examine({"q": "x"}, [check("one", "/q"), check("two", "/q")])
    assert isinstance(first, Finding)
    assert isinstance(second, Finding)
    assert second.facts == {"saw": "x+one"}
    assert second.value == "x+one+two"


def test_the_first_objection_ends_the_attempt(check: Build) -> None:
    verdicts = examine("x", [check("one"), check("object"), check("two")])
    assert [verdict.verdict for verdict in verdicts] == ["finding", "objected"]


def test_an_objection_points_below_the_pointer_of_its_check(check: Build) -> None:
    (verdict,) = examine({"a": {"b": 1}}, [check("object", "/a")])
    assert isinstance(verdict, Objected)
    assert verdict.pointer == "/a/b"


def test_an_argument_left_out_is_not_checked_and_null_is(check: Build) -> None:
    verdicts = examine({"there": None}, [check("one", "/absent"), check("one", "/there")])
    assert [verdict.pointer for verdict in verdicts] == ["/there"]


def test_one_attempt_does_not_see_what_another_changed(check: Build) -> None:
    walk = Walk("x", [[check("one")], [check("two")]])
    while walk.due is not None:
        assert walk.due.held == "x"
        check_ = walk.due.check
        walk.hear(Finding(pointer="", kind=check_.kind, value="changed", facts={}, changes=()))


def test_an_abort_ends_its_attempt(check: Build) -> None:
    walk = Walk("x", [[check("one"), check("two")]])
    walk.hear(CheckAborted(pointer="", kind="one", cause="time"))
    assert walk.due is None


@pytest.mark.parametrize("pointer", ["/00", "/-", "/-1", "/2", "/+0", "/\u0660", "/1/x", "/ 0"])
def test_only_a_plain_number_inside_the_array_leads_into_it(pointer: str) -> None:
    assert find(["a", "b"], pointer) is ABSENT


def test_an_escaped_pointer_leads_to_the_key_it_names() -> None:
    assert find({"a/b": {"c~d": 1}, "a": 2}, "/a~1b/c~0d") == 1


@given(JSON)
def test_every_place_is_found_and_put_changes_that_place_alone(value: Json) -> None:
    before = json_text.canonical(value) if _encodable(value) else None
    for pointer in paths(value):
        changed = put(value, pointer, "new")
        assert find(changed, pointer) == "new"
        assert put(changed, pointer, cast("Json", find(value, pointer))) == value
    if before is not None:
        assert json_text.canonical(value) == before


def _encodable(value: Json) -> bool:
    try:
        json_text.canonical(value)
    except ValueError:
        return False
    return True
