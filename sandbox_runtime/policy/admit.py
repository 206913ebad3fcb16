"""May this caller open a task of this kind, and with which variables?

Law: the caller is whom the transport authenticated. Every declared variable is there, of its
type, from the one source that the manifest names for it; nothing undeclared is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING

from sandbox_runtime.destinations import json_text
from sandbox_runtime.errors import Reason, Refusal
from sandbox_runtime.manifests.problems import quoted
from sandbox_runtime.manifests.variable import Origin, Unfit, fitting

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox_runtime.manifests.catalogue import LoadedTask
    from sandbox_runtime.manifests.variable import Variable
    from sandbox_runtime.strict import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class Opener:
    """Who opens a task, as authenticated, and what that identity carries."""

    subject: str
    claims: Mapping[str, Json]
    """By name, as whoever authenticated the subject vouches for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """A task that may be opened."""

    lives_for: timedelta
    variables: Mapping[str, Json]
    """Every declared one, each in the form that its format gives it."""
    origins: Mapping[str, Origin]


def admit(
    manifest: LoadedTask,
    opener: Opener,
    brought: Mapping[str, Json],
    lifetime: timedelta | None,
) -> Admitted:
    """Return what the task may be; raise `Refusal` where it may not be opened.

    `brought` are the variables that the opener sends.
    """
    spec = manifest.manifest.spec
    if opener.subject not in spec.opened_by:
        raise Refusal(
            f"`{opener.subject}` may not open tasks of this manifest",
            reason=Reason.OPENER_NOT_ALLOWED,
            hint="its `opened_by` names who may",
        )
    _expect_declared(spec.variables, brought)
    return Admitted(
        variables=MappingProxyType(
            {
                name: _value(name, variable, brought, opener.claims)
                for name, variable in spec.variables.items()
            }
        ),
        origins=MappingProxyType({name: one.origin for name, one in spec.variables.items()}),
        lives_for=_lives_for(manifest, lifetime),
    )


def _lives_for(manifest: LoadedTask, lifetime: timedelta | None) -> timedelta:
    allowed = manifest.manifest.spec.lifetime
    if lifetime is None:
        return allowed.default
    if not timedelta(0) < lifetime <= allowed.max:
        problem = f"the lifetime is not above 0 s and at most {allowed.max.total_seconds():g} s"
        raise Refusal(problem, reason=Reason.REQUEST_INVALID)
    return lifetime


def _expect_declared(declared: Mapping[str, Variable], brought: Mapping[str, Json]) -> None:
    wanted = {name for name, one in declared.items() if one.origin is Origin.OPENER}
    for name in brought:
        if name not in declared:
            known = ", ".join(f"`{one}`" for one in declared if one in wanted) or "none"
            raise _wrong(name, "the manifest declares no such variable", f"to bring: {known}")
        if name not in wanted:
            raise _wrong(name, _NOT_YOURS[declared[name].origin], "leave it out")


_NOT_YOURS: Mapping[Origin, str] = MappingProxyType(
    {
        Origin.IDENTITY_CLAIM: "the variable comes from the opener's identity, and is not brought",
        Origin.MANIFEST: "the variable is fixed by the manifest, and is not brought",
    }
)


def _value(
    name: str, variable: Variable, brought: Mapping[str, Json], claims: Mapping[str, Json]
) -> Json:
    match variable.origin:
        case Origin.MANIFEST:
            return variable.value
        case Origin.IDENTITY_CLAIM:
            return _claimed(name, variable, claims)
        case Origin.OPENER:
            return _brought(name, variable, brought)


def _brought(name: str, variable: Variable, brought: Mapping[str, Json]) -> Json:
    if name not in brought:
        raise _wrong(name, "the variable is missing", f"bring {variable.told()}")
    try:
        return fitting(variable, brought[name])
    except Unfit as unfit:
        raise _wrong(name, f"the variable is not what it may be: {unfit}", None) from unfit


def _claimed(name: str, variable: Variable, claims: Mapping[str, Json]) -> Json:
    claim = variable.claim or name
    if claim not in claims:
        raise _unclaimed(name, f"the opener's identity carries no claim {quoted(claim)}", variable)
    try:
        return fitting(variable, claims[claim])
    except Unfit as unfit:
        problem = f"claim {quoted(claim)} of the opener's identity is not what it may be: {unfit}"
        raise _unclaimed(name, problem, variable) from unfit


def _wrong(name: str, problem: str, hint: str | None) -> Refusal:
    pointer = json_text.pointer(name)
    return Refusal(problem, reason=Reason.VARIABLE_INVALID, pointer=pointer, hint=hint)


def _unclaimed(name: str, problem: str, variable: Variable) -> Refusal:
    return Refusal(
        problem,
        reason=Reason.CLAIM_INVALID,
        pointer=json_text.pointer(name),
        hint=f"variable `{name}` is {variable.told()} that only an identity brings",
    )
