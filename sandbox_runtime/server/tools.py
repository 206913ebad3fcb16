"""What may a task call, and what may it answer, as a model is told?

Law: pure. Only what the task's manifest names is listed, as narrow as it makes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox_runtime.destinations.json_text import canonical
from sandbox_runtime.manifests.narrowed_schema import output_schema, tool_schema
from sandbox_runtime.policy import outputs_left, unavailing
from sandbox_runtime.v1 import broker_pb2 as pb

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox_runtime.manifests.model import Grant
    from sandbox_runtime.task import OpenTask


def listed(task: OpenTask) -> pb.ListToolsResponse:
    """Return the task's tools, in the order in which its manifest grants them."""
    by_tool: dict[str, list[Grant]] = {}
    for grant in task.manifest.manifest.spec.grants:
        by_tool.setdefault(grant.tool, []).append(grant)
    return pb.ListToolsResponse(
        tools=[_definition(task, tool, grants) for tool, grants in by_tool.items()]
    )


def outputs(task: OpenTask) -> pb.ListOutputsResponse:
    """Return the task's final answers, in its manifest's order."""
    return pb.ListOutputsResponse(
        outputs=[
            pb.OutputDefinition(
                name=name,
                description=output.description,
                schema_json=canonical(output_schema(output, task.variables)).decode(),
                checks_left=outputs_left(task, name),
            )
            for name, output in task.manifest.manifest.spec.outputs.items()
        ]
    )


def calls_left(task: OpenTask, grants: Sequence[Grant]) -> int:
    """Return how many calls these grants and the task's budget still allow."""
    state, budgets = task.state, task.manifest.manifest.spec.budgets
    by_grants = sum(max(grant.max_calls - state.spent.get(grant.id, 0), 0) for grant in grants)
    return max(min(by_grants, budgets.calls - state.started), 0)


def _definition(task: OpenTask, tool: str, grants: Sequence[Grant]) -> pb.ToolDefinition:
    loaded = task.tools[tool]
    without = unavailing(task, loaded)
    schema = tool_schema(loaded.manifest, grants, task.variables, without)
    return pb.ToolDefinition(
        name=tool,
        description=str(schema["description"]),
        parameters_json=canonical(schema["parameters"]).decode(),
        calls_left=calls_left(task, grants),
    )
