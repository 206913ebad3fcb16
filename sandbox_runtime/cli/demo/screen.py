"""How does a person see what happened, and how does a program?

Law: everything that a model, a tool or the data wrote is cleaned before a terminal gets it.
"""

from __future__ import annotations

import json
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from sandbox_runtime.cli.demo.story import Verdict
from sandbox_runtime.cli.output import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from sandbox_runtime.cli.demo.ending import Ending
    from sandbox_runtime.cli.demo.play import Played
    from sandbox_runtime.cli.demo.scene import Scene
    from sandbox_runtime.cli.output import Output
    from sandbox_runtime.client import ToolDefinition
    from sandbox_runtime.strict import Json

WIDTH, LABEL = 100, 13
SHORT = 120
COLOURS = {
    Verdict.ALLOWED: "bold green",
    Verdict.REFUSED: "bold magenta",
    Verdict.CONTAINED: "bold yellow",
}
ALARM = "bold red"
ORDER = ("match", "check", "decide", "create", "attach", "start", "ready", "readback", "run")
"""Of a call's life. Records keep their keys in another order."""
PROGRAMS = ("query", "code", "body")
"""Arguments that are shown whole, as they are written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Showing:
    """All that was played."""

    task: str
    played: tuple[Played, ...]
    scenes: tuple[Scene, ...]
    exit_code: int | None
    """The broker's."""

    @property
    def surprises(self) -> int:
        """How much went otherwise than it must."""
        said = [one.surprise for one in self.played] + [one.surprise for one in self.scenes]
        return sum(bool(surprise) for surprise in said)


class Screen:
    """Shows the demonstration, line by line."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def chapter(self, title: str) -> None:
        """Begin a part."""
        self._output.line(f"\n[bold]━━ {title} {'━' * (WIDTH - len(title) - 4)}[/]")

    def field(self, label: str, text: str, style: str = "") -> None:
        """Show a labelled text, wrapped and indented."""
        shown = wrapped(printable(text))
        opening, closing = (f"[{style}]", "[/]") if style else ("", "")
        for at, line in enumerate(shown):
            head = label if at == 0 else ""
            self._output.line(f"  [dim]{head:<{LABEL}}[/]{opening}{escape(line)}{closing}")

    def tools(self, tools: Sequence[ToolDefinition]) -> None:
        """Show what the task may call."""
        for tool in tools:
            self.field(tool.name, f"{tool.calls_left} calls; takes {', '.join(properties(tool))}")

    def step(self, number: int, played: Played) -> None:
        """Show one step: proposal, verdict, rule, rewriting, stages."""
        step = played.step
        self._output.line(f"\n[bold]{number:>2}  The agent wants {escape(step.wants)}.[/]")
        self.field("proposal", f"{step.tool} {'  '.join(brief(played.arguments))}")
        for key in PROGRAMS:
            if key in played.arguments:
                self.field("", played.arguments[key], "cyan")
        self._verdict(played)
        self._rewriting(played)
        self.field("stages", stages(played.log.stages), "dim")
        if played.surprise:
            self.field("SURPRISE", played.surprise, ALARM)

    def scene(self, scene: Scene) -> Scene:
        """Show something that was tried beside the calls."""
        self._output.line(f"\n[bold]    {escape(scene.tries[0].upper() + scene.tries[1:])}.[/]")
        self.field("saw", scene.saw)
        if scene.surprise:
            self.field("SURPRISE", scene.surprise, ALARM)
        return scene

    def _verdict(self, played: Played) -> None:
        told = played.told
        self.field("verdict", f"{told.verdict}  {told.because}", COLOURS.get(told.verdict, ALARM))
        if told.said:
            self.field("", f"{told.said}; {told.hint}" if told.hint else told.said)
        grant = played.log.decided.grant
        self.field("rule", played.log.decided.rule + (f"  (grant `{grant}`)" if grant else ""))
        if told.end is not None and told.end.ok:
            self.field("answer", answer(told.end.result))
            for text in texts(told.end.result, played.step.finds):
                self.field("it reads", text, "italic yellow")

    def _rewriting(self, played: Played) -> None:
        """Show what was changed on the way in, as operators see it, and on the way out."""
        decision, end = played.log.decision, played.told.end
        if decision is None or decision.permitted is None or end is None:
            return
        if end.changes:
            self.field("rewritten", "; ".join(end.changes))
        for key, ran in decision.permitted.arguments.items():
            if key in PROGRAMS and ran != played.arguments.get(key):
                self.field("ran", str(ran), "magenta")

    def ending(self, found: Ending, showing: Showing, chart: Path | None) -> None:
        """Show what is left, and the count."""
        self.field("containers", f"{found.containers} of this task are left, says the engine")
        self.field("broker", f"ended with exit code {found.broker}")
        verified = found.damage or f"verifies: {found.records} records, every byte and every body"
        self.field("log", f"{found.log} {verified}", ALARM if found.damage else "")
        self.field("", f"read it: sandbox-broker log list --state {found.log}")
        if chart is not None:
            self.field("chart", str(chart))
        played, surprises = showing.played, showing.surprises
        counted = ((count(played, verdict), verdict.lower()) for verdict in Verdict)
        counts = ", ".join(f"{many} {verdict}" for many, verdict in counted if many)
        close = f"{surprises} NOT as expected" if surprises else "each as it must"
        style = ALARM if surprises else "bold green"
        self._output.line(f"\n[{style}]{len(played)} calls: {counts}; {close}.[/]")


def properties(tool: ToolDefinition) -> list[str]:
    """Return the names of a tool's arguments."""
    return list(tool.parameters.get("properties", {}))


def wrapped(text: str) -> Iterator[str]:
    """Yield lines that fit beside a label."""
    for line in text.splitlines() or [""]:
        yield from textwrap.wrap(line, WIDTH - LABEL - 2, break_on_hyphens=False) or [""]


def brief(arguments: Mapping[str, Any]) -> Iterator[str]:
    """Yield every argument that is not a program, shortened."""
    for key, value in arguments.items():
        if key not in PROGRAMS:
            yield f"{key}={shortened(json.dumps(value, ensure_ascii=False))}"


def answer(result: Json) -> str:
    """Return the gist of an answer: how many rows, or what was printed, drawn and returned."""
    match result:
        case {"columns": list(columns), "rows": list(rows)}:
            first = f", first {shortened(json.dumps(rows[0]))}" if rows else ""
            return f"{len(rows)} rows of {', '.join(map(str, columns))}{first}"
        case {"value": value, "printed": str(printed), "charts": list(charts)}:
            drawn = [
                " ".join(str(one.get(key)) for key in ("name", "type", "digest"))
                for one in charts
                if isinstance(one, dict)
            ]
            table = answer(value) if isinstance(value, dict) else shortened(json.dumps(value))
            returned = [] if value is None else [table]
            return "\n".join([*filter(None, [printed.strip()]), *returned, *drawn])
        case other:
            return shortened(json.dumps(other))


def texts(value: Json, part: str) -> Iterator[str]:
    """Yield every text in a value that holds `part`; none for an empty one."""
    match value:
        case str() if part and part in value:
            yield value
        case list() | dict():
            for inner in value.values() if isinstance(value, dict) else value:
                yield from texts(inner, part)
        case _:
            pass


def shortened(text: str) -> str:
    """Return the beginning of a long text."""
    return text if len(text) <= SHORT else f"{text[:SHORT]}…"


def stages(took: Mapping[str, float]) -> str:
    """Return how long each stage took, in the order of a call's life."""
    lived = sorted(took, key=lambda stage: ORDER.index(stage) if stage in ORDER else len(ORDER))
    return " · ".join(f"{stage} {took[stage]:.1f}" for stage in lived) + " ms"


def count(played: Sequence[Played], verdict: Verdict) -> int:
    """Return how many steps ended so."""
    return sum(one.told.verdict is verdict for one in played)


def document(showing: Showing, found: Ending, chart: Path | None) -> Json:
    """Return all that was shown, for a program."""
    return {
        "task": showing.task,
        "as_expected": found.clean and not showing.surprises,
        "calls": [plain(one) for one in showing.played],
        "scenes": [
            {"name": one.name, "saw": one.saw, "surprise": one.surprise or None}
            for one in showing.scenes
        ],
        "containers_left": found.containers,
        "broker_exit_code": found.broker,
        "log": {"state": str(found.log), "records": found.records, "damage": found.damage or None},
        "chart": str(chart) if chart is not None else None,
    }


def plain(played: Played) -> Json:
    """Return one step for a program."""
    told, decided, decision = played.told, played.log.decided, played.log.decision
    permitted = decision.permitted if decision is not None else None
    return {
        "call": decided.call,
        "tool": played.step.tool,
        "arguments": played.arguments,
        "verdict": told.verdict.value,
        "because": told.because,
        "said": told.said,
        "rule": decided.rule,
        "grant": decided.grant,
        "ran": permitted.arguments if permitted is not None else None,
        "changes": list(told.end.changes) if told.end is not None else [],
        "result": told.end.result if told.end is not None else None,
        "stages_ms": dict(played.log.stages),
        "surprise": played.surprise or None,
    }
