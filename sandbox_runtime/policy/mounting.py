"""Which calls find their task's files at `/workspace`?

Law: a call that does not ask for files is shown none, whatever its tool could do with them; a
call that asks and whose task has none is refused, and never runs without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox_runtime.call import Refused
from sandbox_runtime.destinations import json_text
from sandbox_runtime.errors import Reason
from sandbox_runtime.manifests.model import Mount

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox_runtime.call import Attempt
    from sandbox_runtime.manifests.catalogue import LoadedTool
    from sandbox_runtime.manifests.model import Access
    from sandbox_runtime.strict import Json
    from sandbox_runtime.task import OpenTask


def mounted(tool: LoadedTool, arguments: Mapping[str, Json]) -> Access | None:
    """Return how the files are mounted into a call with these canonical arguments, if at all."""
    asked = tool.manifest.spec.workspace
    if not isinstance(asked, Mount):
        return asked
    return None if _asking(asked, arguments) is None else asked.mount


def without_files(
    task: OpenTask, tool: LoadedTool, attempt: Attempt, arguments: Mapping[str, Json]
) -> Refused | None:
    """Return why the call is refused if it asks for files and its task has none."""
    asked = tool.manifest.spec.workspace
    if not isinstance(asked, Mount) or task.manifest.manifest.spec.workspace is not None:
        return None  # a tool that mounts them always is granted by no task without
    if (name := _asking(asked, arguments)) is None:
        return None
    return Refused(
        reason=Reason.WORKSPACE_NOT_GRANTED,
        problem="the argument asks for the task's files",
        rule=("spec", "grants", attempt.grant_index, "tool"),
        pointer=json_text.pointer(name),
        code="workspace.none",
        hint=f"this task has no workspace; leave `{name}` out",
        grant=attempt.grant,
    )


def unavailing(task: OpenTask, tool: LoadedTool) -> frozenset[str]:
    """Return the arguments that a call of the task can only leave out: they ask for files."""
    asked, known = tool.manifest.spec.workspace, tool.manifest.spec.arguments
    if not isinstance(asked, Mount) or task.manifest.manifest.spec.workspace is not None:
        return frozenset()
    return frozenset(
        name
        for name in asked.asked_by
        if not known[name].required and _is_empty(known[name].default)
    )


def _asking(asked: Mount, arguments: Mapping[str, Json]) -> str | None:
    return next((name for name in asked.asked_by if not _is_empty(arguments.get(name))), None)


def _is_empty(value: Json) -> bool:
    return value is None or value is False or value in ("", [], {})
