"""What is left when all is done?

Law: the engine is asked for containers, not our own memory; the log is verified from its
bytes, as an auditor would, after its broker has gone.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import docker
from docker.errors import DockerException

from sandbox_runtime.audit.verifying import verify
from sandbox_runtime.errors import SandboxUnavailable
from sandbox_runtime.sandbox.plan import LABEL

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox_runtime.cli.demo.serving import Places


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """What was found."""

    containers: int
    """Of the task's, in any state."""
    broker: int | None
    """Its exit code."""
    log: Path
    records: int
    damage: str
    """The first thing wrong with the log; empty: it verifies."""

    @property
    def clean(self) -> bool:
        """Whether nothing is left and nothing is wrong."""
        return not (self.containers or self.broker or self.damage)


def ending(places: Places, task: str, broker: int | None) -> Ending:
    """Look for what is left of a task, and verify the log."""
    report = verify(places.state)
    return Ending(
        containers=containers(task),
        broker=broker,
        log=places.state,
        records=report.records,
        damage=f"{report.problem.what}, record {report.problem.sequence}" if report.problem else "",
    )


def containers(task: str) -> int:
    """Return how many containers of a task the engine has."""
    mine: dict[str, str | list[str] | bool] = {"label": f"{LABEL}.task={task}"}
    try:
        with closing(docker.DockerClient.from_env()) as engine:
            return len(engine.containers.list(all=True, filters=mine))
    except (DockerException, OSError) as error:
        raise SandboxUnavailable("the engine does not answer") from error
