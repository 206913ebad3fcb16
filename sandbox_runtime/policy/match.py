"""Which of the task's grants may permit this call?

Law: default deny. A task that has ended, a tool that no grant names, an argument that the
tool or the grant does not name: each is refused here, before anything is checked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox_runtime.call import Attempt, Candidate, Check, Refused
from sandbox_runtime.destinations import json_text
from sandbox_runtime.destinations.contract import Objection
from sandbox_runtime.destinations.registry import dump
from sandbox_runtime.errors import Reason
from sandbox_runtime.manifests.effective import arguments_schema, bind, effective
from sandbox_runtime.manifests.model import Role

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox_runtime.call import ProposedCall, Rule
    from sandbox_runtime.manifests.catalogue import LoadedTool
    from sandbox_runtime.manifests.effective import ArgumentRule
    from sandbox_runtime.manifests.model import Grant
    from sandbox_runtime.records import Micros
    from sandbox_runtime.strict import Json
    from sandbox_runtime.task import OpenTask

MAX_ARGUMENT_BYTES = 256 << 10
MAX_ARGUMENT_DEPTH = 32

_GRANTS: Rule = ("spec", "grants")


def match(task: OpenTask, call: ProposedCall, now: Micros) -> Candidate | Refused:
    """Return what is to be checked before `call` can be decided, or why it is refused.

    1. the task lives;
    2. a grant names the tool;
    3. the arguments are one JSON object, read strictly;
    4. the tool knows each of them, and the required ones are there;
    5. a grant names each argument that steers what happens.
    """
    if (dead := lives(task, now)) is not None:  # 1
        return dead
    grants = [
        (i, g) for i, g in enumerate(task.manifest.manifest.spec.grants) if g.tool == call.tool
    ]
    if not grants:  # 2
        return _not_granted(task)
    tool = task.tools[call.tool]
    try:
        arguments = _read(call)  # 3
    except Objection as objection:
        return _unreadable(objection, grants[0][0])
    if (misfit := _misfit(tool, arguments, grants[0][0])) is not None:  # 4
        return misfit
    filled = {**_defaults(tool), **arguments}
    attempts = [
        _attempt(task, tool, i, grant) for i, grant in grants if _names(tool, grant, arguments)
    ]
    if not attempts:  # 5
        return _unnamed(tool, grants, arguments)
    return Candidate(call=call, tool=tool, arguments=filled, attempts=tuple(attempts))


def lives(task: OpenTask, now: Micros) -> Refused | None:
    """Return why the task cannot act at `now`, or None while it lives."""
    if task.state.closed:
        return Refused(reason=Reason.TASK_CLOSED, problem="the task is closed", rule=("spec",))
    if now >= task.state.expires_at:
        return Refused(
            reason=Reason.TASK_EXPIRED,
            problem="the task's lifetime is over",
            rule=("spec", "lifetime"),
            hint="open a new task",
        )
    return None


def _not_granted(task: OpenTask) -> Refused:
    tools = dict.fromkeys(grant.tool for grant in task.manifest.manifest.spec.grants)
    return Refused(
        reason=Reason.TOOL_NOT_GRANTED,
        problem="the task holds no grant for this tool",
        rule=_GRANTS,
        hint=f"granted tools: {', '.join(f'`{tool}`' for tool in tools)}",
    )


def _read(call: ProposedCall) -> Mapping[str, Json]:
    value = json_text.parse(call.text, max_bytes=MAX_ARGUMENT_BYTES, max_depth=MAX_ARGUMENT_DEPTH)
    if not isinstance(value, dict):
        raise Objection("json.not_an_object", "the arguments are not a JSON object")
    return value


def _unreadable(objection: Objection, grant: int) -> Refused:
    return Refused(
        reason=Reason.REQUEST_INVALID,
        problem=f"the arguments cannot be read: {objection.problem}",
        rule=(*_GRANTS, grant, "tool"),
        pointer=objection.pointer,
        code=objection.code,
        hint=objection.hint or "send one JSON object",
    )


def _misfit(tool: LoadedTool, arguments: Mapping[str, Json], grant: int) -> Refused | None:
    known = tool.manifest.spec.arguments
    if unknown := [name for name in arguments if name not in known]:
        return Refused(
            reason=Reason.ARGUMENT_UNKNOWN,
            problem="the tool has no such argument",
            rule=(*_GRANTS, grant, "tool"),
            pointer=json_text.pointer(unknown[0]),
            hint=f"its arguments: {', '.join(f'`{name}`' for name in known) or 'none'}",
        )
    missing = [name for name, a in known.items() if a.required and name not in arguments]
    if missing:
        return Refused(
            reason=Reason.ARGUMENT_MISSING,
            problem="a required argument is missing",
            rule=(*_GRANTS, grant, "tool"),
            pointer=json_text.pointer(missing[0]),
        )
    return None


def _defaults(tool: LoadedTool) -> dict[str, Json]:
    arguments = tool.manifest.spec.arguments
    return {name: argument.default for name, argument in arguments.items() if not argument.required}


def _control(tool: LoadedTool, arguments: Mapping[str, Json]) -> list[str]:
    known = tool.manifest.spec.arguments
    return [name for name in arguments if known[name].role is Role.CONTROL]


def _names(tool: LoadedTool, grant: Grant, arguments: Mapping[str, Json]) -> bool:
    return all(name in grant.arguments for name in _control(tool, arguments))


def _unnamed(
    tool: LoadedTool, grants: list[tuple[int, Grant]], arguments: Mapping[str, Json]
) -> Refused:
    index, grant = grants[0]
    first = next(n for n in _control(tool, arguments) if n not in grant.arguments)
    return Refused(
        reason=Reason.ARGUMENT_NOT_NAMED,
        problem="no grant names this argument, which steers what the tool does",
        rule=(*_GRANTS, index, "arguments"),
        pointer=json_text.pointer(first),
        grant=grant.id,
    )


def _attempt(task: OpenTask, tool: LoadedTool, index: int, grant: Grant) -> Attempt:
    shape = Check(
        pointer="",
        kind="schema",
        settings=arguments_schema(tool.manifest),
        rule=(*_GRANTS, index, "tool"),
    )
    rules = effective(tool.manifest, grant)
    checks = [check for rule in rules.values() for check in _checks(task, index, rule)]
    return Attempt(grant=grant.id, grant_index=index, checks=(shape, *checks))


def _checks(task: OpenTask, index: int, rule: ArgumentRule) -> list[Check]:
    return [
        Check(
            pointer=json_text.pointer(rule.name),
            kind=kind,
            settings=bind(dump(settings), task.variables),
            rule=(*_GRANTS, index, "arguments", rule.name, kind),
        )
        for kind, settings in rule.checks
    ]
