from __future__ import annotations

import json

from sandbox_runtime.server.tools import calls_left, listed
from tests.support.manifests import open_task, with_state


def test_tools_are_listed_once_each_with_a_schema_that_a_model_can_use() -> None:
    (tool,) = listed(open_task()).tools
    schema = json.loads(tool.parameters_json)
    assert (tool.name, tool.description) == ("greet", "Greet somebody.")
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == {"name", "times", "note", "tags"}


def test_what_is_left_is_what_the_grants_and_the_budget_both_allow() -> None:
    task = open_task()
    grants = task.manifest.manifest.spec.grants
    assert calls_left(task, grants) == 3
    assert calls_left(task, grants[:1]) == 2
    assert calls_left(with_state(task, spent={"friends": 2}), grants) == 1
    assert calls_left(with_state(task, spent={"friends": 2, "others": 1}), grants) == 0
    assert calls_left(with_state(task, spent={"friends": 9}), grants) == 0
