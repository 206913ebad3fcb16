"""Under one grant, what does each argument of the tool have to meet?

Law: the tool's bounds and the grant's together, never wider than either. An argument that
the grant does not name keeps the tool's.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from sandbox_runtime.destinations.contract import Widens
from sandbox_runtime.destinations.registry import DESTINATIONS
from sandbox_runtime.manifests.variables import bind, bind_constraints
from sandbox_runtime.strict import Json, Strict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox_runtime.manifests.model import Grant, GrantArgument, Role, Tool, ToolArgument
    from sandbox_runtime.manifests.problems import Where

__all__ = ["ArgumentRule", "arguments_schema", "bind", "bind_constraints", "effective", "narrowed"]

Checks = tuple[tuple[str, Strict], ...]
"""(kind, settings) of each destination that a value passes, in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgumentRule:
    """What one argument has to meet, and where that is written."""

    name: str
    role: Role
    required: bool
    schema: Mapping[str, Json]
    """The tool's own bounds as JSON Schema 2020-12."""
    checks: Checks
    """The tool's settings narrowed by the grant's; variables are not put in yet."""
    constraints: GrantArgument | None
    """What the grant says of it; None: the grant does not name it."""
    path: Where
    """Its place in the task's manifest, to be looked up with `LoadedTask.place`."""


def effective(tool: Tool, grant: Grant, at: Where = ()) -> Mapping[str, ArgumentRule]:
    """Return the rule of each of the tool's arguments under a grant that stands `at`.

    Raises `Widens`, its path below the grant, where the grant asks for more than the tool.
    """
    rules = {
        name: ArgumentRule(
            name=name,
            role=argument.role,
            required=argument.required,
            schema=MappingProxyType(argument.json_schema()),
            checks=_checks(name, argument, grant.arguments.get(name)),
            constraints=grant.arguments.get(name),
            path=(*at, "arguments", name),
        )
        for name, argument in tool.spec.arguments.items()
    }
    return MappingProxyType(rules)


def _checks(name: str, argument: ToolArgument, named: GrantArgument | None) -> Checks:
    wanted = dict(named.checks()) if named is not None else {}
    settings = dict(argument.checks())
    for kind in wanted.keys() - settings.keys():
        raise Widens(("arguments", name, kind), "the tool does not send it there")
    return tuple(
        (kind, narrowed(kind, most, wanted[kind], ("arguments", name)) if kind in wanted else most)
        for kind, most in settings.items()
    )


def narrowed(kind: str, tool: Strict, grant: Strict, at: Where = ()) -> Strict:
    """Return the settings that are both; raise `Widens` with its path below `at`."""
    try:
        both: Strict = DESTINATIONS[kind].narrow(tool, grant)
    except Widens as widens:
        raise Widens((*at, kind, *widens.path), widens.problem) from widens
    return both


def arguments_schema(tool: Tool) -> dict[str, Json]:
    """Return what a call's arguments have to be: a closed object, as JSON Schema 2020-12."""
    arguments = tool.spec.arguments
    return {
        "type": "object",
        "properties": {name: argument.json_schema() for name, argument in arguments.items()},
        "required": [name for name, argument in arguments.items() if argument.required],
        "additionalProperties": False,
    }
