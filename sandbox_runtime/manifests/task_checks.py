"""May a task's manifest stand beside the tools it grants?

Law: a grant never widens its tool. What it names exists, every argument that steers the
tool is named, and whatever it says lies within what the tool's manifest says.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox_runtime.destinations.contract import Widens
from sandbox_runtime.destinations.registry import DESTINATIONS
from sandbox_runtime.manifests.constraint_checks import constraints
from sandbox_runtime.manifests.effective import narrowed
from sandbox_runtime.manifests.model import (
    Grant,
    Lifetime,
    Role,
    Task,
    Tool,
    ToolArgument,
)
from sandbox_runtime.manifests.order_checks import order
from sandbox_runtime.manifests.output_checks import OUTPUTS, outputs
from sandbox_runtime.manifests.problems import (
    Finding,
    Where,
    did_you_mean,
    listed,
    one_of,
    printable,
    quoted,
)
from sandbox_runtime.manifests.units import print_duration
from sandbox_runtime.manifests.variable_checks import check_variables
from sandbox_runtime.manifests.variables import ESCAPE, reference, strings
from sandbox_runtime.manifests.workspace_checks import workspace

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from sandbox_runtime.manifests.variable import Variable
    from sandbox_runtime.strict import Json, Strict

_GRANTS: Where = ("spec", "grants")

MAX_CHECKS = 100
"""Checks that one call may ask for, under all grants that it could be made under. The record of
its decision keeps what each said; with more, the largest arguments would not fit the log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """The tools a grant may name."""

    tools: Mapping[str, Tool]
    """Those that hold by themselves."""
    broken: Collection[str]
    """Names of those that do not; grants of them are not judged until they do."""


def check_task(task: Task, data: Json, known: Known) -> Iterator[Finding]:
    """Yield what is wrong with a task's manifest; `data` is its document as written."""
    spec = task.spec
    yield from _lifetime(spec.lifetime)
    yield from _ids(spec.grants)
    yield from order(spec.grants, _GRANTS)
    yield from _crowded(spec.grants, known)
    yield from check_variables(spec.variables, ("spec", "variables"))
    yield from workspace(spec, known.tools)
    for index, grant in enumerate(spec.grants):
        yield from _grant(grant, spec.variables, known, (*_GRANTS, index))
    yield from outputs(spec.outputs)
    yield from _references(spec.variables, data)


def _lifetime(lifetime: Lifetime) -> Iterator[Finding]:
    if lifetime.default > lifetime.max:
        default, most = print_duration(lifetime.default), print_duration(lifetime.max)
        key = "default" if "default" in lifetime.model_fields_set else "max"
        yield Finding(
            where=("spec", "lifetime", key),
            message=f"the default lifetime `{default}` is longer than the longest, `{most}`",
        )


def _ids(grants: tuple[Grant, ...]) -> Iterator[Finding]:
    first: dict[str, int] = {}
    for index, grant in enumerate(grants):
        if first.setdefault(grant.id, index) != index:
            message = f"grant id {quoted(grant.id)} stands here twice"
            mend = "give each grant an id of its own"
            yield Finding(where=(*_GRANTS, index, "id"), message=message, mend=mend)


def _crowded(grants: tuple[Grant, ...], known: Known) -> Iterator[Finding]:
    asked: Counter[str] = Counter()
    for index, grant in enumerate(grants):
        before = asked[grant.tool]
        tool = known.tools.get(grant.tool)
        arguments = tool.spec.arguments.values() if tool is not None else ()
        asked[grant.tool] += 1 + sum(len(argument.checks()) for argument in arguments)
        if before <= MAX_CHECKS < asked[grant.tool]:
            yield Finding(
                where=(*_GRANTS, index, "tool"),
                message=f"the grants of {quoted(grant.tool)} up to this one ask for "
                f"{asked[grant.tool]} checks of one call, more than {MAX_CHECKS}",
                mend="join grants that differ little, as with `one_of`, or split the task",
            )


def _grant(
    grant: Grant, variables: Mapping[str, Variable], known: Known, where: Where
) -> Iterator[Finding]:
    tool = known.tools.get(grant.tool)
    if tool is not None:
        yield from _unnamed(grant, tool, where)
        for name in grant.arguments:
            yield from _named(grant, name, tool, variables, (*where, "arguments", name))
    elif grant.tool not in known.broken:
        yield _no_tool(grant.tool, sorted({*known.tools, *known.broken}), (*where, "tool"))


def _no_tool(name: str, tools: list[str], where: Where) -> Finding:
    some = one_of(tools)
    mend = did_you_mean(name, tools) or (
        f"known tools: {some.replace(' or ', ' and ')}" if some else ""
    )
    return Finding(where=where, message=f"no tool {quoted(name)}", expected=some, mend=mend)


def _unnamed(grant: Grant, tool: Tool, where: Where) -> Iterator[Finding]:
    for name, argument in tool.spec.arguments.items():
        if argument.role is Role.CONTROL and name not in grant.arguments:
            yield Finding(
                where=(*where, "arguments"),
                message=f"grant {quoted(grant.id)} does not name {quoted(name)}, "
                f"which steers what {quoted(grant.tool)} does",
                mend=f"say what it may be, or `{name}: {{}}` to leave it at the tool's bounds",
                on_key=True,
            )


def _named(
    grant: Grant, name: str, tool: Tool, variables: Mapping[str, Variable], where: Where
) -> Iterator[Finding]:
    argument, named = tool.spec.arguments.get(name), grant.arguments[name]
    if argument is None:
        yield _no_argument(grant.tool, name, list(tool.spec.arguments), where)
        return
    for kind, settings in named.checks():
        yield from _destination(grant.tool, argument, kind, settings, (*where, kind))
    yield from constraints(named, argument, variables, where)


def _no_argument(tool: str, name: str, arguments: list[str], where: Where) -> Finding:
    return Finding(
        where=where,
        message=f"tool {quoted(tool)} has no argument {quoted(name)}",
        expected=one_of(arguments),
        mend=did_you_mean(name, arguments),
        on_key=True,
    )


def _destination(
    tool: str, argument: ToolArgument, kind: str, settings: Strict, where: Where
) -> Iterator[Finding]:
    declared = dict(argument.checks())
    if kind not in declared:
        goes = f"; it goes to {listed(list(declared), 'and')}" if declared else ""
        message = f"tool {quoted(tool)} does not send this argument to {quoted(kind)}{goes}"
        yield Finding(where=where, message=message, mend="remove it", on_key=True)
        return
    try:
        narrowed(kind, declared[kind], settings)
    except Widens as widens:
        message = f"wider than the tool: {printable(widens.problem)}"
        yield Finding(where=(*where, *widens.path[1:]), message=message, on_key=True)


def _references(variables: Mapping[str, Variable], data: Json) -> Iterator[Finding]:
    used: set[str] = set()
    wrong: list[Finding] = []
    for where, text in _texts(data):
        used.add(reference(text) or "")
        wrong.extend(_reference(text, variables, where))
    yield from wrong or _unused(variables, used)


def _unused(variables: Mapping[str, Variable], used: Collection[str]) -> Iterator[Finding]:
    for name in variables:
        if name not in used:
            yield Finding(
                where=("spec", "variables", name),
                message=f"variable {quoted(name)} is never used",
                mend=f"remove it, or refer to it as `${name}` in a grant",
                on_key=True,
            )


def _reference(text: str, variables: Mapping[str, Variable], where: Where) -> Iterator[Finding]:
    if not text.startswith("$") or text.startswith(ESCAPE):
        return
    name = reference(text)
    if where[-1] == "regex":
        message = f"{quoted(text)} matches nothing: variables do not reach into `regex`"
        yield Finding(where=where, message=message, mend=f"write `exact: {text}`" if name else "")
    elif name is None:
        mend = f"write {quoted(f'${text}')} for the text itself"
        yield Finding(where=where, message=f"{quoted(text)} refers to no variable", mend=mend)
    elif name not in variables:
        mend = did_you_mean(name, list(variables)) or "declare it under `spec.variables`"
        yield Finding(where=where, message=f"no variable {quoted(name)}", mend=mend)


def _texts(data: Json) -> Iterator[tuple[Where, str]]:
    """Yield each string in what grants say of arguments, or destinations of outputs; its path."""
    for where, text in strings(data):
        of_grant = where[:2] == _GRANTS and where[3:4] == ("arguments",)
        if of_grant or (where[:2] == OUTPUTS and where[3:4] and where[3] in DESTINATIONS):
            yield where, text
