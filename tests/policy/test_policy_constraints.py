"""A constraint that cannot be evaluated does not hold."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox_runtime.manifests.model import GrantArgument
from sandbox_runtime.policy.constraints import MOST_ITEMS, Breach, broken, same

if TYPE_CHECKING:
    from sandbox_runtime.call import Rule
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
        ('{"not_one_of": ["a", "b"]}', "c", "a"),
        ('{"not_one_of": [1]}', True, 1.0),
        ('{"not_one_of": ["a"]}', "A", None),
        ('{"not_one_of": ["a"]}', "", ["b"]),
        ('{"subset": ["a", "b"]}', ["b", "b"], ["a", "c"]),
        ('{"subset": ["a"]}', [], "a"),
        ('{"subset": [1]}', [1.0], [True]),
        ('{"each": {"regex": "[a-z]+"}}', ["a", "b"], ["a", "B"]),
        ('{"each": {"regex": "[a-z]+"}}', [], "a"),
        ('{"each": {"each": {"range": {"max": 1}}}}', [[0], []], [[0], [2]]),
        ('{"each": {"not_one_of": ["a"]}}', ["b"], ["b", ["a"]]),
        ('{"any_of": [{"exact": "a"}, {"length": {"min": 3}}]}', "abc", "ab"),
        ('{"any_of": [{"range": {"max": 1}}]}', 1, "1"),
        ('{"all_of": [{"regex": "[a-z]+"}, {"not_one_of": ["abc"]}]}', "abe", "abc"),
        ('{"all_of": [{"any_of": [{"exact": 1}, {"exact": 2}]}, {"exact": 2}]}', 2, 1),
    ],
)
def test_each_constraint_holds_and_breaks(constraint: str, holds: Json, breaks: Json) -> None:
    assert broken(holds, named(constraint)) is None
    assert broken(breaks, named(constraint)) is not None


def test_all_that_is_named_must_hold() -> None:
    both = named('{"regex": "[a-z]+", "length": {"max": 3}}')
    assert broken("abcd", both) == Breach(path=("length",), problem="its length is not from 0 to 3")
    assert broken("AB", both) == Breach(
        path=("regex",), problem="it does not match `[a-z]+` as a whole"
    )


@pytest.mark.parametrize(
    ("constraint", "value", "path", "pointer"),
    [
        ('{"each": {"regex": "a"}}', ["a", "b"], ("each", "regex"), "/1"),
        ('{"all_of": [{"length": {"max": 9}}, {"regex": "a"}]}', "b", ("all_of", 1, "regex"), ""),
        ('{"any_of": [{"exact": "a"}, {"regex": "c"}]}', "b", ("any_of",), ""),
        ('{"each": {"each": {"one_of": [1]}}}', [[1], [1, 2]], ("each", "each", "one_of"), "/1/1"),
        ('{"each": {"any_of": [{"exact": 1}]}}', [2], ("each", "any_of"), "/0"),
    ],
)
def test_a_breach_names_the_word_within_and_points_at_the_item(
    constraint: str, value: Json, path: Rule, pointer: str
) -> None:
    breach = broken(value, named(constraint))
    assert breach is not None
    assert (breach.path, breach.pointer, breach.word) == (path, pointer, path[-1])


def test_what_is_excluded_is_never_told() -> None:
    for constraint in (
        '{"not_one_of": ["secret"]}',
        '{"any_of": [{"not_one_of": ["secret"]}, {"exact": "b"}]}',
    ):
        breach = broken("secret", named(constraint))
        assert breach is not None
        assert "secret" not in breach.problem


@given(JSON, st.lists(st.sampled_from(["a", "b", 1, True, 0.5]), min_size=1))
def test_among_and_apart_are_never_both(value: Json, values: list[Json]) -> None:
    one_of = GrantArgument.model_validate_json(json.dumps({"one_of": values}))
    not_one_of = GrantArgument.model_validate_json(json.dumps({"not_one_of": values}))
    assert broken(value, one_of) or broken(value, not_one_of)


@pytest.mark.parametrize("item", ["v999", "other", 1.0, True])
@pytest.mark.parametrize("constraint", ['{"each": {"one_of": %s}}', '{"subset": %s}'])
def test_long_lists_are_decided_at_once(constraint: str, item: Json) -> None:
    values = json.dumps([*(f"v{n}" for n in range(999)), "v999"])
    began = time.process_time()
    broken([item] * MOST_ITEMS, named(constraint % values))
    assert time.process_time() - began < 2


@pytest.mark.parametrize("constraint", ['{"each": {"one_of": ["a"]}}', '{"subset": ["a"]}'])
def test_a_list_longer_than_is_looked_at_does_not_hold(constraint: str) -> None:
    assert broken(["a"] * MOST_ITEMS, named(constraint)) is None
    breach = broken(["a"] * (MOST_ITEMS + 1), named(constraint))
    assert breach is not None
    assert len(breach.path) == 1


def test_a_regex_that_explodes_elsewhere_answers_at_once_here() -> None:
    assert broken("a" * 50_000 + "!", named('{"regex": "(a+)+"}')) is not None


@given(JSON)
def test_every_value_is_the_same_as_itself_only_with_its_type(value: Json) -> None:
    assert same(value, value)
    assert not same(value, [value])
