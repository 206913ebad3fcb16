"""`sandbox-broker manifest explain`: by which steps is a call decided, and by which line?"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.markup import escape

from sandbox_runtime.call import Permitted, Refused
from sandbox_runtime.cli.options import speaks, state_option
from sandbox_runtime.cli.output import FAILED, USAGE, Failure, printable
from sandbox_runtime.manifests.cases import load_asked
from sandbox_runtime.manifests.loader import load_tree
from sandbox_runtime.rehearsal.playing import START, judged, opened
from sandbox_runtime.rehearsal.recorded import recorded
from sandbox_runtime.rehearsal.running import proposed
from sandbox_runtime.rehearsal.steps import Step, steps, told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox_runtime.cli.output import Output
    from sandbox_runtime.rehearsal.playing import Judged
    from sandbox_runtime.strict import Json


@click.command("explain")
@click.argument(
    "file", metavar="[CALL]", type=click.Path(path_type=Path, dir_okay=False), required=False
)
@click.option(
    "--manifests",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("tool_manifests"),
    show_default=True,
    help="The tree that decides a file's call; a recorded one brings its own.",
)
@state_option
@click.option("--task", help="A recorded call's task.")
@click.option("--call", help="A recorded call.")
@click.option("--values", is_flag=True, help="Show what constraints list, and what they met.")
@speaks
def explain_(
    output: Output,
    *,
    file: Path | None,
    manifests: Path,
    state: Path,
    task: str | None,
    call: str | None,
    values: bool,
) -> None:
    """Tell every step of the decision on a call, and the line that decided.

    CALL is a YAML or JSON file with `task`, `variables`, `tool` and `arguments`: decided as the
    first call of a new task. With `--task` and `--call` it is a recorded call, decided again
    from the log under `--state`.
    """
    if file is not None and task is None and call is None:
        _tell(output, _asked(file, manifests), values=values, more={})
    elif file is None and task is not None and call is not None:
        again = recorded(state, task, call)
        more: dict[str, Json] = {"record": again.sequence, "as_recorded": again.same}
        _tell(output, again.judged, values=values, more=more)
        _compare(output, same=again.same, record=again.sequence)
    else:
        problem = "say either which file holds the call, or which recorded call it is"
        raise Failure(problem, "`CALL`, or `--task ID --call ID`", USAGE)


def _asked(file: Path, manifests: Path) -> Judged:
    tree = load_tree(manifests, shown=manifests)
    asked = load_asked(str(file), file.read_text(encoding="utf-8"), tree.tasks)
    task = opened(tree, asked.task, asked.subject, asked.variables, asked.claims)
    return judged(task, proposed(asked), START)


def _tell(output: Output, judged: Judged, *, values: bool, more: dict[str, Json]) -> None:
    told_steps = steps(judged, values=values)
    output.result({**_decided(judged, values=values), **more, "steps": _documents(told_steps)})
    output.table(
        ("grant", "step", "says", "", "place"),
        [(one.grant, one.what, one.says, one.told, one.place) for one in told_steps],
    )
    place = judged.task.manifest.place(judged.decision.rule)
    match judged.decision:
        case Permitted():
            verdict = f"[bold green]permitted[/] under grant `{judged.decision.grant}`"
        case Refused():
            why = escape(printable(told(judged.decision, values=values)))
            verdict = f"[bold red]refused[/]: {why}"
    output.line(f"\n{verdict}\n[bold]rule[/] {escape(str(place))}")


def _compare(output: Output, *, same: bool, record: int) -> None:
    if not same:
        mend = f"`sandbox-broker log show {record}` shows what was recorded"
        raise Failure("decided again, the call does not end as it was recorded", mend, FAILED)
    output.line(f"as in record {record}")


def _decided(judged: Judged, *, values: bool) -> dict[str, Json]:
    decision = judged.decision
    refused = decision if isinstance(decision, Refused) else None
    return {
        "verdict": "permitted" if refused is None else "refused",
        "grant": decision.grant,
        "rule": str(judged.task.manifest.place(decision.rule)),
        "reason": refused.reason if refused is not None else None,
        "code": refused.code if refused is not None else None,
        "pointer": refused.pointer if refused is not None else "",
        "told": told(refused, values=values) if refused is not None else "",
    }


def _documents(told_steps: Sequence[Step]) -> list[Json]:
    return [
        {
            "grant": one.grant,
            "what": one.what,
            "says": one.says,
            "told": one.told,
            "place": str(one.place),
        }
        for one in told_steps
    ]
