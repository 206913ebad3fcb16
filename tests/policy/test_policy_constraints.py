"""A constraint that cannot be evaluated does not hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_runtime.manifests.model import GrantArgument
from sandbox_runtime.policy.constraints import broken, same

if TYPE_CHECKING:
    from sandbox_runtime.strict import Json

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


def named(text: str) -> GrantArgument:
    return GrantArgument.model_validate_json(text)


@pytest.mark.parametrize(
    ("constraint", "holds", "breaks"),
    [
        ('{"exact": 1}', 1, True),
        ('{"exact": true}', True, 1),
        ('{"exact": null}', None, 0),
        ('{"exact": [1, {"a": false}]}', [1, {"a": False}], [1, {"a": 0}]),
        ('{"one_of": ["a", "b"]}', "b", "c"),
        ('{"one_of": [0, 1]}', 1, True),
        ('{"range": {"min": 1, "max": 2}}', 2, 2.1),
        ('{"range": {"min": 0}}', 0, True),
        ('{"range": {"max": 9}}', -5, "5"),
        ('{"length": {"max": 3}}', "äöü", "äöüx"),
        ('{"length": {"min": 1, "max": 2}}', ["a"], []),
        ('{"length": {"max": 3}}', "", 12),
        ('{"regex": "[a-z]+"}', "abc", "abc\n"),
        ('{"regex": "a|b"}', "b", "xb"),
        ('{"regex": "[0-9]*"}', "", 5),
    ],
)
def test_each_constraint_holds_and_breaks(constraint: str, holds: Json, breaks: Json) -> None:
    assert broken(holds, named(constraint)) is None
    assert broken(breaks, named(constraint)) is not None


def test_all_that_is_named_must_hold() -> None:
    both = named('{"regex": "[a-z]+", "length": {"max": 3}}')
    assert broken("abcd", both) == ("length", "its length is not from 0 to 3")
    assert broken("AB", both) == ("regex", "it does not match `[a-z]+` as a whole")


def test_a_regex_that_explodes_elsewhere_answers_at_once_here() -> None:
    assert broken("a" * 50_000 + "!", named('{"regex": "(a+)+"}')) is not None


@given(JSON)
def test_every_value_is_the_same_as_itself_only_with_its_type(value: Json) -> None:
    assert same(value, value)
    assert not same(value, [value])
