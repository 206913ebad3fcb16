"""How does set-up run another program?

Law: nothing a program says is lost (it is in the log) and nothing of it is shown but its
last line while it works, and its last lines where it failed.
"""

from __future__ import annotations

import os
import subprocess
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from provision.problem import Problem

Word = str | Path
Say = Callable[[str], None]
KEPT = 12
"""Lines of a failed program's output that a person is shown."""


class Commands:
    """Runs programs, keeps their output in `log`, and tells `say` the latest line."""

    def __init__(self, log: Path, say: Say) -> None:
        self.log, self.say = log, say

    def run(self, command: Sequence[Word], *, mend: str, **env: str) -> str:
        """Run `command` to its end; return its output, or raise `Problem` with `mend`."""
        words = [str(word) for word in command]
        with self._logged() as log:
            log.write(f"\n$ {' '.join(words)}\n")
            lines, code = self._follow(words, log, os.environ | env)
        if code:
            tail = deque(lines, KEPT)
            said = "\n".join(f"    {line}" for line in tail)
            raise Problem(
                f"`{' '.join(words[:4])} …` ended with code {code}:\n{said}",
                mend,
                f"the whole output is in {self.log}",
            )
        return "\n".join(lines)

    def _follow(self, words: list[str], log: IO[str], env: dict[str, str]) -> tuple[list[str], int]:
        lines = []
        with subprocess.Popen(  # noqa: S603 - fixed programs, no shell
            words,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as child:
            for line in _lines(child.stdout):
                log.write(line + "\n")
                lines.append(line)
                self.say(line.strip())
        return lines, child.returncode

    @contextmanager
    def _logged(self) -> Iterator[IO[str]]:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("a", encoding="utf-8") as log:
            yield log


def _lines(stream: IO[str] | None) -> Iterator[str]:
    for line in stream or ():
        yield line.rstrip("\n")
