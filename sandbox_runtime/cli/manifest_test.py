"""`sandbox-broker manifest test`: do the manifests decide as their owners expect?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sandbox_runtime.cli.options import speaks
from sandbox_runtime.cli.output import Failure
from sandbox_runtime.manifests import tree
from sandbox_runtime.manifests.cases import load_cases
from sandbox_runtime.manifests.loader import load_tree
from sandbox_runtime.manifests.problems import ManifestErrors
from sandbox_runtime.rehearsal.coverage import words
from sandbox_runtime.rehearsal.running import run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox_runtime.cli.output import Output
    from sandbox_runtime.manifests.cases import LoadedCases
    from sandbox_runtime.manifests.catalogue import Catalogue
    from sandbox_runtime.rehearsal.coverage import Word
    from sandbox_runtime.rehearsal.running import CaseEnd
    from sandbox_runtime.strict import Json


@click.command("test")
@click.argument(
    "directory",
    metavar="[TREE]",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    default="tool_manifests",
)
@click.option("--cover", is_flag=True, help="Fail where a grant or a constraint is not covered.")
@speaks
def test_(output: Output, directory: Path, *, cover: bool) -> None:
    """Decide the cases in TREE's `*.test.yaml`, without a broker or an engine.

    A grant is covered once it permitted a call, a constraint once it refused one.
    """
    catalogue = load_tree(directory, shown=directory)
    ends = [end for cases in _cases(directory, catalogue) for end in run(catalogue, cases)]
    calls = (call for end in ends for call in end.calls)
    covered = words(catalogue, calls, (one for end in ends for one in end.outputs))
    output.result(_document(ends, covered))
    _show(output, ends, covered)
    _judge(ends, covered, cover=cover)


def _cases(directory: Path, catalogue: Catalogue) -> tuple[LoadedCases, ...]:
    found = tree.collect_cases(directory, directory)
    if found.problems:
        raise ManifestErrors(found.problems)
    return load_cases(found.texts, catalogue.tasks)


def _show(output: Output, ends: Sequence[CaseEnd], covered: Sequence[Word]) -> None:
    output.table(
        ("", "case", "place", "differs"),
        [
            ("✗" if end.differences else "✓", end.name, end.place, "; ".join(end.differences))
            for end in ends
        ],
    )
    missing = [word for word in covered if not word.covered]
    output.line(f"\n[bold]covered[/]: {len(covered) - len(missing)} of {len(covered)}")
    output.table(
        ("not covered", "grant", "task", "place"),
        [(word.what, word.grant, word.task, word.place) for word in missing],
    )


def _judge(ends: Sequence[CaseEnd], covered: Sequence[Word], *, cover: bool) -> None:
    failed = sum(bool(end.differences) for end in ends)
    missing = sum(not word.covered for word in covered)
    if failed:
        mend = "`sandbox-broker manifest explain` tells every step of a decision"
        raise Failure(f"{failed} of {len(ends)} cases differ", mend)
    if cover and missing:
        raise Failure(
            f"{missing} of {len(covered)} grants and constraints are not covered",
            "add a case that each grant permits, and one that each constraint refuses",
        )


def _document(ends: Sequence[CaseEnd], covered: Sequence[Word]) -> dict[str, Json]:
    return {
        "cases": [
            {"name": end.name, "place": str(end.place), "differences": list(end.differences)}
            for end in ends
        ],
        "coverage": [
            {
                "task": word.task,
                "grant": word.grant,
                "what": word.what,
                "place": str(word.place),
                "covered": word.covered,
            }
            for word in covered
        ],
    }
