"""Each kind of constraint, and several grants of one tool, as an agent meets them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sandbox_runtime.client import CallRefused
from sandbox_runtime.errors import Reason
from sandbox_runtime.manifests.constraint import Constraint
from sandbox_runtime.records import CallDecided
from tests.support.manifests import SOURCES
from tests.support.serving import served, write_tree

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from sandbox_runtime.strict import Json
    from tests.support.serving import Served

HEAD = """\
apiVersion: sandbox-runtime/v1
kind: Task
metadata: {name: greeting}
spec:
  opened_by: ["agent:tests"]
  variables: {friend: {type: string}, most: {value: 5, type: integer}}
  grants:
"""
GRANT = """\
    - id: ID
      tool: greet
      why: to be polite
      max_calls: MOST
      arguments: {name: NAME, times: TIMES, tags: TAGS}
"""


def grant(id_: str, *, most: int = 9, name: str = "", times: str = "{}", tags: str = "{}") -> str:
    """Return a grant of the one tool; arguments that are not named stay free."""
    text = GRANT.replace("ID", id_).replace("MOST", str(most))
    text = text.replace("NAME", name or "{length: {max: 50}}")
    return text.replace("TIMES", times).replace("TAGS", tags)


# Every variable has to be used, and no call of these tests fits this one.
LAST = grant("last", name="{one_of: [$friend]}", times="{exact: $most}", tags="{length: {min: 9}}")


def tree(directory: Path, *grants: str) -> str:
    task = HEAD + "".join(grants) + LAST
    return str(write_tree(directory / "own", {**SOURCES, "tasks/greeting.yaml": task}))


KINDS: dict[str, tuple[str, str, Json, Json]] = {
    "exact": ("times", "{exact: 3}", 3, 4),
    "one_of": ("name", "{one_of: [Ada, Grace]}", "Grace", "Eve"),
    "not_one_of": ("name", "{not_one_of: [Mallory]}", "Ada", "Mallory"),
    "range": ("times", "{range: {min: 2, max: 4}}", 4, 5),
    "regex": ("name", '{regex: "[A-Z][a-z]+"}', "Ada", "Ada\n"),
    "length": ("name", "{length: {min: 2, max: 4}}", "äöüx", "äöüxy"),
    "subset": ("tags", "{subset: [a, b]}", ["b", "a", "b"], ["a", "c"]),
    "each": ("tags", '{each: {regex: "[a-z]+"}}', ["a", "bc"], ["a", "B"]),
    "any_of": ("name", '{any_of: [{exact: Ada}, {regex: "G.*"}]}', "Grace", "Eve"),
    "all_of": ("name", '{all_of: [{regex: "[A-Z].*"}, {not_one_of: [Eve]}]}', "Ada", "Eve"),
}
ONLY: dict[str, Callable[[str], str]] = {
    "name": lambda constraint: grant("only", name=constraint),
    "times": lambda constraint: grant("only", times=constraint),
    "tags": lambda constraint: grant("only", tags=constraint),
}
WORDS = {"each": "regex", "all_of": "not_one_of"}
"""Of what stands within others, the word within is what is named."""


def test_every_kind_of_constraint_is_tried_here() -> None:
    assert KINDS.keys() == Constraint.model_fields.keys()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_constraint_lets_through_what_meets_it_and_nothing_else(
    tmp_path: Path, kind: str
) -> None:
    name, constraint, holds, breaks = KINDS[kind]
    own = tree(tmp_path, ONLY[name](constraint))
    async with (
        served(tmp_path, manifests=own) as here,
        here.client() as broker,
        await broker.open_task("greeting", variables={"friend": "x"}) as task,
    ):
        end = await task.call("greet", {"name": "Ada", "times": 1, name: holds})
        assert (end.grant, end.arguments[name]) == ("only", holds)
        with pytest.raises(CallRefused) as caught:
            await task.call("greet", {"name": "Ada", "times": 1, name: breaks})
    assert caught.value.reason is Reason.ARGUMENT_NOT_ALLOWED
    assert caught.value.code == f"constraint.{WORDS.get(kind, kind)}"
    assert (caught.value.pointer or "").startswith(f"/{name}")
    assert [one.permitted for one in decided(here)] == [True, False]
    assert ran(here) == 1


async def test_a_variable_stands_for_its_value_in_each_list(tmp_path: Path) -> None:
    own = tree(
        tmp_path,
        grant("mine", name="{one_of: [$friend]}", times="{any_of: [{exact: $most}]}"),
        grant("other", name="{not_one_of: [$friend]}", tags="{subset: [$friend]}"),
    )
    async with (
        served(tmp_path, manifests=own) as here,
        here.client() as broker,
        await broker.open_task("greeting", variables={"friend": "Ada"}) as task,
    ):
        assert (await task.check("greet", {"name": "Ada", "times": 5})).grant == "mine"
        assert (await task.check("greet", {"name": "Eve", "tags": ["Ada"]})).grant == "other"
        for wrong in ({"name": "Ada", "times": 4}, {"name": "Eve", "tags": ["Eve"]}):
            with pytest.raises(CallRefused):
                await task.check("greet", wrong)


async def test_grants_of_one_tool_are_tried_in_order_and_the_first_that_permits_is_spent(
    tmp_path: Path,
) -> None:
    own = tree(
        tmp_path,
        grant("narrow", most=1, name="{exact: Ada}"),
        grant("wide", most=2, name='{regex: "[A-Z].*"}'),
    )
    async with (
        served(tmp_path, manifests=own) as here,
        here.client() as broker,
        await broker.open_task("greeting", variables={"friend": "x"}) as task,
    ):
        tried = [await task.call("greet", {"name": name}) for name in ("Ada", "Ada", "Grace")]
        assert [end.grant for end in tried] == ["narrow", "wide", "wide"]
        with pytest.raises(CallRefused) as caught:
            await task.call("greet", {"name": "Ada"})
        assert caught.value.reason is Reason.CALLS_SPENT
    assert [one.grant for one in decided(here)][:3] == ["narrow", "wide", "wide"]
    assert ran(here) == 3


async def test_two_grants_never_add_up_to_a_third(tmp_path: Path) -> None:
    own = tree(
        tmp_path,
        grant("ada-once", name="{exact: Ada}", times="{exact: 1}"),
        grant("grace-often", name="{exact: Grace}", times="{range: {max: 9}}"),
    )
    async with (
        served(tmp_path, manifests=own) as here,
        here.client() as broker,
        await broker.open_task("greeting", variables={"friend": "x"}) as task,
    ):
        assert (await task.call("greet", {"name": "Grace", "times": 9})).grant == "grace-often"
        with pytest.raises(CallRefused) as caught:
            await task.call("greet", {"name": "Ada", "times": 9})
    assert caught.value.reason is Reason.ARGUMENT_NOT_ALLOWED
    assert ran(here) == 1


def decided(here: Served) -> list[CallDecided]:
    return [one for one in here.records() if isinstance(one, CallDecided)]


def ran(here: Served) -> int:
    return here.kinds().count("call.intent")
