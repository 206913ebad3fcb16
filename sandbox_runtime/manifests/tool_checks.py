"""Does a tool's manifest hold together?

Law: whatever a call would trip over later is found when the manifest loads: schemas that
are none, bounds that nothing meets, limits that contradict each other, a result that
nothing checks.
"""

from __future__ import annotations

from itertools import combinations
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from jsonschema_rs import ValidationError

from sandbox_runtime.destinations.contract import Widens
from sandbox_runtime.manifests.bounds import compiled, misplaced, objection
from sandbox_runtime.manifests.command_checks import check_command
from sandbox_runtime.manifests.effective import Checks, narrowed
from sandbox_runtime.manifests.model import Mount
from sandbox_runtime.manifests.problems import (
    Finding,
    Where,
    did_you_mean,
    printable,
    quoted,
    shown,
)
from sandbox_runtime.manifests.units import print_size
from sandbox_runtime.manifests.variables import ESCAPE, reference, strings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sandbox_runtime.manifests.model import (
        DataMount,
        Limits,
        Result,
        Tool,
        ToolArgument,
        ToolSpec,
    )
    from sandbox_runtime.strict import Json

_ARGUMENTS: Where = ("spec", "arguments")


def check_tool(tool: Tool, data: Json) -> Iterator[Finding]:
    """Yield what is wrong with a tool's manifest; `data` is its document as written."""
    for name, argument in tool.spec.arguments.items():
        yield from _argument(argument, data, (*_ARGUMENTS, name))
    yield from check_command(tool)
    yield from _result(tool.spec.result)
    yield from _data(tool.spec.data)
    yield from _asked_by(tool.spec)
    yield from _limits(tool.spec.sandbox)


def _at(data: Json, where: Where) -> Json:
    for step in where:
        data = data[step]  # type: ignore[index]  # the path was found in the data
    return data


def _argument(argument: ToolArgument, data: Json, where: Where) -> Iterator[Finding]:
    schema = argument.json_schema()
    yield from misplaced(iter(schema), argument.type, where)
    yield from settings_hold(argument.checks(), where)
    for kind, _ in argument.checks():
        yield from _references(_at(data, (*where, kind)), (*where, kind))
    no_schema = list(_schema(schema, where))
    yield from no_schema
    if not no_schema:
        yield from _emptiness(argument, where)
        yield from _values(argument, schema, where)


def settings_hold(checks: Checks, where: Where) -> Iterator[Finding]:
    """Yield what a destination has against settings, taken as the ceiling."""
    for kind, settings in checks:
        try:
            narrowed(kind, settings, settings, where)
        except Widens as widens:
            yield Finding(where=widens.path, message=printable(widens.problem), on_key=True)


def _references(settings: Json, where: Where) -> Iterator[Finding]:
    # INVARIANT (variables are the task's): grants' settings are narrowed first and bound
    # afterwards, so no text of the tool may look as if it were to be bound.
    for at, text in strings(settings, where):
        if reference(text) is not None or text.startswith(ESCAPE):
            message = f"{quoted(text)} reads like a variable, and a tool has none"
            yield Finding(where=at, message=message, mend="variables belong in a task's grants")


def _schema(schema: dict[str, Json], where: Where) -> Iterator[Finding]:
    try:
        compiled(schema)
    except ValidationError as error:
        path = tuple(error.instance_path)
        unfit = _unfit(_at(schema, path), path)
        yield Finding(where=(*where, *path), message=f"not a JSON Schema: {unfit}")


def _unfit(value: Json, path: Where) -> str:
    keyword = next((step for step in reversed(path) if isinstance(step, str)), None)
    if keyword is None:
        return "a `$ref` leads out of it, or to nothing"
    return f"{shown(value)} cannot stand at {quoted(keyword)}"


def _emptiness(argument: ToolArgument, where: Where) -> Iterator[Finding]:
    pairs = (
        ("minimum", argument.minimum, "maximum", argument.maximum),
        ("minLength", argument.min_length, "maxLength", argument.max_length),
    )
    for low_key, low, high_key, high in pairs:
        if low is not None and high is not None and low > high:
            message = f"`{low_key}` `{low}` is more than `{high_key}` `{high}`, so no value fits"
            yield Finding(where=(*where, low_key), message=message)


def _values(argument: ToolArgument, schema: Mapping[str, Json], where: Where) -> Iterator[Finding]:
    bounds = {key: bound for key, bound in schema.items() if key != "enum"}
    for index, one in enumerate(argument.enum or ()):
        if (against := objection(bounds, one)) is not None:
            yield _beyond(one, against, (*where, "enum", index))
    if argument.default is not None:
        against = objection(schema, argument.default)
        if against is not None:
            yield _beyond(argument.default, against, (*where, "default"))


def _beyond(value: Json, against: str, where: Where) -> Finding:
    message = f"{shown(value)} is beyond the argument's own bounds: {against}"
    return Finding(where=where, message=message)


def _result(result: Result) -> Iterator[Finding]:
    where: Where = ("spec", "result")
    kinds = [kind for kind, _ in result.checks()]
    if "schema" not in kinds:
        yield Finding(
            where=where,
            message="the result names no `schema`, so nothing would check it",
            mend="add `schema: {type: …}`",
            on_key=True,
        )
    yield from settings_hold(result.checks(), where)
    kept = result.artifacts
    if bool(kept.types) != bool(kept.max_count):
        message = "`types` and `max_count` belong together: both, or none for no artifacts"
        yield Finding(where=(*where, "artifacts"), message=message, on_key=True)


def _data(data: tuple[DataMount, ...]) -> Iterator[Finding]:
    for (_, one), (index, other) in combinations(enumerate(data), 2):
        where: Where = ("spec", "data", index)
        if one.name == other.name:
            message = f"data source {quoted(other.name)} is listed twice"
            yield Finding(where=(*where, "name"), message=message)
        first, second = PurePosixPath(one.mount), PurePosixPath(other.mount)
        if first.is_relative_to(second) or second.is_relative_to(first):
            message = f"{quoted(other.mount)} and {quoted(one.mount)} would hide one another"
            yield Finding(where=(*where, "mount"), message=message, mend="mount them side by side")


def _asked_by(spec: ToolSpec) -> Iterator[Finding]:
    names = spec.workspace.asked_by if isinstance(spec.workspace, Mount) else ()
    for index, name in enumerate(names):
        if name not in spec.arguments:
            yield Finding(
                where=("spec", "workspace", "asked_by", index),
                message=f"the tool has no argument {quoted(name)}",
                mend=did_you_mean(name, list(spec.arguments)),
            )


def _limits(limits: Limits) -> Iterator[Finding]:
    where: Where = ("spec", "sandbox")
    if limits.tmp >= limits.memory:
        yield Finding(
            where=(*where, "tmp") if "tmp" in limits.model_fields_set else (*where, "memory"),
            message=f"`/tmp` of `{print_size(limits.tmp)}` would use up the memory of "
            f"`{print_size(limits.memory)}`: its pages count as memory",
            mend="make `tmp` smaller than `memory`",
        )
