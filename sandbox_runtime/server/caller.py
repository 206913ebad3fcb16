"""Who is a caller, and what may it do?

Law: made by a door, from what the transport says and the settings or an issued identity grant.
No request adds a role or a claim.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum, unique
from types import MappingProxyType
from typing import TYPE_CHECKING

from sandbox_runtime.errors import Reason, Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox_runtime.manifests.constraint import Scalar


@unique
class Role(StrEnum):
    """What a caller may do at all. What exactly, its manifests and its task's token say."""

    OPENER = "opener"
    """Open tasks, extend them and add to their prompt."""
    AGENT = "agent"
    """Propose calls of a task whose token it holds."""
    APPROVER = "approver"
    """Answer calls that wait for a person."""
    AUDITOR = "auditor"
    """Read the log."""
    OPERATOR = "operator"
    """Look after the broker."""


class RoleMissing(Refusal):
    """The caller is known, and may not do this."""

    reason = Reason.ROLE_MISSING

    def __init__(self, needed: tuple[Role, ...]) -> None:
        super().__init__(f"this needs the role {' or '.join(f'`{one}`' for one in needed)}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, as authenticated."""

    subject: str
    roles: frozenset[Role]
    claims: Mapping[str, Scalar] = field(default_factory=lambda: MappingProxyType({}))
    """What is known of it beside its name: `tenant: 7`. Variables may be taken from here."""
    identity: str | None = None
    """Id of the issued identity that it showed."""
    certificate: str | None = None
    """SHA-256 of the certificate that it connected with."""

    def needs(self, *roles: Role) -> None:
        """Raise `RoleMissing` where the caller has none of these roles."""
        if self.roles.isdisjoint(roles):
            raise RoleMissing(roles)
