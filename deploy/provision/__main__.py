"""What is there to do, and may we?

    python3 -m provision {run,test,check,base,stop,purge}

Exit codes: 0 done, 1 it cannot go on (and says what to do), 130 interrupted.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from provision.base import Base
from provision.commands import Commands
from provision.daemon import Daemon
from provision.debian import Packages
from provision.editor import Editor
from provision.engine import Engine, socket_of
from provision.engine_api import EngineApi
from provision.environment import Environment
from provision.places import Places
from provision.problem import Problem
from provision.steps import Progress, Step, may_install, show_plan
from provision.tools import ToolImages
from provision.undo import Undo

GOALS = ("run", "test", "check", "base")


class Setup:
    """Joins the parts for one checkout on one machine."""

    def __init__(self, places: Places, progress: Progress) -> None:
        self.places, self.progress = places, progress
        self.commands = Commands(places.log, progress.say)
        self.packages = Packages(commands=self.commands, record=places.machine / "packages.json")
        self.api = EngineApi(socket=socket_of(os.environ))

    def engine(self) -> Engine:
        """Return the step that finds, starts or installs an engine."""
        return Engine(
            api=self.api,
            daemon=Daemon(home=self.places.machine / "engine"),
            packages=self.packages,
            commands=self.commands,
        )

    def environment(self, lock: str) -> Environment:
        """Return the step that installs the lock called `lock` into `.venv`."""
        return Environment(
            places=self.places,
            packages=self.packages,
            commands=self.commands,
            lock=lock,
            venv=self.places.venv,
            enough=("dev",),
        )

    def generator(self) -> Environment:
        """Return the step that installs the stub generator."""
        return Environment(
            places=self.places,
            packages=self.packages,
            commands=self.commands,
            lock="protos",
            venv=self.places.protos_venv,
            project=False,
            name="generator",
        )

    def editor(self) -> Editor:
        """Return the step that installs the language server for YAML."""
        node = Environment(
            places=self.places,
            packages=self.packages,
            commands=self.commands,
            lock="node",
            venv=self.places.node_venv,
            project=False,
            name="node",
        )
        return Editor(places=self.places, commands=self.commands, node=node)

    def base(self, *, again: bool) -> Base:
        """Return the step that provides the base image."""
        return Base(
            places=self.places,
            api=self.api,
            packages=self.packages,
            commands=self.commands,
            wanted=os.environ.get("BASE") or None,
            again=again,
        )

    def steps(self, goal: str) -> list[Step]:
        """Return what `goal` needs, in order."""
        if goal == "check":
            return [self.environment("dev"), self.generator()]
        base = self.base(again=goal == "base")
        tools = ToolImages(places=self.places, base=base, commands=self.commands)
        testing = goal == "test"
        environment = self.environment("dev" if testing else "server")
        return [environment, self.engine(), base, tools, *([self.editor()] if testing else [])]

    def up(self, goal: str) -> None:
        """Show the plan, ask where that is due, and go through the steps."""
        steps = self.steps(goal)
        out = self.progress.out
        out.write(f"set-up for `{goal}`, in {self.places.checkout}\n")
        if show_plan(steps, out):
            may_install(os.environ, out)
        for step in steps:
            self.progress.run(step)

    def down(self, goal: str) -> None:
        """Undo: `stop` what runs, or `purge` what is there."""
        undo = Undo(places=self.places, engine=self.engine(), out=self.progress.out)
        if goal == "stop":
            undo.stop()
            return
        undo.purge()
        undo.packages(remove=bool(os.environ.get("YES")))


@contextmanager
def alone(places: Places) -> Iterator[None]:
    """Let one set-up work in this checkout at a time; another one waits."""
    directory = os.open(places.checkout / "deploy", os.O_RDONLY)
    try:
        fcntl.flock(directory, fcntl.LOCK_EX)
        yield
    finally:
        os.close(directory)


def main(arguments: Sequence[str]) -> int:
    """Run one goal; return the exit code."""
    parser = argparse.ArgumentParser(prog="provision", description=__doc__)
    parser.add_argument("goal", choices=(*GOALS, "stop", "purge"))
    goal = parser.parse_args(arguments).goal
    places = Places(checkout=Path(__file__).resolve().parents[2])
    try:
        setup = Setup(places, Progress(sys.stdout))
        with alone(places):
            act = setup.up if goal in GOALS else setup.down
            act(goal)
    except Problem as problem:
        mend = "".join(f"\n  → {line}" for line in problem.mend)
        sys.stderr.write(f"\nset-up cannot go on: {problem.what}{mend}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
