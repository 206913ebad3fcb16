"""May this caller open a task of this kind, with these variables?

Law: the caller is whom the transport authenticated. Every declared variable is brought, of
its type; nothing undeclared is.
"""

from __future__ import annotations

from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

import re2

from sandbox_runtime.destinations import json_text
from sandbox_runtime.errors import Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox_runtime.manifests.catalogue import LoadedTask
    from sandbox_runtime.manifests.model import Variable
    from sandbox_runtime.strict import Json

_TYPES: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {"string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,)}
)


def admit(
    manifest: LoadedTask,
    subject: str,
    variables: Mapping[str, Json],
    lifetime: timedelta | None,
) -> timedelta:
    """Return how long the task shall live; raise `Refusal` where it may not be opened."""
    spec = manifest.manifest.spec
    if subject not in spec.opened_by:
        raise Refusal(
            f"`{subject}` may not open tasks of this manifest",
            reason=Reason.OPENER_NOT_ALLOWED,
            hint="its `opened_by` names who may",
        )
    _check_variables(spec.variables, variables)
    if lifetime is None:
        return spec.lifetime.default
    if not timedelta(0) < lifetime <= spec.lifetime.max:
        problem = (
            f"the lifetime is not above 0 s and at most {spec.lifetime.max.total_seconds():g} s"
        )
        raise Refusal(problem, reason=Reason.REQUEST_INVALID)
    return lifetime


def _check_variables(declared: Mapping[str, Variable], given: Mapping[str, Json]) -> None:
    for name in given:
        if name not in declared:
            known = ", ".join(f"`{one}`" for one in declared) or "none"
            raise _wrong(name, "the manifest declares no such variable", f"declared: {known}")
    for name, variable in declared.items():
        if name not in given:
            raise _wrong(name, "the variable is missing", f"bring a {variable.type}")
        _check_variable(name, variable, given[name])


def _check_variable(name: str, variable: Variable, value: Json) -> None:
    typed = isinstance(value, _TYPES[variable.type])
    if not typed or (isinstance(value, bool) and variable.type != "boolean"):
        raise _wrong(name, f"the variable is not a {variable.type}", None)
    if variable.regex is None:
        return
    if not isinstance(value, str) or re2.fullmatch(variable.regex, value) is None:
        raise _wrong(name, f"the variable does not match `{variable.regex}` as a whole", None)


def _wrong(name: str, problem: str, hint: str | None) -> Refusal:
    return Refusal(
        problem, reason=Reason.VARIABLE_INVALID, pointer=json_text.pointer(name), hint=hint
    )
