"""How does a whole call look to a person?

Law: what a model or a tool wrote stands under a title of ours, set in and cleaned; what the
leaves say is shown also where the bodies cannot be opened, and why they cannot is said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sandbox_runtime.cli.rows import verdict
from sandbox_runtime.cli.wishes import clock
from sandbox_runtime.destinations import json_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox_runtime.audit.reading import CallView
    from sandbox_runtime.call import CheckedResult
    from sandbox_runtime.cli.output import Output
    from sandbox_runtime.entries import DecisionBody
    from sandbox_runtime.records import CallClosed, CallDecided


def show_call(output: Output, view: CallView, unread: str | None) -> None:
    """Show a call; `unread` says why its bodies could not be opened."""
    _decision(output, view)
    if unread is not None:
        output.block("bodies", unread)
    _proposal(output, view)
    _container(output, view)
    output.heading("stages")
    output.table(("stage", "ms"), [(name, f"{ms:.1f}") for name, ms in view.stages.items()])
    _answer(output, view)


def _decision(output: Output, view: CallView) -> None:
    decided = view.decided
    model = view.decision.model if view.decision is not None else None
    claimed = " ".join(filter(None, (model.provider, model.model))) if model is not None else ""
    facts = {
        "call": f"{decided.call} of task {decided.task}",
        "tool": _tool(decided, view.decision),
        "asked by": decided.subject,
        "model": f"{claimed} (as its caller claims)" if claimed else "",
        "decided": f"{clock(decided.at)} UTC, record {view.sequence}",
        "verdict": verdict(decided),
        "code": decided.code or "",
        "at": decided.pointer,
        "rule": decided.rule,
        "grant": decided.grant or "",
        "outcome": _outcome(view),
        "labels": _labels(view),
    }
    _fields(output, facts)


def _tool(decided: CallDecided, decision: DecisionBody | None) -> str:
    if decided.tool is not None:
        return f"{decided.tool} ({decided.tool_digest})"
    return f"{decision.tool if decision is not None else '?'} (no tool of ours)"


def _outcome(view: CallView) -> str:
    if view.outcome is None:
        return "under way" if view.intent is not None else ""
    code = f" {view.outcome.code}" if view.outcome.code else ""
    return f"{view.outcome.outcome}{code} after {view.outcome.wall_ms:.0f} ms"


def _labels(view: CallView) -> str:
    """Return what the result is labelled; nothing where none came back."""
    if view.outcome is None or view.outcome.source is None:
        return ""
    outcome = view.outcome
    return f"{outcome.integrity}, {outcome.confidentiality}, from {outcome.source}"


def _proposal(output: Output, view: CallView) -> None:
    """Show what was proposed, and what it was changed to and why."""
    if view.decision is None:
        return
    output.block("proposed", view.decision.text)
    if (permitted := view.decision.permitted) is not None:
        output.block("what ran", json_text.canonical(permitted.arguments).decode())
        output.block("changed", "\n".join(permitted.changes) or "nothing")
    if (refused := view.decision.refused) is not None:
        output.block("refused because", refused.problem)
        if refused.hint:
            output.block("hint to the model", refused.hint)


def _container(output: Output, view: CallView) -> None:
    if view.intent is None:
        return
    output.heading("container")
    walls = view.outcome.walls_digest if view.outcome is not None else None
    facts = {
        "image": view.intent.image,
        "plan digest": view.intent.plan_digest,
        **({"workspace": view.intent.workspace} if view.intent.workspace else {}),
        "walls digest": walls or "none: no walls were read back",
    }
    _fields(output, {**facts, **(_counted(view.closed) if view.closed is not None else {})})


_UNITS = {
    "cpu_seconds": ("cpu", " s"),
    "memory_peak_bytes": ("memory peak", " bytes"),
    "oom_kills": ("killed for memory", ""),
    "pids_peak": ("processes, peak", ""),
    "pids_refused": ("processes refused", ""),
    "bytes_out": ("wrote", " bytes"),
    "tool_exit_code": ("tool's exit code", ""),
}


def _counted(closed: CallClosed) -> dict[str, str]:
    """Return what kernel and engine said of a container that is gone."""
    said = {
        title: f"{closed.facts[name]}{unit}"
        for name, (title, unit) in _UNITS.items()
        if closed.facts.get(name) is not None
    }
    oom = "yes" if closed.out_of_memory else "no"
    return {"container": closed.container or "", **said, "out of memory": oom}


def _answer(output: Output, view: CallView) -> None:
    if view.result is not None:
        _result(output, view.result)
    if view.word is not None and view.word.log:
        output.block("the tool's log", view.word.log)


def _result(output: Output, result: CheckedResult) -> None:
    titled = {
        "detail": result.detail,
        "result": result.result or "",
        "changed in the result": "\n".join(result.changes),
        "error": f"{result.error.code}: {result.error.message}" if result.error else "",
    }
    for title, text in titled.items():
        if text:
            output.block(title, text)
    if result.artifacts:
        output.heading("artifacts")
        rows = [(one.sha256, one.media_type, one.name) for one in result.artifacts]
        output.table(("sha256", "type", "name"), rows)


def _fields(output: Output, facts: Mapping[str, str]) -> None:
    output.table(("field", "value"), [(name, fact) for name, fact in facts.items() if fact])
