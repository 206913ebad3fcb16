"""What is a task's final answer at each stage of its way out?

Law: as with calls: each stage is a frozen type with exactly one maker.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sandbox_runtime.call import Check, ModelContext, Rule
    from sandbox_runtime.strict import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedOutput:
    """A final answer as it came in. Made by `server`, from the wire and the caller."""

    task_id: str
    output_id: str
    output: str
    """The name that the manifest may know it by."""
    written: bytes
    """What the model wrote."""
    is_json: bool
    """Whether that is JSON, or what it takes for JSON; else it is a text and stands for itself."""
    subject: str
    """Who asks, as authenticated."""
    model: ModelContext


@dataclass(frozen=True, slots=True, kw_only=True)
class OutputCandidate:
    """An answer that its manifest names. Made by `policy.match_output`."""

    proposed: ProposedOutput
    value: Json
    checks: tuple[Check, ...]
    """Its type first, then each destination that the manifest names."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AcceptedOutput:
    """The answer may go out, in this form. Made by `policy.decide_output`."""

    proposed: ProposedOutput
    rule: Rule
    value: Json
    """Canonical and whole: its caller carries it to where it goes."""
    changes: tuple[str, ...]
