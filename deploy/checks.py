"""Does the source keep the house rules?

Law: every rule runs, whatever another one found; nothing is fetched, so it works without
a network. A rule that takes longer than its share of the minute shows in its time.

    python deploy/checks.py        (in the project's environment)
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
SCRIPTS = Path(sys.executable).parent
AIM = 60.0
"""Seconds for all of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rule:
    """One program that looks at the source and changes nothing."""

    name: str
    command: Sequence[str | Path]
    mend: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """How one rule ended."""

    rule: Rule
    ok: bool
    said: str
    seconds: float


def rules() -> list[Rule]:
    """List every rule, the slowest first."""
    return [
        Rule(name="types", command=["mypy"]),
        Rule(name="imports", command=["lint-imports", "--no-cache"]),
        Rule(name="proto breaking", command=["buf", "breaking", "protos", "--against", baseline()]),
        Rule(name="proto lint", command=["buf", "lint", "protos"]),
        Rule(name="proto format", command=["buf", "format", "--diff", "--exit-code", "protos"]),
        Rule(
            name="stubs",
            command=[CHECKOUT / "build/protos-env/bin/python", "deploy/stubs.py", "check"],
            mend="make protos",
        ),
        Rule(name="dependencies", command=["deptry", "."]),
        Rule(name="lint", command=["ruff", "check"], mend="make format"),
        Rule(name="format", command=["ruff", "format", "--check"], mend="make format"),
        Rule(name="spelling", command=["codespell"]),
    ]


def baseline() -> str:
    """Name what the wire is compared with: the newest release, or the last commit."""
    command = ["git", "describe", "--tags", "--abbrev=0", "--match=v*"]
    tag = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False)  # noqa: S603
    return f".git#ref={tag.stdout.strip() or 'HEAD'},subdir=protos"


def look(rule: Rule) -> Finding:
    """Run one rule to its end."""
    program, *arguments = rule.command
    path = os.pathsep.join([str(SCRIPTS), os.environ.get("PATH", os.defpath)])
    began = time.monotonic()
    ended = subprocess.run(  # noqa: S603 - the programs named above, no shell
        [SCRIPTS / program, *arguments],
        cwd=CHECKOUT,
        env=os.environ | {"PATH": path},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    seconds = time.monotonic() - began
    return Finding(rule=rule, ok=not ended.returncode, said=ended.stdout.strip(), seconds=seconds)


def shown(finding: Finding) -> Finding:
    """Print one line; where something was found, also what the program said."""
    mark = "✓" if finding.ok else "✗"
    sys.stdout.write(f"  {mark} {finding.rule.name:<15} {finding.seconds:5.1f} s\n")
    if not finding.ok:
        mend = f"\nto mend: {finding.rule.mend}" if finding.rule.mend else ""
        sys.stdout.write(f"{finding.said}{mend}\n\n")
    sys.stdout.flush()
    return finding


def main() -> int:
    """Run every rule, as many at a time as there are cores; return the exit code."""
    began = time.monotonic()
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        looking = [pool.submit(look, rule) for rule in rules()]
        findings = [shown(done.result()) for done in as_completed(looking)]
    found = sum(not finding.ok for finding in findings)
    took = time.monotonic() - began
    sys.stdout.write(f"{found} of {len(findings)} found something, {took:.1f} s (aim: {AIM:.0f})\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
