"""`sandbox-broker calls`: what became of each call, read from the log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from sandbox_runtime.audit import gathering
from sandbox_runtime.audit.reading import CallView, call_view
from sandbox_runtime.audit.wanted import Wanted
from sandbox_runtime.cli.call_shown import show_call
from sandbox_runtime.cli.calls_live import cancel_, watch_
from sandbox_runtime.cli.options import speaks, state_option
from sandbox_runtime.cli.output import Failure, Output
from sandbox_runtime.cli.reading import found, log_under, newest, of_task
from sandbox_runtime.cli.rows import verdict
from sandbox_runtime.cli.wishes import call_wishes, day
from sandbox_runtime.evidence import layout
from sandbox_runtime.evidence.faults import KeysRefused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from sandbox_runtime.audit.gathering import CallRecords
    from sandbox_runtime.records import CallOutcome
    from sandbox_runtime.strict import Json, Strict

_ERASED = "erased: the task's key was destroyed, and nobody can read them again"


@click.group("calls")
def command() -> None:
    """What became of each call: list them, show one whole; watch or cancel one that runs."""


command.add_command(watch_)
command.add_command(cancel_)


@command.command("list")
@state_option
@call_wishes
@click.option("--last", type=click.IntRange(min=1), help="Only so many, the newest.")
@speaks
def list_(output: Output, *, state: Path, wanted: Wanted, last: int | None) -> None:
    """List calls, in the order in which they were decided."""
    log_under(state)
    calls: Iterable[CallRecords] = gathering.calls(found(state, Wanted(task=wanted.task), None))
    calls = [call for call in calls if wanted.takes_call(call)]
    listed = calls if last is None else list(newest(calls, last))
    output.result({"calls": [_listed(call) for call in listed]})
    output.table(
        ("decided (UTC)", "task", "call", "tool", "verdict", "outcome", "ms"),
        [line(call) for call in listed],
    )


@command.command()
@state_option
@click.argument("task")
@click.argument("call")
@speaks
def show(output: Output, state: Path, task: str, call: str) -> None:
    """Show one CALL of a TASK: what was proposed, decided, run and answered."""
    log_under(state)
    chosen = _chosen(gathering.calls(of_task(state, task)), task, call)
    view, unread = _opened(state, chosen)
    output.result({**_listed(chosen), **_whole(view), "bodies_unreadable": unread})
    show_call(output, view, unread)


def line(call: CallRecords) -> tuple[str, ...]:
    """Return a call as one row of a table."""
    decided, outcome = call.decided, call.outcome
    took = f"{outcome.wall_ms:.0f}" if outcome is not None else ""
    ended = outcome.outcome if outcome else ("under way" if call.intent else "")
    tool = decided.tool or "(no tool of ours)"
    return day(decided.at), decided.task, decided.call, tool, verdict(decided), ended, took


def _listed(call: CallRecords) -> dict[str, Json]:
    decided, outcome = call.decided, call.outcome
    return {
        "sequence": call.sequence,
        "at": decided.at,
        "task": decided.task,
        "call": decided.call,
        "tool": decided.tool,
        "subject": decided.subject,
        "permitted": decided.permitted,
        "checked_only": decided.checked_only,
        "grant": decided.grant,
        "reason": decided.reason,
        "code": decided.code or (outcome.code if outcome else None),
        "rule": decided.rule,
        "outcome": outcome.outcome if outcome else None,
        "wall_ms": outcome.wall_ms if outcome else None,
        "labels": _labels(outcome) if outcome else None,
    }


def _labels(outcome: CallOutcome) -> dict[str, Json]:
    """Return what a result is labelled."""
    return {
        "integrity": outcome.integrity,
        "confidentiality": outcome.confidentiality,
        "source": outcome.source,
    }


def _chosen(calls: list[CallRecords], task: str, call: str) -> CallRecords:
    """Return the call itself, or the last time that it was only checked."""
    named = [one for one in calls if one.decided.call == call]
    if not named:
        mend = "`sandbox-broker calls list` shows them; `--task` narrows it to one task's"
        raise Failure(f"the log holds no call `{call}` of task `{task}`", mend)
    return max(named, key=lambda one: (not one.decided.checked_only, one.sequence))


def _opened(state: Path, call: CallRecords) -> tuple[CallView, str | None]:
    """Return the call with its bodies, or without them and why."""
    try:
        view = call_view(call, layout.bodies(state))
    except KeysRefused as refused:
        return CallView.of(call), str(refused)
    return view, _ERASED if view.decision is None else None


def _whole(view: CallView) -> dict[str, Json]:
    parts: Mapping[str, Strict | None] = {
        "decision": view.decision,
        "intent": view.intent,
        "result": view.result,
        "closed": view.closed,
        "engine": view.word,
    }
    whole: dict[str, Json] = {
        name: part.model_dump(mode="json") if part is not None else None
        for name, part in parts.items()
    }
    walls = view.outcome.walls_digest if view.outcome is not None else None
    return {**whole, "walls_digest": walls, "stages": dict(view.stages)}
