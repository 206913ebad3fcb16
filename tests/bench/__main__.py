"""Run the benchmarks: a table for people, `build/bench.json` for programs.

Each `bench_*.py` beside this file has `run()`, which returns what it measured as a list of
objects: name, value, unit, aim (text or null), met (true, false or null), peers (name →
value, measured in the same run).
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / "build" / "bench.json"
_MET = {True: "[green]yes[/]", False: "[red]no[/]", None: ""}


def main(wanted: list[str]) -> None:
    """Run the benchmarks named, or all of them."""
    console = Console(soft_wrap=True)
    console.print(f"{platform.platform()}, {os.cpu_count()} cores, Python {sys.version.split()[0]}")
    measured: list[dict[str, Any]] = []
    for name in wanted or _all():
        console.print(f"[dim]running {name} …[/]")
        measured += importlib.import_module(f"tests.bench.bench_{name}").run()
    REPORT.parent.mkdir(exist_ok=True)
    REPORT.write_text(json.dumps(measured, indent=2) + "\n")
    console.print(_table(measured))
    console.print(f"written to {REPORT.relative_to(ROOT)}")


def _all() -> list[str]:
    return sorted(
        path.stem.removeprefix("bench_") for path in Path(__file__).parent.glob("bench_*.py")
    )


def _table(measured: list[dict[str, Any]]) -> Table:
    table = Table("measure", "value", "aim", "met", "in the same run", box=None)
    for one in measured:
        met = _MET[one.get("met")]
        peers = ", ".join(f"{name}: {value:g}" for name, value in (one.get("peers") or {}).items())
        table.add_row(
            one["name"], f"{one['value']:g} {one['unit']}", str(one.get("aim") or ""), met, peers
        )
    return table


if __name__ == "__main__":
    main(sys.argv[1:])
