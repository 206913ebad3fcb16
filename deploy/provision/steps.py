"""What will be done, what is being done, and how long did it take?

Law: the whole plan is shown before the first step acts, and nothing is installed on a
person's machine before that person said yes.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TextIO

from provision.problem import Problem

TICK, BEAT = 0.2, 20.0
"""Seconds between two looks at the step in work: on a terminal, and in a log."""
WIDTH = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Intent:
    """What a step means to do, as far as can be known beforehand."""

    words: str
    installs: bool = False
    """Does it put something on the machine, outside the checkout?"""


class Step(Protocol):
    """One part of the set-up."""

    @property
    def name(self) -> str:
        """One or two words, for the line it gets."""
        ...

    def intent(self) -> Intent:
        """Look, and say what `act` would do. Changes nothing."""
        ...

    def act(self) -> str:
        """Do what is missing; return what is there now, in one line."""
        ...


class Progress:
    """One line for each step: live on a terminal, plain elsewhere."""

    def __init__(self, out: TextIO) -> None:
        self.out, self.live = out, out.isatty()
        self._latest = ""

    def say(self, line: str) -> None:
        """Note what the step in work did last."""
        self._latest = line

    def run(self, step: Step) -> None:
        """Act, and print the outcome with the time it took."""
        began, done = time.monotonic(), threading.Event()
        self._latest = ""
        ticker = threading.Thread(target=self._tick, args=(step.name, began, done), daemon=True)
        ticker.start()
        try:
            outcome = step.act()
        finally:
            done.set()
            ticker.join()
        self._print(f"  ✓ {step.name:<12} {outcome}  ({time.monotonic() - began:.1f} s)\n")

    def _tick(self, name: str, began: float, done: threading.Event) -> None:
        end = "" if self.live else "\n"
        while not done.wait(TICK if self.live else BEAT):
            elapsed = time.monotonic() - began
            self._print(f"  … {name:<12} {elapsed:5.1f} s  {self._latest}"[:WIDTH] + end)

    def _print(self, text: str) -> None:
        self.out.write(f"\r\x1b[2K{text}" if self.live else text)
        self.out.flush()


def show_plan(steps: Sequence[Step], out: TextIO) -> bool:
    """Print what each step means to do; return whether any of it needs a yes."""
    intents = [(step.name, step.intent()) for step in steps]
    out.writelines(f"  · {name:<12} {intent.words}\n" for name, intent in intents)
    out.flush()
    return any(intent.installs for _, intent in intents)


def may_install(env: Mapping[str, str], out: TextIO) -> None:
    """Ask the person at the terminal. With `YES`, with `CI`, with nobody there: go on."""
    if env.get("YES") or env.get("CI") or not (sys.stdin.isatty() and out.isatty()):
        return
    out.write("Install this on the machine? [y/N] ")
    out.flush()
    if sys.stdin.readline().strip().lower() not in {"y", "yes"}:
        raise Problem("nothing was changed", "say yes, or run it again with YES=1")
