"""Do a task's outputs hold together?

Law: a final answer that nothing but its type would check is a mistake. So is a destination that
its own settings keep from accepting anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sandbox_runtime.destinations.registry import DESTINATIONS
from sandbox_runtime.manifests.problems import Finding, Where, listed, quoted
from sandbox_runtime.manifests.tool_checks import settings_hold

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from sandbox_runtime.manifests.model import Output

OUTPUTS: Final[Where] = ("spec", "outputs")


def outputs(named: Mapping[str, Output]) -> Iterator[Finding]:
    """Yield what is wrong with the outputs of a task."""
    for name, output in named.items():
        where: Where = (*OUTPUTS, name)
        checks = output.checks()
        if not checks:
            yield Finding(
                where=where,
                message=f"output {quoted(name)} names no destination, so only its type is checked",
                mend=f"say where it goes: {listed(list(DESTINATIONS))}",
                on_key=True,
            )
        yield from settings_hold(checks, where)
